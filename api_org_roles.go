package authos

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
)

// RolesService are an organization's roles: three that every organization has, and those it has
// made for itself. Whatever is done here, reading included, needs the capability org.roles.manage.
// Roles are given to members with [MembersService.UpdateRole].
type RolesService struct{ c *Client }

// Capability is something that a role of an organization's own can allow.
type Capability string

// The capabilities. Owners and admins have all of
// them, plain members none. The server keeps names that it does not know, and allows nothing for
// them.
const (
	CapabilitySettingsManage     Capability = "org.settings.manage"
	CapabilityMembersView        Capability = "org.members.view"
	CapabilityMembersManage      Capability = "org.members.manage"
	CapabilityRolesManage        Capability = "org.roles.manage"
	CapabilityBillingManage      Capability = "billing.manage"
	CapabilityServicesView       Capability = "services.view"
	CapabilityServicesCreate     Capability = "services.create"
	CapabilityServicesManage     Capability = "services.manage"
	CapabilityEndUsersView       Capability = "end_users.view"
	CapabilityEndUsersManage     Capability = "end_users.manage"
	CapabilityWebhooksManage     Capability = "webhooks.manage"
	CapabilityIntegrationsManage Capability = "integrations.manage"
	CapabilityAuditLogsView      Capability = "audit_logs.view"
	CapabilityRiskEventsView     Capability = "risk_events.view"
	CapabilityRiskPoliciesManage Capability = "risk_policies.manage"
)

// builtInRoles are the slugs of the roles that every organization has. The server refuses them for
// other roles, in capitals too.
var builtInRoles = []RoleSlug{RoleOwner, RoleAdmin, RoleMember}

// Role is what its members may do in an organization.
type Role struct { //nolint:recvcheck // BuiltIn only reads; missing is called on pointers only
	ID          string   `json:"id"`
	OrgID       string   `json:"org_id"`
	Slug        RoleSlug `json:"slug"`
	Name        string   `json:"name"`
	Description string   `json:"description"` // empty when there is none
	// Permissions are capabilities such as [CapabilityServicesView]; those of built-in roles are
	// "*", "org:manage" and "org:view".
	Permissions []Capability `json:"permissions"`
	// CreatedAt and UpdatedAt of a built-in role are the time of the response.
	CreatedAt Time `json:"created_at"`
	UpdatedAt Time `json:"updated_at"`
}

func (r *Role) missing() string {
	switch {
	case r.ID == "":
		return "id"
	case r.Permissions == nil:
		return "permissions"
	}
	return ""
}

// BuiltIn reports whether a role is owner, admin or member. Lists begin with these three, but the
// server keeps no record of them: [RolesService.Get], Update and Delete return 404 NOT_FOUND for
// them.
func (r Role) BuiltIn() bool { return slices.Contains(builtInRoles, r.Slug) }

// RoleCreateParams are a new role.
type RoleCreateParams struct {
	// Slug is the role's name in memberships; it cannot be changed. It must not be owner, admin or
	// member, nor those in capitals.
	Slug        RoleSlug `json:"slug"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	// Permissions are capabilities such as [CapabilityServicesView]; none: a role that allows what
	// every member may.
	Permissions []Capability `json:"permissions"`
}

// RoleUpdateParams are the changes of [RolesService.Update]; zero fields stay as they are.
type RoleUpdateParams struct {
	Name        Optional[string] `json:"name,omitzero"`
	Description Optional[string] `json:"description,omitzero"`
	// Permissions replace those that the role has; empty but not nil: none.
	Permissions []Capability `json:"permissions,omitzero"`
}

const (
	rolesPath = "/api/organizations/:org_slug/roles"
	rolePath  = "/api/organizations/:org_slug/roles/:role_id"
)

// List returns all roles of an organization, the three built-in ones first. GET
// /api/organizations/:org_slug/roles; bearer, capability org.roles.manage; may be repeated; cached
// for the stale fallback.
func (s *RolesService) List(ctx context.Context, orgSlug string, opts ...RequestOption) ([]Role, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[Role, *Role]](ctx, s.c, request{
		method: http.MethodGet, template: rolesPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same roles. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *RolesService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[Role, error] {
	return unpaged(func() ([]Role, error) { return s.List(ctx, orgSlug, opts...) })
}

// Create makes a role. POST /api/organizations/:org_slug/roles; bearer, capability
// org.roles.manage; not repeated when its outcome is unknown. A slug that is taken is 400
// BAD_REQUEST.
func (s *RolesService) Create(ctx context.Context, orgSlug string, p RoleCreateParams, opts ...RequestOption) (*Role, error) {
	var in checks
	in.id("org_slug", orgSlug)
	if in.role("slug", p.Slug); slices.Contains(builtInRoles, RoleSlug(strings.ToLower(string(p.Slug)))) {
		in.add("slug", CodeInvalidFormat, "is a role that every organization has")
	}
	in.required("name", p.Name)
	if p.Permissions == nil {
		p.Permissions = []Capability{} // the server refuses null
	}
	return invoke[Role](ctx, s.c, request{
		method: http.MethodPost, template: rolesPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Get returns one of the organization's own roles. GET /api/organizations/:org_slug/roles/:role_id;
// bearer, capability org.roles.manage; may be repeated; cached for the stale fallback. Built-in
// roles are 404 NOT_FOUND.
func (s *RolesService) Get(ctx context.Context, orgSlug, roleID string, opts ...RequestOption) (*Role, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("role_id", roleID)
	return invoke[Role](ctx, s.c, request{
		method: http.MethodGet, template: rolePath, args: []string{orgSlug, roleID}, checks: in,
	}, opts)
}

// Update changes a role, for all members who have it. PUT
// /api/organizations/:org_slug/roles/:role_id; bearer, capability org.roles.manage; may be
// repeated. Other servers of the same AuthOS may take a minute to see new permissions.
func (s *RolesService) Update(
	ctx context.Context, orgSlug, roleID string, p RoleUpdateParams, opts ...RequestOption,
) (*Role, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("role_id", roleID)
	if p.Name.given && p.Name.null {
		in.add("name", CodeInvalidFormat, "cannot be cleared")
	}
	return invoke[Role](ctx, s.c, request{
		method: http.MethodPut, template: rolePath, args: []string{orgSlug, roleID}, body: p, checks: in,
	}, opts)
}

// Delete removes a role. DELETE /api/organizations/:org_slug/roles/:role_id; bearer, capability
// org.roles.manage; may be repeated: when an attempt's outcome is unknown and its repeat finds 404,
// Delete has succeeded. Give the members who have it another role first.
func (s *RolesService) Delete(ctx context.Context, orgSlug, roleID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("role_id", roleID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: rolePath, args: []string{orgSlug, roleID}, checks: in,
	}, nil, opts)
}
