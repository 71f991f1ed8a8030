package authos

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		for _, tag := range []string{"en", "es"} {
			if got, want := UserMessage(tt.err, tag), catalog[tt.want].sentence(tag); got != want {
				t.Errorf("%s: UserMessage(%s) = %q, want %q", tt.name, tag, got, want)
			}
		}
	}
}

func TestUserMessageLanguages(t *testing.T) {
	t.Parallel()
	english, spanish := catalog[CodeNotFound].en, catalog[CodeNotFound].es
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
		{[]string{"fr", "es"}, spanish},
		{[]string{"fr", "en-GB", "es"}, english},
		{[]string{"fr"}, english},
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
		"pt-BR": {CodeNotFound: "Não encontrado."},
		"DE":    {CodeAuthorizationError: "Verboten."},
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
		{"built-in where there is no own", CodeForbidden, nil, catalog[CodeForbidden].en},
		{"new language", CodeNotFound, []string{"fr-CA"}, "Introuvable."},
		{"its default", CodeForbidden, []string{"fr", "en"}, "Erreur."},
		{"no default: next language", CodeForbidden, []string{"pt-BR", "es"}, catalog[CodeForbidden].es},
		{"case", CodeNotFound, []string{"PT-br"}, "Não encontrado."},
		{"parent", &APIError{Code: CodeInsufficientPermissions}, []string{"de"}, "Verboten."},
		{"full tag before primary", CodeNotFound, []string{"es-MX"}, "No hay."},
		{"primary where the full tag has none", CodeForbidden, []string{"es-MX"}, catalog[CodeForbidden].es},
		{"nil", nil, []string{"fr"}, ""},
	} {
		if got := m.For(tt.err, tt.languages...); got != tt.want {
			t.Errorf("%s: For = %q, want %q", tt.name, got, tt.want)
		}
	}
}
