package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// The promises about a loss of power, on a disk that keeps only what was flushed, or a little more:
// after a loss at any moment, in any of the states that a disk may then be in.

var errPower = errors.New("the power is off")

// powerDisk is a folder in memory.
type powerDisk struct {
	names, durable map[string]*powerFile // what a process sees, and what was flushed
	left           int                   // operations until the power goes; negative: it stays
	log            []string
}

type powerFile struct {
	data, durable []byte
	mode          fs.FileMode
}

func newPowerDisk() *powerDisk {
	return &powerDisk{names: map[string]*powerFile{}, durable: map[string]*powerFile{}, left: -1}
}

func (d *powerDisk) do(format string, args ...any) error {
	if d.left == 0 {
		return errPower
	}
	d.left--
	d.log = append(d.log, fmt.Sprintf(format, args...))
	return nil
}

// after gives each state that the disk may be in after a loss of power: names as they were flushed
// or as they are, also one of them so and the others otherwise, and of every file what was flushed,
// half of what was written, or all.
func (d *powerDisk) after() map[string]*powerDisk {
	all := map[string]*powerDisk{}
	mixed := func(one, others map[string]*powerFile) map[string]*powerFile {
		names := maps.Clone(others)
		delete(names, "tokens")
		if f := one["tokens"]; f != nil {
			names["tokens"] = f
		}
		return names
	}
	for what, names := range map[string]map[string]*powerFile{
		"old names": d.durable, "new names": d.names, "old token file": mixed(d.durable, d.names), "new token file": mixed(d.names, d.durable),
	} {
		for content, pick := range map[string]func(f *powerFile) []byte{
			"what was flushed": func(f *powerFile) []byte { return f.durable },
			"half":             func(f *powerFile) []byte { return f.data[:len(f.data)/2] },
			"all":              func(f *powerFile) []byte { return f.data },
			"zeros":            func(f *powerFile) []byte { return make([]byte, len(f.data)) },
		} {
			next := newPowerDisk()
			for name, f := range names {
				data := pick(f)
				if string(f.data) == string(f.durable) {
					data = f.durable // nothing of it was under way
				}
				next.names[name] = &powerFile{data: slices.Clone(data), durable: slices.Clone(data), mode: f.mode}
			}
			next.durable = maps.Clone(next.names)
			all[what+", "+content] = next
		}
	}
	return all
}

func (d *powerDisk) Lstat(name string) (fs.FileInfo, error) {
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return powerInfo{name, f}, nil
}

func (d *powerDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f := d.names[name]
	switch {
	case f == nil && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case f != nil && flag&os.O_EXCL != 0:
		return nil, fs.ErrExist
	case f == nil:
		if err := d.do("create %s", name); err != nil {
			return nil, err
		}
		f = &powerFile{mode: perm}
		d.names[name] = f
	}
	return &powerHandle{disk: d, name: name, f: f}, nil
}

func (d *powerDisk) Rename(from, to string) error {
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	if err := d.do("rename %s to %s", from, to); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *powerDisk) Remove(name string) error {
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	if err := d.do("remove %s", name); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

func (d *powerDisk) RemoveAll(string) error          { return errors.ErrUnsupported }
func (d *powerDisk) Names(string) ([]string, error)  { return nil, errors.ErrUnsupported }
func (d *powerDisk) Stat() (fs.FileInfo, error)      { return powerInfo{".", &powerFile{mode: 0o700}}, nil }
func (d *powerDisk) Chtimes(string, time.Time) error { return errors.ErrUnsupported }
func (d *powerDisk) Folder([]string, fs.FileMode) (disk, error) {
	return nil, errors.ErrUnsupported
}
func (d *powerDisk) Close() error { return nil }

func (d *powerDisk) Sync() error {
	if err := d.do("flush names"); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	return nil
}

type powerInfo struct {
	name string
	f    *powerFile
}

func (i powerInfo) Name() string      { return i.name }
func (i powerInfo) Size() int64       { return int64(len(i.f.data)) }
func (i powerInfo) Mode() fs.FileMode { return i.f.mode }
func (powerInfo) ModTime() time.Time  { return time.Time{} }
func (powerInfo) IsDir() bool         { return false }
func (powerInfo) Sys() any            { return nil }

type powerHandle struct {
	disk *powerDisk
	name string
	f    *powerFile
	at   int
}

func (h *powerHandle) Read(b []byte) (int, error) {
	if h.at >= len(h.f.data) {
		return 0, io.EOF
	}
	n := copy(b, h.f.data[h.at:])
	h.at += n
	return n, nil
}

func (h *powerHandle) Write(b []byte) (int, error) {
	n, err := h.WriteAt(b, int64(h.at))
	h.at += n
	return n, err
}

func (h *powerHandle) WriteAt(b []byte, at int64) (int, error) {
	if err := h.disk.do("write %s", h.name); err != nil {
		return 0, err
	}
	data := slices.Clone(h.f.data)
	if need := int(at) + len(b); need > len(data) {
		data = append(data, make([]byte, need-len(data))...)
	}
	copy(data[at:], b)
	h.f.data = data
	return len(b), nil
}

func (h *powerHandle) Truncate(size int64) error {
	if err := h.disk.do("truncate %s", h.name); err != nil {
		return err
	}
	h.f.data = slices.Clone(h.f.data[:min(int(size), len(h.f.data))])
	return nil
}

func (h *powerHandle) Sync() error {
	if err := h.disk.do("flush %s", h.name); err != nil {
		return err
	}
	h.f.durable = slices.Clone(h.f.data)
	return nil
}

func (h *powerHandle) Stat() (fs.FileInfo, error) { return powerInfo{h.name, h.f}, nil }
func (h *powerHandle) Chmod(fs.FileMode) error    { return nil }
func (h *powerHandle) Close() error               { return nil }

// powerStore is a store on such a disk.
func powerStore(d *powerDisk) *TokenStore {
	s := &TokenStore{
		folder: folder{
			dir: string(os.PathSeparator) + "disk", group: -1,
			open: func(string) (disk, error) { return d, nil },
			self: func() (int, int) { return 0, 0 },
		},
		name: "tokens", turn: make(chan struct{}, 1), step: func(string) {},
	}
	s.lockFile = func(context.Context, string) (func(), error) { return func() {}, nil }
	return s
}

var (
	powerOld = authos.Tokens{AccessToken: "access-old", RefreshToken: "refresh-old"}
	powerNew = authos.Tokens{AccessToken: "access-new", RefreshToken: "refresh-new"}
)

// eachLoss runs use with the power lost after every number of operations, and at last with none
// lost, and check in each state that a disk may be in after it. done says whether use came to its
// end.
func eachLoss(t *testing.T, prepare, use func(s *TokenStore) error, check func(t *testing.T, s *TokenStore, done bool)) {
	t.Helper()
	for n := 0; ; n++ {
		d := newPowerDisk()
		if err := prepare(powerStore(d)); err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		d.left, d.log = n, nil
		err := use(powerStore(d))
		if err != nil && !errors.Is(err, errPower) {
			t.Fatalf("after %q: %v", d.log, err)
		}
		for state, next := range d.after() {
			t.Run(fmt.Sprintf("%d: %s", n, state), func(t *testing.T) {
				check(t, powerStore(next), err == nil)
				if t.Failed() {
					t.Logf("the power went after %q", d.log)
				}
			})
		}
		if err == nil && d.left > 0 {
			return
		}
		if n > 100 {
			t.Fatal("it does not end")
		}
	}
}

// powerLoad reads the tokens as a process does that only looks, and as one does that takes the
// lock.
func powerLoad(t *testing.T, s *TokenStore) (seen, settled authos.Tokens) {
	t.Helper()
	seen, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("Load = %v", err)
	}
	unlock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatalf("Lock = %v", err)
	}
	defer unlock()
	settled, err = s.Load(t.Context())
	if err != nil {
		t.Fatalf("Load = %v", err)
	}
	return seen, settled
}

func saveOld(s *TokenStore) error { return s.Save(context.Background(), powerOld) }

func TestPowerLostInSave(t *testing.T) {
	for name, use := range map[string]func(s *TokenStore) error{
		"alone": func(s *TokenStore) error { return s.Save(context.Background(), powerNew) },
		"under the lock": func(s *TokenStore) error {
			unlock, err := s.Lock(context.Background())
			if err != nil {
				return err
			}
			return errors.Join(s.Save(context.Background(), powerNew), func() error { unlock(); return nil }())
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachLoss(t, saveOld, use, func(t *testing.T, s *TokenStore, done bool) {
				seen, settled := powerLoad(t, s)
				for what, got := range map[string]authos.Tokens{"seen": seen, "settled": settled} {
					if got != powerOld && got != powerNew || done && got != powerNew {
						t.Errorf("%s: neither the old tokens nor the new, or not the new after Save returned (%v)", what, done)
					}
				}
				if seen == powerNew && settled != powerNew {
					t.Error("new tokens were seen, and are gone")
				}
			})
		})
	}
}

// What a killed process had written, and the next one has put in place and used, stays.
func TestPowerLostAfterSettling(t *testing.T) {
	for _, at := range []string{"written", "flushed", "renamed"} {
		t.Run(at, func(t *testing.T) {
			killed := errors.New("killed")
			prepare := func(s *TokenStore) (err error) {
				unlock, err := s.Lock(context.Background()) // the mark's file is there
				if err != nil {
					return err
				}
				unlock()
				if err := saveOld(s); err != nil {
					return err
				}
				defer func() {
					if p := recover(); p != nil && p != any(killed) {
						panic(p)
					}
				}()
				s.step = func(step string) {
					if step == at {
						panic(killed)
					}
				}
				return s.Save(context.Background(), powerNew)
			}
			use := func(s *TokenStore) error {
				unlock, err := s.Lock(context.Background())
				if err != nil {
					return err
				}
				unlock()
				return nil
			}
			eachLoss(t, prepare, use, func(t *testing.T, s *TokenStore, done bool) {
				if _, settled := powerLoad(t, s); settled != powerOld && settled != powerNew || done && settled != powerNew {
					t.Errorf("tokens that another process has used are gone (%v)", done)
				}
			})
		})
	}
}

func TestPowerLostInDelete(t *testing.T) {
	eachLoss(t, saveOld, func(s *TokenStore) error { return s.Delete(context.Background()) }, func(t *testing.T, s *TokenStore, done bool) {
		if _, settled := powerLoad(t, s); settled != powerOld && settled != (authos.Tokens{}) || done && settled != (authos.Tokens{}) {
			t.Error("deleted tokens are back")
		}
	})
}

// Once Lock has returned, the mark is there after a loss of power: the next holder waits.
func TestPowerLostUnderTheLock(t *testing.T) {
	for name, prepare := range map[string]func(s *TokenStore) error{
		"the first lock ever": func(*TokenStore) error { return nil },
		"a later one": func(s *TokenStore) error {
			unlock, err := s.Lock(context.Background())
			if err == nil {
				unlock()
			}
			return errors.Join(err, saveOld(s))
		},
	} {
		t.Run(name, func(t *testing.T) {
			locked := func(s *TokenStore) error {
				_, err := s.Lock(context.Background())
				return err
			}
			eachLoss(t, prepare, locked, func(t *testing.T, s *TokenStore, done bool) {
				s.quiet = time.Hour
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				unlock, err := s.Lock(ctx)
				if err == nil {
					unlock()
				}
				if done && err == nil {
					t.Error("the mark is gone: the next holder does not wait")
				}
			})
		})
	}
}

// failDisk is a disk of which one operation fails, as it does when there is no space or no
// permission.
type failDisk struct {
	*powerDisk

	fail string
}

func (d *failDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if err := d.failed("create " + name); err != nil && flag&os.O_CREATE != 0 {
		return nil, err
	}
	f, err := d.powerDisk.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &failHandle{f, d, name}, nil
}

func (d *failDisk) Rename(from, to string) error {
	if err := d.failed("rename " + from); err != nil {
		return err
	}
	return d.powerDisk.Rename(from, to)
}

func (d *failDisk) failed(what string) error {
	if d.fail == what {
		return &fs.PathError{Op: strings.Fields(what)[0], Path: "tokens", Err: errors.New("no")}
	}
	return nil
}

type failHandle struct {
	file

	disk *failDisk
	name string
}

func (h *failHandle) Write(b []byte) (int, error) {
	if err := h.disk.failed("write " + h.name); err != nil {
		return 0, err
	}
	return h.file.Write(b)
}

func (h *failHandle) WriteAt(b []byte, at int64) (int, error) {
	if err := h.disk.failed("write " + h.name); err != nil {
		return 0, err
	}
	return h.file.WriteAt(b, at)
}

func (h *failHandle) Sync() error {
	if err := h.disk.failed("flush " + h.name); err != nil {
		return err
	}
	return h.file.Sync()
}

// A disk that would not take new tokens refuses the lock, so that none are asked for; what is there
// stays, and is given back when the disk is well again. A Save beside the lock says so, too.
func TestDiskThatTakesNothing(t *testing.T) {
	for _, fail := range []string{"create tokens.new", "write tokens.new", "flush tokens.new", "rename tokens.new", "write tokens.held", "flush tokens.held"} {
		t.Run(fail, func(t *testing.T) {
			d := &failDisk{powerDisk: newPowerDisk()}
			s := powerStore(d.powerDisk)
			s.open = func(string) (disk, error) { return d, nil }
			if err := saveOld(s); err != nil {
				t.Fatal(err)
			}
			d.fail = fail
			unlock, err := s.Lock(t.Context())
			if err == nil {
				unlock()
				t.Fatal("Lock = nil: a refresh token would be spent")
			}
			if e, ok := errors.AsType[*fs.PathError](err); !ok || !strings.HasPrefix(e.Path, s.dir) {
				t.Errorf("Lock = %v, want a *fs.PathError with the whole path", err)
			}
			if n := strings.Count(err.Error(), s.dir); n != 1 {
				t.Errorf("Lock = %v: it names a path %d times, want once", err, n)
			}
			if strings.HasSuffix(fail, ".new") {
				if !strings.Contains(err.Error(), "none are asked for") {
					t.Errorf("Lock = %v, want it to say what follows", err)
				}
				if err := s.Save(t.Context(), powerNew); err == nil {
					t.Error("Save = nil")
				}
			}
			d.fail = ""
			if _, settled := powerLoad(t, s); settled != powerOld {
				t.Error("the tokens are not those from before")
			}
			if d.names["tokens.new"] != nil {
				t.Error("the new file was left behind")
			}
		})
	}
}

// The same where there are no tokens yet, so that nothing is replaced.
func TestDiskThatTakesNothingNew(t *testing.T) {
	for _, fail := range []string{"create tokens.new", "write tokens.new", "flush tokens.new"} {
		d := &failDisk{powerDisk: newPowerDisk(), fail: fail}
		s := powerStore(d.powerDisk)
		s.open = func(string) (disk, error) { return d, nil }
		if unlock, err := s.Lock(t.Context()); err == nil {
			unlock()
			t.Errorf("%s fails: Lock = nil", fail)
		}
		if d.names["tokens.new"] != nil {
			t.Errorf("%s fails: the new file was left behind", fail)
		}
	}
}

// New tokens of a process that died are not put in place before they are flushed: who read them
// would lose them with the power.
func TestSettledIsFlushedFirst(t *testing.T) {
	d := &failDisk{powerDisk: newPowerDisk()}
	s := powerStore(d.powerDisk)
	s.open = func(string) (disk, error) { return d, nil }
	if err := saveOld(s); err != nil {
		t.Fatal(err)
	}
	data, err := formatTokens(powerNew)
	if err != nil {
		t.Fatal(err)
	}
	d.names["tokens.new"] = &powerFile{data: data, mode: 0o600}
	d.fail = "flush tokens.new"
	if _, err := s.Lock(t.Context()); err == nil {
		t.Error("Lock = nil")
	}
	if got, err := s.Load(t.Context()); err != nil || got != powerOld {
		t.Errorf("Load = %v, %v, want the old tokens", got, err)
	}
	d.fail = ""
	if _, settled := powerLoad(t, s); settled != powerNew {
		t.Error("the new tokens were not put in place")
	}
}

// A file system with fixed modes does not keep a file private: nothing is written to it.
func TestFixedModes(t *testing.T) {
	if !hasModes {
		t.Skip("there are no modes here")
	}
	s, err := New(t.TempDir() + "/tokens")
	if err != nil {
		t.Fatal(err)
	}
	var made *fixedFile
	s.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return fixedDisk{d, &made}, err
	}
	if err := s.Save(t.Context(), powerNew); err == nil || !strings.Contains(err.Error(), "mode 0644") || !strings.Contains(err.Error(), "umask") {
		t.Errorf("Save = %v, want the mode, and what to do", err)
	}
	if made == nil || made.written {
		t.Errorf("tokens were written to a file that everybody may read (%v)", made)
	}
}

type fixedDisk struct {
	disk

	made **fixedFile
}

func (d fixedDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f, err := d.disk.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, newSuffix) {
		return f, err
	}
	*d.made = &fixedFile{file: f}
	return *d.made, nil
}

type fixedFile struct {
	file

	written bool
}

func (f *fixedFile) WriteAt(b []byte, at int64) (int, error) {
	f.written = true
	return f.file.WriteAt(b, at)
}

func (f *fixedFile) Stat() (fs.FileInfo, error) {
	info, err := f.file.Stat()
	return fixedInfo{info}, err
}

type fixedInfo struct{ fs.FileInfo }

func (fixedInfo) Mode() fs.FileMode { return 0o644 }

// orderDisk is a real folder that writes down what is renamed in it and flushed.
type orderDisk struct {
	disk

	at   string
	log  *[]string
	fail *bool // flushes do
}

func (d orderDisk) Rename(from, to string) error {
	err := d.disk.Rename(from, to)
	*d.log = append(*d.log, "rename in "+filepath.Dir(from))
	return err
}

func (d orderDisk) Folder(names []string, mode fs.FileMode) (disk, error) {
	below, err := d.disk.Folder(names, mode)
	if err != nil {
		return nil, err
	}
	return orderDisk{below, filepath.Join(append([]string{d.at}, names...)...), d.log, d.fail}, nil
}

func (d orderDisk) Sync() error {
	*d.log = append(*d.log, "flush "+d.at)
	if *d.fail {
		return errBroken
	}
	return d.disk.Sync()
}

// What was forgotten stays so after a loss of power: the folder whose name went is flushed before
// DeletePrefix returns.
func TestForgottenIsFlushed(t *testing.T) {
	c, err := NewCache(t.TempDir(), bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	fail := false
	c.open = func(dir string) (disk, error) {
		d, err := openDisk(dir)
		return orderDisk{d, ".", &log, &fail}, err
	}
	folders, _ := place("base/user/path/")
	for prefix, in := range map[string]string{"base/user/path/": filepath.Join(folders[:2]...), "base/user/": folders[0], "base/": ".", "": "."} {
		if err := c.Set(t.Context(), "base/user/path/key", []byte("value"), time.Minute); err != nil {
			t.Fatal(err)
		}
		log = nil
		if err := c.DeletePrefix(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
		if want := []string{"rename in " + in, "flush " + in}; !slices.Equal(log, want) {
			t.Errorf("to forget %q took %q, want %q", prefix, log, want)
		}
	}
}

// A holder died, and the next one's mark cannot be flushed: the doubt stays for who comes after.
func TestDoubtOutlivesAFailedLock(t *testing.T) {
	d := &failDisk{powerDisk: newPowerDisk()}
	s := powerStore(d.powerDisk)
	s.open = func(string) (disk, error) { return d, nil }
	if _, err := s.Lock(t.Context()); err != nil { // never released
		t.Fatal(err)
	}
	next := powerStore(d.powerDisk)
	next.open = s.open
	d.fail = "flush tokens.held"
	if _, err := next.Lock(t.Context()); err == nil {
		t.Fatal("Lock = nil")
	}
	d.fail = ""
	release, clean, err := next.Acquire(t.Context())
	if err != nil || clean {
		t.Fatalf("Acquire = released %t, %v, want the doubt", clean, err)
	}
	release(true)
}
