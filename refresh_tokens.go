package authos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authos-go/authos/internal/jwt"
)

// Tokens are a session's credentials. They print as "[redacted]" in every format verb and in slog,
// and marshalling them is an error, so that nobody saves a placeholder: a store writes the fields.
// Only where fmt calls no methods do they still print: %p, unexported fields of a struct of yours,
// and %s, %q or %t of a pointer to such a struct within another value.
type Tokens struct {
	// AccessToken authorizes requests; RefreshToken, single-use, refreshes it. Without one the
	// session ends with its access token.
	AccessToken, RefreshToken string
	// ExpiresAt is when the access token ends. Zero: not known; it is then refreshed only when the
	// server refuses it.
	ExpiresAt time.Time
	// Origin is the server that the tokens are for, such as "https://sso.example.com". The client
	// sets it in what it saves and returns, there with its port, and refuses tokens of another
	// server. Empty: not known.
	Origin string
}

func (t Tokens) isZero() bool { return t.AccessToken == "" && t.RefreshToken == "" }

// same compares the credentials. Times are left out: a store may round them.
func (t Tokens) same(o Tokens) bool {
	return t.AccessToken == o.AccessToken && t.RefreshToken == o.RefreshToken
}

func (t Tokens) check() error {
	if t.isZero() {
		return invalid("tokens", CodeRequired, "no tokens given")
	}
	var found checks
	if t.AccessToken != "" {
		if err := checkCredential("the access token", t.AccessToken); err != nil {
			found.add("access_token", CodeInvalidFormat, err.Error())
		}
	}
	if t.RefreshToken != "" && checkCredential("", t.RefreshToken) != nil {
		found.add("refresh_token", CodeInvalidFormat, "has characters that no token has")
	}
	return found.err(nil)
}

// String implements [fmt.Stringer]; it says which tokens there are, not what they are.
func (t Tokens) String() string {
	if t.isZero() {
		return "Tokens(none)"
	}
	return "Tokens" + redacted
}

// Format implements [fmt.Formatter] for every verb.
func (t Tokens) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue implements [slog.LogValuer].
func (t Tokens) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON fails.
func (t Tokens) MarshalJSON() ([]byte, error) { return nil, errMarshalSecret }

// MarshalText fails; it covers XML, YAML and TOML.
func (t Tokens) MarshalText() ([]byte, error) { return nil, errMarshalSecret }

// MarshalBinary fails; it covers gob.
func (t Tokens) MarshalBinary() ([]byte, error) { return nil, errMarshalSecret }

// TokenStore keeps a session's tokens. Its methods may be called from several goroutines, one at a
// time for writes.
type TokenStore interface {
	// Load gives what was saved last: zero Tokens and a nil error when there is nothing.
	Load(ctx context.Context) (Tokens, error)
	// Save keeps t. It returns only when t would survive: the client uses new tokens after that.
	Save(ctx context.Context, t Tokens) error
	// Delete forgets what was saved. It is called on sign-out.
	Delete(ctx context.Context) error
}

// LockingTokenStore is a store that several processes share. The client holds the lock from before
// it loads the tokens to refresh until the new ones are saved: a refresh token presented twice
// destroys the session.
//
// It presents a refresh token no later than 4 s after Lock returned, and holds the lock on where a
// refresh had no response, until 35 s after it was sent, or new tokens could not be saved, until
// they are. A lock that expires by itself must therefore last 45 s; Save must refuse once the lock
// is lost.
type LockingTokenStore interface {
	TokenStore
	// Lock waits for the lock, until ctx is done. unlock may be called from any goroutine, and more
	// than once.
	Lock(ctx context.Context) (unlock func(), err error)
}

// memoryStore is the default store.
type memoryStore struct {
	mu     sync.Mutex
	tokens Tokens
}

func (m *memoryStore) Load(context.Context) (Tokens, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens, nil
}

func (m *memoryStore) Save(_ context.Context, t Tokens) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = t
	return nil
}

func (m *memoryStore) Delete(ctx context.Context) error { return m.Save(ctx, Tokens{}) }

// tokenBody is the server's response wherever it hands out tokens. There is no token_type, and
// expires_in is not always sent.
type tokenBody struct {
	AccessToken  string  `json:"access_token"`
	RefreshToken string  `json:"refresh_token"`
	ExpiresIn    seconds `json:"expires_in"`
}

// seconds is a time as a server counts it. A number in quotes is one; what is no number says
// nothing, since a sign-in must not fail for it, and leaves zero.
type seconds float64

// UnmarshalJSON implements [json.Unmarshaler].
func (s *seconds) UnmarshalJSON(data []byte) error {
	// zero where it is no number, infinite where it is out of range
	n, _ := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	if math.IsNaN(n) {
		n = 0
	}
	*s = seconds(n)
	return nil
}

func (b *tokenBody) missing() string {
	if b.AccessToken == "" {
		return "access_token"
	}
	return ""
}

// keep continues with the refresh token that was presented where the response has none: a server
// that does not rotate need not send it again (RFC 6749, section 6).
func (b *tokenBody) keep(refreshToken string) {
	if b.RefreshToken == "" {
		b.RefreshToken = refreshToken
	}
}

// tokens dates the expiry from now, when the response arrived: a wrong clock on either side does no
// harm.
func (b *tokenBody) tokens() Tokens {
	t := Tokens{AccessToken: b.AccessToken, RefreshToken: b.RefreshToken}
	const longest = 100 * 365 * 24 * 3600 // seconds: far beyond any session, far from overflow
	if b.ExpiresIn > 0 {
		t.ExpiresAt = time.Now().Add(time.Duration(min(float64(b.ExpiresIn), longest) * float64(time.Second)))
	}
	return t
}

// session returns the tokens when they are one: a token of the first of two factors is not.
func (b *tokenBody) session() (Tokens, error) {
	if t := b.tokens(); !b.preAuth() {
		return t, nil
	}
	return Tokens{}, &MFARequiredError{PreAuthToken: NewSecret(b.AccessToken), ExpiresAt: b.tokens().ExpiresAt}
}

// preAuth recognises a sign-in that still needs its second factor. The server returns 200 with an
// access token that only opens mfa/verify, and an empty refresh token; the token's own header says
// what it is.
func (b *tokenBody) preAuth() bool {
	if typ, ok := jwt.Type(b.AccessToken); ok && typ != "JWT" {
		return typ == "authos-mfa-preauth+jwt"
	}
	return b.RefreshToken == "" && b.ExpiresIn == preAuthSeconds
}

const preAuthSeconds = 300 // the life of a pre-auth token, as the server sends it
