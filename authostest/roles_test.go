package authostest_test

import (
	"strings"
	"testing"
)

func TestRoles(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/roles"
	builtIn := func(slug, name, description, permission string) string {
		return `{"id":"role_` + slug + `","org_id":"<…>","slug":"` + slug + `","name":"` + name + `","description":"` + description +
			`","permissions":["` + permission + `"],"created_at":"<…>","updated_at":"<…>"}`
	}
	three := builtIn("owner", "Owner", "Full access to all resources and settings", "*") + "," +
		builtIn("admin", "Admin", "Manage members, services, and billing", "org:manage") + "," +
		builtIn("member", "Member", "View access to assigned services", "org:view")
	support := func(name, description, permissions string) string {
		return `{"id":"<…>","org_id":"<…>","slug":"support","name":"` + name + `","description":` + description +
			`,"permissions":` + permissions + `,"created_at":"<…>","updated_at":"<…>"}`
	}
	c.walk(
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view roles")},
		step{owner, "GET", path, "", 200, "[" + three + "]"},
		step{owner, "GET", path + "/role_owner", "", 404, missing("Role not found")},
		step{owner, "POST", path, `{"slug":"support","name":"Support"}`, 422, missingField("permissions", "35")},
		step{owner, "POST", path, `{"slug":"Admin","name":"Support","permissions":[]}`, 400,
			bad("Custom role slug cannot use a built-in organization role")},
		step{member, "POST", path, `{"slug":"support","name":"Support","permissions":[]}`, 403, forbidden("Insufficient permissions to create roles")},
	)
	created := c.walk(step{owner, "POST", path, `{"slug":"support","name":"Support","description":"Helps","permissions":["end_users.view"]}`, 200,
		support("Support", `"Helps"`, `["end_users.view"]`)})
	one := path + "/" + idOf(t, created.body)
	c.walk(
		step{owner, "POST", path, `{"slug":"support","name":"Support","permissions":[]}`, 400, bad("Role with this slug already exists")},
		step{owner, "GET", one, "", 200, created.body},
		step{owner, "GET", path, "", 200, "[" + three + "," + created.body + "]"},
		step{owner, "PUT", one, `{}`, 200, support("Support", `"Helps"`, `["end_users.view"]`)},
		step{owner, "PUT", one, `{"description":1}`, 422, ""},
		step{owner, "PUT", one, `{"name":"Desk","description":null,"permissions":["webhooks.manage"]}`, 200,
			support("Desk", "null", `["webhooks.manage"]`)},

		// What the role may do.
		step{member, "GET", "/api/organizations/acme/webhooks", "", 403, forbidden("Insufficient permissions to manage webhooks")},
		step{owner, "PATCH", "/api/organizations/acme/members/" + srv.AddUser("bob@example.com", "").ID, `{"role":"support"}`, 200, ""},
		step{member, "GET", "/api/organizations/acme/webhooks", "", 200, `{"webhooks":[],"total":0}`},
		step{member, "GET", "/api/organizations/acme/users", "", 403, forbidden("Insufficient permissions to view end users")},

		step{member, "DELETE", one, "", 403, forbidden("Insufficient permissions to delete roles")},
		step{owner, "DELETE", one, "", 204, ""},
		step{owner, "DELETE", one, "", 404, missing("Role not found")},
		step{member, "GET", "/api/organizations/acme/webhooks", "", 403, forbidden("Insufficient permissions to manage webhooks")},
	)
}

func TestAddRole(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddRole("acme", "auditor", "audit_logs.view")
	srv.AddMember("acme", "bob@example.com", "auditor")
	auth := as(srv, "acme", "bob@example.com")
	c.walk(
		step{auth, "GET", "/api/organizations/acme/audit-log", "", 200, ""},
		step{auth, "GET", "/api/organizations/acme/roles", "", 403, forbidden("Insufficient permissions to view roles")},
	)
	srv.AddRole("acme", "auditor")
	got := c.do("GET", "/api/organizations/acme/audit-log", "", auth)
	if got.StatusCode != 403 || !strings.Contains(got.body, "audit logs") {
		t.Errorf("audit log without the capability = %d %s", got.StatusCode, got.body)
	}
}
