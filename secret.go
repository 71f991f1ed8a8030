package authos

import (
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

// hider takes values out of a server's texts, which like to quote what was sent. Of the values it
// keeps only those that the texts may hold, so that an error keeps no more of a request than its
// response has repeated. A nil hider hides nothing.
type hider struct {
	values []string // sorted
	// within[i] is the longest other value that values[i] begins with; -1: none
	within []int
}

// newHider makes a hider of the values that occur in texts. Its time grows with the size of both,
// not with their product: a bulk request has many values, and a bulk response many texts.
func newHider(values, texts []string) *hider {
	grams := newGrams(texts)
	values = slices.DeleteFunc(values, func(v string) bool {
		return !grams.mayHold(v) || plainWords[strings.ToLower(v)]
	})
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	values = slices.Compact(values)
	h := &hider{values: slices.Clone(values), within: make([]int, len(values))}
	for i, v := range h.values {
		around := i - 1
		for around >= 0 && !strings.HasPrefix(v, h.values[around]) {
			around = h.within[around]
		}
		h.within[i] = around
	}
	return h
}

// gram is how many bytes a value has at least: shorter ones stay, as they are parts of all words.
const gram = 3

// grams is which runs of three bytes some texts hold, hashed: it may err on the side of "yes".
type grams [1 << 10]uint64

func newGrams(texts []string) *grams {
	g := new(grams)
	for _, text := range texts {
		for i := range len(text) - gram + 1 {
			word, bit := gramAt(text, i)
			g[word] |= bit
		}
	}
	return g
}

func gramAt(s string, i int) (word int, bit uint64) {
	hash := (uint32(s[i])<<16 | uint32(s[i+1])<<8 | uint32(s[i+2])) * 2654435761 >> 16
	return int(hash >> 6), 1 << (hash & 63)
}

// mayHold reports whether the texts may hold a value: they hold its beginning, middle and end.
func (g *grams) mayHold(value string) bool {
	if len(value) < gram {
		return false
	}
	for _, i := range [...]int{len(value) - gram, 0, (len(value) - gram) / 2} {
		if word, bit := gramAt(value, i); g[word]&bit == 0 {
			return false
		}
	}
	return true
}

// hide puts "[value]" in the place of each value that stands in a text as a word of its own.
func (h *hider) hide(text string) string {
	if h == nil {
		return text
	}
	text = text[:min(len(text), 8*maxSafeText)] // far beyond what is printed of it
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); i++ {
		if n := h.valueAt(text, i); n > 0 {
			out.WriteString(text[done:i])
			out.WriteString("[value]")
			done = i + n
			i = done - 1
		}
	}
	if done == 0 {
		return text
	}
	return out.String() + text[done:]
}

// valueAt is how long the longest value is that stands at i; 0: none does. The values that the text
// at i begins with come before it in their order: the last value before it, or what that begins
// with.
func (h *hider) valueAt(text string, i int) int {
	n, found := slices.BinarySearch(h.values, text[i:])
	if !found {
		n--
	}
	for ; n >= 0; n = h.within[n] {
		if v := h.values[n]; strings.HasPrefix(text[i:], v) && standsAlone(text, i, v) {
			return len(v)
		}
	}
	return 0
}

// standsAlone reports whether the value at i is a word of its own. One that no word can be counts
// wherever it stands.
func standsAlone(text string, i int, value string) bool {
	begins := i == 0 || !inWord(text[i-1]) || !inWord(text[i])
	end := i + len(value)
	ends := end == len(text) || !inWord(text[end]) || !inWord(text[end-1])
	return begins && ends || len(value) >= minCredential && strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) })
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
		texts = append(texts, v)
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
// spaces, characters that are not seen but steer a terminal or turn the direction of writing are
// left out, what looks like a secret or a query is masked, and it is cut at 300 bytes.
func safeText(s string) string {
	if len(s) > 4*maxSafeText {
		s = s[:4*maxSafeText]
		if i := strings.LastIndexAny(s, " \t\r\n"); i > 0 {
			s = s[:i] // the cut may have halved a secret beyond recognition
		}
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp):
			// C0 and C1 controls, line separators
			return ' '
		case unicode.Is(unicode.Cf, r): // bidirectional marks, zero-width characters, tags
			return -1
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
