package authos_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/authos-go/authos"
)

func TestOptional(t *testing.T) {
	type params struct {
		Text authos.Optional[string]   `json:"text,omitzero"`
		List authos.Optional[[]string] `json:"list,omitzero"`
	}
	tests := []struct {
		in   params
		want string
	}{
		{params{}, `{}`},
		{params{Text: authos.Null[string](), List: authos.Null[[]string]()}, `{"text":null,"list":null}`},
		{params{Text: authos.Some(""), List: authos.Some([]string{})}, `{"text":"","list":[]}`},
		{params{Text: authos.Some("x"), List: authos.Some([]string{"y"})}, `{"text":"x","list":["y"]}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("Marshal(%+v) = %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in    authos.Optional[int]
		value int
		ok    bool
		zero  bool
	}{{authos.Optional[int]{}, 0, false, true}, {authos.Null[int](), 0, false, false}, {authos.Some(0), 0, true, false}, {authos.Some(7), 7, true, false}} {
		if v, ok := tt.in.Get(); v != tt.value || ok != tt.ok || tt.in.IsZero() != tt.zero {
			t.Errorf("%+v: Get = %v, %v; IsZero = %v", tt.in, v, ok, tt.in.IsZero())
		}
	}
}

// AuthOS sends some JSON as text inside a string.
func TestJSONText(t *testing.T) {
	type response struct {
		Features  authos.Features         `json:"features"`
		Metadata  authos.Metadata         `json:"metadata"`
		Overrides authos.FeatureOverrides `json:"feature_overrides"`
	}
	yes, no := new(true), new(false)
	tests := []struct {
		name, in string
		want     response
		bad      bool
	}{
		{name: "absent", in: `{}`},
		{name: "null", in: `{"features":null,"metadata":null,"feature_overrides":null}`},
		{name: "empty texts", in: `{"features":"","metadata":" ","feature_overrides":""}`},
		{name: "texts with null", in: `{"features":"null","metadata":"null","feature_overrides":"null"}`},
		{
			name: "texts", in: `{"features":"[\"sso\",\"mfa\"]","metadata":"{\"a\":[1]}","feature_overrides":"{\"allow_scim\":true,\"max_mau\":7,\"new\":1}"}`,
			want: response{authos.Features{"sso", "mfa"}, authos.Metadata(`{"a":[1]}`), authos.FeatureOverrides{AllowSCIM: yes, MaxMAU: new(int64(7))}},
		},
		{
			name: "JSON itself", in: `{"features":["sso"],"metadata":{"a":1},"feature_overrides":{"allow_branding":false,"allowed_social_providers":[]}}`,
			want: response{
				authos.Features{"sso"}, authos.Metadata(`{"a":1}`),
				authos.FeatureOverrides{AllowBranding: no, AllowedSocialProviders: []string{}},
			},
		},
		{
			name: "other names", in: `{"feature_overrides":"{\"allow_saml\":true,\"allow_siem_integration\":false,\"allow_custom_branding\":true}"}`,
			want: response{Overrides: authos.FeatureOverrides{AllowSAMLIdP: yes, AllowSIEM: no, AllowBranding: yes}},
		},
		{name: "metadata that is no JSON", in: `{"metadata":"moved by hand"}`, want: response{Metadata: authos.Metadata(`"moved by hand"`)}},
		{name: "metadata of one number", in: `{"metadata":7}`, want: response{Metadata: authos.Metadata(`7`)}},
		{name: "features that are no JSON", in: `{"features":"a,b"}`, bad: true},
		{name: "features of another type", in: `{"features":1}`, bad: true},
		{name: "features with a number", in: `{"features":"[1]"}`, bad: true},
		{name: "overrides of another type", in: `{"feature_overrides":"[]"}`, bad: true},
		{name: "overrides cut short", in: `{"feature_overrides":"{\"max_mau\":"}`, bad: true},
	}
	for _, tt := range tests {
		var got response
		err := json.Unmarshal([]byte(tt.in), &got)
		if (err != nil) != tt.bad || !tt.bad && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestMetadataDecode(t *testing.T) {
	var m struct{ Metadata authos.Metadata }
	if err := json.Unmarshal([]byte(`{"Metadata":"{\"role\":\"admin\"}"}`), &m); err != nil {
		t.Fatal(err)
	}
	var v struct{ Role string }
	if err := m.Metadata.Decode(&v); err != nil || v.Role != "admin" {
		t.Errorf("Decode: %+v, %v", v, err)
	}
	if out, err := json.Marshal(m); err != nil || string(out) != `{"Metadata":{"role":"admin"}}` {
		t.Errorf("Marshal = %s, %v", out, err)
	}
	if out, err := json.Marshal(authos.Metadata(nil)); err != nil || string(out) != "null" {
		t.Errorf("Marshal(nil) = %s, %v", out, err)
	}
	if err := authos.Metadata(nil).Decode(&v); err != nil || v.Role != "admin" {
		t.Errorf("Decode of nothing: %+v, %v", v, err)
	}
	if err := authos.Metadata(`[]`).Decode(&v); err == nil {
		t.Error("a list passes for an object")
	}
}

// What another reader reuses must not change under one who kept it.
func TestMetadataIsItsOwn(t *testing.T) {
	raw := []byte(`{"a":1}`)
	var m authos.Metadata
	if err := m.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	copy(raw, `XXXXXXX`)
	if string(m) != `{"a":1}` {
		t.Errorf("metadata changed to %s", m)
	}
}
