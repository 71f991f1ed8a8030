package authostest_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

func documented(code, text string) string {
	return `{"error":"` + text + `","error_code":"` + code + `","timestamp":"<…>Z"}`
}

func TestDocumentedFlat(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented))
	key := "X-Api-Key: " + srv.AddAPIKey()
	weak := "X-Api-Key: " + srv.AddAPIKey("read:users")
	expired := srv.SignIn("ada@example.com").AccessToken
	srv.ExpireAccessTokens()
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	for _, tc := range []struct {
		name, method, path, body, header string
		status                           int
		code, text                       string
	}{
		{"expired", "GET", "/api/user", "", bearer(expired), 401, "TOKEN_EXPIRED", "Token expired"},
		{"permission", "DELETE", "/api/service/users/x", "", weak, 403, "FORBIDDEN", "Missing required permission: delete:users"},
		{"platform", "GET", "/api/platform/tiers", "", auth, 403, "FORBIDDEN", "Platform owner access required"},
		{"missing field", "POST", userPath, "{}", key, 400, "BAD_REQUEST", "Missing required field: email"},
		{"bad address", "POST", userPath, `{"email":"x"}`, key, 400, "BAD_REQUEST", "Invalid email format"},
		{"bad type", "POST", userPath, `{"email":1}`, key, 400, "BAD_REQUEST", "Invalid value for field: email"},
		{"bad query", "GET", userPath + "?limit=x", "", key, 400, "BAD_REQUEST", "Invalid query parameter: limit"},
		{"bad key", "GET", userPath, "", "X-Api-Key: sk_invalid_key", 401, "UNAUTHORIZED", "Invalid API key"},
		{"no such user", "GET", "/api/service/users/x", "", key, 404, "NOT_FOUND", "User not found or has not authenticated with this service"},
		{"unknown path", "GET", "/api/nothing", "", key, 404, "NOT_FOUND", "Resource not found"},
		{"too large", "POST", userPath, strings.Repeat("x", 1<<20+1), key, 413, "BAD_REQUEST", "Request body too large"},
		{"conflict", "PATCH", "/api/user", `{"email":"owner@acme.example"}`, auth, 409, "CONFLICT", "Email is already taken"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &client{t, c.base, c.http}
			got := c.expect(tc.status, jsonType, documented(tc.code, tc.text), tc.method, tc.path, tc.body, tc.header)
			checkDocumentedHeaders(t, got)
		})
	}
	srv.SuspendOrg("acme")
	c.expect(403, jsonType, documented("ORGANIZATION_NOT_ACTIVE", "Organization is not active"), "GET", userPath, "", key)
}

func checkDocumentedHeaders(t *testing.T, got reply) {
	t.Helper()
	if !strings.HasPrefix(got.Header.Get("X-Request-ID"), "req_") {
		t.Errorf("X-Request-ID = %q", got.Header.Get("X-Request-ID"))
	}
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if n, err := strconv.Atoi(got.Header.Get(name)); err != nil || n <= 0 {
			t.Errorf("%s = %q", name, got.Header.Get(name))
		}
	}
}

func TestDocumentedGoodResponses(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented))
	key := "X-Api-Key: " + srv.AddAPIKey()
	user := srv.AddServiceUser("ada@example.com")
	checkDocumentedHeaders(t, c.do("GET", "/health", ""))
	if got := c.do("GET", "/health", "", "X-Request-ID: mine").Header.Get("X-Request-ID"); got != "mine" {
		t.Errorf("X-Request-ID = %q, want it echoed", got)
	}
	c.expect(200, jsonType, `{"id":"<…>","email":"new@example.com","created_at":"<…>Z"}`,
		"PATCH", "/api/service/users/"+user.ID, `{"email":"new@example.com"}`, key)
}

func TestDocumentedNested(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Nested))
	key := "X-Api-Key: " + srv.AddAPIKey()
	c.expect(400, jsonType, `{"error":{"code":"VALIDATION_ERROR","message":"Request validation failed",`+
		`"details":[{"field":"email","code":"REQUIRED","message":"Missing required field: email"}],"request_id":"<…>","timestamp":"<…>Z"}}`,
		"POST", userPath, "{}", key)
	c.expect(404, jsonType, `{"error":{"code":"NOT_FOUND","message":"User not found or has not authenticated with this service",`+
		`"details":null,"request_id":"mine","timestamp":"<…>Z"}}`, "GET", userPath+"/x", "", key, "X-Request-ID: mine")
}

func TestDocumentedProblem(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Problem))
	key := "X-Api-Key: " + srv.AddAPIKey()
	c.expect(400, "application/problem+json", `{"type":"about:blank","title":"Bad Request","status":400,`+
		`"detail":"Missing required field: email","instance":"/api/service/users","code":"BAD_REQUEST","request_id":"<…>","timestamp":"<…>Z"}`,
		"POST", userPath, "{}", key)
}

func TestDocumentedExpiryHasNoLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithContract(authostest.Documented), authostest.WithTokenLife(time.Minute, time.Hour))
		tokens := srv.SignIn("ada@example.com")
		time.Sleep(time.Minute)
		c.expect(401, jsonType, documented("TOKEN_EXPIRED", "Token expired"), "GET", "/api/user", "", bearer(tokens.AccessToken))
	})
}

func TestLimiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := inMemory(t, authostest.WithLimiters())
		logout := func() reply { return c.do("POST", "/api/auth/logout", "", "Authorization: Bearer x") }
		for i := range 20 {
			if got := logout().StatusCode; got != 200 {
				t.Fatalf("request %d = %d, want the burst of 20", i+1, got)
			}
		}
		got := c.expect(429, "", "Too Many Requests! Wait for 1s", "POST", "/api/auth/refresh", refreshBody("x"))
		if got.Header.Get("X-Ratelimit-After") != "1" || got.Header.Get("Retry-After") != "" || got.Header.Get("X-RateLimit-Limit") != "" {
			t.Errorf("headers = %v", got.Header)
		}
		time.Sleep(500 * time.Millisecond)
		c.expect(429, "", "Too Many Requests! Wait for 0s", "POST", "/api/auth/refresh", refreshBody("x"))
		time.Sleep(500 * time.Millisecond)
		if got := logout().StatusCode; got != 200 {
			t.Errorf("after a second: %d, want 200", got)
		}
		if got := logout().StatusCode; got != 429 {
			t.Errorf("one token came back, not two: %d", got)
		}
		time.Sleep(time.Hour)
		for range 20 {
			logout()
		}
		if got := logout().StatusCode; got != 429 {
			t.Errorf("an idle hour gave more than the burst: %d", got)
		}
	})
}

func TestLimiterGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithLimiters())
		key := "X-Api-Key: " + srv.AddAPIKey()
		auth := bearer(srv.SignIn("ada@example.com").AccessToken)
		for range 50 {
			// This group alone counts after the token has been checked.
			if got := c.do("GET", "/api/user/mfa/status", "").StatusCode; got != 401 {
				t.Fatalf("MFA status without a token: %d, want 401 however often", got)
			}
		}
		for range 50 {
			if got := c.do("GET", "/auth/no/such/path", "").StatusCode; got != 404 {
				t.Fatalf("an unknown path is limited: %d", got)
			}
		}
		for _, tc := range []struct {
			method, path string
			burst        int
			wait         string
		}{
			{"POST", "/api/auth/login", 20, "1"},
			{"POST", "/auth/token", 10, "5"},
			{"POST", "/api/auth/mfa/verify", 3, "1"},
			{"GET", "/api/user/mfa/status", 5, "0"},
		} {
			n := 0
			for ; n < 100; n++ {
				got := c.do(tc.method, tc.path, "{}", auth)
				if got.StatusCode != 429 {
					continue
				}
				if after := got.Header.Get("X-Ratelimit-After"); after != tc.wait {
					t.Errorf("%s: x-ratelimit-after = %q, want %q", tc.path, after, tc.wait)
				}
				break
			}
			if n != tc.burst {
				t.Errorf("%s: %d requests went through, want %d", tc.path, n, tc.burst)
			}
		}
		for range 200 {
			if got := c.do("GET", userPath, "", key).StatusCode; got != 200 {
				t.Fatalf("the service API is not limited: %d", got)
			}
		}
	})
}

func TestDocumentedLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := inMemory(t, authostest.WithLimiters(), authostest.WithContract(authostest.Documented))
		for i := range 3 {
			got := c.do("POST", "/api/auth/mfa/verify", "{}")
			if got.Header.Get("X-RateLimit-Limit") != "3" || got.Header.Get("X-RateLimit-Remaining") != strconv.Itoa(2-i) {
				t.Errorf("request %d: headers = %v", i+1, got.Header)
			}
		}
		got := c.expect(429, jsonType, documented("RATE_LIMIT_EXCEEDED", "Rate limit exceeded"), "POST", "/api/auth/mfa/verify", "{}")
		reset, _ := strconv.ParseInt(got.Header.Get("X-RateLimit-Reset"), 10, 64)
		if got.Header.Get("Retry-After") != "1" || got.Header.Get("X-RateLimit-Remaining") != "0" || reset != time.Now().Add(3*time.Second).Unix() {
			t.Errorf("headers = %v", got.Header)
		}
	})
}
