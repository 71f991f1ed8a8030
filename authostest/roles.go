package authostest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) roleRoutes() {
	t.add("GET", "/api/organizations/:org_slug/roles", bearer, (*call).listRoles)
	t.add("POST", "/api/organizations/:org_slug/roles", bearer, (*call).createRole)
	t.add("GET", "/api/organizations/:org_slug/roles/:role_id", bearer, (*call).getRole)
	t.add("PUT", "/api/organizations/:org_slug/roles/:role_id", bearer, (*call).updateRole)
	t.add("DELETE", "/api/organizations/:org_slug/roles/:role_id", bearer, (*call).deleteRole)
}

// builtInRoles exist everywhere and cannot be changed.
var builtInRoles = []string{"owner", "admin", "member"}

// role is one that an organization has made for itself.
type role struct {
	id, slug, name string
	description    *string
	permissions    []string
	created        time.Time
	updated        time.Time
}

type roleModel struct {
	ID          string   `json:"id"`
	OrgID       string   `json:"org_id"`
	Slug        string   `json:"slug"`
	Name        string   `json:"name"`
	Description *string  `json:"description"`
	Permissions []string `json:"permissions"`
	CreatedAt   string   `json:"created_at"`
	UpdatedAt   string   `json:"updated_at"`
}

func newRoleModel(o *organization, r *role) roleModel {
	return roleModel{r.id, o.id, r.slug, r.name, r.description, r.permissions, stampNaive(r.created), stampNaive(r.updated)}
}

// rolesOrg finds the organization of the path for who may manage roles, which is
// also who may look at them.
func (c *call) rolesOrg(doing string) (*organization, *response) {
	o, missing := c.org()
	if missing != nil {
		return nil, missing
	}
	if !o.can(c.user.ID, "org.roles.manage") {
		a := c.forbidden("Insufficient permissions to " + doing)
		return nil, &a
	}
	return o, nil
}

// listRoles begins with three roles that have no row: asking for one by its id
// gives a 404.
func (c *call) listRoles() response {
	o, refused := c.rolesOrg("view roles")
	if refused != nil {
		return *refused
	}
	now := stampNaive(c.now)
	synthetic := func(slug, description, permission string) roleModel {
		return roleModel{"role_" + slug, o.id, slug, title(slug), &description, []string{permission}, now, now}
	}
	list := []roleModel{
		synthetic("owner", "Full access to all resources and settings", "*"),
		synthetic("admin", "Manage members, services, and billing", "org:manage"),
		synthetic("member", "View access to assigned services", "org:view"),
	}
	for _, r := range o.roles {
		list = append(list, newRoleModel(o, r))
	}
	return jsonResponse(http.StatusOK, list)
}

func (c *call) recordRole(o *organization, action string, r *role) {
	c.record(o, action, "organization_role", r.id, details{"slug": r.slug, "name": r.name, "permissions": r.permissions})
}

func (c *call) createRole() response {
	in, bad := decode[struct {
		Slug        string   `json:"slug"`
		Name        string   `json:"name"`
		Description *string  `json:"description"`
		Permissions []string `json:"permissions"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.rolesOrg("create roles")
	switch {
	case refused != nil:
		return *refused
	case slices.Contains(builtInRoles, strings.ToLower(in.Slug)):
		return c.invalid("slug", "INVALID_VALUE", "Custom role slug cannot use a built-in organization role")
	case o.role(in.Slug) != nil:
		return c.taken("Role with this slug already exists")
	}
	now := c.now.Truncate(time.Microsecond)
	r := &role{c.s.newID(), in.Slug, in.Name, in.Description, in.Permissions, now, now}
	o.roles = append(o.roles, r)
	c.recordRole(o, "organization_role.created", r)
	c.applied = true
	return jsonResponse(http.StatusOK, newRoleModel(o, r))
}

// pathRole finds the role of the path among the organization's own.
func (c *call) pathRole(o *organization) (*role, *response) {
	r := find(o.roles, func(r *role) bool { return r.id == c.params[1] })
	if r == nil {
		a := c.notFound("Role not found")
		return nil, &a
	}
	return r, nil
}

func (c *call) getRole() response {
	o, refused := c.rolesOrg("view role details")
	if refused != nil {
		return *refused
	}
	r, missing := c.pathRole(o)
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, newRoleModel(o, r))
}

// updateRole tells an absent description, which stays, from a null one, which
// clears it.
func (c *call) updateRole() response {
	in, bad := decode[struct {
		Name        *string         `json:"name"`
		Description json.RawMessage `json:"description"`
		Permissions *[]string       `json:"permissions"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	description, bad := c.nullable("description", in.Description)
	if bad != nil {
		return *bad
	}
	o, refused := c.rolesOrg("update roles")
	if refused != nil {
		return *refused
	}
	r, missing := c.pathRole(o)
	if missing != nil {
		return *missing
	}
	if in.Name != nil {
		r.name = *in.Name
	}
	if in.Description != nil {
		r.description = description
	}
	if in.Permissions != nil {
		r.permissions = *in.Permissions
	}
	r.updated = c.now.Truncate(time.Microsecond)
	c.recordRole(o, "organization_role.updated", r)
	c.applied = true
	return jsonResponse(http.StatusOK, newRoleModel(o, r))
}

// nullable reads a field that may be null.
func (c *call) nullable(name string, raw json.RawMessage) (value *string, refused *response) {
	if raw != nil && json.Unmarshal(raw, &value) != nil {
		return nil, c.refuseShape(plainJSON, &shapeError{field: name, text: "invalid type: " + kindOf(raw) + ", expected a string"})
	}
	return value, nil
}

// deleteRole leaves the members who had the role with its name and no rights.
func (c *call) deleteRole() response {
	o, refused := c.rolesOrg("delete roles")
	if refused != nil {
		return *refused
	}
	r, missing := c.pathRole(o)
	if missing != nil {
		return *missing
	}
	o.roles = without(o.roles, r)
	c.record(o, "organization_role.deleted", "organization_role", r.id, details{"slug": r.slug, "name": r.name})
	c.applied = true
	return empty(http.StatusNoContent)
}
