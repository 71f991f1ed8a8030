package jitter_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/authos-go/authos/internal/jitter"
)

type transport struct {
	http.RoundTripper

	source *jitter.Source
}

func (t transport) Jitter() *jitter.Source { return t.source }

func TestSeededRepeats(t *testing.T) {
	draws := func(s *jitter.Source) (all [100]float64) {
		for i := range all {
			all[i] = float64(s.UpTo(time.Hour)) + s.Float64()
		}
		return all
	}
	if draws(jitter.Seeded(1, 2)) != draws(jitter.Seeded(1, 2)) {
		t.Error("the same seed has drawn differently")
	}
	if draws(jitter.Seeded(1, 2)) == draws(jitter.Seeded(1, 3)) || draws(nil) == draws(nil) {
		t.Error("two seeds, or none, have drawn alike")
	}
}

func TestOf(t *testing.T) {
	own := jitter.Seeded(1, 2)
	if got := jitter.Of(transport{source: own}); got != own {
		t.Errorf("Of = %p, want %p", got, own)
	}
	if jitter.Of(http.DefaultTransport) != nil || jitter.Of(nil) != nil {
		t.Error("Of a foreign transport is not nil")
	}
}

// Both ends of the range are drawn, nothing beyond, and no bound overflows.
func TestUpTo(t *testing.T) {
	for _, s := range []*jitter.Source{nil, {}, jitter.Seeded(1, 2)} {
		seen := map[time.Duration]int{}
		for range 1000 {
			seen[s.UpTo(2)]++
		}
		if len(seen) != 3 || seen[0] == 0 || seen[2] == 0 {
			t.Errorf("UpTo(2) has drawn %v", seen)
		}
		if got := s.UpTo(math.MaxInt64); got < 0 {
			t.Errorf("UpTo(MaxInt64) = %v", got)
		}
		if s.UpTo(0) != 0 || s.UpTo(-1) != 0 {
			t.Error("UpTo of nothing is not 0")
		}
		if f := s.Float64(); f < 0 || f >= 1 {
			t.Errorf("Float64 = %v", f)
		}
	}
}

func TestSeries(t *testing.T) {
	bound := time.Duration(0)
	s := jitter.Series{Bound: func() time.Duration { bound += time.Minute; return bound }, Source: jitter.Seeded(1, 2)}
	most := time.Duration(0)
	for range 100 {
		got := s.Next()
		if got > bound {
			t.Errorf("drawn %v beyond %v", got, bound)
		}
		most = max(most, got)
	}
	if most < 30*time.Minute {
		t.Errorf("the most of 100 draws is %v, their bound %v", most, bound)
	}
}
