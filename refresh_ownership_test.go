package authos_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A write that began as one user is never carried out as another, whichever way the other came.
func TestCallKeepsItsOwner(t *testing.T) {
	ways := map[string]func(t *testing.T, c *authos.Client, store *lockStore, bob authos.Tokens){
		"sign-out and sign-in here": func(t *testing.T, c *authos.Client, _ *lockStore, bob authos.Tokens) {
			noError(t, "Logout", c.Auth.Logout(t.Context()))
			noError(t, "SetTokens", c.SetTokens(t.Context(), bob))
		},
		"sign-in here": func(t *testing.T, c *authos.Client, _ *lockStore, bob authos.Tokens) {
			noError(t, "SetTokens", c.SetTokens(t.Context(), bob))
		},
		"sign-in of another process": func(t *testing.T, _ *authos.Client, store *lockStore, bob authos.Tokens) { store.put(bob) },
	}
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				alice, bob := signIn(srv, "alice@example.com"), signIn(srv, "bob@example.com")
				store := newLockStore()
				store.put(alice)
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.Fault(authostest.Fault{Path: "/api/organizations", Times: 1, Delay: 2 * time.Second})
				written := make(chan error, 1)
				go func() {
					_, err := c.Organizations.Create(t.Context(), authos.OrganizationCreateParams{Slug: "alices-org", Name: "Alice's"})
					written <- err
				}()
				time.Sleep(time.Second)
				if name == "sign-in of another process" || name == "sign-in here" {
					srv.RevokeSessions("alice@example.com")
				}
				change(t, c, store, bob)
				sessionForeign(t, <-written)
				equal(t, "organizations made", srv.Applied()["POST /api/organizations"], 0)
				for _, r := range srv.Requests() {
					if r.Method == "POST" && r.Path == "/api/organizations" && strings.Contains(r.Header.Get("Authorization"), bob.AccessToken) {
						t.Error("Alice's write was sent as Bob")
					}
				}
			})
		})
	}
}

// A thousand clients made for one session, as a web backend makes them, and ten thousand
// goroutines: one refresh, no call fails. So with a store of their own each, whose rows are the
// same.
func TestThousandClientsOneRefresh(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	for _, stores := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			tokens := signIn(srv, adaEmail)
			root := localClient(t, srv.Transport())
			row := &testStore{tokens: tokens}
			srv.ExpireAccessTokens()
			var group sync.WaitGroup
			clients, calls := 1000, 10
			if stores {
				clients, calls = 50, 2
			}
			for range clients {
				option := authos.WithTokens(tokens)
				if stores {
					option = authos.WithTokenStore(&htLateSave{TokenStore: row})
				}
				c, err := root.With(option)
				noError(t, "With", err)
				for range calls {
					group.Go(func() {
						if err := getUser(t, c); err != nil {
							t.Errorf("Get = %v", err)
						}
					})
				}
			}
			group.Wait()
			equal(t, "refreshes", refreshCount(srv), 1)
			equal(t, "replays", srv.Replays(), 0)
		})
	}
}

// What was spent here is not presented again: not when the store goes back, not when the program
// brings it.
func TestSpentTokens(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, c *authos.Client, store *testStore, old authos.Tokens){
		"the store goes back": func(_ *testing.T, _ *authos.Client, store *testStore, old authos.Tokens) { store.put(old) },
		"SetTokens": func(t *testing.T, c *authos.Client, _ *testStore, old authos.Tokens) {
			noError(t, "SetTokens", c.SetTokens(t.Context(), old))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				old := signIn(srv, adaEmail)
				store := &testStore{tokens: old}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				noError(t, "Get", getUser(t, c))
				newer := heldTokens(t, c)
				back(t, c, store, old)
				noError(t, "Get with the newer tokens", getUser(t, c))
				srv.ExpireAccessTokens()
				noError(t, "Get", getUser(t, c))
				equal(t, "replays", srv.Replays(), 0)
				equal(t, "the old tokens are back", store.get() == old || store.get() == newer, false)
			})
		})
	}
}

// wentBackStore went back to a pair of which this process knows nothing, and says so, until
// something is saved.
type wentBackStore struct {
	*lockStore

	behind bool
}

type wentBackError struct{}

func (wentBackError) Error() string { return "went back" }
func (wentBackError) Behind() bool  { return true }

func (s *wentBackStore) Load(ctx context.Context) (authos.Tokens, error) {
	t, err := s.lockStore.Load(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil || !s.behind:
		return t, err
	case !s.held:
		return authos.Tokens{}, wentBackError{}
	}
	return t, wentBackError{}
}

func (s *wentBackStore) Save(ctx context.Context, t authos.Tokens) error {
	s.mu.Lock()
	s.behind = false
	s.mu.Unlock()
	return s.lockStore.Save(ctx, t)
}

// A store that says that it went back is put right: what it has is not presented, although nobody
// here has held it, and the pair in use is written back. Who has nothing takes what is there.
func TestStoreSaysThatItWentBack(t *testing.T) {
	for name, holds := range map[string]bool{"newer tokens are held": true, "nothing is held": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				old := signIn(srv, adaEmail)
				store := &wentBackStore{lockStore: newLockStore()}
				store.put(old)
				other := localClient(t, srv.Transport(), authos.WithTokenStore(&testStore{tokens: old}))
				if holds {
					srv.ExpireAccessTokens()
					noError(t, "Get of another process", getUser(t, other))
					store.put(heldTokens(t, other))
				}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				if holds {
					noError(t, "Get", getUser(t, c))
				}
				store.put(old)
				store.behind = true
				srv.ExpireAccessTokens()
				err := getUser(t, c)
				equal(t, "replays", srv.Replays(), 0)
				if holds {
					noError(t, "Get after the store went back", err)
					equal(t, "the store has what is held", store.get(), anywhere(heldTokens(t, c)))
				} else if err == nil {
					t.Error("a store that went back is believed without the lock")
				}
			})
		})
	}
}

// A sign-out that returns nil has ended the session, also where another process has refreshed it;
// what another user has put into the store meanwhile stays.
func TestSignOutIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, "alice@example.com"))
		a, b := localClient(t, srv.Transport(), authos.WithTokenStore(store)), localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, a))
		noError(t, "Get", getUser(t, b))
		srv.ExpireAccessTokens()
		noError(t, "Get that refreshes", getUser(t, b))
		refreshed := store.get()
		noError(t, "Logout", a.Auth.Logout(t.Context()))
		sessionOver(t, getUser(t, localClient(t, srv.Transport(), authos.WithTokens(refreshed))))
		equal(t, "stored", store.get(), authos.Tokens{})

		store.put(signIn(srv, "alice@example.com"))
		noError(t, "Get", getUser(t, a))
		bob := signIn(srv, "bob@example.com")
		store.put(bob)
		noError(t, "Logout", a.Auth.Logout(t.Context()))
		equal(t, "Bob's sign-in is still stored", store.get(), bob)
		noError(t, "Get, as Bob now", getUser(t, a))
	})
}

// Code of the program that panics or ends its goroutine within a refresh harms neither the session
// nor anybody who waits; a panic is its caller's.
func TestProgramsCodeInARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{tokens: signIn(srv, adaEmail)}
		var panics atomic.Bool
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithObserver(&authos.Observer{Refresh: func(authos.RefreshEvent) {
			if panics.CompareAndSwap(false, true) {
				panic("a bug of the hook's")
			}
		}}))
		noError(t, "Get", getUser(t, c))
		old := store.get()
		srv.ExpireAccessTokens()
		raised := func() (value any) {
			defer func() { value = recover() }()
			_ = getUser(t, c)
			return nil
		}()
		equal(t, "raised in the caller", raised, any("a bug of the hook's"))
		equal(t, "the new tokens are saved", store.get() != old, true)
		noError(t, "Get afterwards", getUser(t, c))
	})
	for name, leave := range map[string]func(){"panic": func() { panic("a bug of the store's") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &testStore{tokens: signIn(srv, adaEmail)}
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				store.onSave = func() error { leave(); return nil }
				raised := func() (value any) {
					defer func() { value = recover() }()
					_ = getUser(t, c)
					return nil
				}()
				equal(t, "raised in the caller", raised, map[string]any{"panic": "a bug of the store's", "Goexit": nil}[name])
				store.onSave = nil
				noError(t, "Get afterwards", getUser(t, c))
				time.Sleep(time.Minute)
				equal(t, "saved after all", store.get(), heldTokens(t, c))
			})
		})
	}
}

// Closing a client made by With ends that one only.
func TestCloseOfAWithClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		root := localClient(t, srv.Transport())
		one, err := root.With(authos.WithTokens(signIn(srv, adaEmail)))
		noError(t, "With", err)
		two, err := root.With(authos.WithTokens(signIn(srv, "bob@example.com")))
		noError(t, "With", err)
		noError(t, "Close", one.Close())
		if err := getUser(t, one); !errors.Is(err, http.ErrServerClosed) && err == nil {
			t.Error("the closed client still calls")
		}
		noError(t, "the other's Get", getUser(t, two))
		noError(t, "Shutdown", root.Shutdown(t.Context()))
		if getUser(t, two) == nil {
			t.Error("a client of a family that was shut down still calls")
		}
	})
}

// A call that waits for its session says for what: in an event where it may take long, and in its
// error.
func TestWhatIsWaitedForIsSaid(t *testing.T) {
	refreshes := func(t *testing.T, srv *authostest.Server, _ *lockStore, _ *authos.Client) {
		t.Helper()
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 5 * time.Second})
	}
	for what, tc := range map[string]struct {
		reason  string
		trouble func(t *testing.T, srv *authostest.Server, store *lockStore, root *authos.Client)
	}{
		"the response to the refresh": {"refresh in doubt", refreshes},
		"the response to another client's refresh": {
			"refresh in doubt", func(t *testing.T, srv *authostest.Server, store *lockStore, root *authos.Client) {
				t.Helper()
				refreshes(t, srv, store, root)
				// a store of its own on the same row, so that it is another session
				other, err := root.With(authos.WithTokenStore(&htLateSave{TokenStore: &store.testStore}))
				noError(t, "With", err)
				go func() { _, _ = other.User.Get(t.Context()) }()
				synctest.Wait()
			},
		},
		"the next try of the refresh": {"", func(t *testing.T, srv *authostest.Server, _ *lockStore, _ *authos.Client) {
			t.Helper()
			srv.Fault(authostest.Fault{Path: refreshPath, Status: 429, Header: http.Header{"Retry-After": {"20"}}})
		}},
		"the token store": {"", func(_ *testing.T, _ *authostest.Server, store *lockStore, _ *authos.Client) {
			store.onLoad = func() error { time.Sleep(5 * time.Second); return nil }
		}},
		"the token store's lock": {"lock", func(t *testing.T, _ *authostest.Server, store *lockStore, _ *authos.Client) {
			t.Helper()
			_ = holdLock(t, store)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				var reasons []string
				root := localClient(t, srv.Transport())
				c, err := root.With(authos.WithTokenStore(store), authos.WithObserver(&authos.Observer{
					Wait: func(_ context.Context, e authos.WaitEvent) { reasons = append(reasons, e.Reason) },
				}))
				noError(t, "With", err)
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				tc.trouble(t, srv, store, root)
				leave := errors.New("the user closed the window")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(leave) })
				_, err = c.User.Get(ctx)
				if !errors.Is(err, leave) || !strings.Contains(err.Error(), "waiting for "+what+": ") {
					t.Errorf("Get = %v, want what it waited for", err)
				}
				equal(t, "events", strings.Join(reasons, ","), tc.reason)
			})
		})
	}
}

// Tokens of another server are refused, and nothing is sent.
func TestTokensOfAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signIn(srv, adaEmail)
		tokens.Origin = "https://other.example"
		c := localClient(t, srv.Transport(), authos.WithTokenStore(&sessionElsewhere{tokens}))
		sessionUncertain(t, getUser(t, c))
		if err := c.SetTokens(t.Context(), tokens); err == nil {
			t.Error("SetTokens takes another server's tokens")
		}
		if _, err := c.With(authos.WithTokens(tokens)); err == nil {
			t.Error("WithTokens takes another server's tokens")
		}
		equal(t, "requests", len(srv.Requests()), 0)
	})
}

// sessionElsewhere is a store whose tokens are another server's.
type sessionElsewhere struct{ tokens authos.Tokens }

func (s *sessionElsewhere) Load(context.Context) (authos.Tokens, error) { return s.tokens, nil }
func (s *sessionElsewhere) Save(context.Context, authos.Tokens) error   { return nil }
func (s *sessionElsewhere) Delete(context.Context) error                { return nil }

// An attempt that finds other tokens in the store after each 401 gives up after eight.
func TestAttemptFollowsOthersSoFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{tokens: authos.Tokens{AccessToken: "a", RefreshToken: "r"}}
		srv := &script{respond: func(r seenRequest) reply {
			if len(r.auth) > 20 { // an end to what should have ended
				return reply{status: 200, body: userBody}
			}
			store.put(authos.Tokens{AccessToken: r.auth + "a", RefreshToken: r.auth + "r"})
			return reply{status: 401, body: deadTokenBody}
		}}
		err := getUser(t, localClient(t, srv, authos.WithTokenStore(store)))
		equal(t, "status", statusOf(err), 401)
		equal(t, "sends", srv.count("/api/user"), 8)
		equal(t, "refreshes", srv.count(refreshPath), 0)
	})
}

// A token that has expired is not sent, also where a refresh ahead of that has failed: there is no
// other way then but a refresh.
func TestExpiredTokenIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)), authos.WithRefreshBefore(10*time.Minute))
		time.Sleep(50 * time.Minute)
		down := srv.Fault(authostest.Fault{Path: refreshPath, Kind: authostest.ResetBefore})
		noError(t, "Get, whose refresh is lost", getUser(t, c))
		time.Sleep(10 * time.Minute)
		sessionUncertain(t, getUser(t, c))
		equal(t, "refreshes, sends", [2]int{refreshCount(srv), srv.Count("GET", "/api/user")}, [2]int{2, 1})
		down()
		time.Sleep(time.Minute)
		noError(t, "Get", getUser(t, c))
		equal(t, "refreshes, sends", [2]int{refreshCount(srv), srv.Count("GET", "/api/user")}, [2]int{3, 2})
	})
}
