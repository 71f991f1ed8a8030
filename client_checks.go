package authos

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// checks collects every finding about a call's input, so that the caller learns of all of them at
// once.
type checks []FieldError //nolint:recvcheck // err only reads

func (c *checks) add(field string, code Code, message string) {
	*c = append(*c, FieldError{Field: field, GoField: goName(field), Code: code, Message: message})
}

// refuse adds what is wrong with an option: each finding of its own, or each of several joined
// errors, under the option's name.
func (c *checks) refuse(option string, err error) {
	if err == nil {
		return
	}
	if own, ok := errors.AsType[*ValidationError](err); ok {
		for _, f := range own.Fields {
			f.Field = option + "." + f.Field
			*c = append(*c, f)
		}
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range several.Unwrap() {
			c.refuse(option, each)
		}
		return
	}
	c.add(option, CodeInvalidFormat, strings.TrimPrefix(err.Error(), "authos: "))
}

// required refuses an empty or blank text.
func (c *checks) required(field, value string) {
	if strings.TrimSpace(value) == "" {
		c.add(field, CodeRequired, "must not be empty")
	}
}

// argument says that an input which has been checked is an argument of the method, not a field of
// its Params.
func (c *checks) argument(fields ...string) {
	for i, f := range *c {
		name, _, _ := strings.Cut(f.Field, "[")
		if slices.Contains(fields, name) {
			(*c)[i].GoField = argumentName(f.Field)
		}
	}
}

// id refuses an argument that cannot be one path segment: it would lead to another route than the
// one that was meant. AuthOS's ids are opaque, so nothing else is asked of them.
func (c *checks) id(field, value string) {
	c.segment(field, value)
	c.argument(field)
}

// segment is id for a field.
func (c *checks) segment(field, value string) {
	switch {
	case strings.TrimSpace(value) == "":
		c.add(field, CodeRequired, "must not be empty")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.add(field, CodeInvalidFormat, "must not hold control characters")
	case !utf8.ValidString(value):
		c.add(field, CodeInvalidFormat, "must be UTF-8")
	case leadsElsewhere(value):
		c.add(field, CodeInvalidFormat, "must be one path segment: no slash, no backslash and no dot segment, escaped ones included")
	}
}

// leadsElsewhere reports whether a value would be more than one path segment, or a dot segment, to
// the server or to something before it that reads escapes once more.
func leadsElsewhere(value string) bool {
	for range maxEscapes {
		if isDotSegment(value) || strings.ContainsAny(value, `/\`) {
			return true
		}
		read, err := url.PathUnescape(value)
		if err != nil || read == value {
			return false
		}
		value = read
	}
	return false
}

// maxEscapes is how often proxies are known to read escapes, one upon the other.
const maxEscapes = 3

// isDotSegment reports whether a segment is one of RFC 3986, section 3.3, or becomes one for
// servers that take what follows a semicolon off.
func isDotSegment(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// email is the server's rule for addresses: an "@" with something on both sides, no space and no
// control character. Real addresses break the rules of RFC 5322.
func (c *checks) email(value string) { c.emailField("email", value) }

func (c *checks) emailField(field, value string) {
	if strings.TrimSpace(value) == "" {
		c.add(field, CodeRequired, "must not be empty")
		return
	}
	local, domain, found := strings.Cut(value, "@")
	noText := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if !found || local == "" || domain == "" || strings.ContainsFunc(value, noText) {
		c.add(field, CodeInvalidFormat, "must be an e-mail address")
	}
}

// minPassword is the server's bound for new passwords, in bytes. Old ones may be shorter.
const minPassword = 8

func (c *checks) newPassword(field, value string) {
	switch {
	case value == "":
		c.add(field, CodeRequired, "must not be empty")
	case len(value) < minPassword:
		c.add(field, CodeOutOfRange, fmt.Sprintf("must be %d bytes or more", minPassword))
	}
}

// name is the server's rule for names of organizations: 2 to 100 bytes, not blank.
func (c *checks) name(field, value string) {
	switch {
	case strings.TrimSpace(value) == "":
		c.add(field, CodeRequired, "must not be empty")
	case len(value) < 2 || len(value) > 100:
		c.add(field, CodeOutOfRange, "must be 2 to 100 bytes")
	}
}

// oneOf refuses what the server would: its lists are closed.
func (c *checks) oneOf(field, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	if value == "" {
		c.add(field, CodeRequired, "must not be empty")
		return
	}
	c.add(field, CodeInvalidFormat, "must be one of "+strings.Join(slices.DeleteFunc(slices.Clone(allowed),
		func(s string) bool { return s == "" }), ", "))
}

// absoluteURI accepts any URI with a scheme (RFC 3986, section 4.3): apps have schemes of their
// own.
func (c *checks) absoluteURI(field, value string) {
	if value == "" {
		c.add(field, CodeRequired, "must not be empty")
		return
	}
	if u, err := url.Parse(value); err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" && u.Path == "" {
		c.add(field, CodeInvalidFormat, "must be an absolute URI")
	}
}

// dates refuses a range that ends before it begins. Zero times are left to the server.
func (c *checks) dates(startField string, start time.Time, endField string, end time.Time) {
	if !start.IsZero() && !end.IsZero() && end.Before(start) {
		c.add(endField, CodeOutOfRange, "must not be before "+startField)
	}
}

// numbered checks limit and page number, as page does limit and offset.
func (c *checks) numbered(limit, number int) {
	c.page(limit, 0)
	if number < 0 {
		c.add("page", CodeOutOfRange, "must be 1 or more, or 0 for the first")
	}
}

// slugShape and the bounds are the server's rules for organization slugs: 3 to 50 bytes of letters,
// 0-9, - and _. Newer servers take small letters only, that of October 2025 all.
var slugShape = regexp.MustCompile(`^[A-Za-z0-9_-]{3,50}$`)

// reservedSlugs are words that the server keeps for itself.
var reservedSlugs = strings.Fields("api www mail ftp admin root support help docs blog news status health ping cdn assets static")

// newSlug checks the slug of an organization that is to be made.
func (c *checks) newSlug(field, value string) {
	if slices.Contains(reservedSlugs, value) {
		c.add(field, CodeInvalidFormat, "is a word that the server keeps for itself")
		return
	}
	switch {
	case value == "":
		c.add(field, CodeRequired, "must not be empty")
	case !slugShape.MatchString(value):
		c.add(field, CodeInvalidFormat, "must be 3 to 50 letters, digits, - and _")
	}
}

// page checks limit and offset. The server clamps what is out of range instead of refusing it,
// which would silently give another page than the one asked for; 0 means the server's default.
func (c *checks) page(limit, offset int) {
	if limit < 0 || limit > maxPageSize {
		c.add("limit", CodeOutOfRange, fmt.Sprintf("must be 1 to %d, or 0 for the server's default", maxPageSize))
	}
	if offset < 0 {
		c.add("offset", CodeOutOfRange, "must not be negative")
	}
}

// invalid is a [*ValidationError] about one input.
func invalid(field string, code Code, message string) error {
	return &ValidationError{Fields: []FieldError{{Field: field, GoField: field, Code: code, Message: message}}}
}

// checkCredential refuses what no key or token is made of: it was copied together with the quotes
// around it, a byte order mark or a space that is not seen, and the server would only say that it
// is wrong. The text names the character, never the value.
func checkCredential(what, value string) error {
	if value == "" {
		return errors.New(what + " is empty")
	}
	for i, r := range value {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'`", r) {
			return fmt.Errorf("%s has a character that no credential has: %U at byte %d", what, r, i)
		}
	}
	return nil
}

// framing are the headers that net/http or the client itself must own.
var framing = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Trailer": true, "Te": true,
	"Upgrade": true, "Expect": true, "Content-Encoding": true, "Accept-Encoding": true,
}

func checkHeader(key, value string) error {
	switch {
	case !isToken(key):
		return invalid("header", CodeInvalidFormat, "not a header name")
	case framing[http.CanonicalHeaderKey(key)]:
		return invalid("header", CodeInvalidFormat, http.CanonicalHeaderKey(key)+" cannot be set by the caller")
	case !isHeaderValue(value):
		return invalid("header", CodeInvalidFormat, "the value of "+http.CanonicalHeaderKey(key)+" is not a header value")
	case http.CanonicalHeaderKey(key) == "X-Request-Id" && !validRequestID(value):
		return invalid("header", CodeInvalidFormat, "X-Request-ID must be 1 to 128 bytes")
	}
	return nil
}

// isLanguageTag reports whether s is a well-formed language tag (RFC 5646, section 2.1); the
// language itself may be one that nobody knows.
func isLanguageTag(s string) bool {
	_, err := language.Parse(s)
	_, unknown := errors.AsType[language.ValueError](err)
	return len(s) <= 35 && !strings.Contains(s, "_") && (err == nil || unknown)
}

// validRequestID: what is blank, or loses its ends on the way as a field value does, is no id.
func validRequestID(id string) bool {
	return id != "" && len(id) <= 128 && isHeaderValue(id) && strings.TrimSpace(id) == id
}

// isHeaderValue reports whether s can be sent as a field value: no control characters but the tab
// (RFC 9110, section 5.5).
func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2), as field names and methods are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

const notUTF8 = "must be UTF-8 text"
