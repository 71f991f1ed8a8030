package authos

import (
	"cmp"
	"context"
	"iter"
	"math"
	"net/http"
	"reflect"
)

// PlatformOrganizationsService are all organizations of the platform. Its methods take an
// organization's id, not its slug; one that does not exist is 404 NOT_FOUND.
type PlatformOrganizationsService struct{ c *Client }

// PlatformOrganization is an organization as the platform's owners see it.
type PlatformOrganization struct {
	Organization
	Tier  *Tier `json:"tier"`  // nil when it has none
	Owner *User `json:"owner"` // nil when the user was deleted
}

func (o *PlatformOrganization) missing() string {
	lack := o.Organization.missing()
	if o.Tier != nil {
		lack = cmp.Or(lack, o.Tier.missing())
	}
	if o.Owner != nil {
		lack = cmp.Or(lack, o.Owner.missing())
	}
	return lack
}

// deletedOwner is the id under which the server shows an owner who was deleted, with an e-mail
// address of nobody.
const deletedOwner = "unknown"

type platformOrganizationList struct {
	Organizations *[]PlatformOrganization `json:"organizations"`
	Total         *int64                  `json:"total"`
}

func (l *platformOrganizationList) missing() string {
	return missingItem("organizations", l.Organizations)
}

// PlatformOrganizationListParams choose a page.
type PlatformOrganizationListParams struct {
	// Status and TierID list organizations in one state or on one tier only; empty: all.
	Status OrganizationStatus
	TierID string
	// Limit is 1 to 100; zero: the server's default, 50; for All, 100. Offset is how many
	// organizations to skip.
	Limit, Offset int
}

// OrganizationApproveParams are how an organization begins.
type OrganizationApproveParams struct {
	// TierID is its tier; empty: the free one.
	TierID string `json:"tier_id,omitempty"`
}

// OrganizationUpdateTierParams are an organization's tier and its limits where they differ from the
// tier's. All of it is set at once: a limit that is nil is the tier's own from then on, whatever it
// was before.
type OrganizationUpdateTierParams struct {
	TierID string `json:"tier_id"`
	// MaxServices and MaxUsers are 0 to 2^31-1; nil: the tier's own limit.
	MaxServices *int `json:"max_services,omitzero"`
	MaxUsers    *int `json:"max_users,omitzero"`
}

// orgID is id for the routes that call an organization's id just that.
func (c *checks) orgID(value string) {
	n := len(*c)
	if c.segment("id", value); len(*c) > n {
		(*c)[n].GoField = "orgID"
	}
}

func checkLimit(in *checks, field string, limit *int) {
	if limit != nil && (*limit < 0 || *limit > math.MaxInt32) {
		in.add(field, CodeOutOfRange, "must be 0 to 2147483647, or nil for the tier's own limit")
	}
}

// List returns one page of the platform's organizations. GET /api/platform/organizations; bearer,
// platform owner; may be repeated; never stale, since it holds the tokens that prove domains.
func (s *PlatformOrganizationsService) List(
	ctx context.Context, p PlatformOrganizationListParams, opts ...RequestOption,
) (*Page[PlatformOrganization], error) {
	var in checks
	in.page(p.Limit, p.Offset)
	q := paging(p.Limit, p.Offset)
	put(q, "status", string(p.Status))
	put(q, "tier_id", p.TierID)
	list, err := invoke[platformOrganizationList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/organizations", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	items := *list.Organizations
	for i := range items {
		if owner := items[i].Owner; owner != nil && owner.ID == deletedOwner {
			items[i].Owner = nil
		}
	}
	return newPage(items, list.Total), nil
}

// All iterates over the platform's organizations from p.Offset on, p.Limit at a time. It stops at
// the first error, which it yields last.
//
// Deleting organizations on the way, or changing the state of those in a list by Status, moves the
// others to earlier pages, and some are passed over: collect first ([AllItems]), then delete or
// decide.
func (s *PlatformOrganizationsService) All(
	ctx context.Context, p PlatformOrganizationListParams, opts ...RequestOption,
) iter.Seq2[PlatformOrganization, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[PlatformOrganization], error) {
		p.Limit, p.Offset = limit, offset
		return s.List(ctx, p, opts...)
	})
}

// Approve makes a pending organization active, and returns it. POST
// /api/platform/organizations/:id/approve; bearer, platform owner; not repeated when its outcome is
// unknown. One that is not pending is 400 BAD_REQUEST, a tier that does not exist 404 NOT_FOUND.
func (s *PlatformOrganizationsService) Approve(
	ctx context.Context, orgID string, p OrganizationApproveParams, opts ...RequestOption,
) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	// The server insists on a body, be it {}.
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/organizations/:id/approve", args: []string{orgID}, body: p, checks: in,
	}, opts)
}

// Reject turns a pending organization down, for a reason that goes on record, and returns it. POST
// /api/platform/organizations/:id/reject; bearer, platform owner; not repeated when its outcome is
// unknown. One that is not pending is 400 BAD_REQUEST.
func (s *PlatformOrganizationsService) Reject(
	ctx context.Context, orgID, reason string, opts ...RequestOption,
) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	in.required("reason", reason)
	in.argument("reason")
	body := map[string]string{"reason": reason}
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/organizations/:id/reject", args: []string{orgID}, body: body, checks: in,
	}, opts)
}

// Suspend closes an organization until [PlatformOrganizationsService.Activate], and returns it: its
// API keys stop working, and sessions bound to it are not refreshed. POST
// /api/platform/organizations/:id/suspend; bearer, platform owner; not repeated when its outcome is
// unknown. One that is suspended already is 400 BAD_REQUEST.
func (s *PlatformOrganizationsService) Suspend(ctx context.Context, orgID string, opts ...RequestOption) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/organizations/:id/suspend", args: []string{orgID}, checks: in,
	}, opts)
}

// Activate opens a suspended organization again, and returns it. POST
// /api/platform/organizations/:id/activate; bearer, platform owner; not repeated when its outcome
// is unknown. One that is not suspended is 400 BAD_REQUEST.
func (s *PlatformOrganizationsService) Activate(ctx context.Context, orgID string, opts ...RequestOption) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/organizations/:id/activate", args: []string{orgID}, checks: in,
	}, opts)
}

// UpdateTier puts an organization on a tier and sets its own limits, and returns it. PATCH
// /api/platform/organizations/:id/tier; bearer, platform owner; may be repeated. A limit that p
// leaves nil is reset to the tier's own. A tier that does not exist is 404 NOT_FOUND.
func (s *PlatformOrganizationsService) UpdateTier(
	ctx context.Context, orgID string, p OrganizationUpdateTierParams, opts ...RequestOption,
) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	in.required("tier_id", p.TierID)
	checkLimit(&in, "max_services", p.MaxServices)
	checkLimit(&in, "max_users", p.MaxUsers)
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/platform/organizations/:id/tier", args: []string{orgID}, body: p, checks: in,
	}, opts)
}

// UpdateFeatures overrides features of an organization's tier, and returns the organization. PATCH
// /api/platform/organizations/:id/features; bearer, platform owner; may be repeated.
//
// What is nil in f stays as it is, overridden or not: an override can be changed, but the server
// has no way to take it back.
func (s *PlatformOrganizationsService) UpdateFeatures(
	ctx context.Context, orgID string, f FeatureOverrides, opts ...RequestOption,
) (*Organization, error) {
	var in checks
	in.orgID(orgID)
	if reflect.ValueOf(f).IsZero() {
		in.add("features", CodeRequired, "must change something")
	}
	return invoke[Organization](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/platform/organizations/:id/features", args: []string{orgID}, body: f, checks: in,
	}, opts)
}

// Delete removes an organization and everything in it. DELETE /api/platform/organizations/:id;
// bearer, platform owner; may be repeated: when an attempt's outcome is unknown and its repeat
// finds 404, Delete has succeeded.
func (s *PlatformOrganizationsService) Delete(ctx context.Context, orgID string, opts ...RequestOption) error {
	var in checks
	in.orgID(orgID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: "/api/platform/organizations/:id", args: []string{orgID}, checks: in,
	}, opts)
}
