package authos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RateLimitError is a 429, or a call that was held back here because the server had told another
// call to wait.
type RateLimitError struct { //nolint:recvcheck // a copy must not print more than the error
	// RetryAfter is how long to wait. Zero: the server did not say.
	RetryAfter time.Duration
	Limit      *RateLimit
	// API is the server's response; nil when the call was held back here and nothing was sent.
	API *APIError
	callEnd
}

// Error is one line without secrets.
func (e *RateLimitError) Error() string {
	text := "authos: held back, nothing was sent: the server asked for a wait"
	if e.API != nil {
		text = e.API.Error()
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf("; retry after %s", e.RetryAfter.Round(time.Millisecond))
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e RateLimitError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *RateLimitError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e RateLimitError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *RateLimitError) record() record {
	if e.API != nil {
		return e.API.record(strings.TrimPrefix(e.Error(), "authos: "))
	}
	return e.callEnd.record(CodeRateLimitExceeded, e)
}

// Unwrap gives the server's response, where there was one.
func (e *RateLimitError) Unwrap() []error { return e.join(asError(e.API)) }

// Is matches [ErrRateLimited], and [CodeRateLimitExceeded] also when nothing was sent.
func (e *RateLimitError) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return CodeRateLimitExceeded.means(code)
	}
	return target == ErrRateLimited || target == ErrOutcomeUnknown && e.unknown
}

// ValidationError is bad input: found here before anything was sent (API nil), or by the server.
type ValidationError struct { //nolint:recvcheck // a copy must not print more than the error
	Fields []FieldError
	API    *APIError
	callEnd
}

// Error is one line that names every bad field, never its value.
func (e *ValidationError) Error() string {
	if e.API != nil {
		return e.API.Error()
	}
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.text()
	}
	return "authos: invalid input, nothing was sent: " + strings.Join(texts, "; ")
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e ValidationError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *ValidationError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e ValidationError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *ValidationError) record() record {
	if e.API != nil {
		return e.API.record(strings.TrimPrefix(e.Error(), "authos: "))
	}
	return e.callEnd.record(CodeValidationError, e)
}

// Unwrap gives the server's response, where there was one.
func (e *ValidationError) Unwrap() []error { return e.join(asError(e.API)) }

// Is matches [ErrInvalid], [CodeValidationError] and the codes of the fields.
func (e *ValidationError) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return CodeValidationError.means(code) || slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Code.means(code) })
	}
	return target == ErrInvalid || target == ErrOutcomeUnknown && e.unknown
}

// NetworkError is a call without a response: the connection failed, timed out or broke, or the
// caller's context ended it.
type NetworkError struct { //nolint:recvcheck // a copy must not print more than the error
	// Op is what was going on: "dial", "send", "read body", "redirect", "wait" (between attempts),
	// "refresh" (waiting for tokens).
	Op           string
	Method, Path string
	// Err is the cause, without URLs. Both [context.DeadlineExceeded] and [context.Cause] are found
	// in it.
	Err      error
	Attempts int
	History  []Attempt
	// ClientRequestID is what was sent as X-Request-ID.
	ClientRequestID string
	unsent          bool // the request certainly did not reach the server
	reused          bool // the connection had carried requests before
	callEnd
}

// Error is one line without secrets or query strings.
func (e *NetworkError) Error() string {
	text := "authos: "
	if e.Method != "" {
		text += e.Method + " " + e.Path + ": "
	}
	text += e.Op + ": " + safeText(fmt.Sprint(e.Err))
	if e.Attempts > 1 {
		text += " after " + strconv.Itoa(e.Attempts) + " attempts"
	}
	text += e.noMoreText()
	if e.unknown {
		text += "; the server may have acted"
	}
	if e.last != nil {
		text += "; last response " + strconv.Itoa(e.last.StatusCode) + " " + safeText(string(e.last.Code))
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e NetworkError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *NetworkError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e NetworkError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *NetworkError) record() record {
	code := CodeNetworkError
	switch {
	case e.Timeout():
		code = CodeTimeout
	case e.Is(CodeCanceled):
		code = CodeCanceled
	}
	r := e.callEnd.record(code, e)
	r.Method, r.Route, r.RequestID, r.Attempts = e.Method, e.Path, safeText(e.ClientRequestID), e.Attempts
	return r
}

// Unwrap gives the cause, and the server's last response to this call where there was one.
func (e *NetworkError) Unwrap() []error { return e.join(e.Err) }

// Is matches [ErrNetwork] and [ErrUnavailable], but neither when the caller itself cancelled the
// call; [CodeNetworkError], [CodeTimeout] and [CodeCanceled] alike.
func (e *NetworkError) Is(target error) bool {
	switch target {
	case ErrNetwork, ErrUnavailable, CodeNetworkError:
		return !errors.Is(e.Err, context.Canceled)
	case CodeCanceled:
		return errors.Is(e.Err, context.Canceled)
	case CodeTimeout:
		return e.Timeout()
	case ErrOutcomeUnknown:
		return e.unknown
	default:
		return false
	}
}

// Timeout reports whether time ran out: the caller's deadline, or an attempt's.
func (e *NetworkError) Timeout() bool {
	if errors.Is(e.Err, context.DeadlineExceeded) {
		return true
	}
	ne, ok := errors.AsType[net.Error](e.Err)
	return ok && ne.Timeout()
}

// CircuitOpenError is a call refused here, without touching the network, because the endpoint group
// has been failing: for everybody, or for this call's principal alone.
type CircuitOpenError struct { //nolint:recvcheck // a copy must not print more than the error
	// Group is the endpoint group, such as "service".
	Group string
	// RetryAt is when the next probe may be sent.
	RetryAt time.Time
	// LastStatus and LastCode are what opened the circuit, responses to other calls; zero when no
	// response came.
	LastStatus int
	LastCode   Code
	callEnd
}

// Error is one line without secrets.
func (e *CircuitOpenError) Error() string {
	text := fmt.Sprintf("authos: circuit of group %q is open, nothing was sent; next probe at %s",
		e.Group, e.RetryAt.UTC().Format(time.RFC3339))
	if e.LastStatus != 0 {
		text += "; last failure " + strconv.Itoa(e.LastStatus) + " " + safeText(string(e.LastCode))
	}
	if e.unknown {
		text += "; an earlier attempt may have taken effect"
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e CircuitOpenError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *CircuitOpenError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e CircuitOpenError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *CircuitOpenError) record() record { return e.callEnd.record(CodeCircuitOpen, e) }

// Unwrap gives the server's last response to this call, when an earlier attempt got one.
func (e *CircuitOpenError) Unwrap() []error { return e.join() }

// Is matches [ErrCircuitOpen], [CodeCircuitOpen] and [ErrUnavailable].
func (e *CircuitOpenError) Is(target error) bool {
	return target == ErrCircuitOpen || target == CodeCircuitOpen || target == ErrUnavailable || target == ErrOutcomeUnknown && e.unknown
}

// SessionError is a call that has no session to be made with. There are three ends:
//   - over, [ErrSessionExpired]: the server refused the refresh token, or somebody signed out. The
//     user has to sign in again. A refusal is cached for 5 minutes, during which calls fail without
//     asking the server again, unless tokens are set or the store holds others.
//   - in doubt, RetryAt is set: the outcome of a refresh is not known, or it could not be tried;
//     calls may succeed from then on.
//   - somebody else's, neither of the two: the call began for one principal, and the client speaks
//     for another now. Nothing was done in the other's name; a new call is the other's.
type SessionError struct { //nolint:recvcheck // a copy must not print more than the error
	RetryAt time.Time
	// Err says why. It never is another call's [*APIError]; its code and kind are matched by
	// [errors.Is].
	Err     error
	foreign bool // somebody else's
	callEnd
}

// Error is one line without secrets.
func (e *SessionError) Error() string {
	text := "authos: session over, sign in again"
	switch {
	case e.foreign:
		text = "authos: the call's session is no longer the client's"
	case !e.RetryAt.IsZero():
		text = "authos: session could not be refreshed, retry at " + e.RetryAt.UTC().Format(time.RFC3339)
	}
	if e.Err != nil {
		text += ": " + safeText(strings.TrimPrefix(e.Err.Error(), "authos: "))
	}
	if e.unknown {
		text += "; an earlier attempt may have taken effect"
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e SessionError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *SessionError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e SessionError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *SessionError) record() record {
	if e.over() {
		return e.callEnd.record(CodeSessionExpired, e)
	}
	return e.callEnd.record(CodeSessionUncertain, e)
}

// Unwrap gives the cause, and this call's own 401 where there was one.
func (e *SessionError) Unwrap() []error { return e.join(e.Err) }

func (e *SessionError) over() bool { return e.RetryAt.IsZero() && !e.foreign }

// Is matches [ErrUnauthenticated], and where the session is over [ErrSessionExpired] and
// [CodeSessionExpired], else [CodeSessionUncertain].
func (e *SessionError) Is(target error) bool {
	switch target {
	case ErrUnauthenticated:
		return true
	case ErrSessionExpired, CodeSessionExpired:
		return e.over()
	case CodeSessionUncertain:
		return !e.over()
	case ErrOutcomeUnknown:
		return e.unknown
	default:
		return false
	}
}

// MFARequiredError is a sign-in that was right so far and needs a second factor. No session was
// made: [AuthService.CompleteMFA] makes it of the token and the user's code.
type MFARequiredError struct { //nolint:recvcheck // a copy must not print more than the error
	// PreAuthToken is what the second step presents. It prints redacted; Reveal gives the text.
	PreAuthToken Secret
	// ExpiresAt is when the token ends; zero when the server did not say.
	ExpiresAt time.Time
	// State is what a magic link was requested with; empty for other sign-ins.
	State string
	callEnd
}

// Error is one line; it never holds the token.
func (e *MFARequiredError) Error() string { return "authos: sign-in needs a second factor" }

// Format implements [fmt.Formatter]: every verb prints Error.
func (e MFARequiredError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *MFARequiredError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e MFARequiredError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *MFARequiredError) record() record { return e.callEnd.record(CodeMFARequired, e) }

// Is matches [CodeMFARequired]. It is not [ErrUnauthenticated]: what was given was right.
func (e *MFARequiredError) Is(target error) bool { return target == CodeMFARequired }

// DecodeError is a good status whose body is not what the route promises: HTML, cut short, of the
// wrong JSON type, without the id or token it must have, or larger than 16 MiB. The server accepted
// the request: of one that changes something the outcome is not known ([ErrOutcomeUnknown]).
type DecodeError struct { //nolint:recvcheck // a copy must not print more than the error
	// Method, Path and StatusCode are empty where no single response is wrong, but several
	// together: pages of a list that repeat.
	Method, Path string
	StatusCode   int
	ContentType  string
	// RequestID as in [APIError].
	RequestID string
	// Err says what is wrong, without the body.
	Err error
	// Body is the start of the body, at most 64 KiB. It is never printed, logged or marshalled.
	Body []byte `json:"-"`
	callEnd
}

// Error is one line without the body.
func (e *DecodeError) Error() string {
	text := "authos: unexpected responses" // to several calls
	if e.Method != "" {
		text = "authos: " + e.Method + " " + e.Path + ": " + strconv.Itoa(e.StatusCode) + " with an unexpected body"
	}
	if e.ContentType != "" {
		text += " (" + safeText(e.ContentType) + ")"
	}
	if e.Err != nil {
		text += ": " + safeText(e.Err.Error())
	}
	switch {
	case !e.unknown:
	case e.StatusCode/100 == 2:
		text += "; the server responded with success, so it has acted"
	default:
		text += "; the server may have acted"
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e DecodeError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with the members of [APIError.LogValue].
func (e *DecodeError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record().value()
}

// MarshalJSON writes what LogValue says.
func (e DecodeError) MarshalJSON() ([]byte, error) { return json.Marshal(e.record()) }

func (e *DecodeError) record() record {
	r := e.callEnd.record(CodeInvalidResponse, e)
	r.Method, r.Route, r.RequestID, r.Status = e.Method, e.Path, safeText(e.RequestID), e.StatusCode
	return r
}

// Unwrap gives the cause.
func (e *DecodeError) Unwrap() []error { return e.join(e.Err) }

// Is matches [CodeInvalidResponse], and [ErrOutcomeUnknown] for a request that changes something.
func (e *DecodeError) Is(target error) bool {
	return target == CodeInvalidResponse || target == ErrOutcomeUnknown && e.unknown
}

var errImpatient = errors.New("no response within CachePolicy.Patience, and a cached one is at hand")

var errBadLocation = errors.New("the redirect's Location is not a URL")

// redirectError is what http.Client refused to follow, without the Location, which it quotes whole:
// path, query and fragment.
func redirectError(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") {
		return errBadLocation
	}
	return err
}

var errClosed = fmt.Errorf("the client is closed: %w", net.ErrClosed)

// contextEnd is ctx's error together with its cause, where the caller gave one.
func contextEnd(ctx context.Context) error {
	if hurried, ok := ctx.(interface{ impatient() bool }); ok && hurried.impatient() {
		return errImpatient // it was not the caller who ended it
	}
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause != nil && !errors.Is(cause, err) {
		return &causedEnd{err, cause}
	}
	return err
}

type causedEnd struct{ err, cause error }

func (e *causedEnd) Error() string { return e.err.Error() + ": " + e.cause.Error() }

func (e *causedEnd) Unwrap() []error { return []error{e.err, e.cause} }
