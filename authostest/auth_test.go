package authostest_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestLogin(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	srv.AddUser("out@example.com", "correct horse")
	srv.SetRole("acme", "out@example.com", "")
	srv.AddService("closed", "app")
	srv.SuspendOrg("closed")

	in := func(fields string) string {
		return `{"email":"ada@example.com","password":"correct horse"` + fields + `}`
	}
	got := parse[tokenBody](t, c.expect(200, jsonType, `{"access_token":"<…>","refresh_token":"<…>","expires_in":86400}`,
		"POST", "/api/auth/login", in("")).body)
	if len(got.RefreshToken) != 43 {
		t.Errorf("refresh token has %d characters, want 43", len(got.RefreshToken))
	}
	for _, tc := range []struct {
		name, body string
		status     int
		code, text string
	}{
		{"wrong password", `{"email":"ada@example.com","password":"x"}`, 401, "UNAUTHORIZED", "Invalid email or password"},
		{"unknown user", `{"email":"eve@example.com","password":"x"}`, 401, "UNAUTHORIZED", "Invalid email or password"},
		{"unknown organization", in(`,"org_slug":"nope"`), 404, "NOT_FOUND", "Organization not found"},
		{"unknown service", in(`,"org_slug":"acme","service_slug":"nope"`), 404, "NOT_FOUND", "Service not found"},
		{"service alone", in(`,"service_slug":"app"`), 400, "BAD_REQUEST", "service_slug requires org_slug"},
		{"suspended", in(`,"org_slug":"closed"`), 403, "FORBIDDEN", "Organization is not active. Current status: suspended"},
		{"stranger", strings.Replace(in(`,"org_slug":"acme"`), "ada@", "out@", 1), 403, "FORBIDDEN", "You are not a member of this organization"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			(&client{t, c.base, c.http}).expect(tc.status, jsonType, realError(tc.code, tc.text), "POST", "/api/auth/login", tc.body)
		})
	}
	scoped := parse[tokenBody](t, c.do("POST", "/api/auth/login", in(`,"org_slug":"acme","service_slug":"app"`)).body)
	if got := decodePayload(t, scoped.AccessToken); got["aud"] != "service:acme/app" || got["org"] != "acme" || got["service"] != "app" {
		t.Errorf("claims = %v", got)
	}
}

func TestMFA(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	srv.RequireMFA("ada@example.com")
	first := parse[tokenBody](t, c.expect(200, jsonType, `{"access_token":"<…>","refresh_token":"","expires_in":300}`,
		"POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body)
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Token profile is not valid for the AuthOS API"),
		"GET", "/api/user", "", bearer(first.AccessToken))

	verify := func(code string) string { return `{"preauth_token":"` + first.AccessToken + `","code":"` + code + `"}` }
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid MFA code"), "POST", "/api/auth/mfa/verify", verify("000000"))
	second := parse[tokenBody](t, c.expect(200, jsonType, `{"access_token":"<…>","refresh_token":"<…>","expires_in":86400}`,
		"POST", "/api/auth/mfa/verify", verify("123456")).body)
	c.expect(400, jsonType, realError("BAD_REQUEST", "Invalid pre-authentication token"), "POST", "/api/auth/mfa/verify", verify("123456"))
	if got := c.do("GET", "/api/user", "", bearer(second.AccessToken)); got.StatusCode != 200 {
		t.Errorf("GET /api/user = %d %s", got.StatusCode, got.body)
	}
	c.expect(400, jsonType, realError("BAD_REQUEST", "Invalid pre-authentication token"), "POST", "/api/auth/mfa/verify",
		`{"preauth_token":"`+second.AccessToken+`","code":"123456"}`)
	c.expect(401, jsonType, realError("JWT_ERROR", "Invalid token"), "POST", "/api/auth/mfa/verify", `{"preauth_token":"x","code":"123456"}`)
}

func TestMagicLink(t *testing.T) {
	srv, c := inMemory(t)
	link := "/api/auth/magic-link/verify?token=" + srv.AddMagicLink("ada@example.com")
	got := c.expect(200, jsonType, `{"access_token":"<…>","refresh_token":"<…>","expires_in":86400}`, "GET", link, "")
	if cookie := got.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "device_token=") {
		t.Errorf("Set-Cookie = %q", cookie)
	}
	c.expect(400, jsonType, realError("BAD_REQUEST", "Invalid or expired magic link"), "GET", link, "")
	c.expect(400, textType, "Failed to deserialize query string: missing field `token`", "GET", "/api/auth/magic-link/verify", "")
	if got := srv.Applied()["GET /api/auth/magic-link/verify"]; got != 1 {
		t.Errorf("applied %d times, want 1", got)
	}
	srv.RequireMFA("ada@example.com")
	c.expect(200, jsonType, `{"requires_mfa":true,"preauth_token":"<…>","state":null,"message":"Additional verification required"}`,
		"GET", "/api/auth/magic-link/verify?token="+srv.AddMagicLink("ada@example.com"), "")
}

func TestLogoutAndRevoke(t *testing.T) {
	srv, c := inMemory(t)
	const form = "Content-Type: application/x-www-form-urlencoded"
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Missing or invalid Authorization header"), "POST", "/api/auth/logout", "")
	c.expect(200, jsonType, `{"message":"Logged out successfully"}`, "POST", "/api/auth/logout", "", "Authorization: Bearer x")

	tokens := srv.SignIn("ada@example.com")
	c.expect(200, jsonType, `{"message":"Logged out successfully"}`, "POST", "/api/auth/logout", "", bearer(tokens.AccessToken))
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", bearer(tokens.AccessToken))
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid refresh token"), "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))

	tokens = srv.SignIn("ada@example.com")
	c.expect(200, "", "", "POST", "/auth/revoke", "token="+tokens.RefreshToken, form)
	if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).StatusCode; got != 200 {
		t.Errorf("a refresh token without the hint was revoked: %d", got)
	}
	c.expect(200, "", "", "POST", "/auth/revoke", "token_type_hint=refresh_token&token="+tokens.RefreshToken, form)
	if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).StatusCode; got != 401 {
		t.Errorf("after revoking: %d, want 401", got)
	}
	c.expect(422, textType, "Failed to deserialize form body: missing field `token`", "POST", "/auth/revoke", "x=y", form)
}

func TestBearer(t *testing.T) {
	srv, c := inMemory(t)
	tokens := srv.SignIn("ada@example.com")
	missing := realError("UNAUTHORIZED", "Missing or invalid Authorization header")
	c.expect(401, jsonType, missing, "GET", "/api/user", "")
	c.expect(401, jsonType, missing, "GET", "/api/user", "", "Authorization: bearer "+tokens.AccessToken)
	invalid := realError("JWT_ERROR", "Invalid token")
	c.expect(401, jsonType, invalid, "GET", "/api/user", "", bearer("nonsense"))
	c.expect(401, jsonType, invalid, "GET", "/api/user", "", bearer(tokens.AccessToken+"AA"))
	c.expect(401, jsonType, invalid, "GET", "/api/user", "", bearer("a.b.c"))
	if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).StatusCode; got != 200 {
		t.Errorf("GET /api/user = %d", got)
	}
	srv.RevokeSessions("ada@example.com")
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", bearer(tokens.AccessToken))
}

func TestTokenVerifiesWithTheKeySet(t *testing.T) {
	srv, c := inMemory(t)
	token := srv.SignIn("ada@example.com").AccessToken
	set := parse[struct {
		Keys []struct{ Kty, Alg, Use, Kid, N, E string }
	}](t, c.do("GET", "/.well-known/jwks.json", "").body)
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys, want 1", len(set.Keys))
	}
	parts := strings.Split(token, ".")
	header := parse[map[string]string](t, string(unsegment(t, parts[0])))
	if header["typ"] != "authos-management+jwt" || header["alg"] != "RS256" || header["kid"] != set.Keys[0].Kid {
		t.Errorf("header = %v", header)
	}
	key := &rsa.PublicKey{
		N: new(big.Int).SetBytes(unsegment(t, set.Keys[0].N)),
		E: int(new(big.Int).SetBytes(unsegment(t, set.Keys[0].E)).Int64()),
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], unsegment(t, parts[2])); err != nil {
		t.Errorf("signature: %v", err)
	}
	payload := decodePayload(t, token)
	if payload["iss"] != srv.URL || payload["token_use"] != "management_access" || payload["email"] != "ada@example.com" {
		t.Errorf("claims = %v", payload)
	}
	if _, ok := payload["mfa_required"]; ok {
		t.Error("absent claims must be omitted")
	}
}

func TestTokenLifeBelowASecond(t *testing.T) {
	srv, c := inMemory(t, authostest.WithTokenLife(1500*time.Millisecond, time.Hour))
	srv.AddUser("ada@example.com", "correct horse")
	got := parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body)
	if got.ExpiresIn != 2 {
		t.Errorf("expires_in = %d, want 2", got.ExpiresIn)
	}
}

func decodePayload(t *testing.T, token string) map[string]any {
	t.Helper()
	var payload map[string]any
	if err := json.Unmarshal(unsegment(t, strings.Split(token, ".")[1]), &payload); err != nil {
		t.Fatal(err)
	}
	return payload
}

func unsegment(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPlatform(t *testing.T) {
	srv, c := inMemory(t)
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Missing or invalid Authorization header"), "GET", "/api/platform/tiers", "")
	c.expect(http.StatusForbidden, textType, "Platform owner access required",
		"GET", "/api/platform/tiers", "", bearer(srv.SignIn("ada@example.com").AccessToken))
	srv.AddPlatformOwner("root@example.com", "")
	got := c.do("GET", "/api/platform/tiers", "", bearer(srv.SignIn("root@example.com").AccessToken))
	if got.StatusCode != 200 || !strings.HasPrefix(got.body, `[{"id":"tier_free","name":"free",`) || !strings.Contains(got.body, `"created_at":"2025-01-01T00:00:00Z"`) {
		t.Errorf("tiers = %d %s", got.StatusCode, got.body)
	}
}
