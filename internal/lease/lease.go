// Package lease is a lock among processes that is written down in a database: who has it, and until
// when, by the database's clock. Nothing of it rests on a connection.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// Table is where a lease is written down. Its methods may do their work twice, because a driver may
// repeat what had no response, and late, when their caller has left.
type Table interface {
	// Take gives the lease to owner for life, unless somebody else has it. It must not do so later
	// than patience after it was called, whenever its command arrives.
	Take(ctx context.Context, owner string, life, patience time.Duration) (Taken, error)
	// Extend lets the lease end life from now, or gives ErrLost.
	Extend(ctx context.Context, owner string, life time.Duration) error
	// Free ends the lease, if owner has it.
	Free(ctx context.Context, owner string) error
}

// Taken is the outcome of Take.
type Taken struct {
	OK    bool
	Clean bool          // OK: the last owner freed the lease, it did not run out
	Wait  time.Duration // not OK: until it runs out
}

// ErrLost says that somebody else has had the lease since, or that the database has lost its data.
var ErrLost = errors.New("the lock was lost: another process has held it since")

const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond

	// Patience bounds one exchange with the database, the driver's own retries included.
	Patience = 3 * time.Second
)

// Lock is the lock of one session, for the goroutines of this process among themselves, too.
type Lock struct {
	table Table
	// beat is how often a lease that is held is extended, life how long it lasts without that.
	beat, life time.Duration

	turn chan struct{} // full while a goroutine of this process has the lease or tries to get it

	mu   sync.Mutex
	held *hold // from Acquire to release
}

// hold is the lease, held.
type hold struct {
	owner string
	end   func() // ends what extends the lease
}

// New makes a lock whose lease outlives its holder by ttl at least, and by two beats more, so that
// one beat may fail.
func New(table Table, ttl time.Duration) *Lock {
	l := &Lock{table: table, turn: make(chan struct{}, 1)}
	l.Outlive(ttl)
	return l
}

// Outlive changes the ttl of New, before the lock is used.
func (l *Lock) Outlive(ttl time.Duration) {
	l.beat = ttl / 7
	l.life = ttl + 2*l.beat
}

// Life is how long a lease lasts that is not extended.
func (l *Lock) Life() time.Duration { return l.life }

// Acquire waits for the lock, until ctx is done: in turn with other goroutines of this process, by
// asking the database again and again for those of others. The lease is extended until release.
// release(false) leaves the lease to run out. It does not wait for a database that cannot be
// reached.
func (l *Lock) Acquire(ctx context.Context) (release func(clean bool), clean bool, err error) {
	h, clean, err := l.take(ctx)
	if err != nil {
		return nil, false, err
	}
	l.hold(h)
	var once sync.Once
	return func(clean bool) {
		once.Do(func() {
			l.hold(nil)
			l.release(h, clean)
		})
	}, clean, nil
}

// Do runs f under the lock: the one that is held by Acquire, or one for the moment.
func (l *Lock) Do(ctx context.Context, f func(owner string) error) error {
	owner := l.Owner()
	if owner == "" {
		h, _, err := l.take(ctx)
		if err != nil {
			return err
		}
		defer l.release(h, true) // what a dead holder may have spent is replaced
		owner = h.owner
	}
	return f(owner)
}

// Owner is who holds the lock that Acquire gave; empty: nobody.
func (l *Lock) Owner() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		return ""
	}
	return l.held.owner
}

// Freeze ends what extends the lease that is held, as the death of its process does. It is for
// tests.
func (l *Lock) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held.end()
}

func (l *Lock) hold(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = h
}

// take gets the turn and the lease.
func (l *Lock) take(ctx context.Context) (h *hold, clean bool, err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	owner := rand.Text()
	clean, err = l.await(ctx, owner)
	if err != nil {
		<-l.turn
		return nil, false, err
	}
	held, end := context.WithCancel(context.Background())
	go l.extend(held, owner)
	return &hold{owner, end}, clean, nil
}

func (l *Lock) release(h *hold, clean bool) {
	h.end()
	if clean {
		l.free(h.owner)
	}
	<-l.turn
}

func (l *Lock) await(ctx context.Context, owner string) (clean bool, err error) {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		asked := time.Now()
		taken, err := l.table.Take(ctx, owner, l.life, Patience)
		if err != nil {
			// It may have been granted all the same, also when its command was still on its way.
			go l.forsake(owner, asked.Add(Patience)) //nolint:gosec // whatever becomes of the caller
			return false, err
		}
		if taken.OK {
			return taken.Clean, nil
		}
		if taken.Wait > 0 {
			wait = min(wait, taken.Wait)
		}
		if err := pause(ctx, jittered(wait)); err != nil {
			return false, err
		}
	}
}

// jittered spreads those who wait for the same lock.
func jittered(d time.Duration) time.Duration { return d/2 + mathrand.N(d) } //nolint:gosec // no secret

// forsake frees a lease that was never wanted: at once, and again when no command to take it can
// come any more.
func (l *Lock) forsake(owner string, last time.Time) {
	l.free(owner)
	if pause(context.Background(), time.Until(last)) == nil {
		l.free(owner)
	}
}

// free ends a lease. If the database cannot be reached, that is tried again in the background until
// the lease has run out by itself.
func (l *Lock) free(owner string) {
	ctx, cancel := context.WithTimeout(context.Background(), l.life)
	if l.table.Free(ctx, owner) == nil {
		cancel()
		return
	}
	go func() {
		defer cancel()
		for pause(ctx, time.Second) == nil {
			if l.table.Free(ctx, owner) == nil {
				return
			}
		}
	}()
}

// extend keeps the lease until ctx is done.
func (l *Lock) extend(ctx context.Context, owner string) {
	for pause(ctx, l.beat) == nil {
		if err := l.table.Extend(ctx, owner, l.life); errors.Is(err, ErrLost) {
			return // the holder learns it when it saves
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Clock is what is known of the database's clock.
type Clock struct {
	mu   sync.Mutex
	time time.Time // the database's
	at   time.Time // here, when it was that; zero: not known
}

// Saw takes note of the database's time, as it was in a response.
func (c *Clock) Saw(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time, c.at = t, time.Now()
}

// Now is the database's time; zero when it is not known.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return time.Time{}
	}
	return c.time.Add(time.Since(c.at))
}
