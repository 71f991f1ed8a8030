package authos

import (
	"net/http"
	"net/url"

	"github.com/authos-go/authos/internal/routes"
)

const (
	loginPath      = "/auth/:provider"
	adminLoginPath = "/auth/admin/:provider"
)

// LoginURLParams are a sign-in through an identity provider.
type LoginURLParams struct {
	// OrgSlug and ServiceSlug are what the user signs in to; both are needed.
	OrgSlug, ServiceSlug string
	// RedirectURI is where the browser comes back to. It must be registered with the service;
	// empty: the first that is.
	RedirectURI string
	// State comes back with the browser. Make it unguessable and compare it then: it is what tells
	// the program's own sign-in from one that somebody else has begun (RFC 6749, section 10.12).
	State string
	// UserCode is that of a device that the user signs in for: see [AuthService.VerifyUserCode].
	UserCode string
	// ConnectionID chooses an enterprise's own identity provider: see [AuthService.LookupEmail].
	ConnectionID string
	// Resource is an absolute URI that is registered with the service, of another server that the
	// token is for (RFC 8707).
	Resource string
}

// LoginURL makes the URL that a browser opens to sign in through an identity provider, such as
// github, google or microsoft. Nothing is sent here; errors are bad input. GET /auth/:provider;
// public.
//
// The browser comes back to the redirect URI with access_token and refresh_token, or with
// preauth_token and mfa_required=true, in the fragment, which only a page in the browser can read;
// [AuthService.CompleteMFA] takes the pre-auth token. A refusal comes back as error and
// error_description in the query.
func (s *AuthService) LoginURL(provider string, p LoginURLParams) (string, error) {
	var in checks
	in.provider(loginPath, provider)
	in.required("org", p.OrgSlug)
	in.required("service", p.ServiceSlug)
	if p.Resource != "" {
		in.absoluteURI("resource", p.Resource)
	}
	userCode := in.optionalUserCode(p.UserCode)
	if err := in.err(nil); err != nil {
		return "", err
	}
	q := url.Values{"org": {p.OrgSlug}, "service": {p.ServiceSlug}}
	put(q, "redirect_uri", p.RedirectURI)
	put(q, "state", p.State)
	put(q, "user_code", userCode)
	put(q, "connection_id", p.ConnectionID)
	put(q, "resource", p.Resource)
	return link(s.c, loginPath, []string{provider}, q), nil
}

// AdminLoginURLParams are a sign-in of somebody who runs an organization or the platform.
type AdminLoginURLParams struct {
	// OrgSlug binds the session to an organization; empty: to none.
	OrgSlug string
	// UserCode is that of the platform's own command-line tool waiting for the user: see
	// [AdminCLIClientID].
	UserCode string
}

// AdminLoginURL makes the URL that a browser opens to sign in to AuthOS's own dashboard through
// github, google or microsoft. Nothing is sent here; errors are bad input. GET
// /auth/admin/:provider; public.
func (s *AuthService) AdminLoginURL(provider string, p AdminLoginURLParams) (string, error) {
	var in checks
	in.provider(adminLoginPath, provider)
	userCode := in.optionalUserCode(p.UserCode)
	if err := in.err(nil); err != nil {
		return "", err
	}
	q := url.Values{}
	put(q, "org_slug", p.OrgSlug)
	put(q, "user_code", userCode)
	return link(s.c, adminLoginPath, []string{provider}, q), nil
}

// provider refuses what is no path segment, and names that would lead to another route:
// /auth/verify-email uses up a token.
func (c *checks) provider(template, name string) {
	n := len(*c)
	c.id("provider", name)
	if len(*c) > n {
		return
	}
	if r := routes.Match(http.MethodGet, expand(template, []string{name})); r == nil || r.Template != template {
		c.add("provider", CodeInvalidFormat, "is the name of another route, not of a provider")
		c.argument("provider")
	}
}
