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

// A server that does not rotate gives the same refresh token again. That the access token of before
// was refused says nothing about it then.
func TestServerThatDoesNotRotate(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Denied, Pair: 1, OK: true})
	a.on(Event{Kind: Answered, Of: 1, Pair: 1})
	a.marked = true
	a.present()
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
	did := a.on(Event{Kind: LockFailed})
	a.none(did, DoRead)
	if got := a.find(did, DoFinish).Reason; got != OK || a.s.Held != 1 {
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
		{"a sign-out that had begun leaves the same user's next ones", func(a *alone) { a.heldUp = DoEnd; a.on(Event{Kind: Leave}) },
			Event{Kind: Set, Pair: 2, OK: true}, Event{Kind: Ended, Pair: 1, OK: true}, OK, 2},
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

// A call is carried out for whom it began: with the same sign-in, or for the same principal.
func TestServes(t *testing.T) {
	for _, tc := range []struct {
		signIn    uint32
		same      bool
		rules     Rules
		wantServe bool
	}{
		{3, false, Default, true},
		{2, true, Default, true},
		{2, false, Default, false},
		{2, false, Rules{Off: OwnerCheck}, true},
	} {
		if got := tc.rules.Serves(State{SignIn: 3}, tc.signIn, tc.same); got != tc.wantServe {
			t.Errorf("sign-in %d of 3, same principal %v: %v", tc.signIn, tc.same, got)
		}
	}
}

// What becomes of a refresh of which something is known before it is sent.
func TestRefreshThatIsNotSent(t *testing.T) {
	fate := func(f Fate) func(*alone) { return func(a *alone) { a.fates[1] = f } }
	for _, tc := range []struct {
		name    string
		prepare func(*alone)
		want    Reason
		hold    time.Duration
		held    Pair
	}{
		{"signed out", func(a *alone) { a.on(Event{Kind: Leave}) }, SignedOut, 0, 0},
		{"signed out elsewhere", func(a *alone) { a.store = 0 }, SignedOut, 0, 0},
		{"refreshed elsewhere", func(a *alone) { a.store = 2 }, OK, 0, 2},
		{"without a refresh token", func(a *alone) { a.bare = 1 }, OK, 0, 1},
		{"tokens could not be saved", func(a *alone) { a.failed = true; a.on(Event{Kind: Set, Pair: 2, OK: true}) }, StoreFailed, Default.SaveAgain, 2},
		{"another client's is in doubt", fate(Fate{Kind: Undecided, Left: 7 * time.Second}), Doubt, 7 * time.Second, 1},
		{"another client has the new ones", fate(Fate{Kind: Superseded, Heir: 2}), OK, 0, 2},
		{"nobody has the new ones any more", fate(Fate{Kind: Superseded}), Over, Default.CoolDown, 1},
		{"another client's was refused", fate(Fate{Kind: Refused}), Over, Default.CoolDown, 1},
		{"early, and never decided", fate(Fate{Kind: Lapsed}), Postponed, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			tc.prepare(a)
			did := a.on(Event{Kind: Need, Early: tc.want == Postponed})
			a.none(did, DoPresent)
			if got := a.find(did, DoFinish); got.Reason != tc.want || got.D != tc.hold {
				t.Errorf("it ended with %d for %v, want %d for %v", got.Reason, got.D, tc.want, tc.hold)
			}
			if a.s.Held != tc.held {
				t.Errorf("%d is held, want %d", a.s.Held, tc.held)
			}
			a.failed = false
			if a.pass(Default.SaveAgain); a.store != tc.held {
				t.Errorf("%d is stored, want %d", a.store, tc.held)
			}
			if tc.want == Over || tc.want == Doubt { // fails fast, for its time
				a.none(a.on(Event{Kind: Need}), DoPresent)
			}
		})
	}
}

// Who finds that somebody else has the new tokens, or has signed out, waits for nothing more: not
// until the store has them, nor for the lock.
func TestRefreshThatNeedNotWait(t *testing.T) {
	a := session(t, true)
	a.fates[1], a.heldUp = Fate{Kind: Superseded, Heir: 2}, DoSave
	if got := a.find(a.on(Event{Kind: Need}), DoFinish).Reason; got != OK || a.s.Held != 2 {
		t.Errorf("another client has them: it ended with %d, %d is held", got, a.s.Held)
	}
	for store, want := range map[Pair]Reason{0: SignedOut, 2: OK} {
		a := session(t, true)
		a.heldUp = DoLock
		a.on(Event{Kind: Need})
		a.store = store
		did := a.on(Event{Kind: Wake})
		a.find(did, DoCancelLock)
		if got := a.find(did, DoFinish).Reason; got != want || a.s.Held != store {
			t.Errorf("the store holds %d: it ended with %d, %d is held", store, got, a.s.Held)
		}
	}
}

// A refresh token leaves soon after its lock was got: within what is left of that time, or under a
// new lock. A store that is always too slow for that is told of.
func TestSendWithin(t *testing.T) {
	for _, marked := range []bool{false, true} {
		for slow, want := range map[time.Duration]time.Duration{
			0: Default.SendWithin, 3 * time.Second: Default.SendWithin - 3*time.Second, Default.SendWithin: 1,
		} {
			a := session(t, true)
			a.marked, a.heldUp = marked, DoRead
			a.on(Event{Kind: Need}, Event{Kind: Read, Pair: 1, OK: true})
			a.pass(slow)
			if got := a.find(a.on(Event{Kind: Read, Pair: 1, OK: true}), DoPresent).D; got != want {
				t.Errorf("%v after the lock it has %v, want %v", slow, got, want)
			}
		}
		a := session(t, true)
		a.marked, a.heldUp = marked, DoRead
		a.on(Event{Kind: Need}, Event{Kind: Read, Pair: 1, OK: true})
		for n := range maxLate + 1 {
			a.pass(Default.SendWithin + 1)
			did := a.on(Event{Kind: Read, Pair: 1, OK: true})
			a.none(did, DoPresent)
			if got := a.find(did, DoUnlock).Clean; got == marked {
				t.Errorf("marked %v, the lock is released cleanly: %v", marked, got)
			}
			if n < maxLate {
				a.find(a.on(Event{Kind: Read, Pair: 1, OK: true}), DoLock) // on the way to it
				continue
			}
			if got := a.find(did, DoFinish).Reason; got != StoreFailed {
				t.Errorf("it ended with %d, want %d", got, StoreFailed)
			}
		}
	}
	a := session(t, false)
	if got := a.find(a.on(Event{Kind: Need}), DoPresent).D; got != 0 {
		t.Errorf("without a lock it has %v", got)
	}
}

// A refresh that is not sent now ends, or waits where it is to be tried again, whether that was
// decided before the lock or after it; what is not to be tried fails fast for its time.
func TestPostponed(t *testing.T) {
	for _, heldUp := range []Verb{DoLock, 0} {
		for _, again := range []bool{true, false} {
			a := session(t, true)
			a.heldUp = heldUp
			a.on(Event{Kind: Need})
			e := Event{Kind: Unsent, OK: again, D: 10 * time.Second, Of: a.s.Sent}
			did := a.on(e)
			a.heldUp = 0
			if heldUp == 0 { // others need not wait for the lock meanwhile
				a.find(did, DoUnlock)
			}
			if again {
				a.none(did, DoFinish)
				a.none(a.pass(9*time.Second), DoPresent)
				a.find(a.pass(time.Second), DoPresent)
				continue
			}
			for _, did := range [][]Action{did, a.on(Event{Kind: Need})} {
				a.none(did, DoPresent)
				if got := a.find(did, DoFinish); got.Reason != Postponed || got.D != e.D {
					t.Errorf("it ended with %d for %v", got.Reason, got.D)
				}
			}
			a.pass(e.D)
			a.present()
		}
	}
}

// What is remembered of a token after its presentation: other clients of the family go by it.
func TestFateAfterAPresentation(t *testing.T) {
	for _, tc := range []struct {
		name  string
		end   Event
		fate  Fate
		after Fate // where it was overtaken by other tokens
	}{
		{"exchanged", Event{Kind: Answered, Pair: 2}, Fate{Kind: Superseded, Heir: 2}, Fate{Kind: Superseded}},
		{"refused", Event{Kind: Rejected}, Fate{Kind: Refused}, Fate{Kind: Refused}},
		{"not sent", Event{Kind: Unsent}, Fate{}, Fate{}},
		{
			"no response", Event{Kind: Lost, D: 5 * time.Second},
			Fate{Kind: Undecided, Left: Default.Doubt - 5*time.Second}, Fate{Kind: Undecided, Left: Default.Doubt - 5*time.Second},
		},
		{"no response for long", Event{Kind: Lost, D: Default.Doubt}, Fate{Kind: Lapsed}, Fate{Kind: Lapsed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.end.Of = 1
			a := session(t, true)
			a.present()
			if a.on(tc.end); a.fates[1] != tc.fate {
				t.Errorf("its fate is %v, want %v", a.fates[1], tc.fate)
			}
			a = session(t, true)
			a.present()
			a.on(Event{Kind: Set, Pair: 101})
			if a.on(tc.end); a.fates[1] != tc.after {
				t.Errorf("overtaken, its fate is %v, want %v", a.fates[1], tc.after)
			}
		})
	}
	t.Run("not sent, after one that was never decided", func(t *testing.T) {
		a := session(t, true)
		a.present()
		a.on(Event{Kind: Lost, Of: 1})
		a.pass(Default.Doubt)
		a.present()
		if a.on(Event{Kind: Unsent, Of: 1}); a.fates[1].Kind != Lapsed {
			t.Errorf("its fate is %d, want %d", a.fates[1].Kind, Lapsed)
		}
	})
}
