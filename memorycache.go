package authos

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"time"
)

// memoryCache is the built-in store: least recently used first out, bounded in entries and bytes.
type memoryCache struct {
	maxEntries int
	maxBytes   int64

	mu      sync.Mutex
	order   *list.List // of *memoryEntry, most recently used first
	entries map[string]*list.Element
	bytes   int64
}

type memoryEntry struct {
	key     string
	value   []byte
	expires time.Time
}

func newMemoryCache(maxEntries int, maxBytes int64) *memoryCache {
	return &memoryCache{maxEntries: maxEntries, maxBytes: maxBytes, order: list.New(), entries: map[string]*list.Element{}}
}

// size is an entry's weight: its texts, and about what the map, the list and the headers of strings take.
func (e *memoryEntry) size() int64 { return int64(len(e.key)+len(e.value)) + 200 }

// Get implements [CacheStore].
func (m *memoryCache) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.entries[key]
	if el == nil {
		return nil, false, nil
	}
	e := el.Value.(*memoryEntry) //nolint:forcetypeassert // the list holds nothing else
	if time.Now().After(e.expires) {
		m.remove(el)
		return nil, false, nil
	}
	m.order.MoveToFront(el)
	return e.value, true, nil
}

// Set implements [CacheStore].
func (m *memoryCache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.entries[key]
	if el == nil {
		el = m.order.PushFront(&memoryEntry{key: key})
		m.entries[key] = el
		m.bytes += el.Value.(*memoryEntry).size() //nolint:forcetypeassert // the list holds nothing else
	}
	e := el.Value.(*memoryEntry) //nolint:forcetypeassert // the list holds nothing else
	m.bytes += int64(len(value) - len(e.value))
	e.value, e.expires = value, time.Now().Add(ttl)
	m.order.MoveToFront(el)
	if e.size() > m.maxBytes {
		m.remove(el) // else it would push everything else out, and itself in the end
	}
	for m.order.Len() > m.maxEntries || m.bytes > m.maxBytes {
		m.remove(m.order.Back())
	}
	return nil
}

// DeletePrefix implements [CacheStore].
func (m *memoryCache) DeletePrefix(_ context.Context, prefix string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, el := range m.entries {
		if strings.HasPrefix(key, prefix) {
			m.remove(el)
		}
	}
	return nil
}

func (m *memoryCache) remove(el *list.Element) {
	e := m.order.Remove(el).(*memoryEntry) //nolint:forcetypeassert // the list holds nothing else
	delete(m.entries, e.key)
	m.bytes -= e.size()
}
