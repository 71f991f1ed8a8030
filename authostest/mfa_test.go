package authostest_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// oneTimeCode is what an authenticator app shows (RFC 6238).
func oneTimeCode(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

func TestMFASetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.AddUser("ada@example.com", "correct horse")
		auth := bearer(srv.SignIn("ada@example.com").AccessToken)
		status := func(want string) step {
			return step{auth: auth, method: "GET", path: "/api/user/mfa/status", status: 200, want: want}
		}
		verify := func(code string, status int, want string) step {
			return step{auth: auth, method: "POST", path: "/api/user/mfa/verify", body: `{"code":"` + code + `"}`, status: status, want: want}
		}
		regenerate := step{auth: auth, method: "POST", path: "/api/user/mfa/backup-codes/regenerate", status: 400, want: bad("MFA is not enabled")}
		setup := step{auth: auth, method: "POST", path: "/api/user/mfa/setup", status: 200}
		c.walk(
			status(`{"enabled":false,"has_backup_codes":false}`),
			verify("123456", 400, bad("MFA has not been set up")),
			regenerate,
		)
		secret := parse[struct{ Secret string }](t, c.walk(setup).body).Secret
		enabled := parse[struct {
			Enabled     bool
			BackupCodes []string `json:"backup_codes"`
		}](t, c.walk(
			status(`{"enabled":false,"has_backup_codes":false}`),
			verify("000000", 400, bad("Invalid TOTP code")), // a 400, not the 401 of the sign-in
			verify(oneTimeCode(t, secret, time.Now()), 200, ""),
		).body)
		if !enabled.Enabled || len(enabled.BackupCodes) == 0 {
			t.Fatalf("verify = %+v", enabled)
		}
		c.walk(verify("123456", 400, bad("MFA is already enabled")), status(`{"enabled":true,"has_backup_codes":true}`))

		signIn := func(code string, status int) {
			t.Helper()
			first := parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body)
			if first.RefreshToken != "" || first.ExpiresIn != 300 {
				t.Fatalf("login = %+v, want a pre-auth token", first)
			}
			c.walk(step{method: "POST", path: "/api/auth/mfa/verify", body: `{"preauth_token":"` + first.AccessToken + `","code":"` + code + `"}`, status: status})
		}
		signIn(oneTimeCode(t, secret, time.Now()), 200)
		signIn(oneTimeCode(t, secret, time.Now().Add(-30*time.Second)), 200)
		signIn(oneTimeCode(t, secret, time.Now().Add(-5*time.Minute)), 401)
		signIn(enabled.BackupCodes[0], 200)
		signIn(enabled.BackupCodes[0], 401) // used up
		signIn("123456", 200)

		regenerate.status, regenerate.want = 200, ""
		c.walk(regenerate)
		signIn(enabled.BackupCodes[1], 401)

		// Setting up again silently turns it off.
		c.walk(setup, status(`{"enabled":false,"has_backup_codes":false}`), verify("123456", 200, ""),
			step{auth: auth, method: "DELETE", path: "/api/user/mfa", status: 200, want: `{"success":true,"message":"<…>"}`},
			status(`{"enabled":false,"has_backup_codes":false}`))
	})
}

func TestPreAuthTokenDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.AddUser("ada@example.com", "correct horse")
		srv.RequireMFA("ada@example.com")
		first := parse[tokenBody](t, c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse"}`).body)
		verify := func(more string, status int, want string) step {
			return step{method: "POST", path: "/api/auth/mfa/verify", body: `{"preauth_token":"` + first.AccessToken + `"` + more + `}`, status: status, want: want}
		}
		c.walk(
			verify("", 422, missingField("code", fmt.Sprint(len(first.AccessToken)+20))),
			verify(`,"code":"1"`, 401, realError("UNAUTHORIZED", "Invalid MFA code")),
			verify(`,"code":"123456","device_code_id":"x"`, 400, ""),
		)
		time.Sleep(5*time.Minute + 61*time.Second)
		c.walk(verify(`,"code":"123456"`, 401, realError("JWT_ERROR", "Invalid token")))
	})
}
