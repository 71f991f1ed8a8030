package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/authos-go/authos"
)

// Key encrypts values: 32 random bytes, kept elsewhere than in Redis. It prints as "[redacted]" and refuses to be marshalled.
type Key []byte

const redacted = "[redacted]"

var errMarshalKey = errors.New("redisstore: refusing to marshal a key")

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

const keySize = 32 // bytes: AES-256

// keys checks a constructor's keys. An empty key that is not nil is a mistake, such as an environment variable that is not set.
func (f *findings) keys(key Key, old []Key) {
	if key != nil && len(key) != keySize {
		f.add("Key", authos.CodeOutOfRange, "must be 32 bytes long, or nil for clear text")
	}
	if key == nil && len(old) > 0 {
		f.add("Key", authos.CodeRequired, "must be given with OldKeys")
	}
	if slices.ContainsFunc(old, func(k Key) bool { return len(k) != keySize }) {
		f.add("OldKeys", authos.CodeOutOfRange, "must be 32 bytes long each")
	}
}

// box puts values into the form in which they are stored: one byte that says how, then the value, or nonce and ciphertext of
// AES-256-GCM. The key of the cipher is derived for each name (HKDF, RFC 5869), so that the random nonces of one key do not run out
// with many names, and the name is authenticated, so that a value cannot be put in place of another.
type box struct {
	keys []Key // the one that encrypts first; none: clear text
}

const (
	clearText = 'c'
	encrypted = 'e'
)

var (
	errNotOurs      = errors.New("the value was not written by this package, or by a newer version of it")
	errNotEncrypted = errors.New("the value is not encrypted, and a key is configured")
	errEncrypted    = errors.New("the value is encrypted, and no key is configured")
	errWrongKey     = errors.New("the value does not decrypt with any of the keys: another key, or tampered with")
)

func newBox(key Key, old []Key) box {
	if key == nil {
		return box{}
	}
	b := box{keys: []Key{slices.Clone(key)}}
	for _, k := range old {
		b.keys = append(b.keys, slices.Clone(k))
	}
	return b
}

func (b box) seal(name string, value []byte) ([]byte, error) {
	if len(b.keys) == 0 {
		return append([]byte{clearText}, value...), nil
	}
	aead, err := derive(b.keys[0], name)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{encrypted}, nil, value, []byte(name)), nil //nolint:gosec // not a nonce: it makes a random one
}

// open refuses clear text where a key is configured: whoever can write to Redis could plant tokens otherwise.
func (b box) open(name string, stored []byte) ([]byte, error) {
	if len(stored) == 0 {
		return nil, errNotOurs
	}
	form, content := stored[0], stored[1:]
	switch {
	case form == clearText && len(b.keys) > 0:
		return nil, errNotEncrypted
	case form == clearText:
		return content, nil
	case form == encrypted && len(b.keys) == 0:
		return nil, errEncrypted
	case form != encrypted:
		return nil, errNotOurs
	}
	for _, key := range b.keys {
		aead, err := derive(key, name)
		if err != nil {
			return nil, err
		}
		if value, err := aead.Open(nil, nil, content, []byte(name)); err == nil {
			return value, nil
		}
	}
	return nil, errWrongKey
}

func derive(key Key, name string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, key, nil, "authos redisstore 1 "+name, keySize)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("making a cipher: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
