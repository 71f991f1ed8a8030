package fleet

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/authos-go/authos"
)

// Rule is a way to deal with failures.
type Rule struct {
	Name, About string
	make        func(*wire) (client, error)
}

// Rules are ours, and what others publish, written anew from their documents. What those leave to
// the user is three retries with full jitter from 100 ms.
var Rules = []Rule{
	{"authos", "this package as it comes", newOurs()},
	{"authos+cache", "with WithCache as it comes", newOurs(authos.WithCache(authos.CachePolicy{}))},
	{"none", "no retries", another(func(*retrier) policy { return &plain{} })},
	{"three", "three retries", another(func(r *retrier) policy { return &plain{retries: 3, waits: r.jittered(100 * time.Millisecond)} })},
	{"retryablehttp", "go-retryablehttp's defaults: retries after 1, 2, 4, 8 s", another(func(*retrier) policy { return retryablehttp{} })},
	{"aws", "AWS standard mode 2.1: 3 attempts, 500 tokens, 14 for a transient failure, 5 for a throttled one", another(newAWS)},
	{"grpc", "gRPC A6: 10 tokens, 1 for a failure, 0.1 back, none below half", another(newGRPC)},
	{"finagle", "Finagle's budget: 20 % and 10 a second, kept for 10 s", another(newFinagle)},
	{"envoy", "Envoy's budget: one retry, 20 % of what is under way or 3", another(newEnvoy)},
	{"mongodb", "MongoDB's backpressure: 1000 tokens, 0.1 back and the token of a retry that succeeds", another(newMongoDB)},
	{"failsafe", "failsafe-go's adaptive throttler and retry policy as they come", another(newFailsafe)},
}

func ruleOf(name string) func(*wire) (client, error) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return Rules[i].make
}

// policy is another's rule.
type policy interface {
	// permit reports whether a call's nth attempt may be sent at all.
	permit(n int) bool
	// after hears how it ended, and reports whether there is another after a wait.
	after(n int, o outcome) (wait time.Duration, again bool)
}

// retrier is a client that follows another's rule.
type retrier struct {
	wire   *wire
	random *rand.Rand
	mu     sync.Mutex
	policy policy
}

func another(rule func(*retrier) policy) func(*wire) (client, error) {
	return func(w *wire) (client, error) {
		r := &retrier{wire: w, random: rand.New(rand.NewPCG(w.fleet.config.Seed, 1000+uint64(w.client)))}
		r.policy = rule(r)
		return r, nil
	}
}

func (r *retrier) call(ctx context.Context, seq uint64, tenant int) ending {
	for n := 1; ; n++ {
		r.mu.Lock()
		ok := r.policy.permit(n)
		r.mu.Unlock()
		if !ok {
			return endedRefused
		}
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		out := r.wire.send(attempt, seq, tenant)
		cancel()
		r.mu.Lock()
		wait, again := r.policy.after(n, out)
		r.mu.Unlock()
		switch {
		case out.good():
			return endedWell
		case !again || !pause(ctx, wait):
			return endedBadly
		}
	}
}

func (*retrier) close() {}

// now is the time as the rules see it.
func (r *retrier) now() time.Duration { return r.wire.fleet.now() }

// jittered draws the wait before the nth retry from zero to base·2ⁿ⁻¹, 20 s at most.
func (r *retrier) jittered(base time.Duration) func(n int) time.Duration {
	return func(n int) time.Duration {
		return time.Duration(r.random.Float64() * float64(min(base<<(n-1), 20*time.Second)))
	}
}

func (o outcome) mayRetry() bool {
	return o.status == 0 || o.status == 408 || o.status == 429 || o.status >= 500
}

// plain retries so many times.
type plain struct {
	retries int
	waits   func(n int) time.Duration
}

func (*plain) permit(int) bool { return true }

func (p *plain) after(n int, o outcome) (time.Duration, bool) {
	if !o.mayRetry() || n > p.retries {
		return 0, false
	}
	return p.waits(n), true
}

type retryablehttp struct{}

func (retryablehttp) permit(int) bool { return true }

func (retryablehttp) after(n int, o outcome) (time.Duration, bool) {
	if !o.mayRetry() || o.status == 408 || n > 4 {
		return 0, false
	}
	if o.wait > 0 {
		return o.wait, true
	}
	return min(time.Second<<(n-1), 30*time.Second), true
}

// aws: a success gives back what its retry has cost, or one token where it had none.
type aws struct {
	plain

	slow   func(n int) time.Duration
	tokens int
}

func newAWS(r *retrier) policy {
	return &aws{plain: plain{retries: 2, waits: r.jittered(50 * time.Millisecond)}, slow: r.jittered(time.Second), tokens: 500}
}

func (a *aws) after(n int, o outcome) (time.Duration, bool) {
	cost, waits := 14, a.waits
	if o.status == 429 {
		cost, waits = 5, a.slow
	}
	if o.good() {
		back := 1
		if n > 1 {
			back = 14
		}
		a.tokens = min(a.tokens+back, 500)
	}
	if !o.mayRetry() || n > a.retries || a.tokens < cost {
		return 0, false
	}
	a.tokens -= cost
	return waits(n), true
}

type grpc struct {
	plain

	tokens float64
}

func newGRPC(r *retrier) policy {
	return &grpc{plain: plain{retries: 3, waits: r.jittered(100 * time.Millisecond)}, tokens: 10}
}

func (g *grpc) after(n int, o outcome) (time.Duration, bool) {
	if !o.mayRetry() {
		g.tokens = min(g.tokens+0.1, 10)
		return 0, false
	}
	g.tokens = max(g.tokens-1, 0)
	if n > g.retries || g.tokens <= 5 {
		return 0, false
	}
	return g.waits(n), true
}

// finagle: each call brings a fifth of a retry, which is kept for ten seconds, as are withdrawals.
type finagle struct {
	plain

	now     func() time.Duration
	seconds [10]float64
	last    int
}

func newFinagle(r *retrier) policy {
	return &finagle{plain: plain{retries: 3, waits: r.jittered(100 * time.Millisecond)}, now: r.now}
}

func (f *finagle) permit(n int) bool {
	if n == 1 {
		*f.second() += 0.2
	}
	return true
}

func (f *finagle) after(n int, o outcome) (time.Duration, bool) {
	second, balance := f.second(), 10.0*10
	for _, part := range f.seconds {
		balance += part
	}
	if !o.mayRetry() || n > f.retries || balance < 1 {
		return 0, false
	}
	*second--
	return f.waits(n), true
}

// second is the present one's part, those of more than ten seconds ago emptied.
func (f *finagle) second() *float64 {
	for now := int(f.now() / time.Second); f.last < now; {
		f.last++
		f.seconds[f.last%10] = 0
	}
	return &f.seconds[f.last%10]
}

// envoy bounds how many retries are under way at once.
type envoy struct {
	plain

	active, retrying int
}

func newEnvoy(r *retrier) policy {
	return &envoy{plain: plain{retries: 1, waits: func(int) time.Duration {
		return time.Duration(r.random.Float64() * float64(25*time.Millisecond))
	}}}
}

func (e *envoy) permit(n int) bool {
	if n == 1 {
		e.active++
	}
	return true
}

func (e *envoy) after(n int, o outcome) (time.Duration, bool) {
	if n > 1 {
		e.retrying--
	}
	if !o.mayRetry() || n > e.retries || float64(e.retrying) >= max(3, 0.2*float64(e.active)) {
		e.active--
		return 0, false
	}
	e.retrying++
	return e.waits(n), true
}

type mongoDB struct {
	plain

	tokens float64
}

func newMongoDB(r *retrier) policy {
	return &mongoDB{plain: plain{retries: 5, waits: func(n int) time.Duration {
		return time.Duration(r.random.Float64() * float64(min(100*time.Millisecond<<(n-1), 10*time.Second)))
	}}, tokens: 1000}
}

func (m *mongoDB) after(n int, o outcome) (time.Duration, bool) {
	if !o.mayRetry() {
		back := 0.1
		if n > 1 {
			back++
		}
		m.tokens = min(m.tokens+back, 1000)
		return 0, false
	}
	if n > m.retries || m.tokens < 1 {
		return 0, false
	}
	m.tokens--
	return m.waits(n), true
}

// failsafe refuses a share of the attempts that grows with the failures beyond a tenth, nine tenths
// at most, over the last minute.
type failsafe struct {
	random *rand.Rand
	now    func() time.Duration
	slices [20]struct{ all, good float64 }
	last   int
}

func newFailsafe(r *retrier) policy { return &failsafe{random: r.random, now: r.now} }

func (f *failsafe) permit(int) bool {
	f.turn()
	var all, good float64
	for _, s := range f.slices {
		all, good = all+s.all, good+s.good
	}
	refuse := min(max(all-good/0.9, 0)/(all+1), 0.9)
	return refuse == 0 || f.random.Float64() > refuse
}

func (f *failsafe) after(n int, o outcome) (time.Duration, bool) {
	f.turn()
	s := &f.slices[f.last%len(f.slices)]
	s.all++
	if !o.mayRetry() {
		s.good++
		return 0, false
	}
	return 0, n < 3
}

func (f *failsafe) turn() {
	for now := int(f.now() / (3 * time.Second)); f.last < now; {
		f.last++
		f.slices[f.last%len(f.slices)] = struct{ all, good float64 }{}
	}
}
