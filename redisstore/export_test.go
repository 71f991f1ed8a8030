package redisstore

import (
	"context"
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

// Seal and Open are how a cached response is written and read, but for the digest of its folders'
// stamps.
func (c *CacheStore) Seal(key string, content []byte) ([]byte, error) {
	return c.box.Seal(c.entry(key), content)
}

func (c *CacheStore) Open(key string, stored []byte) ([]byte, error) {
	return c.box.Open(c.entry(key), stored)
}

// Name is where an entry is in Redis.
func (c *CacheStore) Name(key string) string { return c.entry(key) }

// SaveLate saves under the lock that is held, by a command that is on its way while something else
// happens.
func SaveLate(ctx context.Context, s *TokenStore, t authos.Tokens, meanwhile func()) error {
	seq, err := s.next(ctx)
	if err != nil {
		return err
	}
	stored, err := s.box.SealTokens(s.name, seq, t)
	if err != nil {
		return err
	}
	meanwhile()
	return s.write(ctx, save, s.lock.Owner(), seq, stored)
}
