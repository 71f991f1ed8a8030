package authos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unique"
)

const redacted = "[redacted]"

var errMarshalSecret = errors.New("authos: refusing to marshal a secret: write its fields yourself")

// Secret is a text that prints as "[redacted]" in every format verb and in slog, and that refuses
// to be marshalled, so that it reaches a log or a file only where the program says so with
// [Secret.Reveal].
type Secret struct {
	// A handle, not the text itself: fmt calls no methods on unexported fields of foreign structs,
	// and would print a text there.
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

// IsZero reports whether there is no text.
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

// secretShapes are texts that look like credentials: JWTs, AuthOS API keys, Authorization values,
// queries, and runs of 40 or more characters without a space, which no sentence has and every token
// of AuthOS reaches (its refresh tokens have 43).
var secretShapes = regexp.MustCompile(strings.Join([]string{
	`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*`,
	`\bsk_[A-Za-z0-9_]+`,
	`(?i:bearer|basic) +[A-Za-z0-9._~+/=-]+`,
	`\?[^\s"'<>]*=[^\s"'<>]*`,
	`[A-Za-z0-9_+/=.~-]{40,}`,
}, "|"))

// hideValues takes the provided values out of a server's text, which likes to quote them, where
// they stand as words of their own. Values of one or two characters stay.
func hideValues(text string, provided ...any) string {
	var values []string
	for _, v := range provided {
		values = appendTexts(values, v)
	}
	if len(values) == 0 {
		return text
	}
	// longest first
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	// Far beyond what is printed of it.
	text = text[:min(len(text), 8*maxSafeText)]
	var out strings.Builder
	for i := 0; i < len(text); {
		if n := valueAt(text, i, values); n > 0 {
			out.WriteString("[value]")
			i += n
			continue
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

// valueAt is how long the value is that stands at i; 0: none does. One that could be a part of a
// word counts only as a word of its own.
func valueAt(text string, i int, values []string) int {
	begins := i == 0 || !inWord(text[i-1]) || !inWord(text[i])
	for _, v := range values {
		if !strings.HasPrefix(text[i:], v) {
			continue
		}
		end := i + len(v)
		ends := end == len(text) || !inWord(text[end]) || !inWord(text[end-1])
		if begins && ends || len(v) >= minCredential && strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsLetter(r) }) {
			return len(v)
		}
	}
	return 0
}

func inWord(b byte) bool {
	return b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b >= 0x80
}

// plainWords are words that the server's own sentences are made of. As values they stay: a gap in a
// well-known sentence would tell whoever reads the log what the value was ("Invalid [value] or
// password"), and make it unreadable.
var plainWords = func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(`a access account active address admin already and another api app approved audit available before
		belong billing cannot choose client code connection credentials custom database desktop device does domain email error event exist
		exists expired expires failed feature for format found free has have header identity in internal invalid invitation is it key
		limit link logging login mail maximum member members message method mfa missing mobile must name new not of one only or order
		organization owner password pending permission permissions plan platform please product provider rate reached redirect rejected
		request required reset resource revoked role roles seat secret server service services session set signature slug status
		subscription support suspended suspicious system team test the this ticket tier to token too type unauthorized update url user
		users valid value verify web webhook with without wrong you your`) {
		words[word] = true
	}
	return words
}()

// appendTexts appends the texts in a decoded JSON value.
func appendTexts(texts []string, v any) []string {
	switch v := v.(type) {
	case string:
		if len(v) > 2 && !plainWords[strings.ToLower(v)] {
			texts = append(texts, v)
		}
	case []any:
		for _, each := range v {
			texts = appendTexts(texts, each)
		}
	case map[string]any:
		for _, each := range v {
			texts = appendTexts(texts, each)
		}
	}
	return texts
}

// safeText makes a foreign text fit for one line of an error or a log: control characters become
// spaces, what looks like a secret or a query is masked, and it is cut at 300 bytes.
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

// minCredential is far shorter than any token or key of AuthOS. What is shorter is a test's, and a
// part of words.
const minCredential = 8
