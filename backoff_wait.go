package authos

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/authos-go/authos/internal/jitter"
)

// nextWait is max(what the server asked for, exponential backoff with full jitter). Where the
// server asked, up to a tenth, two seconds at most, is added, so that a thousand clients do not
// come back in the same instant. Where the wait is too long for the policy, the caller's deadline
// or MaxElapsed, the response is worth more to the caller than a sleep: noMore says so.
func (r *retryLayer) nextWait(cl *call, api *APIError) (wait time.Duration, noMore string) {
	wait = r.draw(cl, api)
	asked := time.Duration(0)
	if api != nil && api.waitAsked {
		if asked = api.RetryAfter; asked > r.policy.MaxRetryAfter {
			return 0, noMoreWait
		}
		if asked <= 0 {
			// "now", or a time that has passed: RFC 9110 has no floor, a hot loop needs one
			asked = r.policy.BaseDelay
		}
		wait = max(asked, wait)
	}
	if !cl.fits(wait) {
		return 0, noMoreTime
	}
	if jittered := wait + spread(r.fam.random, asked); cl.fits(jittered) {
		return jittered, ""
	}
	cl.late = false // only the jitter did not fit
	return wait, ""
}

// spread is what is added to a wait that many may have been told alike.
func spread(random *jitter.Source, asked time.Duration) time.Duration {
	return random.UpTo(min(asked/10, 2*time.Second))
}

// draw takes the next wait of the exponential series: evenly from zero to the bound, which is
// BaseDelay and doubles up to MaxDelay.
func (r *retryLayer) draw(cl *call, api *APIError) time.Duration {
	shape := ""
	if api != nil && api.Hint != nil {
		shape = api.Hint.Backoff
	}
	if cl.retrying.draws == nil {
		multiplier := 2.0
		if shape == "constant" {
			multiplier = 1
		}
		cl.retrying.draws = newBackoff(r.policy, multiplier, r.fam.random)
	}
	wait := cl.retrying.draws.Next()
	if shape == "linear" {
		bound := r.policy.MaxDelay
		if n := time.Duration(cl.attempts); n <= r.policy.MaxDelay/r.policy.BaseDelay {
			bound = r.policy.BaseDelay * n //nolint:durationcheck // n counts attempts
		}
		wait = r.fam.random.UpTo(bound)
	}
	return wait
}

// newBackoff makes a series of waits with full jitter: evenly from zero to a bound, which
// backoff/v4 computes. Its own jitter cannot be seeded, so it is turned off. It would stop by
// itself after 15 minutes with a negative wait; what waits has its own bounds, so it never does.
func newBackoff(p RetryPolicy, multiplier float64, random *jitter.Source) *jitter.Series {
	bounds := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.BaseDelay), backoff.WithMaxInterval(p.MaxDelay),
		backoff.WithMultiplier(multiplier), backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0),
	)
	return &jitter.Series{Bound: bounds.NextBackOff, Source: random}
}
