package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

const (
	registerPath = "/api/auth/register"
	resetPath    = "/api/auth/reset-password"
	anyMessage   = `{"message":"<…>"}`
)

// lastMail is the newest mail of a kind.
func lastMail(t *testing.T, srv *authostest.Server, email string, kind authostest.MailKind) authostest.Mail {
	t.Helper()
	list := srv.MailFor(email)
	if len(list) == 0 || list[len(list)-1].Kind != kind {
		t.Fatalf("MailFor(%q) = %v, want a %s at the end", email, list, kind)
	}
	return list[len(list)-1]
}

func TestWithoutMail(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	for _, path := range []string{registerPath, "/api/auth/resend-verification", "/api/auth/forgot-password", "/api/auth/magic-link/request"} {
		got := c.expect(503, jsonType, realError("SERVICE_UNAVAILABLE", "Email delivery is not configured on this instance, so <…>"),
			"POST", path, `{"email":"ada@example.com","password":"correct horse"}`)
		if got.Header.Get("Retry-After") != "" {
			t.Errorf("%s: a lasting condition has no Retry-After", path)
		}
	}
	if got := srv.MailFor("ada@example.com"); len(got) != 0 {
		t.Errorf("MailFor = %v, want none", got)
	}
}

func TestRegister(t *testing.T) {
	srv, c := inMemory(t, authostest.WithMail())
	in := func(email, password, more string) string {
		return `{"email":"` + email + `","password":"` + password + `"` + more + `}`
	}
	c.walk(
		step{method: "POST", path: registerPath, body: "{}", status: 400, want: bad("Invalid JSON data: missing field `email` at line 1 column 2")},
		step{method: "POST", path: registerPath, body: in("ada", "correct horse", ""), status: 400, want: bad("Invalid email format")},
		step{method: "POST", path: registerPath, body: in("a@b.c", "short", ""), status: 400, want: bad("Password must be at least 8 characters long")},
		step{method: "POST", path: registerPath, body: in("a@b.c", "correct horse", `,"org_slug":"nope"`), status: 404, want: missing("Organization not found")},
		step{method: "POST", path: registerPath, body: in("a@b.c", "correct horse", `,"org_slug":"acme","service_slug":"nope"`), status: 404, want: missing("Service not found")},
		step{method: "POST", path: registerPath, body: in("a@b.c", "correct horse", `,"org_slug":"acme","service_slug":"app","redirect_uri":"https://evil.example"`), status: 400, want: bad("redirect_uri 'https://evil.example' is not registered for this service")},
	)
	first := c.do("POST", registerPath, in("ada@example.com", "correct horse", `,"org_slug":"acme","service_slug":"app"`))
	again := c.do("POST", registerPath, in("ADA@example.com", "another pass", ""))
	if first.StatusCode != 200 || first.body != again.body {
		t.Errorf("registering says %d %s, then %s: want the same", first.StatusCode, first.body, again.body)
	}
	if got := len(srv.MailFor("ada@example.com")); got != 1 {
		t.Errorf("%d mails, want one", got)
	}
	login := in("ada@example.com", "correct horse", `,"org_slug":"acme","service_slug":"app"`)
	c.walk(
		step{method: "POST", path: "/api/auth/login", body: login, status: 401, want: realError("UNAUTHORIZED", "Please verify your email address before logging in")},
		step{method: "GET", path: "/auth/verify-email", status: 400, want: "Failed to deserialize query string: missing field `token`"},
		step{method: "GET", path: "/auth/verify-email?token=x", status: 400, want: bad("Invalid verification token")},
	)
	link := "/auth/verify-email?token=" + lastMail(t, srv, "ada@example.com", authostest.VerificationMail).Token
	if got := c.do("GET", link, ""); got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("GET %s = %d %s", link, got.StatusCode, got.Header.Get("Content-Type"))
	}
	c.walk(
		step{method: "GET", path: link, status: 400, want: bad("Verification token has already been used")},
		step{method: "POST", path: "/api/auth/login", body: login, status: 200},
	)
	if got := srv.Applied()["GET /auth/verify-email"]; got != 1 {
		t.Errorf("verified %d times, want once", got)
	}
}

func TestResendVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithMail())
		const path = "/api/auth/resend-verification"
		c.do("POST", registerPath, `{"email":"ada@example.com","password":"correct horse"}`)
		c.walk(
			step{method: "POST", path: path, body: "{}", status: 422, want: missingField("email", "2")},
			step{method: "POST", path: path, body: `{"email":"nobody@example.com"}`, status: 200, want: anyMessage},
			step{method: "POST", path: path, body: `{"email":"ada@example.com","org_slug":"nope"}`, status: 404, want: missing("Organization not found")},
			step{method: "POST", path: path, body: `{"email":"ada@example.com"}`, status: 200, want: anyMessage},
		)
		if got := len(srv.MailFor("ada@example.com")); got != 2 {
			t.Errorf("%d mails, want 2", got)
		}
		time.Sleep(24*time.Hour + time.Second)
		c.walk(step{method: "GET", path: "/auth/verify-email?token=" + lastMail(t, srv, "ada@example.com", authostest.VerificationMail).Token,
			status: 400, want: bad("Verification token has expired")})
	})
}

func TestResetPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithMail())
		srv.AddUser("ada@example.com", "correct horse")
		session := srv.SignIn("ada@example.com")
		ask := step{method: "POST", path: "/api/auth/forgot-password", body: `{"email":"Ada@example.com"}`, status: 200, want: anyMessage}
		in := func(token, password string) string {
			return `{"token":"` + token + `","new_password":"` + password + `"}`
		}
		known := c.walk(ask)
		ask.body = `{"email":"nobody@example.com"}`
		if unknown := c.walk(ask); unknown.body != known.body {
			t.Errorf("a known address gives %s, an unknown one %s", known.body, unknown.body)
		}
		token := lastMail(t, srv, "ada@example.com", authostest.PasswordResetMail).Token
		c.walk(
			step{method: "POST", path: resetPath, body: `{"token":"x"}`, status: 400, want: bad("Invalid JSON data: missing field `new_password` at line 1 column 13")},
			step{method: "POST", path: resetPath, body: in(token, "short"), status: 400, want: bad("Password must be at least 8 characters long")},
			step{method: "POST", path: resetPath, body: in("x", "battery staple"), status: 400},
			step{method: "POST", path: resetPath, body: in(token, "battery staple"), status: 200, want: anyMessage},
			step{method: "POST", path: resetPath, body: in(token, "battery staple"), status: 400, want: bad("Reset token has already been used")},
			step{method: "GET", path: "/api/user", auth: bearer(session.AccessToken), status: 401, want: realError("UNAUTHORIZED", "Session revoked or expired")},
			step{method: "POST", path: "/api/auth/refresh", body: refreshBody(session.RefreshToken), status: 401},
			step{method: "POST", path: "/api/auth/login", body: `{"email":"ada@example.com","password":"battery staple"}`, status: 200},
		)
		ask.body = `{"email":"ada@example.com"}`
		c.walk(ask)
		time.Sleep(time.Hour + time.Second)
		c.walk(step{method: "POST", path: resetPath, body: in(lastMail(t, srv, "ada@example.com", authostest.PasswordResetMail).Token, "correct horse"),
			status: 400, want: bad("Reset token has expired")})
	})
}

func TestMagicLinkByMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithMail())
		srv.AddUser("ada@example.com", "correct horse")
		const path = "/api/auth/magic-link/request"
		c.walk(
			step{method: "POST", path: path, body: "{}", status: 422, want: missingField("email", "2")},
			step{method: "POST", path: path, body: `{"email":"ada"}`, status: 400, want: bad("Invalid email format")},
			step{method: "POST", path: path, body: `{"email":"ada@example.com","service_slug":"app"}`, status: 400, want: bad("service_slug requires org_slug")},
			step{method: "POST", path: path, body: `{"email":"ada@example.com","org_slug":"acme","service_slug":"app","state":"mine"}`, status: 200, want: anyMessage},
		)
		verify := func(email string) string {
			return "/api/auth/magic-link/verify?token=" + lastMail(t, srv, email, authostest.MagicLinkMail).Token
		}
		c.walk(step{method: "GET", path: verify("ada@example.com") + "&state=other", status: 400, want: bad("state does not match the issued magic link")})
		got := parse[tokenBody](t, c.walk(step{method: "GET", path: verify("ada@example.com") + "&state=mine", status: 200}).body)
		if aud := decodePayload(t, got.AccessToken)["aud"]; aud != "service:acme/app" {
			t.Errorf("aud = %v, want the tenant that the link was asked for with", aud)
		}
		c.walk(
			step{method: "GET", path: verify("ada@example.com"), status: 400, want: bad("Invalid or expired magic link")},
			step{method: "POST", path: path, body: `{"email":"nobody@example.com"}`, status: 200, want: anyMessage},
		)
		c.walk(
			step{method: "GET", path: verify("nobody@example.com"), status: 400, want: bad("User not found. Please register first.")},
			step{method: "POST", path: path, body: `{"email":"ada@example.com"}`, status: 200, want: anyMessage},
		)
		time.Sleep(15 * time.Minute)
		c.walk(step{method: "GET", path: verify("ada@example.com"), status: 400, want: bad("Invalid or expired magic link")})
	})
}

// TestMailLimiter: five an hour and address, whichever of the four routes is asked.
func TestMailLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithMail(), authostest.WithLimiters())
		srv.AddUser("ada@example.com", "correct horse")
		ask := func(path, email string) reply {
			return c.do("POST", path, `{"email":"`+email+`","password":"correct horse"}`)
		}
		paths := []string{registerPath, "/api/auth/resend-verification", "/api/auth/forgot-password", "/api/auth/magic-link/request"}
		for i := range 5 {
			if got := ask(paths[i%4], "ada@example.com"); got.StatusCode != 200 {
				t.Fatalf("request %d = %d %s", i+1, got.StatusCode, got.body)
			}
			time.Sleep(time.Minute)
		}
		for _, path := range paths {
			got := c.expect(429, jsonType, realError("TOO_MANY_REQUESTS", "<…>"), "POST", path, `{"email":"ADA@example.com","password":"correct horse"}`)
			if got.Header.Get("Retry-After") != "" || got.Header.Get("X-Ratelimit-After") != "" {
				t.Errorf("%s: headers = %v, want nothing about waiting", path, got.Header)
			}
		}
		if got := ask(paths[0], "bob@example.com").StatusCode; got != 200 {
			t.Errorf("another address = %d, want 200", got)
		}
		time.Sleep(55 * time.Minute) // an hour after the first
		if got := ask(paths[2], "ada@example.com").StatusCode; got != 200 {
			t.Errorf("after an hour = %d, want 200", got)
		}
		if got := ask(paths[2], "ada@example.com").StatusCode; got != 429 {
			t.Errorf("the window slides: %d, want 429", got)
		}
	})
}

func TestSignInContext(t *testing.T) {
	srv, c := inMemory(t)
	c.walk(
		step{method: "POST", path: "/api/auth/lookup-email", body: "{}", status: 422, want: missingField("email", "2")},
		step{method: "POST", path: "/api/auth/lookup-email", body: `{"email":"ada"}`, status: 400, want: bad("Invalid email address")},
		step{method: "POST", path: "/api/auth/lookup-email", body: `{"email":"ada@example.com"}`, status: 200,
			want: `{"connection_id":null,"provider_name":null,"domain_verified":false,"auth_method":"oauth"}`},
		step{method: "GET", path: "/api/auth/context", status: 200,
			want: `{"organization":null,"service":null,"available_providers":["github","google","microsoft"],"auth_methods":["password","magic_link","passkey"],"support_available":true}`},
		step{method: "GET", path: "/api/auth/context?org=acme&service=app&redirect_uri=https://app.acme.example/callback", status: 200,
			want: `{"organization":{"slug":"acme","name":"Acme","logo_url":null,"primary_color":null,"status":"active"},` +
				`"service":{"slug":"app","name":"App","service_type":"web","redirect_uri_valid":true},` +
				`"available_providers":["github","google","microsoft"],"auth_methods":["password","magic_link","passkey"],"support_available":true}`},
		step{method: "GET", path: "/api/auth/context?org=nope", status: 404, want: missing("Organization not found")},
		step{method: "GET", path: "/api/auth/context?org=acme&service=nope", status: 404, want: missing("Service not found")},
	)
	srv.SuspendOrg("acme")
	c.walk(step{method: "GET", path: "/api/auth/context?org=acme", status: 200,
		want: `{"organization":{"slug":"acme","name":"Acme","logo_url":null,"primary_color":null,"status":"suspended"},"service":null,` +
			`"available_providers":[],"auth_methods":[],"support_available":true}`})
}

func TestOAuthSignIn(t *testing.T) {
	srv, c := inMemory(t)
	c.http.CheckRedirect = stay
	const start = "/auth/github?org=acme&service=app"
	c.walk(
		step{method: "GET", path: "/auth/github", status: 400, want: "Failed to deserialize query string: missing field `org`"},
		step{method: "GET", path: "/auth/myspace?org=acme&service=app", status: 400, want: bad("Unsupported provider: myspace")},
		step{method: "GET", path: "/auth/github?org=nope&service=app", status: 404, want: missing("Organization not found")},
		step{method: "GET", path: start + "&redirect_uri=https://evil.example", status: 400},
		step{method: "GET", path: "/auth/github/callback?state=x&code=y", status: 400, want: bad("Invalid or expired state")},
		step{method: "POST", path: "/auth/saml/callback", body: "{}", status: 415, want: "Form requests must have `Content-Type: application/x-www-form-urlencoded`"},
	)
	location := func(path string) string {
		got := c.do("GET", path, "")
		if got.StatusCode != 303 || got.body != "" {
			t.Fatalf("GET %s = %d %s, want a redirect", path, got.StatusCode, got.body)
		}
		return got.Header.Get("Location")
	}
	state := func(path string) string {
		_, state, _ := strings.Cut(location(path), "&state=")
		return state
	}
	back := location("/auth/github/callback?code=ada@example.com&state=" + state(start+"&state=mine"))
	if !strings.HasPrefix(back, "https://app.acme.example/callback#access_token=") || !strings.Contains(back, "&refresh_token=") || !strings.HasSuffix(back, "&state=mine") {
		t.Errorf("redirected to %s", back)
	}
	srv.RequireMFA("ada@example.com")
	if back := location("/auth/github/callback?code=ada@example.com&state=" + state(start)); !strings.Contains(back, "#mfa_required=true&preauth_token=") {
		t.Errorf("redirected to %s", back)
	}
	if back := location("/auth/github/callback?error=access_denied&state=" + state(start)); !strings.Contains(back, "callback?error=oauth_error&error_description=") {
		t.Errorf("redirected to %s", back)
	}
	srv.SuspendOrg("acme")
	c.walk(step{method: "GET", path: start, status: 403, want: forbidden("Organization is not active. Current status: suspended")})

	// A user code travels with the sign-in, and is approved by it.
	srv.ActivateOrg("acme")
	grant := requestDevice(t, c)
	location("/auth/github/callback?code=bob@example.com&state=" + state(start+"&user_code="+grant.UserCode))
	c.walk(grant.poll(200, `{"access_token":"<…>","token_type":"Bearer","expires_in":86400}`))
}
