//go:build unix

package pgstore_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/pgstore"
)

// PostgreSQL as it is found: behind a proxy, as a standby, failing over.

// TestPgBouncer: in transaction mode, where each statement may be on another connection and nothing
// of a session stays, and in statement mode.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			servertest.Need(t, servertest.RequirePostgres, "pgbouncer", "it is in the package pgbouncer of Debian and Ubuntu")
			s := migrated(t)
			addr := startPgBouncer(t, s.Addr, mode)
			url := "postgres://app@" + addr + "/postgres?sslmode=disable&pool_max_conns=8"
			a, b := newTokens(t, newPool(t, url), time.Minute), newTokens(t, newPool(t, url), time.Minute)
			for n := range 20 {
				unlock := lock(t, a)
				locked(t, b, 20*time.Millisecond)
				save(t, a, numbered(n))
				unlock()
				holds(t, b, numbered(n))
			}
			if err := a.Check(t.Context()); err != nil {
				t.Errorf("Check gave %v", err)
			}
			cache, err := pgstore.NewCacheStore(newPool(t, url), "web", pgstore.CacheOptions{Key: keyA})
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				set(t, cache, "a/b", "value")
				keeps(t, cache, "a/b", "value")
			}
		})
	}
}

func startPgBouncer(t *testing.T, database, mode string) (addr string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(database)
	addr, own := servertest.FreeAddr(t)
	dir := servertest.OpenFolder(t)
	config := filepath.Join(dir, "pgbouncer.ini")
	text := strings.Join([]string{
		"[databases]", "postgres = host=" + host + " port=" + port + " user=app dbname=postgres",
		"[pgbouncer]", "listen_addr = 127.0.0.1", "listen_port = " + own, "auth_type = any", "unix_socket_dir =",
		"pool_mode = " + mode, "default_pool_size = 3", "ignore_startup_parameters = extra_float_digits", "",
	}, "\n")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	command := servertest.AsPostgres("pgbouncer", config)
	servertest.Start(t, command[0], command[1:]...)
	servertest.Eventually(t, "pgbouncer listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return addr
}

// standbyOf starts a hot standby of a server.
func standbyOf(t *testing.T, primary *server) *server {
	t.Helper()
	return &server{servertest.StartStandby(t, primary.Postgres), t}
}

// TestStandby is refused, also for reading: it may give old tokens. Promoted while it lagged, it
// has old ones: who had seen newer tokens is told, and puts them back under the lock.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := migrated(t)
	save(t, primary.tokens(time.Minute), numbered(1))
	standby := standbyOf(t, primary)
	store := standby.tokens(time.Minute)
	_, loadErr := store.Load(t.Context())
	_, lockErr := store.Lock(t.Context())
	for what, err := range map[string]error{
		"Load": loadErr, "Lock": lockErr, "Save": store.Save(t.Context(), numbered(2)), "Check": store.Check(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "standby") {
			t.Errorf("%s gave %v, want that this is a standby", what, err)
		}
	}

	// The store's connections follow the failover, as a service name does.
	pool := newPool(t, "postgres://app@"+primary.Addr+","+standby.Addr+"/postgres?sslmode=disable&target_session_attrs=read-write")
	store = newTokens(t, pool, time.Minute)
	holds(t, store, numbered(1))
	rows := standby.pool()
	for _, sql := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if _, err := rows.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	servertest.Eventually(t, "the standby lags", func() bool {
		var links int
		err := rows.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&links)
		return err == nil && links == 0
	})
	save(t, store, numbered(2))
	primary.Kill()
	if _, err := rows.Exec(t.Context(), "SELECT pg_promote(true, 30)"); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the new primary responds", func() bool {
		_, err := store.Load(context.Background())
		return err == nil || errors.Is(err, pgstore.ErrBehind)
	})
	storetest.WentBack(t, store, standby.tokens(time.Minute))
}
