package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

var serviceCases = []typedCase{
	{
		name: "Organizations.Services.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Services.List(ctx, "acme", authos.ServiceListParams{ServiceType: authos.ServiceTypeWeb, Limit: 5, Offset: 1})
		},
		query: "limit=5&offset=1&service_type=web",
	},
	{
		name: "Organizations.Services.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Services.Create(ctx, "acme", authos.ServiceCreateParams{
				Slug: "shop", Name: "Shop", ServiceType: authos.ServiceTypeMobile,
				GitHubScopes: []string{"user:email"}, MicrosoftScopes: []string{"User.Read"}, GoogleScopes: []string{},
				RedirectURIs: []string{"shop://callback"}, DeviceActivationURI: "https://shop.example/go", ResourceURIs: []string{"https://api.shop.example"},
			})
		},
		body: `{"slug":"shop","name":"Shop","service_type":"mobile","github_scopes":["user:email"],"microsoft_scopes":["User.Read"],"google_scopes":[],` +
			`"redirect_uris":["shop://callback"],"device_activation_uri":"https://shop.example/go","resource_uris":["https://api.shop.example"]}`,
	},
	{
		name: "Organizations.Services.Get",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Services.Get(ctx, "acme", "app")
		},
	},
	{
		name: "Organizations.Services.Update",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Services.Update(ctx, "acme", "app", authos.ServiceUpdateParams{
				Name: new("The App"), ServiceType: new(authos.ServiceTypeAPI), GitHubScopes: []string{"repo"}, MicrosoftScopes: []string{},
				GoogleScopes: []string{"openid"}, RedirectURIs: []string{"https://app.example/cb"}, DeviceActivationURI: new("https://app.example/go"),
				ResourceURIs: []string{"urn:app"},
			})
		},
		body: `{"name":"The App","service_type":"api","github_scopes":["repo"],"microsoft_scopes":[],"google_scopes":["openid"],` +
			`"redirect_uris":["https://app.example/cb"],"device_activation_uri":"https://app.example/go","resource_uris":["urn:app"]}`,
	},
	{
		name: "Organizations.Services.Delete",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.Services.Delete(ctx, "acme", "web")
		},
	},
	{
		name: "Organizations.Services.RotateSecret",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Services.RotateSecret(ctx, "acme", "app")
		},
	},
	{
		name:  "Organizations.Services.Checkout",
		setup: func(w *typedWorld) { w.ID = w.Server.AddPlan("acme", "app", "pro", 900) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Services.Checkout(ctx, "acme", "app", authos.CheckoutParams{
				PlanID: w.ID, SuccessURL: "https://app.example/ok?session={CHECKOUT_SESSION_ID}", CancelURL: "https://app.example/no",
			})
		},
		body: `{"plan_id":"$1","success_url":"https://app.example/ok?session={CHECKOUT_SESSION_ID}","cancel_url":"https://app.example/no"}`,
	},
	{
		name:  "Organizations.Plans.List",
		setup: func(w *typedWorld) { w.Server.AddPlan("acme", "app", "pro", 900) },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Plans.List(ctx, "acme", "app")
		},
	},
	{
		name: "Organizations.Plans.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Plans.Create(ctx, "acme", "app", authos.PlanCreateParams{
				Name: "pro", PriceCents: 900, Currency: "usd", Description: "All of it", Features: []string{"sso", "audit"},
				StripePriceID: "price_1", IsDefault: true,
			})
		},
		body: `{"name":"pro","price_cents":900,"currency":"usd","description":"All of it","features":["sso","audit"],"stripe_price_id":"price_1","is_default":true}`,
	},
	{
		name:  "Organizations.Plans.Update",
		setup: func(w *typedWorld) { w.ID = w.Server.AddPlan("acme", "app", "pro", 900) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Plans.Update(ctx, "acme", "app", w.ID, authos.PlanUpdateParams{
				Name: new("max"), PriceCents: new(0), Currency: new("eur"), Features: []string{}, Description: new(""),
				StripePriceID: new("price_2"), IsDefault: new(false),
			})
		},
		body: `{"name":"max","price_cents":0,"currency":"eur","features":[],"description":"","stripe_price_id":"price_2","is_default":false}`,
	},
	{
		name:  "Organizations.Plans.Delete",
		setup: func(w *typedWorld) { w.ID = w.Server.AddPlan("acme", "app", "pro", 900) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Plans.Delete(ctx, "acme", "app", w.ID)
		},
	},
	{
		name:  "Organizations.APIKeys.List",
		setup: func(w *typedWorld) { tenantKey(w); tenantKey(w) },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.APIKeys.List(ctx, "acme", "app", authos.APIKeyListParams{Limit: 1, Offset: 1})
		},
		query: "limit=1&offset=1",
	},
	{
		name: "Organizations.APIKeys.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.APIKeys.Create(ctx, "acme", "app", authos.APIKeyCreateParams{
				Name: "CI", Permissions: []authos.APIKeyPermission{authos.PermissionReadUsers, authos.ProviderTokensOf("github")},
				ExpiresIn: 90 * 24 * time.Hour,
			})
		},
		body: `{"name":"CI","permissions":["read:users","read:provider_tokens:github"],"expires_in_days":90}`,
	},
	{
		name:  "Organizations.APIKeys.Get",
		setup: func(w *typedWorld) { w.ID = tenantKey(w) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.APIKeys.Get(ctx, "acme", "app", w.ID)
		},
	},
	{
		name:  "Organizations.APIKeys.Delete",
		setup: func(w *typedWorld) { w.ID = tenantKey(w) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.APIKeys.Delete(ctx, "acme", "app", w.ID)
		},
	},
	{
		name: "Organizations.OAuthCredentials.Set",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.OAuthCredentials.Set(ctx, "acme", "github", authos.OAuthCredentialsSetParams{ClientID: "id", ClientSecret: "s3cret"})
		},
		body: `{"client_id":"id","client_secret":"s3cret"}`,
	},
	{
		name: "Organizations.OAuthCredentials.Get",
		setup: func(w *typedWorld) {
			tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.OAuthCredentials, error) {
				return c.Organizations.OAuthCredentials.Set(ctx, "acme", "google", authos.OAuthCredentialsSetParams{ClientID: "id", ClientSecret: "s3cret"})
			})
		},
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.OAuthCredentials.Get(ctx, "acme", "google")
		},
	},
}

func TestServices(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	services := c.Organizations.Services
	made, err := services.Create(ctx, "acme", authos.ServiceCreateParams{
		Slug: "shop", Name: "Shop", ServiceType: authos.ServiceTypeMobile, GitHubScopes: []string{"user:email"}, GoogleScopes: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"slug":"shop","name":"Shop","service_type":"mobile","github_scopes":["user:email"],"google_scopes":[]}`; tenantBody(w) != want {
		t.Errorf("Create sent %s, want %s", tenantBody(w), want)
	}
	if made.ID == "" || made.Slug != "shop" || made.ClientID == "" || made.ClientSecret.IsZero() || made.DefaultPlan.Name != "free" ||
		!made.DefaultPlan.IsDefault || made.DefaultPlan.Features == nil || made.Usage.CurrentServices != 3 || made.Usage.MaxServices != 5 {
		t.Errorf("Create = %+v", made)
	}
	if !reflect.DeepEqual(made.GitHubScopes, []string{"user:email"}) || made.GoogleScopes == nil || made.MicrosoftScopes != nil {
		t.Errorf("scopes %v, %v, %v; want one, none, and not set", made.GitHubScopes, made.GoogleScopes, made.MicrosoftScopes)
	}
	tenantHides(t, made.ClientSecret.Reveal(), made, *made, made.Service)
	if text, err := json.Marshal(made); err == nil {
		t.Errorf("a service with its secret is marshalled: %s", text)
	}

	got, err := services.Get(ctx, "acme", "shop")
	want := made.Service
	want.ClientSecret = authos.Secret{}
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("Get = %+v, %v, want %+v", got, err, want)
	}
	if text, err := json.Marshal(got); err != nil || !json.Valid(text) {
		t.Errorf("a service without its secret is not marshalled: %v", err)
	}
	changed, err := services.Update(ctx, "acme", "shop", authos.ServiceUpdateParams{Name: new("The Shop")})
	if want.Name = "The Shop"; err != nil || !reflect.DeepEqual(*changed, want) || tenantBody(w) != `{"name":"The Shop"}` {
		t.Errorf("Update = %+v, %v, having sent %s; want %+v", changed, err, tenantBody(w), want)
	}

	rotated, err := services.RotateSecret(ctx, "acme", "shop")
	if err != nil || rotated.ClientSecret.IsZero() || rotated.ClientSecret == made.ClientSecret || rotated.Slug != "shop" ||
		!rotated.Service.ClientSecret.IsZero() {
		t.Errorf("RotateSecret = %+v, %v", rotated, err)
	}
	tenantHides(t, rotated.ClientSecret.Reveal(), rotated, *rotated)

	w.Server.AddSubscription(asUser, w.Server.AddPlan("acme", "app", "pro", 900))
	page, err := services.List(ctx, "acme", authos.ServiceListParams{})
	if err != nil || len(page.Items) != 3 || page.Total != -1 || page.Usage.CurrentServices != 3 || page.Usage.TierName == "" {
		t.Fatalf("List = %+v, %v", page, err)
	}
	if s := page.Items[0]; s.Slug != "app" || s.PlanCount != 2 || s.SubscriptionCount != 1 {
		t.Errorf("List has %+v first", s)
	}
	if page, err := services.List(ctx, "acme", authos.ServiceListParams{ServiceType: authos.ServiceTypeMobile}); err != nil || len(page.Items) != 1 {
		t.Errorf("List of mobile apps = %+v, %v", page, err)
	}
	if page, err := services.List(ctx, "acme", authos.ServiceListParams{Limit: 1000}); err != nil || len(page.Items) != 3 {
		t.Errorf("List with a limit of 1000 = %+v, %v", page, err)
	}
	// A plain member sees what was granted, and the usage counts no more than that.
	w.Server.Reset()
	access := []authos.ServiceAccessGrant{{ServiceSlug: "shop", Access: authos.AccessViewer}}
	if _, err := c.Organizations.Members.UpdateServiceAccess(ctx, "acme", w.Server.AddUser(asMember, "").ID, access); err != nil {
		t.Fatal(err)
	}
	page, err = w.Client(asMember).Organizations.Services.List(ctx, "acme", authos.ServiceListParams{})
	if err != nil || len(page.Items) != 1 || page.Items[0].Slug != "shop" || page.Usage.CurrentServices != 1 {
		t.Errorf("a member's List = %+v, %v, want what was granted", page, err)
	}
	if err := services.Delete(ctx, "acme", "shop"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if _, err := services.Get(ctx, "acme", "shop"); !errors.Is(err, authos.ErrNotFound) {
		t.Errorf("Get of a deleted service = %v, want 404", err)
	}
}

// Each field by itself is a change that the server takes.
func TestServiceUpdates(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	for sent, p := range map[string]authos.ServiceUpdateParams{
		`{"name":"x"}`:                                     {Name: new("x")},
		`{"service_type":"desktop"}`:                       {ServiceType: new(authos.ServiceTypeDesktop)},
		`{"github_scopes":[]}`:                             {GitHubScopes: []string{}},
		`{"microsoft_scopes":["User.Read"]}`:               {MicrosoftScopes: []string{"User.Read"}},
		`{"google_scopes":[]}`:                             {GoogleScopes: []string{}},
		`{"redirect_uris":["/anything"]}`:                  {RedirectURIs: []string{"/anything"}},
		`{"device_activation_uri":""}`:                     {DeviceActivationURI: new("")},
		`{"resource_uris":["urn:a","https://b.example/"]}`: {ResourceURIs: []string{"urn:a", "https://b.example/"}},
	} {
		if _, err := c.Organizations.Services.Update(t.Context(), "acme", "app", p); err != nil || tenantBody(w) != sent {
			t.Errorf("Update = %v, having sent %s, want %s", err, tenantBody(w), sent)
		}
	}
	for sent, p := range map[string]authos.PlanUpdateParams{
		`{"name":"x"}`: {Name: new("x")}, `{"price_cents":0}`: {PriceCents: new(0)}, `{"currency":"eur"}`: {Currency: new("eur")},
		`{"features":[]}`: {Features: []string{}},
	} {
		id := w.Server.AddPlan("acme", "web", "free", 0)
		if _, err := c.Organizations.Plans.Update(t.Context(), "acme", "web", id, p); err != nil || tenantBody(w) != sent {
			t.Errorf("Update = %v, having sent %s, want %s", err, tenantBody(w), sent)
		}
	}
}

// Slugs of services have no rule, so that anything that is one path segment must survive being one.
func TestServiceSlugs(t *testing.T) {
	w := newTypedWorld(t)
	w.Server.SetLimits("acme", 10, -1)
	c := w.Client(asOwner)
	for _, slug := range []string{"a", "Über Shop", "50% off", "a?x=1#y", "..."} {
		if _, err := c.Organizations.Services.Create(t.Context(), "acme", authos.ServiceCreateParams{Slug: slug, Name: "x", ServiceType: "api"}); err != nil {
			t.Errorf("Create(%q) = %v", slug, err)
		}
		if got, err := c.Organizations.Services.Get(t.Context(), "acme", slug); err != nil || got.Slug != slug {
			t.Errorf("Get(%q) = %+v, %v", slug, got, err)
		}
	}
}

func TestServiceSAML(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `{"id":"s","client_secret":null,"saml_enabled":true,"saml_entity_id":"urn:app",` +
		`"saml_acs_url":"https://app.example/acs","saml_slo_url":"https://app.example/slo","saml_name_id_format":"emailAddress",` +
		`"saml_attribute_mapping":{"mail":"email"},"saml_sign_assertions":true,"saml_sign_response":true,"service_type":"kiosk"}`}))
	got, err := c.Organizations.Services.Get(t.Context(), "acme", "app")
	want := &authos.Service{
		ID: "s", ServiceType: "kiosk", SAMLEnabled: true, SAMLEntityID: "urn:app", SAMLACSURL: "https://app.example/acs",
		SAMLSLOURL: "https://app.example/slo", SAMLNameIDFormat: "emailAddress", SAMLAttributeMapping: map[string]string{"mail": "email"},
		SAMLSignAssertions: true, SAMLSignResponse: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Get = %+v, %v, want %+v", got, err, want)
	}
}

func TestPlans(t *testing.T) {
	w := newTypedWorld(t)
	ctx, plans := t.Context(), w.Client(asOwner).Organizations.Plans
	made, err := plans.Create(ctx, "acme", "app", authos.PlanCreateParams{Name: "trial", Currency: "usd", Features: []string{"sso", "audit"}})
	if err != nil || made.Name != "trial" || made.PriceCents != 0 || !slices.Equal(made.Features, []string{"sso", "audit"}) || made.SubscriptionCount != 0 {
		t.Fatalf("Create = %+v, %v", made, err)
	}
	if want := `{"name":"trial","price_cents":0,"currency":"usd","features":["sso","audit"]}`; tenantBody(w) != want {
		t.Errorf("Create sent %s, want %s", tenantBody(w), want)
	}
	w.Server.AddSubscription(asUser, made.ID)
	for _, step := range []struct {
		name string
		p    authos.PlanUpdateParams
		sent string
		want func(p *authos.PlanDetails) bool
	}{
		{"price", authos.PlanUpdateParams{PriceCents: new(900)}, `{"price_cents":900}`, func(p *authos.PlanDetails) bool {
			return p.PriceCents == 900 && p.Name == "trial" && len(p.Features) == 2
		}},
		{"description", authos.PlanUpdateParams{Name: new("pro"), Description: new("Best"), IsDefault: new(true)},
			`{"name":"pro","description":"Best","is_default":true}`, func(p *authos.PlanDetails) bool {
				return p.Name == "pro" && p.Description == "Best" && p.IsDefault && p.PriceCents == 900
			}},
		{"features", authos.PlanUpdateParams{Features: []string{}}, `{"features":[]}`, func(p *authos.PlanDetails) bool {
			return p.Features != nil && len(p.Features) == 0 && p.Description == "Best"
		}},
	} {
		got, err := plans.Update(ctx, "acme", "app", made.ID, step.p)
		if err != nil || tenantBody(w) != step.sent || !step.want(got) || got.SubscriptionCount != 1 {
			t.Errorf("Update of %s = %+v, %v, having sent %s, want %s", step.name, got, err, tenantBody(w), step.sent)
		}
	}
	list, err := plans.List(ctx, "acme", "app")
	if err != nil || len(list) != 2 || list[1].ID != made.ID || list[1].SubscriptionCount != 1 {
		t.Errorf("List = %+v, %v", list, err)
	}
	if err := plans.Delete(ctx, "acme", "app", list[0].ID); err != nil {
		t.Errorf("Delete = %v", err)
	}
}

func TestPlansAll(t *testing.T) {
	unpaged(t, "/api/organizations/:org_slug/services/:service_slug/plans", func(ctx context.Context, c *authos.Client) iter.Seq2[string, error] {
		return tenantIDs(c.Organizations.Plans.All(ctx, "acme", "app"), func(p authos.PlanDetails) string { return p.Name })
	}, []string{"free"})
}

// The features of a plan are JSON inside a string, or just JSON, or nothing.
func TestPlanFeatures(t *testing.T) {
	for features, want := range map[string]authos.Features{
		`"[\"a\",\"b\"]"`: {"a", "b"}, `["a","b"]`: {"a", "b"}, `"[]"`: {}, `null`: nil, `""`: nil,
	} {
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `[{"plan":{"id":"p","features":` + features + `}}]`}))
		got, err := c.Organizations.Plans.List(t.Context(), "acme", "app")
		if err != nil || !reflect.DeepEqual(got[0].Features, want) {
			t.Errorf("features %s: %#v, %v, want %#v", features, got, err, want)
		}
	}
	c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `[{"plan":{"id":"p","features":"a, b"}}]`}))
	if got, err := c.Organizations.Plans.List(t.Context(), "acme", "app"); !tenantBroken(err) {
		t.Errorf("features that are no JSON: %v, %v, want a DecodeError", got, err)
	}
}

func tenantBroken(err error) bool {
	_, ok := errors.AsType[*authos.DecodeError](err)
	return ok
}

func TestAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		ctx, c := t.Context(), w.Client(asOwner)
		keys := c.Organizations.APIKeys
		var resp authos.Response
		made, err := keys.Create(ctx, "acme", "app", authos.APIKeyCreateParams{
			Name: "CI", Permissions: []authos.APIKeyPermission{authos.PermissionReadUsers}, ExpiresIn: 7 * 24 * time.Hour,
		}, authos.WithResponse(&resp))
		if err != nil || resp.StatusCode != 201 {
			t.Fatalf("Create = %v, status %d", err, resp.StatusCode)
		}
		if life := made.ExpiresAt.Sub(made.CreatedAt.Time); life != 7*24*time.Hour || made.CreatedBy == "" || !made.LastUsedAt.IsZero() {
			t.Errorf("Create = %+v, want a key for a week, not used yet", made)
		}
		tenantHides(t, made.Key.Reveal(), made, *made)
		backend, err := c.With(authos.WithAPIKey(made.Key.Reveal()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backend.Service.Users.List(ctx, authos.ServiceUserListParams{}); err != nil {
			t.Errorf("the key does not open what it allows: %v", err)
		}
		if _, err := backend.Service.Info(ctx); !errors.Is(err, authos.ErrForbidden) {
			t.Errorf("the key opens what it does not allow: %v", err)
		}
		got, err := keys.Get(ctx, "acme", "app", made.ID)
		if err != nil || got.LastUsedAt.IsZero() || !slices.Equal(got.Permissions, made.Permissions) || got.Prefix != made.Prefix {
			t.Errorf("Get = %+v, %v", got, err)
		}
		forever, err := keys.Create(ctx, "acme", "app", authos.APIKeyCreateParams{Name: "x", Permissions: got.Permissions})
		if err != nil || !forever.ExpiresAt.IsZero() || tenantBody(w) != `{"name":"x","permissions":["read:users"]}` {
			t.Errorf("Create without expiry = %+v, %v, having sent %s", forever, err, tenantBody(w))
		}
		if err := keys.Delete(ctx, "acme", "app", made.ID); err != nil {
			t.Errorf("Delete = %v", err)
		}
		if _, err := backend.Service.Users.List(ctx, authos.ServiceUserListParams{}); !errors.Is(err, authos.ErrUnauthenticated) {
			t.Errorf("a deleted key still works: %v", err)
		}
	})
}

// Everything that the server takes as a permission is taken here.
func TestAPIKeyPermissions(t *testing.T) {
	w := newTypedWorld(t)
	all := []authos.APIKeyPermission{
		"read:users", "write:users", "delete:users", "read:subscriptions", "write:subscriptions", "delete:subscriptions", "read:analytics",
		"read:service", "write:service", "read:provider_tokens", "read:provider_tokens:github", "read:provider_tokens:My.idp-1_x",
	}
	made, err := w.Client(asOwner).Organizations.APIKeys.Create(t.Context(), "acme", "app", authos.APIKeyCreateParams{Name: "all", Permissions: all})
	if err != nil || !slices.Equal(made.Permissions, all) {
		t.Errorf("Create = %+v, %v", made, err)
	}
	named := []authos.APIKeyPermission{
		authos.PermissionReadUsers, authos.PermissionWriteUsers, authos.PermissionDeleteUsers, authos.PermissionReadSubscriptions,
		authos.PermissionWriteSubscriptions, authos.PermissionDeleteSubscriptions, authos.PermissionReadAnalytics, authos.PermissionReadService,
		authos.PermissionWriteService, authos.PermissionReadProviderTokens, authos.ProviderTokensOf("github"), authos.ProviderTokensOf("My.idp-1_x"),
	}
	if !slices.Equal(named, all) {
		t.Errorf("the names stand for %q, want %q", named, all)
	}
}

func TestOAuthCredentials(t *testing.T) {
	w := newTypedWorld(t)
	ctx, credentials := t.Context(), w.Client(asOwner).Organizations.OAuthCredentials
	p := authos.OAuthCredentialsSetParams{ClientID: "client-1", ClientSecret: "gh-secret-0123456789"}
	want := authos.OAuthCredentials{Provider: "microsoft", ClientID: "client-1", HasSecret: true}
	if got, err := credentials.Set(ctx, "acme", "microsoft", p); err != nil || *got != want {
		t.Errorf("Set = %+v, %v, want %+v", got, err, want)
	}
	if got, err := credentials.Get(ctx, "acme", "microsoft"); err != nil || *got != want {
		t.Errorf("Get = %+v, %v, want %+v", got, err, want)
	}
	tenantHides(t, p.ClientSecret, p, &p, struct {
		P authos.OAuthCredentialsSetParams
	}{p})
	if _, err := credentials.Set(ctx, "acme", "gitlab", p); err != nil {
		tenantHides(t, p.ClientSecret, err)
	}
}

func TestServicePages(t *testing.T) {
	const five = 5
	tenantPages(t, []paging{
		{
			name: "services",
			setup: func(w *typedWorld) {
				for i := range five - 2 {
					w.Server.AddService("acme", "more"+strconv.Itoa(i))
				}
			},
			page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
				page, err := c.Organizations.Services.List(ctx, "acme", authos.ServiceListParams{ServiceType: "web", Limit: 2, Offset: 2 * n})
				if err != nil {
					return nil, 0, err
				}
				return tenantPage(&page.Page, nil, func(s authos.ServiceSummary) string { return s.ID })
			},
			all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
				seq := c.Organizations.Services.All(ctx, "acme", authos.ServiceListParams{ServiceType: "web", Limit: limit})
				return tenantIDs(seq, func(s authos.ServiceSummary) string { return s.ID })
			},
			route: "/api/organizations/:org_slug/services",
			total: -1, beyond: -1, query: "limit=100&service_type=web",
		},
		{
			name: "API keys",
			setup: func(w *typedWorld) {
				for range five {
					w.Server.AddServiceAPIKey("acme", "app")
				}
			},
			page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
				page, err := c.Organizations.APIKeys.List(ctx, "acme", "app", authos.APIKeyListParams{Limit: 2, Offset: 2 * n})
				return tenantPage(page, err, func(k authos.APIKey) string { return k.ID })
			},
			all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
				seq := c.Organizations.APIKeys.All(ctx, "acme", "app", authos.APIKeyListParams{Limit: limit})
				return tenantIDs(seq, func(k authos.APIKey) string { return k.ID })
			},
			route: "/api/organizations/:org_slug/services/:service_slug/api-keys",
			total: five, beyond: five, query: "limit=100",
		},
	})
}

func TestServiceErrors(t *testing.T) {
	suspend := func(w *typedWorld) { w.Server.SuspendOrg("acme") }
	pro := func(w *typedWorld) { w.ID = w.Server.AddPlan("acme", "app", "pro", 900) }
	subscribed := func(w *typedWorld) { pro(w); w.Server.AddSubscription(asUser, w.ID) }
	shop := authos.ServiceCreateParams{Slug: "shop", Name: "Shop", ServiceType: authos.ServiceTypeWeb}
	duplicate := []error{authos.CodeDuplicateConstraint, authos.CodeResourceAlreadyExists, authos.ErrConflict, authos.ErrInvalid}
	tenantErrors(t, []tenantError{
		{name: "services of a suspended organization", setup: suspend, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.List(ctx, "acme", authos.ServiceListParams{}))
		}, status: 403, is: tenantInactive},
		{name: "too many services", setup: func(w *typedWorld) { w.Server.SetLimits("acme", 2, -1) },
			call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
				return tenantErr(c.Organizations.Services.Create(ctx, "acme", shop))
			}, status: 400, is: []error{authos.CodeServiceLimitExceeded, authos.ErrInvalid}},
		{name: "service taken", setup: func(w *typedWorld) { w.Server.AddService("acme", "shop"); w.Server.SetLimits("acme", 9, -1) },
			call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
				return tenantErr(c.Organizations.Services.Create(ctx, "acme", shop))
			}, status: 400, is: duplicate, docStatus: 409, docIs: tenantConflict, october: 500},
		{name: "service by a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.Create(ctx, "acme", shop))
		}, status: 403, is: tenantForbidden},
		{name: "no service", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.Get(ctx, "acme", "nope"))
		}, status: 404, is: tenantMissing},
		{name: "service not granted", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.Get(ctx, "acme", "app"))
		}, status: 403, is: tenantForbidden},
		{name: "viewer changes a service", as: asMember, setup: func(w *typedWorld) {
			tenantDo(w, func(ctx context.Context, c *authos.Client) ([]authos.MemberServiceAccess, error) {
				return c.Organizations.Members.UpdateServiceAccess(ctx, "acme", w.Server.AddUser(asMember, "").ID,
					[]authos.ServiceAccessGrant{{ServiceSlug: "app", Access: authos.AccessViewer}})
			})
		}, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.Update(ctx, "acme", "app", authos.ServiceUpdateParams{Name: new("x")}))
		}, status: 403, is: tenantForbidden, october: tenantNotThere},
		{name: "secret of no service", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.RotateSecret(ctx, "acme", "nope"))
		}, status: 404, is: tenantMissing},
		{name: "service deleted by an admin", as: "ada@example.com", setup: func(w *typedWorld) { w.Server.AddMember("acme", "ada@example.com", "admin") },
			call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
				return c.Organizations.Services.Delete(ctx, "acme", "app")
			}, status: 403, is: tenantForbidden},
		{name: "service in use deleted", setup: subscribed, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.Services.Delete(ctx, "acme", "app")
		}, status: 400, is: tenantBad},
		{name: "checkout of a plan without a price", setup: func(w *typedWorld) {
			w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) ([]authos.PlanDetails, error) {
				return c.Organizations.Plans.List(ctx, "acme", "app")
			})[0].ID
		}, call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return tenantErr(c.Organizations.Services.Checkout(ctx, "acme", "app", authos.CheckoutParams{PlanID: w.ID, SuccessURL: "https://a.example", CancelURL: "app://no"}))
		}, status: 400, is: tenantBad},
		{name: "checkout of no plan", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Services.Checkout(ctx, "acme", "app", authos.CheckoutParams{PlanID: "x", SuccessURL: "https://a.example", CancelURL: "https://a.example"}))
		}, status: 404, is: tenantMissing},

		{name: "plan taken", setup: pro, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Plans.Create(ctx, "acme", "app", authos.PlanCreateParams{Name: "pro", Currency: "usd"}))
		}, status: 400, is: duplicate, docStatus: 409, docIs: tenantConflict, october: 500},
		{name: "plan renamed to one that is there", setup: pro, call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return tenantErr(c.Organizations.Plans.Update(ctx, "acme", "app", w.ID, authos.PlanUpdateParams{Name: new("free")}))
		}, status: 400, is: duplicate, docStatus: 409, docIs: tenantConflict},
		{name: "no plan to change", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Plans.Update(ctx, "acme", "app", "nope", authos.PlanUpdateParams{PriceCents: new(1)}))
		}, status: 404, is: tenantMissing},
		{name: "plan in use deleted", setup: subscribed, call: func(ctx context.Context, c *authos.Client, w *typedWorld) error {
			return c.Organizations.Plans.Delete(ctx, "acme", "app", w.ID)
		}, status: 400, is: tenantBad},
		{name: "no plan to delete", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.Plans.Delete(ctx, "acme", "app", "nope")
		}, status: 404, is: tenantMissing},
		{name: "plans not granted", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Plans.List(ctx, "acme", "app"))
		}, status: 403, is: tenantForbidden},

		{name: "API key by a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.APIKeys.Create(ctx, "acme", "app", authos.APIKeyCreateParams{Name: "x", Permissions: []authos.APIKeyPermission{"read:users"}}))
		}, status: 403, is: tenantForbidden},
		{name: "no API key", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.APIKeys.Get(ctx, "acme", "app", "nope"))
		}, status: 404, is: tenantMissing},
		{name: "no API key to delete", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.APIKeys.Delete(ctx, "acme", "app", "nope")
		}, status: 404, is: tenantMissing},
		{name: "API keys of a suspended organization", setup: suspend, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.APIKeys.List(ctx, "acme", "app", authos.APIKeyListParams{}))
		}, status: 403, is: tenantInactive},

		{name: "no OAuth credentials", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.OAuthCredentials.Get(ctx, "acme", "github"))
		}, status: 404, is: tenantMissing},
		{name: "OAuth credentials by a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.OAuthCredentials.Get(ctx, "acme", "github"))
		}, status: 403, is: tenantForbidden},
		{name: "OAuth credentials of a suspended organization", setup: suspend, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.OAuthCredentials.Set(ctx, "acme", "github", authos.OAuthCredentialsSetParams{ClientID: "a", ClientSecret: "b"}))
		}, status: 403, is: tenantInactive},
	})
}

func TestServiceInputs(t *testing.T) {
	none := []string{}
	const changes = "name|service_type|github_scopes|microsoft_scopes|google_scopes|redirect_uris|device_activation_uri|resource_uris"
	inputs(t, []tenantInput{
		{"Services.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.List(ctx, "", authos.ServiceListParams{Limit: -1, Offset: -1}))
		}, "org_slug limit offset"},
		{"Services.Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Create(ctx, "", authos.ServiceCreateParams{RedirectURIs: none, ResourceURIs: none}))
		}, "org_slug slug name service_type redirect_uris resource_uris"},
		{"Services.Create values", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Create(ctx, "acme", authos.ServiceCreateParams{
				Slug: "..", Name: "x", ServiceType: "kiosk", ResourceURIs: []string{"/shop", "https://shop.example", ""},
			}))
		}, "slug service_type resource_uris[0] resource_uris[2]"},
		{"Services.Get", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Get(ctx, "", "."))
		}, "org_slug service_slug"},
		{"Services.Update of nothing", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Update(ctx, "", "", authos.ServiceUpdateParams{}))
		}, "org_slug service_slug " + changes},
		{"Services.Update", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Update(ctx, "acme", "app", authos.ServiceUpdateParams{
				ServiceType: new(authos.ServiceType("")), RedirectURIs: none, ResourceURIs: []string{"x"},
			}))
		}, "service_type redirect_uris resource_uris[0]"},
		{"Services.Delete", func(ctx context.Context, c *authos.Client) error { return c.Organizations.Services.Delete(ctx, "", "") }, "org_slug service_slug"},
		{"Services.RotateSecret", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.RotateSecret(ctx, "", ""))
		}, "org_slug service_slug"},
		{"Services.Checkout", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Services.Checkout(ctx, "", "", authos.CheckoutParams{SuccessURL: "/ok"}))
		}, "org_slug service_slug plan_id success_url cancel_url"},

		{"Plans.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Plans.List(ctx, "", ""))
		}, "org_slug service_slug"},
		{"Plans.Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Plans.Create(ctx, "", "", authos.PlanCreateParams{}))
		}, "org_slug service_slug name currency"},
		{"Plans.Update of nothing", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Plans.Update(ctx, "", "", "", authos.PlanUpdateParams{}))
		}, "org_slug service_slug plan_id name|price_cents|currency|features"},
		{"Plans.Update of what the server overlooks", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Plans.Update(ctx, "acme", "app", "p", authos.PlanUpdateParams{
				Description: new("x"), StripePriceID: new("x"), IsDefault: new(true),
			}))
		}, "name|price_cents|currency|features"},
		{"Plans.Delete", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.Plans.Delete(ctx, "", "", "")
		}, "org_slug service_slug plan_id"},

		{"APIKeys.List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.APIKeys.List(ctx, "", "", authos.APIKeyListParams{Limit: 101, Offset: -1}))
		}, "org_slug service_slug limit offset"},
		{"APIKeys.Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.APIKeys.Create(ctx, "", "", authos.APIKeyCreateParams{Name: " ", ExpiresIn: -24 * time.Hour}))
		}, "org_slug service_slug name permissions expires_in_days"},
		{"APIKeys.Create values", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.APIKeys.Create(ctx, "acme", "app", authos.APIKeyCreateParams{
				Name: "x", ExpiresIn: 36 * time.Hour,
				Permissions: []authos.APIKeyPermission{"read:users", "read:everything", "", "read:provider_tokens:", "read:provider_tokens:a b", "Read:users"},
			}))
		}, "permissions[1] permissions[2] permissions[3] permissions[4] permissions[5] expires_in_days"},
		{"APIKeys.Get", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.APIKeys.Get(ctx, "", "", ""))
		}, "org_slug service_slug api_key_id"},
		{"APIKeys.Delete", func(ctx context.Context, c *authos.Client) error {
			return c.Organizations.APIKeys.Delete(ctx, "", "", "")
		}, "org_slug service_slug api_key_id"},

		{"OAuthCredentials.Set", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.OAuthCredentials.Set(ctx, "", "", authos.OAuthCredentialsSetParams{}))
		}, "org_slug provider client_id client_secret"},
		{"OAuthCredentials.Get", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.OAuthCredentials.Get(ctx, "acme", "gitlab"))
		}, "provider"},
	})
}

// An empty redirect URI is nobody's wish.
func TestServiceEmptyRedirectURI(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	w.Server.Reset()
	_, err := c.Organizations.Services.Create(t.Context(), "acme", authos.ServiceCreateParams{
		Slug: "s", Name: "S", ServiceType: authos.ServiceTypeWeb, RedirectURIs: []string{"https://a.example.com", ""},
	})
	typedInvalid(t, "create", err, "redirect_uris[1]")
	_, err = c.Organizations.Services.Update(t.Context(), "acme", "web", authos.ServiceUpdateParams{RedirectURIs: []string{" "}})
	typedInvalid(t, "update", err, "redirect_uris[0]")
	if got := w.Server.Requests(); len(got) != 0 {
		t.Errorf("the server saw %+v", got)
	}
}
