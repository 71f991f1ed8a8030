package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func fileStore(t *testing.T, path string) *authos.FileTokenStore {
	t.Helper()
	s, err := authos.NewFileTokenStore(path)
	if err != nil {
		t.Fatalf("NewFileTokenStore = %v", err)
	}
	return s
}

func filePath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "tokens.json")
}

func filePut(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
}

// fileNames lists a folder.
func fileNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func fileModes(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes here")
	}
}

var (
	fileOld = authos.Tokens{AccessToken: "access-old", RefreshToken: "refresh-old", ExpiresAt: time.Unix(1_800_000_000, 123_000_000).UTC()}
	fileNew = authos.Tokens{AccessToken: "access-new", RefreshToken: "refresh-new"}
)

func fileLoad(t *testing.T, s authos.TokenStore) authos.Tokens {
	t.Helper()
	got, err := s.Load(t.Context())
	stMust(t, "Load", err)
	return got
}

func fileLock(t *testing.T, s *authos.FileTokenStore) func() {
	t.Helper()
	unlock, err := s.Lock(t.Context())
	stMust(t, "Lock", err)
	return unlock
}

// The acceptance suite, on files of which each store is a second one.
func TestFileTokenStoreIsOne(t *testing.T) {
	path := filePath(t)
	open := func() (authos.TokenStore, error) { return authos.NewFileTokenStore(path) }
	if err := authostest.TestTokenStore(open, authostest.Persistent()); err != nil {
		t.Error(err)
	}
}

func TestFileContent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config", "tool")
	path := filepath.Join(dir, "tokens.json")
	s := fileStore(t, path)
	unlock := fileLock(t, s)
	stMust(t, "Save", s.Save(t.Context(), fileOld))
	unlock()
	data, err := os.ReadFile(path)
	stMust(t, "ReadFile", err)
	var got map[string]any
	stMust(t, "Unmarshal", json.Unmarshal(data, &got))
	want := map[string]any{
		"version": 1.0, "access_token": "access-old", "refresh_token": "refresh-old", "expires_at": "2027-01-15T08:00:00.123Z",
	}
	stWant(t, "content", fmt.Sprint(got), fmt.Sprint(want))
	stWant(t, "loaded", fileLoad(t, s), fileOld)
	stWant(t, "files", fileNames(t, dir), "tokens.json tokens.json.held tokens.json.lock")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(dir)
		stMust(t, "Stat", err)
		stWant(t, "mode of the folder", info.Mode().Perm(), 0o700)
		for name := range strings.FieldsSeq(fileNames(t, dir)) {
			info, err := os.Stat(filepath.Join(dir, name))
			stMust(t, "Stat", err)
			stWant(t, "mode of "+name, info.Mode().Perm(), 0o600)
		}
	}
	stMust(t, "Delete", s.Delete(t.Context()))
	stWant(t, "files", fileNames(t, dir), "tokens.json.held tokens.json.lock")
	stWant(t, "loaded", fileLoad(t, s), authos.Tokens{})
}

func TestFilePath(t *testing.T) {
	_, err := authos.NewFileTokenStore("")
	if bad, ok := errors.AsType[*authos.ValidationError](err); !ok || len(bad.Fields) != 1 || bad.Fields[0].Field != "path" {
		t.Errorf("NewFileTokenStore(\"\") = %v, want a *ValidationError about path", err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	s := fileStore(t, "tokens.json")
	t.Chdir(t.TempDir())
	stMust(t, "Save", s.Save(t.Context(), fileNew))
	stWant(t, "loaded through the absolute path", fileLoad(t, fileStore(t, filepath.Join(dir, "tokens.json"))), fileNew)
	stMust(t, "Save", s.Save(t.Context(), fileOld))
	if _, err := authos.NewFileTokenStore(filepath.Join(dir, "tokens.json", "below")); err == nil {
		t.Error("a folder that is a file is accepted")
	}
}

// fileRefusals are what a store can find in place of one of its files.
func TestFileRefused(t *testing.T) {
	fileModes(t)
	content := `{"version":1,"access_token":"access-old","refresh_token":"refresh-old"}`
	for _, tc := range []struct {
		name string
		put  func(t *testing.T, path string)
		want string
	}{
		{"everybody reads", func(t *testing.T, path string) { filePut(t, path, content, 0o604) }, "mode 0604"},
		{"the group reads", func(t *testing.T, path string) { filePut(t, path, content, 0o640) }, "chmod 600"},
		{"everybody writes", func(t *testing.T, path string) { filePut(t, path, content, 0o602) }, "mode 0602"},
		{"link", func(t *testing.T, path string) {
			filePut(t, path+".target", content, 0o600)
			stMust(t, "Symlink", os.Symlink(path+".target", path))
		}, "symbolic link"},
		{"link to nothing", func(t *testing.T, path string) { stMust(t, "Symlink", os.Symlink("nowhere", path)) }, "symbolic link"},
		{"folder", func(t *testing.T, path string) { stMust(t, "Mkdir", os.Mkdir(path, 0o700)) }, "no regular file"},
	} {
		for _, suffix := range []string{"", ".lock", ".held"} {
			t.Run(tc.name+suffix, func(t *testing.T) {
				path := filePath(t)
				s := fileStore(t, path)
				tc.put(t, path+suffix)
				_, newErr := authos.NewFileTokenStore(path)
				errs := map[string]error{"NewFileTokenStore": newErr}
				if suffix == "" {
					_, errs["Load"] = s.Load(t.Context())
				} else {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, errs["Lock"] = s.Lock(ctx)
				}
				for what, err := range errs {
					bad, ok := errors.AsType[*fs.PathError](err)
					if !ok || bad.Path != path+suffix || !strings.Contains(err.Error(), tc.want) {
						t.Errorf("%s = %v, want a *fs.PathError about %s that says %q", what, err, path+suffix, tc.want)
					}
				}
			})
		}
	}
}

// Save makes a file private again that was opened to others, but replaces nothing that is no file.
func TestFileSaveOverSomethingElse(t *testing.T) {
	fileModes(t)
	path := filePath(t)
	s := fileStore(t, path)
	filePut(t, path, "{}", 0o644)
	stMust(t, "Save", s.Save(t.Context(), fileNew))
	stWant(t, "loaded", fileLoad(t, s), fileNew)
	stMust(t, "Remove", os.Remove(path))
	filePut(t, path+".target", "precious", 0o600)
	stMust(t, "Symlink", os.Symlink(path+".target", path))
	if err := s.Save(t.Context(), fileNew); err == nil {
		t.Error("Save replaced a symbolic link")
	}
	if link, err := os.Readlink(path); err != nil || link != path+".target" {
		t.Errorf("link = %v, %v, want it kept", link, err)
	}
	stWant(t, "files", strings.Contains(fileNames(t, filepath.Dir(path)), ".new"), false)
}

func TestFolderOfTheFile(t *testing.T) {
	fileModes(t)
	for mode, refused := range map[fs.FileMode]bool{
		0o700: false, 0o755: false, 0o775: false, 0o757: true, 0o777: true, fs.ModeSticky | 0o777: true, 0o702: true,
	} {
		dir := filepath.Join(t.TempDir(), "d")
		stMust(t, "Mkdir", os.Mkdir(dir, 0o700))
		stMust(t, "Chmod", os.Chmod(dir, mode))
		_, err := authos.NewFileTokenStore(filepath.Join(dir, "tokens.json"))
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: NewFileTokenStore = %v, want refused %v", mode, err, refused)
		}
		if refused { // one of its own below is made
			stMust(t, "Save", fileStore(t, filepath.Join(dir, "own", "tokens.json")).Save(t.Context(), fileNew))
		}
	}
}

func TestFileDamaged(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"cut short":     {`{"version":1,"access_token":"access-secret","refresh_tok`, "damaged"},
		"two objects":   {`{"version":1,"access_token":"access-secret"}{}`, "damaged"},
		"another type":  {`{"version":1,"access_token":["access-secret"]}`, "damaged"},
		"no version":    {`{"access_token":"access-secret"}`, "damaged"},
		"later version": {`{"version":2,"access_token":"access-secret"}`, "version 2"},
		"no JSON":       {"access-secret", "damaged"},
		"zeros":         {strings.Repeat("\x00", 512), "damaged"},
		"null":          {"null", "damaged"},
		"large":         {`{"version":1,"access_token":"` + strings.Repeat("access-secret", 100_000) + `"}`, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filePath(t)
			filePut(t, path, tc.content, 0o600)
			s := fileStore(t, path)
			got, err := s.Load(t.Context())
			if _, ok := errors.AsType[*fs.PathError](err); !ok || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Load = %v, want an error that says %q and nothing of the file", err, tc.want)
			}
			stWant(t, "tokens", got, authos.Tokens{})
			if data, err := os.ReadFile(path); err != nil || string(data) != tc.content {
				t.Errorf("Load changed the file (%v)", err)
			}
			stMust(t, "Save", s.Save(t.Context(), fileNew))
			stWant(t, "loaded", fileLoad(t, s), fileNew)
		})
	}
	path := filePath(t)
	filePut(t, path, "", 0o600)
	stWant(t, "loaded from an empty file", fileLoad(t, fileStore(t, path)), authos.Tokens{})
}

// What a process that died in Save has left is finished when it is whole, and removed when it is not.
func TestFileLeftover(t *testing.T) {
	whole := `{"version":1,"access_token":"access-new","refresh_token":"refresh-new"}` + "\n"
	for name, tc := range map[string]struct {
		content string
		want    authos.Tokens
	}{
		"whole": {whole, fileNew}, "without the line's end": {whole[:len(whole)-1], fileNew}, "cut short": {whole[:len(whole)-2], fileOld},
		"empty": {"", fileOld}, "zeros": {strings.Repeat("\x00", len(whole)), fileOld}, "later version": {`{"version":2}`, fileOld},
	} {
		for what, use := range map[string]func(*testing.T, *authos.FileTokenStore){
			"Lock": func(t *testing.T, s *authos.FileTokenStore) { fileLock(t, s)() },
			"refused Save": func(t *testing.T, s *authos.FileTokenStore) {
				if s.Save(t.Context(), authos.Tokens{AccessToken: "\xff"}) == nil {
					t.Error("Save of what cannot be written = nil")
				}
				fileLock(t, s)()
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				path := filePath(t)
				s := fileStore(t, path)
				stMust(t, "Save", s.Save(t.Context(), fileOld))
				filePut(t, path+".new", tc.content, 0o600)
				stWant(t, "loaded before", fileLoad(t, s), fileOld)
				use(t, s)
				stWant(t, "loaded", fileLoad(t, s), tc.want)
				stWant(t, "files", fileNames(t, filepath.Dir(path)), "tokens.json tokens.json.held tokens.json.lock")
			})
		}
	}
	t.Run("Save and Delete come after it", func(t *testing.T) {
		path := filePath(t)
		s := fileStore(t, path)
		filePut(t, path+".new", whole, 0o600)
		stMust(t, "Save", s.Save(t.Context(), fileOld))
		stWant(t, "loaded", fileLoad(t, s), fileOld)
		filePut(t, path+".new", whole, 0o600)
		stMust(t, "Delete", s.Delete(t.Context()))
		fileLock(t, s)()
		stWant(t, "loaded", fileLoad(t, s), authos.Tokens{})
	})
	t.Run("left under the lock, by a Save that failed", func(t *testing.T) {
		path := filePath(t)
		s := fileStore(t, path)
		unlock := fileLock(t, s)
		filePut(t, path+".new", whole, 0o600)
		stMust(t, "Save", s.Save(t.Context(), fileOld))
		stWant(t, "loaded", fileLoad(t, s), fileOld)
		filePut(t, path+".new", whole, 0o600)
		stMust(t, "Delete", s.Delete(t.Context()))
		unlock()
		fileLock(t, s)()
		stWant(t, "loaded", fileLoad(t, s), authos.Tokens{})
	})
}

// The 35 s after a holder's death, on a clock that costs nothing.
func TestFileLockAfterADeath(t *testing.T) {
	mark := func(path, since string) func(*testing.T, *authos.FileTokenStore) {
		return func(t *testing.T, _ *authos.FileTokenStore) {
			filePut(t, path+".held", `{"since":"`+since+`","pid":4711}`, 0o600)
		}
	}
	ago := func(d time.Duration) string {
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-d).Format(time.RFC3339Nano)
	}
	path := filePath(t)
	for _, tc := range []struct {
		name  string
		leave func(*testing.T, *authos.FileTokenStore)
		want  time.Duration
	}{
		{"no death", func(t *testing.T, s *authos.FileTokenStore) { fileLock(t, s)() }, 0},
		{"death", func(t *testing.T, s *authos.FileTokenStore) { stMust(t, "DieLocked", s.DieLocked(t.Context())) }, 35 * time.Second},
		{"10 s ago", mark(path, ago(10*time.Second)), 25 * time.Second},
		{"just not over", mark(path, ago(35*time.Second-time.Nanosecond)), time.Nanosecond},
		{"just over", mark(path, ago(35*time.Second)), 0},
		{"years ago", mark(path, ago(3*365*24*time.Hour)), 0},
		{"the clock was set back", mark(path, ago(-24*time.Hour)), 35 * time.Second},
		{"in the year 9999", mark(path, "9999-12-31T23:59:59Z"), 35 * time.Second},
		{"no time", mark(path, "yesterday"), 35 * time.Second},
		{"cut short", func(t *testing.T, _ *authos.FileTokenStore) { filePut(t, path+".held", `{"since":"1999-`, 0o600) }, 35 * time.Second},
		{"zeros", func(t *testing.T, _ *authos.FileTokenStore) { filePut(t, path+".held", "\x00\x00\x00", 0o600) }, 35 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				s := fileStore(t, path)
				tc.leave(t, s)
				start := time.Now()
				unlock := fileLock(t, fileStore(t, path))
				stWant(t, "Lock took", time.Since(start), tc.want)
				unlock()
				start = time.Now()
				fileLock(t, s)()
				stWant(t, "the next Lock took", time.Since(start), 0)
			})
		})
	}
}

// Those who cannot wait for so long do not make the others wait longer, whatever the mark says.
func TestFileLockImpatience(t *testing.T) {
	for _, content := range []string{`{"since":"2000-01-01T00:00:00Z","pid":4711}`, `{"since":"2100-01-01T00:00:00Z","pid":4711}`, "?"} {
		path := filePath(t)
		stBubble(t, func(t *testing.T) {
			s := fileStore(t, path)
			filePut(t, path+".held", content, 0o600)
			start := time.Now()
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				_, err := s.Lock(ctx)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2000-01-01T00:00:35Z") {
					t.Fatalf("Lock = %v, want the deadline, and when the lock is free", err)
				}
				if strings.Contains(content, "pid") && !strings.Contains(err.Error(), "process 4711") {
					t.Errorf("Lock = %v, want the process that died", err)
				}
			}
			fileLock(t, s)()
			stWant(t, "the lock was free after", time.Since(start), 35*time.Second)
		})
	}
}

// A lock whose holder lives is not given away however long it is held.
func TestFileLockHasNoEnd(t *testing.T) {
	path := filePath(t)
	stBubble(t, func(t *testing.T) {
		s := fileStore(t, path)
		unlock := fileLock(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := fileStore(t, path).Lock(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("Lock = %v, want the deadline, and the holder", err)
		}
		stWant(t, "it waited", time.Since(start), time.Hour)
		unlock()
		unlock()
		fileLock(t, s)()
		cause := errors.New("the user pressed Ctrl-C")
		gone, end := context.WithCancelCause(t.Context())
		end(cause)
		if _, err := s.Lock(gone); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("Lock = %v, want the cancellation and its cause", err)
		}
	})
}

// Who writes without the lock waits for it, so that nothing comes between a holder's Load and Save.
func TestFileSaveWaitsForTheLock(t *testing.T) {
	path := filePath(t)
	stBubble(t, func(t *testing.T) {
		a, b := fileStore(t, path), fileStore(t, path)
		unlock := fileLock(t, a)
		for what, write := range map[string]func(context.Context) error{
			"Save": func(ctx context.Context) error { return b.Save(ctx, fileOld) }, "Delete": b.Delete,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := write(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s beside the holder = %v, want the deadline", what, err)
			}
			cancel()
		}
		var group sync.WaitGroup
		group.Go(func() { stMust(t, "Save", b.Save(t.Context(), fileOld)) })
		time.Sleep(time.Minute)
		stMust(t, "the holder's Save", a.Save(t.Context(), fileNew))
		stWant(t, "loaded", fileLoad(t, b), fileNew)
		unlock()
		group.Wait()
		stWant(t, "loaded", fileLoad(t, a), fileOld)
		stMust(t, "Save", a.Save(t.Context(), fileNew)) // not under the lock any more
	})
}

// The lock is not released in the middle of a Save, and one Save comes after the other.
func TestFileUnlockWaitsForSaves(t *testing.T) {
	path := filePath(t)
	stBubble(t, func(t *testing.T) {
		s, other := fileStore(t, path), fileStore(t, path)
		saving, busy := make(chan struct{}), false
		s.OnStep(func(step string) {
			switch step {
			case "created":
				if busy {
					t.Error("two Saves at the same time")
				}
				busy = true
				<-saving
			case "renamed":
				busy = false
			}
		})
		unlock := fileLock(t, s)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { stMust(t, "Save", s.Save(t.Context(), fileNew)) })
		}
		synctest.Wait()
		group.Go(unlock)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := other.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock during a Save under the lock = %v, want the deadline", err)
		}
		close(saving)
		group.Wait()
		fileLock(t, other)()
	})
}

func TestFileContextIsDone(t *testing.T) {
	s := fileStore(t, filePath(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, lockErr := s.Lock(ctx)
	for what, err := range map[string]error{"Load": loadErr, "Lock": lockErr, "Save": s.Save(ctx, fileNew), "Delete": s.Delete(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want the cancellation", what, err)
		}
	}
	stWant(t, "loaded", fileLoad(t, s), authos.Tokens{})
}

func TestFileFolderIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s := fileStore(t, filepath.Join(dir, "tokens.json"))
	stMust(t, "RemoveAll", os.RemoveAll(dir))
	_, loadErr := s.Load(t.Context())
	_, lockErr := s.Lock(t.Context())
	for what, err := range map[string]error{"Load": loadErr, "Lock": lockErr, "Save": s.Save(t.Context(), fileNew), "Delete": s.Delete(t.Context())} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s = %v, want that %s does not exist", what, err, dir)
		}
	}
}
