// Errors shows how a program tells failures apart: by kind with errors.Is, by type with
// errors.AsType or errors.As. It runs offline.
//
//	go run ./examples/errors
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// explain is what an application would write once: what happened, may it be repeated, what does the
// user read.
func explain(err error) {
	var (
		api     *authos.APIError
		limited *authos.RateLimitError
		invalid *authos.ValidationError
		network *authos.NetworkError
		open    *authos.CircuitOpenError
		session *authos.SessionError
		mfa     *authos.MFARequiredError
		decode  *authos.DecodeError
	)
	switch {
	case errors.As(err, &limited):
		fmt.Printf("limited:  come back in %s\n", limited.RetryAfter)
	case errors.As(err, &invalid):
		fmt.Printf("invalid:  %v, found by the server: %t\n", invalid.Fields, invalid.API != nil)
	case errors.As(err, &open):
		fmt.Printf("open:     group %s has been failing (last status %d), nothing was sent\n", open.Group, open.LastStatus)
	case errors.As(err, &network):
		fmt.Printf("network:  no response while in %q, timeout: %t\n", network.Op, network.Timeout())
	case errors.As(err, &session):
		fmt.Printf("session:  over: %t\n", errors.Is(err, authos.ErrSessionExpired))
	case errors.As(err, &mfa):
		// prints redacted
		fmt.Printf("mfa:      ask for the code, then present %v\n", mfa.PreAuthToken)
	case errors.As(err, &decode):
		fmt.Printf("decode:   %d with %s: %v\n", decode.StatusCode, decode.ContentType, decode.Err)
	case errors.As(err, &api): // every type above unwraps to it where there was a response
		fmt.Printf("api:      %d %s, request %s\n", api.StatusCode, api.Code, api.RequestID)
	}
	fmt.Printf("          not found %t, forbidden %t, unavailable %t, outcome unknown %t, retryable %t\n          user reads: %s\n\n",
		errors.Is(err, authos.ErrNotFound), errors.Is(err, authos.CodeForbidden), errors.Is(err, authos.ErrUnavailable),
		errors.Is(err, authos.ErrOutcomeUnknown), authos.Retryable(err), authos.UserMessage(err))
}

func main() {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	srv.RequireMFA("ada@example.com")
	session := srv.SignIn("bob@example.com")
	client, err := authos.New(srv.URL, authos.WithAPIKey(srv.AddAPIKey("read:users")),
		authos.WithTokens(authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken}))
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	users := client.Service.Users
	fails := func(f authostest.Fault) { f.Path = "/api/service/*"; srv.Fault(f) }

	_, err = users.Get(ctx, "nobody")
	explain(err)
	// the key may only read
	_, err = users.Create(ctx, authos.ServiceUserCreateParams{Email: "ada@example.com"})
	explain(err)
	_, err = users.Create(ctx, authos.ServiceUserCreateParams{Email: "not an address"})
	explain(err)
	_, err = client.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	explain(err)
	fails(authostest.Fault{Times: 1, Status: http.StatusOK, Body: "<html>a proxy's page</html>"})
	_, err = users.List(ctx, authos.ServiceUserListParams{})
	explain(err)
	fails(authostest.Fault{Times: 1, Kind: authostest.Hang})
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	explain(users.Delete(brief, "42")) // the server may have acted
	cancel()
	srv.RevokeSessions("bob@example.com")
	_, err = client.User.Get(ctx)
	explain(err)
	end := srv.Outage(http.StatusServiceUnavailable)
	for range 3 {
		_, err = client.User.Get(ctx, authos.WithHeader("Authorization", "Bearer of another session"))
	}
	explain(err)
	end()
	fails(authostest.Fault{Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"300"}}})
	_, err = users.List(ctx, authos.ServiceUserListParams{})
	explain(err)
}
