package authos

import (
	"context"
	"iter"
	"net/http"
)

// DomainRoutesService says, for the e-mail domains of an organization, how their users sign in. It
// is for bearers with the capability integrations.manage. Its shapes are confirmed by an earlier
// version of the server's source.
type DomainRoutesService struct{ c *Client }

// LoginPolicy says how the users of an e-mail domain may sign in. Other values than those named
// here are kept as the server sent them.
type LoginPolicy string

// The policies of a domain.
const (
	LoginPasswordAllowed  LoginPolicy = "password_allowed"
	LoginUpstreamOnly     LoginPolicy = "upstream_only"
	LoginPasswordFallback LoginPolicy = "password_fallback_if_provider_unavailable"
)

// DomainRoute says how the users of one e-mail domain sign in.
type DomainRoute struct {
	ID     string `json:"id"`
	Domain string `json:"domain"`
	// UpstreamProviderID is the identity provider they sign in through; empty: none.
	UpstreamProviderID string      `json:"upstream_provider_id"`
	LoginPolicy        LoginPolicy `json:"login_policy"`
	// VerificationToken is what the domain's owner publishes before [DomainRoutesService.Verify].
	// It is no secret.
	VerificationToken string `json:"verification_token"`
	Verified          bool   `json:"verified"`
	VerifiedAt        Time   `json:"verified_at"` // zero until then
	CreatedAt         Time   `json:"created_at"`
	UpdatedAt         Time   `json:"updated_at"`
}

func (r *DomainRoute) missing() string { return missingID(r.ID) }

// DomainRouteCreateParams are a new route.
type DomainRouteCreateParams struct {
	Domain string `json:"domain"`
	// UpstreamProviderID is an identity provider of [UpstreamProvidersService]; empty: none.
	UpstreamProviderID string `json:"upstream_provider_id,omitempty"`
	// LoginPolicy is the server's default when it is empty.
	LoginPolicy LoginPolicy `json:"login_policy,omitempty"`
}

// DomainRouteUpdateParams are what a route becomes.
type DomainRouteUpdateParams struct {
	// UpstreamProviderID is set in any case: empty takes away the identity provider that was there.
	// The server has no way to leave it as it is.
	UpstreamProviderID string `json:"upstream_provider_id,omitempty"`
	// LoginPolicy stays as it is when it is empty.
	LoginPolicy LoginPolicy `json:"login_policy,omitempty"`
}

const (
	domainRoutesPath = "/api/organizations/:org_slug/domain-routes"
	domainRoutePath  = "/api/organizations/:org_slug/domain-routes/:domain_id"
)

func (c *checks) loginPolicy(value LoginPolicy) {
	c.oneOf("login_policy", string(value), "", string(LoginPasswordAllowed), string(LoginUpstreamOnly), string(LoginPasswordFallback))
}

// List returns all domain routes of an organization. GET
// /api/organizations/:org_slug/domain-routes; bearer, capability integrations.manage; may be
// repeated; never stale. Confirmed by an earlier version of the server's source.
func (s *DomainRoutesService) List(ctx context.Context, orgSlug string, opts ...RequestOption) ([]DomainRoute, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[DomainRoute, *DomainRoute]](ctx, s.c, request{
		method: http.MethodGet, template: domainRoutesPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same routes. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *DomainRoutesService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[DomainRoute, error] {
	return unpaged(func() ([]DomainRoute, error) { return s.List(ctx, orgSlug, opts...) })
}

// Create adds a domain, which is to be verified. POST /api/organizations/:org_slug/domain-routes;
// bearer, capability integrations.manage; not repeated when its outcome is unknown. A domain that
// is routed already is 400 BAD_REQUEST and matches [ErrConflict]. Confirmed by an earlier version
// of the server's source.
func (s *DomainRoutesService) Create(
	ctx context.Context, orgSlug string, p DomainRouteCreateParams, opts ...RequestOption,
) (*DomainRoute, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.domainName("domain", p.Domain)
	in.loginPolicy(p.LoginPolicy)
	return invoke[DomainRoute](ctx, s.c, request{
		method: http.MethodPost, template: domainRoutesPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Update says anew how a domain's users sign in, and returns the route. PATCH
// /api/organizations/:org_slug/domain-routes/:domain_id; bearer, capability integrations.manage;
// may be repeated. Although it is a PATCH, the server clears an identity provider that it is not
// given. Confirmed by an earlier version of the server's source.
func (s *DomainRoutesService) Update(
	ctx context.Context, orgSlug, domainID string, p DomainRouteUpdateParams, opts ...RequestOption,
) (*DomainRoute, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("domain_id", domainID)
	in.loginPolicy(p.LoginPolicy)
	return invoke[DomainRoute](ctx, s.c, request{
		method: http.MethodPatch, template: domainRoutePath, args: []string{orgSlug, domainID}, body: p, checks: in,
	}, opts)
}

// Verify makes the server look for the proof now, by DNS and HTTP, which takes time, and returns
// the route. POST /api/organizations/:org_slug/domain-routes/:domain_id/verify; bearer, capability
// integrations.manage; not repeated when its outcome is unknown, although calling again is safe. A
// domain that is not proven yet is 400 BAD_REQUEST. Confirmed by an earlier version of the server's
// source.
func (s *DomainRoutesService) Verify(ctx context.Context, orgSlug, domainID string, opts ...RequestOption) (*DomainRoute, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("domain_id", domainID)
	return invoke[DomainRoute](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/domain-routes/:domain_id/verify",
		args: []string{orgSlug, domainID}, checks: in,
	}, opts)
}

// Delete removes a domain. DELETE /api/organizations/:org_slug/domain-routes/:domain_id; bearer,
// capability integrations.manage; may be repeated: when an attempt's outcome is unknown and its
// repeat finds 404, Delete has succeeded. Confirmed by an earlier version of the server's source.
func (s *DomainRoutesService) Delete(ctx context.Context, orgSlug, domainID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("domain_id", domainID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: domainRoutePath, args: []string{orgSlug, domainID}, checks: in,
	}, nil, opts)
}
