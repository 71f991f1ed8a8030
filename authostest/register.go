package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) registerRoutes() {
	t.add("POST", "/api/auth/register", public, (*call).register)
	t.add("GET", "/auth/verify-email", public, (*call).verifyEmail)
	t.add("POST", "/api/auth/resend-verification", public, (*call).resendVerification)
	t.add("POST", "/api/auth/forgot-password", public, (*call).forgotPassword)
	t.add("POST", "/api/auth/reset-password", public, (*call).resetPassword)
}

// minPassword is the only rule for passwords, in bytes.
const minPassword = 8

func (c *call) shortPassword(field, password string) *response {
	if len(password) >= minPassword {
		return nil
	}
	a := c.invalid(field, "OUT_OF_RANGE", "Password must be at least 8 characters long")
	return &a
}

func (c *call) badAddress(email string) *response {
	if strings.Contains(email, "@") {
		return nil
	}
	a := c.invalid("email", "INVALID_FORMAT", "Invalid email format")
	return &a
}

// tenant finds the organization and the service that a sign-in form names. Either
// may be absent.
func (c *call) tenant(org, slug *string) (o *organization, v *service, refused *response) {
	if org == nil {
		return nil, nil, nil
	}
	var a response
	if o = c.s.scene.orgs[*org]; o == nil {
		a = c.notFound("Organization not found")
		return nil, nil, &a
	}
	if slug == nil {
		return o, nil, nil
	}
	if v = o.services[*slug]; v == nil {
		a = c.notFound("Service not found")
		return nil, nil, &a
	}
	return o, v, nil
}

func (c *call) unregisteredURI(v *service, uri *string) *response {
	var a response
	switch {
	case v == nil || uri == nil || slices.Contains(v.redirectURIs, *uri):
		return nil
	case len(v.redirectURIs) == 0:
		a = c.invalid("redirect_uri", "INVALID_VALUE", "No redirect URIs are registered for this service")
	default:
		a = c.invalid("redirect_uri", "INVALID_VALUE", "redirect_uri '"+*uri+"' is not registered for this service")
	}
	return &a
}

// register says the same whether or not the address was free.
func (c *call) register() response {
	in, bad := decode[struct {
		Email       string  `json:"email"`
		Password    string  `json:"password"`
		OrgSlug     *string `json:"org_slug"`
		ServiceSlug *string `json:"service_slug"`
		RedirectURI *string `json:"redirect_uri"`
		State       *string `json:"state"`
	}](c, json400)
	var o *organization
	var v *service
	for _, check := range []func() *response{
		func() *response { return bad },
		func() *response { return c.mailOff("account registration") },
		func() *response { return c.mailLimited(in.Email) },
		func() *response { return c.badAddress(in.Email) },
		func() *response { return c.shortPassword("password", in.Password) },
		func() (refused *response) { o, v, refused = c.tenant(in.OrgSlug, in.ServiceSlug); return refused },
		func() *response { return c.unregisteredURI(v, in.RedirectURI) },
	} {
		if refused := check(); refused != nil {
			return *refused
		}
	}
	if u, fresh := c.s.scene.addUser(in.Email, in.Password, c.now); fresh {
		u.verified = time.Time{}
		if v != nil {
			v.link(u, passwordProvider, c.now)
		}
		if o != nil {
			c.s.publish(o, event{name: "user.signup.success", actor: u, data: details{"provider": passwordProvider}}, c.now)
		}
		c.mailVerification(u)
		c.applied = true
	}
	return jsonResponse(http.StatusOK, message{"If this address can be registered, a verification email is on its way."})
}

func (c *call) mailVerification(u *user) {
	h := c.post(VerificationMail, u.Email, "/verify-email")
	c.s.scene.mail.verify[h] = mailedToken{userID: u.ID, expires: c.now.Add(verificationLife)}
}

// verifyEmail is a GET with effects, and the one JSON route that responds in HTML
// when all is well.
func (c *call) verifyEmail() response {
	token, bad := c.requiredQuery("token")
	if bad != nil {
		return *bad
	}
	h := hashOf(token)
	mailed, ok := c.s.scene.mail.verify[h]
	u := c.s.scene.users[mailed.userID]
	switch {
	case !ok || u == nil:
		return c.badRequest("Invalid verification token")
	case mailed.used:
		return c.badRequest("Verification token has already been used")
	case c.now.After(mailed.expires):
		return c.badRequest("Verification token has expired")
	}
	mailed.used = true
	c.s.scene.mail.verify[h] = mailed
	u.verified = c.now.Truncate(time.Microsecond)
	c.applied = true
	return page("Email verified", "Your email address is verified. You can sign in now.")
}

// askedByMail is the input of the routes that only send a mail.
type askedByMail struct {
	Email       string  `json:"email"`
	OrgSlug     *string `json:"org_slug"`
	ServiceSlug *string `json:"service_slug"`
	RedirectURI *string `json:"redirect_uri"`
	State       *string `json:"state"`
}

// askForMail reads such a request and makes the checks that they share.
func (c *call) askForMail(what string) (in askedByMail, refused *response) {
	in, bad := decode[askedByMail](c, plainJSON)
	var v *service
	for _, check := range []func() *response{
		func() *response { return bad },
		func() *response { return c.mailOff(what) },
		func() *response { return c.mailLimited(in.Email) },
		func() (refused *response) { _, v, refused = c.tenant(in.OrgSlug, in.ServiceSlug); return refused },
		func() *response { return c.unregisteredURI(v, in.RedirectURI) },
	} {
		if refused := check(); refused != nil {
			return in, refused
		}
	}
	return in, nil
}

func (c *call) resendVerification() response {
	in, refused := c.askForMail("email verification")
	if refused != nil {
		return *refused
	}
	if u := c.s.scene.byEmail[strings.ToLower(in.Email)]; u != nil && u.verified.IsZero() {
		c.mailVerification(u)
		c.applied = true
	}
	return jsonResponse(http.StatusOK, message{"If this address waits for verification, another email is on its way."})
}

func (c *call) forgotPassword() response {
	in, refused := c.askForMail("password reset")
	if refused != nil {
		return *refused
	}
	if u := c.s.scene.byEmail[strings.ToLower(in.Email)]; u != nil {
		h := c.post(PasswordResetMail, u.Email, "/reset-password")
		c.s.scene.mail.resets[h] = mailedToken{userID: u.ID, expires: c.now.Add(resetLife)}
		c.applied = true
	}
	return jsonResponse(http.StatusOK, message{"If this address has an account, a password reset email is on its way."})
}

// resetPassword ends every session of the user.
func (c *call) resetPassword() response {
	in, bad := decode[struct {
		Token       string `json:"token"`
		NewPassword string `json:"new_password"`
	}](c, json400)
	if bad != nil {
		return *bad
	}
	return c.setNewPassword(in.Token, in.NewPassword)
}

// setNewPassword uses a mailed token up.
func (c *call) setNewPassword(token, password string) response {
	if short := c.shortPassword("new_password", password); short != nil {
		return *short
	}
	h := hashOf(token)
	mailed, ok := c.s.scene.mail.resets[h]
	u := c.s.scene.users[mailed.userID]
	switch {
	case !ok || u == nil:
		return c.badRequest("Invalid or expired reset token")
	case mailed.used:
		return c.badRequest("Reset token has already been used")
	case c.now.After(mailed.expires):
		return c.badRequest("Reset token has expired")
	}
	mailed.used = true
	c.s.scene.mail.resets[h] = mailed
	u.Password, u.updated = password, c.now.Truncate(time.Microsecond)
	c.s.endAll(u.ID, "")
	c.applied = true
	return jsonResponse(http.StatusOK, message{"Password reset successfully"})
}
