package fleet

import (
	"math"
	"math/rand/v2"
	"time"
)

// Constants of the server and its network.
const (
	hop           = 5 * time.Millisecond  // from client to server, and back
	serverTimeout = 30 * time.Second      // then it responds 408, as AuthOS's does
	workTime      = 50 * time.Millisecond // of one request, mean; longer where the server is small
	minWorkers    = 4
	replicas      = 4
	shedCost      = 0.05 // of a request's work, to refuse one
	coldCost      = 2.0  // times a request's work while the caches are empty
	noticed       = time.Second
	retryAfter    = 5 * time.Second
)

// outcome is how the server responds to one request. The zero value is a lost connection.
type outcome struct {
	status   int
	wait     time.Duration // Retry-After
	page     bool          // of a proxy, not AuthOS's own error
	timedOut bool          // the client did not wait for it
}

func (o outcome) good() bool { return o.status == 200 }

// plan is what happens to the server, and when. Times are since the beginning of the run; a zero
// field does not happen.
type plan struct {
	from, to  time.Duration // the trigger
	outage    bool          // a proxy says 503 to everything
	capacity  float64       // share of the workers' speed that is left
	delay     time.Duration // a dependency adds to each response; no worker is kept busy
	maxQueue  time.Duration // of waiting, beyond which a request is refused with 503; 0: none is
	restarts  time.Duration // each replica in turn is down that long
	drops     time.Duration // all connections in use break each time that long has passed
	limit     float64       // share of the demand that is admitted; the rest gets 429 and Retry-After
	flaky     float64       // share of the requests that gets 503, however few there are
	badTenant bool          // the first tenant's requests all end with 500
	cold      bool          // the caches are empty when it ends
	burst     int           // calls of each client within the trigger, beside its usual ones
	startCold bool          // and when the run begins
}

func (p *plan) during(t time.Duration) bool { return p.from <= t && t < p.to }

// server is replicas of workers behind a load balancer that gives a request to whoever is free
// first. It serves in the order of arrival, and does not notice when a client has gone.
type server struct {
	plan     plan
	random   *rand.Rand
	work     time.Duration
	rate     float64         // requests a second that it can serve
	demand   float64         // requests a second that the fleet makes
	free     []time.Duration // when each worker is; worker i belongs to replica i % replicas
	warmth   [replicas]float64
	restarts [replicas]bool // seen
	ended    bool           // the trigger's end has emptied the caches
	tokens   float64        // of the limiter
	filled   time.Duration
}

func newServer(p plan, demand, load float64, random *rand.Rand) *server {
	s := &server{plan: p, random: random, demand: demand, rate: demand / load}
	workers := max(minWorkers, int(math.Ceil(s.rate*workTime.Seconds())))
	s.work = time.Duration(float64(workers) / s.rate * float64(time.Second))
	s.free = make([]time.Duration, workers)
	if !p.startCold {
		for i := range s.warmth {
			s.warmth[i] = math.Inf(1)
		}
	}
	return s
}

// down is when a replica is restarted.
func (s *server) down(replica int) (from, to time.Duration) {
	if s.plan.restarts == 0 {
		return math.MaxInt64, math.MaxInt64
	}
	from = s.plan.from + time.Duration(replica)*s.plan.restarts
	return from, from + s.plan.restarts
}

// arrive decides about a request that arrives now: when its response leaves the server, and which
// it is. It is called in the order of arrival.
func (s *server) arrive(now time.Duration, tenant int) (time.Duration, outcome) {
	s.turn(now)
	in := s.plan.during(now)
	switch {
	case in && s.plan.outage:
		return now, outcome{status: 503, page: true}
	case in && s.plan.limit > 0 && !s.admitted(now):
		return now, outcome{status: 429, wait: retryAfter}
	case in && s.random.Float64() < s.plan.flaky:
		return now, outcome{status: 503}
	case in && s.plan.badTenant && tenant == 0:
		return now, outcome{status: 500}
	}
	worker, dead := s.pick(now)
	if dead {
		return now, outcome{status: 502, page: true}
	}
	begin := max(now, s.free[worker])
	if s.plan.maxQueue > 0 && begin-now > s.plan.maxQueue {
		s.free[worker] += s.takes(begin, shedCost, worker)
		return now, outcome{status: 503}
	}
	if begin-now > serverTimeout {
		return now + serverTimeout, outcome{status: 408}
	}
	end := begin + s.takes(begin, s.random.ExpFloat64(), worker)
	s.free[worker] = end
	s.warmth[worker%replicas]++
	if s.plan.during(begin) {
		end += s.plan.delay
	}
	if lost, at := s.breaks(now, end, worker); lost {
		return at, outcome{}
	}
	if end-now > serverTimeout {
		return now + serverTimeout, outcome{status: 408}
	}
	return end, outcome{status: 200}
}

// turn empties caches when their time has come.
func (s *server) turn(now time.Duration) {
	if s.plan.cold && !s.ended && now >= s.plan.to {
		s.ended, s.warmth = true, [replicas]float64{}
	}
	for i := range replicas {
		if _, to := s.down(i); now >= to && !s.restarts[i] {
			s.restarts[i], s.warmth[i] = true, 0
		}
	}
}

func (s *server) admitted(now time.Duration) bool {
	rate := s.plan.limit * s.demand
	s.tokens = min(s.tokens+rate*(now-s.filled).Seconds(), rate)
	s.filled = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// pick gives the worker that is free first. The balancer takes a moment to notice that a replica is
// gone; requests that it gives to one until then are lost on it.
func (s *server) pick(now time.Duration) (worker int, dead bool) {
	worker = -1
	for i, free := range s.free {
		from, to := s.down(i % replicas)
		if now >= from && now < to {
			if now < from+noticed && s.random.IntN(len(s.free)) == 0 {
				return i, true
			}
			continue
		}
		if worker < 0 || free < s.free[worker] {
			worker = i
		}
	}
	return worker, worker < 0
}

// takes is how long a worker is busy with a share of a request's work.
func (s *server) takes(begin time.Duration, share float64, worker int) time.Duration {
	speed := 1.0
	if s.plan.capacity > 0 && s.plan.during(begin) {
		speed = s.plan.capacity
	}
	// A replica's caches are warm when it has served what it can serve in five seconds.
	cold := math.Exp(-s.warmth[worker%replicas] / (s.rate * 5 / replicas))
	return time.Duration(share * float64(s.work) * (1 + (coldCost-1)*cold) / speed)
}

// breaks reports whether the connection of a request breaks while it is served, and when.
func (s *server) breaks(arrived, end time.Duration, worker int) (lost bool, at time.Duration) {
	if from, _ := s.down(worker % replicas); arrived < from && from < end {
		return true, from
	}
	if every := s.plan.drops; every > 0 {
		for at := s.plan.from; at < s.plan.to; at += every {
			if arrived < at && at < end {
				return true, at
			}
		}
	}
	return false, 0
}
