//go:debug x509usefallbackroots=1

// Package proxytest_test drives the client through real nginx and HAProxy. Where they are not
// installed its tests are skipped, or fail with AUTHOS_REQUIRE_PROXIES set.
package proxytest_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

var _ = func() bool { x509.SetFallbackRoots(h2test.Roots); return true }()

// program finds a proxy.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("AUTHOS_REQUIRE_PROXIES") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed: apt-get install %s", name, name)
	return ""
}

// upstream is the server behind: it counts what is applied, by the request's body.
type upstream struct {
	*httptest.Server

	mu      sync.Mutex
	applied map[string]int
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{applied: map[string]int{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its proxy was killed while it sent: there is nothing to be applied
		}
		if r.Method == http.MethodPost {
			u.mu.Lock()
			u.applied[string(body)]++
			u.mu.Unlock()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"u1","path":%q}`, r.URL.EscapedPath())
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) twice() (bodies []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for body, n := range u.applied {
		if n > 1 {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// proxy is one that runs.
type proxy struct {
	base string
	// restart kills it and starts it again.
	restart func()
}

func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate writes what the proxies show.
func certificate(t *testing.T, dir string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(h2test.Certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h2test.Certificate.Certificate[0]}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	writeFile(t, filepath.Join(dir, "cert.pem"), cert)
	writeFile(t, filepath.Join(dir, "key.pem"), key)
	writeFile(t, filepath.Join(dir, "both.pem"), cert+key)
}

// run starts a program in the foreground and ends it with the test.
func run(t *testing.T, address string, command func() *exec.Cmd) (start, stop func()) {
	t.Helper()
	var cmd *exec.Cmd
	var mu sync.Mutex
	stop = func() {
		mu.Lock()
		defer mu.Unlock()
		if cmd != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			cmd = nil
		}
	}
	start = func() {
		mu.Lock()
		defer mu.Unlock()
		cmd = command()
		out, err := os.CreateTemp(t.TempDir(), "log")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
				return
			}
			if time.Now().After(deadline) {
				text, _ := os.ReadFile(out.Name())
				t.Fatalf("%s does not listen: %s", cmd.Path, text)
			}
		}
	}
	t.Cleanup(stop)
	return start, stop
}

// newNginx closes idle connections at once, and each after a few requests.
func newNginx(t *testing.T, behind string) *proxy {
	t.Helper()
	path, dir, address := program(t, "nginx"), t.TempDir(), port(t)
	certificate(t, dir)
	writeFile(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	keepalive_timeout 20ms; keepalive_requests 7;
	server {
		listen %[2]s ssl http2; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
		location / { proxy_pass http://%[3]s; }
		location /sso/ { proxy_pass http://%[3]s/; }
	}
}`, dir, address, behind))
	start, stop := run(t, address, func() *exec.Cmd {
		return exec.Command(path, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	})
	start()
	return &proxy{base: "https://" + address, restart: func() { stop(); start() }}
}

func newHAProxy(t *testing.T, behind string) *proxy {
	t.Helper()
	path, dir, address := program(t, "haproxy"), t.TempDir(), port(t)
	certificate(t, dir)
	writeFile(t, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(`
global
	maxconn 500
defaults
	mode http
	timeout connect 1s
	timeout client 5s
	timeout server 5s
	timeout http-keep-alive 20ms
frontend in
	bind %[2]s ssl crt %[1]s/both.pem alpn h2,http/1.1
	default_backend out
backend out
	server one %[3]s
`, dir, address, behind))
	start, stop := run(t, address, func() *exec.Cmd { return exec.Command(path, "-f", filepath.Join(dir, "haproxy.cfg")) })
	start()
	return &proxy{base: "https://" + address, restart: func() { stop(); start() }}
}

var proxies = map[string]func(*testing.T, string) *proxy{"nginx": newNginx, "haproxy": newHAProxy}

func client(t *testing.T, base string, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New(base, append([]authos.Option{
		authos.WithTokens(authos.Tokens{AccessToken: "an-access-token"}),
		authos.WithRetry(authos.RetryPolicy{BaseDelay: 100 * time.Millisecond, Budget: authos.RetryBudget{Ratio: -1}}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func get(ctx context.Context, c *authos.Client) error { return c.Do(ctx, "GET", "/api/user", nil, nil) }

func post(ctx context.Context, c *authos.Client, name string) error {
	return c.Do(ctx, "POST", "/x/thing", map[string]string{"name": name}, nil)
}

// A proxy that closes idle connections at once, and each after a few requests, costs no call: over
// HTTP/2 to the client, and over HTTP/1.
func TestIdleClosesCostNoCall(t *testing.T) {
	for name, start := range proxies {
		for _, version := range []string{"h2", "http/1.1"} {
			t.Run(name+"/"+version, func(t *testing.T) {
				u := newUpstream(t)
				p := start(t, u.Listener.Addr().String())
				var opts []authos.Option
				if version == "http/1.1" {
					transport := &http.Transport{Protocols: new(http.Protocols)}
					transport.Protocols.SetHTTP1(true)
					opts = append(opts, authos.WithHTTPClient(&http.Client{Transport: transport}))
					t.Cleanup(transport.CloseIdleConnections)
				}
				c := client(t, p.base, opts...)
				for i := range 60 {
					if err := get(t.Context(), c); err != nil {
						t.Errorf("read %d: %v", i, err)
					}
					if err := post(t.Context(), c, fmt.Sprint(i)); err != nil && version == "h2" {
						t.Errorf("write %d: %v", i, err)
					}
					// around the proxy's own time
					time.Sleep(time.Duration(i%5) * 10 * time.Millisecond)
				}
				if bodies := u.twice(); len(bodies) > 0 {
					t.Errorf("applied twice: %v", bodies)
				}
			})
		}
	}
}

// A proxy that is killed and comes back under load fails no read, and applies no write twice; a
// write that fails says whether it may have been applied.
func TestRestartUnderLoad(t *testing.T) {
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			p := start(t, u.Listener.Addr().String())
			// Nothing listens for a moment, which is an outage to a circuit breaker, and right so.
			c := client(t, p.base, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}), authos.WithRetry(authos.RetryPolicy{
				MaxAttempts: 12, BaseDelay: 100 * time.Millisecond, MaxDelay: time.Second, Budget: authos.RetryBudget{Ratio: -1},
			}))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			var reads, writes, unknown atomic.Int64
			for worker := range 8 {
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						if err := get(context.Background(), c); err != nil {
							t.Errorf("a read failed: %v", err)
						}
						reads.Add(1)
						body := fmt.Sprintf("%d-%d", worker, i)
						err := post(context.Background(), c, body)
						writes.Add(1)
						u.mu.Lock()
						applied := u.applied[`{"name":"`+body+`"}`]
						u.mu.Unlock()
						switch {
						case errors.Is(err, authos.ErrOutcomeUnknown):
							unknown.Add(1)
						case err == nil && applied != 1, err != nil && applied != 0:
							t.Errorf("write %s = %v, applied %d times", body, err, applied)
						}
					}
				})
			}
			for range 3 {
				time.Sleep(200 * time.Millisecond)
				p.restart()
			}
			time.Sleep(200 * time.Millisecond)
			cancel()
			wg.Wait()
			t.Logf("%d reads, %d writes, %d with an unknown outcome", reads.Load(), writes.Load(), unknown.Load())
			if bodies := u.twice(); len(bodies) > 0 {
				t.Errorf("applied twice: %v", bodies)
			}
		})
	}
}

// A proxy's own error page is an error of the server's kind, and a write behind it may have been
// applied.
func TestPagesOfAProxy(t *testing.T) {
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			p := start(t, u.Listener.Addr().String())
			u.Close()
			c := client(t, p.base, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2, BaseDelay: time.Millisecond}))
			var resp authos.Response
			err := c.Do(t.Context(), "GET", "/api/user", nil, nil, authos.WithResponse(&resp))
			if !errors.Is(err, authos.ErrUnavailable) || !errors.Is(err, authos.ErrServer) || resp.Attempts != 2 {
				t.Errorf("read = %v after %d attempts, want the page after two", err, resp.Attempts)
			}
			if err := c.Do(t.Context(), "POST", "/x/thing", map[string]string{"a": "b"}, nil, authos.WithResponse(&resp)); !errors.Is(err, authos.ErrOutcomeUnknown) || resp.Attempts != 1 {
				t.Errorf("write = %v after %d attempts, want one of unknown outcome", err, resp.Attempts)
			}
		})
	}
}

// A base URL with a path, behind a proxy that takes it off.
func TestProxyPassWithAPath(t *testing.T) {
	u := newUpstream(t)
	p := newNginx(t, u.Listener.Addr().String())
	c := client(t, p.base+"/sso")
	for path, want := range map[string]string{"/api/user": "/api/user", "/x/a%20b": "/x/a%20b"} {
		var out struct{ Path string }
		if err := c.Do(t.Context(), "GET", path, nil, &out); err != nil || out.Path != want {
			t.Errorf("Do(%s) = %v and reached %q, want %q", path, err, out.Path, want)
		}
	}
	for _, path := range []string{"/x/../api/user", "/x/%2e%2e/api/user", "/x/..%2fapi"} {
		if err := c.Do(t.Context(), "DELETE", path, nil, nil); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("Do(%s) = %v, want it refused here", path, err)
		}
	}
}

// Through CONNECT to a real proxy, and HTTP/2 inside.
func TestConnect(t *testing.T) {
	u := newUpstream(t)
	p := newNginx(t, u.Listener.Addr().String())
	var connected atomic.Int64
	forward := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		connected.Add(1)
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = to.Close()
			return
		}
		go func() { _, _ = io.Copy(to, buffered); _ = to.Close() }()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}))
	defer forward.Close()
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		Proxy:             func(*http.Request) (*url.URL, error) { return url.Parse(forward.URL) },
	}
	defer transport.CloseIdleConnections()
	c := client(t, p.base, authos.WithHTTPClient(&http.Client{Transport: transport}))
	for i := range 5 {
		if err := post(t.Context(), c, fmt.Sprint(i)); err != nil {
			t.Errorf("write %d through CONNECT: %v", i, err)
		}
	}
	if connected.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
	if bodies := u.twice(); len(bodies) > 0 {
		t.Errorf("applied twice: %v", bodies)
	}
}
