package authos_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// scriptHeld gives a client whose auth bucket has just been told to wait, its call having failed
// without a retry.
func scriptHeld(t *testing.T, retryAfter string, opts ...authos.Option) (*authos.Client, *script) {
	t.Helper()
	rt := scripted(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", retryAfter), okReply())
	c := clientWithoutBreaker(t, rt, opts...)
	if err := send(t.Context(), c, "GET", "/api/auth/context", authos.WithoutRetry()); !errors.Is(err, authos.ErrRateLimited) {
		t.Fatalf("Do = %v, want ErrRateLimited", err)
	}
	rt.forget()
	return c, rt
}

func TestGateHoldsItsBucket(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		held         bool
	}{
		{"GET", "/api/auth/context", true},
		{"POST", "/api/auth/lookup-email", true},
		{"POST", "/api/auth/login", true},
		{"POST", "/oauth/token", true},
		{"GET", "/api/user", false},
		{"POST", "/auth/device/code", false},
		{"POST", "/api/auth/mfa/verify", false},
		{"POST", "/api/user/mfa/setup", false},
		{"GET", "/x/thing", false},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, rt := scriptHeld(t, "10")
				start := time.Now()
				var resp authos.Response
				if err := send(t.Context(), c, tt.method, tt.path, authos.WithResponse(&resp)); err != nil {
					t.Fatalf("Do = %v, want nil", err)
				}
				waited := rt.requests()[0].at.Sub(start)
				if !tt.held && waited != 0 {
					t.Errorf("waited %s for another bucket", waited)
				}
				if tt.held {
					gateHeld(t, waited, 10*time.Second)
				}
				if rt.count() != 1 || resp.Attempts != 1 || resp.History[0].Wait != waited {
					t.Errorf("sent %d, Response = %+v, want one attempt after %s", rt.count(), resp, waited)
				}
			})
		})
	}
}

func TestGateFailsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		opts     []authos.Option
		req      []authos.RequestOption
		timeout  time.Duration
		exceeded bool
	}{
		{name: "WithoutRetry", req: []authos.RequestOption{authos.WithoutRetry()}},
		{name: "MaxAttempts 1", opts: []authos.Option{authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})}},
		{name: "deadline", timeout: 5 * time.Second, exceeded: true},
		{name: "MaxElapsed", opts: []authos.Option{authos.WithRetry(authos.RetryPolicy{MaxElapsed: 5 * time.Second})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, rt := scriptHeld(t, "10", tt.opts...)
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				start := time.Now()
				var resp authos.Response
				err := send(ctx, c, "POST", "/api/auth/login", append(tt.req, authos.WithResponse(&resp))...)
				var limited *authos.RateLimitError
				if !errors.As(err, &limited) || limited.API != nil || limited.RetryAfter != 10*time.Second {
					t.Fatalf("Do = %v, want a *RateLimitError of 10s without a response", err)
				}
				if rt.count() != 0 || time.Since(start) != 0 || resp.Attempts != 0 {
					t.Errorf("sent %d, took %s, Attempts %d, want nothing at once", rt.count(), time.Since(start), resp.Attempts)
				}
				if statusOf(err) != 0 || errors.Is(err, authos.ErrOutcomeUnknown) || !authos.Retryable(err) || !errors.Is(err, authos.ErrRateLimited) {
					t.Errorf("Do = %v: want ErrRateLimited, retryable, outcome known, no *APIError of another call", err)
				}
				if errors.Is(err, context.DeadlineExceeded) != tt.exceeded {
					t.Errorf("errors.Is(%v, DeadlineExceeded) = %t", err, !tt.exceeded)
				}
			})
		})
	}
}

func TestGateOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10")
		time.Sleep(10 * time.Second)
		start := time.Now()
		if err := send(t.Context(), c, "GET", "/api/auth/context", authos.WithoutRetry()); err != nil || time.Since(start) != 0 || rt.count() != 1 {
			t.Errorf("Do = %v after %s, sent %d, want nil at once", err, time.Since(start), rt.count())
		}
	})
}

// Whatever one response asks for, a gate holds nobody longer than MaxRetryAfter. Until then calls
// fail at once, as the one that was told did: the wait is longer than they would obey.
func TestGateIsBounded(t *testing.T) {
	for _, tt := range []struct {
		opts []authos.Option
		hold time.Duration
	}{
		{nil, time.Minute},
		{[]authos.Option{authos.WithRetry(authos.RetryPolicy{MaxRetryAfter: 5 * time.Second})}, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, rt := scriptHeld(t, "86400", tt.opts...)
			time.Sleep(tt.hold - time.Second)
			start := time.Now()
			err := send(t.Context(), c, "GET", "/api/auth/context")
			limited, ok := errors.AsType[*authos.RateLimitError](err)
			if !ok || limited.RetryAfter != 24*time.Hour-tt.hold+time.Second || time.Since(start) != 0 || rt.count() != 0 {
				t.Fatalf("Do = %v after %s, sent %d, want the rest of the wait at once", err, time.Since(start), rt.count())
			}
			time.Sleep(time.Second)
			if err := send(t.Context(), c, "GET", "/api/auth/context"); err != nil || rt.count() != 1 {
				t.Fatalf("Do = %v, sent %d, want nil once the gate is open", err, rt.count())
			}
		})
	}
}

// A gate that is raised while calls wait at it holds none of them longer than MaxRetryAfter either.
func TestGateRaisedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "30"))
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1, MaxAttempts: 2}))
		_ = send(t.Context(), c, "GET", "/x/thing", authos.WithoutRetry())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				start := time.Now()
				err := send(t.Context(), c, "GET", "/x/thing")
				// Up to a minute at the gate, a wait after its own 429, and up to a minute at the
				// gate again.
				if took := time.Since(start); !errors.Is(err, authos.ErrRateLimited) || took > 160*time.Second {
					t.Errorf("Do = %v after %s", err, took)
				}
			})
		}
		wg.Wait()
	})
}

// gateHeld checks that a call waits as long as the gate holds, and as much again at most: ten
// seconds.
func gateHeld(t *testing.T, got, hold time.Duration) {
	t.Helper()
	if most := hold + min(hold, 10*time.Second); got < hold || got > most {
		t.Errorf("waited %s, want %s to %s", got, hold, most)
	}
}

// However long the gate has held, its calls are back ten seconds later, and after a short hold
// sooner.
func TestGateScatters(t *testing.T) {
	for _, hold := range []time.Duration{time.Second, 40 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, rt := scriptHeld(t, strconv.Itoa(int(hold.Seconds())))
			start := time.Now()
			var wg sync.WaitGroup
			time.Sleep(hold - time.Millisecond) // a call that comes late is scattered like the others
			for range 200 {
				wg.Go(func() { _ = send(t.Context(), c, "GET", "/api/auth/context") })
			}
			wg.Wait()
			most := time.Duration(0)
			for _, seen := range rt.requests() {
				waited := seen.at.Sub(start)
				gateHeld(t, waited, hold)
				most = max(most, waited)
			}
			if want := hold + min(hold, 10*time.Second)*9/10; most < want { // but once in a billion
				t.Errorf("a gate that held %v: the last of 200 after %v, want more than %v", hold, most, want)
			}
		})
	}
}

// Coming back one after the other makes nobody wait longer than MaxRetryAfter, but for the little
// that is always added.
func TestGateScattersWithinMaxRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "8", authos.WithRetry(authos.RetryPolicy{MaxRetryAfter: 10 * time.Second}))
		start := time.Now()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { _ = send(t.Context(), c, "GET", "/api/auth/context") })
		}
		wg.Wait()
		for _, seen := range rt.requests() {
			if waited := seen.at.Sub(start); waited < 8*time.Second || waited > 10*time.Second {
				t.Errorf("waited %s, want 8 to 10 s", waited)
			}
		}
		if rt.count() != 200 {
			t.Errorf("%d calls came back, want 200", rt.count())
		}
	})
}

// Where there is time for the wait and none for what is added to it, the call goes out when the
// gate opens, and what it ends with is not the deadline's doing.
func TestGateScattersWithinTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10")
		rt.set(emptyReply(404))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+1)
		defer cancel()
		start := time.Now()
		err := send(ctx, c, "GET", "/api/auth/context")
		if statusOf(err) != 404 || errors.Is(err, context.DeadlineExceeded) || rt.count() != 1 || time.Since(start) != 10*time.Second {
			t.Errorf("Do = %v after %s, sent %d, want the 404 after 10s", err, time.Since(start), rt.count())
		}
	})
}

// The longest wait that is obeyed is obeyed at the gate too.
func TestGateHoldsForTheLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10", authos.WithRetry(authos.RetryPolicy{MaxRetryAfter: 10 * time.Second}))
		start := time.Now()
		err := send(t.Context(), c, "GET", "/api/auth/context")
		if took := time.Since(start); err != nil || took < 10*time.Second || took > 11*time.Second || rt.count() != 1 {
			t.Errorf("Do = %v after %s, sent %d, want nil after 10 to 11 s", err, took, rt.count())
		}
	})
}

// A wait that was longer than is obeyed is forgotten once the gate has opened: the next one counts.
func TestGateForgetsALongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "86400")
		time.Sleep(time.Minute)
		rt.set(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), okReply())
		_ = send(t.Context(), c, "GET", "/api/auth/context", authos.WithoutRetry())
		start := time.Now()
		err := send(t.Context(), c, "GET", "/api/auth/context")
		if took := time.Since(start); err != nil || rt.count() != 2 {
			t.Errorf("Do = %v after %s, sent %d, want nil", err, took, rt.count())
		} else {
			gateHeld(t, took, 10*time.Second)
		}
	})
}

// A wait beyond all use counts as 20 years.
func TestGateOfCenturies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scriptHeld(t, "9999999999999")
		err := send(t.Context(), c, "GET", "/api/auth/context")
		limited, ok := errors.AsType[*authos.RateLimitError](err)
		if !ok || limited.RetryAfter <= 0 || limited.RetryAfter > 20*365*24*time.Hour {
			t.Errorf("Do = %v, want a wait of 20 years at most", err)
		}
	})
}

// Calls that are held back are not sent, and do not all come back in the same instant.
func TestGateHoldsTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 100
		c, rt := scriptHeld(t, "10")
		start := time.Now()
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if err := send(t.Context(), c, "GET", "/api/auth/context"); err != nil {
					t.Errorf("Do = %v, want nil", err)
				}
			})
		}
		time.Sleep(10*time.Second - 1)
		if n := rt.count(); n != 0 {
			t.Errorf("sent %d while the gate was closed", n)
		}
		wg.Wait()
		var times []time.Duration
		var quarters [4]int
		for _, seen := range rt.requests() {
			waited := seen.at.Sub(start)
			gateHeld(t, waited, 10*time.Second)
			times = append(times, waited)
			quarters[min(int((waited-10*time.Second)/(2500*time.Millisecond)), 3)]++
		}
		slices.Sort(times)
		if slices.Min(quarters[:]) < 5 { // an even draw has fewer with a chance of one in ten million
			t.Errorf("sent in the four quarters of the ten seconds after the gate's opening: %v, want about 25 each", quarters)
		}
		if len(times) != calls || len(slices.Compact(times)) < calls/2 {
			t.Errorf("sent %d at %d different times, want %d, spread", rt.count(), len(slices.Compact(times)), calls)
		}
	})
}

func TestGateSpendsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10", authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: 1e-9, Reserve: -1}}))
		if err := send(t.Context(), c, "GET", "/api/auth/context"); err != nil || rt.count() != 1 {
			t.Errorf("Do = %v, sent %d, want nil", err, rt.count())
		}
	})
}

func TestGateCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		err := send(ctx, c, "POST", "/api/auth/login")
		if !errors.Is(err, context.Canceled) || errors.Is(err, authos.ErrOutcomeUnknown) || rt.count() != 0 || time.Since(start) != time.Second {
			t.Errorf("Do = %v after %s, sent %d, want the cancellation, nothing sent", err, time.Since(start), rt.count())
		}
	})
}

// All clients of a family stand at the same gates; other families do not.
func TestGateIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, rt := scriptHeld(t, "10")
		other, err := c.With(authos.WithLanguage("es"))
		if err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), other, "GET", "/api/auth/context", authos.WithoutRetry()); !errors.Is(err, authos.ErrRateLimited) || rt.count() != 0 {
			t.Errorf("Do = %v, sent %d, want it held back", err, rt.count())
		}
		if err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/api/auth/context", authos.WithoutRetry()); err != nil {
			t.Errorf("Do of another family = %v, want nil", err)
		}
	})
}

// Only a 429 with a wait closes a gate.
func TestGateStaysOpen(t *testing.T) {
	for name, step := range map[string]reply{
		"429 without a wait":   emptyReply(429),
		"429 with no wait":     emptyReply(429, "Retry-After", "0"),
		"503 with a wait":      apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "30"),
		"502 with a wait":      proxyPage(502, "Retry-After", "30"),
		"429 TOO_MANY_REQUEST": apiError(429, "TOO_MANY_REQUESTS"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(step, okReply())
				c := clientWithoutBreaker(t, rt)
				_ = send(t.Context(), c, "GET", "/x/thing", authos.WithoutRetry())
				start := time.Now()
				if err := send(t.Context(), c, "GET", "/x/thing"); err != nil || time.Since(start) != 0 {
					t.Errorf("Do = %v after %s, want nil at once", err, time.Since(start))
				}
			})
		})
	}
}

// The limiter of e-mail addresses counts one address, not the client: other people still sign in.
func TestMailLimitHoldsNobodyElseBack(t *testing.T) {
	for _, options := range newerContracts {
		w := newTypedWorld(t, append(slices.Clip(options), authostest.WithLimiters())...)
		c := w.Client(asNobody)
		var err error
		for range 6 {
			err = c.Auth.RequestPasswordReset(t.Context(), authos.RequestPasswordResetParams{Email: "someone@example.com"})
		}
		if !errors.Is(err, authos.ErrRateLimited) {
			t.Fatalf("the sixth mail: %v", err)
		}
		if _, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: asOwner, Password: "password1"}, authos.WithoutRetry()); err != nil {
			t.Errorf("somebody else: %v", err)
		}
	}
}

// The expected response to a poll is no failure that anybody needs to hear of.
func TestPendingIsNoWarning(t *testing.T) {
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelInfo}))
	steps := scripted(reply{status: 400, body: `{"error":"Authorization pending","error_code":"DEVICE_CODE_PENDING","timestamp":""}`})
	c := newClient(t, testBase, steps, authos.WithLogger(log))
	_, err := c.Auth.ExchangeDeviceCode(t.Context(), authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret("x"), ClientID: "c"})
	if !errors.Is(err, authos.CodeDeviceCodePending) || logged.Len() != 0 {
		t.Errorf("%v, logged %s", err, logged.String())
	}
}

// A server without e-mail goes on refusing, so nobody is told to come back; a proxy's page leaves
// open what the server did.
func TestNoMailIsNotRetryable(t *testing.T) {
	tests := []struct {
		name, body string
		unknown    bool
	}{
		{
			"the server", `{"error":"Email delivery is not configured","error_code":"SERVICE_UNAVAILABLE","timestamp":"2026-01-02T03:04:05+00:00"}`,
			false,
		},
		{"a proxy", "<html>busy</html>", true},
	}
	for _, tt := range tests {
		web := scripted(reply{status: 503, body: tt.body})
		err := newClient(t, testBase, web).Auth.Register(t.Context(), authos.RegisterParams{Email: "a@example.com", Password: "password1"})
		if authos.Retryable(err) || errors.Is(err, authos.ErrOutcomeUnknown) != tt.unknown || web.count() != 1 {
			t.Errorf("%s: %v after %d requests, retryable %t", tt.name, err, web.count(), authos.Retryable(err))
		}
	}
}
