//go:build unix

package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/pgstore"
)

var (
	keyA = pgstore.Key(bytes.Repeat([]byte("a"), 32))
	keyB = pgstore.Key(bytes.Repeat([]byte("b"), 32))
)

// server is a PostgreSQL of a test's own.
type server struct {
	*servertest.Postgres

	t testing.TB
}

func startPostgres(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{servertest.StartPostgres(t, args...), t}
}

func (s *server) pool() *pgxpool.Pool { return newPool(s.t, s.URL()) }

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// migrated is a server with the tables.
func migrated(t testing.TB, args ...string) *server {
	t.Helper()
	s := startPostgres(t, args...)
	if err := pgstore.Migrate(context.Background(), s.pool()); err != nil {
		t.Fatal(err)
	}
	return s
}

// tokens makes a store of its own, with a pool of its own, on the session "worker", whose lock
// outlives its holder by ttl.
func (s *server) tokens(ttl time.Duration) *pgstore.TokenStore { return newTokens(s.t, s.pool(), ttl) }

func newTokens(t testing.TB, pool *pgxpool.Pool, ttl time.Duration) *pgstore.TokenStore {
	t.Helper()
	store, err := pgstore.NewTokenStore(pool, "worker", pgstore.TokenOptions{Key: keyA})
	if err != nil {
		t.Fatal(err)
	}
	return pgstore.Shorten(store, ttl)
}

func numbered(n int) authos.Tokens {
	return authos.Tokens{AccessToken: "access-" + strconv.Itoa(n), RefreshToken: "refresh-" + strconv.Itoa(n)}
}

func save(t testing.TB, store authos.TokenStore, want authos.Tokens) {
	t.Helper()
	if err := store.Save(context.Background(), want); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// holds checks what a store gives back, without printing it.
func holds(t testing.TB, store authos.TokenStore, want authos.Tokens) {
	t.Helper()
	got, err := store.Load(context.Background())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if got.AccessToken != want.AccessToken || got.RefreshToken != want.RefreshToken {
		t.Fatalf("Load gave %.12q, want %.12q", got.AccessToken, want.AccessToken)
	}
}

func lock(t testing.TB, store authos.LockingTokenStore) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	unlock, err := store.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	return unlock
}

// locked reports that the lock cannot be had within patience.
func locked(t testing.TB, store authos.LockingTokenStore, patience time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	unlock, err := store.Lock(ctx)
	if err == nil {
		unlock()
		t.Fatal("Lock succeeded while another held the lock")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lock of a lock that is held: %v, want it to wait until the context's end", err)
	}
}

func TestMain(m *testing.M) {
	authostest.FleetMember(openMember)
	code := m.Run()
	servertest.RemoveCluster()
	os.Exit(code)
}
