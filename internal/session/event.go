package session

import "time"

// Kind is the kind of an [Event].
type Kind uint8

// The events.
const (
	// What calls and the program ask for.
	Need     Kind = iota // a call needs new tokens; Early: it can do without
	NeedLoad             // a call, or the program, needs to know what the store holds
	NeedLook             // a call was refused in a way that new tokens do not help
	Denied               // the server refused Pair's access token; OK: before its expiry
	Accepted             // the server took Pair's access token, in a call sent in era N
	// the program sets Pair; zero: it forgets the tokens. OK: certainly the same principal's
	Set
	Leave // the program signs out
	Close // the client is closed; OK: what is in flight is given up, too
	// what a pause waits for has happened; while the lock is waited for: look at the store
	Wake

	// time has passed: D by the clock that says most, Least by the one that says least
	Tick

	// How the store's uses ended.
	Read       // OK: it holds Pair
	LockGot    // OK: the last holder did not release it
	LockFailed //
	Saved      // OK
	Deleted    // OK

	// How the presentation of Of ended.
	// it certainly did not arrive; OK: to be tried again after D, else the reason holds for D
	Unsent
	Lost     // it may have arrived; it left D ago
	Answered // Pair is what it gave
	Rejected // the server does not take it

	// How the server took the end of Pair.
	Ended // OK: it is certain; N is 1 where only logout is known there
)

// Event is what has happened.
type Event struct {
	Kind  Kind
	Pair  Pair
	Of    Pair
	OK    bool
	Early bool
	N     uint32
	D     time.Duration
	Least time.Duration
}

// Verb is the kind of an [Action].
type Verb uint8

// The actions.
const (
	DoRead       Verb = iota + 1
	DoCancelRead      // its Read is awaited
	DoLock
	DoCancelLock // the wait for the lock is in vain: LockGot or LockFailed follows
	// Clean: nothing of ours is open; else the mark, or the lock's expiry, is left to speak
	DoUnlock
	DoSave
	DoDelete
	DoPresent // send Pair's refresh token, if that leaves within D
	DoCancel  // give up the request that is in flight
	DoEnd     // tell the server that Pair is over; its Ended is awaited
	DoEndQuietly
	DoNote // remember Pair's Fate; Heir: what Superseded it

	// The ends of goals, for those who wait.
	DoFinish    // Load, Look or Refresh has ended with Reason; D is how long it holds
	DoFinishSet // the program's tokens are saved, or could not be (yet)
	DoFinishOut // the sign-out has ended
)

// Action is what the runtime is to do.
type Action struct {
	Verb   Verb
	Pair   Pair
	Fate   FateKind
	Heir   Pair
	Reason Reason
	Clean  bool
	D      time.Duration
}

// Actions are carried out in order; notes and finishes before anything else happens to the session.
type Actions struct {
	list [maxActions]Action
	n    int
}

const maxActions = 12

// All gives the actions.
func (a *Actions) All() []Action { return a.list[:a.n] }
