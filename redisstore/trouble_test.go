//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/redisstore"
)

// Redis as it is found: full, evicting, failing over, moving slots.

// fill writes until Redis refuses more, or evicts. It reports how many keys were evicted.
func fill(t *testing.T, rdb *redis.Client, ttl time.Duration) (evicted int) {
	t.Helper()
	value := bytes.Repeat([]byte("x"), 64<<10)
	for n := range 2000 {
		err := rdb.Set(t.Context(), "others:"+strconv.Itoa(n), value, ttl).Err()
		if err != nil && !strings.Contains(err.Error(), "OOM") {
			t.Fatal(err)
		}
		if err != nil || n%50 == 49 && evictions(t, rdb) > 200 {
			return evictions(t, rdb)
		}
	}
	t.Fatal("Redis does not get full")
	return 0
}

func evictions(t *testing.T, rdb *redis.Client) int {
	t.Helper()
	for line := range strings.SplitSeq(rdb.Info(t.Context(), "stats").Val(), "\r\n") {
		if text, ok := strings.CutPrefix(line, "evicted_keys:"); ok {
			n, _ := strconv.Atoi(text)
			return n
		}
	}
	return 0
}

// TestFullRedis: under every policy that is let through, a full Redis evicts neither tokens nor
// lock, and a session in use can be refreshed, whether what fills it can be evicted or not.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"} {
		for what, ttl := range map[string]time.Duration{"keys with a time to live": time.Hour, "keys without": 0} {
			t.Run(policy+", "+what, func(t *testing.T) {
				t.Parallel()
				s := startRedis(t, "--maxmemory", "12mb", "--maxmemory-policy", policy)
				rdb := s.client()
				holder, other := s.tokens(time.Minute), s.tokens(time.Minute)
				if err := holder.Check(t.Context()); err != nil {
					t.Fatalf("Check: %v", err)
				}
				save(t, holder, numbered(1))
				unlock := lock(t, holder)
				evicted := fill(t, rdb, ttl)
				if wants := policy != "noeviction" && ttl > 0; (evicted > 0) != wants {
					t.Fatalf("%d keys were evicted, want some: %v", evicted, wants)
				}
				if evicted == 0 { // far above the limit, whatever buffers come and go
					if err := rdb.ConfigSet(t.Context(), "maxmemory", "2mb").Err(); err != nil {
						t.Fatal(err)
					}
					if err := rdb.Set(t.Context(), "more", "x", 0).Err(); err == nil || !strings.Contains(err.Error(), "OOM") {
						t.Fatalf("Redis is not full: %v", err)
					}
				}
				locked(t, other, 300*time.Millisecond)
				holds(t, other, numbered(1))
				save(t, holder, numbered(2))
				unlock()
				unlock = lock(t, other)
				locked(t, holder, 300*time.Millisecond)
				save(t, other, numbered(3))
				unlock()
				holds(t, holder, numbered(3))
				if err := holder.Delete(t.Context()); err != nil {
					t.Errorf("Delete: %v", err)
				}
			})
		}
	}
}

// TestEvictingRedisIsRefused: under allkeys-* Redis may drop the session. Nothing is saved or
// locked there, and the program is told when it starts.
func TestEvictingRedisIsRefused(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	rdb, store := s.client(), s.tokens(time.Minute)
	configure := func(memory, policy string) {
		t.Helper()
		for key, value := range map[string]string{"maxmemory": memory, "maxmemory-policy": policy} {
			if err := rdb.ConfigSet(t.Context(), key, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	save(t, store, numbered(1))
	for _, policy := range []string{"allkeys-lru", "allkeys-lfu", "allkeys-random"} {
		configure("100mb", policy)
		_, lockErr := store.Lock(t.Context())
		for what, err := range map[string]error{"Check": store.Check(t.Context()), "Lock": lockErr, "Save": store.Save(t.Context(), numbered(2))} {
			if err == nil || !strings.Contains(err.Error(), policy) {
				t.Errorf("%s: %s gave %v, want a refusal that names the policy", policy, what, err)
			}
		}
		holds(t, store, numbered(1)) // what is there can be used
		configure("0", policy)       // nothing is ever evicted
		if err := store.Check(t.Context()); err != nil {
			t.Errorf("%s without a maxmemory: Check gave %v", policy, err)
		}
		lock(t, store)()
	}
}

// TestHiddenPolicy: a user that may not see INFO can use the store all the same.
func TestHiddenPolicy(t *testing.T) {
	s := startRedis(t)
	if err := s.client().Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~authos:*", "+@all", "-info", "-config").Err(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "app", Password: "secret"})
	defer rdb.Close()
	store := newTokens(t, rdb, redisstore.TokenOptions{Key: keyA}, time.Minute)
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	unlock := lock(t, store)
	save(t, store, numbered(1))
	unlock()
	holds(t, store, numbered(1))
}

// replicaOf starts a replica, and waits until it has what its primary has.
func replicaOf(t *testing.T, primary string) *server {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	replica := startRedis(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	rdb := replica.client()
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(rdb.Info(context.Background(), "replication").Val(), "master_link_status:up")
	})
	return replica
}

// TestReplicaIsRefused, also for reading: it may give old tokens.
func TestReplicaIsRefused(t *testing.T) {
	t.Parallel()
	primary := startRedis(t, "--repl-diskless-sync-delay", "0")
	save(t, primary.tokens(time.Minute), numbered(1))
	store := replicaOf(t, primary.Addr).tokens(time.Minute)
	_, loadErr := store.Load(t.Context())
	_, lockErr := store.Lock(t.Context())
	for what, err := range map[string]error{
		"Load": loadErr, "Lock": lockErr, "Save": store.Save(t.Context(), numbered(2)), "Check": store.Check(t.Context()),
	} {
		if err == nil || !strings.Contains(err.Error(), "replica") {
			t.Errorf("%s gave %v, want that this is a replica", what, err)
		}
	}
}

// TestLaggingReplicaIsPromoted: the newest tokens are lost. Who had seen them is told, and puts
// them back under the lock.
func TestLaggingReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	primary := startRedis(t, "--repl-diskless-sync-delay", "0")
	link := servertest.StartLossy(t, primary.Addr) // between the two
	replica := replicaOf(t, link.Addr)
	front := servertest.StartLossy(t, primary.Addr)
	store := newTokens(t, primary.clientAt(front.Addr), redisstore.TokenOptions{Key: keyA}, time.Minute)
	save(t, store, numbered(1))
	rdb := replica.client()
	sequence := func(rdb *redis.Client) string { return rdb.HGet(context.Background(), record, "n").Val() }
	eventually(t, "the replica has the tokens", func() bool { return sequence(rdb) == sequence(primary.client()) })
	link.Lose.Store(1 << 30)
	save(t, store, numbered(2))
	if sequence(rdb) == sequence(primary.client()) {
		t.Fatal("the replica does not lag")
	}
	primary.Kill()
	if err := rdb.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	front.To.Store(&replica.Addr)

	eventually(t, "the new primary responds", func() bool {
		_, err := store.Load(context.Background())
		return err == nil || errors.Is(err, redisstore.ErrBehind)
	})
	storetest.WentBack(t, store, newTokens(t, rdb, redisstore.TokenOptions{Key: keyA}, time.Minute))
}

// TestSlotMoves: the session's slot moves to another node of the cluster, while it is locked and
// used.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	one, two := startRedis(t, "--cluster-enabled", "yes"), startRedis(t, "--cluster-enabled", "yes")
	a, b := one.client(), two.client()
	ctx := t.Context()
	do := func(rdb *redis.Client, args ...any) any {
		t.Helper()
		got, err := rdb.Do(ctx, args...).Result()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return got
	}
	do(a, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
	do(b, "CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
	host, port, _ := net.SplitHostPort(two.Addr)
	do(a, "CLUSTER", "MEET", host, port)
	ready := func(rdb *redis.Client) bool {
		info := rdb.ClusterInfo(context.Background()).Val()
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
	}
	eventually(t, "the cluster is ready", func() bool { return ready(a) && ready(b) })

	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{one.Addr}})
	defer cluster.Close()
	slot := int(a.ClusterKeySlot(ctx, record).Val())
	from, to, target := a, b, two
	if slot > 8191 {
		from, to, target = b, a, one
	}
	fromID, toID := do(from, "CLUSTER", "MYID"), do(to, "CLUSTER", "MYID")

	holder := newTokens(t, cluster, redisstore.TokenOptions{Key: keyA}, time.Minute)
	other := newTokens(t, cluster, redisstore.TokenOptions{Key: keyA}, time.Minute)
	use := func(when string, n int) {
		t.Helper()
		save(t, holder, numbered(n))
		locked(t, other, 100*time.Millisecond)
		holds(t, other, numbered(n))
		if t.Failed() {
			t.Fatal(when)
		}
	}
	unlock := lock(t, holder)
	use("before", 1)
	do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	use("the slot is moving, the record is not", 2)
	host, port, _ = net.SplitHostPort(target.Addr)
	do(from, "MIGRATE", host, port, record, 0, 5000)
	use("the record has moved, the slot has not", 3)
	do(to, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	do(from, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	use("the slot has moved", 4)
	unlock()
	lock(t, other)()
}
