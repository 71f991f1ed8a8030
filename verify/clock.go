package verify

import "time"

// moment is a point in time on two clocks. The monotonic one stands still while a machine is
// suspended (Linux, macOS), and the wall clock can be set; so neither alone says how old something
// is.
type moment struct {
	wall time.Time     // without a monotonic reading
	mono time.Duration // since the process began to measure
}

var processStart = time.Now()

func currentMoment() moment {
	now := time.Now()
	return moment{now.Round(0), now.Sub(processStart)}
}

// at is the moment at which the wall clock showed t, for what was written down before this process
// began. now is the present.
func at(t time.Time, now moment) moment {
	return moment{t.Round(0), now.mono - max(now.wall.Sub(t), 0)}
}

func (m moment) isZero() bool { return m.wall.IsZero() }

// age is how long m is over at least: the longer of what the two clocks say. Erring on this side
// costs a request too many; on the other, a key or a response would be trusted for too long.
func (m moment) age(now moment) time.Duration {
	return max(now.mono-m.mono, now.wall.Sub(m.wall), 0)
}

// before reports whether m is earlier than other, in the order in which this process saw them.
func (m moment) before(other moment) bool { return m.mono < other.mono }

const (
	// fetchBurst fetches of the keys may follow each other at once; one more comes every
	// fetchEvery.
	fetchBurst = 5
	fetchEvery = 30 * time.Second
	// fetchReserve is left by what rather proves a bad token than a new key: a signature that does
	// not match, and a kid that the server has just denied. So a genuine rotation finds a token.
	fetchReserve = 2
)

// bucket is a token bucket that is full at first. It bounds how often strangers can make this
// program ask the server for its keys. It counts in time, of which a token costs fetchEvery, so
// that nothing is rounded.
type bucket struct {
	credit time.Duration
	filled moment // when credit was right; zero: full
}

// take takes a token where more than reserve are there.
func (b *bucket) take(now moment, reserve int) bool {
	b.fill(now)
	if b.credit < time.Duration(reserve+1)*fetchEvery {
		return false
	}
	b.credit -= fetchEvery
	return true
}

func (b *bucket) giveBack() { b.credit = min(b.credit+fetchEvery, fetchBurst*fetchEvery) }

// next is how long it takes until there is a token.
func (b *bucket) next(now moment) time.Duration {
	b.fill(now)
	return max(fetchEvery-b.credit, 0)
}

func (b *bucket) fill(now moment) {
	if b.filled.isZero() {
		b.credit = fetchBurst * fetchEvery
	} else {
		b.credit = min(b.credit+min(b.filled.age(now), fetchBurst*fetchEvery), fetchBurst*fetchEvery)
	}
	b.filled = now
}
