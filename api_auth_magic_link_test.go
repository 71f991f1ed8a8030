package authos_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

const linkVerify = "/api/auth/magic-link/verify"

func TestMagicLink(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(adaEmail, "")
		c, ctx := authNobody(t, srv), t.Context()
		noError(t, "RequestMagicLink", c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{
			Email: adaEmail, OrgSlug: "acme", ServiceSlug: "app", RedirectURI: authRedirect, State: "s1",
		}))
		p := authos.VerifyMagicLinkParams{Token: authMail(t, srv, adaEmail, authostest.MagicLinkMail), RedirectURI: authRedirect, State: "s2"}
		_, err := c.Auth.VerifyMagicLink(ctx, p)
		authErrors(t, "another state", err, []error{authos.CodeBadRequest}, []error{authos.ErrOutcomeUnknown})
		p.State = "s1"
		tokens, err := c.Auth.VerifyMagicLink(ctx, p)
		noError(t, "VerifyMagicLink", err)
		u, err := localClient(t, srv.Transport(), authos.WithTokens(anywhere(tokens))).User.Get(ctx)
		noError(t, "Get", err)
		equal(t, "session", u.Email+" "+u.OrgSlug+" "+u.ServiceSlug, adaEmail+" acme app")
		_, err = c.Auth.VerifyMagicLink(ctx, p)
		authErrors(t, "a used link", err, []error{authos.CodeBadRequest}, []error{authos.ErrUnauthenticated})

		noError(t, "RequestMagicLink", c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{Email: "nobody@example.com"}))
		_, err = c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{Token: authMail(t, srv, "nobody@example.com", authostest.MagicLinkMail)})
		authErrors(t, "an address without an account", err, []error{authos.CodeBadRequest}, nil)

		late := srv.AddMagicLink(adaEmail)
		time.Sleep(15 * time.Minute)
		_, err = c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{Token: late})
		authErrors(t, "a link from before", err, []error{authos.CodeBadRequest}, nil)
	})
}

// The question for a second factor comes in another shape here, and becomes the same error.
func TestMagicLinkMFA(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.RequireMFA(adaEmail)
		c, ctx := authNobody(t, srv), t.Context()
		noError(t, "RequestMagicLink", c.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{Email: adaEmail, State: "s1"}))
		_, err := c.Auth.VerifyMagicLink(ctx, authos.VerifyMagicLinkParams{Token: authMail(t, srv, adaEmail, authostest.MagicLinkMail)})
		e, ok := errors.AsType[*authos.MFARequiredError](err)
		if !ok {
			t.Fatalf("VerifyMagicLink = %v, want *MFARequiredError", err)
		}
		equal(t, "state", e.State, "s1")
		equal(t, "life", time.Until(e.ExpiresAt), 5*time.Minute)
		tokens, err := c.Auth.CompleteMFA(ctx, authos.CompleteMFAParams{PreAuthToken: e.PreAuthToken, Code: "123456"})
		noError(t, "CompleteMFA", err)
		noError(t, "the session", authBearer(t, srv, tokens))
	})
}

// It is a GET that uses the link up: it is sent once, whatever is said about it.
func TestMagicLinkIsSentOnce(t *testing.T) {
	for _, fault := range []authostest.Fault{
		{Kind: authostest.ResetBefore}, {Kind: authostest.ResetAfter}, {Kind: authostest.TruncateBody}, {Status: 502}, {Status: 500},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			token := srv.AddMagicLink(adaEmail)
			fault.Path = linkVerify
			srv.Fault(fault)
			_, err := authNobody(t, srv).Auth.VerifyMagicLink(t.Context(), authos.VerifyMagicLinkParams{Token: token}, authos.WithIdempotent())
			authErrors(t, "VerifyMagicLink", err, []error{authos.ErrOutcomeUnknown}, nil)
			equal(t, "sent", srv.Count("GET", linkVerify), 1)
		})
	}
}

func TestMagicLinkResponses(t *testing.T) {
	jwt := func(claims string) string {
		part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		return part(`{"typ":"authos-mfa-preauth+jwt"}`) + "." + part(claims) + ".c2ln"
	}
	for _, tc := range []struct {
		name, body string
		mfa        bool
		life       time.Duration // of the pre-auth token; zero: not known
		state      string
		want       string // the access token; empty without MFA: a DecodeError
	}{
		{"session", pairBody("new", "r"), false, 0, "", "new"},
		{"session that says no", `{"requires_mfa":false,"preauth_token":null,"access_token":"new","refresh_token":"r","expires_in":60}`, false, 0, "", "new"},
		{"factor", `{"requires_mfa":true,"preauth_token":"opaque","state":"s1","message":"m"}`, true, 0, "s1", ""},
		{"factor, null state", `{"requires_mfa":true,"preauth_token":"opaque","state":null}`, true, 0, "", ""},
		{"factor whose token says its life", fmt.Sprintf(`{"requires_mfa":true,"preauth_token":%q}`, jwt(`{"iat":1000,"exp":1120}`)), true, 2 * time.Minute, "", ""},
		{"factor whose token is odd", fmt.Sprintf(`{"requires_mfa":true,"preauth_token":%q}`, jwt(`{"iat":2000,"exp":1000}`)), true, 0, "", ""},
		{"factor whose token has no iat", fmt.Sprintf(`{"requires_mfa":true,"preauth_token":%q}`, jwt(`{"exp":1000}`)), true, 0, "", ""},
		{"factor whose token lives for ever", fmt.Sprintf(`{"requires_mfa":true,"preauth_token":%q}`, jwt(`{"iat":1,"exp":1e300}`)), true, 100 * 365 * 24 * time.Hour, "", ""},
		{"factor that does not say so", `{"preauth_token":"opaque"}`, true, 0, "", ""},
		{"factor in the shape of a sign-in", fmt.Sprintf(`{"access_token":%q,"refresh_token":"","expires_in":300}`, jwt(`{}`)), true, 5 * time.Minute, "", ""},
		{"factor without a token", `{"requires_mfa":true,"message":"m"}`, false, 0, "", ""},
		{"factor with a token of a session", `{"requires_mfa":true,"access_token":"new"}`, false, 0, "", ""},
		{"neither", `{"requires_mfa":false,"message":"m"}`, false, 0, "", ""},
		{"the wrong type", `{"requires_mfa":"yes","preauth_token":"opaque"}`, false, 0, "", ""},
		{"page of the embedded web client", "<!DOCTYPE html>", false, 0, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clientWithoutBreaker(t, scripted(reply{status: 200, body: tc.body}))
				tokens, err := c.Auth.VerifyMagicLink(t.Context(), authos.VerifyMagicLinkParams{Token: "x"})
				equal(t, "token", tokens.AccessToken, tc.want)
				e, isMFA := errors.AsType[*authos.MFARequiredError](err)
				_, isDecode := errors.AsType[*authos.DecodeError](err)
				if isMFA != tc.mfa || isDecode != (!tc.mfa && tc.want == "") {
					t.Fatalf("VerifyMagicLink = %v, want MFA %v", err, tc.mfa)
				}
				if !isMFA {
					return
				}
				equal(t, "state", e.State, tc.state)
				equal(t, "has a token", e.PreAuthToken.IsZero(), false)
				expires := time.Time{}
				if tc.life > 0 {
					expires = time.Now().Add(tc.life)
				}
				if !e.ExpiresAt.Equal(expires) {
					t.Errorf("ends at %v, want %v", e.ExpiresAt, expires)
				}
			})
		})
	}
}
