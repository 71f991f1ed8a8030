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

// profile describes the user as this session sees them: in its tenant, and with
// neither plan nor features because nobody has a subscription.
func (c *call) profile() answer {
	u := c.user
	return jsonAnswer(http.StatusOK, profile{
		ID:              u.ID,
		Email:           u.Email,
		IsPlatformOwner: u.platformOwner,
		EmailVerifiedAt: new(stampOffset(u.verified)),
		CreatedAt:       stampOffset(u.created),
		Org:             c.session.org,
		Service:         c.session.service,
		Permissions:     c.permissions(),
	})
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

func (c *call) updateProfile() answer {
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

func (c *call) changeEmail(u *user, email string) *answer {
	if !strings.Contains(email, "@") {
		a := c.invalid("email", "INVALID_FORMAT", "Invalid email format")
		return &a
	}
	if other := c.s.scene.byEmail[strings.ToLower(email)]; other != nil && other != u {
		a := c.taken("Email is already taken")
		return &a
	}
	c.s.scene.rename(u, email, c.now)
	c.applied = true
	return nil
}

// changePassword answers a wrong current password with a 401 that has nothing to
// do with the session.
func (c *call) changePassword() answer {
	in, bad := decode[struct {
		CurrentPassword string `json:"current_password"`
		NewPassword     string `json:"new_password"`
	}](c, plainJSON)
	switch {
	case bad != nil:
		return *bad
	case len(in.NewPassword) < 8:
		return c.invalid("new_password", "OUT_OF_RANGE", "Password must be at least 8 characters long")
	case c.user.Password == "":
		return c.badRequest("This account has no password")
	case c.user.Password != in.CurrentPassword:
		return c.unauthorized("Current password is incorrect")
	}
	c.user.Password, c.user.updated = in.NewPassword, c.now.Truncate(time.Microsecond)
	c.s.endAll(c.user.ID, c.session.id)
	c.applied = true
	return jsonAnswer(http.StatusOK, message{"Password changed successfully"})
}
