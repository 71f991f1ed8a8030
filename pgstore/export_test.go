package pgstore

import (
	"context"
	"time"
)

// Shorten makes the lock outlive its holder by less than NewTokenStore takes, so that a test does
// not wait for minutes.
func Shorten(s *TokenStore, ttl time.Duration) *TokenStore {
	s.lock.Outlive(ttl)
	return s
}

// Freeze ends what extends the lock, as if the process were frozen.
func Freeze(s *TokenStore) { s.lock.Freeze() }

// Take is the statement that takes the lock, without a wait.
func Take(ctx context.Context, s *TokenStore, owner string, life, patience time.Duration) (bool, error) {
	taken, err := table{s}.Take(ctx, owner, life, patience)
	return taken.OK, err
}
