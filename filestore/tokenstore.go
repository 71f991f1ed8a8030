package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/authos-go/authos"
)

// TokenStore keeps a session's tokens in a file. It is an [authos.LockingTokenStore]: any number of
// processes, and of stores in one process, may share the file.
//
// The file is JSON, of mode 0600. A file that others may open, that is no regular file (a symbolic
// link is none), or that this package did not write, is refused with a [*fs.PathError], never taken
// for an empty one; only Save and Delete replace what cannot be read. The package's documentation
// has the rules.
//
// Save writes a second file, flushes it, renames it over the first, and flushes the folder, so that
// after a crash at any moment, or a loss of power, there are the new tokens or the ones before,
// whole. New tokens that a killed process had written, but not yet put in place, are put there by
// the next process that takes the lock.
//
// The lock is the operating system's: it ends with its holder, however that dies, and as long as
// the holder lives (stopped or not) nobody else gets it. A holder that died may have left a refresh
// at work in the server. So it leaves a mark too, and after it the lock is not given away before 45
// s have passed since it was taken; see [TokenStore.Lock].
//
// Beside the file, under its name, are ".lock" (locked, empty), ".held" (the mark) and, under the
// lock, ".new". Removing them while a process uses the store takes its protection away.
type TokenStore struct {
	folder

	name  string
	quiet time.Duration // undecided, but in tests

	// lockFile takes the system's lock; tests whose disk is no real one have their own.
	lockFile func(ctx context.Context, op string) (unlock func(), err error)

	turn chan struct{} // holds one token: the turn to change files, or held
	held *hold         // from Lock to unlock
	step func(string)  // tests die here
}

var _ authos.TokenStoreAcquirer = (*TokenStore)(nil)

const (
	fileVersion = 1
	maxFile     = 1 << 20 // bytes; two tokens are a few KiB

	lockSuffix, markSuffix, newSuffix = ".lock", ".held", ".new"
)

// New opens the store in the file at path, which need not exist yet. A missing folder is made, of
// mode 0700. Folders and files that others could have put tokens into are refused; see the
// package's documentation. A relative path is taken from the current directory now. A path that is
// empty, ends at a separator, or begins with what only a shell replaces (~/tokens.json,
// $HOME/tokens.json) gives an [*authos.ValidationError].
func New(path string, opts ...Option) (*TokenStore, error) {
	abs, err := absolute("path", path)
	if err != nil {
		return nil, err
	}
	switch slashed := filepath.ToSlash(path); slashed[strings.LastIndexByte(slashed, '/')+1:] {
	case "", ".", "..":
		return nil, invalid("path", authos.CodeInvalidFormat, "names a folder: add the file's name")
	}
	where, err := newFolder(filepath.Dir(abs), opts, nil)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	s := &TokenStore{
		folder: *where, name: filepath.Base(abs), quiet: undecided, turn: make(chan struct{}, 1), step: func(string) {},
	}
	s.lockFile = s.flock
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return s, nil
}

// prepare finds what is wrong as early as possible.
func (s *TokenStore) prepare() error {
	return s.within(context.Background(), "open", "", func(d disk) error {
		for _, suffix := range []string{"", lockSuffix, markSuffix} {
			f, err := s.openFile(d, s.name+suffix, os.O_RDONLY)
			if err != nil {
				return err
			}
			if f != nil {
				_ = f.Close()
			}
		}
		return nil
	})
}

// Load reads the file: zero tokens when it is missing or empty. It needs no lock, and never sees a
// half-written file.
func (s *TokenStore) Load(ctx context.Context) (t authos.Tokens, err error) {
	err = s.within(ctx, "load", s.name, func(d disk) error {
		data, err := s.readFile(d, s.name, maxFile)
		if err != nil {
			return err
		}
		if t, err = parseTokens(data); err != nil {
			return s.wrong("load", s.name, err)
		}
		return nil
	})
	return t, err
}

// Save replaces the file. It returns when t would survive a loss of power. Without
// [TokenStore.Lock] it waits for the lock itself, so that it does not come between another
// process's Load and Save. Tokens that Load would not give back (more than 1 MiB, not UTF-8) are an
// error, and the file stays as it is.
//
// While a client of this store value holds the lock, a Save of the program's own goes under it, and
// what the client saves then replaces it: use [authos.Client.SetTokens], or a store value of your
// own, whose Save waits.
func (s *TokenStore) Save(ctx context.Context, t authos.Tokens) error {
	data, err := formatTokens(t)
	if err != nil {
		return s.wrong("save", s.name, err)
	}
	return s.change(ctx, "save", func(d disk) error { return s.replace(d, data) })
}

// Delete removes the file, and stays away from the lock as Save does.
func (s *TokenStore) Delete(ctx context.Context) error {
	return s.change(ctx, "delete", func(d disk) error {
		s.held.dropSpare()
		for _, suffix := range []string{newSuffix, ""} {
			if err := d.Remove(s.name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s.wrong("delete", s.name, err)
			}
		}
		return d.Sync()
	})
}

// replace puts data in the file's place.
func (s *TokenStore) replace(d disk, data []byte) error {
	err := s.write(d, s.held, data, "")
	if err == nil {
		err = s.install(d, "")
	}
	if err != nil {
		_ = d.Remove(s.name + newSuffix)
		return s.wrong("save", s.name, err)
	}
	return d.Sync()
}

// write makes the new file, whole and flushed, where the lock h has reserved the space for it or
// anew.
func (s *TokenStore) write(d disk, h *hold, data []byte, what string) error {
	f := h.takeSpare()
	if f == nil {
		_ = d.Remove(s.name + newSuffix) // what a failed Save could not remove
		var err error
		if f, err = s.createFile(d, s.name+newSuffix); err != nil {
			return err
		}
	}
	s.step(what + "created")
	_, err := f.WriteAt(data, 0)
	s.step(what + "written")
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		err = f.Sync()
	}
	s.step(what + "flushed")
	return errors.Join(err, f.Close())
}

// install puts the new file in place. Its name is durable after a Sync of the folder.
func (s *TokenStore) install(d disk, what string) error {
	if info, err := d.Lstat(s.name); err == nil {
		if err := regular(info); err != nil {
			return err
		}
	}
	if err := d.Rename(s.name+newSuffix, s.name); err != nil {
		return fmt.Errorf("cannot be replaced (it may be a mount of its own; then mount its folder): %w", err)
	}
	s.step(what + "renamed")
	return nil
}

// change runs f when it is this store's turn, under the lock: the one that this store holds, or one
// of its own.
func (s *TokenStore) change(ctx context.Context, op string, f func(disk) error) error {
	if ctx.Err() != nil {
		return s.wrong(op, s.name, contextEnd(ctx))
	}
	if err := s.takeTurn(ctx, op); err != nil {
		return err
	}
	if s.held == nil {
		<-s.turn // whoever holds the lock needs the turn to release it
		unlock, err := s.acquire(ctx, op)
		if err != nil {
			return err
		}
		defer unlock()
		if err := s.takeTurn(ctx, op); err != nil {
			return err
		}
	}
	defer func() { <-s.turn }()
	return s.within(ctx, op, s.name, f)
}

func (s *TokenStore) takeTurn(ctx context.Context, op string) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.wrong(op, s.name, contextEnd(ctx))
	}
}

// settle finishes a Save whose process died, or undoes it. Whoever writes holds the lock and comes
// by here first, so the new file is newer than the one in place. It is whole when it can be parsed:
// the last byte written closes the object, and behind it are at most the zeros of the space that
// was reserved. One that the disk does not give now may be whole, and the only one that holds
// tokens that are still good: it stays, and there is no lock.
func (s *TokenStore) settle(d disk) error {
	_, err := d.Lstat(s.name + newSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.wrong("lock", s.name+newSuffix, err)
	}
	data, err := s.readFile(d, s.name+newSuffix, maxFile)
	if _, refused := errors.AsType[refusal](err); err != nil && !refused && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	data = bytes.TrimRight(data, "\x00")
	if _, bad := parseTokens(data); err != nil || bad != nil || len(data) == 0 {
		if err := d.Remove(s.name + newSuffix); err != nil {
			return s.wrong("lock", s.name+newSuffix, err)
		}
		return nil
	}
	f, err := s.openFile(d, s.name+newSuffix, os.O_WRONLY)
	if f == nil || err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(len(data))), f.Sync(), f.Close()); err != nil {
		return s.wrong("lock", s.name+newSuffix, err)
	}
	if err := s.install(d, "settled "); err != nil {
		return s.wrong("lock", s.name, err)
	}
	return d.Sync()
}
