package authos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// CompleteMFAParams are the second step of a sign-in.
type CompleteMFAParams struct {
	// PreAuthToken is the one of [MFARequiredError], or, of a sign-in in the browser, the
	// preauth_token it came back with.
	PreAuthToken Secret `json:"-"`
	// Code is the authenticator app's, of six digits, or one of the user's backup codes.
	Code string `json:"-"` // sent, but not marshaled: params end up in logs
	// DeviceCodeID is for an activation page, whose user signs in for a device: it is the token's
	// device_code_id claim, and the device gets its token when it has been given here. Empty: no
	// device is waiting.
	DeviceCodeID string
	// Install puts the returned tokens in use, as [Client.SetTokens] does.
	Install bool
}

// Format implements [fmt.Formatter] for every verb: neither token nor code print.
func (p CompleteMFAParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "CompleteMFAParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves token and code out.
func (p CompleteMFAParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *CompleteMFAParams) UnmarshalJSON(b []byte) error {
	type fields CompleteMFAParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{
		"preauth_token": &p.PreAuthToken, "code": &p.Code, "device_code_id": &p.DeviceCodeID,
	})
}

// CompleteMFA ends a sign-in that needed a second factor, and returns the session's tokens. POST
// /api/auth/mfa/verify; public; never repeated once it may have arrived.
//
// A wrong code is 401 UNAUTHORIZED ([CodeUnauthorized]), and may be tried again with the same
// token: the token is good for 5 minutes and for one session. After that it is 401 [CodeJWTError],
// and once it has been used 400 BAD_REQUEST: sign in again. The server lets one address try once a
// second, after three tries in a row; the client waits for that. When installing the tokens fails,
// they are returned together with the error.
func (s *AuthService) CompleteMFA(ctx context.Context, p CompleteMFAParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("preauth_token", p.PreAuthToken.Reveal())
	in.required("code", p.Code)
	fields := map[string]string{"preauth_token": p.PreAuthToken.Reveal(), "code": p.Code}
	if p.DeviceCodeID != "" {
		fields["device_code_id"] = p.DeviceCodeID
	}
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/mfa/verify", body: fields, checks: in,
	}, opts)
	if err != nil {
		return Tokens{}, err
	}
	return body.signIn(ctx, s.c, p.Install)
}
