package authostest

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// tokenRequestLife is how long a user may take to consent.
const tokenRequestLife = 10 * time.Minute

// tokenRequest is a service's wish for a provider's token, which waits for the user
// on the hosted pages.
type tokenRequest struct {
	userID      string
	provider    string
	scopes      []string
	service     *service
	redirectURI string
	clientState *string
	expires     time.Time
}

// pendingRequest finds the request of the path among the caller's own.
func (c *call) pendingRequest() (*tokenRequest, *response) {
	if r := c.s.scene.tokenRequests[c.params[0]]; r != nil && r.userID == c.user.ID && !c.now.After(r.expires) {
		return r, nil
	}
	a := c.notFound("Provider token request not found")
	return nil, &a
}

func (c *call) showTokenRequest() response {
	r, missing := c.pendingRequest()
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, struct {
		State           string          `json:"state"`
		Provider        string          `json:"provider"`
		RequestedScopes []string        `json:"requested_scopes"`
		ServiceID       string          `json:"service_id"`
		ServiceName     string          `json:"service_name"`
		ExpiresAt       string          `json:"expires_at"`
		Accounts        []linkedAccount `json:"accounts"`
	}{
		c.params[0], r.provider, r.scopes, r.service.id, r.service.name, stampOffset(r.expires),
		describeAccounts(c.user, r.service, func(a *account) bool { return a.provider == r.provider }),
	})
}

// completeTokenRequest is the user's consent. It uses the request up.
func (c *call) completeTokenRequest() response {
	in, bad := decode[struct {
		ConnectedAccountID *string `json:"connected_account_id"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	r, missing := c.pendingRequest()
	if missing != nil {
		return *missing
	}
	i := slices.IndexFunc(c.user.accounts, func(a *account) bool {
		return a.provider == r.provider && (in.ConnectedAccountID == nil || a.id == *in.ConnectedAccountID)
	})
	if i < 0 {
		return c.notFound("Linked account not found")
	}
	a := c.user.accounts[i]
	if len(minus(r.scopes, a.scopes)) > 0 {
		return c.badRequest("The account must be authorized again for the requested scopes")
	}
	a.grant(c.s, r.service.id, r.scopes, c.now)
	delete(c.s.scene.tokenRequests, c.params[0])
	c.applied = true
	query := url.Values{"status": {"ok"}, "provider": {r.provider}}
	if r.clientState != nil {
		query.Set("state", *r.clientState)
	}
	return jsonResponse(http.StatusOK, struct {
		RedirectURL string `json:"redirect_url"`
	}{withQuery(r.redirectURI, query)})
}

// linkTokenRequest sends the user to the provider first.
func (c *call) linkTokenRequest() response {
	r, missing := c.pendingRequest()
	if missing != nil {
		return *missing
	}
	authorize, ok := authorizeURLs[r.provider]
	if !ok {
		return c.badRequest("Unsupported provider: " + r.provider)
	}
	return c.toAuthorize(authorize, r.provider)
}
