package authos

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
)

// BrandingService is how an organization's hosted pages look.
type BrandingService struct{ c *Client }

// Branding is an organization's logo and color; what it has not set is empty.
type Branding struct {
	LogoURL      string `json:"logo_url"`
	PrimaryColor string `json:"primary_color"`
}

// BrandingUpdateParams are an organization's logo and color. Both are set: an empty field takes
// away what was there.
type BrandingUpdateParams struct {
	LogoURL string
	// PrimaryColor is "#" and three or six hexadecimal digits.
	PrimaryColor string
}

// orNull is a text that both sides write as null when it is empty. In a response it has to be
// there, be it as null.
type orNull struct {
	text  string
	given bool
}

// UnmarshalJSON reads a text or null.
func (o *orNull) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.text) // null leaves it empty
}

// MarshalJSON writes the text, or null for an empty one.
func (o orNull) MarshalJSON() ([]byte, error) {
	if o.text == "" {
		return []byte("null"), nil
	}
	return json.Marshal(o.text)
}

type brandingBody struct {
	LogoURL      orNull `json:"logo_url"`
	PrimaryColor orNull `json:"primary_color"`
}

func (b *brandingBody) missing() string {
	switch {
	case !b.LogoURL.given:
		return "logo_url"
	case !b.PrimaryColor.given:
		return "primary_color"
	}
	return ""
}

func (b *brandingBody) branding() *Branding {
	return &Branding{LogoURL: b.LogoURL.text, PrimaryColor: b.PrimaryColor.text}
}

// hexColor is the server's rule for colors.
var hexColor = regexp.MustCompile(`^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$`)

// Get returns an organization's branding. GET /api/organizations/:org_slug/branding; bearer,
// members and platform owners; may be repeated; cached for the stale fallback.
func (s *BrandingService) Get(ctx context.Context, orgSlug string, opts ...RequestOption) (*Branding, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[brandingBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/branding", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.branding(), nil
}

// Public returns an organization's branding to anybody, for pages that are shown before the
// sign-in. GET /api/organizations/:org_slug/branding/public; public; may be repeated; cached for
// the stale fallback.
func (s *BrandingService) Public(ctx context.Context, orgSlug string, opts ...RequestOption) (*Branding, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[brandingBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/branding/public", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.branding(), nil
}

// Update sets an organization's logo and color, both at once, and returns them: although the route
// is a PATCH, the server clears what it is not given. PATCH /api/organizations/:org_slug/branding;
// bearer, capability org.settings.manage or platform owner; may be repeated. 403
// [CodeFeatureNotAvailableInTier] means that the organization's tier has no branding.
func (s *BrandingService) Update(
	ctx context.Context, orgSlug string, p BrandingUpdateParams, opts ...RequestOption,
) (*Branding, error) {
	var in checks
	in.id("org_slug", orgSlug)
	if p.PrimaryColor != "" && !hexColor.MatchString(p.PrimaryColor) {
		in.add("primary_color", CodeInvalidFormat, `must be "#" and 3 or 6 hexadecimal digits`)
	}
	set := brandingBody{LogoURL: orNull{text: p.LogoURL}, PrimaryColor: orNull{text: p.PrimaryColor}}
	body, err := invoke[brandingBody](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/organizations/:org_slug/branding", args: []string{orgSlug}, body: set, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.branding(), nil
}
