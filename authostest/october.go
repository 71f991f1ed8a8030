package authostest

import "strings"

// octoberRoutes are the routes of a server of October 2025, in the order in which it
// declares them, which is the order of an Allow header.
var octoberRoutes = strings.Fields(`
	GET     /.well-known/jwks.json
	GET     /auth/:provider
	GET     /auth/:provider/callback
	POST    /api/auth/logout
	POST    /api/auth/refresh
	GET     /auth/admin/:provider
	GET     /auth/admin/:provider/callback
	POST    /auth/device/code
	POST    /auth/device/verify
	POST    /auth/token
	POST    /api/organizations
	GET     /api/user
	PATCH   /api/user
	GET     /api/subscription
	GET     /api/provider-token/:provider
	GET     /api/user/identities
	POST    /api/user/identities/:provider/link
	DELETE  /api/user/identities/:provider
	GET     /api/organizations
	GET     /api/organizations/:org_slug
	PATCH   /api/organizations/:org_slug
	GET     /api/organizations/:org_slug/members
	PATCH   /api/organizations/:org_slug/members/:user_id
	POST    /api/organizations/:org_slug/members/:user_id
	POST    /api/organizations/:org_slug/transfer-ownership
	POST    /api/organizations/:org_slug/invitations
	GET     /api/organizations/:org_slug/invitations
	POST    /api/organizations/:org_slug/invitations/:invitation_id
	GET     /api/invitations
	POST    /api/invitations/accept
	POST    /api/invitations/decline
	GET     /invitations/accept
	POST    /api/organizations/:org_slug/oauth-credentials/:provider
	GET     /api/organizations/:org_slug/oauth-credentials/:provider
	GET     /api/organizations/:org_slug/users
	GET     /api/organizations/:org_slug/users/:user_id
	DELETE  /api/organizations/:org_slug/users/:user_id/sessions
	GET     /api/organizations/:org_slug/services/:service_slug/plans
	POST    /api/organizations/:org_slug/services/:service_slug/plans
	GET     /api/organizations/:org_slug/services/:service_slug
	PATCH   /api/organizations/:org_slug/services/:service_slug
	DELETE  /api/organizations/:org_slug/services/:service_slug
	GET     /api/organizations/:org_slug/services
	POST    /api/organizations/:org_slug/services
	GET     /api/platform/tiers
	GET     /api/platform/organizations
	POST    /api/platform/organizations/:id/approve
	POST    /api/platform/organizations/:id/reject
	POST    /api/platform/organizations/:id/suspend
	POST    /api/platform/organizations/:id/activate
	PATCH   /api/platform/organizations/:id/tier
	POST    /api/platform/owners
	DELETE  /api/platform/owners/:user_id
	GET     /api/platform/audit-log
	GET     /api/platform/analytics/overview
	GET     /api/platform/analytics/organization-status
	GET     /api/platform/analytics/growth-trends
	GET     /api/platform/analytics/login-activity
	GET     /api/platform/analytics/top-organizations
	GET     /api/platform/analytics/recent-organizations
	GET     /api/organizations/:org_slug/analytics/login-trends
	GET     /api/organizations/:org_slug/analytics/logins-by-service
	GET     /api/organizations/:org_slug/analytics/logins-by-provider
	GET     /api/organizations/:org_slug/analytics/recent-logins
	POST    /webhooks/stripe
`)

// octoberAccess is where a route asked for something else than it does today.
var octoberAccess = map[string]access{
	"POST /api/organizations":       public,
	"POST /api/invitations/decline": bearer,
	"GET /invitations/accept":       bearer,
}

// octoberTable is the API of October 2025: the handlers are those of today, which know
// what was different.
var octoberTable = func() *table {
	t := newTable()
	for i := 0; i < len(octoberRoutes); i += 2 {
		method, template := octoberRoutes[i], octoberRoutes[i+1]
		r := routes.byPath[template].methods[method]
		if need, other := octoberAccess[method+" "+template]; other {
			r.auth = need
		}
		t.add(method, template, r.auth, r.handle)
	}
	t.sort()
	return t
}()

// routes is the API of the server's contract.
func (s *Server) routes() *table {
	if s.config.contract == October2025 {
		return octoberTable
	}
	return routes
}
