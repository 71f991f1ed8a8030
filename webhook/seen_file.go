package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FileSeen is a [SeenStore] in a folder, one small file for each delivery. It survives restarts and
// crashes of the process and the machine, and several processes of one receiver may use a folder at
// the same time. Files are written whole and synced before Record returns; those whose time is over
// are removed as others are recorded.
//
// It works on local file systems, and on network file systems that rename atomically.
type FileSeen struct {
	root *os.Root

	mu     sync.Mutex
	pruned map[string]time.Time // by subfolder: when it was last looked through
}

const (
	pruneEvery = time.Hour
	tempPrefix = "new-"
)

// NewFileSeen opens a folder, and makes it where there is none, for its owner alone. It returns an
// error for a folder that another user owns or may write to: whoever puts files into it decides
// which events are not handled. A volume whose root belongs to a group (Kubernetes' fsGroup) is
// fine one level up: give a folder below it.
func NewFileSeen(dir string) (*FileSeen, error) {
	if dir == "" {
		return nil, errors.New("webhook: NewFileSeen: no folder")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("webhook: making the folder of handled events: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("webhook: opening the folder of handled events: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil {
		err = checkFolder(info)
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("webhook: the folder of handled events %s: %w", dir, err)
	}
	return &FileSeen{root: root, pruned: map[string]time.Time{}}, nil
}

// checkFolder refuses a folder that others may write to. Windows has no such modes: there, the
// folder's access control list decides.
func checkFolder(info fs.FileInfo) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("its mode is %#o: its group or everybody may write to it (chmod go-w)", info.Mode().Perm())
	}
	if owner, own := ownedByUs(info); !own {
		return fmt.Errorf("it belongs to the user with the id %d, and this process runs as %d", owner, os.Geteuid())
	}
	return nil
}

// Close gives the folder back. The store fails from then on.
func (f *FileSeen) Close() error { return f.root.Close() }

// place is the file of an id, and the subfolder it is in. Ids are opaque, and need not be file
// names.
func place(id string) (sub, file string) {
	sum := sha256.Sum256([]byte(id))
	name := hex.EncodeToString(sum[:])
	return name[:2], path.Join(name[:2], name)
}

// Seen implements [SeenStore].
func (f *FileSeen) Seen(ctx context.Context, id string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	_, file := place(id)
	until, err := f.until(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !time.Now().After(until), err
}

// Record implements [SeenStore].
func (f *FileSeen) Record(ctx context.Context, id string, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	sub, file := place(id)
	if err := f.root.Mkdir(sub, 0o700); err == nil {
		err = f.sync(".")
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("webhook: recording a handled event: %w", err)
	}
	f.prune(sub, now)
	if known, err := f.until(file); err == nil && known.After(now.Add(ttl)) {
		return nil // for longer already
	}
	return f.write(sub, file, now.Add(ttl))
}

// write puts a file in place whole: it has another name until it is written and synced.
func (f *FileSeen) write(sub, file string, until time.Time) (err error) {
	temp := path.Join(sub, tempPrefix+rand.Text())
	out, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("webhook: recording a handled event: %w", err)
	}
	_, err = io.WriteString(out, strconv.FormatInt(until.UnixMilli(), 10)+"\n")
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = f.root.Rename(temp, file)
	}
	if err != nil {
		_ = f.root.Remove(temp)
		return fmt.Errorf("webhook: recording a handled event: %w", err)
	}
	return f.sync(sub)
}

// sync makes the names in a folder last. Windows does that by itself, and opens no folders.
func (f *FileSeen) sync(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := f.root.Open(folder)
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("webhook: syncing the folder of handled events: %w", err)
	}
	return nil
}

// until reads when a record ends. A file that is damaged, which no crash of ours can bring about,
// is an error.
func (f *FileSeen) until(file string) (time.Time, error) {
	in, err := f.root.Open(file)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = in.Close() }()
	text, err := io.ReadAll(io.LimitReader(in, 64))
	if err != nil {
		return time.Time{}, fmt.Errorf("webhook: reading a handled event: %w", err)
	}
	digits, whole := strings.CutSuffix(string(text), "\n")
	millis, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !whole {
		return time.Time{}, errors.New("webhook: the record of a handled event is damaged")
	}
	return time.UnixMilli(millis), nil
}

// prune removes what is over from a subfolder, once an hour. What cannot be removed is left: it
// takes room and does no harm.
func (f *FileSeen) prune(sub string, now time.Time) {
	f.mu.Lock()
	due := now.Sub(f.pruned[sub]) >= pruneEvery
	if due {
		f.pruned[sub] = now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	entries, err := fs.ReadDir(f.root.FS(), sub)
	if err != nil {
		return
	}
	for _, entry := range entries {
		file := path.Join(sub, entry.Name())
		if strings.HasPrefix(entry.Name(), tempPrefix) {
			// Left by a process that died. Another's is seconds old.
			if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > pruneEvery {
				_ = f.root.Remove(file)
			}
			continue
		}
		if until, err := f.until(file); err == nil && now.After(until) {
			_ = f.root.Remove(file)
		}
	}
}
