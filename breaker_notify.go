package authos

import (
	"sync"
	"sync/atomic"
)

// breakerChange is what is reported of a group: a change of its state, or that a circuit which was
// open to some is open to all.
type breakerChange struct {
	group    string
	from, to BreakerState
	blamed   int // principals it is about; 0: everybody
}

// notifier hands changes out one by one, in order and outside any lock that others wait for, by
// whichever goroutine comes first.
type notifier struct {
	waiting    atomic.Int32 // changes queued: attempts that change nothing take no lock
	mu         sync.Mutex
	queue      []breakerChange
	delivering sync.Mutex // nobody waits for it: a hook may call the client, or take its time
}

func (n *notifier) add(c breakerChange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(n.queue, c)
	n.waiting.Add(1)
}

func (n *notifier) next() (c breakerChange, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return c, false
	}
	c, n.queue = n.queue[0], n.queue[1:]
	n.waiting.Add(-1)
	return c, true
}

// deliver hands out what is queued. A change that is added while this ends is seen by the loop.
func (b *breakers) deliver() {
	n := &b.notify
	for n.waiting.Load() > 0 && n.delivering.TryLock() {
		b.deliverAll()
	}
}

func (b *breakers) deliverAll() {
	n := &b.notify
	defer n.delivering.Unlock() // also when a hook panics: the next goroutine goes on
	for c, ok := n.next(); ok; c, ok = n.next() {
		b.report(BreakerEvent{c.group, c.from, c.to, c.blamed})
		if hook := b.policy.OnStateChange; hook != nil && c.from != c.to {
			hook(c.group, c.from, c.to)
		}
	}
}
