package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// asRoot makes a server with a platform owner.
func asRoot(t *testing.T, opts ...authostest.Option) (*authostest.Server, *client, authostest.User, string) {
	t.Helper()
	srv, c := inMemory(t, opts...)
	root := srv.AddPlatformOwner("root@example.com", "")
	return srv, c, root, bearer(srv.SignIn("root@example.com").AccessToken)
}

// orgID finds an organization by what the platform says about it.
func orgID(t *testing.T, c *client, auth, query string) string {
	t.Helper()
	list := parse[struct{ Organizations []struct{ ID string } }](t, c.do("GET", "/api/platform/organizations"+query, "", auth).body)
	if len(list.Organizations) != 1 {
		t.Fatalf("organizations%s has %d rows, want one", query, len(list.Organizations))
	}
	return list.Organizations[0].ID
}

func TestPlatformOrganizations(t *testing.T) {
	srv, c, root, auth := asRoot(t)
	srv.AddOrganization("new", "pending", "owner@new.example")
	base := "/api/platform/organizations/" + orgID(t, c, auth, "?status=pending")
	post := func(action, body string, status int, want string) step {
		return step{auth: auth, method: "POST", path: base + action, body: body, status: status, want: want}
	}
	shape := func(status, approval, rejection string) string {
		return `{"id":"<…>","slug":"new","name":"New","owner_user_id":"<…>","status":"` + status + `","tier_id":"tier_free","max_services":null,"max_users":null,` +
			approval + rejection + `"custom_domain":null,"domain_verified":false,"domain_verification_token":null,"brand_logo_url":null,` +
			`"brand_primary_color":null,"feature_overrides":null,"created_at":"<…>Z","updated_at":"<…>Z"}`
	}
	approved := `"approved_by":"` + root.ID + `","approved_at":"<…>Z",`
	notRejected := `"rejected_by":null,"rejected_at":null,"rejection_reason":null,`
	c.walk(
		post("/activate", "", 400, bad("Organization is not suspended")),
		post("/approve", "", 415, "Expected request with `Content-Type: application/json`"),
		post("/approve", `{"tier_id":"tier_none"}`, 404, missing("Organization tier not found")),
		post("/approve", "{}", 200, shape("active", approved, notRejected)),
		post("/approve", "{}", 400, bad("Organization is not in pending status")),
		post("/reject", `{"reason":"no"}`, 400, bad("Organization is not in pending status")),
		post("/suspend", "", 200, shape("suspended", approved, notRejected)),
		post("/suspend", "", 400, bad("Organization is already suspended")),
		post("/activate", "", 200, shape("active", approved, notRejected)),
		post("/reject", "{}", 422, missingField("reason", "2")),
		step{auth: auth, method: "POST", path: "/api/platform/organizations/x/suspend", status: 404, want: missing("Organization not found")},
	)
	patch := func(part, body string, status int) step {
		return step{auth: auth, method: "PATCH", path: base + part, body: body, status: status}
	}
	limits := func(body string) (services, users any) {
		got := parse[map[string]any](t, c.walk(patch("/tier", body, 200)).body)
		return got["max_services"], got["max_users"]
	}
	if services, users := limits(`{"tier_id":"tier_enterprise","max_services":7,"max_users":9}`); services != 7.0 || users != 9.0 {
		t.Errorf("limits = %v, %v", services, users)
	}
	if services, users := limits(`{"tier_id":"tier_enterprise","max_users":0}`); services != nil || users != 0.0 {
		t.Errorf("limits = %v, %v, want what is absent reset", services, users)
	}
	c.walk(
		patch("/tier", `{"tier_id":"x"}`, 404), patch("/tier", `{}`, 422), patch("/tier", `{"tier_id":"tier_free","max_users":-1}`, 400),
		patch("/tier", `{"tier_id":"tier_free","max_users":2147483648}`, 400), patch("/tier", `{"tier_id":"tier_free","max_users":"7"}`, 422),
		patch("/features", `{"allow_saml":true,"max_mau":5}`, 200), patch("/features", `{"allow_saml":"yes"}`, 422),
	)
	got := parse[map[string]any](t, c.walk(patch("/features", `{"allow_scim":false,"allow_saml":null,"other":1}`, 200)).body)
	if got["feature_overrides"] != `{"allow_saml_idp":true,"allow_scim":false,"max_mau":5}` {
		t.Errorf("feature_overrides = %v, want JSON text, merged", got["feature_overrides"])
	}
	c.walk(
		step{auth: auth, method: "DELETE", path: base, status: 200, want: `{"success":true,"message":"<…>"}`},
		step{auth: auth, method: "DELETE", path: base, status: 404, want: missing("Organization not found")},
	)
	actions := []string{}
	for _, row := range parse[struct {
		Logs []struct {
			Action   string
			Metadata *string
		}
	}](t, c.do("GET", "/api/platform/audit-log?target_type=organization", "", auth).body).Logs {
		actions = append(actions, row.Action)
	}
	want := "delete_organization,update_organization_features,update_organization_features,update_organization_tier,update_organization_tier," +
		"activate_organization,suspend_organization,approve_organization"
	if got := strings.Join(actions, ","); got != want {
		t.Errorf("audit log = %s, want %s", got, want)
	}
	c.walk(step{auth: auth, method: "GET", path: "/api/platform/audit-log?action=suspend_organization", status: 200,
		want: `{"logs":[{"id":"<…>","platform_owner_id":"` + root.ID + `","action":"suspend_organization","target_type":"organization","target_id":"<…>",` +
			`"metadata":"{\"new_status\":\"suspended\",\"old_status\":\"active\"}","created_at":"<…>Z"}],"total":1}`})
}

func TestPlatformOrganizationList(t *testing.T) {
	srv, c, _, auth := asRoot(t)
	srv.AddOrganization("zeta", "rejected", "owner@zeta.example")
	got := c.do("GET", "/api/platform/organizations?limit=1", "", auth)
	if !strings.Contains(got.body, `"slug":"zeta"`) || !strings.HasSuffix(got.body, `"total":2}`) ||
		!strings.Contains(got.body, `"tier":{"id":"tier_free",`) || !strings.Contains(got.body, `"owner":{"id":"`) {
		t.Errorf("list = %s", got.body)
	}
	c.walk(
		step{auth: auth, method: "GET", path: "/api/platform/organizations?status=nope", status: 200, want: `{"organizations":[],"total":0}`},
		step{auth: auth, method: "GET", path: "/api/platform/organizations?tier_id=tier_enterprise", status: 200, want: `{"organizations":[],"total":0}`},
		step{auth: auth, method: "GET", path: "/api/platform/organizations?limit=x", status: 400, want: "Failed to deserialize query string: invalid digit found in string"},
	)
}

func TestPlatformUsers(t *testing.T) {
	srv, c, root, auth := asRoot(t)
	ada := srv.AddUser("ada@example.com", "")
	owners := "/api/platform/owners"
	shape := `{"id":"` + ada.ID + `","email":"ada@example.com","is_platform_owner":true,"email_verified_at":"<…>Z","created_at":"<…>Z"}`
	row := `{"id":"` + ada.ID + `","email":"ada@example.com","is_platform_owner":false,"created_at":"<…>+00:00"}`
	c.walk(
		step{auth: auth, method: "POST", path: owners, body: `{"user_id":"x"}`, status: 404, want: missing("User not found")},
		step{auth: auth, method: "POST", path: owners, body: `{"user_id":"` + ada.ID + `"}`, status: 200, want: shape},
		step{auth: auth, method: "POST", path: owners, body: `{"user_id":"` + ada.ID + `"}`, status: 400},
		step{auth: auth, method: "DELETE", path: owners + "/" + root.ID, status: 400},
		step{auth: auth, method: "DELETE", path: owners + "/" + ada.ID, status: 200, want: strings.Replace(shape, "true", "false", 1)},
		step{auth: auth, method: "DELETE", path: owners + "/" + ada.ID, status: 400},
		step{auth: auth, method: "GET", path: "/api/platform/users/" + ada.ID, status: 200, want: row},
		step{auth: auth, method: "GET", path: "/api/platform/users/x", status: 404},
		step{auth: auth, method: "GET", path: "/api/platform/users/search?q=ADA", status: 200, want: "[" + row + "]"},
		step{auth: auth, method: "GET", path: "/api/platform/users/search", status: 400, want: "Failed to deserialize query string: missing field `q`"},
		step{auth: auth, method: "GET", path: "/api/platform/users/" + ada.ID + "/mfa/status", status: 200, want: `{"enabled":false,"has_backup_codes":false}`},
	)
	srv.RequireMFA("ada@example.com")
	c.walk(
		step{auth: auth, method: "GET", path: "/api/platform/users/" + ada.ID + "/mfa/status", status: 200, want: `{"enabled":true,"has_backup_codes":false}`},
		step{auth: auth, method: "DELETE", path: "/api/platform/users/" + ada.ID + "/mfa", status: 200, want: `{"success":true,"message":"<…>"}`},
		step{auth: auth, method: "GET", path: "/api/platform/users/" + ada.ID + "/mfa/status", status: 200, want: `{"enabled":false,"has_backup_codes":false}`},
	)
	if got := c.do("GET", "/api/platform/users?limit=2", "", auth).body; !strings.HasPrefix(got, `{"users":[{"id":`) || !strings.HasSuffix(got, `"total":3}`) {
		t.Errorf("users = %s", got)
	}
}

func TestImpersonation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c, root, auth := asRoot(t)
		ada := srv.AddUser("ada@example.com", "")
		in := func(id, reason string) string { return `{"user_id":"` + id + `","reason":"` + reason + `"}` }
		post := func(auth, body string, status int, want string) step {
			return step{auth: auth, method: "POST", path: "/api/platform/impersonate", body: body, status: status, want: want}
		}
		token := parse[struct{ Token string }](t, c.walk(
			post(auth, in(ada.ID, "  "), 400, bad("Impersonation reason must be between 1 and 500 characters")),
			post(auth, in(ada.ID, strings.Repeat("x", 501)), 400, ""),
			post(auth, in("x", "support"), 404, missing("Target user not found")),
			post(auth, in(ada.ID, "support"), 200, `{"token":"<…>","target_user":{"id":"`+ada.ID+`","email":"ada@example.com","is_platform_owner":false,`+
				`"org_id":"<…>","org_name":"Acme"},"actor_user":{"id":"`+root.ID+`","email":"root@example.com","is_platform_owner":true}}`),
		).body).Token
		payload := decodePayload(t, token)
		act, _ := payload["act"].(map[string]any)
		if payload["aud"] != "impersonation-session" || payload["token_use"] != "impersonation" || act["sub"] != root.ID || act["reason"] != "support" {
			t.Errorf("claims = %v", payload)
		}
		exp, _ := payload["exp"].(float64)
		if iat, _ := payload["iat"].(float64); exp-iat != 900 {
			t.Errorf("the token lives %v s, want 900", exp-iat)
		}
		as := func(token string, status int, want string) step {
			return step{auth: bearer(token), method: "GET", path: "/api/user", status: status, want: want}
		}
		if got := c.walk(as(token, 200, "")).body; !strings.Contains(got, `"email":"ada@example.com"`) {
			t.Errorf("profile = %s", got)
		}
		other := srv.AddPlatformOwner("other@example.com", "")
		nested := parse[struct{ Token string }](t, c.walk(post(auth, in(other.ID, "support"), 200, "")).body).Token
		c.walk(post(bearer(nested), in(ada.ID, "support"), 403, forbidden("Nested impersonation is not allowed")))

		second := bearer(srv.SignIn("other@example.com").AccessToken)
		c.walk(
			step{auth: second, method: "DELETE", path: "/api/platform/owners/" + root.ID, status: 200},
			as(token, 401, realError("UNAUTHORIZED", "Impersonation authorization is no longer valid")),
			step{auth: second, method: "POST", path: "/api/platform/owners", body: `{"user_id":"` + root.ID + `"}`, status: 200},
			as(token, 200, ""),
		)
		time.Sleep(15 * time.Minute)
		c.walk(as(token, 401, realError("UNAUTHORIZED", "Session revoked or expired")))
	})
}

func TestPlatformStatistics(t *testing.T) {
	srv, c, _, auth := asRoot(t)
	srv.AddServiceUser("end@example.com")
	srv.AddOrganization("new", "pending", "owner@new.example")
	today := time.Now().UTC().Format(time.DateOnly)
	get := func(path, want string) step {
		return step{auth: auth, method: "GET", path: "/api/platform" + path, status: 200, want: want}
	}
	c.walk(
		get("/analytics/overview", `{"total_organizations":2,"total_users":4,"total_end_users":1,"total_services":1,"total_logins_24h":1,"total_logins_30d":1}`),
		get("/analytics/organization-status", `{"pending":1,"active":1,"suspended":0,"rejected":0}`),
		get("/analytics/growth-trends", `[{"date":"`+today+`","new_organizations":2,"new_users":4}]`),
		get("/analytics/growth-trends?start_date=2020-01-01&end_date=2020-02-01", "[]"),
		get("/analytics/growth-trends?start_date=nonsense", `[{"date":"`+today+`","new_organizations":2,"new_users":4}]`),
		get("/analytics/login-activity", `[{"date":"`+today+`","count":1}]`),
		get("/analytics/top-organizations", `[{"id":"<…>","name":"Acme","slug":"acme","user_count":2,"service_count":1,"login_count_30d":1},`+
			`{"id":"<…>","name":"New","slug":"new","user_count":1,"service_count":0,"login_count_30d":0}]`),
		get("/analytics/recent-organizations?limit=1", `[{"id":"<…>","name":"New","slug":"new","status":"pending","created_at":"<…>+00:00"}]`),
		get("/operations/status", `{"jobs_pending":0,"jobs_running":0,"jobs_failed":0,"webhook_deliveries_failed":0,"siem_configs_enabled":0,"siem_configs_with_failures":0}`),
		get("/mfa/metrics", "[]"),
		get("/mfa/suspicious-activity", "[]"),
		get("/mfa/metrics/generate?date=2026-01-02", `{"id":"<…>","org_id":null,"date":"2026-01-02T00:00:00","total_users":4,"mfa_enabled_users":0,"created_at":"<…>"}`),
		step{auth: auth, method: "GET", path: "/api/platform/mfa/metrics?days=0", status: 400},
		step{auth: auth, method: "GET", path: "/api/platform/mfa/metrics?start_date=2026-01-01", status: 400},
		step{auth: auth, method: "POST", path: "/api/platform/mfa/metrics/generate?date=x", status: 400},
		step{auth: auth, method: "PATCH", path: "/api/platform/bootstrap/config", body: "{}", status: 404, want: missing("Managed config is not enabled")},
	)
}

// TestPlatformRefusals: the guard speaks plain text, before anything else is read.
func TestPlatformRefusals(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	for _, r := range listedRoutes(t) {
		if r.Auth == "platform_owner" {
			c.expect(403, textType, "Platform owner access required", r.Method, r.concrete(), "", auth)
		}
	}
	documentedServer, d := inMemory(t, authostest.WithContract(authostest.Documented))
	d.expect(403, jsonType, documented("FORBIDDEN", "Platform owner access required"), "GET", "/api/platform/organizations", "",
		bearer(documentedServer.SignIn("ada@example.com").AccessToken))
}
