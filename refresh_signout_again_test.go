package authos_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A sign-out waits for the lock, and whoever wanted it leaves. Somebody signs in, and signs out:
// that ends the later sign-in, too, though the first sign-out is still under way.
func TestSignOutAfterOneThatWasGivenUp(t *testing.T) {
	for name, before := range map[string]func(c *authos.Client, ctx context.Context) error{
		"sign-out":  func(c *authos.Client, ctx context.Context) error { return c.Auth.Logout(ctx) },
		"no tokens": func(c *authos.Client, ctx context.Context) error { return c.SetTokens(ctx, authos.Tokens{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newLockStore()
				web := &script{}
				web.play(say(200, "{}"))
				c := newClient(t, testBase, web, authos.WithTokenStore(store))
				if _, err := c.Tokens(t.Context()); err != nil {
					t.Fatal(err)
				}
				unlock, _ := store.Lock(t.Context()) // another process
				wait := func(f func(ctx context.Context) error) error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return f(ctx)
				}
				if err := wait(func(ctx context.Context) error { return before(c, ctx) }); err == nil {
					t.Fatal("signed out without the lock")
				}
				if err := wait(func(ctx context.Context) error {
					return c.SetTokens(ctx, authos.Tokens{AccessToken: "a", RefreshToken: "r3"})
				}); err == nil {
					t.Fatal("saved without the lock")
				}
				time.AfterFunc(5*time.Second, unlock)
				if err := c.Auth.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				held, err := c.Tokens(t.Context())
				if err != nil || held != (authos.Tokens{}) || store.get() != (authos.Tokens{}) {
					t.Errorf("tokens are held: %t, stored: %t (%v)", held != (authos.Tokens{}), store.get() != (authos.Tokens{}), err)
				}
				if len(web.seen) != 1 || web.seen[0].path != "/auth/revoke" || !strings.Contains(web.seen[0].body, "token=r3") {
					t.Errorf("the server saw %v, want the later sign-in's end", web.seen)
				}
			})
		})
	}
}

// Another process has signed out, which this one learns when its own sign-out fails. It does not
// refresh what it holds then, and puts nothing back.
func TestSignOutThatFailsAfterAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newLockStore()
		web := &script{}
		web.play(say(200, "{}"))
		c := newClient(t, testBase, web, oneAttempt, authos.WithTokenStore(store))
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "a1", RefreshToken: "r1"}))
		store.put(authos.Tokens{}) // by the other process
		web.play(sayError(503, "SERVICE_UNAVAILABLE"))
		if err := c.Auth.Logout(t.Context()); err == nil {
			t.Fatal("signed out, though the server did not say so")
		}
		refreshes := 0
		web.play(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == refreshPath {
				refreshes++
				return say(200, `{"access_token":"a2","refresh_token":"r2","expires_in":900}`)(req)
			}
			return sayError(401, "TOKEN_EXPIRED")(req)
		})
		err := getUser(t, c)
		if _, ok := errors.AsType[*authos.SessionError](err); !ok {
			t.Errorf("a call gave %v, want an error that says that nobody is signed in", err)
		}
		equal(t, "refreshes", refreshes, 0)
		equal(t, "the store holds tokens", store.get() != authos.Tokens{}, false)
	})
}

// SetTokens returns whatever becomes of the tokens, also to a program that has put no bound on it:
// where a sign-out that had begun ends them, and where the store cannot be read.
func TestSetTokensOfWhatIsHeld(t *testing.T) {
	down := errors.New("the store is down")
	for _, tc := range []struct {
		name  string
		ready func(c *authos.Client, store *lockStore, web *script)
		want  error
		held  bool
	}{
		{"during a sign-out", func(c *authos.Client, _ *lockStore, web *script) {
			web.play(func(req *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return say(200, "{}")(req)
			})
			go func() { _ = c.Auth.Logout(context.Background()) }()
			synctest.Wait()
		}, nil, false},
		{"while the store cannot be read", func(_ *authos.Client, store *lockStore, _ *script) {
			store.onLoad = func() error { return down }
		}, down, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, web := newLockStore(), &script{}
				tokens := authos.Tokens{AccessToken: "a1", RefreshToken: "r1"}
				c := newClient(t, testBase, web, authos.WithTokenStore(store))
				noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
				tc.ready(c, store, web)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				if err := c.SetTokens(ctx, tokens); !errors.Is(err, tc.want) {
					t.Errorf("SetTokens = %v, want %v", err, tc.want)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v", took)
				}
				held, err := c.Tokens(t.Context())
				noError(t, "Tokens", err)
				equal(t, "tokens are held", held.AccessToken != "", tc.held)
			})
		})
	}
}

// A sign-out that waits for a refresh tells the server, though the program has forgotten the tokens
// meanwhile: it returns nil only if the session has ended there.
func TestForgottenWhileASignOutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newLockStore()
		web := &script{}
		web.play(func(req *http.Request) (*http.Response, error) {
			switch req.URL.Path {
			case refreshPath:
				time.Sleep(5 * time.Second)
				return sayError(503, "SERVICE_UNAVAILABLE")(req) // the session lives
			case "/auth/revoke":
				return say(200, "{}")(req)
			}
			return sayError(401, "TOKEN_EXPIRED")(req)
		})
		c := newClient(t, testBase, web, oneAttempt, authos.WithTokenStore(store))
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "a1", RefreshToken: "r1"}))
		go func() { _ = getUser(t, c) }()
		time.Sleep(time.Second)
		out := make(chan error, 1)
		go func() { out <- c.Auth.Logout(t.Context()) }()
		time.Sleep(time.Second)
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{}))
		noError(t, "Logout", <-out)
		ended := 0
		for _, req := range web.seen {
			if req.path == "/auth/revoke" && strings.Contains(req.body, "token=r1") {
				ended++
			}
		}
		equal(t, "how often the server was told to end r1", ended, 1)
		equal(t, "the store holds tokens", store.get() != authos.Tokens{}, false)
	})
}

// The same user signs in while the server is being told of the sign-out, which ends only what there
// was: the new tokens are kept.
func TestSignInDuringASignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		srv.Fault(authostest.Fault{Path: "/auth/revoke", Times: 1, Delay: 5 * time.Second})
		out := make(chan error, 1)
		go func() { out <- c.Auth.Logout(t.Context()) }()
		time.Sleep(time.Second)
		tokens := signIn(srv, adaEmail)
		noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		noError(t, "Logout", <-out)
		equal(t, "held", heldTokens(t, c), tokens)
		equal(t, "stored", store.get(), tokens)
		equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 1)
		noError(t, "Get", getUser(t, c))
		noError(t, "Logout", c.Auth.Logout(t.Context()))
		equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 2)
		equal(t, "held", heldTokens(t, c), authos.Tokens{})
		equal(t, "stored", store.get(), authos.Tokens{})
	})
}
