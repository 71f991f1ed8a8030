package authosotel_test

import (
	"context"
	"fmt"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authosotel"
	"github.com/authos-go/authos/authostest"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func Example() {
	srv := authostest.New()
	defer srv.Close()
	recorder := tracetest.NewSpanRecorder()
	tel, err := authosotel.New(authosotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))))
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := authos.New(srv.URL, append(tel.Options(), authos.WithAPIKey(srv.AddAPIKey()))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if err := tel.Watch(client); err != nil { // the state of the circuits, from the start
		fmt.Println(err)
		return
	}
	_, err = client.Service.Info(context.Background())
	for _, span := range recorder.Ended() {
		fmt.Println(span.SpanKind(), span.Name(), err)
	}
	// Output:
	// client GET /api/service/info <nil>
	// internal GET /api/service/info <nil>
}
