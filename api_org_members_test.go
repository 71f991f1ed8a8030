package authos_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strconv"
	"testing"

	"github.com/authos-go/authos"
)

var memberCases = []typedCase{
	{
		name: "Organizations.Members.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Members.List(ctx, "acme", authos.MemberListParams{Role: "member", Page: 1, Limit: 10})
		},
		query: "limit=10&page=1&role=member",
	},
	{
		name:  "Organizations.Members.UpdateRole",
		setup: func(w *typedWorld) { w.ID = w.Server.AddMember("acme", "m@example.com", "member").ID },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Members.UpdateRole(ctx, "acme", w.ID, authos.MemberUpdateParams{Role: "admin"})
		},
		body: `{"role":"admin"}`,
	},
	{
		name:  "Organizations.Members.Remove",
		setup: func(w *typedWorld) { w.ID = w.Server.AddMember("acme", "m@example.com", "member").ID },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Members.Remove(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Members.ServiceAccess",
		setup: func(w *typedWorld) { w.ID = w.Server.AddMember("acme", "m@example.com", "member").ID },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Members.ServiceAccess(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Members.UpdateServiceAccess",
		setup: func(w *typedWorld) { w.ID = w.Server.AddMember("acme", "m@example.com", "member").ID },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Members.UpdateServiceAccess(ctx, "acme", w.ID, []authos.ServiceAccessGrant{
				{ServiceSlug: "web", Access: authos.AccessManager},
			})
		},
		body: `{"grants":[{"service_slug":"web","access":"manager"}]}`,
	},
	{
		name:  "Organizations.Members.TransferOwnership",
		setup: func(w *typedWorld) { w.Server.AddMember("acme", "m@example.com", "member") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Members.TransferOwnership(ctx, "acme", "m@example.com")
		},
		body: `{"new_owner_email":"m@example.com"}`,
	},
}

func TestMembers(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	members := c.Organizations.Members
	w.Server.SetLimits("acme", -1, 12)
	// One role is asked for; the total counts all members, and the limit is the number of seats.
	page, err := members.List(ctx, "acme", authos.MemberListParams{Role: authos.RoleMember})
	if err != nil || len(page.Items) != 1 || page.Items[0].User.Email != asMember || page.Total != 4 {
		t.Fatalf("List of plain members = %+v, %v", page, err)
	}
	if want := (authos.Seats{Current: 4, Max: 12, Source: "custom"}); page.Seats != want {
		t.Errorf("seats %+v, want %+v", page.Seats, want)
	}
	m := page.Items[0]
	if m.Membership.UserID != m.User.ID || m.Membership.Role != authos.RoleMember || m.Membership.CreatedAt.IsZero() {
		t.Errorf("member %+v", m)
	}
	n := 0
	for _, err := range members.All(ctx, "acme", authos.MemberListParams{Role: authos.RoleMember}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("All yields %d plain members, want 1", n)
	}

	// A change of role takes the grants away.
	grant := func(access authos.ServiceAccess) []authos.ServiceAccessGrant {
		return []authos.ServiceAccessGrant{{ServiceSlug: "web", Access: access}}
	}
	access := func(list []authos.MemberServiceAccess, err error) [2]authos.ServiceAccess {
		if err != nil || len(list) != 2 || list[0].ServiceSlug != "app" || list[1].ServiceSlug != "web" || list[1].ServiceID == "" {
			t.Errorf("access %+v, %v", list, err)
			return [2]authos.ServiceAccess{}
		}
		return [2]authos.ServiceAccess{list[0].Access, list[1].Access}
	}
	for _, step := range []struct {
		grants []authos.ServiceAccessGrant
		sent   string
		want   authos.ServiceAccess
	}{
		{grant(authos.AccessManager), `{"grants":[{"service_slug":"web","access":"manager"}]}`, authos.AccessManager},
		{nil, `{"grants":[]}`, authos.AccessManager},
		{grant(authos.AccessNone), `{"grants":[{"service_slug":"web","access":null}]}`, authos.AccessNone},
		{grant(authos.AccessViewer), `{"grants":[{"service_slug":"web","access":"viewer"}]}`, authos.AccessViewer},
	} {
		got := access(members.UpdateServiceAccess(ctx, "acme", m.User.ID, step.grants))
		if want := [2]authos.ServiceAccess{authos.AccessNone, step.want}; got != want || tenantBody(w) != step.sent {
			t.Errorf("access %q, having sent %s; want %q, %s", got, tenantBody(w), want, step.sent)
		}
	}
	changed, err := members.UpdateRole(ctx, "acme", m.User.ID, authos.MemberUpdateParams{Role: authos.RoleAdmin})
	if err != nil || changed.Membership.Role != authos.RoleAdmin || changed.User.ID != m.User.ID {
		t.Errorf("UpdateRole = %+v, %v", changed, err)
	}
	if got := access(members.ServiceAccess(ctx, "acme", m.User.ID)); got != [2]authos.ServiceAccess{} {
		t.Errorf("after a change of role the access is %q, want none", got)
	}

	// A new owner makes the old one an admin.
	owner, err := members.TransferOwnership(ctx, "acme", asMember)
	if err != nil || owner.User.Email != asMember || owner.Membership.Role != authos.RoleOwner {
		t.Errorf("TransferOwnership = %+v, %v", owner, err)
	}
	if err := members.Remove(ctx, "acme", owner.User.ID); !errors.Is(err, authos.ErrForbidden) {
		t.Errorf("an admin removes an owner: %v", err)
	}
	if err := w.Client(asMember).Organizations.Members.Remove(ctx, "acme", w.Server.AddUser(asOwner, "").ID); err != nil {
		t.Errorf("the new owner cannot remove the old one: %v", err)
	}
	if _, err := c.Organizations.Get(ctx, "acme"); !errors.Is(err, authos.ErrForbidden) {
		t.Errorf("who was removed still looks: %v", err)
	}
}

// Granting owner hands the organization over.
func TestMemberMadeOwner(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	id := w.Server.AddUser(asMember, "").ID
	if _, err := c.Organizations.Members.UpdateRole(ctx, "acme", id, authos.MemberUpdateParams{Role: authos.RoleOwner}); err != nil {
		t.Fatal(err)
	}
	if org, err := c.Organizations.Get(ctx, "acme"); err != nil || org.OwnerUserID != id {
		t.Errorf("Get = %+v, %v, want another owner", org, err)
	}
	if err := c.Organizations.Delete(ctx, "acme"); !errors.Is(err, authos.ErrForbidden) {
		t.Errorf("the old owner deletes: %v", err)
	}
}

// Access that nobody knows yet is kept; none is null and back.
func TestMemberAccessValues(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `[{"service_id":"a","access":null},{"service_id":"b","access":"auditor"},{"service_id":"c"}]`}))
	got, err := c.Organizations.Members.ServiceAccess(t.Context(), "acme", "u")
	want := []authos.MemberServiceAccess{{ServiceID: "a"}, {ServiceID: "b", Access: "auditor"}, {ServiceID: "c"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ServiceAccess = %+v, %v, want %+v", got, err, want)
	}
}

func TestMemberPages(t *testing.T) {
	const five = 5
	tenantPages(t, []paging{{
		name: "members",
		setup: func(w *typedWorld) {
			for i := range five - 4 {
				w.Server.AddMember("acme", "m"+strconv.Itoa(i)+"@example.com", "member")
			}
		},
		page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
			page, err := c.Organizations.Members.List(ctx, "acme", authos.MemberListParams{Limit: 2, Page: n + 1})
			if err != nil {
				return nil, 0, err
			}
			return tenantPage(&page.Page, nil, func(m authos.Member) string { return m.User.ID })
		},
		all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
			return tenantIDs(c.Organizations.Members.All(ctx, "acme", authos.MemberListParams{Limit: limit}), func(m authos.Member) string { return m.User.ID })
		},
		route: "/api/organizations/:org_slug/members",
		total: five, beyond: five, query: "limit=100&page=1",
	}})
}

func TestMemberErrors(t *testing.T) {
	id := func(w *typedWorld, email string) string { return w.Server.AddUser(email, "").ID }
	admins := func(w *typedWorld) {
		w.Server.AddMember("acme", "ada@example.com", "admin")
		w.Server.AddMember("acme", "bob@example.com", "admin")
	}
	update := func(email string, role authos.RoleSlug) func(ctx context.Context, c *authos.Client, w *typedWorld) error {
		return func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return tenantErr(c.Organizations.Members.UpdateRole(ctx, "acme", id(w, email), authos.MemberUpdateParams{Role: role}))
		}
	}
	remove := func(email string) func(ctx context.Context, c *authos.Client, w *typedWorld) error {
		return func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return c.Organizations.Members.Remove(ctx, "acme", id(w, email))
		}
	}
	transfer := func(email string) func(ctx context.Context, c *authos.Client, w *typedWorld) error {
		return func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Members.TransferOwnership(ctx, "acme", email))
		}
	}
	tenantErrors(t, []tenantError{
		{name: "members for a stranger", setup: func(w *typedWorld) { w.Server.AddOrganization("other", "active", "y@example.com") },
			call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
				return tenantErr(c.Organizations.Members.List(ctx, "other", authos.MemberListParams{}))
			}, status: 403, is: tenantForbidden},
		{name: "own role", call: update(asOwner, "member"), status: 400, is: tenantBad},
		{name: "no such role", call: update(asMember, "boss"), status: 400, is: tenantBad},
		{name: "role of nobody", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Members.UpdateRole(ctx, "acme", "nobody", authos.MemberUpdateParams{Role: "admin"}))
		}, status: 404, is: tenantMissing},
		{name: "role by a member", as: asMember, call: update(asOwner, "member"), status: 403, is: tenantForbidden},
		{name: "an admin demotes an admin", as: "ada@example.com", setup: admins, call: update("bob@example.com", "member"), status: 403, is: tenantForbidden},
		{name: "an admin makes an owner", as: "ada@example.com", setup: admins, call: update(asMember, "owner"), status: 403, is: tenantForbidden},
		{name: "remove oneself", call: remove(asOwner), status: 400, is: tenantBad},
		{name: "remove nobody", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.Members.Remove(ctx, "acme", "nobody")
		}, status: 404, is: tenantMissing},
		{name: "an admin removes an admin", as: "ada@example.com", setup: admins, call: remove("bob@example.com"), status: 403, is: tenantForbidden},
		{name: "access of nobody", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Members.ServiceAccess(ctx, "acme", "nobody"))
		}, status: 404, is: tenantMissing},
		{name: "access to nothing", call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return tenantErr(c.Organizations.Members.UpdateServiceAccess(ctx, "acme", id(w, asMember),
				[]authos.ServiceAccessGrant{{ServiceSlug: "nope", Access: authos.AccessViewer}}))
		}, status: 404, is: tenantMissing},
		{name: "transfer to nobody", call: transfer("nobody@example.com"), status: 404, is: tenantMissing},
		{name: "transfer to an end user", call: transfer(asUser), status: 404, is: tenantMissing},
		{name: "transfer to oneself", call: transfer(asOwner), status: 400, is: tenantBad},
		{name: "transfer by an admin", as: "ada@example.com", setup: admins, call: transfer("bob@example.com"), status: 403, is: tenantForbidden},
	})
}

func TestMemberInputs(t *testing.T) {
	inputs(t, []tenantInput{
		{"List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Members.List(ctx, "", authos.MemberListParams{Page: -1, Limit: 101}))
		}, "org_slug limit page"},
		{"UpdateRole", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Members.UpdateRole(ctx, "", "..", authos.MemberUpdateParams{}))
		}, "org_slug user_id role"},
		{"Remove", func(ctx context.Context, c *authos.Client) error { return c.Organizations.Members.Remove(ctx, "", "") }, "org_slug user_id"},
		{"ServiceAccess", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Members.ServiceAccess(ctx, "", ""))
		}, "org_slug user_id"},
		{"UpdateServiceAccess", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Members.UpdateServiceAccess(ctx, "", "", []authos.ServiceAccessGrant{{ServiceSlug: "app"}, {Access: "boss"}}))
		}, "org_slug user_id grants[1].service_slug grants[1].access"},
		{"TransferOwnership", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Members.TransferOwnership(ctx, "", "ada"))
		}, "org_slug new_owner_email"},
	})
}
