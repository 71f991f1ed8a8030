package authos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Client talks to one AuthOS server as one principal. It is safe for concurrent use; make one and keep it.
// [Client.With] gives further principals on the same connections.
type Client struct { //nolint:recvcheck // a copy must not print credentials either
	// User is the signed-in user.
	User *UserService
	// Auth signs in and out and renews tokens.
	Auth *AuthService
	// Service is the server-to-server side, which an API key opens.
	Service *ServiceAPI

	cfg     *config
	fam     *family
	session *session
	stack   http.RoundTripper
}

// The bounds of what is read from the network.
const (
	maxAnswer      = 16 << 20 // bytes of a good answer; more is a *DecodeError
	maxErrorBody   = 64 << 10 // bytes kept of an error's body
	maxHeaderBytes = 256 << 10
	maxRedirects   = 10 // as net/http
)

// New makes a client of the AuthOS server at baseURL, such as "https://sso.example.com" or, behind a proxy,
// "https://example.com/sso". It checks everything and sends nothing. An http:// URL is refused unless its host is a loopback
// address or [WithInsecureHTTP] is given.
func New(baseURL string, opts ...Option) (*Client, error) {
	cfg := newConfig()
	err := cfg.applyAll(opts)
	base, origin, urlErr := parseBase(baseURL, cfg.insecureHTTP)
	if err := errors.Join(urlErr, err); err != nil {
		return nil, err
	}
	fam := &family{base: base, origin: origin, budget: newBudget(cfg.retry.Budget), breakers: newBreakers(base.Host, cfg.breaker)}
	fam.closing.ctx, fam.closing.end = context.WithCancel(context.Background()) //nolint:fatcontext // false: no literal here
	fam.connect(cfg.httpClient)
	if cfg.cache != nil {
		fam.cache = newAnswerCache(*cfg.cache, base.String())
	}
	c := newClient(&cfg, fam, newSession(&cfg))
	fam.breakers.report = c.observeBreaker
	return c, nil
}

// With makes a client for another principal, language, retry policy or observer on the same connections, breakers, rate-limit
// gates, retry budget and kept answers. Options not given are as in c; new tokens or a new store start a session of their own.
// WithHTTPClient, WithBreaker, WithCache, WithInsecureHTTP and a retry budget belong to the whole family and are refused.
func (c *Client) With(opts ...Option) (*Client, error) {
	cfg := *c.cfg
	cfg.tokens, cfg.store = Tokens{}, nil
	var errs []error
	for _, o := range opts {
		if o.shared() {
			errs = append(errs, fmt.Errorf("authos: %s belongs to all clients that share connections: give it to New", o.name))
		}
	}
	errs = append(errs, cfg.applyAll(opts))
	if cfg.retry.Budget != c.cfg.retry.Budget {
		errs = append(errs, errors.New("authos: WithRetry: the budget belongs to all clients that share connections: give it to New"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	sess := c.session
	switch {
	case cfg.store != nil || !cfg.tokens.isZero():
		sess = newSession(&cfg)
	case cfg.refreshBefore != c.cfg.refreshBefore:
		return nil, errors.New("authos: WithRefreshBefore belongs to a session: give it together with tokens or a store")
	}
	return newClient(&cfg, c.fam, sess), nil
}

func newClient(cfg *config, fam *family, sess *session) *Client {
	c := &Client{cfg: cfg, fam: fam, session: sess}
	c.stack = c.assemble()
	c.User = &UserService{c}
	c.Auth = &AuthService{c}
	c.Service = &ServiceAPI{c: c, Users: &ServiceUsersService{c}}
	return c
}

// assemble puts the layers around the transport, outermost first.
func (c *Client) assemble() http.RoundTripper {
	return chain(c.fam.transport,
		c.staleFallback, // outermost: it speaks only when everything below gave up
		c.retries,       // each attempt below is authorized and judged on its own
		c.authorize,     // inside retry: a long wait can outlive a token, and a renewal spends no retry
		c.breaking,      // inside retry: it counts what the network did, and an open circuit ends the loop
		c.wiring,        // reads the whole bounded body inside the attempt, and parses an error once
	)
}

func chain(rt http.RoundTripper, layers ...func(next http.RoundTripper) http.RoundTripper) http.RoundTripper {
	for _, layer := range slices.Backward(layers) {
		if wrapped := layer(rt); wrapped != nil {
			rt = wrapped
		}
	}
	return rt
}

// Do calls any route with the same protection as the typed methods.
//
// path begins with a slash, is already escaped, and may have a query; absolute URLs, "//host" and dot segments are refused.
// /api/service/* carries the API key; public routes, /oauth* and /scim/* carry no credential of the client; the rest carries the
// bearer token. in is nil, a value (sent as JSON) or [url.Values] (a form; the query for GET and HEAD). out is nil, a pointer to
// a value (decoded from JSON), or a *[]byte (the body as it is).
//
// It returns every error type of this package. A GET may be repeated; whether another method may is the route's mark, for unknown
// routes the method's meaning (RFC 9110, section 9.2.2), or [WithIdempotent].
func (c *Client) Do(ctx context.Context, method, path string, in, out any, opts ...RequestOption) error {
	concrete, query, err := splitPath(path)
	if err != nil {
		return err
	}
	method = strings.ToUpper(method)
	if !isToken(method) {
		return invalid("method", CodeInvalidFormat, "must be an HTTP method")
	}
	cl, err := c.newCall(ctx, method, matchRoute(method, concrete), concrete, query)
	if err != nil {
		return err
	}
	if err := cl.encode(in); err != nil {
		return err
	}
	return c.exchange(cl, out, opts)
}

// call is the typed methods' way in: a known route, its path parameters, an optional query and body.
func (c *Client) call(
	ctx context.Context, method, template string, args []string, query url.Values, in, out any, opts []RequestOption,
) error {
	cl, err := c.newCall(ctx, method, routeByTemplate(method, template), expand(template, args), query.Encode())
	if err != nil {
		return err
	}
	if err := cl.encode(in); err != nil {
		return err
	}
	return c.exchange(cl, out, opts)
}

// newCall settles everything about a call that is known before its options.
func (c *Client) newCall(ctx context.Context, method string, r *route, concrete, query string) (*call, error) {
	if ctx == nil {
		return nil, invalid("ctx", CodeRequired, "must not be nil")
	}
	cl := &call{
		Context: ctx, caller: ctx, client: c, method: method, route: r, path: concrete, concrete: concrete,
		maxAttempts: c.cfg.retry.MaxAttempts, start: time.Now(), auth: authFor(r, concrete),
		mutation: !isRead(method), idempotent: repeatable(method),
	}
	if r != nil {
		cl.path = r.template
		cl.idempotent = r.has(flagRepeatable)
		cl.singleUse = r.has(flagSingleUse)
		// A GET that consumes a token changes something, whatever its method says.
		cl.mutation = cl.mutation || cl.singleUse
	}
	cl.url = c.fam.url(concrete, query)
	cl.group = c.cfg.breaker.Group(method, concrete)
	if c.cfg.retry.MaxElapsed > 0 {
		cl.deadline = cl.start.Add(c.cfg.retry.MaxElapsed)
	}
	return cl, nil
}

// encode makes the request's body once; every attempt sends the same bytes.
func (cl *call) encode(in any) error {
	switch v := in.(type) {
	case nil:
		return nil
	case url.Values:
		if isRead(cl.method) {
			// url.Values is a query where there is no body. cl owns its URL: newCall made it.
			cl.url.RawQuery = strings.TrimPrefix(cl.url.RawQuery+"&"+v.Encode(), "&")
			return nil
		}
		cl.body, cl.contentType = []byte(v.Encode()), "application/x-www-form-urlencoded"
		return nil
	case io.Reader:
		return invalid("in", CodeInvalidFormat, "must be a value, not a reader: a body that cannot be read twice cannot be sent twice")
	}
	if isRead(cl.method) {
		return invalid("in", CodeInvalidFormat, cl.method+" takes no body; use url.Values for a query")
	}
	body, err := json.Marshal(in)
	if err != nil {
		return invalid("in", CodeInvalidFormat, "cannot be encoded as JSON: "+err.Error())
	}
	cl.body, cl.contentType = body, "application/json"
	return nil
}

// exchange runs a call through the layers and decodes its answer. It is the one place that returns *APIError.
func (c *Client) exchange(cl *call, out any, opts []RequestOption) error {
	for _, o := range opts {
		if o.apply == nil {
			return invalid("option", CodeInvalidFormat, "zero RequestOption")
		}
		if err := o.apply(cl); err != nil {
			return err
		}
	}
	if v := reflect.ValueOf(out); out != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return invalid("out", CodeInvalidFormat, "must be a non-nil pointer, or nil")
	}
	cl.settle()
	resp, err := c.roundTrip(cl)
	if err == nil {
		err = cl.decode(resp, out)
		switch {
		case err == nil:
			cl.keep(resp)
		case cl.stale:
			cl.stale, cl.age, err = false, 0, cl.failure // what was kept is of no use
		}
	}
	if err != nil {
		err = cl.fail(err)
	}
	cl.fill(err)
	c.observeDone(cl, err)
	return err
}

// settle applies what the options have said last: WithIdempotent never reaches a route that consumes a token.
func (cl *call) settle() {
	if cl.singleUse {
		cl.idempotent = false
	}
	if cl.requestID = cl.header.Get("X-Request-ID"); cl.requestID == "" {
		cl.requestID = cl.client.cfg.requestID(cl.caller)
	}
	if cl.header.Get("Authorization") != "" && cl.auth == authBearer || cl.header.Get("X-Api-Key") != "" && cl.auth == authAPIKey {
		cl.auth = authNone
		cl.noCache = true // we cannot tell whose answer it would be
	}
}

// roundTrip sends a call down the layers.
func (c *Client) roundTrip(cl *call) (*http.Response, error) {
	c.observeStart(cl)
	if c.fam.closing.closed.Load() {
		return nil, &NetworkError{Op: "send", Err: errClosed}
	}
	req := (&http.Request{
		Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: http.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(cl)
	resp, err := c.stack.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	cl.status, cl.answered = resp.StatusCode, resp.Header
	return resp, nil
}

// decode gives out what the answer holds.
func (cl *call) decode(resp *http.Response, out any) error {
	if e := errorOf(resp); e != nil {
		return e
	}
	body := bodyOf(resp)
	wrong := func(err error) error {
		return &DecodeError{
			StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RequestID: serverRequestID(resp.Header),
			Err: err, Body: body[:min(len(body), maxErrorBody)],
		}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return wrong(errors.New("neither a success nor an error"))
	}
	switch out := out.(type) {
	case nil:
		// Nothing is wanted of the body, but a page is no answer of a route that takes a credential: with a wrong base URL the server's
		// own web pages answer 200 to anything.
		if cl.route != nil && cl.route.auth != authNone && isPage(body) {
			return wrong(errPage)
		}
		return nil
	case *[]byte:
		*out = body
		if cl.stale {
			*out = bytes.Clone(body) // the store may hold the same bytes
		}
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 || bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		if cl.mayBeEmpty(resp.StatusCode, body) {
			return nil
		}
		return wrong(errors.New("empty body"))
	}
	if err := json.Unmarshal(body, out); err != nil {
		if isPage(body) {
			err = errPage
		}
		return wrong(err)
	}
	if p, ok := out.(interface{ missing() string }); ok {
		if name := p.missing(); name != "" {
			return wrong(errors.New("without " + name))
		}
	}
	return nil
}

var errPage = errors.New("HTML instead of JSON: is the base URL right?")

func isPage(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// mayBeEmpty says whether an empty or null success is the answer the route promises. Nothing is known of an unknown route, so that
// 204 and null speak for themselves there.
func (cl *call) mayBeEmpty(status int, body []byte) bool {
	if cl.method == http.MethodDelete && status == http.StatusNoContent {
		return true // what a DELETE of something that is gone already ends with
	}
	if cl.route != nil {
		return cl.route.has(flagEmpty)
	}
	return status == http.StatusNoContent || len(body) > 0
}

// answer is the body of every response inside the layers: the whole bounded body, read within its attempt, and the parsed error.
type answer struct {
	bytes.Reader
	data []byte
	err  *APIError
}

// Close implements [io.Closer]; nothing is held.
func (*answer) Close() error { return nil }

func newAnswer(data []byte, err *APIError) *answer {
	a := &answer{data: data, err: err}
	a.Reset(data)
	return a
}

func errorOf(resp *http.Response) *APIError {
	if a, ok := resp.Body.(*answer); ok {
		return a.err
	}
	return nil
}

func bodyOf(resp *http.Response) []byte {
	if a, ok := resp.Body.(*answer); ok {
		return a.data
	}
	return nil
}

// wire is the innermost layer: it sends one request, bounds its time and its answer, and parses an error body.
type wire struct {
	next    http.RoundTripper
	timeout time.Duration // of one attempt, body included; 0: none
}

func (c *Client) wiring(next http.RoundTripper) http.RoundTripper {
	w := &wire{next: next, timeout: max(c.cfg.retry.AttemptTimeout, 0)}
	if hc := c.cfg.httpClient; hc != nil && hc.Timeout > 0 && (w.timeout == 0 || hc.Timeout < w.timeout) {
		w.timeout = hc.Timeout
	}
	return w
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if cl.Err() != nil {
		return nil, cl.ended("send")
	}
	ctx, cancel := w.bound(cl)
	defer cancel()
	var p *passage
	if cl.mutation {
		p = new(passage)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GetConn: func(string) { p.asked.Store(true) },
			GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) },
		})
	}
	out := req.WithContext(ctx)
	cl.dress(out)
	cl.sent = true
	cl.refused.Store(false)
	resp, err := w.next.RoundTrip(out)
	if err != nil {
		return nil, cl.networkError("send", err, p)
	}
	limit := int64(maxAnswer)
	if resp.StatusCode >= 400 {
		limit = maxErrorBody
	}
	data, err := readBounded(resp, limit)
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 400:
		// A status has arrived: whatever became of its body, that is the answer.
		resp.Body = newAnswer(data, cl.scrub(parseError(resp.StatusCode, resp.Header, data, time.Now())))
	case errors.Is(err, errTooLarge):
		return nil, &DecodeError{
			StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RequestID: serverRequestID(resp.Header),
			Err: err, Body: data[:maxErrorBody],
		}
	case err != nil:
		return nil, cl.networkError("read body", err, nil)
	case errorInSuccess(data):
		resp.Body = newAnswer(data, cl.scrub(parseError(resp.StatusCode, resp.Header, data, time.Now())))
	default:
		resp.Body = newAnswer(data, nil)
	}
	resp.ContentLength = int64(len(data))
	return resp, nil
}

// dress gives the attempt's own copy of a request its headers. They are made anew for each attempt: net/http would hand one header map
// to all of them, and puts a Referer with the query on a redirect.
func (cl *call) dress(out *http.Request) {
	h := make(http.Header, 8)
	values := make([]string, 0, 8)
	set := func(key, value string) {
		if value == "" || cl.header[key] != nil {
			return
		}
		values = append(values, value)
		h[key] = values[len(values)-1 : len(values) : len(values)]
	}
	cfg := cl.client.cfg
	set("Accept", "application/json")
	set("Accept-Language", cfg.languages)
	set("User-Agent", cfg.userAgent)
	set("X-Request-Id", cl.requestID)
	set("Content-Type", cl.contentType)
	switch cl.auth {
	case authBearer:
		if cl.token != "" {
			set("Authorization", "Bearer "+cl.token)
		}
	case authAPIKey:
		set("X-Api-Key", cfg.apiKey)
	case authNone:
	}
	maps.Copy(h, cl.header)
	if cookies := out.Header["Cookie"]; cookies != nil {
		h["Cookie"] = cookies // of the caller's own http.Client with a Jar
	}
	out.Header = h
	if cl.body != nil {
		// The resend after a renewal belongs to the same attempt, and needs the body from its start too. net/http itself sends again
		// what certainly did not arrive: over a connection that was dead before the first byte, on a refused HTTP/2 stream.
		out.GetBody = func() (io.ReadCloser, error) { return newAnswer(cl.body, nil), nil }
		out.Body, _ = out.GetBody()
	}
	// Reads and what has an Idempotency-Key net/http also sends again after a reset. A body that cannot be rewound prevents that.
	if !cl.idempotent && (isRead(cl.method) || h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil) {
		out.GetBody = nil
		if out.Body == nil {
			out.Body = new(onceEmpty)
		}
	}
}

// bound gives an attempt its time. A probe of a half-open circuit always has a limit: one that hung would keep the circuit
// half-open for ever.
func (w *wire) bound(cl *call) (context.Context, context.CancelFunc) {
	timeout := w.timeout
	if timeout == 0 && cl.probe {
		timeout = defaultAttemptTimeout
	}
	if !cl.deadline.IsZero() {
		if left := time.Until(cl.deadline); timeout == 0 || left < timeout {
			timeout = max(left, time.Nanosecond)
		}
	}
	if timeout == 0 {
		return cl, func() {}
	}
	return context.WithTimeoutCause(cl, timeout, errAttemptTimeout)
}

// onceEmpty is an empty body that net/http cannot rewind.
type onceEmpty struct{}

func (*onceEmpty) Read([]byte) (int, error) { return 0, io.EOF }
func (*onceEmpty) Close() error             { return nil }

// attemptTimeout is the end of an attempt's own time, which is not the caller's deadline.
type attemptTimeout struct{}

func (attemptTimeout) Error() string        { return "no answer within the attempt's timeout" }
func (attemptTimeout) Timeout() bool        { return true }
func (attemptTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

var errAttemptTimeout = attemptTimeout{}

// networkError says why there is no answer.
func (cl *call) networkError(op string, err error, p *passage) *NetworkError {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	e := &NetworkError{Op: op, Method: cl.method, Path: cl.path, Err: err}
	oe, isOp := errors.AsType[*net.OpError](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	if p.neverLeft() || isDNS || isOp && (oe.Op == "dial" || oe.Op == "proxyconnect") {
		e.Op, e.unsent = "dial", true
	}
	switch {
	case cl.Err() != nil:
		e.Err = contextEnd(cl)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		e.Err = errAttemptTimeout // the caller is still there, so it was our own timer
	}
	return e
}

var errTooLarge = fmt.Errorf("larger than %d MiB", maxAnswer>>20)

// readBounded reads a body of at most limit bytes. More than that is errTooLarge, with the first limit bytes.
func readBounded(resp *http.Response, limit int64) ([]byte, error) {
	size := int64(512)
	if resp.ContentLength >= 0 {
		size = resp.ContentLength + 1 // room to meet io.EOF without growing
	}
	data := make([]byte, 0, min(size, limit+1, 1<<20))
	for {
		n, err := resp.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return data[:limit], errTooLarge
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return data, nil
		case err != nil:
			return data, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// scrub takes the call's own credentials out of the texts of an answer that repeats them, and what the request held out of what is
// printed of them.
func (cl *call) scrub(e *APIError) *APIError {
	for _, secret := range []string{cl.token, cl.client.cfg.apiKey} {
		if secret == "" || !bytes.Contains(e.Body, []byte(secret)) {
			continue
		}
		e.Message = strings.ReplaceAll(e.Message, secret, redacted)
		for i := range e.Fields {
			e.Fields[i].Message = strings.ReplaceAll(e.Fields[i].Message, secret, redacted)
		}
	}
	printed := e.print(cl.texts())
	e.said = &printed
	return e
}

// texts are what the caller put into the request: passwords, e-mail addresses, the token of a link.
func (cl *call) texts() any {
	var body any
	_ = json.Unmarshal(cl.body, &body) // nil for a form
	texts := []any{body}
	for _, encoded := range []string{cl.url.RawQuery, string(cl.body)} {
		values, _ := url.ParseQuery(encoded)
		for _, each := range values {
			for _, text := range each {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// Close ends the client and all that were made from it by [Client.With]: it waits for a renewal of tokens that is in flight, which
// lasts no longer than an attempt, since its answer would be lost otherwise; then it closes idle connections. Calls made
// afterwards fail with [net.ErrClosed]. It always returns nil, so that it can be deferred.
func (c *Client) Close() error {
	c.fam.closing.close()
	if c.fam.own != nil {
		c.fam.own.CloseIdleConnections()
	}
	return nil
}

// SetTokens replaces the session's tokens, saves them, and forgets that a renewal was refused. Zero tokens sign out: they are
// deleted from the store and everything kept for the principal is forgotten. The tokens are in use even when saving them fails,
// which is what a returned error means.
func (c *Client) SetTokens(ctx context.Context, t Tokens) error {
	if !t.isZero() {
		if err := t.check(); err != nil {
			return err
		}
	}
	return c.setTokens(ctx, t)
}

// Tokens gives the tokens now held, read from the store on first use. It returns the store's error.
func (c *Client) Tokens(ctx context.Context) (Tokens, error) { return c.held(ctx) }

// String names the server; it holds no credentials, as no format verb does.
func (c Client) String() string { return "authos.Client(" + c.fam.origin + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print credentials.
func (c Client) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue implements [slog.LogValuer].
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
