package authos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
)

// OrganizationsService are the organizations (tenants) that the signed-in user belongs to, and
// everything in them. Methods take the organization's slug. A user who does not belong to it gets
// 403 FORBIDDEN; a new organization is pending until the platform's owner approves it, and until
// then most of what is in it returns 403 too, with [CodeOrganizationNotActive].
type OrganizationsService struct {
	// Members are the users who run the organization, Roles their roles beside owner, admin and
	// member, Invitations those sent to become one.
	Members     *MembersService
	Roles       *RolesService
	Invitations *InvitationsService
	// Services are the applications that use the organization's sign-on, Plans what their users
	// subscribe to, APIKeys their backends' credentials, OAuthCredentials the organization's own at
	// sign-in providers.
	Services         *ServicesService
	Plans            *PlansService
	APIKeys          *APIKeysService
	OAuthCredentials *OAuthCredentialsService
	// EndUsers are the users of those services.
	EndUsers *EndUsersService
	// SAML is AuthOS as a service's identity provider, UpstreamProviders are the organization's
	// own, DomainRoutes say whose users sign in through which, SCIMTokens let one keep them up to
	// date.
	SAML              *SAMLService
	UpstreamProviders *UpstreamProvidersService
	DomainRoutes      *DomainRoutesService
	SCIMTokens        *SCIMTokensService
	// SIEM are the log collectors that events are sent to, Billing is what the organization pays
	// and is paid with.
	SIEM    *SIEMService
	Billing *BillingService
	// Webhooks are told about events as they happen, AuditLog keeps them, Analytics counts
	// sign-ins.
	Webhooks  *WebhooksService
	AuditLog  *AuditLogService
	Analytics *AnalyticsService
	// SMTP, Branding, Domain and Risk are settings.
	SMTP     *SMTPService
	Branding *BrandingService
	Domain   *DomainService
	Risk     *RiskService

	c *Client
}

func newOrganizations(c *Client) *OrganizationsService {
	return &OrganizationsService{
		Members: &MembersService{c}, Roles: &RolesService{c}, Invitations: &InvitationsService{c},
		Services: &ServicesService{c}, Plans: &PlansService{c}, APIKeys: &APIKeysService{c}, OAuthCredentials: &OAuthCredentialsService{c},
		EndUsers: &EndUsersService{c}, Webhooks: &WebhooksService{c}, AuditLog: &AuditLogService{c}, Analytics: &AnalyticsService{c},
		SAML: &SAMLService{c}, UpstreamProviders: &UpstreamProvidersService{c}, DomainRoutes: &DomainRoutesService{c},
		SCIMTokens: &SCIMTokensService{c}, SIEM: &SIEMService{c}, Billing: &BillingService{c},
		SMTP: &SMTPService{c}, Branding: &BrandingService{c}, Domain: &DomainService{c}, Risk: &RiskService{c},
		c: c,
	}
}

// OrganizationStatus reports whether an organization may be used. Other values than those named
// here are kept as the server sent them.
type OrganizationStatus string

// The states of an organization.
const (
	OrganizationPending   OrganizationStatus = "pending" // waits for the platform owner's approval
	OrganizationActive    OrganizationStatus = "active"
	OrganizationSuspended OrganizationStatus = "suspended"
	OrganizationRejected  OrganizationStatus = "rejected"
)

// Organization is a tenant. The server has two forms of it, one for its members and one for the
// platform's owner, which are both read into this.
type Organization struct {
	ID          string             `json:"id"`
	Slug        string             `json:"slug"`
	Name        string             `json:"name"`
	OwnerUserID string             `json:"owner_user_id"`
	Status      OrganizationStatus `json:"status"`
	TierID      string             `json:"tier_id"`
	// MaxServices and MaxUsers override the tier's limits; nil: the tier's own hold.
	MaxServices *int `json:"max_services"`
	MaxUsers    *int `json:"max_users"`
	// Who decided about the organization, when, and why not.
	ApprovedBy      string `json:"approved_by"`
	ApprovedAt      Time   `json:"approved_at"`
	RejectedBy      string `json:"rejected_by"`
	RejectedAt      Time   `json:"rejected_at"`
	RejectionReason string `json:"rejection_reason"`
	// CustomDomain is empty when there is none.
	CustomDomain   string `json:"custom_domain"`
	DomainVerified bool   `json:"domain_verified"`
	// DomainVerificationToken is what the domain's owner publishes; only the platform's owner is
	// told.
	DomainVerificationToken string `json:"domain_verification_token"`
	BrandLogoURL            string `json:"brand_logo_url"`
	BrandPrimaryColor       string `json:"brand_primary_color"`
	// FeatureOverrides are the features that differ from the tier's.
	FeatureOverrides FeatureOverrides `json:"feature_overrides"`
	CreatedAt        Time             `json:"created_at"`
	UpdatedAt        Time             `json:"updated_at"`
}

func (o *Organization) missing() string { return missingID(o.ID) }

// Tier is what an organization may use. Limits may be overridden in the organization.
type Tier struct {
	ID                 string `json:"id"`
	Name               string `json:"name"`
	DisplayName        string `json:"display_name"`
	DefaultMaxServices int64  `json:"default_max_services"`
	DefaultMaxUsers    int64  `json:"default_max_users"`
	// Features are what the tier includes.
	Features   TierFeatures `json:"features"`
	PriceCents int64        `json:"price_cents"`
	Currency   string       `json:"currency"`
	CreatedAt  Time         `json:"created_at"`
}

func (t *Tier) missing() string { return missingID(t.ID) }

// Membership says which role a user has in an organization.
type Membership struct {
	ID     string `json:"id"`
	OrgID  string `json:"org_id"`
	UserID string `json:"user_id"`
	// owner, admin, member or the slug of a role of the organization's own
	Role      RoleSlug `json:"role"`
	CreatedAt Time     `json:"created_at"`
}

func (m *Membership) missing() string { return missingID(m.ID) }

// OrganizationDetails are an organization with what it has and may have.
type OrganizationDetails struct {
	Organization    `json:"organization"`
	MembershipCount int64 `json:"membership_count"`
	ServiceCount    int64 `json:"service_count"`
	Tier            *Tier `json:"tier"` // nil when it has none
}

func (o *OrganizationDetails) missing() string {
	if lack := o.Organization.missing(); lack != "" || o.Tier == nil {
		return lack
	}
	return o.Tier.missing()
}

// OrganizationListParams choose a page.
type OrganizationListParams struct {
	// Status lists organizations in one state only; empty: in all.
	Status OrganizationStatus
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 20; for
	// All, 100.
	Limit, Page int
}

// OrganizationCreateParams are a new organization.
type OrganizationCreateParams struct {
	// Slug is 3 to 50 characters of a-z, 0-9, - and _, and not one of the words that the server
	// keeps for itself, such as "api" or "admin". It cannot be changed.
	Slug string `json:"slug"`
	// Name is 2 to 100 bytes.
	Name string `json:"name"`
	// OwnerEmail is the address of the organization's owner. A server of October 2025 needs it, and
	// asks for no sign-in; newer ones ignore it: there the signed-in user is the owner.
	OwnerEmail string `json:"owner_email,omitempty"`
	// Install puts the returned tokens in use, as [Client.SetTokens] does, where there are any.
	Install bool `json:"-"`
}

// OrganizationUpdateParams are the changes of [OrganizationsService.Update]; nil fields stay as
// they are.
type OrganizationUpdateParams struct {
	Name *string `json:"name,omitzero"` // 2 to 100 bytes
}

// OrganizationSelectParams say what becomes of the new session.
type OrganizationSelectParams struct {
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool `json:"-"`
}

// OrganizationSession is a new session that is bound to an organization.
type OrganizationSession struct {
	Organization
	Membership Membership
	// Tokens are zero where [OrganizationsService.Create] called a server of October 2025, which
	// makes no session.
	Tokens Tokens
	// Owner is the new organization's owner; only [OrganizationsService.Create] gives it.
	Owner *User
}

// Format implements [fmt.Formatter] for every verb: the tokens do not print, not even where fmt
// looks through a pointer.
func (s OrganizationSession) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "OrganizationSession(%s, %s, %v)", s.Slug, s.Membership.Role, s.Tokens)
}

// LogValue implements [slog.LogValuer]; it leaves the tokens out.
func (s OrganizationSession) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

type organizationSessionBody struct {
	Organization Organization `json:"organization"`
	Membership   Membership   `json:"membership"`
	Owner        *User        `json:"owner"`
	tokenBody
}

func (b *organizationSessionBody) missing() string {
	return cmp.Or(b.Organization.missing(), b.Membership.missing(), b.tokenBody.missing())
}

// organizationCreated is the one response that promises the owner.
type organizationCreated struct{ organizationSessionBody }

func (b *organizationCreated) missing() string {
	switch {
	case b.Owner == nil:
		return "owner"
	case b.Owner.ID == "":
		return "id of owner"
	}
	lack := cmp.Or(b.Organization.missing(), b.Membership.missing())
	if lack == "" && b.RefreshToken != "" { // else it is a server of October 2025, without either
		lack = b.tokenBody.missing()
	}
	return lack
}

// List returns one page of the signed-in user's organizations. The server does not count them:
// Total is -1. GET /api/organizations; bearer; may be repeated; cached for the stale fallback.
func (s *OrganizationsService) List(
	ctx context.Context, p OrganizationListParams, opts ...RequestOption,
) (*Page[OrganizationDetails], error) {
	var in checks
	in.numbered(p.Limit, p.Page)
	q := numbering(p.Limit, p.Page)
	put(q, "status", string(p.Status))
	list, err := invoke[bare[OrganizationDetails, *OrganizationDetails]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list, nil), nil
}

// All iterates over the signed-in user's organizations from p.Page on, p.Limit at a time. It stops
// at the first error, which it yields last.
//
// Deleting organizations on the way moves the others to earlier pages, and some are passed over:
// collect first ([AllItems]), then delete.
func (s *OrganizationsService) All(
	ctx context.Context, p OrganizationListParams, opts ...RequestOption,
) iter.Seq2[OrganizationDetails, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[OrganizationDetails], error) {
		p.Limit, p.Page = limit, number
		return s.List(ctx, p, opts...)
	})
}

// Create makes an organization, of which the signed-in user is the owner, and a session bound to
// it. POST /api/organizations; bearer; not repeated when its outcome is unknown. The session the
// call was made with stays good.
//
// A slug that is taken, and more organizations than one user may own (5, unless the server is set
// up otherwise), are 400 BAD_REQUEST. The organization is pending: only the platform's owner makes
// it active. When installing the tokens fails, the session is returned together with the error.
func (s *OrganizationsService) Create(
	ctx context.Context, p OrganizationCreateParams, opts ...RequestOption,
) (*OrganizationSession, error) {
	var in checks
	in.newSlug("slug", p.Slug)
	in.name("name", p.Name)
	if p.OwnerEmail != "" {
		in.emailField("owner_email", p.OwnerEmail)
	}
	body, err := invoke[organizationCreated](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations", body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.session(ctx, s.c, p.Install)
}

// Get returns an organization. GET /api/organizations/:org_slug; bearer, members; may be repeated;
// cached for the stale fallback.
func (s *OrganizationsService) Get(ctx context.Context, orgSlug string, opts ...RequestOption) (*OrganizationDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	return invoke[OrganizationDetails](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug", args: []string{orgSlug}, checks: in,
	}, opts)
}

// Update changes an organization. PATCH /api/organizations/:org_slug; bearer, capability
// org.settings.manage; may be repeated.
func (s *OrganizationsService) Update(
	ctx context.Context, orgSlug string, p OrganizationUpdateParams, opts ...RequestOption,
) (*OrganizationDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	if p.Name != nil {
		in.required("name", *p.Name)
	}
	return invoke[OrganizationDetails](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/organizations/:org_slug", args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Delete removes an organization and everything in it. DELETE /api/organizations/:org_slug; bearer,
// owner; may be repeated: when an attempt's outcome is unknown and its repeat finds 404, Delete has
// succeeded.
func (s *OrganizationsService) Delete(ctx context.Context, orgSlug string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: "/api/organizations/:org_slug", args: []string{orgSlug}, checks: in,
	}, nil, opts)
}

// Select makes a session that is bound to an organization. POST
// /api/organizations/:org_slug/select; bearer, members; not repeated when its outcome is unknown.
// The session the call was made with stays good.
//
// 400 [CodeServiceLimitExceeded] means that the organization has as many users this month as it
// may. When installing the tokens fails, the session is returned together with the error.
func (s *OrganizationsService) Select(
	ctx context.Context, orgSlug string, p OrganizationSelectParams, opts ...RequestOption,
) (*OrganizationSession, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[organizationSessionBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/select", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.session(ctx, s.c, p.Install)
}

func (b *organizationSessionBody) session(ctx context.Context, c *Client, install bool) (*OrganizationSession, error) {
	s := &OrganizationSession{Organization: b.Organization, Membership: b.Membership, Owner: b.Owner, Tokens: b.tokens()}
	if !s.Tokens.isZero() {
		s.Tokens.Origin = c.fam.origin
	}
	if install && !s.Tokens.isZero() {
		return s, c.install(ctx, s.Tokens)
	}
	return s, nil
}

// install puts tokens in use that the server has just given. Whatever becomes of the caller's
// context, they are not lost for want of saving them.
func (c *Client) install(ctx context.Context, t Tokens) error {
	if err := c.SetTokens(context.WithoutCancel(ctx), t); err != nil {
		return errors.Join(errNotInstalled, err)
	}
	return nil
}

var errNotInstalled = errors.New("authos: signed in, but the tokens could not be installed")
