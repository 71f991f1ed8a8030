package authos

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos/internal/httpfield"
	"github.com/authos-go/authos/internal/jitter"
	"github.com/authos-go/authos/internal/jsonscan"
	"github.com/authos-go/authos/internal/routes"
)

// Response is what a call learned besides its result. See [WithResponse]. In every format verb and
// in slog it is one line; its JSON leaves Header and Body out, which may hold secrets.
type Response struct {
	// StatusCode and Header are the last response's; 0 and nil when there was none. A cached
	// response that is served after a failure does not count: its status was 200.
	StatusCode int         `json:"status_code"`
	Header     http.Header `json:"-"`
	// Body is the body of what the call returned: of the last response, of an error at most 64 KiB,
	// or the cached response. What a newer server sends beyond a method's result is found here.
	Body []byte `json:"-"`
	// RequestID is the server's own when it sent one, else the X-Request-ID that was sent.
	RequestID string `json:"request_id,omitempty"`
	// Attempts is how many tries were sent, those included that certainly were not processed and
	// were sent again at once; the resend after a refresh belongs to its attempt. History is how
	// each ended.
	Attempts int       `json:"attempts"`
	History  []Attempt `json:"history,omitempty"`
	// Duration is the whole call, waits included.
	Duration time.Duration `json:"duration"`
	// Refreshed: the tokens were refreshed for this call. Stale: the response is a cached one, Age
	// old, and Cause is the error that the caller would have got without it.
	Refreshed bool          `json:"refreshed,omitempty"`
	Stale     bool          `json:"stale,omitempty"`
	Age       time.Duration `json:"age,omitempty"`
	Cause     error         `json:"cause,omitempty"`
	// RateLimit is what the last response said; nil when it said nothing.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`
}

// Format implements [fmt.Formatter] for every verb: status, attempts, time, request id.
func (r Response) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, r.text()) }

// LogValue implements [slog.LogValuer] like Format.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.text()) }

func (r Response) text() string {
	text := fmt.Sprintf("%d, %d attempts, %s", r.StatusCode, r.Attempts, r.Duration)
	if r.Stale {
		text += fmt.Sprintf(", a cached response %s old", r.Age)
	}
	if r.RequestID != "" {
		text += " (request " + safeText(r.RequestID) + ")"
	}
	return text
}

// call is one call of the API on its way down the layers and back. It is the context of the call's
// requests, so that each layer finds it; Done is the caller's own channel, so that net/http needs
// no goroutine to watch a foreign one.
//
// One goroutine at a time works on a call; what outlives it in net/http (dialing) reads nothing but
// Context.
//
// Every call has one, so it is kept small: what few calls need is a record of its own, made for
// those, and what can be told from other fields has none.
type call struct {
	context.Context // the caller's
	client          *agent

	// What to send. Fixed before the layers see it.
	method      string
	route       *routes.Route // nil: not a route we know
	concrete    string        // the escaped path below the base URL
	url         *url.URL
	header      http.Header // the caller's own headers; nil: none
	body        []byte
	contentType string
	requestID   string
	group       string // the breaker's endpoint group
	auth        routes.Auth
	idempotent  bool // may be repeated although the server may have acted
	declared    bool // it is so by the caller's word
	singleUse   bool // consumes a token: never sent twice
	mutation    bool // may change something at the server
	noCache     bool
	close       bool // the connection is to be closed afterwards
	maxAttempts int
	// instead of the policy's; 0: that, negative: none
	attemptTimeout time.Duration
	start          time.Time
	most           time.Duration // the whole call, from start; RetryPolicy.MaxElapsed; 0: no bound
	response       *Response

	// What happened. Written by the layer named.
	token     string // session: the access token of the current send
	owner     string // session: the principal in whose name it began
	signIn    uint32 // session: the sign-in with which it began
	era       uint32 // session: of the token
	own       uint8  // session: refreshes of this process that it has waited for
	owned     bool   // session: owner and signIn are set
	refreshed bool   // session
	probe     bool   // breaker: half-open, the attempt must end
	crowded   bool   // breaker: the attempt's 503 was one of many
	excused   bool   // breaker: the attempt was lost together with others, which is no failure
	sent      bool   // wire: this attempt reached the transport
	unread    bool   // wire: a body may have been left unread on the connection
	repeats   int    // wire: sendings in history that were made again at once
	began     time.Time
	wait      time.Duration
	// session: nil, or the presentation of a refresh token that this is
	presenting *presentation
	attempts   int // retry
	history    []Attempt
	// most calls have one attempt: its record needs no allocation of its own
	firsts   [1]Attempt
	retrying retrying        // retry
	last     *APIError       // retry: the server's last response that was an error
	observed context.Context //nolint:containedctx // the observer's, handed back to it; nil: none
	stale    *staleness      // cache: nil, or what is known of the cached response that is served
	caching  caching         // cache
	// cache: nil, or how long the call is tried while a cached response is at hand
	patience *patience
	// the server's last word was a 4xx, or the gate holds: set from there to the next send
	refused        atomic.Bool
	unknown        bool // retry: a mutation may have been applied
	late           bool // retry: the caller's deadline stops the call although a response was there
	status         int  // the last response's
	responseHeader http.Header
	responseBody   []byte // of what the caller gets
}

// staleness is what is known of a cached response that is served.
type staleness struct {
	age     time.Duration
	failure error // what the caller would have got instead
}

// presentation is the sending of a refresh token.
type presentation struct {
	by     time.Time    // it may not leave later; zero: no limit
	leftAt atomic.Int64 // wire: when it left last, or was about to, in ns after the call began
}

// keeper caches a good response, once it has proved to be what the route promises.
type keeper interface {
	keep(cl *call, resp *http.Response, asked, signIn uint64)
}

// caching is what that needs.
type caching struct {
	by            keeper // nil: not to be cached
	asked, signIn uint64 // from before the call was sent
}

// retrying is what the retry layer knows of a call.
type retrying struct {
	draws  *jitter.Series // of waits; made on the first failure
	wait   time.Duration  // before the next attempt
	free   bool           // a 429's free retry has been used
	again  bool           // once more does no harm, though the server may have acted
	noMore string         // why there is no other attempt
}

// groupRefresh is the circuit of token refreshes, apart from those of calls.
const groupRefresh = "refresh"

// newCall settles everything about a call that is known before its options.
func (a *agent) newCall(ctx context.Context, method string, r *routes.Route, concrete, query string) (*call, error) {
	if ctx == nil {
		return nil, invalid("ctx", CodeRequired, "must not be nil")
	}
	cl := &call{
		Context: ctx, client: a, method: method, route: r, concrete: concrete,
		maxAttempts: a.cfg.retry.MaxAttempts, start: time.Now(), auth: authFor(r, concrete),
		mutation: !isRead(method), idempotent: repeatable(method), header: a.cfg.headers.Clone(),
		most: max(a.cfg.retry.MaxElapsed, 0),
	}
	if r != nil {
		cl.idempotent = r.Has(routes.Repeatable)
		cl.singleUse = r.Has(routes.SingleUse)
		// A GET that consumes a token changes something, whatever its method says.
		cl.mutation = cl.mutation || cl.singleUse
	}
	cl.url = a.fam.url(concrete, query)
	cl.group = a.cfg.breaker.Group(method, concrete)
	return cl, nil
}

// settle applies what the options have said last: WithIdempotent never reaches a route that
// consumes a token.
func (cl *call) settle() {
	if cl.singleUse {
		cl.idempotent = false
	}
	if cl.requestID = cl.header.Get("X-Request-ID"); cl.requestID == "" {
		cl.requestID = cl.client.cfg.requestID(cl.Context)
	}
	if cl.ownCredential("Authorization", routes.AuthBearer) || cl.ownCredential("X-Api-Key", routes.AuthAPIKey) {
		cl.auth = routes.AuthNone
		cl.noCache = true // we cannot tell whose response it would be
	}
}

// ownCredential reports whether the caller has said with what credential the call goes out. An
// empty one means without any.
func (cl *call) ownCredential(key string, auth routes.Auth) bool {
	values, own := cl.header[key]
	if own && (len(values) == 0 || values[0] == "") {
		delete(cl.header, key)
	}
	return own && cl.auth == auth
}

type callKey struct{}

// String names the call. A transport or a hook that prints a request's context must not print what
// the call carries, tokens among it.
func (cl *call) String() string { return "authos.call(" + cl.method + " " + cl.path() + ")" }

// Format implements [fmt.Formatter] for every verb, as String.
func (cl *call) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, cl.String()) }

// Value implements [context.Context]: the layers find the call, everybody else the caller's values,
// and those that [Observer.CallStart] has added.
func (cl *call) Value(key any) any {
	if key == (callKey{}) {
		return cl
	}
	return cl.watch().Value(key)
}

// path is for errors, logs and rules: the route's template, or the literal path; never a query.
func (cl *call) path() string {
	if cl.route != nil {
		return cl.route.Template
	}
	return cl.concrete
}

// callOf is the call a request belongs to. Every request in the layers has one: do and the entry of
// HTTPClient see to it.
func callOf(req *http.Request) *call {
	cl, _ := req.Context().Value(callKey{}).(*call)
	return cl
}

// ends is when the call has taken as long as the policy allows; zero: never.
func (cl *call) ends() time.Time {
	if cl.most == 0 {
		return time.Time{}
	}
	return cl.start.Add(cl.most)
}

// left is how much time the call has: until the caller's deadline or the policy's MaxElapsed,
// whichever is first. byCaller says that it is the caller's. ok is false when there is no limit.
func (cl *call) left() (d time.Duration, byCaller, ok bool) {
	limit := cl.ends()
	if dl, has := cl.Deadline(); has && (limit.IsZero() || dl.Before(limit)) {
		limit, byCaller = dl, true
	}
	if limit.IsZero() {
		return 0, false, false
	}
	return time.Until(limit), byCaller, true
}

// fits reports whether a wait leaves time for an attempt. Where the caller's deadline forbids it,
// that is recorded as what ended the call, so that errors.Is finds [context.DeadlineExceeded]
// beside the last response.
func (cl *call) fits(wait time.Duration) bool {
	left, byCaller, ok := cl.left()
	if !ok || wait < left {
		return true
	}
	if byCaller {
		cl.late = true
	}
	return false
}

// pause waits, and gives the context's error as a [*NetworkError] when the caller leaves first.
func (cl *call) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		cl.wait += d
		return nil
	case <-cl.Done():
		return cl.ended("wait")
	case <-cl.client.ended():
		return &NetworkError{Op: "wait", Err: errClosed, unsent: true}
	case <-cl.client.fam.closing.ctx.Done():
		return &NetworkError{Op: "wait", Err: errClosed, unsent: true}
	}
}

// ended is the error of a call whose context is done while nothing is in flight.
func (cl *call) ended(op string) *NetworkError {
	return &NetworkError{Op: op, Err: contextEnd(cl), unsent: true}
}

// record notes how an attempt ended.
func (cl *call) record(a Attempt) {
	if cl.history == nil {
		cl.history = cl.firsts[:0]
	}
	cl.history = append(cl.history, a)
	cl.attempts++
}

// fail completes a layer's error with what is known of the whole call. It is called once, at the
// end.
func (cl *call) fail(err error) error {
	if cl.client == nil {
		return err
	}
	end := callEnd{
		method: cl.method, path: cl.path(), requestID: cl.requestID, attempts: cl.attempts,
		unknown: cl.unknown, last: cl.last, noMore: cl.retrying.noMore, at: time.Now(),
		repeatable: cl.retrying.again, base: cl.client.cfg.retry.BaseDelay,
	}
	if cl.late {
		end.cause = context.DeadlineExceeded
	}
	switch e := err.(type) { //nolint:errorlint // our own layers' errors, never wrapped
	case *APIError:
		end.last = nil
		cl.describe(e)
		e.callEnd = end
		return cl.refine(e)
	case *NetworkError:
		e.Method, e.Path, e.Attempts, e.History, e.ClientRequestID = cl.method, cl.path(), cl.attempts, cl.history, cl.requestID
		e.callEnd = end
	case *DecodeError:
		e.Method, e.Path = cl.method, cl.path()
		if e.RequestID == "" {
			e.RequestID = cl.requestID
		}
		// The response was a good one: what an earlier attempt met is no longer of interest. What a
		// request that changes something has done, nobody can tell from it.
		end.last = nil
		end.unknown = end.unknown || cl.mutation
		e.callEnd = end
	case interface{ end() *callEnd }:
		if own := e.end().last; own != nil {
			end.last = own
		}
		*e.end() = end
	default:
		return err
	}
	if end.last != nil {
		cl.describe(end.last)
	}
	return err
}

// describe puts the call's own facts on the server's response.
func (cl *call) describe(e *APIError) {
	e.Method, e.Path, e.Attempts, e.History, e.ClientRequestID = cl.method, cl.path(), cl.attempts, cl.history, cl.requestID
	if e.RequestID == "" {
		e.RequestID = cl.requestID
	}
	e.unknown = cl.unknown
	e.note = cl.noteOn(e)
}

// refine gives the more telling type where there is one; both unwrap to the *APIError.
func (cl *call) refine(e *APIError) error {
	switch {
	case e.effectiveStatus() == http.StatusTooManyRequests:
		return &RateLimitError{RetryAfter: e.RetryAfter, Limit: e.RateLimit, API: e, callEnd: e.callEnd}
	case e.effectiveStatus() == http.StatusBadRequest || e.effectiveStatus() == http.StatusUnprocessableEntity:
		if len(e.Fields) > 0 || e.Code.means(CodeValidationError) {
			return &ValidationError{Fields: e.Fields, API: e, callEnd: e.callEnd}
		}
	}
	return e
}

// scrub takes the call's own credentials out of the texts of a response that repeats them, and lets
// what is printed of it do without what the request held.
func (cl *call) scrub(e *APIError) *APIError {
	var replace []string
	for _, secret := range cl.credentials() {
		if len(secret) >= minCredential {
			replace = append(replace, secret, redacted)
		}
	}
	masked := strings.NewReplacer(replace...)
	found := false
	e.eachText(func(text *string) {
		*text = masked.Replace(*text)
		found = true
	})
	if found {
		e.hideValues(cl.appendSent(nil))
	}
	return e
}

// credentials are what proves who sends the call: ours, and those among the caller's own headers.
func (cl *call) credentials() []string {
	all := []string{cl.token, cl.client.cfg.apiKey}
	for _, name := range []string{"Authorization", "Proxy-Authorization", "X-Api-Key"} {
		for _, value := range cl.header[name] {
			_, credential, _ := strings.Cut(value, " ")
			plain, err := base64.StdEncoding.DecodeString(credential) // of Basic: user and password
			if _, password, ok := strings.Cut(string(plain), ":"); err == nil && ok {
				all = append(all, string(plain), password)
			}
			all = append(all, value, credential)
		}
	}
	for _, line := range cl.header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			_, value, _ := strings.Cut(cookie, "=")
			all = append(all, strings.TrimSpace(value))
		}
	}
	return all
}

// appendSent appends what the caller put into the request: passwords, e-mail addresses, the token
// of a link, values of headers.
func (cl *call) appendSent(values []string) []string {
	encoded := []string{cl.url.RawQuery}
	if cl.contentType == "application/x-www-form-urlencoded" {
		encoded = append(encoded, string(cl.body))
	} else {
		for text := range jsonscan.Texts(cl.body) {
			values = append(values, text)
		}
	}
	for _, text := range encoded {
		form, _ := url.ParseQuery(text)
		for _, each := range form {
			values = append(values, each...)
		}
	}
	for name, each := range cl.header {
		if !notVarying[name] {
			values = append(values, each...)
		}
	}
	return values
}

// fill writes what the caller asked for with [WithResponse].
func (cl *call) fill(err error) {
	if cl.response == nil {
		return
	}
	*cl.response = Response{
		StatusCode: cl.status, Header: cl.responseHeader, Body: cl.responseBody,
		RequestID: cl.requestID, Attempts: cl.attempts, History: cl.history, Duration: time.Since(cl.start),
		Refreshed: cl.refreshed, RateLimit: rateLimitOf(httpfield.ParseRateLimit(cl.responseHeader)),
	}
	if cl.stale != nil {
		cl.response.Stale, cl.response.Age, cl.response.Cause = true, cl.stale.age, cl.stale.failure
		cl.response.Body = bytes.Clone(cl.responseBody) // the store may hold the same bytes
	}
	if cl.response.Body == nil && cl.last != nil {
		cl.response.Body = cl.last.Body
	}
	if id := serverRequestID(cl.responseHeader); id != "" {
		cl.response.RequestID = id
	} else if e, ok := errors.AsType[*APIError](err); ok {
		cl.response.RequestID = e.RequestID // also from a body
	}
}

// serverRequestID is the id the server gave the request in a header; empty when it gave none.
func serverRequestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "Request-Id", "X-Correlation-Id"} {
		if values := h[name]; len(values) > 0 && values[0] != "" {
			return values[0]
		}
	}
	return ""
}
