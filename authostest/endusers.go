package authostest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

func (t *table) endUserRoutes() {
	t.add("GET", "/api/organizations/:org_slug/users", bearer, (*call).listEndUsers)
	t.add("GET", "/api/organizations/:org_slug/users/:user_id", bearer, (*call).getEndUser)
	t.add("DELETE", "/api/organizations/:org_slug/users/:user_id/sessions", bearer, (*call).endEndUserSessions)
}

type endUserSubscription struct {
	ServiceID        string `json:"service_id"`
	ServiceSlug      string `json:"service_slug"`
	ServiceName      string `json:"service_name"`
	PlanID           string `json:"plan_id"`
	PlanName         string `json:"plan_name"`
	Status           string `json:"status"`
	CurrentPeriodEnd string `json:"current_period_end"`
	CreatedAt        string `json:"created_at"`
}

type endUserIdentity struct {
	Provider       string `json:"provider"`
	ProviderUserID string `json:"provider_user_id"`
	CreatedAt      string `json:"created_at"`
}

type endUserModel struct {
	User          userModel             `json:"user"`
	Subscriptions []endUserSubscription `json:"subscriptions"`
	Identities    []endUserIdentity     `json:"identities"`
}

// newEndUserModel shows what a user has in some services.
func newEndUserModel(shown userModel, u *user, services []*service) endUserModel {
	m := endUserModel{shown, []endUserSubscription{}, []endUserIdentity{}}
	for _, v := range services {
		if s := v.subscription(u.ID); s != nil {
			m.Subscriptions = append(m.Subscriptions, endUserSubscription{
				v.id, v.slug, v.name, s.plan.id, s.plan.name, s.status, stampZ(s.ends), stampZ(s.created),
			})
		}
		if slices.Contains(v.linked, u) {
			i, ok := v.identities[u.ID]
			if !ok {
				i = identity{passwordProvider, u.created}
			}
			m.Identities = append(m.Identities, endUserIdentity{i.provider, u.Email, stampZ(i.created)})
		}
	}
	return m
}

// isEndUser reports whether a user has anything in one of the services.
func isEndUser(u *user, services []*service) bool {
	return slices.ContainsFunc(services, func(v *service) bool {
		return v.subscription(u.ID) != nil || slices.Contains(v.linked, u)
	})
}

// endUsersOrg finds the organization of the path for who may look at its end users,
// which in October 2025 was any member.
func (c *call) endUsersOrg() (*organization, *response) {
	if !c.october() {
		return c.orgFor("view end users", "end_users.view", "end_users.manage")
	}
	o, refused := c.activeOrg()
	if refused == nil && o.members[c.user.ID] == "" {
		a := c.forbidden("Not a member of this organization")
		refused = &a
	}
	return o, refused
}

// listEndUsers gives no total with an empty page.
func (c *call) listEndUsers() response {
	page, limit, bad := c.page(50)
	if bad != nil {
		return *bad
	}
	o, refused := c.endUsersOrg()
	if refused != nil {
		return *refused
	}
	services := o.servicesInOrder()
	if query := c.r.URL.Query(); query.Has("service_slug") {
		v := o.services[query.Get("service_slug")]
		if v == nil {
			return c.notFound("Service '" + query.Get("service_slug") + "' not found")
		}
		services = []*service{v}
	}
	var users []*user
	for _, u := range c.s.scene.users {
		if isEndUser(u, services) {
			users = append(users, u)
		}
	}
	slices.SortFunc(users, func(a, b *user) int { // newest first
		return cmp.Or(b.created.Compare(a.created), strings.Compare(a.Email, b.Email))
	})
	total, list := len(users), []endUserModel{}
	for _, u := range pageOf(users, page, limit) {
		list = append(list, newEndUserModel(listedUser(u), u, services))
	}
	if len(list) == 0 {
		total = 0
	}
	return jsonResponse(http.StatusOK, struct {
		Users []endUserModel `json:"users"`
		Total int            `json:"total"`
		Page  int            `json:"page"`
		Limit int            `json:"limit"`
	}{list, total, page, limit})
}

type endUserSession struct {
	ID                    string  `json:"id"`
	ServiceID             *string `json:"service_id"`
	ServiceName           *string `json:"service_name"`
	OrgSlug               *string `json:"org_slug"`
	IPAddress             *string `json:"ip_address"`
	UserAgent             *string `json:"user_agent"`
	ExpiresAt             string  `json:"expires_at"`
	RefreshTokenExpiresAt *string `json:"refresh_token_expires_at"`
	CreatedAt             string  `json:"created_at"`
}

type endUserLogin struct {
	ID          string   `json:"id"`
	ServiceID   *string  `json:"service_id"`
	ServiceName *string  `json:"service_name"`
	Provider    string   `json:"provider"`
	IPAddress   *string  `json:"ip_address"`
	UserAgent   *string  `json:"user_agent"`
	RiskScore   *int     `json:"risk_score"`
	RiskFactors []string `json:"risk_factors"`
	GeoCountry  *string  `json:"geo_country"`
	GeoCity     *string  `json:"geo_city"`
	CreatedAt   string   `json:"created_at"`
}

// recentLogins is how many sign-ins of an end user are shown.
const recentLogins = 20

// endUser finds the user of the path among the end users of an organization.
func (c *call) endUser(o *organization) (*user, *response) {
	u := c.s.scene.users[c.params[1]]
	if u != nil && isEndUser(u, o.servicesInOrder()) {
		return u, nil
	}
	a := c.notFound("User is not an end-user of this organization")
	if u == nil && !c.october() {
		a = c.notFound("End-user not found")
	}
	return nil, &a
}

func (c *call) getEndUser() response {
	o, refused := c.endUsersOrg()
	if refused != nil {
		return *refused
	}
	u, missing := c.endUser(o)
	if missing != nil {
		return *missing
	}
	sessions, live := c.endUserSessions(o, u)
	return jsonResponse(http.StatusOK, struct {
		endUserModel

		SessionCount int              `json:"session_count"`
		Sessions     []endUserSession `json:"sessions"`
		RecentLogins []endUserLogin   `json:"recent_logins"`
	}{newEndUserModel(newUserModel(u), u, o.servicesInOrder()), live, sessions, c.endUserLogins(o, u)})
}

// sessionsIn lists a user's sessions in an organization, oldest first.
func (sc *scene) sessionsIn(o *organization, userID string) []*session {
	var list []*session
	for _, row := range sc.sessions {
		if row.userID == userID && row.org == o.slug {
			list = append(list, row)
		}
	}
	slices.SortFunc(list, func(a, b *session) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id))
	})
	return list
}

// sessionsOf lists all sessions of a user.
func (sc *scene) sessionsOf(userID string) []*session {
	var list []*session
	for _, row := range sc.sessions {
		if row.userID == userID {
			list = append(list, row)
		}
	}
	return list
}

// endUserSessions shows expired sessions too, and counts the live ones.
func (c *call) endUserSessions(o *organization, u *user) (list []endUserSession, live int) {
	rows := c.s.scene.sessionsIn(o, u.ID)
	list = make([]endUserSession, 0, len(rows))
	for _, row := range rows {
		id, name := serviceNames(o, row.service)
		list = append(list, endUserSession{
			row.id, id, name, &row.org, nil, nil, stampZ(row.accessExpires), new(stampZ(row.refreshExpires)), stampZ(row.created),
		})
		if c.now.Before(row.accessExpires) {
			live++
		}
	}
	return list, live
}

func (c *call) endUserLogins(o *organization, u *user) []endUserLogin {
	list := []endUserLogin{}
	for _, l := range slices.Backward(c.s.scene.logins) {
		if l.org != o.slug || l.userID != u.ID {
			continue
		}
		if len(list) == recentLogins {
			break
		}
		id, name := serviceNames(o, l.service)
		list = append(list, endUserLogin{
			ID: l.id, ServiceID: id, ServiceName: name, Provider: l.provider, RiskFactors: []string{}, CreatedAt: stampZ(l.at),
		})
	}
	return list
}

// serviceNames are the id and the name of a service, null where there is none.
func serviceNames(o *organization, slug string) (id, name *string) {
	if v := o.services[slug]; v != nil {
		return &v.id, &v.name
	}
	return nil, nil
}

// endEndUserSessions leaves the user's sessions elsewhere alone, which in October 2025
// it did not.
func (c *call) endEndUserSessions() response {
	o, refused := c.orgFor("manage end users", "end_users.manage")
	if refused != nil {
		return *refused
	}
	u, missing := c.endUser(o)
	if missing != nil {
		return *missing
	}
	rows := c.s.scene.sessionsIn(o, u.ID)
	if c.october() {
		rows = c.s.scene.sessionsOf(u.ID)
	}
	for _, row := range rows {
		c.s.end(row)
	}
	c.applied = len(rows) > 0
	return jsonResponse(http.StatusOK, struct {
		Message      string `json:"message"`
		RevokedCount int    `json:"revoked_count"`
	}{"Sessions revoked successfully", len(rows)})
}
