package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

var serverCases = []typedCase{
	{
		name: "Server.Health",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.Server.Health(ctx) },
	},
	{
		name: "Server.Live",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Server.Live(ctx)
		},
	},
	{
		name: "Server.Ready",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.Server.Ready(ctx) },
	},
	{
		name: "Server.Configuration",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Server.Configuration(ctx)
		},
	},
	{
		name: "Server.JWKS",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.Server.JWKS(ctx) },
	},
}

func TestServer(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, _ bool) {
		ctx := t.Context()
		s := w.Client(asNobody).Server
		health, err := s.Health(ctx)
		if err != nil || health.Status != "healthy" || health.Version == "" {
			t.Errorf("Health = %+v, %v", health, err)
		}
		if err := s.Live(ctx); err != nil {
			t.Errorf("Live = %v", err)
		}
		ready, err := s.Ready(ctx)
		if err != nil || *ready != (authos.Readiness{Status: "ready", Version: health.Version, Database: "connected"}) {
			t.Errorf("Ready = %+v, %v", ready, err)
		}
		conf, err := s.Configuration(ctx)
		if err != nil {
			t.Fatal(err)
		}
		base := w.Server.URL
		if conf.Service != "AuthOS" || conf.MetadataVersion != 1 || conf.Issuer != base || conf.JWKSURI != base+"/.well-known/jwks.json" ||
			conf.OpenIDConnect != (authos.OpenIDConnectSupport{Status: "unsupported"}) {
			t.Errorf("Configuration = %+v", conf)
		}
		if d := conf.DeviceAuthorization; d.Status != "supported" || d.DeviceAuthorizationEndpoint != base+"/auth/device/code" ||
			d.TokenEndpoint != base+"/auth/token" || len(d.GrantTypesSupported) != 1 || len(d.TokenEndpointAuthMethodsSupported) != 1 {
			t.Errorf("DeviceAuthorization = %+v", d)
		}
		if e := conf.EnterpriseAuthorization; e.Status != "supported" || e.TokenEndpoint != base+"/oauth/token" || len(e.TokenEndpointAliases) != 1 ||
			len(e.GrantTypesSupported) != 2 || len(e.AuthorizationGrantProfilesSupported) != 1 || len(e.RequestedTokenTypesSupported) != 1 ||
			!json.Valid(e.ClientAuthentication) {
			t.Errorf("EnterpriseAuthorization = %+v", e)
		}
		before, err := s.JWKS(ctx)
		if err != nil || len(before.Keys) != 1 {
			t.Fatalf("JWKS = %+v, %v", before, err)
		}
		if k := before.Keys[0]; k.KeyType != "RSA" || k.Algorithm != "RS256" || k.Use != "sig" || k.KeyID == "" || len(k.N) < 256 || k.E != "AQAB" {
			t.Errorf("key %+v", k)
		}
		w.Server.RotateKeys()
		after, err := s.JWKS(ctx)
		if err != nil || len(after.Keys) != 2 || after.Keys[0] == before.Keys[0] || after.Keys[1] != before.Keys[0] {
			t.Errorf("JWKS after a rotation = %+v, %v", after, err)
		}
		// In the form of the RFC, for code that reads key sets.
		data, err := json.Marshal(before)
		if err != nil || !strings.HasPrefix(string(data), `{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"`) {
			t.Errorf("marshaled to %s, %v", data, err)
		}
	})
}

// A server without its database says so in a shape of its own, and the error keeps it.
func TestServerNotReady(t *testing.T) {
	script := scripted(reply{status: 503, body: `{"status":"unhealthy","version":"0.1.40","database":"disconnected"}`})
	c := clientWithoutBreaker(t, script)
	ready, err := c.Server.Ready(t.Context(), authos.WithoutRetry())
	e, ok := errors.AsType[*authos.APIError](err)
	if !ok || ready != nil || e.StatusCode != 503 || e.Code != authos.CodeServiceUnavailable || !errors.Is(err, authos.ErrUnavailable) ||
		!authos.Retryable(err) || e.Path != "/health/ready" {
		t.Fatalf("Ready = %+v, %v", ready, err)
	}
	var body authos.Readiness
	if err := json.Unmarshal(e.Body, &body); err != nil || body != (authos.Readiness{Status: "unhealthy", Version: "0.1.40", Database: "disconnected"}) {
		t.Errorf("body %+v, %v", body, err)
	}
	if script.count() != 1 {
		t.Errorf("%d requests with WithoutRetry, want 1", script.count())
	}
}

func TestServerErrors(t *testing.T) {
	ctx := context.Background()
	t.Run("older server", func(t *testing.T) {
		_, err := clientWithoutBreaker(t, scripted(emptyReply(404))).Server.Configuration(ctx)
		if !errors.Is(err, authos.ErrNotFound) || !errors.Is(err, authos.CodeRouteNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no keys", func(t *testing.T) {
		_, err := clientWithoutBreaker(t, scripted(emptyReply(500))).Server.JWKS(ctx, authos.WithoutRetry())
		if !errors.Is(err, authos.ErrServer) || !errors.Is(err, authos.CodeInternalServerError) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("down for a moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			script := scripted(emptyReply(502), reply{status: 200})
			if err := clientWithoutBreaker(t, script).Server.Live(ctx); err != nil || script.count() != 2 {
				t.Errorf("got %v after %d requests", err, script.count())
			}
		})
	})
}

// In an outage the keys are still there, and the health is not.
func TestServerHealthIsNeverStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		ctx := t.Context()
		c := newClient(t, srv.URL, srv.Transport(), authos.WithCache(authos.CachePolicy{}))
		calls := map[string]struct {
			kept bool
			call func(opts ...authos.RequestOption) error
		}{
			"Health":        {false, func(opts ...authos.RequestOption) error { _, err := c.Server.Health(ctx, opts...); return err }},
			"Live":          {false, func(opts ...authos.RequestOption) error { return c.Server.Live(ctx, opts...) }},
			"Ready":         {false, func(opts ...authos.RequestOption) error { _, err := c.Server.Ready(ctx, opts...); return err }},
			"Configuration": {true, func(opts ...authos.RequestOption) error { _, err := c.Server.Configuration(ctx, opts...); return err }},
			"JWKS":          {true, func(opts ...authos.RequestOption) error { _, err := c.Server.JWKS(ctx, opts...); return err }},
		}
		for what, call := range calls {
			if err := call.call(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		time.Sleep(time.Second)
		srv.Fault(authostest.Fault{Status: 503})
		for what, call := range calls {
			var resp authos.Response
			if err := call.call(authos.WithResponse(&resp)); (err == nil) != call.kept || resp.Stale != call.kept {
				t.Errorf("%s: %v, stale %v, want a response: %v", what, err, resp.Stale, call.kept)
			}
		}
	})
}

func TestServerMembers(t *testing.T) {
	ctx := context.Background()
	health := func(c *authos.Client) (any, error) { return c.Server.Health(ctx) }
	ready := func(c *authos.Client) (any, error) { return c.Server.Ready(ctx) }
	live := func(c *authos.Client) (any, error) { return "alive", c.Server.Live(ctx) }
	conf := func(c *authos.Client) (any, error) {
		conf, err := c.Server.Configuration(ctx)
		if err != nil {
			return nil, err
		}
		return string(conf.EnterpriseAuthorization.ClientAuthentication) + conf.Issuer, nil
	}
	jwks := func(c *authos.Client) (any, error) { return c.Server.JWKS(ctx) }
	eventMembers(t, []eventMember{
		{"no version", health, `{"status":"healthy"}`, "&{healthy }"},
		{"no health", health, `{"version":"1"}`, "without status"},
		{"no readiness", ready, `{"database":"connected"}`, "without status"},
		{"live", live, "", "alive"},
		{"bare configuration", conf, `{"issuer":"i","jwks_uri":"u"}`, "i"},
		{"client authentication of any form", conf, `{"issuer":"i","jwks_uri":"u","enterprise_managed_authorization":{"client_authentication":{"a":1}}}`, `{"a":1}i`},
		{"no issuer", conf, `{"jwks_uri":"u"}`, "without issuer"},
		{"no keys' address", conf, `{"issuer":"i"}`, "without jwks_uri"},
		{"no key today", jwks, `{"keys":[]}`, "&{[]}"},
		{"keys null", jwks, `{"keys":null}`, "without keys"},
		{"key of another type", jwks, `{"keys":[{"kty":"EC","kid":"k","crv":"P-256"}]}`, "&{[{EC   k  }]}"},
		{"no type", jwks, `{"keys":[{"kid":"k","n":"n","e":"e"}]}`, "without kty of an item of keys"},
		{"no key id", jwks, `{"keys":[{"kty":"RSA","n":"n","e":"e"}]}`, "without kid of an item of keys"},
		{"no modulus", jwks, `{"keys":[{"kty":"RSA","kid":"k","e":"e"}]}`, "without n of an item of keys"},
		{"no exponent", jwks, `{"keys":[{"kty":"RSA","kid":"k","n":"n"}]}`, "without e of an item of keys"},
	})
}
