package authostest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

const control = "/_authostest/"

func TestControl(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		done := `{"ok":true}`
		post := func(path, body, want string) reply {
			t.Helper()
			return c.expect(200, jsonType, want, "POST", control+path, body)
		}
		// Faults.
		got := post("faults", `{"path":"/health","times":1,"status":503,"headers":{"Retry-After":"7"},"body":"{}"}`, `{"id":1}`)
		if got.Header.Get("Date") == "" {
			t.Error("no Date")
		}
		c.expect(200, jsonType, `[{"id":1,"path":"/health","times":1,"status":503,"headers":{"Retry-After":"7"},"body":"{}"}]`, "GET", control+"faults", "")
		if got := c.do("GET", "/health", ""); got.StatusCode != 503 || got.Header.Get("Retry-After") != "7" {
			t.Errorf("health = %d %v", got.StatusCode, got.Header)
		}
		c.expect(200, jsonType, `{"status":"healthy","version":"<…>"}`, "GET", "/health", "")
		post("outage", `{}`, `{"id":2}`)
		post("faults", `{"method":"GET","path":"/health/*","kind":"slow-body","delay":"5ms","from":"1s","until":"2s","probability":0.5,"skip":1}`, `{"id":3}`)
		if got := c.do("GET", "/health", ""); got.StatusCode != 503 || got.Header.Get("Content-Type") != "text/html" {
			t.Errorf("health = %d %v", got.StatusCode, got.Header)
		}
		c.expect(200, jsonType, done, "DELETE", control+"faults?id=2", "")
		c.expect(404, jsonType, `{"error":"there is no fault 2"}`, "DELETE", control+"faults?id=2", "")
		c.expect(200, jsonType, done, "DELETE", control+"faults", "")
		c.expect(200, jsonType, "[]", "GET", control+"faults", "")
		// Time.
		post("clock", `{"freeze":"2030-05-20T12:00:00Z","advance":"90m"}`, `{"now":"2030-05-20T13:30:00Z","frozen":true}`)
		post("clock", `{"thaw":true}`, `{"now":"2030-05-20T13:<…>Z","frozen":false}`)
		// Sessions, keys, devices.
		session := parse[tokenBody](t, c.do("POST", control+"sign-in", `{"email":"ada@example.com"}`).body)
		auth := bearer(session.AccessToken)
		c.walk(step{auth, "GET", "/api/user", "", 200, ""})
		post("tokens/expire", "", done)
		c.walk(step{auth, "GET", "/api/user", "", 401, realError("JWT_ERROR", "Invalid token")})
		post("sessions/revoke", `{"email":"ada@example.com"}`, done)
		c.walk(step{"", "POST", "/api/auth/refresh", refreshBody(session.RefreshToken), 401, ""})
		auth = bearer(parse[tokenBody](t, c.do("POST", control+"sign-in", `{"email":"ada@example.com","organization":"acme","service":""}`).body).AccessToken)
		post("keys/rotate", "", done)
		c.walk(step{auth, "GET", "/api/user", "", 200, ""})
		post("keys/forget", "", done)
		c.walk(step{auth, "GET", "/api/user", "", 401, realError("UNAUTHORIZED", "JWT key identifier is not recognized")})
		key := parse[struct{ Key string }](t, c.do("POST", control+"api-keys", `{"permissions":["read:users"]}`).body).Key
		c.walk(step{"X-Api-Key: " + key, "GET", userPath, "", 200, ""})
		grant := parse[deviceGrant](t, c.do("POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`).body)
		post("devices/approve", `{"user_code":"`+grant.UserCode+`","email":"ada@example.com"}`, done)
		c.expect(404, jsonType, `{"error":"no pending user code \"`+grant.UserCode+`\""}`, "POST", control+"devices/deny", `{"user_code":"`+grant.UserCode+`"}`)
		// The scene.
		post("scene", `{"organizations":[{"slug":"hooli","services":[{"slug":"web","api_keys":[{"name":"ci"}]}]}]}`,
			`{"api_keys":[{"organization":"hooli","service":"web","name":"ci","secret":"<…>"}],"webhooks":[],"invitations":[]}`)
		post("organizations/status", `{"slug":"hooli","status":"suspended"}`, `{"api_keys":[],"webhooks":[],"invitations":[]}`)
		// What was seen.
		c.do("POST", "/api/auth/forgot-password", `{"email":"ada@example.com"}`)
		c.expect(200, jsonType, `[{"kind":"reset-password","to":"ada@example.com","token":"<…>","link":"<…>","sent":"<…>Z"}]`, "GET", control+"mails?to=ADA@example.com", "")
		c.expect(200, jsonType, "[]", "GET", control+"mails?to=x", "")
		if got := c.do("GET", control+"requests?method=GET&path=/health&last=1", "").body; !strings.HasPrefix(got, `[{"time":"`) || !strings.Contains(got, `"status":503,"fault":true}]`) {
			t.Errorf("requests = %s", got)
		}
		c.expect(200, jsonType, `{"count":3}`, "GET", control+"count?path=/health", "")
		c.expect(200, jsonType, `{"replays":0}`, "GET", control+"replays", "")
		c.expect(200, jsonType, `{"POST /api/auth/forgot-password":1,"POST /auth/device/code":1}`, "GET", control+"applied", "")
		// Resets.
		state := c.do("GET", control+"state", "").body
		post("reset", "", done)
		c.expect(200, jsonType, `{"count":0}`, "GET", control+"count", "")
		c.walk(step{"X-Api-Key: " + key, "GET", userPath, "", 200, ""})
		post("reset", `{"state":"drop"}`, done)
		c.walk(step{"X-Api-Key: " + key, "GET", userPath, "", 401, ""})
		c.expect(200, jsonType, done, "PUT", control+"state", state)
		c.walk(step{"X-Api-Key: " + key, "GET", userPath, "", 200, ""})
	}, authostest.WithControl(""), authostest.WithMail())
}

func TestControlRefuses(t *testing.T) {
	_, c := overSocket(t, authostest.WithControl(""))
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "", "", 200, ""},
		{"POST", "nope", "", 404, `{"error":"no such command; GET /_authostest/ lists them"}`},
		{"GET", "reset", "", 405, `{"error":"wrong method for /_authostest/reset"}`},
		{"POST", "faults", `{`, 400, ""},
		{"POST", "faults", `{}`, 400, `{"error":"a fault needs a kind, a status, a delay, a median or interim statuses"}`},
		{"POST", "faults", `{"status":503} {}`, 400, `{"error":"something follows the JSON"}`},
		{"POST", "faults", `{"statuss":503}`, 400, `{"error":"json: unknown field \"statuss\""}`},
		{"POST", "faults", `{"kind":"fire"}`, 400, ""},
		{"POST", "faults", `{"delay":5}`, 400, ""},
		{"POST", "faults", `{"status":99}`, 400, `{"error":"status: 99; want 200 to 999"}`},
		{"POST", "faults", `{"status":500,"path":"health"}`, 400, `{"error":"path: \"health\" does not begin with a slash"}`},
		{"POST", "faults", `{"status":500,"probability":2}`, 400, `{"error":"probability: 2; want 0 to 1"}`},
		{"POST", "faults", `{"status":500,"times":-1}`, 400, `{"error":"times, skip and delay cannot be negative"}`},
		{"DELETE", "faults?id=x", "", 400, `{"error":"id: \"x\" is no number"}`},
		{"POST", "outage", `{"status":200}`, 400, `{"error":"status: want 400 to 599"}`},
		{"POST", "sign-in", `{"email":"x"}`, 400, `{"error":"email: \"x\" is no address"}`},
		{"POST", "devices/approve", `{"user_code":"x"}`, 400, `{"error":"email: \"\" is no address"}`},
		{"POST", "devices/deny", `{"user_code":"x"}`, 404, `{"error":"no pending user code \"x\""}`},
		{"POST", "api-keys", `{"service":"x"}`, 404, `{"error":"there is no such service"}`},
		{"GET", "requests?last=x", "", 400, `{"error":"last: want a number of requests"}`},
		{"POST", "reset", `{"state":"x"}`, 400, `{"error":"state: \"x\"; want keep or drop"}`},
		{"PUT", "state", `{}`, 400, `{"error":"authostest: a dump of format 0, want 1"}`},
		{"POST", "scene", `{"organizations":[{"slug":"A b"}]}`, 400, `{"error":"authostest: scene: organizations[0].slug: \"A b\" is no slug"}`},
	} {
		got := c.do(tc.method, control+tc.path, tc.body)
		if got.StatusCode != tc.status || tc.want != "" && got.body != tc.want {
			t.Errorf("%s %s %s = %d %s, want %d %s", tc.method, tc.path, tc.body, got.StatusCode, got.body, tc.status, tc.want)
		}
	}
}

// TestControlGuard: who may use the control API.
func TestControlGuard(t *testing.T) {
	_, off := inMemory(t)
	off.expect(404, "", "", "GET", control, "") // as of any unknown path
	srv, _ := overSocket(t, authostest.WithControl(""))
	guarded, _ := overSocket(t, authostest.WithControl("secret"))
	for _, tc := range []struct {
		name         string
		srv          *authostest.Server
		host, remote string
		header       string
		allowed      bool
	}{
		{"this machine", srv, "127.0.0.1:80", "127.0.0.1:5", "", true},
		{"its name", srv, "localhost", "[::1]:5", "", true},
		{"another machine", srv, "127.0.0.1", "192.0.2.1:5", "", false},
		{"another name", srv, "evil.example", "127.0.0.1:5", "", false}, // DNS rebinding
		{"a page", srv, "localhost", "127.0.0.1:5", "Origin: https://evil.example", false},
		{"a page without an origin", srv, "localhost", "127.0.0.1:5", "Sec-Fetch-Site: cross-site", false},
		{"typed into a browser", srv, "localhost", "127.0.0.1:5", "Sec-Fetch-Site: none", true},
		{"no token", guarded, "127.0.0.1", "127.0.0.1:5", "", false},
		{"a wrong token", guarded, "127.0.0.1", "127.0.0.1:5", "Authorization: Bearer x", false},
		{"the token from afar", guarded, "auth.example", "192.0.2.1:5", "Authorization: Bearer secret", true},
	} {
		c := &client{t, "http://" + tc.host, http.Client{}}
		req := c.request("GET", control, "", tc.header)
		req.RemoteAddr = tc.remote
		got := httptest.NewRecorder()
		tc.srv.ServeHTTP(got, req)
		if (got.Code == 200) != tc.allowed || !tc.allowed && got.Code != 403 {
			t.Errorf("%s: %d %s", tc.name, got.Code, got.Body)
		}
	}
	if srv.Count("", "") != 0 {
		t.Error("the journal has the control API in it")
	}
}

func TestApply(t *testing.T) {
	srv, c := inMemory(t)
	const key = "sk_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	scene, err := authostest.ReadScene([]byte(`{
		"users": [
			{"email": "ada@example.com", "password": "correct horse", "devices": ["laptop"], "providers": {"google": ["calendar"]}},
			{"email": "new@example.com", "password": "correct horse", "unverified": true},
			{"email": "root@example.com", "platform_owner": true, "mfa": true}
		],
		"organizations": [{
			"slug": "acme", "tier": "tier_pro", "features": {"allow_scim": true},
			"roles": [{"slug": "support", "capabilities": ["audit_logs.view"]}],
			"members": [{"email": "ada@example.com", "role": "support"}],
			"invitations": [{"email": "bob@example.com", "role": "member", "token": "let-me-in"}],
			"services": [{
				"slug": "app", "type": "api", "client_id": "my-app", "client_secret": "shh", "redirect_uris": ["https://a.example/cb"],
				"scopes": {"google": ["calendar"]}, "users": ["eve@example.com"],
				"plans": [{"name": "pro", "price_cents": 500, "currency": "eur", "features": ["sso"]}],
				"subscriptions": [{"email": "eve@example.com", "plan": "pro", "status": "past_due", "ends": "2030-01-01T00:00:00Z"}],
				"api_keys": [{"name": "ci", "permissions": ["read:users", "read:subscriptions"], "key": "` + key + `"}]
			}],
			"webhooks": [{"url": "http://127.0.0.1:1/", "events": ["user.login.success"], "secret": "whsec"}]
		}, {"slug": "hooli", "status": "pending", "owner": "gavin@hooli.example"}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		made, err := srv.Apply(scene)
		if err != nil {
			t.Fatal(err)
		}
		if made.APIKeys[0].Secret != key || made.Webhooks[0].Secret != "whsec" || made.Invitations[0].Secret != "let-me-in" {
			t.Errorf("secrets = %+v", made)
		}
	}
	auth := bearer(srv.SignInTo("acme", "app", "ada@example.com").AccessToken)
	owner := as(srv, "acme", "owner@acme.example")
	c.walk(
		step{"X-Api-Key: " + key, "GET", userPath, "", 200, `{"users":[{"id":"<…>","email":"eve@example.com","created_at":"<…>Z"},{"id":"<…>","email":"ada@example.com","created_at":"<…>Z"}],"total":2}`},
		step{"X-Api-Key: " + key, "GET", "/api/service/subscriptions", "", 200, `{"subscriptions":[{"id":"<…>","user_id":"<…>","plan_id":"<…>","plan_name":"pro","status":"past_due","current_period_end":"2030-01-01T00:00:00Z"}],"total":1}`},
		step{"X-Api-Key: " + key, "POST", userPath, `{"email":"x@y"}`, 403, forbidden("Missing required permission: write:users")},
		step{"", "POST", "/api/auth/login", `{"email":"new@example.com","password":"correct horse"}`, 401, ""},
		step{auth, "GET", orgPath + "/audit-log", "", 200, ""},
		step{auth, "GET", "/api/provider-token/google", "", 200, ""},
		step{owner, "GET", orgPath + "/services/app/plans", "", 200, ""},
	)
	if got := c.do("GET", orgPath+"/services", "", owner).body; !strings.Contains(got, `"client_id":"my-app"`) || !strings.Contains(got, `"tier":"Pro"`) {
		t.Errorf("services = %s", got)
	}
	for text, want := range map[string]string{
		`{"user":[]}`:    `unknown field "user"`,
		`{"users":[{}]}`: `users[0].email: "" is no address`,
		`{"organizations":[{"slug":"a","status":"x"}]}`:                                             `organizations[0].status: "x"`,
		`{"organizations":[{"slug":"a","tier":"x"}]}`:                                               `organizations[0].tier: there is no "x"`,
		`{"organizations":[{"slug":"a","members":[{"email":"a@b","role":"x"}]}]}`:                   `organizations[0].members: "a@b" cannot be "x"`,
		`{"organizations":[{"slug":"a","services":[{"slug":"s","api_keys":[{"key":"x"}]}]}]}`:       `organizations[0].services[0].api_keys[0].key`,
		`{"organizations":[{"slug":"a","services":[{"slug":"s","subscriptions":[{"plan":"x"}]}]}]}`: `organizations[0].services[0].subscriptions[0]`,
		`{"organizations":[{"slug":"a","webhooks":[{"url":"ftp://x"}]}]}`:                           `organizations[0].webhooks[0].url`,
	} {
		bad, err := authostest.ReadScene([]byte(text))
		if err == nil {
			_, err = srv.Apply(bad)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
