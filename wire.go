package authos

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// The bounds of what is read from the network.
const (
	maxResponse    = 16 << 20 // bytes of a good response; more is a *DecodeError
	maxHeaderBytes = 256 << 10
)

// maxRepeats is how often an attempt is sent again at once because its request certainly was not
// processed. What happens after that is an attempt like any other, with its wait and its price.
const maxRepeats = 2

// wireLayer is the innermost layer: it sends one request, bounds its time and its response, and
// parses an error body. net/http sends nothing again by itself beneath it: whatever is sent is
// known here, and is in the call's history.
type wireLayer struct {
	*connections
	timeout time.Duration // of one attempt, body included; 0: none
	// which no call may exceed: the Timeout of the caller's http.Client; 0: none
	most          time.Duration
	jar           http.CookieJar // the caller's; nil: none
	checkRedirect func(*http.Request, []*http.Request) error
	plainHTTP2    bool // the caller's transport speaks HTTP/2 without TLS
}

func newWireLayer(a *agent, c *connections) http.RoundTripper {
	w := &wireLayer{connections: c, timeout: max(a.cfg.retry.AttemptTimeout, 0)}
	if hc := a.cfg.httpClient; hc != nil {
		w.jar, w.checkRedirect, w.most = hc.Jar, hc.CheckRedirect, max(hc.Timeout, 0)
	}
	if t := w.theirs; t != nil && t.Protocols != nil {
		w.plainHTTP2 = t.Protocols.UnencryptedHTTP2() && !t.Protocols.HTTP1()
	}
	return w
}

// RoundTrip implements [http.RoundTripper].
func (w *wireLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	until := w.bound(cl)
	for repeats := 0; ; repeats++ {
		if cl.Err() != nil {
			return nil, cl.ended("send")
		}
		resp, repeat, err := w.send(cl, req, until)
		if !repeat || repeats == maxRepeats || cl.Err() != nil {
			return resp, err
		}
		cl.repeated(err)
	}
}

// bound gives an attempt its time. A probe of a half-open circuit always has a limit: one that hung
// would keep the circuit half-open for ever.
func (w *wireLayer) bound(cl *call) (until time.Time) {
	timeout := w.timeout
	if cl.attemptTimeout != 0 {
		timeout = max(cl.attemptTimeout, 0)
	}
	if w.most > 0 && (timeout == 0 || w.most < timeout) {
		timeout = w.most
	}
	if timeout == 0 && cl.probe {
		timeout = defaultAttemptTimeout
	}
	if timeout > 0 {
		until = time.Now().Add(timeout)
	}
	if end := cl.ends(); !end.IsZero() && (until.IsZero() || end.Before(until)) {
		until = end
	}
	return until
}

// repeated notes a sending of which nothing became, and that is made again at once: it uses none of
// the policy's attempts.
func (cl *call) repeated(err error) {
	cl.observeAttempt(0, err)
	cl.repeats++
	cl.began = time.Now()
}

// send sends the request once. repeat says that it may be sent again at once.
func (w *wireLayer) send(cl *call, req *http.Request, until time.Time) (resp *http.Response, repeat bool, err error) {
	s := w.newSending(cl, req, until)
	cl.sent = true
	cl.refused.Store(false)
	ended := s.carryOut()
	for range s.resent.Load() {
		cl.observeAttempt(0, &NetworkError{Op: "send", Method: cl.method, Path: cl.path(), Err: errResend})
		cl.repeats++
	}
	if !ended { // a status that has arrived is the response
		if arrived := s.arrived.Load(); arrived != nil {
			own := *arrived
			return w.received(s, &own, nil, errAttemptTimeout)
		}
		return w.failed(s, "send", errAttemptTimeout)
	}
	if cl.group != groupRefresh { // which is nobody's: there it stays an error
		surface(s.err)
	}
	if s.timedOut.Load() || errors.Is(cl.Err(), context.DeadlineExceeded) {
		w.silent(s)
	}
	switch {
	case s.refused && cl.Err() == nil && !s.timedOut.Load():
		return nil, false, s.err
	case s.resp == nil:
		return w.failed(s, "send", s.err)
	}
	return w.received(s, s.resp, s.data, s.err)
}

// received gives a response its meaning. Where err is not nil, data is only the beginning.
func (w *wireLayer) received(s *sending, resp *http.Response, data []byte, err error) (*http.Response, bool, error) {
	cl := s.call
	if len(cl.body) > smallBody && resp.StatusCode >= 400 && resp.ProtoMajor <= 1 {
		w.unread(cl)
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if cl.method != http.MethodHead && resp.StatusCode != http.StatusNotModified {
		resp.ContentLength = int64(len(data))
	}
	text := withoutMark(data)
	switch {
	case resp.StatusCode >= 400:
		// A status has arrived: whatever became of its body, that is the response.
		resp.Body = s.hold(data, cl.scrub(parseError(resp.StatusCode, resp.Header, text, time.Now())))
	case errors.Is(err, errTooLarge), isMislabelled(err):
		return nil, false, &DecodeError{
			StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RequestID: serverRequestID(resp.Header),
			Err: err, Body: data[:min(len(data), maxErrorBody)],
		}
	case err != nil:
		return w.failed(s, "read body", err)
	case errorInSuccess(text), cl.isOAuth() && isOAuthError(text):
		resp.Body = s.hold(data, cl.scrub(parseError(resp.StatusCode, resp.Header, text, time.Now())))
	default:
		resp.Body = s.hold(text, nil)
	}
	return resp, false, nil
}

// unread is called when a server has refused a request whose body it need not have read. Such a
// server closes the connection soon, and may not have said so: what would be sent on it next would
// be lost.
func (w *wireLayer) unread(cl *call) {
	cl.unread = true
	if w.own != nil {
		w.own.CloseIdleConnections()
	}
}

// silent leaves the connections where one of them has gone silent: on our own transport, where an
// attempt's whole time passed without a byte. A caller's deadline says less about the connection,
// unless it was long enough, or several have passed and nothing has come on any connection.
func (w *wireLayer) silent(s *sending) {
	l, used := s.conn.Load(), s.used.Load()
	if l == nil || s.arrived.Load() != nil {
		return
	}
	quiet := w.silence.since(l.at)
	long := s.timedOut.Load() || quiet >= longSilence
	switch {
	case used != nil:
		if long && l.meter != nil && l.meter.read.Load() == l.read {
			w.own.leave(used)
			w.silence.heard()
		}
	case long && quiet > 0 && w.theirs != nil:
		w.apart.suspect.Store(true)
	}
}

// dress gives a sending's own copy of the request its headers and its body. They are made anew for
// each: net/http would hand one header map to all of them.
func (cl *call) dress(s *sending) {
	h := make(http.Header, 8)
	values := s.values[:0]
	set := func(key, value string) {
		if value == "" || cl.header[key] != nil {
			return
		}
		values = append(values, value)
		h[key] = values[len(values)-1 : len(values) : len(values)]
	}
	cfg := cl.client.cfg
	set("Accept", "application/json")
	set("Accept-Language", cfg.languages)
	set("User-Agent", cfg.userAgent)
	set("X-Request-Id", cl.requestID)
	set("Content-Type", cl.contentType)
	switch cl.auth {
	case routes.AuthBearer:
		if cl.token != "" {
			set("Authorization", "Bearer "+cl.token)
		}
	case routes.AuthAPIKey:
		set("X-Api-Key", cfg.apiKey)
	case routes.AuthNone:
	}
	maps.Copy(h, cl.header)
	out := &s.req
	out.Header, out.Close = h, cl.close
	// There is no GetBody, and a body that can be wound back by nobody: net/http then sends nothing
	// again on its own account.
	out.Body, out.GetBody, out.ContentLength = nil, nil, int64(len(cl.body))
	switch {
	case len(cl.body) > 0:
		// Of a type that net/http knows to be in memory: it leaves together with the headers.
		s.body = bytes.NewReader(cl.body)
		out.Body = io.NopCloser(s.body)
	case cl.idempotent || s.wire.own != nil:
	case isRead(cl.method):
		// A transport of the caller's own sends a read again after a reset. It has no framing of
		// its own, so that the server sees no difference.
		out.Body, out.TransferEncoding = onceEmpty{}, []string{"identity"}
	case h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil:
		out.Body = onceEmpty{} // likewise
	}
}
