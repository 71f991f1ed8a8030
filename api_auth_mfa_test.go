package authos_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

const authVerify = "/api/auth/mfa/verify"

// A wrong code is the user's: the same token takes the right one.
func TestCompleteMFA(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(adaEmail, authPassword)
		c, ctx := authNobody(t, srv, authos.WithTokens(signIn(srv, "bob@example.com"))), t.Context()
		before := heldTokens(t, c)
		p := authos.CompleteMFAParams{PreAuthToken: preAuth(t, srv, adaEmail, authPassword), Code: "654321"}
		for range 2 {
			_, err := c.Auth.CompleteMFA(ctx, p)
			authErrors(t, "a wrong code", err, []error{authos.CodeUnauthorized, authos.ErrUnauthenticated}, []error{authos.CodeJWTError, authos.ErrSessionExpired, authos.ErrOutcomeUnknown})
		}
		p.Code = "123456"
		tokens, err := c.Auth.CompleteMFA(ctx, p)
		noError(t, "CompleteMFA", err)
		noError(t, "the session", authBearer(t, srv, tokens))
		equal(t, "life", time.Until(tokens.ExpiresAt), 24*time.Hour)
		equal(t, "refreshes of the client's own session", refreshCount(srv), 0)
		equal(t, "the client's own tokens", heldTokens(t, c), before)
		_, err = c.Auth.CompleteMFA(ctx, p)
		authErrors(t, "a used token", err, []error{authos.CodeBadRequest}, []error{authos.ErrUnauthenticated})

		p.PreAuthToken = preAuth(t, srv, adaEmail, authPassword)
		time.Sleep(5*time.Minute + 61*time.Second) // the server's clock has a minute of leeway
		_, err = c.Auth.CompleteMFA(ctx, p)
		authErrors(t, "a token from before", err, []error{authos.CodeJWTError, authos.ErrUnauthenticated}, []error{authos.CodeUnauthorized, authos.ErrSessionExpired})

		p.PreAuthToken, p.DeviceCodeID = preAuth(t, srv, adaEmail, authPassword), "another device"
		_, err = c.Auth.CompleteMFA(ctx, p)
		authErrors(t, "a token of no device", err, []error{authos.CodeBadRequest}, nil)
		last := srv.Requests()[len(srv.Requests())-1]
		equal(t, "device_code_id sent", strings.Contains(string(last.Body), `"device_code_id":"another device"`), true)
	})
}

// Three at once, then one a second. The limiter refuses unread, so that waiting for it is safe even
// here.
func TestCompleteMFAWaitsForTheLimiter(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddUser(adaEmail, authPassword)
		c := authNobody(t, srv)
		p := authos.CompleteMFAParams{PreAuthToken: preAuth(t, srv, adaEmail, authPassword), Code: "654321"}
		for range 4 {
			_, err := c.Auth.CompleteMFA(t.Context(), p)
			authErrors(t, "a wrong code", err, []error{authos.CodeUnauthorized}, nil)
		}
		p.Code = "123456"
		_, err := c.Auth.CompleteMFA(t.Context(), p)
		noError(t, "CompleteMFA", err)
	}, authostest.WithLimiters())
}

// A response that is lost may have been the session: the code is not sent again.
func TestCompleteMFAIsSentOnce(t *testing.T) {
	for _, kind := range []authostest.FaultKind{authostest.ResetBefore, authostest.ResetAfter, authostest.TruncateBody} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			srv.AddUser(adaEmail, authPassword)
			c := authNobody(t, srv)
			p := authos.CompleteMFAParams{PreAuthToken: preAuth(t, srv, adaEmail, authPassword), Code: "123456", Install: true}
			srv.Fault(authostest.Fault{Path: authVerify, Times: 1, Kind: kind})
			tokens, err := c.Auth.CompleteMFA(t.Context(), p, authos.WithIdempotent())
			authErrors(t, "CompleteMFA", err, []error{authos.ErrOutcomeUnknown}, nil)
			equal(t, "sent", srv.Count("POST", authVerify), 1)
			equal(t, "tokens", tokens, authos.Tokens{})
			equal(t, "held", heldTokens(t, c), authos.Tokens{})
		})
	}
}

// A second factor that was asked for is never installed, whatever the params say.
func TestMFAIsNotInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		srv.AddUser(adaEmail, authPassword)
		srv.RequireMFA(adaEmail)
		store := &testStore{}
		c := authNobody(t, srv, authos.WithTokenStore(store))
		_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: authPassword, Install: true})
		e, ok := errors.AsType[*authos.MFARequiredError](err)
		if !ok || e.State != "" {
			t.Fatalf("Login = %v, want *MFARequiredError", err)
		}
		_, err = c.Auth.VerifyMagicLink(t.Context(), authos.VerifyMagicLinkParams{Token: srv.AddMagicLink(adaEmail), Install: true})
		if _, ok := errors.AsType[*authos.MFARequiredError](err); !ok {
			t.Fatalf("VerifyMagicLink = %v, want *MFARequiredError", err)
		}
		equal(t, "saves", store.saves, 0)
		_, err = c.Auth.CompleteMFA(t.Context(), authos.CompleteMFAParams{PreAuthToken: e.PreAuthToken, Code: "123456", Install: true})
		noError(t, "CompleteMFA", err)
		noError(t, "Get", getUser(t, c))
	})
}
