package authos

import (
	"net/http"
	"sync"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// gateLayer is the way from the loop into one attempt: it waits for as long as the retry layer has
// decided, then at the rate-limit gate, and starts the attempt's clock.
type gateLayer struct {
	gates *[routes.Limiters]gate
	next  http.RoundTripper
}

func newGateLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	return &gateLayer{gates: &c.fam.gates, next: next}
}

// RoundTrip implements [http.RoundTripper].
func (g *gateLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	cl.sent, cl.probe, cl.excused = false, false, false
	if err := cl.pause(cl.retrying.wait); err != nil {
		return nil, err
	}
	if err := g.gates[cl.limiter()].pass(cl); err != nil {
		return nil, err
	}
	cl.began = time.Now()
	return g.next.RoundTrip(req)
}

func (cl *call) limiter() routes.Limiter {
	if cl.route == nil {
		return routes.LimiterOther
	}
	return cl.route.Limiter
}

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

// pass waits until the gate is open. Where the wait does not fit, or the call is a single attempt,
// it fails at once; so it does where the server asked for more than is obeyed, as a request after
// the hold would only be refused again.
func (g *gate) pass(cl *call) error {
	longest := cl.client.cfg.retry.MaxRetryAfter
	var waited time.Duration
	for {
		wait, asked := g.remaining()
		if wait <= 0 {
			return nil
		}
		// The gate may be raised again while we wait, but it holds no call longer than the longest
		// wait that is obeyed.
		if cl.maxAttempts <= 1 || asked > longest || waited+wait > longest || !cl.fits(wait) {
			return &RateLimitError{RetryAfter: asked}
		}
		if jittered := wait + spread(wait); cl.fits(jittered) {
			wait = jittered
		} else {
			cl.cause = nil
		}
		cl.refused.Store(true)
		cl.observeWait(wait, "gate")
		if err := cl.pause(wait); err != nil {
			return err
		}
		waited += wait
	}
}

// gate is that of the call's limiter.
func (cl *call) gate() *gate { return &cl.client.fam.gates[cl.limiter()] }
