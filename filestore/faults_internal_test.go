package filestore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// Every operation of a store on its folder fails once: the caller is told, or else it is one of a
// few that need not work; nothing stays open, and the store works when the disk is well again.

// faults fails one of the operations on a real folder, by their order, and counts what is open.
type faults struct {
	at, n  int // the operation that fails, 0 for none, and those there were
	failed string
	open   int
}

func (f *faults) do(op, name string) error {
	if f.n++; f.n != f.at {
		return nil
	}
	f.failed = op + " " + kind(name)
	return &fs.PathError{Op: op, Path: name, Err: errBroken}
}

// kind says what a file is; a cache's have names that tell nothing.
func kind(name string) string {
	switch base := filepath.Base(name); {
	case strings.Contains(base, entrySuffix+"."):
		return "temporary"
	case strings.HasSuffix(base, entrySuffix):
		return "entry"
	case strings.HasPrefix(name, trash+string(filepath.Separator)):
		return "forgotten"
	case len(base) == len(digest("")):
		return "folder"
	default:
		return base
	}
}

func (f *faults) openDisk(dir string) (disk, error) {
	if err := f.do("open", dir+string(filepath.Separator)+"."); err != nil {
		return nil, err
	}
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	f.open++
	return faultDisk{d, f, dir}, nil
}

type faultDisk struct {
	disk

	faults *faults
	dir    string
}

func (d faultDisk) Lstat(name string) (fs.FileInfo, error) {
	if err := d.faults.do("lstat", name); err != nil {
		return nil, err
	}
	return d.disk.Lstat(name)
}

func (d faultDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if err := d.faults.do(op, name); err != nil {
		return nil, err
	}
	f, err := d.disk.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	d.faults.open++
	return faultFile{f, d.faults, filepath.Join(d.dir, name)}, nil
}

func (d faultDisk) Rename(from, to string) error {
	if err := d.faults.do("rename", from); err != nil {
		return err
	}
	return d.disk.Rename(from, to)
}

func (d faultDisk) Remove(name string) error {
	if err := d.faults.do("remove", name); err != nil {
		return err
	}
	return d.disk.Remove(name)
}

func (d faultDisk) RemoveAll(name string) error {
	if err := d.faults.do("removeall", name); err != nil {
		return err
	}
	return d.disk.RemoveAll(name)
}

func (d faultDisk) Names(name string) ([]string, error) {
	if err := d.faults.do("names", name); err != nil {
		return nil, err
	}
	return d.disk.Names(name)
}

func (d faultDisk) Folder(names []string, mode fs.FileMode) (disk, error) {
	name := filepath.Join(names...)
	if err := d.faults.do("folder", name); err != nil {
		return nil, err
	}
	below, err := d.disk.Folder(names, mode)
	if err != nil {
		return nil, err
	}
	d.faults.open++
	return faultDisk{below, d.faults, filepath.Join(d.dir, name)}, nil
}

func (d faultDisk) Chtimes(name string, at time.Time) error {
	return errors.Join(d.faults.do("chtimes", name), d.disk.Chtimes(name, at))
}

func (d faultDisk) Stat() (fs.FileInfo, error) {
	if err := d.faults.do("stat", "."); err != nil {
		return nil, err
	}
	return d.disk.Stat()
}

func (d faultDisk) Sync() error {
	if err := d.faults.do("sync", d.dir+string(filepath.Separator)+"."); err != nil {
		return err
	}
	return d.disk.Sync()
}

func (d faultDisk) Close() error {
	d.faults.open--
	return d.disk.Close()
}

type faultFile struct {
	file

	faults *faults
	path   string
}

func (f faultFile) Read(b []byte) (int, error) {
	if err := f.faults.do("read", f.path); err != nil {
		return 0, err
	}
	return f.file.Read(b)
}

func (f faultFile) Write(b []byte) (int, error) {
	if err := f.faults.do("write", f.path); err != nil {
		return 0, err
	}
	return f.file.Write(b)
}

func (f faultFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.faults.do("write", f.path); err != nil {
		return 0, err
	}
	return f.file.WriteAt(b, at)
}

func (f faultFile) Stat() (fs.FileInfo, error) {
	if err := f.faults.do("stat", f.path); err != nil {
		return nil, err
	}
	return f.file.Stat()
}

func (f faultFile) Chmod(mode fs.FileMode) error {
	return errors.Join(f.faults.do("chmod", f.path), f.file.Chmod(mode))
}

func (f faultFile) Truncate(size int64) error {
	if err := f.faults.do("truncate", f.path); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f faultFile) Sync() error {
	if err := f.faults.do("sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faultFile) Close() error {
	f.faults.open--
	return errors.Join(f.faults.do("close", f.path), f.file.Close())
}

// eachFault has each operation of what arrange gives fail, in a folder of its own each time, until
// there are no more, and gives those that use did not report, in order.
func eachFault(t *testing.T, arrange func(t *testing.T, dir string, f *faults) (use func() error, check func(err error))) (unreported []string) {
	t.Helper()
	for at := 1; ; at++ {
		f := &faults{}
		use, check := arrange(t, t.TempDir(), f)
		f.at, f.n = at, 0
		err := use()
		f.at = 0
		if f.open != 0 {
			t.Errorf("%q fails: %d files or folders are left open", f.failed, f.open)
		}
		switch {
		case err != nil && !errors.Is(err, errBroken):
			t.Fatalf("%q fails: %v", f.failed, err)
		case err == nil && f.failed != "":
			unreported = append(unreported, f.failed)
		}
		check(err)
		if t.Failed() {
			t.Fatalf("the above is with %q failing, operation %d", f.failed, at)
		}
		if f.failed == "" {
			return slices.Compact(unreported) // how often a file is read is not the store's doing
		}
	}
}

func TestTokenStoreOnABrokenDisk(t *testing.T) { //nolint:tparallel // other tests change the process's user
	fresh, err := formatTokens(powerNew)
	if err != nil {
		t.Fatal(err)
	}
	lock := func(under func(s *TokenStore) error) func(s *TokenStore) error {
		return func(s *TokenStore) error {
			unlock, err := s.Lock(context.Background())
			if err != nil {
				return err
			}
			err = under(s)
			unlock()
			return err
		}
	}
	save := func(s *TokenStore) error { return s.Save(context.Background(), powerNew) }
	remove := func(s *TokenStore) error { return s.Delete(context.Background()) }
	nothing := func(*TokenStore) error { return nil }
	// What cannot be read is not tried: nobody refreshes such tokens.
	trying := []string{"lstat tokens", "open tokens", "stat tokens", "read tokens", "close tokens", "lstat tokens", "remove tokens.new"}
	// The rename says whether it works.
	replacing := []string{"lstat tokens"}
	// A mark that stays costs the next holder a wait, and a file of zeros is removed by it.
	spare := []string{"close tokens.new", "open .", "stat .", "remove tokens.new"}
	unlocking := []string{"truncate tokens.held", "close tokens.held"}
	locking := slices.Concat(trying, replacing, spare, unlocking)
	for name, tc := range map[string]struct {
		suffix, left string // a file that is there
		use          func(s *TokenStore) error
		want         authos.Tokens
		trust, first bool
		unreported   []string
	}{
		"open": {use: (*TokenStore).prepare, want: powerOld, unreported: []string{"close tokens", "close tokens.lock"}},
		"Load": {
			use:  func(s *TokenStore) error { _, err := s.Load(context.Background()); return err },
			want: powerOld, unreported: []string{"close tokens"},
		},
		"Save":              {use: save, want: powerNew, unreported: []string{"remove tokens.new", "lstat tokens"}},
		"the first Save":    {use: save, want: powerNew, first: true, unreported: []string{"remove tokens.new", "lstat tokens"}},
		"Save of a group's": {use: save, want: powerNew, trust: true, unreported: []string{"remove tokens.new", "lstat tokens"}},
		"Delete":            {use: remove},
		"Lock":              {use: lock(nothing), want: powerOld, unreported: locking},
		"the first Lock":    {use: lock(nothing), first: true, unreported: slices.Concat([]string{"lstat tokens"}, spare, unlocking)},
		"Save under a lock": {use: lock(save), want: powerNew, unreported: slices.Concat(trying, replacing, replacing, unlocking)},
		"Delete under one":  {use: lock(remove), unreported: slices.Concat(trying, replacing, []string{"close tokens.new"}, unlocking)},
		"a mark of tomorrow": {
			suffix: markSuffix, left: `{"since":"9999-01-01T00:00:00Z","pid":7}`,
			use: lock(nothing), want: powerOld, unreported: slices.Concat([]string{"close tokens.held"}, locking),
		},
		"a Save that died": {
			suffix: newSuffix, left: string(fresh),
			use: lock(nothing), want: powerNew, unreported: slices.Concat([]string{"close tokens.new", "lstat tokens"}, locking),
		},
		"half a Save": {
			suffix: newSuffix, left: string(fresh[:9]),
			use: lock(nothing), want: powerOld, unreported: slices.Concat([]string{"close tokens.new"}, locking),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := powerOld
			if tc.first {
				before = authos.Tokens{}
			}
			got := eachFault(t, func(t *testing.T, dir string, f *faults) (func() error, func(error)) {
				var opts []Option
				if tc.trust && hasModes {
					opts = append(opts, TrustGroup(os.Getegid()))
				}
				s, err := New(filepath.Join(dir, "tokens"), opts...)
				if err != nil {
					t.Fatal(err)
				}
				s.open, s.quiet = f.openDisk, 0
				if !tc.first {
					if err := saveOld(s); err != nil {
						t.Fatal(err)
					}
				}
				if tc.left != "" {
					if err := os.WriteFile(filepath.Join(dir, "tokens"+tc.suffix), []byte(tc.left), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				return func() error { return tc.use(s) }, func(err error) {
					if e, ok := errors.AsType[*fs.PathError](err); err != nil && (!ok || !strings.HasPrefix(e.Path, dir)) {
						t.Errorf("%v, want a *fs.PathError with the whole path", err)
					}
					if err != nil && tc.suffix != newSuffix && !strings.HasPrefix(f.failed, "remove") {
						if _, err := os.Lstat(filepath.Join(dir, "tokens"+newSuffix)); !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("the new file is left behind (%v)", err)
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					unlock, lockErr := s.Lock(ctx)
					if lockErr != nil {
						t.Fatalf("Lock when the disk is well again = %v", lockErr)
					}
					unlock()
					switch got, loadErr := s.Load(ctx); {
					case loadErr != nil || got != tc.want && got != before:
						t.Errorf("Load = %v, want the tokens before or after", loadErr)
					case err == nil && got != tc.want:
						t.Error("Load gives other tokens than there are when nobody reported an error")
					}
					if left, err := filepath.Glob(filepath.Join(dir, "*"+newSuffix)); err != nil || len(left) != 0 {
						t.Errorf("left behind: %q, %v", left, err)
					}
				}
			})
			if want := slices.Compact(tc.unreported); !slices.Equal(got, want) {
				t.Errorf("failures of %q are not reported, want %q", got, want)
			}
		})
	}
}

func TestCacheStoreOnABrokenDisk(t *testing.T) { //nolint:tparallel // as above
	// What was forgotten is away before it is removed, which comes another time.
	trashing := []string{"lstat folder", "names .trash", "removeall forgotten"}
	for name, tc := range map[string]struct {
		use        func(c *CacheStore) error
		gone       string // a key that use removes
		set        string // a key that it sets
		unreported []string
	}{
		"Get": {use: func(c *CacheStore) error {
			_, ok, err := c.Get(context.Background(), "a/b/1")
			if err == nil && !ok {
				return errors.New("it is not there")
			}
			return err
		}, unreported: []string{"close entry"}},
		// What cannot be looked at was removed meanwhile; folders that are not empty stay.
		"Set": {
			use: func(c *CacheStore) error { return c.Set(context.Background(), "a/new", []byte("value"), time.Hour) },
			set: "a/new", unreported: []string{"lstat folder", "lstat entry", "lstat folder", "lstat entry", "remove folder"},
		},
		"Set for zero": {use: func(c *CacheStore) error { return c.Set(context.Background(), "a/b/1", []byte("value"), 0) }, gone: "a/b/1"},
		"a prefix":     {use: func(c *CacheStore) error { return c.DeletePrefix(context.Background(), "a/b/") }, gone: "a/b/1", unreported: trashing},
		"all":          {use: func(c *CacheStore) error { return c.DeletePrefix(context.Background(), "") }, gone: "a/b/1", unreported: trashing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := eachFault(t, func(t *testing.T, dir string, f *faults) (func() error, func(error)) {
				c, err := NewCache(dir, bytes.Repeat([]byte("k"), 32))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Set(t.Context(), "a/b/1", []byte("value"), time.Hour); err != nil {
					t.Fatal(err)
				}
				if err := c.Set(t.Context(), "expired/1", []byte("value"), time.Nanosecond); err != nil {
					t.Fatal(err)
				}
				c.used = usage{} // the next Set looks
				c.open = f.openDisk
				return func() error { return tc.use(c) }, func(err error) {
					for _, key := range []string{"a/b/1", "a/new"} {
						_, ok, getErr := c.Get(t.Context(), key)
						if want := key != tc.gone && (key == "a/b/1" || key == tc.set); getErr != nil || err == nil && ok != want {
							t.Errorf("Get(%s) = %v, %v, want it there: %v", key, ok, getErr, want)
						}
					}
					count := func(which string) (n int) {
						_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
							if !d.IsDir() && strings.HasPrefix(kind(path), which) {
								n++
							}
							return nil
						})
						return n
					}
					if n := count("temporary"); n != 0 {
						t.Errorf("%d temporary files are left behind", n)
					}
					if err := c.DeletePrefix(t.Context(), ""); err != nil {
						t.Errorf("DeletePrefix when the disk is well again = %v", err)
					}
					if n := count(""); n != 0 {
						t.Errorf("%d files are left when all is forgotten", n)
					}
				}
			})
			if !slices.Equal(got, tc.unreported) {
				t.Errorf("failures of %q are not reported, want %q", got, tc.unreported)
			}
		})
	}
}

// What could not be flushed when it was forgotten is flushed by who forgets it again, perhaps with
// less or more beside it, and only once.
func TestForgottenIsFlushedAtLast(t *testing.T) {
	folders, _ := place("base/user/")
	for _, tc := range []struct{ first, again, flushes string }{
		{"base/user/", "base/user/", folders[0]},
		{"base/user/", "base/user/path/", folders[0]},
		{"base/", "base/", "."},
		{"base/", "base/user/path/", "."},
		{"base/", "", "."},
		{"", "", "."},
	} {
		c, err := NewCache(t.TempDir(), bytes.Repeat([]byte("k"), 32))
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		fail := true
		c.open = func(dir string) (disk, error) {
			d, err := openDisk(dir)
			return orderDisk{d, ".", &log, &fail}, err
		}
		if err := c.Set(t.Context(), "base/user/path/key", []byte("value"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := c.DeletePrefix(t.Context(), tc.first); !errors.Is(err, errBroken) {
			t.Errorf("DeletePrefix(%q) = %v, want that it could not be flushed", tc.first, err)
		}
		fail = false
		for _, want := range [][]string{{"flush " + tc.flushes}, nil} {
			log = nil
			if err := c.DeletePrefix(t.Context(), tc.again); err != nil || !slices.Equal(log, want) {
				t.Errorf("DeletePrefix(%q) after %q = %v and took %q, want %q", tc.again, tc.first, err, log, want)
			}
		}
	}
}

// meddledDisk is a folder in which another process does something after a rename, and which has no
// folders left when gone says so.
type meddledDisk struct {
	disk

	renamed func()
	gone    bool
	flushes *int
}

func (d meddledDisk) Rename(from, to string) error {
	err := d.disk.Rename(from, to)
	d.renamed()
	return err
}

func (d meddledDisk) Folder(names []string, mode fs.FileMode) (disk, error) {
	if d.gone && mode == 0 {
		return nil, fs.ErrNotExist
	}
	if mode == 0 {
		*d.flushes++
	}
	return d.disk.Folder(names, mode)
}

// Others may empty the trash before what was put there is flushed, which it is all the same. Where
// the whole cache is removed meanwhile, DeletePrefix comes to an end, and says so.
func TestForgettingWithOthers(t *testing.T) {
	for _, gone := range []bool{false, true} {
		dir := t.TempDir()
		c, err := NewCache(dir, bytes.Repeat([]byte("k"), 32))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(t.Context(), "a/b/1", []byte("value"), time.Minute); err != nil {
			t.Fatal(err)
		}
		flushes := 0
		c.open = func(dir string) (disk, error) {
			d, err := openDisk(dir)
			return meddledDisk{d, func() { c.emptyTrash(d) }, gone, &flushes}, err
		}
		want := 1
		if gone {
			want = 0
		}
		if err := c.DeletePrefix(t.Context(), "a/b/"); errors.Is(err, fs.ErrNotExist) != gone || flushes != want {
			t.Errorf("gone %v: DeletePrefix = %v after %d flushes, want %d", gone, err, flushes, want)
		}
	}
}
