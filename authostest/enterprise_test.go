package authostest_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const orgPath = "/api/organizations/acme"

// locked is the refusal of a feature that the tier does not include.
func locked(name string) string {
	return realError("FEATURE_NOT_AVAILABLE_IN_TIER", "The feature '"+name+"' is not available on your current plan. Please upgrade to access it.")
}

const noIntegrations = "Insufficient permissions to manage integrations"

func TestSIEM(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.AddMember("acme", "bob@example.com", "member")
	member := bearer(srv.SignIn("bob@example.com").AccessToken)
	const all = orgPath + "/siem-configs"
	row := func(name, endpoint, batch, enabled string) string {
		return `{"id":"<…>","org_id":"<…>","name":"` + name + `","provider_type":"Splunk","endpoint_url":"` + endpoint + `","batch_size":` + batch +
			`,"enabled":` + enabled + `,"last_successful_batch_at":null,"failure_count":0,"created_at":"<…>+00:00"}`
	}
	const body = `{"name":"logs","provider_type":"Splunk","endpoint_url":"https://logs.example","api_key":"hidden"}`
	c.walk(
		step{auth, "GET", all, "", 200, `{"siem_configs":[],"total":0}`},
		step{member, "GET", all, "", 403, forbidden(noIntegrations)},
		step{auth, "POST", all, `{"name":"logs"}`, 422, missingField("provider_type", "15")},
		step{auth, "POST", all, body, 403, locked("SIEM integration")},
	)
	srv.SetFeature("acme", "allow_siem", true)
	one := all + "/" + parse[struct{ ID string }](t, c.walk(
		step{auth, "POST", all, strings.Replace(body, "Splunk", "Syslog", 1), 400, bad("Invalid provider type. Must be one of: Datadog, Splunk, Elastic, Custom")},
		step{auth, "POST", all, body, 201, row("logs", "https://logs.example", "100", "true")},
	).body).ID
	c.walk(
		step{auth, "GET", one, "", 200, row("logs", "https://logs.example", "100", "true")},
		step{auth, "PUT", one, `{"enabled":false,"batch_size":5,"api_key":null}`, 200, row("logs", "https://logs.example", "5", "false")},
		step{auth, "POST", one + "/test", "", 200, `{"success":true,"message":"<…>"}`},
		step{auth, "PUT", one, `{"endpoint_url":"https://logs.invalid"}`, 200, ""},
		step{auth, "POST", one + "/test", "", 200, `{"success":false,"message":"<…>"}`},
		step{auth, "GET", all, "", 200, `{"siem_configs":[` + row("logs", "https://logs.invalid", "5", "false") + `],"total":1}`},
		step{auth, "DELETE", one, "", 204, ""},
		step{auth, "DELETE", one, "", 404, missing("SIEM configuration not found")},
	)
}

func TestUpstreamProviders(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const all = orgPath + "/upstream-providers"
	const body = `{"connection_id":"okta","name":"Okta","provider_type":"oidc","client_id":"c","client_secret":"hidden",` +
		`"discovery_url":"https://okta.example/d","issuer":"https://okta.example","metadata":{"a":1}}`
	row := func(name, enabled string) string {
		return `{"id":"<…>","connection_id":"okta","name":"` + name + `","provider_type":"oidc","client_id":"c","issuer":"https://okta.example",` +
			`"authorization_url":null,"enabled":` + enabled + `,"created_at":"<…>Z"}`
	}
	c.walk(
		step{auth, "GET", all, "", 200, "[]"},
		step{auth, "POST", all, body, 403, locked("Enterprise identity providers")},
		step{auth, "POST", all, strings.Replace(body, "{", `{"tenant":1,`, 1), 422, ""},
		step{auth, "POST", all, strings.Replace(body, "https://okta.example/d", "http://okta.example/d", 1), 400, bad("Upstream provider URLs must use https")},
		step{auth, "POST", all, strings.Replace(body, "client_secret", "token_url", 1), 400, ""},
		step{auth, "POST", all, strings.Replace(body, "oidc", "saml", 1), 400, bad("authorization_url is required for SAML providers")},
	)
	srv.SetFeature("acme", "allow_saml_idp", true)
	id := parse[struct{ ID string }](t, c.walk(step{auth, "POST", all, body, 200, row("Okta", "true")}).body).ID
	c.walk(
		step{auth, "POST", all, body, 400, bad("A provider with this connection id already exists")},
		step{auth, "GET", all, "", 200, "[" + row("Okta", "true") + "]"},
		step{auth, "PATCH", all + "/" + id, `{"client_id":"x"}`, 422,
			"Failed to deserialize the JSON body into the target type: client_id: unknown field `client_id`, expected one of `name`, `enabled` at line 1 column 17"},
		step{auth, "PATCH", all + "/" + id, `{"enabled":false,"name":"O"}`, 200, row("O", "false")},
		step{auth, "GET", all + "/" + id, "", 200, row("O", "false")},
	)
	const domains = orgPath + "/domain-routes"
	route := func(upstream, policy, verified string) string {
		return `{"id":"<…>","domain":"corp.example","upstream_provider_id":` + upstream + `,"login_policy":"` + policy +
			`","verification_token":"<…>","verified":` + verified + `,"created_at":"<…>","updated_at":"<…>"}`
	}
	one := domains + "/" + parse[struct{ ID string }](t, c.walk(
		step{auth, "GET", domains, "", 200, "[]"},
		step{auth, "POST", domains, "{}", 422, missingField("domain", "2")},
		step{auth, "POST", domains, `{"domain":"corp.example","login_policy":"x"}`, 400, ""},
		step{auth, "POST", domains, `{"domain":"corp.example","upstream_provider_id":"x"}`, 404, missing("Upstream provider not found")},
		step{auth, "POST", domains, `{"domain":"Corp.example","upstream_provider_id":"` + id + `","login_policy":"upstream_only"}`, 200,
			route(`"`+id+`"`, "upstream_only", `false,"verified_at":null`)},
	).body).ID
	c.walk(
		step{auth, "POST", domains, `{"domain":"corp.example"}`, 400, bad("This domain is already configured")},
		step{auth, "PATCH", one, `{}`, 200, route("null", "upstream_only", `false,"verified_at":null`)}, // left out: cleared
		step{auth, "POST", one + "/verify", "", 400, ""},
	)
	srv.ProveDomain("acme")
	c.walk(
		step{auth, "POST", one + "/verify", "", 200, route("null", "upstream_only", `true,"verified_at":"<…>"`)},
		step{auth, "DELETE", one, "", 200, "null"},
		step{auth, "DELETE", one, "", 404, missing("Domain route not found")},
		step{auth, "DELETE", all + "/" + id, "", 200, `{"success":true}`},
		step{auth, "DELETE", all + "/" + id, "", 404, missing("Upstream provider not found")},
	)
}

func TestRiskEvents(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	for _, score := range []int{10, 50, 90} {
		srv.AddRiskEvent("acme", "ada@example.com", score, "new_device")
	}
	row := func(score string) string {
		return `{"id":"<…>","user_id":"<…>","user_email":"ada@example.com","created_at":"<…>Z","risk_score":` + score + `,"risk_factors":["new_device"],` +
			`"risk_action":"allow","geo_country":null,"geo_city":null,"geo_lat":null,"geo_long":null,"ip_address":"127.0.0.1","provider":"password"}`
	}
	const path = orgPath + "/risk-events"
	c.walk(
		step{auth, "GET", path + "?limit=2", "", 200, "[" + row("90") + "," + row("50") + "]"},
		step{auth, "GET", path + "?limit=2&page=0", "", 200, "[" + row("90") + "," + row("50") + "]"}, // counts from 0
		step{auth, "GET", path + "?limit=2&page=1", "", 200, "[" + row("10") + "]"},
		step{auth, "GET", path + "?min_score=60", "", 200, "[" + row("90") + "]"},
	)
}

func TestManagedConfig(t *testing.T) {
	srv, c := inMemory(t)
	token := srv.AddBootstrapToken("root@example.com")
	c.walk(step{"", "POST", "/api/public/bootstrap-login", `{"token":"` + token + `"}`, 401, realError("UNAUTHORIZED", "Invalid or expired bootstrap token")})
	srv.Manage(map[string]any{"standalone": map[string]any{"dataDir": "/data"}, "domain": "a.example"})
	root := bearer(parse[tokenBody](t, c.walk(
		step{"", "GET", "/api/public/web-config", "", 200, `{"full_client_url":null,"managed_config_enabled":true}`},
		step{"", "POST", "/api/public/bootstrap-login", `{"token":"` + token + `"}`, 200, ""},
	).body).AccessToken)
	const path = "/api/platform/bootstrap/config"
	shown := func(domain string) string {
		return `{"config":{"domain":"` + domain + `","standalone":{"dataDir":"/data"}},"config_path":"<…>","apply_command_configured":true,"status":null}`
	}
	c.walk(
		step{"", "POST", "/api/public/bootstrap-login", `{"token":"` + token + `"}`, 401, ""}, // once
		step{root, "GET", path, "", 200, shown("a.example")},
		step{root, "PATCH", path, `{"domain":"b.example"}`, 400, bad("standalone.dataDir cannot be changed")},
		step{root, "PATCH", path, `{"domain":"b.example","standalone":{"dataDir":"/data"}}`, 200, shown("b.example")},
		step{root, "POST", "/api/platform/bootstrap/apply", "", 200, `{"scheduled":true,"message":"<…>"}`},
	)
}

func TestSCIM(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.SetFeature("acme", "allow_scim", true)
	tokens := orgPath + "/scim-tokens"
	made := parse[struct{ ID, Token string }](t, c.walk(step{auth: auth, method: "POST", path: tokens, body: `{"name":"okta"}`, status: 200}).body)
	if got := c.do("GET", tokens, "", auth).body; strings.Contains(got, made.Token) || !strings.Contains(got, `"name":"okta"`) {
		t.Errorf("tokens = %s", got)
	}
	scim := bearer(made.Token)
	const users = "/scim/v2/Users"
	c.expect(401, "", "", "GET", users, "")
	c.expect(401, "", "", "GET", users, "", bearer("x"))
	c.expect(401, "", "", "GET", users, "", auth)
	c.expect(403, "", "", "GET", users, "", scim, "X-Organization-ID: other")

	const scimType = "application/scim+json"
	c.expect(200, scimType, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"startIndex":1,"itemsPerPage":0,"Resources":[]}`,
		"GET", users, "", scim)
	got := c.do("POST", users, `{"userName":"ada","active":true}`, scim, "Content-Type: "+scimType)
	if got.StatusCode != 201 {
		t.Fatalf("POST = %d %s", got.StatusCode, got.body)
	}
	one := users + "/" + parse[struct{ ID string }](t, got.body).ID
	for _, tc := range []struct{ method, body, want string }{
		{"GET", "", `"userName":"ada"`},
		{"PATCH", `{"Operations":[{"op":"replace","path":"active","value":false}]}`, `"active":false`},
		{"PATCH", `{"Operations":[{"op":"Replace","value":{"displayName":"Ada"}}]}`, `"displayName":"Ada"`},
		{"PUT", `{"userName":"countess"}`, `"userName":"countess"`},
	} {
		if got := c.do(tc.method, one, tc.body, scim); got.StatusCode != 200 || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s = %d %s, want %s", tc.method, got.StatusCode, got.body, tc.want)
		}
	}
	c.expect(204, "", "", "DELETE", one, "", scim)
	c.expect(404, scimType, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"User not found","status":"404"}`, "GET", one, "", scim)
	c.walk(step{auth: auth, method: "POST", path: tokens + "/" + made.ID + "/revoke", status: 200, want: "null"})
	c.expect(401, "", "", "GET", users, "", scim)
	c.walk(
		step{auth: auth, method: "POST", path: tokens + "/nope/revoke", status: 404, want: missing("SCIM token not found")},
		step{auth: auth, method: "GET", path: tokens, status: 200, want: `[{"id":"<…>","name":"okta","prefix":"scim_<…>","active":false,"created_at":"<…>+00:00","expires_at":null,"last_used_at":"<…>+00:00"}]`},
		step{auth: auth, method: "POST", path: tokens, body: `{"name":"x","expires_at":"tomorrow"}`, status: 400, want: bad("Invalid expires_at date")},
		step{auth: auth, method: "DELETE", path: tokens + "/" + made.ID, status: 200, want: "null"},
		step{auth: auth, method: "DELETE", path: tokens + "/" + made.ID, status: 404},
	)
}

func TestSAML(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const config = orgPath + "/services/app/saml"
	off := bad("SAML is not enabled for this service")
	const body = `{"enabled":true,"entity_id":"x","acs_url":"https://sp.example/acs","attribute_mapping":{"mail":"email"},"sign_response":false}`
	cert := func(previous string) string {
		return `{"public_key":"<…>","valid_from":"<…>Z","valid_until":"<…>Z","is_active":true,"created_at":"<…>Z","lifecycle_status":"healthy",` +
			`"expires_in_seconds":31536000,"published_previous_certificates":[` + previous + `]}`
	}
	c.walk(
		step{auth, "GET", config, "", 200, `{"enabled":false,"entity_id":null,"acs_url":null,"slo_url":null,"name_id_format":null,` +
			`"attribute_mapping":null,"sign_assertions":false,"sign_response":false,"has_certificate":false}`},
		step{auth, "POST", config, body, 403, locked("SAML identity provider")},
		step{auth, "POST", config, `{`, 400, bad("JSON syntax error: EOF while parsing an object at line 1 column 1")}, // a Json400 handler
		step{auth, "GET", config + "/certificate", "", 404, missing("SAML certificate not found")},
		step{"", "GET", "/saml/acme/app/metadata", "", 400, off},
		step{"", "GET", "/saml/nope/app/metadata", "", 404, missing("Organization not found")},
	)
	srv.SetFeature("acme", "allow_saml_idp", true)
	c.walk(
		step{auth, "POST", config, `{"enabled":true,"entity_id":"x"}`, 400, bad("entity_id and acs_url are required to enable SAML")},
		step{auth, "POST", config, body, 200, `{"success":true,"message":"<…>"}`},
		step{auth, "GET", config, "", 200, `{"enabled":true,"entity_id":"x","acs_url":"https://sp.example/acs","slo_url":null,"name_id_format":null,` +
			`"attribute_mapping":{"mail":"email"},"sign_assertions":true,"sign_response":false,"has_certificate":false}`},
	)
	if got := c.do("GET", "/saml/acme/app/metadata", ""); got.StatusCode != 200 || got.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("metadata = %d %s", got.StatusCode, got.body)
	}
	if got := c.do("GET", orgPath+"/services/app", "", auth).body; !strings.Contains(got, `"saml_enabled":true,"saml_entity_id":"x"`) {
		t.Errorf("service = %s", got)
	}
	c.walk(
		step{auth, "POST", config + "/certificate", "", 200, ""},
		step{auth, "POST", config + "/certificate", "", 200, ""},
		step{auth, "DELETE", config + "/certificate/overlap", "", 200, `{"success":true,"retired_certificates":1}`},
		step{auth, "GET", config + "/login", "", 200, `{"login_url":"<…>/saml/acme/app/sso"}`},
		step{"", "POST", "/saml/acme/app/sso", "", 400, bad("Invalid SAML request")},
		step{auth, "DELETE", config, "", 200, `{"success":true,"message":"<…>"}`},
		step{"", "GET", "/saml/acme/app/sso", "", 400, off},
	)
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.SetFeature("acme", "allow_saml_idp", true)
		auth := bearer(srv.SignIn("ada@example.com").AccessToken)
		c.walk(step{auth, "POST", config + "/certificate", "", 200, cert("")}, step{auth, "POST", config + "/certificate", "", 200,
			cert(`{"public_key":"<…>","valid_from":"<…>Z","valid_until":"<…>Z","publish_until":"<…>Z","created_at":"<…>Z"}`)})
	})
}

func TestSAMLSecondFactor(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	srv.RequireMFA("ada@example.com")
	preauth := parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body).AccessToken
	const form = "Content-Type: application/x-www-form-urlencoded"
	c.expect(415, textType, "Form requests must have `Content-Type: application/x-www-form-urlencoded`", "POST", "/saml/mfa/verify", "{}")
	c.expect(401, jsonType, realError("JWT_ERROR", "Invalid token"), "POST", "/saml/mfa/verify", "preauth_token=x&code=123456", form)
	c.expect(400, jsonType, bad("SAML state is missing"), "POST", "/saml/mfa/verify", "code=123456&preauth_token="+preauth, form)
}

func TestBilling(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.AddMember("acme", "bob@example.com", "admin")
	admin := bearer(srv.SignIn("bob@example.com").AccessToken)
	credentials := orgPath + "/billing-credentials/stripe"
	c.walk(
		step{auth, "GET", orgPath + "/billing/info", "", 200, `{"has_billing_account":false,"provider":null}`},
		step{auth, "POST", orgPath + "/billing/portal", `{"return_url":"https://x.example"}`, 503,
			realError("SERVICE_UNAVAILABLE", "Billing is disabled on this instance")},
		step{admin, "GET", credentials, "", 403, forbidden("Requires one of roles: owner")},
		step{auth, "GET", orgPath + "/billing-credentials/paypal", "", 400, ""},
		step{auth, "GET", credentials, "", 200, `{"configured":false,"provider":"stripe","mode":null,"enabled":false}`},
		step{auth, "POST", credentials, `{"api_key":"x"}`, 422, missingField("webhook_secret", "15")},
		step{auth, "POST", credentials, `{"api_key":"x","webhook_secret":"y","mode":"play"}`, 400, ""},
		step{auth, "POST", credentials, `{"api_key":"x","webhook_secret":"y","mode":"test"}`, 200, `{"message":"<…>"}`},
		step{auth, "GET", credentials, "", 200, `{"configured":true,"provider":"stripe","mode":"test","enabled":true}`},
		step{auth, "GET", orgPath + "/billing/info", "", 200, `{"has_billing_account":true,"provider":"stripe"}`},
		step{auth, "POST", orgPath + "/billing/portal", `{"return_url":"https://x.example"}`, 200, `{"url":"https://<…>"}`},
		step{auth, "DELETE", credentials, "", 200, `{"message":"<…>","deleted_count":1}`},
		step{auth, "DELETE", credentials, "", 404, missing("Billing credentials not found")},
	)
}

// TestTokenExchange goes all the way: a device's token for a resource, an assertion
// about its user, and a token for the same resource from that.
func TestTokenExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		auth := bearer(srv.SignIn("ada@example.com").AccessToken)
		const resource = "https://mcp.example/api"
		made := parse[struct {
			Service struct {
				ClientID     string `json:"client_id"`
				ClientSecret string `json:"client_secret"`
			}
		}](t, c.walk(step{auth: auth, method: "POST", path: orgPath + "/services", status: 200,
			body: `{"slug":"mcp","name":"MCP","service_type":"api","redirect_uris":["https://mcp.example"],"device_activation_uri":"https://mcp.example/activate","resource_uris":["` + resource + `"]}`}).body).Service
		grant := parse[deviceGrant](t, c.walk(step{method: "POST", path: "/auth/device/code",
			body: `{"client_id":"` + made.ClientID + `","org":"acme","service":"mcp"}`, status: 200}).body)
		srv.ApproveDevice(grant.UserCode, "ada@example.com")
		poll := func(resource string) step {
			return step{method: "POST", path: "/auth/token", status: 200, body: strings.Replace(pollBody(grant.DeviceCode, made.ClientID, deviceGrantType),
				"{", `{"resource":"`+resource+`",`, 1)}
		}
		wrong := poll("https://other.example")
		wrong.status = 400
		subject := parse[tokenBody](t, c.walk(wrong, poll(resource)).body).AccessToken
		c.walk(step{auth: bearer(subject), method: "GET", path: "/api/user", status: 401, want: realError("UNAUTHORIZED", "Token profile is not valid for the AuthOS API")})

		ask := func(status int, want string, form url.Values, headers ...string) reply {
			t.Helper()
			got := c.expect(status, jsonType, want, "POST", "/oauth/token", form.Encode(),
				append(headers, "Content-Type: application/x-www-form-urlencoded")...)
			if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Pragma") != "no-cache" {
				t.Errorf("headers = %v", got.Header)
			}
			return got
		}
		failure := func(code string) string { return `{"error":"` + code + `","error_description":"<…>"}` }
		exchange := func(change ...string) url.Values {
			form := url.Values{
				"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
				"requested_token_type": {"urn:ietf:params:oauth:token-type:id-jag"},
				"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
				"subject_token":        {subject}, "audience": {srv.URL}, "resource": {resource}, "client_id": {made.ClientID}, "scope": {"read"},
			}
			for i := 0; i < len(change); i += 2 {
				form.Set(change[i], change[i+1])
			}
			return form
		}
		ask(400, failure("invalid_request"), exchange("grant_type", "password"))
		ask(400, failure("invalid_request"), exchange("audience", "https://other.example"))
		ask(400, failure("invalid_grant"), exchange("subject_token", "x"))
		ask(401, failure("invalid_client"), exchange("client_id", "x"))
		ask(401, failure("invalid_client"), exchange("client_secret", "x"))
		assertion := parse[tokenBody](t, ask(200, `{"issued_token_type":"urn:ietf:params:oauth:token-type:id-jag","access_token":"<…>","token_type":"N_A","expires_in":300,"scope":"read"}`,
			exchange()).body).AccessToken

		basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(made.ClientID+":"+made.ClientSecret))
		redeem := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
		ask(401, failure("invalid_client"), redeem)
		token := parse[tokenBody](t, ask(200, `{"access_token":"<…>","token_type":"Bearer","expires_in":86400,"scope":"read"}`, redeem, basic).body).AccessToken
		if aud := decodePayload(t, token)["aud"]; aud != resource {
			t.Errorf("aud = %v", aud)
		}
		ask(400, failure("invalid_grant"), redeem, basic) // once
		second := parse[tokenBody](t, ask(200, `{"issued_token_type":"<…>","access_token":"<…>","token_type":"N_A","expires_in":300,"scope":"read"}`, exchange()).body).AccessToken
		time.Sleep(7 * time.Minute)
		redeem.Set("assertion", second)
		ask(400, failure("invalid_grant"), redeem, basic)
		c.expect(415, textType, "Form requests must have `Content-Type: application/x-www-form-urlencoded`", "POST", "/oauth2/token", "{}")
		c.expect(422, textType, "Failed to deserialize form body: missing field `grant_type`", "POST", "/oauth2/token", "x=y",
			"Content-Type: application/x-www-form-urlencoded")
	})
}
