package authostest

import (
	"net/http"
	"slices"
	"time"
)

func (t *table) platformRoutes() {
	t.add("GET", "/api/platform/tiers", platformOwner, (*call).listTiers)
	t.add("GET", "/api/platform/audit-log", platformOwner, (*call).platformAuditLog)
	t.add("GET", "/api/platform/bootstrap/config", platformOwner, (*call).managedConfig)
	t.add("PATCH", "/api/platform/bootstrap/config", platformOwner, (*call).managedConfig)
	t.add("POST", "/api/platform/bootstrap/apply", platformOwner, (*call).managedConfig)
	t.platformOrganizationRoutes()
	t.platformUserRoutes()
	t.platformStatisticsRoutes()
}

// platformState is what the platform remembers beside its organizations and users.
type platformState struct {
	audits []platformAudit // oldest first
}

// outcome is the response of actions that succeed without an entity to show.
type outcome struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

type tier struct {
	ID                 string `json:"id"`
	Name               string `json:"name"`
	DisplayName        string `json:"display_name"`
	DefaultMaxServices int    `json:"default_max_services"`
	DefaultMaxUsers    int    `json:"default_max_users"`
	Features           string `json:"features"` // JSON, as text
	PriceCents         int    `json:"price_cents"`
	Currency           string `json:"currency"`
	CreatedAt          string `json:"created_at"`
}

// tiersCreated is when the tiers were seeded, long before anything else.
var tiersCreated = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

var (
	freeTier = tier{
		ID: "tier_free", Name: "free", DisplayName: "Free", DefaultMaxServices: 3, DefaultMaxUsers: 5,
		Features: `[]`, Currency: "usd",
	}
	enterpriseTier = tier{
		ID: "tier_enterprise", Name: "enterprise", DisplayName: "Enterprise", DefaultMaxServices: 1000, DefaultMaxUsers: 1000,
		Features: `["saml","scim","siem"]`, PriceCents: 49900, Currency: "usd",
	}
)

// tiers are all there are, by price.
var tiers = []tier{freeTier, enterpriseTier}

// findTier returns a tier by id, or nil.
func findTier(id string) *tier {
	if i := slices.IndexFunc(tiers, func(t tier) bool { return t.ID == id }); i >= 0 {
		return &tiers[i]
	}
	return nil
}

// stamped is the tier with its time in the format of the route that shows it.
func (t tier) stamped(format func(time.Time) string) tier {
	t.CreatedAt = format(tiersCreated)
	return t
}

func (c *call) listTiers() response {
	list := make([]tier, len(tiers))
	for i, t := range tiers {
		list[i] = t.stamped(stampZ)
	}
	return jsonResponse(http.StatusOK, list)
}

type platformAudit struct {
	ID              string  `json:"id"`
	PlatformOwnerID string  `json:"platform_owner_id"`
	Action          string  `json:"action"`
	TargetType      string  `json:"target_type"`
	TargetID        string  `json:"target_id"`
	Metadata        *string `json:"metadata"` // JSON, as text
	CreatedAt       string  `json:"created_at"`
}

// audit puts an action of the platform on record.
func (c *call) auditPlatform(action, targetType, targetID string, details map[string]any) {
	entry := platformAudit{
		ID: newID(), PlatformOwnerID: c.user.ID, Action: action, TargetType: targetType, TargetID: targetID,
		CreatedAt: stampZ(c.now.Truncate(time.Microsecond)),
	}
	if details != nil {
		entry.Metadata = new(string(encode(details)))
	}
	c.s.scene.platform.audits = append(c.s.scene.platform.audits, entry)
}

func (c *call) platformAuditLog() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	query := c.r.URL.Query()
	matches := func(name, value string) bool { return !query.Has(name) || query.Get(name) == value }
	list := []platformAudit{} // newest first
	for _, entry := range slices.Backward(c.s.scene.platform.audits) {
		if matches("action", entry.Action) && matches("target_type", entry.TargetType) && matches("target_id", entry.TargetID) {
			list = append(list, entry)
		}
	}
	return jsonResponse(http.StatusOK, struct {
		Logs  []platformAudit `json:"logs"`
		Total int             `json:"total"`
	}{slice(list, limit, offset), len(list)})
}

// managedConfig exists on servers that the standalone installer set up.
func (c *call) managedConfig() response {
	return c.notFound("Managed config is not enabled")
}
