package authos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/authos-go/authos/internal/jwt"
)

// RequestMagicLinkParams are an address that wants to sign in by mail.
type RequestMagicLinkParams struct {
	Email string `json:"email"`
	// OrgSlug binds the session to an organization, ServiceSlug to one of its services.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs. The link is bound to it
	// and to State, which is the program's own: to recognize the sign-in by, and to tell it from
	// one that somebody else has begun.
	RedirectURI string `json:"redirect_uri,omitempty"`
	State       string `json:"state,omitempty"`
}

// RequestMagicLink mails a link that signs in without a password. Its token, which
// [AuthService.VerifyMagicLink] takes, is good for 15 minutes and for one use. POST
// /api/auth/magic-link/request; public; not repeated when its outcome is unknown.
//
// Success does not say that the address has an account: the server mails a link to any. 404
// NOT_FOUND is an organization or service that does not exist, 403 FORBIDDEN an organization that
// is not active. 429 [CodeTooManyRequests] and 503 [CodeServiceUnavailable] are those of
// [AuthService]'s e-mail routes.
func (s *AuthService) RequestMagicLink(ctx context.Context, p RequestMagicLinkParams, opts ...RequestOption) error {
	var in checks
	in.email(p.Email)
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/magic-link/request", body: p, checks: in,
	}, opts)
}

// VerifyMagicLinkParams are what came back from a mailed link.
type VerifyMagicLinkParams struct {
	Token string `json:"-"` // sent, but not marshaled: params end up in logs
	// RedirectURI and State must be those the link was requested with, where they are given.
	RedirectURI, State string
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool
}

// Format implements [fmt.Formatter] for every verb: the token does not print.
func (p VerifyMagicLinkParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "VerifyMagicLinkParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the token out.
func (p VerifyMagicLinkParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *VerifyMagicLinkParams) UnmarshalJSON(b []byte) error {
	type fields VerifyMagicLinkParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"token": &p.Token, "redirect_uri": &p.RedirectURI, "state": &p.State})
}

// magicLinkBody is a session, or the question for a second factor, which has a shape of its own on
// this route.
type magicLinkBody struct {
	tokenBody
	RequiresMFA  bool   `json:"requires_mfa"`
	PreAuthToken string `json:"preauth_token"`
	State        string `json:"state"`
}

func (b *magicLinkBody) missing() string {
	switch {
	case b.PreAuthToken != "":
		return ""
	case b.RequiresMFA:
		return "preauth_token"
	}
	return b.tokenBody.missing()
}

func (b *magicLinkBody) signIn(ctx context.Context, c *Client, install bool) (Tokens, error) {
	if b.PreAuthToken == "" {
		return b.tokenBody.signIn(ctx, c, install)
	}
	// There is no expires_in; the token's own claims say how long it lives.
	preAuth := tokenBody{ExpiresIn: seconds(jwtLife(b.PreAuthToken))}
	return Tokens{}, &MFARequiredError{
		PreAuthToken: NewSecret(b.PreAuthToken), ExpiresAt: preAuth.tokens().ExpiresAt, State: b.State,
	}
}

// jwtLife is how many seconds a token lives by its own word; not positive when it does not say.
func jwtLife(token string) float64 {
	var claims struct{ Exp, Iat float64 }
	if !jwt.Part(token, 1, &claims) || claims.Iat <= 0 {
		return 0
	}
	return claims.Exp - claims.Iat
}

// VerifyMagicLink signs in with the token of a mailed link. GET /api/auth/magic-link/verify;
// public; never repeated once it may have arrived: it is a GET that uses the link up, so nothing
// may fetch it ahead of the user either.
//
// A second factor is asked for with [*MFARequiredError], as by [AuthService.Login]. A link that is
// wrong, used or older than 15 minutes, another RedirectURI or State than it was requested with,
// and an address without an account are 400 BAD_REQUEST; no access to the organization, or one that
// is not active, 403. When installing the tokens fails, they are returned together with the error.
func (s *AuthService) VerifyMagicLink(ctx context.Context, p VerifyMagicLinkParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("token", p.Token)
	q := url.Values{"token": {p.Token}}
	put(q, "redirect_uri", p.RedirectURI)
	put(q, "state", p.State)
	body, err := invoke[magicLinkBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/auth/magic-link/verify", query: q, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.signIn(ctx, s.c, p.Install)
}
