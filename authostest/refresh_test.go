package authostest_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

func TestRefreshRotates(t *testing.T) {
	srv, c := inMemory(t)
	old := srv.SignIn("ada@example.com")
	next := parse[tokenBody](t, c.expect(200, jsonType, `{"access_token":"<…>","refresh_token":"<…>","expires_in":86400}`,
		"POST", "/api/auth/refresh", refreshBody(old.RefreshToken)).body)
	if next.AccessToken == old.AccessToken || next.RefreshToken == old.RefreshToken {
		t.Error("a refresh must replace both tokens")
	}
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", bearer(old.AccessToken))
	got := c.do("GET", "/api/user", "", bearer(next.AccessToken))
	if got.StatusCode != 200 || !strings.Contains(got.body, `"org":"acme","service":"app"`) {
		t.Errorf("with the new token: %d %s, want the session's tenant kept", got.StatusCode, got.body)
	}
	if srv.Replays() != 0 {
		t.Errorf("Replays() = %d, want 0", srv.Replays())
	}
}

func TestRefreshInput(t *testing.T) {
	_, c := inMemory(t)
	for _, tc := range []struct{ token, code, text string }{
		{" ", "BAD_REQUEST", "Refresh token cannot be empty"},
		{strings.Repeat("x", 1001), "BAD_REQUEST", "Refresh token too long"},
	} {
		c.expect(400, jsonType, realError(tc.code, tc.text), "POST", "/api/auth/refresh", refreshBody(tc.token))
	}
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid refresh token"), "POST", "/api/auth/refresh", refreshBody("unknown"))
}

func TestReplayKillsTheSession(t *testing.T) {
	srv, c := inMemory(t)
	old := srv.SignIn("ada@example.com")
	other := srv.SignIn("ada@example.com")
	next := parse[tokenBody](t, c.do("POST", "/api/auth/refresh", refreshBody(old.RefreshToken)).body)

	invalid := realError("UNAUTHORIZED", "Invalid refresh token")
	c.expect(401, jsonType, invalid, "POST", "/api/auth/refresh", refreshBody(old.RefreshToken))
	c.expect(401, jsonType, realError("UNAUTHORIZED", "Session revoked or expired"), "GET", "/api/user", "", bearer(next.AccessToken))
	c.expect(401, jsonType, invalid, "POST", "/api/auth/refresh", refreshBody(next.RefreshToken))
	if srv.Replays() != 1 {
		t.Errorf("Replays() = %d, want 1: the winner's token was never consumed", srv.Replays())
	}
	if got := c.do("GET", "/api/user", "", bearer(other.AccessToken)).StatusCode; got != 200 {
		t.Errorf("another session of the user: %d, want 200", got)
	}
}

func TestHundredConcurrentRefreshes(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		tokens := srv.SignIn("ada@example.com")
		statuses := make(chan int, 100)
		winners := make(chan tokenBody, 100)
		var group sync.WaitGroup
		for range 100 {
			req := c.request("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
			group.Go(func() {
				got, err := c.try(req)
				if err != nil {
					t.Error(err)
					return
				}
				statuses <- got.StatusCode
				if got.StatusCode == 200 {
					winners <- parse[tokenBody](t, got.body)
				}
			})
		}
		group.Wait()
		close(statuses)
		count := map[int]int{}
		for status := range statuses {
			count[status]++
		}
		if count[200] != 1 || count[401] != 99 {
			t.Fatalf("statuses = %v, want one 200 and 99 401", count)
		}
		if srv.Replays() != 99 {
			t.Errorf("Replays() = %d, want 99", srv.Replays())
		}
		winner := <-winners
		if got := c.do("GET", "/api/user", "", bearer(winner.AccessToken)).StatusCode; got != 401 {
			t.Errorf("the winner's access token: %d, want 401, for the losers killed the session", got)
		}
		if got := srv.Applied()["POST /api/auth/refresh"]; got != 1 {
			t.Errorf("applied %d times, want 1", got)
		}
	})
}

func TestSuspendedOrganizationKeepsTheSession(t *testing.T) {
	srv, c := inMemory(t)
	tokens := srv.SignIn("ada@example.com")
	srv.SuspendOrg("acme")
	for range 2 {
		c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid refresh token"), "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
	}
	if srv.Replays() != 0 {
		t.Errorf("Replays() = %d, want 0", srv.Replays())
	}
	srv.ActivateOrg("acme")
	if got := c.do("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken)); got.StatusCode != 200 {
		t.Errorf("after reactivation: %d %s", got.StatusCode, got.body)
	}
}

func TestLostMembershipStopsRefresh(t *testing.T) {
	srv, c := inMemory(t)
	tokens := srv.SignIn("ada@example.com")
	srv.SetRole("acme", "ada@example.com", "")
	if got := c.do("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken)).StatusCode; got != 401 {
		t.Errorf("refresh = %d, want 401", got)
	}
	srv.SetRole("acme", "ada@example.com", "member")
	if got := c.do("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken)).StatusCode; got != 200 {
		t.Errorf("refresh = %d, want 200", got)
	}
}

func TestExpireAccessTokens(t *testing.T) {
	srv, c := inMemory(t)
	tokens := srv.SignIn("ada@example.com")
	srv.ExpireAccessTokens()
	c.expect(401, jsonType, realError("JWT_ERROR", "Invalid token"), "GET", "/api/user", "", bearer(tokens.AccessToken))
	next := parse[tokenBody](t, c.do("POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken)).body)
	if got := c.do("GET", "/api/user", "", bearer(next.AccessToken)).StatusCode; got != 200 {
		t.Errorf("a token issued later: %d, want 200", got)
	}
}

// The signature check has a leeway of a minute, the session row has none, so an
// expired token first looks revoked and then invalid.
func TestExpiryOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithTokenLife(time.Minute, time.Hour))
		tokens := srv.SignIn("ada@example.com")
		for _, tc := range []struct {
			after  time.Duration // since the step before
			status int
			want   string
		}{
			{59 * time.Second, 200, ""},
			{time.Second, 401, realError("UNAUTHORIZED", "Session revoked or expired")},
			{time.Minute, 401, realError("UNAUTHORIZED", "Session revoked or expired")},
			{time.Second, 401, realError("JWT_ERROR", "Invalid token")},
		} {
			time.Sleep(tc.after)
			got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken))
			if got.StatusCode != tc.status || tc.want != "" && !like(got.body, tc.want) {
				t.Errorf("at %v: %d %s, want %d %s", time.Now(), got.StatusCode, got.body, tc.status, tc.want)
			}
		}
		time.Sleep(time.Hour)
		c.expect(401, jsonType, realError("UNAUTHORIZED", "Refresh token expired"), "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
		c.expect(401, jsonType, realError("UNAUTHORIZED", "Invalid refresh token"), "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
	})
}

func TestShortLivesAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t, authostest.WithTokenLife(100*time.Millisecond, time.Hour))
		tokens := srv.SignIn("ada@example.com")
		time.Sleep(99 * time.Millisecond)
		if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).StatusCode; got != 200 {
			t.Errorf("before the end: %d, want 200", got)
		}
		time.Sleep(time.Millisecond)
		if got := c.do("GET", "/api/user", "", bearer(tokens.AccessToken)).StatusCode; got != 401 {
			t.Errorf("at the end: %d, want 401", got)
		}
	})
}
