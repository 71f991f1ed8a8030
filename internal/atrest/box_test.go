package atrest_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/authos-go/authos/internal/atrest"
)

// Whatever is changed, cut or read for something else does not decrypt.
func TestNothingElseOpens(t *testing.T) {
	key, other := atrest.Key(bytes.Repeat([]byte("a"), atrest.KeySize)), atrest.Key(bytes.Repeat([]byte("b"), atrest.KeySize))
	box := atrest.NewBox("tokens", key, nil)
	stored, err := box.Seal("name", []byte("value"), "7")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := box.Open("name", stored, "7"); err != nil || string(got) != "value" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	refused := func(what string, b atrest.Box, name string, stored []byte, bound ...string) {
		t.Helper()
		if got, err := b.Open(name, stored, bound...); err == nil || got != nil {
			t.Errorf("%s: Open = %q, %v", what, got, err)
		}
	}
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 1
		refused("changed", box, "name", bad, "7")
		refused("cut", box, "name", stored[:i], "7")
	}
	refused("another name", box, "nam", stored, "7")
	refused("another version", box, "name", stored, "8")
	refused("no version", box, "name", stored)
	refused("other parts of the same text", box, "name7", stored)
	parts, err := box.Seal("name", []byte("value"), "7", "89")
	if err != nil {
		t.Fatal(err)
	}
	refused("the same text, in other parts", box, "name", parts, "78", "9")
	refused("another kind", atrest.NewBox("cache", key, nil), "name", stored, "7")
	refused("another key", atrest.NewBox("tokens", other, nil), "name", stored, "7")
	refused("no key", atrest.NewBox("tokens", nil, nil), "name", stored, "7")
	if got, err := atrest.NewBox("tokens", other, []atrest.Key{key}).Open("name", stored, "7"); err != nil || string(got) != "value" {
		t.Errorf("with an old key: Open = %q, %v", got, err)
	}
}

// Without a key a value is clear text, and the error says what is the matter with one that does not
// open.
func TestWhyNothingOpens(t *testing.T) {
	key, other := atrest.Key(bytes.Repeat([]byte("a"), atrest.KeySize)), atrest.Key(bytes.Repeat([]byte("b"), atrest.KeySize))
	plain, box := atrest.NewBox("tokens", nil, nil), atrest.NewBox("tokens", key, nil)
	inClear, err := plain.Seal("name", []byte("{}"), "7")
	if err != nil || string(inClear) != "c{}" {
		t.Fatalf("without a key: Seal = %q, %v, want clear text", inClear, err)
	}
	sealed, err := box.Seal("name", []byte("{}"), "7")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		box    atrest.Box
		stored []byte
		want   error
	}{
		{"clear text", plain, inClear, nil},
		{"its key", box, sealed, nil},
		{"clear text, and a key", box, inClear, atrest.ErrNotEncrypted},
		{"no key", plain, sealed, atrest.ErrEncrypted},
		{"another key", atrest.NewBox("tokens", other, nil), sealed, atrest.ErrWrongKey},
		{"foreign, no key", plain, []byte("{}"), atrest.ErrNotOurs},
		{"foreign, and a key", box, []byte("{}"), atrest.ErrNotOurs},
		{"empty, no key", plain, nil, atrest.ErrNotOurs},
		{"empty, and a key", box, nil, atrest.ErrNotOurs},
	} {
		_, err := tc.box.Open("name", tc.stored, "7")
		_, tokensErr := tc.box.OpenTokens("name", 7, tc.stored)
		if !errors.Is(err, tc.want) || !errors.Is(tokensErr, tc.want) {
			t.Errorf("%s: Open = %v, OpenTokens = %v, want %v", tc.name, err, tokensErr, tc.want)
		}
	}
	if _, err := plain.OpenTokens("name", 7, []byte("c[]")); !errors.Is(err, atrest.ErrNotOurs) {
		t.Errorf("OpenTokens of what are none = %v", err)
	}
}

func TestKeysAreNotShown(t *testing.T) {
	key := atrest.Key("0123456789abcdefghijklmnopqrstuv")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if text, logged := key.String(), key.LogValue().String(); text != "[redacted]" || logged != text {
		t.Errorf("String = %q, LogValue = %q", text, logged)
	}
}

func TestKeysAreNotMarshalled(t *testing.T) {
	key := atrest.Key("0123456789abcdefghijklmnopqrstuv")
	for _, marshal := range []func() ([]byte, error){key.MarshalJSON, key.MarshalText, key.MarshalBinary} {
		if b, err := marshal(); err == nil {
			t.Errorf("a key was marshalled: %d bytes", len(b))
		}
	}
}
