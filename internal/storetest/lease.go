//go:build unix

package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
	"github.com/authos-go/authos/internal/lease"
	"github.com/authos-go/authos/internal/servertest"
)

// Database is a server.
type Database struct {
	// Tokens opens a store on a session, with connections of its own. Its lock outlives its holder
	// by ttl.
	Tokens func(name string, ttl time.Duration) Session
	// Lossy opens one that is connected by way of a proxy.
	Lossy func(name string, ttl time.Duration) (authos.TokenStoreAcquirer, *servertest.Lossy)
	// Steal gives a session's lock to another process for a while, behind its holder's back.
	Steal func(name string, life time.Duration)
	// Kill ends the server as a crash does, Start starts it again with its data.
	Kill, Start func()
}

// Session is a store of a session.
type Session struct {
	authos.TokenStoreAcquirer

	// Freeze stops what extends the lock that the store holds, as the death of its process does.
	Freeze func()
	// SaveLate saves tokens under the lock that is held, by a command that is on its way while
	// something else happens.
	SaveLate func(t authos.Tokens, meanwhile func()) error
}

// TestLease checks a lock that is written down in a database, and what is saved under it. start is
// told whether the server is to crash.
func TestLease(t *testing.T, start func(t *testing.T, crashes bool) Database) {
	db := start(t, false)
	for name, test := range map[string]func(t *testing.T, open func(ttl time.Duration) Session){
		"outlives its holder": outlives, "lost": lost, "ran out": ranOut, "save waits": saveWaits, "overtaken": overtaken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(ttl time.Duration) Session { return db.Tokens(name, ttl) })
		})
	}
	t.Run("stolen", func(t *testing.T) {
		t.Parallel()
		stolen(t, db)
	})
	t.Run("lost responses", func(t *testing.T) {
		t.Parallel()
		lostResponses(t, db)
	})
	t.Run("database away", func(t *testing.T) {
		t.Parallel()
		away(t, start(t, true))
	})
}

const (
	// ttl leaves a busy machine 400 ms to extend a lock.
	ttl = 1400 * time.Millisecond
	// grain is how exactly a database keeps time: Redis counts whole milliseconds, from when it
	// began its round of the event loop.
	grain = 5 * time.Millisecond
)

// outlives: the lock of a holder that stops extending it, as if its process had died. The next one
// is told.
func outlives(t *testing.T, open func(ttl time.Duration) Session) {
	dead, next, third := open(ttl), open(ttl), open(ttl)
	Lock(t, dead)
	time.Sleep(ttl) // it lives, and extends the lock
	death := time.Now()
	dead.Freeze()
	release, clean, err := next.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(death); clean || waited < ttl-grain || waited > 3*ttl {
		t.Errorf("the lock of a dead holder ended after %v (released: %v), want at least %v and not much more than %v", waited, clean, ttl, 9*ttl/7)
	}
	start := time.Now()
	release(false)
	release, clean, err = third.Acquire(t.Context())
	if waited := time.Since(start); err != nil || clean || waited < ttl-grain {
		t.Fatalf("a lock given up in doubt was had after %v (released: %v, %v)", waited, clean, err)
	}
	release(true)
	release, clean, err = next.Acquire(t.Context())
	if err != nil || !clean {
		t.Fatalf("a lock that was released: released %v, %v", clean, err)
	}
	release(true)
}

// lost: another process has had the lock since.
func lost(t *testing.T, open func(ttl time.Duration) Session) {
	frozen, owner := open(ttl), open(ttl)
	Save(t, owner, Numbered(1))
	unlockFrozen := Lock(t, frozen)
	frozen.Freeze()
	unlock := Lock(t, owner)
	check := func(when string, want authos.Tokens) {
		t.Helper()
		for name, err := range map[string]error{
			"Save": frozen.Save(t.Context(), Numbered(9)), "Delete": frozen.Delete(t.Context()),
		} {
			if !errors.Is(err, lease.ErrLost) {
				t.Errorf("%s: %s gave %v, want ErrLockLost", when, name, err)
			}
		}
		Holds(t, frozen, want) // reading needs no lock, and is how the holder learns more
	}
	check("while the lock is another's", Numbered(1))
	Save(t, owner, Numbered(2))
	unlock()
	check("after another had it", Numbered(2))
	unlock = Lock(t, owner)
	unlockFrozen()
	Locked(t, open(ttl), 2*ttl) // unlock of a lost lock did not release the owner's
	unlock()
}

// ranOut: a lock that ran out is as good as held while nobody else takes it.
func ranOut(t *testing.T, open func(ttl time.Duration) Session) {
	const ttl = 500 * time.Millisecond
	holder, other := open(ttl), open(ttl)
	unlock := Lock(t, holder)
	holder.Freeze()
	time.Sleep(2 * ttl)
	Save(t, holder, Numbered(1))
	Holds(t, other, Numbered(1))
	Locked(t, other, 20*time.Millisecond) // saving has taken the lock up again
	unlock()
	Lock(t, other)()
}

// saveWaits: a sign-in is not undone by the refresh that was under way.
func saveWaits(t *testing.T, open func(ttl time.Duration) Session) {
	holder, other := open(time.Minute), open(time.Minute)
	unlock := Lock(t, holder)
	done := make(chan error)
	go func() { done <- other.Save(context.Background(), Numbered(2)) }()
	select {
	case err := <-done:
		t.Fatalf("Save did not wait for the lock: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	Save(t, holder, Numbered(1))
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	Holds(t, holder, Numbered(2))
}

// overtaken: a command that nobody waits for any more does not undo what its sender has done since.
func overtaken(t *testing.T, open func(ttl time.Duration) Session) {
	holder := open(time.Minute)
	defer Lock(t, holder)()
	if err := holder.SaveLate(Numbered(1), func() { Save(t, holder, Numbered(2)) }); err == nil {
		t.Error("older tokens were saved over newer ones")
	}
	Holds(t, holder, Numbered(2))
}

// stolen: who has lost the lock neither extends nor releases it, also where there are no tokens.
func stolen(t *testing.T, db Database) {
	const name = "stolen"
	loser, next, third := db.Tokens(name, ttl), db.Tokens(name, ttl), db.Tokens(name, ttl)
	unlock := Lock(t, loser)
	start := time.Now()
	db.Steal(name, 2*ttl)
	release := Lock(t, next)
	if waited := time.Since(start); waited < 2*ttl-grain {
		t.Errorf("the lock of another was given away after %v", waited)
	}
	unlock()
	Locked(t, third, ttl)
	release()
	Lock(t, third)()
}

// lostResponses loses responses of a database that has acted: what it was told is sent again.
func lostResponses(t *testing.T, db Database) {
	const name = "lost responses"
	store, p := db.Lossy(name, ttl)
	other := db.Tokens(name, ttl)
	Holds(t, store, authos.Tokens{}) // connected, and the clock is known
	const rounds = 5
	for i := range rounds {
		p.Lose.Store(1)
		start := time.Now()
		unlock := Lock(t, store)
		if waited := time.Since(start); waited > ttl {
			t.Errorf("a lock whose response was lost was had after %v", waited)
		}
		Locked(t, other, 20*time.Millisecond)
		p.Lose.Store(1)
		Save(t, store, Numbered(i))
		p.Lose.Store(1)
		unlock()
		start = time.Now()
		Lock(t, other)()
		if waited := time.Since(start); waited > ttl {
			t.Errorf("the lock was released after %v", waited)
		}
		Holds(t, other, Numbered(i))
	}
	Lock(t, other)
	other.Freeze() // dies
	time.Sleep(2 * ttl)
	Holds(t, store, Numbered(rounds-1)) // drivers may look at a connection that was idle
	p.Lose.Store(1)
	release, clean, err := store.Acquire(t.Context())
	if err != nil || clean {
		t.Fatalf("the lock of a dead holder, its response lost: released %v, %v", clean, err)
	}
	release(true)
	if lost := p.Lost.Load(); lost != 3*rounds+1 {
		t.Errorf("%d responses were lost, want %d", lost, 3*rounds+1)
	}
}

// away: nobody waits for a database that is down, and everything goes on when it is back. A lock
// that could not be given back is given back then.
func away(t *testing.T, db Database) {
	store, holder, other := db.Tokens("one", time.Minute), db.Tokens("two", time.Minute), db.Tokens("two", time.Minute)
	Save(t, store, Numbered(1))
	unlock := Lock(t, holder)
	db.Kill()
	FailsSoon(t, store)
	unlock()
	db.Start()
	BackSoon(t, store)
	Holds(t, store, Numbered(1))
	Lock(t, other)() // far from a minute
	Lock(t, holder)()
}

// FailsSoon checks that nobody waits for a database that does not respond.
func FailsSoon(t *testing.T, store authos.LockingTokenStore) {
	t.Helper()
	for name, call := range map[string]func() error{
		"Load": func() error { _, err := store.Load(context.Background()); return err },
		"Save": func() error { return store.Save(context.Background(), Numbered(2)) },
		"Lock": func() error { _, err := store.Lock(context.Background()); return err },
	} {
		start := time.Now()
		err := call()
		if took := time.Since(start); err == nil || took > 4*time.Second {
			t.Errorf("%s gave %v after %v, want an error within about 3 s", name, err, took)
		}
	}
}

// BackSoon checks that everything works again.
func BackSoon(t *testing.T, store authos.LockingTokenStore) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := store.Load(context.Background())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Load after the database came back: %v", err)
		}
	}
	Lock(t, store)()
}

// WentBack checks a store that has saved Numbered(2), and whose database has gone back to
// Numbered(1): it is told, and puts right what is there, under the lock. fresh is a store that has
// seen nothing yet.
func WentBack(t *testing.T, store, fresh authos.TokenStoreAcquirer) {
	t.Helper()
	for range 2 {
		if got, err := store.Load(t.Context()); !errors.Is(err, atrest.ErrBehind) || got != (authos.Tokens{}) {
			t.Fatalf("Load gave %v and %v, want ErrBehind alone", got, err)
		}
	}
	unlock := Lock(t, store)
	if got, err := store.Load(t.Context()); !errors.Is(err, atrest.ErrBehind) || got != Numbered(1) {
		t.Errorf("Load under the lock gave %v, want what is there, and ErrBehind", err)
	}
	Holds(t, store, Numbered(1)) // it has been told
	Save(t, store, Numbered(2))
	unlock()
	Holds(t, store, Numbered(2))
	Holds(t, fresh, Numbered(2))
}
