//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/redisstore"
)

const record = "authos:tokens:worker"

func TestLease(t *testing.T) {
	t.Parallel()
	storetest.TestLease(t, func(t *testing.T, crashes bool) storetest.Database {
		var durable []string
		if crashes {
			durable = servertest.Durable
		}
		s := startRedis(t, durable...)
		return storetest.Database{
			Tokens: func(name string, ttl time.Duration) storetest.Session {
				store := newSession(t, s.client(), name, redisstore.TokenOptions{}, ttl)
				return storetest.Session{
					TokenStoreAcquirer: store, Freeze: func() { redisstore.Freeze(store) },
					SaveLate: func(tokens authos.Tokens, meanwhile func()) error {
						return redisstore.SaveLate(context.Background(), store, tokens, meanwhile)
					},
				}
			},
			Steal: func(name string, life time.Duration) {
				until := s.client().Time(t.Context()).Val().Add(life).UnixMilli()
				if err := s.client().HSet(t.Context(), "authos:tokens:"+name, "o", "another", "u", until).Err(); err != nil {
					t.Fatal(err)
				}
			},
			Lossy: func(name string, ttl time.Duration) (authos.TokenStoreAcquirer, *servertest.Lossy) {
				p := servertest.StartLossy(t, s.Addr)
				return newSession(t, s.clientAt(p.Addr), name, redisstore.TokenOptions{}, ttl), p
			},
			Kill: s.Kill, Start: func() { s.Start() },
		}
	})
}

// TestUnlockLeavesTheTokens alone, and nothing of a session without any.
func TestUnlockLeavesTheTokens(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	store, rdb := s.tokens(time.Minute), s.client()
	unlock := lock(t, store)
	save(t, store, numbered(1))
	unlock()
	if left := rdb.HKeys(t.Context(), record).Val(); len(left) != 2 {
		t.Errorf("the record has %q, want the tokens and their sequence number", left)
	}
	if err := store.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := rdb.Keys(t.Context(), "*").Val(); len(left) != 0 {
		t.Errorf("%q are left of a deleted session", left)
	}
}

// TestHungRedis: nobody waits for a Redis that hangs, also with a client whose own patience is
// longer.
func TestHungRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer rdb.Close()
	store := newTokens(t, rdb, redisstore.TokenOptions{}, time.Minute)
	save(t, store, numbered(1))
	s.Freeze()
	storetest.FailsSoon(t, store)
	s.Thaw()
	storetest.BackSoon(t, store)
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

// TestLostBeat: a lock goes on being extended when Redis did not respond in between.
func TestLostBeat(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	rdb := s.client()
	failing := &instead{command: "evalsha", do: func(redis.Cmder) error { return errors.New("no") }}
	rdb.AddHook(failing)
	const ttl = 140 * time.Millisecond // of which a beat is a seventh
	unlock := lock(t, newTokens(t, rdb, redisstore.TokenOptions{}, ttl))
	defer unlock()
	failing.left.Store(2)
	eventually(t, "two beats fail", func() bool { return failing.left.Load() <= 0 })
	ends := func() int64 {
		until, err := s.client().HGet(context.Background(), record, "u").Int64()
		if err != nil {
			t.Error(err)
		}
		return until
	}
	before := ends()
	eventually(t, "the lock is extended", func() bool { return ends() > before })
}

// TestForeignReply: what no script gives, as of something that only looks like Redis, is neither
// "no tokens" nor a lock.
func TestForeignReply(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	rdb := s.client()
	foreign := &instead{command: "evalsha", do: func(cmd redis.Cmder) error {
		if cmd, ok := cmd.(*redis.Cmd); ok {
			cmd.SetVal([]any{})
		}
		return nil
	}}
	rdb.AddHook(foreign)
	store := newTokens(t, rdb, redisstore.TokenOptions{}, time.Minute)
	save(t, store, numbered(1))
	foreign.left.Store(1 << 30)
	_, loadErr := store.Load(t.Context())
	_, lockErr := store.Lock(t.Context())
	for what, err := range map[string]error{"Load": loadErr, "Lock": lockErr, "Save": store.Save(t.Context(), numbered(2)), "Check": store.Check(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "no Redis") {
			t.Errorf("%s gave %v, want that this is no Redis", what, err)
		}
	}
	foreign.left.Store(0)
	holds(t, store, numbered(1))
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
