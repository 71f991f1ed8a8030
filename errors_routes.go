package authos

import (
	"net/http"
	"slices"
	"strings"

	"github.com/authos-go/authos/internal/routes"
)

// conflictText is a text by which a route tells, as 400 BAD_REQUEST, that what was asked for
// clashes with what is there. Elsewhere the same words may say something else: a mailed link that
// was "already used" is no conflict.
type conflictText struct {
	method, template string
	means            Code
	texts            []string // parts of the message, either generation's
}

const orgPath = "/api/organizations/:org_slug"

var conflictTexts = []conflictText{
	{http.MethodPatch, "/api/user", CodeResourceAlreadyExists, addressTaken},
	{http.MethodPatch, "/api/service/users/:user_id", CodeResourceAlreadyExists, addressTaken},
	{http.MethodPost, "/api/organizations", CodeResourceAlreadyExists, []string{
		"Unable to create organization with the provided information", "already taken", "already exists",
	}},
	{http.MethodPost, orgPath + "/invitations", CodeResourceAlreadyExists, []string{
		"already sent", "already been sent", "already a member", "already invited",
	}},
	{http.MethodPost, orgPath + "/invitations/:invitation_id/accept", CodeResourceAlreadyExists, []string{"already a member"}},
	{http.MethodPost, "/api/invitations/accept", CodeResourceAlreadyExists, []string{"already a member"}},
	{http.MethodPost, "/api/invitations/:invitation_id/accept", CodeResourceAlreadyExists, []string{"already a member"}},
	{http.MethodPost, orgPath + "/domain", CodeResourceAlreadyExists, []string{"already configured", "already in use", "already taken"}},
	{http.MethodPost, orgPath + "/domain/verify", CodeConflictError, []string{"already verified"}},
	{http.MethodPost, orgPath + "/domain-routes", CodeResourceAlreadyExists, []string{"already configured", "already in use"}},
	{http.MethodPost, orgPath + "/domain-routes/:domain_id/verify", CodeConflictError, []string{"already verified"}},
	{http.MethodPost, orgPath + "/upstream-providers", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/roles", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPut, orgPath + "/roles/:role_id", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/services", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/services/:service_slug/plans", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPatch, orgPath + "/services/:service_slug/plans/:plan_id", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/services/:service_slug/api-keys", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/webhooks", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPatch, orgPath + "/webhooks/:webhook_id", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/siem-configs", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/scim-tokens", CodeResourceAlreadyExists, nameTaken},
	{http.MethodPost, orgPath + "/transfer-ownership", CodeConflictError, []string{"already the owner"}},
	{http.MethodPost, "/api/service/subscriptions", CodeResourceAlreadyExists, []string{"already has a subscription", "already exists"}},
	{http.MethodPost, "/api/user/mfa/verify", CodeConflictError, []string{"already enabled"}},
	{http.MethodPost, "/api/user/set-password", CodeConflictError, []string{"already has a password", "already set"}},
	{http.MethodPost, "/api/user/identities/:provider/link", CodeResourceAlreadyExists, []string{"already linked"}},
	{http.MethodPost, "/api/user/linked-accounts/:provider/link", CodeResourceAlreadyExists, []string{"already linked"}},
	{http.MethodPost, "/api/platform/owners", CodeResourceAlreadyExists, []string{"already a platform owner"}},
	{http.MethodPost, "/api/platform/organizations/:id/approve", CodeConflictError, []string{"already active", "already approved"}},
	{http.MethodPost, "/api/platform/organizations/:id/reject", CodeConflictError, []string{"already rejected"}},
	{http.MethodPost, "/api/platform/organizations/:id/suspend", CodeConflictError, []string{"already suspended"}},
	{http.MethodPost, "/api/platform/organizations/:id/activate", CodeConflictError, []string{"already active"}},
}

var (
	addressTaken = []string{"already taken", "already in use", "already registered", "already exists"}
	nameTaken    = []string{"already exists", "already taken", "already in use"}
)

// conflict is the code of a clash that the response tells in text only; empty when it tells none.
func (e *APIError) conflict() Code {
	if e.Code != CodeBadRequest {
		return ""
	}
	for _, c := range conflictTexts {
		if c.method == e.Method && c.template == e.Path && containsAny(e.Message, c.texts) {
			return c.means
		}
	}
	return ""
}

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// textsOf lists the texts by which the server says a code without sending it.
func textsOf(code Code) []string {
	var texts []string
	for _, t := range codeTexts {
		if t.means == code {
			texts = append(texts, t.text)
		}
	}
	for _, c := range conflictTexts {
		if c.means == code {
			texts = append(texts, c.texts...)
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// serviceCredential reports whether the response refuses the API key of a service, which is nothing
// that an end user could mend by signing in.
func (e *APIError) serviceCredential() bool {
	return e.effectiveStatus() == http.StatusUnauthorized && strings.HasPrefix(e.Path, "/api/service/") &&
		e.classified() != CodeOrganizationNotActive
}

// foreignFailures are codes by which a working server reports somebody else's failure, or one of a
// single request.
var foreignFailures = []Code{CodeAuditError, CodeOAuthError, CodeStripeError, CodeBillingError}

// notConfigured reports whether a response says that the server was set up without what the call
// needs: e-mail delivery on the routes that send some, or billing. That neither passes by itself
// nor speaks of the server's health.
func notConfigured(route *routes.Route, api *APIError) bool {
	return api.coded && api.Code == CodeServiceUnavailable &&
		(route != nil && route.Has(routes.Unconfigured) || strings.EqualFold(strings.TrimRight(api.Message, "."), "billing is disabled"))
}
