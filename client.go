package authos

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"weak"

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

	*agent
	*shared

	session *session
	stack   http.RoundTripper
	root    bool // made by New
}

// shared is what the layers of all clients made from one [New] share.
type shared struct {
	connections *connections
	breakers    *breakers
	cache       *responseCache // nil: no stale fallback
	sessions    *sessions
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
	fam := &family{base: base, origin: origin, budget: newBudget(cfg.retry.Budget), random: jitterOf(cfg.httpClient)}
	fam.closing.ctx, fam.closing.end = context.WithCancel(context.Background()) //nolint:fatcontext // false: no literal here
	found.refuse("WithTokens", fam.admit(cfg.tokens))
	if err := found.err(nil); err != nil {
		return nil, err
	}
	all := &shared{
		connections: connect(cfg.httpClient, base), breakers: newBreakers(base.Host, cfg.breaker, fam.random), sessions: newSessions(),
	}
	all.connections.wrap(&cfg)
	if cfg.cache != nil {
		all.cache = newResponseCache(*cfg.cache, base.String())
	}
	c := newClient(&cfg, fam, newSession(&cfg, fam, all.sessions), all)
	c.root = true
	c.breakers.report = c.observeBreaker
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
	return newClient(&cfg, c.fam, sess, c.shared), nil
}

func newClient(cfg *config, fam *family, sess *session, all *shared) *Client {
	c := &Client{agent: newAgent(cfg, fam), shared: all, session: sess}
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
	// outermost: it speaks only when everything below gave up
	return newCacheLayer(c.agent, c.session, c.cache,
		// each attempt below is authorized and judged on its own
		newRetryLayer(c.agent,
			// inside retry: every attempt waits for the limiter
			newGateLayer(c.fam,
				// inside retry: a wait can outlive a token, and a refresh spends no retry
				newSessionLayer(c.agent, c.session, c.cache != nil,
					// inside retry: it counts what the network did; open, it ends the loop
					newBreakerLayer(c.breakers, c.session,
						// reads the whole bounded body inside the attempt, and parses an error once
						newWireLayer(c.agent, c.connections))))))
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
		case cl.stale != nil:
			err, cl.stale = cl.stale.failure, nil // what was cached is of no use
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
	if cl.stale == nil {
		cl.status, cl.responseHeader = resp.StatusCode, resp.Header
	}
	return resp, nil
}

// Close ends the client. Calls made afterwards fail with [net.ErrClosed], and so do those that wait
// for anything: nothing more is sent for them. Of a client made by [Client.With] it ends that one
// only. Of one made by [New] it ends all that were made from it, too: tokens on their way from the
// server may arrive and be saved for 5 s, see [Client.Shutdown], idle connections are closed, the
// others when the requests under way have ended, and code of the program (a store, a transport)
// that ignores the end of its context is waited for another 10 s. It always returns nil, so that it
// can be deferred.
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
	c.connections.close()
	if !whole {
		return fmt.Errorf("authos: a refresh of tokens was given up: %w", contextEnd(ctx))
	}
	return nil
}

// BreakerStates gives the state of every endpoint group that has been used, as this client's calls
// find it: the worst where its session, its API key and calls without either find different ones.
// It is empty where the breaker is disabled.
func (c *Client) BreakerStates() map[string]BreakerState {
	states := map[string]BreakerState{}
	b, sess := c.breakers, weak.Make(c.session)
	if b.policy.Disabled {
		return states
	}
	b.mu.RLock()
	for name, g := range b.groups {
		for _, auth := range []routes.Auth{routes.AuthNone, routes.AuthBearer, routes.AuthAPIKey} {
			state := g.stateFor(b.principalOf(&call{client: c.agent, auth: auth}, sess))
			states[name] = worse(cmp.Or(states[name], BreakerClosed), state)
		}
	}
	b.mu.RUnlock()
	b.deliver()
	return states
}

// SetTokens replaces the session's tokens, saves them, and forgets that a refresh was refused. Zero
// tokens sign out: they are deleted from the store and everything cached for the principal is
// forgotten; while a Logout waits for a refresh, that waits for both. The tokens are in use even
// when saving them fails, which is what a returned error means. What the same user is given while
// a Logout tells the server is kept: it ends only what there was.
func (c *Client) SetTokens(ctx context.Context, t Tokens) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	if !t.isZero() {
		if err := t.check(); err != nil {
			return err
		}
	} else {
		c.knowPrincipal(ctx)
	}
	return c.session.setTokens(ctx, c.agent, t, func(names []string) { c.forgetPrincipals(ctx, names) })
}

// Tokens gives the tokens now held, read from the store on first use. It returns the store's error.
func (c *Client) Tokens(ctx context.Context) (Tokens, error) {
	if ctx == nil {
		return Tokens{}, invalid("ctx", CodeRequired, "must not be nil")
	}
	return c.session.current(ctx, c.agent)
}

// String names the server; it holds no credentials, as no format verb does.
func (c Client) String() string {
	if c.agent == nil {
		return "authos.Client(none)" // the zero value, which New does not make
	}
	return "authos.Client(" + c.fam.origin + ")"
}

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print credentials.
func (c Client) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue implements [slog.LogValuer].
func (c Client) LogValue() slog.Value { return slog.StringValue(c.String()) }
