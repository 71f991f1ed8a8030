package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
	"github.com/authos-go/authos/internal/lease"
)

// TokenOptions say how a [TokenStore] works. The zero value of a field is its default.
type TokenOptions struct {
	// Key encrypts the tokens with AES-256-GCM: 32 random bytes. Nil: they are in clear text in
	// Redis.
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
)

// ErrLockLost says that another process has had the lock since it was taken here, or that Redis has
// lost its data: what was to be written was not, since it may be older than what is there.
var ErrLockLost = lease.ErrLost

// ErrBehind says that Redis holds an older version of the session than this store value has read or
// written: it was restored, or failed over to a replica that lagged. Under the lock, Load gives
// what is there together with the error, once; the client then puts back what it holds.
var ErrBehind = atrest.ErrBehind

// TokenStore keeps the tokens of one session in one record in Redis. It is an
// [authos.TokenStoreAcquirer], for any number of processes and goroutines.
//
// The lock belongs to the store value, not to a goroutine: from Lock to unlock, everything done
// through this value is done under it. So a program gives each client a store of its own, and signs
// in with [authos.Client.SetTokens] or under the lock, not by saving to the store of a client that
// may be refreshing.
type TokenStore struct {
	rdb   redis.UniversalClient
	name  string // of the record
	box   atrest.Box
	lock  *lease.Lock
	seq   atrest.Sequence
	clock lease.Clock // Redis's
}

var _ authos.TokenStoreAcquirer = (*TokenStore)(nil)

// NewTokenStore makes the store of the session that key names, without any I/O; see
// [TokenStore.Check]. Several stores of one key share one session, also across processes; all must
// have the same options. The record's name in Redis is "authos:tokens:" and key.
//
// rdb may be a single server's client, Sentinel's or a cluster's. One that reads from replicas, or
// spreads keys over several servers itself ([redis.Ring]), is refused: it may give back tokens that
// are spent, or give one lock to two. Bad arguments give an [*authos.ValidationError].
func NewTokenStore(rdb redis.UniversalClient, key string, opts TokenOptions) (*TokenStore, error) {
	var wrong findings
	wrong.client(rdb)
	wrong.keys(opts.Key, opts.OldKeys)
	if key == "" {
		wrong.add("key", authos.CodeRequired, "must not be empty")
	}
	switch {
	case opts.LockTTL == 0:
		opts.LockTTL = minLockTTL
	case opts.LockTTL < minLockTTL || opts.LockTTL > maxLockTTL:
		wrong.add("LockTTL", authos.CodeOutOfRange, "must be between 45 s and 10 min")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	s := &TokenStore{rdb: rdb, name: "authos:tokens:" + key, box: atrest.NewBox("redisstore tokens", opts.Key, opts.OldKeys)}
	s.lock = lease.New(table{s}, opts.LockTTL)
	return s, nil
}

// Check asks Redis whether it can keep a session: whether it can be reached, takes writes, which
// replicas do not, and does not evict what has no time to live (maxmemory-policy allkeys-*, with a
// maxmemory). A program calls it when it starts; the lock is refused for the same reasons. A policy
// that Redis does not show (ACL rules without INFO) is taken to be fine.
func (s *TokenStore) Check(ctx context.Context) error {
	_, err := s.run(ctx, check)
	return failure("checking the store of", err)
}

// Load gives the tokens that were saved last: zero Tokens when there are none. It needs no lock.
func (s *TokenStore) Load(ctx context.Context) (authos.Tokens, error) {
	t, err := s.load(ctx)
	return t, failure("loading", err)
}

func (s *TokenStore) load(ctx context.Context) (authos.Tokens, error) {
	before := s.seq.Seen()
	reply, err := s.run(ctx, load)
	if err != nil {
		return authos.Tokens{}, err
	}
	if reply.number(0) != found {
		return authos.Tokens{}, nil
	}
	seq := reply.number(2)
	locked := s.lock.Owner() != ""
	behind := s.seq.Read(seq, before, locked)
	if behind != nil && !locked {
		return authos.Tokens{}, behind
	}
	t, err := s.box.OpenTokens(s.name, seq, []byte(reply.text(1)))
	return t, cmp.Or(err, behind)
}

// Save keeps t. It needs the lock, and fails with [ErrLockLost] if another process has held the
// lock since: that one may have newer tokens. Outside of Lock and unlock, Save takes the lock for
// the moment.
func (s *TokenStore) Save(ctx context.Context, t authos.Tokens) error {
	return failure("saving", s.lock.Do(ctx, func(owner string) error {
		seq, err := s.next(ctx)
		if err != nil {
			return err
		}
		stored, err := s.box.SealTokens(s.name, seq, t)
		if err != nil {
			return err
		}
		return s.write(ctx, save, owner, seq, stored)
	}))
}

// Delete forgets the tokens. It needs the lock like Save.
func (s *TokenStore) Delete(ctx context.Context) error {
	return failure("deleting", s.lock.Do(ctx, func(owner string) error {
		seq, err := s.next(ctx)
		if err != nil {
			return err
		}
		return s.write(ctx, remove, owner, seq)
	}))
}

// next is the sequence number of the record to be written. Nobody else writes: the lock is held.
func (s *TokenStore) next(ctx context.Context) (int64, error) {
	reply, err := s.run(ctx, load)
	if err != nil {
		return 0, err
	}
	return s.seq.Next(reply.number(2), s.clock.Now()), nil
}

func (s *TokenStore) write(ctx context.Context, how *redis.Script, owner string, seq int64, more ...any) error {
	reply, err := s.run(ctx, how, append([]any{owner, s.lock.Life().Milliseconds(), seq}, more...)...)
	switch {
	case err != nil:
		return err
	case reply.number(0) == 0:
		return ErrLockLost
	}
	return s.seq.Read(seq, 0, true)
}

func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s the tokens: %w", doing, err)
}

// Lock waits for the lock, until ctx is done: in turn with other goroutines of this process, by
// asking Redis again and again for those of others. It extends the lock until unlock is called,
// which may be more than once. It does not wait for a Redis that cannot be reached, but fails
// within 3 s, and it fails where Redis would not keep the session; see [TokenStore.Check].
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
	return release, clean, failure("locking", err)
}

// LockExpires says that a holder that is frozen, or cut off, loses the lock: the client gets it
// anew where it could not save for longer than the lock lasts.
func (*TokenStore) LockExpires() bool { return true }

// String names the store; it holds no secrets, as no format verb does.
func (s *TokenStore) String() string { return "redisstore.TokenStore(" + s.name + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (s *TokenStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s *TokenStore) LogValue() slog.Value { return slog.StringValue(s.String()) }

// reply is a script's result.
type reply []any

const replySize = 4

func (r reply) text(i int) string {
	text, _ := r[i].(string)
	return text
}

func (r reply) number(i int) int64 {
	switch n := r[i].(type) {
	case int64:
		return n
	case string:
		number, _ := strconv.ParseInt(n, 10, 64)
		return number
	}
	return 0
}
