package filestore

import (
	"context"
	"os"
	"time"
)

// SetQuiet replaces the 45 s that a dead holder's lock is not given away. A fake server has given up sooner.
func (s *TokenStore) SetQuiet(d time.Duration) { s.quiet = d }

// OnStep calls f between the steps of what the store does.
func (s *TokenStore) OnStep(f func(step string)) { s.step = f }

// DieLocked takes the lock and loses it as a process does that dies.
func (s *TokenStore) DieLocked(ctx context.Context) error {
	lock, err := s.acquire(ctx, "lock")
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := s.mark(root, newMark()); err != nil {
		return err
	}
	return lock.Unlock()
}
