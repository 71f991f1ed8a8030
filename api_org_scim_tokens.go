package authos

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// SCIMTokensService are the tokens with which an identity provider keeps an organization's users up
// to date (SCIM, RFC 7644). It is for bearers with the capability integrations.manage, and asks for
// an active organization; others get 403 FORBIDDEN.
type SCIMTokensService struct{ c *Client }

// SCIMToken is a SCIM token without the token itself.
type SCIMToken struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Prefix is how the token begins, for people to tell tokens apart; it is no secret.
	Prefix     string `json:"prefix"`
	Active     bool   `json:"active"`
	CreatedAt  Time   `json:"created_at"`
	ExpiresAt  Time   `json:"expires_at"`   // zero: never
	LastUsedAt Time   `json:"last_used_at"` // zero: never
}

func (t *SCIMToken) missing() string { return missingID(t.ID) }

// SCIMTokenCreated is a new SCIM token.
type SCIMTokenCreated struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
	// Token is what the identity provider sends. It is shown here and never again.
	Token     Secret `json:"token"`
	CreatedAt Time   `json:"created_at"`
	ExpiresAt Time   `json:"expires_at"` // zero: never
}

func (t *SCIMTokenCreated) missing() string {
	if t.Token.IsZero() {
		return "token"
	}
	return missingID(t.ID)
}

func (t *SCIMTokenCreated) shown() bool { return t.ID != "" || !t.Token.IsZero() }

// SCIMTokenCreateParams are a new SCIM token.
type SCIMTokenCreateParams struct {
	Name string `json:"name"`
	// ExpiresAt is when it ends; zero: never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

const (
	scimTokensPath = "/api/organizations/:org_slug/scim-tokens"           //nolint:gosec // a route
	scimTokenPath  = "/api/organizations/:org_slug/scim-tokens/:token_id" //nolint:gosec // a route
)

// List returns all SCIM tokens of an organization. GET /api/organizations/:org_slug/scim-tokens;
// bearer, capability integrations.manage; may be repeated; never stale.
func (s *SCIMTokensService) List(ctx context.Context, orgSlug string, opts ...RequestOption) ([]SCIMToken, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[SCIMToken, *SCIMToken]](ctx, s.c, request{
		method: http.MethodGet, template: scimTokensPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same tokens. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *SCIMTokensService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[SCIMToken, error] {
	return unpaged(func() ([]SCIMToken, error) { return s.List(ctx, orgSlug, opts...) })
}

// Create makes a SCIM token, which is shown once. POST /api/organizations/:org_slug/scim-tokens;
// bearer, capability integrations.manage; not repeated when its outcome is unknown: a token that
// nobody has seen may then be in the list, delete it. What could be read of a response that is not
// whole is returned together with the [*DecodeError]. 403 [CodeFeatureNotAvailableInTier] means
// that the organization's tier has no SCIM.
func (s *SCIMTokensService) Create(
	ctx context.Context, orgSlug string, p SCIMTokenCreateParams, opts ...RequestOption,
) (*SCIMTokenCreated, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.required("name", p.Name)
	return invoke[SCIMTokenCreated](ctx, s.c, request{
		method: http.MethodPost, template: scimTokensPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Revoke ends a SCIM token, which stays in the list. POST
// /api/organizations/:org_slug/scim-tokens/:token_id/revoke; bearer, capability
// integrations.manage; may be repeated.
func (s *SCIMTokensService) Revoke(ctx context.Context, orgSlug, tokenID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("token_id", tokenID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/scim-tokens/:token_id/revoke",
		args: []string{orgSlug, tokenID}, checks: in,
	}, nil, opts)
}

// Delete removes a SCIM token. DELETE /api/organizations/:org_slug/scim-tokens/:token_id; bearer,
// capability integrations.manage; may be repeated: when an attempt's outcome is unknown and its
// repeat finds 404, Delete has succeeded.
func (s *SCIMTokensService) Delete(ctx context.Context, orgSlug, tokenID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("token_id", tokenID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: scimTokenPath, args: []string{orgSlug, tokenID}, checks: in,
	}, nil, opts)
}
