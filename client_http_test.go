package authos_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// What HTTPClient cannot carry it refuses, and drops nothing in silence.
func TestHTTPClientRefusesWhatItCannotCarry(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*http.Request)
		fine   bool
	}{
		"Content-Encoding":       {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, false},
		"Accept-Encoding":        {func(r *http.Request) { r.Header.Set("Accept-Encoding", "br") }, false},
		"Expect":                 {func(r *http.Request) { r.Header.Set("Expect", "100-continue") }, false},
		"expect, not canonical":  {func(r *http.Request) { r.Header["expect"] = []string{"100-continue"} }, false},
		"Upgrade":                {func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }, false},
		"Connection upgrade":     {func(r *http.Request) { r.Header.Set("Connection", "upgrade") }, false},
		"TE":                     {func(r *http.Request) { r.Header.Set("TE", "trailers") }, false},
		"Trailer":                {func(r *http.Request) { r.Trailer = http.Header{"X-Sum": nil} }, false},
		"Host":                   {func(r *http.Request) { r.Host = "other.test" }, false},
		"Host on another port":   {func(r *http.Request) { r.Host = "authos.test:8443" }, false},
		"a wrong Content-Length": {func(r *http.Request) { r.Header.Set("Content-Length", "3") }, false},
		// as of a body that was cut
		"another ContentLength": {func(r *http.Request) { r.ContentLength = 200 }, false},
		"an opaque URL":         {func(r *http.Request) { r.URL.Opaque = "//authos.test/x/other" }, false},
		"the Content-Length":    {func(r *http.Request) { r.Header.Set("Content-Length", "7") }, true},
		"the Host":              {func(r *http.Request) { r.Host = "AUTHOS.test:443" }, true},
		"no Host":               {func(r *http.Request) { r.Host = "" }, true},
		"Connection keep-alive": {func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }, true},
		"Connection close":      {func(r *http.Request) { r.Header.Set("Connection", "close") }, true},
		"Range":                 {func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }, true},
	} {
		rt := scripted(okReply())
		body := &closer{Reader: strings.NewReader(`{"a":1}`)}
		req, err := http.NewRequestWithContext(t.Context(), "POST", testBase+"/x/thing", body)
		if err != nil {
			t.Fatal(err)
		}
		tt.change(req)
		_, err = clientWithoutBreaker(t, rt).HTTPClient().Do(req)
		if tt.fine != (err == nil) || tt.fine != (rt.count() == 1) || !tt.fine && !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("%s: Do = %v, sent %d, want it carried: %t", name, err, rt.count(), tt.fine)
		}
		if !body.closed {
			t.Errorf("%s: the body was not closed", name)
		}
		for _, seen := range rt.requests() {
			for _, framing := range []string{"Connection", "Content-Length", "Host"} {
				if lines := seen.header[framing]; lines != nil {
					t.Errorf("%s: sent with %s %q, which is the transport's to say", name, framing, lines)
				}
			}
		}
	}
}

// A credential of foreign code's own is sent instead of the client's, however it spells the name,
// and an empty one means that none is sent.
func TestOwnCredentialIsAlone(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		want       []string
	}{
		{"authorization", "Basic b3du", []string{"Basic b3du"}},
		{"AUTHORIZATION", "Basic b3du", []string{"Basic b3du"}},
		{"Authorization", "", nil},
	} {
		rt := scripted(apiError(401, "UNAUTHORIZED"))
		c := clientWithoutBreaker(t, rt, authos.WithTokens(authos.Tokens{AccessToken: "access-token", RefreshToken: "refresh-token"}))
		u, _ := url.Parse(testBase + "/api/user")
		req := (&http.Request{Method: "GET", URL: u, Header: http.Header{tt.key: {tt.value}}}).WithContext(t.Context())
		resp, err := c.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got := 0
		for key, values := range rt.requests()[0].header {
			if strings.EqualFold(key, "Authorization") {
				got += len(values)
				if tt.want == nil || values[0] != tt.want[0] {
					t.Errorf("%s: %q was sent as %s %q, want %q", tt.key, tt.value, key, values, tt.want)
				}
			}
		}
		if got != len(tt.want) || rt.count() != 1 {
			t.Errorf("%s: %q: %d credentials in %d requests, want %d in one: it is not refreshed", tt.key, tt.value, got, rt.count(), len(tt.want))
		}
	}
	rt := scripted(apiError(401, "UNAUTHORIZED"))
	c := clientWithoutBreaker(t, rt, authos.WithTokens(authos.Tokens{AccessToken: "access-token", RefreshToken: "refresh-token"}))
	err := send(t.Context(), c, "GET", "/api/user", authos.WithHeader("Authorization", ""))
	if seen := rt.requests(); len(seen) != 1 || len(seen[0].header["Authorization"]) != 0 || statusOf(err) != 401 {
		t.Errorf("WithHeader(Authorization, \"\") = %v after %d requests, want one without the header", err, len(seen))
	}
}

// endless is a body that gives nothing and does not end.
type endless struct{ release chan struct{} }

func (e endless) Read([]byte) (int, error) { <-e.release; return 0, io.EOF }
func (e endless) Close() error             { return nil }

func TestHTTPClientForeignBodyThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		hc := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 10 * time.Second})).HTTPClient()
		body := endless{make(chan struct{})}
		defer close(body.release)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, tt := range []struct {
			ctx  context.Context
			took time.Duration
		}{{ctx, time.Second}, {t.Context(), 10 * time.Second}} {
			start := time.Now()
			req, err := http.NewRequestWithContext(tt.ctx, "POST", testBase+"/x/thing", body)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = hc.Do(req); err == nil || time.Since(start) != tt.took || rt.count() != 0 {
				t.Errorf("Do = %v after %s, sent %d, want an error after %s and nothing sent", err, time.Since(start), rt.count(), tt.took)
			}
		}
	})
}

type throwing struct{ value any }

func (b throwing) Read([]byte) (int, error) { panic(b.value) }
func (throwing) Close() error               { return nil }

func TestHTTPClientForeignBodyThatPanics(t *testing.T) {
	defer func() {
		if got := recover(); got != "from the body" {
			t.Errorf("recovered %v, want the body's own panic in the caller's goroutine", got)
		}
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", testBase+"/x/thing", throwing{"from the body"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = clientWithoutBreaker(t, scripted(okReply())).HTTPClient().Do(req)
}

// The response says what it is a response to, and a HEAD's keeps its length.
func TestHTTPClientResponse(t *testing.T) {
	rt := scripted(scriptRedirect(302, "/x/other?b=2"), okReply())
	c := clientWithoutBreaker(t, rt, scriptTokens())
	resp, err := c.HTTPClient().Get(testBase + "/x/thing?a=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.Request.URL.String(); got != testBase+"/x/other?b=2" {
		t.Errorf("Request.URL = %s, want the last one", got)
	}
	if got := resp.Request.Header.Get("Authorization"); got != "" {
		t.Errorf("Request has the credential %q", got)
	}
	rt.set(reply{do: func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Length": {"1234"}}, ContentLength: 1234, Body: http.NoBody, Request: req}, nil
	}})
	if resp, err = c.HTTPClient().Head(testBase + "/x/thing"); err != nil || resp.ContentLength != 1234 {
		t.Errorf("Head = %v, want its Content-Length: 1234", err)
	} else {
		_ = resp.Body.Close()
	}
}
