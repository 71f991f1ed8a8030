package authos

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"unique"
)

const redacted = "[redacted]"

var errMarshalSecret = errors.New("authos: refusing to marshal a secret: write its fields yourself")

// Secret is a text that prints as "[redacted]" in every format verb and in slog, and that refuses to be marshalled, so that it
// reaches a log or a file only where the program says so with [Secret.Reveal].
type Secret struct {
	// A handle, not the text itself: fmt calls no methods on unexported fields of foreign structs, and would print a text there.
	text unique.Handle[string]
}

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Reveal gives the text.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.text.Value()
}

// IsZero says whether there is no text.
func (s Secret) IsZero() bool { return s == Secret{} }

// String implements [fmt.Stringer]; it never is the text.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format implements [fmt.Formatter] for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON fails, so that nobody stores the placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errMarshalSecret }

// MarshalText fails like MarshalJSON; it covers XML, YAML and map keys.
func (s Secret) MarshalText() ([]byte, error) { return nil, errMarshalSecret }

// MarshalBinary fails like MarshalJSON; it covers gob.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errMarshalSecret }

// UnmarshalText reads the text as it is.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

const maxSafeText = 300 // bytes of a server's text that go into one line of ours

// secretShapes are texts that look like credentials: JWTs, AuthOS API keys, Authorization values, queries, and runs of 40 or more
// characters without a space, which no sentence has and every token of AuthOS reaches (its refresh tokens have 43).
var secretShapes = regexp.MustCompile(strings.Join([]string{
	`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*`,
	`\bsk_[A-Za-z0-9_]+`,
	`(?i:bearer|basic) +[A-Za-z0-9._~+/=-]+`,
	`\?[^\s"'<>]*=[^\s"'<>]*`,
	`[A-Za-z0-9_+/=.~-]{40,}`,
}, "|"))

// safeText makes a foreign text fit for one line of an error or a log: control characters become spaces, what looks like a
// secret or a query is masked, and it is cut at 300 bytes.
func safeText(s string) string {
	if len(s) > 4*maxSafeText {
		s = s[:4*maxSafeText]
		if i := strings.LastIndexAny(s, " \t\r\n"); i > 0 {
			s = s[:i] // the cut may have halved a secret beyond recognition
		}
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	clean = secretShapes.ReplaceAllString(clean, redacted)
	if len(clean) > maxSafeText {
		clean = strings.ToValidUTF8(clean[:maxSafeText], "") + "…"
	}
	return strings.TrimSpace(clean)
}
