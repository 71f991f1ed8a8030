package authosotel

import (
	"context"
	"errors"
	"net/http"

	"github.com/authos-go/authos"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/authos-go/authos/authosotel"

// Telemetry makes spans and metrics of what clients do. One may serve several clients.
type Telemetry struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	meter      metric.Meter

	names nameCache
	sets  setCache

	requests  httpconv.ClientRequestDuration
	calls     metric.Float64Histogram
	attempts  metric.Int64Histogram
	waits     metric.Float64Histogram
	refreshes metric.Int64Counter
	states    metric.Int64ObservableGauge
	stale     metric.Float64Histogram
}

// Option changes where telemetry goes.
type Option func(*options)

type options struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
}

// WithTracerProvider sends spans to p. Default: the global provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.tracers = p } }

// WithMeterProvider sends metrics to p. Default: the global provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(o *options) { o.meters = p } }

// WithPropagator writes the span's context into each request with p. Default: the global
// propagator.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(o *options) { o.propagator = p }
}

// New makes a Telemetry. It returns an error where the meter refuses an instrument.
func New(opts ...Option) (*Telemetry, error) {
	o := options{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), propagator: otel.GetTextMapPropagator()}
	for _, set := range opts {
		set(&o)
	}
	t := &Telemetry{
		tracer:     o.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:      o.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.propagator,
	}
	return t, t.instruments()
}

// seconds are the bounds of the buckets of durations: those of the HTTP conventions, and two more
// for waits.
var seconds = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)

func (t *Telemetry) instruments() error {
	var failed []error
	note := func(err error) { failed = append(failed, err) }
	var err error
	t.requests, err = httpconv.NewClientRequestDuration(t.meter)
	note(err)
	t.calls, err = t.meter.Float64Histogram("authos.client.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of calls, waits included."), seconds)
	note(err)
	t.attempts, err = t.meter.Int64Histogram("authos.client.call.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts of each call."), metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 4, 8))
	note(err)
	t.waits, err = t.meter.Float64Histogram("authos.client.wait.duration", metric.WithUnit("s"),
		metric.WithDescription("Waits before attempts."), seconds)
	note(err)
	t.refreshes, err = t.meter.Int64Counter("authos.client.refreshes", metric.WithUnit("{refresh}"),
		metric.WithDescription("Token refreshes by outcome."))
	note(err)
	t.states, err = t.meter.Int64ObservableGauge("authos.client.breaker.state",
		metric.WithDescription("State of each circuit: 0 closed, 1 half-open, 2 open."))
	note(err)
	t.stale, err = t.meter.Float64Histogram("authos.client.stale.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the stale responses that were served."),
		metric.WithExplicitBucketBoundaries(1, 5, 15, 30, 60, 120, 300, 600))
	note(err)
	return errors.Join(failed...)
}

// Options connects a client: the observer, and around its connections the spans of requests.
func (t *Telemetry) Options() []authos.Option {
	return []authos.Option{authos.WithMiddleware(t.Transport), authos.WithObserver(t.Observer())}
}

// Watch observes the client's circuits whenever metrics are collected, from the first collection
// on.
func (t *Telemetry) Watch(c *authos.Client) error {
	_, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for group, state := range c.BreakerStates() {
			o.ObserveInt64(t.states, stateValue(state), metric.WithAttributes(attribute.String("authos.breaker.group", group)))
		}
		return nil
	}, t.states)
	return err
}

func stateValue(s authos.BreakerState) int64 {
	switch s {
	case authos.BreakerOpen:
		return 2
	case authos.BreakerHalfOpen:
		return 1
	case authos.BreakerClosed:
	}
	return 0
}

// Observer is the observer of one or several clients. Give it to [authos.WithObserver], with others
// by [authos.Observers].
func (t *Telemetry) Observer() *authos.Observer {
	return &authos.Observer{
		CallStart: t.callStart,
		CallDone:  t.callDone,
		Wait:      t.wait,
		Refresh:   t.refresh,
		Breaker:   t.breaker,
		Stale:     t.served,
	}
}

// callInfo is what the transport needs to know of the call that a request belongs to. It is the
// call's context, so that knowing it costs no allocation of its own. One goroutine at a time works
// on a call.
type callInfo struct {
	context.Context
	route string
	sends int
}

type callKey struct{}

// Value implements [context.Context].
func (i *callInfo) Value(key any) any {
	if key == (callKey{}) {
		return i
	}
	return i.Context.Value(key)
}

func (t *Telemetry) callStart(ctx context.Context, e authos.CallStart) context.Context {
	ctx, span := t.tracer.Start(ctx, t.names.of(e.Method, e.Route))
	if span.IsRecording() {
		span.SetAttributes(semconv.HTTPRequestMethodKey.String(method(e.Method)), semconv.URLTemplate(e.Route))
	} else if !t.requests.Inst().Enabled(ctx) {
		return ctx // nobody will ask
	}
	return &callInfo{Context: ctx, route: e.Route}
}

func (t *Telemetry) callDone(ctx context.Context, e authos.CallDone) {
	failure := errorType(e.Err)
	if t.calls.Enabled(ctx) || t.attempts.Enabled(ctx) {
		set := t.sets.of(setKey{method: method(e.Method), route: e.Route, status: e.StatusCode, failure: failure, stale: e.Stale})
		t.calls.Record(ctx, e.Duration.Seconds(), set...)
		t.attempts.Record(ctx, int64(e.Attempts), set...)
	}
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("authos.attempts", e.Attempts), attribute.Bool("authos.refreshed", e.Refreshed),
			attribute.Bool("authos.stale", e.Stale), attribute.String("authos.request_id", e.RequestID))
		if e.StatusCode != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(e.StatusCode))
		}
		if failure != "" {
			span.SetAttributes(semconv.ErrorTypeKey.String(failure))
		}
		if failure != "" && !errors.Is(e.Err, context.Canceled) {
			span.SetStatus(codes.Error, failure)
		}
	}
	span.End()
}

func (t *Telemetry) wait(ctx context.Context, e authos.WaitEvent) {
	reason := attribute.String("authos.wait.reason", e.Reason)
	t.waits.Record(ctx, e.Wait.Seconds(), metric.WithAttributes(reason))
	trace.SpanFromContext(ctx).AddEvent("wait", trace.WithAttributes(reason, attribute.Float64("authos.wait.duration", e.Wait.Seconds())))
}

func (t *Telemetry) refresh(e authos.RefreshEvent) {
	outcome := "refreshed"
	switch {
	case e.Err != nil:
		outcome = "failed"
	case e.Unsaved != nil:
		outcome = "unsaved"
	case e.Adopted:
		outcome = "adopted"
	}
	t.refreshes.Add(context.Background(), 1, metric.WithAttributes(attribute.String("authos.refresh.outcome", outcome)))
}

// breaker has nothing to count: the gauge reads the states. It makes a short change visible as a
// span.
func (t *Telemetry) breaker(e authos.BreakerEvent) {
	_, span := t.tracer.Start(context.Background(), "circuit "+string(e.To), trace.WithAttributes(
		attribute.String("authos.breaker.group", e.Group), attribute.String("authos.breaker.from", string(e.From))))
	span.End()
}

func (t *Telemetry) served(ctx context.Context, e authos.StaleEvent) {
	t.stale.Record(ctx, e.Age.Seconds(), metric.WithAttributes(semconv.URLTemplate(e.Route)))
	trace.SpanFromContext(ctx).AddEvent("stale response served", trace.WithAttributes(
		attribute.Float64("authos.stale.age", e.Age.Seconds()), semconv.ErrorTypeKey.String(errorType(e.Cause))))
}

// errorType is a bounded name of an error: the server's code where this package knows it, else the
// status, else the kind of failure. It is empty for nil.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.Canceled) {
		return "canceled"
	}
	for _, kind := range []struct {
		is   error
		name string
	}{
		{authos.ErrSessionExpired, "session_expired"}, {authos.ErrCircuitOpen, "circuit_open"},
		{context.DeadlineExceeded, "timeout"}, {authos.ErrNetwork, "network"},
	} {
		if errors.Is(err, kind.is) {
			return kind.name
		}
	}
	if api, ok := errors.AsType[*authos.APIError](err); ok {
		if _, known := authos.Explain(api.Code); known {
			return string(api.Code)
		}
		return statusType(api.StatusCode)
	}
	switch {
	case errors.Is(err, authos.ErrRateLimited):
		return "rate_limited"
	case errors.Is(err, authos.ErrInvalid):
		return "invalid"
	case errors.Is(err, authos.ErrUnauthenticated):
		return "session"
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// method is the value of http.request.method: "_OTHER" where the conventions do not know it, so
// that nobody can make as many values as they like.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodConnect, http.MethodTrace, "QUERY":
		return m
	}
	return "_OTHER"
}
