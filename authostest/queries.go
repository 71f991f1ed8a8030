package authostest

import (
	"net/http"
	"net/url"
)

// queryNames are the query parameters that each route reads. What is not among them
// is ignored, however often it is there.
var queryNames = map[string][]string{
	"GET /api/auth/context":                                            {"org", "service", "redirect_uri"},
	"GET /api/auth/magic-link/verify":                                  {"token", "redirect_uri", "state"},
	"GET /api/organizations":                                           {"page", "limit", "status"},
	"GET /api/organizations/:org_slug/analytics/login-trends":          {"start_date", "end_date"},
	"GET /api/organizations/:org_slug/analytics/logins-by-provider":    {"start_date", "end_date"},
	"GET /api/organizations/:org_slug/analytics/logins-by-service":     {"start_date", "end_date"},
	"GET /api/organizations/:org_slug/analytics/recent-logins":         {"limit"},
	"GET /api/organizations/:org_slug/audit-log":                       {"page", "limit", "action", "target_type", "target_id"},
	"GET /api/organizations/:org_slug/invitations":                     {"page", "limit", "status"},
	"GET /api/organizations/:org_slug/members":                         {"page", "limit", "role"},
	"GET /api/organizations/:org_slug/risk-events":                     {"page", "limit", "min_score"},
	"GET /api/organizations/:org_slug/services":                        {"limit", "offset", "service_type", "status"},
	"GET /api/organizations/:org_slug/services/:service_slug/api-keys": {"limit", "offset"},
	"GET /api/organizations/:org_slug/users":                           {"page", "limit", "service_slug"},
	"GET /api/organizations/:org_slug/webhooks/:webhook_id/deliveries": {"page", "limit", "event_type", "delivered"},
	"GET /api/platform/analytics/growth-trends":                        {"start_date", "end_date"},
	"GET /api/platform/analytics/login-activity":                       {"start_date", "end_date"},
	"GET /api/platform/analytics/recent-organizations":                 {"limit"},
	"GET /api/platform/audit-log":                                      {"limit", "offset", "action", "target_type", "target_id"},
	"GET /api/platform/mfa/metrics":                                    {"start_date", "end_date", "org_id", "days"},
	"GET /api/platform/mfa/metrics/generate":                           {"org_id", "date"},
	"GET /api/platform/mfa/suspicious-activity":                        {"org_id"},
	"GET /api/platform/organizations":                                  {"limit", "offset", "status", "tier_id"},
	"GET /api/platform/users":                                          {"limit", "offset"},
	"GET /api/platform/users/search":                                   {"q", "limit"},
	"GET /api/service/subscriptions":                                   {"limit", "offset", "status"},
	"GET /api/service/users":                                           {"limit", "offset"},
	"GET /api/user/devices":                                            {"page", "limit", "sort_by", "sort_order"},
	"GET /auth/:provider":                                              {"org", "service", "redirect_uri", "user_code", "connection_id", "state", "resource"},
	"GET /auth/:provider/callback":                                     {"code", "state"},
	"GET /auth/admin/:provider":                                        {"org_slug", "user_code"},
	"GET /auth/admin/:provider/callback":                               {"code", "state"},
	"GET /auth/verify-email":                                           {"token"},
	"GET /scim/v2/Groups":                                              {"startIndex", "count", "filter"},
	"GET /scim/v2/Users":                                               {"startIndex", "count", "filter"},
	"POST /api/platform/mfa/metrics/generate":                          {"org_id", "date"},
	"POST /api/user/identities/:provider/link":                         {"redirect_uri"},
	"POST /api/user/linked-accounts/:provider/link":                    {"redirect_uri"},
}

// repeatedQuery refuses a parameter that the route reads and that is there twice.
func (c *call) repeatedQuery() *response {
	method := c.method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	query := c.r.URL.Query()
	for _, name := range queryNames[method+" "+c.template()] {
		if len(query[name]) > 1 {
			return c.repeated("query string", name)
		}
	}
	return nil
}

// repeatedField refuses a form in which one of the fields it reads is there twice.
func (c *call) repeatedField(values url.Values) *response {
	for _, name := range formNames {
		if len(values[name]) > 1 {
			a := c.repeated("form body", name)
			a.status = http.StatusUnprocessableEntity
			return a
		}
	}
	return nil
}

// formNames are the fields of all forms that the API takes.
var formNames = []string{
	"token", "token_type_hint", "grant_type", "requested_token_type", "subject_token_type", "subject_token", "audience", "resource",
	"scope", "client_id", "client_secret", "assertion", "preauth_token", "code", "SAMLResponse", "RelayState",
}

func (c *call) repeated(where, name string) *response {
	a := c.plainText(http.StatusBadRequest, "Failed to deserialize "+where+": duplicate field `"+name+"`",
		"BAD_REQUEST", "Duplicate parameter: "+name)
	return &a
}
