//go:build unix

// Package servertest runs the servers that tests need. They end with the test, and also with its
// process, however that ends.
package servertest

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guard starts a server, prints its number, and kills it when its own input ends: with the test, or
// with the test's process. The server cannot have given its number to another process before.
const guard = `"$@" </dev/null >/dev/null 2>&1 & p=$!; echo "$p"; read _; kill -9 "$p" 2>/dev/null; wait "$p" 2>/dev/null; exit 0`

// Process is a server that runs.
type Process struct {
	t     testing.TB
	cmd   *exec.Cmd
	input io.Closer
	pid   int
}

// Start runs a command until the test ends.
func Start(t testing.TB, command string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", guard, "guard", command}, args...)...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, cmd: cmd, input: input}
	t.Cleanup(p.Kill)
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		t.Fatalf("starting %s: %v", command, err)
	}
	return p
}

// Kill ends the server as a crash does.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.input.Close()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// Signal sends the server a signal.
func (p *Process) Signal(sig syscall.Signal) {
	if p.cmd != nil {
		_ = syscall.Kill(p.pid, sig)
	}
}

// Need skips the test where a command is missing, or fails it where the environment variable
// require is set: CI installs what is needed.
func Need(t testing.TB, require, command, advice string) {
	t.Helper()
	if _, err := exec.LookPath(command); err == nil {
		return
	}
	if os.Getenv(require) != "" {
		t.Fatalf("%s is set and there is no %s", require, command)
	}
	t.Skipf("no %s; %s", command, advice)
}

// FreeAddr gives a port of loopback that nothing listens on, for the moment.
func FreeAddr(t testing.TB) (addr, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr = ln.Addr().String()
	_, port, _ = net.SplitHostPort(addr)
	return addr, port
}

// Eventually waits until ok reports so, or fails the test.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 10 s", what)
}
