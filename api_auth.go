package authos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/authos-go/authos/internal/jwt"
)

const logoutPath = "/api/auth/logout"

// AuthService signs in and out. Its methods return tokens and install none unless their params say
// Install: give them to [Client.With] for a client of that user, or to [Client.SetTokens].
//
// Four routes send e-mail: [AuthService.Register], [AuthService.ResendVerification],
// [AuthService.RequestPasswordReset] and [AuthService.RequestMagicLink]. Together they send one
// address 5 mails an hour; beyond that they return 429 [CodeTooManyRequests] and name no wait,
// which may be an hour. A server that has no e-mail set up returns 503 [CodeServiceUnavailable],
// and goes on doing so. The client repeats neither.
type AuthService struct{ c *Client }

// LoginParams are a password sign-in.
type LoginParams struct {
	Email    string `json:"email"`
	Password string `json:"-"` // sent, but not marshaled with the rest: params end up in logs
	// OrgSlug binds the session to an organization, ServiceSlug to one of its services.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// SAMLState continues a sign-in that a SAML service provider has begun: it is what the server
	// gave the sign-in page.
	SAMLState string `json:"saml_state,omitempty"`
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool `json:"-"`
}

// Format implements [fmt.Formatter] for every verb: the password does not print.
func (p LoginParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "LoginParams(%s, password %s)", p.Email, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the password out.
func (p LoginParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *LoginParams) UnmarshalJSON(b []byte) error {
	type fields LoginParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"password": &p.Password})
}

type loginRequest struct {
	LoginParams
	Password string `json:"password"`
}

// tenant checks an organization, one of its services and a redirect URI registered there. Each
// needs the one before: the server would refuse it, or ignore it in silence.
func (c *checks) tenant(org, service, redirectURI string) {
	if service != "" && org == "" {
		c.add("org_slug", CodeRequired, "is needed with service_slug")
	}
	if redirectURI != "" && (org == "" || service == "") {
		c.add("redirect_uri", CodeInvalidFormat, "needs org_slug and service_slug")
	}
}

// Login signs in with a password. It installs nothing unless asked to. POST /api/auth/login;
// public; not repeated when its outcome is unknown, since each sign-in makes a session.
//
// A second factor is asked for with [*MFARequiredError], which [AuthService.CompleteMFA] completes.
// A wrong password and an address that has not been verified are 401 UNAUTHORIZED
// ([ErrUnauthenticated]); no access to the organization, or an organization that is not active,
// 403; one that does not exist 404 NOT_FOUND; the organization's limit of monthly users 400
// [CodeServiceLimitExceeded]. When installing the tokens fails, they are returned together with the
// error.
func (s *AuthService) Login(ctx context.Context, p LoginParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.email(p.Email)
	if p.Password == "" {
		in.add("password", CodeRequired, "must not be empty")
	}
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/login", body: loginRequest{p, p.Password}, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.signIn(ctx, s.c, p.Install)
}

// signIn gives the caller the tokens of a sign-in, put in use where that was asked for.
func (b *tokenBody) signIn(ctx context.Context, c *Client, install bool) (Tokens, error) {
	t, err := b.session()
	if err != nil {
		return Tokens{}, err
	}
	t.Origin = c.fam.origin
	if install {
		err = c.install(ctx, t)
	}
	return t, err
}

// Refresh exchanges a refresh token for new tokens. POST /api/auth/refresh; public; never repeated
// once it may have arrived.
//
// The client refreshes its own session by itself; this is for tokens held elsewhere. A refresh
// token is single-use: presenting one twice, here and by a client that holds it, destroys the
// session. 401 UNAUTHORIZED means that the session is over.
func (s *AuthService) Refresh(ctx context.Context, refreshToken string, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("refresh_token", refreshToken)
	in.argument("refresh_token")
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: refreshPath, body: map[string]string{"refresh_token": refreshToken}, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	body.keep(refreshToken)
	return body.signIn(ctx, s.c, false)
}

// Logout ends the session at the server, then forgets its tokens here and in the store, and
// everything cached for the principal. Where it returns nil, nothing of the session works any more,
// also where another process has refreshed it since: it waits for a refresh in flight, looks at the
// store under its lock, ends what it holds and what the store holds of the same principal, and
// deletes just that. The tokens that somebody else has put there since stay.
//
// It presents the refresh token to POST /auth/revoke. A server without that route, or a session
// without a refresh token, is signed out by POST /api/auth/logout with the access token; there a
// refresh without a response makes it a [*SessionError] with RetryAt, because nobody holds the
// access token that would have to be presented. opts are those of these calls.
//
// When the server was not reached nothing is forgotten, so that Logout can be called again;
// SetTokens with zero Tokens forgets without it. Without a session there is nothing to end: nothing
// is sent, and it returns nil.
func (s *AuthService) Logout(ctx context.Context, opts ...RequestOption) error {
	_ = refused(opts, nil) // what is sent fills it
	return s.c.logout(ctx, func(ctx context.Context, t Tokens) (bool, error) { return s.end(ctx, t, opts) })
}

// end ends what tokens belong to. A refresh token says it for sure, also one that is used up
// already: the server ends all that has become of it. A server without that route knows only
// logout, which returns 200 to any access token: certain is false then.
func (s *AuthService) end(ctx context.Context, t Tokens, opts []RequestOption) (certain bool, err error) {
	if t.RefreshToken != "" {
		form := url.Values{"token": {t.RefreshToken}, "token_type_hint": {string(HintRefreshToken)}}
		body, err := invoke[[]byte](ctx, s.c, request{method: http.MethodPost, template: revokePath, body: form}, opts)
		switch {
		case err == nil && !isPage(*body):
			return true, nil
		case err != nil && !unknownRoute(err):
			return false, err
		}
	}
	own := RequestOption{apply: func(cl *call) error {
		cl.header = cl.header.Clone()
		if cl.header == nil {
			cl.header = http.Header{}
		}
		cl.header.Set("Authorization", "Bearer "+t.AccessToken)
		cl.token = t.AccessToken // scrubbed from messages that repeat it
		return nil
	}}
	err = acknowledged(ctx, s.c, request{method: http.MethodPost, template: logoutPath}, append(slices.Clip(opts), own))
	return t.RefreshToken == "", err
}

// unknownRoute reports whether a response says that the server has no such route.
func unknownRoute(err error) bool {
	api, ok := errors.AsType[*APIError](err)
	return ok && (api.StatusCode == http.StatusNotFound || api.StatusCode == http.StatusMethodNotAllowed ||
		api.StatusCode == http.StatusNotImplemented)
}

// TokenTypeHint says what kind of token is to be revoked (RFC 7009, section 2.1).
type TokenTypeHint string

// The kinds of token.
const (
	HintAccessToken  TokenTypeHint = "access_token"
	HintRefreshToken TokenTypeHint = "refresh_token"
)

// RevokeParams are a token that is to be revoked.
type RevokeParams struct {
	Token string `json:"-"` // sent, but not marshaled: params end up in logs
	// Hint must be right: the server looks for the token among those of the kind only, and takes a
	// token without a hint for an access token. Empty: [HintAccessToken] for a JWT, else
	// [HintRefreshToken], which is what AuthOS's tokens are.
	Hint TokenTypeHint
}

// Format implements [fmt.Formatter] for every verb: the token does not print.
func (p RevokeParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "RevokeParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the token out.
func (p RevokeParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *RevokeParams) UnmarshalJSON(b []byte) error {
	type fields RevokeParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"token": &p.Token, "token_type_hint": &p.Hint})
}

func (p RevokeParams) hint() TokenTypeHint {
	if _, isJWT := jwt.Type(p.Token); isJWT {
		return cmp.Or(p.Hint, HintAccessToken)
	}
	return cmp.Or(p.Hint, HintRefreshToken)
}

// Revoke ends the session that a token belongs to: its access token and its refresh token alike.
// POST /auth/revoke; public; may be repeated. The server says 200 whatever it is given (RFC 7009,
// section 2.2), so success does not mean that there was a session.
//
// It is for tokens held elsewhere: a client that holds the session is not told.
// [AuthService.Logout] ends the client's own.
func (s *AuthService) Revoke(ctx context.Context, p RevokeParams, opts ...RequestOption) error {
	var in checks
	in.required("token", p.Token)
	in.oneOf("token_type_hint", string(p.Hint), "", string(HintAccessToken), string(HintRefreshToken))
	form := url.Values{"token": {p.Token}, "token_type_hint": {string(p.hint())}}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: revokePath, body: form, checks: in,
	}, opts)
}

// RegisterParams are a new account.
type RegisterParams struct {
	Email    string `json:"email"`
	Password string `json:"-"` // 8 bytes or more; sent, but not marshaled with the rest
	// OrgSlug and ServiceSlug name the service that the user registers at.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// State is the program's own, to recognize the sign-in by.
	State string `json:"state,omitempty"`
}

// Format implements [fmt.Formatter] for every verb: the password does not print.
func (p RegisterParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "RegisterParams(%s, password %s)", p.Email, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the password out.
func (p RegisterParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *RegisterParams) UnmarshalJSON(b []byte) error {
	type fields RegisterParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"password": &p.Password})
}

type registerRequest struct {
	RegisterParams
	Password string `json:"password"`
}

// Register makes an account with a password, and has the server mail a link that verifies its
// address; until then signing in is 401 UNAUTHORIZED. POST /api/auth/register; public; not repeated
// when its outcome is unknown.
//
// Success does not say that the address was free: the server responds the same when it has an
// account. 404 NOT_FOUND is an organization or service that does not exist, 403 FORBIDDEN an
// address whose domain signs in through a provider of its own. 429 [CodeTooManyRequests] and 503
// [CodeServiceUnavailable] are those of [AuthService]'s e-mail routes.
func (s *AuthService) Register(ctx context.Context, p RegisterParams, opts ...RequestOption) error {
	var in checks
	in.email(p.Email)
	in.newPassword("password", p.Password)
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/register", body: registerRequest{p, p.Password}, checks: in,
	}, opts)
}

// ResendVerificationParams are an address that waits for its verification.
type ResendVerificationParams struct {
	Email string `json:"email"`
	// OrgSlug, ServiceSlug, RedirectURI and State are those of [RegisterParams].
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	RedirectURI string `json:"redirect_uri,omitempty"`
	State       string `json:"state,omitempty"`
}

// ResendVerification mails another link that verifies an address. It is good for 24 hours and for
// one use. POST /api/auth/resend-verification; public; not repeated when its outcome is unknown.
//
// Success does not say that the address waits for one: the server responds the same to any. 404
// NOT_FOUND is an organization or service that does not exist. 429 [CodeTooManyRequests] and 503
// [CodeServiceUnavailable] are those of [AuthService]'s e-mail routes.
func (s *AuthService) ResendVerification(ctx context.Context, p ResendVerificationParams, opts ...RequestOption) error {
	var in checks
	in.email(p.Email)
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/resend-verification", body: p, checks: in,
	}, opts)
}

// VerifyEmail takes the token of a mailed link that verifies an address, for a program whose own
// page the link leads to. GET /auth/verify-email; public; never repeated once it may have arrived:
// the link is used up by it. One that is wrong, used or over is 400 BAD_REQUEST. The server
// responds with a page for people, which is not read: another server's page passes for success too.
func (s *AuthService) VerifyEmail(ctx context.Context, token string, opts ...RequestOption) error {
	var in checks
	in.required("token", token)
	in.argument("token")
	return s.c.call(ctx, request{
		method: http.MethodGet, template: "/auth/verify-email", query: url.Values{"token": {token}}, checks: in,
	}, nil, opts)
}

// RequestPasswordResetParams are an account whose password is forgotten.
type RequestPasswordResetParams struct {
	Email string `json:"email"`
	// OrgSlug and ServiceSlug name the service that the user wants to sign in to.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// State is the program's own, to recognize the sign-in by.
	State string `json:"state,omitempty"`
}

// RequestPasswordReset mails a link whose token [AuthService.ResetPassword] takes. It is good for
// an hour and for one use. POST /api/auth/forgot-password; public; not repeated when its outcome is
// unknown.
//
// Success does not say that the address has an account: the server responds the same to any. 404
// NOT_FOUND is an organization or service that does not exist, 403 FORBIDDEN an address whose
// domain signs in through a provider of its own. 429 [CodeTooManyRequests] and 503
// [CodeServiceUnavailable] are those of [AuthService]'s e-mail routes.
func (s *AuthService) RequestPasswordReset(ctx context.Context, p RequestPasswordResetParams, opts ...RequestOption) error {
	var in checks
	in.email(p.Email)
	in.tenant(p.OrgSlug, p.ServiceSlug, p.RedirectURI)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/forgot-password", body: p, checks: in,
	}, opts)
}

// ResetPasswordParams are the token of a mailed link and a new password.
type ResetPasswordParams struct {
	Token       string `json:"-"` // sent, but not marshaled: params end up in logs
	NewPassword string `json:"-"` // 8 bytes or more
}

// Format implements [fmt.Formatter] for every verb: neither token nor password print.
func (p ResetPasswordParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "ResetPasswordParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves token and password out.
func (p ResetPasswordParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *ResetPasswordParams) UnmarshalJSON(b []byte) error {
	type fields ResetPasswordParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"token": &p.Token, "new_password": &p.NewPassword})
}

// ResetPassword sets a new password and ends all sessions of the user. POST
// /api/auth/reset-password; public; never repeated once it may have arrived. A token that is wrong,
// used or older than an hour is 400 BAD_REQUEST.
func (s *AuthService) ResetPassword(ctx context.Context, p ResetPasswordParams, opts ...RequestOption) error {
	var in checks
	in.required("token", p.Token)
	in.newPassword("new_password", p.NewPassword)
	body := map[string]string{"token": p.Token, "new_password": p.NewPassword}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/reset-password", body: body, checks: in,
	}, opts)
}

// AuthMethod is a way to sign in. Other values than those named here are kept as the server sent
// them.
type AuthMethod string

// The ways to sign in.
const (
	AuthMethodPassword  AuthMethod = "password"
	AuthMethodMagicLink AuthMethod = "magic_link"
	AuthMethodPasskey   AuthMethod = "passkey"
	AuthMethodOAuth     AuthMethod = "oauth" // through a social provider, such as github
	// AuthMethodUpstream goes through the identity provider of the address's domain.
	AuthMethodUpstream AuthMethod = "upstream"
)

// EmailLookup says how an address signs in.
type EmailLookup struct {
	AuthMethod AuthMethod `json:"auth_method"`
	// ConnectionID and ProviderName are the identity provider that the address's domain is routed
	// to, for [LoginURLParams]; empty when there is none.
	ConnectionID string `json:"connection_id"`
	ProviderName string `json:"provider_name"`
	// DomainVerified: the domain's owner has proved to be it.
	DomainVerified bool `json:"domain_verified"`
}

func (l *EmailLookup) missing() string {
	if l.AuthMethod == "" {
		return "auth_method"
	}
	return ""
}

// LookupEmail says how an address should sign in: with a password, or through which identity
// provider. It does not report whether the address has an account. POST /api/auth/lookup-email;
// public; may be repeated.
func (s *AuthService) LookupEmail(ctx context.Context, email string, opts ...RequestOption) (*EmailLookup, error) {
	var in checks
	in.email(email)
	in.argument("email")
	body := map[string]string{"email": email}
	return invoke[EmailLookup](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/lookup-email", body: body, checks: in,
	}, opts)
}

// AuthContext is what a sign-in page shows before anybody signs in.
type AuthContext struct {
	// Organization and Service are those asked for; nil when none was.
	Organization *AuthContextOrganization `json:"organization"`
	Service      *AuthContextService      `json:"service"`
	// AvailableProviders are names such as github, google and microsoft, for
	// [AuthService.LoginURL]. It and AuthMethods are empty when nobody can sign in: the
	// organization is not active.
	AvailableProviders []string     `json:"available_providers"`
	AuthMethods        []AuthMethod `json:"auth_methods"`
	SupportAvailable   bool         `json:"support_available"`
}

// AuthContextOrganization is an organization as its sign-in page shows it.
type AuthContextOrganization struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
	// LogoURL and PrimaryColor are empty when the organization has none.
	LogoURL      string             `json:"logo_url"`
	PrimaryColor string             `json:"primary_color"`
	Status       OrganizationStatus `json:"status"`
}

// AuthContextService is a service as its sign-in page shows it.
type AuthContextService struct {
	Slug        string      `json:"slug"`
	Name        string      `json:"name"`
	ServiceType ServiceType `json:"service_type"`
	// RedirectURIValid reports whether the redirect URI asked about is registered with the service;
	// nil when none was asked about.
	RedirectURIValid *bool `json:"redirect_uri_valid"`
}

func (c *AuthContext) missing() string {
	switch {
	case c.AvailableProviders == nil:
		return "available_providers"
	case c.AuthMethods == nil:
		return "auth_methods"
	case c.Organization != nil && c.Organization.Slug == "":
		return "slug of organization"
	case c.Service != nil && c.Service.Slug == "":
		return "slug of service"
	}
	return ""
}

// AuthContextParams say whose sign-in page it is. The zero value is the server's own.
type AuthContextParams struct {
	OrgSlug     string
	ServiceSlug string // needs OrgSlug
	// RedirectURI is checked against those registered with the service, which it needs.
	RedirectURI string
}

// Context returns what a sign-in page shows: the organization and the service by name, and the ways
// to sign in. GET /api/auth/context; public; may be repeated; cached for the stale fallback. 404
// NOT_FOUND is an organization or service that does not exist; one that is not active is no error.
func (s *AuthService) Context(ctx context.Context, p AuthContextParams, opts ...RequestOption) (*AuthContext, error) {
	var in checks
	if p.ServiceSlug != "" && p.OrgSlug == "" {
		in.add("org", CodeRequired, "is needed with service")
	}
	if p.RedirectURI != "" && p.ServiceSlug == "" {
		in.add("service", CodeRequired, "is needed with redirect_uri")
	}
	q := url.Values{}
	put(q, "org", p.OrgSlug)
	put(q, "service", p.ServiceSlug)
	put(q, "redirect_uri", p.RedirectURI)
	return invoke[AuthContext](ctx, s.c, request{
		method: http.MethodGet, template: "/api/auth/context", query: q, checks: in,
	}, opts)
}
