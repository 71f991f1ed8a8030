package authos

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// Messages are a program's own sentences for its end users, by language tag (BCP 47, "es-MX") and
// code. A code's sentence serves its other name and its sub-codes too, unless they have one.
// [CodeNetworkError] and the codes beside it name failures that have no code of the server,
// [CodeUnknownError] everything else.
type Messages map[string]map[Code]string

// UserMessage returns a sentence about err for the end user. It never is the raw error's text; it
// is empty for nil. A program's own error has the sentence of the [Code] or the kind that it wraps,
// as in fmt.Errorf("no such invoice: %w", authos.ErrNotFound).
//
// Each of languages is a tag ("es", "es-MX") or the value of an Accept-Language header (RFC 9110,
// section 12.5.4: "es-MX, es;q=0.9, en;q=0.8"), most wanted first; the first language that has a
// sentence is used, else English. English, Spanish, French, German, Portuguese and Japanese are
// built in. A locale of the environment ("es_MX.UTF-8") is a tag too. What is no language is passed
// over, and so is what is longer than 1,000 bytes.
//
// Where it is known how long to wait, a sentence about a rate limit, an outage or a session in
// doubt says so: "in 2 minutes", rounded up.
func UserMessage(err error, languages ...string) string { return Messages(nil).For(err, languages...) }

// For is [UserMessage] with the program's own sentences before the built-in ones.
func (m Messages) For(err error, languages ...string) string {
	if err == nil {
		return ""
	}
	codes, wait := messageCodes(err), messageWait(err)
	for _, value := range languages {
		for _, tag := range languageTags(value) {
			// A region without sentences of its own has those of the language (RFC 4647, section
			// 3.4).
			for ; tag != language.Und; tag = tag.Parent() {
				if text := m.sentence(tag.String(), codes, wait); text != "" {
					return text
				}
			}
		}
	}
	return m.sentence("en", codes, wait)
}

// maxAcceptLanguage bounds what is read of a header that a browser, or anybody, has sent.
const maxAcceptLanguage = 1000

// languageTags reads a tag or the value of an Accept-Language header, most wanted first.
func languageTags(value string) []language.Tag {
	if len(value) > maxAcceptLanguage {
		return nil
	}
	if i := strings.IndexAny(value, ".@,;"); i >= 0 && (value[i] == '.' || value[i] == '@') {
		value = value[:i] // a locale's encoding and modifier
	}
	tags, _, err := language.ParseAcceptLanguage(strings.ReplaceAll(value, "_", "-"))
	if err != nil {
		return nil
	}
	return tags
}

// sentence is the first sentence in a language for the codes, most precise first.
func (m Messages) sentence(tag string, codes []Code, wait time.Duration) string {
	own := m.language(tag)
	for _, code := range codes {
		if text := own[code]; text != "" {
			return text
		}
		if text := builtIn(tag, code, wait); text != "" {
			return text
		}
	}
	return ""
}

func (m Messages) language(tag string) map[Code]string {
	if own, ok := m[tag]; ok {
		return own
	}
	for have, own := range m {
		if strings.EqualFold(strings.ReplaceAll(have, "_", "-"), tag) {
			return own
		}
	}
	return nil
}

// sentenceLanguages are the built-in languages, in the order of each row of [sentences].
var sentenceLanguages = [sentenceCount]string{"en", "es", "fr", "de", "pt", "ja"}

const sentenceCount = 6

// builtIn is the built-in sentence for a code; empty where the language or the code has none.
func builtIn(tag string, code Code, wait time.Duration) string {
	i := slices.Index(sentenceLanguages[:], strings.ToLower(tag))
	if i < 0 {
		return ""
	}
	if wait > 0 {
		if code == CodeCircuitOpen || code == CodeBadGateway {
			code = CodeServiceUnavailable // the same sentence
		}
		if text := waitSentences[code][i]; text != "" {
			return strings.ReplaceAll(text, "{wait}", waitText(i, wait))
		}
	}
	return sentences[code][i]
}

// waitText says how long a wait is in the built-in language i: seconds below a minute, minutes
// below an hour, else hours, rounded up.
func waitText(i int, wait time.Duration) string {
	unit, size := 0, time.Second
	switch {
	case wait > 59*time.Minute:
		unit, size = 2, time.Hour
	case wait > 59*time.Second:
		unit, size = 1, time.Minute
	}
	n := int64((wait + size - 1) / size)
	name := waitUnits[i][unit][1]
	if n == 1 {
		name = waitUnits[i][unit][0]
	}
	if sentenceLanguages[i] == "ja" {
		return strconv.FormatInt(n, 10) + name // Japanese puts no space there
	}
	return strconv.FormatInt(n, 10) + " " + name
}

// maxMessageWait is the longest wait that is told: beyond it "later" says as much.
const maxMessageWait = 24 * time.Hour

// messageWait is how long to wait before another try; 0 where that is not known.
func messageWait(err error) time.Duration {
	wait := time.Duration(0)
	if e, ok := errors.AsType[*SessionError](err); ok {
		wait = untilTime(e.RetryAt)
	} else if e, ok := errors.AsType[*RateLimitError](err); ok {
		wait = e.RetryAfter
	} else if e, ok := errors.AsType[*CircuitOpenError](err); ok {
		wait = untilTime(e.RetryAt)
	} else if e, ok := errors.AsType[*APIError](err); ok {
		wait = e.RetryAfter
	}
	if wait > maxMessageWait {
		return 0
	}
	return max(wait, 0)
}

func untilTime(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return time.Until(t)
}

// messageCodes lists the codes whose sentence fits an error, most precise first; the last one fits
// all.
func messageCodes(err error) []Code {
	code, status := messageCode(err)
	codes := lineage(code, nil)
	if e, ok := errors.AsType[*APIError](err); ok && e.classified() == code {
		codes = lineage(e.Code, codes)
	}
	if status > 0 {
		codes = lineage(codeForStatus(status, false), codes)
	}
	if status >= 500 {
		codes = lineage(CodeInternalServerError, codes)
	}
	return append(codes, CodeUnknownError)
}

// lineage appends a code, its other names and its parents, nearest first.
func lineage(code Code, codes []Code) []Code {
	level := []Code{code}
	for depth := 0; len(level) > 0 && depth < len(catalog); depth++ {
		var above []Code
		for _, c := range level {
			codes = append(codes, c)
			codes = append(codes, c.aliases()...)
			above = append(above, c.canonical().parents()...)
		}
		level = above
	}
	return codes
}

// aliases are the other names of a code, the canonical one first.
func (c Code) aliases() []Code {
	canonical := c.canonical()
	var names []Code
	for other, info := range catalog {
		if other != c && info.sameAs == canonical {
			names = append(names, other)
		}
	}
	slices.Sort(names)
	if canonical != c {
		names = slices.Insert(names, 0, canonical)
	}
	return names
}

// messageCode is the code, and for a response the status, that stands for an error. What ended the
// call counts, not what it met on its way there: a [NetworkError] that holds an earlier response is
// a network error.
func messageCode(err error) (Code, int) {
	if errors.Is(err, ErrOutcomeUnknown) {
		return CodeOutcomeUnknown, 0
	}
	if errors.Is(err, context.Canceled) {
		return CodeCanceled, 0
	}
	if e, ok := errors.AsType[*SessionError](err); ok {
		if e.over() {
			return CodeSessionExpired, 0
		}
		return CodeSessionUncertain, 0
	}
	if _, ok := errors.AsType[*MFARequiredError](err); ok {
		return CodeMFARequired, 0
	}
	if e, ok := errors.AsType[*RateLimitError](err); ok && e.API == nil {
		return CodeRateLimitExceeded, 0
	}
	if _, ok := errors.AsType[*CircuitOpenError](err); ok {
		return CodeCircuitOpen, 0
	}
	if e, ok := errors.AsType[*NetworkError](err); ok {
		if e.Timeout() {
			return CodeTimeout, 0
		}
		return CodeNetworkError, 0
	}
	if _, ok := errors.AsType[*DecodeError](err); ok {
		return CodeInvalidResponse, 0
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		if e.serviceCredential() {
			return CodeOAuthInvalidClient, e.effectiveStatus() // not "please log in"
		}
		return e.classified(), e.effectiveStatus()
	}
	if _, ok := errors.AsType[*ValidationError](err); ok {
		return CodeValidationError, 0
	}
	if code, ok := errors.AsType[Code](err); ok {
		return code, catalog[code].status
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return CodeTimeout, 0
	}
	for _, kind := range kindCodes {
		if errors.Is(err, kind.is) {
			return kind.code, catalog[kind.code].status
		}
	}
	return CodeUnknownError, 0
}

// kindCodes have the sentences of the kinds, for the errors of a program that wrap one.
var kindCodes = []struct {
	is   error
	code Code
}{
	{ErrSessionExpired, CodeSessionExpired}, {ErrCircuitOpen, CodeCircuitOpen}, {ErrNetwork, CodeNetworkError},
	{ErrInvalid, CodeBadRequest},
	{ErrUnauthenticated, CodeUnauthorized}, {ErrForbidden, CodeForbidden}, {ErrNotFound, CodeNotFound}, {ErrConflict, CodeConflictError},
	{ErrRateLimited, CodeRateLimitExceeded}, {ErrUnavailable, CodeServiceUnavailable}, {ErrServer, CodeInternalServerError},
}
