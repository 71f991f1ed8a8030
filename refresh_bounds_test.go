package authos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// stuckStore has uses that do not return before they are let go, whatever their context says.
type stuckStore struct {
	*lockStore
	lock, load, save, let chan struct{}
}

func untilLet(ch chan struct{}) {
	if ch != nil {
		<-ch
	}
}

func (s *stuckStore) Lock(context.Context) (func(), error) {
	untilLet(s.lock)
	return s.lockStore.Lock(context.Background())
}

func (s *stuckStore) Load(ctx context.Context) (authos.Tokens, error) {
	untilLet(s.load)
	return s.lockStore.Load(ctx)
}

func (s *stuckStore) Save(ctx context.Context, t authos.Tokens) error {
	untilLet(s.save)
	return s.lockStore.Save(ctx, t)
}

// Each use of a store has its time, and a call that waits for it ends then. The store may do later
// what it was asked to do: it does no harm, and a lock that comes then is given back.
func TestStoreThatDoesNotReturn(t *testing.T) {
	const grace = 100 * time.Millisecond // for saying why
	for name, tc := range map[string]struct {
		stuck func(s *stuckStore)
		took  time.Duration
		says  string // empty: the call succeeds
	}{
		"Lock": {func(s *stuckStore) { s.lock = s.let }, 70*time.Second + grace, "locking the token store"},
		"Load": {func(s *stuckStore) { s.load = s.let }, 10*time.Second + grace, "loading the tokens"},
		"Save": {func(s *stuckStore) { s.save = s.let }, 10*time.Second + grace, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &stuckStore{lockStore: newLockStore(), let: make(chan struct{})}
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				tc.stuck(store)
				start := time.Now()
				err := getUser(t, c)
				equal(t, "the call took", time.Since(start), tc.took)
				if tc.says == "" {
					noError(t, "Get with tokens that could not be saved", err)
				} else if e := uncertainError(t, err); !strings.Contains(e.Error(), tc.says) {
					t.Errorf("Get = %v, want %q in it", e, tc.says)
				}
				close(store.let)
				time.Sleep(time.Minute)
				noError(t, "Get afterwards", getUser(t, c))
				equal(t, "stored", store.get(), anywhere(heldTokens(t, c)))
				equal(t, "replays", srv.Replays(), 0)
				holdLock(t, store.lockStore)()
			})
		})
	}
}

// Close gives a refresh that hangs 5 s, and then gives it up.
func TestCloseGivesUpWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Kind: authostest.Hang})
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		start := time.Now()
		noError(t, "Close", c.Close())
		equal(t, "Close took", time.Since(start), 5*time.Second)
		sessionUncertain(t, <-waiter)
	})
}

// A refresh ahead of expiry gets half of the time that a call has, whose token is still good.
func TestEarlyRefreshLeavesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)))
		noError(t, "Get", getUser(t, c))
		time.Sleep(time.Hour - 20*time.Second)
		srv.Fault(authostest.Fault{Path: refreshPath, Kind: authostest.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.User.Get(ctx)
		noError(t, "Get", err)
		equal(t, "it waited", time.Since(start), 5*time.Second)
	})
}

// releasingSlowly is a store whose lock takes a while to be released.
type releasingSlowly struct{ *lockStore }

func (s releasingSlowly) Lock(ctx context.Context) (func(), error) {
	unlock, err := s.lockStore.Lock(ctx)
	return func() { time.Sleep(time.Second / 2); unlock() }, err
}

// When those who wait for a refresh go on, its lock is free: the process may end with them.
func TestLockIsFreeAfterACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := releasingSlowly{newLockStore()}
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		equal(t, "the lock is held", store.held, false)
		equal(t, "locks", store.locks, 1)
	})
}

// tellingStore writes down how its lock is released.
type tellingStore struct {
	*lockStore
	clean []bool
	died  bool // its last holder, without releasing it
}

func (s *tellingStore) Acquire(ctx context.Context) (release func(clean bool), clean bool, err error) {
	unlock, err := s.Lock(ctx)
	return func(clean bool) {
		s.mu.Lock()
		s.clean = append(s.clean, clean)
		s.mu.Unlock()
		unlock()
	}, !s.died, err
}

// The lock is released as clean after a refresh, and not after one in doubt.
func TestHowTheLockIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &tellingStore{lockStore: newLockStore()}
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
		sessionUncertain(t, getUser(t, c))
		time.Sleep(36 * time.Second)
		store.mu.Lock()
		defer store.mu.Unlock()
		equal(t, "released as clean", fmt.Sprint(store.clean), "[true false]")
	})
}

// Where a client ends in doubt, a lock that can say so is given up at once, and any other when the
// doubt has ended.
func TestLockOfADoubtAtTheEnd(t *testing.T) {
	for name, want := range map[string]time.Duration{"says so": 0, "cannot": 35 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				telling := &tellingStore{lockStore: newLockStore()}
				telling.put(signIn(srv, adaEmail))
				var store authos.TokenStore = telling
				if want > 0 {
					store = telling.lockStore
				}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				srv.ExpireAccessTokens()
				srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
				start := time.Now()
				sessionUncertain(t, getUser(t, c))
				noError(t, "Close", c.Close())
				unlock, err := telling.Lock(t.Context())
				noError(t, "Lock", err)
				equal(t, "the lock was free after", time.Since(start), want)
				unlock()
			})
		})
	}
}

// A session that nobody uses gives its lock up when its doubt has ended.
func TestIdleSessionFreesTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		idle := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, idle))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
		start := time.Now()
		sessionUncertain(t, getUser(t, idle))
		noError(t, "Get of another process", getUser(t, localClient(t, srv.Transport(), authos.WithTokenStore(store))))
		equal(t, "it waited", time.Since(start), 35*time.Second)
		equal(t, "replays", srv.Replays(), 0)
	})
}

// A doubt about a refresh token is over when the server takes the access token of its pair, which
// would have died with it. A refusal before the expiry then is no sign that it was taken.
func TestAcceptedTokenEndsTheSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := newLockStore()
		store.put(signInFor(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRefreshBefore(10*time.Minute))
		noError(t, "Get", getUser(t, c))
		time.Sleep(51 * time.Minute)
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
		noError(t, "Get, whose refresh is lost", getUser(t, c))
		equal(t, "refreshes", refreshCount(srv), 1)
		time.Sleep(time.Minute)
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		noError(t, "Get that refreshes at once", getUser(t, c))
		equal(t, "refreshes", refreshCount(srv), 2)
		equal(t, "replays", srv.Replays(), 0)
	})
}

// The same where one call was refused and another, sent before, is not: the refusal says nothing
// then about what a process that died may have done.
func TestAcceptedTokenEndsTheRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := &tellingStore{lockStore: newLockStore()}
		store.put(signInFor(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Delay: 5 * time.Second})
		srv.Fault(authostest.Fault{Path: "/api/organizations", Status: 401, Body: deadTokenBody})
		down := srv.Fault(authostest.Fault{Path: refreshPath, Status: 429, Header: http.Header{"Retry-After": {"300"}}})
		slow := make(chan error, 1)
		go func() { slow <- getUser(t, c) }()
		time.Sleep(time.Second)
		sessionUncertain(t, c.Do(t.Context(), "GET", "/api/organizations", nil, nil))
		noError(t, "the slow Get", <-slow)
		noError(t, "Get with the same token", getUser(t, c))
		down()
		time.Sleep(time.Hour)
		store.died = true
		noError(t, "Get after the expiry", getUser(t, c))
		equal(t, "replays", srv.Replays(), 0)
	})
}

// A client that waits for what another one of its family presents goes on as soon as that is there.
func TestWaitForAnotherClientsRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		row := &testStore{tokens: signIn(srv, adaEmail)}
		root := localClient(t, srv.Transport())
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 5 * time.Second})
		start := time.Now()
		var group sync.WaitGroup
		for range 3 { // each has a store of its own on the row, so that they are not one session
			c, err := root.With(authos.WithTokenStore(&htLateSave{TokenStore: row}))
			noError(t, "With", err)
			group.Go(func() {
				noError(t, "Get", getUser(t, c))
				equal(t, "it took", time.Since(start), 5*time.Second)
			})
		}
		group.Wait()
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

// Close waits for the program's own code that has not returned, no longer than it has to and no
// longer than ten seconds.
func TestCloseWaitsForTheProgramsCode(t *testing.T) {
	for name, tc := range map[string]struct{ late, want time.Duration }{
		"none runs": {0, 0}, "returns": {8 * time.Second, 7 * time.Second}, "hangs": {time.Hour, 10*time.Second + 100*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &testStore{onLoad: func() error { time.Sleep(tc.late); return nil }}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.User.Get(ctx)
				equal(t, "Get ends by its deadline", errors.Is(err, context.DeadlineExceeded), tc.late > 0)
				start := time.Now()
				noError(t, "Close", c.Close())
				equal(t, "Close took", time.Since(start), tc.want)
				time.Sleep(time.Hour) // for what hangs
			})
		})
	}
}

// A lock that the store gives when the client was closed long ago is given back.
func TestLockAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &panicky{newLockStore(), 3 * time.Minute}
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.User.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v, want the deadline", err)
		}
		noError(t, "Close", c.Close())
		time.Sleep(time.Hour)
		locks, held := store.use()
		equal(t, "locks", locks, 1)
		equal(t, "the lock is held", held, false)
		equal(t, "refreshes", refreshCount(srv), 0)
	})
}

// The longest wait that a policy obeys is obeyed, to the second.
func TestGateOfTheLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)),
			authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1, MaxRetryAfter: 10 * time.Second}))
		srv.ExpireAccessTokens()
		raiseGate(t, srv, c, "10")
		start := time.Now()
		noError(t, "Get", getUser(t, c))
		if took := time.Since(start); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("Get took %v, want 10 s and little more", took)
		}
	})
}

// Clients that use an empty store are one session, too: what one of them is given, the others have
// without a look at the store.
func TestOneSessionForAnEmptyStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		root := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		equal(t, "held", heldTokens(t, root), authos.Tokens{})
		other, err := root.With(authos.WithTokenStore(store))
		noError(t, "With", err)
		tokens := signIn(srv, adaEmail)
		noError(t, "SetTokens", root.SetTokens(t.Context(), tokens))
		loads := store.loads
		equal(t, "held by the other", heldTokens(t, other), tokens)
		equal(t, "loads", store.loads-loads, 0)
	})
}

// All clients that use a store are one session: it is asked for the tokens once.
func TestOneSessionForAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		root := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		for range 10 {
			c, err := root.With(authos.WithTokenStore(store))
			noError(t, "With", err)
			noError(t, "Get", getUser(t, c))
		}
		equal(t, "loads", store.loads, 1)
	})
}

// Tokens given together with a store that another client has found, or will find, empty go into it.
func TestSeedOfAStoreInUse(t *testing.T) {
	for name, used := range map[string]bool{"found empty": true, "not asked yet": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &testStore{}
				root := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				if used {
					equal(t, "held", heldTokens(t, root), authos.Tokens{})
				}
				tokens := signIn(srv, adaEmail)
				c, err := root.With(authos.WithTokenStore(store), authos.WithTokens(tokens))
				noError(t, "With", err)
				noError(t, "Get", getUser(t, c))
				equal(t, "stored", store.get(), anywhere(tokens))
				noError(t, "Get of the first client", getUser(t, root))
			})
		})
	}
}

// Tokens find their session also where it has been refreshed more than once since: no client makes
// one of its own with a refresh token that was used.
func TestTokensOfLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		first := signIn(srv, adaEmail)
		root := localClient(t, srv.Transport())
		c, err := root.With(authos.WithTokens(first))
		noError(t, "With", err)
		for range 3 {
			srv.ExpireAccessTokens()
			noError(t, "Get", getUser(t, c))
		}
		again, err := root.With(authos.WithTokens(first))
		noError(t, "With", err)
		noError(t, "Get", getUser(t, again))
		equal(t, "held", heldTokens(t, again), heldTokens(t, c))
		elsewhere, err := root.With(authos.WithTokenStore(&testStore{tokens: first}))
		noError(t, "With", err)
		noError(t, "Get with a store that holds them", getUser(t, elsewhere))
		equal(t, "refreshes", refreshCount(srv), 3)
		equal(t, "replays", srv.Replays(), 0)
	})
}

// A call is its principal's from its beginning, also where it waits before anything is sent for it.
func TestCallIsOwnedFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		alice, bob := signIn(srv, "alice@example.com"), signIn(srv, "bob@example.com")
		c := localClient(t, srv.Transport(), authos.WithTokens(alice))
		srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"5"}}})
		ended := make(chan error, 2)
		for range 2 { // the first gets the 429, and the second waits behind it
			go func() { ended <- getUser(t, c) }()
			time.Sleep(time.Second)
		}
		equal(t, "requests so far", srv.Count("", ""), 1)
		noError(t, "SetTokens", c.SetTokens(t.Context(), bob))
		sessionForeign(t, <-ended)
		sessionForeign(t, <-ended)
		equal(t, "requests", srv.Count("", ""), 1)
	})
}

// What the client saves says whose tokens they are, and what a store gives is checked as what the
// program gives is.
func TestStoredTokensAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		tokens := signIn(srv, adaEmail)
		noError(t, "SetTokens", c.SetTokens(t.Context(), anywhere(tokens)))
		origin := store.tokens.Origin
		equal(t, "Origin", strings.HasSuffix(origin, "://127.0.0.1:80") || strings.HasSuffix(origin, "://127.0.0.1:443"), true)
		tokens.Origin = origin[:strings.LastIndex(origin, ":")] // as a program may write it
		noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		for name, bad := range map[string]authos.Tokens{
			"access token":  {AccessToken: tokens.AccessToken + "\n", RefreshToken: tokens.RefreshToken},
			"refresh token": {AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken + "\n"},
		} {
			store.put(bad)
			e := uncertainError(t, getUser(t, localClient(t, srv.Transport(), authos.WithTokenStore(store))))
			if invalid := (*authos.ValidationError)(nil); !errors.As(e, &invalid) {
				t.Errorf("%s: %v, want an error that names the field", name, e)
			}
		}
		equal(t, "requests", srv.Count("", ""), 0)
	})
}

// panicky is a store whose locks panic when they are released. Its Lock may come too late.
type panicky struct {
	*lockStore
	late time.Duration
}

func (s *panicky) Lock(ctx context.Context) (func(), error) {
	time.Sleep(s.late)
	unlock, err := s.lockStore.Lock(context.WithoutCancel(ctx))
	return func() { unlock(); panic("a bug of the store's") }, err
}

// A panic in the release of a lock is logged, also where the lock was got when nobody waited for it
// any more, and does no harm.
func TestReleaseThatPanics(t *testing.T) {
	for name, late := range map[string]time.Duration{"in time": 0, "too late": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &panicky{newLockStore(), late}
				store.put(signIn(srv, adaEmail))
				var log strings.Builder
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				srv.ExpireAccessTokens()
				err := getUser(t, c)
				if late == 0 {
					noError(t, "Get", err)
				} else {
					sessionUncertain(t, err)
				}
				time.Sleep(late + time.Second)
				synctest.Wait()
				equal(t, "panics in the log", strings.Count(log.String(), "the program's code panicked: a bug of the store's"), 1)
				store.late = 0
				noError(t, "Get afterwards", getUser(t, c))
			})
		})
	}
}

// Clients that are given the same tokens are one session: what one of them is given then, all have.
func TestOneSessionForTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signIn(srv, adaEmail)
		clients := []*authos.Client{localClient(t, srv.Transport(), authos.WithTokens(tokens))}
		for range 2 {
			c, err := clients[0].With(authos.WithTokens(tokens))
			noError(t, "With", err)
			clients = append(clients, c)
		}
		bob := signIn(srv, "bob@example.com")
		noError(t, "SetTokens", clients[1].SetTokens(t.Context(), bob))
		for _, c := range clients {
			equal(t, "held", heldTokens(t, c), bob)
		}
		noError(t, "Logout", clients[2].Auth.Logout(t.Context()))
		equal(t, "held after a sign-out", heldTokens(t, clients[0]), authos.Tokens{})
	})
}

// However many sessions there are, a client that is given the first tokens of one joins it, also
// when that one has other tokens by now.
func TestSessionIsFoundAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		root := localClient(t, srv.Transport())
		var clients []*authos.Client
		var tokens []authos.Tokens
		for n := range 200 {
			tokens = append(tokens, signIn(srv, fmt.Sprintf("user%d@example.com", n)))
			c, err := root.With(authos.WithTokens(tokens[n]))
			noError(t, "With", err)
			clients = append(clients, c)
			if n%2 == 0 {
				srv.ExpireAccessTokens()
				noError(t, "Get", getUser(t, c))
			}
		}
		for n, c := range clients {
			again, err := root.With(authos.WithTokens(tokens[n]))
			noError(t, "With", err)
			equal(t, "held", heldTokens(t, again), heldTokens(t, c))
			noError(t, "SetTokens", c.SetTokens(t.Context(), signIn(srv, adaEmail)))
			equal(t, "held after others were set", heldTokens(t, again), heldTokens(t, c))
		}
	})
}

// raiseGate has another call collect a 429 of the limiter that refreshes share.
func raiseGate(t *testing.T, srv *authostest.Server, c *authos.Client, seconds string) {
	t.Helper()
	srv.Fault(authostest.Fault{Path: "/api/auth/login", Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {seconds}}})
	_, _ = c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"}, authos.WithoutRetry())
}

// A refresh that the rate-limit gate holds back does not wait for the lock, which another process
// may have for long: who has no time for the gate is told of it at once.
func TestHeldBackRefreshWaitsForNoLock(t *testing.T) {
	for name, tc := range map[string]struct {
		asked string
		has   time.Duration
	}{
		"longer than the policy obeys": {"300", time.Hour},
		"longer than the call has":     {"20", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				raiseGate(t, srv, c, tc.asked)
				_ = holdLock(t, store)
				ctx, cancel := context.WithTimeout(t.Context(), tc.has)
				defer cancel()
				start := time.Now()
				_, err := c.User.Get(ctx)
				equal(t, "it waited", time.Since(start), 0)
				asked, _ := time.ParseDuration(tc.asked + "s")
				if limited, ok := errors.AsType[*authos.RateLimitError](err); !ok || limited.RetryAfter != asked {
					t.Errorf("Get = %v, want the limit and its %v", err, asked)
				}
				if in := sessionError(t, err).RetryAt.Sub(start); in < asked || in > asked+asked/5 {
					t.Errorf("RetryAt in %v, want about %v", in, asked)
				}
				equal(t, "refreshes", refreshCount(srv), 0)
			})
		})
	}
}

// The gate holds back what is sent, and not what is saved: a store that went back is put right.
func TestGateDoesNotHoldBackSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		old := signIn(srv, adaEmail)
		store.put(old)
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		noError(t, "Get that refreshes", getUser(t, c))
		newer := store.get()
		store.put(old)
		srv.ExpireAccessTokens()
		raiseGate(t, srv, c, "20")
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		equal(t, "the store has the newer tokens again", store.get(), newer)
		noError(t, "Get", <-waiter)
		equal(t, "refreshes", refreshCount(srv), 2)
	})
}
