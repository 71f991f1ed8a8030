package authos

import (
	"context"
	"sync"
	"time"
)

// patience ends a call once it is over and a cached response is at hand, which it leaves in early.
// It does not end a call that the server has just refused, told to wait or asked for a new token:
// after a 4xx a cached response is never served.
//
// Every good read has one, so it is made to cost nothing: it is used again, and a context that ends
// with it is made only when somebody waits for one.
type patience struct {
	pool   *sync.Pool                          // where it goes afterwards
	wait   time.Duration                       // CachePolicy.Patience
	lookup func(*call, uint64) *cachedResponse // of the cached response
	timer  *time.Timer
	over   chan struct{} // closed when it is

	mu     sync.Mutex
	cl     *call // nil: none
	signIn uint64
	early  *cachedResponse // the one at hand when it was over
	waits  ender           // what it ends besides; nil: nothing, or that looks by itself
	merged context.Context //nolint:containedctx // the caller's, ended by patience too; nil: nobody asked
	end    context.CancelFunc
}

func newPatience(pool *sync.Pool, wait time.Duration, lookup func(*call, uint64) *cachedResponse) *patience {
	p := &patience{pool: pool, wait: wait, lookup: lookup, over: make(chan struct{})}
	p.timer = time.AfterFunc(time.Hour, p.look)
	p.timer.Stop()
	return p
}

func (p *patience) start(cl *call, signIn uint64) {
	p.mu.Lock()
	p.cl, p.signIn = cl, signIn
	p.mu.Unlock()
	cl.patience = p
	p.timer.Reset(p.wait)
}

// look is the timer's.
func (p *patience) look() {
	p.mu.Lock()
	cl, signIn := p.cl, p.signIn
	p.mu.Unlock()
	switch {
	case cl == nil || cl.Context.Err() != nil:
		return // the call has ended meanwhile
	case cl.refused.Load():
		p.again()
		return
	}
	k := p.lookup(cl, signIn)
	if k == nil {
		return
	}
	if cl.refused.Load() {
		p.again() // while we looked
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cl == nil {
		return
	}
	p.early = k
	close(p.over)
	if p.end != nil {
		p.end()
	}
	if p.waits != nil {
		p.waits.end(context.Canceled)
	}
}

// ender is what ends with the patience.
type ender interface{ end(err error) }

// watch ends what waits with the patience; nil is nothing any more.
func (p *patience) watch(waits ender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = waits
	if waits != nil && p.early != nil {
		waits.end(context.Canceled)
	}
}

// again waits once more.
func (p *patience) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cl != nil {
		p.timer.Reset(p.wait)
	}
}

// stop ends the watch, and gives the response that was at hand if the call was ended for it.
func (p *patience) stop() *cachedResponse {
	unused := p.timer.Stop()
	p.mu.Lock()
	cl := p.cl
	p.cl = nil
	early := p.early
	if p.end != nil {
		p.end()
		unused = false
	}
	p.mu.Unlock()
	if unused && early == nil {
		cl.patience = nil
		p.pool.Put(p)
	}
	return early
}

// Done implements [context.Context]: it ends with the caller's context, or with patience. Who has
// the choice waits for both channels instead, which costs nothing.
func (cl *call) Done() <-chan struct{} {
	p := cl.patience
	if p == nil {
		return cl.Context.Done()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.merged == nil {
		p.merged, p.end = context.WithCancel(cl.Context)
		if p.early != nil || p.cl == nil {
			p.end()
		}
	}
	return p.merged.Done()
}

// Err implements [context.Context].
func (cl *call) Err() error {
	if err := cl.Context.Err(); err != nil {
		return err // before merged, which may hear of it later
	}
	if p := cl.patience; p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.merged != nil {
			return p.merged.Err()
		}
	}
	if cl.impatient() {
		return context.Canceled
	}
	return nil
}

// enough is closed when patience is over; nil where it never is.
func (cl *call) enough() <-chan struct{} {
	if cl.patience == nil {
		return nil
	}
	return cl.patience.over
}

// impatient reports whether it was patience that ended the call.
func (cl *call) impatient() bool {
	select {
	case <-cl.enough():
		return true
	default:
		return false
	}
}
