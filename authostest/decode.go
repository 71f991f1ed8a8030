package authostest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// extractor is one of the two ways the server's handlers take JSON.
type extractor int

const (
	// plainJSON is the web framework's own: errors are plain text, and JSON of
	// the wrong shape is a 422.
	plainJSON extractor = iota
	// json400 is AuthOS's: every error is a JSON 400. Seven routes use it.
	json400
)

// decode takes the request's JSON body into a T, whose pointer fields are optional
// and whose other fields are required, and refuses it as the real server would.
// It does not use encoding/json on T itself, which is laxer than the server about
// the case of names and about missing fields.
func decode[T any](c *call, kind extractor) (T, *response) {
	var in T
	if c.october() {
		kind = plainJSON // the other one came later
	}
	if !isJSON(c.r.Header.Get("Content-Type")) {
		return in, c.refuseJSON(kind, http.StatusUnsupportedMediaType,
			"Expected request with `Content-Type: application/json`", "Content-Type must be application/json")
	}
	if c.tooLarge {
		a := typed(http.StatusRequestEntityTooLarge, "text/plain; charset=utf-8", []byte("Failed to buffer the request body: length limit exceeded"))
		return in, &a
	}
	fields, err := readObject(c.body)
	if bad, ok := errors.AsType[*shapeError](err); ok {
		return in, c.refuseShape(kind, bad)
	}
	if err != nil {
		return in, c.refuseJSON(kind, http.StatusBadRequest,
			"Failed to parse the request body as JSON: "+err.Error(), "JSON syntax error: "+err.Error())
	}
	c.body = fields.body // without what follows the value
	v := reflect.ValueOf(&in).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		if bad := fields.set(name, v.Field(i).Addr().Interface()); bad != nil {
			return in, c.refuseShape(kind, bad)
		}
	}
	return in, nil
}

// unknownFields refuses a member that the input has no field for. Only a few routes do
// that; the others ignore it.
func (c *call) unknownFields(in any) *response {
	fields, err := readObject(c.body)
	if err != nil {
		return nil // decode has reported it
	}
	t := reflect.TypeOf(in)
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("json")
	}
	for _, name := range slices.Sorted(maps.Keys(fields.members)) {
		if !slices.Contains(names, name) {
			return c.refuseShape(plainJSON, &shapeError{field: name, at: position(fields.body, fields.end),
				text: "unknown field `" + name + "`, expected one of `" + strings.Join(names, "`, `") + "`"})
		}
	}
	return nil
}

func (c *call) refuseShape(kind extractor, bad *shapeError) *response {
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

func (c *call) refuseJSON(kind extractor, status int, plain, own string) *response {
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
	field   string // the whole path to it: "grants[0].access"
	missing bool
	text    string
	at      string // position in the body
}

// Error names the value that is wrong. What misses a field is not named, since that
// is the object around it.
func (e *shapeError) Error() string {
	path, text := e.field, e.text
	if e.missing {
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	if path != "" {
		text = path + ": " + text
	}
	if e.at != "" {
		text += " at " + e.at
	}
	return text
}

// within moves an error into a value of the body.
func (e *shapeError) within(outer string) *shapeError {
	switch {
	case e.field == "" || e.field[0] == '[':
		e.field = outer + e.field
	default:
		e.field = outer + "." + e.field
	}
	return e
}

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

// readObject reads an object, and leaves alone what follows it, as the server does.
// Positions are in the messages because the server puts them there.
func readObject(body []byte) (*object, error) {
	body, err := firstValue(body)
	if err != nil {
		return nil, err
	}
	o := &object{body: body, members: map[string]member{}, end: len(bytes.TrimRight(body, " \t\r\n"))}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, _ := dec.Token(); start != json.Delim('{') {
		return nil, &shapeError{text: "invalid type: " + kindOf(body) + ", expected struct", at: position(body, o.end)}
	}
	for dec.More() {
		token, _ := dec.Token() // body is known to be valid
		name, _ := token.(string)
		var m member
		_ = dec.Decode(&m.raw)
		m.end = int(dec.InputOffset())
		if _, twice := o.members[name]; twice {
			return nil, &shapeError{text: "duplicate field `" + name + "`", at: position(body, m.end)}
		}
		o.members[name] = m
	}
	return o, nil
}

// firstValue is the JSON value at the beginning of a body, or says why there is none.
func firstValue(body []byte) ([]byte, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, fmt.Errorf("EOF while parsing a value at %s", position(body, len(body)))
	}
	var raw json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&raw); err != nil {
		bad, ok := errors.AsType[*json.SyntaxError](err)
		if !ok || int(bad.Offset) >= len(body) && unfinished(body) != "" {
			return nil, fmt.Errorf("EOF while parsing %s at %s", cmp.Or(unfinished(body), "a value"), position(body, len(body)))
		}
		return nil, fmt.Errorf("expected value at %s", position(body, int(bad.Offset)))
	}
	value := body[:dec.InputOffset()]
	if at, problem := foreignText(value); problem != "" {
		return nil, fmt.Errorf("%s at %s", problem, position(value, at))
	}
	return value, nil
}

// unfinished names the innermost thing that a body ends in the middle of.
func unfinished(body []byte) string {
	var open []string
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{':
			open = append(open, "an object")
		case '[':
			open = append(open, "a list")
		case '}', ']':
			open = open[:max(len(open)-1, 0)]
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if i >= len(body) {
				return "a string"
			}
		}
	}
	if len(open) == 0 {
		return ""
	}
	return open[len(open)-1]
}

// foreignText finds what Go's decoder replaces and the server refuses: bytes that are
// no UTF-8, and one half of a surrogate pair.
func foreignText(value []byte) (at int, problem string) {
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(value[i:])
			if r == utf8.RuneError && size == 1 {
				return i, "invalid unicode code point"
			}
			i += size - 1
		case value[i] == '\\' && value[i+1] != 'u':
			i++
		case value[i] == '\\':
			first := hexRune(value[i+2:])
			i += 5
			if !utf16.IsSurrogate(first) {
				continue
			}
			if !bytes.HasPrefix(value[i+1:], []byte(`\u`)) || utf16.DecodeRune(first, hexRune(value[i+3:])) == utf8.RuneError {
				return i, "lone leading surrogate in hex escape"
			}
			i += 6
		}
	}
	return 0, ""
}

// hexRune reads the four digits that valid JSON has here.
func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}

// set stores a member in a variable that into points to. Where that is a pointer
// itself, the member is optional, and null is the same as absent. A
// [json.RawMessage] is optional too, and null is kept. Members nobody asks for are
// ignored.
func (o *object) set(name string, into any) *shapeError {
	m, present := o.members[name]
	v := reflect.ValueOf(into).Elem()
	if v.Kind() == reflect.Pointer {
		if !present || string(m.raw) == "null" {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if !present {
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			return nil
		}
		return &shapeError{field: name, missing: true, text: "missing field `" + name + "`", at: position(o.body, o.end)}
	}
	wrong := fill(v, m.raw)
	if wrong != nil {
		wrong.within(name).at = position(o.body, m.end)
	}
	return wrong
}

// fill stores a JSON value in a string, bool, integer, slice, map, struct or
// [json.RawMessage], or says what is wrong with it.
func fill(v reflect.Value, raw json.RawMessage) *shapeError {
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(bytes.Clone(raw))
		return nil
	}
	mismatch := func(want string) *shapeError {
		return &shapeError{text: "invalid type: " + kindOf(raw) + ", expected " + want}
	}
	switch first := raw[0]; v.Kind() {
	case reflect.String:
		if first != '"' || json.Unmarshal(raw, v.Addr().Interface()) != nil {
			return mismatch("a string")
		}
	case reflect.Bool:
		if first != 't' && first != 'f' {
			return mismatch("a boolean")
		}
		v.SetBool(first == 't')
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return mismatch("i64")
		}
		v.SetInt(n)
	case reflect.Slice:
		var items []json.RawMessage
		if first != '[' || json.Unmarshal(raw, &items) != nil {
			return mismatch("a sequence")
		}
		return fillSlice(v, items)
	case reflect.Map: // of strings
		if first != '{' || json.Unmarshal(raw, v.Addr().Interface()) != nil {
			return mismatch("a map")
		}
	default:
		return fillStruct(v, raw)
	}
	return nil
}

func fillSlice(v reflect.Value, items []json.RawMessage) *shapeError {
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if wrong := fill(v.Index(i), item); wrong != nil {
			return wrong.within("[" + strconv.Itoa(i) + "]")
		}
	}
	return nil
}

func fillStruct(v reflect.Value, raw json.RawMessage) *shapeError {
	fields, err := readObject(raw)
	if wrong, ok := errors.AsType[*shapeError](err); ok {
		return wrong
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("json")
		if wrong := fields.set(name, v.Field(i).Addr().Interface()); wrong != nil {
			return wrong
		}
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
func (c *call) form(required string) (url.Values, *response) {
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
	if twice := c.repeatedField(values); twice != nil {
		return nil, twice
	}
	return values, nil
}

// window reads limit and offset, clamped as everywhere in the API.
func (c *call) window() (limit, offset int, refused *response) {
	if limit, refused = c.integer("limit", 50); refused == nil {
		offset, refused = c.integer("offset", 0)
	}
	return min(max(limit, 1), 100), max(offset, 0), refused
}

// integer reads a query parameter that is a whole number.
func (c *call) integer(name string, fallback int) (int, *response) {
	query := c.r.URL.Query()
	if !query.Has(name) {
		return fallback, nil
	}
	n, err := strconv.ParseInt(query.Get(name), 10, 64)
	if err != nil {
		return 0, c.refuseQuery(name, query.Get(name), err)
	}
	return int(min(max(n, math.MinInt32), math.MaxInt32)), nil
}

// slice is the page of items that limit and offset select.
func slice[T any](items []T, limit, offset int) []T {
	items = items[min(offset, len(items)):]
	return items[:min(limit, len(items))]
}

func (c *call) refuseQuery(name, value string, err error) *response {
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
func (c *call) requiredQuery(name string) (string, *response) {
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
