package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestInvitations(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	srv.AddRole("acme", "inviter", "org.members.manage")
	srv.AddMember("acme", "ivy@example.com", "inviter")
	owner, member, inviter := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com"), as(srv, "acme", "ivy@example.com")
	const path = "/api/organizations/acme/invitations"
	c.walk(
		step{member, "POST", path, `{"email":"ada@example.com","role":"member"}`, 403, forbidden("Insufficient permissions to create invitations")},
		step{owner, "POST", path, `{"email":"ada@example.com"}`, 422, missingField("role", "27")},
		step{owner, "POST", path, `{"email":"ada@example.com","role":"owner"}`, 400,
			bad("Invalid role. Choose admin, member, or a custom organization role.")},
		step{inviter, "POST", path, `{"email":"ada@example.com","role":"admin"}`, 403,
			forbidden("Insufficient permissions to invite members with this role")},
		step{owner, "POST", path, `{"email":"BOB@example.com","role":"member"}`, 400, bad("User is already a member of this organization")},
		step{owner, "GET", path, "", 200, "[]"},
	)
	created := c.walk(step{inviter, "POST", path, `{"email":"ada@example.com","role":"member"}`, 200,
		`{"invitation":{"id":"<…>","org_id":"<…>","email":"ada@example.com","role":"member","invited_by":"<…>","status":"pending",` +
			`"expires_at":"<…>Z","created_at":"<…>Z"},"inviter":{"id":"<…>","email":"ivy@example.com","created_at":"<…>Z"},"token":"<…>"}`})
	id := idOf(t, created.body)
	listed := func(status string) string {
		return `[{"invitation":{"id":"<…>","email":"ada@example.com","role":"member","status":"` + status + `","expires_at":"<…>+00:00",` +
			`"created_at":"<…>+00:00"},"inviter":{"id":"<…>","email":"ivy@example.com","created_at":"<…>+00:00"}}]`
	}
	ada := as(srv, "acme", "ada@example.com")
	gone := missing("Invitation not found or already processed")
	c.walk(
		step{owner, "POST", path, `{"email":"Ada@example.com","role":"member"}`, 400, bad("Invitation already sent")},
		step{owner, "GET", path + "?status=accepted", "", 200, listed("pending")}, // the status is ignored
		step{owner, "GET", path + "?page=2", "", 200, "[]"},
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view invitations")},
		step{ada, "GET", "/api/invitations", "", 200, `[{"id":"<…>","email":"ada@example.com","role":"member","expires_at":"<…>+00:00",` +
			`"created_at":"<…>+00:00","organization_slug":"acme","organization_name":"Acme"}]`},
		step{member, "GET", "/api/invitations", "", 200, "[]"},
		step{member, "POST", path + "/" + id, "", 403, forbidden("Insufficient permissions to cancel invitations")},
		step{owner, "POST", path + "/" + id, "", 200, "null"},
		step{owner, "POST", path + "/" + id, "", 404, gone},
		step{ada, "POST", "/api/invitations/" + id + "/accept", "", 404, gone},
		step{owner, "GET", path, "", 200, listed("cancelled")},
	)
}

func TestAcceptInvitation(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "")
	srv.SetRole("acme", "ada@example.com", "")
	id, token := srv.AddInvitation("acme", "ada@example.com", "admin")
	owner, ada, eve := as(srv, "acme", "owner@acme.example"), as(srv, "", "ada@example.com"), as(srv, "", "eve@example.com")
	body := `{"token":"` + token + `"}`
	gone := missing("Invitation not found or already processed")
	c.walk(
		step{ada, "POST", "/api/invitations/accept", `{}`, 422, missingField("token", "2")},
		step{ada, "POST", "/api/invitations/accept", `{"token":"x"}`, 404, gone},
		step{"X: y", "POST", "/api/invitations/accept", body, 401, realError("UNAUTHORIZED", "Missing or invalid Authorization header")},
		step{eve, "POST", "/api/invitations/accept", body, 403, forbidden("This invitation belongs to another email address")},
		step{eve, "POST", "/api/invitations/" + id + "/accept", "", 403, forbidden("This invitation belongs to another email address")},
		step{eve, "POST", "/api/invitations/" + id + "/decline", "", 403, forbidden("This invitation belongs to another email address")},
	)
	srv.SuspendOrg("acme")
	c.walk(step{ada, "POST", "/api/invitations/accept", body, 403, forbidden("Organization is not active. Current status: suspended")})
	srv.ActivateOrg("acme")
	srv.SetLimits("acme", -1, 1)
	c.walk(step{ada, "POST", "/api/invitations/accept", body, 400, bad("Team limit reached")})
	srv.SetLimits("acme", -1, -1)
	c.walk(
		step{ada, "POST", "/api/invitations/accept", body, 200, "null"},
		step{ada, "POST", "/api/invitations/accept", body, 404, gone},
		step{ada, "GET", "/api/organizations/acme/roles", "", 200, ""}, // an admin now
	)
	// Accepted by an administrator, for somebody who is not even a user.
	id, _ = srv.AddInvitation("acme", "new@example.com", "member")
	srv.AddOrganization("engines", "active", "owner@acme.example")
	c.walk(
		step{owner, "POST", "/api/organizations/engines/invitations/" + id + "/accept", "", 403,
			forbidden("This invitation does not belong to the specified organization")},
		step{owner, "POST", "/api/organizations/acme/invitations/" + id + "/accept", "", 200, "null"},
		step{owner, "POST", "/api/organizations/acme/invitations/" + id + "/accept", "", 404, gone},
	)
	if got := c.do("GET", "/api/organizations/acme/members?role=member", "", owner).body; !strings.Contains(got, "new@example.com") {
		t.Errorf("members = %s", got)
	}
	id, _ = srv.AddInvitation("acme", "new@example.com", "member")
	c.walk(step{owner, "POST", "/api/organizations/acme/invitations/" + id + "/accept", "", 400,
		realError("DUPLICATE_CONSTRAINT", "User is already a member of this organization")})
}

func TestDeclineInvitation(t *testing.T) {
	srv, c := inMemory(t)
	_, token := srv.AddInvitation("acme", "ada@example.com", "member")
	gone := missing("Invitation not found or already processed")
	c.walk( // without a sign-in
		step{"X: y", "POST", "/api/invitations/decline", `{"token":"` + token + `"}`, 200, "null"},
		step{"X: y", "POST", "/api/invitations/decline", `{"token":"` + token + `"}`, 404, gone},
	)
	id, _ := srv.AddInvitation("acme", "ada@example.com", "member")
	c.walk(step{as(srv, "", "ada@example.com"), "POST", "/api/invitations/" + id + "/decline", "", 200, "null"})
	c.http.CheckRedirect = noRedirects
	got := c.do("GET", "/invitations/accept/abc", "")
	if want := srv.URL + "/invitations/accept?token=abc"; got.StatusCode != 307 || got.Header.Get("Location") != want {
		t.Errorf("link = %d to %q, want 307 to %q", got.StatusCode, got.Header.Get("Location"), want)
	}
}

func TestInvitationExpires(t *testing.T) {
	for contract, want := range map[authostest.Contract]string{
		authostest.Newest:     bad("Invitation has expired"),
		authostest.Documented: documented("INVITATION_EXPIRED", "Invitation has expired"),
	} {
		synctest.Test(t, func(t *testing.T) {
			srv, c := inMemory(t, authostest.WithContract(contract), authostest.WithTokenLife(30*24*time.Hour, 60*24*time.Hour))
			id, token := srv.AddInvitation("acme", "ada@example.com", "member")
			ada, owner := as(srv, "", "ada@example.com"), as(srv, "acme", "owner@acme.example")
			time.Sleep(7*24*time.Hour + time.Second)
			c.walk(
				step{ada, "GET", "/api/invitations", "", 200, "[]"},
				step{ada, "POST", "/api/invitations/accept", `{"token":"` + token + `"}`, 400, want},
				step{ada, "POST", "/api/invitations/" + id + "/decline", "", 400, want},
				step{ada, "POST", "/api/invitations/decline", `{"token":"` + token + `"}`, 400, want},
				step{owner, "POST", "/api/organizations/acme/invitations/" + id + "/accept", "", 400, want},
			)
		})
	}
}
