//go:build unix

package filestore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
	"github.com/authos-go/authos/internal/killtest"
)

// openMember opens the store of a fleet's member. The fake server is done much sooner than a real
// one.
func openMember(path string) (authos.LockingTokenStore, error) {
	s, err := filestore.New(path)
	if err == nil {
		s.SetQuiet(authostest.FleetLockTTL)
	}
	return s, err
}

func TestMain(m *testing.M) {
	authostest.FleetMember(openMember)
	killtest.Process(killtest.Store{Open: openKilled})
	os.Exit(m.Run())
}

// Processes share a session whose access tokens live for 200 ms. Some are killed, at random and in
// the middle of refreshes, some are frozen for longer than a dead holder's lock is kept.
func TestFleet(t *testing.T) {
	fleet := authostest.Fleet{Open: openMember, Where: newPath(t), LockStays: true}
	if os.Getenv("AUTHOS_LONG_TESTS") == "" {
		fleet.Size, fleet.Calls, fleet.Fates = 4, 700, 2
	}
	summary, err := authostest.TestTokenStoreFleet(fleet)
	t.Log(summary)
	must(t, "TestTokenStoreFleet", err)
}

const (
	dieAtEnv = "AUTHOS_TEST_DIE_AT"
	pathEnv  = "AUTHOS_TEST_PATH"
)

// TestDyingProcess is the program of a process that dies in the middle of the store's work.
func TestDyingProcess(t *testing.T) {
	at := os.Getenv(dieAtEnv)
	if at == "" {
		t.Skip("runs in the processes that another test starts")
	}
	store := open(t, os.Getenv(pathEnv))
	store.OnStep(func(step string) {
		if step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	unlock := lock(t, store)
	must(t, "Save", store.Save(t.Context(), fresh))
	unlock()
}

// A process dies between any two steps: the store has the tokens before or the new ones, whole, and
// once the next one has the lock, the new ones if they were written. A death under the lock is
// waited out, one before or after it is not.
func TestProcessDiesInSave(t *testing.T) {
	for _, tc := range []struct {
		step           string
		found, settled authos.Tokens
		waits          bool
	}{
		{"acquired", old, old, false},
		{"copy created", old, old, false},
		{"copy written", old, old, false},
		{"copy renamed", old, old, false},
		{"reserved", old, old, false},
		{"marked", old, old, true},
		{"created", old, old, true},
		{"written", old, fresh, true},
		{"flushed", old, fresh, true},
		{"renamed", fresh, fresh, true},
		{"unmarked", fresh, fresh, false},
	} {
		t.Run(tc.step, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			must(t, "Save", s.Save(t.Context(), old))
			child := exec.Command(os.Args[0], "-test.run=^TestDyingProcess$", "-test.timeout=1m")
			child.Env = append(os.Environ(), dieAtEnv+"="+tc.step, pathEnv+"="+path)
			output, _ := child.CombinedOutput() // it is killed
			if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the process ended with %v, want it killed: %s", child.ProcessState, output)
			}
			equal(t, "found", load(t, open(t, path)), tc.found)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			unlock, err := s.Lock(ctx)
			if (err != nil) != tc.waits {
				t.Errorf("Lock = %v, want it to wait: %v", err, tc.waits)
			}
			if err != nil {
				s.SetQuiet(0)
				unlock = lock(t, s)
			}
			equal(t, "found by the next holder", load(t, s), tc.settled)
			unlock()
			equal(t, "files", names(t, filepath.Dir(path)), "tokens.json tokens.json.held tokens.json.lock")
		})
	}
}
