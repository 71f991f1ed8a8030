//go:build unix

package pgstore_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
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

func set(t testing.TB, c authos.CacheStore, key, value string, ttl time.Duration) {
	t.Helper()
	if err := c.Set(context.Background(), key, []byte(value), ttl); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

func keeps(t testing.TB, c authos.CacheStore, key, want string) {
	t.Helper()
	got, ok, err := c.Get(context.Background(), key)
	if err != nil || !ok || string(got) != want {
		t.Fatalf("Get(%q) = %q, %v, %v, want %q", key, got, ok, err, want)
	}
}

func lacks(t testing.TB, c authos.CacheStore, key string) {
	t.Helper()
	if _, ok, err := c.Get(context.Background(), key); err != nil || ok {
		t.Fatalf("Get(%q) = %v, %v, want nothing", key, ok, err)
	}
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

// TestCacheAtRest: values are encrypted and bound to their keys, namespaces and keys apart.
func TestCacheAtRest(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	pool := s.pool()
	a, rotated := newCache(t, s, pgstore.CacheOptions{}), newCache(t, s, pgstore.CacheOptions{Key: keyB, OldKeys: []pgstore.Key{keyA}})
	set(t, a, "users/1", "the secret response", time.Minute)
	set(t, a, "users/2", "another", time.Minute)
	var stored []byte
	if err := pool.QueryRow(t.Context(), "SELECT value FROM authos_cache WHERE key = 'users/1'").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(stored, []byte("secret")) {
		t.Error("a response can be read in the database")
	}
	keeps(t, rotated, "users/1", "the secret response")
	refused := func(what string, c *pgstore.CacheStore, key string) {
		t.Helper()
		got, ok, err := c.Get(t.Context(), key)
		if err == nil || ok || got != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Get gave %q, %v, %v, want an error alone", what, got, ok, err)
		}
	}
	refused("another key", newCache(t, s, pgstore.CacheOptions{Key: keyB}), "users/1")
	if _, err := pool.Exec(t.Context(), "UPDATE authos_cache SET value = $1 WHERE key = 'users/2'", stored); err != nil {
		t.Fatal(err)
	}
	refused("moved from another row", a, "users/2")
	stored[len(stored)-1] ^= 1
	if _, err := pool.Exec(t.Context(), "UPDATE authos_cache SET value = $1 WHERE key = 'users/1'", stored); err != nil {
		t.Fatal(err)
	}
	refused("tampered with", a, "users/1")
	for what, err := range map[string]error{
		"large value": a.Set(t.Context(), "k", make([]byte, 5<<20), time.Minute),
		"long key":    a.Set(t.Context(), strings.Repeat("k", 3000), nil, time.Minute),
		"no folder":   a.DeletePrefix(t.Context(), "users"),
	} {
		if err == nil {
			t.Errorf("%s = nil", what)
		}
	}
	set(t, a, "gone", "value", time.Minute)
	set(t, a, "gone", "value", 0)
	lacks(t, a, "gone")
}

// TestCacheIsBounded: what expires first makes room, and what has expired does not stay.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	c := newCache(t, s, pgstore.CacheOptions{MaxEntries: 50})
	for n := range 100 {
		set(t, c, fmt.Sprintf("old/%d", n), "value", time.Millisecond)
	}
	for n := range 300 {
		set(t, c, fmt.Sprintf("new/%d", n), "value", time.Duration(n+1)*time.Minute)
	}
	var rows, expired int
	if err := s.pool().QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE expires_at < now()) FROM authos_cache").Scan(&rows, &expired); err != nil {
		t.Fatal(err)
	}
	if rows > 150 || expired > 0 {
		t.Errorf("%d rows, of which %d have expired, want about 50 and none", rows, expired)
	}
	keeps(t, c, "new/299", "value")
	lacks(t, c, "new/0")
	other, err := pgstore.NewCacheStore(s.pool(), "other", pgstore.CacheOptions{Key: keyA})
	if err != nil {
		t.Fatal(err)
	}
	lacks(t, other, "new/299")
	if err := other.DeletePrefix(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	keeps(t, c, "new/299", "value")
	if err := c.DeletePrefix(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	lacks(t, c, "new/299")
}
