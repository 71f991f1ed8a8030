package authos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// Client talks to one AuthOS server as one principal. It is safe for concurrent use; make one and
// keep it. [Client.With] gives further principals on the same connections.
type Client struct { //nolint:recvcheck // a copy must not print credentials either
	// User is the signed-in user.
	User *UserService
	// Auth signs in and out and refreshes tokens.
	Auth *AuthService
	// Organizations are the tenants the signed-in user belongs to, and everything in them.
	Organizations *OrganizationsService
	// Invitations are those to the signed-in user.
	Invitations *UserInvitationsService
	// Service is the server-to-server side, which an API key opens.
	Service *ServiceAPI
	// Platform is for the owners of the platform: all organizations, tiers, users.
	Platform *PlatformService
	// Privacy exports and forgets what the server knows of a user.
	Privacy *PrivacyService
	// Server says how the server is, and publishes its keys.
	Server *ServerService

	cfg      *config
	fam      *family
	session  *session
	sessions *sessions // the family's
	stack    http.RoundTripper
	below    http.RoundTripper // the layers below the session
	done     chan struct{}     // closed with this client
	closed   *atomic.Bool
	root     bool // made by New
}

// New makes a client of the AuthOS server at baseURL, such as "https://sso.example.com" or, behind
// a proxy, "https://example.com/sso". It checks everything and sends nothing. An http:// URL is
// refused unless its host is a loopback address or [WithInsecureHTTP] is given. What it refuses is
// one [*ValidationError] that names every bad option.
func New(baseURL string, opts ...Option) (*Client, error) {
	cfg := newConfig()
	found := cfg.applyAll(opts)
	base, origin, err := parseBase(baseURL, cfg.insecureHTTP)
	found.refuse("baseURL", err)
	if err := found.err(nil); err != nil {
		return nil, err
	}
	fam := &family{base: base, origin: origin, budget: newBudget(cfg.retry.Budget), breakers: newBreakers(base.Host, cfg.breaker)}
	fam.closing.ctx, fam.closing.end = context.WithCancel(context.Background()) //nolint:fatcontext // false: no literal here
	all := newSessions()
	fam.connect(cfg.httpClient)
	fam.transport = cfg.wrapped(fam.transport)
	if cfg.cache != nil {
		fam.cache = newResponseCache(*cfg.cache, base.String())
	}
	found.refuse("WithTokens", fam.admit(cfg.tokens))
	if err := found.err(nil); err != nil {
		return nil, err
	}
	c := newClient(&cfg, fam, newSession(&cfg, fam, all), all)
	c.root = true
	fam.breakers.report = c.observeBreaker
	return c, nil
}

// With makes a client for another principal, language, retry policy or observer on the same
// connections, breakers, rate-limit gates, retry budget and cached responses. Options not given are
// as in c. Tokens of a session that another client of the family has, or a store that one uses, are
// that one's session: it is refreshed once for all of them; others start one of their own.
// WithHTTPClient, WithBreaker, WithCache, WithInsecureHTTP and a retry budget belong to the whole
// family and are refused. Errors are as those of [New].
func (c *Client) With(opts ...Option) (*Client, error) {
	cfg := *c.cfg
	cfg.tokens, cfg.store = Tokens{}, nil
	found := cfg.applyAll(opts)
	for _, o := range opts {
		if o.family {
			found.add(o.name, CodeInvalidFormat, "belongs to all clients that share connections: give it to New")
		}
	}
	if cfg.retry.Budget != c.cfg.retry.Budget {
		found.add("WithRetry", CodeInvalidFormat, "the budget belongs to all clients that share connections: give it to New")
	}
	if err := found.err(nil); err != nil {
		return nil, err
	}
	sess := c.session
	switch {
	case cfg.store != nil || !cfg.tokens.isZero():
		found.refuse("WithTokens", c.fam.admit(cfg.tokens))
		if err := found.err(nil); err != nil {
			return nil, err
		}
		if sess = c.sessions.find(&cfg); sess == nil {
			sess = newSession(&cfg, c.fam, c.sessions)
		}
	case cfg.refreshBefore != c.cfg.refreshBefore:
		return nil, invalid("WithRefreshBefore", CodeInvalidFormat, "belongs to a session: give it together with tokens or a store")
	}
	return newClient(&cfg, c.fam, sess, c.sessions), nil
}

func newClient(cfg *config, fam *family, sess *session, all *sessions) *Client {
	c := &Client{cfg: cfg, fam: fam, session: sess, sessions: all, done: make(chan struct{}), closed: new(atomic.Bool)}
	c.stack = c.assemble()
	c.User = newUser(c)
	c.Auth = &AuthService{c}
	c.Organizations = newOrganizations(c)
	c.Invitations = &UserInvitationsService{c}
	c.Service = &ServiceAPI{Users: &ServiceUsersService{c}, Subscriptions: &ServiceSubscriptionsService{c}, c: c}
	c.Platform = newPlatform(c)
	c.Privacy = &PrivacyService{c}
	c.Server = &ServerService{c}
	return c
}

// assemble puts the six layers around the transport, outermost first.
func (c *Client) assemble() http.RoundTripper {
	rt := c.fam.transport
	for _, layer := range slices.Backward([]func(*Client, http.RoundTripper) http.RoundTripper{
		newCacheLayer, // outermost: it speaks only when everything below gave up
		newRetryLayer, // each attempt below is authorized and judged on its own
		newGateLayer,  // inside retry: every attempt waits for the limiter
		// inside retry: a long wait can outlive a token, and a refresh spends no retry
		newSessionLayer,
		// inside retry: it counts what the network did, and an open circuit ends the loop
		newBreakerLayer,
		// reads the whole bounded body inside the attempt, and parses an error once
		newWireLayer,
	}) {
		rt = layer(c, rt)
	}
	return rt
}

// Do calls any route with the same protection as the typed methods.
//
// path begins with a slash, is already escaped, and may have a query; absolute URLs, "//host" and
// dot segments are refused. /api/service/* carries the API key; public routes, /oauth* and /scim/*
// carry no credential of the client; the rest carries the bearer token. in is nil, a value (sent as
// JSON), []byte or [json.RawMessage] (JSON, sent as it is) or [url.Values] (a form; the query for
// GET and HEAD). Text that is not UTF-8 is refused: JSON would change it. out is nil, a pointer to
// a value (decoded from JSON), or a *[]byte (the body as it is).
//
// It returns every error type of this package. A GET may be repeated; whether another method may is
// the route's mark, for unknown routes the method's meaning (RFC 9110, section 9.2.2), or
// [WithIdempotent].
func (c *Client) Do(ctx context.Context, method, path string, in, out any, opts ...RequestOption) error {
	concrete, query, err := splitPath(path)
	if err != nil {
		return refused(opts, err)
	}
	method = strings.ToUpper(method)
	if !isToken(method) {
		return refused(opts, invalid("method", CodeInvalidFormat, "must be an HTTP method"))
	}
	cl, err := c.newCall(ctx, method, routes.Match(method, concrete), concrete, query)
	if err != nil {
		return refused(opts, err)
	}
	return c.exchange(cl, in, out, opts)
}

// call is the typed methods' way in.
func (c *Client) call(ctx context.Context, r request, out any, opts []RequestOption) error {
	if err := r.checks.err(opts); err != nil {
		return err
	}
	if err := checkValues(r.query); err != nil {
		return refused(opts, err)
	}
	cl, err := c.newCall(ctx, r.method, routes.ByTemplate(r.method, r.template), expand(r.template, r.args), r.query.Encode())
	if err != nil {
		return refused(opts, err)
	}
	return c.exchange(cl, r.body, out, opts)
}

// newCall settles everything about a call that is known before its options.
func (c *Client) newCall(ctx context.Context, method string, r *routes.Route, concrete, query string) (*call, error) {
	if ctx == nil {
		return nil, invalid("ctx", CodeRequired, "must not be nil")
	}
	cl := &call{
		Context: ctx, caller: ctx, client: c, method: method, route: r, path: concrete, concrete: concrete,
		maxAttempts: c.cfg.retry.MaxAttempts, start: time.Now(), auth: authFor(r, concrete),
		mutation: !isRead(method), idempotent: repeatable(method), header: c.cfg.headers.Clone(),
	}
	if r != nil {
		cl.path = r.Template
		cl.idempotent = r.Has(routes.Repeatable)
		cl.singleUse = r.Has(routes.SingleUse)
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

// exchange runs a call through the layers and decodes its response. It is the one place that
// returns *APIError.
func (c *Client) exchange(cl *call, in, out any, opts []RequestOption) error {
	if err := cl.prepare(in, out, opts); err != nil {
		return refused(opts, err)
	}
	resp, err := c.roundTrip(cl)
	if err == nil {
		err = cl.decode(resp, out)
		switch {
		case err == nil:
			cl.keep(resp)
		case cl.stale:
			cl.stale, cl.age, err = false, 0, cl.failure // what was cached is of no use
		}
	}
	if err != nil {
		err = cl.fail(err)
	}
	cl.fill(err)
	c.observeDone(cl, err)
	return err
}

// prepare puts a call's input and options in place. Whatever it refuses has not been sent.
func (cl *call) prepare(in, out any, opts []RequestOption) error {
	if err := cl.encode(in); err != nil {
		return err
	}
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
	return nil
}

// refused returns err, which ended a call before anything was sent, and lets the call's [Response]
// say so.
func refused(opts []RequestOption, err error) error {
	for _, o := range opts {
		if o.response != nil {
			*o.response = Response{}
		}
	}
	return err
}

// settle applies what the options have said last: WithIdempotent never reaches a route that
// consumes a token.
func (cl *call) settle() {
	if cl.singleUse {
		cl.idempotent = false
	}
	if cl.requestID = cl.header.Get("X-Request-ID"); cl.requestID == "" {
		cl.requestID = cl.client.cfg.requestID(cl.caller)
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

// noHeader is the header of a request on its way down. The wire layer makes each attempt its own,
// so that nobody writes to this one.
var noHeader = http.Header{}

// roundTrip sends a call down the layers.
func (c *Client) roundTrip(cl *call) (*http.Response, error) {
	c.observeStart(cl)
	if c.isClosed() {
		return nil, &NetworkError{Op: "send", Err: errClosed}
	}
	c.session.begin(cl)
	req := (&http.Request{
		Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: noHeader,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(cl)
	resp, err := c.stack.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	cl.responseBody = bodyOf(resp)
	if !cl.stale {
		cl.status, cl.responseHeader = resp.StatusCode, resp.Header
	}
	return resp, nil
}

// decode gives out what the response holds.
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
		// Nothing is wanted of the body, but a page is no response of the API: with a wrong base
		// URL the server's own web pages respond 200 to anything.
		if cl.route != nil && (cl.route.Auth != routes.AuthNone || strings.HasPrefix(cl.route.Template, "/api/")) && isPage(body) {
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
		// what a server of October 2025 does without a body
		_, acknowledges := out.(*acknowledgment)
		if cl.mayBeEmpty(resp.StatusCode, body) || acknowledges && resp.StatusCode == http.StatusNoContent {
			return nil
		}
		return wrong(errors.New("empty body"))
	}
	if err := decodeJSON(body, out); err != nil {
		if isPage(body) {
			err = errPage
		}
		return wrong(err)
	}
	if name := lacking(out); name != "" {
		return wrong(errors.New("without " + name))
	}
	return nil
}

// lacking names what a result lacks of what its route promises; only typed methods' results promise
// anything.
func lacking(out any) string {
	if p, ok := out.(interface{ missing() string }); ok {
		return p.missing()
	}
	return ""
}

var errPage = errors.New("HTML instead of JSON: is the base URL right?")

func isPage(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// mayBeEmpty reports whether an empty or null success is the response the route promises. Nothing
// is known of an unknown route, so that 204 and null speak for themselves there.
func (cl *call) mayBeEmpty(status int, body []byte) bool {
	if cl.method == http.MethodDelete && status == http.StatusNoContent {
		return true // what a DELETE of something that is gone already ends with
	}
	if cl.route != nil {
		return cl.route.Has(routes.MayBeEmpty)
	}
	return status == http.StatusNoContent || len(body) > 0
}

// Close ends the client. Calls made afterwards fail with [net.ErrClosed], and so do those that wait
// for anything: nothing more is sent for them. Of a client made by [Client.With] it ends that one
// only. Of one made by [New] it ends all that were made from it, too: tokens on their way from the
// server may arrive and be saved for 5 s, see [Client.Shutdown], idle connections are closed, and
// code of the program (a store, a transport) that ignores the end of its context is waited for
// another 10 s. It always returns nil, so that it can be deferred.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	_ = c.Shutdown(ctx)
	if c.root {
		c.sessions.code.wait(2 * closeGrace)
	}
	return nil
}

// Shutdown is Close with a time of the caller's own: tokens that are on their way from the server
// may arrive and be saved until ctx is done. It returns ctx's error when they did not; the session
// is in doubt then, for the next process too.
func (c *Client) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	if c.closed.CompareAndSwap(false, true) {
		close(c.done)
	}
	if !c.root {
		return nil
	}
	c.fam.closing.closed.Store(true)
	c.fam.closing.end()
	whole := c.sessions.end(ctx.Done())
	if c.fam.own != nil {
		c.fam.own.CloseIdleConnections()
	}
	if !whole {
		return fmt.Errorf("authos: a refresh of tokens was given up: %w", contextEnd(ctx))
	}
	return nil
}

// ended is closed when this client is; see also the family's.
func (c *Client) ended() <-chan struct{} { return c.done }

func (c *Client) isClosed() bool { return c.closed.Load() || c.fam.closing.closed.Load() }

// SetTokens replaces the session's tokens, saves them, and forgets that a refresh was refused. Zero
// tokens sign out: they are deleted from the store and everything cached for the principal is
// forgotten. The tokens are in use even when saving them fails, which is what a returned error
// means.
func (c *Client) SetTokens(ctx context.Context, t Tokens) error {
	if !t.isZero() {
		if err := t.check(); err != nil {
			return err
		}
	} else {
		c.knowPrincipal(ctx)
	}
	return c.setTokens(ctx, t)
}

// Tokens gives the tokens now held, read from the store on first use. It returns the store's error.
func (c *Client) Tokens(ctx context.Context) (Tokens, error) { return c.current(ctx) }

// String names the server; it holds no credentials, as no format verb does.
func (c Client) String() string {
	if c.fam == nil {
		return "authos.Client(none)" // the zero value, which New does not make
	}
	return "authos.Client(" + c.fam.origin + ")"
}

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print credentials.
func (c Client) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue implements [slog.LogValuer].
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
