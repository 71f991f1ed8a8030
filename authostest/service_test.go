package authostest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

func TestServiceUsers(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		key := "X-Api-Key: " + srv.AddAPIKey()
		c.expect(200, jsonType, `{"users":[],"total":0}`, "GET", "/api/service/users", "", key)
		one := `{"id":"<…>","email":"ada@example.com","created_at":"<…>Z"}`
		made := c.expect(201, jsonType, one, "POST", "/api/service/users", `{"email":"ada@example.com"}`, key)
		again := c.expect(200, jsonType, one, "POST", "/api/service/users", `{"email":"ADA@example.com"}`, key)
		if made.body != again.body {
			t.Errorf("created %s, then found %s", made.body, again.body)
		}
		c.expect(400, jsonType, realError("BAD_REQUEST", "Invalid email format"), "POST", "/api/service/users", `{"email":"ada"}`, key)
		c.expect(200, jsonType, `{"users":[`+made.body+`],"total":1}`, "GET", "/api/service/users", "", key)

		path := "/api/service/users/" + parse[authostest.User](t, made.body).ID
		c.expect(200, jsonType, made.body, "GET", path, "", key)
		c.expect(200, jsonType, made.body, "PATCH", path, `{"email":null,"unknown":1}`, key)
		c.expect(403, jsonType, realError("FORBIDDEN", "Service API keys cannot update organization user profile fields"),
			"PATCH", path, `{"email":"x@example.com"}`, key)
		c.expect(204, "", "", "DELETE", path, "", key)
		gone := realError("NOT_FOUND", "User not found or has not authenticated with this service")
		c.expect(404, jsonType, gone, "DELETE", path, "", key)
		c.expect(404, jsonType, gone, "GET", path, "", key)
		c.expect(404, jsonType, gone, "PATCH", path, `{}`, key)
		c.expect(201, jsonType, one, "POST", "/api/service/users", `{"email":"ada@example.com"}`, key)
		if got := srv.Applied()["DELETE "+path]; got != 1 {
			t.Errorf("applied the DELETE %d times, want 1", got)
		}
	})
}

func TestListWindow(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	for i := range 120 {
		srv.AddServiceUser(fmt.Sprintf("user%03d@example.com", i))
	}
	for _, tc := range []struct {
		query string
		n     int
		first string
	}{
		{"", 50, "user000@"},
		{"?limit=1000", 100, "user000@"},
		{"?limit=0", 1, "user000@"},
		{"?limit=-5&offset=-5", 1, "user000@"},
		{"?limit=10&offset=115", 5, "user115@"},
		{"?offset=500", 0, ""},
		{"?offset=9223372036854775807", 0, ""},
	} {
		got := parse[struct {
			Users []authostest.User
			Total int
		}](t, c.do("GET", "/api/service/users"+tc.query, "", key).body)
		if got.Total != 120 || len(got.Users) != tc.n || tc.n > 0 && !strings.HasPrefix(got.Users[0].Email, tc.first) {
			t.Errorf("list%s = %d users of %d, want %d from %s", tc.query, len(got.Users), got.Total, tc.n, tc.first)
		}
	}
	for query, reason := range map[string]string{
		"?limit=ten":                  "invalid digit found in string",
		"?offset=":                    "cannot parse integer from empty string",
		"?limit=99999999999999999999": "number too large to fit in target type",
	} {
		c.expect(400, textType, "Failed to deserialize query string: "+reason, "GET", "/api/service/users"+query, "", key)
	}
}

func TestPermissions(t *testing.T) {
	srv, c := inMemory(t)
	none := "X-Api-Key: " + srv.AddAPIKey("read:provider_tokens")
	for _, tc := range []struct{ method, path, body, permission string }{
		{"GET", "/api/service/users", "", "read:users"},
		{"POST", "/api/service/users", `{"email":"a@b"}`, "write:users"},
		{"GET", "/api/service/users/x", "", "read:users"},
		{"PATCH", "/api/service/users/x", `{}`, "write:users"},
		{"DELETE", "/api/service/users/x", "", "delete:users"},
		{"GET", "/api/service/info", "", "read:service"},
		{"PATCH", "/api/service/info", `{}`, "write:service"},
		{"GET", "/api/service/analytics", "", "read:analytics"},
	} {
		c.expect(403, jsonType, realError("FORBIDDEN", "Missing required permission: "+tc.permission), tc.method, tc.path, tc.body, none)
	}
	if got := srv.Applied(); len(got) != 0 {
		t.Errorf("Applied() = %v, want nothing", got)
	}
}

func TestAPIKeys(t *testing.T) {
	srv, c := inMemory(t)
	key := srv.AddAPIKey()
	if len(key) != 80 || !strings.HasPrefix(key, "sk_") || strings.Count(key, "_") != 2 {
		t.Errorf("AddAPIKey() = %q, want sk_<12 hex>_<64 hex>", key)
	}
	try := func(text string, headers ...string) {
		t.Helper()
		c.expect(401, jsonType, realError("UNAUTHORIZED", text), "GET", "/api/service/info", "", headers...)
	}
	try("Missing or invalid X-Api-Key header")
	try("Missing or invalid X-Api-Key header", bearer(srv.SignIn("ada@example.com").AccessToken))
	try("Invalid API key format", "X-Api-Key: sk_")
	try("Invalid API key", "X-Api-Key: sk_live_abc123")
	try("Invalid API key", "X-Api-Key: "+key[:len(key)-1]+"x")
	srv.SuspendOrg("acme")
	try("API key organization is not active", "X-Api-Key: "+key)
	srv.ActivateOrg("acme")
	c.expect(200, jsonType, `{"id":"<…>","name":"App","slug":"app","service_type":"web","created_at":"<…>Z"}`,
		"GET", "/api/service/info", "", "X-Api-Key: "+key)
	srv.RevokeAPIKey(key)
	try("Invalid API key", "X-Api-Key: "+key)
}

func TestServiceInfoAndAnalytics(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	c.expect(200, jsonType, `{"id":"<…>","name":"<&>","slug":"app","service_type":"web","created_at":"<…>Z"}`,
		"PATCH", "/api/service/info", `{"name":"<&>"}`, key)
	c.do("PATCH", "/api/service/info", `{}`, key)
	if got := srv.Applied()["PATCH /api/service/info"]; got != 1 {
		t.Errorf("applied %d times, want 1", got)
	}
	srv.AddServiceUser("ada@example.com")
	srv.SignIn("ada@example.com")
	srv.SignIn("ada@example.com")
	c.expect(200, jsonType, `{"total_users":1,"total_subscriptions":0,"active_subscriptions":0,"total_logins_30d":2,"unique_users_30d":1}`,
		"GET", "/api/service/analytics", "", key)
}
