package authos_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A sign-out that cannot come to its end says why, and the session goes on.
func TestSignOutThatFails(t *testing.T) {
	down := errors.New("connection refused")
	for _, tc := range []struct {
		name    string
		trouble func(t *testing.T, c *authos.Client, store *lockStore) (over func())
		want    error
		says    string
	}{
		{"the lock is held", func(t *testing.T, _ *authos.Client, store *lockStore) func() { return holdLock(t, store) },
			context.DeadlineExceeded, "waiting for the token store's lock"},
		{"the lock cannot be got", func(_ *testing.T, _ *authos.Client, store *lockStore) func() {
			store.failure = down
			return func() { store.failure = nil }
		}, down, "locking the token store"},
		{"the store cannot be read", func(_ *testing.T, _ *authos.Client, store *lockStore) func() {
			store.onLoad = func() error { return down }
			return func() { store.onLoad = nil }
		}, down, "loading the tokens"},
		{"closed meanwhile", func(t *testing.T, c *authos.Client, store *lockStore) func() {
			time.AfterFunc(time.Second/2, func() { _ = c.Close() })
			return holdLock(t, store)
		}, net.ErrClosed, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				over := tc.trouble(t, c, store)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := c.Auth.Logout(ctx); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("Logout = %v, want %v, and %q in it", err, tc.want, tc.says)
				}
				over()
				time.Sleep(time.Second)
				equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 0)
				equal(t, "deletes", store.deletes, 0)
				if tc.want == net.ErrClosed { //nolint:errorlint // a row of the table
					return
				}
				noError(t, "Get", getUser(t, c))
				noError(t, "Logout", c.Auth.Logout(t.Context()))
				equal(t, "stored", store.get(), authos.Tokens{})
			})
		})
	}
}

// A sign-out of which only the deletion fails has ended the session, and says that the store still
// has its tokens.
func TestSignOutThatCannotDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		full := errors.New("read-only file system")
		store := &testStore{tokens: signIn(srv, adaEmail), onWipe: func() error { return full }}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		if err := c.Auth.Logout(t.Context()); !errors.Is(err, full) {
			t.Errorf("Logout = %v, want the store's error", err)
		}
		equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 1)
		equal(t, "held", heldTokens(t, c), authos.Tokens{})
	})
}

// A call that the server refuses after a sign-out is told of that, where it began before; one that
// began afterwards is nobody's, and gets the server's own refusal.
func TestCallBesideASignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		noError(t, "Get", getUser(t, c))
		slow := srv.Fault(authostest.Fault{Path: "/api/user", Delay: 5 * time.Second, Status: 401})
		before := make(chan error, 1)
		go func() { before <- getUser(t, c) }()
		time.Sleep(time.Second)
		noError(t, "Logout", c.Auth.Logout(t.Context()))
		e := sessionError(t, <-before)
		equal(t, "RetryAt of a session that is over", e.RetryAt.IsZero(), true)
		slow()
		err := getUser(t, c)
		if api, ok := err.(*authos.APIError); !ok || api.StatusCode != 401 { //nolint:errorlint // others have the response in them, too
			t.Errorf("Get afterwards = %v, want the server's 401", err)
		}
		equal(t, "refreshes", refreshCount(srv), 0)
	})
}

// The server's older sign-out, called by its path, works with a token that has expired: a refresh
// would only make another one to be signed out.
func TestLogoutByPathDoesNotRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)))
		time.Sleep(25 * time.Hour)
		_ = c.Do(t.Context(), "POST", "/api/auth/logout", nil, nil)
		equal(t, "refreshes, sends", [2]int{refreshCount(srv), srv.Count("POST", "/api/auth/logout")}, [2]int{0, 1})
	})
}

// Who signs out, and leaves before the lock is there to do it under, has not signed out; the
// session goes on.
func TestSignOutIsLeftBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		unlock, err := store.Lock(t.Context())
		noError(t, "Lock", err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Auth.Logout(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Logout = %v, want the deadline", err)
		}
		unlock()
		noError(t, "Get", getUser(t, c))
		equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 0)
		time.Sleep(time.Minute)
		_, held := store.use()
		equal(t, "the lock is held", held, false)
	})
}

// One who leaves a sign-out in the middle leaves no session that waits for him.
func TestSignOutIsLeft(t *testing.T) {
	for range 20 { // whether he sees first that he may leave or what to do next is left to chance
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			store := newLockStore()
			store.put(signIn(srv, adaEmail))
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			a := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithObserver(&authos.Observer{
				CallDone: func(_ context.Context, e authos.CallDone) {
					if e.Route == "/auth/revoke" {
						leave()
					}
				},
			}))
			b := localClient(t, srv.Transport(), authos.WithTokenStore(store))
			noError(t, "Get", getUser(t, a))
			noError(t, "Get", getUser(t, b))
			srv.ExpireAccessTokens()
			noError(t, "Get that refreshes", getUser(t, b))
			_ = a.Auth.Logout(ctx) // of what a holds, and then of what b has saved
			start := time.Now()
			_ = getUser(t, a)
			equal(t, "the next call took", time.Since(start), 0)
		})
	}
}

// A server that knows logout only is told of the access token, and one that is used up ends nothing
// there. So no session is told to have ended that may have been refreshed without a response.
func TestSignOutInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithContract(authostest.October2025))
		tokens := signIn(srv, adaEmail)
		c := localClient(t, srv.Transport(), authos.WithTokens(tokens))
		noError(t, "Logout", c.Auth.Logout(t.Context()))
		sessionOver(t, getUser(t, localClient(t, srv.Transport(), authos.WithTokens(tokens))))

		noError(t, "SetTokens", c.SetTokens(t.Context(), signIn(srv, adaEmail)))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetAfter})
		start := time.Now()
		sessionUncertain(t, getUser(t, c))
		e := uncertainError(t, c.Auth.Logout(t.Context()))
		equal(t, "RetryAt", e.RetryAt.Sub(start), 35*time.Second)
		time.Sleep(time.Until(e.RetryAt))
		sessionUncertain(t, c.Auth.Logout(t.Context()))
	})
}

// SetTokens that has no time to save has the tokens in use at once all the same, and they are saved
// as soon as the store allows: what was there before is not found again.
func TestSetTokensWithoutTimeToSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, "alice@example.com"))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		unlock := holdLock(t, store)
		bob := signIn(srv, "bob@example.com")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.SetTokens(ctx, bob)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for the token store's lock") {
			t.Errorf("SetTokens = %v, want the context's error, and what it waited for", err)
		}
		user, err := c.User.Get(t.Context())
		noError(t, "Get", err)
		equal(t, "user", user.Email, "bob@example.com")
		unlock()
		time.Sleep(time.Second)
		equal(t, "stored", anywhere(store.get()), anywhere(bob))
	})
}
