package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
	"github.com/authos-go/authos/internal/lease"
)

// TokenOptions say how a [TokenStore] works.
type TokenOptions struct {
	// Key encrypts the tokens with AES-256-GCM: 32 random bytes. It must be given.
	Key Key
	// OldKeys still decrypt what was written with an earlier Key.
	OldKeys []Key
	// LockTTL is how long the lock outlives its holder, at least: a process that died may have sent
	// a refresh that the server is still at work on, for 30 s, and a refresh token presented
	// meanwhile destroys the session. Default and minimum 45 s, maximum 10 min. The lock of a dead
	// process ends between LockTTL and 9/7 of it after its death.
	LockTTL time.Duration
}

const (
	minLockTTL = 45 * time.Second
	maxLockTTL = 10 * time.Minute
	maxName    = 1024 // bytes; an index row has 2700
)

// ErrLockLost says that another process has had the lock since it was taken here, or that the
// database has lost its data: what was to be written was not, since it may be older than what is
// there.
var ErrLockLost = lease.ErrLost

// ErrBehind says that the database holds an older version of the session than this store value has
// read or written: it was restored, or failed over to a standby that lagged. Under the lock, Load
// gives what is there together with the error, once; the client then puts back what it holds.
var ErrBehind = atrest.ErrBehind

// TokenStore keeps the tokens of one session in one row. It is an [authos.TokenStoreAcquirer], for
// any number of processes and goroutines.
//
// The lock belongs to the store value, not to a goroutine: from Lock to unlock, everything done
// through this value is done under it. So a program gives each client a store of its own, and signs
// in with [authos.Client.SetTokens] or under the lock, not by saving to the store of a client that
// may be refreshing.
type TokenStore struct {
	pool  *pgxpool.Pool
	name  string
	box   atrest.Box
	lock  *lease.Lock
	seq   atrest.Sequence
	clock lease.Clock // the database's
}

var _ authos.TokenStoreAcquirer = (*TokenStore)(nil)

// NewTokenStore makes the store of the session that name names (a user's id, say, or a worker's
// name), without any I/O; see [TokenStore.Check]. Several stores of one name share one session,
// also across processes; all must have the same options. Bad arguments give an
// [*authos.ValidationError].
func NewTokenStore(pool *pgxpool.Pool, name string, opts TokenOptions) (*TokenStore, error) {
	var wrong findings
	wrong.pool(pool)
	wrong.keys(opts.Key, opts.OldKeys)
	wrong.name("name", name)
	switch {
	case opts.LockTTL == 0:
		opts.LockTTL = minLockTTL
	case opts.LockTTL < minLockTTL || opts.LockTTL > maxLockTTL:
		wrong.add("LockTTL", authos.CodeOutOfRange, "must be between 45 s and 10 min")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	s := &TokenStore{pool: pool, name: name, box: atrest.NewBox("pgstore tokens", opts.Key, opts.OldKeys)}
	s.lock = lease.New(table{s}, opts.LockTTL)
	return s, nil
}

// name checks what becomes a text in PostgreSQL.
func (f *findings) name(field, name string) {
	switch {
	case name == "":
		f.add(field, authos.CodeRequired, "must not be empty")
	case len(name) > maxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		f.add(field, authos.CodeInvalidFormat, "must be UTF-8 of at most 1,024 bytes, without NUL")
	}
}

// Check asks whether the database can keep a session: whether it can be reached, is no standby, has
// the tables and writes to disk before it confirms (synchronous_commit is not off). A program calls
// it when it starts.
func (s *TokenStore) Check(ctx context.Context) error {
	var standby, written bool
	var sessions int
	_, err := query(ctx, s.pool, []any{&standby, &written, &sessions},
		`SELECT pg_is_in_recovery(), current_setting('synchronous_commit') <> 'off',
		        (SELECT count(*) FROM authos_sessions WHERE name = $1)`, s.name)
	switch {
	case err != nil:
	case standby:
		err = errStandby
	case !written:
		err = errors.New("synchronous_commit is off: a crash would lose the newest tokens, and with them the session")
	}
	return failure("checking the database", err)
}

// row is what is there of a session.
type row struct {
	stored []byte
	seq    int64
}

func (s *TokenStore) row(ctx context.Context) (r row, err error) {
	var standby bool
	var now time.Time
	_, err = query(ctx, s.pool, []any{&standby, &now, &r.stored, &r.seq},
		`SELECT pg_is_in_recovery(), clock_timestamp(), s.tokens, coalesce(s.sequence, 0)
		 FROM (SELECT 1) AS one LEFT JOIN authos_sessions AS s ON s.name = $1`, s.name)
	if err == nil && standby {
		err = errStandby
	}
	if err == nil {
		s.clock.Saw(now)
	}
	return r, err
}

// Load gives the tokens that were saved last: zero Tokens when there are none. It needs no lock.
func (s *TokenStore) Load(ctx context.Context) (authos.Tokens, error) {
	t, err := s.load(ctx)
	return t, failure("loading the tokens", err)
}

func (s *TokenStore) load(ctx context.Context) (authos.Tokens, error) {
	before := s.seq.Seen()
	r, err := s.row(ctx)
	if err != nil || r.stored == nil {
		return authos.Tokens{}, err
	}
	locked := s.lock.Owner() != ""
	behind := s.seq.Read(r.seq, before, locked)
	if behind != nil && !locked {
		return authos.Tokens{}, behind
	}
	t, err := s.box.OpenTokens(s.name, r.seq, r.stored)
	return t, cmp.Or(err, behind)
}

// Save keeps t. It needs the lock, and fails with [ErrLockLost] if another process has held the
// lock since: that one may have newer tokens. Outside of Lock and unlock, Save takes the lock for
// the moment.
func (s *TokenStore) Save(ctx context.Context, t authos.Tokens) error {
	return failure("saving the tokens", s.lock.Do(ctx, func(owner string) error {
		return s.write(ctx, owner, func(seq int64) ([]byte, error) { return s.box.SealTokens(s.name, seq, t) })
	}))
}

// Delete forgets the tokens. It needs the lock like Save.
func (s *TokenStore) Delete(ctx context.Context) error {
	return failure("deleting the tokens", s.lock.Do(ctx, func(owner string) error {
		return s.write(ctx, owner, func(int64) ([]byte, error) { return nil, nil })
	}))
}

// write replaces the row's tokens. Nobody else does: the lock is held. It is a sign of life, too.
func (s *TokenStore) write(ctx context.Context, owner string, content func(seq int64) ([]byte, error)) error {
	r, err := s.row(ctx)
	if err != nil {
		return err
	}
	seq := s.seq.Next(r.seq, s.clock.Now())
	stored, err := content(seq)
	if err != nil {
		return err
	}
	var done bool
	found, err := query(ctx, s.pool, []any{&done},
		`UPDATE authos_sessions SET tokens = $4, sequence = $3, updated_at = now(),
		     until = clock_timestamp() + $5 * interval '1 millisecond'
		 WHERE name = $1 AND owner = $2 AND sequence <= $3 RETURNING true`,
		s.name, owner, seq, stored, s.lock.Life().Milliseconds())
	switch {
	case err != nil:
		return err
	case !found:
		return ErrLockLost
	}
	return s.seq.Read(seq, 0, true)
}

// Lock waits for the lock, until ctx is done: in turn with other goroutines of this process, by
// asking the database again and again for those of others. It extends the lock until unlock is
// called, which may be more than once. It does not wait for a database that cannot be reached, but
// fails within 3 s.
func (s *TokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	release, _, err := s.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return func() { release(true) }, nil
}

// Acquire implements [authos.TokenStoreAcquirer]: it is Lock, and reports whether the last holder
// released the lock. release(false) leaves the lock to run out, as the death of the holder does.
func (s *TokenStore) Acquire(ctx context.Context) (release func(clean bool), clean bool, err error) {
	release, clean, err = s.lock.Acquire(ctx)
	return release, clean, failure("locking the tokens", err)
}

// LockExpires says that a holder that is frozen, or cut off, loses the lock: the client gets it
// anew where it could not save for longer than the lock lasts.
func (*TokenStore) LockExpires() bool { return true }

// String names the store; it holds no secrets, as no format verb does.
func (s *TokenStore) String() string { return "pgstore.TokenStore(" + s.name + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (s *TokenStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s *TokenStore) LogValue() slog.Value { return slog.StringValue(s.String()) }
