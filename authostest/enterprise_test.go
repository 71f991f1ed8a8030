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

func TestEnterpriseCollections(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.AddMember("acme", "bob@example.com", "member")
	member := bearer(srv.SignIn("bob@example.com").AccessToken)
	for _, tc := range []struct{ path, list, field, feature, update string }{
		{"/siem-configs", "siem_configs", "name", "allow_siem", "PUT"},
		{"/upstream-providers", "upstream_providers", "name", "allow_saml_idp", "PATCH"},
		{"/domain-routes", "domain_routes", "domain", "allow_saml_idp", "PATCH"},
	} {
		all := orgPath + tc.path
		srv.SetFeature("acme", tc.feature, false)
		body := `{"` + tc.field + `":"first","client_secret":"hidden"}`
		got := c.walk(
			step{auth: auth, method: "GET", path: all, status: 200, want: `{"` + tc.list + `":[],"total":0}`},
			step{auth: member, method: "GET", path: all, status: 403, want: forbidden("Insufficient permissions to manage integrations")},
			step{auth: auth, method: "POST", path: all, body: "{}", status: 422, want: missingField(tc.field, "2")},
			step{auth: auth, method: "POST", path: all, body: body, status: 403},
		)
		if !strings.Contains(got.body, `"error_code":"FEATURE_NOT_AVAILABLE_IN_TIER"`) {
			t.Errorf("%s on the free tier: %s", tc.path, got.body)
		}
		srv.SetFeature("acme", tc.feature, true)
		made := c.walk(step{auth: auth, method: "POST", path: all, body: body, status: 200}).body
		if strings.Contains(made, "hidden") {
			t.Errorf("%s shows a secret: %s", tc.path, made)
		}
		one := all + "/" + parse[struct{ ID string }](t, made).ID
		c.walk(
			step{auth: auth, method: tc.update, path: one, body: `{"` + tc.field + `":"second","id":"x"}`, status: 200},
			step{auth: auth, method: "DELETE", path: all + "/x", status: 404},
		)
		if got := c.do("GET", all, "", auth).body; !strings.Contains(got, `"second"`) || !strings.HasSuffix(got, `"total":1}`) || strings.Contains(got, `"id":"x"`) {
			t.Errorf("%s = %s", tc.path, got)
		}
		switch tc.path {
		case "/siem-configs":
			c.walk(step{auth: auth, method: "POST", path: one + "/test", status: 200}, step{auth: auth, method: "GET", path: one, status: 200})
		case "/domain-routes":
			c.walk(step{auth: auth, method: "POST", path: one + "/verify", status: 200, want: `{"verified":false,"message":"<…>"}`})
		}
		c.walk(step{auth: auth, method: "DELETE", path: one, status: 200}, step{auth: auth, method: "DELETE", path: one, status: 404})
	}
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
	c.walk(step{auth: auth, method: "POST", path: tokens + "/" + made.ID + "/revoke", status: 200})
	c.expect(401, "", "", "GET", users, "", scim)
	c.walk(
		step{auth: auth, method: "DELETE", path: tokens + "/" + made.ID, status: 200},
		step{auth: auth, method: "DELETE", path: tokens + "/" + made.ID, status: 404},
	)
}

func TestSAML(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const config = orgPath + "/services/app/saml"
	off := bad("SAML is not enabled for this service")
	c.walk(
		step{auth: auth, method: "GET", path: config, status: 200},
		step{auth: auth, method: "POST", path: config, body: `{"entity_id":"x"}`, status: 403},
		step{auth: auth, method: "GET", path: config + "/certificate", status: 404},
		step{method: "GET", path: "/saml/acme/app/metadata", status: 400, want: off},
		step{method: "GET", path: "/saml/nope/app/metadata", status: 404, want: missing("Organization not found")},
	)
	srv.SetFeature("acme", "allow_saml_idp", true)
	if got := c.walk(step{auth: auth, method: "POST", path: config, body: `{"entity_id":"x"}`, status: 200}).body; !strings.Contains(got, `"entity_id":"x"`) || !strings.Contains(got, `"saml_enabled":true`) {
		t.Errorf("configuration = %s", got)
	}
	if got := c.do("GET", "/saml/acme/app/metadata", ""); got.StatusCode != 200 || got.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("metadata = %d %s", got.StatusCode, got.body)
	}
	c.walk(
		step{auth: auth, method: "POST", path: config + "/certificate", status: 200},
		step{auth: auth, method: "GET", path: config + "/certificate", status: 200},
		step{auth: auth, method: "DELETE", path: config + "/certificate/overlap", status: 404},
		step{auth: auth, method: "GET", path: config + "/login", status: 200, want: `{"login_url":"<…>/saml/acme/app/sso"}`},
		step{method: "POST", path: "/saml/acme/app/sso", status: 400, want: bad("Invalid SAML request")},
		step{auth: auth, method: "DELETE", path: config, status: 200},
		step{method: "GET", path: "/saml/acme/app/sso", status: 400, want: off},
	)
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
	credentials := orgPath + "/billing-credentials/stripe"
	configured := func(yes string) string { return `{"provider":"stripe","configured":` + yes + `}` }
	c.walk(
		step{auth: auth, method: "GET", path: orgPath + "/billing/info", status: 200, want: `{"has_billing_account":false,"provider":null}`},
		step{auth: auth, method: "POST", path: orgPath + "/billing/portal", body: `{"return_url":"https://x.example"}`, status: 400},
		step{auth: auth, method: "GET", path: credentials, status: 200, want: configured("false")},
		step{auth: auth, method: "POST", path: credentials, body: `{"api_key":"x"}`, status: 200, want: configured("true")},
		step{auth: auth, method: "GET", path: credentials, status: 200, want: configured("true")},
		step{auth: auth, method: "DELETE", path: credentials, status: 200},
		step{auth: auth, method: "DELETE", path: credentials, status: 404},
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
