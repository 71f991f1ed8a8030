package webhook

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"
)

// SeenStore keeps which deliveries were handled, so that several processes know of each other's and
// a restart forgets none. Its methods may be called from several goroutines. A call gets a context
// with a deadline of 5 seconds.
//
// The records belong to one receiver. Two receivers that do different work with the same event (a
// mailer and a biller, say, with a webhook each) may get the same body, and so the same id: give
// each its own store, or its own prefix within one. Otherwise the one that comes second takes the
// event for handled.
//
// A store that fails costs protection against repeats, not the event: the failure is logged, the
// Handler goes by what it remembers itself, and calls the program's function where that is nothing.
type SeenStore interface {
	// Seen reports whether id was recorded, and not longer ago than was asked for.
	Seen(ctx context.Context, id string) (bool, error)
	// Record keeps id for ttl. It is called after the event was handled. id may be there already.
	Record(ctx context.Context, id string, ttl time.Duration) error
}

const defaultMaxEntries = 100_000

// MemorySeen is a [SeenStore] in memory. Its zero value is ready for use; it must not be copied
// afterwards. Several Handlers of one receiver may share it.
type MemorySeen struct {
	// MaxEntries is how many deliveries are remembered, 100,000 by default, at about 250 bytes
	// each. The oldest make room. It should exceed the number of events in the time that a replay
	// is to be recognized ([Verifier.Remember]). Set it before the first use.
	MaxEntries int

	mu      sync.Mutex
	entries map[string]*list.Element
	order   list.List // of memoryEntry, the one recorded first in front
}

type memoryEntry struct {
	id      string
	expires time.Time
}

// Seen implements [SeenStore]. It never fails.
func (m *MemorySeen) Seen(_ context.Context, id string) (bool, error) { return m.has(id), nil }

// Record implements [SeenStore]. It never fails.
func (m *MemorySeen) Record(_ context.Context, id string, ttl time.Duration) error {
	m.add(id, ttl)
	return nil
}

func (m *MemorySeen) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	el, ok := m.entries[id]
	return ok && !el.Value.(memoryEntry).expired(time.Now()) //nolint:forcetypeassert // the list holds nothing else
}

func (m *MemorySeen) add(id string, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if el, ok := m.entries[id]; ok {
		m.order.Remove(el)
	}
	if m.entries == nil {
		m.entries = map[string]*list.Element{}
	}
	m.entries[id] = m.order.PushBack(memoryEntry{id, now.Add(ttl)})
	limit := cmp.Or(max(m.MaxEntries, 0), defaultMaxEntries)
	for {
		el := m.order.Front()
		oldest := el.Value.(memoryEntry) //nolint:forcetypeassert // the list holds nothing else
		if len(m.entries) <= limit && !oldest.expired(now) {
			return
		}
		m.order.Remove(el)
		delete(m.entries, oldest.id)
		if m.order.Len() == 0 {
			return // a ttl that is over at once
		}
	}
}

func (e memoryEntry) expired(now time.Time) bool { return now.After(e.expires) }
