//go:build unix

package redisstore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/killtest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/internal/storetest"
	"github.com/authos-go/authos/redisstore"
)

func TestMain(m *testing.M) {
	authostest.FleetMember(openMember)
	killtest.Process(killtest.Store{Open: openKilled})
	redis.SetLogger(quiet{}) // servers are stopped on purpose here
	os.Exit(m.Run())
}

// What the tests of both databases use.
var (
	keyA, keyB                        = storetest.KeyA, storetest.KeyB
	numbered, save, holds, set, keeps = storetest.Numbered, storetest.Save, storetest.Holds, storetest.Set, storetest.Keeps
	lock, locked                      = storetest.Lock, storetest.Locked
)

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// server is a redis-server process of a test's own.
type server struct {
	*servertest.Redis

	t testing.TB
}

func startRedis(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{servertest.StartRedis(t, args...), t}
}

func (s *server) client() *redis.Client {
	return s.clientAt(s.Addr)
}

func (s *server) clientAt(addr string) *redis.Client {
	// fails soon when Redis is stopped
	rdb := redis.NewClient(&redis.Options{Addr: addr, DialerRetries: 1, MaxRetries: 1})
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// tokens makes a store of its own on the session "worker", whose lock outlives its holder by ttl.
func (s *server) tokens(ttl time.Duration) *redisstore.TokenStore {
	return newTokens(s.t, s.client(), redisstore.TokenOptions{}, ttl)
}

func newTokens(t testing.TB, rdb redis.UniversalClient, opts redisstore.TokenOptions, ttl time.Duration) *redisstore.TokenStore {
	t.Helper()
	return newSession(t, rdb, "worker", opts, ttl)
}

func newSession(t testing.TB, rdb redis.UniversalClient, name string, opts redisstore.TokenOptions, ttl time.Duration) *redisstore.TokenStore {
	t.Helper()
	store, err := redisstore.NewTokenStore(rdb, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return redisstore.Shorten(store, ttl)
}

// startCluster makes a Redis that is a whole cluster, so that commands across hash slots are
// refused.
func startCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	s := startRedis(t, "--cluster-enabled", "yes")
	node := s.client()
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	t.Cleanup(func() { _ = cluster.Close() })
	for range 500 {
		if cluster.Set(t.Context(), "ready", "yes", 0).Err() == nil {
			return cluster
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the cluster does not get ready")
	return nil
}

// eventually waits until ok reports so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	servertest.Eventually(t, what, ok)
}
