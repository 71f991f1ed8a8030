//go:build unix

package servertest

import (
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
)

// RequirePostgres is the environment variable that makes a missing PostgreSQL a failure.
const RequirePostgres = "AUTHOS_REQUIRE_POSTGRES"

// Postgres is a PostgreSQL of a test's own, on a loopback port, with its data in a folder of its
// own. Its user is "app", its database "postgres".
type Postgres struct {
	Addr string

	t       testing.TB
	dir     string
	args    []string
	process *Process
}

var cluster struct {
	once sync.Once
	dir  string // a fresh database, which each server gets a copy of
	err  error
}

// StartPostgres starts one, with more arguments for it.
func StartPostgres(t testing.TB, args ...string) *Postgres {
	t.Helper()
	initdb := PostgresProgram(t, "initdb")
	cluster.once.Do(func() { cluster.dir, cluster.err = makeCluster(initdb) })
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	dir := OpenFolder(t)
	if err := errors.Join(run("cp", "-a", cluster.dir+"/data", dir), run("chown", "-R", postgresOwner(), dir)); err != nil {
		t.Fatal(err)
	}
	s := &Postgres{t: t, dir: dir + "/data", args: args}
	s.launch()
	return s
}

func makeCluster(initdb string) (string, error) {
	dir, err := os.MkdirTemp("", "pgstore")
	if err != nil {
		return "", err
	}
	command := AsPostgres(initdb, "-D", dir+"/data", "-A", "trust", "-U", "app", "-E", "UTF8", "--no-sync", "--no-instructions")
	return dir, errors.Join(run("chown", "-R", postgresOwner(), dir), run(command[0], command[1:]...))
}

// RemoveCluster removes what the servers of a test's process were copied from.
func RemoveCluster() {
	if cluster.dir != "" {
		_ = os.RemoveAll(cluster.dir)
	}
}

// StartStandby starts a hot standby of a server, on a copy of its data.
func StartStandby(t testing.TB, primary *Postgres) *Postgres {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	dir := OpenFolder(t)
	command := AsPostgres(PostgresProgram(t, "pg_basebackup"),
		"-h", host, "-p", port, "-U", "app", "-D", dir+"/data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err := errors.Join(run("chown", postgresOwner(), dir), run(command[0], command[1:]...)); err != nil {
		t.Fatal(err)
	}
	s := &Postgres{t: t, dir: dir + "/data"}
	s.launch()
	return s
}

func (s *Postgres) launch() {
	s.t.Helper()
	for try := range 5 { // another process may take the port before PostgreSQL does
		s.Addr, _ = FreeAddr(s.t)
		if s.Start() {
			return
		}
		s.t.Logf("try %d: PostgreSQL did not start on %s", try, s.Addr)
	}
	s.t.Fatal("PostgreSQL does not start")
}

// Start runs the process and waits until it responds.
func (s *Postgres) Start() bool {
	s.t.Helper()
	_ = os.Remove(s.dir + "/postmaster.pid")
	host, port, _ := net.SplitHostPort(s.Addr)
	command := AsPostgres(slices.Concat([]string{
		PostgresProgram(s.t, "postgres"), "-D", s.dir, "-p", port, "-h", host, "-k", "", "-c", "fsync=off", "-c", "max_connections=60",
	}, s.args)...)
	ready := PostgresProgram(s.t, "pg_isready")
	// It ends at once where children of one that was killed still hold its memory.
	for _, patience := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second} {
		s.process = Start(s.t, command[0], command[1:]...)
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if run(ready, "-q", "-h", host, "-p", port) == nil {
				return true
			}
		}
		s.Kill()
		_ = os.Remove(s.dir + "/postmaster.pid")
	}
	return false
}

// Kill ends PostgreSQL as a crash does. Its children notice soon.
func (s *Postgres) Kill() { s.process.Kill() }

// Signal sends it a signal.
func (s *Postgres) Signal(sig syscall.Signal) { s.process.Signal(sig) }

// URL is what it is connected to by.
func (s *Postgres) URL() string { return "postgres://app@" + s.Addr + "/postgres?sslmode=disable" }

// PostgresProgram finds a program of PostgreSQL, which Debian keeps out of PATH.
func PostgresProgram(t testing.TB, name string) string {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1]
	}
	Need(t, RequirePostgres, name, "it is in the package postgresql of Debian and Ubuntu")
	return name
}

// AsPostgres makes a command of PostgreSQL's, which refuses to run as root.
func AsPostgres(command ...string) []string {
	if os.Getuid() != 0 {
		return command
	}
	return append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"}, command...)
}

// OpenFolder makes a folder that PostgreSQL's user may enter, unlike the test's own.
func OpenFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore") //nolint:usetesting // see above
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func postgresOwner() string {
	if os.Getuid() == 0 {
		return "postgres"
	}
	return strconv.Itoa(os.Getuid())
}

func run(command string, args ...string) error {
	cmd := exec.Command(command, args...)
	cmd.Dir = os.TempDir()
	if output, err := cmd.CombinedOutput(); err != nil {
		return errors.New(command + ": " + err.Error() + ": " + string(output))
	}
	return nil
}
