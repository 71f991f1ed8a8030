package authos_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

// The tests of this file need real connections.

// scriptServer counts its connections.
func scriptServer(t *testing.T, h http.HandlerFunc, hooks ...func(http.ConnState)) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	conns := new(atomic.Int64)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
		for _, hook := range hooks {
			hook(s)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv, conns
}

func scriptReal(t *testing.T, base string, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New(base, append([]authos.Option{authos.WithBreaker(authos.BreakerPolicy{Disabled: true})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// abort responds with a reset.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// net/http sends a read, or a request with an Idempotency-Key, again by itself when a connection
// that it had used before is reset.
func TestNetHTTPDoesNotResend(t *testing.T) {
	var sent atomic.Int64
	srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x/warm" {
			_, _ = io.WriteString(w, "{}")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		sent.Add(1)
		abort(w)
	})
	key := authos.WithHeader("Idempotency-Key", "k")
	for _, tt := range []struct {
		name, method, path string
		in                 any
		opts               []authos.RequestOption
	}{
		{"single-use GET", "GET", "/api/auth/magic-link/verify?token=t", nil, nil},
		{"single-use GET with Idempotency-Key", "GET", "/api/auth/magic-link/verify?token=t", nil, []authos.RequestOption{key}},
		{"single-use HEAD", "HEAD", "/api/auth/magic-link/verify?token=t", nil, nil},
		{"single-use POST", "POST", "/api/auth/mfa/verify", map[string]string{"code": "1"}, nil},
		{"POST with Idempotency-Key", "POST", "/x/thing", map[string]string{"a": "b"}, []authos.RequestOption{key}},
		{"POST with X-Idempotency-Key", "POST", "/x/thing", map[string]string{"a": "b"}, []authos.RequestOption{authos.WithHeader("x-idempotency-key", "k")}},
		{"POST with Idempotency-Key without a body", "POST", "/x/thing", nil, []authos.RequestOption{key}},
		{"PATCH with Idempotency-Key", "PATCH", "/x/thing", map[string]string{"a": "b"}, []authos.RequestOption{key}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := scriptReal(t, srv.URL)
			if err := send(t.Context(), c, "GET", "/x/warm"); err != nil {
				t.Fatal(err)
			}
			sent.Store(0)
			err := c.Do(t.Context(), tt.method, tt.path, tt.in, nil, tt.opts...)
			if sent.Load() != 1 || !errors.Is(err, authos.ErrOutcomeUnknown) || !errors.Is(err, authos.ErrNetwork) {
				t.Errorf("Do = %v, the server saw it %d times, want once, outcome unknown", err, sent.Load())
			}
		})
	}
	t.Run("net/http alone", func(t *testing.T) { // or else this test shows nothing
		hc := &http.Client{Transport: &http.Transport{}}
		defer hc.CloseIdleConnections()
		for _, path := range []string{"/x/warm", "/api/auth/magic-link/verify"} {
			sent.Store(0)
			if resp, err := hc.Get(srv.URL + path); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
		if sent.Load() < 2 {
			t.Errorf("net/http sent %d, want 2", sent.Load())
		}
	})
}

// How a connection was lost is in the error also where net/http was kept from sending again.
func TestLossOfAUsedConnection(t *testing.T) {
	for path, want := range map[string]error{"/x/reset": syscall.ECONNRESET, "/x/closed": io.EOF} {
		srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/x/reset":
				abort(w)
			case "/x/closed":
				panic(http.ErrAbortHandler)
			default:
				_, _ = io.WriteString(w, "{}")
			}
		})
		c := scriptReal(t, srv.URL)
		noError(t, "Do", send(t.Context(), c, "GET", "/x/warm"))
		if err := send(t.Context(), c, "GET", path, authos.WithoutRetry()); !errors.Is(err, want) || !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Do(%s) = %v, want %v", path, err, want)
		}
	}
}

// Where nothing could be written, the history says why.
func TestFailureOfAWrite(t *testing.T) {
	srv, _ := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	var dead *atomic.Bool // of the last connection
	c := scriptReal(t, srv.URL)
	authos.DialForTest(c, func(ctx context.Context) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", srv.Listener.Addr().String())
		dead = new(atomic.Bool)
		return &scriptConn{conn, dead}, err
	}, func(next http.RoundTripper) http.RoundTripper { return next })
	for _, method := range []string{"GET", "POST"} {
		noError(t, "Do", send(t.Context(), c, "GET", "/x/warm"))
		dead.Store(true)
		var resp authos.Response
		err := send(t.Context(), c, method, "/x/thing", authos.WithResponse(&resp))
		if err != nil || len(resp.History) != 2 || !errors.Is(resp.History[0].Err, syscall.EPIPE) {
			t.Errorf("Do(%s) = %v, history %v, want EPIPE and a second sending", method, err, resp.History)
		}
	}
}

// What TLS has said counts also where it came before the request was written: a handshake that was
// refused, and a record that was damaged on the way, which TLS takes for an attack.
func TestAlertBeforeTheRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		protocol string
		auth     tls.ClientAuthType
		op       string
	}{
		"refused over HTTP/1": {"http/1.1", tls.RequireAnyClientCert, "dial"},
		"refused over HTTP/2": {"h2", tls.RequireAnyClientCert, "dial"},
		"damaged over HTTP/1": {"http/1.1", tls.NoClientCert, "send"},
	} {
		for _, method := range []string{"GET", "POST"} {
			var conns atomic.Int64
			had, ended := make(chan struct{}, 8), make(chan struct{}, 8)
			address := listenRaw(t, func(raw net.Conn) {
				conns.Add(1)
				c := &damagedConn{Conn: raw}
				server := tls.Server(c, &tls.Config{
					Certificates: []tls.Certificate{h2test.Certificate}, NextProtos: []string{tt.protocol}, ClientAuth: tt.auth, MinVersion: tls.VersionTLS13,
				})
				if c.damaged = server.Handshake() == nil; c.damaged {
					<-had
				}
				_, _ = io.Copy(io.Discard, server)
				_, _ = io.Copy(io.Discard, raw)
				ended <- struct{}{}
			})
			c := scriptReal(t, "https://"+address, h2Quick)
			var dead atomic.Bool // so that not even TLS writes any more
			authos.DialForTest(c, func(ctx context.Context) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				return &scriptConn{conn, &dead}, err
			}, func(next http.RoundTripper) http.RoundTripper { return next })
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
				dead.Store(true)
				had <- struct{}{}
				<-ended
			}})
			err := send(ctx, c, method, "/x/thing")
			network, ok := errors.AsType[*authos.NetworkError](err)
			if !ok || network.Op != tt.op || conns.Load() != 1 || authos.Retryable(err) || errors.Is(err, authos.ErrOutcomeUnknown) {
				t.Errorf("%s, %s: Do = %v (%+v) on %d connections, want one, op %s, final and known", name, method, err, network, conns.Load(), tt.op)
			}
		}
	}
}

// damagedConn can give a TLS record that nobody has written.
type damagedConn struct {
	net.Conn
	damaged bool
}

func (c *damagedConn) Read(p []byte) (int, error) {
	if c.damaged {
		return copy(p, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)), nil
	}
	return c.Conn.Read(p)
}

// scriptConn is a connection that can die without anybody noticing before the next write.
type scriptConn struct {
	net.Conn
	dead *atomic.Bool
}

func (c *scriptConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(p)
}

// A kept-alive connection that is dead before the first byte is written: nothing has left, so even
// a POST goes out on another one.
func TestDeadIdleConnection(t *testing.T) {
	var mu sync.Mutex
	var posts []string
	srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == "POST" {
			mu.Lock()
			posts = append(posts, r.URL.Path+" "+string(body))
			mu.Unlock()
		}
		_, _ = io.WriteString(w, "{}")
	})
	for _, tt := range []struct {
		path string
		in   any
		want string
	}{
		{"/x/thing", map[string]string{"a": "b"}, `/x/thing {"a":"b"}`},
		{"/x/thing", nil, "/x/thing "},
		{"/api/auth/mfa/verify", map[string]string{"code": "1"}, `/api/auth/mfa/verify {"code":"1"}`},
	} {
		var flags []*atomic.Bool
		hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			flags = append(flags, new(atomic.Bool))
			return &scriptConn{conn, flags[len(flags)-1]}, err
		}}}
		c := scriptReal(t, srv.URL, authos.WithHTTPClient(hc))
		if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
			t.Fatal(err)
		}
		flags[0].Store(true)
		posts = nil
		if err := c.Do(t.Context(), "POST", tt.path, tt.in, nil); err != nil || len(posts) != 1 || posts[0] != tt.want {
			t.Errorf("Do(%s) = %v, the server saw %q, want nil and %q once", tt.path, err, posts, tt.want)
		}
		hc.CloseIdleConnections()
	}
}

// A request without a body says so in the way every proxy understands, whatever its method.
func TestNoBodyIsNotChunked(t *testing.T) {
	for _, tt := range []struct{ method, path string }{
		{"POST", "/x/thing"}, {"PATCH", "/x/thing"}, {"POST", "/api/user/mfa/setup"}, {"PUT", "/x/thing"}, {"DELETE", "/x/thing"},
		{"GET", "/api/auth/magic-link/verify?token=t"},
	} {
		var length int64
		var encoding []string
		srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
			length, encoding = r.ContentLength, r.TransferEncoding
			_, _ = io.WriteString(w, "{}")
		})
		if err := scriptReal(t, srv.URL).Do(t.Context(), tt.method, tt.path, nil, nil); err != nil || length != 0 || len(encoding) != 0 {
			t.Errorf("Do(%s %s) = %v with Content-Length %d, Transfer-Encoding %q, want 0 and none", tt.method, tt.path, err, length, encoding)
		}
	}
}

// go-retryablehttp closes the idle connections of the whole pool after a call that failed.
func TestPoolStaysWarm(t *testing.T) {
	const n = 50
	var inside sync.WaitGroup
	healthy, conns := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
		inside.Done()
		inside.Wait() // so that all are under way at once, each on a connection of its own
		_, _ = io.WriteString(w, "{}")
	})
	failing, failed := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x/reset" {
			abort(w)
			return
		}
		http.Error(w, "no", http.StatusBadGateway)
	})
	hc := &http.Client{Transport: &http.Transport{MaxIdleConns: 200, MaxIdleConnsPerHost: 100}}
	defer hc.CloseIdleConnections()
	good := scriptReal(t, healthy.URL, authos.WithHTTPClient(hc))
	warm := func() {
		inside.Add(n)
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if err := send(t.Context(), good, "GET", "/x/thing"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	warm()
	if conns.Load() != n {
		t.Fatalf("%d connections, want %d", conns.Load(), n)
	}
	fast := authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond})
	bad := scriptReal(t, failing.URL, authos.WithHTTPClient(hc), fast)
	for _, method := range []string{"GET", "POST"} {
		if err := send(t.Context(), bad, method, "/x/thing"); !errors.Is(err, authos.ErrServer) {
			t.Errorf("Do(%s) = %v, want ErrServer", method, err)
		}
		if err := send(t.Context(), bad, method, "/x/reset"); !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Do(%s) = %v, want ErrNetwork", method, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	slow := scriptReal(t, failing.URL, authos.WithHTTPClient(hc), authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Hour, MaxDelay: time.Hour, MaxElapsed: -1}),
		authos.WithObserver(&authos.Observer{Wait: func(context.Context, authos.WaitEvent) { cancel() }}))
	if err := send(ctx, slow, "GET", "/x/thing"); !errors.Is(err, context.Canceled) {
		t.Errorf("Do = %v, want the cancellation while waiting", err)
	}
	if failed.Load() == 0 {
		t.Error("the failing server saw nothing")
	}
	_ = bad.Close() // it did not make the connections
	warm()
	if conns.Load() != n {
		t.Errorf("%d connections after the failures, want the same %d", conns.Load(), n)
	}
}

// Error bodies are read, so retries go over one connection.
func TestRetriesReuseTheConnection(t *testing.T) {
	var sent atomic.Int64
	srv, conns := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if sent.Add(1) < 4 {
			http.Error(w, strings.Repeat("x", 20<<10), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	c := scriptReal(t, srv.URL, authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond}))
	if err := send(t.Context(), c, "GET", "/x/thing"); err != nil || sent.Load() != 4 || conns.Load() != 1 {
		t.Errorf("Do = %v, %d requests on %d connections, want 4 on one", err, sent.Load(), conns.Load())
	}
}

func TestHugeHeader(t *testing.T) {
	srv, _ := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 2<<20))
		_, _ = io.WriteString(w, "{}")
	})
	err := send(t.Context(), scriptReal(t, srv.URL), "GET", "/x/thing", authos.WithoutRetry())
	if !errors.Is(err, authos.ErrNetwork) || len(err.Error()) > 1000 {
		t.Errorf("Do = %v, want ErrNetwork", err)
	}
}

// A 200 whose connection ends early is a failed attempt, as net/http really reports it.
func TestConnectionEndsInBody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		head   string
		sent   int64
		decode bool
	}{
		{"with a length", "Content-Length: 100\r\n", 2, false},
		{"chunked", "Transfer-Encoding: chunked\r\n", 2, false},
		{"without a length", "", 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int64
			srv, _ := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
				if sent.Add(1) > 1 {
					_, _ = io.WriteString(w, `{"ok":true}`)
					return
				}
				conn, _, _ := http.NewResponseController(w).Hijack()
				body := `{"ok":tr`
				if strings.Contains(tt.head, "chunked") {
					body = "8\r\n" + body + "\r\n"
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"+tt.head+"\r\n"+body)
				_ = conn.Close()
			})
			var out struct{ OK bool }
			err := scriptReal(t, srv.URL, authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond})).Do(t.Context(), "GET", "/x/thing", nil, &out)
			_, decode := errors.AsType[*authos.DecodeError](err)
			if sent.Load() != tt.sent || decode != tt.decode || !tt.decode && (err != nil || !out.OK) {
				t.Errorf("Do = %v, sent %d, want %d requests, DecodeError = %t", err, sent.Load(), tt.sent, tt.decode)
			}
		})
	}
}

func TestCloseClosesConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	srv, _ := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, func(s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	})
	c := scriptReal(t, srv.URL)
	if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

// net/http closes no HTTP/2 connection on which a request is under way, nor afterwards.
func TestCloseClosesConnectionsInUse(t *testing.T) {
	arrived, respond, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := &h2test.Server{Handle: func(st *h2test.Stream) {
		close(arrived)
		<-respond
		st.Respond(200, `{"ok":true}`)
	}}
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, "Listen", err)
	defer func() { _ = l.Close() }()
	go func() {
		defer close(ended)
		if conn, err := l.Accept(); err == nil {
			s.Serve(conn)
		}
	}()
	c, err := authos.New("https://" + l.Addr().String())
	noError(t, "New", err)
	got := make(chan error)
	go func() { got <- send(t.Context(), c, "GET", "/x/thing") }()
	<-arrived
	_ = c.Close()
	close(respond)
	if err := <-got; err != nil {
		t.Errorf("Do = %v, want the response that was under way", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

// Close says good-bye on what is idle, as TLS has it: also on a connection that was left for
// another one because it seemed silent, and has responded since.
func TestCloseSaysGoodBye(t *testing.T) {
	for _, left := range []bool{false, true} {
		slow, arrived := make(chan struct{}), make(chan struct{})
		s := &h2test.Server{Plain: true, Handle: func(st *h2test.Stream) {
			switch st.Path {
			case "/x/slow":
				close(arrived)
				<-slow
			case "/x/silent":
				return
			}
			st.Respond(200, `{"ok":true}`)
		}}
		address, ends := listenTLS(t, s)
		c := scriptReal(t, "https://"+address)
		done := make(chan error)
		go func() { done <- send(t.Context(), c, "GET", "/x/slow") }()
		<-arrived
		if left {
			err := send(t.Context(), c, "GET", "/x/silent", authos.WithAttemptTimeout(50*time.Millisecond), authos.WithoutRetry())
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Do = %v, want a timeout", err)
			}
			// what is closed because it was left has been by then
			noError(t, "Do", send(t.Context(), c, "GET", "/x/thing"))
		}
		close(slow)
		noError(t, "Do", <-done)
		_ = c.Close()
		if !<-ends {
			t.Errorf("left %t: the connection ended without an alert", left)
		}
		s.Close()
	}
}

// A connection is not left where the caller gave the server little time, or where others' responses
// have come on it.
func TestConnectionThatIsNotSilent(t *testing.T) {
	for name, deadline := range map[string]time.Duration{"a short deadline": 50 * time.Millisecond, "others' responses": 0} {
		arrived := make(chan struct{})
		s, base := h2Serve(t, func(st *h2test.Stream) {
			if st.Path == "/x/slow" {
				close(arrived)
				return
			}
			st.Respond(200, `{"ok":true}`)
		})
		c := scriptReal(t, base)
		noError(t, "Do", send(t.Context(), c, "GET", "/x/thing"))
		ctx, opts := t.Context(), []authos.RequestOption{authos.WithoutRetry(), authos.WithAttemptTimeout(300 * time.Millisecond)}
		if deadline > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, deadline)
			defer cancel()
		}
		done := make(chan error)
		go func() { done <- send(ctx, c, "GET", "/x/slow", opts...) }()
		<-arrived
		if deadline == 0 {
			noError(t, "Do", send(t.Context(), c, "GET", "/x/thing"))
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Do = %v, want a timeout", name, err)
		}
		noError(t, "Do", send(t.Context(), c, "GET", "/x/thing"))
		if n := s.Conns.Load(); n != 1 {
			t.Errorf("%s: %d connections, want one", name, n)
		}
	}
}

// listenTLS serves with TLS, and says whether the first connection has ended with an alert, as TLS
// says good-bye.
func listenTLS(t *testing.T, s *h2test.Server) (address string, first <-chan bool) {
	t.Helper()
	var conns atomic.Int64
	ends := make(chan bool, 1)
	return listenRaw(t, func(raw net.Conn) {
		if conns.Add(1) == 1 {
			raw = &endOfConn{Conn: raw, ends: ends}
		}
		s.Serve(tls.Server(raw, &tls.Config{ // of a version that lets records be told apart
			Certificates: []tls.Certificate{h2test.Certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		}))
	}), ends
}

// endOfConn notes how a connection has ended.
type endOfConn struct {
	net.Conn
	read []byte
	ends chan<- bool
}

func (c *endOfConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read = append(c.read, p[:n]...)
	return n, err
}

// Close is called by who reads.
func (c *endOfConn) Close() error {
	kind := byte(0)
	for rest := c.read; len(rest) >= 5; rest = rest[min(len(rest), 5+int(binary.BigEndian.Uint16(rest[3:]))):] {
		kind = rest[0]
	}
	select {
	case c.ends <- kind == 21:
	default: // it has been closed
	}
	return c.Conn.Close()
}

// A total outage costs a crowd of callers one wave of requests, on the connections of that wave.
func TestOutageConnections(t *testing.T) {
	const callers, calls = 200, 20
	var requests atomic.Int64
	srv, conns := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c, err := authos.New(srv.URL) // the defaults, breaker included
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				if err := send(t.Context(), c, "GET", "/x/thing"); !errors.Is(err, authos.ErrUnavailable) {
					t.Errorf("Do = %v, want ErrUnavailable", err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests, %d connections", requests.Load(), conns.Load())
	if n := requests.Load(); n > callers*calls/10 {
		t.Errorf("%d requests for %d calls, want at most a tenth", n, callers*calls)
	}
	// net/http may dial for a request that then gets a connection just freed
	if n := conns.Load(); n > callers*11/10 {
		t.Errorf("%d connections for %d callers", n, callers)
	}
}

// The connections of a crowd are kept for the next crowd: all requests of a wave are under way at
// once, and a second one dials nothing.
func TestCrowdKeepsItsConnections(t *testing.T) {
	const callers = 100
	var arrived sync.WaitGroup
	srv, conns := scriptServer(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait()
		w.WriteHeader(http.StatusNoContent)
	})
	c := scriptReal(t, srv.URL)
	for range 2 {
		arrived.Add(callers)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
					t.Errorf("Do = %v", err)
				}
			})
		}
		wg.Wait()
	}
	// net/http does not keep a connection whose request took it long to write, as on a busy machine
	if n := conns.Load(); n > callers*11/10 {
		t.Errorf("%d connections for two waves of %d requests, want one wave's", n, callers)
	}
}
