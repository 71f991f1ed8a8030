package authostest

import (
	"crypto/hmac"
	"crypto/sha1" // what authenticator apps speak
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (t *table) mfaRoutes() {
	t.add("GET", "/api/user/mfa/status", bearer, (*call).mfaStatus)
	t.add("POST", "/api/user/mfa/setup", bearer, (*call).setupMFA)
	t.add("POST", "/api/user/mfa/verify", bearer, (*call).enableMFA)
	t.add("DELETE", "/api/user/mfa", bearer, (*call).disableMFA)
	t.add("POST", "/api/user/mfa/backup-codes/regenerate", bearer, (*call).regenerateBackupCodes)
}

const (
	codeLife        = 30 * time.Second // of a one-time code
	backupCodeCount = 10
)

// secondFactor is what a user has set up. Whether it is asked for is in user.mfa.
type secondFactor struct {
	secret []byte // nil when nothing was set up
	backup []string
}

// presents checks a one-time code of an enrolled user, or a backup code, which is
// used up. The code that everybody has is mfaCode.
func (u *user) presents(code string, now time.Time) bool {
	if u.factor.matches(code, now) {
		return true
	}
	i := slices.Index(u.factor.backup, code)
	if i >= 0 {
		u.factor.backup = slices.Delete(u.factor.backup, i, i+1)
	}
	return i >= 0
}

// matches accepts the current code of the secret and its neighbors in time.
func (f secondFactor) matches(code string, now time.Time) bool {
	if code == mfaCode {
		return true
	}
	for _, skew := range []time.Duration{0, -codeLife, codeLife} {
		if f.secret != nil && code == f.codeAt(now.Add(skew)) {
			return true
		}
	}
	return false
}

// codeAt computes the code of a moment (RFC 6238, section 4; RFC 4226, section 5.3).
func (f secondFactor) codeAt(at time.Time) string {
	mac := hmac.New(sha1.New, f.secret)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/int64(codeLife/time.Second)) // a hash takes everything
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}

func (s *Server) newBackupCodes() []string {
	codes := make([]string, backupCodeCount)
	for i := range codes {
		codes[i] = strings.ToUpper(s.randomHex(4))
	}
	return codes
}

type mfaStatus struct {
	Enabled        bool `json:"enabled"`
	HasBackupCodes bool `json:"has_backup_codes"`
}

func (u *user) mfaStatus() mfaStatus {
	return mfaStatus{u.mfa, len(u.factor.backup) > 0}
}

func (c *call) mfaStatus() response {
	return jsonResponse(http.StatusOK, c.user.mfaStatus())
}

// setupMFA turns off what was on: the old secret is gone with the first response.
func (c *call) setupMFA() response {
	c.user.mfa = false
	c.user.factor = secondFactor{secret: c.s.randomBytes(20)}
	c.applied = true
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(c.user.factor.secret)
	uri := "otpauth://totp/AuthOS:" + url.PathEscape(c.user.Email) + "?secret=" + secret + "&issuer=AuthOS"
	return jsonResponse(http.StatusOK, struct {
		Secret    string `json:"secret"`
		QRCodeSVG string `json:"qr_code_svg"`
		QRCodeURI string `json:"qr_code_uri"`
	}{secret, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`, uri})
}

// enableMFA calls a wrong code a 400 where signing in calls it a 401.
func (c *call) enableMFA() response {
	in, bad := decode[struct {
		Code string `json:"code"`
	}](c, plainJSON)
	u := c.user
	switch {
	case bad != nil:
		return *bad
	case u.factor.secret == nil && !u.mfa:
		return c.badRequest("MFA has not been set up")
	case u.mfa:
		return c.badRequest("MFA is already enabled")
	case !u.factor.matches(in.Code, c.now):
		return c.invalid("code", "INVALID_VALUE", "Invalid TOTP code")
	}
	u.mfa, u.factor.backup = true, c.s.newBackupCodes()
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Enabled     bool     `json:"enabled"`
		BackupCodes []string `json:"backup_codes"`
	}{true, u.factor.backup})
}

func (c *call) disableMFA() response {
	c.user.dropMFA()
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "MFA disabled successfully"})
}

func (u *user) dropMFA() { u.mfa, u.factor = false, secondFactor{} }

func (c *call) regenerateBackupCodes() response {
	if !c.user.mfa {
		return c.badRequest("MFA is not enabled")
	}
	c.user.factor.backup = c.s.newBackupCodes()
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		BackupCodes []string `json:"backup_codes"`
	}{c.user.factor.backup})
}
