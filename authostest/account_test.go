package authostest_test

import (
	"encoding/base64"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		auth := bearer(srv.SignIn("ada@example.com").AccessToken)
		c.walk(step{auth: auth, method: "GET", path: "/api/user/devices", status: 200, want: `{"devices":[],"total":0,"page":1,"limit":20}`})
		laptop := srv.AddDevice("ada@example.com", "laptop")
		time.Sleep(time.Second)
		srv.AddDevice("ada@example.com", "phone")
		foreign := srv.AddDevice("bob@example.com", "bob's")
		names := func(query string) string {
			var out []string
			for _, d := range parse[struct {
				Devices []struct {
					Name string `json:"device_name"`
				}
			}](t, c.do("GET", "/api/user/devices"+query, "", auth).body).Devices {
				out = append(out, d.Name)
			}
			return strings.Join(out, " ")
		}
		for query, want := range map[string]string{
			"?sort_by=created_at&sort_order=asc": "laptop phone",
			"?sort_by=name&sort_order=desc":      "phone laptop",
			"?sort_by=name&sort_order=asc":       "laptop phone",
			"?limit=1&page=2&sort_order=asc":     "phone",
			"?page=3":                            "",
		} {
			if got := names(query); got != want {
				t.Errorf("devices%s = %q, want %q", query, got, want)
			}
		}
		path := "/api/user/devices/" + laptop
		shape := `{"id":"` + laptop + `","device_name":"laptop","first_seen_at":"<…>+00:00","last_used_at":"<…>+00:00","expires_at":"<…>+00:00",` +
			`"registration_ip":"127.0.0.1","risk_score":0,"is_trusted":false}`
		gone := missing("Device not found")
		c.walk(
			step{auth: auth, method: "GET", path: path, status: 200, want: shape},
			step{auth: auth, method: "GET", path: "/api/user/devices/" + foreign, status: 404, want: gone},
			step{auth: auth, method: "PATCH", path: path, body: "{}", status: 422, want: missingField("device_name", "2")},
			step{auth: auth, method: "PATCH", path: path, body: `{"device_name":"mine"}`, status: 200, want: strings.Replace(shape, "laptop", "mine", 1)},
			step{auth: auth, method: "POST", path: path + "/trust", status: 200, want: strings.NewReplacer("laptop", "mine", "false", "true").Replace(shape)},
			step{auth: auth, method: "POST", path: path + "/revoke", status: 415, want: "Expected request with `Content-Type: application/json`"},
			step{auth: auth, method: "POST", path: path + "/revoke", body: "{}", status: 200, want: `{"message":"<…>","success":true}`},
			step{auth: auth, method: "POST", path: path + "/revoke", body: "{}", status: 404, want: gone},
			step{auth: auth, method: "POST", path: "/api/user/devices/revoke-all", status: 200, want: `{"message":"<…>","success":true}`},
			step{auth: auth, method: "GET", path: "/api/user/devices", status: 200, want: `{"devices":[],"total":0,"page":1,"limit":20}`},
		)
	})
}

func TestSetPassword(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const path = "/api/user/set-password"
	c.walk(
		step{auth: auth, method: "POST", path: path, body: `{"new_password":"short"}`, status: 400, want: bad("Password must be at least 8 characters long")},
		step{auth: auth, method: "POST", path: path, body: `{"new_password":"correct horse"}`, status: 200, want: anyMessage},
		step{auth: auth, method: "POST", path: path, body: `{"new_password":"correct horse"}`, status: 400, want: bad("This account already has a password")},
		step{method: "POST", path: "/api/auth/login", body: `{"email":"ada@example.com","password":"correct horse"}`, status: 200},
	)
}

func TestOwnSubscription(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	in := func(more string) string {
		return bearer(parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"`+more+`}`).body).AccessToken)
	}
	c.walk(
		step{auth: in(""), method: "GET", path: "/api/subscription", status: 400, want: bad("Missing org in token")},
		step{auth: in(`,"org_slug":"acme"`), method: "GET", path: "/api/subscription", status: 400, want: bad("Missing service in token")},
		step{auth: in(`,"org_slug":"acme","service_slug":"app"`), method: "GET", path: "/api/subscription", status: 200,
			want: `{"service":"app","plan":"free","features":[],"status":"active","current_period_end":"N/A"}`},
	)
}

func TestIdentitiesAndAccounts(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	get := func(path, want string) step {
		return step{auth: auth, method: "GET", path: path, status: 200, want: want}
	}
	c.walk(
		get("/api/user/identities", `[{"provider":"password"}]`),
		get("/api/user/linked-accounts", `{"accounts":[],"available_providers":[`+
			`{"provider":"github","display_name":"GitHub","provider_type":"social","scopes":["read:user","user:email"],"connect_supported":true},`+
			`{"provider":"google","display_name":"Google","provider_type":"social","scopes":["openid","email","profile"],"connect_supported":true},`+
			`{"provider":"microsoft","display_name":"Microsoft","provider_type":"social","scopes":["User.Read"],"connect_supported":true}]}`),
		step{auth: auth, method: "DELETE", path: "/api/user/identities/password", status: 400, want: bad("Cannot unlink last identity. At least one identity must remain.")},
		step{auth: auth, method: "DELETE", path: "/api/user/identities/myspace", status: 400, want: bad("Invalid provider")},
		step{auth: auth, method: "POST", path: "/api/user/identities/github/link", status: 200, want: `{"authorization_url":"https://github.com/<…>"}`},
		step{auth: auth, method: "POST", path: "/api/user/identities/myspace/link", status: 400},
		step{auth: auth, method: "GET", path: "/api/provider-token/github", status: 404},
		step{auth: auth, method: "DELETE", path: "/api/user/linked-accounts/x", status: 204},
		step{auth: auth, method: "DELETE", path: "/api/user/linked-accounts/x/grants/y", status: 404},
		step{auth: auth, method: "POST", path: "/api/user/linked-accounts/x/grants", body: `{"scopes":["repo"]}`, status: 404},
		step{auth: auth, method: "GET", path: "/api/user/provider-token-requests/x", status: 404},
	)
	// A sign-in through a provider is another identity, which can be taken away.
	c.http.CheckRedirect = stay
	to, err := url.Parse(c.do("GET", "/auth/github?org=acme&service=app", "").Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	c.do("GET", "/auth/github/callback?code=ada@example.com&state="+to.Query().Get("state"), "")
	c.walk(
		get("/api/user/identities", `[{"provider":"github"},{"provider":"password"}]`),
		step{auth: auth, method: "DELETE", path: "/api/user/identities/github", status: 204},
		get("/api/user/identities", `[{"provider":"password"}]`),
	)
}

func TestPasskeys(t *testing.T) {
	srv, c := inMemory(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	const base = "/api/auth/passkeys"
	start := func(auth, path, body string) string {
		t.Helper()
		return parse[struct {
			ChallengeID string `json:"challenge_id"`
		}](t, c.walk(step{auth: auth, method: "POST", path: base + path, body: body, status: 200}).body).ChallengeID
	}
	finish := func(challenge string) string { return `{"challenge_id":"` + challenge + `","credential":{"id":"x"}}` }
	c.walk(
		step{auth: auth, method: "GET", path: base, status: 200, want: "[]"},
		step{auth: auth, method: "POST", path: base + "/register/finish", body: finish("x"), status: 400, want: bad("Invalid or expired passkey challenge")},
	)
	challenge := start(auth, "/register/start", `{"name":"key"}`)
	id := parse[struct {
		PasskeyID string `json:"passkey_id"`
	}](t, c.walk(step{auth: auth, method: "POST", path: base + "/register/finish", body: finish(challenge), status: 200}).body).PasskeyID
	c.walk(step{auth: auth, method: "POST", path: base + "/register/finish", body: finish(challenge), status: 400})

	challenge = start("", "/authenticate/start", `{"email":"ada@example.com","org_slug":"acme","service_slug":"app"}`)
	token := parse[tokenBody](t, c.walk(step{method: "POST", path: base + "/authenticate/finish", body: finish(challenge), status: 200,
		want: `{"access_token":"<…>","refresh_token":"<…>","expires_in":86400,"token":"<…>","user_id":"<…>"}`}).body).AccessToken
	c.walk(
		step{auth: bearer(token), method: "GET", path: "/api/user", status: 200},
		step{method: "POST", path: base + "/authenticate/finish", body: finish(challenge), status: 400},
		step{"", "POST", base + "/authenticate/start", `{"email":"nobody@example.com"}`, 404, missing("User not found")},
		step{"", "POST", base + "/authenticate/start", `{"email":"owner@acme.example"}`, 400, bad("No passkeys registered for this user")},
		step{auth, "PATCH", base + "/" + id, `{"name":" "}`, 400, bad("Passkey name must be between 1 and 80 characters")},
		step{auth: auth, method: "PATCH", path: base + "/" + id, body: `{"name":" renamed "}`, status: 200, want: `{"id":"<…>","name":"renamed","backup_eligible":true,` +
			`"backup_state":true,"transports":"internal","last_used_at":"<…>+00:00","created_at":"<…>+00:00"}`},
		step{auth: auth, method: "DELETE", path: base + "/" + id, status: 200, want: `{"success":true,"message":"<…>"}`},
		step{auth: auth, method: "DELETE", path: base + "/" + id, status: 404},
	)
}

func TestPrivacy(t *testing.T) {
	srv, c := inMemory(t)
	ada := srv.AddUser("ada@example.com", "correct horse")
	outsider := srv.AddServiceUser("out@example.com")
	root := srv.AddPlatformOwner("root@example.com", "")
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	srv.AddMember("acme", "bob@example.com", "member")
	member := bearer(srv.SignIn("bob@example.com").AccessToken)
	got := c.walk(step{auth: auth, method: "GET", path: "/api/privacy/export/" + ada.ID, status: 200}).body
	for _, want := range []string{`"email":"ada@example.com"`, `"organization_slug":"acme","role":"owner"`, `"login_events_count":1`} {
		if !strings.Contains(got, want) {
			t.Errorf("export = %s, want %s in it", got, want)
		}
	}
	forget := func(auth, id, body string, status int) step {
		return step{auth: auth, method: "DELETE", path: "/api/privacy/forget/" + id, body: body, status: status}
	}
	c.walk(
		step{auth: member, method: "GET", path: "/api/privacy/export/" + ada.ID, status: 403, want: forbidden("You must be an owner of organization 'acme' to export this user's data")},
		step{auth: auth, method: "GET", path: "/api/privacy/export/" + outsider.ID, status: 403, want: forbidden("You do not have permission to export this user's data")},
		step{auth: auth, method: "GET", path: "/api/privacy/export/x", status: 404},
		forget(auth, root.ID, "", 403),
		forget(auth, ada.ID, "", 400),
		forget(auth, ada.ID, `{"current_password":"wrong"}`, 403),
		forget(auth, ada.ID, `{"current_password":"correct horse"}`, 200),
		step{auth: auth, method: "GET", path: "/api/user", status: 401, want: realError("UNAUTHORIZED", "Session revoked or expired")},
		step{method: "POST", path: "/api/auth/login", body: `{"email":"ada@example.com","password":"correct horse"}`, status: 401},
	)
	c.walk(forget(bearer(srv.SignIn("root@example.com").AccessToken), outsider.ID, "", 200))
}

func TestKeyRotation(t *testing.T) {
	srv, c := inMemory(t)
	old := srv.SignIn("ada@example.com")
	srv.RotateKeys()
	fresh := srv.SignIn("ada@example.com")
	user := func(tokens authostest.Tokens, status int, want string) step {
		return step{auth: bearer(tokens.AccessToken), method: "GET", path: "/api/user", status: status, want: want}
	}
	kids := func() string {
		var out []string
		for _, k := range parse[struct{ Keys []struct{ Kid, N string } }](t, c.do("GET", "/.well-known/jwks.json", "").body).Keys {
			out = append(out, k.Kid)
		}
		return strings.Join(out, " ")
	}
	c.walk(user(old, 200, ""), user(fresh, 200, ""))
	if got := kids(); !regexp.MustCompile(`^authostest-(\w+)-2 authostest-\w+-1$`).MatchString(got) {
		t.Errorf("keys = %s, want the active one first", got)
	}
	srv.ForgetOldKeys()
	c.walk(user(old, 401, realError("UNAUTHORIZED", "JWT key identifier is not recognized")), user(fresh, 200, ""))
	if got := kids(); !regexp.MustCompile(`^authostest-\w+-2$`).MatchString(got) {
		t.Errorf("keys = %s, want the active one alone", got)
	}
	c.walk(step{method: "POST", path: "/api/auth/refresh", body: refreshBody(old.RefreshToken), status: 200})
}

func TestLinkedAccounts(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddUser("ada@example.com", "correct horse")
	srv.LinkProvider("ada@example.com", "google", "calendar")
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	id := parse[struct{ Accounts []struct{ ID string } }](t, c.walk(step{auth: auth, method: "GET", path: "/api/user/linked-accounts", status: 200}).body).Accounts[0].ID
	service := parse[struct{ ID string }](t, c.do("GET", "/api/service/info", "", "X-Api-Key: "+srv.AddAPIKey()).body).ID
	account := "/api/user/linked-accounts/" + id
	platform := bearer(parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body).AccessToken)
	grant := `{"service_id":"` + service + `","scopes":["calendar"]}`
	granted := `{"id":"<…>","service_id":"` + service + `","scopes":["calendar"],"granted_at":"<…>+00:00","last_used_at":null}`
	c.walk(
		step{auth: auth, method: "GET", path: "/api/provider-token/google", status: 200,
			want: `{"access_token":"<…>","refresh_token":null,"expires_at":"<…>+00:00","scopes":["calendar"],"provider":"google"}`},
		step{auth: auth, method: "POST", path: account + "/grants", body: `{"scopes":["calendar"]}`, status: 200, want: granted},
		step{auth: platform, method: "POST", path: account + "/grants", body: `{"scopes":["calendar"]}`, status: 400, want: bad("service_id is required")},
		step{auth: platform, method: "POST", path: account + "/grants", body: `{"service_id":"x","scopes":[]}`, status: 404, want: missing("Service not found")},
		step{auth: platform, method: "POST", path: account + "/grants", body: grant, status: 200, want: granted},
		step{auth: auth, method: "POST", path: account + "/grants", body: `{"scopes":[]}`, status: 200, want: granted},
		step{auth: auth, method: "POST", path: account + "/grants", body: `{"scopes":["mail"]}`, status: 403,
			want: forbidden("Requested scopes are not allowed for this service: mail")},
	)
	if got := c.do("GET", "/api/user/linked-accounts", "", auth).body; !strings.Contains(got, `"grants":[{"id":"`) {
		t.Errorf("accounts = %s", got)
	}
	if got := c.do("GET", "/api/user/linked-accounts", "", platform).body; !strings.Contains(got, `"grants":[]`) {
		t.Errorf("accounts, seen from the platform = %s", got)
	}
	c.walk(
		step{auth: auth, method: "DELETE", path: account + "/grants/" + service, status: 204},
		step{auth: auth, method: "DELETE", path: account + "/grants/" + service, status: 204},
		step{auth: auth, method: "DELETE", path: account, status: 204},
		step{auth: auth, method: "DELETE", path: account, status: 204},
		step{auth: auth, method: "DELETE", path: account + "/grants/" + service, status: 404},
	)
}

// TestForeignTokens: what AuthOS says to tokens that it did not give out for itself.
func TestForeignTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		twin, _ := inMemory(t, authostest.WithSeed(7)) // the same issuer, and the same keys
		twin.SignIn("grace@example.com")
		foreign := twin.SignIn("ada@example.com").AccessToken
		stranger, _ := inMemory(t)
		parts := strings.Split(foreign, ".")
		encode := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
		head, err := base64.RawURLEncoding.DecodeString(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		header := func(old, changed string) string { return encode(strings.Replace(string(head), old, changed, 1)) }
		for _, tc := range []struct{ name, token, want string }{
			{"a twin's", foreign, realError("UNAUTHORIZED", "Session revoked or expired")},
			{"another server's", stranger.SignIn("ada@example.com").AccessToken, realError("UNAUTHORIZED", "JWT key identifier is not recognized")},
			{"no header", "a.b.c", realError("JWT_ERROR", "Invalid token")},
			{"two parts", parts[0] + "." + parts[1], realError("JWT_ERROR", "Invalid token")},
			{"type", header("authos-management+jwt", "JWT") + ".e30.", realError("UNAUTHORIZED", "Token profile is not valid for the AuthOS API")},
			{"key", encode(`{"alg":"RS256","typ":"authos-management+jwt","kid":"key-7"}`) + ".e30.", realError("UNAUTHORIZED", "JWT key identifier is not recognized")},
			{"algorithm", header("RS256", "none") + "." + parts[1] + ".", realError("JWT_ERROR", "Invalid token")},
			{"payload", parts[0] + "." + encode(`{}`) + "." + parts[2], realError("JWT_ERROR", "Invalid token")},
			{"signature", parts[0] + "." + parts[1] + ".AAAA", realError("JWT_ERROR", "Invalid token")},
		} {
			_, c := inMemory(t, authostest.WithSeed(7))
			c.expect(401, jsonType, tc.want, "GET", "/api/user?"+url.QueryEscape(tc.name), "", bearer(tc.token))
		}
		time.Sleep(25 * time.Hour)
		for contract, want := range map[authostest.Contract]string{
			authostest.Newest: realError("JWT_ERROR", "Invalid token"), authostest.Documented: documented("TOKEN_EXPIRED", "Token expired"),
		} {
			_, c := inMemory(t, authostest.WithContract(contract), authostest.WithSeed(7))
			c.walk(step{auth: bearer(foreign), method: "GET", path: "/api/user", status: 401, want: want})
		}
	})
}

func TestWithListener(t *testing.T) {
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	srv, c := overSocket(t, authostest.WithListener(ln))
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	if srv.URL != "http://127.0.0.1:"+port {
		t.Errorf("URL = %s, want port %s", srv.URL, port)
	}
	c.walk(step{method: "GET", path: "/health", status: 200})
}
