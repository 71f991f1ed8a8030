package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/webhook"
)

// Revocations says how this program remembers that a user's tokens were ended before their expiry,
// which [Verifier.Revoke] and [Verifier.HandleEvent] tell it. The zero value remembers it in this
// process alone.
type Revocations struct {
	// Store shares what is remembered with the other processes of this service, and keeps it across
	// restarts. It is read once in three seconds for a user whose tokens are checked, not for each
	// check. Whoever can write to it can lock users out, but let nobody in. Nil: none.
	Store authos.CacheStore
	// Keep is how long a revocation is remembered. It must be at least the life of the server's
	// access tokens (its JWT_EXPIRATION_HOURS). Default 24 h, between 1 min and 90 days.
	Keep time.Duration
	// FailClosed refuses tokens with [ErrCheckUnavailable] while Store cannot be read. By default
	// the token is accepted by what this process knows, and the failure is logged.
	FailClosed bool
}

const (
	defaultRevocationKeep = 24 * time.Hour
	maxRevocationKeep     = 90 * 24 * time.Hour
	// readRevocationsEvery bounds the requests to the store, and how late a revocation is seen that
	// another process was told of.
	readRevocationsEvery = 3 * time.Second
	maxRevocations       = 100_000
)

// revocation is what is known of one user: tokens issued at or before cutoff are ended. The cutoff
// is a time of the server's clock, as a token's iat is.
type revocation struct {
	cutoff  time.Time
	learned moment // when this process learned of it
}

// revocations remembers the users whose tokens were ended.
type revocations struct {
	cfg   Revocations
	log   *slog.Logger
	reads *memo[time.Time]
	clock func() moment

	mu    sync.Mutex // never held while waiting
	users map[digest]revocation
	// floor stands for all that had to make room: tokens of anybody issued at or before it are
	// ended.
	floor revocation
}

func newRevocations(work *background, cfg Config) *revocations {
	return &revocations{
		cfg: cfg.Revocations, log: cfg.Logger, clock: currentMoment, users: map[digest]revocation{},
		reads: newMemo[time.Time](work, readRevocationsEvery, storeTimeout),
	}
}

// Revoke ends the tokens of a user that were issued at or before a time; the zero time is now. From
// then on they get [ErrRevoked], or, with [Config.Online], are accepted only once the server has
// confirmed each. The times are the server's: of an event it is the event's own. Since tokens hold
// whole seconds, one that was issued in the same second after the event is refused as well, and its
// owner has to refresh it.
//
// Sessions of the same user that go on are refused too and pass again with their next token:
// AuthOS's events name the user and not the session. It returns an error when there is no user, or
// when [Revocations.Store] fails; this process remembers it all the same.
func (v *Verifier) Revoke(ctx context.Context, userID string, issuedBy time.Time) error {
	if userID == "" {
		return errors.New("verify: Revoke: no user")
	}
	now := time.Now()
	latest := now.Add(v.cfg.ClockTolerance) // a wrong date must not lock somebody out for ever
	cutoff := cmp.Or(issuedBy, now)
	if cutoff.After(latest) {
		cutoff = latest
	}
	return v.revoked.add(ctx, sha256.Sum256([]byte(userID)), cutoff.Round(0))
}

// HandleEvent revokes the tokens that an event of AuthOS ends: user.logout,
// security.password.changed and user.removed. It returns nil for all other events, and fits
// [webhook.Verifier.Handler]:
//
//	hooks := webhook.Verifier{Secrets: secrets}
//	mux.Handle("POST /hooks/authos", hooks.Handler(v.HandleEvent))
//
// It returns an error when [Revocations.Store] fails, so that the event is delivered again. An
// event may come twice, late or out of order: its own time decides which tokens it ends.
//
// AuthOS lets webhooks subscribe to these events; that every version publishes them is not certain.
// Where a sign-out has to be noticed in any case, use [Config.Online], or tokens of a short life.
func (v *Verifier) HandleEvent(ctx context.Context, e webhook.Event) error {
	var failed error
	for _, user := range endedBy(e) {
		failed = errors.Join(failed, v.Revoke(ctx, user, e.Timestamp))
	}
	return failed
}

// endedBy lists the users whose tokens an event ends. Which member names the user differs from
// event to event, and an id that belongs to nobody does no harm.
func endedBy(e webhook.Event) []string {
	var data struct {
		UserID string `json:"user_id"`
	}
	_ = e.DecodeData(&data) // without data, or with others, there is no such id
	target := ""
	if e.TargetType != "session" {
		target = e.TargetID
	}
	var users []string
	switch e.Type {
	case webhook.EventUserLogout, webhook.EventSecurityPasswordChanged:
		switch {
		case data.UserID != "":
			users = []string{data.UserID}
		case e.TargetType == "user" && target != "":
			users = []string{target}
		default: // in these events the user mostly is who did it
			users = []string{target, e.ActorUserID}
		}
	case webhook.EventUserRemoved:
		users = []string{data.UserID, target} // the actor is who removed them
	default:
		return nil
	}
	slices.Sort(users)
	return slices.DeleteFunc(slices.Compact(users), func(id string) bool { return id == "" })
}

func (r *revocations) add(ctx context.Context, user digest, cutoff time.Time) error {
	r.learn(user, cutoff)
	if r.cfg.Store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*storeTimeout)
	defer cancel()
	_, err := guarded(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.write(ctx, user, cutoff)
	})
	if err != nil {
		return fmt.Errorf("verify: storing a revocation: %w", err)
	}
	return nil
}

// write stores a cutoff unless a later one is there. The store cannot compare and set: of two that
// write at the same moment the earlier may remain, until the process that knows better reads it.
func (r *revocations) write(ctx context.Context, user digest, cutoff time.Time) error {
	stored, err := r.read(ctx, user)
	switch {
	case errors.Is(err, errNotStored): // overwritten
	case err != nil || !stored.Before(cutoff):
		return err
	}
	value := strconv.AppendInt(nil, cutoff.UnixNano(), 10)
	return r.cfg.Store.Set(ctx, storedRevocation(user), value, r.cfg.Keep)
}

func (r *revocations) read(ctx context.Context, user digest) (time.Time, error) {
	value, ok, err := r.cfg.Store.Get(ctx, storedRevocation(user))
	if err != nil || !ok {
		return time.Time{}, err
	}
	nanos, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return time.Time{}, errNotStored
	}
	return time.Unix(0, nanos), nil
}

var errNotStored = errors.New("what is stored is not a revocation of this package")

func storedRevocation(user digest) string { return "verify/revoked/" + hex.EncodeToString(user[:]) }

// named gives the revocation that a token falls under, and whether there is one. In somebody else's
// session, both the user's and the actor's count.
func (r *revocations) named(ctx context.Context, c Claims) (revocation, bool, error) {
	known, err := r.of(ctx, c.Subject)
	if err == nil && known.cutoff.Before(c.IssuedAt) && c.Actor != nil {
		known, err = r.of(ctx, c.Actor.Subject)
	}
	if err != nil || known.cutoff.Before(c.IssuedAt) {
		return revocation{}, false, err
	}
	return known, true, nil
}

// of gives what is known of a user, zero where that is nothing.
func (r *revocations) of(ctx context.Context, userID string) (revocation, error) {
	user := digest(sha256.Sum256([]byte(userID)))
	if r.cfg.Store != nil {
		if err := r.sync(ctx, user); err != nil && r.cfg.FailClosed {
			return revocation{}, checkUnavailable(ctx, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.users[user]
	if known.cutoff.Before(r.floor.cutoff) {
		return r.floor, nil
	}
	return known, nil
}

// sync takes over what other processes have stored about a user, and stores what this one knows
// better.
func (r *revocations) sync(ctx context.Context, user digest) error {
	res, err := r.reads.get(ctx, user, moment{}, func(ctx context.Context) (time.Time, error) {
		r.mu.Lock()
		known := r.users[user].cutoff
		r.mu.Unlock()
		stored, err := guarded(ctx, func(ctx context.Context) (time.Time, error) {
			stored, err := r.read(ctx, user)
			if (err == nil || errors.Is(err, errNotStored)) && stored.Before(known) {
				return known, r.write(ctx, user, known)
			}
			return stored, err
		})
		if err != nil {
			r.log.WarnContext(ctx, "verify: cannot use the stored revocations", "error", err)
		}
		return stored, err
	})
	if err != nil {
		return err
	}
	if !res.value.IsZero() {
		r.learn(user, res.value)
	}
	return nil
}

func (r *revocations) learn(user digest, cutoff time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.users[user]; ok && !known.cutoff.Before(cutoff) {
		return
	}
	now := r.clock()
	if len(r.users) >= maxRevocations {
		r.makeRoom(now)
	}
	r.users[user] = revocation{cutoff, now}
}

// makeRoom forgets what is too old to matter, and else the oldest tenth. Where no store has them,
// the tokens of that time are ended for everybody: owners refresh them, and nobody who signed out
// gets in.
func (r *revocations) makeRoom(now moment) {
	for user, known := range r.users {
		if known.learned.age(now) > r.cfg.Keep {
			delete(r.users, user)
		}
	}
	if len(r.users) < maxRevocations*9/10 {
		return
	}
	cutoffs := make([]time.Time, 0, len(r.users))
	for _, known := range r.users {
		cutoffs = append(cutoffs, known.cutoff)
	}
	slices.SortFunc(cutoffs, time.Time.Compare)
	oldest := cutoffs[len(cutoffs)/10]
	for user, known := range r.users {
		if !known.cutoff.After(oldest) {
			delete(r.users, user)
		}
	}
	if r.cfg.Store == nil {
		r.floor = revocation{oldest, now}
	}
}
