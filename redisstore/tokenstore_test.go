//go:build unix

package redisstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/redisstore"
)

func TestTokenStoreSuite(t *testing.T) {
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
			rdb := tc.rdb(t)
			err := authostest.TestTokenStore(func() (authos.TokenStore, error) {
				store, err := redisstore.NewTokenStore(rdb, "worker", redisstore.TokenOptions{Key: tc.key})
				if err == nil {
					redisstore.Shorten(store, time.Second)
				}
				return store, err
			}, authostest.Persistent(), authostest.LockEnds(time.Second))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	replicas := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, RouteRandomly: true})
	defer replicas.Close()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": "127.0.0.1:1"}, HeartbeatFrequency: time.Hour})
	defer ring.Close()
	sentinel := redis.NewFailoverClusterClient(&redis.FailoverOptions{
		MasterName: "m", SentinelAddrs: []string{"127.0.0.1:1"}, ReplicaOnly: true, RouteRandomly: true,
	})
	defer sentinel.Close()
	short := redisstore.Key("short")
	type tokens = redisstore.TokenOptions
	type cache = redisstore.CacheOptions
	for _, tc := range []struct {
		name   string
		make   func() (any, error)
		fields []string // that the error names; none: it is fine
	}{
		{"defaults", func() (any, error) { return redisstore.NewTokenStore(rdb, "k", tokens{}) }, nil},
		{"shortest lock", func() (any, error) { return redisstore.NewTokenStore(rdb, "k", tokens{LockTTL: 45 * time.Second}) }, nil},
		{"longest lock", func() (any, error) {
			return redisstore.NewTokenStore(rdb, "k", tokens{Key: keyA, OldKeys: []redisstore.Key{keyB}, LockTTL: 10 * time.Minute})
		}, nil},
		{"everything", func() (any, error) {
			return redisstore.NewTokenStore(nil, "", tokens{Key: short, OldKeys: []redisstore.Key{short}, LockTTL: time.Second})
		}, []string{"rdb", "key", "Key", "OldKeys", "LockTTL"}},
		{"key is empty, not nil", func() (any, error) { return redisstore.NewTokenStore(rdb, "k", tokens{Key: redisstore.Key{}}) }, []string{"Key"}},
		{"old keys alone", func() (any, error) {
			return redisstore.NewTokenStore(rdb, "k", tokens{OldKeys: []redisstore.Key{keyA}})
		}, []string{"Key"}},
		{"a ring", func() (any, error) { return redisstore.NewTokenStore(ring, "k", tokens{}) }, []string{"rdb"}},
		{"a nil client", func() (any, error) { return redisstore.NewTokenStore((*redis.Client)(nil), "k", tokens{}) }, []string{"rdb"}},
		{"Sentinel's replicas", func() (any, error) { return redisstore.NewTokenStore(sentinel, "k", tokens{}) }, []string{"rdb"}},
		{"cache, a ring", func() (any, error) { return redisstore.NewCacheStore(ring, "k", cache{}) }, []string{"rdb"}},
		{"lock ends too early", func() (any, error) { return redisstore.NewTokenStore(rdb, "k", tokens{LockTTL: 44 * time.Second}) }, []string{"LockTTL"}},
		{"lock ends too late", func() (any, error) { return redisstore.NewTokenStore(rdb, "k", tokens{LockTTL: time.Hour}) }, []string{"LockTTL"}},
		{"reads from replicas", func() (any, error) { return redisstore.NewTokenStore(replicas, "k", tokens{}) }, []string{"rdb"}},
		{"cache, defaults", func() (any, error) { return redisstore.NewCacheStore(rdb, "p", cache{}) }, nil},
		{"cache, smallest", func() (any, error) { return redisstore.NewCacheStore(rdb, "p", cache{MaxValueBytes: 1}) }, nil},
		{"cache, largest", func() (any, error) { return redisstore.NewCacheStore(rdb, "p", cache{MaxValueBytes: 16 << 20}) }, nil},
		{"cache, everything", func() (any, error) {
			return redisstore.NewCacheStore(nil, "", cache{Key: short, OldKeys: []redisstore.Key{short}, MaxValueBytes: -1})
		}, []string{"rdb", "prefix", "Key", "OldKeys", "MaxValueBytes"}},
		{"cache, too large", func() (any, error) { return redisstore.NewCacheStore(rdb, "p", cache{MaxValueBytes: 1 << 30}) }, []string{"MaxValueBytes"}},
		{"cache, reads from replicas", func() (any, error) { return redisstore.NewCacheStore(replicas, "p", cache{}) }, []string{"rdb"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.make()
			var fields []string
			if e, ok := errors.AsType[*authos.ValidationError](err); ok {
				for _, f := range e.Fields {
					fields = append(fields, f.Field)
				}
			}
			slices.Sort(fields)
			want := slices.Sorted(slices.Values(tc.fields))
			if !slices.Equal(fields, want) || (err == nil) != (want == nil) {
				t.Errorf("error %v names the fields %q, want %q", err, fields, want)
			}
		})
	}
}

// TestKeysAreDistinct: each key is a session of its own, also in a cluster, whose hash tags some
// keys look like.
func TestKeysAreDistinct(t *testing.T) {
	keys := []string{
		"alice", "{alice}", "k", "a b", "session:1", "{user:7}.tokens", "x{user:7}", "{}", "{}{a}", "{", "}", "a}b", "a{}b", "{a", "a}",
		"\x00\xff", "ключ", "alice:lock", "alice:fence",
	}
	for name, rdb := range map[string]redis.UniversalClient{"single": startRedis(t).client(), "cluster": startCluster(t)} {
		t.Run(name, func(t *testing.T) {
			for round, check := range []func(*redisstore.TokenStore, int){
				func(s *redisstore.TokenStore, i int) { save(t, s, numbered(i)) },
				func(s *redisstore.TokenStore, i int) { holds(t, s, numbered(i)) },
				func(s *redisstore.TokenStore, _ int) { lock(t, s) }, // all at once
			} {
				for i, key := range keys {
					store, err := redisstore.NewTokenStore(rdb, key, redisstore.TokenOptions{})
					if err != nil {
						t.Fatalf("round %d, key %q: %v", round, key, err)
					}
					check(store, i)
				}
			}
		})
	}
}

func TestTokensAtRest(t *testing.T) {
	rdb := startRedis(t).client()
	name := func(session string) string { return "authos:tokens:" + session }
	storetest.TestTokensAtRest(t, storetest.Rest[authos.TokenStore]{
		ClearText: true,
		Open: func(session string, key redisstore.Key, old ...redisstore.Key) authos.TokenStore {
			store, err := redisstore.NewTokenStore(rdb, session, redisstore.TokenOptions{Key: key, OldKeys: old})
			if err != nil {
				t.Fatal(err)
			}
			return store
		},
		Raw: func(session string) []byte {
			stored, err := rdb.HGet(t.Context(), name(session), "t").Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return stored
		},
		Put: func(session string, value []byte) {
			if err := rdb.HSet(t.Context(), name(session), "t", value).Err(); err != nil {
				t.Fatal(err)
			}
		},
		Move: func(from, to string) {
			if err := rdb.Copy(t.Context(), name(from), name(to), 0, true).Err(); err != nil {
				t.Fatal(err)
			}
		},
	})
}

func TestNothingIsShown(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	secret := "0123456789abcdefghijklmnopqrstuv"
	key := redisstore.Key(secret)
	opts := redisstore.TokenOptions{Key: key, OldKeys: []redisstore.Key{key}}
	cacheOpts := redisstore.CacheOptions{Key: key, OldKeys: opts.OldKeys}
	tokens, err := redisstore.NewTokenStore(rdb, "k", opts)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := redisstore.NewCacheStore(rdb, "p", cacheOpts)
	if err != nil {
		t.Fatal(err)
	}
	storetest.NothingShown(t, secret, opts.Key, opts, &opts, cacheOpts, tokens, cache)
	storetest.Named(t, tokens, "redisstore.TokenStore(authos:tokens:k)")
	storetest.Named(t, cache, "redisstore.CacheStore(p)")
}

// TestErrorsHoldNoValues meets a Redis that repeats the arguments of commands it does not know.
func TestErrorsHoldNoValues(t *testing.T) {
	s := startRedis(t, "--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "", "--rename-command", "SET", "", "--rename-command", "GET", "")
	rdb := s.client()
	if err := rdb.Set(t.Context(), "k", "a-secret", 0).Err(); err == nil || !strings.Contains(err.Error(), "a-secret") {
		t.Fatalf("this Redis does not repeat arguments: %v", err)
	}
	store := s.tokens(time.Second)
	cache, err := redisstore.NewCacheStore(rdb, "a-secret", redisstore.CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, loadErr := store.Load(t.Context())
	_, _, getErr := cache.Get(t.Context(), "k/a-secret")
	for name, err := range map[string]error{
		"Load": loadErr,
		"Save": store.Save(t.Context(), authos.Tokens{AccessToken: "a-secret"}),
		"Get":  getErr,
		"Set":  cache.Set(t.Context(), "k/a-secret", []byte("a-secret"), time.Minute),
	} {
		if err == nil || !strings.Contains(err.Error(), "unknown command") {
			t.Errorf("%s: %v, want an error that says what Redis refused", name, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %q shows a value", name, err)
		}
	}
}
