package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
)

// CacheOptions say how a [CacheStore] works. The zero value of a field is its default.
type CacheOptions struct {
	// Key encrypts the values with AES-256-GCM: 32 random bytes. Nil: they are in clear text in
	// Redis.
	Key Key
	// OldKeys still decrypt what was written with an earlier Key.
	OldKeys []Key
	// MaxValueBytes is the size of the largest value that is kept. Default 4 MiB, maximum 16 MiB,
	// which is the largest response the client takes.
	MaxValueBytes int
}

const (
	defaultMaxValue = 4 << 20
	largestMaxValue = 16 << 20
)

// CacheStore is an [authos.CacheStore] in Redis, for any number of processes and goroutines.
//
// Redis has no cheap way to delete by prefix: SCAN reads all its keys, whosever they are. So every
// folder of a key ("a/" and "a/b/" of "a/b/c") has a stamp, a random text that is made when
// something is first kept in it, and an entry holds a digest of its folders' stamps. To delete a
// prefix is to delete one stamp: entries that were made with it are not found any more, at once,
// whatever their number, and Redis drops them when their time to live ends. A stamp that Redis
// evicts costs what is in the folder, never brings anything back.
type CacheStore struct {
	rdb      redis.UniversalClient
	prefix   string
	box      atrest.Box
	maxValue int
}

// NewCacheStore makes a cache whose names in Redis begin with "authos:cache:", prefix and a colon,
// without any I/O. Keys are hashed, so the names do not show whose responses are cached. Bad
// arguments give an [*authos.ValidationError].
func NewCacheStore(rdb redis.UniversalClient, prefix string, opts CacheOptions) (*CacheStore, error) {
	var wrong findings
	wrong.client(rdb)
	wrong.keys(opts.Key, opts.OldKeys)
	if prefix == "" {
		wrong.add("prefix", authos.CodeRequired, "must not be empty")
	}
	switch {
	case opts.MaxValueBytes == 0:
		opts.MaxValueBytes = defaultMaxValue
	case opts.MaxValueBytes < 0 || opts.MaxValueBytes > largestMaxValue:
		wrong.add("MaxValueBytes", authos.CodeOutOfRange, "must be between 1 byte and 16 MiB")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	box := atrest.NewBox("redisstore cache", opts.Key, opts.OldKeys)
	return &CacheStore{rdb: rdb, prefix: prefix, box: box, maxValue: opts.MaxValueBytes}, nil
}

// Get gives what was set and has not expired. A value that does not decrypt is an error.
func (c *CacheStore) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	stored, err := await(ctx, func(ctx context.Context) ([][]byte, error) { return c.fetch(ctx, key) })
	switch {
	case errors.Is(err, redis.Nil): // the entry is missing, or a stamp: the folder was deleted
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("redisstore: reading a cached response: %w", err)
	}
	content, err := c.box.Open(c.entry(key), stored[0])
	if err == nil && len(content) < digestSize {
		err = atrest.ErrNotOurs
	}
	if err != nil {
		return nil, false, fmt.Errorf("redisstore: reading a cached response: %w", err)
	}
	if !bytes.Equal(content[:digestSize], digest(stored[1:])) {
		return nil, false, nil // a folder was deleted after the entry was made
	}
	return content[digestSize:], true, nil
}

// fetch reads an entry and the stamps of its folders in one round trip. They are in several hash
// slots, so it is no MGET.
func (c *CacheStore) fetch(ctx context.Context, key string) ([][]byte, error) {
	pipe := c.rdb.Pipeline()
	in := folders(key)
	cmds := append(make([]*redis.StringCmd, 0, 1+len(in)), pipe.Get(ctx, c.entry(key)))
	for _, folder := range in {
		cmds = append(cmds, pipe.Get(ctx, c.folder(folder)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	found := make([][]byte, len(cmds))
	for i, cmd := range cmds {
		found[i], _ = cmd.Bytes() // Exec has given the first error of all
	}
	return found, nil
}

// stamp gives a folder's stamp, and sees that it lives as long as what is about to be kept in it.
const stamp = `
	local stamp = redis.call('GET', KEYS[1])
	if not stamp then
		stamp = ARGV[1]
		redis.call('SET', KEYS[1], stamp, 'PX', ARGV[2])
	elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
		redis.call('PEXPIRE', KEYS[1], ARGV[2])
	end
	return stamp`

// Set keeps value for ttl, in whole milliseconds; with a ttl below one nothing is kept. A value
// larger than MaxValueBytes is an error, and what was there stays.
func (c *CacheStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > c.maxValue {
		return fmt.Errorf("redisstore: keeping a response: it has %d bytes, more than the %d of MaxValueBytes", len(value), c.maxValue)
	}
	// The stamps are read first: a folder that is deleted while the value is on its way takes it
	// along.
	_, err := await(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.put(ctx, key, value, ttl.Truncate(time.Millisecond))
	})
	if err != nil {
		return fmt.Errorf("redisstore: keeping a response: %w", err)
	}
	return nil
}

func (c *CacheStore) put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl <= 0 {
		return c.rdb.Del(ctx, c.entry(key)).Err()
	}
	pipe := c.rdb.Pipeline()
	var cmds []*redis.Cmd
	for _, folder := range folders(key) {
		cmds = append(cmds, pipe.Eval(ctx, stamp, []string{c.folder(folder)}, rand.Text(), ttl.Milliseconds()))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	stamps := make([][]byte, len(cmds))
	for i, cmd := range cmds {
		text, _ := cmd.Text() // Exec has given the first error of all
		stamps[i] = []byte(text)
	}
	stored, err := c.box.Seal(c.entry(key), append(digest(stamps), value...))
	if err != nil {
		return err
	}
	return c.rdb.Set(ctx, c.entry(key), stored, ttl).Err()
}

var errNotAFolder = errors.New("redisstore: a prefix must end at a '/'")

// DeletePrefix forgets every key that begins with prefix, which ends at a '/' or is empty.
func (c *CacheStore) DeletePrefix(ctx context.Context, prefix string) error {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return errNotAFolder
	}
	_, err := await(ctx, func(ctx context.Context) (int64, error) { return c.rdb.Del(ctx, c.folder(prefix)).Result() })
	if err != nil {
		return fmt.Errorf("redisstore: forgetting cached responses: %w", err)
	}
	return nil
}

// folders gives every prefix of key that DeletePrefix takes, the empty one first.
func folders(key string) []string {
	all := []string{""}
	for i := range len(key) {
		if key[i] == '/' {
			all = append(all, key[:i+1])
		}
	}
	return all
}

func (c *CacheStore) entry(key string) string {
	return "authos:cache:" + c.prefix + ":entry:" + hashed(key)
}
func (c *CacheStore) folder(folder string) string {
	return "authos:cache:" + c.prefix + ":folder:" + hashed(folder)
}

// hashed makes any text a name of fixed length. 144 bits are enough that no two meet.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

const digestSize = 16 // bytes

// digest stands for stamps in their order. Each has the same length, so that nothing is gained by
// shifting them.
func digest(stamps [][]byte) []byte {
	sum := sha256.Sum256(bytes.Join(stamps, []byte{' '}))
	return sum[:digestSize]
}

// String names the store; it holds no secrets, as no format verb does.
func (c *CacheStore) String() string { return "redisstore.CacheStore(" + c.prefix + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (c *CacheStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements [slog.LogValuer].
func (c *CacheStore) LogValue() slog.Value { return slog.StringValue(c.String()) }
