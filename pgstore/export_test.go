package pgstore

import (
	"time"

	"github.com/authos-go/authos"
)

// Shorten makes the lock outlive its holder by less than NewTokenStore takes, so that a test does
// not wait for minutes.
func Shorten(s *TokenStore, ttl time.Duration) *TokenStore {
	s.lock.Outlive(ttl)
	return s
}

// Freeze ends what extends the lock, as if the process were frozen.
func Freeze(s *TokenStore) { s.lock.Freeze() }

// Encode and Decode are how tokens are written and read.
func (s *TokenStore) Encode(t authos.Tokens) ([]byte, error) { return s.box.SealTokens(s.name, 1, t) }
func (s *TokenStore) Decode(stored []byte) (authos.Tokens, error) {
	return s.box.OpenTokens(s.name, 1, stored)
}
