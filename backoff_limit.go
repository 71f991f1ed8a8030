package authos

import (
	"sync"
	"time"
)

// gate holds calls of one limiter bucket back while the server has asked for a wait, so that they
// do not each collect a 429.
type gate struct {
	mu    sync.Mutex
	until time.Time // it holds no longer than MaxRetryAfter
	named time.Time // what the server asked for, which may be later
}

// raise closes the gate for the wait that the server asked for, at most for the longest that is
// obeyed.
func (g *gate) raise(asked, obeyed time.Duration) {
	now := time.Now()
	asked = min(asked, longest)
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := now.Add(min(asked, obeyed)); until.After(g.until) {
		g.until = until
	}
	if named := now.Add(asked); named.After(g.named) {
		g.named = named
	}
}

// remaining is how long the gate still holds, and how long the server asked to stay away from now
// on.
func (g *gate) remaining() (hold, asked time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until.IsZero() {
		return 0, 0
	}
	if hold = time.Until(g.until); hold <= 0 {
		g.until, g.named = time.Time{}, time.Time{}
		return 0, 0
	}
	return hold, time.Until(g.named)
}
