package authos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// newExample gives a client of a fake server in memory.
func newExample(opts ...authos.Option) (*authostest.Server, *authos.Client) {
	srv := authostest.New(authostest.InMemory())
	srv.AddUser("ada@example.com", "correct horse")
	opts = append([]authos.Option{
		authos.WithHTTPClient(&http.Client{Transport: srv.Transport()}),
		authos.WithAPIKey(srv.AddAPIKey()),
		authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond}),
	}, opts...)
	client, err := authos.New(srv.URL, opts...)
	if err != nil {
		panic(err)
	}
	return srv, client
}

func Example() {
	srv, client := newExample()
	defer srv.Close()
	defer func() { _ = client.Close() }()
	ctx := context.Background()

	user, err := client.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "bob@example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	same, err := client.Service.Users.Get(ctx, user.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(same.Email)
	// Output: bob@example.com
}

func ExampleNew() {
	_, err := authos.New("http://sso.example.com", authos.WithAPIKey("sk_key"))
	fmt.Println(err)
	// Output: authos: invalid input, nothing was sent: baseURL: refusing to send credentials to sso.example.com over http://; use https:// or WithInsecureHTTP
}

func ExampleNew_options() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := authos.New("http://sso.internal:8080/authos",
		authos.WithInsecureHTTP(), // inside a trusted network
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 3, Budget: authos.RetryBudget{Ratio: 0.1}}),
		authos.WithBreaker(authos.BreakerPolicy{
			OpenTimeout: 30 * time.Second,
			OnStateChange: func(group string, from, to authos.BreakerState) {
				logger.Info("circuit", "group", group, "from", from, "to", to)
			},
		}),
		authos.WithCache(authos.CachePolicy{MaxStale: time.Minute}),
		authos.WithLogger(logger),
		authos.WithObserver(&authos.Observer{Wait: func(_ context.Context, e authos.WaitEvent) { logger.Info("waiting", "for", e.Wait) }}),
		authos.WithLanguage("es", "en"),
		authos.WithUserAgent("billing/1.4"),
		authos.WithRequestID(func(context.Context) string { return "trace-42" }),
		authos.WithRefreshBefore(time.Minute),
		authos.WithTokenStore(new(store)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client)
	_ = client.Close()
	// Output: authos.Client(http://sso.internal:8080)
}

// store is the least a TokenStore can be.
type store struct{ tokens authos.Tokens }

func (s *store) Load(context.Context) (authos.Tokens, error)   { return s.tokens, nil }
func (s *store) Save(_ context.Context, t authos.Tokens) error { s.tokens = t; return nil }
func (s *store) Delete(context.Context) error                  { s.tokens = authos.Tokens{}; return nil }

func ExampleClient_With() {
	srv, base := newExample()
	defer srv.Close()
	defer func() { _ = base.Close() }()
	ctx := context.Background()

	tokens, err := base.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ada, err := base.With(authos.WithTokens(tokens))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.ExpireAccessTokens() // the client refreshes them unseen
	user, err := ada.User.Get(ctx)
	fmt.Println(user.Email, err)
	fmt.Println(tokens) // credentials never print
	// Output:
	// ada@example.com <nil>
	// Tokens[redacted]
}

func ExampleClient_Do() {
	srv, client := newExample()
	defer srv.Close()
	var analytics struct {
		TotalUsers int `json:"total_users"`
	}
	err := client.Do(context.Background(), http.MethodGet, "/api/service/analytics", nil, &analytics)
	fmt.Println(analytics.TotalUsers, err)

	err = client.Do(context.Background(), http.MethodPost, "/auth/revoke", url.Values{"token": {"unknown"}}, nil)
	fmt.Println(err)
	// Output:
	// 0 <nil>
	// <nil>
}

func ExampleClient_HTTPClient() {
	srv, client := newExample()
	defer srv.Close()
	srv.Fault(authostest.Fault{Times: 1, Status: http.StatusBadGateway}) // retried underneath
	resp, err := client.HTTPClient().Get(srv.URL + "/api/service/info")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func ExampleClient_SetTokens() {
	srv, client := newExample()
	defer srv.Close()
	ctx := context.Background()
	err := client.SetTokens(ctx, srv.SignIn("ada@example.com"))
	fmt.Println(err)

	fmt.Println(client.Auth.Logout(ctx)) // at the server, then here
	held, err := client.Tokens(ctx)
	fmt.Println(held, err)
	// Output:
	// <nil>
	// <nil>
	// Tokens(none) <nil>
}

func ExampleAuthService_Login_mfa() {
	srv, client := newExample()
	defer srv.Close()
	srv.RequireMFA("ada@example.com")
	_, err := client.Auth.Login(context.Background(), authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	if mfa, ok := errors.AsType[*authos.MFARequiredError](err); ok {
		fmt.Println(mfa, "-", mfa.PreAuthToken, mfa.PreAuthToken.Reveal() != "")
	}
	// Output: authos: sign-in needs a second factor - [redacted] true
}

func ExampleServiceUsersService_All() {
	srv, client := newExample()
	defer srv.Close()
	srv.AddServiceUser("bob@example.com")
	for user, err := range client.Service.Users.All(context.Background(), authos.ServiceUserListParams{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user.Email)
	}
	// Output: bob@example.com
}

func ExampleServiceUsersService_Delete() {
	srv, client := newExample()
	defer srv.Close()
	user := srv.AddServiceUser("bob@example.com")
	// The server deletes the user, and the response is lost; the repeat finds nothing, which is
	// what was asked for.
	srv.Fault(authostest.Fault{Method: http.MethodDelete, Times: 1, Kind: authostest.ResetAfter})
	var r authos.Response
	err := client.Service.Users.Delete(context.Background(), user.ID, authos.WithResponse(&r))
	fmt.Println(err, r.Attempts)
	// Output: <nil> 2
}

func ExampleAPIError() {
	srv, client := newExample()
	defer srv.Close()
	_, err := client.Service.Users.Get(context.Background(), "nobody", authos.WithHeader("X-Request-ID", "req-1"))
	if e, ok := errors.AsType[*authos.APIError](err); ok {
		fmt.Println(e.StatusCode, e.Code, e.RequestID, errors.Is(err, authos.ErrNotFound))
	}
	fmt.Println(err)
	// Output:
	// 404 NOT_FOUND req-1 true
	// authos: GET /api/service/users/:user_id: 404 NOT_FOUND: User not found or has not authenticated with this service (request req-1)
}

func ExampleAPIError_DecodeDetails() {
	srv, client := newExample()
	defer srv.Close()
	srv.Fault(authostest.Fault{Times: 1, Status: http.StatusForbidden, Body: `{"error":{"code":"INSUFFICIENT_PERMISSIONS",
		"message":"You may not","details":{"required_permission":"users:delete"}}}`})
	err := client.Service.Users.Delete(context.Background(), "42")
	var details struct {
		Required string `json:"required_permission"`
	}
	if e, ok := errors.AsType[*authos.APIError](err); ok && e.DecodeDetails(&details) == nil {
		fmt.Println(details.Required, errors.Is(err, authos.ErrForbidden))
	}
	// Output: users:delete true
}

func ExampleValidationError() {
	srv, client := newExample()
	defer srv.Close()
	_, err := client.Auth.Login(context.Background(), authos.LoginParams{Email: "not an address"})
	if e, ok := errors.AsType[*authos.ValidationError](err); ok {
		for _, f := range e.Fields {
			fmt.Println(f.Field, f.Code, f.Message)
		}
	}
	fmt.Println(len(srv.Requests()), "requests sent")
	// Output:
	// email INVALID_FORMAT must be an e-mail address
	// password REQUIRED must not be empty
	// 0 requests sent
}

func ExampleWithIdempotent() {
	srv, client := newExample()
	defer srv.Close()
	ctx := context.Background()
	srv.Fault(authostest.Fault{Path: "/api/unknown", Status: http.StatusBadGateway})

	err := client.Do(ctx, http.MethodPost, "/api/unknown", map[string]int{"n": 1}, nil)
	fmt.Println(errors.Is(err, authos.ErrOutcomeUnknown), authos.Retryable(err), srv.Count("", "/api/unknown"))

	err = client.Do(ctx, http.MethodPost, "/api/unknown", map[string]int{"n": 1}, nil, authos.WithIdempotent())
	fmt.Println(errors.Is(err, authos.ErrUnavailable), srv.Count("", "/api/unknown"))
	// Output:
	// true false 1
	// true 5
}

func ExampleWithCache() {
	srv, client := newExample(authos.WithCache(authos.CachePolicy{}))
	defer srv.Close()
	ctx := context.Background()
	user := srv.AddServiceUser("bob@example.com")
	_, _ = client.Service.Users.Get(ctx, user.ID)

	srv.Outage(http.StatusServiceUnavailable)
	var r authos.Response
	bob, err := client.Service.Users.Get(ctx, user.ID, authos.WithResponse(&r))
	fmt.Println(bob.Email, err, r.Stale)

	_, err = client.Service.Users.Get(ctx, user.ID, authos.WithoutCache(), authos.WithoutRetry())
	fmt.Println(errors.Is(err, authos.ErrUnavailable))
	// Output:
	// bob@example.com <nil> true
	// true
}

func ExampleUserMessage() {
	err := error(&authos.APIError{StatusCode: 403, Code: authos.CodeForbidden, Message: "Organization is not active. Current status: suspended"})
	fmt.Println(errors.Is(err, authos.CodeOrganizationNotActive))
	fmt.Println(authos.UserMessage(&authos.APIError{StatusCode: 404, Code: authos.CodeNotFound}, "es", "en"))
	own := authos.Messages{"en": {authos.CodeNotFound: "We looked everywhere."}}
	fmt.Println(own.For(&authos.APIError{StatusCode: 404, Code: authos.CodeNotFound}, "en-GB"))
	// Output:
	// true
	// No se encontró el recurso solicitado.
	// We looked everywhere.
}

func ExampleRetryable() {
	fmt.Println(authos.Retryable(&authos.CircuitOpenError{}), authos.Retryable(&authos.APIError{StatusCode: 404}))
	// Output: true false
}

func ExampleCodes() {
	for _, info := range authos.Codes() {
		if info.Code == authos.CodeTokenExpired {
			fmt.Println(info.Status, info.Code, "-", info.Meaning)
		}
	}
	// Output: 401 TOKEN_EXPIRED - the access token has expired
}

func ExampleSecret() {
	s := authos.NewSecret("hunter2")
	fmt.Printf("%v %+v %q %s\n", s, s, s, s.Reveal())
	// Output: [redacted] [redacted] [redacted] hunter2
}

func ExampleUserService_Update() {
	srv, client := newExample()
	defer srv.Close()
	ada, err := client.With(authos.WithTokens(srv.SignIn("ada@example.com")))
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := ada.User.Update(context.Background(), authos.UserUpdateParams{Email: new("lovelace@example.com")})
	fmt.Println(user.Email, err)
	// Output: lovelace@example.com <nil>
}

func ExampleServiceUsersService_Update() {
	srv, client := newExample()
	defer srv.Close()
	user := srv.AddServiceUser("bob@example.com")
	_, err := client.Service.Users.Update(context.Background(), user.ID, authos.ServiceUserUpdateParams{Email: new("rob@example.com")})
	fmt.Println(errors.Is(err, authos.ErrForbidden)) // API keys may not change profiles
	// Output: true
}

func ExampleServiceAPI_Info() {
	srv, client := newExample()
	defer srv.Close()
	info, err := client.Service.Info(context.Background())
	fmt.Println(info.Slug, info.ServiceType, err)
	// Output: app web <nil>
}

func ExampleAuthService_Refresh() {
	srv, client := newExample()
	defer srv.Close()
	held := srv.SignIn("ada@example.com") // tokens of a session that no client here refreshes
	fresh, err := client.Auth.Refresh(context.Background(), held.RefreshToken)
	fmt.Println(fresh.AccessToken != held.AccessToken, err)

	// a replay ends the session
	_, err = client.Auth.Refresh(context.Background(), held.RefreshToken)
	fmt.Println(errors.Is(err, authos.ErrUnauthenticated))
	// Output:
	// true <nil>
	// true
}
