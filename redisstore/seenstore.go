package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
)

// SeenStore is a [webhook.SeenStore] in Redis: the replicas of a receiver know of each other's
// deliveries, and a restart forgets none. A record that Redis evicts, or loses in a failover, costs
// protection against that delivery's repeat.
//
// [webhook.SeenStore]: https://pkg.go.dev/github.com/authos-go/authos/webhook#SeenStore
type SeenStore struct {
	rdb    redis.UniversalClient
	prefix string
}

// NewSeenStore makes a store whose names in Redis begin with "authos:seen:", prefix and a colon,
// without any I/O. Two receivers that do different work with the same event have a prefix each.
// Bad arguments give an [*authos.ValidationError].
func NewSeenStore(rdb redis.UniversalClient, prefix string) (*SeenStore, error) {
	var wrong findings
	wrong.client(rdb)
	if prefix == "" {
		wrong.add("prefix", authos.CodeRequired, "must not be empty")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return &SeenStore{rdb: rdb, prefix: prefix}, nil
}

// Seen reports whether id was recorded and its time has not passed.
func (s *SeenStore) Seen(ctx context.Context, id string) (bool, error) {
	n, err := await(ctx, func(ctx context.Context) (int64, error) { return s.rdb.Exists(ctx, s.name(id)).Result() })
	if err != nil {
		return false, fmt.Errorf("redisstore: looking for a delivery: %w", err)
	}
	return n > 0, nil
}

// Record keeps id for ttl, or for what is left of an earlier record where that is longer. A ttl
// that is not positive keeps nothing.
func (s *SeenStore) Record(ctx context.Context, id string, ttl time.Duration) error {
	if ttl <= 0 {
		return nil
	}
	_, err := await(ctx, func(ctx context.Context) (any, error) {
		return recordSeen.Run(ctx, s.rdb, []string{s.name(id)}, max(ttl.Milliseconds(), 1)).Result()
	})
	if err != nil {
		return fmt.Errorf("redisstore: recording a delivery: %w", err)
	}
	return nil
}

// recordSeen never shortens a record: of two replicas with different settings the longer one
// counts.
var recordSeen = redis.NewScript(`
if redis.call("PTTL", KEYS[1]) < tonumber(ARGV[1]) then
	redis.call("SET", KEYS[1], "1", "PX", ARGV[1])
end
return 1`)

// name hashes the id: what a stranger may have made up must not choose a name.
func (s *SeenStore) name(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "authos:seen:" + s.prefix + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}
