package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) userRoutes() {
	t.add("GET", "/api/user", bearer, (*call).profile)
	t.add("PATCH", "/api/user", bearer, (*call).updateProfile)
	t.add("POST", "/api/user/change-password", bearer, (*call).changePassword)
	t.add("POST", "/api/user/set-password", bearer, (*call).setPassword)
	t.add("GET", "/api/subscription", bearer, (*call).ownSubscription)
	t.userDeviceRoutes()
	t.mfaRoutes()
	t.accountRoutes()
	t.privacyRoutes()
}

// capabilities are what owners and admins may do in their organization.
var capabilities = []string{
	"org.settings.manage", "org.members.view", "org.members.manage", "org.roles.manage", "billing.manage",
	"services.view", "services.create", "services.manage", "end_users.view", "end_users.manage",
	"webhooks.manage", "integrations.manage", "audit_logs.view", "risk_events.view", "risk_policies.manage",
}

type profile struct {
	ID              string   `json:"id"`
	Email           string   `json:"email"`
	IsPlatformOwner bool     `json:"is_platform_owner"`
	EmailVerifiedAt *string  `json:"email_verified_at"`
	CreatedAt       string   `json:"created_at"`
	Org             string   `json:"org"`
	Service         string   `json:"service"`
	Permissions     []string `json:"permissions"`
	Plan            *string  `json:"plan"`
	Features        []string `json:"features"`
}

// profile describes the user as this session sees them: in its tenant.
func (c *call) profile() response {
	u := c.user
	p := profile{
		ID:              u.ID,
		Email:           u.Email,
		IsPlatformOwner: u.platformOwner,
		EmailVerifiedAt: stamped(u.verified, stampOffset),
		CreatedAt:       stampOffset(u.created),
		Org:             c.session.org,
		Service:         c.session.service,
		Permissions:     c.permissions(),
	}
	if v := c.s.scene.service(c.session.org, c.session.service); v != nil {
		if s := v.subscription(u.ID); s != nil {
			p.Plan, p.Features = &s.plan.name, s.plan.features
		}
	}
	return jsonResponse(http.StatusOK, p)
}

func (c *call) permissions() []string {
	list := []string{} // an empty list is [], never null
	if o := c.s.scene.orgs[c.session.org]; o != nil {
		role := o.members[c.user.ID]
		if role != "" {
			list = append(list, "organization:"+o.id+"#"+role)
		}
		if role == "owner" || role == "admin" {
			list = append(list, capabilities...)
		}
	}
	slices.Sort(list)
	return list
}

func (c *call) updateProfile() response {
	in, bad := decode[struct {
		Email *string `json:"email"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if in.Email != nil {
		if refused := c.changeEmail(c.user, *in.Email); refused != nil {
			return *refused
		}
	}
	return c.profile()
}

func (c *call) changeEmail(u *user, email string) *response {
	if bad := c.badAddress(email); bad != nil {
		return bad
	}
	if other := c.s.scene.byEmail[strings.ToLower(email)]; other != nil && other != u {
		a := c.taken(c.either("Email is already taken", "Email already in use"))
		return &a
	}
	c.s.scene.rename(u, email, c.now)
	c.applied = true
	return nil
}

// changePassword responds to a wrong current password with a 401 that has nothing to
// do with the session.
func (c *call) changePassword() response {
	in, bad := decode[struct {
		CurrentPassword string `json:"current_password"`
		NewPassword     string `json:"new_password"`
	}](c, plainJSON)
	if bad == nil {
		bad = c.shortPassword("new_password", in.NewPassword)
	}
	switch {
	case bad != nil:
		return *bad
	case c.user.Password == "":
		return c.badRequest("This account has no password")
	case c.user.Password != in.CurrentPassword:
		return c.unauthorized("Current password is incorrect")
	}
	c.user.Password, c.user.updated = in.NewPassword, c.now.Truncate(time.Microsecond)
	c.s.endAll(c.user.ID, c.session.id)
	c.applied = true
	return jsonResponse(http.StatusOK, message{"Password changed successfully"})
}

// setPassword is for accounts that have none yet.
func (c *call) setPassword() response {
	in, bad := decode[struct {
		NewPassword string `json:"new_password"`
	}](c, plainJSON)
	if bad == nil {
		bad = c.shortPassword("new_password", in.NewPassword)
	}
	switch {
	case bad != nil:
		return *bad
	case c.user.Password != "":
		return c.badRequest("This account already has a password")
	}
	c.user.Password, c.user.updated = in.NewPassword, c.now.Truncate(time.Microsecond)
	c.applied = true
	return jsonResponse(http.StatusOK, message{"Password set successfully"})
}

// ownSubscription writes the end of a subscription that does not exist as "N/A",
// in the place of a time.
func (c *call) ownSubscription() response {
	switch {
	case c.session.org == "":
		return c.badRequest("Missing org in token")
	case c.session.service == "":
		return c.badRequest("Missing service in token")
	}
	out := struct {
		Service          string   `json:"service"`
		Plan             string   `json:"plan"`
		Features         []string `json:"features"`
		Status           string   `json:"status"`
		CurrentPeriodEnd string   `json:"current_period_end"`
	}{c.session.service, "free", []string{}, "active", "N/A"}
	if v := c.s.scene.service(c.session.org, c.session.service); v != nil {
		if s := v.subscription(c.user.ID); s != nil {
			out.Plan, out.Features, out.Status = s.plan.name, s.plan.features, s.status
			out.CurrentPeriodEnd = s.ends.UTC().Format(time.DateTime) // as the database writes it
		}
	}
	return jsonResponse(http.StatusOK, out)
}
