package authos_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

// The tests of retry, breaker and session play the server in memory. The same tests run again with
// net/http's own client and server between the client and what plays the server, once for each
// version of HTTP: real requests, frames, resets and lost connections, over TLS on pipes in memory,
// so that time is still that of testing/synctest.

// overHTTP is the version of this run: "1", "2", or empty for none.
var overHTTP = os.Getenv("AUTHOS_TEST_HTTP")

// inMemory leaves a test out where it is run over HTTP, for a reason.
func inMemory(t testing.TB, reason string) {
	t.Helper()
	if overHTTP != "" {
		t.Skip("in memory only: " + reason)
	}
}

// crowd keeps a test that has hundreds of goroutines retry in one synctest bubble on one processor.
// go-retryablehttp selects on a timer that has ended, which runs it on the caller's thread; two
// threads that do so in one bubble crash the race detector (golang/go issue 78156).
func crowd(t testing.TB) {
	t.Helper()
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// notOnUsedConnections leaves a test out over HTTP/1, where what it loses are connections that have
// been used before, whose losses the breaker excuses up to a bound.
func notOnUsedConnections(t testing.TB) {
	t.Helper()
	if overHTTP == "1" {
		t.Skip("not over HTTP/1: the connections that are lost have been used before")
	}
}

func TestSuitesOverHTTP(t *testing.T) {
	if overHTTP != "" {
		t.Skip("this is such a run")
	}
	if testing.Short() {
		t.Skip("the suites once more")
	}
	var names []string
	for _, suite := range []string{"backoff*_test.go", "breaker*_test.go", "refresh*_test.go"} {
		files, err := filepath.Glob(suite)
		noError(t, "Glob", err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			noError(t, "ReadFile", err)
			for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
				names = append(names, string(found[1]))
			}
		}
	}
	if len(names) < 100 {
		t.Fatalf("%d tests found, want those of three suites", len(names))
	}
	binary, err := os.Executable()
	noError(t, "Executable", err)
	versions := []string{"2"}
	if longTests {
		versions = []string{"2", "1"}
	}
	for _, version := range versions {
		t.Run("HTTP/"+version, func(t *testing.T) {
			// one that does not end says where it is
			run := exec.CommandContext(t.Context(), binary, "-test.timeout", "8m", "-test.run", "^("+strings.Join(names, "|")+")$")
			run.Env = append(os.Environ(), "AUTHOS_TEST_HTTP="+version)
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// wiredClient is newClient with HTTP between the client and rt.
func wiredClient(t testing.TB, base string, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	w := &wired{rt: rt, conns: make(chan net.Conn), done: make(chan struct{})}
	w.base, _ = url.Parse(base)
	srv := &http.Server{
		Handler: w, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{h2test.Certificate}, MinVersion: tls.VersionTLS12},
	}
	srv.Protocols.SetHTTP1(overHTTP == "1")
	srv.Protocols.SetHTTP2(overHTTP == "2")
	go func() { _ = srv.ServeTLS(w, "", "") }()
	t.Cleanup(func() {
		_ = srv.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.open { // both sides may be saying good-bye
			_ = c.Close()
		}
	})
	c, err := authos.New(strings.Replace(base, "http:", "https:", 1), opts...)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	authos.DialForTest(c, w.dial, func(next http.RoundTripper) http.RoundTripper { return w.before(next) })
	return c
}

// wired is a network in memory, the server on it, and what plays that. It is the server's listener
// and handler.
type wired struct {
	rt     http.RoundTripper
	base   *url.URL
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	mu     sync.Mutex
	open   []net.Conn
	number atomic.Int64
	said   sync.Map // by number: an error that only the client's own side can have
}

func (w *wired) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	w.mu.Lock()
	w.open = append(w.open, here, there)
	w.mu.Unlock()
	select {
	case w.conns <- there:
		return here, nil
	case <-w.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wired) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wired) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

func (w *wired) Addr() net.Addr { return &net.TCPAddr{} }

const numberHeader, saidHeader = "Kit-Number", "Kit-Said"

// before is the client's side: what fails before a connection is had, and errors that are not the
// network's, have no form on the wire.
func (w *wired) before(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if s, ok := w.rt.(*script); ok && s.nextHasNoConn() {
			return s.RoundTrip(req)
		}
		out := *req
		out.Header = req.Header.Clone()
		number := strconv.FormatInt(w.number.Add(1), 10)
		out.Header.Set(numberHeader, number)
		resp, err := next.RoundTrip(&out)
		if err == nil && resp.Header.Get(saidHeader) != "" {
			_ = resp.Body.Close()
			said, _ := w.said.Load(number)
			return nil, said.(error) //nolint:forcetypeassert // as it was stored
		}
		return resp, err
	})
}

// ServeHTTP is the server's side.
func (w *wired) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	req := r.Clone(r.Context())
	req.RequestURI, req.URL.Scheme, req.URL.Host, req.Host = "", w.base.Scheme, w.base.Host, w.base.Host
	number := req.Header.Get(numberHeader)
	for _, name := range []string{numberHeader, "Accept-Encoding", "Content-Length"} {
		req.Header.Del(name)
	}
	if req.ContentLength == 0 {
		req.Body = nil
	}
	resp, err := w.rt.RoundTrip(req)
	switch {
	case err == nil:
		w.respond(to, resp)
	case isLoss(err) || r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	default:
		w.said.Store(number, err)
		to.Header().Set(saidHeader, "1")
	}
}

// isLoss reports whether an error is the end of a connection, which it then is on the wire too.
func isLoss(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "read" {
		return false // of a connection that was not made
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

func (w *wired) respond(to http.ResponseWriter, resp *http.Response) {
	h := to.Header()
	h["Date"], h["Content-Type"] = nil, nil // which the server would add
	maps.Copy(h, resp.Header)
	var body []byte
	var err error
	if resp.Body != nil {
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	to.WriteHeader(resp.StatusCode)
	_, _ = to.Write(body)
	if err != nil { // the connection ends in the body
		_ = http.NewResponseController(to).Flush()
		panic(http.ErrAbortHandler)
	}
}

// nextHasNoConn reports whether the next reply comes before there is a connection.
func (s *script) nextHasNoConn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.respond == nil && s.handler == nil && s.replies[0].noConn
}
