package authos_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// The kit of this package's tests: one scripted transport, and the checks that most tests make. A
// test that needs a server with a memory takes authostest instead.

// longTests asks for the long form of tests that have one; the short form runs by default.
var longTests = os.Getenv("AUTHOS_LONG_TESTS") != ""

const testBase = "https://authos.test"

// handler plays the server for one request.
type handler = func(*http.Request) (*http.Response, error)

// reply is how a scripted transport responds to one request: with err, or with a response.
type reply struct {
	status int
	header map[string]string // a value with line breaks makes several field lines
	body   string
	cut    error // what the body ends with instead of io.EOF

	err    error
	noConn bool          // err came before there was a connection
	hang   bool          // never responds
	took   time.Duration // passes before the response
	do     handler
}

// seenRequest is what the server saw of a request.
type seenRequest struct {
	at                time.Time
	method, url, path string
	header            http.Header
	auth, key         string // the bearer token and the API key
	body              string
}

// script is a transport that plays the server: by a function of what it saw, by a handler, or from
// a list of replies, the last one again and again. It notes every request, reports connections as
// net/http does, and reads and closes request bodies.
type script struct {
	mu      sync.Mutex
	replies []reply
	handler handler
	respond func(seenRequest) reply
	seen    []seenRequest
}

// scripted is a script of replies.
func scripted(replies ...reply) *script { return &script{replies: replies} }

// RoundTrip implements [http.RoundTripper].
func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	body := ""
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := s.next(seenRequest{
		at: time.Now(), method: req.Method, url: req.URL.String(), path: req.URL.Path, header: req.Header.Clone(),
		auth: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), key: req.Header.Get("X-Api-Key"), body: body,
	})
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		if trace.GetConn != nil {
			trace.GetConn(req.URL.Host)
		}
		if !r.noConn && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{})
		}
	}
	return r.roundTrip(req)
}

func (r reply) roundTrip(req *http.Request) (*http.Response, error) {
	if r.took > 0 || r.hang {
		timer := time.NewTimer(r.took)
		defer timer.Stop()
		over := timer.C
		if r.hang {
			over = nil
		}
		select {
		case <-over:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	switch {
	case r.do != nil:
		return r.do(req)
	case r.err != nil:
		return nil, r.err
	}
	return r.response(req), nil
}

func (s *script) next(seen seenRequest) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, seen)
	switch {
	case s.respond != nil:
		return s.respond(seen)
	case s.handler != nil:
		return reply{do: s.handler}
	}
	r := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	return r
}

// set replaces the replies.
func (s *script) set(replies ...reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = replies
}

// play replaces the handler.
func (s *script) play(h handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// requests are those seen so far.
func (s *script) requests() []seenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seenRequest(nil), s.seen...)
}

// count is how many requests were seen, of those paths where any are named.
func (s *script) count(paths ...string) int {
	n := 0
	for _, r := range s.requests() {
		if len(paths) == 0 || r.path == paths[0] {
			n++
		}
	}
	return n
}

// forget leaves out of count and requests what was seen so far.
func (s *script) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

func (r reply) response(req *http.Request) *http.Response {
	h := http.Header{}
	if strings.HasPrefix(r.body, "{") || strings.HasPrefix(r.body, "[") {
		h.Set("Content-Type", "application/json")
	}
	for key, value := range r.header {
		h.Del(key)
		for line := range strings.SplitSeq(value, "\n") {
			h.Add(key, line)
		}
	}
	end := r.cut
	if end == nil {
		end = io.EOF
	}
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: &replyBody{rest: r.body, end: end}, ContentLength: -1, Request: req,
	}
}

type replyBody struct {
	rest string
	end  error
}

func (b *replyBody) Read(p []byte) (int, error) {
	if b.rest == "" {
		return 0, b.end
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *replyBody) Close() error { return nil }

// roundTripper is a transport that is a function.
type roundTripper handler

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newClient makes a client of a transport.
func newClient(t testing.TB, base string, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	if _, theirs := rt.(*http.Transport); overHTTP != "" && rt != nil && !theirs {
		return wiredClient(t, base, rt, opts...)
	}
	c, err := authos.New(base, append([]authos.Option{authos.WithHTTPClient(&http.Client{Transport: rt})}, opts...)...)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clientWithoutBreaker makes one whose counts are those of the retry layer.
func clientWithoutBreaker(t testing.TB, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	return newClient(t, testBase, rt, append([]authos.Option{authos.WithBreaker(authos.BreakerPolicy{Disabled: true})}, opts...)...)
}

// noError ends the test where what it needs did not work.
func noError(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s = %v", what, err)
	}
}

// equal fails unless what was got is what is wanted.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// okReply is a good response, apiError an error of AuthOS's flat shape, proxyPage a proxy's error
// page, hintReply an error of the nested shape with a "retry" object. Headers are pairs of name and
// value.
func okReply() reply { return reply{status: 200, body: `{"ok":true}`} }

func apiError(status int, code string, header ...string) reply {
	return reply{
		status: status, header: headers(header...),
		body: `{"error":"the text","error_code":"` + code + `","timestamp":"2026-05-20T12:00:00+00:00"}`,
	}
}

func proxyPage(status int, header ...string) reply {
	h := headers(header...)
	h["Content-Type"] = "text/html"
	return reply{status: status, header: h, body: "<html><body>" + http.StatusText(status) + "</body></html>"}
}

func emptyReply(status int, header ...string) reply {
	return reply{status: status, header: headers(header...)}
}

func hintReply(status int, retry string) reply {
	return reply{status: status, body: `{"error":{"code":"SOME_CODE","message":"the text","retry":` + retry + `}}`}
}

func headers(pairs ...string) map[string]string {
	h := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

// say is a handler that responds with a status, a body and headers ("Name: value").
func say(status int, body string, lines ...string) handler {
	h := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = value
	}
	return reply{status: status, body: body, header: h}.roundTrip
}

// sayError responds with an error of AuthOS's flat shape.
func sayError(status int, code string, lines ...string) handler {
	return say(status, `{"error":"text of `+code+`","error_code":"`+code+`","timestamp":"2025-01-01T00:00:00+00:00"}`, lines...)
}

// sayReset loses the connection, sayNothing never responds.
func sayReset(*http.Request) (*http.Response, error) {
	return nil, os.NewSyscallError("read", syscall.ECONNRESET)
}

func sayNothing(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func connectionReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

func dialRefused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// tlsTimeout is shaped like net/http's TLS handshake timeout, whose type is not exported.
type tlsTimeout struct{}

func (tlsTimeout) Error() string   { return "net/http: TLS handshake timeout" }
func (tlsTimeout) Timeout() bool   { return true }
func (tlsTimeout) Temporary() bool { return true }

// statusOf is the status of the server's last response to a call; 0 when there was none.
func statusOf(err error) int {
	if e, ok := errors.AsType[*authos.APIError](err); ok {
		return e.StatusCode
	}
	return 0
}

// send calls a route, with a body where the method takes one.
func send(ctx context.Context, c *authos.Client, method, path string, opts ...authos.RequestOption) error {
	var in any
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		in = map[string]string{"name": "a value"}
	}
	return c.Do(ctx, method, path, in, nil, opts...)
}
