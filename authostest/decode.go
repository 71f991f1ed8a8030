package authostest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// extractor is one of the two ways the server's handlers take JSON.
type extractor int

const (
	// plainJSON is the web framework's own: errors are plain text, and JSON of
	// the wrong shape is a 422.
	plainJSON extractor = iota
	// json400 is AuthOS's: every error is a JSON 400. Six routes use it.
	json400
)

// decode takes the request's JSON body into a T, whose string fields are required
// and whose *string fields are optional, and refuses it as the real server would.
// It does not use encoding/json on T itself, which is laxer than the server about
// the case of names and about missing fields.
func decode[T any](c *call, kind extractor) (T, *answer) {
	var in T
	if !isJSON(c.r.Header.Get("Content-Type")) {
		return in, c.refuseJSON(kind, http.StatusUnsupportedMediaType,
			"Expected request with `Content-Type: application/json`", "Content-Type must be application/json")
	}
	fields, err := readObject(c.body)
	if bad, ok := errors.AsType[*shapeError](err); ok {
		return in, c.refuseShape(kind, bad)
	}
	if err != nil {
		return in, c.refuseJSON(kind, http.StatusBadRequest,
			"Failed to parse the request body as JSON: "+err.Error(), "JSON syntax error: "+err.Error())
	}
	v := reflect.ValueOf(&in).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		if bad := fields.set(name, v.Field(i).Addr().Interface()); bad != nil {
			return in, c.refuseShape(kind, bad)
		}
	}
	return in, nil
}

func (c *call) refuseShape(kind extractor, bad *shapeError) *answer {
	if c.documented() && bad.missing {
		a := c.invalid(bad.field, "REQUIRED", "Missing required field: "+bad.field)
		return &a
	}
	if c.documented() && bad.field != "" {
		a := c.invalid(bad.field, "INVALID_FORMAT", "Invalid value for field: "+bad.field)
		return &a
	}
	return c.refuseJSON(kind, http.StatusUnprocessableEntity,
		"Failed to deserialize the JSON body into the target type: "+bad.Error(), "Invalid JSON data: "+bad.Error())
}

func (c *call) refuseJSON(kind extractor, status int, plain, own string) *answer {
	a := c.badRequest(own)
	if kind == plainJSON && !c.documented() {
		a = typed(status, "text/plain; charset=utf-8", []byte(plain))
	}
	return &a
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json"))
}

// shapeError is valid JSON that is not what the handler wants.
type shapeError struct {
	field   string
	missing bool
	text    string
}

func (e *shapeError) Error() string { return e.text }

// object is a JSON object with the position after each member's value.
type object struct {
	body    []byte
	members map[string]member
	end     int
}

type member struct {
	raw json.RawMessage
	end int
}

// readObject reads a top-level object. Positions are in the messages because the
// server puts them there.
func readObject(body []byte) (*object, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, fmt.Errorf("EOF while parsing a value at %s", position(body, len(body)))
	}
	if !json.Valid(body) {
		at := len(body)
		if bad, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, new(any))); ok {
			at = int(bad.Offset)
		}
		return nil, fmt.Errorf("expected value at %s", position(body, at))
	}
	o := &object{body: body, members: map[string]member{}, end: len(bytes.TrimRight(body, " \t\r\n"))}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, _ := dec.Token(); start != json.Delim('{') {
		return nil, &shapeError{text: fmt.Sprintf("invalid type: %s, expected struct at %s", kindOf(body), position(body, o.end))}
	}
	for dec.More() {
		token, _ := dec.Token() // body is known to be valid
		name, _ := token.(string)
		var m member
		_ = dec.Decode(&m.raw)
		m.end = int(dec.InputOffset())
		if _, twice := o.members[name]; twice {
			return nil, &shapeError{field: name, text: fmt.Sprintf("duplicate field `%s` at %s", name, position(body, m.end))}
		}
		o.members[name] = m
	}
	return o, nil
}

// set stores a member in a *string (required) or **string (optional, null is
// absent). Members nobody asks for are ignored.
func (o *object) set(name string, into any) *shapeError {
	m, present := o.members[name]
	if optional, ok := into.(**string); ok {
		if !present || string(m.raw) == "null" {
			return nil
		}
		*optional = new(string)
		into = *optional
	}
	if !present {
		return &shapeError{field: name, missing: true,
			text: fmt.Sprintf("missing field `%s` at %s", name, position(o.body, o.end))}
	}
	if len(m.raw) == 0 || m.raw[0] != '"' || json.Unmarshal(m.raw, into) != nil {
		return &shapeError{field: name,
			text: fmt.Sprintf("%s: invalid type: %s, expected a string at %s", name, kindOf(m.raw), position(o.body, m.end))}
	}
	return nil
}

// kindOf names a JSON value as the server's messages do.
func kindOf(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	switch raw[0] {
	case '{':
		return "map"
	case '[':
		return "sequence"
	case '"':
		return "string " + string(raw)
	case 't', 'f':
		return "boolean `" + string(raw) + "`"
	case 'n':
		return "null"
	default:
		if bytes.ContainsAny(raw, ".eE") {
			return "floating point `" + string(raw) + "`"
		}
		return "integer `" + string(raw) + "`"
	}
}

func position(body []byte, offset int) string {
	before := body[:min(offset, len(body))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d column %d", line, column)
}

// form takes a form body, refused in plain text as the framework does.
func (c *call) form(required string) (url.Values, *answer) {
	mediaType, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if mediaType != "application/x-www-form-urlencoded" {
		a := c.plainText(http.StatusUnsupportedMediaType,
			"Form requests must have `Content-Type: application/x-www-form-urlencoded`",
			"BAD_REQUEST", "Content-Type must be application/x-www-form-urlencoded")
		return nil, &a
	}
	values, err := url.ParseQuery(string(c.body))
	if err != nil || !values.Has(required) {
		if c.documented() {
			a := c.invalid(required, "REQUIRED", "Missing required field: "+required)
			return nil, &a
		}
		a := typed(http.StatusUnprocessableEntity, "text/plain; charset=utf-8",
			[]byte("Failed to deserialize form body: missing field `"+required+"`"))
		return nil, &a
	}
	return values, nil
}

// window reads limit and offset, clamped as everywhere in the API.
func (c *call) window() (limit, offset int, refused *answer) {
	query := c.r.URL.Query()
	limit, offset = 50, 0
	for name, into := range map[string]*int{"limit": &limit, "offset": &offset} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil {
			return 0, 0, c.refuseQuery(name, query.Get(name), err)
		}
		*into = int(min(max(n, 0), math.MaxInt32))
	}
	return min(max(limit, 1), 100), offset, nil
}

// slice is the page of items that limit and offset select.
func slice[T any](items []T, limit, offset int) []T {
	items = items[min(offset, len(items)):]
	return items[:min(limit, len(items))]
}

func (c *call) refuseQuery(name, value string, err error) *answer {
	reason := "invalid digit found in string"
	switch {
	case value == "":
		reason = "cannot parse integer from empty string"
	case errors.Is(err, strconv.ErrRange):
		reason = "number too large to fit in target type"
	}
	if c.documented() {
		a := c.invalid(name, "INVALID_FORMAT", "Invalid query parameter: "+name)
		return &a
	}
	a := typed(http.StatusBadRequest, "text/plain; charset=utf-8",
		[]byte("Failed to deserialize query string: "+reason))
	return &a
}

// requiredQuery reads a query parameter that the handler cannot do without.
func (c *call) requiredQuery(name string) (string, *answer) {
	query := c.r.URL.Query()
	if query.Has(name) {
		return query.Get(name), nil
	}
	if c.documented() {
		a := c.invalid(name, "REQUIRED", "Missing required field: "+name)
		return "", &a
	}
	a := typed(http.StatusBadRequest, "text/plain; charset=utf-8",
		[]byte("Failed to deserialize query string: missing field `"+name+"`"))
	return "", &a
}
