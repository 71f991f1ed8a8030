package authostest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// everything puts something on each shelf of a server.
func everything(t *testing.T, srv *authostest.Server, c *client) string {
	t.Helper()
	srv.AddUser("ada@example.com", "correct horse")
	srv.RequireMFA("mfa@example.com")
	srv.AddDevice("ada@example.com", "laptop")
	srv.LinkProvider("ada@example.com", "google", "calendar")
	srv.AddRole("acme", "support", "audit_logs.view")
	srv.AddInvitation("acme", "bob@example.com", "member")
	srv.AddSubscription("eve@example.com", srv.AddPlan("acme", "app", "pro", 500))
	srv.AddWebhook("acme", "http://127.0.0.1:1/")
	srv.AddMagicLink("ada@example.com")
	srv.AddRiskEvent("acme", "ada@example.com", 50, "new_device")
	srv.AddOrganization("hooli", "suspended", "owner@hooli.example")
	srv.Manage(map[string]any{"a": 1})
	srv.AddBootstrapToken("root@example.com")
	for _, feature := range []string{"allow_scim", "allow_siem", "allow_saml_idp", "allow_branding", "allow_custom_domain"} {
		srv.SetFeature("acme", feature, true)
	}
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	for path, body := range map[string]string{
		"/siem-configs":               `{"name":"logs","provider_type":"Splunk","endpoint_url":"https://logs.example"}`,
		"/scim-tokens":                `{"name":"okta"}`,
		"/domain-routes":              `{"domain":"corp.example"}`,
		"/domain":                     `{"domain":"corp.example"}`,
		"/services/app/saml":          `{"enabled":true,"entity_id":"x","acs_url":"https://sp.example","attribute_mapping":{"a":"b"}}`,
		"/billing-credentials/stripe": `{"api_key":"x","webhook_secret":"y","mode":"test"}`,
		"/oauth-credentials/github":   `{"client_id":"x","client_secret":"y"}`,
	} {
		if got := c.do("POST", orgPath+path, body, auth); got.StatusCode/100 != 2 {
			t.Fatalf("%s = %d %s", path, got.StatusCode, got.body)
		}
	}
	c.do("POST", orgPath+"/services/app/saml/certificate", "", auth)
	c.do("POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`)
	c.do("POST", "/api/auth/passkeys/register/start", `{"name":"key"}`, auth)
	c.do("POST", "/api/auth/forgot-password", `{"email":"ada@example.com"}`)
	c.do("GET", "/auth/github?org=acme&service=app", "")
	c.do("POST", "/api/user/mfa/setup", "", auth)
	return auth
}

func TestDump(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMail(), authostest.WithSeed(3))
	c.http.CheckRedirect = stay
	auth := everything(t, srv, c)
	srv.Freeze(srv.Now())
	dump := srv.Dump()
	twin, d := inMemory(t, authostest.WithMail(), authostest.WithSeed(3))
	twin.Freeze(srv.Now())
	if err := twin.Load(dump); err != nil {
		t.Fatal(err)
	}
	if again := twin.Dump(); !bytes.Equal(again, dump) {
		t.Errorf("what was loaded is not what was dumped:\n%s\n%s", dump, again)
	}
	for _, path := range []string{
		"/api/user", "/api/user/devices", "/api/user/linked-accounts", orgPath, orgPath + "/members", orgPath + "/roles", orgPath + "/siem-configs",
		orgPath + "/scim-tokens", orgPath + "/domain-routes", orgPath + "/audit-log", orgPath + "/webhooks", orgPath + "/services/app/saml/certificate",
	} {
		if one, two := c.do("GET", path, "", auth), d.do("GET", path, "", auth); one.StatusCode != 200 || one.body != two.body {
			t.Errorf("%s = %d %s, and %s", path, one.StatusCode, one.body, two.body)
		}
	}
	// Both draw the same from here on.
	if one, two := srv.AddAPIKey(), twin.AddAPIKey(); one != two {
		t.Errorf("keys %s and %s", one, two)
	}
	if one, two := srv.MailFor("ada@example.com"), twin.MailFor("ada@example.com"); len(one) != 1 || len(two) != 1 || one[0] != two[0] {
		t.Errorf("mail %v and %v", one, two)
	}
}

func TestRewind(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMail())
	key := srv.AddAPIKey()
	srv.AddServiceUser("kept@example.com")
	srv.Mark()
	for range 2 {
		srv.Fault(authostest.Fault{Path: "/health", Status: 503})
		c.expect(503, "", "", "GET", "/health", "")
		c.walk(step{"X-Api-Key: " + key, "POST", userPath, `{"email":"new@example.com"}`, 201, ""})
		srv.Rewind()
		c.walk(step{"", "GET", "/health", "", 200, ""})
		got := c.do("GET", userPath, "", "X-Api-Key: "+key).body
		if !strings.Contains(got, "kept@example.com") || strings.Contains(got, "new@example.com") || srv.Count("", "") != 2 {
			t.Errorf("users = %s, %d requests", got, srv.Count("", ""))
		}
	}
	fresh, d := inMemory(t)
	dead := bearer(fresh.SignIn("ada@example.com").AccessToken)
	fresh.Rewind()
	d.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", dead)
}

func TestDamagedDumps(t *testing.T) {
	srv, c := inMemory(t)
	key := srv.AddAPIKey()
	dump := string(srv.Dump())
	for name, text := range map[string]string{
		"nothing":       "",
		"other JSON":    `{"format":1}`,
		"other version": strings.Replace(dump, `"format":1`, `"format":2`, 1),
		"cut":           dump[:len(dump)/2],
		"another type":  strings.Replace(dump, `"slug":"acme"`, `"slug":7`, 1),
		"another field": strings.Replace(dump, `"slug":"acme"`, `"snail":"acme"`, 1),
		"no object":     strings.Replace(dump, `"entropy":0`, `"entropy":99999`, 1),
		"no entropy":    strings.Replace(dump, `"entropy":0`, `"entropy":null`, 1),
	} {
		if err := srv.Load([]byte(text)); err == nil {
			t.Errorf("%s was loaded", name)
		}
	}
	c.walk(step{"X-Api-Key: " + key, "GET", userPath, "", 200, ""}) // nothing has changed
}

func FuzzLoad(f *testing.F) {
	srv := authostest.New(authostest.InMemory(), authostest.WithSeed(1))
	f.Add(srv.Dump())
	f.Add([]byte(`{"format":1,"scene":{},"objects":[]}`))
	f.Fuzz(func(t *testing.T, dump []byte) {
		srv := authostest.New(authostest.InMemory())
		_ = srv.Load(dump) // an error, or what it says; never a panic
	})
}
