package main

import "fmt"

// goal is a bound that this package was built to keep, and what was measured.
type goal struct {
	What, Want, Got string
	Met             bool
}

// goals are all of them, for one release.
func (r results) goals() []goal {
	var all []goal
	most := func(what string, got, bound float64, format string) {
		all = append(all, goal{what, fmt.Sprintf("≤ "+format, bound), fmt.Sprintf(format, got), got <= bound})
	}
	plain, call := r.Cost["GET memory"][netHTTP.name], r.Cost["GET memory"][ours.name]
	most("good GET, in memory: allocations, against plain `net/http`", call.Allocs, plain.Allocs, "%.0f")
	most("the same: bytes", call.Bytes, plain.Bytes, "%.0f B")
	most("the same: time", call.Ratio, 1.25, "%.2f ×")
	most("`WithCache` adds to a good GET: allocations", r.Stale["cache"].Allocs-call.Allocs, 3, "%.0f")
	for _, over := range []string{"HTTP/1", "HTTP/2"} {
		for _, method := range []string{"GET", "POST"} {
			most(method+" over loopback, "+over+": time", r.Cost[method+" "+over][ours.name].Ratio, 1.05, "%.2f ×")
		}
	}
	refused, stale := r.Refused[ours.name], r.Stale["stale"]
	most("refused by an open breaker: allocations", refused.Allocs, 30, "%.0f")
	most("the same: time", refused.Nanos/1000, 5, "%.1f µs")
	most("stale response, not decoded: allocations", stale.Allocs, 30, "%.0f")
	most("the same: time", stale.Nanos/1000, 5, "%.1f µs")
	most("a write while 100,000 responses are cached, against an empty cache: time", r.Write["100000"].Ratio, 1.1, "%.2f ×")
	most("a refusal of a request with 50,000 texts, against decoding both: time", r.Error["authos"].Ratio, 10, "%.1f ×")
	b, off := r.Behavior[ours.name], r.Behavior[oursWithoutBreaker.name]
	most("total outage: requests a call", b.Outage.Requests, 0.1, "%.2f")
	most("total outage: connections", float64(b.Outage.Dials), 200, "%.0f")
	most("total outage, breaker off: requests a call", off.Outage.Requests, 1.25, "%.2f")
	most("10 % of the requests get a 503: share of the calls that fail", 100*(1-b.Tenth.Success), 0.1, "%.2f %%")
	if s := b.Session; s != nil {
		most("1,000 calls meet a dead token: refreshes", float64(s.Refreshes), 1, "%.0f")
		most("the same: calls that fail", float64(1000-s.Succeeded), 0, "%.0f")
	}
	return all
}
