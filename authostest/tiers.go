package authostest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

type tier struct {
	ID                 string `json:"id"`
	Name               string `json:"name"`
	DisplayName        string `json:"display_name"`
	DefaultMaxServices int    `json:"default_max_services"`
	DefaultMaxUsers    int    `json:"default_max_users"`
	Features           string `json:"features"` // a JSON object, as text
	PriceCents         int    `json:"price_cents"`
	Currency           string `json:"currency"`
	CreatedAt          string `json:"created_at"`

	october string // the features as they were in October 2025
}

// tierFeatures is what a tier includes, in the words of the newest server.
type tierFeatures struct {
	CustomDomain    bool     `json:"allow_custom_domain"`
	SAML            bool     `json:"allow_saml_idp"`
	SCIM            bool     `json:"allow_scim"`
	SIEM            bool     `json:"allow_siem"`
	Branding        bool     `json:"allow_branding"`
	Passkeys        bool     `json:"allow_passkeys"`
	SocialProviders []string `json:"allowed_social_providers"`
	MaxMAU          int      `json:"max_mau"`
	Overage         bool     `json:"allow_overage"`
}

// tiersCreated is when the tiers were seeded, long before anything else.
var tiersCreated = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// tiers are all there are, by price. The limits of the free one were seen on a
// server; the numbers of the others are this package's own.
var tiers = []tier{
	{
		ID: "tier_free", Name: "free", DisplayName: "Free", DefaultMaxServices: 2, DefaultMaxUsers: 3, Currency: "usd",
		Features: features(tierFeatures{Passkeys: true, SocialProviders: []string{"github", "google", "microsoft"}}),
		october:  `{"sso_providers": ["github"], "api_access": false, "support": "community"}`,
	},
	{
		ID: "tier_starter", Name: "starter", DisplayName: "Starter", DefaultMaxServices: 5, DefaultMaxUsers: 10, PriceCents: 2900, Currency: "usd",
		Features: features(tierFeatures{
			Passkeys: true, SocialProviders: []string{"github", "google", "microsoft"},
		}),
		october: `{"sso_providers": ["github", "google"], "api_access": true, "support": "email"}`,
	},
	{
		ID: "tier_pro", Name: "pro", DisplayName: "Pro", DefaultMaxServices: 20, DefaultMaxUsers: 50, PriceCents: 9900, Currency: "usd",
		Features: features(tierFeatures{
			Passkeys: true, Branding: true, CustomDomain: true, SocialProviders: []string{"github", "google", "microsoft"},
			Overage: true,
		}),
		october: `{"sso_providers": ["github", "google", "microsoft"], "api_access": true, "support": "priority"}`,
	},
	{
		ID: "tier_enterprise", Name: "enterprise", DisplayName: "Enterprise", DefaultMaxServices: 1000, DefaultMaxUsers: 1000,
		PriceCents: 49900, Currency: "usd",
		Features: features(tierFeatures{
			Passkeys: true, Branding: true, CustomDomain: true, SAML: true, SCIM: true, SIEM: true,
			SocialProviders: []string{"github", "google", "microsoft"}, Overage: true,
		}),
		october: `{"sso_providers": ["github", "google", "microsoft"], "api_access": true, "support": "dedicated"}`,
	},
}

var freeTier = tiers[0]

func features(f tierFeatures) string { return string(encode(f)) }

// includes reports whether a tier includes a feature that is on or off.
func (t tier) includes(name string) bool {
	var on map[string]any
	_ = json.Unmarshal([]byte(t.Features), &on) // our own text
	included, _ := on[name].(bool)
	return included
}

// findTier returns a tier by id, or nil.
func findTier(id string) *tier {
	if i := slices.IndexFunc(tiers, func(t tier) bool { return t.ID == id }); i >= 0 {
		return &tiers[i]
	}
	return nil
}

// shown is a tier as the server writes it, with its time in the format of the route.
func (c *call) shown(t tier, format func(time.Time) string) tier {
	t.CreatedAt = format(tiersCreated)
	if c.october() {
		t.Features = t.october
	}
	return t
}

func (c *call) listTiers() response {
	list := make([]tier, len(tiers))
	for i, t := range tiers {
		list[i] = c.shown(t, stampZ)
	}
	return jsonResponse(http.StatusOK, list)
}
