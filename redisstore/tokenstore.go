package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
)

// TokenOptions say how a [TokenStore] works. The zero value of a field is its default.
type TokenOptions struct {
	// Key encrypts the tokens with AES-256-GCM: 32 random bytes. Nil: they are in clear text in Redis.
	Key Key
	// OldKeys still decrypt what was written with an earlier Key.
	OldKeys []Key
	// LockTTL is how long the lock outlives its holder, at least: a process that died may have sent a renewal that the server is
	// still at work on, for 30 s, and a refresh token presented meanwhile destroys the session. Default and minimum 35 s, maximum 10 min.
	// The lock of a dead process ends between LockTTL and 9/7 of it after its death.
	LockTTL time.Duration
}

const (
	minLockTTL = 35 * time.Second
	maxLockTTL = 10 * time.Minute
)

// TokenStore keeps the tokens of one session under one key in Redis. It is an [authos.LockingTokenStore], for any number of
// processes and goroutines.
//
// The lock belongs to the store value, not to a goroutine: from Lock to unlock, everything done through this value is done under it. So
// a program gives each client a store of its own, and signs in with [authos.Client.SetTokens] or under the lock, not by saving to the
// store of a client that may be renewing.
type TokenStore struct {
	rdb  redis.UniversalClient
	keys []string // of the tokens, the lock and the fence: in one hash slot
	box  box
	// beat is how often a held lock is extended, life how long it lasts without that: LockTTL, and two beats so that one may fail.
	beat, life time.Duration

	turn chan struct{} // full while a goroutine of this process has the lock or tries to get it

	mu   sync.Mutex
	held *hold // from Lock to unlock
}

// NewTokenStore makes the store of the session that key names, without any I/O. Several stores of one key share one session, also
// across processes; all must have the same options. The names in Redis are key in braces (a hash tag, so that a cluster keeps them in one
// slot; a key with a hash tag of its own is used as it is), and the same with ":lock" and ":fence" behind.
// Bad arguments give an [*authos.ValidationError].
func NewTokenStore(rdb redis.UniversalClient, key string, opts TokenOptions) (*TokenStore, error) {
	var wrong findings
	wrong.client(rdb)
	wrong.keys(opts.Key, opts.OldKeys)
	name := tagged(key)
	switch {
	case key == "":
		wrong.add("key", authos.CodeRequired, "must not be empty")
	case name == "":
		wrong.add("key", authos.CodeInvalidFormat, "must not begin with a closing brace")
	}
	switch {
	case opts.LockTTL == 0:
		opts.LockTTL = minLockTTL
	case opts.LockTTL < minLockTTL || opts.LockTTL > maxLockTTL:
		wrong.add("LockTTL", authos.CodeOutOfRange, "must be between 35 s and 10 min")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	s := &TokenStore{
		rdb: rdb, keys: []string{name, name + ":lock", name + ":fence"}, box: newBox(opts.Key, opts.OldKeys),
		turn: make(chan struct{}, 1),
	}
	s.outlive(opts.LockTTL)
	return s, nil
}

// outlive sets how long the lock outlives its holder.
func (s *TokenStore) outlive(ttl time.Duration) {
	s.beat = ttl / 7
	s.life = ttl + 2*s.beat
}

// tagged gives key a hash tag, unless it has one. It gives nothing where it cannot: a tag must not be empty.
func tagged(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok && strings.IndexByte(after, '}') > 0 {
		return key
	}
	if strings.HasPrefix(key, "}") {
		return ""
	}
	return "{" + key + "}"
}

// Load gives the tokens that were saved last: zero Tokens when there are none. It needs no lock.
func (s *TokenStore) Load(ctx context.Context) (authos.Tokens, error) {
	reply, err := s.run(ctx, load, "")
	if err != nil {
		return authos.Tokens{}, failure("loading", err)
	}
	stored, ok := reply.(string)
	if !ok {
		return authos.Tokens{}, nil
	}
	t, err := s.decode([]byte(stored))
	return t, failure("loading", err)
}

// Save keeps t. It needs the lock, and fails with [ErrLockLost] if another process has held the lock since: that one may have newer
// tokens. Outside of Lock and unlock, Save takes the lock for the moment.
func (s *TokenStore) Save(ctx context.Context, t authos.Tokens) error {
	stored, err := s.encode(t)
	if err != nil {
		return failure("saving", err)
	}
	return failure("saving", s.write(ctx, save, stored))
}

// Delete forgets the tokens. It needs the lock like Save.
func (s *TokenStore) Delete(ctx context.Context) error {
	return failure("deleting", s.write(ctx, remove))
}

func (s *TokenStore) write(ctx context.Context, how *redis.Script, more ...any) error {
	h := s.holding()
	if h == nil {
		var err error
		if h, err = s.take(ctx); err != nil { // not for Load, which goes on without
			return err
		}
		defer s.release(h)
	}
	_, err := s.run(ctx, how, h.owner, more...)
	return err
}

func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s the tokens: %w", doing, err)
}

// record is how tokens are written. The tokens are bytes, because JSON changes texts that are not UTF-8.
type record struct {
	Access  []byte    `json:"access_token,omitempty"`
	Refresh []byte    `json:"refresh_token,omitempty"`
	Expires time.Time `json:"expires_at,omitzero"`
}

func (s *TokenStore) encode(t authos.Tokens) ([]byte, error) {
	b, err := json.Marshal(record{[]byte(t.AccessToken), []byte(t.RefreshToken), t.ExpiresAt.UTC()}) //nolint:gosec // a store writes tokens
	if err != nil {
		return nil, errors.New("the expiry is not a date that can be written") // the error of encoding/json may quote it
	}
	return s.box.seal(s.keys[0], b)
}

func (s *TokenStore) decode(stored []byte) (authos.Tokens, error) {
	b, err := s.box.open(s.keys[0], stored)
	if err != nil {
		return authos.Tokens{}, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return authos.Tokens{}, errNotOurs // the error of encoding/json may quote the value
	}
	return authos.Tokens{AccessToken: string(r.Access), RefreshToken: string(r.Refresh), ExpiresAt: r.Expires}, nil
}

// String names the store; it holds no secrets, as no format verb does.
func (s *TokenStore) String() string { return "redisstore.TokenStore(" + s.keys[0] + ")" }

// Format implements [fmt.Formatter] for every verb, so that %+v and %#v cannot print keys.
func (s *TokenStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s *TokenStore) LogValue() slog.Value { return slog.StringValue(s.String()) }
