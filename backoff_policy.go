package authos

import (
	"cmp"
	"errors"
	"math"
	"time"
)

// RetryPolicy says how often and how long a call is tried. The zero value of a field is its
// default.
//
// Whether an attempt is repeated at all is not a matter of policy but of what may have happened at
// the server: what certainly did not arrive or was refused unread is repeated; what may have been
// applied is repeated only where a second time does no harm. Times longer than 20 years count as
// that long.
type RetryPolicy struct {
	// MaxAttempts counts the first try. Default 4; 1 turns retries off.
	MaxAttempts int
	// BaseDelay is the bound of the first wait; it doubles with each retry up to MaxDelay. The wait
	// is drawn evenly from zero to the bound (full jitter). Defaults 200 ms and 20 s.
	BaseDelay, MaxDelay time.Duration
	// MaxRetryAfter is the longest wait asked for by the server that is obeyed. Beyond it the error
	// comes back at once, with RetryAfter set. Default 60 s.
	MaxRetryAfter time.Duration
	// MaxElapsed bounds the whole call, waits included. Default 2 min; negative: no bound.
	MaxElapsed time.Duration
	// AttemptTimeout bounds one attempt, body included. Default 35 s, since the server itself gives
	// up after 30 s and says so with 408; negative: no bound.
	AttemptTimeout time.Duration
	// Budget bounds the share of retries in the traffic of all clients of a family.
	Budget RetryBudget
}

const (
	defaultMaxAttempts    = 4
	defaultBaseDelay      = 200 * time.Millisecond
	defaultMaxDelay       = 20 * time.Second
	defaultMaxRetryAfter  = 60 * time.Second
	defaultMaxElapsed     = 2 * time.Minute
	defaultAttemptTimeout = 35 * time.Second
	defaultBudgetRatio    = 0.2
	defaultBudgetReserve  = 10

	// longest is what a policy's time may be at most: ten times as much added to today still is a
	// time that every clock can show.
	longest = 20 * 365 * 24 * time.Hour
)

func (p RetryPolicy) check() error {
	var errs []error
	refuse := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	refuse(p.MaxAttempts < 0, "MaxAttempts is negative; 1 turns retries off")
	refuse(p.BaseDelay < 0, "BaseDelay is negative")
	refuse(p.MaxDelay < 0, "MaxDelay is negative")
	refuse(p.MaxRetryAfter < 0, "MaxRetryAfter is negative")
	refuse(p.MaxDelay > 0 && p.BaseDelay > p.MaxDelay, "BaseDelay is longer than MaxDelay")
	refuse(math.IsNaN(p.Budget.Ratio) || math.IsInf(p.Budget.Ratio, 0), "Budget.Ratio is not a number")
	return errors.Join(errs...)
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, defaultMaxAttempts)
	p.MaxDelay = cmp.Or(p.MaxDelay, max(defaultMaxDelay, p.BaseDelay))
	p.BaseDelay = cmp.Or(p.BaseDelay, min(defaultBaseDelay, p.MaxDelay))
	p.MaxRetryAfter = cmp.Or(p.MaxRetryAfter, defaultMaxRetryAfter)
	p.MaxElapsed = cmp.Or(p.MaxElapsed, defaultMaxElapsed)
	p.AttemptTimeout = cmp.Or(p.AttemptTimeout, defaultAttemptTimeout)
	p.Budget.Ratio = cmp.Or(p.Budget.Ratio, defaultBudgetRatio)
	p.Budget.Reserve = cmp.Or(p.Budget.Reserve, defaultBudgetReserve)
	for _, d := range []*time.Duration{&p.BaseDelay, &p.MaxDelay, &p.MaxRetryAfter, &p.MaxElapsed, &p.AttemptTimeout} {
		*d = min(*d, longest)
	}
	return p
}
