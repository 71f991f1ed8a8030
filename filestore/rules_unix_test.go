//go:build unix

package filestore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/filestore"
)

const nobody = 65534

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs to give files to another user, which only root may")
	}
}

// planted are tokens that somebody else has put there.
const planted = `{"version":1,"access_token":"planted","refresh_token":"planted"}` + "\n"

// Whose files are used. Each refusal is a *fs.PathError that names the path, the owner where that
// is the matter, and what to do.
func TestWhoseFiles(t *testing.T) {
	needRoot(t)
	const group = 4321
	own := func(path string, uid, gid int, mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, "Chown", os.Chown(filepath.Join(dir, path), uid, gid))
			must(t, "Chmod", os.Chmod(filepath.Join(dir, path), mode))
		}
	}
	for _, tc := range []struct {
		name string
		make []func(*testing.T, string)
		opts []filestore.Option
		want string // of the error; empty: used
	}{
		{"as made", nil, nil, ""},
		{"folder of another user", []func(*testing.T, string){own("", nobody, nobody, 0o700)}, nil, "folder belongs to user 65534"},
		{"token file of another user", []func(*testing.T, string){own("tokens", nobody, nobody, 0o600)}, nil, "belongs to user 65534"},
		{"lock file of another user", []func(*testing.T, string){own("tokens.lock", nobody, nobody, 0o600)}, nil, "belongs to user 65534"},
		{"mark of another user", []func(*testing.T, string){own("tokens.held", nobody, nobody, 0o600)}, nil, "belongs to user 65534"},
		{"folder another group changes", []func(*testing.T, string){own("", 0, group, 0o770)}, nil, "written by group 4321"},
		{"folder another group only reads", []func(*testing.T, string){own("", 0, group, 0o750)}, nil, ""},
		{"folder everybody changes", []func(*testing.T, string){own("", 0, 0, 0o777)}, nil, "written by everybody"},
		{"the user's own group", []func(*testing.T, string){own("", 0, 0, 0o775)}, nil, ""},
		{"Kubernetes' fsGroup, trusted", []func(*testing.T, string){own("", 0, group, fs.ModeSetgid|0o775), own("tokens", 0, group, 0o660)},
			[]filestore.Option{filestore.TrustGroup(group)}, ""},
		{"file of one of the trusted group", []func(*testing.T, string){own("", 0, group, fs.ModeSetgid|0o775), own("tokens", nobody, group, 0o660)},
			[]filestore.Option{filestore.TrustGroup(group)}, ""},
		{"Kubernetes' fsGroup, not trusted", []func(*testing.T, string){own("", 0, group, fs.ModeSetgid|0o775), own("tokens", 0, group, 0o660)},
			nil, "TrustGroup"},
		{"file of a group in a folder of one's own", []func(*testing.T, string){own("tokens", 0, group, 0o660)}, nil, "mode 0660"},
		{"another group is trusted", []func(*testing.T, string){own("", 0, group, 0o770)}, []filestore.Option{filestore.TrustGroup(group + 1)}, "group 4321"},
		{"trusted group, and everybody reads", []func(*testing.T, string){own("tokens", 0, group, 0o664)},
			[]filestore.Option{filestore.TrustGroup(group)}, "mode 0664"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			must(t, "Mkdir", os.Mkdir(dir, 0o700))
			for _, name := range []string{"tokens", "tokens.lock", "tokens.held"} {
				put(t, filepath.Join(dir, name), map[string]string{"tokens": planted}[name], 0o600)
			}
			earlier := open(t, filepath.Join(dir, "tokens"))
			for _, m := range tc.make {
				m(t, dir)
			}
			store, err := filestore.New(filepath.Join(dir, "tokens"), tc.opts...)
			if tc.want == "" {
				must(t, "New", err)
				equal(t, "loaded", load(t, store), authos.Tokens{AccessToken: "planted", RefreshToken: "planted"})
				lock(t, store)()
				must(t, "Save", store.Save(t.Context(), fresh))
				equal(t, "loaded", load(t, store), fresh)
				return
			}
			check := func(what string, err error) {
				t.Helper()
				bad, ok := errors.AsType[*fs.PathError](err)
				if !ok || !strings.HasPrefix(bad.Path, dir) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s = %v, want a *fs.PathError below %s that says %q", what, err, dir, tc.want)
				}
			}
			check("New", err)
			if tc.opts != nil {
				return
			}
			// A store that was opened before sees it, too.
			tokens, loadErr := earlier.Load(t.Context())
			_, lockErr := earlier.Lock(t.Context())
			if loadErr != nil {
				check("Load", loadErr)
				equal(t, "tokens with an error", tokens, authos.Tokens{})
			}
			if lockErr != nil {
				check("Lock", lockErr)
			}
			if loadErr == nil && lockErr == nil {
				t.Error("Load and Lock of a store that was opened before = nil")
			}
		})
	}
}

// What the trusted group's members write, the others can use.
func TestTrustedGroupShares(t *testing.T) {
	needRoot(t)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, group := range []int{4321, 0} {
		dir := filepath.Join(t.TempDir(), "app")
		must(t, "Mkdir", os.Mkdir(dir, 0o700))
		must(t, "Chown", os.Chown(dir, 0, group))
		must(t, "Chmod", os.Chmod(dir, fs.ModeSetgid|0o770))
		s, err := filestore.New(filepath.Join(dir, "tokens"), filestore.TrustGroup(group))
		must(t, "New", err)
		unlock := lock(t, s)
		must(t, "Save", s.Save(t.Context(), fresh))
		unlock()
		for name := range strings.FieldsSeq(names(t, dir)) {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, "Stat", err)
			stat, _ := info.Sys().(*syscall.Stat_t)
			if info.Mode().Perm() != 0o660 || int(stat.Gid) != group {
				t.Errorf("%s has mode %#o and group %d, want 0660 and %d", name, info.Mode().Perm(), stat.Gid, group)
			}
		}
	}
	if _, err := filestore.New(filepath.Join(t.TempDir(), "tokens"), filestore.TrustGroup(-1)); err == nil {
		t.Error("a group below 0 is trusted")
	}
}

// Two users of the trusted group share a cache: what one has set, the other reads, replaces and
// forgets, whatever their umask.
func TestTrustedGroupSharesACache(t *testing.T) {
	needRoot(t)
	for _, group := range []int{4321, 0} {
		t.Run(strconv.Itoa(group), func(t *testing.T) { shareACache(t, group) })
	}
}

func shareACache(t *testing.T, group int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	must(t, "Mkdir", os.Mkdir(dir, 0o700))
	must(t, "Chown", os.Chown(dir, 0, group))
	must(t, "Chmod", os.Chmod(dir, fs.ModeSetgid|0o770))
	letOthersReach(t, filepath.Dir(dir))
	umask := syscall.Umask(0o077)
	defer syscall.Umask(umask)
	c := newCache(t, dir, keyA, filestore.TrustGroup(group))
	other := func(use func()) {
		before, err := syscall.Getgroups()
		must(t, "Getgroups", err)
		must(t, "Setgroups", syscall.Setgroups([]int{group}))
		defer func() { must(t, "Setgroups", syscall.Setgroups(before)) }()
		must(t, "asNobody", asNobody(t, func() error { use(); return nil }))
	}
	forget := func(prefix string) { must(t, "DeletePrefix", c.DeletePrefix(t.Context(), prefix)) }
	set(t, c, "base/ada/1", "root's", time.Minute)
	files, _ := entries(t, dir)
	for at := files[0]; at != dir; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		must(t, "Stat", err)
		stat, _ := info.Sys().(*syscall.Stat_t)
		if want := map[bool]fs.FileMode{true: 0o770, false: 0o660}[info.IsDir()]; info.Mode().Perm() != want || int(stat.Gid) != group {
			t.Errorf("%s has mode %#o and group %d, want %#o and %d", at, info.Mode().Perm(), stat.Gid, want, group)
		}
	}
	other(func() {
		keeps(t, c, "base/ada/1", "root's")
		set(t, c, "base/ada/1", "nobody's", time.Minute)
		set(t, c, "base/bob/1", "nobody's", time.Minute)
		set(t, c, "other/eve/1", "nobody's", time.Minute)
	})
	keeps(t, c, "base/ada/1", "nobody's")
	keeps(t, c, "base/bob/1", "nobody's")
	forget("base/ada/")
	other(func() {
		lacks(t, c, "base/ada/1")
		forget("base/")
	})
	lacks(t, c, "base/bob/1")
	keeps(t, c, "other/eve/1", "nobody's")
	forget("")
	if left, _ := entries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// letOthersReach lets other users into a test's folder and those above it.
func letOthersReach(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != filepath.Dir(os.TempDir()) && len(d) > 1; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			must(t, "Chmod", os.Chmod(d, info.Mode().Perm()|0o055))
		}
	}
}

// The program ran under sudo once, and now as its user: the error names the path and whose it is.
// Where that is the user, it blames nobody, whoever has the folders above.
func TestAfterSudo(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "home")
	var path string
	for _, tc := range []struct {
		name  string
		owner func(t *testing.T) (named string)
		other bool // somebody else has it
	}{
		{"folder", func(t *testing.T) string { return filepath.Join(dir, "tool") }, true},
		{"file", func(t *testing.T) string {
			must(t, "Chown", os.Chown(filepath.Join(dir, "tool"), nobody, nobody))
			return filepath.Join(dir, "tool", "tokens")
		}, true},
		{"folder above", func(t *testing.T) string {
			path = filepath.Join(dir, "tool", "below", "tokens")
			return filepath.Join(dir, "tool") + " belongs to"
		}, true},
		{"folder of one's own that is closed", func(t *testing.T) string {
			must(t, "Chown", os.Chown(filepath.Join(dir, "tool"), nobody, nobody))
			must(t, "Chmod", os.Chmod(filepath.Join(dir, "tool"), 0))
			return filepath.Join(dir, "tool")
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			must(t, "RemoveAll", os.RemoveAll(dir))
			must(t, "MkdirAll", os.MkdirAll(filepath.Join(dir, "tool"), 0o700))
			must(t, "Chown", os.Chown(dir, nobody, nobody))
			letOthersReach(t, filepath.Dir(dir))
			put(t, filepath.Join(dir, "tool", "tokens"), planted, 0o600)
			path = filepath.Join(dir, "tool", "tokens")
			named := tc.owner(t)
			err := asNobody(t, func() error {
				_, err := filestore.New(path)
				return err
			})
			if !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("New = %v, want no permission", err)
			}
			for text, want := range map[string]bool{named: true, "user 0": tc.other, "user 65534": tc.other, "sudo": tc.other} {
				if strings.Contains(err.Error(), text) != want {
					t.Errorf("New = %v, want it to say %q: %v", err, text, want)
				}
			}
		})
	}
}

// A cache whose folder may not be written to says so.
func TestCacheInAFolderThatIsClosed(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "cache")
	must(t, "Mkdir", os.Mkdir(dir, 0o500))
	must(t, "Chown", os.Chown(dir, nobody, nobody))
	letOthersReach(t, filepath.Dir(dir))
	err := asNobody(t, func() error {
		c := newCache(t, dir, keyA)
		return c.Set(t.Context(), "a/b", []byte("value"), time.Hour)
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Set = %v, want no permission", err)
	}
}

// That a folder is gone has nothing to do with who owns the one above it.
func TestFolderIsGoneBelowAnothers(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "tool")
	must(t, "Mkdir", os.Mkdir(dir, 0o700))
	must(t, "Chown", os.Chown(dir, nobody, nobody))
	letOthersReach(t, filepath.Dir(dir))
	err := asNobody(t, func() error {
		s, err := filestore.New(filepath.Join(dir, "tokens"))
		must(t, "New", err)
		must(t, "Seteuid", syscall.Seteuid(0))
		must(t, "RemoveAll", os.RemoveAll(dir))
		must(t, "Seteuid", syscall.Seteuid(nobody))
		_, err = s.Load(t.Context())
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "belongs to") {
		t.Errorf("Load = %v, want that there is no such folder, and nobody blamed", err)
	}
}

// A new file that is not this user's, or that others may have written to, is no Save of this
// store's that died: it goes.
func TestLeftoverOfAnother(t *testing.T) {
	needRoot(t)
	for name, mode := range map[string]fs.FileMode{"may not be read": 0o600, "may be read": 0o644, "may be written": 0o666} {
		dir := filepath.Join(t.TempDir(), "tool")
		must(t, "Mkdir", os.Mkdir(dir, 0o700))
		must(t, "Chown", os.Chown(dir, nobody, nobody))
		letOthersReach(t, filepath.Dir(dir))
		put(t, filepath.Join(dir, "tokens.new"), planted, mode)
		must(t, name, asNobody(t, func() error {
			s := open(t, filepath.Join(dir, "tokens"))
			lock(t, s)()
			equal(t, name+": loaded", load(t, s), authos.Tokens{})
			return nil
		}))
		equal(t, name+": files", names(t, dir), "tokens.held tokens.lock")
	}
}

// asNobody runs f as another user, for as long as it takes. The whole process changes its user, so
// nothing else may run meanwhile.
func asNobody(t *testing.T, f func() error) error {
	t.Helper()
	must(t, "Seteuid", syscall.Seteuid(nobody))
	defer func() { must(t, "Seteuid", syscall.Seteuid(0)) }()
	return f()
}

// What is put in the place of a file meanwhile is not followed: not out of the folder, and not to
// another file in it.
func TestPlantedLinks(t *testing.T) {
	for _, suffix := range []string{".held", ".new", ".lock"} {
		for _, target := range []string{"outside", "inside"} {
			t.Run(suffix+" "+target, func(t *testing.T) {
				path := newPath(t)
				victim := path + ".precious"
				if target == "outside" {
					victim = filepath.Join(t.TempDir(), "victim")
				}
				put(t, victim, "precious", 0o600)
				s := open(t, path)
				must(t, "Save", s.Save(t.Context(), old))
				unlock := lock(t, s)
				if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				must(t, "Symlink", os.Symlink(victim, path+suffix))
				_ = s.Save(t.Context(), fresh)
				unlock()
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				if again, err := s.Lock(ctx); err == nil {
					_ = s.Save(ctx, fresh)
					again()
				}
				data, err := os.ReadFile(victim)
				if err != nil || string(data) != "precious" {
					t.Errorf("what the link leads to is %q (%v), want it as it was", data, err)
				}
			})
		}
	}
}

// The lock file is removed between opening and locking it, and perhaps made anew by another
// process: who then holds the old one's lock holds nothing.
func TestLockFileIsExchanged(t *testing.T) {
	for name, anew := range map[string]bool{"made anew": true, "removed": false} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			exchanged := false
			s.OnStep(func(step string) {
				if step == "locked" && !exchanged {
					exchanged = true
					must(t, "Remove", os.Remove(path+".lock"))
					if anew {
						put(t, path+".lock", "", 0o600)
					}
				}
			})
			unlock := lock(t, s)
			defer unlock()
			equal(t, "exchanged", exchanged, true)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			other := open(t, path)
			other.SetQuiet(0) // the mark is not to save it
			if again, err := other.Lock(ctx); err == nil {
				again()
				t.Error("two hold the lock, one of them that of a file that is not there any more")
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lock = %v, want the deadline", err)
			}
		})
	}
}
