//go:build unix

package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/pgstore"
)

// requirePostgres makes a missing PostgreSQL a failure: CI installs one.
const requirePostgres = "AUTHOS_REQUIRE_POSTGRES"

var (
	keyA = pgstore.Key(bytes.Repeat([]byte("a"), 32))
	keyB = pgstore.Key(bytes.Repeat([]byte("b"), 32))
)

// server is a PostgreSQL of a test's own, on a loopback port, with its data in a folder of its own.
type server struct {
	t       testing.TB
	dir     string
	addr    string
	args    []string
	process *servertest.Process
}

// binary finds a program of PostgreSQL, which Debian keeps out of PATH.
func binary(t testing.TB, name string) string {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1]
	}
	servertest.Need(t, requirePostgres, name, "it is in the package postgresql of Debian and Ubuntu")
	return name
}

// asUser makes a command of PostgreSQL's, which refuses to run as root.
func asUser(command ...string) []string {
	if os.Getuid() != 0 {
		return command
	}
	return append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"}, command...)
}

var cluster struct {
	once sync.Once
	dir  string // a fresh database, which each server gets a copy of
	err  error
}

func startPostgres(t testing.TB, args ...string) *server {
	t.Helper()
	initdb := binary(t, "initdb")
	cluster.once.Do(func() {
		cluster.dir, cluster.err = os.MkdirTemp("", "pgstore") //nolint:usetesting // it outlives the test
		if cluster.err != nil {
			return
		}
		cluster.err = run(t, "chown", "-R", owner(), cluster.dir)
		if cluster.err == nil {
			command := asUser(initdb, "-D", cluster.dir+"/data", "-A", "trust", "-U", "app", "-E", "UTF8", "--no-sync", "--no-instructions")
			cluster.err = run(t, command[0], command[1:]...)
		}
	})
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	dir := openFolder(t)
	if err := errors.Join(run(t, "cp", "-a", cluster.dir+"/data", dir), run(t, "chown", "-R", owner(), dir)); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir + "/data", args: args}
	for try := range 5 { // another process may take the port before PostgreSQL does
		s.addr, _ = servertest.FreeAddr(t)
		if s.start() {
			return s
		}
		t.Logf("try %d: PostgreSQL did not start on %s", try, s.addr)
	}
	t.Fatal("PostgreSQL does not start")
	return nil
}

// openFolder makes a folder that PostgreSQL's user may enter, unlike the test's own.
func openFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore") //nolint:usetesting // as above
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func owner() string {
	if os.Getuid() == 0 {
		return "postgres"
	}
	return strconv.Itoa(os.Getuid())
}

func run(t testing.TB, command string, args ...string) error {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Dir = os.TempDir()
	if output, err := cmd.CombinedOutput(); err != nil {
		return errors.New(command + ": " + err.Error() + ": " + string(output))
	}
	return nil
}

// start runs the process and waits until it responds.
func (s *server) start() bool {
	s.t.Helper()
	_ = os.Remove(s.dir + "/postmaster.pid")
	_, port, _ := net.SplitHostPort(s.addr)
	command := asUser(slices.Concat([]string{
		binary(s.t, "postgres"), "-D", s.dir, "-p", port, "-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "max_connections=60",
	}, s.args)...)
	s.process = servertest.Start(s.t, command[0], command[1:]...)
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.url())
		if err == nil {
			_ = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.kill()
	return false
}

// kill ends PostgreSQL as a crash does. Its children notice soon.
func (s *server) kill() { s.process.Kill() }

func (s *server) signal(sig syscall.Signal) { s.process.Signal(sig) }

func (s *server) url() string { return "postgres://app@" + s.addr + "/postgres?sslmode=disable" }

func (s *server) pool() *pgxpool.Pool { return newPool(s.t, s.url()) }

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
	if cluster.dir != "" {
		_ = os.RemoveAll(cluster.dir)
	}
	os.Exit(code)
}
