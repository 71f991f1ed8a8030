package authos_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// asked checks that a wait is never less than what the server asked for, and at most a tenth more,
// two seconds at most.
func scriptAsked(t *testing.T, got, asked time.Duration) {
	t.Helper()
	if most := asked + min(asked/10, 2*time.Second); got < asked || got > most {
		t.Errorf("waited %s, want %s to %s", got, asked, most)
	}
}

// scriptGap is the time between the n-th request and the one after it.
func scriptGap(s *script, n int) time.Duration {
	seen := s.requests()
	return seen[n].at.Sub(seen[n-1].at)
}

func TestAskedWaits(t *testing.T) {
	const base = 100 * time.Millisecond
	at := func(d time.Duration, layout string) func(now time.Time) string {
		return func(now time.Time) string { return now.Add(d).UTC().Format(layout) }
	}
	text := func(s string) func(time.Time) string { return func(time.Time) string { return s } }
	const (
		imf     = http.TimeFormat
		rfc850  = "Monday, 02-Jan-06 15:04:05 GMT"
		asctime = time.ANSIC
	)
	for _, tt := range []struct {
		name   string
		status int
		fields map[string]func(now time.Time) string
		skew   time.Duration // of the server's clock, shown in Date
		noDate bool
		body   string
		want   time.Duration // 0: not usable, only the exponential wait
	}{
		{name: "seconds", fields: map[string]func(time.Time) string{"Retry-After": text("2")}, want: 2 * time.Second},
		{name: "spaces", fields: map[string]func(time.Time) string{"Retry-After": text("  2 ")}, want: 2 * time.Second},
		{name: "longest obeyed", fields: map[string]func(time.Time) string{"Retry-After": text("60")}, want: time.Minute},
		{name: "zero", fields: map[string]func(time.Time) string{"Retry-After": text("0")}, want: base},
		{name: "decimals", fields: map[string]func(time.Time) string{"Retry-After": text("1.5")}, want: 1500 * time.Millisecond},
		{name: "two lines, the longest", fields: map[string]func(time.Time) string{"Retry-After": text("3\n7")}, want: 7 * time.Second},
		{name: "two lines, one usable", fields: map[string]func(time.Time) string{"Retry-After": text("soon\n7")}, want: 7 * time.Second},
		{name: "IMF date", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, imf)}, want: 30 * time.Second},
		{name: "RFC 850 date", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, rfc850)}, want: 30 * time.Second},
		{name: "asctime date", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, asctime)}, want: 30 * time.Second},
		{name: "date without Date", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, imf)}, noDate: true, want: 30 * time.Second},
		{name: "past date", fields: map[string]func(time.Time) string{"Retry-After": at(-time.Hour, imf)}, want: base},
		{name: "date of a server five hours ahead", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, imf)}, skew: 5 * time.Hour, want: 30 * time.Second},
		{name: "date of a server five hours behind", fields: map[string]func(time.Time) string{"Retry-After": at(30*time.Second, imf)}, skew: -5 * time.Hour, want: 30 * time.Second},
		{name: "negative", fields: map[string]func(time.Time) string{"Retry-After": text("-5")}},
		{name: "signed", fields: map[string]func(time.Time) string{"Retry-After": text("+5")}},
		{name: "words", fields: map[string]func(time.Time) string{"Retry-After": text("soon")}},
		{name: "on 502", status: 502, fields: map[string]func(time.Time) string{"Retry-After": text("4")}, want: 4 * time.Second},
		{name: "on 503", status: 503, fields: map[string]func(time.Time) string{"Retry-After": text("4")}, want: 4 * time.Second},

		{name: "x-ratelimit-after", fields: map[string]func(time.Time) string{"X-Ratelimit-After": text("4")}, want: 5 * time.Second},
		{name: "x-ratelimit-after 0", fields: map[string]func(time.Time) string{"X-Ratelimit-After": text("0")}, want: time.Second},
		{name: "X-RateLimit-Reset", fields: map[string]func(time.Time) string{
			"X-Ratelimit-Reset": scriptUnix(20 * time.Second), "X-Ratelimit-Remaining": text("0"),
		}, want: 20 * time.Second},
		{name: "X-RateLimit-Reset, wrong clock", skew: -3 * time.Hour, fields: map[string]func(time.Time) string{
			"X-Ratelimit-Reset": scriptUnix(20 * time.Second), "X-Ratelimit-Remaining": text("0"),
		}, want: 20 * time.Second},
		{name: "X-RateLimit-Reset, some remaining", fields: map[string]func(time.Time) string{
			"X-Ratelimit-Reset": scriptUnix(20 * time.Second), "X-Ratelimit-Remaining": text("5"),
		}},
		{name: "RateLimit", fields: map[string]func(time.Time) string{"Ratelimit": text(`"default";r=0;t=20`)}, want: 20 * time.Second},
		{name: "RateLimit dictionary", fields: map[string]func(time.Time) string{"Ratelimit": text(`limit=10, remaining=0, reset=20`)}, want: 20 * time.Second},
		{name: "Retry-After before the rest", fields: map[string]func(time.Time) string{
			"Retry-After": text("2"), "Ratelimit": text(`"default";r=0;t=20`), "X-Ratelimit-After": text("9"),
		}, want: 2 * time.Second},
		{name: "unusable Retry-After, the longest of the rest", fields: map[string]func(time.Time) string{
			"Retry-After": text("-2"), "Ratelimit": text(`"default";r=0;t=20`), "X-Ratelimit-After": text("29"),
		}, want: 30 * time.Second},

		{name: "body retry.retry_after", body: `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"m","retry":{"retry_after":5}}}`, want: 5 * time.Second},
		{name: "body details.retry_after", body: `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"m","details":{"retry_after":6}}}`, want: 6 * time.Second},
		{name: "body, the longest", body: `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"m","details":{"retry_after":6},"retry":{"retry_after":5}}}`, want: 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := time.Now().Add(tt.skew)
				step := reply{status: max(tt.status, 429), header: map[string]string{}, body: tt.body}
				if tt.status != 0 {
					step.status = tt.status
				}
				if !tt.noDate {
					step.header["Date"] = server.UTC().Format(http.TimeFormat)
				}
				for key, value := range tt.fields {
					step.header[key] = value(server)
				}
				rt := scripted(step, okReply())
				var resp authos.Response
				c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{BaseDelay: base}))
				if err := send(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp)); err != nil {
					t.Fatalf("Do = %v, want nil after the wait", err)
				}
				got := scriptGap(rt, 1)
				if tt.want == 0 {
					if got > base {
						t.Errorf("waited %s, want %s at most", got, base)
					}
					return
				}
				scriptAsked(t, got, tt.want)
				if resp.History[1].Wait != got {
					t.Errorf("History[1].Wait = %s, want %s", resp.History[1].Wait, got)
				}
			})
		})
	}
}

// Many who were told the same come back within two seconds, not all in the same instant.
func TestAskedWaitsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted()
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: -1}}))
		most := time.Duration(0)
		for range 200 {
			rt.forget()
			rt.set(emptyReply(503, "Retry-After", "60"), okReply())
			noError(t, "Do", send(t.Context(), c, "GET", "/x/thing"))
			got := scriptGap(rt, 1)
			scriptAsked(t, got, time.Minute)
			most = max(most, got)
		}
		if most < time.Minute+1800*time.Millisecond { // but once in a billion
			t.Errorf("the last of 200 after %v, want up to 62s", most)
		}
	})
}

// The wait is the longer of what the server asked for and the exponential one.
func TestLongerOfTheTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 100
		rt := scripted()
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{BaseDelay: 10 * time.Second, MaxDelay: 10 * time.Second, Budget: authos.RetryBudget{Ratio: -1}}))
		var sum time.Duration
		for range calls {
			rt.forget()
			rt.set(emptyReply(503, "Retry-After", "1"), okReply())
			if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
				t.Fatal(err)
			}
			got := scriptGap(rt, 1)
			if got < time.Second || got > 10100*time.Millisecond {
				t.Errorf("waited %s, want 1s to 10.1s", got)
			}
			sum += got
		}
		if mean := sum / calls; mean < 4*time.Second || mean > 6200*time.Millisecond {
			t.Errorf("waited %s on average, want about 5.1s", mean)
		}
	})
}

func scriptUnix(d time.Duration) func(time.Time) string {
	return func(now time.Time) string {
		buf := []byte{}
		for n := now.Add(d).Unix(); n > 0; n /= 10 {
			buf = append([]byte{byte('0' + n%10)}, buf...)
		}
		return string(buf)
	}
}

// A wait that is too long is not slept: the response is worth more to the caller.
func TestTooLongWaits(t *testing.T) {
	for _, tt := range []struct {
		name string
		step reply
		want time.Duration // RetryAfter; 0: any above the limit
	}{
		{"an hour", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600"), time.Hour},
		{"a second over", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "61"), 61 * time.Second},
		{"a bit over", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "60.001"), 60001 * time.Millisecond},
		{"overflow to a short wait", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "18446744074"), 0},
		{"overflow to a negative wait", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "9999999999"), 0},
		{"out of range", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "99999999999999999999999"), 0},
		{"date in the year 9999", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), 0},
		{"x-ratelimit-after", emptyReply(429, "X-Ratelimit-After", "9223372036854775807"), 0},
		{"body", reply{status: 429, body: `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"m","retry":{"retry_after":1e30}}}`}, 0},
		{"503", apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "3600"), time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(tt.step)
				start := time.Now()
				err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/x/thing")
				if took := time.Since(start); took != 0 || rt.count() != 1 {
					t.Errorf("took %s, sent %d, want one request and no wait", took, rt.count())
				}
				var api *authos.APIError
				if !errors.As(err, &api) || api.RetryAfter <= time.Minute || tt.want != 0 && api.RetryAfter != tt.want {
					t.Errorf("Do = %v, RetryAfter %+v, want %s", err, api, tt.want)
				}
				var limited *authos.RateLimitError
				if errors.As(err, &limited) && limited.RetryAfter != api.RetryAfter {
					t.Errorf("RateLimitError.RetryAfter = %s, want %s", limited.RetryAfter, api.RetryAfter)
				}
				if errors.Is(err, context.DeadlineExceeded) || !authos.Retryable(err) {
					t.Errorf("Do = %v: want retryable, and no deadline", err)
				}
			})
		})
	}
}

func TestMaxRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		asked string
		max   time.Duration
		sent  int
	}{
		{"5", 4 * time.Second, 1},
		{"5", 5 * time.Second, 2}, // compared before jitter
		{"90", 100 * time.Second, 2},
		{"0", 10 * time.Millisecond, 2}, // the floor is ours, the server asked for no wait
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(emptyReply(429, "Retry-After", tt.asked), okReply())
			c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{MaxRetryAfter: tt.max}))
			if err := send(t.Context(), c, "GET", "/x/thing"); rt.count() != tt.sent || (err == nil) != (tt.sent == 2) {
				t.Errorf("Do(Retry-After %s, MaxRetryAfter %s) = %v, sent %d, want %d", tt.asked, tt.max, err, rt.count(), tt.sent)
			}
		})
	}
}

// A wait past the caller's deadline or MaxElapsed is not begun.
func TestWaitPastDeadline(t *testing.T) {
	for _, tt := range []struct {
		name     string
		step     reply
		deadline time.Duration
		policy   authos.RetryPolicy
		sent     int
		exceeded bool
	}{
		{"Retry-After past the deadline", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), 5 * time.Second, authos.RetryPolicy{}, 1, true},
		{"Retry-After at the deadline", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), 10 * time.Second, authos.RetryPolicy{}, 1, true},
		{"Retry-After past MaxElapsed", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), 0, authos.RetryPolicy{MaxElapsed: 5 * time.Second}, 1, false},
		{"MaxElapsed before the deadline", apiError(503, "X", "Retry-After", "10"), 8 * time.Second, authos.RetryPolicy{MaxElapsed: 5 * time.Second}, 1, false},
		{"deadline before MaxElapsed", apiError(503, "X", "Retry-After", "10"), 5 * time.Second, authos.RetryPolicy{MaxElapsed: 8 * time.Second}, 1, true},
		{"jitter does not fit", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), 10*time.Second + 1, authos.RetryPolicy{MaxAttempts: 2}, 2, false},
		{"backoff past the deadline", proxyPage(502), 1, authos.RetryPolicy{BaseDelay: time.Hour, MaxDelay: time.Hour}, 1, true},
		{"backoff past MaxElapsed", proxyPage(502), 0, authos.RetryPolicy{BaseDelay: time.Hour, MaxDelay: time.Hour, MaxElapsed: 1}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				rt := scripted(tt.step)
				start := time.Now()
				err := send(ctx, clientWithoutBreaker(t, rt, authos.WithRetry(tt.policy)), "GET", "/x/thing")
				if rt.count() != tt.sent || tt.sent == 1 && time.Since(start) != 0 {
					t.Errorf("sent %d, took %s, want %d and no wait", rt.count(), time.Since(start), tt.sent)
				}
				if errors.Is(err, context.DeadlineExceeded) != tt.exceeded {
					t.Errorf("errors.Is(%v, DeadlineExceeded) = %t", err, !tt.exceeded)
				}
				var api *authos.APIError
				if !errors.As(err, &api) || api.StatusCode != tt.step.status {
					t.Errorf("errors.As(%v, *APIError) = %v, want %d", err, api, tt.step.status)
				}
			})
		})
	}
}

// A network error whose wait does not fit is the deadline's doing too.
func TestNetworkErrorPastDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		rt := scripted(reply{err: connectionReset()})
		err := send(ctx, clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Hour, MaxDelay: time.Hour})), "GET", "/x/thing")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, authos.ErrNetwork) || rt.count() != 1 {
			t.Errorf("Do = %v, sent %d, want the deadline and the reset, one request", err, rt.count())
		}
	})
}

// MaxElapsed bounds a call in flight as well.
func TestMaxElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(reply{hang: true})
		start := time.Now()
		err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/x/thing")
		if took := time.Since(start); took > 2*time.Minute || took < time.Minute || rt.count() != 4 {
			t.Errorf("took %s, sent %d, want less than 2m with 4 attempts of 35s, the last one cut", took, rt.count())
		}
		if e, ok := errors.AsType[*authos.NetworkError](err); !ok || !e.Timeout() {
			t.Errorf("Do = %v, want a *NetworkError that timed out", err)
		}
	})
}

func TestAttemptTimeout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy authos.RetryPolicy
		hc     time.Duration
		want   time.Duration // of one attempt; 0: none
	}{
		{"default", authos.RetryPolicy{}, 0, 35 * time.Second},
		{"set", authos.RetryPolicy{AttemptTimeout: 3 * time.Second}, 0, 3 * time.Second},
		{"http.Client's is shorter", authos.RetryPolicy{}, 2 * time.Second, 2 * time.Second},
		{"http.Client's is longer", authos.RetryPolicy{AttemptTimeout: 3 * time.Second}, time.Minute, 3 * time.Second},
		{"off", authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: -1}, 0, 0},
		{"off, http.Client's", authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: -1}, 5 * time.Second, 5 * time.Second},
		{"off, MaxElapsed", authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: 7 * time.Second}, 0, 7 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(reply{hang: true})
				c := clientWithoutBreaker(t, nil, authos.WithRetry(tt.policy), authos.WithHTTPClient(&http.Client{Transport: rt, Timeout: tt.hc}))
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				start := time.Now()
				err := send(ctx, c, "GET", "/x/thing", authos.WithoutRetry())
				want := tt.want
				if want == 0 {
					want = 24 * time.Hour
				}
				if took := time.Since(start); took != want || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Do = %v after %s, want a timeout after %s", err, took, want)
				}
			})
		})
	}
}

// The exponential waits are drawn evenly from zero to a bound that doubles.
func TestFullJitter(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	ms := time.Millisecond
	for _, tt := range []struct {
		name   string
		policy authos.RetryPolicy
		step   reply
		bounds []time.Duration
	}{
		{"exponential", authos.RetryPolicy{BaseDelay: 100 * ms, MaxDelay: 400 * ms}, proxyPage(502), []time.Duration{100 * ms, 200 * ms, 400 * ms, 400 * ms, 400 * ms}},
		{"defaults", authos.RetryPolicy{}, proxyPage(502), []time.Duration{200 * ms, 400 * ms, 800 * ms}},
		{"MaxDelay below the default BaseDelay", authos.RetryPolicy{MaxDelay: 50 * ms}, proxyPage(502), []time.Duration{50 * ms, 50 * ms, 50 * ms}},
		{"BaseDelay above the default MaxDelay", authos.RetryPolicy{BaseDelay: time.Minute, MaxElapsed: -1}, proxyPage(502), []time.Duration{time.Minute, time.Minute}},
		{"named exponential", authos.RetryPolicy{BaseDelay: 100 * ms, MaxDelay: 300 * ms}, hintReply(503, `{"backoff":"exponential"}`), []time.Duration{100 * ms, 200 * ms, 300 * ms}},
		{"named linear", authos.RetryPolicy{BaseDelay: 100 * ms, MaxDelay: 350 * ms}, hintReply(503, `{"backoff":"linear"}`), []time.Duration{100 * ms, 200 * ms, 300 * ms, 350 * ms}},
		{"named constant", authos.RetryPolicy{BaseDelay: 100 * ms, MaxDelay: 400 * ms}, hintReply(503, `{"backoff":"constant"}`), []time.Duration{100 * ms, 100 * ms, 100 * ms}},
		{"unknown name", authos.RetryPolicy{BaseDelay: 100 * ms}, hintReply(503, `{"backoff":"fibonacci"}`), []time.Duration{100 * ms, 200 * ms}},
		{"network error", authos.RetryPolicy{BaseDelay: 100 * ms}, reply{err: connectionReset()}, []time.Duration{100 * ms, 200 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls = 300
				tt.policy.MaxAttempts, tt.policy.Budget.Ratio = len(tt.bounds)+1, -1
				rt := scripted(tt.step)
				c := clientWithoutBreaker(t, rt, authos.WithRetry(tt.policy))
				waits := make([][]time.Duration, len(tt.bounds))
				for range calls {
					rt.forget()
					_ = send(t.Context(), c, "GET", "/x/thing")
					if rt.count() != len(tt.bounds)+1 {
						t.Fatalf("sent %d, want %d", rt.count(), len(tt.bounds)+1)
					}
					for i := range tt.bounds {
						waits[i] = append(waits[i], scriptGap(rt, i+1))
					}
				}
				for i, bound := range tt.bounds {
					var sum, least, most time.Duration
					least = bound
					for _, w := range waits[i] {
						sum, least, most = sum+w, min(least, w), max(most, w)
					}
					// 300 even draws: the extremes miss a tenth with a chance of 2e-14, the mean
					// misses by a tenth with one of 2e-9.
					if most > bound || most < bound*9/10 || least > bound/10 {
						t.Errorf("wait %d = %s to %s, want 0 to %s", i+1, least, most, bound)
					}
					if mean := sum / calls; mean < bound*4/10 || mean > bound*6/10 {
						t.Errorf("wait %d = %s on average, want about %s", i+1, mean, bound/2)
					}
				}
			})
		})
	}
}

// backoff/v4 gives up after 15 minutes with a negative wait, which a timer takes for "now".
func TestNoHotLoopAfter15Minutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
			if time.Since(start) > 30*time.Minute {
				return okReply().response(req), nil
			}
			return proxyPage(502).response(req), nil
		}})
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1 << 20, MaxElapsed: -1, Budget: authos.RetryBudget{Ratio: -1}}))
		if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
			t.Fatalf("Do = %v, want nil after half an hour", err)
		}
		// Waits of 10 s on average make 180 requests.
		if n := rt.count(); n < 100 || n > 300 {
			t.Errorf("sent %d in %s, want about 180", n, time.Since(start))
		}
	})
}
