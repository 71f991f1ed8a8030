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
type column struct {
	name, method, path string
	opts               []authos.RequestOption
	kind               string // read, safe, word (safe by the caller's word), unsafe, single
}

func scriptColumns() []column {
	word := []authos.RequestOption{authos.WithIdempotent()}
	return []column{
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

// scriptEnd is how a call that never succeeds ends: after one request or after all three, outcome
// known or not.
type scriptEnd struct {
	sent    int
	unknown bool
}

var (
	scriptAgain = scriptEnd{sent: 3}
	scriptStop  = scriptEnd{sent: 1}
	stopUnkn    = scriptEnd{sent: 1, unknown: true}
)

// scriptRow is a row of the table; "" stands for the columns not named.
type scriptRow struct {
	name      string
	step      reply
	want      map[string]scriptEnd
	kind      error // what errors.Is must find
	retryable bool  // Retryable(err) where the outcome is known
}

func scriptEverywhere(end scriptEnd) map[string]scriptEnd { return map[string]scriptEnd{"": end} }

// ambiguous: the server may have acted.
func ambiguous() map[string]scriptEnd {
	return map[string]scriptEnd{"read": scriptAgain, "safe": {3, true}, "word": {3, true}, "": stopUnkn}
}

func scriptRows() []scriptRow {
	dns := func(e net.DNSError) reply {
		e.Name = "authos.test"
		return reply{err: &net.OpError{Op: "dial", Net: "tcp", Err: &e}, noConn: true}
	}
	badCert := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	audit := map[string]scriptEnd{"read": scriptAgain, "word": {3, true}, "": stopUnkn}
	// A hint decides over the status, but not that a token may be presented twice.
	hinted := func(single scriptEnd, rest scriptEnd) map[string]scriptEnd {
		return map[string]scriptEnd{"single": single, "": rest}
	}
	return []scriptRow{
		{"dial refused", reply{err: dialRefused(), noConn: true}, scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"dial refused, not traced", reply{err: dialRefused()}, scriptEverywhere(scriptAgain), authos.ErrUnavailable, true},
		{"proxy refused", reply{err: &net.OpError{Op: "proxyconnect", Err: connectionReset()}}, scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"DNS temporary", dns(net.DNSError{Err: "server misbehaving", IsTemporary: true}), scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"DNS timeout", dns(net.DNSError{Err: "i/o timeout", IsTimeout: true}), scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"DNS not found", dns(net.DNSError{Err: "no such host", IsNotFound: true}), scriptEverywhere(scriptStop), authos.ErrNetwork, false},
		{"TLS handshake timeout", reply{err: tlsTimeout{}, noConn: true}, scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"attempt timeout while dialing", reply{hang: true, noConn: true}, scriptEverywhere(scriptAgain), authos.ErrNetwork, true},
		{"bad certificate", reply{err: badCert, noConn: true}, scriptEverywhere(scriptStop), authos.ErrNetwork, false},
		{"bad certificate, wrapped", reply{err: &net.OpError{Op: "remote error", Err: badCert}, noConn: true}, scriptEverywhere(scriptStop), authos.ErrNetwork, false},
		{"TLS alert", reply{err: &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, noConn: true}, scriptEverywhere(scriptStop), authos.ErrNetwork, false},
		{"a header that net/http refuses", reply{err: errors.New(`net/http: invalid header field value for "X-Y"`), noConn: true}, scriptEverywhere(scriptStop), authos.ErrNetwork, false},
		{"HTTPS to an HTTP port", reply{err: http.ErrSchemeMismatch, noConn: true}, scriptEverywhere(scriptStop), authos.ErrNetwork, false},

		{"425", emptyReply(425), scriptEverywhere(scriptAgain), nil, true},
		{"429 plain text", reply{status: 429, body: "Too Many Requests! Wait for 0s"}, scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
		{"429 x-ratelimit-after", reply{status: 429, header: headers("X-Ratelimit-After", "1"), body: "Too Many"}, scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
		{"429 Retry-After", apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "2"), scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
		{"429 RATE_LIMIT_EXCEEDED without a wait", apiError(429, "RATE_LIMIT_EXCEEDED"), scriptEverywhere(scriptAgain), authos.CodeRateLimitExceeded, true},
		{"429 TOO_MANY_REQUESTS without a wait", apiError(429, "TOO_MANY_REQUESTS"), scriptEverywhere(scriptStop), authos.CodeTooManyRequests, true},
		{"429 TOO_MANY_REQUESTS Retry-After", apiError(429, "TOO_MANY_REQUESTS", "Retry-After", "2"), scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
		{"503 Retry-After and API error", apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "2"), scriptEverywhere(scriptAgain), authos.ErrUnavailable, true},
		{"503 wait in the body and API error", reply{status: 503, body: `{"error":"down","error_code":"MAINTENANCE","timestamp":"2026-05-20T12:00:00Z","retry_after":2}`}, scriptEverywhere(scriptAgain), authos.ErrUnavailable, true},
		{"503 limit header and API error", apiError(503, "MAINTENANCE", "X-Ratelimit-After", "1"), ambiguous(), authos.ErrUnavailable, true},
		{"503 spent limit and API error", apiError(503, "MAINTENANCE", "RateLimit", `"default";r=0;t=2`), ambiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a gateway's number", reply{status: 503, header: headers("Retry-After", "2"), body: `{"error":{"code":503,"message":"unavailable"}}`}, ambiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a number in quotes", reply{status: 503, header: headers("Retry-After", "2"), body: `{"code":"503","message":"unavailable"}`}, ambiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and a code of nobody", reply{status: 503, header: headers("Retry-After", "2"), body: `{"error":"text","timestamp":"2026-05-20T12:00:00Z"}`}, ambiguous(), authos.ErrUnavailable, true},
		{"billing is disabled", reply{status: 503, body: `{"error":"Billing is disabled","error_code":"SERVICE_UNAVAILABLE","timestamp":"2026-05-20T12:00:00Z"}`}, scriptEverywhere(scriptStop), authos.ErrUnavailable, false},
		{"503 Retry-After and HTML", proxyPage(503, "Retry-After", "2"), ambiguous(), authos.ErrUnavailable, true},
		{"503 Retry-After and nothing", emptyReply(503, "Retry-After", "2"), ambiguous(), authos.ErrUnavailable, true},
		{"503 API error without Retry-After", apiError(503, "SERVICE_UNAVAILABLE"), ambiguous(), authos.ErrUnavailable, true},

		{"408", emptyReply(408), ambiguous(), authos.ErrUnavailable, true},
		{"500", apiError(500, "DATABASE_ERROR"), ambiguous(), authos.ErrServer, true},
		{"500 as 200", reply{status: 200, body: `{"error":"Database error","error_code":"DATABASE_ERROR"}`}, ambiguous(), authos.ErrServer, true},
		{"502", proxyPage(502), ambiguous(), authos.ErrUnavailable, true},
		{"503", proxyPage(503), ambiguous(), authos.ErrUnavailable, true},
		{"504", proxyPage(504), ambiguous(), authos.ErrUnavailable, true},
		{"599", emptyReply(599), ambiguous(), authos.ErrServer, true},
		{"reset", reply{err: connectionReset()}, ambiguous(), authos.ErrNetwork, true},
		{"EOF", reply{err: io.EOF}, ambiguous(), authos.ErrNetwork, true},
		{"truncated body", reply{status: 200, body: `{"ok":`, cut: io.ErrUnexpectedEOF}, ambiguous(), authos.ErrNetwork, true},
		{"attempt timeout", reply{hang: true}, ambiguous(), authos.ErrNetwork, true},
		{"transport's own context error", reply{err: context.DeadlineExceeded}, ambiguous(), authos.ErrNetwork, true},

		{"AUDIT_ERROR", apiError(500, "AUDIT_ERROR"), audit, authos.CodeAuditError, true},
		{"AUDIT_ERROR with hint true", reply{status: 500, body: `{"error":{"code":"AUDIT_ERROR","message":"m","retry":{"retryable":true}}}`}, audit, authos.CodeAuditError, true},
		{"AUDIT_ERROR with hint false", reply{status: 500, body: `{"error":{"code":"AUDIT_ERROR","message":"m","retry":{"retryable":false}}}`}, audit, authos.CodeAuditError, true},

		{"400", apiError(400, "BAD_REQUEST"), scriptEverywhere(scriptStop), authos.ErrInvalid, false},
		{"403", apiError(403, "FORBIDDEN"), scriptEverywhere(scriptStop), authos.ErrForbidden, false},
		{"404", emptyReply(404), scriptEverywhere(scriptStop), authos.ErrNotFound, false},
		{"405", emptyReply(405), scriptEverywhere(scriptStop), nil, false},
		{"409", apiError(409, "CONFLICT"), scriptEverywhere(scriptStop), authos.ErrConflict, false},
		{"410", emptyReply(410), scriptEverywhere(scriptStop), authos.ErrNotFound, false},
		{"413", emptyReply(413), scriptEverywhere(scriptStop), authos.ErrInvalid, false},
		{"422", emptyReply(422), scriptEverywhere(scriptStop), authos.ErrInvalid, false},
		{"501", emptyReply(501), scriptEverywhere(scriptStop), authos.ErrServer, false},
		{"505", emptyReply(505), scriptEverywhere(scriptStop), authos.ErrServer, false},

		{"hint true on 400", hintReply(400, `{"retryable":true}`), hinted(scriptStop, scriptAgain), authos.Code("SOME_CODE"), true},
		{"hint false on 503", hintReply(503, `{"retryable":false}`), map[string]scriptEnd{"read": scriptStop, "": stopUnkn}, authos.ErrUnavailable, false},
		{"hint false on 429", hintReply(429, `{"retryable":false,"retry_after":1}`), scriptEverywhere(scriptStop), authos.ErrRateLimited, false},
		{"hint true on 502", hintReply(502, `{"retryable":true}`), map[string]scriptEnd{"read": scriptAgain, "single": stopUnkn, "": {3, true}}, authos.ErrUnavailable, true},
		{"hint max_retries 0", hintReply(429, `{"max_retries":0}`), scriptEverywhere(scriptStop), authos.ErrRateLimited, true},
		{"hint max_retries 1", hintReply(429, `{"max_retries":1}`), scriptEverywhere(scriptEnd{sent: 2}), authos.ErrRateLimited, true},
		{"hint max_retries beyond every number", hintReply(429, `{"max_retries":9223372036854775807}`), scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
		{"hint max_retries beyond the policy", hintReply(429, `{"max_retries":100}`), scriptEverywhere(scriptAgain), authos.ErrRateLimited, true},
	}
}

func TestRetryTable(t *testing.T) {
	for _, row := range scriptRows() {
		for _, col := range scriptColumns() {
			if col.method == "HEAD" && row.step.body != "" {
				continue // the response to HEAD has no body
			}
			want, ok := row.want[col.kind]
			if !ok {
				want = row.want[""]
			}
			t.Run(row.name+"/"+col.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := scripted(row.step)
					c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 3}))
					var resp authos.Response
					err := send(t.Context(), c, col.method, col.path, append(col.opts, authos.WithResponse(&resp))...)
					if err == nil {
						t.Fatal("Do = nil, want an error")
					}
					if got := (scriptEnd{rt.count(), errors.Is(err, authos.ErrOutcomeUnknown)}); got != want {
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
					if row.step.status >= 400 && statusOf(err) != row.step.status {
						t.Errorf("status of %v = %d, want %d", err, statusOf(err), row.step.status)
					}
				})
			})
		}
	}
}

// What was retried succeeds when the server recovers, and nothing of what came before is left.
func TestRetrySucceeds(t *testing.T) {
	for _, row := range scriptRows() {
		for _, col := range scriptColumns() {
			want, ok := row.want[col.kind]
			if !ok {
				want = row.want[""]
			}
			if want.sent != 3 || col.method == "HEAD" {
				continue
			}
			t.Run(row.name+"/"+col.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := scripted(row.step, okReply())
					c := clientWithoutBreaker(t, rt)
					var resp authos.Response
					if err := send(t.Context(), c, col.method, col.path, append(col.opts, authos.WithResponse(&resp))...); err != nil {
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
		{"MaxAttempts 1", []authos.Option{authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})}, nil, 1},
		{"MaxAttempts 7", []authos.Option{authos.WithRetry(authos.RetryPolicy{MaxAttempts: 7})}, nil, 7},
		{"WithoutRetry", nil, []authos.RequestOption{authos.WithoutRetry()}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(proxyPage(502))
				c := clientWithoutBreaker(t, rt, tt.opts...)
				if err := send(t.Context(), c, "GET", "/x/thing", tt.req...); !errors.Is(err, authos.ErrUnavailable) {
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
	inMemory(t, "net/http gives the cancellation")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
			cancel()
			return okReply().response(req), nil
		}})
		if err := send(ctx, clientWithoutBreaker(t, rt), "POST", "/x/thing"); err != nil {
			t.Errorf("Do = %v, want nil: the server had accepted it", err)
		}
	})
}

func TestRetryBreakerOpen(t *testing.T) {
	for _, col := range scriptColumns() {
		t.Run(col.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(proxyPage(502))
				c := clientWithoutBreaker(t, rt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
				_ = send(t.Context(), c, col.method, col.path, authos.WithoutRetry())
				rt.forget()
				start := time.Now()
				err := send(t.Context(), c, col.method, col.path, col.opts...)
				var open *authos.CircuitOpenError
				if !errors.As(err, &open) || errors.Is(err, authos.ErrOutcomeUnknown) || !authos.Retryable(err) {
					t.Errorf("Do = %v, want a *CircuitOpenError whose outcome is known", err)
				}
				if rt.count() != 0 || time.Since(start) != 0 {
					t.Errorf("sent %d, took %s, want nothing at once", rt.count(), time.Since(start))
				}
				if statusOf(err) != 0 {
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
	reset := reply{err: connectionReset()}
	wait := apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10")
	type phase struct {
		name    string
		steps   []reply
		after   time.Duration // when the context ends
		sent    int
		unknown bool // for a mutation
		status  int  // of the response that came before
	}
	for _, p := range []phase{
		{"before", []reply{okReply()}, 0, 0, false, 0},
		{"in flight", []reply{{hang: true}}, time.Second, 1, true, 0},
		{"in flight, dialing", []reply{{hang: true, noConn: true}}, time.Second, 1, false, 0},
		{"in flight, body", []reply{{do: func(req *http.Request) (*http.Response, error) {
			resp := okReply().response(req)
			resp.Body = &dribble{ctx: req.Context()}
			return resp, nil
		}}}, time.Second, 1, true, 0},
		{"waiting", []reply{wait}, time.Second, 1, false, 429},
		{"second attempt in flight", []reply{wait, {hang: true}}, 15 * time.Second, 2, true, 429},
		{"second attempt dialing", []reply{wait, {hang: true, noConn: true}}, 15 * time.Second, 2, false, 429},
		{"dialing after a reset", []reply{reset, {hang: true, noConn: true}}, 15 * time.Second, 2, true, 0},
	} {
		for _, col := range []column{
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
						rt := scripted(okReply())
						c := clientWithoutBreaker(t, rt)
						// the session is loaded from here on
						if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
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
						err := send(ctx, c, col.method, "/x/thing")
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
						if statusOf(err) != p.status {
							t.Errorf("last response in %v = %d, want %d", err, statusOf(err), p.status)
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
		rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
			if req.URL.Path != "/api/auth/refresh" {
				return apiError(401, "JWT_ERROR").response(req), nil
			}
			time.Sleep(10 * time.Second)
			return nil, connectionReset()
		}})
		c := clientWithoutBreaker(t, rt, authos.WithTokens(authos.Tokens{AccessToken: "a", RefreshToken: "r"}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := send(ctx, c, "POST", "/x/thing")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, authos.ErrOutcomeUnknown) || statusOf(err) != 401 {
			t.Errorf("Do = %v, want the deadline, a known outcome and the 401", err)
		}
		time.Sleep(10 * time.Second) // the transport does not listen to the end of its request
	})
}

// dribble is a body that never ends before its context.
type dribble struct {
	ctx   context.Context
	every time.Duration
}

func (b *dribble) Read(p []byte) (int, error) {
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

func (b *dribble) Close() error { return nil }

// Sticky outcome: once an attempt of a mutation may have been applied, only a 2xx ends the doubt.
func TestOutcomeIsSticky(t *testing.T) {
	wait := apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10")
	for _, tt := range []struct {
		name    string
		steps   []reply
		opts    []authos.Option
		timeout time.Duration
		want    error
		unknown bool
		later   bool
	}{
		{name: "504 then 400", steps: []reply{proxyPage(504), apiError(400, "BAD_REQUEST")}, want: authos.ErrInvalid, unknown: true},
		{name: "504 then validation", steps: []reply{proxyPage(504), apiError(422, "VALIDATION_ERROR")}, want: authos.CodeValidationError, unknown: true},
		{name: "reset then 404", steps: []reply{{err: connectionReset()}, emptyReply(404)}, want: authos.ErrNotFound, unknown: true},
		{name: "504 then dial refused", steps: []reply{proxyPage(504), {err: dialRefused()}}, want: authos.ErrNetwork, unknown: true, later: true},
		{name: "504 then 429", steps: []reply{proxyPage(504), apiError(429, "TOO_MANY_REQUESTS")}, want: authos.ErrRateLimited, unknown: true, later: true},
		{name: "504 then a longer wait than the deadline", steps: []reply{proxyPage(504), wait}, timeout: 5 * time.Second, want: context.DeadlineExceeded, unknown: true, later: true},
		{name: "504 then the deadline", steps: []reply{proxyPage(504), {hang: true}}, timeout: 5 * time.Second, want: context.DeadlineExceeded, unknown: true, later: true},
		{name: "504 then too large", steps: []reply{proxyPage(504), {status: 200, body: scriptLarge()}}, unknown: true},
		{name: "504 then neither success nor error", steps: []reply{proxyPage(504), emptyReply(304)}, unknown: true},
		{name: "504 then an open breaker", steps: []reply{proxyPage(504)}, opts: []authos.Option{authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1})}, want: authos.ErrCircuitOpen, unknown: true, later: true},
		{name: "429 then 400", steps: []reply{wait, apiError(400, "BAD_REQUEST")}, want: authos.ErrInvalid},
		{name: "504 then 204", steps: []reply{proxyPage(504), emptyReply(204)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				c := clientWithoutBreaker(t, scripted(tt.steps...), tt.opts...)
				err := send(ctx, c, "PUT", "/x/thing")
				if (err == nil) != (tt.want == nil && !tt.unknown) || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("Do = %v, want %v", err, tt.want)
				}
				if errors.Is(err, authos.ErrOutcomeUnknown) != tt.unknown {
					t.Errorf("errors.Is(%v, ErrOutcomeUnknown) = %t", err, !tt.unknown)
				}
				if authos.Retryable(err) != tt.later {
					t.Errorf("Retryable(%v) = %t: a PUT may be repeated where that can help", err, !tt.later)
				}
				if tt.unknown && statusOf(err) == 0 && tt.steps[0].status != 0 && tt.steps[len(tt.steps)-1].status/100 != 2 && tt.steps[len(tt.steps)-1].status != 304 {
					t.Errorf("errors.As(%v, *APIError) = false although the server responded", err)
				}
			})
		})
	}
}

// A read never has an unknown outcome.
func TestReadOutcomeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientWithoutBreaker(t, scripted(proxyPage(504), apiError(400, "BAD_REQUEST")))
		if err := send(t.Context(), c, "GET", "/x/thing"); errors.Is(err, authos.ErrOutcomeUnknown) || !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Do = %v, want ErrInvalid alone", err)
		}
	})
}

// A DELETE whose repeat finds nothing has done what was asked, if an attempt before it may have
// been applied.
func TestDeleteFoundGone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []reply
		path  string
		gone  bool
	}{
		{"504 then 404", []reply{proxyPage(504), apiError(404, "NOT_FOUND")}, "/x/thing", true},
		{"reset then 410", []reply{{err: connectionReset()}, emptyReply(410)}, "/x/thing", true},
		{"504, 502, then 404", []reply{proxyPage(504), proxyPage(502), emptyReply(404)}, "/x/thing", true},
		{"504, 429, then 404", []reply{proxyPage(504), emptyReply(429), emptyReply(404)}, "/x/thing", true},
		{"a route that responds with a body", []reply{proxyPage(504), apiError(404, "NOT_FOUND")}, "/api/platform/owners/42", true},
		{"404 at once", []reply{apiError(404, "NOT_FOUND")}, "/x/thing", false},
		{"429 then 404", []reply{emptyReply(429), apiError(404, "NOT_FOUND")}, "/x/thing", false},
		{"dial refused then 404", []reply{{err: dialRefused()}, apiError(404, "NOT_FOUND")}, "/x/thing", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out struct{ ID string }
				c := clientWithoutBreaker(t, scripted(tt.steps...))
				err := c.Do(t.Context(), "DELETE", tt.path, nil, &out)
				if tt.gone != (err == nil) || !tt.gone && (!errors.Is(err, authos.ErrNotFound) || errors.Is(err, authos.ErrOutcomeUnknown)) {
					t.Errorf("Do(DELETE) = %v, want gone = %t", err, tt.gone)
				}
				req, _ := http.NewRequestWithContext(t.Context(), "DELETE", testBase+tt.path, nil)
				resp, err := clientWithoutBreaker(t, scripted(tt.steps...)).HTTPClient().Do(req)
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
		err := send(t.Context(), clientWithoutBreaker(t, scripted(proxyPage(504), emptyReply(404))), "PUT", "/x/thing")
		if !errors.Is(err, authos.ErrNotFound) || !errors.Is(err, authos.ErrOutcomeUnknown) {
			t.Errorf("Do(PUT) = %v, want ErrNotFound and ErrOutcomeUnknown", err)
		}
	})
}

// History, waits and durations are those of the call, in the error and in the Response.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(reply{err: connectionReset(), took: time.Second}, reply{status: 502, took: 2 * time.Second},
			apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "10"), reply{status: 404, took: 3 * time.Second})
		c := clientWithoutBreaker(t, rt)
		var resp authos.Response
		start := time.Now()
		err := send(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp))
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
		c := clientWithoutBreaker(t, scripted(proxyPage(502), okReply()))
		if err := send(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp)); err != nil {
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
				rt := scripted(reply{status: 503, body: tt.body})
				err := send(t.Context(), clientWithoutBreaker(t, rt), "POST", "/api/auth/register", authos.WithIdempotent())
				if !errors.Is(err, authos.ErrUnavailable) || rt.count() != tt.sent {
					t.Errorf("Do = %v, sent %d, want ErrUnavailable after %d", err, rt.count(), tt.sent)
				}
			})
		})
	}
}
