package authos

import (
	"net/http"
	"time"

	"github.com/authos-go/authos/internal/jitter"
	"github.com/authos-go/authos/internal/routes"
)

// gateLayer is the way from the loop into one attempt: it waits for as long as the retry layer has
// decided, then at the rate-limit gate, and starts the attempt's clock.
type gateLayer struct {
	gates  *[routes.Limiters]gate
	random *jitter.Source
	next   http.RoundTripper
}

func newGateLayer(fam *family, next http.RoundTripper) http.RoundTripper {
	return &gateLayer{gates: &fam.gates, random: fam.random, next: next}
}

// RoundTrip implements [http.RoundTripper].
func (g *gateLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	cl.sent, cl.probe, cl.excused, cl.crowded = false, false, false, false
	if err := cl.pause(cl.retrying.wait); err != nil {
		return nil, err
	}
	if err := pass(&g.gates[cl.limiter()], g.random, cl); err != nil {
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

// pass waits until the gate is open. Where the wait does not fit, or the call is a single attempt,
// it fails at once; so it does where the server asked for more than is obeyed, as a request after
// the hold would only be refused again.
func pass(g *gate, random *jitter.Source, cl *call) error {
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
		extra := g.scatter(random)
		if waited+wait+extra > longest {
			extra = spread(random, wait)
		}
		if jittered := wait + extra; cl.fits(jittered) {
			wait = jittered
		} else {
			cl.late = false
		}
		cl.refused.Store(true)
		cl.observeWait(wait, "gate")
		if err := cl.pause(wait); err != nil {
			return err
		}
		waited += wait
	}
}
