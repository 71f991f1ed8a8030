package authos_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// The benchmarks compare the client with plain net/http and encoding/json in the same run. Their
// times differ from machine to machine; ratios and allocations are what the README quotes.

const benchBody = `{"id":"7b6c2f0e-58a1-4c39-9c1e-3a4f3b0c9d11","email":"ada@example.com","created_at":"2026-05-20T12:00:00.123456Z","padding":"` +
	`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`

// benchTransport responds at once, in memory, as http.Transport would.
type benchTransport struct{ header http.Header }

func newBenchTransport() *benchTransport {
	return &benchTransport{http.Header{"Content-Type": {"application/json"}, "Date": {"Wed, 20 May 2026 12:00:00 GMT"}}}
}

func (t *benchTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: t.header,
		Body: io.NopCloser(bytes.NewReader([]byte(benchBody))), ContentLength: int64(len(benchBody)), Request: req,
	}, nil
}

const (
	benchKey   = "sk_0123456789ab_secret"
	benchToken = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln"
)

// newBenchID is a random id of 32 hex digits, as ours is.
func newBenchID() string {
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	return hex.EncodeToString(id[:])
}

// plainGet is what a careful program without a client would do: the same headers, the whole body,
// errors looked at.
func plainGet(b testing.TB, hc *http.Client, base, header, credential string, out any) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, base+"/api/service/users/42", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "bench/1.0")
	req.Header.Set("X-Request-ID", newBenchID())
	req.Header.Set(header, credential)
	resp, err := hc.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(err, resp.StatusCode)
	}
}

func benchClient(b testing.TB, base string, hc *http.Client, opts ...authos.Option) *authos.Client {
	b.Helper()
	c, err := authos.New(base, append([]authos.Option{authos.WithHTTPClient(hc), authos.WithAPIKey(benchKey)}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func sdkGet(b testing.TB, c *authos.Client) {
	b.Helper()
	if _, err := c.Service.Users.Get(b.Context(), "42"); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkGet(b *testing.B) {
	const base = "https://authos.test"
	hc := &http.Client{Transport: newBenchTransport()}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plainGet(b, hc, base, "X-Api-Key", benchKey, new(authos.ServiceUser))
		}
	})
	b.Run("authos", func(b *testing.B) {
		c := benchClient(b, base, hc)
		b.ReportAllocs()
		for b.Loop() {
			sdkGet(b, c)
		}
	})
	b.Run("authos-bearer", func(b *testing.B) {
		c := benchClient(b, base, hc, authos.WithTokens(authos.Tokens{AccessToken: benchToken, RefreshToken: "r"}))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.User.Get(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("authos-cache", func(b *testing.B) {
		c := benchClient(b, base, hc, authos.WithCache(authos.CachePolicy{}))
		b.ReportAllocs()
		for b.Loop() {
			sdkGet(b, c)
		}
	})
}

func BenchmarkGetLoopback(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, benchBody)
	}))
	defer srv.Close()
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	timed := &http.Client{Transport: hc.Transport, Timeout: 35 * time.Second}
	c := benchClient(b, srv.URL, hc)
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plainGet(b, timed, srv.URL, "X-Api-Key", benchKey, new(authos.ServiceUser))
		}
	})
	b.Run("authos", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sdkGet(b, c)
		}
	})
}

// failingTransport refuses every request after the first good ones.
type failingTransport struct {
	good *benchTransport
	left int
}

func (t *failingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.left > 0 {
		t.left--
		return t.good.RoundTrip(req)
	}
	return &http.Response{
		Status: "503 Service Unavailable", StatusCode: http.StatusServiceUnavailable, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}, nil
}

// BenchmarkOpenBreaker is a call refused here, without touching the network.
func BenchmarkOpenBreaker(b *testing.B) {
	c := benchClient(b, "https://authos.test", &http.Client{Transport: &failingTransport{}}, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	for range 5 {
		_, _ = c.Service.Users.Get(b.Context(), "42")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Service.Users.Get(b.Context(), "42"); err == nil {
			b.Fatal("the breaker is not open")
		}
	}
}

// BenchmarkStaleResponse is a cached response served while the breaker is open; raw leaves the
// decoding out.
func BenchmarkStaleResponse(b *testing.B) {
	for _, raw := range []bool{true, false} {
		name := map[bool]string{true: "raw", false: "decoded"}[raw]
		b.Run(name, func(b *testing.B) {
			rt := &failingTransport{good: newBenchTransport(), left: 1}
			c := benchClient(b, "https://authos.test", &http.Client{Transport: rt},
				authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}), authos.WithCache(authos.CachePolicy{}))
			for range 6 {
				_, _ = c.Service.Users.Get(b.Context(), "42")
			}
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if raw {
					var body []byte
					err = c.Do(b.Context(), http.MethodGet, "/api/service/users/42", nil, &body)
				} else {
					_, err = c.Service.Users.Get(b.Context(), "42")
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// errorTransport responds with the same error each time.
type errorTransport struct{ body []byte }

func (t *errorTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "422 Unprocessable Entity", StatusCode: http.StatusUnprocessableEntity, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(t.body)), ContentLength: int64(len(t.body)), Request: req,
	}, nil
}

// BenchmarkErrorResponse is a refusal of a request of 50,000 texts, which must all be kept out of
// what is printed of it: in a sentence, and in as many findings as fit. plain is the work that any
// client has with it: the request encoded, and both bodies decoded.
func BenchmarkErrorResponse(b *testing.B) {
	values := make([]string, 50_000)
	for i := range values {
		values[i] = fmt.Sprintf("user%05d@example.com", i)
	}
	findings := make([]string, 0, 500)
	for i := range cap(findings) {
		findings = append(findings, fmt.Sprintf(`{"field":"users[%d]","code":"INVALID_FORMAT","message":"%s is taken"}`, i, values[i*7]))
	}
	for name, body := range map[string]string{
		"sentence": `{"error":"user04711@example.com is taken","error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00Z"}`,
		"findings": `{"error":{"code":"VALIDATION_ERROR","message":"no","details":[` + strings.Join(findings, ",") + `]}}`,
	} {
		b.Run(name+"/plain", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var sent, got any
				data, err := json.Marshal(map[string]any{"users": values})
				if err != nil || json.Unmarshal(data, &sent) != nil || json.Unmarshal([]byte(body), &got) != nil {
					b.Fatal("not JSON")
				}
			}
		})
		b.Run(name+"/authos", func(b *testing.B) {
			c := benchClient(b, "https://authos.test", &http.Client{Transport: &errorTransport{[]byte(body)}})
			b.ReportAllocs()
			for b.Loop() {
				err := c.Do(b.Context(), http.MethodPost, "/api/service/users", map[string]any{"users": values}, nil)
				if err == nil || strings.Contains(err.Error(), "@example.com") {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWrite is a PATCH while so many responses are cached, most of them of the collection that
// it changes.
func BenchmarkWrite(b *testing.B) {
	for _, entries := range []int{0, 100, 100_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			var opts []authos.Option
			if entries > 0 {
				opts = append(opts, authos.WithCache(authos.CachePolicy{MaxEntries: 2 * entries, MaxBytes: 1 << 30}))
			}
			c := benchClient(b, "https://authos.test", &http.Client{Transport: newBenchTransport()}, opts...)
			for i := range entries {
				if err := c.Do(b.Context(), http.MethodGet, fmt.Sprintf("/api/service/users?offset=%d", i), nil, nil); err != nil {
					b.Fatal(err)
				}
			}
			in := map[string]string{"email": "ada@example.com"}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Do(b.Context(), http.MethodPatch, "/api/service/users/42", in, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
