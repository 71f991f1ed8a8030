package authos_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

var webCache = authos.WithCache(authos.CachePolicy{})

// webGot is what a caller got.
type webGot struct {
	body string
	resp authos.Response
	err  error
}

func (g webGot) String() string { return fmt.Sprintf("%q (stale %v), %v", g.body, g.resp.Stale, g.err) }

func readCached(ctx context.Context, c *authos.Client, path string, opts ...authos.RequestOption) webGot {
	var g webGot
	var out []byte
	g.err = c.Do(ctx, "GET", path, nil, &out, append(opts, authos.WithResponse(&g.resp))...)
	g.body = string(out)
	return g
}

// servedStale reports whether a read is served from what is kept while the server is down.
func servedStale(c *authos.Client, web *script, path string, opts ...authos.RequestOption) (string, bool) {
	web.mu.Lock()
	before := web.handler
	web.mu.Unlock()
	web.play(sayReset)
	defer web.play(before)
	g := readCached(context.Background(), c, path, append(opts, authos.WithoutRetry())...)
	return g.body, g.err == nil && g.resp.Stale
}

func TestStaleOffByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		_ = getInfo(c)
		web.play(sayReset)
		if g := readCached(t.Context(), c, infoPath); g.err == nil || g.resp.Stale {
			t.Errorf("without WithCache: %v", g)
		}
	})
}

func TestStaleTriggers(t *testing.T) {
	tests := []struct {
		name     string
		bad      handler
		deadline time.Duration
		timeout  time.Duration // of an attempt
		tripped  bool
		cause    error
		status   int // of the last response
	}{
		{name: "reset", bad: sayReset, cause: authos.ErrNetwork},
		{name: "dial", bad: func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
		}, cause: authos.ErrNetwork},
		{name: "no such host", bad: func(*http.Request) (*http.Response, error) {
			return nil, &net.DNSError{IsNotFound: true}
		}, cause: authos.ErrNetwork},
		{name: "500", bad: say(500, ""), cause: authos.ErrServer, status: 500},
		{name: "500 AUDIT_ERROR", bad: sayError(500, "AUDIT_ERROR"), cause: authos.CodeAuditError, status: 500},
		{name: "502", bad: say(502, pageBody), cause: authos.ErrServer, status: 502},
		{name: "503", bad: sayError(503, "SERVICE_UNAVAILABLE"), cause: authos.ErrServer, status: 503},
		{name: "503 with a long Retry-After", bad: sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 3600"), cause: authos.ErrServer, status: 503},
		{name: "504", bad: say(504, ""), cause: authos.ErrServer, status: 504},
		{name: "599", bad: say(599, ""), cause: authos.ErrServer, status: 599},
		{name: "500 in a 200", bad: sayError(200, "INTERNAL_SERVER_ERROR"), cause: authos.CodeInternalServerError, status: 200},
		{name: "cut body", bad: func(req *http.Request) (*http.Response, error) {
			resp, err := sayInfo(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id"`), webBroken{}))
			return resp, err
		}, cause: authos.ErrNetwork},
		{name: "attempt timeout", bad: sayNothing, timeout: time.Second, cause: context.DeadlineExceeded},
		{name: "patience", bad: sayNothing, cause: authos.ErrNetwork},
		{name: "caller's deadline", bad: sayNothing, deadline: 3 * time.Second, cause: context.DeadlineExceeded},
		{name: "caller's deadline between attempts", bad: say(500, ""), deadline: time.Millisecond, cause: authos.ErrServer, status: 500},
		{name: "open circuit", bad: sayReset, tripped: true, cause: authos.ErrCircuitOpen},
		{name: "redirect to another origin", bad: say(302, "", "Location: https://login.example/"), cause: authos.ErrNetwork},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events []authos.StaleEvent
				var logged bytes.Buffer
				c, web := keyClient(t, webCache, authos.WithLogger(slog.New(slog.NewJSONHandler(&logged, nil))),
					authos.WithRetry(authos.RetryPolicy{AttemptTimeout: tt.timeout, MaxAttempts: 2}),
					authos.WithObserver(&authos.Observer{Stale: func(_ context.Context, e authos.StaleEvent) { events = append(events, e) }}))
				fresh := readCached(t.Context(), c, infoPath)
				if fresh.err != nil || fresh.resp.Stale || fresh.resp.Age != 0 {
					t.Fatalf("fresh: %v", fresh)
				}
				web.play(tt.bad)
				if tt.tripped {
					for range 6 {
						_ = getInfo(c)
					}
					events = nil
				}
				time.Sleep(time.Minute - time.Since(webStart))
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				logged.Reset()
				began := time.Now()
				g := readCached(ctx, c, infoPath)
				age := time.Minute + time.Since(began)
				if g.err != nil || g.body != infoBody || !g.resp.Stale || g.resp.Age != age || g.resp.StatusCode != tt.status {
					t.Fatalf("got %v, age %v, status %d; want the cached response, %v old, and status %d", g, g.resp.Age, g.resp.StatusCode, age, tt.status)
				}
				if string(g.resp.Body) != infoBody || !errors.Is(g.resp.Cause, tt.cause) {
					t.Errorf("Body %q, Cause %v; want the cached body, and %v", g.resp.Body, g.resp.Cause, tt.cause)
				}
				if len(events) != 1 || events[0].Age != age || events[0].Route != infoPath || events[0].Method != "GET" ||
					events[0].RequestID == "" || !errors.Is(events[0].Cause, tt.cause) || strings.Contains(events[0].Cause.Error(), "authos:  :") {
					t.Errorf("observer: %+v, want one event with cause %v", events, tt.cause)
				}
				if !strings.Contains(logged.String(), `"level":"WARN","msg":"authos: serving a cached response","method":"GET","route":"`+infoPath+`"`) {
					t.Errorf("log: %s", logged.String())
				}
			})
		})
	}
}

// webStart is when every bubble begins.
var webStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestStaleNever(t *testing.T) {
	tests := []struct {
		name string
		bad  handler
		kept bool // stays for a later outage
	}{
		{"400", sayError(400, "BAD_REQUEST"), true},
		{"501", say(501, ""), true}, // no outage: RFC 5861, section 4
		{"505", say(505, ""), true},
		{"401", sayError(401, "UNAUTHORIZED"), false},
		{"403", say(403, "Forbidden"), false},
		{"404", say(404, ""), false},
		{"408", say(408, ""), true},
		{"409", sayError(409, "CONFLICT"), true},
		{"410", say(410, ""), false},
		{"422", say(422, "text"), true},
		{"429", sayError(429, "RATE_LIMIT_EXCEEDED"), true},
		{"429 with a wait too long", sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 3600"), true},
		{"451", say(451, ""), true},
		{"a 404 in a 200", sayError(200, "NOT_FOUND"), false},
		{"an unknown error in a 200", sayError(200, "SOMETHING_ELSE"), true},
		{"too large", say(200, strings.Repeat(" ", 16<<20+1)), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, webCache)
				_ = getInfo(c)
				web.play(tt.bad)
				if g := readCached(t.Context(), c, infoPath); g.err == nil || g.resp.Stale {
					t.Errorf("got %v, want the error", g)
				}
				time.Sleep(2 * time.Minute) // a gate opens again
				if _, kept := servedStale(c, web, infoPath); kept != tt.kept {
					t.Errorf("still kept: %v, want %v", kept, tt.kept)
				}
			})
		})
	}
	t.Run("held back by the gate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, webCache, oneAttempt)
			_ = getInfo(c)
			web.play(sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 60"))
			_ = getInfo(c)
			web.play(sayReset)
			sent := web.count()
			g := readCached(t.Context(), c, infoPath)
			if e, ok := errors.AsType[*authos.RateLimitError](g.err); !ok || e.API != nil || web.count() != sent {
				t.Errorf("got %v, want the gate's refusal", g)
			}
		})
	})
	t.Run("caller cancels", func(t *testing.T) {
		for name, bad := range map[string]handler{
			"in flight": sayNothing, "between attempts": sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 30"),
			"as the server returns 500": func(req *http.Request) (*http.Response, error) {
				<-req.Context().Done()
				return say(500, "")(req)
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, webCache)
				_ = getInfo(c)
				web.play(bad)
				ctx, cancel := cancelAfter(t.Context(), 2*time.Second)
				defer cancel()
				if g := readCached(ctx, c, infoPath); g.err == nil || g.resp.Stale {
					t.Errorf("%s: got %v, want an error", name, g)
				}
			})
		}
	})
	t.Run("closed client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := keyClient(t, webCache)
			_ = getInfo(c)
			_ = c.Close()
			if g := readCached(t.Context(), c, infoPath); !errors.Is(g.err, net.ErrClosed) {
				t.Errorf("got %v, want net.ErrClosed", g)
			}
		})
	})
}

func TestStaleMaxAge(t *testing.T) {
	for _, tt := range []struct {
		policy time.Duration
		age    time.Duration
		want   bool
	}{
		{0, 10 * time.Minute, true},
		{0, 10*time.Minute + 1, false},
		{time.Second, time.Second, true},
		{time.Second, time.Second + 1, false},
	} {
		// the latter does not know of time
		for _, store := range []authos.CacheStore{nil, &webStore{}} {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{MaxStale: tt.policy, Store: store}))
				_ = getInfo(c)
				time.Sleep(tt.age)
				if _, got := servedStale(c, web, infoPath); got != tt.want {
					t.Errorf("MaxStale %v, age %v, store %T: served %v, want %v", tt.policy, tt.age, store, got, tt.want)
				}
			})
		}
	}
}

// webStore is an outside store whose parts a test replaces.
type webStore struct {
	mu     sync.Mutex
	values map[string][]byte
	get    func(ctx context.Context, key string) ([]byte, bool, error)
	set    func(ctx context.Context) error
	del    func(ctx context.Context, prefix string) error
	ttls   []time.Duration
}

func (s *webStore) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if s.get != nil {
		return s.get(ctx, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	return v, ok, nil
}

func (s *webStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.set != nil {
		if err := s.set(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[key] = value
	s.ttls = append(s.ttls, ttl)
	return nil
}

func (s *webStore) DeletePrefix(ctx context.Context, prefix string) error {
	if s.del != nil {
		if err := s.del(ctx, prefix); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.values, func(key string, _ []byte) bool { return strings.HasPrefix(key, prefix) })
	return nil
}

func (s *webStore) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.values))
}

func block(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStalePatience(t *testing.T) {
	const second = time.Second
	after := func(d time.Duration, then handler) handler {
		return func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(d):
				return then(req)
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}
	}
	// steps responds to one request after the other, the last one again and again.
	steps := func(responses ...handler) handler {
		return func(req *http.Request) (*http.Response, error) {
			response := responses[0]
			if len(responses) > 1 {
				responses = responses[1:]
			}
			return response(req)
		}
	}
	wait := func(s string) handler { return sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: "+s) }
	tests := []struct {
		name   string
		policy authos.CachePolicy
		cold   bool // nothing is kept
		slow   func(*webStore)
		bad    handler
		stale  bool
		fails  bool
		least  time.Duration
		most   time.Duration
	}{
		{name: "a hanging server", bad: sayNothing, stale: true, least: 5 * second, most: 5 * second},
		{name: "own patience", policy: authos.CachePolicy{Patience: second}, bad: sayNothing, stale: true, least: second, most: second},
		{name: "no patience", policy: authos.CachePolicy{Patience: -1}, bad: sayNothing, stale: true, least: 120 * second, most: 120 * second},
		{name: "a slow response within it", bad: after(4*second, sayInfo), least: 4 * second, most: 4 * second},
		{name: "retries within it", bad: say(500, ""), stale: true, most: 5 * second},
		{name: "the server's own wait", bad: sayError(500, "INTERNAL_SERVER_ERROR", "Retry-After: 30"), stale: true, least: 5 * second, most: 5 * second},
		{name: "nothing kept: the call goes on", cold: true, bad: after(30*second, sayInfo), least: 30 * second, most: 30 * second},
		{name: "nothing kept: it fails as ever", cold: true, bad: sayNothing, fails: true, least: 120 * second, most: 120 * second},
		{name: "slow store", bad: sayNothing, slow: func(s *webStore) {
			s.get = func(_ context.Context, key string) ([]byte, bool, error) {
				time.Sleep(700 * time.Millisecond)
				return s.values[key], true, nil
			}
		}, stale: true, least: 5700 * time.Millisecond, most: 5700 * time.Millisecond},
		{name: "blocked store: the call goes on", bad: after(9*second, sayInfo), slow: func(s *webStore) {
			s.get = func(ctx context.Context, _ string) ([]byte, bool, error) { return nil, false, block(ctx) }
		}, least: 9 * second, most: 9 * second},
		// After a 4xx a cached response is never served, and a wait that the server asked for is no
		// outage.
		{name: "429, then good", bad: steps(wait("12"), sayInfo), least: 12 * second, most: 14 * second},
		{name: "429 and 429, then good", bad: steps(wait("8"), wait("8"), sayInfo), least: 16 * second, most: 18 * second},
		{name: "429, then a hanging server", bad: steps(wait("12"), sayNothing), stale: true, least: 15 * second, most: 15 * second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &webStore{}
				tt.policy.Store = store
				c, web := keyClient(t, authos.WithCache(tt.policy))
				if !tt.cold {
					_ = getInfo(c)
				}
				if tt.slow != nil {
					tt.slow(store)
				}
				web.play(tt.bad)
				start := time.Now()
				g := readCached(t.Context(), c, infoPath)
				took := time.Since(start)
				if g.resp.Stale != tt.stale || (g.err != nil) != tt.fails || took < tt.least || took > tt.most {
					t.Errorf("got %v after %v", g, took)
				}
			})
		})
	}
	t.Run("a refresh that takes longer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			good := map[string]string{"one": "alice"}
			users := webUsers(good)
			web := &script{handler: func(req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/api/auth/refresh" {
					time.Sleep(12 * time.Second)
					return say(200, `{"access_token":"two","refresh_token":"r2","expires_in":3600}`)(req)
				}
				return users(req)
			}}
			c := newClient(t, "https://authos.test", web, webCache, authos.WithTokens(authos.Tokens{AccessToken: "one", RefreshToken: "r1"}))
			_ = readCached(t.Context(), c, "/api/user")
			delete(good, "one")
			good["two"] = "alice"
			start := time.Now()
			if g := readCached(t.Context(), c, "/api/user"); g.err != nil || g.resp.Stale || time.Since(start) != 12*time.Second {
				t.Errorf("got %v after %v: the server has refused the token, so a cached response is not served", g, time.Since(start))
			}
		})
	})
	t.Run("a gate that another call has closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, webCache)
			_ = getInfo(c)
			web.play(wait("12"))
			_ = c.Do(t.Context(), "GET", "/api/service/users", nil, nil, authos.WithoutRetry())
			web.play(sayInfo)
			if g := readCached(t.Context(), c, infoPath); g.err != nil || g.resp.Stale {
				t.Errorf("got %v, want a fresh response", g)
			}
		})
	})
	t.Run("the breaker counts a hanging server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, webCache)
			_ = getInfo(c)
			web.play(sayNothing)
			for range 5 {
				_ = readCached(t.Context(), c, infoPath)
			}
			start, sent := time.Now(), web.count()
			if g := readCached(t.Context(), c, infoPath); !g.resp.Stale || time.Since(start) != 0 || web.count() != sent {
				t.Errorf("got %v after %v: five hangs that patience cut off should open the circuit", g, time.Since(start))
			}
		})
	})
}

func TestStaleNoStore(t *testing.T) {
	for _, tt := range []struct {
		header string
		want   bool
	}{
		{"Cache-Control: no-store", false},
		{"Cache-Control: private, No-Store , max-age=0", false},
		{"Cache-Control: no-cache", false},
		{`Cache-Control: private, No-Cache="set-cookie"`, false},
		{"Cache-Control: max-age=60, must-revalidate", false},
		{"Vary: *", false},
		{"Vary: Accept, *", false},
		{"Vary: Accept-Language", true},
		{"Cache-Control: proxy-revalidate, s-maxage=1", true}, // for shared caches
		{"Cache-Control: max-age=0", true},
		{"Cache-Control: x-no-store", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, webCache)
			web.play(say(200, infoBody, tt.header))
			_ = getInfo(c)
			if _, got := servedStale(c, web, infoPath); got != tt.want {
				t.Errorf("%q: kept %v, want %v", tt.header, got, tt.want)
			}
		})
	}
}

// Only a whole JSON response with 200 is worth keeping.
func TestStaleKeepsGoodAnswersOnly(t *testing.T) {
	for name, response := range map[string]handler{
		"201": say(201, infoBody), "203": say(203, infoBody), "204": say(204, ""), "206": say(206, infoBody), "HTML": say(200, pageBody),
		"empty": say(200, ""), "302": say(302, infoBody),
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Store: store}))
			web.play(response)
			_ = readCached(t.Context(), c, infoPath)
			if keys := store.keys(); len(keys) != 0 {
				t.Errorf("%s: kept as %q", name, keys)
			}
		})
	}
}

// What a typed method cannot use is not kept, and does not push out what was kept before.
func TestStaleDecodeError(t *testing.T) {
	for name, body := range map[string]string{
		"no id": `{"name":"x"}`, "wrong type": `{"id":7}`, "null": "null", "a list": "[]", "cut": `{"id":"s1"`, "HTML": pageBody,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, webCache)
			web.play(say(200, body))
			if _, err := c.Service.Info(t.Context()); !isDecodeError(err) {
				t.Fatalf("%s: %v, want a *DecodeError", name, err)
			}
			if _, ok := servedStale(c, web, infoPath); ok {
				t.Errorf("%s: a response that could not be used was kept", name)
			}
			web.play(sayInfo)
			_ = getInfo(c)
			web.play(say(200, body))
			if info, err := c.Service.Info(t.Context()); !isDecodeError(err) {
				t.Errorf("%s: got %+v, %v: a success that cannot be read is no outage", name, info, err)
			}
			web.play(sayReset)
			if info, err := c.Service.Info(t.Context()); err != nil || info.ID != "s1" {
				t.Errorf("%s: got %+v, %v; want the good response from before", name, info, err)
			}
		})
	}
}

func isDecodeError(err error) bool {
	_, ok := errors.AsType[*authos.DecodeError](err)
	return ok
}

func TestStaleWithoutCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt, webCache)
		for name, opt := range map[string]authos.RequestOption{
			"WithoutCache": authos.WithoutCache(), "own key": authos.WithHeader("X-Api-Key", "sk_5_6"),
		} {
			_ = readCached(t.Context(), c, infoPath, opt)
			if _, ok := servedStale(c, web, infoPath); ok {
				t.Errorf("%s: kept", name)
			}
			_ = getInfo(c)
			if g, ok := servedStale(c, web, infoPath, opt); ok {
				t.Errorf("%s: served %s", name, g)
			}
			if _, ok := servedStale(c, web, infoPath); !ok {
				t.Errorf("%s: the cached response is gone", name)
			}
			_ = c.Do(t.Context(), "PATCH", infoPath, nil, nil) // forgets
		}
	})
}

func TestStaleWrites(t *testing.T) {
	reads := []string{
		"/api/organizations", "/api/organizations?page=2", "/api/organizations/acme", "/api/organizations/acme/roles",
		"/api/organizations/acme/roles/r1", "/api/organizations/acme/roles/r2", "/api/organizations/acme/services",
		"/api/organizations/acme/webhooks", "/api/organizations/acme/domain", "/api/organizations/acme/risk-settings",
		"/api/organizations/ac", "/api/organizations/acme2/roles", "/api/user", "/api/service/users", "/api/service/users/u1",
		"/api/service/users/u2", "/api/service/info", "/api/user/devices", "/api/user/devices/d1",
	}
	tests := []struct {
		write string
		gone  []string
	}{
		{"PATCH /api/organizations/acme", []string{
			"/api/organizations", "/api/organizations?page=2", "/api/organizations/acme", "/api/organizations/acme/roles", "/api/organizations/acme/roles/r1",
			"/api/organizations/acme/roles/r2", "/api/organizations/acme/services", "/api/organizations/acme/webhooks",
			"/api/organizations/acme/domain", "/api/organizations/acme/risk-settings",
		}},
		{"POST /api/organizations", []string{
			"/api/organizations", "/api/organizations?page=2", "/api/organizations/acme", "/api/organizations/acme/roles", "/api/organizations/acme/roles/r1",
			"/api/organizations/acme/roles/r2", "/api/organizations/acme/services", "/api/organizations/acme/webhooks", "/api/organizations/ac",
			"/api/organizations/acme2/roles", "/api/organizations/acme/domain", "/api/organizations/acme/risk-settings",
		}},
		{"PUT /api/organizations/acme/roles/r1", []string{"/api/organizations/acme/roles", "/api/organizations/acme/roles/r1"}},
		{"DELETE /api/organizations/acme/roles/r1", []string{"/api/organizations/acme/roles", "/api/organizations/acme/roles/r1"}},
		// A POST to a collection below an id is no verb: the rest of acme stays.
		{"POST /api/organizations/acme/roles", []string{
			"/api/organizations/acme", "/api/organizations/acme/roles", "/api/organizations/acme/roles/r1", "/api/organizations/acme/roles/r2",
		}},
		{"POST /api/organizations/acme/domain", []string{"/api/organizations/acme", "/api/organizations/acme/domain"}},
		// Verbs.
		{"POST /api/organizations/acme/select", []string{
			"/api/organizations", "/api/organizations?page=2", "/api/organizations/acme", "/api/organizations/acme/roles", "/api/organizations/acme/roles/r1",
			"/api/organizations/acme/roles/r2", "/api/organizations/acme/services", "/api/organizations/acme/webhooks",
			"/api/organizations/acme/domain", "/api/organizations/acme/risk-settings",
		}},
		{"POST /api/organizations/acme/webhooks/i1/test", []string{"/api/organizations/acme/webhooks"}},
		{"POST /api/organizations/acme/domain/verify", []string{"/api/organizations/acme", "/api/organizations/acme/domain"}},
		{"POST /api/organizations/acme/risk-settings/reset", []string{"/api/organizations/acme", "/api/organizations/acme/risk-settings"}},
		{"POST /api/user/devices/revoke-all", []string{"/api/user", "/api/user/devices", "/api/user/devices/d1"}},
		{"POST /api/user/devices/d1/trust", []string{"/api/user/devices", "/api/user/devices/d1"}},
		{"PATCH /api/user", []string{"/api/user", "/api/user/devices", "/api/user/devices/d1"}},
		{"POST /api/service/users", []string{"/api/service/users", "/api/service/users/u1", "/api/service/users/u2"}},
		{"DELETE /api/service/users/u1", []string{"/api/service/users", "/api/service/users/u1"}},
		{"PATCH /api/service/info", []string{"/api/service/info"}},
		{"POST /api/service/things/t1", nil}, // an unknown route
		{"POST /api/service/users/u1/unknown", []string{"/api/service/users/u1"}},
		{"GET /api/organizations/acme", nil},
	}
	for _, tt := range tests {
		t.Run(tt.write, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, webCache, oneAttempt, authos.WithTokens(authos.Tokens{AccessToken: "a"}), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
				for _, path := range reads {
					if g := readCached(t.Context(), c, path); g.err != nil {
						t.Fatal(g.err)
					}
				}
				method, path, _ := strings.Cut(tt.write, " ")
				if err := c.Do(t.Context(), method, path, nil, nil, authos.WithoutCache()); err != nil {
					t.Fatal(err)
				}
				var gone []string
				for _, path := range reads {
					if _, ok := servedStale(c, web, path); !ok {
						gone = append(gone, path)
					}
				}
				slices.Sort(gone)
				slices.Sort(tt.gone)
				if !slices.Equal(gone, tt.gone) {
					t.Errorf("forgets\n%q, want\n%q", gone, tt.gone)
				}
			})
		})
	}
	t.Run("whatever its outcome, once it was sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for name, bad := range map[string]handler{"reset": sayReset, "500": say(500, ""), "hang": sayNothing, "404": say(404, "")} {
				c, web := keyClient(t, webCache, oneAttempt)
				_ = getInfo(c)
				web.play(bad)
				_ = c.Do(t.Context(), "PATCH", infoPath, nil, nil)
				if _, ok := servedStale(c, web, infoPath); ok {
					t.Errorf("%s: the old response is still served", name)
				}
			}
		})
	})
	t.Run("but not one that was refused here", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, webCache, oneAttempt)
			_ = getInfo(c)
			web.play(sayReset)
			for range 5 {
				_ = c.Do(t.Context(), "GET", "/api/service/other", nil, nil)
			}
			if err := c.Do(t.Context(), "PATCH", infoPath, nil, nil); !errors.Is(err, authos.ErrCircuitOpen) {
				t.Fatal(err)
			}
			if _, ok := servedStale(c, web, infoPath); !ok {
				t.Error("a write that was never sent forgot the response")
			}
		})
	})
}

// A read and a write in every order of their steps: the response from before the write must not
// come back after it.
func TestStaleInterleavings(t *testing.T) {
	pairs := []struct{ read, write string }{
		{"/api/service/users/u1", "PATCH /api/service/users/u1"},
		{"/api/service/users", "POST /api/service/users"},
		{"/api/service/users?limit=1", "DELETE /api/service/users/u1"},
		{"/api/organizations", "POST /api/organizations/acme/select"},
		{"/api/organizations/acme/services", "POST /api/organizations/acme/select"},
		{"/api/organizations/acme/roles", "PATCH /api/organizations/acme"},
		{"/api/organizations/acme/roles/r1", "POST /api/organizations"},
		{"/api/user/identities", "PATCH /api/user"},
		{"/api/user/devices/d1", "POST /api/user/devices/revoke-all"},
		{"/api/user/devices", "POST /api/user/devices/d1/trust"},
	}
	for _, p := range pairs {
		for _, order := range webOrders("rrr", "www") {
			t.Run(strings.ReplaceAll(p.read+" and "+p.write, "/", "|")+" "+order, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { interleave(t, p.read, p.write, order) })
			})
		}
	}
}

// webOrders gives all merges of two sequences.
func webOrders(a, b string) []string {
	if a == "" || b == "" {
		return []string{a + b}
	}
	var all []string
	for _, rest := range webOrders(a[1:], b) {
		all = append(all, a[:1]+rest)
	}
	for _, rest := range webOrders(a, b[1:]) {
		all = append(all, b[:1]+rest)
	}
	return all
}

func interleave(t *testing.T, read, write, order string) {
	value := "old"
	readGate, writeGate, setGate := make(chan struct{}), make(chan struct{}), make(chan struct{})
	store := &webStore{set: func(context.Context) error {
		<-setGate
		return nil
	}}
	web := &script{}
	c := newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithTokens(authos.Tokens{AccessToken: "a"}),
		authos.WithCache(authos.CachePolicy{Store: store}))
	web.play(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodGet {
			seen := value // the server's state when the read reaches it
			<-readGate
			return say(200, `{"v":"`+seen+`"}`)(req)
		}
		<-writeGate
		value = "new"
		<-writeGate
		return say(200, "{}")(req)
	})
	var wg sync.WaitGroup
	method, path, _ := strings.Cut(write, " ")
	steps := map[byte][]func(){
		'r': {
			// reads the state, stays on the way back
			func() { wg.Go(func() { _ = readCached(t.Context(), c, read) }) },
			// comes back, is about to be kept
			func() { readGate <- struct{}{} },
			func() {
				select {
				case setGate <- struct{}{}: // is kept
				default: // it was not to be
				}
			},
		},
		'w': {
			// on its way
			func() { wg.Go(func() { _ = c.Do(t.Context(), method, path, nil, nil) }) },
			func() { writeGate <- struct{}{} }, // applied
			func() { writeGate <- struct{}{} }, // responded
		},
	}
	for _, who := range []byte(order) {
		steps[who][0]()
		steps[who] = steps[who][1:]
		synctest.Wait()
	}
	wg.Wait()
	body, ok := servedStale(c, web, read)
	if ok && strings.Contains(body, "old") {
		t.Errorf("%s: the response from before the write is served: %s (%s)", order, body, store.keys())
	}
	if order == "wwwrrr" && !ok {
		t.Errorf("%s: the response after the write is not kept", order)
	}
}

func TestStaleSignOut(t *testing.T) {
	alice := authos.Tokens{AccessToken: webJWT("alice", 1)}
	ways := map[string]func(*testing.T, *authos.Client){
		"SetTokens": func(t *testing.T, c *authos.Client) {
			if err := c.SetTokens(t.Context(), authos.Tokens{}); err != nil {
				t.Error(err)
			}
		},
		"Logout": func(t *testing.T, c *authos.Client) {
			if err := c.Auth.Logout(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &webStore{}
				web := &script{handler: say(200, `{"id":"alice"}`)}
				c := newClient(t, "https://authos.test", web, oneAttempt, authos.WithTokens(alice), authos.WithCache(authos.CachePolicy{Store: store}))
				other, err := c.With(authos.WithTokens(authos.Tokens{AccessToken: webJWT("bob", 1)}))
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range []string{"/api/user", "/api/organizations", "/api/organizations/acme"} {
					_ = readCached(t.Context(), c, path)
					_ = readCached(t.Context(), other, path)
				}
				leave(t, c)
				if _, ok := servedStale(c, web, "/api/user"); ok {
					t.Error("served to nobody")
				}
				if n := len(store.keys()); n != 3 {
					t.Errorf("%d responses are cached after the sign-out, want the other user's 3", n)
				}
				_ = c.SetTokens(t.Context(), alice)
				if _, ok := servedStale(c, web, "/api/user"); ok {
					t.Error("served after signing in again")
				}
				if _, ok := servedStale(other, web, "/api/user"); !ok {
					t.Error("the other user's response is gone")
				}
			})
		})
	}
	t.Run("of an earlier process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			web := &script{handler: say(200, `{"id":"alice"}`)}
			cached := authos.WithCache(authos.CachePolicy{Store: store})
			_ = readCached(t.Context(), newClient(t, "https://authos.test", web, authos.WithTokens(alice), cached), "/api/user")
			if len(store.keys()) != 1 {
				t.Fatal("not kept")
			}
			if err := newClient(t, "https://authos.test", web, authos.WithTokens(alice), cached).Auth.Logout(t.Context()); err != nil {
				t.Fatal(err)
			}
			if keys := store.keys(); len(keys) != 0 {
				t.Errorf("kept after the sign-out: %q", keys)
			}
		})
	})
	// A read in flight across the sign-out, which ends before the response arrives or while it is
	// being kept.
	for _, where := range []string{"server", "store"} {
		for _, next := range []authos.Tokens{{}, {AccessToken: webJWT("bob", 1)}} {
			t.Run(fmt.Sprintf("in flight, at the %s, next %v", where, next), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gate := make(chan struct{})
					store := &webStore{}
					web := &script{}
					if where == "store" {
						web.play(say(200, `{"id":"alice"}`))
						store.set = func(context.Context) error { <-gate; return nil }
					} else {
						web.play(func(req *http.Request) (*http.Response, error) { <-gate; return say(200, `{"id":"alice"}`)(req) })
					}
					c := newClient(t, "https://authos.test", web, oneAttempt, authos.WithTokens(alice), authos.WithCache(authos.CachePolicy{Store: store}))
					done := make(chan webGot)
					go func() { done <- readCached(t.Context(), c, "/api/user") }()
					synctest.Wait()
					if err := c.SetTokens(t.Context(), next); err != nil {
						t.Fatal(err)
					}
					close(gate)
					if g := <-done; g.err != nil {
						t.Fatal(g.err)
					}
					if keys := store.keys(); len(keys) != 0 {
						t.Errorf("kept across the change of user: %q", keys)
					}
				})
			})
		}
	}
	t.Run("a read that fails after a change of user gets nothing of the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web := &script{handler: say(200, `{"id":"bob"}`)}
			bob := authos.Tokens{AccessToken: webJWT("bob", 1)}
			c := newClient(t, "https://authos.test", web, oneAttempt, webCache, authos.WithTokens(bob))
			_ = readCached(t.Context(), c, "/api/user")
			_ = c.SetTokens(t.Context(), alice)
			gate := make(chan struct{})
			web.play(func(req *http.Request) (*http.Response, error) { <-gate; return sayReset(req) })
			done := make(chan webGot)
			go func() { done <- readCached(t.Context(), c, "/api/user") }()
			synctest.Wait()
			_ = c.SetTokens(t.Context(), bob)
			web.play(say(200, `{"id":"bob"}`))
			_ = readCached(t.Context(), c, "/api/user") // accepted again
			close(gate)
			if g := <-done; g.err == nil {
				t.Errorf("a call that began as alice got %v", g)
			}
		})
	})
}

// webJWT is a token as AuthOS makes them; n is its signature, which only the server can check.
func webJWT(sub string, n int) string {
	part := func(v any) string {
		b, _ := json.Marshal(v) //nolint:errchkjson // maps of texts and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]string{"typ": "JWT", "alg": "RS256"}) + "." +
		part(map[string]any{"iss": "https://authos.test", "sub": sub, "aud": "org:acme", "org": "acme", "jti": n}) + "." + fmt.Sprint("sig", n)
}

// webUsers responds to GET with the name of the token's user, if the token is a good one.
func webUsers(good map[string]string) handler {
	return func(req *http.Request) (*http.Response, error) {
		user := good[strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")]
		if user == "" {
			return sayError(401, "UNAUTHORIZED")(req)
		}
		return say(200, `{"id":"`+user+`"}`)(req)
	}
}

func TestStalePrincipals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{}
		web := &script{}
		good := map[string]string{webJWT("alice", 1): "alice", webJWT("bob", 1): "bob", "opaque": "carol"}
		web.play(webUsers(good))
		client := func(token string) *authos.Client {
			return newClient(t, "https://authos.test", web, oneAttempt, authos.WithTokens(authos.Tokens{AccessToken: token}), authos.WithCache(authos.CachePolicy{Store: store}))
		}
		for token, user := range good {
			c := client(token)
			if g := readCached(t.Context(), c, "/api/user"); g.err != nil {
				t.Fatal(g.err)
			}
			if body, _ := servedStale(c, web, "/api/user"); body != `{"id":"`+user+`"}` {
				t.Errorf("%s gets %q", user, body)
			}
		}
		if n := len(store.keys()); n != 3 {
			t.Errorf("%d responses are cached for three users", n)
		}
		for _, key := range store.keys() {
			if !strings.HasPrefix(key, "authos1/") || strings.Contains(key, "alice") || strings.Contains(key, "opaque") {
				t.Errorf("key %q", key)
			}
		}
		// A second client of the same user finds them once the server has taken its token.
		again := client(webJWT("alice", 1))
		if body, ok := servedStale(again, web, "/api/user"); ok {
			t.Errorf("a token that nobody has checked opens %q", body)
		}
		if err := again.Do(t.Context(), "GET", "/api/organizations", nil, nil); err != nil {
			t.Fatal(err)
		}
		if body, _ := servedStale(again, web, "/api/user"); body != `{"id":"alice"}` {
			t.Errorf("a token that the server took opens %q", body)
		}
	})
}

// A forged token names somebody else. Nothing that responds without looking at it may make it
// believed.
func TestStaleForged(t *testing.T) {
	blind := map[string]struct {
		route    string
		response handler
	}{
		"nothing before":                {},
		"refused by the server":         {"GET /api/user", sayError(401, "UNAUTHORIZED")},
		"sign-out returns 200 to all":   {"POST /api/auth/logout", say(200, `{"message":"Logged out"}`)},
		"an unknown route":              {"GET /api/unknown", say(200, `{}`)},
		"a public route":                {"GET /api/auth/context", say(200, `{}`)},
		"a proxy's page":                {"GET /api/organizations", say(200, pageBody)},
		"a proxy's redirect":            {"GET /api/organizations", say(302, "")},
		"no content":                    {"GET /api/organizations", say(204, "")},
		"an error in a 200":             {"GET /api/organizations", sayError(200, "SOMETHING")},
		"a 404":                         {"GET /api/organizations", say(404, "")},
		"a wrong password is 401, too":  {"POST /api/user/change-password", sayError(401, "UNAUTHORIZED")},
		"a 200 to a route with own 401": {"POST /api/user/change-password", say(200, "{}")},
	}
	for name, before := range blind {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				web := &script{handler: webUsers(map[string]string{webJWT("alice", 1): "alice"})}
				alice := newClient(t, "https://authos.test", web, oneAttempt, webCache, authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 1)}))
				_ = readCached(t.Context(), alice, "/api/user")
				forger, err := alice.With(authos.WithTokens(authos.Tokens{AccessToken: webJWT("alice", 666)}))
				if err != nil {
					t.Fatal(err)
				}
				if before.response != nil {
					web.play(before.response)
					method, path, _ := strings.Cut(before.route, " ")
					_ = forger.Do(t.Context(), method, path, nil, nil)
				}
				for range 2 {
					if body, ok := servedStale(forger, web, "/api/user"); ok {
						t.Errorf("the forger gets %s", body)
					}
				}
				if _, ok := servedStale(alice, web, "/api/user"); !ok {
					t.Error("alice has lost her response")
				}
			})
		})
	}
}

func TestStaleRefresh(t *testing.T) {
	for name, tokens := range map[string][2]string{
		"JWT": {webJWT("alice", 1), webJWT("alice", 2)}, "opaque": {"opaque-1", "opaque-2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := map[string]string{tokens[0]: "alice"}
				users := webUsers(good)
				web := &script{handler: func(req *http.Request) (*http.Response, error) {
					if req.URL.Path == "/api/auth/refresh" {
						return say(200, `{"access_token":"`+tokens[1]+`","refresh_token":"r2","expires_in":3600}`)(req)
					}
					return users(req)
				}}
				c := newClient(t, "https://authos.test", web, oneAttempt, webCache,
					authos.WithTokens(authos.Tokens{AccessToken: tokens[0], RefreshToken: "r1"}))
				_ = readCached(t.Context(), c, "/api/user")
				delete(good, tokens[0])
				good[tokens[1]] = "alice"
				if g := readCached(t.Context(), c, "/api/organizations"); g.err != nil || !g.resp.Refreshed {
					t.Fatalf("refresh: %v", g)
				}
				if body, _ := servedStale(c, web, "/api/user"); body != `{"id":"alice"}` {
					t.Errorf("after the refresh the cached response is %q", body)
				}
			})
		})
	}
	// A shared token store may turn out to hold another user's tokens. A response to the old token
	// is not kept for the new one.
	t.Run("another user's tokens adopted while a read is in flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gate := make(chan struct{})
			users := webUsers(map[string]string{webJWT("alice", 1): "alice", webJWT("bob", 1): "bob"})
			web := &script{}
			web.play(func(req *http.Request) (*http.Response, error) {
				switch {
				case req.URL.Path == "/api/user" && req.Header.Get("Authorization") == "Bearer "+webJWT("alice", 1):
					<-gate
				case req.URL.Path == "/api/organizations" && req.Header.Get("Authorization") == "Bearer "+webJWT("alice", 1):
					return sayError(401, "UNAUTHORIZED")(req)
				}
				return users(req)
			})
			tokens := &webTokens{t: authos.Tokens{AccessToken: webJWT("alice", 1), RefreshToken: "a"}}
			c := newClient(t, "https://authos.test", web, oneAttempt, webCache, authos.WithTokenStore(tokens))
			done := make(chan webGot)
			go func() { done <- readCached(t.Context(), c, "/api/user") }()
			synctest.Wait()
			_ = tokens.Save(t.Context(), authos.Tokens{AccessToken: webJWT("bob", 1), RefreshToken: "b"})
			_ = readCached(t.Context(), c, "/api/organizations") // adopts bob's
			close(gate)
			if g := <-done; g.body != `{"id":"alice"}` {
				t.Fatalf("in flight: %v", g)
			}
			if body, ok := servedStale(c, web, "/api/user"); ok {
				t.Errorf("bob gets %s", body)
			}
		})
	})
}

type webTokens struct {
	mu sync.Mutex
	t  authos.Tokens
}

func (s *webTokens) Load(context.Context) (authos.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.t, nil
}

func (s *webTokens) Save(_ context.Context, t authos.Tokens) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t = t
	return nil
}

func (s *webTokens) Delete(ctx context.Context) error { return s.Save(ctx, authos.Tokens{}) }

// TestStaleApart: what makes two responses different.
func TestStaleApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{}
		web := &script{}
		web.play(func(req *http.Request) (*http.Response, error) {
			return say(200, fmt.Sprintf(`{"id":"%s %s %s %s"}`, req.URL.String(), req.Header.Get("X-Api-Key"), req.Header.Get("Accept-Language"), req.Header.Get("X-Tenant")))(req)
		})
		type variant struct {
			base, key, query string
			languages        []string
			tenant           string
		}
		var all []variant
		for _, base := range []string{"https://a.test", "https://b.test", "https://a.test:8443", "https://a.test/sso", "https://a.test/sso/x"} {
			for _, key := range []string{"sk_1_1", "sk_2_2"} {
				for _, query := range []string{"", "?limit=1", "?limit=2", "?limit=1&offset=1"} {
					for _, languages := range [][]string{nil, {"es"}, {"es", "en"}} {
						for _, tenant := range []string{"", "t", "u"} {
							all = append(all, variant{base, key, query, languages, tenant})
						}
					}
				}
			}
		}
		read := func(v variant) webGot {
			opts := []authos.Option{oneAttempt, authos.WithAPIKey(v.key), authos.WithLanguage(v.languages...), authos.WithCache(authos.CachePolicy{Store: store})}
			var extra []authos.RequestOption
			if v.tenant != "" {
				extra = append(extra, authos.WithHeader("X-Tenant", v.tenant))
			}
			return readCached(t.Context(), newClient(t, v.base, web, opts...), "/api/service/users"+v.query, extra...)
		}
		want := map[string]string{}
		for _, v := range all {
			g := read(v)
			if g.err != nil {
				t.Fatal(g.err)
			}
			want[fmt.Sprint(v)] = g.body
		}
		if n := len(store.keys()); n != len(all) {
			t.Errorf("%d responses cached of %d different ones", n, len(all))
		}
		web.play(sayReset)
		for _, v := range all {
			if g := read(v); !g.resp.Stale || g.body != want[fmt.Sprint(v)] {
				t.Errorf("%v gets %v, want %s", v, g, want[fmt.Sprint(v)])
			}
		}
		if g := read(variant{base: "https://c.test", key: "sk_1_1"}); g.err == nil {
			t.Errorf("another server's client gets %v", g)
		}
	})
	t.Run("but not what names the request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, webCache)
			_ = readCached(t.Context(), c, infoPath, authos.WithHeader("X-Request-ID", "one"), authos.WithHeader("traceparent", "00-1"))
			if _, ok := servedStale(c, web, infoPath, authos.WithHeader("X-Request-ID", "two")); !ok {
				t.Error("a response to one request id is not served to another")
			}
		})
	})
	t.Run("nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			web := &script{handler: sayInfo}
			c := newClient(t, "https://authos.test", web, authos.WithCache(authos.CachePolicy{Store: store}))
			_ = readCached(t.Context(), c, "/api/user")
			_ = readCached(t.Context(), c, infoPath)
			if keys := store.keys(); len(keys) != 0 {
				t.Errorf("kept without a credential: %q", keys)
			}
			_ = readCached(t.Context(), c, "/.well-known/jwks.json")
			if keys := store.keys(); len(keys) != 1 {
				t.Errorf("a public response is not kept: %q", keys)
			}
		})
	})
}

// Every route of the API: what holds secrets or must be true now is never kept.
func TestStaleRoutes(t *testing.T) {
	data, err := os.ReadFile("testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var routes []struct {
		Method, Path, Auth, Group string
		SingleUse                 bool `json:"single_use"`
		Response                  any
	}
	if err := json.Unmarshal(data, &routes); err != nil {
		t.Fatal(err)
	}
	private := regexp.MustCompile(`(?i)mfa|token|export|secret|passkey|device/|magic|verify|linked-accounts|saml|scim|smtp|siem|oauth2?/|health|metrics|bootstrap|upstream|/connect/|credentials/|deliveries|^/auth/`)
	excused := []string{ // path or response looks like a secret and is none
		"/api/organizations/:org_slug/oauth-credentials/:provider", // has_secret
		// client_secret is null in a GET
		"/api/organizations/:org_slug/services/:service_slug",
		"/api/organizations/:org_slug/services/:service_slug/api-keys",    // prefixes
		"/api/organizations/:org_slug/services/:service_slug/api-keys/:k", // prefixes
	}
	parameter := regexp.MustCompile(`:[a-z_]+`)
	kept := 0
	for _, r := range routes {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			web := &script{handler: say(200, `{"id":"x"}`)}
			c := newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithTokens(authos.Tokens{AccessToken: "a"}),
				authos.WithCache(authos.CachePolicy{Store: store}))
			path := parameter.ReplaceAllString(r.Path, "x1")
			var out []byte
			if err := c.Do(t.Context(), r.Method, path, nil, &out); err != nil {
				t.Errorf("%s %s: %v", r.Method, path, err)
			}
			if len(store.keys()) == 0 {
				return
			}
			kept++
			response, _ := json.Marshal(r.Response)
			switch {
			case r.Method != "GET", r.SingleUse, r.Auth != "none" && r.Auth != "bearer" && r.Auth != "platform_owner" && r.Auth != "api_key":
				t.Errorf("%s %s is kept", r.Method, r.Path)
			case slices.Contains(excused, r.Path):
			case private.MatchString(r.Path), regexp.MustCompile(`"[^"]*(secret|password|token)[^"]*":`).Match(response):
				t.Errorf("%s %s is kept: %s", r.Method, r.Path, response)
			}
		})
	}
	if kept < 40 {
		t.Errorf("only %d routes are kept", kept)
	}
	for _, path := range []string{"/api/unknown", "/api/user/", "/api//user", "/api/users", "/api/service/unknown", "/api/USER"} {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			web := &script{handler: say(200, `{"id":"x"}`)}
			c := newClient(t, "https://authos.test", web, oneAttempt, authos.WithAPIKey("sk_1_2"), authos.WithTokens(authos.Tokens{AccessToken: "a"}),
				authos.WithCache(authos.CachePolicy{Store: store}))
			_ = readCached(t.Context(), c, path)
			if keys := store.keys(); len(keys) != 0 {
				t.Errorf("GET %s is kept: %q", path, keys)
			}
			if err := c.Do(t.Context(), "HEAD", "/api/user", nil, nil); err != nil || len(store.keys()) != 0 {
				t.Errorf("HEAD: %v, kept %q", err, store.keys())
			}
		})
	}
}

// A store that fails costs the fallback, never the call.
func TestStaleBadStore(t *testing.T) {
	broken := errors.New("store is down")
	type result struct {
		fresh, stale       webGot
		write              error
		freshTook, writing time.Duration
		staleTook          time.Duration
	}
	run := func(t *testing.T, store *webStore, between func()) (r result) {
		c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Store: store}))
		start := time.Now()
		r.fresh = readCached(t.Context(), c, infoPath)
		r.freshTook = time.Since(start)
		if between != nil {
			between()
		}
		web.play(sayReset)
		start = time.Now()
		r.stale = readCached(t.Context(), c, infoPath)
		r.staleTook = time.Since(start)
		web.play(sayInfo)
		start = time.Now()
		r.write = c.Do(t.Context(), "PATCH", infoPath, nil, nil)
		r.writing = time.Since(start)
		return r
	}
	get := func(v []byte, ok bool, err error) func(context.Context, string) ([]byte, bool, error) {
		return func(context.Context, string) ([]byte, bool, error) { return v, ok, err }
	}
	withValue := func(ok bool, err error) *webStore {
		s := &webStore{}
		s.get = func(_ context.Context, key string) ([]byte, bool, error) { return s.values[key], ok, err }
		return s
	}
	tests := []struct {
		name  string
		store *webStore
	}{
		{"Get fails", &webStore{get: get(nil, false, broken)}},
		{"Set fails", &webStore{set: func(context.Context) error { return broken }}},
		{"DeletePrefix fails", &webStore{del: func(context.Context, string) error { return broken }}},
		{"Get blocks", &webStore{get: func(ctx context.Context, _ string) ([]byte, bool, error) { return nil, false, block(ctx) }}},
		{"Set blocks", &webStore{set: block}},
		{"DeletePrefix blocks", &webStore{del: func(ctx context.Context, _ string) error { return block(ctx) }}},
		{"nil value", &webStore{get: get(nil, true, nil)}},
		{"text", &webStore{get: get([]byte("garbage"), true, nil)}},
		{"JSON alone", &webStore{get: get([]byte(infoBody), true, nil)}},
		{"a value beside an error", withValue(true, broken)},
		{"a value that is said not to be there", withValue(false, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, tt.store, nil)
				if r.fresh.err != nil || r.freshTook > time.Second {
					t.Errorf("fresh: %v after %v", r.fresh, r.freshTook)
				}
				if served := tt.name == "DeletePrefix fails" || tt.name == "DeletePrefix blocks"; r.stale.resp.Stale != served ||
					!served && !errors.Is(r.stale.err, authos.ErrNetwork) || r.staleTook > time.Second {
					t.Errorf("in the outage: %v after %v", r.stale, r.staleTook)
				}
				if r.write != nil || r.writing > 2*time.Second {
					t.Errorf("write: %v after %v", r.write, r.writing)
				}
			})
		})
	}
	t.Run("values that were changed", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 1))
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Store: store}), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
			_ = getInfo(c)
			key := store.keys()[0]
			whole := bytes.Clone(store.values[key])
			web.play(sayReset)
			try := func(name string, value []byte, want bool) {
				t.Helper()
				store.values[key] = value
				g := readCached(t.Context(), c, infoPath)
				if (g.err == nil) != want || g.err != nil && !errors.Is(g.err, authos.ErrNetwork) || g.err == nil && !json.Valid([]byte(g.body)) {
					t.Errorf("%s: %v", name, g)
				}
			}
			try("untouched", whole, true)
			for n := range whole {
				try(fmt.Sprint("cut to ", n), whole[:n], false)
			}
			for v := range 256 {
				if other := bytes.Clone(whole); byte(v) != whole[0] {
					other[0] = byte(v)
					try(fmt.Sprint("version ", v), other, false)
				}
			}
			future := bytes.Clone(whole)
			future[1]++
			try("from the future", future, false)
			for range 2000 {
				other := bytes.Clone(whole)
				for range 1 + random.IntN(3) {
					other[random.IntN(len(other))] = byte(random.Uint32())
				}
				store.values[key] = other
				if g := readCached(t.Context(), c, infoPath); g.err != nil && !errors.Is(g.err, authos.ErrNetwork) || g.err == nil && !json.Valid([]byte(g.body)) {
					t.Errorf("%x: %v", other, g)
				}
			}
			// Readable, but not what the typed method is promised: the failure is what counts.
			store.values[key] = bytes.Replace(whole, []byte(`"id"`), []byte(`"ID_"`), 1)
			var resp authos.Response
			if info, err := c.Service.Info(t.Context(), authos.WithResponse(&resp)); !errors.Is(err, authos.ErrNetwork) || resp.Stale {
				t.Errorf("a cached response without an id: %+v, %v, stale %v", info, err, resp.Stale)
			}
			web.play(say(503, ""))
			if _, err := c.Service.Info(t.Context()); !errors.Is(err, authos.ErrServer) {
				t.Errorf("a cached response without an id, and a 503: %v", err)
			}
		})
	})
	t.Run("lives as long as it may be served", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &webStore{}
			_ = run(t, store, nil)
			if want := []time.Duration{10 * time.Minute}; !slices.Equal(store.ttls, want) {
				t.Errorf("ttl %v, want %v", store.ttls, want)
			}
		})
	})
}

func TestStaleMemory(t *testing.T) {
	reader := func(t *testing.T, p authos.CachePolicy, size func(id string) int) (read func(string), kept func(ids ...string) string) {
		c, web := keyClient(t, oneAttempt, authos.WithCache(p), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		web.play(func(req *http.Request) (*http.Response, error) {
			id := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
			return say(200, `{"id":"`+strings.Repeat("x", size(id))+`"}`)(req)
		})
		read = func(id string) { _ = readCached(t.Context(), c, "/api/service/users/"+id) }
		kept = func(ids ...string) string {
			var found []string
			for _, id := range ids {
				if _, ok := servedStale(c, web, "/api/service/users/"+id); ok {
					found = append(found, id)
				}
			}
			return strings.Join(found, " ")
		}
		return read, kept
	}
	small := func(string) int { return 10 }
	t.Run("entries, least recently used first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			read, kept := reader(t, authos.CachePolicy{MaxEntries: 3}, small)
			for _, id := range []string{"a", "b", "c", "d"} {
				read(id)
			}
			if got := kept("a", "d", "c", "b"); got != "d c b" { // used in this order
				t.Errorf("kept %q", got)
			}
			read("e")
			read("f")
			if got := kept("b", "c", "d", "e", "f"); got != "b e f" {
				t.Errorf("kept %q, want those used last", got)
			}
		})
	})
	t.Run("bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// An entry weighs its texts and some 200 bytes: three of 1000 bytes fit in 4000, four
			// do not.
			read, kept := reader(t, authos.CachePolicy{MaxBytes: 4200}, func(id string) int {
				return map[string]int{"huge": 5000, "big": 2500}[id] + 1000
			})
			for _, id := range []string{"a", "b", "c", "d"} {
				read(id)
			}
			if got := kept("a", "b", "c", "d"); got != "b c d" {
				t.Errorf("kept %q", got)
			}
			read("huge")
			if got := kept("huge", "b", "c", "d"); got != "b c d" {
				t.Errorf("after a value larger than all: kept %q, want the others untouched", got)
			}
			read("big")
			if got := kept("b", "c", "d", "big"); got != "big" {
				t.Errorf("after a value nearly as large as all: kept %q", got)
			}
			for range 50 { // replacing does not add up
				read("big")
			}
			if got := kept("big"); got != "big" {
				t.Errorf("after 50 times the same: kept %q", got)
			}
		})
	})
	t.Run("a value that has grown too large replaces the old one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			size := 10
			read, kept := reader(t, authos.CachePolicy{MaxBytes: 2000}, func(string) int { return size })
			read("a")
			size = 5000
			read("a")
			if got := kept("a"); got != "" {
				t.Error("the old response is served although a newer one was seen")
			}
		})
	})
	t.Run("defaults", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			read, kept := reader(t, authos.CachePolicy{}, small)
			for n := range 1025 {
				read(fmt.Sprint(n))
			}
			if got := kept("0", "1", "1024"); got != "1 1024" {
				t.Errorf("kept %q of the first, second and last of 1025", got)
			}
		})
	})
	for _, p := range []authos.CachePolicy{{MaxStale: -1}, {MaxEntries: -1}, {MaxBytes: -1}, {Store: &webStore{}, MaxEntries: 1}, {Store: &webStore{}, MaxBytes: 1}} {
		if _, err := authos.New("https://authos.test", authos.WithCache(p)); err == nil {
			t.Errorf("New with %+v = nil error", p)
		}
	}
}

func TestStaleHTTPClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt, webCache)
		web.play(say(200, infoBody, "Content-Language: de"))
		hc := c.HTTPClient()
		get := func() (string, *http.Response, error) {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://authos.test"+infoPath, nil)
			resp, err := hc.Do(req)
			if err != nil {
				return "", nil, err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return string(body), resp, err
		}
		if _, resp, err := get(); err != nil || resp.Header.Get("Age") != "" {
			t.Fatalf("fresh: %v, %v", resp, err)
		}
		web.play(sayReset)
		time.Sleep(90500 * time.Millisecond)
		body, resp, err := get()
		if err != nil || resp.StatusCode != 200 || body != infoBody || resp.Header.Get("Age") != "90" {
			t.Errorf("in the outage: %q, %v, %v; want the cached response with Age 90", body, resp, err)
		} else if lang := resp.Header.Get("Content-Language"); lang != "de" {
			t.Errorf("the cached response is in %q, want the language of the fresh one", lang)
		}
		_, err = c.Service.Users.Get(t.Context(), "u1")
		if ue, ok := errors.AsType[*url.Error](err); ok {
			t.Errorf("typed error is a %T", ue)
		}
	})
}

// A caller may do as it likes with the bytes it gets.
func TestStaleNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt, webCache)
		spoil := func() {
			var body []byte
			if err := c.Do(t.Context(), "GET", infoPath, nil, &body); err != nil || string(body) != infoBody {
				t.Errorf("got %q, %v", body, err)
			}
			clear(body)
		}
		spoil() // the fresh response
		web.play(sayReset)
		spoil() // the kept one
		spoil()
	})
}

// Many readers and writers of one resource; the race detector watches.
func TestStaleConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, webCache, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		var n sync.Map
		web.play(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Millisecond)
			v, _ := n.LoadOrStore(req, rand.IntN(3))
			if v == 0 {
				return sayReset(req)
			}
			return sayInfo(req)
		})
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				for range 20 {
					if i%10 == 0 {
						_ = c.Do(t.Context(), "PATCH", infoPath, nil, nil)
						continue
					}
					if info, err := c.Service.Info(t.Context()); err == nil && info.ID != "s1" {
						t.Errorf("got %+v", info)
					}
				}
			})
		}
		wg.Wait()
	})
}

// What a store failed to forget is not served any more; what is kept after that is.
func TestStaleAfterFailedDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{del: func(context.Context, string) error { return errors.New("store is down") }}
		c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Store: store}))
		_ = readCached(t.Context(), c, infoPath)
		if err := c.Do(t.Context(), "PATCH", infoPath, nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		web.play(sayReset)
		if g := readCached(t.Context(), c, infoPath); g.err == nil {
			t.Errorf("the response from before the write was served: %v", g)
		}
		web.play(sayInfo)
		_ = readCached(t.Context(), c, infoPath)
		web.play(sayReset)
		if g := readCached(t.Context(), c, infoPath); !g.resp.Stale {
			t.Errorf("the response from after the write was not served: %v", g)
		}
	})
}

// The same holds for what was asked for in the very moment in which forgetting it failed.
func TestStaleAfterFailedDeleteAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &webStore{del: func(context.Context, string) error { return errors.New("store is down") }}
		c, web := keyClient(t, oneAttempt, authos.WithCache(authos.CachePolicy{Store: store}))
		_ = readCached(t.Context(), c, infoPath)
		web.play(say(404, ""))
		_ = readCached(t.Context(), c, infoPath)
		if body, ok := servedStale(c, web, infoPath); ok {
			t.Errorf("served after a 404: %s", body)
		}
	})
}
