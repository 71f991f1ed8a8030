//go:build unix

package pgstore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/pgstore"
)

// What the tests of both databases use.
var (
	keyA, keyB                        = storetest.KeyA, storetest.KeyB
	numbered, save, holds, set, keeps = storetest.Numbered, storetest.Save, storetest.Holds, storetest.Set, storetest.Keeps
	lock, locked                      = storetest.Lock, storetest.Locked
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

// tracedPool is one of whose statements the tracer hears.
func tracedPool(t testing.TB, url string, tracer pgx.QueryTracer) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
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
	return newSession(t, pool, "worker", ttl)
}

func newSession(t testing.TB, pool *pgxpool.Pool, name string, ttl time.Duration) *pgstore.TokenStore {
	t.Helper()
	store, err := pgstore.NewTokenStore(pool, name, pgstore.TokenOptions{Key: keyA})
	if err != nil {
		t.Fatal(err)
	}
	return pgstore.Shorten(store, ttl)
}

func TestMain(m *testing.M) {
	authostest.FleetMember(openMember)
	code := m.Run()
	servertest.RemoveCluster()
	os.Exit(code)
}
