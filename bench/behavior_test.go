package main

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is a client with a server of its own, in virtual time.
type world struct {
	*server
	*network
	caller
	ctx context.Context //nolint:containedctx // of all calls: it ends what a client leaves behind
}

const virtualBase = "http://127.0.0.1"

// inWorld runs f with a new world around a client.
func inWorld(t *testing.T, s *server, open func(setup) (caller, error), f func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, s)
		c, err := open(setup{base: virtualBase, transport: n.transport})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f(&world{s, n, c, ctx})
		cancel()
		if c, ok := c.(interface{ Close() error }); ok {
			_ = c.Close()
		}
	})
}

// together makes n calls at once, and counts the good ones.
func (w *world) together(n int) (good int) {
	var succeeded atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if _, err := w.get(w.ctx, strconv.Itoa(i)); err == nil {
				succeeded.Add(1)
			}
		})
	}
	all.Wait()
	return int(succeeded.Load())
}

// outage is callers × calls while every request fails.
func outage(t *testing.T, p peer, callers, calls int) (b behavior) {
	s := &server{
		fails: func(*http.Request) bool { return true },
		takes: func(int64) time.Duration { return 10 * time.Millisecond },
	}
	inWorld(t, s, p.open, func(w *world) {
		start := time.Now()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range calls {
					_, _ = w.get(w.ctx, "42")
				}
			})
		}
		all.Wait()
		b.Outage.Requests = float64(s.requests.Load()) / float64(callers*calls)
		b.Outage.Dials, b.Outage.Seconds = w.dials.Load(), time.Since(start).Seconds()
	})
	return b
}

// sometimes is calls, one each 100 ms, of which a share of the requests fails. Which do is drawn
// from the call and the attempt's number, so that every client meets the same.
func sometimes(t *testing.T, p peer, calls int, share float64) (f flaky) {
	attempts := map[string]uint64{}
	s := &server{fails: func(r *http.Request) bool { // one call is made at a time
		id := path.Base(r.URL.Path)
		attempts[id]++
		h := fnv.New64a()
		_, _ = h.Write([]byte(id))
		return rand.New(rand.NewPCG(h.Sum64(), attempts[id])).Float64() < share
	}}
	inWorld(t, s, p.open, func(w *world) {
		good, start := 0, time.Now()
		for i := range calls {
			time.Sleep(time.Until(start.Add(time.Duration(i) * 100 * time.Millisecond)))
			if _, err := w.get(w.ctx, strconv.Itoa(i)); err == nil {
				good++
			}
		}
		f = flaky{float64(s.requests.Load()) / float64(calls), float64(good) / float64(calls)}
	})
	return f
}

// idlePool is how many of n idle connections are gone after one call that failed.
func idlePool(t *testing.T, p peer, n int) (dials int64) {
	s := &server{
		fails: func(r *http.Request) bool { return path.Base(r.URL.Path) == "fails" },
		takes: func(int64) time.Duration { return 10 * time.Millisecond },
	}
	inWorld(t, s, p.open, func(w *world) {
		if good := w.together(n); good != n || w.dials.Load() != int64(n) {
			t.Errorf("%d of %d calls succeeded on %d connections", good, n, w.dials.Load())
		}
		if _, err := w.get(w.ctx, "fails"); err == nil {
			t.Error("the call that fails did not")
		}
		before := w.dials.Load()
		w.together(n)
		dials = w.dials.Load() - before
	})
	return dials
}

// deadToken is n calls at once with one access token that the server no longer takes. The server
// says so to each after another while, and a refresh takes its time too.
func deadToken(t *testing.T, p peer, n int) *refresh {
	if p.session == nil {
		return nil
	}
	s := &server{tokens: newTokens(), takes: func(n int64) time.Duration { return time.Duration(10+n%50) * time.Millisecond }}
	credential := refreshToken(0)
	if p.exchanges {
		credential = workload
	}
	var got refresh
	open := func(s setup) (caller, error) { return p.session(s, accessToken(0), credential) }
	inWorld(t, s, open, func(w *world) {
		if _, err := w.get(w.ctx, "42"); err != nil {
			t.Errorf("the first token: %v", err)
		}
		s.tokens.expire()
		got.Succeeded = w.together(n)
		got.Refreshes, got.Refused = s.tokens.refreshes, s.tokens.refused
	})
	return &got
}

// behave is all of that for one client.
func behave(t *testing.T, p peer, small bool) behavior {
	callers, calls, sometimesCalls, sessions := 200, 20, 5000, 1000
	if small {
		callers, calls, sometimesCalls, sessions = 10, 3, 20, 20
	}
	b := outage(t, p, callers, calls)
	b.Tenth = sometimes(t, p, sometimesCalls, 0.1)
	b.Half = sometimes(t, p, sometimesCalls, 0.5)
	b.IdleDials = idlePool(t, p, 50)
	b.Session = deadToken(t, p, sessions)
	return b
}

// TestBehavior makes every client go through all of it, in small.
func TestBehavior(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			b := behave(t, p, true)
			t.Logf("%+v, session %+v", b, b.Session)
			if b.Outage.Requests == 0 || b.Outage.Dials == 0 || b.Tenth.Success < 0.8 || b.Half.Success < 0.4 {
				t.Error("the client did not do its calls")
			}
			if s := b.Session; p.name == ours.name && (s.Refreshes != 1 || s.Succeeded != 20 || b.IdleDials != 0) {
				t.Errorf("session %+v, want one refresh and 20 successes; %d idle connections lost", s, b.IdleDials)
			}
		})
	}
}
