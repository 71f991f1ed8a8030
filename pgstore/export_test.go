package pgstore

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

// Take is the statement that takes the lock, without a wait.
func Take(ctx context.Context, s *TokenStore, owner string, life, patience time.Duration) (bool, error) {
	taken, err := table{s}.Take(ctx, owner, life, patience)
	return taken.OK, err
}

// SaveLate saves under the lock that is held, by a statement that is on its way while something
// else happens.
func SaveLate(ctx context.Context, s *TokenStore, t authos.Tokens, meanwhile func()) error {
	return s.write(ctx, s.lock.Owner(), func(seq int64) ([]byte, error) {
		meanwhile()
		return s.box.SealTokens(s.name, seq, t)
	})
}
