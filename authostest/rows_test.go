package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// The tests here follow the tables of the API's description, row by row.

// TestTextsOfOneCode: the same code, and what tells its meanings apart.
func TestTextsOfOneCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithMail())
		srv.AddUser("ada@example.com", "correct horse")
		srv.AddUser("mfa@example.com", "correct horse")
		srv.RequireMFA("mfa@example.com")
		c.do("POST", registerPath, `{"email":"new@example.com","password":"correct horse"}`)
		live := srv.SignIn("ada@example.com")
		gone := srv.SignIn("gone@example.com")
		srv.DeleteUser("gone@example.com")
		over := srv.SignIn("over@example.com")
		srv.RevokeSessions("over@example.com")
		login := func(email, password string) string {
			return `{"email":"` + email + `","password":"` + password + `"}`
		}
		preauth := parse[tokenBody](t, c.do("POST", "/api/auth/login", login("mfa@example.com", "correct horse")).body).AccessToken
		weak := srv.AddAPIKey("read:users")
		late := parse[struct{ Key string }](t, c.do("POST", "/api/organizations/acme/services/app/api-keys",
			`{"name":"late","permissions":["read:users"],"expires_in_days":1}`, bearer(live.AccessToken)).body).Key
		srv.AddService("closed", "app")
		closed := srv.AddServiceAPIKey("closed", "app")
		srv.SuspendOrg("closed")
		time.Sleep(24*time.Hour - time.Second) // the key is not over yet, the tokens are fresh enough
		const user, key = "/api/user", "X-Api-Key: "
		unauthorized := func(text string) string { return realError("UNAUTHORIZED", text) }
		c.walk(
			step{method: "GET", path: user, status: 401, want: unauthorized("Missing or invalid Authorization header")},
			step{auth: "Authorization: bearer " + live.AccessToken, method: "GET", path: user, status: 401, want: unauthorized("Missing or invalid Authorization header")},
			step{auth: bearer(over.AccessToken), method: "GET", path: user, status: 401, want: unauthorized("Session revoked or expired")},
			step{auth: bearer(preauth), method: "GET", path: user, status: 401, want: unauthorized("Token profile is not valid for the AuthOS API")},
			step{auth: bearer(gone.AccessToken), method: "GET", path: user, status: 401, want: unauthorized("User not found")},
			step{method: "POST", path: "/api/auth/refresh", body: refreshBody(gone.RefreshToken), status: 401, want: unauthorized("Invalid refresh token")},
			step{method: "POST", path: "/api/auth/refresh", body: refreshBody("x"), status: 401, want: unauthorized("Invalid refresh token")},
			step{method: "POST", path: "/api/auth/login", body: login("ada@example.com", "x"), status: 401, want: unauthorized("Invalid email or password")},
			step{method: "POST", path: "/api/auth/login", body: login("new@example.com", "correct horse"), status: 401,
				want: unauthorized("Please verify your email address before logging in")},
			step{auth: bearer(live.AccessToken), method: "POST", path: "/api/user/change-password", body: `{"current_password":"x","new_password":"battery staple"}`,
				status: 401, want: unauthorized("Current password is incorrect")},
			step{method: "GET", path: userPath, status: 401, want: unauthorized("Missing or invalid X-Api-Key header")},
			step{auth: key + "nonsense", method: "GET", path: userPath, status: 401, want: unauthorized("Invalid API key format")},
			step{auth: key + "sk_live_abc123", method: "GET", path: userPath, status: 401, want: unauthorized("Invalid API key")},
			step{auth: key + late, method: "GET", path: userPath, status: 200},
			step{auth: key + closed, method: "GET", path: userPath, status: 401, want: unauthorized("API key organization is not active")},
			step{auth: key + weak, method: "POST", path: userPath, body: `{"email":"a@b.c"}`, status: 403, want: forbidden("Missing required permission: write:users")},
			step{method: "POST", path: "/api/auth/login", body: strings.Replace(login("ada@example.com", "correct horse"), "}", `,"org_slug":"closed"}`, 1), status: 403,
				want: forbidden("Organization is not active. Current status: suspended")},
			step{auth: bearer("a.b.c"), method: "GET", path: user, status: 401, want: realError("JWT_ERROR", "Invalid token")},
		)
		time.Sleep(time.Minute)
		c.walk(step{auth: key + late, method: "GET", path: userPath, status: 401, want: unauthorized("API key has expired")})
	})
}

// TestExpiryMoments: what an access token yields before and after its time.
func TestExpiryMoments(t *testing.T) {
	for _, tc := range []struct {
		name     string
		contract authostest.Contract
		after    time.Duration // after exp
		status   int
		want     string
	}{
		{"good", authostest.Newest, -time.Second, 200, ""},
		{"within the leeway", authostest.Newest, time.Second, 401, realError("UNAUTHORIZED", "Session revoked or expired")},
		{"at its end", authostest.Newest, time.Minute, 401, realError("UNAUTHORIZED", "Session revoked or expired")},
		{"beyond it", authostest.Newest, time.Minute + time.Second, 401, realError("JWT_ERROR", "Invalid token")},
		{"documented, good", authostest.Documented, -time.Second, 200, ""},
		{"documented", authostest.Documented, time.Second, 401, documented("TOKEN_EXPIRED", "Token expired")},
		{"documented, long ago", authostest.Documented, time.Hour, 401, documented("TOKEN_EXPIRED", "Token expired")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, c := inMemory(t, authostest.WithContract(tc.contract), authostest.WithTokenLife(time.Hour, 24*time.Hour))
				tokens := srv.SignIn("ada@example.com")
				time.Sleep(time.Hour + tc.after)
				c.walk(step{auth: bearer(tokens.AccessToken), method: "GET", path: "/api/user", status: tc.status, want: tc.want})
				c.walk(step{method: "POST", path: "/api/auth/refresh", body: refreshBody(tokens.RefreshToken), status: 200})
			})
		})
	}
}

// json400Routes are the seven whose JSON errors are JSON.
var json400Routes = map[string]bool{
	"/api/auth/register": true, "/api/auth/login": true, "/api/auth/reset-password": true, "/api/auth/refresh": true,
	"/auth/device/code": true, "/auth/device/verify": true, "/api/organizations/:org_slug/services/:service_slug/saml": true,
}

// forgetPath is that of the one route whose body is optional as a whole: one that cannot be
// read is the same as none.
const forgetPath = "/api/privacy/forget/:user_id"

// TestBrokenBodiesOfEveryRoute: which extractor each route with a JSON body has.
func TestBrokenBodiesOfEveryRoute(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMail())
	creds := credentials(srv, "")
	for _, r := range listedRoutes(t) {
		takesJSON := false
		for name, kind := range r.Request {
			takesJSON = takesJSON || name != "_" && !strings.Contains(kind, "query") && !strings.Contains(kind, "form")
		}
		if !takesJSON || r.Method == "GET" || r.Path == forgetPath || r.Auth == "scim_token" || strings.HasPrefix(r.Path, "/oauth") || strings.HasPrefix(r.Path, "/saml") {
			continue
		}
		syntax, contentType := c.do(r.Method, r.concrete(), "{", creds[r.Auth]), c.do(r.Method, r.concrete(), "{}", creds[r.Auth], "Content-Type: text/plain")
		wantType, wantStatus, prefix := textType, 415, "Failed to parse the request body as JSON: "
		if json400Routes[r.Path] {
			wantType, wantStatus, prefix = jsonType, 400, `{"error":"JSON syntax error: `
		}
		if syntax.StatusCode != 400 || syntax.Header.Get("Content-Type") != wantType || !strings.HasPrefix(syntax.body, prefix) {
			t.Errorf("%s %s with broken JSON = %d %q %s", r.Method, r.Path, syntax.StatusCode, syntax.Header.Get("Content-Type"), syntax.body)
		}
		if contentType.StatusCode != wantStatus || contentType.Header.Get("Content-Type") != wantType {
			t.Errorf("%s %s without JSON = %d %q %s", r.Method, r.Path, contentType.StatusCode, contentType.Header.Get("Content-Type"), contentType.body)
		}
	}
}

// TestDocumentedPromises: under the documented contract every error of every route
// is JSON with a code, has a request id and quota headers, and no route says what
// only real servers say.
func TestDocumentedPromises(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented))
	c.http.CheckRedirect = stay
	creds := credentials(srv, "")
	outside := map[string]bool{"scim_token": true, "metrics_token": true, "oauth_client": true}
	for _, r := range listedRoutes(t) {
		if outside[r.Auth] || r.Method == "DELETE" {
			continue
		}
		for _, body := range []string{"", "{", "[]", "{}"} {
			for _, auth := range []string{"", creds[r.Auth]} {
				got := c.do(r.Method, r.concrete(), body, auth)
				checkDocumentedHeaders(t, got)
				if got.StatusCode < 400 {
					continue
				}
				if got.Header.Get("Content-Type") != jsonType {
					t.Errorf("%s %s %s = %d %q %s", r.Method, r.Path, body, got.StatusCode, got.Header.Get("Content-Type"), got.body)
					continue
				}
				e := parse[struct {
					Error     string
					Code      string `json:"error_code"`
					Timestamp string
				}](t, got.body)
				if e.Error == "" || e.Code == "" || !strings.HasSuffix(e.Timestamp, "Z") || got.StatusCode == 422 {
					t.Errorf("%s %s %s = %d %s", r.Method, r.Path, body, got.StatusCode, got.body)
				}
			}
		}
		if strings.Contains(r.Path, "logout") || strings.Contains(r.Path, "revoke") {
			creds = credentials(srv, "")
		}
	}
}

// TestDocumentedSignIn is the guide's own example of an organization that is not
// active.
func TestDocumentedSignIn(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented))
	srv.AddService("closed", "app")
	srv.SuspendOrg("closed")
	c.walk(step{method: "GET", path: "/auth/github?org=closed&service=app", status: 403, want: documented("ORGANIZATION_NOT_ACTIVE", "Organization is not active")})
}
