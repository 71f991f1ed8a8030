package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A refresh that waits at the rate-limit gate presents the old refresh token after SetTokens.
func TestHostileGateThenSetTokens(t *testing.T) {
	for _, locking := range []bool{false, true} {
		t.Run(fmt.Sprint("locking=", locking), func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				old := stSignIn(srv, stEmail)
				var store authos.TokenStore = &stStore{}
				if locking {
					store = stNewLockStore()
				}
				c := stClient(t, srv.Transport(), authos.WithTokens(old), authos.WithTokenStore(store))
				stMust(t, "Get", stGet(t, c))
				srv.ExpireAccessTokens()
				remove := srv.Fault(authostest.Fault{Path: "/api/auth/login", Times: 1, Status: 429, Header: http.Header{"Retry-After": {"20"}}})
				_, _ = c.Auth.Login(t.Context(), authos.LoginParams{Email: stEmail, Password: "x"}, authos.WithoutRetry())
				remove()
				waiter := make(chan error, 1)
				go func() { waiter <- stGet(t, c) }()
				time.Sleep(5 * time.Second)
				// the program refreshes by itself, and sets what it got
				fresh, err := stClient(t, srv.Transport()).Auth.Refresh(t.Context(), old.RefreshToken)
				stMust(t, "Refresh", err)
				stMust(t, "SetTokens", c.SetTokens(t.Context(), fresh))
				stMust(t, "waiter", <-waiter)
				time.Sleep(time.Minute)
				stWant(t, "refreshes", stRefreshes(srv), 1)
				stWant(t, "replays", srv.Replays(), 0)
				stMust(t, "Get with the tokens set", stGet(t, c))
			})
		})
	}
}

// An early call waits for the lock after a first try that did not reach the server.
func TestHostileEarlyWaitsForTheLockAfterA429(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := stNewLockStore()
		tokens := stSignInFor(srv, stEmail)
		tokens.ExpiresAt = tokens.ExpiresAt.Add(0)
		store.put(tokens)
		c := stClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRefreshBefore(5*time.Minute))
		stMust(t, "Get", stGet(t, c))
		time.Sleep(56 * time.Minute)
		srv.Fault(authostest.Fault{Path: stRefresh, Times: 1, Status: 429, Header: http.Header{"Retry-After": {"2"}}})
		go func() {
			time.Sleep(time.Second)
			unlock := stHoldLock(t, store) // another process, busy or frozen
			time.Sleep(100 * time.Second)
			unlock()
		}()
		start := time.Now()
		stMust(t, "Get with a good token", stGet(t, c))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a call with a good token waited %v", took)
		}
		time.Sleep(3 * time.Minute)
	})
}

// A Save that took effect though it failed, then a refresh in doubt during a failed Load: presented
// twice within 35 s.
func TestHostileSavedAfterAll(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		var seen stRefreshLog
		srv := &stScript{}
		n := 0
		srv.response = func(r stSeen) stResponse {
			if r.path == stRefresh {
				n++
				if n == 1 {
					return stResponse{status: 200, body: stPair("a1", "r2")}
				}
				return stResponse{err: stReset()}
			}
			if r.auth == "a1" && n == 1 {
				return stResponse{status: 200, body: stUser}
			}
			return stResponse{status: 401, body: stDead}
		}
		store := &stStore{tokens: stOld}
		c := stClient(t, srv, authos.WithTokenStore(store), seen.option())
		store.onSave = func() error { // it takes effect, but its response is lost
			store.put(authos.Tokens{AccessToken: "a1", RefreshToken: "r2"})
			return errors.New("i/o timeout")
		}
		stMust(t, "Get", stGet(t, c))
		store.onLoad = func() error { return errors.New("i/o timeout") }
		time.Sleep(2 * time.Hour) // the token expires
		n++                       // a1 is dead now
		stUncertain(t, stGet(t, c))
		store.onLoad = nil
		time.Sleep(time.Second)
		stUncertain(t, stGet(t, c))
		presented := 0
		for _, r := range srv.requests() {
			if r.path == stRefresh && strings.Contains(r.body, `"r2"`) {
				presented++
			}
		}
		stWant(t, "r2 presented within 35 s", presented, 1)
	})
}

// T4b: the milder form.
func TestHostileSavedAfterAllIsNotNews(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		var seen stRefreshLog
		srv := stServer(t)
		store := &stStore{tokens: stSignIn(srv, stEmail)}
		c := stClient(t, srv.Transport(), authos.WithTokenStore(store), seen.option())
		stMust(t, "Get", stGet(t, c))
		srv.ExpireAccessTokens()
		good := &stStore{}
		_ = good
		ctxErr := errors.New("i/o timeout")
		wrap := &htLateSave{TokenStore: store, err: ctxErr}
		_ = wrap
		c2 := stClient(t, srv.Transport(), authos.WithTokenStore(wrap), seen.option())
		stMust(t, "Get", stGet(t, c2))
		wrap.err = nil
		srv.ExpireAccessTokens()
		srv.Reset()
		stMust(t, "Get", stGet(t, c2))
		stWant(t, "sends of the call", srv.Count("GET", "/api/user"), 2)
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
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				tokens := stSignIn(srv, stEmail)
				var store authos.TokenStore = &stStore{tokens: tokens}
				if locking {
					l := stNewLockStore()
					l.put(tokens)
					store = l
				}
				c := stClient(t, srv.Transport(), authos.WithTokenStore(store))
				srv.ExpireAccessTokens()
				srv.Fault(authostest.Fault{Path: stRefresh, Times: 1, Kind: authostest.ResetBefore})
				stUncertain(t, stGet(t, c))
				stMust(t, "SetTokens", c.SetTokens(t.Context(), tokens))
				_ = stGet(t, c)
				stWant(t, "presentations at once", stRefreshes(srv), 1)
			})
		})
	}
}

// Peeks at a slow store make every lock stale.
type htSlow struct {
	*stLockStore
	load, lock time.Duration
}

func (s *htSlow) Load(ctx context.Context) (authos.Tokens, error) {
	if err := stPause(ctx, s.load); err != nil {
		return authos.Tokens{}, err
	}
	return s.stLockStore.Load(ctx)
}

func (s *htSlow) Lock(ctx context.Context) (func(), error) {
	if err := stPause(ctx, s.lock); err != nil {
		return nil, err
	}
	return s.stLockStore.Lock(ctx)
}

func TestHostilePeekMakesStale(t *testing.T) {
	for _, lock := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond} {
		t.Run(lock.String(), func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				store := &htSlow{stNewLockStore(), 2100 * time.Millisecond, lock}
				store.put(stSignIn(srv, stEmail))
				c := stClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				stMust(t, "Get", stGet(t, c))
				srv.ExpireAccessTokens()
				stMust(t, "Get", stGet(t, c))
				stWant(t, "locks", store.locks, 1)
			})
		})
	}
}

// A call that one new token did not help never looks for what another process got since.
func TestHostileUncuredHidesTheStore(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := stNewLockStore()
		store.put(stSignIn(srv, stEmail))
		a := stClient(t, srv.Transport(), authos.WithTokenStore(store))
		b := stClient(t, srv.Transport(), authos.WithTokenStore(store))
		stMust(t, "Get", stGet(t, a))
		stMust(t, "Get", stGet(t, b))
		remove := srv.Fault(authostest.Fault{Path: "/api/user", Times: 2, Status: 401, Body: stDead})
		if err := stGet(t, a); err == nil {
			t.Fatal("no 401")
		}
		remove()
		stMust(t, "Get of a", stGet(t, a))
		// b refreshes: for any reason
		srv.ExpireAccessTokens()
		stMust(t, "Get of b", stGet(t, b)) // finds a's token? dead: refreshes
		stMust(t, "Get of a, for which the store has good tokens", stGet(t, a))
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
			stBubble(t, func(t *testing.T) {
				l := &htListener{conns: make(chan net.Conn), done: make(chan struct{})}
				var mu sync.Mutex
				var arrived []time.Time
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != stRefresh {
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(401)
						_, _ = w.Write([]byte(stDead))
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
						if err := stPause(ctx, 9*time.Second); err != nil { // lost SYNs
							return nil, err
						}
					}
					a, b := net.Pipe()
					l.conns <- b
					return a, nil
				}}
				stall := &stStall{stLockStore: stNewLockStore()}
				stall.put(stOld)
				plain := &stStore{tokens: stOld}
				var store authos.TokenStore = plain
				if locking {
					store = stall
				}
				c := stClient(t, tr, authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				start := time.Now()
				_ = stGet(t, c)
				time.Sleep(max(0, time.Until(start.Add(36*time.Second))))
				_ = stGet(t, c)
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
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		tokens := stSignIn(srv, stEmail)
		c := stClient(t, srv.Transport(), authos.WithTokens(tokens))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: stRefresh, Times: 1, Delay: 5 * time.Second})
		done := make(chan error, 1)
		go func() { done <- stGet(t, c) }()
		time.Sleep(time.Second)
		stMust(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		err := <-done
		time.Sleep(time.Minute)
		stWant(t, "replays", srv.Replays(), 0)
		stMust(t, "Get", err)
	})
}
