// Package redisstore keeps a session's tokens and the cached responses of an [authos.Client] in
// Redis, so that a fleet of processes shares them.
//
//	tokens, err := redisstore.NewTokenStore(rdb, "worker", redisstore.TokenOptions{Key: key})
//	cached, err := redisstore.NewCacheStore(rdb, "worker", redisstore.CacheOptions{Key: key})
//	client, err := authos.New(url, authos.WithTokenStore(tokens),
//		authos.WithCache(authos.CachePolicy{Store: cached}))
//
// A [TokenStore] is an [authos.LockingTokenStore]: of all processes that hold the session, one
// refreshes it and the others find the new tokens. A [CacheStore] is an [authos.CacheStore] for the
// stale fallback. Their names in Redis begin with "authos:tokens:" and "authos:cache:", so that the
// two never meet, whatever they are called.
//
// # What is asked of Redis
//
// Tokens are data, not a cache: a Redis that loses them signs everybody out. Keep them in one that
// writes to disk (appendonly yes) and does not evict keys without a time to live: maxmemory-policy
// noeviction or volatile-*. Under allkeys-* the lock is refused, and [TokenStore.Check] tells at
// the program's start. Sessions and their locks have no time to live, and a session in use can be
// refreshed when the memory is full; new ones then take a few hundred bytes more than maxmemory.
//
// The clients of a single server, of Sentinel and of a cluster are taken. What reads from replicas
// is refused: a cluster client with ReadOnly when the store is made, a client that is connected to
// a replica by every call. So is [redis.Ring].
//
// A failover to a replica that had not received the newest tokens gives back spent ones. A store
// value that has read or written newer ones refuses them ([ErrBehind]), and the client that holds
// the newer ones puts them back under the lock; a process that never saw the newer ones cannot know
// (min-replicas-to-write and WAIT make that rarer, no setting of Redis rules it out).
//
// The lock is judged by Redis's clock. Set to the wrong time on one of its servers, by more than
// half a minute, a failover to that server ends a lock too early or too late.
//
// Without a key, values are in clear text in Redis, its files, its replicas and its slow log.
// Instrumentation hooks of go-redis that record whole commands see them, too. With a key, a value
// is bound to its kind, its name and its sequence number: moved to another name, or put back in
// place of a newer one, it does not decrypt. Who may write to Redis can still put back a whole
// record as it once was; see above.
//
// The package needs server-side scripts (EVAL) and Redis 5 or newer, or a server that is compatible
// with it. It is tested with Redis 7.
package redisstore
