package authos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// family is what all clients made from one [New] share: connections, breakers, rate-limit gates,
// retry budget, cached responses.
type family struct {
	base      *url.URL
	origin    string
	transport http.RoundTripper
	own       *http.Transport // to be closed with the client; nil when the caller brought one
	inner     http.Client     // what go-retryablehttp sends through, but for its Transport
	breakers  *breakers
	gates     [routes.Limiters]gate
	budget    *budget
	cache     *responseCache // nil: no stale fallback
	closing   closing

	deprecated deprecations
}

// closing lets refreshes finish before a client is closed.
type closing struct {
	mu     sync.Mutex // orders launch and close, so that close waits for all that was launched
	closed atomic.Bool
	ctx    context.Context //nolint:containedctx // ends when the client is closed
	end    context.CancelFunc
	flight sync.WaitGroup
}

// launch runs f in a goroutine that close waits for.
func (c *closing) launch(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return errClosed
	}
	c.flight.Go(f)
	return nil
}

func (c *closing) close() {
	c.mu.Lock()
	c.closed.Store(true)
	c.end()
	c.mu.Unlock()
	c.flight.Wait()
}

// connect settles what requests go through.
func (f *family) connect(hc *http.Client) {
	f.inner.CheckRedirect = f.checkRedirect(nil)
	if hc == nil {
		f.own = newTransport()
		f.transport = f.own
		return
	}
	f.transport = hc.Transport
	if f.transport == nil {
		f.transport = http.DefaultTransport
	}
	f.inner.Jar = hc.Jar
	f.inner.CheckRedirect = f.checkRedirect(hc.CheckRedirect)
}

// idleConns is how many connections are kept for a busy service: net/http's 2 to a host would dial
// for nearly every request of one.
const idleConns = 256

// newTransport is net/http's default transport with room for a busy service, and bounds.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           idleConns,
		MaxIdleConnsPerHost:    idleConns, // there is one host
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

var (
	errRedirectOrigin = errors.New("redirect to another origin refused: it would carry the credential there")
	errRedirectWrite  = errors.New("redirect of a request that is not a read refused: it could be applied twice")
	errRedirects      = fmt.Errorf("more than %d redirects", maxRedirects)
)

// checkRedirect keeps credentials on the base URL's own origin. net/http drops Authorization on
// another host, but not X-Api-Key.
func (f *family) checkRedirect(users func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		cl := callOf(req)
		switch {
		case cl.mutation || !isRead(via[0].Method):
			return errRedirectWrite
		case originOf(req.URL) != f.origin:
			return errRedirectOrigin
		case len(via) >= maxRedirects:
			return errRedirects
		case users != nil:
			return users(req, via)
		}
		return nil
	}
}

// url is the URL of an escaped path below the base URL.
func (f *family) url(escaped, query string) *url.URL {
	u := &url.URL{Scheme: f.base.Scheme, Host: f.base.Host, Path: f.base.Path + escaped, RawQuery: query}
	if strings.Contains(escaped, "%") || f.base.RawPath != "" {
		u.RawPath = f.base.EscapedPath() + escaped
		u.Path, _ = url.PathUnescape(u.RawPath) // checked by splitPath, or made by url.PathEscape
	}
	return u
}

// below gives the escaped path of u below the base URL, and whether u belongs to the base URL at
// all.
func (f *family) below(u *url.URL) (string, bool) {
	if originOf(u) != f.origin {
		return "", false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), f.base.EscapedPath())
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}
