package authos_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// A fleet of clients, each with one call a second, lives through an outage: it adds next to nothing
// to the load, also with retries saved up before, and is back 30 s after its end.
func TestFleetOutage(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	clients := 8
	outages := []time.Duration{10 * time.Second, time.Minute}
	if longTests {
		clients = 50
		outages = append(outages, 5*time.Minute)
	}
	for _, warm := range []int{0, 500} {
		for _, outage := range outages {
			t.Run(fmt.Sprintf("%d calls before/%v", warm, outage), func(t *testing.T) {
				var requests, calls, good, after atomic.Int64
				synctest.Test(t, func(t *testing.T) {
					var fleet sync.WaitGroup
					for range clients {
						fleet.Go(func() {
							c, web := keyClient(t)
							for range warm {
								_ = getInfo(c)
							}
							time.Sleep(rand.N(time.Second))
							web.play(func(req *http.Request) (*http.Response, error) {
								time.Sleep(20 * time.Millisecond)
								return say(503, pageBody)(req)
							})
							var inFlight sync.WaitGroup
							before, start := web.count(), time.Now()
							for time.Since(start) < outage {
								calls.Add(1)
								inFlight.Go(func() { _ = getInfo(c) })
								time.Sleep(time.Second)
							}
							requests.Add(int64(web.count() - before))
							web.play(sayInfo)
							time.Sleep(30 * time.Second)
							for range 30 {
								after.Add(1)
								if getInfo(c) == nil {
									good.Add(1)
								}
								time.Sleep(time.Second)
							}
							inFlight.Wait()
						})
					}
					fleet.Wait()
				})
				t.Logf("%.2f requests a call", float64(requests.Load())/float64(calls.Load()))
				if requests.Load()*10 > calls.Load()*11 {
					t.Errorf("%d requests for %d calls, want at most 1.1 a call", requests.Load(), calls.Load())
				}
				if good.Load()*100 < after.Load()*95 {
					t.Errorf("%d of %d calls succeeded later than 30 s after the outage, want 95 %%", good.Load(), after.Load())
				}
			})
		}
	}
}

// Failures at random, at a high rate, open no circuit.
func TestRandomFailuresOpenNothing(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	calls := 2000
	if longTests {
		calls = 60_000
	}
	for _, share := range []float64{0.1, 0.2, 0.3} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(share*10), 7))
			var mu sync.Mutex
			changes := 0
			c, web := keyClient(t, authos.WithBreaker(authos.BreakerPolicy{
				OnStateChange: func(string, authos.BreakerState, authos.BreakerState) { changes++ },
			}))
			web.play(func(req *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				web.seen = web.seen[:0]
				if random.Float64() < share {
					return say(500, "")(req)
				}
				return sayInfo(req)
			})
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() { _ = getInfo(c) })
				time.Sleep(5 * time.Millisecond)
			}
			wg.Wait()
			if changes > 0 {
				t.Errorf("%.0f %% failing: the circuit changed %d times", share*100, changes)
			}
		})
	}
}

// The total outage in each of its kinds: what reaches the server is what was in flight when the
// circuits opened.
func TestBreakerOutage(t *testing.T) {
	crowd(t)
	inMemory(t, "it makes more requests than are quick on the wire")
	const goroutines, each = 200, 20
	kinds := map[string]handler{
		"502": say(502, pageBody), "503 of the server": sayError(503, "SERVICE_UNAVAILABLE"), "reset": sayReset,
		"hang": sayNothing, "refused": func(*http.Request) (*http.Response, error) { return nil, dialRefused() },
		"EOF": webEOF, "cut body": webCut, "500 with a wait": say(503, pageBody, "Retry-After: 1"),
		"one in five works": nil,
	}
	for name, bad := range kinds {
		for _, warm := range []int{0, 1000} {
			t.Run(fmt.Sprintf("%s/%d before", name, warm), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, web := keyClient(t)
					_ = repeatInfo(c, warm)
					var n atomic.Int64
					web.play(func(req *http.Request) (*http.Response, error) {
						time.Sleep(time.Millisecond)
						if bad == nil {
							if n.Add(1)%5 == 0 {
								return sayInfo(req)
							}
							return say(502, pageBody)(req)
						}
						return bad(req)
					})
					before := web.count()
					var wg sync.WaitGroup
					for range goroutines {
						wg.Go(func() { _ = repeatInfo(c, each) })
					}
					wg.Wait()
					sent := web.count() - before
					t.Logf("%.3f requests a call", float64(sent)/goroutines/each)
					if sent*10 > goroutines*each {
						t.Errorf("%d requests for %d calls, want at most 0.1 a call", sent, goroutines*each)
					}
				})
			})
		}
	}
}
