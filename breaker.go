package authos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

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
// server that is alive.
type BreakerPolicy struct {
	// FailureThreshold is how many failures in a row open the circuit. Default 5.
	FailureThreshold int
	// FailureRatio is the share of failures that opens the circuit where the window holds
	// MinRequests outcomes or more; failures in a row then do not open it by themselves, since they
	// happen by chance at high rates. Default 0.5; negative: off.
	FailureRatio float64
	// MinRequests is how many outcomes make a share meaningful. Default 20, at most 100, which is
	// what the window holds.
	MinRequests int
	// Window is how old an outcome may be to count for the share. Default 2 min.
	Window time.Duration
	// OpenTimeout is how long the circuit stays open before a probe. Default 60 s, spread by ±20 %
	// so that clients do not probe together. A 503 with a longer Retry-After keeps it open that
	// long, at most ten times OpenTimeout.
	OpenTimeout time.Duration
	// HalfOpenProbes is how many probes may be under way at once, and how many must succeed to
	// close the circuit. Default 1.
	HalfOpenProbes int
	// Group names the circuit of a request; path is the escaped path below the base URL. Beyond 64
	// names the rest share one. Default: auth, user, organizations, service, platform, other. The
	// refresh of tokens has a circuit of its own, "refresh".
	Group func(method, path string) string
	// OnStateChange is called after each change, in order, outside any lock; it may call the
	// client.
	OnStateChange func(group string, from, to BreakerState)
	// Disabled turns the breaker off.
	Disabled bool
}

const (
	defaultFailureThreshold = 5
	defaultFailureRatio     = 0.5
	defaultMinRequests      = 20
	defaultWindow           = 2 * time.Minute
	defaultOpenTimeout      = 60 * time.Second
	windowSize              = 100 // outcomes
	maxHold                 = 10  // times OpenTimeout
	maxGroups               = 64

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
	p.OpenTimeout = cmp.Or(p.OpenTimeout, defaultOpenTimeout)
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

// breakers are a family's circuits, one per endpoint group.
type breakers struct {
	policy BreakerPolicy
	host   string
	spread float64 // of OpenTimeout, this family's own
	notify notifier
	report func(breakerChange) // to the logger and observer of the family's first client

	mu     sync.RWMutex
	groups map[string]*circuit
}

func newBreakers(host string, p BreakerPolicy) *breakers {
	spread := 0.8 + 0.4*rand.Float64() //nolint:gosec // not a secret
	return &breakers{policy: p, host: host, groups: map[string]*circuit{}, spread: spread}
}

// of gives a group's circuit. The groups are a bounded set whatever a caller's Group function says.
func (b *breakers) of(group string) *circuit {
	b.mu.RLock()
	c := b.groups[group]
	b.mu.RUnlock()
	if c != nil {
		return c
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.groups) >= maxGroups && group != groupRefresh {
		group = groupRest
	}
	if b.groups[group] == nil {
		b.groups[group] = newCircuit(b, group)
	}
	return b.groups[group]
}

// circuit is one group's breaker: gobreaker holds the state, we count. gobreaker's own windows
// forget failures slower than the window. All fields below state are guarded by gobreaker's own
// lock: it calls count, trips and changed while it holds it.
type circuit struct {
	group string
	all   *breakers
	*gobreaker.TwoStepCircuitBreaker[struct{}]

	state  atomic.Pointer[BreakerState]
	opened atomic.Int64 // Unix nanoseconds of the next probe, as far as gobreaker is concerned
	hold   atomic.Int64 // Unix nanoseconds until which a Retry-After keeps the circuit open
	last   atomic.Pointer[APIError]

	row     int // failures in a row
	ring    [windowSize]outcome
	next, n int
}

type outcome struct {
	at     time.Time
	failed bool
}

func newCircuit(b *breakers, group string) *circuit {
	c := &circuit{group: group, all: b}
	closed := BreakerClosed
	c.state.Store(&closed)
	p := b.policy
	timeout := c.openTime()
	c.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        b.host + " " + group,
		MaxRequests: uint32(p.HalfOpenProbes), //nolint:gosec // 1 to 100
		Timeout:     timeout,
		// IsSuccessful is called once for each outcome of the current generation that counts, which
		// is where we count it.
		IsSuccessful: func(err error) bool { return c.count(!errors.Is(err, errFailure)) },
		IsExcluded:   c.excluded,
		ReadyToTrip:  func(gobreaker.Counts) bool { return c.trips() },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			c.changed(BreakerState(from.String()), BreakerState(to.String()))
		},
	})
	return c
}

func (c *circuit) openTime() time.Duration {
	return max(time.Duration(float64(c.all.policy.OpenTimeout)*c.all.spread), 1)
}

// The verdicts on an attempt, as errors because that is what gobreaker takes.
var (
	errFailure = errors.New("failure")
	errNeutral = errors.New("says nothing about the server")
	errLimited = errors.New("rate limited")
)

// excluded: a caller's cancellation never counts. A 429 neither, but in half-open it is a success,
// the response of a server that is alive: excluding it there would send probe after probe into a
// throttling server.
func (c *circuit) excluded(err error) bool {
	return errors.Is(err, errNeutral) || errors.Is(err, errLimited) && *c.state.Load() == BreakerClosed
}

// count notes an outcome. gobreaker holds its lock.
func (c *circuit) count(good bool) bool {
	c.row++
	if good {
		c.row = 0
		c.hold.Store(0) // the server is back before the time it named
	}
	c.ring[c.next] = outcome{time.Now(), !good}
	c.next = (c.next + 1) % windowSize
	c.n = min(c.n+1, windowSize)
	return good
}

// trips reports whether the circuit opens after a failure: by the share of failures where there are
// enough outcomes to tell, else by failures in a row. Five in a row happen by chance at high rates,
// and one success in six must not hide an outage.
func (c *circuit) trips() bool {
	p := c.all.policy
	if p.FailureRatio > 0 {
		n, failed := 0, 0
		now := time.Now()
		for i := range c.n {
			o := c.ring[(c.next-1-i+windowSize)%windowSize]
			if now.Sub(o.at) > p.Window {
				break // outcomes are noted in order of their ends
			}
			n++
			if o.failed {
				failed++
			}
		}
		if n >= p.MinRequests {
			return float64(failed) >= p.FailureRatio*float64(n)
		}
	}
	return c.row >= p.FailureThreshold
}

// changed starts the new state with clean counts. gobreaker holds its lock, so hooks only are
// queued here.
func (c *circuit) changed(from, to BreakerState) {
	c.state.Store(&to)
	c.row, c.next, c.n = 0, 0, 0
	switch to {
	case BreakerOpen:
		// gobreaker lets the probe through after its timeout, not at its very end.
		c.opened.Store(time.Now().Add(c.openTime() + 1).UnixNano())
	case BreakerClosed:
		c.hold.Store(0)
	case BreakerHalfOpen:
	}
	c.all.notify.add(breakerChange{c.group, from, to})
}

// newBreakerLayer returns next itself where the breaker is disabled.
func newBreakerLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	if c.cfg.breaker.Disabled {
		return next
	}
	return &breakerLayer{all: c.fam.breakers, next: next}
}

// breakerLayer judges each attempt, and refuses it while its group's circuit is open.
type breakerLayer struct {
	all  *breakers
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *breakerLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	circuit := b.all.of(cl.group)
	if refused := circuit.held(); refused != nil {
		return nil, refused
	}
	done, err := circuit.Allow()
	if err != nil {
		b.deliver()
		return nil, circuit.refuse()
	}
	verdict := errNeutral // what a panicking transport leaves behind
	defer func() {
		done(verdict)
		b.deliver()
	}()
	cl.probe = *circuit.state.Load() == BreakerHalfOpen
	b.deliver() // half-open is news before its probe has ended
	start := time.Now()
	resp, err := b.next.RoundTrip(req)
	verdict = judge(cl, resp, err, time.Since(start))
	if errors.Is(verdict, errFailure) {
		circuit.remember(resp)
	}
	return resp, err
}

// judge says what an attempt tells about the server.
func judge(cl *call, resp *http.Response, err error, took time.Duration) error {
	if err != nil {
		switch {
		case errors.Is(cl.Err(), context.Canceled) && !errors.Is(context.Cause(cl), errImpatient):
			return errNeutral
		case cl.over() && took < time.Second:
			// a deadline that short says more about the caller than about the server
			return errNeutral
		case !isNetworkError(err):
			return nil // a response came, though it could not be used
		}
		return errFailure
	}
	api := errorOf(resp)
	if api == nil {
		return nil
	}
	switch status := api.effectiveStatus(); {
	case status == http.StatusTooManyRequests:
		return errLimited
	case status < 500, status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return nil
	case api.coded && slices.Contains(foreignFailures, api.Code):
		return nil
	case api.coded && api.Code == CodeServiceUnavailable && cl.route != nil && cl.route.Has(routes.Mail):
		return nil // "e-mail is not configured here": a refusal
	default:
		return errFailure
	}
}

// foreignFailures are codes by which a working server reports somebody else's failure, or one of a
// single request.
var foreignFailures = []Code{CodeAuditError, CodeOAuthError, CodeStripeError, CodeBillingError}

// over says that the call's time is up: the caller's, or the policy's MaxElapsed.
func (cl *call) over() bool {
	return cl.Err() != nil || !cl.deadline.IsZero() && !time.Now().Before(cl.deadline)
}

func isNetworkError(err error) bool {
	_, ok := err.(*NetworkError) //nolint:errorlint // the wire's own, never wrapped
	return ok
}

// remember keeps what the last failure was, for those that will be refused, and how long it asked
// to stay away.
func (c *circuit) remember(resp *http.Response) {
	if resp == nil {
		c.last.Store(nil)
		return
	}
	api := errorOf(resp)
	c.last.Store(api)
	open := c.openTime()
	if api.StatusCode == http.StatusServiceUnavailable && api.RetryAfter > open {
		until := time.Now().Add(min(api.RetryAfter, maxHold*c.all.policy.OpenTimeout)).UnixNano()
		for old := c.hold.Load(); until > old; old = c.hold.Load() {
			if c.hold.CompareAndSwap(old, until) {
				break
			}
		}
	}
}

// held refuses while a Retry-After keeps an open circuit open longer than gobreaker would.
// gobreaker may call it half-open by then: an attempt from before that ends late is enough for
// that.
func (c *circuit) held() *CircuitOpenError {
	if until := c.hold.Load(); until != 0 && *c.state.Load() != BreakerClosed && time.Now().UnixNano() < until {
		return c.refuse()
	}
	return nil
}

// refuse makes the error of a call that is not sent. While a probe is under way, the next one is at
// hand as soon as it ends.
func (c *circuit) refuse() *CircuitOpenError {
	at := time.Now().Add(min(time.Second, c.openTime())).UnixNano()
	if *c.state.Load() == BreakerOpen {
		at = c.opened.Load()
	}
	e := &CircuitOpenError{Group: c.group, RetryAt: time.Unix(0, max(at, c.hold.Load()))}
	if last := c.last.Load(); last != nil {
		e.LastStatus, e.LastCode = last.StatusCode, last.Code
	}
	return e
}

type breakerChange struct {
	group    string
	from, to BreakerState
}

// notifier hands state changes out one by one, in order and outside any lock, by whichever
// goroutine comes first.
type notifier struct {
	waiting atomic.Int32 // changes queued: attempts that change nothing take no lock
	mu      sync.Mutex
	queue   []breakerChange
	running bool
}

func (n *notifier) add(c breakerChange) {
	n.mu.Lock()
	n.queue = append(n.queue, c)
	n.mu.Unlock()
	n.waiting.Add(1)
}

func (n *notifier) next() (breakerChange, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		n.running = false
		return breakerChange{}, false
	}
	c := n.queue[0]
	n.queue = n.queue[1:]
	n.waiting.Add(-1)
	return c, true
}

func (n *notifier) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running || len(n.queue) == 0 {
		return false
	}
	n.running = true
	return true
}

// end lets the next goroutine deliver after a hook has panicked.
func (n *notifier) end() {
	n.mu.Lock()
	n.running = false
	n.mu.Unlock()
}

func (b *breakerLayer) deliver() {
	n := &b.all.notify
	if n.waiting.Load() == 0 || !n.begin() {
		return
	}
	done := false
	defer func() {
		if !done {
			n.end()
		}
	}()
	for {
		change, ok := n.next()
		if !ok {
			done = true // next has ended it, and another may have begun already
			return
		}
		b.all.report(change)
		if hook := b.all.policy.OnStateChange; hook != nil {
			hook(change.group, change.from, change.to)
		}
	}
}
