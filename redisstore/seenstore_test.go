//go:build unix

package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/redisstore"
	"github.com/authos-go/authos/webhook"
)

func TestSeenStoreSuite(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) redis.UniversalClient{
		"single":  func(t *testing.T) redis.UniversalClient { return startRedis(t).client() },
		"cluster": func(t *testing.T) redis.UniversalClient { return startCluster(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := open(t)
			err := authostest.TestSeen(func() (webhook.SeenStore, error) { return redisstore.NewSeenStore(rdb, "mailer") }, authostest.Persistent())
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// What Redis has confirmed is there after it was killed, with appendfsync always.
func TestStoresThroughACrash(t *testing.T) {
	t.Parallel()
	s := startRedis(t, servertest.Durable...)
	rdb := s.client()
	crash := authostest.Crashes(func() error {
		s.Kill()
		if !s.Start() {
			return errors.New("redis-server does not start again")
		}
		return nil
	})
	tokens := func() (authos.TokenStore, error) {
		return newTokens(t, rdb, redisstore.TokenOptions{Key: keyA}, time.Second), nil
	}
	for name, err := range map[string]error{
		"TestSeen":       authostest.TestSeen(func() (webhook.SeenStore, error) { return redisstore.NewSeenStore(rdb, "mailer") }, crash),
		"TestCacheStore": authostest.TestCacheStore(func() (authos.CacheStore, error) { return newCache(t, rdb, redisstore.CacheOptions{}), nil }, crash),
		"TestTokenStore": authostest.TestTokenStore(tokens, crash),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Receivers are apart, and a shorter record never takes from a longer one.
func TestSeenStoreApart(t *testing.T) {
	t.Parallel()
	rdb := startRedis(t).client()
	mailer, err := redisstore.NewSeenStore(rdb, "mailer")
	if err != nil {
		t.Fatal(err)
	}
	biller, err := redisstore.NewSeenStore(rdb, "biller")
	if err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{time.Hour, time.Millisecond, 0, -time.Second} {
		if err := mailer.Record(t.Context(), "e1", ttl); err != nil {
			t.Fatal(err)
		}
	}
	names, err := rdb.Keys(t.Context(), "authos:seen:*").Result()
	if err != nil || len(names) != 1 {
		t.Fatalf("names %q, %v", names, err)
	}
	if left, err := rdb.PTTL(t.Context(), names[0]).Result(); err != nil || left < 59*time.Minute {
		t.Errorf("the record has %s left, %v", left, err)
	}
	if seen, err := biller.Seen(t.Context(), "e1"); err != nil || seen {
		t.Errorf("the other receiver's Seen = %t, %v", seen, err)
	}
}

// What Redis was not asked for is neither recorded nor seen; where there is nothing to record, it
// is not asked.
func TestSeenStoreWithoutRedis(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, MaxRetries: -1})
	defer rdb.Close()
	store, err := redisstore.NewSeenStore(rdb, "mailer")
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := store.Seen(t.Context(), "e1"); seen || err == nil {
		t.Errorf("Seen = %t, %v, want an error", seen, err)
	}
	for ttl, fails := range map[time.Duration]bool{time.Hour: true, 1: true, 0: false, -time.Second: false} {
		if err := store.Record(t.Context(), "e1", ttl); (err != nil) != fails {
			t.Errorf("Record for %v = %v, want an error: %t", ttl, err, fails)
		}
	}
}

func TestNewSeenStoreRefuses(t *testing.T) {
	t.Parallel()
	if _, err := redisstore.NewSeenStore(nil, ""); !errors.Is(err, authos.ErrInvalid) {
		t.Errorf("NewSeenStore = %v", err)
	} else if e, ok := errors.AsType[*authos.ValidationError](err); !ok || len(e.Fields) != 2 {
		t.Errorf("findings %+v", e)
	}
}
