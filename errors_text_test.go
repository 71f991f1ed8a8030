package authos_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// everyError makes each error type of the package as a call gives it.
func everyError(t *testing.T) map[string]error {
	t.Helper()
	all := map[string]error{}
	take := func(name string, err error) {
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		all[name] = err
	}
	once := authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})
	does := func(step reply, method, path string, out any, opts ...authos.Option) error {
		return clientWithoutBreaker(t, scripted(step), append(opts, once)...).Do(t.Context(), method, path, map[string]string{"name": "the sent value"}, out)
	}
	post := func(step reply) error { return does(step, "POST", "/api/organizations", nil) }
	var out struct{ ID int }
	take("APIError", post(apiError(500, "DATABASE_ERROR")))
	take("ValidationError", post(reply{status: 422, body: `{"error":{"code":"VALIDATION_ERROR","message":"no",` +
		`"details":[{"field":"name","code":"INVALID_FORMAT","message":"'the sent value' is bad"}]}}`}))
	take("RateLimitError", post(apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600")))
	take("NetworkError", post(reply{err: connectionReset()}))
	take("DecodeError", does(reply{status: 200, body: `{"id":"x"}`}, "POST", "/api/organizations", &out))
	take("a local ValidationError", clientWithoutBreaker(t, scripted(okReply())).Do(t.Context(), "GET", "no slash", nil, nil))
	open := clientWithoutBreaker(t, scripted(reply{err: connectionReset()}), once, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
	_ = open.Do(t.Context(), "GET", "/api/organizations", nil, nil)
	take("CircuitOpenError", open.Do(t.Context(), "GET", "/api/organizations", nil, nil))
	over := clientWithoutBreaker(t, scripted(apiError(401, "UNAUTHORIZED")), once, authos.WithTokens(authos.Tokens{AccessToken: scriptOpaque, RefreshToken: scriptRefresh}))
	take("SessionError", over.Do(t.Context(), "GET", "/api/user", nil, nil))
	mfa := clientWithoutBreaker(t, scripted(reply{status: 200, body: `{"access_token":"` + scriptOpaque + `","refresh_token":"","expires_in":300}`}), once)
	_, err := mfa.Auth.Login(t.Context(), authos.LoginParams{Email: scriptEmail, Password: scriptPassword})
	take("MFARequiredError", err)
	return all
}

// In a log every error is one group of the same members, and its JSON says the same.
func TestErrorsHaveOneForm(t *testing.T) {
	want := []string{"attempts", "error_code", "message", "method", "request_id", "route", "status", "timestamp"}
	synctest.Test(t, func(t *testing.T) {
		for name, err := range everyError(t) {
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("failed", slog.Any("error", err))
			var line struct{ Error map[string]any }
			if jsonErr := json.Unmarshal(log.Bytes(), &line); jsonErr != nil {
				t.Fatalf("%s: %v: %s", name, jsonErr, log.Bytes())
			}
			if got := slices.Sorted(maps.Keys(line.Error)); !slices.Equal(got, want) {
				t.Errorf("%s: the log has %q, want %q", name, got, want)
			}
			data, jsonErr := json.Marshal(err)
			var record map[string]any
			if jsonErr != nil || json.Unmarshal(data, &record) != nil || record["message"] == "" || record["error_code"] == "" {
				t.Errorf("%s: JSON %s, %v", name, data, jsonErr)
			}
			if code, _ := record["error_code"].(string); !errors.Is(err, authos.Code(code)) {
				t.Errorf("%s is not its own error_code %q", name, code)
			}
			if line.Error["error_code"] != record["error_code"] || line.Error["request_id"] == "" && name != "a local ValidationError" && name != "MFARequiredError" {
				t.Errorf("%s: log %v, JSON %s", name, line.Error, data)
			}
		}
	})
}

// A copy of an error prints no more than the error, in every verb and on every Go release.
func TestErrorValuesPrintNothing(t *testing.T) {
	const secret = "server-side-secret"
	body := `{"title":"t ` + secret + `","detail":"d","status":400,"type":"about:blank","details":{"x":"` + secret + `"},"extension":"` + secret + `"}`
	c := clientWithoutBreaker(t, scripted(reply{status: 400, header: headers("Content-Type", "application/problem+json"), body: body}))
	err := c.Do(t.Context(), "POST", "/api/things", map[string]string{"name": secret}, nil)
	e, ok := errors.AsType[*authos.APIError](err)
	if !ok || e.Problem == nil || !strings.Contains(string(e.Body), secret) {
		t.Fatalf("got %#v", err)
	}
	for name, v := range map[string]any{"APIError": *e, "*APIError": e, "Problem": *e.Problem, "*Problem": e.Problem, "in a slice": []any{*e, *e.Problem}} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		if text := log.String(); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) || strings.Contains(text, "115 101 114") {
			t.Errorf("%s prints %s", name, text)
		}
	}
	data, jsonErr := json.Marshal(*e)
	if jsonErr != nil || strings.Contains(string(data), secret) {
		t.Errorf("JSON of a copy: %s, %v", data, jsonErr)
	}
}

// What was sent is neither printed nor marshalled, whichever of the server's texts repeats it.
func TestSentValuesAreHiddenEverywhere(t *testing.T) {
	const sent, odd = "correct horse battery", `quo"ted \ value`
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) } //nolint:errchkjson // a text
	for _, secret := range []string{sent, odd, "stra\u00dfe-42-\u00e9"} {
		text := quote("bad " + secret + ".")
		shapes := map[string]string{
			"code":    `{"error":"no","error_code":` + text + `}`,
			"message": `{"error":` + text + `,"error_code":"BAD_REQUEST"}`,
			"findings": `{"error":{"code":"VALIDATION_ERROR","message":"no","details":[{"field":` + text + `,"code":` + text + `,"message":` + text +
				`,"constraints":{"not":` + text + `,"any":[` + text + `]}},{"fields":["a",` + text + `],"code":"X","message":"y"}]}}`,
			"problem": `{"title":` + text + `,"detail":` + text + `,"status":400}`,
		}
		for name, body := range shapes {
			c := clientWithoutBreaker(t, scripted(reply{status: 400, body: body}))
			err := c.Do(t.Context(), "POST", "/api/things", map[string]any{"list": []any{map[string]string{"deep": secret}}}, nil)
			e, _ := errors.AsType[*authos.APIError](err)
			data, jsonErr := json.Marshal([]any{err, e, e.Fields})
			if jsonErr != nil {
				t.Errorf("%s: %v", name, jsonErr)
			}
			printed := fmt.Sprintf("%v %+v %#v %v %+v", err, e, e.Fields, e.Problem, e.LogValue()) + string(data)
			for _, form := range []string{secret, strings.Trim(quote(secret), `"`)} {
				if strings.Contains(printed, form) {
					t.Errorf("%s: %q is shown: %s", name, secret, printed)
				}
			}
		}
	}
}

// The call's own credentials are taken out of the fields themselves: a program may show a Message.
func TestCredentialsAreTakenOutOfFields(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:her-password"))
	for name, tc := range map[string]struct {
		path, secret string
		opts         []authos.Option
		header       [2]string
	}{
		"API key":            {path: "/api/service/info", secret: scriptKey, opts: []authos.Option{authos.WithAPIKey(scriptKey)}},
		"access token":       {path: "/api/user", secret: scriptOpaque, opts: []authos.Option{authos.WithTokens(authos.Tokens{AccessToken: scriptOpaque})}},
		"own Authorization":  {path: "/api/user", secret: "opaque-own-token", header: [2]string{"Authorization", "Bearer opaque-own-token"}},
		"own key":            {path: "/api/service/info", secret: "own-api-key", header: [2]string{"X-Api-Key", "own-api-key"}},
		"password of Basic":  {path: "/api/things", secret: "her-password", header: [2]string{"Authorization", basic}},
		"cookie":             {path: "/api/things", secret: "cookie-value", header: [2]string{"Cookie", "a=b; session=cookie-value"}},
		"another own header": {path: "/api/things", secret: "", header: [2]string{"X-Custom", "custom-value"}},
	} {
		t.Run(name, func(t *testing.T) {
			secret := tc.secret
			if secret == "" {
				secret = tc.header[1]
			}
			body := strings.ReplaceAll(`{"error":{"code":"VALIDATION_ERROR","message":"m S","request_id":"r S","documentation_url":"https://a.test/S",`+
				`"details":[{"field":"S","fields":["S"],"code":"S","message":"S!"}]}}`, "S", secret)
			c := clientWithoutBreaker(t, scripted(reply{status: 400, body: body, header: headers("Www-Authenticate", `Bearer realm="`+secret+`"`, "Content-Language", secret)}), tc.opts...)
			var opts []authos.RequestOption
			if tc.header[0] != "" {
				opts = append(opts, authos.WithHeader(tc.header[0], tc.header[1]))
			}
			err := c.Do(t.Context(), "GET", tc.path, nil, nil, opts...)
			e, ok := errors.AsType[*authos.APIError](err)
			if !ok || len(e.Fields) != 1 || len(e.Challenges) != 1 {
				t.Fatalf("got %v", err)
			}
			f := e.Fields[0]
			fields := fmt.Sprint(e.Message, e.RequestID, e.DocumentationURL, e.Language, e.Challenges, f.Field, f.Fields, string(f.Code), f.Message)
			if tc.secret != "" && strings.Contains(fields, secret) {
				t.Errorf("a field holds the %s: %s", name, fields)
			}
			data, _ := json.Marshal(err)
			if printed := fmt.Sprint(err, e.Fields, string(data)); strings.Contains(strings.ReplaceAll(printed, e.RequestID, ""), secret) {
				t.Errorf("the %s is printed: %s", name, printed)
			}
		})
	}
}

// A server's text cannot steer the terminal that shows it, nor turn the direction of writing.
func TestErrorTextIsPlain(t *testing.T) {
	for _, r := range "\u0000\u0007\u001b\u007f\u0080\u0085\u009b\u009d\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\U000e0041" {
		text, _ := json.Marshal("be" + string(r) + "fore") //nolint:errchkjson // a text
		for name, step := range map[string]reply{
			"message": {status: 400, body: `{"error":` + string(text) + `,"error_code":` + string(text) + `}`},
			"finding": {status: 400, body: `{"error":{"code":"X_Y","message":"no","details":[{"field":` + string(text) + `,"message":` + string(text) + `}]}}`},
			"request": {status: 400, body: `{"error":{"code":"X_Y","message":"no","request_id":` + string(text) + `}}`},
			"problem": {status: 400, body: `{"title":` + string(text) + `,"detail":` + string(text) + `}`},
			"type":    {status: 200, body: "x", header: headers("Content-Type", "text/"+string(r)+"html")},
		} {
			var out struct{}
			err := clientWithoutBreaker(t, scripted(step)).Do(t.Context(), "GET", "/api/things", nil, &out)
			data, _ := json.Marshal(err) //nolint:errchkjson // what it could not write it does not show
			printed := fmt.Sprint(err, string(data))
			if e, ok := errors.AsType[*authos.APIError](err); ok {
				printed += fmt.Sprint(e.Fields, e.Problem, e.LogValue())
			}
			if strings.ContainsRune(printed, r) || strings.Contains(printed, fmt.Sprintf(`\u%04x`, r)) || !strings.Contains(printed, "authos: ") {
				t.Errorf("%U in %s: %q", r, name, printed)
			}
		}
	}
}

// Where a redirect's Location cannot be read, the error does not repeat it.
func TestBadLocationIsNotPrinted(t *testing.T) {
	for _, location := range []string{"https://a.test/%zz?code=query-secret#fragment-secret", "/path-secret/%zz", "https://user:query-secret@[::1/x", ":path-secret"} {
		var observed []any
		var log bytes.Buffer
		c := clientWithoutBreaker(t, scripted(emptyReply(302, "Location", location)), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}),
			authos.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
			authos.WithObserver(&authos.Observer{Attempt: func(_ context.Context, e authos.AttemptEvent) { observed = append(observed, e, e.Err) }}))
		var resp authos.Response
		err := c.Do(t.Context(), "GET", "/api/things", nil, nil, authos.WithResponse(&resp))
		if err == nil {
			t.Fatal("no error")
		}
		e, _ := errors.AsType[*authos.NetworkError](err)
		text := fmt.Sprintf("%v %v %+v %v %v %s", err, e.Err, e.History, resp.History, observed, log.String())
		for _, secret := range []string{"query-secret", "fragment-secret", "path-secret", "%zz"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s", location, text)
			}
		}
		if !strings.Contains(err.Error(), "Location") {
			t.Errorf("%v does not say what is wrong", err)
		}
	}
}

// A transport may print a request's context, and what is derived from it.
func TestContextPrintsNothing(t *testing.T) {
	type key struct{}
	for name, policy := range map[string]authos.RetryPolicy{"with a timeout": {}, "without": {AttemptTimeout: -1, MaxElapsed: -1}} {
		var text string
		rt := scripted(reply{do: func(req *http.Request) (*http.Response, error) {
			for _, ctx := range []context.Context{req.Context(), context.WithValue(req.Context(), key{}, 1), context.WithoutCancel(req.Context())} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
					text += fmt.Sprintf(verb+"\n", ctx)
				}
				var log bytes.Buffer
				slog.New(slog.NewTextHandler(&log, nil)).Info("x", "ctx", ctx)
				slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ctx", ctx)
				text += log.String()
			}
			return okReply().response(req), nil
		}})
		c := clientWithoutBreaker(t, rt, authos.WithRetry(policy), authos.WithTokens(authos.Tokens{AccessToken: scriptOpaque, RefreshToken: scriptRefresh}), authos.WithAPIKey(scriptKey))
		if err := c.Do(t.Context(), "PATCH", "/api/user?q=query-secret", map[string]string{"email": scriptEmail}, nil); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{scriptOpaque, scriptRefresh, scriptKey, scriptEmail, "query-secret"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the context prints %s: %s", name, secret, text)
			}
		}
		if !strings.Contains(text, "/api/user") {
			t.Errorf("%s: the call is not named: %s", name, text)
		}
	}
}

// Every response of 400 or more is of some kind, so that a program's switch over them has a branch
// for it.
func TestEveryStatusIsOfAKind(t *testing.T) {
	kinds := map[string]error{
		"invalid": authos.ErrInvalid, "unauthenticated": authos.ErrUnauthenticated, "forbidden": authos.ErrForbidden, "not found": authos.ErrNotFound,
		"conflict": authos.ErrConflict, "rate limited": authos.ErrRateLimited, "server": authos.ErrServer, "unavailable": authos.ErrUnavailable,
	}
	special := map[int]string{401: "unauthenticated", 403: "forbidden", 404: "not found", 408: "unavailable", 409: "conflict", 410: "not found", 429: "rate limited"}
	for status := 400; status < 600; status++ {
		want := "invalid"
		if status >= 500 {
			want = "server"
		}
		if status == 502 || status == 503 || status == 504 || 520 <= status && status <= 530 {
			want = "server unavailable"
		}
		if text := special[status]; text != "" {
			want = text
		}
		err := clientWithoutBreaker(t, scripted(emptyReply(status)), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})).Do(t.Context(), "GET", "/api/things", nil, nil)
		var got []string
		for _, name := range slices.Sorted(maps.Keys(kinds)) {
			if errors.Is(err, kinds[name]) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
}

// Duplicates that the server tells in text are conflicts on the routes that tell them so, and
// nowhere else; a token that was used is none.
func TestConflictsToldInText(t *testing.T) {
	const org = "/api/organizations/acme"
	for _, tt := range []struct {
		method, path, text string
		want               authos.Code
	}{
		{"PATCH", "/api/user", "Email already in use", authos.CodeResourceAlreadyExists},
		{"PATCH", "/api/user", "Email is already taken", authos.CodeResourceAlreadyExists},
		{"POST", "/api/user", "Email is already taken", ""},
		{"POST", org + "/invitations", "Invitation already sent", authos.CodeResourceAlreadyExists},
		{"POST", org + "/invitations", "User is already a member of this organization", authos.CodeResourceAlreadyExists},
		{"POST", "/api/things", "User is already a member of this organization", ""},
		{"POST", "/api/organizations", "Unable to create organization with the provided information", authos.CodeResourceAlreadyExists},
		{"POST", org + "/select", "Unable to create organization with the provided information", ""},
		{"POST", org + "/domain", "This domain is already configured", authos.CodeResourceAlreadyExists},
		{"POST", org + "/domain-routes", "This domain is already configured", authos.CodeResourceAlreadyExists},
		{"POST", org + "/roles", "Role with this slug already exists", authos.CodeResourceAlreadyExists},
		{"POST", org + "/webhooks", "A webhook with this name already exists", authos.CodeResourceAlreadyExists},
		{"PATCH", org + "/services/app/plans/p1", "A plan with this name already exists for this service", authos.CodeResourceAlreadyExists},
		{"POST", "/api/platform/owners", "User is already a platform owner", authos.CodeResourceAlreadyExists},
		{"POST", "/api/platform/organizations/o1/suspend", "Organization is already suspended", authos.CodeConflictError},
		{"POST", "/api/user/mfa/verify", "MFA is already enabled", authos.CodeConflictError},
		{"POST", "/api/auth/reset-password", "Reset token has already been used", ""},
		{"GET", "/api/auth/magic-link/verify", "This link has already been used", ""},
		{"PATCH", "/api/user", "Invalid email format", ""},
	} {
		err := clientWithoutBreaker(t, scripted(reply{status: 400, body: `{"error":"` + tt.text + `","error_code":"BAD_REQUEST"}`})).Do(t.Context(), tt.method, tt.path, nil, nil)
		if got := errors.Is(err, authos.ErrConflict); got != (tt.want != "") || tt.want != "" && !errors.Is(err, tt.want) {
			t.Errorf("%s %s, %q: a conflict %v, want %q", tt.method, tt.path, tt.text, got, tt.want)
		}
		if !errors.Is(err, authos.ErrInvalid) || !errors.Is(err, authos.CodeBadRequest) {
			t.Errorf("%q is no longer a BAD_REQUEST", tt.text)
		}
	}
	// another code keeps its meaning
	err := clientWithoutBreaker(t, scripted(reply{status: 404, body: `{"error":"not found or already a member","error_code":"NOT_FOUND"}`})).
		Do(t.Context(), "POST", "/api/invitations/accept", nil, nil)
	if errors.Is(err, authos.ErrConflict) {
		t.Errorf("%v is a conflict", err)
	}
	for _, info := range authos.Codes() {
		if info.Code == authos.CodeResourceAlreadyExists && !slices.Contains(info.Texts, "already a member") {
			t.Errorf("the catalog names %q", info.Texts)
		}
	}
}

// A success that cannot be read leaves a write's outcome unknown, and says that it was a success.
func TestUnreadableSuccess(t *testing.T) {
	var out struct{ ID int }
	for _, step := range []reply{{status: 200, body: `{"id":"text"}`}, proxyPage(200), emptyReply(200), {status: 201, body: `{"id`}} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "GET"} {
			rt := scripted(step)
			var in any
			if method != "GET" {
				in = map[string]string{"a": "b"}
			}
			err := clientWithoutBreaker(t, rt).Do(t.Context(), method, "/api/organizations", in, &out)
			if _, ok := errors.AsType[*authos.DecodeError](err); !ok || !errors.Is(err, authos.CodeInvalidResponse) || authos.Retryable(err) || rt.count() != 1 {
				t.Fatalf("%s: %v after %d requests", method, err, rt.count())
			}
			if write := method != "GET"; errors.Is(err, authos.ErrOutcomeUnknown) != write || strings.Contains(err.Error(), "responded with success") != write {
				t.Errorf("%s, %d: %v", method, step.status, err)
			}
		}
	}
	for _, status := range []int{300, 302, 304} {
		err := clientWithoutBreaker(t, scripted(emptyReply(status))).Do(t.Context(), "POST", "/api/organizations", nil, nil)
		if !errors.Is(err, authos.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "may have acted") {
			t.Errorf("%d without a Location: %v", status, err)
		}
	}
}

// A success that cannot be read is about itself, not about what an earlier attempt met.
func TestUnreadableSuccessHasNoEarlierResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out struct{ ID int }
		rt := scripted(apiError(503, "SERVICE_UNAVAILABLE"), reply{status: 200, body: `{"id":"text"}`})
		err := clientWithoutBreaker(t, rt).Do(t.Context(), "GET", "/api/organizations", nil, &out)
		if _, ok := errors.AsType[*authos.DecodeError](err); !ok || rt.count() != 2 {
			t.Fatalf("got %v after %d requests", err, rt.count())
		}
		if e, ok := errors.AsType[*authos.APIError](err); ok || errors.Is(err, authos.ErrServer) {
			t.Errorf("%v unwraps to the earlier %v", err, e)
		}
	})
}

// A body's reset time says nothing about a wait as long as something remains.
func TestResetWhileSomethingRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(30 * time.Second).UTC().Format(time.RFC3339)
		for remaining, want := range map[string]time.Duration{`,"remaining":3`: 0, `,"remaining":0`: 30 * time.Second, ``: 30 * time.Second} {
			body := `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"no","details":{"limit":5,"reset_at":"` + at + `"` + remaining + `}}}`
			err := clientWithoutBreaker(t, scripted(reply{status: 429, body: body}), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})).Do(t.Context(), "GET", "/api/things", nil, nil)
			e, ok := errors.AsType[*authos.APIError](err)
			if !ok || e.RetryAfter != want || e.RateLimit == nil || e.RateLimit.Reset.IsZero() {
				t.Errorf("%q: %+v, want a wait of %s", remaining, err, want)
			}
		}
	})
}
