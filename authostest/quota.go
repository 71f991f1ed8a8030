package authostest

import (
	"net/http"
	"strconv"
	"time"
)

// What a tier, or an override of the platform, can forbid.

// feature reports whether an organization may use a part of the product that only
// some tiers include.
func (o *organization) feature(name string) bool {
	if allowed, overridden := o.overrides[name].(bool); overridden {
		return allowed
	}
	return o.tierOf().includes(name)
}

// featureMissing is the refusal of a feature by the name that the server prints.
func (c *call) featureMissing(printed string) response {
	return c.fail(http.StatusForbidden, "FEATURE_NOT_AVAILABLE_IN_TIER",
		"The feature '"+printed+"' is not available on your current plan. Please upgrade to access it.")
}

// monthlyLimit refuses to let somebody into an organization that has had as many
// active users in 30 days as it may. It is the one limit with a code of its own on
// real servers.
func (c *call) monthlyLimit(o *organization) *response {
	limit, _ := o.overrides["max_mau"].(float64)
	overage, _ := o.overrides["allow_overage"].(bool)
	if limit <= 0 || overage {
		return nil
	}
	since, active := c.now.Add(-30*24*time.Hour), map[string]bool{}
	for _, l := range c.s.scene.logins {
		if l.org == o.slug && l.at.After(since) {
			active[l.userID] = true
		}
	}
	if len(active) < int(limit) {
		return nil
	}
	a := c.fail(http.StatusBadRequest, "SERVICE_LIMIT_EXCEEDED", "Monthly active user limit reached ("+
		strconv.Itoa(len(active))+"/"+strconv.Itoa(int(limit))+"). Please upgrade your plan to continue.")
	return &a
}

// serviceLimitReached refuses one more service. Real servers have a code for that
// and do not use it.
func (c *call) serviceLimitReached(o *organization) response {
	if c.documented() {
		return c.fail(http.StatusBadRequest, "SERVICE_LIMIT_EXCEEDED", "Service limit exceeded for organization tier")
	}
	return c.badRequest("Organization has reached maximum service limit (" +
		strconv.Itoa(len(o.services)) + "/" + strconv.Itoa(o.serviceLimit()) + ")")
}

// teamLimitReached refuses one more member.
func (c *call) teamLimitReached() response {
	if c.documented() {
		return c.fail(http.StatusBadRequest, "TEAM_LIMIT_EXCEEDED", "Team limit reached")
	}
	return c.badRequest("Team limit reached")
}

// invitationExpired refuses an invitation that came too late.
func (c *call) invitationExpired() response {
	if c.documented() {
		return c.fail(http.StatusBadRequest, "INVITATION_EXPIRED", "Invitation has expired")
	}
	return c.badRequest("Invitation has expired")
}
