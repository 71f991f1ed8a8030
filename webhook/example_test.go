package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// A receiver behind net/http, tested with the fake AuthOS, which signs and delivers as the real one
// does.
func ExampleVerifier_Handler() {
	mux := http.NewServeMux()
	receiver := httptest.NewServer(mux)
	defer receiver.Close()
	srv := authostest.New()
	defer srv.Close()
	_, secret := srv.AddWebhook("acme", receiver.URL+"/hooks/authos")

	plans := make(chan string, 1)
	// while it is replaced: the new and the old one
	verifier := webhook.Verifier{Secrets: webhook.Secrets{secret}}
	mux.Handle("/hooks/authos", verifier.Handler(func(_ context.Context, e webhook.Event) error {
		switch e.Type {
		case webhook.EventSubscriptionCreated:
			var data struct{ Plan string }
			if err := e.DecodeData(&data); err != nil {
				return err // the event is delivered again in a minute
			}
			plans <- data.Plan
		default: // of no interest here
		}
		return nil
	}))

	srv.Publish("acme", "subscription.created", map[string]any{"plan": "pro"})
	fmt.Println("new subscription:", <-plans)
	// Output: new subscription: pro
}

// Without net/http, a delivery is checked by itself. The body must be the bytes as they came.
func ExampleVerifier_Verify() {
	verifier := webhook.Verifier{Secrets: webhook.Secrets{"bmV3LXNlY3JldA==", "b2xkLXNlY3JldA=="}}
	body := []byte(`{"event":"user.login.failed","timestamp":"2026-05-20T12:00:00+00:00","actor_email":"ada@example.com"}`)
	header := http.Header{}
	header.Set("X-Webhook-Timestamp", fmt.Sprint(time.Now().Unix()))
	// with the old secret
	header.Set("X-Webhook-Signature", "sha256=2e98b5f30168ef0bc20b1337064ede198896805add009e58159c44efb306c78c")

	event, err := verifier.Verify(header, body)
	fmt.Println(event.Type, event.ActorEmail, err)

	body[len(body)-2] ^= 1
	_, err = verifier.Verify(header, body)
	fmt.Println(errors.Is(err, webhook.ErrSignature), err)
	// Output:
	// user.login.failed ada@example.com <nil>
	// true webhook: signature does not match
}

// cacheSeen keeps what was handled in an authos.CacheStore, such as the one on Redis, under a
// prefix of this receiver's own.
type cacheSeen struct {
	cache  authos.CacheStore
	prefix string
}

func (s cacheSeen) Seen(ctx context.Context, id string) (bool, error) {
	_, found, err := s.cache.Get(ctx, s.prefix+id)
	return found, err
}

func (s cacheSeen) Record(ctx context.Context, id string, ttl time.Duration) error {
	return s.cache.Set(ctx, s.prefix+id, []byte{1}, ttl)
}

// Two replicas of a receiver share what was handled.
func ExampleSeenStore() {
	verifier := webhook.Verifier{
		Secrets: webhook.Secrets{testSecret},
		Seen:    cacheSeen{cache: &mapCache{}, prefix: "webhook/billing/"},
	}
	bill := func(context.Context, webhook.Event) error {
		fmt.Println("billed")
		return nil
	}
	for _, replica := range []http.Handler{verifier.Handler(bill), verifier.Handler(bill)} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(testBody))
		r.Header = deliveryHeader(testSecret, testBody)
		w := httptest.NewRecorder()
		replica.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// billed
	// 200 handled
	// 200 already handled
}

// mapCache stands in for a cache that replicas share.
type mapCache struct{ m sync.Map }

func (c *mapCache) Get(_ context.Context, key string) ([]byte, bool, error) {
	v, _ := c.m.Load(key)
	value, found := v.([]byte)
	return value, found, nil
}

func (c *mapCache) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	c.m.Store(key, value)
	return nil
}

func (c *mapCache) DeletePrefix(context.Context, string) error { return nil }

// A receiver that remembers across restarts what it has handled.
func ExampleNewFileSeen() {
	dir, err := os.MkdirTemp("", "handled")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for range 2 { // the program is started twice
		seen, err := webhook.NewFileSeen(dir)
		if err != nil {
			fmt.Println(err)
			return
		}
		verifier := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: seen}
		h := verifier.Handler(func(_ context.Context, e webhook.Event) error {
			fmt.Println("handling", e.Type)
			return nil
		})
		fmt.Print(deliver(context.Background(), h, testBody).Body)
		_ = seen.Close()
	}
	// Output:
	// handling subscription.created
	// handled
	// already handled
}
