package authos_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// Whatever a server stops in, and whatever ends the wait for it, the call ends then. Over
// net/http's own transport that is done in the caller's goroutine, over others from outside.
func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	const soon = 50 * time.Millisecond // long after it nothing may still wait
	jar, err := cookiejar.New(nil)
	noError(t, "cookiejar.New", err)
	ways := map[string]func(*http.Transport) *http.Client{
		"net/http's transport": func(tr *http.Transport) *http.Client { return &http.Client{Transport: tr} },
		"with a Jar":           func(tr *http.Transport) *http.Client { return &http.Client{Transport: tr, Jar: jar} },
		"a foreign transport": func(tr *http.Transport) *http.Client {
			return &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) { return tr.RoundTrip(req) })}
		},
	}
	for version, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		for where, stall := range map[string]http.HandlerFunc{
			"before the header": func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			},
			"in the body": func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, `{"id":`)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			"in the request": nil, // it is not read
		} {
			for way, client := range ways {
				t.Run(version+", "+where+", "+way, func(t *testing.T) {
					t.Parallel()
					over, stall := make(chan struct{}), stall
					if stall == nil {
						stall = func(http.ResponseWriter, *http.Request) { <-over }
					}
					base, tr := stallServer(t, http2, stall)
					t.Cleanup(func() { close(over) })
					c, err := authos.New(base, authos.WithHTTPClient(client(tr)), authos.WithAPIKey("k"), authos.WithRetry(authos.RetryPolicy{
						MaxAttempts: 1, AttemptTimeout: soon,
					}))
					noError(t, "New", err)
					defer func() { _ = c.Close() }()
					body := any(nil)
					method := http.MethodGet
					if where == "in the request" { // more than any buffer on the way holds
						method, body = http.MethodPost, map[string]string{"x": strings.Repeat("x", 16<<20)}
					}
					for how, end := range map[string]struct {
						ctx  func() (context.Context, context.CancelFunc)
						opts []authos.RequestOption
						want error
					}{
						"the attempt's timeout": {ctx: func() (context.Context, context.CancelFunc) { return t.Context(), func() {} }, want: authos.ErrNetwork},
						"the caller's deadline": {
							ctx:  func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), soon) },
							opts: []authos.RequestOption{authos.WithAttemptTimeout(-1)}, want: context.DeadlineExceeded,
						},
						"the caller": {
							ctx: func() (context.Context, context.CancelFunc) {
								ctx, cancel := context.WithCancel(t.Context())
								time.AfterFunc(soon, cancel)
								return ctx, cancel
							},
							opts: []authos.RequestOption{authos.WithAttemptTimeout(-1)}, want: context.Canceled,
						},
					} {
						ctx, cancel := end.ctx()
						err := c.Do(ctx, method, "/x/thing", body, nil, end.opts...)
						cancel()
						if !errors.Is(err, end.want) || strings.Contains(err.Error(), "the attempt's timeout") != (end.want == authos.ErrNetwork) { //nolint:errorlint // of the table
							t.Errorf("%s: Do = %v, want %v", how, err, end.want)
						}
					}
				})
			}
		}
	}
}

// Patience ends a call that waits for a server, too.
func TestPatienceEndsASending(t *testing.T) {
	t.Parallel()
	for version, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			base, tr := stallServer(t, http2, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) > 1 {
					<-r.Context().Done()
					return
				}
				_, _ = io.WriteString(w, `{"id":"7"}`)
			})
			c, err := authos.New(base, authos.WithHTTPClient(&http.Client{Transport: tr}), authos.WithAPIKey("k"),
				authos.WithCache(authos.CachePolicy{Patience: 50 * time.Millisecond}))
			noError(t, "New", err)
			defer func() { _ = c.Close() }()
			for i := range 3 {
				var resp authos.Response
				var got bytes.Buffer
				err := c.Do(t.Context(), http.MethodGet, "/api/service/users/7", nil, &got, authos.WithResponse(&resp))
				if err != nil || resp.Stale != (i > 0) {
					t.Errorf("call %d: %v, stale %t; want the cached response from the second on", i, err, resp.Stale)
				}
			}
		})
	}
}

// Code of the caller's that blocks holds up no call, be it that the transport is net/http's own.
func TestHooksThatBlock(t *testing.T) {
	base, tr := stallServer(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/x/other")
		w.WriteHeader(http.StatusFound)
	})
	release := make(blocking)
	defer close(release)
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { <-release }})
	for name, tt := range map[string]struct {
		ctx context.Context //nolint:containedctx // of a table
		hc  *http.Client
	}{
		"a trace":         {trace, &http.Client{Transport: tr}},
		"a Jar":           {t.Context(), &http.Client{Transport: tr, Jar: release}},
		"a CheckRedirect": {t.Context(), &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { <-release; return nil }}},
	} {
		c := scriptReal(t, base, authos.WithHTTPClient(tt.hc))
		done := make(chan error, 1)
		go func() {
			done <- send(tt.ctx, c, "GET", "/x/thing", authos.WithoutRetry(), authos.WithAttemptTimeout(50*time.Millisecond))
		}()
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: Do = %v, want a timeout", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s holds up its call", name)
		}
	}
}

// A body that was left behind is closed, and what the caller's code throws at that ends no process.
func TestBodyThatIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &panickingBody{make(blocking), make(chan struct{})}
		defer close(body.blocking)
		c := through(t, respondWith(200, body, -1), authos.WithRetry(authos.RetryPolicy{AttemptTimeout: time.Second, MaxAttempts: 1}))
		if err := send(t.Context(), c, "GET", "/x/thing"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, want a timeout", err)
		}
		<-body.closed
		synctest.Wait()
	})
}

type panickingBody struct {
	blocking
	closed chan struct{}
}

func (b *panickingBody) Close() error {
	close(b.closed)
	panic("in Close")
}

// What has ended holds nothing of its caller's, however long it might have taken.
func TestEndedCallIsForgotten(t *testing.T) {
	type key struct{}
	base, tr := stallServer(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	c := scriptReal(t, base, authos.WithHTTPClient(&http.Client{Transport: tr}))
	for _, timeout := range []time.Duration{-1, time.Hour} {
		forgotten := make(chan struct{})
		func() {
			value := &struct{ large [1 << 10]byte }{}
			runtime.AddCleanup(value, func(c chan struct{}) { close(c) }, forgotten)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, value))
			defer cancel()
			noError(t, "Do", send(ctx, c, "GET", "/x/thing", authos.WithAttemptTimeout(timeout)))
		}()
		tr.CloseIdleConnections() // which may hold their last request
		for over := time.Now().Add(10 * time.Second); ; {
			runtime.GC()
			select {
			case <-forgotten:
			case <-time.After(10 * time.Millisecond):
				if time.Now().Before(over) {
					continue
				}
				t.Errorf("a timeout of %s: the context of a call that has ended is still held", timeout)
			}
			break
		}
	}
}

// stallServer serves until the test ends, and gives a transport of net/http's for it.
func stallServer(t *testing.T, http2 bool, h http.HandlerFunc) (base string, tr *http.Transport) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	tr = &http.Transport{}
	if srv.EnableHTTP2 = http2; http2 {
		srv.StartTLS()
		tr.ForceAttemptHTTP2 = true
		tr.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig //nolint:forcetypeassert // httptest makes it
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	t.Cleanup(tr.CloseIdleConnections)
	return srv.URL, tr
}
