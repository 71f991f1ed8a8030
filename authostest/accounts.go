package authostest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (t *table) accountRoutes() {
	t.add("GET", "/api/user/identities", bearer, (*call).listIdentities)
	t.add("POST", "/api/user/identities/:provider/link", bearer, (*call).startLink)
	t.add("DELETE", "/api/user/identities/:provider", bearer, (*call).unlinkIdentity)
	t.add("GET", "/api/provider-token/:provider", bearer, (*call).ownProviderToken)
	t.add("GET", "/api/user/linked-accounts", bearer, (*call).linkedAccounts)
	t.add("POST", "/api/user/linked-accounts/:provider/link", bearer, (*call).startLink)
	t.add("DELETE", "/api/user/linked-accounts/:account_id", bearer, (*call).unlinkAccount)
	t.add("POST", "/api/user/linked-accounts/:account_id/grants", bearer, (*call).grantAccount)
	t.add("DELETE", "/api/user/linked-accounts/:account_id/grants/:service_id", bearer, (*call).ungrantAccount)
	t.add("GET", "/api/user/provider-token-requests/:state", bearer, (*call).showTokenRequest)
	t.add("POST", "/api/user/provider-token-requests/:state/complete", bearer, (*call).completeTokenRequest)
	t.add("POST", "/api/user/provider-token-requests/:state/link", bearer, (*call).linkTokenRequest)
	t.add("GET", "/connect/provider-token/:state", public, (*call).connectPage)
}

// identitiesOf lists how a user can sign in: with a password, or through a provider.
func (c *call) identitiesOf(u *user) []string {
	list := []string{}
	if u.Password != "" {
		list = append(list, passwordProvider)
	}
	for _, a := range u.accounts {
		list = append(list, a.provider)
	}
	for _, o := range c.s.scene.allOrganizations() {
		for _, v := range o.servicesInOrder() {
			if known, ok := v.identities[u.ID]; ok {
				list = append(list, known.provider)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *call) listIdentities() response {
	type identity struct {
		Provider string `json:"provider"`
	}
	names := c.identitiesOf(c.user)
	list := make([]identity, 0, len(names))
	for _, provider := range names {
		list = append(list, identity{provider})
	}
	return jsonResponse(http.StatusOK, list)
}

// startLink sends the user to the provider, who never comes back here.
func (c *call) startLink() response {
	provider := strings.ToLower(c.params[0])
	authorize, ok := authorizeURLs[provider]
	switch {
	case !ok && c.october():
		return c.badRequest("Invalid provider")
	case !ok:
		return c.badRequest("Unsupported provider: " + c.params[0])
	}
	return c.toAuthorize(authorize, provider)
}

// toAuthorize names the page of a provider that the user is to visit.
func (c *call) toAuthorize(authorize, provider string) response {
	return jsonResponse(http.StatusOK, struct {
		AuthorizationURL string `json:"authorization_url"`
	}{authorize + "?" + url.Values{
		"client_id": {"authostest"}, "redirect_uri": {c.s.URL + "/auth/" + provider + "/callback"},
		"response_type": {"code"}, "state": {segment(c.s.randomBytes(32))},
	}.Encode()})
}

func (c *call) unlinkIdentity() response {
	provider, have := c.params[0], c.identitiesOf(c.user)
	switch {
	case !slices.Contains(providers, provider) && provider != passwordProvider:
		return c.badRequest("Invalid provider")
	case len(have) <= 1:
		return c.badRequest("Cannot unlink last identity. At least one identity must remain.")
	case !slices.Contains(have, provider):
		return c.notFound("Identity not found")
	}
	if provider == passwordProvider {
		c.user.Password = ""
	}
	c.user.accounts = slices.DeleteFunc(c.user.accounts, func(a *account) bool { return a.provider == provider })
	for _, o := range c.s.scene.orgs {
		for _, v := range o.services {
			if v.identities[c.user.ID].provider == provider {
				v.unlink(c.user)
			}
		}
	}
	c.applied = true
	return empty(http.StatusNoContent)
}

// ownProviderToken gives the user's own token at a provider, to a session of a
// service that may ask for it.
func (c *call) ownProviderToken() response {
	provider := strings.ToLower(c.params[0])
	v := c.s.scene.service(c.session.org, c.session.service)
	switch {
	case !slices.Contains(providers, provider):
		return c.badRequest("Invalid provider")
	case v == nil:
		return c.badRequest("Provider tokens can only be requested in service context")
	case len(v.scopes[provider]) == 0 && c.october() && provider != "github":
		return c.forbidden("Service does not have " + provider + " scopes configured")
	}
	a := find(c.user.accounts, func(a *account) bool { return a.provider == provider })
	switch {
	case a == nil && c.october():
		return c.notFound("User has not authenticated with " + provider + " for this service")
	case a == nil:
		return c.notFound("No account is linked with this provider")
	}
	return jsonResponse(http.StatusOK, struct {
		AccessToken  string   `json:"access_token"`
		RefreshToken *string  `json:"refresh_token"`
		ExpiresAt    *string  `json:"expires_at"`
		Scopes       []string `json:"scopes"`
		Provider     string   `json:"provider"`
	}{a.token, nil, stamped(a.expires, stampOffset), a.scopes, a.provider})
}

// linkedGrant is what a user lets one service have of an account.
type linkedGrant struct {
	ID         string   `json:"id"`
	ServiceID  string   `json:"service_id"`
	Scopes     []string `json:"scopes"`
	GrantedAt  string   `json:"granted_at"`
	LastUsedAt *string  `json:"last_used_at"`
}

func newLinkedGrant(serviceID string, g *accountGrant) linkedGrant {
	return linkedGrant{g.id, serviceID, g.scopes, stampOffset(g.created), stamped(g.used, stampOffset)}
}

type linkedAccount struct {
	ID             string        `json:"id"`
	Provider       string        `json:"provider"`
	ProviderUserID string        `json:"provider_user_id"`
	Email          *string       `json:"email"`
	DisplayName    *string       `json:"display_name"`
	Scopes         []string      `json:"scopes"`
	ExpiresAt      *string       `json:"expires_at"`
	Status         string        `json:"status"`
	Grants         []linkedGrant `json:"grants"`
}

// describeAccounts shows a user's accounts, with what they let one service have.
func describeAccounts(u *user, v *service, wanted func(*account) bool) []linkedAccount {
	accounts := make([]linkedAccount, 0, len(u.accounts))
	for _, a := range u.accounts {
		if !wanted(a) {
			continue
		}
		shown := linkedAccount{
			ID: a.id, Provider: a.provider, ProviderUserID: a.id, Email: &u.Email, Scopes: a.scopes,
			ExpiresAt: stamped(a.expires, stampOffset), Status: "active", Grants: []linkedGrant{},
		}
		if v != nil && a.granted[v.id] != nil {
			shown.Grants = append(shown.Grants, newLinkedGrant(v.id, a.granted[v.id]))
		}
		accounts = append(accounts, shown)
	}
	return accounts
}

// offeredProvider is an identity provider that accounts can be linked with.
type offeredProvider struct {
	Provider         string   `json:"provider"`
	DisplayName      string   `json:"display_name"`
	ProviderType     string   `json:"provider_type"`
	Scopes           []string `json:"scopes"`
	ConnectSupported bool     `json:"connect_supported"`
}

// linkedAccounts shows the grants for the service of the session, not for others.
func (c *call) linkedAccounts() response {
	v := c.s.scene.service(c.session.org, c.session.service)
	available := make([]offeredProvider, 0, len(providers))
	for _, provider := range providers {
		scopes := defaultScopes[provider]
		if v != nil && len(v.scopes[provider]) > 0 {
			scopes = v.scopes[provider]
		}
		available = append(available, offeredProvider{provider, displayNames[provider], "social", scopes, true})
	}
	return jsonResponse(http.StatusOK, struct {
		Accounts  []linkedAccount   `json:"accounts"`
		Available []offeredProvider `json:"available_providers"`
	}{describeAccounts(c.user, v, func(*account) bool { return true }), available})
}

var displayNames = map[string]string{"github": "GitHub", "google": "Google", "microsoft": "Microsoft"}

func (c *call) ownAccount() (*account, *response) {
	if a := find(c.user.accounts, func(a *account) bool { return a.id == c.params[0] }); a != nil {
		return a, nil
	}
	a := c.notFound("Linked account not found")
	return nil, &a
}

// unlinkAccount says the same whether or not there was such an account.
func (c *call) unlinkAccount() response {
	if a, missing := c.ownAccount(); missing == nil {
		c.user.accounts = without(c.user.accounts, a)
		c.applied = true
	}
	return empty(http.StatusNoContent)
}

// grantAccount lets a service have some of an account's scopes: the service of the
// session, or where that has none the one that is named. No scopes are all that the
// service may ask for.
func (c *call) grantAccount() response {
	in, bad := decode[struct {
		ServiceID *string  `json:"service_id"`
		Scopes    []string `json:"scopes"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	a, missing := c.ownAccount()
	if missing != nil {
		return *missing
	}
	v := c.s.scene.service(c.session.org, c.session.service)
	for _, o := range c.s.scene.orgs {
		if v == nil && in.ServiceID != nil {
			v = o.serviceByID(*in.ServiceID)
		}
	}
	switch {
	case v == nil && in.ServiceID == nil:
		return c.badRequest("service_id is required")
	case v == nil:
		return c.notFound("Service not found")
	}
	if len(in.Scopes) == 0 {
		in.Scopes = append([]string{}, v.scopes[a.provider]...)
	}
	if extra := minus(in.Scopes, v.scopes[a.provider]); len(extra) > 0 {
		return c.forbidden("Requested scopes are not allowed for this service: " + strings.Join(extra, ", "))
	}
	if len(minus(in.Scopes, a.scopes)) > 0 {
		return c.badRequest("The account must be authorized again for the requested scopes")
	}
	c.applied = true
	return jsonResponse(http.StatusOK, newLinkedGrant(v.id, a.grant(c.s, v.id, in.Scopes, c.now)))
}

func (c *call) ungrantAccount() response {
	a, missing := c.ownAccount()
	if missing != nil {
		return *missing
	}
	c.applied = a.granted[c.params[1]] != nil
	delete(a.granted, c.params[1])
	return empty(http.StatusNoContent)
}

// connectPage is where a service sends a user to consent.
func (c *call) connectPage() response {
	return redirect(c.s.URL + "/app/connect/provider-token/" + url.PathEscape(c.params[0]))
}
