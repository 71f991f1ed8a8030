package authos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authos-go/authos/internal/routes"
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

	// longest is what a policy's time may be at most: ten times as much added to today still is a
	// time that every clock can show.
	longest = 20 * 365 * 24 * time.Hour
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

// newBreakerLayer makes the layer also where the breaker is disabled: it refuses nothing then, but
// tells connections that are lost together from failures, which the retry budget asks for.
func newBreakerLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	return &breakerLayer{all: c.fam.breakers, next: next}
}

// breakerLayer notes how each attempt ended, and refuses it while its group's circuit is open.
type breakerLayer struct {
	all  *breakers
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *breakerLayer) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	cl := callOf(req)
	group := b.all.of(cl.group)
	admitted, refused := group.admit(b.all.principalOf(cl))
	b.all.deliver() // half-open is news before its probe has ended
	if refused != nil {
		return nil, refused
	}
	end := ending{verdict: verdictNone} // what a panicking transport leaves behind
	defer func() {
		cl.excused = group.end(admitted, end)
		b.all.deliver()
	}()
	cl.probe = admitted.probe
	start := time.Now()
	resp, err = b.next.RoundTrip(req)
	end = endingOf(cl, resp, err, time.Since(start))
	return resp, err
}

// verdict is what an attempt tells about the server.
type verdict int

const (
	verdictNone    verdict = iota // nothing
	verdictGood                   // it is alive
	verdictLimited                // it is alive, and refuses at present
	verdictFailed
	verdictLost // failed, unless the connection was lost together with others
)

// ending is how an attempt ended.
type ending struct {
	verdict verdict
	status  int           // of a failure; 0: no response
	code    Code          // likewise
	asked   time.Duration // how long a 503 asks to stay away
	reused  bool          // a loss was that of a connection which had carried requests before
}

// endingOf says what an attempt tells about the server.
func endingOf(cl *call, resp *http.Response, err error, took time.Duration) ending {
	if err != nil {
		return endingOfError(cl, err, took)
	}
	api := errorOf(resp)
	if api == nil {
		return ending{verdict: verdictGood}
	}
	switch status := api.effectiveStatus(); {
	case status == http.StatusTooManyRequests:
		return ending{verdict: verdictLimited}
	case status < 500, status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported,
		api.coded && slices.Contains(foreignFailures, api.Code), notConfigured(cl.route, api):
		return ending{verdict: verdictGood}
	}
	e := ending{verdict: verdictFailed, status: api.StatusCode, code: api.Code}
	if api.StatusCode == http.StatusServiceUnavailable {
		e.asked = api.RetryAfter
	}
	return e
}

func endingOfError(cl *call, err error, took time.Duration) ending {
	ne, ok := err.(*NetworkError) //nolint:errorlint // the wire's own, never wrapped
	switch {
	case errors.Is(cl.Err(), context.Canceled) && !cl.impatient():
		return ending{verdict: verdictNone}
	case cl.over() && took < time.Second:
		// a deadline that short says more about the caller than about the server
		return ending{verdict: verdictNone}
	case !ok:
		return ending{verdict: verdictGood} // a response came, though it could not be used
	case errors.Is(ne.Err, errStaleLock) || refusedHere(ne.Err):
		return ending{verdict: verdictNone}
	case ne.lost():
		return ending{verdict: verdictLost, reused: ne.reused}
	default:
		return ending{verdict: verdictFailed}
	}
}

// foreignFailures are codes by which a working server reports somebody else's failure, or one of a
// single request.
var foreignFailures = []Code{CodeAuditError, CodeOAuthError, CodeStripeError, CodeBillingError}

// notConfigured reports whether a response says that the server was set up without what the call
// needs: e-mail delivery on the routes that send some, or billing. That neither passes by itself
// nor speaks of the server's health.
func notConfigured(route *routes.Route, api *APIError) bool {
	return api.coded && api.Code == CodeServiceUnavailable &&
		(route != nil && route.Has(routes.Unconfigured) || strings.EqualFold(strings.TrimRight(api.Message, "."), "billing is disabled"))
}

// refusedHere reports whether net/http found the request itself unfit to be sent, as with a header
// value that a foreign store or caller has given.
func refusedHere(err error) bool { return strings.HasPrefix(err.Error(), "net/http: invalid ") }

// over reports whether the call's time is up: the caller's, or the policy's MaxElapsed.
func (cl *call) over() bool {
	return cl.Err() != nil || !cl.deadline.IsZero() && !time.Now().Before(cl.deadline)
}

// lost reports whether a connection broke under a request: nothing else is known to be wrong, not
// the address, the certificate or the server's speed.
func (e *NetworkError) lost() bool { return e.Op != "dial" && !e.Timeout() && !permanent(e.Err) }
