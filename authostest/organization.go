package authostest

import (
	"net/http"
	"strings"
	"time"
)

func (t *table) organizationRoutes() {
	t.add("GET", "/api/organizations/:org_slug", bearer, (*call).getOrganization)
	t.add("PATCH", "/api/organizations/:org_slug", bearer, (*call).updateOrganization)
	t.add("DELETE", "/api/organizations/:org_slug", bearer, (*call).deleteOrganization)
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

type organizationAnswer struct {
	Organization    organizationModel `json:"organization"`
	MembershipCount int               `json:"membership_count"`
	ServiceCount    int               `json:"service_count"`
	Tier            *tier             `json:"tier"`
}

func (c *call) describeOrganization(o *organization) answer {
	return jsonAnswer(http.StatusOK, organizationAnswer{
		Organization: organizationModel{
			ID:          o.id,
			Slug:        o.slug,
			Name:        o.name,
			OwnerUserID: o.ownerID,
			Status:      o.status,
			TierID:      new(freeTier.ID),
			CreatedAt:   stampNaive(o.created),
			UpdatedAt:   stampNaive(o.updated),
		},
		MembershipCount: len(o.members),
		ServiceCount:    len(o.services),
		Tier:            new(freeTier.stamped(stampNaive)),
	})
}

// memberOf finds the organization of the path for a member of it. Existence
// comes first, so strangers can tell a 404 from a 403.
func (c *call) memberOf() (o *organization, role string, refused *answer) {
	if o = c.s.scene.orgs[c.params[0]]; o == nil {
		a := c.notFound("Organization not found")
		return nil, "", &a
	}
	if role = o.members[c.user.ID]; role == "" {
		a := c.forbidden("Not a member of this organization")
		return nil, "", &a
	}
	return o, role, nil
}

func (c *call) getOrganization() answer {
	o, _, refused := c.memberOf()
	if refused != nil {
		return *refused
	}
	return c.describeOrganization(o)
}

func (c *call) updateOrganization() answer {
	in, bad := decode[struct {
		Name *string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o := c.s.scene.orgs[c.params[0]]
	if o == nil {
		return c.notFound("Organization not found")
	}
	if role := o.members[c.user.ID]; role != "owner" && role != "admin" && !c.user.platformOwner {
		return c.forbidden("Insufficient permissions to manage organization settings")
	}
	if in.Name != nil {
		if n := len(*in.Name); n < 2 || n > 100 || strings.TrimSpace(*in.Name) == "" {
			return c.invalid("name", "OUT_OF_RANGE", "Organization name must be between 2 and 100 characters")
		}
		o.name = *in.Name
	}
	o.updated = c.now.Truncate(time.Microsecond) // touched even by {}
	c.applied = true
	return c.describeOrganization(o)
}

func (c *call) deleteOrganization() answer {
	o, role, refused := c.memberOf()
	switch {
	case refused != nil:
		return *refused
	case role != "owner":
		return c.forbidden("Requires one of roles: owner")
	}
	c.s.scene.deleteOrg(o)
	c.applied = true
	return typed(http.StatusOK, "application/json", []byte("null"))
}
