// Command metrics shows what an AuthOS client tells Prometheus and an OpenTelemetry collector. It
// runs offline: the server is authostest, the collector a handler that counts what it gets. In it a
// token expires, the server fails for a moment, and then for good; what was measured is printed at
// the end.
//
//	go run .
//	go run . -serve 127.0.0.1:9464   # stays, with /metrics for a Prometheus to scrape
//
// dashboard.json is a Grafana dashboard of these metrics, alerts.yml has alert rules.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authosotel"
	"github.com/authos-go/authos/authostest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	serve := flag.String("serve", "", "address to serve /metrics on; empty: print and end")
	flag.Parse()
	if err := run(*serve); err != nil {
		log.Fatal(err)
	}
}

func run(serve string) error {
	metrics, traced, err := measure()
	if err != nil {
		return err
	}
	if serve != "" {
		http.Handle("/metrics", metrics)
		fmt.Println("metrics on http://" + serve + "/metrics")
		return http.ListenAndServe(serve, nil)
	}
	show(metrics, traced)
	return nil
}

// measure gives the metrics of a client's day, and whether the collector got spans of it.
func measure() (metrics http.Handler, traced bool, err error) {
	ctx := context.Background()
	var received atomic.Int64 // bytes of spans
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Add(n)
	}))
	defer collector.Close()
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector.URL+"/v1/traces"))
	if err != nil {
		return nil, false, err
	}
	tracers := trace.NewTracerProvider(trace.WithBatcher(spans))
	registry := prometheus.NewRegistry()
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry))
	if err != nil {
		return nil, false, err
	}
	tel, err := authosotel.New(authosotel.WithTracerProvider(tracers), authosotel.WithPropagator(propagation.TraceContext{}),
		authosotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter))))
	if err != nil {
		return nil, false, err
	}

	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	client, err := authos.New(srv.URL, append(tel.Options(), authos.WithCache(authos.CachePolicy{}))...)
	if err != nil {
		return nil, false, err
	}
	defer client.Close()
	if err := tel.Watch(client); err != nil {
		return nil, false, err
	}
	live(ctx, srv, client)

	if err := tracers.Shutdown(ctx); err != nil { // sends what is left
		return nil, false, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), received.Load() > 0, nil
}

// live is the client's day: each call may fail, and is measured.
func live(ctx context.Context, srv *authostest.Server, client *authos.Client) {
	_, _ = client.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse", Install: true})
	_, _ = client.Organizations.List(ctx, authos.OrganizationListParams{})
	srv.ExpireAccessTokens()
	srv.Fault(authostest.Fault{Path: "/api/organizations", Times: 1, Status: http.StatusBadGateway})
	_, _ = client.Organizations.List(ctx, authos.OrganizationListParams{}) // a retry and a refresh
	_, _ = client.Organizations.Get(ctx, "nobody")
	srv.Outage(http.StatusServiceUnavailable)
	for range 5 {
		_, _ = client.Organizations.List(ctx, authos.OrganizationListParams{}) // stale
	}
}

// show prints the counts and states; buckets are left out.
func show(metrics http.Handler, traced bool) {
	w := httptest.NewRecorder()
	metrics.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var lines []string
	for scanner := bufio.NewScanner(w.Body); scanner.Scan(); {
		line := scanner.Text()
		if strings.HasPrefix(line, "authos_") && !strings.Contains(line, "_bucket") && !strings.Contains(line, "_sum") {
			name, value, _ := strings.Cut(line, "} ")
			name, labels, _ := strings.Cut(name, "{")
			ours := slices.DeleteFunc(strings.Split(labels, ","), func(s string) bool { return strings.HasPrefix(s, "otel_scope") })
			labels = strings.Join(ours, " ")
			lines = append(lines, fmt.Sprintf("%-48s %4s  %s", name, value, labels))
		}
	}
	fmt.Println(strings.Join(lines, "\n"))
	fmt.Println("the collector got spans:", traced)
}
