package authos

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
)

const logoutPath = "/api/auth/logout"

// AuthService signs in and out. Its methods return tokens and install none: give them to [Client.With] for a client of that user,
// or to [Client.SetTokens].
type AuthService struct{ c *Client }

// LoginParams are a password sign-in.
type LoginParams struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	// OrgSlug binds the session to an organization, ServiceSlug to one of its services.
	OrgSlug     string `json:"org_slug,omitempty"`
	ServiceSlug string `json:"service_slug,omitempty"`
	// RedirectURI must be registered with the service; it needs both slugs.
	RedirectURI string `json:"redirect_uri,omitempty"`
}

// Format implements [fmt.Formatter] for every verb: the password does not print.
func (p LoginParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "LoginParams(%s, password %s)", p.Email, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the password out.
func (p LoginParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Login signs in with a password. POST /api/auth/login; public; not repeated when its outcome is unknown, since each sign-in makes a
// session.
//
// A second factor is asked for with [*MFARequiredError]. A wrong password is 401 UNAUTHORIZED ([ErrUnauthenticated]); no access to the
// organization, or an organization that is not active, 403; the organization's limit of monthly users 400
// [CodeServiceLimitExceeded].
func (s *AuthService) Login(ctx context.Context, p LoginParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.email(p.Email)
	if p.Password == "" {
		in.add("password", CodeRequired, "must not be empty")
	}
	if p.OrgSlug != "" {
		in.slug("org_slug", p.OrgSlug)
	}
	if p.ServiceSlug != "" && p.OrgSlug == "" {
		in.add("org_slug", CodeRequired, "is needed with service_slug")
	}
	if p.RedirectURI != "" && (p.OrgSlug == "" || p.ServiceSlug == "") {
		in.add("redirect_uri", CodeInvalidFormat, "needs org_slug and service_slug")
	}
	if err := in.err(opts); err != nil {
		return Tokens{}, err
	}
	body, err := invoke[tokenBody](ctx, s.c, http.MethodPost, "/api/auth/login", nil, nil, p, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.session()
}

// Refresh exchanges a refresh token for new tokens. POST /api/auth/refresh; public; never repeated once it may have arrived.
//
// The client renews its own session by itself; this is for tokens held elsewhere. A refresh token is single-use: presenting one twice,
// here and by a client that holds it, destroys the session. 401 UNAUTHORIZED means that the session is over.
func (s *AuthService) Refresh(ctx context.Context, refreshToken string, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("refresh_token", refreshToken)
	if err := in.err(opts); err != nil {
		return Tokens{}, err
	}
	body, err := invoke[tokenBody](ctx, s.c, http.MethodPost, refreshPath, nil, nil, map[string]string{"refresh_token": refreshToken}, opts)
	if err != nil {
		return Tokens{}, err
	}
	body.keep(refreshToken)
	return body.session()
}

// Logout ends the session at the server, then forgets its tokens here and in the store, and everything kept for the principal.
// POST /api/auth/logout; bearer; may be repeated: the server answers 200 also for a session that is already over.
//
// When the server was not reached nothing is forgotten, so that Logout can be called again; SetTokens with zero Tokens forgets
// without it.
func (s *AuthService) Logout(ctx context.Context, opts ...RequestOption) error {
	if err := s.c.call(ctx, http.MethodPost, logoutPath, nil, nil, nil, nil, opts); err != nil {
		return err
	}
	return s.c.SetTokens(ctx, Tokens{})
}
