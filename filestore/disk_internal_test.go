package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// Real folders that others use at the same time, and that fail.

// sharedDisk is a real folder in which another process does something before a file is opened or a
// folder listed, and after the folder was used; and which cannot be listed while fail is not nil.
type sharedDisk struct {
	disk

	before func(name string, flag int)
	listed func(name string)
	after  func()
	fail   *error
}

func (d sharedDisk) Close() error {
	if d.after != nil {
		d.after()
	}
	return d.disk.Close()
}

func (d sharedDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if d.before != nil {
		d.before(name, flag)
	}
	return d.disk.OpenFile(name, flag, perm)
}

func (d sharedDisk) Names(name string) ([]string, error) {
	if d.fail != nil && *d.fail != nil {
		return nil, *d.fail
	}
	if d.listed != nil {
		d.listed(name)
	}
	return d.disk.Names(name)
}

// Another process removes a file between the look at it and its opening: there is none, which is no
// error.
func TestFileGoesMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s, err := New(filepath.Join(dir, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(filepath.Join(dir, "cache"), bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(saveOld(s), c.Set(t.Context(), "key", []byte("value"), time.Minute)); err != nil {
		t.Fatal(err)
	}
	removed := 0
	s.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return sharedDisk{disk: d, before: func(name string, _ int) {
			if d.Remove(name) == nil {
				removed++
			}
		}}, err
	}
	c.open = s.open
	if got, err := s.Load(t.Context()); err != nil || got != (authos.Tokens{}) {
		t.Errorf("Load = %v, %v, want no tokens", got, err)
	}
	if got, ok, err := c.Get(t.Context(), "key"); err != nil || ok {
		t.Errorf("Get = %q, %v, %v, want nothing", got, ok, err)
	}
	if removed != 2 {
		t.Errorf("%d files were removed, want both", removed)
	}
}

// Another process makes the lock file at the same time: its file is the one that is locked.
func TestLockFileIsMadeMeanwhile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(filepath.Join(dir, "tokens"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := New(filepath.Join(dir, "tokens"))
		if err != nil {
			t.Fatal(err)
		}
		var unlock func()
		s.open = func(dir string) (disk, error) {
			d, err := openDisk(dir)
			return sharedDisk{disk: d, before: func(name string, flag int) {
				if name != "tokens.lock" || flag&os.O_CREATE == 0 {
					return
				}
				if unlock, err = other.Lock(context.Background()); err != nil {
					t.Errorf("the other's Lock = %v", err)
				}
			}}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || unlock == nil {
			t.Fatalf("Lock beside the one that made the file = %v, want the deadline", err)
		}
		unlock()
		if unlock, err = s.Lock(t.Context()); err != nil {
			t.Fatalf("Lock = %v", err)
		}
		unlock()
	})
}

// A Save whose context ends just when it has the lock, before its turn to write, did not take
// place, and takes nobody's turn away.
func TestContextEndsBeforeTheTurn(t *testing.T) {
	dir := t.TempDir()
	for range 20 { // the turn and the end are there at the same time, and either may be seen
		synctest.Test(t, func(t *testing.T) {
			s, err := New(filepath.Join(dir, "tokens"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			locked := false
			s.lockFile = func(ctx context.Context, op string) (func(), error) {
				unlock, err := s.flock(ctx, op)
				locked = true
				return unlock, err
			}
			s.open = func(dir string) (disk, error) {
				d, err := openDisk(dir)
				return sharedDisk{disk: d, after: func() {
					if locked {
						cancel()
					}
				}}, err
			}
			if err := s.Save(ctx, powerNew); !errors.Is(err, context.Canceled) {
				t.Errorf("Save = %v, want the cancellation", err)
			}
			if got, err := s.Load(t.Context()); err != nil || got != (authos.Tokens{}) {
				t.Errorf("Load = %v, %v, want no tokens", got, err)
			}
			if err := s.Delete(t.Context()); err != nil {
				t.Errorf("Delete = %v", err)
			}
		})
	}
}

// On a disk that takes a second for each mark no mark is new enough; the lock is given up when the
// context ends, and leaves no doubt to the next.
func TestDiskIsSlow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(filepath.Join(dir, "tokens"))
		if err != nil {
			t.Fatal(err)
		}
		s.step = func(step string) {
			if step == "flushed mark" {
				time.Sleep(time.Second)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := s.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("Lock = %v after %v, want the deadline", err, time.Since(start))
		}
		s.step = func(string) {}
		start = time.Now()
		release, clean, err := s.Acquire(t.Context())
		if err != nil || !clean || time.Since(start) != 0 {
			t.Fatalf("Acquire = clean %v, %v after %v, want it clean at once", clean, err, time.Since(start))
		}
		release(true)
	})
}

// The lock file is removed between its making and its locking: it is made once more.
func TestLockFileGoesMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s, err := New(filepath.Join(dir, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	made, removed := false, 0
	s.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return sharedDisk{
			disk:   d,
			before: func(name string, flag int) { made = made || name == "tokens.lock" && flag&os.O_CREATE != 0 },
			after: func() {
				if made && removed == 0 && d.Remove("tokens.lock") == nil {
					removed++
				}
			},
		}, err
	}
	unlock, err := s.Lock(t.Context())
	if err != nil || removed != 1 {
		t.Fatalf("Lock = %v, %d lock files removed, want none that fails for it", err, removed)
	}
	unlock()
}

// Another process forgets a folder of the cache while this one looks for room.
func TestCacheFolderGoesMeanwhile(t *testing.T) {
	dir, key := t.TempDir(), Key(bytes.Repeat([]byte("k"), 32))
	other, err := NewCache(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	folders, _ := place("base/key")
	gone := 0
	c.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return sharedDisk{disk: d, listed: func(name string) {
			if name == filepath.Join(folders...) {
				gone++
				if err := other.DeletePrefix(t.Context(), "base/"); err != nil {
					t.Error(err)
				}
			}
		}}, err
	}
	if err := other.Set(t.Context(), "base/key", []byte("value"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "mine", []byte("value"), time.Minute); err != nil || gone != 1 {
		t.Errorf("Set = %v, with %d folders gone, want none that fails for it", err, gone)
	}
	if _, ok, err := c.Get(t.Context(), "mine"); !ok || err != nil {
		t.Errorf("Get = %v, %v", ok, err)
	}
}

// While nobody can tell how much there is, nothing is added: the cache stays bounded.
func TestCacheThatCannotBeListed(t *testing.T) {
	dir := t.TempDir()
	c, err := NewCache(dir, bytes.Repeat([]byte("k"), 32), MaxEntries(4))
	if err != nil {
		t.Fatal(err)
	}
	fail := errors.New("too many open files")
	c.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return sharedDisk{disk: d, fail: &fail}, err
	}
	set := func(n int) error { return c.Set(t.Context(), fmt.Sprint(n), []byte("value"), time.Minute) }
	files := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for n := range 10 {
		if err := set(n); !errors.Is(err, fail) {
			t.Errorf("Set %d = %v, want that the folder cannot be listed", n, err)
		}
	}
	if n := files(); n != 0 {
		t.Errorf("%d files, want none", n)
	}
	fail = nil
	for n := range 10 {
		if err := set(n); err != nil {
			t.Errorf("Set %d = %v", n, err)
		}
	}
	if n := files(); n < 3 || n > 4 {
		t.Errorf("%d files of a cache of 4", n)
	}
}

// brokenDisk is a real folder in which one operation fails, also in the folders below.
type brokenDisk struct {
	disk

	fail *string
	open *int
}

var errBroken = errors.New("input/output error")

func (d brokenDisk) failed(op string) error {
	if *d.fail == op {
		return errBroken
	}
	return nil
}

func (d brokenDisk) Folder(names []string, mode fs.FileMode) (disk, error) {
	below, err := d.disk.Folder(names, mode)
	if err != nil {
		return nil, err
	}
	if err := d.failed("folder"); err != nil {
		return nil, errors.Join(err, below.Close())
	}
	*d.open++
	return brokenDisk{below, d.fail, d.open}, nil
}

func (d brokenDisk) Close() error {
	*d.open--
	return d.disk.Close()
}

func (d brokenDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if err := d.failed("create"); err != nil && flag&os.O_CREATE != 0 {
		return nil, err
	}
	f, err := d.disk.OpenFile(name, flag, perm)
	return brokenFile{f, d}, err
}

func (d brokenDisk) Chtimes(name string, at time.Time) error {
	return errors.Join(d.failed("chtimes"), d.disk.Chtimes(name, at))
}

func (d brokenDisk) Rename(from, to string) error {
	if err := d.failed("rename"); err != nil {
		return err
	}
	return d.disk.Rename(from, to)
}

type brokenFile struct {
	file

	disk brokenDisk
}

func (f brokenFile) Write(b []byte) (int, error) {
	if err := f.disk.failed("write"); err != nil {
		return 0, err
	}
	return f.file.Write(b)
}

func (f brokenFile) Close() error { return errors.Join(f.disk.failed("close"), f.file.Close()) }

// A response that cannot be written leaves the one before, and nothing else.
func TestCacheOnABrokenDisk(t *testing.T) {
	dir := t.TempDir()
	c, err := NewCache(dir, bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	var fail string
	folders := 0
	c.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		folders++
		return brokenDisk{d, &fail, &folders}, err
	}
	if err := c.Set(t.Context(), "a/b", []byte("before"), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, fail = range []string{"folder", "create", "write", "close", "chtimes", "rename"} {
		if err := c.Set(t.Context(), "a/b", []byte("after"), time.Minute); !errors.Is(err, errBroken) {
			t.Errorf("%s fails: Set = %v", fail, err)
		}
		if got, ok, err := c.Get(t.Context(), "a/b"); err != nil || !ok || string(got) != "before" {
			t.Errorf("%s fails: Get = %q, %v, %v, want what was there", fail, got, ok, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(left) != 1 {
			t.Errorf("%s fails: files %q, %v, want one", fail, left, err)
		}
		if folders != 0 {
			t.Errorf("%s fails: %d folders are left open", fail, folders)
		}
	}
}
