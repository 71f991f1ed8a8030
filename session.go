package authos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// session is the state of one principal's tokens, shared by all clients that speak for it. Here is what it holds, and how that gets
// from the store and into it; refresh.go is how it is used and renewed.
type session struct {
	store   TokenStore
	locking LockingTokenStore // store, when it can lock
	shared  bool              // the store is the program's: others may write it
	before  time.Duration     // WithRefreshBefore
	writing chan struct{}     // holds one token: the turn to write the store

	mu      sync.Mutex // never held during I/O
	gen     uint64     // counts SetTokens: what began before one changes nothing after it
	loaded  bool       // the store has been asked; an empty one is asked again, since somebody may sign in there
	seed    Tokens     // WithTokens, until the store has been asked
	cur     Tokens
	renewed bool    // cur came from the server in a renewal of ours
	stored  *Tokens // what the store holds as far as we know; not cur after a failed save, nil when never read or written
	renewAt time.Time
	early   bool                 // cur has had its renewal ahead of expiry
	dead    bool                 // the server has refused cur's access token
	setback *setback             // cur's refresh token is not to be presented for now
	uncured map[string]time.Time // calls that a new token did not help, and until when no other is tried for them
	flight  *flight
	who     string // names the principal for kept answers
	trusted bool   // the server has accepted cur, or gave it to us
}

// setback is a renewal that failed. Until its time everybody else fails with it, without asking the server again.
type setback struct {
	err   *renewalError
	until time.Time
}

const (
	// storeTimeout bounds each use of the token store during a renewal.
	storeTimeout = 10 * time.Second
	// lockTimeout is longer: the lock may be held by another process's renewal.
	lockTimeout = 2 * renewalDoubt
	// coolDown is when a refused renewal may be tried once more: a suspended organization refuses, but keeps the session.
	coolDown = 5 * time.Minute
)

func newSession(cfg *config) *session {
	s := &session{store: cfg.store, shared: cfg.store != nil, seed: cfg.tokens, before: cfg.refreshBefore, writing: make(chan struct{}, 1)}
	if s.store == nil {
		s.store = &memoryStore{}
	}
	s.locking, _ = s.store.(LockingTokenStore)
	return s
}

// adopt puts tokens in use. obtained says that the server has just given them to us in a renewal. s.mu is held.
func (s *session) adopt(t Tokens, obtained bool) {
	if claims, ok := jwtPrincipal(t.AccessToken); ok && obtained {
		s.who, s.trusted = claims, true
	} else if !obtained || s.who == "" {
		// Opaque tokens that we obtained ourselves continue the principal of the ones before.
		s.who, s.trusted = digest("token", t.AccessToken), false
	}
	if !obtained {
		s.uncured = nil // a renewal continues the session that did not help; these may be another
	}
	s.loaded, s.seed, s.cur, s.renewed = true, Tokens{}, t, obtained
	s.early, s.dead, s.setback = false, false, nil
	s.renewAt = time.Time{}
	if life := time.Until(t.ExpiresAt); !t.ExpiresAt.IsZero() && s.before > 0 {
		s.renewAt = t.ExpiresAt.Add(-min(s.before, max(life, 0)/5))
	}
}

// found takes note of what the store holds, and adopts it when that is news: another process has renewed, signed in or signed out.
// What the store held all along is not, even if it differs from the tokens in use: those could not be saved. s.mu is held.
func (s *session) found(t Tokens) (news bool) {
	news = !s.loaded || s.stored != nil && !t.same(*s.stored)
	s.stored = &t
	if news {
		s.adopt(t, false)
		s.loaded = !t.isZero() || !s.shared
	}
	return news
}

// expired says that the access token's time is over. s.mu is held.
func (s *session) expired() bool {
	return !s.cur.ExpiresAt.IsZero() && !time.Now().Before(s.cur.ExpiresAt)
}

// heldBack gives the setback that still holds. s.mu is held.
func (s *session) heldBack() *renewalError {
	if s.setback == nil || !time.Now().Before(s.setback.until) {
		return nil
	}
	return s.setback.err
}

// holdBack keeps a failure, so that later calls fail fast.
func (s *session) holdBack(gen uint64, err *renewalError) {
	until := err.retryAt
	if until.IsZero() {
		until = time.Now().Add(coolDown)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		s.setback = &setback{err, until}
	}
}

// load reads the store on first use, and while it is empty.
func (a *authorizer) load(cl *call) error {
	s := a.s
	s.mu.Lock()
	if s.loaded {
		s.mu.Unlock()
		return nil
	}
	gen := s.gen
	f := a.join(func() *renewalError { return a.first(gen) })
	s.mu.Unlock()
	if err := f.wait(cl); err != nil {
		return err
	}
	if f.err != nil {
		return f.err.sessionError()
	}
	return nil
}

// first reads the store, and seeds it when it is empty.
func (a *authorizer) first(gen uint64) *renewalError {
	s := a.s
	s.mu.Lock()
	seed := s.seed
	s.mu.Unlock()
	if s.locking != nil && !seed.isZero() {
		unlock, err := a.lock() // of several processes that find the store empty, one seeds it
		if err != nil {
			return postponed("locking the token store", err)
		}
		defer unlock()
	}
	stored, err := s.read()
	if err != nil {
		return postponed("loading the tokens", err)
	}
	if stored.isZero() && !seed.isZero() {
		_ = a.install(gen, seed, false) // it has been reported; the tokens are in use
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		s.found(stored)
	}
	return nil
}

func (s *session) read() (Tokens, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	return s.store.Load(ctx)
}

// lock waits for the store's lock, but no longer than the client lives.
func (a *authorizer) lock() (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(a.c.fam.closing.ctx, lockTimeout)
	defer cancel()
	return a.s.locking.Lock(ctx)
}

// install saves tokens, then puts them in use. When saving fails they are used all the same, and the failure is reported: the tokens
// before them are no longer good.
func (a *authorizer) install(gen uint64, t Tokens, obtained bool) (unsaved error) {
	s := a.s
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	if !s.current(gen) {
		return nil // signed out, or given other tokens, while these were on their way
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if unsaved = s.store.Save(ctx, t); unsaved != nil {
		a.c.warn("new tokens could not be saved; they are in use, but would not survive this process", unsaved)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if unsaved == nil {
		s.stored = &t
	}
	if s.gen == gen {
		s.adopt(t, obtained)
	}
	return unsaved
}

func (s *session) current(gen uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gen == gen
}

// setTokens replaces the tokens; zero ones sign out. In memory that is done at once, so that no call is sent with the old ones any more.
func (c *Client) setTokens(ctx context.Context, t Tokens) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	s := c.session
	s.mu.Lock()
	s.gen++ // what is in flight changes nothing from here on
	gen, who, old := s.gen, s.who, s.cur.AccessToken
	s.adopt(t, false)
	s.land(nil)
	s.mu.Unlock()
	if t.isZero() && c.fam.cache != nil && who != "" {
		c.fam.cache.forgetPrincipal(ctx, who)
		if claims, ok := jwtPrincipal(old); ok && claims != who {
			// Not accepted here, but perhaps in an earlier process. Forgetting is the safe side.
			c.fam.cache.forgetPrincipal(ctx, claims)
		}
	}
	if err := s.write(ctx, gen, t); err != nil {
		return fmt.Errorf("authos: saving the tokens: %w", err)
	}
	return nil
}

func (s *session) write(ctx context.Context, gen uint64, t Tokens) error {
	// The lock comes before the turn to write, as in a renewal, which may be holding it now.
	if s.locking != nil {
		waiting, cancel := context.WithTimeout(ctx, lockTimeout)
		unlock, err := s.locking.Lock(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("locking the token store: %w", err)
		}
		defer unlock()
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return contextEnd(ctx)
	}
	if !s.current(gen) {
		return nil // another SetTokens came after this one, and writes what it was given
	}
	var err error
	if t.isZero() {
		err = s.store.Delete(ctx)
	} else {
		err = s.store.Save(ctx, t)
	}
	if err == nil {
		s.mu.Lock()
		s.stored = &t
		s.mu.Unlock()
	}
	return err
}

// held gives the tokens in use, for the program.
func (c *Client) held(ctx context.Context) (Tokens, error) {
	if ctx == nil {
		return Tokens{}, invalid("ctx", CodeRequired, "must not be nil")
	}
	s := c.session
	err := (&authorizer{c: c, s: s}).load(&call{Context: ctx, caller: ctx, client: c})
	switch {
	case err != nil && ctx.Err() != nil:
		return Tokens{}, fmt.Errorf("authos: loading the tokens: %w", contextEnd(ctx))
	case err != nil:
		return Tokens{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur, nil
}

// accepted notes that the server took a token, so that what it says about its principal may be believed. Only a JSON success of a known
// route is such a word: sign-out answers 200 to any token, and a proxy's redirect or page to anybody.
func (a *authorizer) accepted(cl *call, resp *http.Response) {
	if a.c.fam.cache == nil || cl.token == "" || cl.route == nil || cl.route.has(flagOwn401) ||
		errorOf(resp) != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trusted || s.cur.AccessToken != cl.token || !json.Valid(bodyOf(resp)) {
		return
	}
	s.trusted = true
	if claims, ok := jwtPrincipal(cl.token); ok {
		s.who = claims
	}
}

// principal names whose answers are kept and served; empty: nobody's. A token that the server has not accepted here names nobody but
// itself: a forged one must not open somebody else's entries. sent, if not empty, must be the token now held.
func (s *session) principal(sent string) (who string, gen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.AccessToken == "" || sent != "" && sent != s.cur.AccessToken {
		return "", s.gen
	}
	return s.who, s.gen
}

var errSignedOut = errors.New("signed out: the token store is empty")
