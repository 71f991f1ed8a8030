//go:build unix

package servertest

import (
	"cmp"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// RequireRedis is the environment variable that makes a missing redis-server a failure, and
// RedisServer the one that names another program, such as valkey-server.
const (
	RequireRedis = "AUTHOS_REQUIRE_REDIS"
	RedisServer  = "AUTHOS_REDIS_SERVER"
)

// Durable makes Redis write every change to disk before it responds.
var Durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

// Redis is a redis-server of a test's own, on a loopback port, with its files in a folder of its
// own.
type Redis struct {
	Addr string

	t       testing.TB
	args    []string
	process *Process
}

// StartRedis starts one, with more arguments for it.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	Need(t, RequireRedis, redisServer(), "it is in the package redis-server of Debian and Ubuntu")
	s := &Redis{t: t}
	dir := t.TempDir()
	for try := range 5 { // another process may take the port before Redis does
		var port string
		s.Addr, port = FreeAddr(t)
		s.args = slices.Concat([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--loglevel", "warning"}, args)
		if s.Start() {
			return s
		}
		t.Logf("try %d: %s did not start on %s", try, redisServer(), s.Addr)
	}
	t.Fatal("redis-server does not start")
	return nil
}

func redisServer() string { return cmp.Or(os.Getenv(RedisServer), "redis-server") }

// StartSentinel starts a Sentinel that watches a primary under a name, alone, and takes it for down
// after a second.
func StartSentinel(t testing.TB, name, primary string) *Redis {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	s := &Redis{t: t}
	config := t.TempDir() + "/sentinel.conf"
	var own string
	s.Addr, own = FreeAddr(t)
	text := "port " + own + "\nbind 127.0.0.1\nsentinel monitor " + name + " " + host + " " + port + " 1\n" +
		"sentinel down-after-milliseconds " + name + " 1000\nsentinel failover-timeout " + name + " 3000\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config, "--sentinel"}
	if !s.Start() {
		t.Fatal("the Sentinel does not start")
	}
	return s
}

// Start runs the process and waits until it responds.
func (s *Redis) Start() bool {
	s.t.Helper()
	s.process = Start(s.t, redisServer(), s.args...)
	for range 2000 {
		if s.pings() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Kill()
	return false
}

func (s *Redis) pings() bool {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "PING\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	response := make([]byte, 5)
	_, err = io.ReadFull(conn, response)
	return err == nil && string(response) == "+PONG"
}

// Kill ends Redis as a crash does; with Durable its data is there when it starts again.
func (s *Redis) Kill() { s.process.Kill() }

// Freeze stops Redis where it is, until Thaw.
func (s *Redis) Freeze() { s.process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Redis) Thaw() { s.process.Signal(syscall.SIGCONT) }
