//go:build unix

package pgstore_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/pgstore"
)

func newCache(t testing.TB, s *server, opts pgstore.CacheOptions) *pgstore.CacheStore {
	t.Helper()
	if opts.Key == nil {
		opts.Key = keyA
	}
	c, err := pgstore.NewCacheStore(s.pool(), "web", opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCacheStoreSuite(t *testing.T) {
	pool := migrated(t).pool()
	err := authostest.TestCacheStore(func() (authos.CacheStore, error) {
		return pgstore.NewCacheStore(pool, "web", pgstore.CacheOptions{Key: keyA})
	}, authostest.Persistent())
	if err != nil {
		t.Error(err)
	}
}

func TestResponsesAtRest(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	pool := s.pool()
	storetest.TestResponsesAtRest(t, storetest.Rest[authos.CacheStore]{
		Open: func(_ string, key pgstore.Key, old ...pgstore.Key) authos.CacheStore {
			return newCache(t, s, pgstore.CacheOptions{Key: key, OldKeys: old})
		},
		Raw: func(key string) (stored []byte) {
			if err := pool.QueryRow(t.Context(), "SELECT value FROM authos_cache WHERE key = $1", []byte(key)).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			return stored
		},
		Put: func(key string, value []byte) {
			if _, err := pool.Exec(t.Context(), "UPDATE authos_cache SET value = $2 WHERE key = $1", []byte(key), value); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// What is too large is refused, and leaves what was there.
func TestCacheLimits(t *testing.T) {
	t.Parallel()
	c := newCache(t, migrated(t), pgstore.CacheOptions{})
	set(t, c, "users/1", "value")
	for what, err := range map[string]error{
		"large value": c.Set(t.Context(), "users/1", make([]byte, 5<<20), time.Minute),
		"long key":    c.Set(t.Context(), strings.Repeat("k", 3000), nil, time.Minute),
		"no folder":   c.DeletePrefix(t.Context(), "users"),
	} {
		if err == nil {
			t.Errorf("%s = nil", what)
		}
	}
	keeps(t, c, "users/1", "value")
	if err := c.Set(t.Context(), "users/1", []byte("value"), 0); err != nil {
		t.Fatal(err)
	}
	keeps(t, c, "users/1", "")
}

// The longest key fits into an index row together with the longest namespace, whatever is in them.
func TestLongestCacheKey(t *testing.T) {
	t.Parallel()
	random := make([]byte, 2600+32) // so that PostgreSQL can make nothing shorter
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	key, namespace := string(random[:2600]), hex.EncodeToString(random[2600:])
	c, err := pgstore.NewCacheStore(migrated(t).pool(), namespace, pgstore.CacheOptions{Key: keyA})
	if err != nil {
		t.Fatal(err)
	}
	set(t, c, key, "value")
	keeps(t, c, key, "value")
	err = c.Set(t.Context(), key+"k", []byte("value"), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "its key has 2601 bytes") {
		t.Errorf("Set with a longer key = %v, want it refused for its length", err)
	}
}

// TestCachesApart: nothing done in one namespace shows in another.
func TestCachesApart(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	open := func(namespace string, entries int) authos.CacheStore {
		c, err := pgstore.NewCacheStore(s.pool(), namespace, pgstore.CacheOptions{Key: keyA, MaxEntries: entries})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, two := open("one", 50), open("two", 1000)
	set(t, one, "a/b", "1")
	set(t, two, "a/b", "2")
	if err := two.Set(t.Context(), "a/b", nil, 0); err != nil {
		t.Fatal(err)
	}
	keeps(t, one, "a/b", "1")
	for n := range 100 { // the last one tidies up
		if err := two.Set(t.Context(), fmt.Sprintf("a/%d", n), []byte("2"), time.Duration(1+n%2*int(time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 99 {
		set(t, one, fmt.Sprintf("a/%d", n%40), "1") // the last one tidies up
	}
	keeps(t, one, "a/b", "1")
	keeps(t, one, "a/39", "1")
	var ones, twos int
	err := s.pool().QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE namespace = 'one'), count(*) FILTER (WHERE namespace = 'two') FROM authos_cache").Scan(&ones, &twos)
	if err != nil || ones != 41 || twos > 51 {
		t.Errorf("%d and %d rows (%v), want 41, and about the 50 that have not expired", ones, twos, err)
	}
	for _, prefix := range []string{"a/", ""} {
		if err := two.DeletePrefix(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
	}
	keeps(t, one, "a/b", "1")
}

// TestCacheIsBounded: what expires first makes room, and what has expired does not stay. Each
// hundredth Set sees to that, and the others do not take the time.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	c := newCache(t, s, pgstore.CacheOptions{MaxEntries: 50})
	put := func(key string, ttl time.Duration) {
		t.Helper()
		if err := c.Set(t.Context(), key, []byte("value"), ttl); err != nil {
			t.Fatal(err)
		}
	}
	pool := s.pool()
	count := func() (rows, expired int) {
		t.Helper()
		err := pool.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE expires_at < now()) FROM authos_cache").Scan(&rows, &expired)
		if err != nil {
			t.Fatal(err)
		}
		return rows, expired
	}
	for n := range 100 {
		put(fmt.Sprintf("old/%d", n), time.Microsecond)
		if rows, _ := count(); rows != (n+1)%100 {
			t.Fatalf("%d rows after %d that have expired at once, want %d", rows, n+1, (n+1)%100)
		}
	}
	for n := range 300 {
		put(fmt.Sprintf("new/%d", n), time.Duration(n+1)*time.Minute)
	}
	rows, expired := count()
	if rows > 150 || expired > 0 {
		t.Errorf("%d rows, of which %d have expired, want about 50 and none", rows, expired)
	}
	keeps(t, c, "new/299", "value")
	keeps(t, c, "new/0", "")
	if err := c.DeletePrefix(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	keeps(t, c, "new/299", "")
}
