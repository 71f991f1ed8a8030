package routes

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// listedRoute is one entry of testdata/routes.json.
type listedRoute struct {
	Method        string         `json:"method"`
	Path          string         `json:"path"`
	Auth          string         `json:"auth"`
	SuccessStatus int            `json:"success_status"`
	Response      map[string]any `json:"response"`
	RetrySafe     bool           `json:"retry_safe"`
	SingleUse     bool           `json:"single_use"`
}

func listedRoutes(t *testing.T) []listedRoute {
	t.Helper()
	data, err := os.ReadFile("../../testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var routes []listedRoute
	if err := json.Unmarshal(data, &routes); err != nil {
		t.Fatal(err)
	}
	return routes
}

// TestRouteTable compares the table with the list, rule by rule and without the generator's code.
// That the generated file is up to date byte for byte is tested beside the generator.
func TestRouteTable(t *testing.T) {
	auths := map[string]Auth{
		"none": AuthNone, "bearer": AuthBearer, "platform_owner": AuthBearer, "api_key": AuthAPIKey,
		"scim_token": AuthNone, "oauth_client": AuthNone, "metrics_token": AuthNone, "provider_signature": AuthNone,
	}
	listed := listedRoutes(t)
	const want = 246
	if len(listed) != want {
		t.Fatalf("%d routes in the list, want %d", len(listed), want)
	}
	if len(table) != want {
		t.Fatalf("%d routes in the table, want %d", len(table), want)
	}
	for _, l := range listed {
		name := l.Method + " " + l.Path
		r := ByTemplate(l.Method, l.Path)
		if r == nil {
			t.Errorf("%s: not in the table", name)
			continue
		}
		if want := auths[l.Auth]; r.Auth != want {
			t.Errorf("%s: auth = %d, want %d", name, r.Auth, want)
		}
		if r.Has(Repeatable) != l.RetrySafe {
			t.Errorf("%s: repeatable = %t, want %t", name, r.Has(Repeatable), l.RetrySafe)
		}
		if r.Has(SingleUse) != l.SingleUse {
			t.Errorf("%s: single use = %t, want %t", name, r.Has(SingleUse), l.SingleUse)
		}
		if l.RetrySafe && l.SingleUse {
			t.Errorf("%s: listed as repeatable and as single use", name)
		}
		empty := l.SuccessStatus == http.StatusNoContent || l.Response["_"] == "null" || l.Response["_"] == "empty" ||
			// the list does not say what they response
			len(l.Response) == 0 && l.Method != http.MethodGet && !slices.Contains([]string{
				"DELETE /api/organizations/:org_slug/smtp", "POST /api/organizations/:org_slug/smtp", "POST /api/organizations/:org_slug/domain",
				"POST /api/organizations/:org_slug/domain/verify", "POST /api/platform/mfa/metrics/generate",
			}, name)
		if r.Has(MayBeEmpty) != empty {
			t.Errorf("%s: may be empty = %t, want %t", name, r.Has(MayBeEmpty), empty)
		}
	}
	if !slices.IsSortedFunc(table[:], func(a, b Route) int {
		return strings.Compare(a.Template+" "+a.Method, b.Template+" "+b.Method)
	}) {
		t.Error("the table is not sorted by path, then method")
	}
}

// TestRouteKeep names what must never reach the stale fallback, whatever the generator's rules
// become.
func TestRouteKeep(t *testing.T) {
	never := []string{
		"token", "mfa", "passkeys", "magic-link", "verify", "secret", "privacy", "linked-accounts", "saml", "scim", "siem", "smtp",
		"credentials/:provider", "upstream", "bootstrap", "health", "metrics", "deliveries", "/auth/:provider",
	}
	for i := range table {
		r := &table[i]
		if !r.Has(Cacheable) {
			continue
		}
		if r.Method != http.MethodGet || r.Has(SingleUse) || !r.Has(Repeatable) {
			t.Errorf("%s %s is kept", r.Method, r.Template)
		}
		for _, word := range never {
			if strings.Contains(r.Template, word) && !strings.Contains(r.Template, "/oauth-credentials/") {
				t.Errorf("%s %s is kept, but contains %q", r.Method, r.Template, word)
			}
		}
	}
	for _, template := range []string{"/api/user", "/api/organizations", "/api/service/users", "/.well-known/jwks.json"} {
		if !ByTemplate(http.MethodGet, template).Has(Cacheable) {
			t.Errorf("GET %s is not kept", template)
		}
	}
	if ByTemplate(http.MethodGet, "/api/platform/organizations").Has(Cacheable) {
		t.Error("GET /api/platform/organizations is kept, but carries domain verification tokens")
	}
}

func TestRouteFlags(t *testing.T) {
	withFlag := func(f Flags) (names []string) {
		for i := range table {
			if r := &table[i]; r.Has(f) {
				names = append(names, r.Method+" "+r.Template)
			}
		}
		return names
	}
	tests := []struct {
		name string
		flag Flags
		want []string
	}{
		{"unconfigured", Unconfigured, []string{
			"POST /api/auth/forgot-password",
			"POST /api/auth/magic-link/request",
			"POST /api/auth/register",
			"POST /api/auth/resend-verification",
			"POST /api/organizations/:org_slug/billing/portal",
			"POST /api/organizations/:org_slug/services/:service_slug/checkout",
		}},
		{"single use", SingleUse, []string{
			"GET /api/auth/magic-link/verify",
			"POST /api/auth/mfa/verify",
			"POST /api/auth/passkeys/authenticate/finish",
			"POST /api/auth/passkeys/register/finish",
			"POST /api/auth/refresh",
			"POST /api/auth/reset-password",
			"POST /api/public/bootstrap-login",
			"POST /api/user/mfa/backup-codes/regenerate",
			"POST /api/user/mfa/setup",
			"POST /api/user/mfa/verify",
			"POST /auth/token",
			"GET /auth/verify-email",
			"POST /oauth/token",
			"POST /oauth2/token",
		}},
		// Logout, change-password and user/mfa/verify take a bearer token; the others are public.
		{"own 401", Own401, []string{
			"POST /api/auth/login",
			"POST /api/auth/logout",
			"GET /api/auth/magic-link/verify",
			"POST /api/auth/mfa/verify",
			"POST /api/auth/passkeys/authenticate/finish",
			"POST /api/auth/refresh",
			"POST /api/auth/reset-password",
			"POST /api/public/bootstrap-login",
			"POST /api/user/change-password",
			"POST /api/user/mfa/verify",
			"POST /auth/token",
			"POST /oauth/token",
			"POST /oauth2/token",
			"POST /saml/mfa/verify",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := withFlag(tt.flag); !slices.Equal(got, tt.want) {
				t.Errorf("routes = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRouteLimiters(t *testing.T) {
	tests := []struct {
		method, path string
		want         Limiter
		name         string
	}{
		{"POST", "/api/auth/login", LimiterAuth, "auth"},
		{"POST", "/api/auth/refresh", LimiterAuth, "auth"},
		{"GET", "/api/auth/magic-link/verify", LimiterAuth, "auth"},
		{"POST", "/api/auth/passkeys/authenticate/start", LimiterAuth, "auth"},
		{"POST", "/api/auth/passkeys/register/start", LimiterOther, "other"},
		{"GET", "/auth/github", LimiterAuth, "auth"},
		{"GET", "/auth/admin/github/callback", LimiterAuth, "auth"},
		{"POST", "/oauth2/token", LimiterAuth, "auth"},
		{"POST", "/auth/token", LimiterDevice, "device"},
		{"POST", "/auth/device/code", LimiterDevice, "device"},
		{"POST", "/api/auth/mfa/verify", LimiterMFAVerify, "mfa-verify"},
		{"POST", "/saml/mfa/verify", LimiterMFAVerify, "mfa-verify"},
		{"POST", "/api/user/mfa/verify", LimiterMFASetup, "mfa-setup"},
		{"GET", "/api/user/mfa/status", LimiterMFASetup, "mfa-setup"},
		{"DELETE", "/api/user/mfa", LimiterMFASetup, "mfa-setup"},
		{"GET", "/api/platform/users/u1/mfa/status", LimiterOther, "other"},
		{"GET", "/api/user", LimiterOther, "other"},
		{"GET", "/api/service/users", LimiterOther, "other"},
	}
	for _, tt := range tests {
		r := Match(tt.method, tt.path)
		if r == nil {
			t.Errorf("Match(%q, %q) = nil", tt.method, tt.path)
			continue
		}
		if r.Limiter != tt.want || r.Limiter.String() != tt.name {
			t.Errorf("%s %s: Limiter = %v, want %v (%s)", tt.method, tt.path, r.Limiter, tt.want, tt.name)
		}
	}
}

func TestMatchRouteFindsEveryTemplate(t *testing.T) {
	for i := range table {
		r := &table[i]
		for _, param := range []string{"x", "a%2Fb", "..", "%", "sk_1"} {
			segments := strings.Split(r.Template, "/")
			for j, s := range segments {
				if strings.HasPrefix(s, ":") {
					segments[j] = param
				}
			}
			path := strings.Join(segments, "/")
			if got := Match(r.Method, path); got != r {
				t.Errorf("Match(%q, %q) = %+v, want %+v", r.Method, path, got, r)
			}
		}
		if got := ByTemplate(r.Method, r.Template); got != r {
			t.Errorf("ByTemplate(%q, %q) = %+v", r.Method, r.Template, got)
		}
	}
}

func TestMatchRoute(t *testing.T) {
	const none = ""
	tests := []struct {
		method, path string
		want         string // template
	}{
		// A literal wins over a parameter, and is left again where it leads nowhere.
		{"GET", "/api/organizations/acme/webhooks/event-types", "/api/organizations/:org_slug/webhooks/event-types"},
		{"GET", "/api/organizations/acme/webhooks/w1", "/api/organizations/:org_slug/webhooks/:webhook_id"},
		{"GET", "/api/organizations/acme/webhooks/event-types/deliveries", "/api/organizations/:org_slug/webhooks/:webhook_id/deliveries"},
		{"GET", "/api/platform/users/search", "/api/platform/users/search"},
		{"GET", "/api/platform/users/search/mfa/status", "/api/platform/users/:user_id/mfa/status"},
		{"POST", "/api/invitations/accept", "/api/invitations/accept"},
		{"POST", "/api/invitations/accept/accept", "/api/invitations/:invitation_id/accept"},
		{"GET", "/auth/verify-email", "/auth/verify-email"},
		{"GET", "/auth/admin/callback", "/auth/admin/:provider"},
		{"GET", "/auth/google/callback", "/auth/:provider/callback"},
		{"POST", "/api/user/devices/revoke-all", "/api/user/devices/revoke-all"},
		// The path is chosen before the method: 405, not the route of a parameter.
		{"DELETE", "/api/organizations/acme/webhooks/event-types", none},
		{"GET", "/api/invitations/accept", none},
		{"PUT", "/api/user", none},
		// HEAD is served by GET's handler.
		{"HEAD", "/api/auth/magic-link/verify", "/api/auth/magic-link/verify"},
		{"HEAD", "/api/auth/login", none},
		// Compared as spelled.
		{"GET", "/api/user/", none},
		{"GET", "/api//user", none},
		{"GET", "/api/us%65r", none},
		{"GET", "/API/user", none},
		{"GET", "api/user", none},
		{"get", "/api/user", none},
		{"GET", "/api/service/users/", none},
		{"GET", "/api/service/users/u1/x", none},
		{"GET", "/api/service/users/x", "/api/service/users/:user_id"},
		{"GET", "/api/user?x=1", none},
		{"GET", "/", none},
		{"GET", "", none},
		{"", "/api/user", none},
		{"GET", "/api/organizations/:org_slug", "/api/organizations/:org_slug"},
	}
	for _, tt := range tests {
		got := none
		if r := Match(tt.method, tt.path); r != nil {
			got = r.Template
		}
		if got != tt.want {
			t.Errorf("Match(%q, %q) = %q, want %q", tt.method, tt.path, got, tt.want)
		}
	}
	if r := ByTemplate(http.MethodGet, "/api/organizations/acme"); r != nil {
		t.Errorf("ByTemplate of a concrete path = %+v, want nil", r)
	}
}

func TestRouteLookupDoesNotAllocate(t *testing.T) {
	path := "/api/organizations/acme/services/web/api-keys/k1"
	if n := testing.AllocsPerRun(100, func() {
		if Match(http.MethodDelete, path) == nil || Match(http.MethodGet, "/nowhere") != nil {
			t.Error("wrong route")
		}
	}); n != 0 {
		t.Errorf("Match allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if ByTemplate(http.MethodGet, "/api/user") == nil {
			t.Error("no route")
		}
	}); n != 0 {
		t.Errorf("ByTemplate allocates %v times, want 0", n)
	}
}

func FuzzMatchRoute(f *testing.F) {
	for i := range table {
		f.Add(table[i].Method, table[i].Template)
	}
	f.Add("GET", "/api/invitations/accept/accept")
	f.Add("GET", "//")
	f.Add("HEAD", "/auth/%2f/callback")
	f.Fuzz(func(t *testing.T, method, path string) {
		r := Match(method, path)
		if r == nil {
			if ByTemplate(method, path) != nil {
				t.Fatalf("Match(%q, %q) = nil, but that is a template", method, path)
			}
			return
		}
		if r.Method != method && (method != http.MethodHead || r.Method != http.MethodGet) {
			t.Fatalf("Match(%q, %q) = %s %s", method, path, r.Method, r.Template)
		}
		got, want := strings.Split(path, "/"), strings.Split(r.Template, "/")
		if len(got) != len(want) {
			t.Fatalf("Match(%q, %q) = %s", method, path, r.Template)
		}
		for i := range got {
			if strings.HasPrefix(want[i], ":") && got[i] != "" {
				continue
			}
			if got[i] != want[i] {
				t.Fatalf("Match(%q, %q) = %s: segment %d is %q", method, path, r.Template, i, got[i])
			}
		}
	})
}

func BenchmarkMatchRoute(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match(http.MethodGet, "/api/organizations/acme/services/web/api-keys/k1")
	}
}
