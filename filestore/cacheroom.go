package filestore

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// random names temporary files.
func random() uint64 { return rand.Uint64() } //nolint:gosec // a name, no secret

// usage is how much there is: as of the last look, and what was set since.
type usage struct {
	entries int
	bytes   int64
	sets    int // since the last look, after which what other processes wrote is counted again
	known   bool
	looking bool // somebody is
}

// makeRoom sees that there is room for one more entry.
func (c *CacheStore) makeRoom(d disk, size int64) error {
	c.mu.Lock()
	c.used.sets++
	c.used.entries++
	c.used.bytes += size
	u := &c.used
	look := !u.looking && (!u.known || u.sets >= lookEvery || u.entries > c.maxEntries || u.bytes > c.maxBytes)
	u.looking = u.looking || look
	c.mu.Unlock()
	if !look {
		return nil
	}
	left, err := c.tidy(d, usage{entries: 1, bytes: size})
	left.known = err == nil // or what could not be counted or removed would not be missed for long
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = left
	return err
}

// tidy removes what has expired, and where there is too much what ends first: an eighth more than
// must go, so that the next look is not the next Set's.
func (c *CacheStore) tidy(d disk, used usage) (usage, error) {
	list, err := c.list(d)
	if err != nil {
		return used, err
	}
	for _, e := range list {
		used.entries++
		used.bytes += e.size
	}
	now := time.Now()
	full := used.entries > c.maxEntries || used.bytes > c.maxBytes
	for _, e := range list {
		over := full && (used.entries > c.maxEntries-c.maxEntries/8 || used.bytes > c.maxBytes-c.maxBytes/8)
		if !over && now.Before(e.ends) {
			break
		}
		if err := d.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return used, err
		}
		used.entries--
		used.bytes -= e.size
		for dir := filepath.Dir(e.path); dir != "."; dir = filepath.Dir(dir) {
			_ = d.Remove(dir) // but where it is not empty
		}
	}
	return used, nil
}

// entry is a file of the cache.
type entry struct {
	path string
	size int64
	ends time.Time
}

// list gives all entries, those that end first in front, and removes what processes that died have
// left: temporary files, and folders on their way out.
func (c *CacheStore) list(d disk) ([]entry, error) {
	var all []entry
	var walk func(dir string) error
	walk = func(dir string) error {
		names, err := d.Names(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			info, statErr := d.Lstat(path)
			switch {
			case statErr != nil: // it was removed meanwhile
			case info.IsDir() && name == trash:
				c.emptyTrash(d)
			case info.IsDir():
				err = errors.Join(err, walk(path))
			case strings.HasSuffix(name, entrySuffix):
				all = append(all, entry{path, info.Size(), info.ModTime()})
			case time.Since(info.ModTime()) > time.Minute && strings.Contains(name, entrySuffix+"."):
				_ = d.Remove(path)
			}
		}
		return err
	}
	if err := walk("."); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.ends.Compare(b.ends), cmp.Compare(a.path, b.path)) })
	return all, nil
}

// emptyTrash removes what was forgotten. What cannot be removed now, because somebody still writes
// to it, is removed another time.
func (c *CacheStore) emptyTrash(d disk) {
	names, _ := d.Names(trash)
	for _, name := range names {
		_ = d.RemoveAll(filepath.Join(trash, name))
	}
}
