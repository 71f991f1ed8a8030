package authos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// The bounds of what is read from the network.
const (
	maxResponse    = 16 << 20 // bytes of a good response; more is a *DecodeError
	maxHeaderBytes = 256 << 10
	maxRedirects   = 10 // as net/http
)

// wireLayer is the innermost layer: it sends one request, bounds its time and its response, and
// parses an error body.
type wireLayer struct {
	next    http.RoundTripper
	timeout time.Duration // of one attempt, body included; 0: none
	most    time.Duration // which no call may exceed: the Timeout of the caller's http.Client; 0: none
}

func newWireLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	w := &wireLayer{next: next, timeout: max(c.cfg.retry.AttemptTimeout, 0)}
	if hc := c.cfg.httpClient; hc != nil {
		w.most = max(hc.Timeout, 0)
	}
	return w
}

// RoundTrip implements [http.RoundTripper].
func (w *wireLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if cl.Err() != nil {
		return nil, cl.ended("send")
	}
	ctx, cancel := w.bound(cl)
	defer cancel()
	var p *passage
	if cl.mutation {
		p = new(passage)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GetConn: func(string) { p.asked.Store(true) },
			GotConn: func(info httptrace.GotConnInfo) {
				p.connected.Store(true)
				p.reused.Store(info.Reused)
			},
		})
	}
	out := req.WithContext(ctx)
	cl.dress(out)
	cl.sent = true
	cl.refused.Store(false)
	resp, err := w.next.RoundTrip(out)
	if err != nil {
		return nil, cl.networkError("send", err, p)
	}
	limit := int64(maxResponse)
	if resp.StatusCode >= 400 {
		limit = maxErrorBody
	}
	data, err := readBounded(resp, limit)
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 400:
		// A status has arrived: whatever became of its body, that is the response.
		resp.Body = newBody(data, cl.scrub(parseError(resp.StatusCode, resp.Header, data, time.Now())))
	case errors.Is(err, errTooLarge):
		return nil, &DecodeError{
			StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), RequestID: serverRequestID(resp.Header),
			Err: err, Body: data[:maxErrorBody],
		}
	case err != nil:
		return nil, cl.networkError("read body", err, nil)
	case errorInSuccess(data):
		resp.Body = newBody(data, cl.scrub(parseError(resp.StatusCode, resp.Header, data, time.Now())))
	default:
		resp.Body = newBody(data, nil)
	}
	resp.ContentLength = int64(len(data))
	return resp, nil
}

// dress gives the attempt's own copy of a request its headers. They are made anew for each attempt:
// net/http would hand one header map to all of them, and puts a Referer with the query on a
// redirect.
func (cl *call) dress(out *http.Request) {
	h := make(http.Header, 8)
	values := make([]string, 0, 8)
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
	if cookies := out.Header["Cookie"]; cookies != nil {
		h["Cookie"] = cookies // of the caller's own http.Client with a Jar
	}
	out.Header = h
	if cl.body != nil {
		// The resend after a refresh belongs to the same attempt, and needs the body from its start
		// too. net/http itself sends again what certainly did not arrive: over a connection that
		// was dead before the first byte, on a refused HTTP/2 stream.
		out.GetBody = func() (io.ReadCloser, error) { return newBody(cl.body, nil), nil }
		if cl.group == groupRefresh {
			out.GetBody = func() (io.ReadCloser, error) { return &timelyBody{ReadCloser: newBody(cl.body, nil), cl: cl}, nil }
		}
		out.Body, _ = out.GetBody()
		out.ContentLength = int64(len(cl.body))
	}
	// Reads and what has an Idempotency-Key net/http also sends again after a reset. A body that
	// cannot be rewound prevents that.
	if !cl.idempotent && (isRead(cl.method) || h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil) {
		out.GetBody = nil
		if out.Body == nil {
			out.Body = new(onceEmpty)
		}
	}
}

// bound gives an attempt its time. A probe of a half-open circuit always has a limit: one that hung
// would keep the circuit half-open for ever.
func (w *wireLayer) bound(cl *call) (context.Context, context.CancelFunc) {
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
	if !cl.deadline.IsZero() {
		if left := time.Until(cl.deadline); timeout == 0 || left < timeout {
			timeout = max(left, time.Nanosecond)
		}
	}
	if timeout == 0 {
		return cl, func() {}
	}
	return context.WithTimeoutCause(cl, timeout, errAttemptTimeout)
}

// onceEmpty is an empty body that net/http cannot rewind.
type onceEmpty struct{}

func (*onceEmpty) Read([]byte) (int, error) { return 0, io.EOF }
func (*onceEmpty) Close() error             { return nil }

// attemptTimeout is the end of an attempt's own time, which is not the caller's deadline.
type attemptTimeout struct{}

func (attemptTimeout) Error() string        { return "no response within the attempt's timeout" }
func (attemptTimeout) Timeout() bool        { return true }
func (attemptTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

var errAttemptTimeout = attemptTimeout{}

// networkError says why there is no response.
func (cl *call) networkError(op string, err error, p *passage) *NetworkError {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	e := &NetworkError{Op: op, Method: cl.method, Path: cl.path, Err: err, reused: p != nil && p.reused.Load()}
	oe, isOp := errors.AsType[*net.OpError](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	if p.neverLeft() || isDNS || isOp && (oe.Op == "dial" || oe.Op == "proxyconnect") {
		e.Op, e.unsent = "dial", true
	}
	if errors.Is(err, errStaleLock) {
		e.Op, e.unsent = "refresh", true // the body has not left
	}
	switch {
	case cl.Err() != nil:
		e.Err = contextEnd(cl)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		e.Err = errAttemptTimeout // the caller is still there, so it was our own timer
	}
	return e
}

var errTooLarge = fmt.Errorf("larger than %d MiB", maxResponse>>20)

// readBounded reads a body of at most limit bytes. More than that is errTooLarge, with the first
// limit bytes.
func readBounded(resp *http.Response, limit int64) ([]byte, error) {
	size := int64(512)
	if resp.ContentLength >= 0 {
		size = resp.ContentLength + 1 // room to meet io.EOF without growing
	}
	data := make([]byte, 0, min(size, limit+1, 1<<20))
	for {
		n, err := resp.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return data[:limit], errTooLarge
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return data, nil
		case err != nil:
			return data, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// bufferedBody is the body of every response inside the layers: the whole bounded body, read within
// its attempt, and the parsed error.
type bufferedBody struct {
	bytes.Reader
	data []byte
	err  *APIError
}

// Close implements [io.Closer]; nothing is held.
func (*bufferedBody) Close() error { return nil }

func newBody(data []byte, err *APIError) *bufferedBody {
	a := &bufferedBody{data: data, err: err}
	a.Reset(data)
	return a
}

func errorOf(resp *http.Response) *APIError {
	if a, ok := resp.Body.(*bufferedBody); ok {
		return a.err
	}
	return nil
}

func bodyOf(resp *http.Response) []byte {
	if a, ok := resp.Body.(*bufferedBody); ok {
		return a.data
	}
	return nil
}

var errStaleLock = errors.New("the token store's lock was got too long ago to send anything under it")

// timelyBody holds a refresh token. It is asked for when there is a connection, and does not leave
// when that took too long.
type timelyBody struct {
	io.ReadCloser
	cl    *call
	asked bool // later reads, to the end of the body, come when it has left
}

func (b *timelyBody) Read(p []byte) (int, error) {
	if b.asked {
		return b.ReadCloser.Read(p)
	}
	b.asked = true
	now := time.Now()
	if by := b.cl.sendBy; !by.IsZero() && (now.After(by) || now.Round(0).After(by.Round(0))) {
		return 0, errStaleLock
	}
	b.cl.leftAt.Store(int64(now.Sub(b.cl.began)))
	return b.ReadCloser.Read(p)
}

// presented is when the body left, or was about to.
func (cl *call) presented() time.Time { return cl.began.Add(time.Duration(cl.leftAt.Load())) }
