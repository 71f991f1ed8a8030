package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos/internal/lease"
)

// A session is one hash without a time to live, so that no maxmemory-policy but allkeys-* may evict
// any of it: the tokens (t), their sequence number (n), and the lock: its owner (o), a random text
// that only the owner knows, until when (u, in milliseconds of Redis's clock), and whether the
// owner before let it run out (d). A lock that has run out is still its owner's while nobody else
// has taken it: a process that was frozen may then save. What it may not is to save after another
// had the lock, and the owner's text says so.
//
// Every script begins with PERSIST. It is a write, so that a replica refuses the script instead of
// giving old tokens; and it is one that a full Redis lets through, after which Redis lets through
// the rest of the script, too (it does not stop a script in the middle): a session in use can be
// refreshed when the memory is full. It also takes off a time to live that somebody may have set.
//
// Every script may run twice with the same result, since go-redis repeats a command whose response
// was lost; and late.

const (
	begin = `
		redis.call('PERSIST', KEYS[1])
		local t = redis.call('TIME')
		local now = t[1] * 1000 + math.floor(t[2] / 1000)
		`
	owned = begin + `
		if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return {0, '', 0, now} end
		redis.call('HSET', KEYS[1], 'u', now + ARGV[2])
		`
	// inOrder lets through what is not older than what is there.
	inOrder = `
		local n = tonumber(redis.call('HGET', KEYS[1], 'n') or 0)
		if n > tonumber(ARGV[3]) then return {0, '', 0, now} end
		redis.call('HSET', KEYS[1], 'n', ARGV[3])
		`
	// evicts gives the policy under which Redis may drop a key without a time to live.
	evicts = `
		local info = redis.pcall('INFO', 'memory')
		if type(info) == 'string' then
			local policy = string.match(info, 'maxmemory_policy:(allkeys%S*)')
			if policy and not string.find(info, 'maxmemory:0%s') then return {-1, policy, 0, now} end
		end;
		`
)

// The scripts give {what, text, number, Redis's time in milliseconds}.
var (
	check = redis.NewScript(begin + evicts + `return {1, '', 0, now}`)
	load  = redis.NewScript(begin + `
		local stored = redis.call('HGET', KEYS[1], 't')
		return {stored and 1 or 2, stored or '', redis.call('HGET', KEYS[1], 'n') or 0, now}`)

	// acquire takes the lock if it is free: {1, whether the last owner let it run out}, or
	// {0, '', milliseconds until it may be}. ARGV[3] is when the command is too old.
	acquire = redis.NewScript(begin + `
		local owner = redis.call('HGET', KEYS[1], 'o')
		if owner ~= ARGV[1] then
			if now > tonumber(ARGV[3]) then return {-2, '', 0, now} end
			local left = tonumber(redis.call('HGET', KEYS[1], 'u') or 0) - now
			if owner and left > 0 then return {0, '', left, now} end
			` + evicts + `
			redis.call('HSET', KEYS[1], 'o', ARGV[1])
			if owner then redis.call('HSET', KEYS[1], 'd', '1') end;
		end
		redis.call('HSET', KEYS[1], 'u', now + ARGV[2])
		return {1, redis.call('HGET', KEYS[1], 'd') or '', 0, now}`)
	// These give {0} when the lock was lost, and are taken for a sign of life.
	extend = redis.NewScript(owned + `return {1, '', 0, now}`)
	save   = redis.NewScript(owned + inOrder + `redis.call('HSET', KEYS[1], 't', ARGV[4]) return {1, '', 0, now}`)
	remove = redis.NewScript(owned + inOrder + `redis.call('HDEL', KEYS[1], 't') return {1, '', 0, now}`)
	// free leaves nothing behind but the tokens: no late command of the owner is let through.
	free = redis.NewScript(begin + `
		if redis.call('HGET', KEYS[1], 'o') == ARGV[1] then
			redis.call('HDEL', KEYS[1], 'o', 'u', 'd')
			if redis.call('HEXISTS', KEYS[1], 't') == 0 then redis.call('DEL', KEYS[1]) end;
		end
		return {1, '', 0, now}`)
)

// found is what load gives first where there are tokens.
const found = 1

// errLate is a command to take the lock that arrived when its caller had left, or when Redis's
// clock had been set.
var errLate = errors.New("the command was on its way for too long")

// errForeign is what no script gives: less than that may not be taken for "no tokens".
var errForeign = errors.New("the response is not the script's: this is no Redis, or something before it changes what it says")

type evictionError struct{ policy string }

func (e *evictionError) Error() string {
	return "this Redis may evict the session (maxmemory-policy " + e.policy +
		"): use noeviction or volatile-*, or another Redis than the cache's"
}

// run has a script's result.
func (s *TokenStore) run(ctx context.Context, script *redis.Script, args ...any) (reply, error) {
	r, err := await(ctx, func(ctx context.Context) ([]any, error) {
		return script.Run(ctx, s.rdb, []string{s.name}, args...).Slice()
	})
	if err != nil {
		return nil, err
	}
	out := reply(r)
	if len(out) != replySize {
		return nil, errForeign
	}
	s.clock.Saw(time.UnixMilli(out.number(3)))
	switch out.number(0) {
	case -1:
		return nil, &evictionError{out.text(1)}
	case -2:
		return nil, errLate
	}
	return out, nil
}

// table is the lock as package lease sees it.
type table struct{ s *TokenStore }

func (t table) Take(ctx context.Context, owner string, life, patience time.Duration) (lease.Taken, error) {
	for again := range 2 {
		r, err := t.s.run(ctx, acquire, owner, life.Milliseconds(), t.s.clock.Now().Add(patience).UnixMilli())
		switch {
		case errors.Is(err, errLate) && again == 0:
			continue // the clock is now known, or known better: it is in every response
		case err != nil:
			return lease.Taken{}, err
		}
		return lease.Taken{OK: r.number(0) == 1, Clean: r.text(1) == "", Wait: time.Duration(r.number(2)) * time.Millisecond}, nil
	}
	return lease.Taken{}, errLate
}

func (t table) Extend(ctx context.Context, owner string, life time.Duration) error {
	r, err := t.s.run(ctx, extend, owner, life.Milliseconds())
	if err == nil && r.number(0) == 0 {
		err = lease.ErrLost
	}
	return err
}

func (t table) Free(ctx context.Context, owner string) error {
	_, err := t.s.run(ctx, free, owner)
	return err
}
