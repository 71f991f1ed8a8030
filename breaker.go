package authos

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
	"weak"
)

// newBreakerLayer makes the layer also where the breaker is disabled: it refuses nothing then, but
// tells connections that are lost together from failures, which the retry budget asks for.
func newBreakerLayer(all *breakers, s *session, next http.RoundTripper) http.RoundTripper {
	return &breakerLayer{all: all, session: weak.Make(s), next: next}
}

// breakerLayer notes how each attempt ended, and refuses it while its group's circuit is open.
type breakerLayer struct {
	all     *breakers
	session weak.Pointer[session]
	next    http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *breakerLayer) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	cl := callOf(req)
	group := b.all.of(cl.group)
	admitted, refused := group.admit(b.all.principalOf(cl, b.session))
	b.all.deliver() // half-open is news before its probe has ended
	if refused != nil {
		return nil, refused
	}
	end := ending{verdict: verdictNone} // what a panicking transport leaves behind
	defer func() {
		cl.excused, cl.crowded = group.end(admitted, end)
		b.all.deliver()
	}()
	cl.probe = admitted.probe
	start := time.Now()
	resp, err = b.next.RoundTrip(req)
	end = endingOf(cl, resp, err, time.Since(start))
	return resp, err
}

// verdict is what an attempt tells about the server.
type verdict int

const (
	verdictNone    verdict = iota // nothing
	verdictGood                   // it is alive
	verdictLimited                // it is alive, and refuses at present
	verdictFailed
	verdictLost // failed, unless the connection was lost together with others
)

// ending is how an attempt ended.
type ending struct {
	verdict verdict
	status  int           // of a failure; 0: no response
	code    Code          // likewise
	asked   time.Duration // how long a 503 asks to stay away
	reused  bool          // a loss was that of a connection which had carried requests before
}

// endingOf says what an attempt tells about the server.
func endingOf(cl *call, resp *http.Response, err error, took time.Duration) ending {
	if err != nil {
		return endingOfError(cl, err, took)
	}
	api := errorOf(resp)
	if api == nil {
		return ending{verdict: verdictGood}
	}
	status := api.effectiveStatus()
	switch {
	case status == http.StatusTooManyRequests:
		return ending{verdict: verdictLimited}
	case status < 500, status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported,
		api.coded && slices.Contains(foreignFailures, api.Code), notConfigured(cl.route, api):
		return ending{verdict: verdictGood}
	}
	e := ending{verdict: verdictFailed, status: api.StatusCode, code: api.Code}
	if status == http.StatusServiceUnavailable {
		e.asked = api.RetryAfter
	}
	return e
}

func endingOfError(cl *call, err error, took time.Duration) ending {
	ne, ok := err.(*NetworkError) //nolint:errorlint // the wire's own, never wrapped
	switch {
	case errors.Is(cl.Err(), context.Canceled) && !cl.impatient():
		return ending{verdict: verdictNone}
	case cl.over() && took < time.Second:
		// a deadline that short says more about the caller than about the server
		return ending{verdict: verdictNone}
	case !ok:
		return ending{verdict: verdictGood} // a response came, though it could not be used
	case errors.Is(ne.Err, errStaleLock) || refusedHere(ne.Err):
		return ending{verdict: verdictNone}
	case ne.lost():
		return ending{verdict: verdictLost, reused: ne.reused}
	default:
		return ending{verdict: verdictFailed}
	}
}

// over reports whether the call's time is up: the caller's, or the policy's MaxElapsed.
func (cl *call) over() bool {
	return cl.Err() != nil || cl.most > 0 && time.Since(cl.start) >= cl.most
}

// lost reports whether a connection broke under a request: nothing else is known to be wrong, not
// the address, the certificate or the server's speed.
func (e *NetworkError) lost() bool { return e.Op != "dial" && !e.Timeout() && !permanent(e.Err) }
