package authos

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
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
	if jittered := wait + spread(asked); cl.fits(jittered) {
		return jittered, ""
	}
	cl.cause = nil // only the jitter did not fit
	return wait, ""
}

// spread is what is added to a wait that many may have been told alike.
func spread(asked time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(min(asked/10, 2*time.Second)) + 1)) //nolint:gosec // jitter
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
		cl.retrying.draws = newBackoff(r.policy, multiplier)
	}
	wait := cl.retrying.draws.NextBackOff()
	if shape == "linear" {
		bound := r.policy.MaxDelay
		if n := time.Duration(cl.attempts); n <= r.policy.MaxDelay/r.policy.BaseDelay {
			bound = r.policy.BaseDelay * n //nolint:durationcheck // n counts attempts
		}
		wait = time.Duration(rand.Int64N(int64(bound) + 1)) //nolint:gosec // jitter
	}
	return max(wait, 0)
}

// newBackoff makes backoff/v4 draw with full jitter: it draws from interval·(1±factor), so half the
// bound and a factor of 1 give zero to the bound. It would stop by itself after 15 minutes with a
// negative wait; the call has its own bounds, so it never does.
func newBackoff(p RetryPolicy, multiplier float64) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(max(p.BaseDelay/2, 1)), backoff.WithMaxInterval(max(p.MaxDelay/2, 1)),
		backoff.WithMultiplier(multiplier), backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(0),
	)
}
