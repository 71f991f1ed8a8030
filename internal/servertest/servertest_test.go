//go:build unix

package servertest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos/internal/servertest"
)

const childEnv = "AUTHOS_TEST_SERVERTEST_CHILD"

// TestChild is the process of a test that dies.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("runs in the process that another test starts")
	}
	servertest.Start(t, "sh", "-c", `echo $$ >"$0"; exec sleep 600`, os.Getenv(childEnv))
	fmt.Println("started")
	time.Sleep(time.Minute)
}

// A server ends with the test's process, which has no time to clean up.
func TestServerEndsWithTheProcess(t *testing.T) {
	file := t.TempDir() + "/pid"
	child := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	child.Env = append(os.Environ(), childEnv+"="+file)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	servertest.Eventually(t, "the server starts", func() bool {
		text, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	servertest.Eventually(t, "the server ends", func() bool { return syscall.Kill(pid, 0) != nil })
}
