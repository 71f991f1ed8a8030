package authostest

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) auditRoutes() {
	t.add("GET", "/api/organizations/:org_slug/audit-log", bearer, (*call).auditLog)
	t.add("GET", "/api/organizations/:org_slug/audit-log/event-types", bearer, (*call).auditEventTypes)
}

// details say more about an event.
type details map[string]any

// auditEntry is an action of a member, or of a service with its key.
type auditEntry struct {
	id                   string
	actor                *user // nil for a service
	action               string
	targetType, targetID string
	ip, agent            string
	details              details
	created              time.Time // whole seconds
}

// systemActor stands where nobody was signed in.
const systemActor = "system"

// record puts an action on the organization's record. Rows are there at once; on
// real servers they take about a second.
func (c *call) record(o *organization, action, targetType, targetID string, more details) {
	host, _, _ := net.SplitHostPort(c.r.RemoteAddr) // empty in memory
	o.audits = append(newest(o.audits, maxAudits), &auditEntry{
		id: c.s.newID(), actor: c.user, action: action, targetType: targetType, targetID: targetID,
		ip: host, agent: c.r.UserAgent(), details: more, created: c.now.Truncate(time.Second),
	})
}

type auditModel struct {
	ID             string      `json:"id"`
	OrganizationID string      `json:"organization_id"`
	ActorID        string      `json:"actor_id"`
	Actor          *actorModel `json:"actor,omitempty"`
	Action         string      `json:"action"`
	TargetType     string      `json:"target_type"`
	TargetID       string      `json:"target_id"`
	IPAddress      string      `json:"ip_address,omitempty"`
	UserAgent      string      `json:"user_agent,omitempty"`
	Success        bool        `json:"success"`
	Metadata       details     `json:"metadata,omitempty"`
	CreatedAt      string      `json:"created_at"`
}

type actorModel struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

func newAuditModel(o *organization, e *auditEntry) auditModel {
	m := auditModel{
		e.id, o.id, systemActor, nil, e.action, e.targetType, e.targetID, e.ip, e.agent, true, e.details, stampOffset(e.created),
	}
	if e.actor != nil {
		m.ActorID, m.Actor = e.actor.ID, &actorModel{e.actor.ID, e.actor.Email}
	}
	return m
}

// auditLog counts with all filters and shows with one: the action, or else a whole
// target.
func (c *call) auditLog() response {
	page, limit, bad := c.page(50)
	if bad != nil {
		return *bad
	}
	o, refused := c.orgFor("view organization audit logs", "audit_logs.view")
	if refused != nil {
		return *refused
	}
	query := c.r.URL.Query()
	same := func(name, value string) bool { return !query.Has(name) || query.Get(name) == value }
	total, list := 0, []auditModel{}
	for _, e := range slices.Backward(o.audits) {
		action := same("action", e.action)
		target := same("target_type", e.targetType) && same("target_id", e.targetID)
		if action && target {
			total++
		}
		switch {
		case query.Has("action") && !action:
		case !query.Has("action") && query.Has("target_type") && query.Has("target_id") && !target:
		default:
			list = append(list, newAuditModel(o, e))
		}
	}
	return jsonResponse(http.StatusOK, struct {
		Logs       []auditModel `json:"logs"`
		Pagination pagination   `json:"pagination"`
	}{pageOf(list, page, limit), newPagination(page, limit, total)})
}

type eventType struct {
	Value    string `json:"value"`
	Label    string `json:"label"`
	Category string `json:"category"`
}

// eventCategories go by what an event's name begins with.
var eventCategories = map[string]string{
	"user": "User Management", "service": "Service Management", "organization": "Organization Management",
	"plan": "Plan Management", "subscription": "Subscription Management", "invitation": "Invitation Management",
	"security": "Security", "api_key": "API Keys", "domain": "Custom Domains", "branding": "Branding",
}

func newEventType(name, label string) eventType {
	group, _, _ := strings.Cut(name, ".")
	return eventType{name, label, eventCategories[group]}
}

// auditEventTypes is a list of its own: it does not name what is recorded.
func (c *call) auditEventTypes() response {
	if _, refused := c.orgFor("view organization audit logs", "audit_logs.view"); refused != nil {
		return *refused
	}
	list := []eventType{}
	for _, name := range webhookEvents {
		if label := auditLabels[name]; label != "" {
			list = append(list, newEventType(name, label))
		}
	}
	return jsonResponse(http.StatusOK, list)
}

var auditLabels = map[string]string{
	"user.invited": "User Invited", "user.joined": "User Joined", "user.removed": "User Removed",
	"user.role_updated": "User Role Updated",
	"service.created":   "Service Created", "service.updated": "Service Updated", "service.deleted": "Service Deleted",
	"service.oauth_credentials.updated": "Service OAuth Credentials Updated",
	"organization.updated":              "Organization Updated", "organization.smtp.configured": "Organization SMTP Configured",
	"organization.smtp.removed": "Organization SMTP Removed",
	"plan.created":              "Plan Created", "plan.updated": "Plan Updated", "plan.deleted": "Plan Deleted",
	"subscription.created": "Subscription Created", "subscription.updated": "Subscription Updated",
	"subscription.canceled": "Subscription Canceled",
	"invitation.accepted":   "Invitation Accepted", "invitation.declined": "Invitation Declined",
	"invitation.expired": "Invitation Expired", "invitation.revoked": "Invitation Revoked",
	"security.mfa.enabled": "MFA Enabled", "security.mfa.disabled": "MFA Disabled",
	"security.password.changed": "Password Changed",
}
