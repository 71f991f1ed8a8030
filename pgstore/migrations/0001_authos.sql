-- What package pgstore keeps. Every statement may run again.

-- A session is a row; its lock is in it.
CREATE TABLE IF NOT EXISTS authos_sessions (
	name       text        PRIMARY KEY,
	sequence   bigint      NOT NULL DEFAULT 0,     -- of the tokens; goes up with every change
	tokens     bytea,                              -- encrypted; NULL: none
	owner      text,                               -- of the lock; NULL: free
	until      timestamptz,                        -- when the lock ends, by this database's clock
	unclean    boolean     NOT NULL DEFAULT false, -- the owner before let the lock run out
	updated_at timestamptz NOT NULL DEFAULT now()  -- for people; nothing reads it
);

-- A cached response is a row. Keys are compared byte by byte, for prefixes.
CREATE TABLE IF NOT EXISTS authos_cache (
	namespace  text        NOT NULL,
	key        bytea       NOT NULL,
	value      bytea       NOT NULL, -- encrypted
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (namespace, key)
);

CREATE INDEX IF NOT EXISTS authos_cache_expires_at ON authos_cache (namespace, expires_at);

-- A webhook delivery that was handled is a row.
CREATE TABLE IF NOT EXISTS authos_seen (
	namespace  text        NOT NULL,
	id         bytea       NOT NULL, -- hashed
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (namespace, id)
);

CREATE INDEX IF NOT EXISTS authos_seen_expires_at ON authos_seen (namespace, expires_at);
