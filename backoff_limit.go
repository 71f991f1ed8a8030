package authos

import (
	"sync"
	"time"

	"github.com/authos-go/authos/internal/jitter"
)

// gate holds calls of one limiter bucket back while the server has asked for a wait, so that they
// do not each collect a 429.
type gate struct {
	mu    sync.Mutex
	until time.Time     // it holds no longer than MaxRetryAfter
	named time.Time     // what the server asked for, which may be later
	span  time.Duration // from when it was raised to until
}

// raise closes the gate for the wait that the server asked for, at most for the longest that is
// obeyed.
func (g *gate) raise(asked, obeyed time.Duration) {
	now := time.Now()
	asked = min(asked, longest)
	g.mu.Lock()
	defer g.mu.Unlock()
	span := min(asked, obeyed)
	if until := now.Add(span); until.After(g.until) {
		g.until, g.span = until, span
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
	if hold = time.Until(g.until); hold <= 0 {
		g.until, g.named = time.Time{}, time.Time{} // a wait that was longer is not waited for
	}
	return hold, time.Until(g.named)
}

const maxScatter = 10 * time.Second

// scatter is when after the gate's opening a call goes on: within as much time again as it has
// held, ten seconds at most, where that is within MaxRetryAfter. Whoever shares the limiter was
// told the same; if all that have gathered behind their gates came at once, it would refuse nearly
// all of them again, and where it no longer limits, they would be more than the server can serve
// (docs/resilience.md).
func (g *gate) scatter(random *jitter.Source) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return random.UpTo(min(g.span, maxScatter))
}
