package authostest

import (
	"net/http"
	"strings"
	"time"
)

func (t *table) authRoutes() {
	t.add("POST", "/api/auth/login", public, (*call).login)
	t.add("POST", "/api/auth/refresh", public, (*call).refresh)
	t.add("POST", "/api/auth/logout", public, (*call).logout)
	t.add("POST", "/auth/revoke", public, (*call).revoke)
	t.add("POST", "/api/auth/mfa/verify", public, (*call).verifyMFA)
	t.add("GET", "/api/auth/magic-link/verify", public, (*call).verifyMagicLink)
	t.registerRoutes()
	t.signinRoutes()
	t.deviceRoutes()
	t.oauthRoutes()
	t.passkeyRoutes()
}

// mfaCode is the one-time code of everybody.
const mfaCode = "123456"

// preauthLife is how long the second factor may take.
const preauthLife = 5 * time.Minute

// message is the response of routes that have nothing to return.
type message struct {
	Message string `json:"message"`
}

func (c *call) login() response {
	in, bad := decode[struct {
		Email       string  `json:"email"`
		Password    string  `json:"password"`
		OrgSlug     *string `json:"org_slug"`
		ServiceSlug *string `json:"service_slug"`
		RedirectURI *string `json:"redirect_uri"`
		SAMLState   *string `json:"saml_state"`
	}](c, json400)
	if bad != nil {
		return *bad
	}
	if refused := c.needsTenant(in.OrgSlug, in.ServiceSlug, in.RedirectURI); refused != nil {
		return *refused
	}
	o, v, refused := c.tenant(in.OrgSlug, in.ServiceSlug)
	if refused == nil {
		refused = c.unregisteredURI(v, in.RedirectURI)
	}
	if refused != nil {
		return *refused
	}
	who := c.s.scene.byEmail[strings.ToLower(in.Email)]
	switch {
	case who == nil || who.Password == "" || who.Password != in.Password:
		if o != nil {
			c.s.publish(o, event{name: "user.login.failed", actor: who}, c.now)
		}
		return c.unauthorized("Invalid email or password")
	case who.verified.IsZero():
		return c.unauthorized("Please verify your email address before logging in")
	}
	if refused = c.inactive(o); refused == nil {
		refused = c.mayEnterHere(who, o, v)
	}
	if refused == nil && o != nil {
		refused = c.monthlyLimit(o)
	}
	if refused != nil {
		return *refused
	}
	org, svc := deref(in.OrgSlug), deref(in.ServiceSlug)
	if who.mfa {
		// Not an error: a 200 whose refresh token is empty.
		return jsonResponse(http.StatusOK, tokenResponse{c.preauth(who, org, svc), "", int64(preauthLife / time.Second)})
	}
	c.applied = true
	return jsonResponse(http.StatusOK, c.s.open(who, org, svc, c.now))
}

func (c *call) preauth(who *user, org, service string) string {
	return c.s.sign(preauthType, who, org, service, c.now, c.now.Add(preauthLife))
}

func (c *call) refresh() response {
	in, bad := decode[struct {
		RefreshToken string `json:"refresh_token"`
	}](c, json400)
	switch {
	case bad != nil:
		return *bad
	case c.october():
	case strings.TrimSpace(in.RefreshToken) == "":
		return c.badRequest("Refresh token cannot be empty")
	case len(in.RefreshToken) > 1000:
		return c.badRequest("Refresh token too long")
	}
	return c.refreshSession(in.RefreshToken)
}

// logout does not look at the token, only for it: any Bearer value will do.
func (c *call) logout() response {
	token, bad := c.bearerToken()
	if bad != nil {
		return *bad
	}
	c.endByAccess(token)
	if c.october() {
		return empty(http.StatusNoContent)
	}
	return jsonResponse(http.StatusOK, message{"Logged out successfully"})
}

func (c *call) endByAccess(token string) {
	if known := c.s.scene.issued[hashOf(token)]; known != nil {
		if row := c.s.scene.sessions[known.sessionID]; row != nil && row.access == hashOf(token) {
			c.s.end(row)
			c.applied = true
		}
	}
}

// revoke responds 200 whatever it is given (RFC 7009), and knows a refresh token
// only when the hint says that it is one.
func (c *call) revoke() response {
	form, bad := c.form("token")
	if bad != nil {
		return *bad
	}
	token := form.Get("token")
	if form.Get("token_type_hint") != "refresh_token" {
		c.endByAccess(token)
		return empty(http.StatusOK)
	}
	id, ok := c.s.scene.refreshes[hashOf(token)]
	if !ok {
		if id, ok = c.s.scene.consumed[hashOf(token)]; ok {
			c.s.journal.replays++
		}
	}
	if row := c.s.scene.sessions[id]; row != nil {
		c.s.end(row)
		c.applied = true
	}
	return empty(http.StatusOK)
}

func (c *call) verifyMFA() response {
	in, bad := decode[struct {
		PreauthToken string  `json:"preauth_token"`
		Code         string  `json:"code"`
		DeviceCodeID *string `json:"device_code_id"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	typ, claims, found := c.s.verify(in.PreauthToken, c.now)
	who := c.s.scene.users[claims.Sub]
	switch {
	case found == unknownKey && typ == preauthType:
		return *c.unknownKey()
	case found != genuine:
		return c.fail(http.StatusUnauthorized, "JWT_ERROR", "Invalid token")
	case typ != preauthType || claims.TokenUse != preauthUse || in.DeviceCodeID != nil:
		return c.badRequest("Invalid pre-authentication token")
	case who == nil:
		return c.notFound("User not found")
	case c.s.scene.preauths[claims.JTI]:
		return c.badRequest("Invalid pre-authentication token")
	case !who.presents(in.Code, c.now):
		return c.unauthorized("Invalid MFA code")
	}
	c.s.scene.preauths[claims.JTI] = true
	c.applied = true
	return jsonResponse(http.StatusOK, c.s.open(who, claims.Org, claims.Service, c.now))
}

// verifyMagicLink is a GET with effects: it consumes the link.
func (c *call) verifyMagicLink() response {
	token, bad := c.requiredQuery("token")
	if bad != nil {
		return *bad
	}
	h := hashOf(token)
	link, ok := c.s.scene.links[h]
	if !ok || !c.now.Before(link.expires) {
		return c.badRequest("Invalid or expired magic link")
	}
	bound, query := c.s.scene.mail.context[h], c.r.URL.Query()
	for name, want := range map[string]*string{"redirect_uri": bound.redirectURI, "state": bound.state} {
		if want != nil && query.Has(name) && query.Get(name) != *want {
			return c.badRequest(name + " does not match the issued magic link")
		}
	}
	who := c.s.scene.users[link.userID]
	if who == nil {
		return c.badRequest("User not found. Please register first.")
	}
	if refused := c.linkAccess(who, bound); refused != nil {
		return *refused
	}
	delete(c.s.scene.links, h)
	c.applied = true
	if who.mfa {
		state := bound.state
		if state == nil && query.Has("state") {
			state = new(query.Get("state"))
		}
		return jsonResponse(http.StatusOK, struct {
			RequiresMFA  bool    `json:"requires_mfa"`
			PreauthToken string  `json:"preauth_token"`
			State        *string `json:"state"`
			Message      string  `json:"message"`
		}{true, c.preauth(who, bound.org, bound.service), state, "Additional verification required"})
	}
	a := jsonResponse(http.StatusOK, c.s.openVia("magic_link", who, bound.org, bound.service, c.now))
	a.header.Set("Set-Cookie", "device_token="+c.s.randomHex(32)+"; HttpOnly; Secure; SameSite=Lax; Path=/; Max-Age=7776000")
	return a
}

// linkAccess checks that the tenant a link was asked for still lets the user in.
func (c *call) linkAccess(who *user, bound linkContext) *response {
	o, v, refused := c.tenant(optional(bound.org), optional(bound.service))
	for _, check := range []func() *response{
		func() *response { return refused },
		func() *response { return c.inactive(o) },
		func() *response { return c.mayEnterHere(who, o, v) },
	} {
		if refused := check(); refused != nil {
			return refused
		}
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
