package authos

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Messages are a program's own sentences for its end users, by language tag and code. A code's
// sentence serves its other name and its sub-codes too, unless they have one. [CodeNetworkError]
// and the codes beside it name failures that have no code of the server, [CodeUnknownError]
// everything else.
type Messages map[string]map[Code]string

// UserMessage is a sentence about err for the end user, in the first of the languages (tags such as
// "es" or "es-MX") that has one, else in English. English and Spanish are built in. It never is the
// raw error's text; it is empty for nil.
func UserMessage(err error, languages ...string) string { return Messages(nil).For(err, languages...) }

// For is [UserMessage] with the program's own sentences before the built-in ones.
func (m Messages) For(err error, languages ...string) string {
	if err == nil {
		return ""
	}
	codes := messageCodes(err)
	for _, tag := range languages {
		for tag = strings.ReplaceAll(tag, "_", "-"); tag != ""; tag = widerTag(tag) {
			if text := m.sentence(tag, codes); text != "" {
				return text
			}
		}
	}
	return m.sentence("en", codes)
}

// widerTag cuts the last part of a language tag (RFC 4647, section 3.4): "es-MX" becomes "es", "es"
// becomes "".
func widerTag(tag string) string { return tag[:max(strings.LastIndexByte(tag, '-'), 0)] }

// sentence is the first sentence in a language for the codes, most precise first.
func (m Messages) sentence(tag string, codes []Code) string {
	own := m.language(tag)
	for _, code := range codes {
		if text := own[code]; text != "" {
			return text
		}
		if text := catalog[code].sentence(tag); text != "" {
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

func (i codeInfo) sentence(tag string) string {
	switch strings.ToLower(tag) {
	case "en":
		return i.en
	case "es":
		return i.es
	default:
		return ""
	}
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
		if e.RetryAt.IsZero() {
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
	return CodeUnknownError, 0
}
