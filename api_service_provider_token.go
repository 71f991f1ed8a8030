package authos

import (
	"context"
	"net/http"
)

// ProviderTokenParams ask for a user's token at a sign-in provider.
type ProviderTokenParams struct {
	UserID string `json:"user_id"`
	// Provider is github, google, microsoft or the id of an upstream connection.
	Provider string `json:"provider"`
	// Scopes are what the token must allow; nil: all that the service may ask for.
	Scopes []string `json:"scopes,omitempty"`
	// RedirectURI is where the user comes back to when something must be done first. It must be
	// registered with the service; empty: the first one that is.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// State comes back with the user.
	State string `json:"state,omitempty"`
}

// ProviderTokenResult is one of two outcomes: exactly one of its fields is set.
type ProviderTokenResult struct {
	// Token is the user's token at the provider.
	Token *ProviderToken
	// Action is what the user must do before there is one.
	Action *ProviderTokenAction
}

// ProviderToken is a user's token at a sign-in provider.
type ProviderToken struct {
	AccessToken Secret
	// ExpiresAt is zero when the provider did not say.
	ExpiresAt Time
	Scopes    []string
	Provider  string
	Account   ProviderAccount
}

// ProviderAccount is the user's account at the provider.
type ProviderAccount struct {
	ID             string `json:"id"`
	ProviderUserID string `json:"provider_user_id"`
	Email          string `json:"email"`        // empty when it is not known
	DisplayName    string `json:"display_name"` // likewise
}

// ProviderTokenAction is what a user must do before there is a token: open ReauthURL in a browser.
// AuthOS has made a pending request for it, which is why asking again and again is not free.
type ProviderTokenAction struct {
	// Code is why: [CodeProviderLinkRequired], [CodeProviderGrantRequired],
	// [CodeProviderScopeConsentRequired] or [CodeProviderReauthRequired].
	Code      Code
	ReauthURL string
	// MissingScopes are those that the user has not consented to.
	MissingScopes []string
	Provider      string
}

// providerTokenBody is either outcome, told apart by status: "ok" or "action_required", both with
// HTTP status 200.
type providerTokenBody struct {
	Status        string          `json:"status"`
	AccessToken   Secret          `json:"access_token"`
	ExpiresAt     Time            `json:"expires_at"`
	Scopes        []string        `json:"scopes"`
	Provider      string          `json:"provider"`
	Account       ProviderAccount `json:"account"`
	Code          Code            `json:"code"`
	ReauthURL     string          `json:"reauth_url"`
	MissingScopes []string        `json:"missing_scopes"`
}

const actionRequired = "action_required"

func (b *providerTokenBody) missing() string {
	switch {
	case b.Status == "ok" && b.AccessToken.IsZero():
		return "access_token"
	case b.Status == actionRequired && b.Code == "":
		return "code"
	case b.Status == actionRequired && b.ReauthURL == "":
		return "reauth_url"
	case b.Status != "ok" && b.Status != actionRequired:
		return "a known status"
	}
	return ""
}

// ProviderToken asks for a user's token at a sign-in provider, to call the provider's API with.
// POST /api/service/provider-tokens; permission read:provider_tokens or
// read:provider_tokens:<provider>; not repeated when its outcome is unknown, since the outcome may
// be a pending request.
//
// Scopes that the service may not ask for are 403 FORBIDDEN, a user that is not the service's 404
// NOT_FOUND, a redirect URI that is not registered 400 BAD_REQUEST.
func (s *ServiceAPI) ProviderToken(
	ctx context.Context, p ProviderTokenParams, opts ...RequestOption,
) (*ProviderTokenResult, error) {
	var in checks
	in.required("user_id", p.UserID)
	in.required("provider", p.Provider)
	if p.RedirectURI != "" {
		in.absoluteURI("redirect_uri", p.RedirectURI)
	}
	b, err := invoke[providerTokenBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/service/provider-tokens", body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	if b.Status == actionRequired {
		return &ProviderTokenResult{Action: &ProviderTokenAction{
			Code: b.Code, ReauthURL: b.ReauthURL, MissingScopes: b.MissingScopes, Provider: b.Provider,
		}}, nil
	}
	return &ProviderTokenResult{Token: &ProviderToken{
		AccessToken: b.AccessToken, ExpiresAt: b.ExpiresAt, Scopes: b.Scopes, Provider: b.Provider, Account: b.Account,
	}}, nil
}
