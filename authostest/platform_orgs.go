package authostest

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) platformOrganizationRoutes() {
	t.add("GET", "/api/platform/organizations", platformOwner, (*call).platformOrganizations)
	t.add("DELETE", "/api/platform/organizations/:id", platformOwner, (*call).platformDelete)
	t.add("POST", "/api/platform/organizations/:id/approve", platformOwner, (*call).approve)
	t.add("POST", "/api/platform/organizations/:id/reject", platformOwner, (*call).reject)
	t.add("POST", "/api/platform/organizations/:id/suspend", platformOwner, (*call).suspend)
	t.add("POST", "/api/platform/organizations/:id/activate", platformOwner, (*call).activate)
	t.add("PATCH", "/api/platform/organizations/:id/tier", platformOwner, (*call).setTier)
	t.add("PATCH", "/api/platform/organizations/:id/features", platformOwner, (*call).setFeatures)
}

// decision is what the platform has decided about an organization.
type decision struct {
	tierID                string // empty for the free one
	maxServices, maxUsers *int   // in place of the tier's
	approvedBy            string // user id
	approvedAt            time.Time
	rejectedBy            string // user id
	rejectedAt            time.Time
	rejectionReason       string
	overrides             map[string]any // feature overrides
}

// tierOf is the tier of an organization.
func (o *organization) tierOf() tier {
	if t := findTier(o.tierID); t != nil {
		return *t
	}
	return freeTier
}

// serviceLimit is how many services an organization may have.
func (o *organization) serviceLimit() int {
	if o.maxServices != nil {
		return *o.maxServices
	}
	return o.tierOf().DefaultMaxServices
}

// seatLimit is how many members an organization may have.
func (o *organization) seatLimit() int {
	if o.maxUsers != nil {
		return *o.maxUsers
	}
	return o.tierOf().DefaultMaxUsers
}

// featureOverrides is JSON as text, nil when there are none.
func (o *organization) featureOverrides() *string {
	if o.overrides == nil {
		return nil
	}
	return new(string(encode(o.overrides)))
}

// stamped is a time that may be missing, in a route's format.
func stamped(t time.Time, format func(time.Time) string) *string {
	if t.IsZero() {
		return nil
	}
	return new(format(t))
}

// platformOrganization is the platform's view: the fields of the tenant's, in the
// same order, but with zones in the times and with the domain's token.
type platformOrganization struct {
	ID                      string  `json:"id"`
	Slug                    string  `json:"slug"`
	Name                    string  `json:"name"`
	OwnerUserID             string  `json:"owner_user_id"`
	Status                  string  `json:"status"`
	TierID                  *string `json:"tier_id"`
	MaxServices             *int    `json:"max_services"`
	MaxUsers                *int    `json:"max_users"`
	ApprovedBy              *string `json:"approved_by"`
	ApprovedAt              *string `json:"approved_at"`
	RejectedBy              *string `json:"rejected_by"`
	RejectedAt              *string `json:"rejected_at"`
	RejectionReason         *string `json:"rejection_reason"`
	CustomDomain            *string `json:"custom_domain"`
	DomainVerified          bool    `json:"domain_verified"`
	DomainVerificationToken *string `json:"domain_verification_token"`
	BrandLogoURL            *string `json:"brand_logo_url"`
	BrandPrimaryColor       *string `json:"brand_primary_color"`
	FeatureOverrides        *string `json:"feature_overrides"`
	CreatedAt               string  `json:"created_at"`
	UpdatedAt               string  `json:"updated_at"`
}

func newPlatformOrganization(o *organization) platformOrganization {
	return platformOrganization{
		ID:                      o.id,
		Slug:                    o.slug,
		Name:                    o.name,
		OwnerUserID:             o.ownerID,
		Status:                  o.status,
		TierID:                  new(o.tierOf().ID),
		MaxServices:             o.maxServices,
		MaxUsers:                o.maxUsers,
		ApprovedBy:              optional(o.approvedBy),
		ApprovedAt:              stamped(o.approvedAt, stampZ),
		RejectedBy:              optional(o.rejectedBy),
		RejectedAt:              stamped(o.rejectedAt, stampZ),
		RejectionReason:         optional(o.rejectionReason),
		CustomDomain:            optional(o.domain.name),
		DomainVerified:          o.domain.verified,
		DomainVerificationToken: optional(o.domain.token),
		BrandLogoURL:            o.brand.LogoURL,
		BrandPrimaryColor:       o.brand.PrimaryColor,
		FeatureOverrides:        o.featureOverrides(),
		CreatedAt:               stampZ(o.created),
		UpdatedAt:               stampZ(o.updated),
	}
}

// allOrganizations lists them oldest first.
func (sc *scene) allOrganizations() []*organization {
	return slices.SortedFunc(maps.Values(sc.orgs), func(a, b *organization) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.slug, b.slug))
	})
}

func (c *call) platformOrganizations() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	query := c.r.URL.Query()
	matching := slices.DeleteFunc(c.s.scene.allOrganizations(), func(o *organization) bool {
		return query.Has("status") && o.status != query.Get("status") || query.Has("tier_id") && o.tierOf().ID != query.Get("tier_id")
	})
	slices.Reverse(matching) // newest first
	type row struct {
		platformOrganization

		Tier  tier         `json:"tier"`
		Owner platformUser `json:"owner"`
	}
	rows := []row{}
	for _, o := range slice(matching, limit, offset) {
		owner := platformUser{ID: "unknown", Email: "deleted-user@unknown", CreatedAt: stampZ(time.Unix(0, 0))}
		if u := c.s.scene.users[o.ownerID]; u != nil {
			owner = newPlatformUser(u)
		}
		rows = append(rows, row{newPlatformOrganization(o), c.shown(o.tierOf(), stampZ), owner})
	}
	return jsonResponse(http.StatusOK, struct {
		Organizations []row `json:"organizations"`
		Total         int   `json:"total"`
	}{rows, len(matching)})
}

// organizationByID finds the organization of the path, which here is an id.
func (c *call) organizationByID() (*organization, *response) {
	for _, o := range c.s.scene.orgs {
		if o.id == c.params[0] {
			return o, nil
		}
	}
	a := c.notFound("Organization not found")
	return nil, &a
}

// decide makes a decision about the organization of the path, if its status allows
// it, and puts it on record.
func (c *call) decide(allowed bool, refusal string, o *organization, action string, details map[string]any, change func()) response {
	if !allowed {
		return c.badRequest(refusal)
	}
	change()
	o.updated = c.now.Truncate(time.Microsecond)
	c.auditPlatform(action, "organization", o.id, details)
	c.applied = true
	return jsonResponse(http.StatusOK, newPlatformOrganization(o))
}

// approve wants a body although nothing in it is required.
func (c *call) approve() response {
	in, bad := decode[struct {
		TierID *string `json:"tier_id"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	id := freeTier.ID
	if in.TierID != nil {
		id = *in.TierID
	}
	if o.status == "pending" && findTier(id) == nil {
		return c.notFound("Organization tier not found")
	}
	return c.decide(o.status == "pending", "Organization is not in pending status", o, "approve_organization",
		map[string]any{"old_status": o.status, "new_status": "active", "tier_id": id}, func() {
			o.status, o.tierID, o.approvedBy, o.approvedAt = "active", id, c.user.ID, c.now.Truncate(time.Microsecond)
		})
}

func (c *call) reject() response {
	in, bad := decode[struct {
		Reason string `json:"reason"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	return c.decide(o.status == "pending", "Organization is not in pending status", o, "reject_organization",
		map[string]any{"old_status": o.status, "new_status": "rejected", "reason": in.Reason}, func() {
			o.status, o.rejectedBy, o.rejectedAt = "rejected", c.user.ID, c.now.Truncate(time.Microsecond)
			o.rejectionReason = in.Reason
		})
}

func (c *call) suspend() response {
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	return c.decide(o.status != "suspended", "Organization is already suspended", o, "suspend_organization",
		map[string]any{"old_status": o.status, "new_status": "suspended"}, func() { o.status = "suspended" })
}

func (c *call) activate() response {
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	return c.decide(o.status == "suspended", "Organization is not suspended", o, "activate_organization",
		map[string]any{"old_status": o.status, "new_status": "active"}, func() { o.status = "active" })
}

// setTier resets a limit that the request leaves out.
func (c *call) setTier() response {
	in, bad := decode[struct {
		TierID      string `json:"tier_id"`
		MaxServices *int   `json:"max_services"`
		MaxUsers    *int   `json:"max_users"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	for field, n := range map[string]*int{"max_services": in.MaxServices, "max_users": in.MaxUsers} {
		switch {
		case n == nil:
		case *n < 0:
			return c.invalid(field, "OUT_OF_RANGE", field+" must be non-negative")
		case *n > math.MaxInt32:
			return c.invalid(field, "OUT_OF_RANGE", field+" exceeds the supported range")
		}
	}
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	if findTier(in.TierID) == nil {
		return c.notFound("Organization tier not found")
	}
	return c.decide(true, "", o, "update_organization_tier",
		map[string]any{"old_tier_id": o.tierOf().ID, "new_tier_id": in.TierID}, func() {
			o.tierID, o.maxServices, o.maxUsers = in.TierID, in.MaxServices, in.MaxUsers
		})
}

// featureNames maps the names that the input may use to those that are stored.
var featureNames = map[string]string{
	"allow_custom_domain": "allow_custom_domain", "allow_saml_idp": "allow_saml_idp", "allow_saml": "allow_saml_idp",
	"allow_scim": "allow_scim", "allow_siem": "allow_siem", "allow_siem_integration": "allow_siem",
	"allow_branding": "allow_branding", "allow_custom_branding": "allow_branding", "allow_passkeys": "allow_passkeys",
	"allowed_social_providers": "allowed_social_providers", "max_mau": "max_mau", "allow_overage": "allow_overage",
}

// setFeatures merges into what was overridden before.
func (c *call) setFeatures() response {
	_, bad := decode[struct {
		AllowCustomDomain      *bool     `json:"allow_custom_domain"`
		AllowSAMLIDP           *bool     `json:"allow_saml_idp"`
		AllowSAML              *bool     `json:"allow_saml"`
		AllowSCIM              *bool     `json:"allow_scim"`
		AllowSIEM              *bool     `json:"allow_siem"`
		AllowSIEMIntegration   *bool     `json:"allow_siem_integration"`
		AllowBranding          *bool     `json:"allow_branding"`
		AllowCustomBranding    *bool     `json:"allow_custom_branding"`
		AllowPasskeys          *bool     `json:"allow_passkeys"`
		AllowedSocialProviders *[]string `json:"allowed_social_providers"`
		MaxMAU                 *int      `json:"max_mau"`
		AllowOverage           *bool     `json:"allow_overage"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	var given map[string]any
	_ = json.Unmarshal(c.body, &given) // decode has seen that it is an object
	return c.decide(true, "", o, "update_organization_features", given, func() {
		if o.overrides == nil {
			o.overrides = map[string]any{}
		}
		for name, value := range given {
			if stored, known := featureNames[name]; known && value != nil {
				o.overrides[stored] = value
			}
		}
	})
}

func (c *call) platformDelete() response {
	o, missing := c.organizationByID()
	if missing != nil {
		return *missing
	}
	c.s.scene.deleteOrg(o)
	c.auditPlatform("delete_organization", "organization", o.id, map[string]any{"slug": o.slug})
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "Organization deleted successfully"})
}
