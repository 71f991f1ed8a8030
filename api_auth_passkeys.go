package authos

import (
	"context"
	"net/http"
)

// StartPasskeyParams say who wants to sign in with a passkey.
type StartPasskeyParams struct {
	Email string `json:"email"`
	// OrgSlug binds the session to an organization, ServiceSlug to one of its services; they go
	// together.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// State is the program's own, to recognize the sign-in by.
	State string `json:"state,omitempty"`
}

// FinishPasskeyParams are what a browser has made of a [PasskeyChallenge].
type FinishPasskeyParams struct {
	PasskeyFinishParams
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool `json:"-"`
}

// StartPasskey begins a sign-in with a passkey: a browser signs the challenge, and
// [AuthService.FinishPasskey] takes what it has made. POST /api/auth/passkeys/authenticate/start;
// public; may be repeated: each makes another challenge.
//
// It tells whether an account exists: an address without one is 404 NOT_FOUND, one without a
// passkey 400 BAD_REQUEST. Confirmed by an earlier version of the server's source.
func (s *AuthService) StartPasskey(ctx context.Context, p StartPasskeyParams, opts ...RequestOption) (*PasskeyChallenge, error) {
	var in checks
	in.email(p.Email)
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	if p.OrgSlug != "" && p.ServiceSlug == "" {
		in.add("service_slug", CodeRequired, "is needed with org_slug")
	}
	body, err := invoke[passkeyChallengeBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/passkeys/authenticate/start", body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.challenge(), nil
}

// FinishPasskey signs in with what a browser has made of a challenge. POST
// /api/auth/passkeys/authenticate/finish; public; never repeated once it may have arrived: a
// challenge is used up by it. One that is over or used is 400 BAD_REQUEST. When installing the
// tokens fails, they are returned together with the error. Confirmed by an earlier version of the
// server's source.
func (s *AuthService) FinishPasskey(ctx context.Context, p FinishPasskeyParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	p.check(&in)
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/passkeys/authenticate/finish", body: p.PasskeyFinishParams, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.signIn(ctx, s.c, p.Install)
}

// BootstrapLoginParams are the one-time token of a server that has just been set up.
type BootstrapLoginParams struct {
	Token Secret
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool
}

// BootstrapLogin signs in at a server that has just been set up, with the one-time token that it
// has printed. POST /api/public/bootstrap-login; public; never repeated once it may have arrived. A
// token that is wrong, over or used is 401 UNAUTHORIZED. When installing the tokens fails, they are
// returned together with the error. Confirmed by an earlier version of the server's source.
func (s *AuthService) BootstrapLogin(ctx context.Context, p BootstrapLoginParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("token", p.Token.Reveal())
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/public/bootstrap-login", body: map[string]string{"token": p.Token.Reveal()}, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.signIn(ctx, s.c, p.Install)
}
