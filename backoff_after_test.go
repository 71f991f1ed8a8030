package authos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// Why a call was not tried again is in its history, its error's text, CallDone, the attempt's event
// and the log.
func TestWhyNoMore(t *testing.T) {
	asked := func(seconds string) reply { return apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", seconds) }
	spent := authos.RetryBudget{Ratio: 1e-9, Reserve: -1}
	for _, tt := range []struct {
		name    string
		steps   []reply
		method  string
		policy  authos.RetryPolicy
		timeout time.Duration
		want    string
		sent    int
	}{
		{"attempts", []reply{proxyPage(502)}, "GET", authos.RetryPolicy{MaxAttempts: 3}, 0, "attempts used up", 3},
		{"no retries", []reply{proxyPage(502)}, "GET", authos.RetryPolicy{MaxAttempts: 1}, 0, "attempts used up", 1},
		{"the server's max_retries", []reply{hintReply(503, `{"max_retries":1}`)}, "GET", authos.RetryPolicy{}, 0, "attempts used up", 2},
		{"budget", []reply{proxyPage(502)}, "GET", authos.RetryPolicy{Budget: spent}, 0, "retry budget spent", 1},
		{"deadline", []reply{asked("10")}, "GET", authos.RetryPolicy{}, 5 * time.Second, "does not fit the deadline", 1},
		{"MaxElapsed", []reply{asked("10")}, "GET", authos.RetryPolicy{MaxElapsed: 5 * time.Second}, 0, "does not fit the deadline", 1},
		{"the deadline in flight", []reply{{hang: true}}, "GET", authos.RetryPolicy{}, 5 * time.Second, "does not fit the deadline", 1},
		{"MaxRetryAfter", []reply{asked("100")}, "GET", authos.RetryPolicy{}, 0, "asked to wait longer than is obeyed", 1},
		{"not repeatable", []reply{proxyPage(502)}, "POST", authos.RetryPolicy{}, 0, "not repeatable", 1},
		{"reset, not repeatable", []reply{{err: connectionReset()}}, "POST", authos.RetryPolicy{}, 0, "not repeatable", 1},
		{"final", []reply{emptyReply(404)}, "GET", authos.RetryPolicy{}, 0, "final", 1},
		{"final at the second", []reply{proxyPage(502), emptyReply(404)}, "GET", authos.RetryPolicy{}, 0, "final", 2},
		{"the mail limiter", []reply{apiError(429, "TOO_MANY_REQUESTS")}, "GET", authos.RetryPolicy{}, 0, "final", 1},
		{"success", []reply{proxyPage(502), okReply()}, "GET", authos.RetryPolicy{}, 0, "", 2},
		{"DELETE finds it gone", []reply{proxyPage(502), emptyReply(404)}, "DELETE", authos.RetryPolicy{}, 0, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				var events []string
				var done authos.CallDone
				var log strings.Builder
				c := clientWithoutBreaker(t, scripted(tt.steps...), authos.WithRetry(tt.policy),
					authos.WithObserver(&authos.Observer{
						Attempt:  func(_ context.Context, e authos.AttemptEvent) { events = append(events, e.NoMore) },
						CallDone: func(_ context.Context, e authos.CallDone) { done = e },
					}),
					authos.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
				var resp authos.Response
				err := send(ctx, c, tt.method, "/x/thing", authos.WithResponse(&resp))
				if len(resp.History) != tt.sent || len(events) != tt.sent {
					t.Fatalf("%d attempts, %d events, want %d: %v", len(resp.History), len(events), tt.sent, err)
				}
				for i, a := range resp.History[:tt.sent-1] {
					if a.NoMore != "" || events[i] != "" {
						t.Errorf("attempt %d of %d says %q, %q", i+1, tt.sent, a.NoMore, events[i])
					}
				}
				last := resp.History[tt.sent-1].NoMore
				if tt.name == "DELETE finds it gone" {
					last, events[tt.sent-1] = "", "" // of the attempt itself the 404 was the end
				}
				if last != tt.want || events[tt.sent-1] != tt.want || done.NoMore != tt.want {
					t.Errorf("the last attempt says %q, its event %q, CallDone %q; want %q", last, events[tt.sent-1], done.NoMore, tt.want)
				}
				if err == nil {
					return
				}
				silent := tt.want == "final" && tt.sent == 1
				if said := strings.Contains(err.Error(), "no retry: "+tt.want); said == silent {
					t.Errorf("error %q, want it to say %q: %t", err, tt.want, !silent)
				}
				if !strings.Contains(log.String(), "no_more") {
					t.Errorf("the log does not say why: %s", log.String())
				}
			})
		})
	}
}

// A call that its caller ended says so, in flight and between two attempts.
func TestWhyNoMoreCanceled(t *testing.T) {
	for name, tt := range map[string]struct {
		step   reply
		inLast bool // that attempt was the last because of it
	}{
		"in flight": {reply{hang: true}, true}, "between attempts": {apiError(503, "MAINTENANCE", "Retry-After", "10"), false},
		"at the gate": {apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done authos.CallDone
				rt := scripted(tt.step)
				c := clientWithoutBreaker(t, rt, authos.WithObserver(&authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { done = e }}))
				ctx, cancel := cancelAfter(t.Context(), time.Second)
				defer cancel()
				var resp authos.Response
				err := send(ctx, c, "GET", "/x/thing", authos.WithResponse(&resp))
				if !errors.Is(err, context.Canceled) || done.NoMore != "canceled" || rt.count() != 1 || len(resp.History) != 1 {
					t.Fatalf("Do = %v after %d requests, CallDone says %q, history %+v", err, rt.count(), done.NoMore, resp.History)
				}
				if last := resp.History[0].NoMore; (last == "canceled") != tt.inLast {
					t.Errorf("the attempt says %q", last)
				}
			})
		})
	}
}

// The observer hears of each wait before it begins, and may end the call in it: even if nobody has
// begun to wait yet, that is the caller's doing, and nothing more is sent.
func TestWaitsAreTold(t *testing.T) {
	for reason, step := range map[string]reply{
		"retry": apiError(503, "MAINTENANCE", "Retry-After", "10"), "gate": apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"),
	} {
		for _, canceled := range []bool{false, true} {
			for range 20 { // go-retryablehttp chooses between its timer and the context
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var told []authos.WaitEvent
					var done authos.CallDone
					rt := scripted(step, okReply())
					c := clientWithoutBreaker(t, rt, authos.WithObserver(&authos.Observer{
						Wait: func(_ context.Context, e authos.WaitEvent) {
							if told = append(told, e); canceled {
								cancel()
							}
						},
						CallDone: func(_ context.Context, e authos.CallDone) { done = e },
					}))
					if reason == "gate" {
						_ = send(t.Context(), c, "GET", "/x/thing", authos.WithoutRetry())
					}
					start := time.Now()
					err := send(ctx, c, "GET", "/x/thing")
					took := time.Since(start)
					if len(told) != 1 || told[0].Reason != reason || told[0].Wait < 10*time.Second || !canceled && told[0].Wait != took {
						t.Errorf("%s: told %+v, waited %s", reason, told, took)
					}
					switch {
					case !canceled && (err != nil || rt.count() != 2 || done.NoMore != ""):
						t.Errorf("%s: Do = %v, %d requests, CallDone says %q", reason, err, rt.count(), done.NoMore)
					case canceled && (!errors.Is(err, context.Canceled) || rt.count() != 1 || took != 0 || done.NoMore != "canceled"):
						t.Errorf("%s: Do = %v after %s, %d requests, CallDone says %q", reason, err, took, rt.count(), done.NoMore)
					}
				})
			}
		}
	}
}

// A 401 that new tokens have dealt with is not why a call that succeeded had no other attempt.
func TestWhyNoMoreAfterARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done authos.CallDone
		c := clientWithoutBreaker(t, &script{respond: func(seen seenRequest) reply {
			switch {
			case seen.path == "/api/auth/refresh":
				return reply{status: 200, body: `{"access_token":"b","refresh_token":"s","expires_in":3600}`}
			case seen.auth == "a":
				return apiError(401, "UNAUTHORIZED")
			}
			return okReply()
		}}, authos.WithTokens(authos.Tokens{AccessToken: "a", RefreshToken: "r"}),
			authos.WithObserver(&authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { done = e }}))
		err := send(t.Context(), c, "GET", "/api/user")
		if err != nil || !done.Refreshed || done.NoMore != "" {
			t.Errorf("Do = %v, CallDone %+v", err, done)
		}
	})
}

// A call that waits for its next attempt, or at the gate, makes none once the client is closed.
func TestClosedWhileACallWaits(t *testing.T) {
	for name, step := range map[string]reply{
		"between attempts": apiError(503, "MAINTENANCE", "Retry-After", "10"), "at the gate": apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(step, okReply())
				c := clientWithoutBreaker(t, rt)
				if name == "at the gate" {
					_ = send(t.Context(), c, "GET", "/x/thing", authos.WithoutRetry())
				}
				time.AfterFunc(time.Second, func() { _ = c.Close() })
				start := time.Now()
				var resp authos.Response
				err := send(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp))
				if !errors.Is(err, net.ErrClosed) || time.Since(start) != time.Second || rt.count() != 1 || resp.Attempts > 1 {
					t.Errorf("Do = %v after %s, %d requests, %d attempts", err, time.Since(start), rt.count(), resp.Attempts)
				}
			})
		})
	}
}

func TestWhyNoMoreCircuitOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done authos.CallDone
		c := clientWithoutBreaker(t, scripted(proxyPage(502)), authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 2}),
			authos.WithObserver(&authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { done = e }}))
		if err := send(t.Context(), c, "GET", "/x/thing"); !errors.Is(err, authos.ErrCircuitOpen) || done.NoMore != "circuit open" {
			t.Errorf("Do = %v, CallDone says %q", err, done.NoMore)
		}
	})
}

// scriptErrors makes one error of each kind, as a call ends with it.
func scriptErrors(t *testing.T) map[string]error {
	t.Helper()
	one := func(step reply, method string, opts ...authos.Option) error {
		return send(t.Context(), clientWithoutBreaker(t, scripted(step), append(opts, oneAttempt)...), method, "/x/thing")
	}
	open := clientWithoutBreaker(t, scripted(proxyPage(502)), oneAttempt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
	_ = send(t.Context(), open, "GET", "/x/thing")
	held := clientWithoutBreaker(t, scripted(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "30")), oneAttempt)
	_ = send(t.Context(), held, "GET", "/x/thing")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return map[string]error{
		"nil":            nil,
		"foreign":        errors.New("foreign"),
		"foreign end":    context.DeadlineExceeded,
		"circuit open":   send(t.Context(), open, "GET", "/x/thing"),
		"held back":      send(t.Context(), held, "GET", "/x/thing"),
		"429":            one(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "100"), "GET"),
		"429 unsaid":     one(apiError(429, "TOO_MANY_REQUESTS"), "GET"),
		"503 asked":      one(apiError(503, "MAINTENANCE", "Retry-After", "100"), "POST"),
		"502 read":       one(proxyPage(502), "GET"),
		"502 PUT":        one(proxyPage(502), "PUT"),
		"502 POST":       one(proxyPage(502), "POST"),
		"500":            one(apiError(500, "DATABASE_ERROR"), "GET"),
		"503":            one(proxyPage(503), "GET"),
		"504":            one(proxyPage(504), "GET"),
		"520":            one(emptyReply(520), "GET"),
		"408":            one(emptyReply(408), "GET"),
		"501":            one(emptyReply(501), "GET"),
		"400":            one(apiError(400, "BAD_REQUEST"), "GET"),
		"422":            one(apiError(422, "VALIDATION_ERROR"), "GET"),
		"401":            one(apiError(401, "UNAUTHORIZED"), "GET"),
		"403":            one(emptyReply(403), "GET"),
		"404":            one(emptyReply(404), "GET"),
		"410":            one(emptyReply(410), "GET"),
		"409":            one(apiError(409, "CONFLICT"), "GET"),
		"duplicate":      one(apiError(400, "DUPLICATE_CONSTRAINT"), "GET"),
		"405":            one(emptyReply(405), "GET"),
		"local":          send(t.Context(), open, "GET", "no slash"),
		"reset":          one(reply{err: connectionReset()}, "GET"),
		"reset POST":     one(reply{err: connectionReset()}, "POST"),
		"refused POST":   one(reply{err: dialRefused()}, "POST"),
		"timeout":        one(reply{hang: true}, "GET"),
		"canceled":       send(ctx, open, "GET", "/x/thing"),
		"not decodable":  one(emptyReply(304), "GET"),
		"session over":   &authos.SessionError{},
		"session later":  &authos.SessionError{RetryAt: time.Now().Add(20 * time.Second)},
		"second factor":  &authos.MFARequiredError{},
		"mail not there": send(t.Context(), clientWithoutBreaker(t, scripted(apiError(503, "SERVICE_UNAVAILABLE"))), "POST", "/api/auth/register"),
	}
}

func TestHTTPStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := map[string]int{
			"nil": 200, "foreign": 500, "foreign end": 504, "circuit open": 503, "held back": 429, "429": 429, "429 unsaid": 429,
			"503 asked": 503, "502 read": 502, "502 PUT": 502, "502 POST": 502, "500": 502, "503": 503, "504": 504, "520": 502, "408": 504,
			"501": 502, "400": 400, "422": 400, "401": 401, "403": 403, "404": 404, "410": 404, "409": 409, "duplicate": 409, "405": 400,
			"local": 400, "reset": 502, "reset POST": 502, "refused POST": 502, "timeout": 504, "canceled": 503, "not decodable": 502,
			"session over": 401, "session later": 503, "second factor": 401, "mail not there": 503,
		}
		all := scriptErrors(t)
		for name, err := range all {
			if got := authos.HTTPStatus(err); got != want[name] {
				t.Errorf("%s: HTTPStatus(%v) = %d, want %d", name, err, got, want[name])
			}
			if err != nil {
				if got := authos.HTTPStatus(fmt.Errorf("wrapped: %w", err)); got != want[name] {
					t.Errorf("%s, wrapped: HTTPStatus = %d, want %d", name, got, want[name])
				}
			}
		}
		if len(all) != len(want) {
			t.Errorf("%d errors, %d expectations", len(all), len(want))
		}
	})
}

// How long to wait is counted from now, however long the error has been kept.
func TestRetryAfterAndWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const helps, unsaid = -1, 0
		want := map[string]time.Duration{ // those not named: waiting does not help
			"circuit open": helps, "held back": 30 * time.Second, "429": 100 * time.Second, "429 unsaid": unsaid, "503 asked": 100 * time.Second,
			"502 read": unsaid, "502 PUT": unsaid, "500": unsaid, "503": unsaid, "504": unsaid, "520": unsaid, "408": unsaid,
			"reset": unsaid, "refused POST": unsaid, "timeout": unsaid, "session later": 20 * time.Second,
		}
		start := time.Now()
		all := scriptErrors(t) // takes 35 s, of the attempt that times out
		took := time.Since(start)
		for _, later := range []time.Duration{0, 10 * time.Second, time.Hour} {
			time.Sleep(later)
			for name, err := range all {
				asked, ok := want[name]
				got, retry := authos.RetryAfter(err)
				if retry != ok || retry != authos.Retryable(err) {
					t.Errorf("%s: RetryAfter = %v, %t; Retryable = %t; want %t", name, got, retry, authos.Retryable(err), ok)
				}
				least, most := max(asked-took-time.Since(start.Add(took)), 0), max(asked-time.Since(start.Add(took)), 0)
				if asked != helps && (got < least || got > most) || !ok && got != 0 {
					t.Errorf("%s: RetryAfter = %v, want %v to %v", name, got, least, most)
				}
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		for name, err := range scriptErrors(t) {
			left, retry := authos.RetryAfter(err)
			start := time.Now()
			got := authos.Wait(t.Context(), err)
			waited := time.Since(start)
			switch {
			case !retry && (waited != 0 || got != err): //nolint:errorlint // the same error
				t.Errorf("%s: Wait = %v after %v, want %v at once", name, got, waited, err)
			case retry && (got != nil || waited < max(left, time.Second) || waited > max(left+left/10, 2*time.Second)):
				t.Errorf("%s: Wait = %v after %v, want nil after %v or a little more", name, got, waited, left)
			}
		}
		far := &authos.SessionError{RetryAt: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("closing time"))
		defer cancel()
		start := time.Now()
		err := authos.Wait(ctx, far)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "closing time") || time.Since(start) != time.Second {
			t.Errorf("Wait = %v after %v, want the deadline after 1 s", err, time.Since(start))
		}
		if err := authos.Wait(ctx, far); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait with a context that has ended = %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the call's own policy says what the least wait is
		c := clientWithoutBreaker(t, scripted(proxyPage(502)), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, BaseDelay: 4 * time.Second}))
		start := time.Now()
		err := authos.Wait(t.Context(), send(t.Context(), c, "GET", "/x/thing"))
		if d := time.Since(start); err != nil || d < 2*time.Second || d > 4*time.Second {
			t.Errorf("Wait = %v after %v, want 2 s to 4 s", err, d)
		}
	})
}

// What RetryAfter gives is what is left of the wait that was named, counted from when it was.
func TestRetryAfterIsExact(t *testing.T) {
	refused := func(t *testing.T, seconds string) error {
		rt := scripted(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", seconds))
		return send(t.Context(), clientWithoutBreaker(t, rt, oneAttempt), "GET", "/x/thing")
	}
	for name, tt := range map[string]struct {
		fail func(t *testing.T) error
		left time.Duration // 0: until the error's RetryAt
	}{
		"429": {func(t *testing.T) error { return refused(t, "100") }, 100 * time.Second},
		"503": {func(t *testing.T) error {
			return send(t.Context(), clientWithoutBreaker(t, scripted(apiError(503, "MAINTENANCE", "Retry-After", "50")), oneAttempt), "GET", "/x/thing")
		}, 50 * time.Second},
		"held back": {func(t *testing.T) error {
			c, _ := scriptHeld(t, "30")
			time.Sleep(10 * time.Second)
			return send(t.Context(), c, "GET", "/api/auth/context", authos.WithoutRetry())
		}, 20 * time.Second},
		"made by hand": {func(*testing.T) error {
			return &authos.RateLimitError{RetryAfter: 100 * time.Second, API: &authos.APIError{StatusCode: 429}}
		}, -100 * time.Second}, // nobody knows since when
		"open circuit": {func(t *testing.T) error {
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: time.Minute}))
			return webTrip(t, c, web, sayReset)
		}, 0},
		"session in doubt, after a 401": {func(t *testing.T) error {
			c := clientWithoutBreaker(t, &script{respond: func(seen seenRequest) reply {
				if seen.path == "/api/auth/refresh" {
					return reply{err: connectionReset()}
				}
				return apiError(401, "UNAUTHORIZED")
			}}, oneAttempt, authos.WithTokens(authos.Tokens{AccessToken: "a", RefreshToken: "r"}))
			return send(t.Context(), c, "GET", "/api/user")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := tt.fail(t)
				ends := time.Now().Add(tt.left)
				if e, ok := errors.AsType[*authos.CircuitOpenError](err); ok {
					ends = e.RetryAt
				} else if e, ok := errors.AsType[*authos.SessionError](err); ok {
					ends = e.RetryAt
				}
				if tt.left >= 0 && time.Until(ends) <= 0 {
					t.Fatalf("got %v, want a wait", err)
				}
				for _, passed := range []time.Duration{0, time.Second, time.Hour} {
					time.Sleep(passed)
					want := max(time.Until(ends), 0)
					if tt.left < 0 {
						want = -tt.left
					}
					if got, ok := authos.RetryAfter(err); !ok || got != want {
						t.Errorf("%v later: RetryAfter(%v) = %v, %t, want %v", passed, err, got, ok, want)
					}
				}
			})
		})
	}
}

// The loop that Wait is for makes at most one call a second, however the server is dead and however
// soon each call of it fails; nothing else in the client makes up for it.
func TestWaitLoop(t *testing.T) {
	const goroutines, span = 4, 2 * time.Minute
	for name, dead := range map[string]reply{
		"refused": {err: dialRefused(), noConn: true}, "reset": {err: connectionReset()}, "502 page": proxyPage(502), "503 page": proxyPage(503),
		"500": apiError(500, "DATABASE_ERROR"), "429 without a wait": apiError(429, "RATE_LIMIT_EXCEEDED"), "408": emptyReply(408),
		"429 of no time": apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "0"), "503 of no time": apiError(503, "MAINTENANCE", "Retry-After", "0"),
		"429 of 10 ms": apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "0.01"), "hang": {hang: true},
	} {
		for _, opts := range [][]authos.Option{
			{},
			{authos.WithBreaker(authos.BreakerPolicy{Disabled: true})},
			{authos.WithBreaker(authos.BreakerPolicy{Disabled: true}), oneAttempt},
			{authos.WithBreaker(authos.BreakerPolicy{Disabled: true}), authos.WithRetry(authos.RetryPolicy{BaseDelay: 1, MaxDelay: 1})},
			{authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: time.Millisecond})},
		} {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(dead)
				c := newClient(t, testBase, rt, opts...)
				ctx, cancel := context.WithTimeout(t.Context(), span)
				defer cancel()
				var all sync.WaitGroup
				var calls atomic.Int64
				for range goroutines {
					all.Go(func() {
						for last := time.Now().Add(-time.Second); ; {
							if since := time.Since(last); since < time.Second {
								t.Errorf("%s: a call begins %v after the one before it", name, since)
								return
							}
							last = time.Now()
							calls.Add(1)
							if authos.Wait(ctx, c.Do(ctx, "GET", "/x/thing", nil, nil)) != nil {
								return
							}
						}
					})
				}
				all.Wait()
				// A fifth of a retry for each call, a reserve of ten a minute, the first retries of
				// connections lost together, and of each call where a 429 asks for it.
				share := 1.2
				if dead.status == 429 {
					share = 2.2
				}
				if most := int(share*float64(calls.Load())) + 100; rt.count() > most || rt.count() == 0 || calls.Load() == 0 {
					t.Errorf("%s: the server saw %d requests of %d calls, want %d at most", name, rt.count(), calls.Load(), most)
				}
			})
		}
	}
}

// A call's own time for an attempt takes the place of the policy's, longer and shorter.
func TestWithAttemptTimeout(t *testing.T) {
	for _, tt := range []struct {
		own, client, want time.Duration
	}{
		{5 * time.Second, 0, 5 * time.Second},
		{90 * time.Second, 0, 90 * time.Second},
		{-1, 0, 100 * time.Second}, // until MaxElapsed
		{90 * time.Second, 50 * time.Second, 50 * time.Second},
		{-1, 50 * time.Second, 50 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, testBase, scripted(reply{hang: true}), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, MaxElapsed: 100 * time.Second}),
				authos.WithHTTPClient(&http.Client{Transport: scripted(reply{hang: true}), Timeout: tt.client}))
			start := time.Now()
			err := send(t.Context(), c, "GET", "/x/thing", authos.WithAttemptTimeout(tt.own))
			if took := time.Since(start); !errors.Is(err, authos.ErrNetwork) || took != tt.want {
				t.Errorf("WithAttemptTimeout(%v), Timeout %v: %v after %v, want %v", tt.own, tt.client, err, took, tt.want)
			}
		})
	}
	rt := scripted(okReply())
	if err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/x/thing", authos.WithAttemptTimeout(0)); !errors.Is(err, authos.ErrInvalid) || rt.count() > 0 {
		t.Errorf("WithAttemptTimeout(0) = %v, %d sent", err, rt.count())
	}
}

func TestWithDefaultHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		c := clientWithoutBreaker(t, rt, authos.WithDefaultHeader("x-tenant", "acme"), authos.WithDefaultHeader("X-Zone", "b"))
		other, err := c.With(authos.WithDefaultHeader("X-Tenant", "globex"))
		if err != nil {
			t.Fatal(err)
		}
		get := func(c *authos.Client, opts ...authos.RequestOption) string {
			t.Helper()
			if err := send(t.Context(), c, "GET", "/x/thing", opts...); err != nil {
				t.Fatal(err)
			}
			seen := rt.requests()
			return strings.Join(append(seen[len(seen)-1].header["X-Tenant"], seen[len(seen)-1].header["X-Zone"]...), " ")
		}
		for want, got := range map[string]string{
			"acme b": get(c), "globex b": get(other), "initech b": get(c, authos.WithHeader("X-Tenant", "initech")),
		} {
			if got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		}
		if got := get(c); got != "acme b" {
			t.Errorf("afterwards %q: a call has changed the client's headers", got)
		}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", testBase+"/x/thing", nil)
		req.Header.Set("X-Zone", "own")
		resp, err := c.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		seen := rt.requests()
		if h := seen[len(seen)-1].header; h.Get("X-Tenant") != "acme" || !slices.Equal(h["X-Zone"], []string{"own"}) || req.Header.Get("X-Tenant") != "" {
			t.Errorf("HTTPClient sent %v", h)
		}
	})
	for _, name := range []string{
		"Authorization", "authorization", "X-Api-Key", "Accept", "Accept-Language", "User-Agent", "X-Request-ID", "Content-Type", "Cookie",
		"Host", "Content-Length", "Connection", "bad name", "",
	} {
		if _, err := authos.New(testBase, authos.WithDefaultHeader(name, "value")); err == nil {
			t.Errorf("WithDefaultHeader(%q) is taken", name)
		}
	}
	if _, err := authos.New(testBase, authos.WithDefaultHeader("X-Tenant", "a\nb")); err == nil {
		t.Error("a value with a line break is taken")
	}
}

// Policies at the ends of their range do what they say, and nothing overflows.
func TestLargestPolicies(t *testing.T) {
	const most = time.Duration(math.MaxInt64)
	for range 20 { // each with an open time of its own
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t, oneAttempt, authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: most, Window: most, FailureThreshold: 5}))
			e := webTrip(t, c, web, sayError(503, "MAINTENANCE", "Retry-After: 9999999999"))
			if d := time.Until(e.RetryAt); d < 10*365*24*time.Hour {
				t.Errorf("RetryAt in %v, want years", d)
			}
			time.Sleep(10_000 * time.Hour)
			web.play(sayInfo)
			if err := getInfo(c); !errors.Is(err, authos.ErrCircuitOpen) {
				t.Errorf("after 10,000 hours: %v, want still open", err)
			}
		})
	}
	all := authos.RetryPolicy{
		MaxAttempts: math.MaxInt, BaseDelay: most, MaxDelay: most, MaxRetryAfter: most, MaxElapsed: most, AttemptTimeout: most,
		Budget: authos.RetryBudget{Ratio: math.MaxFloat64, Reserve: math.MaxInt},
	}
	for name, step := range map[string]reply{
		"a wait beyond every number": apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "99999999999999999999"),
		"a wait of 9223372036 s":     apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "9223372036"),
		"a linear hint":              hintReply(503, `{"backoff":"linear"}`),
		"a constant hint":            hintReply(503, `{"backoff":"constant"}`),
		"no hint":                    proxyPage(503),
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(step)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := send(ctx, clientWithoutBreaker(t, rt, authos.WithRetry(all)), "GET", "/x/thing"); err == nil || rt.count() > 2 {
				t.Errorf("%s: %v after %d requests within an hour, want one or two", name, err, rt.count())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(proxyPage(503))
		all.BaseDelay, all.MaxDelay = 1, 1
		all.MaxAttempts = 50
		if _ = send(t.Context(), clientWithoutBreaker(t, rt, authos.WithRetry(all)), "GET", "/x/thing"); rt.count() != 50 {
			t.Errorf("%d requests, want 50", rt.count())
		}
	})
}

// Times longer than 20 years count as that long.
func TestTwentyYears(t *testing.T) {
	inMemory(t, "connections in use are asked now and then whether they live")
	const most = time.Duration(math.MaxInt64)
	for name, p := range map[string]authos.RetryPolicy{
		"AttemptTimeout": {AttemptTimeout: most, MaxElapsed: -1}, "MaxElapsed": {AttemptTimeout: -1, MaxElapsed: most},
	} {
		synctest.Test(t, func(t *testing.T) {
			p.MaxAttempts = 1
			start := time.Now()
			err := send(t.Context(), clientWithoutBreaker(t, scripted(reply{hang: true}), authos.WithRetry(p)), "GET", "/x/thing")
			if took := time.Since(start); took != 20*365*24*time.Hour || !errors.Is(err, authos.ErrNetwork) {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		})
	}
}
