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
	// root is a tree of the keys' segments, so that forgetting a prefix takes as long as there is
	// to forget, and not as long as everything is that is cached.
	root node
}

type entry struct {
	key     string
	value   []byte
	expires time.Time
	at      *node
}

// node is the keys that begin with the same segments.
type node struct {
	above *node
	name  string // the segment, in above
	below map[string]*node
	el    *list.Element // of the key that ends here; nil: none does
}

// New returns an empty cache of at most maxEntries entries and about maxBytes bytes.
func New(maxEntries int, maxBytes int64) *Cache {
	return &Cache{maxEntries: maxEntries, maxBytes: maxBytes, order: list.New(), entries: map[string]*list.Element{}}
}

// size is an entry's weight: its texts, and about what the map, the list, the tree and the headers
// of strings take.
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
		el = m.add(key)
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

func (m *Cache) add(key string) *list.Element {
	at := &m.root
	for segment := range strings.SplitSeq(key, "/") {
		next := at.below[segment]
		if next == nil {
			next = &node{above: at, name: segment}
			if at.below == nil {
				at.below = map[string]*node{}
			}
			at.below[segment] = next
		}
		at = next
	}
	e := &entry{key: key, at: at}
	at.el = m.order.PushFront(e)
	m.entries[key] = at.el
	m.bytes += e.size()
	return at.el
}

// DeletePrefix forgets every key that begins with prefix, which ends at a '/' or is empty.
func (m *Cache) DeletePrefix(_ context.Context, prefix string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := &m.root
	for rest := prefix; at != nil && rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		at = at.below[segment]
	}
	if at != nil {
		for _, next := range at.below {
			m.removeFrom(next)
		}
	}
	return nil
}

// removeFrom forgets the keys that end at a node or below it.
func (m *Cache) removeFrom(at *node) {
	for _, next := range at.below {
		m.removeFrom(next)
	}
	if at.el != nil {
		m.remove(at.el)
	}
}

func (m *Cache) remove(el *list.Element) {
	e := m.order.Remove(el).(*entry) //nolint:forcetypeassert // the list holds nothing else
	delete(m.entries, e.key)
	m.bytes -= e.size()
	e.at.el = nil
	for at := e.at; at.above != nil && at.el == nil && len(at.below) == 0; at = at.above {
		delete(at.above.below, at.name)
	}
}
