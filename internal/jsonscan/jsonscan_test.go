package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/authos-go/authos/internal/jsonscan"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		``: nil, `null`: nil, `"a"`: {"a"}, `["a", 1, "b\n\u00e9"]`: {"a", "b\né"}, `{"name":"a","list":[{"deep":"b"}],"n":7}`: {"a", "b"},
		`{"name" : "a"}`: {"a"}, `{"cut":"a","b":"x`: {"a"}, `["a\"b","\\"]`: {`a"b`, `\`}, `["bad \x escape","c"]`: {"c"}, "[\"\xff\"]": {"\uFFFD"},
	} {
		if got := slices.Collect(jsonscan.Texts([]byte(in))); !slices.Equal(got, want) {
			t.Errorf("Texts(%s) = %q, want %q", in, got, want)
		}
	}
	for text := range jsonscan.Texts([]byte(`["a","b"]`)) {
		if text != "a" {
			t.Fatal("goes on after the break")
		}
		break
	}
}

// members walks over an object as the scanner does.
func members(data []byte) map[string]string {
	all := map[string]string{}
	for s := jsonscan.Over(data); s.Next(); {
		if name, ok := s.Name(); ok {
			all[name] = string(s.Value)
		}
	}
	return all
}

func TestScanner(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]map[string]string{
		``: {}, `[]`: {}, `{}`: {}, ` {"a": 1 , "b":"x"}`: {"a": "1", "b": `"x"`}, `{"a":{"b":[1,{}]},"c":null}`: {"a": `{"b":[1,{}]}`, "c": "null"},
		`{"a":1,"b":2`: {"a": "1"}, `{"a":1,"b":{"c":`: {"a": "1", "b": `{"c":`}, `{"a\u0062":"}"}`: {"ab": `"}"`}, `{"a":"x`: {}, `{"a" 1}`: {},
	} {
		if got := members([]byte(in)); !maps.Equal(got, want) {
			t.Errorf("members of %s = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]int{``: 0, `{}`: 0, `[]`: 0, `[1,"a",{}]`: 3, `[1,2`: 1, `[{"a":1},{"b":`: 2, `["a","b`: 1} {
		if got := len(jsonscan.Elements([]byte(in))); got != want {
			t.Errorf("%d elements of %s, want %d", got, in, want)
		}
	}
}

// FuzzScan: whatever comes, nothing panics, hangs or reaches beyond the data; and of valid JSON the
// scanner finds what the decoder finds.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"a":1,"b":[true,"x\u00e9"],"c":{"d":"e"}}`, `[{"a":"b"},"c"]`, `{"a":"b`, `{"a":{"b":`, `"\ud800"`, `{"a" : "b" , }`, "\xff{\"a\"", `[[[[[["a"]]]]]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		scanned := members(data)
		elements := jsonscan.Elements(data)
		var texts []string
		for text := range jsonscan.Texts(data) {
			texts = append(texts, text)
		}
		if !bytes.Equal(data, given) {
			t.Fatal("the data was changed")
		}
		var v any
		if !json.Valid(data) || json.Unmarshal(data, &v) != nil {
			return
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) == nil && object != nil {
			if len(object) != len(scanned) {
				t.Fatalf("%d members, want %d", len(scanned), len(object))
			}
			for name, value := range object {
				if scanned[name] != string(value) {
					t.Fatalf("%q is %q, want %q", name, scanned[name], value)
				}
			}
		}
		if list, ok := v.([]any); ok && len(list) != len(elements) {
			t.Fatalf("%d elements, want %d", len(elements), len(list))
		}
		if want := decodedTexts(v); len(object) == 0 || !twice(data) {
			for _, text := range want {
				if !slices.Contains(texts, text) {
					t.Fatalf("text %q was not found: %q", text, texts)
				}
			}
		}
	})
}

// twice reports whether an object may name a member twice, of which the decoder keeps one.
func twice(data []byte) bool { return bytes.Count(data, []byte(":")) > 1 }

func decodedTexts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, each := range v {
			all = append(all, decodedTexts(each)...)
		}
	case map[string]any:
		for _, each := range v {
			all = append(all, decodedTexts(each)...)
		}
	}
	return all
}
