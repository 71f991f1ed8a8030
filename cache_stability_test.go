package authos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// A passed deadline is when a cached response is wanted most: the store must not be asked with the
// context that has ended.
func TestStaleStoreIsAskedWithALiveContext(t *testing.T) {
	for name, bad := range map[string]handler{"hang": sayNothing, "hang after a 503": sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 2")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				store := &webStore{}
				store.get = func(ctx context.Context, key string) ([]byte, bool, error) {
					if err := ctx.Err(); err != nil {
						return nil, false, err // as every client of a database does
					}
					if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Second {
						t.Errorf("asked without a bound of its own: %v, %v", deadline, ok)
					}
					store.mu.Lock()
					defer store.mu.Unlock()
					v, ok := store.values[key]
					return v, ok, nil
				}
				c, web := keyClient(t, authos.WithCache(authos.CachePolicy{Store: store}))
				_ = getInfo(c)
				web.play(bad)
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), 3*time.Second)
				defer cancel()
				if g := readCached(ctx, c, infoPath); g.err != nil || !g.resp.Stale || !errors.Is(g.resp.Cause, context.DeadlineExceeded) && name == "hang" {
					t.Errorf("got %v, cause %v", g, g.resp.Cause)
				}
			})
		})
	}
}

// A write overtakes what anybody has read of the resource, in this process; what is each
// principal's own stays theirs, and who is turned away overtakes nothing.
func TestStaleWritesOfOthers(t *testing.T) {
	reads := []string{"/api/organizations/acme", "/api/organizations", "/api/organizations/other", "/api/user", "/api/user/devices"}
	for _, tt := range []struct {
		write  string
		status int
		gone   []string
	}{
		{"PATCH /api/organizations/acme", 200, []string{"/api/organizations", "/api/organizations/acme"}},
		{"PATCH /api/organizations/acme", 502, []string{"/api/organizations", "/api/organizations/acme"}},
		{"PATCH /api/organizations/acme", 404, []string{"/api/organizations", "/api/organizations/acme"}},
		{"PATCH /api/organizations/acme", 401, nil},
		{"PATCH /api/organizations/acme", 403, nil},
		{"PATCH /api/user", 200, nil},
		{"POST /api/user/devices/revoke-all", 200, nil},
	} {
		for _, outside := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.write[strings.Index(tt.write, "/api")+4:], tt.status, outside), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					policy := authos.CachePolicy{}
					if outside {
						policy.Store = &webStore{}
					}
					web := &script{handler: sayInfo}
					alice := newClient(t, "https://authos.test", web, oneAttempt, authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 1)}),
						authos.WithCache(policy), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
					bob, err := alice.With(authos.WithTokens(authos.Tokens{AccessToken: webJWT("bob", 1)}))
					if err != nil {
						t.Fatal(err)
					}
					for _, path := range reads {
						_ = readCached(t.Context(), alice, path)
					}
					_ = readCached(t.Context(), bob, "/api/user") // accepted
					web.play(say(tt.status, "{}"))
					method, path, _ := strings.Cut(tt.write, " ")
					_ = bob.Do(t.Context(), method, path, nil, nil)
					web.play(sayInfo)
					var gone []string
					for _, path := range reads {
						if _, ok := servedStale(alice, web, path); !ok {
							gone = append(gone, path)
						}
					}
					slices.Sort(gone)
					if !slices.Equal(gone, tt.gone) {
						t.Errorf("bob's write makes alice lose %q, want %q", gone, tt.gone)
					}
					for _, path := range reads { // and what is read after it is cached again
						_ = readCached(t.Context(), alice, path)
						if _, ok := servedStale(alice, web, path); !ok {
							t.Errorf("%s is not cached after the write", path)
						}
					}
				})
			})
		}
	}
}

// Ids and traces differ from call to call, and make no variant of what is asked for.
func TestStaleTracingHeaders(t *testing.T) {
	for _, name := range []string{
		"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags",
		"X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Sentry-Trace", "Uber-Trace-Id", "X-Correlation-Id", "X-Request-ID",
		"X-Trace-Id", "Ot-Tracer-TraceId", "X-Instana-T", "Correlation-Context",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, webCache)
			_ = readCached(t.Context(), c, infoPath, authos.WithHeader(name, "one"))
			for value, opts := range map[string][]authos.RequestOption{"another": {authos.WithHeader(name, "two")}, "none": nil} {
				if _, ok := servedStale(c, web, infoPath, opts...); !ok {
					t.Errorf("%s: not served with %s value", name, value)
				}
			}
			if _, ok := servedStale(c, web, infoPath, authos.WithHeader("Accept", "text/x")); ok {
				t.Error("another Accept is another variant")
			}
		})
	}
}

// Who insists on the server's own word gets it.
func TestStaleCallersCacheControl(t *testing.T) {
	for _, value := range []string{"no-cache", "no-store", "max-age=0, no-cache"} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, webCache)
			_ = getInfo(c)
			if _, ok := servedStale(c, web, infoPath, authos.WithHeader("Cache-Control", value)); ok {
				t.Errorf("%s: served", value)
			}
		})
	}
}

func TestStaleOnlyRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := []string{"/api/service/users/:user_id"}
		c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Routes: only}))
		only[0] = infoPath // is the caller's again
		for path, want := range map[string]bool{"/api/service/users/u1": true, infoPath: false, "/api/service/users": false} {
			_ = readCached(t.Context(), c, path)
			if _, ok := servedStale(c, web, path); ok != want {
				t.Errorf("%s: served %v, want %v", path, ok, want)
			}
		}
		for _, bad := range []string{"/api/service/users/u1", "/api/nowhere", "/api/auth/magic-link/verify", "/api/auth/login", ""} {
			_, err := authos.New("https://authos.test", authos.WithCache(authos.CachePolicy{Routes: []string{infoPath, bad}}))
			if v, ok := errors.AsType[*authos.ValidationError](err); !ok || len(v.Fields) != 1 || !strings.Contains(v.Fields[0].Message, fmt.Sprintf("%q", bad)) {
				t.Errorf("Routes %q: %v, want it refused", bad, err)
			}
		}
	})
}

// A credential that the server has refused is served nothing any more, until it is taken again.
func TestStaleAfterARefusal(t *testing.T) {
	inactive := `{"error":"Organization is not active. Current status: suspended","error_code":"FORBIDDEN","timestamp":"2026-01-01T00:00:00Z"}`
	for name, tt := range map[string]struct {
		refusal handler
		on      string // the refused call
		served  bool
	}{
		"401":                         {sayError(401, "UNAUTHORIZED"), "GET /other", false},
		"401 of a write":              {sayError(401, "UNAUTHORIZED"), "PATCH /other", false},
		"403 organization not active": {say(403, inactive), "GET /other", false},
		"403 of a resource":           {sayError(403, "FORBIDDEN"), "GET /other", true},
		"404 of a resource":           {sayError(404, "NOT_FOUND"), "GET /other", true},
		"400":                         {sayError(400, "BAD_REQUEST"), "GET /other", true},
	} {
		for who, opts := range map[string]struct {
			opt  authos.Option
			path string
		}{
			"key":          {authos.WithAPIKey("sk_1_2"), "/api/service/users"},
			"token":        {authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 1)}), "/api/organizations"},
			"opaque token": {authos.WithTokens(authos.Tokens{AccessToken: "opaque"}), "/api/organizations"},
		} {
			t.Run(name+", "+who, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					web := &script{handler: sayInfo}
					c := newClient(t, "https://authos.test", web, oneAttempt, webCache, opts.opt, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
					_ = readCached(t.Context(), c, opts.path)
					web.play(tt.refusal)
					method, path, _ := strings.Cut(tt.on, " ")
					_ = c.Do(t.Context(), method, opts.path+path, nil, nil)
					web.play(sayInfo)
					if _, ok := servedStale(c, web, opts.path); ok != tt.served {
						t.Errorf("served after the refusal: %v, want %v", ok, tt.served)
					}
					_ = readCached(t.Context(), c, opts.path) // taken again
					if _, ok := servedStale(c, web, opts.path); !ok {
						t.Error("not served after it was taken again")
					}
				})
			})
		}
	}
}

// world is what outlives a process: the two stores, and the server.
type world struct {
	tokens *webTokens
	cache  *webStore
	web    *script
}

func newWorld(t authos.Tokens) *world {
	return &world{&webTokens{t: t}, &webStore{}, &script{handler: webUsers(map[string]string{webJWT("alice", 1): "alice", webJWT("alice", 2): "alice"})}}
}

// process starts one.
func (w *world) process(t *testing.T) *authos.Client {
	return newClient(t, "https://authos.test", w.web, oneAttempt, authos.WithTokenStore(w.tokens), authos.WithCache(authos.CachePolicy{Store: w.cache}))
}

// A program that is killed and started again during an outage answers with what its user had read.
func TestStaleAfterARestart(t *testing.T) {
	one := authos.Tokens{AccessToken: webJWT("alice", 1), RefreshToken: "r1"}
	old := authos.Tokens{AccessToken: webJWT("alice", 1), RefreshToken: "r1", ExpiresAt: webStart.Add(time.Minute)}
	for name, tt := range map[string]struct {
		tokens authos.Tokens
		// in the first process, after it has read
		before func(t *testing.T, w *world, c *authos.Client)
		after  func(w *world) // between the two
		served bool
	}{
		"simply":                      {tokens: one, served: true},
		"the access token has ended":  {tokens: old, served: true},
		"longer ago than MaxStale":    {tokens: one, after: func(*world) { time.Sleep(11 * time.Minute) }},
		"the store knows no time":     {tokens: one, after: func(*world) { time.Sleep(9 * time.Minute) }, served: true},
		"a forged token in the store": {tokens: one, after: func(w *world) { w.tokens.t.AccessToken = webJWT("alice", 666) }},
		"somebody else's token":       {tokens: one, after: func(w *world) { w.tokens.t.AccessToken = webJWT("bob", 1) }},
		"refused before": {tokens: authos.Tokens{AccessToken: webJWT("alice", 1)}, before: func(t *testing.T, w *world, c *authos.Client) {
			w.web.play(sayError(401, "UNAUTHORIZED"))
			_ = c.Do(t.Context(), "GET", "/api/organizations", nil, nil)
		}},
		"refused before, and taken again": {tokens: authos.Tokens{AccessToken: webJWT("alice", 1)}, before: func(t *testing.T, w *world, c *authos.Client) {
			good := w.web.handler
			w.web.play(sayError(401, "UNAUTHORIZED"))
			_ = c.Do(t.Context(), "GET", "/api/organizations", nil, nil)
			w.web.play(good)
			noError(t, "again", readCached(t.Context(), c, "/api/user").err)
		}, served: true},
		"signed out before": {tokens: one, before: func(t *testing.T, w *world, c *authos.Client) {
			_ = c.SetTokens(t.Context(), authos.Tokens{})
			w.tokens.t = one // somebody puts them back
		}},
		"refreshed, and nothing read since": {tokens: one, before: func(t *testing.T, w *world, c *authos.Client) {
			w.web.play(func(req *http.Request) (*http.Response, error) {
				switch {
				case req.URL.Path == "/api/auth/refresh":
					return say(200, `{"access_token":"`+webJWT("alice", 2)+`","refresh_token":"r2","expires_in":3600}`)(req)
				case strings.HasSuffix(req.Header.Get("Authorization"), webJWT("alice", 2)):
					return say(502, "")(req)
				}
				return sayError(401, "TOKEN_EXPIRED")(req)
			})
			_ = c.Do(t.Context(), "GET", "/api/organizations", nil, nil)
			if w.tokens.t.AccessToken != webJWT("alice", 2) {
				t.Fatalf("not refreshed: %s", w.tokens.t.AccessToken)
			}
		}, served: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(tt.tokens)
				first := w.process(t)
				if g := readCached(t.Context(), first, "/api/user"); g.err != nil {
					t.Fatal(g.err)
				}
				if tt.before != nil {
					tt.before(t, w, first)
				}
				if tt.after != nil {
					tt.after(w)
				}
				time.Sleep(30 * time.Second)
				if tt.tokens.ExpiresAt != (time.Time{}) {
					time.Sleep(time.Minute)
				}
				_ = first.Close()
				w.web.play(sayReset)
				began := time.Now()
				g := readCached(t.Context(), w.process(t), "/api/user")
				if served := g.err == nil && g.resp.Stale && g.body == `{"id":"alice"}`; served != tt.served {
					t.Errorf("got %v; served: %v, want %v", g, served, tt.served)
				}
				if g.resp.Stale && (g.resp.Age < 30*time.Second || g.resp.Cause == nil) || time.Since(began) > 5*time.Second {
					t.Errorf("age %s, cause %v, after %s", g.resp.Age, g.resp.Cause, time.Since(began))
				}
			})
		})
	}
}

// A token that nobody has proved is believed neither from a map that the program gives nor before a
// second process has asked, and a key needs no proof.
func TestStaleAfterARestartWithAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{}
		start := func(web *script) *authos.Client {
			return newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithCache(authos.CachePolicy{Store: store}))
		}
		_ = getInfo(start(&script{handler: sayInfo}))
		if g := readCached(t.Context(), start(&script{handler: sayReset}), infoPath); !g.resp.Stale || g.body != infoBody {
			t.Errorf("got %v", g)
		}
	})
}

// What was cached for a key that the server has refused is gone, for other processes too.
func TestStaleOfARefusedKeyIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{}
		start := func(web *script) *authos.Client {
			return newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithCache(authos.CachePolicy{Store: store}))
		}
		web := &script{handler: sayInfo}
		c := start(web)
		_ = getInfo(c)
		web.play(sayError(401, "UNAUTHORIZED"))
		_ = getInfo(c)
		if g := readCached(t.Context(), start(&script{handler: sayReset}), infoPath); g.resp.Stale {
			t.Errorf("another process got %v", g)
		}
	})
}

// A store that does not work is told of in the log, and costs a call nothing else.
func TestStaleStoreTroubleIsLogged(t *testing.T) {
	full, gone := errors.New("the disk is full"), errors.New("the disk is gone")
	for want, break_ := range map[string]func(*webStore){
		"a response could not be cached": func(s *webStore) { s.set = func(context.Context) error { return full } },
		"it could not be noted that a token was accepted": func(s *webStore) {
			sets := 0
			s.set = func(context.Context) error {
				if sets++; sets > 1 { // the response has its place
					return full
				}
				return nil
			}
		},
		"cached responses could not be read": func(s *webStore) {
			s.get = func(context.Context, string) ([]byte, bool, error) { return nil, false, gone }
		},
		"cached responses could not be forgotten": func(s *webStore) { s.del = func(context.Context, string) error { return gone } },
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
			break_(w.cache)
			c := newClient(t, "https://authos.test", w.web, oneAttempt, authos.WithTokenStore(w.tokens),
				authos.WithCache(authos.CachePolicy{Store: w.cache}), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			if g := readCached(t.Context(), c, "/api/user"); g.err != nil {
				t.Fatal(g.err)
			}
			if err := c.Do(t.Context(), "PATCH", "/api/user", nil, nil); err != nil {
				t.Error(err)
			}
			w.web.play(sayReset)
			_ = readCached(t.Context(), c, "/api/user")
			if found := strings.Count(log.String(), "authos: "+want); found == 0 || strings.Count(log.String(), "could not be") != found {
				t.Errorf("the log does not say that %s, and nothing else:\n%s", want, &log)
			}
		})
	}
}

// The contexts that a store is asked with end with the request to it: whatever it has begun on
// their behalf is over then, not a second later.
func TestStaleStoreContextsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
		asked := map[string][]context.Context{}
		w.cache.get = func(ctx context.Context, key string) ([]byte, bool, error) {
			asked["Get"] = append(asked["Get"], ctx)
			w.cache.mu.Lock()
			defer w.cache.mu.Unlock()
			v, ok := w.cache.values[key]
			return v, ok, nil
		}
		w.cache.set = func(ctx context.Context) error {
			asked["Set"] = append(asked["Set"], ctx)
			return nil
		}
		w.cache.del = func(ctx context.Context, _ string) error {
			asked["DeletePrefix"] = append(asked["DeletePrefix"], ctx)
			return nil
		}
		_ = readCached(t.Context(), w.process(t), "/api/user") // is kept, with the proof of the token
		again := w.process(t)
		w.web.play(sayReset)
		_ = readCached(t.Context(), again, "/api/user") // looks for the proof, then for the response
		w.web.play(sayInfo)
		_ = again.Do(t.Context(), "PATCH", "/api/user", nil, nil)
		w.web.play(sayError(401, "UNAUTHORIZED"))
		_ = again.Do(t.Context(), "GET", "/api/organizations", nil, nil)
		for what, want := range map[string]int{"Get": 2, "Set": 2, "DeletePrefix": 4} {
			if len(asked[what]) < want {
				t.Errorf("%s was asked %d times, want %d or more", what, len(asked[what]), want)
			}
			for i, ctx := range asked[what] {
				if ctx.Err() == nil {
					t.Errorf("the context of %s %d is still alive", what, i+1)
				}
			}
		}
	})
}

// A refresh that fails since the server is down is an outage like any other. One that the server
// refuses or asks to wait for is not, nor is a store of tokens that fails, nor does a cached
// response take the place of the 401 to a token.
func TestStaleWithoutNewTokens(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, tt := range map[string]struct {
		refresh handler
		refused bool  // the access token is, before its time
		store   error // of the program's tokens
		served  bool
	}{
		"reset":                    {refresh: sayReset, served: true},
		"500":                      {refresh: sayError(500, "INTERNAL_SERVER_ERROR"), served: true},
		"503":                      {refresh: say(503, ""), served: true},
		"429":                      {refresh: sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 30")},
		"401":                      {refresh: sayError(401, "UNAUTHORIZED")},
		"the token store":          {refresh: sayReset, store: broken},
		"reset, after a 401":       {refresh: sayReset, refused: true},
		"503, after a 401":         {refresh: say(503, ""), refused: true},
		"the store, after a 401":   {refresh: sayReset, refused: true, store: broken},
		"429, after a 401":         {refresh: sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 30"), refused: true},
		"500 once a 401 was heard": {refresh: sayError(500, "INTERNAL_SERVER_ERROR"), refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newLockStore()
				store.tokens = authos.Tokens{AccessToken: webJWT("alice", 1), RefreshToken: "r1", ExpiresAt: time.Now().Add(time.Minute)}
				good := map[string]string{webJWT("alice", 1): "alice"}
				users := webUsers(good)
				web := &script{handler: func(req *http.Request) (*http.Response, error) {
					if req.URL.Path == "/api/auth/refresh" {
						return tt.refresh(req)
					}
					return users(req)
				}}
				c := newClient(t, "https://authos.test", web, oneAttempt, webCache, authos.WithTokenStore(store),
					authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
				if g := readCached(t.Context(), c, "/api/user"); g.err != nil {
					t.Fatal(g.err)
				}
				if tt.refused {
					delete(good, webJWT("alice", 1))
				} else {
					time.Sleep(2 * time.Minute)
				}
				store.failure = tt.store
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				if g := readCached(ctx, c, "/api/user"); (g.err == nil && g.resp.Stale) != tt.served || !tt.served && g.err == nil {
					t.Errorf("got %v, cause %v; want it served: %v", g, g.resp.Cause, tt.served)
				} else if cause, ok := errors.AsType[*authos.SessionError](g.resp.Cause); tt.served && (!ok || cause.RetryAt.IsZero()) {
					t.Errorf("the cause is %v, want a session in doubt", g.resp.Cause)
				}
			})
		})
	}
}

// A call that patience has ended was not canceled: the caller is still there.
func TestWhyNoMoreOfAnImpatientCall(t *testing.T) {
	for name, bad := range map[string]handler{
		"in flight": sayNothing, "between attempts": sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 30"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done authos.CallDone
				c, web := keyClient(t, webCache,
					authos.WithObserver(&authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { done = e }}))
				_ = getInfo(c)
				web.play(bad)
				g := readCached(t.Context(), c, infoPath)
				if !g.resp.Stale || done.NoMore != "does not fit the deadline" {
					t.Errorf("got %v, no more since %q, cause %v", g, done.NoMore, g.resp.Cause)
				}
				if last := g.resp.History[len(g.resp.History)-1]; name == "in flight" && last.NoMore != done.NoMore {
					t.Errorf("the last attempt says %q, CallDone %q", last.NoMore, done.NoMore)
				}
			})
		})
	}
}

// Sign-out as the first thing a process does forgets what an earlier one has cached.
func TestStaleSignOutFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := authos.Tokens{AccessToken: webJWT("alice", 1), RefreshToken: "r1"}
		w := newWorld(one)
		_ = readCached(t.Context(), w.process(t), "/api/user")
		if len(w.cache.keys()) == 0 {
			t.Fatal("nothing is cached")
		}
		w.web.play(say(200, `{}`))
		if err := w.process(t).SetTokens(t.Context(), authos.Tokens{}); err != nil {
			t.Fatal(err)
		}
		if keys := w.cache.keys(); len(keys) != 0 {
			t.Errorf("still cached: %q", keys)
		}
	})
}

// What one process has read, another one that has seen a write since does not serve.
func TestStaleWriteOfAnotherProcess(t *testing.T) {
	// At the very same time nobody knows which was first.
	for _, between := range []time.Duration{0, time.Second} {
		t.Run(between.String(), func(t *testing.T) { testWriteOfAnotherProcess(t, between) })
	}
}

func testWriteOfAnotherProcess(t *testing.T, between time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{}
		start := func(key string, web *script) *authos.Client {
			return newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey(key), authos.WithCache(authos.CachePolicy{Store: store}),
				authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		}
		web := &script{handler: sayInfo}
		_ = readCached(t.Context(), start("sk_a", &script{handler: sayInfo}), "/api/service/users/u1")
		time.Sleep(between)
		other := start("sk_b", web)
		_ = other.Do(t.Context(), "PATCH", "/api/service/users/u1", nil, nil)
		a, err := other.With(authos.WithAPIKey("sk_a"))
		if err != nil {
			t.Fatal(err)
		}
		if body, ok := servedStale(a, web, "/api/service/users/u1"); ok {
			t.Errorf("served: %s", body)
		}
		if _, ok := servedStale(start("sk_a", web), web, "/api/service/users/u1"); !ok {
			t.Error("a process that knows of no write serves it")
		}
	})
}

// What this principal has read is gone for other processes too once it has written: the resource
// with all below it, and its collection in every variant.
func TestStaleOwnWriteIsForAllProcesses(t *testing.T) {
	const org = "/api/organizations/acme"
	reads := []string{org + "/roles", org + "/roles?limit=1", org + "/roles/r1", org + "/roles/r2", org}
	for write, gone := range map[string][]string{
		"DELETE " + org + "/roles/r1": {org + "/roles", org + "/roles?limit=1", org + "/roles/r1"},
		"PATCH " + org:                reads,
	} {
		t.Run(write[:strings.IndexByte(write, ' ')], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(authos.Tokens{AccessToken: webJWT("alice", 1)})
				c := w.process(t)
				for _, path := range reads {
					noError(t, path, readCached(t.Context(), c, path).err)
				}
				method, path, _ := strings.Cut(write, " ")
				noError(t, write, c.Do(t.Context(), method, path, nil, nil))
				other := w.process(t)
				for _, path := range reads {
					if _, ok := servedStale(other, w.web, path); ok == slices.Contains(gone, path) {
						t.Errorf("%s is served by another process: %v", path, ok)
					}
				}
			})
		})
	}
}

// A write counts from when it may have been applied, however the call goes on.
func TestStaleWriteAppliedByAnEarlierAttempt(t *testing.T) {
	const path = "/api/organizations/acme"
	for name, opts := range map[string][]authos.Option{
		"then turned away": nil, "then not sent": {authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				web := &script{handler: sayInfo}
				c := newClient(t, "https://authos.test", web, append([]authos.Option{
					webCache, authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 1)}), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}),
				}, opts...)...)
				noError(t, "a read", readCached(t.Context(), c, path).err)
				sent := 0
				web.play(func(req *http.Request) (*http.Response, error) {
					if sent++; sent == 1 {
						return say(502, "")(req)
					}
					return sayError(403, "FORBIDDEN")(req)
				})
				err := c.Do(t.Context(), "PATCH", path, nil, nil, authos.WithIdempotent())
				if !errors.Is(err, authos.ErrOutcomeUnknown) || errors.Is(err, authos.ErrCircuitOpen) != (opts != nil) {
					t.Fatalf("the write: %v after %d", err, sent)
				}
				if body, ok := servedStale(c, web, path); ok {
					t.Errorf("served after the write: %s", body)
				}
			})
		})
	}
}
