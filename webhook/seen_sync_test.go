//go:build linux

package webhook_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/webhook"
)

const syncEnv = "AUTHOS_TEST_SEEN_SYNC"

// TestFileSeenSyncChild is no test: it is the process that the next one traces.
func TestFileSeenSyncChild(t *testing.T) {
	dir := os.Getenv(syncEnv)
	if dir == "" {
		t.Skip("runs as a process of another test")
	}
	store, err := webhook.NewFileSeen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Record(context.Background(), "a", time.Hour); err != nil {
		t.Fatal(err)
	}
}

// A machine that loses power after Record returned has the record: the file is synced before it
// gets its name, and the folders after they got a new one.
func TestFileSeenIsSynced(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	dir := filepath.Join(t.TempDir(), "seen")
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-y", "-o", log, "-e", "trace=fsync,renameat,renameat2,mkdirat,mkdir",
		os.Args[0], "-test.run=^TestFileSeenSyncChild$")
	cmd.Env = append(os.Environ(), syncEnv+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skipf("may not trace here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	traced, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	text := wholeCalls(string(traced))
	var calls []string
	for _, row := range []struct{ name, pattern string }{
		{"subfolder made", `(?m)mkdirat\(.*"[0-9a-f]{2}", 0700\) += 0`},
		{"its name synced", `(?m)fsync\(\d+<\S*/seen>\) += 0`},
		{"file synced", `(?m)fsync\(\d+<\S*/seen/[0-9a-f]{2}/new-\w+>\) += 0`},
		{"file renamed", `(?m)renameat2?\(.*new-.*\) += 0`},
		{"its name synced", `(?m)fsync\(\d+<\S*/seen/[0-9a-f]{2}>\) += 0`},
	} {
		at := regexp.MustCompile(row.pattern).FindStringIndex(text)
		if at == nil {
			t.Fatalf("after %q there is no call that matches %q:\n%s", calls, row.name, text)
		}
		calls, text = append(calls, row.name), text[at[1]:]
	}
}

// wholeCalls joins the two halves of each call during which another thread did something.
func wholeCalls(traced string) string {
	var out strings.Builder
	begun := map[string]string{} // by thread
	for line := range strings.Lines(traced) {
		thread, call, _ := strings.Cut(line, " ")
		if half, ok := strings.CutSuffix(strings.TrimSpace(call), " <unfinished ...>"); ok {
			begun[thread] = half
			continue
		}
		if _, half, ok := strings.Cut(call, " resumed>"); ok {
			call = begun[thread] + half
		}
		out.WriteString(call)
	}
	return out.String()
}
