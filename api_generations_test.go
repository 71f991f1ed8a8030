package authos_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/routes"
)

// contracts are the servers that the tests of the API run on.
var contracts = map[string][]authostest.Option{
	"newest":             {authostest.WithContract(authostest.Newest)},
	"october2025":        {authostest.WithContract(authostest.October2025)},
	"documented flat":    {authostest.WithContract(authostest.Documented)},
	"documented nested":  {authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Nested)},
	"documented problem": {authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Problem)},
}

// newerContracts are the servers for a test whose routes those of October 2025 lack, or that
// expects what newer servers say. TestTypedOnEveryContract shows what October 2025 says there.
var newerContracts = func() map[string][]authostest.Option {
	newer := maps.Clone(contracts)
	delete(newer, "october2025")
	return newer
}()

// callIn makes a case's good call on a server of one contract. A setup that fails because the
// server lacks a route that it needs skips the test.
func (tc *typedCase) callIn(t *testing.T, contract string, auth string, wrap ...func(http.RoundTripper) http.RoundTripper) (any, error) {
	t.Helper()
	tc.options = append(append([]authostest.Option(nil), contracts[contract]...), tc.options...)
	w, c := tc.prepare(t, auth, wrap...)
	return tc.call(t.Context(), c, w)
}

// Every typed method works on a server of every contract. What a server of October 2025 does not
// have is a 404 or a 405 that says so.
func TestTypedOnEveryContract(t *testing.T) {
	table, methods := typedRoutes(t), typedMethods(t)
	for contract := range contracts {
		t.Run(contract, func(t *testing.T) {
			for _, tc := range typedCases {
				t.Run(tc.name, func(t *testing.T) {
					m := methods[tc.name]
					route := table[tc.routeOf(m)]
					known := routes.ByTemplate(route.Method, route.Path)
					if contract != "october2025" {
						if out, err := tc.callIn(t, contract, route.Auth); err != nil || out != nil && typedEmptyJSON(out) {
							t.Errorf("%v, %v", out, err)
						}
						return
					}
					if !octoberWorks(tc.name) {
						t.Skip(octoberSkips[tc.name])
					}
					if m.Link {
						t.Skip("links send nothing")
					}
					// a sign-out takes the older route where the newer one is not there
					if known.Has(routes.October2025) || tc.name == "Auth.Logout" {
						if out, err := tc.callIn(t, contract, route.Auth); err != nil || out != nil && typedEmptyJSON(out) {
							t.Errorf("%v, %v", out, err)
						}
						return
					}
					// the case's own may need what the server lacks
					tc.setup = func(w *typedWorld) { w.ID, w.ID2, w.Secret = "1", "2", "3" }
					_, err := tc.callIn(t, contract, route.Auth)
					missing := errors.Is(err, authos.CodeRouteNotFound) || errors.Is(err, authos.CodeMethodNotAllowed)
					if !missing || !strings.Contains(err.Error(), "servers newer than October 2025 have this route") {
						t.Errorf("%v, want an error that says which servers have the route", err)
					}
				})
			}
		})
	}
}

// octoberSkips are the methods whose case cannot be made on a server of October 2025, and why.
var octoberSkips = map[string]string{
	"Auth.Refresh":             "two sessions of one second collide there: 500 on refresh",
	"Auth.ExchangeDeviceCode":  "it does not know the code yet at the first poll: TestDeviceLoginBeforeTheCodeIsThere",
	"Invitations.DeclineToken": "it wants the invited user signed in: TestDeclineTokenWithTheBearer",
	"Auth.VerifyEmail":         "it takes verify-email for the name of a provider: 400",
	"Organizations.Create":     "it wants the owner's address: TestCreateOrganizationAtAnOldServer",
}

func octoberWorks(name string) bool { return octoberSkips[name] == "" }

func typedEmptyJSON(out any) bool {
	text, err := json.Marshal(out)
	return err == nil && (string(text) == "null" || string(text) == "{}")
}

var updateBodies = flag.Bool("bodies", false, "write testdata/bodies anew from authostest")

// The bodies in testdata/bodies are what the two generations of the server send on the routes that
// both have. Each decodes into what its method returns.
func TestBodiesOfBothGenerations(t *testing.T) {
	table, methods := typedRoutes(t), typedMethods(t)
	for _, generation := range []string{"newest", "october2025"} {
		for _, tc := range typedCases {
			m := methods[tc.name]
			route := table[tc.routeOf(m)]
			if !routes.ByTemplate(route.Method, route.Path).Has(routes.October2025) || m.Link || len(m.Routes) > 1 || !octoberWorks(tc.name) {
				continue
			}
			t.Run(generation+"/"+tc.name, func(t *testing.T) {
				tape := &typedTape{}
				tc := tc
				tc.options = append(append([]authostest.Option{authostest.WithSeed(7)}, contracts[generation]...), tc.options...)
				w, c := tc.prepare(t, route.Auth, func(rt http.RoundTripper) http.RoundTripper { tape.next = rt; return tape })
				if _, err := tc.call(t.Context(), c, w); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("testdata", "bodies", generation, tc.name+".json")
				if *updateBodies {
					writeBody(t, file, tape.body)
				}
				body, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !sameShape(t, body, tape.body) {
					t.Errorf("authostest sends %s, and %s is of another shape", tape.body, file)
				}
				tape.spoil(bytes.TrimSpace(body))
				out, err := tc.call(t.Context(), c, w)
				if err != nil {
					t.Errorf("%s: %v", body, err)
				}
				if out != nil && typedEmptyJSON(out) {
					t.Errorf("%s is read as %v", body, out)
				}
			})
		}
	}
}

func writeBody(t *testing.T, file string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		pretty.Write(body)
	}
	if err := os.WriteFile(file, append(bytes.TrimSpace(pretty.Bytes()), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sameShape reports whether two bodies have the same members, whatever their values are.
func sameShape(t *testing.T, a, b []byte) bool {
	t.Helper()
	a, b = bytes.TrimSpace(a), bytes.TrimSpace(b)
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return shapeOf(x) == shapeOf(y)
}

// shapeOf lists the names in a value; a list has the shape of its first item.
func shapeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		names := make(map[string]string, len(v))
		for name, value := range v {
			names[name] = shapeOf(value)
		}
		return fmt.Sprint(names) // sorted by name
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shapeOf(v[0]) + "]"
	default:
		return "."
	}
}

// A server of October 2025 makes an organization for whoever asks, and no session with it:
// installing what is not there changes nothing.
func TestCreateOrganizationAtAnOldServer(t *testing.T) {
	w := newTypedWorld(t, contracts["october2025"]...)
	for _, as := range []string{asNobody, asOwner} {
		c := w.Client(as)
		before, err := c.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := authos.OrganizationCreateParams{Slug: "New-Org-" + as[:3], Name: "New", OwnerEmail: "new@example.com", Install: true}
		made, err := c.Organizations.Create(t.Context(), p)
		if err != nil || made.Slug != p.Slug || made.Owner == nil || made.Owner.Email != "new@example.com" || made.Tokens != (authos.Tokens{}) {
			t.Errorf("%s: %v, %v", as, made, err)
		}
		if after, err := c.Tokens(t.Context()); err != nil || after != before {
			t.Errorf("%s: the tokens held are others now, %v", as, err)
		}
	}
}

// Every typed method gives an error of every shape as what it is: status, kind and code, and no
// result beside it.
func TestTypedErrorsOfEveryShape(t *testing.T) {
	table, methods := typedRoutes(t), typedMethods(t)
	kinds := map[int]error{
		400: authos.ErrInvalid, 403: authos.ErrForbidden, 404: authos.ErrNotFound, 405: authos.ErrInvalid, 409: authos.ErrConflict,
		410: authos.ErrNotFound, 413: authos.ErrInvalid, 422: authos.ErrInvalid,
	}
	shapes := map[string]struct{ contentType, body string }{
		"flat":    {"application/json", `{"error":"the text","error_code":"SOME_CODE","timestamp":"2026-05-20T12:00:00+00:00"}`},
		"nested":  {"application/json", `{"error":{"code":"SOME_CODE","message":"the text","details":null,"request_id":"r1"}}`},
		"problem": {"application/problem+json", `{"type":"about:blank","title":"the title","detail":"the text","code":"SOME_CODE"}`},
		"text":    {"text/plain; charset=utf-8", "the text"},
		"page":    {"text/html", "<html><body>the text</body></html>"},
		"empty":   {"", ""},
		"null":    {"application/json", "null"},
	}
	for _, tc := range typedCases {
		m := methods[tc.name]
		// once it has signed out, there is nothing to refuse
		if m.Link || tc.name == "Auth.Logout" {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			w, c, tape := typedRecord(t, &tc, table[tc.routeOf(m)].Auth)
			for status, kind := range kinds {
				for name, shape := range shapes {
					tape.fail(status, shape.contentType, shape.body)
					out, err := tc.call(t.Context(), c, w)
					e, ok := errors.AsType[*authos.APIError](err)
					if !ok || e.StatusCode != status || !errors.Is(err, kind) || errors.Is(err, authos.ErrOutcomeUnknown) {
						t.Fatalf("%d %s: %v, want %v", status, name, err, kind)
					}
					if coded := name == "flat" || name == "nested" || name == "problem"; coded != (e.Code == "SOME_CODE") {
						t.Errorf("%d %s has the code %s", status, name, e.Code)
					}
					if out != nil && !typedEmptyJSON(out) && !typedEmpty(reflect.ValueOf(out)) {
						t.Errorf("%d %s: %v together with an error", status, name, out)
					}
				}
			}
		})
	}
}
