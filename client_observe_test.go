package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// webRecord is one log record: level, message, and its attributes in order, with those that vary
// named only.
func webRecords(t *testing.T, logged *bytes.Buffer) (lines []string) {
	t.Helper()
	for line := range strings.Lines(logged.String()) {
		var attrs map[string]any
		if err := json.Unmarshal([]byte(line), &attrs); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s:", attrs["level"], attrs["msg"])
		for _, name := range []string{"method", "route", "status", "attempt", "attempts", "reason", "group", "from", "to", "adopted", "error", "cause"} {
			if v, ok := attrs[name]; ok {
				fmt.Fprintf(&b, " %s=%v", name, v)
			}
		}
		for _, name := range []string{"request_id", "duration", "wait", "age"} { // what varies
			if v, ok := attrs[name]; ok && v != "" {
				b.WriteString(" +" + name)
			}
		}
		lines = append(lines, webID.ReplaceAllString(b.String(), "request ID"))
	}
	logged.Reset()
	return lines
}

var webID = regexp.MustCompile(`request [0-9a-f]{32}`)

func webLogged(logged *bytes.Buffer, level slog.Level) authos.Option {
	return authos.WithLogger(slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: level})))
}

func TestLog(t *testing.T) {
	const (
		call = " method=GET route=/api/service/users/:user_id"
		path = "/api/service/users/u1"
	)
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		web := &script{handler: sayInfo}
		c := newClient(t, "https://authos.test", web, authos.WithAPIKey("sk_secret_key"), webCache, webLogged(&logged, slog.LevelDebug),
			authos.WithTokens(authos.Tokens{AccessToken: "secret-access", RefreshToken: "secret-refresh"}))
		read := func(path string) {
			_ = c.Do(t.Context(), "GET", path+"?secret-query=1", nil, nil, authos.WithHeader("X-Secret", "secret-header"))
		}
		steps := []func(*http.Request) (*http.Response, error){
			say(500, `{"error":"m","error_code":"INTERNAL_SERVER_ERROR","secret-body":1}`), sayReset, sayInfo,
		}
		next := func(req *http.Request) (*http.Response, error) {
			step := steps[0]
			if len(steps) > 1 {
				steps = steps[1:]
			}
			return step(req)
		}
		expect := func(name string, want ...string) {
			t.Helper()
			if strings.Contains(logged.String(), "secret") {
				t.Errorf("%s: a secret in the log: %s", name, logged.String())
			}
			if got := webRecords(t, &logged); !slices.Equal(got, want) {
				t.Errorf("%s: logged\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		web.play(next)
		read(path)
		expect("two failures and a success",
			"DEBUG authos: attempt:"+call+" status=500 attempt=1 +request_id +duration",
			"INFO authos: waiting:"+call+" reason=retry +request_id +wait",
			"DEBUG authos: attempt:"+call+" status=0 attempt=2 error=authos: GET /api/service/users/:user_id: send: read: connection reset by peer +request_id +duration",
			"INFO authos: waiting:"+call+" reason=retry +request_id +wait",
			"DEBUG authos: attempt:"+call+" status=200 attempt=3 +request_id +duration",
		)

		web.play(sayError(404, "NOT_FOUND"))
		read(path)
		expect("a failed call",
			"DEBUG authos: attempt:"+call+" status=404 attempt=1 +request_id +duration",
			"WARN authos: call failed:"+call+" attempts=1 error=authos: GET /api/service/users/:user_id: 404 NOT_FOUND: text of NOT_FOUND (request ID) +request_id +duration",
		)

		web.play(sayInfo)
		read(path)
		logged.Reset()
		web.play(sayReset)
		_ = c.Do(t.Context(), "GET", path+"?secret-query=1", nil, nil, authos.WithoutRetry(), authos.WithHeader("X-Secret", "secret-header"))
		expect("a cached response",
			"DEBUG authos: attempt:"+call+" status=0 attempt=1 error=authos: GET /api/service/users/:user_id: send: read: connection reset by peer +request_id +duration",
			"WARN authos: serving a cached response:"+call+" cause=authos: GET /api/service/users/:user_id: send: read: connection reset by peer; no retry: attempts used up +request_id +age",
		)

		web.play(say(500, ""))
		for range 4 {
			_ = c.Do(t.Context(), "GET", "/api/service/thing", nil, nil, authos.WithoutRetry())
		}
		got := webRecords(t, &logged)
		if want := "INFO authos: circuit changed: group=service from=closed to=open"; !slices.Contains(got, want) {
			t.Errorf("opening: logged\n%s\nwant %q", strings.Join(got, "\n"), want)
		}

		users := webUsers(map[string]string{"secret-two": "alice"})
		web.play(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/api/auth/refresh" {
				return say(200, `{"access_token":"secret-two","refresh_token":"secret-r2","expires_in":3600}`)(req)
			}
			return users(req)
		})
		_ = c.Do(t.Context(), "GET", "/api/user", nil, nil)
		expect("a refresh",
			"DEBUG authos: attempt: method=POST route=/api/auth/refresh status=200 attempt=1 +request_id +duration",
			"INFO authos: tokens refreshed: adopted=false +duration",
			"DEBUG authos: attempt: method=GET route=/api/user status=200 attempt=1 +request_id +duration",
		)

		web.play(func(req *http.Request) (*http.Response, error) { return sayError(401, "UNAUTHORIZED")(req) })
		_ = c.Do(t.Context(), "GET", "/api/user", nil, nil)
		if got := webRecords(t, &logged); !slices.ContainsFunc(got, func(line string) bool {
			return strings.HasPrefix(line, "INFO authos: tokens not refreshed: adopted=false error=")
		}) {
			t.Errorf("a refused refresh: logged\n%s", strings.Join(got, "\n"))
		}
	})
}

// At info there are no attempts, at warn only failures and cached responses; without a logger there
// is nothing to see.
func TestLogLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for level, want := range map[slog.Level]int{slog.LevelInfo: 2, slog.LevelWarn: 1, slog.LevelError: 0} {
			var logged bytes.Buffer
			c, web := keyClient(t, webLogged(&logged, level), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2}))
			web.play(say(500, ""))
			_ = getInfo(c)
			if got := webRecords(t, &logged); len(got) != want {
				t.Errorf("level %v: %q, want %d records", level, got, want)
			}
		}
	})
}

// Every event of an observer carries the same request id and route, and the context that CallStart
// made.
func TestObserver(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		var ids []string
		note := func(ctx context.Context, id, format string, args ...any) {
			if ctx.Value(key{}) != "mine" {
				t.Errorf("%s: not the context that CallStart made", format)
			}
			ids = append(ids, id)
			seen = append(seen, fmt.Sprintf(format, args...))
		}
		var done authos.CallDone
		c, web := keyClient(t, webCache, authos.WithObserver(&authos.Observer{
			CallStart: func(ctx context.Context, e authos.CallStart) context.Context {
				ctx = context.WithValue(ctx, key{}, "mine")
				note(ctx, e.RequestID, "start %s %s", e.Method, e.Route)
				return ctx
			},
			CallDone: func(ctx context.Context, e authos.CallDone) {
				note(ctx, e.RequestID, "done %d %d %v", e.StatusCode, e.Attempts, e.Stale)
				done = e
			},
			Attempt: func(ctx context.Context, e authos.AttemptEvent) {
				note(ctx, e.RequestID, "attempt %d %d %v", e.Number, e.StatusCode, e.Err != nil)
			},
			Wait: func(ctx context.Context, e authos.WaitEvent) { note(ctx, e.RequestID, "wait %s", e.Reason) },
			Stale: func(ctx context.Context, e authos.StaleEvent) {
				note(ctx, e.RequestID, "stale %s %v", e.Age, e.Cause != nil)
			},
		}))
		ctx := context.WithValue(t.Context(), key{}, "the caller's")
		get := func() error { return c.Do(ctx, "GET", infoPath+"?q=1", nil, nil) }
		expect := func(name string, want ...string) {
			t.Helper()
			if !slices.Equal(seen, want) {
				t.Errorf("%s: %q, want %q", name, seen, want)
			}
			if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
				t.Errorf("%s: request ids %q", name, ids)
			}
			seen, ids = nil, nil
		}
		_ = get()
		expect("good", "start GET "+infoPath, "attempt 1 200 false", "done 200 1 false")
		time.Sleep(time.Minute)
		n := 0
		web.play(func(req *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return say(500, "")(req)
			}
			return sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 3600")(req)
		})
		err := get()
		expect("failed", "start GET "+infoPath, "attempt 1 500 false", "wait retry", "attempt 2 429 false", "done 429 2 false")
		if !errors.Is(err, authos.ErrRateLimited) || !errors.Is(done.Err, authos.ErrRateLimited) || !errors.Is(done.Err, err) {
			t.Errorf("CallDone has %v, the caller %v", done.Err, err)
		}
		time.Sleep(time.Minute)
		web.play(sayReset)
		_ = c.Do(ctx, "GET", infoPath+"?q=1", nil, nil, authos.WithoutRetry())
		age := done.Err
		expect("kept", "start GET "+infoPath, "attempt 1 0 true", "stale "+seen[2][6:len(seen[2])-5]+" true", "done 0 1 true")
		if age != nil {
			t.Errorf("CallDone of a cached response has %v", age)
		}
	})
}

// The context that CallStart returns reaches the transport, but does not decide when a call ends.
func TestObserverContextReachesTheTransport(t *testing.T) {
	type key struct{}
	type outer struct{}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, start := range map[string]func(context.Context) context.Context{
		"derived":               func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, "span") },
		"of its own":            func(context.Context) context.Context { return context.WithValue(context.Background(), key{}, "span") },
		"of its own, and ended": func(context.Context) context.Context { return context.WithValue(cancelled, key{}, "span") },
		"derived, with a cancel": func(ctx context.Context) context.Context {
			return observedWithCancel(context.WithValue(ctx, key{}, "span"))
		},
		"nil": func(context.Context) context.Context { return nil },
	} {
		for cacheName, cache := range map[string][]authos.Option{"": nil, ", with a cache": {webCache}} {
			t.Run(name+cacheName, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					want := "span"
					if name == "nil" {
						want = ""
					}
					var seen []any
					rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
						seen = append(seen, req.Context().Value(key{}))
						return proxyPage(502).response(req), nil
					}}, reply{do: func(req *http.Request) (*http.Response, error) {
						seen = append(seen, req.Context().Value(key{}))
						if s, _ := req.Context().Value(outer{}).(string); s != "outer" && strings.HasPrefix(name, "derived") {
							t.Errorf("the caller's own value is %q", s)
						}
						<-req.Context().Done()
						return nil, req.Context().Err()
					}})
					c := clientWithoutBreaker(t, rt, append(cache, authos.WithObserver(&authos.Observer{
						CallStart: func(ctx context.Context, _ authos.CallStart) context.Context { return start(ctx) },
					}))...)
					ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), outer{}, "outer"), 3*time.Second)
					defer cancel()
					began := time.Now()
					err := c.Do(ctx, "GET", "/api/service/info", nil, nil)
					if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
						t.Errorf("ended after %s with %v, want the caller's deadline", time.Since(began), err)
					}
					for _, v := range seen {
						if s, _ := v.(string); s != want {
							t.Errorf("the transport sees %q, want %q", s, want)
						}
					}
					if len(seen) != 2 {
						t.Errorf("%d requests", len(seen))
					}
				})
			})
		}
	}
}

func observedWithCancel(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// Several observers hear of everything, each in its turn, and the context goes through all of them.
func TestObservers(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		one := func(name string) *authos.Observer {
			note := func(ctx context.Context, what string) {
				seen = append(seen, fmt.Sprintf("%s %s %v", name, what, ctx.Value(key{})))
			}
			return &authos.Observer{
				CallStart: func(ctx context.Context, _ authos.CallStart) context.Context {
					ctx = context.WithValue(ctx, key{}, fmt.Sprint(ctx.Value(key{}), name))
					note(ctx, "start")
					return ctx
				},
				CallDone: func(ctx context.Context, _ authos.CallDone) { note(ctx, "done") },
				Attempt:  func(ctx context.Context, _ authos.AttemptEvent) { note(ctx, "attempt") },
				Wait:     func(ctx context.Context, _ authos.WaitEvent) { note(ctx, "wait") },
				Stale:    func(ctx context.Context, _ authos.StaleEvent) { note(ctx, "stale") },
				Refresh:  func(authos.RefreshEvent) { seen = append(seen, name+" refresh") },
				Breaker:  func(authos.BreakerEvent) { seen = append(seen, name+" breaker") },
			}
		}
		rt := scripted(okReply(), proxyPage(502), proxyPage(502))
		c, err := authos.New(testBase, authos.WithHTTPClient(&http.Client{Transport: rt}), webCache, authos.WithAPIKey(scriptKey),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2}), authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 2}),
			authos.WithObserver(authos.Observers(nil, one("a"), &authos.Observer{}, one("b"), nil)))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Do(t.Context(), "GET", infoPath, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for i := 0; i+1 < len(seen); i += 2 {
			a, b := seen[i], seen[i+1]
			if a[0] != 'a' || b[0] != 'b' || strings.Contains(a, "start") != strings.Contains(b, "start") || !strings.Contains(a, "start") && a[1:] != b[1:] {
				t.Errorf("%q is followed by %q", a, b)
			}
		}
		all := strings.Join(seen, "; ")
		for _, want := range []string{"b start <nil>ab", "a attempt <nil>ab", "a wait <nil>ab", "a stale <nil>ab", "a done <nil>ab", "a breaker"} {
			if !strings.Contains(all, want) {
				t.Errorf("nobody heard %q: %s", want, all)
			}
		}
		if o := authos.Observers(); o == nil || o.CallStart != nil {
			t.Errorf("Observers() = %+v, want an observer of nothing", o)
		}
	})
}

// What an observer is given is its own: the call writes its end into another error.
func TestObserverMayKeepAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, step := range map[string]reply{"network": {err: connectionReset()}, "too large": {status: 200, body: strings.Repeat(" ", 16<<20+1)}} {
			done := make(chan string, 8)
			c := clientWithoutBreaker(t, scripted(step), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2}),
				authos.WithObserver(&authos.Observer{Attempt: func(_ context.Context, e authos.AttemptEvent) {
					go func() { // reads while the call goes on: the race detector looks
						data, err := json.Marshal(e.Err)
						done <- fmt.Sprintf("%v %s %v", e.Err, data, err)
					}()
				}}))
			err := c.Do(t.Context(), "GET", "/api/things", nil, nil)
			data, jsonErr := json.Marshal(err)
			if err == nil || jsonErr != nil || len(data) == 0 {
				t.Errorf("%s: %v, JSON %s, %v", name, err, data, jsonErr)
			}
			<-done
			if e, ok := errors.AsType[*authos.NetworkError](err); ok {
				for _, a := range e.History {
					if own, ok := a.Err.(*authos.NetworkError); ok && own == e { //nolint:errorlint // the very same
						t.Error("the error contains itself")
					}
				}
				if data, err := json.Marshal(e.History); err != nil || !strings.Contains(string(data), `"error_code":"NETWORK_ERROR"`) {
					t.Errorf("JSON of the history: %s, %v", data, err)
				}
			}
		}
	})
}

// What a call learned has names in JSON, and no secret in print.
func TestResponseInPrint(t *testing.T) {
	rt := scripted(reply{status: 200, body: `{"access_token":"` + scriptOpaque + `"}`, header: headers("Set-Cookie", "session=cookie-secret", "X-Ratelimit-Limit", "5")})
	var resp authos.Response
	if err := clientWithoutBreaker(t, rt).Do(t.Context(), "GET", "/api/things", nil, nil, authos.WithResponse(&resp)); err != nil {
		t.Fatal(err)
	}
	if string(resp.Body) != `{"access_token":"`+scriptOpaque+`"}` {
		t.Errorf("Body = %q", resp.Body)
	}
	data, err := json.Marshal(resp)
	var members map[string]any
	if err != nil || json.Unmarshal(data, &members) != nil {
		t.Fatalf("%s, %v", data, err)
	}
	for _, name := range []string{"status_code", "request_id", "attempts", "history", "duration", "rate_limit"} {
		if members[name] == nil {
			t.Errorf("JSON has no %s: %s", name, data)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "resp", resp, "in", []any{&resp})
	text := fmt.Sprintf("%v %+v %#v %d %s", resp, &resp, resp, resp, log.String()) + string(data)
	for _, secret := range []string{scriptOpaque, "cookie-secret", "34 97 99 99"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is printed: %s", secret, text)
		}
	}
	if data, err := json.Marshal(authos.Page[int]{Items: []int{1}, Total: 3}); string(data) != `{"items":[1],"total":3}` || err != nil {
		t.Errorf("a page is %s, %v", data, err)
	}
	// an error's body as well
	_ = clientWithoutBreaker(t, scripted(apiError(404, "NOT_FOUND"))).Do(t.Context(), "GET", "/api/things", nil, nil, authos.WithResponse(&resp))
	if !strings.Contains(string(resp.Body), `"error_code":"NOT_FOUND"`) {
		t.Errorf("Body of a 404 = %q", resp.Body)
	}
}
