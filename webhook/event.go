package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// EventType names what happened. A type that is not listed here stays as it came: newer servers may
// have more.
type EventType string

// The events that a webhook can subscribe to. Servers publish only some of them; sign-up, login and
// MFA events are sure.
const (
	EventUserSignupSuccess              EventType = "user.signup.success"
	EventUserLoginSuccess               EventType = "user.login.success"
	EventUserLoginFailed                EventType = "user.login.failed"
	EventUserLogout                     EventType = "user.logout"
	EventUserMFAEnabled                 EventType = "user.mfa.enabled"
	EventUserMFADisabled                EventType = "user.mfa.disabled"
	EventUserMFAVerifySuccess           EventType = "user.mfa.verify.success"
	EventUserMFAVerifyFailed            EventType = "user.mfa.verify.failed"
	EventUserInvited                    EventType = "user.invited"
	EventUserJoined                     EventType = "user.joined"
	EventUserRemoved                    EventType = "user.removed"
	EventUserRoleUpdated                EventType = "user.role_updated"
	EventServiceCreated                 EventType = "service.created"
	EventServiceUpdated                 EventType = "service.updated"
	EventServiceDeleted                 EventType = "service.deleted"
	EventServiceOAuthCredentialsUpdated EventType = "service.oauth_credentials.updated" //nolint:gosec // a name, no credential
	EventOrganizationUpdated            EventType = "organization.updated"
	EventOrganizationSMTPConfigured     EventType = "organization.smtp.configured"
	EventOrganizationSMTPRemoved        EventType = "organization.smtp.removed"
	EventPlanCreated                    EventType = "plan.created"
	EventPlanUpdated                    EventType = "plan.updated"
	EventPlanDeleted                    EventType = "plan.deleted"
	EventSubscriptionCreated            EventType = "subscription.created"
	EventSubscriptionUpdated            EventType = "subscription.updated"
	EventSubscriptionCanceled           EventType = "subscription.canceled"
	EventInvitationAccepted             EventType = "invitation.accepted"
	EventInvitationDeclined             EventType = "invitation.declined"
	EventInvitationExpired              EventType = "invitation.expired"
	EventInvitationRevoked              EventType = "invitation.revoked"
	EventSecurityMFAEnabled             EventType = "security.mfa.enabled"
	EventSecurityMFADisabled            EventType = "security.mfa.disabled"
	EventSecurityPasswordChanged        EventType = "security.password.changed"
	EventAPIKeyCreated                  EventType = "api_key.created"
	EventAPIKeyDeleted                  EventType = "api_key.deleted"
	EventDomainSet                      EventType = "domain.set"
	EventDomainVerified                 EventType = "domain.verified"
	EventDomainDeleted                  EventType = "domain.deleted"
	EventBrandingUpdated                EventType = "branding.updated"
)

// SubscribableEvents lists the events that a webhook can subscribe to, in the server's order.
func SubscribableEvents() []EventType {
	return []EventType{
		EventUserSignupSuccess, EventUserLoginSuccess, EventUserLoginFailed, EventUserLogout,
		EventUserMFAEnabled, EventUserMFADisabled, EventUserMFAVerifySuccess, EventUserMFAVerifyFailed,
		EventUserInvited, EventUserJoined, EventUserRemoved, EventUserRoleUpdated, EventServiceCreated,
		EventServiceUpdated, EventServiceDeleted, EventServiceOAuthCredentialsUpdated,
		EventOrganizationUpdated, EventOrganizationSMTPConfigured, EventOrganizationSMTPRemoved,
		EventPlanCreated, EventPlanUpdated, EventPlanDeleted, EventSubscriptionCreated,
		EventSubscriptionUpdated, EventSubscriptionCanceled, EventInvitationAccepted,
		EventInvitationDeclined, EventInvitationExpired, EventInvitationRevoked, EventSecurityMFAEnabled,
		EventSecurityMFADisabled, EventSecurityPasswordChanged, EventAPIKeyCreated, EventAPIKeyDeleted,
		EventDomainSet, EventDomainVerified, EventDomainDeleted, EventBrandingUpdated,
	}
}

// EventWebhookTestPing is what a test of the webhook sends, whatever the webhook has subscribed to.
const EventWebhookTestPing EventType = "webhook.test.ping"

// Event is one event of an organization. Members that the server left out are zero.
type Event struct {
	// ID is the SHA-256 of the body in hexadecimal. The server sends no id of its own. Redeliveries
	// have the same body and so the same ID; deliveries of one event to several webhooks may have
	// it too.
	ID string
	// Type is what happened.
	Type EventType
	// Timestamp is when it happened, in UTC. It is part of the signed body, unlike the time in the
	// delivery's header. Zero when the body has none that can be read.
	Timestamp time.Time
	// OrgID is the organization where it happened.
	OrgID string
	// ActorUserID and ActorEmail are who did it.
	ActorUserID, ActorEmail string
	// TargetType and TargetID are what it was done to.
	TargetType, TargetID string
	// Data is what else the type of event has to say; nil when there is nothing. [Event.DecodeData]
	// reads it.
	Data json.RawMessage
	// Body is the whole body as it was signed.
	Body []byte
}

// DecodeData reads the event's data into v, as [json.Unmarshal] does. It returns [io.EOF] when
// there are none.
func (e Event) DecodeData(v any) error {
	if len(e.Data) == 0 {
		return io.EOF
	}
	return json.Unmarshal(e.Data, v)
}

// String names the event. It holds nothing of its content.
func (e Event) String() string { return string(e.Type) + " " + e.ID }

// LogValue implements [slog.LogValuer] with what identifies the event, without persons and data.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("type", string(e.Type)),
		slog.String("id", e.ID),
		slog.Time("timestamp", e.Timestamp),
		slog.String("organization_id", e.OrgID),
	)
}

// parseEvent reads an authentic body. What it holds was said by the server, so a member of an
// unexpected type costs that member only: an event that is refused is lost.
func parseEvent(body []byte) (Event, error) {
	var in struct {
		Event          string          `json:"event"`
		Timestamp      string          `json:"timestamp"`
		OrganizationID string          `json:"organization_id"`
		ActorUserID    string          `json:"actor_user_id"`
		ActorEmail     string          `json:"actor_email"`
		TargetType     string          `json:"target_type"`
		TargetID       string          `json:"target_id"`
		Data           json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		// json's own text would quote the body. After a wrong type it has read everything else.
		if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); !wrongType {
			return Event{}, fmt.Errorf("%w: not JSON", ErrPayload)
		}
	}
	if in.Event == "" {
		return Event{}, fmt.Errorf("%w: no member event", ErrPayload)
	}
	if bytes.Equal(in.Data, []byte("null")) {
		in.Data = nil
	}
	id := sha256.Sum256(body)
	return Event{
		ID: hex.EncodeToString(id[:]), Type: EventType(in.Event), Timestamp: parseTime(in.Timestamp), OrgID: in.OrganizationID,
		ActorUserID: in.ActorUserID, ActorEmail: in.ActorEmail, TargetType: in.TargetType, TargetID: in.TargetID,
		Data: in.Data, Body: bytes.Clone(body), // the caller may use its buffer again
	}, nil
}

// parseTime reads a time in the formats of AuthOS's API. Payloads have RFC 3339 with an offset; the
// others have no zone and are UTC.
func parseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
