package authostest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// tenant is what the members of an organization have set up in it.
type tenant struct {
	joined       map[string]membership // by user id
	roles        []*role
	invitations  []*invitation
	webhooks     []*webhook
	audits       []*auditEntry // oldest first
	brand        brand
	domain       customDomain
	smtp         *smtp
	risk         riskSettings
	oauth        map[string]string // provider: client id
	siem         []*siemConfig
	upstreams    []*upstream
	domainRoutes []*domainRoute
	scimTokens   []*scimRow
	billing      map[string]*billingCredentials // by provider
}

func newTenant() tenant {
	return tenant{joined: map[string]membership{}, risk: defaultRisk, oauth: map[string]string{}, billing: map[string]*billingCredentials{}}
}

// membership is the row behind a member. The role is in the organization.
type membership struct {
	id      string
	created time.Time
}

// join makes a user a member, or gives a member another role.
func (o *organization) join(userID, role string, now time.Time) {
	o.members[userID] = role
	if _, ok := o.joined[userID]; !ok {
		o.joined[userID] = membership{o.entropy.newID(), now.Truncate(time.Microsecond)}
	}
}

// leave ends a membership and the grants that came with it.
func (o *organization) leave(userID string) {
	delete(o.members, userID)
	delete(o.joined, userID)
	o.dropGrants(userID)
}

func (o *organization) dropGrants(userID string) {
	for _, v := range o.services {
		delete(v.grants, userID)
	}
}

// can reports whether a member has a capability. Owners and admins have all of
// them, plain members none, and other roles those that they list.
func (o *organization) can(userID string, anyOf ...string) bool {
	switch name := o.members[userID]; name {
	case "owner", "admin":
		return true
	case "member", "":
		return false
	default:
		custom := o.role(name)
		return custom != nil && slices.ContainsFunc(anyOf, func(c string) bool { return slices.Contains(custom.permissions, c) })
	}
}

// role returns one of the organization's own roles by slug, or nil.
func (o *organization) role(slug string) *role {
	return find(o.roles, func(r *role) bool { return r.slug == slug })
}

// servicesInOrder lists the services oldest first.
func (o *organization) servicesInOrder() []*service {
	return slices.SortedFunc(maps.Values(o.services), func(a, b *service) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.slug, b.slug))
	})
}

// serviceByID returns a service, or nil.
func (o *organization) serviceByID(id string) *service {
	for _, v := range o.services {
		if v.id == id {
			return v
		}
	}
	return nil
}

// touch notes a change of the organization itself.
func (o *organization) touch(now time.Time) { o.updated = now.Truncate(time.Microsecond) }

// find returns the first element that is wanted, or nil.
func find[T any](list []*T, wanted func(*T) bool) *T {
	if i := slices.IndexFunc(list, wanted); i >= 0 {
		return list[i]
	}
	return nil
}

// without removes one element.
func without[T any](list []*T, gone *T) []*T {
	return slices.DeleteFunc(list, func(other *T) bool { return other == gone })
}

// org finds the organization of the path.
func (c *call) org() (*organization, *response) {
	if o := c.s.scene.orgs[c.params[0]]; o != nil {
		return o, nil
	}
	a := c.notFound("Organization not found")
	return nil, &a
}

// activeOrg finds the organization of the path for a route that wants it active.
func (c *call) activeOrg() (*organization, *response) {
	o, missing := c.org()
	if missing != nil {
		return nil, missing
	}
	if !o.active() {
		a := c.organizationNotActive(o.status)
		return nil, &a
	}
	return o, nil
}

// orgFor finds the active organization of the path for somebody with one of the
// capabilities, and refuses others with the text of the route.
func (c *call) orgFor(refusal string, anyOf ...string) (*organization, *response) {
	o, refused := c.activeOrg()
	if refused != nil {
		return nil, refused
	}
	if !o.can(c.user.ID, anyOf...) {
		a := c.forbidden("Insufficient permissions to " + refusal)
		return nil, &a
	}
	return o, nil
}

// settingsOrg finds the organization of the path for who may manage its settings,
// which includes platform owners. Its status does not matter.
func (c *call) settingsOrg() (*organization, *response) {
	o, missing := c.org()
	if missing != nil {
		return nil, missing
	}
	if c.october() && o.members[c.user.ID] == "" && strings.Contains(c.template(), "oauth-credentials") {
		a := c.databaseError() // a row is missing, and nobody has thought of that
		return nil, &a
	}
	if !c.user.platformOwner && !o.can(c.user.ID, "org.settings.manage") {
		a := c.forbidden(c.either("Insufficient permissions to manage organization settings", "Requires one of roles: owner, admin"))
		return nil, &a
	}
	return o, nil
}

// userModel is a user as the tenant routes show one.
type userModel struct {
	ID              string  `json:"id"`
	Email           string  `json:"email"`
	OrgID           *string `json:"org_id"`
	IsPlatformOwner bool    `json:"is_platform_owner"`
	EmailVerifiedAt *string `json:"email_verified_at"`
	CreatedAt       string  `json:"created_at"`
	UpdatedAt       *string `json:"updated_at"`
	DeletedAt       *string `json:"deleted_at"`
}

// newUserModel shows everything about a user.
func newUserModel(u *user) userModel {
	m := listedUser(u)
	m.OrgID = optional(u.tenantID)
	if !u.verified.IsZero() {
		m.EmailVerifiedAt = new(stampNaive(u.verified))
	}
	m.UpdatedAt = new(stampNaive(u.updated))
	return m
}

// listedUser is what lists show: their query leaves columns out.
func listedUser(u *user) userModel {
	return userModel{ID: u.ID, Email: u.Email, IsPlatformOwner: u.platformOwner, CreatedAt: stampNaive(u.created)}
}

type membershipModel struct {
	ID        string `json:"id"`
	OrgID     string `json:"org_id"`
	UserID    string `json:"user_id"`
	Role      string `json:"role"`
	CreatedAt string `json:"created_at"`
}

func newMembershipModel(o *organization, userID string) membershipModel {
	row := o.joined[userID]
	return membershipModel{row.id, o.id, userID, o.members[userID], stampNaive(row.created)}
}

// optional is a string that is null when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
