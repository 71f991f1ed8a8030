package verify_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
)

// Tokens as the fake server hands them out, in the ways in which a real one does.
func TestTokensOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		srv.AddOrganization("globex", "active", "owner@globex.example")
		srv.AddService("globex", "app")
		root := srv.AddPlatformOwner("root@example.com", "")
		ada := srv.AddUser("ada@example.com", "correct horse")
		const resource = "https://api.acme.example/v1"

		v := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.ServiceAudience("acme", "app")})
		admin := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.AnyAudience(), AllowImpersonation: true})
		api := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.ResourceAudience(resource)})

		anonymous := newClient(t, srv, authos.Tokens{})
		owner := newClient(t, srv, authos.Tokens{AccessToken: srv.SignIn("root@example.com").AccessToken})

		login, err := anonymous.Auth.Login(t.Context(), authos.LoginParams{
			Email: "ada@example.com", Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app",
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Verify(t.Context(), login.AccessToken)
		if err != nil || c.Subject != ada.ID || c.Email != ada.Email || c.Org != "acme" || c.Service != "app" || c.TokenUse != verify.UseManagement {
			t.Fatalf("%+v, %v", c, err)
		}

		var refreshed struct {
			AccessToken string `json:"access_token"`
		}
		if err := anonymous.Do(t.Context(), http.MethodPost, "/api/auth/refresh", object{"refresh_token": login.RefreshToken}, &refreshed); err != nil {
			t.Fatal(err)
		}
		if c, err = v.Verify(t.Context(), refreshed.AccessToken); err != nil || c.Subject != ada.ID {
			t.Fatalf("%+v, %v", c, err)
		}

		foreign := srv.SignInTo("globex", "app", "eve@example.com").AccessToken
		_, err = v.Verify(t.Context(), foreign)
		checkRefused(t, err, verify.ErrAudience, foreign)
		if c, err = admin.Verify(t.Context(), foreign); err != nil || c.Org != "globex" {
			t.Fatalf("%+v, %v", c, err)
		}

		var impersonation struct {
			Token string `json:"token"`
		}
		in := object{"user_id": ada.ID, "reason": "ticket 42"}
		if err := owner.Do(t.Context(), http.MethodPost, "/api/platform/impersonate", in, &impersonation); err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), impersonation.Token)
		checkRefused(t, err, verify.ErrUse, impersonation.Token)
		c, err = admin.Verify(t.Context(), impersonation.Token)
		if err != nil || c.Subject != ada.ID || c.Actor == nil || c.Actor.Subject != root.ID || c.Actor.Reason != "ticket 42" {
			t.Fatalf("%+v, %v", c, err)
		}

		srv.RequireMFA("ada@example.com")
		_, err = anonymous.Auth.Login(t.Context(), authos.LoginParams{
			Email: "ada@example.com", Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app",
		})
		mfa, ok := errors.AsType[*authos.MFARequiredError](err)
		if !ok {
			t.Fatal(err)
		}
		preAuth := mfa.PreAuthToken.Reveal()
		for _, v := range []*verify.Verifier{v, admin} {
			_, err = v.Verify(t.Context(), preAuth)
			checkRefused(t, err, verify.ErrUse, preAuth)
		}

		access := resourceToken(t, srv, newClient(t, srv, authos.Tokens{AccessToken: srv.SignIn("owner@acme.example").AccessToken}), resource)
		if c, err = api.Verify(t.Context(), access); err != nil || c.TokenUse != verify.UseResource || c.Audience != resource || c.Org != "acme" {
			t.Fatalf("%+v, %v", c, err)
		}
		_, err = v.Verify(t.Context(), access)
		checkRefused(t, err, verify.ErrUse, access)
		_, err = api.Verify(t.Context(), login.AccessToken)
		checkRefused(t, err, verify.ErrAudience, login.AccessToken)

		jag := assertion(t, anonymous, access, srv.URL, resource)
		for _, v := range []*verify.Verifier{v, admin, api} {
			_, err = v.Verify(t.Context(), jag)
			checkRefused(t, err, verify.ErrUse, jag)
		}

		// The server rotates its key: the first new token fetches it, old tokens stay good until it
		// forgets the old key.
		old := srv.SignIn("bob@example.com").AccessToken
		time.Sleep(2 * time.Minute)
		srv.RotateKeys()
		fresh := srv.SignIn("bob@example.com").AccessToken
		for _, token := range []string{old, fresh, old} {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		srv.ForgetOldKeys()
		time.Sleep(2 * time.Hour)
		if _, err := v.Verify(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_, err = v.Verify(t.Context(), old)
		checkRefused(t, err, verify.ErrUnknownKey, old)

		// And so it goes until they expire.
		time.Sleep(22*time.Hour - time.Minute)
		if _, err := v.Verify(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		_, err = v.Verify(t.Context(), fresh)
		checkRefused(t, err, verify.ErrExpired, fresh)
	})
}

// The server's clock is ahead of ours, or behind.
func TestSkewedServer(t *testing.T) {
	for _, row := range []struct {
		skew time.Duration
		want error
	}{{50 * time.Second, nil}, {-50 * time.Second, nil}, {2 * time.Minute, verify.ErrNotYetValid}, {-7 * time.Minute, verify.ErrExpired}} {
		synctest.Test(t, func(t *testing.T) {
			srv := authostest.New(authostest.WithClockSkew(row.skew), authostest.WithTokenLife(5*time.Minute, time.Hour))
			defer srv.Close()
			v := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.ServiceAudience("acme", "app")})
			token := srv.SignIn("ada@example.com").AccessToken
			_, err := v.Verify(t.Context(), token)
			if row.want != nil {
				checkRefused(t, err, row.want, token)
			} else if err != nil {
				t.Errorf("skew %s: %v", row.skew, err)
			}
		})
	}
}

func newClient(t *testing.T, srv *authostest.Server, tokens authos.Tokens) *authos.Client {
	t.Helper()
	options := []authos.Option{authos.WithHTTPClient(&http.Client{Transport: srv.Transport()})}
	if tokens.AccessToken != "" {
		options = append(options, authos.WithTokens(tokens))
	}
	client, err := authos.New(srv.URL, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// resourceToken registers a resource at the default service and gets a token for it by the device
// flow.
func resourceToken(t *testing.T, srv *authostest.Server, owner *authos.Client, resource string) string {
	t.Helper()
	const service = "/api/organizations/acme/services/app"
	if err := owner.Do(t.Context(), http.MethodPatch, service, object{"resource_uris": []string{resource}}, nil); err != nil {
		t.Fatal(err)
	}
	var device struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	in := object{"client_id": "acme_app", "org": "acme", "service": "app"}
	if err := owner.Do(t.Context(), http.MethodPost, "/auth/device/code", in, &device); err != nil {
		t.Fatal(err)
	}
	srv.ApproveDevice(device.UserCode, "bob@example.com")
	var out struct {
		AccessToken string `json:"access_token"`
	}
	in = object{
		"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device.DeviceCode, "client_id": "acme_app",
		"resource": resource,
	}
	if err := owner.Do(t.Context(), http.MethodPost, "/auth/token", in, &out); err != nil {
		t.Fatal(err)
	}
	return out.AccessToken
}

// assertion exchanges a resource token for an id-jag.
func assertion(t *testing.T, client *authos.Client, subject, audience, resource string) string {
	t.Helper()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	err := client.Do(t.Context(), http.MethodPost, "/oauth/token", url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:id-jag"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {subject}, "audience": {audience}, "resource": {resource}, "client_id": {"acme_app"},
	}, &out)
	if err != nil || strings.Count(out.AccessToken, ".") != 2 {
		t.Fatal(out, err)
	}
	return out.AccessToken
}
