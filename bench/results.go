package main

// rounds is how often each call is timed against the others.
const rounds = 501

// cost is what one call takes.
type cost struct {
	Allocs, Bytes float64 // exact
	Nanos         float64 // of an undisturbed turn
	Ratio         float64 // to the first of those that were compared
}

// behavior is what one client does in trouble. Times are virtual.
type behavior struct {
	Outage struct {
		Requests float64 // for each call
		Dials    int64   // connections
		Seconds  float64 // until the last call has failed
	}
	Tenth, Half flaky // 10 % and 50 % of the requests fail
	IdleDials   int64 // connections dialed anew by 50 calls after one failure; 50 were idle
	Session     *refresh
}

// flaky is how calls end while a share of the requests fails at random.
type flaky struct {
	Requests float64 // for each call
	Success  float64 // share of the calls
}

// refresh is what 1,000 calls with one dead access token do.
type refresh struct {
	Refreshes, Refused, Succeeded int
}

// results are those of one Go release.
type results struct {
	Go                           string
	Cost                         map[string]map[string]cost // by what is done, by client
	Refused, Stale, Write, Error map[string]cost
	Behavior                     map[string]behavior
}
