package authos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/authos-go/authos/internal/routes"
)

// parseBase checks the base URL and gives it without its trailing slash, and its origin.
func parseBase(raw string, insecure bool) (*url.URL, string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// url.Error repeats it, and it may hold a password
		return nil, "", errors.New("authos: the base URL cannot be parsed")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "", fmt.Errorf("authos: the base URL needs the scheme https or http, has %q", u.Scheme)
	case u.Hostname() == "":
		return nil, "", errors.New("authos: the base URL has no host")
	case !isPort(u.Port()):
		return nil, "", errors.New("authos: the base URL's port is not within 1 and 65535")
	case asciiHost(u.Hostname()) == "":
		return nil, "", errors.New("authos: the base URL's host is not a name that can be looked up")
	case u.User != nil:
		return nil, "", errors.New("authos: the base URL must not hold credentials")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "", errors.New("authos: the base URL must not have a query or a fragment")
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, "", fmt.Errorf("authos: refusing to send credentials to %s over http://; use https:// or WithInsecureHTTP",
			u.Hostname())
	}
	if err := checkSegments(u.EscapedPath()); err != nil {
		return nil, "", fmt.Errorf("authos: the base URL's path: %w", err)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, originOf(u), nil
}

func isLoopback(host string) bool {
	// RFC 6761, section 6.3
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isPort reports whether a port, where there is one, is one.
func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// asciiHost is a host as net/http looks it up: in lower case, and an international name in its
// ASCII form (RFC 5891). Empty: it cannot be.
func asciiHost(host string) string {
	host = strings.ToLower(host)
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return host
	}
	// What net/http writes as Host is the ASCII form; it has no function for that alone.
	var written bytes.Buffer
	if err := (&http.Request{URL: &url.URL{Scheme: "http", Host: host}, Header: http.Header{}}).Write(&written); err != nil {
		return ""
	}
	req, err := http.ReadRequest(bufio.NewReader(&written))
	if err != nil {
		return ""
	}
	return req.Host
}

// originOf is scheme, host and port, the port written out (RFC 6454, section 4).
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(asciiHost(u.Hostname()), port)
}

// splitPath checks what a caller gives as a path, and splits its query off.
func splitPath(raw string) (path, query string, err error) {
	path, query, _ = strings.Cut(raw, "?")
	bad := func(message string) (string, string, error) {
		return "", "", invalid("path", CodeInvalidFormat, message)
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		return bad("must begin with a slash; absolute URLs are refused")
	case strings.HasPrefix(path, "//"), strings.HasPrefix(path, `/\`):
		return bad("must not name a host")
	case strings.Contains(raw, "#"):
		return bad("must not have a fragment")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return bad("must be escaped: it holds spaces, backslashes or control characters")
	}
	if plain, err := url.PathUnescape(raw); err == nil && !utf8.ValidString(plain) {
		return bad("its text " + notUTF8)
	}
	if err := checkSegments(path); err != nil {
		return bad(err.Error())
	}
	// net/url would escape such a path anew, and an escaped slash in it would become a real one.
	if plain, _ := url.PathUnescape(path); (&url.URL{Path: plain, RawPath: path}).EscapedPath() != path {
		return bad("must be escaped")
	}
	return path, query, nil
}

// checkSegments refuses dot segments, also escaped ones: a proxy may resolve them, and the request
// would reach another route.
func checkSegments(escaped string) error {
	for segment := range strings.SplitSeq(escaped, "/") {
		if _, err := url.PathUnescape(segment); err != nil {
			return errors.New("has a bad percent-encoding")
		}
		for range maxEscapes {
			segment, _ = url.PathUnescape(segment) // empty where that cannot be read once more
			for part := range strings.FieldsFuncSeq(segment, func(r rune) bool { return r == '/' || r == '\\' }) {
				if isDotSegment(part) {
					return errors.New("must not have dot segments")
				}
			}
		}
	}
	return nil
}

// expand puts escaped arguments into a template's parameters, in order.
func expand(template string, args []string) string {
	if len(args) == 0 {
		return template
	}
	var b strings.Builder
	for rest := template; ; {
		literal, after, found := strings.Cut(rest, ":")
		b.WriteString(literal)
		if !found {
			return b.String()
		}
		b.WriteString(url.PathEscape(args[0]))
		args = args[1:]
		_, tail, more := strings.Cut(after, "/")
		if !more {
			return b.String()
		}
		rest = "/" + tail
	}
}

// authFor is which credential a request carries: the route's, for unknown ones by path.
func authFor(r *routes.Route, path string) routes.Auth {
	switch {
	case r != nil:
		return r.Auth
	case strings.HasPrefix(path, "/api/service/"):
		return routes.AuthAPIKey
	case strings.HasPrefix(path, "/oauth"), strings.HasPrefix(path, "/scim/"):
		return routes.AuthNone
	default:
		return routes.AuthBearer
	}
}

// isRead reports whether a method is safe (RFC 9110, section 9.2.1), repeatable whether it is
// idempotent (section 9.2.2).
func isRead(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

func repeatable(method string) bool {
	return isRead(method) || method == http.MethodPut || method == http.MethodDelete
}
