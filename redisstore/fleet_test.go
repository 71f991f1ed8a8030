//go:build unix

package redisstore_test

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/redisstore"
)

// openMember opens the store of a fleet's member. The outage of Redis shall be felt.
func openMember(addr string) (authos.LockingTokenStore, error) {
	redis.SetLogger(quiet{})
	rdb := redis.NewClient(&redis.Options{Addr: addr, DialerRetries: 1, MaxRetries: 1})
	store, err := redisstore.NewTokenStore(rdb, "worker", redisstore.TokenOptions{Key: keyA})
	if err != nil {
		return nil, err
	}
	return redisstore.Shorten(store, authostest.FleetLockTTL), nil
}

func TestFleet(t *testing.T) {
	if os.Getenv("AUTHOS_LONG_TESTS") == "" {
		t.Skip("takes most of a minute: AUTHOS_LONG_TESTS=1 runs it")
	}
	s := startRedis(t, servertest.Durable...)
	summary, err := authostest.TestTokenStoreFleet(authostest.Fleet{
		Open: openMember, Where: s.Addr, Away: func(d time.Duration) {
			s.Kill()
			time.Sleep(d)
			s.Start()
		},
	})
	t.Log(summary)
	if err != nil {
		t.Error(err)
	}
}
