package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

var eventCases = []typedCase{
	{
		name: "Organizations.Webhooks.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Webhooks.Create(ctx, "acme", authos.WebhookCreateParams{
				Name: "audit", URL: "https://hooks.example/a",
				Events: []authos.EventType{webhook.EventUserLoginSuccess, webhook.EventUserLoginFailed},
			})
		},
		body: `{"name":"audit","url":"https://hooks.example/a","events":["user.login.success","user.login.failed"]}`,
	},
	{
		name:  "Organizations.Webhooks.List",
		setup: eventWebhook,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Webhooks.List(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Webhooks.Get",
		setup: eventWebhook,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Webhooks.Get(ctx, "acme", w.ID)
		},
	},
	{
		name:  "Organizations.Webhooks.Update",
		setup: eventWebhook,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Webhooks.Update(ctx, "acme", w.ID, authos.WebhookUpdateParams{
				Name: new("b"), URL: new("http://hooks.example/b"), Events: []authos.EventType{webhook.EventPlanCreated}, IsActive: new(false),
			})
		},
		body: `{"name":"b","url":"http://hooks.example/b","events":["plan.created"],"is_active":false}`,
	},
	{
		name:  "Organizations.Webhooks.Delete",
		setup: eventWebhook,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Organizations.Webhooks.Delete(ctx, "acme", w.ID)
		},
	},
	{
		name: "Organizations.Webhooks.Deliveries",
		setup: func(w *typedWorld) {
			eventWebhook(w)
			w.Server.Publish("acme", "plan.created", nil)
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Webhooks.Deliveries(ctx, "acme", w.ID, authos.DeliveryListParams{
				EventType: webhook.EventPlanCreated, Delivered: new(false), Page: 1, Limit: 5,
			})
		},
		query:   "delivered=false&event_type=plan.created&limit=5&page=1",
		options: []authostest.Option{authostest.WithWebhookTransport(eventNobody{})},
	},
	{
		name:  "Organizations.Webhooks.Test",
		setup: eventWebhook,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Organizations.Webhooks.Test(ctx, "acme", w.ID)
		},
		options: []authostest.Option{authostest.WithWebhookTransport(eventNobody{})},
	},
	{
		name: "Organizations.Webhooks.EventTypes",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Webhooks.EventTypes(ctx, "acme")
		},
	},
	{
		name:  "Organizations.AuditLog.List",
		setup: func(w *typedWorld) { eventAudits(w, 1) },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.AuditLog.List(ctx, "acme", authos.AuditLogListParams{Action: "branding.updated", Page: 1, Limit: 10})
		},
		query: "action=branding.updated&limit=10&page=1",
	},
	{
		name: "Organizations.AuditLog.EventTypes",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.AuditLog.EventTypes(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Analytics.LoginTrends",
		setup: eventLogins,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Analytics.LoginTrends(ctx, "acme", eventMay)
		},
		query: "end_date=2024-05-31&start_date=2024-05-01",
	},
	{
		name:  "Organizations.Analytics.LoginsByService",
		setup: eventLogins,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Analytics.LoginsByService(ctx, "acme", eventMay)
		},
		query: "end_date=2024-05-31&start_date=2024-05-01",
	},
	{
		name:  "Organizations.Analytics.LoginsByProvider",
		setup: eventLogins,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Analytics.LoginsByProvider(ctx, "acme", eventMay)
		},
		query: "end_date=2024-05-31&start_date=2024-05-01",
	},
	{
		name:  "Organizations.Analytics.RecentLogins",
		setup: eventLogins,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Analytics.RecentLogins(ctx, "acme", authos.RecentLoginsParams{Limit: 3})
		},
		query: "limit=3",
	},
}

// eventWebhook adds a webhook for all events.
func eventWebhook(w *typedWorld) {
	w.ID, w.Secret = w.Server.AddWebhook("acme", "https://hooks.example/x")
}

// eventNobody is a network on which no receiver is.
type eventNobody struct{}

func (eventNobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody there")
}

// eventTaker takes every delivery.
type eventTaker struct{}

func (eventTaker) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader("thanks")), Request: req}, nil
}

// eventAudits puts n entries of action branding.updated, and one of domain.deleted, on acme's
// record.
func eventAudits(w *typedWorld, n int) {
	w.T.Helper()
	w.Server.SetFeature("acme", "allow_branding", true)
	w.Server.SetFeature("acme", "allow_custom_domain", true)
	c := w.Client(asOwner)
	_, err := c.Organizations.Domain.Set(w.T.Context(), "acme", "sso.acme.example")
	err = errors.Join(err, c.Organizations.Domain.Delete(w.T.Context(), "acme"))
	for range n {
		_, more := c.Organizations.Branding.Update(w.T.Context(), "acme", authos.BrandingUpdateParams{PrimaryColor: "#abc"})
		err = errors.Join(err, more)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

var eventMay = authos.DateRange{
	Start: time.Date(2024, 5, 1, 23, 0, 0, 0, time.UTC), End: time.Date(2024, 5, 31, 1, 0, 0, 0, time.UTC),
}

// eventLogins puts four sign-ins on record: three in May 2024, on its first and its last day, and
// one after it.
func eventLogins(w *typedWorld) {
	day := func(month time.Month, day, hour int) time.Time {
		return time.Date(2024, month, day, hour, 30, 0, 0, time.UTC)
	}
	w.Server.AddLogin("acme", "app", asUser, "github", day(5, 1, 0))
	w.Server.AddLogin("acme", "web", asUser, "github", day(5, 31, 23))
	w.Server.AddLogin("acme", "web", asOwner, "password", day(5, 31, 12))
	w.Server.AddLogin("acme", "", asOwner, "password", day(6, 1, 0))
}

// eventContracts runs a test against a world of each contract.
func eventContracts(t *testing.T, servers map[string][]authostest.Option, test func(t *testing.T, w *typedWorld, isReal bool)) {
	for name, opts := range servers {
		t.Run(name, func(t *testing.T) {
			opts := append(slices.Clip(opts), authostest.WithWebhookTransport(eventNobody{}))
			test(t, newTypedWorld(t, opts...), !strings.HasPrefix(name, "documented"))
		})
	}
}

// eventWant wants the server's response, of the status that it has under the contract, the code and
// the kind, with the route's template.
func eventWant(t *testing.T, what string, err error, status int, is ...error) {
	t.Helper()
	api, ok := errors.AsType[*authos.APIError](err)
	if !ok {
		t.Errorf("%s: got %v, want an *APIError with status %d", what, err, status)
		return
	}
	if api.StatusCode != status || !strings.Contains(api.Path, ":") {
		t.Errorf("%s: got %v (%d of %s), want status %d of a route", what, err, api.StatusCode, api.Path, status)
	}
	for _, want := range is {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v is not %v", what, err, want)
		}
	}
	if errors.Is(err, authos.ErrOutcomeUnknown) {
		t.Errorf("%s: %v is of unknown outcome", what, err)
	}
}

// eventRefused wants a local finding about each of the fields, in this order, and no other; a field
// of a rule that spans several is written as all of them with "+".
func eventRefused(t *testing.T, what string, err error, fields ...string) {
	t.Helper()
	e, ok := errors.AsType[*authos.ValidationError](err)
	if !ok || e.API != nil {
		t.Errorf("%s: got %v, want a local *ValidationError", what, err)
		return
	}
	var got []string
	for _, f := range e.Fields {
		name := f.Field
		if name == "" {
			name = strings.Join(f.Fields, "+")
		}
		if f.Code == "" || f.Message == "" {
			t.Errorf("%s: %+v lacks a code or a message", what, f)
		}
		got = append(got, name)
	}
	if !slices.Equal(got, fields) {
		t.Errorf("%s: fields %q, want %q", what, got, fields)
	}
}

// eventOrgErrors are the errors that each of an organization's routes can give.
func eventOrgErrors(t *testing.T, w *typedWorld, call func(c *authos.Client, org string) error, wantsActive bool) {
	t.Helper()
	w.Server.AddOrganization("sleepy", "pending", asOwner)
	eventWant(t, "no such organization", call(w.Client(asOwner), "nowhere"), 404, authos.CodeNotFound, authos.ErrNotFound)
	eventWant(t, "member", call(w.Client(asMember), "acme"), 403, authos.CodeForbidden, authos.ErrForbidden)
	if wantsActive {
		eventWant(t, "pending", call(w.Client(asOwner), "sleepy"), 403, authos.CodeOrganizationNotActive, authos.ErrForbidden)
	}
	eventRefused(t, "no organization", call(w.Client(asOwner), " "), "org_slug")
	if err := call(w.Client(asOwner), "acme"); err != nil {
		t.Errorf("owner: %v", err)
	}
}

func TestWebhookErrors(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, isReal bool) {
		ctx := t.Context()
		c := w.Client(asOwner)
		hooks := c.Organizations.Webhooks
		n := 0
		params := func() authos.WebhookCreateParams {
			n++
			return authos.WebhookCreateParams{Name: fmt.Sprint("hook ", n), URL: "https://x.example", Events: []authos.EventType{"user.logout"}}
		}
		made, err := hooks.Create(ctx, "acme", params())
		if err != nil {
			t.Fatal(err)
		}
		eventOrgErrors(t, w, func(c *authos.Client, org string) error {
			_, err := c.Organizations.Webhooks.Create(ctx, org, params())
			return err
		}, true)
		eventOrgErrors(t, w, func(c *authos.Client, org string) error {
			_, err := c.Organizations.Webhooks.List(ctx, org)
			return err
		}, true)

		// A role of the organization's own with the capability is enough.
		w.Server.AddRole("acme", "hooks", "webhooks.manage")
		w.Server.AddMember("acme", "h@example.com", "hooks")
		if _, err := w.Client("h@example.com").Organizations.Webhooks.Get(ctx, "acme", made.ID); err != nil {
			t.Errorf("custom role: %v", err)
		}

		for what, call := range map[string]func() error{
			"Get":        func() error { _, err := hooks.Get(ctx, "acme", "none"); return err },
			"Update":     func() error { _, err := hooks.Update(ctx, "acme", "none", authos.WebhookUpdateParams{}); return err },
			"Delete":     func() error { return hooks.Delete(ctx, "acme", "none") },
			"Deliveries": func() error { _, err := hooks.Deliveries(ctx, "acme", "none", authos.DeliveryListParams{}); return err },
			"Test":       func() error { _, err := hooks.Test(ctx, "acme", "none"); return err },
		} {
			eventWant(t, what, call(), 404, authos.CodeNotFound, authos.ErrNotFound)
		}
		second, err := hooks.Create(ctx, "acme", params())
		if err != nil {
			t.Fatal(err)
		}
		_, created := hooks.Create(ctx, "acme", authos.WebhookCreateParams{Name: made.Name, URL: made.URL, Events: made.Events})
		_, updated := hooks.Update(ctx, "acme", second.ID, authos.WebhookUpdateParams{Name: &made.Name, IsActive: new(false)})
		for what, err := range map[string]error{"Create": created, "Update": updated} {
			if isReal {
				eventWant(t, what+" twice", err, 400, authos.CodeBadRequest, authos.ErrInvalid)
			} else {
				eventWant(t, what+" twice", err, 409, authos.ErrConflict)
			}
		}
	})
	t.Run("noticed by the database only", func(t *testing.T) {
		script := scripted(apiError(400, "DUPLICATE_CONSTRAINT"))
		c := clientWithoutBreaker(t, script, eventSession())
		_, err := c.Organizations.Webhooks.Create(t.Context(), "acme",
			authos.WebhookCreateParams{Name: "a", URL: "https://x.example", Events: []authos.EventType{"user.logout"}})
		eventWant(t, "Create", err, 400, authos.CodeDuplicateConstraint, authos.ErrConflict)
		if script.count() != 1 {
			t.Errorf("%d requests, want 1", script.count())
		}
	})
}

func TestWebhookInput(t *testing.T) {
	w := newTypedWorld(t)
	eventWebhook(w)
	c := w.Client(asOwner)
	hooks := c.Organizations.Webhooks
	ctx := t.Context()
	w.Server.Reset()
	create := func(org, name, url string, events ...authos.EventType) error {
		_, err := hooks.Create(ctx, org, authos.WebhookCreateParams{Name: name, URL: url, Events: events})
		return err
	}
	update := func(id string, p authos.WebhookUpdateParams) error {
		_, err := hooks.Update(ctx, "acme", id, p)
		return err
	}
	deliveries := func(p authos.DeliveryListParams) error {
		_, err := hooks.Deliveries(ctx, "acme", "x", p)
		return err
	}
	const good = webhook.EventUserLogout
	for _, tt := range []struct {
		what   string
		err    error
		fields []string
	}{
		{"nothing", create("", "", ""), []string{"org_slug", "name", "url", "events"}},
		{"blank", create("acme", " \t", "  ", good), []string{"name", "url"}},
		{"ftp", create("acme", "a", "ftp://x", good), []string{"url"}},
		{"capitals", create("acme", "a", "HTTPS://x", good), []string{"url"}},
		{"no scheme", create("acme", "a", "x.example", good), []string{"url"}},
		{"bad events", create("acme", "a", "https://x", "user.anonymized", good, "", webhook.EventWebhookTestPing, "User.Logout"),
			[]string{"events[0]", "events[2]", "events[3]", "events[4]"}},
		{"dot segment", create("..", "a", "https://x", good), []string{"org_slug"}},
		{"update", update("", authos.WebhookUpdateParams{Name: new(""), URL: new("x"), Events: []authos.EventType{}}),
			[]string{"webhook_id", "name", "url", "events"}},
		{"update events", update("x", authos.WebhookUpdateParams{Events: []authos.EventType{"a", "b"}}), []string{"events[0]", "events[1]"}},
		{"page", deliveries(authos.DeliveryListParams{Page: -1, Limit: 101}), []string{"limit", "page"}},
		{"limit", deliveries(authos.DeliveryListParams{Limit: -1}), []string{"limit"}},
	} {
		eventRefused(t, tt.what, tt.err, tt.fields...)
	}
	for what, call := range map[string]func() error{
		"List":       func() error { _, err := hooks.List(ctx, ""); return err },
		"EventTypes": func() error { _, err := hooks.EventTypes(ctx, ""); return err },
	} {
		eventRefused(t, what, call(), "org_slug")
	}
	for what, call := range map[string]func() error{
		"Get":        func() error { _, err := hooks.Get(ctx, "", "."); return err },
		"Delete":     func() error { return hooks.Delete(ctx, "", ".") },
		"Test":       func() error { _, err := hooks.Test(ctx, "", "."); return err },
		"Deliveries": func() error { _, err := hooks.Deliveries(ctx, "", ".", authos.DeliveryListParams{}); return err },
	} {
		eventRefused(t, what, call(), "org_slug", "webhook_id")
	}
	for _, err := range hooks.All(ctx, "") {
		eventRefused(t, "All", err, "org_slug")
	}
	for _, err := range hooks.AllDeliveries(ctx, "", "", authos.DeliveryListParams{Limit: 101}) {
		eventRefused(t, "AllDeliveries", err, "org_slug", "webhook_id", "limit")
	}
	if seen := w.Server.Requests(); len(seen) != 0 {
		t.Errorf("sent %+v", seen)
	}
	// As strict as the server, and no stricter: these it takes.
	for _, url := range []string{"http://x", "https://x/%zz?token={id}", "https://"} {
		if err := create("acme", url, url, good); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The constants are the server's own list, each is accepted, and nothing else is.
func TestWebhookEvents(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	types, err := c.Organizations.Webhooks.EventTypes(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	var all []authos.EventType
	for _, e := range types {
		if e.Value == "" || e.Label == "" || e.Category == "" {
			t.Errorf("event type %+v", e)
		}
		all = append(all, authos.EventType(e.Value))
	}
	made, err := c.Organizations.Webhooks.Create(t.Context(), "acme", authos.WebhookCreateParams{Name: "all", URL: "https://x.example", Events: all})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 38 || !slices.Equal(made.Events, all) {
		t.Errorf("subscribed to %d events %v, want all 38 of %v", len(made.Events), made.Events, all)
	}
	for _, e := range []authos.EventType{
		webhook.EventUserSignupSuccess, webhook.EventUserMFAVerifyFailed, webhook.EventUserRoleUpdated, webhook.EventServiceOAuthCredentialsUpdated,
		webhook.EventOrganizationSMTPRemoved, webhook.EventSubscriptionCanceled, webhook.EventInvitationRevoked, webhook.EventSecurityPasswordChanged,
		webhook.EventAPIKeyDeleted, webhook.EventDomainDeleted, webhook.EventBrandingUpdated,
	} {
		if !slices.Contains(all, e) {
			t.Errorf("the server does not know %s", e)
		}
	}
}

func TestWebhookLife(t *testing.T) {
	w := newTypedWorld(t)
	ctx := t.Context()
	c := w.Client(asOwner)
	hooks := c.Organizations.Webhooks
	made, err := hooks.Create(ctx, "acme", authos.WebhookCreateParams{
		Name: "a", URL: "https://hooks.example/a", Events: []authos.EventType{webhook.EventUserLogout},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Secret.Reveal()) != 44 || !made.IsActive || time.Since(made.CreatedAt.Time).Abs() > time.Minute {
		t.Errorf("Create = %+v", made)
	}
	got, err := hooks.Get(ctx, "acme", made.ID)
	if err != nil || fmt.Sprint(*got) != fmt.Sprint(made.Webhook) {
		t.Errorf("Get = %+v, %v, want %+v", got, err, made.Webhook)
	}
	w.Server.Reset()
	same, err := hooks.Update(ctx, "acme", made.ID, authos.WebhookUpdateParams{})
	if err != nil || fmt.Sprint(*same) != fmt.Sprint(*got) || len(w.Server.Applied()) != 0 {
		t.Errorf("Update without a change = %+v, %v, applied %v", same, err, w.Server.Applied())
	}
	if body := string(w.Server.Requests()[0].Body); body != "{}" {
		t.Errorf("Update without a change sent %s, want {}", body)
	}
	one, err := hooks.Update(ctx, "acme", made.ID, authos.WebhookUpdateParams{IsActive: new(false)})
	if err != nil || one.IsActive || one.Name != "a" || one.URL != made.URL || !slices.Equal(one.Events, made.Events) {
		t.Errorf("Update of one field = %+v, %v", one, err)
	}
	for i := range 3 {
		p := authos.WebhookCreateParams{Name: fmt.Sprint(i), URL: "https://x.example", Events: []authos.EventType{webhook.EventUserLogout}}
		if _, err := hooks.Create(ctx, "acme", p); err != nil {
			t.Fatal(err)
		}
	}
	page, err := hooks.List(ctx, "acme")
	if err != nil || page.Total != 4 || len(page.Items) != 4 || page.Items[0].Name != "2" || page.Items[3].ID != made.ID {
		t.Errorf("List = %+v, %v", page, err)
	}
	w.Server.Reset()
	all := hooks.All(ctx, "acme")
	if n := w.Server.Count("", ""); n != 0 {
		t.Errorf("All sent %d requests before it was ranged over", n)
	}
	for round := 1; round <= 2; round++ {
		var names []string
		for h, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			if names = append(names, h.Name); round == 2 && len(names) == 2 {
				break
			}
		}
		if want := []string{"2", "1", "0", "a"}[:4/round]; !slices.Equal(names, want) || w.Server.Count("", "") != round {
			t.Errorf("round %d: %v after %d requests, want %v", round, names, w.Server.Count("", ""), want)
		}
	}
	if err := hooks.Delete(ctx, "acme", made.ID); err != nil {
		t.Error(err)
	}
	eventWant(t, "Delete again", hooks.Delete(ctx, "acme", made.ID), 404, authos.ErrNotFound)
}

// A test delivery goes out, and Deliveries tells how it went.
func TestWebhookDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New(authostest.WithWebhookTransport(eventTaker{}))
		defer srv.Close()
		ctx := t.Context()
		tokens := srv.SignIn("owner@acme.example") // before there is a webhook that is told of it
		id, _ := srv.AddWebhook("acme", "https://hooks.example/x")
		c := newClient(t, srv.URL, srv.Transport(), authos.WithTokens(authos.Tokens{AccessToken: tokens.AccessToken}))
		hooks := c.Organizations.Webhooks
		ping, err := hooks.Test(ctx, "acme", id)
		if err != nil || ping.JobID == "" {
			t.Fatalf("Test = %+v, %v", ping, err)
		}
		synctest.Wait()
		page, err := hooks.Deliveries(ctx, "acme", id, authos.DeliveryListParams{})
		if err != nil || page.Total != 1 || len(page.Items) != 1 {
			t.Fatalf("Deliveries = %+v, %v", page, err)
		}
		d := page.Items[0]
		var payload struct{ Event authos.EventType }
		if err := json.Unmarshal(d.Payload, &payload); err != nil || payload.Event != webhook.EventWebhookTestPing {
			t.Errorf("payload %s, %v", d.Payload, err)
		}
		if d.ID != ping.DeliveryID || d.WebhookID != id || d.EventType != webhook.EventWebhookTestPing || !d.Delivered || d.ResponseStatusCode != 200 ||
			d.ResponseBody != "thanks" || d.MaxAttempts != 5 || !d.NextRetryAt.IsZero() || d.DeliveryError != "" || d.CreatedAt.IsZero() {
			t.Errorf("delivery %+v", d)
		}

		// Paging, to the end and past it, with filters.
		for range 204 {
			srv.Publish("acme", "plan.created", nil)
		}
		synctest.Wait()
		for _, tt := range []struct {
			p        authos.DeliveryListParams
			n, total int
		}{
			{authos.DeliveryListParams{}, 50, 205},
			{authos.DeliveryListParams{Limit: 100}, 100, 205},
			{authos.DeliveryListParams{Limit: 100, Page: 3}, 5, 205},
			{authos.DeliveryListParams{Limit: 100, Page: 4}, 0, 205},
			{authos.DeliveryListParams{Limit: 1, Page: 205}, 1, 205},
			{authos.DeliveryListParams{EventType: webhook.EventWebhookTestPing}, 1, 1},
			{authos.DeliveryListParams{EventType: "plan.deleted"}, 0, 0},
			{authos.DeliveryListParams{Delivered: new(true), Limit: 10}, 10, 205},
			{authos.DeliveryListParams{Delivered: new(false)}, 0, 0},
		} {
			page, err := hooks.Deliveries(ctx, "acme", id, tt.p)
			if err != nil || len(page.Items) != tt.n || page.Total != int64(tt.total) {
				t.Errorf("%+v: %+v, %v; want %d of %d", tt.p, page, err, tt.n, tt.total)
			}
		}
		for _, tt := range []struct {
			p               authos.DeliveryListParams
			stop, n, wanted int // wanted requests
		}{
			{authos.DeliveryListParams{}, 0, 205, 3},
			{authos.DeliveryListParams{Limit: 50}, 0, 205, 5},
			// from the middle only an empty page can be the end
			{authos.DeliveryListParams{Limit: 50, Page: 4}, 0, 55, 3},
			{authos.DeliveryListParams{Limit: 50}, 50, 50, 1},
			{authos.DeliveryListParams{Limit: 50}, 51, 51, 2},
			{authos.DeliveryListParams{EventType: webhook.EventPlanCreated}, 0, 204, 3},
		} {
			srv.Reset()
			seen := map[string]bool{}
			for d, err := range hooks.AllDeliveries(ctx, "acme", id, tt.p) {
				if err != nil {
					t.Fatal(err)
				}
				if seen[d.ID] = true; len(seen) == tt.stop {
					break
				}
			}
			if n := srv.Count("", ""); len(seen) != tt.n || n != tt.wanted {
				t.Errorf("%+v: %d deliveries with %d requests, want %d with %d", tt.p, len(seen), n, tt.n, tt.wanted)
			}
		}
	})
}

// A receiver that is not there leaves null members, and a time for the next attempt.
func TestWebhookDeliveryThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New(authostest.WithWebhookTransport(eventNobody{}))
		defer srv.Close()
		tokens := srv.SignIn("owner@acme.example") // before there is a webhook that is told of it
		id, _ := srv.AddWebhook("acme", "https://hooks.example/x")
		c := newClient(t, srv.URL, srv.Transport(), authos.WithTokens(authos.Tokens{AccessToken: tokens.AccessToken}))
		srv.Publish("acme", "plan.created", nil)
		synctest.Wait()
		page, err := c.Organizations.Webhooks.Deliveries(t.Context(), "acme", id, authos.DeliveryListParams{Delivered: new(false)})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("Deliveries = %+v, %v", page, err)
		}
		d := page.Items[0]
		if d.Delivered || d.AttemptCount != 1 || d.ResponseStatusCode != 0 || d.ResponseBody != "" || d.DeliveryError == "" ||
			!d.NextRetryAt.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("delivery %+v", d)
		}
	})
}

// The signing secret does not print, alone or within its webhook, and cannot be marshaled.
func TestWebhookSecretIsNotPrinted(t *testing.T) {
	w := newTypedWorld(t)
	made, err := w.Client(asOwner).Organizations.Webhooks.Create(t.Context(), "acme", authos.WebhookCreateParams{
		Name: "a", URL: "https://x.example", Events: []authos.EventType{webhook.EventUserLogout},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventHides(t, made, made.Secret.Reveal())
	if data, err := json.Marshal(made); err == nil {
		t.Errorf("marshaled to %s", data)
	}
}

// eventHides prints a value, and what it points to, in every way, and looks for a secret.
func eventHides[T any](t *testing.T, v *T, secret string) {
	t.Helper()
	if secret == "" {
		t.Fatal("no secret")
	}
	var buf bytes.Buffer
	for _, each := range []any{v, *v, struct{ V T }{*v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&buf, verb, each)
		}
		slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "v", each)
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "v", each)
	}
	if strings.Contains(buf.String(), secret) || strings.Contains(buf.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("the secret is in %s", buf.String())
	}
}

// eventSession is a session for scripted servers.
func eventSession() authos.Option { return authos.WithTokens(authos.Tokens{AccessToken: "access"}) }

// Members that are null or absent where they may be, and where they may not.
func TestWebhookMembers(t *testing.T) {
	ctx := context.Background()
	get := func(c *authos.Client) (any, error) { return c.Organizations.Webhooks.Get(ctx, "acme", "w") }
	list := func(c *authos.Client) (any, error) { return c.Organizations.Webhooks.List(ctx, "acme") }
	create := func(c *authos.Client) (any, error) {
		return c.Organizations.Webhooks.Create(ctx, "acme", authos.WebhookCreateParams{Name: "a", URL: "https://x", Events: []authos.EventType{"user.logout"}})
	}
	deliveries := func(c *authos.Client) (any, error) {
		return c.Organizations.Webhooks.Deliveries(ctx, "acme", "w", authos.DeliveryListParams{})
	}
	ping := func(c *authos.Client) (any, error) { return c.Organizations.Webhooks.Test(ctx, "acme", "w") }
	types := func(c *authos.Client) (any, error) { return c.Organizations.Webhooks.EventTypes(ctx, "acme") }
	eventMembers(t, []eventMember{
		{"later event", get, `{"id":"w","events":["later.event"]}`, "later.event"},
		{"no events", get, `{"id":"w","events":[]}`, "&{w   [] false"},
		{"events null", get, `{"id":"w","events":null}`, "without events"},
		{"events absent", get, `{"id":"w"}`, "without events"},
		{"id empty", get, `{"id":"","events":[]}`, "without id"},
		{"bad time", get, `{"id":"w","events":[],"created_at":"yesterday"}`, "time in an unknown format"},
		{"no total", list, `{"webhooks":[]}`, "&{[] -1}"},
		{"total only", list, `{"total":3}`, "without webhooks"},
		{"webhooks null", list, `{"webhooks":null,"total":0}`, "without webhooks"},
		{"item without id", list, `{"webhooks":[{"events":[]}],"total":1}`, "without id of an item of webhooks"},
		{"no secret", create, `{"id":"w","events":[]}`, "without secret"},
		{"secret null", create, `{"id":"w","events":[],"secret":null}`, "without secret"},
		{"secret only", create, `{"secret":"s","events":[]}`, "without id"},
		// behind the payload, which Go 1.27 prints in another way
		{"nulls", deliveries, `{"deliveries":[{"id":"d","payload":null,"response_status_code":null,"response_body":null,"next_retry_at":null,` +
			`"delivery_error":null}],"pagination":{"total":1}}`, " 0  0 0 0001-01-01 00:00:00 +0000 UTC false  "},
		{"no pagination", deliveries, `{"deliveries":[]}`, "&{[] -1}"},
		{"pagination null", deliveries, `{"deliveries":[],"pagination":null}`, "&{[] -1}"},
		{"pagination only", deliveries, `{"pagination":{"total":0}}`, "without deliveries"},
		{"no delivery id", deliveries, `{"deliveries":[{}]}`, "without id of an item of deliveries"},
		{"test", ping, `{"success":true,"job_id":"j","delivery_id":"d"}`, "&{j d}"},
		{"test without success", ping, `{"job_id":"j","delivery_id":"d"}`, "&{j d}"},
		{"test not done", ping, `{"success":false,"job_id":"j","delivery_id":"d"}`, "without success"},
		{"test without delivery", ping, `{"success":true,"job_id":"j"}`, "without delivery_id"},
		{"test without job", ping, `{"success":true,"delivery_id":"d"}`, "without job_id"},
		{"type without value", types, `[{"label":"x"}]`, "without value of an item of list"},
		{"no types", types, `[]`, "[]"},
	})
}

// eventMember is a response with what is to be read of it, or what is said to be wrong with it.
type eventMember struct {
	name string
	call func(c *authos.Client) (any, error)
	body string
	want string // part of the result as %v prints it, or of the DecodeError
}

func eventMembers(t *testing.T, tests []eventMember) {
	t.Helper()
	for _, tt := range tests {
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: tt.body}), eventSession())
		out, err := tt.call(c)
		if strings.HasPrefix(tt.want, "without ") || strings.HasPrefix(tt.want, "time ") {
			if _, ok := errors.AsType[*authos.DecodeError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, %v; want a DecodeError: %s", tt.name, out, err, tt.want)
			}
			continue
		}
		if got := fmt.Sprint(out); err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

// eventTimes are one point in time in the four formats of the server, and the time that is not
// there in its three.
var eventTimes = map[string]time.Time{
	`"2026-05-20T12:00:00.123456789+00:00"`: time.Date(2026, 5, 20, 12, 0, 0, 123456789, time.UTC),
	`"2026-05-20T12:00:00.123456Z"`:         time.Date(2026, 5, 20, 12, 0, 0, 123456000, time.UTC),
	`"2026-05-20T12:00:00"`:                 time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC),
	`"2026-05-20 12:00:00"`:                 time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC),
	`null`:                                  {}, `""`: {}, `"N/A"`: {},
}

func TestEventTimes(t *testing.T) {
	ctx := context.Background()
	read := func(t *testing.T, body string, call func(o *authos.OrganizationsService) (authos.Time, error), want time.Time) {
		t.Helper()
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: body}), eventSession())
		if got, err := call(c.Organizations); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", body, got, err, want)
		}
	}
	for text, want := range eventTimes {
		read(t, `{"id":"w","events":[],"created_at":`+text+`}`, func(o *authos.OrganizationsService) (authos.Time, error) {
			h, err := o.Webhooks.Get(ctx, "acme", "w")
			return h.CreatedAt, err
		}, want)
		read(t, `{"deliveries":[{"id":"d","next_retry_at":`+text+`}]}`, func(o *authos.OrganizationsService) (authos.Time, error) {
			page, err := o.Webhooks.Deliveries(ctx, "acme", "w", authos.DeliveryListParams{})
			return page.Items[0].NextRetryAt, err
		}, want)
		read(t, `{"logs":[{"id":"l","action":"a","created_at":`+text+`}]}`, func(o *authos.OrganizationsService) (authos.Time, error) {
			page, err := o.AuditLog.List(ctx, "acme", authos.AuditLogListParams{})
			return page.Items[0].CreatedAt, err
		}, want)
		read(t, `[{"id":"l","created_at":`+text+`}]`, func(o *authos.OrganizationsService) (authos.Time, error) {
			list, err := o.Analytics.RecentLogins(ctx, "acme", authos.RecentLoginsParams{})
			return list[0].CreatedAt, err
		}, want)
		read(t, `[{"count":1,"date":`+text+`}]`, func(o *authos.OrganizationsService) (authos.Time, error) {
			list, err := o.Analytics.LoginTrends(ctx, "acme", authos.DateRange{})
			return list[0].Date, err
		}, want)
	}
}

func TestAuditLog(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, _ bool) {
		ctx := t.Context()
		eventAudits(w, 3)
		c := w.Client(asOwner)
		page, err := c.Organizations.AuditLog.List(ctx, "acme", authos.AuditLogListParams{})
		if err != nil || page.Total != 5 || len(page.Items) != 5 {
			t.Fatalf("List = %+v, %v", page, err)
		}
		e := page.Items[0]
		var color struct {
			PrimaryColor string `json:"primary_color"`
		}
		if err := e.Metadata.Decode(&color); err != nil || color.PrimaryColor != "#abc" {
			t.Errorf("metadata %s, %v", e.Metadata, err)
		}
		if e.Action != "branding.updated" || e.Actor == nil || e.Actor.Email != asOwner || e.Actor.ID != e.ActorID || !e.Success ||
			e.TargetType != "organization" || e.TargetID != e.OrgID || time.Since(e.CreatedAt.Time).Abs() > time.Minute {
			t.Errorf("entry %+v", e)
		}
		for _, tt := range []struct {
			p        authos.AuditLogListParams
			n, total int
		}{
			{authos.AuditLogListParams{Action: "branding.updated"}, 3, 3},
			{authos.AuditLogListParams{Action: "nothing"}, 0, 0},
			{authos.AuditLogListParams{TargetType: "organization", TargetID: e.TargetID, Limit: 2}, 2, 5},
			{authos.AuditLogListParams{TargetType: "organization", TargetID: "other"}, 0, 0},
			{authos.AuditLogListParams{Page: 3, Limit: 2}, 1, 5},
			{authos.AuditLogListParams{Page: 4, Limit: 2}, 0, 5},
		} {
			page, err := c.Organizations.AuditLog.List(ctx, "acme", tt.p)
			if err != nil || len(page.Items) != tt.n || page.Total != int64(tt.total) {
				t.Errorf("%+v: %+v, %v; want %d of %d", tt.p, page, err, tt.n, tt.total)
			}
		}
		for _, tt := range []struct {
			p                 authos.AuditLogListParams
			stop, n, requests int
		}{
			{authos.AuditLogListParams{}, 0, 5, 1},
			{authos.AuditLogListParams{Limit: 2}, 0, 5, 3},
			{authos.AuditLogListParams{Limit: 2}, 2, 2, 1},
			{authos.AuditLogListParams{Limit: 2}, 3, 3, 2},
			{authos.AuditLogListParams{Limit: 1, Action: "branding.updated"}, 0, 3, 3},
		} {
			w.Server.Reset()
			seen := map[string]bool{}
			for e, err := range c.Organizations.AuditLog.All(ctx, "acme", tt.p) {
				if err != nil {
					t.Fatal(err)
				}
				if seen[e.ID] = true; len(seen) == tt.stop {
					break
				}
			}
			if n := w.Server.Count("", ""); len(seen) != tt.n || n != tt.requests {
				t.Errorf("%+v: %d entries with %d requests, want %d with %d", tt.p, len(seen), n, tt.n, tt.requests)
			}
		}
		eventOrgErrors(t, w, func(c *authos.Client, org string) error {
			_, err := c.Organizations.AuditLog.List(ctx, org, authos.AuditLogListParams{})
			return err
		}, true)
		eventOrgErrors(t, w, func(c *authos.Client, org string) error {
			_, err := c.Organizations.AuditLog.EventTypes(ctx, org)
			return err
		}, true)
	})
}

// Filters that the server would ignore are refused.
func TestAuditLogInput(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	w.Server.Reset()
	for _, tt := range []struct {
		p      authos.AuditLogListParams
		fields []string
	}{
		{authos.AuditLogListParams{TargetType: "user"}, []string{"target_id"}},
		{authos.AuditLogListParams{TargetID: "u"}, []string{"target_type"}},
		{authos.AuditLogListParams{Action: "a", TargetType: "user", TargetID: "u"}, []string{"action+target_type+target_id"}},
		{authos.AuditLogListParams{Action: "a", TargetID: "u"}, []string{"action+target_type+target_id", "target_type"}},
		{authos.AuditLogListParams{Action: "a", TargetType: "u", Limit: 101}, []string{"limit", "action+target_type+target_id", "target_id"}},
	} {
		_, err := c.Organizations.AuditLog.List(t.Context(), "acme", tt.p)
		eventRefused(t, fmt.Sprintf("%+v", tt.p), err, tt.fields...)
		for _, err := range c.Organizations.AuditLog.All(t.Context(), "", tt.p) {
			eventRefused(t, fmt.Sprintf("All %+v", tt.p), err, append([]string{"org_slug"}, tt.fields...)...)
		}
	}
	_, err := c.Organizations.AuditLog.List(t.Context(), "acme", authos.AuditLogListParams{Page: -1, Limit: -1})
	eventRefused(t, "page", err, "limit", "page")
	_, err = c.Organizations.AuditLog.EventTypes(t.Context(), "")
	eventRefused(t, "EventTypes", err, "org_slug")
	if seen := w.Server.Requests(); len(seen) != 0 {
		t.Errorf("sent %+v", seen)
	}
	_, err = c.Organizations.AuditLog.List(t.Context(), "acme", authos.AuditLogListParams{Action: "a", TargetType: "user"})
	if !errors.Is(err, authos.CodeInvalidRange) || !errors.Is(err, authos.CodeRequired) || !strings.Contains(err.Error(), "half a target") {
		t.Errorf("got %v", err)
	}
}

func TestAuditLogMembers(t *testing.T) {
	list := func(c *authos.Client) (any, error) {
		page, err := c.Organizations.AuditLog.List(context.Background(), "acme", authos.AuditLogListParams{})
		if err != nil {
			return nil, err
		}
		e := page.Items[0]
		return fmt.Sprintf("%v %v %s %s %d", e.Actor, e.Success, e.Metadata, e.IPAddress, page.Total), nil
	}
	eventMembers(t, []eventMember{
		{"absent", list, `{"logs":[{"id":"l","action":"a","actor_id":"system","success":true}],"pagination":{"total":1}}`, "<nil> true   1"},
		{"null", list, `{"logs":[{"id":"l","action":"a","actor":null,"ip_address":null,"metadata":null}],"pagination":{"total":1}}`, "<nil> false   1"},
		{"metadata in a text", list, `{"logs":[{"id":"l","action":"a","metadata":"{\"x\":1}"}]}`, `<nil> false {"x":1}  -1`},
		{"metadata that is no object", list, `{"logs":[{"id":"l","action":"a","metadata":[1]}]}`, `<nil> false [1]  -1`},
		{"no id", list, `{"logs":[{"action":"a"}]}`, "without id of an item of logs"},
		{"no action", list, `{"logs":[{"id":"l"}]}`, "without action of an item of logs"},
		{"actor without id", list, `{"logs":[{"id":"l","action":"a","actor":{"email":"x"}}]}`, "without id of the actor of an item of logs"},
		{"null list", list, `{"logs":null,"pagination":{"total":0}}`, "without logs"},
	})
}

func TestAnalytics(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, _ bool) {
		ctx := t.Context()
		a := w.Client(asOwner).Organizations.Analytics // signs in, now
		eventLogins(w)
		trends, err := a.LoginTrends(ctx, "acme", eventMay)
		first, last := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 5, 31, 0, 0, 0, 0, time.UTC)
		if want := []authos.LoginTrend{{authos.Time{Time: first}, 1}, {authos.Time{Time: last}, 2}}; err != nil || !slices.Equal(trends, want) {
			t.Errorf("LoginTrends = %v, %v, want %v", trends, err, want)
		}
		byService, err := a.LoginsByService(ctx, "acme", eventMay)
		if err != nil || len(byService) != 2 || byService[0].ServiceName != "Web" || byService[0].Count != 2 || byService[1].Count != 1 ||
			byService[0].ServiceID == "" {
			t.Errorf("LoginsByService = %+v, %v", byService, err)
		}
		byProvider, err := a.LoginsByProvider(ctx, "acme", authos.DateRange{Start: first, End: last.AddDate(0, 0, 1)})
		if want := []authos.ProviderLogins{{"github", 2}, {"password", 2}}; err != nil || !slices.Equal(byProvider, want) {
			t.Errorf("LoginsByProvider = %v, %v, want %v", byProvider, err, want)
		}
		recent, err := a.RecentLogins(ctx, "acme", authos.RecentLoginsParams{Limit: 3})
		if err != nil || len(recent) != 3 || time.Since(recent[0].CreatedAt.Time).Abs() > time.Minute || recent[1].ServiceID != "" ||
			!recent[1].CreatedAt.Equal(time.Date(2024, 6, 1, 0, 30, 0, 0, time.UTC)) || recent[2].ServiceID == "" ||
			recent[2].Provider != "github" || recent[2].UserID == "" {
			t.Errorf("RecentLogins = %+v, %v", recent, err)
		}
		// One day alone: its first and last moment are given in a zone where it is another day.
		zone := time.FixedZone("", -12*3600)
		day := authos.DateRange{Start: time.Date(2024, 5, 30, 23, 0, 0, 0, zone), End: time.Date(2024, 5, 30, 13, 0, 0, 0, zone)}
		if trends, err := a.LoginTrends(ctx, "acme", day); err != nil || len(trends) != 1 || trends[0].Count != 2 {
			t.Errorf("one day: %v, %v", trends, err)
		}
		for what, call := range map[string]func(c *authos.Client, org string) error{
			"LoginTrends": func(c *authos.Client, org string) error {
				_, err := c.Organizations.Analytics.LoginTrends(ctx, org, authos.DateRange{})
				return err
			},
			"LoginsByService": func(c *authos.Client, org string) error {
				_, err := c.Organizations.Analytics.LoginsByService(ctx, org, authos.DateRange{})
				return err
			},
			"LoginsByProvider": func(c *authos.Client, org string) error {
				_, err := c.Organizations.Analytics.LoginsByProvider(ctx, org, authos.DateRange{})
				return err
			},
			"RecentLogins": func(c *authos.Client, org string) error {
				_, err := c.Organizations.Analytics.RecentLogins(ctx, org, authos.RecentLoginsParams{})
				return err
			},
		} {
			t.Run(what, func(t *testing.T) { eventOrgErrors(t, w, call, true) })
		}
	})
}

func TestAnalyticsInput(t *testing.T) {
	w := newTypedWorld(t)
	a := w.Client(asOwner).Organizations.Analytics
	ctx := t.Context()
	w.Server.Reset()
	at := func(year, day, hour int) time.Time { return time.Date(year, 5, day, hour, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		what   string
		p      authos.DateRange
		fields []string
	}{
		{"reversed", authos.DateRange{Start: at(2026, 2, 0), End: at(2026, 1, 23)}, []string{"org_slug", "end_date"}},
		{"year 10000", authos.DateRange{Start: at(10000, 1, 0)}, []string{"org_slug", "start_date"}},
		{"year -1", authos.DateRange{End: at(-1, 1, 0)}, []string{"org_slug", "end_date"}},
		{"year 0 in UTC", authos.DateRange{End: time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))}, []string{"org_slug", "end_date"}},
	} {
		_, trends := a.LoginTrends(ctx, "", tt.p)
		_, byService := a.LoginsByService(ctx, "", tt.p)
		_, byProvider := a.LoginsByProvider(ctx, "", tt.p)
		for _, err := range []error{trends, byService, byProvider} {
			eventRefused(t, tt.what, err, tt.fields...)
		}
	}
	for _, limit := range []int{-1, 101} {
		_, err := a.RecentLogins(ctx, "", authos.RecentLoginsParams{Limit: limit})
		eventRefused(t, fmt.Sprint("limit ", limit), err, "org_slug", "limit")
	}
	if seen := w.Server.Requests(); len(seen) != 0 {
		t.Errorf("sent %+v", seen)
	}
	for what, tt := range map[string]struct {
		p     authos.DateRange
		query string
	}{
		"default":            {authos.DateRange{}, ""},
		"open end":           {authos.DateRange{Start: at(2026, 2, 5)}, "start_date=2026-05-02"},
		"one day, backwards": {authos.DateRange{Start: at(2026, 2, 5), End: at(2026, 2, 1)}, "end_date=2026-05-02&start_date=2026-05-02"},
		"first and last":     {authos.DateRange{Start: at(1, 1, 0), End: at(9999, 1, 0)}, "end_date=9999-05-01&start_date=0001-05-01"},
	} {
		w.Server.Reset()
		if _, err := a.LoginTrends(ctx, "acme", tt.p); err != nil {
			t.Errorf("%s: %v", what, err)
		} else if got := w.Server.Requests()[0].RawQuery; got != tt.query {
			t.Errorf("%s: query %q, want %q", what, got, tt.query)
		}
	}
}

func TestAnalyticsMembers(t *testing.T) {
	ctx := context.Background()
	trends := func(c *authos.Client) (any, error) {
		return c.Organizations.Analytics.LoginTrends(ctx, "acme", authos.DateRange{})
	}
	byService := func(c *authos.Client) (any, error) {
		return c.Organizations.Analytics.LoginsByService(ctx, "acme", authos.DateRange{})
	}
	byProvider := func(c *authos.Client) (any, error) {
		return c.Organizations.Analytics.LoginsByProvider(ctx, "acme", authos.DateRange{})
	}
	recent := func(c *authos.Client) (any, error) {
		return c.Organizations.Analytics.RecentLogins(ctx, "acme", authos.RecentLoginsParams{})
	}
	eventMembers(t, []eventMember{
		{"no sign-ins", trends, `[]`, "[]"},
		{"zero", trends, `[{"date":"2026-05-20","count":0}]`, "[{2026-05-20 00:00:00 +0000 UTC 0}]"},
		{"no day", trends, `[{"date":null,"count":2}]`, "[{0001-01-01 00:00:00 +0000 UTC 2}]"},
		{"no count", trends, `[{"date":"2026-05-20"}]`, "without count of an item of list"},
		{"no service", byService, `[{"service_name":"x","count":1}]`, "without service_id of an item of list"},
		{"no provider", byProvider, `[{"count":1}]`, "without provider of an item of list"},
		{"service null", recent, `[{"id":"l","service_id":null,"provider":"p"}]`, "[{l   p "},
		{"no id", recent, `[{"user_id":"u"}]`, "without id of an item of list"},
	})
}
