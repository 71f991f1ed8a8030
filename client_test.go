package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

func TestBaseURL(t *testing.T) {
	insecure := []authos.Option{authos.WithInsecureHTTP()}
	for _, tt := range []struct {
		base string
		opts []authos.Option
		want string // in the error; "": none
	}{
		{"https://sso.example.com", nil, ""},
		{"https://sso.example.com/", nil, ""},
		{"https://sso.example.com:8443/prefix/", nil, ""},
		{"HTTPS://sso.example.com", nil, ""},
		{"https://[2001:db8::1]:8443", nil, ""},
		{"http://localhost:3000", nil, ""},
		{"http://sso.localhost", nil, ""},
		{"http://127.0.0.1:3000", nil, ""},
		{"http://127.8.9.10", nil, ""},
		{"http://[::1]:3000", nil, ""},
		{"http://sso.example.com", insecure, ""},
		{"http://sso.example.com", nil, "http://"},
		{"http://10.0.0.1", nil, "http://"},
		{"http://localhost.example.com", nil, "http://"},
		{"http://notlocalhost", nil, "http://"},
		{"http://127.0.0.1.example.com", nil, "http://"},
		{"", nil, "scheme"},
		{"sso.example.com", nil, "scheme"},
		{"ftp://sso.example.com", nil, "scheme"},
		{"//sso.example.com", nil, "scheme"},
		{"https://", nil, "host"},
		{"https://:443", nil, "host"},
		{"https://user:hunter2@sso.example.com", nil, "credentials"},
		{"https://user@sso.example.com", nil, "credentials"},
		{"https://sso.example.com?a=hunter2", nil, "query"},
		{"https://sso.example.com?", nil, "query"},
		{"https://sso.example.com#hunter2", nil, "fragment"},
		{"https://sso.example.com/a/../b", nil, "dot segments"},
		{"https://sso.example.com/a/%2e%2e/b", nil, "dot segments"},
		{"https://user:hunter2@sso.example.com:port", nil, "parsed"},
		{"https://sso.example.com/%zz", nil, "parsed"},
	} {
		c, err := authos.New(tt.base, tt.opts...)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("New(%q) = %v, want an error about %q without secrets", tt.base, err, tt.want)
		}
		if (c == nil) != (err != nil) {
			t.Errorf("New(%q) = %v, %v, want one of the two", tt.base, c, err)
		}
	}
}

// badOptions are one or more bad values of every option.
func badOptions() map[string][]authos.Option {
	retry := authos.WithRetry
	return map[string][]authos.Option{
		"WithAPIKey":     {authos.WithAPIKey(""), authos.WithAPIKey("a b"), authos.WithAPIKey("a\r\nb")},
		"WithTokens":     {authos.WithTokens(authos.Tokens{}), authos.WithTokens(authos.Tokens{AccessToken: "a\nb"})},
		"WithTokenStore": {authos.WithTokenStore(nil)},
		"WithHTTPClient": {authos.WithHTTPClient(nil)},
		"WithRetry": {
			retry(authos.RetryPolicy{MaxAttempts: -1}), retry(authos.RetryPolicy{BaseDelay: -1}), retry(authos.RetryPolicy{MaxDelay: -1}),
			retry(authos.RetryPolicy{MaxRetryAfter: -1}), retry(authos.RetryPolicy{BaseDelay: 2, MaxDelay: 1}),
			retry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: math.NaN()}}), retry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: math.Inf(1)}}),
		},
		"WithBreaker": {
			authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: -1}), authos.WithBreaker(authos.BreakerPolicy{FailureRatio: 1.1}),
			authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: -1}), authos.WithBreaker(authos.BreakerPolicy{Window: -1}),
		},
		"WithCache":     {authos.WithCache(authos.CachePolicy{MaxStale: -1}), authos.WithCache(authos.CachePolicy{MaxBytes: -1})},
		"WithLogger":    {authos.WithLogger(nil)},
		"WithObserver":  {authos.WithObserver(nil)},
		"WithLanguage":  {authos.WithLanguage(""), authos.WithLanguage("en", "e n"), authos.WithLanguage("en;q=1")},
		"WithUserAgent": {authos.WithUserAgent(""), authos.WithUserAgent("a\nb")},
		"WithRequestID": {authos.WithRequestID(nil)},
		"zero Option":   {{}},
	}
}

func TestBadOptions(t *testing.T) {
	var all []authos.Option
	for name, bad := range badOptions() {
		for i, opt := range bad {
			if c, err := authos.New(testBase, opt); err == nil || c != nil || !strings.Contains(err.Error(), name) {
				t.Errorf("New(bad %s %d) = %v, want an error that names it", name, i, err)
			}
		}
		all = append(all, bad[0])
	}
	_, err := authos.New("http://evil.test?", all...)
	for name := range badOptions() {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New(all bad) = %v, want %s named too", err, name)
		}
	}
	if err != nil && !strings.Contains(err.Error(), "query") {
		t.Errorf("New(all bad) = %v, want the base URL named too", err)
	}
}

func TestGoodPolicies(t *testing.T) {
	for _, p := range []authos.RetryPolicy{
		{},
		{MaxAttempts: 1, MaxElapsed: -1, AttemptTimeout: -1, Budget: authos.RetryBudget{Ratio: -1, Reserve: -1}},
		{MaxDelay: 1},
		{BaseDelay: time.Hour},
		{BaseDelay: math.MaxInt64, MaxDelay: math.MaxInt64, MaxRetryAfter: math.MaxInt64, MaxElapsed: math.MaxInt64, AttemptTimeout: math.MaxInt64},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clientWithoutBreaker(t, scripted(okReply()), authos.WithRetry(p))
			if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
				t.Errorf("Do with %+v = %v", p, err)
			}
		})
	}
}

func TestWithRefusesShared(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(okReply()))
	for name, opt := range map[string]authos.Option{
		"WithHTTPClient":   authos.WithHTTPClient(http.DefaultClient),
		"WithBreaker":      authos.WithBreaker(authos.BreakerPolicy{}),
		"WithCache":        authos.WithCache(authos.CachePolicy{}),
		"WithInsecureHTTP": authos.WithInsecureHTTP(),
		"budget":           authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: 0.5}}),
		"WithAPIKey":       authos.WithAPIKey(""),
		"zero Option":      {},
	} {
		if other, err := c.With(authos.WithLanguage("es"), opt); err == nil || other != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("With(%s) = %v, want an error that names it", name, err)
		}
	}
}

// With keeps what is not given, and shares connections, breakers and budget.
func TestWithShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		budget := authos.RetryBudget{Ratio: 1e-9, Reserve: 3}
		c := clientWithoutBreaker(t, rt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 20}), authos.WithAPIKey(scriptKey), scriptTokens(),
			authos.WithUserAgent("billing/1.4"), authos.WithRetry(authos.RetryPolicy{Budget: budget}))
		alice, err := c.With(authos.WithTokens(authos.Tokens{AccessToken: "alice"}), authos.WithLanguage("es"),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 3}))
		if err != nil {
			t.Fatalf("With = %v: a retry policy without a budget keeps the family's", err)
		}
		for _, tt := range []struct {
			c                      *authos.Client
			path, bearer, key, lng string
		}{
			{c, "/api/user", "Bearer access-token-of-the-test", "", ""},
			{c, "/api/service/info", "", scriptKey, ""},
			{alice, "/api/user", "Bearer alice", "", "es"},
			{alice, "/api/service/info", "", scriptKey, "es"},
		} {
			rt.forget()
			if err := send(t.Context(), tt.c, "GET", tt.path); err != nil {
				t.Fatal(err)
			}
			h := rt.requests()[0].header
			if h.Get("Authorization") != tt.bearer || h.Get("X-Api-Key") != tt.key || h.Get("Accept-Language") != tt.lng || !strings.HasPrefix(h.Get("User-Agent"), "billing/1.4 ") {
				t.Errorf("Do(%s) sent %v, want %+v", tt.path, h, tt)
			}
		}
		rt.set(proxyPage(502))
		// of the budget's three retries Alice takes two, c one
		for i, want := range []int{3, 2, 1} {
			rt.forget()
			_ = send(t.Context(), []*authos.Client{alice, c, alice}[i], "GET", "/x/thing")
			if rt.count() != want {
				t.Errorf("call %d sent %d, want %d", i+1, rt.count(), want)
			}
		}
		for range 20 {
			_ = send(t.Context(), alice, "GET", "/x/thing", authos.WithoutRetry())
		}
		rt.forget()
		if err := send(t.Context(), c, "GET", "/x/thing"); !errors.Is(err, authos.ErrCircuitOpen) || rt.count() != 0 {
			t.Errorf("Do = %v, sent %d, want the circuit that the other client opened", err, rt.count())
		}
	})
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct {
		base, path string
		want       string // the URL sent; "": refused
	}{
		{testBase, "/x/thing", testBase + "/x/thing"},
		{testBase + "/", "/x/thing", testBase + "/x/thing"},
		{testBase + "/sso", "/x/thing", testBase + "/sso/x/thing"},
		{testBase + "/sso/", "/x/a%2Fb", testBase + "/sso/x/a%2Fb"},
		{testBase + "/a%2Fb", "/x/thing", testBase + "/a%2Fb/x/thing"},
		{testBase, "/", testBase + "/"},
		{testBase, "/x/thing/", testBase + "/x/thing/"},
		{testBase, "/x/a%2Fb%20c%C3%BC", testBase + "/x/a%2Fb%20c%C3%BC"},
		{testBase, "/x/a:b@c;d,e=f$g&h~", testBase + "/x/a:b@c;d,e=f$g&h~"},
		{testBase, "/x/...", testBase + "/x/..."},
		{testBase, "/x/a..b", testBase + "/x/a..b"},
		{testBase, "/x/thing?a=1&b=%2F..%2F&a=2", testBase + "/x/thing?a=1&b=%2F..%2F&a=2"},
		{testBase, "/x/thing?next=https://a.test/../b?c", testBase + "/x/thing?next=https://a.test/../b?c"},
		{testBase, "", ""},
		{testBase, "x/thing", ""},
		{testBase, "?a=1", ""},
		{testBase, testBase + "/x/thing", ""},
		{testBase, "https://evil.test/x", ""},
		{testBase, "//evil.test/x", ""},
		{testBase, `/\evil.test/x`, ""},
		{testBase, "/x/../y", ""},
		{testBase, "/x/./y", ""},
		{testBase, "/..", ""},
		{testBase, "/x/..?a=1", ""},
		{testBase, "/x/%2e%2e/y", ""},
		{testBase, "/x/%252e%252e/y", ""},
		{testBase, "/x/..;/y", ""},
		{testBase, "/x/..%3Ba=b/y", ""},
		{testBase, "/x/%2E./y", ""},
		{testBase, "/x/.%2e", ""},
		{testBase, "/x/a%2F..", ""},
		{testBase, "/x/%2F..%2Fy", ""},
		{testBase, "/x/..%2fy", ""},
		{testBase, "/x/..%5Cy", ""},
		{testBase, `/x\y`, ""},
		{testBase, "/x/\x00", ""},
		{testBase, "/x\r\ny", ""},
		{testBase, "/x\ty", ""},
		{testBase, "/x/a b", ""},
		{testBase, "/x\x7f", ""},
		{testBase, "/x?a=b c", ""},
		{testBase, "/x?a=b\nc", ""},
		{testBase, "/x#y", ""},
		{testBase, "/x?a#y", ""},
		{testBase, "/x/%zz", ""},
		{testBase, "/x/%2", ""},
		{testBase, "/x/ü", ""},
		{testBase, `/x/a%2Fb/"`, ""}, // net/url would send /x/a/b/%22
		{testBase, "/x/a%2Fb/ü", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(okReply())
			c, err := authos.New(tt.base, authos.WithHTTPClient(&http.Client{Transport: rt}))
			if err != nil {
				t.Fatal(err)
			}
			err = send(t.Context(), c, "GET", tt.path)
			if tt.want == "" {
				if _, ok := errors.AsType[*authos.ValidationError](err); !ok || !errors.Is(err, authos.ErrInvalid) || rt.count() != 0 {
					t.Errorf("Do(%q) = %v, sent %d, want a *ValidationError, nothing sent", tt.path, err, rt.count())
				}
				return
			}
			if err != nil || rt.requests()[0].url != tt.want {
				t.Errorf("Do(%q) on %s = %v, sent %v, want %s", tt.path, tt.base, err, rt.requests(), tt.want)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(proxyPage(502), okReply())
		if err := clientWithoutBreaker(t, rt).Do(t.Context(), "get", "/x/thing", nil, nil); err != nil || rt.requests()[0].method != "GET" {
			t.Errorf("Do(get) = %v, sent %v, want GET, retried", err, rt.requests())
		}
		for _, method := range []string{"", "G ET", "GET\r\n", "GÉT", "GET/"} {
			if err := clientWithoutBreaker(t, rt).Do(t.Context(), method, "/x/thing", nil, nil); !errors.Is(err, authos.ErrInvalid) {
				t.Errorf("Do(%q) = %v, want ErrInvalid", method, err)
			}
		}
	})
}

func TestDoInput(t *testing.T) {
	type named struct {
		Name string `json:"name"`
	}
	for _, tt := range []struct {
		name, method string
		in           any
		body         string // "-": refused
	}{
		{"nothing", "POST", nil, ""},
		{"struct", "POST", named{"ü"}, `{"name":"ü"}`},
		{"pointer", "POST", &named{"a"}, `{"name":"a"}`},
		{"map", "PUT", map[string]int{"a": 1}, `{"a":1}`},
		{"raw JSON", "PATCH", json.RawMessage(`{"a":1}`), `{"a":1}`},
		{"null", "POST", json.RawMessage("null"), `null`},
		{"text", "POST", "a", `"a"`},
		{"form", "DELETE", url.Values{"a": {"1"}}, "a=1"},
		{"empty form", "POST", url.Values{}, ""},
		{"body of a DELETE", "DELETE", named{"a"}, `{"name":"a"}`},
		{"value for a GET", "GET", named{"a"}, "-"},
		{"reader", "POST", strings.NewReader("{}"), "-"},
		{"channel", "POST", make(chan int), "-"},
		{"NaN", "POST", math.NaN(), "-"},
		{"tokens", "POST", authos.Tokens{AccessToken: "hunter2"}, "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := scripted(okReply())
			err := clientWithoutBreaker(t, rt).Do(t.Context(), tt.method, "/x/thing", tt.in, nil)
			if tt.body == "-" {
				if !errors.Is(err, authos.ErrInvalid) || rt.count() != 0 || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("Do = %v, sent %d, want ErrInvalid, nothing sent", err, rt.count())
				}
				return
			}
			if err != nil || rt.requests()[0].body != tt.body {
				t.Errorf("Do = %v, sent %q, want %q", err, rt.requests()[0].body, tt.body)
			}
		})
	}
}

// An out that cannot take the response is refused before anything is sent: the response to a write
// would be lost.
func TestDoRefusesBadOutput(t *testing.T) {
	rt := scripted(okReply())
	for _, out := range []any{struct{}{}, (*int)(nil), "text", 1} {
		err := clientWithoutBreaker(t, rt).Do(t.Context(), "POST", "/x/thing", nil, out)
		if _, ok := errors.AsType[*authos.ValidationError](err); !ok {
			t.Errorf("Do(out %T) = %v, want a *ValidationError", out, err)
		}
	}
	if n := rt.count(); n != 0 {
		t.Errorf("%d requests were sent, want 0", n)
	}
}

func TestDoOutput(t *testing.T) {
	type response struct{ OK bool }
	for _, tt := range []struct {
		name string
		step reply
		out  any
		want any
		bad  bool
	}{
		{"struct", okReply(), new(response), &response{true}, false},
		{"map", okReply(), new(map[string]any), &map[string]any{"ok": true}, false},
		{"bytes", okReply(), new([]byte), new([]byte(`{"ok":true}`)), false},
		{"bytes of anything", reply{status: 200, body: "<xml/>"}, new([]byte), new([]byte("<xml/>")), false},
		{"raw JSON", okReply(), new(json.RawMessage), new(json.RawMessage(`{"ok":true}`)), false},
		{"nothing wanted", okReply(), nil, nil, false},
		{"204", emptyReply(204), new(response), new(response), false},
		{"null", reply{status: 200, body: " null\n"}, new(response), new(response), false},
		{"201", reply{status: 201, body: `{"ok":true}`}, new(response), &response{true}, false},
		{"empty 200", emptyReply(200), new(response), new(response), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := clientWithoutBreaker(t, scripted(tt.step)).Do(t.Context(), "GET", "/x/thing", nil, tt.out)
			if _, ok := errors.AsType[*authos.DecodeError](err); ok != tt.bad || !tt.bad && err != nil {
				t.Errorf("Do = %v, want a *DecodeError: %t", err, tt.bad)
			}
			if !reflect.DeepEqual(tt.out, tt.want) {
				t.Errorf("out = %+v, want %+v", tt.out, tt.want)
			}
		})
	}
}

func TestNilContext(t *testing.T) {
	rt := scripted(okReply())
	c := clientWithoutBreaker(t, rt)
	var ctx context.Context
	_, tokens := c.Tokens(ctx)
	for name, err := range map[string]error{
		"Do":        c.Do(ctx, "GET", "/x/thing", nil, nil),
		"Tokens":    tokens,
		"SetTokens": c.SetTokens(ctx, authos.Tokens{AccessToken: "a"}),
	} {
		if !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("%s(nil) = %v, want ErrInvalid", name, err)
		}
	}
	if rt.count() != 0 {
		t.Errorf("sent %d, want nothing", rt.count())
	}
}

func TestBadRequestOptions(t *testing.T) {
	for name, opt := range map[string]authos.RequestOption{
		"zero":              {},
		"nil response":      authos.WithResponse(nil),
		"Host":              authos.WithHeader("Host", "evil.test"),
		"Content-Length":    authos.WithHeader("content-length", "1"),
		"Transfer-Encoding": authos.WithHeader("Transfer-Encoding", "chunked"),
		"Connection":        authos.WithHeader("Connection", "close"),
		"Accept-Encoding":   authos.WithHeader("Accept-Encoding", "br"),
		"name":              authos.WithHeader("X Y", "a"),
		"no name":           authos.WithHeader("", "a"),
		"value":             authos.WithHeader("X-Y", "hunter2\r\nX-Z: 1"),
		"request id":        authos.WithHeader("X-Request-ID", strings.Repeat("x", 129)),
	} {
		rt := scripted(okReply())
		err := send(t.Context(), clientWithoutBreaker(t, rt), "GET", "/x/thing", opt)
		if !errors.Is(err, authos.ErrInvalid) || rt.count() != 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Do(%s) = %v, sent %d, want ErrInvalid, nothing sent", name, err, rt.count())
		}
	}
}

// closer is a body that notes its end.
type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestHTTPClient(t *testing.T) {
	const sso = testBase + "/sso"
	for _, tt := range []struct {
		name, method, url string
		body              string
		steps             []reply
		status, sent      int // status 0: an error
	}{
		{"good", "GET", sso + "/x/thing?a=1", "", []reply{okReply()}, 200, 1},
		{"GET retried", "GET", sso + "/x/thing", "", []reply{proxyPage(502), okReply()}, 200, 2},
		{"no method is GET", "", sso + "/x/thing", "", []reply{proxyPage(502), okReply()}, 200, 2},
		{"PUT retried with its body", "PUT", sso + "/x/thing", `{"a":1}`, []reply{proxyPage(502), {err: connectionReset()}, okReply()}, 200, 3},
		{"POST not retried", "POST", sso + "/x/thing", `{"a":1}`, []reply{proxyPage(502)}, 502, 1},
		{"404 is a response", "GET", sso + "/x/thing", "", []reply{apiError(404, "NOT_FOUND")}, 404, 1},
		{"429 is a response", "GET", sso + "/x/thing", "", []reply{apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600")}, 429, 1},
		{"error in a 200 is a response", "GET", sso + "/x/thing", "", []reply{{status: 200, body: `{"error":"x","error_code":"NOT_FOUND"}`}}, 200, 1},
		{"HTML is a response", "GET", sso + "/x/thing", "", []reply{{status: 200, body: "<html>"}}, 200, 1},
		{"upper-case host", "GET", "https://AUTHOS.test:443/sso/x/thing", "", []reply{okReply()}, 200, 1},
		{"reset", "POST", sso + "/x/thing", `{"a":1}`, []reply{{err: connectionReset()}}, 0, 1},
		{"other host", "POST", "https://evil.test/sso/x/thing", `{"a":1}`, []reply{okReply()}, 0, 0},
		{"other port", "GET", "https://authos.test:8443/sso/x/thing", "", []reply{okReply()}, 0, 0},
		{"other scheme", "GET", "http://authos.test/sso/x/thing", "", []reply{okReply()}, 0, 0},
		{"other path", "GET", testBase + "/admin", "", []reply{okReply()}, 0, 0},
		{"path that only begins so", "GET", sso + "2/x/thing", "", []reply{okReply()}, 0, 0},
		{"dot segments", "GET", sso + "/../admin", "", []reply{okReply()}, 0, 0},
		{"escaped dot segments", "GET", sso + "/%2e%2e/admin", "", []reply{okReply()}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(tt.steps...)
				c, err := authos.New(sso, authos.WithHTTPClient(&http.Client{Transport: rt}), scriptTokens())
				if err != nil {
					t.Fatal(err)
				}
				body := &closer{Reader: strings.NewReader(tt.body)}
				u, err := url.Parse(tt.url)
				if err != nil {
					t.Fatal(err)
				}
				req := (&http.Request{Method: tt.method, URL: u, Header: http.Header{"Content-Type": {"text/x"}, "X-Mine": {"1"}}, Host: u.Host}).WithContext(t.Context())
				if tt.body != "" {
					req.Body, req.ContentLength = body, int64(len(tt.body))
				}
				resp, err := c.HTTPClient().Do(req)
				if (err != nil) != (tt.status == 0) || rt.count() != tt.sent {
					t.Fatalf("Do = %v, sent %d, want status %d after %d requests", err, rt.count(), tt.status, tt.sent)
				}
				if tt.body != "" && !body.closed {
					t.Error("the request's body was not closed")
				}
				for _, seen := range rt.requests() {
					if seen.body != tt.body || seen.header.Get("Content-Type") != "text/x" || seen.header.Get("X-Mine") != "1" ||
						seen.header.Get("Authorization") != "Bearer access-token-of-the-test" || seen.header.Get("X-Request-Id") == "" {
						t.Errorf("sent %+v", seen)
					}
				}
				if err != nil {
					return
				}
				data, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if last := tt.steps[len(tt.steps)-1]; err != nil || resp.StatusCode != tt.status || string(data) != last.body || resp.Request.URL != u {
					t.Errorf("response = %d, %q, %v, want %d, %q", resp.StatusCode, data, err, tt.status, last.body)
				}
			})
		})
	}
}

func TestHTTPClientErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do := func(step reply, method string, body io.Reader) error {
			req, _ := http.NewRequestWithContext(t.Context(), method, testBase+"/x/thing", body)
			resp, err := clientWithoutBreaker(t, scripted(step)).HTTPClient().Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}
		if err := do(reply{err: connectionReset()}, "POST", strings.NewReader("x")); !errors.Is(err, authos.ErrOutcomeUnknown) || !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Do(reset) = %v, want ErrNetwork and ErrOutcomeUnknown", err)
		}
		if err := do(reply{status: 200, body: scriptLarge()}, "GET", nil); !errors.As(err, new(*authos.DecodeError)) {
			t.Errorf("Do(17 MiB) = %v, want a *DecodeError", err)
		}
		if err := do(okReply(), "POST", strings.NewReader(scriptLarge())); err == nil || !strings.Contains(err.Error(), "16 MiB") {
			t.Errorf("Do(body of 17 MiB) = %v, want an error", err)
		}
		broken := errors.New("broken pipe of the caller")
		if err := do(okReply(), "POST", io.MultiReader(strings.NewReader("x"), &replyBody{end: broken})); !errors.Is(err, broken) {
			t.Errorf("Do(broken body) = %v, want its error", err)
		}
	})
}

// A credential of the request's own is neither replaced nor refreshed.
func TestHTTPClientOwnCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(apiError(401, "JWT_ERROR"))
		c := clientWithoutBreaker(t, rt, authos.WithTokens(authos.Tokens{AccessToken: "a", RefreshToken: "r"}))
		req, _ := http.NewRequestWithContext(t.Context(), "GET", testBase+"/api/user", nil)
		req.Header.Set("Authorization", "Bearer own")
		resp, err := c.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 401 || rt.count() != 1 || rt.requests()[0].header.Get("Authorization") != "Bearer own" {
			t.Errorf("status %d, sent %+v, want the 401 of the caller's own credential", resp.StatusCode, rt.requests())
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		starts, dones := 0, 0
		c := clientWithoutBreaker(t, rt, authos.WithObserver(&authos.Observer{
			CallStart: func(ctx context.Context, _ authos.CallStart) context.Context { starts++; return ctx },
			CallDone:  func(context.Context, authos.CallDone) { dones++ },
		}))
		other, err := c.With(authos.WithLanguage("es"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		}
		for _, each := range []*authos.Client{c, other} {
			err := send(t.Context(), each, "POST", "/x/thing")
			if !errors.Is(err, net.ErrClosed) || authos.Retryable(err) || errors.Is(err, authos.ErrOutcomeUnknown) {
				t.Errorf("Do = %v, want net.ErrClosed, not retryable", err)
			}
			resp, err := each.HTTPClient().Get(testBase + "/x/thing")
			if err == nil {
				_ = resp.Body.Close()
			}
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("HTTPClient().Get = %v, want net.ErrClosed", err)
			}
		}
		if rt.count() != 0 {
			t.Errorf("sent %d, want nothing", rt.count())
		}
		if starts != dones || starts != 4 {
			t.Errorf("CallStart %d times, CallDone %d times, want 4 each", starts, dones)
		}
	})
}

// Every call that starts ends, and every attempt and wait is reported.
func TestCallEventsInOrder(t *testing.T) {
	type key struct{}
	for _, tt := range []struct {
		name  string
		steps []reply
		want  string
	}{
		{"good", []reply{okReply()}, "start attempt1:200 done:200"},
		{"retried", []reply{proxyPage(502), {err: connectionReset()}, okReply()}, "start attempt1:502 retry attempt2:0 retry attempt3:200 done:200"},
		{"failed", []reply{apiError(404, "NOT_FOUND")}, "start attempt1:404 done:404"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log []string
			add := func(ctx context.Context, parts ...string) {
				if ctx.Value(key{}) != "observed" {
					t.Errorf("%v: the context is not CallStart's", parts)
				}
				log = append(log, strings.Join(parts, ":"))
			}
			number := func(n int) string { return slog.IntValue(n).String() }
			c := clientWithoutBreaker(t, scripted(tt.steps...), authos.WithObserver(&authos.Observer{
				CallStart: func(ctx context.Context, e authos.CallStart) context.Context {
					ctx = context.WithValue(ctx, key{}, "observed")
					add(ctx, "start")
					return ctx
				},
				Attempt: func(ctx context.Context, e authos.AttemptEvent) {
					add(ctx, "attempt"+number(e.Number), number(e.StatusCode))
				},
				Wait:     func(ctx context.Context, e authos.WaitEvent) { add(ctx, e.Reason) },
				CallDone: func(ctx context.Context, e authos.CallDone) { add(ctx, "done", number(e.StatusCode)) },
			}))
			_ = send(t.Context(), c, "GET", "/x/thing")
			if got := strings.Join(log, " "); got != tt.want {
				t.Errorf("%s: observed %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}

// The Response tells of the last response, also when the last attempt had none.
func TestResponseAfterNetworkError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(emptyReply(429, "Retry-After", "1", "X-Ratelimit-Remaining", "0", "X-Request-Id", "srv-1"), reply{err: connectionReset()})
		var resp authos.Response
		err := send(t.Context(), clientWithoutBreaker(t, rt), "POST", "/x/thing", authos.WithResponse(&resp))
		if !errors.Is(err, authos.ErrNetwork) || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" ||
			resp.RateLimit == nil || resp.RateLimit.Remaining != 0 || resp.RequestID != "srv-1" || resp.Attempts != 2 {
			t.Errorf("Do = %v, Response = %+v, want what the 429 said", err, resp)
		}
	})
}

// Of more languages than weights can tell apart, the last ones share the lowest weight; none is
// refused, and none asks for "not at all".
func TestElevenLanguages(t *testing.T) {
	rt := scripted(okReply())
	tags := []string{"en", "es", "fr", "de", "it", "pt", "nl", "sv", "da", "fi", "no", "pl"}
	if err := clientWithoutBreaker(t, rt, authos.WithLanguage(tags...)).Do(t.Context(), "GET", "/api/things", nil, nil); err != nil {
		t.Fatal(err)
	}
	want := "en, es;q=0.9, fr;q=0.8, de;q=0.7, it;q=0.6, pt;q=0.5, nl;q=0.4, sv;q=0.3, da;q=0.2, fi;q=0.1, no;q=0.1, pl;q=0.1"
	if got := rt.requests()[0].header.Get("Accept-Language"); got != want {
		t.Errorf("Accept-Language = %q, want %q", got, want)
	}
}
