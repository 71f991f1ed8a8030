// Package redisstore keeps a session's tokens and the kept answers of an [authos.Client] in Redis, so that a fleet of processes
// shares them.
//
//	tokens, err := redisstore.NewTokenStore(rdb, "worker", redisstore.TokenOptions{Key: key})
//	answers, err := redisstore.NewCacheStore(rdb, "worker-answers", redisstore.CacheOptions{Key: key})
//	client, err := authos.New(url, authos.WithTokenStore(tokens), authos.WithCache(authos.CachePolicy{Store: answers}))
//
// A [TokenStore] is an [authos.LockingTokenStore]: of all processes that hold the session, one renews it and the others find the
// new tokens. A [CacheStore] is an [authos.CacheStore] for the stale fallback.
//
// # What is asked of Redis
//
// Tokens are data, not a cache: a Redis that loses them signs everybody out. Keep them in one that writes to disk (appendonly yes)
// and does not evict keys without a time to live (maxmemory-policy noeviction or volatile-*). The newest write must be seen by whoever
// reads next, so a cluster client that reads from replicas is refused. A failover to a replica that had not received the newest tokens
// costs the session, as it would cost any other newest write.
//
// Without a key, values are in clear text in Redis, its files, its replicas and its slow log. Instrumentation hooks of go-redis that record
// whole commands see them, too.
//
// The package needs server-side scripts (EVAL), of Redis or of a server that is compatible with it.
package redisstore
