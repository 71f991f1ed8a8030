package authos_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

func TestParseCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values, err := url.ParseQuery("access_token=at-12345678&refresh_token=rt-12345678&expires_in=900&state=s1")
		if err != nil {
			t.Fatal(err)
		}
		got, err := authos.ParseCallback(values)
		want := authos.Tokens{AccessToken: "at-12345678", RefreshToken: "rt-12345678", ExpiresAt: time.Now().Add(15 * time.Minute)}
		if err != nil || got.AccessToken != want.AccessToken || got.RefreshToken != want.RefreshToken || !got.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("ParseCallback = %s until %s, %v", got.AccessToken, got.ExpiresAt, err)
		}
	})
}

func TestParseCallbackRefuses(t *testing.T) {
	const secret = "preauth-token-0123456789"
	tests := []struct {
		name, values string
		is           error
		code         authos.Code // of an *APIError
		field        string      // of a *ValidationError
	}{
		{name: "second factor", values: "preauth_token=" + secret + "&mfa_required=true&state=s1", is: authos.CodeMFARequired},
		{name: "denied", values: "error=access_denied&error_description=The+user+said+no", is: authos.ErrForbidden, code: "access_denied"},
		{name: "AuthOS's own", values: "error=oauth_error&error_description=provider+failed", is: authos.ErrInvalid, code: "oauth_error"},
		{name: "server error", values: "error=server_error", is: authos.ErrServer, code: "server_error"},
		{name: "unavailable", values: "error=temporarily_unavailable", is: authos.ErrUnavailable, code: "temporarily_unavailable"},
		{name: "an error beside tokens", values: "error=access_denied&access_token=at-12345678", is: authos.ErrForbidden, code: "access_denied"},
		{name: "nothing", values: "", is: authos.ErrInvalid, field: "access_token"},
		{name: "the query instead of the fragment", values: "state=s1", is: authos.ErrInvalid, field: "access_token"},
		{name: "twice", values: "access_token=at-12345678&access_token=at-other000", is: authos.ErrInvalid, field: "access_token"},
		{name: "state twice", values: "access_token=at-12345678&state=a&state=b", is: authos.ErrInvalid, field: "state"},
		{name: "a token that no header can carry", values: "access_token=at%0A12345678", is: authos.ErrInvalid},
		{name: "a code as long as a book", values: "error=" + strings.Repeat("x", 1000), is: authos.ErrInvalid, code: authos.CodeBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			values, err := url.ParseQuery(tt.values)
			if err != nil {
				t.Fatal(err)
			}
			got, err := authos.ParseCallback(values)
			if got != (authos.Tokens{}) || !errors.Is(err, tt.is) {
				t.Fatalf("ParseCallback = %v, %v; want no tokens and %v", got, err, tt.is)
			}
			if api, ok := errors.AsType[*authos.APIError](err); tt.code != "" && (!ok || api.Code != tt.code || api.StatusCode < 400) {
				t.Errorf("the error is %+v, want code %s", api, tt.code)
			}
			if bad, ok := errors.AsType[*authos.ValidationError](err); tt.field != "" && (!ok || bad.Fields[0].Field != tt.field) {
				t.Errorf("the error is %+v, want the field %s", bad, tt.field)
			}
			if mfa, ok := errors.AsType[*authos.MFARequiredError](err); ok && (mfa.PreAuthToken.Reveal() != secret || mfa.State != "s1") {
				t.Errorf("the token is %q, the state %q", mfa.PreAuthToken.Reveal(), mfa.State)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) || strings.Contains(text, "at-12345678") {
				t.Errorf("a token is in %s", text)
			}
		})
	}
}

func FuzzParseCallback(f *testing.F) {
	f.Add("access_token=a&refresh_token=b&expires_in=900")
	f.Add("error=access_denied&error_description=%ff%fe")
	f.Add("preauth_token=x&mfa_required=true")
	f.Add("access_token=a&expires_in=18446744073709551615")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		got, err := authos.ParseCallback(values)
		if (err == nil) != (got.AccessToken != "") {
			t.Errorf("ParseCallback(%q) = %q, %v", raw, got.AccessToken, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("a control character is in %q", err.Error())
		}
	})
}

func ExampleParseCallback() {
	// The page at the redirect URI has posted its location.hash, without the "#".
	fragment, err := url.ParseQuery("access_token=at-1&refresh_token=rt-1&expires_in=900&state=unguessable")
	if err != nil {
		fmt.Println(err)
		return
	}
	// what LoginURL was given, from this browser's session
	if fragment.Get("state") != "unguessable" {
		fmt.Println("not the sign-in that began here")
		return
	}
	tokens, err := authos.ParseCallback(fragment)
	if mfa, ok := errors.AsType[*authos.MFARequiredError](err); ok {
		fmt.Println("ask for the second factor, then CompleteMFA with", mfa.PreAuthToken)
		return
	}
	fmt.Println(tokens.RefreshToken != "", err)
	// Output: true <nil>
}
