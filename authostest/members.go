package authostest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

func (t *table) memberRoutes() {
	t.add("GET", "/api/organizations/:org_slug/members", bearer, (*call).listMembers)
	t.add("PATCH", "/api/organizations/:org_slug/members/:user_id", bearer, (*call).updateMember)
	t.add("POST", "/api/organizations/:org_slug/members/:user_id", bearer, (*call).removeMember)
	t.add("GET", "/api/organizations/:org_slug/members/:user_id/service-access", bearer, (*call).listServiceAccess)
	t.add("PUT", "/api/organizations/:org_slug/members/:user_id/service-access", bearer, (*call).updateServiceAccess)
	t.add("POST", "/api/organizations/:org_slug/transfer-ownership", bearer, (*call).transferOwnership)
}

type memberModel struct {
	User       userModel       `json:"user"`
	Membership membershipModel `json:"membership"`
}

// membersInOrder lists the members oldest first.
func (sc *scene) membersInOrder(o *organization) []*user {
	list := make([]*user, 0, len(o.members))
	for id := range o.members {
		list = append(list, sc.users[id])
	}
	slices.SortFunc(list, func(a, b *user) int {
		return cmp.Or(o.joined[a.ID].created.Compare(o.joined[b.ID].created), strings.Compare(a.Email, b.Email))
	})
	return list
}

// listMembers filters the rows by role but not the total.
func (c *call) listMembers() response {
	page, limit, bad := c.page(50)
	if bad != nil {
		return *bad
	}
	o, _, refused := c.memberOf()
	if refused != nil {
		return *refused
	}
	query := c.r.URL.Query()
	list := []memberModel{}
	for _, u := range c.s.scene.membersInOrder(o) {
		if !query.Has("role") || query.Get("role") == o.members[u.ID] {
			list = append(list, memberModel{listedUser(u), newMembershipModel(o, u.ID)})
		}
	}
	type seats struct {
		Current int    `json:"current"`
		Max     int    `json:"max"`
		Source  string `json:"source"`
	}
	quota := seats{len(o.members), o.seatLimit(), o.tierOf().Name}
	if o.maxUsers != nil {
		quota.Source = "custom"
	}
	return jsonResponse(http.StatusOK, struct {
		Members []memberModel `json:"members"`
		Total   int           `json:"total"`
		Limit   seats         `json:"limit"` // not the size of a page
	}{pageOf(list, page, limit), len(o.members), quota})
}

// member finds the user of the path among the members of an organization.
func (c *call) member(o *organization) (*user, *response) {
	if o.members[c.params[1]] == "" {
		a := c.notFound("User is not a member of this organization")
		return nil, &a
	}
	return c.s.scene.users[c.params[1]], nil
}

func (c *call) updateMember() response {
	in, bad := decode[struct {
		Role string `json:"role"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, missing := c.org()
	switch {
	case missing != nil:
		return *missing
	case c.october() && o.members[c.user.ID] != "owner":
		return c.forbidden("Requires one of roles: owner")
	case !o.can(c.user.ID, "org.roles.manage"):
		return c.forbidden("Insufficient permissions to change member roles")
	case !slices.Contains(builtInRoles, in.Role) && o.role(in.Role) == nil:
		return c.invalid("role", "INVALID_VALUE", c.either("Invalid role. Choose a system role or custom organization role.", "Invalid role. Must be owner, admin, or member"))
	case c.params[1] == c.user.ID:
		return c.badRequest("Cannot change your own role")
	}
	u, missing := c.member(o)
	if missing != nil {
		return *missing
	}
	old := o.members[u.ID]
	if old == "owner" || old == "admin" || in.Role == "owner" {
		if o.members[c.user.ID] != "owner" {
			return c.forbidden("Requires one of roles: owner")
		}
	}
	o.join(u.ID, in.Role, c.now)
	o.dropGrants(u.ID)
	c.record(o, "member.role_changed", "user", u.ID, details{"old_role": old, "new_role": in.Role, "target_user_email": u.Email})
	if in.Role == "owner" {
		c.handOver(o, u)
		c.record(o, "org.ownership_transferred", "organization", o.id, details{
			"previous_owner_email": c.user.Email, "new_owner_email": u.Email, "ownership_transferred": true,
		})
	}
	c.applied = true
	return jsonResponse(http.StatusOK, memberModel{newUserModel(u), newMembershipModel(o, u.ID)})
}

// handOver makes somebody the owner in place of the caller, who becomes an admin.
func (c *call) handOver(o *organization, to *user) {
	o.ownerID = to.ID
	o.join(to.ID, "owner", c.now)
	o.join(c.user.ID, "admin", c.now)
	o.touch(c.now)
}

func (c *call) removeMember() response {
	o, missing := c.org()
	switch {
	case missing != nil:
		return *missing
	case !o.can(c.user.ID, "org.members.manage"):
		return c.forbidden("Insufficient permissions to remove members")
	case c.params[1] == c.user.ID:
		return c.badRequest("Cannot remove yourself from the organization")
	}
	u, missing := c.member(o)
	if missing != nil {
		return *missing
	}
	role, own := o.members[u.ID], o.members[c.user.ID]
	if own != "owner" && (role == "owner" || role == "admin") {
		return c.forbidden("Only owners can remove other owners and admins")
	}
	o.leave(u.ID)
	c.record(o, "member.removed", "user", u.ID, details{"removed_user_email": u.Email, "removed_role": role, "removed_by_role": own})
	c.applied = true
	return null()
}

// serviceAccess is what one member may do with one service by a direct grant.
type serviceAccess struct {
	ServiceID   string  `json:"service_id"`
	ServiceSlug string  `json:"service_slug"`
	ServiceName string  `json:"service_name"`
	Access      *string `json:"access"`
}

func describeAccess(o *organization, userID string) response {
	services := o.servicesInOrder()
	list := make([]serviceAccess, 0, len(services))
	for _, v := range services {
		list = append(list, serviceAccess{v.id, v.slug, v.name, optional(v.grants[userID])})
	}
	return jsonResponse(http.StatusOK, list)
}

func (c *call) listServiceAccess() response {
	o, missing := c.org()
	switch {
	case missing != nil:
		return *missing
	case !o.can(c.user.ID, "org.members.manage"):
		return c.forbidden("Insufficient permissions to view service access")
	}
	u, missing := c.member(o)
	if missing != nil {
		return *missing
	}
	return describeAccess(o, u.ID)
}

// updateServiceAccess changes the services it is told about and no others.
func (c *call) updateServiceAccess() response {
	type grant struct {
		ServiceSlug string  `json:"service_slug"`
		Access      *string `json:"access"`
	}
	in, bad := decode[struct {
		Grants []grant `json:"grants"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, missing := c.org()
	switch {
	case missing != nil:
		return *missing
	case !o.can(c.user.ID, "org.members.manage"):
		return c.forbidden("Insufficient permissions to update service access")
	}
	u, missing := c.member(o)
	if missing != nil {
		return *missing
	}
	for _, g := range in.Grants {
		if g.Access != nil && *g.Access != "viewer" && *g.Access != "manager" {
			return c.invalid("access", "INVALID_VALUE", "Service access must be viewer, manager, or null")
		}
	}
	for _, g := range in.Grants {
		if o.services[g.ServiceSlug] == nil {
			return c.notFound("Service '" + g.ServiceSlug + "' not found")
		}
	}
	for _, g := range in.Grants {
		o.services[g.ServiceSlug].grant(u.ID, deref(g.Access))
	}
	c.record(o, "member.service_access_updated", "user", u.ID, details{"target_user_id": u.ID})
	c.applied = true
	return describeAccess(o, u.ID)
}

func (c *call) transferOwnership() response {
	in, bad := decode[struct {
		NewOwnerEmail string `json:"new_owner_email"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.ownedOrg()
	if refused != nil {
		return *refused
	}
	u := c.s.scene.byEmail[strings.ToLower(in.NewOwnerEmail)]
	switch {
	case u == nil:
		return c.notFound("User with that email not found")
	case o.members[u.ID] == "":
		return c.notFound("User is not a member of this organization")
	case u == c.user:
		return c.badRequest("You are already the owner of this organization")
	}
	c.handOver(o, u)
	c.applied = true
	return jsonResponse(http.StatusOK, memberModel{newUserModel(u), newMembershipModel(o, u.ID)})
}
