package authos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	core "github.com/authos-go/authos/internal/session"
)

const (
	// storeTimeout bounds each use of the token store.
	storeTimeout = 10 * time.Second
	// lockTimeout is longer: the lock may be held by another process's refresh, or by nobody after
	// one that died in it.
	lockTimeout = 2 * 35 * time.Second
	// unlockTimeout is how long those who wait for a refresh wait for its lock to be released.
	unlockTimeout = time.Second
	// returnGrace is how long a use whose time is over may take to say why.
	returnGrace = 100 * time.Millisecond
)

// expiringLock is implemented by stores whose lock ends by itself, 45 s after it was got.
type expiringLock interface{ LockExpires() bool }

// behindError is how a store says that it went back: what it holds is older than what it has given
// before. Under the lock it gives that together with the error.
type behindError interface {
	error
	Behind() bool
}

// tokenStore is how a session uses its store. Each use is bounded in time, and nothing that the
// store's code does (hang, panic, end its goroutine) reaches those who wait, or the next use.
type tokenStore struct {
	TokenStore
	memory *memoryStore // the store itself, when it is our own
	lock   func(ctx context.Context) (grant, error)
	marks  bool

	// Each holds one token: the turn to read, write or lock. A use that does not return keeps its
	// turn.
	reading, writing, locking chan struct{}
}

// grant is a lock that was got.
type grant struct {
	unlock  func(clean bool)
	suspect bool
}

func (s *tokenStore) use(store TokenStore) {
	s.TokenStore = store
	if store == nil {
		s.memory = &memoryStore{}
		s.TokenStore = s.memory
	}
	s.reading, s.writing, s.locking = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	if plain, ok := store.(LockingTokenStore); ok {
		s.lock = func(ctx context.Context) (grant, error) {
			unlock, err := plain.Lock(ctx)
			return grant{unlock: func(bool) { unlock() }}, err
		}
	}
	if acquirer, ok := store.(TokenStoreAcquirer); ok {
		s.marks = true
		s.lock = func(ctx context.Context) (grant, error) {
			release, clean, err := acquirer.Acquire(ctx)
			return grant{release, !clean}, err
		}
	}
}

func (s *tokenStore) locks() (has, expires bool) {
	lock, ok := s.TokenStore.(expiringLock)
	return s.lock != nil, ok && lock.LockExpires()
}

var (
	errStoreHangs = errors.New("an earlier use of the token store has not returned")
	errElsewhere  = errors.New("the tokens are another server's: their Origin is not this client's base URL")
)

// perform runs the program's code in a goroutine of its own, when it is its turn, and returns when
// ctx is done at the latest. late gets what comes afterwards.
func perform[T any](
	ctx context.Context, code *running, turn chan struct{}, f func(context.Context) (T, error), late func(T),
) (value T, err error) {
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return value, fmt.Errorf("%w: %w", errStoreHangs, contextEnd(ctx))
	}
	code.add(1)
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		o := outcome{err: &thrown{}}
		defer func() {
			if r := recover(); r != nil {
				o.err = &thrown{r}
			}
			<-turn
			done <- o
			code.add(-1)
		}()
		o.value, o.err = f(ctx)
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(returnGrace)
	defer grace.Stop()
	select {
	case o := <-done:
		return o.value, o.err
	case <-grace.C:
	}
	if late != nil {
		go func() {
			if o := <-done; o.err == nil {
				late(o.value)
			}
		}()
	}
	return value, contextEnd(ctx)
}

// running counts the program's code that has not returned.
type running struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when there is none
}

func (r *running) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += n
	if r.n == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// wait waits until all has returned, but no longer than that.
func (r *running) wait(longest time.Duration) {
	r.mu.Lock()
	if r.n == 0 {
		r.mu.Unlock()
		return
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}

// act is perform for uses that only succeed or fail.
func act(limit time.Duration, code *running, turn chan struct{}, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := perform(ctx, code, turn, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) }, nil)
	return err
}

// storeFailed notes that the store has failed. s.mu is held.
func (s *session) storeFailed(doing string, err error) {
	s.throw(err)
	s.storeErr = fmt.Errorf("%s: %w", doing, err)
}

// read looks at the store.
func (s *session) read() {
	if s.private {
		t, _ := s.store.memory.Load(context.Background())
		s.enter(func() core.Event { return core.Event{Kind: core.Read, OK: true, Pair: s.intern(newPair(t))} })
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	s.mu.Lock()
	s.cancels[looking] = cancel
	s.mu.Unlock()
	go func() {
		defer cancel()
		t, err := perform(ctx, &s.all.code, s.store.reading, s.store.Load, nil)
		behind, went := errors.AsType[behindError](err)
		if went = went && behind.Behind(); err == nil || went {
			if bad := s.fam.admit(t); bad != nil {
				err, went = bad, false
			}
		}
		s.enter(func() core.Event {
			if went {
				if e, ok := s.wentBack(t); ok {
					return e
				}
			}
			if err != nil {
				s.storeFailed("loading the tokens", err)
				return core.Event{Kind: core.Read}
			}
			if s.down && (s.state.Locked || !s.state.Locks) {
				s.down = false
				s.report(func(a *agent) {
					a.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: token store works again")
				})
			}
			return core.Event{Kind: core.Read, OK: true, Pair: s.intern(newPair(t))}
		})
	}()
}

// wentBack is what a look at a store means that went back, where this session holds newer tokens:
// on the way to the lock, that there is nothing new; under it, that what is there was replaced by
// what is held, which is then put back. Both locks are held.
func (s *session) wentBack(there Tokens) (core.Event, bool) {
	held := s.pairs[s.state.Held]
	if held == nil {
		return core.Event{}, false
	}
	e := core.Event{Kind: core.Read, OK: true, Pair: s.state.Held}
	if s.state.Locked {
		old := newPair(there)
		e.Pair = s.intern(old)
		s.all.remember(old.hash, fate{kind: core.Superseded, heir: held.hash})
	}
	return e, true
}

// admit checks tokens that come from outside.
func (f *family) admit(t Tokens) error {
	if t.isZero() {
		return nil
	}
	if t.Origin != "" && t.Origin != f.origin {
		// the port may be left out
		if u, err := url.Parse(t.Origin); err != nil || originOf(u) != f.origin {
			return errElsewhere
		}
	}
	return t.check()
}

// acquire waits for the store's lock, but no longer than the client lives. Both locks are held.
func (s *session) acquire() func() {
	if s.state.Goal == core.Refresh && s.state.Unsaved == 0 {
		if e, held := s.heldBack(0); held {
			// before the lock, which nobody should wait for because of this
			return func() { s.drive(e) }
		}
	}
	ctx, cancel := context.WithTimeout(s.fam.closing.ctx, lockTimeout)
	s.cancels[locking] = cancel
	lock := func() {
		defer cancel()
		got, err := perform(ctx, &s.all.code, s.store.locking, s.store.lock, func(g grant) { s.giveBack(g.unlock, true) })
		s.enter(func() core.Event {
			if err != nil {
				s.storeFailed("locking the token store", err)
				return core.Event{Kind: core.LockFailed}
			}
			s.unlock = got.unlock
			return core.Event{Kind: core.LockGot, OK: got.suspect}
		})
	}
	return func() { go lock() }
}

// release gives the lock up, and sees that it is free when those who wait go on. A lock that cannot
// say that something is open is held on until nothing is. Both locks are held.
func (s *session) release(clean bool) func() {
	unlock := s.unlock
	var undecided time.Duration
	if !clean && !s.store.marks {
		undecided = max(s.state.Left, s.state.PastLeft)
	}
	do := func() { s.giveBack(unlock, clean) }
	if undecided > 0 {
		return func() { time.AfterFunc(undecided, do) }
	}
	return do
}

// giveBack releases a lock of the store.
func (s *session) giveBack(unlock func(clean bool), clean bool) {
	err := act(unlockTimeout, &s.all.code, make(chan struct{}, 1), func(context.Context) error { unlock(clean); return nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throw(err)
}

// save writes the store.
func (s *session) save(h core.Pair, p *pair) {
	t := p.Tokens
	t.Origin = s.fam.origin
	s.write(func() {
		err := act(storeTimeout, &s.all.code, s.store.writing, func(ctx context.Context) error { return s.store.Save(ctx, t) })
		s.enter(func() core.Event {
			if err != nil {
				s.unsaved(p, err)
			} else if s.failing {
				s.failing = false
				s.report(func(a *agent) {
					a.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: tokens saved after all")
				})
			}
			return core.Event{Kind: core.Saved, Pair: h, OK: err == nil}
		})
	})
}

// write changes the store: in a goroutine of its own, unless that is our memory.
func (s *session) write(change func()) {
	if s.private {
		change()
		return
	}
	go change()
}

// unsaved reports tokens that could not be saved; the first time of a row. s.mu is held.
func (s *session) unsaved(p *pair, err error) {
	s.storeFailed("saving the tokens", err)
	if f := s.flight; f != nil && p.obtained {
		f.unsaved = s.storeErr
	}
	if !s.failing {
		s.failing = true
		cause := s.storeErr
		s.report(func(a *agent) {
			a.warn("new tokens could not be saved; they are in use, but would not survive this process", cause)
		})
	}
}

// remove deletes what the store holds.
func (s *session) remove() {
	s.write(func() {
		err := act(storeTimeout, &s.all.code, s.store.writing, s.store.Delete)
		s.enter(func() core.Event {
			if err != nil {
				s.storeFailed("deleting the tokens", err)
			}
			return core.Event{Kind: core.Deleted, OK: err == nil}
		})
	})
}
