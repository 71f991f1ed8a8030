package authos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// model is a group of the breaker as DESIGN.md describes it, in as few words as possible: one
// circuit for everybody and one for each principal that is to blame.
type model struct {
	threshold, min, probes int
	ratio                  float64
	window, open, longest  time.Duration // open: after this family's spread

	common   *webCircuit
	blamed   map[int]*webCircuit
	lifted   map[int]int  // by principal: the attempts up to this one are of an earlier time
	outcomes []webOutcome // of common, the last 100
	row      int

	attempts, event, members, run int // of lost connections
	disarmed                      bool

	changes []authos.BreakerState
}

type webCircuit struct {
	state        authos.BreakerState
	gen          int
	expiry, hold time.Time
	slots, good  int // in half-open
	status       int
}

type webOutcome struct {
	at     time.Time
	who    int
	failed bool
	status int
	hold   time.Time
}

// webFlight is a call under way.
type webFlight struct {
	who, number, gen int
	circuit          *webCircuit
	response         chan handler
	cancel           context.CancelFunc
	done             chan struct{}
	err              error // once done is closed
}

func (m *model) of(who int) *webCircuit {
	if c := m.blamed[who]; c != nil {
		return c
	}
	return m.common
}

// show notes the worst of all circuits' states where it has changed.
func (m *model) show() {
	worst := m.common.state
	for _, c := range m.blamed {
		if worst == authos.BreakerClosed || c.state == authos.BreakerOpen && m.common.state == authos.BreakerClosed {
			worst = c.state
		}
	}
	last := authos.BreakerClosed
	if len(m.changes) > 0 {
		last = m.changes[len(m.changes)-1]
	}
	if worst != last {
		m.changes = append(m.changes, worst)
	}
}

func (m *model) lift(who int) {
	delete(m.blamed, who)
	m.lifted[who] = m.attempts
}

// move changes a circuit's state; who is nil for everybody.
func (m *model) move(c *webCircuit, who *int, to authos.BreakerState, now time.Time) {
	c.state, c.slots, c.good = to, 0, 0
	c.gen++
	switch to {
	case authos.BreakerOpen:
		c.expiry = now.Add(m.open)
		for _, o := range m.outcomes {
			switch {
			case who != nil && o.who != *who:
			case !o.failed:
				c.hold = time.Time{}
			default:
				c.status, c.hold = o.status, webLater(c.hold, o.hold)
			}
		}
		if c == m.common {
			clear(m.blamed)
		}
	case authos.BreakerClosed:
		c.hold = time.Time{}
		for w, b := range m.blamed {
			if b == c {
				m.lift(w)
			}
		}
	case authos.BreakerHalfOpen:
	}
	if c == m.common {
		m.outcomes, m.row = nil, 0
	}
	m.show()
}

func (m *model) tick(c *webCircuit, now time.Time) {
	if c.state == authos.BreakerOpen && now.After(c.expiry) {
		m.move(c, nil, authos.BreakerHalfOpen, now)
	}
}

// admit gives the flight of a call that is let through, and the circuit of one that is refused.
func (m *model) admit(who int, now time.Time) (*webFlight, *webCircuit) {
	for w, c := range m.blamed {
		if webLater(c.expiry.Add(1), c.hold).Before(now.Add(-max(m.window, m.open))) {
			m.lift(w)
		}
	}
	m.show()
	c := m.of(who)
	if c.state != authos.BreakerClosed && now.Before(c.hold) {
		return nil, c
	}
	m.tick(c, now)
	if c.state == authos.BreakerOpen || c.state == authos.BreakerHalfOpen && c.slots >= m.probes {
		return nil, c
	}
	c.slots++
	m.attempts++
	return &webFlight{who: who, number: m.attempts, gen: c.gen, circuit: c}, c
}

func (m *model) end(f *webFlight, e webEnd, now time.Time) {
	verdict := e.verdict
	switch {
	case verdict == webLost && f.number <= m.event && m.members < 128:
		m.members++
		m.run, verdict = 0, neutral
	case verdict == webLost:
		if !m.disarmed {
			m.disarmed, m.event, m.members = true, m.attempts, 0
		}
		m.run, verdict = 0, webFailed
	case verdict == webFailed:
		m.run = 0
	case verdict == webSucceeded:
		if m.run++; m.run >= m.min {
			m.disarmed = false
		}
	}
	c := f.circuit
	if c == m.common && (m.blamed[f.who] != nil || f.number <= m.lifted[f.who]) {
		verdict = neutral // it speaks of a time before
	}
	failed := verdict == webFailed
	o := webOutcome{at: now, who: f.who, failed: failed, status: e.status}
	if e.asked > m.open {
		o.hold = now.Add(min(e.asked, m.longest))
	}
	if failed && c.state != authos.BreakerClosed {
		c.status, c.hold = o.status, webLater(c.hold, o.hold)
	}
	m.tick(c, now)
	switch {
	case f.gen != c.gen:
		return
	case verdict == neutral, verdict == webLimited && c.state == authos.BreakerClosed:
		c.slots--
		return
	}
	c.good++
	if c == m.common {
		m.outcomes = append(m.outcomes, o)
		m.outcomes = m.outcomes[max(len(m.outcomes)-100, 0):]
		m.row++
		if !failed {
			m.row, c.hold = 0, time.Time{}
		}
	}
	who := &f.who
	if c == m.common {
		who = nil
	}
	switch {
	case c.state == authos.BreakerHalfOpen && failed:
		m.move(c, who, authos.BreakerOpen, now)
	case c.state == authos.BreakerHalfOpen && c.good >= m.probes:
		m.move(c, who, authos.BreakerClosed, now)
	case c == m.common && c.state == authos.BreakerClosed && failed && m.trips(now):
		m.split(now)
	}
}

func (m *model) share(now time.Time, but int) (n, failed int) {
	for _, o := range m.outcomes {
		if now.Sub(o.at) <= m.window && o.who != but {
			n++
			if o.failed {
				failed++
			}
		}
	}
	return n, failed
}

func (m *model) trips(now time.Time) bool {
	n, failed := m.share(now, -1)
	if m.ratio > 0 && n >= m.min {
		return float64(failed) >= m.ratio*float64(n) || m.row >= 2*m.threshold
	}
	return m.row >= m.threshold
}

// split opens the circuit to the one to blame, or to everybody.
func (m *model) split(now time.Time) {
	failures := map[int]int{}
	tail := max(len(m.outcomes)-m.row, 0) // where the failures in a row begin
	for i, o := range m.outcomes {
		if o.failed && (i >= tail || now.Sub(o.at) <= m.window) {
			failures[o.who]++
		}
	}
	culprit := -1
	for _, o := range slices.Backward(m.outcomes) {
		if o.failed && (culprit < 0 || failures[o.who] > failures[culprit]) {
			culprit = o.who
		}
	}
	others := 0
	for _, o := range m.outcomes[tail:] {
		if o.who != culprit {
			others++
		}
	}
	n, failed := m.share(now, culprit)
	if len(m.blamed) >= 8 || others >= 2 || m.ratio > 0 && n >= m.min && float64(failed) >= m.ratio*float64(n) {
		m.move(m.common, nil, authos.BreakerOpen, now)
		return
	}
	c := &webCircuit{state: authos.BreakerClosed}
	m.blamed[culprit] = c
	m.move(c, &culprit, authos.BreakerOpen, now)
	rest := m.outcomes
	m.outcomes, m.row = nil, 0
	for _, o := range rest {
		if o.who == culprit {
			continue
		}
		m.outcomes = append(m.outcomes, o)
		m.row++
		if !o.failed {
			m.row = 0
		}
	}
}

func webLater(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

type webVerdict int

const (
	webSucceeded webVerdict = iota
	webFailed
	webLost
	neutral
	webLimited
)

// webEnd is a way for an attempt to end.
type webEnd struct {
	name     string
	response handler
	verdict  webVerdict
	status   int
	asked    time.Duration
}

var webEnds = []webEnd{
	{"200", sayInfo, webSucceeded, 200, 0},
	{"200", sayInfo, webSucceeded, 200, 0},
	{"404", sayError(404, "NOT_FOUND"), webSucceeded, 404, 0},
	{"AUDIT_ERROR", sayError(500, "AUDIT_ERROR"), webSucceeded, 500, 0},
	{"429", sayError(429, "RATE_LIMIT_EXCEEDED"), webLimited, 429, 0},
	{"500", sayError(500, "INTERNAL_SERVER_ERROR"), webFailed, 500, 0},
	{"502", say(502, pageBody), webFailed, 502, 0},
	{"reset", sayReset, webLost, 0, 0},
	{"reset", sayReset, webLost, 0, 0},
	{"503 for 20 s", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 20"), webFailed, 503, 20 * time.Second},
	{"503 for 150 s", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 150"), webFailed, 503, 150 * time.Second},
	{"503 for a day", sayError(503, "SERVICE_UNAVAILABLE", "Retry-After: 86400"), webFailed, 503, 24 * time.Hour},
}

func TestBreakerModel(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	steps := 3000
	switch {
	case longTests:
		steps = 30_000
	case testing.Short():
		steps = 500
	}
	policies := []struct {
		name      string
		policy    authos.BreakerPolicy
		threshold int
		min       int
		probes    int
		ratio     float64
		window    time.Duration
	}{
		{"defaults", authos.BreakerPolicy{}, 5, 20, 1, 0.5, 2 * time.Minute},
		{"no ratio, three probes", authos.BreakerPolicy{FailureRatio: -1, HalfOpenProbes: 3, FailureThreshold: 3}, 3, 20, 3, -1, 2 * time.Minute},
		{"share of few", authos.BreakerPolicy{FailureRatio: 0.7, MinRequests: 6, FailureThreshold: 50, Window: time.Minute}, 50, 6, 1, 0.7, time.Minute},
	}
	for _, p := range policies {
		for _, principals := range []int{1, 2, 12} {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s/%d principals/%d", p.name, principals, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := &model{
						threshold: p.threshold, min: p.min, probes: p.probes, ratio: p.ratio, window: p.window,
						longest: 250 * time.Second, common: &webCircuit{state: authos.BreakerClosed},
						blamed: map[int]*webCircuit{}, lifted: map[int]int{}, disarmed: true,
					}
					runModel(t, m, p.policy, principals, seed, steps)
				})
			})
		}
	}
}

func runModel(t *testing.T, m *model, policy authos.BreakerPolicy, principals int, seed uint64, steps int) {
	random := rand.New(rand.NewPCG(seed, 0))
	var changes []authos.BreakerState
	policy.OnStateChange = func(_ string, _, to authos.BreakerState) { changes = append(changes, to) }
	web := &script{}
	clients := []*authos.Client{newClient(t, "https://authos.test", web, authos.WithAPIKey("sk_1_2"), authos.WithBreaker(policy),
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: 1000 * time.Hour, MaxElapsed: -1}))}
	m.open = openTime(t, clients[0], web)
	m.attempts = web.count() // five good probes are not enough to be armed again
	if m.min <= 5 {
		m.disarmed = false
	}
	m.run = 5
	m.lifted[0] = m.attempts
	changes = nil // openTime opens the circuit and closes it again
	for i := 1; i < principals; i++ {
		c, err := clients[0].With(authos.WithAPIKey(fmt.Sprintf("sk_1_%d", i+2)))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}

	var flights []*webFlight
	leave := func(i int) *webFlight {
		f := flights[i]
		flights = slices.Delete(flights, i, i+1)
		return f
	}
	for step := range steps {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d, step %d: %s", seed, step, fmt.Sprintf(format, args...))
		}
		var op string
		switch n := random.IntN(10); {
		case n < 4 && len(flights) < 8: // begin a call
			who := random.IntN(principals)
			op = fmt.Sprint("begin ", who)
			f, circuit := m.admit(who, time.Now())
			admitted := f != nil
			if !admitted {
				f = &webFlight{}
			}
			f.response, f.done = make(chan handler), make(chan struct{})
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), flightKey{}, f))
			f.cancel = cancel
			before := web.count()
			web.play(func(req *http.Request) (*http.Response, error) {
				f, _ := req.Context().Value(flightKey{}).(*webFlight)
				select {
				case response := <-f.response:
					return response(req)
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
			})
			go func() {
				f.err = clients[who].Do(ctx, "GET", infoPath, nil, nil)
				close(f.done)
			}()
			synctest.Wait()
			if sent := web.count() > before; sent != admitted {
				fail("%s: sent = %v in state %s, want %v", op, sent, circuit.state, admitted)
			}
			if admitted {
				flights = append(flights, f)
				break
			}
			<-f.done
			e := mustBeOpen(t, f.err)
			cancel()
			wantAt := circuit.expiry.Add(1)
			if circuit.state == authos.BreakerHalfOpen {
				wantAt = time.Now().Add(time.Second)
			}
			wantAt = webLater(wantAt, circuit.hold)
			if !e.RetryAt.Equal(wantAt) || e.LastStatus != circuit.status {
				fail("%s: refusal says %v, status %d; want %v, %d", op, e.RetryAt, e.LastStatus, wantAt, circuit.status)
			}
		case n < 8 && len(flights) > 0: // a call ends
			f := leave(random.IntN(len(flights)))
			end := webEnds[random.IntN(len(webEnds))]
			switch bad := random.IntN(2) == 0; {
			case bad && step/300%3 == 0:
				end = webEnds[5] // bad times
			case bad && step/300%3 == 1 && f.who == 0:
				end = webEnds[5] // bad times for one
			}
			op = fmt.Sprint(f.who, " gets ", end.name)
			m.end(f, end, time.Now())
			f.response <- end.response
			<-f.done
			f.cancel()
		case n == 8 && len(flights) > 0 && random.IntN(2) == 0: // the caller leaves
			op = "cancel"
			f := leave(random.IntN(len(flights)))
			m.end(f, webEnd{verdict: neutral}, time.Now())
			f.cancel()
			<-f.done
		case n == 8: // until the very moment of the next probe
			op = "sleep until the probe"
			c := m.of(random.IntN(principals))
			time.Sleep(time.Until(webLater(c.expiry.Add(1), c.hold)))
		default:
			d := time.Duration(random.ExpFloat64() * float64(8*time.Second))
			op = "sleep " + d.String()
			time.Sleep(d)
		}
		synctest.Wait()
		if !slices.Equal(changes, m.changes) {
			fail("after %q the changes are …%v, want …%v", op, changes[max(len(changes)-3, 0):], m.changes[max(len(m.changes)-3, 0):])
		}
		for who, c := range clients {
			if random.IntN(10*principals) == 0 {
				m.look(who, time.Now())
				if got, want := c.BreakerStates()["service"], m.state(who, time.Now()); got != want {
					fail("BreakerStates of %d = %s, want %s", who, got, want)
				}
			}
		}
	}
	for _, f := range flights {
		f.cancel()
		<-f.done
	}
	if n := len(m.changes); n < steps/150 {
		t.Errorf("seed %d: only %d changes in %d steps: the operations are too tame", seed, n, steps)
	}
}

type flightKey struct{}

// look is what asking for a state does: whoever is long over is pardoned, and a circuit turns
// half-open when its time has come. BreakerStates looks at the common circuit too.
func (m *model) look(who int, now time.Time) {
	for w, c := range m.blamed {
		if webLater(c.expiry.Add(1), c.hold).Before(now.Add(-max(m.window, m.open))) {
			m.lift(w)
		}
	}
	m.show()
	m.tick(m.common, now)
	m.tick(m.of(who), now)
}

func (m *model) state(who int, now time.Time) authos.BreakerState {
	worst := authos.BreakerClosed
	for _, c := range []*webCircuit{m.common, m.of(who)} {
		state := c.state
		if state != authos.BreakerClosed && now.Before(c.hold) {
			state = authos.BreakerOpen
		}
		if worst != authos.BreakerOpen && state != authos.BreakerClosed {
			worst = state
		}
	}
	return worst
}
