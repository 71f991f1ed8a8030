package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

const (
	infoPath = "/api/service/info"
	infoBody = `{"id":"s1","name":"App","slug":"app","service_type":"web","created_at":"2025-01-01T00:00:00Z"}`
	pageBody = "<html><body>Service Unavailable</body></html>"
)

var sayInfo = say(200, infoBody)

// oneAttempt makes each call one attempt, so that calls and outcomes are the same.
var oneAttempt = authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})

// keyClient makes a client with an API key on a server that a test plays.
func keyClient(t testing.TB, opts ...authos.Option) (*authos.Client, *script) {
	t.Helper()
	web := &script{handler: sayInfo}
	return newClient(t, "https://authos.test", web, append([]authos.Option{authos.WithAPIKey("sk_1_2")}, opts...)...), web
}

func getInfo(c *authos.Client) error { return c.Do(context.Background(), "GET", infoPath, nil, nil) }

// mustBeOpen gives the refusal of an open circuit, or fails.
func mustBeOpen(t testing.TB, err error) *authos.CircuitOpenError {
	t.Helper()
	e, ok := errors.AsType[*authos.CircuitOpenError](err)
	if !ok {
		t.Fatalf("got %v, want a *CircuitOpenError", err)
	}
	return e
}

// repeatInfo makes n calls and gives how many of them were refused by an open circuit.
func repeatInfo(c *authos.Client, n int) (refused int) {
	for range n {
		if errors.Is(getInfo(c), authos.ErrCircuitOpen) {
			refused++
		}
	}
	return refused
}

// openTime learns the family's open time: it opens the circuit and closes it again.
func openTime(t *testing.T, c *authos.Client, web *script) time.Duration {
	t.Helper()
	web.play(sayReset)
	for range 100 {
		err := getInfo(c)
		if !errors.Is(err, authos.ErrCircuitOpen) {
			continue
		}
		open := time.Until(mustBeOpen(t, err).RetryAt)
		time.Sleep(open)
		web.play(sayInfo)
		for range 5 {
			if err := getInfo(c); err != nil {
				t.Fatalf("the probe at RetryAt: %v", err)
			}
		}
		time.Sleep(time.Hour) // what was counted is too old to count
		return open - 1       // RetryAt is the first moment after it
	}
	t.Fatal("100 resets did not open the circuit")
	return 0
}

func TestBreakerTrips(t *testing.T) {
	const good, bad = true, false
	repeat := func(n int, v ...bool) []bool { return slices.Repeat(v, n) }
	tests := []struct {
		name     string
		policy   authos.BreakerPolicy
		outcomes [][]bool // a minute and a half, or pause, between the parts
		pause    time.Duration
		want     bool
	}{
		{"four in a row", authos.BreakerPolicy{}, [][]bool{repeat(4, bad)}, 0, false},
		{"five in a row", authos.BreakerPolicy{}, [][]bool{repeat(5, bad)}, 0, true},
		{"four, a success, four", authos.BreakerPolicy{}, [][]bool{repeat(4, bad), {good}, repeat(4, bad)}, 0, false},
		{"five in a row after 14 good ones", authos.BreakerPolicy{}, [][]bool{repeat(14, good), repeat(5, bad)}, 0, true},
		{"nine in a row after 20 good ones", authos.BreakerPolicy{}, [][]bool{repeat(20, good), repeat(9, bad)}, 0, false},
		{"ten in a row, whatever the share", authos.BreakerPolicy{}, [][]bool{repeat(300, good), repeat(10, bad)}, 0, true},
		{"the share decides from 20 on", authos.BreakerPolicy{FailureThreshold: 40}, [][]bool{repeat(20, good), repeat(19, bad)}, 0, false},
		{"half of 40", authos.BreakerPolicy{FailureThreshold: 40}, [][]bool{repeat(20, good), repeat(20, bad)}, 0, true},
		{"one success in six", authos.BreakerPolicy{FailureThreshold: 6}, [][]bool{repeat(3, bad, bad, bad, bad, bad, good), {bad}}, 0, false},
		{"one success in six, 20 of them", authos.BreakerPolicy{FailureThreshold: 6}, [][]bool{repeat(3, bad, bad, bad, bad, bad, good), {bad, bad}}, 0, true},
		{"the window holds 100: 49 of them", authos.BreakerPolicy{FailureThreshold: 40}, [][]bool{repeat(300, good), repeat(49, bad)}, 0, false},
		{"the window holds 100: 50 of them", authos.BreakerPolicy{FailureThreshold: 40}, [][]bool{repeat(300, good), repeat(50, bad)}, 0, true},
		{"old outcomes do not count", authos.BreakerPolicy{}, [][]bool{repeat(50, good), repeat(5, bad)}, 121 * time.Second, true},
		{"outcomes of two minutes count", authos.BreakerPolicy{}, [][]bool{repeat(50, good), repeat(5, bad)}, 2 * time.Minute, false},
		{"failures in a row have no age", authos.BreakerPolicy{}, [][]bool{repeat(4, bad), {bad}}, time.Hour, true},
		{"no ratio: five in a row", authos.BreakerPolicy{FailureRatio: -1}, [][]bool{repeat(100, good), repeat(5, bad)}, 0, true},
		{"no ratio: half of all", authos.BreakerPolicy{FailureRatio: -1}, [][]bool{repeat(60, bad, good)}, 0, false},
		{"own threshold", authos.BreakerPolicy{FailureThreshold: 2}, [][]bool{repeat(2, bad)}, 0, true},
		{"own share", authos.BreakerPolicy{FailureRatio: 0.2, MinRequests: 10}, [][]bool{repeat(8, good), {bad, bad}}, 0, true},
		{"own window", authos.BreakerPolicy{Window: 10 * time.Second}, [][]bool{repeat(50, good), repeat(5, bad)}, 11 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "one success in six, 20") {
				notOnUsedConnections(t)
			}
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt, authos.WithBreaker(tt.policy))
				var all []bool
				for i, part := range tt.outcomes {
					if i > 0 {
						time.Sleep(tt.pause)
					}
					for _, ok := range part {
						all = append(all, ok)
						web.play(map[bool]handler{good: sayInfo, bad: sayReset}[ok])
						if err := getInfo(c); errors.Is(err, authos.ErrCircuitOpen) {
							t.Fatalf("refused before the end, after %d outcomes", len(all)-1)
						}
					}
				}
				web.play(sayInfo)
				if got := errors.Is(getInfo(c), authos.ErrCircuitOpen); got != tt.want {
					t.Errorf("open = %v after %d outcomes, want %v", got, len(all), tt.want)
				}
			})
		})
	}
}

// Failures that take longer than gobreaker's own windows would remember.
func TestBreakerSlowFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		web.play(sayNothing)
		start := time.Now()
		if refused := repeatInfo(c, 6); refused != 1 {
			t.Errorf("%d of 6 calls refused, want the sixth", refused)
		}
		if took := time.Since(start); took != 5*35*time.Second {
			t.Errorf("took %v, want five attempts of 35 s", took)
		}
	})
}

// One request in ten fails at random: at least 99.9 % of the calls succeed, and no circuit opens.
func TestBreakerRandomFailures(t *testing.T) {
	crowd(t)
	inMemory(t, "it makes more requests than are quick on the wire")
	calls := 20_000
	if longTests {
		calls = 500_000
	}
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 10))
		c, web := keyClient(t)
		bad := say(500, "")
		web.play(func(req *http.Request) (*http.Response, error) {
			if random.IntN(10) == 0 {
				return bad(req)
			}
			return sayInfo(req)
		})
		var failed, refused int
		for range calls {
			if err := getInfo(c); err != nil {
				failed++
				if errors.Is(err, authos.ErrCircuitOpen) {
					refused++
				}
			}
			web.seen = web.seen[:0]
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("%d of %d calls failed, %d of them refused", failed, calls, refused)
		if failed*1000 > calls {
			t.Errorf("%d of %d calls failed, want at most 0.1 %%", failed, calls)
		}
	})
}

func TestBreakerJudgement(t *testing.T) {
	const (
		mail = "POST /api/auth/forgot-password"
		info = "GET " + infoPath
	)
	hang := context.WithTimeout
	uncoded := `{"error":"text","timestamp":"2025-01-01T00:00:00Z"}`
	tests := []struct {
		name     string
		route    string
		response handler
		ctx      func(context.Context, time.Duration) (context.Context, context.CancelFunc)
		after    time.Duration
		want     bool // counted as a failure
	}{
		{name: "200", response: sayInfo},
		{name: "204", response: say(204, "")},
		{name: "302", response: say(302, "")}, // without a Location it is a response like others
		{name: "400", response: sayError(400, "BAD_REQUEST")},
		{name: "401", response: sayError(401, "UNAUTHORIZED")},
		{name: "403", response: say(403, "Forbidden")},
		{name: "404", response: say(404, "")},
		{name: "408", response: say(408, "")},
		{name: "409", response: sayError(409, "CONFLICT")},
		{name: "422", response: say(422, "text")},
		{name: "425", response: say(425, "")},
		{name: "429", response: sayError(429, "RATE_LIMIT_EXCEEDED", "Retry-After: 5")},
		{name: "error in a 200", response: sayError(200, "NOT_FOUND")},
		{name: "500 in a 200", response: sayError(200, "INTERNAL_SERVER_ERROR"), want: true},
		{name: "200 larger than we read", response: say(200, strings.Repeat(" ", 16<<20+1))},

		{name: "500", response: say(500, ""), want: true},
		{name: "500 of the server", response: sayError(500, "INTERNAL_SERVER_ERROR"), want: true},
		{name: "500 DATABASE_ERROR", response: sayError(500, "DATABASE_ERROR"), want: true},
		{name: "501", response: say(501, "")},
		{name: "502", response: say(502, pageBody), want: true},
		{name: "503", response: sayError(503, "SERVICE_UNAVAILABLE"), want: true},
		{name: "503 with Retry-After", response: sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 5"), want: true},
		{name: "504", response: say(504, ""), want: true},
		{name: "505", response: say(505, "")},
		{name: "599", response: say(599, ""), want: true},

		{name: "AUDIT_ERROR", response: sayError(500, "AUDIT_ERROR")},
		{name: "OAUTH_ERROR", response: sayError(502, "OAUTH_ERROR")},
		{name: "STRIPE_ERROR", response: sayError(500, "STRIPE_ERROR")},
		{name: "BILLING_ERROR", response: sayError(500, "BILLING_ERROR")},
		{name: "AUDIT_ERROR as text", response: say(500, "AUDIT_ERROR"), want: true},
		{name: "AUDIT_ERROR in a page", response: say(500, "<html>AUDIT_ERROR</html>"), want: true},
		{name: "nested AUDIT_ERROR", response: say(500, `{"error":{"code":"AUDIT_ERROR","message":"m"}}`)},

		{name: "mail: not configured", route: mail, response: sayError(503, "SERVICE_UNAVAILABLE")},
		{name: "mail: a proxy's page", route: mail, response: say(503, pageBody), want: true},
		{name: "mail: an empty 503", route: mail, response: say(503, ""), want: true},
		{name: "mail: 503 without a code", route: mail, response: say(503, uncoded), want: true},
		{name: "mail: a gateway's problem", route: mail, response: say(503, `{"title":"Service Unavailable","status":503}`, "Content-Type: application/problem+json"), want: true},
		{name: "mail: 500", route: mail, response: sayError(500, "INTERNAL_SERVER_ERROR"), want: true},
		{name: "mail: 502 SERVICE_UNAVAILABLE", route: mail, response: sayError(502, "SERVICE_UNAVAILABLE")},

		{name: "reset", response: sayReset, want: true},
		{name: "cut body", response: func(req *http.Request) (*http.Response, error) {
			resp, err := sayInfo(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id"`), webBroken{}))
			return resp, err
		}, want: true},
		{name: "attempt timeout", response: sayNothing, want: true},
		{name: "what net/http refuses to send", response: func(*http.Request) (*http.Response, error) {
			return nil, errors.New(`net/http: invalid header field value for "Authorization"`)
		}},
		{name: "billing is disabled", response: say(503, `{"error":"Billing is disabled.","error_code":"SERVICE_UNAVAILABLE","timestamp":"2025-01-01T00:00:00Z"}`)},
		{name: "billing is disabled, says a gateway", response: say(503, `{"error":"Billing is disabled"}`), want: true},
		{name: "caller cancels", response: sayNothing, ctx: cancelAfter, after: 10 * time.Second},
		{name: "caller cancels, and the server returns 500", response: func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return say(500, "")(req)
		}, ctx: cancelAfter, after: time.Second, want: true}, // a response is a response
		{name: "deadline after 999 ms", response: sayNothing, ctx: hang, after: 999 * time.Millisecond},
		{name: "deadline after 1 s", response: sayNothing, ctx: hang, after: time.Second, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "caller cancels, and") {
				inMemory(t, "net/http gives the cancellation")
			}
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
				web.play(tt.response)
				method, path, _ := strings.Cut(tt.route, " ")
				if tt.route == "" {
					method, path = "GET", infoPath
				}
				ctx := t.Context()
				if tt.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tt.ctx(ctx, tt.after)
					defer cancel()
				}
				first := c.Do(ctx, method, path, nil, nil)
				if errors.Is(first, authos.ErrCircuitOpen) || web.count() != 1 {
					t.Fatalf("first call: %v, %d requests", first, web.count())
				}
				web.play(sayInfo)
				err := c.Do(t.Context(), method, path, nil, nil)
				if got := errors.Is(err, authos.ErrCircuitOpen); got != tt.want {
					t.Errorf("after %v the circuit is open: %v, want %v", first, got, tt.want)
				}
			})
		})
	}
}

// MaxElapsed is the caller's limit in another form, so what it cuts off early says nothing about
// the server either.
func TestBreakerJudgesMaxElapsed(t *testing.T) {
	for _, tt := range []struct {
		limit time.Duration
		want  bool
	}{{900 * time.Millisecond, false}, {time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, MaxElapsed: tt.limit}),
				authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
			web.play(sayNothing)
			_ = getInfo(c)
			if got := errors.Is(getInfo(c), authos.ErrCircuitOpen); got != tt.want {
				t.Errorf("MaxElapsed %v: open = %v, want %v", tt.limit, got, tt.want)
			}
		})
	}
}

type webBroken struct{}

func (webBroken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func cancelAfter(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

// webTrip opens the circuit of the info route and gives the first refusal.
func webTrip(t *testing.T, c *authos.Client, web *script, bad handler) *authos.CircuitOpenError {
	t.Helper()
	web.play(bad)
	for range 100 {
		if err := getInfo(c); errors.Is(err, authos.ErrCircuitOpen) {
			return mustBeOpen(t, err)
		}
	}
	t.Fatal("the circuit does not open")
	return nil
}

func TestBreakerOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		e := webTrip(t, c, web, sayError(502, "BAD_GATEWAY"))
		if e.Group != "service" || e.LastStatus != 502 || e.LastCode != authos.CodeBadGateway {
			t.Errorf("refusal = %+v: group %s, last %d %s", e, e.Group, e.LastStatus, e.LastCode)
		}
		if d := time.Until(e.RetryAt); d < 20*time.Second || d > 30*time.Second+1 {
			t.Errorf("RetryAt in %v, want 25 s ± 20 %%", d)
		}
		for _, kind := range []error{authos.ErrCircuitOpen, authos.ErrUnavailable} {
			if !errors.Is(e, kind) {
				t.Errorf("errors.Is(refusal, %v) = false", kind)
			}
		}
		for _, kind := range []error{authos.ErrServer, authos.ErrNetwork, authos.ErrOutcomeUnknown, authos.CodeBadGateway} {
			if errors.Is(e, kind) {
				t.Errorf("errors.Is(refusal, %v) = true", kind)
			}
		}
		if _, ok := errors.AsType[*authos.APIError](error(e)); ok {
			t.Error("another call's *APIError is found in the refusal")
		}
		if !authos.Retryable(e) {
			t.Error("Retryable(refusal) = false")
		}
		web.play(sayInfo)
		sent := web.count()
		time.Sleep(time.Until(e.RetryAt) - 1)
		if refused := repeatInfo(c, 10); refused != 10 || web.count() != sent {
			t.Errorf("1 ns before RetryAt: %d of 10 refused, %d sent", refused, web.count()-sent)
		}
		time.Sleep(time.Nanosecond)
		if err := getInfo(c); err != nil {
			t.Errorf("at RetryAt: %v", err)
		}
		if refused := repeatInfo(c, 10); refused != 0 {
			t.Errorf("after a good probe %d of 10 refused", refused)
		}
	})
}

// The time of the next probe has a monotonic reading, so that setting the wall clock does not move
// it. Virtual time has none.
func TestRetryAtIsMonotonic(t *testing.T) {
	c, web := keyClient(t, oneAttempt)
	at := webTrip(t, c, web, sayError(503, "MAINTENANCE", "Retry-After: 100")).RetryAt
	if !strings.Contains(at.String(), " m=+") {
		t.Errorf("RetryAt %v is a time of the wall clock alone", at)
	}
}

// A mutation that may have been applied before the circuit opened stays of unknown outcome.
func TestBreakerOpenEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 2}))
		web.play(sayError(503, "SERVICE_UNAVAILABLE"))
		var resp authos.Response
		start := time.Now()
		err := c.Do(t.Context(), "PUT", "/api/service/thing", map[string]int{"a": 1}, nil, authos.WithResponse(&resp))
		e := mustBeOpen(t, err)
		if web.count() != 2 || resp.Attempts != 2 {
			t.Errorf("%d requests, %d attempts; want 2: the open circuit ends the loop", web.count(), resp.Attempts)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v: it waited for an open circuit", took)
		}
		if api, ok := errors.AsType[*authos.APIError](err); !ok || api.StatusCode != 503 {
			t.Errorf("this call's own last response is not found in %v", err)
		}
		if !errors.Is(err, authos.ErrOutcomeUnknown) || !authos.Retryable(err) {
			t.Errorf("a PUT that met two 503: outcome unknown = %v", errors.Is(err, authos.ErrOutcomeUnknown))
		}
		start = time.Now()
		if second := c.Do(t.Context(), "PUT", "/api/service/thing", nil, nil); errors.Is(second, authos.ErrOutcomeUnknown) || !time.Now().Equal(start) {
			t.Errorf("a call that was not sent: %v after %v", second, time.Since(start))
		}
		if e.LastStatus != 503 {
			t.Errorf("LastStatus = %d", e.LastStatus)
		}
	})
}

func TestBreakerOpenTimeSpread(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		least, most := time.Hour, time.Duration(0)
		for range 200 {
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: 10 * time.Second}))
			d := time.Until(webTrip(t, c, web, sayReset).RetryAt)
			seen[d] = true
			least, most = min(least, d), max(most, d)
			other, err := c.With(authos.WithLanguage("es"))
			if err != nil {
				t.Fatal(err)
			}
			if got := time.Until(mustBeOpen(t, getInfo(other)).RetryAt); got != d {
				t.Fatalf("a client of the same family sees RetryAt in %v, want %v", got, d)
			}
		}
		if least < 8*time.Second || most > 12*time.Second+1 || most-least < 3*time.Second || len(seen) < 190 {
			t.Errorf("200 clients wait %v to %v, %d different times; want 8 s to 12 s", least, most, len(seen))
		}
	})
}

func TestBreakerRetryAfter(t *testing.T) {
	tests := []struct {
		name  string
		bad   handler
		exact time.Duration // 0: the usual open time
	}{
		{"503 that asks for three minutes", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 180"), 180 * time.Second},
		{"a proxy's 503", say(503, pageBody, "Retry-After: 180"), 180 * time.Second},
		{"ten times the open time at most", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 86400"), 250 * time.Second},
		{"beyond every number", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 99999999999999999999"), 250 * time.Second},
		{"shorter than the open time", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 10"), 0},
		{"502", sayError(502, "BAD_GATEWAY", "Retry-After: 300"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt)
				d := time.Until(webTrip(t, c, web, tt.bad).RetryAt)
				if tt.exact == 0 && (d < 20*time.Second || d > 31*time.Second) || tt.exact != 0 && d != tt.exact {
					t.Fatalf("RetryAt in %v", d)
				}
				web.play(sayInfo)
				time.Sleep(d - 1)
				if err := getInfo(c); !errors.Is(err, authos.ErrCircuitOpen) {
					t.Errorf("before RetryAt: %v", err)
				}
				time.Sleep(time.Nanosecond)
				if err := getInfo(c); err != nil {
					t.Errorf("at RetryAt: %v", err)
				}
			})
		})
	}
	t.Run("a probe that is told to wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt)
			time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
			web.play(sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 200"))
			_ = getInfo(c)
			if d := time.Until(mustBeOpen(t, getInfo(c)).RetryAt); d != 200*time.Second {
				t.Errorf("RetryAt in %v, want 200 s", d)
			}
		})
	})
	t.Run("a success takes it back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt)
			web.play(sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 500"))
			_ = getInfo(c)
			web.play(sayInfo)
			_ = getInfo(c)
			if d := time.Until(webTrip(t, c, web, sayReset).RetryAt); d > 31*time.Second {
				t.Errorf("a 503 before a success holds the circuit for %v", d)
			}
		})
	})
	t.Run("a late response does not shorten it", func(t *testing.T) {
		// gobreaker turns half-open by itself when an attempt from before ends after its timeout.
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: 10 * time.Second}))
			web.play(sayNothing)
			done := make(chan struct{})
			go func() { // 35 s
				_ = getInfo(c)
				close(done)
			}()
			synctest.Wait()
			at := webTrip(t, c, web, sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 60")).RetryAt
			<-done
			sent := web.count()
			if e := mustBeOpen(t, getInfo(c)); web.count() != sent || !e.RetryAt.Equal(at) {
				t.Errorf("RetryAt = %v, want %v; %d sent", e.RetryAt, at, web.count()-sent)
			}
			time.Sleep(time.Until(at))
			web.play(sayInfo)
			if err := getInfo(c); err != nil {
				t.Errorf("at RetryAt: %v", err)
			}
		})
	})
}

func TestBreakerHalfOpen(t *testing.T) {
	for _, probes := range []int{1, 3} {
		t.Run(fmt.Sprint(probes, " probes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{HalfOpenProbes: probes}))
				time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
				response := make(chan struct{})
				sent := web.count()
				web.play(func(req *http.Request) (*http.Response, error) {
					<-response
					return sayInfo(req)
				})
				errs := make(chan error, 20)
				for range 20 {
					go func() { errs <- getInfo(c) }()
				}
				synctest.Wait()
				if got := web.count() - sent; got != probes {
					t.Errorf("%d of 20 calls sent in half-open, want %d", got, probes)
				}
				for range 20 - probes {
					e := mustBeOpen(t, <-errs)
					if d := time.Until(e.RetryAt); d != time.Second {
						t.Errorf("refused beside a probe: RetryAt in %v, want 1 s", d)
					}
				}
				close(response)
				for range probes {
					if err := <-errs; err != nil {
						t.Errorf("probe: %v", err)
					}
				}
				if refused := repeatInfo(c, 5); refused != 0 {
					t.Errorf("%d refused after %d good probes", refused, probes)
				}
			})
		})
	}
	tests := []struct {
		name  string
		probe handler
		want  authos.BreakerState // as the next call finds it
	}{
		{"429: a server that is alive", sayError(429, "TOO_MANY_REQUESTS"), authos.BreakerClosed},
		{"404", say(404, ""), authos.BreakerClosed},
		{"AUDIT_ERROR", sayError(500, "AUDIT_ERROR"), authos.BreakerClosed},
		{"500", say(500, ""), authos.BreakerOpen},
		{"reset", sayReset, authos.BreakerOpen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var state authos.BreakerState
				c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{
					OnStateChange: func(_ string, _, to authos.BreakerState) { state = to },
				}))
				time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
				web.play(tt.probe)
				_ = getInfo(c)
				if state != tt.want {
					t.Errorf("state after the probe = %s, want %s", state, tt.want)
				}
			})
		})
	}
	t.Run("a cancelled probe gives its place back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt)
			time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
			web.play(sayNothing)
			ctx, cancel := cancelAfter(t.Context(), 5*time.Second)
			defer cancel()
			if err := c.Do(ctx, "GET", infoPath, nil, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("probe: %v", err)
			}
			web.play(sayInfo)
			if err := getInfo(c); err != nil {
				t.Errorf("the next probe: %v", err)
			}
		})
	})
}

// Whatever becomes of a probe, half-open ends.
func TestBreakerProbeAlwaysEnds(t *testing.T) {
	hanging := authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: -1, MaxElapsed: -1})
	t.Run("hang without an attempt timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, hanging)
			time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
			web.play(sayNothing)
			start := time.Now()
			if err := getInfo(c); !errors.Is(err, authos.ErrNetwork) || time.Since(start) != 35*time.Second {
				t.Errorf("hanging probe: %v after %v, want a timeout after 35 s", err, time.Since(start))
			}
			time.Sleep(time.Until(mustBeOpen(t, getInfo(c)).RetryAt))
			web.play(sayInfo)
			if err := getInfo(c); err != nil {
				t.Errorf("the next probe: %v", err)
			}
		})
	})
	t.Run("closed without an attempt timeout waits for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, hanging)
			web.play(sayNothing)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := c.Do(ctx, "GET", infoPath, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
	for name, end := range map[string]func(){
		"panic":  func() { panic("transport") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, "it is a transport that ends so, not a server")
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt)
				away := func() {
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() { _ = recover() }()
						_ = getInfo(c)
					}()
					<-done
				}
				time.Sleep(time.Until(webTrip(t, c, web, sayReset).RetryAt))
				web.play(func(*http.Request) (*http.Response, error) { end(); return nil, io.EOF })
				for range 3 {
					away()
				}
				web.play(sayInfo)
				if err := getInfo(c); err != nil {
					t.Errorf("after a probe that ended in %s: %v", name, err)
				}
				if refused := repeatInfo(c, 5); refused != 0 {
					t.Errorf("%d of 5 refused", refused)
				}
			})
		})
	}
}

func TestBreakerHooks(t *testing.T) {
	t.Run("in order, and may call the client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var c *authos.Client
			var hooked, observed []string
			var inside []error
			web := &script{handler: sayInfo}
			c = newClient(t, "https://authos.test", web, authos.WithAPIKey("sk_1_2"), authos.WithTokens(authos.Tokens{AccessToken: "a"}), oneAttempt,
				authos.WithBreaker(authos.BreakerPolicy{OnStateChange: func(group string, from, to authos.BreakerState) {
					hooked = append(hooked, fmt.Sprintf("%s %s→%s", group, from, to))
					_, err := c.User.Get(t.Context()) // another group
					inside = append(inside, err, getInfo(c))
				}}),
				authos.WithObserver(&authos.Observer{Breaker: func(e authos.BreakerEvent) {
					observed = append(observed, fmt.Sprintf("%s %s→%s", e.Group, e.From, e.To))
					_ = getInfo(c)
				}}))
			at := webTrip(t, c, web, func(req *http.Request) (*http.Response, error) {
				if strings.HasPrefix(req.URL.Path, "/api/user") {
					return say(200, `{"id":"u1"}`)(req)
				}
				return sayReset(req)
			}).RetryAt
			time.Sleep(time.Until(at))
			web.play(sayInfo)
			_ = getInfo(c)
			want := []string{"service closed→open", "service open→half-open", "service half-open→closed"}
			if !slices.Equal(hooked, want) || !slices.Equal(observed, want) {
				t.Errorf("hook %q, observer %q, want %q", hooked, observed, want)
			}
			if len(inside) != 6 || inside[0] != nil || !errors.Is(inside[1], authos.ErrCircuitOpen) || inside[5] != nil {
				t.Errorf("calls from inside the hook: %v", inside)
			}
		})
	})
	t.Run("a slow hook stops nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{
				OnStateChange: func(string, authos.BreakerState, authos.BreakerState) { time.Sleep(time.Hour) },
			}))
			web.play(sayReset)
			for range 4 {
				_ = getInfo(c)
			}
			go func() { _ = getInfo(c) }() // its hook sleeps
			synctest.Wait()
			start := time.Now()
			_ = mustBeOpen(t, getInfo(c))
			time.Sleep(75 * time.Second)
			web.play(sayInfo)
			if err := getInfo(c); err != nil || time.Since(start) != 75*time.Second {
				t.Errorf("beside a slow hook: %v after %v", err, time.Since(start))
			}
			time.Sleep(5 * time.Hour)
		})
	})
	t.Run("a hook that panics does not silence those after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var changes []authos.BreakerState
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{
				OnStateChange: func(_ string, _, to authos.BreakerState) {
					changes = append(changes, to)
					if len(changes) == 1 {
						panic("hook")
					}
				},
			}))
			web.play(sayReset)
			func() {
				defer func() { _ = recover() }()
				_ = repeatInfo(c, 5)
			}()
			time.Sleep(75 * time.Second)
			web.play(sayInfo)
			_ = getInfo(c)
			if want := []authos.BreakerState{authos.BreakerOpen, authos.BreakerHalfOpen, authos.BreakerClosed}; !slices.Equal(changes, want) {
				t.Errorf("changes %v, want %v", changes, want)
			}
		})
	})
	t.Run("many goroutines", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			state := map[string]authos.BreakerState{}
			changes, running := 0, atomic.Int32{}
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{
				OpenTimeout: time.Second, FailureThreshold: 2,
				OnStateChange: func(group string, from, to authos.BreakerState) {
					if running.Add(1) != 1 {
						t.Error("two hooks at once")
					}
					mu.Lock()
					if before := state[group]; before != "" && before != from {
						t.Errorf("%s goes %s→%s, but was %s", group, from, to, before)
					}
					state[group] = to
					changes++
					mu.Unlock()
					time.Sleep(time.Millisecond)
					running.Add(-1)
				},
			}))
			var n atomic.Int64
			web.play(func(req *http.Request) (*http.Response, error) {
				time.Sleep(time.Duration(n.Add(1)%7) * 100 * time.Millisecond)
				if n.Load()/40%2 == 0 {
					return sayReset(req)
				}
				return sayInfo(req)
			})
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					for range 40 {
						_ = getInfo(c)
						time.Sleep(300 * time.Millisecond)
					}
				})
			}
			wg.Wait()
			if changes < 10 {
				t.Errorf("only %d changes", changes)
			}
		})
	})
}

func TestBreakerGroups(t *testing.T) {
	t.Run("a sick part does not cut off a healthy one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt)
			paths := map[string]string{
				"service": infoPath, "auth": "/api/auth/context", "user": "/api/user", "organizations": "/api/organizations",
				"platform": "/api/platform/status", "other": "/health",
			}
			sick := ""
			web.play(func(req *http.Request) (*http.Response, error) {
				if strings.HasPrefix(req.URL.Path, sick) {
					return sayReset(req)
				}
				return say(200, "{}")(req)
			})
			for group, path := range paths {
				sick = path
				for range 5 {
					_ = c.Do(t.Context(), "GET", path, nil, nil)
				}
				if e := mustBeOpen(t, c.Do(t.Context(), "GET", path, nil, nil)); e.Group != group {
					t.Errorf("%s is in group %q, want %q", path, e.Group, group)
				}
				for other, healthy := range paths {
					if err := c.Do(t.Context(), "GET", healthy, nil, nil); other != group && err != nil {
						t.Errorf("%s beside a sick %s: %v", other, group, err)
					}
				}
				time.Sleep(75 * time.Second)
				sick = "none"
				if err := c.Do(t.Context(), "GET", path, nil, nil); err != nil {
					t.Errorf("%s after its outage: %v", group, err)
				}
			}
			if e := c.Do(t.Context(), "GET", "/auth/google", nil, nil); e != nil {
				t.Errorf("/auth/google: %v", e)
			}
		})
	})
	t.Run("bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			var groups []string
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{
				FailureThreshold: 1, Group: func(string, string) string { n++; return fmt.Sprint("g", n) },
				OnStateChange: func(group string, _, _ authos.BreakerState) { groups = append(groups, group) },
			}))
			web.play(sayReset)
			refused := repeatInfo(c, 1000)
			slices.Sort(groups)
			if groups = slices.Compact(groups); len(groups) > 65 || !slices.Contains(groups, "other") {
				t.Errorf("%d groups: %v", len(groups), groups)
			}
			if refused != 1000-65 {
				t.Errorf("%d of 1000 refused, want all but the first of each of 65 groups", refused)
			}
		})
	})
	t.Run("own groups see method and path", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			c, _ := keyClient(t, authos.WithBreaker(authos.BreakerPolicy{Group: func(method, path string) string {
				asked = append(asked, method+" "+path)
				return "all"
			}}))
			_ = c.Do(t.Context(), "GET", infoPath+"?secret=1", nil, nil)
			if want := []string{"GET " + infoPath}; !slices.Equal(asked, want) {
				t.Errorf("Group asked about %q, want %q", asked, want)
			}
		})
	})
}

// The refresh has a circuit of its own: an auth group that is down does not stop refreshes, and a
// refresh that fails does not stop sign-ins. That holds also when a Group function has used all
// names up.
func TestBreakerRefresh(t *testing.T) {
	for _, crowded := range []bool{false, true} {
		t.Run(fmt.Sprint("crowded=", crowded), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authostest.New()
				defer srv.Close()
				srv.AddUser("ada@example.com", "correct horse")
				in := srv.SignIn("ada@example.com")
				policy := authos.BreakerPolicy{OpenTimeout: time.Minute}
				if crowded {
					n := 0
					policy.Group = func(string, string) string { n++; return fmt.Sprint(n) }
				}
				c := localClient(t, srv.Transport(), oneAttempt, authos.WithBreaker(policy),
					authos.WithTokens(authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}))
				if crowded {
					for range 100 {
						_ = c.Do(t.Context(), "GET", "/health", nil, nil)
					}
				}
				remove := srv.Fault(authostest.Fault{Path: "/api/auth/refresh", Kind: authostest.ResetBefore})
				srv.ExpireAccessTokens()
				var err error
				for range 6 {
					_, err = c.User.Get(t.Context())
					time.Sleep(36 * time.Second)
				}
				e := mustBeOpen(t, err)
				if _, ok := errors.AsType[*authos.SessionError](err); !ok || e.Group != "refresh" {
					t.Errorf("got %v, want a *SessionError about the group refresh", err)
				}
				if n := srv.Count("POST", "/api/auth/refresh"); n != 5 {
					t.Errorf("%d refreshes sent, want 5", n)
				}
				if _, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: "ada@example.com", Password: "correct horse"}); err != nil {
					t.Errorf("sign-in beside a refresh that fails: %v", err)
				}
				remove()
				time.Sleep(3 * time.Minute)
				if _, err := c.User.Get(t.Context()); err != nil {
					t.Errorf("after the outage: %v", err)
				}
			})
		})
	}
	t.Run("while sign-in is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := authostest.New()
			defer srv.Close()
			in := srv.SignIn("ada@example.com")
			c := localClient(t, srv.Transport(), oneAttempt,
				authos.WithTokens(authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}))
			srv.Fault(authostest.Fault{Path: "/api/auth/login", Status: 500})
			var err error
			for range 6 {
				_, err = c.Auth.Login(t.Context(), authos.LoginParams{Email: "ada@example.com", Password: "x"})
			}
			if e := mustBeOpen(t, err); e.Group != "auth" {
				t.Errorf("Group = %s", e.Group)
			}
			srv.ExpireAccessTokens()
			if _, err := c.User.Get(t.Context()); err != nil {
				t.Errorf("a refresh while sign-in is down: %v", err)
			}
		})
	})
}

func TestBreakerDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		web.play(sayReset)
		if refused := repeatInfo(c, 50); refused != 0 || web.count() != 50 {
			t.Errorf("%d refused, %d sent of 50", refused, web.count())
		}
	})
}

func TestBreakerPolicyChecks(t *testing.T) {
	for _, p := range []authos.BreakerPolicy{
		{FailureThreshold: -1}, {FailureRatio: 1.1}, {MinRequests: -1}, {MinRequests: 101}, {Window: -1}, {OpenTimeout: -1},
		{HalfOpenProbes: -1}, {HalfOpenProbes: 101},
	} {
		if _, err := authos.New("https://authos.test", authos.WithBreaker(p)); err == nil {
			t.Errorf("New(%+v) = nil error", p)
		}
	}
}
