package authostest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// userPattern is a UserModel with everything in it; listedPattern one in a list.
const (
	userPattern = `{"id":"<…>","email":"<…>","org_id":null,"is_platform_owner":false,` +
		`"email_verified_at":"<…>","created_at":"<…>","updated_at":"<…>","deleted_at":null}`
	listedPattern = `{"id":"<…>","email":"<…>","org_id":null,"is_platform_owner":false,` +
		`"email_verified_at":null,"created_at":"<…>","updated_at":null,"deleted_at":null}`
)

func membershipPattern(role string) string {
	return `{"id":"<…>","org_id":"<…>","user_id":"<…>","role":"` + role + `","created_at":"<…>"}`
}

func organizationPattern(slug, name, status string) string {
	return `{"id":"<…>","slug":"` + slug + `","name":"` + name + `","owner_user_id":"<…>","status":"` + status + `",` +
		`"tier_id":"tier_free","max_services":null,"max_users":null,"approved_by":null,"approved_at":null,"rejected_by":null,` +
		`"rejected_at":null,"rejection_reason":null,"custom_domain":null,"domain_verified":false,"brand_logo_url":null,` +
		`"brand_primary_color":null,"feature_overrides":null,"created_at":"<…>","updated_at":"<…>"}`
}

func TestCreateOrganization(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const path = "/api/organizations"
	got := c.walk(
		step{auth, "POST", path, `{"slug":"engines"}`, 422, missingField("name", "18")},
		step{auth, "POST", path, `{"slug":"ab","name":"Engines"}`, 400, bad("Slug must be between 3 and 50 characters")},
		step{auth, "POST", path, `{"slug":"Engines","name":"Engines"}`, 400,
			bad("Slug can only contain lowercase alphanumeric characters, hyphens, and underscores")},
		step{auth, "POST", path, `{"slug":"api","name":"Engines"}`, 400, bad("Slug is reserved")},
		step{auth, "POST", path, `{"slug":"engines","name":"E"}`, 400, bad("Name must be between 2 and 100 characters")},
		step{auth, "POST", path, `{"slug":"engines","name":"   "}`, 400, bad("Name cannot be empty")},
		step{auth, "POST", path, `{"slug":"acme","name":"Engines"}`, 400, bad("Unable to create organization with the provided information")},
		step{auth, "POST", path, `{"slug":"engines","name":"Engines"}`, 200,
			`{"organization":` + organizationPattern("engines", "Engines", "pending") + `,"owner":` + userPattern +
				`,"membership":` + membershipPattern("owner") + `,"access_token":"<…>","refresh_token":"<…>"}`},
	)
	created := parse[tokenBody](t, got.body)
	c.walk(
		step{auth, "GET", "/api/user", "", 200, ""}, // the old session stays
		step{bearer(created.AccessToken), "GET", "/api/organizations/engines", "", 200, ""},
		step{auth, "POST", path + "/engines/select", "", 403, forbidden("Organization is not active. Current status: pending")},
		step{auth, "GET", path + "/engines/services", "", 403, forbidden("Organization is not active. Current status: pending")},
	)
	for i := range 4 {
		c.walk(step{auth, "POST", path, fmt.Sprintf(`{"slug":"more-%d","name":"More"}`, i), 200, ""})
	}
	c.walk(step{auth, "POST", path, `{"slug":"too-many","name":"More"}`, 400, bad("You have reached the maximum number of organizations (5) " +
		"you can create. Please contact support if you need more.")})
	if got := srv.Applied()["POST "+path]; got != 5 {
		t.Errorf("applied %d creates, want 5", got)
	}
}

func TestListOrganizations(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.AddOrganization("others", "active", "eve@example.com")
	srv.AddOrganization("mine", "suspended", "ada@example.com")
	list := func(query string) string {
		t.Helper()
		var slugs []string
		for _, o := range parse[[]struct{ Organization struct{ Slug string } }](t, c.do("GET", "/api/organizations"+query, "", auth).body) {
			slugs = append(slugs, o.Organization.Slug)
		}
		return strings.Join(slugs, " ")
	}
	for query, want := range map[string]string{
		"": "acme mine", "?status=suspended": "mine", "?limit=1": "acme", "?limit=1&page=2": "mine", "?page=3": "", "?page=-1&limit=-1": "acme",
	} {
		if got := list(query); got != want {
			t.Errorf("list%s = %q, want %q", query, got, want)
		}
	}
	c.walk(
		step{auth, "GET", "/api/organizations?page=9", "", 200, "[]"},
		step{auth, "GET", "/api/organizations?page=x", "", 400, "Failed to deserialize query string: invalid digit found in string"},
		step{"X: y", "GET", "/api/organizations", "", 401, realError("UNAUTHORIZED", "Missing or invalid Authorization header")},
	)
}

func TestSelectOrganization(t *testing.T) {
	srv, c := inMemory(t)
	auth := as(srv, "acme", "ada@example.com")
	srv.AddOrganization("engines", "active", "ada@example.com")
	got := c.walk(
		step{auth, "POST", "/api/organizations/nope/select", "", 404, missing("Organization not found")},
		step{auth, "POST", "/api/organizations/acme/select", "", 403, forbidden("You are not a member of this organization")},
		step{auth, "POST", "/api/organizations/engines/select", "", 200, `{"organization":` + organizationPattern("engines", "Engines", "active") +
			`,"membership":` + membershipPattern("owner") + `,"access_token":"<…>","refresh_token":"<…>","expires_in":86400}`},
	)
	tokens := parse[tokenBody](t, got.body)
	if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).body; !strings.Contains(got, `"org":"engines","service":""`) {
		t.Errorf("profile = %s", got)
	}
	c.walk(step{"X: y", "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken), 200, ""})
}

func TestMonthlyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.SetFeature("acme", "max_mau", 1)
		auth := as(srv, "acme", "owner@acme.example")
		const path = "/api/organizations/acme/select"
		full := realError("SERVICE_LIMIT_EXCEEDED", "Monthly active user limit reached (1/1). Please upgrade your plan to continue.")
		c.walk(step{auth, "POST", path, "", 400, full})
		srv.SetFeature("acme", "allow_overage", true)
		c.walk(step{auth, "POST", path, "", 200, ""})
		srv.SetFeature("acme", "allow_overage", false)
		time.Sleep(23 * time.Hour)
		c.walk(step{auth, "POST", path, "", 400, full})
	})
}

func TestMembers(t *testing.T) {
	srv, c := inMemory(t)
	ada := srv.AddMember("acme", "ada@example.com", "admin")
	bob := srv.AddMember("acme", "bob@example.com", "member")
	owner, admin, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "ada@example.com"), as(srv, "acme", "bob@example.com")
	const path = "/api/organizations/acme/members"
	one := func(role string) string {
		return `{"user":` + listedPattern + `,"membership":` + membershipPattern(role) + `}`
	}
	whole := func(role string) string {
		return `{"user":` + userPattern + `,"membership":` + membershipPattern(role) + `}`
	}
	c.walk(
		step{member, "GET", path, "", 200, `{"members":[` + one("owner") + `,` + one("admin") + `,` + one("member") +
			`],"total":3,"limit":{"current":3,"max":10,"source":"starter"}}`},
		// The filter does not reach the total.
		step{member, "GET", path + "?role=admin", "", 200, `{"members":[` + one("admin") + `],"total":3,"limit":{"current":3,"max":10,"source":"starter"}}`},
		step{member, "GET", path + "?page=2&limit=2", "", 200, `{"members":[` + one("member") + `],"total":3,"limit":{"current":3,"max":10,"source":"starter"}}`},
		step{as(srv, "acme", "eve@example.com"), "GET", path, "", 403, forbidden("Not a member of this organization")},

		step{member, "PATCH", path + "/" + ada.ID, `{"role":"member"}`, 403, forbidden("Insufficient permissions to change member roles")},
		step{admin, "PATCH", path + "/" + bob.ID, `{"role":"chief"}`, 400, bad("Invalid role. Choose a system role or custom organization role.")},
		step{admin, "PATCH", path + "/" + ada.ID, `{"role":"member"}`, 400, bad("Cannot change your own role")},
		step{admin, "PATCH", path + "/nobody", `{"role":"member"}`, 404, missing("User is not a member of this organization")},
		step{admin, "PATCH", path + "/" + bob.ID, `{"role":"owner"}`, 403, forbidden("Requires one of roles: owner")},
		step{admin, "PATCH", path + "/" + bob.ID, `{"role":"admin"}`, 200, whole("admin")},
		step{admin, "PATCH", path + "/" + bob.ID, `{"role":"member"}`, 403, forbidden("Requires one of roles: owner")},
		step{owner, "PATCH", path + "/" + bob.ID, `{"role":"member"}`, 200, whole("member")},

		step{member, "POST", path + "/" + ada.ID, "", 403, forbidden("Insufficient permissions to remove members")},
		step{admin, "POST", path + "/" + ada.ID, "", 400, bad("Cannot remove yourself from the organization")},
		step{admin, "POST", path + "/" + bob.ID, "", 200, "null"},
		step{admin, "POST", path + "/" + bob.ID, "", 404, missing("User is not a member of this organization")},
		step{member, "GET", path, "", 403, forbidden("Not a member of this organization")},
		step{admin, "DELETE", path + "/" + bob.ID, "", 405, ""}, // removing is a POST
	)
}

func TestOwnership(t *testing.T) {
	srv, c := inMemory(t)
	ada := srv.AddMember("acme", "ada@example.com", "admin")
	owner, admin := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "ada@example.com")
	srv.AddUser("eve@example.com", "")
	srv.SetRole("acme", "eve@example.com", "")
	const path = "/api/organizations/acme/transfer-ownership"
	c.walk(
		step{admin, "POST", path, `{"new_owner_email":"ada@example.com"}`, 403, forbidden("Requires one of roles: owner")},
		step{owner, "POST", path, `{"new_owner_email":"nobody@example.com"}`, 404, missing("User with that email not found")},
		step{owner, "POST", path, `{"new_owner_email":"eve@example.com"}`, 404, missing("User is not a member of this organization")},
		step{owner, "POST", path, `{"new_owner_email":"owner@acme.example"}`, 400, bad("You are already the owner of this organization")},
		step{owner, "POST", path, `{"new_owner_email":"ADA@example.com"}`, 200,
			`{"user":` + userPattern + `,"membership":` + membershipPattern("owner") + `}`},
		step{owner, "DELETE", "/api/organizations/acme", "", 403, forbidden("Requires one of roles: owner")},
	)
	if got := c.do("GET", "/api/organizations/acme", "", admin).body; !strings.Contains(got, `"owner_user_id":"`+ada.ID+`"`) {
		t.Errorf("organization = %s, want it owned by %s", got, ada.ID)
	}
	// A granted ownership demotes who gave it, so a repeat is refused.
	id := pick(t, c.do("GET", "/api/organizations/acme/members?role=admin", "", owner).body, `"user":{"id":"([^"]+)"`)
	c.walk(
		step{admin, "PATCH", "/api/organizations/acme/members/" + id, `{"role":"owner"}`, 200, ""},
		step{admin, "PATCH", "/api/organizations/acme/members/" + id, `{"role":"owner"}`, 403, forbidden("Requires one of roles: owner")},
	)
}

func TestServiceAccess(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddService("acme", "zoo")
	bob := srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	path := "/api/organizations/acme/members/" + bob.ID + "/service-access"
	both := func(app, zoo string) string {
		return `[{"service_id":"<…>","service_slug":"app","service_name":"App","access":` + app + `},` +
			`{"service_id":"<…>","service_slug":"zoo","service_name":"Zoo","access":` + zoo + `}]`
	}
	const services = "/api/organizations/acme/services"
	c.walk(
		step{member, "GET", services + "/app", "", 403, forbidden("Insufficient permissions to view this service")},
		step{member, "GET", services, "", 200, `{"services":[],"usage":{"current_services":0,"max_services":5,"tier":"Starter"}}`},
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view service access")},
		step{owner, "GET", path, "", 200, both("null", "null")},
		step{owner, "PUT", path, `{"grants":[{"access":"viewer"}]}`, 422,
			"Failed to deserialize the JSON body into the target type: grants[0]: missing field `service_slug` at line 1 column 31"},
		step{owner, "PUT", path, `{"grants":[{"service_slug":1}]}`, 422, "Failed to deserialize the JSON body into the target type: " +
			"grants[0].service_slug: invalid type: integer `1`, expected a string at line 1 column 30"},
		step{owner, "PUT", path, `{"grants":[1]}`, 422, "Failed to deserialize the JSON body into the target type: " +
			"grants[0]: invalid type: integer `1`, expected struct at line 1 column 13"},
		step{owner, "PUT", path, `{"grants":[{"service_slug":"app","access":"boss"}]}`, 400, bad("Service access must be viewer, manager, or null")},
		step{owner, "PUT", path, `{"grants":[{"service_slug":"nope","access":"viewer"}]}`, 404, missing("Service 'nope' not found")},
		step{owner, "PUT", path, `{"grants":[{"service_slug":"app","access":"viewer"},{"service_slug":"zoo","access":"manager"}]}`, 200,
			both(`"viewer"`, `"manager"`)},
		step{member, "GET", services + "/app", "", 200, ""},
		step{member, "PATCH", services + "/app", `{"name":"x"}`, 403, forbidden("Insufficient permissions to update this service")},
		step{member, "PATCH", services + "/zoo", `{"name":"x"}`, 200, ""},
		step{owner, "PUT", path, `{"grants":[{"service_slug":"app","access":null}]}`, 200, `[{"service_id":"<…>","service_slug":"app",` +
			`"service_name":"App","access":null},{"service_id":"<…>","service_slug":"zoo","service_name":"x","access":"manager"}]`},
		// A new role takes the grants away.
		step{owner, "PATCH", "/api/organizations/acme/members/" + bob.ID, `{"role":"member"}`, 200, ""},
		step{member, "GET", services + "/zoo", "", 403, forbidden("Insufficient permissions to view this service")},
	)
}

func TestDocumentedLimits(t *testing.T) {
	for _, tc := range []struct {
		format       authostest.ErrorFormat
		code, prefix string
	}{
		{authostest.Flat, "CONFLICT", `"error_code":"`},
		{authostest.Nested, "RESOURCE_ALREADY_EXISTS", `"code":"`},
		{authostest.Problem, "CONFLICT", `"code":"`},
	} {
		srv, c := inMemory(t, authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(tc.format))
		auth := as(srv, "acme", "owner@acme.example")
		try := func(status int, code, method, path, body string) {
			t.Helper()
			got := c.do(method, path, body, auth)
			if got.StatusCode != status || !strings.Contains(got.body, tc.prefix+code+`"`) {
				t.Errorf("%s %s = %d %s, want %d %s", method, path, got.StatusCode, got.body, status, code)
			}
		}
		const org = "/api/organizations/acme"
		try(409, tc.code, "POST", "/api/organizations", `{"slug":"acme","name":"Acme"}`)
		try(409, tc.code, "POST", org+"/services", `{"slug":"app","name":"App","service_type":"web"}`)
		try(409, tc.code, "POST", org+"/services/app/plans", `{"name":"free","price_cents":0,"currency":"usd"}`)
		try(409, tc.code, "POST", org+"/invitations", `{"email":"owner@acme.example","role":"member"}`)
		srv.SetLimits("acme", 1, 1)
		try(400, "SERVICE_LIMIT_EXCEEDED", "POST", org+"/services", `{"slug":"zoo","name":"Zoo","service_type":"web"}`)
		id, _ := srv.AddInvitation("acme", "bob@example.com", "member")
		try(400, "TEAM_LIMIT_EXCEEDED", "POST", org+"/invitations/"+id+"/accept", "")
		srv.SuspendOrg("acme")
		try(403, "ORGANIZATION_NOT_ACTIVE", "GET", org+"/webhooks", "")
	}
}
