package authos_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

const scriptKey = "sk_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func scriptTokens() authos.Option {
	return authos.WithTokens(authos.Tokens{AccessToken: "access-token-of-the-test"})
}

// scriptLarge is a JSON body of 17 MiB.
func scriptLarge() string { return `{"x":"` + strings.Repeat("x", 17<<20) + `"}` }

func scriptRedirect(status int, location string) reply {
	return emptyReply(status, "Location", location)
}

func TestRedirects(t *testing.T) {
	for _, tt := range []struct {
		name, method, path string
		step               reply
		sent               int // 2: followed
		unknown            bool
	}{
		{"same origin", "GET", "/api/user", scriptRedirect(302, "/api/user/profile"), 2, false},
		{"same origin, absolute", "GET", "/api/user", scriptRedirect(307, testBase+"/api/user/profile"), 2, false},
		{"same origin, default port", "GET", "/api/user", scriptRedirect(308, testBase+":443/api/user/profile"), 2, false},
		{"same origin, upper case", "GET", "/api/user", scriptRedirect(301, "HTTPS://AUTHOS.test/api/user/profile"), 2, false},
		{"HEAD", "HEAD", "/api/user", scriptRedirect(302, "/api/user/profile"), 2, false},
		{"other host", "GET", "/api/service/info", scriptRedirect(302, "https://evil.test/x"), 1, false},
		{"subdomain", "GET", "/api/service/info", scriptRedirect(302, "https://a.authos.test/x"), 1, false},
		{"host by slashes", "GET", "/api/service/info", scriptRedirect(302, "//evil.test/x"), 1, false},
		{"other port", "GET", "/api/service/info", scriptRedirect(307, testBase+":8443/x"), 1, false},
		{"http", "GET", "/api/service/info", scriptRedirect(308, "http://authos.test/x"), 1, false},
		{"other scheme", "GET", "/api/service/info", scriptRedirect(302, "file:///etc/passwd"), 1, false},
		{"bad location", "GET", "/api/service/info", scriptRedirect(302, "https://%zz/"), 1, false},
		{"POST 302", "POST", "/api/organizations", scriptRedirect(302, "/x"), 1, true},
		{"POST 307", "POST", "/api/organizations", scriptRedirect(307, "/x"), 1, true},
		{"PUT 308", "PUT", "/x/thing", scriptRedirect(308, "/x"), 1, true},
		{"DELETE 303", "DELETE", "/x/thing", scriptRedirect(303, "/x"), 1, true},
		{"single-use GET", "GET", "/api/auth/magic-link/verify?token=t", scriptRedirect(302, "/x"), 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ok := okReply()
				if tt.method == "HEAD" {
					ok.body = ""
				}
				rt := scripted(tt.step, ok)
				c := clientWithoutBreaker(t, rt, authos.WithAPIKey(scriptKey), scriptTokens())
				err := send(t.Context(), c, tt.method, tt.path)
				if rt.count() != tt.sent {
					t.Fatalf("Do = %v, sent %d, want %d", err, rt.count(), tt.sent)
				}
				if tt.sent == 2 {
					first, second := rt.requests()[0], rt.requests()[1]
					if err != nil && tt.method != "HEAD" {
						t.Errorf("Do = %v, want the redirect followed", err)
					}
					for _, name := range []string{"Authorization", "X-Request-Id", "Accept", "User-Agent"} {
						if second.header.Get(name) == "" || second.header.Get(name) != first.header.Get(name) {
							t.Errorf("%s after the redirect = %q, want %q", name, second.header.Get(name), first.header.Get(name))
						}
					}
					if ref := second.header.Get("Referer"); ref != "" {
						t.Errorf("Referer = %q, want none: it would hold the query", ref)
					}
					return
				}
				var network *authos.NetworkError
				if !errors.As(err, &network) || network.Op != "redirect" || authos.Retryable(err) {
					t.Errorf("Do = %v, want a *NetworkError of op redirect that is not retryable", err)
				}
				if errors.Is(err, authos.ErrOutcomeUnknown) != tt.unknown {
					t.Errorf("errors.Is(%v, ErrOutcomeUnknown) = %t", err, !tt.unknown)
				}
				if strings.Contains(err.Error(), "token=") {
					t.Errorf("Error() = %q holds the query", err)
				}
			})
		})
	}
}

// A redirect keeps the method, but 303 asks for a GET in place of what is no HEAD. It may come
// without a Body from a foreign transport.
func TestMethodOfARedirect(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		want   string
	}{{"OPTIONS", 303, "GET"}, {"OPTIONS", 307, "OPTIONS"}, {"OPTIONS", 302, "OPTIONS"}, {"HEAD", 303, "HEAD"}, {"GET", 303, "GET"}} {
		var got []string
		err := send(t.Context(), through(t, func(req *http.Request) (*http.Response, error) {
			if got = append(got, req.Method); len(got) > 1 {
				return emptyReply(204).response(req), nil
			}
			return &http.Response{StatusCode: tt.status, Header: http.Header{"Location": {"/x/other"}}, Request: req}, nil
		}), tt.method, "/x/thing")
		if err != nil || len(got) != 2 || got[1] != tt.want {
			t.Errorf("%s, %d: Do = %v, sent %v, want %s second", tt.method, tt.status, err, got, tt.want)
		}
	}
}

func TestRedirectLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(scriptRedirect(302, "/x/again"))
		err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/x/thing")
		if e, ok := errors.AsType[*authos.NetworkError](err); !ok || e.Op != "redirect" || rt.count() != 10 || authos.Retryable(err) {
			t.Errorf("Do = %v, sent %d, want 10 requests and no more", err, rt.count())
		}
	})
}

// The caller's own CheckRedirect comes after our rules.
func TestUsersCheckRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := errors.New("not on my watch")
		asked := 0
		for location, want := range map[string]int{"/x/other": 1, "https://evil.test/": 0} {
			asked = 0
			rt := scripted(scriptRedirect(302, location), okReply())
			hc := &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { asked++; return refusal }}
			err := send(t.Context(), clientWithoutBreaker(t, nil, authos.WithHTTPClient(hc)), "GET", "/x/thing")
			if asked != want || rt.count() != 1 || errors.Is(err, refusal) != (want == 1) {
				t.Errorf("Do(%s) = %v, asked %d times, want %d", location, err, asked, want)
			}
		}
	})
}

// On real connections: the other server sees nothing at all.
func TestRedirectToAnotherServer(t *testing.T) {
	var leaked []http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = append(leaked, r.Header) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c, err := authos.New(srv.URL, authos.WithAPIKey(scriptKey), scriptTokens())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, path := range []string{"/api/service/info", "/api/user"} {
		if err := send(t.Context(), c, "GET", path); !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Do(%s) = %v, want ErrNetwork", path, err)
		}
		resp, err := c.HTTPClient().Get(srv.URL + path)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("HTTPClient().Get(%s) = %d, want an error", path, resp.StatusCode)
		}
	}
	if len(leaked) != 0 {
		t.Errorf("the other server saw %v", leaked)
	}
}

func TestBodies(t *testing.T) {
	exact := `{"x":"` + strings.Repeat("x", 16<<20-8) + `"}`
	for _, tt := range []struct {
		name   string
		step   reply
		sent   int
		decode string // in the text of the *DecodeError; "": none
		status int    // of the *APIError
	}{
		{"good", okReply(), 1, "", 0},
		{"16 MiB", reply{status: 200, body: exact}, 1, "", 0},
		{"17 MiB", reply{status: 200, body: scriptLarge()}, 1, "larger than 16 MiB", 0},
		{"17 MiB, cut", reply{status: 200, body: scriptLarge(), cut: io.ErrUnexpectedEOF}, 1, "larger than 16 MiB", 0},
		{"20 MB error", reply{status: 400, body: `{"error":"the text","error_code":"BAD_REQUEST","x":"` + strings.Repeat("x", 20_000_000) + `"}`}, 1, "", 400},
		{"20 MB error page", reply{status: 502, body: "<html>" + strings.Repeat("x", 20_000_000)}, 4, "", 502},
		{"cut error", reply{status: 403, body: `{"error":"the te`, cut: io.ErrUnexpectedEOF}, 1, "", 403},
		{"reset error", reply{status: 404, cut: connectionReset()}, 1, "", 404},
		{"cut without a length", reply{status: 200, body: `{"ok":`}, 1, "unexpected end of JSON", 0},
		{"HTML", reply{status: 200, header: headers("Content-Type", "text/html"), body: "\n<!doctype html><title>x</title>"}, 1, "HTML instead of JSON", 0},
		{"empty", emptyReply(200), 1, "empty", 0},
		{"wrong type", reply{status: 200, body: `["x"]`}, 1, "array", 0},
		{"302 without a location", emptyReply(302), 1, "neither a success nor an error", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(tt.step)
				var out struct{ OK bool }
				err := clientWithoutBreaker(t, rt).Do(t.Context(), "GET", "/x/thing", nil, &out)
				if rt.count() != tt.sent {
					t.Errorf("sent %d, want %d", rt.count(), tt.sent)
				}
				var decode *authos.DecodeError
				if errors.As(err, &decode) != (tt.decode != "") || decode != nil &&
					(!strings.Contains(err.Error(), tt.decode) || len(decode.Body) > 64<<10 || decode.StatusCode != tt.step.status || decode.RequestID == "") {
					t.Errorf("Do = %v (%+v), want a *DecodeError with %q", err, decode != nil, tt.decode)
				}
				if tt.decode != "" && (authos.Retryable(err) || errors.Is(err, authos.ErrOutcomeUnknown)) {
					t.Errorf("Do = %v: want neither retryable nor unknown", err)
				}
				var api *authos.APIError
				if errors.As(err, &api) != (tt.status != 0) || api != nil && (api.StatusCode != tt.status || len(api.Body) > 64<<10) {
					t.Errorf("Do = %v, want status %d and a bounded body", err, tt.status)
				}
				if tt.decode == "" && tt.status == 0 && err != nil {
					t.Errorf("Do = %v, want nil", err)
				}
			})
		})
	}
}

// Whatever comes of a response, its body is closed, once it was opened: an open one would keep its
// connection.
func TestBodiesAreClosed(t *testing.T) {
	for name, step := range map[string]reply{
		"good": okReply(), "too large": {status: 200, body: scriptLarge()}, "cut": {status: 200, body: "{", cut: connectionReset()},
		"an error": apiError(404, "NOT_FOUND"), "a long error": {status: 400, body: scriptLarge()}, "unasked 101": emptyReply(101),
		"a redirect": scriptRedirect(302, "/x/other"), "a refused redirect": scriptRedirect(302, "https://evil.test/"),
		"a response with an error": {status: 200, err: connectionReset()},
	} {
		opened, closed := 0, 0
		err := send(t.Context(), through(t, func(req *http.Request) (*http.Response, error) {
			resp := step.response(req)
			if req.URL.Path == "/x/other" {
				resp = okReply().response(req)
			}
			opened++
			resp.Body = &closing{resp.Body, &closed}
			return resp, step.err
		}), "GET", "/x/thing", authos.WithoutRetry())
		if opened == 0 || closed != opened {
			t.Errorf("%s: Do = %v, %d bodies closed of %d", name, err, closed, opened)
		}
	}
}

// closing counts the bodies that are closed.
type closing struct {
	io.ReadCloser
	closed *int
}

func (c *closing) Close() error {
	*c.closed++
	return c.ReadCloser.Close()
}

func TestDribblingBody(t *testing.T) {
	for _, status := range []int{200, 502} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
				resp := reply{status: status}.response(req)
				resp.Body = &dribble{ctx: req.Context(), every: time.Second}
				return resp, nil
			}})
			c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 10 * time.Second, MaxAttempts: 2, BaseDelay: 1, MaxDelay: 1}))
			start := time.Now()
			err := send(t.Context(), c, "GET", "/x/thing")
			if took := time.Since(start).Round(time.Second); took != 20*time.Second || rt.count() != 2 {
				t.Errorf("took %s, sent %d, want two attempts of 10s", took, rt.count())
			}
			var network *authos.NetworkError
			if status == 200 && (!errors.As(err, &network) || !network.Timeout() || network.Op != "read body") {
				t.Errorf("Do = %v, want a *NetworkError that timed out", err)
			}
			if status != 200 && statusOf(err) != status {
				t.Errorf("Do = %v, want the status", err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(proxyPage(502), reply{err: connectionReset()}, okReply())
		c := clientWithoutBreaker(t, rt, authos.WithAPIKey(scriptKey), scriptTokens(), authos.WithUserAgent("billing/1.4"), authos.WithLanguage("es", "en"))
		var resp authos.Response
		if err := c.Do(t.Context(), "PUT", "/x/thing", map[string]int{"a": 1}, nil, authos.WithHeader("X-Organization-ID", "o1"), authos.WithResponse(&resp)); err != nil {
			t.Fatal(err)
		}
		for i, seen := range rt.requests() {
			for name, want := range map[string]string{
				"Accept": "application/json", "Accept-Language": "es, en;q=0.9", "User-Agent": "billing/1.4 authos-go/0.1.0",
				"Content-Type": "application/json", "X-Organization-Id": "o1", "Authorization": "Bearer access-token-of-the-test",
				"X-Api-Key": "", "X-Request-Id": resp.RequestID,
			} {
				if got := seen.header.Get(name); got != want {
					t.Errorf("attempt %d: %s = %q, want %q", i+1, name, got, want)
				}
			}
			if seen.body != `{"a":1}` {
				t.Errorf("attempt %d: body = %q", i+1, seen.body)
			}
		}
		if len(resp.RequestID) != 32 {
			t.Errorf("RequestID = %q, want 32 hex digits", resp.RequestID)
		}
	})
}

func TestCredentials(t *testing.T) {
	own := authos.WithHeader("Authorization", "Basic b3duOm93bg==")
	for _, tt := range []struct {
		method, path string
		opts         []authos.RequestOption
		bearer, key  string
	}{
		{"GET", "/api/user", nil, "Bearer access-token-of-the-test", ""},
		{"GET", "/x/thing", nil, "Bearer access-token-of-the-test", ""},
		{"GET", "/api/service/info", nil, "", scriptKey},
		{"GET", "/api/service/unknown", nil, "", scriptKey},
		{"GET", "/api/serviceX", nil, "Bearer access-token-of-the-test", ""},
		{"POST", "/api/auth/login", nil, "", ""},
		{"POST", "/oauth/token", nil, "", ""},
		{"POST", "/oauth2/whatever", nil, "", ""},
		{"GET", "/scim/v2/Users", nil, "", ""},
		{"GET", "/api/user", []authos.RequestOption{own}, "Basic b3duOm93bg==", ""},
		{"GET", "/scim/v2/Users", []authos.RequestOption{own}, "Basic b3duOm93bg==", ""},
		{"GET", "/api/service/info", []authos.RequestOption{authos.WithHeader("X-Api-Key", "sk_other")}, "", "sk_other"},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(okReply())
			c := clientWithoutBreaker(t, rt, authos.WithAPIKey(scriptKey), scriptTokens())
			if err := send(t.Context(), c, tt.method, tt.path, tt.opts...); err != nil {
				t.Fatalf("Do(%s) = %v", tt.path, err)
			}
			h := rt.requests()[0].header
			for name, values := range h {
				if slices.Contains(values, "") {
					t.Errorf("Do(%s): %s = %q, want it left out", tt.path, name, values)
				}
			}
			if h.Get("Authorization") != tt.bearer || h.Get("X-Api-Key") != tt.key {
				t.Errorf("Do(%s): Authorization = %q, X-Api-Key = %q, want %q, %q", tt.path, h.Get("Authorization"), h.Get("X-Api-Key"), tt.bearer, tt.key)
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	fixed := func(id string) authos.Option {
		return authos.WithRequestID(func(context.Context) string { return id })
	}
	for _, tt := range []struct {
		name   string
		opts   []authos.Option
		req    []authos.RequestOption
		step   reply
		sent   string // "": any of ours
		server string // "": ours
	}{
		{name: "ours", step: apiError(404, "NOT_FOUND")},
		{name: "the caller's function", opts: []authos.Option{fixed("trace-1")}, step: apiError(404, "NOT_FOUND"), sent: "trace-1"},
		{name: "the caller's function gives nothing", opts: []authos.Option{fixed("")}, step: apiError(404, "NOT_FOUND")},
		{name: "the caller's function gives blanks", opts: []authos.Option{fixed(" \t")}, step: apiError(404, "NOT_FOUND")},
		{name: "the caller's function gives outer blanks", opts: []authos.Option{fixed(" trace-1")}, step: apiError(404, "NOT_FOUND")},
		{name: "the caller's function gives a line", opts: []authos.Option{fixed("a\r\nX-Evil: 1")}, step: apiError(404, "NOT_FOUND")},
		{name: "the caller's function gives too much", opts: []authos.Option{fixed(strings.Repeat("x", 129))}, step: apiError(404, "NOT_FOUND")},
		{name: "the call's header", req: []authos.RequestOption{authos.WithHeader("X-Request-ID", "mine")}, step: apiError(404, "NOT_FOUND"), sent: "mine"},
		{name: "the server's header", step: apiError(404, "NOT_FOUND", "X-Request-Id", "srv-1"), server: "srv-1"},
		{name: "the server's body", step: reply{status: 404, body: `{"error":{"code":"NOT_FOUND","message":"m","request_id":"srv-2"}}`}, server: "srv-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(proxyPage(502), tt.step)
				var resp authos.Response
				err := send(t.Context(), clientWithoutBreaker(t, rt, tt.opts...), "GET", "/x/thing", append(tt.req, authos.WithResponse(&resp))...)
				seen := rt.requests()
				sent := seen[0].header.Get("X-Request-Id")
				if sent == "" || sent != seen[1].header.Get("X-Request-Id") || tt.sent != "" && sent != tt.sent || tt.sent == "" && len(sent) != 32 {
					t.Errorf("X-Request-ID = %q, then %q, want %q on both", sent, seen[1].header.Get("X-Request-Id"), tt.sent)
				}
				want := tt.server
				if want == "" {
					want = sent
				}
				var api *authos.APIError
				if !errors.As(err, &api) || api.RequestID != want || api.ClientRequestID != sent {
					t.Errorf("Do = %v with RequestID %q, ClientRequestID %q, want %q, %q", err, api.RequestID, api.ClientRequestID, want, sent)
				}
				if resp.RequestID != want {
					t.Errorf("Response.RequestID = %q, want %q", resp.RequestID, want)
				}
			})
		})
	}
}

// A form is sent as such, and as the query of a read.
func TestForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		c := clientWithoutBreaker(t, rt)
		form := url.Values{"b": {"2 &"}, "a": {"1"}}
		for _, tt := range []struct{ method, path, url, body, contentType string }{
			{"POST", "/oauth/token", "/oauth/token", "a=1&b=2+%26", "application/x-www-form-urlencoded"},
			{"GET", "/x/thing", "/x/thing?a=1&b=2+%26", "", ""},
			{"GET", "/x/thing?c=3", "/x/thing?c=3&a=1&b=2+%26", "", ""},
			{"HEAD", "/x/thing", "/x/thing?a=1&b=2+%26", "", ""},
		} {
			rt.forget()
			if err := c.Do(t.Context(), tt.method, tt.path, form, nil); err != nil {
				t.Fatalf("Do(%s) = %v", tt.path, err)
			}
			seen := rt.requests()[0]
			if seen.url != testBase+tt.url || seen.body != tt.body || seen.header.Get("Content-Type") != tt.contentType {
				t.Errorf("Do(%s %s) sent %s, %q, %q", tt.method, tt.path, seen.url, seen.body, seen.header.Get("Content-Type"))
			}
		}
	})
}
