package authostest_test

import (
	"strings"
	"testing"
)

func TestAuditLog(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "ada@example.com", "admin")
	bob := srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/audit-log"
	pages := func(page, limit, total, pages, next, prev string) string {
		return `"pagination":{"page":` + page + `,"limit":` + limit + `,"total":` + total + `,"total_pages":` + pages +
			`,"has_next":` + next + `,"has_prev":` + prev + `}}`
	}
	c.walk(
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view organization audit logs")},
		step{owner, "GET", path, "", 200, `{"logs":[],` + pages("1", "50", "0", "0", "false", "false")},
		step{owner, "POST", servicesPath, `{"slug":"zoo","name":"Zoo","service_type":"web"}`, 200, ""},
		step{owner, "PATCH", "/api/organizations/acme/members/" + bob.ID, `{"role":"admin"}`, 200, ""},
		step{owner, "PATCH", "/api/organizations/acme/members/" + bob.ID, `{"role":"member"}`, 200, ""},
	)
	entry := func(action, target, metadata string) string {
		return `{"id":"<…>","organization_id":"<…>","actor_id":"<…>","actor":{"id":"<…>","email":"owner@acme.example"},"action":"` + action +
			`","target_type":"` + target + `","target_id":"<…>","success":true,"metadata":` + metadata + `,"created_at":"<…>+00:00"}`
	}
	role := func(from, to string) string {
		return entry("member.role_changed", "user", `{"new_role":"`+to+`","old_role":"`+from+`","target_user_email":"bob@example.com"}`)
	}
	created := entry("service.created", "service", `{"client_id":"<…>","service_name":"Zoo","service_slug":"zoo","service_type":"web"}`)
	check := func(query, want string) {
		t.Helper()
		c.walk(step{owner, "GET", path + query, "", 200, want})
	}
	all := role("admin", "member") + "," + role("member", "admin") + "," + created
	check("", `{"logs":[`+all+`],`+pages("1", "50", "3", "1", "false", "false"))
	check("?limit=1&page=2", `{"logs":[`+role("member", "admin")+`],`+pages("2", "1", "3", "3", "true", "true"))
	check("?action=service.created", `{"logs":[`+created+`],`+pages("1", "50", "1", "1", "false", "false"))
	// Half a target filters the total and not the rows.
	check("?target_type=service", `{"logs":[`+all+`],`+pages("1", "50", "1", "1", "false", "false"))
	check("?target_type=user&target_id="+bob.ID, `{"logs":[`+role("admin", "member")+","+role("member", "admin")+`],`+
		pages("1", "50", "2", "1", "false", "false"))
	// The action wins over the target in the rows, and both count.
	check("?action=service.created&target_type=user&target_id="+bob.ID, `{"logs":[`+created+`],`+pages("1", "50", "0", "0", "false", "false"))

	got := c.do("GET", path+"/event-types", "", owner).body
	if !strings.HasPrefix(got, `[{"value":"user.invited","label":"User Invited","category":"User Management"},`) || strings.Contains(got, "api_key") {
		t.Errorf("event types = %s", got)
	}
	c.walk(step{member, "GET", path + "/event-types", "", 403, forbidden("Insufficient permissions to view organization audit logs")})
}

func TestAuditHasTheAddress(t *testing.T) {
	srv, c := overSocket(t)
	owner := as(srv, "acme", "owner@acme.example")
	c.do("POST", servicesPath+"/app/secret/rotate", "", owner)
	got := c.do("GET", "/api/organizations/acme/audit-log", "", owner).body
	if !strings.Contains(got, `"ip_address":"127.0.0.1","user_agent":"Go-http-client/1.1"`) {
		t.Errorf("audit log = %s", got)
	}
}
