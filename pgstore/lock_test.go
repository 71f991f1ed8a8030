//go:build unix

package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/pgstore"
)

func TestLease(t *testing.T) {
	t.Parallel()
	storetest.TestLease(t, func(t *testing.T, _ bool) storetest.Database {
		s := migrated(t)
		return storetest.Database{
			Tokens: func(name string, ttl time.Duration) storetest.Session {
				store := newSession(t, s.pool(), name, ttl)
				return storetest.Session{
					TokenStoreAcquirer: store, Freeze: func() { pgstore.Freeze(store) },
					SaveLate: func(tokens authos.Tokens, meanwhile func()) error {
						return pgstore.SaveLate(context.Background(), store, tokens, meanwhile)
					},
				}
			},
			Steal: func(name string, life time.Duration) {
				_, err := s.pool().Exec(t.Context(), "UPDATE authos_sessions SET owner = 'another', until = clock_timestamp() + $2 WHERE name = $1", name, life)
				if err != nil {
					t.Fatal(err)
				}
			},
			Lossy: func(name string, ttl time.Duration) (authos.TokenStoreAcquirer, *servertest.Lossy) {
				p := servertest.StartLossy(t, s.Addr)
				return newSession(t, newPool(t, strings.Replace(s.URL(), s.Addr, p.Addr, 1)), name, ttl), p
			},
			Kill: s.Kill, Start: func() { s.Start() },
		}
	})
}

// TestConnectionsAreLost while the lock is held: it is neither lost nor given away, and the next
// operations are done on other connections.
func TestConnectionsAreLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, s *server){
		"terminated": func(t *testing.T, s *server) {
			if _, err := s.pool().Exec(t.Context(),
				"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"); err != nil {
				t.Fatal(err)
			}
		},
		"the server is restarted": func(_ *testing.T, s *server) {
			s.Signal(syscall.SIGINT) // it ends its clients, and itself
			time.Sleep(300 * time.Millisecond)
			s.Kill()
			s.Start()
		},
		"the server crashes": func(_ *testing.T, s *server) {
			s.Kill()
			s.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			holder, other := s.tokens(time.Minute), s.tokens(time.Minute)
			save(t, holder, numbered(1))
			unlock := lock(t, holder)
			holds(t, other, numbered(1))
			lose(t, s)
			locked(t, other, 500*time.Millisecond)
			save(t, holder, numbered(2))
			holds(t, other, numbered(2))
			unlock()
			release, clean, err := other.Acquire(t.Context())
			if err != nil || !clean {
				t.Fatalf("Acquire gave %v, %v", clean, err)
			}
			release(true)
		})
	}
}

// TestBlockedRow: somebody's transaction holds the session's row. Calls end with their patience,
// and a statement to take the lock that is granted after its caller has left gives it to nobody.
func TestBlockedRow(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	store, other := s.tokens(time.Minute), s.tokens(time.Minute)
	save(t, store, numbered(1))
	tx, err := s.pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT name FROM authos_sessions FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	locked(t, store, 300*time.Millisecond)
	holds(t, other, numbered(1))
	start := time.Now()
	if _, err := other.Lock(context.Background()); err == nil || time.Since(start) > 4*time.Second {
		t.Errorf("Lock gave %v after %v, want an error within about 3 s", err, time.Since(start))
	}
	if err := tx.Rollback(t.Context()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		t.Fatal(err)
	}
	start = time.Now()
	lock(t, other)()
	lock(t, store)()
	if waited := time.Since(start); waited > 4*time.Second {
		t.Errorf("the lock lingered for %v", waited)
	}
}

// interlude does something before the nth statement of a pool.
type interlude struct {
	nth int32
	do  func()
	n   atomic.Int32
}

func (i *interlude) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if i.n.Add(1) == i.nth {
		i.do()
	}
	return ctx
}

func (*interlude) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestBlockedTable: somebody's transaction changes the table, and every statement waits for it.
// Lock ends with the first one's patience, whichever that is: the next one gets none of its own.
func TestBlockedTable(t *testing.T) {
	t.Parallel()
	for n, statement := range []string{"asks for the time", "takes the lock", "asks who has it"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			defer lock(t, s.tokens(time.Minute))()
			tx, err := s.pool().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.Background()) }()
			var blocked time.Time
			store := newTokens(t, tracedPool(t, s.URL(), &interlude{nth: int32(n + 1), do: func() {
				if _, err := tx.Exec(t.Context(), "LOCK TABLE authos_sessions"); err != nil {
					t.Error(err)
				}
				blocked = time.Now()
			}}), time.Minute)
			if _, err := store.Lock(context.Background()); err == nil || !strings.Contains(err.Error(), "in time") || blocked.IsZero() {
				t.Errorf("Lock gave %v, want that there was no response in time", err)
			}
			if waited := time.Since(blocked); waited > 5*time.Second {
				t.Errorf("Lock took %v, want about the 3 s of one statement", waited)
			}
		})
	}
}

// TestClockIsSet: the database's clock is set forward by an hour. A store that knows the time from
// before is not too late for ever.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	rows := s.pool()
	exec := func(sql string) {
		t.Helper()
		if _, err := rows.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE SCHEMA set")
	clock := func(by string) {
		t.Helper()
		exec("CREATE OR REPLACE FUNCTION set.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS " +
			"$$ SELECT pg_catalog.clock_timestamp() + interval '" + by + "' $$")
	}
	clock("0")
	store := newTokens(t, newPool(t, s.URL()+"&search_path=set,pg_catalog,public"), time.Minute)
	save(t, store, numbered(1))
	clock("1 hour")
	lock(t, store)()
}

// TestTakenAtOnce: a free lock is had by the first statement to take it, also of a store that has
// not asked for the database's time before.
func TestTakenAtOnce(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	store := s.tokens(time.Minute)
	if taken, err := pgstore.Take(t.Context(), store, "me", time.Minute, time.Minute); err != nil || !taken {
		t.Errorf("taken: %v, %v, of a free lock", taken, err)
	}
	if taken, err := pgstore.Take(t.Context(), s.tokens(time.Minute), "other", time.Minute, time.Minute); err != nil || taken {
		t.Errorf("taken: %v, %v, of a lock that is held", taken, err)
	}
}

// refusals counts statements that PostgreSQL has refused.
type refusals struct{ n atomic.Int32 }

func (*refusals) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (r *refusals) TraceQueryEnd(_ context.Context, _ *pgx.Conn, end pgx.TraceQueryEndData) {
	if _, ok := errors.AsType[*pgconn.PgError](end.Err); ok {
		r.n.Add(1)
	}
}

// TestLostBeat: a lock goes on being extended when PostgreSQL refused that in between.
func TestLostBeat(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	refused := &refusals{}
	const ttl = 140 * time.Millisecond // of which a beat is a seventh
	unlock := lock(t, newTokens(t, tracedPool(t, s.URL(), refused), ttl))
	defer unlock()
	rows := s.pool()
	rename := func(from, to string) {
		t.Helper()
		if _, err := rows.Exec(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("authos_sessions", "away")
	servertest.Eventually(t, "two beats are refused", func() bool { return refused.n.Load() >= 2 })
	rename("away", "authos_sessions")
	ends := func() (until time.Time) {
		if err := rows.QueryRow(context.Background(), "SELECT until FROM authos_sessions").Scan(&until); err != nil {
			t.Error(err)
		}
		return until
	}
	before := ends()
	servertest.Eventually(t, "the lock is extended", func() bool { return ends().After(before) })
}

// TestTakenTooLate: a statement that waited for the row until its caller had left gives the lock to
// nobody, wherever it waited.
func TestTakenTooLate(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	store, other := s.tokens(time.Minute), s.tokens(time.Minute)
	save(t, store, numbered(1))
	tx, err := s.pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT name FROM authos_sessions FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	const patience = 300 * time.Millisecond
	time.AfterFunc(2*patience, func() { _ = tx.Rollback(context.Background()) })
	taken, err := pgstore.Take(t.Context(), store, "me", time.Minute, patience)
	if err != nil || taken {
		t.Errorf("taken: %v, %v, after the patience of the one who wanted it", taken, err)
	}
	lock(t, other)()
	for _, name := range []string{"worker", "new"} {
		late := newSession(t, s.pool(), name, time.Minute)
		if taken, err := pgstore.Take(t.Context(), late, "me", time.Minute, -time.Second); err != nil || taken {
			t.Errorf("%s: taken: %v, %v, with a statement that was late when it came", name, taken, err)
		}
	}
}
