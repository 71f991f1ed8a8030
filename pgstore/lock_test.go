//go:build unix

package pgstore_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/pgstore"
)

// TestLockOutlivesItsHolder, who stops extending it, as if the process had died. The next one is
// told.
func TestLockOutlivesItsHolder(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := migrated(t)
	dead, next, third := s.tokens(ttl), s.tokens(ttl), s.tokens(ttl)
	lock(t, dead)
	time.Sleep(ttl) // it lives, and extends the lock
	death := time.Now()
	pgstore.Freeze(dead)
	release, clean, err := next.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(death); clean || waited < ttl || waited > 3*ttl {
		t.Errorf("the lock of a dead holder ended after %v (released: %v), want at least %v and not much more than %v", waited, clean, ttl, 9*ttl/7)
	}
	start := time.Now()
	release(false)
	release, clean, err = third.Acquire(t.Context())
	if waited := time.Since(start); err != nil || clean || waited < ttl {
		t.Errorf("a lock given up in doubt was had after %v (released: %v, %v)", waited, clean, err)
	}
	release(true)
	release, clean, err = next.Acquire(t.Context())
	if err != nil || !clean {
		t.Errorf("a lock that was released: released %v, %v", clean, err)
	}
	release(true)
}

// TestLostLock: another process has had the lock since.
func TestLostLock(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := migrated(t)
	frozen, owner := s.tokens(ttl), s.tokens(ttl)
	save(t, owner, numbered(1))
	unlockFrozen := lock(t, frozen)
	pgstore.Freeze(frozen)
	unlock := lock(t, owner)
	check := func(when string, want authos.Tokens) {
		t.Helper()
		for name, err := range map[string]error{
			"Save": frozen.Save(t.Context(), numbered(9)), "Delete": frozen.Delete(t.Context()),
		} {
			if !errors.Is(err, pgstore.ErrLockLost) {
				t.Errorf("%s: %s gave %v, want ErrLockLost", when, name, err)
			}
		}
		holds(t, frozen, want) // reading needs no lock, and is how the holder learns more
	}
	check("while the lock is another's", numbered(1))
	save(t, owner, numbered(2))
	unlock()
	check("after another had it", numbered(2))
	unlock = lock(t, owner)
	unlockFrozen()
	locked(t, s.tokens(ttl), 2*ttl) // unlock of a lost lock did not release the owner's
	unlock()
}

// TestNobodyElseHadTheLock: a lock that ran out is as good as held while nobody else takes it.
func TestNobodyElseHadTheLock(t *testing.T) {
	t.Parallel()
	const ttl = 100 * time.Millisecond
	s := migrated(t)
	holder, other := s.tokens(ttl), s.tokens(ttl)
	unlock := lock(t, holder)
	pgstore.Freeze(holder)
	time.Sleep(2 * ttl)
	save(t, holder, numbered(1))
	holds(t, other, numbered(1))
	locked(t, other, ttl/2) // saving has taken the lock up again
	unlock()
}

// TestNoUpdateIsLost counts in many goroutines of several stores.
func TestNoUpdateIsLost(t *testing.T) {
	t.Parallel()
	const stores, workers, rounds = 3, 3, 20
	s := migrated(t)
	save(t, s.tokens(time.Minute), authos.Tokens{AccessToken: "0"})
	var group sync.WaitGroup
	for range stores {
		store := s.tokens(time.Minute)
		for range workers {
			group.Go(func() {
				for range rounds {
					unlock, err := store.Lock(context.Background())
					if err != nil {
						t.Errorf("Lock: %v", err)
						return
					}
					got, err := store.Load(context.Background())
					n, _ := strconv.Atoi(got.AccessToken)
					if err == nil {
						err = store.Save(context.Background(), authos.Tokens{AccessToken: strconv.Itoa(n + 1)})
					}
					unlock()
					if err != nil {
						t.Errorf("under the lock: %v", err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	holds(t, s.tokens(time.Minute), authos.Tokens{AccessToken: strconv.Itoa(stores * workers * rounds)})
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

// TestDatabaseAway: nobody waits for a database that is down or hangs, and everything goes on when
// it is back. A lock that could not be given back is given back then.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ away, back func(s *server) }{
		"down": {(*server).Kill, func(s *server) { s.Start() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			store, holder := s.tokens(time.Minute), s.tokens(time.Minute)
			save(t, store, numbered(1))
			unlock := lock(t, holder)
			tc.away(s)
			for name, call := range map[string]func() error{
				"Load": func() error { _, err := store.Load(context.Background()); return err },
				"Save": func() error { return store.Save(context.Background(), numbered(2)) },
				"Lock": func() error { _, err := store.Lock(context.Background()); return err },
			} {
				start := time.Now()
				err := call()
				if took := time.Since(start); err == nil || took > 4*time.Second {
					t.Errorf("%s gave %v after %v, want an error within about 3 s", name, err, took)
				}
			}
			unlock()
			tc.back(s)
			servertest.Eventually(t, "Load works again", func() bool { _, err := store.Load(context.Background()); return err == nil })
			lock(t, store)()
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
