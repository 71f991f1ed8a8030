package verify_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/verify"
)

// eachProtocol runs a test with servers of HTTP/1 and of HTTP/2, over sockets and TLS.
func eachProtocol(t *testing.T, test func(t *testing.T, start func(h http.Handler) *httptest.Server)) {
	t.Helper()
	for major, name := range map[int]string{1: "HTTP1", 2: "HTTP2"} {
		t.Run(name, func(t *testing.T) {
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

// A whole life over sockets: first fetch, rotation, a key replaced under its id, connections that
// break in each way, and a start while the server is down.
func TestKeysOverTheNetwork(t *testing.T) {
	eachProtocol(t, func(t *testing.T, start func(http.Handler) *httptest.Server) {
		var serve atomic.Pointer[http.HandlerFunc]
		publish := func(keys ...object) {
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(jwks(keys...))) })
			serve.Store(&h)
		}
		server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*serve.Load())(w, r) }))
		token := func(kid string) string {
			key := firstKey()
			if kid != "k1" {
				key = secondKey()
			}
			return signed(with(goodHeader(), object{"kid": kid}), with(goodClaims(time.Now()), object{"iss": server.URL}), key)
		}
		store := &memoryStore{}
		cfg := single()
		cfg.Audience, cfg.KeyStore = verify.AnyAudience(), store
		v := newVerifier(t, server.URL, server.Client().Transport, cfg)

		publish(first())
		accepted(t, v, token("k1"))
		publish(second(), first())
		accepted(t, v, token("k2"))
		replaced := signed(goodHeader(), with(goodClaims(time.Now()), object{"iss": server.URL}), secondKey())
		publish(jwk("k1", &secondKey().PublicKey, nil), second())
		accepted(t, v, replaced)
		_ = v.Close() // so that the keys are stored

		for name, broken := range map[string]http.HandlerFunc{
			"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"cut body": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10000")
				_, _ = w.Write([]byte(jwks(first())))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			"a page": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html></html>")) },
			"redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example/", http.StatusFound)
			},
			"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		} {
			serve.Store(&broken)
			later := newVerifier(t, server.URL, server.Client().Transport, cfg)
			c, err := later.Verify(t.Context(), token("k2"))
			if err != nil || !c.StaleKeys {
				t.Errorf("%s: claims %+v, %v, want stale keys", name, c, err)
			}
			_, err = later.Verify(t.Context(), token("k3"))
			checkRefused(t, err, verify.ErrKeysUnavailable, "")
			_ = later.Close()
		}
	})
}

// The middleware behind a real server.
func TestMiddlewareOverTheNetwork(t *testing.T) {
	eachProtocol(t, func(t *testing.T, start func(http.Handler) *httptest.Server) {
		v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience()})
		backend := start(v.Middleware(hello))
		for _, row := range []struct {
			name, method string
			header       http.Header
			status       int
		}{
			{"good", "GET", http.Header{"Authorization": {"Bearer " + tokenOf("ada")}}, 200},
			{"none", "GET", http.Header{}, 401},
			{"preflight", "OPTIONS", http.Header{"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"GET"}}, 204},
			{"no preflight", "OPTIONS", http.Header{"Origin": {"https://a.example"}}, 401},
		} {
			r, err := http.NewRequestWithContext(context.Background(), row.method, backend.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = row.header
			resp, err := backend.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != row.status {
				t.Errorf("%s: %d, want %d", row.name, resp.StatusCode, row.status)
			}
		}
	})
}

// Responses of the online check that no server of AuthOS sends, over sockets.
func TestOnlineCheckOverTheNetwork(t *testing.T) {
	eachProtocol(t, func(t *testing.T, start func(http.Handler) *httptest.Server) {
		var status atomic.Int64
		var body atomic.Pointer[string]
		server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/.well-known/jwks.json" {
				_, _ = w.Write([]byte(jwks(first())))
				return
			}
			w.WriteHeader(int(status.Load()))
			_, _ = w.Write([]byte(*body.Load()))
		}))
		for _, foreign := range foreignResponses {
			status.Store(int64(foreign.status))
			body.Store(&foreign.body)
			for _, open := range []bool{false, true} {
				v := newVerifier(t, server.URL, server.Client().Transport, verify.Config{
					Audience: verify.AnyAudience(), Online: &verify.Online{FailOpen: open},
					ClientOptions: []authos.Option{authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})},
				})
				token := signed(goodHeader(), with(goodClaims(time.Now()), object{"iss": server.URL}), firstKey())
				_, err := v.Verify(t.Context(), token)
				if open {
					if err != nil {
						t.Errorf("%+v: %v, though checks may fail", foreign, err)
					}
				} else {
					checkRefused(t, err, verify.ErrCheckUnavailable, token)
				}
			}
		}
	})
}
