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

// longTests asks for the long form of tests that have one; the short form runs by default.
var longTests = os.Getenv("AUTHOS_LONG_TESTS") != ""

const rtBase = "https://authos.test"

// rtStep is how a scripted transport responds to one request: with err, or with a response.
type rtStep struct {
	status int
	header map[string]string
	body   string
	cut    error // what the body ends with instead of io.EOF

	err    error
	noConn bool          // err came before there was a connection
	hang   bool          // never responds
	took   time.Duration // passes before the response
	do     func(*http.Request) (*http.Response, error)
}

// rtSeen is what the server saw of a request.
type rtSeen struct {
	at          time.Time
	method, url string
	header      http.Header
	body        string
}

// rtScript is a transport that responds from a list, its last step again and again. It reports
// connections as net/http does, and it reads and closes request bodies.
type rtScript struct {
	mu    sync.Mutex
	steps []rtStep
	seen  []rtSeen
}

func rtSteps(steps ...rtStep) *rtScript { return &rtScript{steps: steps} }

func (s *rtScript) RoundTrip(req *http.Request) (*http.Response, error) {
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
	step := s.note(rtSeen{time.Now(), req.Method, req.URL.String(), req.Header.Clone(), body})
	if trace := httptrace.ContextClientTrace(ctx); trace != nil {
		trace.GetConn(req.URL.Host)
		if !step.noConn {
			trace.GotConn(httptrace.GotConnInfo{})
		}
	}
	if step.took > 0 || step.hang {
		timer := time.NewTimer(step.took)
		defer timer.Stop()
		over := timer.C
		if step.hang {
			over = nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch {
	case step.do != nil:
		return step.do(req)
	case step.err != nil:
		return nil, step.err
	}
	return step.response(req), nil
}

func (s *rtScript) note(seen rtSeen) rtStep {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, seen)
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	return step
}

func (s *rtScript) set(steps ...rtStep) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = steps
}

func (s *rtScript) requests() []rtSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]rtSeen(nil), s.seen...)
}

func (s *rtScript) count() int { return len(s.requests()) }

func (s *rtScript) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

func (step rtStep) response(req *http.Request) *http.Response {
	h := http.Header{}
	if strings.HasPrefix(step.body, "{") || strings.HasPrefix(step.body, "[") {
		h.Set("Content-Type", "application/json")
	}
	for key, value := range step.header {
		for line := range strings.SplitSeq(value, "\n") { // several field lines of one name
			h.Add(key, line)
		}
	}
	end := step.cut
	if end == nil {
		end = io.EOF
	}
	return &http.Response{
		Status: http.StatusText(step.status), StatusCode: step.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: &rtBody{rest: step.body, end: end}, ContentLength: -1, Request: req,
	}
}

type rtBody struct {
	rest string
	end  error
}

func (b *rtBody) Read(p []byte) (int, error) {
	if b.rest == "" {
		return 0, b.end
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *rtBody) Close() error { return nil }

// rtClient makes a client of a transport, without a circuit breaker, so that counts are those of
// the retry layer.
func rtClient(t *testing.T, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New(rtBase, append([]authos.Option{
		authos.WithHTTPClient(&http.Client{Transport: rt}), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}),
	}, opts...)...)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var rtRetry = authos.WithRetry

// rtOK is a good response, rtAPI an error of AuthOS's flat shape, rtPage a proxy's error page.
func rtOK() rtStep { return rtStep{status: 200, body: `{"ok":true}`} }

func rtAPI(status int, code string, header ...string) rtStep {
	return rtStep{
		status: status, header: rtHeader(header...),
		body: `{"error":"the text","error_code":"` + code + `","timestamp":"2026-05-20T12:00:00+00:00"}`,
	}
}

func rtPage(status int, header ...string) rtStep {
	h := rtHeader(header...)
	h["Content-Type"] = "text/html"
	return rtStep{status: status, header: h, body: "<html><body>" + http.StatusText(status) + "</body></html>"}
}

func rtEmpty(status int, header ...string) rtStep {
	return rtStep{status: status, header: rtHeader(header...)}
}

func rtHint(status int, retry string) rtStep {
	return rtStep{status: status, body: `{"error":{"code":"SOME_CODE","message":"the text","retry":` + retry + `}}`}
}

func rtHeader(pairs ...string) map[string]string {
	h := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h[pairs[i]] = pairs[i+1]
	}
	return h
}

func rtReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

func rtRefused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// rtTimeout is shaped like net/http's TLS handshake timeout, whose type is not exported.
type rtTimeout struct{}

func (rtTimeout) Error() string   { return "net/http: TLS handshake timeout" }
func (rtTimeout) Timeout() bool   { return true }
func (rtTimeout) Temporary() bool { return true }

// rtStatus is the status of the server's last response to a call; 0 when there was none.
func rtStatus(err error) int {
	if e, ok := errors.AsType[*authos.APIError](err); ok {
		return e.StatusCode
	}
	return 0
}

func rtDo(ctx context.Context, c *authos.Client, method, path string, opts ...authos.RequestOption) error {
	var in any
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		in = map[string]string{"name": "a value"}
	}
	return c.Do(ctx, method, path, in, nil, opts...)
}
