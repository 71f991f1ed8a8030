package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
)

// Key encrypts values: 32 random bytes, kept elsewhere than in the folder. It prints as
// "[redacted]" and refuses to be marshalled.
type Key = atrest.Key

// CacheStore keeps cached responses in files of a folder, so that a program that starts while the
// server is down answers with what it had read. It is an [authos.CacheStore] for any number of
// processes and goroutines of one user on one machine.
//
// A key's part up to a '/' is a folder, named by a digest, and an entry is a file in it. So a
// principal's responses are in a folder of their own, and to forget a prefix is to rename one
// folder away and remove it: at once, whatever it holds. An entry is replaced by a rename, so
// nobody reads half of one. Values are encrypted with AES-256-GCM and bound to their keys: a file
// that was tampered with, moved to another principal's place or written with another key is an
// error, never a response. The time of writing and the end of life are encrypted with them.
//
// The cache is bounded, in entries and bytes: what has expired and then what expires first makes
// room. Entries are not flushed to the disk, since losing some is no harm; what was forgotten is.
type CacheStore struct {
	folder

	box        atrest.Box
	maxBytes   int64
	maxEntries int

	mu   sync.Mutex
	used usage
}

var _ authos.CacheStore = (*CacheStore)(nil)

const (
	defaultCacheBytes   = 64 << 20
	defaultCacheEntries = 4096
	maxValue            = 16 << 20 // bytes; the largest response the client takes
	lookEvery           = 256      // Sets, after which others' files are counted again
	clockSlack          = time.Minute

	entrySuffix = ".entry"
	trash       = ".trash"
)

// cacheOptions are what only a cache has.
type cacheOptions struct {
	bytes   int64
	entries int
	oldKeys []Key
}

// forCache is an option of a cache's.
func forCache(field string, set func(o *cacheOptions) error) Option {
	return func(f *folder) error {
		if f.cache == nil {
			return invalid(field, authos.CodeInvalidFormat, "is an option of NewCache")
		}
		return set(f.cache)
	}
}

// MaxBytes bounds a cache's files, in bytes; 64 MiB. It is for [NewCache].
func MaxBytes(n int64) Option {
	return forCache("MaxBytes", func(o *cacheOptions) error {
		o.bytes = n
		if n < 1 {
			return invalid("MaxBytes", authos.CodeOutOfRange, "must be positive")
		}
		return nil
	})
}

// MaxEntries bounds how many responses a cache keeps; 4096. It is for [NewCache].
func MaxEntries(n int) Option {
	return forCache("MaxEntries", func(o *cacheOptions) error {
		o.entries = n
		if n < 1 {
			return invalid("MaxEntries", authos.CodeOutOfRange, "must be positive")
		}
		return nil
	})
}

// OldKeys still decrypt what was written with an earlier key. It is for [NewCache].
func OldKeys(keys ...Key) Option {
	return forCache("OldKeys", func(o *cacheOptions) error {
		o.oldKeys = keys
		return nil
	})
}

// NewCache opens a cache in the folder dir, which is made if it is missing, with mode 0700. It must
// be the cache's alone. key encrypts the values: 32 random bytes, kept elsewhere, in the system's
// keyring, say. Folders and files that others could have written to are refused; see the package's
// documentation. A path that is empty or begins with what only a shell replaces, and a key of
// another length, give an [*authos.ValidationError].
func NewCache(dir string, key Key, opts ...Option) (*CacheStore, error) {
	abs, err := absolute("dir", dir)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, invalid("key", authos.CodeRequired, "must be 32 random bytes")
	}
	where, err := newFolder(abs, opts, &cacheOptions{bytes: defaultCacheBytes, entries: defaultCacheEntries})
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	for field, wrong := range atrest.CheckKeys(key, where.cache.oldKeys) {
		return nil, invalid(field, authos.CodeOutOfRange, wrong)
	}
	c := &CacheStore{
		folder: *where, box: atrest.NewBox("filestore cache", key, where.cache.oldKeys),
		maxBytes: where.cache.bytes, maxEntries: where.cache.entries,
	}
	err = c.within(context.Background(), "open", "", func(disk) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	return c, nil
}

// place gives the folders that lead to an entry, and its name.
func place(key string) (folders []string, name string) {
	for i := range len(key) {
		if key[i] == '/' {
			folders = append(folders, digest(key[:i+1]))
		}
	}
	return folders, digest(key) + entrySuffix
}

// digest makes any text a name of fixed length. 144 bits are enough that no two meet.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// Get gives what was set and has not expired. A value that does not decrypt is an error.
func (c *CacheStore) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	folders, name := place(key)
	err = c.within(ctx, "read", "", func(d disk) error {
		stored, err := c.readFile(d, filepath.Join(append(folders, name)...), maxValue+maxHeader)
		if err != nil || len(stored) == 0 { // none, or one that a loss of power has emptied
			return err
		}
		content, err := c.box.Open(key, stored)
		if err != nil {
			return err
		}
		value, ok = fresh(content, time.Now())
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("filestore: reading a cached response: %w", err)
	}
	return value, ok, nil
}

// Content is written as: when it was written and when it ends, in Unix nanoseconds; the value.
const (
	timesSize = 16
	maxHeader = timesSize + 64 // and what encryption adds
)

// fresh gives a value whose time is not over. A clock that was set back by more than a minute does
// not make it younger than it is.
func fresh(content []byte, now time.Time) (value []byte, ok bool) {
	if len(content) < timesSize {
		return nil, false
	}
	written := time.Unix(0, int64(binary.BigEndian.Uint64(content)))  //nolint:gosec // any value is a time
	ends := time.Unix(0, int64(binary.BigEndian.Uint64(content[8:]))) //nolint:gosec // any value is a time
	if !now.Before(ends) || written.After(now.Add(clockSlack)) {
		return nil, false
	}
	return content[timesSize:], true
}

// Set keeps value for ttl; with a ttl that is not positive nothing is kept. A value larger than 16
// MiB, or than a quarter of MaxBytes, is an error, and what was there stays.
func (c *CacheStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := c.set(ctx, key, value, ttl)
	if err != nil {
		return fmt.Errorf("filestore: caching a response: %w", err)
	}
	return nil
}

func (c *CacheStore) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	folders, name := place(key)
	if limit := min(maxValue, c.maxBytes/4); int64(len(value)) > limit {
		return fmt.Errorf("it has %d bytes, more than %d", len(value), limit)
	}
	now := time.Now()
	content := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	content = binary.BigEndian.AppendUint64(content, uint64(now.Add(ttl).UnixNano()))
	stored, err := c.box.Seal(key, append(content, value...))
	if err != nil {
		return err
	}
	return c.within(ctx, "write", "", func(d disk) error {
		if ttl <= 0 {
			err := d.Remove(filepath.Join(append(folders, name)...))
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if err := c.makeRoom(d, int64(len(stored))); err != nil {
			return err
		}
		return c.put(d, folders, name, stored, now.Add(ttl))
	})
}

// put writes an entry by way of its own folder, opened: if that is forgotten meanwhile, the entry
// goes with it.
func (c *CacheStore) put(d disk, folders []string, name string, stored []byte, ends time.Time) error {
	for range 3 { // an empty folder may be tidied away while it is on its way
		in, err := d.Folder(folders, c.folderMode())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = c.putIn(in, name, stored, ends)
		_ = in.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil // it was forgotten again and again: so be it
}

func (c *CacheStore) putIn(in disk, name string, stored []byte, ends time.Time) error {
	temporary := name + "." + strconv.FormatUint(random(), 36)
	f, err := c.createFile(in, temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(stored)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = in.Chtimes(temporary, ends) // what a look at the folder tells the end by
	}
	if err == nil {
		err = in.Rename(temporary, name)
	}
	if err != nil {
		_ = in.Remove(temporary)
	}
	return err
}

// DeletePrefix forgets every key that begins with prefix, which ends at a '/' or is empty. It stays
// forgotten after a loss of power.
func (c *CacheStore) DeletePrefix(ctx context.Context, prefix string) error {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return errors.New("filestore: a prefix must end at a '/'")
	}
	err := c.within(ctx, "forget", "", func(d disk) error {
		if prefix != "" {
			folders, _ := place(prefix)
			return c.forget(d, filepath.Join(folders...))
		}
		names, err := d.Names(".")
		if err != nil {
			return err
		}
		return c.forget(d, slices.DeleteFunc(names, func(name string) bool { return name == trash })...)
	})
	if err != nil {
		return fmt.Errorf("filestore: forgetting cached responses: %w", err)
	}
	return nil
}

// forget renames what is in one folder away, which takes effect at once, and removes it.
func (c *CacheStore) forget(d disk, names ...string) error {
	above, forgotten := ".", false
	for _, name := range names {
		above = filepath.Dir(name)
		moved, err := c.throwAway(d, name)
		if err != nil {
			return err
		}
		forgotten = forgotten || moved
	}
	if !forgotten {
		// Who renamed it away before may not have come to flush it.
		if left, _ := d.Names(trash); len(left) == 0 {
			return nil
		}
	}
	// A name is gone for good once its folder has been flushed; if that is gone itself, the one
	// above it.
	for ; ; above = filepath.Dir(above) {
		in, err := d.Folder(strings.Split(above, string(filepath.Separator)), 0)
		if err == nil {
			err = in.Sync()
			_ = in.Close()
		}
		if err == nil {
			break
		}
		if above == "." || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	c.emptyTrash(d)
	return nil
}

// throwAway renames a file or folder into the trash, if it is there.
func (c *CacheStore) throwAway(d disk, name string) (moved bool, err error) {
	if _, err := d.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	bin, err := d.Folder([]string{trash}, c.folderMode())
	if err != nil {
		return false, err
	}
	_ = bin.Close()
	err = d.Rename(name, filepath.Join(trash, strconv.FormatUint(random(), 36)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // somebody else has
	}
	return err == nil, err
}

func (c *CacheStore) folderMode() fs.FileMode {
	if c.group >= 0 {
		return 0o770
	}
	return 0o700
}

// String names the store; it holds no secrets, as no format verb does.
func (c *CacheStore) String() string { return "filestore.CacheStore(" + c.dir + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (c *CacheStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements [slog.LogValuer].
func (c *CacheStore) LogValue() slog.Value { return slog.StringValue(c.String()) }
