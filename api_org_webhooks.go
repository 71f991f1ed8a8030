package authos

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/authos-go/authos/webhook"
)

// WebhooksService are an organization's webhooks: URLs that are told about events as they happen.
// Except for EventTypes they are for bearers with the capability webhooks.manage, and ask for an
// active organization; others get 403 FORBIDDEN. Who receives deliveries verifies them with the
// package webhook.
type WebhooksService struct{ c *Client }

// EventType names something that webhooks are told about. Its values are the constants of package
// [webhook], such as [webhook.EventUserLoginSuccess]; responses keep others as the server sent
// them.
//
// Only those of [webhook.SubscribableEvents] can be subscribed to; others are refused before
// anything is sent, as the server would refuse them. A newer server's events are subscribed to with
// [Client.Do].
type EventType = webhook.EventType

// Webhook is a URL with the events that it is told about.
type Webhook struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	URL       string      `json:"url"`
	Events    []EventType `json:"events"`
	IsActive  bool        `json:"is_active"`
	CreatedAt Time        `json:"created_at"`
	UpdatedAt Time        `json:"updated_at"`
}

func (w *Webhook) missing() string {
	if w.Events == nil {
		return "events"
	}
	return missingID(w.ID)
}

// WebhookCreated is a new webhook.
type WebhookCreated struct {
	Webhook
	// Secret is the key that deliveries are signed with. It is shown only once. The text itself is
	// the key, although it looks like base64.
	Secret Secret `json:"secret"`
}

func (w *WebhookCreated) missing() string {
	if w.Secret.IsZero() {
		return "secret"
	}
	return w.Webhook.missing()
}

func (w *WebhookCreated) shown() bool { return !w.Secret.IsZero() || w.ID != "" }

// WebhookCreateParams are a new webhook.
type WebhookCreateParams struct {
	// Name is not blank, and no other webhook's of the organization.
	Name string `json:"name"`
	// URL begins with http:// or https://. The server delivers to public addresses only.
	URL string `json:"url"`
	// Events are one or more of those that can be subscribed to.
	Events []EventType `json:"events"`
}

// WebhookUpdateParams are the changes of [WebhooksService.Update]; nil fields stay as they are.
type WebhookUpdateParams struct {
	Name   *string     `json:"name,omitzero"`
	URL    *string     `json:"url,omitzero"`
	Events []EventType `json:"events,omitzero"` // in place of those before; one or more
	// IsActive: false stops deliveries, those that wait for another attempt included.
	IsActive *bool `json:"is_active,omitzero"`
}

// WebhookTest is a delivery that has been queued.
type WebhookTest struct {
	JobID      string `json:"job_id"`
	DeliveryID string `json:"delivery_id"`
}

type webhookTestBody struct {
	acknowledgment
	WebhookTest
}

func (b *webhookTestBody) missing() string {
	switch {
	case b.DeliveryID == "":
		return "delivery_id"
	case b.JobID == "":
		return "job_id"
	}
	return b.acknowledgment.missing()
}

// Delivery is one event on its way to one webhook. The server sends it up to MaxAttempts times
// until the webhook responds with a 2xx, after about 1, 2, 4 and 8 minutes.
type Delivery struct {
	ID          string    `json:"id"`
	WebhookID   string    `json:"webhook_id"`
	WebhookName string    `json:"webhook_name"`
	EventType   EventType `json:"event_type"`
	// Payload is the JSON that is delivered.
	Payload json.RawMessage `json:"payload"`
	// ResponseStatusCode and ResponseBody are the latest response; 0 and empty when there was none.
	// The server keeps 10,000 characters.
	ResponseStatusCode int    `json:"response_status_code"`
	ResponseBody       string `json:"response_body"`
	AttemptCount       int    `json:"attempt_count"`
	MaxAttempts        int    `json:"max_attempts"`
	// NextRetryAt is zero when there will be no further attempt.
	NextRetryAt Time `json:"next_retry_at"`
	Delivered   bool `json:"delivered"`
	// DeliveryError is why the latest attempt failed; empty when none has.
	DeliveryError string `json:"delivery_error"`
	CreatedAt     Time   `json:"created_at"`
	UpdatedAt     Time   `json:"updated_at"`
}

func (d *Delivery) missing() string { return missingID(d.ID) }

// DeliveryListParams choose deliveries.
type DeliveryListParams struct {
	// EventType lists deliveries of one event only; empty: of all.
	EventType EventType
	// Delivered lists those that arrived, or those that did not, or have not yet; nil: both.
	Delivered *bool
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 50; for
	// AllDeliveries, 100.
	Limit, Page int
}

// EventTypeInfo is one of the server's names for something that happens, with a text to show for
// it.
type EventTypeInfo struct {
	Value    string `json:"value"`
	Label    string `json:"label"`
	Category string `json:"category"`
}

func (e *EventTypeInfo) missing() string {
	if e.Value == "" {
		return "value"
	}
	return ""
}

type webhookList struct {
	Webhooks *[]Webhook `json:"webhooks"`
	Total    *int64     `json:"total"`
}

func (l *webhookList) missing() string { return missingItem("webhooks", l.Webhooks) }

type deliveryList struct {
	Deliveries *[]Delivery `json:"deliveries"`
	Pagination pageCount   `json:"pagination"`
}

func (l *deliveryList) missing() string { return missingItem("deliveries", l.Deliveries) }

const (
	webhooksPath = "/api/organizations/:org_slug/webhooks"
	webhookPath  = "/api/organizations/:org_slug/webhooks/:webhook_id"
)

// webhookURL is the server's rule: the beginning is all that it looks at, and it is particular
// about its case.
func (c *checks) webhookURL(value string) {
	switch {
	case strings.TrimSpace(value) == "":
		c.add("url", CodeRequired, "must not be empty")
	case !strings.HasPrefix(value, "http://") && !strings.HasPrefix(value, "https://"):
		c.add("url", CodeInvalidFormat, "must begin with http:// or https://")
	}
}

// events refuses an empty list, and each event that the server would not take.
func (c *checks) events(list []EventType) {
	if len(list) == 0 {
		c.add("events", CodeRequired, "must not be empty")
	}
	for i, e := range list {
		if !slices.Contains(webhook.SubscribableEvents(), e) {
			c.add(fmt.Sprintf("events[%d]", i), CodeInvalidFormat, "must be an event that can be subscribed to")
		}
	}
}

// Create registers a webhook, whose secret only this response has. POST
// /api/organizations/:org_slug/webhooks; bearer, capability webhooks.manage; not repeated when its
// outcome is unknown.
//
// A name that another webhook has is 400 BAD_REQUEST or [CodeDuplicateConstraint]; where the secret
// of a webhook whose outcome was unknown is lost, delete the webhook and make another. What could
// be read of a response that is not whole is returned together with the [*DecodeError].
func (s *WebhooksService) Create(
	ctx context.Context, orgSlug string, p WebhookCreateParams, opts ...RequestOption,
) (*WebhookCreated, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.required("name", p.Name)
	in.webhookURL(p.URL)
	in.events(p.Events)
	return invoke[WebhookCreated](ctx, s.c, request{
		method: http.MethodPost, template: webhooksPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// List returns all webhooks of an organization, newest first; the server does not page them. GET
// /api/organizations/:org_slug/webhooks; bearer, capability webhooks.manage; may be repeated;
// cached for the stale fallback.
func (s *WebhooksService) List(ctx context.Context, orgSlug string, opts ...RequestOption) (*Page[Webhook], error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[webhookList](ctx, s.c, request{
		method: http.MethodGet, template: webhooksPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Webhooks, list.Total), nil
}

// All iterates over an organization's webhooks. It stops at an error, which it yields last. The
// list comes as a whole, so that changing it on the way does no harm.
func (s *WebhooksService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[Webhook, error] {
	return unpaged(func() ([]Webhook, error) {
		page, err := s.List(ctx, orgSlug, opts...)
		if err != nil {
			return nil, err
		}
		return page.Items, nil
	})
}

// Get returns one webhook. GET /api/organizations/:org_slug/webhooks/:webhook_id; bearer,
// capability webhooks.manage; may be repeated; cached for the stale fallback.
func (s *WebhooksService) Get(ctx context.Context, orgSlug, webhookID string, opts ...RequestOption) (*Webhook, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("webhook_id", webhookID)
	return invoke[Webhook](ctx, s.c, request{
		method: http.MethodGet, template: webhookPath, args: []string{orgSlug, webhookID}, checks: in,
	}, opts)
}

// Update changes a webhook and returns it; without any change it only returns it. PATCH
// /api/organizations/:org_slug/webhooks/:webhook_id; bearer, capability webhooks.manage; may be
// repeated.
//
// The server writes the fields one by one: after an error some may be changed and others not.
// Calling again with the same changes completes them. A name that another webhook has is 400
// BAD_REQUEST or [CodeDuplicateConstraint].
func (s *WebhooksService) Update(
	ctx context.Context, orgSlug, webhookID string, p WebhookUpdateParams, opts ...RequestOption,
) (*Webhook, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("webhook_id", webhookID)
	if p.Name != nil {
		in.required("name", *p.Name)
	}
	if p.URL != nil {
		in.webhookURL(*p.URL)
	}
	if p.Events != nil {
		in.events(p.Events)
	}
	return invoke[Webhook](ctx, s.c, request{
		method: http.MethodPatch, template: webhookPath, args: []string{orgSlug, webhookID}, body: p, checks: in,
	}, opts)
}

// Delete removes a webhook and ends its deliveries. DELETE
// /api/organizations/:org_slug/webhooks/:webhook_id; bearer, capability webhooks.manage; may be
// repeated: when an attempt's outcome is unknown and its repeat finds 404, Delete has succeeded.
func (s *WebhooksService) Delete(ctx context.Context, orgSlug, webhookID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("webhook_id", webhookID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: webhookPath, args: []string{orgSlug, webhookID}, checks: in,
	}, nil, opts)
}

// Deliveries returns one page of what a webhook was sent, or is to be, newest first. GET
// /api/organizations/:org_slug/webhooks/:webhook_id/deliveries; bearer, capability webhooks.manage;
// may be repeated.
func (s *WebhooksService) Deliveries(
	ctx context.Context, orgSlug, webhookID string, p DeliveryListParams, opts ...RequestOption,
) (*Page[Delivery], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("webhook_id", webhookID)
	in.numbered(p.Limit, p.Page)
	q := numbering(p.Limit, p.Page)
	put(q, "event_type", string(p.EventType))
	if p.Delivered != nil {
		q.Set("delivered", strconv.FormatBool(*p.Delivered))
	}
	list, err := invoke[deliveryList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/webhooks/:webhook_id/deliveries",
		args: []string{orgSlug, webhookID}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Deliveries, list.Pagination.Total), nil
}

// AllDeliveries iterates over what a webhook was sent, or is to be, from p.Page on, p.Limit at a
// time. It stops at the first error, which it yields last. Events that happen meanwhile move the
// pages: a delivery may then be seen twice.
func (s *WebhooksService) AllDeliveries(
	ctx context.Context, orgSlug, webhookID string, p DeliveryListParams, opts ...RequestOption,
) iter.Seq2[Delivery, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[Delivery], error) {
		p.Limit, p.Page = limit, number
		return s.Deliveries(ctx, orgSlug, webhookID, p, opts...)
	})
}

// Test queues an [webhook.EventWebhookTestPing] for a webhook, whatever it has subscribed to; how
// that went is in its Deliveries. POST /api/organizations/:org_slug/webhooks/:webhook_id/test;
// bearer, capability webhooks.manage; not repeated when its outcome is unknown.
func (s *WebhooksService) Test(ctx context.Context, orgSlug, webhookID string, opts ...RequestOption) (*WebhookTest, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("webhook_id", webhookID)
	body, err := invoke[webhookTestBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/webhooks/:webhook_id/test",
		args: []string{orgSlug, webhookID}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &body.WebhookTest, nil
}

// EventTypes returns the events that this server lets webhooks subscribe to. GET
// /api/organizations/:org_slug/webhooks/event-types; bearer; may be repeated; cached for the stale
// fallback.
func (s *WebhooksService) EventTypes(ctx context.Context, orgSlug string, opts ...RequestOption) ([]EventTypeInfo, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[EventTypeInfo, *EventTypeInfo]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/webhooks/event-types", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}
