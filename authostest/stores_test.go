package authostest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// tokenPlace is where the token stores below keep their tokens.
type tokenPlace struct {
	mu     sync.Mutex
	tokens authos.Tokens
	turn   chan struct{}
}

func newTokenPlace() *tokenPlace { return &tokenPlace{turn: make(chan struct{}, 1)} }

// plainTokens does all that a store must.
type plainTokens struct{ *tokenPlace }

func (s plainTokens) Load(context.Context) (authos.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens, nil
}

func (s plainTokens) Save(ctx context.Context, t authos.Tokens) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = t
	return nil
}

func (s plainTokens) Delete(ctx context.Context) error { return s.Save(ctx, authos.Tokens{}) }

// sharedTokens can lock, too.
type sharedTokens struct{ plainTokens }

func (s sharedTokens) Lock(ctx context.Context) (func(), error) {
	select {
	case s.turn <- struct{}{}:
		return sync.OnceFunc(func() { <-s.turn }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hooked replaces some methods of a good store.
type hooked struct {
	sharedTokens

	load   func(context.Context, plainTokens) (authos.Tokens, error)
	save   func(context.Context, plainTokens, authos.Tokens) error
	delete func(context.Context, plainTokens) error
	lock   func(context.Context, sharedTokens) (func(), error)
}

func (s hooked) Load(ctx context.Context) (authos.Tokens, error) {
	if s.load != nil {
		return s.load(ctx, s.plainTokens)
	}
	return s.plainTokens.Load(ctx)
}

func (s hooked) Save(ctx context.Context, t authos.Tokens) error {
	if s.save != nil {
		return s.save(ctx, s.plainTokens, t)
	}
	return s.plainTokens.Save(ctx, t)
}

func (s hooked) Delete(ctx context.Context) error {
	if s.delete != nil {
		return s.delete(ctx, s.plainTokens)
	}
	return s.plainTokens.Delete(ctx)
}

func (s hooked) Lock(ctx context.Context) (func(), error) {
	if s.lock != nil {
		return s.lock(ctx, s.sharedTokens)
	}
	return s.sharedTokens.Lock(ctx)
}

func canceled(ctx context.Context) bool { return ctx.Err() != nil }

func TestGoodTokenStores(t *testing.T) {
	shared := newTokenPlace()
	for name, tc := range map[string]struct {
		open func() (authos.TokenStore, error)
		opts []authostest.StoreOption
	}{
		"in memory":  {open: func() (authos.TokenStore, error) { return plainTokens{newTokenPlace()}, nil }},
		"persistent": {open: func() (authos.TokenStore, error) { return plainTokens{shared}, nil }, opts: []authostest.StoreOption{authostest.Persistent()}},
		"locking":    {open: func() (authos.TokenStore, error) { return sharedTokens{plainTokens{shared}}, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := authostest.TestTokenStore(tc.open, tc.opts...); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStoreThatDoesNotOpen(t *testing.T) {
	broken := errors.New("no such place")
	if err := authostest.TestTokenStore(func() (authos.TokenStore, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("TestTokenStore = %v, want %v", err, broken)
	}
	if err := authostest.TestCacheStore(func() (authos.CacheStore, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("TestCacheStore = %v, want %v", err, broken)
	}
}

func TestBrokenTokenStores(t *testing.T) {
	change := func(edit func(*authos.Tokens)) hooked {
		return hooked{save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			edit(&tokens)
			return s.Save(ctx, tokens)
		}}
	}
	var waiting atomic.Int32
	for _, tc := range []struct {
		name  string
		store hooked
		want  string
	}{
		{"an empty store is an error", hooked{load: func(ctx context.Context, s plainTokens) (authos.Tokens, error) {
			got, err := s.Load(ctx)
			if got == (authos.Tokens{}) {
				err = errors.New("not found")
			}
			return got, err
		}}, "empty store: Load: not found"},
		{"forgets the refresh token", change(func(t *authos.Tokens) { t.RefreshToken = "" }), "whole: the refresh token differs"},
		{"cuts long tokens", change(func(t *authos.Tokens) { t.AccessToken = t.AccessToken[:min(len(t.AccessToken), 4096)] }), "long and odd: the access token differs"},
		{"forgets the origin", change(func(t *authos.Tokens) { t.Origin = "" }), "origin: the origin differs"},
		{"forgets the expiry", change(func(t *authos.Tokens) { t.ExpiresAt = time.Time{} }), "whole: ExpiresAt is 0001"},
		{"rounds to minutes", change(func(t *authos.Tokens) { t.ExpiresAt = t.ExpiresAt.Truncate(time.Minute) }), "to the second"},
		{"zero time becomes 1970", change(func(t *authos.Tokens) {
			if t.ExpiresAt.IsZero() {
				t.ExpiresAt = time.Unix(0, 0)
			}
		}), "no expiry: ExpiresAt is 19"},
		{"loses the zone", change(func(t *authos.Tokens) {
			at := t.ExpiresAt
			t.ExpiresAt = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		}), "another zone: ExpiresAt"},
		{"merges", hooked{save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			if old, _ := s.Load(ctx); tokens.RefreshToken == "" {
				tokens.RefreshToken = old.RefreshToken
			}
			return s.Save(ctx, tokens)
		}}, "no refresh token: the refresh token differs"},
		{"does not delete", hooked{delete: func(context.Context, plainTokens) error { return nil }}, "after Delete: "},
		{"cannot delete twice", hooked{delete: func(ctx context.Context, s plainTokens) error {
			if got, _ := s.Load(ctx); got == (authos.Tokens{}) {
				return errors.New("nothing to delete")
			}
			return s.Delete(ctx)
		}}, "Delete of what is gone: nothing to delete"},
		{"writes in two steps", hooked{save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			half, _ := s.Load(ctx)
			half.AccessToken = tokens.AccessToken
			if err := s.Save(ctx, half); err != nil {
				return err
			}
			time.Sleep(10 * time.Microsecond)
			return s.Save(ctx, tokens)
		}}, "never saved together"},
		{"pretends to save", hooked{save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			if canceled(ctx) {
				return nil
			}
			return s.Save(ctx, tokens)
		}}, "Save with a canceled context returned no error and did not save"},
		{"pretends to load", hooked{load: func(ctx context.Context, s plainTokens) (authos.Tokens, error) {
			if canceled(ctx) {
				return authos.Tokens{}, nil
			}
			return s.Load(ctx)
		}}, "Load with a canceled context returned no error and not what was saved"},
		{"pretends to delete", hooked{delete: func(ctx context.Context, s plainTokens) error {
			if canceled(ctx) {
				return nil
			}
			return s.Delete(ctx)
		}}, "Delete with a canceled context returned no error and did not delete"},
		{"panics", hooked{load: func(context.Context, plainTokens) (authos.Tokens, error) { panic("nil map") }}, "panic: nil map"},
		{"hangs", hooked{load: func(context.Context, plainTokens) (authos.Tokens, error) {
			time.Sleep(time.Minute)
			return authos.Tokens{}, nil
		}}, "did not return within 10s"},
		{"does not lock", hooked{lock: func(context.Context, sharedTokens) (func(), error) { return func() {}, nil }}, "was given away again"},
		{"has no release", hooked{lock: func(context.Context, sharedTokens) (unlock func(), err error) { return unlock, err }}, "neither an error nor a way to release"},
		{"waits beyond the context", hooked{lock: func(_ context.Context, s sharedTokens) (func(), error) {
			late, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			defer cancel()
			return s.Lock(late)
		}}, "after its context was done"},
		{"releases what is another's", hooked{lock: func(ctx context.Context, s sharedTokens) (func(), error) {
			if _, err := s.Lock(ctx); err != nil {
				return nil, err
			}
			return func() {
				select {
				case <-s.turn:
				default:
				}
			}, nil
		}}, "a lock whose former holder released it twice was given away again"},
		{"panics when released twice", hooked{lock: func(ctx context.Context, s sharedTokens) (func(), error) {
			unlock, err := s.Lock(ctx)
			released := false
			return func() {
				if released {
					panic("unlock of unlocked mutex")
				}
				released = true
				unlock()
			}, err
		}}, "releasing a lock twice: panic: unlock of unlocked mutex"},
		{"unlock hangs", hooked{lock: func(ctx context.Context, s sharedTokens) (func(), error) {
			unlock, err := s.Lock(ctx)
			return func() { unlock(); time.Sleep(30 * time.Minute) }, err
		}}, "unlock: did not return within 10s"},
		{"releasing twice hangs", hooked{lock: func(ctx context.Context, s sharedTokens) (func(), error) {
			if _, err := s.Lock(ctx); err != nil {
				return nil, err
			}
			released := false
			return func() {
				if released {
					time.Sleep(30 * time.Minute)
				}
				released = true
				<-s.turn
			}, nil
		}}, "releasing a lock twice: did not return within 10s"},
		{"lets the third in", hooked{lock: func(ctx context.Context, s sharedTokens) (func(), error) {
			if waiting.Add(1) > 2 {
				waiting.Add(-1)
				return func() {}, nil
			}
			defer waiting.Add(-1)
			return s.Lock(ctx)
		}}, "counted by many, each under the lock: the access token differs"},
		{"takes more than it gives", hooked{load: func(ctx context.Context, s plainTokens) (authos.Tokens, error) {
			got, err := s.Load(ctx)
			if len(got.AccessToken) > 1<<20 {
				return authos.Tokens{}, errors.New("too large")
			}
			return got, err
		}}, "5 MiB: Load: too large"},
		{"mends text", change(func(t *authos.Tokens) { t.AccessToken = strings.ToValidUTF8(t.AccessToken, "?") }),
			"text that is no UTF-8: the access token differs"},
		{"saves wait for the lock", hooked{save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			late, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			unlock, err := sharedTokens{s}.Lock(late)
			if err != nil {
				return err
			}
			defer unlock()
			return s.Save(ctx, tokens)
		}}, "Save under the lock: context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				place := newTokenPlace()
				err := authostest.TestTokenStore(func() (authos.TokenStore, error) {
					store := tc.store
					store.sharedTokens = sharedTokens{plainTokens{place}}
					return store, nil
				})
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("TestTokenStore = %v, want %q in it", err, tc.want)
				}
				time.Sleep(time.Hour) // until what was left behind has ended
			})
		})
	}
}

// leased is a store whose lock runs out.
type leased struct {
	sharedTokens

	lease *lease
	// What is wrong with it.
	endsWhileHeld, endsAtOnce, tellsNothing, neverEnds bool
}

type lease struct{ unclean bool }

func (s leased) Acquire(ctx context.Context) (func(bool), bool, error) {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return nil, false, err
	}
	clean := !s.lease.unclean
	s.lease.unclean = false
	if s.endsWhileHeld {
		time.AfterFunc(time.Second, unlock)
	}
	var once sync.Once
	return func(clean bool) {
		once.Do(func() {
			s.lease.unclean = !clean && !s.tellsNothing
			switch {
			case clean || s.endsAtOnce:
				unlock()
			case !s.neverEnds:
				time.AfterFunc(time.Second, unlock)
			}
		})
	}, clean, nil
}

func TestStoresWhoseLockRunsOut(t *testing.T) {
	for name, tc := range map[string]struct {
		store leased
		want  string
	}{
		"good":            {},
		"ends while held": {leased{endsWhileHeld: true}, "held for longer than that of a dead holder was given away"},
		"ends at once":    {leased{endsAtOnce: true}, "just given up in doubt was given away"},
		"tells nothing":   {leased{tellsNothing: true}, "Acquire reports true for whether the last holder released"},
		"never ends":      {leased{neverEnds: true}, "a lock given up in doubt: Acquire: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.store.sharedTokens, tc.store.lease = sharedTokens{plainTokens{newTokenPlace()}}, &lease{}
				err := authostest.TestTokenStore(func() (authos.TokenStore, error) { return tc.store, nil }, authostest.LockEnds(time.Second))
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("TestTokenStore = %v, want %q in it", err, tc.want)
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// TestStoresThatDoNotShare: each store has data of its own, though it is said to be
// persistent.
func TestStoresThatDoNotShare(t *testing.T) {
	err := authostest.TestTokenStore(func() (authos.TokenStore, error) { return plainTokens{newTokenPlace()}, nil }, authostest.Persistent())
	if err == nil || !strings.Contains(err.Error(), "saved by another store: the access token differs") {
		t.Errorf("TestTokenStore = %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		err = authostest.TestCacheStore(func() (authos.CacheStore, error) { return &mapCache{}, nil }, authostest.Persistent())
		if err == nil || !strings.Contains(err.Error(), "set by another store: there is nothing") {
			t.Errorf("TestCacheStore = %v", err)
		}
	})
}

// TestSuiteKeepsSecrets: what is wrong with tokens is said without showing them.
func TestSuiteKeepsSecrets(t *testing.T) {
	err := authostest.TestTokenStore(func() (authos.TokenStore, error) {
		return hooked{sharedTokens: sharedTokens{plainTokens{newTokenPlace()}}, save: func(ctx context.Context, s plainTokens, tokens authos.Tokens) error {
			return s.Save(ctx, authos.Tokens{AccessToken: "swapped-" + tokens.RefreshToken, RefreshToken: "swapped-" + tokens.AccessToken})
		}}, nil
	})
	if err == nil || strings.Contains(err.Error(), "swapped") || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("TestTokenStore = %v", err)
	}
}
