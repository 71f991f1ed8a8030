package authos

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestLayers walks the assembled stack by its real types. DESIGN.md says why this is the order; a
// change here is a change of what the package promises.
func TestLayers(t *testing.T) {
	const all = "cacheLayer retryLayer gateLayer sessionLayer breakerLayer wireLayer transport"
	tests := []struct {
		name string
		opts []Option
		want string
	}{
		{"everything", []Option{WithCache(CachePolicy{})}, all},
		{"defaults", nil, strings.TrimPrefix(all, "cacheLayer ")},
		// it still tells lost connections from failures
		{"no breaker", []Option{WithCache(CachePolicy{}), WithBreaker(BreakerPolicy{Disabled: true})}, all},
		// the loop still carries the gate
		{"no retries", []Option{WithCache(CachePolicy{}), WithRetry(RetryPolicy{MaxAttempts: 1})}, all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			end := &transport{}
			c, err := New("https://authos.test", append(tt.opts, WithHTTPClient(&http.Client{Transport: end}))...)
			if err != nil {
				t.Fatal(err)
			}
			other, err := c.With(WithAPIKey("sk_1_2"))
			if err != nil {
				t.Fatal(err)
			}
			for who, rt := range map[string]http.RoundTripper{"New": c.stack, "With": other.stack} {
				got, last := layersOf(rt)
				if want := strings.Fields(tt.want); !slices.Equal(got, want) || last != http.RoundTripper(end) {
					t.Errorf("%s: layers %v ending in %T, want %v", who, got, last, want)
				}
			}
			if e, ok := c.HTTPClient().Transport.(*entry); !ok || e.c != c {
				t.Errorf("HTTPClient enters at %T, not at the same layers", c.HTTPClient().Transport)
			}
		})
	}
}

type transport struct{ http.RoundTripper }

// layersOf names the types from the outermost layer to the transport.
func layersOf(rt http.RoundTripper) (names []string, last http.RoundTripper) {
	for rt != nil {
		last = rt
		names = append(names, strings.TrimPrefix(fmt.Sprintf("%T", rt), "*authos."))
		switch l := rt.(type) {
		case *cacheLayer:
			rt = l.next
		case *retryLayer:
			rt = l.loop.HTTPClient.Transport
		case *gateLayer:
			rt = l.next
		case *sessionLayer:
			rt = l.next
		case *breakerLayer:
			rt = l.next
		case *wireLayer:
			rt = l.transport
		default:
			rt = nil
		}
	}
	return names, last
}
