package authos

import (
	"context"
	"net/http"
)

// ProviderTokenRequestsService are what services have asked the signed-in user for with
// [ServiceAPI.ProviderToken]: the page that [ProviderTokenAction] leads to answers them here.
type ProviderTokenRequestsService struct{ c *Client }

// ProviderTokenRequest is a service's wish to call a sign-in provider with the user's account.
type ProviderTokenRequest struct {
	State           string   `json:"state"`
	Provider        string   `json:"provider"`
	RequestedScopes []string `json:"requested_scopes"`
	ServiceID       string   `json:"service_id"`
	ServiceName     string   `json:"service_name"`
	ExpiresAt       Time     `json:"expires_at"`
	// Accounts are those that the user could grant.
	Accounts []LinkedAccount `json:"accounts"`
}

func (r *ProviderTokenRequest) missing() string {
	if r.State == "" {
		return "state"
	}
	return ""
}

// ProviderTokenCompleteParams are the user's word.
type ProviderTokenCompleteParams struct {
	// ConnectedAccountID is one of the request's accounts; empty: the only one.
	ConnectedAccountID string `json:"connected_account_id,omitempty"`
}

// SessionProviderToken is the signed-in user's token at a sign-in provider.
type SessionProviderToken struct {
	AccessToken Secret `json:"access_token"`
	// RefreshToken is zero when the provider gave none.
	RefreshToken Secret   `json:"refresh_token"`
	ExpiresAt    Time     `json:"expires_at"` // zero: not known
	Scopes       []string `json:"scopes"`
	Provider     string   `json:"provider"`
}

func (t *SessionProviderToken) missing() string {
	if t.AccessToken.IsZero() {
		return "access_token"
	}
	return ""
}

type redirectBody struct {
	RedirectURL string `json:"redirect_url"`
}

func (b *redirectBody) missing() string {
	if b.RedirectURL == "" {
		return "redirect_url"
	}
	return ""
}

// ProviderToken returns the signed-in user's token at the provider that the user signed in with.
// GET /api/provider-token/:provider; bearer; may be repeated; never stale.
//
// The session must be bound to a service, and the provider be one that the server knows, else it is
// 400 BAD_REQUEST. A user without an account there is 404 NOT_FOUND, a service without scopes for
// it 403 FORBIDDEN.
func (s *UserService) ProviderToken(ctx context.Context, provider string, opts ...RequestOption) (*SessionProviderToken, error) {
	var in checks
	in.id("provider", provider)
	return invoke[SessionProviderToken](ctx, s.c, request{
		method: http.MethodGet, template: "/api/provider-token/:provider", args: []string{provider}, checks: in,
	}, opts)
}

// Get returns what a service has asked for, by the state that its page was opened with. GET
// /api/user/provider-token-requests/:state; bearer; may be repeated; never stale. One that does not
// exist, or is over, is 404 NOT_FOUND.
func (s *ProviderTokenRequestsService) Get(ctx context.Context, state string, opts ...RequestOption) (*ProviderTokenRequest, error) {
	var in checks
	in.id("state", state)
	return invoke[ProviderTokenRequest](ctx, s.c, request{
		method: http.MethodGet, template: "/api/user/provider-token-requests/:state", args: []string{state}, checks: in,
	}, opts)
}

// Complete grants what a service has asked for, which uses the request up, and returns the URL that
// the browser goes on to. POST /api/user/provider-token-requests/:state/complete; bearer; not
// repeated when its outcome is unknown.
func (s *ProviderTokenRequestsService) Complete(
	ctx context.Context, state string, p ProviderTokenCompleteParams, opts ...RequestOption,
) (string, error) {
	var in checks
	in.id("state", state)
	body, err := invoke[redirectBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/provider-token-requests/:state/complete", args: []string{state}, body: p, checks: in,
	}, opts)
	if err != nil {
		return "", err
	}
	return body.RedirectURL, nil
}

// Link begins to link the account that a service has asked for, and returns the URL that a browser
// opens for it. POST /api/user/provider-token-requests/:state/link; bearer; not repeated when its
// outcome is unknown. What the server responds is not confirmed: it is taken to be what
// [LinkedAccountsService.Link] gets, and anything else is a [*DecodeError].
func (s *ProviderTokenRequestsService) Link(ctx context.Context, state string, opts ...RequestOption) (string, error) {
	var in checks
	in.id("state", state)
	return authorization(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/provider-token-requests/:state/link", args: []string{state}, checks: in,
	}, opts)
}
