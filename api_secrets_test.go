package authos_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

// Params that hold a password, a token or a code end up in logs sooner or later, also as a part of
// something else, where fmt and slog find neither Format nor LogValue.
func TestParamsKeepSecrets(t *testing.T) {
	const secret = "s3cretValue"
	all := []any{
		authos.LoginParams{Email: "a@b.c", Password: secret},
		authos.RegisterParams{Email: "a@b.c", Password: secret},
		authos.RevokeParams{Token: secret},
		authos.ResetPasswordParams{Token: secret, NewPassword: secret},
		authos.VerifyMagicLinkParams{Token: secret},
		authos.CompleteMFAParams{PreAuthToken: authos.NewSecret(secret), Code: secret},
		authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret(secret)},
		authos.ChangePasswordParams{CurrentPassword: secret, NewPassword: secret},
		authos.SMTPSetParams{Password: secret},
		authos.OAuthCredentialsSetParams{ClientSecret: secret},
	}
	for _, p := range all {
		nested := struct {
			Params any
			List   []any
			Map    map[string]any
		}{p, []any{p}, map[string]any{"p": p}}
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+verb+verb, p, nested, []any{p})
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("call", "params", p, "nested", nested, slog.Group("g", "p", p))
		}
		if data, err := json.Marshal(nested); err == nil {
			out.Write(data)
		}
		text := out.String()
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%T tells its secret: %s", p, text)
		}
	}
}

// Results with tokens in them do not print those either, whatever they are nested in.
func TestResultsKeepTokens(t *testing.T) {
	const secret = "s3cretValue"
	tokens := authos.Tokens{AccessToken: secret, RefreshToken: secret}
	for _, p := range []any{&authos.Impersonation{Tokens: tokens}, &authos.OrganizationSession{Tokens: tokens}} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%t", "%x"} {
			fmt.Fprintf(&out, verb+verb+verb, p, []any{p}, map[string]any{"p": p})
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("call", "p", p, "list", []any{p})
		}
		if text := out.String(); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%T tells its tokens: %s", p, text)
		}
	}
}
