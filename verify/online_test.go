package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
)

// online is a verifier with an online check at a fake AuthOS in a bubble.
func online(t *testing.T, check verify.Online, test func(t *testing.T, srv *authostest.Server, v *verify.Verifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		v := newVerifier(t, srv.URL, srv.Transport(), verify.Config{Audience: verify.ServiceAudience("acme", "app"), Online: &check})
		test(t, srv, v)
	})
}

func TestOnlineCheck(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		var c verify.Claims
		for range 10 {
			var err error
			if c, err = v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			if c.CheckedAt.IsZero() || len(c.Permissions) == 0 || !c.HasPermission(c.Permissions[0]) || c.HasPermission("no such") {
				t.Fatalf("claims %+v", c)
			}
			time.Sleep(400 * time.Millisecond)
		}
		if n := srv.Count("GET", "/api/user"); n != 1 {
			t.Fatalf("%d checks within 4 s, want 1", n)
		}
		// A sign-out is seen when the response is five seconds old.
		srv.RevokeSessions("ada@example.com")
		time.Sleep(time.Second)
		for range 3 {
			_, err := v.Verify(t.Context(), token)
			checkRefused(t, err, verify.ErrRevoked, token)
		}
		if n := srv.Count("GET", "/api/user"); n != 2 {
			t.Fatalf("%d checks, want 2: a refusal is kept as well", n)
		}
		// The user's session was neither refreshed nor kept by the verifier's client.
		if n := srv.Count("POST", "/api/auth/refresh"); n != 0 {
			t.Errorf("%d refreshes of a session that is not ours", n)
		}
	})
}

func TestOnlineCheckSeesDemotion(t *testing.T) {
	online(t, verify.Online{For: time.Second}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		srv.AddPlatformOwner("root@example.com", "")
		owner := srv.AddPlatformOwner("ada@example.com", "")
		root, token := srv.SignIn("root@example.com").AccessToken, srv.SignIn("ada@example.com").AccessToken
		if c, err := v.Verify(t.Context(), token); err != nil || !c.IsPlatformOwner {
			t.Fatal(c, err)
		}
		admin, err := authos.New(srv.URL, authos.WithHTTPClient(&http.Client{Transport: srv.Transport()}),
			authos.WithTokens(authos.Tokens{AccessToken: root}))
		if err != nil {
			t.Fatal(err)
		}
		if err := admin.Do(t.Context(), http.MethodDelete, "/api/platform/owners/"+owner.ID, nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if c, err := v.Verify(t.Context(), token); err != nil || c.IsPlatformOwner {
			t.Fatalf("still a platform owner: %+v, %v", c, err)
		}
	})
}

// Many callers with a few tokens: one request for each, and every caller gets the response for its
// own.
func TestOnlineCheckIsSharedPerToken(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		srv.Fault(authostest.Fault{Path: "/api/user", Delay: time.Second})
		users := map[string]string{}
		for i := range 5 {
			email := fmt.Sprintf("user%d@example.com", i)
			users[email] = srv.SignIn(email).AccessToken
		}
		// The same user's other session is another token.
		users["user0@example.com "] = srv.SignIn("user0@example.com").AccessToken
		var group sync.WaitGroup
		for email, token := range users {
			for range 20 {
				group.Go(func() {
					c, err := v.Verify(t.Context(), token)
					if err != nil || email[:17] != c.Email {
						t.Errorf("%s got %s, %v", email, c.Email, err)
					}
				})
			}
		}
		group.Wait()
		if n := srv.Count("GET", "/api/user"); n != len(users) {
			t.Fatalf("%d checks of %d tokens", n, len(users))
		}
	})
}

// foreignResponses say nothing about a token: they are a proxy's, a gateway's or those of a wrong
// base URL, or AuthOS speaks of something else.
var foreignResponses = []struct {
	status int
	body   string
}{
	{403, "<html></html>"},
	{404, "<html></html>"},
	{429, "<html></html>"},
	{500, "<html></html>"},
	{503, "<html></html>"},
	{403, `{"error":"Insufficient permissions","error_code":"FORBIDDEN","timestamp":"2026-11-28T12:00:00+00:00"}`},
	{200, "<html>sign in to the proxy</html>"},
	{401, "<html>sign in to the proxy</html>"},
	{401, ""},
	{401, "Unauthorized"},
	{401, "null"},
	{401, "[]"},
	{401, `"UNAUTHORIZED"`},
	{401, `{}`},
	{401, `{"message":"Unauthorized"}`}, // Kong, AWS
	{401, `{"statusCode":401,"message":"Access denied"}`},
	{401, `{"error":"invalid_token","error_description":"no"}`}, // RFC 6750
	{401, `{"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}`},
	{401, `{"error":{"code":"InvalidAuthenticationToken","message":"no"}}`},
	{401, `{"error":"no","error_code":401}`},
	{401, `{"error":"no","error_code":"401"}`},
	{401, `{"error":"no","error_code":""}`},
	{401, `{"error":"no","error_code":null}`},
	{401, `{"error":"no","error_code":"_"}`},
	{401, `{"error":"no","error_code":"UNAUTHORIZED"`}, // cut
}

// AuthOS's own refusal is the server's word that the session is over, in both contracts.
func TestOnlineCheckRefused(t *testing.T) {
	for _, body := range []string{
		`{"error":"Session revoked or expired","error_code":"UNAUTHORIZED","timestamp":"2026-11-28T12:00:00+00:00"}`,
		`{"error":"JWT error","error_code":"JWT_ERROR","timestamp":"2026-11-28T12:00:00+00:00"}`,
		`{"error":{"code":"TOKEN_EXPIRED","message":"expired","request_id":"r1","timestamp":"2026-11-28T12:00:00Z"}}`,
	} {
		online(t, verify.Online{FailOpen: true}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
			token := srv.SignIn("ada@example.com").AccessToken
			srv.Fault(authostest.Fault{Path: "/api/user", Status: 401, Body: body})
			_, err := v.Verify(t.Context(), token)
			checkRefused(t, err, verify.ErrRevoked, token)
		})
	}
}

func TestOnlineCheckUnavailable(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("FailOpen=%t", open), func(t *testing.T) {
			online(t, verify.Online{FailOpen: open}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
				token := srv.SignIn("ada@example.com").AccessToken
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Fatal(err)
				}
				for _, foreign := range foreignResponses {
					end := srv.Fault(authostest.Fault{Path: "/api/user", Status: foreign.status, Body: foreign.body})
					time.Sleep(10 * time.Minute) // the circuit is closed again
					c, err := v.Verify(t.Context(), token)
					if open {
						if err != nil || c.Subject == "" || !c.CheckedAt.IsZero() || c.Permissions != nil {
							t.Fatalf("%+v: claims %+v, error %v", foreign, c, err)
						}
					} else {
						checkRefused(t, err, verify.ErrCheckUnavailable, token)
						if !errors.Is(err, verify.ErrUnavailable) || c.Subject != "" {
							t.Fatalf("%+v: claims %+v, error %v", foreign, c, err)
						}
					}
					end()
				}
				// Whether it fails open or not, a token that the server refuses is refused, and a
				// caller who leaves gets no claims.
				time.Sleep(10 * time.Minute)
				srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Kind: authostest.Hang})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := v.Verify(ctx, token)
				checkRefused(t, err, verify.ErrCheckUnavailable, token)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				srv.RevokeSessions("ada@example.com")
				_, err = v.Verify(t.Context(), token)
				checkRefused(t, err, verify.ErrRevoked, token)
			})
		})
	}
}

// A machine that was suspended uses no response from before.
func TestOnlineCheckAfterSuspension(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		for range 3 {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			verify.Suspend(v, 5*time.Second)
		}
		if n := srv.Count("GET", "/api/user"); n != 3 {
			t.Errorf("%d checks, want one after each suspension", n)
		}
	})
}

// A failure is not kept: the next token, and the same one, ask again.
func TestOnlineCheckFailureIsNotKept(t *testing.T) {
	online(t, verify.Online{Timeout: time.Second}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Kind: authostest.Hang})
		_, err := v.Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrCheckUnavailable, token)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	})
}

// In an outage the client's circuit breaker refuses at once, so that a backend is not slowed down
// by a check that cannot succeed.
func TestOnlineCheckInAnOutage(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		srv.Fault(authostest.Fault{Path: "/api/user", Kind: authostest.Hang})
		for range 3 {
			_, err := v.Verify(t.Context(), token)
			checkRefused(t, err, verify.ErrCheckUnavailable, token)
		}
		start := time.Now()
		for range 100 {
			_, err := v.Verify(t.Context(), token)
			checkRefused(t, err, verify.ErrCheckUnavailable, token)
			e, _ := errors.AsType[*verify.Error](err)
			if !errors.Is(err, authos.ErrCircuitOpen) || e.RetryAfter < time.Second || e.RetryAfter > 2*time.Minute {
				t.Fatalf("retry after %s: %v", e.RetryAfter, err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Fatalf("waited %s for an open circuit", waited)
		}
	})
}

// The server's response must be about the token's own user; if it is not, nobody is let in, not
// even where checks may fail.
func TestOnlineCheckIsAboutAnother(t *testing.T) {
	online(t, verify.Online{FailOpen: true}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		srv.Fault(authostest.Fault{Path: "/api/user", Status: 200, Body: `{"id":"somebody-else","email":"eve@example.com","permissions":["all"]}`})
		c, err := v.Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrCheckUnavailable, token)
		if c.Permissions != nil {
			t.Fatal(c)
		}
	})
}

// Nothing that is bad by itself reaches the server.
func TestOnlineCheckComesLast(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		srv.RequireMFA("ada@example.com")
		for _, token := range []string{
			srv.SignInTo("acme", "", "ada@example.com").AccessToken, "no token", signed(goodHeader(), goodClaims(time.Now()), firstKey()),
		} {
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, verify.ErrInvalidToken) {
				t.Fatal(err)
			}
		}
		expired := srv.SignIn("bob@example.com").AccessToken
		time.Sleep(25 * time.Hour)
		_, err := v.Verify(t.Context(), expired)
		checkRefused(t, err, verify.ErrExpired, expired)
		if n := srv.Count("", "/api/*"); n != 0 {
			t.Fatalf("%d requests", n)
		}
	})
}

// More tokens than are remembered: responses make room, and each caller still gets one.
func TestOnlineResponsesAreBounded(t *testing.T) {
	users := &source{body: `{"id":"user-1","email":"ada@example.com"}`}
	v := newVerifier(t, issuer, users, verify.Config{Audience: verify.AnyAudience(), Online: &verify.Online{For: time.Minute}})
	const tokens = 10_500
	for i := range tokens {
		if err := verify.Ask(t.Context(), v, fmt.Sprint("token", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := verify.Cached(v); n > 10_000 || n < 9_000 {
		t.Errorf("%d responses cached of %d tokens", n, tokens)
	}
	if n := users.requests(); n != tokens {
		t.Errorf("%d requests for %d tokens", n, tokens)
	}
}

func TestOnlineAfterClose(t *testing.T) {
	online(t, verify.Online{}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		token := srv.SignIn("ada@example.com").AccessToken
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := v.Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrCheckUnavailable, token)
	})
}
