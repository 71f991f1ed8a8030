package authostest

import (
	"cmp"
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a fake AuthOS. It is an [http.Handler], and safe for concurrent use.
type Server struct {
	// URL is the base URL for clients, without a trailing slash.
	URL string

	config  config
	clock   clock
	started time.Time   // by the server's clock
	web     *web        // nil when in memory
	reached atomic.Bool // somebody has asked for the way in to a server in memory

	// mu guards everything below. It is never held while waiting: handlers only
	// compute, and delays happen outside.
	mu        sync.Mutex
	closed    bool
	waiters   map[chan struct{}]struct{}
	random    *rand.Rand
	faults    []*fault
	lastFault int     // the id of the one added last
	lost      []error // of the next requests in memory, which get nowhere
	journal   journal
	limits    limits
	scene     scene
	marked    []byte                           // the dump that Rewind returns to
	jobs      map[*context.CancelFunc]struct{} // what runs beside the requests

	working sync.WaitGroup // the jobs; not guarded by mu
}

// New starts a fake AuthOS. It listens on a loopback port, and panics when the
// machine offers none, except inside a testing/synctest bubble or with
// [InMemory]: then only [Server.Transport] and [Server.ServeHTTP] reach it.
func New(opts ...Option) *Server {
	s := &Server{config: defaults(), waiters: map[chan struct{}]struct{}{}, jobs: map[*context.CancelFunc]struct{}{}}
	for _, opt := range opts {
		opt(&s.config)
	}
	s.random = rand.New(rand.NewPCG(s.config.faultSeed(), s.config.faultSeed()))
	s.clock.ahead = s.config.skew
	s.started = s.now()
	s.journal = newJournal()
	s.limits = newLimits()
	s.scene = newScene(newEntropy(s.config.seed), s.now())
	s.URL = s.scene.keyRing.address()
	if !s.config.inMemory && !inBubble() {
		s.web = listen(s)
		s.URL = s.web.url
	}
	if s.config.url != "" {
		s.URL = strings.TrimRight(s.config.url, "/")
	}
	return s
}

// Close ends the server: connections are cut, hanging requests fail, and
// nothing of it runs on after Close returns. Closing twice is fine.
//
// For a server in memory that nobody could have reached, it logs how clients reach one:
// the test then saw "connection refused", because nothing listens on such a server's URL.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.web == nil && !s.reached.Load() {
			log.Printf("authostest: the server at %s is in memory, and nothing was sent to it: make clients by its Client method, "+
				"or give them its HTTPClient or Transport", s.URL)
		}
		for end := range s.waiters {
			close(end)
		}
		for cancel := range s.jobs {
			(*cancel)()
		}
	}
	s.mu.Unlock()
	if s.web != nil {
		s.web.close()
	}
	s.working.Wait()
}

// now is the server's clock, which may be skewed.
func (s *Server) now() time.Time {
	return s.clock.now()
}

// inBubble reports whether the caller runs in a testing/synctest bubble, whose
// clock stands still while goroutines run and starts in the year 2000. The margin
// of ten years lets a test sleep for long before it makes a server.
func inBubble() bool {
	start := time.Now()
	if start.Year() >= 2010 {
		return false
	}
	for range 1000 {
		if !time.Now().Equal(start) {
			return false
		}
	}
	return true
}

var (
	// errDown refuses requests that arrive after Close.
	errDown = errors.New("authostest: server is closed")
	// errClosed ends the requests that were waiting when the server closed.
	errClosed = errors.New("authostest: server closed while waiting")
)

// forever makes [Server.wait] end only by the client or by Close.
const forever = time.Duration(-1)

// wait blocks for d, but no longer than the client waits or the server runs.
//
// The channel belongs to this call, not to the server, because synctest only
// knows a goroutine to be idle when it waits on channels of its own bubble.
func (s *Server) wait(ctx context.Context, d time.Duration) error {
	end := make(chan struct{})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	s.waiters[end] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiters, end)
		s.mu.Unlock()
	}()

	var over <-chan time.Time
	if d != forever {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-end:
		return errClosed
	}
}

// delivery says how one response travels back.
type delivery struct {
	code     uint32 // of HTTP/2
	interim  []int  // statuses that come first
	response response
	kind     FaultKind
	pause    time.Duration // between the chunks of a slow body
	err      error         // why there is no response: the client gave up, or Close
}

// serve computes the response to one request whose body has been read. Both
// transports call it, so that they cannot differ in anything but delivery.
func (s *Server) serve(r *http.Request, body []byte, tooLarge bool) delivery {
	if s.controlled(r) {
		return delivery{response: sealedAt(s.control(r, body, tooLarge), s.now())}
	}
	if a, ok := s.page(r, body); ok {
		return delivery{response: a}
	}
	c := newCall(s, r, body, tooLarge)
	entry, hit, err := s.admit(c)
	if err != nil {
		return delivery{err: err}
	}
	out := delivery{kind: hit.Kind, code: cmp.Or(hit.Code, internalError), interim: hit.Interim}
	if hit.Kind == SlowBody || hit.Kind == SlowHeader {
		out.pause = hit.Delay
	} else if hit.Delay > 0 {
		if err := s.wait(r.Context(), hit.Delay); err != nil {
			return delivery{err: err}
		}
	}
	switch hit.Kind {
	case ResetBefore, GoAwayBefore, Silence:
		return out
	case Hang:
		return delivery{err: s.wait(r.Context(), forever)}
	}

	out.response = s.respond(c, entry, hit)
	if hit.Kind == HangAfter {
		return delivery{err: s.wait(r.Context(), forever)}
	}
	return out
}

// admit notes the request and draws its fault.
func (s *Server) admit(c *call) (*Request, Fault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, Fault{}, errDown
	}
	if c.documented() {
		c.requestID = c.newRequestID()
	}
	hit, ok := s.drawFault(c)
	return s.journal.note(c, ok), hit, nil
}

// respond runs the handler, or responds as the fault says.
func (s *Server) respond(c *call, entry *Request, hit Fault) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hit.Status != 0 && hit.Kind != ResetAfter && hit.Kind != HangAfter {
		a := canned(c, hit)
		entry.Status = a.status
		return a
	}
	a := c.finish(c.dispatch())
	if c.applied {
		s.journal.applied.count(c)
	}
	if hit.Kind != ResetAfter && hit.Kind != HangAfter {
		entry.Status = a.status
	}
	return a
}
