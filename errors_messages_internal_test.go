package authos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// These are the sentences AuthOS's guide gives for its codes, word for word.
func TestUserMessageGuide(t *testing.T) {
	t.Parallel()
	for code, want := range map[Code]string{
		"TOKEN_EXPIRED":          "Your session has expired. Please log in again.",
		"UNAUTHORIZED":           "Authentication failed. Please log in.",
		"FORBIDDEN":              "You don't have permission to perform this action.",
		"NOT_FOUND":              "The requested resource could not be found.",
		"SERVICE_LIMIT_EXCEEDED": "You've reached your service limit. Please upgrade your plan.",
		"RATE_LIMIT_EXCEEDED":    "Too many requests. Please try again in a moment.",
		"INTERNAL_SERVER_ERROR":  "Something went wrong. Please try again later.",
		"SOMETHING_NEW":          "An unexpected error occurred.",
	} {
		if got := UserMessage(&APIError{Code: code, Message: "raw"}); got != want {
			t.Errorf("UserMessage(%s) = %q, want %q", code, got, want)
		}
	}
}

func TestUserMessageByError(t *testing.T) {
	t.Parallel()
	api := func(status int, code Code, message string) *APIError {
		return &APIError{StatusCode: status, Code: code, Message: message}
	}
	for _, tt := range []struct {
		name string
		err  error
		want Code // whose built-in sentence; "" : empty
	}{
		{"nil", nil, ""},
		{"unknown error", errors.New("pq: password for user x"), CodeUnknownError},
		{"a code", CodeTokenExpired, CodeTokenExpired},
		{"a canceled context", fmt.Errorf("x: %w", context.Canceled), CodeCanceled},
		{"a passed deadline", context.DeadlineExceeded, CodeTimeout},
		{"alias", api(404, CodeResourceNotFound, ""), CodeNotFound},
		{"other alias", api(429, CodeTooManyRequests, ""), CodeRateLimitExceeded},
		{"parent", api(403, CodeInsufficientPermissions, ""), CodeForbidden},
		{"parent's parent", api(401, CodeJWTError, ""), CodeUnauthorized},
		{"status", api(404, "USER_MISSING", ""), CodeNotFound},
		{"status class", api(507, "HTTP_507", ""), CodeInternalServerError},
		{"unknown status", api(418, "HTTP_418", "teapot"), CodeUnknownError},
		{"text: organization", api(403, CodeForbidden, "Organization is not active. Current status: pending"), CodeOrganizationNotActive},
		{"text: API key", api(401, CodeUnauthorized, "API key organization is not active"), CodeOrganizationNotActive},
		{"text: team", api(400, CodeBadRequest, "Team limit reached"), CodeTeamLimitExceeded},
		{"text: services", api(400, CodeBadRequest, "Organization has reached maximum service limit (1/1)"), CodeServiceLimitExceeded},
		{"text: code", api(400, CodeBadRequest, "PROVIDER_ACCOUNT_CONFLICT"), CodeProviderAccountConflict},
		{"text: unknown code", api(400, CodeBadRequest, "PROVIDER_SOMETHING_NEW"), CodeBadRequest},
		{"error in a 200", api(200, CodeNotFound, ""), CodeNotFound},
		{"network", &NetworkError{Op: "dial", Err: io.EOF}, CodeNetworkError},
		{"network after a response", &NetworkError{Op: "dial", Err: io.EOF, callEnd: callEnd{last: api(404, CodeNotFound, "")}}, CodeNetworkError},
		{"timeout", &NetworkError{Op: "send", Err: context.DeadlineExceeded}, CodeTimeout},
		{"canceled call", &NetworkError{Op: "send", Err: context.Canceled}, CodeCanceled},
		{"circuit", &CircuitOpenError{LastCode: CodeNotFound}, CodeCircuitOpen},
		{"held back", &RateLimitError{}, CodeRateLimitExceeded},
		{"429", &RateLimitError{API: api(429, CodeTooManyRequests, "raw")}, CodeRateLimitExceeded},
		{"session over", &SessionError{Err: CodeUnauthorized}, CodeSessionExpired},
		{"session uncertain", &SessionError{RetryAt: time.Unix(1, 0)}, CodeSessionUncertain},
		{"second factor", &MFARequiredError{}, CodeMFARequired},
		{"local validation", &ValidationError{}, CodeValidationError},
		{"validation", &ValidationError{API: api(400, CodeBadRequest, "")}, CodeBadRequest},
		{"decode", &DecodeError{Err: io.ErrUnexpectedEOF}, CodeInvalidResponse},
		{"outcome unknown", &APIError{StatusCode: 500, Code: CodeAuditError, callEnd: callEnd{unknown: true}}, CodeOutcomeUnknown},
		{"outcome unknown, then no network", fmt.Errorf("x: %w", &NetworkError{Err: io.EOF, callEnd: callEnd{unknown: true}}), CodeOutcomeUnknown},
	} {
		for _, tag := range sentenceLanguages {
			if got, want := UserMessage(tt.err, tag), builtIn(tag, tt.want, 0); got != want {
				t.Errorf("%s: UserMessage(%s) = %q, want %q", tt.name, tag, got, want)
			}
		}
	}
}

// A program's own error says what the kind that it wraps says, and a locale is a language.
func TestUserMessageOfKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range kindCodes {
		for _, locale := range []string{"de_AT.UTF-8", "de@euro", "de_DE.ISO-8859-15@euro", "de;q=0.5"} {
			err := fmt.Errorf("no invoice 7: %w", kind.is)
			if got, want := UserMessage(err, locale), UserMessage(kind.code, "de"); got != want || want == UserMessage(CodeUnknownError, "de") {
				t.Errorf("UserMessage(%v, %s) = %q, want %q", err, locale, got, want)
			}
		}
	}
	for _, none := range []string{"C.UTF-8", "POSIX", ".", "@"} {
		if got := UserMessage(ErrNotFound, none, "fr"); got != UserMessage(CodeNotFound, "fr") {
			t.Errorf("%q is taken for a language: %q", none, got)
		}
	}
}

func TestUserMessageLanguages(t *testing.T) {
	t.Parallel()
	english, spanish := builtIn("en", CodeNotFound, 0), builtIn("es", CodeNotFound, 0)
	for _, tt := range []struct {
		languages []string
		want      string
	}{
		{nil, english},
		{[]string{"en"}, english},
		{[]string{"es"}, spanish},
		{[]string{"ES"}, spanish},
		{[]string{"es-MX"}, spanish},
		{[]string{"es_419"}, spanish},
		{[]string{"es-Latn-MX"}, spanish},
		{[]string{"nl", "es"}, spanish},
		{[]string{"nl", "en-GB", "es"}, english},
		{[]string{"nl"}, english},
		{[]string{"fr-CA"}, builtIn("fr", CodeNotFound, 0)},
		{[]string{"pt-BR"}, builtIn("pt", CodeNotFound, 0)},
		{[]string{"ja"}, builtIn("ja", CodeNotFound, 0)},
		{[]string{"nl, es;q=0.5, en;q=0.8"}, english},
		{[]string{"nl;q=0.1, es-MX;q=0.9, en;q=0.5"}, spanish},
		{[]string{"nl", "de-AT, en"}, builtIn("de", CodeNotFound, 0)},
		{[]string{"\x00;q=", "es"}, spanish},
		{[]string{strings.Repeat("x-", 5000), "es"}, spanish},
		{[]string{"*"}, english},
		{[]string{""}, english},
		{[]string{"-"}, english},
		{[]string{"est"}, english},
	} {
		if got := UserMessage(CodeNotFound, tt.languages...); got != tt.want {
			t.Errorf("UserMessage(%q) = %q, want %q", tt.languages, got, tt.want)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	m := Messages{
		"en":    {CodeNotFound: "Nope.", CodeTokenExpired: "Sign in, please."},
		"fr":    {CodeNotFound: "Introuvable.", CodeUnknownError: "Erreur."},
		"nl":    {CodeUnknownError: "Fout."},
		"pt-BR": {CodeNotFound: "Não encontrado."},
		"SV":    {CodeAuthorizationError: "Inte tillåtet."},
		"es-mx": {CodeNotFound: "No hay."},
	}
	for _, tt := range []struct {
		name      string
		err       error
		languages []string
		want      string
	}{
		{"own before built-in", CodeNotFound, nil, "Nope."},
		{"by alias", &APIError{Code: CodeResourceNotFound}, nil, "Nope."},
		{"by the other alias", &APIError{Code: CodeExpiredToken}, nil, "Sign in, please."},
		{"built-in where there is no own", CodeForbidden, nil, builtIn("en", CodeForbidden, 0)},
		{"new language", CodeNotFound, []string{"fr-CA"}, "Introuvable."},
		{"built-in before its default", CodeForbidden, []string{"fr", "en"}, builtIn("fr", CodeForbidden, 0)},
		{"its default", CodeForbidden, []string{"nl", "en"}, "Fout."},
		{"no default: next language", CodeForbidden, []string{"it", "es"}, builtIn("es", CodeForbidden, 0)},
		{"case", CodeNotFound, []string{"PT-br"}, "Não encontrado."},
		{"parent", &APIError{Code: CodeInsufficientPermissions}, []string{"sv"}, "Inte tillåtet."},
		{"full tag before primary", CodeNotFound, []string{"es-MX"}, "No hay."},
		{"primary where the full tag has none", CodeForbidden, []string{"es-MX"}, builtIn("es", CodeForbidden, 0)},
		{"nil", nil, []string{"fr"}, ""},
	} {
		if got := m.For(tt.err, tt.languages...); got != tt.want {
			t.Errorf("%s: For = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Where it is known how long to wait, the sentence says so, rounded up.
func TestUserMessageWaits(t *testing.T) {
	t.Parallel()
	limited := func(wait time.Duration) error { return &RateLimitError{RetryAfter: wait} }
	tests := []struct {
		err  error
		tag  string
		want string
	}{
		{limited(time.Second), "en", "Too many requests. Please try again in 1 second."},
		{limited(1500 * time.Millisecond), "en", "Too many requests. Please try again in 2 seconds."},
		{limited(59 * time.Second), "en", "Too many requests. Please try again in 59 seconds."},
		{limited(60 * time.Second), "en", "Too many requests. Please try again in 1 minute."},
		{limited(61 * time.Second), "en", "Too many requests. Please try again in 2 minutes."},
		{limited(time.Hour), "en", "Too many requests. Please try again in 1 hour."},
		{limited(90 * time.Minute), "es", "Demasiadas solicitudes. Inténtelo de nuevo en 2 horas."},
		{limited(2 * time.Minute), "fr", "Trop de demandes. Réessayez dans 2 minutes."},
		{limited(2 * time.Minute), "de", "Zu viele Anfragen. Bitte versuchen Sie es in 2 Minuten erneut."},
		{limited(time.Second), "pt", "Demasiados pedidos. Tente novamente dentro de 1 segundo."},
		{limited(3 * time.Second), "ja", "リクエストが多すぎます。3秒後にもう一度お試しください。"},
		{limited(0), "en", "Too many requests. Please try again in a moment."},
		{limited(-time.Second), "en", "Too many requests. Please try again in a moment."},
		{limited(25 * time.Hour), "en", "Too many requests. Please try again in a moment."},
		{&APIError{StatusCode: 503, Code: CodeServiceUnavailable, RetryAfter: 2 * time.Minute}, "en", "The service is temporarily unavailable. Please try again in 2 minutes."},
		{&CircuitOpenError{RetryAt: time.Now().Add(119 * time.Second)}, "en", "The service is temporarily unavailable. Please try again in 2 minutes."},
		{&SessionError{RetryAt: time.Now().Add(119 * time.Second)}, "en", "We could not confirm your session. Please try again in 2 minutes."},
		{&SessionError{Err: CodeUnauthorized}, "en", "Your session has expired. Please log in again."},
	}
	for _, tt := range tests {
		if got := UserMessage(tt.err, tt.tag); got != tt.want {
			t.Errorf("UserMessage(%v, %s) = %q, want %q", tt.err, tt.tag, got, tt.want)
		}
	}
	own := Messages{"en": {CodeRateLimitExceeded: "Slow down."}}
	if got := own.For(limited(time.Minute), "en"); got != "Slow down." {
		t.Errorf("the program's own sentence became %q", got)
	}
}

func FuzzUserMessage(f *testing.F) {
	f.Add("es-MX, es;q=0.9, en;q=0.8")
	f.Add("*;q=0")
	f.Add("-_-;q=9999999999999999999999")
	f.Fuzz(func(t *testing.T, header string) {
		if UserMessage(CodeNotFound, header) == "" {
			t.Errorf("no sentence for %q", header)
		}
	})
}
