package authos_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// The columns of the retry table: what a repeat of the call would do.
type rtColumn struct {
	name, method, path string
	opts               []authos.RequestOption
	kind               string // read, safe, word (safe by the caller's word), unsafe, single
}

func rtColumns() []rtColumn {
	word := []authos.RequestOption{authos.WithIdempotent()}
	return []rtColumn{
		{"GET", "GET", "/x/thing", nil, "read"},
		{"HEAD", "HEAD", "/x/thing", nil, "read"},
		{"known GET", "GET", "/api/user", nil, "read"},
		{"PUT", "PUT", "/x/thing", nil, "safe"},
		{"DELETE", "DELETE", "/x/thing", nil, "safe"},
		{"POST marked repeatable", "POST", "/api/auth/lookup-email", nil, "safe"},
		{"PATCH marked repeatable", "PATCH", "/api/organizations/acme", nil, "safe"},
		{"POST WithIdempotent", "POST", "/x/thing", word, "word"},
		{"PATCH WithIdempotent", "PATCH", "/x/thing", word, "word"},
		{"POST", "POST", "/x/thing", nil, "unsafe"},
		{"PATCH", "PATCH", "/x/thing", nil, "unsafe"},
		{"known POST", "POST", "/api/organizations", nil, "unsafe"},
		{"single-use POST", "POST", "/api/auth/mfa/verify", nil, "single"},
		{"single-use POST WithIdempotent", "POST", "/api/auth/mfa/verify", word, "single"},
		{"single-use GET", "GET", "/api/auth/magic-link/verify?token=t", nil, "single"},
		{"single-use GET WithIdempotent", "GET", "/api/auth/magic-link/verify?token=t", word, "single"},
		{"single-use GET as HEAD", "HEAD", "/api/auth/magic-link/verify?token=t", nil, "single"},
	}
}

// rtEnd is how a call that never succeeds ends: after one request or after all three, outcome known
// or not.
type rtEnd struct {
	sent    int
	unknown bool
}

var (
	rtAgain    = rtEnd{sent: 3}
	rtStop     = rtEnd{sent: 1}
	rtStopUnkn = rtEnd{sent: 1, unknown: true}
)

// rtRow is a row of the table; "" stands for the columns not named.
type rtRow struct {
	name      string
	step      rtStep
	want      map[string]rtEnd
	kind      error // what errors.Is must find
	retryable bool  // Retryable(err) where the outcome is known
}

func rtEverywhere(end rtEnd) map[string]rtEnd { return map[string]rtEnd{"": end} }

// rtAmbiguous: the server may have acted.
func rtAmbiguous() map[string]rtEnd {
	return map[string]rtEnd{"read": rtAgain, "safe": {3, true}, "word": {3, true}, "": rtStopUnkn}
}

func rtRows() []rtRow {
	dns := func(e net.DNSError) rtStep {
		e.Name = "authos.test"
		return rtStep{err: &net.OpError{Op: "dial", Net: "tcp", Err: &e}, noConn: true}
	}
	badCert := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	audit := map[string]rtEnd{"read": rtAgain, "word": {3, true}, "": rtStopUnkn}
	// A hint decides over the status, but not that a token may be presented twice.
	hinted := func(single rtEnd, rest rtEnd) map[string]rtEnd { return map[string]rtEnd{"single": single, "": rest} }
	return []rtRow{
		{"dial refused", rtStep{err: rtRefused(), noConn: true}, rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"dial refused, not traced", rtStep{err: rtRefused()}, rtEverywhere(rtAgain), authos.ErrUnavailable, true},
		{"proxy refused", rtStep{err: &net.OpError{Op: "proxyconnect", Err: rtReset()}}, rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"DNS temporary", dns(net.DNSError{Err: "server misbehaving", IsTemporary: true}), rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"DNS timeout", dns(net.DNSError{Err: "i/o timeout", IsTimeout: true}), rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"DNS not found", dns(net.DNSError{Err: "no such host", IsNotFound: true}), rtEverywhere(rtStop), authos.ErrNetwork, false},
		{"TLS handshake timeout", rtStep{err: rtTimeout{}, noConn: true}, rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"attempt timeout while dialing", rtStep{hang: true, noConn: true}, rtEverywhere(rtAgain), authos.ErrNetwork, true},
		{"bad certificate", rtStep{err: badCert, noConn: true}, rtEverywhere(rtStop), authos.ErrNetwork, false},
		{"bad certificate, wrapped", rtStep{err: &net.OpError{Op: "remote error", Err: badCert}, noConn: true}, rtEverywhere(rtStop), authos.ErrNetwork, false},
		{"TLS alert", rtStep{err: &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, noConn: true}, rtEverywhere(rtStop), authos.ErrNetwork, false},
		{"a header that net/http refuses", rtStep{err: errors.New(`net/http: invalid header field value for "X-Y"`), noConn: true}, rtEverywhere(rtStop), authos.ErrNetwork, false},
		{"HTTPS to an HTTP port", rtStep{err: http.ErrSchemeMismatch, noConn: true}, rtEverywhere(rtStop), authos.ErrNetwork, false},

		{"425", rtEmpty(425), rtEverywhere(rtAgain), nil, true},
		{"429 plain text", rtStep{status: 429, body: "Too Many Requests! Wait for 0s"}, rtEverywhere(rtAgain), authos.ErrRateLimited, true},
		{"429 x-ratelimit-after", rtStep{status: 429, header: rtHeader("X-Ratelimit-After", "1"), body: "Too Many"}, rtEverywhere(rtAgain), authos.ErrRateLimited, true},
		{"429 Retry-After", rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "2"), rtEverywhere(rtAgain), authos.ErrRateLimited, true},
		{"429 RATE_LIMIT_EXCEEDED without a wait", rtAPI(429, "RATE_LIMIT_EXCEEDED"), rtEverywhere(rtAgain), authos.CodeRateLimitExceeded, true},
		{"429 TOO_MANY_REQUESTS without a wait", rtAPI(429, "TOO_MANY_REQUESTS"), rtEverywhere(rtStop), authos.CodeTooManyRequests, true},
		{"429 TOO_MANY_REQUESTS Retry-After", rtAPI(429, "TOO_MANY_REQUESTS", "Retry-After", "2"), rtEverywhere(rtAgain), authos.ErrRateLimited, true},
		{"503 Retry-After and API error", rtAPI(503, "SERVICE_UNAVAILABLE", "Retry-After", "2"), rtEverywhere(rtAgain), authos.ErrUnavailable, true},
		{"503 wait in the body and API error", rtStep{status: 503, body: `{"error":"down","error_code":"MAINTENANCE","timestamp":"2026-05-20T12:00:00Z","retry_after":2}`}, rtEverywhere(rtAgain), authos.ErrUnavailable, true},
		{"503 limit header and API error", rtAPI(503, "MAINTENANCE", "X-Ratelimit-After", "1"), rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 spent limit and API error", rtAPI(503, "MAINTENANCE", "RateLimit", `"default";r=0;t=2`), rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a gateway's number", rtStep{status: 503, header: rtHeader("Retry-After", "2"), body: `{"error":{"code":503,"message":"unavailable"}}`}, rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a number in quotes", rtStep{status: 503, header: rtHeader("Retry-After", "2"), body: `{"code":"503","message":"unavailable"}`}, rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a code of nobody", rtStep{status: 503, header: rtHeader("Retry-After", "2"), body: `{"error":"text","timestamp":"2026-05-20T12:00:00Z"}`}, rtAmbiguous(), authos.ErrUnavailable, true},
		{"billing is disabled", rtStep{status: 503, body: `{"error":"Billing is disabled","error_code":"SERVICE_UNAVAILABLE","timestamp":"2026-05-20T12:00:00Z"}`}, rtEverywhere(rtStop), authos.ErrUnavailable, false},
		{"503 Retry-After and HTML", rtPage(503, "Retry-After", "2"), rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and nothing", rtEmpty(503, "Retry-After", "2"), rtAmbiguous(), authos.ErrUnavailable, true},
		{"503 API error without Retry-After", rtAPI(503, "SERVICE_UNAVAILABLE"), rtAmbiguous(), authos.ErrUnavailable, true},

		{"408", rtEmpty(408), rtAmbiguous(), authos.ErrUnavailable, true},
		{"500", rtAPI(500, "DATABASE_ERROR"), rtAmbiguous(), authos.ErrServer, true},
		{"500 as 200", rtStep{status: 200, body: `{"error":"Database error","error_code":"DATABASE_ERROR"}`}, rtAmbiguous(), authos.ErrServer, true},
		{"502", rtPage(502), rtAmbiguous(), authos.ErrUnavailable, true},
		{"503", rtPage(503), rtAmbiguous(), authos.ErrUnavailable, true},
		{"504", rtPage(504), rtAmbiguous(), authos.ErrUnavailable, true},
		{"599", rtEmpty(599), rtAmbiguous(), authos.ErrServer, true},
		{"reset", rtStep{err: rtReset()}, rtAmbiguous(), authos.ErrNetwork, true},
		{"EOF", rtStep{err: io.EOF}, rtAmbiguous(), authos.ErrNetwork, true},
		{"truncated body", rtStep{status: 200, body: `{"ok":`, cut: io.ErrUnexpectedEOF}, rtAmbiguous(), authos.ErrNetwork, true},
		{"attempt timeout", rtStep{hang: true}, rtAmbiguous(), authos.ErrNetwork, true},
		{"transport's own context error", rtStep{err: context.DeadlineExceeded}, rtAmbiguous(), authos.ErrNetwork, true},

		{"AUDIT_ERROR", rtAPI(500, "AUDIT_ERROR"), audit, authos.CodeAuditError, true},
		{"AUDIT_ERROR with hint true", rtStep{status: 500, body: `{"error":{"code":"AUDIT_ERROR","message":"m","retry":{"retryable":true}}}`}, audit, authos.CodeAuditError, true},
		{"AUDIT_ERROR with hint false", rtStep{status: 500, body: `{"error":{"code":"AUDIT_ERROR","message":"m","retry":{"retryable":false}}}`}, audit, authos.CodeAuditError, true},

		{"400", rtAPI(400, "BAD_REQUEST"), rtEverywhere(rtStop), authos.ErrInvalid, false},
		{"403", rtAPI(403, "FORBIDDEN"), rtEverywhere(rtStop), authos.ErrForbidden, false},
		{"404", rtEmpty(404), rtEverywhere(rtStop), authos.ErrNotFound, false},
		{"405", rtEmpty(405), rtEverywhere(rtStop), nil, false},
		{"409", rtAPI(409, "CONFLICT"), rtEverywhere(rtStop), authos.ErrConflict, false},
		{"410", rtEmpty(410), rtEverywhere(rtStop), authos.ErrNotFound, false},
		{"413", rtEmpty(413), rtEverywhere(rtStop), authos.ErrInvalid, false},
		{"422", rtEmpty(422), rtEverywhere(rtStop), authos.ErrInvalid, false},
		{"501", rtEmpty(501), rtEverywhere(rtStop), authos.ErrServer, false},
		{"505", rtEmpty(505), rtEverywhere(rtStop), authos.ErrServer, false},

		{"hint true on 400", rtHint(400, `{"retryable":true}`), hinted(rtStop, rtAgain), authos.Code("SOME_CODE"), true},
		{"hint false on 503", rtHint(503, `{"retryable":false}`), map[string]rtEnd{"read": rtStop, "": rtStopUnkn}, authos.ErrUnavailable, false},
		{"hint false on 429", rtHint(429, `{"retryable":false,"retry_after":1}`), rtEverywhere(rtStop), authos.ErrRateLimited, false},
		{"hint true on 502", rtHint(502, `{"retryable":true}`), map[string]rtEnd{"read": rtAgain, "single": rtStopUnkn, "": {3, true}}, authos.ErrUnavailable, true},
		{"hint max_retries 0", rtHint(429, `{"max_retries":0}`), rtEverywhere(rtStop), authos.ErrRateLimited, true},
		{"hint max_retries 1", rtHint(429, `{"max_retries":1}`), rtEverywhere(rtEnd{sent: 2}), authos.ErrRateLimited, true},
		{"hint max_retries beyond every number", rtHint(429, `{"max_retries":9223372036854775807}`), rtEverywhere(rtAgain), authos.ErrRateLimited, true},
		{"hint max_retries beyond the policy", rtHint(429, `{"max_retries":100}`), rtEverywhere(rtAgain), authos.ErrRateLimited, true},
	}
}

func TestRetryTable(t *testing.T) {
	for _, row := range rtRows() {
		for _, col := range rtColumns() {
			if col.method == "HEAD" && row.step.body != "" {
				continue // the response to HEAD has no body
			}
			want, ok := row.want[col.kind]
			if !ok {
				want = row.want[""]
			}
			t.Run(row.name+"/"+col.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := rtSteps(row.step)
					c := rtClient(t, rt, rtRetry(authos.RetryPolicy{MaxAttempts: 3}))
					var resp authos.Response
					err := rtDo(t.Context(), c, col.method, col.path, append(col.opts, authos.WithResponse(&resp))...)
					if err == nil {
						t.Fatal("Do = nil, want an error")
					}
					if got := (rtEnd{rt.count(), errors.Is(err, authos.ErrOutcomeUnknown)}); got != want {
						t.Errorf("Do = %v: {sent unknown} = %v, want %v", err, got, want)
					}
					if row.kind != nil && !errors.Is(err, row.kind) {
						t.Errorf("errors.Is(%v, %v) = false", err, row.kind)
					}
					// A hint does not say that a token may be presented twice.
					hinted := col.kind == "single" && row.name == "hint true on 400"
					if got, later := authos.Retryable(err), row.retryable && !hinted && (!want.unknown || want.sent > 1); got != later {
						t.Errorf("Retryable(%v) = %t, want %t", err, got, later)
					}
					if resp.Attempts != rt.count() || len(resp.History) != rt.count() {
						t.Errorf("Response.Attempts = %d, History = %d, want %d", resp.Attempts, len(resp.History), rt.count())
					}
					if row.step.status >= 400 && rtStatus(err) != row.step.status {
						t.Errorf("status of %v = %d, want %d", err, rtStatus(err), row.step.status)
					}
				})
			})
		}
	}
}

// What was retried succeeds when the server recovers, and nothing of what came before is left.
func TestRetrySucceeds(t *testing.T) {
	for _, row := range rtRows() {
		for _, col := range rtColumns() {
			want, ok := row.want[col.kind]
			if !ok {
				want = row.want[""]
			}
			if want.sent != 3 || col.method == "HEAD" {
				continue
			}
			t.Run(row.name+"/"+col.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := rtSteps(row.step, rtOK())
					c := rtClient(t, rt)
					var resp authos.Response
					if err := rtDo(t.Context(), c, col.method, col.path, append(col.opts, authos.WithResponse(&resp))...); err != nil {
						t.Fatalf("Do = %v, want nil", err)
					}
					if resp.Attempts != 2 || resp.StatusCode != 200 || rt.count() != 2 {
						t.Errorf("Attempts = %d, StatusCode = %d, sent %d, want 2, 200, 2", resp.Attempts, resp.StatusCode, rt.count())
					}
					seen := rt.requests()
					if seen[0].body != seen[1].body || seen[0].url != seen[1].url {
						t.Errorf("second request = %+v, want the first again: %+v", seen[1], seen[0])
					}
				})
			})
		}
	}
}

func TestRetryDefaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []authos.Option
		req  []authos.RequestOption
		want int
	}{
		{"default", nil, nil, 4},
		{"MaxAttempts 1", []authos.Option{rtRetry(authos.RetryPolicy{MaxAttempts: 1})}, nil, 1},
		{"MaxAttempts 7", []authos.Option{rtRetry(authos.RetryPolicy{MaxAttempts: 7})}, nil, 7},
		{"WithoutRetry", nil, []authos.RequestOption{authos.WithoutRetry()}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := rtSteps(rtPage(502))
				c := rtClient(t, rt, tt.opts...)
				if err := rtDo(t.Context(), c, "GET", "/x/thing", tt.req...); !errors.Is(err, authos.ErrUnavailable) {
					t.Errorf("Do = %v, want ErrUnavailable", err)
				}
				if rt.count() != tt.want {
					t.Errorf("sent %d, want %d", rt.count(), tt.want)
				}
			})
		})
	}
}

// A success wins whatever became of the context meanwhile (go-retryablehttp's own policy loses it).
func TestSuccessBeatsCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rt := rtSteps(rtStep{do: func(req *http.Request) (*http.Response, error) {
			cancel()
			return rtOK().response(req), nil
		}})
		if err := rtDo(ctx, rtClient(t, rt), "POST", "/x/thing"); err != nil {
			t.Errorf("Do = %v, want nil: the server had accepted it", err)
		}
	})
}

func TestRetryBreakerOpen(t *testing.T) {
	for _, col := range rtColumns() {
		t.Run(col.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := rtSteps(rtPage(502))
				c := rtClient(t, rt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
				_ = rtDo(t.Context(), c, col.method, col.path, authos.WithoutRetry())
				rt.forget()
				start := time.Now()
				err := rtDo(t.Context(), c, col.method, col.path, col.opts...)
				var open *authos.CircuitOpenError
				if !errors.As(err, &open) || errors.Is(err, authos.ErrOutcomeUnknown) || !authos.Retryable(err) {
					t.Errorf("Do = %v, want a *CircuitOpenError whose outcome is known", err)
				}
				if rt.count() != 0 || time.Since(start) != 0 {
					t.Errorf("sent %d, took %s, want nothing at once", rt.count(), time.Since(start))
				}
				if rtStatus(err) != 0 {
					t.Errorf("errors.As(%v, *APIError) found another call's response", err)
				}
			})
		})
	}
}

// The caller's context ends the call in every phase, and only a mutation in flight has an unknown
// outcome.
func TestRetryContext(t *testing.T) {
	gone := errors.New("the user went away")
	reset := rtStep{err: rtReset()}
	wait := rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10")
	type phase struct {
		name    string
		steps   []rtStep
		after   time.Duration // when the context ends
		sent    int
		unknown bool // for a mutation
		status  int  // of the response that came before
	}
	for _, p := range []phase{
		{"before", []rtStep{rtOK()}, 0, 0, false, 0},
		{"in flight", []rtStep{{hang: true}}, time.Second, 1, true, 0},
		{"in flight, dialing", []rtStep{{hang: true, noConn: true}}, time.Second, 1, false, 0},
		{"in flight, body", []rtStep{{do: func(req *http.Request) (*http.Response, error) {
			resp := rtOK().response(req)
			resp.Body = &rtDribble{ctx: req.Context()}
			return resp, nil
		}}}, time.Second, 1, true, 0},
		{"waiting", []rtStep{wait}, time.Second, 1, false, 429},
		{"second attempt in flight", []rtStep{wait, {hang: true}}, 15 * time.Second, 2, true, 429},
		{"second attempt dialing", []rtStep{wait, {hang: true, noConn: true}}, 15 * time.Second, 2, false, 429},
		{"dialing after a reset", []rtStep{reset, {hang: true, noConn: true}}, 15 * time.Second, 2, true, 0},
	} {
		for _, col := range []rtColumn{
			{"GET", "GET", "/x/thing", nil, "read"}, {"PUT", "PUT", "/x/thing", nil, "safe"}, {"POST", "POST", "/x/thing", nil, "unsafe"},
		} {
			for _, end := range []string{"cancelled", "cause", "deadline"} {
				if end == "deadline" && p.name == "waiting" {
					continue // returned at once, see TestWaitPastDeadline
				}
				if col.kind == "unsafe" && p.name == "dialing after a reset" {
					continue
				}
				t.Run(p.name+"/"+col.name+"/"+end, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						rt := rtSteps(rtOK())
						c := rtClient(t, rt)
						// the session is loaded from here on
						if err := rtDo(t.Context(), c, "GET", "/x/thing"); err != nil {
							t.Fatal(err)
						}
						rt.forget()
						rt.set(p.steps...)
						ctx, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						want := context.Canceled
						switch {
						case end == "deadline":
							var stop context.CancelFunc
							ctx, stop = context.WithTimeout(ctx, p.after)
							defer stop()
							want = context.DeadlineExceeded
						case end == "cause" && p.after == 0:
							cancel(gone)
						case p.after == 0:
							cancel(nil)
						case end == "cause":
							time.AfterFunc(p.after, func() { cancel(gone) })
						default:
							time.AfterFunc(p.after, func() { cancel(nil) })
						}
						start := time.Now()
						err := rtDo(ctx, c, col.method, "/x/thing")
						if took := time.Since(start); took != p.after {
							t.Errorf("took %s, want %s", took, p.after)
						}
						var network *authos.NetworkError
						if !errors.As(err, &network) || !errors.Is(err, want) || network.Timeout() != (end == "deadline") {
							t.Errorf("Do = %v, want a *NetworkError that is %v", err, want)
						}
						if end == "cause" && !errors.Is(err, gone) {
							t.Errorf("errors.Is(%v, cause) = false", err)
						}
						if got := errors.Is(err, authos.ErrNetwork); got != (end == "deadline") {
							t.Errorf("errors.Is(%v, ErrNetwork) = %t", err, got)
						}
						if rt.count() != p.sent {
							t.Errorf("sent %d, want %d", rt.count(), p.sent)
						}
						if unknown := errors.Is(err, authos.ErrOutcomeUnknown); unknown != (p.unknown && col.kind != "read") {
							t.Errorf("errors.Is(%v, ErrOutcomeUnknown) = %t", err, unknown)
						}
						if rtStatus(err) != p.status {
							t.Errorf("last response in %v = %d, want %d", err, rtStatus(err), p.status)
						}
						if retryable := end == "deadline" && (!p.unknown || col.kind == "read" || col.kind == "safe"); authos.Retryable(err) != retryable {
							t.Errorf("Retryable(%v) = %t, want %t", err, !retryable, retryable)
						}
					})
				})
			}
		}
	}
}

// The wait for new tokens is not in flight: the server has refused the request.
func TestContextEndsWhileRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := rtSteps(rtStep{do: func(req *http.Request) (*http.Response, error) {
			if req.URL.Path != "/api/auth/refresh" {
				return rtAPI(401, "JWT_ERROR").response(req), nil
			}
			time.Sleep(10 * time.Second)
			return nil, rtReset()
		}})
		c := rtClient(t, rt, authos.WithTokens(authos.Tokens{AccessToken: "a", RefreshToken: "r"}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := rtDo(ctx, c, "POST", "/x/thing")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, authos.ErrOutcomeUnknown) || rtStatus(err) != 401 {
			t.Errorf("Do = %v, want the deadline, a known outcome and the 401", err)
		}
		time.Sleep(10 * time.Second) // the transport does not listen to the end of its request
	})
}

// rtDribble is a body that never ends before its context.
type rtDribble struct {
	ctx   context.Context
	every time.Duration
}

func (b *rtDribble) Read(p []byte) (int, error) {
	if b.every > 0 {
		select {
		case <-time.After(b.every):
			return copy(p, " "), nil
		case <-b.ctx.Done():
		}
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (b *rtDribble) Close() error { return nil }

// Sticky outcome: once an attempt of a mutation may have been applied, only a 2xx ends the doubt.
func TestOutcomeIsSticky(t *testing.T) {
	wait := rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10")
	for _, tt := range []struct {
		name    string
		steps   []rtStep
		opts    []authos.Option
		timeout time.Duration
		want    error
		unknown bool
		later   bool
	}{
		{name: "504 then 400", steps: []rtStep{rtPage(504), rtAPI(400, "BAD_REQUEST")}, want: authos.ErrInvalid, unknown: true},
		{name: "504 then validation", steps: []rtStep{rtPage(504), rtAPI(422, "VALIDATION_ERROR")}, want: authos.CodeValidationError, unknown: true},
		{name: "reset then 404", steps: []rtStep{{err: rtReset()}, rtEmpty(404)}, want: authos.ErrNotFound, unknown: true},
		{name: "504 then dial refused", steps: []rtStep{rtPage(504), {err: rtRefused()}}, want: authos.ErrNetwork, unknown: true, later: true},
		{name: "504 then 429", steps: []rtStep{rtPage(504), rtAPI(429, "TOO_MANY_REQUESTS")}, want: authos.ErrRateLimited, unknown: true, later: true},
		{name: "504 then a longer wait than the deadline", steps: []rtStep{rtPage(504), wait}, timeout: 5 * time.Second, want: context.DeadlineExceeded, unknown: true, later: true},
		{name: "504 then the deadline", steps: []rtStep{rtPage(504), {hang: true}}, timeout: 5 * time.Second, want: context.DeadlineExceeded, unknown: true, later: true},
		{name: "504 then too large", steps: []rtStep{rtPage(504), {status: 200, body: rtLarge()}}, unknown: true},
		{name: "504 then neither success nor error", steps: []rtStep{rtPage(504), rtEmpty(304)}, unknown: true},
		{name: "504 then an open breaker", steps: []rtStep{rtPage(504)}, opts: []authos.Option{authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1})}, want: authos.ErrCircuitOpen, unknown: true, later: true},
		{name: "429 then 400", steps: []rtStep{wait, rtAPI(400, "BAD_REQUEST")}, want: authos.ErrInvalid},
		{name: "504 then 204", steps: []rtStep{rtPage(504), rtEmpty(204)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				c := rtClient(t, rtSteps(tt.steps...), tt.opts...)
				err := rtDo(ctx, c, "PUT", "/x/thing")
				if (err == nil) != (tt.want == nil && !tt.unknown) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("Do = %v, want %v", err, tt.want)
				}
				if errors.Is(err, authos.ErrOutcomeUnknown) != tt.unknown {
					t.Errorf("errors.Is(%v, ErrOutcomeUnknown) = %t", err, !tt.unknown)
				}
				if authos.Retryable(err) != tt.later {
					t.Errorf("Retryable(%v) = %t: a PUT may be repeated where that can help", err, !tt.later)
				}
				if tt.unknown && rtStatus(err) == 0 && tt.steps[0].status != 0 && tt.steps[len(tt.steps)-1].status/100 != 2 && tt.steps[len(tt.steps)-1].status != 304 {
					t.Errorf("errors.As(%v, *APIError) = false although the server responded", err)
				}
			})
		})
	}
}

// A read never has an unknown outcome.
func TestReadOutcomeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := rtClient(t, rtSteps(rtPage(504), rtAPI(400, "BAD_REQUEST")))
		if err := rtDo(t.Context(), c, "GET", "/x/thing"); errors.Is(err, authos.ErrOutcomeUnknown) || !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Do = %v, want ErrInvalid alone", err)
		}
	})
}

// A DELETE whose repeat finds nothing has done what was asked, if an attempt before it may have
// been applied.
func TestDeleteFoundGone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []rtStep
		path  string
		gone  bool
	}{
		{"504 then 404", []rtStep{rtPage(504), rtAPI(404, "NOT_FOUND")}, "/x/thing", true},
		{"reset then 410", []rtStep{{err: rtReset()}, rtEmpty(410)}, "/x/thing", true},
		{"504, 502, then 404", []rtStep{rtPage(504), rtPage(502), rtEmpty(404)}, "/x/thing", true},
		{"504, 429, then 404", []rtStep{rtPage(504), rtEmpty(429), rtEmpty(404)}, "/x/thing", true},
		{"a route that responds with a body", []rtStep{rtPage(504), rtAPI(404, "NOT_FOUND")}, "/api/platform/owners/42", true},
		{"404 at once", []rtStep{rtAPI(404, "NOT_FOUND")}, "/x/thing", false},
		{"429 then 404", []rtStep{rtEmpty(429), rtAPI(404, "NOT_FOUND")}, "/x/thing", false},
		{"dial refused then 404", []rtStep{{err: rtRefused()}, rtAPI(404, "NOT_FOUND")}, "/x/thing", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out struct{ ID string }
				c := rtClient(t, rtSteps(tt.steps...))
				err := c.Do(t.Context(), "DELETE", tt.path, nil, &out)
				if tt.gone != (err == nil) || !tt.gone && (!errors.Is(err, authos.ErrNotFound) || errors.Is(err, authos.ErrOutcomeUnknown)) {
					t.Errorf("Do(DELETE) = %v, want gone = %t", err, tt.gone)
				}
				req, _ := http.NewRequestWithContext(t.Context(), "DELETE", rtBase+tt.path, nil)
				resp, err := rtClient(t, rtSteps(tt.steps...)).HTTPClient().Do(req)
				if err != nil {
					t.Fatalf("HTTPClient().Do(DELETE) = %v", err)
				}
				_ = resp.Body.Close()
				want := 404
				if tt.gone {
					want = 204
				}
				if resp.StatusCode != want {
					t.Errorf("HTTPClient().Do(DELETE) = %d, want %d", resp.StatusCode, want)
				}
			})
		})
	}
	// Only DELETE asks for absence.
	synctest.Test(t, func(t *testing.T) {
		err := rtDo(t.Context(), rtClient(t, rtSteps(rtPage(504), rtEmpty(404))), "PUT", "/x/thing")
		if !errors.Is(err, authos.ErrNotFound) || !errors.Is(err, authos.ErrOutcomeUnknown) {
			t.Errorf("Do(PUT) = %v, want ErrNotFound and ErrOutcomeUnknown", err)
		}
	})
}

// History, waits and durations are those of the call, in the error and in the Response.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := rtSteps(rtStep{err: rtReset(), took: time.Second}, rtStep{status: 502, took: 2 * time.Second},
			rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), rtStep{status: 404, took: 3 * time.Second})
		c := rtClient(t, rt)
		var resp authos.Response
		start := time.Now()
		err := rtDo(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp))
		var api *authos.APIError
		if !errors.As(err, &api) || api.Attempts != 4 || len(api.History) != 4 {
			t.Fatalf("Do = %v with Attempts, History = %+v, want 4 attempts", err, api)
		}
		var waits time.Duration
		for i, a := range resp.History {
			if a.StatusCode != []int{0, 502, 429, 404}[i] || (a.Err != nil) != (i == 0) {
				t.Errorf("History[%d] = %+v", i, a)
			}
			if want := []time.Duration{time.Second, 2 * time.Second, 0, 3 * time.Second}[i]; a.Duration != want {
				t.Errorf("History[%d].Duration = %s, want %s", i, a.Duration, want)
			}
			if gap := rt.requests()[i].at.Sub(start) - waits; i > 0 && a.Wait > gap {
				t.Errorf("History[%d].Wait = %s, but only %s passed", i, a.Wait, gap)
			}
			waits += a.Wait
		}
		if w := resp.History[0].Wait; w != 0 {
			t.Errorf("History[0].Wait = %s, want 0", w)
		}
		if w := resp.History[3].Wait; w < 10*time.Second || w > 11*time.Second {
			t.Errorf("History[3].Wait = %s, want 10s to 11s", w)
		}
		if resp.Duration != time.Since(start) || resp.Duration != waits+6*time.Second {
			t.Errorf("Duration = %s, want %s, the waits %s and 6s", resp.Duration, time.Since(start), waits)
		}
		if resp.Attempts != 4 || resp.StatusCode != 404 {
			t.Errorf("Response = %+v, want 4 attempts, 404", resp)
		}
	})
}

// With on a success too.
func TestHistoryOfSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var resp authos.Response
		c := rtClient(t, rtSteps(rtPage(502), rtOK()))
		if err := rtDo(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp)); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.Attempts != 2 || resp.History[0].StatusCode != 502 || resp.History[1].StatusCode != 200 {
			t.Errorf("Response = %+v", resp)
		}
	})
}

// On the e-mail routes a 503 with the server's own code means "not configured here" and is final; a
// gateway's problem details without a code are an outage like any other.
func TestMailRouteUnavailable(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		sent       int
	}{
		{"the server's code", `{"error":"no mail","error_code":"SERVICE_UNAVAILABLE","timestamp":"2026-01-01T00:00:00+00:00"}`, 1},
		{"a gateway's problem", `{"title":"Service Unavailable","status":503}`, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := rtSteps(rtStep{status: 503, body: tt.body})
				err := rtDo(t.Context(), rtClient(t, rt), "POST", "/api/auth/register", authos.WithIdempotent())
				if !errors.Is(err, authos.ErrUnavailable) || rt.count() != tt.sent {
					t.Errorf("Do = %v, sent %d, want ErrUnavailable after %d", err, rt.count(), tt.sent)
				}
			})
		})
	}
}
