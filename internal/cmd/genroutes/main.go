// Command genroutes writes internal/routes/routes_gen.go, the client's route table, from
// testdata/routes.json.
//
// It takes no decision silently: a GET that is neither listed as cacheable nor as uncached, an
// unknown kind of authentication and a rule that names no route are errors. Run it by "go generate"
// in the root of the module.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/format"
	"net/http"
	"os"
	"slices"
	"strings"
)

func main() {
	in := flag.String("in", "testdata/routes.json", "route list to read")
	out := flag.String("out", "internal/routes/routes_gen.go", "Go file to write")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "genroutes:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	src, err := generate(data)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, src, 0o644)
}

// route is one entry of the route list; members that the client has no use for are left out.
type route struct {
	Method        string         `json:"method"`
	Path          string         `json:"path"`
	Auth          string         `json:"auth"`
	Group         string         `json:"group"`
	SuccessStatus int            `json:"success_status"`
	Response      map[string]any `json:"response"`
	RetrySafe     bool           `json:"retry_safe"`
	SingleUse     bool           `json:"single_use"`
}

func (r *route) String() string { return r.Method + " " + r.Path }

// auths maps the list's kinds of authentication to the client's. Credentials that the client does
// not hold are no credential.
var auths = map[string]string{
	"none":               "AuthNone",
	"bearer":             "AuthBearer",
	"platform_owner":     "AuthBearer", // a bearer token of a user who is one
	"api_key":            "AuthAPIKey",
	"scim_token":         "AuthNone", // the identity provider's
	"oauth_client":       "AuthNone", // client id and secret of the caller
	"metrics_token":      "AuthNone", // the operator's
	"provider_signature": "AuthNone", // the billing provider's
}

// unconfiguredRoutes return 503 SERVICE_UNAVAILABLE for good: when the server cannot send e-mail at
// all, or has no billing.
var unconfiguredRoutes = []string{
	"POST /api/auth/forgot-password",
	"POST /api/auth/magic-link/request",
	"POST /api/auth/register",
	"POST /api/auth/resend-verification",
	"POST /api/organizations/:org_slug/billing/portal",
	"POST /api/organizations/:org_slug/services/:service_slug/checkout",
}

// octoberRoutes are what a server of October 2025 has.
var octoberRoutes = []string{
	"GET /.well-known/jwks.json",
	"POST /api/auth/logout",
	"POST /api/auth/refresh",
	"GET /api/invitations",
	"POST /api/invitations/accept",
	"POST /api/invitations/decline",
	"GET /api/organizations",
	"POST /api/organizations",
	"GET /api/organizations/:org_slug",
	"PATCH /api/organizations/:org_slug",
	"GET /api/organizations/:org_slug/analytics/login-trends",
	"GET /api/organizations/:org_slug/analytics/logins-by-provider",
	"GET /api/organizations/:org_slug/analytics/logins-by-service",
	"GET /api/organizations/:org_slug/analytics/recent-logins",
	"GET /api/organizations/:org_slug/invitations",
	"POST /api/organizations/:org_slug/invitations",
	"POST /api/organizations/:org_slug/invitations/:invitation_id",
	"GET /api/organizations/:org_slug/members",
	"PATCH /api/organizations/:org_slug/members/:user_id",
	"POST /api/organizations/:org_slug/members/:user_id",
	"GET /api/organizations/:org_slug/oauth-credentials/:provider",
	"POST /api/organizations/:org_slug/oauth-credentials/:provider",
	"GET /api/organizations/:org_slug/services",
	"POST /api/organizations/:org_slug/services",
	"DELETE /api/organizations/:org_slug/services/:service_slug",
	"GET /api/organizations/:org_slug/services/:service_slug",
	"PATCH /api/organizations/:org_slug/services/:service_slug",
	"GET /api/organizations/:org_slug/services/:service_slug/plans",
	"POST /api/organizations/:org_slug/services/:service_slug/plans",
	"POST /api/organizations/:org_slug/transfer-ownership",
	"GET /api/organizations/:org_slug/users",
	"GET /api/organizations/:org_slug/users/:user_id",
	"DELETE /api/organizations/:org_slug/users/:user_id/sessions",
	"GET /api/platform/analytics/growth-trends",
	"GET /api/platform/analytics/login-activity",
	"GET /api/platform/analytics/organization-status",
	"GET /api/platform/analytics/overview",
	"GET /api/platform/analytics/recent-organizations",
	"GET /api/platform/analytics/top-organizations",
	"GET /api/platform/audit-log",
	"GET /api/platform/organizations",
	"POST /api/platform/organizations/:id/activate",
	"POST /api/platform/organizations/:id/approve",
	"POST /api/platform/organizations/:id/reject",
	"POST /api/platform/organizations/:id/suspend",
	"PATCH /api/platform/organizations/:id/tier",
	"POST /api/platform/owners",
	"DELETE /api/platform/owners/:user_id",
	"GET /api/platform/tiers",
	"GET /api/provider-token/:provider",
	"GET /api/subscription",
	"GET /api/user",
	"PATCH /api/user",
	"GET /api/user/identities",
	"DELETE /api/user/identities/:provider",
	"POST /api/user/identities/:provider/link",
	"GET /auth/:provider",
	"GET /auth/:provider/callback",
	"GET /auth/admin/:provider",
	"GET /auth/admin/:provider/callback",
	"POST /auth/device/code",
	"POST /auth/device/verify",
	"POST /auth/token",
	"POST /webhooks/stripe",
}

// own401Routes return 401 also for the caller's own input.
var own401Routes = []string{
	"GET /api/auth/magic-link/verify",             // the link's token
	"POST /api/auth/login",                        // e-mail and password
	"POST /api/auth/logout",                       // header missing; a token is not even looked at
	"POST /api/auth/mfa/verify",                   // the code, or an expired pre-auth token
	"POST /api/auth/passkeys/authenticate/finish", // the assertion
	"POST /api/auth/refresh",                      // the refresh token
	"POST /api/auth/reset-password",               // the reset token
	"POST /api/public/bootstrap-login",            // the bootstrap token
	"POST /api/user/change-password",              // the current password
	"POST /api/user/mfa/verify",                   // the code; the newest server returns 400
	"POST /auth/token",                            // the client id of the device code
	"POST /oauth/token",                           // client id and secret
	"POST /oauth2/token",                          // the same
	"POST /saml/mfa/verify",                       // the code
}

// authLimiterPaths and authLimiterPrefixes are the paths of the server's "auth" limiter.
var (
	authLimiterPaths = []string{
		"/api/auth/context",
		"/api/auth/forgot-password",
		"/api/auth/login",
		"/api/auth/logout",
		"/api/auth/lookup-email",
		"/api/auth/refresh",
		"/api/auth/register",
		"/api/auth/resend-verification",
		"/api/auth/reset-password",
		"/auth/:provider",
		"/auth/:provider/callback",
		"/auth/revoke",
		"/auth/saml/callback",
		"/auth/verify-email",
		"/oauth/token",
		"/oauth2/token",
	}
	authLimiterPrefixes = []string{
		"/api/auth/magic-link/",
		// registration and management of passkeys have no limiter
		"/api/auth/passkeys/authenticate/",
		"/auth/admin/",
	}
)

// cachedGroups are the groups whose GET responses may be cached for the stale fallback, unless
// uncachedRoutes says otherwise. They hold no token, no secret and no private export, and a
// response that is a few minutes old is still worth having.
var cachedGroups = []string{
	"analytics",
	"api_keys", // name, prefix and permissions; the key itself is shown once, by POST
	"audit",    // the server redacts secrets in the metadata
	"billing",
	"branding",
	"domains",
	"end_users",
	"members",
	"oauth_credentials", // has_secret, not the secret
	"organizations",
	"plans",
	"platform",
	"risk",
	"roles",
	"service_api",
	"services", // client_secret is null in every GET
	"user",
	"web",
	"webhooks", // the secret is shown once, by POST
}

// uncachedGroups are the groups of which no response is cached, with the reason.
var uncachedGroups = map[string]string{
	"device":             "codes and tokens",
	"health":             "an old response about health is a wrong one",
	"invitations":        "servers of October 2025 send the tokens",
	"magic_link":         "tokens",
	"mfa":                "whether a second factor is on must be true now",
	"oauth":              "browser redirects",
	"passkeys":           "sign-in credentials",
	"privacy":            "export of personal data",
	"provider_tokens":    "tokens of other providers, and the way to them",
	"saml":               "browser routes and key material",
	"scim":               "SCIM tokens; provisioning needs the present state",
	"siem":               "credentials of log collectors",
	"smtp":               "mail server account",
	"upstream_providers": "client secrets of identity providers",
}

// responded are writes of which the list knows no body, but that always respond with one.
var responded = []string{
	"DELETE /api/organizations/:org_slug/smtp",        // {message}
	"POST /api/organizations/:org_slug/domain",        // what to publish
	"POST /api/organizations/:org_slug/domain/verify", // the outcome
	"POST /api/organizations/:org_slug/smtp",          // {message}
	"POST /api/platform/mfa/metrics/generate",         // the day's row
}

// cachedRoutes are cached although their group is not decided as a whole.
var cachedRoutes = []string{
	"GET /.well-known/authos-configuration",
	"GET /.well-known/jwks.json", // public keys
	"GET /api/auth/context",      // what a sign-in page shows
}

// uncachedRoutes are GETs of cached or undecided groups whose responses are not cached, with the
// reason.
var uncachedRoutes = map[string]string{
	"GET /.well-known/oauth-authorization-server":                      "always 404",
	"GET /.well-known/openid-configuration":                            "always 404",
	"GET /api/organizations/:org_slug/billing-credentials/:provider":   "payment provider's secrets",
	"GET /api/organizations/:org_slug/domain-routes":                   "may carry verification tokens",
	"GET /api/organizations/:org_slug/webhooks/:webhook_id/deliveries": "payloads, and bodies that other servers sent",
	"GET /api/platform/bootstrap/config":                               "setup secrets",
	"GET /api/platform/mfa/metrics":                                    "MFA",
	"GET /api/platform/mfa/metrics/generate":                           "a GET that writes",
	"GET /api/platform/mfa/suspicious-activity":                        "MFA; an old alert list misleads",
	"GET /api/platform/organizations":                                  "domain_verification_token",
	"GET /api/platform/users/:user_id/mfa/status":                      "MFA",
	"GET /auth/verify-email":                                           "consumes a token, returns HTML",
	"GET /invitations/accept/:token":                                   "browser redirect with a token in its path",
}

// generate returns the source of routes_gen.go for a route list in JSON.
func generate(data []byte) ([]byte, error) {
	var routes []route
	if err := json.Unmarshal(data, &routes); err != nil {
		return nil, err
	}
	slices.SortFunc(routes, func(a, b route) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
	})
	if err := checkRules(routes); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	buf.WriteString("// Code generated by genroutes; DO NOT EDIT.\n\npackage routes\n\n")
	buf.WriteString("// table holds every route of testdata/routes.json, sorted by path, then method.\n")
	buf.WriteString("var table = [...]Route{\n")
	for _, r := range routes {
		auth, ok := auths[r.Auth]
		if !ok {
			return nil, fmt.Errorf("%v: unknown auth %q", &r, r.Auth)
		}
		flags, err := r.flags()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&buf, "\t{Method: %q, Template: %q, Auth: %s, Limiter: %s", r.Method, r.Path, auth, r.limiter())
		if len(flags) > 0 {
			fmt.Fprintf(&buf, ", Flags: %s", strings.Join(flags, " | "))
		}
		buf.WriteString("},\n")
	}
	buf.WriteString("}\n")
	return format.Source(buf.Bytes())
}

// checkRules reports a route that is listed twice, and a rule that names a route or path the list
// does not have: either the rule or the list is out of date.
func checkRules(routes []route) error {
	seen := make(map[string]bool)
	for _, r := range routes {
		if seen[r.String()] {
			return fmt.Errorf("%v: listed twice", &r)
		}
		seen[r.String()] = true
	}
	for _, rules := range [][]string{unconfiguredRoutes, octoberRoutes, own401Routes, cachedRoutes, responded} {
		for _, rule := range rules {
			if !seen[rule] {
				return fmt.Errorf("rule for %s, which is not in the list", rule)
			}
		}
	}
	for rule := range uncachedRoutes {
		if !seen[rule] {
			return fmt.Errorf("rule for %s, which is not in the list", rule)
		}
	}
	for _, path := range authLimiterPaths {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.Path == path }) {
			return fmt.Errorf("rule for %s, which is not in the list", path)
		}
	}
	return nil
}

func (r *route) limiter() string {
	switch {
	case slices.Contains(authLimiterPaths, r.Path),
		slices.ContainsFunc(authLimiterPrefixes, func(p string) bool { return strings.HasPrefix(r.Path, p) }):
		return "LimiterAuth"
	case r.Group == "device":
		return "LimiterDevice"
	case r.Path == "/api/auth/mfa/verify", r.Path == "/saml/mfa/verify":
		return "LimiterMFAVerify"
	case r.Path == "/api/user/mfa", strings.HasPrefix(r.Path, "/api/user/mfa/"):
		return "LimiterMFASetup"
	}
	return "LimiterOther"
}

func (r *route) flags() ([]string, error) {
	keep, err := r.keep()
	if err != nil {
		return nil, err
	}
	var flags []string
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"Repeatable", r.RetrySafe},
		{"SingleUse", r.SingleUse},
		{"Cacheable", keep},
		{"MayBeEmpty", r.mayBeEmpty()},
		{"Unconfigured", slices.Contains(unconfiguredRoutes, r.String())},
		{"Own401", slices.Contains(own401Routes, r.String())},
		{"October2025", slices.Contains(octoberRoutes, r.String())},
	} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	return flags, nil
}

// mayBeEmpty reports whether the route's success may carry nothing: by its status, by what the list
// says of its body, or because it is a write of which the list knows no body at all.
func (r *route) mayBeEmpty() bool {
	if r.SuccessStatus == http.StatusNoContent {
		return true
	}
	if len(r.Response) == 0 {
		return r.Method != http.MethodGet && !slices.Contains(responded, r.String())
	}
	return r.Response["_"] == "null" || r.Response["_"] == "empty"
}

// keep decides whether a good response may be cached for the stale fallback.
func (r *route) keep() (bool, error) {
	if r.Method != http.MethodGet || r.SingleUse {
		return false, nil
	}
	if _, ok := uncachedRoutes[r.String()]; ok {
		return false, nil
	}
	if slices.Contains(cachedRoutes, r.String()) || slices.Contains(cachedGroups, r.Group) {
		return true, nil
	}
	if _, ok := uncachedGroups[r.Group]; ok {
		return false, nil
	}
	return false, fmt.Errorf("%v: no rule says whether its response may be cached", r)
}
