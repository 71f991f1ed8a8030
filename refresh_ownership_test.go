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
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A write that began as one user is never carried out as another, whichever way the other came.
func TestCallKeepsItsOwner(t *testing.T) {
	ways := map[string]func(t *testing.T, c *authos.Client, store *stLockStore, bob authos.Tokens){
		"sign-out and sign-in here": func(t *testing.T, c *authos.Client, _ *stLockStore, bob authos.Tokens) {
			stMust(t, "Logout", c.Auth.Logout(t.Context()))
			stMust(t, "SetTokens", c.SetTokens(t.Context(), bob))
		},
		"sign-in here": func(t *testing.T, c *authos.Client, _ *stLockStore, bob authos.Tokens) {
			stMust(t, "SetTokens", c.SetTokens(t.Context(), bob))
		},
		"sign-in of another process": func(t *testing.T, _ *authos.Client, store *stLockStore, bob authos.Tokens) { store.put(bob) },
	}
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				alice, bob := stSignIn(srv, "alice@example.com"), stSignIn(srv, "bob@example.com")
				store := stNewLockStore()
				store.put(alice)
				c := stClient(t, srv.Transport(), authos.WithTokenStore(store))
				stMust(t, "Get", stGet(t, c))
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
				stForeign(t, <-written)
				stWant(t, "organizations made", srv.Applied()["POST /api/organizations"], 0)
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
	for _, stores := range []bool{false, true} {
		stBubble(t, func(t *testing.T) {
			srv := stServer(t)
			tokens := stSignIn(srv, stEmail)
			root := stClient(t, srv.Transport())
			row := &stStore{tokens: tokens}
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
				stMust(t, "With", err)
				for range calls {
					group.Go(func() {
						if err := stGet(t, c); err != nil {
							t.Errorf("Get = %v", err)
						}
					})
				}
			}
			group.Wait()
			stWant(t, "refreshes", stRefreshes(srv), 1)
			stWant(t, "replays", srv.Replays(), 0)
		})
	}
}

// What was spent here is not presented again: not when the store goes back, not when the program
// brings it.
func TestSpentTokens(t *testing.T) {
	for name, back := range map[string]func(t *testing.T, c *authos.Client, store *stStore, old authos.Tokens){
		"the store goes back": func(_ *testing.T, _ *authos.Client, store *stStore, old authos.Tokens) { store.put(old) },
		"SetTokens": func(t *testing.T, c *authos.Client, _ *stStore, old authos.Tokens) {
			stMust(t, "SetTokens", c.SetTokens(t.Context(), old))
		},
	} {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				old := stSignIn(srv, stEmail)
				store := &stStore{tokens: old}
				c := stClient(t, srv.Transport(), authos.WithTokenStore(store))
				stMust(t, "Get", stGet(t, c))
				srv.ExpireAccessTokens()
				stMust(t, "Get", stGet(t, c))
				newer := stHeld(t, c)
				back(t, c, store, old)
				stMust(t, "Get with the newer tokens", stGet(t, c))
				srv.ExpireAccessTokens()
				stMust(t, "Get", stGet(t, c))
				stWant(t, "replays", srv.Replays(), 0)
				stWant(t, "the old tokens are back", store.get() == old || store.get() == newer, false)
			})
		})
	}
}

// A sign-out that returns nil has ended the session, also where another process has refreshed it;
// what another user has put into the store meanwhile stays.
func TestSignOutIsWhole(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := stNewLockStore()
		store.put(stSignIn(srv, "alice@example.com"))
		a, b := stClient(t, srv.Transport(), authos.WithTokenStore(store)), stClient(t, srv.Transport(), authos.WithTokenStore(store))
		stMust(t, "Get", stGet(t, a))
		stMust(t, "Get", stGet(t, b))
		srv.ExpireAccessTokens()
		stMust(t, "Get that refreshes", stGet(t, b))
		refreshed := store.get()
		stMust(t, "Logout", a.Auth.Logout(t.Context()))
		stOver(t, stGet(t, stClient(t, srv.Transport(), authos.WithTokens(refreshed))))
		stWant(t, "stored", store.get(), authos.Tokens{})

		store.put(stSignIn(srv, "alice@example.com"))
		stMust(t, "Get", stGet(t, a))
		bob := stSignIn(srv, "bob@example.com")
		store.put(bob)
		stMust(t, "Logout", a.Auth.Logout(t.Context()))
		stWant(t, "Bob's sign-in is still stored", store.get(), bob)
		stMust(t, "Get, as Bob now", stGet(t, a))
	})
}

// Code of the program that panics or ends its goroutine within a refresh harms neither the session
// nor anybody who waits; a panic is its caller's.
func TestProgramsCodeInARefresh(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := &stStore{tokens: stSignIn(srv, stEmail)}
		var panics atomic.Bool
		c := stClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithObserver(&authos.Observer{Refresh: func(authos.RefreshEvent) {
			if panics.CompareAndSwap(false, true) {
				panic("a bug of the hook's")
			}
		}}))
		stMust(t, "Get", stGet(t, c))
		old := store.get()
		srv.ExpireAccessTokens()
		raised := func() (value any) {
			defer func() { value = recover() }()
			_ = stGet(t, c)
			return nil
		}()
		stWant(t, "raised in the caller", raised, any("a bug of the hook's"))
		stWant(t, "the new tokens are saved", store.get() != old, true)
		stMust(t, "Get afterwards", stGet(t, c))
	})
	for name, leave := range map[string]func(){"panic": func() { panic("a bug of the store's") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t)
				store := &stStore{tokens: stSignIn(srv, stEmail)}
				c := stClient(t, srv.Transport(), authos.WithTokenStore(store))
				stMust(t, "Get", stGet(t, c))
				srv.ExpireAccessTokens()
				store.onSave = func() error { leave(); return nil }
				func() {
					defer func() { _ = recover() }()
					_ = stGet(t, c)
				}()
				store.onSave = nil
				stMust(t, "Get afterwards", stGet(t, c))
				time.Sleep(time.Minute)
				stWant(t, "saved after all", store.get(), stHeld(t, c))
			})
		})
	}
}

// Closing a client made by With ends that one only.
func TestCloseOfAWithClient(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		root := stClient(t, srv.Transport())
		one, err := root.With(authos.WithTokens(stSignIn(srv, stEmail)))
		stMust(t, "With", err)
		two, err := root.With(authos.WithTokens(stSignIn(srv, "bob@example.com")))
		stMust(t, "With", err)
		stMust(t, "Close", one.Close())
		if err := stGet(t, one); !errors.Is(err, http.ErrServerClosed) && err == nil {
			t.Error("the closed client still calls")
		}
		stMust(t, "the other's Get", stGet(t, two))
		stMust(t, "Shutdown", root.Shutdown(t.Context()))
		if stGet(t, two) == nil {
			t.Error("a client of a family that was shut down still calls")
		}
	})
}

// A call that waits for the store's lock says so: in an event, and in its error.
func TestWaitForTheLockIsSaid(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := stNewLockStore()
		store.put(stSignIn(srv, stEmail))
		var reasons []string
		c := stClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithObserver(&authos.Observer{
			Wait: func(_ context.Context, e authos.WaitEvent) { reasons = append(reasons, e.Reason) },
		}))
		stMust(t, "Get", stGet(t, c))
		unlock := stHoldLock(t, store)
		defer unlock()
		srv.ExpireAccessTokens()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.User.Get(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lock") {
			t.Errorf("Get = %v, want the deadline and the lock", err)
		}
		stWant(t, "events", strings.Join(reasons, ","), "lock")
	})
}

// Tokens of another server are refused, and nothing is sent.
func TestTokensOfAnotherServer(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		tokens := stSignIn(srv, stEmail)
		tokens.Origin = "https://other.example"
		c := stClient(t, srv.Transport(), authos.WithTokenStore(&stElsewhere{tokens}))
		stUncertain(t, stGet(t, c))
		if err := c.SetTokens(t.Context(), tokens); err == nil {
			t.Error("SetTokens takes another server's tokens")
		}
		if _, err := c.With(authos.WithTokens(tokens)); err == nil {
			t.Error("WithTokens takes another server's tokens")
		}
		stWant(t, "requests", len(srv.Requests()), 0)
	})
}

// stElsewhere is a store whose tokens are another server's.
type stElsewhere struct{ tokens authos.Tokens }

func (s *stElsewhere) Load(context.Context) (authos.Tokens, error) { return s.tokens, nil }
func (s *stElsewhere) Save(context.Context, authos.Tokens) error   { return nil }
func (s *stElsewhere) Delete(context.Context) error                { return nil }
