package session

import (
	"slices"
	"testing"
	"time"
)

// The model check finds what breaks a promise. What is told here breaks none, and is owed to
// somebody all the same: a caller who waits too long, a lock that others wait for in vain, tokens
// that live on though nobody has them.

// alone is one session. Its store, lock and sign-outs respond at once, unless they are held up; the
// test decides what becomes of presentations.
type alone struct {
	t      *testing.T
	s      State
	fates  map[Pair]Fate
	store  Pair
	marked bool // the lock's last holder did not release it
	heldUp Verb // what does not respond
	failed bool // the store does not save
	bare   Pair // has no refresh token
}

func (a *alone) Fate(p Pair) Fate         { return a.fates[p] }
func (a *alone) SameOwner(p, q Pair) bool { return p/100 == q/100 }
func (a *alone) Older(p, q Pair) bool     { return a.SameOwner(p, q) && p < q }
func (a *alone) Renewable(p Pair) bool    { return p != a.bare }

// session has pair 1 in use, and in its store.
func session(t *testing.T, locks bool) *alone {
	a := &alone{t: t, fates: map[Pair]Fate{}, store: 1, s: State{Locks: locks}}
	a.on(Event{Kind: NeedLoad})
	if a.s.Held != 1 || a.s.Goal != Rest {
		t.Fatalf("loaded: %+v", a.s)
	}
	return a
}

// on gives the session an event, and returns what it did because of it.
func (a *alone) on(events ...Event) (did []Action) {
	for len(events) > 0 {
		next, actions := Default.Step(a.s, events[0], a)
		a.s, events = next, events[1:]
		for _, act := range actions.All() {
			did = append(did, act)
			if act.Verb == DoNote && act.Heir != act.Pair {
				a.fates[act.Pair] = Fate{Kind: act.Fate, Heir: act.Heir, Left: act.D}
			} else if act.Verb == DoNote {
				delete(a.fates, act.Pair) // a server that does not rotate: it stays what it was
			}
			if response, ok := a.respond(act); ok && act.Verb != a.heldUp {
				events = append(events, response)
			}
		}
	}
	return did
}

func (a *alone) respond(act Action) (Event, bool) {
	switch act.Verb {
	case DoRead:
		return Event{Kind: Read, Pair: a.store, OK: true}, true
	case DoLock:
		marked := a.marked
		a.marked = false
		return Event{Kind: LockGot, OK: marked}, true
	case DoUnlock:
		a.marked = !act.Clean
	case DoSave:
		if !a.failed {
			a.store = act.Pair
		}
		return Event{Kind: Saved, Pair: act.Pair, OK: !a.failed}, true
	case DoDelete:
		a.store = 0
		return Event{Kind: Deleted, OK: true}, true
	case DoEnd: // by a server that knows only logout
		return Event{Kind: Ended, Pair: act.Pair, OK: true, N: 1}, true
	}
	return Event{}, false
}

// find returns the one action of a kind, and fails the test where there is none or another.
func (a *alone) find(did []Action, v Verb) Action {
	a.t.Helper()
	var found []Action
	for _, act := range did {
		if act.Verb == v {
			found = append(found, act)
		}
	}
	if len(found) != 1 {
		a.t.Fatalf("%d actions of kind %d, want one, in %+v", len(found), v, did)
	}
	return found[0]
}

func (a *alone) none(did []Action, v Verb) {
	a.t.Helper()
	if slices.ContainsFunc(did, func(act Action) bool { return act.Verb == v }) {
		a.t.Errorf("an action of kind %d in %+v", v, did)
	}
}

// present begins a refresh that has sent pair 1.
func (a *alone) present() {
	a.t.Helper()
	if p := a.find(a.on(Event{Kind: Need}), DoPresent).Pair; p != a.s.Held {
		a.t.Fatalf("%d is presented, want what is held: %+v", p, a.s)
	}
}

func (a *alone) pass(d time.Duration) []Action { return a.on(Event{Kind: Tick, D: d, Least: d}) }

// A lock whose last holder did not release it is a doubt that stays until the store was read: that
// a call was accepted before says nothing about it.
func TestMarkOutlivesAnAcceptedCall(t *testing.T) {
	a := session(t, true)
	a.marked, a.heldUp = true, DoRead
	a.on(Event{Kind: Need}, Event{Kind: Read, Pair: 1, OK: true})
	if !a.s.Dirty {
		t.Fatalf("the mark is not known: %+v", a.s)
	}
	a.on(Event{Kind: Accepted, Pair: 1, N: a.s.Era}, Event{Kind: Read, Pair: 1, OK: true})
	if !a.s.Suspect {
		t.Errorf("nothing is suspected: %+v", a.s)
	}
}

// Tokens that were obtained, and that the program's own replace before anybody has used them, are
// ended at the server. Those in use are not: the program may have them elsewhere.
func TestReplacedTokens(t *testing.T) {
	t.Run("obtained", func(t *testing.T) {
		a := session(t, true)
		a.present()
		a.heldUp = DoSave
		a.on(Event{Kind: Answered, Of: 1, Pair: 2})
		if p := a.find(a.on(Event{Kind: Set, Pair: 3, OK: true}), DoEndQuietly).Pair; p != 2 {
			t.Errorf("%d is ended, want 2", p)
		}
	})
	t.Run("in use", func(t *testing.T) {
		a := session(t, true)
		a.none(a.on(Event{Kind: Set, Pair: 2, OK: true}), DoEndQuietly)
	})
	t.Run("in use, and not saved", func(t *testing.T) {
		a := session(t, true)
		a.failed = true
		a.on(Event{Kind: Set, Pair: 2, OK: true})
		if a.s.Unsaved != 2 || a.s.Held != 2 {
			t.Fatalf("saved: %+v", a.s)
		}
		a.none(a.on(Event{Kind: Set, Pair: 3, OK: true}), DoEndQuietly)
	})
}

// A sign-out at a server that knows only logout can be sure of the end where nothing is in doubt,
// and says so where anything is.
func TestSignOutInDoubt(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*alone)
		want    Reason
	}{
		{"nothing happened", func(*alone) {}, OK},
		{"a refresh was refused", func(a *alone) { a.present(); a.on(Event{Kind: Rejected, Of: 1}); a.fates[1] = Fate{} }, OK},
		{"an overtaken refresh was refused", func(a *alone) {
			a.present()
			a.on(Event{Kind: Set, Pair: 101}, Event{Kind: Rejected, Of: 1})
		}, OK},
		{"an overtaken refresh was not sent", func(a *alone) {
			a.present()
			a.on(Event{Kind: Set, Pair: 101}, Event{Kind: Unsent, Of: 1})
		}, OK},
		{"a refresh has no response", func(a *alone) { a.present(); a.on(Event{Kind: Lost, Of: 1}) }, Doubt},
		{"an overtaken refresh has no response", func(a *alone) {
			a.present()
			a.on(Event{Kind: Set, Pair: 101}, Event{Kind: Lost, Of: 1})
		}, Doubt},
		{"the lock was not released", func(a *alone) { a.marked = true }, Doubt},
		{"an earlier refresh was never decided", func(a *alone) { a.fates[1] = Fate{Kind: Lapsed} }, Doubt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			tc.prepare(a)
			if got := a.find(a.on(Event{Kind: Leave}), DoFinishOut).Reason; got != tc.want {
				t.Errorf("the sign-out ended with %d, want %d", got, tc.want)
			}
		})
	}
}

func TestSignOutUnderALockThatEnded(t *testing.T) {
	for slow, want := range map[time.Duration]Reason{Default.LockLife: OK, Default.LockLife + 1: Doubt} {
		a := session(t, true)
		a.s.Expires = true
		a.heldUp = DoEnd
		a.on(Event{Kind: Leave})
		a.none(a.pass(slow), DoRead)
		if got := a.find(a.on(Event{Kind: Ended, Pair: 1, OK: true, N: 1}), DoFinishOut).Reason; got != want {
			t.Errorf("after %v the sign-out ended with %d, want %d", slow, got, want)
		}
	}
}

// A session that has certainly ended is over for good, whatever was in doubt about its refresh: its
// token is not presented again.
func TestEndedIsNoLongerInDoubt(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Lost, Of: 1})
	a.heldUp = DoEnd
	a.on(Event{Kind: Leave})
	if got := a.find(a.on(Event{Kind: Ended, Pair: 1, OK: true}), DoFinishOut).Reason; got != OK {
		t.Fatalf("the sign-out ended with %d", got)
	}
	a.pass(Default.Doubt)
	if got := a.fates[1].Kind; got != Superseded {
		t.Errorf("its fate is %d, want %d", got, Superseded)
	}
}

// The lock of a client that is closed is released once nothing is at work under it, and says
// whether anything is open.
func TestClosedLock(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*alone)
		cut     bool
		end     Event
		clean   bool
	}{
		{"saved", func(*alone) {}, false, Event{Kind: Answered, Of: 1, Pair: 2}, true},
		{"not sent", func(*alone) {}, false, Event{Kind: Unsent, Of: 1}, true},
		{"not sent, and to be tried again", func(*alone) {}, false, Event{Kind: Unsent, Of: 1, OK: true, D: time.Second}, true},
		{"saved, after a doubt", func(a *alone) { a.marked = true }, false, Event{Kind: Answered, Of: 1, Pair: 2}, true},
		{"refused, after a doubt", func(a *alone) { a.marked = true }, false, Event{Kind: Rejected, Of: 1}, true},
		{"no response", func(*alone) {}, false, Event{Kind: Lost, Of: 1}, false},
		{"not sent, after a doubt", func(a *alone) { a.marked = true }, false, Event{Kind: Unsent, Of: 1}, false},
		{"given up, not sent", func(*alone) {}, true, Event{Kind: Unsent, Of: 1}, true},
		{"given up", func(*alone) {}, true, Event{Kind: Lost, Of: 1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			tc.prepare(a)
			a.present()
			did := a.on(Event{Kind: Close, OK: tc.cut})
			a.none(did, DoUnlock)
			if tc.cut {
				a.find(did, DoCancel)
			} else {
				a.none(did, DoFinish) // who waits hears of the response
				a.none(did, DoCancel)
			}
			did = append(did, a.on(tc.end)...)
			a.find(did, DoFinish)
			if got := a.find(did, DoUnlock).Clean; got != tc.clean {
				t.Errorf("released cleanly: %v, want %v", got, tc.clean)
			}
		})
	}
	for end, clean := range map[Kind]bool{Unsent: true, Rejected: true, Lost: false} {
		a := session(t, true)
		a.present()
		a.failed = true
		a.on(Event{Kind: Set, Pair: 2, OK: true})
		if !a.s.PastFlying || !a.s.Locked {
			t.Fatalf("nothing is at work: %+v", a.s)
		}
		a.failed = false
		a.none(a.on(Event{Kind: Close}), DoUnlock)
		if got := a.find(a.on(Event{Kind: end, Of: 1}), DoUnlock).Clean; got != clean || a.store != 2 {
			t.Errorf("overtaken, ended by %d: released cleanly: %v, want %v; stored: %d", end, got, clean, a.store)
		}
	}
}

// What ends something that is not under way changes nothing.
func TestUnexpectedEvents(t *testing.T) {
	states := map[string]func(*alone){
		"at rest":    func(*alone) {},
		"presenting": (*alone).present,
		"reading":    func(a *alone) { a.heldUp = DoRead; a.on(Event{Kind: NeedLook}) },
		"locking":    func(a *alone) { a.heldUp = DoLock; a.on(Event{Kind: Need}) },
		"saving":     func(a *alone) { a.heldUp = DoSave; a.on(Event{Kind: Set, Pair: 2, OK: true}) },
		"deleting":   func(a *alone) { a.heldUp = DoDelete; a.on(Event{Kind: Leave}) },
		"signing out": func(a *alone) {
			a.heldUp = DoEnd
			a.on(Event{Kind: Leave})
		},
	}
	awaited := map[string][]Kind{
		"reading": {Read}, "locking": {LockGot, LockFailed, Unsent, Wake}, "saving": {Saved}, "deleting": {Deleted},
	}
	for name, prepare := range states {
		for _, kind := range []Kind{Read, LockGot, LockFailed, Saved, Deleted, Unsent, Lost, Rejected, Answered, Ended, Accepted, Denied, Wake} {
			for _, ok := range []bool{true, false} {
				if slices.Contains(awaited[name], kind) {
					continue
				}
				a := session(t, true)
				prepare(a)
				before := a.s
				e := Event{Kind: kind, OK: ok}
				if kind != Unsent && kind != Wake {
					e.Pair = 7
				}
				if a.on(e); a.s != before {
					t.Errorf("%s, %d changes\n%+v into\n%+v", name, kind, before, a.s)
				}
			}
		}
	}
}

// A call and a sign-out of a client that is closed are told so.
func TestClosedSession(t *testing.T) {
	a := session(t, true)
	a.on(Event{Kind: Close})
	if got := a.find(a.on(Event{Kind: Need}), DoFinish).Reason; got != Closed {
		t.Errorf("the call ended with %d, want %d", got, Closed)
	}
	if got := a.find(a.on(Event{Kind: Leave}), DoFinishOut).Reason; got != Closed {
		t.Errorf("the sign-out ended with %d, want %d", got, Closed)
	}
}

// Who waits when a client is closed, and for nothing that is in flight, is told so at once.
func TestClosedWhileWaiting(t *testing.T) {
	for _, kind := range []Kind{NeedLoad, NeedLook, Need} {
		for _, heldUp := range []Verb{DoRead, DoLock} {
			if heldUp == DoLock && kind != Need {
				continue
			}
			a := session(t, true)
			a.heldUp = heldUp
			a.on(Event{Kind: kind})
			did := a.on(Event{Kind: Close, OK: true})
			a.none(did, DoCancel)
			if got := a.find(did, DoFinish).Reason; got != Closed {
				t.Errorf("%d ended with %d, want %d", kind, got, Closed)
			}
			a.none(a.on(Event{Kind: LockGot}, Event{Kind: Read, Pair: 2, OK: true}), DoFinish)
		}
	}
}

// Closed while tokens are to be saved, a session does not go on to the refresh that waits behind.
func TestClosedBeforeARefresh(t *testing.T) {
	a := &alone{t: t, fates: map[Pair]Fate{}, failed: true}
	a.on(Event{Kind: NeedLoad, Pair: 1})
	a.heldUp = DoRead
	a.find(a.pass(Default.SaveAgain), DoRead)
	a.none(a.on(Event{Kind: Need}, Event{Kind: Close}), DoFinish)
	did := a.on(Event{Kind: Read})
	a.none(did, DoPresent)
	if got := a.find(did, DoFinish).Reason; got != Closed {
		t.Errorf("the refresh ended with %d, want %d", got, Closed)
	}
}

// What is in doubt is not presented again because the program sets it once more; what was refused
// is, since the program may know better.
func TestSetAgain(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  Event
		want Reason
	}{
		{"in doubt", Event{Kind: Lost, Of: 1}, Doubt},
		{"refused", Event{Kind: Rejected, Of: 1}, OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.present()
			a.on(tc.end)
			a.on(Event{Kind: Set, Pair: 1, OK: true})
			if a.s.Why != tc.want {
				t.Errorf("why is %d, want %d", a.s.Why, tc.want)
			}
		})
	}
}

// An access token that was dead before a doubt arose is no witness in it; one that died in it is.
func TestWitness(t *testing.T) {
	denied := Event{Kind: Denied, Pair: 1, OK: true}
	for _, tc := range []struct {
		name          string
		before, after []Event
		want          Verb
	}{
		{"dead before", []Event{denied}, nil, DoPresent},
		{"died in doubt", nil, []Event{denied}, DoFinish},
		{"alive", nil, nil, DoPresent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.on(tc.before...)
			a.present()
			a.on(Event{Kind: Lost, Of: 1})
			a.pass(Default.Doubt)
			a.on(tc.after...)
			did := a.on(Event{Kind: Need})
			if a.find(did, tc.want); tc.want == DoFinish && a.s.Why != Taken {
				t.Errorf("why is %d, want %d", a.s.Why, Taken)
			}
		})
	}
}

// A sign-out does not wait for a lock that only a refresh wants, and waits for a look at the store:
// before that, nobody knows what is to be ended.
func TestSignOutDuring(t *testing.T) {
	t.Run("a wait for the lock", func(t *testing.T) {
		a := session(t, true)
		a.heldUp = DoLock
		a.on(Event{Kind: Need})
		if got := a.find(a.on(Event{Kind: Leave}), DoFinish).Reason; got != Overtaken {
			t.Errorf("the refresh ended with %d, want %d", got, Overtaken)
		}
		a.find(a.on(Event{Kind: LockGot}), DoFinishOut)
	})
	t.Run("loading", func(t *testing.T) {
		a := &alone{t: t, fates: map[Pair]Fate{}, store: 1, s: State{Locks: true}, heldUp: DoRead}
		a.on(Event{Kind: NeedLoad})
		a.none(a.on(Event{Kind: Leave}), DoFinish)
		a.heldUp = 0
		did := a.on(Event{Kind: Read, Pair: 1, OK: true})
		if p := a.find(did, DoEnd).Pair; p != 1 {
			t.Errorf("%d is ended, want 1", p)
		}
		a.find(did, DoFinishOut)
		a.find(did, DoRead) // once: there is nothing left to sign out
	})
	t.Run("a refresh of tokens that were replaced", func(t *testing.T) {
		a := session(t, true)
		a.present()
		a.on(Event{Kind: Set, Pair: 101})
		a.heldUp = DoLock
		a.on(Event{Kind: Leave})
		if p := a.find(a.on(Event{Kind: Answered, Of: 1, Pair: 2}), DoEndQuietly).Pair; p != 2 {
			t.Errorf("%d is ended quietly, want 2", p)
		}
		if p := a.find(a.on(Event{Kind: LockGot}), DoEnd).Pair; p != 101 {
			t.Errorf("%d is ended, want 101", p)
		}
	})
	t.Run("two sign-ins", func(t *testing.T) {
		a := session(t, true)
		a.heldUp = DoEnd
		a.on(Event{Kind: Leave}, Event{Kind: Set, Pair: 101}, Event{Kind: Leave})
		if p := a.find(a.on(Event{Kind: Set, Pair: 201}), DoEndQuietly).Pair; p != 101 {
			t.Errorf("%d is ended quietly, want 101", p)
		}
		a.heldUp = 0
		a.none(a.on(Event{Kind: Ended, Pair: 1, OK: true}), DoEnd)
		if a.s.Held != 201 || a.store != 201 {
			t.Errorf("%d is held, %d stored, want the last sign-in", a.s.Held, a.store)
		}
	})
	t.Run("another client's refresh", func(t *testing.T) {
		a := session(t, true)
		a.store, a.fates[1] = 2, Fate{Kind: Superseded, Heir: 2}
		if p := a.find(a.on(Event{Kind: Leave}), DoEnd).Pair; p != 2 {
			t.Errorf("%d is ended, want 2", p)
		}
	})
	t.Run("a lock that nobody wants any more", func(t *testing.T) {
		a := session(t, true)
		a.heldUp = DoLock
		a.on(Event{Kind: Need})
		a.store = 2
		a.find(a.on(Event{Kind: Wake}), DoCancelLock)
		a.on(Event{Kind: Leave})
		a.heldUp = 0
		did := a.on(Event{Kind: LockFailed})
		a.find(did, DoLock)
		if got := a.find(did, DoFinishOut).Reason; got != OK {
			t.Errorf("the sign-out ended with %d, want %d", got, OK)
		}
	})
}

// Where the lock cannot be had, tokens are saved later, not over and over.
func TestSavedLater(t *testing.T) {
	a := session(t, true)
	a.heldUp = DoLock
	a.on(Event{Kind: Set, Pair: 2, OK: true})
	did := a.on(Event{Kind: LockFailed})
	a.none(did, DoLock)
	if got := a.find(did, DoFinishSet).Reason; got != StoreFailed {
		t.Errorf("the program is told %d, want %d", got, StoreFailed)
	}
	a.heldUp = 0
	if a.find(a.pass(Default.SaveAgain), DoSave); a.store != 2 {
		t.Errorf("%d is stored", a.store)
	}
}

// Tokens that the program takes away are not used for another call, however long the store takes.
func TestForgottenTokens(t *testing.T) {
	a := session(t, true)
	a.heldUp = DoLock
	a.none(a.on(Event{Kind: Set}), DoEnd)
	if a.s.Held != 0 {
		t.Errorf("%d is held", a.s.Held)
	}
	a.heldUp = 0
	if a.none(a.on(Event{Kind: LockGot}), DoEnd); a.store != 0 {
		t.Errorf("%d is stored", a.store)
	}
}

// After a sign-out, old tokens in the store are not taken for a sign-in, unless the program asks
// for what the store holds.
func TestOldTokensAfterASignOut(t *testing.T) {
	for kind, want := range map[Kind]Pair{NeedLook: 0, NeedLoad: 2} {
		a := session(t, true)
		a.on(Event{Kind: Leave})
		a.store, a.fates[1] = 1, Fate{Kind: Superseded, Heir: 2}
		if a.on(Event{Kind: kind}); a.s.Held != want {
			t.Errorf("after %d, %d is held, want %d", kind, a.s.Held, want)
		}
	}
}

// A refresh ahead of expiry takes no risk: where the token may have been taken, it is left to the
// one that is needed.
func TestEarlyRefreshOfASuspectToken(t *testing.T) {
	a := session(t, true)
	a.marked = true
	did := a.on(Event{Kind: Need, Early: true})
	a.none(did, DoPresent)
	if got := a.find(did, DoFinish).Reason; got != Postponed {
		t.Errorf("it ended with %d, want %d", got, Postponed)
	}
	a.present()
}

// Who waited for another client's refresh looks at the store before going on.
func TestLookAfterAPause(t *testing.T) {
	for _, locks := range []bool{true, false} {
		a := session(t, locks)
		a.fates[1] = Fate{Kind: InFlight, Left: 5 * time.Second}
		a.on(Event{Kind: Need})
		if a.s.Pause != 5*time.Second {
			t.Fatalf("no pause: %+v", a.s)
		}
		a.none(a.pass(2*time.Second), DoRead)
		a.store, a.fates[1] = 2, Fate{Kind: Superseded}
		did := a.pass(3 * time.Second)
		a.find(did, DoRead)
		if got := a.find(did, DoFinish).Reason; got != OK || a.s.Held != 2 {
			t.Errorf("locks %v: finished with %d, %d is held", locks, got, a.s.Held)
		}
	}
}

// A presentation that was overtaken is undecided from when it ends without a response, not before.
func TestOvertakenLapses(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Set, Pair: 101})
	a.pass(2 * Default.Doubt)
	if got := a.fates[1].Kind; got != InFlight {
		t.Errorf("in flight, its fate is %d", got)
	}
	a.on(Event{Kind: Lost, Of: 1})
	if got := a.fates[1].Kind; got != Undecided {
		t.Errorf("without a response, its fate is %d", got)
	}
	a.pass(Default.Doubt)
	if got := a.fates[1].Kind; got != Lapsed {
		t.Errorf("after the doubt, its fate is %d", got)
	}
	a.none(a.pass(time.Second), DoNote)
}

// One that left longer ago than the doubt lasts is not in doubt any more when it ends.
func TestOvertakenLapsedAtItsEnd(t *testing.T) {
	a := session(t, true)
	a.present()
	a.on(Event{Kind: Set, Pair: 101}, Event{Kind: Lost, Of: 1, D: Default.Doubt})
	if got := a.fates[1].Kind; got != Lapsed {
		t.Errorf("its fate is %d, want %d", got, Lapsed)
	}
}

// A store that gives tokens which another client of the process has exchanged gets the newer ones.
func TestStoreBehindAtTheStart(t *testing.T) {
	for _, tc := range []struct {
		name       string
		fate       Fate
		held, kept Pair
		why        Reason
	}{
		{"the newer ones are held", Fate{Kind: Superseded, Heir: 2}, 2, 2, OK},
		{"nobody has the newer ones", Fate{Kind: Superseded}, 1, 1, Over},
		{"never decided", Fate{Kind: Lapsed}, 1, 1, OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &alone{t: t, fates: map[Pair]Fate{1: tc.fate}, store: 1, s: State{Locks: true}}
			a.on(Event{Kind: NeedLoad})
			if a.s.Held != tc.held || a.store != tc.kept || a.s.Why != tc.why {
				t.Errorf("%d is held, %d stored, why %d; want %d, %d, %d", a.s.Held, a.store, a.s.Why, tc.held, tc.kept, tc.why)
			}
		})
	}
}
