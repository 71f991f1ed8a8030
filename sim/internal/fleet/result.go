package fleet

import (
	"slices"
	"sync"
	"time"
)

// Second is what happened in one second. Calls belong to the second in which they began, requests
// to that in which they left.
type Second struct {
	Calls, Good, Stale, Refused int
	Requests                    int
	Open                        int // circuits at its end
}

// Result is what a run has shown. Calls of a tenant that is ill by itself are not in it.
type Result struct {
	Config   Config
	Scenario Scenario
	Seconds  []Second

	mu      sync.Mutex
	plan    plan
	clients []struct{ calls, requests int } // of the trigger
	took    [3][]time.Duration              // of good calls, begun before, in and after the trigger
	open    int
}

func newResult(c Config, s Scenario) *Result {
	p := s.plan
	p.from, p.to = c.Warm, c.Warm+c.Trigger
	return &Result{
		Config: c, Scenario: s, plan: p, Seconds: make([]Second, (c.Warm+c.Trigger+c.After)/time.Second),
		clients: make([]struct{ calls, requests int }, c.Clients),
	}
}

// second is where something at a time belongs. What happens after the last second is in it.
func (r *Result) second(at time.Duration) *Second {
	return &r.Seconds[min(int(at/time.Second), len(r.Seconds)-1)]
}

func (r *Result) request(who int, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at >= r.plan.to+r.Config.After {
		return // of a call that is still under way
	}
	r.second(at).Requests++
	if r.plan.during(at) {
		r.clients[who].requests++
	}
}

func (r *Result) called(who, tenant int, begun, took time.Duration, end ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.plan.during(begun) {
		r.clients[who].calls++
	}
	if r.plan.badTenant && tenant == 0 {
		return
	}
	s := r.second(begun)
	s.Calls++
	switch end {
	case endedWell:
		s.Good++
		phase := 0
		if begun >= r.plan.from {
			phase = 1
		}
		if begun >= r.plan.to {
			phase = 2
		}
		r.took[phase] = append(r.took[phase], took)
	case endedStale:
		s.Stale++
	case endedRefused:
		s.Refused++
	case endedBadly:
	}
}

func (r *Result) opened(at time.Duration, before, after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before {
		r.open--
	}
	if after {
		r.open++
	}
	for i := min(int(at/time.Second), len(r.Seconds)-1); i < len(r.Seconds); i++ {
		r.Seconds[i].Open = r.open
	}
}

// Trigger and After are the seconds in and after the trigger.
func (r *Result) Trigger() []Second {
	return r.Seconds[r.plan.from/time.Second : r.plan.to/time.Second]
}

// After gives the seconds after the trigger.
func (r *Result) After() []Second { return r.Seconds[r.plan.to/time.Second:] }

// Share is the share of the calls for which count counts.
func Share(seconds []Second, count func(Second) int) float64 {
	calls, counted := 0, 0
	for _, s := range seconds {
		calls += s.Calls
		counted += count(s)
	}
	return float64(counted) / max(float64(calls), 1)
}

// Goodput is the share of calls that got a fresh response.
func Goodput(seconds []Second) float64 { return Share(seconds, func(s Second) int { return s.Good }) }

const (
	recovered = 0.95
	// calls that a share is computed of, and what it is computed over at least
	fewCalls  = 5 * time.Second
	fewerMost = 100
	// clients with fewer calls in the trigger keep their retries
	leastCalls = 8
)

// Recovery is how long after the trigger's end goodput is back at 95 % for good: every later window
// of five seconds has it, or of a hundred calls where five seconds have fewer. It is false where
// the run ends before.
func (r *Result) Recovery() (time.Duration, bool) {
	after := r.After()
	for from := len(after) - 1; from >= 0; from-- {
		calls, good, n := 0, 0, from
		for ; n < len(after) && (n-from < int(fewCalls/time.Second) || calls < fewerMost); n++ {
			calls += after[n].Calls
			good += after[n].Good
		}
		if n-from < int(fewCalls/time.Second) {
			continue // too short to tell
		}
		if float64(good) < recovered*float64(calls) {
			// The window that fails begins here; the first that does not begins one later.
			from++
			return time.Duration(from) * time.Second, from <= len(after)-int(fewCalls/time.Second)
		}
	}
	return 0, true
}

// Amplification is requests a call in the trigger, of the clients that had at least eight calls in
// it, and of the worst of them.
func (r *Result) Amplification() (mean, worst float64) {
	calls, requests := 0, 0
	for _, c := range r.clients {
		if c.calls >= leastCalls {
			calls += c.calls
			requests += c.requests
			worst = max(worst, float64(c.requests)/float64(c.calls))
		}
	}
	return float64(requests) / max(float64(calls), 1), worst
}

// MostOpen is the largest share of the clients that had an open circuit at the end of a second.
func (r *Result) MostOpen() float64 {
	most := 0
	for _, s := range r.Seconds {
		most = max(most, s.Open)
	}
	return float64(most) / float64(r.Config.Clients)
}

// Latency is a quantile of the good calls that began before (0), in (1) or after (2) the trigger.
func (r *Result) Latency(phase int, quantile float64) time.Duration {
	took := r.took[phase]
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(quantile*float64(len(took)-1))]
}
