package authos_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
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

// What a program reads its input from has the secrets; what it writes has not.
func TestParamsReadSecretsAndWriteNone(t *testing.T) {
	const hush = "a secret that is long enough"
	for _, tt := range []struct {
		into any
		json string
	}{
		{new(authos.LoginParams), `{"email":"ada@example.com","password":"$"}`},
		{new(authos.RegisterParams), `{"email":"ada@example.com","password":"$"}`},
		{new(authos.RevokeParams), `{"token":"$"}`},
		{new(authos.ResetPasswordParams), `{"token":"$","new_password":"$"}`},
		{new(authos.ChangePasswordParams), `{"current_password":"$","new_password":"$"}`},
		{new(authos.VerifyMagicLinkParams), `{"token":"$"}`},
		{new(authos.CompleteMFAParams), `{"preauth_token":"$","code":"$"}`},
		{new(authos.OAuthCredentialsSetParams), `{"client_id":"c","client_secret":"$"}`},
		{new(authos.SMTPSetParams), `{"host":"mail.example","password":"$"}`},
		{new(authos.BillingCredentialsSetParams), `{"api_key":"$","webhook_secret":"$","mode":"live"}`},
		{new(authos.SIEMCreateParams), `{"name":"logs","api_key":"$","auth_header":"$"}`},
		{new(authos.SIEMUpdateParams), `{"api_key":"$","auth_header":"$"}`},
		{new(authos.UpstreamProviderCreateParams), `{"connection_id":"okta","client_secret":"$"}`},
		{new(authos.PrivacyForgetParams), `{"current_password":"$","mfa_code":"$"}`},
	} {
		text := strings.ReplaceAll(tt.json, "$", hush)
		if err := json.Unmarshal([]byte(text), tt.into); err != nil {
			t.Errorf("%T: %v", tt.into, err)
			continue
		}
		held := 0
		for v, i := reflect.ValueOf(tt.into).Elem(), 0; i < v.NumField(); i++ {
			switch field := v.Field(i).Interface().(type) {
			case string:
				if field == hush {
					held++
				}
			case *string:
				if field != nil && *field == hush {
					held++
				}
			case authos.Secret:
				if field.Reveal() == hush {
					held++
				}
			}
		}
		if want := strings.Count(tt.json, "$"); held != want {
			t.Errorf("%T holds %d secrets, want %d", tt.into, held, want)
		}
		if back, err := json.Marshal(tt.into); err == nil && strings.Contains(string(back), hush) {
			t.Errorf("%T is written as %s", tt.into, back)
		}
		if err := json.Unmarshal([]byte(`{"password":7,"token":7,"new_password":7,"client_secret":7,"api_key":7,"current_password":7,"code":7}`), tt.into); err == nil {
			t.Errorf("%T reads a number", tt.into)
		}
	}
}
