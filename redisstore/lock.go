package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The lock is a key with a time to live that holds a random text only its owner knows, and the fence is a second key that holds the text
// of who had the lock last and outlives the lock. A write is let through while the fence is the writer's: nobody else has had the lock
// since, even if the lock itself ran out meanwhile, because its owner was frozen or Redis was away. A text does for that what
// a counter does, and cannot repeat itself after Redis has lost its data or failed over to an older copy.
//
// Every script may run twice with the same result, since go-redis repeats a command whose answer was lost.

// ErrLockLost says that another process has had the lock since it was taken here, or that Redis has lost its data: what was to be written
// was not, since it may be older than what is there.
var ErrLockLost = errors.New("the lock was lost: another process has held it since")

var (
	// acquire takes the lock if it is free: {1}, or {0, milliseconds until it may be}.
	acquire = redis.NewScript(`
		if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1] then
			redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
			return {1}
		end
		return {0, redis.call('PTTL', KEYS[2])}`)
	// These give {1}, or {0} when the lock was lost, and are taken for a sign of life.
	save   = redis.NewScript(owned + `redis.call('SET', KEYS[1], ARGV[4]) return {1}`)
	remove = redis.NewScript(owned + `redis.call('DEL', KEYS[1]) return {1}`)
	extend = redis.NewScript(owned + `return {1}`)
	// free leaves nothing behind: without its fence no late command of the owner is let through.
	free = redis.NewScript(`
		if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[2], KEYS[3]) end
		return {1}`)
	// load is a script because a GET may be answered by a cache on the client's side.
	load = redis.NewScript(`return {1, redis.call('GET', KEYS[1])}`)
)

const (
	owned = `
		if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {0} end
		redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
		redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
		`
	// fenceLife is how long a frozen owner may come back: much longer than any lock lasts.
	fenceLife = 24 * time.Hour

	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// hold is the lock, held.
type hold struct {
	owner string
	end   func() // ends what extends the lock
}

func (s *TokenStore) holding() *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

func (s *TokenStore) hold(h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
}

// Lock waits for the lock, until ctx is done: in turn with other goroutines of this process, by asking Redis again and again for those of
// others. It extends the lock until unlock is called, which may be more than once. It does not wait for a Redis that cannot be reached,
// but fails within 3 s.
func (s *TokenStore) Lock(ctx context.Context) (unlock func(), err error) {
	h, err := s.take(ctx)
	if err != nil {
		return nil, failure("locking", err)
	}
	s.hold(h)
	return sync.OnceFunc(func() {
		s.hold(nil)
		s.release(h)
	}), nil
}

// take gets the turn and the lock.
func (s *TokenStore) take(ctx context.Context) (*hold, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	owner := rand.Text()
	if err := s.acquire(ctx, owner); err != nil {
		<-s.turn
		return nil, err
	}
	held, end := context.WithCancel(context.Background())
	go s.extend(held, owner)
	return &hold{owner, end}, nil
}

func (s *TokenStore) release(h *hold) {
	h.end()
	s.forsake(h.owner)
	<-s.turn
}

func (s *TokenStore) acquire(ctx context.Context, owner string) error {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		reply, err := await(ctx, func(ctx context.Context) ([]any, error) {
			return s.eval(ctx, acquire, owner).Slice()
		}, func() { s.forsake(owner) })
		if err != nil {
			go s.forsake(owner) //nolint:gosec // Redis may have granted it all the same, whatever becomes of the caller
			return err
		}
		if len(reply) != 2 {
			return nil
		}
		if left, ok := reply[1].(int64); ok && left > 0 {
			wait = min(wait, time.Duration(left)*time.Millisecond)
		}
		if err := pause(ctx, wait/2+mathrand.N(wait)); err != nil { //nolint:gosec // jitter
			return err
		}
	}
}

// forsake lets a lock go. If Redis cannot be reached, that is tried again in the background until the lock has run out by itself.
func (s *TokenStore) forsake(owner string) {
	ctx, cancel := context.WithTimeout(context.Background(), s.life)
	if _, err := s.run(ctx, free, owner); err == nil {
		cancel()
		return
	}
	go func() {
		defer cancel()
		for pause(ctx, time.Second) == nil {
			if _, err := s.run(ctx, free, owner); err == nil {
				return
			}
		}
	}()
}

// extend keeps the lock until ctx is done.
func (s *TokenStore) extend(ctx context.Context, owner string) {
	for pause(ctx, s.beat) == nil {
		if _, err := s.run(ctx, extend, owner); errors.Is(err, ErrLockLost) {
			return // the holder learns it when it saves
		}
	}
}

// run has a script's result, or ErrLockLost.
func (s *TokenStore) run(ctx context.Context, script *redis.Script, owner string, more ...any) (any, error) {
	reply, err := await(ctx, func(ctx context.Context) ([]any, error) { return s.eval(ctx, script, owner, more...).Slice() }, nil)
	switch {
	case err != nil:
		return nil, err
	case len(reply) == 0 || reply[0] != int64(1):
		return nil, ErrLockLost
	case len(reply) == 1:
		return nil, nil //nolint:nilnil // a script without a result
	default:
		return reply[1], nil
	}
}

func (s *TokenStore) eval(ctx context.Context, script *redis.Script, owner string, more ...any) *redis.Cmd {
	args := append([]any{owner, s.life.Milliseconds(), fenceLife.Milliseconds()}, more...)
	return script.Run(ctx, s.rdb, s.keys, args...)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
