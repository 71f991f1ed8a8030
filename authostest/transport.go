package authostest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"syscall"
	"time"
)

// maxBody is the server's limit for request bodies, in bytes. In October 2025 there
// was only that of the web framework.
func (s *Server) maxBody() int64 {
	if s.config.contract == October2025 {
		return 2 << 20
	}
	return 1 << 20
}

// bodyLimit is how much of a request's body is read.
func (s *Server) bodyLimit(r *http.Request) int64 {
	if r.URL != nil && s.controlled(r) {
		return maxControlBody
	}
	return s.maxBody()
}

// Transport reaches the server in memory, whatever the host of the request's URL.
// Requests run in the caller's goroutine, so it works inside synctest bubbles.
// While a request is delayed or hangs, the end of its context ends it with
// ctx.Err().
func (s *Server) Transport() http.RoundTripper {
	s.reached.Store(true)
	return (*memory)(s)
}

type memory Server

// RoundTrip implements [http.RoundTripper].
func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	s, ctx := (*Server)(m), req.Context()
	if err := ctx.Err(); err != nil {
		closeBody(req)
		return nil, err
	}
	if req.URL == nil {
		closeBody(req)
		return nil, errors.New("authostest: nil Request.URL")
	}
	if err := s.lose(); err != nil {
		closeBody(req)
		return nil, err
	}
	if a, refused := s.refuseUnread(req); refused {
		closeBody(req)
		s.mu.Lock()
		s.lost = append(s.lost, io.EOF)
		s.mu.Unlock()
		return s.httpResponse(req, delivery{response: a}), nil
	}
	body, tooLarge, err := takeBody(ctx, req, s.bodyLimit(req))
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := s.serve(req, body, tooLarge)
	switch {
	case errors.Is(d.err, errDown):
		return nil, refused()
	case errors.Is(d.err, errClosed), d.kind == ResetBefore, d.kind == ResetAfter, d.kind == GoAwayBefore:
		return nil, reset()
	case d.kind == Silence:
		if err := s.wait(ctx, forever); errors.Is(err, errClosed) {
			return nil, reset()
		}
		return nil, ctx.Err()
	case d.err != nil:
		return nil, d.err
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.Got1xxResponse != nil {
		for _, status := range d.interim {
			if !isInterim(status) {
				continue
			}
			if err := trace.Got1xxResponse(status, textproto.MIMEHeader{}); err != nil {
				return nil, err
			}
		}
	}
	if d.kind == SlowHeader {
		if err := s.wait(ctx, 7*d.pause); err != nil {
			return nil, cmp.Or(ctx.Err(), reset())
		}
	}
	return s.httpResponse(req, d), nil
}

// httpResponse dresses a response up as [http.Transport] would.
func (s *Server) httpResponse(req *http.Request, d delivery) *http.Response {
	a := d.response
	resp := &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		Body:          http.NoBody,
		ContentLength: int64(len(a.body)),
		Request:       req,
	}
	for name, values := range resp.Header {
		if len(values) == 0 {
			delete(resp.Header, name)
		}
	}
	if len(a.body) == 0 || req.Method == http.MethodHead {
		return resp
	}
	switch d.kind {
	case TruncateBody:
		resp.Body = &bodyReader{rest: a.body[:len(a.body)/2], end: io.ErrUnexpectedEOF}
	case SlowBody:
		resp.Body = newSlowBody(req.Context(), s, a.body, d.pause)
	default:
		resp.Body = &bodyReader{rest: a.body, end: io.EOF}
	}
	return resp
}

// bodyReader is a response body that has arrived, whole or in part.
type bodyReader struct {
	rest []byte
	end  error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, b.end
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *bodyReader) Close() error {
	b.rest, b.end = nil, http.ErrBodyReadAfterClose
	return nil
}

// slowBody waits in the reader's own goroutine, so that a body nobody reads costs
// nothing and leaves nothing behind.
type slowBody struct {
	s      *Server
	client context.Context // the request's
	ctx    context.Context // ends with client, or by Close
	cancel context.CancelFunc
	pause  time.Duration
	chunks [][]byte
	fresh  bool // the current chunk has not been waited for
}

func newSlowBody(ctx context.Context, s *Server, body []byte, pause time.Duration) *slowBody {
	b := &slowBody{s: s, client: ctx, pause: pause, chunks: chunks(body)}
	b.ctx, b.cancel = context.WithCancel(ctx)
	return b
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.chunks) == 0 {
		b.cancel()
		return 0, io.EOF
	}
	if err := b.ctx.Err(); err != nil {
		return 0, b.explain(err)
	}
	if b.fresh {
		if err := b.s.wait(b.ctx, b.pause); err != nil {
			return 0, b.explain(err)
		}
		b.fresh = false
	}
	n := copy(p, b.chunks[0])
	b.chunks[0] = b.chunks[0][n:]
	if len(b.chunks[0]) == 0 {
		b.chunks, b.fresh = b.chunks[1:], true
	}
	return n, nil
}

func (b *slowBody) explain(err error) error {
	switch {
	case errors.Is(err, errClosed):
		return io.ErrUnexpectedEOF
	case b.client.Err() != nil:
		return b.client.Err()
	default:
		return http.ErrBodyReadAfterClose
	}
}

func (b *slowBody) Close() error {
	b.cancel()
	return nil
}

// chunks cuts a body into at most eight pieces.
func chunks(body []byte) [][]byte {
	size := (len(body) + 7) / 8
	var out [][]byte
	for len(body) > size {
		out = append(out, body[:size])
		body = body[size:]
	}
	return append(out, body)
}

// takeBody reads and closes the request's body. A body of known length is taken
// to be at hand and read on the spot; a stream might block for ever, so it is
// read on the side, and closing it ends that when the client gives up.
func takeBody(ctx context.Context, req *http.Request, maxBody int64) ([]byte, bool, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, false, nil
	}
	if req.ContentLength > 0 {
		defer closeBody(req)
		return readBody(req.Body, req.ContentLength, maxBody)
	}
	type result struct {
		body     []byte
		tooLarge bool
		err      error
	}
	done := make(chan result, 1)
	go func() {
		body, tooLarge, err := readBody(req.Body, 0, maxBody)
		done <- result{body, tooLarge, err}
	}()
	defer closeBody(req)
	select {
	case got := <-done:
		return got.body, got.tooLarge, got.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// readBody reads as much as the server accepts, and says whether there was more.
func readBody(body io.Reader, length, maxBody int64) ([]byte, bool, error) {
	if body == nil {
		return nil, false, nil
	}
	if length > 0 && length <= maxBody {
		buf := make([]byte, length)
		_, err := io.ReadFull(body, buf)
		return buf, false, err
	}
	buf, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, false, err
	}
	return buf[:min(int64(len(buf)), maxBody)], int64(len(buf)) > maxBody, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // a request body's Close has nobody to report to
	}
}

// reset and refused are shaped like the errors of package net.
func reset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}
