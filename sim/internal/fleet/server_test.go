package fleet

import (
	"math/rand/v2"
	"testing"
	"time"
)

// load sends requests for a minute at a share of the server's capacity, evenly, and counts how they
// ended.
func load(p plan, share float64) (byStatus map[int]int, worst time.Duration) {
	const demand = 200
	s := newServer(p, demand, share, rand.New(rand.NewPCG(1, 2)))
	byStatus = map[int]int{}
	for i := range demand * 60 {
		now := time.Duration(i) * time.Second / demand
		at, out := s.arrive(now, i%tenants)
		byStatus[out.status]++
		worst = max(worst, at-now)
	}
	return byStatus, worst
}

func TestServer(t *testing.T) {
	always := plan{from: 0, to: time.Hour}
	with := func(change func(*plan)) plan { p := always; change(&p); return p }
	for _, tt := range []struct {
		name  string
		plan  plan
		share float64
		want  map[int][2]float64 // shares of 12,000, from and to
		worst time.Duration
	}{
		{"well", always, 0.6, map[int][2]float64{200: {1, 1}}, time.Second},
		{"overload is shed", with(func(p *plan) { p.maxQueue = time.Second }), 2, map[int][2]float64{200: {0.45, 0.53}, 503: {0.47, 0.55}}, 3 * time.Second},
		{"overload queues until the server gives up", always, 4, map[int][2]float64{200: {0.15, 0.3}, 408: {0.7, 0.85}}, 31 * time.Second},
		{"half of the capacity", with(func(p *plan) { p.capacity, p.maxQueue = 0.5, time.Second }), 1, map[int][2]float64{200: {0.45, 0.55}, 503: {0.45, 0.55}}, 3 * time.Second},
		{"outage", with(func(p *plan) { p.outage = true }), 0.6, map[int][2]float64{503: {1, 1}}, 0},
		{"slow", with(func(p *plan) { p.delay = 4 * time.Second }), 0.6, map[int][2]float64{200: {1, 1}}, 6 * time.Second},
		{"limiter", with(func(p *plan) { p.limit = 0.5 }), 0.6, map[int][2]float64{200: {0.49, 0.51}, 429: {0.49, 0.51}}, time.Second},
		{"flaky", with(func(p *plan) { p.flaky = 0.1 }), 0.6, map[int][2]float64{200: {0.88, 0.92}, 503: {0.08, 0.12}}, time.Second},
		{"tenant", with(func(p *plan) { p.badTenant = true }), 0.6, map[int][2]float64{200: {0.75, 0.75}, 500: {0.25, 0.25}}, time.Second},
		{"drops", with(func(p *plan) { p.drops = 5 * time.Second }), 0.6, map[int][2]float64{200: {0.97, 0.995}, 0: {0.005, 0.03}}, time.Second},
		{"restart", with(func(p *plan) { p.restarts = 10 * time.Second }), 0.6, map[int][2]float64{200: {0.97, 0.999}, 0: {0.0005, 0.01}, 502: {0.0005, 0.02}}, 2 * time.Second},
		{"cold", with(func(p *plan) { p.startCold, p.maxQueue = true, time.Second }), 1, map[int][2]float64{200: {0.9, 0.99}, 503: {0.01, 0.1}}, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, worst := load(tt.plan, tt.share)
			for status, n := range got {
				bounds := tt.want[status]
				if share := float64(n) / 12_000; share < bounds[0] || share > bounds[1] {
					t.Errorf("%d: a share of %.4f, want %v", status, share, bounds)
				}
			}
			if len(got) != len(tt.want) || worst > tt.worst {
				t.Errorf("statuses %v, the slowest after %v", got, worst)
			}
		})
	}
}
