package authos_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// Only what may be old is served so: here a service's facts, an hour old at most, tried for a
// second before.
func ExampleCachePolicy() {
	srv, client := newExample(authos.WithCache(authos.CachePolicy{
		MaxStale: time.Hour, Patience: time.Second, Routes: []string{"/api/service/info"},
	}))
	defer srv.Close()
	ctx := context.Background()
	user := srv.AddServiceUser("bob@example.com")
	_, _ = client.Service.Info(ctx)
	_, _ = client.Service.Users.Get(ctx, user.ID)

	srv.Outage(http.StatusBadGateway)
	var r authos.Response
	info, err := client.Service.Info(ctx, authos.WithResponse(&r))
	fmt.Println(info.Slug, err, r.Stale, errors.Is(r.Cause, authos.ErrUnavailable))
	_, err = client.Service.Users.Get(ctx, user.ID, authos.WithResponse(&r))
	fmt.Println(errors.Is(err, authos.ErrUnavailable), r.Stale)
	// Output:
	// app <nil> true true
	// true false
}

// In an update a field that is left out stays, Some sets it, Null clears it.
func ExampleNull() {
	srv, client := newExample()
	defer srv.Close()
	ctx := context.Background()
	owner, err := client.With(authos.WithTokens(srv.SignInTo("acme", "", "owner@acme.example")))
	if err != nil {
		fmt.Println(err)
		return
	}
	role, err := owner.Organizations.Roles.Create(ctx, "acme", authos.RoleCreateParams{
		Slug: "support", Name: "Support", Description: "answers the phone", Permissions: []authos.Capability{authos.CapabilityEndUsersView},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range []authos.RoleUpdateParams{
		{Name: authos.Some("Help desk")},
		{Description: authos.Null[string]()},
	} {
		role, err = owner.Organizations.Roles.Update(ctx, "acme", role.ID, p)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q %q\n", role.Name, role.Description)
	}
	// Output:
	// "Help desk" "answers the phone"
	// "Help desk" ""
}

func ExampleObservers() {
	counts := &authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { fmt.Println("counted", e.Route) }}
	spans := &authos.Observer{Stale: func(_ context.Context, e authos.StaleEvent) { fmt.Println("stale", e.Age < time.Minute) }}
	srv, client := newExample(authos.WithCache(authos.CachePolicy{}), authos.WithObserver(authos.Observers(counts, nil, spans)))
	defer srv.Close()
	_, _ = client.Service.Info(context.Background())
	srv.Outage(http.StatusServiceUnavailable)
	_, _ = client.Service.Info(context.Background())
	// Output:
	// counted /api/service/info
	// stale true
	// counted /api/service/info
}

// A job that would rather wait than fail. The loop makes at most one call a second.
func ExampleWait() {
	srv, client := newExample()
	defer srv.Close()
	srv.Fault(authostest.Fault{Path: "/api/service/info", Times: 1, Status: http.StatusServiceUnavailable})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		info, err := client.Service.Info(ctx, authos.WithoutRetry())
		if err == nil {
			fmt.Println(info.Slug)
			return
		}
		fmt.Println("waiting:", authos.Retryable(err))
		if err := authos.Wait(ctx, err); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// waiting: true
	// app
}

// What a backend responds to its own client when AuthOS failed it.
func ExampleHTTPStatus() {
	srv, client := newExample()
	defer srv.Close()
	_, err := client.Service.Users.Get(context.Background(), "nobody")
	fmt.Println(authos.HTTPStatus(err), authos.UserMessage(err, "fr-CA, en;q=0.5"))
	srv.Outage(http.StatusInternalServerError)
	_, err = client.Service.Users.Get(context.Background(), "nobody", authos.WithoutRetry())
	fmt.Println(authos.HTTPStatus(err), authos.UserMessage(err, "fr-CA, en;q=0.5"))
	// Output:
	// 404 L'élément demandé est introuvable.
	// 502 Une erreur est survenue. Réessayez plus tard.
}

func ExampleExplain() {
	info, known := authos.Explain(authos.CodeDeviceCodePending)
	fmt.Println(known, info.Status, info.Action)
	_, known = authos.Explain("SOMETHING_NEW")
	fmt.Println(known)
	// Output:
	// true 400 poll again after the interval, until the code expires
	// false
}

// What stands between the client and the network sees each sending.
func ExampleWithMiddleware() {
	srv, client := newExample(authos.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return sender(func(req *http.Request) (*http.Response, error) {
			fmt.Println(req.Method, req.URL.Path)
			return next.RoundTrip(req)
		})
	}))
	defer srv.Close()
	_, _ = client.Service.Info(context.Background())
	// Output: GET /api/service/info
}

// A client certificate (mTLS), for a gateway that wants one.
func ExampleWithHTTPClient() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	gateway := httptest.NewUnstartedServer(srv)
	gateway.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	gateway.StartTLS()
	defer gateway.Close()

	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // as net/http documents
	transport.TLSClientConfig = &tls.Config{                     //nolint:forcetypeassert // httptest's client
		// from tls.LoadX509KeyPair
		Certificates: gateway.TLS.Certificates,
		// nil: the system's
		RootCAs:    gateway.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		MinVersion: tls.VersionTLS13,
	}
	transport.Proxy = nil // or http.ProxyURL(proxy); a clone takes it from the environment
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	client, err := authos.New(gateway.URL, authos.WithHTTPClient(&http.Client{Transport: transport}), authos.WithAPIKey(srv.AddAPIKey()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	info, err := client.Service.Info(context.Background())
	fmt.Println(info.Slug, err)
	// Output: app <nil>
}

type sender func(*http.Request) (*http.Response, error)

func (s sender) RoundTrip(req *http.Request) (*http.Response, error) { return s(req) }
