// Webhook shows a receiver of AuthOS events that lives through what receivers meet: an event that
// cannot be handled at once, a forged delivery, a late one, and a replay. It starts a fake AuthOS
// in process, so it runs offline:
//
//	go run ./examples/webhook
//
// With AUTHOS_WEBHOOK_SECRETS set to a webhook's secret (while it is replaced: the new and the old
// one, with a comma between), it waits on port 8080 for the deliveries of a real server instead,
// until it is interrupted.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// show is the program behind the receiver. Were it to return an error, the server would deliver the
// event again.
func show(_ context.Context, e webhook.Event) error {
	fmt.Printf("     program    handled %s of %s: %s\n", e.Type, e.Timestamp.Format(time.DateTime), e.Data)
	return nil
}

func main() {
	if secrets := os.Getenv("AUTHOS_WEBHOOK_SECRETS"); secrets != "" {
		verifier := webhook.Verifier{Secrets: strings.Split(secrets, ","), Logger: slog.Default()}
		receiver := http.Server{Addr: ":8080", Handler: verifier.Handler(show), ReadTimeout: 10 * time.Second}
		log.Fatal(receiver.ListenAndServe())
	}
	line := &line{done: make(chan http.Header)}
	srv := authostest.New(authostest.WithWebhookTransport(line))
	defer srv.Close()
	_, secret := srv.AddWebhook("acme", "https://app.example/hooks/authos", "subscription.created")
	calls := 0
	verifier := webhook.Verifier{Secrets: webhook.Secrets{secret}}
	line.receiver = verifier.Handler(func(ctx context.Context, e webhook.Event) error {
		if calls++; calls == 1 {
			return errors.New("the database is busy")
		}
		return show(ctx, e)
	})
	fmt.Println("  the receiver has a secret, which never prints:", verifier.Secrets)

	fmt.Println("\n  an event; the program is busy, so the server delivers the same bytes again (here at once, else after a minute)")
	srv.Publish("acme", "subscription.created", map[string]any{"plan": "pro"})
	header := <-line.done

	fmt.Println("\n  somebody changes one bit of it")
	forged := bytes.Clone(line.body)
	forged[len(forged)/2] ^= 1
	line.send(header, forged)

	fmt.Println("\n  it comes an hour late")
	header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10))
	line.send(header, line.body)

	fmt.Println("\n  somebody who saw it repeats body and signature under a new time")
	header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
	line.send(header, line.body)
}

// line carries deliveries from the server to the receiver, in memory, and keeps the last.
type line struct {
	receiver http.Handler
	body     []byte
	done     chan http.Header
}

// RoundTrip implements [http.RoundTripper]: it delivers, and once more when that fails.
func (l *line) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if l.body, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	if response = l.send(r.Header, l.body); response.StatusCode != http.StatusOK {
		response = l.send(r.Header, l.body)
	}
	l.done <- r.Header.Clone()
	return response, nil
}

func (l *line) send(header http.Header, body []byte) *http.Response {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "https://app.example/hooks/authos", bytes.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	l.receiver.ServeHTTP(w, r)
	fmt.Printf("     receiver   responded %d: %s", w.Code, w.Body)
	return w.Result()
}
