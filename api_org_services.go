package authos

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"net/http"
)

// ServicesService are an organization's services: the applications that use its sign-on. Every
// method needs an active organization, else it is 403 [CodeOrganizationNotActive]. What a member
// may do with a service comes from the role's capabilities or from a grant for that service
// ([MembersService.UpdateServiceAccess]): a viewer may look, a manager may also change it.
type ServicesService struct{ c *Client }

// ServiceType says what kind of application a service is. Other values than those named here are
// kept as the server sent them.
type ServiceType string

// The types of a service.
const (
	ServiceTypeWeb     ServiceType = "web"
	ServiceTypeMobile  ServiceType = "mobile"
	ServiceTypeDesktop ServiceType = "desktop"
	ServiceTypeAPI     ServiceType = "api"
)

func (c *checks) serviceType(value ServiceType) {
	c.oneOf("service_type", string(value),
		string(ServiceTypeWeb), string(ServiceTypeMobile), string(ServiceTypeDesktop), string(ServiceTypeAPI))
}

// Service is an application that uses an organization's sign-on.
type Service struct {
	ID          string      `json:"id"`
	OrgID       string      `json:"org_id"`
	Slug        string      `json:"slug"`
	Name        string      `json:"name"`
	ServiceType ServiceType `json:"service_type"`
	ClientID    string      `json:"client_id"`
	// ClientSecret is set in the response to [ServicesService.Create] only, and not there by
	// servers of October 2025.
	ClientSecret Secret `json:"client_secret,omitzero"`
	// GitHubScopes, MicrosoftScopes and GoogleScopes are what users are asked for at sign-in
	// providers; nil: nothing is set.
	GitHubScopes    []string `json:"github_scopes"`
	MicrosoftScopes []string `json:"microsoft_scopes"`
	GoogleScopes    []string `json:"google_scopes"`
	RedirectURIs    []string `json:"redirect_uris"`
	// DeviceActivationURI is where users enter the code of the device flow; empty: the service has
	// no device flow.
	DeviceActivationURI string   `json:"device_activation_uri"`
	ResourceURIs        []string `json:"resource_uris"` // RFC 8707
	// What follows is about AuthOS as a SAML identity provider of the service.
	SAMLEnabled          bool              `json:"saml_enabled"`
	SAMLEntityID         string            `json:"saml_entity_id"`
	SAMLACSURL           string            `json:"saml_acs_url"`
	SAMLSLOURL           string            `json:"saml_slo_url"`
	SAMLNameIDFormat     string            `json:"saml_name_id_format"`
	SAMLAttributeMapping map[string]string `json:"saml_attribute_mapping"`
	SAMLSignAssertions   bool              `json:"saml_sign_assertions"`
	SAMLSignResponse     bool              `json:"saml_sign_response"`
	CreatedAt            Time              `json:"created_at"`
}

func (s *Service) missing() string { return missingID(s.ID) }

// ServiceSummary is a service in a list.
type ServiceSummary struct {
	Service
	PlanCount         int64 `json:"plan_count"`
	SubscriptionCount int64 `json:"subscription_count"`
}

// ServiceUsage says how many services an organization has and may have.
type ServiceUsage struct {
	// CurrentServices counts, in a list, only those that the caller may see.
	CurrentServices int64  `json:"current_services"`
	MaxServices     int64  `json:"max_services"`
	TierName        string `json:"tier"` // its display name
}

func (u *ServiceUsage) missing() string {
	if u == nil || u.TierName == "" {
		return "usage"
	}
	return ""
}

// ServicePage is one page of an organization's services. Total is -1: the server does not count
// them.
type ServicePage struct {
	Page[ServiceSummary]
	Usage ServiceUsage
}

// ServiceCreated is a new service. Its ClientSecret is shown here and never again; a server of
// October 2025 shows none at all, and it is zero.
type ServiceCreated struct {
	Service `json:"service"`
	// DefaultPlan is the plan, named free, that the service has from the start.
	DefaultPlan Plan         `json:"default_plan"`
	Usage       ServiceUsage `json:"usage"`
}

func (s *ServiceCreated) missing() string {
	return cmp.Or(s.Service.missing(), s.DefaultPlan.missing(), s.Usage.missing())
}

func (s *ServiceCreated) shown() bool { return !s.ClientSecret.IsZero() || s.ID != "" }

// ServiceSecret is a service with its new secret, which is shown here and never again.
type ServiceSecret struct {
	Service      `json:"service"`
	ClientSecret Secret `json:"client_secret"`
}

func (s *ServiceSecret) missing() string {
	if s.ClientSecret.IsZero() {
		return "client_secret"
	}
	return s.Service.missing()
}

func (s *ServiceSecret) shown() bool { return !s.ClientSecret.IsZero() }

// ServiceListParams choose a page.
type ServiceListParams struct {
	// ServiceType lists services of one type only; empty: of all.
	ServiceType ServiceType
	// Limit is 1 or more; the server knows no bound. Zero: all services in one response; for All,
	// 100 at a time.
	Limit int
	// Offset is how many services to skip.
	Offset int
}

// ServiceCreateParams are a new service.
type ServiceCreateParams struct {
	// Slug names the service within the organization; it cannot be changed.
	Slug        string      `json:"slug"`
	Name        string      `json:"name"`
	ServiceType ServiceType `json:"service_type"`
	// GitHubScopes, MicrosoftScopes and GoogleScopes are what users are asked for at sign-in
	// providers.
	GitHubScopes    []string `json:"github_scopes,omitzero"`
	MicrosoftScopes []string `json:"microsoft_scopes,omitzero"`
	GoogleScopes    []string `json:"google_scopes,omitzero"`
	// RedirectURIs are where sign-ins may end; nil or one at least.
	RedirectURIs []string `json:"redirect_uris,omitzero"`
	// DeviceActivationURI is where users enter the code of the device flow; empty: the service has
	// no device flow.
	DeviceActivationURI string `json:"device_activation_uri,omitempty"`
	// ResourceURIs are absolute URIs that access tokens may be asked for (RFC 8707); nil or one at
	// least.
	ResourceURIs []string `json:"resource_uris,omitzero"`
}

// ServiceUpdateParams are the changes of [ServicesService.Update]; nil fields stay as they are,
// which is also all that null can say to the server: no field can be cleared. Lists replace those
// that the service has.
type ServiceUpdateParams struct {
	Name            *string      `json:"name,omitzero"`
	ServiceType     *ServiceType `json:"service_type,omitzero"`
	GitHubScopes    []string     `json:"github_scopes,omitzero"`
	MicrosoftScopes []string     `json:"microsoft_scopes,omitzero"`
	GoogleScopes    []string     `json:"google_scopes,omitzero"`
	// RedirectURIs and ResourceURIs are nil or one at least; the latter absolute URIs.
	RedirectURIs        []string `json:"redirect_uris,omitzero"`
	DeviceActivationURI *string  `json:"device_activation_uri,omitzero"`
	ResourceURIs        []string `json:"resource_uris,omitzero"`
}

func (p *ServiceUpdateParams) empty() bool {
	return p.Name == nil && p.ServiceType == nil && p.GitHubScopes == nil && p.MicrosoftScopes == nil && p.GoogleScopes == nil &&
		p.RedirectURIs == nil && p.DeviceActivationURI == nil && p.ResourceURIs == nil
}

// serviceURIs are the server's rules for the addresses of a service.
func (c *checks) serviceURIs(redirect, resource []string) {
	if redirect != nil && len(redirect) == 0 {
		c.add("redirect_uris", CodeRequired, "must be nil or hold one URI at least")
	}
	if resource != nil && len(resource) == 0 {
		c.add("resource_uris", CodeRequired, "must be nil or hold one URI at least")
	}
	for i, uri := range redirect {
		c.required(fmt.Sprintf("redirect_uris[%d]", i), uri)
	}
	for i, uri := range resource {
		c.absoluteURI(fmt.Sprintf("resource_uris[%d]", i), uri)
	}
}

// oneNeeded is for an update that changes none of the fields that the server counts as a change.
func (c *checks) oneNeeded(fields ...string) {
	*c = append(*c, FieldError{Fields: fields, Code: CodeRequired, Message: "one of them must be given"})
}

// CheckoutParams say what is bought and where the browser goes afterwards.
type CheckoutParams struct {
	PlanID string `json:"plan_id"`
	// SuccessURL and CancelURL are absolute URLs.
	SuccessURL string `json:"success_url"`
	CancelURL  string `json:"cancel_url"`
}

// Checkout is a page of the billing provider on which the signed-in user pays for a plan.
type Checkout struct {
	URL       string `json:"checkout_url"`
	SessionID string `json:"session_id"`
}

func (c *Checkout) missing() string {
	switch {
	case c.URL == "":
		return "checkout_url"
	case c.SessionID == "":
		return "session_id"
	}
	return ""
}

type serviceList struct {
	Services *[]ServiceSummary `json:"services"`
	Usage    *ServiceUsage     `json:"usage"`
}

func (l *serviceList) missing() string {
	return cmp.Or(missingItem("services", l.Services), l.Usage.missing())
}

const (
	servicesPath = "/api/organizations/:org_slug/services"
	servicePath  = "/api/organizations/:org_slug/services/:service_slug"
)

// List returns the organization's services that the caller may see: all of them with the capability
// services.view or services.manage, else those granted. GET /api/organizations/:org_slug/services;
// bearer, members; may be repeated; cached for the stale fallback.
func (s *ServicesService) List(ctx context.Context, orgSlug string, p ServiceListParams, opts ...RequestOption) (*ServicePage, error) {
	var in checks
	in.id("org_slug", orgSlug)
	if p.Limit < 0 {
		in.add("limit", CodeOutOfRange, "must be 1 or more, or 0 for all")
	}
	in.page(0, p.Offset)
	if p.Offset > 0 && p.Limit == 0 {
		p.Limit = math.MaxInt32 // all: a server of October 2025 fails on an offset without a limit
	}
	q := paging(p.Limit, p.Offset)
	put(q, "service_type", string(p.ServiceType))
	list, err := invoke[serviceList](ctx, s.c, request{
		method: http.MethodGet, template: servicesPath, args: []string{orgSlug}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &ServicePage{Page: *newPage(*list.Services, nil), Usage: *list.Usage}, nil
}

// All iterates over the same services from p.Offset on, p.Limit at a time. It stops at the first
// error, which it yields last.
//
// Deleting services on the way moves the others to earlier pages, and some are passed over: collect
// first ([AllItems]), then delete.
func (s *ServicesService) All(
	ctx context.Context, orgSlug string, p ServiceListParams, opts ...RequestOption,
) iter.Seq2[ServiceSummary, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[ServiceSummary], error) {
		p.Limit, p.Offset = limit, offset
		page, err := s.List(ctx, orgSlug, p, opts...)
		if err != nil {
			return nil, err
		}
		return &page.Page, nil
	})
}

// Create makes a service with a free plan. POST /api/organizations/:org_slug/services; bearer,
// capability services.create; not repeated when its outcome is unknown. The client secret is shown
// once, by servers newer than October 2025: what could be read of a response that is not whole is
// returned together with the [*DecodeError].
//
// As many services as the organization may have are 400 [CodeServiceLimitExceeded]; a slug that is
// taken is 400 [CodeDuplicateConstraint], which matches [ErrConflict].
func (s *ServicesService) Create(
	ctx context.Context, orgSlug string, p ServiceCreateParams, opts ...RequestOption,
) (*ServiceCreated, error) {
	var in checks
	in.id("org_slug", orgSlug)
	// no other rule, but it must be possible to name the service in a path
	in.segment("slug", p.Slug)
	in.required("name", p.Name)
	in.serviceType(p.ServiceType)
	in.serviceURIs(p.RedirectURIs, p.ResourceURIs)
	return invoke[ServiceCreated](ctx, s.c, request{
		method: http.MethodPost, template: servicesPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Get returns a service. GET /api/organizations/:org_slug/services/:service_slug; bearer,
// capability services.view or a grant; may be repeated; cached for the stale fallback.
func (s *ServicesService) Get(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (*Service, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return invoke[Service](ctx, s.c, request{
		method: http.MethodGet, template: servicePath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
}

// Update changes a service. PATCH /api/organizations/:org_slug/services/:service_slug; bearer,
// capability services.manage or a manager's grant; may be repeated. Params that change nothing are
// a [*ValidationError], as the server refuses them.
func (s *ServicesService) Update(
	ctx context.Context, orgSlug, serviceSlug string, p ServiceUpdateParams, opts ...RequestOption,
) (*Service, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	if p.empty() {
		in.oneNeeded("name", "service_type", "github_scopes", "microsoft_scopes", "google_scopes", "redirect_uris",
			"device_activation_uri", "resource_uris")
	}
	if p.ServiceType != nil {
		in.serviceType(*p.ServiceType)
	}
	in.serviceURIs(p.RedirectURIs, p.ResourceURIs)
	return invoke[Service](ctx, s.c, request{
		method: http.MethodPatch, template: servicePath, args: []string{orgSlug, serviceSlug}, body: p, checks: in,
	}, opts)
}

// Delete removes a service and everything in it. DELETE
// /api/organizations/:org_slug/services/:service_slug; bearer, owner; may be repeated: when an
// attempt's outcome is unknown and its repeat finds 404, Delete has succeeded. A service with
// active subscriptions is 400 BAD_REQUEST.
func (s *ServicesService) Delete(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: servicePath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, nil, opts)
}

// RotateSecret gives a service a new client secret; the old one is refused from then on. POST
// /api/organizations/:org_slug/services/:service_slug/secret/rotate; bearer, capability
// services.manage or a manager's grant; not repeated when its outcome is unknown: rotate again
// then. The secret is shown once: what could be read of a response that is not whole is
// returned together with the [*DecodeError].
func (s *ServicesService) RotateSecret(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) (*ServiceSecret, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	return invoke[ServiceSecret](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/services/:service_slug/secret/rotate",
		args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
}

// Checkout begins a payment of the signed-in user for a plan. POST
// /api/organizations/:org_slug/services/:service_slug/checkout; bearer, members; not repeated when
// its outcome is unknown. A plan without a price at the billing provider is 400 BAD_REQUEST, one
// that does not exist 404 NOT_FOUND.
func (s *ServicesService) Checkout(
	ctx context.Context, orgSlug, serviceSlug string, p CheckoutParams, opts ...RequestOption,
) (*Checkout, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.required("plan_id", p.PlanID)
	in.absoluteURI("success_url", p.SuccessURL)
	in.absoluteURI("cancel_url", p.CancelURL)
	return invoke[Checkout](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/services/:service_slug/checkout",
		args: []string{orgSlug, serviceSlug}, body: p, checks: in,
	}, opts)
}
