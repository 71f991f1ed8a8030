package authostest_test

import (
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

func TestPublicRoutes(t *testing.T) {
	srv, c := inMemory(t)
	base := srv.URL
	for _, tc := range []struct {
		name, path        string
		status            int
		contentType, want string
	}{
		{"health", "/health", 200, jsonType, `{"status":"healthy","version":"<…>"}`},
		{"live", "/health/live", 200, "", ""},
		{"ready", "/health/ready", 200, jsonType, `{"status":"ready","version":"<…>","database":"connected"}`},
		{"metrics off", "/metrics", 404, "", ""},
		{"no OpenID provider", "/.well-known/openid-configuration", 404, "", ""},
		{"no OAuth metadata", "/.well-known/oauth-authorization-server", 404, "", ""},
		{"web config", "/api/public/web-config", 200, jsonType, `{"full_client_url":null,"managed_config_enabled":false}`},
		{"configuration", "/.well-known/authos-configuration", 200, jsonType, `{"service":"AuthOS","metadata_version":1,"issuer":"` + base + `",` +
			`"jwks_uri":"` + base + `/.well-known/jwks.json","openid_connect":{"status":"unsupported","authorization_code_provider":false,"id_token_issuance":false},` +
			`"oauth_device_authorization":{"status":"supported","device_authorization_endpoint":"` + base + `/auth/device/code","token_endpoint":"` + base + `/auth/token",` +
			`"grant_types_supported":["urn:ietf:params:oauth:grant-type:device_code"],"token_endpoint_auth_methods_supported":["none"]},` +
			`"enterprise_managed_authorization":{"status":"supported","token_endpoint":"` + base + `/oauth/token","token_endpoint_aliases":["` + base + `/oauth2/token"],` +
			`"grant_types_supported":["urn:ietf:params:oauth:grant-type:token-exchange","urn:ietf:params:oauth:grant-type:jwt-bearer"],` +
			`"authorization_grant_profiles_supported":["urn:ietf:params:oauth:token-type:id-jag"],"requested_token_types_supported":["urn:ietf:params:oauth:token-type:id-jag"],` +
			`"client_authentication":["client_secret_basic","client_secret_post"]}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			(&client{t, c.base, c.http}).expect(tc.status, tc.contentType, tc.want, "GET", tc.path, "")
		})
	}
	c.walk(
		step{method: "POST", path: "/api/public/bootstrap-login", body: `{"token":"x"}`, status: 401},
		step{method: "POST", path: "/webhooks/stripe", body: "{}", status: 400},
	)
}

func TestMetrics(t *testing.T) {
	_, c := inMemory(t, authostest.WithMetrics("secret"))
	got := c.expect(401, "", "", "GET", "/metrics", "")
	if got.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("WWW-Authenticate = %q", got.Header.Get("WWW-Authenticate"))
	}
	c.expect(401, "", "", "GET", "/metrics", "", bearer("wrong"))
	if got := c.do("GET", "/metrics", "", bearer("secret")); got.StatusCode != 200 || !strings.Contains(got.body, "http_requests_total 3\n") {
		t.Errorf("metrics = %d %s", got.StatusCode, got.body)
	}
}

// TestWebPages: a wrong path can be a 200 in HTML.
func TestWebPages(t *testing.T) {
	_, c := inMemory(t)
	for _, path := range []string{
		"", "/", "/app", "/app/settings/profile", "/authorize", "/callback", "/register", "/forgot-password", "/reset-password", "/verify-email",
		"/mfa-challenge", "/activate", "/activate/ABCD-EFGH", "/support", "/bootstrap-login", "/invitations/accept", "/auth/magic-link/verify?token=x",
	} {
		got := c.do("GET", path, "")
		if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") || !strings.Contains(got.body, "<html>") {
			t.Errorf("GET %q = %d %s", path, got.StatusCode, got.Header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/app/", "/apps", "/activate/", "/api", "/api/auth/magic-link"} {
		c.expect(404, "", "", "GET", path, "")
	}
	c.expect(405, "", "", "POST", "/app/x", "")
}
