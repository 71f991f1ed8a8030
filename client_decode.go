package authos

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/authos-go/authos/internal/jsonscan"
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
