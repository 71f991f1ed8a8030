package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos/webhook"
)

// notingReader notes whether anybody reads it.
type notingReader struct {
	io.Reader

	read bool
}

func (r *notingReader) Read(b []byte) (int, error) {
	r.read = true
	return r.Reader.Read(b)
}

func (r *notingReader) Close() error { return nil }

// Nothing is read of a delivery that its headers rule out.
func TestHeadersComeFirst(t *testing.T) {
	good := deliveryHeader(testSecret, testBody)
	without := func(name string, values ...string) http.Header {
		h := good.Clone()
		h[name] = values
		return h
	}
	for _, tt := range []struct {
		name    string
		header  http.Header
		secrets webhook.Secrets
		length  int64
		status  int
		read    bool
	}{
		{"good", good, webhook.Secrets{testSecret}, int64(len(testBody)), 200, true},
		{"no headers", http.Header{}, webhook.Secrets{testSecret}, -1, 401, false},
		{"no signature", without(webhook.SignatureHeader), webhook.Secrets{testSecret}, -1, 401, false},
		{"malformed signature", without(webhook.SignatureHeader, "sha256=00"), webhook.Secrets{testSecret}, -1, 401, false},
		{"two signatures", without(webhook.SignatureHeader, signBody(testSecret, testBody), "x"), webhook.Secrets{testSecret}, -1, 401, false},
		{"no timestamp", without(webhook.TimestampHeader), webhook.Secrets{testSecret}, -1, 401, false},
		{"malformed timestamp", without(webhook.TimestampHeader, "now"), webhook.Secrets{testSecret}, -1, 401, false},
		{"said to be too large", good, webhook.Secrets{testSecret}, 1<<20 + 1, 413, false},
		{"no secret", good, nil, -1, 500, false},
		{"another method", good, webhook.Secrets{testSecret}, -1, 405, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := http.MethodPost
			if tt.status == 405 {
				method = http.MethodPut
			}
			body := &notingReader{Reader: strings.NewReader(testBody)}
			r := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
			r.Header, r.Body, r.ContentLength = tt.header, body, tt.length
			w := httptest.NewRecorder()
			webhook.Verifier{Secrets: tt.secrets}.Handler((&program{}).handle).ServeHTTP(w, r)
			if w.Code != tt.status || body.read != tt.read {
				t.Errorf("%d, the body was read: %t; want %d, %t", w.Code, body.read, tt.status, tt.read)
			}
		})
	}
}

// API gateways hand headers over in lower case, in a map that nobody has brought into Go's
// spelling.
func TestHeadersInLowerCase(t *testing.T) {
	v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	signature := signBody(testSecret, testBody)
	for _, tt := range []struct {
		name   string
		header http.Header
		want   error
	}{
		{"lower case", http.Header{"x-webhook-signature": {signature}, "x-webhook-timestamp": {stamp}}, nil},
		{"upper case", http.Header{"X-WEBHOOK-SIGNATURE": {signature}, "X-WEBHOOK-TIMESTAMP": {stamp}}, nil},
		{"mixed", http.Header{"x-Webhook-Signature": {signature}, "X-Webhook-Timestamp": {stamp}}, nil},
		{"beside an empty list", http.Header{"x-webhook-signature": {signature}, "X-Webhook-Signature": {}, "x-webhook-timestamp": {stamp}}, nil},
		{"twice in two cases", http.Header{
			"x-webhook-signature": {signature}, "X-Webhook-Signature": {signature}, "x-webhook-timestamp": {stamp},
		}, webhook.ErrHeader},
		{"timestamp twice in two cases", http.Header{
			"x-webhook-signature": {signature}, "X-Webhook-Timestamp": {stamp}, "x-webhook-timestamp": {stamp},
		}, webhook.ErrHeader},
		{"a longer name", http.Header{"x-webhook-signature-2": {signature}, "x-webhook-timestamp": {stamp}}, webhook.ErrHeader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := v.Verify(tt.header, []byte(testBody)); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
			status := map[bool]int{true: 200, false: 401}[tt.want == nil]
			if w := serveRequest(t.Context(), v.Handler((&program{}).handle), "POST", tt.header, testBody); w.Code != status {
				t.Errorf("%d, want %d", w.Code, status)
			}
		})
	}
}

// A middleware that reads bodies is told apart from a wrong signature, in each way in which it
// leaves them behind. The delivery fails as a fault of ours, so that it comes again.
func TestBodyReadBefore(t *testing.T) {
	readAll := func(r *http.Request) { _, _ = io.ReadAll(r.Body) }
	for _, tt := range []struct {
		name    string
		before  func(r *http.Request)
		chunked bool
		status  int
		text    string
	}{
		{"not at all", func(*http.Request) {}, false, 200, "handled"},
		{"not at all, chunked", func(*http.Request) {}, true, 200, "handled"},
		{"whole", readAll, false, 500, "the body was read before it came here"},
		{"whole, chunked", readAll, true, 500, "the body was read before it came here"},
		{"a part", func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 10)) }, false, 500, "the body was read before it came here"},
		{"closed", func(r *http.Request) { _ = r.Body.Close() }, false, 500, "the body was read before it came here"},
		{"replaced by nothing", func(r *http.Request) { r.Body = http.NoBody }, false, 500, "the body was read before it came here"},
		{"taken away", func(r *http.Request) { r.Body = nil }, false, 500, "the body was read before it came here"},
		{"written anew", func(r *http.Request) { readAll(r); r.Body = io.NopCloser(strings.NewReader(`{"event":"x"}`)) }, false, 500, "the body was read before it came here"},
		{"put back", func(r *http.Request) { readAll(r); r.Body = io.NopCloser(strings.NewReader(testBody)) }, false, 200, "handled"},
		{"put back, and another length said", func(r *http.Request) {
			readAll(r)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(testBody)), 5
		}, false, 200, "handled"},
		{"changed in place", func(r *http.Request) {
			readAll(r)
			r.Body = io.NopCloser(bytes.NewReader(flipBit(testBody, 7)))
		}, false, 401, "the signature does not match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachProtocol(t, func(t *testing.T, start func(http.Handler) *httptest.Server) {
				var log bytes.Buffer
				v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				h := v.Handler((&program{}).handle)
				srv := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					tt.before(r)
					h.ServeHTTP(w, r)
				}))
				var body io.Reader = strings.NewReader(testBody)
				if tt.chunked {
					body = io.MultiReader(body) // of no known length
				}
				status, text := post(t, srv, deliveryHeader(testSecret, testBody), body)
				if status != tt.status || text != tt.text+"\n" {
					t.Errorf("%d %q, want %d %q", status, text, tt.status, tt.text)
				}
				if tt.status == 500 && !strings.Contains(log.String(), webhook.ErrBodyRead.Error()) {
					t.Errorf("log: %s", log.String())
				}
			})
		})
	}
}

// eachProtocol runs a test with servers of HTTP/1 and of HTTP/2, over sockets and TLS.
func eachProtocol(t *testing.T, test func(t *testing.T, start func(http.Handler) *httptest.Server)) {
	t.Helper()
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP", major), func(t *testing.T) {
			test(t, func(h http.Handler) *httptest.Server {
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.ProtoMajor != major {
						t.Errorf("HTTP/%d, want HTTP/%d: the test proves nothing", r.ProtoMajor, major)
					}
					h.ServeHTTP(w, r)
				}))
				srv.EnableHTTP2 = major == 2
				srv.StartTLS()
				t.Cleanup(srv.Close)
				return srv
			})
		})
	}
}

func post(t *testing.T, srv *httptest.Server, header http.Header, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Bodies of any size up to the bound arrive whole.
func TestBodiesOfEachSize(t *testing.T) {
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxBody: 100_000}.Handler((&program{}).handle)
	for _, size := range []int{130, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536, 65537, 99_999, 100_000, 100_001, 131_072, 200_000} {
		body := testBody + strings.Repeat(" ", size-min(size, len(testBody)))
		for _, chunked := range []bool{false, true} {
			var in io.Reader = strings.NewReader(body)
			if chunked {
				in = io.MultiReader(in)
			}
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", in)
			r.Header = deliveryHeader(testSecret, body)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := 200
			if len(body) > 100_000 {
				want = 413
			}
			if w.Code != want {
				t.Errorf("%d bytes, chunked %t: %d %s, want %d", len(body), chunked, w.Code, w.Body, want)
			}
		}
	}
}

// stalledBody is a body of which much has come, and the rest does not.
type stalledBody struct {
	left int
	gone chan struct{} // closed to end it

	mu    sync.Mutex
	stuck bool
}

func (s *stalledBody) Read(b []byte) (int, error) {
	if s.left > 0 {
		n := min(len(b), s.left)
		s.left -= n
		return n, nil
	}
	s.mu.Lock()
	s.stuck = true
	s.mu.Unlock()
	<-s.gone
	return 0, io.ErrUnexpectedEOF
}

func (s *stalledBody) isStuck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck
}

func (s *stalledBody) Close() error { return nil }

// Bodies that hang take no more memory than they may together, whatever their headers say; a small
// one finds room beside large ones, and what is over gives its room back.
func TestBodiesInFlightAreBounded(t *testing.T) {
	const room = 8 << 20
	p := &program{}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxInFlight: room}.Handler(p.handle)
	gone := make(chan struct{})
	var group sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var bodies []*stalledBody
	for range 200 {
		body := &stalledBody{left: 1 << 20, gone: gone}
		bodies = append(bodies, body)
		group.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", body)
			r.Header, r.ContentLength = deliveryHeader(testSecret, testBody), 1<<20
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
		})
	}
	settled := func() bool {
		stuck := 0
		for _, b := range bodies {
			if b.isStuck() {
				stuck++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		return stuck > 0 && stuck+statuses[503] == len(bodies)
	}
	for !settled() {
		runtime.Gosched()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > room+(2<<20) {
		t.Errorf("200 connections hold %d KiB, want %d KiB and a little", held>>10, room>>10)
	}
	mu.Lock()
	if statuses[503] < 190 {
		t.Errorf("statuses %v, want most of 200 to be refused with 503", statuses)
	}
	mu.Unlock()
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
	close(gone)
	group.Wait()
	if statuses[503]+statuses[400] != 200 {
		t.Errorf("statuses %v", statuses)
	}
	large := testBody + strings.Repeat(" ", 900_000)
	for range 20 { // one after the other, all of the room is there again
		wantResponse(t, deliver(t.Context(), h, large), 200, "handled")
		large += " "
	}
}

// Small bodies find room when large ones have taken all that they may.
func TestLargeBodiesLeaveRoomToSmallOnes(t *testing.T) {
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxInFlight: 8 << 20}.Handler((&program{}).handle)
	gone := make(chan struct{})
	var group sync.WaitGroup
	var refused atomic.Int64
	// hold sends bodies that stall after so many bytes, and waits until each is stuck or refused.
	hold := func(count, bytes int) (held int64) {
		refused.Store(0)
		var bodies []*stalledBody
		for range count {
			body := &stalledBody{left: bytes, gone: gone}
			bodies = append(bodies, body)
			group.Go(func() {
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/", body)
				r.Header, r.ContentLength = deliveryHeader(testSecret, testBody), -1
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code == http.StatusServiceUnavailable {
					refused.Add(1)
				}
			})
		}
		for {
			held = 0
			for _, b := range bodies {
				if b.isStuck() {
					held++
				}
			}
			if held+refused.Load() == int64(count) {
				return held
			}
			runtime.Gosched()
		}
	}
	if held := hold(200, 70_000); held == 200 || held < 30 {
		t.Fatalf("%d of 200 large bodies are held: the test proves nothing", held)
	}
	if held := hold(20, 20_000); held != 20 {
		t.Errorf("%d of 20 small bodies found room beside large ones", held)
	}
	close(gone)
	group.Wait()
}

// A header that claims much gets nothing for it.
func TestClaimedLengthTakesNoRoom(t *testing.T) {
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxInFlight: 4 << 20}.Handler((&program{}).handle)
	gone := make(chan struct{})
	var group sync.WaitGroup
	var bodies []*stalledBody
	for range 300 {
		body := &stalledBody{left: 10, gone: gone}
		bodies = append(bodies, body)
		group.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", body)
			r.Header, r.ContentLength = deliveryHeader(testSecret, testBody), 1<<20
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	for slices.ContainsFunc(bodies, func(b *stalledBody) bool { return !b.isStuck() }) {
		runtime.Gosched()
	}
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
	close(gone)
	group.Wait()
}

// A sender that stalls is given up, and the program's function may take longer than a body.
func TestBodyTimeout(t *testing.T) {
	eachProtocol(t, func(t *testing.T, start func(http.Handler) *httptest.Server) {
		const limit = 200 * time.Millisecond
		over := make(chan struct{})
		h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, BodyTimeout: limit}.Handler(
			func(ctx context.Context, e webhook.Event) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(3 * limit): // of a real server's clock
					return nil
				}
			})
		srv := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			if r.Header.Get("X-Stalls") != "" {
				close(over)
			}
		}))
		if status, text := post(t, srv, deliveryHeader(testSecret, testBody), strings.NewReader(testBody)); status != 200 {
			t.Errorf("%d %q, want the program to have its time", status, text)
		}
		in, out := io.Pipe()
		header := deliveryHeader(testSecret, testBody)
		header.Set("X-Stalls", "yes")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, in)
		if err != nil {
			t.Fatal(err)
		}
		r.Header, r.ContentLength = header, int64(len(testBody))
		go func() {
			_, _ = out.Write([]byte(testBody[:20]))
			<-over
			_ = out.Close()
		}()
		resp, err := srv.Client().Do(r)
		if err == nil {
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("a sender that stalls got %d", resp.StatusCode)
			}
			_ = resp.Body.Close()
		}
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.Fatal("a sender that stalls is waited for")
		}
	})
}

// A stranger without a signature who never sends his body is not waited for either.
func TestStalledStranger(t *testing.T) {
	srv := httptest.NewServer(webhook.Verifier{Secrets: webhook.Secrets{testSecret}, BodyTimeout: 100 * time.Millisecond}.Handler((&program{}).handle))
	defer srv.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(conn) // until the server closes the connection
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 401") {
		t.Errorf("%v after %q, want 401 and the end of the connection", err, text)
	}
}
