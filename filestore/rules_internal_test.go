//go:build unix

package filestore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// statInfo is a folder or file of somebody's.
type statInfo struct {
	uid, gid uint32
	mode     fs.FileMode
}

func (statInfo) Name() string        { return "f" }
func (statInfo) Size() int64         { return 0 }
func (i statInfo) Mode() fs.FileMode { return i.mode }
func (statInfo) ModTime() time.Time  { return time.Time{} }
func (statInfo) IsDir() bool         { return false }
func (i statInfo) Sys() any          { return &syscall.Stat_t{Uid: i.uid, Gid: i.gid} }

// The rules for programs of other users than root, who alone can be in these tests.
func TestRulesOfUsers(t *testing.T) {
	for _, tc := range []struct {
		name             string
		uid, gid, trusts int
		info             statInfo
		folder, file     string // of the refusal; empty: fine
	}{
		{"own", 1000, 1000, -1, statInfo{1000, 1000, 0o700}, "", ""},
		{"root's", 1000, 1000, -1, statInfo{0, 0, 0o700}, "", ""},
		{"another user's", 1000, 1000, -1, statInfo{1001, 1000, 0o700}, "belongs to user 1001", "belongs to user 1001"},
		{"another user's, for root", 0, 0, -1, statInfo{1000, 1000, 0o700}, "belongs to user 1000", "belongs to user 1000"},
		{"private group, umask 002", 1000, 1000, -1, statInfo{1000, 1000, 0o770}, "", "mode 0770"},
		{"macOS: everybody is in staff", 501, 20, -1, statInfo{501, 20, 0o770}, "group 20", "mode 0770"},
		{"a group that has the user's number, and is not the user's", 1000, 100, -1, statInfo{1000, 1000, 0o770}, "group 1000", "mode 0770"},
		{"fsGroup", 1000, 0, 2000, statInfo{0, 2000, 0o770}, "", ""},
		{"fsGroup, everybody", 1000, 0, 2000, statInfo{0, 2000, 0o777}, "everybody", "mode 0777"},
		{"fsGroup, made by another of the group", 1000, 0, 2000, statInfo{1001, 2000, 0o660}, "belongs to user 1001", ""},
	} {
		f := folder{group: tc.trusts, self: func() (int, int) { return tc.uid, tc.gid }}
		for what, got := range map[string]struct {
			err  error
			want string
		}{"checkFolder": {f.checkFolder(tc.info), tc.folder}, "checkFile": {f.checkFile(tc.info), tc.file}} {
			if (got.err != nil) != (got.want != "") || got.err != nil && !strings.Contains(got.err.Error(), got.want) {
				t.Errorf("%s: %s = %v, want %q", tc.name, what, got.err, got.want)
			}
		}
	}
	nobodys := powerInfo{"f", &powerFile{mode: 0o777}} // as where files have no owners
	f := folder{group: -1, self: func() (int, int) { return 0, 0 }}
	if err := errors.Join(f.checkFolder(nobodys), f.checkFile(nobodys)); err != nil {
		t.Errorf("without owners: %v", err)
	}
	if uid, gid := newFolderSelf(t); uid != os.Geteuid() || gid != os.Getegid() {
		t.Errorf("the program runs as %d and %d, want the effective ones", uid, gid)
	}
}

func newFolderSelf(t *testing.T) (uid, gid int) {
	t.Helper()
	f, err := newFolder(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.self()
}

// A file is made where there is none, so that nothing is written by way of what somebody has put
// there meanwhile.
func TestMadeFilesReplaceNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := New(filepath.Join(dir, "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("content"), 0o600), os.Symlink("victim", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"victim", "link"} {
		err := s.within(t.Context(), "test", name, func(d disk) error {
			f, err := s.createFile(d, name)
			if err == nil {
				_ = f.Close()
			}
			return err
		})
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: made, over what was there: %v", name, err)
		}
	}
	if content, err := os.ReadFile(victim); err != nil || string(content) != "content" {
		t.Errorf("the victim has %q, %v", content, err)
	}
}

// A file system that cannot flush folders says so, and is as good as its renames are.
func TestFoldersThatCannotBeFlushed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc, which is one")
	}
	d, err := openDisk("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Errorf("Sync = %v", err)
	}
	for err, want := range map[error]error{
		nil: nil, errors.ErrUnsupported: nil, syscall.ENOTSUP: nil, syscall.EINVAL: nil, syscall.EIO: syscall.EIO, syscall.ENOSPC: syscall.ENOSPC,
	} {
		if err != nil {
			err = &fs.PathError{Op: "sync", Path: "/d", Err: err}
		}
		if got := flushed(err); (got == nil) != (want == nil) || !errors.Is(got, want) {
			t.Errorf("a flush that ends with %v gives %v, want %v", err, got, want)
		}
	}
}

// A cached value's time is from its writing to its end, and a clock that was set back by up to a
// minute does not matter.
func TestWhatIsFresh(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		written, ends time.Duration // from now
		want          bool
	}{
		{-time.Hour, time.Nanosecond, true},
		{-time.Hour, 0, false},
		{-time.Hour, -time.Nanosecond, false},
		{0, time.Hour, true},
		{time.Minute, time.Hour, true},
		{time.Minute + time.Nanosecond, time.Hour, false},
		{time.Hour, 2 * time.Hour, false},
	} {
		content := binary.BigEndian.AppendUint64(nil, uint64(now.Add(tc.written).UnixNano()))
		content = binary.BigEndian.AppendUint64(content, uint64(now.Add(tc.ends).UnixNano()))
		for _, value := range []string{"", "value"} {
			got, ok := fresh(append(content[:timesSize:timesSize], value...), now)
			if ok != tc.want || ok && string(got) != value || !ok && got != nil {
				t.Errorf("written %v and ending %v from now: %q is %q, %v, want %v", tc.written, tc.ends, value, got, ok, tc.want)
			}
		}
		if got, ok := fresh(content[:timesSize-1], now); ok || got != nil {
			t.Errorf("content that is cut short gives %q, %v", got, ok)
		}
	}
}
