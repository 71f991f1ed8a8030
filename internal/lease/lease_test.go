package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/internal/lease"
)

// The lock on a table in memory and a clock that costs nothing. What databases make of it is tested
// with them.

// table is a lease, and a list of what was done to it and when.
type table struct {
	mu    sync.Mutex
	owner string
	until time.Time
	start time.Time
	log   []string
	fail  map[string]error // by operation
	wait  *time.Duration   // that a Take in vain tells; nil: until the lease runs out
}

func newTable() *table { return &table{start: time.Now(), fail: map[string]error{}} }

// does takes note of an operation, and gives its failure.
func (t *table) does(op string) error {
	t.log = append(t.log, fmt.Sprintf("%s %v", op, time.Since(t.start)))
	return t.fail[op]
}

func (t *table) Take(_ context.Context, owner string, life, patience time.Duration) (lease.Taken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.does("take"); err != nil {
		return lease.Taken{}, err
	}
	if patience != lease.Patience {
		return lease.Taken{}, errors.New("it would be granted too late")
	}
	now := time.Now()
	if t.owner != "" && now.Before(t.until) {
		wait := t.until.Sub(now)
		if t.wait != nil {
			wait = *t.wait
		}
		return lease.Taken{Wait: wait}, nil
	}
	clean := t.owner == ""
	t.owner, t.until = owner, now.Add(life)
	return lease.Taken{OK: true, Clean: clean}, nil
}

func (t *table) Extend(_ context.Context, owner string, life time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.does("extend"); err != nil {
		return err
	}
	if t.owner != owner {
		return lease.ErrLost
	}
	t.until = time.Now().Add(life)
	return nil
}

func (t *table) Free(ctx context.Context, owner string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.does("free"); err != nil {
		return err
	}
	if ctx.Err() == nil && t.owner == owner {
		t.owner = ""
	}
	return nil
}

// set changes the table.
func (t *table) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

// did gives what was done since it was asked last.
func (t *table) did() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := strings.Join(t.log, ", ")
	t.log = nil
	return done
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func acquire(t *testing.T, l *lease.Lock, wantClean bool) (release func(clean bool)) {
	t.Helper()
	release, clean, err := l.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire = %v", err)
	}
	equal(t, "the last owner freed it", clean, wantClean)
	return release
}

// ttl makes beats of 10 s and a life of 90 s.
const ttl = 70 * time.Second

// after lets time pass, and then what is due.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		equal(t, "life", l.Life(), 90*time.Second)
		equal(t, "owner", l.Owner(), "")
		release := acquire(t, l, true)
		first := l.Owner()
		equal(t, "owner", tab.owner, first)
		after(30 * time.Second)
		equal(t, "done", tab.did(), "take 0s, extend 10s, extend 20s, extend 30s")
		equal(t, "it lasts", time.Until(tab.until), 90*time.Second)
		tab.set(func() { tab.fail["extend"] = errors.New("no") })
		after(10 * time.Second)
		tab.set(func() { delete(tab.fail, "extend") })
		after(10 * time.Second)
		equal(t, "done, with one failure", tab.did(), "extend 40s, extend 50s")
		equal(t, "it lasts", time.Until(tab.until), 90*time.Second)
		release(true)
		release(true)
		release(false)
		equal(t, "owner after release", tab.owner+l.Owner(), "")
		after(time.Hour)
		equal(t, "done", tab.did(), "free 50s")
		release = acquire(t, l, true)
		if second := l.Owner(); second == first || len(second) < 20 {
			t.Errorf("owners %q and %q, want a new random text for each", first, second)
		}
		after(5 * time.Second)
		release(false)
		after(time.Hour)
		equal(t, "done", tab.did(), "take 1h0m50s")
		acquire(t, l, false)(true)
	})
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		release := acquire(t, l, true)
		tab.set(func() { tab.owner = "another" })
		after(time.Minute)
		equal(t, "done", tab.did(), "take 0s, extend 10s")
		release(true)
		equal(t, "owner", tab.owner, "another")
	})
}

func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		release := acquire(t, l, true)
		after(10 * time.Second)
		l.Freeze()
		after(time.Hour)
		equal(t, "done", tab.did(), "take 0s, extend 10s")
		acquire(t, lease.New(tab, ttl), false)(true)
		release(true)
	})
}

// A lease that nobody wants is given back: at once, and when no command to take it can come any
// more, and nobody waits for that.
func TestForsaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		fail := errors.New("no response")
		tab.set(func() { tab.fail["take"] = fail })
		if _, _, err := l.Acquire(t.Context()); !errors.Is(err, fail) || time.Since(tab.start) != 0 {
			t.Errorf("Acquire = %v after %v, want the failure at once", err, time.Since(tab.start))
		}
		after(time.Hour)
		equal(t, "done", tab.did(), "take 0s, free 0s, free 3s")
		tab.set(func() { delete(tab.fail, "take") })
		acquire(t, l, true)(true)
	})
}

// While the database is away a lease is freed again and again, until it has run out by itself.
func TestFreedLater(t *testing.T) {
	for name, tc := range map[string]struct {
		back time.Duration
		want string
	}{
		"soon":  {2500 * time.Millisecond, "free 0s, free 1s, free 2s, free 3s"},
		"never": {time.Hour, "free 0s, free 1s, free 2s, free 3s, free 4s, free 5s, free 6s, free 7s, free 8s, free 9s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tab := newTable()
				l := lease.New(tab, 7700*time.Millisecond) // a life of 9.9 s
				release := acquire(t, l, true)
				tab.did()
				tab.set(func() { tab.fail["free"] = errors.New("away") })
				release(true)
				equal(t, "release took", time.Since(tab.start), 0)
				after(tc.back)
				tab.set(func() { delete(tab.fail, "free") })
				after(time.Hour)
				equal(t, "done", tab.did(), tc.want)
				equal(t, "it is free", tab.owner == "", name == "soon")
			})
		})
	}
}

// Who waits asks often at first, and then about four times a second; before that where the lease
// runs out sooner.
func TestWaiting(t *testing.T) {
	for name, tc := range map[string]struct {
		told, shortest, longest time.Duration // what Take tells; between two asks
	}{
		"long":  {time.Hour, 125 * time.Millisecond, 375 * time.Millisecond},
		"short": {20 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond},
		"none":  {0, 125 * time.Millisecond, 375 * time.Millisecond},
		"over":  {-time.Second, 125 * time.Millisecond, 375 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tab := newTable()
				release := acquire(t, lease.New(tab, ttl), true)
				tab.set(func() { tab.wait, tab.log = new(tc.told), nil })
				cause := errors.New("the user left")
				ctx, leave := context.WithTimeoutCause(t.Context(), time.Minute, cause)
				defer leave()
				l := lease.New(tab, ttl)
				if _, _, err := l.Acquire(ctx); !errors.Is(err, cause) {
					t.Errorf("Acquire = %v, want the cause of its end", err)
				}
				equal(t, "it waited", time.Since(tab.start), time.Minute)
				var asked []time.Duration
				for op := range strings.SplitSeq(tab.did(), ", ") {
					if at, ok := strings.CutPrefix(op, "take "); ok {
						d, err := time.ParseDuration(at)
						if err != nil {
							t.Fatal(err)
						}
						asked = append(asked, d)
					}
				}
				if !slices.ContainsFunc(asked, func(d time.Duration) bool { return d > 0 && d < 8*time.Millisecond }) {
					t.Errorf("asked at %v, want soon again", asked[:3])
				}
				differ := map[time.Duration]bool{}
				for i, at := range asked {
					if at < 2*time.Second {
						continue
					}
					between := at - asked[i-1]
					differ[between] = true
					if between < tc.shortest || between > tc.longest {
						t.Errorf("asked after %v, want between %v and %v", between, tc.shortest, tc.longest)
					}
				}
				if len(differ) < 10 {
					t.Errorf("%d waits of different length, want those who wait apart", len(differ))
				}
				release(true)
				acquire(t, l, true)(true) // the turn was given back
			})
		})
	}
}

// The goroutines of a process wait for each other, without asking the database.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		release := acquire(t, l, true)
		cause := errors.New("the user left")
		ctx, leave := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer leave()
		if _, _, err := l.Acquire(ctx); !errors.Is(err, cause) {
			t.Errorf("Acquire beside the holder = %v, want the cause of its end", err)
		}
		var group sync.WaitGroup
		group.Go(func() { acquire(t, l, true)(true) })
		synctest.Wait()
		equal(t, "done", tab.did(), "take 0s")
		release(true)
		group.Wait()
		equal(t, "done", tab.did(), "free 1s, take 1s, free 1s")
	})
}

// What is done under the lock is done by its owner, or under a lock for the moment.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		l := lease.New(tab, ttl)
		fail := errors.New("no")
		do := func(owner string) error {
			if owner == "" || owner != tab.owner {
				t.Errorf("done by %q, and the lease is %q's", owner, tab.owner)
			}
			return fail
		}
		equal(t, "Do", l.Do(t.Context(), do), fail)
		equal(t, "done", tab.did(), "take 0s, free 0s")
		release := acquire(t, l, true)
		equal(t, "Do under the lock", l.Do(t.Context(), do), fail)
		equal(t, "done", tab.did(), "take 0s")
		release(true)
		tab.set(func() { tab.fail["take"] = fail })
		err := l.Do(t.Context(), func(string) error {
			t.Error("done without the lock")
			return nil
		})
		equal(t, "Do without the database", err, fail)
		after(time.Hour)
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c lease.Clock
		equal(t, "not known", c.Now(), time.Time{})
		there := time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC)
		c.Saw(there)
		time.Sleep(time.Hour)
		equal(t, "an hour later", c.Now(), there.Add(time.Hour))
		c.Saw(there)
		equal(t, "it was set back", c.Now(), there)
	})
}
