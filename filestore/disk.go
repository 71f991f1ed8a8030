package filestore

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// disk is a folder, opened. Tests put one in its place that forgets what was not flushed, as a loss
// of power does, or that fails.
type disk interface { //nolint:interfacebloat // what is used of os.Root
	Lstat(name string) (fs.FileInfo, error)
	// OpenFile is [os.Root.OpenFile].
	OpenFile(name string, flag int, perm fs.FileMode) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// RemoveAll removes a folder and what is in it.
	RemoveAll(name string) error
	// Names lists a folder, in no order.
	Names(name string) ([]string, error)
	// Folder opens a folder below this one. With a mode, it makes those on the way that are
	// missing.
	Folder(names []string, mode fs.FileMode) (disk, error)
	// Chtimes sets when a file was last changed.
	Chtimes(name string, at time.Time) error
	// Stat describes the folder itself.
	Stat() (fs.FileInfo, error)
	// Sync makes the names of the folder durable.
	Sync() error
	Close() error
}

type file interface {
	io.ReadWriteCloser
	io.WriterAt
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Truncate(size int64) error
	Sync() error
}

// hasModes says whether permission bits and owners mean anything here.
const hasModes = runtime.GOOS != "windows" && runtime.GOOS != "plan9"

// rootDisk is the file system's folder. Files are used through [os.Root] so that no link leads out
// of it, and because on Windows it opens them so that they can be renamed and removed meanwhile.
type rootDisk struct{ root *os.Root }

func openDisk(dir string) (disk, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return rootDisk{root}, nil
}

func (d rootDisk) Lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }
func (d rootDisk) Rename(from, to string) error           { return d.root.Rename(from, to) }
func (d rootDisk) Remove(name string) error               { return d.root.Remove(name) }
func (d rootDisk) RemoveAll(name string) error            { return d.root.RemoveAll(name) }
func (d rootDisk) Stat() (fs.FileInfo, error)             { return d.root.Stat(".") }
func (d rootDisk) Close() error                           { return d.root.Close() }

func (d rootDisk) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	f, err := d.root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

func (d rootDisk) Chtimes(name string, at time.Time) error { return d.root.Chtimes(name, at, at) }

func (d rootDisk) Folder(names []string, mode fs.FileMode) (disk, error) {
	path := filepath.Join(append([]string{"."}, names...)...)
	if mode != 0 {
		if err := d.root.MkdirAll(path, mode); err != nil {
			return nil, err
		}
		if mode&0o070 != 0 { // past the umask; those of others cannot be changed, and need not be
			for at := path; at != "."; at = filepath.Dir(at) {
				if info, err := d.root.Stat(at); err == nil && info.Mode().Perm() != mode {
					_ = d.root.Chmod(at, mode|info.Mode()&fs.ModeSetgid) // by which files get the folder's group
				}
			}
		}
	}
	root, err := d.root.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return rootDisk{root}, nil
}

func (d rootDisk) Names(name string) ([]string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Sync does nothing where folders cannot be flushed: on Windows, and on file systems that say so.
// Their renames are as durable as they are.
func (d rootDisk) Sync() error {
	if !hasModes {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return flushed(f.Sync())
}

// flushed is the error of a folder's flush, nil when its file system says that it has none.
func flushed(err error) error {
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
