package session

// What a look at the store finds.
type finding uint8

const (
	same    finding = iota // what was there before, or what is in use
	news                   // somebody else has refreshed, or signed in
	behind                 // the store went back
	nothing                // somebody has signed out
)

// found compares what the store holds with what is in use, and with what it held before: that is no
// news, even where it differs from what is in use, which could not be saved then.
func (m *step) found(p Pair) finding {
	known, before := m.Known, m.Stored
	m.Known, m.Stored = true, p
	switch {
	case p == m.Held, p != 0 && p == m.Unsaved, m.Loaded && known && p == before:
		return same
	case p == 0:
		if m.Unsaved != 0 && (!known || m.Setting) || !m.Loaded {
			return same // there was never anything
		}
		return nothing
	case m.behind(p):
		return behind
	case !m.Loaded || m.Unsaved == 0:
		return news
	case !known, before != 0 && m.facts.SameOwner(p, before) && !m.facts.SameOwner(p, m.Unsaved):
		return same // the session that the program has replaced
	default:
		return news
	}
}

func (m *step) read(e Event) {
	peek := m.Peeking
	switch {
	case peek:
		m.Peeking = false
	case m.Op == Reading:
		m.Op = None
	default:
		return
	}
	if peek && (m.Op != Locking || m.Vain) {
		return // the lock was got meanwhile: what was read without it is old
	}
	if !e.OK {
		m.unreadable(peek)
		return
	}
	what := m.found(e.Pair)
	switch {
	case what == same:
	case m.Goal == SignOut && what != behind:
		m.Known = false // it is news for what comes after, too
	case what == news:
		m.adopt(e.Pair)
	case what == behind:
		m.setRight(e.Pair)
	default:
		m.forget()
	}
	if m.Locked && m.Dirty && m.Held != 0 && m.Held == m.Stored {
		m.suspect()
	}
	if m.Goal == Load {
		m.seed()
	}
	m.Looked = m.Looked || !peek
	switch {
	case m.Goal == Load && m.Unsaved != 0 && m.Retry == 0:
		// of several that find the store empty, one seeds it
	case m.Goal == Load, m.Goal == Look:
		m.Loaded = true
		m.finish(OK, 0)
	case m.Goal == Refresh && what == news:
		m.finish(OK, 0)
	case m.Goal == Refresh && what == nothing:
		m.finish(SignedOut, 0)
	}
}

// setRight is what happens to a store that has gone back: the newer pair is written again.
func (m *step) setRight(p Pair) {
	if m.Held != 0 && m.Loaded {
		if m.Why != Over && m.Unsaved == 0 && m.has(WriteBack) {
			m.Unsaved, m.Mine, m.Retry, m.Backoff = m.Held, m.Locked, 0, 0
		}
		return
	}
	if m.Loaded && m.Goal != Load {
		return // signed out
	}
	fate := m.facts.Fate(p)
	switch {
	case fate.Kind == Superseded && fate.Heir != 0:
		m.adopt(fate.Heir)
		m.Unsaved, m.Mine, m.Retry, m.Backoff = m.Held, m.Locked, 0, 0
	case fate.Kind == Superseded && m.Loaded: // ended by our own sign-out
	case fate.Kind == Superseded:
		m.adopt(p)
		m.Why, m.Hold = Over, m.CoolDown
	default:
		m.adopt(p)
	}
}

// seed puts the tokens that the program began with into an empty store.
func (m *step) seed() {
	if m.Held != 0 || m.Stored != 0 || m.Seed == 0 || m.Loaded {
		return
	}
	p := m.Seed
	if fate := m.facts.Fate(p); fate.Kind == Superseded && fate.Heir != 0 {
		p = fate.Heir
	}
	m.use(p)
	m.Unsaved, m.Mine, m.Retry, m.Backoff = p, false, 0, 0
}

func (m *step) unreadable(peek bool) {
	if peek {
		return
	}
	if m.Unsaved != 0 {
		if !m.Forced { // what is to be saved by the program's will needed no look
			m.finishSet(StoreFailed)
		}
		m.saveLater()
	}
	switch {
	case m.Goal == SignOut:
		m.finishOut(StoreFailed, 0)
	case m.Goal == Load, m.Goal == Look, m.Goal == Refresh && m.Locks:
		m.finish(StoreFailed, 0)
	case m.Goal == Refresh:
		m.Looked = true // a store without a lock is not asked for leave
	}
}

func (m *step) lock(e Event) {
	if m.Op != Locking {
		return
	}
	vain := m.Vain
	m.Op, m.Vain = None, false
	if m.Peeking {
		m.do(Action{Verb: DoCancelRead})
	}
	if e.Kind == LockGot {
		m.Locked, m.Lock, m.Looked, m.Dirty, m.Mine = true, 0, false, e.OK && m.has(Witness), false
		return
	}
	if vain {
		return
	}
	if m.Goal == SignOut {
		m.finishOut(StoreFailed, 0)
	}
	if m.Goal == Refresh {
		m.finish(StoreFailed, 0)
	}
	if m.Unsaved != 0 {
		m.finishSet(StoreFailed)
		m.saveLater()
	}
	if m.Goal == Load {
		m.finish(OK, 0) // the tokens are in use all the same
	}
}

func (m *step) saveLater() {
	m.Backoff = min(max(2*m.Backoff, m.SaveAgain), m.MaxSave)
	m.Retry = m.Backoff
	if m.Locked {
		m.Retry = m.SaveAgain // others wait for it
	} else {
		m.Mine, m.Looked = false, false
	}
	if m.Closing {
		m.finishSet(Closed)
		m.Unsaved, m.Dirty = 0, m.Locked // the last chance has passed
	}
}

func (m *step) saved(e Event) {
	if m.Op != Saving {
		return
	}
	m.Op, m.Writing = None, 0
	if e.OK {
		m.Known, m.Stored = true, e.Pair
	}
	if e.Pair != m.Unsaved {
		return // overtaken: others are to be saved
	}
	if e.OK {
		m.Unsaved, m.Mine, m.Backoff = 0, false, 0
		m.finishSet(OK)
	} else {
		m.finishSet(StoreFailed)
		m.saveLater()
	}
	m.use(e.Pair) // also where they could not be saved: those before them are used up
	if m.Goal == Refresh && m.Sent == 0 || m.Goal == Load {
		m.finish(OK, 0)
	}
}

func (m *step) deleted(e Event) {
	if m.Op != Deleting {
		return
	}
	m.Op = None
	if !e.OK {
		m.gone(StoreFailed)
		return
	}
	m.Known, m.Stored = true, 0
	m.gone(OK)
}
