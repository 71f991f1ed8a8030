package session

import (
	"testing"
	"time"
)

// Who comes to a refresh that is held back waits as long as the others: the server has asked for
// that. It goes on before its time only where it is told that there is news.
func TestHeldBack(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Unsent, Of: 1, OK: true, D: 10 * time.Second})
	for _, kind := range []Kind{Need, NeedLook, NeedLoad} {
		did := a.on(Event{Kind: kind})
		a.none(did, DoRead)
		a.none(did, DoPresent)
	}
	a.none(a.pass(9*time.Second), DoRead)
	a.find(a.pass(time.Second), DoPresent)
	a.on(Event{Kind: Unsent, Of: 1, OK: true, D: 10 * time.Second})
	a.find(a.on(Event{Kind: Wake}), DoPresent)
}

// A refresh takes the risk of a token that may have been taken if one of those who wait for it
// needs it.
func TestEarlyRefreshIsJoined(t *testing.T) {
	for _, tc := range []struct {
		name          string
		first, second Event
		want          Verb
	}{
		{"needed, then needed", Event{Kind: Need}, Event{Kind: Need}, DoPresent},
		{"needed, then early", Event{Kind: Need}, Event{Kind: Need, Early: true}, DoPresent},
		{"early, then needed", Event{Kind: Need, Early: true}, Event{Kind: Need}, DoPresent},
		{"early, then early", Event{Kind: Need, Early: true}, Event{Kind: Need, Early: true}, DoFinish},
		{"early, then a look", Event{Kind: Need, Early: true}, Event{Kind: NeedLook}, DoFinish},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.marked, a.heldUp = true, DoRead
			a.on(tc.first, tc.second)
			a.heldUp = 0
			a.find(a.on(Event{Kind: Read, Pair: 1, OK: true}), tc.want)
		})
	}
}

// A refusal holds for its time, and the token is tried again after it.
func TestCoolDown(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Rejected, Of: 1})
	a.pass(time.Minute)
	did := a.on(Event{Kind: Need})
	a.none(did, DoPresent)
	if got := a.find(did, DoFinish); got.Reason != Over || got.D != Default.CoolDown-time.Minute {
		t.Errorf("after a minute it ended with %d for %v", got.Reason, got.D)
	}
	a.pass(Default.CoolDown - time.Minute)
	a.present()
}

// A call that was accepted says that nobody has taken the refresh token only if it was sent after
// that was feared, with what is held, and while nothing is in doubt.
func TestAcceptedClearsASuspicion(t *testing.T) {
	lost := Event{Kind: Lost, Of: 1}
	for _, tc := range []struct {
		name     string
		accepted func(*alone) Event
		fate     FateKind
		signOut  Reason
	}{
		{"sent since", func(a *alone) Event { return Event{Kind: Accepted, Pair: 1, N: a.s.Era} }, Fresh, OK},
		{"sent before", func(a *alone) Event { return Event{Kind: Accepted, Pair: 1, N: a.s.Era - 1} }, Lapsed, Doubt},
		{"sent with another", func(a *alone) Event { return Event{Kind: Accepted, Pair: 2, N: a.s.Era} }, Lapsed, Doubt},
		{"presented again", func(a *alone) Event {
			a.present()
			a.on(lost)
			return Event{Kind: Accepted, Pair: 1, N: a.s.Era}
		}, Undecided, Doubt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, false)
			a.present()
			a.on(lost)
			a.pass(Default.Doubt)
			a.on(tc.accepted(a))
			if got := a.fates[1].Kind; got != tc.fate {
				t.Errorf("its fate is %d, want %d", got, tc.fate)
			}
			if got := a.find(a.on(Event{Kind: Leave}), DoFinishOut).Reason; got != tc.signOut {
				t.Errorf("a sign-out ended with %d, want %d", got, tc.signOut)
			}
		})
	}
	t.Run("after a refusal", func(t *testing.T) { // by a proxy, perhaps: the witness was wrong
		a := session(t, true)
		a.present()
		a.on(lost)
		a.pass(Default.Doubt)
		a.on(Event{Kind: Denied, Pair: 1, OK: true})
		if got := a.find(a.on(Event{Kind: Need}), DoFinish).Reason; got != Taken {
			t.Fatalf("it ended with %d, want %d", got, Taken)
		}
		a.on(Event{Kind: Accepted, Pair: 1, N: a.s.Era})
		a.present()
	})
}

// While tokens are exchanged that could not be saved, they are not saved any more: the new ones
// would wait for that.
func TestNotSavedWhileExchanged(t *testing.T) {
	a := session(t, false)
	a.failed = true
	a.on(Event{Kind: Set, Pair: 2, OK: true})
	a.failed = false
	a.present()
	a.none(a.pass(Default.MaxSave), DoSave)
	if a.find(a.on(Event{Kind: Answered, Of: 2, Pair: 3}), DoSave); a.store != 3 {
		t.Errorf("%d is stored, want 3", a.store)
	}
}

// A refresh that must wait for a doubt to end says so, and until when: also where the doubt is
// about tokens that were replaced, and that the store still holds.
func TestDoubtAboutReplacedTokens(t *testing.T) {
	a := session(t, false)
	a.present()
	a.failed = true
	a.on(Event{Kind: Set, Pair: 101}, Event{Kind: Lost, Of: 1})
	did := a.on(Event{Kind: Need})
	a.none(did, DoPresent)
	if got := a.find(did, DoFinish); got.Reason != Doubt || got.D != Default.Doubt {
		t.Errorf("it ended with %d for %v, want %d for %v", got.Reason, got.D, Doubt, Default.Doubt)
	}
}

// Tokens that wait to be saved are dropped where somebody has signed out meanwhile, and kept where
// the store was never known to hold any.
func TestSavedLateIntoAnEmptyStore(t *testing.T) {
	t.Run("signed out elsewhere", func(t *testing.T) {
		a := session(t, false)
		a.present()
		a.failed = true
		a.on(Event{Kind: Answered, Of: 1, Pair: 2})
		a.store, a.failed = 0, false
		if a.pass(Default.SaveAgain); a.s.Held != 0 || a.store != 0 {
			t.Errorf("%d is held, %d stored", a.s.Held, a.store)
		}
	})
	t.Run("never known", func(t *testing.T) {
		a := &alone{t: t, fates: map[Pair]Fate{}, failed: true}
		a.on(Event{Kind: Set, Pair: 1})
		a.failed = false
		if a.pass(Default.SaveAgain); a.s.Held != 1 || a.store != 1 {
			t.Errorf("%d is held, %d stored, want 1", a.s.Held, a.store)
		}
	})
}

// The tokens that the program began with are in use though they cannot be saved.
func TestSeedThatIsNotSaved(t *testing.T) {
	a := &alone{t: t, fates: map[Pair]Fate{}, s: State{Locks: true}, heldUp: DoLock}
	a.on(Event{Kind: NeedLoad, Pair: 1})
	if got := a.find(a.on(Event{Kind: LockFailed}), DoFinish).Reason; got != OK || a.s.Held != 1 {
		t.Errorf("loading ended with %d, %d is held", got, a.s.Held)
	}
}

// The program is told what became of the tokens that it has set, whatever becomes of them.
func TestSetIsTold(t *testing.T) {
	again := Event{Kind: Set, Pair: 1, OK: true}
	for _, tc := range []struct {
		name     string
		prepare  func(*alone)
		set, end Event
		want     Reason
		store    Pair
	}{
		{"saved", func(a *alone) { a.heldUp = DoRead }, again, Event{Kind: Read, Pair: 1, OK: true}, OK, 1},
		{"the store holds another's", func(a *alone) { a.heldUp = DoRead }, again, Event{Kind: Read, Pair: 201, OK: true}, OK, 1},
		{"the store cannot be read", func(a *alone) { a.heldUp = DoRead }, again, Event{Kind: Read}, StoreFailed, 1},
		{"the store cannot be read, and is not asked for these", func(a *alone) { a.heldUp = DoRead; a.on(Event{Kind: NeedLook}) },
			Event{Kind: Set, Pair: 2, OK: true}, Event{Kind: Read}, OK, 2},
		{"a sign-out that had begun ends them", func(a *alone) { a.heldUp = DoEnd; a.on(Event{Kind: Leave}) }, again,
			Event{Kind: Ended, Pair: 1, OK: true}, OK, 0},
		{"a sign-out that had begun ends what continues them", func(a *alone) { a.heldUp = DoEnd; a.on(Event{Kind: Leave}) },
			Event{Kind: Set, Pair: 2, OK: true}, Event{Kind: Ended, Pair: 1, OK: true}, OK, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			tc.prepare(a)
			a.none(a.on(tc.set), DoFinishSet)
			did := a.on(tc.end)
			did = append(did, a.pass(Default.SaveAgain)...)
			if got := a.find(did, DoFinishSet).Reason; got != tc.want || a.store != tc.store {
				t.Errorf("told %d, %d is stored; want %d, %d", got, a.store, tc.want, tc.store)
			}
		})
	}
	t.Run("being exchanged", func(t *testing.T) { // there is nothing to be saved
		a := session(t, true)
		a.present()
		did := a.on(again)
		a.none(did, DoSave)
		if got := a.find(did, DoFinishSet).Reason; got != OK {
			t.Errorf("told %d, want %d", got, OK)
		}
	})
	t.Run("a closed client has no other chance", func(t *testing.T) {
		a := session(t, true)
		a.heldUp = DoRead
		a.on(Event{Kind: NeedLook})
		a.none(a.on(Event{Kind: Set, Pair: 2, OK: true}, Event{Kind: Close}), DoFinishSet)
		if got := a.find(a.on(Event{Kind: Read}), DoFinishSet).Reason; got != Closed {
			t.Errorf("told %d, want %d", got, Closed)
		}
	})
}
