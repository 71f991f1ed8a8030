package verify

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	keysPath   = "/.well-known/jwks.json"
	minKeyBits = 2048
	maxKeySet  = 1 << 20 // bytes; the server's own have at most 11 keys
)

var errNoResponse = errors.New("the fetch ended without a response")

// keySource is where keys come from: the server, and a store that outlives the process.
type keySource struct {
	client *authos.Client
	store  authos.CacheStore // nil: none
	server string            // the base URL, so that two servers may share a store
}

// fetch gets the server's keys, and the text they were read from.
func (s keySource) fetch(ctx context.Context) (map[string]*rsa.PublicKey, []byte, error) {
	var body []byte
	// A cached response would look like a fresh one here, and old keys are kept by the key set.
	if err := s.client.Do(ctx, http.MethodGet, keysPath, nil, &body, authos.WithoutCache()); err != nil {
		return nil, nil, err
	}
	keys, err := readKeys(body)
	return keys, body, err
}

var errNoKeys = errors.New(
	"the server's key set has no usable key (RSA of 2048 bits or more, use sig, alg RS256, with a kid)")

// readKeys reads a JWK Set (RFC 7517, section 5). What is no key for these tokens is left out:
// another type or use, another algorithm, less than 2048 bits, private, without an id, or not
// readable at all. A set without any usable key is an error.
func readKeys(body []byte) (map[string]*rsa.PublicKey, error) {
	if len(body) > maxKeySet {
		return nil, errors.New("the server's key set is larger than 1 MiB")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the server's key set is not a JWK Set")
	}
	keys := make(map[string]*rsa.PublicKey, len(set.Keys))
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(raw); err != nil {
			continue
		}
		key, ok := jwk.Key.(*rsa.PublicKey)
		if !ok || jwk.KeyID == "" || jwk.Use != "sig" || jwk.Algorithm != string(jose.RS256) || key.N.BitLen() < minKeyBits {
			continue
		}
		if keys[jwk.KeyID] == nil { // the active key comes first
			keys[jwk.KeyID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}
