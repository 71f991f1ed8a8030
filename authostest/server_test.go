package authostest_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestResponsesOfTheLayers(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		key, user := "X-Api-Key: "+srv.AddAPIKey(), bearer(srv.SignIn("ada@example.com").AccessToken)
		for _, tc := range []struct {
			name, method, path, body string
			headers                  []string
			status                   int
			contentType, want        string
		}{
			{"health", "GET", "/health", "", nil, 200, jsonType, `{"status":"healthy","version":"<…>"}`},
			{"unknown path", "GET", "/api/nothing", "", nil, 404, "", ""},
			{"trailing slash", "GET", "/health/", "", nil, 404, "", ""},
			{"parameter not UTF-8", "GET", "/api/service/users/%ff", "", []string{key}, 400, textType, "Invalid URL: Invalid UTF-8 in `user_id`"},
			{"wrong method", "DELETE", "/api/user", "", []string{user}, 405, "", ""},
			{"wrong method without a token", "DELETE", "/api/user", "", nil, 401, jsonType, realError("UNAUTHORIZED", "Missing or invalid Authorization header")},
			{"wrong method on the platform", "DELETE", "/api/platform/tiers", "", []string{user}, 403, textType, "Platform owner access required"},
			{"wrong method, public", "PUT", "/api/auth/login", "", nil, 405, "", ""},
			{"any OPTIONS", "OPTIONS", "/api/user", "", nil, 200, "", ""},
			{"repeated query", "GET", "/api/service/users?limit=1&limit=2", "", []string{key}, 400, textType,
				"Failed to deserialize query string: duplicate field `limit`"},
			{"repeated query that nobody reads", "GET", "/api/service/users?x=1&x=2", "", []string{key}, 200, jsonType, `{"users":[],"total":0}`},
			{"repeated form field", "POST", "/auth/revoke", "token=a&token=b", []string{"Content-Type: application/x-www-form-urlencoded"}, 422, textType,
				"Failed to deserialize form body: duplicate field `token`"},
			{"data after the JSON", "POST", "/api/service/users", `{"email":1} x`, []string{key}, 422, textType,
				"Failed to deserialize the JSON body into the target type: email: invalid type: integer `1`, expected a string at line 1 column 10"},
			{"JSON that is not UTF-8", "POST", "/api/service/users", "{\"email\":\"a@\xff\"}", []string{key}, 400, textType,
				"Failed to parse the request body as JSON: invalid unicode code point at line 1 column 12"},
			{"half a surrogate pair", "POST", "/api/service/users", `{"email":"\ud83d"}`, []string{key}, 400, textType,
				"Failed to parse the request body as JSON: lone leading surrogate in hex escape at line 1 column 15"},
			{"half of another", "POST", "/api/auth/refresh", `{"refresh_token":"\udc00"}`, nil, 400, jsonType,
				realError("BAD_REQUEST", "JSON syntax error: lone leading surrogate in hex escape at line 1 column 23")},
			{"a whole pair", "POST", "/api/auth/refresh", `{"refresh_token":"\ud83d\ude00"}`, nil, 401, jsonType,
				realError("UNAUTHORIZED", "Invalid refresh token")},
			{"no content type", "POST", "/api/service/users", "{}", []string{"Content-Type: text/html", key}, 415, textType,
				"Expected request with `Content-Type: application/json`"},
			{"broken JSON", "POST", "/api/service/users", "{", []string{key}, 400, textType,
				"Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1"},
			{"empty body", "POST", "/api/service/users", "", []string{"Content-Type: application/json", key}, 400, textType,
				"Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 0"},
			{"missing field", "POST", "/api/service/users", "{}", []string{key}, 422, textType,
				"Failed to deserialize the JSON body into the target type: missing field `email` at line 1 column 2"},
			{"wrong type", "POST", "/api/service/users", `{"email":1}`, []string{key}, 422, textType,
				"Failed to deserialize the JSON body into the target type: email: invalid type: integer `1`, expected a string at line 1 column 10"},
			{"not an object", "POST", "/api/service/users", `[]`, []string{key}, 422, textType,
				"Failed to deserialize the JSON body into the target type: invalid type: sequence, expected struct at line 1 column 2"},
			{"JSON400 handler", "POST", "/api/auth/refresh", `{}`, nil, 400, jsonType,
				realError("BAD_REQUEST", "Invalid JSON data: missing field `refresh_token` at line 1 column 2")},
			{"JSON400 syntax", "POST", "/api/auth/refresh", `{"`, nil, 400, jsonType,
				realError("BAD_REQUEST", "JSON syntax error: EOF while parsing a string at line 1 column 2")},
			{"JSON400 type", "POST", "/api/auth/refresh", `{}`, []string{"Content-Type: text/plain"}, 400, jsonType,
				realError("BAD_REQUEST", "Content-Type must be application/json")},
			{"form as JSON", "POST", "/auth/revoke", `{}`, nil, 415, textType,
				"Form requests must have `Content-Type: application/x-www-form-urlencoded`"},
			{"body too large", "POST", "/api/service/users", strings.Repeat("x", 1<<20+1), []string{key}, 413, textType,
				"length limit exceeded"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				c := &client{t, c.base, c.http}
				got := c.expect(tc.status, tc.contentType, tc.want, tc.method, tc.path, tc.body, tc.headers...)
				for name, want := range map[string]string{
					"Strict-Transport-Security": "max-age=31536000; includeSubDomains",
					"X-Content-Type-Options":    "nosniff",
					"X-Frame-Options":           "DENY",
				} {
					if got.Header.Get(name) != want {
						t.Errorf("%s = %q, want %q", name, got.Header.Get(name), want)
					}
				}
				if got.ContentLength != int64(len(tc.want)) && !strings.Contains(tc.want, "<…>") {
					t.Errorf("ContentLength = %d, want %d", got.ContentLength, len(tc.want))
				}
			})
		}
		if allow := c.do("DELETE", "/api/user", "", user).Header.Get("Allow"); allow != "GET,HEAD,PATCH" {
			t.Errorf("Allow = %q, want GET,HEAD,PATCH", allow)
		}
	})
}

func TestHeadHasNoBody(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		got := c.do("HEAD", "/health", "")
		if got.StatusCode != 200 || got.body != "" || got.ContentLength <= 0 {
			t.Errorf("HEAD /health = %d %q, ContentLength %d", got.StatusCode, got.body, got.ContentLength)
		}
	})
}

func TestNonsenseNeverPanics(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	for _, path := range []string{"", "/", "//", "/%2F", "/api/service/users/%2F", "/api/service/users/%zz", "/:user_id", "/api/service/users/:user_id?limit=%zz"} {
		req := c.request("GET", "", "", key)
		req.URL.Path, req.URL.RawPath = path, ""
		if _, err := c.try(req); err != nil {
			t.Errorf("GET %q: %v", path, err)
		}
	}
	for _, body := range []string{"null", "0", `"`, `{"email":null}`, `{"email":{}}`, `{"email":[1.5]}`, "\xff", `{"email":"a","email":"b"}`, `{} {}`} {
		if got := c.do("POST", "/api/service/users", body, key); got.StatusCode/100 != 4 {
			t.Errorf("POST %q = %d, want 4xx", body, got.StatusCode)
		}
	}
}

func TestClockSkew(t *testing.T) {
	srv, c := inMemory(t, authostest.WithClockSkew(-time.Hour))
	srv.AddServiceUser("ada@example.com")
	got := c.do("GET", "/api/service/users", "", "X-Api-Key: "+srv.AddAPIKey())
	date, err := http.ParseTime(got.Header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(date); age < 59*time.Minute || age > 61*time.Minute {
		t.Errorf("Date is %v old, want about an hour", age)
	}
}

func TestJournal(t *testing.T) {
	srv, c := inMemory(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	c.do("POST", "/api/service/users", `{"email":"ada@example.com"}`, key)
	c.do("POST", "/api/service/users", `{"email":"ada@example.com"}`, key)
	c.do("GET", "/api/service/users/nobody?x=1", "", key)
	c.do("GET", "/nowhere", "")

	got := srv.Requests()
	if len(got) != 4 {
		t.Fatalf("Requests() has %d entries, want 4", len(got))
	}
	first, third := got[0], got[2]
	if first.Status != 201 || string(first.Body) != `{"email":"ada@example.com"}` || first.Header.Get("X-Api-Key") == "" {
		t.Errorf("first request = %+v", first)
	}
	if third.Route != "/api/service/users/:user_id" || third.Path != "/api/service/users/nobody" || third.RawQuery != "x=1" || third.Status != 404 {
		t.Errorf("third request = %+v", third)
	}
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{"", "", 4},
		{"GET", "", 2},
		{"POST", "/api/service/users", 2},
		{"", "/api/service/*", 3},
		{"", "/api/service/users/:id", 1},
		{"", "/api/service/users/nobody", 1},
		{"", "/:anything", 1},
		{"PUT", "", 0},
	} {
		if got := srv.Count(tc.method, tc.path); got != tc.want {
			t.Errorf("Count(%q, %q) = %d, want %d", tc.method, tc.path, got, tc.want)
		}
	}
	if got := srv.Applied(); len(got) != 1 || got["POST /api/service/users"] != 1 {
		t.Errorf("Applied() = %v, want one POST: the second changed nothing", got)
	}
	srv.Reset()
	if len(srv.Requests()) != 0 || srv.Count("", "") != 0 || len(srv.Applied()) != 0 {
		t.Error("Reset left something behind")
	}
	if got := c.do("GET", "/api/service/users", "", key); !strings.Contains(got.body, "ada@example.com") {
		t.Errorf("Reset forgot the users: %s", got.body)
	}
}

func TestJournalIsBounded(t *testing.T) {
	srv, c := inMemory(t)
	const n = 25_000
	for i := range n {
		resp, err := c.http.Transport.RoundTrip(c.request("GET", "/health?"+strconv.Itoa(i), ""))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	got := srv.Requests()
	if len(got) < 10_000 || len(got) >= n {
		t.Errorf("%d requests kept, want the newest 10,000 or somewhat more", len(got))
	}
	if last := got[len(got)-1].RawQuery; last != strconv.Itoa(n-1) {
		t.Errorf("the last request kept is number %s", last)
	}
	if got := srv.Count("", ""); got != n {
		t.Errorf("Count = %d, want %d", got, n)
	}
}

func TestCloseTwiceAndAfterwards(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		c.do("GET", "/health", "")
		srv.Close()
		srv.Close()
		if _, err := c.try(c.request("GET", "/health", "")); err == nil {
			t.Error("a closed server responded")
		}
	})
}
