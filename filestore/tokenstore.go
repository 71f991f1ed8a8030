// Package filestore keeps a session's tokens in a file, for command-line tools and other programs of one user on one machine.
package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gofrs/flock"

	"github.com/authos-go/authos"
)

// TokenStore keeps a session's tokens in a file, for command-line tools and other programs of one user on one machine. It is a
// [authos.LockingTokenStore]: any number of processes, and of stores in one process, may share the file. Use it on a local disk; locks and
// renames of network file systems promise less.
//
// The file is JSON, of mode 0600. A file that others may open, that is no regular file (a symbolic link is none), or that this package
// did not write, is refused with a [*fs.PathError], never taken for an empty one; only Save and Delete replace what cannot be read.
// Windows has no such modes: there the folder's access list decides who may read, and this package does not look at it.
//
// Save writes a second file, flushes it, renames it over the first, and flushes the folder, so that after a crash at any moment, or
// a loss of power, there are the new tokens or the ones before, whole. New tokens that a killed process had written, but not yet put in
// place, are put there by the next process that takes the lock.
//
// The lock is the operating system's: it ends with its holder, however that dies, and as long as the holder lives (stopped or
// not) nobody else gets it. A holder that died may have left a refresh at work in the server. So it leaves a mark too, and after it the
// lock is not given away before 45 s have passed since it was taken; see [TokenStore.Lock].
//
// Beside the file, under its name, are ".lock" (locked, empty), ".held" (the mark) and, during Save, ".new". Removing them while a
// process uses the store takes its protection away.
type TokenStore struct {
	path, dir, name string
	quiet           time.Duration

	turn chan struct{} // holds one token: the turn to change files, or held
	held bool          // by a Lock of this store
	step func(string)  // tests die here
}

var _ authos.LockingTokenStore = (*TokenStore)(nil)

const (
	fileVersion = 1
	maxFile     = 1 << 20 // bytes; two tokens are a few KiB
	maxMarkAge  = 500 * time.Millisecond
	lockPoll    = 20 * time.Millisecond

	// undecided is how long what a holder sent may still be at work, counted from its lock: it is sent within 4 s, the server gives up 30 s
	// later, and the rest is the network's.
	undecided = 45 * time.Second

	lockSuffix, markSuffix, newSuffix = ".lock", ".held", ".new"
)

// New opens the store in the file at path, which need not exist yet. A missing folder is made, of mode 0700; one that
// everybody may write to, such as /tmp, is refused, because others could put their own tokens there. A relative path is taken from the
// current directory now. Empty paths give a [*authos.ValidationError].
func New(path string) (*TokenStore, error) {
	if path == "" {
		return nil, &authos.ValidationError{Fields: []authos.FieldError{{Field: "path", Code: authos.CodeRequired, Message: "must not be empty"}}}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	s := &TokenStore{
		path: abs, dir: filepath.Dir(abs), name: filepath.Base(abs), quiet: undecided,
		turn: make(chan struct{}, 1), step: func(string) {},
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return s, nil
}

// prepare finds what is wrong as early as possible.
func (s *TokenStore) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if mode := info.Mode(); hasModes && mode.Perm()&0o002 != 0 {
		return s.wrong("open", "", fmt.Errorf("its folder may be written by everybody (mode %#o): use one of your own", mode.Perm()))
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, suffix := range []string{"", lockSuffix, markSuffix} {
		f, err := s.open(root, suffix)
		if err != nil {
			return err
		}
		if f != nil {
			_ = f.Close()
		}
	}
	return nil
}

// hasModes says whether permission bits mean anything here.
const hasModes = runtime.GOOS != "windows"

// wrong names the file, so that a program can find it with [errors.As] where a log line masks it.
func (s *TokenStore) wrong(op, suffix string, err error) error {
	return &fs.PathError{Op: op, Path: s.path + suffix, Err: err}
}

// open opens one of the store's files for reading, nil when there is none. Files are used through [os.Root], because on Windows it
// opens them so that they can be renamed and removed meanwhile.
func (s *TokenStore) open(root *os.Root, suffix string) (*os.File, error) {
	info, err := root.Lstat(s.name + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // "none" is no error, and has no file
	}
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		// Two names of one file would have two locks, and a rename replaces the link, not its target.
		return nil, s.wrong("open", suffix, errors.New("is a symbolic link: give the path it leads to"))
	case !mode.IsRegular():
		return nil, s.wrong("open", suffix, errors.New("is no regular file"))
	}
	f, err := root.Open(s.name + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above; it was removed meanwhile
	}
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && hasModes && info.Mode().Perm()&0o077 != 0 {
		err = s.wrong("open", suffix, fmt.Errorf("others may open it (mode %#o): change that with chmod 600", info.Mode().Perm()))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// read gives the content of one of the store's files, nil when there is none.
func (s *TokenStore) read(root *os.Root, suffix string) ([]byte, error) {
	f, err := s.open(root, suffix)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = s.wrong("read", suffix, errors.New("is too large for a token file"))
	}
	return data, err
}

// within runs f on the store's folder. ctx is looked at once: the work is short, on a local disk.
func (s *TokenStore) within(ctx context.Context, op string, f func(*os.Root) error) error {
	if ctx.Err() != nil {
		return s.wrong(op, "", contextEnd(ctx))
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return f(root)
}

// Load reads the file: zero tokens when it is missing or empty. It needs no lock, and never sees a half-written file.
func (s *TokenStore) Load(ctx context.Context) (t authos.Tokens, err error) {
	err = s.within(ctx, "load", func(root *os.Root) error {
		data, err := s.read(root, "")
		if err != nil {
			return err
		}
		if t, err = parseTokens(data); err != nil {
			return s.wrong("load", "", err)
		}
		return nil
	})
	return t, err
}

// Save replaces the file. It returns when t would survive a loss of power. Without [TokenStore.Lock] it waits for the lock itself,
// so that it does not come between another process's Load and Save.
//
// While a client of this store value holds the lock, a Save of the program's own goes under it, and what the client saves then replaces it:
// use [authos.Client.SetTokens], or a store value of your own, whose Save waits.
func (s *TokenStore) Save(ctx context.Context, t authos.Tokens) error {
	data, err := formatTokens(t)
	if err != nil {
		return s.wrong("save", "", err)
	}
	return s.change(ctx, "save", func(root *os.Root) error {
		_ = root.Remove(s.name + newSuffix) // what a failed Save could not remove
		err := s.create(root, data)
		if err == nil {
			err = s.install(root)
		}
		if err != nil {
			_ = root.Remove(s.name + newSuffix)
		}
		return err
	})
}

// Delete removes the file, and stays away from the lock as Save does.
func (s *TokenStore) Delete(ctx context.Context) error {
	return s.change(ctx, "delete", func(root *os.Root) error {
		for _, suffix := range []string{newSuffix, ""} {
			if err := root.Remove(s.name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return syncFolder(root)
	})
}

// create writes the new file, whole and flushed.
func (s *TokenStore) create(root *os.Root, data []byte) error {
	f, err := root.OpenFile(s.name+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	s.step("created")
	_, err = f.Write(data)
	s.step("written")
	if err == nil {
		err = f.Sync()
	}
	s.step("flushed")
	return errors.Join(err, f.Close())
}

// install puts the new file in place.
func (s *TokenStore) install(root *os.Root) error {
	if info, err := root.Lstat(s.name); err == nil && !info.Mode().IsRegular() {
		return s.wrong("save", "", errors.New("is no regular file"))
	}
	if err := root.Rename(s.name+newSuffix, s.name); err != nil {
		return err
	}
	s.step("renamed")
	return syncFolder(root)
}

// syncFolder makes names durable. Windows cannot, nor can every file system; their renames are then as durable as they are.
func syncFolder(root *os.Root) error {
	if !hasModes {
		return nil
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// change runs f when it is this store's turn, under the lock: the one that this store holds, or one of its own.
func (s *TokenStore) change(ctx context.Context, op string, f func(*os.Root) error) error {
	if ctx.Err() != nil {
		return s.wrong(op, "", contextEnd(ctx))
	}
	if err := s.takeTurn(ctx, op); err != nil {
		return err
	}
	if !s.held {
		<-s.turn // whoever holds the lock needs the turn to release it
		lock, err := s.acquire(ctx, op)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }()
		if err := s.takeTurn(ctx, op); err != nil {
			return err
		}
	}
	defer func() { <-s.turn }()
	return s.within(ctx, op, f)
}

func (s *TokenStore) takeTurn(ctx context.Context, op string) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.wrong(op, "", contextEnd(ctx))
	}
}

// Lock waits for the lock until ctx is done. It excludes other processes, other stores and other callers of this one. unlock may be called
// from any goroutine, and again.
//
// Before it returns, a mark is flushed to the disk that unlock takes away. Lock finds it where a holder died, and then waits until 45 s
// have passed since that one took the lock: what a client sends under a lock it sends within 4 s, and the server gives up 30 s later. The
// times are the wall clock's, since they must outlive the process and the machine's run: a clock set forward shortens the wait; a mark
// from the future, or one that cannot be read, counts as made when it is found.
//
// A holder that is stopped keeps the lock until it goes on or dies. The error of a Lock that waited in vain names its process.
//
// A program takes the lock itself to sign in again when the session is over, so that of all its processes one does: on [authos.ErrSessionExpired],
// and on [authos.ErrUnauthenticated] for sessions without a refresh token, as [authos.AuthService.DeviceLogin] makes them, which just end. In short: it
// locks, loads, signs in and saves where the store still has the tokens that were lost, and unlocks. Clients find the new tokens
// there at their next call. It must not call [authos.Client.SetTokens] meanwhile, which waits for the lock.
func (s *TokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	lock, err := s.acquire(ctx, "lock")
	if err != nil {
		return nil, err
	}
	s.step("acquired")
	err = s.within(ctx, "lock", func(root *os.Root) error {
		if err := s.waitOut(ctx, root); err != nil {
			return err
		}
		// The mark's time is what the next holder counts from: it may not be much before our caller's.
		for {
			m := newMark()
			if err := s.mark(root, m); err != nil {
				return err
			}
			s.step("flushed mark")
			if time.Since(m.Since) < maxMarkAge {
				return nil
			}
			if ctx.Err() != nil {
				return s.wrong("lock", "", contextEnd(ctx))
			}
		}
	})
	if err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	s.turn <- struct{}{} // nobody keeps it long
	s.held = true
	<-s.turn
	s.step("marked")
	return sync.OnceFunc(func() {
		s.turn <- struct{}{} // a Save under the lock ends first
		defer func() { <-s.turn }()
		s.held = false
		// A mark that stays costs the next holder a wait, and one that comes back after a loss of power does too: nothing to flush.
		_ = os.Truncate(s.path+markSuffix, 0)
		s.step("unmarked")
		_ = lock.Unlock()
	}), nil
}

// acquire waits for the operating system's lock, and puts in order what its last holder left. Each call has a lock, and so an open
// file, of its own, which is what the system tells holders apart by.
func (s *TokenStore) acquire(ctx context.Context, op string) (*flock.Flock, error) {
	err := s.within(ctx, op, func(root *os.Root) error {
		f, err := s.open(root, lockSuffix)
		if f != nil {
			_ = f.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	lock := flock.New(s.path+lockSuffix, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		if ctx.Err() != nil {
			err = s.wrong(op, "", fmt.Errorf("%w%s", contextEnd(ctx), s.holder()))
		}
		return nil, err
	}
	if err := s.within(ctx, op, s.settle); err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	return lock, nil
}

// settle finishes a Save whose process died, or undoes it. Whoever writes holds the lock and comes by here first, so the new file is newer
// than the one in place. It is whole when it can be parsed: the last byte written closes the object.
func (s *TokenStore) settle(root *os.Root) error {
	if _, err := root.Lstat(s.name + newSuffix); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := s.read(root, newSuffix)
	if _, bad := parseTokens(data); err != nil || bad != nil || len(data) == 0 {
		return root.Remove(s.name + newSuffix)
	}
	f, err := root.OpenFile(s.name+newSuffix, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return s.install(root)
}

// heldMark says who took the lock and has not released it.
type heldMark struct {
	Since time.Time `json:"since"`
	PID   int       `json:"pid"`
}

// contextEnd is ctx's error together with its cause, where the caller gave one.
func contextEnd(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func newMark() heldMark { return heldMark{Since: time.Now().UTC(), PID: os.Getpid()} }

// mark leaves the mark for the next holder.
func (s *TokenStore) mark(root *os.Root, m heldMark) error {
	_, missing := root.Lstat(s.name + markSuffix)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(s.name+markSuffix, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// Not truncated first: an empty mark is none.
	if _, err = f.WriteAt(data, 0); err == nil {
		err = errors.Join(f.Truncate(int64(len(data))), f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if missing != nil {
		return syncFolder(root)
	}
	return nil
}

// marked gives the mark. One that cannot be read has no time.
func (s *TokenStore) marked(root *os.Root) (m heldMark, found bool, err error) {
	data, err := s.read(root, markSuffix)
	if len(data) == 0 || err != nil {
		return heldMark{}, false, err
	}
	if json.Unmarshal(data, &m) != nil {
		m = heldMark{}
	}
	return m, true, nil
}

// waitOut waits until what a dead holder may have sent can no longer be at work.
func (s *TokenStore) waitOut(ctx context.Context, root *os.Root) error {
	m, found, err := s.marked(root)
	if !found || err != nil {
		return err
	}
	if now := time.Now(); m.Since.IsZero() || m.Since.After(now) {
		m.Since = now.UTC()
		if err := s.mark(root, m); err != nil { // or those who cannot wait so long would never come nearer
			return err
		}
	}
	timer := time.NewTimer(time.Until(m.Since.Add(s.quiet)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return s.wrong("lock", "", fmt.Errorf("%w: process %d died holding it, and may have left a refresh at work until %s",
			contextEnd(ctx), m.PID, m.Since.Add(s.quiet).UTC().Format(time.RFC3339)))
	}
}

// holder says who took the lock last, for an error.
func (s *TokenStore) holder() string {
	var m heldMark
	err := s.within(context.Background(), "lock", func(root *os.Root) (err error) {
		m, _, err = s.marked(root)
		return err
	})
	if err != nil || m.PID == 0 {
		return ""
	}
	return fmt.Sprintf(": last taken by process %d at %s", m.PID, m.Since.Format(time.RFC3339))
}

// tokenFile is the file's content.
type tokenFile struct {
	Version      int       `json:"version"`
	AccessToken  string    `json:"access_token,omitempty"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
}

// parseTokens reads a token file. Its errors do not repeat what it holds.
func parseTokens(data []byte) (authos.Tokens, error) {
	if len(data) == 0 {
		return authos.Tokens{}, nil
	}
	var f tokenFile
	err := json.Unmarshal(data, &f)
	switch {
	case err != nil || f.Version < 1:
		return authos.Tokens{}, errors.New("is damaged, or no token file: remove it and sign in again")
	case f.Version > fileVersion:
		return authos.Tokens{}, fmt.Errorf("is of version %d, which a newer release of this program wrote", f.Version)
	}
	t := authos.Tokens{AccessToken: f.AccessToken, RefreshToken: f.RefreshToken, ExpiresAt: f.ExpiresAt}
	if t.AccessToken == "" && t.RefreshToken == "" {
		return authos.Tokens{}, nil
	}
	return t, nil
}

func formatTokens(t authos.Tokens) ([]byte, error) {
	if !utf8.ValidString(t.AccessToken) || !utf8.ValidString(t.RefreshToken) {
		return nil, errors.New("tokens are not UTF-8") // JSON would replace what is not
	}
	f := tokenFile{fileVersion, t.AccessToken, t.RefreshToken, t.ExpiresAt}
	data, err := json.Marshal(f) //nolint:gosec // keeping them is what the file is for
	if err != nil {
		return nil, errors.New("expiry is no time that can be written") // beyond the year 9999
	}
	return append(data, '\n'), nil
}
