package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"syscall"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/jitter"
)

const path = "/api/service/info"

// ours is a client of this repository with its default policies, but for the attempt's timeout,
// which all rules share. Each tenant has a key of its own.
type ours struct{ tenants [tenants]*authos.Client }

func newOurs(more ...authos.Option) func(*wire) (client, error) {
	return func(w *wire) (client, error) {
		opts := append([]authos.Option{
			authos.WithAPIKey(key(0)), authos.WithHTTPClient(&http.Client{Transport: &transport{wire: w}}),
			authos.WithRetry(authos.RetryPolicy{AttemptTimeout: attemptTimeout}),
			authos.WithBreaker(authos.BreakerPolicy{OnStateChange: func(_ string, from, to authos.BreakerState) {
				w.fleet.result.opened(w.fleet.now(), from == authos.BreakerOpen, to == authos.BreakerOpen)
			}}),
		}, more...)
		c, err := authos.New("https://authos.example", opts...)
		if err != nil {
			return nil, err
		}
		o := &ours{}
		o.tenants[0] = c
		for i := 1; i < tenants; i++ {
			if o.tenants[i], err = c.With(authos.WithAPIKey(key(i))); err != nil {
				return nil, err
			}
		}
		return o, nil
	}
}

func key(tenant int) string { return "sk_" + strconv.Itoa(tenant) + "_secret" }

type seqKey struct{}

func (o *ours) call(ctx context.Context, seq uint64, tenant int) ending {
	var resp authos.Response
	err := o.tenants[tenant].Do(context.WithValue(ctx, seqKey{}, seq), http.MethodGet, path, nil, nil, authos.WithResponse(&resp))
	switch {
	case err == nil && resp.Stale:
		return endedStale
	case err == nil:
		return endedWell
	case errors.Is(err, authos.ErrCircuitOpen):
		return endedRefused
	}
	return endedBadly
}

func (o *ours) close() { _ = o.tenants[0].Close() }

// transport makes responses of outcomes.
type transport struct{ wire *wire }

// Jitter implements [jitter.Transport]: each client has a sequence of its own.
func (t *transport) Jitter() *jitter.Source {
	return jitter.Seeded(t.wire.fleet.config.Seed, 1000+uint64(t.wire.client))
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Reused: true})
	}
	seq, _ := ctx.Value(seqKey{}).(uint64)
	tenant, _ := strconv.Atoi(strings.Split(req.Header.Get("X-Api-Key"), "_")[1])
	out := t.wire.send(ctx, seq, tenant)
	switch {
	case out.timedOut:
		return nil, ctx.Err()
	case out.status == 0:
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return out.response(req), nil
}

func (o outcome) response(req *http.Request) *http.Response {
	body, kind := "{}", "application/json"
	switch {
	case o.page:
		body, kind = "<html>", "text/html"
	case !o.good():
		body = `{"error":"not now","error_code":"` + codes[o.status] + `"}`
	}
	h := http.Header{"Content-Type": {kind}}
	if o.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(o.wait.Seconds())))
	}
	return &http.Response{
		StatusCode: o.status, Status: http.StatusText(o.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

var codes = map[int]string{408: "TIMEOUT", 429: "RATE_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR", 503: "SERVICE_UNAVAILABLE"}
