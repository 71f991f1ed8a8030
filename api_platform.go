package authos

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// PlatformService is for the owners of the platform. To everybody else its routes return 403, as
// plain text, which is [ErrForbidden] like any other.
type PlatformService struct {
	// Organizations are all organizations, Owners the platform's owners, Users all users.
	Organizations *PlatformOrganizationsService
	Owners        *PlatformOwnersService
	Users         *PlatformUsersService
	// AuditLog is what the owners did; Analytics counts; MFA is about second factors.
	AuditLog  *PlatformAuditLogService
	Analytics *PlatformAnalyticsService
	MFA       *PlatformMFAService
	// Bootstrap is the configuration of a server that manages itself.
	Bootstrap *BootstrapService

	c *Client
}

func newPlatform(c *Client) *PlatformService {
	return &PlatformService{
		Organizations: &PlatformOrganizationsService{c}, Owners: &PlatformOwnersService{c}, Users: &PlatformUsersService{c},
		AuditLog: &PlatformAuditLogService{c}, Analytics: &PlatformAnalyticsService{c}, MFA: &PlatformMFAService{c},
		Bootstrap: &BootstrapService{c},
		c:         c,
	}
}

// ImpersonateParams say whom to act as, and why.
type ImpersonateParams struct {
	UserID string `json:"user_id"`
	// Reason is 1 to 500 characters, blanks around them not counted. It goes on record in the
	// platform's audit log.
	Reason string `json:"reason"`
}

// ImpersonationUser is one of the two users of an impersonation.
type ImpersonationUser struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	// OrgID and OrgName are the organization that the session is bound to, the first the target
	// belongs to. Empty: the target belongs to none; always so of the actor.
	OrgID   string `json:"org_id,omitempty"`
	OrgName string `json:"org_name,omitempty"`
}

func (u *ImpersonationUser) missing() string { return missingID(u.ID) }

// Impersonation is a session in the name of another user.
type Impersonation struct {
	// Tokens hold no refresh token: the session ends 15 minutes after the response.
	Tokens Tokens
	// TargetUser is who is impersonated, ActorUser who does it.
	TargetUser, ActorUser ImpersonationUser
}

// Format implements [fmt.Formatter]: behind a pointer within another value some verbs would print
// the token.
func (i Impersonation) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "Impersonation(%s by %s, %v)", i.TargetUser.Email, i.ActorUser.Email, i.Tokens)
}

// LogValue implements [slog.LogValuer]; it leaves the token out.
func (i Impersonation) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(i)) }

type impersonationBody struct {
	Token      string            `json:"token"` // not access_token, as elsewhere
	TargetUser ImpersonationUser `json:"target_user"`
	ActorUser  ImpersonationUser `json:"actor_user"`
}

func (b *impersonationBody) missing() string {
	if b.Token == "" {
		return "token"
	}
	return cmp.Or(b.TargetUser.missing(), b.ActorUser.missing())
}

const (
	impersonationLife   = 15 * time.Minute // fixed in the server, which does not send it
	maxImpersonateCause = 500              // characters
)

// OperationsStatus counts the server's background work, now.
type OperationsStatus struct {
	JobsPending             int64 `json:"jobs_pending"`
	JobsRunning             int64 `json:"jobs_running"`
	JobsFailed              int64 `json:"jobs_failed"`
	WebhookDeliveriesFailed int64 `json:"webhook_deliveries_failed"`
	// SIEMConfigsEnabled are the log streams that are on, SIEMConfigsWithFailures those of them
	// that fail.
	SIEMConfigsEnabled      int64 `json:"siem_configs_enabled"`
	SIEMConfigsWithFailures int64 `json:"siem_configs_with_failures"`
}

// operationsBody takes one count through a pointer: in a response of counts alone, absent and 0 are
// not told apart otherwise.
type operationsBody struct {
	OperationsStatus
	Pending *int64 `json:"jobs_pending"` // goes before the embedded one
}

func (b *operationsBody) missing() string {
	if b.Pending == nil {
		return "jobs_pending"
	}
	return ""
}

func (b *operationsBody) status() *OperationsStatus {
	b.JobsPending = *b.Pending
	return &b.OperationsStatus
}

// Tiers returns what organizations may be put on, cheapest first. GET /api/platform/tiers; bearer,
// platform owner; may be repeated; cached for the stale fallback.
func (s *PlatformService) Tiers(ctx context.Context, opts ...RequestOption) ([]Tier, error) {
	list, err := invoke[bare[Tier, *Tier]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/tiers",
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Impersonate opens a session in the name of another user, for support; [Client.With] makes a
// client of it. POST /api/platform/impersonate; bearer, platform owner; not repeated when its
// outcome is unknown.
//
// The session cannot be refreshed. It is on record with its reason, and ends early when the actor
// is no longer an owner of the platform. A user that does not exist is 404 NOT_FOUND; impersonating
// from within an impersonation is 403 FORBIDDEN.
func (s *PlatformService) Impersonate(ctx context.Context, p ImpersonateParams, opts ...RequestOption) (*Impersonation, error) {
	var in checks
	in.required("user_id", p.UserID)
	switch reason := strings.TrimSpace(p.Reason); {
	case reason == "":
		in.add("reason", CodeRequired, "must not be empty")
	case utf8.RuneCountInString(reason) > maxImpersonateCause:
		in.add("reason", CodeOutOfRange, "must be 1 to 500 characters")
	}
	body, err := invoke[impersonationBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/impersonate", body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &Impersonation{
		Tokens:     Tokens{AccessToken: body.Token, ExpiresAt: time.Now().Add(impersonationLife)},
		TargetUser: body.TargetUser, ActorUser: body.ActorUser,
	}, nil
}

// OperationsStatus returns how the server's background work stands. GET
// /api/platform/operations/status; bearer, platform owner; may be repeated; cached for the stale
// fallback.
func (s *PlatformService) OperationsStatus(ctx context.Context, opts ...RequestOption) (*OperationsStatus, error) {
	body, err := invoke[operationsBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/operations/status",
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.status(), nil
}
