package authos_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

const auVerify = "/api/auth/mfa/verify"

// A wrong code is the user's: the same token takes the right one.
func TestCompleteMFA(t *testing.T) {
	auContracts(t, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(stEmail, auPassword)
		c, ctx := auNobody(t, srv, authos.WithTokens(stSignIn(srv, "bob@example.com"))), t.Context()
		before := stHeld(t, c)
		p := authos.CompleteMFAParams{PreAuthToken: auPreAuth(t, srv, stEmail, auPassword), Code: "654321"}
		for range 2 {
			_, err := c.Auth.CompleteMFA(ctx, p)
			auErrors(t, "a wrong code", err, []error{authos.CodeUnauthorized, authos.ErrUnauthenticated}, []error{authos.CodeJWTError, authos.ErrSessionExpired, authos.ErrOutcomeUnknown})
		}
		p.Code = "123456"
		tokens, err := c.Auth.CompleteMFA(ctx, p)
		stMust(t, "CompleteMFA", err)
		stMust(t, "the session", auBearer(t, srv, tokens))
		stWant(t, "life", time.Until(tokens.ExpiresAt), 24*time.Hour)
		stWant(t, "refreshes of the client's own session", stRefreshes(srv), 0)
		stWant(t, "the client's own tokens", stHeld(t, c), before)
		_, err = c.Auth.CompleteMFA(ctx, p)
		auErrors(t, "a used token", err, []error{authos.CodeBadRequest}, []error{authos.ErrUnauthenticated})

		p.PreAuthToken = auPreAuth(t, srv, stEmail, auPassword)
		time.Sleep(5*time.Minute + 61*time.Second) // the server's clock has a minute of leeway
		_, err = c.Auth.CompleteMFA(ctx, p)
		auErrors(t, "a token from before", err, []error{authos.CodeJWTError, authos.ErrUnauthenticated}, []error{authos.CodeUnauthorized, authos.ErrSessionExpired})

		p.PreAuthToken, p.DeviceCodeID = auPreAuth(t, srv, stEmail, auPassword), "another device"
		_, err = c.Auth.CompleteMFA(ctx, p)
		auErrors(t, "a token of no device", err, []error{authos.CodeBadRequest}, nil)
		last := srv.Requests()[len(srv.Requests())-1]
		stWant(t, "device_code_id sent", strings.Contains(string(last.Body), `"device_code_id":"another device"`), true)
	})
}

// Three at once, then one a second. The limiter refuses unread, so that waiting for it is safe even
// here.
func TestCompleteMFAWaitsForTheLimiter(t *testing.T) {
	auContracts(t, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(stEmail, auPassword)
		c := auNobody(t, srv)
		p := authos.CompleteMFAParams{PreAuthToken: auPreAuth(t, srv, stEmail, auPassword), Code: "654321"}
		for range 4 {
			_, err := c.Auth.CompleteMFA(t.Context(), p)
			auErrors(t, "a wrong code", err, []error{authos.CodeUnauthorized}, nil)
		}
		p.Code = "123456"
		_, err := c.Auth.CompleteMFA(t.Context(), p)
		stMust(t, "CompleteMFA", err)
	}, authostest.WithLimiters())
}

// A response that is lost may have been the session: the code is not sent again.
func TestCompleteMFAIsSentOnce(t *testing.T) {
	for _, kind := range []authostest.FaultKind{authostest.ResetBefore, authostest.ResetAfter, authostest.TruncateBody} {
		stBubble(t, func(t *testing.T) {
			srv := stServer(t)
			srv.AddUser(stEmail, auPassword)
			c := auNobody(t, srv)
			p := authos.CompleteMFAParams{PreAuthToken: auPreAuth(t, srv, stEmail, auPassword), Code: "123456", Install: true}
			srv.Fault(authostest.Fault{Path: auVerify, Times: 1, Kind: kind})
			tokens, err := c.Auth.CompleteMFA(t.Context(), p, authos.WithIdempotent())
			auErrors(t, "CompleteMFA", err, []error{authos.ErrOutcomeUnknown}, nil)
			stWant(t, "sent", srv.Count("POST", auVerify), 1)
			stWant(t, "tokens", tokens, authos.Tokens{})
			stWant(t, "held", stHeld(t, c), authos.Tokens{})
		})
	}
}

// A second factor that was asked for is never installed, whatever the params say.
func TestMFAIsNotInstalled(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		srv.AddUser(stEmail, auPassword)
		srv.RequireMFA(stEmail)
		store := &stStore{}
		c := auNobody(t, srv, authos.WithTokenStore(store))
		_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: stEmail, Password: auPassword, Install: true})
		e, ok := errors.AsType[*authos.MFARequiredError](err)
		if !ok || e.State != "" {
			t.Fatalf("Login = %v, want *MFARequiredError", err)
		}
		_, err = c.Auth.VerifyMagicLink(t.Context(), authos.VerifyMagicLinkParams{Token: srv.AddMagicLink(stEmail), Install: true})
		if _, ok := errors.AsType[*authos.MFARequiredError](err); !ok {
			t.Fatalf("VerifyMagicLink = %v, want *MFARequiredError", err)
		}
		stWant(t, "saves", store.saves, 0)
		_, err = c.Auth.CompleteMFA(t.Context(), authos.CompleteMFAParams{PreAuthToken: e.PreAuthToken, Code: "123456", Install: true})
		stMust(t, "CompleteMFA", err)
		stMust(t, "Get", stGet(t, c))
	})
}
