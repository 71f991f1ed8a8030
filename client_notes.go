package authos

import (
	"net/http"

	"github.com/authos-go/authos/internal/routes"
)

// noteOn says what the response means on this call's route and does not say itself; empty: nothing.
func (cl *call) noteOn(e *APIError) string {
	switch {
	case e.StatusCode == http.StatusUnauthorized && cl.auth == routes.AuthAPIKey && cl.client.cfg.apiKey == "":
		return "this client has no API key: WithAPIKey"
	case e.StatusCode == http.StatusUnauthorized && cl.auth == routes.AuthBearer && cl.token == "" && cl.route != nil:
		return "this client is not signed in: WithTokens, WithTokenStore or SetTokens"
	case e.coded || cl.route == nil || e.Code != CodeRouteNotFound && e.Code != CodeMethodNotAllowed:
		return ""
	case cl.route.Has(routes.October2025):
		return "every known AuthOS server has this route: is the base URL right?"
	default:
		return "servers newer than October 2025 have this route"
	}
}
