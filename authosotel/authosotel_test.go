package authosotel_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authosotel"
	"github.com/authos-go/authos/authostest"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// bench is a fake server, a client with telemetry, and what it recorded.
type bench struct {
	srv    *authostest.Server
	client *authos.Client
	tel    *authosotel.Telemetry
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func newBench(t *testing.T, opts ...authos.Option) *bench {
	t.Helper()
	b := &bench{srv: authostest.New(), spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	t.Cleanup(b.srv.Close)
	tel, err := authosotel.New(
		authosotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(b.spans))),
		authosotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))),
		authosotel.WithPropagator(propagation.TraceContext{}))
	if err != nil {
		t.Fatal(err)
	}
	b.tel = tel
	b.srv.AddUser("ada@example.com", "correct horse")
	tokens := b.srv.SignIn("ada@example.com")
	opts = append([]authos.Option{
		authos.WithTokens(authos.Tokens{AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken}),
		authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Microsecond}),
	}, append(opts, tel.Options()...)...)
	if b.client, err = authos.New(b.srv.URL, opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.client.Close() })
	return b
}

func attrs(s sdktrace.ReadOnlySpan) map[string]string {
	m := map[string]string{}
	for _, kv := range s.Attributes() {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

// The retry and the resend after a refresh are spans of their own below the call's, and tell the
// server so.
func TestSpans(t *testing.T) {
	b := newBench(t)
	b.srv.ExpireAccessTokens()
	b.srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Status: http.StatusBadGateway})
	if _, err := b.client.User.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	var call sdktrace.ReadOnlySpan
	var sent []sdktrace.ReadOnlySpan
	for _, s := range b.spans.Ended() {
		switch {
		case s.SpanKind() == trace.SpanKindInternal && s.Name() == "GET /api/user":
			call = s
		case s.SpanKind() == trace.SpanKindClient && s.Name() == "GET /api/user":
			sent = append(sent, s)
		}
	}
	if call == nil || len(sent) != 3 {
		t.Fatalf("call span %v, %d request spans, want 3", call, len(sent))
	}
	if got := attrs(call); got["url.template"] != "/api/user" || got["http.response.status_code"] != "200" || got["authos.attempts"] != "2" ||
		got["authos.refreshed"] != "true" || got["error.type"] != "" || call.Status().Code != codes.Unset {
		t.Errorf("call span: %v, %v", got, call.Status())
	}
	for i, want := range []struct{ status, resend, failure string }{{"502", "", "502"}, {"401", "1", "401"}, {"200", "2", ""}} {
		got := attrs(sent[i])
		if got["http.response.status_code"] != want.status || got["http.request.resend_count"] != want.resend || got["error.type"] != want.failure {
			t.Errorf("request %d: %v, want %+v", i, got, want)
		}
		if (sent[i].Status().Code == codes.Error) != (want.failure != "") {
			t.Errorf("request %d has status %v", i, sent[i].Status())
		}
		if sent[i].Parent().SpanID() != call.SpanContext().SpanID() {
			t.Errorf("request %d is not below the call", i)
		}
		if got["server.address"] != "127.0.0.1" || got["server.port"] == "" || got["network.protocol.version"] != "1.1" ||
			!strings.HasPrefix(got["url.full"], b.srv.URL+"/api/user") || got["http.request.method"] != "GET" {
			t.Errorf("request %d: %v", i, got)
		}
	}
	var parents []string
	for _, r := range b.srv.Requests() {
		if r.Path == "/api/user" {
			parents = append(parents, r.Header.Get("Traceparent"))
		}
	}
	for i, p := range parents {
		if !strings.Contains(p, sent[i].SpanContext().SpanID().String()) {
			t.Errorf("request %d carried %q, want span %s", i, p, sent[i].SpanContext().SpanID())
		}
	}
}

// Names and units of what is recorded, as the conventions and doc.go have them.
func TestMetrics(t *testing.T) {
	b := newBench(t, authos.WithCache(authos.CachePolicy{}), authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 4}))
	if err := b.tel.Watch(b.client); err != nil {
		t.Fatal(err)
	}
	b.srv.ExpireAccessTokens()
	ctx := t.Context()
	if _, err := b.client.Organizations.List(ctx, authos.OrganizationListParams{}); err != nil {
		t.Fatal(err)
	}
	before := b.collect(t)
	if got := gauge(before, "organizations"); got != 0 {
		t.Errorf("a closed circuit reads %d", got)
	}
	b.srv.Outage(http.StatusServiceUnavailable)
	var r authos.Response
	if _, err := b.client.Organizations.List(ctx, authos.OrganizationListParams{}, authos.WithResponse(&r)); err != nil || !r.Stale {
		t.Fatalf("List = %v, stale %t", err, r.Stale)
	}
	after := b.collect(t)
	units := map[string]string{}
	for name, m := range after {
		units[name] = m.Unit
	}
	for name, unit := range map[string]string{
		"http.client.request.duration": "s", "authos.client.call.duration": "s", "authos.client.call.attempts": "{attempt}",
		"authos.client.wait.duration": "s", "authos.client.refreshes": "{refresh}", "authos.client.breaker.state": "", "authos.client.stale.age": "s",
	} {
		if got, ok := units[name]; !ok || got != unit {
			t.Errorf("%s: unit %q, there %t; want %q", name, got, ok, unit)
		}
	}
	if got := gauge(after, "organizations"); got != 2 {
		t.Errorf("an open circuit reads %d", got)
	}
	refreshes, ok := after["authos.client.refreshes"].Data.(metricdata.Sum[int64])
	if !ok || len(refreshes.DataPoints) != 1 || refreshes.DataPoints[0].Value != 1 {
		t.Errorf("refreshes %+v", refreshes)
	}
}

func (b *bench) collect(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := b.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, s := range data.ScopeMetrics {
		for _, m := range s.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

func gauge(all map[string]metricdata.Metrics, group string) int64 {
	data, _ := all["authos.client.breaker.state"].Data.(metricdata.Gauge[int64])
	for _, p := range data.DataPoints {
		if v, ok := p.Attributes.Value("authos.breaker.group"); ok && v.AsString() == group {
			return p.Value
		}
	}
	return -1
}

// A call that its caller gives up is no failure; one that meets an error is, by the code.
func TestStatus(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBench(t, authos.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/api/user" {
				cancel() // while the request is on its way
			}
			return next.RoundTrip(req)
		})
	}))
	b.srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Delay: time.Minute})
	if _, err := b.client.User.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := b.client.Organizations.Get(t.Context(), "nobody"); !errors.Is(err, authos.ErrNotFound) {
		t.Fatal(err)
	}
	found := 0
	for _, s := range b.spans.Ended() {
		if s.SpanKind() != trace.SpanKindInternal {
			continue
		}
		found++
		got := attrs(s)["error.type"]
		switch s.Name() {
		case "GET /api/user":
			if got != "canceled" || s.Status().Code != codes.Unset {
				t.Errorf("canceled: %q, %v", got, s.Status())
			}
		case "GET /api/organizations/:org_slug":
			if got != "NOT_FOUND" || s.Status().Code != codes.Error || s.Status().Description != "NOT_FOUND" {
				t.Errorf("not found: %q, %v", got, s.Status())
			}
		}
	}
	if found != 2 {
		t.Errorf("%d call spans, want 2", found)
	}
}

// Nothing that is recorded holds a secret, an id in clear or a query.
func TestNoSecrets(t *testing.T) {
	b := newBench(t)
	_, _ = b.client.Auth.Login(t.Context(), authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	_ = b.client.Do(t.Context(), "GET", "/api/user?token=hunter2", nil, nil)
	var texts []string
	for _, s := range b.spans.Ended() {
		texts = append(texts, s.Name(), s.Status().Description)
		for _, kv := range s.Attributes() {
			texts = append(texts, kv.Value.String())
		}
		for _, e := range s.Events() {
			texts = append(texts, e.Name)
			for _, kv := range e.Attributes {
				texts = append(texts, kv.Value.String())
			}
		}
	}
	held, err := b.client.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"correct horse", "hunter2", "ada@", held.AccessToken, held.RefreshToken} {
		if i := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, secret) }); i >= 0 {
			t.Errorf("%q is in %q", secret, texts[i])
		}
	}
}

// What telemetry adds to a call whose trace is not sampled, beyond what OpenTelemetry itself takes
// to start a span and to write its context into a header: above all one copy of the request and of
// its headers.
func TestAllocationsUnsampled(t *testing.T) {
	const most = 5
	measure := func(opts ...authos.Option) float64 {
		ok := roundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
				Body: http.NoBody, Request: req,
			}, nil
		})
		c, err := authos.New("https://authos.test", append(opts, authos.WithHTTPClient(&http.Client{Transport: ok}), authos.WithAPIKey("sk_key_0123456789"))...)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		return testing.AllocsPerRun(200, func() { _ = c.Do(ctx, "GET", "/api/service/things", nil, nil) })
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	tel, err := authosotel.New(authosotel.WithTracerProvider(tracers),
		authosotel.WithMeterProvider(noop.NewMeterProvider()), authosotel.WithPropagator(propagation.TraceContext{}))
	if err != nil {
		t.Fatal(err)
	}
	header, tracer := http.Header{}, tracers.Tracer("test")
	own := testing.AllocsPerRun(200, func() {
		ctx, span := tracer.Start(context.Background(), "GET /")
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
		span.End()
	})
	plain, traced := measure(), measure(tel.Options()...)
	t.Logf("%.0f allocations without telemetry, %.0f with, %.0f of them OpenTelemetry's own", plain, traced, own)
	if traced-plain-own > most {
		t.Errorf("telemetry adds %.0f allocations of its own to a call, want at most %d", traced-plain-own, most)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
