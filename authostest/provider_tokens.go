package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// account is a user's account at an identity provider.
type account struct {
	id, provider string
	token        string
	scopes       []string
	expires      time.Time                // zero when the provider says nothing
	granted      map[string]*accountGrant // by service id
}

// accountGrant is what the user lets one service have.
type accountGrant struct {
	id      string
	scopes  []string
	created time.Time
	used    time.Time // zero when it never was
}

// grant lets a service have scopes of the account, in place of those it had.
func (a *account) grant(s *Server, serviceID string, scopes []string, now time.Time) *accountGrant {
	if a.granted == nil {
		a.granted = map[string]*accountGrant{}
	}
	g := a.granted[serviceID]
	if g == nil {
		g = &accountGrant{id: s.newID(), created: now.Truncate(time.Microsecond)}
		a.granted[serviceID] = g
	}
	g.scopes = slices.Clone(scopes)
	return g
}

// providerTokenLife is that of the tokens of providers that refresh them.
const providerTokenLife = time.Hour

// refresh gets a new token from the provider. GitHub's cannot be refreshed and do not
// need to be.
func (a *account) refresh(s *Server, now time.Time) {
	a.token = a.provider + "_" + s.randomHex(20)
	if a.provider != "github" {
		a.expires = now.Add(providerTokenLife).Truncate(time.Microsecond)
	}
}

// providerToken hands a provider's token to a service, or says what the user has
// to do first. Both are a 200.
func (c *call) providerToken() response {
	in, bad := decode[struct {
		UserID      string    `json:"user_id"`
		Provider    string    `json:"provider"`
		Scopes      *[]string `json:"scopes"`
		RedirectURI *string   `json:"redirect_uri"`
		State       *string   `json:"state"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	provider := in.Provider
	if lower := strings.ToLower(provider); lower == "github" || lower == "google" || lower == "microsoft" {
		provider = lower
	}
	if c.may(providerTokens) != nil && c.may(providerTokens+":"+provider) != nil {
		return *c.may(providerTokens)
	}
	u, missing := c.linked(in.UserID)
	if missing != nil {
		return *missing
	}
	v := c.key.service
	allowed := v.scopes[provider]
	if len(allowed) == 0 {
		return c.forbidden("Service does not have " + provider + " scopes configured")
	}
	wanted := allowed
	if in.Scopes != nil && len(*in.Scopes) > 0 {
		wanted = *in.Scopes
	}
	if extra := minus(wanted, allowed); len(extra) > 0 {
		return c.forbidden("Requested scopes are not allowed for this service: " + strings.Join(extra, ", "))
	}
	code, lacking, found := v.providerAccess(u, provider, wanted)
	if code != "" {
		return c.actionRequired(u, provider, code, wanted, lacking, in.RedirectURI, in.State)
	}
	return c.issueProviderToken(u, found, wanted)
}

// providerAccess looks for an account that can be used as it is; otherwise code
// says what keeps it from being used.
func (v *service) providerAccess(u *user, provider string, wanted []string) (code string, lacking []string, found *account) {
	accounts := slices.DeleteFunc(slices.Clone(u.accounts), func(a *account) bool { return a.provider != provider })
	if len(accounts) == 0 {
		return "PROVIDER_LINK_REQUIRED", wanted, nil
	}
	for _, a := range accounts {
		if len(minus(wanted, a.scopes)) > 0 {
			continue
		}
		g := a.granted[v.id]
		if g == nil {
			return "PROVIDER_GRANT_REQUIRED", []string{}, nil
		}
		granted := g.scopes
		lacking := minus(wanted, granted)
		switch {
		case len(lacking) > 0:
			return "PROVIDER_SCOPE_CONSENT_REQUIRED", lacking, nil
		case len(minus(a.scopes, granted)) > 0 || len(minus(a.scopes, v.scopes[provider])) > 0:
			return "PROVIDER_REAUTH_REQUIRED", []string{}, nil // the token can do more than the service may
		}
		return "", nil, a
	}
	return "PROVIDER_SCOPE_CONSENT_REQUIRED", wanted, nil
}

// minus is what of one list is not in the other. Never null.
func minus(list, other []string) []string {
	return slices.DeleteFunc(append([]string{}, list...), func(s string) bool { return slices.Contains(other, s) })
}

// actionRequired sends the user to the hosted consent pages, from where the
// redirect URI leads back.
func (c *call) actionRequired(u *user, provider, code string, wanted, lacking []string, redirectURI, state *string) response {
	registered := c.key.service.redirectURIs
	switch {
	case redirectURI == nil && len(registered) == 0:
		return c.badRequest("redirect_uri is required")
	case len(registered) == 0:
		return c.badRequest("No redirect URIs are registered for this service")
	case redirectURI != nil && !slices.Contains(registered, *redirectURI):
		return c.badRequest("redirect_uri '" + *redirectURI + "' is not registered for this service")
	}
	name := segment(c.s.randomBytes(32))
	r := &tokenRequest{
		userID: u.ID, provider: provider, scopes: slices.Clone(wanted), service: c.key.service, redirectURI: registered[0], clientState: state,
		expires: c.now.Add(tokenRequestLife).Truncate(time.Microsecond),
	}
	set(&r.redirectURI, redirectURI)
	c.s.scene.tokenRequests[name] = r
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Status        string   `json:"status"`
		Code          string   `json:"code"`
		ReauthURL     string   `json:"reauth_url"`
		MissingScopes []string `json:"missing_scopes"`
		Provider      string   `json:"provider"`
	}{"action_required", code, c.s.URL + "/connect/provider-token/" + name, lacking, provider})
}

func (c *call) issueProviderToken(u *user, a *account, wanted []string) response {
	v := c.key.service
	if !a.expires.IsZero() && a.expires.Before(c.now.Add(5*time.Minute)) {
		a.refresh(c.s, c.now)
		c.applied = true
		c.record(v.org, "provider_token.refreshed", "connected_account", a.id, details{
			"service_id": v.id, "user_id": u.ID, "provider": a.provider,
		})
	}
	a.granted[v.id].used = c.now.Truncate(time.Microsecond)
	c.record(v.org, "provider_token.issued", "connected_account", a.id, details{
		"service_id": v.id, "user_id": u.ID, "provider": a.provider, "scopes": wanted,
	})
	type accountModel struct {
		ID             string  `json:"id"`
		ProviderUserID string  `json:"provider_user_id"`
		Email          *string `json:"email"`
		DisplayName    *string `json:"display_name"`
	}
	return jsonResponse(http.StatusOK, struct {
		Status      string       `json:"status"`
		AccessToken string       `json:"access_token"`
		ExpiresAt   *string      `json:"expires_at"`
		Scopes      []string     `json:"scopes"`
		Provider    string       `json:"provider"`
		Account     accountModel `json:"account"`
	}{
		"ok", a.token, stamped(a.expires, stampOffset), a.granted[v.id].scopes, a.provider,
		accountModel{a.id, a.provider + "|" + u.ID, &u.Email, nil},
	})
}
