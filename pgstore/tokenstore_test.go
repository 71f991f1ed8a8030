//go:build unix

package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/pgstore"
)

func TestTokenStoreSuite(t *testing.T) {
	pool := migrated(t).pool()
	err := authostest.TestTokenStore(func() (authos.TokenStore, error) {
		store, err := pgstore.NewTokenStore(pool, "worker", pgstore.TokenOptions{Key: keyA})
		if err == nil {
			pgstore.Shorten(store, time.Second)
		}
		return store, err
	}, authostest.Persistent(), authostest.LockEnds(time.Second))
	if err != nil {
		t.Error(err)
	}
}

func TestBadArguments(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://app@127.0.0.1:1/postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	short := pgstore.Key("short")
	type tokens = pgstore.TokenOptions
	type cache = pgstore.CacheOptions
	for _, tc := range []struct {
		name   string
		make   func() (any, error)
		fields []string // that the error names; none: it is fine
	}{
		{"defaults", func() (any, error) { return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA}) }, nil},
		{"shortest lock", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA, LockTTL: 45 * time.Second})
		}, nil},
		{"longest lock", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA, OldKeys: []pgstore.Key{keyB}, LockTTL: 10 * time.Minute})
		}, nil},
		{"longest name", func() (any, error) { return pgstore.NewTokenStore(pool, strings.Repeat("n", 1024), tokens{Key: keyA}) }, nil},
		{"no key", func() (any, error) { return pgstore.NewTokenStore(pool, "n", tokens{}) }, []string{"Key"}},
		{"old keys alone", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{OldKeys: []pgstore.Key{keyA}})
		}, []string{"Key"}},
		{"everything", func() (any, error) {
			return pgstore.NewTokenStore(nil, "", tokens{Key: short, OldKeys: []pgstore.Key{short}, LockTTL: time.Second})
		}, []string{"pool", "name", "Key", "OldKeys", "LockTTL"}},
		{"name that is no text", func() (any, error) { return pgstore.NewTokenStore(pool, "\xff", tokens{Key: keyA}) }, []string{"name"}},
		{"name with NUL", func() (any, error) { return pgstore.NewTokenStore(pool, "a\x00", tokens{Key: keyA}) }, []string{"name"}},
		{"long name", func() (any, error) { return pgstore.NewTokenStore(pool, strings.Repeat("n", 1025), tokens{Key: keyA}) }, []string{"name"}},
		{"lock ends too early", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA, LockTTL: 44 * time.Second})
		}, []string{"LockTTL"}},
		{"lock ends too late", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA, LockTTL: time.Hour})
		}, []string{"LockTTL"}},
		{"cache, defaults", func() (any, error) { return pgstore.NewCacheStore(pool, "n", cache{Key: keyA}) }, nil},
		{"cache, smallest", func() (any, error) {
			return pgstore.NewCacheStore(pool, "n", cache{Key: keyA, MaxValueBytes: 1, MaxEntries: 1})
		}, nil},
		{"cache, largest", func() (any, error) {
			return pgstore.NewCacheStore(pool, strings.Repeat("n", 64), cache{Key: keyA, MaxValueBytes: 16 << 20})
		}, nil},
		{"cache, everything", func() (any, error) {
			return pgstore.NewCacheStore(nil, "", cache{MaxValueBytes: -1, MaxEntries: -1})
		}, []string{"pool", "namespace", "Key", "MaxValueBytes", "MaxEntries"}},
		{"cache, too large", func() (any, error) {
			return pgstore.NewCacheStore(pool, strings.Repeat("n", 65), cache{Key: keyA, MaxValueBytes: 1 << 30})
		}, []string{"namespace", "MaxValueBytes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.make()
			var fields []string
			if e, ok := errors.AsType[*authos.ValidationError](err); ok {
				for _, f := range e.Fields {
					fields = append(fields, f.Field)
				}
			}
			slices.Sort(fields)
			want := slices.Sorted(slices.Values(tc.fields))
			if !slices.Equal(fields, want) || (err == nil) != (want == nil) {
				t.Errorf("error %v names the fields %q, want %q", err, fields, want)
			}
		})
	}
}

func TestTokensAtRest(t *testing.T) {
	pool := migrated(t).pool()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	storetest.TestTokensAtRest(t, storetest.Rest[authos.TokenStore]{
		Open: func(session string, key pgstore.Key, old ...pgstore.Key) authos.TokenStore {
			store, err := pgstore.NewTokenStore(pool, session, pgstore.TokenOptions{Key: key, OldKeys: old})
			if err != nil {
				t.Fatal(err)
			}
			return store
		},
		Raw: func(session string) (stored []byte) {
			if err := pool.QueryRow(t.Context(), "SELECT tokens FROM authos_sessions WHERE name = $1", session).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			return stored
		},
		Put: func(session string, value []byte) {
			exec("UPDATE authos_sessions SET tokens = $2 WHERE name = $1", session, value)
		},
		Move: func(from, to string) {
			exec("DELETE FROM authos_sessions WHERE name = $1", to)
			exec("INSERT INTO authos_sessions (name, sequence, tokens) SELECT $2, sequence, tokens FROM authos_sessions WHERE name = $1", from, to)
		},
	})
}

// TestUnlockLeavesTheTokens alone, and nothing of a session without any.
func TestUnlockLeavesTheTokens(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	store, pool := s.tokens(time.Minute), s.pool()
	unlock := lock(t, store)
	save(t, store, numbered(1))
	unlock()
	var free bool
	err := pool.QueryRow(t.Context(), "SELECT owner IS NULL AND until IS NULL FROM authos_sessions").Scan(&free)
	if err != nil || !free {
		t.Errorf("the row of a lock that was released is free: %v, %v", free, err)
	}
	if err := store.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM authos_sessions").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left of a deleted session (%v)", left, err)
	}
}

func TestNothingIsShown(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://app@127.0.0.1:1/postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	secret := "0123456789abcdefghijklmnopqrstuv"
	key := pgstore.Key(secret)
	opts := pgstore.TokenOptions{Key: key, OldKeys: []pgstore.Key{key}}
	cacheOpts := pgstore.CacheOptions{Key: key, OldKeys: opts.OldKeys}
	tokens, err := pgstore.NewTokenStore(pool, "k", opts)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := pgstore.NewCacheStore(pool, "p", cacheOpts)
	if err != nil {
		t.Fatal(err)
	}
	storetest.NothingShown(t, secret, opts.Key, opts, &opts, cacheOpts, tokens, cache)
	storetest.Named(t, tokens, "pgstore.TokenStore(k)")
	storetest.Named(t, cache, "pgstore.CacheStore(p)")
}

// TestCheck tells what is wrong with a database when the program starts.
func TestCheck(t *testing.T) {
	s := startPostgres(t)
	store := s.tokens(time.Minute)
	want := func(text string) {
		t.Helper()
		if err := store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Check gave %v, want %q", err, text)
		}
	}
	withoutTables(t, s)
	migrate(t, s)
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("Check gave %v", err)
	}
	store = newTokens(t, newPool(t, s.URL()+"&synchronous_commit=off"), time.Minute)
	want("synchronous_commit")
	store = newTokens(t, newPool(t, "postgres://app@127.0.0.1:1/postgres?sslmode=disable"), time.Minute)
	want("127.0.0.1")
}

// withoutTables checks that every use of a store says what is to be done, and does not wait.
func withoutTables(t *testing.T, s *server) {
	t.Helper()
	store, cache := s.tokens(time.Minute), newCache(t, s, pgstore.CacheOptions{})
	seen, err := pgstore.NewSeenStore(s.pool(), "mailer")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, loadErr := store.Load(ctx)
	_, lockErr := store.Lock(ctx)
	_, _, getErr := cache.Get(ctx, "a/b")
	_, seenErr := seen.Seen(ctx, "e1")
	for what, err := range map[string]error{
		"Check": store.Check(ctx), "Load": loadErr, "Lock": lockErr, "Save": store.Save(ctx, numbered(1)), "Delete": store.Delete(ctx),
		"Get": getErr, "Set": cache.Set(ctx, "a/b", nil, time.Minute), "DeletePrefix": cache.DeletePrefix(ctx, "a/"),
		"Seen": seenErr, "Record": seen.Record(ctx, "e1", time.Minute),
	} {
		if err == nil || !strings.Contains(err.Error(), "Migrate") || strings.Contains(err.Error(), "in time") {
			t.Errorf("%s without tables gave %v, want at once what is to be done", what, err)
		}
	}
}

// migrate runs it in many processes at once, and again.
func migrate(t *testing.T, s *server) {
	t.Helper()
	done := make(chan error)
	for range 8 {
		go func() { done <- pgstore.Migrate(context.Background(), s.pool()) }()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Errorf("Migrate gave %v", err)
		}
	}
}

// Somebody else makes tables, and does not end: Migrate says that it waited for that one.
func TestMigrateWaitsForAnother(t *testing.T) {
	t.Parallel()
	s := startPostgres(t)
	tx, err := s.pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", int64(0x617574686f73)); err != nil {
		t.Fatal(err)
	}
	err = pgstore.Migrate(t.Context(), newPool(t, s.URL()+"&lock_timeout=50ms"))
	if err == nil || !strings.Contains(err.Error(), "lock timeout") {
		t.Errorf("Migrate beside another = %v, want that it waited for a lock", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	migrate(t, s)
}
