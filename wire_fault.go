package authos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// attemptTimeout is the end of an attempt's own time, which is not the caller's deadline.
type attemptTimeout struct{}

func (attemptTimeout) Error() string        { return "no response within the attempt's timeout" }
func (attemptTimeout) Timeout() bool        { return true }
func (attemptTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

var (
	errAttemptTimeout error = attemptTimeout{}
	errStaleLock            = errors.New("the token store's lock was got too long ago to send anything under it")
	errNotTaken             = errors.New("the server did not take the request")
)

// failed says why there is no response, and whether the request certainly was not processed and may
// be sent again at once. Where the sending has not ended, err is nil: the time was up.
func (w *wireLayer) failed(s *sending, stage string, err error) (_ *http.Response, repeat bool, _ error) {
	cl, l := s.call, s.conn.Load()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	e := &NetworkError{Op: stage, Method: cl.method, Path: cl.path(), Err: err, reused: l != nil && l.reused && !isReset(err)}
	// unsent is what is certain, repeat what another connection would cure.
	switch {
	case l == nil && s.asked.Load(), isDial(err) && !s.moved.Load():
		e.Op, e.unsent = "dial", true
		e.Err = w.throughProxy(s, err)
	case stage == "send" && l != nil && l.nothingWritten():
		e.unsent, repeat = true, true
	}
	switch {
	case cl.Err() != nil:
		e.Err, repeat = contextEnd(cl), false
	case s.timedOut.Load():
		e.Err, repeat = errAttemptTimeout, false
	case s.stale.Load():
		// the token has not left
		e.Op, e.Err, e.unsent, repeat = "refresh", errStaleLock, true, false
	case l != nil && !l.reused && isHandshakeAlert(l.lastWord(err)):
		e.Op, e.Err, e.unsent, repeat = "dial", l.lastWord(err), true, false
	case permanent(err):
		repeat = false
		cl.unknown = cl.unknown || cl.mutation && !e.unsent
	case stage != "send" || l == nil:
	case s.stopped.Load():
		if e.unsent, repeat = s.resendIsSafe(l, e.unsent); e.unsent {
			e.Err = l.whatHappened(errNotTaken)
		} else {
			e.Err, e.reused = l.whatHappened(errResend), e.reused && !l.http2() // it may be a reset
		}
	case isUnprocessed(err, l):
		e.unsent, repeat = true, true
	}
	if errors.Is(e.Err, context.Canceled) && cl.Err() == nil {
		e.Err = foreignCancel{e.Err}
	}
	return nil, repeat, e
}

// resendIsSafe says what follows from net/http's own wish to send a request once more.
func (s *sending) resendIsSafe(l *connection, nothingWritten bool) (unsent, repeat bool) {
	switch {
	case nothingWritten:
		return true, true
	case !l.http2():
		return false, false // it resends reads, whatever has become of them
	case len(s.call.body) > 0, !s.moved.Load():
		// With a body that cannot be wound back it tries again only before it has read of it; and
		// on the same connection only what that connection has refused.
		return true, true
	default:
		// Processed by a server that then said PROTOCOL_ERROR, or refused by GOAWAY: net/http up to
		// Go 1.26 makes no difference.
		return false, s.call.idempotent
	}
}

// nothingWritten reports whether nothing has been written to the connection since the request was
// given it; false where that is not known.
func (l *connection) nothingWritten() bool {
	return l.meter != nil && l.meter.wrote.Load() == l.wrote
}

// whatHappened is the connection's own failure, where it is known.
func (l *connection) whatHappened(otherwise error) error {
	if l.meter != nil && !l.http2() {
		if failure := l.meter.failure.Load(); failure != nil {
			return *failure
		}
	}
	return otherwise
}

// lastWord is what TLS has said on a connection that net/http found closed: the alert of a server
// that refuses a client may come before the request is written, and net/http then reports that it
// could not be. TLS keeps the alert. The connection is closed and nobody's.
func (l *connection) lastWord(err error) error {
	closed := errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "http2: client conn could not be established")
	if l.tls == nil || l.meter == nil || !closed {
		return err
	}
	_ = l.tls.SetReadDeadline(time.Unix(1, 0)) // so that this does not wait, whatever became of it
	if _, alert := l.tls.Read(make([]byte, 1)); isAlert(alert) {
		return alert
	}
	return err
}

// isUnprocessed reports whether a connection was had, and the server certainly did not process the
// request: RFC 9113, sections 8.7 and 6.8, and what net/http says of connections that had ended
// before. Its errors have no types that can be named; a text that is not known is not certain.
func isUnprocessed(err error, l *connection) bool {
	if e, ok := errors.AsType[streamError](err); ok {
		return e.Code == refusedStream
	}
	text := err.Error()
	if slices.ContainsFunc(unprocessedTexts, func(t string) bool { return strings.Contains(text, t) }) {
		return true
	}
	return l.meter == nil && l.reused && saysNothingWritten(err)
}

// saysNothingWritten reports whether net/http says over HTTP/1 that it could write nothing: by a
// type that has no name outside, or by the bare error of the write. Where something has left, it
// says that the connection broke.
func saysNothingWritten(err error) bool {
	if op, ok := err.(*net.OpError); ok && op.Op == "write" { //nolint:errorlint // wrapped, it means something else
		return true
	}
	return reflect.TypeOf(err).String() == "http.nothingWrittenError"
}

// streamError has the fields of the error with which net/http reports RST_STREAM, which it converts
// to any such type.
type streamError struct {
	StreamID uint32
	Code     streamErrorCode
	Cause    error
}

// isReset reports whether the server has ended the stream alone: its connection lives.
func isReset(err error) bool {
	_, reset := errors.AsType[streamError](err)
	// of one whose request had a body
	return reset || err != nil && strings.Contains(err.Error(), "[stream error: ")
}

type streamErrorCode uint32

const refusedStream streamErrorCode = 0x7

func (e streamError) Error() string { return "stream error " + strconv.Itoa(int(e.Code)) }

var unprocessedTexts = []string{
	"http2: Transport received Server's graceful shutdown GOAWAY", // the stream is above its last
	"http2: Transport received GOAWAY from server ErrCode:",       // likewise
	"http2: client conn not usable",
	"http2: client conn could not be established",
	"; REFUSED_STREAM", // of a stream error whose request had a body
	"net/http: cannot rewind body after connection loss", // it had no connection to send it on
	"http: server closed idle connection",                // before the request was written
}

// isDial reports whether an error is about making a connection, whoever reports it.
func isDial(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect")
}

// throughProxy names the proxy in an error of a connection that was to be made through one. A
// transport of the caller's own gives no more than the reason phrase of the proxy's response.
func (w *wireLayer) throughProxy(s *sending, err error) error {
	if err == nil || w.theirs == nil || w.theirs.Proxy == nil || isDial(err) || isTLSRefusal(err) {
		return err
	}
	if proxy, proxyErr := w.theirs.Proxy(&s.req); proxy == nil || proxyErr != nil {
		return err
	}
	for status := http.StatusMultipleChoices; status < 600; status++ {
		if text := http.StatusText(status); text != "" && strings.EqualFold(err.Error(), text) {
			return &proxyRefusal{status: status}
		}
	}
	if err.Error() == "" { // a status without a phrase
		return errProxy
	}
	return fmt.Errorf("%w: %w", errProxy, err)
}

var errProxy = errors.New("the proxy made no connection")

// foreignCancel is a cancellation of the transport's own, which is not the caller's.
type foreignCancel struct{ error }

func (e foreignCancel) Is(target error) bool {
	return target != context.Canceled && errors.Is(e.error, target)
}

func (e foreignCancel) As(target any) bool { return errors.As(e.error, target) }

// isHandshakeAlert reports whether an alert refuses a handshake. TLS 1.3 may send it when the first
// request has left already.
func isHandshakeAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && isAlert(err) && slices.ContainsFunc(handshakeAlerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
}

// handshakeAlerts are those of RFC 8446, section 6.2, that are about who the other side is and what
// it can.
var handshakeAlerts = []tls.AlertError{
	40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 51, 60, 70, 71, 86, 109, 110, 111, 112, 113, 114, 115, 116, 120, 121,
}

// refusedHere reports whether net/http found the request itself unfit to be sent, as with a header
// value that a foreign store or caller has given.
func refusedHere(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "net/http: invalid ")
}
