package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

var (
	keyA = filestore.Key(bytes.Repeat([]byte("a"), 32))
	keyB = filestore.Key(bytes.Repeat([]byte("b"), 32))
)

func newCache(t *testing.T, dir string, key filestore.Key, opts ...filestore.Option) *filestore.CacheStore {
	t.Helper()
	c, err := filestore.NewCache(dir, key, opts...)
	must(t, "NewCache", err)
	return c
}

func set(t *testing.T, c authos.CacheStore, key, value string, ttl time.Duration) {
	t.Helper()
	must(t, "Set", c.Set(t.Context(), key, []byte(value), ttl))
}

func keeps(t *testing.T, c authos.CacheStore, key, want string) {
	t.Helper()
	got, ok, err := c.Get(t.Context(), key)
	if err != nil || !ok || string(got) != want {
		t.Errorf("Get(%q) = %q, %v, %v, want %q", key, got, ok, err, want)
	}
}

func lacks(t *testing.T, c authos.CacheStore, key string) {
	t.Helper()
	if _, ok, err := c.Get(t.Context(), key); err != nil || ok {
		t.Errorf("Get(%q) = %v, %v, want nothing", key, ok, err)
	}
}

// entries lists the files of a cache.
func entries(t *testing.T, dir string) (files []string, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		files, size = append(files, path), size+info.Size()
		return err
	})
	must(t, "WalkDir", err)
	return files, size
}

func TestCacheStoreIsOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	open := func() (authos.CacheStore, error) { return filestore.NewCache(dir, keyA) }
	if err := authostest.TestCacheStore(open, authostest.Persistent()); err != nil {
		t.Error(err)
	}
	if left, _ := entries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestCacheArguments(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		dir  string
		key  filestore.Key
		opts []filestore.Option
		want string
	}{
		"no folder":        {"", keyA, nil, "dir"},
		"a shell's folder": {"~/cache", keyA, nil, "dir"},
		"no key":           {dir, nil, nil, "key"},
		"empty key":        {dir, filestore.Key{}, nil, "Key"},
		"short key":        {dir, filestore.Key("short"), nil, "Key"},
		"short old key":    {dir, keyA, []filestore.Option{filestore.OldKeys(filestore.Key("short"))}, "OldKeys"},
		"no bytes":         {dir, keyA, []filestore.Option{filestore.MaxBytes(0)}, "MaxBytes"},
		"no entries":       {dir, keyA, []filestore.Option{filestore.MaxEntries(-1)}, "MaxEntries"},
	} {
		_, err := filestore.NewCache(tc.dir, tc.key, tc.opts...)
		if bad, ok := errors.AsType[*authos.ValidationError](err); !ok || bad.Fields[0].Field != tc.want {
			t.Errorf("%s: NewCache = %v, want a *ValidationError about %s", name, err, tc.want)
		}
	}
	if _, err := filestore.NewCache(dir, keyA, filestore.MaxBytes(1), filestore.MaxEntries(1)); err != nil {
		t.Errorf("NewCache with the smallest bounds = %v", err)
	}
	for name, opt := range map[string]filestore.Option{
		"MaxBytes": filestore.MaxBytes(1), "MaxEntries": filestore.MaxEntries(1), "OldKeys": filestore.OldKeys(keyA),
	} {
		if _, err := filestore.New(filepath.Join(dir, "tokens"), opt); err == nil {
			t.Errorf("New takes %s, which is an option of NewCache", name)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if text := fmt.Sprintf(verb, newCache(t, dir, keyA)); !strings.Contains(text, dir) || strings.Contains(text, "97 97") {
			t.Errorf("%s prints %q", verb, text)
		}
	}
}

// What is in the files is encrypted and bound to its key and time; what was tampered with is an
// error.
func TestCacheAtRest(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, dir, keyA)
	set(t, c, "alice/users/1", "the secret response", time.Minute)
	files, _ := entries(t, dir)
	if len(files) != 1 {
		t.Fatalf("%d files, want 1", len(files))
	}
	file := files[0]
	stored, err := os.ReadFile(file)
	must(t, "ReadFile", err)
	if bytes.Contains(stored, []byte("secret")) || strings.Contains(file, "alice") || strings.Contains(file, "users") {
		t.Error("the folder shows what was read, or by whom")
	}
	refused := func(what string, c *filestore.CacheStore, key string) {
		t.Helper()
		got, ok, err := c.Get(t.Context(), key)
		if err == nil || ok || got != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Get = %q, %v, %v, want an error alone", what, got, ok, err)
		}
	}
	refused("another key", newCache(t, dir, keyB), "alice/users/1")
	keeps(t, newCache(t, dir, keyB, filestore.OldKeys(keyA)), "alice/users/1", "the secret response")
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 1
		must(t, "WriteFile", os.WriteFile(file, bad, 0o600))
		refused(fmt.Sprintf("byte %d changed", i), c, "alice/users/1")
	}
	must(t, "WriteFile", os.WriteFile(file, stored[:len(stored)/2], 0o600))
	refused("cut short", c, "alice/users/1")
	must(t, "WriteFile", os.WriteFile(file, nil, 0o600)) // as a loss of power leaves it
	lacks(t, c, "alice/users/1")

	set(t, c, "bob/users/1", "his own", time.Minute)
	var bobs string
	files, _ = entries(t, dir)
	for _, f := range files {
		if f != file {
			bobs = f
		}
	}
	must(t, "WriteFile", os.WriteFile(bobs, stored, 0o600))
	refused("put in another principal's place", c, "bob/users/1")
	set(t, c, "bob/users/1", "his own", time.Minute)
	keeps(t, c, "bob/users/1", "his own")
	largest := bytes.Repeat([]byte("x"), 16<<20)
	if err := c.Set(t.Context(), "large", append(largest, 'y'), time.Minute); err == nil {
		t.Error("more than 16 MiB are kept")
	}
	must(t, "Set of 16 MiB", c.Set(t.Context(), "large", largest, time.Minute))
	if got, ok, err := c.Get(t.Context(), "large"); err != nil || !ok || !bytes.Equal(got, largest) {
		t.Errorf("Get of 16 MiB = %d bytes, %v, %v, want them all", len(got), ok, err)
	}
}

// A life ends by the time that is encrypted with the value, whatever the file says, and a clock
// that is set back does not make anything younger.
func TestCacheTimes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, dir, keyA)
		set(t, c, "a", "value", time.Hour)
		files, _ := entries(t, dir)
		must(t, "Chtimes", os.Chtimes(files[0], time.Now(), time.Now().Add(100*time.Hour)))
		time.Sleep(time.Hour - time.Nanosecond)
		keeps(t, c, "a", "value")
		time.Sleep(time.Nanosecond)
		lacks(t, c, "a")
		time.Sleep(24 * time.Hour)
		set(t, c, "a", "tomorrow's", 100*time.Hour)
	})
	synctest.Test(t, func(t *testing.T) { // a day before
		lacks(t, newCache(t, dir, keyA), "a")
	})
}

// What was expired goes, then what ends first; also what other stores of the folder have set.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	c, other := newCache(t, dir, keyA, filestore.MaxEntries(40)), newCache(t, dir, keyA, filestore.MaxEntries(40))
	for n := range 30 {
		set(t, other, fmt.Sprintf("expired/%d", n), "value", time.Nanosecond)
	}
	for n := range 200 {
		set(t, []authos.CacheStore{c, other}[n%2], fmt.Sprintf("p%d/%d", n%7, n), "value", time.Duration(n+1)*time.Minute)
	}
	if files, _ := entries(t, dir); len(files) > 81 {
		t.Errorf("%d files with two stores of 40", len(files))
	}
	keeps(t, c, "p3/199", "value")
	lacks(t, c, "p0/0")
	lacks(t, c, "expired/0")

	dir = t.TempDir()
	c = newCache(t, dir, keyA, filestore.MaxBytes(100_000))
	for n := range 100 {
		set(t, c, fmt.Sprintf("p/%d", n), strings.Repeat("x", 5000), time.Duration(n+1)*time.Minute)
	}
	if _, size := entries(t, dir); size > 100_000 || size < 80_000 {
		t.Errorf("%d bytes, want at most 100,000, and an eighth less and an entry at least", size)
	}
	if err := c.Set(t.Context(), "p/large", make([]byte, 25_001), time.Minute); err == nil {
		t.Error("a value of more than a quarter of the cache is kept")
	}
	keeps(t, c, "p/99", strings.Repeat("x", 5000))
}

// A store that has its folder to itself never keeps more than it may, also not for a moment.
func TestCacheIsBoundedAtEachSet(t *testing.T) {
	for _, most := range []int{1, 8, 9} {
		dir := t.TempDir()
		c := newCache(t, dir, keyA, filestore.MaxEntries(most))
		for n := range 40 {
			set(t, c, fmt.Sprintf("p/%d", n), "value", time.Duration(n+1)*time.Minute)
			if files, _ := entries(t, dir); len(files) > most {
				t.Fatalf("%d files after %d Sets, want at most %d", len(files), n+1, most)
			}
			keeps(t, c, fmt.Sprintf("p/%d", n), "value")
		}
	}
}

// A cache may be full to its bound; beyond it, what ends first goes, an eighth more than must.
func TestCacheIsFull(t *testing.T) {
	sample := t.TempDir()
	set(t, newCache(t, sample, keyA), "p/0", "value", time.Hour)
	_, size := entries(t, sample)
	for name, opt := range map[string]filestore.Option{"entries": filestore.MaxEntries(8), "bytes": filestore.MaxBytes(8 * size)} {
		dir := t.TempDir()
		for n := range 8 { // each a store that looks first
			set(t, newCache(t, dir, keyA, opt), fmt.Sprintf("p/%d", n), "value", time.Hour+time.Duration(n)*time.Minute)
		}
		files, _ := entries(t, dir)
		equal(t, name+": files in a full cache", len(files), 8)
		set(t, newCache(t, dir, keyA, opt), "p/8", "value", 2*time.Hour)
		files, _ = entries(t, dir)
		equal(t, name+": files after one more", len(files), 7)
		c := newCache(t, dir, keyA)
		lacks(t, c, "p/1")
		keeps(t, c, "p/2", "value")
	}
}

// What is kept for no time leaves no file, and what was there goes.
func TestCacheForNoTime(t *testing.T) {
	for _, ttl := range []time.Duration{0, -time.Second} {
		dir := t.TempDir()
		c := newCache(t, dir, keyA)
		set(t, c, "a/b", "value", ttl)
		set(t, c, "a/c", "value", time.Hour)
		set(t, c, "a/c", "value", ttl)
		if files, _ := entries(t, dir); len(files) != 0 {
			t.Errorf("%v: files %q, want none", ttl, files)
		}
	}
}

// A prefix that is none forgets nothing.
func TestCachePrefixes(t *testing.T) {
	c := newCache(t, t.TempDir(), keyA)
	set(t, c, "ada/1", "value", time.Hour)
	for _, prefix := range []string{"ada", "ada/1", "a"} {
		if err := c.DeletePrefix(t.Context(), prefix); err == nil || !strings.Contains(err.Error(), "must end at") {
			t.Errorf("DeletePrefix(%q) = %v, want it refused", prefix, err)
		}
	}
	keeps(t, c, "ada/1", "value")
}

// What others have set and what has expired is counted at each 256th Set of a store, however little
// it sets itself; the others do not take the time.
func TestCacheLooksAgain(t *testing.T) {
	dir := t.TempDir()
	c, other := newCache(t, dir, keyA), newCache(t, dir, keyA)
	set(t, c, "mine", "value", time.Hour) // the first of a store looks
	for n := range 3 {
		set(t, other, fmt.Sprintf("other/%d", n), "value", time.Hour)
	}
	set(t, other, "other/expired", "value", time.Nanosecond)
	for n := range 256 {
		if files, _ := entries(t, dir); len(files) != 5 {
			t.Fatalf("%d files after %d Sets, want the 5 there were", len(files), n)
		}
		set(t, c, "mine", "value", time.Hour)
	}
	if files, _ := entries(t, dir); len(files) != 4 {
		t.Errorf("%d files after 256 Sets, want the 4 that have not expired", len(files))
	}
}

// What a process that died has left is no response, and goes.
func TestCacheLeftovers(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, dir, keyA)
	set(t, c, "a/b", "value", time.Hour)
	files, _ := entries(t, dir)
	half := files[0] + ".1z"
	put(t, half, "half", 0o600)
	must(t, "Chtimes", os.Chtimes(half, time.Now(), time.Now().Add(-time.Hour)))
	must(t, "Mkdir", os.MkdirAll(filepath.Join(dir, ".trash", "x"), 0o700))
	put(t, filepath.Join(dir, ".trash", "x", "y.entry"), "old", 0o600)
	young, alien := files[0]+".2z", filepath.Join(dir, "README")
	put(t, young, "half", 0o600) // somebody writes it
	put(t, alien, "This is a cache.", 0o600)
	must(t, "Chtimes", os.Chtimes(alien, time.Now(), time.Now().Add(-time.Hour)))
	set(t, newCache(t, dir, keyA), "a/c", "value", time.Hour) // the first of a store looks
	files, _ = entries(t, dir)
	equal(t, "files", len(files), 4)
	for _, stays := range []string{young, alien} {
		equal(t, stays+" stays", slices.Contains(files, stays), true)
	}
	keeps(t, c, "a/b", "value")
}

// Nothing that was set before a prefix was deleted is there after it, whoever sets and deletes.
func TestCacheForgets(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			c, err := filestore.NewCache(dir, keyA)
			if err != nil {
				t.Errorf("NewCache = %v", err)
				return
			}
			ctx, prefix := context.Background(), fmt.Sprintf("shared/%d/", worker)
			for n := range 100 {
				key := fmt.Sprintf("%s%d/x", prefix, n)
				if err := errors.Join(c.Set(ctx, key, []byte("value"), time.Minute), c.DeletePrefix(ctx, prefix)); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if _, ok, err := c.Get(ctx, key); ok || err != nil {
					t.Errorf("%s is there after its prefix was deleted (%v)", key, err)
				}
				if n%10 == 0 {
					_ = c.DeletePrefix(ctx, "shared/") // while others set
				}
			}
		})
	}
	group.Wait()
}

func TestCacheOfOthers(t *testing.T) {
	needModes(t)
	dir := filepath.Join(t.TempDir(), "cache")
	must(t, "Mkdir", os.Mkdir(dir, 0o700))
	must(t, "Chmod", os.Chmod(dir, 0o777))
	if _, err := filestore.NewCache(dir, keyA); err == nil || !strings.Contains(err.Error(), "everybody") {
		t.Errorf("NewCache = %v, want the folder refused", err)
	}
	must(t, "Chmod", os.Chmod(dir, 0o700))
	c := newCache(t, dir, keyA)
	set(t, c, "a", "value", time.Hour)
	files, _ := entries(t, dir)
	must(t, "Chmod", os.Chmod(files[0], 0o644))
	if _, ok, err := c.Get(t.Context(), "a"); err == nil || ok {
		t.Error("a file that others may open is used")
	}
}
