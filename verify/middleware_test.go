package verify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
)

// hello writes what it finds in the context.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := verify.ClaimsFrom(r.Context())
	fmt.Fprintf(w, "%t %s", ok, c.Subject)
})

// serve sends a request with these Authorization fields through a handler.
func serve(t testing.TB, h http.Handler, authorization ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
	for _, field := range authorization {
		r.Header.Add("Authorization", field)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddleware(t *testing.T) {
	now := time.Now()
	good := signed(goodHeader(), goodClaims(now), firstKey())
	token := func(changes object) string {
		return "Bearer " + signed(goodHeader(), with(goodClaims(now), changes), firstKey())
	}
	const (
		missing = `Bearer realm="AuthOS"`
		twice   = `Bearer realm="AuthOS", error="invalid_request", error_description="more than one Authorization field"`
		expired = `Bearer realm="AuthOS", error="invalid_token", error_description="the access token has expired"`
		invalid = `Bearer realm="AuthOS", error="invalid_token", error_description="the access token is not valid here"`
	)
	v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.ServiceAudience("acme", "web")})
	for _, row := range []struct {
		name          string
		authorization []string
		status        int
		challenge     string
	}{
		{"good", []string{"Bearer " + good}, 200, ""},
		{"good, lower case", []string{"bearer " + good}, 200, ""},
		{"good, capitals", []string{"BEARER   " + good}, 200, ""},
		{"none", nil, 401, missing},
		{"empty", []string{""}, 401, missing},
		{"scheme alone", []string{"Bearer"}, 401, missing},
		{"scheme and space", []string{"Bearer "}, 401, missing},
		{"another scheme", []string{"Basic dXNlcjpwYXNz"}, 401, missing},
		{"a scheme that begins alike", []string{"BearerX " + good}, 401, missing},
		{"token alone", []string{good}, 401, missing},
		{"twice", []string{"Bearer " + good, "Bearer " + good}, 400, twice},
		{"two in one field", []string{"Bearer " + good + ", Bearer " + good}, 401, invalid},
		{"tab", []string{"Bearer \t" + good}, 401, invalid},
		{"space behind", []string{"Bearer " + good + " "}, 401, invalid},
		{"garbage", []string{"Bearer x.y.z"}, 401, invalid},
		{"expired", []string{token(object{"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix()})}, 401, expired},
		{"foreign", []string{token(object{"org": "globex", "aud": "service:globex/web"})}, 401, invalid},
		{"foreign and expired", []string{token(object{
			"org": "globex", "aud": "service:globex/web", "exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix(),
		})}, 401, invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := serve(t, v.Middleware(hello), row.authorization...)
			if w.Code != row.status || w.Header().Get("WWW-Authenticate") != row.challenge {
				t.Fatalf("%d %q, want %d %q", w.Code, w.Header().Get("WWW-Authenticate"), row.status, row.challenge)
			}
			body := w.Body.String()
			if row.status == 200 {
				if body != "true user-1" || w.Header().Get("Cache-Control") != "" {
					t.Fatalf("body %q", body)
				}
				return
			}
			var said struct {
				Error       string
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal([]byte(body), &said); err != nil || said.Error == "" || said.Description == "" {
				t.Fatalf("body %q: %v", body, err)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("header %v", w.Header())
			}
			if strings.Contains(body+fmt.Sprint(w.Header()), "globex") || strings.Contains(body, good) {
				t.Errorf("the response says too much: %q", body)
			}
		})
	}
}

func TestMiddlewareUnavailable(t *testing.T) {
	inBubble(t, single(), func(t *testing.T, b *bubble) {
		// of the key endpoint: it says nothing about the caller
		b.source.set(func(s *source) { s.fail = http.StatusUnauthorized })
		w := serve(t, b.v.Middleware(hello), "Bearer "+b.first)
		if w.Code != 503 || w.Header().Get("Retry-After") != "10" || w.Header().Get("WWW-Authenticate") != "" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		b.serve(first())
		time.Sleep(10 * time.Second)
		if w := serve(t, b.v.Middleware(hello), "Bearer "+b.first); w.Code != 200 {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
	})
}

func TestRequire(t *testing.T) {
	now := time.Now()
	key := firstKey()
	of := func(changes object) string {
		return "Bearer " + signed(goodHeader(), with(goodClaims(now), changes), key)
	}
	acme := of(nil)
	globex := of(object{"org": "globex", "aud": "service:globex/web"})
	platform := of(object{"org": nil, "service": nil, "aud": "platform"})
	owner := of(object{"is_platform_owner": true})
	v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience()})
	orgs := []string{"globex"}
	onlyGlobex := v.RequireOrg(orgs...)(hello)
	orgs[0] = "acme"
	const insufficient = `Bearer realm="AuthOS", error="insufficient_scope", error_description="the access token does not suffice for this"`
	for _, row := range []struct {
		name    string
		handler http.Handler
		auth    string
		status  int
	}{
		{"org", v.RequireOrg("acme")(hello), acme, 200},
		{"one of two orgs", v.RequireOrg("initech", "acme")(hello), acme, 200},
		{"other org", v.RequireOrg("acme")(hello), globex, 403},
		{"other org, in a list that the caller changed since", onlyGlobex, acme, 403},
		{"no org", v.RequireOrg("acme")(hello), platform, 403},
		{"any org", v.RequireOrg()(hello), globex, 200},
		{"any org, none", v.RequireOrg()(hello), platform, 403},
		{"org of an empty slug", v.RequireOrg("")(hello), platform, 403},
		{"org, no token", v.RequireOrg("acme")(hello), "", 401},
		{"owner", v.RequirePlatformOwner(hello), owner, 200},
		{"no owner", v.RequirePlatformOwner(hello), acme, 403},
		{"owner, no token", v.RequirePlatformOwner(hello), "", 401},
		{"both", v.RequireOrg("acme")(v.RequirePlatformOwner(hello)), owner, 200},
		{"both, no owner", v.RequireOrg("acme")(v.RequirePlatformOwner(hello)), acme, 403},
		{"both, other org", v.RequirePlatformOwner(v.RequireOrg("globex")(hello)), owner, 403},
		{"under the middleware", v.Middleware(v.RequireOrg("acme")(hello)), acme, 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := serve(t, row.handler, row.auth)
			if w.Code != row.status {
				t.Fatalf("%d, want %d", w.Code, row.status)
			}
			if got := w.Header().Get("WWW-Authenticate"); row.status == 403 && got != insufficient {
				t.Errorf("challenge %q", got)
			}
		})
	}
}

// What has been verified further out is not verified again, however long that took.
func TestNestedMiddleware(t *testing.T) {
	online(t, verify.Online{For: time.Second}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		c, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		inner := v.RequireOrg("acme")(v.RequirePermission(c.Permissions...)(hello))
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			inner.ServeHTTP(w, r)
		})
		if w := serve(t, v.Middleware(slow), "Bearer "+token); w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
		if n := srv.Count("GET", "/api/user"); n != 2 {
			t.Errorf("%d checks, want one for Verify and one for the request", n)
		}
	})
}

// Claims from elsewhere in the context open nothing: the middleware looks at the request's own
// token, and at the verifier.
func TestMiddlewareTrustsOnlyItself(t *testing.T) {
	now := time.Now()
	token := "Bearer " + signed(goodHeader(), goodClaims(now), firstKey())
	loose := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience()})
	strict := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.ServiceAudience("acme", "mobile")})
	if w := serve(t, loose.Middleware(strict.Middleware(hello)), token); w.Code != 401 {
		t.Errorf("another verifier's word was taken: %d", w.Code)
	}
	planted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := verify.WithClaims(r.Context(), verify.Claims{Subject: "admin", Org: "acme", IsPlatformOwner: true})
		loose.RequirePlatformOwner(hello).ServeHTTP(w, r.WithContext(ctx))
	})
	if w := serve(t, planted); w.Code != 401 {
		t.Errorf("planted claims were taken: %d", w.Code)
	}
	if w := serve(t, planted, token); w.Code != 403 {
		t.Errorf("planted claims were taken: %d", w.Code)
	}
	swapped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer something else")
		loose.RequireOrg("acme")(hello).ServeHTTP(w, r)
	})
	if w := serve(t, loose.Middleware(swapped), token); w.Code != 401 {
		t.Errorf("the first token's claims were taken for another: %d", w.Code)
	}
}

func TestClaimsFrom(t *testing.T) {
	if c, ok := verify.ClaimsFrom(t.Context()); ok || c.Subject != "" {
		t.Errorf("claims %+v out of nothing", c)
	}
	c, ok := verify.ClaimsFrom(verify.WithClaims(t.Context(), verify.Claims{Subject: "user-1"}))
	if !ok || c.Subject != "user-1" {
		t.Errorf("claims %+v, %t", c, ok)
	}
}

func TestRequirePermission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		token := srv.SignIn("ada@example.com").AccessToken
		checked := newVerifier(t, srv.URL, srv.Transport(), verify.Config{
			Audience: verify.AnyAudience(), Online: &verify.Online{FailOpen: true},
		})
		c, err := checked.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		has := c.Permissions[0]
		plain := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.AnyAudience()})
		for name, v := range map[string]*verify.Verifier{"with Online": checked, "without": plain} {
			time.Sleep(time.Minute)
			before := srv.Count("GET", "/api/user")
			if w := serve(t, v.Middleware(v.RequirePermission(has)(v.RequirePermission(has)(hello))), "Bearer "+token); w.Code != 200 {
				t.Errorf("%s: %d", name, w.Code)
			}
			if w := serve(t, v.RequirePermission(has, "no such")(hello), "Bearer "+token); w.Code != 403 {
				t.Errorf("%s: %d without the permission", name, w.Code)
			}
			if w := serve(t, v.RequirePermission(has)(hello)); w.Code != 401 {
				t.Errorf("%s: %d without a token", name, w.Code)
			}
			if n := srv.Count("GET", "/api/user") - before; n != 1 {
				t.Errorf("%s: %d checks, want 1", name, n)
			}
		}
		// Permissions are never assumed, not even where checks may fail.
		time.Sleep(time.Minute)
		srv.Outage(http.StatusBadGateway)
		for name, v := range map[string]*verify.Verifier{"with Online": checked, "without": plain} {
			w := serve(t, v.RequirePermission(has)(hello), "Bearer "+token)
			if w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d %v in an outage", name, w.Code, w.Header())
			}
		}
		if w := serve(t, checked.Middleware(hello), "Bearer "+token); w.Code != 200 {
			t.Errorf("%d though checks may fail", w.Code)
		}
	})
}

// A list of permissions that is empty, or has an empty name, is a mistake: nobody passes.
func TestRequireNoPermission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		var reason error
		v := newVerifier(t, srv.URL, srv.Transport(), verify.Config{
			Audience: verify.AnyAudience(), Online: &verify.Online{},
			OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
				reason = err
				verify.WriteError(w, err)
			},
		})
		token := srv.SignIn("ada@example.com").AccessToken
		c, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		for name, require := range map[string]func(http.Handler) http.Handler{
			"none": v.RequirePermission(), "an empty one": v.RequirePermission(""),
			"an empty one of two": v.RequirePermission(c.Permissions[0], ""),
		} {
			if w := serve(t, require(hello), "Bearer "+token); w.Code != http.StatusForbidden {
				t.Errorf("%s: %d, want 403", name, w.Code)
			}
			if reason == nil || !strings.Contains(reason.Error(), "RequirePermission was given") {
				t.Errorf("%s: the log says %v", name, reason)
			}
			if w := serve(t, require(hello)); w.Code != http.StatusUnauthorized {
				t.Errorf("%s, no token: %d, want 401", name, w.Code)
			}
		}
	})
}

// A browser's preflight has no token. It is not refused, and reaches no handler of the program;
// what only looks like one is a request like any other.
func TestPreflight(t *testing.T) {
	v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience()})
	reached := false
	protected := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })
	browser := http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"PUT"}}
	change := func(change func(h http.Header)) http.Header {
		h := browser.Clone()
		change(h)
		return h
	}
	for _, row := range []struct {
		name, method string
		header       http.Header
		status       int
	}{
		{"preflight", "OPTIONS", browser, 204},
		{"without Origin", "OPTIONS", change(func(h http.Header) { h.Del("Origin") }), 401},
		{"OPTIONS alone", "OPTIONS", http.Header{}, 401},
		{"without a method", "OPTIONS", change(func(h http.Header) { h.Del("Access-Control-Request-Method") }), 401},
		{"an empty method", "OPTIONS", change(func(h http.Header) { h.Set("Access-Control-Request-Method", "") }), 401},
		{"GET", "GET", browser, 401},
		{"PUT", "PUT", browser, 401},
		{"lower case", "options", browser, 401},
		{"with a bad token", "OPTIONS", change(func(h http.Header) { h.Set("Authorization", "Bearer x") }), 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			for what, h := range map[string]http.Handler{
				"Middleware": v.Middleware(protected), "RequireOrg": v.RequireOrg("acme")(protected),
				"RequirePermission": v.RequirePermission("x")(protected), "RequirePlatformOwner": v.RequirePlatformOwner(protected),
			} {
				r := httptest.NewRequest(row.method, "/", nil)
				r.Header = row.header.Clone()
				w := httptest.NewRecorder()
				w.Header().Set("Access-Control-Allow-Origin", "*") // by a CORS handler in front
				h.ServeHTTP(w, r)
				if w.Code != row.status || reached {
					t.Errorf("%s: %d, the handler was reached: %t; want %d and not", what, w.Code, reached, row.status)
				}
				if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Code == 204 && w.Body.Len() > 0 {
					t.Errorf("%s: header %v, body %q", what, w.Header(), w.Body)
				}
			}
		})
	}
}

// A program says itself what becomes of preflights.
func TestPreflightConfigured(t *testing.T) {
	cors := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := verify.ClaimsFrom(r.Context()); ok {
			t.Errorf("a preflight has the claims %+v", c)
		}
		w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
		w.WriteHeader(http.StatusOK)
	})
	good := "Bearer " + signed(goodHeader(), goodClaims(time.Now()), firstKey())
	for name, row := range map[string]struct {
		configured func(next http.Handler) http.Handler
		handler    http.Handler
		status     int
	}{
		"a CORS handler":   {func(http.Handler) http.Handler { return cors }, hello, 200},
		"let through":      {func(next http.Handler) http.Handler { return next }, cors, 200},
		"none":             {func(http.Handler) http.Handler { return nil }, hello, 204},
		"refused by a 404": {func(http.Handler) http.Handler { return http.NotFoundHandler() }, hello, 404},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience(), Preflight: row.configured})
			h := v.Middleware(v.RequireOrg("acme")(row.handler))
			r := httptest.NewRequest(http.MethodOptions, "/", nil)
			r.Header.Set("Origin", "https://app.example.com")
			r.Header.Set("Access-Control-Request-Method", "PUT")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.status || (w.Header().Get("Access-Control-Allow-Origin") != "") != (row.status == 200) {
				t.Errorf("%d %v, want %d", w.Code, w.Header(), row.status)
			}
			if w := serve(t, v.Middleware(hello)); w.Code != 401 {
				t.Errorf("%d without a token", w.Code)
			}
			if w := serve(t, v.Middleware(hello), good); w.Code != 200 {
				t.Errorf("%d with a good token", w.Code)
			}
		})
	}
}

// The server has no word on a resource token's permissions.
func TestRequirePermissionOfResourceTokens(t *testing.T) {
	p := profiles(time.Now())["resource"]
	v := newVerifier(t, issuer, usual(), p.config)
	if w := serve(t, v.RequirePermission("any")(hello), "Bearer "+signed(p.header, p.claims, firstKey())); w.Code != 403 {
		t.Errorf("%d", w.Code)
	}
}

func TestOnError(t *testing.T) {
	var seen error
	v := newVerifier(t, issuer, usual(), verify.Config{
		Audience: verify.AnyAudience(),
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			seen = err
			w.WriteHeader(http.StatusTeapot)
		},
	})
	if w := serve(t, v.Middleware(hello)); w.Code != http.StatusTeapot || !errors.Is(seen, verify.ErrNoToken) {
		t.Errorf("%d, %v", w.Code, seen)
	}
}

// The reason decides, not what lies below it.
func TestWriteErrorOfACause(t *testing.T) {
	w := httptest.NewRecorder()
	verify.WriteError(w, fmt.Errorf("my own words: %w", &verify.Error{
		Reason: verify.ErrCheckUnavailable, RetryAfter: 1500 * time.Millisecond, Err: &verify.Error{Reason: verify.ErrExpired},
	}))
	if w.Code != 503 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestWriteErrorOfAnother(t *testing.T) {
	for _, err := range []error{nil, errors.New("boom"), &verify.Error{}} {
		w := httptest.NewRecorder()
		verify.WriteError(w, err)
		if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

// A handler further out may have set fields for the response that it expected.
func TestWriteErrorReplacesWhatWasSet(t *testing.T) {
	w := httptest.NewRecorder()
	for key, value := range map[string]string{"Content-Length": "5", "Content-Type": "text/html", "Cache-Control": "max-age=60", "Vary": "Origin"} {
		w.Header().Set(key, value)
	}
	verify.WriteError(w, &verify.Error{Reason: verify.ErrExpired})
	h := w.Header()
	if h.Get("Content-Length") != "" || h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Origin" {
		t.Errorf("%v", h)
	}
}
