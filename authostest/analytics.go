package authostest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) analyticsRoutes() {
	t.add("GET", "/api/organizations/:org_slug/analytics/login-trends", bearer, (*call).loginTrends)
	t.add("GET", "/api/organizations/:org_slug/analytics/logins-by-service", bearer, (*call).loginsByService)
	t.add("GET", "/api/organizations/:org_slug/analytics/logins-by-provider", bearer, (*call).loginsByProvider)
	t.add("GET", "/api/organizations/:org_slug/analytics/recent-logins", bearer, (*call).recentLogins)
}

// analyticsOrg finds the organization of the path for who may see its sign-ins.
func (c *call) analyticsOrg() (*organization, *response) {
	if c.october() {
		// Any member, whatever the status. Strangers are not told what there is.
		if o := c.s.scene.orgs[c.params[0]]; o != nil && o.members[c.user.ID] != "" {
			return o, nil
		}
		a := c.forbidden("You are not a member of this organization")
		return nil, &a
	}
	return c.orgFor("view organization analytics", "audit_logs.view")
}

// days is the range of days that the query asks for, the last one included. A
// date that cannot be read is the same as none.
func (c *call) days() (from, until time.Time) {
	query := c.r.URL.Query()
	day := func(name string, fallback time.Time) time.Time {
		if t, err := time.Parse(time.DateOnly, query.Get(name)); err == nil {
			return t
		}
		return fallback.Truncate(24 * time.Hour)
	}
	return day("start_date", c.now.AddDate(0, 0, -30)), day("end_date", c.now).AddDate(0, 0, 1)
}

// count is how often something was signed in to, or with, or on.
type count[K comparable] struct {
	of K
	n  int
}

// tally groups the sign-ins of an organization in the range that was asked for. An
// empty key leaves a sign-in out.
func tally[K cmp.Ordered](c *call, o *organization, key func(login) K) []count[K] {
	from, until := c.days()
	var list []count[K]
	var none K
	for _, l := range c.s.scene.logins {
		if l.org != o.slug || l.at.Before(from) || !l.at.Before(until) {
			continue
		}
		k := key(l)
		if k == none {
			continue
		}
		i := slices.IndexFunc(list, func(other count[K]) bool { return other.of == k })
		if i < 0 {
			i, list = len(list), append(list, count[K]{of: k})
		}
		list[i].n++
	}
	slices.SortFunc(list, func(a, b count[K]) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.of, b.of)) })
	return list
}

// loginTrends leaves out the days without sign-ins.
func (c *call) loginTrends() response {
	o, refused := c.analyticsOrg()
	if refused != nil {
		return *refused
	}
	type row struct {
		Date  string `json:"date"`
		Count int    `json:"count"`
	}
	list := []row{}
	for _, day := range tally(c, o, func(l login) string { return l.at.UTC().Format(time.DateOnly) }) {
		list = append(list, row{day.of, day.n})
	}
	slices.SortFunc(list, func(a, b row) int { return strings.Compare(a.Date, b.Date) })
	return jsonResponse(http.StatusOK, list)
}

func (c *call) loginsByService() response {
	o, refused := c.analyticsOrg()
	if refused != nil {
		return *refused
	}
	type row struct {
		ServiceID   string `json:"service_id"`
		ServiceName string `json:"service_name"`
		Count       int    `json:"count"`
	}
	list := []row{}
	for _, s := range tally(c, o, func(l login) string { return l.service }) {
		if v := o.services[s.of]; v != nil {
			list = append(list, row{v.id, v.name, s.n})
		}
	}
	return jsonResponse(http.StatusOK, list)
}

func (c *call) loginsByProvider() response {
	o, refused := c.analyticsOrg()
	if refused != nil {
		return *refused
	}
	type row struct {
		Provider string `json:"provider"`
		Count    int    `json:"count"`
	}
	list := []row{}
	for _, p := range tally(c, o, func(l login) string { return l.provider }) {
		list = append(list, row{p.of, p.n})
	}
	return jsonResponse(http.StatusOK, list)
}

// stampDatabase is how time looks when it comes straight from the database.
func stampDatabase(t time.Time) string { return t.UTC().Format(time.DateTime) }

func (c *call) recentLogins() response {
	limit, bad := c.integer("limit", 10)
	if bad != nil {
		return *bad
	}
	o, refused := c.analyticsOrg()
	if refused != nil {
		return *refused
	}
	type row struct {
		ID        string  `json:"id"`
		UserID    string  `json:"user_id"`
		ServiceID *string `json:"service_id"`
		Provider  string  `json:"provider"`
		CreatedAt string  `json:"created_at"`
	}
	list := []row{}
	for _, l := range slices.Backward(c.s.scene.logins) {
		if l.org == o.slug {
			id, _ := serviceNames(o, l.service)
			list = append(list, row{l.id, l.userID, id, l.provider, stampDatabase(l.at)})
		}
	}
	return jsonResponse(http.StatusOK, slice(list, min(max(limit, 1), 100), 0))
}
