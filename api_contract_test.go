package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/apitable"
)

// Every typed method is called here once against authostest, and what the server saw is compared
// with the route list: method, path, credential, query and body. The same calls are then made with
// good responses that have been spoiled, none of which may pass for an response. A method without a
// case fails TestTyped, and so does a route that is neither typed nor listed in
// testdata/untyped.json.

// typedCase is one typed method and one good call of it.
type typedCase struct {
	// name is the method's, as apitable spells it, such as "Organizations.Members.List".
	name string
	// route is the one to look at, where a method calls several.
	route string
	// setup prepares the world, and may leave ids in it for call and want.
	setup func(w *typedWorld)
	// call makes the call on c, and returns what the method returned; nil when it has no result.
	call func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error)
	// query and body are what the server must have seen: an encoded query, and JSON or a form. "$1"
	// and "$2" stand for w.ID and w.ID2.
	query, body string
	// options for the world's server, and the principal who calls; empty: by the route's
	// credential.
	options []authostest.Option
	as      string
	// optional says that the response has no member without which it would be no response: any JSON
	// object will do.
	optional bool
	// page says that the response is a page or a text, of which nothing is read.
	page bool
}

// typedCases are all cases, in the order of the files they are in.
var typedCases = slices.Concat(
	authCases, userCases, organizationCases, memberCases, tenantCases, serviceCases, eventCases, settingCases, enterpriseCases, accountCases, serviceAPICases,
	platformCases, serverCases,
)

// typedWorld is a server with one of everything: the active organization "acme" of
// owner@example.com, its services "app" and "web", its member member@example.com, user@example.com,
// who is a user of its service "app", and a platform owner, root@example.com. The owner's password
// is "password1".
type typedWorld struct {
	T       testing.TB
	Server  *authostest.Server
	ID, ID2 string // for the case's own use
	Secret  string // likewise
}

// The principals of a world.
const (
	asOwner    = "owner@example.com"
	asMember   = "member@example.com"
	asUser     = "user@example.com"
	asPlatform = "root@example.com"
	asKey      = "api key"
	asNobody   = "nobody"
)

func newTypedWorld(t testing.TB, opts ...authostest.Option) *typedWorld {
	t.Helper()
	srv := authostest.New(append([]authostest.Option{authostest.InMemory(), authostest.WithMail()}, opts...)...)
	t.Cleanup(srv.Close)
	srv.AddUser(asOwner, "password1")
	srv.AddServiceUser(asUser)
	srv.AddPlatformOwner(asPlatform, "password1")
	srv.SetRole("acme", asOwner, "owner")
	srv.AddService("acme", "web")
	srv.AddMember("acme", asMember, "member")
	return &typedWorld{T: t, Server: srv}
}

// Client is a client of one principal. Its transport may be wrapped.
func (w *typedWorld) Client(as string, wrap ...func(http.RoundTripper) http.RoundTripper) *authos.Client {
	w.T.Helper()
	rt := w.Server.Transport()
	for _, f := range wrap {
		rt = f(rt)
	}
	opts := []authos.Option{authos.WithHTTPClient(&http.Client{Transport: rt})}
	switch as {
	case asNobody:
	case asKey:
		opts = append(opts, authos.WithAPIKey(w.Server.AddAPIKey()))
	default:
		t := w.Server.SignIn(as)
		opts = append(opts, authos.WithTokens(authos.Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken}))
	}
	c, err := authos.New(w.Server.URL, opts...)
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *typedWorld) expand(s string) string {
	return strings.NewReplacer("$1", w.ID, "$2", w.ID2, "$secret", w.Secret).Replace(s)
}

// typedRoute is what the route list says of a route.
type typedRoute struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Auth   string `json:"auth"`
}

func typedRoutes(t testing.TB) map[string]typedRoute {
	t.Helper()
	var list []typedRoute
	typedReadJSON(t, "testdata/routes.json", &list)
	m := map[string]typedRoute{}
	for _, r := range list {
		m[r.Method+" "+r.Path] = r
	}
	return m
}

func typedReadJSON(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func typedMethods(t testing.TB) map[string]apitable.Method {
	t.Helper()
	list, err := apitable.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]apitable.Method{}
	for _, method := range list {
		m[method.Name] = method
	}
	return m
}

// routeOf is the route that the case is about.
func (tc *typedCase) routeOf(m apitable.Method) string {
	if tc.route != "" {
		return tc.route
	}
	return m.Routes[0]
}

// principal is who calls a route, unless the case says otherwise.
func (tc *typedCase) principal(auth string) string {
	switch {
	case tc.as != "":
		return tc.as
	case auth == "api_key":
		return asKey
	case auth == "platform_owner":
		return asPlatform
	case auth == "none" || auth == "metrics_token":
		return asNobody
	}
	return asOwner
}

// prepare makes the case's world and its client.
func (tc *typedCase) prepare(t testing.TB, auth string, wrap ...func(http.RoundTripper) http.RoundTripper) (*typedWorld, *authos.Client) {
	t.Helper()
	w := newTypedWorld(t, tc.options...)
	if tc.setup != nil {
		tc.setup(w)
	}
	return w, w.Client(tc.principal(auth), wrap...)
}

// TestTyped calls every typed method and holds the table of routes.
func TestTyped(t *testing.T) {
	routes, methods := typedRoutes(t), typedMethods(t)
	var untyped map[string]string
	typedReadJSON(t, "testdata/untyped.json", &untyped)
	reached, cases := map[string]bool{}, map[string]bool{}
	for _, tc := range typedCases {
		if cases[tc.name] {
			t.Errorf("%s has two cases", tc.name)
		}
		cases[tc.name] = true
		m, ok := methods[tc.name]
		if !ok {
			t.Errorf("there is no method %s", tc.name)
			continue
		}
		for _, route := range m.Routes {
			if _, ok := routes[route]; !ok {
				t.Errorf("%s calls %s, which is not in the route list", tc.name, route)
			}
			reached[route] = true
		}
		t.Run(tc.name, func(t *testing.T) { tc.check(t, routes[tc.routeOf(m)]) })
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if m := methods[name]; !cases[name] && !m.Iterator && len(m.Routes) == 1 {
			t.Errorf("%s has no case", name)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		switch _, listed := untyped[route]; {
		case reached[route] && listed:
			t.Errorf("%s is typed, and listed as untyped", route)
		case !reached[route] && !listed:
			t.Errorf("%s is neither typed nor listed in testdata/untyped.json with a reason", route)
		}
	}
	for route := range untyped {
		if _, ok := routes[route]; !ok {
			t.Errorf("testdata/untyped.json: no route %s", route)
		}
	}
	t.Logf("typed %d of %d", len(reached), len(routes))
	if len(reached) < 215 {
		t.Errorf("typed %d of %d, want 215 or more", len(reached), len(routes))
	}
}

// check makes the good call.
func (tc *typedCase) check(t *testing.T, route typedRoute) {
	w, c := tc.prepare(t, route.Auth)
	w.Server.Reset()
	out, err := tc.call(t.Context(), c, w)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil && typedEmpty(reflect.ValueOf(out)) {
		t.Errorf("result %+v is empty", out)
	}
	var seen authostest.Request
	for _, r := range w.Server.Requests() {
		if r.Method == route.Method && r.Route == route.Path {
			seen = r
		}
	}
	if seen.Method == "" {
		t.Fatalf("the server saw %+v, want %s %s", w.Server.Requests(), route.Method, route.Path)
	}
	typedCredential(t, route.Auth, seen.Header)
	if want := w.expand(tc.query); seen.RawQuery != want {
		t.Errorf("query %q, want %q", seen.RawQuery, want)
	}
	typedBody(t, w.expand(tc.body), seen)
}

func typedCredential(t *testing.T, auth string, h http.Header) {
	t.Helper()
	bearer, key := strings.HasPrefix(h.Get("Authorization"), "Bearer "), strings.HasPrefix(h.Get("X-Api-Key"), "sk_")
	wantBearer, wantKey := auth == "bearer" || auth == "platform_owner" || auth == "metrics_token", auth == "api_key"
	if bearer != wantBearer || key != wantKey {
		t.Errorf("bearer token sent: %v, want %v; API key sent: %v, want %v", bearer, wantBearer, key, wantKey)
	}
}

func typedBody(t *testing.T, want string, seen authostest.Request) {
	t.Helper()
	contentType, body := seen.Header.Get("Content-Type"), string(seen.Body)
	switch {
	case want == "":
		if body != "" || contentType != "" {
			t.Errorf("body %q (%s), want none", body, contentType)
		}
	case strings.HasPrefix(want, "{"):
		if contentType != "application/json" || !typedSameJSON(want, body) {
			t.Errorf("body (%s)\n%s\nwant (application/json)\n%s", contentType, body, want)
		}
	default:
		got, _ := url.ParseQuery(body)
		if form, _ := url.ParseQuery(want); contentType != "application/x-www-form-urlencoded" || !reflect.DeepEqual(got, form) {
			t.Errorf("body (%s) %q, want a form %q", contentType, body, want)
		}
	}
}

func typedSameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// typedEmpty reports whether a result says nothing: a zero value, or an empty list.
func typedEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || typedEmpty(v.Elem())
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	default:
	}
	if v.Kind() == reflect.Struct {
		if items := v.FieldByName("Items"); items.IsValid() && items.Kind() == reflect.Slice {
			return items.Len() == 0
		}
	}
	return v.IsZero()
}

// typedTape keeps the last good response that a transport gave, or gives out one instead of asking.
type typedTape struct {
	next http.RoundTripper

	mu     sync.Mutex
	status int
	header http.Header
	body   []byte
	play   []byte // what is sent instead
	fake   bool
}

func (p *typedTape) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fake {
		if req.Body != nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_ = req.Body.Close()
		}
		return &http.Response{
			StatusCode: p.status, Header: p.header.Clone(), Body: io.NopCloser(bytes.NewReader(p.play)), Request: req,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(p.play)),
		}, nil
	}
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	p.status, p.header, p.body = resp.StatusCode, resp.Header.Clone(), body
	p.header.Del("Content-Length")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (p *typedTape) spoil(body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.play, p.fake = body, true
}

// fail makes the transport give an error instead.
func (p *typedTape) fail(status int, contentType, body string) {
	p.spoil([]byte(body))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.header = status, http.Header{"Content-Type": {contentType}}
}

// typedRecord makes a case's good call and returns its world, its client and the tape with the
// response.
func typedRecord(t testing.TB, tc *typedCase, auth string) (*typedWorld, *authos.Client, *typedTape) {
	t.Helper()
	tape := &typedTape{}
	w, c := tc.prepare(t, auth, func(rt http.RoundTripper) http.RoundTripper { tape.next = rt; return tape })
	if _, err := tc.call(t.Context(), c, w); err != nil {
		t.Fatal(err)
	}
	return w, c, tape
}

// TestTypedSpoiled gives every typed method responses that are not what its route promises.
func TestTypedSpoiled(t *testing.T) {
	routes, methods := typedRoutes(t), typedMethods(t)
	for _, tc := range typedCases {
		m := methods[tc.name]
		if m.Link || tc.page {
			continue // links send nothing
		}
		if tc.name == "Auth.Logout" {
			continue // a second one has nothing to tell the server
		}
		t.Run(tc.name, func(t *testing.T) {
			w, c, tape := typedRecord(t, &tc, routes[tc.routeOf(m)].Auth)
			if len(bytes.TrimSpace(tape.body)) == 0 || string(bytes.TrimSpace(tape.body)) == "null" {
				tape.spoil([]byte("<!DOCTYPE html><html></html>"))
				if _, err := tc.call(t.Context(), c, w); err == nil && tape.status != http.StatusNoContent {
					t.Error("a page passes for success")
				}
				return
			}
			for name, body := range typedSpoil(tape.body, tc.optional) {
				tape.spoil([]byte(body))
				out, err := tc.call(t.Context(), c, w)
				if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
					t.Errorf("%s: %v, %v; want a DecodeError", name, out, err)
				}
				// A secret that is shown once comes out all the same, and nothing else does.
				some := out != nil && !typedEmpty(reflect.ValueOf(out))
				if may := typedShownOnce[tc.name] && slices.Contains([]string{"truncated", "half", "two values"}, name); some && !may || may && !some && name != "half" {
					t.Errorf("%s: result %v together with an error", name, out)
				}
			}
		})
	}
}

// typedShownOnce are the methods whose response has a secret that no other response has.
var typedShownOnce = map[string]bool{
	"Organizations.APIKeys.Create": true, "Organizations.Webhooks.Create": true, "Organizations.Invitations.Create": true,
	"Organizations.Services.Create": true, "Organizations.Services.RotateSecret": true, "Organizations.SCIMTokens.Create": true,
	"User.MFA.Setup": true, "User.MFA.Enable": true, "User.MFA.RegenerateBackupCodes": true,
}

// typedSpoil lists bodies that must not pass for the good one.
func typedSpoil(good []byte, optional bool) map[string]string {
	spoiled := map[string]string{
		"HTML": "<!DOCTYPE html><html><body>AuthOS</body></html>", "truncated": string(good[:len(good)-1]), "half": string(good[:len(good)/2]),
		"text": `"ok"`, "number": "7", "true": "true", "empty": "", "null": "null", "two values": string(good) + string(good),
	}
	if good[0] == '[' {
		spoiled["object"] = "{}"
		spoiled["null item"], spoiled["number item"] = "[null]", "[7]"
	} else {
		spoiled["list"] = "[]"
	}
	if !optional && good[0] == '{' {
		spoiled["nothing in it"], spoiled["other members"] = "{}", `{"data":{"x":1}}`
	}
	return spoiled
}

// FuzzTyped gives every typed method mutated responses: it must not panic, and must return a result
// or an error, never neither.
func FuzzTyped(f *testing.F) {
	routes, methods := typedRoutes(f), typedMethods(f)
	type recorded struct {
		call func(ctx context.Context) (any, error)
		tape *typedTape
	}
	var all []recorded
	for _, tc := range typedCases {
		route := tc.routeOf(methods[tc.name])
		if methods[tc.name].Link || tc.page {
			continue
		}
		w, c, tape := typedRecord(f, &tc, routes[route].Auth)
		if len(tape.body) == 0 {
			continue
		}
		f.Add(len(all), 0, 0, byte(' '))
		f.Add(len(all), 1, len(tape.body)/2, byte('{'))
		all = append(all, recorded{func(ctx context.Context) (any, error) { return tc.call(ctx, c, w) }, tape})
	}
	f.Fuzz(func(t *testing.T, which, at, cut int, with byte) {
		r := all[max(which, -which-1)%len(all)]
		at = max(at, -at-1) % len(r.tape.body)
		cut = max(cut, -cut-1) % (len(r.tape.body) - at)
		body := slices.Concat(r.tape.body[:at], []byte{with}, r.tape.body[at+cut:])
		r.tape.spoil(body)
		out, err := r.call(t.Context())
		switch {
		case err != nil:
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); text == "" {
				t.Error("an error without a text")
			}
			if out != nil && !reflect.ValueOf(out).IsZero() {
				t.Errorf("%v together with %v", out, err)
			}
		case out != nil && !json.Valid(body):
			t.Errorf("a result from %q, which is not JSON", body)
		case out != nil && reflect.ValueOf(out).IsZero():
			t.Errorf("neither a result nor an error from %q", body)
		}
	})
}

// typedErr keeps a call's error only.
func typedErr[T any](_ T, err error) error { return err }

// typedInvalid wants a ValidationError that names these fields, all at once.
func typedInvalid(t *testing.T, name string, err error, fields ...string) {
	t.Helper()
	ve, ok := errors.AsType[*authos.ValidationError](err)
	if !ok || ve.API != nil {
		t.Errorf("%s: %v, want a ValidationError of this side", name, err)
		return
	}
	var got []string
	for _, f := range ve.Fields {
		got = append(got, f.Field)
	}
	if !slices.Equal(got, fields) {
		t.Errorf("%s: fields %q, want %q", name, got, fields)
	}
}
