package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

const (
	scriptAccess   = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyLXNlY3JldCJ9.c2lnbmF0dXJlLXNlY3JldA"
	scriptOpaque   = "opaque-access"
	scriptRefresh  = "Zm9vYmFyLXJlZnJlc2gtc2VjcmV0LTAxMjM0NTY3ODk"
	scriptPassword = "correct-horse"
	scriptEmail    = "ada@example.com"
	scriptMagic    = "magic-link-secret"
	scriptDeep     = "deep-value-secret"
)

// scriptShapes are responses whose every text for humans repeats what it is given, as %s; it needs
// no escapes.
func scriptShapes() map[string]func(text string) reply {
	shape := func(status int, format string) func(string) reply {
		return func(text string) reply { return reply{status: status, body: strings.ReplaceAll(format, "%s", text)} }
	}
	return map[string]func(string) reply{
		"flat":     shape(400, `{"error":"bad: %s","error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00Z"}`),
		"flat 500": shape(500, `{"error":"bad: %s","error_code":"INTERNAL_SERVER_ERROR"}`),
		"flat 401": shape(401, `{"error":"bad: %s","error_code":"UNAUTHORIZED"}`),
		"nested": shape(422, `{"error":{"code":"VALIDATION_ERROR","message":"bad: %s","documentation_url":"https://a.test/%s",`+
			`"details":[{"field":"a","code":"INVALID_FORMAT","message":"bad: %s","value_provided":"%s"}]}}`),
		"cross-field": shape(400, `{"error":{"code":"VALIDATION_ERROR","message":"bad: %s",`+
			`"details":[{"fields":["a","b"],"code":"INVALID_RANGE","message":"bad: %s","values_provided":{"a":"%s"}}]}}`),
		"details":        shape(400, `{"error":{"code":"BAD_REQUEST","message":"bad: %s","details":{"field":"a","value_provided":"%s","reason":"%s"}}}`),
		"problem":        shape(409, `{"type":"about:%s","title":"bad: %s","detail":"bad: %s","instance":"/%s","status":409,"x":"%s"}`),
		"OAuth":          shape(400, `{"error":"invalid_grant","error_description":"bad: %s"}`),
		"200 with error": shape(200, `{"error":"bad: %s","error_code":"NOT_FOUND"}`),
		"200 cut":        shape(200, `{"ok":"%s`),
		"plain text":     func(text string) reply { return reply{status: 422, body: "Failed: " + text} },
		"429": func(text string) reply {
			return reply{status: 429, header: headers("Retry-After", "3600"), body: "Wait, " + text}
		},
		"HTML":      func(text string) reply { return pageWith(502, text) },
		"200 HTML":  func(text string) reply { return pageWith(200, text) },
		"challenge": func(text string) reply { return emptyReply(403, "Www-Authenticate", `Bearer realm="`+text+`"`) },
		"redirect":  func(text string) reply { return scriptRedirect(302, "https://evil.test/?"+url.QueryEscape(text)) },
	}
}

func pageWith(status int, text string) reply {
	return reply{status: status, header: headers("Content-Type", "text/html"), body: "<html>" + text}
}

var scriptSecrets = map[string]string{
	"access token": scriptAccess, "opaque access token": scriptOpaque, "refresh token": scriptRefresh, "API key": scriptKey,
	"password": scriptPassword, "e-mail": scriptEmail, "deep value": scriptDeep, "magic link": scriptMagic,
}

// Whatever the server repeats of a request in its texts, no error, log record or client prints it.
func TestSecretsAreNotPrinted(t *testing.T) {
	for name, shape := range scriptShapes() {
		for what, access := range map[string]string{"JWT": scriptAccess, "opaque": scriptOpaque} {
			t.Run(name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { printsNothing(t, shape, access) })
			})
		}
	}
}

// An error of the transport has the URL in its text.
func TestTransportErrorsHideTheQuery(t *testing.T) {
	for name, wrap := range map[string]func(error) error{
		"bare":    func(err error) error { return err },
		"wrapped": func(err error) error { return fmt.Errorf("proxy: %w", err) },
		"as text": func(err error) error { return errors.New("proxy: " + err.Error()) },
	} {
		for _, access := range []string{scriptAccess, scriptOpaque} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					printsNothing(t, func(text string) reply {
						return reply{err: wrap(&url.Error{Op: "Get", URL: testBase + "/x?token=" + url.QueryEscape(text), Err: connectionReset()})}
					}, access)
				})
			})
		}
	}
}

func printsNothing(t *testing.T, shape func(string) reply, access string) {
	t.Helper()
	rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
		// What the server repeats: each secret by itself, and the whole of what it was sent.
		auth := req.Header.Get("Authorization")
		texts := []string{auth, strings.TrimPrefix(auth, "Bearer "), req.Header.Get("X-Api-Key"), req.URL.RawQuery, req.URL.Query().Get("token")}
		switch req.URL.Path {
		case "/api/auth/login":
			texts = append(texts, scriptPassword, scriptEmail, scriptDeep)
		case "/api/auth/refresh":
			texts = append(texts, scriptRefresh)
		}
		step := shape(strings.Join(texts, " and "))
		if step.err != nil {
			return nil, step.err
		}
		return step.response(req), nil
	}})
	var log bytes.Buffer
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	logger := slog.New(slog.NewMultiHandler(slog.NewTextHandler(&log, level), slog.NewJSONHandler(&log, level)))
	var observed []any
	c := clientWithoutBreaker(t, rt, authos.WithAPIKey(scriptKey), authos.WithTokens(authos.Tokens{AccessToken: access, RefreshToken: scriptRefresh}),
		authos.WithLogger(logger), authos.WithObserver(&authos.Observer{
			CallDone: func(_ context.Context, e authos.CallDone) { observed = append(observed, e) },
			Attempt:  func(_ context.Context, e authos.AttemptEvent) { observed = append(observed, e) },
			Refresh:  func(e authos.RefreshEvent) { observed = append(observed, e) },
		}))
	login := map[string]any{"email": scriptEmail, "password": scriptPassword, "nested": []any{map[string]string{"deep": scriptDeep}}}
	var out struct{ OK bool }
	for _, call := range []struct {
		method, path string
		in           any
	}{
		{"GET", "/api/user", nil},
		{"GET", "/api/service/info", nil},
		{"POST", "/api/auth/login", login},
		{"GET", "/api/auth/magic-link/verify?token=" + scriptMagic, nil},
		{"POST", "/api/auth/refresh", map[string]string{"refresh_token": scriptRefresh}},
	} {
		var resp authos.Response
		err := c.Do(t.Context(), call.method, call.path, call.in, &out, authos.WithResponse(&resp))
		if err == nil {
			t.Fatalf("Do(%s) = nil, want an error", call.path)
		}
		observed = append(observed, err, resp.History)
		if e, ok := errors.AsType[*authos.APIError](err); ok {
			observed = append(observed, e, e.Fields)
			logger.Error("failed", "api", e)
		}
		logger.Error("failed", "error", err, "client", c)
	}
	observed = append(observed, c, *c, []any{c}, struct{ Client *authos.Client }{c}, c.User, c.HTTPClient())
	text := log.String()
	for _, v := range observed {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			text += fmt.Sprintf(verb+"\n", v)
		}
	}
	for what, secret := range scriptSecrets {
		for _, form := range []string{secret, url.QueryEscape(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("the %s is printed: …%q…", what, text[max(0, at-150):min(len(text), at+100)])
				break
			}
		}
	}
}

// The credentials of the call are not in the texts of an error either, which a program may show.
func TestCredentialsAreMasked(t *testing.T) {
	for path, secret := range map[string]string{"/api/service/info": scriptKey, "/api/user/profile": scriptOpaque} {
		rt := scripted(reply{status: 422, body: `{"error":{"code":"VALIDATION_ERROR","message":"` + secret + ` is revoked",` +
			`"details":[{"field":"key","code":"` + secret + `","message":"not ` + secret + `"}]}}`})
		c := clientWithoutBreaker(t, rt, authos.WithAPIKey(scriptKey), authos.WithTokens(authos.Tokens{AccessToken: scriptOpaque}))
		e, ok := errors.AsType[*authos.APIError](c.Do(t.Context(), "GET", path, nil, nil))
		if !ok || len(e.Fields) != 1 {
			t.Fatalf("%s: error = %+v, want one with a field", path, e)
		}
		for _, text := range []string{e.Message, e.Fields[0].Message, string(e.Fields[0].Code)} {
			if text == "" || strings.Contains(text, secret) {
				t.Errorf("%s: a text is %q, want it without the credential", path, text)
			}
		}
	}
}

// What was sent is taken out of the server's sentences, but not out of its words: the gap would
// tell what a password was, and nobody could read the rest.
func TestSentValuesInSentences(t *testing.T) {
	tests := []struct{ name, password, said, want string }{
		{"the value", "hunter2hunter2", "Password hunter2hunter2 is too common", "Password [value] is too common"},
		{"in quotes", "hunter", "Password 'hunter' is too common", "Password '[value]' is too common"},
		{"twice", "hunter2hunter2", "hunter2hunter2, hunter2hunter2", "[value], [value]"},
		{"glued to a word", "hunter2hunter2", "xhunter2hunter2x is bad", "x[value]x is bad"},
		{"a word of the sentence", "password", "Invalid email or password", "Invalid email or password"},
		{"another one", "Email", "Invalid email or password", "Invalid email or password"},
		{"part of a word", "mail", "Invalid email or password", "Invalid email or password"},
		{"part of another", "word", "Invalid email or password", "Invalid email or password"},
		{"part of a rare word", "common", "uncommonly bad", "uncommonly bad"},
	}
	for _, tt := range tests {
		body, err := json.Marshal(map[string]string{"error": tt.said, "error_code": "UNAUTHORIZED", "timestamp": "2026-01-02T03:04:05Z"})
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, testBase, scripted(reply{status: 401, body: string(body)}))
		_, err = c.Auth.Login(t.Context(), authos.LoginParams{Email: "a@example.com", Password: tt.password})
		if err == nil || !strings.Contains(err.Error(), ": "+tt.want+" (request") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Who asks for a code of this side finds it.
func TestLocalCodes(t *testing.T) {
	c, web := keyClient(t, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	web.play(sayReset)
	err := getInfo(c)
	if !errors.Is(err, authos.CodeNetworkError) || errors.Is(err, authos.CodeTimeout) || errors.Is(err, authos.CodeCircuitOpen) {
		t.Errorf("reset: %v", err)
	}
	for range 5 {
		err = getInfo(c)
	}
	if !errors.Is(err, authos.CodeCircuitOpen) {
		t.Errorf("open circuit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ctx, "GET", "/api/user", nil, nil); !errors.Is(err, authos.CodeCanceled) || errors.Is(err, authos.CodeNetworkError) {
		t.Errorf("canceled: %v", err)
	}
	over := &authos.SessionError{}
	if !errors.Is(over, authos.CodeSessionExpired) || errors.Is(over, authos.CodeSessionUncertain) {
		t.Error("a session that is over")
	}
	later := &authos.SessionError{RetryAt: time.Now()}
	if errors.Is(later, authos.CodeSessionExpired) || !errors.Is(later, authos.CodeSessionUncertain) {
		t.Error("a session that may be over")
	}
	mfa := &authos.MFARequiredError{}
	if !errors.Is(mfa, authos.CodeMFARequired) || errors.Is(mfa, authos.ErrUnauthenticated) {
		t.Error("a second factor")
	}
}

// JSON of an error has no more than its text: slog's JSON handler marshals what stands inside other
// values.
func TestErrorsMarshalSafely(t *testing.T) {
	const secret = "S3KRETpass99"
	body := `{"error":"bad ` + secret + `","error_code":"BAD_REQUEST","timestamp":"2026-01-02T03:04:05Z"}`
	c := newClient(t, testBase, scripted(reply{status: 400, body: body}))
	_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: "a@example.com", Password: secret})
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).Info("failed", "errors", []error{err}, "map", map[string]any{"e": err})
	data, jsonErr := json.Marshal(err)
	if jsonErr != nil || strings.Contains(string(data)+out.String(), secret) || !strings.Contains(string(data), "BAD_REQUEST") {
		t.Errorf("%s, %v\n%s", data, jsonErr, out.String())
	}
	field, jsonErr := json.Marshal(authos.FieldError{Field: "email", Code: authos.CodeInvalidFormat, Message: "not x@y an address", Value: "x@y"})
	if want := `{"field":"email","code":"INVALID_FORMAT","message":"not [value] an address"}`; string(field) != want || jsonErr != nil {
		t.Errorf("field %s, %v, want %s", field, jsonErr, want)
	}
}
