package authosotel

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Transport makes a CLIENT span and a duration of each request that goes through base. It belongs
// directly around the connections, below the client: a request is one sending there.
// [Telemetry.Options] puts it there.
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	return &transport{t, base}
}

type transport struct {
	t    *Telemetry
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (rt *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, start := req.Context(), time.Now()
	info, _ := ctx.Value(callKey{}).(*callInfo)
	route, resends := "", 0
	if info != nil {
		route, resends, info.sends = info.route, info.sends, info.sends+1
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() || !span.SpanContext().IsValid() {
		// Below a call that is not sampled no span would be either, and the call's own context is
		// sent.
		name := method(req.Method)
		if route != "" {
			name = rt.t.names.of(req.Method, route)
		}
		ctx, span = rt.t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
		defer span.End()
	} else {
		span = trace.SpanFromContext(context.Background())
	}
	// The header is a copy, since a RoundTripper must leave the request it was given as it is.
	out := req.WithContext(ctx)
	out.Header = make(http.Header, len(req.Header)+2)
	maps.Copy(out.Header, req.Header)
	rt.t.propagator.Inject(ctx, propagation.HeaderCarrier(out.Header))
	resp, err := rt.base.RoundTrip(out)

	status, version, failure := 0, "", ""
	switch {
	case err != nil:
		failure = transportError(ctx, err)
	default:
		status, version = resp.StatusCode, protocolVersion(resp)
		if status >= http.StatusBadRequest {
			failure = statusType(status)
		}
	}
	metered := rt.t.requests.Inst().Enabled(ctx)
	if !metered && !span.IsRecording() {
		return resp, err
	}
	key := setKey{
		method: method(req.Method), route: route, status: status, failure: failure,
		address: req.URL.Hostname(), port: port(req.URL), version: version,
	}
	if metered {
		rt.t.requests.Inst().Record(ctx, time.Since(start).Seconds(), rt.t.sets.of(key)...)
	}
	if span.IsRecording() {
		span.SetAttributes(key.attributes()...)
		span.SetAttributes(semconv.URLFull(fullURL(req.URL)))
		if resends > 0 {
			span.SetAttributes(semconv.HTTPRequestResendCount(resends))
		}
		if failure != "" && failure != "canceled" {
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}

// statusType is the value of error.type for a response: its status, as the conventions want it.
func statusType(status int) string { return strconv.Itoa(status) }

func transportError(ctx context.Context, err error) string {
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout():
		return "timeout"
	}
	return "network"
}

// protocolVersion is "1.1", "2" or "3".
func protocolVersion(resp *http.Response) string {
	if resp.ProtoMajor == 1 {
		return "1." + strconv.Itoa(resp.ProtoMinor)
	}
	return strconv.Itoa(resp.ProtoMajor)
}

func port(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// fullURL leaves out what may be a secret: user, query and fragment.
func fullURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
