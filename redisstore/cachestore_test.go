//go:build unix

package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/redisstore"
)

func newCache(t testing.TB, rdb redis.UniversalClient, opts redisstore.CacheOptions) *redisstore.CacheStore {
	t.Helper()
	c, err := redisstore.NewCacheStore(rdb, "responses", opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCacheStoreSuite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		key  redisstore.Key
		rdb  func(t *testing.T) redis.UniversalClient
	}{
		{"clear text", nil, func(t *testing.T) redis.UniversalClient { return startRedis(t).client() }},
		{"encrypted", keyA, func(t *testing.T) redis.UniversalClient { return startRedis(t).client() }},
		{"cluster", keyA, func(t *testing.T) redis.UniversalClient { return startCluster(t) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rdb := tc.rdb(t)
			err := authostest.TestCacheStore(func() (authos.CacheStore, error) {
				return redisstore.NewCacheStore(rdb, "responses", redisstore.CacheOptions{Key: tc.key})
			}, authostest.Persistent())
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeletePrefixDoesNotScan: Redis may hold millions of keys of others.
func TestDeletePrefixDoesNotScan(t *testing.T) {
	rdb := startRedis(t).client()
	c := newCache(t, rdb, redisstore.CacheOptions{})
	for i := range 100 {
		set(t, c, fmt.Sprintf("base/user/%d", i), "v")
	}
	rdb.ConfigResetStat(t.Context())
	if err := c.DeletePrefix(t.Context(), "base/"); err != nil {
		t.Fatal(err)
	}
	stats := rdb.Info(t.Context(), "commandstats").Val()
	// and CONFIG itself
	if n := strings.Count(stats, "cmdstat_"); !strings.Contains(stats, "cmdstat_del:calls=1,") || n > 2 {
		t.Errorf("to delete a prefix with 100 keys took:\n%s", stats)
	}
	keeps(t, c, "base/user/7", "")
}

func TestDeletePrefixBounds(t *testing.T) {
	c := newCache(t, startRedis(t).client(), redisstore.CacheOptions{})
	set(t, c, "a/b", "1")
	set(t, c, "alone", "2")
	if err := c.DeletePrefix(t.Context(), "a"); err == nil {
		t.Error("a prefix that does not end at a '/' was taken, though nothing can be deleted by it")
	}
	keeps(t, c, "a/b", "1")
	if err := c.DeletePrefix(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	keeps(t, c, "a/b", "")
	keeps(t, c, "alone", "")
}

// TestDeletedStaysDeleted also when a folder is used again, and when Redis evicts stamps.
func TestDeletedStaysDeleted(t *testing.T) {
	rdb := startRedis(t).client()
	c := newCache(t, rdb, redisstore.CacheOptions{})
	set(t, c, "a/old", "1")
	if err := c.DeletePrefix(t.Context(), "a/"); err != nil {
		t.Fatal(err)
	}
	set(t, c, "a/new", "2")
	keeps(t, c, "a/old", "")
	keeps(t, c, "a/new", "2")

	stamps, err := rdb.Keys(t.Context(), "authos:cache:responses:folder:*").Result()
	if err != nil || len(stamps) != 2 {
		t.Fatalf("stamps %q, %v, want one for the root and one for a/", stamps, err)
	}
	for _, name := range stamps {
		set(t, c, "a/new", "3")
		rdb.Del(t.Context(), name)
		keeps(t, c, "a/new", "")
		set(t, c, "a/other", "4")
		keeps(t, c, "a/new", "")
	}
}

// overtake does something when the first command of a kind is on its way to Redis.
type overtake struct {
	command string
	do      func()
	done    atomic.Bool
}

func (o *overtake) DialHook(next redis.DialHook) redis.DialHook { return next }
func (o *overtake) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (o *overtake) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == o.command && o.done.CompareAndSwap(false, true) {
			o.do()
		}
		return next(context.WithoutCancel(ctx), cmd) // go-redis does not look at ctx while it sends
	}
}

// instead does something in place of commands of a kind, as long as there are any left to do it to.
type instead struct {
	command string
	do      func(cmd redis.Cmder) error
	left    atomic.Int32
}

func (i *instead) DialHook(next redis.DialHook) redis.DialHook { return next }
func (i *instead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (i *instead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == i.command && i.left.Add(-1) >= 0 {
			err := i.do(cmd)
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func TestDeletedWhileSet(t *testing.T) {
	s := startRedis(t)
	plain := newCache(t, s.client(), redisstore.CacheOptions{})
	rdb := s.client()
	rdb.AddHook(&overtake{command: "set", do: func() {
		if err := plain.DeletePrefix(context.Background(), "a/b/"); err != nil {
			t.Error(err)
		}
	}})
	set(t, newCache(t, rdb, redisstore.CacheOptions{}), "a/b/c", "old")
	keeps(t, plain, "a/b/c", "")
	set(t, plain, "a/b/d", "new")
	keeps(t, plain, "a/b/c", "")
}

func TestTimeToLive(t *testing.T) {
	rdb := startRedis(t).client()
	c := newCache(t, rdb, redisstore.CacheOptions{})
	set(t, c, "alone", "v")
	for _, name := range rdb.Keys(t.Context(), "*").Val() {
		if left := rdb.PTTL(t.Context(), name).Val(); left <= 0 || left > time.Minute {
			t.Errorf("%s has a time to live of %v", name, left)
		}
	}
	rdb.FlushAll(t.Context())
	for i, ttl := range []time.Duration{time.Minute, time.Hour, 30 * time.Second} {
		if err := c.Set(t.Context(), "a/"+strconv.Itoa(i), []byte("v"), ttl); err != nil {
			t.Fatal(err)
		}
	}
	names, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 5 {
		t.Fatalf("Redis holds %q, %v, want three entries and two stamps", names, err)
	}
	for _, name := range names {
		left := rdb.PTTL(t.Context(), name).Val()
		if left <= 0 || left > time.Hour {
			t.Errorf("%s has a time to live of %v", name, left)
		}
		if strings.Contains(name, ":folder:") && left < 59*time.Minute {
			t.Errorf("a stamp goes after %v, before what is in its folder", left)
		}
	}
	for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond} {
		set(t, c, "a/none", "v")
		if err := c.Set(t.Context(), "a/none", []byte("w"), ttl); err != nil {
			t.Errorf("Set for %v: %v", ttl, err)
		}
		keeps(t, c, "a/none", "")
	}
}

func TestLargestValue(t *testing.T) {
	c := newCache(t, startRedis(t).client(), redisstore.CacheOptions{MaxValueBytes: 100})
	set(t, c, "a/b", strings.Repeat("x", 100))
	if err := c.Set(t.Context(), "a/b", make([]byte, 101), time.Minute); err == nil {
		t.Error("a value larger than MaxValueBytes was kept")
	}
	keeps(t, c, "a/b", strings.Repeat("x", 100))
}

func TestResponsesAtRest(t *testing.T) {
	rdb := startRedis(t).client()
	names := newCache(t, rdb, redisstore.CacheOptions{})
	storetest.TestResponsesAtRest(t, storetest.Rest[authos.CacheStore]{
		ClearText: true,
		Open: func(_ string, key redisstore.Key, old ...redisstore.Key) authos.CacheStore {
			return newCache(t, rdb, redisstore.CacheOptions{Key: key, OldKeys: old})
		},
		Raw: func(key string) []byte {
			stored, err := rdb.Get(t.Context(), names.Name(key)).Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return stored
		},
		Put: func(key string, value []byte) {
			if err := rdb.Set(t.Context(), names.Name(key), value, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
		},
	})
	for _, name := range rdb.Keys(t.Context(), "*").Val() {
		if strings.Contains(name, "users") {
			t.Errorf("the name %q shows whose responses are cached", name)
		}
	}
}

// TestHungRedisCostsNoTime: the client gives each use of the store a second, and go-redis does not
// look at it by itself.
func TestHungRedisCostsNoTime(t *testing.T) {
	s := startRedis(t)
	c := newCache(t, s.client(), redisstore.CacheOptions{})
	set(t, c, "a/b", "v")
	s.Freeze()
	for name, call := range map[string]func(context.Context) error{
		"Get":          func(ctx context.Context) error { _, _, err := c.Get(ctx, "a/b"); return err },
		"Set":          func(ctx context.Context) error { return c.Set(ctx, "a/b", []byte("w"), time.Minute) },
		"DeletePrefix": func(ctx context.Context) error { return c.DeletePrefix(ctx, "a/") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		err := call(ctx)
		if took := time.Since(start); err == nil || took > time.Second {
			t.Errorf("%s gave %v after %v, want the context's end after 100ms", name, err, took)
		}
		cancel()
	}
}
