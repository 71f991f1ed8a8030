package authos

import (
	"errors"
	"hash/maphash"
	"net/http"
	"sync"
	"time"
	"weak"

	"github.com/sony/gobreaker/v2"

	"github.com/authos-go/authos/internal/jitter"
	"github.com/authos-go/authos/internal/routes"
)

// breakers are a family's circuits, by endpoint group.
type breakers struct {
	policy BreakerPolicy
	host   string
	// made is when time began for the circuits. All times are durations from then, so that a wall
	// clock that is set moves none of them.
	made   time.Time
	open   time.Duration // OpenTimeout as this family has it
	seed   maphash.Seed
	notify notifier
	report func(BreakerEvent) // to the logger and observer of the family's first client

	mu     sync.RWMutex
	groups map[string]*breakerGroup
}

func newBreakers(host string, p BreakerPolicy, random *jitter.Source) *breakers {
	share := 0.8 + 0.4*random.Float64()
	return &breakers{
		policy: p, host: host, made: time.Now(), seed: maphash.MakeSeed(), groups: map[string]*breakerGroup{},
		open: max(time.Duration(float64(p.OpenTimeout)*share), 1),
	}
}

func (b *breakers) now() time.Duration { return time.Since(b.made) }

// of gives a group. The groups are a bounded set whatever a caller's Group function says.
func (b *breakers) of(name string) *breakerGroup {
	b.mu.RLock()
	g := b.groups[name]
	b.mu.RUnlock()
	if g != nil {
		return g
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.groups) >= maxGroups && name != groupRefresh {
		name = groupRest
	}
	if b.groups[name] == nil {
		b.groups[name] = newBreakerGroup(b, name)
	}
	return b.groups[name]
}

// principal is in whose name a request is sent: a session, or a credential by its hash. It keeps
// neither alive. The zero value is nobody.
type principal struct {
	session    weak.Pointer[session]
	credential uint64
	public     bool // the credential is the request's own content: it has no other
}

func (b *breakers) principalOf(cl *call, s weak.Pointer[session]) principal {
	switch {
	case cl.auth == routes.AuthBearer, cl.group == groupRefresh:
		return principal{session: s}
	case cl.auth == routes.AuthAPIKey:
		return principal{credential: maphash.String(b.seed, cl.client.cfg.apiKey)}
	}
	for _, name := range []string{"Authorization", "X-Api-Key"} { // the caller's own
		if own := cl.header[name]; len(own) > 0 {
			return principal{credential: maphash.String(b.seed, own[0])}
		}
	}
	if cl.url == nil {
		return principal{}
	}
	// Nobody has said who it is. Whoever a sign-in is about stands in the request itself: one whose
	// data makes the server fail does not close the door to all others.
	var h maphash.Hash
	h.SetSeed(b.seed)
	_, _ = h.WriteString(cl.concrete + "?" + cl.url.RawQuery)
	_, _ = h.Write(cl.body)
	return principal{credential: h.Sum64(), public: true}
}

// breakerGroup is an endpoint group: a circuit for everybody, and one for each principal that
// alone is to blame for failures. gobreaker holds the states; the outcomes are counted here, as
// gobreaker's own windows forget failures slower than the window and know of no principals. Its
// callbacks run under mu, because it is only called under mu.
type breakerGroup struct {
	name string
	all  *breakers

	mu     sync.Mutex
	common *circuit
	blamed map[principal]*circuit // while common is closed
	// Up to which attempt a principal was blamed: what began earlier speaks of a time that is over.
	lifted map[principal]uint64
	recent window
	losses losses
	// what an attempt that ends right now adds to recent, should it count
	outcome outcome
	shown   breakerChange // the last change that was reported
}

// circuit is a gobreaker and what is known besides its state.
type circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   BreakerState
	probeAt time.Duration // while open: when gobreaker lets a probe through
	hold    time.Duration // until when a Retry-After keeps it open all the same
	status  int           // the last failure's
	code    Code
}

// admission is an attempt that was let through.
type admission struct {
	who     principal
	number  uint64 // in the order of beginning
	circuit *circuit
	done    func(error)
	probe   bool
}

func newBreakerGroup(b *breakers, name string) *breakerGroup {
	g := &breakerGroup{name: name, all: b, shown: breakerChange{group: name, to: BreakerClosed}}
	g.common = g.newCircuit(func(err error) bool {
		good := !errors.Is(err, errFailure)
		if good {
			g.common.hold = 0 // the server is back before the time it named
		}
		g.recent.add(g.outcome, !good)
		return good
	}, func() bool { return g.trips() })
	return g
}

// newCircuit makes a circuit. counted is called once for each outcome that gobreaker counts, trips
// after each failure.
func (g *breakerGroup) newCircuit(counted func(error) bool, trips func() bool) *circuit {
	c := &circuit{state: BreakerClosed}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         g.all.host + " " + g.name,
		MaxRequests:  uint32(g.all.policy.HalfOpenProbes), //nolint:gosec // 1 to 100
		Timeout:      g.all.open,
		IsSuccessful: counted,
		// A 429 says nothing of a closed circuit, but in half-open it is a success, the response of
		// a server that is alive: not to count it there would send probe after probe into a
		// throttling server.
		IsExcluded: func(err error) bool {
			return errors.Is(err, errNeutral) || errors.Is(err, errLimited) && c.state == BreakerClosed
		},
		ReadyToTrip:   func(gobreaker.Counts) bool { return trips() },
		OnStateChange: func(_ string, _, to gobreaker.State) { g.changed(c, BreakerState(to.String())) },
	})
	return c
}

// The verdicts as gobreaker takes them.
var (
	errFailure = errors.New("failure")
	errNeutral = errors.New("says nothing about the server")
	errLimited = errors.New("rate limited")
)

func (v verdict) err() error {
	switch v {
	case verdictGood:
		return nil
	case verdictLimited:
		return errLimited
	case verdictFailed, verdictLost:
		return errFailure
	case verdictNone:
	}
	return errNeutral
}

// admit lets an attempt through, or gives the error of a call that is not sent.
func (g *breakerGroup) admit(who principal) (admission, *CircuitOpenError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := admission{who: who}
	if !g.all.policy.Disabled {
		g.pardon()
		a.circuit = g.circuitOf(who)
		// gobreaker may call a circuit half-open that is held: an attempt from before that ends
		// late is enough for that.
		if g.isHeld(a.circuit) {
			return admission{}, g.refuse(a.circuit)
		}
		var err error
		if a.done, err = a.circuit.breaker.Allow(); err != nil {
			return admission{}, g.refuse(a.circuit)
		}
		a.probe = a.circuit.state == BreakerHalfOpen
	}
	a.number = g.losses.begin()
	return a, nil
}

func (g *breakerGroup) circuitOf(who principal) *circuit {
	if c := g.blamed[who]; c != nil {
		return c
	}
	return g.common
}

func (g *breakerGroup) isHeld(c *circuit) bool {
	return c.state != BreakerClosed && g.all.now() < c.hold
}

// refuse says when the next probe is due. While one is under way, the next is at hand as soon as it
// ends.
func (g *breakerGroup) refuse(c *circuit) *CircuitOpenError {
	now := g.all.now()
	at := now + min(time.Second, g.all.open)
	if c.state == BreakerOpen {
		at = c.probeAt
	}
	return &CircuitOpenError{
		Group: g.name, RetryAt: time.Now().Add(max(at, c.hold) - now), LastStatus: c.status, LastCode: c.code,
	}
}

// end notes how an attempt ended. It reports whether its loss belongs to others that were lost
// together, and so is no failure, and whether the server says with it and others that it cannot
// take more.
func (g *breakerGroup) end(a admission, e ending) (excused, crowded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e.verdict {
	case verdictLost:
		if excused = g.losses.lost(a.number, e.reused); excused {
			e.verdict = verdictNone
		}
	case verdictGood:
		g.losses.succeeded(g.all.policy.MinRequests)
	case verdictFailed:
		g.losses.failed()
	case verdictLimited, verdictNone:
	}
	if a.circuit == nil {
		return excused, false
	}
	if a.circuit == g.common && (g.blamed[a.who] != nil || a.number <= g.lifted[a.who]) {
		e.verdict = verdictNone // it began before its principal was blamed
	}
	now := g.all.now()
	g.outcome = outcome{at: now, who: a.who, status: e.status, code: e.code}
	if e.asked > g.all.open {
		g.outcome.hold = now + min(e.asked, maxHold*g.all.policy.OpenTimeout)
	}
	if c := a.circuit; c.state != BreakerClosed && e.verdict.err() == errFailure { //nolint:errorlint // never wrapped
		c.note(g.outcome) // also of an attempt that began before the circuit opened
	}
	a.done(e.verdict.err())
	return excused, e.status == http.StatusServiceUnavailable && g.recent.crowded(g.all.policy, now)
}

// note keeps what refusals say of the last failure.
func (c *circuit) note(failure outcome) {
	c.status, c.code, c.hold = failure.status, failure.code, max(c.hold, failure.hold)
}

// trips decides after a failure whether the circuit opens to everybody. Where the failures are one
// principal's, a circuit of its own opens to that one, and the others are judged by what is theirs.
func (g *breakerGroup) trips() bool {
	now := g.all.now()
	if !g.recent.trips(g.all.policy, now) {
		return false
	}
	culprit := g.recent.culprit(g.all.policy, now)
	if len(g.blamed) >= maxBlamed || g.recent.beside(culprit, g.all.policy, now) {
		return true
	}
	g.blame(culprit)
	return false
}

func (g *breakerGroup) blame(culprit principal) {
	if g.blamed == nil {
		g.blamed = map[principal]*circuit{}
	}
	c := g.newCircuit(func(err error) bool { return !errors.Is(err, errFailure) }, func() bool { return true })
	g.blamed[culprit] = c
	if done, err := c.breaker.Allow(); err == nil {
		done(errFailure) // which opens it
	}
	g.recent.drop(culprit)
}

// pardon forgets the blamed that could have been probed for as long as outcomes count: whoever has
// not called since then may never call again.
func (g *breakerGroup) pardon() {
	if len(g.blamed) == 0 {
		return
	}
	long := g.all.now() - max(g.all.policy.Window, g.all.open)
	for who, c := range g.blamed {
		if max(c.probeAt, c.hold) < long {
			g.lift(who)
		}
	}
	g.show()
}

func (g *breakerGroup) lift(who principal) {
	delete(g.blamed, who)
	if g.lifted == nil || len(g.lifted) >= maxLifted {
		g.lifted = map[principal]uint64{}
	}
	g.lifted[who] = g.losses.begun
}

// changed starts a circuit's new state with clean counts. Hooks are only queued here, under mu.
func (g *breakerGroup) changed(c *circuit, to BreakerState) {
	c.state = to
	switch to {
	case BreakerOpen:
		// gobreaker lets the probe through after its timeout, not at its very end.
		c.probeAt = g.all.now() + g.all.open + 1
		g.opened(c)
	case BreakerClosed:
		for who, blamed := range g.blamed {
			if blamed == c {
				g.lift(who)
			}
		}
	case BreakerHalfOpen:
	}
	if c == g.common {
		g.recent = window{}
	}
	g.show()
}

// opened takes over what the failures that opened a circuit have said.
func (g *breakerGroup) opened(c *circuit) {
	if c == g.common {
		g.recent.said(c, nil)
		clear(g.blamed)
		return
	}
	for who, blamed := range g.blamed {
		if blamed == c {
			g.recent.said(c, &who)
		}
	}
}

// show queues the group's state where it differs from the one reported last.
func (g *breakerGroup) show() {
	now := breakerChange{group: g.name, from: g.shown.to, to: g.common.state}
	if now.to == BreakerClosed {
		now.blamed = len(g.blamed)
		for _, c := range g.blamed {
			if c.state == BreakerOpen || now.to == BreakerClosed {
				now.to = c.state
			}
		}
	}
	widened := now.to == BreakerOpen && g.shown.blamed > 0 && now.blamed == 0
	if now.to == g.shown.to && !widened {
		return
	}
	g.shown = now
	g.all.notify.add(now)
}

// stateFor is the state as a principal finds it; as nobody, the worst that a request without a
// credential finds.
func (g *breakerGroup) stateFor(who principal) BreakerState {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pardon()
	state := g.stateOf(g.circuitOf(who))
	if who != (principal{}) {
		return state
	}
	for each, c := range g.blamed {
		if each.public {
			state = worse(state, g.stateOf(c))
		}
	}
	return state
}

func (g *breakerGroup) stateOf(c *circuit) BreakerState {
	c.breaker.State() // gobreaker turns half-open when it is looked at
	if g.isHeld(c) {
		return BreakerOpen
	}
	return c.state
}

// worse is the state in which more is refused.
func worse(a, b BreakerState) BreakerState {
	if a == BreakerOpen || b == BreakerClosed {
		return a
	}
	return b
}
