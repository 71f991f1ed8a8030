package authos

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

// Kinds of failure, for [errors.Is]. Each matches every code and status that means it, in AuthOS's
// documented contract and in what the server really sends.
var (
	// ErrInvalid: the request was wrong. 400, 405, 406, 411, 413, 414, 415, 422, 431 and every
	// other 4xx without a kind of its own, and every [ValidationError] found before sending.
	ErrInvalid = errors.New("authos: invalid request")
	// ErrUnauthenticated: no valid credential. 401 and [SessionError].
	ErrUnauthenticated = errors.New("authos: not authenticated")
	// ErrForbidden: a valid credential without the right. 403.
	ErrForbidden = errors.New("authos: forbidden")
	// ErrNotFound: no such resource or route. 404 and 410.
	ErrNotFound = errors.New("authos: not found")
	// ErrConflict: the request clashes with what is there. 409, and the codes and texts that mean
	// the same with another status: AuthOS returns 400 DUPLICATE_CONSTRAINT, or 400 BAD_REQUEST
	// with a text such as "Email is already taken", where others return 409.
	ErrConflict = errors.New("authos: conflict")
	// ErrRateLimited: 429, or held back by the client because the server said to wait.
	ErrRateLimited = errors.New("authos: rate limited")
	// ErrServer: every 5xx.
	ErrServer = errors.New("authos: server error")
	// ErrUnavailable: the server could not be used. 408, 502, 503, 504, 520 to 530 (a content
	// delivery network's), [NetworkError], [CircuitOpenError].
	ErrUnavailable = errors.New("authos: unavailable")
	// ErrNetwork: no response arrived. [NetworkError].
	ErrNetwork = errors.New("authos: network error")
	// ErrCircuitOpen: refused here, without touching the network. [CircuitOpenError].
	ErrCircuitOpen = errors.New("authos: circuit open")
	// ErrSessionExpired: the session is over; the user has to sign in again. A [SessionError]
	// without a RetryAt.
	ErrSessionExpired = errors.New("authos: session expired")
	// ErrOutcomeUnknown: the server may have acted on a request that changes something. Read back
	// before repeating it. It is matched in addition to the other kinds, and never by a read.
	ErrOutcomeUnknown = errors.New("authos: outcome unknown, the server may have acted")
)

// RetryHint is the "retry" object of an error body.
type RetryHint struct {
	// Retryable decides over the client's own retry rules, except for AUDIT_ERROR and single-use
	// routes. Nil: not said.
	Retryable *bool
	// RetryAfter is how long the server asks to wait. Zero: not said.
	RetryAfter time.Duration
	// MaxRetries is how many repeats the server allows after the first try. Nil: not said.
	MaxRetries *int
	// Backoff is "exponential", "linear" or "constant"; anything else means exponential.
	Backoff string
}

// RateLimit is what the server said about its limits, in headers or in an error's details.
type RateLimit struct {
	// Limit is how many requests a window allows, Remaining how many are left. -1: not sent.
	Limit     int `json:"limit"`
	Remaining int `json:"remaining"`
	// Reset is when the window ends, as the server's clock has it. Zero: not sent.
	Reset time.Time `json:"reset,omitzero"`
}

// Challenge is one challenge of a WWW-Authenticate field (RFC 9110, section 11.6.1).
type Challenge struct {
	Scheme string
	// Params holds the auth-params, names in lower case. A token68 is kept under the empty name.
	Params map[string]string
}

// Problem holds the members of an application/problem+json body (RFC 9457, before it RFC 7807). It
// prints and logs without the extensions; [json.Marshal] writes all of it, for a program that
// passes it on.
type Problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	Extensions                    map[string]json.RawMessage

	hide *hider // the response's
}

// Attempt is one try of a call, as it ended.
type Attempt struct {
	// StatusCode is the response's status; 0 when there was none.
	StatusCode int `json:"status_code"`
	// Err is why there was no response.
	Err error `json:"error,omitempty"`
	// Wait is how long the client waited before this attempt, Duration how long the attempt took,
	// body included.
	Wait     time.Duration `json:"wait"`
	Duration time.Duration `json:"duration"`
	// NoMore is why no attempt followed one that failed: "attempts used up", "retry budget spent",
	// "does not fit the deadline", "asked to wait longer than is obeyed", "not repeatable" (the
	// server may have acted, and once more could do harm), "final" (another would end alike) or
	// "canceled".
	NoMore string `json:"no_more,omitempty"`
}

// FieldError is one finding of a validation, by the server or by the client before sending.
type FieldError struct {
	// Field is the path of the input, such as "items[0].quantity". Fields is set instead when a
	// rule spans several.
	Field  string
	Fields []string
	// GoField is what the program calls Field: a field of a Params, such as RedirectURI, or an
	// argument, such as orgSlug. Empty in the server's findings, and where Fields is set.
	GoField string `json:"go_field,omitempty"`
	// Code is the rule that failed: REQUIRED, INVALID_FORMAT, OUT_OF_RANGE, INVALID_ENUM,
	// INVALID_RANGE …
	Code    Code
	Message string
	// Value is what was provided, when the server repeats it. It is never printed, logged or
	// marshalled.
	Value any `json:"-"`
	// Constraints are the rule's bounds, such as min, max or pattern.
	Constraints map[string]any

	hide *hider // the response's
}

// Why there is no other attempt, as [Attempt.NoMore] says.
const (
	noMoreAttempts = "attempts used up"
	noMoreBudget   = "retry budget spent"
	noMoreTime     = "does not fit the deadline"
	noMoreWait     = "asked to wait longer than is obeyed"
	noMoreUnsafe   = "not repeatable"
	noMoreFinal    = "final"
	noMoreOpen     = "circuit open"
	noMoreCanceled = "canceled"
)

// maxErrorBody is how many bytes are kept of an error's body.
const maxErrorBody = 64 << 10

// callEnd is what an error knows about its call besides its own cause. Every error type of this
// package embeds it, so that the server's last response to this call, the context's error and
// [ErrOutcomeUnknown] are found in the same way in all of them.
type callEnd struct {
	method, path, requestID string // of the call; empty where an error is not a call's
	attempts                int
	unknown                 bool // a mutation may have been applied
	// the server's last response to this call, when the error itself is not that response
	last *APIError
	// what stopped the call although a response was there, such as the caller's deadline
	cause error
	// why no attempt followed the last one; empty where the call ended before any
	noMore string
	// the call may be repeated although it may have been applied
	repeatable bool
	at         time.Time     // when it ended
	base       time.Duration // its policy's BaseDelay
}

func (e *callEnd) end() *callEnd { return e }

// noMoreText is the part of an error's text that says why there was no other attempt. That a first
// response was final needs no words.
func (e *callEnd) noMoreText() string {
	if e.noMore == "" || e.noMore == noMoreFinal && e.attempts <= 1 {
		return ""
	}
	return "; no retry: " + e.noMore
}

// join lists the non-nil errors of an Unwrap, so that no typed nil is ever handed out.
func (e *callEnd) join(own ...error) []error {
	all := slices.DeleteFunc(own, func(err error) bool { return err == nil })
	if e.cause != nil {
		all = append(all, e.cause)
	}
	if e.last != nil {
		all = append(all, e.last)
	}
	return all
}

// APIError is the server's response with a status of 400 or more, or an error body that came with
// another status. Every error body becomes one, whatever its shape. It is found with [errors.As] in
// every error of a call that got such a response.
//
// [errors.Is] matches it with a [Code], its aliases and parent codes, and with the kinds
// ([ErrNotFound] …).
type APIError struct { //nolint:recvcheck // a copy must not print more than the error
	StatusCode int
	// Code is what the server sent; where it sent none, the code of the status (see
	// docs/errors.md).
	Code Code
	// Message is the server's text, for developers. [UserMessage] has texts for end users.
	Message string
	// Timestamp is the server's, zero when it sent none.
	Timestamp time.Time
	// RequestID is the server's own when it sent one, else the client's; ClientRequestID is what
	// was sent as X-Request-ID.
	RequestID, ClientRequestID string
	DocumentationURL           string
	// Language is the response's Content-Language.
	Language string
	// Details is the body's "details" as it came. [APIError.DecodeDetails] reads it.
	Details json.RawMessage `json:"-"`
	// Fields are the validation findings, when the body carries them.
	Fields []FieldError
	// Hint is the body's "retry" object, Problem the members of a problem+json body; nil when
	// absent.
	Hint    *RetryHint
	Problem *Problem
	// RetryAfter is the longest wait the server asked for, in headers or body. Zero: none.
	RetryAfter time.Duration
	RateLimit  *RateLimit
	Challenges []Challenge
	// Method and Path are the request's; Path is the route's template for known routes, and never
	// has a query.
	Method, Path string
	// Attempts is how many tries the call took, History how each of them ended.
	Attempts int
	History  []Attempt
	// Body is the body as it came, at most 64 KiB of it. It is never printed, logged or marshalled.
	Body []byte `json:"-"`

	waitAsked bool // the server named a wait, be it zero
	received  time.Time
	waitNamed bool   // it did so in Retry-After or in the body, not by its limits
	shaped    bool   // the body was an API error, not a proxy's page or plain text
	coded     bool   // the server sent Code itself
	note      string // what the response means on its route, where it does not say itself
	fromText  bool   // Message is raw text of the body: not for Error
	hide      *hider // what was sent
	callEnd
}

// DecodeDetails reads the body's "details" into v, as [json.Unmarshal] does. It returns [io.EOF]
// when there are none.
func (e *APIError) DecodeDetails(v any) error {
	if len(e.Details) == 0 {
		return io.EOF
	}
	return json.Unmarshal(e.Details, v)
}

// Unwrap gives what ended the call besides this response, such as the caller's deadline.
func (e *APIError) Unwrap() []error { return e.join() }

// Is matches codes (with aliases, parents and the real server's texts) and kinds.
func (e *APIError) Is(target error) bool {
	if code, ok := target.(Code); ok {
		return e.hasCode(code)
	}
	switch target {
	case ErrOutcomeUnknown:
		return e.unknown
	case ErrConflict:
		return e.effectiveStatus() == http.StatusConflict || e.hasCode(CodeConflictError)
	default:
		return statusIs(e.effectiveStatus(), target)
	}
}

// hasCode reports whether the response means target: by its code, or by its text where the server
// says it there.
func (e *APIError) hasCode(target Code) bool {
	return e.Code.means(target) || e.classified().means(target)
}

// classified is the most precise code the response stands for. A JWT_ERROR stays one: the server
// sends it for a bad token and for an expired one alike.
func (e *APIError) classified() Code {
	for _, t := range codeTexts {
		if e.Code == t.code && t.match(e.Message, t.text) {
			return t.means
		}
	}
	if code := e.conflict(); code != "" {
		return code
	}
	switch {
	case e.Code == CodeBadRequest && isMachineCode(e.Message):
		return Code(e.Message) // PROVIDER_ACCOUNT_CONFLICT and its like
	case e.Code == CodeInvalidToken && e.tokenExpired():
		return CodeTokenExpired
	default:
		return e.Code
	}
}

// tokenExpired reads the reason that an INVALID_TOKEN may give in its details.
func (e *APIError) tokenExpired() bool {
	var details struct {
		Reason string `json:"reason"`
	}
	return json.Unmarshal(e.Details, &details) == nil && details.Reason == "token_expired"
}

// effectiveStatus is the status the response means: its own; for an error body that came with a
// good status the one its code stands for in the catalog, and likewise for a problem type that is
// registered, which the draft only recommends a status for.
func (e *APIError) effectiveStatus() int {
	if e.Problem != nil {
		if code := registeredProblem(e.Problem.Type); code != "" {
			return catalog[code].status
		}
	}
	if e.StatusCode >= 400 {
		return e.StatusCode
	}
	return catalog[e.Code].status
}

// statusIs reports whether a response with this status is of the given kind. Every status from 400
// on is of one.
func statusIs(status int, kind error) bool {
	//nolint:errorlint // kind is one of our sentinels, never wrapped: errors.Is has unwrapped the other side
	switch kind {
	case ErrInvalid:
		switch status {
		case 401, 403, 404, 408, 409, 410, 429:
			return false
		}
		return 400 <= status && status < 500
	case ErrUnauthenticated:
		return status == http.StatusUnauthorized
	case ErrForbidden:
		return status == http.StatusForbidden
	case ErrNotFound:
		return status == http.StatusNotFound || status == http.StatusGone
	case ErrRateLimited:
		return status == http.StatusTooManyRequests
	case ErrServer:
		return status >= 500
	case ErrUnavailable:
		return status == 408 || status == 502 || status == 503 || status == 504 || 520 <= status && status <= 530
	default:
		return false
	}
}

// asError keeps a nil *APIError from becoming a non-nil error.
func asError(e *APIError) error {
	if e == nil {
		return nil
	}
	return e
}
