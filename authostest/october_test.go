package authostest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// recorded is a request that a server of October 2025 was sent, and what is known of its
// response. Before the request the world is brought into a state by steps, and names in
// braces stand for ids of that world.
type recorded struct {
	Case    string
	Before  []string
	Request struct {
		Method, Path, As, Body string
		ContentType            string `json:"content_type"`
	}
	Response struct {
		Status      int
		ContentType *string `json:"content_type"`
		Body        *string
		BodyPrefix  string `json:"body_prefix"`
		Error       string
		ErrorCode   string `json:"error_code"`
		Allow       string
		Location    string
		Has, Lacks  []string          // paths of members
		Kinds       map[string]string // of the values at paths
	}
	NotCompared string `json:"not_compared"` // what differs all the same, and why
}

// octoberWorld is the scene in which the requests were recorded.
type octoberWorld struct {
	*client

	srv    *authostest.Server
	ids    map[string]string
	tokens map[string]string // by who signed in
}

func newOctoberWorld(t *testing.T) *octoberWorld {
	srv, c := inMemory(t, authostest.WithContract(authostest.October2025))
	c.http.CheckRedirect = stay
	w := &octoberWorld{c, srv, map[string]string{}, map[string]string{"garbage": "x"}}
	srv.AddOrganization("cmpco", "active", "owner@cmp.example")
	srv.AddService("cmpco", "web")
	srv.AllowProvider("cmpco", "web", "github")
	srv.SetLimits("cmpco", 20, 20)
	for _, who := range []string{"owner", "admin", "member", "member2", "stranger"} {
		email := who + "@cmp.example"
		if who == "stranger" {
			w.ids[who] = srv.AddServiceUser(email).ID
		} else {
			w.ids[who] = srv.AddMember("cmpco", email, strings.TrimSuffix(who, "2")).ID
		}
		w.tokens[who] = srv.SignInTo("", "", email).AccessToken
	}
	w.ids["root"] = srv.AddPlatformOwner("root@cmp.example", "").ID
	w.tokens["root"] = srv.SignInTo("", "", "root@cmp.example").AccessToken
	list := c.do("GET", "/api/platform/organizations", "", bearer(w.tokens["root"])).body
	for _, o := range parse[struct{ Organizations []struct{ ID, Slug string } }](t, list).Organizations {
		if o.Slug == "cmpco" {
			w.ids["org"] = o.ID
		}
	}
	c.do("PATCH", "/api/organizations/cmpco/services/web", `{"redirect_uris":["https://app.example/cb"]}`, bearer(w.tokens["owner"]))
	time.Sleep(time.Second) // or tokens of two sign-ins would be the same
	return w
}

func (w *octoberWorld) step(name string) {
	w.t.Helper()
	root := bearer(w.tokens["root"])
	switch name {
	case "pending", "suspended":
		w.srv.AddOrganization("cmpco", name, "owner@cmp.example")
	case "approved":
		w.step("pending")
		w.do("POST", "/api/platform/organizations/"+w.ids["org"]+"/approve", "{}", root)
	case "promoted":
		w.do("POST", "/api/platform/owners", `{"user_id":"`+w.ids["stranger"]+`"}`, root)
	case "invited":
		_, w.ids["invitation"] = w.srv.AddInvitation("cmpco", "stranger@cmp.example", "member")
	case "taken by another":
		w.srv.AddMember("cmpco", "late@cmp.example", "member")
		w.srv.SetRole("cmpco", "late@cmp.example", "")
		w.do("POST", "/api/invitations/accept", `{"token":"`+w.ids["invitation"]+`"}`, bearer(w.tokens["member2"]))
	case "an api service":
		w.do("POST", "/api/organizations/cmpco/services", `{"slug":"api","name":"API","service_type":"api"}`, bearer(w.tokens["owner"]))
	case "plan without features":
		w.do("POST", "/api/organizations/cmpco/services/web/plans", `{"name":"bare","price_cents":1,"currency":"usd"}`, bearer(w.tokens["owner"]))
	case "device code":
		got := parse[deviceGrant](w.t, w.do("POST", "/auth/device/code", `{"client_id":"cmpco_web","org":"cmpco","service":"web"}`).body)
		w.ids["device_code"], w.ids["user_code"] = got.DeviceCode, got.UserCode
	case "approved device":
		w.srv.ApproveDevice(w.ids["user_code"], "owner@cmp.example")
	case "a moment":
		time.Sleep(5 * time.Second)
	case "exchanged":
		w.tokens["device"] = parse[tokenBody](w.t, w.do("POST", "/auth/token", pollBody(w.ids["device_code"], "cmpco_web", deviceGrantType)).body).AccessToken
	case "replay":
		w.token("refreshed")
		w.do("POST", "/api/auth/refresh", refreshBody(w.ids["spent"]))
	case "end user":
		w.srv.AddSubscription("owner@cmp.example", w.srv.AddPlan("cmpco", "web", "pro", 500))
	case "a login":
		w.srv.AddLogin("cmpco", "web", "owner@cmp.example", "github", time.Now())
	default:
		w.t.Fatalf("unknown step %q", name)
	}
}

// token is that of somebody; some of them sign in only when they are asked for.
func (w *octoberWorld) token(who string) string {
	if known, ok := w.tokens[who]; ok {
		return known
	}
	switch who {
	case "refreshed":
		w.ids["spent"] = w.srv.SignInTo("", "", "owner@cmp.example").RefreshToken
		time.Sleep(time.Second)
		w.tokens[who] = parse[tokenBody](w.t, w.do("POST", "/api/auth/refresh", refreshBody(w.ids["spent"])).body).AccessToken
	case "device":
		w.step("exchanged")
	}
	return w.tokens[who]
}

var idPattern = regexp.MustCompile(`\{([a-z_]+)\}`)

func (w *octoberWorld) fill(text string) string {
	if n, padded := strings.CutPrefix(text, "$padded:"); padded {
		size, _ := strconv.Atoi(n)
		return `{"email":"` + strings.Repeat("x", size) + `"}`
	}
	return idPattern.ReplaceAllStringFunc(text, func(name string) string {
		if id, ok := w.ids[name[1:len(name)-1]]; ok {
			return id
		}
		return name
	})
}

func (w *octoberWorld) send(r recorded) reply {
	var headers []string
	if r.Request.As != "" {
		headers = append(headers, bearer(w.token(r.Request.As)))
	}
	req := w.request(r.Request.Method, w.fill(r.Request.Path), w.fill(r.Request.Body), headers...)
	req.Header.Del("Content-Type")
	if r.Request.ContentType != "" {
		req.Header.Set("Content-Type", r.Request.ContentType)
	}
	got, err := w.try(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func octoberRecord(t *testing.T) []recorded {
	t.Helper()
	data, err := os.ReadFile("testdata/october-2025.json")
	if err != nil {
		t.Fatal(err)
	}
	return parse[[]recorded](t, string(data))
}

// TestOctober2025 compares the contract with the record of a real server, row by row.
func TestOctober2025(t *testing.T) {
	for _, r := range octoberRecord(t) {
		t.Run(r.Case, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newOctoberWorld(t)
				for _, name := range r.Before {
					w.step(name)
				}
				compareRecorded(t, r, w.send(r))
			})
		})
	}
}

func compareRecorded(t *testing.T, r recorded, got reply) {
	t.Helper()
	want := r.Response
	fatal := struct {
		Error     string
		ErrorCode string `json:"error_code"`
	}{}
	if got.StatusCode >= 400 {
		_ = json.Unmarshal([]byte(got.body), &fatal) // plain text has neither
	}
	switch {
	case got.StatusCode != want.Status:
		t.Fatalf("%d %s, want %d", got.StatusCode, got.body, want.Status)
	case want.ContentType != nil && got.Header.Get("Content-Type") != *want.ContentType:
		t.Errorf("Content-Type = %q, want %q", got.Header.Get("Content-Type"), *want.ContentType)
	case want.Body != nil && got.body != *want.Body:
		t.Errorf("body = %s, want %s", got.body, *want.Body)
	case !strings.HasPrefix(got.body, want.BodyPrefix):
		t.Errorf("body = %s, want it to begin with %s", got.body, want.BodyPrefix)
	case want.Error != "" && fatal.Error != want.Error, want.ErrorCode != "" && fatal.ErrorCode != want.ErrorCode:
		t.Errorf("%s, want %s %q", got.body, want.ErrorCode, want.Error)
	case want.Allow != "" && got.Header.Get("Allow") != want.Allow:
		t.Errorf("Allow = %q, want %q", got.Header.Get("Allow"), want.Allow)
	case want.Location != "" && !strings.Contains(got.Header.Get("Location"), want.Location):
		t.Errorf("Location = %q, want %q in it", got.Header.Get("Location"), want.Location)
	}
	if len(want.Has)+len(want.Lacks)+len(want.Kinds) == 0 {
		return
	}
	body := parse[any](t, got.body)
	for _, path := range want.Has {
		if len(at(body, path)) == 0 {
			t.Errorf("no %s in %s", path, got.body)
		}
	}
	for _, path := range want.Lacks {
		if len(at(body, path)) > 0 {
			t.Errorf("%s in %s", path, got.body)
		}
		if outer := path[:strings.LastIndexByte(path, '.')]; len(at(body, outer)) == 0 {
			t.Errorf("nothing to look for %s in: %s", path, got.body)
		}
	}
	for path, kind := range want.Kinds {
		values := at(body, path)
		if !slices.ContainsFunc(values, func(v any) bool { return kindOf(v, kind) }) {
			t.Errorf("%s is %v, want a %s", path, values, kind)
		}
	}
}

// at finds the values at a path such as $.members[].user.id.
func at(v any, path string) []any {
	found := []any{v}
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.ReplaceAll(path, "[]", ".[]"), "$"), ".") {
		var next []any
		for _, v := range found {
			switch list, _ := v.([]any); part {
			case "":
				next = append(next, v)
			case "[]":
				next = append(next, list...)
			default:
				object, _ := v.(map[string]any)
				if inner, ok := object[part]; ok {
					next = append(next, inner)
				}
			}
		}
		found = next
	}
	return found
}

func kindOf(v any, kind string) bool {
	text, isText := v.(string)
	switch kind {
	case "null":
		return v == nil
	case "ts-z":
		return isText && regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]+Z$`).MatchString(text)
	case "ts-naive":
		return isText && regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:.]+$`).MatchString(text)
	case "string(JSON object)":
		return isText && strings.HasPrefix(text, "{") && json.Valid([]byte(text))
	}
	return false
}

// TestOctoberRoutes: what came later is not there, whatever the credentials.
func TestOctoberRoutes(t *testing.T) {
	srv, c := inMemory(t, authostest.WithContract(authostest.October2025))
	srv.AddPlatformOwner("root@example.com", "")
	auth := bearer(srv.SignIn("root@example.com").AccessToken)
	for _, path := range []string{
		"/api/service/users", "/api/organizations/acme/webhooks", "/api/organizations/acme/roles", "/api/organizations/acme/audit-log",
		"/api/user/mfa/status", "/api/user/devices", "/api/platform/users", "/.well-known/authos-configuration", "/metrics",
	} {
		c.expect(404, "", "", "GET", path, "", auth)
	}
	for _, path := range []string{"/api/auth/login", "/api/auth/register", "/api/organizations/acme/select", "/oauth/token"} {
		c.expect(404, "", "", "POST", path, "{}", auth)
	}
	c.expect(405, "", "", "DELETE", "/api/organizations/acme", "", auth)
	got := c.do("GET", "/api/user", "", auth)
	if got.Header.Get("Access-Control-Allow-Origin") != "*" || got.Header.Get("X-Frame-Options") != "" {
		t.Errorf("headers = %v", got.Header)
	}
}

func TestOctoberSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithContract(authostest.October2025))
		first, second := srv.SignIn("ada@example.com"), srv.SignIn("ada@example.com")
		claims := decodePayload(t, first.AccessToken)
		for _, name := range []string{"iss", "aud", "jti", "token_use"} {
			if claims[name] != nil {
				t.Errorf("claims = %v, want no %s", claims, name)
			}
		}
		refresh := func(status int, token, want string) string {
			t.Helper()
			return c.walk(step{"", "POST", "/api/auth/refresh", refreshBody(token), status, want}).body
		}
		get := func(status int, token, want string) {
			t.Helper()
			c.walk(step{bearer(token), "GET", "/api/user", "", status, want})
		}
		time.Sleep(time.Minute)
		fresh := parse[tokenBody](t, refresh(200, first.RefreshToken, ""))
		refresh(500, second.RefreshToken, realError("DATABASE_ERROR", "Database error")) // the same second
		time.Sleep(time.Second)
		refresh(200, second.RefreshToken, "")
		refresh(401, first.RefreshToken, realError("UNAUTHORIZED", "Invalid refresh token"))
		get(200, fresh.AccessToken, "") // no harm done
		if srv.Replays() != 1 {
			t.Errorf("Replays = %d, want 1", srv.Replays())
		}
		time.Sleep(24*time.Hour + 10*time.Second)
		get(401, fresh.AccessToken, realError("TOKEN_EXPIRED", "Token expired"))
		time.Sleep(time.Minute)
		get(401, fresh.AccessToken, realError("JWT_ERROR", "Invalid token"))
		srv.DeleteUser("ada@example.com")
		refresh(500, fresh.RefreshToken, realError("DATABASE_ERROR", "Database error"))
		refresh(500, fresh.RefreshToken, realError("DATABASE_ERROR", "Database error"))

		grace := srv.SignIn("grace@example.com")
		srv.RotateKeys()
		get(401, grace.AccessToken, realError("JWT_ERROR", "Invalid token"))
		if n := len(parse[struct{ Keys []any }](t, c.do("GET", "/.well-known/jwks.json", "").body).Keys); n != 1 {
			t.Errorf("%d keys, want one", n)
		}
		srv.SuspendOrg("acme")
		refresh(200, grace.RefreshToken, "") // nobody looks at the organization
	})
}

func TestOctoberLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := inMemory(t, authostest.WithContract(authostest.October2025), authostest.WithLimiters())
		for range 10 {
			c.do("POST", "/auth/token", "{}")
		}
		got := c.expect(429, "", "Too Many Requests! Wait for 60s", "POST", "/auth/token", "{}")
		if got.Header.Get("X-Ratelimit-After") != "60" {
			t.Errorf("headers = %v", got.Header)
		}
	})
}

// TestOctoberSocket: the limit for bodies is another one, and headers travel.
func TestOctoberSocket(t *testing.T) {
	srv, c := overSocket(t, authostest.WithContract(authostest.October2025))
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	c.expect(413, textType, "Failed to buffer the request body: length limit exceeded", "PATCH", "/api/user",
		`{"email":"`+strings.Repeat("x", 3<<20)+`"}`, auth)
	c.expect(204, "", "", "POST", "/api/auth/logout", "", auth)
	c.expect(http.StatusUnauthorized, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", auth)
}
