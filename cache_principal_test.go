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
)

// A key that the server has refused is served nothing, also not what another process has cached for
// it since, until a response proves that it is taken again.
func TestStaleKeyIsTakenAgain(t *testing.T) {
	const users = "/api/service/users"
	for name, tt := range map[string]struct {
		path     string
		response handler
		taken    bool
	}{
		"nothing happens":      {},
		"the connection lost":  {users, sayReset, false},
		"500":                  {users, say(500, ""), false},
		"404":                  {users + "/u1", sayError(404, "NOT_FOUND"), false},
		"a redirect":           {users, say(302, ""), false},
		"a public route":       {"/.well-known/jwks.json", say(200, "{}"), false},
		"a route of the users": {"/api/user", say(200, "{}"), false},
		"a success":            {users, say(200, "[]"), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				web := &script{handler: sayInfo}
				policy := authos.CachePolicy{Store: &webStore{}}
				start := func() *authos.Client {
					return newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithCache(policy),
						authos.WithTokens(authos.Tokens{AccessToken: "a"}), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
				}
				c := start()
				web.play(sayError(401, "UNAUTHORIZED"))
				_ = getInfo(c)
				web.play(sayInfo)
				noError(t, "the other process", getInfo(start()))
				if tt.response != nil {
					web.play(tt.response)
					_ = readCached(t.Context(), c, tt.path)
				}
				web.play(sayInfo)
				for range 2 {
					if body, ok := servedStale(c, web, infoPath); ok != tt.taken {
						t.Errorf("served %q: %v, want %v", body, ok, tt.taken)
					}
				}
			})
		})
	}
}

// The store is asked for no more than is needed: a proof is written once, not with each response,
// and looked for only by a process that has not heard yet what the server thinks of the token.
func TestStaleProofsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
		gets, sets := 0, 0
		w.cache.set = func(context.Context) error { sets++; return nil }
		w.cache.get = func(_ context.Context, key string) ([]byte, bool, error) {
			gets++
			v, ok := w.cache.values[key]
			return v, ok, nil
		}
		counts := func(what string, wantGets, wantSets int) {
			t.Helper()
			if gets != wantGets || sets != wantSets {
				t.Errorf("%s: Get %d times, Set %d times; want %d and %d", what, gets, sets, wantGets, wantSets)
			}
			gets, sets = 0, 0
		}
		c := w.process(t)
		for _, path := range []string{"/api/user", "/api/organizations", "/api/user"} {
			noError(t, path, readCached(t.Context(), c, path).err)
		}
		counts("three reads", 0, 4)
		_, _ = servedStale(c, w.web, "/api/user")
		counts("a cached response of one's own", 1, 0)
		again := w.process(t)
		if _, ok := servedStale(again, w.web, "/api/user"); !ok {
			t.Error("not served after a restart")
		}
		counts("the first after a restart", 2, 0)
		_, _ = servedStale(again, w.web, "/api/user")
		counts("the second after a restart", 1, 0)
		noError(t, "a read of the second process", readCached(t.Context(), again, "/api/user").err)
		counts("a read of the second process", 0, 2)

		key, web := keyClient(t, oneAttempt, authos.WithTokenStore(w.tokens), authos.WithCache(authos.CachePolicy{Store: w.cache}))
		web.play(say(502, ""))
		// has the tokens loaded
		_ = key.Do(t.Context(), "GET", "/api/user", nil, nil, authos.WithoutCache())
		web.play(sayInfo)
		_ = getInfo(key)
		counts("a read with a key", 0, 1)
		_, _ = servedStale(key, web, infoPath)
		counts("a cached response with a key", 1, 0)

		w.tokens.t.AccessToken = "opaque" // which names nobody
		w.web.play(sayInfo)
		noError(t, "a read with an opaque token", readCached(t.Context(), w.process(t), "/api/user").err)
		_, _ = servedStale(w.process(t), w.web, "/api/user")
		counts("an opaque token", 1, 1)
	})
}

// A proof holds longer than anything that was cached with its token may be served, also where it
// was written before that.
func TestStaleProofOutlivesTheResponses(t *testing.T) {
	for name, tt := range map[string]struct {
		reads int
		every time.Duration
	}{
		"once": {1, 0}, "again just before it is written again": {2, 5*time.Minute - 1}, "again when it is": {2, 5 * time.Minute},
		"for hours": {60, 4 * time.Minute}, "for hours, now and then": {20, 7 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
				c := w.process(t)
				for i := range tt.reads {
					if i > 0 {
						time.Sleep(tt.every)
					}
					noError(t, "a read", readCached(t.Context(), c, "/api/user").err)
				}
				time.Sleep(10 * time.Minute)
				if _, ok := servedStale(w.process(t), w.web, "/api/user"); !ok {
					t.Error("the response of ten minutes ago is not served after a restart")
				}
			})
		})
	}
}

// A token that the program itself handed over is believed once the server has taken it, whatever
// another process has proved.
func TestStaleProofIsForTheTokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := authos.Tokens{AccessToken: webJWT("alice", 1)}
		w := newWorld(one)
		noError(t, "a read", readCached(t.Context(), w.process(t), "/api/user").err)
		given := newClient(t, "https://authos.test", w.web, oneAttempt, authos.WithTokens(one), authos.WithCache(authos.CachePolicy{Store: w.cache}))
		if body, ok := servedStale(given, w.web, "/api/user"); ok {
			t.Errorf("a token from WithTokens gets %s", body)
		}
		if _, ok := servedStale(w.process(t), w.web, "/api/user"); !ok {
			t.Error("a token from the store is not believed")
		}
	})
}

// What is not a proof: what is too old, what claims to be from the future, what the store gives
// although it says that there is nothing, and what is from before the store failed to forget.
func TestStaleProofIsNotBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, w *world, other *authos.Client)
		served bool
	}{
		"a good one":       {func(*testing.T, *world, *authos.Client) {}, true},
		"written long ago": {func(*testing.T, *world, *authos.Client) { time.Sleep(20*time.Minute + 1) }, false},
		"from the future": {func(_ *testing.T, w *world, _ *authos.Client) {
			for key, value := range w.cache.values {
				if strings.Contains(key, "/accepted/") {
					value[3]++ // 2^40 ns
					w.cache.values[key] = value
				}
			}
		}, false},
		"said not to be there": {func(_ *testing.T, w *world, _ *authos.Client) {
			w.cache.get = func(_ context.Context, key string) ([]byte, bool, error) {
				return w.cache.values[key], !strings.Contains(key, "/accepted/"), nil
			}
		}, false},
		"beside an error": {func(_ *testing.T, w *world, _ *authos.Client) {
			w.cache.get = func(_ context.Context, key string) ([]byte, bool, error) {
				if strings.Contains(key, "/accepted/") {
					return w.cache.values[key], true, errors.New("the disk is gone")
				}
				return w.cache.values[key], true, nil
			}
		}, false},
		"from before the store failed": {func(t *testing.T, w *world, other *authos.Client) {
			w.cache.del = func(context.Context, string) error { return errors.New("the disk is gone") }
			w.web.play(say(404, ""))
			_ = readCached(t.Context(), other, "/api/organizations")
			w.web.play(say(200, `{"id":"alice"}`))
			time.Sleep(time.Second)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
				noError(t, "a read", readCached(t.Context(), w.process(t), "/api/user").err)
				restarted := w.process(t)
				tt.before(t, w, restarted)
				// The response itself is as good as new: alice has another token elsewhere.
				elsewhere := newClient(t, "https://authos.test", w.web, oneAttempt, authos.WithCache(authos.CachePolicy{Store: w.cache}),
					authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 2)}))
				noError(t, "a read elsewhere", readCached(t.Context(), elsewhere, "/api/user").err)
				if body, ok := servedStale(restarted, w.web, "/api/user"); ok != tt.served {
					t.Errorf("served %q: %v, want %v", body, ok, tt.served)
				}
			})
		})
	}
}

// A 401 that is about the caller's input refuses nobody; one of a route that is not known does.
func TestStaleAfterA401OfAnotherKind(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, read string
		served             bool
	}{
		"a wrong password": {"POST", "/api/user/change-password", "/api/user", true},
		"an unknown route": {"GET", "/api/service/unknown", infoPath, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt, webCache, authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 1)}))
				noError(t, "a read", readCached(t.Context(), c, tt.read).err)
				web.play(sayError(401, "UNAUTHORIZED"))
				if err := c.Do(t.Context(), tt.method, tt.path, nil, nil, authos.WithoutCache()); statusOf(err) != 401 {
					t.Fatalf("the call: %v", err)
				}
				if _, ok := servedStale(c, web, tt.read); ok != tt.served {
					t.Errorf("served: %v, want %v", ok, tt.served)
				}
			})
		})
	}
}

// In memory there is nothing to prove, so one entry is enough for one response.
func TestStaleMemoryHoldsNoProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
		c := newClient(t, "https://authos.test", w.web, oneAttempt, authos.WithTokenStore(w.tokens), authos.WithCache(authos.CachePolicy{MaxEntries: 1}))
		noError(t, "a read", readCached(t.Context(), c, "/api/user").err)
		if _, ok := servedStale(c, w.web, "/api/user"); !ok {
			t.Error("the one response is not served")
		}
	})
}

// A late refusal of who was signed in before says nothing of who is now.
func TestStaleAfterARefusalOfTheUserBefore(t *testing.T) {
	inactive := `{"error":"Organization is not active. Current status: suspended","error_code":"FORBIDDEN","timestamp":"2026-01-01T00:00:00Z"}`
	synctest.Test(t, func(t *testing.T) {
		alice, bob := webJWT("alice", 1), webJWT("bob", 1)
		gate := make(chan struct{})
		users := webUsers(map[string]string{alice: "alice", bob: "bob"})
		web := &script{handler: func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/api/organizations" {
				<-gate
				return say(403, inactive)(req)
			}
			return users(req)
		}}
		c := newClient(t, "https://authos.test", web, oneAttempt, webCache, authos.WithTokens(authos.Tokens{AccessToken: alice}))
		done := make(chan webGot)
		go func() { done <- readCached(t.Context(), c, "/api/organizations") }()
		synctest.Wait()
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: bob}))
		_ = readCached(t.Context(), c, "/api/user")
		close(gate)
		if g := <-done; statusOf(g.err) != 403 {
			t.Fatalf("alice's call: %v", g)
		}
		if body, ok := servedStale(c, web, "/api/user"); !ok || body != `{"id":"bob"}` {
			t.Errorf("bob gets %q, served %v", body, ok)
		}
	})
}
