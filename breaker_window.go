package authos

import (
	"net/http"
	"time"
)

// outcome is how an attempt ended, as the window keeps it.
type outcome struct {
	at     time.Duration // as breakers.now
	who    principal
	failed bool
	hold   time.Duration // until when the server asked to be left alone
	status int
	code   Code
}

// window is the last outcomes of a circuit that is closed, in the order of their ends.
type window struct {
	ring    [windowSize]outcome
	next, n int
	row     int // failures in a row, which may be more than the ring holds
}

func (w *window) add(o outcome, failed bool) {
	w.row++
	if !failed {
		w.row = 0
	}
	o.failed = failed
	w.ring[w.next] = o
	w.next = (w.next + 1) % windowSize
	w.n = min(w.n+1, windowSize)
}

// oldest gives the outcome at place i, counted from the oldest.
func (w *window) oldest(i int) *outcome { return &w.ring[(w.next-w.n+i+windowSize)%windowSize] }

// newest gives the outcomes, the last one first.
func (w *window) newest(yield func(*outcome) bool) {
	for i := w.n - 1; i >= 0; i-- {
		if !yield(w.oldest(i)) {
			return
		}
	}
}

// drop takes a principal's outcomes out.
func (w *window) drop(who principal) {
	var rest window
	for i := range w.n {
		if o := w.oldest(i); o.who != who {
			rest.add(*o, o.failed)
		}
	}
	*w = rest
}

// trips reports whether the circuit opens after a failure: by failures in a row, and where there
// are enough outcomes to tell by their share. One success in six must not hide an outage. Five in a
// row happen by chance at high rates, ten hardly, and they are what a client that has saved up
// retries needs: without them it sends 4 requests a call into the first ten seconds of an outage,
// with ten 1.0, with fifteen 1.5 (TestFleetOutage). With 10, 20 and 30 % failing at 200 calls a
// second ten in a row opened no circuit in ten minutes.
func (w *window) trips(p BreakerPolicy, now time.Duration) bool {
	n, failed := w.share(p, now, nil)
	if p.FailureRatio > 0 && n >= p.MinRequests {
		return float64(failed) >= p.FailureRatio*float64(n) || w.row/2 >= p.FailureThreshold
	}
	return w.row >= p.FailureThreshold
}

// share counts the outcomes young enough to count, but for one principal's.
func (w *window) share(p BreakerPolicy, now time.Duration, but *principal) (n, failed int) {
	for o := range w.newest {
		if now-o.at > p.Window {
			break
		}
		if but != nil && o.who == *but {
			continue
		}
		n++
		if o.failed {
			failed++
		}
	}
	return n, failed
}

// crowded reports whether a quarter of the last outcomes or more are 503. Thirty tell that from one
// in ten at random, of which a quarter are 503 in one case of a hundred.
func (w *window) crowded(p BreakerPolicy, now time.Duration) bool {
	n, refused := 0, 0
	for o := range w.newest {
		if n == crowdedOf || now-o.at > p.Window {
			break
		}
		n++
		if o.failed && o.status == http.StatusServiceUnavailable {
			refused++
		}
	}
	return n >= min(p.MinRequests, crowdedOf) && refused*4 >= n
}

const crowdedOf = 30 // outcomes

// culprit is the principal with the most failures, of several the one that failed last: among the
// outcomes young enough to count, and the failures in a row of any age.
func (w *window) culprit(p BreakerPolicy, now time.Duration) (culprit principal) {
	failures := map[principal]int{}
	most, inRow := 0, true
	for o := range w.newest {
		inRow = inRow && o.failed
		if !inRow && now-o.at > p.Window {
			break
		}
		if o.failed {
			failures[o.who]++
			most = max(most, failures[o.who])
		}
	}
	for o := range w.newest {
		if o.failed && failures[o.who] == most {
			return o.who
		}
	}
	return culprit
}

// beside reports whether the server fails beside a principal too: the failures in a row hold two or
// more of others, or the others' own share is enough to open a circuit.
func (w *window) beside(culprit principal, p BreakerPolicy, now time.Duration) bool {
	others := 0
	for o := range w.newest {
		if !o.failed {
			break
		}
		if o.who != culprit {
			others++
		}
	}
	n, failed := w.share(p, now, &culprit)
	return others >= 2 || p.FailureRatio > 0 && n >= p.MinRequests && float64(failed) >= p.FailureRatio*float64(n)
}

// said tells a circuit that opens what the failures have said, those of one principal or of all: a
// success takes back what was asked before it.
func (w *window) said(c *circuit, of *principal) {
	for i := range w.n {
		switch o := w.oldest(i); {
		case of != nil && o.who != *of:
		case o.failed:
			c.note(*o)
		default:
			c.hold = 0
		}
	}
}

// losses tells connections that are lost in one moment, as when a load balancer restarts, from a
// server that fails. The first loss is the failure; those of attempts that began before it belong
// to the same event, and so do repeats that were given another of the old connections, which had
// not been found broken yet. The zero value is armed.
type losses struct {
	begun    uint64 // attempts so far
	before   uint64 // the event is that of attempts up to this one
	members  int    // losses of theirs
	repeats  int    // losses of others, on old connections
	disarmed bool   // until enough successes in a row have come since the last event
	good     int    // successes in a row
}

// Bounds of what one event excuses: of requests that were in flight, and of repeats.
const (
	maxMembers     = 128
	maxLostRepeats = 32
)

// begin gives an attempt its number. In virtual time a beginning and a loss may share an instant.
func (l *losses) begin() uint64 {
	l.begun++
	return l.begun
}

// lost reports whether a loss belongs to the event. reused says that the connection had carried
// requests before.
func (l *losses) lost(number uint64, reused bool) bool {
	l.good = 0
	if !l.disarmed && number > l.before {
		l.disarmed, l.before, l.members, l.repeats = true, l.begun, 0, 0
		return false
	}
	switch {
	case number <= l.before && l.members < maxMembers:
		l.members++
		return true
	case number > l.before && reused && l.repeats < maxLostRepeats:
		l.repeats++
		return true
	}
	return false
}

func (l *losses) failed() { l.good = 0 }

func (l *losses) succeeded(enough int) {
	if l.good++; l.good >= enough {
		l.disarmed = false
	}
}
