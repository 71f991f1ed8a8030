package filestore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

func open(t *testing.T, path string) *filestore.TokenStore {
	t.Helper()
	s, err := filestore.New(path)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	return s
}

func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "tokens.json")
}

func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) string {
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

func needModes(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no modes here")
	}
}

var (
	old   = authos.Tokens{AccessToken: "access-old", RefreshToken: "refresh-old", ExpiresAt: time.Unix(1_800_000_000, 123_000_000).UTC()}
	fresh = authos.Tokens{AccessToken: "access-new", RefreshToken: "refresh-new"}
)

func load(t *testing.T, s authos.TokenStore) authos.Tokens {
	t.Helper()
	got, err := s.Load(t.Context())
	must(t, "Load", err)
	return got
}

func lock(t *testing.T, s *filestore.TokenStore) func() {
	t.Helper()
	unlock, err := s.Lock(t.Context())
	must(t, "Lock", err)
	return unlock
}

// The acceptance suite, on files of which each store is a second one. The mark's time is shortened,
// which a store in production does not do.
func TestTokenStoreIsOne(t *testing.T) {
	path := newPath(t)
	const ends = time.Second
	open := func() (authos.TokenStore, error) {
		s, err := filestore.New(path)
		if err == nil {
			s.SetQuiet(ends)
		}
		return s, err
	}
	if err := authostest.TestTokenStore(open, authostest.Persistent(), authostest.LockEnds(ends)); err != nil {
		t.Error(err)
	}
}

func TestContent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config", "tool")
	path := filepath.Join(dir, "tokens.json")
	s := open(t, path)
	unlock := lock(t, s)
	must(t, "Save", s.Save(t.Context(), old))
	unlock()
	data, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	var got map[string]any
	must(t, "Unmarshal", json.Unmarshal(data, &got))
	want := map[string]any{
		"version": 1.0, "access_token": "access-old", "refresh_token": "refresh-old", "expires_at": "2027-01-15T08:00:00.123Z",
	}
	equal(t, "content", fmt.Sprint(got), fmt.Sprint(want))
	equal(t, "loaded", load(t, s), old)
	equal(t, "files", names(t, dir), "tokens.json tokens.json.held tokens.json.lock")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(dir)
		must(t, "Stat", err)
		equal(t, "mode of the folder", info.Mode().Perm(), 0o700)
		for name := range strings.FieldsSeq(names(t, dir)) {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, "Stat", err)
			equal(t, "mode of "+name, info.Mode().Perm(), 0o600)
		}
	}
	must(t, "Delete", s.Delete(t.Context()))
	lock(t, s)() // where there is nothing to replace, it puts nothing
	equal(t, "files", names(t, dir), "tokens.json.held tokens.json.lock")
	equal(t, "loaded", load(t, s), authos.Tokens{})
}

func TestPath(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{
		"", "~", "~/tokens.json", "~ada/tokens.json", "$HOME/tokens.json", "${XDG_CONFIG_HOME}/tool/tokens.json", "%APPDATA%/tool/tokens.json",
		"tool/", "tool/.", ".", "..", "/", "a\x00b",
	} {
		_, err := filestore.New(path)
		if bad, ok := errors.AsType[*authos.ValidationError](err); !ok || len(bad.Fields) != 1 || bad.Fields[0].Field != "path" {
			t.Errorf("New(%q) = %v, want a *ValidationError about path", path, err)
		}
	}
	equal(t, "made in the current folder", names(t, "."), "")
	for _, path := range []string{"~tokens.json", "$tokens.json", "a/~/tokens.json", "100%/tokens"} {
		_, err := filestore.New(path)
		must(t, path, err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	s := open(t, "tokens.json")
	t.Chdir(t.TempDir())
	must(t, "Save", s.Save(t.Context(), fresh))
	equal(t, "loaded through the absolute path", load(t, open(t, filepath.Join(dir, "tokens.json"))), fresh)
	must(t, "Save", s.Save(t.Context(), old))
	if _, err := filestore.New(filepath.Join(dir, "tokens.json", "below")); err == nil {
		t.Error("a folder that is a file is accepted")
	}
}

// What Save takes, Load gives, to the byte.
func TestSaveTakesWhatLoadGives(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	must(t, "Save", s.Save(t.Context(), authos.Tokens{AccessToken: "access-", RefreshToken: "r"}))
	info, err := os.Stat(path)
	must(t, "Stat", err)
	largest := 1<<20 - int(info.Size())
	for _, size := range []int{largest - 1, largest, largest + 1, 2 << 20} {
		large := authos.Tokens{AccessToken: "access-" + strings.Repeat("a", size), RefreshToken: "r"}
		before := load(t, s)
		err := s.Save(t.Context(), large)
		got := load(t, s)
		switch {
		case err == nil && got != large:
			t.Errorf("%d bytes were saved, and not loaded", size)
		case err != nil && (got != before || !strings.Contains(err.Error(), "too large")):
			t.Errorf("Save of %d bytes = %v, want that it is too large, and the file as it was", size, err)
		case (err == nil) != (size <= largest):
			t.Errorf("Save of %d bytes = %v", size, err)
		}
	}
}

// fileRefusals are what a store can find in place of one of its files.
func TestRefused(t *testing.T) {
	needModes(t)
	content := `{"version":1,"access_token":"access-old","refresh_token":"refresh-old"}`
	for _, tc := range []struct {
		name string
		put  func(t *testing.T, path string)
		want string
	}{
		{"everybody reads", func(t *testing.T, path string) { put(t, path, content, 0o604) }, "mode 0604"},
		{"the group reads", func(t *testing.T, path string) { put(t, path, content, 0o640) }, "chmod 600"},
		{"everybody writes", func(t *testing.T, path string) { put(t, path, content, 0o602) }, "mode 0602"},
		{"link", func(t *testing.T, path string) {
			put(t, path+".target", content, 0o600)
			must(t, "Symlink", os.Symlink(path+".target", path))
		}, "symbolic link"},
		{"link to nothing", func(t *testing.T, path string) { must(t, "Symlink", os.Symlink("nowhere", path)) }, "symbolic link"},
		{"folder", func(t *testing.T, path string) { must(t, "Mkdir", os.Mkdir(path, 0o700)) }, "no regular file"},
	} {
		for _, suffix := range []string{"", ".lock", ".held"} {
			t.Run(tc.name+suffix, func(t *testing.T) {
				path := newPath(t)
				s := open(t, path)
				tc.put(t, path+suffix)
				_, newErr := filestore.New(path)
				errs := map[string]error{"New": newErr}
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
func TestSaveOverSomethingElse(t *testing.T) {
	needModes(t)
	path := newPath(t)
	s := open(t, path)
	put(t, path, "{}", 0o644)
	must(t, "Save", s.Save(t.Context(), fresh))
	equal(t, "loaded", load(t, s), fresh)
	must(t, "Remove", os.Remove(path))
	put(t, path+".target", "precious", 0o600)
	must(t, "Symlink", os.Symlink(path+".target", path))
	if err := s.Save(t.Context(), fresh); err == nil {
		t.Error("Save replaced a symbolic link")
	}
	if link, err := os.Readlink(path); err != nil || link != path+".target" {
		t.Errorf("link = %v, %v, want it kept", link, err)
	}
	equal(t, "files", strings.Contains(names(t, filepath.Dir(path)), ".new"), false)
}

func TestFolderOfTheFile(t *testing.T) {
	needModes(t)
	for mode, refused := range map[fs.FileMode]bool{
		0o700: false, 0o755: false, 0o775: false, 0o757: true, 0o777: true, fs.ModeSticky | 0o777: true, 0o702: true,
	} {
		dir := filepath.Join(t.TempDir(), "d")
		must(t, "Mkdir", os.Mkdir(dir, 0o700))
		must(t, "Chmod", os.Chmod(dir, mode))
		_, err := filestore.New(filepath.Join(dir, "tokens.json"))
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: New = %v, want refused %v", mode, err, refused)
		}
		if refused { // one of its own below is made
			must(t, "Save", open(t, filepath.Join(dir, "own", "tokens.json")).Save(t.Context(), fresh))
		}
	}
}

// A store holds no file open while nothing is done with it.
func TestIdleStoreHasNoFileOpen(t *testing.T) {
	const list = "/proc/self/fd"
	if _, err := os.Stat(list); err != nil {
		t.Skip("needs /proc")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close what was forgotten
	path := newPath(t)
	s := open(t, path)
	unlock := lock(t, s)
	must(t, "Save", s.Save(t.Context(), fresh))
	unlock()
	files := func() int {
		names, err := os.ReadDir(list)
		must(t, "ReadDir", err)
		return len(names)
	}
	before := files()
	for range 20 {
		s := open(t, path)
		equal(t, "loaded", load(t, s), fresh)
		lock(t, s)()
		must(t, "Save", s.Save(t.Context(), fresh))
	}
	equal(t, "files open", files(), before)
	for range 20 { // the lock file is exchanged while somebody waits for it
		exchanged := false
		s := open(t, path)
		s.OnStep(func(step string) {
			if step == "locked" && !exchanged {
				exchanged = true
				must(t, "Remove", os.Remove(path+".lock"))
			}
		})
		lock(t, s)()
	}
	equal(t, "files open after exchanges", files(), before)
	if err := os.Chmod(path, 0o666); err != nil || runtime.GOOS == "windows" {
		return
	}
	for range 20 {
		if _, err := filestore.New(path); err == nil {
			t.Error("a file that everybody can write is taken")
		}
	}
	equal(t, "files open after refusals", files(), before)
}

func TestDamaged(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"cut short":     {`{"version":1,"access_token":"access-secret","refresh_tok`, "damaged"},
		"two objects":   {`{"version":1,"access_token":"access-secret"}{}`, "damaged"},
		"another type":  {`{"version":1,"access_token":["access-secret"]}`, "damaged"},
		"no version":    {`{"access_token":"access-secret"}`, "damaged"},
		"later version": {`{"version":2,"access_token":"access-secret"}`, "newer release"},
		"no JSON":       {"access-secret", "damaged"},
		"zeros":         {strings.Repeat("\x00", 512), "damaged"},
		"null":          {"null", "damaged"},
		"large":         {`{"version":1,"access_token":"` + strings.Repeat("access-secret", 100_000) + `"}`, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			put(t, path, tc.content, 0o600)
			s := open(t, path)
			got, err := s.Load(t.Context())
			if _, ok := errors.AsType[*fs.PathError](err); !ok || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Load = %v, want an error that says %q and nothing of the file", err, tc.want)
			}
			equal(t, "tokens", got, authos.Tokens{})
			if data, err := os.ReadFile(path); err != nil || string(data) != tc.content {
				t.Errorf("Load changed the file (%v)", err)
			}
			must(t, "Save", s.Save(t.Context(), fresh))
			equal(t, "loaded", load(t, s), fresh)
		})
	}
	for what, content := range map[string]string{
		"an empty file": "", "one without tokens": `{"version":1,"expires_at":"2027-01-15T08:00:00Z","origin":"https://sso.example.com"}`,
	} {
		path := newPath(t)
		put(t, path, content, 0o600)
		equal(t, "zero tokens from "+what, load(t, open(t, path)) == authos.Tokens{}, true)
	}
}

// What a process that died in Save has left is finished when it is whole, and removed when it is
// not.
func TestLeftover(t *testing.T) {
	whole := `{"version":1,"access_token":"access-new","refresh_token":"refresh-new"}` + "\n"
	for name, tc := range map[string]struct {
		content string
		want    authos.Tokens
	}{
		"whole": {whole, fresh}, "without the line's end": {whole[:len(whole)-1], fresh}, "cut short": {whole[:len(whole)-2], old},
		"empty": {"", old}, "zeros": {strings.Repeat("\x00", len(whole)), old}, "later version": {`{"version":2}`, old},
	} {
		for what, use := range map[string]func(*testing.T, *filestore.TokenStore){
			"Lock": func(t *testing.T, s *filestore.TokenStore) { lock(t, s)() },
			"refused Save": func(t *testing.T, s *filestore.TokenStore) {
				if s.Save(t.Context(), authos.Tokens{AccessToken: "\xff"}) == nil {
					t.Error("Save of what cannot be written = nil")
				}
				lock(t, s)()
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				path := newPath(t)
				s := open(t, path)
				must(t, "Save", s.Save(t.Context(), old))
				put(t, path+".new", tc.content, 0o600)
				equal(t, "loaded before", load(t, s), old)
				use(t, s)
				equal(t, "loaded", load(t, s), tc.want)
				equal(t, "files", names(t, filepath.Dir(path)), "tokens.json tokens.json.held tokens.json.lock")
			})
		}
	}
	t.Run("Save and Delete come after it", func(t *testing.T) {
		path := newPath(t)
		s := open(t, path)
		put(t, path+".new", whole, 0o600)
		must(t, "Save", s.Save(t.Context(), old))
		equal(t, "loaded", load(t, s), old)
		put(t, path+".new", whole, 0o600)
		must(t, "Delete", s.Delete(t.Context()))
		lock(t, s)()
		equal(t, "loaded", load(t, s), authos.Tokens{})
	})
	t.Run("left under the lock, by a Save that failed", func(t *testing.T) {
		path := newPath(t)
		s := open(t, path)
		unlock := lock(t, s)
		put(t, path+".new", whole, 0o600)
		must(t, "Save", s.Save(t.Context(), old))
		equal(t, "loaded", load(t, s), old)
		put(t, path+".new", whole, 0o600)
		must(t, "Delete", s.Delete(t.Context()))
		unlock()
		lock(t, s)()
		equal(t, "loaded", load(t, s), authos.Tokens{})
	})
}

// The 45 s after a holder's death, on a clock that costs nothing.
func TestLockAfterADeath(t *testing.T) {
	mark := func(path, since string) func(*testing.T, *filestore.TokenStore) {
		return func(t *testing.T, _ *filestore.TokenStore) {
			put(t, path+".held", `{"since":"`+since+`","pid":4711}`, 0o600)
		}
	}
	ago := func(d time.Duration) string {
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-d).Format(time.RFC3339Nano)
	}
	path := newPath(t)
	for _, tc := range []struct {
		name  string
		leave func(*testing.T, *filestore.TokenStore)
		want  time.Duration
	}{
		{"no death", func(t *testing.T, s *filestore.TokenStore) { lock(t, s)() }, 0},
		{"death", func(t *testing.T, s *filestore.TokenStore) { must(t, "DieLocked", s.DieLocked(t.Context())) }, 45 * time.Second},
		{"10 s ago", mark(path, ago(10*time.Second)), 35 * time.Second},
		{"just not over", mark(path, ago(45*time.Second-time.Nanosecond)), time.Nanosecond},
		{"just over", mark(path, ago(45*time.Second)), 0},
		{"years ago", mark(path, ago(3*365*24*time.Hour)), 0},
		{"the clock was set back", mark(path, ago(-24*time.Hour)), 45 * time.Second},
		{"in the year 9999", mark(path, "9999-12-31T23:59:59Z"), 45 * time.Second},
		{"no time", mark(path, "yesterday"), 45 * time.Second},
		{"a long time ago, by no process", func(t *testing.T, _ *filestore.TokenStore) {
			put(t, path+".held", `{"since":"`+ago(time.Hour)+`","pid":"x"}`, 0o600)
		}, 45 * time.Second},
		{"cut short", func(t *testing.T, _ *filestore.TokenStore) { put(t, path+".held", `{"since":"1999-`, 0o600) }, 45 * time.Second},
		{"zeros", func(t *testing.T, _ *filestore.TokenStore) { put(t, path+".held", "\x00\x00\x00", 0o600) }, 45 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, path)
				tc.leave(t, s)
				start := time.Now()
				unlock := lock(t, open(t, path))
				equal(t, "Lock took", time.Since(start), tc.want)
				unlock()
				start = time.Now()
				lock(t, s)()
				equal(t, "the next Lock took", time.Since(start), 0)
			})
		})
	}
}

// A holder that is in doubt gives the lock up as one that dies does, and the next one is told.
func TestLockGivenUpInDoubt(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, next := open(t, path), open(t, path)
		acquire := func(s *filestore.TokenStore, wait time.Duration, want bool) func(bool) {
			t.Helper()
			start := time.Now()
			release, clean, err := s.Acquire(t.Context())
			must(t, "Acquire", err)
			equal(t, "it took", time.Since(start), wait)
			equal(t, "the last holder released it", clean, want)
			return release
		}
		release := acquire(s, 0, true)
		time.Sleep(5 * time.Second)
		must(t, "Save", s.Save(t.Context(), old))
		release(false)
		release(true) // does not count
		release = acquire(next, 40*time.Second, false)
		release(false)
		equal(t, "loaded", load(t, s), old)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Acquire(impatient); err == nil {
			t.Error("the lock was given away at once")
		}
		acquire(s, 44*time.Second, false)(true)
		acquire(next, 0, true)(true)
		equal(t, "files", names(t, filepath.Dir(path)), "tokens.json tokens.json.held tokens.json.lock")
	})
}

// Those who cannot wait for so long do not make the others wait longer, whatever the mark says.
func TestLockImpatience(t *testing.T) {
	for _, content := range []string{`{"since":"2000-01-01T00:00:00Z","pid":4711}`, `{"since":"2100-01-01T00:00:00Z","pid":4711}`, "?"} {
		path := newPath(t)
		synctest.Test(t, func(t *testing.T) {
			s := open(t, path)
			put(t, path+".held", content, 0o600)
			start := time.Now()
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				_, err := s.Lock(ctx)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2000-01-01T00:00:45Z") {
					t.Fatalf("Lock = %v, want the deadline, and when the lock is free", err)
				}
				if strings.Contains(content, "pid") && !strings.Contains(err.Error(), "process 4711") {
					t.Errorf("Lock = %v, want the process that died", err)
				}
			}
			lock(t, s)()
			equal(t, "the lock was free after", time.Since(start), 45*time.Second)
		})
	}
}

// A lock whose holder lives is not given away however long it is held.
func TestLockHasNoEnd(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		unlock := lock(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := open(t, path).Lock(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("Lock = %v, want the deadline, and the holder", err)
		}
		equal(t, "it waited", time.Since(start), time.Hour)
		unlock()
		unlock()
		lock(t, s)()
		cause := errors.New("the user pressed Ctrl-C")
		gone, end := context.WithCancelCause(t.Context())
		end(cause)
		if _, err := s.Lock(gone); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("Lock = %v, want the cancellation and its cause", err)
		}
	})
}

// Where nothing is known of the holder, the error of who waited in vain names none.
func TestHolderWithoutAMark(t *testing.T) {
	needModes(t)
	for name, change := range map[string]func(mark string) error{
		"removed":          os.Remove,
		"empty":            func(mark string) error { return os.Truncate(mark, 0) },
		"cut short":        func(mark string) error { return os.Truncate(mark, 9) },
		"anybody may have": func(mark string) error { return os.Chmod(mark, 0o666) },
	} {
		path := newPath(t)
		synctest.Test(t, func(t *testing.T) {
			holder, next := open(t, path), open(t, path)
			unlock := lock(t, holder)
			defer unlock()
			must(t, name, change(path+".held"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := next.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "process") {
				t.Errorf("%s: Lock = %v, want the deadline, and no process named", name, err)
			}
		})
	}
}

// Who writes without the lock waits for it, so that nothing comes between a holder's Load and Save.
func TestSaveWaitsForTheLock(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := open(t, path), open(t, path)
		unlock := lock(t, a)
		for what, write := range map[string]func(context.Context) error{
			"Save": func(ctx context.Context) error { return b.Save(ctx, old) }, "Delete": b.Delete,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := write(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s beside the holder = %v, want the deadline", what, err)
			}
			cancel()
		}
		var group sync.WaitGroup
		group.Go(func() { must(t, "Save", b.Save(t.Context(), old)) })
		time.Sleep(time.Minute)
		must(t, "the holder's Save", a.Save(t.Context(), fresh))
		equal(t, "loaded", load(t, b), fresh)
		unlock()
		group.Wait()
		equal(t, "loaded", load(t, a), old)
		must(t, "Save", a.Save(t.Context(), fresh)) // not under the lock any more
		defer lock(t, b)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Save(ctx, old); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Save of who held the lock before, beside who holds it = %v, want the deadline", err)
		}
		equal(t, "loaded", load(t, a), fresh)
	})
}

// The lock is not released in the middle of a Save, and one Save comes after the other.
func TestUnlockWaitsForSaves(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		s, other := open(t, path), open(t, path)
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
		unlock := lock(t, s)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { must(t, "Save", s.Save(t.Context(), fresh)) })
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
		lock(t, other)()
	})
}

func TestContextIsDone(t *testing.T) {
	s := open(t, newPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, lockErr := s.Lock(ctx)
	for what, err := range map[string]error{"Load": loadErr, "Lock": lockErr, "Save": s.Save(ctx, fresh), "Delete": s.Delete(ctx)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want the cancellation", what, err)
		}
	}
	equal(t, "loaded", load(t, s), authos.Tokens{})
}

func TestFolderIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s := open(t, filepath.Join(dir, "tokens.json"))
	must(t, "RemoveAll", os.RemoveAll(dir))
	_, loadErr := s.Load(t.Context())
	_, lockErr := s.Lock(t.Context())
	for what, err := range map[string]error{"Load": loadErr, "Lock": lockErr, "Save": s.Save(t.Context(), fresh), "Delete": s.Delete(t.Context())} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s = %v, want that %s does not exist", what, err, dir)
		}
	}
}

// The mark of a lock may be older than the lock is for its caller.
func TestMarkIsNotOlderThanTheLock(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		slept := false
		s.OnStep(func(step string) {
			// a slow disk, or a process that is stopped
			if (step == "marked" || step == "flushed mark") && !slept {
				slept = true
				time.Sleep(20 * time.Second)
			}
		})
		unlock, err := s.Lock(t.Context())
		must(t, "Lock", err)
		defer unlock()
		data, _ := os.ReadFile(path + ".held")
		var m struct{ Since time.Time }
		must(t, "mark", json.Unmarshal(data, &m))
		if old := time.Since(m.Since); old > time.Second {
			t.Errorf("the mark is %v old when Lock returns", old)
		}
	})
}
