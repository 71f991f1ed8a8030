package authos

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// MembersService are the members of an organization: the users who run it.
type MembersService struct{ c *Client }

// RoleSlug names a role in an organization: one of the three that every organization has, or the
// slug of a role of its own.
type RoleSlug string

// The roles that every organization has. Others are made with [RolesService].
const (
	RoleOwner  RoleSlug = "owner"
	RoleAdmin  RoleSlug = "admin"
	RoleMember RoleSlug = "member"
)

// role accepts owner, admin, member and whatever may be the slug of an organization's own role.
func (c *checks) role(field string, value RoleSlug) {
	switch {
	case value == "":
		c.add(field, CodeRequired, "must not be empty")
	case strings.ContainsFunc(string(value), func(r rune) bool { return r <= ' ' || r == 0x7f }):
		c.add(field, CodeInvalidFormat, "must be a role's slug, without spaces or control characters")
	}
}

// Member is a user with a role in an organization.
type Member struct {
	User       User       `json:"user"`
	Membership Membership `json:"membership"`
}

func (m *Member) missing() string { return cmp.Or(m.User.missing(), m.Membership.missing()) }

// Seats say how many members an organization has and may have.
type Seats struct {
	Current int64 `json:"current"`
	Max     int64 `json:"max"`
	// Source is where Max comes from: "custom", or the name of the tier.
	Source string `json:"source"`
}

func (s *Seats) missing() string {
	if s == nil || s.Source == "" {
		return "limit"
	}
	return ""
}

// MemberPage is one page of an organization's members. Total counts all members, also when one role
// is asked for.
type MemberPage struct {
	Page[Member]
	Seats Seats
}

// MemberListParams choose a page.
type MemberListParams struct {
	// Role lists members with one role only; empty: all.
	Role RoleSlug
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 50; for
	// All, 100.
	Limit, Page int
}

// MemberUpdateParams are a member's new role.
type MemberUpdateParams struct {
	// Role is owner, admin, member or the slug of a role of the organization's own.
	Role RoleSlug `json:"role"`
}

// ServiceAccess is what a member may do with one service. Other values than those named here are
// kept as the server sent them.
type ServiceAccess string

// The levels of access to a service.
const (
	AccessNone    ServiceAccess = "" // no grant of its own; the role may still give access
	AccessViewer  ServiceAccess = "viewer"
	AccessManager ServiceAccess = "manager"
)

// MarshalJSON writes null for [AccessNone].
func (a ServiceAccess) MarshalJSON() ([]byte, error) {
	if a == AccessNone {
		return []byte("null"), nil
	}
	return json.Marshal(string(a))
}

// MemberServiceAccess is a member's access to one service.
type MemberServiceAccess struct {
	ServiceID   string        `json:"service_id"`
	ServiceSlug string        `json:"service_slug"`
	ServiceName string        `json:"service_name"`
	Access      ServiceAccess `json:"access"`
}

func (a *MemberServiceAccess) missing() string {
	if a.ServiceID == "" {
		return "service_id"
	}
	return ""
}

// ServiceAccessGrant sets a member's access to one service; [AccessNone] takes it away.
type ServiceAccessGrant struct {
	ServiceSlug string        `json:"service_slug"`
	Access      ServiceAccess `json:"access"`
}

type memberList struct {
	Members *[]Member `json:"members"`
	Total   *int64    `json:"total"`
	Limit   *Seats    `json:"limit"` // the quota, not the page's size
}

func (l *memberList) missing() string {
	return cmp.Or(missingItem("members", l.Members), l.Limit.missing())
}

const (
	memberPath        = "/api/organizations/:org_slug/members/:user_id"
	serviceAccessPath = "/api/organizations/:org_slug/members/:user_id/service-access"
)

// List returns one page of an organization's members. GET /api/organizations/:org_slug/members;
// bearer, members; may be repeated; cached for the stale fallback.
func (s *MembersService) List(ctx context.Context, orgSlug string, p MemberListParams, opts ...RequestOption) (*MemberPage, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.numbered(p.Limit, p.Page)
	q := numbering(p.Limit, p.Page)
	put(q, "role", string(p.Role))
	list, err := invoke[memberList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/members", args: []string{orgSlug}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &MemberPage{Page: *newPage(*list.Members, list.Total), Seats: *list.Limit}, nil
}

// All iterates over an organization's members from p.Page on, p.Limit at a time. It stops at the
// first error, which it yields last.
//
// Removing members on the way moves the others to earlier pages, and some are passed over: collect
// first ([AllItems]), then remove.
func (s *MembersService) All(ctx context.Context, orgSlug string, p MemberListParams, opts ...RequestOption) iter.Seq2[Member, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[Member], error) {
		p.Limit, p.Page = limit, number
		page, err := s.List(ctx, orgSlug, p, opts...)
		if err != nil {
			return nil, err
		}
		return &page.Page, nil
	})
}

// UpdateRole gives a member another role. PATCH /api/organizations/:org_slug/members/:user_id;
// bearer, capability org.roles.manage; not repeated when its outcome is unknown.
//
// Granting owner hands the organization over: the caller becomes admin. All grants that the member
// has for single services are taken away. The caller's own role and a role that does not exist are
// 400 BAD_REQUEST; only an owner may touch owners and admins, or make an owner, others get 403.
func (s *MembersService) UpdateRole(
	ctx context.Context, orgSlug, userID string, p MemberUpdateParams, opts ...RequestOption,
) (*Member, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	in.role("role", p.Role)
	return invoke[Member](ctx, s.c, request{
		method: http.MethodPatch, template: memberPath, args: []string{orgSlug, userID}, body: p, checks: in,
	}, opts)
}

// Remove takes a member out of an organization; the user itself stays. POST
// /api/organizations/:org_slug/members/:user_id, as the server has no DELETE there; bearer,
// capability org.members.manage; may be repeated: a second one is 404 NOT_FOUND. Oneself is 400
// BAD_REQUEST; owners and admins are removed by an owner only, others get 403.
func (s *MembersService) Remove(ctx context.Context, orgSlug, userID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: memberPath, args: []string{orgSlug, userID}, checks: in,
	}, nil, opts)
}

// ServiceAccess returns a member's access to every service of the organization. GET
// /api/organizations/:org_slug/members/:user_id/service-access; bearer, capability
// org.members.manage; may be repeated; cached for the stale fallback.
func (s *MembersService) ServiceAccess(
	ctx context.Context, orgSlug, userID string, opts ...RequestOption,
) ([]MemberServiceAccess, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	list, err := invoke[bare[MemberServiceAccess, *MemberServiceAccess]](ctx, s.c, request{
		method: http.MethodGet, template: serviceAccessPath, args: []string{orgSlug, userID}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// UpdateServiceAccess sets a member's access to the services listed, leaves that to others as it
// is, and returns it for all. PUT /api/organizations/:org_slug/members/:user_id/service-access;
// bearer, capability org.members.manage; may be repeated. A service that does not exist is 404
// NOT_FOUND.
func (s *MembersService) UpdateServiceAccess(
	ctx context.Context, orgSlug, userID string, grants []ServiceAccessGrant, opts ...RequestOption,
) ([]MemberServiceAccess, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	for i, g := range grants {
		in.required(fmt.Sprintf("grants[%d].service_slug", i), g.ServiceSlug)
		in.oneOf(fmt.Sprintf("grants[%d].access", i), string(g.Access), "", string(AccessViewer), string(AccessManager))
	}
	in.argument("grants")
	if grants == nil {
		grants = []ServiceAccessGrant{} // the server refuses null
	}
	body := map[string]any{"grants": grants}
	list, err := invoke[bare[MemberServiceAccess, *MemberServiceAccess]](ctx, s.c, request{
		method: http.MethodPut, template: serviceAccessPath, args: []string{orgSlug, userID}, body: body, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// TransferOwnership makes another member the owner and the caller an admin, and returns the new
// owner. POST /api/organizations/:org_slug/transfer-ownership; bearer, owner; not repeated when its
// outcome is unknown. Somebody who is no member is 404 NOT_FOUND, oneself 400 BAD_REQUEST.
func (s *MembersService) TransferOwnership(ctx context.Context, orgSlug, newOwnerEmail string, opts ...RequestOption) (*Member, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.emailField("new_owner_email", newOwnerEmail)
	in.argument("new_owner_email")
	body := map[string]string{"new_owner_email": newOwnerEmail}
	return invoke[Member](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/transfer-ownership",
		args: []string{orgSlug}, body: body, checks: in,
	}, opts)
}
