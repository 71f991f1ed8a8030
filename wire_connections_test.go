package authos_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
