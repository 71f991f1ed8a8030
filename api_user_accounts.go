package authos

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// LinkedAccountsService are the signed-in user's accounts at sign-in providers, which services may
// call the providers with when the user has granted it.
type LinkedAccountsService struct{ c *Client }

// IdentitiesService are the accounts that the signed-in user signs in with.
type IdentitiesService struct{ c *Client }

// LinkedAccount is an account at a sign-in provider. What is not known is empty.
type LinkedAccount struct {
	ID             string   `json:"id"`
	Provider       string   `json:"provider"`
	ProviderUserID string   `json:"provider_user_id"`
	Email          string   `json:"email"`
	DisplayName    string   `json:"display_name"`
	Scopes         []string `json:"scopes"`
	// ExpiresAt is when the provider's token ends; zero: not known.
	ExpiresAt Time   `json:"expires_at"`
	Status    string `json:"status"`
	// Grants are filled where the session is bound to a service, with those of that service.
	Grants []AccountGrant `json:"grants"`
}

func (a *LinkedAccount) missing() string { return missingID(a.ID) }

// AccountGrant allows a service to call a provider with the user's account.
type AccountGrant struct {
	ID         string   `json:"id"`
	ServiceID  string   `json:"service_id"`
	Scopes     []string `json:"scopes"`
	GrantedAt  Time     `json:"granted_at"`
	LastUsedAt Time     `json:"last_used_at"` // zero: never
}

func (g *AccountGrant) missing() string { return missingID(g.ID) }

// AvailableProvider is a sign-in provider with which an account can be linked.
type AvailableProvider struct {
	Provider         string   `json:"provider"`
	DisplayName      string   `json:"display_name"`
	ProviderType     string   `json:"provider_type"`
	Scopes           []string `json:"scopes"`
	ConnectSupported bool     `json:"connect_supported"`
}

// LinkedAccounts are the user's accounts, and where there could be more.
type LinkedAccounts struct {
	Accounts           []LinkedAccount     `json:"accounts"`
	AvailableProviders []AvailableProvider `json:"available_providers"`
}

func (l *LinkedAccounts) missing() string { return missingIn("accounts", l.Accounts) }

// Identity is a way in which the user signs in.
type Identity struct {
	Provider string `json:"provider"` // such as github
}

func (i *Identity) missing() string {
	if i.Provider == "" {
		return "provider"
	}
	return ""
}

// AccountGrantParams say what a service is allowed.
type AccountGrantParams struct {
	// ServiceID is needed unless the session is bound to a service.
	ServiceID string `json:"service_id,omitempty"`
	// Scopes are what the service may do; none: all that it may ask for.
	Scopes []string `json:"scopes"`
}

// AccountLinkParams say where the browser comes back to.
type AccountLinkParams struct {
	// RedirectURI is empty for the server's own page.
	RedirectURI string
}

func (p AccountLinkParams) query() url.Values {
	q := url.Values{}
	put(q, "redirect_uri", p.RedirectURI)
	return q
}

type authorizationBody struct {
	AuthorizationURL string `json:"authorization_url"`
}

func (b *authorizationBody) missing() string {
	if b.AuthorizationURL == "" {
		return "authorization_url"
	}
	return ""
}

// authorization sends a request whose response is the URL that a browser opens next.
func authorization(ctx context.Context, c *Client, r request, opts []RequestOption) (string, error) {
	body, err := invoke[authorizationBody](ctx, c, r, opts)
	if err != nil {
		return "", err
	}
	return body.AuthorizationURL, nil
}

// List returns the user's accounts at sign-in providers, and the providers with which there could
// be one. GET /api/user/linked-accounts; bearer; may be repeated; never stale.
func (s *LinkedAccountsService) List(ctx context.Context, opts ...RequestOption) (*LinkedAccounts, error) {
	return invoke[LinkedAccounts](ctx, s.c, request{method: http.MethodGet, template: "/api/user/linked-accounts"}, opts)
}

// All iterates over the same accounts. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *LinkedAccountsService) All(ctx context.Context, opts ...RequestOption) iter.Seq2[LinkedAccount, error] {
	return unpaged(func() ([]LinkedAccount, error) {
		list, err := s.List(ctx, opts...)
		if err != nil {
			return nil, err
		}
		return list.Accounts, nil
	})
}

// Link begins to link an account at a sign-in provider, and returns the URL that a browser opens
// for it. POST /api/user/linked-accounts/:provider/link; bearer; not repeated when its outcome is
// unknown.
func (s *LinkedAccountsService) Link(ctx context.Context, provider string, p AccountLinkParams, opts ...RequestOption) (string, error) {
	var in checks
	in.id("provider", provider)
	return authorization(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/linked-accounts/:provider/link",
		args: []string{provider}, query: p.query(), checks: in,
	}, opts)
}

// Grant allows a service to call the provider with an account. POST
// /api/user/linked-accounts/:account_id/grants; bearer; not repeated when its outcome is unknown.
// Scopes that the service may not have are 403 FORBIDDEN, an account that has to be authorized anew
// 400 BAD_REQUEST.
func (s *LinkedAccountsService) Grant(
	ctx context.Context, accountID string, p AccountGrantParams, opts ...RequestOption,
) (*AccountGrant, error) {
	var in checks
	in.id("account_id", accountID)
	if p.Scopes == nil {
		p.Scopes = []string{} // the server refuses null
	}
	return invoke[AccountGrant](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/linked-accounts/:account_id/grants", args: []string{accountID}, body: p, checks: in,
	}, opts)
}

// Unlink forgets an account at a sign-in provider, and its grants; one that is not there is no
// error. DELETE /api/user/linked-accounts/:account_id; bearer; may be repeated.
func (s *LinkedAccountsService) Unlink(ctx context.Context, accountID string, opts ...RequestOption) error {
	var in checks
	in.id("account_id", accountID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: "/api/user/linked-accounts/:account_id", args: []string{accountID}, checks: in,
	}, nil, opts)
}

// RevokeGrant takes a service's grant away. DELETE
// /api/user/linked-accounts/:account_id/grants/:service_id; bearer; may be repeated: when an
// attempt's outcome is unknown and its repeat finds 404, RevokeGrant has succeeded.
func (s *LinkedAccountsService) RevokeGrant(ctx context.Context, accountID, serviceID string, opts ...RequestOption) error {
	var in checks
	in.id("account_id", accountID)
	in.id("service_id", serviceID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: "/api/user/linked-accounts/:account_id/grants/:service_id",
		args: []string{accountID, serviceID}, checks: in,
	}, nil, opts)
}

// List returns the accounts that the user signs in with. GET /api/user/identities; bearer; may be
// repeated; cached for the stale fallback.
func (s *IdentitiesService) List(ctx context.Context, opts ...RequestOption) ([]Identity, error) {
	list, err := invoke[bare[Identity, *Identity]](ctx, s.c, request{method: http.MethodGet, template: "/api/user/identities"}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same accounts. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *IdentitiesService) All(ctx context.Context, opts ...RequestOption) iter.Seq2[Identity, error] {
	return unpaged(func() ([]Identity, error) { return s.List(ctx, opts...) })
}

// Link begins to add an account to sign in with, and returns the URL that a browser opens for it.
// POST /api/user/identities/:provider/link; bearer; not repeated when its outcome is unknown. A
// provider that the server does not know is 400 BAD_REQUEST.
func (s *IdentitiesService) Link(ctx context.Context, provider string, p AccountLinkParams, opts ...RequestOption) (string, error) {
	var in checks
	in.id("provider", provider)
	return authorization(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/identities/:provider/link", args: []string{provider}, query: p.query(), checks: in,
	}, opts)
}

// Unlink takes an account to sign in with away. DELETE /api/user/identities/:provider; bearer; not
// repeated when its outcome is unknown. The last one is 400 BAD_REQUEST.
func (s *IdentitiesService) Unlink(ctx context.Context, provider string, opts ...RequestOption) error {
	var in checks
	in.id("provider", provider)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: "/api/user/identities/:provider", args: []string{provider}, checks: in,
	}, nil, opts)
}
