package authostest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) webhookRoutes() {
	const all = "/api/organizations/:org_slug/webhooks"
	t.add("POST", all, bearer, (*call).createWebhook)
	t.add("GET", all, bearer, (*call).listWebhooks)
	t.add("GET", all+"/event-types", bearer, (*call).webhookEventTypes)
	t.add("GET", all+"/:webhook_id", bearer, (*call).getWebhook)
	t.add("PATCH", all+"/:webhook_id", bearer, (*call).updateWebhook)
	t.add("DELETE", all+"/:webhook_id", bearer, (*call).deleteWebhook)
	t.add("GET", all+"/:webhook_id/deliveries", bearer, (*call).listDeliveries)
	t.add("POST", all+"/:webhook_id/test", bearer, (*call).testWebhook)
}

// webhookEvents are those that can be subscribed to. The server publishes few of
// them.
var webhookEvents = []string{
	"user.signup.success", "user.login.success", "user.login.failed", "user.logout",
	"user.mfa.enabled", "user.mfa.disabled", "user.mfa.verify.success", "user.mfa.verify.failed",
	"user.invited", "user.joined", "user.removed", "user.role_updated",
	"service.created", "service.updated", "service.deleted", "service.oauth_credentials.updated",
	"organization.updated", "organization.smtp.configured", "organization.smtp.removed",
	"plan.created", "plan.updated", "plan.deleted",
	"subscription.created", "subscription.updated", "subscription.canceled",
	"invitation.accepted", "invitation.declined", "invitation.expired", "invitation.revoked",
	"security.mfa.enabled", "security.mfa.disabled", "security.password.changed",
	"api_key.created", "api_key.deleted",
	"domain.set", "domain.verified", "domain.deleted", "branding.updated",
}

type webhook struct {
	id, name, url string
	events        []string
	enabled       bool
	secret        string
	org           *organization
	created       time.Time
	updated       time.Time
	dispatches    []*dispatch // oldest first
	deleted       bool
}

func (o *organization) addWebhook(name, url string, events []string, now time.Time) *webhook {
	now = now.Truncate(time.Microsecond)
	w := &webhook{
		id: o.entropy.newID(), name: name, url: url, events: slices.Clone(events), enabled: true,
		secret: base64.StdEncoding.EncodeToString(o.entropy.bytes(32)), org: o, created: now, updated: now,
	}
	o.webhooks = append(o.webhooks, w)
	return w
}

type webhookModel struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	IsActive  bool     `json:"is_active"`
	Secret    string   `json:"secret,omitempty"` // in the response to a create only
	CreatedAt string   `json:"created_at"`
	UpdatedAt string   `json:"updated_at"`
}

func newWebhookModel(w *webhook) webhookModel {
	return webhookModel{w.id, w.name, w.url, w.events, w.enabled, "", stampZ(w.created), stampZ(w.updated)}
}

// webhookInput is what can be set; a create requires the first three.
type webhookInput struct {
	Name     *string   `json:"name"`
	URL      *string   `json:"url"`
	Events   *[]string `json:"events"`
	IsActive *bool     `json:"is_active"`
}

func (c *call) checkWebhook(in webhookInput) *response {
	if in.Name != nil && strings.TrimSpace(*in.Name) == "" {
		a := c.invalid("name", "REQUIRED", "Webhook name cannot be empty")
		return &a
	}
	if in.URL != nil {
		if strings.TrimSpace(*in.URL) == "" {
			a := c.invalid("url", "REQUIRED", "Webhook URL cannot be empty")
			return &a
		}
		if !strings.HasPrefix(*in.URL, "http://") && !strings.HasPrefix(*in.URL, "https://") {
			a := c.invalid("url", "INVALID_FORMAT", "Webhook URL must start with http:// or https://")
			return &a
		}
	}
	if in.Events == nil {
		return nil
	}
	if len(*in.Events) == 0 {
		a := c.invalid("events", "REQUIRED", "At least one event must be specified")
		return &a
	}
	for _, event := range *in.Events {
		if !slices.Contains(webhookEvents, event) {
			a := c.invalid("events", "INVALID_VALUE",
				"Invalid event type: "+event+". Valid types: "+strings.Join(webhookEvents, ", "))
			return &a
		}
	}
	return nil
}

// webhooksOrg finds the organization of the path for who may manage webhooks.
func (c *call) webhooksOrg() (*organization, *response) {
	return c.orgFor("manage webhooks", "webhooks.manage")
}

// pathWebhook finds the webhook of the path.
func (c *call) pathWebhook() (*webhook, *response) {
	o, refused := c.webhooksOrg()
	if refused != nil {
		return nil, refused
	}
	w := find(o.webhooks, func(w *webhook) bool { return w.id == c.params[1] })
	if w == nil {
		a := c.notFound("Webhook not found")
		return nil, &a
	}
	return w, nil
}

// webhookNamed refuses a name that another webhook of the organization has.
func (c *call) webhookNamed(o *organization, name string, own *webhook) *response {
	if other := find(o.webhooks, func(w *webhook) bool { return w.name == name }); other == nil || other == own {
		return nil
	}
	a := c.taken("A webhook with this name already exists")
	return &a
}

func (c *call) createWebhook() response {
	in, bad := decode[struct {
		Name   string   `json:"name"`
		URL    string   `json:"url"`
		Events []string `json:"events"`
	}](c, plainJSON)
	if bad == nil {
		bad = c.checkWebhook(webhookInput{Name: &in.Name, URL: &in.URL, Events: &in.Events})
	}
	if bad != nil {
		return *bad
	}
	o, refused := c.webhooksOrg()
	if refused == nil {
		refused = c.webhookNamed(o, in.Name, nil)
	}
	if refused != nil {
		return *refused
	}
	w := o.addWebhook(in.Name, in.URL, in.Events, c.now)
	c.applied = true
	model := newWebhookModel(w)
	model.Secret = w.secret
	return jsonResponse(http.StatusOK, model)
}

func (c *call) listWebhooks() response {
	o, refused := c.webhooksOrg()
	if refused != nil {
		return *refused
	}
	list := []webhookModel{}
	for _, w := range slices.Backward(o.webhooks) {
		list = append(list, newWebhookModel(w))
	}
	return jsonResponse(http.StatusOK, struct {
		Webhooks []webhookModel `json:"webhooks"`
		Total    int            `json:"total"`
	}{list, len(list)})
}

func (c *call) getWebhook() response {
	w, refused := c.pathWebhook()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, newWebhookModel(w))
}

func (c *call) updateWebhook() response {
	in, bad := decode[webhookInput](c, plainJSON)
	if bad != nil {
		return *bad
	}
	w, refused := c.pathWebhook()
	if refused != nil {
		return *refused
	}
	if bad := c.checkWebhook(in); bad != nil {
		return *bad
	}
	if in.Name != nil {
		if refused := c.webhookNamed(w.org, *in.Name, w); refused != nil {
			return *refused
		}
	}
	if in != (webhookInput{}) {
		set(&w.name, in.Name)
		set(&w.url, in.URL)
		set(&w.events, in.Events)
		set(&w.enabled, in.IsActive)
		w.updated = c.now.Truncate(time.Microsecond)
		c.applied = true
	}
	return jsonResponse(http.StatusOK, newWebhookModel(w))
}

// deleteWebhook ends its deliveries too.
func (c *call) deleteWebhook() response {
	w, refused := c.pathWebhook()
	if refused != nil {
		return *refused
	}
	w.org.webhooks, w.deleted = without(w.org.webhooks, w), true
	c.applied = true
	return null()
}

// webhookEventTypes is the same for everybody who is signed in.
func (c *call) webhookEventTypes() response {
	list := make([]eventType, 0, len(webhookEvents))
	for _, name := range webhookEvents {
		list = append(list, newEventType(name, strings.ToUpper(strings.NewReplacer(".", " ", "_", " ").Replace(name))))
	}
	return jsonResponse(http.StatusOK, list)
}

type dispatchModel struct {
	ID                 string          `json:"id"`
	WebhookID          string          `json:"webhook_id"`
	WebhookName        string          `json:"webhook_name"`
	EventType          string          `json:"event_type"`
	Payload            json.RawMessage `json:"payload"`
	ResponseStatusCode *int            `json:"response_status_code"`
	ResponseBody       *string         `json:"response_body"`
	AttemptCount       int             `json:"attempt_count"`
	MaxAttempts        int             `json:"max_attempts"`
	NextRetryAt        *string         `json:"next_retry_at"`
	Delivered          bool            `json:"delivered"`
	DeliveryError      *string         `json:"delivery_error"`
	CreatedAt          string          `json:"created_at"`
	UpdatedAt          string          `json:"updated_at"`
}

func newDispatchModel(d *dispatch) dispatchModel {
	return dispatchModel{
		d.id, d.webhook.id, d.webhook.name, d.event, d.payload, d.status, d.response, d.attempts, maxAttempts,
		stamped(d.next, stampZ), d.delivered, optional(d.problem), stampZ(d.created), stampZ(d.updated),
	}
}

func (c *call) listDeliveries() response {
	page, limit, bad := c.page(50)
	if bad != nil {
		return *bad
	}
	delivered, bad := c.truth("delivered")
	if bad != nil {
		return *bad
	}
	w, refused := c.pathWebhook()
	if refused != nil {
		return *refused
	}
	query := c.r.URL.Query()
	list := []dispatchModel{}
	for _, d := range slices.Backward(w.dispatches) {
		if (!query.Has("event_type") || d.event == query.Get("event_type")) && (delivered == nil || d.delivered == *delivered) {
			list = append(list, newDispatchModel(d))
		}
	}
	return jsonResponse(http.StatusOK, struct {
		Deliveries []dispatchModel `json:"deliveries"`
		Pagination pagination      `json:"pagination"`
	}{pageOf(list, page, limit), newPagination(page, limit, len(list))})
}

// testWebhook queues a ping, whatever the webhook has subscribed to.
func (c *call) testWebhook() response {
	w, refused := c.pathWebhook()
	if refused != nil {
		return *refused
	}
	const ping = "webhook.test.ping"
	d := c.s.dispatch(w, ping, encode(details{
		"event": ping, "timestamp": stampOffset(c.now), "organization_id": w.org.id, "actor_user_id": c.user.ID,
		"message": "This is a test event triggered from the AuthOS dashboard.",
	}), c.now)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Success    bool   `json:"success"`
		JobID      string `json:"job_id"`
		DeliveryID string `json:"delivery_id"`
	}{true, c.s.newID(), d.id})
}
