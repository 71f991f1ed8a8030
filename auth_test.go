package authos_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// testJWT is a token with a header of this type.
func testJWT(typ string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"typ":"`+typ+`","alg":"RS256"}`) + "." + part(`{"sub":"u1"}`) + ".c2ln"
}

func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		srv.AddUser(adaEmail, "correct horse")
		c := localClient(t, srv.Transport())
		tokens, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app"})
		noError(t, "Login", err)
		equal(t, "installed", heldTokens(t, c), authos.Tokens{})
		equal(t, "life", time.Until(tokens.ExpiresAt), 24*time.Hour)
		ada, err := c.With(authos.WithTokens(tokens))
		noError(t, "With", err)
		noError(t, "Get", getUser(t, ada))
		_, err = c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "wrong"})
		if !errors.Is(err, authos.CodeUnauthorized) || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("wrong password: %v, want 401 UNAUTHORIZED", err)
		}
		fresh, err := c.Auth.Refresh(t.Context(), tokens.RefreshToken)
		noError(t, "Refresh", err)
		equal(t, "rotated", fresh.RefreshToken != tokens.RefreshToken && fresh.AccessToken != tokens.AccessToken, true)
	})
}

func TestLoginInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport())
		for _, p := range []authos.LoginParams{
			{}, {Email: adaEmail}, {Email: "ada", Password: "x"},
			{Email: adaEmail, Password: "x", ServiceSlug: "app"}, {Email: adaEmail, Password: "x", OrgSlug: "acme", RedirectURI: "https://x"},
		} {
			if _, err := c.Auth.Login(t.Context(), p); !errors.Is(err, authos.ErrInvalid) {
				t.Errorf("Login(%d bytes of address) = %v, want ErrInvalid", len(p.Email), err)
			}
		}
		if _, err := c.Auth.Refresh(t.Context(), " "); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Refresh = %v, want ErrInvalid", err)
		}
		equal(t, "requests", len(srv.Requests()), 0)
	})
}

func TestSecondFactor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		srv.AddUser(adaEmail, "correct horse")
		srv.RequireMFA(adaEmail)
		c := localClient(t, srv.Transport())
		tokens, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "correct horse"})
		e, ok := errors.AsType[*authos.MFARequiredError](err)
		if !ok || tokens != (authos.Tokens{}) || errors.Is(err, authos.ErrSessionExpired) {
			t.Fatalf("Login = %v, %v, want *MFARequiredError and no tokens", tokens, err)
		}
		equal(t, "its life", time.Until(e.ExpiresAt), 5*time.Minute)
		equal(t, "held", heldTokens(t, c), authos.Tokens{})
		var done struct {
			AccessToken string `json:"access_token"`
		}
		noError(t, "mfa/verify", c.Do(t.Context(), "POST", "/api/auth/mfa/verify",
			map[string]string{"preauth_token": e.PreAuthToken.Reveal(), "code": "123456"}, &done))
		equal(t, "signed in", done.AccessToken != "", true)
	})
}

func TestSignInResponses(t *testing.T) {
	pair := func(access, rest string) string { return fmt.Sprintf(`{"access_token":%q%s}`, access, rest) }
	for _, tc := range []struct {
		name, body string
		mfa        bool
		want       authos.Tokens // ExpiresAt from the year 0: a life
	}{
		{"pre-auth by its type", pair(testJWT("authos-mfa-preauth+jwt"), `,"refresh_token":"","expires_in":300`), true, authos.Tokens{}},
		{"pre-auth of another life", pair(testJWT("authos-mfa-preauth+jwt"), `,"refresh_token":"","expires_in":600`), true, authos.Tokens{}},
		{"pre-auth with a refresh token", pair(testJWT("authos-mfa-preauth+jwt"), `,"refresh_token":"r","expires_in":86400`), true, authos.Tokens{}},
		{"opaque, as it was", pair("opaque", `,"refresh_token":"","expires_in":300`), true, authos.Tokens{}},
		{"typ JWT, as it was", pair(testJWT("JWT"), `,"refresh_token":"","expires_in":300`), true, authos.Tokens{}},
		{"300 s with a refresh token", pair("opaque", `,"refresh_token":"r","expires_in":300`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r", ExpiresAt: time.Time{}.Add(5 * time.Minute)}},
		{"300 s of a management token", pair(testJWT("authos-management+jwt"), `,"expires_in":300`), false, authos.Tokens{AccessToken: testJWT("authos-management+jwt"), ExpiresAt: time.Time{}.Add(5 * time.Minute)}},
		{"no refresh_token", pair("opaque", `,"token_type":"Bearer","expires_in":900`), false, authos.Tokens{AccessToken: "opaque", ExpiresAt: time.Time{}.Add(15 * time.Minute)}},
		{"no expires_in", pair("opaque", `,"refresh_token":"r"`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r"}},
		{"null expires_in", pair("opaque", `,"refresh_token":"r","expires_in":null`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r"}},
		{"negative expires_in", pair("opaque", `,"refresh_token":"r","expires_in":-1`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r"}},
		{"half a second", pair("opaque", `,"refresh_token":"r","expires_in":0.5`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r", ExpiresAt: time.Time{}.Add(time.Second / 2)}},
		{"for ever", pair("opaque", `,"refresh_token":"r","expires_in":1e300`), false, authos.Tokens{AccessToken: "opaque", RefreshToken: "r", ExpiresAt: time.Time{}.Add(100 * 365 * 24 * time.Hour)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := localClient(t, &script{respond: func(seenRequest) reply { return reply{status: 200, body: tc.body} }})
				start := time.Now()
				got, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"})
				if _, mfa := errors.AsType[*authos.MFARequiredError](err); mfa != tc.mfa || !mfa && err != nil {
					t.Fatalf("Login = %v, want MFA %v", err, tc.mfa)
				}
				if !tc.want.ExpiresAt.IsZero() {
					tc.want.ExpiresAt = start.Add(tc.want.ExpiresAt.Sub(time.Time{}))
				}
				same := got.AccessToken == tc.want.AccessToken && got.RefreshToken == tc.want.RefreshToken && got.ExpiresAt.Equal(tc.want.ExpiresAt)
				if !same {
					t.Errorf("Login gives tokens until %v, want until %v", got.ExpiresAt, tc.want.ExpiresAt)
				}
			})
		})
	}
	t.Run("no access_token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := localClient(t, &script{respond: func(seenRequest) reply { return reply{status: 200, body: `{"expires_in":300}`} }})
			_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: adaEmail, Password: "x"})
			if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
				t.Errorf("Login = %v, want *DecodeError", err)
			}
		})
	})
}

// Responses to a refresh that do not say everything.
func TestRefreshResponses(t *testing.T) {
	for _, tc := range []struct {
		name, body, refresh string
		life                time.Duration
	}{
		{"everything", `{"access_token":"new","refresh_token":"r2","expires_in":60}`, "r2", time.Minute},
		{"no expires_in", `{"access_token":"new","refresh_token":"r2"}`, "r2", 0},
		{"no refresh_token", `{"access_token":"new","expires_in":60}`, "r1", time.Minute},
		{"empty refresh_token, 300 s", `{"access_token":"new","refresh_token":"","expires_in":300}`, "r1", 5 * time.Minute},
		{"life as text", `{"access_token":"new","refresh_token":"r2","expires_in":"60"}`, "r2", time.Minute},
		{"life of the wrong type", `{"access_token":"new","refresh_token":"r2","expires_in":[60]}`, "r2", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &script{respond: func(r seenRequest) reply {
					switch {
					case r.path == refreshPath:
						return reply{status: 200, body: tc.body}
					case r.auth == "new":
						return reply{status: 200, body: userBody}
					}
					return reply{status: 401, body: deadTokenBody}
				}}
				c := localClient(t, srv, authos.WithTokens(oldTokens))
				noError(t, "Get", getUser(t, c))
				want := authos.Tokens{AccessToken: "new", RefreshToken: tc.refresh}
				if tc.life > 0 {
					want.ExpiresAt = time.Now().Add(tc.life)
				}
				if got := heldTokens(t, c); got.RefreshToken != want.RefreshToken || !got.ExpiresAt.Equal(want.ExpiresAt) {
					t.Errorf("held %q until %v, want %q until %v", got.RefreshToken, got.ExpiresAt, want.RefreshToken, want.ExpiresAt)
				}
			})
		})
	}
	t.Run("Refresh keeps what was presented", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := localClient(t, &script{respond: func(seenRequest) reply {
				return reply{status: 200, body: `{"access_token":"new","expires_in":300}`}
			}})
			got, err := c.Auth.Refresh(t.Context(), "r1")
			noError(t, "Refresh", err)
			equal(t, "refresh token", got.RefreshToken, "r1")
		})
	})
}

func TestUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)))
		u, err := c.User.Get(t.Context())
		noError(t, "Get", err)
		if u.ID == "" || u.Email != adaEmail || u.OrgSlug != "acme" || u.ServiceSlug != "app" || u.CreatedAt.IsZero() || u.EmailVerifiedAt.IsZero() || len(u.Permissions) == 0 {
			t.Errorf("Get = %+v, want the whole profile", u)
		}
		u, err = c.User.Update(t.Context(), authos.UserUpdateParams{Email: new("lovelace@example.com")})
		noError(t, "Update", err)
		equal(t, "address", u.Email, "lovelace@example.com")
		equal(t, "applied", srv.Applied()["PATCH /api/user"], 1)
		if _, err := c.User.Update(t.Context(), authos.UserUpdateParams{Email: new("nobody")}); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Update = %v, want ErrInvalid", err)
		}
		srv.SignIn("bob@example.com")
		if _, err := c.User.Update(t.Context(), authos.UserUpdateParams{Email: new("bob@example.com")}); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Update = %v, want the server's 400", err)
		}
		srv.Fault(authostest.Fault{Path: "/api/user", Status: 200, Body: `{"email":"ada@example.com"}`})
		if _, ok := errors.AsType[*authos.DecodeError](getUser(t, c)); !ok {
			t.Error("a profile without an id is taken for one")
		}
	})
}

func TestLoginParamsDoNotPrint(t *testing.T) {
	p := authos.LoginParams{Email: "ada@example.com", Password: "correct horse"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		if got := fmt.Sprintf(verb, p); strings.Contains(got, "horse") || !strings.Contains(got, "ada@example.com") {
			t.Errorf("Sprintf(%q) = %s, want the address and no password", verb, got)
		}
	}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("", "params", p)
	if strings.Contains(b.String(), "horse") {
		t.Errorf("slog printed %s", b.String())
	}
}
