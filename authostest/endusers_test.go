package authostest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEndUsers(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/users"
	c.walk(
		step{owner, "GET", path, "", 200, `{"users":[],"total":0,"page":1,"limit":50}`},
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view end users")},
	)
	srv.AddService("acme", "zoo")
	ada := srv.AddServiceUser("ada@example.com").ID
	srv.AddSubscription("ada@example.com", srv.AddPlan("acme", "zoo", "pro", 900))
	identity := `{"provider":"password","provider_user_id":"ada@example.com","created_at":"<…>Z"}`
	subscribed := `{"service_id":"<…>","service_slug":"zoo","service_name":"Zoo","plan_id":"<…>","plan_name":"pro","status":"active",` +
		`"current_period_end":"<…>Z","created_at":"<…>Z"}`
	listed := `{"user":` + listedPattern + `,"subscriptions":[` + subscribed + `],"identities":[` + identity + `,` + identity + `]}`
	c.walk(
		step{owner, "GET", path, "", 200, `{"users":[` + listed + `],"total":1,"page":1,"limit":50}`},
		step{owner, "GET", path + "?service_slug=app&limit=7", "", 200,
			`{"users":[{"user":` + listedPattern + `,"subscriptions":[],"identities":[` + identity + `]}],"total":1,"page":1,"limit":7}`},
		step{owner, "GET", path + "?service_slug=nope", "", 404, missing("Service 'nope' not found")},
		step{owner, "GET", path + "?page=2", "", 200, `{"users":[],"total":0,"page":2,"limit":50}`}, // no total without users
		step{owner, "GET", path + "/nope", "", 404, missing("End-user not found")},
		step{owner, "GET", path + "/" + srv.AddUser("bob@example.com", "").ID, "", 404, missing("User is not an end-user of this organization")},
	)
	srv.SignIn("ada@example.com")
	elsewhere := srv.SignInTo("", "", "ada@example.com")
	session := `{"id":"<…>","service_id":"<…>","service_name":"App","org_slug":"acme","ip_address":null,"user_agent":null,"expires_at":"<…>Z",` +
		`"refresh_token_expires_at":"<…>Z","created_at":"<…>Z"}`
	login := `{"id":"<…>","service_id":"<…>","service_name":"App","provider":"password","ip_address":null,"user_agent":null,"risk_score":null,` +
		`"risk_factors":[],"geo_country":null,"geo_city":null,"created_at":"<…>Z"}`
	c.walk(
		step{owner, "GET", path + "/" + ada, "", 200, `{"user":` + userPattern + `,"subscriptions":[` + subscribed + `],"identities":[` + identity + `,` +
			identity + `],"session_count":1,"sessions":[` + session + `],"recent_logins":[` + login + `]}`},
		step{member, "DELETE", path + "/" + ada + "/sessions", "", 403, forbidden("Insufficient permissions to manage end users")},
		step{owner, "DELETE", path + "/" + ada + "/sessions", "", 200, `{"message":"Sessions revoked successfully","revoked_count":1}`},
		step{owner, "DELETE", path + "/" + ada + "/sessions", "", 200, `{"message":"Sessions revoked successfully","revoked_count":0}`},
		step{bearer(elsewhere.AccessToken), "GET", "/api/user", "", 200, ""},
	)
}

func TestEndUserPages(t *testing.T) {
	srv, c := inMemory(t)
	for i := range 60 {
		srv.AddServiceUser(fmt.Sprintf("user%02d@example.com", i))
	}
	auth := as(srv, "acme", "owner@acme.example")
	seen := map[string]bool{}
	for page := 1; ; page++ {
		got := parse[struct {
			Users []struct{ User struct{ Email string } }
			Total int
		}](t, c.do("GET", fmt.Sprintf("/api/organizations/acme/users?limit=25&page=%d", page), "", auth).body)
		if len(got.Users) == 0 {
			break
		}
		if got.Total != 60 {
			t.Errorf("page %d: total = %d, want 60", page, got.Total)
		}
		for _, u := range got.Users {
			seen[u.User.Email] = true
		}
	}
	if len(seen) != 60 {
		t.Errorf("saw %d users, want 60", len(seen))
	}
}

func TestAnalytics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.AddMember("acme", "bob@example.com", "member")
		srv.AddService("acme", "zoo")
		start := time.Now() // midnight UTC, 2000-01-01
		srv.AddLogin("acme", "zoo", "ada@example.com", "github", start.Add(-40*24*time.Hour))
		srv.AddLogin("acme", "app", "ada@example.com", "github", start.Add(-24*time.Hour))
		srv.AddLogin("acme", "app", "eve@example.com", "password", start.Add(-24*time.Hour))
		time.Sleep(time.Hour + 1500*time.Millisecond)
		owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
		srv.SignIn("ada@example.com")
		const path = "/api/organizations/acme/analytics/"
		row := func(service, provider, at string) string {
			return `{"id":"<…>","user_id":"<…>","service_id":` + service + `,"provider":"` + provider + `","created_at":"` + at + `"}`
		}
		c.walk(
			step{member, "GET", path + "login-trends", "", 403, forbidden("Insufficient permissions to view organization analytics")},
			step{owner, "GET", path + "login-trends", "", 200, `[{"date":"1999-12-31","count":2},{"date":"2000-01-01","count":3}]`},
			step{owner, "GET", path + "login-trends?start_date=1999-01-01&end_date=1999-12-31", "", 200,
				`[{"date":"1999-11-22","count":1},{"date":"1999-12-31","count":2}]`},
			step{owner, "GET", path + "login-trends?start_date=yesterday&end_date=2000-13-01", "", 200,
				`[{"date":"1999-12-31","count":2},{"date":"2000-01-01","count":3}]`},
			step{owner, "GET", path + "login-trends?start_date=2001-01-01", "", 200, "[]"},
			step{owner, "GET", path + "logins-by-service", "", 200, `[{"service_id":"<…>","service_name":"App","count":3}]`},
			step{owner, "GET", path + "logins-by-provider?start_date=1999-01-01", "", 200,
				`[{"provider":"password","count":4},{"provider":"github","count":2}]`},
			step{owner, "GET", path + "recent-logins?limit=3", "", 200, "[" + row(`"<…>"`, "password", "2000-01-01 01:00:01") + "," +
				row("null", "password", "2000-01-01 01:00:01") + "," + row("null", "password", "2000-01-01 01:00:01") + "]"},
			step{owner, "GET", path + "recent-logins?limit=x", "", 400, "Failed to deserialize query string: invalid digit found in string"},
		)
		if got := strings.Count(c.do("GET", path+"recent-logins?limit=0", "", owner).body, `"id"`); got != 1 {
			t.Errorf("limit=0 gave %d rows, want 1", got)
		}
		srv.SuspendOrg("acme")
		c.walk(step{owner, "GET", path + "recent-logins", "", 403, forbidden("Organization is not active. Current status: suspended")})
	})
}
