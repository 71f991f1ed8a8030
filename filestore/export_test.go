package filestore

import (
	"context"
	"time"
)

// SetQuiet replaces the 45 s that a dead holder's lock is not given away. A fake server has given
// up sooner.
func (s *TokenStore) SetQuiet(d time.Duration) { s.quiet = d }

// OnStep calls f between the steps of what the store does.
func (s *TokenStore) OnStep(f func(step string)) { s.step = f }

// DieLocked takes the lock and loses it as a process does that dies.
func (s *TokenStore) DieLocked(ctx context.Context) error {
	release, err := s.acquire(ctx, "lock")
	if err != nil {
		return err
	}
	defer release()
	return s.within(ctx, "lock", s.name, func(d disk) error { return s.mark(d, &hold{}, newMark()) })
}
