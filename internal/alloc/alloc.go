// Package alloc counts what code allocates, for the tests and benchmarks of several modules.
package alloc

import (
	"math"
	"runtime"
	"testing"
)

// Count gives the allocations and the bytes of one run. Other goroutines of the program allocate
// too, so the least of a few rounds counts.
func Count(run func()) (allocs, bytes float64) {
	const runs = 200
	allocs, bytes = math.Inf(1), math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		allocs = min(allocs, testing.AllocsPerRun(runs, run))
		runtime.ReadMemStats(&after)
		// AllocsPerRun warms up with one.
		bytes = min(bytes, float64(after.TotalAlloc-before.TotalAlloc)/(runs+1))
	}
	return allocs, bytes
}
