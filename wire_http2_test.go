//go:debug x509usefallbackroots=1

package authos_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

// The servers of these tests are trusted by the whole process, so that the client's own transport
// is tested too.
var _ = func() bool { x509.SetFallbackRoots(h2test.Roots); return true }()

// h2Serve starts a server that misbehaves on HTTP/2.
func h2Serve(t *testing.T, handle func(*h2test.Stream)) (*h2test.Server, string) {
	t.Helper()
	s := &h2test.Server{Handle: handle}
	t.Cleanup(s.Close)
	return s, s.Listen()
}

var h2Quick = authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond, AttemptTimeout: 5 * time.Second})

// What an HTTP/2 server's end of a stream means for each kind of call: how often it is sent, and
// whether the outcome is known. Every sending is in the history.
func TestStreamsThatEnd(t *testing.T) {
	t.Parallel()
	reset := func(code uint32) func(*h2test.Stream) {
		return func(st *h2test.Stream) { st.Reset(code) }
	}
	goAway := func(last, code uint32) func(*h2test.Stream) {
		return func(st *h2test.Stream) {
			st.Conn.GoAway(last, code)
			_ = st.Conn.Close()
		}
	}
	const ( // what became of the request
		unprocessed = iota
		lost
	)
	ends := []struct {
		name string
		end  func(*h2test.Stream)
		what int
	}{
		{"REFUSED_STREAM", reset(h2test.RefusedStream), unprocessed},
		{"GOAWAY below the stream", goAway(0, h2test.NoError), unprocessed},
		{"GOAWAY below the stream, with an error", goAway(0, h2test.EnhanceYourCalm), unprocessed},
		{"GOAWAY at the stream", goAway(1<<31-1, h2test.NoError), lost},
		{"PROTOCOL_ERROR", reset(h2test.ProtocolError), lost},
		{"INTERNAL_ERROR", reset(h2test.InternalError), lost},
		{"CANCEL", reset(h2test.Cancel), lost},
		{"ENHANCE_YOUR_CALM", reset(h2test.EnhanceYourCalm), lost},
		{"HTTP_1_1_REQUIRED", reset(h2test.HTTP11Required), lost},
		{"the connection's end", func(st *h2test.Stream) { _ = st.Conn.Close() }, lost},
		{"bytes that are no frame", func(st *h2test.Stream) { st.Conn.Raw([]byte(strings.Repeat("\xff", 64))) }, lost},
	}
	calls := []struct {
		name, method, path string
		in                 any
		opts               []authos.RequestOption
		repeatable         bool // where the server may have acted
	}{
		{"GET", "GET", "/x/thing", nil, nil, true},
		{"HEAD", "HEAD", "/x/thing", nil, nil, true},
		{"DELETE", "DELETE", "/x/thing", nil, nil, true},
		{"PUT", "PUT", "/x/thing", map[string]string{"a": "b"}, nil, true},
		{"POST", "POST", "/x/thing", map[string]string{"a": "b"}, nil, false},
		{"POST WithIdempotent", "POST", "/x/thing", map[string]string{"a": "b"}, []authos.RequestOption{authos.WithIdempotent()}, true},
		{"POST with Idempotency-Key", "POST", "/x/thing", map[string]string{"a": "b"}, []authos.RequestOption{authos.WithHeader("Idempotency-Key", "k")}, false},
		{"PATCH", "PATCH", "/x/thing", map[string]string{"a": "b"}, nil, false},
		{"single-use POST", "POST", "/api/auth/mfa/verify", map[string]string{"code": "1"}, nil, false},
		{"single-use GET", "GET", "/api/auth/magic-link/verify?token=t", nil, nil, false},
	}
	for _, own := range []bool{true, false} {
		for _, end := range ends {
			for _, call := range calls {
				t.Run(fmt.Sprintf("own transport %t/%s/%s", own, end.name, call.name), func(t *testing.T) {
					t.Parallel()
					var received atomic.Int64
					_, base := h2Serve(t, func(st *h2test.Stream) {
						if received.Add(1) == 1 {
							end.end(st)
							return
						}
						body := `{"ok":true}`
						if st.Method == "HEAD" {
							body = ""
						}
						st.Respond(200, body, "Content-Type", "application/json")
					})
					opts := []authos.Option{h2Quick}
					if !own {
						hc := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: h2test.Roots, MinVersion: tls.VersionTLS12}}}
						t.Cleanup(hc.CloseIdleConnections)
						opts = append(opts, authos.WithHTTPClient(hc))
					}
					var resp authos.Response
					err := scriptReal(t, base, opts...).Do(t.Context(), call.method, call.path, call.in, nil, append(call.opts, authos.WithResponse(&resp))...)
					again := end.what == unprocessed || call.repeatable
					if own && call.name == "single-use GET" && strings.HasPrefix(end.name, "GOAWAY") {
						// else net/http does not tell it from PROTOCOL_ERROR
						again = strings.HasSuffix(end.name, "with an error")
					}
					want := int64(1)
					if again {
						want = 2
					}
					if again != (err == nil) || received.Load() != want || resp.Attempts != int(want) || len(resp.History) != int(want) {
						t.Errorf("Do = %v, received %d, %d attempts, history %v, want %d", err, received.Load(), resp.Attempts, resp.History, want)
					}
					if !again && !errors.Is(err, authos.ErrOutcomeUnknown) {
						t.Errorf("Do = %v, want the outcome unknown", err)
					}
				})
			}
		}
	}
}

// A server that speaks HTTP/1, and HTTP/2 from its second connection on, as after an upgrade. What
// a caller's own transport would send again over the new version is in the call's history, too.
func TestServerThatTurnsToHTTP2(t *testing.T) {
	var conns, received atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if received.Add(1) == 2 {
			abort(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"version":%d}`, r.ProtoMajor)
	}))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if conns.Add(1) > 1 {
			return nil, nil //nolint:nilnil // as it is
		}
		old := srv.TLS.Clone()
		old.NextProtos, old.GetConfigForClient = []string{"http/1.1"}, nil
		return old, nil
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	hc := srv.Client()
	c := scriptReal(t, srv.URL, h2Quick, authos.WithHTTPClient(hc))
	for i, want := range []struct{ version, sent int }{{1, 1}, {2, 2}} {
		var got struct{ Version int }
		var resp authos.Response
		before := received.Load()
		err := c.Do(t.Context(), "GET", "/x/thing", nil, &got, authos.WithResponse(&resp))
		sent := int(received.Load() - before)
		if err != nil || got.Version != want.version || sent != want.sent || len(resp.History) != sent || resp.Attempts != sent {
			t.Errorf("call %d: Do = %v over HTTP/%d, received %d, history %v, %d attempts, want HTTP/%d and %d of each",
				i, err, got.Version, sent, resp.History, resp.Attempts, want.version, want.sent)
		}
	}
}

// What was not processed is sent again at once also by a call of one attempt, but not for ever:
// three times in all, and then each repeat counts. That holds for a caller's own transport, too,
// which would go on by itself.
func TestUnprocessedIsRepeatedTwice(t *testing.T) {
	var unencrypted http.Protocols
	unencrypted.SetUnencryptedHTTP2(true)
	for name, end := range map[string]func(*h2test.Stream){
		"REFUSED_STREAM": func(st *h2test.Stream) { st.Reset(h2test.RefusedStream) },
		"GOAWAY": func(st *h2test.Stream) {
			st.Conn.GoAway(0, h2test.NoError)
			_ = st.Conn.Close()
		},
	} {
		for _, plain := range []bool{false, true} {
			for _, method := range []string{"GET", "POST"} {
				for _, attempts := range []int{1, 3} {
					var received atomic.Int64
					s := &h2test.Server{Plain: plain, Handle: func(st *h2test.Stream) {
						received.Add(1)
						end(st)
					}}
					base := s.Listen()
					t.Cleanup(s.Close)
					opts := []authos.Option{authos.WithRetry(authos.RetryPolicy{
						MaxAttempts: attempts, AttemptTimeout: 3 * time.Second, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond,
					})}
					if plain { // nothing that TLS says tells the version
						hc := &http.Client{Transport: &http.Transport{Protocols: &unencrypted}}
						t.Cleanup(hc.CloseIdleConnections)
						opts = append(opts, authos.WithHTTPClient(hc))
					}
					var resp authos.Response
					err := send(t.Context(), scriptReal(t, base, opts...), method, "/x/thing", authos.WithResponse(&resp))
					what := fmt.Sprintf("%s, plain %t, %s, %d attempts", name, plain, method, attempts)
					if n := received.Load(); n != int64(3*attempts) || resp.Attempts != 3*attempts || !errors.Is(err, authos.ErrNetwork) {
						t.Errorf("%s: Do = %v, received %d, Attempts %d, want %d of both", what, err, n, resp.Attempts, 3*attempts)
					}
					if errors.Is(err, authos.ErrOutcomeUnknown) {
						t.Errorf("%s: Do = %v, want the outcome known: nothing was processed", what, err)
					}
				}
			}
		}
	}
}

// A server that resets streams is not one whose connections were lost: each reset is a failure of
// its own, and they open the circuit.
func TestResetStreamsOpenTheCircuit(t *testing.T) {
	for _, code := range []uint32{h2test.ProtocolError, h2test.InternalError} {
		for _, method := range []string{"GET", "PUT"} {
			var received atomic.Int64
			_, base := h2Serve(t, func(st *h2test.Stream) {
				if received.Add(1) > 1 { // so that the connection has been used before
					st.Reset(code)
					return
				}
				st.Respond(200, `{"ok":true}`)
			})
			c, err := authos.New(base, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
			noError(t, "New", err)
			for range 10 {
				err = send(t.Context(), c, method, "/x/thing")
			}
			if !errors.Is(err, authos.ErrCircuitOpen) {
				t.Errorf("code %d, %s: the tenth call = %v after %d requests, want the circuit open", code, method, err, received.Load())
			}
			_ = c.Close()
		}
	}
}

// A connection that went silent is left after one attempt's time, with all others of its transport.
func TestSilentConnectionIsLeft(t *testing.T) {
	t.Run("HTTP/2", func(t *testing.T) {
		s, base := h2Serve(t, func(st *h2test.Stream) {
			if st.Conn.Number == 1 && st.Path == "/x/silent" {
				st.Conn.Silence()
				return
			}
			st.Respond(200, `{"ok":true}`)
		})
		c := scriptReal(t, base, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 300 * time.Millisecond, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, MaxAttempts: 2}))
		for _, path := range []string{"/x/thing", "/x/silent", "/x/thing"} {
			if err := send(t.Context(), c, "GET", path); err != nil {
				t.Errorf("Do(%s) = %v", path, err)
			}
		}
		if n := s.Conns.Load(); n != 2 {
			t.Errorf("%d connections, want the silent one and a new one", n)
		}
	})
	t.Run("HTTP/1", func(t *testing.T) {
		const idle = 20
		var silent atomic.Bool
		var arrived atomic.Int64
		var forgotten sync.Map // addresses
		hold := make(chan struct{})
		ctx, release := context.WithCancel(context.Background())
		srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
			if _, known := forgotten.Load(r.RemoteAddr); known && silent.Load() {
				<-ctx.Done() // as if nothing had come
				return
			}
			if !silent.Load() {
				forgotten.Store(r.RemoteAddr, true)
				if arrived.Add(1) == idle {
					close(hold)
				}
				<-hold
			}
			_, _ = io.WriteString(w, `{"ok":true}`)
		})
		defer release()
		c := scriptReal(t, srv.URL, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 300 * time.Millisecond, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, MaxAttempts: 2}))
		done := make(chan error, idle)
		for range idle {
			go func() { done <- send(context.Background(), c, "GET", "/x/thing") }()
		}
		for range idle {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		silent.Store(true)
		for range 3 {
			var resp authos.Response
			if err := send(t.Context(), c, "GET", "/x/thing", authos.WithResponse(&resp)); err != nil || resp.Attempts > 2 {
				t.Errorf("with %d silent connections Do = %v after %d attempts, want the second on a new one", idle, err, resp.Attempts)
			}
		}
	})
}

// Most calls end with a deadline of their caller's. A silent connection is left all the same: after
// one that was long, or a few that were short. So is that of a caller's own transport, where a new
// connection proves that the server is there.
func TestSilentConnectionAndDeadlines(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		for _, tt := range []struct {
			deadline time.Duration // 0: the attempt's timeout ends it, and the next is good
			fail     int
		}{{400 * time.Millisecond, 3}, {1100 * time.Millisecond, 1}, {0, 0}} {
			for _, version := range []string{"HTTP/1", "HTTP/2"} {
				t.Run(fmt.Sprintf("own=%t/%s/%s", own, version, tt.deadline), func(t *testing.T) {
					t.Parallel()
					transport := &http.Transport{MaxIdleConnsPerHost: 50, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: h2test.Roots, MinVersion: tls.VersionTLS12}}
					opts := []authos.Option{h2Quick}
					if !own {
						opts = append(opts, authos.WithHTTPClient(&http.Client{Transport: transport}))
						defer transport.CloseIdleConnections()
					}
					get := func(path string, c *authos.Client) error {
						if tt.deadline == 0 {
							return send(t.Context(), c, "GET", path, authos.WithAttemptTimeout(300*time.Millisecond))
						}
						ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
						defer cancel()
						return send(ctx, c, "GET", path)
					}
					base, silence := silentServer(t, version)
					c := scriptReal(t, base, opts...)
					silence(c)
					failed := 0
					for range 6 {
						if get("/x/thing", c) != nil {
							failed++
						}
					}
					// One more may: these are real seconds, on a machine that may be busy.
					if failed > tt.fail+1 {
						t.Errorf("%d calls of 6 failed, want %d: the server is healthy", failed, tt.fail)
					}
				})
			}
		}
	}
}

// silentServer is a server on whose connections nothing comes any more once silence was called,
// which warms them up. New ones work.
func silentServer(t *testing.T, version string) (base string, silence func(*authos.Client)) {
	t.Helper()
	const idle = 5
	if version == "HTTP/2" {
		var silent atomic.Bool
		_, base := h2Serve(t, func(st *h2test.Stream) {
			if silent.Load() && st.Conn.Number == 1 {
				st.Conn.Silence()
				return
			}
			st.Respond(200, `{"ok":true}`)
		})
		return base, func(c *authos.Client) {
			noError(t, "warming up", send(t.Context(), c, "GET", "/x/thing"))
			silent.Store(true)
		}
	}
	var silent atomic.Bool
	var arrived sync.WaitGroup
	var old sync.Map // addresses
	arrived.Add(idle)
	end := make(chan struct{})
	srv, _ := scriptServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch _, known := old.Load(r.RemoteAddr); {
		case known && silent.Load():
			<-end
			panic(http.ErrAbortHandler)
		case !silent.Load():
			old.Store(r.RemoteAddr, true)
			arrived.Done()
			arrived.Wait()
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	})
	t.Cleanup(func() { close(end) })
	return srv.URL, func(c *authos.Client) {
		var done sync.WaitGroup
		for range idle {
			done.Go(func() {
				if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		silent.Store(true)
	}
}

// A connection that is asked for signs of life and gives none is given up, before an attempt's
// default timeout.
func TestPing(t *testing.T) {
	transport := authos.NewTransportForTest()
	if total := transport.HTTP2.SendPingTimeout + transport.HTTP2.PingTimeout; transport.HTTP2.SendPingTimeout <= 0 || total >= 35*time.Second {
		t.Errorf("a silent connection is given up after %s, want it before the attempt's 35 s", total)
	}
	s, base := h2Serve(t, func(st *h2test.Stream) {
		if st.Path == "/x/silent" {
			st.Conn.Silence()
			return
		}
		st.Respond(200, `{"ok":true}`)
	})
	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 50*time.Millisecond, 200*time.Millisecond
	defer transport.CloseIdleConnections()
	c := scriptReal(t, base, authos.WithHTTPClient(&http.Client{Transport: transport}))
	if err := send(t.Context(), c, "GET", "/x/thing"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); s.Pings.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if s.Pings.Load() == 0 {
		t.Error("an idle connection was not asked for a sign of life")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := send(ctx, c, "GET", "/x/silent", authos.WithoutRetry()); !errors.Is(err, authos.ErrNetwork) || ctx.Err() != nil {
		t.Errorf("Do = %v, want the connection given up", err)
	}
	if err := send(t.Context(), c, "GET", "/x/thing"); err != nil || s.Conns.Load() != 2 {
		t.Errorf("Do = %v on %d connections, want a new one", err, s.Conns.Load())
	}
}

// The same outcomes mean the same over both versions of HTTP.
func TestOutcomesOverBothVersions(t *testing.T) {
	t.Parallel()
	outcomes := []struct {
		name    string
		respond http.HandlerFunc
		unsafe  bool // the server may have acted
		final   bool
		refused bool // before the handler
	}{
		{name: "502", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, unsafe: true},
		{name: "408", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(408) }, unsafe: true},
		{name: "404", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, final: true},
		{name: "501", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(501) }, final: true},
		{name: "425", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(425) }, refused: true},
		{name: "429", respond: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, refused: true},
		{name: "aborted", respond: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unsafe: true},
		{name: "aborted in the body", respond: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, unsafe: true},
	}
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, o := range outcomes {
			for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE"} {
				t.Run(version+"/"+o.name+"/"+method, func(t *testing.T) {
					t.Parallel()
					var received atomic.Int64
					srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						if r.Proto != version {
							t.Errorf("the server was asked over %s", r.Proto)
						}
						if received.Add(1) == 1 {
							o.respond(w, r)
							return
						}
						_, _ = io.WriteString(w, `{"ok":true}`)
					}))
					srv.EnableHTTP2 = version == "HTTP/2.0"
					srv.StartTLS()
					defer srv.Close()
					hc := srv.Client()
					defer hc.CloseIdleConnections()
					var resp authos.Response
					err := send(t.Context(), scriptReal(t, srv.URL, h2Quick, authos.WithHTTPClient(hc)), method, "/x/thing", authos.WithResponse(&resp))
					repeatable := method != "POST" && method != "PATCH"
					again := !o.final && (o.refused || repeatable)
					want := 1
					if again {
						want = 2
					}
					if again != (err == nil) || received.Load() != int64(want) || resp.Attempts != want {
						t.Errorf("Do = %v, received %d, Attempts %d, want %d", err, received.Load(), resp.Attempts, want)
					}
					if got := errors.Is(err, authos.ErrOutcomeUnknown); got != (o.unsafe && !repeatable) {
						t.Errorf("Do = %v, outcome unknown = %t", err, got)
					}
				})
			}
		}
	}
}

// A refresh is presented once over HTTP/2 as well, whatever becomes of its stream.
func TestRefreshIsPresentedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*h2test.Stream)
		want int64
	}{
		"PROTOCOL_ERROR":  {func(st *h2test.Stream) { st.Reset(h2test.ProtocolError) }, 1},
		"INTERNAL_ERROR":  {func(st *h2test.Stream) { st.Reset(h2test.InternalError) }, 1},
		"connection lost": {func(st *h2test.Stream) { _ = st.Conn.Close() }, 1},
		"REFUSED_STREAM":  {func(st *h2test.Stream) { st.Reset(h2test.RefusedStream) }, 2},
	} {
		var presented atomic.Int64
		_, base := h2Serve(t, func(st *h2test.Stream) {
			switch {
			case st.Path == "/api/auth/refresh" && presented.Add(1) == 1:
				tt.end(st)
			case st.Path == "/api/auth/refresh":
				st.Respond(200, `{"access_token":"new-access-token","refresh_token":"new-refresh-token","expires_in":3600}`)
			case st.Header.Get("Authorization") == "Bearer new-access-token":
				st.Respond(200, `{"id":"u1","email":"ada@example.com"}`)
			default:
				st.Respond(401, `{"error":"Invalid token","error_code":"JWT_ERROR"}`)
			}
		})
		c := scriptReal(t, base, h2Quick, authos.WithTokens(authos.Tokens{AccessToken: "old-access-token", RefreshToken: "old-refresh-token"}))
		_, err := c.User.Get(t.Context())
		if presented.Load() != tt.want || (err == nil) != (tt.want == 2) {
			t.Errorf("%s: Get = %v, presented %d times, want %d", name, err, presented.Load(), tt.want)
		}
		if errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("%s: Get = %v: nobody has said that the session is over", name, err)
		}
	}
}

// A server that makes a window too large locks its connection in net/http up to Go 1.26: a request
// on it never ends there, nor does any later one on the same transport. The call ends all the same,
// the next one goes another way, and Close returns.
func TestTransportThatHangsIsLeft(t *testing.T) {
	tooLarge := []byte{0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff} // WINDOW_UPDATE
	for _, path := range []string{"/x/thing", "/api/auth/refresh"} {
		var locked atomic.Int64
		s, base := h2Serve(t, func(st *h2test.Stream) {
			if st.Path == path && locked.Add(1) == 1 {
				binary.BigEndian.PutUint32(tooLarge[5:], st.ID)
				st.Conn.Raw(tooLarge)
				return
			}
			if st.Path == "/api/auth/refresh" {
				st.Respond(200, `{"access_token":"b","refresh_token":"s","expires_in":900}`)
				return
			}
			st.Respond(200, `{"ok":true}`)
		})
		c := scriptReal(t, base, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: 200 * time.Millisecond, MaxAttempts: 1}))
		ask := func(n int) error {
			if path == "/x/thing" {
				return send(t.Context(), c, "GET", path)
			}
			_, err := c.Auth.Refresh(t.Context(), fmt.Sprint("r", n))
			return err
		}
		if err := ask(0); err == nil {
			t.Errorf("%s: the first request = nil, want an error: its connection is locked", path)
		}
		for n := range 2 {
			if err := ask(n + 1); err != nil {
				t.Errorf("%s: %v, want a new connection", path, err)
			}
		}
		noError(t, "Close", c.Close())
		s.Close()
	}
}

// Close returns also where nobody has noticed yet that a connection is locked.
func TestCloseOfATransportThatHangs(t *testing.T) {
	locked := make(chan struct{})
	_, base := h2Serve(t, func(st *h2test.Stream) {
		st.Conn.Raw(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 0, 4, 8, 0}, st.ID), 1<<31-1))
		close(locked)
	})
	c := scriptReal(t, base, authos.WithRetry(authos.RetryPolicy{AttemptTimeout: time.Hour, MaxAttempts: 1}))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ended, closed := make(chan struct{}), make(chan struct{})
	go func() {
		_ = send(ctx, c, "GET", "/x/thing")
		close(ended)
	}()
	<-locked
	go func() {
		_ = c.Close()
		close(closed)
	}()
	for _, what := range []chan struct{}{closed, ended} {
		select {
		case <-what:
			leave()
		case <-time.After(10 * time.Second):
			t.Fatal("Close, or the call that was given up, has not ended")
		}
	}
}
