package redisstore

import (
	"time"

	"github.com/authos-go/authos"
)

// Shorten makes the lock outlive its holder by less than NewTokenStore takes, so that a test does not wait for minutes.
func Shorten(s *TokenStore, ttl time.Duration) *TokenStore {
	s.outlive(ttl)
	return s
}

// Abandon ends what extends the lock, as if the process were frozen.
func Abandon(s *TokenStore) { s.holding().end() }

// Encode and Decode are how tokens are written and read.
func (s *TokenStore) Encode(t authos.Tokens) ([]byte, error)      { return s.encode(t) }
func (s *TokenStore) Decode(stored []byte) (authos.Tokens, error) { return s.decode(stored) }

// Seal and Open are how a kept answer is written and read, but for the digest of its folders' stamps.
func (c *CacheStore) Seal(key string, content []byte) ([]byte, error) {
	return c.box.seal(c.entry(key), content)
}
func (c *CacheStore) Open(key string, stored []byte) ([]byte, error) {
	return c.box.open(c.entry(key), stored)
}
