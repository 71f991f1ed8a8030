//go:build unix

package redisstore_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/redisstore"
)

var (
	keyA = redisstore.Key(bytes.Repeat([]byte("a"), 32))
	keyB = redisstore.Key(bytes.Repeat([]byte("b"), 32))
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
	open := func(name string, opts redisstore.TokenOptions) *redisstore.TokenStore {
		store, err := redisstore.NewTokenStore(rdb, name, opts)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	raw := func(name string) []byte {
		b, err := rdb.HGet(t.Context(), "authos:tokens:"+name, "t").Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(name string, value any) {
		t.Helper()
		if err := rdb.HSet(t.Context(), "authos:tokens:"+name, "t", value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	tokens := authos.Tokens{AccessToken: "the-access-token", RefreshToken: "the-refresh-token", ExpiresAt: time.Now().Add(time.Hour)}
	refused := func(what string, store *redisstore.TokenStore) {
		t.Helper()
		got, err := store.Load(t.Context())
		if err == nil || got != (authos.Tokens{}) {
			t.Errorf("%s: Load gave %v and %v, want an error alone", what, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "token-") {
			t.Errorf("%s: the error %q shows the value", what, err)
		}
	}
	plain, a, b := open("one", redisstore.TokenOptions{}), open("one", redisstore.TokenOptions{Key: keyA}), open("one", redisstore.TokenOptions{Key: keyB})
	rotated := open("one", redisstore.TokenOptions{Key: keyB, OldKeys: []redisstore.Key{keyA}})
	other := open("two", redisstore.TokenOptions{Key: keyA})

	save(t, a, tokens)
	first := raw("one")
	// as it is in clear text
	encoded := base64.StdEncoding.EncodeToString([]byte(tokens.RefreshToken))
	if bytes.Contains(first, []byte(tokens.RefreshToken)) || bytes.Contains(first, []byte(encoded)) {
		t.Error("the refresh token can be read in Redis")
	}
	refused("no key", plain)
	refused("another key", b)
	holds(t, rotated, tokens)
	save(t, a, tokens)
	if bytes.Equal(first, raw("one")) {
		t.Error("the same tokens were encrypted to the same bytes twice: the nonce is not random")
	}

	if err := rdb.Copy(t.Context(), "authos:tokens:one", "authos:tokens:two", 0, true).Err(); err != nil {
		t.Fatal(err)
	}
	refused("moved from another key", other)
	stale := raw("one")
	save(t, a, tokens)
	put("one", stale)
	refused("an old value put in the newer one's place", a)
	save(t, a, tokens)

	good := raw("one")
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := a.Decode(bad); err == nil {
			t.Fatalf("byte %d changed, and still decrypted", i)
		}
		if _, err := a.Decode(good[:i]); err == nil {
			t.Fatalf("cut after %d bytes, and still decrypted", i)
		}
	}

	save(t, rotated, tokens)
	refused("the old key alone, after a rotation", a)
	holds(t, b, tokens)

	save(t, plain, tokens)
	refused("clear text where a key is configured", a)
	for _, foreign := range []string{"", "x", "c", "c{", "hello", `{"access_token":"abc"}`} {
		put("one", foreign)
		refused("foreign value "+foreign, plain)
	}
	for _, odd := range []authos.Tokens{tokens, {AccessToken: "\xff\xfe", RefreshToken: "\x00<\u2028>"}} {
		for _, store := range []*redisstore.TokenStore{plain, a} {
			save(t, store, odd)
			holds(t, store, odd)
		}
	}
	tokens.ExpiresAt = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := a.Save(t.Context(), tokens); err == nil || strings.Contains(err.Error(), "20000") || strings.Contains(err.Error(), "token-") {
		t.Errorf("tokens with a date that JSON cannot write: %v, want an error without them", err)
	}
}

// TestNothingIsShown prints everything that holds a key, in every way.
func TestNothingIsShown(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	secret := "0123456789abcdefghijklmnopqrstuv"
	opts := redisstore.TokenOptions{Key: redisstore.Key(secret), OldKeys: []redisstore.Key{redisstore.Key(secret)}}
	cacheOpts := redisstore.CacheOptions{Key: opts.Key, OldKeys: opts.OldKeys}
	tokens, err := redisstore.NewTokenStore(rdb, "k", opts)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := redisstore.NewCacheStore(rdb, "p", cacheOpts)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{opts.Key, opts, &opts, cacheOpts, tokens, cache} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		logger.Info("value", "v", v)
		if b, err := json.Marshal(v); err == nil {
			log.Write(b)
		}
	}
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")
	for _, shape := range []string{secret[:8], fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%X", secret[:8]), decimal[:20], "MDEyMzQ1"} {
		if strings.Contains(log.String(), shape) {
			t.Errorf("the key is shown, as %q", shape)
		}
	}
	for _, marshal := range []func() ([]byte, error){opts.Key.MarshalJSON, opts.Key.MarshalText, opts.Key.MarshalBinary} {
		if _, err := marshal(); err == nil {
			t.Error("a key can be marshalled")
		}
	}
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
