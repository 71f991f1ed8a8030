package authostest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

type listedRoute struct {
	Method        string
	Path          string
	Auth          string
	Group         string
	SuccessStatus int `json:"success_status"`
	Request       map[string]string
}

func listedRoutes(t *testing.T) []listedRoute {
	t.Helper()
	data, err := os.ReadFile("../testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	return parse[[]listedRoute](t, string(data))
}

// knownParams are path parameters for which the scene of a new server has
// something; all others get an id that nobody has.
var knownParams = map[string]string{"org_slug": "acme", "service_slug": "app", "provider": "github", "org": "acme", "service": "app"}

var paramPattern = regexp.MustCompile(`:[a-z_]+`)

func (r listedRoute) concrete() string {
	return paramPattern.ReplaceAllStringFunc(r.Path, func(param string) string {
		if value, ok := knownParams[param[1:]]; ok {
			return value
		}
		return "00000000-0000-4000-8000-000000000000"
	})
}

// credentials are good for every route that wants some.
func credentials(srv *authostest.Server, scim string) map[string]string {
	srv.AddPlatformOwner("root@example.com", "")
	return map[string]string{
		"bearer":         bearer(srv.SignIn("ada@example.com").AccessToken),
		"platform_owner": bearer(srv.SignIn("root@example.com").AccessToken),
		"api_key":        "X-Api-Key: " + srv.AddAPIKey(),
		"metrics_token":  bearer("metrics"),
		"scim_token":     bearer(scim),
		"none":           "X-None: none",
	}
}

// stay keeps a client from following redirects.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// TestEveryRouteIsKnown fails on a route of the list that the fake has no place
// for, or no method.
func TestEveryRouteIsKnown(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMetrics("metrics"))
	c.http.CheckRedirect = stay
	routes := listedRoutes(t)
	if len(routes) != 246 {
		t.Errorf("the list has %d routes, want 246", len(routes))
	}
	srv.SetFeature("acme", "allow_scim", true)
	scim := parse[map[string]any](t, c.do("POST", "/api/organizations/acme/scim-tokens", `{"name":"okta"}`,
		bearer(srv.SignIn("ada@example.com").AccessToken)).body)["token"]
	secret, _ := scim.(string)
	creds := credentials(srv, secret)
	for _, r := range routes {
		auth := creds[r.Auth]
		if auth == "" {
			auth = "X-None: none"
		}
		body := ""
		if r.Method != "GET" && r.Method != "DELETE" {
			body = "{}"
		}
		path := r.concrete()
		if r.Method == "DELETE" && (r.Path == "/api/organizations/:org_slug" || strings.HasSuffix(r.Path, "/services/:service_slug")) {
			srv.SetRole("acme", "ada@example.com", "member") // who may not: the routes that follow need both
		}
		got := c.do(r.Method, path, body, auth)
		srv.SetRole("acme", "ada@example.com", "owner")
		if strings.Contains(r.Path, "log") || strings.Contains(r.Path, "delete") || strings.Contains(r.Path, "revoke") {
			creds = credentials(srv, secret) // the session may be gone now
		}
		seen := srv.Requests()
		entry := seen[len(seen)-1]
		switch {
		case entry.Route != r.Path:
			t.Errorf("%s %s went to %q", r.Method, r.Path, entry.Route)
		case got.StatusCode == 405:
			t.Errorf("%s %s: the fake does not know the method", r.Method, r.Path)
		case got.StatusCode == 404 && got.body == "" && r.SuccessStatus != 404:
			t.Errorf("%s %s: responded like an unknown path", r.Method, r.Path)
		case got.StatusCode == 401 && r.Auth != "oauth_client":
			if !strings.Contains(r.Path, "logout") && !strings.Contains(r.Path, "passkeys/authenticate") {
				t.Errorf("%s %s = 401 %s in spite of credentials", r.Method, r.Path, got.body)
			}
		case got.StatusCode >= 500 && got.StatusCode != 503:
			t.Errorf("%s %s = %d %s", r.Method, r.Path, got.StatusCode, got.body)
		case r.Method == "GET" && got.StatusCode/100 == 2 && r.SuccessStatus/100 == 2 && got.StatusCode != r.SuccessStatus:
			t.Errorf("%s %s = %d, want %d", r.Method, r.Path, got.StatusCode, r.SuccessStatus)
		}
		if ct := got.Header.Get("Content-Type"); strings.HasPrefix(ct, jsonType) && !json.Valid([]byte(got.body)) {
			t.Errorf("%s %s: invalid JSON %s", r.Method, r.Path, got.body)
		}
	}
}

// TestEveryRouteWantsItsCredentials sends none, and sees who cares.
func TestEveryRouteWantsItsCredentials(t *testing.T) {
	_, c := inMemory(t, authostest.WithMetrics("metrics"))
	for _, r := range listedRoutes(t) {
		got := c.do(r.Method, r.concrete(), "")
		switch r.Auth {
		case "bearer", "platform_owner", "api_key", "scim_token", "metrics_token":
			if got.StatusCode != 401 {
				t.Errorf("%s %s without credentials = %d %s, want 401", r.Method, r.Path, got.StatusCode, got.body)
			}
		case "none":
			if got.StatusCode == 401 {
				t.Errorf("%s %s = 401 %s, want no need of credentials", r.Method, r.Path, got.body)
			}
		}
	}
}

// TestGetRoutesOfTheSceneSucceed reads everything that the scene of a new server
// has.
func TestGetRoutesOfTheSceneSucceed(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMetrics("metrics"))
	c.http.CheckRedirect = stay
	creds := credentials(srv, "")
	refusing := map[string]string{
		"/auth/verify-email":                                                   "no token",
		"/api/auth/context":                                                    "",
		"/auth/:provider":                                                      "no tenant",
		"/auth/:provider/callback":                                             "no state",
		"/auth/admin/:provider/callback":                                       "no state",
		"/api/auth/magic-link/verify":                                          "no token",
		"/api/provider-token/:provider":                                        "nothing linked",
		"/api/platform/bootstrap/config":                                       "not a standalone installation",
		"/api/platform/users/search":                                           "no query",
		"/saml/:org_slug/:service_slug/sso":                                    "SAML is off",
		"/saml/:org_slug/:service_slug/slo":                                    "SAML is off",
		"/invitations/accept/:token":                                           "a redirect",
		"/connect/provider-token/:state":                                       "a redirect",
		"/.well-known/openid-configuration":                                    "there is none",
		"/saml/:org_slug/:service_slug/authenticate":                           "SAML is off",
		"/saml/:org_slug/:service_slug/metadata":                               "SAML is off",
		"/api/organizations/:org_slug/services/:service_slug/saml/certificate": "there is none",
		"/api/organizations/:org_slug/services/:service_slug/saml/login":       "SAML is off",
		"/api/organizations/:org_slug/oauth-credentials/:provider":             "there are none",
		"/api/organizations/:org_slug/billing-credentials/:provider":           "no such provider",
	}
	for _, r := range listedRoutes(t) {
		if _, listed := refusing[r.Path]; listed || r.Method != "GET" || r.Auth == "scim_token" || strings.Contains(r.concrete(), "00000000") {
			continue
		}
		got := c.do(r.Method, r.concrete(), "", creds[r.Auth])
		if got.StatusCode != r.SuccessStatus && got.StatusCode/100 != 3 {
			t.Errorf("GET %s = %d %s, want %d", r.Path, got.StatusCode, got.body, r.SuccessStatus)
		}
	}
}
