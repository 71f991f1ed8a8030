package authos

import (
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"regexp"
	"strings"
)

// checks collects every finding about a call's input, so that the caller learns of all of them at once.
type checks []FieldError //nolint:recvcheck // err only reads

func (c *checks) add(field string, code Code, message string) {
	*c = append(*c, FieldError{Field: field, Code: code, Message: message})
}

// err is nil, or a [*ValidationError] with all findings. Nothing has been sent, which is also what the call's Response then says.
func (c checks) err(opts []RequestOption) error {
	if len(c) == 0 {
		return nil
	}
	var unsent call
	for _, o := range opts {
		if o.apply != nil {
			_ = o.apply(&unsent) // a bad option is one finding too many
		}
	}
	if unsent.response != nil {
		*unsent.response = Response{}
	}
	return &ValidationError{Fields: c}
}

// required refuses an empty or blank text.
func (c *checks) required(field, value string) {
	if strings.TrimSpace(value) == "" {
		c.add(field, CodeRequired, "must not be empty")
	}
}

// id refuses what cannot be one path segment. AuthOS's ids are opaque, so nothing else is asked of them.
func (c *checks) id(field, value string) {
	switch {
	case strings.TrimSpace(value) == "":
		c.add(field, CodeRequired, "must not be empty")
	case value == "." || value == "..":
		c.add(field, CodeInvalidFormat, "must not be a dot segment")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.add(field, CodeInvalidFormat, "must not hold control characters")
	}
}

// email accepts one bare address as [mail.ParseAddress] reads it (RFC 5322), without a display name.
func (c *checks) email(value string) {
	if strings.TrimSpace(value) == "" {
		c.add("email", CodeRequired, "must not be empty")
		return
	}
	if a, err := mail.ParseAddress(value); err != nil || a.Address != value {
		c.add("email", CodeInvalidFormat, "must be an e-mail address")
	}
}

// slugShape and the bounds are the server's rules for organization slugs: 3 to 50 bytes of a-z, 0-9, - and _.
var slugShape = regexp.MustCompile(`^[a-z0-9_-]{3,50}$`)

func (c *checks) slug(field, value string) {
	switch {
	case value == "":
		c.add(field, CodeRequired, "must not be empty")
	case !slugShape.MatchString(value):
		c.add(field, CodeInvalidFormat, "must be 3 to 50 characters of a-z, 0-9, - and _")
	}
}

// page checks limit and offset. The server clamps what is out of range instead of refusing it, which would silently give
// another page than the one asked for; 0 means the server's default.
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
	return &ValidationError{Fields: []FieldError{{Field: field, Code: code, Message: message}}}
}

// checkCredential refuses what cannot be sent in a header: net/http would fail with the value in its error text.
func checkCredential(what, value string) error {
	switch {
	case value == "":
		return errors.New(what + " is empty")
	case !isHeaderValue(value) || strings.ContainsAny(value, " \t"):
		return errors.New(what + " has characters that a header cannot carry")
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

var languageTag = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)

func isLanguageTag(s string) bool { return len(s) <= 35 && languageTag.MatchString(s) }

func validRequestID(id string) bool {
	return id != "" && len(id) <= 128 && isHeaderValue(id)
}

// isHeaderValue says whether s can be sent as a field value: no control characters but the tab (RFC 9110, section 5.5).
func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isToken says whether s is a token (RFC 9110, section 5.6.2), as field names and methods are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
