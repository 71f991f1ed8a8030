package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

const (
	authApp      = "acme_app" // the client id of the world's service "app"
	authRedirect = "https://app.acme.example/callback"
	authPassword = "correct horse"
)

var authCases = []typedCase{
	{
		name: "Auth.Login",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Auth.Login(ctx, authos.LoginParams{
				Email: asOwner, Password: "password1", OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, SAMLState: "s1",
			})
		},
		body: `{"email":"owner@example.com","password":"password1","org_slug":"acme","service_slug":"app","redirect_uri":"` + authRedirect +
			`","saml_state":"s1"}`,
	},
	{
		name:  "Auth.Refresh",
		setup: func(w *typedWorld) { w.Secret = w.Server.SignIn(asOwner).RefreshToken },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.Refresh(ctx, w.Secret)
		},
		body: `{"refresh_token":"$secret"}`,
	},
	{
		name: "Auth.Logout", route: "POST /auth/revoke", as: asOwner,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			tokens, err := c.Tokens(ctx)
			if err != nil {
				return nil, err
			}
			w.Secret = tokens.RefreshToken
			return nil, c.Auth.Logout(ctx)
		},
		body:     "token=$secret&token_type_hint=refresh_token",
		optional: true,
	},
	{
		name: "Auth.Revoke",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Auth.Revoke(ctx, authos.RevokeParams{Token: "opaque"})
		},
		body: "token=opaque&token_type_hint=refresh_token",
	},
	{
		name: "Auth.Register",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Auth.Register(ctx, authos.RegisterParams{
				Email: adaEmail, Password: authPassword, OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s1",
			})
		},
		body: `{"email":"ada@example.com","password":"correct horse","org_slug":"acme","service_slug":"app","redirect_uri":"` + authRedirect +
			`","state":"s1"}`,
		optional: true,
	},
	{
		name: "Auth.ResendVerification",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Auth.ResendVerification(ctx, authos.ResendVerificationParams{
				Email: adaEmail, OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s1",
			})
		},
		body: `{"email":"ada@example.com","org_slug":"acme","service_slug":"app","redirect_uri":"` + authRedirect + `","state":"s1"}`, optional: true,
	},
	{
		name: "Auth.RequestPasswordReset",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Auth.RequestPasswordReset(ctx, authos.RequestPasswordResetParams{
				Email: adaEmail, OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s1",
			})
		},
		body: `{"email":"ada@example.com","org_slug":"acme","service_slug":"app","redirect_uri":"` + authRedirect + `","state":"s1"}`, optional: true,
	},
	{
		name:  "Auth.ResetPassword",
		setup: func(w *typedWorld) { w.Secret = resetToken(w.T, w.Server, asOwner) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Auth.ResetPassword(ctx, authos.ResetPasswordParams{Token: w.Secret, NewPassword: "battery staple"})
		},
		body: `{"token":"$secret","new_password":"battery staple"}`, optional: true,
	},
	{
		name: "Auth.LookupEmail",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Auth.LookupEmail(ctx, adaEmail)
		},
		body: `{"email":"ada@example.com"}`,
	},
	{
		name: "Auth.Context",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect})
		},
		query: "org=acme&redirect_uri=https%3A%2F%2Fapp.acme.example%2Fcallback&service=app",
	},
	{
		name:  "Auth.CompleteMFA",
		setup: func(w *typedWorld) { w.Secret = preAuth(w.T, w.Server, asOwner, "password1").Reveal() },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.CompleteMFA(ctx, authos.CompleteMFAParams{PreAuthToken: authos.NewSecret(w.Secret), Code: "123456"})
		},
		body: `{"preauth_token":"$secret","code":"123456"}`,
	},
	{
		name: "Auth.RequestMagicLink",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{
				Email: adaEmail, OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s1",
			})
		},
		body: `{"email":"ada@example.com","org_slug":"acme","service_slug":"app","redirect_uri":"` + authRedirect + `","state":"s1"}`, optional: true,
	},
	{
		name:  "Auth.VerifyMagicLink",
		setup: func(w *typedWorld) { w.Secret = w.Server.AddMagicLink(asOwner) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{Token: w.Secret, RedirectURI: "app:/x", State: "s 1"})
		},
		query: "redirect_uri=app%3A%2Fx&state=s+1&token=$secret",
	},
	{
		name: "Auth.RequestDeviceCode",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Auth.RequestDeviceCode(ctx, authos.DeviceCodeParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app"})
		},
		body: `{"client_id":"acme_app","org":"acme","service":"app"}`,
	},
	{
		name:  "Auth.VerifyUserCode",
		setup: func(w *typedWorld) { w.ID = deviceCode(w.T, w.Server).UserCode },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.VerifyUserCode(ctx, strings.ToLower(strings.ReplaceAll(w.ID, "-", " ")))
		},
		body: `{"user_code":"$1"}`,
	},
	{
		name: "Auth.ExchangeDeviceCode",
		setup: func(w *typedWorld) {
			code := deviceCode(w.T, w.Server)
			w.Server.ApproveDevice(code.UserCode, asOwner)
			w.Secret = code.DeviceCode.Reveal()
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.ExchangeDeviceCode(ctx, authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret(w.Secret), ClientID: authApp})
		},
		body: `{"grant_type":"urn:ietf:params:oauth:grant-type:device_code","device_code":"$secret","client_id":"acme_app"}`,
	},
	{
		name: "Auth.LoginURL",
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return authOpen(ctx, w)(c.Auth.LoginURL("github", authos.LoginURLParams{
				OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s 1&", UserCode: "abcdefgh", ConnectionID: "c1", Resource: "https://api.example.com",
			}))
		},
		query: "connection_id=c1&org=acme&redirect_uri=https%3A%2F%2Fapp.acme.example%2Fcallback&resource=https%3A%2F%2Fapi.example.com" +
			"&service=app&state=s+1%26&user_code=ABCD-EFGH",
	},
	{
		name: "Auth.AdminLoginURL",
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return authOpen(ctx, w)(c.Auth.AdminLoginURL("github", authos.AdminLoginURLParams{OrgSlug: "acme", UserCode: "ABCD-EFGH"}))
		},
		query: "org_slug=acme&user_code=ABCD-EFGH",
	},
}

// authOpen opens a URL as a browser would, but follows no redirect, and returns where it leads.
func authOpen(ctx context.Context, w *typedWorld) func(string, error) (any, error) {
	return func(target string, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, err
		}
		resp, err := w.Server.Transport().RoundTrip(req)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusSeeOther {
			return nil, fmt.Errorf("%s responds %d, want a redirect", target, resp.StatusCode)
		}
		return resp.Header.Get("Location"), nil
	}
}

// authNobody is a client of a server without a credential.
func authNobody(t testing.TB, srv *authostest.Server, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New(srv.URL, append([]authos.Option{authos.WithHTTPClient(&http.Client{Transport: srv.Transport()})}, opts...)...)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func resetToken(t testing.TB, srv *authostest.Server, email string) string {
	t.Helper()
	err := authNobody(t, srv).Auth.RequestPasswordReset(t.Context(), authos.RequestPasswordResetParams{Email: email})
	if err != nil {
		t.Fatalf("RequestPasswordReset = %v", err)
	}
	return authMail(t, srv, email, authostest.PasswordResetMail)
}

// authMail is the token of the last mail to an address.
func authMail(t testing.TB, srv *authostest.Server, email string, kind authostest.MailKind) string {
	t.Helper()
	mail := srv.MailFor(email)
	if len(mail) == 0 || mail[len(mail)-1].Kind != kind {
		t.Fatalf("%d mails to %s, want the last to be %s", len(mail), email, kind)
	}
	return mail[len(mail)-1].Token
}

func preAuth(t testing.TB, srv *authostest.Server, email, password string) authos.Secret {
	t.Helper()
	srv.RequireMFA(email)
	_, err := authNobody(t, srv).Auth.Login(t.Context(), authos.LoginParams{Email: email, Password: password})
	e, ok := errors.AsType[*authos.MFARequiredError](err)
	if !ok {
		t.Fatalf("Login = %v, want *MFARequiredError", err)
	}
	return e.PreAuthToken
}

func deviceCode(t testing.TB, srv *authostest.Server) *authos.DeviceCode {
	t.Helper()
	code, err := authNobody(t, srv).Auth.RequestDeviceCode(t.Context(), authos.DeviceCodeParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app"})
	if err != nil {
		t.Fatalf("RequestDeviceCode = %v", err)
	}
	return code
}

// authContracts runs a test in a bubble against a fake AuthOS that can send mail, in each contract.
func authContracts(t *testing.T, servers map[string][]authostest.Option, test func(t *testing.T, srv *authostest.Server), opts ...authostest.Option) {
	t.Helper()
	for name, options := range servers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, fakeServer(t, slices.Concat(options, []authostest.Option{authostest.WithMail()}, opts)...))
			})
		})
	}
}

// authErrors compares an error with what it must and must not match.
func authErrors(t *testing.T, what string, err error, want, not []error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeds", what)
		return
	}
	for _, target := range want {
		if !errors.Is(err, target) {
			t.Errorf("%s = %v, want it to match %v", what, err, target)
		}
	}
	for _, target := range not {
		if errors.Is(err, target) {
			t.Errorf("%s = %v, which matches %v", what, err, target)
		}
	}
}

func authBearer(t *testing.T, srv *authostest.Server, tokens authos.Tokens) error {
	t.Helper()
	return getUser(t, localClient(t, srv.Transport(), authos.WithTokens(authos.Tokens{AccessToken: tokens.AccessToken})))
}

// A new account, from the registration over the mailed link to the session, and then a forgotten
// password.
func TestAuthAccount(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		c, ctx := authNobody(t, srv), t.Context()
		noError(t, "Register", c.Auth.Register(ctx, authos.RegisterParams{Email: adaEmail, Password: authPassword, OrgSlug: "acme", ServiceSlug: "app"}))
		login := func(password string) error {
			_, err := c.Auth.Login(ctx, authos.LoginParams{Email: adaEmail, Password: password})
			return err
		}
		authErrors(t, "Login before the verification", login(authPassword), []error{authos.CodeUnauthorized, authos.ErrUnauthenticated}, nil)
		noError(t, "ResendVerification", c.Auth.ResendVerification(ctx, authos.ResendVerificationParams{Email: adaEmail}))
		equal(t, "mails", len(srv.MailFor(adaEmail)), 2)
		noError(t, "verify-email", c.Do(ctx, "GET", "/auth/verify-email?token="+authMail(t, srv, adaEmail, authostest.VerificationMail), nil, nil))
		noError(t, "Login", login(authPassword))

		// Whether there is an account is not told: not to who registers, and not to who asks for
		// mail.
		noError(t, "Register again", c.Auth.Register(ctx, authos.RegisterParams{Email: adaEmail, Password: "another one"}))
		noError(t, "Login", login(authPassword))
		noError(t, "RequestPasswordReset", c.Auth.RequestPasswordReset(ctx, authos.RequestPasswordResetParams{Email: "nobody@example.com"}))
		equal(t, "mails to nobody", len(srv.MailFor("nobody@example.com")), 0)

		old := srv.SignIn(adaEmail)
		reset := authos.ResetPasswordParams{Token: resetToken(t, srv, adaEmail), NewPassword: "battery staple"}
		noError(t, "ResetPassword", c.Auth.ResetPassword(ctx, reset))
		authErrors(t, "ResetPassword again", c.Auth.ResetPassword(ctx, reset), []error{authos.ErrInvalid, authos.CodeBadRequest}, []error{authos.ErrOutcomeUnknown})
		authErrors(t, "a session from before", authBearer(t, srv, authos.Tokens{AccessToken: old.AccessToken}), []error{authos.ErrUnauthenticated}, nil)
		authErrors(t, "the old password", login(authPassword), []error{authos.ErrUnauthenticated}, nil)
		noError(t, "the new password", login("battery staple"))

		late := authos.ResetPasswordParams{Token: resetToken(t, srv, adaEmail), NewPassword: "battery staple"}
		time.Sleep(time.Hour + time.Second)
		authErrors(t, "an hour later", c.Auth.ResetPassword(ctx, late), []error{authos.CodeBadRequest}, nil)
	})
}

// mailers are the four routes that send mail.
func mailers(c *authos.Client, email string) map[string]func(context.Context, ...authos.RequestOption) error {
	return map[string]func(context.Context, ...authos.RequestOption) error{
		"/api/auth/register": func(ctx context.Context, opts ...authos.RequestOption) error {
			return c.Auth.Register(ctx, authos.RegisterParams{Email: email, Password: authPassword}, opts...)
		},
		"/api/auth/resend-verification": func(ctx context.Context, opts ...authos.RequestOption) error {
			return c.Auth.ResendVerification(ctx, authos.ResendVerificationParams{Email: email}, opts...)
		},
		"/api/auth/forgot-password": func(ctx context.Context, opts ...authos.RequestOption) error {
			return c.Auth.RequestPasswordReset(ctx, authos.RequestPasswordResetParams{Email: email}, opts...)
		},
		"/api/auth/magic-link/request": func(ctx context.Context, opts ...authos.RequestOption) error {
			return c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{Email: email}, opts...)
		},
	}
}

// The sixth mail within an hour: refused without a wait by real servers, and with one of up to an
// hour by documented ones. Neither is repeated, and no time passes.
func TestAuthMailLimit(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		c, ctx := authNobody(t, srv), t.Context()
		for range 5 {
			noError(t, "RequestPasswordReset", c.Auth.RequestPasswordReset(ctx, authos.RequestPasswordResetParams{Email: adaEmail}))
		}
		start := time.Now()
		for path, send := range mailers(c, adaEmail) {
			before := srv.Count("POST", path)
			err := send(ctx, authos.WithIdempotent())
			authErrors(t, path, err, []error{authos.ErrRateLimited, authos.CodeTooManyRequests}, []error{authos.ErrOutcomeUnknown})
			// else held back: another mail route has been told to wait
			if e, ok := errors.AsType[*authos.RateLimitError](err); ok && e.API != nil {
				equal(t, path+" sent", srv.Count("POST", path)-before, 1)
			}
		}
		equal(t, "waited", time.Since(start), 0)
		time.Sleep(time.Hour)
		for path, send := range mailers(c, adaEmail) {
			noError(t, path+" an hour later", send(ctx))
		}
	}, authostest.WithLimiters())
}

// A server without e-mail says 503, which is neither repeated nor a failure of the server: the
// circuit stays closed.
func TestAuthMailOff(t *testing.T) {
	for name, options := range newerContracts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, options...)
				c, start := authNobody(t, srv), time.Now()
				for path, send := range mailers(c, adaEmail) {
					for range 3 {
						authErrors(t, path, send(t.Context(), authos.WithIdempotent()), []error{authos.CodeServiceUnavailable, authos.ErrUnavailable},
							[]error{authos.ErrOutcomeUnknown, authos.ErrCircuitOpen})
					}
					equal(t, path+" sent", srv.Count("POST", path), 3)
				}
				equal(t, "waited", time.Since(start), 0)
			})
		})
	}
}

func TestAuthErrors(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(adaEmail, authPassword)
		srv.AddOrganization("sleepy", "pending", "owner@sleepy.example")
		c, ctx := authNobody(t, srv), t.Context()
		login := func(p authos.LoginParams) error {
			p.Email, p.Password = adaEmail, authPassword
			_, err := c.Auth.Login(ctx, p)
			return err
		}
		srv.AddUser("bob@example.com", authPassword)
		srv.SetRole("acme", "bob@example.com", "")
		for _, tc := range []struct {
			name string
			err  error
			want []error
		}{
			{"no such organization", login(authos.LoginParams{OrgSlug: "nowhere"}), []error{authos.ErrNotFound, authos.CodeNotFound}},
			{"no such service", login(authos.LoginParams{OrgSlug: "acme", ServiceSlug: "nothing"}), []error{authos.ErrNotFound}},
			{"pending organization", login(authos.LoginParams{OrgSlug: "sleepy"}), []error{authos.ErrForbidden, authos.CodeOrganizationNotActive}},
			{"foreign redirect URI", login(authos.LoginParams{OrgSlug: "acme", ServiceSlug: "app", RedirectURI: "https://evil.example"}), []error{authos.ErrInvalid}},
			{"no member", func() error {
				_, err := c.Auth.Login(ctx, authos.LoginParams{Email: "bob@example.com", Password: authPassword, OrgSlug: "acme"})
				return err
			}(), []error{authos.ErrForbidden}},
			{"register nowhere", c.Auth.Register(ctx, authos.RegisterParams{Email: "x@example.com", Password: authPassword, OrgSlug: "nowhere"}), []error{authos.ErrNotFound}},
			{"context of nowhere", func() error {
				_, err := c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "nowhere"})
				return err
			}(), []error{authos.ErrNotFound}},
			{"a token of nobody", c.Auth.ResetPassword(ctx, authos.ResetPasswordParams{Token: "x", NewPassword: authPassword}), []error{authos.CodeBadRequest}},
			{"link to a pending organization", c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{Email: adaEmail, OrgSlug: "sleepy"}), []error{authos.CodeOrganizationNotActive}},
		} {
			authErrors(t, tc.name, tc.err, tc.want, []error{authos.ErrOutcomeUnknown, authos.ErrSessionExpired})
		}
	})
}

// The monthly limit is the one thing that SERVICE_LIMIT_EXCEEDED means on today's servers.
func TestAuthMonthlyLimit(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(adaEmail, authPassword)
		srv.SetFeature("acme", "max_mau", 1)
		srv.SetFeature("acme", "allow_overage", false)
		srv.AddLogin("acme", "app", "bob@example.com", "password", time.Now())
		_, err := authNobody(t, srv).Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: authPassword, OrgSlug: "acme"})
		authErrors(t, "Login", err, []error{authos.CodeServiceLimitExceeded}, nil)
	})
}

func TestAuthLookupAndContext(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		c, ctx := authNobody(t, srv), t.Context()
		lookup, err := c.Auth.LookupEmail(ctx, adaEmail)
		noError(t, "LookupEmail", err)
		equal(t, "lookup", *lookup, authos.EmailLookup{AuthMethod: authos.AuthMethodOAuth})

		page, err := c.Auth.Context(ctx, authos.AuthContextParams{})
		noError(t, "Context", err)
		if page.Organization != nil || page.Service != nil || !slices.Contains(page.AvailableProviders, "github") ||
			!slices.Contains(page.AuthMethods, authos.AuthMethodMagicLink) || !page.SupportAvailable {
			t.Errorf("Context = %+v, want the server's own page", page)
		}
		page, err = c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "acme", ServiceSlug: "app"})
		noError(t, "Context", err)
		if page.Organization == nil || *page.Organization != (authos.AuthContextOrganization{Slug: "acme", Name: "Acme", Status: authos.OrganizationActive}) ||
			page.Service == nil || *page.Service != (authos.AuthContextService{Slug: "app", Name: "App", ServiceType: "web"}) {
			t.Errorf("Context = %+v, %+v, want acme and app", page.Organization, page.Service)
		}
		for uri, want := range map[string]bool{authRedirect: true, "https://evil.example": false} {
			page, err = c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "acme", ServiceSlug: "app", RedirectURI: uri})
			noError(t, "Context", err)
			if valid := page.Service.RedirectURIValid; valid == nil || *valid != want {
				t.Errorf("%s is valid: %v, want %v", uri, valid, want)
			}
		}
		srv.SuspendOrg("acme") // nobody can sign in there, which is no error
		page, err = c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "acme"})
		noError(t, "Context", err)
		equal(t, "ways in", len(page.AvailableProviders)+len(page.AuthMethods), 0)
		equal(t, "status", page.Organization.Status, authos.OrganizationSuspended)
	})
}

// Members of responses that are null, absent, empty or not known yet.
func TestAuthResponses(t *testing.T) {
	lookup := func(c *authos.Client, ctx context.Context) (any, error) { return c.Auth.LookupEmail(ctx, adaEmail) }
	page := func(c *authos.Client, ctx context.Context) (any, error) {
		return c.Auth.Context(ctx, authos.AuthContextParams{})
	}
	verify := func(c *authos.Client, ctx context.Context) (any, error) {
		return c.Auth.VerifyUserCode(ctx, "ABCD-EFGH")
	}
	for _, tc := range []struct {
		name, body string
		call       func(*authos.Client, context.Context) (any, error)
		want       string // as JSON; empty: a DecodeError
	}{
		{"routed domain", `{"connection_id":"c1","provider_name":"Okta","domain_verified":true,"auth_method":"upstream"}`, lookup, `{"auth_method":"upstream","connection_id":"c1","provider_name":"Okta","domain_verified":true}`},
		{"nothing but the method", `{"auth_method":"carrier_pigeon"}`, lookup, `{"auth_method":"carrier_pigeon","connection_id":"","provider_name":"","domain_verified":false}`},
		{"null method", `{"auth_method":null}`, lookup, ""},
		{"empty page", `{"organization":null,"service":null,"available_providers":[],"auth_methods":[]}`, page, `{"organization":null,"service":null,"available_providers":[],"auth_methods":[],"support_available":false}`},
		{"no providers", `{"available_providers":null,"auth_methods":[]}`, page, ""},
		{"no methods", `{"available_providers":[]}`, page, ""},
		{"organization without a slug", `{"organization":{"name":"Acme"},"available_providers":[],"auth_methods":[]}`, page, ""},
		{"service without a slug", `{"service":{},"available_providers":[],"auth_methods":[]}`, page, ""},
		{"no providers for a code", `{"org_slug":"acme","service_slug":"app","available_providers":null}`, verify, ""},
		{"no service for a code", `{"org_slug":"acme","available_providers":[]}`, verify, ""},
		{"no organization for a code", `{"service_slug":"app","available_providers":[]}`, verify, ""},
		{"empty providers for a code", `{"org_slug":"acme","service_slug":"app","available_providers":[]}`, verify, `{"org_slug":"acme","service_slug":"app","available_providers":[]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := clientWithoutBreaker(t, scripted(reply{status: 200, body: tc.body}))
			got, err := tc.call(c, t.Context())
			if tc.want == "" {
				if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
					t.Errorf("got %v, %v, want a DecodeError", got, err)
				}
				return
			}
			text, _ := json.Marshal(got)
			if err != nil || !typedSameJSON(string(text), tc.want) {
				t.Errorf("got %s, %v, want %s", text, err, tc.want)
			}
		})
	}
}

// Each kind of token ends its session only with the right hint, which nobody has to give.
func TestAuthRevoke(t *testing.T) {
	for _, tc := range []struct {
		name    string
		refresh bool
		hint    authos.TokenTypeHint
		ends    bool
	}{
		{"access token", false, "", true},
		{"refresh token", true, "", true},
		{"access token, said so", false, authos.HintAccessToken, true},
		{"refresh token, said so", true, authos.HintRefreshToken, true},
		{"access token, called a refresh token", false, authos.HintRefreshToken, false},
		{"refresh token, called an access token", true, authos.HintAccessToken, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
				session := signIn(srv, adaEmail)
				token := session.AccessToken
				if tc.refresh {
					token = session.RefreshToken
				}
				c := authNobody(t, srv)
				for range 2 { // the second time there is nothing left, which is no error
					noError(t, "Revoke", c.Auth.Revoke(t.Context(), authos.RevokeParams{Token: token, Hint: tc.hint}))
				}
				equal(t, "the session has ended", authBearer(t, srv, session) != nil, tc.ends)
			})
		})
	}
}

func TestAuthRevokeRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		session := signIn(srv, adaEmail)
		srv.Fault(authostest.Fault{Path: "/auth/revoke", Times: 1, Kind: authostest.ResetAfter})
		noError(t, "Revoke", authNobody(t, srv).Auth.Revoke(t.Context(), authos.RevokeParams{Token: session.RefreshToken}))
		equal(t, "sent", srv.Count("POST", "/auth/revoke"), 2)
	})
}

// installs are the ways to a session, each with the principal of adaEmail.
var installs = map[string]func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error){
	"Login": func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error) {
		t.Helper()
		srv.AddUser(adaEmail, authPassword)
		return c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: authPassword, Install: install})
	},
	"CompleteMFA": func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error) {
		t.Helper()
		srv.AddUser(adaEmail, authPassword)
		return c.Auth.CompleteMFA(t.Context(), authos.CompleteMFAParams{PreAuthToken: preAuth(t, srv, adaEmail, authPassword), Code: "123456", Install: install})
	},
	"VerifyMagicLink": func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error) {
		t.Helper()
		return c.Auth.VerifyMagicLink(t.Context(), authos.VerifyMagicLinkParams{Token: srv.AddMagicLink(adaEmail), Install: install})
	},
	"ExchangeDeviceCode": func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error) {
		t.Helper()
		code := deviceCode(t, srv)
		srv.ApproveDevice(code.UserCode, adaEmail)
		return c.Auth.ExchangeDeviceCode(t.Context(), authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: authApp, Install: install})
	},
	"DeviceLogin": func(t *testing.T, srv *authostest.Server, c *authos.Client, install bool) (authos.Tokens, error) {
		t.Helper()
		return c.Auth.DeviceLogin(t.Context(), authos.DeviceLoginParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app", Install: install},
			func(code authos.DeviceCode) error {
				srv.ApproveDevice(code.UserCode, adaEmail)
				return nil
			})
	},
}

func TestAuthInstall(t *testing.T) {
	full := errors.New("disk full")
	for name, signIn := range installs {
		for _, tc := range []struct {
			name             string
			install, failing bool
		}{{"returned only", false, false}, {"installed", true, false}, {"store fails", true, true}} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv, store := fakeServer(t), &testStore{}
					if tc.failing {
						store.onSave = func() error { return full }
					}
					c := authNobody(t, srv, authos.WithTokenStore(store))
					tokens, err := signIn(t, srv, c, tc.install)
					if errors.Is(err, full) != tc.failing || !tc.failing && err != nil {
						t.Fatalf("error = %v, want the store's: %v", err, tc.failing)
					}
					noError(t, "the returned session", authBearer(t, srv, tokens))
					equal(t, "saves", store.saves, map[bool]int{true: 1}[tc.install])
					held := authos.Tokens{}
					if tc.install {
						held = anywhere(tokens)
						noError(t, "Get with the installed session", getUser(t, c))
					}
					equal(t, "held", heldTokens(t, c), held)
				})
			})
		}
	}
}

// obedientStore saves nothing once the context it is given has ended.
type obedientStore struct{ testStore }

func (s *obedientStore) Save(ctx context.Context, t authos.Tokens) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.testStore.Save(ctx, t)
}

// A caller who leaves as the response arrives has a session at the server: its tokens are saved all
// the same.
func TestAuthInstallOutlivesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &obedientStore{}
		c := localClient(t, roundTripper(func(req *http.Request) (*http.Response, error) {
			cancel()
			return reply{status: 200, body: pairBody("new", "r2")}.response(req), nil
		}), authos.WithTokenStore(store))
		_, err := c.Auth.Login(ctx, authos.LoginParams{Email: adaEmail, Password: authPassword, Install: true})
		noError(t, "Login", err)
		equal(t, "saved", store.get().AccessToken, "new")
	})
}

// All bad fields are named at once, and nothing is sent.
func TestAuthInput(t *testing.T) {
	srv := fakeServer(t, authostest.InMemory(), authostest.WithMail())
	c, ctx := authNobody(t, srv), t.Context()
	show := func(authos.DeviceCode) error { t.Error("shown"); return nil }
	long := strings.Repeat("a", 501)
	for _, tc := range []struct {
		name, want string
		call       func(...authos.RequestOption) error
	}{
		{"Login", "email, password, org_slug, redirect_uri", func(o ...authos.RequestOption) error {
			_, err := c.Auth.Login(ctx, authos.LoginParams{ServiceSlug: "app", RedirectURI: authRedirect}, o...)
			return err
		}},
		{"Refresh", "refresh_token", func(o ...authos.RequestOption) error { _, err := c.Auth.Refresh(ctx, " ", o...); return err }},
		{"Revoke", "token, token_type_hint", func(o ...authos.RequestOption) error {
			return c.Auth.Revoke(ctx, authos.RevokeParams{Hint: "id_token"}, o...)
		}},
		{"Register", "email, password, redirect_uri", func(o ...authos.RequestOption) error {
			return c.Auth.Register(ctx, authos.RegisterParams{Email: "ada", Password: "1234567", OrgSlug: "A!", RedirectURI: "x"}, o...)
		}},
		{"ResendVerification", "email, org_slug", func(o ...authos.RequestOption) error {
			return c.Auth.ResendVerification(ctx, authos.ResendVerificationParams{ServiceSlug: "app"}, o...)
		}},
		{"RequestPasswordReset", "email, org_slug, redirect_uri", func(o ...authos.RequestOption) error {
			return c.Auth.RequestPasswordReset(ctx, authos.RequestPasswordResetParams{Email: "Ada <ada@example.com>", ServiceSlug: "app", RedirectURI: "x"}, o...)
		}},
		{"ResetPassword", "token, new_password", func(o ...authos.RequestOption) error {
			return c.Auth.ResetPassword(ctx, authos.ResetPasswordParams{NewPassword: "1234567"}, o...)
		}},
		{"LookupEmail", "email", func(o ...authos.RequestOption) error { _, err := c.Auth.LookupEmail(ctx, "ada", o...); return err }},
		{"Context", "service", func(o ...authos.RequestOption) error {
			_, err := c.Auth.Context(ctx, authos.AuthContextParams{OrgSlug: "x", RedirectURI: authRedirect}, o...)
			return err
		}},
		{"Context of a service", "org", func(o ...authos.RequestOption) error {
			_, err := c.Auth.Context(ctx, authos.AuthContextParams{ServiceSlug: "app"}, o...)
			return err
		}},
		{"CompleteMFA", "preauth_token, code", func(o ...authos.RequestOption) error {
			_, err := c.Auth.CompleteMFA(ctx, authos.CompleteMFAParams{}, o...)
			return err
		}},
		{"RequestMagicLink", "email, redirect_uri", func(o ...authos.RequestOption) error {
			return c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{OrgSlug: "acme", RedirectURI: authRedirect}, o...)
		}},
		{"VerifyMagicLink", "token", func(o ...authos.RequestOption) error {
			_, err := c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{}, o...)
			return err
		}},
		{"RequestDeviceCode", "client_id, org, service", func(o ...authos.RequestOption) error {
			_, err := c.Auth.RequestDeviceCode(ctx, authos.DeviceCodeParams{ClientID: long, OrgSlug: "a b"}, o...)
			return err
		}},
		{"RequestDeviceCode, long slugs", "org, service", func(o ...authos.RequestOption) error {
			_, err := c.Auth.RequestDeviceCode(ctx, authos.DeviceCodeParams{ClientID: long[:500], OrgSlug: long[:101], ServiceSlug: long[:101]}, o...)
			return err
		}},
		{"VerifyUserCode", "user_code", func(o ...authos.RequestOption) error { _, err := c.Auth.VerifyUserCode(ctx, " - ", o...); return err }},
		{"ExchangeDeviceCode", "device_code, client_id, resource, install", func(o ...authos.RequestOption) error {
			_, err := c.Auth.ExchangeDeviceCode(ctx, authos.ExchangeDeviceCodeParams{Resource: "api", Install: true}, o...)
			return err
		}},
		{"DeviceLogin", "client_id, org, service, resource, install, show", func(o ...authos.RequestOption) error {
			_, err := c.Auth.DeviceLogin(ctx, authos.DeviceLoginParams{Resource: "/x", Install: true}, nil, o...)
			return err
		}},
		{"DeviceLogin, resource", "resource", func(o ...authos.RequestOption) error {
			_, err := c.Auth.DeviceLogin(ctx, authos.DeviceLoginParams{ClientID: "c", OrgSlug: "o", ServiceSlug: "s", Resource: "x"}, show, o...)
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := authos.Response{StatusCode: 1}
			err := tc.call(authos.WithResponse(&resp))
			e, ok := errors.AsType[*authos.ValidationError](err)
			if !ok || e.API != nil || !errors.Is(err, authos.ErrInvalid) || authFields(e) != tc.want {
				t.Errorf("error = %v, want findings about %s", err, tc.want)
			}
			equal(t, "the response's status", resp.StatusCode, 0)
		})
	}
	equal(t, "requests", len(srv.Requests()), 0)
}

func authFields(e *authos.ValidationError) string {
	var names []string
	for _, f := range e.Fields {
		if names = append(names, f.Field); f.Message == "" || f.Code == "" {
			return f.Field + " without a code or a message"
		}
	}
	return strings.Join(names, ", ")
}

// What is at the server's own bounds is sent.
func TestAuthInputAtTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithMail())
		c, ctx := authNobody(t, srv), t.Context()
		noError(t, "Register", c.Auth.Register(ctx, authos.RegisterParams{Email: "a@b", Password: "12345678"}))
		for _, p := range []authos.DeviceCodeParams{
			{ClientID: strings.Repeat("a", 500), OrgSlug: strings.Repeat("b", 100), ServiceSlug: strings.Repeat("c", 100)},
			{ClientID: "Acme_App-1", OrgSlug: "é", ServiceSlug: "²"},
		} {
			_, err := c.Auth.RequestDeviceCode(ctx, p)
			authErrors(t, "RequestDeviceCode", err, []error{authos.CodeBadRequest}, nil)
			if e, ok := errors.AsType[*authos.APIError](err); !ok || e.Message != "Invalid client credentials" {
				t.Errorf("RequestDeviceCode(%d bytes) = %v, want the server to have looked for the client", len(p.ClientID), err)
			}
		}
	})
}

// authSecrets are every params type that holds secrets, each with them.
var authSecrets = map[string]struct {
	value any
	hides []string
	shows string
}{
	"LoginParams":              {authos.LoginParams{Email: adaEmail, Password: "hunter22"}, []string{"hunter22"}, adaEmail},
	"RegisterParams":           {authos.RegisterParams{Email: adaEmail, Password: "hunter22"}, []string{"hunter22"}, adaEmail},
	"ResetPasswordParams":      {authos.ResetPasswordParams{Token: "reset-token", NewPassword: "hunter22"}, []string{"reset-token", "hunter22"}, ""},
	"RevokeParams":             {authos.RevokeParams{Token: "refresh-token"}, []string{"refresh-token"}, ""},
	"CompleteMFAParams":        {authos.CompleteMFAParams{PreAuthToken: authos.NewSecret("pre-auth"), Code: "123456"}, []string{"pre-auth", "123456"}, ""},
	"VerifyMagicLinkParams":    {authos.VerifyMagicLinkParams{Token: "link-token"}, []string{"link-token"}, ""},
	"DeviceCode":               {authos.DeviceCode{DeviceCode: authos.NewSecret("device-code"), UserCode: "ABCD-EFGH"}, []string{"device-code"}, ""},
	"ExchangeDeviceCodeParams": {authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret("device-code"), ClientID: authApp}, []string{"device-code"}, authApp},
	"MFARequiredError":         {&authos.MFARequiredError{PreAuthToken: authos.NewSecret("pre-auth")}, []string{"pre-auth"}, "second factor"},
}

func TestAuthSecretsDoNotPrint(t *testing.T) {
	for name, tc := range authSecrets {
		var all bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&all, verb+"\n", tc.value)
			fmt.Fprintf(&all, verb+"\n", []any{tc.value})
		}
		slog.New(slog.NewMultiHandler(slog.NewTextHandler(&all, nil), slog.NewJSONHandler(&all, nil))).Info("", "value", tc.value)
		for _, secret := range tc.hides {
			if text := all.String(); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s prints %q: %s", name, secret, text)
			}
		}
		if !strings.Contains(all.String(), tc.shows) {
			t.Errorf("%s prints %s, want %q in it", name, all.String(), tc.shows)
		}
	}
}

// Whatever the server repeats of a request, no error and no record of the log prints it.
func TestAuthSecretsAreNotEchoed(t *testing.T) {
	secrets := map[string]string{
		"password": "hunter22-secret", "reset token": "reset-secret", "pre-auth token": "pre-auth-secret", "code": "987654",
		"link token": "link-secret", "device code": "device-secret", "refresh token": "refresh-secret",
	}
	calls := map[string]func(context.Context, *authos.Client) error{
		"Login": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.Login(ctx, authos.LoginParams{Email: adaEmail, Password: secrets["password"]})
			return err
		},
		"Register": func(ctx context.Context, c *authos.Client) error {
			return c.Auth.Register(ctx, authos.RegisterParams{Email: adaEmail, Password: secrets["password"]})
		},
		"ResetPassword": func(ctx context.Context, c *authos.Client) error {
			return c.Auth.ResetPassword(ctx, authos.ResetPasswordParams{Token: secrets["reset token"], NewPassword: secrets["password"]})
		},
		"CompleteMFA": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.CompleteMFA(ctx, authos.CompleteMFAParams{PreAuthToken: authos.NewSecret(secrets["pre-auth token"]), Code: secrets["code"]})
			return err
		},
		"VerifyMagicLink": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{Token: secrets["link token"]})
			return err
		},
		"ExchangeDeviceCode": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.ExchangeDeviceCode(ctx, authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret(secrets["device code"]), ClientID: authApp})
			return err
		},
		"DeviceLogin": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.DeviceLogin(ctx, authos.DeviceLoginParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app"}, func(authos.DeviceCode) error { return nil })
			return err
		},
		"Refresh": func(ctx context.Context, c *authos.Client) error {
			_, err := c.Auth.Refresh(ctx, secrets["refresh token"])
			return err
		},
		"Revoke": func(ctx context.Context, c *authos.Client) error {
			return c.Auth.Revoke(ctx, authos.RevokeParams{Token: secrets["refresh token"]})
		},
	}
	for shapeName, shape := range scriptShapes() {
		for name, call := range calls {
			t.Run(shapeName+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					printsNoSecret(t, shape, call, secrets)
				})
			})
		}
	}
}

func printsNoSecret(t *testing.T, shape func(string) reply, call func(context.Context, *authos.Client) error, secrets map[string]string) {
	t.Helper()
	var all bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&all, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := clientWithoutBreaker(t, roundTripper(func(req *http.Request) (*http.Response, error) {
		sent := authBody(req) + " " + req.URL.RawQuery
		if req.URL.Path == "/auth/device/code" {
			step := codeStep(900, 5)
			step.body = strings.ReplaceAll(step.body, authDevice, secrets["device code"])
			return step.response(req), nil
		}
		for _, secret := range secrets { // each by itself, beside the whole of what was sent
			if strings.Contains(sent, secret) {
				sent += " and " + secret
			}
		}
		return shape(strings.ReplaceAll(sent, `"`, "'")).response(req), nil
	}), authos.WithLogger(logger), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	err := call(t.Context(), c)
	if err == nil {
		t.Fatal("no error")
	}
	logger.Error("failed", "error", err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		fmt.Fprintf(&all, verb+"\n", err)
	}
	for what, secret := range secrets {
		if strings.Contains(all.String(), secret) {
			t.Errorf("the %s is printed: %s", what, all.String())
		}
	}
}

func TestAuthLogoutNeedsTheServersWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		for _, path := range []string{"/auth/revoke", "/api/auth/logout"} {
			srv.Fault(authostest.Fault{Path: path, Times: 1, Status: 200, Body: "<html>AuthOS</html>"})
		}
		if _, ok := errors.AsType[*authos.DecodeError](c.Auth.Logout(t.Context())); !ok {
			t.Error("a page passes for a sign-out")
		}
		equal(t, "tokens are still held", heldTokens(t, c) != authos.Tokens{}, true)
		noError(t, "Logout", c.Auth.Logout(t.Context()))
		equal(t, "held", heldTokens(t, c), authos.Tokens{})
	})
}

// Who is signed out is signed out: nothing is sent, and it is no error.
func TestLogoutWithoutASession(t *testing.T) {
	script := scripted(apiError(401, "UNAUTHORIZED"))
	r := authos.Response{StatusCode: 7}
	if err := clientWithoutBreaker(t, script).Auth.Logout(t.Context(), authos.WithResponse(&r)); err != nil || script.count() != 0 || r.StatusCode != 0 {
		t.Errorf("Logout = %v with %d requests, response %+v", err, script.count(), r)
	}
}
