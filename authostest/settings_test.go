package authostest_test

import (
	"strings"
	"testing"
)

func TestBranding(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/branding"
	c.walk(
		step{member, "PATCH", path, `{}`, 403, forbidden("Insufficient permissions to manage organization settings")},
		step{owner, "PATCH", path, `{"primary_color":"#fff"}`, 403, realError("FEATURE_NOT_AVAILABLE_IN_TIER",
			"The feature 'Custom Branding' is not available on your current plan. Please upgrade to access it.")},
	)
	srv.SetFeature("acme", "allow_branding", true)
	const color = "Invalid color format. Must be a hex color (e.g., #FF5733 or #F57)"
	c.walk(
		step{owner, "PATCH", path, `{"primary_color":"red"}`, 400, bad(color)},
		step{owner, "PATCH", path, `{"primary_color":"#12345"}`, 400, bad(color)},
		step{owner, "PATCH", path, `{"primary_color":"#ff5733","logo_url":"https://acme.example/logo.svg"}`, 200,
			`{"logo_url":"https://acme.example/logo.svg","primary_color":"#ff5733"}`},
		step{owner, "PATCH", path, `{"primary_color":"#fff"}`, 200, `{"logo_url":null,"primary_color":"#fff"}`},
		step{member, "GET", path, "", 200, `{"logo_url":null,"primary_color":"#fff"}`},
		step{as(srv, "", "eve@example.com"), "GET", path, "", 403, forbidden("You must be a member of this organization")},
		step{"X: y", "GET", path + "/public", "", 200, `{"logo_url":null,"primary_color":"#fff"}`},
		step{"X: y", "GET", "/api/organizations/nope/branding/public", "", 404, missing("Organization not found")},
	)
	got := c.do("GET", "/api/organizations/acme", "", owner).body
	if !strings.Contains(got, `"brand_primary_color":"#fff","feature_overrides":"{\"allow_branding\":true}"`) {
		t.Errorf("organization = %s", got)
	}
}

func TestDomain(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddOrganization("engines", "active", "eve@example.com")
	srv.SetFeature("acme", "allow_custom_domain", true)
	owner := as(srv, "acme", "owner@acme.example")
	const path = "/api/organizations/acme/domain"
	method := func(name, record string) string {
		return `{"method":"` + name + `","instructions":"<…>",` + record + `,"record_value":"<…>"}`
	}
	c.walk(
		step{as(srv, "", "eve@example.com"), "POST", "/api/organizations/engines/domain", `{"domain":"x.example"}`, 403,
			realError("FEATURE_NOT_AVAILABLE_IN_TIER", "The feature 'Custom Domain' is not available on your current plan. Please upgrade to access it.")},
		step{owner, "POST", path + "/verify", "", 400, bad("No custom domain configured")},
		step{owner, "POST", path, `{"domain":"https://x.example"}`, 400, bad("Invalid domain")},
		step{owner, "POST", path, `{"domain":" SSO.acme.example "}`, 200, `{"verification_token":"<…>","verification_methods":[` +
			method("DNS TXT Record", `"record_type":"TXT","record_name":"_sso-verification.sso.acme.example"`) + `,` +
			method("HTTP File", `"record_type":null,"record_name":null`) + `]}`},
		step{owner, "GET", path, "", 200, `{"custom_domain":"sso.acme.example","domain_verified":false}`},
		step{owner, "POST", path + "/verify", "", 200, `{"verified":false,"message":"Domain verification failed. ` +
			`Please ensure the TXT record or HTTP file is correctly configured."}`},
	)
	srv.ProveDomain("acme")
	srv.SetFeature("engines", "allow_custom_domain", true)
	c.walk(
		step{owner, "POST", path + "/verify", "", 200, `{"verified":true,"message":"Domain verified successfully via DNS TXT record"}`},
		step{owner, "POST", path + "/verify", "", 200, `{"verified":true,"message":"Domain is already verified"}`},
		step{owner, "GET", path, "", 200, `{"custom_domain":"sso.acme.example","domain_verified":true}`},
		step{as(srv, "", "eve@example.com"), "POST", "/api/organizations/engines/domain", `{"domain":"sso.acme.example"}`, 400,
			bad("This domain is already in use by another organization")},
		step{owner, "DELETE", path, "", 204, ""},
		step{owner, "GET", path, "", 200, `{"custom_domain":null,"domain_verified":false}`},
	)
}

func TestSMTP(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/smtp"
	const none = `{"host":"","port":587,"username":"","from_email":"","from_name":null,"configured":false}`
	const full = `{"host":"mail.acme.example","port":25,"username":"acme","password":"hush","from_email":"noreply@acme.example"}`
	c.walk(
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to manage organization settings")},
		step{owner, "GET", path, "", 200, none},
		step{owner, "POST", path, `{"host":"mail.acme.example"}`, 422, missingField("port", "28")},
		step{owner, "POST", path, strings.Replace(full, "25", "70000", 1), 422,
			"Failed to deserialize the JSON body into the target type: port: invalid value: integer `70000`, expected u16"},
		step{owner, "POST", path, full, 200, `{"message":"SMTP configuration saved successfully"}`},
		step{owner, "GET", path, "", 200, `{"host":"mail.acme.example","port":25,"username":"acme","from_email":"noreply@acme.example",` +
			`"from_name":null,"configured":true}`},
		step{owner, "DELETE", path, "", 200,
			`{"message":"SMTP configuration deleted successfully. Organization will now use platform-level SMTP."}`},
		step{owner, "GET", path, "", 200, none},
	)
}

func TestRiskSettings(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddRole("acme", "watcher", "risk_events.view")
	srv.AddMember("acme", "wes@example.com", "watcher")
	owner, watcher := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "wes@example.com")
	const path = "/api/organizations/acme/risk-settings"
	settings := func(mode, low, velocity string) string {
		return `{"enforcement_mode":"` + mode + `","low_threshold":` + low + `,"medium_threshold":70,"new_device_score":20,` +
			`"impossible_travel_score":50,"velocity_threshold":` + velocity + `,"velocity_score":30}`
	}
	c.walk(
		step{watcher, "GET", path, "", 200, settings("log_only", "30", "10")},
		step{watcher, "PUT", path, `{}`, 403, forbidden("Insufficient permissions to manage risk settings")},
		step{owner, "PUT", path, `{"enforcement_mode":"shout"}`, 400,
			bad("Invalid enforcement mode. Must be one of: log_only, monitor, challenge, block")},
		step{owner, "PUT", path, `{"velocity_score":101}`, 400, bad("Velocity score must be between 0 and 100")},
		step{owner, "PUT", path, `{"low_threshold":50,"medium_threshold":50}`, 400, bad("Low threshold must be less than medium threshold")},
		step{owner, "PUT", path, `{"enforcement_mode":"block","low_threshold":40,"velocity_threshold":1000}`, 200,
			`{"message":"Risk settings updated successfully","settings":` + settings("block", "40", "1000") + `}`},
		step{owner, "POST", path + "/reset", "", 200,
			`{"message":"Risk settings reset to default values","settings":` + settings("log_only", "30", "10") + `}`},
	)
	c.walk(
		step{watcher, "GET", "/api/organizations/acme/risk-events", "", 200, "[]"},
		step{as(srv, "", "eve@example.com"), "GET", "/api/organizations/acme/risk-events", "", 403,
			forbidden("Insufficient permissions to view security insights")},
	)
	srv.SuspendOrg("acme")
	c.walk(step{owner, "GET", path, "", 403, forbidden("Organization is not active. Current status: suspended")})
}

func TestOAuthCredentials(t *testing.T) {
	srv, c := inMemory(t)
	owner := as(srv, "acme", "owner@acme.example")
	const path = "/api/organizations/acme/oauth-credentials/"
	c.walk(
		step{owner, "GET", path + "github", "", 404, missing("OAuth credentials not found for this provider")},
		step{owner, "POST", path + "gitlab", `{"client_id":"a","client_secret":"b"}`, 400, bad("Invalid provider. Must be github, google, or microsoft")},
		step{owner, "POST", path + "github", `{"client_id":"a"}`, 422, missingField("client_secret", "17")},
		step{owner, "POST", path + "github", `{"client_id":"a","client_secret":"b"}`, 200, `{"provider":"github","client_id":"a","has_secret":true}`},
		step{owner, "GET", path + "github", "", 200, `{"provider":"github","client_id":"a","has_secret":true}`},
	)
	srv.SuspendOrg("acme")
	c.walk(step{owner, "GET", path + "github", "", 403, forbidden("Organization is not active. Current status: suspended")})
}
