package webhook_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

func openFileSeen(t testing.TB, dir string) *webhook.FileSeen {
	t.Helper()
	store, err := webhook.NewFileSeen(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// filesBelow lists the files below a folder.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFileSeenAcceptance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	open := func() (webhook.SeenStore, error) { return webhook.NewFileSeen(dir) }
	if err := authostest.TestSeen(open, authostest.Persistent()); err != nil {
		t.Error(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range append(filesBelow(t, dir), dir) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v (%v): others can read it", path, info.Mode(), err)
		}
	}
}

// A receiver that is started anew remembers what it has handled, and so does another one beside it.
func TestFileSeenSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &program{}
	for _, want := range []string{"handled", "already handled", "already handled"} {
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: openFileSeen(t, dir)}.Handler(p.handle)
		wantResponse(t, deliver(t.Context(), h, testBody), 200, want)
	}
	p.wantCalls(t, 1)
}

// What is over is removed, as is what a process left that died while it wrote.
func TestFileSeenTakesNoMoreRoomThanItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		store := openFileSeen(t, dir)
		record := func(id string, ttl time.Duration) {
			if err := store.Record(t.Context(), id, ttl); err != nil {
				t.Fatal(err)
			}
		}
		ids := []string{"a", "b", "c", "d", "e"}
		for _, id := range ids {
			record(id, time.Hour)
		}
		time.Sleep(3 * time.Hour)
		files := filesBelow(t, dir)
		left, fresh := filepath.Join(filepath.Dir(files[0]), "new-left"), filepath.Join(filepath.Dir(files[0]), "new-fresh")
		for path, age := range map[string]time.Duration{left: 2 * time.Hour, fresh: time.Minute} {
			// The clock of files is the real one, not the bubble's of the year 2000.
			if err := errors.Join(os.WriteFile(path, []byte("12"), 0o600), os.Chtimes(path, time.Time{}, time.Now().Add(-age))); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			record(idBeside(id), 24*time.Hour)
		}
		if n := len(filesBelow(t, dir)); n != len(ids)+1 {
			t.Errorf("%d files, want the %d that are not over and what another process writes now: %q", n, len(ids), filesBelow(t, dir))
		}
	})
}

// idBeside is another id whose record is in the same subfolder.
func idBeside(id string) string {
	for i := 0; ; i++ {
		other := fmt.Sprint(id, i)
		if sha256.Sum256([]byte(other))[0] == sha256.Sum256([]byte(id))[0] {
			return other
		}
	}
}

// Who can put files into the folder decides which events are not handled: such folders are refused,
// and the error says why.
func TestFileSeenRefusesFoldersOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders have no modes and owners here")
	}
	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
		want    string
		root    bool
	}{
		{"group-writable", func(dir string) error { return os.Chmod(dir, 0o770) }, "its group or everybody may write to it", false},
		{"world-writable", func(dir string) error { return os.Chmod(dir, 0o777) }, "its group or everybody may write to it", false},
		{"another owner", func(dir string) error { return errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)) }, "it belongs to the user with the id 65534", true},
		{"a file", func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) }, "not a directory", false},
		{"a dangling link", func(dir string) error { return errors.Join(os.Remove(dir), os.Symlink("/nowhere/at/all", dir)) }, "folder of handled events", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("only root can give folders away")
			}
			dir := filepath.Join(t.TempDir(), "seen")
			if err := errors.Join(os.Mkdir(dir, 0o700), tt.prepare(dir)); err != nil {
				t.Fatal(err)
			}
			if _, err := webhook.NewFileSeen(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewFileSeen = %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := webhook.NewFileSeen(""); err == nil {
		t.Error("no folder at all was accepted")
	}
}

// Links do not lead out of the folder, and damage is an error that costs no event.
func TestFileSeenDamaged(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("99999999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(file string) error{
		"empty":           func(file string) error { return os.WriteFile(file, nil, 0o600) },
		"cut":             func(file string) error { return os.Truncate(file, 3) },
		"without its end": func(file string) error { return os.WriteFile(file, []byte("99999999999999"), 0o600) },
		"text":            func(file string) error { return os.WriteFile(file, []byte("for ever\n"), 0o600) },
		"a link outside":  func(file string) error { return errors.Join(os.Remove(file), os.Symlink(outside, file)) },
		"a folder":        func(file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "seen")
			store := openFileSeen(t, dir)
			if err := store.Record(t.Context(), "a", time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := harm(filesBelow(t, dir)[0]); err != nil {
				t.Fatal(err)
			}
			if seen, err := store.Seen(t.Context(), "a"); err == nil || seen {
				t.Errorf("Seen = %t, %v, want an error", seen, err)
			}
			if name == "a folder" {
				if err := store.Record(t.Context(), "a", time.Hour); err == nil {
					t.Error("recorded where it cannot be")
				}
				return
			}
			if err := store.Record(t.Context(), "a", time.Hour); err != nil {
				t.Errorf("recording anew: %v", err)
			}
			if seen, err := store.Seen(t.Context(), "a"); err != nil || !seen {
				t.Errorf("Seen = %t, %v after it was recorded anew", seen, err)
			}
			if got, err := os.ReadFile(outside); err != nil || string(got) != "99999999999999\n" {
				t.Errorf("the file outside holds %q, %v", got, err)
			}
		})
	}
}

// A disk that is full, or a folder that is gone, is an error and not a record.
func TestFileSeenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seen")
	store := openFileSeen(t, dir)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Record(t.Context(), "a", time.Hour); err == nil {
		t.Error("recorded after Close")
	}
	if _, err := store.Seen(t.Context(), "a"); err == nil {
		t.Error("looked up after Close")
	}
	again := openFileSeen(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := again.Record(t.Context(), "a", time.Hour); err == nil && runtime.GOOS != "windows" {
		t.Error("recorded in a folder that is gone")
	}
}

const childEnv = "AUTHOS_TEST_SEEN_CHILD"

// TestFileSeenChild is no test: it is the process that the next one kills.
func TestFileSeenChild(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("runs as a process of another test")
	}
	store, err := webhook.NewFileSeen(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		id := fmt.Sprint(os.Getpid(), " ", i)
		if err := store.Record(context.Background(), id, time.Hour); err != nil {
			t.Fatal(err)
		}
		fmt.Println("recorded", id)
	}
}

// Processes that share a folder are killed as they record: whatever was recorded is seen
// afterwards, nothing is damaged, and nothing stands in the way of the next one.
func TestFileSeenSurvivesKills(t *testing.T) {
	rounds, processes := 6, 3
	if testing.Short() {
		rounds = 2
	}
	dir := filepath.Join(t.TempDir(), "seen")
	store := openFileSeen(t, dir)
	total := 0
	for range rounds {
		var group sync.WaitGroup
		var mu sync.Mutex
		var recorded []string
		for range processes {
			group.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFileSeenChild$")
				cmd.Env = append(os.Environ(), childEnv+"="+dir)
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = cmd.Start()
				}
				if err != nil {
					t.Error(err)
					return
				}
				lines := bufio.NewScanner(out)
				for n := 0; lines.Scan(); {
					id, ok := strings.CutPrefix(lines.Text(), "recorded ")
					if !ok {
						continue
					}
					mu.Lock()
					recorded = append(recorded, id)
					mu.Unlock()
					if n++; n == 20 { // then whatever it has said until the signal arrives
						_ = cmd.Process.Kill()
					}
				}
				_ = cmd.Wait()
			})
		}
		group.Wait()
		for _, id := range recorded {
			if seen, err := store.Seen(t.Context(), id); err != nil || !seen {
				t.Errorf("%s was recorded before the process was killed: seen %t, %v", id, seen, err)
			}
		}
		total += len(recorded)
	}
	if total < rounds*processes*20 {
		t.Errorf("%d records: the processes did not run", total)
	}
	for _, file := range filesBelow(t, dir) {
		if strings.HasPrefix(filepath.Base(file), "new-") {
			continue // removed in an hour
		}
		if text, err := os.ReadFile(file); err != nil || len(text) != 14 {
			t.Errorf("%s holds %q, %v", file, text, err)
		}
	}
	t.Logf("%d records, %d kills", total, rounds*processes)
}

func BenchmarkFileSeen(b *testing.B) {
	b.ReportAllocs()
	store := openFileSeen(b, filepath.Join(b.TempDir(), "seen"))
	i := 0
	for b.Loop() {
		i++
		if err := store.Record(b.Context(), strconv.Itoa(i), time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
