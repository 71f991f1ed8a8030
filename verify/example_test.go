package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
	"github.com/authos-go/authos/webhook"
)

// call sends a request with a token to a handler and prints the response.
func call(h http.Handler, token string) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Printf("%d %s\n", w.Code, w.Body)
}

// A handler that only users of one service reach.
func Example() {
	srv := authostest.New() // in life: https://sso.example.com
	defer srv.Close()
	srv.AddService("globex", "app")

	v, err := verify.New(srv.URL, verify.Config{Audience: verify.ServiceAudience("acme", "app")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	handler := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := verify.ClaimsFrom(r.Context())
		fmt.Fprintf(w, "hello %s of %s", claims.Email, claims.Org)
	}))

	call(handler, srv.SignIn("ada@example.com").AccessToken)
	call(handler, srv.SignInTo("globex", "app", "eve@example.com").AccessToken)
	call(handler, "")
	// Output:
	// 200 hello ada@example.com of acme
	// 401 {"error":"invalid_token","error_description":"the access token is not valid here"}
	//
	// 401 {"error":"missing_token","error_description":"a bearer token is required"}
}

// Without HTTP, for instance in an interceptor of another protocol.
func ExampleVerifier_Verify() {
	srv := authostest.New()
	defer srv.Close()
	v, err := verify.New(srv.URL, verify.Config{Audience: verify.ServiceAudience("acme", "app")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()

	ctx := context.Background()
	for _, token := range []string{srv.SignIn("ada@example.com").AccessToken, srv.SignInTo("acme", "", "ada@example.com").AccessToken, "x"} {
		switch claims, err := v.Verify(ctx, token); {
		case err == nil:
			fmt.Println(claims.Email, claims.Audience, claims.TokenUse)
		case errors.Is(err, verify.ErrExpired):
			fmt.Println("refresh it")
		case errors.Is(err, verify.ErrInvalidToken):
			fmt.Println(err)
		case errors.Is(err, verify.ErrUnavailable):
			fmt.Println("come back later")
		}
	}
	// Output:
	// ada@example.com service:acme/app management_access
	// verify: wrong audience: "org:acme" of tenant "org:acme", not "service:acme/app"
	// verify: malformed token: not three parts of base64url
}

// A service for all tenants says so, and decides by the claims.
func ExampleVerifier_RequireOrg() {
	srv := authostest.New()
	defer srv.Close()
	srv.AddService("globex", "app")
	v, err := verify.New(srv.URL, verify.Config{Audience: verify.AnyAudience()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	acmeOnly := v.RequireOrg("acme")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "welcome") }))

	call(acmeOnly, srv.SignIn("ada@example.com").AccessToken)
	call(acmeOnly, srv.SignInTo("globex", "app", "eve@example.com").AccessToken)
	// Output:
	// 200 welcome
	// 403 {"error":"insufficient_scope","error_description":"the access token does not suffice for this"}
}

// The online check sees what no signature shows.
func ExampleOnline() {
	srv := authostest.New()
	defer srv.Close()
	v, err := verify.New(srv.URL, verify.Config{Audience: verify.ServiceAudience("acme", "app"), Online: &verify.Online{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()

	ctx := context.Background()
	ada, bob := srv.SignIn("ada@example.com").AccessToken, srv.SignIn("bob@example.com").AccessToken
	srv.RevokeSessions("bob@example.com")
	claims, err := v.Verify(ctx, ada)
	fmt.Println(len(claims.Permissions) > 0, err)
	_, err = v.Verify(ctx, bob)
	fmt.Println(errors.Is(err, verify.ErrRevoked))
	// Output:
	// true <nil>
	// true
}

// The operator reads the reason, the caller does not.
func ExampleConfig_onError() {
	srv := authostest.New()
	defer srv.Close()
	v, err := verify.New(srv.URL, verify.Config{
		Audience: verify.ServiceAudience("acme", "app"),
		OnError: func(w http.ResponseWriter, r *http.Request, err error) {
			fmt.Println("log:", r.URL.Path, err) // in life: slog.InfoContext
			verify.WriteError(w, err)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	call(v.Middleware(http.NotFoundHandler()), srv.SignInTo("", "", "ada@example.com").AccessToken)
	// Output:
	// log: / verify: wrong audience: "platform" of tenant "platform", not "service:acme/app"
	// 401 {"error":"invalid_token","error_description":"the access token is not valid here"}
}

// One backend for two services and an API of its own.
func ExampleAudience_Or() {
	audience := verify.ServiceAudience("acme", "web").
		Or(verify.ServiceAudience("acme", "mobile")).
		Or(verify.ResourceAudience("https://api.acme.example/v1"))
	fmt.Println(audience)
	// Output: service:acme/web, service:acme/mobile, https://api.acme.example/v1
}

// A handler's own test needs neither tokens nor a server.
func ExampleWithClaims() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := verify.ClaimsFrom(r.Context())
		fmt.Fprint(w, claims.Subject, " ", ok)
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(verify.WithClaims(r.Context(), verify.Claims{Subject: "user-1"})))
	fmt.Println(w.Body)
	// Output: user-1 true
}

// A webhook tells the backend of sign-outs, so that it refuses tokens early without asking anybody.
func ExampleVerifier_HandleEvent() {
	srv := authostest.New()
	defer srv.Close()
	v, err := verify.New(srv.URL, verify.Config{Audience: verify.ServiceAudience("acme", "app")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()

	ctx := context.Background()
	token := srv.SignIn("ada@example.com").AccessToken
	claims, err := v.Verify(ctx, token)
	fmt.Println(claims.Email, err)

	// In life: hooks.Handler(v.HandleEvent), behind the URL of a webhook.
	signOut := webhook.Event{Type: webhook.EventUserLogout, ActorUserID: claims.Subject, Timestamp: time.Now()}
	if err := v.HandleEvent(ctx, signOut); err != nil {
		fmt.Println(err)
	}
	_, err = v.Verify(ctx, token)
	fmt.Println(err)
	// Output:
	// ada@example.com <nil>
	// verify: token has been revoked: issued before its user's tokens were ended
}
