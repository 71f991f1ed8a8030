package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/alloc"
)

const memoryBase = "https://authos.test"

// timed is one way to do something, to be compared with others.
type timed struct {
	name string
	run  func()
}

// compare runs the ways in turns, so that whatever else the machine does meets all of them, and
// gives the time of each: of its turns the one that a tenth were faster than, as the slower ones
// hold other programs' time too. A turn is about as long as what a system gives a thread at once,
// and long enough for some fifty calls over loopback: in the first few, the processor's caches are
// still full of what the client before needed.
func compare(rounds int, ways []timed) map[string]cost {
	const turn = 5 * time.Millisecond
	runs := make([]int, len(ways))
	for i, w := range ways {
		w.run()
		start := time.Now()
		for runs[i] = 1; time.Since(start) < turn; runs[i]++ {
			w.run()
		}
	}
	took := make([][]float64, len(ways))
	for range rounds {
		for i, w := range ways {
			start := time.Now()
			for range runs[i] {
				w.run()
			}
			took[i] = append(took[i], float64(time.Since(start))/float64(runs[i]))
		}
	}
	costs, first := make(map[string]cost, len(ways)), 0.0
	for i, w := range ways {
		slices.Sort(took[i])
		nanos := took[i][rounds/10]
		if i == 0 {
			first = nanos
		}
		costs[w.name] = cost{Nanos: nanos, Ratio: nanos / first}
	}
	return costs
}

// measure compares, and counts what each way allocates.
func measure(rounds int, ways []timed) map[string]cost {
	costs := compare(rounds, ways)
	for _, w := range ways {
		c := costs[w.name]
		c.Allocs, c.Bytes = alloc.Count(w.run)
		costs[w.name] = c
	}
	return costs
}

// must makes a call that cannot fail of one that can.
func must(t *testing.T, call func() error) func() {
	return func() {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
}

// callCosts are those of a good GET and a good POST with every client, each from one setup.
func callCosts(t *testing.T, rounds int, s setup) (get, create map[string]cost) {
	var gets, creates []timed
	for _, p := range append(slices.Clone(peers), control) {
		if p.variant {
			continue
		}
		c, err := p.open(s)
		if err != nil {
			t.Fatal(err)
		}
		gets = append(gets, timed{p.name, must(t, func() error { _, err := c.get(t.Context(), "42"); return err })})
		creates = append(creates, timed{p.name, must(t, func() error { _, err := c.create(t.Context(), "ada@example.com"); return err })})
	}
	return measure(rounds, gets), measure(rounds, creates)
}

// loopback serves over loopback, with HTTP/2 over TLS or with plain HTTP/1.
func loopback(t *testing.T, http2 bool) setup {
	srv := httptest.NewUnstartedServer(&server{})
	srv.EnableHTTP2 = http2
	if http2 {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	transport := &http.Transport{ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: 32}
	if http2 {
		transport.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig //nolint:forcetypeassert // httptest makes it
	}
	t.Cleanup(transport.CloseIdleConnections)
	// Every client is given the attempt timeout that ours has by default.
	return setup{base: srv.URL, transport: transport, timeout: 35 * time.Second}
}

// mostToOpen is how many failures open the breaker of every client that has one.
const mostToOpen = 10

// refused is a call that a client's open breaker refuses.
func refused(p peer, requests *atomic.Int64) (func(), error) {
	down := &memory{header: http.Header{}, down: true}
	c, err := p.open(setup{base: memoryBase, once: true, transport: counted{requests, down}})
	if err != nil {
		return nil, err
	}
	for range mostToOpen {
		_, _ = c.get(context.Background(), "42")
	}
	return func() { _, _ = c.get(context.Background(), "42") }, nil
}

// counted counts requests.
type counted struct {
	requests *atomic.Int64
	next     http.RoundTripper
}

func (c counted) RoundTrip(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.next.RoundTrip(req)
}

// staleCosts are those of a cached response that is served while the breaker is open. Nobody else
// has that, so the good GET is what it is compared with.
func staleCosts(t *testing.T, rounds int) map[string]cost {
	transport := newMemory()
	hc := &http.Client{Transport: transport}
	open := func(opts ...authos.Option) *authos.Client {
		c, err := authos.New(memoryBase, append(opts, authos.WithHTTPClient(hc), authos.WithAPIKey(apiKey))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	get := func(c *authos.Client) func() error {
		return func() error { _, err := c.Service.Users.Get(t.Context(), "42"); return err }
	}
	plain, err := netHTTP.open(setup{base: memoryBase, transport: newMemory()})
	if err != nil {
		t.Fatal(err)
	}
	cached := open(authos.WithCache(authos.CachePolicy{}))
	down := *transport
	hc = &http.Client{Transport: &down}
	stale := open(authos.WithCache(authos.CachePolicy{}), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	must(t, get(stale))()
	down.down = true
	for range mostToOpen {
		_ = get(stale)()
	}
	raw := func() error {
		var body []byte
		return stale.Do(t.Context(), http.MethodGet, usersPath+"/42", nil, &body)
	}
	return measure(rounds, []timed{
		{netHTTP.name, must(t, func() error { _, err := plain.get(t.Context(), "42"); return err })},
		{"cache", must(t, get(cached))},
		{"stale, decoded", must(t, get(stale))},
		{"stale", must(t, raw)},
	})
}

// writeCosts are those of a PATCH while so many responses are cached, all of the collection that it
// changes. The first number is what the others are compared with.
func writeCosts(t *testing.T, rounds int, entries []int) map[string]cost {
	transport := newMemory()
	var ways []timed
	for _, n := range entries {
		c, err := authos.New(memoryBase, authos.WithHTTPClient(&http.Client{Transport: transport}), authos.WithAPIKey(apiKey),
			authos.WithCache(authos.CachePolicy{MaxEntries: 2 * (n + 1), MaxBytes: 1 << 30}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		read := func(i int, opts ...authos.RequestOption) error {
			return c.Do(t.Context(), http.MethodGet, fmt.Sprintf("%s?offset=%d", usersPath, i), nil, nil, opts...)
		}
		for i := range n {
			must(t, func() error { return read(i) })()
		}
		if n > 0 { // the first is still there
			var r authos.Response
			transport.down = true
			must(t, func() error { return read(0, authos.WithoutRetry(), authos.WithResponse(&r)) })()
			transport.down = false
			if !r.Stale {
				t.Fatalf("of %d responses the first is not cached", n)
			}
		}
		in := map[string]string{"email": "ada@example.com"}
		ways = append(ways, timed{fmt.Sprint(n), must(t, func() error {
			return c.Do(t.Context(), http.MethodPatch, usersPath+"/42", in, nil)
		})})
	}
	return compare(rounds, ways)
}

// errorCosts are those of a refusal of a request of so many texts, all of which must be kept out of
// what is printed of it. It is compared with what any client has to do: encode the request, send it
// and decode both.
func errorCosts(t *testing.T, rounds, texts int) map[string]cost {
	values := make([]string, texts)
	for i := range values {
		values[i] = fmt.Sprintf("user%05d@example.com", i)
	}
	in := map[string]any{"users": values}
	body := fmt.Sprintf(`{"error":"%s is taken","error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00Z"}`, values[texts/2])
	c, err := authos.New(memoryBase, authos.WithHTTPClient(&http.Client{Transport: refusal(body)}), authos.WithAPIKey(apiKey))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return compare(rounds, []timed{
		{"plain", must(t, func() error { return plainRefusal(in, body) })},
		{"authos", must(t, func() error {
			err := c.Do(t.Context(), http.MethodPost, usersPath, in, nil)
			if _, ok := errors.AsType[*authos.APIError](err); !ok || strings.Contains(err.Error(), "@example.com") {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})},
	})
}

// refusal responds with 422 and the same body each time.
type refusal string

func (r refusal) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := newMemory().RoundTrip(req)
	resp.Status, resp.StatusCode = "422 Unprocessable Entity", http.StatusUnprocessableEntity
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(r))), int64(len(r))
	return resp, err
}

// plainRefusal is the work that any client has with a refusal: the request encoded, and both bodies
// decoded.
func plainRefusal(in any, body string) error {
	var sent, got any
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(data, &sent), json.Unmarshal([]byte(body), &got))
}
