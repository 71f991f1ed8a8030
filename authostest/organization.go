package authostest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (t *table) organizationRoutes() {
	t.add("GET", "/api/organizations", bearer, (*call).listOrganizations)
	t.add("POST", "/api/organizations", bearer, (*call).createOrganization)
	t.add("GET", "/api/organizations/:org_slug", bearer, (*call).getOrganization)
	t.add("PATCH", "/api/organizations/:org_slug", bearer, (*call).updateOrganization)
	t.add("DELETE", "/api/organizations/:org_slug", bearer, (*call).deleteOrganization)
	t.add("POST", "/api/organizations/:org_slug/select", bearer, (*call).selectOrganization)
}

// organizationModel is the tenant's view of an organization, with times that
// have no zone. The platform's view of the same row has.
type organizationModel struct {
	ID                string  `json:"id"`
	Slug              string  `json:"slug"`
	Name              string  `json:"name"`
	OwnerUserID       string  `json:"owner_user_id"`
	Status            string  `json:"status"`
	TierID            *string `json:"tier_id"`
	MaxServices       *int    `json:"max_services"`
	MaxUsers          *int    `json:"max_users"`
	ApprovedBy        *string `json:"approved_by"`
	ApprovedAt        *string `json:"approved_at"`
	RejectedBy        *string `json:"rejected_by"`
	RejectedAt        *string `json:"rejected_at"`
	RejectionReason   *string `json:"rejection_reason"`
	CustomDomain      *string `json:"custom_domain"`
	DomainVerified    bool    `json:"domain_verified"`
	BrandLogoURL      *string `json:"brand_logo_url"`
	BrandPrimaryColor *string `json:"brand_primary_color"`
	FeatureOverrides  *string `json:"feature_overrides"`
	CreatedAt         string  `json:"created_at"`
	UpdatedAt         string  `json:"updated_at"`
}

// newOrganizationModel is the tenant's view of a row.
func newOrganizationModel(o *organization) organizationModel {
	return organizationModel{
		ID:                o.id,
		Slug:              o.slug,
		Name:              o.name,
		OwnerUserID:       o.ownerID,
		Status:            o.status,
		TierID:            new(o.tierOf().ID),
		MaxServices:       o.maxServices,
		MaxUsers:          o.maxUsers,
		ApprovedBy:        optional(o.approvedBy),
		ApprovedAt:        stamped(o.approvedAt, stampNaive),
		RejectedBy:        optional(o.rejectedBy),
		RejectedAt:        stamped(o.rejectedAt, stampNaive),
		RejectionReason:   optional(o.rejectionReason),
		CustomDomain:      optional(o.domain.name),
		DomainVerified:    o.domain.verified,
		BrandLogoURL:      o.brand.LogoURL,
		BrandPrimaryColor: o.brand.PrimaryColor,
		FeatureOverrides:  o.featureOverrides(),
		CreatedAt:         stampNaive(o.created),
		UpdatedAt:         stampNaive(o.updated),
	}
}

type organizationResponse struct {
	Organization    organizationModel `json:"organization"`
	MembershipCount int               `json:"membership_count"`
	ServiceCount    int               `json:"service_count"`
	Tier            *tier             `json:"tier"`
}

func (c *call) describeOrganization(o *organization) organizationResponse {
	return organizationResponse{newOrganizationModel(o), len(o.members), len(o.services), new(c.shown(o.tierOf(), stampNaive))}
}

// memberOf finds the organization of the path for a member of it. Existence
// comes first, so strangers can tell a 404 from a 403.
func (c *call) memberOf() (o *organization, role string, refused *response) {
	if o, refused = c.org(); refused != nil {
		return nil, "", refused
	}
	if role = o.members[c.user.ID]; role == "" {
		a := c.forbidden("Not a member of this organization")
		return nil, "", &a
	}
	return o, role, nil
}

// ownedOrg finds the organization of the path for an owner of it.
func (c *call) ownedOrg() (*organization, *response) {
	o, role, refused := c.memberOf()
	if refused == nil && role != "owner" {
		a := c.forbidden("Requires one of roles: owner")
		refused = &a
	}
	return o, refused
}

func (c *call) listOrganizations() response {
	page, limit, bad := c.page(20)
	if bad != nil {
		return *bad
	}
	query := c.r.URL.Query()
	list := []organizationResponse{}
	for _, o := range c.s.scene.allOrganizations() {
		if o.members[c.user.ID] != "" && (!query.Has("status") || query.Get("status") == o.status) {
			list = append(list, c.describeOrganization(o))
		}
	}
	return jsonResponse(http.StatusOK, pageOf(list, page, limit))
}

// maxOwned is how many organizations one user may own.
const maxOwned = 5

const slugAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789-_"

var reservedSlugs = []string{
	"api", "www", "mail", "ftp", "admin", "root", "support", "help", "docs", "blog", "news",
	"status", "health", "ping", "cdn", "assets", "static",
}

// createOrganization makes a pending organization, and a session in it beside the
// one that asked.
func (c *call) createOrganization() response {
	in, bad := decode[struct {
		Slug string `json:"slug"`
		Name string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if c.october() {
		return c.createForAnybody(in.Slug, in.Name)
	}
	if bad := c.checkSlug(in.Slug); bad != nil {
		return *bad
	}
	if bad := c.checkName(in.Name); bad != nil {
		return *bad
	}
	owned := 0
	for _, o := range c.s.scene.orgs {
		if o.ownerID == c.user.ID {
			owned++
		}
	}
	if owned >= maxOwned {
		return c.badRequest("You have reached the maximum number of organizations (" + strconv.Itoa(maxOwned) +
			") you can create. Please contact support if you need more.")
	}
	if c.s.scene.orgs[in.Slug] != nil {
		return c.taken("Unable to create organization with the provided information")
	}
	o := c.s.scene.addOrg(in.Slug, in.Name, "pending", c.user, c.now)
	tokens := c.s.openSession(c.user, o.slug, "", c.now)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Organization organizationModel `json:"organization"`
		Owner        userModel         `json:"owner"`
		Membership   membershipModel   `json:"membership"`
		AccessToken  string            `json:"access_token"`
		RefreshToken string            `json:"refresh_token"`
	}{newOrganizationModel(o), newUserModel(c.user), newMembershipModel(o, c.user.ID), tokens.AccessToken, tokens.RefreshToken})
}

// createForAnybody is how organizations came to be in October 2025: nobody had to sign
// in, and nobody was signed in by it.
func (c *call) createForAnybody(slug, name string) response {
	in, bad := decode[struct {
		OwnerEmail string `json:"owner_email"`
	}](c, plainJSON)
	if bad == nil {
		bad = c.checkSlug(slug)
	}
	if bad == nil {
		bad = c.checkName(name)
	}
	if bad == nil {
		bad = c.badAddress(in.OwnerEmail)
	}
	switch {
	case bad != nil:
		return *bad
	case c.s.scene.orgs[slug] != nil:
		return c.databaseError()
	}
	owner, _ := c.s.scene.addUser(in.OwnerEmail, "", c.now)
	o := c.s.scene.addOrg(slug, name, "pending", owner, c.now)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Organization organizationModel `json:"organization"`
		Owner        userModel         `json:"owner"`
		Membership   membershipModel   `json:"membership"`
	}{newOrganizationModel(o), newUserModel(owner), newMembershipModel(o, owner.ID)})
}

func (c *call) checkSlug(slug string) *response {
	var a response
	switch {
	case len(slug) < 3 || len(slug) > 50:
		a = c.invalid("slug", "OUT_OF_RANGE", "Slug must be between 3 and 50 characters")
	case c.october() && strings.Trim(strings.ToLower(slug), slugAlphabet) != "":
		a = c.badRequest("Slug can only contain alphanumeric characters, hyphens, and underscores")
	case !c.october() && strings.Trim(slug, slugAlphabet) != "":
		a = c.invalid("slug", "INVALID_FORMAT", "Slug can only contain lowercase alphanumeric characters, hyphens, and underscores")
	case slices.Contains(reservedSlugs, slug):
		a = c.invalid("slug", "INVALID_VALUE", "Slug is reserved")
	default:
		return nil
	}
	return &a
}

func (c *call) checkName(name string) *response {
	var a response
	switch {
	case len(name) < 2 || len(name) > 100:
		a = c.invalid("name", "OUT_OF_RANGE", "Name must be between 2 and 100 characters")
	case strings.TrimSpace(name) == "":
		a = c.invalid("name", "REQUIRED", "Name cannot be empty")
	default:
		return nil
	}
	return &a
}

func (c *call) getOrganization() response {
	o, _, refused := c.memberOf()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, c.describeOrganization(o))
}

func (c *call) updateOrganization() response {
	in, bad := decode[struct {
		Name *string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.settingsOrg()
	if refused != nil {
		return *refused
	}
	if in.Name != nil {
		if bad := c.checkName(*in.Name); bad != nil && !c.october() {
			return *bad
		}
		o.name = *in.Name
	}
	o.touch(c.now) // even by {}
	c.applied = true
	return jsonResponse(http.StatusOK, c.describeOrganization(o))
}

func (c *call) deleteOrganization() response {
	o, refused := c.ownedOrg()
	if refused != nil {
		return *refused
	}
	c.s.scene.deleteOrg(o)
	c.applied = true
	return null()
}

// selectOrganization opens a session in an organization beside the one that asked.
func (c *call) selectOrganization() response {
	o, refused := c.activeOrg()
	switch {
	case refused != nil:
		return *refused
	case o.members[c.user.ID] == "":
		return c.forbidden("You are not a member of this organization")
	}
	if refused := c.monthlyLimit(o); refused != nil {
		return *refused
	}
	tokens := c.s.openSession(c.user, o.slug, "", c.now)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Organization organizationModel `json:"organization"`
		Membership   membershipModel   `json:"membership"`
		tokenResponse
	}{newOrganizationModel(o), newMembershipModel(o, c.user.ID), tokens})
}
