package authostest_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// step is one request with the response it should get. An empty want means that the
// body does not matter, but for 204, which has none.
type step struct {
	auth   string // a header
	method string
	path   string
	body   string
	status int
	want   string
}

// walk takes the steps in order, and returns the last response.
func (c *client) walk(steps ...step) reply {
	c.t.Helper()
	var got reply
	for _, s := range steps {
		got = c.do(s.method, s.path, s.body, s.auth)
		if got.StatusCode != s.status {
			c.t.Errorf("%s %s %s = %d %s, want %d", s.method, s.path, s.body, got.StatusCode, got.body, s.status)
			continue
		}
		if s.want == "" && s.status >= 400 {
			continue
		}
		wantType := jsonType
		switch {
		case s.status == 204:
			wantType = ""
		case s.want != "" && !strings.HasPrefix(s.want, "{") && !strings.HasPrefix(s.want, "[") && s.want != "null":
			wantType = textType
		}
		if ct := got.Header.Get("Content-Type"); ct != wantType {
			c.t.Errorf("%s %s: Content-Type = %q, want %q", s.method, s.path, ct, wantType)
		}
		if (s.want != "" || s.status == 204) && !like(got.body, s.want) {
			c.t.Errorf("%s %s %s: body = %s, want %s", s.method, s.path, s.body, got.body, s.want)
		}
	}
	return got
}

func bad(text string) string       { return realError("BAD_REQUEST", text) }
func forbidden(text string) string { return realError("FORBIDDEN", text) }
func missing(text string) string   { return realError("NOT_FOUND", text) }

func missingField(name string, column string) string {
	return "Failed to deserialize the JSON body into the target type: missing field `" + name + "` at line 1 column " + column
}

// as is the header of a session of a user in an organization.
func as(srv *authostest.Server, org, email string) string {
	return bearer(srv.SignInTo(org, "", email).AccessToken)
}

// pick returns what a pattern with one group finds in a body.
func pick(t *testing.T, body, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no %s in %s", pattern, body)
	}
	return m[1]
}

// idOf returns the first id in a body.
func idOf(t *testing.T, body string) string {
	t.Helper()
	return pick(t, body, `"id":"([^"]+)"`)
}

// noRedirects makes an http.Client hand redirects over.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
