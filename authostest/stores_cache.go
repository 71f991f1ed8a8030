package authostest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authos-go/authos"
)

// TestCacheStore checks that a cache store does what the client relies on. It
// returns everything that it found wrong, joined. Its keys begin with
// "authostest/" and are deleted. Since entries have to expire, a run takes two
// seconds or three.
func TestCacheStore(open func() (authos.CacheStore, error), opts ...StoreOption) error {
	s := newSuite(opts)
	store, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	c := cacheSuite{s, context.Background()}
	c.keeps(store)
	c.expires(store)
	c.deletesPrefixes(store)
	c.survivesCancel(store)
	c.concurrent(store)
	c.mixesNothing(store)
	if s.crash != nil {
		c.crashes(store)
	}
	if s.persistent {
		if second, err := open(); !s.broken("opening a second time", err) {
			c.set(store, cacheRoot+"shared", []byte("value"), time.Minute)
			c.holds("set by another store", second, cacheRoot+"shared", []byte("value"))
			c.deletePrefix(second, cacheRoot)
			c.lacks("deleted by a second store", store, cacheRoot+"shared")
		}
	}
	c.deletePrefix(store, cacheRoot)
	return s.result()
}

const cacheRoot = "authostest/"

type cacheSuite struct {
	*suite

	ctx context.Context
}

func (c cacheSuite) set(store authos.CacheStore, key string, value []byte, ttl time.Duration) {
	c.broken("Set", c.returns(func() error { return store.Set(c.ctx, key, value, ttl) }))
}

func (c cacheSuite) deletePrefix(store authos.CacheStore, prefix string) {
	c.broken("DeletePrefix", c.returns(func() error { return store.DeletePrefix(c.ctx, prefix) }))
}

type cached struct {
	value []byte
	ok    bool
}

func (c cacheSuite) getWith(ctx context.Context, store authos.CacheStore, key string) (cached, error) {
	got := make(chan cached, 1)
	err := c.returns(func() error {
		value, ok, err := store.Get(ctx, key)
		got <- cached{value, ok}
		return err
	})
	if err != nil {
		return cached{}, err
	}
	return <-got, nil
}

func (c cacheSuite) holds(what string, store authos.CacheStore, key string, want []byte) {
	got, err := c.getWith(c.ctx, store, key)
	switch {
	case err != nil:
		c.failf("%s: Get: %w", what, err)
	case !got.ok:
		c.failf("%s: there is nothing", what)
	case !bytes.Equal(got.value, want):
		c.failf("%s: the value differs", what)
	}
}

func (c cacheSuite) lacks(what string, store authos.CacheStore, key string) {
	got, err := c.getWith(c.ctx, store, key)
	switch {
	case err != nil:
		c.failf("%s: Get: %w, want ok to be false", what, err)
	case got.ok:
		c.failf("%s: it is still there", what)
	}
}

func (c cacheSuite) keeps(store authos.CacheStore) {
	c.deletePrefix(store, cacheRoot)
	c.lacks("a key that was never set", store, cacheRoot+"never")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, tc := range []struct {
		name, key string
		value     []byte
	}{
		{"text", "text", []byte(`{"id":"1"}`)},
		{"empty value", "empty", []byte{}},
		{"binary value", "binary", []byte{0, 1, 0xff, 0xfe, '\r', '\n', 0}},
		{"big value", "big", big},
		{"odd key", "GET /api/users?limit=5&q=a%20b*[x]\\ \"'é", []byte("odd")},
		{"long key", strings.Repeat("segment/", 250), []byte("long")},
	} {
		key := cacheRoot + tc.key
		c.set(store, key, slices.Clone(tc.value), time.Minute)
		c.holds(tc.name, store, key, tc.value)
	}
	c.set(store, cacheRoot+"text", []byte("second"), time.Minute)
	c.holds("a value set twice", store, cacheRoot+"text", []byte("second"))

	mine := []byte("mine")
	c.set(store, cacheRoot+"aliased", mine, time.Minute)
	mine[0] = 'X'
	c.holds("a value whose bytes the caller changed after Set", store, cacheRoot+"aliased", []byte("mine"))
	if got, err := c.getWith(c.ctx, store, cacheRoot+"aliased"); err == nil && len(got.value) > 0 {
		got.value[0] = 'Y'
		c.holds("a value whose bytes the caller changed after Get", store, cacheRoot+"aliased", []byte("mine"))
	}
}

// expires checks that a time to live is neither ignored nor rounded to nothing or
// for ever.
func (c cacheSuite) expires(store authos.CacheStore) {
	const long = 2 * time.Second
	left := map[string]time.Duration{cacheRoot + "seconds": long, cacheRoot + "moment": 20 * time.Millisecond}
	c.set(store, cacheRoot+"extended", []byte("short"), 20*time.Millisecond)
	c.set(store, cacheRoot+"extended", []byte("long"), time.Minute)
	for key, ttl := range left {
		c.set(store, key, []byte("value"), ttl)
	}
	time.Sleep(long / 4)
	c.holds(fmt.Sprintf("an entry with a time to live of %v, after a quarter of that", long), store, cacheRoot+"seconds", []byte("value"))
	deadline := time.Now().Add(long + expirySlack)
	for len(left) > 0 && time.Now().Before(deadline) {
		for key := range left {
			if got, err := c.getWith(c.ctx, store, key); err != nil || !got.ok {
				delete(left, key)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	for key, ttl := range left {
		c.failf("an entry with a time to live of %v is still there after %v (%s)", ttl, long+expirySlack, key)
	}
	c.holds("an entry that was set anew with a longer life", store, cacheRoot+"extended", []byte("long"))
}

// deletesPrefixes sets keys that only look alike to a store that takes a prefix for
// a pattern.
func (c cacheSuite) deletesPrefixes(store authos.CacheStore) {
	for _, tc := range []struct {
		prefix     string
		gone, kept []string
	}{
		{"p/", []string{"p/", "p/a", "p/b/c", "p//"}, []string{"p", "p0", "pp/a", "P/a", "q/p/a", "p-/a"}},
		{"a_c/", []string{"a_c/x"}, []string{"abc/x"}},
		{"a%/", []string{"a%/x"}, []string{"abc/x", "a/x"}},
		{"a*/", []string{"a*/x"}, []string{"abc/x", "a/x"}},
		{"a?c/", []string{"a?c/x"}, []string{"abc/x"}},
		{"[ab]/", []string{"[ab]/x"}, []string{"a/x", "b/x"}},
		{`a\c/`, []string{`a\c/x`}, []string{"ac/x"}},
		{"a.c/", []string{"a.c/x"}, []string{"abc/x"}},
		{"nothing/", nil, []string{"p-/a"}},
	} {
		for _, key := range slices.Concat(tc.gone, tc.kept) {
			c.set(store, cacheRoot+key, []byte("v"), time.Minute)
		}
		c.deletePrefix(store, cacheRoot+tc.prefix)
		for _, key := range tc.gone {
			c.lacks(fmt.Sprintf("%q after the prefix %q was deleted", key, tc.prefix), store, cacheRoot+key)
		}
		for _, key := range tc.kept {
			c.holds(fmt.Sprintf("%q after the prefix %q was deleted", key, tc.prefix), store, cacheRoot+key, []byte("v"))
		}
	}
	const many = 300
	for i := range many {
		c.set(store, cacheRoot+"many/"+strconv.Itoa(i), []byte("v"), time.Minute)
	}
	c.deletePrefix(store, cacheRoot+"many/")
	for i := range many {
		if got, err := c.getWith(c.ctx, store, cacheRoot+"many/"+strconv.Itoa(i)); err == nil && got.ok {
			c.failf("of %d keys with a prefix that was deleted, number %d is still there", many, i)
			break
		}
	}
}

// survivesCancel allows a store to ignore a context that is done, or to fail.
func (c cacheSuite) survivesCancel(store authos.CacheStore) {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	key := cacheRoot + "canceled"
	c.set(store, key, []byte("old"), time.Minute)
	if got, err := c.getWith(ctx, store, key); err == nil && got.ok && string(got.value) != "old" {
		c.failf("Get with a canceled context returned a value that was never set")
	}
	err := c.returns(func() error { return store.Set(ctx, key, []byte("new"), time.Minute) })
	if got, getErr := c.getWith(c.ctx, store, key); err == nil && getErr == nil && string(got.value) != "new" {
		c.failf("Set with a canceled context returned no error and did not set")
	}
	err = c.returns(func() error { return store.DeletePrefix(ctx, cacheRoot) })
	if got, getErr := c.getWith(c.ctx, store, key); err == nil && getErr == nil && got.ok {
		c.failf("DeletePrefix with a canceled context returned no error and did not delete")
	}
}

// concurrent reads while others write and delete: what is read must have been set
// in one piece.
func (c cacheSuite) concurrent(store authos.CacheStore) {
	const key = cacheRoot + "busy/key"
	var group sync.WaitGroup
	var torn, failed sync.Once
	for worker := range 4 {
		group.Go(func() {
			for n := range 25 {
				c.set(store, key, bytes.Repeat([]byte{byte('a' + worker)}, 1000), time.Minute)
				if n%10 == 9 {
					c.deletePrefix(store, cacheRoot+"busy/")
				}
			}
		})
		group.Go(func() {
			for range 50 {
				got, err := c.getWith(c.ctx, store, key)
				switch {
				case err != nil:
					failed.Do(func() { c.failf("Get during a Set: %w", err) })
				case got.ok && (len(got.value) != 1000 || bytes.Count(got.value, got.value[:1]) != 1000):
					torn.Do(func() { c.failf("Get during a Set gave a value that was never set") })
				}
				time.Sleep(time.Microsecond) // or the clock of a synctest bubble would stand still
			}
		})
	}
	group.Wait()
}

// mixesNothing does random things to the entries of several principals, each of which carries its
// key: nobody gets another's, nor one from before its folder was forgotten.
func (c cacheSuite) mixesNothing(store authos.CacheStore) {
	const principals, paths, steps = 5, 4, 400
	random := rand.New(rand.NewPCG(1, 2)) // the same steps each time
	want := map[string]string{}
	for n := range steps {
		who := fmt.Sprintf("%smix/%d/", cacheRoot, random.IntN(principals))
		key := fmt.Sprintf("%sapi/%d", who, random.IntN(paths))
		switch random.IntN(8) {
		case 0:
			c.deletePrefix(store, who)
			maps.DeleteFunc(want, func(key, _ string) bool { return strings.HasPrefix(key, who) })
		case 1, 2, 3:
			want[key] = fmt.Sprintf("%s at step %d", key, n)
			c.set(store, key, []byte(want[key]), time.Minute)
		default:
			got, err := c.getWith(c.ctx, store, key)
			if c.broken("Get", err) {
				return
			}
			if value, ok := want[key]; got.ok != ok || string(got.value) != value {
				c.failf("after %d random steps a key gives %q (%v), want %q (%v)", n, got.value, got.ok, value, ok)
				return
			}
		}
	}
}
