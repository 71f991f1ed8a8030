package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

const (
	maxMarkAge = 500 * time.Millisecond
	lockPoll   = 20 * time.Millisecond

	// undecided is how long what a holder sent may still be at work, counted from its lock: it is
	// sent within 4 s, the server gives up 30 s later, and the rest is the network's.
	undecided = 45 * time.Second

	// reserved is the space that Lock sees to, in bytes: several times what two tokens take.
	reserved = 64 << 10
)

// hold is the lock, held. Its files stay open, so that what is done to them reaches nothing that
// somebody puts in their places.
type hold struct {
	mark  file
	spare file // the new file, with space for what Save will bring; nil: used up
}

// takeSpare gives the reserved file away.
func (h *hold) takeSpare() file {
	if h == nil || h.spare == nil {
		return nil
	}
	f := h.spare
	h.spare = nil
	return f
}

// dropSpare says whether there was one: its name is still to be removed.
func (h *hold) dropSpare() bool {
	f := h.takeSpare()
	if f == nil {
		return false
	}
	_ = f.Close()
	return true
}

// Lock waits for the lock until ctx is done. It excludes other processes, other stores and other
// callers of this one. unlock may be called from any goroutine, and again.
//
// Before it returns, it makes sure that new tokens can be saved: that the file can be replaced, by
// replacing it with a copy, and that there is an inode and space (64 KiB). So a refresh token is
// not spent where its successor could not be kept: a full disk, a file that is a mount of its own,
// a file system that is read-only or has fixed modes.
//
// Then a mark is flushed to the disk that unlock takes away. Lock finds it where a holder died, and
// then waits until 45 s have passed since that one took the lock: what a client sends under a lock
// it sends within 4 s, and the server gives up 30 s later. The times are the wall clock's, since
// they must outlive the process and the machine's run: a clock set forward shortens the wait; a
// mark from the future, or one that cannot be read, counts as made when it is found.
//
// New tokens that a dead process left in the ".new" file are put in place first. While that file
// cannot be read, as when too many files are open, Lock fails with a [fs.PathError] that names it
// rather than remove what may be the only good tokens; one that is damaged is removed.
//
// A holder that is stopped keeps the lock until it goes on or dies. The error of a Lock that waited
// in vain names its process.
//
// A program takes the lock itself to sign in again when the session is over, so that of all its
// processes one does: on [authos.ErrSessionExpired], and on [authos.ErrUnauthenticated] for
// sessions without a refresh token, as [authos.AuthService.DeviceLogin] makes them, which just end.
// In short: it locks, loads, signs in and saves where the store still has the tokens that were
// lost, and unlocks. Clients find the new tokens there at their next call. It must not call
// [authos.Client.SetTokens] meanwhile, which waits for the lock.
func (s *TokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	release, _, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return func() { release(true) }, nil
}

// Acquire implements [authos.TokenStoreAcquirer]: it is Lock, and reports whether the last holder
// released the lock. release(false) leaves the mark, as the death of the holder does.
func (s *TokenStore) Acquire(ctx context.Context) (release func(clean bool), clean bool, err error) {
	free, err := s.acquire(ctx, "lock")
	if err != nil {
		return nil, false, err
	}
	s.step("acquired")
	h := &hold{}
	err = s.within(ctx, "lock", s.name, func(d disk) error {
		var err error
		if clean, err = s.waitOut(ctx, d); err != nil {
			return err
		}
		if err := s.reserve(d, h); err != nil {
			return err
		}
		s.step("reserved")
		// The mark's time is what the next holder counts from: it may not be much before our
		// caller's.
		for {
			m := newMark()
			if err := s.mark(d, h, m); err != nil {
				return err
			}
			s.step("flushed mark")
			if time.Since(m.Since) < maxMarkAge {
				return nil
			}
			if ctx.Err() != nil {
				return s.wrong("lock", s.name, contextEnd(ctx))
			}
		}
	})
	if err != nil {
		s.let(h, free, clean) // what was left in doubt stays so
		return nil, false, err
	}
	s.turn <- struct{}{} // nobody keeps it long
	s.held = h
	<-s.turn
	s.step("marked")
	var once sync.Once
	return func(clean bool) {
		once.Do(func() {
			s.turn <- struct{}{} // a Save under the lock ends first
			defer func() { <-s.turn }()
			s.held = nil
			s.let(h, free, clean)
		})
	}, clean, nil
}

// let ends a lock. A mark that stays costs the next holder a wait, and one that comes back after a
// loss of power does too: nothing to flush.
func (s *TokenStore) let(h *hold, free func(), clean bool) {
	if h.dropSpare() {
		_ = s.within(context.Background(), "unlock", s.name, func(d disk) error { return d.Remove(s.name + newSuffix) })
	}
	if h.mark != nil {
		if clean {
			_ = h.mark.Truncate(0)
		}
		_ = h.mark.Close()
	}
	s.step("unmarked")
	free()
}

// reserve sees to it that a Save under this lock will succeed, as far as the file system can say.
func (s *TokenStore) reserve(d disk, h *hold) error {
	if err := s.replaceable(d); err != nil {
		return err
	}
	f, err := s.createFile(d, s.name+newSuffix)
	if err != nil {
		return s.hopeless(err)
	}
	h.spare = f
	if _, err := f.Write(make([]byte, reserved)); err != nil {
		return s.hopeless(err)
	}
	if err := f.Sync(); err != nil { // where space is only found when it is needed
		return s.hopeless(err)
	}
	return nil
}

// replaceable tries whether a rename over the file is let through, with a copy of what is there.
// What cannot be read is not tried: nobody refreshes such tokens.
func (s *TokenStore) replaceable(d disk) error {
	data, err := s.readFile(d, s.name, maxFile)
	if err != nil {
		return nil //nolint:nilerr // as above: Load reports it
	}
	if _, err := d.Lstat(s.name); err != nil {
		return nil //nolint:nilerr // there is none to replace
	}
	err = s.write(d, nil, data, "copy ") // what this lock reserves comes after it
	if err == nil {
		err = s.install(d, "copy ")
	}
	if err != nil {
		_ = d.Remove(s.name + newSuffix)
		return s.hopeless(err)
	}
	return nil
}

func (s *TokenStore) hopeless(err error) error {
	return s.wrong("lock", s.name, fmt.Errorf("new tokens could not be saved, so none are asked for: %w", err))
}

// acquire waits for the operating system's lock, and puts in order what its last holder left.
func (s *TokenStore) acquire(ctx context.Context, op string) (release func(), err error) {
	release, err = s.lockFile(ctx, op)
	if err != nil {
		return nil, err
	}
	if err := s.within(ctx, op, s.name, s.settle); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// flock takes the lock on the lock file. Each call has a lock, and so an open file, of its own,
// which is what the system tells holders apart by.
func (s *TokenStore) flock(ctx context.Context, op string) (release func(), err error) {
	name := s.name + lockSuffix
	for {
		if err := s.within(ctx, op, name, s.makeLockFile); err != nil {
			return nil, err
		}
		// It opens by path, so it makes no file, and what it has opened is compared with what is in
		// the folder: a link is never the same.
		lock := flock.New(filepath.Join(s.dir, name), flock.SetFlag(os.O_RDWR))
		if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w%s", contextEnd(ctx), s.holder())
			} else if errors.Is(err, fs.ErrNotExist) {
				continue // it was removed meanwhile, or else the next round says what is missing
			}
			return nil, s.wrong(op, name, err)
		}
		s.step("locked")
		same := false
		err := s.within(ctx, op, name, func(d disk) error {
			inPlace, err := d.Lstat(name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s.wrong(op, name, err)
			}
			locked, err := lock.Stat()
			same = err == nil && inPlace != nil && os.SameFile(locked, inPlace)
			return err
		})
		if same {
			return func() { _ = lock.Unlock() }, nil
		}
		_ = lock.Unlock()
		if err != nil {
			return nil, err
		}
		// It was removed, and made anew by somebody else, while this one waited.
	}
}

// makeLockFile sees that there is one, and that it is ours.
func (s *TokenStore) makeLockFile(d disk) error {
	f, err := s.openFile(d, s.name+lockSuffix, os.O_RDONLY)
	if f == nil && err == nil {
		f, err = s.createFile(d, s.name+lockSuffix)
		if errors.Is(err, fs.ErrExist) {
			return nil // another process was first; what it made is looked at next
		}
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// heldMark says who took the lock and has not released it.
type heldMark struct {
	Since time.Time `json:"since"`
	PID   int       `json:"pid"`
}

func newMark() heldMark { return heldMark{Since: time.Now().UTC(), PID: os.Getpid()} }

// mark leaves the mark for the next holder, in a file that h keeps open.
func (s *TokenStore) mark(d disk, h *hold, m heldMark) error {
	name := s.name + markSuffix
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	made := false
	if h.mark == nil {
		if h.mark, err = s.openFile(d, name, os.O_WRONLY); h.mark == nil && err == nil {
			made = true
			h.mark, err = s.createFile(d, name)
		}
		if err != nil {
			return err
		}
	}
	// Not truncated first: an empty mark is none.
	if _, err = h.mark.WriteAt(data, 0); err == nil {
		err = errors.Join(h.mark.Truncate(int64(len(data))), h.mark.Sync())
	}
	if err == nil && made {
		err = d.Sync()
	}
	if err != nil {
		return s.wrong("lock", name, err)
	}
	return nil
}

// marked gives the mark. One that cannot be read has no time.
func (s *TokenStore) marked(d disk) (m heldMark, found bool, err error) {
	data, err := s.readFile(d, s.name+markSuffix, maxFile)
	if len(data) == 0 || err != nil {
		return heldMark{}, false, err
	}
	if json.Unmarshal(data, &m) != nil {
		m = heldMark{}
	}
	return m, true, nil
}

// waitOut waits until what a dead holder may have sent can no longer be at work. clean reports that
// there was none.
func (s *TokenStore) waitOut(ctx context.Context, d disk) (clean bool, err error) {
	m, found, err := s.marked(d)
	if !found || err != nil {
		return !found, err
	}
	if now := time.Now(); m.Since.IsZero() || m.Since.After(now) {
		m.Since = now.UTC()
		again := &hold{}
		err := s.mark(d, again, m) // or those who cannot wait so long would never come nearer
		if again.mark != nil {
			_ = again.mark.Close()
		}
		if err != nil {
			return false, err
		}
	}
	timer := time.NewTimer(time.Until(m.Since.Add(s.quiet)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, s.wrong("lock", s.name, fmt.Errorf("%w: process %d died holding it, and may have left a refresh at work until %s",
			contextEnd(ctx), m.PID, m.Since.Add(s.quiet).UTC().Format(time.RFC3339)))
	}
}

// holder says who took the lock last, for an error.
func (s *TokenStore) holder() string {
	var m heldMark
	err := s.within(context.Background(), "lock", s.name, func(d disk) (err error) {
		m, _, err = s.marked(d)
		return err
	})
	if err != nil || m.PID == 0 {
		return ""
	}
	return fmt.Sprintf(": last taken by process %d at %s", m.PID, m.Since.Format(time.RFC3339))
}
