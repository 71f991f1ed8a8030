package authostest

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The OAuth token endpoint, the only route with OAuth's own error format.

func (t *table) tokenRoutes() {
	t.add("POST", "/oauth/token", public, (*call).oauthToken)
	t.add("POST", "/oauth2/token", public, (*call).oauthToken)
}

const (
	exchangeGrantType  = "urn:ietf:params:oauth:grant-type:token-exchange"
	assertionGrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	idJAGType          = "urn:ietf:params:oauth:token-type:id-jag"
	accessTokenType    = "urn:ietf:params:oauth:token-type:access_token"

	assertionLife = 5 * time.Minute
)

// oauthError is under either contract what OAuth says it is (RFC 6749, section 5.2).
func oauthError(status int, code, description string) response {
	return noStore(jsonResponse(status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description}))
}

func noStore(a response) response {
	a.header.Set("Cache-Control", "no-store")
	a.header.Set("Pragma", "no-cache")
	return a
}

func invalidRequest(description string) response {
	return oauthError(http.StatusBadRequest, "invalid_request", description)
}

func invalidGrant(description string) response {
	return oauthError(http.StatusBadRequest, "invalid_grant", description)
}

func (c *call) oauthToken() response {
	form, bad := c.form("grant_type")
	if bad != nil {
		return *bad
	}
	switch form.Get("grant_type") {
	case exchangeGrantType:
		return c.exchangeToken(form)
	case assertionGrantType:
		return c.redeemAssertion(form)
	default:
		return invalidRequest("Unsupported grant_type")
	}
}

// oauthClient finds the service that a client id names, and checks the secret
// where one is given or wanted.
func (c *call) oauthClient(form url.Values, wantSecret bool) (*service, *response) {
	id, secret, basic := c.r.BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	}
	for _, o := range c.s.scene.orgs {
		for _, v := range o.services {
			if v.clientID == "" || v.clientID != id {
				continue
			}
			if secret == "" && !wantSecret || v.secret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(v.secret)) == 1 {
				return v, nil
			}
		}
	}
	a := oauthError(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
	return nil, &a
}

type exchanged struct {
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	Scope           string `json:"scope,omitempty"`
}

// exchangeToken turns a token for a resource into an assertion about its user.
func (c *call) exchangeToken(form url.Values) response {
	switch {
	case form.Get("requested_token_type") != idJAGType:
		return invalidRequest("Unsupported requested_token_type")
	case form.Get("subject_token_type") != accessTokenType:
		return invalidRequest("Unsupported subject_token_type")
	case form.Get("audience") != c.s.URL:
		return invalidRequest("Unsupported audience")
	case form.Get("resource") == "":
		return invalidRequest("resource is required")
	}
	v, refused := c.oauthClient(form, false)
	if refused != nil {
		return *refused
	}
	typ, subject, found := c.s.verify(form.Get("subject_token"), c.now)
	who := c.s.scene.users[subject.Sub]
	if found != genuine || typ != resourceType || subject.TokenUse != resourceUse || who == nil {
		return invalidGrant("Invalid subject_token")
	}
	assertion := claims{
		TokenUse: assertionUse, Sub: who.ID, Email: who.Email, JTI: c.s.newID(), Aud: c.s.URL, Resource: form.Get("resource"),
		ClientID: v.clientID, Scope: form.Get("scope"), Exp: c.now.Add(assertionLife).Unix(), Iat: c.now.Unix(),
	}
	return noStore(jsonResponse(http.StatusOK, exchanged{
		idJAGType, c.s.signClaims(assertionType, assertion), "N_A", int64(assertionLife / time.Second), form.Get("scope"),
	}))
}

// redeemAssertion gives a token for an assertion, once.
func (c *call) redeemAssertion(form url.Values) response {
	v, refused := c.oauthClient(form, true)
	if refused != nil {
		return *refused
	}
	typ, assertion, found := c.s.verify(form.Get("assertion"), c.now)
	who := c.s.scene.users[assertion.Sub]
	switch {
	case found != genuine || typ != assertionType || assertion.TokenUse != assertionUse || assertion.ClientID != v.clientID || who == nil:
		return invalidGrant("Invalid assertion")
	case c.s.scene.preauths[assertion.JTI]:
		return invalidGrant("The assertion has already been used")
	case !slices.Contains(v.resourceURIs, assertion.Resource):
		return oauthError(http.StatusBadRequest, "invalid_scope", "The resource is not registered for this service")
	}
	c.s.scene.preauths[assertion.JTI] = true
	c.applied = true
	return noStore(jsonResponse(http.StatusOK, exchanged{
		AccessToken: c.resourceToken(who, v.org.slug, v.slug, assertion.Resource, assertion.Scope),
		TokenType:   "Bearer", ExpiresIn: ceilSeconds(c.s.config.accessLife), Scope: assertion.Scope,
	}))
}
