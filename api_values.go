package authos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
)

// Optional is a field of a request for which the server tells three things apart: left as it is
// (the zero Optional), cleared ([Null]) and set ([Some]).
type Optional[T any] struct {
	value T
	given bool
	null  bool
}

// Some sets a field.
func Some[T any](value T) Optional[T] { return Optional[T]{value: value, given: true} }

// Null clears a field.
func Null[T any]() Optional[T] { return Optional[T]{given: true, null: true} }

// IsZero says that the field stays as it is; with "omitzero" it is then not sent.
func (o Optional[T]) IsZero() bool { return !o.given }

// Get returns the value to set; ok is false when the field is left as it is, or cleared.
func (o Optional[T]) Get() (value T, ok bool) { return o.value, o.given && !o.null }

// MarshalJSON writes null unless there is a value.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.given || o.null {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// jsonText undoes the server's habit of sending JSON as text inside a string. Null and the empty
// text are nil; JSON that is not in a string is as it came.
func jsonText(b []byte) ([]byte, error) {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return nil, err
		}
		b = bytes.TrimSpace([]byte(text))
	}
	if len(b) == 0 || bytes.Equal(b, []byte("null")) {
		return nil, nil
	}
	return b, nil
}

// Features are the names of what a plan includes. The server sends them as a JSON array, in some
// responses as text inside a string; both are read. A tier has [TierFeatures].
type Features []string

// UnmarshalJSON reads a JSON array, also one inside a string. Null and "" are nil.
func (f *Features) UnmarshalJSON(b []byte) error {
	b, err := jsonText(b)
	if err != nil || b == nil {
		*f = nil
		return err
	}
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return fmt.Errorf("authos: features: %w", err)
	}
	*f = names
	return nil
}

// Metadata is JSON of any shape that an audit record carries. The server sends it as it is or as
// text inside a string; here it is always the JSON itself, nil when there is none. A text that is
// not JSON stays a JSON string.
type Metadata json.RawMessage

// UnmarshalJSON keeps the JSON, also when it comes inside a string.
func (m *Metadata) UnmarshalJSON(b []byte) error {
	inner, err := jsonText(b)
	if err != nil {
		return err
	}
	if inner != nil && !json.Valid(inner) {
		inner = b
	}
	*m = bytes.Clone(inner)
	return nil
}

// MarshalJSON writes the JSON, or null.
func (m Metadata) MarshalJSON() ([]byte, error) { return json.RawMessage(m).MarshalJSON() }

// Decode reads the metadata into v. Without any, v stays as it is.
func (m Metadata) Decode(v any) error {
	if len(m) == 0 {
		return nil
	}
	if err := json.Unmarshal(m, v); err != nil {
		return fmt.Errorf("authos: metadata: %w", err)
	}
	return nil
}

// FeatureOverrides are an organization's features where they differ from its tier's. Nil fields do
// not.
type FeatureOverrides struct {
	AllowCustomDomain *bool `json:"allow_custom_domain,omitzero"`
	AllowSAMLIdP      *bool `json:"allow_saml_idp,omitzero"`
	AllowSCIM         *bool `json:"allow_scim,omitzero"`
	AllowSIEM         *bool `json:"allow_siem,omitzero"`
	AllowBranding     *bool `json:"allow_branding,omitzero"`
	AllowPasskeys     *bool `json:"allow_passkeys,omitzero"`
	// AllowedSocialProviders are names such as github, google and microsoft. Empty but not nil:
	// none.
	AllowedSocialProviders []string `json:"allowed_social_providers,omitzero"`
	// MaxMAU is how many users may sign in during a month.
	MaxMAU *int64 `json:"max_mau,omitzero"`
	// AllowOverage: more may, at a price.
	AllowOverage *bool `json:"allow_overage,omitzero"`
}

// UnmarshalJSON reads an object, also one inside a string, as the server sends it. Null and "" are
// no overrides.
func (o *FeatureOverrides) UnmarshalJSON(b []byte) error {
	b, err := jsonText(b)
	if err != nil || b == nil {
		*o = FeatureOverrides{}
		return err
	}
	type fields FeatureOverrides // without this method
	var in struct {
		fields
		// The server takes these other names too, and keeps what it was given.
		AllowSAML            *bool `json:"allow_saml"`
		AllowSIEMIntegration *bool `json:"allow_siem_integration"`
		AllowCustomBranding  *bool `json:"allow_custom_branding"`
	}
	if err := decodeJSON(b, &in); err != nil {
		return fmt.Errorf("authos: feature overrides: %w", err)
	}
	*o = FeatureOverrides(in.fields)
	o.AllowSAMLIdP = cmp.Or(o.AllowSAMLIdP, in.AllowSAML)
	o.AllowSIEM = cmp.Or(o.AllowSIEM, in.AllowSIEMIntegration)
	o.AllowBranding = cmp.Or(o.AllowBranding, in.AllowCustomBranding)
	return nil
}
