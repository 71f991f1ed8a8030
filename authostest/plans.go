package authostest

import (
	"net/http"
	"slices"
	"time"
)

func (t *table) planRoutes() {
	const all = "/api/organizations/:org_slug/services/:service_slug/plans"
	t.add("GET", all, bearer, (*call).listPlans)
	t.add("POST", all, bearer, (*call).createPlan)
	t.add("PATCH", all+"/:plan_id", bearer, (*call).updatePlan)
	t.add("DELETE", all+"/:plan_id", bearer, (*call).deletePlan)
	t.add("POST", "/api/organizations/:org_slug/services/:service_slug/checkout", bearer, (*call).checkout)
}

type planModel struct {
	ID            string  `json:"id"`
	ServiceID     string  `json:"service_id"`
	Name          string  `json:"name"`
	Description   *string `json:"description"`
	PriceCents    int     `json:"price_cents"`
	Currency      string  `json:"currency"`
	Features      *string `json:"features"` // a JSON array, as text
	StripePriceID *string `json:"stripe_price_id"`
	IsDefault     bool    `json:"is_default"`
	CreatedAt     string  `json:"created_at"`
}

func newPlanModel(v *service, p *plan) planModel {
	return planModel{
		p.id, v.id, p.name, p.description, p.cents, p.currency, p.featureText(), p.priceID, p.byDefault, stampZ(p.created),
	}
}

// featureText is null where the database has none, which it had in October 2025.
func (p *plan) featureText() *string {
	if p.features == nil {
		return nil
	}
	return new(string(encode(p.features)))
}

type planResponse struct {
	Plan              planModel `json:"plan"`
	SubscriptionCount int       `json:"subscription_count"`
}

func newPlanResponse(v *service, p *plan) planResponse {
	return planResponse{newPlanModel(v, p), v.active(p)}
}

func (c *call) listPlans() response {
	v, refused := c.viewedService("view plans for this service")
	if refused != nil {
		return *refused
	}
	list := []planResponse{}
	for _, p := range v.plans {
		list = append(list, newPlanResponse(v, p))
	}
	return jsonResponse(http.StatusOK, list)
}

// planNamed refuses a name that another plan of the service has.
func (c *call) planNamed(v *service, name string, own *plan) *response {
	if other := find(v.plans, func(p *plan) bool { return p.name == name }); other == nil || other == own {
		return nil
	}
	a := c.duplicate("A plan with this name already exists for this service")
	return &a
}

func (c *call) createPlan() response {
	in, bad := decode[struct {
		Name          string    `json:"name"`
		PriceCents    int       `json:"price_cents"`
		Currency      string    `json:"currency"`
		Description   *string   `json:"description"`
		Features      *[]string `json:"features"`
		StripePriceID *string   `json:"stripe_price_id"`
		IsDefault     *bool     `json:"is_default"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	v, refused := c.managedService("create plans for this service")
	if refused == nil {
		refused = c.planNamed(v, in.Name, nil)
	}
	if refused != nil {
		return *refused
	}
	p := &plan{
		id: c.s.newID(), name: in.Name, description: in.Description, cents: in.PriceCents, currency: in.Currency,
		features: []string{}, priceID: in.StripePriceID, created: c.now.Truncate(time.Microsecond),
	}
	if c.october() {
		p.features = nil
	}
	set(&p.features, in.Features)
	set(&p.byDefault, in.IsDefault)
	v.plans = append(v.plans, p)
	c.applied = true
	return jsonResponse(http.StatusOK, newPlanResponse(v, p))
}

// pathPlan finds the plan of the path in a service.
func (c *call) pathPlan(v *service) (*plan, *response) {
	if p := v.plan(c.params[2]); p != nil {
		return p, nil
	}
	a := c.notFound("Plan not found")
	return nil, &a
}

// updatePlan overlooks three of its fields when it decides whether there is
// anything to do.
func (c *call) updatePlan() response {
	in, bad := decode[struct {
		Name          *string   `json:"name"`
		Description   *string   `json:"description"`
		PriceCents    *int      `json:"price_cents"`
		Currency      *string   `json:"currency"`
		Features      *[]string `json:"features"`
		StripePriceID *string   `json:"stripe_price_id"`
		IsDefault     *bool     `json:"is_default"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	v, refused := c.managedService("update plans for this service")
	if refused != nil {
		return *refused
	}
	p, missing := c.pathPlan(v)
	switch {
	case missing != nil:
		return *missing
	case in.Name == nil && in.PriceCents == nil && in.Currency == nil && in.Features == nil:
		return c.badRequest("No fields to update")
	}
	if in.Name != nil {
		if refused := c.planNamed(v, *in.Name, p); refused != nil {
			return *refused
		}
	}
	set(&p.name, in.Name)
	set(&p.cents, in.PriceCents)
	set(&p.currency, in.Currency)
	set(&p.features, in.Features)
	set(&p.byDefault, in.IsDefault)
	set(&p.description, given(in.Description))
	set(&p.priceID, given(in.StripePriceID))
	c.applied = true
	return jsonResponse(http.StatusOK, newPlanResponse(v, p))
}

func (c *call) deletePlan() response {
	v, refused := c.managedService("delete plans for this service")
	if refused != nil {
		return *refused
	}
	p, missing := c.pathPlan(v)
	switch {
	case missing != nil:
		return *missing
	case v.active(p) > 0:
		return c.badRequest("Cannot delete plan with active subscriptions")
	}
	v.plans = without(v.plans, p)
	v.subscriptions = slices.DeleteFunc(v.subscriptions, func(s *subscription) bool { return s.plan == p })
	c.applied = true
	return empty(http.StatusNoContent)
}

func (c *call) checkout() response {
	in, bad := decode[struct {
		PlanID     string `json:"plan_id"`
		SuccessURL string `json:"success_url"`
		CancelURL  string `json:"cancel_url"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.activeOrg()
	switch {
	case refused != nil:
		return *refused
	case o.members[c.user.ID] == "":
		return c.forbidden("Not a member of this organization")
	}
	v, missing := c.pathService(o)
	if missing != nil {
		return *missing
	}
	p := v.plan(in.PlanID)
	switch {
	case p == nil:
		return c.notFound("Plan not found")
	case p.priceID == nil:
		return c.badRequest("Plan does not have a price configured")
	}
	id := "cs_test_" + c.s.randomHex(16)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		CheckoutURL string `json:"checkout_url"`
		SessionID   string `json:"session_id"`
	}{"https://checkout.stripe.com/c/pay/" + id, id})
}
