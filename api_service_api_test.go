package authos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

func keyUser(w *typedWorld) { w.ID = w.Server.AddServiceUser(asUser).ID }

func keyPlan(w *typedWorld) {
	keyUser(w)
	w.ID2 = w.Server.AddPlan("acme", "app", "pro", 900)
}

func keySubscription(w *typedWorld) {
	keyPlan(w)
	w.Server.AddSubscription(asUser, w.ID2)
}

var keyPeriodEnd = time.Date(2031, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))

var serviceAPICases = []typedCase{
	{
		name: "Service.Info",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.Service.Info(ctx) },
	},
	{
		name: "Service.UpdateInfo",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Service.UpdateInfo(ctx, authos.ServiceInfoUpdateParams{Name: new("New name")})
		},
		body: `{"name":"New name"}`,
	},
	{
		name:  "Service.Analytics",
		setup: keySubscription,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Service.Analytics(ctx)
		},
	},
	{
		name: "Service.ProviderToken",
		setup: func(w *typedWorld) {
			keyUser(w)
			w.Server.AllowProvider("acme", "app", "github", "repo", "user:email")
			w.Server.LinkProvider(asUser, "github")
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.ProviderToken(ctx, authos.ProviderTokenParams{
				UserID: w.ID, Provider: "github", Scopes: []string{"repo"}, State: "s",
			})
		},
		body: `{"user_id":"$1","provider":"github","scopes":["repo"],"state":"s"}`,
	},
	{
		name:  "Service.Users.List",
		setup: keyUser,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Service.Users.List(ctx, authos.ServiceUserListParams{Limit: 3})
		},
		query: "limit=3",
	},
	{
		name: "Service.Users.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "new@example.com"})
		},
		body: `{"email":"new@example.com"}`,
	},
	{
		name:  "Service.Users.Get",
		setup: keyUser,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.Users.Get(ctx, w.ID)
		},
	},
	{
		name:  "Service.Users.Update",
		setup: keyUser,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.Users.Update(ctx, w.ID, authos.ServiceUserUpdateParams{})
		},
		body: `{}`,
	},
	{
		name:  "Service.Users.Delete",
		setup: keyUser,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Service.Users.Delete(ctx, w.ID)
		},
	},
	{
		name:  "Service.Subscriptions.List",
		setup: keySubscription,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Service.Subscriptions.List(ctx, authos.ServiceSubscriptionListParams{Status: authos.SubscriptionActive, Limit: 3})
		},
		query: "limit=3&status=active",
	},
	{
		name:  "Service.Subscriptions.Create",
		setup: keyPlan,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.Subscriptions.Create(ctx, authos.ServiceSubscriptionCreateParams{
				UserID: w.ID, PlanID: w.ID2, CurrentPeriodEnd: keyPeriodEnd,
			})
		},
		body: `{"user_id":"$1","plan_id":"$2","current_period_end":"2031-02-03T04:05:06+01:00"}`,
	},
	{
		name:  "Service.Subscriptions.Get",
		setup: keySubscription,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.Subscriptions.Get(ctx, w.ID)
		},
	},
	{
		name:  "Service.Subscriptions.Update",
		setup: keySubscription,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Service.Subscriptions.Update(ctx, w.ID, authos.ServiceSubscriptionUpdateParams{Status: "paused"})
		},
		body: `{"status":"paused"}`,
	},
	{
		name:  "Service.Subscriptions.Delete",
		setup: keySubscription,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Service.Subscriptions.Delete(ctx, w.ID)
		},
	},
}

func TestServiceSubscriptions(t *testing.T) {
	for _, options := range newerContracts {
		w := newTypedWorld(t, options...)
		keyPlan(w)
		c := w.Client(asKey)
		subs := c.Service.Subscriptions
		if _, err := subs.Get(t.Context(), w.ID); !errors.Is(err, authos.ErrNotFound) {
			t.Errorf("no subscription yet: %v", err)
		}
		made, err := subs.Create(t.Context(), authos.ServiceSubscriptionCreateParams{UserID: w.ID, PlanID: w.ID2, CurrentPeriodEnd: keyPeriodEnd})
		if err != nil {
			t.Fatal(err)
		}
		if !made.CurrentPeriodEnd.Equal(keyPeriodEnd) || made.PlanName != "pro" || made.Status != authos.SubscriptionActive {
			t.Errorf("made %+v", made)
		}
		changed, err := subs.Update(t.Context(), w.ID, authos.ServiceSubscriptionUpdateParams{Status: "on hold"})
		if err != nil || changed.Status != "on hold" || !changed.CurrentPeriodEnd.Equal(keyPeriodEnd) {
			t.Errorf("changed %+v, %v", changed, err)
		}
		foreign := w.Server.AddPlan("acme", "web", "other", 1)
		for name, p := range map[string]struct {
			params authos.ServiceSubscriptionCreateParams
			want   error
		}{
			"another service's plan": {authos.ServiceSubscriptionCreateParams{UserID: w.ID, PlanID: foreign}, authos.ErrForbidden},
			"no such plan":           {authos.ServiceSubscriptionCreateParams{UserID: w.ID, PlanID: "none"}, authos.ErrNotFound},
			"no such user":           {authos.ServiceSubscriptionCreateParams{UserID: "none", PlanID: w.ID2}, authos.ErrNotFound},
		} {
			if _, err := subs.Create(t.Context(), p.params); !errors.Is(err, p.want) {
				t.Errorf("%s: %v, want %v", name, err, p.want)
			}
		}
		if err := subs.Delete(t.Context(), w.ID); err != nil {
			t.Fatal(err)
		}
		if err := subs.Delete(t.Context(), w.ID); !errors.Is(err, authos.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		poor, err := c.With(authos.WithAPIKey(w.Server.AddAPIKey("read:users")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := poor.Service.Subscriptions.List(t.Context(), authos.ServiceSubscriptionListParams{}); !errors.Is(err, authos.ErrForbidden) {
			t.Errorf("a key that may not: %v", err)
		}
		if _, err := poor.Service.Analytics(t.Context()); !errors.Is(err, authos.ErrForbidden) {
			t.Errorf("a key that may not count: %v", err)
		}
	}
}

func TestServiceSubscriptionsAll(t *testing.T) {
	w := newTypedWorld(t)
	plan := w.Server.AddPlan("acme", "app", "pro", 900)
	want := map[string]bool{}
	for i := range 7 {
		u := w.Server.AddServiceUser(fmt.Sprintf("u%d@example.com", i))
		w.Server.AddSubscription(u.Email, plan)
		want[u.ID] = true
	}
	c := w.Client(asKey)
	w.Server.Reset()
	for s, err := range c.Service.Subscriptions.All(t.Context(), authos.ServiceSubscriptionListParams{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		delete(want, s.UserID)
	}
	if n := w.Server.Count(http.MethodGet, "/api/service/subscriptions"); n != 3 || len(want) != 0 {
		t.Errorf("%d requests, not seen: %v", n, want)
	}
	for s, err := range c.Service.Subscriptions.All(t.Context(), authos.ServiceSubscriptionListParams{Offset: 99}) {
		t.Errorf("past the end: %+v, %v", s, err)
	}
	for s, err := range c.Service.Subscriptions.All(t.Context(), authos.ServiceSubscriptionListParams{Status: "canceled"}) {
		t.Errorf("nothing is canceled: %+v, %v", s, err)
	}
}

func TestProviderTokenOutcomes(t *testing.T) {
	w := newTypedWorld(t)
	keyUser(w)
	w.Server.AllowProvider("acme", "app", "github", "repo", "user:email")
	c := w.Client(asKey)
	owner := w.Client(asOwner)
	if err := owner.Do(t.Context(), http.MethodPatch, "/api/organizations/acme/services/app",
		map[string][]string{"redirect_uris": {"https://app.example.com/back"}}, nil); err != nil {
		t.Fatal(err)
	}
	p := authos.ProviderTokenParams{UserID: w.ID, Provider: "github", Scopes: []string{"repo"}}
	got, err := c.Service.ProviderToken(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got.Token != nil || got.Action == nil || got.Action.Code != authos.CodeProviderLinkRequired ||
		!strings.HasPrefix(got.Action.ReauthURL, w.Server.URL) {
		t.Errorf("no account yet: %+v", got)
	}
	w.Server.LinkProvider(asUser, "github", "repo")
	got, err = c.Service.ProviderToken(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got.Action != nil || got.Token == nil || got.Token.AccessToken.IsZero() || !slices.Contains(got.Token.Scopes, "repo") ||
		got.Token.Account.Email != asUser {
		t.Errorf("with an account: %+v", got.Token)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("got", "token", got.Token, "result", *got)
	if text := fmt.Sprintf("%v %+v %#v", got.Token, got.Token, got.Token) + log.String(); strings.Contains(text, got.Token.AccessToken.Reveal()) {
		t.Errorf("the token prints: %s", text)
	}
	for name, want := range map[string]struct {
		params authos.ProviderTokenParams
		err    error
	}{
		"scope that is not allowed": {authos.ProviderTokenParams{UserID: w.ID, Provider: "github", Scopes: []string{"admin:org"}}, authos.ErrForbidden},
		"somebody else's user":      {authos.ProviderTokenParams{UserID: "none", Provider: "github"}, authos.ErrNotFound},
	} {
		if _, err := c.Service.ProviderToken(t.Context(), want.params); !errors.Is(err, want.err) {
			t.Errorf("%s: %v, want %v", name, err, want.err)
		}
	}
}

// A status that is neither of the two must not pass for either.
func TestProviderTokenSpoiled(t *testing.T) {
	for _, body := range []string{
		`{"status":"ok","provider":"github"}`,
		`{"status":"ok","access_token":null,"provider":"github"}`,
		`{"status":"action_required","code":"PROVIDER_LINK_REQUIRED"}`,
		`{"status":"action_required","reauth_url":"https://x.test"}`,
		`{"status":"pending","access_token":"t"}`,
		`{"access_token":"t"}`,
	} {
		c := newClient(t, testBase, scripted(reply{status: 200, body: body}), authos.WithAPIKey("sk_1_2"))
		got, err := c.Service.ProviderToken(t.Context(), authos.ProviderTokenParams{UserID: "u", Provider: "github"})
		if _, ok := errors.AsType[*authos.DecodeError](err); !ok || got != nil {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestServiceAPIInput(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asKey)
	w.Server.Reset()
	subs := c.Service.Subscriptions
	typedInvalid(t, "list", typedErr(subs.List(t.Context(), authos.ServiceSubscriptionListParams{Limit: 101, Offset: -1})), "limit", "offset")
	typedInvalid(t, "create", typedErr(subs.Create(t.Context(), authos.ServiceSubscriptionCreateParams{})), "user_id", "plan_id")
	typedInvalid(t, "get", typedErr(subs.Get(t.Context(), "")), "user_id")
	typedInvalid(t, "update", typedErr(subs.Update(t.Context(), ".", authos.ServiceSubscriptionUpdateParams{})), "user_id")
	typedInvalid(t, "delete", subs.Delete(t.Context(), " "), "user_id")
	typedInvalid(t, "provider token", typedErr(c.Service.ProviderToken(t.Context(), authos.ProviderTokenParams{RedirectURI: "nowhere"})),
		"user_id", "provider", "redirect_uri")
	if got := w.Server.Requests(); len(got) != 0 {
		t.Errorf("the server saw %+v", got)
	}
}
