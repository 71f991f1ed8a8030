package authostest

import (
	"cmp"
	"net"
	"net/http"
	"time"
)

// Contract selects which description of the API the server keeps to.
type Contract int

const (
	// Newest is what servers of the newest known version send (0.1.40, mid-2026).
	Newest Contract = iota
	// Documented is what the AuthOS error guide says they send.
	Documented
	// October2025 is what a server of October 2025 sends, which has 65 of the routes:
	// no passwords, no service API, no webhooks. Its logout is an empty 204, a replayed
	// refresh token costs nobody a session, and duplicates are a 500.
	October2025
)

// ErrorFormat selects the shape of error bodies under [Documented].
type ErrorFormat int

const (
	// Flat is {"error", "error_code", "timestamp"}, AuthOS's own shape.
	Flat ErrorFormat = iota
	// Nested is {"error": {"code", "message", "details", …}}, common elsewhere.
	Nested
	// Problem is application/problem+json (RFC 9457) with the extension members
	// code, request_id and timestamp.
	Problem
)

// An Option changes how [New] builds a server.
type Option func(*config)

type config struct {
	inMemory    bool
	listener    net.Listener
	contract    Contract
	format      ErrorFormat
	accessLife  time.Duration
	refreshLife time.Duration
	skew        time.Duration
	seed        *uint64 // nil for ids that nobody can foresee
	limiters    bool
	webhooks    http.RoundTripper
	mail        bool
	url         string
	tls         bool
	pages       bool
	control     *string // the token, perhaps empty; nil without the control API
	metrics     string
}

func defaults() config {
	return config{
		accessLife:  24 * time.Hour,
		refreshLife: 30 * 24 * time.Hour,
		webhooks:    loopback(),
	}
}

// InMemory opens no socket: URL is an address of this machine at which nobody listens
// ("http://127.4.5.6", another for each server), and only [Server.Transport] and
// [Server.Client] reach the server. It is implied inside a synctest bubble.
func InMemory() Option {
	return func(c *config) { c.inMemory = true }
}

// WithListener makes the server accept connections from ln, which it closes in the
// end, in place of a loopback port of its own. It has no effect on a server that is
// in memory.
func WithListener(ln net.Listener) Option {
	return func(c *config) { c.listener = ln }
}

// Real is the earlier name of [Newest].
//
// Deprecated: use Newest. There is more than one generation of real servers.
//
//go:fix inline
const Real = Newest

// WithContract selects the contract. The default is [Newest].
func WithContract(contract Contract) Option {
	return func(c *config) { c.contract = contract }
}

// WithErrorFormat selects the shape of error bodies. It matters only under
// [Documented], since real servers know one shape. The default is [Flat].
func WithErrorFormat(format ErrorFormat) Option {
	return func(c *config) { c.format = format }
}

// WithTokenLife sets how long access and refresh tokens live. The defaults are
// 24 hours and 30 days. Lives below a second work: expires_in and the exp claim
// count whole seconds and are rounded up, but the token dies when it should.
func WithTokenLife(access, refresh time.Duration) Option {
	return func(c *config) { c.accessLife, c.refreshLife = access, refresh }
}

// WithClockSkew makes the server's clock run d ahead of the client's (behind, if
// negative); see also [Server.Advance]. It shows in the Date header, in timestamps and in
// token claims.
func WithClockSkew(d time.Duration) Option {
	return func(c *config) { c.skew = d }
}

// WithSeed seeds all that is drawn: ids, tokens, secrets, signing keys, the in-memory
// URL, and [Fault.Probability] and [Fault.Jitter]. Equal seeds, equal times and equal
// orders of requests give equal runs, byte by byte. Without it faults are drawn as with
// the seed 1, and all the rest is different in each server, so that no two of them share
// keys or accept each other's tokens.
func WithSeed(n uint64) Option {
	return func(c *config) { c.seed = &n }
}

func (c *config) faultSeed() uint64 {
	if c.seed == nil {
		return 1
	}
	return *c.seed
}

// WithLimiters turns on the rate limits of the real server, which count per
// client address (here: one address) and per group of routes: sign-in routes 1/s
// with a burst of 20, device routes 1 per 5 s with a burst of 10, MFA
// verification 1/s with a burst of 3, MFA setup 1 per 0.3 s with a burst of 5. The
// routes that send mail also count per e-mail address: 5 an hour.
func WithLimiters() Option {
	return func(c *config) { c.limiters = true }
}

// WithMail makes the server one that can send mail; see [Server.MailFor]. Without
// it, as on a server where nobody has set mail up, the routes that send some respond
// 503 SERVICE_UNAVAILABLE.
func WithMail() Option {
	return func(c *config) { c.mail = true }
}

// WithURL sets the base URL by which clients know the server, where that is not the
// address it listens on: behind a proxy, or in a container. It is the issuer of tokens
// and the beginning of links.
func WithURL(url string) Option {
	return func(c *config) { c.url = url }
}

// WithControl turns the control API on: paths below /_authostest/ by which tests in other
// languages do what the methods of [Server] do. With an empty token only this machine may
// use it, and no page in a browser; with another one who presents it as a bearer token.
func WithControl(token string) Option {
	return func(c *config) { c.control = &token }
}

// WithMetrics turns /metrics on, for clients that present this bearer token.
// Without it the route responds 404.
func WithMetrics(token string) Option {
	return func(c *config) { c.metrics = token }
}

// WithWebhookTransport sets what webhook deliveries are sent through. By default
// they reach receivers on loopback addresses only. Inside a testing/synctest bubble
// a socket would stall the fake clock, so a test there hands over something that
// calls its receiver in memory.
func WithWebhookTransport(rt http.RoundTripper) Option {
	return func(c *config) { c.webhooks = cmp.Or(rt, c.webhooks) }
}
