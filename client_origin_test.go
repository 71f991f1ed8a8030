package authos_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/authos-go/authos"
)

func TestBaseURLHostAndPort(t *testing.T) {
	for base, fine := range map[string]bool{
		"https://authos.test:0":         false,
		"https://authos.test:99999":     false,
		"https://authos.test:65536":     false,
		"https://authos.test:65535":     true,
		"https://authos.test:1":         true,
		"https://authos.test:":          true,
		"https://bücher.example":        true,
		"https://xn--bcher-kva.example": true,
		"https://[::1]:8443":            true,
		"https://a\u2060b\u0000.test":   false,
	} {
		c, err := authos.New(base)
		if fine != (err == nil) {
			t.Errorf("New(%q) = %v, want it taken: %t", base, err, fine)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// A Unicode host and its ASCII form are one origin: a redirect from one to the other is followed.
func TestUnicodeHostIsOneOrigin(t *testing.T) {
	for _, tt := range []struct{ base, to string }{
		{"https://bücher.example", "https://xn--bcher-kva.example/x/other"},
		{"https://xn--bcher-kva.example", "https://bücher.example/x/other"},
		{"https://BÜCHER.example", "https://bücher.example:443/x/other"},
	} {
		rt := scripted(scriptRedirect(302, tt.to), okReply())
		c, err := authos.New(tt.base, authos.WithHTTPClient(&http.Client{Transport: rt}), scriptTokens())
		if err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), c, "GET", "/x/thing"); err != nil || rt.count() != 2 {
			t.Errorf("%s: redirect to %s: Do = %v, sent %d, want it followed", tt.base, tt.to, err, rt.count())
		}
		rt.set(okReply())
		resp, err := c.HTTPClient().Get(tt.to)
		if err != nil {
			t.Errorf("%s: HTTPClient().Get(%s) = %v", tt.base, tt.to, err)
			continue
		}
		_ = resp.Body.Close()
	}
}

// A 200 of the OAuth endpoints may be an error in their own shape.
func TestOAuthErrorInSuccess(t *testing.T) {
	for _, tt := range []struct {
		path, body string
		fails      bool
	}{
		{"/oauth/token", `{"error":"invalid_grant"}`, true},
		{"/oauth2/token", `{"error":"invalid_grant","error_description":"used up"}`, true},
		{"/auth/token", `{"error":"expired_token"}`, true},
		{"/oauth/token", `{"access_token":"a","token_type":"bearer"}`, false},
		{"/oauth/token", `{"error":""}`, false},
		{"/x/thing", `{"error":"a word"}`, false},
	} {
		rt := scripted(reply{status: 200, body: tt.body})
		err := clientWithoutBreaker(t, rt).Do(t.Context(), "POST", tt.path, map[string]string{"a": "b"}, nil)
		if tt.fails != (statusOf(err) == 200) {
			t.Errorf("Do(%s) with %s = %v, want an *APIError: %t", tt.path, tt.body, err, tt.fails)
		}
	}
}

// A write whose response is neither a success nor an error may have been applied.
func TestWriteWithoutResult(t *testing.T) {
	for _, status := range []int{101, 300, 302, 303, 304, 307} {
		for _, method := range []string{"POST", "PATCH", "DELETE", "GET"} {
			rt := scripted(emptyReply(status))
			err := send(t.Context(), clientWithoutBreaker(t, rt), method, "/x/thing")
			if got, want := errors.Is(err, authos.ErrOutcomeUnknown), method != "GET"; err == nil || got != want || rt.count() != 1 {
				t.Errorf("%s answered %d: Do = %v after %d requests, want outcome unknown: %t", method, status, err, rt.count(), want)
			}
		}
	}
}
