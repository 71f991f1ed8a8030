package authostest

import (
	"net/http"
	"time"
)

func (t *table) platformRoutes() {
	t.add("GET", "/api/platform/tiers", platformOwner, (*call).listTiers)
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

// stamped is the tier with its time in the format of the route that shows it.
func (t tier) stamped(format func(time.Time) string) tier {
	t.CreatedAt = format(tiersCreated)
	return t
}

func (c *call) listTiers() answer {
	return jsonAnswer(http.StatusOK, []tier{freeTier.stamped(stampZ), enterpriseTier.stamped(stampZ)})
}
