package authos_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

// through is a client of a transport that is a function.
func through(t *testing.T, f func(*http.Request) (*http.Response, error), opts ...authos.Option) *authos.Client {
	t.Helper()
	return clientWithoutBreaker(t, roundTripper(f), opts...)
}

func respondWith(status int, body io.ReadCloser, length int64) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: body, ContentLength: length, Request: req}, nil
	}
}

// blocking is a body, or a transport, that does not end and hears of no context.
type blocking chan struct{}

func (b blocking) Read([]byte) (int, error)                        { <-b; return 0, io.EOF }
func (b blocking) Close() error                                    { return nil }
func (b blocking) RoundTrip(*http.Request) (*http.Response, error) { <-b; return nil, io.EOF }
func (b blocking) SetCookies(*url.URL, []*http.Cookie)             {}
func (b blocking) Cookies(*url.URL) []*http.Cookie                 { <-b; return nil }

// deafConn is a connection that responds with some bytes, and then blocks, whatever is closed.
type deafConn struct {
	blocking
	first *strings.Reader
	asked chan struct{}
	once  sync.Once
}

func (c *deafConn) Read(p []byte) (int, error) {
	<-c.asked
	if c.first.Len() > 0 {
		return c.first.Read(p)
	}
	return c.blocking.Read(p)
}

func (c *deafConn) Write(p []byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	return len(p), nil
}
func (c *deafConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *deafConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *deafConn) SetDeadline(time.Time) error      { return nil }
func (c *deafConn) SetReadDeadline(time.Time) error  { return nil }
func (c *deafConn) SetWriteDeadline(time.Time) error { return nil }

// Nothing foreign outlives an attempt's time, or holds up a caller who has left.
func TestForeignCodeThatBlocks(t *testing.T) {
	never := make(blocking)
	good := roundTripper(respondWith(200, http.NoBody, 0))
	for name, tt := range map[string]struct {
		hc     http.Client
		status int
	}{
		"transport":        {http.Client{Transport: never}, 0},
		"body":             {http.Client{Transport: roundTripper(respondWith(200, never, -1))}, 0},
		"body of an error": {http.Client{Transport: roundTripper(respondWith(503, never, -1))}, 503},
		"jar":              {http.Client{Transport: good, Jar: never}, 0},
		"proxy function":   {http.Client{}, 0},
		"connection":       {http.Client{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(blocking)
				defer close(release)
				hc := tt.hc
				switch name {
				case "transport":
					hc.Transport = release
				case "jar":
					hc.Jar = release
				case "proxy function":
					hc.Transport = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { <-release; return nil, io.EOF }}
				case "connection":
					hc.Transport = &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
						return &deafConn{blocking: release, asked: make(chan struct{}), first: strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")}, nil
					}}
				default:
					hc.Transport = roundTripper(respondWith(max(tt.status, 200), release, -1))
				}
				c, err := authos.New(testBase, authos.WithHTTPClient(&hc), authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 10 * time.Second, MaxAttempts: 1}))
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				err = send(t.Context(), c, "POST", "/x/thing")
				if took := time.Since(start); took.Round(100*time.Millisecond) != 10*time.Second || statusOf(err) != tt.status || err == nil {
					t.Errorf("Do = %v after %s, want status %d after the attempt's 10 s", err, took, tt.status)
				}
				if !errors.Is(err, authos.ErrOutcomeUnknown) {
					t.Errorf("Do = %v, want the outcome unknown", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start = time.Now()
				err = send(ctx, c, "GET", "/x/thing")
				if took := time.Since(start); took.Round(100*time.Millisecond) != time.Second || err == nil {
					t.Errorf("Do = %v after %s, want it to end with the caller's context", err, took)
				}
			})
		})
	}
}

// What is longer than is kept of an error is not waited for.
func TestLongErrorIsNotAwaited(t *testing.T) {
	for _, status := range []int{400, 404, 500, 599} {
		synctest.Test(t, func(t *testing.T) {
			rest := make(blocking)
			defer close(rest)
			body := io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 64<<10+1)), rest))
			start := time.Now()
			err := send(t.Context(), through(t, respondWith(status, body, -1)), "GET", "/x/thing", authos.WithoutRetry())
			if took := time.Since(start); statusOf(err) != status || took > 0 {
				t.Errorf("Do = %v after %v, want status %d at once", err, took, status)
			}
		})
	}
}

// The deadline that a foreign transport sees is the first of the attempt's end and the caller's
// own, and none where there is none.
func TestDeadlineOfARequest(t *testing.T) {
	for _, tt := range []struct{ attempt, caller, want time.Duration }{ // 0: none
		{0, 0, 0}, {10 * time.Second, 0, 10 * time.Second}, {0, 5 * time.Second, 5 * time.Second},
		{10 * time.Second, 5 * time.Second, 5 * time.Second}, {10 * time.Second, 20 * time.Second, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, got := time.Now(), time.Duration(-1)
			c := through(t, func(req *http.Request) (*http.Response, error) {
				deadline, ok := req.Context().Deadline()
				if got = 0; ok {
					got = deadline.Sub(start)
				}
				return okReply().response(req), nil
			}, authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1, AttemptTimeout: cmp.Or(tt.attempt, -1)}))
			ctx := t.Context()
			if tt.caller > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.caller)
				defer cancel()
			}
			if err := send(ctx, c, "GET", "/x/thing"); err != nil || got != tt.want {
				t.Errorf("%+v: Do = %v, deadline after %v", tt, err, got)
			}
		})
	}
}

// A foreign transport that gets its connection when the store's lock is too old is told so, and has
// no refresh token to send even where it does not listen.
func TestSlowConnectionOfARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newLockStore()
		store.put(oldTokens)
		var refreshes atomic.Int64
		c := through(t, func(req *http.Request) (*http.Response, error) {
			if req.URL.Path != refreshPath {
				return apiError(401, "JWT_ERROR").response(req), nil
			}
			if refreshes.Add(1) > 1 {
				return nil, dialRefused()
			}
			time.Sleep(5 * time.Second) // lost SYNs
			if err := req.Context().Err(); err != nil {
				t.Errorf("the context has ended before there is a connection: %v", err)
			}
			httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{})
			if body, err := io.ReadAll(req.Body); err != nil || len(body) > 0 || req.Context().Err() == nil {
				t.Errorf("a body of %d bytes (%v), and the context ends with %v; want none, and its end", len(body), err, req.Context().Err())
			}
			return nil, req.Context().Err()
		}, authos.WithTokenStore(store))
		if err := getUser(t, c); err == nil || refreshes.Load() < 2 {
			t.Errorf("Get = %v after %d refreshes, want another one, since the token has not left", err, refreshes.Load())
		}
	})
}

// A panic of the caller's own code, or its end of the goroutine, happens to the caller, and leaves
// nothing wedged.
func TestForeignCodeThatPanicsOrExits(t *testing.T) {
	boom := errors.New("boom")
	var bad atomic.Bool
	for name, end := range map[string]func(){
		"panic": func() { panic(boom) },
		"exit":  func() { (&testing.T{}).SkipNow() },
	} {
		for place, rt := range map[string]roundTripper{
			"transport": func(req *http.Request) (*http.Response, error) {
				if bad.Load() {
					end()
				}
				return respondWith(200, http.NoBody, 0)(req)
			},
			"body": func(req *http.Request) (*http.Response, error) {
				if bad.Load() {
					return respondWith(200, reader(end), -1)(req)
				}
				return respondWith(200, http.NoBody, 0)(req)
			},
		} {
			c, err := authos.New(testBase, authos.WithHTTPClient(&http.Client{Transport: rt}))
			if err != nil {
				t.Fatal(err)
			}
			for range 20 { // more than open a circuit
				bad.Store(true)
				recovered := make(chan any, 1)
				go func() {
					returned := false
					defer func() {
						p := recover()
						if returned {
							p = "returned"
						}
						recovered <- p
					}()
					_ = send(context.Background(), c, "GET", "/x/thing")
					returned = true
				}()
				want := any(boom)
				if name == "exit" {
					want = nil
				}
				if got := <-recovered; got != want {
					t.Fatalf("%s in the %s: the caller got %v, want %v", name, place, got, want)
				}
			}
			bad.Store(false)
			if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
				t.Errorf("%s in the %s: the next call: %v", name, place, err)
			}
			_ = c.Close()
		}
	}
}

type reader func()

func (r reader) Read([]byte) (int, error) { r(); return 0, io.EOF }
func (reader) Close() error               { return nil }

// A transport's panic during a refresh ends no process: it is raised in the goroutine of a caller.
func TestTransportThatPanicsInARefresh(t *testing.T) {
	c := through(t, func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/api/auth/refresh" {
			panic("in a refresh")
		}
		return apiError(401, "JWT_ERROR").response(req), nil
	}, authos.WithTokens(authos.Tokens{AccessToken: "access-token", RefreshToken: "refresh-token"}))
	defer func() {
		if r := recover(); r != "in a refresh" {
			t.Errorf("recovered %v, want the transport's panic", r)
		}
	}()
	_, err := c.User.Get(t.Context())
	t.Errorf("Get = %v, want a panic", err)
}

func TestHostileBytes(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(`{"ok":true}`))
	_ = z.Close()
	raw := func(head, body string) string { return "HTTP/1.1 " + head + "\r\n\r\n" + body }
	for name, tt := range map[string]struct {
		response string
		sent     int64
		status   int  // of an *APIError
		decode   bool // a *DecodeError
		ok       bool
	}{
		"huge length":               {raw("200 OK\r\nContent-Length: 9223372036854775807", `{"ok":true}`), 2, 0, false, false},
		"huge length of an error":   {raw("404 Not Found\r\nContent-Length: 9223372036854775807", `{"error":"x","error_code":"NOT_FOUND"}`), 1, 404, false, false},
		"unasked 101":               {raw("101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade", ""), 1, 0, true, false},
		"gzip on a plain body":      {raw("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22", `{"ok":true,"b":"ccccc"}`[:22]), 1, 0, true, false},
		"gzip on a plain error":     {raw("404 Not Found\r\nContent-Encoding: gzip\r\nContent-Length: 22", `{"error":"x","b":"ccc"}`[:22]), 1, 404, false, false},
		"gzip with a wrong sum":     {raw(fmt.Sprintf("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d", zipped.Len()), zipped.String()[:zipped.Len()-8]+"abcdefgh"), 1, 0, true, false},
		"gzip":                      {raw(fmt.Sprintf("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d", zipped.Len()), zipped.String()), 1, 0, false, true},
		"byte order mark":           {raw("200 OK\r\nContent-Length: 14", "\xef\xbb\xbf"+`{"ok":true}`), 1, 0, false, true},
		"byte order mark, an error": {raw("404 Not Found\r\nContent-Length: 41", "\xef\xbb\xbf"+`{"error":"x","error_code":"NOT_FOUND"}`), 1, 404, false, false},
		"no HTTP":                   {"SSH-2.0-x\r\n\r\n", 2, 0, false, false},
		"two lengths":               {raw("200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "{}"), 2, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			l := listenRaw(t, func(c net.Conn) {
				if !readRequest(c) {
					return
				}
				sent.Add(1)
				_, _ = io.WriteString(c, tt.response)
				_, _ = io.Copy(io.Discard, c)
			})
			c := scriptReal(t, "http://"+l, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2, AttemptTimeout: 300 * time.Millisecond, BaseDelay: time.Millisecond}))
			var out struct{ OK bool }
			err := c.Do(t.Context(), "GET", "/x/thing", nil, &out)
			_, decode := errors.AsType[*authos.DecodeError](err)
			if sent.Load() != tt.sent || statusOf(err) != tt.status || decode != tt.decode || tt.ok != (err == nil && out.OK) {
				t.Errorf("Do = %v, sent %d, want %d requests, status %d, DecodeError %t, success %t", err, sent.Load(), tt.sent, tt.status, tt.decode, tt.ok)
			}
		})
	}
	if err := through(t, func(*http.Request) (*http.Response, error) { return nil, nil }, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})).Do(t.Context(), "GET", "/x/thing", nil, nil); !errors.Is(err, authos.ErrNetwork) { //nolint:nilnil // that is the point
		t.Errorf("no response and no error: Do = %v, want ErrNetwork", err)
	}
	for _, length := range []int64{-1, 0, 7, math.MaxInt64, math.MinInt64} {
		if err := through(t, respondWith(204, nil, length)).Do(t.Context(), "GET", "/x/thing", nil, nil); err != nil {
			t.Errorf("no Body, length %d: Do = %v", length, err)
		}
	}
	if err := through(t, respondWith(200, idle{}, -1), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})).Do(t.Context(), "GET", "/x/thing", nil, nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a body that gives nothing: Do = %v", err)
	}
}

// idle is a body that gives nothing, and no error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }
func (idle) Close() error             { return nil }

// listenRaw gives each connection to f, and ends them with the test.
func listenRaw(t *testing.T, f func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() {
					_ = c.Close()
					mu.Lock()
					defer mu.Unlock()
					delete(conns, c)
				}()
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// readRequest reads a request without a body.
func readRequest(c net.Conn) bool {
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte("\r\n\r\n")) {
		n, err := c.Read(buf)
		if err != nil {
			return false
		}
		got = append(got, buf[:n]...)
	}
	return true
}

// The cookies of a Jar are the same on every attempt, beside the caller's own.
func TestJarCookiesPerAttempt(t *testing.T) {
	base, _ := url.Parse(testBase)
	for _, own := range []string{"", "own=o1"} {
		jar, err := cookiejar.New(nil)
		noError(t, "cookiejar.New", err)
		jar.SetCookies(base, []*http.Cookie{{Name: "affinity", Value: "a1"}})
		rt := scripted(proxyPage(502), scriptRedirect(302, "/x/other"), okReply())
		rt.replies[0].header["Set-Cookie"] = "fresh=f1"
		c, err := authos.New(testBase, authos.WithHTTPClient(&http.Client{Transport: rt, Jar: jar}), authos.WithRetry(authos.RetryPolicy{BaseDelay: 1, MaxDelay: 1}))
		noError(t, "New", err)
		defer func() { _ = c.Close() }()
		var opts []authos.RequestOption
		if own != "" {
			opts = append(opts, authos.WithHeader("Cookie", own))
		}
		noError(t, "Do", send(t.Context(), c, "GET", "/x/thing", opts...))
		for i, seen := range rt.requests() {
			want := []string{"affinity=a1"}
			if i > 0 {
				want = append(want, "fresh=f1")
			}
			if own != "" {
				want = append(want, own)
			}
			if got := strings.Split(strings.Join(seen.header["Cookie"], "; "), "; "); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Errorf("request %d: cookies %q, want %q", i+1, got, want)
			}
		}
	}
}

// An attempt's time is that of all its redirects together.
func TestAttemptTimeoutOverRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hop := scriptRedirect(302, "/x/again")
		hop.took = 3 * time.Second
		c := clientWithoutBreaker(t, scripted(hop), authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 10 * time.Second, MaxAttempts: 1}))
		start := time.Now()
		err := send(t.Context(), c, "GET", "/x/thing")
		if took := time.Since(start); took != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v after %s, want the attempt's 10 s for all redirects", err, took)
		}
	})
}

// TLS refuses before anything is processed, be it that it says so after the request has left: the
// next attempt would go the same way.
func TestTLSRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server *tls.Config
		client *tls.Config // nil: our own transport
	}{
		"client certificate, TLS 1.3": {&tls.Config{ClientAuth: tls.RequireAnyClientCert}, nil},
		"client certificate, TLS 1.2": {&tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, nil},
		"protocol version":            {&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, nil},
		"unrecognized name": {&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, errors.New("no such name")
		}}, nil},
		"certificate not trusted": {&tls.Config{}, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "other.test"}},
	} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			for _, method := range []string{"GET", "POST"} {
				t.Run(name+"/"+protocol+"/"+method, func(t *testing.T) {
					t.Parallel()
					config := tt.server.Clone()
					config.Certificates, config.NextProtos = []tls.Certificate{h2test.Certificate}, []string{protocol}
					l := listenRaw(t, func(c net.Conn) {
						_ = tls.Server(c, config).Handshake()
						_, _ = io.Copy(io.Discard, c)
					})
					opts := []authos.Option{h2Quick}
					if tt.client != nil {
						transport := &http.Transport{TLSClientConfig: tt.client.Clone(), ForceAttemptHTTP2: true}
						t.Cleanup(transport.CloseIdleConnections)
						opts = append(opts, authos.WithHTTPClient(&http.Client{Transport: transport}))
					}
					var resp authos.Response
					err := send(t.Context(), scriptReal(t, "https://"+l, opts...), method, "/x/thing", authos.WithResponse(&resp))
					network, ok := errors.AsType[*authos.NetworkError](err)
					if !ok || network.Op != "dial" || resp.Attempts != 1 || authos.Retryable(err) || errors.Is(err, authos.ErrOutcomeUnknown) {
						t.Errorf("Do = %v (%+v), %d attempts, want one, op dial, final and known", err, network, resp.Attempts)
					}
				})
			}
		}
	}
}

// A proxy that does not let a request through says so in the error, and is not asked again; one
// that cannot reach the server now is.
func TestProxyRefusesToConnect(t *testing.T) {
	for status, attempts := range map[int]int{407: 1, 403: 1, 502: 2, 503: 2} {
		for _, own := range []bool{true, false} {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
			u, _ := url.Parse(proxy.URL)
			transport := &http.Transport{}
			if own {
				transport = authos.NewTransportForTest()
			}
			transport.Proxy = http.ProxyURL(u)
			c, err := authos.New("https://authos.test", authos.WithHTTPClient(&http.Client{Transport: transport}),
				authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2, BaseDelay: time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{"GET", "POST"} {
				var resp authos.Response
				err := send(t.Context(), c, method, "/x/thing", authos.WithResponse(&resp))
				if err == nil || !strings.Contains(err.Error(), "proxy") || resp.Attempts != attempts || errors.Is(err, authos.ErrOutcomeUnknown) {
					t.Errorf("%s, CONNECT refused with %d: Do = %v after %d attempts, want %d and the word proxy", method, status, err, resp.Attempts, attempts)
				}
			}
			_ = c.Close()
			proxy.Close()
		}
	}
}

// Of a proxy behind a caller's own transport no more is known than a phrase, or less. The error
// names the proxy all the same.
func TestProxyThatSaysLittle(t *testing.T) {
	for name, said := range map[string]string{
		"a phrase of its own": "HTTP/1.1 407 Nope\r\n\r\n", "no phrase": "HTTP/1.1 403 \r\n\r\n", "no HTTP": "220 ready\r\n", "nothing": "",
	} {
		proxy := &url.URL{Scheme: "http", Host: listenRaw(t, func(c net.Conn) {
			if readRequest(c) {
				_, _ = io.WriteString(c, said)
			}
		})}
		c := clientWithoutBreaker(t, &http.Transport{Proxy: http.ProxyURL(proxy)}, h2Quick)
		err := send(t.Context(), c, "POST", "/x/thing")
		if !errors.Is(err, authos.ErrNetwork) || !strings.Contains(err.Error(), "the proxy made no connection") || errors.Is(err, authos.ErrOutcomeUnknown) {
			t.Errorf("%s: Do = %v, want the proxy named and nothing sent", name, err)
		}
	}
	socks := &url.URL{Scheme: "socks5", Host: listenRaw(t, func(c net.Conn) {
		buf := make([]byte, 400)
		_, _ = c.Read(buf)
		_, _ = c.Write([]byte{5, 0})
		_, _ = c.Read(buf)
		_, _ = c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0}) // not allowed by the rules
	})}
	var resp authos.Response
	err := send(t.Context(), clientWithoutBreaker(t, &http.Transport{Proxy: http.ProxyURL(socks)}, h2Quick), "GET", "/x/thing", authos.WithResponse(&resp))
	if resp.Attempts != 1 || authos.Retryable(err) {
		t.Errorf("forbidden by a SOCKS proxy: Do = %v after %d attempts, want it final", err, resp.Attempts)
	}
}

// What a transport says of its own context is not the end of the attempt, or of the caller.
func TestTransportsOwnContextError(t *testing.T) {
	cause := errors.New("no token from the metadata server")
	for _, own := range []error{context.Canceled, context.DeadlineExceeded} {
		for _, method := range []string{"GET", "POST"} {
			c := through(t, func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("%w: %w", cause, own) }, h2Quick)
			err := send(t.Context(), c, method, "/x/thing")
			if !errors.Is(err, cause) || !errors.Is(err, authos.ErrNetwork) || strings.Contains(err.Error(), "attempt's timeout") {
				t.Errorf("%s, %v: Do = %v, want its cause, and ErrNetwork", method, own, err)
			}
		}
	}
}

// A refresh, and the request that is sent again after it, do not share the connection on which a
// large request was refused: the server may have left its body unread and be closing it.
func TestRefusedLargeRequestLeavesItsConnection(t *testing.T) {
	var mu sync.Mutex
	byPath := map[string]map[string]bool{}
	srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if byPath[r.URL.Path] == nil {
			byPath[r.URL.Path] = map[string]bool{}
		}
		if byPath[r.URL.Path][r.RemoteAddr] {
			t.Errorf("%s came twice on one connection", r.URL.Path)
		}
		byPath[r.URL.Path][r.RemoteAddr] = true
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Path == "/api/auth/refresh":
			_, _ = io.WriteString(w, `{"access_token":"new-access-token","refresh_token":"new-refresh-token","expires_in":3600}`)
		case r.Header.Get("Authorization") != "Bearer new-access-token":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"error":"Invalid token","error_code":"JWT_ERROR"}`)
		default:
			_, _ = io.WriteString(w, `{"id":"u1","email":"ada@example.com"}`)
		}
	})
	theirs := &http.Transport{}
	defer theirs.CloseIdleConnections()
	for _, opts := range [][]authos.Option{nil, {authos.WithHTTPClient(&http.Client{Transport: theirs})}} {
		clear(byPath)
		opts = append(opts, authos.WithTokens(authos.Tokens{AccessToken: "old-access-token", RefreshToken: "old-refresh-token"}))
		err := scriptReal(t, srv.URL, opts...).Do(t.Context(), "PATCH", "/api/user", map[string]string{"name": strings.Repeat("y", 64<<10)}, nil)
		noError(t, "Do", err)
		for address := range byPath["/api/auth/refresh"] {
			if byPath["/api/user"][address] {
				t.Error("the refresh was sent on a connection of the call")
			}
		}
	}
}

// Headers and a small body leave in one write.
func TestSmallRequestLeavesInOneWrite(t *testing.T) {
	var writes atomic.Int64
	srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	})
	transport := authos.NewTransportForTest()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &countingConn{conn, &writes}, err
	}
	defer transport.CloseIdleConnections()
	c := scriptReal(t, srv.URL, authos.WithHTTPClient(&http.Client{Transport: transport}))
	for _, size := range []int{10, 3000} {
		writes.Store(0)
		if err := c.Do(t.Context(), "POST", "/x/thing", map[string]string{"a": strings.Repeat("b", size)}, nil); err != nil || writes.Load() != 1 {
			t.Errorf("a body of %d bytes: Do = %v in %d writes, want one", size, err, writes.Load())
		}
	}
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A byte order mark belongs to a body that is no JSON.
func TestByteOrderMarkOfATable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t)
		for body, want := range map[string]string{"\xef\xbb\xbfname,slug\n": "\xef\xbb\xbfname,slug\n", "\xef\xbb\xbf": "\xef\xbb\xbf", "\xef\xbb\xbf []": " []"} {
			web.play(say(200, body))
			var got []byte
			noError(t, "Do", c.Do(t.Context(), "GET", "/x/table", nil, &got))
			equal(t, "the body", string(got), want)
		}
	})
}
