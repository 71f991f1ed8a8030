package authos

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// RetryAfter gives how long from now the call that ended with err should wait before it is made
// again: what is left of the wait that the server, an open circuit, the rate-limit gate or a
// session in doubt has named. It is 0 where nobody named one, and false where waiting does not
// help, as [Retryable] says.
func RetryAfter(err error) (time.Duration, bool) {
	if !Retryable(err) {
		return 0, false
	}
	if e, ok := errors.AsType[*SessionError](err); ok {
		return max(time.Until(e.RetryAt), 0), true
	}
	if e, ok := errors.AsType[*CircuitOpenError](err); ok {
		return max(time.Until(e.RetryAt), 0), true
	}
	if e, ok := errors.AsType[*RateLimitError](err); ok {
		return left(e.RetryAfter, e.at), true
	}
	if e, ok := errors.AsType[*APIError](err); ok { // that of a call that ended otherwise, too
		return left(e.RetryAfter, e.received), true
	}
	return 0, true
}

// left is what remains of a wait that was named some time ago.
func left(wait time.Duration, named time.Time) time.Duration {
	if !named.IsZero() {
		wait -= time.Since(named)
	}
	return max(wait, 0)
}

// leastWait is twice the least that [Wait] sleeps.
const leastWait = 2 * time.Second

// Wait sleeps until the call that ended with err may be made again: as long as [RetryAfter] says
// and a little more, at random, so that many who were told the same do not come back at once. It is
// never less than half to all of 2 s, or of the policy's BaseDelay where that is longer: the loop
// below makes at most one call a second, whatever is wrong. It returns nil then, err at once where
// waiting does not help, and ctx's error when ctx ends first.
//
//	for {
//		err := call(ctx)
//		if err == nil || authos.Wait(ctx, err) != nil {
//			return err
//		}
//	}
func Wait(ctx context.Context, err error) error {
	wait, ok := RetryAfter(err)
	if !ok {
		return err
	}
	base := leastWait
	if end, _ := lookUp(err); end != nil {
		base = max(base, end.base)
	}
	least := base - time.Duration(rand.Int64N(int64(base/2)+1)) //nolint:gosec // jitter
	wait = max(min(wait, longest)+spread(nil, wait), least)
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return contextEnd(ctx)
	}
}
