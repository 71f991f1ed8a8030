//go:build !race

package authos_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/alloc"
)

// allocations are those of one call, on the transport in memory. They are exact: whoever changes
// one changes it here, and docs/performance.md by "make bench".
type allocations struct {
	apiKey float64 // a good GET with an API key, decoded
	bearer float64 // with an access token
	cached float64 // with an API key and WithCache
	open   float64 // refused by an open breaker
	stale  float64 // served from the cache while the breaker is open, not decoded
}

// allocationsOf are those by Go release. A release that is not here is held to the rules alone.
var allocationsOf = map[string]allocations{
	"go1.26": {apiKey: 32, bearer: 31, cached: 34, open: 16, stale: 24},
	"go1.27": {apiKey: 24, bearer: 23, cached: 26, open: 16, stale: 24},
}

// The rules, on every release.
const (
	mostForCache    = 3  // more than without
	mostWithoutWire = 30 // for a call that sends nothing
)

func TestAllocations(t *testing.T) {
	const base = "https://authos.test"
	hc := &http.Client{Transport: newBenchTransport()}
	down := func() *http.Client {
		return &http.Client{Transport: &failingTransport{good: newBenchTransport(), left: 1}}
	}
	once := authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1})
	tokens := authos.WithTokens(authos.Tokens{AccessToken: benchToken, RefreshToken: "r"})
	cache := authos.WithCache(authos.CachePolicy{})

	var got allocations
	var plain, plainBytes, bytes [2]float64 // with an API key, with an access token
	plain[0], plainBytes[0] = alloc.Count(func() { plainGet(t, hc, base, "X-Api-Key", benchKey, new(authos.ServiceUser)) })
	plain[1], plainBytes[1] = alloc.Count(func() { plainGet(t, hc, base, "Authorization", "Bearer "+benchToken, new(authos.User)) })
	c := benchClient(t, base, hc)
	got.apiKey, bytes[0] = alloc.Count(func() { sdkGet(t, c) })
	bearer := benchClient(t, base, hc, tokens)
	got.bearer, bytes[1] = alloc.Count(func() {
		if _, err := bearer.User.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	cached := benchClient(t, base, hc, cache)
	got.cached, _ = alloc.Count(func() { sdkGet(t, cached) })
	open := benchClient(t, base, down(), once)
	for range 6 {
		_, _ = open.Service.Users.Get(t.Context(), "42")
	}
	got.open, _ = alloc.Count(func() {
		if _, err := open.Service.Users.Get(t.Context(), "42"); err == nil {
			t.Fatal("the breaker is not open")
		}
	})
	stale := benchClient(t, base, down(), once, cache)
	for range 6 {
		_, _ = stale.Service.Users.Get(t.Context(), "42")
	}
	got.stale, _ = alloc.Count(func() {
		var body []byte
		if err := stale.Do(t.Context(), http.MethodGet, "/api/service/users/42", nil, &body); err != nil {
			t.Fatal(err)
		}
	})

	release := strings.Join(strings.SplitN(runtime.Version(), ".", 3)[:2], ".")
	t.Logf("%s: %+v; plain net/http %v, bytes %.0f against %.0f", release, got, plain, bytes, plainBytes)
	if want, known := allocationsOf[release]; known && got != want {
		t.Errorf("allocations %+v, want %+v", got, want)
	}
	for i, ours := range []float64{got.apiKey, got.bearer} {
		if ours > plain[i] {
			t.Errorf("a good GET allocates %v times, plain net/http with the same headers %v times", ours, plain[i])
		}
		// On Go 1.26 encoding/json takes 288 bytes to decode what Go 1.27's takes none for.
		if release != "go1.26" && bytes[i] > plainBytes[i] {
			t.Errorf("a good GET allocates %.0f bytes, plain net/http with the same headers %.0f", bytes[i], plainBytes[i])
		}
	}
	if got.cached > got.apiKey+mostForCache {
		t.Errorf("WithCache adds %v allocations, more than %d", got.cached-got.apiKey, mostForCache)
	}
	if most := max(got.open, got.stale); most > mostWithoutWire {
		t.Errorf("a call that sends nothing allocates %v times, more than %d", most, mostWithoutWire)
	}
}
