package authos

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// AnalyticsService are an organization's sign-ins, counted. All of it is for bearers with the
// capability audit_logs.view, and asks for an active organization; others get 403 FORBIDDEN.
type AnalyticsService struct{ c *Client }

// DateRange is a range of days in UTC, the first and the last one included; the time of day does
// not matter. A zero Start is the server's default, 30 days before today, and a zero End today: an
// End alone that is older than that leaves nothing in between.
//
// The server replaces a date that it cannot read by the default and says nothing, so no such date
// is ever sent.
type DateRange struct{ Start, End time.Time }

// query is the range as the server reads it.
func (r DateRange) query() url.Values {
	q := url.Values{}
	putDate(q, "start_date", r.Start)
	putDate(q, "end_date", r.End)
	return q
}

// check refuses a range that ends before it begins, and years that YYYY-MM-DD has no room for.
func (r DateRange) check(in *checks) {
	const day = 24 * time.Hour // counted from the zero Time, which begins a day in UTC
	in.dates("start_date", r.Start.Truncate(day), "end_date", r.End.Truncate(day))
	in.year("start_date", r.Start)
	in.year("end_date", r.End)
}

func (c *checks) year(field string, t time.Time) {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		c.add(field, CodeOutOfRange, "must be in a year of 1 to 9999")
	}
}

// LoginTrend is how many sign-ins there were on one day.
type LoginTrend struct {
	Date  Time  `json:"date"` // when the day begins, in UTC
	Count int64 `json:"count"`
}

// ServiceLogins are how many sign-ins one service had.
type ServiceLogins struct {
	ServiceID   string `json:"service_id"`
	ServiceName string `json:"service_name"`
	Count       int64  `json:"count"`
}

func (l *ServiceLogins) missing() string {
	if l.ServiceID == "" {
		return "service_id"
	}
	return ""
}

// ProviderLogins are how many sign-ins there were by one way of signing in.
type ProviderLogins struct {
	Provider string `json:"provider"` // such as "password" or "github"
	Count    int64  `json:"count"`
}

func (l *ProviderLogins) missing() string {
	if l.Provider == "" {
		return "provider"
	}
	return ""
}

// RecentLogin is one sign-in.
type RecentLogin struct {
	ID     string `json:"id"`
	UserID string `json:"user_id"`
	// ServiceID is empty for a sign-in to the organization alone.
	ServiceID string `json:"service_id"`
	Provider  string `json:"provider"`
	CreatedAt Time   `json:"created_at"`
}

func (l *RecentLogin) missing() string { return missingID(l.ID) }

// RecentLoginsParams say how many sign-ins are wanted.
type RecentLoginsParams struct {
	// Limit is 1 to 100; zero: the server's default, 10.
	Limit int
}

// loginTrendBody tells a count that is not there from none. The date says nothing here: the server
// may send null.
type loginTrendBody struct {
	Date  Time   `json:"date"`
	Count *int64 `json:"count"`
}

func (b *loginTrendBody) missing() string {
	if b.Count == nil {
		return "count"
	}
	return ""
}

// LoginTrends counts sign-ins by day, oldest first; days without any are left out. GET
// /api/organizations/:org_slug/analytics/login-trends; bearer, capability audit_logs.view; may be
// repeated; cached for the stale fallback.
func (s *AnalyticsService) LoginTrends(ctx context.Context, orgSlug string, p DateRange, opts ...RequestOption) ([]LoginTrend, error) {
	var in checks
	in.id("org_slug", orgSlug)
	p.check(&in)
	list, err := invoke[bare[loginTrendBody, *loginTrendBody]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/analytics/login-trends",
		args: []string{orgSlug}, query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	trends := make([]LoginTrend, len(*list))
	for i, row := range *list {
		trends[i] = LoginTrend{Date: row.Date, Count: *row.Count}
	}
	return trends, nil
}

// LoginsByService counts sign-ins by service, most first; services without any are left out. GET
// /api/organizations/:org_slug/analytics/logins-by-service; bearer, capability audit_logs.view; may
// be repeated; cached for the stale fallback.
func (s *AnalyticsService) LoginsByService(
	ctx context.Context, orgSlug string, p DateRange, opts ...RequestOption,
) ([]ServiceLogins, error) {
	var in checks
	in.id("org_slug", orgSlug)
	p.check(&in)
	list, err := invoke[bare[ServiceLogins, *ServiceLogins]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/analytics/logins-by-service",
		args: []string{orgSlug}, query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// LoginsByProvider counts sign-ins by the way of signing in, most first. GET
// /api/organizations/:org_slug/analytics/logins-by-provider; bearer, capability audit_logs.view;
// may be repeated; cached for the stale fallback.
func (s *AnalyticsService) LoginsByProvider(
	ctx context.Context, orgSlug string, p DateRange, opts ...RequestOption,
) ([]ProviderLogins, error) {
	var in checks
	in.id("org_slug", orgSlug)
	p.check(&in)
	list, err := invoke[bare[ProviderLogins, *ProviderLogins]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/analytics/logins-by-provider",
		args: []string{orgSlug}, query: p.query(), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// RecentLogins returns the latest sign-ins, newest first. GET
// /api/organizations/:org_slug/analytics/recent-logins; bearer, capability audit_logs.view; may be
// repeated; cached for the stale fallback.
func (s *AnalyticsService) RecentLogins(
	ctx context.Context, orgSlug string, p RecentLoginsParams, opts ...RequestOption,
) ([]RecentLogin, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.page(p.Limit, 0)
	list, err := invoke[bare[RecentLogin, *RecentLogin]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/analytics/recent-logins",
		args: []string{orgSlug}, query: paging(p.Limit, 0), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}
