// Package jitter is where the client's waits and open times get their randomness from.
package jitter

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Source draws random numbers. It may be used by several goroutines. The zero value and nil draw
// from the runtime's generator; one that a simulation has seeded draws the same each time.
type Source struct {
	mu     sync.Mutex
	seeded *rand.Rand
}

// Seeded is a source of its own sequence.
func Seeded(seed1, seed2 uint64) *Source {
	return &Source{seeded: rand.New(rand.NewPCG(seed1, seed2))} //nolint:gosec // jitter
}

// Transport is one that brings the source of the client which is made with it. No other program
// can, as it cannot name the type.
type Transport interface{ Jitter() *Source }

// Of is the source that a transport brings.
func Of(t http.RoundTripper) *Source {
	if own, ok := t.(Transport); ok {
		return own.Jitter()
	}
	return nil
}

// UpTo draws evenly from zero to bound, both included; zero where bound is not positive.
func (s *Source) UpTo(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	n := uint64(bound) + 1
	if s == nil || s.seeded == nil {
		return time.Duration(rand.Uint64N(n)) //nolint:gosec // jitter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.seeded.Uint64N(n)) //nolint:gosec // jitter
}

// Float64 draws from 0 to 1, which is not included.
func (s *Source) Float64() float64 {
	if s == nil || s.seeded == nil {
		return rand.Float64() //nolint:gosec // jitter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeded.Float64()
}

// Series is draws up to a bound that changes from one to the next.
type Series struct {
	Bound  func() time.Duration
	Source *Source
}

// Next draws.
func (s *Series) Next() time.Duration { return s.Source.UpTo(s.Bound()) }
