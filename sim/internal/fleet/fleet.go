// Package fleet plays what happens to a server and to a fleet of its clients in bad times: real
// clients of this repository, and beside them the published retry rules of others, in virtual time.
//
// A run is a function of its configuration and seed. Nothing that clients share may depend on the
// order in which goroutines run within one instant; so no two requests of different clients ever
// share one: each client has instants of its own on a grid.
package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Config is what a run depends on.
type Config struct {
	Scenario string
	Rule     string // of [Rules]
	Clients  int
	Seed     uint64
	// Rate is calls a second of each client. Default 1, and for large fleets what makes a thousand
	// calls a second together.
	Rate float64
	// Load is the demand's share of the capacity. Default 0.6.
	Load float64
	// Warm, Trigger and After are how long the server is well, ill and well again. Defaults 1 min
	// (0 where the fleet starts in the trigger), the scenario's, and 1 min.
	Warm, Trigger, After time.Duration
}

const (
	tenants        = 4
	badShare       = 0.6              // of the calls are the first tenant's
	callTimeout    = 10 * time.Second // the caller's patience
	attemptTimeout = 3 * time.Second
	lanes          = 64 // of a client on the grid: more than its calls at one time
	mostCalls      = 1000.0
)

func (c Config) withDefaults() (Config, Scenario, error) {
	s, ok := Find(c.Scenario)
	if !ok {
		return c, s, fmt.Errorf("no scenario %q", c.Scenario)
	}
	if ruleOf(c.Rule) == nil {
		return c, s, fmt.Errorf("no rule %q", c.Rule)
	}
	if c.Clients < 1 {
		return c, s, fmt.Errorf("%d clients", c.Clients)
	}
	if c.Rate == 0 {
		c.Rate = min(1, mostCalls/float64(c.Clients))
	}
	if c.Load == 0 {
		c.Load = 0.6
	}
	if c.Warm == 0 && !s.plan.startCold {
		c.Warm = time.Minute
	}
	if c.Trigger == 0 {
		c.Trigger = s.Trigger
	}
	if c.After == 0 {
		c.After = time.Minute
	}
	return c, s, nil
}

// Main runs f outside of go test, as the time of testing/synctest passes only in a test. It ends
// the program.
func Main(f func(*testing.T) error) {
	os.Args = os.Args[:1] // the flags are not those of go test
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "sim", F: func(t *testing.T) {
		if err := f(t); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}}}, nil, nil)
}

// Run plays one run.
func Run(t *testing.T, c Config) (*Result, error) {
	c, s, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newResult(c, s)
	synctest.Test(t, func(*testing.T) { err = play(c, s, r) })
	return r, err
}

// fleet is one run.
type fleet struct {
	config  Config
	start   time.Time
	result  *Result
	mu      sync.Mutex // of the server, which only one request at a time finds busy
	server  *server
	clients []client
}

// client is one process: our client, or another's rule.
type client interface {
	call(ctx context.Context, seq uint64, tenant int) ending
	close()
}

// ending is how a call ended.
type ending int

const (
	endedWell ending = iota
	endedStale
	endedRefused // here, without a request
	endedBadly
)

func play(c Config, s Scenario, r *Result) error {
	p := s.plan
	p.from, p.to = c.Warm, c.Warm+c.Trigger
	if p.restarts > 0 {
		p.restarts = c.Trigger / replicas
	}
	demand := c.Rate * float64(c.Clients)
	f := &fleet{config: c, start: time.Now(), result: r, server: newServer(p, demand, c.Load, rand.New(rand.NewPCG(c.Seed, 1)))}
	rule := ruleOf(c.Rule)
	for i := range c.Clients {
		made, err := rule(&wire{fleet: f, client: i})
		if err != nil {
			return err
		}
		f.clients = append(f.clients, made)
	}
	f.demand(p)
	for _, made := range f.clients {
		made.close()
	}
	return nil
}

// demand makes the calls, at random and independent of what became of those before.
func (f *fleet) demand(p plan) {
	c := f.config
	random := rand.New(rand.NewPCG(c.Seed, 2))
	var calls sync.WaitGroup
	made := make([]uint64, c.Clients)
	begin := func(at time.Duration, who int) {
		made[who]++
		n, tenant := made[who], 0
		if random.Float64() >= badShare {
			tenant = 1 + random.IntN(tenants-1)
		}
		pause(context.Background(), f.slot(at, who, n)-f.now())
		calls.Go(func() { f.call(who, n, tenant) })
	}
	mean := float64(time.Second) / (c.Rate * float64(c.Clients))
	next := func() time.Duration { return time.Duration(random.ExpFloat64() * mean) }
	at := next()
	for until, burst := c.Warm+c.Trigger+c.After, p.burst*c.Clients; at < until; at += next() {
		for ; burst > 0 && p.during(at); burst-- { // spread over the trigger
			begin(p.from+time.Duration(float64(c.Trigger)*(1-float64(burst)/float64(p.burst*c.Clients))), burst%c.Clients)
		}
		begin(max(at, f.now()), random.IntN(c.Clients))
	}
	calls.Wait()
}

func (f *fleet) call(who int, seq uint64, tenant int) {
	begun := f.now()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	end := f.clients[who].call(ctx, seq, tenant)
	f.result.called(who, tenant, begun, f.now()-begun, end)
}

func (f *fleet) now() time.Duration { return time.Since(f.start) }

// slot is the next instant that belongs to a client's call, from at on.
func (f *fleet) slot(at time.Duration, who int, seq uint64) time.Duration {
	period := time.Duration(f.config.Clients * lanes)
	own := time.Duration(who*lanes) + time.Duration(seq%lanes)
	return at + ((own-at)%period+period)%period
}

// wire is a client's way to the server.
type wire struct {
	fleet  *fleet
	client int
}

// send makes one request, and waits for its response or the end of ctx.
func (w *wire) send(ctx context.Context, seq uint64, tenant int) outcome {
	f := w.fleet
	if !pause(ctx, f.slot(f.now(), w.client, seq)-f.now()) {
		return outcome{timedOut: true}
	}
	now := f.now()
	f.result.request(w.client, now)
	f.mu.Lock()
	at, out := f.server.arrive(now+hop, tenant)
	f.mu.Unlock()
	if !pause(ctx, f.slot(at+hop, w.client, seq)-now) {
		return outcome{timedOut: true}
	}
	return out
}

// pause reports whether the time has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
