package authostest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// In memory and over sockets a client must see the same response.
func TestResponsesLookAlike(t *testing.T) {
	srv := authostest.New()
	t.Cleanup(srv.Close)
	key := "X-Api-Key: " + srv.AddAPIKey()
	socket := &client{t, srv.URL, http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	memory := &client{t, "https://some.host.example", http.Client{Transport: srv.Transport()}}
	for _, path := range []string{"/health", "/nothing", "/api/user", "/api/service/info", "/api/service/users?limit=x"} {
		a, b := socket.do("GET", path, "", key), memory.do("GET", path, "", key)
		for _, got := range []*http.Response{a.Response, b.Response} {
			got.Header.Del("Date")
			got.Header.Del("Connection") // of the test's own making
		}
		if strings.Contains(a.body, "timestamp") { // its digits vary, and so the length
			for _, got := range []*reply{&a, &b} {
				got.Header.Del("Content-Length")
				got.ContentLength, got.body = 0, ""
			}
		}
		if a.Status != b.Status || a.Proto != b.Proto || a.ProtoMajor != b.ProtoMajor || a.ProtoMinor != b.ProtoMinor ||
			a.ContentLength != b.ContentLength || !reflect.DeepEqual(a.Header, b.Header) || len(a.body) != len(b.body) {
			t.Errorf("GET %s\nsocket %+v %s\nmemory %+v %s", path, a.Response, a.body, b.Response, b.body)
		}
		if b.Request == nil || b.Request.URL.Path != strings.Split(path, "?")[0] {
			t.Errorf("Request = %+v", b.Request)
		}
	}
}

type trackedBody struct {
	io.Reader
	closed chan struct{}
	once   sync.Once
}

func (b *trackedBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func TestRequestBodyIsAlwaysClosed(t *testing.T) {
	srv, c := inMemory(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, prepare := range map[string]func(*http.Request) *http.Request{
		"good":            func(r *http.Request) *http.Request { return r },
		"unknown length":  func(r *http.Request) *http.Request { r.ContentLength = -1; return r },
		"canceled before": func(r *http.Request) *http.Request { return r.WithContext(gone) },
		"no URL":          func(r *http.Request) *http.Request { r.URL = nil; return r },
		"length too long": func(r *http.Request) *http.Request { r.ContentLength = 100; return r },
	} {
		body := &trackedBody{Reader: strings.NewReader("{}"), closed: make(chan struct{})}
		req := c.request("POST", "/api/auth/refresh", "{}")
		req.Body = body
		resp, err := srv.Transport().RoundTrip(prepare(req))
		if err == nil {
			resp.Body.Close()
		}
		if wantErr := name != "good" && name != "unknown length"; (err != nil) != wantErr {
			t.Errorf("%s: err = %v", name, err)
		}
		select {
		case <-body.closed:
		default:
			t.Errorf("%s: the body was not closed", name)
		}
	}
	if got := srv.Count("", ""); got != 2 {
		t.Errorf("Count = %d, want 2: what was canceled before was not sent", got)
	}
}

func TestStreamThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		reader, _ := io.Pipe()
		req := c.request("POST", "/api/auth/refresh", "{}").WithContext(ctx)
		req.Body, req.ContentLength = reader, -1
		if _, err := srv.Transport().RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
	})
}

func TestNoSocketInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		if host := strings.TrimPrefix(srv.URL, "http://"); !net.ParseIP(host).IsLoopback() {
			t.Errorf("URL = %q, want no port", srv.URL)
		}
		c := &client{t, srv.URL, http.Client{Transport: srv.Transport()}}
		c.expect(200, jsonType, `{"status":"healthy","version":"<…>"}`, "GET", "/health", "")
	})
}

func TestDelaysInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.Fault(authostest.Fault{Delay: time.Hour, Times: 1})
		start := time.Now()
		c.do("GET", "/health", "")
		if took := time.Since(start); took != time.Hour {
			t.Errorf("a delayed response took %v, want 1h", took)
		}

		srv.Fault(authostest.Fault{Delay: time.Hour, Times: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.http.Transport.RoundTrip(c.request("POST", "/api/auth/logout", "", "Authorization: Bearer x").WithContext(ctx))
		if err != context.DeadlineExceeded { //nolint:errorlint // exactly
			t.Errorf("err = %v, want exactly the context's", err)
		}
		if last := srv.Requests()[1]; last.Status != 0 {
			t.Errorf("Status = %d, want 0: the handler must not run after the client left", last.Status)
		}

		srv.Fault(authostest.Fault{Kind: authostest.SlowBody, Delay: time.Hour, Times: 1})
		start = time.Now()
		c.do("GET", "/health", "")
		if took := time.Since(start); took != 7*time.Hour {
			t.Errorf("a slow body took %v, want seven pauses of 1h", took)
		}
	})
}

func TestFaultWindowInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.Fault(authostest.Fault{From: time.Minute, Until: 2 * time.Minute, Status: 503})
		for _, want := range []int{200, 503, 200} {
			if got := c.do("GET", "/health", "").StatusCode; got != want {
				t.Errorf("after %v: %d, want %d", time.Since(srv.Requests()[0].Time), got, want)
			}
			time.Sleep(time.Minute)
		}
	})
}

// Every goroutine of a bubble must have ended when it ends, so this also shows
// that hanging requests leave nothing behind.
func TestManyHangsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.Fault(authostest.Fault{Kind: authostest.Hang})
		var group sync.WaitGroup
		for range 100 {
			req := c.request("GET", "/health", "")
			group.Go(func() {
				if _, err := c.try(req); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("err = %v, want ECONNRESET", err)
				}
			})
		}
		synctest.Wait()
		if got := srv.Count("", ""); got != 100 {
			t.Errorf("Count = %d, want 100", got)
		}
		srv.Close()
		group.Wait()
		if _, err := c.try(c.request("GET", "/health", "")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v, want ECONNREFUSED", err)
		}
	})
}

func TestSlowBodyClosedWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.Fault(authostest.Fault{Kind: authostest.SlowBody, Delay: time.Hour})
		resp, err := c.http.Do(c.request("GET", "/health", ""))
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := io.ReadAll(resp.Body)
			failed <- err
		}()
		synctest.Wait()
		resp.Body.Close()
		if err := <-failed; !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("err = %v, want ErrBodyReadAfterClose", err)
		}
	})
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		srv := authostest.New()
		httpClient := http.Client{Transport: &http.Transport{}}
		for range 3 {
			resp, err := httpClient.Get(srv.URL + "/health")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		srv.Close()
		httpClient.CloseIdleConnections()
	}
	// The last instructions of a goroutine are not observable, so give it turns.
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

// Mounted where connections cannot be hijacked, the fake aborts as handlers do.
func TestServeHTTPWithoutHijacking(t *testing.T) {
	srv, c := inMemory(t)
	recorder := httptest.NewRecorder()
	srv.ServeHTTP(recorder, c.request("GET", "/health", ""))
	if recorder.Code != 200 || recorder.Header().Get("Content-Type") != jsonType {
		t.Errorf("%d %v", recorder.Code, recorder.Header())
	}
	srv.Fault(authostest.Fault{Kind: authostest.ResetBefore})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			t.Errorf("recover() = %v, want http.ErrAbortHandler", got)
		}
	}()
	srv.ServeHTTP(httptest.NewRecorder(), c.request("GET", "/health", ""))
}

func BenchmarkTransport(b *testing.B) {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	httpClient := http.Client{Transport: srv.Transport()}
	req, err := http.NewRequest("GET", srv.URL+"/health", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := httpClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
