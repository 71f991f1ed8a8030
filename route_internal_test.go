package authos

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
	data, err := os.ReadFile("testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var routes []listedRoute
	if err := json.Unmarshal(data, &routes); err != nil {
		t.Fatal(err)
	}
	return routes
}

// TestRouteTable compares the table with the list, rule by rule and without the generator's code. That the generated file is up to
// date byte for byte is tested beside the generator.
func TestRouteTable(t *testing.T) {
	auths := map[string]authKind{
		"none": authNone, "bearer": authBearer, "platform_owner": authBearer, "api_key": authAPIKey,
		"scim_token": authNone, "oauth_client": authNone, "metrics_token": authNone, "provider_signature": authNone,
	}
	listed := listedRoutes(t)
	const want = 246
	if len(listed) != want {
		t.Fatalf("%d routes in the list, want %d", len(listed), want)
	}
	if len(routeTable) != want {
		t.Fatalf("%d routes in the table, want %d", len(routeTable), want)
	}
	for _, l := range listed {
		name := l.Method + " " + l.Path
		r := routeByTemplate(l.Method, l.Path)
		if r == nil {
			t.Errorf("%s: not in the table", name)
			continue
		}
		if want := auths[l.Auth]; r.auth != want {
			t.Errorf("%s: auth = %d, want %d", name, r.auth, want)
		}
		if r.has(flagRepeatable) != l.RetrySafe {
			t.Errorf("%s: repeatable = %t, want %t", name, r.has(flagRepeatable), l.RetrySafe)
		}
		if r.has(flagSingleUse) != l.SingleUse {
			t.Errorf("%s: single use = %t, want %t", name, r.has(flagSingleUse), l.SingleUse)
		}
		if l.RetrySafe && l.SingleUse {
			t.Errorf("%s: listed as repeatable and as single use", name)
		}
		empty := l.SuccessStatus == http.StatusNoContent || l.Response["_"] == "null" || l.Response["_"] == "empty" ||
			len(l.Response) == 0 && l.Method != http.MethodGet && !slices.Contains([]string{ // the list does not say what they answer
				"DELETE /api/organizations/:org_slug/smtp", "POST /api/organizations/:org_slug/smtp", "POST /api/organizations/:org_slug/domain",
				"POST /api/organizations/:org_slug/domain/verify", "POST /api/platform/mfa/metrics/generate",
			}, name)
		if r.has(flagEmpty) != empty {
			t.Errorf("%s: may be empty = %t, want %t", name, r.has(flagEmpty), empty)
		}
	}
	if !slices.IsSortedFunc(routeTable[:], func(a, b route) int {
		return strings.Compare(a.template+" "+a.method, b.template+" "+b.method)
	}) {
		t.Error("the table is not sorted by path, then method")
	}
}

// TestRouteKeep names what must never reach the stale fallback, whatever the generator's rules become.
func TestRouteKeep(t *testing.T) {
	never := []string{
		"token", "mfa", "passkeys", "magic-link", "verify", "secret", "privacy", "linked-accounts", "saml", "scim", "siem", "smtp",
		"credentials/:provider", "upstream", "bootstrap", "health", "metrics", "deliveries", "/auth/:provider",
	}
	for i := range routeTable {
		r := &routeTable[i]
		if !r.has(flagKeep) {
			continue
		}
		if r.method != http.MethodGet || r.has(flagSingleUse) || !r.has(flagRepeatable) {
			t.Errorf("%s %s is kept", r.method, r.template)
		}
		for _, word := range never {
			if strings.Contains(r.template, word) && !strings.Contains(r.template, "/oauth-credentials/") {
				t.Errorf("%s %s is kept, but contains %q", r.method, r.template, word)
			}
		}
	}
	for _, template := range []string{"/api/user", "/api/organizations", "/api/service/users", "/.well-known/jwks.json"} {
		if !routeByTemplate(http.MethodGet, template).has(flagKeep) {
			t.Errorf("GET %s is not kept", template)
		}
	}
	if routeByTemplate(http.MethodGet, "/api/platform/organizations").has(flagKeep) {
		t.Error("GET /api/platform/organizations is kept, but carries domain verification tokens")
	}
}

func TestRouteFlags(t *testing.T) {
	withFlag := func(f routeFlags) (names []string) {
		for i := range routeTable {
			if r := &routeTable[i]; r.has(f) {
				names = append(names, r.method+" "+r.template)
			}
		}
		return names
	}
	tests := []struct {
		name string
		flag routeFlags
		want []string
	}{
		{"mail", flagMail, []string{
			"POST /api/auth/forgot-password",
			"POST /api/auth/magic-link/request",
			"POST /api/auth/register",
			"POST /api/auth/resend-verification",
		}},
		{"single use", flagSingleUse, []string{
			"GET /api/auth/magic-link/verify",
			"POST /api/auth/mfa/verify",
			"POST /api/auth/passkeys/authenticate/finish",
			"POST /api/auth/passkeys/register/finish",
			"POST /api/auth/refresh",
			"POST /api/auth/reset-password",
			"POST /api/user/mfa/backup-codes/regenerate",
			"POST /api/user/mfa/setup",
			"POST /api/user/mfa/verify",
			"POST /auth/token",
			"GET /auth/verify-email",
			"POST /oauth/token",
			"POST /oauth2/token",
		}},
		// Logout, change-password and user/mfa/verify take a bearer token; the others are public.
		{"own 401", flagOwn401, []string{
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

func TestRouteBuckets(t *testing.T) {
	tests := []struct {
		method, path string
		want         bucket
		name         string
	}{
		{"POST", "/api/auth/login", bucketAuth, "auth"},
		{"POST", "/api/auth/refresh", bucketAuth, "auth"},
		{"GET", "/api/auth/magic-link/verify", bucketAuth, "auth"},
		{"POST", "/api/auth/passkeys/authenticate/start", bucketAuth, "auth"},
		{"POST", "/api/auth/passkeys/register/start", bucketOther, "other"},
		{"GET", "/auth/github", bucketAuth, "auth"},
		{"GET", "/auth/admin/github/callback", bucketAuth, "auth"},
		{"POST", "/oauth2/token", bucketAuth, "auth"},
		{"POST", "/auth/token", bucketDevice, "device"},
		{"POST", "/auth/device/code", bucketDevice, "device"},
		{"POST", "/api/auth/mfa/verify", bucketMFAVerify, "mfa-verify"},
		{"POST", "/saml/mfa/verify", bucketMFAVerify, "mfa-verify"},
		{"POST", "/api/user/mfa/verify", bucketMFASetup, "mfa-setup"},
		{"GET", "/api/user/mfa/status", bucketMFASetup, "mfa-setup"},
		{"DELETE", "/api/user/mfa", bucketMFASetup, "mfa-setup"},
		{"GET", "/api/platform/users/u1/mfa/status", bucketOther, "other"},
		{"GET", "/api/user", bucketOther, "other"},
		{"GET", "/api/service/users", bucketOther, "other"},
	}
	for _, tt := range tests {
		r := matchRoute(tt.method, tt.path)
		if r == nil {
			t.Errorf("matchRoute(%q, %q) = nil", tt.method, tt.path)
			continue
		}
		if r.bucket != tt.want || r.bucket.String() != tt.name {
			t.Errorf("%s %s: bucket = %v, want %v (%s)", tt.method, tt.path, r.bucket, tt.want, tt.name)
		}
	}
}

func TestMatchRouteFindsEveryTemplate(t *testing.T) {
	for i := range routeTable {
		r := &routeTable[i]
		for _, param := range []string{"x", "a%2Fb", "..", "%", "sk_1"} {
			segments := strings.Split(r.template, "/")
			for j, s := range segments {
				if strings.HasPrefix(s, ":") {
					segments[j] = param
				}
			}
			path := strings.Join(segments, "/")
			if got := matchRoute(r.method, path); got != r {
				t.Errorf("matchRoute(%q, %q) = %+v, want %+v", r.method, path, got, r)
			}
		}
		if got := routeByTemplate(r.method, r.template); got != r {
			t.Errorf("routeByTemplate(%q, %q) = %+v", r.method, r.template, got)
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
		// HEAD is answered by GET's handler.
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
		if r := matchRoute(tt.method, tt.path); r != nil {
			got = r.template
		}
		if got != tt.want {
			t.Errorf("matchRoute(%q, %q) = %q, want %q", tt.method, tt.path, got, tt.want)
		}
	}
	if r := routeByTemplate(http.MethodGet, "/api/organizations/acme"); r != nil {
		t.Errorf("routeByTemplate of a concrete path = %+v, want nil", r)
	}
}

func TestRouteLookupDoesNotAllocate(t *testing.T) {
	path := "/api/organizations/acme/services/web/api-keys/k1"
	if n := testing.AllocsPerRun(100, func() {
		if matchRoute(http.MethodDelete, path) == nil || matchRoute(http.MethodGet, "/nowhere") != nil {
			t.Error("wrong route")
		}
	}); n != 0 {
		t.Errorf("matchRoute allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if routeByTemplate(http.MethodGet, "/api/user") == nil {
			t.Error("no route")
		}
	}); n != 0 {
		t.Errorf("routeByTemplate allocates %v times, want 0", n)
	}
}

func FuzzMatchRoute(f *testing.F) {
	for i := range routeTable {
		f.Add(routeTable[i].method, routeTable[i].template)
	}
	f.Add("GET", "/api/invitations/accept/accept")
	f.Add("GET", "//")
	f.Add("HEAD", "/auth/%2f/callback")
	f.Fuzz(func(t *testing.T, method, path string) {
		r := matchRoute(method, path)
		if r == nil {
			if routeByTemplate(method, path) != nil {
				t.Fatalf("matchRoute(%q, %q) = nil, but that is a template", method, path)
			}
			return
		}
		if r.method != method && (method != http.MethodHead || r.method != http.MethodGet) {
			t.Fatalf("matchRoute(%q, %q) = %s %s", method, path, r.method, r.template)
		}
		got, want := strings.Split(path, "/"), strings.Split(r.template, "/")
		if len(got) != len(want) {
			t.Fatalf("matchRoute(%q, %q) = %s", method, path, r.template)
		}
		for i := range got {
			if strings.HasPrefix(want[i], ":") && got[i] != "" {
				continue
			}
			if got[i] != want[i] {
				t.Fatalf("matchRoute(%q, %q) = %s: segment %d is %q", method, path, r.template, i, got[i])
			}
		}
	})
}

func BenchmarkMatchRoute(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		matchRoute(http.MethodGet, "/api/organizations/acme/services/web/api-keys/k1")
	}
}
