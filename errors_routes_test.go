package authos_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

// A 401 that is this client's own fault says so; a 404 without a body says which servers have the
// route.
func TestErrorsSayWhatTheyMeanOnTheirRoute(t *testing.T) {
	signedIn := authos.WithTokens(authos.Tokens{AccessToken: "access-token"})
	for _, tt := range []struct {
		name string
		step reply
		call func(c *authos.Client) error
		opts []authos.Option
		want string // part of the text; empty: none of the notes
	}{
		{"no key", apiError(401, "UNAUTHORIZED"), serviceInfo(t), nil, "(this client has no API key: WithAPIKey)"},
		{"a wrong key", apiError(401, "UNAUTHORIZED"), serviceInfo(t), []authos.Option{authos.WithAPIKey("sk_a_wrong_key")}, ""},
		{"no tokens", apiError(401, "UNAUTHORIZED"), profile(t), nil, "(this client is not signed in: "},
		{"dead tokens", apiError(401, "UNAUTHORIZED"), profile(t), []authos.Option{signedIn}, ""},
		{"a new route", emptyReply(404), passkeys(t), []authos.Option{signedIn}, "(servers newer than October 2025 have this route)"},
		{"an old route", emptyReply(404), profile(t), []authos.Option{signedIn}, "is the base URL right?"},
		{"a new method", emptyReply(405), passkeys(t), []authos.Option{signedIn}, "(servers newer than October 2025 have this route)"},
		{"no such thing", apiError(404, "NOT_FOUND"), passkeys(t), []authos.Option{signedIn}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.call(clientWithoutBreaker(t, scripted(tt.step), tt.opts...))
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if tt.want != "" && !strings.Contains(text, tt.want) || tt.want == "" && (strings.Contains(text, "this client") || strings.Contains(text, "October")) {
				t.Errorf("%s; want %q in it", text, tt.want)
			}
		})
	}
}

// An end user cannot mend a service's key by signing in.
func TestMessageOfAWrongKey(t *testing.T) {
	for name, step := range map[string]reply{"JSON": apiError(401, "UNAUTHORIZED"), "text": {status: 401, body: "Invalid API key"}, "empty": emptyReply(401)} {
		err := serviceInfo(t)(clientWithoutBreaker(t, scripted(step), authos.WithAPIKey("sk_a_wrong_key")))
		if !errors.Is(err, authos.ErrUnauthenticated) {
			t.Errorf("%s: %v is not ErrUnauthenticated", name, err)
		}
		for _, language := range []string{"en", "es", "de", "fr"} {
			if text := authos.UserMessage(err, language); text == "" || text == authos.UserMessage(authos.CodeUnauthorized, language) {
				t.Errorf("%s: the end user is told %q", name, text)
			}
		}
	}
	inactive := reply{status: 401, body: `{"error":"API key organization is not active","error_code":"UNAUTHORIZED"}`}
	err := serviceInfo(t)(clientWithoutBreaker(t, scripted(inactive), authos.WithAPIKey("sk_a_key")))
	if got, want := authos.UserMessage(err), authos.UserMessage(authos.CodeOrganizationNotActive); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	err = profile(t)(clientWithoutBreaker(t, scripted(apiError(401, "UNAUTHORIZED")), authos.WithTokens(authos.Tokens{AccessToken: "access-token"})))
	if got, want := authos.UserMessage(err), authos.UserMessage(authos.CodeUnauthorized); got != want {
		t.Errorf("a user's own 401: %q, want %q", got, want)
	}
}

func serviceInfo(t *testing.T) func(c *authos.Client) error {
	return func(c *authos.Client) error { return typedErr(c.Service.Info(t.Context())) }
}

func profile(t *testing.T) func(c *authos.Client) error {
	return func(c *authos.Client) error { return typedErr(c.User.Get(t.Context())) }
}

func passkeys(t *testing.T) func(c *authos.Client) error {
	return func(c *authos.Client) error { return typedErr(c.User.Passkeys.List(t.Context())) }
}

// "Billing is disabled" is for good: it is not repeated, not worth another try, and opens no
// circuit.
func TestBillingIsDisabled(t *testing.T) {
	step := reply{status: 503, body: `{"error":"Billing is disabled on this instance","error_code":"SERVICE_UNAVAILABLE"}`}
	script := scripted(step)
	c, err := authos.New(testBase, authos.WithHTTPClient(&http.Client{Transport: script}), authos.WithTokens(authos.Tokens{AccessToken: "access-token"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for i := range 10 {
		_, err := c.Organizations.Billing.Portal(t.Context(), "acme", "https://acme.example")
		if authos.Retryable(err) || errors.Is(err, authos.ErrCircuitOpen) || !errors.Is(err, authos.CodeServiceUnavailable) || script.count() != i+1 {
			t.Fatalf("call %d: %v after %d requests", i, err, script.count())
		}
	}
}
