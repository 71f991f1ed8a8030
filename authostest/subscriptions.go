package authostest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

type subscriptionModel struct {
	ID               string `json:"id"`
	UserID           string `json:"user_id"`
	PlanID           string `json:"plan_id"`
	PlanName         string `json:"plan_name"`
	Status           string `json:"status"`
	CurrentPeriodEnd string `json:"current_period_end"`
}

func newSubscriptionModel(s *subscription) subscriptionModel {
	return subscriptionModel{s.id, s.userID, s.plan.id, s.plan.name, s.status, stampZ(s.ends)}
}

// listSubscriptions begins with the one that runs longest.
func (c *call) listSubscriptions() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	if refused := c.may("read:subscriptions"); refused != nil {
		return *refused
	}
	query := c.r.URL.Query()
	matching := slices.DeleteFunc(slices.Clone(c.key.service.subscriptions), func(s *subscription) bool {
		return query.Has("status") && s.status != query.Get("status")
	})
	slices.SortStableFunc(matching, func(a, b *subscription) int { return b.ends.Compare(a.ends) })
	page := []subscriptionModel{}
	for _, s := range slice(matching, limit, offset) {
		page = append(page, newSubscriptionModel(s))
	}
	return jsonResponse(http.StatusOK, struct {
		Subscriptions []subscriptionModel `json:"subscriptions"`
		Total         int                 `json:"total"`
	}{page, len(matching)})
}

// planOf finds a plan of whatever service.
func (sc *scene) planOf(id string) (*service, *plan) {
	for _, o := range sc.orgs {
		for _, v := range o.services {
			if p := v.plan(id); p != nil {
				return v, p
			}
		}
	}
	return nil, nil
}

// createSubscription takes any status. A user has one subscription in a service.
func (c *call) createSubscription() response {
	in, bad := decode[struct {
		UserID           string  `json:"user_id"`
		PlanID           string  `json:"plan_id"`
		Status           *string `json:"status"`
		CurrentPeriodEnd *string `json:"current_period_end"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if refused := c.may("write:subscriptions"); refused != nil {
		return *refused
	}
	v, p := c.s.scene.planOf(in.PlanID)
	switch {
	case p == nil:
		return c.notFound("Plan not found")
	case v != c.key.service:
		return c.forbidden("Plan does not belong to this service")
	}
	u, missing := c.linked(in.UserID)
	if missing != nil {
		return *missing
	}
	ends, bad := c.periodEnd(in.CurrentPeriodEnd)
	switch {
	case bad != nil:
		return *bad
	case v.subscription(u.ID) == nil:
	case c.documented():
		return c.taken("User already has a subscription")
	default:
		// The database refuses the row, and nobody translates that.
		return c.databaseError()
	}
	s := v.subscribe(u.ID, p, c.now)
	s.status = cmp.Or(deref(in.Status), s.status)
	set(&s.ends, ends)
	c.applied = true
	return jsonResponse(http.StatusOK, newSubscriptionModel(s))
}

// periodEnd reads a time, which must have a zone.
func (c *call) periodEnd(text *string) (*time.Time, *response) {
	if text == nil {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339Nano, *text)
	if err != nil {
		a := c.invalid("current_period_end", "INVALID_FORMAT", "Invalid current_period_end: input contains invalid characters")
		return nil, &a
	}
	return new(t.UTC().Truncate(time.Microsecond)), nil
}

func (c *call) getSubscription() response {
	if refused := c.may("read:subscriptions"); refused != nil {
		return *refused
	}
	s := c.key.service.subscription(c.params[0])
	if s == nil {
		return c.notFound("Subscription not found for this user")
	}
	return jsonResponse(http.StatusOK, newSubscriptionModel(s))
}

// pathSubscription finds the subscription of the user of the path.
func (c *call) pathSubscription() (*subscription, *response) {
	u, missing := c.linkedUser()
	if missing != nil {
		return nil, missing
	}
	s := c.key.service.subscription(u.ID)
	if s == nil {
		a := c.notFound("Subscription not found for this user and service")
		return nil, &a
	}
	return s, nil
}

// updateSubscription cannot change the plan.
func (c *call) updateSubscription() response {
	in, bad := decode[struct {
		Status           *string `json:"status"`
		CurrentPeriodEnd *string `json:"current_period_end"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if refused := c.may("write:subscriptions"); refused != nil {
		return *refused
	}
	if _, missing := c.linkedUser(); missing != nil {
		return *missing
	}
	ends, bad := c.periodEnd(in.CurrentPeriodEnd)
	if bad != nil {
		return *bad
	}
	s, missing := c.pathSubscription()
	if missing != nil {
		return *missing
	}
	set(&s.status, in.Status)
	set(&s.ends, ends)
	c.applied = true
	return jsonResponse(http.StatusOK, newSubscriptionModel(s))
}

func (c *call) deleteSubscription() response {
	if refused := c.may("delete:subscriptions"); refused != nil {
		return *refused
	}
	s, missing := c.pathSubscription()
	if missing != nil {
		return *missing
	}
	c.key.service.subscriptions = without(c.key.service.subscriptions, s)
	c.applied = true
	return empty(http.StatusNoContent)
}
