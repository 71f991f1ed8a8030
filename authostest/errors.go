package authostest

import (
	"net/http"
	"strings"
	"time"
)

// flatError is the error body of the server. Its field order is the wire's.
type flatError struct {
	Error     string `json:"error"`
	ErrorCode string `json:"error_code"`
	Timestamp string `json:"timestamp"`
}

type nestedError struct {
	Error nestedErrorBody `json:"error"`
}

type nestedErrorBody struct {
	Code      string        `json:"code"`
	Message   string        `json:"message"`
	Details   []errorDetail `json:"details"`
	RequestID string        `json:"request_id"`
	Timestamp string        `json:"timestamp"`
}

type errorDetail struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	Timestamp string `json:"timestamp"`
}

// fail is an error that carries a code, in the shape the contract asks for.
func (c *call) fail(status int, code, text string) response {
	return c.failDetailed(status, code, text, nil)
}

func (c *call) failDetailed(status int, code, text string, details []errorDetail) response {
	if !c.documented() {
		return jsonResponse(status, flatError{text, code, stampOffset(c.now)})
	}
	stamp := stampDocumented(c.now)
	switch c.s.config.format {
	case Nested:
		return jsonResponse(status, nestedError{nestedErrorBody{code, text, details, c.requestID, stamp}})
	case Problem:
		return typed(status, "application/problem+json", encode(problem{
			Type:      "about:blank",
			Title:     http.StatusText(status),
			Status:    status,
			Detail:    text,
			Instance:  c.path,
			Code:      code,
			RequestID: c.requestID,
			Timestamp: stamp,
		}))
	default:
		return jsonResponse(status, flatError{text, code, stamp})
	}
}

func (c *call) badRequest(text string) response {
	return c.fail(http.StatusBadRequest, "BAD_REQUEST", text)
}

func (c *call) unauthorized(text string) response {
	return c.fail(http.StatusUnauthorized, "UNAUTHORIZED", text)
}

func (c *call) forbidden(text string) response {
	return c.fail(http.StatusForbidden, "FORBIDDEN", text)
}

func (c *call) notFound(text string) response {
	return c.fail(http.StatusNotFound, "NOT_FOUND", text)
}

// taken is how a duplicate is refused that a handler has looked for: real servers
// have no 409 at all.
func (c *call) taken(text string) response {
	return c.conflict("BAD_REQUEST", text)
}

// duplicate is how a duplicate is refused that only the database has noticed.
func (c *call) duplicate(text string) response {
	if c.october() {
		return c.databaseError()
	}
	return c.conflict("DUPLICATE_CONSTRAINT", text)
}

func (c *call) conflict(realCode, text string) response {
	switch {
	case !c.documented():
		return c.fail(http.StatusBadRequest, realCode, text)
	case c.s.config.format == Nested:
		return c.fail(http.StatusConflict, "RESOURCE_ALREADY_EXISTS", text)
	default:
		return c.fail(http.StatusConflict, "CONFLICT", text)
	}
}

// invalid refuses a field of the input. Only the nested format has a place for
// the field's name.
func (c *call) invalid(field, code, text string) response {
	if c.documented() && c.s.config.format == Nested {
		return c.failDetailed(http.StatusBadRequest, "VALIDATION_ERROR", "Request validation failed",
			[]errorDetail{{field, code, text}})
	}
	return c.badRequest(text)
}

// organizationNotActive exists as a code, but no server version ever sends it.
func (c *call) organizationNotActive(status string) response {
	if c.documented() {
		return c.fail(http.StatusForbidden, "ORGANIZATION_NOT_ACTIVE", "Organization is not active")
	}
	return c.forbidden("Organization is not active. Current status: " + status + c.either("", ". This feature is only available for active organizations."))
}

// plainText is what the layers around the handlers respond with. Under the
// documented contract they speak JSON like everything else.
func (c *call) plainText(status int, text, documentedCode, documentedText string) response {
	if c.documented() {
		return c.fail(status, documentedCode, documentedText)
	}
	return typed(status, "text/plain; charset=utf-8", []byte(text))
}

func (c *call) unknownPath() response {
	if c.documented() {
		return c.notFound("Resource not found")
	}
	return empty(http.StatusNotFound)
}

func (c *call) wrongMethod() response {
	a := empty(http.StatusMethodNotAllowed)
	if c.documented() {
		a = c.fail(http.StatusMethodNotAllowed, "BAD_REQUEST", "Method not allowed")
	}
	a.header.Set("Allow", c.place.allow)
	return a
}

func (c *call) bodyTooLarge() response {
	return c.plainText(http.StatusRequestEntityTooLarge, "length limit exceeded", "BAD_REQUEST", "Request body too large")
}

// The API writes time in several ways; which one depends on the type that a
// handler happens to serialize. All are UTC with 0, 3, 6 or 9 fractional digits.

// stampOffset is RFC 3339 with "+00:00".
func stampOffset(t time.Time) string { return stampNaive(t) + "+00:00" }

// stampZ is RFC 3339 with "Z".
func stampZ(t time.Time) string { return stampNaive(t) + "Z" }

// stampNaive has no zone at all.
func stampNaive(t time.Time) string {
	layout := "2006-01-02T15:04:05"
	switch ns := t.Nanosecond(); {
	case ns == 0:
	case ns%1_000_000 == 0:
		layout += ".000"
	case ns%1_000 == 0:
		layout += ".000000"
	default:
		layout += ".000000000"
	}
	return t.UTC().Format(layout)
}

// stampDocumented is how the error guide writes time.
func stampDocumented(t time.Time) string {
	return strings.Replace(t.UTC().Format("2006-01-02T15:04:05.000Z"), ".000Z", "Z", 1)
}
