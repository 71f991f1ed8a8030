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
}

// mfaCode is the one-time code of everybody.
const mfaCode = "123456"

// preauthLife is how long the second factor may take.
const preauthLife = 5 * time.Minute

// message is the answer of routes that have nothing to return.
type message struct {
	Message string `json:"message"`
}

func (c *call) login() answer {
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
	switch {
	case in.ServiceSlug != nil && in.OrgSlug == nil:
		return c.badRequest("service_slug requires org_slug")
	case in.RedirectURI != nil && in.ServiceSlug == nil:
		return c.badRequest("redirect_uri requires org_slug and service_slug")
	}
	var o *organization
	var v *service
	if in.OrgSlug != nil {
		if o = c.s.scene.orgs[*in.OrgSlug]; o == nil {
			return c.notFound("Organization not found")
		}
	}
	if in.ServiceSlug != nil {
		if v = o.services[*in.ServiceSlug]; v == nil {
			return c.notFound("Service not found")
		}
	}
	who := c.s.scene.byEmail[strings.ToLower(in.Email)]
	if who == nil || who.Password == "" || who.Password != in.Password {
		return c.unauthorized("Invalid email or password")
	}
	if o != nil && !o.active() {
		return c.organizationNotActive(o.status)
	}
	switch {
	case v != nil && !c.s.scene.mayEnter(who, o, v):
		return c.forbidden("You do not have access to this service")
	case o != nil && !c.s.scene.mayEnter(who, o, v):
		return c.forbidden("You are not a member of this organization")
	}
	org, svc := deref(in.OrgSlug), deref(in.ServiceSlug)
	if who.mfa {
		// Not an error: a 200 whose refresh token is empty.
		return jsonAnswer(http.StatusOK, tokenAnswer{c.preauth(who, org, svc), "", int64(preauthLife / time.Second)})
	}
	c.applied = true
	return jsonAnswer(http.StatusOK, c.s.open(who, org, svc, c.now))
}

func (c *call) preauth(who *user, org, service string) string {
	return c.s.sign(preauthType, who, org, service, c.now, c.now.Add(preauthLife))
}

func (c *call) refresh() answer {
	in, bad := decode[struct {
		RefreshToken string `json:"refresh_token"`
	}](c, json400)
	switch {
	case bad != nil:
		return *bad
	case strings.TrimSpace(in.RefreshToken) == "":
		return c.badRequest("Refresh token cannot be empty")
	case len(in.RefreshToken) > 1000:
		return c.badRequest("Refresh token too long")
	}
	return c.refreshSession(in.RefreshToken)
}

// logout does not look at the token, only for it: any Bearer value will do.
func (c *call) logout() answer {
	token, bad := c.bearerToken()
	if bad != nil {
		return *bad
	}
	c.endByAccess(token)
	return jsonAnswer(http.StatusOK, message{"Logged out successfully"})
}

func (c *call) endByAccess(token string) {
	if known := c.s.scene.issued[hashOf(token)]; known != nil {
		if row := c.s.scene.sessions[known.sessionID]; row != nil && row.access == hashOf(token) {
			c.s.end(row)
			c.applied = true
		}
	}
}

// revoke answers 200 whatever it is given (RFC 7009), and knows a refresh token
// only when the hint says that it is one.
func (c *call) revoke() answer {
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

func (c *call) verifyMFA() answer {
	in, bad := decode[struct {
		PreauthToken string  `json:"preauth_token"`
		Code         string  `json:"code"`
		DeviceCodeID *string `json:"device_code_id"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	typ, claims, fresh := c.s.verify(in.PreauthToken, c.now)
	switch {
	case typ == "" || !fresh:
		return c.fail(http.StatusUnauthorized, "JWT_ERROR", "Invalid token")
	case typ != preauthType || claims.TokenUse != preauthUse:
		return c.badRequest("Invalid pre-authentication token")
	case in.Code != mfaCode:
		return c.unauthorized("Invalid MFA code")
	}
	who := c.s.scene.users[claims.Sub]
	switch {
	case who == nil:
		return c.notFound("User not found")
	case c.s.scene.preauths[claims.JTI]:
		return c.badRequest("Invalid pre-authentication token")
	}
	c.s.scene.preauths[claims.JTI] = true
	c.applied = true
	return jsonAnswer(http.StatusOK, c.s.open(who, claims.Org, claims.Service, c.now))
}

// verifyMagicLink is a GET with effects: it consumes the link.
func (c *call) verifyMagicLink() answer {
	token, bad := c.requiredQuery("token")
	if bad != nil {
		return *bad
	}
	link, ok := c.s.scene.links[hashOf(token)]
	if !ok {
		return c.badRequest("Invalid or expired magic link")
	}
	delete(c.s.scene.links, hashOf(token))
	if !c.now.Before(link.expires) {
		return c.badRequest("Magic link has expired")
	}
	who := c.s.scene.users[link.userID]
	if who == nil {
		return c.notFound("User not found")
	}
	c.applied = true
	if who.mfa {
		var state *string
		if query := c.r.URL.Query(); query.Has("state") {
			state = new(query.Get("state"))
		}
		return jsonAnswer(http.StatusOK, struct {
			RequiresMFA  bool    `json:"requires_mfa"`
			PreauthToken string  `json:"preauth_token"`
			State        *string `json:"state"`
			Message      string  `json:"message"`
		}{true, c.preauth(who, "", ""), state, "Additional verification required"})
	}
	a := jsonAnswer(http.StatusOK, c.s.open(who, "", "", c.now))
	a.header.Set("Set-Cookie", "device_token="+randomHex(32)+"; HttpOnly; Secure; SameSite=Lax; Path=/; Max-Age=7776000")
	return a
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
