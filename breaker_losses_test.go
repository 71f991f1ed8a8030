package authos_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// webHold makes a server that holds every request until the returned function ends all of them in
// one moment with the given response; from then on it responds well.
func webHold(web *script, end handler) (release func()) {
	released := make(chan struct{})
	web.play(func(req *http.Request) (*http.Response, error) {
		select {
		case <-released:
			return end(req)
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	})
	return func() {
		web.play(sayInfo)
		close(released)
	}
}

func webCut(req *http.Request) (*http.Response, error) {
	resp, err := sayInfo(req)
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id"`), webBroken{}))
	return resp, err
}

func webEOF(*http.Request) (*http.Response, error) { return nil, io.EOF }

// webTogether makes n calls at once, which all are in flight when release is called, and gives
// their errors.
func webTogether(n int, call func() error, release func()) (errs []error) {
	results := make(chan error, n)
	for range n {
		go func() { results <- call() }()
	}
	synctest.Wait()
	release()
	for range n {
		if err := <-results; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// A connection, or a load balancer, that goes away takes all the requests on it along. None of them
// fails, and the circuit stays closed, with and without a breaker.
func TestLostConnectionFailsNobody(t *testing.T) {
	sizes := []int{1, 5, 8, 15, 50, 120}
	if overHTTP != "" {
		sizes = []int{8, 50}
	}
	for _, disabled := range []bool{false, true} {
		for _, before := range []int{0, 300} {
			for name, end := range map[string]handler{"reset": sayReset, "EOF": webEOF, "cut body": webCut} {
				for _, inFlight := range sizes {
					t.Run(fmt.Sprintf("disabled=%t/%d before/%s/%d", disabled, before, name, inFlight), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							opened := 0
							c, web := keyClient(t, authos.WithBreaker(authos.BreakerPolicy{
								Disabled: disabled, OnStateChange: func(string, authos.BreakerState, authos.BreakerState) { opened++ },
							}))
							if refused := repeatInfo(c, before); refused > 0 {
								t.Fatalf("%d refused before", refused)
							}
							sent := web.count()
							release := webHold(web, end)
							errs := webTogether(inFlight, func() error { return getInfo(c) }, release)
							if len(errs) > 0 {
								t.Errorf("%d of %d calls failed, want none; the first: %v", len(errs), inFlight, errs[0])
							}
							if opened > 0 {
								t.Errorf("the circuit changed %d times", opened)
							}
							if got := web.count() - sent; got != 2*inFlight {
								t.Errorf("%d requests for %d calls, want one repeat each", got, inFlight)
							}
						})
					})
				}
			}
		}
	}
}

// Which losses belong together: those of attempts that began before the first one, 128 of them.
func TestLostConnectionsCount(t *testing.T) {
	notOnUsedConnections(t)
	type step struct {
		lost int     // in one moment
		end  handler // nil: sayReset
		good int     // before that
		bad  int     // 500s before that, one by one
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  bool // open
	}{
		{"128 and three more", []step{{lost: 1 + 128 + 3}}, false},
		{"128 and four more", []step{{lost: 1 + 128 + 4}}, true},
		{"one by one", []step{{lost: 1}, {lost: 1}, {lost: 1}, {lost: 1}}, false},
		{"one by one, five", []step{{lost: 1}, {lost: 1}, {lost: 1}, {lost: 1}, {lost: 1}}, true},
		{"three failures, then one event", []step{{bad: 3, lost: 100}}, false},
		{"four failures, then one event", []step{{bad: 4, lost: 2}}, true},
		{"a second event too soon", []step{{lost: 4}, {good: 19, lost: 10}}, true},
		{"a second event", []step{{lost: 4}, {good: 20, lost: 100}}, false},
		{"armed again by successes in a row only", []step{{lost: 4}, {good: 19, bad: 1}, {good: 19, lost: 10}}, true},
		{"timeouts", []step{{lost: 5, end: sayNothing}}, true},
		{"refused dials", []step{{lost: 5, end: func(*http.Request) (*http.Response, error) { return nil, dialRefused() }}}, true},
		{"502s", []step{{lost: 5, end: say(502, pageBody)}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, web := keyClient(t, oneAttempt)
				for i, s := range tt.steps {
					web.play(sayInfo)
					if refused := repeatInfo(c, s.good); refused > 0 {
						t.Fatalf("step %d: open already", i)
					}
					web.play(say(500, ""))
					_ = repeatInfo(c, s.bad)
					if s.end == nil {
						s.end = sayReset
					}
					release := webHold(web, s.end)
					webTogether(s.lost, func() error { return getInfo(c) }, release)
				}
				if got := c.BreakerStates()["service"] == authos.BreakerOpen; got != tt.want {
					t.Errorf("open = %t, want %t", got, tt.want)
				}
			})
		})
	}
}

// A loss in the middle of an event ends the successes in a row that would arm the circuit again, or
// a server that resets half of all connections would get its retries for nothing.
func TestLostMemberKeepsCircuitDisarmed(t *testing.T) {
	notOnUsedConnections(t)
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		late := make(chan struct{})
		web.play(func(req *http.Request) (*http.Response, error) {
			<-late
			return sayReset(req)
		})
		done := make(chan error)
		go func() { done <- getInfo(c) }() // lost after all others, and belongs to their event
		synctest.Wait()
		release := webHold(web, sayReset)
		webTogether(3, func() error { return getInfo(c) }, release)
		_ = repeatInfo(c, 19)
		close(late)
		<-done //nolint:errcheck // what it ended with is not the point
		_ = repeatInfo(c, 19)
		webTogether(10, func() error { return getInfo(c) }, webHold(web, sayReset))
		if got := c.BreakerStates()["service"]; got != authos.BreakerOpen {
			t.Errorf("state = %s, want open: 19 successes since the last loss are not enough", got)
		}
	})
}

// A repeat may be given another of the old connections before that is found broken too. It belongs
// to the event; a new connection that is lost does not.
func TestLostRepeatOnOldConnection(t *testing.T) {
	inMemory(t, "the test says itself which connection is an old one")
	for _, tt := range []struct {
		calls  int
		reused bool
		want   bool // none fails
	}{{20, true, true}, {20, false, false}, {1 + 32, true, true}, {60, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			c, web := keyClient(t)
			put := func() error { return c.Do(t.Context(), "PUT", "/api/service/thing", nil, nil) }
			var repeated sync.Map
			release := webHold(web, sayReset)
			errs := webTogether(tt.calls, put, func() {
				release()
				web.play(func(req *http.Request) (*http.Response, error) {
					if _, again := repeated.LoadOrStore(req.Header.Get("X-Request-Id"), true); again {
						return say(200, "{}")(req)
					}
					httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{Reused: tt.reused})
					return sayReset(req)
				})
			})
			if (len(errs) == 0) != tt.want {
				t.Errorf("reused = %t: %d of %d calls failed: %v", tt.reused, len(errs), tt.calls, errs)
			}
		})
	}
}

// Four load balancers that restart half a second apart: no call fails.
func TestBalancersRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t)
		var mu sync.Mutex
		var gone [4]chan struct{}
		for i := range gone {
			gone[i] = make(chan struct{})
		}
		var n atomic.Int64
		web.play(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			through := gone[n.Add(1)%4]
			mu.Unlock()
			select {
			case <-through:
				if overHTTP == "" && req.Context().Value(flightKey{}) == nil {
					t.Error("no context of ours")
				}
			case <-time.After(100 * time.Millisecond):
				return sayInfo(req)
			}
			return sayReset(req)
		})
		var wg sync.WaitGroup
		var failed atomic.Int64
		ctx := context.WithValue(t.Context(), flightKey{}, 1)
		for range 40 {
			wg.Go(func() {
				for range 40 {
					if c.Do(ctx, "GET", infoPath, nil, nil) != nil {
						failed.Add(1)
					}
				}
			})
		}
		for i := range gone {
			time.Sleep(500 * time.Millisecond)
			mu.Lock()
			lost := gone[i]
			gone[i] = make(chan struct{})
			mu.Unlock()
			close(lost)
		}
		wg.Wait()
		if failed.Load() > 0 {
			t.Errorf("%d of 1600 calls failed, want none", failed.Load())
		}
	})
}

// The same on real connections. Over HTTP/2 the calls of a client in use share one. Those of a new
// client begin at once and dial at once, nearly one for each call. On a busy machine it takes
// longer to end a hundred connections than the calls wait before they are repeated, on those that
// are still to be ended: that is no longer a loss in one moment, so that there are few calls there.
func TestLostConnectionOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		name       string
		http2, new bool
		inFlight   []int
	}{
		{"HTTP/1", false, true, []int{1, 5, 15, 120}},
		{"HTTP/2", true, false, []int{1, 5, 15, 120}},
		{"HTTP/2, new client", true, true, []int{1, 5, 15}},
	} {
		for _, inFlight := range tt.inFlight {
			t.Run(fmt.Sprintf("%s/%d", tt.name, inFlight), func(t *testing.T) {
				srv := newLosingServer(t, tt.http2)
				var opened atomic.Int64
				c := newClient(t, srv.URL, srv.Client().Transport, authos.WithAPIKey("sk_1_2"), authos.WithBreaker(authos.BreakerPolicy{
					OnStateChange: func(string, authos.BreakerState, authos.BreakerState) { opened.Add(1) },
				}))
				if !tt.new {
					noError(t, "GetInfo", getInfo(c))
				}
				srv.hold.Store(true)
				errs := make(chan error, inFlight)
				for range inFlight {
					go func() { errs <- getInfo(c) }()
				}
				srv.lose(inFlight)
				for range inFlight {
					if err := <-errs; err != nil {
						t.Errorf("a read in flight: %v", err)
					}
				}
				if n := opened.Load(); n > 0 {
					t.Errorf("the circuit changed %d times", n)
				}
			})
		}
	}
}

// losingServer can hold requests, and lose all its connections at once.
type losingServer struct {
	*httptest.Server
	hold    atomic.Bool
	arrived chan struct{}
	mu      sync.Mutex
	conns   []net.Conn
}

func newLosingServer(t *testing.T, http2 bool) *losingServer {
	t.Helper()
	s := &losingServer{arrived: make(chan struct{}, 1000)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hold.Load() {
			s.arrived <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, infoBody)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener = &losingListener{Listener: s.Listener, srv: s}
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// losingListener notes the connections beneath TLS, which end without a word.
type losingListener struct {
	net.Listener
	srv *losingServer
}

func (l *losingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.srv.mu.Lock()
		defer l.srv.mu.Unlock()
		l.srv.conns = append(l.srv.conns, c)
	}
	return c, err
}

// lose waits for n requests and ends all connections, as a process that is killed does.
func (s *losingServer) lose(n int) {
	for range n {
		<-s.arrived
	}
	s.hold.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}
