package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A refresh that waits at the rate-limit gate presents the old refresh token after SetTokens.
func TestHostileGateThenSetTokens(t *testing.T) {
	for _, locking := range []bool{false, true} {
		t.Run(fmt.Sprint("locking=", locking), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				old := signIn(srv, adaEmail)
				var store authos.TokenStore = &testStore{}
				if locking {
					store = newLockStore()
				}
				c := localClient(t, srv.Transport(), authos.WithTokens(old), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				remove := srv.Fault(authostest.Fault{Path: "/api/auth/login", Times: 1, Status: 429, Header: http.Header{"Retry-After": {"20"}}})
				_, _ = c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"}, authos.WithoutRetry())
				remove()
				waiter := make(chan error, 1)
				go func() { waiter <- getUser(t, c) }()
				time.Sleep(5 * time.Second)
				// the program refreshes by itself, and sets what it got
				fresh, err := localClient(t, srv.Transport()).Auth.Refresh(t.Context(), old.RefreshToken)
				noError(t, "Refresh", err)
				noError(t, "SetTokens", c.SetTokens(t.Context(), fresh))
				noError(t, "waiter", <-waiter)
				time.Sleep(time.Minute)
				equal(t, "refreshes", refreshCount(srv), 1)
				equal(t, "replays", srv.Replays(), 0)
				noError(t, "Get with the tokens set", getUser(t, c))
			})
		})
	}
}

// An early call waits for the lock after a first try that did not reach the server.
func TestHostileEarlyWaitsForTheLockAfterA429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := newLockStore()
		tokens := signInFor(srv, adaEmail)
		tokens.ExpiresAt = tokens.ExpiresAt.Add(0)
		store.put(tokens)
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRefreshBefore(5*time.Minute))
		noError(t, "Get", getUser(t, c))
		time.Sleep(56 * time.Minute)
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Status: 429, Header: http.Header{"Retry-After": {"2"}}})
		go func() {
			time.Sleep(time.Second)
			unlock := holdLock(t, store) // another process, busy or frozen
			time.Sleep(100 * time.Second)
			unlock()
		}()
		start := time.Now()
		noError(t, "Get with a good token", getUser(t, c))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a call with a good token waited %v", took)
		}
		time.Sleep(3 * time.Minute)
	})
}

// A Save that took effect though it failed, then a refresh in doubt during a failed Load: presented
// twice within 35 s.
func TestHostileSavedAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen refreshLog
		srv := &script{}
		n := 0
		srv.respond = func(r seenRequest) reply {
			if r.path == refreshPath {
				n++
				if n == 1 {
					return reply{status: 200, body: pairBody("a1", "r2")}
				}
				return reply{err: connectionReset()}
			}
			if r.auth == "a1" && n == 1 {
				return reply{status: 200, body: userBody}
			}
			return reply{status: 401, body: deadTokenBody}
		}
		store := &testStore{tokens: oldTokens}
		var unreadable atomic.Bool // the session looks at the store by itself, too
		store.onLoad = func() error {
			if unreadable.Load() {
				return errors.New("i/o timeout")
			}
			return nil
		}
		c := localClient(t, srv, authos.WithTokenStore(store), seen.option())
		store.onSave = func() error { // it takes effect, but its response is lost
			store.put(authos.Tokens{AccessToken: "a1", RefreshToken: "r2"})
			return errors.New("i/o timeout")
		}
		noError(t, "Get", getUser(t, c))
		unreadable.Store(true)
		time.Sleep(2 * time.Hour) // the token expires
		n++                       // a1 is dead now
		sessionUncertain(t, getUser(t, c))
		unreadable.Store(false)
		time.Sleep(time.Second)
		sessionUncertain(t, getUser(t, c))
		presented := 0
		for _, r := range srv.requests() {
			if r.path == refreshPath && strings.Contains(r.body, `"r2"`) {
				presented++
			}
		}
		equal(t, "r2 presented within 35 s", presented, 1)
	})
}

// T4b: the milder form.
func TestHostileSavedAfterAllIsNotNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen refreshLog
		srv := fakeServer(t)
		store := &testStore{tokens: signIn(srv, adaEmail)}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), seen.option())
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		good := &testStore{}
		_ = good
		ctxErr := errors.New("i/o timeout")
		wrap := &htLateSave{TokenStore: store, err: ctxErr}
		_ = wrap
		c2 := localClient(t, srv.Transport(), authos.WithTokenStore(wrap), seen.option())
		noError(t, "Get", getUser(t, c2))
		wrap.err = nil
		srv.ExpireAccessTokens()
		srv.Reset()
		noError(t, "Get", getUser(t, c2))
		equal(t, "sends of the call", srv.Count("GET", "/api/user"), 2)
	})
}

type htLateSave struct {
	authos.TokenStore
	err error
}

func (s *htLateSave) Save(ctx context.Context, tk authos.Tokens) error {
	if err := s.TokenStore.Save(ctx, tk); err != nil {
		return err
	}
	return s.err
}

// SetTokens with the tokens held, while their refresh is in doubt.
func TestHostileSetSameTokensInDoubt(t *testing.T) {
	for _, locking := range []bool{false, true} {
		t.Run(fmt.Sprint("locking=", locking), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				tokens := signIn(srv, adaEmail)
				var store authos.TokenStore = &testStore{tokens: tokens}
				if locking {
					l := newLockStore()
					l.put(tokens)
					store = l
				}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				srv.ExpireAccessTokens()
				srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
				sessionUncertain(t, getUser(t, c))
				noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
				_ = getUser(t, c)
				equal(t, "presentations at once", refreshCount(srv), 1)
			})
		})
	}
}

// Peeks at a slow store make every lock stale.
type htSlow struct {
	*lockStore
	load, lock time.Duration
}

func (s *htSlow) Load(ctx context.Context) (authos.Tokens, error) {
	if err := pauseFor(ctx, s.load); err != nil {
		return authos.Tokens{}, err
	}
	return s.lockStore.Load(ctx)
}

func (s *htSlow) Lock(ctx context.Context) (func(), error) {
	if err := pauseFor(ctx, s.lock); err != nil {
		return nil, err
	}
	return s.lockStore.Lock(ctx)
}

func TestHostilePeekMakesStale(t *testing.T) {
	for _, lock := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond} {
		t.Run(lock.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &htSlow{newLockStore(), 2100 * time.Millisecond, lock}
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				noError(t, "Get", getUser(t, c))
				equal(t, "locks", store.locks, 1)
			})
		})
	}
}

// A call that one new token did not help never looks for what another process got since.
func TestHostileUncuredHidesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		a := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		b := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, a))
		noError(t, "Get", getUser(t, b))
		remove := srv.Fault(authostest.Fault{Path: "/api/user", Times: 2, Status: 401, Body: deadTokenBody})
		if err := getUser(t, a); err == nil {
			t.Fatal("no 401")
		}
		remove()
		noError(t, "Get of a", getUser(t, a))
		// b refreshes: for any reason
		srv.ExpireAccessTokens()
		noError(t, "Get of b", getUser(t, b)) // finds a's token? dead: refreshes
		noError(t, "Get of a, for which the store has good tokens", getUser(t, a))
	})
}

type htListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *htListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *htListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *htListener) Addr() net.Addr { return &net.TCPAddr{} }

// A slow dial lies between the check of the lock's age and the moment the refresh token leaves.
func TestHostileSlowDial(t *testing.T) {
	for _, locking := range []bool{true, false} {
		name := map[bool]string{true: "locking", false: "plain"}[locking]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &htListener{conns: make(chan net.Conn), done: make(chan struct{})}
				var mu sync.Mutex
				var arrived []time.Time
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != refreshPath {
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(401)
						_, _ = w.Write([]byte(deadTokenBody))
						return
					}
					body := make([]byte, 1000)
					n, _ := r.Body.Read(body)
					if !strings.Contains(string(body[:n]), "r1") {
						return // nothing was presented
					}
					mu.Lock()
					arrived = append(arrived, time.Now())
					mu.Unlock()
					time.Sleep(30 * time.Second) // the server's work, which it ends then
					w.WriteHeader(504)
				})}
				go func() { _ = server.Serve(l) }()
				defer server.Close()
				n := 0
				tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					mu.Lock()
					n++
					slow := n == 2 // the first refresh's
					mu.Unlock()
					if slow {
						if err := pauseFor(ctx, 9*time.Second); err != nil { // lost SYNs
							return nil, err
						}
					}
					a, b := net.Pipe()
					l.conns <- b
					return a, nil
				}}
				stall := &sessionStall{lockStore: newLockStore()}
				stall.put(oldTokens)
				plain := &testStore{tokens: oldTokens}
				var store authos.TokenStore = plain
				if locking {
					store = stall
				}
				c := localClient(t, tr, authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				start := time.Now()
				_ = getUser(t, c)
				time.Sleep(max(0, time.Until(start.Add(36*time.Second))))
				_ = getUser(t, c)
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				for i, at := range arrived {
					t.Logf("presented at %v", at.Sub(start))
					if locking && i < len(stall.got) {
						best := time.Hour
						for _, got := range stall.got {
							if d := at.Sub(got); d >= 0 {
								best = min(best, d)
							}
						}
						if best > 4*time.Second {
							t.Errorf("presented %v after the lock was got", best)
						}
					}
					if i > 0 && at.Sub(arrived[i-1]) < 30*time.Second {
						t.Errorf("presented again %v after it arrived, while the server may be at work", at.Sub(arrived[i-1]))
					}
				}
			})
		})
	}
}

func TestHostileSetSameTokensDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signIn(srv, adaEmail)
		c := localClient(t, srv.Transport(), authos.WithTokens(tokens))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Delay: 5 * time.Second})
		done := make(chan error, 1)
		go func() { done <- getUser(t, c) }()
		time.Sleep(time.Second)
		noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		err := <-done
		time.Sleep(time.Minute)
		equal(t, "replays", srv.Replays(), 0)
		noError(t, "Get", err)
	})
}

// Other tokens are set while a refresh is under way, and others again while theirs is. When the
// first ones are set once more, what became of their refresh is known.
func TestRefreshThatWasOvertakenTwice(t *testing.T) {
	over, again := "over", "presented again"
	for name, tc := range map[string]struct {
		end   reply
		after time.Duration // from the presentation until its token is set again
		then  string
	}{
		"no response, at work": {reply{err: connectionReset()}, 20 * time.Second, ""},
		"no response":          {reply{err: connectionReset()}, 35 * time.Second, again},
		"no response for long": {reply{hang: true}, 36 * time.Second, again},
		"not sent":             {reply{err: dialRefused(), noConn: true}, 20 * time.Second, again},
		"refused":              {reply{status: 401, body: refusedBody}, 20 * time.Second, over},
		"exchanged":            {reply{status: 200, body: pairBody("stray", "stray")}, 20 * time.Second, over},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				presented := func(r seenRequest) bool { return r.path == refreshPath && strings.Contains(r.body, `"r1"`) }
				srv := &script{}
				srv.respond = func(r seenRequest) reply {
					switch {
					case presented(r) && time.Since(srv.seen[0].at) > 0:
						return reply{status: 200, body: pairBody("new", "r9")}
					case presented(r):
						end := tc.end
						end.took = 10 * time.Second
						return end
					case r.path == refreshPath:
						return reply{status: 200, body: pairBody("stray", "stray"), took: 10 * time.Second}
					case r.auth == "new":
						return reply{status: 200, body: userBody}
					default:
						return reply{status: 401, body: deadTokenBody}
					}
				}
				store := &testStore{}
				c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithTokenStore(store),
					authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: -1}))
				start := time.Now()
				for _, next := range []string{"2", "3"} {
					go func() { _ = getUser(t, c) }()
					time.Sleep(time.Second)
					noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "a" + next, RefreshToken: "r" + next}))
				}
				time.Sleep(time.Until(start.Add(tc.after)))
				noError(t, "SetTokens", c.SetTokens(t.Context(), oldTokens))
				loads, times := store.loads, 1
				err := getUser(t, c)
				switch tc.then {
				case again:
					noError(t, "Get", err)
					times = 2
				case over:
					sessionOver(t, err)
				default:
					equal(t, "RetryAt", uncertainError(t, err).RetryAt.Sub(start), 35*time.Second)
				}
				for _, r := range srv.requests() {
					if presented(r) {
						times--
					}
				}
				equal(t, "presentations too few", times, 0)
				equal(t, "the call took", time.Since(start), tc.after)
				equal(t, "looks at the store", store.loads-loads, 1)
			})
		})
	}
}

// A client waits for what another one of its family presents through a transport that does not
// return in time. It waits for the end of that, too, and does nothing meanwhile.
func TestWaitForARefreshThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		row := &testStore{tokens: signIn(srv, adaEmail)}
		var asked atomic.Bool
		root := localClient(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == refreshPath && asked.CompareAndSwap(false, true) {
				time.Sleep(40 * time.Second)
				return sayReset(req)
			}
			return srv.Transport().RoundTrip(req)
		}), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1, AttemptTimeout: -1}))
		srv.ExpireAccessTokens()
		// each has a store of its own on the row, so that they are not one session
		first, err := root.With(authos.WithTokenStore(&htLateSave{TokenStore: row}))
		noError(t, "With", err)
		second, err := root.With(authos.WithTokenStore(&htLateSave{TokenStore: row}))
		noError(t, "With", err)
		ended := make(chan time.Time, 1)
		go func() {
			sessionUncertain(t, getUser(t, first))
			ended <- time.Now()
		}()
		synctest.Wait()
		noError(t, "Get", getUser(t, second))
		for _, r := range srv.Requests() {
			if r.Route == refreshPath {
				equal(t, "presented again after the end", r.Time.Sub(<-ended), 0)
			}
		}
		// Each looks at first and in its refresh, the second after the 35 s and after the end as
		// well. Both may be at the same moment, and are one look then if the end comes first.
		if row.loads < 5 || row.loads > 6 {
			t.Errorf("looks at the store = %d, want 5 or 6", row.loads)
		}
		time.Sleep(5 * time.Second)
	})
}
