package authostest

import (
	"sync"
	"time"
)

// clock is the server's own: the machine's, or in a testing/synctest bubble the
// bubble's, moved and perhaps stopped.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration
	frozen time.Time // zero while it runs
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frozen.IsZero() {
		return c.frozen.UTC()
	}
	return time.Now().Add(c.ahead).UTC()
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen.IsZero() {
		c.ahead += d
	} else {
		c.frozen = c.frozen.Add(d)
	}
}

func (c *clock) freeze(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = at
}

// set makes the clock run, this much ahead of the machine's.
func (c *clock) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.frozen = ahead, time.Time{}
}

func (c *clock) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frozen.IsZero() {
		c.ahead, c.frozen = time.Until(c.frozen), time.Time{}
	}
}

// Now is the time by the server's clock.
func (s *Server) Now() time.Time { return s.now() }

// Advance moves the server's clock, forward or back: tokens expire, limiters fill up,
// and a frozen clock stays frozen. Delays and hangs are not cut short by it, nor are
// the waits between the attempts of a webhook delivery. Where a test can, it runs in a
// testing/synctest bubble in place of that, where both clocks move together.
func (s *Server) Advance(d time.Duration) { s.clock.advance(d) }

// Freeze stops the server's clock at a moment. The time in each response is the same
// then, which makes two runs with one seed equal byte by byte.
func (s *Server) Freeze(at time.Time) { s.clock.freeze(at) }

// Thaw lets the server's clock run on from where it stands.
func (s *Server) Thaw() { s.clock.thaw() }
