package authos

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/authos-go/authos/internal/routes"
)

// family is what all clients made from one [New] share: connections, breakers, rate-limit gates,
// retry budget, cached responses.
type family struct {
	base      *url.URL
	origin    string
	transport http.RoundTripper
	own       *ownTransport   // to be closed with the client; nil when the caller brought one
	theirs    *http.Transport // the caller's, where it is net/http's
	workers   sync.Pool       // of *worker
	breakers  *breakers
	gates     [routes.Limiters]gate
	budget    *budget
	cache     *responseCache // nil: no stale fallback
	closing   closing

	deprecated deprecations
}

// closing is the end of a family.
type closing struct {
	closed atomic.Bool
	ctx    context.Context //nolint:containedctx // ends when the client is closed
	end    context.CancelFunc
}

// connect settles what requests go through. Where that is not net/http's, nothing is known of its
// connections.
func (f *family) connect(hc *http.Client) {
	if hc == nil {
		f.own = newOwnTransport()
		f.transport = &alone{f.own, withoutKeepAlive(newTransport())}
		return
	}
	f.transport = hc.Transport
	if f.transport == nil {
		f.transport = http.DefaultTransport
	}
	if t, ok := f.transport.(*http.Transport); ok {
		f.theirs = t
		f.transport = &alone{t, withoutKeepAlive(t.Clone())}
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
