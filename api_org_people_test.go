package authos_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

var tenantCases = []typedCase{
	{
		name: "Organizations.Roles.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Roles.List(ctx, "acme")
		},
	},
	{
		name: "Organizations.Roles.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Roles.Create(ctx, "acme", authos.RoleCreateParams{
				Slug: "support", Name: "Support", Description: "Looks after users",
				Permissions: []authos.Capability{authos.CapabilityEndUsersView, authos.CapabilityAuditLogsView},
			})
		},
		body: `{"slug":"support","name":"Support","description":"Looks after users","permissions":["end_users.view","audit_logs.view"]}`,
	},
	{
		name:  "Organizations.Roles.Get",
		setup: func(w *typedWorld) { w.ID = tenantRole(w, "support", authos.CapabilityEndUsersView) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Roles.Get(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Roles.Update",
		setup: func(w *typedWorld) { w.ID = tenantRole(w, "support", authos.CapabilityEndUsersView) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Roles.Update(ctx, "acme", w.ID, authos.RoleUpdateParams{
				Name: authos.Some("Helpers"), Description: authos.Null[string](), Permissions: []authos.Capability{},
			})
		},
		body: `{"name":"Helpers","description":null,"permissions":[]}`,
	},
	{
		name:  "Organizations.Roles.Delete",
		setup: func(w *typedWorld) { w.ID = tenantRole(w, "support", authos.CapabilityEndUsersView) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Roles.Delete(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Invitations.List",
		setup: func(w *typedWorld) { w.Server.AddInvitation("acme", "new@example.com", "member") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Invitations.List(ctx, "acme", authos.InvitationListParams{Page: 1, Limit: 10})
		},
		query: "limit=10&page=1",
	},
	{
		name: "Organizations.Invitations.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Invitations.Create(ctx, "acme", authos.InvitationCreateParams{Email: "new@example.com", Role: authos.RoleAdmin})
		},
		body: `{"email":"new@example.com","role":"admin"}`,
	},
	{
		name:  "Organizations.Invitations.Cancel",
		setup: func(w *typedWorld) { w.ID, _ = w.Server.AddInvitation("acme", "new@example.com", "member") },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Invitations.Cancel(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Invitations.Accept",
		setup: func(w *typedWorld) { w.ID, _ = w.Server.AddInvitation("acme", "new@example.com", "member") },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Invitations.Accept(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.EndUsers.List",
		setup: func(w *typedWorld) { tenantUser(w) },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{ServiceSlug: "app", Page: 1, Limit: 10})
		},
		query: "limit=10&page=1&service_slug=app",
	},
	{
		name:  "Organizations.EndUsers.Get",
		setup: func(w *typedWorld) { w.ID = tenantUser(w) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.EndUsers.Get(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.EndUsers.RevokeSessions",
		setup: func(w *typedWorld) { w.ID = tenantUser(w) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.EndUsers.RevokeSessions(ctx, "acme", w.ID)
		},
	},
}

func TestRoles(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	roles := c.Organizations.Roles
	list, err := roles.List(ctx, "acme")
	if err != nil || len(list) != 3 {
		t.Fatalf("List = %+v, %v, want the built-in roles", list, err)
	}
	for i, slug := range []authos.RoleSlug{authos.RoleOwner, authos.RoleAdmin, authos.RoleMember} {
		r := list[i]
		if r.Slug != slug || !r.BuiltIn() || len(r.Permissions) != 1 || r.CreatedAt.IsZero() || r.OrgID == "" {
			t.Errorf("role %d is %+v, want %s, built in", i, r, slug)
		}
		if _, err := roles.Get(ctx, "acme", r.ID); !errors.Is(err, authos.ErrNotFound) {
			t.Errorf("Get(%s) = %v, want 404", r.ID, err)
		}
	}

	made, err := roles.Create(ctx, "acme", authos.RoleCreateParams{Slug: "support", Name: "Support", Description: "Helps"})
	if err != nil || made.BuiltIn() || made.Permissions == nil || len(made.Permissions) != 0 || made.Description != "Helps" {
		t.Fatalf("Create = %+v, %v, want a role without permissions", made, err)
	}
	if want := `{"slug":"support","name":"Support","description":"Helps","permissions":[]}`; tenantBody(w) != want {
		t.Errorf("Create sent %s, want %s", tenantBody(w), want)
	}
	if got, err := roles.Get(ctx, "acme", made.ID); err != nil || !reflect.DeepEqual(got, made) {
		t.Errorf("Get = %+v, %v, want %+v", got, err, made)
	}

	hook := func() error {
		return tenantErr(w.Client("ada@example.com").Organizations.Roles.List(ctx, "acme"))
	}
	w.Server.AddMember("acme", "ada@example.com", "support")
	if err := hook(); !errors.Is(err, authos.ErrForbidden) {
		t.Errorf("a role without permissions may list roles: %v", err)
	}
	for _, step := range []struct {
		name        string
		p           authos.RoleUpdateParams
		sent        string
		description string
		permissions int
	}{
		{"permissions", authos.RoleUpdateParams{Permissions: []authos.Capability{authos.CapabilityRolesManage}}, `{"permissions":["org.roles.manage"]}`, "Helps", 1},
		{"nothing", authos.RoleUpdateParams{}, `{}`, "Helps", 1},
		{"description", authos.RoleUpdateParams{Description: authos.Some("")}, `{"description":""}`, "", 1},
		{"null", authos.RoleUpdateParams{Name: authos.Some("Helpers"), Description: authos.Null[string]()}, `{"name":"Helpers","description":null}`, "", 1},
		{"none", authos.RoleUpdateParams{Permissions: []authos.Capability{}}, `{"permissions":[]}`, "", 0},
	} {
		got, err := roles.Update(ctx, "acme", made.ID, step.p)
		if err != nil || tenantBody(w) != step.sent || got.Description != step.description || len(got.Permissions) != step.permissions {
			t.Errorf("Update of %s = %+v, %v, having sent %s; want %+v", step.name, got, err, tenantBody(w), step)
		}
		if err := hook(); (err == nil) != (step.permissions == 1) {
			t.Errorf("after %s a member with the role lists roles: %v", step.name, err)
		}
	}
	if err := roles.Delete(ctx, "acme", made.ID); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if err := roles.Delete(ctx, "acme", made.ID); !errors.Is(err, authos.ErrNotFound) {
		t.Errorf("Delete again = %v, want 404", err)
	}
}

func TestRolesAll(t *testing.T) {
	unpaged(t, "/api/organizations/:org_slug/roles", func(ctx context.Context, c *authos.Client) iter.Seq2[string, error] {
		return tenantIDs(c.Organizations.Roles.All(ctx, "acme"), func(r authos.Role) string { return string(r.Slug) })
	}, []string{"owner", "admin", "member"})
}

// The server has two forms of an invitation; both are read into one type.
func TestInvitations(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	invitations := c.Organizations.Invitations
	before := time.Now()
	made, err := invitations.Create(ctx, "acme", authos.InvitationCreateParams{Email: "new@example.com", Role: "member"})
	if err != nil {
		t.Fatal(err)
	}
	if made.ID == "" || made.OrgID == "" || made.InvitedBy == "" || made.InvitedBy != made.Inviter.ID || made.Inviter.Email != asOwner ||
		made.Status != authos.InvitationPending || made.Role != authos.RoleMember || made.ExpiresAt.Before(before) {
		t.Errorf("Create = %+v", made)
	}
	tenantHides(t, made.Token.Reveal(), made, *made, made.Token)
	page, err := invitations.List(ctx, "acme", authos.InvitationListParams{})
	if err != nil || len(page.Items) != 1 || page.Total != -1 {
		t.Fatalf("List = %+v, %v", page, err)
	}
	want := made.SentInvitation
	want.OrgID, want.InvitedBy = "", ""
	if !reflect.DeepEqual(page.Items[0], want) {
		t.Errorf("List has %+v, want %+v", page.Items[0], want)
	}

	if err := invitations.Accept(ctx, "acme", made.ID); err != nil {
		t.Fatal(err)
	}
	var member authos.Member
	for m, err := range c.Organizations.Members.All(ctx, "acme", authos.MemberListParams{}) {
		if err == nil && m.User.Email == "new@example.com" {
			member = m
		}
	}
	if member.Membership.Role != authos.RoleMember {
		t.Errorf("the invited is the member %+v", member)
	}
	second, err := invitations.Create(ctx, "acme", authos.InvitationCreateParams{Email: "other@example.com", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	if err := invitations.Cancel(ctx, "acme", second.ID); err != nil {
		t.Error(err)
	}
	page, err = invitations.List(ctx, "acme", authos.InvitationListParams{})
	if err != nil || len(page.Items) != 2 || page.Items[0].Status != authos.InvitationCancelled || page.Items[1].Status != authos.InvitationAccepted {
		t.Errorf("List = %+v, %v, want one canceled and one accepted", page, err)
	}
}

func TestEndUsers(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	id := tenantUser(w)
	page, err := c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{})
	if err != nil || len(page.Items) != 1 || page.Total != 1 {
		t.Fatalf("List = %+v, %v", page, err)
	}
	u := page.Items[0]
	if u.User.ID != id || u.User.Email != asUser || len(u.Subscriptions) != 1 || len(u.Identities) != 1 {
		t.Fatalf("List has %+v", u)
	}
	if s := u.Subscriptions[0]; s.ServiceSlug != "app" || s.PlanName != "pro" || s.Status != authos.SubscriptionActive || s.PlanID == "" {
		t.Errorf("subscription %+v", s)
	}
	if page, err := c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{ServiceSlug: "web"}); err != nil || len(page.Items) != 0 || page.Items == nil || page.Total != 0 {
		t.Errorf("List of another service = %+v, %v, want an empty page", page, err)
	}
	details, err := c.Organizations.EndUsers.Get(ctx, "acme", id)
	if err != nil || details.User.ID != id || !reflect.DeepEqual(details.Subscriptions, u.Subscriptions) {
		t.Fatalf("Get = %+v, %v", details, err)
	}
	if details.SessionCount != 1 || len(details.Sessions) != 1 || details.Sessions[0].OrgSlug != "acme" || details.Sessions[0].ServiceName != "App" {
		t.Errorf("sessions %+v", details.Sessions)
	}
	if l := details.RecentLogins; len(l) == 0 || l[0].RiskScore != nil || l[0].Provider == "" {
		t.Errorf("sign-ins %+v", l)
	}
	user := w.Client(asUser) // a second session
	for _, want := range []int64{2, 0} {
		if n, err := c.Organizations.EndUsers.RevokeSessions(ctx, "acme", id); err != nil || n != want {
			t.Errorf("RevokeSessions = %d, %v, want %d", n, err, want)
		}
	}
	if _, err := user.User.Get(ctx); !errors.Is(err, authos.ErrSessionExpired) {
		t.Errorf("a revoked session: %v", err)
	}
}

// A risk score of zero is not the same as none.
func TestEndUserRisk(t *testing.T) {
	for score, want := range map[string]*int{"null": nil, "0": new(0), "80": new(80)} {
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `{"user":{"id":"u"},"subscriptions":[],"identities":[],"session_count":0,"sessions":[],` +
			`"recent_logins":[{"id":"l","risk_score":` + score + `,"risk_factors":["new_device"]}]}`}))
		got, err := c.Organizations.EndUsers.Get(t.Context(), "acme", "u")
		if err != nil || !reflect.DeepEqual(got.RecentLogins[0].RiskScore, want) || got.RecentLogins[0].RiskFactors[0] != "new_device" {
			t.Errorf("%s: %+v, %v", score, got, err)
		}
	}
}

// A repeat may find that the user is gone. The DELETE has then succeeded, without a number.
func TestRevokeSessionsOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		c := w.Client(asOwner)
		w.Server.Fault(authostest.Fault{Method: "DELETE", Times: 1, Kind: authostest.ResetAfter})
		w.Server.Fault(authostest.Fault{Method: "DELETE", Times: 1, Status: 404, Body: `{"error":"gone","error_code":"NOT_FOUND"}`})
		n, err := c.Organizations.EndUsers.RevokeSessions(t.Context(), "acme", tenantUser(w))
		if n != 0 || err != nil {
			t.Errorf("RevokeSessions = %d, %v, want 0", n, err)
		}
	})
}

func TestTenantPages(t *testing.T) {
	const five = 5
	tenantPages(t, []paging{
		{
			name: "invitations",
			setup: func(w *typedWorld) {
				for i := range five {
					w.Server.AddInvitation("acme", "new"+strconv.Itoa(i)+"@example.com", "member")
				}
			},
			page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
				page, err := c.Organizations.Invitations.List(ctx, "acme", authos.InvitationListParams{Limit: 2, Page: n + 1})
				return tenantPage(page, err, func(i authos.SentInvitation) string { return i.ID })
			},
			all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
				seq := c.Organizations.Invitations.All(ctx, "acme", authos.InvitationListParams{Limit: limit})
				return tenantIDs(seq, func(i authos.SentInvitation) string { return i.ID })
			},
			route: "/api/organizations/:org_slug/invitations",
			total: -1, beyond: -1, query: "limit=100&page=1",
		},
		{
			name: "end users",
			setup: func(w *typedWorld) {
				for i := range five - 1 {
					w.Server.AddServiceUser("u" + strconv.Itoa(i) + "@example.com")
				}
			},
			page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
				page, err := c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{ServiceSlug: "app", Limit: 2, Page: n + 1})
				return tenantPage(page, err, func(u authos.EndUser) string { return u.User.ID })
			},
			all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
				seq := c.Organizations.EndUsers.All(ctx, "acme", authos.EndUserListParams{ServiceSlug: "app", Limit: limit})
				return tenantIDs(seq, func(u authos.EndUser) string { return u.User.ID })
			},
			route: "/api/organizations/:org_slug/users",
			total: five, beyond: -1, query: "limit=100&page=1&service_slug=app",
		},
	})
}

// A list that begins behind the first page cannot conclude from a total that it is complete: the
// empty page ends it.
func TestEndUsersFromTheSecondPage(t *testing.T) {
	w := newTypedWorld(t)
	for i := range 4 {
		w.Server.AddServiceUser("u" + strconv.Itoa(i) + "@example.com")
	}
	c := w.Client(asOwner)
	w.Server.Reset()
	n := 0
	for u, err := range c.Organizations.EndUsers.All(t.Context(), "acme", authos.EndUserListParams{Limit: 2, Page: 2}) {
		if err != nil || u.User.ID == "" {
			t.Fatal(u, err)
		}
		n++
	}
	if sent := w.Server.Count("GET", "/api/organizations/:org_slug/users"); n != 3 || sent != 3 {
		t.Errorf("%d end users in %d requests, want 3 in 3", n, sent)
	}
}

func TestTenantErrors(t *testing.T) {
	create := func(ctx context.Context, c *authos.Client, p authos.InvitationCreateParams) error {
		return tenantErr(c.Organizations.Invitations.Create(ctx, "acme", p))
	}
	suspend := func(w *typedWorld) { w.Server.SuspendOrg("acme") }
	invite := func(w *typedWorld) { w.ID, _ = w.Server.AddInvitation("acme", "new@example.com", "member") }
	tenantErrors(t, []tenantError{
		{name: "roles of a stranger", as: "x@example.com", setup: func(w *typedWorld) {
			w.Server.AddOrganization("other", "active", "y@example.com")
		}, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Roles.List(ctx, "other"))
		}, status: 403, is: tenantForbidden},
		{name: "roles of a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Roles.List(ctx, "acme"))
		}, status: 403, is: tenantForbidden},
		{name: "roles of nothing", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Roles.List(ctx, "nope"))
		}, status: 404, is: tenantMissing},
		{name: "role taken", setup: func(w *typedWorld) { w.Server.AddRole("acme", "support") },
			call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
				return tenantErr(c.Organizations.Roles.Create(ctx, "acme", authos.RoleCreateParams{Slug: "support", Name: "Support"}))
			}, status: 400, is: tenantBad, docStatus: 409, docIs: tenantConflict},
		{name: "no role to change", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Roles.Update(ctx, "acme", "role_admin", authos.RoleUpdateParams{Name: authos.Some("Boss")}))
		}, status: 404, is: tenantMissing},
		{name: "no role to delete", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.Roles.Delete(ctx, "acme", "role_admin")
		}, status: 404, is: tenantMissing},

		{name: "invitation by a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: "new@example.com", Role: "member"})
		}, status: 403, is: tenantForbidden},
		{name: "invitation of an admin without org.roles.manage", as: "hr@example.com", setup: func(w *typedWorld) {
			w.Server.AddRole("acme", "hr", string(authos.CapabilityMembersManage))
			w.Server.AddMember("acme", "hr@example.com", "hr")
		}, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: "new@example.com", Role: "admin"})
		}, status: 403, is: tenantForbidden},
		{name: "invitation of a member", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: asMember, Role: "member"})
		}, status: 400, is: tenantBad, docStatus: 409, docIs: tenantConflict},
		{name: "invitation sent already", setup: invite, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: "new@example.com", Role: "member"})
		}, status: 400, is: tenantBad, docStatus: 409, docIs: tenantConflict},
		{name: "invitation with an unknown role", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: "new@example.com", Role: "boss"})
		}, status: 400, is: tenantBad},
		{name: "invitation to a suspended organization", setup: suspend, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return create(ctx, c, authos.InvitationCreateParams{Email: "new@example.com", Role: "member"})
		}, status: 403, is: tenantInactive, october: 200},
		{name: "invitation that is over already", setup: func(w *typedWorld) {
			invite(w)
			if err := w.Client(asOwner).Organizations.Invitations.Cancel(w.T.Context(), "acme", w.ID); err != nil {
				w.T.Fatal(err)
			}
		}, call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return c.Organizations.Invitations.Cancel(ctx, "acme", w.ID)
		}, status: 404, is: tenantMissing},
		{name: "invitation over", setup: func(w *typedWorld) { invite(w); time.Sleep(8 * 24 * time.Hour) },
			call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
				return c.Organizations.Invitations.Accept(ctx, "acme", w.ID)
			}, status: 400, is: []error{authos.CodeInvitationExpired, authos.ErrInvalid}},
		{name: "no seat for the invited", setup: func(w *typedWorld) { invite(w); w.Server.SetLimits("acme", -1, 1) },
			call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
				return c.Organizations.Invitations.Accept(ctx, "acme", w.ID)
			}, status: 400, is: []error{authos.CodeTeamLimitExceeded, authos.ErrInvalid}},
		{name: "another organization's invitation", setup: func(w *typedWorld) {
			w.Server.AddOrganization("other", "active", "y@example.com")
			w.ID, _ = w.Server.AddInvitation("other", "new@example.com", "member")
		}, call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return c.Organizations.Invitations.Accept(ctx, "acme", w.ID)
		}, status: 403, is: tenantForbidden},

		{name: "end users for a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{}))
		}, status: 403, is: tenantForbidden, october: 200},
		{name: "end users of a suspended organization", setup: suspend, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{}))
		}, status: 403, is: tenantInactive},
		{name: "end users of no service", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.EndUsers.List(ctx, "acme", authos.EndUserListParams{ServiceSlug: "nope"}))
		}, status: 404, is: tenantMissing},
		{name: "a member is no end user", call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return tenantErr(c.Organizations.EndUsers.Get(ctx, "acme", w.Server.AddUser(asMember, "").ID))
		}, status: 404, is: tenantMissing},
		{name: "sessions of no end user", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.EndUsers.RevokeSessions(ctx, "acme", "nobody"))
		}, status: 404, is: tenantMissing},
	})
}

func TestTenantInputs(t *testing.T) {
	const dots = ".."
	inputs(t, []tenantInput{
		{"Roles.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.List(ctx, ""))
		}, "org_slug"},
		{"Roles.Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.Create(ctx, "", authos.RoleCreateParams{Name: " "}))
		}, "org_slug slug name"},
		{"Roles.Create built in", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.Create(ctx, "acme", authos.RoleCreateParams{Slug: "Admin", Name: "x"}))
		}, "slug"},
		{"Roles.Create spaced", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.Create(ctx, "acme", authos.RoleCreateParams{Slug: "my role", Name: "x"}))
		}, "slug"},
		{"Roles.Get", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.Get(ctx, dots, ""))
		}, "org_slug role_id"},
		{"Roles.Update", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Roles.Update(ctx, "", "", authos.RoleUpdateParams{}))
		}, "org_slug role_id"},
		{"Roles.Delete", func(ctx context.Context, c *authos.Client) error { return c.Organizations.Roles.Delete(ctx, "", dots) }, "org_slug role_id"},

		{"Invitations.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Invitations.List(ctx, "", authos.InvitationListParams{Page: -1, Limit: 101}))
		}, "org_slug limit page"},
		{"Invitations.Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Invitations.Create(ctx, "", authos.InvitationCreateParams{Email: "Ada <ada@example.com>"}))
		}, "org_slug email role"},
		{"Invitations.Create owner", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Invitations.Create(ctx, "acme", authos.InvitationCreateParams{Role: authos.RoleOwner}))
		}, "email role"},
		{"Invitations.Cancel", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.Invitations.Cancel(ctx, "", "")
		}, "org_slug invitation_id"},
		{"Invitations.Accept", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.Invitations.Accept(ctx, "", "\n")
		}, "org_slug invitation_id"},

		{"EndUsers.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.EndUsers.List(ctx, "", authos.EndUserListParams{Page: -1, Limit: -1}))
		}, "org_slug limit page"},
		{"EndUsers.Get", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.EndUsers.Get(ctx, "", ""))
		}, "org_slug user_id"},
		{"EndUsers.RevokeSessions", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.EndUsers.RevokeSessions(ctx, "", ""))
		}, "org_slug user_id"},
	})
}
