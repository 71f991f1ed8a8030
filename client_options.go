package authos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Option configures a [Client]. Options are checked by [New] and [Client.With], which report every
// bad one.
type Option struct {
	name  string
	apply func(*config) error
	// family says that the option is about what all clients made by one New have in common, so that
	// With cannot change it.
	family bool
}

func option(name string, apply func(*config) error) Option { return Option{name: name, apply: apply} }

func familyOption(name string, apply func(*config) error) Option {
	return Option{name: name, apply: apply, family: true}
}

// config is what the options say. The zero value of every field is the default.
type config struct {
	apiKey        string
	tokens        Tokens
	store         TokenStore
	httpClient    *http.Client
	middleware    []func(http.RoundTripper) http.RoundTripper
	insecureHTTP  bool
	retry         RetryPolicy
	breaker       BreakerPolicy
	cache         *CachePolicy
	logger        *slog.Logger
	observer      Observer
	languages     string // the Accept-Language value
	userAgent     string
	requestID     func(context.Context) string
	refreshBefore time.Duration
	headers       http.Header // of every call; nil: none
}

const (
	version              = "0.1.0"
	defaultUserAgent     = "authos-go/" + version
	defaultRefreshBefore = 30 * time.Second
)

func newConfig() config {
	return config{
		retry: RetryPolicy{}.withDefaults(), breaker: BreakerPolicy{}.withDefaults(),
		logger: slog.New(slog.DiscardHandler), userAgent: defaultUserAgent, requestID: newRequestID, refreshBefore: defaultRefreshBefore,
	}
}

// applyAll applies the options and gives what is wrong with them.
func (c *config) applyAll(opts []Option) (found checks) {
	for _, o := range opts {
		if o.apply == nil {
			found.add("option", CodeRequired, "is a zero Option")
			continue
		}
		found.refuse(o.name, o.apply(c))
	}
	return found
}

// WithAPIKey sets the service API key, sent as X-Api-Key to /api/service/* and nowhere else. It may
// be combined with tokens.
func WithAPIKey(key string) Option {
	return option("WithAPIKey", func(c *config) error {
		if err := checkCredential("the key", key); err != nil {
			return err
		}
		c.apiKey = key
		return nil
	})
}

// WithTokens sets the session's tokens, sent as Authorization: Bearer. With a [TokenStore] they
// seed a store that is empty; a store that already holds tokens wins. Without a refresh token the
// session ends with its access token.
func WithTokens(t Tokens) Option {
	return option("WithTokens", func(c *config) error {
		if err := t.check(); err != nil {
			return err
		}
		c.tokens = t
		return nil
	})
}

// WithTokenStore keeps the session's tokens in s, so that they survive the process. A store that is
// also a [LockingTokenStore] is locked around every refresh. Default: in memory.
func WithTokenStore(s TokenStore) Option {
	return option("WithTokenStore", func(c *config) error {
		if s == nil {
			return errors.New("nil TokenStore")
		}
		c.store = s
		return nil
	})
}

// WithHTTPClient sends through hc's Transport and obeys its Jar, its CheckRedirect (after our own
// rules) and its Timeout (as a bound of each attempt). hc itself is not changed, and its idle
// connections are not closed by [Client.Close]. Default: a transport of our own that keeps up to
// 256 idle connections for 90 s, asks HTTP/2 connections for signs of life after 15 s of silence,
// and leaves all of them where nothing came in an attempt's whole time, or for a second in which
// callers' deadlines passed. It takes proxies from the environment, as [http.ProxyFromEnvironment]
// does.
//
// For a client certificate, roots or a proxy of your own clone [http.DefaultTransport], as the
// example shows. On an [*http.Transport] of hc's, silence is noticed when a request on a new
// connection gets its response: then the idle connections are closed, those to other hosts too.
// Whoever wants the pings as well sets its HTTP2 field to &http.HTTP2Config{SendPingTimeout: 15 *
// time.Second, PingTimeout: 10 * time.Second}; net/http's default sends none. Of a RoundTripper of
// another type nothing is known, and it must do this itself. It should send each request once: what
// it repeats by itself is only counted.
//
// Up to Go 1.26 a server can lock an HTTP/2 connection inside net/http, by making the window of a
// stream too large: nothing that is sent through its transport ends by itself any more. Calls end
// when their attempts' time is up. A transport of our own is then replaced, hc's is not.
func WithHTTPClient(hc *http.Client) Option {
	return familyOption("WithHTTPClient", func(c *config) error {
		if hc == nil {
			return errors.New("nil *http.Client")
		}
		own := *hc
		c.httpClient = &own
		return nil
	})
}

// WithRetry sets the retry policy. Zero fields are the defaults named at [RetryPolicy]; MaxAttempts
// 1 turns retries off.
func WithRetry(p RetryPolicy) Option {
	return option("WithRetry", func(c *config) error {
		if err := p.check(); err != nil {
			return err
		}
		if p.Budget == (RetryBudget{}) {
			p.Budget = c.retry.Budget // the default, or for With the family's
		}
		c.retry = p.withDefaults()
		return nil
	})
}

// WithBreaker sets the circuit breaker's policy. Zero fields are the defaults named at
// [BreakerPolicy]; Disabled turns it off.
func WithBreaker(p BreakerPolicy) Option {
	return familyOption("WithBreaker", func(c *config) error {
		if err := p.check(); err != nil {
			return err
		}
		c.breaker = p.withDefaults()
		return nil
	})
}

// WithCache turns the stale fallback on: a good GET response is cached, and served, marked as
// stale, when the server cannot be reached. It is off by default, because an old response about who
// may do what can be wrong in a way that matters.
func WithCache(p CachePolicy) Option {
	return familyOption("WithCache", func(c *config) error {
		if err := p.check(); err != nil {
			return err
		}
		own := p.withDefaults() // p stays as it is: an Option may be used again
		c.cache = &own
		return nil
	})
}

// WithLogger logs to l: attempts at debug; waits, refreshes and breaker changes at info; stale
// responses and failures at warn. No record holds a secret, a query string or a body. Default:
// silent.
func WithLogger(l *slog.Logger) Option {
	return option("WithLogger", func(c *config) error {
		if l == nil {
			return errors.New("nil *slog.Logger")
		}
		c.logger = l
		return nil
	})
}

// WithObserver calls o's functions as calls proceed, for metrics and traces. o is copied. Default:
// none.
func WithObserver(o *Observer) Option {
	return option("WithObserver", func(c *config) error {
		if o == nil {
			return errors.New("nil *Observer")
		}
		c.observer = *o
		return nil
	})
}

// WithLanguage sends Accept-Language with the tags in order of preference, such as "es", "en".
// Default: not sent.
func WithLanguage(tags ...string) Option {
	return option("WithLanguage", func(c *config) error {
		var b strings.Builder
		for i, tag := range tags {
			if !isLanguageTag(tag) {
				return fmt.Errorf("%q is not a language tag (RFC 5646)", tag)
			}
			if i > 0 {
				// RFC 9110, section 12.4.2: weights have at most three digits; ten preferences are
				// told apart.
				fmt.Fprintf(&b, ", %s;q=0.%d", tag, max(10-i, 1))
				continue
			}
			b.WriteString(tag)
		}
		c.languages = b.String()
		return nil
	})
}

// WithUserAgent puts product, such as "billing/1.4", in front of the SDK's own User-Agent.
func WithUserAgent(product string) Option {
	return option("WithUserAgent", func(c *config) error {
		if product == "" || !isHeaderValue(product) {
			return fmt.Errorf("%q is not a header value", product)
		}
		c.userAgent = product + " " + defaultUserAgent
		return nil
	})
}

// WithRequestID takes each call's X-Request-ID from next, for instance from a trace in the context.
// Where next returns the empty string or something that is not a header value of at most 128 bytes,
// the client makes one itself. Default: 32 random hex digits.
func WithRequestID(next func(context.Context) string) Option {
	return option("WithRequestID", func(c *config) error {
		if next == nil {
			return errors.New("nil function")
		}
		c.requestID = func(ctx context.Context) string {
			if id := next(ctx); validRequestID(id) {
				return id
			}
			return newRequestID(ctx)
		}
		return nil
	})
}

// WithRefreshBefore sets how long before its expiry an access token is refreshed, or a fifth of the
// token's life if that is shorter. Default 30 s. Negative: never ahead, only when the server
// refuses the token.
func WithRefreshBefore(d time.Duration) Option {
	return option("WithRefreshBefore", func(c *config) error {
		c.refreshBefore = d
		if d == 0 {
			c.refreshBefore = defaultRefreshBefore
		}
		return nil
	})
}

// WithDefaultHeader sends a header with every call, refreshes of tokens and [Client.HTTPClient]
// included; [WithHeader], or a foreign request's own header, takes its place. The option may be
// given for several headers; given twice for one the last wins. The headers that the client itself
// is about are refused, and so are those that frame the message: Authorization and X-Api-Key
// ([WithTokens], [WithAPIKey]), Accept-Language ([WithLanguage]), User-Agent ([WithUserAgent]),
// X-Request-ID ([WithRequestID]), Accept, Content-Type, Cookie.
func WithDefaultHeader(key, value string) Option {
	return option("WithDefaultHeader", func(c *config) error {
		if err := checkHeader(key, value); err != nil {
			return err
		}
		key := http.CanonicalHeaderKey(key)
		if slices.Contains(ownHeaders, key) {
			return invalid("header", CodeInvalidFormat, key+" is the client's own")
		}
		// Clients made by With have their own map.
		if c.headers = c.headers.Clone(); c.headers == nil {
			c.headers = http.Header{}
		}
		c.headers.Set(key, value)
		return nil
	})
}

// ownHeaders are those that the client sets itself.
var ownHeaders = []string{
	"Authorization", "X-Api-Key", "Accept", "Accept-Language", "User-Agent", "X-Request-Id", "Content-Type", "Cookie",
}

// WithInsecureHTTP allows an http:// base URL whose host is not a loopback address. Credentials
// then travel in the clear.
func WithInsecureHTTP() Option {
	return familyOption("WithInsecureHTTP", func(c *config) error {
		c.insecureHTTP = true
		return nil
	})
}

// newRequestID makes an id of 32 hex digits. It identifies, it does not authorize: math/rand is
// enough.
func newRequestID(context.Context) string {
	var buf [32]byte
	b := strconv.AppendUint(buf[:0], rand.Uint64()|1<<63, 16) //nolint:gosec // it is no secret
	b = strconv.AppendUint(b, rand.Uint64()|1<<63, 16)        //nolint:gosec // it is no secret
	return string(b)
}
