package authostest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// journalOf is everything that a run of a busy client saw and that the server noted.
func journalOf(t *testing.T, seed uint64) string {
	t.Helper()
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithSeed(seed), authostest.WithMail(), authostest.WithLimiters())
		srv.Fault(authostest.Fault{Path: "/api/service/*", Probability: 0.3, Status: 503})
		key := "X-Api-Key: " + srv.AddAPIKey()
		tokens := srv.SignIn("ada@example.com")
		do := func(method, path, body string, headers ...string) string {
			got, err := c.try(c.request(method, path, body, headers...))
			fmt.Fprintln(&out, method, path, got.Response != nil && got.StatusCode > 0, got.body, err)
			return got.body
		}
		for i := range 20 {
			do("POST", userPath, fmt.Sprintf(`{"email":"u%d@example.com"}`, i), key)
			time.Sleep(time.Second)
		}
		do("POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`)
		do("POST", "/api/auth/magic-link/request", `{"email":"ada@example.com"}`)
		do("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
		do("GET", "/.well-known/jwks.json", "")
		for _, m := range srv.MailFor("ada@example.com") {
			fmt.Fprintln(&out, m)
		}
		journal, err := json.Marshal(srv.Requests())
		if err != nil {
			t.Fatal(err)
		}
		out.Write(journal)
	})
	return out.String()
}

func TestOneSeedOneRun(t *testing.T) {
	first := journalOf(t, 7)
	if second := journalOf(t, 7); first != second {
		for i := range first {
			if i >= len(second) || first[i] != second[i] {
				t.Fatalf("two runs with one seed differ: …%.200s", first[max(i-50, 0):])
			}
		}
	}
	if journalOf(t, 8) == first {
		t.Error("another seed gives the same run")
	}
}

// TestScenesShareNothing: a token of one is a stranger to another, in every part.
func TestScenesShareNothing(t *testing.T) {
	first, c := inMemory(t)
	second, d := inMemory(t)
	if first.URL == second.URL {
		t.Errorf("both are %s", first.URL)
	}
	type set struct{ Keys []struct{ Kid, N string } }
	one, two := parse[set](t, c.do("GET", "/.well-known/jwks.json", "").body), parse[set](t, d.do("GET", "/.well-known/jwks.json", "").body)
	if one.Keys[0].Kid == two.Keys[0].Kid {
		t.Errorf("both sign with %s", one.Keys[0].Kid)
	}
	foreign := decodePayload(t, first.SignIn("ada@example.com").AccessToken)
	if foreign["iss"] != first.URL {
		t.Errorf("iss = %v, want %s", foreign["iss"], first.URL)
	}
}

// TestKeys: each pair of the primes makes a key that works.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(20) {
		srv, c := inMemory(t, authostest.WithSeed(seed))
		for range 3 {
			srv.RotateKeys()
		}
		for _, k := range parse[struct{ Keys []struct{ N string } }](t, c.do("GET", "/.well-known/jwks.json", "").body).Keys {
			if seen[k.N] {
				t.Errorf("seed %d has a key that another one has", seed)
			}
			seen[k.N] = true
			if len(k.N) != 342 { // 2048 bits
				t.Errorf("a modulus of %d characters", len(k.N))
			}
		}
		c.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", bearer(oldToken(srv)))
	}
}

// oldToken is one that is good but for its session, so that its signature is checked.
func oldToken(srv *authostest.Server) string {
	token := srv.SignIn("ada@example.com").AccessToken
	srv.RevokeSessions("ada@example.com")
	return token
}

func TestClock(t *testing.T) {
	srv, c := inMemory(t)
	tokens := srv.SignIn("ada@example.com")
	srv.Advance(23 * time.Hour)
	c.walk(step{bearer(tokens.AccessToken), "GET", "/api/user", "", 200, ""})
	srv.Advance(2 * time.Hour)
	c.walk(step{bearer(tokens.AccessToken), "GET", "/api/user", "", 401, realError("JWT_ERROR", "Invalid token")})
	c.walk(step{"", "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken), 200, ""})

	at := time.Date(2030, time.May, 20, 12, 0, 0, 0, time.UTC)
	srv.Freeze(at)
	for range 2 {
		got := c.expect(401, jsonType, `{"error":"Missing or invalid Authorization header","error_code":"UNAUTHORIZED","timestamp":"2030-05-20T12:00:00+00:00"}`,
			"GET", "/api/user", "")
		if date := got.Header.Get("Date"); date != "Mon, 20 May 2030 12:00:00 GMT" {
			t.Errorf("Date = %s", date)
		}
	}
	srv.Advance(time.Hour)
	if !srv.Now().Equal(at.Add(time.Hour)) {
		t.Errorf("Now = %v, want an hour later and still frozen", srv.Now())
	}
	srv.Thaw()
	if now := srv.Now(); now.Before(at.Add(time.Hour)) || now.After(at.Add(2*time.Hour)) {
		t.Errorf("Now = %v, want it to run on from there", now)
	}
}

func TestClients(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, _ *client) {
		client := srv.Client(authos.WithTokens(srv.SignIn("ada@example.com")))
		defer client.Close()
		if user, err := client.User.Get(t.Context()); err != nil || user.Email != "ada@example.com" {
			t.Errorf("Get = %v, %v", user, err)
		}
		resp, err := srv.HTTPClient().Get(srv.URL + "/health")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("health = %v, %v", resp, err)
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("a client that New refuses did not panic")
		}
	}()
	srv, _ := inMemory(t, authostest.WithURL("http://auth.example"))
	srv.Client()
}

func TestWithURL(t *testing.T) {
	srv, c := overSocket(t, authostest.WithURL("https://auth.example/"), authostest.WithMail())
	c.base = "http://" + strings.TrimPrefix(srv.Addr(), "http://")
	if srv.URL != "https://auth.example" || decodePayload(t, srv.SignIn("ada@example.com").AccessToken)["iss"] != srv.URL {
		t.Errorf("URL = %s", srv.URL)
	}
	c.do("POST", "/api/auth/forgot-password", `{"email":"ada@example.com"}`)
	if mail := srv.MailFor("ada@example.com"); len(mail) != 1 || !strings.HasPrefix(mail[0].Link, "https://auth.example/") {
		t.Errorf("mail = %v", mail)
	}
}

// TestFlat: what a long run leaves behind is bounded, and the counts are right.
func TestFlat(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 30_000
	}
	srv, _ := inMemory(t)
	transport, key := srv.Transport(), srv.AddAPIKey()
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	var early uint64
	for i := range n {
		u := &url.URL{Scheme: "http", Host: "127.0.0.1", Path: userPath + "/" + fmt.Sprint(i)}
		resp, err := transport.RoundTrip(&http.Request{Method: "GET", URL: u, Header: http.Header{"X-Api-Key": {key}, "X-Filler": {strings.Repeat("x", 500)}}})
		if err != nil || resp.StatusCode != 404 {
			t.Fatalf("request %d: %v, %v", i, resp, err)
		}
		if i == 25_000 {
			early = heap()
		}
	}
	if late := heap(); late > early+8<<20 {
		t.Errorf("%d MiB after 25,000 requests, %d MiB after %d", early>>20, late>>20, n)
	}
	if got := srv.Count("GET", userPath+"/:user_id"); got != n {
		t.Errorf("Count = %d, want %d", got, n)
	}
	if got := len(srv.Requests()); got < 10_000 || got > 20_000 {
		t.Errorf("%d requests are kept", got)
	}
}
