package verify

import (
	"context"
	"time"
)

// Cached is how many responses of the online check are kept.
func Cached(v *Verifier) int { return v.asks.opinions.size() }

// Ask is the online check alone.
func Ask(ctx context.Context, v *Verifier, token string) error {
	_, err := v.asks.about(ctx, token, moment{})
	return err
}

// Suspend makes v see what a program sees that was suspended: the wall clock has gone on by d, and
// the monotonic one has not. A negative d is a wall clock that was set back.
func Suspend(v *Verifier, d time.Duration) {
	earlier := v.keys.clock
	clock := func() moment {
		m := earlier()
		return moment{m.wall.Add(d), m.mono}
	}
	v.keys.clock, v.asks.opinions.clock, v.revoked.clock, v.revoked.reads.clock = clock, clock, clock, clock
}

// MaxRevocations is how many users' revocations are remembered in memory.
const MaxRevocations = maxRevocations
