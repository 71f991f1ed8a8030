package session

import (
	"testing"
	"time"
)

// Whose tokens the store has is told from what is held: calls that began for another sign-in are
// not carried out with them.
func TestFoundInTheStore(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*alone)
		by      Kind
		held    Pair
		signIns uint32
		fate    Fate // of what was held
	}{
		{"the same", func(*alone) {}, NeedLook, 1, 0, Fate{}},
		{"another process's refresh", func(a *alone) { a.store = 2 }, NeedLook, 2, 0, Fate{Kind: Superseded, Heir: 2}},
		{"another's sign-in", func(a *alone) { a.store = 201 }, NeedLook, 201, 1, Fate{}},
		{"nothing: somebody has signed out", func(a *alone) { a.store = 0 }, NeedLook, 0, 1, Fate{}},
		{"a sign-in after a sign-out", func(a *alone) { a.store = 0; a.on(Event{Kind: NeedLook}); a.store = 2 }, NeedLoad, 2, 2, Fate{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			if a.s.SignIn != 0 {
				t.Errorf("loading counts as a sign-in")
			}
			tc.prepare(a)
			if got := a.find(a.on(Event{Kind: tc.by}), DoFinish).Reason; got != OK {
				t.Errorf("the look ended with %d", got)
			}
			if a.s.Held != tc.held || a.s.SignIn != tc.signIns || a.fates[1] != tc.fate {
				t.Errorf("%d is held, of sign-in %d, the fate is %v; want %d, %d, %v", a.s.Held, a.s.SignIn, a.fates[1], tc.held, tc.signIns, tc.fate)
			}
		})
	}
}

// Tokens that wait to be saved give way to what somebody else has put into the store meanwhile, but
// not to what they have replaced.
func TestFoundWhileUnsaved(t *testing.T) {
	for _, tc := range []struct {
		name       string
		set, found Pair
		want       Pair
	}{
		{"the same as before", 101, 1, 101},
		{"a refresh of the session that was replaced", 101, 2, 101},
		{"another's sign-in", 101, 201, 201},
		{"a refresh of the same session", 2, 3, 3},
		{"what is to be saved", 2, 2, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, false)
			a.failed = true
			a.on(Event{Kind: Set, Pair: tc.set, OK: tc.set < 100})
			a.store, a.failed = tc.found, false
			if a.pass(Default.SaveAgain); a.s.Held != tc.want || a.store != tc.want || a.s.Unsaved != 0 {
				t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, tc.want)
			}
		})
	}
	t.Run("never known", func(t *testing.T) {
		a := &alone{t: t, fates: map[Pair]Fate{}, store: 201, failed: true}
		a.on(Event{Kind: Set, Pair: 1})
		a.failed = false
		if a.pass(Default.SaveAgain); a.s.Held != 1 || a.store != 1 {
			t.Errorf("%d is held, %d stored, want 1", a.s.Held, a.store)
		}
	})
}

// A store that has gone back gets the newer tokens again, unless those are over.
func TestStoreThatGoesBack(t *testing.T) {
	for end, want := range map[Kind]Pair{Unsent: 2, Rejected: 1} {
		a := session(t, true)
		a.present()
		a.on(Event{Kind: Answered, Of: 1, Pair: 2})
		a.present()
		a.on(Event{Kind: end, Of: 2})
		a.store = 1
		if a.on(Event{Kind: NeedLook}); a.s.Held != 2 || a.store != want {
			t.Errorf("after %d, %d is held, %d stored, want 2, %d", end, a.s.Held, a.store, want)
		}
	}
}

// The tokens that the program begins with go into a store that is empty and never held any: what
// became of them, where another client knows.
func TestSeed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		store Pair
		fate  Fate
		want  Pair
	}{
		{"empty", 0, Fate{}, 1},
		{"in use", 201, Fate{}, 201},
		{"refreshed by another client", 0, Fate{Kind: Superseded, Heir: 2}, 2},
		{"used up", 0, Fate{Kind: Superseded}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &alone{t: t, fates: map[Pair]Fate{1: tc.fate}, store: tc.store, s: State{Locks: true}}
			a.find(a.on(Event{Kind: NeedLoad, Pair: 1}), DoFinish)
			if a.s.Held != tc.want || a.store != tc.want {
				t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, tc.want)
			}
		})
	}
	t.Run("signed out", func(t *testing.T) {
		a := session(t, true)
		a.on(Event{Kind: Leave})
		if a.on(Event{Kind: NeedLoad, Pair: 3}); a.s.Held != 0 || a.store != 0 {
			t.Errorf("%d is held, %d stored", a.s.Held, a.store)
		}
	})
}

// Who waits for a store that fails is told so. A refresh goes on without a store that has no lock.
func TestStoreFails(t *testing.T) {
	for _, tc := range []struct {
		name   string
		locks  bool
		by     Kind
		heldUp Verb
		end    Kind
		want   Verb
	}{
		{"a look", true, NeedLook, DoRead, Read, DoFinish},
		{"loading", true, NeedLoad, DoRead, Read, DoFinish},
		{"loading, without a lock", false, NeedLoad, DoRead, Read, DoFinish},
		{"a refresh that looks", true, Need, DoRead, Read, DoFinish},
		{"a refresh that wants the lock", true, Need, DoLock, LockFailed, DoFinish},
		{"a refresh without a lock", false, Need, DoRead, Read, DoPresent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, tc.locks)
			a.heldUp = tc.heldUp
			a.on(Event{Kind: tc.by})
			a.heldUp = 0
			did := a.on(Event{Kind: tc.end})
			if got := a.find(did, tc.want); tc.want == DoFinish && got.Reason != StoreFailed {
				t.Errorf("it ended with %d, want %d", got.Reason, StoreFailed)
			}
			a.none(did, DoRead)
			a.none(did, DoLock)
		})
	}
	t.Run("a look beside the lock", func(t *testing.T) {
		a := session(t, true)
		a.heldUp = DoLock
		a.on(Event{Kind: Need})
		a.heldUp = DoRead
		a.find(a.on(Event{Kind: Wake}), DoRead)
		a.none(a.on(Event{Kind: Read}), DoFinish) // the lock is waited for all the same
		a.on(Event{Kind: Wake})
		a.find(a.on(Event{Kind: LockGot}), DoCancelRead)
		a.find(a.on(Event{Kind: Read, OK: true, Pair: 2}), DoRead) // what was read without it is old
		if a.find(a.on(Event{Kind: Read, OK: true, Pair: 1}), DoPresent); a.s.Held != 1 {
			t.Errorf("%d is held", a.s.Held)
		}
	})
}

// Saving is tried again after waits that double, and every second under a lock that others wait
// for. The program is told of the first failure.
func TestSaveAgain(t *testing.T) {
	seconds := map[bool][]int{false: {1, 2, 4, 8, 16, 30, 30}, true: {1, 1, 1, 1, 1, 1, 1}}
	for locks, waits := range seconds {
		a := session(t, locks)
		a.failed = true
		did := a.on(Event{Kind: Set, Pair: 2, OK: true})
		if got := a.find(did, DoFinishSet).Reason; got != StoreFailed || a.s.Held != 2 {
			t.Errorf("the program is told %d, %d is held", got, a.s.Held)
		}
		for _, n := range waits {
			wait := time.Duration(n) * time.Second
			a.none(a.pass(wait-1), DoSave)
			did := a.pass(1)
			a.find(did, DoSave)
			a.none(did, DoFinishSet)
		}
	}
}

// New tokens of the program come before whatever was under way: who waits goes on with them.
func TestSetOvertakes(t *testing.T) {
	for _, set := range []Pair{0, 101} {
		for _, kind := range []Kind{NeedLoad, NeedLook, Need} {
			a := session(t, true)
			a.heldUp = DoRead
			a.on(Event{Kind: kind})
			if got := a.find(a.on(Event{Kind: Set, Pair: set}), DoFinish).Reason; got != Overtaken {
				t.Errorf("%d ended with %d, want %d", kind, got, Overtaken)
			}
		}
		a := session(t, true)
		a.heldUp = DoSave
		a.on(Event{Kind: Set, Pair: 2, OK: true})
		if got := a.find(a.on(Event{Kind: Set, Pair: set}), DoFinishSet).Reason; got != Overtaken {
			t.Errorf("what was set before ended with %d, want %d", got, Overtaken)
		}
	}
}

// Old tokens that the program sets give way to what they have become, where that is held.
func TestOldTokensAreSet(t *testing.T) {
	for heir, want := range map[Pair]Pair{0: 1, 2: 2} {
		a := session(t, true)
		a.on(Event{Kind: Set, Pair: 101})
		a.fates[1] = Fate{Kind: Superseded, Heir: heir}
		if a.on(Event{Kind: Set, Pair: 1}); a.s.Held != want || a.store != want {
			t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, want)
		}
	}
}

// The lock is kept while tokens could not be saved under it, as long as it lasts. Then it is got
// again: it may be somebody else's by now, who is told that something is open.
func TestSavedUnderALockThatEnded(t *testing.T) {
	for slow, locks := range map[time.Duration]int{Default.LockLife: 0, Default.LockLife + 1: 1} {
		a := session(t, true)
		a.s.Expires, a.failed = true, true
		a.none(a.on(Event{Kind: Set, Pair: 2, OK: true}), DoUnlock)
		a.failed = false
		did := a.pass(slow)
		if got := len(of(did, DoLock)); got != locks || a.store != 2 {
			t.Errorf("after %v the lock is got %d times again, want %d; stored: %d", slow, got, locks, a.store)
		}
		if locks > 0 && (did[0].Verb != DoUnlock || did[0].Clean) {
			t.Errorf("after %v it begins with %+v, want the lock given up, and not cleanly", slow, did[0])
		}
	}
}

// A lock says to the next holder what is open.
func TestReleasedLock(t *testing.T) {
	for _, tc := range []struct {
		name   string
		marked bool
		end    Event
		clean  bool
	}{
		{"not sent", false, Event{Kind: Unsent, Of: 1}, true},
		{"not sent, after a doubt", true, Event{Kind: Unsent, Of: 1}, false},
		{"exchanged, after a doubt", true, Event{Kind: Answered, Of: 1, Pair: 2}, true},
		{"refused, after a doubt", true, Event{Kind: Rejected, Of: 1}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.marked = tc.marked
			a.present()
			if got := a.find(a.on(tc.end), DoUnlock).Clean; got != tc.clean {
				t.Errorf("released cleanly: %v, want %v", got, tc.clean)
			}
		})
	}
}
