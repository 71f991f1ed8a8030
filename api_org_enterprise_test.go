package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// The cases of what an organization has beside its services: identity providers, log collectors,
// SCIM, domains, billing, rated sign-ins, and AuthOS as a SAML identity provider.
var enterpriseCases = []typedCase{
	{
		name: "Organizations.Billing.Info",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Billing.Info(ctx, "acme")
		},
		setup: enBilling,
	},
	{
		name:  "Organizations.Billing.Portal",
		setup: enBilling,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Billing.Portal(ctx, "acme", "https://acme.example/back")
		},
		body: `{"return_url":"https://acme.example/back"}`,
	},
	{
		name:  "Organizations.Billing.Credentials",
		setup: enBilling,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Billing.Credentials(ctx, "acme", authos.BillingStripe)
		},
	},
	{
		name: "Organizations.Billing.SetCredentials",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.Billing.SetCredentials(ctx, "acme", authos.BillingPolar, enKeys)
		},
		body: `{"api_key":"hush","webhook_secret":"hush too","mode":"live"}`, optional: true,
	},
	{
		name:  "Organizations.Billing.DeleteCredentials",
		setup: enBilling,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Billing.DeleteCredentials(ctx, "acme", authos.BillingStripe)
		},
		optional: true,
	},
	{
		name:  "Organizations.SIEM.List",
		setup: enSIEM,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SIEM.List(ctx, "acme")
		},
	},
	{
		name:  "Organizations.SIEM.Create",
		setup: enFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SIEM.Create(ctx, "acme", authos.SIEMCreateParams{
				Name: "logs", ProviderType: authos.SIEMSplunk, EndpointURL: "https://logs.acme.example", APIKey: "hush", BatchSize: 50,
			})
		},
		body: `{"name":"logs","provider_type":"Splunk","endpoint_url":"https://logs.acme.example","api_key":"hush","batch_size":50}`,
	},
	{
		name:  "Organizations.SIEM.Get",
		setup: enSIEM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.SIEM.Get(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.SIEM.Update",
		setup: enSIEM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.SIEM.Update(ctx, "acme", w.ID, authos.SIEMUpdateParams{
				EndpointURL: new("https://logs2.acme.example"), AuthHeader: new("hush"), Enabled: new(false),
			})
		},
		body: `{"endpoint_url":"https://logs2.acme.example","auth_header":"hush","enabled":false}`,
	},
	{
		name:  "Organizations.SIEM.Delete",
		setup: enSIEM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.SIEM.Delete(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.SIEM.Test",
		setup: enSIEM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.SIEM.Test(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.SCIMTokens.List",
		setup: enSCIM,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SCIMTokens.List(ctx, "acme")
		},
	},
	{
		name:  "Organizations.SCIMTokens.Create",
		setup: enFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SCIMTokens.Create(ctx, "acme", authos.SCIMTokenCreateParams{
				Name: "directory", ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC),
			})
		},
		body: `{"name":"directory","expires_at":"2099-01-02T03:04:05Z"}`,
	},
	{
		name:  "Organizations.SCIMTokens.Revoke",
		setup: enSCIM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.SCIMTokens.Revoke(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.SCIMTokens.Delete",
		setup: enSCIM,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.SCIMTokens.Delete(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.DomainRoutes.List",
		setup: enDomainRoute,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.DomainRoutes.List(ctx, "acme")
		},
	},
	{
		name:  "Organizations.DomainRoutes.Create",
		setup: enUpstream,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.DomainRoutes.Create(ctx, "acme", authos.DomainRouteCreateParams{
				Domain: "acme.example", UpstreamProviderID: w.ID, LoginPolicy: authos.LoginUpstreamOnly,
			})
		},
		body: `{"domain":"acme.example","upstream_provider_id":"$1","login_policy":"upstream_only"}`,
	},
	{
		name:  "Organizations.DomainRoutes.Update",
		setup: enDomainRoute,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.DomainRoutes.Update(ctx, "acme", w.ID, authos.DomainRouteUpdateParams{LoginPolicy: authos.LoginPasswordAllowed})
		},
		body: `{"login_policy":"password_allowed"}`,
	},
	{
		name:  "Organizations.DomainRoutes.Verify",
		setup: func(w *typedWorld) { enDomainRoute(w); w.Server.ProveDomain("acme") },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.DomainRoutes.Verify(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.DomainRoutes.Delete",
		setup: enDomainRoute,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.DomainRoutes.Delete(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.UpstreamProviders.List",
		setup: enUpstream,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.UpstreamProviders.List(ctx, "acme")
		},
	},
	{
		name:  "Organizations.UpstreamProviders.Create",
		setup: enFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.UpstreamProviders.Create(ctx, "acme", enProvider)
		},
		body: `{"connection_id":"okta","name":"Okta","provider_type":"oidc","client_id":"c","client_secret":"hush",` +
			`"discovery_url":"https://okta.example/.well-known/openid-configuration","scopes":"openid email","metadata":{"a":1},"enabled":true}`,
	},
	{
		name:  "Organizations.UpstreamProviders.Get",
		setup: enUpstream,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.UpstreamProviders.Get(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.UpstreamProviders.Update",
		setup: enUpstream,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.UpstreamProviders.Update(ctx, "acme", w.ID, authos.UpstreamProviderUpdateParams{Enabled: new(false)})
		},
		body: `{"enabled":false}`,
	},
	{
		name:  "Organizations.UpstreamProviders.Delete",
		setup: enUpstream,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.UpstreamProviders.Delete(ctx, "acme", w.ID)
		},
		optional: true,
	},
	{
		name:  "Organizations.Risk.Events",
		setup: func(w *typedWorld) { w.Server.AddRiskEvent("acme", asUser, 70, "new_device") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Risk.Events(ctx, "acme", authos.RiskEventListParams{MinScore: 50, Limit: 10, Page: 1})
		},
		query: "limit=10&min_score=50",
	},
	{
		name:  "Organizations.SAML.Get",
		setup: enSAML,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SAML.Get(ctx, "acme", "app")
		},
	},
	{
		name:  "Organizations.SAML.Set",
		setup: enFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.SAML.Set(ctx, "acme", "app", enSAMLParams)
		},
		body:     `{"enabled":true,"entity_id":"https://app.example","acs_url":"https://app.example/acs","attribute_mapping":{"email":"mail"},"sign_response":false}`,
		optional: true,
	},
	{
		name:  "Organizations.SAML.Delete",
		setup: enSAML,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.SAML.Delete(ctx, "acme", "app")
		},
		optional: true,
	},
	{
		name:  "Organizations.SAML.CreateCertificate",
		setup: enSAML,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SAML.CreateCertificate(ctx, "acme", "app")
		},
	},
	{
		name:  "Organizations.SAML.Certificate",
		setup: enCertificates,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SAML.Certificate(ctx, "acme", "app")
		},
	},
	{
		name:  "Organizations.SAML.RetireCertificates",
		setup: enCertificates,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SAML.RetireCertificates(ctx, "acme", "app")
		},
	},
	{
		name:  "Organizations.SAML.Metadata",
		setup: enCertificates,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SAML.Metadata(ctx, "acme", "app")
		},
		page: true,
	},
	{
		name: "Organizations.SAML.MetadataURL",
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return enOpen(ctx, w)(c.Organizations.SAML.MetadataURL("acme", "app"))
		},
		setup: enCertificates,
	},
	{
		name: "Organizations.Invitations.AcceptURL",
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return enOpen(ctx, w)(c.Organizations.Invitations.AcceptURL(authos.NewSecret(w.Secret)))
		},
		setup: func(w *typedWorld) { _, w.Secret = w.Server.AddInvitation("acme", "new@example.com", "member") },
	},
}

var (
	enKeys     = authos.BillingCredentialsSetParams{APIKey: "hush", WebhookSecret: "hush too", Mode: authos.BillingLive}
	enProvider = authos.UpstreamProviderCreateParams{
		ConnectionID: "okta", Name: "Okta", ProviderType: authos.UpstreamOIDC, ClientID: "c", ClientSecret: "hush",
		DiscoveryURL: "https://okta.example/.well-known/openid-configuration", Scopes: "openid email",
		Metadata: json.RawMessage(`{"a":1}`), Enabled: new(true),
	}
	enSAMLParams = authos.SAMLSetParams{
		Enabled: true, EntityID: "https://app.example", ACSURL: "https://app.example/acs",
		AttributeMapping: map[string]string{"email": "mail"}, SignResponse: new(false),
	}
)

// enFeatures turns on everything that a tier can leave out.
func enFeatures(w *typedWorld) {
	for _, name := range []string{"allow_custom_domain", "allow_saml_idp", "allow_scim", "allow_siem", "allow_branding", "allow_passkeys"} {
		w.Server.SetFeature("acme", name, true)
	}
}

func enBilling(w *typedWorld) {
	tenantDo(w, func(ctx context.Context, c *authos.Client) (any, error) {
		return nil, c.Organizations.Billing.SetCredentials(ctx, "acme", authos.BillingStripe, enKeys)
	})
}

func enSIEM(w *typedWorld) {
	enFeatures(w)
	w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.SIEMConfig, error) {
		return c.Organizations.SIEM.Create(ctx, "acme", authos.SIEMCreateParams{
			Name: "first", ProviderType: authos.SIEMDatadog, EndpointURL: "https://logs.acme.example",
		})
	}).ID
}

func enSCIM(w *typedWorld) {
	enFeatures(w)
	w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.SCIMTokenCreated, error) {
		return c.Organizations.SCIMTokens.Create(ctx, "acme", authos.SCIMTokenCreateParams{Name: "directory"})
	}).ID
}

func enUpstream(w *typedWorld) {
	enFeatures(w)
	w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.UpstreamProvider, error) {
		return c.Organizations.UpstreamProviders.Create(ctx, "acme", enProvider)
	}).ID
}

func enDomainRoute(w *typedWorld) {
	w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.DomainRoute, error) {
		return c.Organizations.DomainRoutes.Create(ctx, "acme", authos.DomainRouteCreateParams{Domain: "acme.example"})
	}).ID
}

func enSAML(w *typedWorld) {
	enFeatures(w)
	tenantDo(w, func(ctx context.Context, c *authos.Client) (any, error) {
		return nil, c.Organizations.SAML.Set(ctx, "acme", "app", enSAMLParams)
	})
}

func enCertificates(w *typedWorld) {
	enSAML(w)
	for range 2 {
		tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.SAMLCertificate, error) {
			return c.Organizations.SAML.CreateCertificate(ctx, "acme", "app")
		})
	}
}

// enOpen opens a link as a browser does, and returns what comes.
func enOpen(ctx context.Context, w *typedWorld) func(string, error) (any, error) {
	return func(target string, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, err
		}
		resp, err := w.Server.Transport().RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode >= http.StatusBadRequest {
			return nil, errors.New(target + " responds " + resp.Status)
		}
		return resp.Status, nil
	}
}

// Events are paged from 1 here and from 0 at the server, and All sees each of them once.
func TestRiskEventPages(t *testing.T) {
	w := newTypedWorld(t)
	for i := range 7 {
		w.Server.AddRiskEvent("acme", asUser, 10*i, "new_device")
	}
	c := w.Client(asOwner)
	w.Server.Reset()
	page, err := c.Organizations.Risk.Events(t.Context(), "acme", authos.RiskEventListParams{Limit: 3, Page: 2})
	if err != nil || len(page.Items) != 3 || page.Total != -1 || page.Items[0].RiskScore != 30 {
		t.Fatalf("second page %+v, %v; want 30, 20, 10", page, err)
	}
	if seen := w.Server.Requests(); seen[0].RawQuery != "limit=3&page=1" {
		t.Errorf("query %q", seen[0].RawQuery)
	}
	all, err := authos.AllItems(c.Organizations.Risk.AllEvents(t.Context(), "acme", authos.RiskEventListParams{Limit: 3}))
	if err != nil || len(all) != 7 || all[0].RiskScore != 60 || all[6].RiskScore != 0 {
		t.Errorf("all %+v, %v", all, err)
	}
}

// What is given of a secret to the server is printed, logged and marshalled nowhere.
func TestEnterpriseSecrets(t *testing.T) {
	const hush = "a secret that is long enough"
	for _, p := range []any{
		authos.BillingCredentialsSetParams{APIKey: hush, WebhookSecret: hush}, authos.UpstreamProviderCreateParams{ClientSecret: hush}, authos.SIEMCreateParams{APIKey: hush, AuthHeader: hush}, authos.SIEMUpdateParams{APIKey: new(hush)},
		authos.PrivacyForgetParams{CurrentPassword: hush, MFACode: hush},
	} {
		tenantHides(t, hush, p)
	}
	managed := authos.BootstrapConfig{Config: json.RawMessage(hush)}
	if text := fmt.Sprintf("%v %+v %#v %v", managed, &managed, managed, managed.LogValue()); strings.Contains(text, hush) {
		t.Errorf("the configuration is printed in %s", text)
	}
}

// A field of the wrong kind is refused before anything is sent, with all others.
func TestEnterpriseInputs(t *testing.T) {
	inputs(t, []tenantInput{
		{"portal", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Billing.Portal(ctx, "", "back"))
		}, "org_slug return_url"},
		{"credentials", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.Billing.SetCredentials(ctx, "acme", "cash", authos.BillingCredentialsSetParams{})
		}, "provider api_key webhook_secret mode"},
		{"log collector", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.SIEM.Create(ctx, "acme", authos.SIEMCreateParams{ProviderType: "datadog", EndpointURL: "x"}))
		}, "name provider_type endpoint_url"},
		{"identity provider without a secret", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.UpstreamProviders.Create(ctx, "acme", authos.UpstreamProviderCreateParams{
				ConnectionID: "a", Name: "b", ProviderType: authos.UpstreamOAuth2, ClientID: "c", AuthorizationURL: "https://a", TokenURL: "https://b",
			}))
		}, "client_secret discovery_url|authorization_url|token_url|userinfo_url"},
		{"SAML identity provider", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.UpstreamProviders.Create(ctx, "acme", authos.UpstreamProviderCreateParams{
				ConnectionID: "a", Name: "b", ProviderType: authos.UpstreamSAML, ClientID: "c",
			}))
		}, "authorization_url"},
		{"domain", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.DomainRoutes.Create(ctx, "acme", authos.DomainRouteCreateParams{Domain: "https://a.example", LoginPolicy: "none"}))
		}, "domain login_policy"},
		{"SAML", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.SAML.Set(ctx, "acme", "app", authos.SAMLSetParams{Enabled: true})
		}, "entity_id acs_url"},
		{"risk events", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Risk.Events(ctx, "acme", authos.RiskEventListParams{MinScore: 101, Limit: 101, Page: -1}))
		}, "limit page min_score"},
		{"passkey", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.User.Passkeys.FinishRegistration(ctx, authos.PasskeyFinishParams{Credential: json.RawMessage(`"x"`)}))
		}, "challenge_id credential"},
		{"passkey's name", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.User.Passkeys.Update(ctx, "p", authos.PasskeyUpdateParams{Name: strings.Repeat("x", 81)}))
		}, "name"},
		{"passkey sign-in", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Auth.StartPasskey(ctx, authos.StartPasskeyParams{Email: "x", OrgSlug: "acme"}))
		}, "email service_slug"},
		{"configuration", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Platform.Bootstrap.Update(ctx, authos.BootstrapUpdateParams{Config: json.RawMessage(`[]`)}))
		}, "config"},
	})
}
