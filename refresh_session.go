package authos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/authos-go/authos/internal/jwt"
	"github.com/authos-go/authos/internal/routes"
)

// session is the state of one principal's tokens, shared by all clients that speak for it. Here is
// what it holds, and how that gets from the store and into it; refresh.go is how it is used and
// refreshed.
type session struct {
	store   TokenStore
	locking LockingTokenStore // store, when it can lock
	shared  bool              // the store is the program's: others may write it
	before  time.Duration     // WithRefreshBefore
	writing chan struct{}     // holds one token: the turn to write the store

	mu  sync.Mutex // never held during I/O
	gen uint64     // counts SetTokens: what began before one changes nothing after it
	// the store has been asked; an empty one is asked again, since somebody may sign in there
	loaded    bool
	seed      Tokens // WithTokens, until the store has been asked
	cur       Tokens
	refreshed bool // cur came from the server in a refresh of ours
	// what the store holds as far as we know; not cur after a failed save, nil when never read or
	// written
	stored    *Tokens
	refreshAt time.Time
	early     bool     // cur has had its refresh ahead of expiry
	dead      bool     // the server has refused cur's access token
	setback   *setback // cur's refresh token is not to be presented for now
	// calls that a new token did not help, and until when no other is tried for them
	uncured map[string]time.Time
	flight  *flight
	moved   chan struct{} // closed by the next SetTokens
	kept    *keptLock     // of a refresh that may still be at work
	failing bool          // the store, which has been reported
	who     string        // names the principal for cached responses
	trusted bool          // the server has accepted cur, or gave it to us
	// the token that the server has refused last: not to be believed for what an earlier process
	// saw
	refusedToken string
}

// setback is a refresh that failed. Until its time everybody else fails with it, without asking the
// server again.
type setback struct {
	err   *refreshError
	until time.Time
}

const (
	// storeTimeout bounds each use of the token store during a refresh.
	storeTimeout = 10 * time.Second
	// lockTimeout is longer: the lock may be held by another process's refresh.
	lockTimeout = 2 * refreshDoubt
	// coolDown is when a refused refresh may be tried once more: a suspended organization refuses,
	// but keeps the session.
	coolDown = 5 * time.Minute
	// While the lock is waited for, the store is looked at from lockPeek on, after waits that
	// double up to maxLockPeek: of many that wait, all but one find the new tokens there; and the
	// holder may have died or frozen after it saved.
	lockPeek, maxLockPeek = 20 * time.Millisecond, time.Second
	// saveAgain is how often tokens that could not be saved are tried again, under the lock, for
	// refreshDoubt at most.
	saveAgain = time.Second
)

func newSession(cfg *config) *session {
	s := &session{
		store: cfg.store, shared: cfg.store != nil, seed: cfg.tokens, before: cfg.refreshBefore,
		writing: make(chan struct{}, 1), moved: make(chan struct{}),
	}
	if s.store == nil {
		s.store = &memoryStore{}
	}
	s.locking, _ = s.store.(LockingTokenStore)
	return s
}

// adopt puts tokens in use. obtained says that the server has just given them to us in a refresh.
// s.mu is held.
func (s *session) adopt(t Tokens, obtained bool) {
	if claims, ok := jwt.Principal(t.AccessToken); ok && obtained {
		s.who, s.trusted = claims, true
	} else if !obtained || s.who == "" {
		// Opaque tokens that we obtained ourselves continue the principal of the ones before.
		s.who, s.trusted = jwt.Digest("token", t.AccessToken), false
	}
	if !obtained {
		s.uncured = nil // a refresh continues the session that did not help; these may be another
	}
	s.loaded, s.seed, s.cur, s.refreshed = true, Tokens{}, t, obtained
	s.early, s.dead, s.setback = false, false, nil
	s.refreshAt = time.Time{}
	if life := time.Until(t.ExpiresAt); !t.ExpiresAt.IsZero() && s.before > 0 {
		s.refreshAt = t.ExpiresAt.Add(-min(s.before, max(life, 0)/5))
	}
}

// found takes note of what the store holds, and adopts it when that is news: another process has
// refreshed, signed in or signed out. What the store held all along is not, even if it differs from
// the tokens in use: those could not be saved. s.mu is held.
func (s *session) found(t Tokens) (news bool) {
	news = !s.loaded || s.stored != nil && !t.same(*s.stored) && !t.same(s.cur)
	s.stored = &t
	if news {
		s.adopt(t, false)
		s.loaded = !t.isZero() || !s.shared
	}
	return news
}

// expiredIn says that the access token's time is over after d. s.mu is held.
func (s *session) expiredIn(d time.Duration) bool {
	return !s.cur.ExpiresAt.IsZero() && !time.Now().Add(d).Before(s.cur.ExpiresAt)
}

// atWork says that the server may be taking cur's refresh token. s.mu is held.
func (s *session) atWork() bool {
	back := s.heldBack()
	return s.flight != nil && s.flight.sent.Load() || back != nil && back.inDoubt
}

// heldBack gives the setback that still holds. s.mu is held.
func (s *session) heldBack() *refreshError {
	if s.setback == nil || !time.Now().Before(s.setback.until) {
		return nil
	}
	return s.setback.err
}

// holdBack keeps a failure, so that later calls fail fast.
func (s *session) holdBack(gen uint64, err *refreshError) {
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
func (a *sessionLayer) load(cl *call) error {
	s := a.s
	s.mu.Lock()
	if s.loaded {
		s.mu.Unlock()
		return nil
	}
	gen := s.gen
	f := a.join(func(*flight) *refreshError { return a.first(gen) })
	s.mu.Unlock()
	if err := f.wait(cl, false); err != nil {
		return err
	}
	if f.err != nil {
		return f.err.sessionError()
	}
	return nil
}

// first reads the store, and seeds it when it is empty.
func (a *sessionLayer) first(gen uint64) *refreshError {
	s := a.s
	s.mu.Lock()
	seed := s.seed
	s.mu.Unlock()
	stored, err := s.read(context.Background())
	if err == nil && stored.isZero() && !seed.isZero() && s.locking != nil {
		unlock, lockErr := a.lock() // of several processes that find the store empty, one seeds it
		if lockErr != nil {
			return postponed("locking the token store", lockErr)
		}
		defer unlock()
		stored, err = s.read(context.Background())
	}
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

func (s *session) read(ctx context.Context) (Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.store.Load(ctx)
}

// lock waits for the store's lock, but no longer than the client lives.
func (a *sessionLayer) lock() (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(a.c.fam.closing.ctx, lockTimeout)
	defer cancel()
	return a.s.locking.Lock(ctx)
}

// storeLock is the store's lock while it is held; the zero value is that of a store that has none.
type storeLock struct {
	unlock func()
	since  time.Time
}

func (l storeLock) release() {
	if l.unlock != nil {
		l.unlock()
	}
}

// stale reports whether the lock was got too long ago to send a refresh under it: a lock that
// expires may be somebody else's by now. Both clocks count, since the monotonic one may stand still
// while the machine sleeps.
func (l storeLock) stale(now time.Time) bool {
	return l.unlock != nil && max(now.Sub(l.since), now.Round(0).Sub(l.since.Round(0))) > sendWithin
}

// What a look at the store finds.
type finding int

const (
	nothing   finding = iota // what was there before
	adopted                  // other tokens, now in use: somebody else has refreshed, or signed in
	foundNone                // signed out
	overtaken                // SetTokens came meanwhile: the look was none of anybody's business
)

// look reads the store and adopts what is news. held is what is in use then, also with an error.
func (s *session) look(ctx context.Context, gen uint64) (held Tokens, found finding, err error) {
	stored, err := s.read(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gen != gen:
		return Tokens{}, overtaken, nil
	case err != nil:
		return s.cur, nothing, fmt.Errorf("loading the tokens: %w", err)
	case !s.found(stored):
		return s.cur, nothing, nil
	case s.cur.isZero():
		return s.cur, foundNone, nil
	default:
		return s.cur, adopted, nil
	}
}

// lockAndLook gets the store's lock and looks at the store under it. It looks from time to time
// while it waits, too: where it finds something, or fails, there is no lock.
func (a *sessionLayer) lockAndLook(gen uint64) (lock storeLock, held Tokens, found finding, err error) {
	s := a.s
	ctx, cancel := context.WithTimeout(a.c.fam.closing.ctx, lockTimeout)
	defer cancel()
	done := make(chan struct{})
	peeking, stop := context.WithCancel(context.Background())
	go func() {
		defer stop() // a look without the lock is worth nothing any more, and costs the lock's time
		defer close(done)
		lock.unlock, err = s.locking.Lock(ctx)
		lock.since = time.Now()
	}()
	wait := lockPeek
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for waiting := true; waiting && found == nothing; {
		select {
		case <-done:
			waiting = false
		case <-timer.C:
			held, found, _ = s.look(peeking, gen)
			wait = min(2*wait, maxLockPeek)
			timer.Reset(wait)
		}
	}
	cancel()
	<-done // at once: it has ended, or its context has
	switch {
	case found != nothing:
		err = nil
	case err != nil:
		return storeLock{}, held, nothing, fmt.Errorf("locking the token store: %w", err)
	default:
		if held, found, err = s.look(context.Background(), gen); found == nothing && err == nil {
			if s.storeIs(false) {
				a.c.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: token store works again")
			}
			return lock, held, nothing, nil
		}
	}
	lock.release()
	return storeLock{}, held, found, err
}

// storeIs notes whether the store fails, and reports whether that is news.
func (s *session) storeIs(failing bool) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news = s.failing != failing
	s.failing = failing
	return news
}

// keptLock is a lock that is held on after its refresh has ended without a response: until the
// server has certainly given up, no other process may present the refresh token either.
type keptLock struct {
	timer  *time.Timer
	unlock func()
}

// keep holds the lock on until the given time, or until SetTokens makes that pointless. When the
// process ends before, the store's own means take over.
func (s *session) keep(gen uint64, lock storeLock, until time.Time) {
	if lock.unlock == nil {
		return
	}
	s.mu.Lock()
	if s.gen != gen {
		s.mu.Unlock()
		lock.release()
		return
	}
	k := &keptLock{unlock: sync.OnceFunc(lock.unlock)}
	k.timer = time.AfterFunc(time.Until(until), k.unlock)
	s.kept = k
	s.mu.Unlock()
}

func (k *keptLock) release() {
	if k != nil {
		k.timer.Stop()
		k.unlock()
	}
}

// settle releases the lock of a refresh whose tokens are saved. Where they are not, the store still
// has a refresh token that is used up, and another process would destroy the session with it. So
// the lock is held on while saving is tried again.
func (a *sessionLayer) settle(gen uint64, t Tokens, lock storeLock, unsaved error) {
	if unsaved == nil || lock.unlock == nil {
		lock.release()
		return
	}
	a.s.mu.Lock()
	moved := a.s.moved
	obsolete := a.s.gen != gen
	a.s.mu.Unlock()
	if obsolete {
		lock.release()
		return
	}
	closing := a.c.fam.closing.ctx.Done()
	err := a.c.fam.closing.launch(func() {
		defer lock.release()
		tick := time.NewTicker(saveAgain)
		defer tick.Stop()
		for tries := refreshDoubt / saveAgain; tries > 0; tries-- {
			select {
			case <-tick.C:
			case <-moved:
				return
			case <-closing:
				tries = 1 // the last chance
			}
			if done := a.saveStill(gen, t); done {
				return
			}
		}
	})
	if err != nil {
		lock.release()
	}
}

// saveStill saves tokens unless others are in use now.
func (a *sessionLayer) saveStill(gen uint64, t Tokens) (done bool) {
	s := a.s
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	obsolete := s.gen != gen || !s.cur.same(t)
	s.mu.Unlock()
	if obsolete {
		return true
	}
	if s.save(t) != nil {
		return false // as before, which has been reported
	}
	a.c.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: tokens saved after all")
	return true
}

// save writes the store. It is the caller's turn to.
func (s *session) save(t Tokens) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := s.store.Save(ctx, t); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = &t
	return nil
}

// install saves tokens, then puts them in use. When saving fails they are used all the same, and
// the failure is reported: the tokens before them are no longer good.
func (a *sessionLayer) install(gen uint64, t Tokens, obtained bool) (unsaved error) {
	s := a.s
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	if !s.current(gen) {
		return nil // signed out, or given other tokens, while these were on their way
	}
	if unsaved = s.save(t); unsaved != nil {
		a.c.warn("new tokens could not be saved; they are in use, but would not survive this process", unsaved)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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

// setTokens replaces the tokens; zero ones sign out. In memory that is done at once, so that no
// call is sent with the old ones any more.
func (c *Client) setTokens(ctx context.Context, t Tokens) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	s := c.session
	s.mu.Lock()
	if !t.isZero() && t.same(s.cur) && s.atWork() {
		// The tokens in use, whose refresh token the server may be taking right now: to begin anew
		// would present it twice.
		s.mu.Unlock()
		return nil
	}
	s.gen++ // what is in flight changes nothing from here on
	gen, who, old := s.gen, s.who, s.cur.AccessToken
	s.adopt(t, false)
	s.land(nil)
	kept := s.kept
	s.kept = nil
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	kept.release() // nobody here will present the old refresh token
	if t.isZero() && c.fam.cache != nil && who != "" {
		c.fam.cache.forgetPrincipal(ctx, who)
		if claims, ok := jwt.Principal(old); ok && claims != who {
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
	// The lock comes before the turn to write, as in a refresh, which may be holding it now.
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
	err := (&sessionLayer{c: c, s: s}).load(&call{Context: ctx, caller: ctx, client: c})
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

// accepted notes that the server took a token, so that what it says about its principal may be
// believed. Only a JSON success of a known route is such a word: sign-out returns 200 to any token,
// and a proxy's redirect or page to anybody.
func (a *sessionLayer) accepted(cl *call, resp *http.Response) {
	if a.c.fam.cache == nil || cl.token == "" || cl.route == nil || cl.route.Has(routes.Own401) ||
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
	if claims, ok := jwt.Principal(cl.token); ok {
		s.who = claims
	}
}

// principal names whose responses are cached and served; empty: nobody's. A token that the server
// has not accepted here names nobody but itself: a forged one must not open somebody else's
// entries. sent, if not empty, must be the token now held.
func (s *session) principal(sent string) (who string, gen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.AccessToken == "" || sent != "" && sent != s.cur.AccessToken {
		return "", s.gen
	}
	return s.who, s.gen
}

var errSignedOut = errors.New("signed out: the token store is empty")
