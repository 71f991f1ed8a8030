package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A worker that would rather wait than fail, and a web handler that would rather fail than wait.
func ExampleRetryPolicy() {
	patient := authos.RetryPolicy{MaxAttempts: 8, MaxRetryAfter: 5 * time.Minute, MaxElapsed: 15 * time.Minute}
	impatient := authos.RetryPolicy{MaxAttempts: 2, AttemptTimeout: 2 * time.Second, MaxElapsed: 3 * time.Second}

	srv := authostest.New()
	defer srv.Close()
	key := srv.AddAPIKey()
	for _, policy := range []authos.RetryPolicy{patient, impatient} {
		policy.BaseDelay = time.Millisecond // so that this example is quick
		client, err := authos.New(srv.URL, authos.WithAPIKey(key), authos.WithRetry(policy))
		if err != nil {
			fmt.Println(err)
			return
		}
		srv.Fault(authostest.Fault{Path: "/api/service/info", Times: 3, Status: http.StatusBadGateway})
		var r authos.Response
		_, err = client.Service.Info(context.Background(), authos.WithResponse(&r))
		fmt.Println(r.Attempts, err == nil)
	}
	// Output:
	// 4 true
	// 2 false
}

// The circuit opens after two failures here, and says so before the third call touches the network.
func ExampleBreakerPolicy() {
	srv, client := newExample(authos.WithBreaker(authos.BreakerPolicy{
		FailureThreshold: 2,
		OnStateChange: func(group string, from, to authos.BreakerState) {
			fmt.Println(group, from, "->", to)
		},
	}))
	defer srv.Close()
	srv.Outage(http.StatusInternalServerError)
	for range 3 {
		_, err := client.Service.Info(context.Background(), authos.WithoutRetry())
		fmt.Println(errors.Is(err, authos.ErrServer), errors.Is(err, authos.ErrCircuitOpen))
	}
	// Output:
	// true false
	// service closed -> open
	// true false
	// false true
}

// Calls, attempts and refreshes counted by an Observer, as for a metrics library.
func ExampleObserver() {
	var calls, attempts atomic.Int64
	srv, client := newExample(authos.WithObserver(&authos.Observer{
		Attempt: func(context.Context, authos.AttemptEvent) { attempts.Add(1) },
		CallDone: func(_ context.Context, e authos.CallDone) {
			calls.Add(1)
			fmt.Println(e.Method, e.Route, e.StatusCode, e.Attempts)
		},
	}))
	defer srv.Close()
	srv.Fault(authostest.Fault{Path: "/api/service/info", Times: 1, Status: http.StatusServiceUnavailable})
	_, _ = client.Service.Info(context.Background())
	fmt.Println(calls.Load(), "call,", attempts.Load(), "attempts")
	// Output:
	// GET /api/service/info 200 2
	// 1 call, 2 attempts
}

// A limit that the server has told one call holds the others of the same limiter back, unsent.
func ExampleRateLimitError() {
	srv, client := newExample()
	defer srv.Close()
	srv.Fault(authostest.Fault{
		Path: "/api/service/info", Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"300"}},
	})
	for range 2 {
		_, err := client.Service.Info(context.Background())
		if limited, ok := errors.AsType[*authos.RateLimitError](err); ok {
			fmt.Println(limited.RetryAfter.Round(time.Minute), "sent:", limited.API != nil)
			fmt.Println(authos.UserMessage(err, "en"))
		}
	}
	// Output:
	// 5m0s sent: true
	// Too many requests. Please try again in 5 minutes.
	// 5m0s sent: false
	// Too many requests. Please try again in 5 minutes.
}

func ExampleCircuitOpenError() {
	srv, client := newExample(authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1, OpenTimeout: time.Minute}))
	defer srv.Close()
	srv.Outage(http.StatusBadGateway)
	_, _ = client.Service.Info(context.Background(), authos.WithoutRetry())

	_, err := client.Service.Info(context.Background())
	if open, ok := errors.AsType[*authos.CircuitOpenError](err); ok {
		soon := time.Until(open.RetryAt) > 0 && time.Until(open.RetryAt) <= 72*time.Second
		fmt.Println(open.Group, open.LastStatus, open.LastCode, soon)
	}
	// Output: service 502 BAD_GATEWAY true
}

// The three ends of a session: over, in doubt, and somebody else's.
func ExampleSessionError() {
	srv, client := newExample()
	defer srv.Close()
	t := srv.SignIn("ada@example.com")
	ada, err := client.With(authos.WithTokens(authos.Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken}))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.RevokeSessions("ada@example.com")
	_, err = ada.User.Get(context.Background())
	e, ok := errors.AsType[*authos.SessionError](err)
	switch {
	case !ok:
		fmt.Println(err)
	case errors.Is(err, authos.ErrSessionExpired):
		fmt.Println("sign in again")
	case !e.RetryAt.IsZero():
		fmt.Println("try again at", e.RetryAt)
	default:
		fmt.Println("this client speaks for another user by now")
	}
	// Output: sign in again
}

// A field that is left alone, one that is set, one that is cleared.
func ExampleOptional() {
	var left authos.Optional[string]
	fmt.Println(left.IsZero(), authos.Some("shop").IsZero(), authos.Null[string]().IsZero())
	// Output: true false false
}

func ExampleAuthService_VerifyMagicLink() {
	srv, client := newExample()
	defer srv.Close()
	token := srv.AddMagicLink("ada@example.com") // from the link in the e-mail
	tokens, err := client.Auth.VerifyMagicLink(context.Background(), authos.VerifyMagicLinkParams{Token: token})
	fmt.Println(tokens.RefreshToken != "", err)
	// Output: true <nil>
}
