// Quickstart shows one client living through what a production service meets: an expired token, a
// rate limit, a burst of failures, bad input, an outage and its end. It starts a fake AuthOS in
// process, so it runs offline:
//
//	go run ./examples/quickstart
//
// With AUTHOS_BASE_URL and AUTHOS_API_KEY set, it runs its read-only part against that server
// instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func main() {
	run := offline
	if os.Getenv("AUTHOS_BASE_URL") != "" && os.Getenv("AUTHOS_API_KEY") != "" {
		run = readOnly
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// offline lives through everything against a fake server.
func offline(ctx context.Context) error {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")

	base, err := authos.New(srv.URL,
		authos.WithAPIKey(srv.AddAPIKey()),
		// serve a cached response in an outage
		authos.WithCache(authos.CachePolicy{}),
		// 25 s by default: too long for a demonstration
		authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: time.Second}),
		authos.WithObserver(&authos.Observer{Breaker: func(e authos.BreakerEvent) {
			fmt.Printf("     breaker    %s: %s → %s\n", e.Group, e.From, e.To)
		}}),
	)
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }()

	title("sign in", "checked the password and made a session")
	tokens, err := base.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	if err != nil {
		return err
	}
	// a client for this user, on the same connections
	client, err := base.With(authos.WithTokens(tokens))
	if err != nil {
		return err
	}
	fmt.Printf("     caller got %v\n", tokens) // credentials never print

	profile := func() error {
		var r authos.Response
		user, err := client.User.Get(ctx, authos.WithResponse(&r))
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		report(r, user.Email)
		return nil
	}

	title("a typed call", "responded 200")
	if err := profile(); err != nil {
		return err
	}

	title("an expired token", "refused the access token with 401; the client refreshed it once and sent the call again")
	srv.ExpireAccessTokens()
	if err := profile(); err != nil {
		return err
	}

	title("a rate limit", "responded 429, come back within a second; the client waited")
	srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Status: http.StatusTooManyRequests,
		Header: http.Header{"X-Ratelimit-After": {"0"}}, Body: "Too Many Requests! Wait for 0s"})
	if err := profile(); err != nil {
		return err
	}

	title("a burst of failures", "responded 503 twice; the client backed off and tried again")
	srv.Fault(authostest.Fault{Path: "/api/user", Times: 2, Status: http.StatusServiceUnavailable})
	if err := profile(); err != nil {
		return err
	}

	title("bad input", "was never asked: the client checks before it sends")
	_, err = client.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "not an address"})
	if bad, ok := errors.AsType[*authos.ValidationError](err); ok {
		fmt.Printf("     caller got %T: %v\n", bad, bad.Fields)
	}

	title("something that is not there", "responded 404")
	_, err = client.Service.Users.Get(ctx, "nobody")
	if api, ok := errors.AsType[*authos.APIError](err); ok && errors.Is(err, authos.ErrNotFound) {
		fmt.Printf("     caller got %T: code %s, request %s\n     user reads %q\n", api, api.Code, api.RequestID, authos.UserMessage(err))
	}

	title("an outage", "sent nothing but a proxy's 503 page; the client tried, then opened the circuit, and served the cached response")
	end := srv.Outage(http.StatusServiceUnavailable)
	for range 3 {
		if err := profile(); err != nil {
			return err
		}
	}

	title("a write in the outage", "may or may not have made the user: what is uncertain is repeated only if that does no harm")
	if _, err := client.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "bob@example.com"}); err != nil {
		fmt.Printf("     caller got %v\n     unknown    %v\n", err, errors.Is(err, authos.ErrOutcomeUnknown))
	}

	title("recovery", "is back; the next probe closed the circuit")
	end()
	time.Sleep(1300 * time.Millisecond) // OpenTimeout and its spread of a fifth
	if err := profile(); err != nil {
		return err
	}
	fmt.Printf("\n%d requests reached the server, %d of them refreshed tokens; no call failed that could succeed.\n",
		len(srv.Requests()), srv.Count(http.MethodPost, "/api/auth/refresh"))
	return nil
}
