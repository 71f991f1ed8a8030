package authostest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (t *table) oauthRoutes() {
	t.add("GET", "/auth/admin/:provider", public, (*call).startAdminSignIn)
	t.add("GET", "/auth/admin/:provider/callback", public, (*call).finishSignIn)
	t.add("GET", "/auth/:provider", public, (*call).startSignIn)
	t.add("GET", "/auth/:provider/callback", public, (*call).finishSignIn)
	t.add("POST", "/auth/saml/callback", public, (*call).finishSAMLSignIn)
	t.tokenRoutes()
}

// stateLife is how long somebody may take at the identity provider.
const stateLife = 10 * time.Minute

// authorizeURLs are where the providers ask their users.
var authorizeURLs = map[string]string{
	"github":    "https://github.com/login/oauth/authorize",
	"google":    "https://accounts.google.com/o/oauth2/v2/auth",
	"microsoft": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
}

// signInStates are the sign-ins that are on their way through a provider.
type signInStates map[string]signInState

type signInState struct {
	provider, org, service string
	redirectURI, userCode  string
	clientState            *string
	expires                time.Time
}

func redirect(to string) response {
	a := empty(http.StatusSeeOther)
	a.header.Set("Location", to)
	return a
}

// startSignIn sends the browser to the provider. What the provider would send it
// back with, a test sends to the callback itself: the state of the redirect, and as
// the code the e-mail address of who signs in.
func (c *call) startSignIn() response {
	org, bad := c.requiredQuery("org")
	if bad != nil {
		return *bad
	}
	slug, bad := c.requiredQuery("service")
	if bad != nil {
		return *bad
	}
	query := c.r.URL.Query()
	o, v, refused := c.tenant(&org, &slug)
	if refused == nil {
		refused = c.inactive(o)
	}
	state := signInState{org: org, service: slug, userCode: query.Get("user_code")}
	if refused == nil && query.Has("redirect_uri") {
		state.redirectURI = query.Get("redirect_uri")
		refused = c.unregisteredURI(v, &state.redirectURI)
	}
	if refused != nil {
		return *refused
	}
	if state.redirectURI == "" && len(v.redirectURIs) > 0 {
		state.redirectURI = v.redirectURIs[0]
	}
	if query.Has("state") {
		state.clientState = new(query.Get("state"))
	}
	return c.toProvider(state, "")
}

func (c *call) startAdminSignIn() response {
	query := c.r.URL.Query()
	state := signInState{org: query.Get("org_slug"), redirectURI: c.s.URL + "/callback", userCode: query.Get("user_code")}
	return c.toProvider(state, "/admin")
}

func (c *call) toProvider(state signInState, prefix string) response {
	state.provider = strings.ToLower(c.params[0])
	authorize, ok := authorizeURLs[state.provider]
	if !ok {
		return c.badRequest(c.either("Unsupported provider: "+c.params[0], "Invalid provider"))
	}
	name := segment(c.s.randomBytes(32))
	state.expires = c.now.Add(stateLife)
	if c.s.scene.signIns == nil {
		c.s.scene.signIns = signInStates{}
	}
	c.s.scene.signIns[name] = state
	if c.s.config.pages {
		return redirect(c.s.URL + signInPage + "?" + url.Values{"state": {name}}.Encode())
	}
	return redirect(authorize + "?" + url.Values{
		"client_id":     {"authostest"},
		"redirect_uri":  {c.s.URL + "/auth" + prefix + "/" + state.provider + "/callback"},
		"response_type": {"code"},
		"state":         {name},
	}.Encode())
}

// finishSignIn is where the provider sends the browser back to. Tokens travel in
// the fragment, which browsers do not send on.
func (c *call) finishSignIn() response {
	query := c.r.URL.Query()
	name := query.Get("state")
	state, ok := c.s.scene.signIns[name]
	delete(c.s.scene.signIns, name)
	if c.october() && !ok {
		return c.strayCallback(query.Has("state"))
	}
	if !ok || c.now.After(state.expires) || state.provider != strings.ToLower(c.params[0]) {
		return c.badRequest("Invalid or expired state")
	}
	if query.Has("error") || !strings.Contains(query.Get("code"), "@") {
		return redirect(withQuery(state.redirectURI, url.Values{
			"error": {"oauth_error"}, "error_description": {"The identity provider refused the sign-in"},
		}))
	}
	who, _ := c.s.scene.addUser(query.Get("code"), "", c.now)
	o, v := c.s.scene.orgs[state.org], c.s.scene.service(state.org, state.service)
	switch {
	case v != nil:
		v.link(who, state.provider, c.now)
	case o != nil && !c.s.scene.mayEnter(who, o, nil):
		return c.forbidden("You are not a member of this organization")
	}
	c.applied = true
	if g := c.s.scene.devices.byUserCode[state.userCode]; g != nil && g.status == devicePending && !c.now.After(g.expires) {
		g.status, g.userID = deviceAuthorized, who.ID
	}
	fragment := url.Values{}
	if state.clientState != nil {
		fragment.Set("state", *state.clientState)
	}
	if who.mfa {
		fragment.Set("preauth_token", c.preauth(who, state.org, state.service))
		fragment.Set("mfa_required", "true")
	} else {
		opened := c.s.openVia(state.provider, who, state.org, state.service, c.now)
		fragment.Set("access_token", opened.AccessToken)
		fragment.Set("refresh_token", opened.RefreshToken)
	}
	return redirect(state.redirectURI + "#" + fragment.Encode())
}

// strayCallback is what in October 2025 happened to who came back without having been
// sent: a page that says all is well, or for administrators an error for the web client.
func (c *call) strayCallback(hasState bool) response {
	if strings.HasPrefix(c.template(), "/auth/admin/") {
		return redirect(c.s.URL + "/callback?" + url.Values{"error": {"oauth_error"}, "error_description": {"Invalid state"}}.Encode())
	}
	if hasState {
		return c.badRequest("Invalid or expired state")
	}
	return page("Authentication Successful", "You can close this window.")
}

// withQuery adds to a URL's query.
func withQuery(base string, more url.Values) string {
	mark := "?"
	if strings.Contains(base, "?") {
		mark = "&"
	}
	return base + mark + more.Encode()
}

// finishSAMLSignIn knows no identity provider whose word it could take.
func (c *call) finishSAMLSignIn() response {
	if _, bad := c.form("SAMLResponse"); bad != nil {
		return *bad
	}
	return c.badRequest("Invalid SAML response")
}

// resourceToken signs a token for an external resource server, which the AuthOS
// API itself refuses.
func (c *call) resourceToken(who *user, org, service, resource string, scope string) string {
	token := c.s.newClaims(who, org, service, c.now, c.now.Add(c.s.config.accessLife))
	token.TokenUse, token.Aud, token.Scope = resourceUse, resource, scope
	return c.s.signClaims(resourceType, token)
}

func (c *call) unknownResource(v *service, resource *string) *response {
	if resource == nil || v != nil && slices.Contains(v.resourceURIs, *resource) {
		return nil
	}
	a := c.invalid("resource", "INVALID_VALUE", "The requested resource is not registered for this service")
	return &a
}
