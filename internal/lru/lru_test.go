package lru //nolint:testpackage // what is forgotten must leave nothing behind in the tree

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A random walk beside a plain map: the same keys are there, and what is gone leaves nothing
// behind.
func TestAgainstAMap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	c, want := New(1<<20, 1<<40), map[string]string{}
	name := func() string {
		parts := make([]string, 1+random.IntN(4))
		for i := range parts {
			parts[i] = []string{"", "a", "b", "?"}[random.IntN(4)]
		}
		return strings.Join(parts, "/")
	}
	ctx := t.Context()
	for range 50_000 {
		switch key := name(); random.IntN(5) {
		case 0:
			prefix := key + "/"
			if random.IntN(50) == 0 {
				prefix = ""
			}
			_ = c.DeletePrefix(ctx, prefix)
			for k := range want {
				if strings.HasPrefix(k, prefix) {
					delete(want, k)
				}
			}
		default:
			value := fmt.Sprint(random.Int())
			_ = c.Set(ctx, key, []byte(value), time.Hour)
			want[key] = value
		}
		if len(c.entries) != len(want) || c.order.Len() != len(want) {
			t.Fatalf("%d entries, %d in order, want %d", len(c.entries), c.order.Len(), len(want))
		}
	}
	for key, value := range want {
		if got, ok, _ := c.Get(ctx, key); !ok || string(got) != value {
			t.Errorf("%q is %q, want %q", key, got, value)
		}
	}
	_ = c.DeletePrefix(ctx, "")
	if len(c.root.below) != 0 || c.bytes != 0 || c.order.Len() != 0 {
		t.Errorf("an empty cache holds %d nodes, %d bytes, %d entries", len(c.root.below), c.bytes, c.order.Len())
	}
}

// What expires or is pushed out leaves the tree, too.
func TestTreeForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(3, 1<<20)
		for i := range 1000 {
			_ = c.Set(t.Context(), fmt.Sprintf("base/%d/x/?/-", i), []byte("v"), time.Minute)
		}
		if n := len(c.root.below["base"].below); n != 3 {
			t.Errorf("%d branches for 3 entries", n)
		}
		time.Sleep(time.Hour)
		for i := range 1000 {
			_, _, _ = c.Get(t.Context(), fmt.Sprintf("base/%d/x/?/-", i))
		}
		if len(c.root.below) != 0 || c.bytes != 0 {
			t.Errorf("%d branches, %d bytes after all have expired", len(c.root.below), c.bytes)
		}
	})
}

func BenchmarkDeletePrefix(b *testing.B) {
	for _, entries := range []int{100, 100_000} {
		b.Run(fmt.Sprint(entries), func(b *testing.B) {
			c := New(1<<20, 1<<40)
			for i := range entries {
				_ = c.Set(b.Context(), fmt.Sprintf("base/who/api/things/%d/?/-", i), []byte("v"), time.Hour)
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = c.Set(b.Context(), "base/who/api/things/one/?/-", []byte("v"), time.Hour)
				_ = c.DeletePrefix(b.Context(), "base/who/api/things/one/")
			}
		})
	}
}
