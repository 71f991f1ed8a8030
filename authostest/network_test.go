package authostest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

// overTLS makes a server that speaks HTTP/2, and a client that keeps its connection.
func overTLS(t *testing.T, opts ...authostest.Option) (*authostest.Server, *client) {
	t.Helper()
	srv := authostest.New(append(opts, authostest.WithTLS())...)
	t.Cleanup(srv.Close)
	return srv, &client{t, srv.URL, *srv.HTTPClient()}
}

func TestTLS(t *testing.T) {
	srv, c := overTLS(t)
	key := "X-Api-Key: " + srv.AddAPIKey()
	got := c.do("GET", "/health", "")
	if got.ProtoMajor != 2 || !strings.HasPrefix(srv.URL, "https://127.0.0.1:") || srv.Certificate() == nil {
		t.Errorf("%s over %s", srv.URL, got.Proto)
	}
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			c.expect(201, jsonType, `{"id":"<…>","email":"<…>","created_at":"<…>Z"}`, "POST", userPath,
				fmt.Sprintf(`{"email":"u%d@example.com","padding":"%s"}`, i, strings.Repeat("x", 40_000)), key)
		})
	}
	group.Wait()
	if claims := decodePayload(t, srv.SignIn("ada@example.com").AccessToken); claims["iss"] != srv.URL {
		t.Errorf("iss = %v", claims["iss"])
	}
	// HTTP/1 over the same port.
	shared, ok := srv.HTTPClient().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the transport is a %T", srv.HTTPClient().Transport)
	}
	one := shared.Clone()
	one.Protocols = &http.Protocols{}
	one.Protocols.SetHTTP1(true)
	one.TLSClientConfig.NextProtos = nil
	defer one.CloseIdleConnections()
	old := &client{t, srv.URL, http.Client{Transport: one}}
	if got := old.do("GET", "/health", ""); got.ProtoMajor != 1 {
		t.Errorf("over %s", got.Proto)
	}
	// Who does not trust the certificate gets no further.
	stranger := &http.Transport{}
	defer stranger.CloseIdleConnections()
	if _, err := (&http.Client{Transport: stranger}).Get(srv.URL + "/health"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("err = %v, want an unknown certificate", err)
	}
}

func TestHTTP2Resets(t *testing.T) {
	srv, c := overTLS(t)
	for _, tc := range []struct {
		code uint32
		kind authostest.FaultKind
		want string
	}{
		{0, authostest.ResetBefore, "INTERNAL_ERROR"},
		{8, authostest.ResetBefore, "CANCEL"},
		{11, authostest.ResetAfter, "ENHANCE_YOUR_CALM"},
	} {
		srv.Reset()
		srv.Fault(authostest.Fault{Path: "/health", Kind: tc.kind, Code: tc.code})
		if _, err := c.try(c.request("GET", "/health", "")); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("code %d: %v, want %s", tc.code, err, tc.want)
		}
		if got := c.do("GET", "/health/live", ""); got.StatusCode != 200 {
			t.Errorf("the connection did not outlive a stream: %d", got.StatusCode)
		}
	}
	srv.Reset()
	srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.ResetBefore, Code: 7, Times: 1}) // REFUSED_STREAM
	c.expect(200, jsonType, `{"status":"healthy","version":"<…>"}`, "GET", "/health", "")         // the client repeats it by itself
	if n := srv.Count("", "/health"); n != 2 {
		t.Errorf("%d requests, want the refused one and its repeat", n)
	}
	srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.TruncateBody, Times: 1})
	if _, err := c.try(c.request("GET", "/health", "")); err == nil {
		t.Error("half a body arrived as a whole one")
	}
}

func TestHTTP2GoAway(t *testing.T) {
	srv, c := overTLS(t)
	auth := bearer(srv.SignIn("ada@example.com").AccessToken)
	c.do("GET", "/health", "")
	srv.Fault(authostest.Fault{Path: "/api/user/mfa/setup", Kind: authostest.GoAwayBefore, Times: 1})
	// Not processed, says the frame, so the client may repeat even this.
	c.walk(step{auth, "POST", "/api/user/mfa/setup", "", 200, ""})
	if n := srv.Applied()["POST /api/user/mfa/setup"]; n != 1 || srv.Count("", "/api/user/mfa/setup") != 2 {
		t.Errorf("set up %d times by %d requests", n, srv.Count("", "/api/user/mfa/setup"))
	}
	srv.Reset()
	srv.Fault(authostest.Fault{Path: "/api/user/mfa/setup", Kind: authostest.GoAwayAfter, Times: 1})
	c.walk(step{auth, "POST", "/api/user/mfa/setup", "", 200, ""})
	var reused bool
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
	if _, err := c.try(c.request("GET", "/health", "").WithContext(trace)); err != nil || reused {
		t.Errorf("err = %v, the connection was used again: %t", err, reused)
	}
	if n := srv.Count("", "/api/user/mfa/setup"); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

func TestHTTP2Silence(t *testing.T) {
	srv, c := overTLS(t)
	c.do("GET", "/health", "")
	srv.Fault(authostest.Fault{Path: "/health/live", Kind: authostest.Silence, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.try(c.request("GET", "/health/live", "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the deadline", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.try(c.request("GET", "/health", "").WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want the whole connection silent", err)
	}
	c.http.CloseIdleConnections()
	srv.CutConnections()
	for range 3 { // until the client has noticed
		if _, err := c.try(c.request("GET", "/health", "")); err == nil {
			return
		}
	}
	t.Error("no new connection")
}

// TestCloseUnread: a refusal that leaves the body unread costs the request that follows
// on the connection.
func TestCloseUnread(t *testing.T) {
	for _, way := range []string{"memory", "socket"} {
		t.Run(way, func(t *testing.T) {
			srv, c := inMemory(t)
			if way == "socket" {
				srv = authostest.New()
				t.Cleanup(srv.Close)
				c = &client{t, srv.URL, *srv.HTTPClient()}
			}
			key := "X-Api-Key: " + srv.AddAPIKey()
			large := `{"email":"ada@example.com","padding":"` + strings.Repeat("x", 20_000) + `"}`
			srv.Fault(authostest.Fault{Kind: authostest.CloseUnread})
			c.walk(step{key, "POST", userPath, large, 201, ""}) // not refused
			c.walk(step{"X-Api-Key: x", "POST", userPath, large, 401, realError("UNAUTHORIZED", "Invalid API key format")})
			before := srv.Count("", "")
			if _, err := c.try(c.request("POST", "/api/auth/refresh", refreshBody("x"))); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("err = %v, want the connection gone", err)
			}
			if srv.Count("", "") != before {
				t.Error("the lost request was seen")
			}
			c.walk(step{key, "GET", userPath, "", 200, ""})
			srv.Reset()
			srv.Fault(authostest.Fault{Kind: authostest.CloseUnread, Path: userPath, Status: 413, Times: 1})
			if got := c.do("POST", userPath, large, key); got.StatusCode != 413 {
				t.Errorf("status %d, want the fault's own", got.StatusCode)
			}
		})
	}
}

func TestDoomedConnections(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		srv.DoomConnections(3)
		for i := range 3 {
			if _, err := c.try(c.request("POST", "/api/auth/logout", "")); err == nil {
				t.Errorf("connection %d lived", i+1)
			}
		}
		c.walk(step{"", "GET", "/health", "", 200, ""})
		if n := srv.Count("", ""); n != 1 {
			t.Errorf("%d requests were seen, want 1", n)
		}
	})
}

func TestCutConnections(t *testing.T) {
	srv, _ := overSocket(t)
	c := &client{t, srv.URL, *srv.HTTPClient()}
	srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.Hang})
	failed := make(chan error, 1)
	go func() {
		_, err := c.try(c.request("POST", "/health", ""))
		failed <- err
	}()
	for srv.Count("", "/health") == 0 {
		runtime.Gosched()
	}
	srv.CutConnections()
	if err := <-failed; err == nil {
		t.Error("a request outlived its connection")
	}
}

func TestSlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.SlowHeader, Delay: time.Second})
		start := time.Now()
		c.walk(step{"", "GET", "/health", "", 200, ""})
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v, want seven pauses", took)
		}
	})
	srv, c := overSocket(t)
	srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.SlowHeader, Delay: time.Millisecond})
	c.walk(step{"", "GET", "/health", "", 200, `{"status":"healthy","version":"<…>"}`})
}

func TestInterim(t *testing.T) {
	for _, way := range []string{"memory", "socket", "TLS"} {
		srv, c := inMemory(t)
		switch way {
		case "socket":
			srv, c = overSocket(t)
		case "TLS":
			srv, c = overTLS(t)
		}
		srv.Fault(authostest.Fault{Path: "/health", Interim: []int{102, 103, 101, 700}})
		var seen []int
		trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			seen = append(seen, code)
			return nil
		}})
		got, err := c.try(c.request("GET", "/health", "").WithContext(trace))
		if err != nil || got.StatusCode != 200 || !slices.Equal(seen, []int{102, 103}) {
			t.Errorf("%s: %v, %v after %v", way, got.Response, err, seen)
		}
	}
}

func TestLatency(t *testing.T) {
	measure := func(seed uint64) (out []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			srv, c := inMemory(t, authostest.WithSeed(seed))
			srv.Fault(authostest.Fault{Latency: authostest.Latency{Median: 20 * time.Millisecond, P99: 500 * time.Millisecond}})
			for range 2000 {
				start := time.Now()
				c.do("GET", "/health/live", "")
				out = append(out, time.Since(start))
			}
		})
		return out
	}
	first := measure(1)
	if !slices.Equal(first, measure(1)) || slices.Equal(first, measure(2)) {
		t.Error("latencies do not follow the seed")
	}
	slices.Sort(first)
	if median := first[1000]; median < 18*time.Millisecond || median > 22*time.Millisecond {
		t.Errorf("median %v, want 20ms", median)
	}
	if p99 := first[1980]; p99 < 400*time.Millisecond || p99 > 650*time.Millisecond {
		t.Errorf("p99 %v, want 500ms", p99)
	}
}

func TestProxyPages(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		for _, proxy := range authostest.Proxies() {
			f := authostest.ProxyPage(proxy, 502)
			f.Times = 1
			srv.Fault(f)
			got := c.do("GET", "/health", "")
			if got.StatusCode != 502 || strings.Contains(got.body, "STATUS") || got.Header.Get("X-Frame-Options") != "" {
				t.Errorf("%s: %d %v %s", proxy, got.StatusCode, got.Header, got.body)
			}
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("an unknown proxy did not panic")
		}
	}()
	authostest.ProxyPage("apache", 502)
}

// In a bubble the URL alone leads nowhere. Close says so, but not of a server that was used.
func TestForgottenTransport(t *testing.T) {
	var logged strings.Builder
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	for name, tc := range map[string]struct {
		use  func(*authostest.Server)
		want string
	}{
		"forgotten": {func(*authostest.Server) {}, "make clients by its Client method"},
		"client":    {func(srv *authostest.Server) { srv.Client() }, ""},
		"handler": {func(srv *authostest.Server) {
			srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, srv.URL+"/health", nil))
		}, ""},
	} {
		logged.Reset()
		synctest.Test(t, func(t *testing.T) {
			srv := authostest.New()
			tc.use(srv)
			srv.Close()
			srv.Close() // says nothing again
			if got := logged.String(); strings.Count(got, "\n") > 1 || (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%s: logged %q, want %q", name, got, tc.want)
			}
		})
	}
}
