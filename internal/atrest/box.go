// Package atrest is how the stores write tokens and cached responses where others may read or
// change them.
package atrest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Key encrypts values: 32 random bytes, kept elsewhere than the values. It prints as "[redacted]"
// and refuses to be marshalled.
type Key []byte

// KeySize is the length of a key in bytes: AES-256.
const KeySize = 32

const redacted = "[redacted]"

var errMarshalKey = errors.New("authos: refusing to marshal a key")

// String implements [fmt.Stringer]; it never is the key.
func (k Key) String() string { return redacted }

// Format implements [fmt.Formatter] for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON fails.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errMarshalKey }

// MarshalText fails; it covers XML, YAML and TOML.
func (k Key) MarshalText() ([]byte, error) { return nil, errMarshalKey }

// MarshalBinary fails; it covers gob.
func (k Key) MarshalBinary() ([]byte, error) { return nil, errMarshalKey }

// CheckKeys gives what is wrong with a constructor's keys, by field: Key and OldKeys. An empty key
// that is not nil is a mistake, such as an environment variable that is not set.
func CheckKeys(key Key, old []Key) map[string]string {
	wrong := map[string]string{}
	switch {
	case key != nil && len(key) != KeySize:
		wrong["Key"] = "must be 32 bytes long"
	case key == nil && len(old) > 0:
		wrong["Key"] = "must be given with OldKeys"
	}
	if slices.ContainsFunc(old, func(k Key) bool { return len(k) != KeySize }) {
		wrong["OldKeys"] = "must be 32 bytes long each"
	}
	return wrong
}

// Box puts values into the form in which they are stored: one byte that says how, then the value,
// or nonce and ciphertext of AES-256-GCM. The key of the cipher is derived for each kind of data
// and each name (HKDF, RFC 5869), so that the random nonces of one key do not run out with many
// names, and that neither a value of another name nor one of another kind can be put in its place.
type Box struct {
	kind string
	keys []Key // the one that encrypts first; none: clear text
}

const (
	clearText = 'c'
	encrypted = 'e'
)

// The errors of Open.
var (
	ErrNotOurs      = errors.New("the value was not written by this package, or by a newer version of it")
	ErrNotEncrypted = errors.New("the value is not encrypted, and a key is configured")
	ErrEncrypted    = errors.New("the value is encrypted, and no key is configured")
	ErrWrongKey     = errors.New("the value does not decrypt with any of the keys: another key, or it was tampered with or put back")
)

// NewBox copies the keys. A nil key means clear text.
func NewBox(kind string, key Key, old []Key) Box {
	b := Box{kind: kind}
	if key == nil {
		return b
	}
	b.keys = []Key{slices.Clone(key)}
	for _, k := range old {
		b.keys = append(b.keys, slices.Clone(k))
	}
	return b
}

// Seal writes a value. What it is bound to must be the same when it is opened: a version, say.
func (b Box) Seal(name string, value []byte, bound ...string) ([]byte, error) {
	if len(b.keys) == 0 {
		return append([]byte{clearText}, value...), nil
	}
	aead, err := b.derive(b.keys[0], name)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{encrypted}, nil, value, additional(name, bound)), nil //nolint:gosec // not a nonce: it makes a random one
}

// Open refuses clear text where a key is configured: whoever can write to the store could plant
// tokens otherwise.
func (b Box) Open(name string, stored []byte, bound ...string) ([]byte, error) {
	if len(stored) == 0 {
		return nil, ErrNotOurs
	}
	form, content := stored[0], stored[1:]
	switch {
	case form == clearText && len(b.keys) > 0:
		return nil, ErrNotEncrypted
	case form == clearText:
		return content, nil
	case form == encrypted && len(b.keys) == 0:
		return nil, ErrEncrypted
	case form != encrypted:
		return nil, ErrNotOurs
	}
	for _, key := range b.keys {
		aead, err := b.derive(key, name)
		if err != nil {
			return nil, err
		}
		if value, err := aead.Open(nil, nil, content, additional(name, bound)); err == nil {
			return value, nil
		}
	}
	return nil, ErrWrongKey
}

// additional is what is authenticated beside a value, each part with its length, so that no two
// lists read the same.
func additional(name string, bound []string) []byte {
	var all []byte
	for _, part := range append([]string{name}, bound...) {
		all = binary.BigEndian.AppendUint32(all, uint32(len(part))) //nolint:gosec // names and versions are short
		all = append(all, part...)
	}
	return all
}

func (b Box) derive(key Key, name string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, key, nil, "authos "+b.kind+" 1 "+name, KeySize)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("making a cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
