package authos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// PrivacyService exports and forgets what the server knows of a user. It is for oneself, for owners
// of the platform, and for who owns every organization that the user belongs to; others get 403
// FORBIDDEN. Its shapes are confirmed by an earlier version of the server's source.
type PrivacyService struct{ c *Client }

// PrivacyExport is all that the server knows of a user. It is personal data.
type PrivacyExport struct {
	UserID           string              `json:"user_id"`
	Email            string              `json:"email"`
	CreatedAt        Time                `json:"created_at"`
	Memberships      []PrivacyMembership `json:"memberships"`
	LoginEventsCount int64               `json:"login_events_count"`
	LoginEvents      []PrivacyLogin      `json:"login_events"`
	OAuthIdentities  []PrivacyIdentity   `json:"oauth_identities"`
	MFAEvents        []PrivacyMFAEvent   `json:"mfa_events"`
	Passkeys         []PrivacyPasskey    `json:"passkeys"`
	// Raw is the export as it came, for who has to hand it out whole.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads the export, and keeps it as it came.
func (e *PrivacyExport) UnmarshalJSON(b []byte) error {
	type fields PrivacyExport // without this method
	if err := decodeJSON(b, (*fields)(e)); err != nil {
		return err
	}
	e.Raw = append(json.RawMessage(nil), b...)
	return nil
}

func (e *PrivacyExport) missing() string {
	if e.UserID == "" {
		return "user_id"
	}
	return ""
}

// PrivacyMembership is an organization that the user belongs to.
type PrivacyMembership struct {
	OrgID    string   `json:"organization_id"`
	OrgSlug  string   `json:"organization_slug"`
	Role     RoleSlug `json:"role"`
	JoinedAt Time     `json:"joined_at"`
}

// PrivacyLogin is a sign-in of the user. What is not known is empty or nil.
type PrivacyLogin struct {
	ID        string `json:"id"`
	Timestamp Time   `json:"timestamp"`
	IPAddress string `json:"ip_address"`
	UserAgent string `json:"user_agent"`
	Provider  string `json:"provider"`
	Success   bool   `json:"success"`
	RiskScore *int   `json:"risk_score"`
	// RiskFactors are the reasons for the score, which the server sends as JSON inside a string.
	RiskFactors Metadata `json:"risk_factors"`
	GeoCountry  string   `json:"geo_country"`
	GeoCity     string   `json:"geo_city"`
}

// PrivacyIdentity is an account that the user signs in with.
type PrivacyIdentity struct {
	Provider       string `json:"provider"`
	ProviderUserID string `json:"provider_user_id"`
	LinkedAt       Time   `json:"linked_at"`
}

// PrivacyMFAEvent is something that happened with the user's second factor.
type PrivacyMFAEvent struct {
	EventType string `json:"event_type"`
	Timestamp Time   `json:"timestamp"`
	Success   bool   `json:"success"`
	Details   string `json:"details"` // empty when there are none
}

// PrivacyPasskey is a passkey of the user.
type PrivacyPasskey struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	AAGUID         string `json:"aaguid"` // the kind of authenticator; empty when not known
	BackupEligible bool   `json:"backup_eligible"`
	CreatedAt      Time   `json:"created_at"`
	LastUsedAt     Time   `json:"last_used_at"` // zero: never
}

// PrivacyForgetParams confirm that one wants to be forgotten oneself: one of them is needed then,
// and neither for somebody else.
type PrivacyForgetParams struct {
	CurrentPassword string `json:"-"` // sent, but not marshaled: params end up in logs
	MFACode         string `json:"-"` // likewise
}

// Format implements [fmt.Formatter] for every verb: neither password nor code print.
func (p PrivacyForgetParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "PrivacyForgetParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves password and code out.
func (p PrivacyForgetParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *PrivacyForgetParams) UnmarshalJSON(b []byte) error {
	type fields PrivacyForgetParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"current_password": &p.CurrentPassword, "mfa_code": &p.MFACode})
}

// Export returns all that the server knows of a user. GET /api/privacy/export/:user_id; bearer; may
// be repeated; never stale. It comes as a whole and can be large: beyond 16 MiB it is a
// [*DecodeError]. Confirmed by an earlier version of the server's source.
func (s *PrivacyService) Export(ctx context.Context, userID string, opts ...RequestOption) (*PrivacyExport, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[PrivacyExport](ctx, s.c, request{
		method: http.MethodGet, template: "/api/privacy/export/:user_id", args: []string{userID}, checks: in,
	}, opts)
}

// Forget takes out of the server what identifies a user, for good. DELETE
// /api/privacy/forget/:user_id; bearer; may be repeated: when an attempt's outcome is unknown and
// its repeat finds 404, Forget has succeeded.
//
// Oneself is forgotten only with a confirmation: without any it is 400 BAD_REQUEST, with a wrong
// one 403 FORBIDDEN. Owners of the platform are never forgotten, which is 403 too. Confirmed by an
// earlier version of the server's source.
func (s *PrivacyService) Forget(ctx context.Context, userID string, p PrivacyForgetParams, opts ...RequestOption) error {
	var in checks
	in.id("user_id", userID)
	var body any
	if p != (PrivacyForgetParams{}) {
		fields := map[string]string{}
		if p.CurrentPassword != "" {
			fields["current_password"] = p.CurrentPassword
		}
		if p.MFACode != "" {
			fields["mfa_code"] = p.MFACode
		}
		body = fields
	}
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: "/api/privacy/forget/:user_id", args: []string{userID}, body: body, checks: in,
	}, opts)
}
