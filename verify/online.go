package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/authos-go/authos"
)

// Online is the online check: GET /api/user with the token that was presented. It sees what no signature shows, that the user has signed
// out, renewed the token or lost an account, and brings permissions, plan and features.
type Online struct {
	// For is how long an answer is used again for the same token. Default 5 s, between 1 s and 1 min. The server's own caches let changes
	// of permissions be seen up to a minute late.
	For time.Duration
	// Timeout bounds one check, its retries included. Default 5 s, between 1 s and 1 min.
	Timeout time.Duration
	// FailOpen accepts tokens that are good by themselves while the server cannot be asked: [Claims.CheckedAt] is zero then, and there are
	// no permissions. By default such tokens get [ErrCheckUnavailable]. [Verifier.RequirePermission] never fails open.
	FailOpen bool
}

const (
	defaultOnlineFor     = 5 * time.Second
	defaultOnlineTimeout = 5 * time.Second
	maxAnswers           = 10_000
)

// asker asks the server about tokens, one request at a time for each. An answer belongs to the exact token it was given for, by its
// SHA-256, so that it never reaches another user. Only tokens that are good by themselves come here: nobody can fill it with inventions.
type asker struct {
	client *authos.Client
	work   *background
	keep   time.Duration
	limit  time.Duration

	mu      sync.Mutex // never held while waiting
	answers map[[sha256.Size]byte]*answer
}

// answer is what the server said of one token. Its fields are written before done is closed, and until under the lock.
type answer struct {
	done  chan struct{}
	until time.Time // zero while it is under way
	at    time.Time
	user  *authos.User
	err   error
}

func newAsker(client *authos.Client, work *background, cfg *Online) *asker {
	online := cmp.Or(cfg, &Online{For: defaultOnlineFor, Timeout: defaultOnlineTimeout}) // for RequirePermission
	return &asker{
		client: client, work: work, keep: online.For, limit: online.Timeout, answers: map[[sha256.Size]byte]*answer{},
	}
}

// ask adds the server's word to the claims of a token that is good by itself.
func (v *Verifier) ask(ctx context.Context, token string, c Claims, failOpen bool) (Claims, error) {
	if c.TokenUse == UseResource {
		return Claims{}, refuse(ErrForbidden, "the server has no permissions for resource tokens")
	}
	a, err := v.asks.about(ctx, token)
	switch {
	case err == nil && a.user.ID != c.Subject:
		return Claims{}, refuse(ErrCheckUnavailable, "the server answered for another user") // and never let through
	case err == nil:
		c.CheckedAt = a.at
		if owner := a.user.IsPlatformOwner; owner != nil { // servers of October 2025 do not say
			c.IsPlatformOwner = *owner
		}
		c.Permissions, c.Plan, c.Features = a.user.Permissions, a.user.PlanName, a.user.Features
		return c, nil
	case failOpen && errors.Is(err, ErrCheckUnavailable) && ctx.Err() == nil:
		return c, nil
	default:
		return Claims{}, err
	}
}

// about gives the server's answer about a token, a recent one where there is one.
func (k *asker) about(ctx context.Context, token string) (*answer, error) {
	a, err := k.find(ctx, token)
	if err != nil {
		return nil, err
	}
	select {
	case <-a.done:
		return a, a.err
	case <-ctx.Done():
		return nil, &Error{Reason: ErrCheckUnavailable, Detail: "gave up waiting", RetryAfter: time.Second, Err: context.Cause(ctx)}
	}
}

func (k *asker) find(ctx context.Context, token string) (*answer, error) {
	id := sha256.Sum256([]byte(token))
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if a := k.answers[id]; a != nil && (a.until.IsZero() || now.Before(a.until)) {
		return a, nil
	}
	a := &answer{done: make(chan struct{})}
	if !k.work.start(ctx, k.limit, func(ctx context.Context) { k.request(ctx, token, id, a) }) {
		return nil, &Error{Reason: ErrCheckUnavailable, RetryAfter: time.Second, Err: net.ErrClosed}
	}
	k.makeRoom(now)
	k.answers[id] = a
	return a, nil
}

// makeRoom keeps the answers bounded: those that are over go first, then any. One that is under way may go too: who waits for it has it.
func (k *asker) makeRoom(now time.Time) {
	if len(k.answers) < maxAnswers {
		return
	}
	for id, a := range k.answers {
		if !a.until.IsZero() && !now.Before(a.until) {
			delete(k.answers, id)
		}
	}
	for id := range k.answers {
		if len(k.answers) < maxAnswers*9/10 {
			return // so that a full cache is not swept for every token
		}
		delete(k.answers, id)
	}
}

func (k *asker) request(ctx context.Context, token string, id [sha256.Size]byte, a *answer) {
	a.err = &Error{Reason: ErrCheckUnavailable, RetryAfter: time.Second, Err: errNoAnswer}
	defer func() { // also when a transport ends the goroutine: the callers wait for it
		k.mu.Lock()
		defer k.mu.Unlock()
		a.at = time.Now()
		a.until = a.at.Add(k.keep)
		if errors.Is(a.err, ErrCheckUnavailable) && k.answers[id] == a {
			delete(k.answers, id) // no answer is not worth keeping
		}
		close(a.done)
	}()
	// The caller's own Authorization: the client neither renews it nor keeps or serves an answer for it.
	user, err := k.client.User.Get(ctx, authos.WithHeader("Authorization", "Bearer "+token))
	if err != nil {
		a.err = judge(err)
		return
	}
	user.Permissions, user.Features = slices.Clip(user.Permissions), slices.Clip(user.Features) // many callers share them
	a.user, a.err = user, nil
}

// judge tells a refusal of the token from everything that says nothing about it. Only a 401 is the server's word that the session is over;
// a 403 or 404 may come from a proxy or a wrong base URL, and must not send all users to the sign-in.
func judge(err error) error {
	if api, ok := errors.AsType[*authos.APIError](err); ok && api.StatusCode == http.StatusUnauthorized {
		return &Error{Reason: ErrRevoked, Err: err}
	}
	out := &Error{Reason: ErrCheckUnavailable, RetryAfter: time.Second, Err: err}
	if limited, ok := errors.AsType[*authos.RateLimitError](err); ok {
		out.RetryAfter = max(limited.RetryAfter, time.Second)
	}
	if open, ok := errors.AsType[*authos.CircuitOpenError](err); ok {
		out.RetryAfter = max(time.Until(open.RetryAt), time.Second)
	}
	return out
}
