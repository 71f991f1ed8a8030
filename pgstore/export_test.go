package pgstore

import "time"

// Shorten makes the lock outlive its holder by less than NewTokenStore takes, so that a test does
// not wait for minutes.
func Shorten(s *TokenStore, ttl time.Duration) *TokenStore {
	s.lock.Outlive(ttl)
	return s
}

// Freeze ends what extends the lock, as if the process were frozen.
func Freeze(s *TokenStore) { s.lock.Freeze() }
