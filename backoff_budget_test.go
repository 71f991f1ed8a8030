package authos_test

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// flaky fails a share of the requests, each after 10 ms, and counts.
type flaky struct {
	share float64
	sent  atomic.Int64
}

func (f *flaky) RoundTrip(req *http.Request) (*http.Response, error) {
	f.sent.Add(1)
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if rand.Float64() < f.share {
		return proxyPage(502).response(req), nil
	}
	return okReply().response(req), nil
}

func TestBudget(t *testing.T) {
	crowd(t)
	inMemory(t, "it makes more requests than are quick on the wire")
	for _, tt := range []struct {
		name              string
		share             float64
		goroutines, calls int
		opts              []authos.Option
		most              float64 // requests per call
		least             float64
		good              float64 // share of calls that succeed
	}{
		{name: "total outage", share: 1, goroutines: 200, calls: 20, most: 1.25},
		{name: "half fails", share: 0.5, goroutines: 200, calls: 20, most: 1.25, good: 0.55},
		{name: "a tenth fails", share: 0.1, goroutines: 200, calls: 100, most: 1.25, good: 0.999},
		{name: "nothing fails", share: 0, goroutines: 50, calls: 20, most: 1, good: 1},
		{
			name: "budget off", share: 1, goroutines: 50, calls: 20, most: 4, least: 4,
			opts: []authos.Option{authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: -1}})},
		},
		{
			name: "larger budget", share: 1, goroutines: 50, calls: 20, most: 2.05, least: 1.9,
			opts: []authos.Option{authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: 1, Reserve: -1}})},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if testing.Short() {
					tt.calls = min(tt.calls, 20)
				}
				rt := &flaky{share: tt.share}
				c := clientWithoutBreaker(t, rt, tt.opts...)
				var good atomic.Int64
				var wg sync.WaitGroup
				for range tt.goroutines {
					wg.Go(func() {
						for range tt.calls {
							if send(t.Context(), c, "GET", "/x/thing") == nil {
								good.Add(1)
							}
						}
					})
				}
				wg.Wait()
				calls := float64(tt.goroutines * tt.calls)
				per, share := float64(rt.sent.Load())/calls, float64(good.Load())/calls
				t.Logf("%.3f requests per call, %.4f of the calls succeeded", per, share)
				if per > tt.most || per < tt.least {
					t.Errorf("%.3f requests per call, want %.2f to %.2f", per, tt.least, tt.most)
				}
				if share < tt.good {
					t.Errorf("%.4f of the calls succeeded, want %.4f or more", share, tt.good)
				}
			})
		})
	}
}

// A server that refuses many requests with 503 since it cannot take more gets a tenth more,
// whatever was saved up. Other failures are retried as ever, and so are the 503s of a client with
// few calls.
func TestCrowdedServer(t *testing.T) {
	for _, tt := range []struct {
		name        string
		status      int
		before      int // good calls, which save up retries
		opts        []authos.Option
		least, most float64
	}{
		{name: "503", status: 503, before: 600, least: 1.05, most: 1.1},
		{name: "503, breaker off", status: 503, before: 600, least: 1.4, most: 1.7, opts: []authos.Option{authos.WithBreaker(authos.BreakerPolicy{Disabled: true})}},
		{name: "503, no budget", status: 503, before: 600, least: 1.6, most: 1.7, opts: []authos.Option{authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: -1}})}},
		{name: "502", status: 502, before: 600, least: 1.4, most: 1.7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, tt.opts...)
				_ = repeatInfo(c, tt.before)
				n, sent := 0, 0
				web.play(func(req *http.Request) (*http.Response, error) {
					sent++
					if n++; n%5 < 2 {
						return say(tt.status, "")(req)
					}
					return sayInfo(req)
				})
				for range 30 { // which tell
					_ = getInfo(c)
					time.Sleep(time.Second)
				}
				sent = 0
				for range 200 {
					_ = getInfo(c)
					time.Sleep(time.Second)
				}
				if per := float64(sent) / 200; per < tt.least || per > tt.most {
					t.Errorf("%.3f requests a call, want %.2f to %.2f", per, tt.least, tt.most)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t)
		web.play(say(503, ""))
		if before := web.count(); getInfo(c) == nil || web.count()-before != 4 {
			t.Errorf("the first call has sent %d requests, want 4", web.count()-before)
		}
	})
}

// A client that calls now and then can retry each time: the reserve comes back.
func TestLoneCallIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := proxyPage(502)
		rt := scripted(bad)
		c := clientWithoutBreaker(t, rt)
		for i := range 50 {
			rt.set(bad, bad, bad, okReply())
			if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
				t.Fatalf("call %d = %v, want nil at the fourth attempt", i+1, err)
			}
			time.Sleep(20 * time.Second)
		}
	})
}

// The server refused a 429 unread and said when to come back: that repeat costs nothing, once.
func TestFirst429IsFree(t *testing.T) {
	wait := emptyReply(429, "Retry-After", "1")
	for _, tt := range []struct {
		name  string
		steps []reply
		sent  int
	}{
		{"one", []reply{wait, okReply()}, 2},
		{"two", []reply{wait, wait, okReply()}, 2},
		{"without a wait", []reply{emptyReply(429), okReply()}, 1},
		{"502", []reply{proxyPage(502), okReply()}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := scripted(tt.steps...)
				c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: 1e-9, Reserve: -1}}))
				_ = send(t.Context(), c, "GET", "/x/thing")
				if rt.count() != tt.sent {
					t.Errorf("sent %d, want %d", rt.count(), tt.sent)
				}
			})
		})
	}
}

// A long healthy time saves up the share of its last 500 calls, no more: beside the reserve that is
// a hundred retries.
func TestBudgetSavesUp(t *testing.T) {
	inMemory(t, "it makes more requests than are quick on the wire")
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(okReply())
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{BaseDelay: 1, MaxDelay: 1, MaxAttempts: 2}))
		for range 3000 {
			noError(t, "a good call", send(t.Context(), c, "GET", "/x/thing"))
		}
		rt.set(proxyPage(502))
		rt.forget()
		const calls = 400
		for range calls {
			_ = send(t.Context(), c, "GET", "/x/thing")
		}
		if retries, want := rt.count()-calls, 10+100+calls/5; retries < want-2 || retries > want {
			t.Errorf("%d retries of %d calls, want %d", retries, calls, want)
		}
	})
}

// A budget of one retry for each call, and no reserve, has one for the first call.
func TestBudgetOfOneForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(proxyPage(502))
		c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{Budget: authos.RetryBudget{Ratio: 1, Reserve: -1}}))
		for call := range 3 {
			rt.forget()
			if _ = send(t.Context(), c, "GET", "/x/thing"); rt.count() != 2 {
				t.Errorf("call %d has sent %d requests, want 2", call+1, rt.count())
			}
		}
	})
}
