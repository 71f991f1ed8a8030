package authostest

import (
	"bytes"
	"maps"
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

// journalSize bounds the memory of a long run, such as a benchmark. Counts go on
// beyond it.
const journalSize = 10_000

// journal remembers what happened.
type journal struct {
	requests []*Request // the newest journalSize at least
	counts   map[countKey]int
	applied  map[string]int
	replays  int
}

type countKey struct{ method, path, route string }

func newJournal() journal {
	return journal{counts: map[countKey]int{}, applied: map[string]int{}}
}

func (j *journal) note(c *call, faulty bool) *Request {
	entry := &Request{
		Time:     time.Now(),
		Method:   c.method,
		Path:     c.path,
		RawQuery: c.r.URL.RawQuery,
		Route:    c.template(),
		Header:   c.r.Header.Clone(),
		Body:     c.body,
		Fault:    faulty,
	}
	if len(j.requests) == 2*journalSize {
		// Half at a time, so that forgetting costs little per request.
		n := copy(j.requests, j.requests[journalSize:])
		clear(j.requests[n:])
		j.requests = j.requests[:n]
	}
	j.requests = append(j.requests, entry)
	j.counts[countKey{entry.Method, entry.Path, entry.Route}]++
	return entry
}

// Requests returns copies of the requests seen, oldest first. The server keeps
// at least the newest 10,000.
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
// in [Fault]; an empty string stands for any.
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
// found nothing left to do, is not in it.
func (s *Server) Applied() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.journal.applied)
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
