package authos

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
)

// UpstreamProvidersService are an organization's own identity providers, through which its users
// sign in. It is for bearers with the capability integrations.manage, and asks for an active
// organization; others get 403 FORBIDDEN.
type UpstreamProvidersService struct{ c *Client }

// UpstreamProviderType is what an identity provider speaks. Other values than those named here are
// kept as the server sent them.
type UpstreamProviderType string

// What identity providers speak.
const (
	UpstreamOIDC   UpstreamProviderType = "oidc"
	UpstreamOAuth2 UpstreamProviderType = "oauth2"
	UpstreamSAML   UpstreamProviderType = "saml"
)

// UpstreamProvider is an identity provider of an organization. Its client secret is never shown.
type UpstreamProvider struct {
	ID string `json:"id"`
	// ConnectionID names it in [LoginURLParams], [EmailLookup] and permissions of API keys.
	ConnectionID string               `json:"connection_id"`
	Name         string               `json:"name"`
	ProviderType UpstreamProviderType `json:"provider_type"`
	ClientID     string               `json:"client_id"`
	// Issuer and AuthorizationURL are empty where there is none.
	Issuer           string `json:"issuer"`
	AuthorizationURL string `json:"authorization_url"`
	Enabled          bool   `json:"enabled"`
	CreatedAt        Time   `json:"created_at"`
}

func (p *UpstreamProvider) missing() string { return missingID(p.ID) }

// UpstreamProviderCreateParams are a new identity provider.
type UpstreamProviderCreateParams struct { //nolint:recvcheck // a copy must not print the secret either
	ConnectionID string               `json:"connection_id"`
	Name         string               `json:"name"`
	ProviderType UpstreamProviderType `json:"provider_type"`
	ClientID     string               `json:"client_id"`
	// ClientSecret is needed for OpenID Connect and OAuth 2.
	ClientSecret string `json:"-"` // sent, but not marshaled: params end up in logs
	Issuer       string `json:"issuer,omitempty"`
	// DiscoveryURL says the three URLs that follow it, which are needed without; SAML needs
	// AuthorizationURL. All are https.
	DiscoveryURL     string `json:"discovery_url,omitempty"`
	AuthorizationURL string `json:"authorization_url,omitempty"`
	TokenURL         string `json:"token_url,omitempty"`
	UserinfoURL      string `json:"userinfo_url,omitempty"`
	Scopes           string `json:"scopes,omitempty"` // separated by blanks
	// Metadata is JSON of any shape that the server keeps with it; nil: none.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// Enabled is the server's default when it is nil.
	Enabled *bool `json:"enabled,omitzero"`
}

// Format implements [fmt.Formatter] for every verb: the client secret does not print.
func (p UpstreamProviderCreateParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "UpstreamProviderCreateParams(%s, %s, secret %s)", p.ConnectionID, p.ProviderType, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the client secret out.
func (p UpstreamProviderCreateParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *UpstreamProviderCreateParams) UnmarshalJSON(b []byte) error {
	type fields UpstreamProviderCreateParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"client_secret": &p.ClientSecret})
}

type upstreamCreateBody struct {
	UpstreamProviderCreateParams
	ClientSecret string `json:"client_secret,omitempty"`
}

// UpstreamProviderUpdateParams are the changes of [UpstreamProvidersService.Update]; nil fields
// stay as they are. Nothing else can be changed.
type UpstreamProviderUpdateParams struct {
	Name    *string `json:"name,omitzero"`
	Enabled *bool   `json:"enabled,omitzero"`
}

const (
	upstreamProvidersPath = "/api/organizations/:org_slug/upstream-providers"
	upstreamProviderPath  = "/api/organizations/:org_slug/upstream-providers/:provider_id"
)

func (p *UpstreamProviderCreateParams) check(in *checks) {
	in.required("connection_id", p.ConnectionID)
	in.required("name", p.Name)
	in.oneOf("provider_type", string(p.ProviderType), string(UpstreamOIDC), string(UpstreamOAuth2), string(UpstreamSAML))
	in.required("client_id", p.ClientID)
	switch p.ProviderType {
	case UpstreamOIDC, UpstreamOAuth2:
		in.required("client_secret", p.ClientSecret)
		if p.DiscoveryURL == "" && (p.AuthorizationURL == "" || p.TokenURL == "" || p.UserinfoURL == "") {
			*in = append(*in, FieldError{
				Fields: []string{"discovery_url", "authorization_url", "token_url", "userinfo_url"}, Code: CodeRequired,
				Message: "the first, or the three others, must be given",
			})
		}
	case UpstreamSAML:
		in.required("authorization_url", p.AuthorizationURL)
	}
}

// List returns all identity providers of an organization. GET
// /api/organizations/:org_slug/upstream-providers; bearer, capability integrations.manage; may be
// repeated; never stale.
func (s *UpstreamProvidersService) List(ctx context.Context, orgSlug string, opts ...RequestOption) ([]UpstreamProvider, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[UpstreamProvider, *UpstreamProvider]](ctx, s.c, request{
		method: http.MethodGet, template: upstreamProvidersPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same identity providers. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *UpstreamProvidersService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[UpstreamProvider, error] {
	return unpaged(func() ([]UpstreamProvider, error) { return s.List(ctx, orgSlug, opts...) })
}

// Create adds an identity provider. POST /api/organizations/:org_slug/upstream-providers; bearer,
// capability integrations.manage; not repeated when its outcome is unknown. Some servers return
// their default of Enabled instead of what was sent: read back.
func (s *UpstreamProvidersService) Create(
	ctx context.Context, orgSlug string, p UpstreamProviderCreateParams, opts ...RequestOption,
) (*UpstreamProvider, error) {
	var in checks
	in.id("org_slug", orgSlug)
	p.check(&in)
	return invoke[UpstreamProvider](ctx, s.c, request{
		method: http.MethodPost, template: upstreamProvidersPath,
		args: []string{orgSlug}, body: upstreamCreateBody{p, p.ClientSecret}, checks: in,
	}, opts)
}

// Get returns an identity provider. GET
// /api/organizations/:org_slug/upstream-providers/:provider_id; bearer, capability
// integrations.manage; may be repeated; never stale.
func (s *UpstreamProvidersService) Get(ctx context.Context, orgSlug, providerID string, opts ...RequestOption) (*UpstreamProvider, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("provider_id", providerID)
	return invoke[UpstreamProvider](ctx, s.c, request{
		method: http.MethodGet, template: upstreamProviderPath, args: []string{orgSlug, providerID}, checks: in,
	}, opts)
}

// Update renames an identity provider, or turns it on or off. PATCH
// /api/organizations/:org_slug/upstream-providers/:provider_id; bearer, capability
// integrations.manage; may be repeated.
func (s *UpstreamProvidersService) Update(
	ctx context.Context, orgSlug, providerID string, p UpstreamProviderUpdateParams, opts ...RequestOption,
) (*UpstreamProvider, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("provider_id", providerID)
	return invoke[UpstreamProvider](ctx, s.c, request{
		method: http.MethodPatch, template: upstreamProviderPath, args: []string{orgSlug, providerID}, body: p, checks: in,
	}, opts)
}

// Delete removes an identity provider. DELETE
// /api/organizations/:org_slug/upstream-providers/:provider_id; bearer, capability
// integrations.manage; may be repeated: when an attempt's outcome is unknown and its repeat finds
// 404, Delete has succeeded.
func (s *UpstreamProvidersService) Delete(ctx context.Context, orgSlug, providerID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("provider_id", providerID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: upstreamProviderPath, args: []string{orgSlug, providerID}, checks: in,
	}, opts)
}
