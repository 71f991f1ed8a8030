package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
)

// CacheOptions say how a [CacheStore] works. The zero value of a field other than Key is its
// default.
type CacheOptions struct {
	// Key encrypts the values with AES-256-GCM: 32 random bytes. It must be given.
	Key Key
	// OldKeys still decrypt what was written with an earlier Key.
	OldKeys []Key
	// MaxValueBytes is the size of the largest value that is kept. Default 4 MiB, maximum 16 MiB,
	// which is the largest response the client takes.
	MaxValueBytes int
	// MaxEntries is how many values are kept in the namespace, about: those that expire first make
	// room. Default 100,000.
	MaxEntries int
}

const (
	defaultMaxValue   = 4 << 20
	largestMaxValue   = 16 << 20
	defaultMaxEntries = 100_000
	maxCacheKey       = 2600 // bytes; an index row has 2700, the namespace included
	tidyEvery         = 100  // Sets
	tidyRows          = 1000 // deleted at once, at most
)

// CacheStore is an [authos.CacheStore] in PostgreSQL, for any number of processes and goroutines.
// Each hundredth Set deletes what has expired and what is too much. Keys are in clear text: they
// hold paths, and digests in place of credentials.
type CacheStore struct {
	pool       *pgxpool.Pool
	namespace  string
	box        atrest.Box
	maxValue   int
	maxEntries int
	sets       atomic.Uint64
}

var _ authos.CacheStore = (*CacheStore)(nil)

// NewCacheStore makes a cache whose rows have this namespace, without any I/O. Bad arguments give
// an [*authos.ValidationError].
func NewCacheStore(pool *pgxpool.Pool, namespace string, opts CacheOptions) (*CacheStore, error) {
	var wrong findings
	wrong.pool(pool)
	wrong.keys(opts.Key, opts.OldKeys)
	const maxNamespace = 64
	if wrong.name("namespace", namespace); len(namespace) > maxNamespace {
		wrong.add("namespace", authos.CodeOutOfRange, "must be at most 64 bytes long")
	}
	switch {
	case opts.MaxValueBytes == 0:
		opts.MaxValueBytes = defaultMaxValue
	case opts.MaxValueBytes < 0 || opts.MaxValueBytes > largestMaxValue:
		wrong.add("MaxValueBytes", authos.CodeOutOfRange, "must be between 1 byte and 16 MiB")
	}
	switch {
	case opts.MaxEntries == 0:
		opts.MaxEntries = defaultMaxEntries
	case opts.MaxEntries < 0:
		wrong.add("MaxEntries", authos.CodeOutOfRange, "must not be negative")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return &CacheStore{
		pool: pool, namespace: namespace, box: atrest.NewBox("pgstore cache", opts.Key, opts.OldKeys),
		maxValue: opts.MaxValueBytes, maxEntries: opts.MaxEntries,
	}, nil
}

// Get gives what was set and has not expired. A value that does not decrypt is an error.
func (c *CacheStore) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	var stored []byte
	ok, err = query(ctx, c.pool, []any{&stored},
		`SELECT value FROM authos_cache WHERE namespace = $1 AND key = $2 AND expires_at > clock_timestamp()`, c.namespace, []byte(key))
	if ok && err == nil {
		value, err = c.box.Open(key, stored)
	}
	if err != nil {
		return nil, false, failure("reading a cached response", err)
	}
	return value, ok, nil
}

// Set keeps value for ttl; with a ttl that is not positive nothing is kept. A value larger than
// MaxValueBytes is an error, and what was there stays; so is a key of more than 2,600 bytes.
func (c *CacheStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	switch {
	case len(value) > c.maxValue:
		return fmt.Errorf("pgstore: caching a response: it has %d bytes, more than the %d of MaxValueBytes", len(value), c.maxValue)
	case len(key) > maxCacheKey:
		return fmt.Errorf("pgstore: caching a response: its key has %d bytes, more than %d", len(key), maxCacheKey)
	case ttl <= 0:
		return c.exec(ctx, "forgetting a cached response",
			`DELETE FROM authos_cache WHERE namespace = $1 AND key = $2`, c.namespace, []byte(key))
	}
	stored, err := c.box.Seal(key, value)
	if err != nil {
		return failure("caching a response", err)
	}
	err = c.exec(ctx, "caching a response",
		`INSERT INTO authos_cache (namespace, key, value, expires_at)
		 VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 microsecond')
		 ON CONFLICT (namespace, key) DO UPDATE SET value = EXCLUDED.value, expires_at = EXCLUDED.expires_at`,
		c.namespace, []byte(key), stored, ttl.Microseconds())
	if err == nil && c.sets.Add(1)%tidyEvery == 0 {
		err = c.tidy(ctx)
	}
	return err
}

// tidy deletes what has expired, and what is above MaxEntries.
func (c *CacheStore) tidy(ctx context.Context) error {
	return c.exec(ctx, "tidying the cached responses",
		`DELETE FROM authos_cache WHERE namespace = $1 AND key IN (
		   (SELECT key FROM authos_cache WHERE namespace = $1 AND expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $2)
		   UNION ALL
		   (SELECT key FROM authos_cache WHERE namespace = $1 ORDER BY expires_at DESC OFFSET $3 LIMIT $2))`,
		c.namespace, tidyRows, c.maxEntries)
}

var errNotAFolder = errors.New("pgstore: a prefix must end at a '/'")

// DeletePrefix forgets every key that begins with prefix, which ends at a '/' or is empty.
func (c *CacheStore) DeletePrefix(ctx context.Context, prefix string) error {
	const doing = "forgetting cached responses"
	if prefix == "" {
		return c.exec(ctx, doing, `DELETE FROM authos_cache WHERE namespace = $1`, c.namespace)
	}
	folder, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return errNotAFolder
	}
	// '0' comes after '/', so all that begins with the prefix is below it.
	return c.exec(ctx, doing, `DELETE FROM authos_cache WHERE namespace = $1 AND key >= $2 AND key < $3`,
		c.namespace, []byte(prefix), []byte(folder+"0"))
}

// exec runs a statement without a result.
func (c *CacheStore) exec(ctx context.Context, doing, sql string, args ...any) error {
	_, err := query(ctx, c.pool, nil, sql, args...)
	return failure(doing, err)
}

// String names the store; it holds no secrets, as no format verb does.
func (c *CacheStore) String() string { return "pgstore.CacheStore(" + c.namespace + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (c *CacheStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements [slog.LogValuer].
func (c *CacheStore) LogValue() slog.Value { return slog.StringValue(c.String()) }
