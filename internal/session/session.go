// Package session decides what a client does with the tokens of a session: when it looks at the
// token store, takes its lock, presents the refresh token, saves, waits, gives up, signs out. It
// does nothing itself. It has no I/O, no clock, no goroutine and no lock: [Rules.Step] maps a state
// and an event to the next state and the actions that the runtime around it carries out. So the
// code that ships is the code that the model check in this package explores, and that real runs are
// replayed in.
//
// The rules come from the server's. A refresh token is single-use. A second presentation destroys
// the session, together with the tokens that the first one gave. The old access token dies at the
// moment of the refresh. A presentation may be at work in the server for 30 s, and there is no
// grace period. docs/sessions.md has the protocol in prose.
package session

import "time"

// Pair is a handle of a pair of tokens, which the runtime keeps: equal pairs have equal handles.
// Zero is no pair.
type Pair uint32

// Facts are questions about pairs, which the runtime answers from the memory that all sessions of a
// family share. Answers may change between two steps, never within one.
type Facts interface {
	// Fate is what is known here of a pair's refresh token.
	Fate(p Pair) Fate
	// SameOwner reports whether both speak for one principal as far as can be told; Owner of
	// [Rules.Serves] is stricter.
	SameOwner(a, b Pair) bool
	// Older reports whether a was certainly issued before b, to the same principal.
	Older(a, b Pair) bool
	// Renewable reports whether the pair has a refresh token.
	Renewable(p Pair) bool
}

// Fate is what became of a refresh token, as far as this process knows.
type Fate struct {
	Kind FateKind
	// Superseded: what is held in its place; zero when nobody here holds it any more
	Heir Pair
	Left time.Duration // Undecided: until the server has certainly given up
}

// FateKind is the kind of a [Fate].
type FateKind uint8

// The fates of a refresh token.
const (
	Fresh    FateKind = iota // never presented here
	InFlight                 // being presented
	// presented, without a response, and perhaps still at work in the server
	Undecided
	Lapsed // presented, never decided, and no longer at work
	// exchanged for another pair, here or elsewhere: it is never presented again
	Superseded
	Refused // the server did not take it
)

// Op is a use of the token store.
type Op uint8

// The uses of a token store. One is under way at a time, but for looks while the lock is waited
// for.
const (
	None Op = iota
	Reading
	Locking
	Saving
	Deleting
)

// Goal is what a session is about.
type Goal uint8

// The goals. A refresh in flight is awaited by a sign-out, and overtaken by new tokens that the
// program sets.
const (
	Rest    Goal = iota
	Load         // find out what the store holds
	Look         // find out whether the store holds newer tokens; nothing is refreshed
	Refresh      // get new tokens
	SignOut      // end the session, at the server too unless Local
)

// Reason says why there are no new tokens.
type Reason uint8

// The reasons. Those before StoreFailed are kept, and later calls fail fast with them.
const (
	OK          Reason = iota
	Over               // the server has refused the refresh token, or it was used up here
	Doubt              // a presentation is undecided: RetryAt is when it no longer is
	Taken              // the refresh token was taken by somebody who did not tell
	Postponed          // it certainly did not arrive; not before the time asked for
	StoreFailed        // the store could not be read, or its lock not be had
	SignedOut          // the store is empty
	Overtaken          // the program has set other tokens meanwhile
	Refusal            // sign-out: the server could not be told
	Closed             // the client was closed
)

// State is all that a session knows, as one comparable value without pointers and absolute times.
type State struct {
	Held Pair // the tokens in use
	// counts the sign-ins that Held has come from: a call belongs to the one it began with
	SignIn  uint32
	Loaded  bool // the store has been asked
	Refused bool // Held's access token was refused before its expiry
	Seed    Pair // goes into an empty store
	Locks   bool // the store has a lock
	Expires bool // which ends by itself, LockLife after it was got
	Closing bool

	Goal  Goal
	Early bool // ahead of expiry: nobody depends on the refresh
	Then  bool // a sign-out waits for the refresh, or for an earlier sign-out
	Pause time.Duration
	Late  uint8 // locks of this refresh that were too old when the store had been read

	Op      Op
	Peeking bool // a look beside Locking
	Vain    bool // nobody waits for the lock any more
	Looked  bool // the store was read since the goal began, or since the lock was got
	Locked  bool
	Lock    time.Duration // how long ago the lock was got
	Known   bool          // Stored is what the store holds, as far as this process knows
	Stored  Pair

	Writing Pair          // being saved
	Unsaved Pair          // to be saved: obtained, or set by the program
	Setting bool          // the program waits for Unsaved to be saved
	Forced  bool          // by the program's will, whatever the store holds
	Mine    bool          // Unsaved was obtained, under the lock that is held: it needs no look
	Retry   time.Duration // until saving is tried again
	Backoff time.Duration // the next Retry

	Sent   Pair          // presented and undecided
	Flying bool          // the request for Sent has not ended
	Left   time.Duration // until the server has certainly given up on Sent

	Past       Pair // a presentation that was overtaken: what it brings is ended at the server
	PastFlying bool
	PastLeft   time.Duration

	Why  Reason        // why nothing is refreshed at present
	Hold time.Duration // how long Why holds

	Dirty   bool   // the last holder of the lock did not release it
	Suspect bool   // Held's refresh token may have been taken by somebody who did not tell
	Blind   bool   // Held's access token was refused before that: it is no witness
	Era     uint32 // counts suspicions: what was sent before one proves nothing about it

	Out      Pair   // what the sign-out is to end
	OutOf    uint32 // the sign-in of Out
	Local    bool   // without the server
	Ending   Pair   // the server is being told of
	Ended    bool   // Out
	AlsoOver Pair   // the store's pair of the same principal, ended too
}

// Rules are the protocol's times, and the mechanisms that are switched off, which only the model
// check does.
type Rules struct {
	Doubt      time.Duration // how long a presentation may be at work
	SendWithin time.Duration // how long after the lock was got a refresh token may leave
	// how long the mark of a lock, or an expiring lock, lasts from when it was got
	LockLife  time.Duration
	CoolDown  time.Duration // how long a refusal holds
	SaveAgain time.Duration // the first wait after a failed save
	MaxSave   time.Duration // the longest
	Off       Mechanism
}

// Default are the rules that ship.
var Default = Rules{
	Doubt: 35 * time.Second, SendWithin: 4 * time.Second, LockLife: 45 * time.Second, CoolDown: 5 * time.Minute,
	SaveAgain: time.Second, MaxSave: 30 * time.Second,
}

// Mechanism is one protection of the protocol.
type Mechanism uint32

// The mechanisms. What each is for is shown by the counterexample that the model check finds
// without it.
const (
	Lock          Mechanism = 1 << iota // the store's lock is taken before a refresh
	LookUnderLock                       // the store is read again under the lock
	SendWithin                          // nothing is presented under an old lock
	// a lost presentation is not repeated before the server has given up
	DoubtPeriod
	KeepLock // the lock is held while a presentation is undecided
	// the lock is given up and got again before the second presentation
	LockAnew
	KeepUnsaved // the lock is held while new tokens could not be saved
	// a lock under which nothing was resolved is not released cleanly
	LeaveMark
	Witness // a dead access token says that the refresh token was taken
	// what was presented or left behind is never presented again
	SpentMemory
	WriteBack    // a store that went back gets the newer pair again
	OwnerCheck   // a call is sent again only for the principal it began as
	OwnOnly      // a sign-out deletes only what it has ended
	SignOutLooks // a sign-out looks at the store
	SignOutDoubt // a logout that cannot be sure is an error
)

func (r Rules) has(m Mechanism) bool { return r.Off&m == 0 }
