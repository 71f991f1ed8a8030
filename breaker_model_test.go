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

// btModel is a group of the breaker as DESIGN.md describes it, in as few words as possible: one
// circuit for everybody and one for each principal that is to blame.
type btModel struct {
	threshold, min, probes int
	ratio                  float64
	window, open, longest  time.Duration // open: after this family's spread

	common   *btCircuit
	blamed   map[int]*btCircuit
	lifted   map[int]int // by principal: the attempts up to this one are of an earlier time
	outcomes []btOutcome // of common, the last 100
	row      int

	attempts, event, members, run int // of lost connections
	disarmed                      bool

	changes []authos.BreakerState
}

type btCircuit struct {
	state        authos.BreakerState
	gen          int
	expiry, hold time.Time
	slots, good  int // in half-open
	status       int
}

type btOutcome struct {
	at     time.Time
	who    int
	failed bool
	status int
	hold   time.Time
}

// btFlight is a call under way.
type btFlight struct {
	who, number, gen int
	circuit          *btCircuit
	response         chan btResponse
	cancel           context.CancelFunc
	done             chan struct{}
	err              error // once done is closed
}

func (m *btModel) of(who int) *btCircuit {
	if c := m.blamed[who]; c != nil {
		return c
	}
	return m.common
}

// show notes the worst of all circuits' states where it has changed.
func (m *btModel) show() {
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

func (m *btModel) lift(who int) {
	delete(m.blamed, who)
	m.lifted[who] = m.attempts
}

// move changes a circuit's state; who is nil for everybody.
func (m *btModel) move(c *btCircuit, who *int, to authos.BreakerState, now time.Time) {
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
				c.status, c.hold = o.status, btLater(c.hold, o.hold)
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

func (m *btModel) tick(c *btCircuit, now time.Time) {
	if c.state == authos.BreakerOpen && now.After(c.expiry) {
		m.move(c, nil, authos.BreakerHalfOpen, now)
	}
}

// admit gives the flight of a call that is let through, and the circuit of one that is refused.
func (m *btModel) admit(who int, now time.Time) (*btFlight, *btCircuit) {
	for w, c := range m.blamed {
		if btLater(c.expiry.Add(1), c.hold).Before(now.Add(-max(m.window, m.open))) {
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
	return &btFlight{who: who, number: m.attempts, gen: c.gen, circuit: c}, c
}

func (m *btModel) end(f *btFlight, e btEnd, now time.Time) {
	verdict := e.verdict
	switch {
	case verdict == btLost && f.number <= m.event && m.members < 128:
		m.members++
		m.run, verdict = 0, btNeutral
	case verdict == btLost:
		if !m.disarmed {
			m.disarmed, m.event, m.members = true, m.attempts, 0
		}
		m.run, verdict = 0, btFailed
	case verdict == btFailed:
		m.run = 0
	case verdict == btSucceeded:
		if m.run++; m.run >= m.min {
			m.disarmed = false
		}
	}
	c := f.circuit
	if c == m.common && (m.blamed[f.who] != nil || f.number <= m.lifted[f.who]) {
		verdict = btNeutral // it speaks of a time before
	}
	failed := verdict == btFailed
	o := btOutcome{at: now, who: f.who, failed: failed, status: e.status}
	if e.asked > m.open {
		o.hold = now.Add(min(e.asked, m.longest))
	}
	if failed && c.state != authos.BreakerClosed {
		c.status, c.hold = o.status, btLater(c.hold, o.hold)
	}
	m.tick(c, now)
	switch {
	case f.gen != c.gen:
		return
	case verdict == btNeutral, verdict == btLimited && c.state == authos.BreakerClosed:
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

func (m *btModel) share(now time.Time, but int) (n, failed int) {
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

func (m *btModel) trips(now time.Time) bool {
	n, failed := m.share(now, -1)
	if m.ratio > 0 && n >= m.min {
		return float64(failed) >= m.ratio*float64(n) || m.row >= 2*m.threshold
	}
	return m.row >= m.threshold
}

// split opens the circuit to the one to blame, or to everybody.
func (m *btModel) split(now time.Time) {
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
	c := &btCircuit{state: authos.BreakerClosed}
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

func btLater(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

type btVerdict int

const (
	btSucceeded btVerdict = iota
	btFailed
	btLost
	btNeutral
	btLimited
)

// btEnd is a way for an attempt to end.
type btEnd struct {
	name     string
	response btResponse
	verdict  btVerdict
	status   int
	asked    time.Duration
}

var btEnds = []btEnd{
	{"200", btOK, btSucceeded, 200, 0},
	{"200", btOK, btSucceeded, 200, 0},
	{"404", btError(404, "NOT_FOUND"), btSucceeded, 404, 0},
	{"AUDIT_ERROR", btError(500, "AUDIT_ERROR"), btSucceeded, 500, 0},
	{"429", btError(429, "RATE_LIMIT_EXCEEDED"), btLimited, 429, 0},
	{"500", btError(500, "INTERNAL_SERVER_ERROR"), btFailed, 500, 0},
	{"502", btSay(502, btPage), btFailed, 502, 0},
	{"reset", btReset, btLost, 0, 0},
	{"reset", btReset, btLost, 0, 0},
	{"503 for 20 s", btError(503, "SERVICE_UNAVAILABLE", "Retry-After: 20"), btFailed, 503, 20 * time.Second},
	{"503 for 150 s", btError(503, "SERVICE_UNAVAILABLE", "Retry-After: 150"), btFailed, 503, 150 * time.Second},
	{"503 for a day", btError(503, "SERVICE_UNAVAILABLE", "Retry-After: 86400"), btFailed, 503, 24 * time.Hour},
}

func TestBreakerModel(t *testing.T) {
	steps := 3000
	if longTests {
		steps = 30_000
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
					m := &btModel{
						threshold: p.threshold, min: p.min, probes: p.probes, ratio: p.ratio, window: p.window,
						longest: 250 * time.Second, common: &btCircuit{state: authos.BreakerClosed},
						blamed: map[int]*btCircuit{}, lifted: map[int]int{}, disarmed: true,
					}
					btRunModel(t, m, p.policy, principals, seed, steps)
				})
			})
		}
	}
}

func btRunModel(t *testing.T, m *btModel, policy authos.BreakerPolicy, principals int, seed uint64, steps int) {
	random := rand.New(rand.NewPCG(seed, 0))
	var changes []authos.BreakerState
	policy.OnStateChange = func(_ string, _, to authos.BreakerState) { changes = append(changes, to) }
	web := &btWeb{}
	clients := []*authos.Client{btNew(t, "https://authos.test", web, authos.WithAPIKey("sk_1_2"), authos.WithBreaker(policy),
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: 1000 * time.Hour, MaxElapsed: -1}))}
	m.open = btOpenTime(t, clients[0], web)
	m.attempts = web.count() // five good probes are not enough to be armed again
	if m.min <= 5 {
		m.disarmed = false
	}
	m.run = 5
	m.lifted[0] = m.attempts
	changes = nil // btOpenTime opens the circuit and closes it again
	for i := 1; i < principals; i++ {
		c, err := clients[0].With(authos.WithAPIKey(fmt.Sprintf("sk_1_%d", i+2)))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}

	var flights []*btFlight
	leave := func(i int) *btFlight {
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
				f = &btFlight{}
			}
			f.response, f.done = make(chan btResponse), make(chan struct{})
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), btFlightKey{}, f))
			f.cancel = cancel
			before := web.count()
			web.set(func(req *http.Request) (*http.Response, error) {
				f, _ := req.Context().Value(btFlightKey{}).(*btFlight)
				select {
				case response := <-f.response:
					return response(req)
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
			})
			go func() {
				f.err = clients[who].Do(ctx, "GET", btInfo, nil, nil)
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
			e := btOpen(t, f.err)
			cancel()
			wantAt := circuit.expiry.Add(1)
			if circuit.state == authos.BreakerHalfOpen {
				wantAt = time.Now().Add(time.Second)
			}
			wantAt = btLater(wantAt, circuit.hold)
			if !e.RetryAt.Equal(wantAt) || e.LastStatus != circuit.status {
				fail("%s: refusal says %v, status %d; want %v, %d", op, e.RetryAt, e.LastStatus, wantAt, circuit.status)
			}
		case n < 8 && len(flights) > 0: // a call ends
			f := leave(random.IntN(len(flights)))
			end := btEnds[random.IntN(len(btEnds))]
			switch bad := random.IntN(2) == 0; {
			case bad && step/300%3 == 0:
				end = btEnds[5] // bad times
			case bad && step/300%3 == 1 && f.who == 0:
				end = btEnds[5] // bad times for one
			}
			op = fmt.Sprint(f.who, " gets ", end.name)
			m.end(f, end, time.Now())
			f.response <- end.response
			<-f.done
			f.cancel()
		case n == 8 && len(flights) > 0 && random.IntN(2) == 0: // the caller leaves
			op = "cancel"
			f := leave(random.IntN(len(flights)))
			m.end(f, btEnd{verdict: btNeutral}, time.Now())
			f.cancel()
			<-f.done
		case n == 8: // until the very moment of the next probe
			op = "sleep until the probe"
			c := m.of(random.IntN(principals))
			time.Sleep(time.Until(btLater(c.expiry.Add(1), c.hold)))
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

type btFlightKey struct{}

// look is what asking for a state does: whoever is long over is pardoned, and a circuit turns
// half-open when its time has come. BreakerStates looks at the common circuit too.
func (m *btModel) look(who int, now time.Time) {
	for w, c := range m.blamed {
		if btLater(c.expiry.Add(1), c.hold).Before(now.Add(-max(m.window, m.open))) {
			m.lift(w)
		}
	}
	m.show()
	m.tick(m.common, now)
	m.tick(m.of(who), now)
}

func (m *btModel) state(who int, now time.Time) authos.BreakerState {
	worst := authos.BreakerClosed
	for _, c := range []*btCircuit{m.common, m.of(who)} {
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
