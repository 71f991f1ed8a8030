package authos

import (
	"context"
	"net/http"
	"strings"
)

// DomainService is the domain of an organization's own under which its hosted pages are served. The
// organization need not be active.
type DomainService struct{ c *Client }

// CustomDomain is an organization's own domain. Its Domain is empty when it has none.
type CustomDomain struct {
	Domain   string `json:"custom_domain"`
	Verified bool   `json:"domain_verified"`
}

// DomainVerification says how an organization proves that a domain is its own: one of the methods,
// then [DomainService.Verify].
type DomainVerification struct {
	// Token is what is published. It is no secret.
	Token   string                     `json:"verification_token"`
	Methods []DomainVerificationMethod `json:"verification_methods"`
}

func (v *DomainVerification) missing() string {
	switch {
	case v.Token == "":
		return "verification_token"
	case v.Methods == nil:
		return "verification_methods"
	}
	return ""
}

// DomainVerificationMethod is one way of proving a domain.
type DomainVerificationMethod struct {
	// Method is its name, and Instructions say what to do, both for people.
	Method       string `json:"method"`
	Instructions string `json:"instructions"`
	// RecordType, RecordName and RecordValue are the DNS record to publish; the first two are empty
	// for other methods.
	RecordType  string `json:"record_type"`
	RecordName  string `json:"record_name"`
	RecordValue string `json:"record_value"`
}

// DomainCheck is how a verification went.
type DomainCheck struct {
	Verified bool `json:"verified"`
	// Message says why, or why not, for people.
	Message string `json:"message"`
}

// customDomainBody and domainCheckBody tell "no" from nothing.
type customDomainBody struct {
	CustomDomain
	Verified *bool `json:"domain_verified"`
}

func (b *customDomainBody) missing() string {
	if b.Verified == nil {
		return "domain_verified"
	}
	return ""
}

type domainCheckBody struct {
	DomainCheck
	Verified *bool `json:"verified"`
}

func (b *domainCheckBody) missing() string {
	if b.Verified == nil {
		return "verified"
	}
	return ""
}

// domainName refuses what is a URL or an e-mail address: the server's own rule is its own business.
func (c *checks) domainName(field, value string) {
	c.required(field, value)
	if strings.ContainsAny(strings.TrimSpace(value), "/:@ ") {
		c.add(field, CodeInvalidFormat, "must be a domain name, not a URL")
	}
}

const domainPath = "/api/organizations/:org_slug/domain"

// Set gives an organization a domain of its own, in place of the one before, and returns how to
// prove it. POST /api/organizations/:org_slug/domain; bearer, capability org.settings.manage or
// platform owner; not repeated when its outcome is unknown: calling again is safe, but gives
// another token.
//
// A domain that another organization has, and what the server takes for none, are 400 BAD_REQUEST.
// 403 [CodeFeatureNotAvailableInTier] means that the organization's tier has no custom domain.
func (s *DomainService) Set(ctx context.Context, orgSlug, domain string, opts ...RequestOption) (*DomainVerification, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.domainName("domain", domain)
	in.argument("domain")
	body := map[string]string{"domain": domain}
	return invoke[DomainVerification](ctx, s.c, request{
		method: http.MethodPost, template: domainPath, args: []string{orgSlug}, body: body, checks: in,
	}, opts)
}

// Get returns an organization's domain, or that it has none. GET
// /api/organizations/:org_slug/domain; bearer, members and platform owners; may be repeated; cached
// for the stale fallback.
func (s *DomainService) Get(ctx context.Context, orgSlug string, opts ...RequestOption) (*CustomDomain, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[customDomainBody](ctx, s.c, request{
		method: http.MethodGet, template: domainPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.CustomDomain.Verified = *body.Verified
	return &body.CustomDomain, nil
}

// Delete takes an organization's domain away; that there was none is no error. DELETE
// /api/organizations/:org_slug/domain; bearer, capability org.settings.manage or platform owner;
// may be repeated.
func (s *DomainService) Delete(ctx context.Context, orgSlug string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: domainPath, args: []string{orgSlug}, checks: in,
	}, nil, opts)
}

// Verify makes the server look for the proof now, and returns what it found: a domain that is not
// proven yet is a response, not an error. POST /api/organizations/:org_slug/domain/verify; bearer,
// capability org.settings.manage or platform owner; not repeated when its outcome is unknown,
// although calling again is safe. Without a domain it is 400 BAD_REQUEST.
func (s *DomainService) Verify(ctx context.Context, orgSlug string, opts ...RequestOption) (*DomainCheck, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[domainCheckBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/domain/verify", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.DomainCheck.Verified = *body.Verified
	return &body.DomainCheck, nil
}
