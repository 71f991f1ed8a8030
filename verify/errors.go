package verify

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Groups of failures, for [errors.Is]. Ask for one of them where the exact reason does not matter.
var (
	// ErrInvalidToken: the token itself is refused, now and later. 401: the caller needs another
	// one.
	ErrInvalidToken = errors.New("verify: invalid token")
	// ErrUnavailable: nothing is known against the token, but it cannot be checked now. 503: the
	// caller should come back.
	ErrUnavailable = errors.New("verify: cannot be checked now")
)

// Reasons, for [errors.Is]. Each [*Error] has exactly one. The first block belongs to
// [ErrInvalidToken].
var (
	// ErrMalformed: not three parts of canonical base64url (RFC 7515, section 7.1), longer than 16
	// KiB, or with a header that tries to bring its own key or has "crit".
	ErrMalformed = reason("verify: malformed token", ErrInvalidToken)
	// ErrAlgorithm: signed with something else than RS256, or not at all.
	ErrAlgorithm = reason("verify: wrong algorithm", ErrInvalidToken)
	// ErrUnknownKey: the key that the token names is not among the server's, or it names none.
	ErrUnknownKey = reason("verify: unknown key", ErrInvalidToken)
	// ErrSignature: the signature does not belong to this header and these claims.
	ErrSignature = reason("verify: wrong signature", ErrInvalidToken)
	// ErrUse: AuthOS's own, but for another use: a password without its second factor, an
	// assertion, an impersonation that is not allowed, a token without a declared use.
	ErrUse = reason("verify: token is for another use", ErrInvalidToken)
	// ErrIssuer: issued by another server.
	ErrIssuer = reason("verify: wrong issuer", ErrInvalidToken)
	// ErrClaims: AuthOS's own, but a claim is missing, has the wrong type, or contradicts another.
	ErrClaims = reason("verify: bad claims", ErrInvalidToken)
	// ErrAudience: meant for another service, organization or resource.
	ErrAudience = reason("verify: wrong audience", ErrInvalidToken)
	// ErrNotYetValid: issued in the future, by more than the clock tolerance.
	ErrNotYetValid = reason("verify: token is not valid yet", ErrInvalidToken)
	// ErrExpired: past its expiry, by more than the clock tolerance. The caller should refresh it.
	ErrExpired = reason("verify: token has expired", ErrInvalidToken)
	// ErrRevoked: the server no longer accepts it (signed out, refreshed, revoked): by the online
	// check, or by [Verifier.Revoke].
	ErrRevoked = reason("verify: token has been revoked", ErrInvalidToken)

	// ErrKeysUnavailable: the server's keys could not be fetched, and none at hand is the token's.
	// It belongs to [ErrUnavailable].
	ErrKeysUnavailable = reason("verify: keys unavailable", ErrUnavailable)
	// ErrCheckUnavailable: the online check got no response of AuthOS. It belongs to
	// [ErrUnavailable].
	ErrCheckUnavailable = reason("verify: online check unavailable", ErrUnavailable)

	// ErrNoToken: the request has no bearer token.
	ErrNoToken = errors.New("verify: no bearer token")
	// ErrRequest: the request has more than one Authorization field, so that nobody can say which
	// one counts.
	ErrRequest = errors.New("verify: more than one Authorization field")
	// ErrForbidden: a good token that does not suffice for what [Verifier.RequireOrg] and its
	// siblings ask.
	ErrForbidden = errors.New("verify: not enough rights")
)

// member is a reason that belongs to a group.
type member struct {
	text  string
	group error
}

func reason(text string, group error) error { return &member{text, group} }

func (m *member) Error() string { return m.text }
func (m *member) Unwrap() error { return m.group }

// Error is why a token or a request was refused. It never holds the token or a part of it.
type Error struct {
	// Reason is one of this package's reasons, such as [ErrExpired].
	Reason error
	// Detail says more, for the operator's log. It may name claims of a token whose signature is
	// good, such as its audience; it is not meant for the caller of an API.
	Detail string
	// RetryAfter is when it makes sense to come back, for [ErrUnavailable]; zero for everything
	// else.
	RetryAfter time.Duration
	// Err is what went wrong below, such as an error of the authos package; nil where there is
	// nothing below.
	Err error
}

// Error is one line, without the token.
func (e *Error) Error() string {
	text := fmt.Sprint(e.Reason)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the reason, which unwraps to its group, and the cause.
func (e *Error) Unwrap() []error {
	all := make([]error, 0, 2)
	for _, err := range []error{e.Reason, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e *Error) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, e.Error()) }

func refuse(why error, format string, args ...any) *Error {
	return &Error{Reason: why, Detail: fmt.Sprintf(format, args...)}
}
