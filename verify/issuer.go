package verify

import (
	"net"
	"net/url"
	"strings"
)

// canonicalURL writes a base URL as servers write their own: scheme and host in lower case, no port
// where it is the scheme's own (RFC 3986, section 6.2), no slash at the end. What is no such URL
// remains as it is.
func canonicalURL(raw string) string {
	trimmed := strings.TrimRight(raw, "/")
	u, err := url.Parse(trimmed)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return trimmed
	}
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && port != defaultPorts[u.Scheme] {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + u.EscapedPath()
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// sameIssuer reports whether two issuers are the same URL. The path must agree to the letter, and a
// token's iss never ends in a slash.
func sameIssuer(iss, want string) bool {
	return iss == want || !strings.HasSuffix(iss, "/") && canonicalURL(iss) == canonicalURL(want)
}
