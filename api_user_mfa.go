package authos

import (
	"context"
	"net/http"
)

// UserMFAService is the signed-in user's own second factor: codes of an authenticator app (TOTP,
// RFC 6238), and backup codes. Its routes share one small allowance per client address, which the
// client waits for.
type UserMFAService struct{ c *Client }

// MFASetup is what an authenticator app is set up with. All three hold the secret, which is shown
// once.
type MFASetup struct {
	Secret    Secret `json:"secret"`
	QRCodeSVG Secret `json:"qr_code_svg"`
	QRCodeURI Secret `json:"qr_code_uri"`
}

func (m *MFASetup) missing() string {
	if m.Secret.IsZero() {
		return "secret"
	}
	return ""
}

func (m *MFASetup) shown() bool { return !m.Secret.IsZero() }

// BackupCodes are codes that each replace one code of the app. They are shown once.
type BackupCodes []Secret

type backupCodesBody struct {
	BackupCodes BackupCodes `json:"backup_codes"`
}

func (b *backupCodesBody) missing() string {
	if len(b.BackupCodes) == 0 {
		return "backup_codes"
	}
	for _, code := range b.BackupCodes {
		if code.IsZero() {
			return "code in backup_codes"
		}
	}
	return ""
}

func (b *backupCodesBody) shown() bool { return len(b.BackupCodes) > 0 }

// Status reports whether the user has a second factor. GET /api/user/mfa/status; bearer; may be
// repeated; never stale.
func (s *UserMFAService) Status(ctx context.Context, opts ...RequestOption) (*MFAStatus, error) {
	return invoke[MFAStatus](ctx, s.c, request{
		method: http.MethodGet, template: "/api/user/mfa/status",
	}, opts)
}

// MFASetupParams say what Setup may do.
type MFASetupParams struct {
	// Replace starts over although a second factor is on. The server turns that off at once, before
	// the new one is enabled.
	Replace bool
}

// Setup begins with a second factor: it gives the secret for the app, whose first code goes to
// [UserMFAService.Enable]. POST /api/user/mfa/setup; bearer; never repeated once it may have
// arrived. A server that cannot encrypt secrets returns 500.
//
// The server turns a second factor that is on off, without a word. Setup therefore asks for the
// status first, unless p.Replace is set, and then fails with a [*ValidationError] that matches
// [CodeResourceAlreadyExists].
func (s *UserMFAService) Setup(ctx context.Context, p MFASetupParams, opts ...RequestOption) (*MFASetup, error) {
	if !p.Replace {
		status, err := s.Status(ctx, opts...)
		if err != nil {
			return nil, err
		}
		var in checks
		if status.Enabled {
			in.add("replace", CodeResourceAlreadyExists, "must be set: a second factor is on, and would be turned off")
		}
		if err := in.err(opts); err != nil {
			return nil, err
		}
	}
	return invoke[MFASetup](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/mfa/setup",
	}, opts)
}

// Enable turns the second factor on with the first code of the app, and returns the backup codes,
// which are shown once. POST /api/user/mfa/verify; bearer; never repeated once it may have arrived.
// What could be read of a response that is not whole is returned together with the [*DecodeError].
// A wrong code, a second factor that is on, and one that was not set up are 400 BAD_REQUEST.
func (s *UserMFAService) Enable(ctx context.Context, code string, opts ...RequestOption) (BackupCodes, error) {
	var in checks
	in.required("code", code)
	in.argument("code")
	body := map[string]string{"code": code}
	response, err := invoke[backupCodesBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/mfa/verify", body: body, checks: in,
	}, opts)
	if response == nil {
		return nil, err
	}
	return response.BackupCodes, err
}

// Disable turns the second factor off; no code is asked for. DELETE /api/user/mfa; bearer; may be
// repeated.
func (s *UserMFAService) Disable(ctx context.Context, opts ...RequestOption) error {
	return acknowledged(ctx, s.c, request{method: http.MethodDelete, template: "/api/user/mfa"}, opts)
}

// RegenerateBackupCodes replaces the backup codes and returns the new ones, which are shown once.
// POST /api/user/mfa/backup-codes/regenerate; bearer; never repeated once it may have arrived.
// What could be read of a response that is not whole is returned together with the [*DecodeError].
// Without a second factor it is 400 BAD_REQUEST.
func (s *UserMFAService) RegenerateBackupCodes(ctx context.Context, opts ...RequestOption) (BackupCodes, error) {
	response, err := invoke[backupCodesBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/mfa/backup-codes/regenerate",
	}, opts)
	if response == nil {
		return nil, err
	}
	return response.BackupCodes, err
}
