package authos

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
)

// OAuthCredentialsService are an organization's own OAuth clients at the sign-in providers github,
// google and microsoft, which its users then see in place of the platform's.
type OAuthCredentialsService struct{ c *Client }

// OAuthCredentials are an OAuth client at a sign-in provider. The secret is never shown.
type OAuthCredentials struct {
	Provider  string `json:"provider"`
	ClientID  string `json:"client_id"`
	HasSecret bool   `json:"has_secret"`
}

func (c *OAuthCredentials) missing() string {
	if c.Provider == "" {
		return "provider"
	}
	return ""
}

// OAuthCredentialsSetParams are an OAuth client as the provider's console shows it.
type OAuthCredentialsSetParams struct {
	ClientID string `json:"client_id"`
	// ClientSecret is not marshalled either: loggers marshal what is inside lists and structs.
	ClientSecret string `json:"-"`
}

// Format implements [fmt.Formatter] for every verb: the secret does not print.
func (p OAuthCredentialsSetParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "OAuthCredentialsSetParams(%s, secret %s)", p.ClientID, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the secret out.
func (p OAuthCredentialsSetParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *OAuthCredentialsSetParams) UnmarshalJSON(b []byte) error {
	type fields OAuthCredentialsSetParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"client_secret": &p.ClientSecret})
}

const oauthClientPath = "/api/organizations/:org_slug/oauth-credentials/:provider"

// oauthProvider refuses what the server would: its list is closed.
func (c *checks) oauthProvider(value string) {
	c.oneOf("provider", value, "github", "google", "microsoft")
	c.argument("provider")
}

// Set stores an organization's credentials at a provider, in place of those it had. POST
// /api/organizations/:org_slug/oauth-credentials/:provider; bearer, capability org.settings.manage;
// may be repeated. An organization that is not active is 403 [CodeOrganizationNotActive].
func (s *OAuthCredentialsService) Set(
	ctx context.Context, orgSlug, provider string, p OAuthCredentialsSetParams, opts ...RequestOption,
) (*OAuthCredentials, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.oauthProvider(provider)
	in.required("client_id", p.ClientID)
	in.required("client_secret", p.ClientSecret)
	body := map[string]string{"client_id": p.ClientID, "client_secret": p.ClientSecret}
	return invoke[OAuthCredentials](ctx, s.c, request{
		method: http.MethodPost, template: oauthClientPath, args: []string{orgSlug, provider}, body: body, checks: in,
	}, opts)
}

// Get returns an organization's credentials at a provider, without the secret. GET
// /api/organizations/:org_slug/oauth-credentials/:provider; bearer, capability org.settings.manage;
// may be repeated; cached for the stale fallback. Without any it is 404 NOT_FOUND; an organization
// that is not active is 403 [CodeOrganizationNotActive].
func (s *OAuthCredentialsService) Get(ctx context.Context, orgSlug, provider string, opts ...RequestOption) (*OAuthCredentials, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.oauthProvider(provider)
	return invoke[OAuthCredentials](ctx, s.c, request{
		method: http.MethodGet, template: oauthClientPath, args: []string{orgSlug, provider}, checks: in,
	}, opts)
}
