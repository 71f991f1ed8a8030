// Package pgstore keeps sessions' tokens and the cached responses of [authos.Client]s in
// PostgreSQL, where web backends keep their users.
//
//	err := pgstore.Migrate(ctx, pool) // or your own migrations, with pgstore.Schema
//	tokens, err := pgstore.NewTokenStore(pool, "user:"+id, pgstore.TokenOptions{Key: key})
//	cached, err := pgstore.NewCacheStore(pool, "web", pgstore.CacheOptions{Key: key})
//	alice, err := client.With(authos.WithTokenStore(tokens))
//
// A [TokenStore] is an [authos.LockingTokenStore]: of all processes that hold the session, one
// refreshes it and the others find the new tokens. A session is one row of the table
// authos_sessions, a cached response one of authos_cache. Both are encrypted (AES-256-GCM) with a
// key that is kept elsewhere, each value bound to its kind, its name and, for tokens, its sequence
// number: moved to another row, or put back in place of a newer one, it does not decrypt. Who may
// write to the database can still put back a whole row as it once was.
//
// # The lock
//
// The lock is in the session's row: its owner and until when, by the database's clock. So it needs
// no connection of its own and no open transaction, survives the loss of any connection, ends by
// itself 45 to 58 s after the death of its holder, and works through PgBouncer in transaction mode
// (or statement mode): every operation is one statement, without prepared statements, session
// settings or advisory locks.
//
// # What is asked of PostgreSQL
//
// Version 12 or newer; tested with 15. The primary: a standby may give old tokens, so it is
// refused, for reading too (target_session_attrs=read-write in the connection string finds the
// primary). synchronous_commit as it is by default: with off, a crash of the server loses the
// newest tokens, and so does a failover to an asynchronous standby that lagged. A store value that
// has read or written newer tokens then refuses the old ones ([ErrBehind]), and the client that
// holds the newer ones puts them back under the lock. [TokenStore.Check] looks at all of this when
// a program starts.
//
// The role needs SELECT, INSERT, UPDATE and DELETE on the two tables.
package pgstore
