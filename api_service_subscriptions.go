package authos

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// ServiceSubscriptionsService are the subscriptions of the users of the API key's service, one for
// each user at most.
type ServiceSubscriptionsService struct{ c *Client }

// SubscriptionStatus says how a subscription is. The server takes and keeps any text.
type SubscriptionStatus string

// The states of a subscription that AuthOS itself uses.
const (
	SubscriptionActive   SubscriptionStatus = "active"
	SubscriptionCanceled SubscriptionStatus = "canceled"
)

// ServiceSubscription is a user's subscription to one of the service's plans.
type ServiceSubscription struct {
	ID       string             `json:"id"`
	UserID   string             `json:"user_id"`
	PlanID   string             `json:"plan_id"`
	PlanName string             `json:"plan_name"`
	Status   SubscriptionStatus `json:"status"`
	// CurrentPeriodEnd is the server's present time where it could not read its own record.
	CurrentPeriodEnd Time `json:"current_period_end"`
}

func (s *ServiceSubscription) missing() string { return missingID(s.ID) }

// ServiceSubscriptionListParams choose a page.
type ServiceSubscriptionListParams struct {
	// Status lists subscriptions in one state only; empty: in all.
	Status SubscriptionStatus
	// Limit is 1 to 100. Zero: the server's default, 50; for All, 100.
	Limit int
	// Offset is how many subscriptions to skip.
	Offset int
}

// ServiceSubscriptionCreateParams are a new subscription.
type ServiceSubscriptionCreateParams struct {
	UserID string `json:"user_id"`
	PlanID string `json:"plan_id"`
	// Status is active when it is empty. CurrentPeriodEnd is 30 days from now when it is zero.
	Status           SubscriptionStatus `json:"status,omitempty"`
	CurrentPeriodEnd time.Time          `json:"current_period_end,omitzero"`
}

// ServiceSubscriptionUpdateParams are the changes of [ServiceSubscriptionsService.Update]; zero
// fields stay as they are. The plan cannot be changed: delete the subscription and make another.
type ServiceSubscriptionUpdateParams struct {
	Status           SubscriptionStatus `json:"status,omitempty"`
	CurrentPeriodEnd time.Time          `json:"current_period_end,omitzero"`
}

type serviceSubscriptionList struct {
	Subscriptions *[]ServiceSubscription `json:"subscriptions"`
	Total         *int64                 `json:"total"`
}

func (l *serviceSubscriptionList) missing() string {
	return missingItem("subscriptions", l.Subscriptions)
}

const subscriptionPath = "/api/service/subscriptions/:user_id"

// List returns one page of the service's subscriptions. GET /api/service/subscriptions; permission
// read:subscriptions; may be repeated; cached for the stale fallback.
func (s *ServiceSubscriptionsService) List(
	ctx context.Context, p ServiceSubscriptionListParams, opts ...RequestOption,
) (*Page[ServiceSubscription], error) {
	var in checks
	in.page(p.Limit, p.Offset)
	q := paging(p.Limit, p.Offset)
	put(q, "status", string(p.Status))
	list, err := invoke[serviceSubscriptionList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/service/subscriptions", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Subscriptions, list.Total), nil
}

// All iterates over the service's subscriptions from p.Offset on, p.Limit at a time. It stops at
// the first error, which it yields last.
//
// Deleting subscriptions on the way moves the others to earlier pages, and some are passed over:
// collect first ([AllItems]), then delete.
func (s *ServiceSubscriptionsService) All(
	ctx context.Context, p ServiceSubscriptionListParams, opts ...RequestOption,
) iter.Seq2[ServiceSubscription, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[ServiceSubscription], error) {
		p.Limit, p.Offset = limit, offset
		return s.List(ctx, p, opts...)
	})
}

// Create subscribes a user to a plan. POST /api/service/subscriptions; permission
// write:subscriptions; not repeated when its outcome is unknown. A user or plan that does not exist
// is 404 NOT_FOUND, another service's plan 403 FORBIDDEN.
func (s *ServiceSubscriptionsService) Create(
	ctx context.Context, p ServiceSubscriptionCreateParams, opts ...RequestOption,
) (*ServiceSubscription, error) {
	var in checks
	in.required("user_id", p.UserID)
	in.required("plan_id", p.PlanID)
	return invoke[ServiceSubscription](ctx, s.c, request{
		method: http.MethodPost, template: "/api/service/subscriptions", body: p, checks: in,
	}, opts)
}

// Get returns a user's subscription. GET /api/service/subscriptions/:user_id; permission
// read:subscriptions; may be repeated; cached for the stale fallback. Without one it is 404
// NOT_FOUND.
func (s *ServiceSubscriptionsService) Get(ctx context.Context, userID string, opts ...RequestOption) (*ServiceSubscription, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[ServiceSubscription](ctx, s.c, request{
		method: http.MethodGet, template: subscriptionPath, args: []string{userID}, checks: in,
	}, opts)
}

// Update changes a user's subscription. PATCH /api/service/subscriptions/:user_id; permission
// write:subscriptions; may be repeated.
func (s *ServiceSubscriptionsService) Update(
	ctx context.Context, userID string, p ServiceSubscriptionUpdateParams, opts ...RequestOption,
) (*ServiceSubscription, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[ServiceSubscription](ctx, s.c, request{
		method: http.MethodPatch, template: subscriptionPath, args: []string{userID}, body: p, checks: in,
	}, opts)
}

// Delete ends a user's subscription. DELETE /api/service/subscriptions/:user_id; permission
// delete:subscriptions; may be repeated: when an attempt's outcome is unknown and its repeat finds
// 404, Delete has succeeded.
func (s *ServiceSubscriptionsService) Delete(ctx context.Context, userID string, opts ...RequestOption) error {
	var in checks
	in.id("user_id", userID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: subscriptionPath, args: []string{userID}, checks: in,
	}, nil, opts)
}
