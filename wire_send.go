package authos

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"sync/atomic"
	"time"
)

// sending is one request on its way to the server and its response on the way back, redirects
// included. It is the context of the request.
//
// Its results are read only after it has ended, by whoever carried it out.
type sending struct {
	lifetime
	call   *call
	wire   *wireLayer
	req    http.Request
	body   *bytes.Reader // of the request; nil: none
	values [6]string     // of the header's lines

	// What came of it.
	resp *http.Response // nil: err says why
	data []byte         // of its body, which has been closed
	err  error

	// What the transport told on the way, in whatever goroutine.
	trace   httptrace.ClientTrace
	used    atomic.Pointer[http.Transport] // of our own
	conn    atomic.Pointer[connection]     // the one last had
	arrived atomic.Pointer[http.Response]  // its header; the body may be on its way
	// by net/http on its own account, where it cannot be stopped
	resent   atomic.Int32
	asked    atomic.Bool // for a connection
	moved    atomic.Bool // another connection was asked for after the first
	stopped  atomic.Bool // net/http was about to send the request again
	stale    atomic.Bool // the store's lock was too old to send a refresh token
	unwanted atomic.Bool // nobody waits any more
	timedOut atomic.Bool // the attempt's time is up
	refused  bool        // a redirect was; err says why

	parsed bufferedBody // the response's, as the layers above see it
}

// connection is what a request was given to leave on.
type connection struct {
	meter       *meteredConn // nil: not ours
	read, wrote int64        // of the meter, when the request was given it
	tls         *tls.Conn    // nil: plain, or not known
	plainHTTP2  bool         // what it speaks without TLS
	reused      bool
	at          time.Duration // when the request was given it, by the clock of silence
}

// http2 reports whether the connection speaks HTTP/2.
func (l *connection) http2() bool {
	if l.tls == nil {
		return l.plainHTTP2
	}
	return l.tls.ConnectionState().NegotiatedProtocol == "h2"
}

type sendingKey struct{}

// sendingOf is the sending that a request below the wire layer belongs to; nil for others, as those
// of an http.Client that shares the transport.
func sendingOf(req *http.Request) *sending {
	s, _ := req.Context().Value(sendingKey{}).(*sending)
	return s
}

// traceKey is what httptrace keeps its hooks under. Asked for by way of a context of ours, it needs
// no context around that.
var traceKey = func() any {
	var asked keyOf
	httptrace.ContextClientTrace(&asked)
	return asked.key
}()

// keyOf notes which key it is asked for.
type keyOf struct {
	context.Context
	key any
}

func (k *keyOf) Value(key any) any {
	k.key = key
	return nil
}

// Value implements [context.Context].
func (s *sending) Value(key any) any {
	switch key {
	case sendingKey{}:
		return s
	case traceKey:
		return &s.trace
	}
	return s.call.Value(key)
}

// Deadline implements [context.Context].
func (s *sending) Deadline() (time.Time, bool) {
	deadline, ok := s.call.Deadline()
	if s.until.IsZero() || ok && deadline.Before(s.until) {
		return deadline, ok
	}
	return s.until, true
}

// String and Format name the call, as its own do.
func (s *sending) String() string                { return s.call.String() }
func (s *sending) Format(f fmt.State, verb rune) { s.call.Format(f, verb) }

// newSending prepares one sending of a call's request.
func (w *wireLayer) newSending(cl *call, req *http.Request, until time.Time) *sending {
	s := &sending{call: cl, wire: w, lifetime: lifetime{until: until}}
	s.trace.GetConn, s.trace.GotConn = s.getConn, s.gotConn
	if httptrace.ContextClientTrace(cl) != nil {
		_ = httptrace.WithClientTrace(cl, &s.trace) // adds the caller's hooks to ours
	}
	s.req = *req.WithContext(s)
	cl.dress(s)
	return s
}

// hold makes a response's body of what was read.
func (s *sending) hold(data []byte, err *APIError) *bufferedBody {
	s.parsed = bufferedBody{data: data, err: err}
	return &s.parsed
}

// begin reports whether our own transport may send the request. net/http asks before each sending,
// and when a connection that it kept turns out to be gone before the request was given it.
func (s *sending) begin() bool {
	if s.conn.Load() == nil {
		return true
	}
	s.moved.Store(true)
	s.stopped.Store(true)
	return false
}

func (s *sending) getConn(string) {
	s.asked.Store(true)
	if l := s.conn.Load(); l != nil {
		s.moved.Store(true)
		if l.http2() {
			s.stop()
		}
	}
}

// gotConn hears of the connection before anything is written to it.
func (s *sending) gotConn(info httptrace.GotConnInfo) {
	l := &connection{
		meter: meterOf(info.Conn), plainHTTP2: s.wire.plainHTTP2, reused: info.Reused, at: s.wire.silence.begin(),
	}
	if l.meter != nil {
		l.read, l.wrote = l.meter.read.Load(), l.meter.wrote.Load()
	}
	l.tls, _ = info.Conn.(*tls.Conn)
	switch before := s.conn.Swap(l); {
	case before == nil:
		s.call.leave(s)
	case l.http2():
		// net/http looks at the context after this and before it writes.
		s.stop()
	default:
		// A transport of the caller's own, over HTTP/1, is sending a read again, or what it could
		// not write. It cannot be stopped, but it can be told.
		s.resent.Add(1)
	}
}

func (s *sending) stop() {
	s.stopped.Store(true)
	s.end(context.Canceled)
}

// leave is called when a request is about to leave. A refresh token does not, where getting a
// connection took too long: its body is emptied before anybody has read it.
func (cl *call) leave(s *sending) {
	p := cl.presenting
	if p == nil {
		return
	}
	now := time.Now()
	if by := p.by; !by.IsZero() && (now.After(by) || now.Round(0).After(by.Round(0))) {
		s.stale.Store(true)
		if s.body != nil {
			s.body.Reset(nil)
		}
		s.end(context.Canceled)
		return
	}
	p.leftAt.Store(int64(now.Sub(cl.began)))
}

// presented is when a refresh token left, or was about to.
func (cl *call) presented() time.Time {
	return cl.began.Add(time.Duration(cl.presenting.leftAt.Load()))
}

// nextHop forgets the connection of a request that was answered with a redirect.
func (s *sending) nextHop() {
	s.conn.Store(nil)
	s.asked.Store(false)
	s.moved.Store(false)
}

// exchange sends the request, follows redirects and reads the response.
func (s *sending) exchange() {
	resp, err := s.wire.hops(s)
	if err != nil {
		s.err = err
		return
	}
	s.wire.silence.heard()
	s.arrived.Store(resp)
	s.resp = resp
	switch {
	case resp.Body == nil:
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// Nobody asked for it, and its body is the connection itself.
		_ = resp.Body.Close()
	default:
		limit := int64(maxResponse)
		if resp.StatusCode >= 400 {
			limit = maxErrorBody
		}
		s.data, s.err = readBounded(resp, limit, &s.unwanted)
		_ = resp.Body.Close()
	}
}

// thrown is how the caller's own code ended a sending: by a panic with a value, or, where that is
// nil, by ending its goroutine.
type thrown struct{ value any }

func (t *thrown) Error() string {
	if t.value == nil {
		return "the program's code ended its goroutine"
	}
	return fmt.Sprintf("the program's code panicked: %v", t.value)
}

// surface lets a panic of the caller's own code, or its end of a goroutine, happen to the caller.
func surface(err error) {
	t, ok := err.(*thrown) //nolint:errorlint // it never is wrapped
	switch {
	case !ok:
	case t.value == nil:
		runtime.Goexit()
	default:
		panic(t.value) //nolint:forbidigo // it is the caller's panic
	}
}
