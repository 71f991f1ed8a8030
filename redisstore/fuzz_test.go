package redisstore_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/redisstore"
)

// FuzzStoredTokens reads what anybody may have written to Redis: never a panic, and under a key
// nothing but what was sealed with it.
func FuzzStoredTokens(f *testing.F) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // never dialed
	f.Cleanup(func() { _ = rdb.Close() })
	open := func(opts redisstore.TokenOptions) *redisstore.TokenStore {
		store, err := redisstore.NewTokenStore(rdb, "k", opts)
		if err != nil {
			f.Fatal(err)
		}
		return store
	}
	key := redisstore.Key(strings.Repeat("k", 32))
	plain, sealed := open(redisstore.TokenOptions{}), open(redisstore.TokenOptions{Key: key})
	tokens := authos.Tokens{AccessToken: "access", RefreshToken: "refresh", ExpiresAt: time.Unix(1_800_000_000, 5).UTC()}
	for _, store := range []*redisstore.TokenStore{plain, sealed} {
		stored, err := store.Encode(tokens)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
		f.Add(stored[:len(stored)/2])
	}
	for _, odd := range []string{"", "c", "e", "c{}", `c{"access_token":7}`, `c{"expires_at":"tomorrow"}`, `c{"access_token":"/w=="}`, "x{}", "cnull"} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		if got, err := sealed.Decode(stored); err == nil && got != tokens {
			t.Errorf("%q decrypted to tokens that were never sealed", stored)
		}
		got, err := plain.Decode(stored)
		if err != nil {
			if got != (authos.Tokens{}) {
				t.Errorf("%q gave tokens and an error", stored)
			}
			return
		}
		again, err := plain.Encode(got)
		if err != nil {
			return // a year that RFC 3339 cannot write in UTC
		}
		if back, err := plain.Decode(again); err != nil || back.AccessToken != got.AccessToken || back.RefreshToken != got.RefreshToken ||
			!back.ExpiresAt.Equal(got.ExpiresAt) {
			t.Errorf("%q does not survive being stored: %v", stored, err)
		}
	})
}

// FuzzStoredResponses does the same for cached responses, and seals what it is given.
func FuzzStoredResponses(f *testing.F) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // never dialed
	f.Cleanup(func() { _ = rdb.Close() })
	cache, err := redisstore.NewCacheStore(rdb, "p", redisstore.CacheOptions{Key: redisstore.Key(strings.Repeat("k", 32))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a/b", []byte("value"))
	f.Add("", []byte{})
	f.Add("a", []byte("e0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, key string, content []byte) {
		if _, err := cache.Open(key, content); err == nil {
			t.Errorf("%q decrypted", content)
		}
		stored, err := cache.Seal(key, content)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cache.Open(key, stored); err != nil || !bytes.Equal(got, content) {
			t.Errorf("Open of what was sealed: %q, %v, want %q", got, err, content)
		}
		if _, err := cache.Open(key+"x", stored); err == nil {
			t.Error("a value was opened under another key")
		}
	})
}
