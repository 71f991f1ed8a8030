package authos

import (
	"context"
	"iter"
	"net/http"
)

// PlansService are the plans of a service, which its users subscribe to. Every method needs an
// active organization, else it is 403 [CodeOrganizationNotActive].
type PlansService struct{ c *Client }

// Plan is what a service's user can subscribe to.
type Plan struct {
	ID          string   `json:"id"`
	ServiceID   string   `json:"service_id"`
	Name        string   `json:"name"`
	Description string   `json:"description"` // empty when there is none
	PriceCents  int64    `json:"price_cents"` // in hundredths of the currency
	Currency    string   `json:"currency"`    // such as usd
	Features    Features `json:"features"`
	// empty: it cannot be bought by [ServicesService.Checkout]
	StripePriceID string `json:"stripe_price_id"`
	IsDefault     bool   `json:"is_default"`
	CreatedAt     Time   `json:"created_at"`
}

func (p *Plan) missing() string { return missingID(p.ID) }

// PlanDetails are a plan with how many active subscriptions it has.
type PlanDetails struct {
	Plan              `json:"plan"`
	SubscriptionCount int64 `json:"subscription_count"`
}

func (p *PlanDetails) missing() string { return p.Plan.missing() }

// PlanCreateParams are a new plan.
type PlanCreateParams struct {
	Name          string   `json:"name"`
	PriceCents    int      `json:"price_cents"` // in hundredths of the currency
	Currency      string   `json:"currency"`    // such as usd
	Description   string   `json:"description,omitempty"`
	Features      []string `json:"features,omitempty"`
	StripePriceID string   `json:"stripe_price_id,omitempty"`
	IsDefault     bool     `json:"is_default,omitempty"`
}

// PlanUpdateParams are the changes of [PlansService.Update]; nil fields stay as they are. One of
// Name, PriceCents, Currency and Features must be given: the server refuses the others alone.
type PlanUpdateParams struct {
	Name          *string  `json:"name,omitzero"`
	PriceCents    *int     `json:"price_cents,omitzero"`
	Currency      *string  `json:"currency,omitzero"`
	Features      []string `json:"features,omitzero"` // empty but not nil: none
	Description   *string  `json:"description,omitzero"`
	StripePriceID *string  `json:"stripe_price_id,omitzero"`
	IsDefault     *bool    `json:"is_default,omitzero"`
}

const (
	plansPath = "/api/organizations/:org_slug/services/:service_slug/plans"
	planPath  = "/api/organizations/:org_slug/services/:service_slug/plans/:plan_id"
)

// List returns all plans of a service. GET
// /api/organizations/:org_slug/services/:service_slug/plans; bearer, capability services.view or a
// grant; may be repeated; cached for the stale fallback.
func (s *PlansService) List(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) ([]PlanDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	list, err := invoke[bare[PlanDetails, *PlanDetails]](ctx, s.c, request{
		method: http.MethodGet, template: plansPath, args: []string{orgSlug, serviceSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same plans. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *PlansService) All(ctx context.Context, orgSlug, serviceSlug string, opts ...RequestOption) iter.Seq2[PlanDetails, error] {
	return unpaged(func() ([]PlanDetails, error) { return s.List(ctx, orgSlug, serviceSlug, opts...) })
}

// Create makes a plan. POST /api/organizations/:org_slug/services/:service_slug/plans; bearer,
// capability services.manage or a manager's grant; not repeated when its outcome is unknown. A name
// that another plan of the service has is 400.
func (s *PlansService) Create(
	ctx context.Context, orgSlug, serviceSlug string, p PlanCreateParams, opts ...RequestOption,
) (*PlanDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.required("name", p.Name)
	in.required("currency", p.Currency)
	return invoke[PlanDetails](ctx, s.c, request{
		method: http.MethodPost, template: plansPath, args: []string{orgSlug, serviceSlug}, body: p, checks: in,
	}, opts)
}

// Update changes a plan. PATCH /api/organizations/:org_slug/services/:service_slug/plans/:plan_id;
// bearer, capability services.manage or a manager's grant; may be repeated. A name that another
// plan of the service has is 400. Params with none of Name, PriceCents, Currency and Features are a
// [*ValidationError], as the server refuses them.
func (s *PlansService) Update(
	ctx context.Context, orgSlug, serviceSlug, planID string, p PlanUpdateParams, opts ...RequestOption,
) (*PlanDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.id("plan_id", planID)
	if p.Name == nil && p.PriceCents == nil && p.Currency == nil && p.Features == nil {
		in.oneNeeded("name", "price_cents", "currency", "features")
	}
	return invoke[PlanDetails](ctx, s.c, request{
		method: http.MethodPatch, template: planPath, args: []string{orgSlug, serviceSlug, planID}, body: p, checks: in,
	}, opts)
}

// Delete removes a plan. DELETE /api/organizations/:org_slug/services/:service_slug/plans/:plan_id;
// bearer, capability services.manage or a manager's grant; may be repeated: when an attempt's
// outcome is unknown and its repeat finds 404, Delete has succeeded. A plan with active
// subscriptions is 400 BAD_REQUEST.
func (s *PlansService) Delete(ctx context.Context, orgSlug, serviceSlug, planID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.id("plan_id", planID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: planPath, args: []string{orgSlug, serviceSlug, planID}, checks: in,
	}, nil, opts)
}
