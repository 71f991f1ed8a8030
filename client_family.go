package authos

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/authos-go/authos/internal/jitter"
	"github.com/authos-go/authos/internal/routes"
)

// family is what all clients made from one [New] have in common besides what their layers share:
// the server, its rate-limit gates, the retry budget.
type family struct {
	base    *url.URL
	origin  string
	gates   [routes.Limiters]gate
	budget  *budget
	random  *jitter.Source // nil, but in a simulation
	closing closing

	deprecated deprecations
}

// closing is the end of a family.
type closing struct {
	closed atomic.Bool
	ctx    context.Context //nolint:containedctx // ends when the client is closed
	end    context.CancelFunc
}

// jitterOf is the source of randomness that the caller's transport brings.
func jitterOf(hc *http.Client) *jitter.Source {
	if hc == nil {
		return nil
	}
	return jitter.Of(hc.Transport)
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
