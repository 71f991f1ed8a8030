package authos_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"testing"

	"github.com/authos-go/authos"
)

const latin1 = "stra\xdfe"

type named string

func (n named) MarshalText() ([]byte, error) { return []byte(n), nil }

type pointerNamed struct{ text string }

func (n *pointerNamed) MarshalText() ([]byte, error) { return []byte(n.text), nil }

type keyNamed struct{ text string }

func (n keyNamed) MarshalText() ([]byte, error) { return []byte(n.text), nil }

// JSON cannot carry text that is not UTF-8, and would change it in silence: such input is refused
// before anything is sent, and the field is named.
func TestTextThatIsNotUTF8(t *testing.T) {
	type inner struct {
		Text string            `json:"text"`
		Map  map[string]string `json:"map,omitempty"`
		Skip string            `json:"-"`
		list []string
	}
	type outer struct {
		inner
		Deep  *inner  `json:"deep"`
		List  []inner `json:"list"`
		Any   any     `json:"any"`
		Plain string
		Text2 named `json:"text2"`
	}
	for name, tt := range map[string]struct {
		method string
		in     any
		field  string // "": it is fine
	}{
		"text":                 {"POST", latin1, "in"},
		"member":               {"POST", outer{inner: inner{Text: latin1}}, "text"},
		"nested":               {"POST", &outer{Deep: &inner{Text: latin1}}, "deep.text"},
		"in a list":            {"PUT", outer{List: []inner{{}, {Text: latin1}}}, "list.text"},
		"in an interface":      {"PATCH", outer{Any: []any{1, map[string]any{"a": latin1}}}, "any.a"},
		"without a tag":        {"POST", outer{Plain: latin1}, "Plain"},
		"text marshaler":       {"POST", outer{Text2: latin1}, "text2"},
		"marshaler's pointer":  {"POST", map[string]any{"a": &pointerNamed{latin1}}, "a"},
		"marshaler by address": {"POST", &struct{ A pointerNamed }{pointerNamed{latin1}}, "A"},
		"map key, marshaler":   {"POST", map[keyNamed]int{{latin1}: 1}, "in"},
		"good key, marshaler":  {"POST", map[keyNamed]string{{"a"}: "\ufffd"}, ""},
		"map value":            {"POST", map[string]string{"name": latin1}, "name"},
		"map key":              {"POST", map[string]string{latin1: "x"}, "in"},
		"bytes":                {"POST", []byte(`{"a":"` + latin1 + `"}`), "in"},
		"raw":                  {"POST", json.RawMessage(`{"a":"` + latin1 + `"}`), "in"},
		"nested raw":           {"POST", map[string]any{"a": json.RawMessage(`"` + latin1 + `"`)}, "in"},
		"form":                 {"POST", url.Values{"q": {"a", latin1}}, "q"},
		"form key":             {"POST", url.Values{latin1: {"a"}}, "in"},
		"query":                {"GET", url.Values{"q": {latin1}}, "q"},
		"not JSON":             {"POST", []byte(`{"a":`), "in"},
		"nil pointer":          {"POST", (*outer)(nil), "in"},
		"not sent":             {"POST", outer{inner: inner{Skip: latin1, list: []string{latin1}}}, ""},
		"UTF-8":                {"POST", outer{inner: inner{Text: "straße \u6f22 \U0001f600"}}, ""},
		"the character":        {"POST", map[string]string{"a": "\ufffd"}, ""},
		"the escape":           {"POST", json.RawMessage(`{"a":"\ufffd"}`), ""},
		"nested escape":        {"POST", map[string]any{"a": json.RawMessage(`"\ufffd"`)}, ""},
		"text of an escape":    {"POST", map[string]string{"a": `\ufffd`}, ""},
		"bytes as they are":    {"POST", []byte(`{"a" : 1}`), ""},
	} {
		rt := scripted(okReply())
		err := clientWithoutBreaker(t, rt).Do(t.Context(), tt.method, "/x/thing", tt.in, nil)
		var v *authos.ValidationError
		switch {
		case tt.field == "" && (err != nil || rt.count() != 1):
			t.Errorf("%s: Do = %v, want it sent", name, err)
		case tt.field != "" && (!errors.As(err, &v) || v.Fields[0].Field != tt.field || rt.count() != 0):
			t.Errorf("%s: Do = %v, sent %d, want the field %q refused", name, err, rt.count(), tt.field)
		case name == "bytes as they are" && rt.requests()[0].body != `{"a" : 1}`:
			t.Errorf("%s: sent %q", name, rt.requests()[0].body)
		}
	}
	for _, path := range []string{"/x/" + latin1, "/x/a%DFb", "/x/thing?q=" + latin1, "/x/thing?q=%df"} {
		rt := scripted(okReply())
		if err := clientWithoutBreaker(t, rt).Do(t.Context(), "GET", path, nil, nil); !errors.Is(err, authos.ErrInvalid) || rt.count() != 0 {
			t.Errorf("Do(%q) = %v, sent %d, want it refused", path, err, rt.count())
		}
	}
}

func FuzzTextIsSentAsItIs(f *testing.F) {
	f.Add(latin1, "a")
	f.Add("\ufffd", `\ufffd`)
	f.Add("\xed\xa0\x80", "")
	f.Fuzz(func(t *testing.T, value, other string) {
		rt := scripted(okReply())
		in := map[string]string{"value": value, "other": other}
		if clientWithoutBreaker(t, rt).Do(t.Context(), "POST", "/x/thing", in, nil) != nil {
			return
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(rt.requests()[0].body), &got); err != nil || got["value"] != value || got["other"] != other {
			t.Errorf("the server got %q, %v, want %q", got, err, in)
		}
	})
}
