package authos

import (
	"context"
	"iter"
	"net/http"
)

// AuditLogService is the record of what was done in an organization. It is for bearers with the
// capability audit_logs.view, and asks for an active organization; others get 403 FORBIDDEN. What
// was done is on the record about a second later.
type AuditLogService struct{ c *Client }

// AuditActor is who did something, as far as is still known.
type AuditActor struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

// AuditLogEntry is one thing that was done in an organization, or tried.
type AuditLogEntry struct {
	ID    string `json:"id"`
	OrgID string `json:"organization_id"`
	// ActorID is a user's id, or says what acted where no user did. Actor is nil when the server
	// knows of no such user.
	ActorID string      `json:"actor_id"`
	Actor   *AuditActor `json:"actor"`
	// Action is what was done, such as "member.role_changed", to the thing of type TargetType and
	// id TargetID.
	Action     string `json:"action"`
	TargetType string `json:"target_type"`
	TargetID   string `json:"target_id"`
	// IPAddress and UserAgent are empty when not known.
	IPAddress string `json:"ip_address"`
	UserAgent string `json:"user_agent"`
	Success   bool   `json:"success"`
	// Metadata says more, in a form that depends on Action; nil when there is none. The server
	// leaves secrets out.
	Metadata  Metadata `json:"metadata"`
	CreatedAt Time     `json:"created_at"` // whole seconds
}

func (e *AuditLogEntry) missing() string {
	switch {
	case e.Action == "":
		return "action"
	case e.Actor != nil && e.Actor.ID == "":
		return "id of the actor"
	}
	return missingID(e.ID)
}

// AuditLogListParams choose entries: those of one action, or those of one target, or all.
type AuditLogListParams struct {
	// Action is what was done, exactly as [AuditLogEntry] has it. It cannot be combined with a
	// target.
	Action string
	// TargetType and TargetID name one target; either both or none.
	TargetType, TargetID string
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 50; for
	// All, 100.
	Limit, Page int
}

// check refuses filters that the server would apply to the total and not to the rows: an action
// makes it ignore the target, and half a target is none.
func (p *AuditLogListParams) check(in *checks) {
	if p.Action != "" && (p.TargetType != "" || p.TargetID != "") {
		*in = append(*in, FieldError{
			Fields: []string{"action", "target_type", "target_id"}, Code: CodeInvalidRange,
			Message: "an action and a target cannot be combined: the server would list every target's entries",
		})
	}
	switch {
	case p.TargetType != "" && p.TargetID == "":
		in.add("target_id", CodeRequired, "is needed with target_type: the server ignores half a target")
	case p.TargetType == "" && p.TargetID != "":
		in.add("target_type", CodeRequired, "is needed with target_id: the server ignores half a target")
	}
}

// pageCount is what the lists with the most to say about their pages say, as far as it is of use:
// how many items there are in all.
type pageCount struct {
	Total *int64 `json:"total"`
}

type auditLogList struct {
	Logs       *[]AuditLogEntry `json:"logs"`
	Pagination pageCount        `json:"pagination"`
}

func (l *auditLogList) missing() string { return missingItem("logs", l.Logs) }

// List returns one page of an organization's record, newest first. GET
// /api/organizations/:org_slug/audit-log; bearer, capability audit_logs.view; may be repeated;
// cached for the stale fallback.
func (s *AuditLogService) List(
	ctx context.Context, orgSlug string, p AuditLogListParams, opts ...RequestOption,
) (*Page[AuditLogEntry], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.numbered(p.Limit, p.Page)
	p.check(&in)
	q := numbering(p.Limit, p.Page)
	put(q, "action", p.Action)
	put(q, "target_type", p.TargetType)
	put(q, "target_id", p.TargetID)
	list, err := invoke[auditLogList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/audit-log", args: []string{orgSlug}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Logs, list.Pagination.Total), nil
}

// All iterates over an organization's record from p.Page on, p.Limit at a time. It stops at the
// first error, which it yields last. What is done meanwhile moves the pages: an entry may then be
// seen twice.
func (s *AuditLogService) All(
	ctx context.Context, orgSlug string, p AuditLogListParams, opts ...RequestOption,
) iter.Seq2[AuditLogEntry, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[AuditLogEntry], error) {
		p.Limit, p.Page = limit, number
		return s.List(ctx, orgSlug, p, opts...)
	})
}

// EventTypes returns the server's own list of names for display. It is a fixed list that does not
// match what is recorded, so it is of no use as [AuditLogListParams].Action. GET
// /api/organizations/:org_slug/audit-log/event-types; bearer, capability audit_logs.view; may be
// repeated; cached for the stale fallback.
func (s *AuditLogService) EventTypes(ctx context.Context, orgSlug string, opts ...RequestOption) ([]EventTypeInfo, error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[bare[EventTypeInfo, *EventTypeInfo]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/audit-log/event-types", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}
