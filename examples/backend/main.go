// Backend is a server that only users of its own service reach. Tokens that are good, expired, for
// another tenant, or of a sign-in without its second factor are presented to it. It runs offline
// and ends by itself.
//
//	cd examples/backend && go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
)

func main() {
	sso := authostest.New(authostest.InMemory()) // in life: https://sso.example.com
	defer sso.Close()
	overMemory := authos.WithHTTPClient(&http.Client{Transport: sso.Transport()})

	reasons := make(chan error, 1) // for this program's output; a backend would log them
	v, err := verify.New(sso.URL, verify.Config{
		Audience:      verify.ServiceAudience("acme", "app"),
		ClientOptions: []authos.Option{overMemory},
		OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
			reasons <- err
			verify.WriteError(w, err)
		},
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = v.Close() }()

	mux := http.NewServeMux()
	mux.Handle("/orders", v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := verify.ClaimsFrom(r.Context())
		_, _ = fmt.Fprintf(w, "orders of %s at %s\n", claims.Email, claims.Org)
	})))
	mux.Handle("/admin", v.RequirePlatformOwner(http.NotFoundHandler()))
	backend := httptest.NewServer(mux)
	defer backend.Close()

	call := func(name, path, token string) {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, backend.URL+path, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := backend.Client().Do(req)
		if err != nil {
			log.Print(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Printf("%-9s GET %-8s %s\n", name, path, resp.Status)
		select {
		case reason := <-reasons:
			fmt.Printf("          the caller reads: %s\n          the log says:     %v\n", resp.Header.Get("WWW-Authenticate"), reason)
		default:
		}
	}
	good := sso.SignIn("ada@example.com").AccessToken
	call("good", "/orders", good)
	call("good", "/admin", good)
	call("expired", "/orders", expired())
	call("foreign", "/orders", sso.SignInTo("globex", "app", "eve@example.com").AccessToken)
	call("pre-auth", "/orders", preAuth(sso, overMemory))
	call("tampered", "/orders", good[:len(good)-8]+"AAAAAAAA")
	call("none", "/orders", "")
}

// expired comes from a server with the same address and keys, whose clock is two days behind.
func expired() string {
	behind := authostest.New(authostest.InMemory(), authostest.WithClockSkew(-48*time.Hour))
	defer behind.Close()
	return behind.SignIn("ada@example.com").AccessToken
}

// preAuth is the token of a sign-in whose password was right and whose second factor is still
// missing.
func preAuth(sso *authostest.Server, options ...authos.Option) string {
	sso.AddUser("bob@example.com", "correct horse")
	sso.RequireMFA("bob@example.com")
	client, err := authos.New(sso.URL, options...)
	if err != nil {
		return ""
	}
	defer func() { _ = client.Close() }()
	_, err = client.Auth.Login(context.Background(), authos.LoginParams{
		Email: "bob@example.com", Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app",
	})
	if mfa, ok := errors.AsType[*authos.MFARequiredError](err); ok {
		return mfa.PreAuthToken.Reveal()
	}
	return ""
}
