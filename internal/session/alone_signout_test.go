package session

import (
	"slices"
	"testing"
)

// of gives the pairs of the actions of a kind.
func of(did []Action, v Verb) (pairs []Pair) {
	for _, act := range did {
		if act.Verb == v {
			pairs = append(pairs, act.Pair)
		}
	}
	return pairs
}

// end lets the server end what it is told to, and returns all that was done until it was.
func (a *alone) end(did []Action) []Action {
	for a.s.Ending != 0 {
		did = append(did, a.on(Event{Kind: Ended, Pair: a.s.Ending, OK: true})...)
	}
	return did
}

// What one sign-out tells the server and takes out of the store: what is held, and the store's pair
// of the same principal. Another's is left alone.
func TestWhatASignOutEnds(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(*alone)
		by      Kind // Set: the tokens are forgotten, without the server
		ended   []Pair
		kept    Pair
	}{
		{"what is held", func(*alone) {}, Leave, []Pair{1}, 0},
		{"another process's refresh, too", func(a *alone) { a.store = 2 }, Leave, []Pair{1, 2}, 0},
		{"not another's sign-in", func(a *alone) { a.store = 201 }, Leave, []Pair{1}, 201},
		{"an empty store", func(a *alone) { a.store = 0 }, Leave, []Pair{1}, 0},
		{"another client's refresh", func(a *alone) { a.store, a.fates[1] = 2, Fate{Kind: Superseded, Heir: 2} }, Leave, []Pair{2}, 0},
		{"another client's refresh that is not stored", func(a *alone) { a.fates[1] = Fate{Kind: Superseded, Heir: 2} }, Leave, []Pair{2, 1}, 0},
		{"used up, and nobody has the newer ones", func(a *alone) { a.fates[1] = Fate{Kind: Superseded} }, Leave, []Pair{1}, 0},
		{"forgotten", func(*alone) {}, Set, nil, 0},
		{"forgotten, another process's refresh", func(a *alone) { a.store = 2 }, Set, nil, 0},
		{"forgotten, another's sign-in", func(a *alone) { a.store = 201 }, Set, nil, 201},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			tc.prepare(a)
			a.heldUp = DoEnd
			did := a.end(a.on(Event{Kind: tc.by}))
			if got := of(did, DoEnd); !slices.Equal(got, tc.ended) {
				t.Errorf("%d are ended, want %d", got, tc.ended)
			}
			if a.store != tc.kept {
				t.Errorf("%d is stored, want %d", a.store, tc.kept)
			}
			if got := a.find(did, DoFinishOut).Reason; got != OK {
				t.Errorf("the sign-out ended with %d", got)
			}
			for _, p := range tc.ended {
				if got := a.fates[p].Kind; got != Superseded {
					t.Errorf("the fate of %d is %d, want %d", p, got, Superseded)
				}
			}
			// what the state names is kept in memory
			if s := a.s; s.Held != 0 || s.Out != 0 || s.AlsoOver != 0 || s.Ending != 0 || s.Unsaved != 0 {
				t.Errorf("tokens are kept: %+v", s)
			}
			if !a.find(did, DoUnlock).Clean {
				t.Error("the lock is not released cleanly")
			}
		})
	}
}

// Once the server has certainly ended a session, nothing is in doubt about its tokens: the next who
// gets the lock need not fear anything.
func TestSignOutEndsDoubts(t *testing.T) {
	t.Run("of the lock's last holder", func(t *testing.T) {
		a := session(t, true)
		a.marked, a.heldUp = true, DoEnd
		a.on(Event{Kind: Leave})
		if !a.find(a.on(Event{Kind: Ended, Pair: 1, OK: true}), DoUnlock).Clean {
			t.Error("the lock is not released cleanly")
		}
	})
	t.Run("of a refresh that was overtaken", func(t *testing.T) {
		a := session(t, true)
		a.present()
		a.on(Event{Kind: Leave}, Event{Kind: Set, Pair: 101})
		a.heldUp = DoEnd
		a.find(a.end(a.on(Event{Kind: Lost, Of: 1})), DoFinishOut)
		a.pass(Default.Doubt)
		if got := a.fates[1].Kind; got != Superseded {
			t.Errorf("its fate is %d, want %d", got, Superseded)
		}
	})
}

// A sign-out that began before somebody signed in ends what it began with. What came after is left
// in use, and ended only by another sign-out.
func TestSignInDuringASignOut(t *testing.T) {
	for _, tc := range []struct {
		name   string
		heldUp Verb // by this the sign-out is held up while the program does the following
		then   []Event
		ended  []Pair // after that
		held   Pair
	}{
		{"asked again", DoEnd, []Event{{Kind: Leave}}, nil, 0},
		{"somebody signs in", DoEnd, []Event{{Kind: Set, Pair: 101}}, nil, 101},
		{"somebody signs in and out", DoEnd, []Event{{Kind: Set, Pair: 101}, {Kind: Leave}}, []Pair{101}, 0},
		{"the same user signs in and out", DoEnd, []Event{{Kind: Set, Pair: 2, OK: true}, {Kind: Leave}}, []Pair{2}, 0},
		{"the same user signs in before it began", DoLock, []Event{{Kind: Set, Pair: 2, OK: true}, {Kind: Leave}}, []Pair{2, 1}, 0},
		{"somebody signs in before it began", DoLock, []Event{{Kind: Set, Pair: 101}, {Kind: Leave}}, []Pair{1, 101}, 0},
		{"the same tokens are set again", DoEnd, []Event{{Kind: Set, Pair: 101}, {Kind: Set, Pair: 1}}, nil, 0},
		{"the same user signs in and out when it is told", DoDelete, []Event{{Kind: Set, Pair: 2, OK: true}, {Kind: Leave}}, []Pair{2}, 0},
		{"forgotten, then signed out", DoEnd, []Event{{Kind: Set}, {Kind: Leave}}, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.heldUp = tc.heldUp
			a.on(Event{Kind: Leave})
			a.none(a.on(tc.then...), DoFinishOut)
			a.heldUp = DoEnd
			goOn := map[Verb]Event{DoEnd: {Kind: Ended, Pair: 1, OK: true}, DoLock: {Kind: LockGot}, DoDelete: {Kind: Deleted, OK: true}}
			did := a.end(a.on(goOn[tc.heldUp]))
			if len(tc.ended) == 0 {
				a.none(did, DoRead) // nothing is left to be signed out
			}
			if got := of(did, DoEnd); !slices.Equal(got, tc.ended) {
				t.Errorf("%d are ended then, want %d", got, tc.ended)
			}
			if a.s.Held != tc.held || a.store != tc.held {
				t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, tc.held)
			}
			if got := a.find(did, DoFinishOut).Reason; got != OK {
				t.Errorf("the sign-out ended with %d", got)
			}
		})
	}
}

// A sign-out that the server refuses ends with that, and so does the one that waited behind it: the
// tokens stay, and it can be tried again.
func TestRefusedSignOut(t *testing.T) {
	for name, then := range map[string][]Event{"alone": nil, "another waits": {{Kind: Set, Pair: 101}, {Kind: Leave}}} {
		t.Run(name, func(t *testing.T) {
			a := session(t, true)
			a.heldUp = DoEnd
			a.on(Event{Kind: Leave})
			a.on(then...)
			held := a.s.Held
			did := a.on(Event{Kind: Ended, Pair: 1})
			a.none(did, DoEnd)
			a.none(did, DoDelete)
			if got := a.find(did, DoFinishOut).Reason; got != Refusal {
				t.Errorf("the sign-out ended with %d, want %d", got, Refusal)
			}
			if a.s.Held != held || a.store != held {
				t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, held)
			}
			if got := of(a.on(Event{Kind: Leave}), DoEnd); !slices.Equal(got, []Pair{held}) {
				t.Errorf("tried again, %d are ended, want %d", got, held)
			}
		})
	}
}

// A sign-out waits for a refresh of what it ends, though the program has set other tokens
// meanwhile: what the refresh brings is ended in its place.
func TestSignOutOfWhatIsBeingRefreshed(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  Pair
		end  Event
		want []Pair
	}{
		{"exchanged", 101, Event{Kind: Answered, Of: 1, Pair: 2}, []Pair{2, 1}},
		{"refused", 101, Event{Kind: Rejected, Of: 1}, []Pair{1}},
		{"not sent", 101, Event{Kind: Unsent, Of: 1}, []Pair{1}},
		{"forgotten, exchanged", 0, Event{Kind: Answered, Of: 1, Pair: 2}, []Pair{2, 1}},
		{"forgotten, no response", 0, Event{Kind: Lost, Of: 1}, []Pair{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := session(t, true)
			a.present()
			did := a.on(Event{Kind: Leave}, Event{Kind: Set, Pair: tc.set})
			a.none(did, DoEnd)
			a.none(did, DoFinishOut)
			a.heldUp = DoEnd
			did = a.end(a.on(tc.end))
			a.none(did, DoEndQuietly)
			if got := of(did, DoEnd); !slices.Equal(got, tc.want) {
				t.Errorf("%d are ended, want %d", got, tc.want)
			}
			if a.find(did, DoFinishOut); a.s.Held != tc.set || a.store != tc.set {
				t.Errorf("%d is held, %d stored, want %d", a.s.Held, a.store, tc.set)
			}
		})
	}
}

// Who signs out of a client that is closed is told at once, unless the server is being told: that
// comes to its end.
func TestClosedDuringASignOut(t *testing.T) {
	for _, heldUp := range []Verb{DoLock, DoRead, DoDelete} {
		a := session(t, true)
		a.heldUp = heldUp
		a.on(Event{Kind: Set}) // DoEnd would respond by itself
		if got := a.find(a.on(Event{Kind: Close}), DoFinishOut).Reason; got != Closed {
			t.Errorf("during %d the sign-out ended with %d, want %d", heldUp, got, Closed)
		}
		a.none(a.on(Event{Kind: Deleted, OK: true}, Event{Kind: LockFailed}, Event{Kind: Read}), DoFinishOut)
	}
	a := session(t, true)
	a.heldUp = DoEnd
	a.on(Event{Kind: Leave})
	a.none(a.on(Event{Kind: Close}), DoFinishOut)
	did := a.on(Event{Kind: Ended, Pair: 1, OK: true})
	if got := a.find(did, DoFinishOut).Reason; got != OK || a.store != 0 {
		t.Errorf("the server was told: the sign-out ended with %d, %d is stored", got, a.store)
	}
}

// What a sign-out that fails has found in the store is news for those who come after it.
func TestFoundByARefusedSignOut(t *testing.T) {
	a := session(t, true)
	a.store, a.heldUp = 201, DoEnd
	a.on(Event{Kind: Leave}, Event{Kind: NeedLook})
	a.on(Event{Kind: Ended, Pair: 1})
	if a.on(Event{Kind: NeedLook}); a.s.Held != 201 {
		t.Errorf("%d is held, want 201", a.s.Held)
	}
}

// A sign-out for which the store does not do its part says so.
func TestSignOutWithoutTheStore(t *testing.T) {
	for heldUp, response := range map[Verb]Event{DoRead: {Kind: Read}, DoLock: {Kind: LockFailed}, DoDelete: {Kind: Deleted}} {
		a := session(t, true)
		a.heldUp = heldUp
		a.on(Event{Kind: Leave}, Event{Kind: Ended, Pair: 1, OK: true})
		a.heldUp = DoEnd
		if got := a.find(a.on(response), DoFinishOut).Reason; got != StoreFailed {
			t.Errorf("%d fails: the sign-out ended with %d, want %d", heldUp, got, StoreFailed)
		}
	}
}

// A sign-out that the server was not told of says so, and yet the store gives nothing back that the
// program has forgotten meanwhile.
func TestForgottenDuringASignOut(t *testing.T) {
	for want, end := range map[Reason]Event{Refusal: {Kind: Ended, Pair: 1}, Doubt: {Kind: Ended, Pair: 1, OK: true, N: 1}} {
		a := session(t, true)
		a.marked, a.heldUp = true, DoEnd
		a.on(Event{Kind: Leave}, Event{Kind: Set})
		did := a.on(end)
		a.none(did, DoEnd)
		if got := did[0]; got.Verb != DoFinishOut || got.Reason != want {
			t.Errorf("the first of %v is to end the sign-out with %d", did, want)
		}
		if a.store != 0 || a.s.Goal != Rest {
			t.Errorf("%d is stored: %+v", a.store, a.s)
		}
	}
}
