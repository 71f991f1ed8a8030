package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/webhook"
)

var errProgram = errors.New("database is down, password=hunter2")

// program is the program behind a Handler. It fails as often as fails says, and counts its calls.
type program struct {
	fails int
	take  time.Duration // how long a call takes

	mu      sync.Mutex
	events  []webhook.Event
	running int
	most    int // that ran at once
}

func (p *program) handle(_ context.Context, e webhook.Event) error {
	p.mu.Lock()
	p.events = append(p.events, e)
	n := len(p.events)
	p.running++
	p.most = max(p.most, p.running)
	p.mu.Unlock()
	if p.take > 0 {
		time.Sleep(p.take)
	}
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
	if n <= p.fails {
		return errProgram
	}
	return nil
}

func (p *program) wantCalls(t *testing.T, want int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) != want {
		t.Errorf("the program was called %d times, want %d", len(p.events), want)
	}
}

func TestHandlerResponses(t *testing.T) {
	signed := deliveryHeader(testSecret, testBody)
	late := signed.Clone()
	late.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Unix()-302, 10))
	large := strings.Repeat("x", 2000)
	for _, tt := range []struct {
		name, method string
		header       http.Header
		body         string
		status       int
		text         string
		calls        int
	}{
		{"good", "POST", signed, testBody, 200, "handled", 1},
		{"GET", "GET", signed, testBody, 405, "only POST is accepted", 0},
		{"HEAD", "HEAD", signed, testBody, 405, "only POST is accepted", 0},
		{"PUT", "PUT", signed, testBody, 405, "only POST is accepted", 0},
		{"changed by one bit", "POST", signed, string(flipBit(testBody, 77)), 401, "the signature does not match", 0},
		{"unsigned", "POST", http.Header{}, testBody, 401, "the signature or timestamp header is missing, repeated or malformed", 0},
		{"late", "POST", late, testBody, 401, "the delivery is too old, or a clock is wrong", 0},
		{"no event", "POST", deliveryHeader(testSecret, "[]"), "[]", 400, "the body is not an event", 0},
		{"too large", "POST", deliveryHeader(testSecret, large), large, 413, "the body is too large", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			p := &program{}
			h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxBody: 1999, Logger: slog.New(slog.NewTextHandler(&log, nil))}.Handler(p.handle)
			w := serveRequest(t.Context(), h, tt.method, tt.header, tt.body)
			wantResponse(t, w, tt.status, tt.text)
			p.wantCalls(t, tt.calls)
			if got, want := w.Header().Get("Allow"), map[bool]string{true: "POST"}[tt.status == 405]; got != want {
				t.Errorf("Allow = %q, want %q", got, want)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate = %q", got)
			}
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type = %q", got)
			}
			if refused := tt.status != 200 && tt.status != 405; strings.Contains(log.String(), "status="+strconv.Itoa(tt.status)) != refused {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

// A Verifier that cannot be used responds as with a failure of its own, so that nothing is lost
// once it is repaired within 15 minutes.
func TestHandlerNotConfigured(t *testing.T) {
	p := &program{}
	wantResponse(t, serveRequest(t.Context(), webhook.Verifier{}.Handler(p.handle), "POST", deliveryHeader("", testBody), testBody), 500, "the receiver is not configured")
	wantResponse(t, deliver(t.Context(), webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(nil), testBody), 500, "the receiver is not configured")
	p.wantCalls(t, 0)
}

// No more than the bound is read of a body, whatever its length is said to be.
func TestHandlerReadsABoundedBody(t *testing.T) {
	p := &program{}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(p.handle)
	endless := &endlessBody{}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", endless)
	r.Header = deliveryHeader(testSecret, testBody)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	wantResponse(t, w, 413, "the body is too large")
	if endless.read > 1<<20+1<<19 {
		t.Errorf("%d bytes were read of a body that may have 1 MiB", endless.read)
	}

	r = httptest.NewRequestWithContext(t.Context(), "POST", "/", io.MultiReader(strings.NewReader(testBody), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.Header = deliveryHeader(testSecret, testBody)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	wantResponse(t, w, 400, "the body could not be read")
	p.wantCalls(t, 0)
}

type endlessBody struct{ read int }

func (e *endlessBody) Read(b []byte) (int, error) {
	e.read += len(b)
	return len(b), nil
}

func TestReplaysAreNotHandledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret, oldSecret}}.Handler(p.handle)
		header := deliveryHeader(testSecret, testBody)
		wantResponse(t, serveRequest(t.Context(), h, "POST", header, testBody), 200, "handled")
		wantResponse(t, serveRequest(t.Context(), h, "POST", header, testBody), 200, "already handled")
		// The server's last redelivery, stamped anew, and signed by another webhook's secret.
		time.Sleep(15 * time.Minute)
		wantResponse(t, serveRequest(t.Context(), h, "POST", deliveryHeader(oldSecret, testBody), testBody), 200, "already handled")
		// The first headers are too old by now, for a repeat too.
		wantResponse(t, serveRequest(t.Context(), h, "POST", header, testBody), 401, "the delivery is too old, or a clock is wrong")
		// A thief's replay.
		time.Sleep(24*time.Hour - 15*time.Minute)
		wantResponse(t, deliver(t.Context(), h, testBody), 200, "already handled")
		p.wantCalls(t, 1)
		// Another event is another one, even when it differs in white space only.
		wantResponse(t, deliver(t.Context(), h, testBody+" "), 200, "handled")
		p.wantCalls(t, 2)
	})
}

// After 30 days the memory ends. MaxAge sees to it that the delivery is refused before.
func TestReplaysAfterTheMemory(t *testing.T) {
	const repeat, tooOld = "already handled", "the delivery is too old, or a clock is wrong"
	type replay struct {
		after time.Duration
		want  string
	}
	for _, tt := range []struct {
		maxAge  time.Duration
		replays []replay
	}{
		{0, []replay{{25 * time.Hour, repeat}, {30 * 24 * time.Hour, repeat}, {30*24*time.Hour + 1, "handled"}}},
		{time.Hour, []replay{{time.Hour, repeat}, {time.Hour + 1, tooOld}, {25 * time.Hour, tooOld}}},
		{48 * time.Hour, []replay{{25 * time.Hour, repeat}, {48 * time.Hour, repeat}, {48*time.Hour + 1, tooOld}}},
	} {
		t.Run(tt.maxAge.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxAge: tt.maxAge}.Handler((&program{}).handle)
				start := time.Now()
				wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
				for _, r := range tt.replays {
					time.Sleep(time.Until(start.Add(r.after)))
					if got := strings.TrimSpace(deliver(t.Context(), h, testBody).Body.String()); got != r.want {
						t.Errorf("after %v: %q, want %q", r.after, got, r.want)
					}
				}
			})
		})
	}
}

// An event dated as far ahead as is allowed is remembered until it is too old.
func TestMemoryLastsAsLongAsMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{}
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxAge: time.Hour}.Handler(p.handle)
		body := `{"event":"x","timestamp":"` + time.Now().Add(5*time.Minute).Format(time.RFC3339) + `"}`
		wantResponse(t, deliver(t.Context(), h, body), 200, "handled")
		time.Sleep(time.Hour + 5*time.Minute)
		wantResponse(t, deliver(t.Context(), h, body), 200, "already handled")
		time.Sleep(time.Nanosecond)
		wantResponse(t, deliver(t.Context(), h, body), 401, "the delivery is too old, or a clock is wrong")
		p.wantCalls(t, 1)
	})
}

func TestFailureIsDeliveredAgain(t *testing.T) {
	var log bytes.Buffer
	p := &program{fails: 2}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Logger: slog.New(slog.NewTextHandler(&log, nil))}.Handler(p.handle)
	wantResponse(t, deliver(t.Context(), h, testBody), 500, "the event could not be handled")
	wantResponse(t, deliver(t.Context(), h, testBody), 500, "the event could not be handled")
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "already handled")
	p.wantCalls(t, 3)
	if got := log.String(); strings.Count(got, errProgram.Error()) != 2 || !strings.Contains(got, "event.type=subscription.created") ||
		strings.Contains(got, "ada@example.com") || strings.Contains(got, testSecret) {
		t.Errorf("log: %s", got)
	}
}

// The program's errors may look like this package's own.
func TestProgramsErrorIsNoRefusal(t *testing.T) {
	for _, err := range []error{webhook.ErrSignature, webhook.ErrTooLarge, webhook.ErrPayload, context.Canceled} {
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(func(context.Context, webhook.Event) error { return err })
		wantResponse(t, deliver(t.Context(), h, testBody), 500, "the event could not be handled")
	}
}

// A program that panics, or leaves its goroutine, has not handled the event, and does not keep it
// locked.
func TestPanicIsNotHandled(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(func(context.Context, webhook.Event) error {
					if calls++; calls == 1 {
						leave()
					}
					return nil
				})
				w := httptest.NewRecorder()
				done := make(chan any, 1)
				go func() {
					defer func() { done <- recover() }()
					r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(testBody))
					r.Header = deliveryHeader(testSecret, testBody)
					h.ServeHTTP(w, r)
				}()
				if got := <-done; (got == "boom") != (name == "panic") {
					t.Errorf("recovered %v", got)
				}
				if w.Body.Len() > 0 {
					t.Errorf("responded %q", w.Body)
				}
				wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
				wantResponse(t, deliver(t.Context(), h, testBody), 200, "already handled")
				if calls != 2 {
					t.Errorf("%d calls, want 2", calls)
				}
			})
		})
	}
}

// Deliveries of one body at the same time call the program one after the other, until it succeeds.
func TestConcurrentDuplicates(t *testing.T) {
	const handled, repeat, failed = "handled", "already handled", "the event could not be handled"
	for _, tt := range []struct {
		fails int
		want  []string // sorted
	}{
		{0, []string{repeat, repeat, repeat, repeat, handled}},
		{2, []string{repeat, repeat, handled, failed, failed}},
		{9, []string{failed, failed, failed, failed, failed}},
	} {
		t.Run(strconv.Itoa(tt.fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &program{fails: tt.fails, take: time.Second}
				h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(p.handle)
				responses := make(chan string, len(tt.want))
				start := time.Now()
				for range tt.want {
					go func() { responses <- strings.TrimSpace(deliver(t.Context(), h, testBody).Body.String()) }()
				}
				time.Sleep(time.Second / 2)
				if len(responses) != 0 {
					t.Errorf("%d deliveries were responded to while the first is still being handled", len(responses))
				}
				var got []string
				for range tt.want {
					got = append(got, <-responses)
				}
				slices.Sort(got)
				if !slices.Equal(got, tt.want) {
					t.Errorf("responses %q, want %q", got, tt.want)
				}
				calls := min(tt.fails+1, len(tt.want))
				p.wantCalls(t, calls)
				if p.most != 1 {
					t.Errorf("%d calls at once", p.most)
				}
				if took := time.Since(start); took != time.Duration(calls)*time.Second {
					t.Errorf("took %v, want %d s", took, calls)
				}
			})
		})
	}
}

// An event waits only for its own duplicates.
func TestOtherEventsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{take: time.Second}
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(p.handle)
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 10 {
			wg.Go(func() { wantResponse(t, deliver(t.Context(), h, testBody+strings.Repeat(" ", i)), 200, "handled") })
		}
		wg.Wait()
		if took := time.Since(start); took != time.Second || p.most != 10 {
			t.Errorf("took %v, %d calls at once", took, p.most)
		}
	})
}

// A sender that does not wait for a duplicate any longer is let go, and never told that the event
// was handled.
func TestWaitingEndsWithTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{take: time.Hour, fails: 1}
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(p.handle)
		first := make(chan *httptest.ResponseRecorder, 1)
		go func() { first <- deliver(t.Context(), h, testBody) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		wantResponse(t, deliver(ctx, h, testBody), 503, "still being handled")
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("waited %v, want 10s", took)
		}
		wantResponse(t, <-first, 500, "the event could not be handled")
		p.wantCalls(t, 1)
	})
}

// What succeeded is remembered even when the sender left before.
func TestSuccessAfterTheSenderLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	calls := 0
	store := &sharedStore{}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: store}.Handler(func(ctx context.Context, _ webhook.Event) error {
		calls++
		leave()
		if ctx.Err() == nil {
			t.Error("the program does not see that the sender left")
		}
		return nil
	})
	deliver(ctx, h, testBody)
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "already handled")
	if calls != 1 || len(store.records) != 1 {
		t.Errorf("%d calls, %d records", calls, len(store.records))
	}
	// A sender that has left before the program is called is not worked for.
	wantResponse(t, deliver(ctx, h, testBody+" "), 503, "still being handled")
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// sharedStore is a SeenStore shared by several handlers. It can be broken, and can hang until it is
// told not to wait.
type sharedStore struct {
	mu      sync.Mutex
	records map[string]time.Duration
	seenErr error
	err     error // of Record
	hangs   bool
	lookups int
}

func (s *sharedStore) Seen(ctx context.Context, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if s.hangs {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return s.records[id] > 0, s.seenErr
}

func (s *sharedStore) Record(ctx context.Context, id string, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.err != nil {
		return s.err
	}
	if s.records == nil {
		s.records = map[string]time.Duration{}
	}
	s.records[id] = ttl
	return nil
}

func TestHandlersShareAStore(t *testing.T) {
	for name, store := range map[string]webhook.SeenStore{"a store": &sharedStore{}, "memory": &webhook.MemorySeen{}} {
		t.Run(name, func(t *testing.T) {
			p := &program{fails: 1}
			v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: store}
			one, other := v.Handler(p.handle), v.Handler(p.handle)
			wantResponse(t, deliver(t.Context(), one, testBody), 500, "the event could not be handled")
			wantResponse(t, deliver(t.Context(), other, testBody), 200, "handled")
			wantResponse(t, deliver(t.Context(), one, testBody), 200, "already handled")
			wantResponse(t, deliver(t.Context(), other, testBody), 200, "already handled")
			p.wantCalls(t, 2)
			if s, ok := store.(*sharedStore); ok {
				e, err := verified(testBody)
				if err != nil || len(s.records) != 1 || s.records[e.ID] != 30*24*time.Hour {
					t.Errorf("records %v, want the ID of the event for 30 days (%v)", s.records, err)
				}
				if s.lookups != 3 {
					t.Errorf("%d lookups, want 3: what a handler remembers itself it need not look up", s.lookups)
				}
			}
		})
	}
}

// Without a store's help each handler goes by what it remembers itself, and no event is lost.
func TestStoreThatFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		// store is broken in one way. calls is how often one event is handled that is delivered
		// twice to one handler, and once to another.
		store *sharedStore
		calls int
		logs  string
		takes time.Duration
	}{
		{"lookup", &sharedStore{seenErr: errProgram}, 2, "cannot look up", 0},
		{"record", &sharedStore{err: errProgram}, 2, "cannot record", 0},
		{"hangs", &sharedStore{hangs: true}, 2, "cannot look up", 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				p := &program{}
				v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: tt.store, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				one, other := v.Handler(p.handle), v.Handler(p.handle)
				start := time.Now()
				wantResponse(t, deliver(t.Context(), one, testBody), 200, "handled")
				wantResponse(t, deliver(t.Context(), one, testBody), 200, "already handled")
				wantResponse(t, deliver(t.Context(), other, testBody), 200, "handled")
				p.wantCalls(t, tt.calls)
				if !strings.Contains(log.String(), tt.logs) {
					t.Errorf("log: %s", log.String())
				}
				if took := time.Since(start); took != tt.takes {
					t.Errorf("took %v, want %v", took, tt.takes)
				}
			})
		})
	}
}

// A duplicate that waited learns that the program succeeded, even when that could not be recorded.
func TestDuplicateOfWhatCouldNotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &program{take: time.Second}
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: &sharedStore{err: errProgram, seenErr: errProgram}}.Handler(p.handle)
		results := make(chan string, 2)
		for range 2 {
			go func() { results <- strings.TrimSpace(deliver(t.Context(), h, testBody).Body.String()) }()
		}
		got := []string{<-results, <-results}
		slices.Sort(got)
		if !slices.Equal(got, []string{"already handled", "handled"}) {
			t.Errorf("responses %q", got)
		}
		p.wantCalls(t, 1)
	})
}

// Many senders of many bodies under the race detector: every body is handled once.
func TestHandlerConcurrently(t *testing.T) {
	p := &program{}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Handler(p.handle)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				body := `{"event":"x","n":` + strconv.Itoa((g+i)%50) + `}`
				if w := deliver(t.Context(), h, body); w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	p.wantCalls(t, 50)
}
