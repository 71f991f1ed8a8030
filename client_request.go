package authos

import (
	"net/http"
	"time"
)

// RequestOption changes one call.
type RequestOption struct {
	apply    func(*call) error
	response *Response // to be filled, also where nothing is sent
}

// WithResponse fills dst when the call ends, whether it succeeded or failed. dst must not be shared
// between concurrent calls.
func WithResponse(dst *Response) RequestOption {
	return RequestOption{response: dst, apply: func(cl *call) error {
		if dst == nil {
			return invalid("response", "REQUIRED", "WithResponse needs a non-nil *Response")
		}
		cl.response = dst
		return nil
	}}
}

// WithIdempotent says that this POST or PATCH may safely be repeated: it is then retried like a
// PUT. It has no effect on routes that consume a single-use token.
func WithIdempotent() RequestOption {
	return RequestOption{apply: func(cl *call) error {
		cl.idempotent, cl.declared = true, true
		return nil
	}}
}

// WithHeader sets a header of this call. A caller's own Authorization or X-Api-Key is sent instead
// of the client's credential and is never refreshed. Headers that frame the message (Host,
// Content-Length, Transfer-Encoding, Connection …) are refused.
func WithHeader(key, value string) RequestOption {
	return RequestOption{apply: func(cl *call) error {
		if err := checkHeader(key, value); err != nil {
			return err
		}
		if cl.header == nil {
			cl.header = http.Header{}
		}
		cl.header.Set(key, value)
		return nil
	}}
}

// WithAttemptTimeout bounds each attempt of this call, body included, instead of the policy's
// AttemptTimeout: longer for an export, shorter where the caller is in a hurry. Negative: no bound;
// zero is refused. The Timeout of a client given by [WithHTTPClient] bounds the attempt all the
// same.
func WithAttemptTimeout(d time.Duration) RequestOption {
	return RequestOption{apply: func(cl *call) error {
		if d == 0 {
			return invalid("attempt_timeout", CodeInvalidFormat, "must not be zero; a negative one is none")
		}
		cl.attemptTimeout = d
		return nil
	}}
}

// WithoutRetry makes the call a single attempt. It is not held back by the rate-limit gate either:
// while the server has asked for a wait, it fails at once with a [RateLimitError].
func WithoutRetry() RequestOption {
	return RequestOption{apply: func(cl *call) error {
		cl.maxAttempts = 1
		return nil
	}}
}

// WithoutCache neither caches this call's response nor serves a cached one.
func WithoutCache() RequestOption {
	return RequestOption{apply: func(cl *call) error {
		cl.noCache = true
		return nil
	}}
}
