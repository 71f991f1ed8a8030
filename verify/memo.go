package verify

import (
	"context"
	"crypto/sha256"
	"net"
	"sync"
	"time"
)

// maxResults bounds each memo.
const maxResults = 10_000

type digest [sha256.Size]byte

// memo asks for a value once for all who want it at a time, and uses the result again for a while.
// A result belongs to the exact text it was asked for, by its SHA-256, so that it never reaches
// another. A failure is not remembered: the next caller asks anew.
type memo[V any] struct {
	work  *background
	keep  time.Duration // how long a result is used again
	limit time.Duration // for one request
	clock func() moment

	mu      sync.Mutex // never held while waiting
	results map[digest]*result[V]
}

// result is one request. Its fields are written before done is closed, and ended under the lock.
type result[V any] struct {
	done         chan struct{}
	began, ended moment // ended is zero while it is under way
	value        V
	err          error
}

func newMemo[V any](work *background, keep, limit time.Duration) *memo[V] {
	return &memo[V]{work: work, keep: keep, limit: limit, clock: currentMoment, results: map[digest]*result[V]{}}
}

// get gives the result for id: one that was asked for after the moment given, or that of request.
// It fails with [net.ErrClosed] after the verifier was closed, and with the context's error when
// ctx ends first.
func (m *memo[V]) get(
	ctx context.Context, id digest, since moment, request func(context.Context) (V, error),
) (*result[V], error) {
	r := m.find(ctx, id, since, request)
	if r == nil {
		return nil, net.ErrClosed
	}
	select {
	case <-r.done:
		return r, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (m *memo[V]) find(
	ctx context.Context, id digest, since moment, request func(context.Context) (V, error),
) *result[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	if r := m.results[id]; r != nil && m.fresh(r, now) && (since.isZero() || since.before(r.began)) {
		return r
	}
	r := &result[V]{done: make(chan struct{}), began: now}
	if !m.work.start(ctx, m.limit, func(ctx context.Context) { m.run(ctx, id, r, request) }) {
		return nil
	}
	m.makeRoom(now)
	m.results[id] = r
	return r
}

func (m *memo[V]) fresh(r *result[V], now moment) bool {
	return r.ended.isZero() || r.ended.age(now) < m.keep
}

func (m *memo[V]) run(ctx context.Context, id digest, r *result[V], request func(context.Context) (V, error)) {
	value, err := *new(V), errNoResponse
	defer func() { // also when a transport panics or ends the goroutine: the callers wait for it
		err = panicked(recover(), err)
		m.mu.Lock()
		defer m.mu.Unlock()
		r.value, r.err, r.ended = value, err, m.clock()
		if err != nil && m.results[id] == r {
			delete(m.results, id)
		}
		close(r.done)
	}()
	value, err = request(ctx)
}

// makeRoom keeps the results bounded: those that are over go first, then any. One that is under way
// may go too: who waits for it has it.
func (m *memo[V]) makeRoom(now moment) {
	if len(m.results) < maxResults {
		return
	}
	for id, r := range m.results {
		if !m.fresh(r, now) {
			delete(m.results, id)
		}
	}
	for id := range m.results {
		if len(m.results) < maxResults*9/10 {
			return // so that a full memo is not swept for every request
		}
		delete(m.results, id)
	}
}

func (m *memo[V]) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.results)
}
