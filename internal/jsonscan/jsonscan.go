// Package jsonscan walks over JSON that may be cut or broken, without decoding it and without
// allocating. It is a leaf: it imports nothing of this module.
package jsonscan

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// Scanner walks over the members of one JSON object without decoding them and without allocating.
// It needs no valid JSON: it stops where the data stops making sense, so the members before a cut
// are found, and a value the cut goes through is given as far as it goes when it is an object or a
// list, for those have members of their own.
type Scanner struct {
	rest   []byte
	Key    []byte // between its quotes, escapes as they are
	Value  []byte
	opened bool
}

// Over returns a scanner of the members of the object at the start of data.
func Over(data []byte) Scanner { return Scanner{rest: data} }

// Open enters the object, and reports whether there is one.
func (s *Scanner) Open() bool {
	s.rest = skipSpace(s.rest)
	if len(s.rest) == 0 || s.rest[0] != '{' {
		return false
	}
	s.rest, s.opened = s.rest[1:], true
	return true
}

// Next moves to the next member, and reports whether there is one.
func (s *Scanner) Next() bool {
	if !s.opened && !s.Open() {
		return false
	}
	s.rest = skipSpace(s.rest)
	if len(s.rest) > 0 && s.rest[0] == ',' {
		s.rest = skipSpace(s.rest[1:])
	}
	n, whole := valueEnd(s.rest)
	if !whole || s.rest[0] != '"' {
		return false
	}
	s.Key, s.rest = s.rest[1:n-1], skipSpace(s.rest[n:])
	if len(s.rest) == 0 || s.rest[0] != ':' {
		return false
	}
	s.rest = skipSpace(s.rest[1:])
	n, whole = valueEnd(s.rest)
	s.Value, s.rest = s.rest[:n:n], s.rest[n:]
	return whole || n > 0 && (s.Value[0] == '{' || s.Value[0] == '[')
}

// Name returns the key with its escapes read.
func (s *Scanner) Name() (string, bool) { return unquote(s.Key) }

// Elements gives the elements of a JSON list, up to where it is cut.
func Elements(data []byte) []json.RawMessage {
	rest := skipSpace(data)
	if len(rest) == 0 || rest[0] != '[' {
		return nil
	}
	var all []json.RawMessage
	for rest = skipSpace(rest[1:]); len(rest) > 0 && rest[0] != ']'; {
		n, whole := valueEnd(rest)
		if n > 0 && (whole || rest[0] == '{') {
			all = append(all, json.RawMessage(rest[:n:n]))
		}
		rest = skipSpace(rest[n:])
		if len(rest) == 0 || rest[0] != ',' {
			break
		}
		rest = skipSpace(rest[1:])
	}
	return all
}

// Texts gives every text in a JSON value that is a value itself, not a name, with its escapes read,
// as far as the JSON makes sense.
func Texts(data []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			start := bytes.IndexByte(data, '"')
			if start < 0 {
				return
			}
			n, whole := stringEnd(data[start:])
			if !whole {
				return
			}
			raw := data[start : start+n]
			data = skipSpace(data[start+n:])
			if len(data) > 0 && data[0] == ':' {
				continue
			}
			if text, ok := unquote(raw[1 : n-1]); ok && !yield(text) {
				return
			}
		}
	}
}

// unquote reads the escapes of a JSON string without its quotes.
func unquote(raw []byte) (string, bool) {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw), true
	}
	var text string
	err := json.Unmarshal(bytes.Join([][]byte{{'"'}, raw, {'"'}}, nil), &text)
	return text, err == nil
}

// valueEnd is the length of the JSON value at the start of data, and whether the value is whole. It
// counts brackets outside of strings and leaves it to the decoder to find fault with what is
// between them.
func valueEnd(data []byte) (n int, whole bool) {
	if len(data) == 0 {
		return 0, false
	}
	switch data[0] {
	case '"':
		return stringEnd(data)
	case '{', '[':
	default:
		n = bytes.IndexAny(data, ",]} \t\r\n")
		if n < 0 {
			return len(data), false // a number that is cut may have lost digits
		}
		return n, n > 0
	}
	depth := 0
	for n < len(data) {
		switch data[n] {
		case '"':
			end, whole := stringEnd(data[n:])
			if !whole {
				return len(data), false
			}
			n += end
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		n++
		if depth == 0 {
			return n, true
		}
	}
	return n, false
}

// stringEnd is the length of the JSON string at the start of data, quotes included.
func stringEnd(data []byte) (n int, whole bool) {
	for n = 1; n < len(data); n++ {
		switch data[n] {
		case '\\':
			n++
		case '"':
			return n + 1, true
		}
	}
	return len(data), false
}

func skipSpace(data []byte) []byte {
	for len(data) > 0 && (data[0] == ' ' || data[0] == '\t' || data[0] == '\r' || data[0] == '\n') {
		data = data[1:]
	}
	return data
}
