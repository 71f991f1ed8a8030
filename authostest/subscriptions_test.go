package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestSubscriptions(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	srv.AddService("acme", "zoo")
	pro, foreign := srv.AddPlan("acme", "app", "pro", 900), srv.AddPlan("acme", "zoo", "pro", 900)
	ada, bob := srv.AddServiceUser("ada@example.com").ID, srv.AddServiceUser("bob@example.com").ID
	stranger := srv.AddUser("eve@example.com", "").ID
	const path = "/api/service/subscriptions"
	one := func(user, status, end string) string {
		return `{"id":"<…>","user_id":"` + user + `","plan_id":"` + pro + `","plan_name":"pro","status":"` + status + `","current_period_end":"` + end + `"}`
	}
	body := func(user, plan, more string) string {
		return `{"user_id":"` + user + `","plan_id":"` + plan + `"` + more + `}`
	}
	notLinked := missing("User not found or has not authenticated with this service")
	c.walk(
		step{key, "GET", path, "", 200, `{"subscriptions":[],"total":0}`},
		step{key, "POST", path, `{"user_id":"x"}`, 422, missingField("plan_id", "15")},
		step{key, "POST", path, body(ada, "nope", ""), 404, missing("Plan not found")},
		step{key, "POST", path, body(ada, foreign, ""), 403, forbidden("Plan does not belong to this service")},
		step{key, "POST", path, body(stranger, pro, ""), 404, notLinked},
		step{key, "POST", path, body(ada, pro, `,"current_period_end":"2026-01-01T00:00:00"`), 400, ""},
		step{key, "POST", path, body(ada, pro, `,"status":"trialing","current_period_end":"2027-01-01T01:00:00+01:00"`), 200,
			one(ada, "trialing", "2027-01-01T00:00:00Z")},
		step{key, "POST", path, body(ada, pro, ""), 500, realError("DATABASE_ERROR", "Database error")},
		step{key, "POST", path, body(bob, pro, ""), 200, one(bob, "active", "<…>Z")},
		step{key, "GET", path, "", 200, `{"subscriptions":[` + one(ada, "trialing", "2027-01-01T00:00:00Z") + `,` + one(bob, "active", "<…>Z") + `],"total":2}`},
		step{key, "GET", path + "?status=active", "", 200, `{"subscriptions":[` + one(bob, "active", "<…>Z") + `],"total":1}`},
		step{key, "GET", path + "?limit=1&offset=2", "", 200, `{"subscriptions":[],"total":2}`},
		step{key, "GET", path + "/" + ada, "", 200, one(ada, "trialing", "2027-01-01T00:00:00Z")},
		step{key, "GET", path + "/" + stranger, "", 404, missing("Subscription not found for this user")},
		step{key, "PATCH", path + "/" + stranger, `{}`, 404, notLinked},
		step{key, "PATCH", path + "/" + ada, `{"current_period_end":"tomorrow"}`, 400, ""},
		step{key, "PATCH", path + "/" + ada, `{"status":"active","plan_id":"` + foreign + `"}`, 200, one(ada, "active", "2027-01-01T00:00:00Z")},
		step{key, "GET", "/api/service/analytics", "", 200, `{"total_users":2,"total_subscriptions":2,"active_subscriptions":2,` +
			`"total_logins_30d":0,"unique_users_30d":0}`},
		step{key, "DELETE", path + "/" + ada, "", 204, ""},
		step{key, "DELETE", path + "/" + ada, "", 404, missing("Subscription not found for this user and service")},
		step{key, "PATCH", path + "/" + ada, `{"status":"active"}`, 404, missing("Subscription not found for this user and service")},
		// Unlinking drops the subscription.
		step{key, "DELETE", "/api/service/users/" + bob, "", 204, ""},
		step{key, "GET", path, "", 200, `{"subscriptions":[],"total":0}`},
	)
	weak := "X-Api-Key: " + srv.AddAPIKey("read:users")
	for _, s := range []step{
		{"", "GET", path, "", 0, "read"}, {"", "POST", path, body("x", "y", ""), 0, "write"}, {"", "GET", path + "/x", "", 0, "read"},
		{"", "PATCH", path + "/x", "{}", 0, "write"}, {"", "DELETE", path + "/x", "", 0, "delete"},
	} {
		c.walk(step{weak, s.method, s.path, s.body, 403, forbidden("Missing required permission: " + s.want + ":subscriptions")})
	}
}

func TestAddSubscription(t *testing.T) {
	srv, c := inMemory(t)
	plan := srv.AddPlan("acme", "app", "pro", 900)
	id := srv.AddSubscription("ada@example.com", plan)
	if again := srv.AddSubscription("ada@example.com", srv.AddPlan("acme", "app", "max", 9000)); again != id {
		t.Errorf("a second subscription of the same user: %s, want %s with another plan", again, id)
	}
	if got := srv.AddSubscription("ada@example.com", "nope"); got != "" {
		t.Errorf("subscription to an unknown plan = %q", got)
	}
	got := c.do("GET", "/api/service/subscriptions", "", "X-Api-Key: "+srv.AddServiceAPIKey("acme", "app")).body
	if !strings.Contains(got, `"plan_name":"max"`) || strings.Contains(got, `"pro"`) {
		t.Errorf("subscriptions = %s", got)
	}
	if got := srv.AddServiceAPIKey("acme", "nope"); got != "" {
		t.Errorf("key of an unknown service = %q", got)
	}
}

func TestProviderTokens(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	ada := srv.AddServiceUser("ada@example.com").ID
	const path = "/api/service/provider-tokens"
	ask := func(provider, more string) string {
		return `{"user_id":"` + ada + `","provider":"` + provider + `"` + more + `}`
	}
	action := func(code, missing string) string {
		return `{"status":"action_required","code":"` + code + `","reauth_url":"` + srv.URL + `/connect/provider-token/<…>","missing_scopes":` +
			missing + `,"provider":"github"}`
	}
	token := func(provider, expires, scopes string) string {
		return `{"status":"ok","access_token":"<…>","expires_at":` + expires + `,"scopes":` + scopes + `,"provider":"` + provider +
			`","account":{"id":"<…>","provider_user_id":"<…>","email":"ada@example.com","display_name":null}}`
	}
	c.walk(
		step{key, "POST", path, `{"user_id":"x","provider":"github"}`, 404, missing("User not found or has not authenticated with this service")},
		step{key, "POST", path, ask("GitHub", ""), 403, forbidden("Service does not have github scopes configured")},
	)
	srv.AllowProvider("acme", "app", "github", "user:email", "repo")
	c.walk(
		step{key, "POST", path, ask("github", `,"scopes":["admin","repo"]`), 403, forbidden("Requested scopes are not allowed for this service: admin")},
		step{key, "POST", path, ask("github", `,"redirect_uri":"https://evil.example"`), 400,
			bad("redirect_uri 'https://evil.example' is not registered for this service")},
		step{key, "POST", path, ask("GitHub", ""), 200, action("PROVIDER_LINK_REQUIRED", `["user:email","repo"]`)},
		step{key, "POST", path, ask("github", `,"scopes":["repo"],"redirect_uri":"https://app.acme.example/callback"`), 200,
			action("PROVIDER_LINK_REQUIRED", `["repo"]`)},
	)
	srv.LinkProvider("ada@example.com", "github", "user:email")
	c.walk(
		step{key, "POST", path, ask("github", ""), 200, action("PROVIDER_SCOPE_CONSENT_REQUIRED", `["user:email","repo"]`)},
		step{key, "POST", path, ask("github", `,"scopes":["user:email"]`), 200, token("github", "null", `["user:email"]`)},
	)
	srv.LinkProvider("ada@example.com", "github")
	c.walk(step{key, "POST", path, ask("github", ""), 200, token("github", "null", `["user:email","repo"]`)})
	srv.AllowProvider("acme", "app", "github", "repo")
	c.walk(step{key, "POST", path, ask("github", ""), 200, action("PROVIDER_REAUTH_REQUIRED", "[]")})
	srv.RevokeProviderGrant("ada@example.com", "github")
	c.walk(step{key, "POST", path, ask("github", ""), 200, action("PROVIDER_GRANT_REQUIRED", "[]")})

	srv.LinkProvider("ada@example.com", "google") // one line does it all
	narrow := "X-Api-Key: " + srv.AddAPIKey("read:provider_tokens:google")
	c.walk(
		step{narrow, "POST", path, ask("google", ""), 200, token("google", `"<…>+00:00"`, `["openid","email","profile"]`)},
		step{narrow, "POST", path, ask("github", ""), 403, forbidden("Missing required permission: read:provider_tokens")},
	)
	log := c.do("GET", "/api/organizations/acme/audit-log?action=provider_token.issued&limit=1", "", as(srv, "acme", "owner@acme.example")).body
	if !strings.Contains(log, `"actor_id":"system","action":"provider_token.issued","target_type":"connected_account"`) ||
		!strings.Contains(log, `"total":3`) {
		t.Errorf("audit log = %s", log)
	}
}

func TestServiceUserBelongsToTenant(t *testing.T) {
	srv, c := inMemory(t)
	made := c.do("POST", "/api/service/users", `{"email":"ada@example.com"}`, "X-Api-Key: "+srv.AddAPIKey())
	got := c.do("GET", "/api/organizations/acme/users/"+parse[authostest.User](t, made.body).ID, "", as(srv, "acme", "owner@acme.example"))
	org := pick(t, c.do("GET", "/api/organizations/acme", "", as(srv, "acme", "owner@acme.example")).body, `"id":"([^"]+)"`)
	if !strings.Contains(got.body, `"org_id":"`+org+`"`) || !strings.Contains(got.body, `"provider":"service_api"`) {
		t.Errorf("user = %s, want one of the organization %s", got.body, org)
	}
}

func TestProviderTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		key := "X-Api-Key: " + srv.AddAPIKey()
		ada := srv.AddServiceUser("ada@example.com").ID
		srv.LinkProvider("ada@example.com", "google")
		token := func() string {
			t.Helper()
			got := c.do("POST", "/api/service/provider-tokens", `{"user_id":"`+ada+`","provider":"google"}`, key)
			return pick(t, got.body, `"access_token":"([^"]+)"`)
		}
		first := token()
		time.Sleep(54 * time.Minute)
		if got := token(); got != first {
			t.Error("refreshed with six minutes left")
		}
		time.Sleep(2 * time.Minute)
		if got := token(); got == first {
			t.Error("not refreshed with four minutes left")
		}
		owner := as(srv, "acme", "owner@acme.example")
		log := c.do("GET", "/api/organizations/acme/audit-log?action=provider_token.refreshed", "", owner).body
		if !strings.Contains(log, `"total":1,`) {
			t.Errorf("audit log = %s", log)
		}
	})
}

func TestDeletedServiceTakesItsKeysAlong(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddService("acme", "zoo")
	key := "X-Api-Key: " + srv.AddServiceAPIKey("acme", "zoo")
	c.walk(
		step{key, "GET", "/api/service/info", "", 200, ""},
		step{as(srv, "acme", "owner@acme.example"), "DELETE", servicesPath + "/zoo", "", 204, ""},
		step{key, "GET", "/api/service/info", "", 401, realError("UNAUTHORIZED", "Invalid API key")},
	)
}
