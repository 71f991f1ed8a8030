package authos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// BillingService is what an organization pays for, and its own account at a billing provider, with
// which its services charge their users.
type BillingService struct{ c *Client }

// BillingProvider is a billing provider. Other values than those named here are kept as the server
// sent them.
type BillingProvider string

// The billing providers that an organization can have an account of its own with.
const (
	BillingStripe BillingProvider = "stripe"
	BillingPolar  BillingProvider = "polar"
)

// BillingMode says whether a billing provider's account is the real one.
type BillingMode string

// The modes of an account.
const (
	BillingTest BillingMode = "test"
	BillingLive BillingMode = "live"
)

// BillingInfo reports whether an organization has an account at a billing provider.
type BillingInfo struct {
	HasBillingAccount bool `json:"has_billing_account"`
	// Provider is empty when there is none, and where the server has no billing.
	Provider BillingProvider `json:"provider"`
}

// BillingCredentials are an organization's own account at a billing provider. The keys are never
// shown.
type BillingCredentials struct {
	Configured bool            `json:"configured"`
	Provider   BillingProvider `json:"provider"`
	Mode       BillingMode     `json:"mode"` // empty when nothing is configured
	Enabled    bool            `json:"enabled"`
}

func (b *BillingCredentials) missing() string {
	if b.Provider == "" {
		return "provider"
	}
	return ""
}

type billingInfoBody struct {
	BillingInfo
	HasAccount *bool `json:"has_billing_account"` // goes before the embedded one
}

func (b *billingInfoBody) missing() string {
	if b.HasAccount == nil {
		return "has_billing_account"
	}
	return ""
}

type billingPortalBody struct {
	URL string `json:"url"`
}

func (b *billingPortalBody) missing() string {
	if b.URL == "" {
		return "url"
	}
	return ""
}

// BillingCredentialsSetParams are the keys of an account at a billing provider.
type BillingCredentialsSetParams struct {
	APIKey        string      `json:"-"` // sent, but not marshaled: params end up in logs
	WebhookSecret string      `json:"-"` // likewise
	Mode          BillingMode `json:"mode"`
}

// Format implements [fmt.Formatter] for every verb: the keys do not print.
func (p BillingCredentialsSetParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "BillingCredentialsSetParams("+string(p.Mode)+", keys "+redacted+")")
}

// LogValue implements [slog.LogValuer]; it leaves the keys out.
func (p BillingCredentialsSetParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *BillingCredentialsSetParams) UnmarshalJSON(b []byte) error {
	type fields BillingCredentialsSetParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"api_key": &p.APIKey, "webhook_secret": &p.WebhookSecret})
}

const billingCredentialsPath = "/api/organizations/:org_slug/billing-credentials/:provider" //nolint:gosec // a route

func (c *checks) billingProvider(value BillingProvider) {
	c.oneOf("provider", string(value), string(BillingStripe), string(BillingPolar))
	c.argument("provider")
}

// Info reports whether an organization has an account at a billing provider. GET
// /api/organizations/:org_slug/billing/info; bearer, capability billing.manage; may be repeated;
// cached for the stale fallback. A server without billing says that there is none.
func (s *BillingService) Info(ctx context.Context, orgSlug string, opts ...RequestOption) (*BillingInfo, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[billingInfoBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/billing/info", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.HasBillingAccount = *body.HasAccount
	return &body.BillingInfo, nil
}

// Portal opens the billing provider's page on which an organization's payments are managed, and
// returns its URL, for a browser. returnURL is where the page leads back to. POST
// /api/organizations/:org_slug/billing/portal; bearer, capability billing.manage; not repeated when
// its outcome is unknown: it makes a customer at the provider where there is none.
//
// 503 [CodeServiceUnavailable] is a server whose billing is disabled, for good: the client neither
// repeats it nor takes it for an outage.
func (s *BillingService) Portal(ctx context.Context, orgSlug, returnURL string, opts ...RequestOption) (string, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.absoluteURI("return_url", returnURL)
	in.argument("return_url")
	body, err := invoke[billingPortalBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/billing/portal", args: []string{orgSlug},
		body: map[string]string{"return_url": returnURL}, checks: in,
	}, opts)
	if err != nil {
		return "", err
	}
	return body.URL, nil
}

// Credentials returns what is known of an organization's own account at a billing provider; that
// there is none is no error. GET /api/organizations/:org_slug/billing-credentials/:provider;
// bearer, owner; may be repeated; never stale. Confirmed by an earlier version of the server's
// source.
func (s *BillingService) Credentials(
	ctx context.Context, orgSlug string, provider BillingProvider, opts ...RequestOption,
) (*BillingCredentials, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.billingProvider(provider)
	return invoke[BillingCredentials](ctx, s.c, request{
		method: http.MethodGet, template: billingCredentialsPath, args: []string{orgSlug, string(provider)}, checks: in,
	}, opts)
}

// SetCredentials stores an organization's own account at a billing provider, in place of the one
// before. POST /api/organizations/:org_slug/billing-credentials/:provider; bearer, owner; may be
// repeated. Confirmed by an earlier version of the server's source.
func (s *BillingService) SetCredentials(
	ctx context.Context, orgSlug string, provider BillingProvider, p BillingCredentialsSetParams, opts ...RequestOption,
) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.billingProvider(provider)
	in.required("api_key", p.APIKey)
	in.required("webhook_secret", p.WebhookSecret)
	in.oneOf("mode", string(p.Mode), string(BillingTest), string(BillingLive))
	body := map[string]string{"api_key": p.APIKey, "webhook_secret": p.WebhookSecret, "mode": string(p.Mode)}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: billingCredentialsPath, args: []string{orgSlug, string(provider)}, body: body, checks: in,
	}, opts)
}

// DeleteCredentials forgets an organization's own account at a billing provider. DELETE
// /api/organizations/:org_slug/billing-credentials/:provider; bearer, owner; may be repeated: when
// an attempt's outcome is unknown and its repeat finds 404, DeleteCredentials has succeeded.
// Confirmed by an earlier version of the server's source.
func (s *BillingService) DeleteCredentials(ctx context.Context, orgSlug string, provider BillingProvider, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.billingProvider(provider)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: billingCredentialsPath, args: []string{orgSlug, string(provider)}, checks: in,
	}, opts)
}
