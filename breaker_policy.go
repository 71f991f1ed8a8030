package authos

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// BreakerState is a circuit's state.
type BreakerState string

// The states of a circuit: closed lets requests through, open refuses them, half-open lets a probe
// through to see.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half-open"
)

// BreakerPolicy says when requests to a failing part of the server are refused here, without
// touching the network. The zero value of a field is its default.
//
// A failure is no response, or a 5xx that speaks of the server itself. Every 4xx is a response of a
// server that is alive. Requests in flight on connections that are lost together, as when a load
// balancer restarts, count as one failure. A circuit opens to all principals only if the failures
// are not those of one of them: one user whose data makes the server fail is refused alone.
type BreakerPolicy struct {
	// FailureThreshold is how many failures in a row open the circuit. Default 5. Where the window
	// holds MinRequests outcomes or more it takes twice as many, since a few in a row happen by
	// chance at high rates; there the share opens the circuit as well.
	FailureThreshold int
	// FailureRatio is the share of failures that opens the circuit where the window holds
	// MinRequests outcomes or more. Default 0.5; negative: off, FailureThreshold alone decides.
	FailureRatio float64
	// MinRequests is how many outcomes make a share meaningful, and how many successes in a row let
	// connections that are lost together count as one failure again. Default 20, at most 100, which
	// is what the window holds.
	MinRequests int
	// Window is how old an outcome may be to count for the share. Default 2 min.
	Window time.Duration
	// OpenTimeout is how long the circuit stays open before a probe. Default 25 s, spread by ±20 %
	// per family of clients, so that clients do not probe together; 20 years at most. A 503 with a
	// longer Retry-After keeps it open that long, at most ten times OpenTimeout.
	OpenTimeout time.Duration
	// HalfOpenProbes is how many probes may be under way at once, and how many must succeed to
	// close the circuit. Default 1.
	HalfOpenProbes int
	// Group names the circuit of a request; path is the escaped path below the base URL. Beyond 64
	// names the rest share one. Default: auth, user, organizations, service, platform, other. The
	// refresh of tokens has a circuit of its own, "refresh".
	Group func(method, path string) string
	// OnStateChange is called after each change of a group, in order, outside any lock; it may call
	// the client. A group is open while it is open to anybody.
	OnStateChange func(group string, from, to BreakerState)
	// Disabled turns the breaker off.
	Disabled bool
}

const (
	defaultFailureThreshold = 5
	defaultFailureRatio     = 0.5
	defaultMinRequests      = 20
	defaultWindow           = 2 * time.Minute
	defaultOpenTimeout      = 25 * time.Second
	windowSize              = 100 // outcomes
	maxHold                 = 10  // times OpenTimeout
	maxGroups               = 64

	maxBlamed = 8  // principals of a group that are refused while the others pass
	maxLifted = 64 // principals of a group that were, and are remembered for it

	groupRest = "other"
)

func (p BreakerPolicy) check() error {
	var errs []error
	refuse := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	refuse(p.FailureThreshold < 0, "FailureThreshold is negative; Disabled turns the breaker off")
	refuse(p.FailureRatio > 1 || p.FailureRatio != p.FailureRatio, "FailureRatio is not a share of 1")
	refuse(p.MinRequests < 0 || p.MinRequests > windowSize, fmt.Sprintf("MinRequests is not within 1 and %d", windowSize))
	refuse(p.Window < 0, "Window is negative")
	refuse(p.OpenTimeout < 0, "OpenTimeout is negative")
	refuse(p.HalfOpenProbes < 0 || p.HalfOpenProbes > windowSize, fmt.Sprintf("HalfOpenProbes is not within 1 and %d", windowSize))
	return errors.Join(errs...)
}

func (p BreakerPolicy) withDefaults() BreakerPolicy {
	p.FailureThreshold = cmp.Or(p.FailureThreshold, defaultFailureThreshold)
	p.FailureRatio = cmp.Or(p.FailureRatio, defaultFailureRatio)
	p.MinRequests = cmp.Or(p.MinRequests, defaultMinRequests)
	p.Window = cmp.Or(p.Window, defaultWindow)
	p.OpenTimeout = min(cmp.Or(p.OpenTimeout, defaultOpenTimeout), longest)
	p.HalfOpenProbes = cmp.Or(p.HalfOpenProbes, 1)
	if p.Group == nil {
		p.Group = endpointGroup
	}
	return p
}

// endpointGroup is a coarse part of the path, so that a sick part of the server does not cut off a
// healthy one.
func endpointGroup(_, path string) string {
	if strings.HasPrefix(path, "/auth/") {
		return "auth"
	}
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return groupRest
	}
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "auth", "user", "organizations", "service", "platform":
		return first
	default:
		return groupRest
	}
}
