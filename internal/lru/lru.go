// Package lru is a cache in memory: least recently used first out, bounded in entries and bytes.
// It is a leaf: it imports nothing of this module.
package lru

import (
	"container/list"
	"context"
	"strings"
	"sync"
	"time"
)

// Cache is the built-in store of cached responses. It is safe for concurrent use.
type Cache struct {
	maxEntries int
	maxBytes   int64

	mu      sync.Mutex
	order   *list.List // of *entry, most recently used first
	entries map[string]*list.Element
	bytes   int64
}

type entry struct {
	key     string
	value   []byte
	expires time.Time
}

// New returns an empty cache of at most maxEntries entries and about maxBytes bytes.
func New(maxEntries int, maxBytes int64) *Cache {
	return &Cache{maxEntries: maxEntries, maxBytes: maxBytes, order: list.New(), entries: map[string]*list.Element{}}
}

// size is an entry's weight: its texts, and about what the map, the list and the headers of strings
// take.
func (e *entry) size() int64 { return int64(len(e.key)+len(e.value)) + 200 }

// Get returns what was set under key and has not expired.
func (m *Cache) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.entries[key]
	if el == nil {
		return nil, false, nil
	}
	e := el.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
	if time.Now().After(e.expires) {
		m.remove(el)
		return nil, false, nil
	}
	m.order.MoveToFront(el)
	return e.value, true, nil
}

// Set keeps value under key for ttl at most.
func (m *Cache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	el := m.entries[key]
	if el == nil {
		el = m.order.PushFront(&entry{key: key})
		m.entries[key] = el
		m.bytes += el.Value.(*entry).size() //nolint:forcetypeassert // the list holds nothing else
	}
	e := el.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
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

// DeletePrefix forgets every key that begins with prefix.
func (m *Cache) DeletePrefix(_ context.Context, prefix string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, el := range m.entries {
		if strings.HasPrefix(key, prefix) {
			m.remove(el)
		}
	}
	return nil
}

func (m *Cache) remove(el *list.Element) {
	e := m.order.Remove(el).(*entry) //nolint:forcetypeassert // the list holds nothing else
	delete(m.entries, e.key)
	m.bytes -= e.size()
}
