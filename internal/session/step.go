package session

import "time"

// Step gives the state after an event, and what is to be done. It is total: an event that is not
// expected changes nothing. Before every other event the runtime sends a [Tick] with the time that
// has passed.
func (r Rules) Step(s State, e Event, f Facts) (State, Actions) {
	m := step{Rules: r, State: s, facts: f}
	m.take(e)
	for m.again = true; m.again; {
		m.again = false
		m.advance()
	}
	return m.State, m.out
}

// Serves reports whether a call may be sent with Held: it began with the sign-in given, or for what
// is certainly the same principal.
func (r Rules) Serves(s State, signIn uint32, samePrincipal bool) bool {
	return s.SignIn == signIn || samePrincipal || !r.has(OwnerCheck)
}

type step struct {
	Rules
	State

	facts Facts
	out   Actions
	again bool // advance once more
}

func (m *step) do(a Action) {
	if m.out.n < maxActions {
		m.out.list[m.out.n] = a
		m.out.n++
	}
}

func (m *step) note(p Pair, kind FateKind, heir Pair, left time.Duration) {
	if p != 0 {
		m.do(Action{Verb: DoNote, Pair: p, Fate: kind, Heir: heir, D: left})
	}
}

// finish lets those go who wait for a load, a look or a refresh.
func (m *step) finish(why Reason, hold time.Duration) {
	if m.Goal != Load && m.Goal != Look && m.Goal != Refresh {
		return
	}
	m.do(Action{Verb: DoFinish, Reason: why, D: hold})
	m.Goal, m.Early, m.Pause = Rest, false, 0
	if m.Then {
		m.Then = false
		m.leave(false)
	}
}

func (m *step) finishSet(why Reason) {
	if m.Setting {
		m.Setting, m.Forced = false, false
		m.do(Action{Verb: DoFinishSet, Reason: why})
	}
}

func (m *step) take(e Event) {
	switch e.Kind {
	case Tick:
		m.tick(e.D, min(e.D, e.Least))
	case Need, NeedLoad, NeedLook, Wake:
		m.need(e)
	case Denied:
		m.Refused = m.Refused || e.OK && e.Pair == m.Held
	case Accepted:
		m.accepted(e)
	case Set:
		m.set(e)
	case Leave:
		m.leaving()
	case Close:
		m.close(e.OK)
	case Read:
		m.read(e)
	case LockGot, LockFailed:
		m.lock(e)
	case Saved:
		m.saved(e)
	case Deleted:
		m.deleted(e)
	case Unsent, Lost, Answered, Rejected:
		m.presented(e)
	case Ended:
		m.ended(e)
	}
}

func sink(d *time.Duration, by time.Duration) bool {
	was := *d
	*d = max(*d-by, 0)
	return was > 0 && *d == 0
}

func (m *step) tick(most, d time.Duration) {
	if m.Locked {
		m.Lock = min(m.Lock+most, m.LockLife+1)
	}
	sink(&m.Hold, d)
	sink(&m.Retry, d)
	if sink(&m.Pause, d) {
		m.Looked = false
	}
	sink(&m.Left, d)
	sink(&m.PastLeft, d)
	if m.Past != 0 && !m.PastFlying && m.PastLeft == 0 {
		m.note(m.Past, Lapsed, 0, 0)
		m.Past = 0
	}
	if m.Sent != 0 && !m.Flying && m.Left == 0 {
		m.lapse()
	}
}

// lapse is the end of a doubt: the server has certainly given up on what was presented, and whether
// it took it is not known.
func (m *step) lapse() {
	m.note(m.Sent, Lapsed, 0, 0)
	if m.Sent == m.Held {
		m.suspect()
	}
	m.Sent = 0
	if m.Why == Doubt {
		m.Why, m.Hold = OK, 0
	}
	switch {
	case !m.Locked:
	case m.has(LockAnew):
		m.unlock(false)
	default:
		m.Lock = 0 // kept on for the next refresh
	}
}

func (m *step) suspect() {
	if !m.Suspect {
		m.Suspect = true
		m.Era++
	}
}

func (m *step) need(e Event) {
	switch {
	case e.Kind == Wake && m.Goal == Refresh && m.Pause > 0:
		m.Pause, m.Looked = 0, false
	case e.Kind == Wake:
		if m.Goal == Refresh && m.Op == Locking && !m.Peeking && !m.Vain {
			m.Peeking = true
			m.do(Action{Verb: DoRead})
		}
	case m.Closing:
		m.do(Action{Verb: DoFinish, Reason: Closed})
	case m.Goal == Refresh && e.Kind == Need:
		m.Early = m.Early && e.Early
	case m.Goal != Rest:
	case e.Kind == Need:
		m.Goal, m.Early, m.Looked, m.Late = Refresh, e.Early, false, 0
	case e.Kind == NeedLoad:
		m.Goal = Load
		if e.Pair != 0 {
			m.Seed = e.Pair
		}
	default:
		m.Goal = Look
	}
}

// accepted clears a suspicion: the access token lives, so that nobody has taken the refresh token.
func (m *step) accepted(e Event) {
	if e.Pair != m.Held || e.N != m.Era || m.Sent != 0 {
		return
	}
	m.Refused = false
	if !m.Suspect {
		return
	}
	m.Suspect, m.Dirty, m.Blind = false, false, false
	m.note(m.Held, Fresh, 0, 0)
	if m.Why == Taken {
		m.Why, m.Hold = OK, 0
	}
}

// behind reports whether a pair that the store gives is older than what is, or was, held here.
func (m *step) behind(p Pair) bool {
	if !m.has(SpentMemory) {
		return false
	}
	return m.facts.Fate(p).Kind != Fresh || m.Held != 0 && m.facts.Older(p, m.Held)
}

// use puts a pair in use that continues the session.
func (m *step) use(p Pair) {
	if m.Held == p {
		return
	}
	m.Held, m.Loaded, m.Seed = p, true, 0
	m.Refused, m.Suspect, m.Blind = false, false, false
	m.Why, m.Hold = OK, 0
}

// adopt puts a pair in use that somebody else has put into the store, or that the family holds in
// place of an older one.
func (m *step) adopt(p Pair) {
	if m.Held == p {
		return
	}
	switch {
	case m.Held == 0:
		if m.Loaded {
			m.SignIn++
		}
	case m.facts.SameOwner(m.Held, p):
		m.note(m.Held, Superseded, p, 0)
	default:
		m.SignIn++
	}
	m.overtake()
	if m.Unsaved != p {
		m.finishSet(OK)
		m.Unsaved = 0
	}
	m.use(p)
}

// overtake lets go of a presentation of what is no longer held.
func (m *step) overtake() {
	if m.Sent != 0 {
		m.Past, m.PastFlying, m.PastLeft = m.Sent, m.Flying, m.Left
		m.Sent, m.Flying, m.Left = 0, false, 0
	}
}

// forget is a session without tokens.
func (m *step) forget() {
	m.finishSet(OK) // a sign-out that had begun ends what was set
	m.overtake()
	m.Held, m.Loaded, m.Unsaved = 0, true, 0
	m.SignIn++
	m.Refused, m.Suspect, m.Blind = false, false, false
	m.Why, m.Hold = OK, 0
}

func (m *step) set(e Event) {
	p := e.Pair
	if p == 0 {
		m.finishSet(Overtaken)
		then := m.dropThen()
		m.finish(Overtaken, 0)
		if m.Goal != SignOut {
			m.leave(!then) // who waits to sign out has the server told
		}
		m.forget()
		return
	}
	if fate := m.facts.Fate(p); fate.Kind == Superseded && m.has(SpentMemory) {
		if fate.Heir != 0 {
			p = fate.Heir // an old copy: what became of it is held
		}
	}
	if p == m.Held {
		m.Setting = true
		if m.Unsaved != p && m.Sent != p {
			m.Unsaved, m.Mine, m.Retry = p, false, 0
		} else if m.Unsaved != p {
			m.finishSet(OK)
		}
		if !m.Flying && m.Why != Doubt { // set again, it is still not to be presented then
			m.Why, m.Hold = OK, 0
		}
		return
	}
	m.finishSet(Overtaken)
	then := m.dropThen()
	m.finish(Overtaken, 0)
	if then {
		m.leave(false)
	}
	if m.Unsaved != 0 && m.Unsaved != m.Held {
		m.do(Action{Verb: DoEndQuietly, Pair: m.Unsaved}) // obtained, and never used
	}
	if !e.OK || m.Held == 0 || m.Goal == SignOut && m.begun() {
		m.SignIn++ // also where it comes too late to be ended with what is signed out
	} else {
		m.note(m.Held, Superseded, p, 0)
	}
	m.overtake()
	m.use(p)
	m.Unsaved, m.Setting, m.Forced, m.Mine, m.Retry, m.Backoff = p, true, true, false, 0, 0
}

// dropThen takes back the sign-out that is to follow, and reports whether it may begin now. Behind
// another sign-out it may not: what it was to end is ended by the way.
func (m *step) dropThen() bool {
	then := m.Then
	m.Then = false
	if then && m.Goal == SignOut {
		m.do(Action{Verb: DoEndQuietly, Pair: m.Held})
		return false
	}
	return then
}

// close begins the end: what is in flight may still arrive and be saved, nothing new begins. cut
// gives up on what is in flight.
func (m *step) close(cut bool) {
	m.Closing, m.Then = true, false
	m.Retry, m.Pause = 0, 0
	if cut && m.Flying {
		m.do(Action{Verb: DoCancel, Pair: m.Sent})
	}
	if m.Goal == Refresh && (m.Flying || m.Unsaved != 0) && !cut {
		return
	}
	if m.Goal == SignOut && m.Ending == 0 {
		m.finishOut(Closed, 0)
	}
	m.finish(Closed, 0)
}

// advance starts what is to be done next, if anything is. One thing at a time: the store's uses,
// and what a sign-out tells the server.
func (m *step) advance() {
	if m.Op == Locking && m.Goal != Refresh && m.Goal != SignOut && m.Unsaved == 0 && !m.Vain {
		m.Vain = true
		m.do(Action{Verb: DoCancelLock})
	}
	if m.Op != None || m.Peeking || m.Ending != 0 {
		return
	}
	if m.Closing && m.Goal == Refresh && !m.Flying && m.Unsaved == 0 {
		m.finish(Closed, 0)
	}
	switch {
	case m.Goal == SignOut:
		m.signOut()
	case m.Unsaved != 0 && m.Retry == 0 && (m.Goal != Refresh || !m.Flying):
		m.save()
	case m.Goal == Refresh:
		m.refresh()
	case m.Goal == Load || m.Goal == Look:
		m.begin(Reading, Action{Verb: DoRead})
	}
	if m.Op == None && m.Ending == 0 && !m.again {
		m.release()
	}
}

func (m *step) begin(op Op, a Action) {
	m.Op = op
	m.do(a)
}

// locked sees that the lock is held, where there is one.
func (m *step) locked() bool {
	if m.Locked || !m.Locks || !m.has(Lock) {
		return true
	}
	m.Vain = false
	m.begin(Locking, Action{Verb: DoLock})
	return false
}

// unlock gives the lock up. Where it is not clean, the next holder knows that a refresh token may
// have been taken.
func (m *step) unlock(clean bool) {
	m.do(Action{Verb: DoUnlock, Clean: clean || !m.has(LeaveMark)})
	m.Locked, m.Looked, m.Mine, m.Dirty, m.Lock = false, false, false, false, 0
}

// undecided reports whether the store still holds a token that the server may be taking.
func (m *step) undecided() bool {
	return m.has(KeepLock) && (m.Sent != 0 && m.Stored == m.Sent || m.Past != 0 && m.Stored == m.Past)
}

// release gives the lock up when nothing is done under it any more. Whoever has used it meanwhile,
// it is kept while a presentation is undecided whose token the store still holds, and while tokens
// are to be saved under it.
func (m *step) release() {
	switch {
	case !m.Locked:
	case m.Closing && (m.Flying || m.PastFlying):
	case m.Closing:
		m.unlock(m.Sent == 0 && m.Past == 0 && !m.Dirty && !m.Suspect)
	case m.Goal == SignOut, m.Goal == Refresh && m.Pause == 0, m.undecided():
	case m.Unsaved != 0 && !m.lost() && m.has(KeepUnsaved):
	case m.Suspect && !m.has(LockAnew):
	default:
		m.unlock(m.Unsaved == 0 && (m.Stored != m.Held || !m.Dirty && !m.Suspect))
	}
}

// lost reports whether the lock may have ended by itself.
func (m *step) lost() bool { return m.Locked && m.Expires && m.Lock > m.LockLife }

// save writes the tokens that are still to be saved.
func (m *step) save() {
	switch {
	case m.lost() && m.Backoff > 0 && !m.Closing && !m.undecided():
		m.unlock(false) // saving failed, perhaps because the lock is somebody else's by now
		m.again = true
	case !m.locked():
	case !m.Mine && !m.Forced && !m.Looked && !m.Closing:
		m.begin(Reading, Action{Verb: DoRead})
	default:
		m.Writing = m.Unsaved
		m.begin(Saving, Action{Verb: DoSave, Pair: m.Unsaved})
	}
}

// maxLate is how often a lock whose store is too slow is got again.
const maxLate = 3

// refresh is the way to new tokens: look, lock, look again, present. Saving comes by itself when
// there are any.
func (m *step) refresh() {
	look := !m.Looked && (!m.Locked || m.has(LookUnderLock))
	switch {
	case m.Flying, m.Pause > 0:
	case look:
		m.begin(Reading, Action{Verb: DoRead})
	case m.Held == 0:
		m.finish(SignedOut, 0)
	case m.Why != OK && m.Hold > 0:
		m.finish(m.Why, m.Hold)
	case !m.facts.Renewable(m.Held):
		m.finish(OK, 0)
	case m.Unsaved != 0 && m.Locks && m.has(KeepUnsaved):
		m.finish(StoreFailed, m.Retry) // saving has failed, so that nothing more is spent
	case m.undecided():
		// of tokens that were set aside, and could not be overwritten in the store
		m.finish(Doubt, max(m.Left, m.PastLeft))
	case !m.locked():
	case m.Locked && m.Lock > m.SendWithin && m.has(SendWithin):
		m.unlock(m.Unsaved == 0 && !m.Dirty && !m.Suspect)
		if m.Late++; m.Late > maxLate {
			m.finish(StoreFailed, 0)
		}
		m.again = true
	default:
		m.present()
	}
}

// present sends the refresh token, if it is not known to be used up.
func (m *step) present() {
	fate := m.facts.Fate(m.Held)
	if !m.has(SpentMemory) {
		fate = Fate{}
	}
	switch fate.Kind {
	case Fresh:
	case InFlight:
		m.Pause = max(fate.Left, m.SaveAgain) // its end is told
		m.again = true
		return
	case Undecided:
		m.fail(Doubt, fate.Left)
		return
	case Superseded:
		if fate.Heir == 0 {
			m.fail(Over, m.CoolDown)
			return
		}
		m.adopt(fate.Heir)
		m.Unsaved, m.Mine, m.Retry = m.Held, m.Locked, 0
		m.finish(OK, 0)
		m.again = true
		return
	case Refused:
		if m.Why != Over {
			m.fail(Over, m.CoolDown)
			return
		}
	case Lapsed:
		m.suspect()
	}
	if m.Suspect && m.Locks && m.has(Witness) { // without a lock nobody else shares the session
		if m.Early {
			m.finish(Postponed, 0)
			m.again = true
			return
		}
		if m.Refused && !m.Blind && m.Why != Taken {
			m.fail(Taken, m.CoolDown)
			return
		}
	}
	if !m.Suspect {
		m.Blind = m.Refused
	}
	var within time.Duration
	if m.Locked && m.has(SendWithin) {
		within = max(m.SendWithin-m.Lock, 1)
	}
	m.Sent, m.Flying, m.Left = m.Held, true, m.Doubt
	m.note(m.Sent, InFlight, 0, m.Doubt)
	m.do(Action{Verb: DoPresent, Pair: m.Sent, D: within})
}

// fail keeps a failure, so that later calls fail fast.
func (m *step) fail(why Reason, hold time.Duration) {
	m.Why, m.Hold = why, hold
	m.finish(why, hold)
	m.again = true
}

func (m *step) presented(e Event) {
	if e.Kind == Unsent && e.Of == 0 && m.Op == Locking {
		m.Op = None // held back before anything was done
		m.unsent(e)
		return
	}
	if e.Of == 0 || e.Of != m.Sent {
		m.overtaken(e)
		return
	}
	m.Flying = false
	switch e.Kind {
	case Answered:
		m.note(m.Sent, Superseded, e.Pair, 0)
		m.Sent, m.Left = 0, 0
		m.Unsaved, m.Mine, m.Retry, m.Backoff = e.Pair, true, 0, 0
		m.Dirty = false
		m.Refused = m.Refused && e.Pair != m.Held // a server that does not rotate
	case Rejected:
		m.note(m.Sent, Refused, 0, 0)
		m.Sent, m.Left = 0, 0
		m.Suspect, m.Dirty = false, false
		m.fail(Over, m.CoolDown)
	case Unsent:
		kind := Fresh
		if m.Suspect {
			kind = Lapsed
		}
		m.note(m.Sent, kind, 0, 0)
		m.Sent, m.Left = 0, 0
		m.unsent(e)
	case Lost:
		if m.Left = max(m.Doubt-e.D, 0); !m.has(DoubtPeriod) {
			m.Left = 0
		}
		m.note(m.Sent, Undecided, 0, m.Left)
		m.fail(Doubt, m.Left)
		if m.Left == 0 {
			m.lapse()
		}
	}
}

func (m *step) unsent(e Event) {
	if e.OK && !m.Closing {
		m.Pause, m.Looked = max(e.D, 1), false
		return
	}
	m.Why, m.Hold = Postponed, e.D
	m.finish(Postponed, e.D)
}

// overtaken is the end of a presentation of tokens that are no longer held. Of one before the last
// nothing is known any more but the memory of its token, which must not stay in flight for ever.
func (m *step) overtaken(e Event) {
	last := e.Of != 0 && e.Of == m.Past
	if last {
		m.Past, m.PastFlying, m.PastLeft = 0, false, 0
	}
	switch e.Kind {
	case Answered:
		m.note(e.Of, Superseded, 0, 0)
		if last && m.Goal == SignOut && !m.Local && m.Out == e.Of && !m.Ended && m.Ending == 0 {
			m.Out = e.Pair
			return
		}
		if e.Pair != 0 {
			m.do(Action{Verb: DoEndQuietly, Pair: e.Pair})
		}
	case Rejected:
		m.note(e.Of, Refused, 0, 0)
	case Unsent:
		m.note(e.Of, Fresh, 0, 0)
	default:
		left := max(m.Doubt-e.D, 0)
		if left == 0 {
			m.note(e.Of, Lapsed, 0, 0)
			return
		}
		m.note(e.Of, Undecided, 0, left)
		if last {
			m.Past, m.PastLeft = e.Of, left
		}
	}
}
