package authostest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way for an exchange to go wrong on the wire.
type FaultKind int

const (
	// NoFault leaves the wire alone.
	NoFault FaultKind = iota
	// ResetBefore resets the connection; the handler does not run.
	ResetBefore
	// ResetAfter lets the handler run, then resets the connection.
	ResetAfter
	// TruncateBody promises the whole body and cuts the connection after half of
	// it. The handler runs. A response without a body arrives whole.
	TruncateBody
	// Hang never responds. It ends when the client gives up or the server closes;
	// the handler does not run.
	Hang
	// HangAfter lets the handler run, then never responds.
	HangAfter
	// SlowBody sends the head at once and the body in up to eight chunks, with
	// [Fault.Delay] between them.
	SlowBody
	// SlowHeader sends the head itself, and all that follows, in up to eight pieces
	// with [Fault.Delay] between them, and closes. Over HTTP/2, where a head is one
	// frame, it is the same as NoFault.
	SlowHeader
	// CloseUnread is how the real server refuses a request before its handler (a dead
	// token, a wrong method, a full limiter): the response comes without the body's
	// having been read, and the connection closes under the next request, which gets
	// nowhere. A request that is not refused is left alone, unless Status says what to
	// refuse it with. In memory the next request fails with io.EOF.
	CloseUnread
	// GoAwayBefore ends an HTTP/2 connection by a GOAWAY frame, with [Fault.Code], which
	// says that this request was not processed; the handler does not run. Over HTTP/1 it
	// is the same as ResetBefore.
	GoAwayBefore
	// GoAwayAfter sends a GOAWAY frame that includes this request, then its response.
	// Over HTTP/1 the response says that the connection closes.
	GoAwayAfter
	// Silence lets an HTTP/2 connection stay open and sends nothing on it any more, not
	// even to a ping, whatever the request. Over HTTP/1 it is the same as Hang.
	Silence
)

// Fault makes matching requests go wrong. Where several match a request, the one
// added first wins.
//
// A real client transport repeats an idempotent request by itself when a
// connection that it had used before is reset, so over sockets a reset that
// happens once can stay invisible. [Server.Transport] reports every reset.
type Fault struct {
	// Method and Path select requests; empty means any. Path is a route template
	// ("/api/service/users/:user_id"), a concrete path, or a prefix ending in "*".
	Method, Path string

	Times       int           // how many requests it hits; 0 means until removed
	Skip        int           // how many matching requests go through first
	Probability float64       // of hitting a matching request, between 0 and 1; 0 means always
	From, Until time.Duration // when it is active, counted from New; zero Until means no end

	// Delay passes before anything else happens. For SlowBody it passes between
	// the chunks instead.
	Delay time.Duration

	// Status, when not zero, is sent in place of the handler's response, with
	// Header and Body and nothing else but Date and Content-Length. A missing
	// Content-Type is guessed from Body; a key with no value sends none. A Status
	// outside 200 to 999 is sent as 500. Kinds that lose the response after the
	// handler ran ignore it.
	Status int
	Header http.Header
	Body   string

	// Code is the error code of HTTP/2 (RFC 9113, section 7) that a stream is reset with,
	// or a connection ended: 7 is REFUSED_STREAM, 8 is CANCEL, 11 is ENHANCE_YOUR_CALM.
	// Zero is 2, INTERNAL_ERROR.
	Code uint32

	// Interim are statuses below 200 that come before the response: 102, 103.
	Interim []int

	// Latency passes too, drawn anew for each request.
	Latency Latency

	Kind FaultKind
}

// internalError is the code that a stream is reset with when nobody says another.
const internalError = 2

// Latency is how long responses take: half of them less than Median, one in a hundred
// longer than P99, as in a log-normal distribution. The draws follow the seed; see
// [WithSeed].
type Latency struct{ Median, P99 time.Duration }

// z99 is the number of standard deviations below which 99 of 100 draws are.
const z99 = 2.3263478740408408

func (l Latency) draw(random *rand.Rand) time.Duration {
	if l.Median <= 0 {
		return 0
	}
	spread := 0.0
	if l.P99 > l.Median {
		spread = math.Log(float64(l.P99)/float64(l.Median)) / z99
	}
	return time.Duration(float64(l.Median) * math.Exp(spread*random.NormFloat64()))
}

type fault struct {
	Fault
	id    int
	path  pattern
	seen  int
	spent int
}

// Fault adds a fault and returns what takes it away again.
func (s *Server) Fault(f Fault) (remove func()) {
	id := s.addFault(f)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(other *fault) bool { return other.id == id })
	}
}

func (s *Server) addFault(f Fault) (id int) {
	f.Header = f.Header.Clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastFault++
	s.faults = append(s.faults, &fault{Fault: f, id: s.lastFault, path: newPattern(f.Path)})
	return s.lastFault
}

// Outage responds to every request with status and the HTML page of a proxy, until
// end is called. There is no Retry-After.
func (s *Server) Outage(status int) (end func()) {
	return s.Fault(outage(status))
}

func outage(status int) Fault {
	text := http.StatusText(status)
	return Fault{
		Status: status,
		Header: http.Header{"Content-Type": {"text/html"}},
		Body: "<html>\r\n<head><title>" + text + "</title></head>\r\n" +
			"<body>\r\n<center><h1>" + text + "</h1></center>\r\n</body>\r\n</html>\r\n",
	}
}

// drawFault picks the fault of this request, if any. The caller holds the lock.
func (s *Server) drawFault(c *call) (Fault, bool) {
	for i, f := range s.faults {
		if f.Kind == CloseUnread || !f.hits(s, c) {
			continue
		}
		if f.spent++; f.spent == f.Times {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		hit := f.Fault
		hit.Delay += hit.Latency.draw(s.random)
		return hit, true
	}
	return Fault{}, false
}

// refuseUnread responds to a request that a fault of the kind CloseUnread hits.
func (s *Server) refuseUnread(r *http.Request) (response, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !slices.ContainsFunc(s.faults, func(f *fault) bool { return f.Kind == CloseUnread }) || s.controlled(r) {
		return response{}, false
	}
	c := newCall(s, r, nil, false)
	if c.documented() {
		c.requestID = c.newRequestID()
	}
	for i, f := range s.faults {
		if f.Kind != CloseUnread || !f.aims(c) {
			continue
		}
		a := canned(c, f.Fault)
		if f.Status == 0 {
			_, refused := c.layers()
			if refused == nil {
				continue
			}
			a = c.finish(*refused)
		}
		if !f.hits(s, c) {
			continue
		}
		if f.spent++; f.spent == f.Times {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		s.journal.note(c, true).Status = a.status
		return a, true
	}
	return response{}, false
}

// aims reports whether a fault is meant for requests like this one.
func (f *fault) aims(c *call) bool {
	return (f.Method == "" || f.Method == c.method) && f.path.matches(c.path, c.template())
}

func (f *fault) hits(s *Server, c *call) bool {
	if !f.aims(c) {
		return false
	}
	if age := c.now.Sub(s.started); age < f.From || f.Until != 0 && age >= f.Until {
		return false
	}
	if f.seen++; f.seen <= f.Skip {
		return false
	}
	return f.Probability == 0 || s.random.Float64() < f.Probability
}

func (c *call) template() string {
	if c.place == nil {
		return ""
	}
	return c.place.template
}

// canned is the response of a fault. It has none of AuthOS's own headers, because
// what responds in place of AuthOS usually is not AuthOS.
func canned(c *call, f Fault) response {
	a := response{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
	if a.status < 200 || a.status > 999 {
		a.status = http.StatusInternalServerError
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if _, ok := a.header["Content-Type"]; !ok && f.Body != "" {
		a.header.Set("Content-Type", guessType(a.body))
	}
	return c.seal(a)
}

func guessType(body []byte) string {
	if strings.HasPrefix(string(bytes.TrimSpace(body)), "{") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return "application/json"
	}
	return http.DetectContentType(body)
}
