package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	userBody = `{"id":"7b6c2f0e-58a1-4c39-9c1e-3a4f3b0c9d11","email":"ada@example.com","created_at":"2026-05-20T12:00:00.123456Z","padding":"` +
		`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`
	downBody = `{"error":{"code":"INTERNAL_SERVER_ERROR","message":"The server is not well.","timestamp":"2026-05-20T12:00:00Z"}}`
)

// server is what all clients are measured against.
type server struct {
	requests atomic.Int64
	fails    func(*http.Request) bool         // nil: never. Those that fail get 503
	takes    func(int64) time.Duration        // nil: no time. How long the n-th request takes
	sees     func(r *http.Request, in string) // nil: nobody looks
	tokens   *tokens                          // nil: every credential is taken
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	in, _ := io.ReadAll(r.Body)
	if s.sees != nil {
		s.sees(r, string(in))
	}
	if s.takes != nil {
		time.Sleep(s.takes(n))
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case s.fails != nil && s.fails(r):
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, downBody)
	case s.tokens != nil && r.Method == http.MethodPost:
		s.tokens.refresh(w, string(in))
	case s.tokens != nil && !s.tokens.accepts(r):
		// the challenge that azcore wants to see before it sends again
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="e30="`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"TOKEN_EXPIRED","message":"Token has expired.","timestamp":"2026-05-20T12:00:00Z"}}`)
	default:
		_, _ = io.WriteString(w, userBody)
	}
}

// tokens is a session at the server. A refresh token is good once: presented again it ends the
// session, as a stolen one would.
type tokens struct {
	mu        sync.Mutex
	issued    int             // pairs, the one that a client begins with among them
	good      map[string]bool // access tokens
	over      bool
	refreshes int // asked for
	refused   int // calls with a dead access token
}

func newTokens() *tokens { return &tokens{good: map[string]bool{accessToken(0): true}} }

func accessToken(n int) string  { return fmt.Sprintf("access-token-%d", n) }
func refreshToken(n int) string { return fmt.Sprintf("refresh-token-%d.", n) }

// workload is a credential that may be exchanged any number of times.
const workload = "workload"

func (t *tokens) accepts(r *http.Request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	good := !t.over && t.good[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !good {
		t.refused++
	}
	return good
}

// expire makes every access token a dead one, and counts from here.
func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.good)
	t.refreshes, t.refused = 0, 0
}

func (t *tokens) refresh(w http.ResponseWriter, in string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refreshes++
	if !strings.Contains(in, workload) && (t.over || !strings.Contains(in, refreshToken(t.issued))) {
		t.over = true
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"INVALID_TOKEN","message":"No.","timestamp":"2026-05-20T12:00:00Z"}}`)
		return
	}
	t.issued++
	t.good[accessToken(t.issued)] = true
	_ = json.NewEncoder(w).Encode(tokenPair{accessToken(t.issued), refreshToken(t.issued), 3600}) //nolint:errchkjson // texts and a number
}

// network is a network in memory, where virtual time passes. Every host is the server.
type network struct {
	transport *http.Transport
	dials     atomic.Int64
	conns     chan net.Conn
	closed    chan struct{}
}

// newNetwork serves s until the test ends. All clients share one transport that keeps as many idle
// connections as anybody needs, so that what differs is the client.
func newNetwork(t *testing.T, s http.Handler) *network {
	n := &network{conns: make(chan net.Conn), closed: make(chan struct{})}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		n.dials.Add(1)
		here, there := net.Pipe()
		select {
		case n.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.closed:
			return nil, net.ErrClosed
		}
	}
	n.transport = &http.Transport{DialContext: dial, DialTLSContext: dial, MaxIdleConnsPerHost: 1000}
	srv := &http.Server{Handler: s}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(n)
	}()
	t.Cleanup(func() {
		n.transport.CloseIdleConnections()
		_ = srv.Close()
		<-done
	})
	return n
}

// Accept implements [net.Listener].
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (n *network) Close() error {
	close(n.closed)
	return nil
}

// Addr implements [net.Listener].
func (*network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// memory responds at once, in memory: what is left is the client's own work.
type memory struct {
	header http.Header
	down   bool
}

func newMemory() *memory {
	return &memory{header: http.Header{"Content-Type": {"application/json"}, "Date": {"Wed, 20 May 2026 12:00:00 GMT"}}}
}

// RoundTrip implements [http.RoundTripper].
func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	status, text, body := http.StatusOK, "200 OK", userBody
	if m.down {
		status, text, body = http.StatusServiceUnavailable, "503 Service Unavailable", downBody
	}
	return &http.Response{
		Status: text, StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: m.header,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}, nil
}
