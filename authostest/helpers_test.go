package authostest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// reply is a response that has been read.
type reply struct {
	*http.Response
	body string
}

// client talks plain HTTP to a server, without any SDK in between.
type client struct {
	t    *testing.T
	base string
	http http.Client
}

// inMemory makes a server without sockets and a client for it.
func inMemory(t *testing.T, opts ...authostest.Option) (*authostest.Server, *client) {
	t.Helper()
	srv := authostest.New(append(opts, authostest.InMemory())...)
	t.Cleanup(srv.Close)
	return srv, &client{t, srv.URL, http.Client{Transport: srv.Transport()}}
}

// overSocket makes a listening server, and a client that never reuses a
// connection, since reuse makes net/http repeat requests by itself.
func overSocket(t *testing.T, opts ...authostest.Option) (*authostest.Server, *client) {
	t.Helper()
	srv := authostest.New(opts...)
	t.Cleanup(srv.Close)
	return srv, &client{t, srv.URL, http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// bothWays runs a test over sockets and in memory.
func bothWays(t *testing.T, test func(t *testing.T, srv *authostest.Server, c *client), opts ...authostest.Option) {
	t.Run("memory", func(t *testing.T) {
		srv, c := inMemory(t, opts...)
		test(t, srv, c)
	})
	t.Run("socket", func(t *testing.T) {
		srv, c := overSocket(t, opts...)
		test(t, srv, c)
	})
}

// request builds a request; headers come as "Name: value".
func (c *client) request(method, path, body string, headers ...string) *http.Request {
	c.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		if h == "" {
			continue
		}
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return req
}

// try sends a request and reads the whole response.
func (c *client) try(req *http.Request) (reply, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp, string(body)}, err
}

func (c *client) do(method, path, body string, headers ...string) reply {
	c.t.Helper()
	got, err := c.try(c.request(method, path, body, headers...))
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

// expect sends a request and compares status, content type and body. In want, a
// <…> stands for any JSON string content.
func (c *client) expect(status int, contentType, want, method, path, body string, headers ...string) reply {
	c.t.Helper()
	got := c.do(method, path, body, headers...)
	if got.StatusCode != status {
		c.t.Errorf("%s %s = %d %s, want %d", method, path, got.StatusCode, got.body, status)
	}
	if ct := got.Header.Get("Content-Type"); ct != contentType {
		c.t.Errorf("%s %s: Content-Type = %q, want %q", method, path, ct, contentType)
	}
	if !like(got.body, want) {
		c.t.Errorf("%s %s: body = %s, want %s", method, path, got.body, want)
	}
	return got
}

// like compares with a pattern in which <…> stands for anything but a quote.
func like(got, want string) bool {
	var expr strings.Builder
	for part := range strings.SplitSeq(want, "<…>") {
		if expr.Len() > 0 {
			expr.WriteString(`[^"]+`)
		}
		expr.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(`\A` + expr.String() + `\z`).MatchString(got)
}

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
)

// realError is the error body of real servers.
func realError(code, text string) string {
	return `{"error":"` + text + `","error_code":"` + code + `","timestamp":"<…>+00:00"}`
}

type tokenBody struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
}

func parse[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("Unmarshal(%s): %v", body, err)
	}
	return v
}

func refreshBody(token string) string { return `{"refresh_token":"` + token + `"}` }

func bearer(token string) string { return "Authorization: Bearer " + token }
