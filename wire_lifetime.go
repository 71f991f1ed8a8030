package authos

import (
	"sync"
	"time"
)

// lifetime is the ending half of a context. The goroutine that waits for a sending ends it, when
// the caller's context or the attempt's time ends; a context of package context would need a timer,
// and an entry in the caller's, to do the same.
type lifetime struct {
	until time.Time // zero: no limit of its own

	mu    sync.Mutex
	done  chan struct{} // made when somebody asks
	err   error
	after *afterEnd // the last of a list
}

// afterEnd is a function to be called when a context ends.
type afterEnd struct {
	f      func() // nil: no more
	before *afterEnd
}

// Done implements [context.Context].
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements [context.Context].
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// AfterFunc calls f in a goroutine of its own when the context ends. Package context looks for this
// method, and starts a goroutine to watch a context that lacks it.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		go f()
		return func() bool { return false }
	}
	entry := &afterEnd{f, l.after}
	l.after = entry
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		stopped := entry.f != nil
		entry.f = nil
		return stopped
	}
}

// end ends the context with err; only the first end counts.
func (l *lifetime) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	if l.done != nil {
		close(l.done)
	}
	for entry := l.after; entry != nil; entry = entry.before {
		if entry.f != nil {
			go entry.f()
			entry.f = nil
		}
	}
}
