package authos

import (
	"bytes"
	"context"
	"errors"
	"net/http"
)

// SAMLService is AuthOS as the SAML identity provider of an organization's service. Its methods are
// for who may manage the service, and ask for an active organization; others get 403 FORBIDDEN. 403
// [CodeFeatureNotAvailableInTier] means that the organization's tier has none.
type SAMLService struct{ c *Client }

// SAMLConfig is how a service signs in by SAML. What is not set is empty or nil.
type SAMLConfig struct {
	Enabled bool `json:"enabled"`
	// EntityID, ACSURL and SLOURL are the service's own, as its metadata has them.
	EntityID         string            `json:"entity_id"`
	ACSURL           string            `json:"acs_url"`
	SLOURL           string            `json:"slo_url"`
	NameIDFormat     string            `json:"name_id_format"`
	AttributeMapping map[string]string `json:"attribute_mapping"`
	SignAssertions   bool              `json:"sign_assertions"`
	SignResponse     bool              `json:"sign_response"`
	// HasCertificate: there is one to sign with; see [SAMLService.CreateCertificate].
	HasCertificate bool `json:"has_certificate"`
}

type samlConfigBody struct {
	SAMLConfig
	Enabled *bool `json:"enabled"` // goes before the embedded one
}

func (b *samlConfigBody) missing() string {
	if b.Enabled == nil {
		return "enabled"
	}
	return ""
}

// SAMLSetParams are how a service is to sign in by SAML. All of it is set at once: what is left
// empty is taken away.
type SAMLSetParams struct {
	// Enabled needs EntityID and ACSURL.
	Enabled          bool              `json:"enabled"`
	EntityID         string            `json:"entity_id,omitempty"`
	ACSURL           string            `json:"acs_url,omitempty"`
	SLOURL           string            `json:"slo_url,omitempty"`
	NameIDFormat     string            `json:"name_id_format,omitempty"`
	AttributeMapping map[string]string `json:"attribute_mapping,omitempty"`
	// SignAssertions and SignResponse are true when they are nil.
	SignAssertions *bool `json:"sign_assertions,omitzero"`
	SignResponse   *bool `json:"sign_response,omitzero"`
}

// CertificateStatus says how long a certificate is still good. Other values than those named here
// are kept as the server sent them.
type CertificateStatus string

// The states of a certificate.
const (
	CertificateHealthy      CertificateStatus = "healthy"
	CertificateExpiringSoon CertificateStatus = "expiring_soon"
	CertificateExpired      CertificateStatus = "expired"
	CertificateNotYetValid  CertificateStatus = "not_yet_valid"
)

// SAMLCertificate is what AuthOS signs with for one service.
type SAMLCertificate struct {
	PublicKey        string            `json:"public_key"`
	ValidFrom        Time              `json:"valid_from"`
	ValidUntil       Time              `json:"valid_until"`
	IsActive         bool              `json:"is_active"`
	CreatedAt        Time              `json:"created_at"`
	LifecycleStatus  CertificateStatus `json:"lifecycle_status"`
	ExpiresInSeconds int64             `json:"expires_in_seconds"`
	// PublishedPreviousCertificates are older ones that the metadata still has, so that services
	// can change over; [SAMLService.RetireCertificates] ends that.
	PublishedPreviousCertificates []PreviousSAMLCertificate `json:"published_previous_certificates"`
}

func (c *SAMLCertificate) missing() string {
	if c.PublicKey == "" {
		return "public_key"
	}
	return ""
}

// PreviousSAMLCertificate is one that AuthOS signs with no more.
type PreviousSAMLCertificate struct {
	PublicKey    string `json:"public_key"`
	ValidFrom    Time   `json:"valid_from"`
	ValidUntil   Time   `json:"valid_until"`
	PublishUntil Time   `json:"publish_until"`
	CreatedAt    Time   `json:"created_at"`
}

type retiredCertificates struct {
	acknowledgment
	Count *int64 `json:"retired_certificates"`
}

func (r *retiredCertificates) missing() string {
	if r.Count == nil {
		return "retired_certificates"
	}
	return r.acknowledgment.missing()
}

const (
	samlPath            = "/api/organizations/:org_slug/services/:service_slug/saml"
	samlCertificatePath = "/api/organizations/:org_slug/services/:service_slug/saml/certificate"
	samlMetadataPath    = "/saml/:org_slug/:service_slug/metadata"
)

// Get returns how a service signs in by SAML. GET
// /api/organizations/:org_slug/services/:service_slug/saml; bearer; may be repeated; never stale.
func (s *SAMLService) Get(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (*SAMLConfig, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	body, err := invoke[samlConfigBody](ctx, s.c, request{
		method: http.MethodGet, template: samlPath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.SAMLConfig.Enabled = *body.Enabled
	return &body.SAMLConfig, nil
}

// Set says how a service signs in by SAML, in place of what was there. POST
// /api/organizations/:org_slug/services/:service_slug/saml; bearer; may be repeated.
func (s *SAMLService) Set(ctx context.Context, orgSlug, serviceSlug string, p SAMLSetParams, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	if p.Enabled {
		in.required("entity_id", p.EntityID)
		in.required("acs_url", p.ACSURL)
	}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: samlPath, args: []string{orgSlug, serviceSlug}, body: p, checks: in,
	}, opts)
}

// Delete ends a service's sign-in by SAML. DELETE
// /api/organizations/:org_slug/services/:service_slug/saml; bearer; may be repeated: when an
// attempt's outcome is unknown and its repeat finds 404, Delete has succeeded. What the server
// responds is not confirmed; a body that does not say otherwise is taken for success.
func (s *SAMLService) Delete(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: samlPath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
}

// CreateCertificate makes a certificate to sign with, and publishes the one before for a while.
// POST /api/organizations/:org_slug/services/:service_slug/saml/certificate; bearer; not repeated
// when its outcome is unknown. It can take 20 seconds.
func (s *SAMLService) CreateCertificate(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (*SAMLCertificate, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return invoke[SAMLCertificate](ctx, s.c, request{
		method: http.MethodPost, template: samlCertificatePath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
}

// Certificate returns the certificate that AuthOS signs with for a service. GET
// /api/organizations/:org_slug/services/:service_slug/saml/certificate; bearer; may be repeated;
// never stale.
func (s *SAMLService) Certificate(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (*SAMLCertificate, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return invoke[SAMLCertificate](ctx, s.c, request{
		method: http.MethodGet, template: samlCertificatePath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
}

// RetireCertificates takes older certificates out of the metadata, and returns how many there were.
// DELETE /api/organizations/:org_slug/services/:service_slug/saml/certificate/overlap; bearer; may
// be repeated: the number is then what the last attempt found.
func (s *SAMLService) RetireCertificates(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (int64, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	retired, err := invoke[retiredCertificates](ctx, s.c, request{
		method: http.MethodDelete, template: "/api/organizations/:org_slug/services/:service_slug/saml/certificate/overlap",
		args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
	if err != nil || retired.Count == nil { // without a count: a repeat found that nothing is left
		return 0, err
	}
	return *retired.Count, nil
}

// Metadata returns the identity provider's metadata for a service, in XML, as the service's
// administrator needs it. GET /saml/:org_slug/:service_slug/metadata; public; may be repeated;
// never stale.
func (s *SAMLService) Metadata(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) ([]byte, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	body, err := invoke[[]byte](ctx, s.c, request{
		method: http.MethodGet, template: samlMetadataPath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(*body, []byte("EntityDescriptor")) {
		return nil, &DecodeError{Method: http.MethodGet, Path: samlMetadataPath, StatusCode: http.StatusOK, Err: errNoMetadata, Body: *body}
	}
	return *body, nil
}

var errNoMetadata = errors.New("without an EntityDescriptor: is the base URL right?")

// MetadataURL makes the URL of [SAMLService.Metadata], for service providers that fetch it
// themselves. Nothing is sent here; errors are bad input.
func (s *SAMLService) MetadataURL(orgSlug, serviceSlug string) (string, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	if err := in.err(nil); err != nil {
		return "", err
	}
	return link(s.c, samlMetadataPath, []string{orgSlug, serviceSlug}, nil), nil
}
