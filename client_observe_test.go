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

// btRecord is one log record: level, message, and its attributes in order, with those that vary
// named only.
func btRecords(t *testing.T, logged *bytes.Buffer) (lines []string) {
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
		lines = append(lines, btID.ReplaceAllString(b.String(), "request ID"))
	}
	logged.Reset()
	return lines
}

var btID = regexp.MustCompile(`request [0-9a-f]{32}`)

func btLogged(logged *bytes.Buffer, level slog.Level) authos.Option {
	return authos.WithLogger(slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: level})))
}

func TestLog(t *testing.T) {
	const (
		call = " method=GET route=/api/service/users/:user_id"
		path = "/api/service/users/u1"
	)
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		web := &btWeb{response: btOK}
		c := btNew(t, "https://authos.test", web, authos.WithAPIKey("sk_secret_key"), btCache, btLogged(&logged, slog.LevelDebug),
			authos.WithTokens(authos.Tokens{AccessToken: "secret-access", RefreshToken: "secret-refresh"}))
		read := func(path string) {
			_ = c.Do(t.Context(), "GET", path+"?secret-query=1", nil, nil, authos.WithHeader("X-Secret", "secret-header"))
		}
		steps := []func(*http.Request) (*http.Response, error){
			btSay(500, `{"error":"m","error_code":"INTERNAL_SERVER_ERROR","secret-body":1}`), btReset, btOK,
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
			if got := btRecords(t, &logged); !slices.Equal(got, want) {
				t.Errorf("%s: logged\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		web.set(next)
		read(path)
		expect("two failures and a success",
			"DEBUG authos: attempt:"+call+" status=500 attempt=1 +request_id +duration",
			"INFO authos: waiting:"+call+" reason=retry +request_id +wait",
			"DEBUG authos: attempt:"+call+" status=0 attempt=2 error=authos: GET /api/service/users/:user_id: send: read: connection reset by peer +request_id +duration",
			"INFO authos: waiting:"+call+" reason=retry +request_id +wait",
			"DEBUG authos: attempt:"+call+" status=200 attempt=3 +request_id +duration",
		)

		web.set(btError(404, "NOT_FOUND"))
		read(path)
		expect("a failed call",
			"DEBUG authos: attempt:"+call+" status=404 attempt=1 +request_id +duration",
			"WARN authos: call failed:"+call+" attempts=1 error=authos: GET /api/service/users/:user_id: 404 NOT_FOUND: text of NOT_FOUND (request ID) +request_id +duration",
		)

		web.set(btOK)
		read(path)
		logged.Reset()
		web.set(btReset)
		_ = c.Do(t.Context(), "GET", path+"?secret-query=1", nil, nil, authos.WithoutRetry(), authos.WithHeader("X-Secret", "secret-header"))
		expect("a cached response",
			"DEBUG authos: attempt:"+call+" status=0 attempt=1 error=authos: GET /api/service/users/:user_id: send: read: connection reset by peer +request_id +duration",
			"WARN authos: serving a cached response:"+call+" cause=authos: GET /api/service/users/:user_id: send: read: connection reset by peer; no retry: attempts used up +request_id +age",
		)

		web.set(btSay(500, ""))
		for range 4 {
			_ = c.Do(t.Context(), "GET", "/api/service/thing", nil, nil, authos.WithoutRetry())
		}
		got := btRecords(t, &logged)
		if want := "INFO authos: circuit changed: group=service from=closed to=open"; !slices.Contains(got, want) {
			t.Errorf("opening: logged\n%s\nwant %q", strings.Join(got, "\n"), want)
		}

		users := btUsers(map[string]string{"secret-two": "alice"})
		web.set(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/api/auth/refresh" {
				return btSay(200, `{"access_token":"secret-two","refresh_token":"secret-r2","expires_in":3600}`)(req)
			}
			return users(req)
		})
		_ = c.Do(t.Context(), "GET", "/api/user", nil, nil)
		expect("a refresh",
			"DEBUG authos: attempt: method=POST route=/api/auth/refresh status=200 attempt=1 +request_id +duration",
			"INFO authos: tokens refreshed: adopted=false +duration",
			"DEBUG authos: attempt: method=GET route=/api/user status=200 attempt=1 +request_id +duration",
		)

		web.set(func(req *http.Request) (*http.Response, error) { return btError(401, "UNAUTHORIZED")(req) })
		_ = c.Do(t.Context(), "GET", "/api/user", nil, nil)
		if got := btRecords(t, &logged); !slices.ContainsFunc(got, func(line string) bool {
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
			c, web := btClient(t, btLogged(&logged, level), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2}))
			web.set(btSay(500, ""))
			_ = btGet(c)
			if got := btRecords(t, &logged); len(got) != want {
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
		c, web := btClient(t, btCache, authos.WithObserver(&authos.Observer{
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
		get := func() error { return c.Do(ctx, "GET", btInfo+"?q=1", nil, nil) }
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
		expect("good", "start GET "+btInfo, "attempt 1 200 false", "done 200 1 false")
		time.Sleep(time.Minute)
		n := 0
		web.set(func(req *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return btSay(500, "")(req)
			}
			return btError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 3600")(req)
		})
		err := get()
		expect("failed", "start GET "+btInfo, "attempt 1 500 false", "wait retry", "attempt 2 429 false", "done 429 2 false")
		if !errors.Is(err, authos.ErrRateLimited) || !errors.Is(done.Err, authos.ErrRateLimited) || !errors.Is(done.Err, err) {
			t.Errorf("CallDone has %v, the caller %v", done.Err, err)
		}
		time.Sleep(time.Minute)
		web.set(btReset)
		_ = c.Do(ctx, "GET", btInfo+"?q=1", nil, nil, authos.WithoutRetry())
		age := done.Err
		expect("kept", "start GET "+btInfo, "attempt 1 0 true", "stale "+seen[2][6:len(seen[2])-5]+" true", "done 0 1 true")
		if age != nil {
			t.Errorf("CallDone of a cached response has %v", age)
		}
	})
}
