package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// wire carries deliveries of a fake AuthOS to a handler in memory, as a socket would: a panic of
// the handler breaks the connection. It notes what was sent and what came of it.
type wire struct {
	handler http.Handler
	loses   int // so many first responses

	mu    sync.Mutex
	sent  []delivery
	notes []string // minutes since the first delivery, and the response
}

type delivery struct {
	at     time.Time
	header http.Header
	body   string
}

func (w *wire) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock() // one at a time
	w.sent = append(w.sent, delivery{time.Now(), r.Header.Clone(), string(body)})
	note := func(what string) {
		w.notes = append(w.notes, fmt.Sprintf("%.0f %s", time.Since(w.sent[0].at).Minutes(), what))
	}
	defer func() {
		if recover() != nil {
			note("broken")
			resp, err = nil, errors.New("connection reset")
		}
	}()
	response := serveRequest(r.Context(), w.handler, r.Method, r.Header, string(body))
	note(strings.TrimSpace(response.Body.String()))
	if len(w.sent) <= w.loses {
		return nil, errors.New("response lost")
	}
	return response.Result(), nil
}

// What the server really sends is accepted, and what gets no success comes back until it is.
func TestDeliveriesOfTheServer(t *testing.T) {
	const handled, repeat, failed = "handled", "already handled", "the event could not be handled"
	for _, tt := range []struct {
		name    string
		loses   int
		program func(call int) error
		want    []string
		calls   int
	}{
		{"good", 0, func(int) error { return nil }, []string{"0 " + handled}, 1},
		{"response lost", 2, func(int) error { return nil }, []string{"0 " + handled, "1 " + repeat, "3 " + repeat}, 1},
		{
			"failures", 0, func(call int) error {
				if call < 5 {
					return errProgram
				}
				return nil
			}, []string{"0 " + failed, "1 " + failed, "3 " + failed, "7 " + failed, "15 " + handled}, 5,
		},
		{
			"panic", 0, func(call int) error {
				if call == 1 {
					panic("boom")
				}
				return nil
			}, []string{"0 broken", "1 " + handled}, 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := &wire{loses: tt.loses}
				srv := authostest.New(authostest.WithWebhookTransport(wire))
				defer srv.Close()
				_, secret := srv.AddWebhook("acme", "https://hooks.example/a")
				var events []webhook.Event
				wire.handler = webhook.Verifier{Secrets: webhook.Secrets{oldSecret, secret}, MaxAge: time.Hour}.Handler(
					func(_ context.Context, e webhook.Event) error {
						events = append(events, e)
						return tt.program(len(events))
					})
				start := time.Now()
				srv.Publish("acme", "subscription.created", map[string]any{"plan": "pro"})
				time.Sleep(time.Hour)
				synctest.Wait()

				if !slices.Equal(wire.notes, tt.want) {
					t.Errorf("deliveries %q, want %q", wire.notes, tt.want)
				}
				if len(events) != tt.calls {
					t.Fatalf("%d calls, want %d", len(events), tt.calls)
				}
				for _, e := range events {
					if e.ID != events[0].ID || e.Type != webhook.EventSubscriptionCreated || e.OrgID == "" || !e.Timestamp.Equal(start) {
						t.Errorf("event %+v at %v", e, e.Timestamp)
					}
					var data struct{ Plan string }
					if err := e.DecodeData(&data); err != nil || data.Plan != "pro" {
						t.Errorf("data %+v, %v", data, err)
					}
				}
				// The last delivery, repeated by somebody else with a time of his own.
				last := wire.sent[len(wire.sent)-1]
				last.header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
				wantResponse(t, serveRequest(t.Context(), wire.handler, "POST", last.header, last.body), 200, repeat)
				time.Sleep(time.Second)
				last.header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
				wantResponse(t, serveRequest(t.Context(), wire.handler, "POST", last.header, last.body), 401, "the delivery is too old, or a clock is wrong")
				if len(events) != tt.calls {
					t.Errorf("%d calls after replays, want %d", len(events), tt.calls)
				}
			})
		})
	}
}

// Two webhooks with one receiver: the event is the same, and is handled once.
func TestOneEventForTwoWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &wire{}
		srv := authostest.New(authostest.WithWebhookTransport(wire))
		defer srv.Close()
		_, one := srv.AddWebhook("acme", "https://hooks.example/a")
		_, two := srv.AddWebhook("acme", "https://hooks.example/b")
		p := &program{}
		wire.handler = webhook.Verifier{Secrets: webhook.Secrets{one, two}}.Handler(p.handle)
		srv.Publish("acme", "plan.created", nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := []string{"0 handled", "0 already handled"}; !slices.Equal(wire.notes, want) {
			t.Errorf("deliveries %q, want %q", wire.notes, want)
		}
		p.wantCalls(t, 1)
	})
}

// The ping has its text beside the usual members.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &wire{}
		srv := authostest.New(authostest.WithWebhookTransport(wire))
		defer srv.Close()
		id, secret := srv.AddWebhook("acme", "https://hooks.example/a", "plan.created")
		p := &program{}
		wire.handler = webhook.Verifier{Secrets: webhook.Secrets{secret}}.Handler(p.handle)
		req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/api/organizations/acme/webhooks/"+id+"/test", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+srv.SignIn("owner@acme.example").AccessToken)
		resp, err := srv.Transport().RoundTrip(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
		synctest.Wait()
		p.wantCalls(t, 1)
		if e := p.events[0]; e.Type != webhook.EventWebhookTestPing || e.ActorUserID == "" || !strings.Contains(string(e.Body), `"message":`) {
			t.Errorf("event %+v", e)
		}
	})
}

// Over a socket the connection of a body that is too large is given up, and a panic breaks it.
func TestHandlerOverSocket(t *testing.T) {
	calls := 0
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(func(context.Context, webhook.Event) error {
		if calls++; calls == 1 {
			panic(http.ErrAbortHandler)
		}
		return nil
	})
	receiver := httptest.NewServer(h)
	defer receiver.Close()
	post := func(header http.Header, body io.Reader) (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", receiver.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		resp, err := receiver.Client().Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
	if status, _, err := post(deliveryHeader(testSecret, testBody), strings.NewReader(testBody)); err == nil {
		t.Errorf("a panic got %d", status)
	}
	if status, text, err := post(deliveryHeader(testSecret, testBody), strings.NewReader(testBody)); status != 200 || text != "handled\n" {
		t.Errorf("response = %d %q, %v", status, text, err)
	}
	if status, text, err := post(deliveryHeader(testSecret, testBody), strings.NewReader(testBody)); status != 200 || text != "already handled\n" {
		t.Errorf("response = %d %q, %v", status, text, err)
	}
	// The sender may see the response, or that nobody reads on.
	if status, _, err := post(deliveryHeader(testSecret, testBody), io.LimitReader(zeros{}, 64<<20)); err == nil && status != 413 {
		t.Errorf("64 MiB got %d", status)
	}
	if calls != 2 {
		t.Errorf("%d calls, want 2", calls)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
