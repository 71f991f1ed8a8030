package session

import "time"

// leaving begins a sign-out, now or when the refresh in flight has ended.
func (m *step) leaving() {
	switch {
	case m.Closing:
		m.do(Action{Verb: DoFinishOut, Reason: Closed})
	case m.Goal == SignOut && m.covered():
	case m.Goal == Rest:
		m.leave(false)
	case m.Goal == Refresh && !m.Flying && m.Unsaved == 0:
		m.finish(Overtaken, 0)
		m.leave(false)
	default:
		m.Then = true
	}
}

// covered reports whether the sign-out under way ends what is held. It may have begun before
// somebody signed in, and have been given up by who waited for it: then another one follows.
func (m *step) covered() bool {
	return m.Held == 0 || !m.Local && (m.Held == m.Out || m.SignIn == m.OutOf && !m.begun())
}

// begun reports whether the server is being told, so that what is set now is not ended with it.
func (m *step) begun() bool { return m.Ended || m.Ending != 0 }

func (m *step) leave(local bool) {
	m.Out, m.OutOf = m.Held, m.SignIn
	m.Goal, m.Local, m.Ended, m.AlsoOver, m.Looked = SignOut, local, false, 0, false
}

// signOut ends the pair that was held and the store's pair of the same principal, and deletes from
// the store exactly that.
func (m *step) signOut() {
	switch {
	case !m.Local && m.PastFlying && m.Past == m.Out: // what it brings is to be ended, too
	case !m.locked():
	case !m.Looked && m.has(SignOutLooks):
		m.begin(Reading, Action{Verb: DoRead})
	case m.Local:
		m.remove()
	case m.Out != 0 && !m.Ended:
		if fate := m.facts.Fate(m.Out); fate.Kind == Superseded && fate.Heir != 0 {
			m.Out = fate.Heir
		}
		m.Ending = m.Out
		m.do(Action{Verb: DoEnd, Pair: m.Out})
	case m.theirs() && m.AlsoOver != m.Stored:
		m.Ending = m.Stored
		m.do(Action{Verb: DoEnd, Pair: m.Stored})
	default:
		m.remove()
	}
}

// theirs reports whether the store holds another pair of the principal that signs out.
func (m *step) theirs() bool {
	return m.Looked && m.Stored != 0 && m.Stored != m.Out && m.Out != 0 && m.facts.SameOwner(m.Stored, m.Out)
}

func (m *step) remove() {
	ours := m.Stored == m.Out || m.Stored == m.AlsoOver || m.Local && m.theirs() || m.behindOut()
	if !m.has(SignOutLooks) || m.Stored != 0 && (ours || !m.has(OwnOnly)) {
		m.begin(Deleting, Action{Verb: DoDelete})
		return
	}
	m.gone(OK)
}

func (m *step) behindOut() bool { return m.facts.Fate(m.Stored).Kind == Superseded }

func (m *step) ended(e Event) {
	if m.Ending == 0 || e.Pair != m.Ending {
		return
	}
	m.Ending = 0
	doubtful := m.Sent != 0 || m.Past != 0 || m.Suspect || m.Dirty || m.lost() ||
		m.facts.Fate(e.Pair).Kind != Fresh
	switch {
	case !e.OK:
		m.notOut(Refusal, 0)
	case e.N == 1 && doubtful && m.has(SignOutDoubt):
		// a dead access token ends nothing, and nobody is told
		m.notOut(Doubt, max(m.Left, m.PastLeft))
	case e.Pair == m.Out:
		m.Ended = true
	default:
		m.AlsoOver = e.Pair
	}
}

// notOut is the end of a sign-out that the server was not told of for certain. What the program has
// forgotten meanwhile is deleted all the same: the store would give it back.
func (m *step) notOut(why Reason, hold time.Duration) {
	out, forgotten := m.Out, m.Held == 0
	m.finishOut(why, hold)
	if forgotten {
		m.leave(true)
		m.Out = out
	}
}

// gone is the end of a sign-out that has ended what it was to end.
func (m *step) gone(why Reason) {
	if !m.Local {
		m.note(m.Out, Superseded, 0, 0)
		m.note(m.AlsoOver, Superseded, 0, 0)
		if m.Out == m.Sent || m.Out == m.Past {
			m.Sent, m.Past, m.Flying, m.PastFlying, m.Left, m.PastLeft = 0, 0, false, false, 0, 0
		}
		m.Dirty = false
	}
	if m.SignIn == m.OutOf && !m.Then || m.Held != 0 && m.Held == m.Out {
		m.forget()
	}
	m.finishOut(why, 0)
}

func (m *step) finishOut(why Reason, hold time.Duration) {
	if m.Goal != SignOut {
		return
	}
	then := m.Then && why == OK
	m.Goal, m.Then, m.again = Rest, false, true
	m.Out, m.AlsoOver, m.Ended, m.Local = 0, 0, false, false
	if then {
		m.leave(false) // who waits does so for both
		return
	}
	m.do(Action{Verb: DoFinishOut, Reason: why, D: hold})
}
