package authostest

import (
	"crypto/subtle"
	"slices"
	"strings"
	"time"
)

// authenticate fills in who is calling, or refuses.
func (c *call) authenticate(need access) (refused response, ok bool) {
	switch need {
	case bearer:
		return c.authenticateUser()
	case platformOwner:
		if refused, ok := c.authenticateUser(); !ok {
			return refused, false
		}
		if !c.user.platformOwner {
			text := "Platform owner access required"
			return c.plainText(403, text, "FORBIDDEN", text), false
		}
	case serviceKey:
		return c.authenticateKey()
	case scimToken:
		return c.authenticateSCIM()
	}
	return response{}, true
}

// bearerToken is byte-exact about the scheme, like the server.
func (c *call) bearerToken() (string, *response) {
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		a := c.unauthorized("Missing or invalid Authorization header")
		return "", &a
	}
	return token, nil
}

func (c *call) authenticateUser() (refused response, ok bool) {
	token, bad := c.bearerToken()
	if bad != nil {
		return *bad, false
	}
	row, bad := c.liveSession(token)
	if bad != nil {
		return *bad, false
	}
	who := c.s.scene.users[row.userID]
	if who == nil {
		return c.unauthorized("User not found"), false
	}
	if actor := c.s.scene.users[row.actorID]; row.actorID != "" && (actor == nil || !actor.platformOwner) {
		return c.unauthorized("Impersonation authorization is no longer valid"), false
	}
	c.session, c.user = row, who
	return response{}, true
}

func (c *call) authenticateKey() (refused response, ok bool) {
	presented := c.r.Header.Get("X-Api-Key")
	if presented == "" {
		return c.unauthorized("Missing or invalid X-Api-Key header"), false
	}
	parts := strings.SplitN(presented, "_", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return c.unauthorized("Invalid API key format"), false
	}
	key := c.s.scene.keys[parts[0]+"_"+parts[1]]
	if key == nil || subtle.ConstantTimeCompare([]byte(key.secret), []byte(presented)) != 1 {
		return c.unauthorized("Invalid API key"), false
	}
	if !key.expires.IsZero() && !c.now.Before(key.expires) {
		return c.unauthorized("API key has expired"), false
	}
	if !key.service.org.active() {
		if c.documented() {
			return c.organizationNotActive(key.service.org.status), false
		}
		return c.unauthorized("API key organization is not active"), false
	}
	key.used = c.now.Truncate(time.Microsecond)
	c.key = key
	return response{}, true
}

// may checks a permission of the API key. Handlers ask after they have read
// their input, so a bad body is reported first.
func (c *call) may(permission string) *response {
	if slices.Contains(c.key.permissions, permission) {
		return nil
	}
	a := c.forbidden("Missing required permission: " + permission)
	return &a
}
