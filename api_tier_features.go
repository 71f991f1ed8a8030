package authos

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// TierFeatures are what a tier includes. Two generations of the server say it in different words;
// what one of them does not say is nil or empty, which is not the same as no.
type TierFeatures struct { //nolint:recvcheck // a copy marshals too
	// What newer servers say.
	AllowCustomDomain *bool `json:"allow_custom_domain,omitempty"`
	AllowSAMLIdP      *bool `json:"allow_saml_idp,omitempty"`
	AllowSCIM         *bool `json:"allow_scim,omitempty"`
	AllowSIEM         *bool `json:"allow_siem,omitempty"`
	AllowBranding     *bool `json:"allow_branding,omitempty"`
	AllowPasskeys     *bool `json:"allow_passkeys,omitempty"`
	// MaxMAU is how many users may sign in during a month; AllowOverage: more may, at a price.
	MaxMAU       *int64 `json:"max_mau,omitempty"`
	AllowOverage *bool  `json:"allow_overage,omitempty"`
	// AllowedSocialProviders are names such as github, google and microsoft. Both generations say
	// it; that of October 2025 calls it sso_providers. Empty but not nil: none.
	AllowedSocialProviders []string `json:"allowed_social_providers,omitzero"`
	// What servers of October 2025 say: whether there is a service API, and how one is helped, such
	// as "community".
	APIAccess *bool  `json:"api_access,omitempty"`
	Support   string `json:"support,omitempty"`
	// Raw is the JSON as the server has it, without the string it comes in: what is in it and not
	// above belongs to a newer server. Nil when there is none. Marshalling writes Raw alone.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads an object, also one inside a string, as the server sends it. A member of a
// type that is not the one above is left to Raw, and so is JSON that is no object: what a tier
// includes must not keep an organization from being read. Null and "" are none.
func (f *TierFeatures) UnmarshalJSON(b []byte) error {
	*f = TierFeatures{}
	text, err := jsonText(b)
	if err != nil || text == nil {
		return err
	}
	if !json.Valid(text) {
		return fmt.Errorf("authos: tier features: %d bytes that are not JSON", len(text))
	}
	f.Raw = bytes.Clone(text)
	for name, value := range parseObject(text) {
		f.read(name, value)
	}
	return nil
}

func (f *TierFeatures) read(name string, value json.RawMessage) {
	var into any
	switch name {
	case "allow_custom_domain":
		into = &f.AllowCustomDomain
	case "allow_saml_idp":
		into = &f.AllowSAMLIdP
	case "allow_scim":
		into = &f.AllowSCIM
	case "allow_siem":
		into = &f.AllowSIEM
	case "allow_branding":
		into = &f.AllowBranding
	case "allow_passkeys":
		into = &f.AllowPasskeys
	case "max_mau":
		into = &f.MaxMAU
	case "allow_overage":
		into = &f.AllowOverage
	case "allowed_social_providers", "sso_providers":
		into = &f.AllowedSocialProviders
	case "api_access":
		into = &f.APIAccess
	case "support":
		into = &f.Support
	default:
		return
	}
	_ = json.Unmarshal(value, into) // what is of another type is in Raw
}

// MarshalJSON writes Raw where there is any, else the fields.
func (f TierFeatures) MarshalJSON() ([]byte, error) {
	if f.Raw != nil {
		return f.Raw, nil
	}
	type fields TierFeatures // without this method
	return json.Marshal(fields(f))
}
