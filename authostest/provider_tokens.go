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
	expires      time.Time           // zero when the provider says nothing
	granted      map[string][]string // service id: the scopes the user lets it have
}

// providerTokenLife is that of the tokens of providers that refresh them.
const providerTokenLife = time.Hour

// refresh gets a new token from the provider. GitHub's cannot be refreshed and do not
// need to be.
func (a *account) refresh(now time.Time) {
	a.token = a.provider + "_" + randomHex(20)
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
		return c.actionRequired(provider, code, lacking, in.RedirectURI)
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
		granted, ok := a.granted[v.id]
		lacking := minus(wanted, granted)
		switch {
		case !ok:
			return "PROVIDER_GRANT_REQUIRED", []string{}, nil
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
func (c *call) actionRequired(provider, code string, lacking []string, redirectURI *string) response {
	registered := c.key.service.redirectURIs
	switch {
	case redirectURI == nil && len(registered) == 0:
		return c.badRequest("redirect_uri is required")
	case len(registered) == 0:
		return c.badRequest("No redirect URIs are registered for this service")
	case redirectURI != nil && !slices.Contains(registered, *redirectURI):
		return c.badRequest("redirect_uri '" + *redirectURI + "' is not registered for this service")
	}
	c.applied = true // a request is pending now
	return jsonResponse(http.StatusOK, struct {
		Status        string   `json:"status"`
		Code          string   `json:"code"`
		ReauthURL     string   `json:"reauth_url"`
		MissingScopes []string `json:"missing_scopes"`
		Provider      string   `json:"provider"`
	}{"action_required", code, c.s.URL + "/connect/provider-token/" + segment(randomBytes(32)), lacking, provider})
}

func (c *call) issueProviderToken(u *user, a *account, wanted []string) response {
	v := c.key.service
	if !a.expires.IsZero() && a.expires.Before(c.now.Add(5*time.Minute)) {
		a.refresh(c.now)
		c.applied = true
		c.record(v.org, "provider_token.refreshed", "connected_account", a.id, details{
			"service_id": v.id, "user_id": u.ID, "provider": a.provider,
		})
	}
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
		"ok", a.token, stamped(a.expires, stampOffset), a.granted[v.id], a.provider,
		accountModel{a.id, a.provider + "|" + u.ID, &u.Email, nil},
	})
}
