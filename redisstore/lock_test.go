//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/redisstore"
)

// TestLockOutlivesItsHolder, who stops extending it, as if the process had died.
func TestLockOutlivesItsHolder(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := startRedis(t)
	dead, next := s.tokens(ttl), s.tokens(ttl)
	lock(t, dead)
	time.Sleep(ttl) // it lives, and extends the lock
	death := time.Now()
	redisstore.Freeze(dead)
	unlock := lock(t, next)
	defer unlock()
	if waited := time.Since(death); waited < ttl || waited > 2*ttl {
		t.Errorf("the lock of a dead holder ended after %v, want at least %v and not much more than %v", waited, ttl, 9*ttl/7)
	}
}

func TestLockIsExtended(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := startRedis(t)
	holder, other := s.tokens(ttl), s.tokens(ttl)
	unlock := lock(t, holder)
	locked(t, other, 3*ttl)
	save(t, holder, numbered(1))
	unlock()
	lock(t, other)()
	holds(t, other, numbered(1))
}

// TestLostLock: another process has had the lock since.
func TestLostLock(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := startRedis(t)
	frozen, owner := s.tokens(ttl), s.tokens(ttl)
	save(t, owner, numbered(1))
	unlockFrozen := lock(t, frozen)
	redisstore.Freeze(frozen)
	unlock := lock(t, owner)
	check := func(when string, want authos.Tokens) {
		t.Helper()
		for name, err := range map[string]error{
			"Save": frozen.Save(t.Context(), numbered(9)), "Delete": frozen.Delete(t.Context()),
		} {
			if !errors.Is(err, redisstore.ErrLockLost) {
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

const record = "authos:tokens:worker"

// ranOut reports whether the lock's time is over, by Redis's clock.
func ranOut(t *testing.T, rdb *redis.Client) bool {
	t.Helper()
	until, err := rdb.HGet(t.Context(), record, "u").Int64()
	return err == nil && rdb.Time(t.Context()).Val().UnixMilli() > until
}

// TestNobodyElseHadTheLock: a lock that ran out is as good as held while nobody else takes it.
func TestNobodyElseHadTheLock(t *testing.T) {
	const ttl = 100 * time.Millisecond
	s := startRedis(t)
	holder, other := s.tokens(ttl), s.tokens(ttl)
	unlock := lock(t, holder)
	redisstore.Freeze(holder)
	rdb := s.client()
	eventually(t, "the lock runs out", func() bool { return ranOut(t, rdb) })
	save(t, holder, numbered(1))
	holds(t, s.tokens(ttl), numbered(1))
	locked(t, other, ttl/2) // saving has taken the lock up again
	unlock()
	if left, err := rdb.Keys(t.Context(), "*").Result(); err != nil || len(left) != 1 {
		t.Errorf("Redis holds %q and %v, want the tokens alone", left, err)
	}
}

// TestSaveWithoutTheLock waits for its turn: a sign-in is not undone by the refresh that was under
// way.
func TestSaveWithoutTheLock(t *testing.T) {
	s := startRedis(t)
	holder, other := s.tokens(time.Second), s.tokens(time.Second)
	unlock := lock(t, holder)
	done := make(chan error)
	go func() { done <- other.Save(t.Context(), numbered(2)) }()
	select {
	case err := <-done:
		t.Fatalf("Save did not wait for the lock: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	save(t, holder, numbered(1))
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	holds(t, holder, numbered(2))
}

// TestNoUpdateIsLost counts in many goroutines of several stores.
func TestNoUpdateIsLost(t *testing.T) {
	const stores, workers, rounds = 3, 3, 20
	s := startRedis(t)
	save(t, s.tokens(time.Second), authos.Tokens{AccessToken: "0"})
	var group sync.WaitGroup
	for range stores {
		store := s.tokens(time.Second)
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
	holds(t, s.tokens(time.Second), authos.Tokens{AccessToken: strconv.Itoa(stores * workers * rounds)})
}

// TestLostResponses loses responses of Redis after it has acted: go-redis sends the command again.
func TestLostResponses(t *testing.T) {
	s := startRedis(t)
	p := startLossy(t, s.Addr)
	store := newTokens(t, s.clientAt(p.addr), redisstore.TokenOptions{}, time.Minute)
	other := s.tokens(time.Minute)
	for i := range 10 {
		p.lose.Store(1)
		unlock := lock(t, store)
		locked(t, other, 20*time.Millisecond)
		p.lose.Store(1)
		save(t, store, numbered(i))
		p.lose.Store(1)
		unlock()
		start := time.Now()
		lock(t, other)()
		if waited := time.Since(start); waited > 500*time.Millisecond {
			t.Errorf("the lock was released after %v", waited)
		}
		holds(t, other, numbered(i))
	}
	if lost := p.lost.Load(); lost != 30 {
		t.Errorf("%d responses were lost, want 30", lost)
	}
}

// TestLockThatNobodyWaitedFor: Redis grants a lock after its caller has left, and long after
// go-redis has.
func TestLockThatNobodyWaitedFor(t *testing.T) {
	t.Parallel()
	for _, hung := range []time.Duration{100 * time.Millisecond, 5 * time.Second} {
		t.Run(hung.String(), func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			left, other := s.tokens(time.Minute), s.tokens(time.Minute)
			holds(t, left, authos.Tokens{}) // connected
			s.Freeze()
			locked(t, left, 100*time.Millisecond)
			time.Sleep(hung)
			s.Thaw()
			lock(t, other)() // within the 10 s of lock, far from a minute
		})
	}
}

// TestLockGrantedLate: the command arrives when its caller has left and the lock has been given up,
// or even later, when nobody would give it up again.
func TestLockGrantedLate(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{300 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			s := startRedis(t)
			rdb := s.client()
			left, other := newTokens(t, rdb, redisstore.TokenOptions{}, time.Minute), s.tokens(time.Minute)
			lock(t, left)() // the scripts are loaded
			sent := make(chan struct{})
			rdb.AddHook(&overtake{command: "evalsha", do: func() {
				time.Sleep(late)
				close(sent)
			}})
			locked(t, left, 100*time.Millisecond)
			<-sent
			start := time.Now()
			lock(t, other)()
			if waited := time.Since(start); waited > 4*time.Second {
				t.Errorf("the lock lingered for %v", waited)
			}
			time.Sleep(50 * time.Millisecond)
			if late > 3*time.Second && s.client().HExists(t.Context(), record, "o").Val() {
				t.Error("a command that came too late got the lock")
			}
		})
	}
}

// TestUnlockWithoutRedis: a lock that could not be given back is given back when Redis is there
// again.
func TestUnlockWithoutRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t, servertest.Durable...)
	holder, other := s.tokens(time.Minute), s.tokens(time.Minute)
	unlock := lock(t, holder)
	s.Kill()
	unlock()
	s.Start()
	lock(t, other)()
	lock(t, holder)()
}

// TestRedisAway: nobody waits for a Redis that is down, and everything goes on when it is back.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		away, back func(s *server)
	}{
		{"stopped", (*server).Kill, func(s *server) { s.Start() }},
		{"hung", (*server).Freeze, (*server).Thaw},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := startRedis(t, servertest.Durable...)
			// with its own patience, which is longer
			rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
			defer rdb.Close()
			store := newTokens(t, rdb, redisstore.TokenOptions{}, time.Minute)
			save(t, store, numbered(1))
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
			tc.back(s)
			eventually(t, "Load works again", func() bool { _, err := store.Load(context.Background()); return err == nil })
			lock(t, store)()
		})
	}
}

// TestRedisLosesItsData: what a holder has in hand may be older than what was there.
func TestRedisLosesItsData(t *testing.T) {
	s := startRedis(t) // not durable
	holder, other := s.tokens(time.Minute), s.tokens(time.Minute)
	save(t, holder, numbered(1))
	unlock := lock(t, holder)
	s.Kill()
	s.Start()
	eventually(t, "Save is refused", func() bool {
		return errors.Is(holder.Save(context.Background(), numbered(2)), redisstore.ErrLockLost)
	})
	unlock()
	holds(t, other, authos.Tokens{})
	save(t, other, numbered(3))
	holds(t, holder, numbered(3))
}
