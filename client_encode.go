package authos

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"
)

// encode makes the request's body once; every attempt sends the same bytes.
func (cl *call) encode(in any) error {
	switch v := in.(type) {
	case nil:
		return nil
	case url.Values:
		if err := checkValues(v); err != nil {
			return err
		}
		if isRead(cl.method) {
			// url.Values is a query where there is no body. cl owns its URL: newCall made it.
			cl.url.RawQuery = strings.TrimPrefix(cl.url.RawQuery+"&"+v.Encode(), "&")
			return nil
		}
		cl.body, cl.contentType = []byte(v.Encode()), "application/x-www-form-urlencoded"
		return nil
	case io.Reader:
		return invalid("in", CodeInvalidFormat, "must be a value, not a reader: a body that cannot be read twice cannot be sent twice")
	}
	if isRead(cl.method) {
		return invalid("in", CodeInvalidFormat, cl.method+" takes no body; use url.Values for a query")
	}
	body, err := toJSON(in)
	if err != nil {
		return err
	}
	cl.body, cl.contentType = body, "application/json"
	return nil
}

// checkValues refuses text in a query or a form that is not UTF-8.
func checkValues(values url.Values) error {
	for key, each := range values {
		if !utf8.ValidString(key) {
			return invalid("in", CodeInvalidFormat, "the names "+notUTF8)
		}
		for _, value := range each {
			if !utf8.ValidString(value) {
				return invalid(key, CodeInvalidFormat, notUTF8)
			}
		}
	}
	return nil
}

// toJSON encodes a value. What is JSON already stays as it is.
func toJSON(in any) ([]byte, error) {
	v := reflect.ValueOf(in)
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil, invalid("in", CodeRequired, "must not be a nil pointer")
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		body := bytes.Clone(v.Bytes())
		switch {
		case !utf8.Valid(body):
			return nil, invalid("in", CodeInvalidFormat, notUTF8)
		case !json.Valid(body):
			return nil, invalid("in", CodeInvalidFormat, "must be JSON: bytes are sent as they are")
		}
		return body, nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, invalid("in", CodeInvalidFormat, "cannot be encoded as JSON: "+err.Error())
	}
	// encoding/json puts a replacement character where bytes are not UTF-8, escaped before Go 1.27:
	// different passwords would become one. Whoever means the character itself has it in the value.
	if !utf8.Valid(body) || bytes.Contains(body, []byte(`\ufffd`)) || bytes.ContainsRune(body, utf8.RuneError) {
		if field, bad := badText(v, "", 0); bad || !utf8.Valid(body) {
			return nil, invalid(cmp.Or(field, "in"), CodeInvalidFormat, notUTF8)
		}
	}
	return body, nil
}

// maxDepth is deeper than encoding/json goes.
const maxDepth = 1000

// badText finds the first text in a value that is not UTF-8, and names it as the server's field
// names do.
func badText(v reflect.Value, path string, depth int) (field string, bad bool) {
	if depth > maxDepth {
		return path, false
	}
	if text, ok := marshaledText(v); ok {
		return path, !utf8.ValidString(text)
	}
	switch v.Kind() { //nolint:exhaustive // the others hold no text
	case reflect.String:
		return path, !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "", false
		}
		return badText(v.Elem(), path, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || !f.IsExported() && !f.Anonymous {
				continue
			}
			inner := path
			if name != "" || !f.Anonymous {
				inner = below(path, name, f.Name)
			}
			if field, bad := badText(v.Field(i), inner, depth+1); bad {
				return field, true
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			key := entries.Key().String()
			if text, ok := marshaledText(entries.Key()); ok && entries.Key().Kind() != reflect.String {
				key = text
			}
			if !utf8.ValidString(key) {
				return path, true
			}
			if field, bad := badText(entries.Value(), below(path, key), depth+1); bad {
				return field, true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if field, bad := badText(v.Index(i), path, depth+1); bad {
				return field, true
			}
		}
	}
	return "", false
}

// marshaledText is the text that a value makes of itself, by a method of its own or of its pointer.
func marshaledText(v reflect.Value) (text string, ok bool) {
	if !v.IsValid() || v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return "", false // what it points to is looked at next
	}
	if v.CanAddr() {
		v = v.Addr()
	}
	if !v.CanInterface() {
		return "", false
	}
	m, ok := reflect.TypeAssert[encoding.TextMarshaler](v)
	if !ok {
		return "", false
	}
	data, err := m.MarshalText()
	return string(data), err == nil
}

// below joins a path with the first of names that is not empty.
func below(path string, names ...string) string {
	for _, name := range names {
		if name != "" {
			return strings.TrimPrefix(path+"."+name, ".")
		}
	}
	return path
}
