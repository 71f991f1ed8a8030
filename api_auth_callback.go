package authos

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ParseCallback reads what the server adds to the redirect URI when a browser comes back from
// [AuthService.LoginURL] or [AuthService.AdminLoginURL]. Nothing is sent.
//
// The server puts tokens into the fragment, which a browser does not send: the page at the redirect
// URI reads location.hash and posts it to the backend, which parses it with [url.ParseQuery]. An
// error may come in the query instead.
//
// Before anything else compare the state in v with the one that was given to LoginURL and kept in
// this browser's session (RFC 6749, section 10.12): without that, a stranger can sign a victim in
// to the stranger's account. ParseCallback does not know it, so it cannot check it. examples/web is
// a program that does all of it.
//
// A user who needs a second factor is a [*MFARequiredError], whose token goes to
// [AuthService.CompleteMFA]. A refusal by the provider or the server ("error" and
// "error_description", RFC 6749, section 4.1.2.1) is an [*APIError] with that code: access_denied
// is [ErrForbidden], server_error and temporarily_unavailable are [ErrServer], the others
// [ErrInvalid]. Values without tokens, or with a parameter given twice, are a [*ValidationError].
func ParseCallback(v url.Values) (Tokens, error) {
	var in checks
	for _, name := range []string{"access_token", "refresh_token", "preauth_token", "expires_in", "error", "state"} {
		if len(v[name]) > 1 {
			in.add(name, CodeInvalidFormat, "must not be given twice") // RFC 6749, section 3.1
		}
	}
	if len(in) > 0 {
		return Tokens{}, in.err(nil)
	}
	switch {
	case v.Get("error") != "":
		return Tokens{}, callbackRefusal(v)
	case v.Get("preauth_token") != "":
		if err := checkCredential("preauth_token", v.Get("preauth_token")); err != nil {
			return Tokens{}, invalid("preauth_token", CodeInvalidFormat, "must be a token")
		}
		return Tokens{}, &MFARequiredError{PreAuthToken: NewSecret(v.Get("preauth_token")), State: v.Get("state")}
	case v.Get("access_token") == "":
		return Tokens{}, invalid("access_token", CodeRequired, "must not be empty: is this the fragment of the redirect URI?")
	}
	body := tokenBody{AccessToken: v.Get("access_token"), RefreshToken: v.Get("refresh_token")}
	if life, err := strconv.ParseUint(v.Get("expires_in"), 10, 63); err == nil {
		body.ExpiresIn = seconds(life)
	}
	t, err := body.session()
	if err != nil {
		return Tokens{}, err
	}
	if err := t.check(); err != nil {
		return Tokens{}, err
	}
	return t, nil
}

// callbackStatus is the status that a code of RFC 6749, section 4.1.2.1, would have had as a
// response.
var callbackStatus = map[Code]int{
	"access_denied":           http.StatusForbidden,
	CodeOAuthServerError:      http.StatusInternalServerError,
	"temporarily_unavailable": http.StatusServiceUnavailable,
}

// callbackRefusal makes the error of a sign-in that the provider or the server refused.
func callbackRefusal(v url.Values) *APIError {
	e := &APIError{
		StatusCode: http.StatusBadRequest,
		Code:       Code(strings.ToValidUTF8(v.Get("error"), "\uFFFD")),
		Message:    strings.ToValidUTF8(v.Get("error_description"), "\uFFFD"),
		Method:     http.MethodGet, Path: "/auth/:provider/callback",
		coded: true, shaped: true,
	}
	if len(e.Code) > maxCode {
		e.Code = CodeBadRequest
	}
	e.StatusCode = cmp.Or(callbackStatus[e.Code], e.StatusCode)
	return e
}
