package authos_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

// Refresh: when, how often, and what becomes of the calls that need it.

func TestDeadTokenResponses(t *testing.T) {
	flat := func(code, text string) reply {
		return reply{status: 401, body: fmt.Sprintf(`{"error":%q,"error_code":%q,"timestamp":"2026-05-20T12:00:00+00:00"}`, text, code)}
	}
	nested := func(code, text, more string) reply {
		return reply{
			status: 401, body: fmt.Sprintf(`{"error":{"code":%q,"message":%q%s}}`, code, text, more),
			header: map[string]string{"WWW-Authenticate": `Bearer realm="authos", error="invalid_token", error_description="` + text + `"`},
		}
	}
	const user, password, setup, logout = "GET /api/user", "POST /api/user/change-password", "POST /api/user/mfa/verify", "POST /api/auth/logout"
	for _, tc := range []struct {
		name, call string
		response   reply
		dead       bool
	}{
		{"JWT_ERROR", user, flat("JWT_ERROR", "Invalid token"), true},
		{"TOKEN_EXPIRED", user, flat("TOKEN_EXPIRED", "Token expired"), true},
		{"revoked or expired", user, flat("UNAUTHORIZED", "Session revoked or expired"), true},
		{"wrong profile", user, flat("UNAUTHORIZED", "Token profile is not valid for the AuthOS API"), true},
		{"nested EXPIRED_TOKEN", user, nested("EXPIRED_TOKEN", "expired", ""), true},
		{"nested INVALID_TOKEN", user, nested("INVALID_TOKEN", "expired", `,"details":{"reason":"token_expired"}`), true},
		{"nested UNAUTHORIZED", user, nested("UNAUTHORIZED", "no", ""), true},
		{"plain text", "GET /api/platform/tiers", reply{status: 401, body: "Not authenticated"}, true},
		{"empty", user, reply{status: 401}, true},
		{"HTML", user, reply{status: 401, body: "<html>401</html>"}, true},
		{"unknown route", "GET /x/thing", flat("UNAUTHORIZED", "no"), true},
		{"with status 200", user, reply{status: 200, body: flat("TOKEN_EXPIRED", "Token expired").body}, true},
		{"header did not arrive", user, flat("UNAUTHORIZED", "Missing or invalid Authorization header"), false},
		{"403", user, reply{status: 403, body: flat("FORBIDDEN", "no").body}, false},

		{"wrong current password", password, flat("UNAUTHORIZED", "Current password is incorrect"), false},
		{"password, plain 401", password, reply{status: 401}, false},
		{"password, JWT_ERROR", password, flat("JWT_ERROR", "Invalid token"), true},
		{"password, TOKEN_EXPIRED", password, flat("TOKEN_EXPIRED", "Token expired"), true},
		{"password, revoked", password, flat("UNAUTHORIZED", "Session revoked or expired"), true},
		{"password, nested EXPIRED_TOKEN", password, nested("EXPIRED_TOKEN", "expired", ""), true},
		{"password, nested INVALID_TOKEN", password, nested("INVALID_TOKEN", "bad", ""), true},
		{"wrong code", setup, flat("UNAUTHORIZED", "Invalid MFA code"), false},
		{"sign-out", logout, flat("UNAUTHORIZED", "no"), false},
		{"sign-in", "POST /api/auth/login", flat("UNAUTHORIZED", "Invalid email or password"), false},
		{"sign-in, JWT_ERROR", "POST /api/auth/mfa/verify", flat("JWT_ERROR", "Invalid token"), false},
		{"second factor", "POST /api/auth/mfa/verify", flat("UNAUTHORIZED", "Invalid MFA code"), false},
		{"API key", "GET /api/service/info", flat("UNAUTHORIZED", "Invalid API key"), false},
		{"device flow", "POST /auth/token", flat("UNAUTHORIZED", "Invalid client"), false},
		{"SCIM", "GET /scim/v2/Users", reply{status: 401}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sessionScript(func(seenRequest) reply { return tc.response })
				c := localClient(t, srv, authos.WithTokens(oldTokens))
				method, path, _ := strings.Cut(tc.call, " ")
				var in any
				if method == "POST" {
					in = map[string]string{}
				}
				var resp authos.Response
				err := c.Do(t.Context(), method, path, in, nil, authos.WithResponse(&resp))
				if tc.dead {
					noError(t, "the call", err)
					equal(t, "refreshes, sends", [2]int{srv.count(refreshPath), srv.count(path)}, [2]int{1, 2})
					// a refresh spends no retry
					equal(t, "Refreshed, Attempts", fmt.Sprint(resp.Refreshed, resp.Attempts), "true 1")
					equal(t, "held", heldTokens(t, c).AccessToken, "new")
					return
				}
				api, ok := errors.AsType[*authos.APIError](err)
				if !ok || api.StatusCode != tc.response.status || errors.Is(err, authos.ErrSessionExpired) {
					t.Errorf("error = %v, want the response as it came", err)
				}
				equal(t, "refreshes, sends", [2]int{srv.count(refreshPath), srv.count(path)}, [2]int{0, 1})
				equal(t, "held", heldTokens(t, c), oldTokens)
			})
		})
	}
}

// The same with the fake's own change-password, in both contracts.
func TestChangePassword(t *testing.T) {
	for _, options := range newerContracts {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t, options...)
			srv.AddUser(adaEmail, "correct horse")
			c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
			change := func(current string) error {
				return c.Do(t.Context(), "POST", "/api/user/change-password",
					map[string]string{"current_password": current, "new_password": "battery staple"}, nil)
			}
			if err := change("wrong"); !errors.Is(err, authos.CodeUnauthorized) {
				t.Errorf("wrong password: %v, want 401 UNAUTHORIZED", err)
			}
			equal(t, "refreshes", refreshCount(srv), 0)
			srv.ExpireAccessTokens()
			if err := change("wrong"); !errors.Is(err, authos.CodeUnauthorized) || errors.Is(err, authos.ErrSessionExpired) {
				t.Errorf("wrong password with a dead token: %v, want 401 UNAUTHORIZED", err)
			}
			equal(t, "refreshes", refreshCount(srv), 1)
			noError(t, "change", change("correct horse"))
			equal(t, "refreshes", refreshCount(srv), 1)
		})
	}
}

func TestRefreshIsNotRefreshedItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sessionScript(func(seenRequest) reply { return reply{status: 401, body: deadTokenBody} })
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		if _, err := c.Auth.Refresh(t.Context(), "other"); !errors.Is(err, authos.ErrUnauthenticated) {
			t.Errorf("Refresh = %v, want the 401", err)
		}
		equal(t, "requests", len(srv.requests()), 1)
		equal(t, "held", heldTokens(t, c), oldTokens)
	})
}

// A 401 for a token that is not the one held any more is met with the one held.
func TestLate401IsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sessionScript(func(r seenRequest) reply {
			if r.path == "/x/slow" {
				return reply{status: 401, body: deadTokenBody, took: time.Minute}
			}
			return reply{status: 401, body: deadTokenBody}
		})
		c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRetry(authos.RetryPolicy{AttemptTimeout: -1}))
		slow := make(chan error, 1)
		go func() { slow <- c.Do(t.Context(), "POST", "/x/slow", nil, nil) }()
		time.Sleep(time.Second)
		noError(t, "Get", getUser(t, c))
		noError(t, "the slow call", <-slow)
		equal(t, "refreshes", srv.count(refreshPath), 1)
		equal(t, "sends of the slow call", srv.count("/x/slow"), 2)
	})
}

func TestUncured401(t *testing.T) {
	stubborn := func(wait time.Duration) *script {
		n := 0
		return &script{respond: func(r seenRequest) reply {
			switch {
			case r.path == refreshPath:
				n++
				return reply{status: 200, body: pairBody(fmt.Sprintf("a%d", n), fmt.Sprintf("r%d", n+1))}
			case r.path == "/x/good" && r.auth != "old":
				return reply{status: 200, body: `{}`}
			default:
				return reply{status: 401, body: deadTokenBody, took: wait}
			}
		}}
	}
	is401 := func(t *testing.T, err error) {
		t.Helper()
		if api, ok := errors.AsType[*authos.APIError](err); !ok || api.StatusCode != 401 || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("error = %v, want the 401", err)
		}
	}
	t.Run("in a row", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := stubborn(0)
			c := localClient(t, srv, authos.WithTokens(oldTokens))
			for range 5 {
				is401(t, getUser(t, c))
			}
			equal(t, "refreshes", srv.count(refreshPath), 1)
			noError(t, "another call", c.Do(t.Context(), "GET", "/x/good", nil, nil))
			// Each kind of call has its refresh, and none takes another's away.
			for range 3 {
				is401(t, c.Do(t.Context(), "GET", "/x/other", nil, nil))
				is401(t, getUser(t, c))
			}
			equal(t, "refreshes", srv.count(refreshPath), 2)
			time.Sleep(time.Hour + time.Second) // an expired token is another matter
			is401(t, getUser(t, c))
			equal(t, "refreshes", srv.count(refreshPath), 3)
		})
	})
	t.Run("of the tokens before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := stubborn(0)
			c := localClient(t, srv, authos.WithTokens(oldTokens))
			is401(t, getUser(t, c))
			is401(t, getUser(t, c))
			equal(t, "refreshes", srv.count(refreshPath), 1)
			noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "old", RefreshToken: "another"}))
			noError(t, "another call", c.Do(t.Context(), "GET", "/x/good", nil, nil))
			equal(t, "refreshes", srv.count(refreshPath), 2)
			is401(t, getUser(t, c)) // which may help this user
			equal(t, "refreshes", srv.count(refreshPath), 3)
		})
	})
	t.Run("at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := stubborn(0)
			c := localClient(t, lateResponses(srv, 50*time.Millisecond), authos.WithTokens(oldTokens))
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() { is401(t, getUser(t, c)) })
			}
			group.Wait()
			equal(t, "refreshes", srv.count(refreshPath), 1)
		})
	})
	t.Run("after another call's refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := stubborn(2 * time.Second)
			c := localClient(t, srv, authos.WithTokens(oldTokens))
			go func() { noError(t, "the other call", c.Do(t.Context(), "GET", "/x/good", nil, nil)) }()
			time.Sleep(time.Second)
			is401(t, getUser(t, c)) // its first 401 comes when there are new tokens already
			equal(t, "sends", srv.count("/api/user"), 2)
			equal(t, "refreshes", srv.count(refreshPath), 1)
		})
	})
	t.Run("while the session is in doubt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := stubborn(0)
			c := localClient(t, srv, authos.WithTokens(oldTokens))
			is401(t, getUser(t, c))
			response := srv.respond
			srv.respond = func(r seenRequest) reply {
				if r.path == refreshPath {
					return reply{err: connectionReset()}
				}
				return response(r)
			}
			sessionUncertain(t, c.Do(t.Context(), "GET", "/x/other", nil, nil))
			sessionUncertain(t, getUser(t, c)) // not an error of the layers' own
		})
	})
	t.Run("the same access token again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := &script{respond: func(r seenRequest) reply {
				if r.path == refreshPath {
					return reply{status: 200, body: pairBody("old", "r1")}
				}
				return reply{status: 401, body: deadTokenBody}
			}}
			c := localClient(t, srv, authos.WithTokens(oldTokens))
			for range 3 {
				is401(t, getUser(t, c))
			}
			equal(t, "refreshes", srv.count(refreshPath), 1)
		})
	})
	t.Run("every token dies on the way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			srv := &script{respond: func(r seenRequest) reply {
				if r.path == refreshPath {
					n++
					return reply{status: 200, body: fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r%d","expires_in":1}`, n, n+1)}
				}
				return reply{status: 401, body: deadTokenBody, took: 2 * time.Second}
			}}
			c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRefreshBefore(-1))
			is401(t, getUser(t, c))
			equal(t, "refreshes", n, 2)
		})
	})
	t.Run("a refreshed token that died on the way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			srv := &script{respond: func(r seenRequest) reply {
				if r.path == refreshPath {
					n++
					return reply{status: 200, body: fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r","expires_in":1}`, n)}
				}
				if r.auth == "a2" {
					return reply{status: 200, body: userBody}
				}
				return reply{status: 401, body: deadTokenBody, took: 2 * time.Second}
			}}
			c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRefreshBefore(-1))
			noError(t, "Get", getUser(t, c))
			equal(t, "refreshes", n, 2)
		})
	})
}

// A life is told in whole seconds. A token that is refused within its last one may have ended: that
// is no reason to leave the call alone.
func TestTokenEndsSoonerThanTold(t *testing.T) {
	for _, tc := range []struct {
		told      int // seconds
		refused   time.Duration
		refreshes int
	}{{1, time.Millisecond, 2}, {1, time.Second, 2}, {3, 2 * time.Second, 2}, {3, 2*time.Second - time.Nanosecond, 1}} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			srv := &script{respond: func(r seenRequest) reply {
				switch {
				case r.path == refreshPath:
					n++
					return reply{status: 200, body: fmt.Sprintf(`{"access_token":"a%d","refresh_token":"r","expires_in":%d}`, n, tc.told)}
				case r.auth == "a2":
					return reply{status: 200, body: userBody}
				}
				return reply{status: 401, body: deadTokenBody, took: tc.refused}
			}}
			err := getUser(t, localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRefreshBefore(-1)))
			if (err == nil) != (tc.refreshes == 2) {
				t.Errorf("told %d s, refused after %v: Get = %v", tc.told, tc.refused, err)
			}
			equal(t, "refreshes", n, tc.refreshes)
		})
	}
}

func TestNoRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signInFor(srv, adaEmail)
		tokens.RefreshToken = ""
		tokens.ExpiresAt = time.Now().Add(time.Second)
		c := localClient(t, srv.Transport(), authos.WithTokens(tokens))
		time.Sleep(time.Minute)
		srv.ExpireAccessTokens()
		for range 3 {
			err := getUser(t, c)
			if _, session := errors.AsType[*authos.SessionError](err); session || !errors.Is(err, authos.CodeJWTError) {
				t.Errorf("Get = %v, want the 401 as it came", err)
			}
		}
		equal(t, "refreshes", refreshCount(srv), 0)
		equal(t, "sends", srv.Count("GET", "/api/user"), 3)
	})
}

func TestRefreshTokenOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signIn(srv, adaEmail)
		tokens.AccessToken = ""
		c := localClient(t, srv.Transport(), authos.WithTokens(tokens))
		for _, refreshed := range []bool{true, false} {
			var resp authos.Response
			_, err := c.User.Get(t.Context(), authos.WithResponse(&resp))
			noError(t, "Get", err)
			equal(t, "Refreshed", resp.Refreshed, refreshed)
		}
		equal(t, "sends", srv.Count("GET", "/api/user"), 2) // refreshed before sending
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

func TestWaitersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		quick, err := c.With(authos.WithRetry(authos.RetryPolicy{MaxElapsed: 3 * time.Second}))
		noError(t, "With", err)
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 10 * time.Second})
		start := time.Now()
		post := func(ctx context.Context, c *authos.Client) error {
			return c.Do(ctx, "PATCH", "/api/user", map[string]string{"email": adaEmail}, nil)
		}
		leave := errors.New("the user closed the window")
		var group sync.WaitGroup
		call := func(name string, after time.Duration, check func(error), ctx context.Context, c *authos.Client) {
			group.Go(func() {
				check(post(ctx, c))
				equal(t, name+" took", time.Since(start), after)
			})
			synctest.Wait()
		}
		leader, cancelLeader := context.WithCancelCause(t.Context())
		call("the leader", time.Second, func(err error) {
			if !errors.Is(err, context.Canceled) || !errors.Is(err, leave) || errors.Is(err, authos.ErrOutcomeUnknown) || errors.Is(err, authos.ErrNetwork) {
				t.Errorf("the leader's error = %v, want its cancellation, and nothing unknown", err)
			}
			if api, ok := errors.AsType[*authos.APIError](err); !ok || api.StatusCode != 401 {
				t.Errorf("the leader's error = %v, want its own 401 in it", err)
			}
		}, leader, c)
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		call("a waiter with a deadline", 2*time.Second, func(err error) {
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, authos.ErrOutcomeUnknown) {
				t.Errorf("error = %v, want the deadline, and nothing unknown", err)
			}
			if api, ok := errors.AsType[*authos.APIError](err); ok {
				t.Errorf("error = %v has the response %v, but nothing was sent", err, api)
			}
		}, short, c)
		call("a waiter with MaxElapsed", 3*time.Second, func(err error) {
			if e, ok := errors.AsType[*authos.NetworkError](err); !ok || !e.Timeout() || errors.Is(err, authos.ErrOutcomeUnknown) {
				t.Errorf("error = %v, want a timeout, and nothing unknown", err)
			}
		}, t.Context(), quick)
		call("a patient waiter", 10*time.Second, func(err error) { noError(t, "its call", err) }, t.Context(), c)
		time.AfterFunc(time.Second, func() { cancelLeader(leave) })
		group.Wait()
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

// The 401 that a refresh has dealt with is not what a later failure is about.
func TestFailureAfterRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: "/api/user", Skip: 1, Kind: authostest.ResetBefore})
		err := c.Do(t.Context(), "PATCH", "/api/user", map[string]string{"email": adaEmail}, nil, authos.WithIdempotent())
		if !errors.Is(err, authos.ErrNetwork) || !errors.Is(err, authos.ErrOutcomeUnknown) || errors.Is(err, authos.ErrUnauthenticated) {
			t.Errorf("error = %v, want a network error whose outcome is unknown, and not ErrUnauthenticated", err)
		}
	})
}

func TestRefreshAheadOfExpiry(t *testing.T) {
	for _, tc := range []struct {
		name               string
		life, before, skew time.Duration
		at                 time.Duration // when the refresh is due; 0: not before the end
	}{
		{"a fifth of a short life", time.Minute, 0, 0, 48 * time.Second},
		{"30 s of a long one", time.Hour, 0, 0, time.Hour - 30*time.Second},
		{"server ahead", time.Hour, 0, 3 * time.Hour, time.Hour - 30*time.Second},
		{"server behind", time.Hour, 0, -3 * time.Hour, time.Hour - 30*time.Second},
		{"5 min", time.Hour, 5 * time.Minute, 0, 55 * time.Minute},
		{"more than a fifth", time.Hour, 50 * time.Minute, 0, 48 * time.Minute},
		{"never", time.Hour, -1, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(tc.life, 24*time.Hour), authostest.WithClockSkew(tc.skew))
				tokens := signInFor(srv, adaEmail)
				tokens.AccessToken = "" // the first refresh's response is what tells the life
				c := localClient(t, srv.Transport(), authos.WithTokens(tokens), authos.WithRefreshBefore(tc.before))
				noError(t, "Get", getUser(t, c))
				equal(t, "ExpiresAt", time.Until(heldTokens(t, c).ExpiresAt), tc.life)
				due := tc.at
				if due == 0 {
					due = tc.life - time.Nanosecond
				}
				time.Sleep(due - time.Nanosecond)
				noError(t, "Get", getUser(t, c))
				equal(t, "refreshes before", refreshCount(srv), 1)
				time.Sleep(time.Nanosecond)
				noError(t, "Get", getUser(t, c))
				noError(t, "Get", getUser(t, c))
				if tc.at == 0 {
					equal(t, "refreshes", refreshCount(srv), 1)
					time.Sleep(time.Minute)
					noError(t, "Get", getUser(t, c))
					equal(t, "refreshes", refreshCount(srv), 2)
					all := srv.Requests()
					equal(t, "what the server refused first", all[len(all)-3].Status, 401)
					return
				}
				equal(t, "refreshes", refreshCount(srv), 2)
				for _, r := range srv.Requests() {
					if r.Status == 401 {
						t.Errorf("%s %s was refused", r.Method, r.Path)
					}
				}
			})
		})
	}
}

func TestFailureAheadOfExpiryIsTolerated(t *testing.T) {
	for name, fault := range map[string]authostest.Fault{
		"reset": {Kind: authostest.ResetBefore}, "502": {Status: 502}, "refused": {Status: 401, Body: refusedBody},
		"429 for long": {Status: 429, Header: http.Header{"Retry-After": {"3600"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
				c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)), authos.WithRefreshBefore(10*time.Minute))
				noError(t, "Get", getUser(t, c))
				fault.Path = refreshPath
				srv.Fault(fault)
				time.Sleep(50 * time.Minute)
				for range 10 {
					noError(t, "Get", getUser(t, c))
					time.Sleep(59 * time.Second)
				}
				equal(t, "refreshes", refreshCount(srv), 1) // once per token
			})
		})
	}
}

// What the refresh met, and what that means for the session. The token dies 10 s after the refresh
// that is lost.
func TestRefreshInDoubt(t *testing.T) {
	page := "<html><body>Bad Gateway</body></html>"
	for _, tc := range []struct {
		name  string
		fault authostest.Fault
		taken bool          // the server has taken the refresh token
		took  time.Duration // until the attempt is given up
	}{
		{"reset before", authostest.Fault{Kind: authostest.ResetBefore}, false, 0},
		{"reset after", authostest.Fault{Kind: authostest.ResetAfter}, true, 0},
		{"truncated", authostest.Fault{Kind: authostest.TruncateBody}, true, 0},
		{"no response", authostest.Fault{Kind: authostest.Hang}, false, 5 * time.Second},
		{"no response after", authostest.Fault{Kind: authostest.HangAfter}, true, 5 * time.Second},
		{"408", authostest.Fault{Status: 408}, false, 0},
		{"AuthOS's own 408", authostest.Fault{Status: 408, Body: `{"error":"x","error_code":"REQUEST_TIMEOUT","timestamp":"2026-05-20T12:00:00+00:00"}`}, false, 0},
		{"500", authostest.Fault{Status: 500, Body: `{"error":"x","error_code":"DATABASE_ERROR","timestamp":"2026-05-20T12:00:00+00:00"}`}, false, 0},
		{"502", authostest.Fault{Status: 502, Body: page}, false, 0},
		{"503", authostest.Fault{Status: 503}, false, 0},
		{"503 that names a time", authostest.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}, Body: `{"error":"x","error_code":"SERVICE_UNAVAILABLE"}`}, false, 0},
		{"500 that calls itself retryable", authostest.Fault{Status: 500, Body: `{"error":{"code":"X","message":"x","retry":{"retryable":true}}}`}, false, 0},
		{"504", authostest.Fault{Status: 504, Body: page}, false, 0},
		{"HTML 200", authostest.Fault{Status: 200, Body: page}, false, 0},
		{"empty 200", authostest.Fault{Status: 200}, false, 0},
		{"200 without tokens", authostest.Fault{Status: 200, Body: `{}`}, false, 0},
		{"200 cut short", authostest.Fault{Status: 200, Body: `{"access_token":"x","refresh_to`}, false, 0},
		{"pre-auth token", authostest.Fault{Status: 200, Body: pairBody(testJWT("authos-mfa-preauth+jwt"), "x")}, false, 0},
		{"larger than 16 MiB", authostest.Fault{Status: 200, Body: strings.Repeat("x", 17<<20)}, false, 0},
		{"redirect", authostest.Fault{Status: 307, Header: http.Header{"Location": {"/api/auth/refresh"}}}, false, 0},
		{"a proxy's 404", authostest.Fault{Status: 404, Body: "404 page not found"}, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if overHTTP == "1" && strings.HasPrefix(tc.name, "larger") {
				t.Skip("a pipe holds nothing: TLS says good-bye on it to a server that writes")
			}
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(50*time.Second, 24*time.Hour))
				c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)),
					authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 5 * time.Second}))
				noError(t, "Get", getUser(t, c))
				tc.fault.Path, tc.fault.Times = refreshPath, 1
				srv.Fault(tc.fault)
				time.Sleep(40 * time.Second)
				sent := time.Now()
				if tc.taken {
					// the access token died with the refresh token
					sessionUncertain(t, getUser(t, c))
				} else {
					for range 3 {
						noError(t, "Get while the token works", getUser(t, c))
					}
				}
				equal(t, "the refresh took", time.Since(sent), tc.took)
				time.Sleep(11*time.Second - tc.took)
				e := uncertainError(t, getUser(t, c))
				equal(t, "RetryAt", e.RetryAt.Sub(sent), 35*time.Second)
				time.Sleep(time.Until(e.RetryAt) - time.Nanosecond)
				sessionUncertain(t, getUser(t, c))
				equal(t, "refreshes until then", refreshCount(srv), 1)
				time.Sleep(time.Nanosecond)
				err := getUser(t, c)
				equal(t, "refreshes", refreshCount(srv), 2)
				if !tc.taken {
					noError(t, "Get afterwards", err)
					equal(t, "replays", srv.Replays(), 0)
					return
				}
				sessionOver(t, err)
				equal(t, "replays", srv.Replays(), 1)
				sessionOver(t, getUser(t, c))
				equal(t, "refreshes", refreshCount(srv), 2)
			})
		})
	}
}

func TestDoubtEndsWithNewerTokensInTheStore(t *testing.T) {
	for _, after := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			store := &testStore{}
			tokens := signIn(srv, adaEmail)
			c := localClient(t, srv.Transport(), authos.WithTokens(tokens), authos.WithTokenStore(store))
			noError(t, "Get", getUser(t, c))
			srv.ExpireAccessTokens()
			srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
			sessionUncertain(t, getUser(t, c))
			fresh, err := localClient(t, srv.Transport()).Auth.Refresh(t.Context(), tokens.RefreshToken)
			noError(t, "another process's Refresh", err)
			store.put(fresh)
			time.Sleep(after)
			noError(t, "Get", getUser(t, c))
			equal(t, "held", heldTokens(t, c).AccessToken, fresh.AccessToken)
			equal(t, "refreshes", refreshCount(srv), 2) // the lost one and the other process's
			equal(t, "replays", srv.Replays(), 0)
		})
	}
}

func TestRefreshRetriedWhenItDidNotArrive(t *testing.T) {
	limited := reply{status: 429, body: "Too Many Requests! Wait for 2s", header: map[string]string{"X-Ratelimit-After": "2"}}
	for _, tc := range []struct {
		name     string
		failures []reply
		gaps     []time.Duration // the least between two refreshes
	}{
		{"refused dial", []reply{{err: dialRefused()}, {err: dialRefused()}}, []time.Duration{0, 0}},
		// the header is cut off
		{"429", []reply{limited, limited}, []time.Duration{3 * time.Second, 3 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				srv := &script{respond: func(r seenRequest) reply {
					switch {
					case r.path == refreshPath && len(at) < len(tc.failures):
						at = append(at, r.at)
						return tc.failures[len(at)-1]
					case r.path == refreshPath:
						at = append(at, r.at)
						return reply{status: 200, body: pairBody("new", "r2")}
					case r.auth == "new":
						return reply{status: 200, body: userBody}
					}
					return reply{status: 401, body: deadTokenBody}
				}}
				c := localClient(t, srv, authos.WithTokens(oldTokens))
				noError(t, "Get", getUser(t, c))
				equal(t, "refreshes", len(at), len(tc.failures)+1)
				for i, gap := range tc.gaps {
					if got := at[i+1].Sub(at[i]); got < gap || got > gap+gap/5+time.Second {
						t.Errorf("gap %d = %v, want about %v", i, got, gap)
					}
				}
			})
		})
	}
}

func TestRefreshGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(r seenRequest) reply {
			if r.path == refreshPath {
				return reply{err: dialRefused()}
			}
			return reply{status: 401, body: deadTokenBody}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 3}),
			authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		e := uncertainError(t, getUser(t, c))
		if !errors.Is(e, authos.ErrNetwork) || time.Until(e.RetryAt) < time.Second || time.Until(e.RetryAt) > 2*time.Second {
			t.Errorf("error = %v, RetryAt in %v, want a network error, and 1 s", e, time.Until(e.RetryAt))
		}
		equal(t, "refreshes", srv.count(refreshPath), 3)
		sessionUncertain(t, getUser(t, c)) // not tried call by call
		equal(t, "refreshes", srv.count(refreshPath), 3)
		time.Sleep(2 * time.Second)
		sessionUncertain(t, getUser(t, c))
		equal(t, "refreshes", srv.count(refreshPath), 6)
	})
}

// What does not have the shape of the server's own errors is somebody else's word, and ends no
// session.
func TestRefusalsWithoutAnAPIError(t *testing.T) {
	for _, response := range []reply{{status: 401}, {status: 401, body: "no"}, {status: 400, body: "bad"}, {status: 403, body: "<html>no</html>"}} {
		synctest.Test(t, func(t *testing.T) {
			srv := &script{respond: func(r seenRequest) reply {
				if r.path == refreshPath {
					return response
				}
				return reply{status: 401, body: deadTokenBody}
			}}
			sessionUncertain(t, getUser(t, localClient(t, srv, authos.WithTokens(oldTokens))))
		})
	}
}

// A refresh that the limiter refused holds the whole bucket back, and a wait that is too long is
// not waited out call by call.
func TestRefreshRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Status: 429, Header: http.Header{"Retry-After": {"300"}}})
		start := time.Now()
		e := uncertainError(t, getUser(t, c))
		if !errors.Is(e, authos.ErrRateLimited) {
			t.Errorf("error = %v, want ErrRateLimited", e)
		}
		if in := e.RetryAt.Sub(start); in < 300*time.Second || in > 302*time.Second {
			t.Errorf("RetryAt in %v, want 300 s", in)
		}
		for range 10 {
			sessionUncertain(t, getUser(t, c))
			time.Sleep(time.Second)
		}
		equal(t, "refreshes", refreshCount(srv), 1)
		_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"}, authos.WithoutRetry())
		if limited, ok := errors.AsType[*authos.RateLimitError](err); !ok || limited.API != nil {
			t.Errorf("Login = %v, want it held back", err)
		}
		time.Sleep(time.Until(e.RetryAt))
		noError(t, "Get", getUser(t, c))
	})
}

// The doubt is counted from the request, not from the wait at the gate before it.
func TestDoubtIsCountedFromSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: "/api/auth/login", Status: 429, Header: http.Header{"Retry-After": {"50"}}})
		_, _ = c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"}, authos.WithoutRetry())
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
		e := uncertainError(t, getUser(t, c))
		for _, r := range srv.Requests() {
			if r.Route == refreshPath {
				equal(t, "RetryAt after sending", e.RetryAt.Sub(r.Time), 35*time.Second)
			}
		}
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

func TestRefreshMeetsOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)),
			authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1, OpenTimeout: 200 * time.Second}))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Status: 502})
		start := time.Now()
		equal(t, "RetryAt", uncertainError(t, getUser(t, c)).RetryAt.Sub(start), 35*time.Second)
		time.Sleep(35 * time.Second)
		err := getUser(t, c)
		e := uncertainError(t, err)
		open, ok := errors.AsType[*authos.CircuitOpenError](err)
		if !ok || open.Group != "refresh" {
			t.Fatalf("error = %v, want the refresh's open circuit in it", err)
		}
		if d := e.RetryAt.Sub(open.RetryAt); d < 0 || d > 3*time.Second {
			t.Errorf("RetryAt = %v after the breaker's, want about the breaker's", d)
		}
		equal(t, "refreshes", refreshCount(srv), 1)
		time.Sleep(time.Until(e.RetryAt))
		noError(t, "Get", getUser(t, c))
	})
}

// Without an attempt timeout and without MaxElapsed a refresh ends all the same.
func TestRefreshAlwaysEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)),
			authos.WithRetry(authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: -1}))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Kind: authostest.Hang})
		start := time.Now()
		sessionUncertain(t, getUser(t, c))
		equal(t, "it took", time.Since(start), 35*time.Second)
	})
}

func TestSavedBeforeUse(t *testing.T) {
	for _, locking := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			store := newLockStore()
			tokens := signIn(srv, adaEmail)
			store.put(tokens)
			held := make(chan struct{})
			check := store.onSave
			store.onSave = func() error { <-held; return check() }
			var use authos.TokenStore = &store.testStore
			if locking {
				use = store
			} else {
				store.held = true // nothing to check
			}
			c := localClient(t, srv.Transport(), authos.WithTokenStore(use))
			srv.ExpireAccessTokens()
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() { noError(t, "Get", getUser(t, c)) })
			}
			synctest.Wait()
			equal(t, "refreshes", refreshCount(srv), 1)
			for _, r := range srv.Requests() {
				if a := r.Header.Get("Authorization"); a != "" && a != "Bearer "+tokens.AccessToken {
					t.Fatal("a new token was used before it was saved")
				}
			}
			equal(t, "held", heldTokens(t, c), tokens)
			close(held)
			group.Wait()
			equal(t, "stored", store.get(), heldTokens(t, c))
			equal(t, "saves without the lock", len(store.naked), 0)
		})
	}
}

func TestFailingSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		tokens := signIn(srv, adaEmail)
		store := &testStore{tokens: tokens}
		full := errors.New("disk full")
		store.onSave = func() error { return full }
		var log strings.Builder
		var seen refreshLog
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), seen.option(), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		// each refresh finds the older tokens in the store, and does not go back to them
		for i := range 3 {
			srv.ExpireAccessTokens()
			noError(t, "Get", getUser(t, c))
			equal(t, "refreshes", refreshCount(srv), i+1)
		}
		equal(t, "replays", srv.Replays(), 0)
		equal(t, "stored", store.get(), tokens)
		for _, e := range seen.all() {
			if e.Err != nil || !errors.Is(e.Unsaved, full) {
				t.Errorf("event = %+v, want Unsaved", e)
			}
		}
		if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "disk full") || strings.Contains(text, heldTokens(t, c).AccessToken) {
			t.Errorf("log = %s, want a warning about the save", text)
		}
		store.onSave = nil
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		equal(t, "stored", store.get(), heldTokens(t, c))
	})
}

// Tokens set on a client that has never read its store do not give way to what is there when saving
// them fails.
func TestFailingSaveOfSetTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{tokens: authos.Tokens{AccessToken: "stale", RefreshToken: "stale"}}
		store.onSave = func() error { return errors.New("disk full") }
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		if err := c.SetTokens(t.Context(), signIn(srv, adaEmail)); err == nil {
			t.Error("SetTokens = nil, want the store's error")
		}
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

func TestProcessesShareALockingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		tokens := signIn(srv, adaEmail)
		var seen refreshLog
		var clients []*authos.Client
		for range 5 {
			clients = append(clients, localClient(t, lateResponses(srv.Transport(), 20*time.Millisecond), authos.WithTokens(tokens), authos.WithTokenStore(store), seen.option()))
		}
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 200 * time.Millisecond})
		for round := range 3 {
			srv.ExpireAccessTokens()
			var group sync.WaitGroup
			for _, c := range clients {
				for range 20 {
					group.Go(func() { noError(t, "Get", getUser(t, c)) })
				}
			}
			group.Wait()
			equal(t, "refreshes", refreshCount(srv), round+1)
		}
		equal(t, "replays", srv.Replays(), 0)
		equal(t, "saves without the lock", len(store.naked), 0)
		adopted := 0
		for _, e := range seen.all() {
			equal(t, "refresh's error", e.Err, nil)
			if e.Adopted {
				adopted++
			}
		}
		equal(t, "adopted", adopted, 3*(len(clients)-1))
	})
}

func TestNoLockNoRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		store.failure = errors.New("redis: connection refused")
		e := uncertainError(t, getUser(t, c))
		if !errors.Is(e, store.failure) {
			t.Errorf("error = %v, want the lock's in it", e)
		}
		store.failure = nil
		store.onLoad = func() error { return errors.New("cannot read") }
		sessionUncertain(t, getUser(t, c)) // locked, but it is not known what the others did
		equal(t, "refreshes", refreshCount(srv), 0)
		store.onLoad = nil
		noError(t, "Get", getUser(t, c))
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

// Tokens found in the store may be dead as well, which says nothing against refreshing them.
func TestFoundTokensMayBeDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{tokens: signIn(srv, adaEmail)}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		store.put(signIn(srv, adaEmail))
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		equal(t, "refreshes, sends", [2]int{refreshCount(srv), srv.Count("GET", "/api/user")}, [2]int{1, 4})
	})
}

// A store that nobody else writes is no reason to lose the session when it cannot be read.
func TestUnreadablePlainStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{tokens: signIn(srv, adaEmail)}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		store.onLoad = func() error { return errors.New("cannot read") }
		sessionUncertain(t, getUser(t, c)) // not known who we are
		store.onLoad = nil
		noError(t, "Get", getUser(t, c))
		store.onLoad = func() error { return errors.New("cannot read") }
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
	})
}

func TestSeedIsForAnEmptyStore(t *testing.T) {
	for _, locking := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			seed, kept := signIn(srv, adaEmail), signIn(srv, "bob@example.com")
			store := newLockStore()
			var use authos.TokenStore = store
			if !locking {
				use = &store.testStore
			}
			c := localClient(t, srv.Transport(), authos.WithTokens(seed), authos.WithTokenStore(use))
			equal(t, "held", heldTokens(t, c), seed)
			equal(t, "stored", store.get(), seed)
			equal(t, "stored with whose they are", store.tokens.Origin != "", true)
			store.put(kept)
			again := localClient(t, srv.Transport(), authos.WithTokens(seed), authos.WithTokenStore(use))
			equal(t, "held where the store has others", heldTokens(t, again), kept)
		})
	}
}

// An empty store is asked again: somebody else may sign in. A seed is used once: it would be a
// replay later.
func TestSignInAndOutElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{}
		seed := signIn(srv, adaEmail)
		c := localClient(t, srv.Transport(), authos.WithTokens(seed), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		noError(t, "Delete", store.Delete(t.Context())) // another process signs out
		srv.RevokeSessions(adaEmail)
		sessionOver(t, getUser(t, c))
		err := getUser(t, c)
		if api, ok := errors.AsType[*authos.APIError](err); !ok || api.StatusCode != 401 {
			t.Errorf("signed out: %v, want the server's 401", err)
		}
		equal(t, "refreshes", refreshCount(srv), 0)
		store.put(signIn(srv, adaEmail)) // and in again
		noError(t, "Get", getUser(t, c))
	})
}

func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, lateResponses(srv.Transport(), 50*time.Millisecond), authos.WithTokens(signIn(srv, adaEmail)))
		srv.RevokeSessions(adaEmail)
		var mu sync.Mutex
		var errs []*authos.SessionError
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				e := overError(t, getUser(t, c))
				mu.Lock()
				defer mu.Unlock()
				if slices.Contains(errs, e) {
					t.Error("two calls share an error")
				}
				errs = append(errs, e)
				if !errors.Is(e, authos.CodeUnauthorized) {
					t.Errorf("error = %v, want the refusal's code", e)
				}
				if api, ok := errors.AsType[*authos.APIError](e); !ok || api.Path != "/api/user" || api.Message != "Session revoked or expired" {
					t.Errorf("error = %v has %v, want this call's own 401", e, api)
				}
			})
		}
		group.Wait()
		equal(t, "refreshes", refreshCount(srv), 1)
		sent := len(srv.Requests())
		for range 10 {
			e := overError(t, getUser(t, c))
			if api, ok := errors.AsType[*authos.APIError](e); ok {
				t.Errorf("%v has a response, but nothing was sent: %v", e, api)
			}
		}
		equal(t, "requests", len(srv.Requests()), sent)
		noError(t, "SetTokens", c.SetTokens(t.Context(), signIn(srv, adaEmail)))
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c)) // these can be refreshed
	})
}

func TestRefusalEndsWithTheStore(t *testing.T) {
	for _, locking := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			store := newLockStore()
			store.put(signIn(srv, adaEmail))
			var use authos.TokenStore = store
			if !locking {
				use = &store.testStore
			}
			c := localClient(t, srv.Transport(), authos.WithTokenStore(use))
			srv.RevokeSessions(adaEmail)
			sessionOver(t, getUser(t, c))
			locks := store.locks
			sessionOver(t, getUser(t, c))
			equal(t, "locks taken to fail fast", store.locks-locks, 0)
			store.put(signIn(srv, adaEmail))
			noError(t, "Get", getUser(t, c))
			equal(t, "refreshes", refreshCount(srv), 1)
		})
	}
}

func TestRefusalCoolsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		srv.SuspendOrg("acme")
		srv.ExpireAccessTokens()
		for i := range 3 {
			sessionOver(t, getUser(t, c))
			equal(t, "refreshes", refreshCount(srv), i+1)
			time.Sleep(5*time.Minute - time.Nanosecond)
			sessionOver(t, getUser(t, c))
			equal(t, "refreshes", refreshCount(srv), i+1)
			time.Sleep(time.Nanosecond)
		}
		srv.ActivateOrg("acme")
		noError(t, "Get", getUser(t, c))
		equal(t, "replays", srv.Replays(), 0)
	})
}

func TestRefusalKeepsItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(r seenRequest) reply {
			if r.path == refreshPath {
				return reply{status: 403, body: `{"error":"Organization is not active. Current status: suspended","error_code":"FORBIDDEN"}`}
			}
			return reply{status: 401, body: deadTokenBody}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		err := getUser(t, c)
		sessionOver(t, err)
		if !errors.Is(err, authos.CodeOrganizationNotActive) || !errors.Is(err, authos.ErrForbidden) {
			t.Errorf("error = %v, want the refusal's code and kind", err)
		}
		if api, _ := errors.AsType[*authos.APIError](err); api == nil || api.Code != authos.CodeJWTError {
			t.Errorf("error = %v has %v, want the call's own JWT_ERROR", err, api)
		}
	})
}

// Fast failures are not refreshes: the observer and the log are not flooded with them.
func TestFastFailuresAreNotObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		var seen refreshLog
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)), seen.option())
		srv.RevokeSessions(adaEmail)
		for range 10 {
			sessionOver(t, getUser(t, c))
		}
		if events := seen.all(); len(events) != 1 || !errors.Is(events[0].Err, authos.ErrSessionExpired) {
			t.Errorf("events = %v, want one", events)
		}
	})
}

// Several processes, some of which die, freeze, or lose their store. Each client here stands for a
// process.

// holdLock takes the lock for another process.
func holdLock(t *testing.T, store authos.LockingTokenStore) (unlock func()) {
	t.Helper()
	unlock, err := store.Lock(t.Context())
	noError(t, "Lock", err)
	return unlock
}

// A refresh that is not needed yet waits for the lock by itself: the calls go on with the token
// that still works.
func TestEarlyRefreshDoesNotWaitForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := newLockStore()
		store.put(signInFor(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		time.Sleep(time.Hour - 20*time.Second) // early enough for the token to outlive the test
		unlock := holdLock(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.User.Get(ctx)
		noError(t, "the first Get", err)
		equal(t, "it waited", time.Since(start), time.Second)
		for range 5 {
			noError(t, "Get", getUser(t, c))
		}
		equal(t, "they waited", time.Since(start), time.Second)
		equal(t, "refreshes without the lock", refreshCount(srv), 0)
		unlock()
		synctest.Wait()
		equal(t, "refreshes", refreshCount(srv), 1)
		noError(t, "Get", getUser(t, c))
		equal(t, "stored", store.get(), heldTokens(t, c))
		// eight calls, one refresh: nothing was sent again
		equal(t, "requests", srv.Count("", ""), 9)
	})
}

// A call whose token is still good does wait for the server's response to the refresh it has begun:
// the token dies with that.
func TestEarlyRefreshWaitsForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)))
		noError(t, "Get", getUser(t, c))
		time.Sleep(time.Hour - 20*time.Second)
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 5 * time.Second})
		start := time.Now()
		noError(t, "Get", getUser(t, c))
		equal(t, "it waited", time.Since(start), 5*time.Second)
		equal(t, "requests", srv.Count("", ""), 3)
	})
}

// A process that saved and then died or froze has left new tokens, though not the lock.
func TestTokensOfAHolderThatNeverUnlocks(t *testing.T) {
	for name, before := range map[string]bool{"saved before": true, "saved while others wait": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				tokens := signIn(srv, adaEmail)
				store.put(tokens)
				var seen refreshLog
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), seen.option())
				noError(t, "Get", getUser(t, c))
				_ = holdLock(t, store)
				fresh, err := localClient(t, srv.Transport()).Auth.Refresh(t.Context(), tokens.RefreshToken)
				noError(t, "the holder's Refresh", err)
				start, want := time.Now(), time.Duration(0)
				if before {
					store.put(fresh)
				} else {
					// looked at after 20, 60, 140, 300, 620 and 1260 ms, then every second
					want = 3260 * time.Millisecond
					time.AfterFunc(2300*time.Millisecond, func() { store.put(fresh) })
				}
				noError(t, "Get", getUser(t, c))
				equal(t, "it took", time.Since(start), want)
				equal(t, "held", heldTokens(t, c), anywhere(fresh))
				equal(t, "refreshes", refreshCount(srv), 1)
				if events := seen.all(); len(events) != 1 || !events[0].Adopted || events[0].Err != nil {
					t.Errorf("events = %+v, want one that is adopted", events)
				}
			})
		})
	}
}

func filePath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "tokens.json")
}

func fileStore(t *testing.T, path string) *filestore.TokenStore {
	t.Helper()
	s, err := filestore.New(path)
	noError(t, "filestore.New", err)
	return s
}

// fileDieLocked leaves what a process leaves that dies while it holds the lock.
func fileDieLocked(t *testing.T, path string) {
	t.Helper()
	mark := fmt.Sprintf(`{"since":%q,"pid":4711}`, time.Now().UTC().Format(time.RFC3339Nano))
	noError(t, "WriteFile", os.WriteFile(path+".held", []byte(mark), 0o600))
}

// A holder that lives and does nothing: calls fail in time and say who holds the lock, those with a
// good token go on, and all do in the end.
func TestFrozenHolder(t *testing.T) {
	path := filePath(t)
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		noError(t, "Save", fileStore(t, path).Save(t.Context(), signIn(srv, adaEmail)))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(fileStore(t, path)))
		noError(t, "Get", getUser(t, c))
		unlock := holdLock(t, fileStore(t, path))
		noError(t, "Get with a good token", getUser(t, c))
		srv.ExpireAccessTokens()
		start := time.Now()
		e := uncertainError(t, getUser(t, c))
		equal(t, "it waited", time.Since(start), 70*time.Second)
		if !errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Error(), fmt.Sprintf("last taken by process %d", os.Getpid())) {
			t.Errorf("error = %v, want the deadline, and the holder", e)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.User.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("Get = %v, want the caller's deadline", err)
		}
		equal(t, "refreshes without the lock", refreshCount(srv), 0)
		unlock()
		noError(t, "Get", getUser(t, c))
		equal(t, "refreshes", refreshCount(srv), 1)
	})
}

// A process dies between sending a refresh and saving its response. The next one tries the access
// token, waits until the server is done with what the dead one sent, and presents the refresh token
// once.
func TestDeathDuringRefresh(t *testing.T) {
	for name, taken := range map[string]bool{"taken by the server": true, "not taken": false} {
		t.Run(name, func(t *testing.T) {
			path := filePath(t)
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
				tokens := signInFor(srv, adaEmail)
				dead := fileStore(t, path)
				noError(t, "Save", dead.Save(t.Context(), tokens))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(fileStore(t, path)))
				noError(t, "Get", getUser(t, c))
				time.Sleep(time.Hour - 20*time.Second) // the refresh ahead of expiry is due
				fileDieLocked(t, path)
				died := time.Now()
				if taken {
					_, err := localClient(t, srv.Transport()).Auth.Refresh(t.Context(), tokens.RefreshToken)
					noError(t, "the dead process's refresh", err)
				}
				srv.Reset()
				err := getUser(t, c)
				first := srv.Requests()[0]
				equal(t, "first tried", first.Path+" "+first.Header.Get("Authorization"), "/api/user Bearer "+tokens.AccessToken)
				if taken { // the access token that was refused before its expiry says so
					sessionUncertain(t, err)
					equal(t, "replays", srv.Replays(), 0)
					time.Sleep(5 * time.Minute)
					sessionOver(t, getUser(t, c)) // the last resort
				} else {
					noError(t, "Get", err)
					equal(t, "refreshes so far", refreshCount(srv), 0)
					time.Sleep(time.Minute)
					noError(t, "Get", getUser(t, c))
				}
				var presented []time.Duration
				for _, r := range srv.Requests() {
					if r.Route == refreshPath {
						presented = append(presented, r.Time.Sub(died))
					}
				}
				if len(presented) != 1 || presented[0] < 45*time.Second {
					t.Errorf("the refresh token was presented after %v, want once, after 45 s or later", presented)
				}
				equal(t, "replays", srv.Replays(), map[bool]int{true: 1, false: 0}[taken])
				if !taken {
					return
				}
				// Somebody signs in again; the others find that.
				fresh := signInFor(srv, adaEmail)
				noError(t, "Save", fileStore(t, path).Save(t.Context(), fresh))
				noError(t, "Get", getUser(t, c))
				equal(t, "held", heldTokens(t, c).AccessToken, fresh.AccessToken)
			})
		})
	}
}

// sessionStall makes a store's Load slow.
type sessionStall struct {
	*lockStore
	stall []time.Duration // of the Loads under the lock, in turn
	got   []time.Time     // when the lock was got
}

func (s *sessionStall) Lock(ctx context.Context) (func(), error) {
	unlock, err := s.lockStore.Lock(ctx)
	if err == nil {
		s.got = append(s.got, time.Now())
	}
	return unlock, err
}

func (s *sessionStall) Load(ctx context.Context) (authos.Tokens, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held && len(s.stall) > 0 {
		d := s.stall[0]
		s.stall = s.stall[1:]
		time.Sleep(d)
	}
	return s.lockStore.Load(ctx)
}

// A lock that expires by itself may be somebody else's when its holder wakes up. Nothing is sent
// under one that was got more than 4 s ago.
func TestNothingIsSentUnderAnOldLock(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stall []time.Duration
		locks int
		fails bool
	}{
		{"at once", nil, 1, false},
		{"in time", []time.Duration{4 * time.Second}, 1, false},
		{"too late", []time.Duration{4*time.Second + time.Nanosecond}, 2, false},
		{"frozen twice", []time.Duration{9 * time.Second, 9 * time.Second}, 3, false},
		{"always", []time.Duration{9 * time.Second, 9 * time.Second, 9 * time.Second, 9 * time.Second}, 4, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := &sessionStall{lockStore: newLockStore(), stall: tc.stall}
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1}))
				srv.ExpireAccessTokens()
				err := getUser(t, c)
				equal(t, "locks", len(store.got), tc.locks)
				equal(t, "saves without the lock", len(store.naked), 0)
				if tc.fails {
					sessionUncertain(t, err)
					equal(t, "refreshes", refreshCount(srv), 0)
					return
				}
				noError(t, "Get", err)
				equal(t, "refreshes", refreshCount(srv), 1)
				for _, r := range srv.Requests() {
					if old := r.Time.Sub(store.got[tc.locks-1]); r.Route == refreshPath && (old < 0 || old > 4*time.Second) {
						t.Errorf("the refresh token was presented %v after the lock was got", old)
					}
				}
			})
		})
	}
}

// While a refresh waits to be tried again, the lock is free.
func TestNoLockWhileWaiting(t *testing.T) {
	for name, fault := range map[string]authostest.Fault{
		"429":  {Path: refreshPath, Times: 1, Status: 429, Header: http.Header{"Retry-After": {"20"}}},
		"gate": {Path: "/api/auth/login", Times: 1, Status: 429, Header: http.Header{"Retry-After": {"20"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, c))
				srv.ExpireAccessTokens()
				srv.Fault(fault)
				if name == "gate" {
					_, _ = c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"}, authos.WithoutRetry())
				}
				start := time.Now()
				waiter := make(chan error, 1)
				go func() { waiter <- getUser(t, c) }()
				time.Sleep(10 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
				defer cancel()
				unlock, err := store.Lock(ctx)
				noError(t, "Lock while the refresh waits", err)
				unlock()
				noError(t, "Get", <-waiter)
				if took := time.Since(start); took < 20*time.Second || took > 25*time.Second {
					t.Errorf("it took %v, want the 20 s that were asked for", took)
				}
				equal(t, "replays", srv.Replays(), 0)
			})
		})
	}
}

// A refresh without a response may be at work. Its process keeps the lock so that no other presents
// the refresh token meanwhile.
func TestDoubtKeepsTheLock(t *testing.T) {
	for name, kind := range map[string]authostest.FaultKind{"taken": authostest.ResetAfter, "not taken": authostest.ResetBefore} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				a := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				b := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, a))
				noError(t, "Get", getUser(t, b))
				srv.ExpireAccessTokens()
				srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: kind})
				start := time.Now()
				sessionUncertain(t, getUser(t, a))
				noError(t, "Close", a.Close()) // does not free the lock
				err := getUser(t, b)
				equal(t, "the other process waited", time.Since(start), 35*time.Second)
				equal(t, "refreshes", refreshCount(srv), 2)
				if kind == authostest.ResetBefore {
					noError(t, "Get", err)
					equal(t, "replays", srv.Replays(), 0)
				} else {
					sessionOver(t, err)
				}
			})
		})
	}
}

// Signing in again, or out, makes the doubt pointless.
func TestSetTokensInDoubt(t *testing.T) {
	for _, next := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			store := newLockStore()
			store.put(signIn(srv, adaEmail))
			c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
			srv.ExpireAccessTokens()
			srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetAfter})
			sessionUncertain(t, getUser(t, c))
			start := time.Now()
			var tokens authos.Tokens
			if next {
				tokens = signIn(srv, adaEmail)
			}
			noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
			equal(t, "it took", time.Since(start), 0)
			equal(t, "stored", store.get(), tokens)
			time.Sleep(time.Minute)
			unlock := holdLock(t, store) // released once, not twice
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := store.Lock(ctx); err == nil {
				t.Error("the lock is given away while it is held")
			}
			unlock()
		})
	}
}

// SetTokens comes while the refresh that will end in doubt is on its way.
func TestSetTokensBeforeDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Delay: 10 * time.Second, Kind: authostest.ResetAfter})
		go func() { _ = getUser(t, c) }()
		time.Sleep(time.Second)
		start, tokens := time.Now(), signIn(srv, adaEmail)
		noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		// under the lock that the refresh has got
		equal(t, "it took", time.Since(start), 0)
		equal(t, "stored", store.get(), tokens)
	})
}

// Tokens that are held already are saved all the same: they may be missing in the store.
func TestSetTokensSavesWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		tokens := signIn(srv, adaEmail)
		for range 2 {
			noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
			equal(t, "stored", store.get(), tokens)
			store.put(authos.Tokens{})
		}
	})
}

// Tokens that could not be saved are tried again, and nobody else refreshes with what the store
// still has.
func TestUnsavedTokensKeepTheLock(t *testing.T) {
	for _, tc := range []struct {
		name string
		down time.Duration
	}{
		{"for 5 s", 5 * time.Second},
		{"for 34 s", 34 * time.Second},
		{"for a minute", time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t)
				store := newLockStore()
				store.put(signIn(srv, adaEmail))
				var log strings.Builder
				a := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				b := localClient(t, srv.Transport(), authos.WithTokenStore(store))
				noError(t, "Get", getUser(t, a))
				noError(t, "Get", getUser(t, b))
				srv.ExpireAccessTokens()
				start, check := time.Now(), store.onSave
				store.onSave = func() error {
					if time.Since(start) < tc.down {
						return errors.New("disk full")
					}
					return check()
				}
				noError(t, "Get", getUser(t, a))
				equal(t, "it took", time.Since(start), 0)
				err := getUser(t, b)
				noError(t, "the other process's Get", err)
				equal(t, "it took", time.Since(start).Round(time.Second), tc.down)
				equal(t, "replays", srv.Replays(), 0)
				equal(t, "refreshes", refreshCount(srv), 1)
				equal(t, "held", heldTokens(t, b), heldTokens(t, a))
				equal(t, "saves without the lock", len(store.naked), 0)
				noError(t, "Close", a.Close())
				equal(t, "the log says so", strings.Contains(log.String(), "saved after all"), true)
			})
		})
	}
}

// The end of the client is the last chance to save.
func TestCloseSavesUnsavedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		store.onSave = func() error { return errors.New("disk full") }
		noError(t, "Get", getUser(t, c))
		held := heldTokens(t, c)
		store.onSave = nil
		start := time.Now()
		noError(t, "Close", c.Close())
		equal(t, "it took", time.Since(start), 0)
		equal(t, "stored", store.get(), held)
		holdLock(t, store)()
	})
}

// Tokens that were set meanwhile are not overwritten by those that could not be saved.
func TestUnsavedTokensGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		store.onSave = func() error { return errors.New("disk full") }
		noError(t, "Get", getUser(t, c))
		store.onSave = nil
		start, tokens := time.Now(), signIn(srv, adaEmail)
		noError(t, "SetTokens", c.SetTokens(t.Context(), tokens))
		if took := time.Since(start); took > time.Second {
			t.Errorf("SetTokens took %v, want no more than a second", took)
		}
		time.Sleep(time.Minute)
		equal(t, "stored", store.get(), tokens)
		equal(t, "held", heldTokens(t, c), tokens)
	})
}

// So are those that were found in the store meanwhile, put there without our lock: it may have
// expired.
func TestUnsavedTokensGiveWayToTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		store.onSave = func() error { return errors.New("disk full") }
		noError(t, "Get", getUser(t, c))
		srv.ExpireAccessTokens()
		tokens := signIn(srv, adaEmail)
		store.put(tokens)
		noError(t, "Get", getUser(t, c))
		equal(t, "held", heldTokens(t, c), tokens)
		store.onSave = nil
		time.Sleep(time.Minute)
		equal(t, "stored", store.get(), tokens)
	})
}

// While the store is down the tokens held are used as long as they are good, nothing is refreshed,
// and that is said once.
func TestStoreIsDown(t *testing.T) {
	down := errors.New("connection refused")
	for name, brk := range map[string]func(*lockStore){
		"Lock": func(s *lockStore) { s.failure = down },
		"Load": func(s *lockStore) { s.onLoad = func() error { return down } },
		"both": func(s *lockStore) { s.failure, s.onLoad = down, func() error { return down } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
				store := newLockStore()
				store.put(signInFor(srv, adaEmail))
				var log strings.Builder
				var seen refreshLog
				c := localClient(t, srv.Transport(), authos.WithTokenStore(store), seen.option(), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				noError(t, "Get", getUser(t, c))
				brk(store)
				time.Sleep(time.Hour - 20*time.Second)
				for range 5 {
					noError(t, "Get with a good token", getUser(t, c))
				}
				time.Sleep(20 * time.Second)
				for range 5 {
					if e := uncertainError(t, getUser(t, c)); !errors.Is(e, down) {
						t.Errorf("error = %v, want the store's in it", e)
					}
				}
				equal(t, "refreshes", refreshCount(srv), 0)
				if events := seen.all(); len(events) != 1 || !errors.Is(events[0].Err, down) || errors.Is(events[0].Err, authos.ErrSessionExpired) {
					t.Errorf("events = %+v, want one with the store's error", events)
				}
				warning := "nothing is refreshed without the token store"
				equal(t, "warnings", strings.Count(log.String(), warning), 1)
				store.failure, store.onLoad = nil, nil
				noError(t, "Get", getUser(t, c))
				equal(t, "refreshes", refreshCount(srv), 1)
				equal(t, "stored", store.get(), heldTokens(t, c))
				equal(t, "it is said to work again", strings.Count(log.String(), "token store works again"), 1)
				brk(store)
				srv.ExpireAccessTokens()
				sessionUncertain(t, getUser(t, c))
				equal(t, "warnings", strings.Count(log.String(), warning), 2)
			})
		})
	}
}

// A store that does not response at all costs a call with a good token a second, and only the
// first.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		store := newLockStore()
		store.put(signInFor(srv, adaEmail))
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store))
		noError(t, "Get", getUser(t, c))
		store.onLoad = func() error { time.Sleep(9 * time.Second); return errors.New("timeout") }
		time.Sleep(time.Hour - 25*time.Second)
		start := time.Now()
		for range 10 {
			noError(t, "Get", getUser(t, c))
		}
		equal(t, "they took", time.Since(start), time.Second)
	})
}

// Where the store holds tokens, the seed needs no lock.
func TestSeedDoesNotWaitForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		store.put(signIn(srv, adaEmail))
		_ = holdLock(t, store)
		start := time.Now()
		noError(t, "Get", getUser(t, localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithTokens(oldTokens))))
		equal(t, "it took", time.Since(start), 0)
	})
}

// Of several processes that find an empty store, the one that gets the lock first seeds it; the
// others take what is there then.
func TestSeedOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := newLockStore()
		seed, other := signIn(srv, adaEmail), signIn(srv, adaEmail)
		unlock := holdLock(t, store)
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithTokens(seed))
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		store.put(other)
		unlock()
		noError(t, "Get", <-waiter)
		equal(t, "held", heldTokens(t, c), other)
		equal(t, "stored", store.get(), other)
	})
}
