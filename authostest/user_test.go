package authostest_test

import (
	"strings"
	"testing"
)

func TestProfile(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("eve@example.com", "")
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	got := c.do("GET", "/api/user", "", auth)
	want := `{"id":"<…>","email":"ada@example.com","is_platform_owner":false,"email_verified_at":"<…>+00:00","created_at":"<…>+00:00",` +
		`"org":"acme","service":"app","permissions":["audit_logs.view",`
	if head, _, _ := strings.Cut(got.body, `"billing.manage"`); !like(head, want) {
		t.Errorf("profile = %s, want %s…", got.body, want)
	}
	if !strings.HasSuffix(got.body, `"plan":null,"features":null}`) {
		t.Errorf("profile = %s", got.body)
	}

	srv.SetRole("acme", "ada@example.com", "")
	if got := c.do("GET", "/api/user", "", auth).body; !strings.Contains(got, `"permissions":[]`) {
		t.Errorf("a stranger's profile = %s", got)
	}
	c.expect(400, jsonType, realError("BAD_REQUEST", "Email is already taken"), "PATCH", "/api/user", `{"email":"EVE@example.com"}`, auth)
	c.expect(400, jsonType, realError("BAD_REQUEST", "Invalid email format"), "PATCH", "/api/user", `{"email":"ada"}`, auth)
	if got := c.do("PATCH", "/api/user", `{"email":"countess@example.com"}`, auth).body; !strings.Contains(got, "countess@") {
		t.Errorf("PATCH = %s", got)
	}
	if got := c.do("PATCH", "/api/user", `{}`, auth); got.StatusCode != 200 || !strings.Contains(got.body, "countess@") {
		t.Errorf("empty PATCH = %d %s", got.StatusCode, got.body)
	}
	if got := srv.Applied()["PATCH /api/user"]; got != 1 {
		t.Errorf("applied %d times, want 1", got)
	}
}

func TestChangePassword(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	this, other := srv.SignIn("ada@example.com"), srv.SignIn("ada@example.com")
	change := func(current, next string) string {
		return `{"current_password":"` + current + `","new_password":"` + next + `"}`
	}
	const path = "/api/user/change-password"
	auth := bearer(this.AccessToken)
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Current password is incorrect"), "POST", path, change("wrong", "battery staple"), auth)
	c.expect(400, jsonType, realError("BAD_REQUEST", "Password must be at least 8 characters long"), "POST", path, change("correct horse", "short"), auth)
	c.expect(200, jsonType, `{"message":"Password changed successfully"}`, "POST", path, change("correct horse", "battery staple"), auth)
	if got := c.do("GET", "/api/user", "", auth).StatusCode; got != 200 {
		t.Errorf("this session: %d, want 200", got)
	}
	if got := c.do("GET", "/api/user", "", bearer(other.AccessToken)).StatusCode; got != 401 {
		t.Errorf("the other session: %d, want 401", got)
	}
	if got := c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"battery staple"}`).StatusCode; got != 200 {
		t.Errorf("login with the new password: %d", got)
	}
	c.expect(400, jsonType, realError("BAD_REQUEST", "This account has no password"), "POST", path,
		change("x", "battery staple"), bearer(srv.SignIn("nopassword@example.com").AccessToken))
}

func TestOrganization(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const path = "/api/organizations/acme"
	got := c.do("GET", path, "", auth)
	want := `{"organization":{"id":"<…>","slug":"acme","name":"Acme","owner_user_id":"<…>","status":"active","tier_id":"tier_starter",` +
		`"max_services":null,"max_users":null,"approved_by":null,"approved_at":null,"rejected_by":null,"rejected_at":null,` +
		`"rejection_reason":null,"custom_domain":null,"domain_verified":false,"brand_logo_url":null,"brand_primary_color":null,` +
		`"feature_overrides":null,"created_at":"<…>","updated_at":"<…>"},"membership_count":2,"service_count":1,` +
		`"tier":{"id":"tier_starter","name":"starter","display_name":"Starter","default_max_services":5,"default_max_users":10,` +
		`"features":"{\"allow_custom_domain\":false,\"allow_saml_idp\":false,\"allow_scim\":false,\"allow_siem\":false,\"allow_branding\":false,` +
		`\"allow_passkeys\":true,\"allowed_social_providers\":[\"github\",\"google\",\"microsoft\"],\"max_mau\":0,\"allow_overage\":false}",` +
		`"price_cents":2900,"currency":"usd","created_at":"2025-01-01T00:00:00"}}`
	if got.StatusCode != 200 || !like(got.body, want) {
		t.Errorf("GET %s = %d %s, want %s", path, got.StatusCode, got.body, want)
	}
	created := parse[struct {
		Organization struct {
			CreatedAt string `json:"created_at"`
		}
	}](t, got.body).Organization.CreatedAt
	if strings.ContainsAny(created, "Z+") {
		t.Errorf("created_at = %q, want no zone", created)
	}

	c.expect(404, jsonType, realError("NOT_FOUND", "Organization not found"), "GET", "/api/organizations/nope", "", auth)
	srv.SetRole("acme", "ada@example.com", "")
	c.expect(403, jsonType, realError("FORBIDDEN", "Not a member of this organization"), "GET", path, "", auth)
	srv.SetRole("acme", "ada@example.com", "member")
	c.expect(403, jsonType, realError("FORBIDDEN", "Requires one of roles: owner"), "DELETE", path, "", auth)
	c.expect(403, jsonType, realError("FORBIDDEN", "Insufficient permissions to manage organization settings"), "PATCH", path, `{"name":"ACME"}`, auth)
	srv.SetRole("acme", "ada@example.com", "owner")
	if got := c.do("PATCH", path, `{"name":"ACME Inc"}`, auth).body; !strings.Contains(got, `"name":"ACME Inc"`) {
		t.Errorf("PATCH = %s", got)
	}
	key := "X-Api-Key: " + srv.AddAPIKey()
	c.expect(200, jsonType, "null", "DELETE", path, "", auth)
	c.expect(404, jsonType, realError("NOT_FOUND", "Organization not found"), "DELETE", path, "", auth)
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid API key"), "GET", "/api/service/info", "", key)
	if got := srv.AddAPIKey(); got != "" {
		t.Errorf("AddAPIKey() = %q, want none", got)
	}
}
