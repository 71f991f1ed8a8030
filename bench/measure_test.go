package main

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

var write = flag.String("write", "", "measure everything, and write the results to this file")

// TestMeasure is what "make bench" runs with each Go release.
func TestMeasure(t *testing.T) {
	if *write == "" {
		t.Skip("without -write")
	}
	r := results{Go: runtime.Version(), Cost: map[string]map[string]cost{}, Behavior: map[string]behavior{}}
	for name, s := range map[string]setup{
		"memory": {base: memoryBase, transport: newMemory()},
		"HTTP/1": loopback(t, false),
		"HTTP/2": loopback(t, true),
	} {
		r.Cost["GET "+name], r.Cost["POST "+name] = callCosts(t, rounds, s)
	}
	var refusals []timed
	for _, p := range peers {
		if p.breaker {
			refuse, err := refused(p, new(atomic.Int64))
			if err != nil {
				t.Fatal(err)
			}
			refusals = append(refusals, timed{p.name, refuse})
		}
	}
	r.Refused = measure(rounds, refusals)
	r.Stale = staleCosts(t, rounds)
	r.Write = writeCosts(t, rounds, []int{0, 100, 10_000, 100_000})
	r.Error = errorCosts(t, 21, 50_000) // one takes as long as 1,000 of the others
	for _, p := range peers {
		r.Behavior[p.name] = behave(t, p, false)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*write, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Log(strings.TrimSpace(string(data)))
}
