package atrest_test

import (
	"bytes"
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
	refused("another kind", atrest.NewBox("cache", key, nil), "name", stored, "7")
	refused("another key", atrest.NewBox("tokens", other, nil), "name", stored, "7")
	refused("no key", atrest.NewBox("tokens", nil, nil), "name", stored, "7")
	if got, err := atrest.NewBox("tokens", other, []atrest.Key{key}).Open("name", stored, "7"); err != nil || string(got) != "value" {
		t.Errorf("with an old key: Open = %q, %v", got, err)
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
