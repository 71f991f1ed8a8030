package authostest

import (
	"bytes"
	"net/http"
	"time"
)

// Request is what the server saw of one request, and how it responded.
type Request struct {
	Time     time.Time // when it arrived, by the unskewed clock
	Method   string
	Path     string
	RawQuery string
	Route    string // the route's template; empty for an unknown path
	Header   http.Header
	Body     []byte // of a body that was too large, only the beginning
	Status   int    // of the response; 0 when there was none
	Fault    bool   // whether a fault hit it
}

// The bounds of a journal. Counts go on beyond them.
const (
	journalSize  = 10_000   // requests
	journalBytes = 16 << 20 // of headers and bodies
	journalPaths = 10_000   // concrete paths that are counted one by one
)

// journal remembers what happened.
type journal struct {
	requests []*Request // the newest
	bytes    int        // of those
	counts   counter
	applied  counter
	replays  int
}

func newJournal() journal { return journal{counts: counter{}, applied: counter{}} }

// counter counts by method, path and route.
type counter map[countKey]int

type countKey struct{ method, path, route string }

// count adds one. When there are too many different paths, all of a route become one
// number: what is counted by route stays right.
func (n counter) count(c *call) {
	n[countKey{c.method, c.path, c.template()}]++
	if len(n) <= journalPaths {
		return
	}
	for key, count := range n {
		if key.path != key.route {
			delete(n, key)
			n[countKey{key.method, key.route, key.route}] += count
		}
	}
}

func (j *journal) note(c *call, faulty bool) *Request {
	entry := &Request{
		Time:     c.now.Add(-c.s.config.skew),
		Method:   c.method,
		Path:     c.path,
		RawQuery: c.r.URL.RawQuery,
		Route:    c.template(),
		Header:   c.r.Header.Clone(),
		Body:     c.body,
		Fault:    faulty,
	}
	j.requests = append(j.requests, entry)
	j.bytes += entry.size()
	if len(j.requests) >= 2*journalSize || j.bytes > 2*journalBytes {
		j.forget()
	}
	j.counts.count(c)
	return entry
}

// forget drops the oldest requests until the rest is within the bounds, many at a time,
// so that it costs little per request.
func (j *journal) forget() {
	n := 0
	for ; n < len(j.requests)-1 && (len(j.requests)-n > journalSize || j.bytes > journalBytes); n++ {
		j.bytes -= j.requests[n].size()
	}
	kept := copy(j.requests, j.requests[n:])
	clear(j.requests[kept:])
	j.requests = j.requests[:kept]
}

// size is about how much memory an entry takes.
func (r *Request) size() int {
	n := 256 + len(r.Path) + len(r.RawQuery) + len(r.Body)
	for name, values := range r.Header {
		n += 64 + len(name)
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

// Requests returns copies of the requests seen, oldest first. The server keeps at least
// the newest 10,000, or if they are large the newest 16 MiB of them.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.journal.requests))
	for i, entry := range s.journal.requests {
		out[i] = *entry
		out[i].Header = entry.Header.Clone()
		out[i].Body = bytes.Clone(entry.Body)
	}
	return out
}

// Count returns how many requests were seen with this method and path, given as
// in [Fault]; an empty string stands for any. Past 10,000 different paths only routes
// are counted, by their templates.
func (s *Server) Count(method, path string) int {
	want := newPattern(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key, count := range s.journal.counts {
		if (method == "" || method == key.method) && want.matches(key.path, key.route) {
			n += count
		}
	}
	return n
}

// Applied returns how often each mutation took effect, keyed by method and
// concrete path: "DELETE /api/service/users/42". A request that failed, or that
// found nothing left to do, is not in it. Past 10,000 different paths the key has the
// route's template in place of the path.
func (s *Server) Applied() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.journal.applied))
	for key, count := range s.journal.applied {
		out[key.method+" "+key.path] += count
	}
	return out
}

// Replays returns how many refresh tokens were presented after they had been
// consumed. A client that does this loses its session.
func (s *Server) Replays() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.replays
}

// Reset forgets requests, counts and faults, and keeps users, sessions and all
// other state.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = newJournal()
	s.faults = nil
}
