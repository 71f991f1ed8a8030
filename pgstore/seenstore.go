package pgstore

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// SeenStore is a [webhook.SeenStore] in PostgreSQL: the replicas of a receiver know of each other's
// deliveries, and a restart forgets none. A record is a row of the table authos_seen, about 100
// bytes; every 100 records delete some whose time has passed.
//
// [webhook.SeenStore]: https://pkg.go.dev/github.com/authos-go/authos/webhook#SeenStore
type SeenStore struct {
	pool      *pgxpool.Pool
	namespace string
	records   atomic.Uint64
}

// NewSeenStore makes a store, without any I/O. Two receivers that do different work with the same
// event have a namespace each. Bad arguments give an [*authos.ValidationError].
//
// [*authos.ValidationError]: https://pkg.go.dev/github.com/authos-go/authos#ValidationError
func NewSeenStore(pool *pgxpool.Pool, namespace string) (*SeenStore, error) {
	var wrong findings
	wrong.pool(pool)
	wrong.name("namespace", namespace)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return &SeenStore{pool: pool, namespace: namespace}, nil
}

// Seen reports whether id was recorded and its time has not passed, by the database's clock.
func (s *SeenStore) Seen(ctx context.Context, id string) (bool, error) {
	var one int
	seen, err := query(ctx, s.pool, []any{&one},
		`SELECT 1 FROM authos_seen WHERE namespace = $1 AND id = $2 AND expires_at > clock_timestamp()`, s.namespace, digestOf(id))
	if err != nil {
		return false, failure("looking for a delivery", err)
	}
	return seen, nil
}

// Record keeps id for ttl, or for what is left of an earlier record where that is longer. A ttl
// that is not positive keeps nothing.
func (s *SeenStore) Record(ctx context.Context, id string, ttl time.Duration) error {
	if ttl <= 0 {
		return nil
	}
	_, err := query(ctx, s.pool, nil,
		`INSERT INTO authos_seen (namespace, id, expires_at) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
		 ON CONFLICT (namespace, id) DO UPDATE SET expires_at = greatest(authos_seen.expires_at, EXCLUDED.expires_at)`,
		s.namespace, digestOf(id), max(ttl.Microseconds(), 1))
	if err != nil {
		return failure("recording a delivery", err)
	}
	if s.records.Add(1)%tidyEvery == 0 {
		// What is left over costs space only, so its failure is nobody's.
		_, _ = query(ctx, s.pool, nil, `DELETE FROM authos_seen WHERE (namespace, id) IN (
			SELECT namespace, id FROM authos_seen WHERE namespace = $1 AND expires_at <= clock_timestamp() LIMIT $2)`,
			s.namespace, tidyRows)
	}
	return nil
}

// digestOf is a row's key: an id may be of any length.
func digestOf(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}
