//go:build unix

package pgstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
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
		{"longest lock", func() (any, error) {
			return pgstore.NewTokenStore(pool, "n", tokens{Key: keyA, OldKeys: []pgstore.Key{keyB}, LockTTL: 10 * time.Minute})
		}, nil},
		{"no key", func() (any, error) { return pgstore.NewTokenStore(pool, "n", tokens{}) }, []string{"Key"}},
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
	open := func(name string, opts pgstore.TokenOptions) *pgstore.TokenStore {
		store, err := pgstore.NewTokenStore(pool, name, opts)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	raw := func(name string) (b []byte) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT tokens FROM authos_sessions WHERE name = $1", name).Scan(&b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(name string, value []byte) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), "UPDATE authos_sessions SET tokens = $2 WHERE name = $1", name, value); err != nil {
			t.Fatal(err)
		}
	}
	tokens := authos.Tokens{AccessToken: "the-access-token", RefreshToken: "the-refresh-token", ExpiresAt: time.Now().Add(time.Hour)}
	refused := func(what string, store *pgstore.TokenStore) {
		t.Helper()
		got, err := store.Load(t.Context())
		if err == nil || got != (authos.Tokens{}) {
			t.Errorf("%s: Load gave %v and %v, want an error alone", what, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "token-") {
			t.Errorf("%s: the error %q shows the value", what, err)
		}
	}
	a, b := open("one", pgstore.TokenOptions{Key: keyA}), open("one", pgstore.TokenOptions{Key: keyB})
	rotated := open("one", pgstore.TokenOptions{Key: keyB, OldKeys: []pgstore.Key{keyA}})
	other := open("two", pgstore.TokenOptions{Key: keyA})

	save(t, a, tokens)
	first := raw("one")
	if bytes.Contains(first, []byte("refresh")) {
		t.Error("the refresh token can be read in the database")
	}
	refused("another key", b)
	holds(t, rotated, tokens)
	save(t, other, numbered(1))
	put("two", first)
	refused("moved from another row", other)
	save(t, a, tokens)
	put("one", first)
	refused("an old value put in the newer one's place", a)
	for _, foreign := range []string{"", "x", "c", "c{", "hello", `c{"access_token":"YWJj"}`} {
		put("one", []byte(foreign))
		refused("foreign value "+foreign, a)
	}
	save(t, rotated, tokens)
	refused("the old key alone, after a rotation", a)
	holds(t, b, tokens)
	for _, odd := range []authos.Tokens{tokens, {AccessToken: "\xff\xfe", RefreshToken: "\x00<\u2028>"}} {
		save(t, b, odd)
		holds(t, b, odd)
	}
	for name, bad := range map[string]authos.Tokens{
		"date":  {AccessToken: "token-", ExpiresAt: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"large": {AccessToken: "token-" + strings.Repeat("x", 1<<20)},
	} {
		if err := b.Save(t.Context(), bad); err == nil || strings.Contains(err.Error(), "20000") || strings.Contains(err.Error(), "token-") {
			t.Errorf("%s: Save gave %.100v, want an error without the tokens", name, err)
		}
	}
	if err := b.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, b, authos.Tokens{})
	var left int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM authos_sessions WHERE name = 'one'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of a deleted session are left (%v)", left, err)
	}
}

// TestNothingIsShown prints everything that holds a key, in every way.
func TestNothingIsShown(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://app@127.0.0.1:1/postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	secret := "0123456789abcdefghijklmnopqrstuv"
	opts := pgstore.TokenOptions{Key: pgstore.Key(secret), OldKeys: []pgstore.Key{pgstore.Key(secret)}}
	cacheOpts := pgstore.CacheOptions{Key: opts.Key, OldKeys: opts.OldKeys}
	tokens, err := pgstore.NewTokenStore(pool, "k", opts)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := pgstore.NewCacheStore(pool, "p", cacheOpts)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{opts.Key, opts, &opts, cacheOpts, tokens, cache} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		logger.Info("value", "v", v)
		if b, err := json.Marshal(v); err == nil {
			log.Write(b)
		}
	}
	for _, shape := range []string{secret[:8], fmt.Sprintf("%x", secret[:8]), "MDEyMzQ1", "48 49 50 51"} {
		if strings.Contains(log.String(), shape) {
			t.Errorf("the key is shown, as %q", shape)
		}
	}
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
	want("Migrate")
	if _, err := store.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "Migrate") {
		t.Errorf("Load without tables gave %v", err)
	}
	migrate(t, s)
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("Check gave %v", err)
	}
	store = newTokens(t, newPool(t, s.URL()+"&synchronous_commit=off"), time.Minute)
	want("synchronous_commit")
	store = newTokens(t, newPool(t, "postgres://app@127.0.0.1:1/postgres?sslmode=disable"), time.Minute)
	want("127.0.0.1")
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
