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
	t.add("GET", "/api/user/provider-token-requests/:state", bearer, (*call).tokenRequest)
	t.add("POST", "/api/user/provider-token-requests/:state/complete", bearer, (*call).tokenRequest)
	t.add("POST", "/api/user/provider-token-requests/:state/link", bearer, (*call).tokenRequest)
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
	if !ok {
		return c.badRequest("Unsupported provider: " + c.params[0])
	}
	return jsonResponse(http.StatusOK, struct {
		AuthorizationURL string `json:"authorization_url"`
	}{authorize + "?" + url.Values{
		"client_id": {"authostest"}, "redirect_uri": {c.s.URL + "/auth/" + provider + "/callback"},
		"response_type": {"code"}, "state": {segment(randomBytes(32))},
	}.Encode()})
}

func (c *call) unlinkIdentity() response {
	provider, have := c.params[0], c.identitiesOf(c.user)
	switch {
	case !slices.Contains(have, provider):
		return c.notFound("Identity not found")
	case len(have) == 1:
		return c.badRequest("Cannot unlink the last identity")
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

// ownProviderToken gives the user's own token at a provider.
func (c *call) ownProviderToken() response {
	a := find(c.user.accounts, func(a *account) bool { return a.provider == strings.ToLower(c.params[0]) })
	if a == nil {
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

type linkedGrant struct {
	ServiceID string   `json:"service_id"`
	Scopes    []string `json:"scopes"`
}

type linkedAccount struct {
	ID             string        `json:"id"`
	Provider       string        `json:"provider"`
	ProviderUserID string        `json:"provider_user_id"`
	Email          string        `json:"email"`
	Scopes         []string      `json:"scopes"`
	ExpiresAt      *string       `json:"expires_at"`
	Status         string        `json:"status"`
	Grants         []linkedGrant `json:"grants"`
}

// linkedAccounts shows the grants for the service of the session, not for others.
func (c *call) linkedAccounts() response {
	v := c.s.scene.service(c.session.org, c.session.service)
	accounts := make([]linkedAccount, 0, len(c.user.accounts))
	for _, a := range c.user.accounts {
		shown := linkedAccount{a.id, a.provider, a.id, c.user.Email, a.scopes, stamped(a.expires, stampOffset), "active", []linkedGrant{}}
		if v != nil && a.granted[v.id] != nil {
			shown.Grants = append(shown.Grants, linkedGrant{v.id, a.granted[v.id]})
		}
		accounts = append(accounts, shown)
	}
	type offered struct {
		Provider string `json:"provider"`
	}
	available := make([]offered, 0, len(providers))
	for _, provider := range providers {
		available = append(available, offered{provider})
	}
	return jsonResponse(http.StatusOK, struct {
		Accounts  []linkedAccount `json:"accounts"`
		Available []offered       `json:"available_providers"`
	}{accounts, available})
}

func (c *call) ownAccount() (*account, *response) {
	if a := find(c.user.accounts, func(a *account) bool { return a.id == c.params[0] }); a != nil {
		return a, nil
	}
	a := c.notFound("Linked account not found")
	return nil, &a
}

func (c *call) unlinkAccount() response {
	a, missing := c.ownAccount()
	if missing != nil {
		return *missing
	}
	c.user.accounts = without(c.user.accounts, a)
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "Account unlinked successfully"})
}

// grantAccount lets a service have some of an account's scopes: the service of the
// session, or where that has none the one that is named.
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
	if a.granted == nil {
		a.granted = map[string][]string{}
	}
	a.granted[v.id] = in.Scopes
	c.applied = true
	return jsonResponse(http.StatusOK, linkedGrant{v.id, in.Scopes})
}

func (c *call) ungrantAccount() response {
	a, missing := c.ownAccount()
	switch {
	case missing != nil:
		return *missing
	case a.granted[c.params[1]] == nil:
		return c.notFound("Grant not found")
	}
	delete(a.granted, c.params[1])
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "Grant revoked successfully"})
}

// tokenRequest knows no request: consent is given by browsers, on hosted pages.
func (c *call) tokenRequest() response {
	return c.notFound("Provider token request not found")
}

// connectPage is where a service sends a user to consent.
func (c *call) connectPage() response {
	return redirect(c.s.URL + "/app/connect/provider-token/" + url.PathEscape(c.params[0]))
}
