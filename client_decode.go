package authos

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/authos-go/authos/internal/jsonscan"
	"github.com/authos-go/authos/internal/routes"
)

// decodeJSON is [json.Unmarshal], but for one thing: a member whose name differs from that of a
// field by case only does not override the one that is spelled like the field. encoding/json takes
// both, and the last one wins: {"id":"u1","ID":"u2"} would be u2.
func decodeJSON(data []byte, out any) error {
	if hasForeignNames(data) {
		data = exactNames(data, reflect.TypeOf(out))
	}
	return json.Unmarshal(data, out)
}

// hasForeignNames reports whether any object in JSON has a name that cannot be one of AuthOS's,
// which are of small ASCII letters: one with a capital, an escape or anything beyond ASCII, for two
// letters beyond it fold to k and s. It allocates nothing.
func hasForeignNames(data []byte) bool {
	for {
		start := bytes.IndexByte(data, '"')
		if start < 0 {
			return false
		}
		data = data[start+1:]
		end, foreign := 0, false
		for end < len(data) && data[end] != '"' {
			switch b := data[end]; {
			case b == '\\':
				foreign = true
				end++
			case 'A' <= b && b <= 'Z' || b >= 0x80:
				foreign = true
			}
			end++
		}
		if end >= len(data) {
			return false
		}
		data = data[end+1:]
		if foreign && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(":")) {
			return true
		}
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// exactNames is data without the members that t has no field for but by folding case, where the
// field's own member is there too. What t does not decode field by field stays as it is: maps, raw
// JSON, types with a decoder of their own.
func exactNames(data []byte, t reflect.Type) []byte {
	for t != nil && t.Kind() == reflect.Pointer {
		if t.Implements(unmarshaler) {
			return data
		}
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(unmarshaler) || !json.Valid(data) {
		return data
	}
	switch t.Kind() {
	case reflect.Struct:
		return exactMembers(data, t)
	case reflect.Slice, reflect.Array:
		return exactElements(data, t.Elem())
	default:
		return data
	}
}

func exactElements(data []byte, t reflect.Type) []byte {
	list := jsonscan.Elements(data)
	if list == nil {
		return data
	}
	parts := make([][]byte, len(list))
	for i, element := range list {
		parts[i] = exactNames(element, t)
	}
	return joined('[', parts, ']')
}

func exactMembers(data []byte, t reflect.Type) []byte {
	members := parseObject(data)
	if members == nil {
		return data
	}
	fields := map[string]reflect.Type{}
	jsonFields(t, fields)
	var parts [][]byte
	for s := jsonscan.Over(data); s.Next(); {
		name, ok := s.Name()
		if !ok || folded(name, fields, members) {
			continue
		}
		value := s.Value
		if field, own := fields[name]; own {
			value = exactNames(value, field)
		}
		parts = append(parts, bytes.Join([][]byte{[]byte(`"`), s.Key, []byte(`":`), value}, nil))
	}
	return joined('{', parts, '}')
}

// folded reports whether a name is that of no field, but folds to that of one which is given.
func folded(name string, fields map[string]reflect.Type, members object) bool {
	if _, own := fields[name]; own {
		return false
	}
	for field := range fields {
		if _, given := members[field]; given && strings.EqualFold(field, name) {
			return true
		}
	}
	return false
}

// jsonFields lists the names of a struct's fields in JSON, those of embedded structs included.
func jsonFields(t reflect.Type, fields map[string]reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.Anonymous && !f.IsExported():
		case f.Anonymous && name == "":
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if embedded.Kind() == reflect.Struct {
				jsonFields(embedded, fields)
			}
		case name == "":
			fields[f.Name] = f.Type
		default:
			if _, outer := fields[name]; !outer {
				fields[name] = f.Type
			}
		}
	}
}

func joined(begin byte, parts [][]byte, end byte) []byte {
	out := append([]byte{begin}, bytes.Join(parts, []byte(","))...)
	return append(out, end)
}

// decode gives out what the response holds.
func (cl *call) decode(resp *http.Response, out any) error {
	if e := errorOf(resp); e != nil {
		return e
	}
	body := bodyOf(resp)
	wrong := func(err error) error {
		return &DecodeError{
			StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RequestID: serverRequestID(resp.Header),
			Err: err, Body: body[:min(len(body), maxErrorBody)],
		}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return wrong(errors.New("neither a success nor an error"))
	}
	switch out := out.(type) {
	case nil:
		// Nothing is wanted of the body, but a page is no response of the API: with a wrong base
		// URL the server's own web pages respond 200 to anything.
		if cl.route != nil && (cl.route.Auth != routes.AuthNone || strings.HasPrefix(cl.route.Template, "/api/")) && isPage(body) {
			return wrong(errPage)
		}
		return nil
	case *[]byte:
		*out = body
		if cl.stale != nil {
			*out = bytes.Clone(body) // the store may hold the same bytes
		}
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 || bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		// what a server of October 2025 does without a body
		_, acknowledges := out.(*acknowledgment)
		if cl.mayBeEmpty(resp.StatusCode, body) || acknowledges && resp.StatusCode == http.StatusNoContent {
			return nil
		}
		return wrong(errors.New("empty body"))
	}
	if err := decodeJSON(body, out); err != nil {
		if isPage(body) {
			err = errPage
		}
		return wrong(err)
	}
	if name := lacking(out); name != "" {
		return wrong(errors.New("without " + name))
	}
	return nil
}

// lacking names what a result lacks of what its route promises; only typed methods' results promise
// anything.
func lacking(out any) string {
	if p, ok := out.(interface{ missing() string }); ok {
		return p.missing()
	}
	return ""
}

var errPage = errors.New("HTML instead of JSON: is the base URL right?")

func isPage(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// mayBeEmpty reports whether an empty or null success is the response the route promises. Nothing
// is known of an unknown route, so that 204 and null speak for themselves there.
func (cl *call) mayBeEmpty(status int, body []byte) bool {
	if cl.method == http.MethodDelete && status == http.StatusNoContent {
		return true // what a DELETE of something that is gone already ends with
	}
	if cl.route != nil {
		return cl.route.Has(routes.MayBeEmpty)
	}
	return status == http.StatusNoContent || len(body) > 0
}
