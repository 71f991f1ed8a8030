package authos

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// PlatformAuditLogService is the record of what the platform's owners did.
type PlatformAuditLogService struct{ c *Client }

// PlatformAnalyticsService counts what the whole platform does.
type PlatformAnalyticsService struct{ c *Client }

// PlatformMFAService is about second factors on the whole platform. Its rows are the server's JSON
// as it came: AuthOS does not document their members, and fields here would be a guess. They are
// never served stale.
type PlatformMFAService struct{ c *Client }

// PlatformAction is what was done. Other values than those named here are kept as the server sent
// them.
type PlatformAction string

// The actions on record.
const (
	PlatformActionApproveOrganization        PlatformAction = "approve_organization"
	PlatformActionRejectOrganization         PlatformAction = "reject_organization"
	PlatformActionSuspendOrganization        PlatformAction = "suspend_organization"
	PlatformActionActivateOrganization       PlatformAction = "activate_organization"
	PlatformActionUpdateOrganizationTier     PlatformAction = "update_organization_tier"
	PlatformActionUpdateOrganizationFeatures PlatformAction = "update_organization_features"
	// PlatformActionDeleteOrganization is by an owner of the platform.
	PlatformActionDeleteOrganization PlatformAction = "delete_organization"
	// PlatformActionOrganizationDeleted is by its own owner.
	PlatformActionOrganizationDeleted PlatformAction = "org.deleted"
	PlatformActionPromoteOwner        PlatformAction = "promote_platform_owner"
	PlatformActionDemoteOwner         PlatformAction = "demote_platform_owner"
	PlatformActionDisableMFA          PlatformAction = "force_disable_mfa"
	PlatformActionImpersonate         PlatformAction = "user.impersonate"
)

// PlatformAuditEntry is one action of an owner of the platform.
type PlatformAuditEntry struct {
	ID              string         `json:"id"`
	PlatformOwnerID string         `json:"platform_owner_id"`
	Action          PlatformAction `json:"action"`
	// TargetType says what TargetID names, such as "organization" or "user".
	TargetType string `json:"target_type"`
	TargetID   string `json:"target_id"`
	// Metadata is what the server noted of the action, nil when nothing. Its shape differs from
	// action to action.
	Metadata  Metadata `json:"metadata"`
	CreatedAt Time     `json:"created_at"`
}

func (e *PlatformAuditEntry) missing() string { return missingID(e.ID) }

// PlatformAuditLogListParams choose entries, and a page of them.
type PlatformAuditLogListParams struct {
	// Action, TargetType and TargetID list entries that match all that are given; empty: any.
	Action               PlatformAction
	TargetType, TargetID string
	// Limit is 1 to 100; zero: the server's default, 50; for All, 100. Offset is how many entries
	// to skip.
	Limit, Offset int
}

type platformAuditList struct {
	Logs  *[]PlatformAuditEntry `json:"logs"`
	Total *int64                `json:"total"`
}

func (l *platformAuditList) missing() string { return missingItem("logs", l.Logs) }

// PlatformOverview counts what there is on the platform.
type PlatformOverview struct {
	TotalOrganizations int64 `json:"total_organizations"`
	// TotalUsers are those who run the platform and its organizations, TotalEndUsers those who sign
	// in to services.
	TotalUsers    int64 `json:"total_users"`
	TotalEndUsers int64 `json:"total_end_users"`
	TotalServices int64 `json:"total_services"`
	// Sign-ins in the last 24 hours, and in the last 30 days.
	TotalLogins24h int64 `json:"total_logins_24h"`
	TotalLogins30d int64 `json:"total_logins_30d"`
}

type platformOverviewBody struct {
	PlatformOverview
	// goes before the embedded one; see operationsBody
	Organizations *int64 `json:"total_organizations"`
}

func (b *platformOverviewBody) missing() string {
	if b.Organizations == nil {
		return "total_organizations"
	}
	return ""
}

func (b *platformOverviewBody) overview() *PlatformOverview {
	b.TotalOrganizations = *b.Organizations
	return &b.PlatformOverview
}

// OrganizationStatusCounts are how many organizations are in each state.
type OrganizationStatusCounts struct {
	Pending   int64 `json:"pending"`
	Active    int64 `json:"active"`
	Suspended int64 `json:"suspended"`
	Rejected  int64 `json:"rejected"`
}

type organizationStatusBody struct {
	OrganizationStatusCounts
	Waiting *int64 `json:"pending"` // goes before the embedded one; see operationsBody
}

func (b *organizationStatusBody) missing() string {
	if b.Waiting == nil {
		return "pending"
	}
	return ""
}

func (b *organizationStatusBody) counts() *OrganizationStatusCounts {
	b.Pending = *b.Waiting
	return &b.OrganizationStatusCounts
}

// PlatformGrowth is what came to the platform on one day.
type PlatformGrowth struct {
	Date             Time  `json:"date"` // when the day begins, in UTC
	NewOrganizations int64 `json:"new_organizations"`
	NewUsers         int64 `json:"new_users"`
}

func (g *PlatformGrowth) missing() string { return missingDate(g.Date) }

// platformLogins always have a date, which those of an organization need not.
type platformLogins struct{ LoginTrend }

func (l *platformLogins) missing() string { return missingDate(l.Date) }

func missingDate(t Time) string {
	if t.IsZero() {
		return "date"
	}
	return ""
}

// TopOrganization is an organization with what makes it large.
type TopOrganization struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Slug          string `json:"slug"`
	UserCount     int64  `json:"user_count"`
	ServiceCount  int64  `json:"service_count"`
	LoginCount30d int64  `json:"login_count_30d"` // sign-ins in the last 30 days
}

func (o *TopOrganization) missing() string { return missingID(o.ID) }

// RecentOrganization is an organization that was made not long ago.
type RecentOrganization struct {
	ID        string             `json:"id"`
	Name      string             `json:"name"`
	Slug      string             `json:"slug"`
	Status    OrganizationStatus `json:"status"`
	CreatedAt Time               `json:"created_at"`
}

func (o *RecentOrganization) missing() string { return missingID(o.ID) }

// RecentOrganizationsParams say how many organizations are wanted.
type RecentOrganizationsParams struct {
	// Limit is 1 to 50; zero: the server's default, 10.
	Limit int
}

// SuspiciousActivityParams say whose alerts are wanted.
type SuspiciousActivityParams struct {
	// OrgID is the id of one organization; empty: the whole platform.
	OrgID string
}

// MFAMetricsParams choose days, and whose.
type MFAMetricsParams struct {
	// OrgID is the id of one organization; empty: the whole platform.
	OrgID string
	// Start and End are the first and the last day, in UTC, and go together. Without them it is the
	// last Days days, 1 to 366; zero: the server's default, 30.
	Start, End time.Time
	Days       int
}

const maxMetricsDays = 366

func (p MFAMetricsParams) days() DateRange { return DateRange{p.Start, p.End} }

func (p MFAMetricsParams) check(in *checks) {
	p.days().check(in)
	switch {
	case p.Start.IsZero() && !p.End.IsZero():
		in.add("start_date", CodeRequired, "is needed with end_date")
	case p.End.IsZero() && !p.Start.IsZero():
		in.add("end_date", CodeRequired, "is needed with start_date")
	}
	switch {
	case p.Days < 0 || p.Days > maxMetricsDays:
		in.add("days", CodeOutOfRange, "must be 1 to 366, or 0 for the server's default")
	case p.Days != 0 && (!p.Start.IsZero() || !p.End.IsZero()):
		in.add("days", CodeInvalidRange, "cannot be given together with start_date and end_date, for which the server would ignore it")
	}
}

func (p MFAMetricsParams) query() url.Values {
	q := p.days().query()
	put(q, "org_id", p.OrgID)
	putInt(q, "days", p.Days)
	return q
}

// MFAMetricsGenerateParams choose a day, and whose.
type MFAMetricsGenerateParams struct {
	// OrgID is the id of one organization; empty: the whole platform.
	OrgID string
	// Date is the day, in UTC; zero: today.
	Date time.Time
}

// rawRow is an object of which nothing more is known.
type rawRow struct{ json.RawMessage }

func (r *rawRow) missing() string {
	if len(r.RawMessage) == 0 || r.RawMessage[0] != '{' {
		return "an object"
	}
	return ""
}

// rawRows takes the JSON out of a list.
func rawRows(list []rawRow) []json.RawMessage {
	out := make([]json.RawMessage, len(list))
	for i, row := range list {
		out[i] = row.RawMessage
	}
	return out
}

// List returns one page of the platform's audit log. GET /api/platform/audit-log; bearer, platform
// owner; may be repeated; cached for the stale fallback.
func (s *PlatformAuditLogService) List(
	ctx context.Context, p PlatformAuditLogListParams, opts ...RequestOption,
) (*Page[PlatformAuditEntry], error) {
	var in checks
	in.page(p.Limit, p.Offset)
	q := paging(p.Limit, p.Offset)
	put(q, "action", string(p.Action))
	put(q, "target_type", p.TargetType)
	put(q, "target_id", p.TargetID)
	list, err := invoke[platformAuditList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/audit-log", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Logs, list.Total), nil
}

// All iterates over the platform's audit log from p.Offset on, p.Limit at a time. It stops at the
// first error, which it yields last.
func (s *PlatformAuditLogService) All(
	ctx context.Context, p PlatformAuditLogListParams, opts ...RequestOption,
) iter.Seq2[PlatformAuditEntry, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[PlatformAuditEntry], error) {
		p.Limit, p.Offset = limit, offset
		return s.List(ctx, p, opts...)
	})
}

// Overview counts what there is on the platform. GET /api/platform/analytics/overview; bearer,
// platform owner; may be repeated; cached for the stale fallback.
func (s *PlatformAnalyticsService) Overview(ctx context.Context, opts ...RequestOption) (*PlatformOverview, error) {
	body, err := invoke[platformOverviewBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/overview",
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.overview(), nil
}

// OrganizationStatus counts organizations by their state. GET
// /api/platform/analytics/organization-status; bearer, platform owner; may be repeated; cached for
// the stale fallback.
func (s *PlatformAnalyticsService) OrganizationStatus(ctx context.Context, opts ...RequestOption) (*OrganizationStatusCounts, error) {
	body, err := invoke[organizationStatusBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/organization-status",
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.counts(), nil
}

// GrowthTrends counts new organizations and users by day, oldest first; days without any are left
// out. GET /api/platform/analytics/growth-trends; bearer, platform owner; may be repeated; cached
// for the stale fallback.
func (s *PlatformAnalyticsService) GrowthTrends(ctx context.Context, p DateRange, opts ...RequestOption) ([]PlatformGrowth, error) {
	var in checks
	p.check(&in)
	list, err := invoke[bare[PlatformGrowth, *PlatformGrowth]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/growth-trends", query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// LoginActivity counts the platform's sign-ins by day; days without any are left out. GET
// /api/platform/analytics/login-activity; bearer, platform owner; may be repeated; cached for the
// stale fallback.
func (s *PlatformAnalyticsService) LoginActivity(ctx context.Context, p DateRange, opts ...RequestOption) ([]LoginTrend, error) {
	var in checks
	p.check(&in)
	list, err := invoke[bare[platformLogins, *platformLogins]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/login-activity", query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	days := make([]LoginTrend, len(*list))
	for i, day := range *list {
		days[i] = day.LoginTrend
	}
	return days, nil
}

// TopOrganizations returns the ten most active organizations. GET
// /api/platform/analytics/top-organizations; bearer, platform owner; may be repeated; cached for
// the stale fallback.
func (s *PlatformAnalyticsService) TopOrganizations(ctx context.Context, opts ...RequestOption) ([]TopOrganization, error) {
	list, err := invoke[bare[TopOrganization, *TopOrganization]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/top-organizations",
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// RecentOrganizations returns the organizations that were made last, newest first. GET
// /api/platform/analytics/recent-organizations; bearer, platform owner; may be repeated; cached for
// the stale fallback.
func (s *PlatformAnalyticsService) RecentOrganizations(
	ctx context.Context, p RecentOrganizationsParams, opts ...RequestOption,
) ([]RecentOrganization, error) {
	var in checks
	checkFound(&in, p.Limit)
	list, err := invoke[bare[RecentOrganization, *RecentOrganization]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/analytics/recent-organizations", query: paging(p.Limit, 0), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Metrics returns a row for each day that was counted; [PlatformMFAService.GenerateMetrics] counts
// one. GET /api/platform/mfa/metrics; bearer, platform owner; may be repeated; never stale.
func (s *PlatformMFAService) Metrics(ctx context.Context, p MFAMetricsParams, opts ...RequestOption) ([]json.RawMessage, error) {
	var in checks
	p.check(&in)
	list, err := invoke[bare[rawRow, *rawRow]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/mfa/metrics", query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return rawRows(*list), nil
}

// SuspiciousActivity returns the alerts about second factors of one organization or of the whole
// platform, 100 at most. GET /api/platform/mfa/suspicious-activity; bearer, platform owner; may be
// repeated; never stale.
func (s *PlatformMFAService) SuspiciousActivity(
	ctx context.Context, p SuspiciousActivityParams, opts ...RequestOption,
) ([]json.RawMessage, error) {
	q := url.Values{}
	put(q, "org_id", p.OrgID)
	list, err := invoke[bare[rawRow, *rawRow]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/mfa/suspicious-activity", query: q,
	}, opts)
	if err != nil {
		return nil, err
	}
	return rawRows(*list), nil
}

// GenerateMetrics counts a day, in place of what was counted of it before, and returns its row.
// POST /api/platform/mfa/metrics/generate; bearer, platform owner; may be repeated. The server
// responds the same to a GET, which writes too.
func (s *PlatformMFAService) GenerateMetrics(
	ctx context.Context, p MFAMetricsGenerateParams, opts ...RequestOption,
) (json.RawMessage, error) {
	var in checks
	in.year("date", p.Date)
	q := url.Values{}
	put(q, "org_id", p.OrgID)
	putDate(q, "date", p.Date)
	row, err := invoke[rawRow](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/mfa/metrics/generate", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return row.RawMessage, nil
}
