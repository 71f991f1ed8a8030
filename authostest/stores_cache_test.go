package authostest_test

import (
	"bytes"
	"context"
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// mapCache does all that a cache must; the functions replace parts of it.
type mapCache struct {
	mu      sync.Mutex
	entries map[string]cacheEntry

	canceled func() error // what a canceled call returns after doing nothing
	life     func(time.Duration) time.Duration
	keep     func([]byte) []byte // a value on its way in
	show     func([]byte) []byte // and on its way out
	absent   error
	extend   bool // an entry keeps the longer life of two
	hit      func(key, prefix string) bool
	most     int // how many keys one deletion reaches
	torn     bool
}

type cacheEntry struct {
	value []byte
	until time.Time
}

func (c *mapCache) done(ctx context.Context) (err error, done bool) {
	if ctx.Err() == nil {
		return nil, false
	}
	if c.canceled != nil {
		return c.canceled(), true
	}
	return ctx.Err(), true
}

func (c *mapCache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok || !time.Now().Before(e.until) {
		return nil, false, c.absent
	}
	if c.show != nil {
		return c.show(e.value), true, nil
	}
	return bytes.Clone(e.value), true, nil
}

func (c *mapCache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err, done := c.done(ctx); done {
		return err
	}
	kept := bytes.Clone(value)
	if c.keep != nil {
		kept = c.keep(value)
	}
	if c.life != nil {
		ttl = c.life(ttl)
	}
	if c.torn {
		half := len(kept) / 2
		c.put(key, slices.Concat(kept[:half], bytes.Repeat([]byte("?"), len(kept)-half)), ttl)
		time.Sleep(10 * time.Microsecond)
	}
	c.put(key, kept, ttl)
	return nil
}

func (c *mapCache) put(key string, value []byte, ttl time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[string]cacheEntry{}
	}
	until := time.Now().Add(ttl)
	if old, ok := c.entries[key]; ok && c.extend {
		until = old.until
	}
	c.entries[key] = cacheEntry{value, until}
}

func (c *mapCache) DeletePrefix(ctx context.Context, prefix string) error {
	if err, done := c.done(ctx); done {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for key := range c.entries {
		hit := strings.HasPrefix(key, prefix)
		if c.hit != nil {
			hit = c.hit(key, prefix)
		}
		if hit && (c.most == 0 || n < c.most) {
			n++
			delete(c.entries, key)
		}
	}
	return nil
}

func TestGoodCacheStores(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"in memory": func(t *testing.T) {
			if err := authostest.TestCacheStore(func() (authos.CacheStore, error) { return &mapCache{}, nil }); err != nil {
				t.Error(err)
			}
		},
		"persistent": func(t *testing.T) {
			shared := &mapCache{}
			if err := authostest.TestCacheStore(func() (authos.CacheStore, error) { return shared, nil }, authostest.Persistent()); err != nil {
				t.Error(err)
			}
			if len(shared.entries) != 0 {
				t.Errorf("%d entries were left behind", len(shared.entries))
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	t.Run("real time", func(t *testing.T) {
		if err := authostest.TestCacheStore(func() (authos.CacheStore, error) { return &mapCache{}, nil }); err != nil {
			t.Error(err)
		}
	})
}

// glob and likePattern match a prefix as stores do that take it for a pattern.
func glob(key, prefix string) bool {
	ok, err := path.Match(strings.ReplaceAll(prefix, "/", "|")+"*", strings.ReplaceAll(key, "/", "|"))
	return ok && err == nil
}

func likePattern(of string) func(key, prefix string) bool {
	return func(key, prefix string) bool {
		expr := regexp.QuoteMeta(prefix)
		expr = strings.ReplaceAll(expr, of, map[string]string{"_": ".", "%": ".*"}[of])
		return regexp.MustCompile("^" + expr).MatchString(key)
	}
}

func TestBrokenCacheStores(t *testing.T) {
	same := func(b []byte) []byte { return b }
	for _, tc := range []struct {
		name  string
		store *mapCache
		want  string
	}{
		{"absence is an error", &mapCache{absent: errors.New("redis: nil")}, "a key that was never set: Get: redis: nil"},
		{"keeps for ever", &mapCache{life: func(time.Duration) time.Duration { return time.Hour }}, "an entry with a time to live of 2s is still there"},
		{"counts whole seconds", &mapCache{life: func(d time.Duration) time.Duration {
			if d = d.Truncate(time.Second); d == 0 {
				return time.Hour // no expiry
			}
			return d
		}}, "an entry with a time to live of 20ms is still there"},
		{"keeps too short", &mapCache{life: func(d time.Duration) time.Duration { return d / 60 }}, "after a quarter of that: there is nothing"},
		{"does not prolong", &mapCache{extend: true}, "an entry that was set anew with a longer life: there is nothing"},
		{"keeps the caller's bytes", &mapCache{keep: same}, "changed after Set: the value differs"},
		{"hands out its own bytes", &mapCache{show: same}, "changed after Get: the value differs"},
		{"cuts big values", &mapCache{keep: func(b []byte) []byte { return bytes.Clone(b[:min(len(b), 1<<19)]) }}, "big value: the value differs"},
		{"ends at a zero byte", &mapCache{keep: func(b []byte) []byte { head, _, _ := bytes.Cut(b, []byte{0}); return bytes.Clone(head) }}, "binary value: the value differs"},
		{"does not delete", &mapCache{hit: func(string, string) bool { return false }}, "it is still there"},
		{"deletes everything", &mapCache{hit: func(string, string) bool { return true }}, `"pp/a" after the prefix "p/" was deleted: there is nothing`},
		{"deletes siblings", &mapCache{hit: func(key, prefix string) bool { return strings.HasPrefix(key, strings.TrimSuffix(prefix, "/")) }}, `"pp/a" after the prefix "p/" was deleted: there is nothing`},
		{"ignores case", &mapCache{hit: func(key, prefix string) bool { return strings.HasPrefix(strings.ToLower(key), strings.ToLower(prefix)) }}, `"P/a" after the prefix "p/" was deleted: there is nothing`},
		{"deletes one level", &mapCache{hit: func(key, prefix string) bool {
			rest, ok := strings.CutPrefix(key, prefix)
			return ok && (prefix == "authostest/" || !strings.Contains(rest, "/"))
		}}, `"p/b/c" after the prefix "p/" was deleted: it is still there`},
		{"takes a prefix for a glob", &mapCache{hit: glob}, `after the prefix "a*/" was deleted: there is nothing`},
		{"takes _ for a wildcard", &mapCache{hit: likePattern("_")}, `"abc/x" after the prefix "a_c/" was deleted: there is nothing`},
		{"takes % for a wildcard", &mapCache{hit: likePattern("%")}, `"a/x" after the prefix "a%/" was deleted: there is nothing`},
		{"deletes a page", &mapCache{most: 100}, "of 300 keys with a prefix that was deleted"},
		{"pretends", &mapCache{canceled: func() error { return nil }}, "Set with a canceled context returned no error and did not set"},
		{"pretends to delete", &mapCache{canceled: func() error { return nil }}, "DeletePrefix with a canceled context returned no error and did not delete"},
		{"writes in pieces", &mapCache{torn: true}, "Get during a Set gave a value that was never set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run := func(t *testing.T) {
				err := authostest.TestCacheStore(func() (authos.CacheStore, error) { return tc.store, nil })
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("TestCacheStore = %v, want %q in it", err, tc.want)
				}
			}
			synctest.Test(t, run)
		})
	}
}
