package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/authos-go/authos"
)

// folder is where a store has its files, and the rules for them.
type folder struct {
	dir   string
	group int // of TrustGroup; -1: none

	open func(dir string) (disk, error) // openDisk, but in tests
	self func() (uid, gid int)          // whom the program runs as; tests play others

	cache *cacheOptions // nil: the folder is no cache's
}

// An Option changes what a store takes for its own.
type Option func(*folder) error

// TrustGroup lets the group with this number write to the folder, and read and write the files in
// it, whoever of the group they belong to: for a Kubernetes volume with fsGroup, or processes of
// several users that share a session. Files are then made with mode 0660. Numbers below 0 are
// refused, and so is the option where files have no groups (Windows).
func TrustGroup(gid int) Option {
	return func(f *folder) error {
		if gid < 0 || !hasModes {
			return invalid("gid", authos.CodeOutOfRange, "must be the number of a group, on a system where files have one")
		}
		f.group = gid
		return nil
	}
}

func invalid(field string, code authos.Code, message string) error {
	return &authos.ValidationError{Fields: []authos.FieldError{{Field: field, Code: code, Message: message}}}
}

// newFolder makes the folder, if need be, and looks at it.
func newFolder(dir string, opts []Option, cache *cacheOptions) (*folder, error) {
	f := &folder{
		dir: dir, group: -1, cache: cache, open: openDisk, self: func() (int, int) { return os.Geteuid(), os.Getegid() },
	}
	for _, opt := range opts {
		if err := opt(f); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, f.explain(err)
	}
	return f, nil
}

// unexpanded finds what a shell would have replaced.
var unexpanded = regexp.MustCompile(`^(~[^/\\]*|\$\{?\w+\}?|%\w+%)$`)

// absolute makes a path absolute. What only a shell understands is refused: it would make a folder
// named "~".
func absolute(field, path string) (string, error) {
	first, _, more := strings.Cut(filepath.ToSlash(path), "/")
	switch {
	case path == "":
		return "", invalid(field, authos.CodeRequired, "must not be empty")
	case strings.ContainsRune(path, 0):
		return "", invalid(field, authos.CodeInvalidFormat, "must not contain a NUL byte")
	case (more || first == "~") && unexpanded.MatchString(first):
		return "", invalid(field, authos.CodeInvalidFormat,
			"begins with what only a shell replaces (~, $NAME or %NAME%): use os.UserHomeDir, os.UserConfigDir or os.ExpandEnv")
	}
	return filepath.Abs(path)
}

// within runs f on the folder, once that has been looked at. ctx is looked at once: the work is
// short, on a local disk.
func (f *folder) within(ctx context.Context, op, name string, do func(disk) error) error {
	if ctx.Err() != nil {
		return f.wrong(op, name, contextEnd(ctx))
	}
	d, err := f.open(f.dir)
	if err != nil {
		return f.explain(err)
	}
	defer d.Close()
	info, err := d.Stat()
	if err == nil {
		err = f.checkFolder(info)
	}
	if err != nil {
		return f.wrong(op, "", err)
	}
	return do(d)
}

// wrong names the file, so that a program can find it with [errors.As] where a log line masks it.
// An empty name is the folder's.
func (f *folder) wrong(op, name string, err error) error {
	path := filepath.Join(f.dir, name)
	if inner, ok := errors.AsType[*fs.PathError](err); ok && filepath.IsAbs(inner.Path) {
		return err // named already
	}
	if e, ok := err.(*fs.PathError); ok { //nolint:errorlint // the bare one of os.Root knows the name alone; what wraps it says more
		err = e.Err
	}
	return f.explain(&fs.PathError{Op: op, Path: path, Err: err})
}

// explain says whose the path is that may not be used: mostly, the program once ran under sudo.
func (f *folder) explain(err error) error {
	e, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrPermission) || !hasModes {
		return err
	}
	for path := e.Path; ; path = filepath.Dir(path) {
		if info, statErr := os.Lstat(path); statErr == nil {
			uid, _, ok := owner(info)
			if me, _ := f.self(); ok && uid != me {
				return &fs.PathError{Op: e.Op, Path: e.Path, Err: fmt.Errorf(
					"%w: %s belongs to %s, and this program runs as %s; if it once ran under sudo, give the folder back with chown -R",
					e.Err, path, userName(uid), userName(me))}
			}
			return err
		}
		if path == filepath.Dir(path) {
			return err
		}
	}
}

// userName is a user as an administrator looks for it.
func userName(uid int) string {
	number := strconv.Itoa(uid)
	if u, err := user.LookupId(number); err == nil {
		return fmt.Sprintf("user %s (%s)", number, u.Username)
	}
	return "user " + number
}

const fixedModes = "on a file system with fixed modes (a Windows drive in WSL, CIFS, FUSE) use another folder, " +
	"or mount it with a umask of 077"

// checkFolder refuses a folder in which others could put tokens of theirs.
func (f *folder) checkFolder(info fs.FileInfo) error {
	uid, gid, ok := owner(info)
	if !ok {
		return nil
	}
	me, mine := f.self()
	mode := info.Mode().Perm()
	switch {
	case uid != me && uid != 0:
		return fmt.Errorf("the folder belongs to %s, and this program runs as %s: use a folder of your own, or give it away with chown",
			userName(uid), userName(me))
	case mode&0o002 != 0:
		return fmt.Errorf("the folder may be written by everybody (mode %#o): use one of your own, of mode 0700; %s", mode, fixedModes)
	case mode&0o020 != 0 && gid != f.group && (gid != mine || gid != me):
		return fmt.Errorf("the folder may be written by group %d (mode %#o): change that with chmod g-w, "+
			"or trust the group with TrustGroup", gid, mode)
	}
	return nil
}

// checkFile refuses a file that others have made or may open.
func (f *folder) checkFile(info fs.FileInfo) error {
	uid, gid, ok := owner(info)
	if !ok {
		return nil
	}
	me, _ := f.self()
	trusted := gid == f.group
	others := fs.FileMode(0o077)
	if trusted {
		others = 0o007
	}
	switch mode := info.Mode().Perm(); {
	case uid != me && uid != 0 && !trusted:
		return refusalf("belongs to %s, and this program runs as %s: remove it, or give it away with chown", userName(uid), userName(me))
	case mode&others != 0:
		return refusalf("others may open it (mode %#o): change that with chmod 600; %s", mode, fixedModes)
	}
	return nil
}

// openFile opens a file that is there, nil when there is none. Flags that make one are not for it.
func (f *folder) openFile(d disk, name string, flag int) (file, error) {
	before, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // "none" is no error, and has no file
	}
	if err != nil {
		return nil, f.wrong("open", name, err)
	}
	if err := regular(before); err != nil {
		return nil, f.wrong("open", name, err)
	}
	opened, err := d.OpenFile(name, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above; it was removed meanwhile
	}
	if err != nil {
		return nil, f.wrong("open", name, err)
	}
	info, err := opened.Stat()
	if err == nil {
		err = regular(info)
	}
	if err == nil {
		err = f.checkFile(info)
	}
	if err != nil {
		_ = opened.Close()
		return nil, f.wrong("open", name, err)
	}
	return opened, nil
}

func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		// Two names of one file would have two locks, and a rename replaces the link, not its
		// target.
		return refusalf("is a symbolic link: give the path it leads to")
	case !mode.IsRegular():
		return refusalf("is no regular file")
	}
	return nil
}

// createFile makes a file that is not there. It is private before anything is written to it.
func (f *folder) createFile(d disk, name string) (file, error) {
	mode := fs.FileMode(0o600)
	if f.group >= 0 {
		mode = 0o660
	}
	made, err := d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, f.wrong("create", name, err)
	}
	if f.group >= 0 {
		err = made.Chmod(mode) // past the umask
	}
	info, statErr := made.Stat()
	if err = errors.Join(err, statErr); err == nil {
		err = f.checkFile(info)
	}
	if err != nil {
		_ = made.Close()
		_ = d.Remove(name)
		return nil, f.wrong("create", name, err)
	}
	return made, nil
}

// readFile gives a file's content, nil when there is none.
func (f *folder) readFile(d disk, name string, limit int) ([]byte, error) {
	opened, err := f.openFile(d, name, os.O_RDONLY)
	if opened == nil || err != nil {
		return nil, err
	}
	defer opened.Close()
	data, err := io.ReadAll(io.LimitReader(opened, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = errTooLarge
	}
	if err != nil {
		return nil, f.wrong("read", name, err)
	}
	return data, nil
}

// refusal is what the rules say about a file, in which a disk that fails has no part.
type refusal string

func refusalf(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func (r refusal) Error() string { return string(r) }

const errTooLarge = refusal("is too large for a file of this package")

// contextEnd is ctx's error together with its cause, where the caller gave one.
func contextEnd(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
