package authos

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stamp is a moment in the order of writes.
type stamp struct {
	// seq counts writes of this process: whatever began when fewer had ended is from before them.
	seq uint64
	// at is the clock's time, in Unix nanoseconds, for what another process has cached.
	at int64
}

// writes remembers which paths were written, and when, so that a write costs the same whatever is
// cached: a cached response is not looked for when it is overtaken, it is looked at when it is
// wanted. That holds for everybody's responses, not only for those of the principal who wrote, and
// a read that began before a write does not bring the old response back.
type writes struct {
	count atomic.Uint64

	mu   sync.Mutex
	root written
	size int
	// floor is taken for the last write to every path of which there is no other record.
	floor stamp
}

// written is when a path was written last: with all below it, or as itself alone.
type written struct {
	tree, self stamp
	below      map[string]*written
}

// maxWritten bounds the paths that are remembered.
const maxWritten = 4096

// began is what a read that begins now has to be compared with.
func (w *writes) began() uint64 { return w.count.Load() }

// wrote notes that a write to a path has ended: it may have changed the path and all below it, or,
// where alone is set, the path itself.
func (w *writes) wrote(path string, alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := stamp{w.count.Add(1), time.Now().UnixNano()}
	if w.size > maxWritten {
		// Which is cheaper than to remember who came first, and costs cached responses, no more.
		w.root, w.size, w.floor = written{}, 0, now
	}
	at := &w.root
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		next := at.below[segment]
		if next == nil {
			if at.below == nil {
				at.below = map[string]*written{}
			}
			next = new(written)
			at.below[segment] = next
			w.size++
		}
		at = next
	}
	if alone {
		at.self = now
		return
	}
	at.tree = now
	w.size -= at.forget() // this one stands for all that was written below it
}

// forget drops what is below, and gives how much that was.
func (w *written) forget() (n int) {
	for _, next := range w.below {
		n += 1 + next.forget()
	}
	w.below = nil
	return n
}

// since reports whether a path was written after a response of it was asked for. own says that this
// process has asked.
func (w *writes) since(path string, asked stamp, own bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	after := func(s stamp) bool {
		if own {
			return s.seq > asked.seq
		}
		return s.at >= asked.at
	}
	at := &w.root
	if after(w.floor) {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if after(at.tree) {
			return true
		}
		if at = at.below[segment]; at == nil {
			return false
		}
	}
	return after(at.tree) || after(at.self)
}
