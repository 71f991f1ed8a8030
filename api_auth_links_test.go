package authos_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/authos-go/authos"
)

func TestLoginURL(t *testing.T) {
	rt := scripted(okReply())
	c, err := authos.New("https://example.com/sso", authos.WithHTTPClient(&http.Client{Transport: rt}), authos.WithTokens(authos.Tokens{AccessToken: "secret"}))
	noError(t, "New", err)
	tenant := authos.LoginURLParams{OrgSlug: "acme", ServiceSlug: "app"}
	for _, tc := range []struct {
		provider string
		params   authos.LoginURLParams
		want     string // empty: bad input
		fields   string
	}{
		{"github", tenant, "https://example.com/sso/auth/github?org=acme&service=app", ""},
		{"GitHub", tenant, "https://example.com/sso/auth/GitHub?org=acme&service=app", ""},
		{"a b?c", tenant, "https://example.com/sso/auth/a%20b%3Fc?org=acme&service=app", ""},
		{"a/../b c", tenant, "", "provider"},
		{"admin", tenant, "https://example.com/sso/auth/admin?org=acme&service=app", ""},
		{"", authos.LoginURLParams{}, "", "provider, org, service"},
		{"..", authos.LoginURLParams{OrgSlug: "", ServiceSlug: " ", Resource: "api", UserCode: "x"}, "", "provider, org, service, resource, user_code"},
		{"verify-email", tenant, "", "provider"},
		{"token", tenant, "", "provider"},
		{"revoke", tenant, "", "provider"},
	} {
		got, err := c.Auth.LoginURL(tc.provider, tc.params)
		checkURL(t, tc.provider, got, err, tc.want, tc.fields)
	}
	for _, tc := range []struct {
		provider     string
		params       authos.AdminLoginURLParams
		want, fields string
	}{
		{"google", authos.AdminLoginURLParams{}, "https://example.com/sso/auth/admin/google", ""},
		{"google", authos.AdminLoginURLParams{OrgSlug: "acme", UserCode: "abcd efgh"}, "https://example.com/sso/auth/admin/google?org_slug=acme&user_code=ABCD-EFGH", ""},
		{"", authos.AdminLoginURLParams{OrgSlug: "A!", UserCode: "ABCD"}, "", "provider, user_code"},
	} {
		got, err := c.Auth.AdminLoginURL(tc.provider, tc.params)
		checkURL(t, tc.provider, got, err, tc.want, tc.fields)
	}
	equal(t, "requests", rt.count(), 0)
}

func checkURL(t *testing.T, provider, got string, err error, want, fields string) {
	t.Helper()
	if want != "" {
		if got != want || err != nil {
			t.Errorf("URL of %q = %q, %v, want %q", provider, got, err, want)
		}
		return
	}
	e, ok := errors.AsType[*authos.ValidationError](err)
	if !ok || got != "" || authFields(e) != fields {
		t.Errorf("URL of %q = %q, %v, want findings about %s", provider, got, err, fields)
	}
}
