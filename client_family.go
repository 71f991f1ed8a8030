package authos

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/authos-go/authos/internal/routes"
)

// family is what all clients made from one [New] have in common besides what their layers share:
// the server, its rate-limit gates, the retry budget.
type family struct {
	base    *url.URL
	origin  string
	gates   [routes.Limiters]gate
	budget  *budget
	closing closing

	deprecated deprecations
}

// closing is the end of a family.
type closing struct {
	closed atomic.Bool
	ctx    context.Context //nolint:containedctx // ends when the client is closed
	end    context.CancelFunc
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
