package authos

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// connections is what requests go through, with what that needs.
type connections struct {
	transport http.RoundTripper
	own       *ownTransport   // to be closed with the client; nil when the caller brought one
	theirs    *http.Transport // the caller's, where it is net/http's
	apart     *alone          // nil: the caller's is not net/http's
	silence   silence
	obedient  bool      // all that requests go through ends when their context does
	watches   sync.Pool // of *watch
	workers   sync.Pool // of *worker
	// how many sendings are under way, and that no more begin
	underWay atomic.Int64
	closed   atomic.Bool
}

// connect settles what requests to base go through. Where that is not net/http's, nothing is known
// of its connections.
func connect(hc *http.Client, base *url.URL) *connections {
	c := &connections{silence: silence{made: time.Now()}}
	if hc == nil {
		made := &made{}
		c.own = newOwnTransport(made)
		c.apart = &alone{RoundTripper: c.own, single: withoutKeepAlive(newTransport(made))}
		c.transport, c.obedient = c.apart, base.Scheme == "http"
		return c
	}
	c.transport = hc.Transport
	if c.transport == nil {
		c.transport = http.DefaultTransport
	}
	if t, ok := c.transport.(*http.Transport); ok {
		c.theirs, c.obedient = t, base.Scheme == "http" && isObedient(t)
		c.apart = &alone{RoundTripper: t, single: withoutKeepAlive(t.Clone())}
		c.transport = c.apart
	}
	return c
}

// close closes our own connections: those in use when the last request on any of them has ended.
func (c *connections) close() {
	if c.own == nil {
		return
	}
	polite := make(chan struct{}) // so that servers hear of the end
	go func() {
		c.own.CloseIdleConnections()
		close(polite)
	}()
	select {
	case <-polite:
	case <-time.After(grace): // one of them is locked
	}
	c.closed.Store(true)
	if c.underWay.Load() == 0 {
		c.own.made.close()
	}
}

// ended is called when a sending has ended.
func (c *connections) ended() {
	if c.underWay.Add(-1) == 0 && c.closed.Load() && c.own != nil {
		c.own.made.close()
	}
}

const (
	// idleConns is how many connections are kept for a busy service: net/http's 2 to a host would
	// dial for nearly every request of one.
	idleConns       = 256
	idleConnTimeout = 90 * time.Second
	// An HTTP/2 connection on which nothing has come for pingAfter is asked for a sign of life, and
	// left when none comes within pingWithin. Together they are shorter than an attempt's default
	// timeout, so that a connection that went silent is gone before the attempt is given up.
	pingAfter  = 15 * time.Second
	pingWithin = 10 * time.Second
	// writeBuffer is what leaves in one write: the headers and a small body together. A server that
	// refuses a request by its headers has then read the body too, and does not close the
	// connection because of what it has not read.
	writeBuffer = 8 << 10
	smallBody   = writeBuffer / 2 // leaves as much for the headers
)

// newTransport is net/http's default transport with room for a busy service, and bounds.
func newTransport(made *made) *http.Transport {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		// An idle connection that a router has forgotten is found out in half a minute.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return &http.Transport{
		Proxy: once(http.ProxyFromEnvironment),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return made.add(conn)
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			return &proxyRefusal{status: resp.StatusCode}
		},
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWithin},
		MaxIdleConns:           idleConns,
		MaxIdleConnsPerHost:    idleConns, // there is one host
		IdleConnTimeout:        idleConnTimeout,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: maxHeaderBytes,
		WriteBufferSize:        writeBuffer,
	}
}

// errResend ends a request that net/http was about to send once more by itself.
var errResend = errors.New("the connection was lost before a response came")

// once makes a Proxy function that lets each request be sent once. net/http asks it before every
// sending, also before those it makes on its own account, so that this is where they end.
func once(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		if s := sendingOf(req); s != nil && !s.begin() {
			return nil, errResend
		}
		return proxy(req)
	}
}

// alone is a transport that gives some requests a connection of their own: a refresh, and what
// follows a response that may have left a body unread. The server may be closing the connections of
// the others.
//
// Requests go out so, too, while a caller's own transport is suspected of holding a connection that
// went silent: it cannot be seen what comes on that. A response on a new connection proves it, and
// the idle ones are closed.
type alone struct {
	http.RoundTripper

	single  *http.Transport
	suspect atomic.Bool // never where the transport is our own
}

// RoundTrip implements [http.RoundTripper].
func (a *alone) RoundTrip(req *http.Request) (*http.Response, error) {
	s := sendingOf(req)
	if s == nil || s.call.group != groupRefresh && !s.call.unread && !a.suspect.Load() {
		return a.RoundTripper.RoundTrip(req)
	}
	resp, err := a.single.RoundTrip(req)
	if t, ok := a.RoundTripper.(*http.Transport); ok && err == nil && a.suspect.CompareAndSwap(true, false) {
		t.CloseIdleConnections()
	}
	return resp, err
}

// longSilence is how long nothing must have come, while requests waited, for connections to be left
// although no attempt's whole time has passed.
const longSilence = time.Second

// silence is since when requests have waited and no response has come, on whatever connection.
type silence struct {
	made  time.Time
	began atomic.Int64 // ns after made; 0: nobody waits, or responses come
}

// begin is called when a request is given a connection, and gives the time.
func (q *silence) begin() time.Duration {
	now := time.Since(q.made)
	q.began.CompareAndSwap(0, max(int64(now), 1))
	return now
}

// heard is called when a response has come.
func (q *silence) heard() {
	if q.began.Load() != 0 {
		q.began.Store(0)
	}
}

// since is how long the silence lasts that had begun by a time; 0 where a response has come after
// it.
func (q *silence) since(at time.Duration) time.Duration {
	began := time.Duration(q.began.Load())
	if began == 0 || began > max(at, 1) {
		return 0
	}
	return time.Since(q.made) - began
}

func withoutKeepAlive(t *http.Transport) *http.Transport {
	t.DisableKeepAlives = true
	return t
}

// made is the connections that a client's own transports have made and that are open. When the
// client is closed they are: net/http closes only what is idle, and over HTTP/2 a connection whose
// last request was given up, or whose handshake was, is not for some time.
type made struct {
	mu     sync.Mutex
	open   map[*meteredConn]struct{}
	closed bool
}

func (m *made) add(conn net.Conn) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if m.open == nil {
		m.open = map[*meteredConn]struct{}{}
	}
	c := &meteredConn{Conn: conn, made: m}
	m.open[c] = struct{}{}
	return c, nil
}

func (m *made) remove(c *meteredConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, c)
}

func (m *made) close() {
	m.mu.Lock()
	open := m.open
	m.open, m.closed = nil, true
	m.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

// meteredConn counts what passes through a connection, so that "nothing was written" and "nothing
// came" are known and not guessed. Beneath TLS it counts what TLS makes of it, which is as good.
type meteredConn struct {
	net.Conn
	made        *made
	read, wrote atomic.Int64
	failure     atomic.Pointer[error] // the first one
}

// Close implements [net.Conn].
func (c *meteredConn) Close() error {
	c.made.remove(c)
	return c.Conn.Close()
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	c.note(err)
	return n, err
}

func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n))
	c.note(err)
	return n, err
}

func (c *meteredConn) note(err error) {
	// closing is what net/http does after a failure
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.failure.CompareAndSwap(nil, &err)
	}
}

// meterOf finds the meter of a connection that may be wrapped in TLS; nil when it has none.
func meterOf(conn net.Conn) *meteredConn {
	for conn != nil {
		switch c := conn.(type) {
		case *meteredConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}

// ownTransport is the transport of a client that was given none. It can leave all its connections
// behind at once.
type ownTransport struct {
	made    *made
	fresh   func() *http.Transport
	current atomic.Pointer[http.Transport]

	mu      sync.Mutex
	retired []retired
}

type retired struct {
	*http.Transport
	at time.Time
}

func newOwnTransport(made *made) *ownTransport {
	o := &ownTransport{made: made, fresh: func() *http.Transport { return newTransport(made) }}
	o.current.Store(o.fresh())
	return o
}

// RoundTrip implements [http.RoundTripper].
func (o *ownTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t := o.current.Load()
	if s := sendingOf(req); s != nil {
		s.used.Store(t)
	}
	return t.RoundTrip(req)
}

// leave gives up the connections of a transport on one of which nothing came in the whole time of
// an attempt: what has silenced one (a router that forgot it, a host that is gone) has silenced the
// others, and each would cost an attempt of its own. Requests under way on them may end. The next
// request is on a new connection also where net/http has not yet noticed that the last one ended.
func (o *ownTransport) leave(t *http.Transport) {
	if !o.current.CompareAndSwap(t, o.fresh()) {
		return // somebody else has left it
	}
	now := time.Now()
	o.mu.Lock()
	o.retired = slices.DeleteFunc(o.retired, func(old retired) bool {
		return now.Sub(old.at) >= 2*idleConnTimeout // its connections have ended by themselves
	})
	o.retired = append(o.retired, retired{t, now})
	all := slices.Clone(o.retired)
	o.mu.Unlock()
	go func() { // nobody waits for it: one may be locked
		for _, old := range all {
			old.CloseIdleConnections()
		}
	}()
}

// abandon gives up a transport that did not end a request when it had to: its connections may be
// locked for ever, and what asks it for anything may not return either. Up to Go 1.26 a server does
// that to net/http by making the window of an HTTP/2 stream too large.
func (o *ownTransport) abandon(t *http.Transport) { o.current.CompareAndSwap(t, o.fresh()) }

// CloseIdleConnections closes what is not in use. Where a connection is locked it may not return.
func (o *ownTransport) CloseIdleConnections() {
	o.mu.Lock()
	all := slices.Clone(o.retired)
	o.mu.Unlock()
	o.current.Load().CloseIdleConnections()
	for _, old := range all {
		old.CloseIdleConnections()
	}
}
