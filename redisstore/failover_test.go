//go:build unix

package redisstore_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/redisstore"
)

// TestSentinelFailsOver: a Sentinel makes a replica the primary that has not got the newest tokens.
// Two processes hold them. The replica has the refresh token that they were made of, which is spent
// and would end the session: nobody presents it, and one of the two puts the newer pair back.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	srv := authostest.New()
	defer srv.Close()
	primary := startRedis(t, "--repl-diskless-sync-delay", "0")
	replica := replicaOf(t, primary.Addr)
	sentinel := servertest.StartSentinel(t, "sessions", primary.Addr)
	open := func() (*redisstore.TokenStore, *authos.Client) {
		rdb := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "sessions", SentinelAddrs: []string{sentinel.Addr}, DialerRetries: 1, MaxRetries: 1,
		})
		t.Cleanup(func() { _ = rdb.Close() })
		store := newTokens(t, rdb, redisstore.TokenOptions{Key: keyA}, time.Second)
		return store, newClient(t, srv.URL, authos.WithTokenStore(store))
	}
	use := func(c *authos.Client) error { _, err := c.User.Get(context.Background()); return err }
	at := func(s *server) string { return s.client().HGet(context.Background(), record, "n").Val() }
	oneStore, one := open()
	_, two := open()
	eventually(t, "Sentinel knows the replica", func() bool {
		known, err := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr}).Replicas(context.Background(), "sessions").Result()
		return err == nil && len(known) == 1
	})

	session := srv.SignIn("ada@example.com")
	save(t, oneStore, authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken})
	eventually(t, "the replica has the tokens", func() bool { return at(replica) == at(primary) })
	// From now on it lags: it cannot sign in to its primary any more.
	for _, command := range [][]any{{"CONFIG", "SET", "masterauth", "wrong"}, {"CLIENT", "KILL", "TYPE", "master"}} {
		if err := replica.client().Do(t.Context(), command...).Err(); err != nil {
			t.Fatalf("%v: %v", command, err)
		}
	}
	srv.ExpireAccessTokens()
	for _, c := range []*authos.Client{one, two} {
		if err := use(c); err != nil {
			t.Fatal(err)
		}
	}
	if at(replica) == at(primary) {
		t.Fatal("the replica does not lag")
	}

	primary.Kill()
	eventually(t, "Sentinel has made the replica the primary", func() bool {
		return strings.Contains(replica.client().Info(context.Background(), "replication").Val(), "role:master")
	})
	if n := srv.Count(http.MethodPost, refreshPath); n != 1 {
		t.Fatalf("%d refreshes before the failover, want 1", n)
	}
	srv.ExpireAccessTokens()
	for _, c := range []*authos.Client{two, one} {
		eventually(t, "calls succeed after the failover", func() bool { return use(c) == nil })
	}
	if n := srv.Count(http.MethodPost, refreshPath); n != 2 || srv.Replays() != 0 {
		t.Errorf("%d refreshes and %d replays, want 2 and none: a spent token was presented", n, srv.Replays())
	}
}
