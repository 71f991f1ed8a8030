package filestore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// mount mounts a file system for a test, which needs root and a kernel that lets it.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("needs to mount, which is not allowed here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
}

// fill uses up what a small file system has left: its space, or its inodes.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	own := filepath.Join(dir, "others")
	must(t, "Mkdir", os.Mkdir(own, 0o700))
	block := make([]byte, 4096)
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(own, strconv.Itoa(n)))
		if err != nil {
			break
		}
		_, err = f.Write(block)
		_ = f.Close()
		if err != nil {
			break
		}
		if n > 10_000 {
			t.Fatal("the file system does not get full")
		}
	}
	return func() { must(t, "RemoveAll", os.RemoveAll(own)) }
}

// A disk that gets full under the lock takes the new tokens all the same; one that is full before
// gives no lock.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	for name, options := range map[string]string{"no space": "size=512k,mode=0700", "no inode": "nr_inodes=24,mode=0700"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "small")
			must(t, "Mkdir", os.Mkdir(dir, 0o700))
			mount(t, "tmpfs", dir, "tmpfs", 0, options)
			s := open(t, filepath.Join(dir, "tokens"))
			must(t, "Save", s.Save(t.Context(), old))
			unlock := lock(t, s)
			free := fill(t, dir)
			must(t, "Save on the full disk", s.Save(t.Context(), fresh))
			unlock()
			equal(t, "loaded", load(t, s), fresh)
			// what the lock had reserved is free again
			fillAgain, err := os.Create(filepath.Join(dir, "more"))
			if err == nil {
				_, _ = fillAgain.Write(make([]byte, 512<<10))
				_ = fillAgain.Close()
			}
			if unlock, err := s.Lock(t.Context()); err == nil {
				unlock()
				t.Error("Lock on the full disk = nil: a refresh token would be spent")
			} else if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "none are asked for") {
				t.Errorf("Lock = %v, want no space, and what follows", err)
			}
			equal(t, "loaded", load(t, s), fresh)
			free()
			must(t, "Remove", os.Remove(filepath.Join(dir, "more")))
			lock(t, s)()
		})
	}
}

// A token file that is a mount of its own cannot be replaced, and a file system may be read-only:
// the lock is refused before anything is spent, and Load works.
func TestFileThatCannotBeReplaced(t *testing.T) {
	needRoot(t)
	for name, arrange := range map[string]func(t *testing.T, path string){
		"bind mount": func(t *testing.T, path string) {
			volume := filepath.Join(t.TempDir(), "volume")
			put(t, volume, planted, 0o600)
			mount(t, volume, path, "", syscall.MS_BIND, "")
		},
		"read-only": func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			mount(t, dir, dir, "", syscall.MS_BIND, "")
			if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Skipf("needs to mount read-only: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			put(t, path, planted, 0o600)
			put(t, path+".lock", "", 0o600)
			arrange(t, path)
			s := open(t, path)
			equal(t, "loaded", load(t, s).RefreshToken, "planted")
			unlock, err := s.Lock(t.Context())
			if err == nil {
				unlock()
				t.Fatal("Lock = nil: a refresh token would be spent")
			}
			if e, ok := errors.AsType[*fs.PathError](err); !ok || !strings.HasPrefix(e.Path, path) {
				t.Errorf("Lock = %v, want a *fs.PathError about the file", err)
			}
			if err := s.Save(t.Context(), fresh); err == nil {
				t.Error("Save = nil")
			}
			equal(t, "loaded", load(t, s).RefreshToken, "planted")
		})
	}
}
