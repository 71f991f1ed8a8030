package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) serviceRoutes() {
	t.add("GET", "/api/service/users", serviceKey, (*call).listServiceUsers)
	t.add("POST", "/api/service/users", serviceKey, (*call).createServiceUser)
	t.add("GET", "/api/service/users/:user_id", serviceKey, (*call).getServiceUser)
	t.add("PATCH", "/api/service/users/:user_id", serviceKey, (*call).updateServiceUser)
	t.add("DELETE", "/api/service/users/:user_id", serviceKey, (*call).deleteServiceUser)
	t.add("GET", "/api/service/info", serviceKey, (*call).serviceInfo)
	t.add("PATCH", "/api/service/info", serviceKey, (*call).updateServiceInfo)
	t.add("GET", "/api/service/analytics", serviceKey, (*call).serviceAnalytics)
	t.add("GET", "/api/service/subscriptions", serviceKey, (*call).listSubscriptions)
	t.add("POST", "/api/service/subscriptions", serviceKey, (*call).createSubscription)
	t.add("GET", "/api/service/subscriptions/:user_id", serviceKey, (*call).getSubscription)
	t.add("PATCH", "/api/service/subscriptions/:user_id", serviceKey, (*call).updateSubscription)
	t.add("DELETE", "/api/service/subscriptions/:user_id", serviceKey, (*call).deleteSubscription)
	t.add("POST", "/api/service/provider-tokens", serviceKey, (*call).providerToken)
}

type serviceUser struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	CreatedAt string `json:"created_at"`
}

func newServiceUser(u *user) serviceUser {
	return serviceUser{u.ID, u.Email, stampZ(u.created)}
}

func (c *call) listServiceUsers() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	if refused := c.may("read:users"); refused != nil {
		return *refused
	}
	linked := c.key.service.linked
	page := []serviceUser{}
	for _, u := range slice(linked, limit, offset) {
		page = append(page, newServiceUser(u))
	}
	return jsonResponse(http.StatusOK, struct {
		Users []serviceUser `json:"users"`
		Total int           `json:"total"`
	}{page, len(linked)})
}

// createServiceUser goes by e-mail, so repeating it is harmless: 201 the first
// time, 200 after that.
func (c *call) createServiceUser() response {
	in, bad := decode[struct {
		Email string `json:"email"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if refused := c.may("write:users"); refused != nil {
		return *refused
	}
	if !strings.Contains(in.Email, "@") {
		return c.invalid("email", "INVALID_FORMAT", "Invalid email format")
	}
	v := c.key.service
	u, fresh := c.s.scene.addUser(in.Email, "", c.now)
	if !v.link(u, "service_api", c.now) {
		return jsonResponse(http.StatusOK, newServiceUser(u))
	}
	if fresh {
		u.tenantID = v.org.id
		c.s.publish(v.org, event{name: "user.signup.success", actor: u, data: details{"service_id": v.id, "api_key_method": true}}, c.now)
	}
	c.applied = true
	return jsonResponse(http.StatusCreated, newServiceUser(u))
}

// linkedUser finds the user of the path among those of the key's service.
func (c *call) linkedUser() (*user, *response) { return c.linked(c.params[0]) }

// linked finds a user among those of the key's service.
func (c *call) linked(userID string) (*user, *response) {
	u := c.s.scene.users[userID]
	if u == nil || !slices.Contains(c.key.service.linked, u) {
		a := c.notFound("User not found or has not authenticated with this service")
		return nil, &a
	}
	return u, nil
}

func (c *call) getServiceUser() response {
	if refused := c.may("read:users"); refused != nil {
		return *refused
	}
	u, missing := c.linkedUser()
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, newServiceUser(u))
}

// updateServiceUser changes nothing on real servers: a key may not edit profiles,
// and there is nothing else to edit.
func (c *call) updateServiceUser() response {
	in, bad := decode[struct {
		Email *string `json:"email"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if refused := c.may("write:users"); refused != nil {
		return *refused
	}
	if in.Email != nil && !c.documented() {
		return c.forbidden("Service API keys cannot update organization user profile fields")
	}
	u, missing := c.linkedUser()
	if missing != nil {
		return *missing
	}
	if in.Email != nil {
		if refused := c.changeEmail(u, *in.Email); refused != nil {
			return *refused
		}
	}
	return jsonResponse(http.StatusOK, newServiceUser(u))
}

// deleteServiceUser unlinks: the user lives on in other services.
func (c *call) deleteServiceUser() response {
	if refused := c.may("delete:users"); refused != nil {
		return *refused
	}
	u, missing := c.linkedUser()
	if missing != nil {
		return *missing
	}
	c.key.service.unlink(u)
	c.applied = true
	return empty(http.StatusNoContent)
}

func (c *call) serviceInfo() response {
	if refused := c.may("read:service"); refused != nil {
		return *refused
	}
	return c.describeService()
}

func (c *call) describeService() response {
	v := c.key.service
	return jsonResponse(http.StatusOK, struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		Slug        string `json:"slug"`
		ServiceType string `json:"service_type"`
		CreatedAt   string `json:"created_at"`
	}{v.id, v.name, v.slug, v.kind, stampZ(v.created)})
}

func (c *call) updateServiceInfo() response {
	in, bad := decode[struct {
		Name *string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if refused := c.may("write:service"); refused != nil {
		return *refused
	}
	if in.Name != nil {
		c.key.service.name = *in.Name // no length check, as there is none
		c.applied = true
	}
	return c.describeService()
}

func (c *call) serviceAnalytics() response {
	if refused := c.may("read:analytics"); refused != nil {
		return *refused
	}
	v := c.key.service
	since, logins, unique := c.now.Add(-30*24*time.Hour), 0, map[string]bool{}
	for _, l := range c.s.scene.logins {
		if l.org == v.org.slug && l.service == v.slug && l.at.After(since) {
			logins++
			unique[l.userID] = true
		}
	}
	return jsonResponse(http.StatusOK, struct {
		TotalUsers          int `json:"total_users"`
		TotalSubscriptions  int `json:"total_subscriptions"`
		ActiveSubscriptions int `json:"active_subscriptions"`
		TotalLogins30d      int `json:"total_logins_30d"`
		UniqueUsers30d      int `json:"unique_users_30d"`
	}{len(v.linked), len(v.subscriptions), v.active(nil), logins, len(unique)})
}
