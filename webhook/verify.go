package webhook

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	SignatureHeader = "X-Webhook-Signature" // "sha256=" and 64 lower-case hexadecimal digits
	TimestampHeader = "X-Webhook-Timestamp" // Unix seconds, new at every attempt
)

// Why a delivery is refused, for [errors.Is]. The errors that match them say more, but hold nothing
// of the body, the signature or a secret.
var (
	// ErrConfig is a Verifier that cannot accept anything: it has no secret, or one that is empty
	// or has white space around it.
	ErrConfig = errors.New("webhook: verifier is not usable")
	// ErrTooLarge is a body larger than [Verifier.MaxBody].
	ErrTooLarge = errors.New("webhook: body is too large")
	// ErrHeader is a signature or timestamp header that is missing, repeated, or not in the form
	// that AuthOS sends.
	ErrHeader = errors.New("webhook: bad header")
	// ErrSignature is a body that was not signed with any of the secrets, or was changed since.
	ErrSignature = errors.New("webhook: signature does not match")
	// ErrTimestamp is an authentic delivery out of [Verifier.Tolerance], or an event older than
	// [Verifier.MaxAge].
	ErrTimestamp = errors.New("webhook: not recent")
	// ErrBodyRead is a request whose body, or a part of it, was read before it came to the Handler,
	// by a middleware that logs or parses bodies. Its signature cannot be checked any more. Put the
	// Handler in front of such a middleware, or have it put the same bytes back.
	ErrBodyRead = errors.New("webhook: the body was read before")
	// ErrBusy is a body for which there is no room now, see [Verifier.MaxInFlight].
	ErrBusy = errors.New("webhook: too many bodies at once")
	// ErrPayload is an authentic body that is not an event.
	ErrPayload = errors.New("webhook: body is not an event")
)

// Format implements [fmt.Formatter]: behind a pointer within another value some verbs would print
// the secrets.
func (v Verifier) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "webhook.Verifier(%d secrets)", len(v.Secrets))
}

// LogValue implements [slog.LogValuer]; it leaves the secrets out.
func (v Verifier) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(v)) }

const (
	defaultTolerance = 5 * time.Minute
	defaultMaxBody   = 1 << 20
	defaultInFlight  = 16 << 20
	defaultBodyTime  = 10 * time.Second
	// defaultRemember is how long a handled delivery is remembered. The server's last redelivery
	// comes about 15 minutes after the first attempt; the rest is for replays.
	defaultRemember = 30 * 24 * time.Hour

	signaturePrefix = "sha256="
)

// Verifier checks deliveries. Its fields are settings: set them before the first use. Methods may
// be called from several goroutines. Apart from Secrets, the zero value of a field is its default.
type Verifier struct {
	// Secrets are the webhook's secrets as AuthOS showed them. A delivery signed with any of them
	// is authentic: while a secret is being replaced, give the new and the old one. One receiver
	// for several webhooks has the secrets of all of them.
	Secrets Secrets
	// Tolerance is how far the delivery's timestamp may be from this machine's clock, before or
	// after, in whole seconds; 5 minutes by default. Negative: the timestamp is not looked at and
	// may be missing.
	Tolerance time.Duration
	// Seen keeps what was handled, for several processes or across restarts; [Verifier.Handler]
	// asks it in addition to what it remembers itself. Nil: each Handler only remembers itself, in
	// a [MemorySeen]. To share one within a process, give a *MemorySeen.
	Seen SeenStore
	// MaxAge is the greatest age of an event by the time within its signed body, which is the same
	// at every attempt. It should exceed the 15 minutes that the server takes for all attempts by
	// far. Zero: no limit, because a server that was down for long delivers late, and what is
	// refused is lost after five attempts.
	MaxAge time.Duration
	// Remember is how long a handled delivery is remembered. Default: as long as MaxAge accepts it,
	// or 30 days without a MaxAge. How many are remembered is up to Seen.
	Remember time.Duration
	// MaxBody is the largest accepted body in bytes; 1 MiB by default.
	MaxBody int64
	// MaxInFlight bounds the bytes of all bodies that a Handler holds at a time, from the first
	// byte read until the body was found authentic; 16 MiB by default, and at least four times
	// MaxBody. Beyond it deliveries get 503, and the server sends them again. Bodies of up to 64
	// KiB, which is more than AuthOS's events have, find a quarter of it free of larger ones.
	MaxInFlight int64
	// BodyTimeout is how long the sender may take for a body; 10 s by default. Negative: as long as
	// the [http.Server] allows, which is without end unless its ReadTimeout is set.
	BodyTimeout time.Duration
	// Logger gets what a Handler refuses and what fails in it, at level warn, and repeats at level
	// debug. It sees types and ids of events, not their content, and the errors of the program's
	// function as they are. Nil: silent.
	Logger *slog.Logger
}

// Verify checks one delivery: its headers, signature and time. It knows nothing of what was handled
// before: use [Event.ID] for that. body must be the bytes as they came. Names in header may have
// any case, since API gateways hand over maps in lower case.
//
// It returns errors that match [ErrConfig], [ErrTooLarge], [ErrHeader], [ErrSignature],
// [ErrTimestamp] or [ErrPayload], and with one no event.
func (v Verifier) Verify(header http.Header, body []byte) (Event, error) {
	signed, err := v.checkHeader(header)
	if err != nil {
		return Event{}, err
	}
	if int64(len(body)) > v.maxBody() {
		return Event{}, ErrTooLarge
	}
	return v.checkBody(signed, body)
}

// signedHeader is what a delivery's headers say.
type signedHeader struct {
	signature string
	stamp     int64 // Unix seconds
	stamped   bool
}

// checkHeader is all that can be said of a delivery before its body is read.
func (v Verifier) checkHeader(header http.Header) (signedHeader, error) {
	if err := v.Secrets.check(); err != nil {
		return signedHeader{}, err
	}
	signature, err := only(header, SignatureHeader)
	if err != nil {
		return signedHeader{}, err
	}
	if !isSignature(signature) {
		return signedHeader{}, fmt.Errorf("%w: %s is not sha256= and 64 lower-case hexadecimal digits", ErrHeader, SignatureHeader)
	}
	if v.Tolerance < 0 {
		return signedHeader{signature: signature}, nil
	}
	text, err := only(header, TimestampHeader)
	if err != nil {
		return signedHeader{}, err
	}
	// 63 bits, so that differences cannot overflow; no sign either.
	stamp, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return signedHeader{}, fmt.Errorf("%w: %s is not Unix seconds", ErrHeader, TimestampHeader)
	}
	return signedHeader{signature, int64(stamp), true}, nil
}

// checkBody checks a body whose size is allowed. The times are looked at last, so that only who has
// an authentic body learns anything about the clock.
func (v Verifier) checkBody(header signedHeader, body []byte) (Event, error) {
	if !v.Secrets.signed(header.signature, body) {
		return Event{}, ErrSignature
	}
	now := time.Now()
	if err := v.checkStamp(header, now); err != nil {
		return Event{}, err
	}
	e, err := parseEvent(body)
	if err != nil {
		return Event{}, err
	}
	if err := v.checkAge(e, now); err != nil {
		return Event{}, err
	}
	return e, nil
}

// only gives the value of a header that must be there once, in whatever case its name is. Of two
// values, a proxy and this package might believe different ones.
func only(header http.Header, name string) (string, error) {
	value, found := "", 0
	for key, values := range header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			value = values[0]
			found += len(values)
		}
	}
	switch found {
	case 1:
		return value, nil
	case 0:
		return "", fmt.Errorf("%w: no %s", ErrHeader, name)
	default:
		return "", fmt.Errorf("%w: %s is there %d times", ErrHeader, name, found)
	}
}

func isSignature(s string) bool {
	digits, found := strings.CutPrefix(s, signaturePrefix)
	return found && len(digits) == hex.EncodedLen(sha256.Size) && strings.Trim(digits, "0123456789abcdef") == ""
}

// checkStamp compares whole seconds, which is what the server sends.
func (v Verifier) checkStamp(header signedHeader, now time.Time) error {
	if !header.stamped {
		return nil
	}
	late := now.Unix() - header.stamp
	switch limit := int64(v.tolerance() / time.Second); {
	case late > limit:
		return fmt.Errorf("%w: sent %d s ago, %d s are allowed", ErrTimestamp, late, limit)
	case -late > limit:
		return fmt.Errorf("%w: sent %d s in the future, %d s are allowed", ErrTimestamp, -late, limit)
	}
	return nil
}

func (v Verifier) checkAge(e Event, now time.Time) error {
	if v.MaxAge <= 0 {
		return nil
	}
	if e.Timestamp.IsZero() {
		return fmt.Errorf("%w: no timestamp to tell its age by", ErrPayload)
	}
	switch age := now.Sub(e.Timestamp); {
	case age > v.MaxAge:
		return fmt.Errorf("%w: the event is %s old, %s are allowed", ErrTimestamp, age.Round(time.Second), v.MaxAge)
	case -age > v.tolerance():
		return fmt.Errorf("%w: the event is %s in the future", ErrTimestamp, (-age).Round(time.Second))
	}
	return nil
}

// tolerance is the allowed difference of the two clocks. It bounds event times even where delivery
// times are not looked at.
func (v Verifier) tolerance() time.Duration { return cmp.Or(max(v.Tolerance, 0), defaultTolerance) }

func (v Verifier) maxBody() int64 { return cmp.Or(max(v.MaxBody, 0), defaultMaxBody) }

// remember is how long a handled delivery has to be remembered. With a MaxAge that is as long as it
// would be accepted: an event may be dated up to the tolerance ahead of our clock, and is accepted
// until MaxAge after its date.
func (v Verifier) remember() time.Duration {
	switch {
	case v.Remember > 0:
		return v.Remember
	case v.MaxAge > 0:
		return v.MaxAge + v.tolerance()
	default:
		return defaultRemember
	}
}

var errMarshalSecret = errors.New("webhook: refusing to marshal secrets")

// Secrets are the secrets of webhooks. They print as "[redacted]" in every format verb and in slog,
// and marshalling them is an error. Only where fmt calls no methods do they still print: %p,
// unexported fields of a struct of yours, and %s, %q or %t of a pointer to a struct that holds them
// within another value.
type Secrets []string

// check finds what would make a Verifier accept nothing, or anything.
func (s Secrets) check() error {
	if len(s) == 0 {
		return fmt.Errorf("%w: no secrets", ErrConfig)
	}
	for i, secret := range s {
		switch strings.TrimSpace(secret) {
		case secret:
			if secret == "" {
				// anybody could sign with it
				return fmt.Errorf("%w: secret %d of %d is empty", ErrConfig, i+1, len(s))
			}
		default:
			// AuthOS makes none like it. It is what is left of a file's last line, and would never
			// match.
			return fmt.Errorf("%w: secret %d of %d begins or ends with white space", ErrConfig, i+1, len(s))
		}
	}
	return nil
}

// signed reports whether the signature was made with one of the secrets. All of them are tried, so
// that the time it takes does not tell which.
func (s Secrets) signed(signature string, body []byte) bool {
	matches := 0
	for _, secret := range s {
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write(body) // a hash never fails
		want := signaturePrefix + hex.EncodeToString(mac.Sum(nil))
		matches |= subtle.ConstantTimeCompare([]byte(signature), []byte(want))
	}
	return matches == 1
}

// String implements [fmt.Stringer].
func (s Secrets) String() string {
	if len(s) == 0 {
		return "[]"
	}
	return "[redacted]"
}

// Format implements [fmt.Formatter] for every verb.
func (s Secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText fails, so that no file holds secrets by accident, or a placeholder. It covers JSON,
// XML, YAML and TOML.
func (s Secrets) MarshalText() ([]byte, error) { return nil, errMarshalSecret }

// MarshalBinary fails like MarshalText; it covers gob.
func (s Secrets) MarshalBinary() ([]byte, error) { return nil, errMarshalSecret }
