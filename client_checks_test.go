package authos_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

// What is not one path segment reaches no other route, on no method: not with slashes, backslashes
// and dot segments, nor with their escaped forms, which something before the server may read.
func TestIDsAreOnePathSegment(t *testing.T) {
	ok := reply{status: 200, body: `{"id":"x","user":{"id":"u"},"membership":{"id":"m"},"organization":{"id":"o"}}`}
	calls := map[string]func(c *authos.Client, id string) error{
		"Service.Users.Get":          func(c *authos.Client, id string) error { return typedErr(c.Service.Users.Get(t.Context(), id)) },
		"Organizations.Get":          func(c *authos.Client, id string) error { return typedErr(c.Organizations.Get(t.Context(), id)) },
		"Organizations.Delete":       func(c *authos.Client, id string) error { return c.Organizations.Delete(t.Context(), id) },
		"Organizations.Roles.Delete": func(c *authos.Client, id string) error { return c.Organizations.Roles.Delete(t.Context(), "acme", id) },
		"Platform.Organizations.Suspend": func(c *authos.Client, id string) error {
			return typedErr(c.Platform.Organizations.Suspend(t.Context(), id))
		},
		"Organizations.SIEM.Delete": func(c *authos.Client, id string) error { return c.Organizations.SIEM.Delete(t.Context(), "acme", id) },
		"Organizations.Services.Delete": func(c *authos.Client, id string) error {
			return c.Organizations.Services.Delete(t.Context(), id, "second")
		},
		"User.LinkedAccounts.Unlink": func(c *authos.Client, id string) error { return c.User.LinkedAccounts.Unlink(t.Context(), id) },
		"Organizations.Members.UpdateRole": func(c *authos.Client, id string) error {
			return typedErr(c.Organizations.Members.UpdateRole(t.Context(), "acme", id, authos.MemberUpdateParams{Role: "admin"}))
		},
		"Organizations.OAuthCredentials.Get": func(c *authos.Client, id string) error {
			return typedErr(c.Organizations.OAuthCredentials.Get(t.Context(), id, "github"))
		},
	}
	for name, call := range calls {
		for _, id := range []string{
			"../x", "acme/services/second", "a/", "/", `a\b`, `..\x`, ".", "..", "%2e%2e", "%2E", ".%2e", "a%2fb", "a%2Fb", "a%5Cb", "%252e%252e",
			"a%252Fb", "..%2f..%2fx", "..;", "..;a=b", ".%3bx", "", " ", "a\nb", "a\x00b", "a\xffb",
		} {
			script := scripted(ok)
			err := call(clientWithoutBreaker(t, script, authos.WithAPIKey("sk_a_key")), id)
			if ve, is := errors.AsType[*authos.ValidationError](err); !is || ve.API != nil || script.count() != 0 {
				t.Errorf("%s(%q) = %v after %d requests, want a ValidationError of this side", name, id, err, script.count())
			}
		}
	}
	for id, want := range map[string]string{
		"tier_free": "tier_free", "a b": "a%20b", "50%": "50%25", "a%zz": "a%25zz", "...": "...", "..a": "..a", "ü": "%C3%BC", "a?b#c": "a%3Fb%23c", "a:b@c": "a:b@c",
	} {
		script := scripted(ok)
		if err := calls["Service.Users.Get"](clientWithoutBreaker(t, script, authos.WithAPIKey("sk_a_key")), id); err != nil {
			t.Errorf("%q is refused: %v", id, err)
		} else if got := script.requests()[0].url; got != testBase+"/api/service/users/"+want {
			t.Errorf("%q is sent as %s", id, got)
		}
	}
}

// Addresses are checked as the server checks them, which is little.
func TestAddressesAsTheServerChecksThem(t *testing.T) {
	for address, good := range map[string]bool{
		"ada@example.com": true, "a..b@docomo.ne.jp": true, "da.me..@ezweb.ne.jp": true, "ü@bücher.example": true, "a@b": true, "\"a\"@b": true, "a@b@c": true,
		"": false, "ada": false, "@b": false, "a@": false, "a b@c": false, " a@b": false, "a@b ": false, "a@b\n": false, "a\x00@b": false, "a\u00a0b@c": false,
		"Ada <ada@example.com>": false,
	} {
		script := scripted(reply{status: 200, body: `{"id":"u1"}`})
		_, err := clientWithoutBreaker(t, script, authos.WithAPIKey("sk_a_key")).Service.Users.Create(t.Context(), authos.ServiceUserCreateParams{Email: address})
		if (err == nil) != good || script.count() != 0 != good {
			t.Errorf("%q: %v after %d requests, want it good: %v", address, err, script.count(), good)
		}
	}
}

// A finding names what the program calls the input and what it is on the wire.
func TestFindingsNameBoth(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(okReply()))
	_, byField := c.Auth.Login(t.Context(), authos.LoginParams{Email: "x", RedirectURI: "https://app.example"})
	_, byArgument := c.Organizations.APIKeys.Get(t.Context(), "", "..", "")
	_, nested := c.Organizations.Members.UpdateServiceAccess(t.Context(), "acme", "u", []authos.ServiceAccessGrant{{}})
	for want, err := range map[string]error{
		"Email email; Password password; RedirectURI redirect_uri":        byField,
		"orgSlug org_slug; serviceSlug service_slug; apiKeyID api_key_id": byArgument,
		"grants[0].ServiceSlug grants[0].service_slug":                    nested,
	} {
		ve, ok := errors.AsType[*authos.ValidationError](err)
		if !ok {
			t.Fatalf("%v is no ValidationError", err)
		}
		var got []string
		for _, f := range ve.Fields {
			got = append(got, f.GoField+" "+f.Field)
			if text := err.Error(); !strings.Contains(text, f.GoField+" ("+f.Field+")") {
				t.Errorf("%s does not name %s and %s", text, f.GoField, f.Field)
			}
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("findings %q, want %q", got, want)
		}
	}
}

// Every input that is checked has a Go name that is in the source: a field, or an argument.
func TestGoNamesAreInTheSource(t *testing.T) {
	files, err := filepath.Glob("api*.go")
	if err != nil {
		t.Fatal(err)
	}
	names, checked := map[string]bool{}, map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					names[name.Name] = true
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || len(n.Args) < 2 {
					return true
				}
				receiver, _ := sel.X.(*ast.Ident)
				wire, _ := n.Args[0].(*ast.BasicLit)
				if receiver != nil && wire != nil && receiver.Name == "in" && wire.Kind == token.STRING {
					name, _ := strconv.Unquote(wire.Value)
					checked[name] = sel.Sel.Name
				}
			}
			return true
		})
	}
	if len(checked) < 50 {
		t.Fatalf("only %d checks found", len(checked))
	}
	for wire, check := range checked {
		name := authos.GoName(wire)
		if check == "id" {
			name = authos.ArgumentName(wire)
		}
		if !names[name] && !names[authos.ArgumentName(wire)] {
			t.Errorf("%s is checked, and nothing is called %s", wire, name)
		}
	}
}
