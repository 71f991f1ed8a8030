package pgstore

import (
	"context"
	"time"

	"github.com/authos-go/authos/internal/lease"
)

// table is the lock of a session's row as package lease sees it. A lock that has run out is still
// its owner's while nobody else has taken it: a process that was frozen may then save. What it may
// not is to save after another had the lock, and the owner's text, which only the owner knows, says
// so.
type table struct{ s *TokenStore }

// Take gives a lock that is free or has run out; to its owner again, too, whose response was lost.
// $4 is when the statement is too old: a statement may arrive after its sender has left.
func (t table) Take(ctx context.Context, owner string, life, patience time.Duration) (lease.Taken, error) {
	s := t.s
	if s.clock.Now().IsZero() {
		if _, err := s.row(ctx); err != nil {
			return lease.Taken{}, err
		}
	}
	latest := s.clock.Now().Add(patience)
	var unclean bool
	var now time.Time
	found, err := query(ctx, s.pool, []any{&unclean, &now},
		`INSERT INTO authos_sessions AS s (name, owner, until)
		 SELECT $1, $2, clock_timestamp() + $3 * interval '1 millisecond' WHERE clock_timestamp() <= $4
		 ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until,
		     unclean = CASE WHEN s.owner = EXCLUDED.owner THEN s.unclean ELSE s.owner IS NOT NULL END
		 WHERE clock_timestamp() <= $4 AND (s.owner IS NULL OR s.owner = EXCLUDED.owner OR s.until <= clock_timestamp())
		 RETURNING s.unclean, clock_timestamp()`,
		s.name, owner, life.Milliseconds(), latest)
	if err != nil {
		return lease.Taken{}, err
	}
	if found {
		s.clock.Saw(now)
		return lease.Taken{OK: true, Clean: !unclean}, nil
	}
	var left float64 // milliseconds
	_, err = query(ctx, s.pool, []any{&now, &left},
		`SELECT clock_timestamp(), coalesce(extract(epoch FROM s.until - clock_timestamp()) * 1000, 0)::float8
		 FROM (SELECT 1) AS one LEFT JOIN authos_sessions AS s ON s.name = $1`, s.name)
	if err != nil {
		return lease.Taken{}, err
	}
	s.clock.Saw(now) // it may have been set
	return lease.Taken{Wait: time.Duration(left * float64(time.Millisecond))}, nil
}

// Extend implements [lease.Table].
func (t table) Extend(ctx context.Context, owner string, life time.Duration) error {
	var done bool
	found, err := query(ctx, t.s.pool, []any{&done},
		`UPDATE authos_sessions SET until = clock_timestamp() + $3 * interval '1 millisecond' WHERE name = $1 AND owner = $2
		 RETURNING true`, t.s.name, owner, life.Milliseconds())
	if err == nil && !found {
		err = lease.ErrLost
	}
	return err
}

// Free leaves nothing behind but the tokens: no late statement of the owner is let through.
func (t table) Free(ctx context.Context, owner string) error {
	var done bool
	_, err := query(ctx, t.s.pool, []any{&done},
		`WITH gone AS (DELETE FROM authos_sessions WHERE name = $1 AND owner = $2 AND tokens IS NULL)
		 UPDATE authos_sessions SET owner = NULL, until = NULL
		 WHERE name = $1 AND owner = $2 AND tokens IS NOT NULL RETURNING true`, t.s.name, owner)
	return err
}
