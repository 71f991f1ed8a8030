package authostest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) platformStatisticsRoutes() {
	t.add("GET", "/api/platform/analytics/overview", platformOwner, (*call).overview)
	t.add("GET", "/api/platform/analytics/organization-status", platformOwner, (*call).organizationStatus)
	t.add("GET", "/api/platform/analytics/growth-trends", platformOwner, (*call).growthTrends)
	t.add("GET", "/api/platform/analytics/login-activity", platformOwner, (*call).loginActivity)
	t.add("GET", "/api/platform/analytics/top-organizations", platformOwner, (*call).topOrganizations)
	t.add("GET", "/api/platform/analytics/recent-organizations", platformOwner, (*call).recentOrganizations)
	t.add("GET", "/api/platform/operations/status", platformOwner, (*call).operationsStatus)
	t.add("GET", "/api/platform/mfa/metrics", platformOwner, (*call).mfaMetrics)
	t.add("GET", "/api/platform/mfa/suspicious-activity", platformOwner, (*call).suspiciousActivity)
	t.add("GET", "/api/platform/mfa/metrics/generate", platformOwner, (*call).generateMFAMetrics)
	t.add("POST", "/api/platform/mfa/metrics/generate", platformOwner, (*call).generateMFAMetrics)
}

const day = 24 * time.Hour

// loginsSince counts sign-ins, of one organization or of all.
func (c *call) loginsSince(org string, age time.Duration) int {
	n := 0
	for _, l := range c.s.scene.logins {
		if (org == "" || l.org == org) && l.at.After(c.now.Add(-age)) {
			n++
		}
	}
	return n
}

func (c *call) overview() response {
	services, endUsers := 0, map[string]bool{}
	for _, o := range c.s.scene.orgs {
		services += len(o.services)
		for _, v := range o.services {
			for _, u := range v.linked {
				endUsers[u.ID] = true
			}
		}
	}
	return jsonResponse(http.StatusOK, struct {
		TotalOrganizations int `json:"total_organizations"`
		TotalUsers         int `json:"total_users"`
		TotalEndUsers      int `json:"total_end_users"`
		TotalServices      int `json:"total_services"`
		TotalLogins24h     int `json:"total_logins_24h"`
		TotalLogins30d     int `json:"total_logins_30d"`
	}{len(c.s.scene.orgs), len(c.s.scene.users), len(endUsers), services, c.loginsSince("", day), c.loginsSince("", 30*day)})
}

func (c *call) organizationStatus() response {
	n := map[string]int{}
	for _, o := range c.s.scene.orgs {
		n[o.status]++
	}
	return jsonResponse(http.StatusOK, struct {
		Pending   int `json:"pending"`
		Active    int `json:"active"`
		Suspended int `json:"suspended"`
		Rejected  int `json:"rejected"`
	}{n["pending"], n["active"], n["suspended"], n["rejected"]})
}

// span reads start_date and end_date. A value that is no date is not refused but
// replaced by the default, the last 30 days.
func (c *call) span() (within func(time.Time) bool) {
	date := func(name string, fallback time.Time) string {
		text := c.r.URL.Query().Get(name)
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return fallback.Format(time.DateOnly)
		}
		return text
	}
	from, to := date("start_date", c.now.Add(-30*day)), date("end_date", c.now)
	return func(t time.Time) bool {
		d := t.UTC().Format(time.DateOnly)
		return from <= d && d <= to
	}
}

// perDay counts moments by day, within a span. Days without one are missing.
func perDay(within func(time.Time) bool, moments []time.Time) map[string]int {
	n := map[string]int{}
	for _, at := range moments {
		if within(at) {
			n[at.UTC().Format(time.DateOnly)]++
		}
	}
	return n
}

func (c *call) growthTrends() response {
	within := c.span()
	orgs := make([]time.Time, 0, len(c.s.scene.orgs))
	users := make([]time.Time, 0, len(c.s.scene.users))
	for _, o := range c.s.scene.orgs {
		orgs = append(orgs, o.created)
	}
	for _, u := range c.s.scene.users {
		users = append(users, u.created)
	}
	newOrgs, newUsers := perDay(within, orgs), perDay(within, users)
	days := maps.Clone(newOrgs)
	maps.Copy(days, newUsers)
	type row struct {
		Date             string `json:"date"`
		NewOrganizations int    `json:"new_organizations"`
		NewUsers         int    `json:"new_users"`
	}
	rows := make([]row, 0, len(days))
	for _, date := range slices.Sorted(maps.Keys(days)) {
		rows = append(rows, row{date, newOrgs[date], newUsers[date]})
	}
	return jsonResponse(http.StatusOK, rows)
}

func (c *call) loginActivity() response {
	moments := make([]time.Time, 0, len(c.s.scene.logins))
	for _, l := range c.s.scene.logins {
		moments = append(moments, l.at)
	}
	n := perDay(c.span(), moments)
	type row struct {
		Date  string `json:"date"`
		Count int    `json:"count"`
	}
	rows := make([]row, 0, len(n))
	for _, date := range slices.Sorted(maps.Keys(n)) {
		rows = append(rows, row{date, n[date]})
	}
	return jsonResponse(http.StatusOK, rows)
}

func (c *call) topOrganizations() response {
	type row struct {
		ID            string `json:"id"`
		Name          string `json:"name"`
		Slug          string `json:"slug"`
		UserCount     int    `json:"user_count"`
		ServiceCount  int    `json:"service_count"`
		LoginCount30d int    `json:"login_count_30d"`
	}
	all := c.s.scene.allOrganizations()
	rows := make([]row, 0, len(all))
	for _, o := range all {
		rows = append(rows, row{o.id, o.name, o.slug, len(o.members), len(o.services), c.loginsSince(o.slug, 30*day)})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(b.LoginCount30d-a.LoginCount30d, b.UserCount-a.UserCount, strings.Compare(a.Slug, b.Slug))
	})
	return jsonResponse(http.StatusOK, slice(rows, 10, 0))
}

func (c *call) recentOrganizations() response {
	limit, bad := c.integer("limit", 10)
	if bad != nil {
		return *bad
	}
	type row struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Slug      string `json:"slug"`
		Status    string `json:"status"`
		CreatedAt string `json:"created_at"`
	}
	all := c.s.scene.allOrganizations()
	rows := make([]row, 0, len(all))
	for _, o := range slices.Backward(all) {
		rows = append(rows, row{o.id, o.name, o.slug, o.status, stampOffset(o.created)})
	}
	return jsonResponse(http.StatusOK, slice(rows, min(max(limit, 1), 50), 0))
}

// operationsStatus is all zero: jobs here are done by the time anybody asks.
func (c *call) operationsStatus() response {
	return jsonResponse(http.StatusOK, struct {
		JobsPending             int `json:"jobs_pending"`
		JobsRunning             int `json:"jobs_running"`
		JobsFailed              int `json:"jobs_failed"`
		WebhookDeliveriesFailed int `json:"webhook_deliveries_failed"`
		SIEMConfigsEnabled      int `json:"siem_configs_enabled"`
		SIEMConfigsWithFailures int `json:"siem_configs_with_failures"`
	}{})
}

// mfaMetrics has nothing to sum up before metrics are generated, and none are kept.
func (c *call) mfaMetrics() response {
	query := c.r.URL.Query()
	days, bad := c.integer("days", 30)
	switch {
	case bad != nil:
		return *bad
	case query.Has("start_date") != query.Has("end_date"):
		return c.badRequest("start_date and end_date must be given together")
	case days < 1 || days > 366:
		return c.invalid("days", "OUT_OF_RANGE", "days must be between 1 and 366")
	}
	for _, name := range []string{"start_date", "end_date"} {
		if _, refused := c.date(name); refused != nil {
			return *refused
		}
	}
	return jsonResponse(http.StatusOK, []struct{}{})
}

// date reads an optional date that is refused when it is none.
func (c *call) date(name string) (time.Time, *response) {
	query := c.r.URL.Query()
	if !query.Has(name) {
		return c.now.Truncate(day), nil
	}
	at, err := time.Parse(time.DateOnly, query.Get(name))
	if err != nil {
		a := c.invalid(name, "INVALID_FORMAT", "Invalid "+name+", expected YYYY-MM-DD")
		return time.Time{}, &a
	}
	return at, nil
}

func (c *call) suspiciousActivity() response {
	return jsonResponse(http.StatusOK, []struct{}{})
}

// generateMFAMetrics counts a day. It writes on the real server, under GET too.
func (c *call) generateMFAMetrics() response {
	at, bad := c.date("date")
	if bad != nil {
		return *bad
	}
	enabled := 0
	for _, u := range c.s.scene.users {
		if u.mfa {
			enabled++
		}
	}
	c.applied = true
	var org *string
	if query := c.r.URL.Query(); query.Has("org_id") {
		org = new(query.Get("org_id"))
	}
	return jsonResponse(http.StatusOK, struct {
		ID         string  `json:"id"`
		OrgID      *string `json:"org_id"`
		Date       string  `json:"date"`
		TotalUsers int     `json:"total_users"`
		MFAEnabled int     `json:"mfa_enabled_users"`
		CreatedAt  string  `json:"created_at"`
	}{c.s.newID(), org, stampNaive(at), len(c.s.scene.users), enabled, stampNaive(c.now)})
}
