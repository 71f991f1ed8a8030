package session

import (
	"fmt"
	"strings"
	"time"
)

// The world that the model check puts the core into: processes, a server, a store, the network
// between them, and what can go wrong. One unit of time is about nine seconds: the server works for
// up to three, the doubt lasts four.

const (
	unit      = time.Second
	workUnits = 3 // the server gives up after
	maxSess   = 3
	maxPairs  = 10
	maxMsgs   = 4
)

func modelRules(off Mechanism) Rules {
	return Rules{
		Doubt: 4 * unit, SendWithin: unit, LockLife: 5 * unit, CoolDown: 6 * unit, SaveAgain: unit, MaxSave: unit, Off: off,
	}
}

type storeKind uint8

const (
	plainStore storeKind = iota
	fileStore            // the lock ends with its process, a mark outlives it
	redisStore           // the lock expires; saving is fenced
)

// scope is what a search explores: who is there, and how often each thing may go wrong.
type scope struct {
	name string
	long bool // in the long form only
	kind storeKind
	// the process of each session; sessions of one process share its memory
	processes [maxSess]uint8
	sessions  int
	rules     Rules
	// a lock that expires, over a holder that lives: only an access token that is good is a witness
	excused  bool
	noFence  bool // the expiring store saves without the lock, too
	noRevoke bool // the server knows only logout
	budget   budget
	single   bool // one process: nobody else can sign in
}

// budget is how often each thing may still happen.
type budget struct {
	calls, early, expire                       int8
	lost, unsent, crash, freeze, saves, reads  int8
	signOuts, signIns, others, back, old, ends int8
	closes                                     int8
}

// server has the sessions that were signed in, each with the pair that is good now.
type server struct {
	alive   [4]bool
	current [4]Pair
	owner   [4]uint8
	n       uint8
	of      [maxPairs + 1]uint8 // session of each pair
	expired [maxPairs + 1]bool
	pairs   uint8
}

// shelf is the store.
type shelf struct {
	pair, before Pair
	holder       uint8 // session + 1; 0: free
	age          uint8 // of the lock or the mark, in units
	mark         bool  // file: a holder died, or left it; redis: the lock expired
}

// msg is a presentation on its way.
type msg struct {
	pair   Pair
	from   uint8 // session + 1; 0: no message
	inc    uint8
	age    uint8
	done   bool // the server has handled it
	gave   Pair // 0: refused
	lost   bool // its sender will hear that there is no response
	orphan bool // nobody waits for the response
}

type call struct {
	on, waiting bool
	sent        Pair
	signIn      uint32
	owner       uint8 // 0: none
	era         uint32
	sends       uint8
}

type client struct {
	st      State
	inc     uint8
	call    call
	saving  Pair
	sending Pair // to leave
	by      uint8
	cut     bool
	frozen  bool
	late    uint8
	outing  bool  // a sign-out is under way
	set     uint8 // owner that the program has set last; 0: none
}

type fateOf struct {
	kind FateKind
	heir Pair
	left uint8
}

type world struct {
	c    [maxSess]client
	mem  [maxSess][maxPairs + 1]fateOf
	srv  server
	shlf shelf
	msgs [maxMsgs]msg
	b    budget

	had     [maxSess]uint16 // pairs that each process has held
	unaware bool            // a process was given old tokens that it has no memory of: exception E7

	bad string // the property that does not hold any more; not hashed
}

// facts are the core's questions, asked for session i.
type facts struct {
	w    *world
	sc   *scope
	proc uint8
}

func (f facts) Fate(p Pair) Fate {
	m := f.w.mem[f.proc][p]
	switch m.kind {
	case Superseded:
		heir := m.heir
		for n := 0; heir != 0 && f.w.mem[f.proc][heir].kind == Superseded && n < maxPairs; n++ {
			heir = f.w.mem[f.proc][heir].heir
		}
		for i := range f.sc.sessions {
			st := &f.w.c[i].st
			if f.sc.processes[i] == f.proc && heir != 0 && (st.Held == heir || st.Unsaved == heir) {
				return Fate{Kind: Superseded, Heir: heir}
			}
		}
		return Fate{Kind: Superseded}
	case Undecided, InFlight:
		return Fate{Kind: m.kind, Left: time.Duration(m.left) * unit}
	}
	return Fate{Kind: m.kind}
}

func (f facts) SameOwner(a, b Pair) bool { return f.w.srv.ownerOf(a) == f.w.srv.ownerOf(b) }
func (f facts) Older(a, b Pair) bool     { return f.SameOwner(a, b) && a < b }
func (f facts) Renewable(Pair) bool      { return true }

func (s *server) ownerOf(p Pair) uint8 { return s.owner[s.of[p]] }

func (s *server) live(p Pair) bool { return p != 0 && s.alive[s.of[p]] && s.current[s.of[p]] == p }

func (s *server) signIn(owner uint8) (Pair, bool) {
	if int(s.n) >= len(s.alive) || s.pairs >= maxPairs {
		return 0, false
	}
	s.pairs++
	p := Pair(s.pairs)
	s.alive[s.n], s.current[s.n], s.owner[s.n], s.of[p] = true, p, owner, s.n
	s.n++
	return p, true
}

const (
	alice = 1
	bob   = 2
)

func (sc *scope) start() world {
	w := world{b: sc.budget}
	w.shlf.pair, _ = w.srv.signIn(alice)
	for i := range sc.sessions {
		w.c[i].st = State{Locks: sc.kind != plainStore, Expires: sc.kind == redisStore}
	}
	return w
}

// step gives a client an event, and carries out what needs no time.
func (sc *scope) step(w *world, i int, e Event) {
	c := &w.c[i]
	next, acts := sc.rules.Step(c.st, e, facts{w, sc, sc.processes[i]})
	c.st = next
	w.had[sc.processes[i]] |= 1<<next.Held | 1<<next.Unsaved
	for _, a := range acts.All() {
		sc.carry(w, i, a)
	}
}

func (sc *scope) carry(w *world, i int, a Action) {
	c := &w.c[i]
	mem := &w.mem[sc.processes[i]]
	switch a.Verb {
	case DoRead, DoLock, DoCancelLock, DoDelete, DoEnd:
	case DoCancelRead:
		c.cut = true
	case DoUnlock:
		if w.shlf.holder == uint8(i+1) {
			w.shlf.holder = 0
			if sc.kind == redisStore && !a.Clean {
				w.shlf.holder = 255 // until it expires
			} else {
				w.shlf.mark = !a.Clean
			}
			if a.Clean {
				w.shlf.age = 0
			}
		}
	case DoSave:
		c.saving = a.Pair
	case DoPresent:
		before := c.sending
		c.sending, c.by = a.Pair, 255
		if a.D > 0 {
			c.by = uint8((a.D + unit - 1) / unit)
		}
		if before != 0 { // it was overtaken before it left
			sc.step(w, i, Event{Kind: Unsent, Of: before, D: unit})
		}
	case DoCancel:
		if c.sending == a.Pair {
			c.sending, c.by = 0, 0
			sc.step(w, i, Event{Kind: Unsent, Of: a.Pair})
			return
		}
		for k := range w.msgs {
			if m := &w.msgs[k]; m.from == uint8(i+1) && m.pair == a.Pair && m.inc == c.inc && !m.orphan {
				m.orphan = true
				sc.step(w, i, Event{Kind: Lost, Of: a.Pair, D: time.Duration(m.age) * unit})
				return
			}
		}
	case DoEndQuietly:
		w.srv.alive[w.srv.of[a.Pair]] = false
	case DoNote:
		mem[a.Pair] = fateOf{a.Fate, a.Heir, uint8((a.D + unit - 1) / unit)}
		if a.Fate != InFlight {
			for j := range sc.sessions { // those that wait for it
				if j != i && sc.processes[j] == sc.processes[i] && w.c[j].st.Pause > 0 && w.c[j].st.Held == a.Pair {
					sc.step(w, j, Event{Kind: Wake})
				}
			}
		}
	case DoFinish:
		sc.resume(w, i, a.Reason)
	case DoFinishSet:
	case DoFinishOut:
		c.outing = false
		sc.resume(w, i, Overtaken)
	}
}

// resume goes on with the call that waited.
func (sc *scope) resume(w *world, i int, why Reason) {
	c := &w.c[i]
	if !c.call.on || !c.call.waiting {
		return
	}
	c.call.waiting = false
	if why != OK && why != Overtaken || c.st.Held == 0 || c.call.sends >= 3 {
		c.call = call{}
		return
	}
	if c.call.sends > 0 {
		sameOwner := w.srv.ownerOf(c.st.Held) == c.call.owner
		if !sc.rules.Serves(c.st, c.call.signIn, sameOwner) || c.st.Held == c.call.sent {
			c.call = call{}
			return
		}
	} else {
		c.call.signIn, c.call.owner = c.st.SignIn, w.srv.ownerOf(c.st.Held)
	}
	c.call.sent, c.call.era = c.st.Held, c.st.Era
	c.call.sends++
}

// each calls yield for every world that may come next.
func (sc *scope) each(w *world, yield func(next *world, label func() string)) {
	var n world
	try := func(f func(n *world) bool, format string, args ...any) {
		n = *w
		if f(&n) {
			sc.check(w, &n)
			yield(&n, func() string { return fmt.Sprintf(format, args...) })
		}
	}
	urgent := false
	for i := range sc.sessions {
		if !w.c[i].frozen && sc.client(w, i, try) {
			urgent = true
		}
		if w.c[i].frozen {
			try(func(n *world) bool {
				c := &n.c[i]
				late := c.late
				c.frozen, c.late = false, 0
				sc.pass(n, i, late)
				return true
			}, "p%d goes on", i)
		}
	}
	if sc.messages(w, try) {
		urgent = true
	}
	sc.world(w, try)
	if !urgent {
		try(func(n *world) bool { return sc.tick(n) }, "time passes")
	}
}

func (sc *scope) pass(n *world, i int, units uint8) {
	if units > 0 {
		sc.step(n, i, Event{Kind: Tick, D: time.Duration(units) * unit, Least: time.Duration(units) * unit})
	}
}

type trial = func(f func(n *world) bool, format string, args ...any)

// client gives what session i may do. It reports whether something must be done before time passes.
func (sc *scope) client(w *world, i int, try trial) (urgent bool) {
	c := &w.c[i]
	if c.call.on && !c.call.waiting {
		urgent = true
		try(func(n *world) bool { sc.deliver(n, i); return true }, "p%d: the server gets its call with %d", i, c.call.sent)
	}
	if !c.call.on && w.b.calls > 0 && c.st.Goal == Rest {
		try(func(n *world) bool {
			n.b.calls--
			nc := &n.c[i]
			nc.call = call{on: true, waiting: true}
			if nc.st.Held == 0 {
				sc.step(n, i, Event{Kind: NeedLoad})
			} else {
				sc.resume(n, i, OK)
			}
			return true
		}, "p%d begins a call", i)
	}
	if w.b.early > 0 && c.st.Goal == Rest && c.st.Held != 0 {
		try(func(n *world) bool { n.b.early--; sc.step(n, i, Event{Kind: Need, Early: true}); return true }, "p%d refreshes early", i)
	}
	if sc.store(w, i, try) {
		urgent = true
	}
	if c.sending != 0 {
		urgent = true
		sc.send(w, i, try)
	}
	if p := c.st.Ending; p != 0 {
		urgent = true
		try(func(n *world) bool {
			ok := true
			if !sc.noRevoke || n.srv.live(p) {
				n.srv.alive[n.srv.of[p]] = false
			}
			e := Event{Kind: Ended, Pair: p, OK: ok}
			if sc.noRevoke {
				e.N = 1
			}
			sc.step(n, i, e)
			return true
		}, "p%d: the server ends %d", i, p)
		if w.b.ends > 0 {
			try(func(n *world) bool { n.b.ends--; sc.step(n, i, Event{Kind: Ended, Pair: p}); return true }, "p%d: the server is not told to end %d", i, p)
		}
	}
	if w.b.signOuts > 0 && c.st.Held != 0 && c.st.Goal != SignOut {
		try(func(n *world) bool {
			n.b.signOuts--
			n.c[i].outing = true
			sc.step(n, i, Event{Kind: Leave})
			return true
		}, "p%d signs out", i)
	}
	for _, in := range []struct {
		owner uint8
		left  int8
	}{{alice, w.b.signIns}, {bob, w.b.others}} {
		owner := in.owner
		if in.left > 0 {
			try(func(n *world) bool {
				if owner == alice {
					n.b.signIns--
				} else {
					n.b.others--
				}
				p, ok := n.srv.signIn(owner)
				if !ok {
					return false
				}
				st := &n.c[i].st
				n.c[i].set = owner
				sc.step(n, i, Event{Kind: Set, Pair: p, OK: st.Held != 0 && n.srv.ownerOf(st.Held) == owner})
				return true
			}, "p%d signs in as %d", i, owner)
		}
	}
	if w.b.old > 0 && c.st.Loaded && c.st.Held > 1 && w.srv.ownerOf(c.st.Held) == alice {
		try(func(n *world) bool {
			n.b.old--
			n.unaware = n.unaware || n.had[sc.processes[i]]&(1<<1) == 0
			sc.step(n, i, Event{Kind: Set, Pair: 1, OK: true})
			return true
		}, "p%d is given its first tokens again", i)
	}
	if w.b.crash > 0 && (c.st.Goal != Rest || c.st.Locked || c.st.Held != 0) {
		try(func(n *world) bool { n.b.crash--; sc.crash(n, i); return true }, "p%d crashes", i)
	}
	if w.b.closes > 0 && c.st.Held != 0 && !c.st.Closing {
		try(func(n *world) bool { n.b.closes--; sc.step(n, i, Event{Kind: Close}); return true }, "p%d is closed", i)
	}
	if c.st.Closing {
		if c.st.Flying {
			try(func(n *world) bool { sc.step(n, i, Event{Kind: Close, OK: true}); return true }, "p%d is closed at once", i)
		} else if c.st.Op == None && !c.st.Locked {
			try(func(n *world) bool { sc.crash(n, i); return true }, "p%d ends", i)
		}
	}
	if w.b.freeze > 0 && (c.st.Goal != Rest || c.st.Locked) {
		try(func(n *world) bool { n.b.freeze--; n.c[i].frozen = true; return true }, "p%d freezes", i)
	}
	return urgent
}

// deliver is a call at the server.
func (sc *scope) deliver(n *world, i int) {
	c := &n.c[i]
	p := c.call.sent
	if n.srv.live(p) && !n.srv.expired[p] {
		if n.srv.ownerOf(p) != c.call.owner {
			n.bad = "a call was served in another's name"
		}
		era := c.call.era
		c.call = call{}
		sc.step(n, i, Event{Kind: Accepted, Pair: p, N: era})
		return
	}
	sc.step(n, i, Event{Kind: Denied, Pair: p, OK: !n.srv.expired[p]})
	c.call.waiting = true
	if c.st.Held != p && c.st.Held != 0 {
		sc.resume(n, i, OK)
		return
	}
	if c.st.Goal == Rest || c.st.Goal == Refresh {
		sc.step(n, i, Event{Kind: Need})
	}
}

func (sc *scope) send(w *world, i int, try trial) {
	c := &w.c[i]
	if c.by > 0 {
		try(func(n *world) bool {
			nc := &n.c[i]
			for k := range n.msgs {
				m := &n.msgs[k]
				// exception E9: without a lock, nothing tells a process what the one before it sent
				before := sc.kind == plainStore && m.inc != nc.inc
				if m.from != 0 && m.pair == nc.sending && !m.done && !n.unaware && !before {
					n.bad = "a refresh token was presented while its first presentation was at work"
				}
			}
			for k := range n.msgs {
				if m := &n.msgs[k]; m.from == 0 {
					*m = msg{pair: nc.sending, from: uint8(i + 1), inc: nc.inc}
					nc.sending, nc.by = 0, 0
					return true
				}
			}
			return false
		}, "p%d presents %d", i, c.sending)
	}
	if w.b.unsent > 0 || c.by == 0 {
		try(func(n *world) bool {
			nc := &n.c[i]
			if nc.by > 0 {
				n.b.unsent--
			}
			p := nc.sending
			nc.sending, nc.by = 0, 0
			sc.step(n, i, Event{Kind: Unsent, Of: p, OK: false, D: unit})
			return true
		}, "p%d: %d does not leave", i, c.sending)
	}
}

// store is what the store does for session i.
func (sc *scope) store(w *world, i int, try trial) (urgent bool) {
	c := &w.c[i]
	me := uint8(i + 1)
	if c.st.Op == Reading || c.st.Peeking {
		urgent = true
		try(func(n *world) bool {
			n.c[i].cut = false
			sc.step(n, i, Event{Kind: Read, Pair: n.shlf.pair, OK: true})
			return true
		}, "p%d reads %d", i, w.shlf.pair)
		if w.b.reads > 0 || c.cut {
			try(func(n *world) bool {
				if !n.c[i].cut {
					n.b.reads--
				}
				n.c[i].cut = false
				sc.step(n, i, Event{Kind: Read})
				return true
			}, "p%d cannot read", i)
		}
	}
	switch c.st.Op {
	case Locking:
		if c.st.Vain {
			urgent = true
			try(func(n *world) bool { sc.step(n, i, Event{Kind: LockFailed}); return true }, "p%d leaves the lock's queue", i)
		}
		if w.shlf.holder == 0 && (sc.kind != fileStore || !w.shlf.mark || w.shlf.age >= 5) {
			urgent = true
			try(func(n *world) bool {
				dirty := n.shlf.mark
				n.shlf.holder, n.shlf.age, n.shlf.mark = me, 0, false
				sc.step(n, i, Event{Kind: LockGot, OK: dirty})
				return true
			}, "p%d gets the lock", i)
		}
		if !c.st.Peeking && !c.st.Vain && w.shlf.pair != c.st.Stored {
			try(func(n *world) bool { sc.step(n, i, Event{Kind: Wake}); return true }, "p%d looks while it waits", i)
		}
		if w.b.reads > 0 {
			try(func(n *world) bool { n.b.reads--; sc.step(n, i, Event{Kind: LockFailed}); return true }, "p%d does not get the lock", i)
		}
	case Saving:
		urgent = true
		fenced := sc.kind == redisStore && w.shlf.holder != me && !sc.noFence
		if !fenced {
			try(func(n *world) bool {
				p := n.c[i].saving
				n.c[i].saving = 0
				if old := n.shlf.pair; sc.kind == redisStore && n.shlf.holder != me && old != p && n.srv.live(old) {
					n.bad = "tokens that somebody had saved under the lock were overwritten without it"
				}
				n.shlf.put(p)
				sc.step(n, i, Event{Kind: Saved, Pair: p, OK: true})
				return true
			}, "p%d saves %d", i, c.saving)
		}
		if fenced || w.b.saves > 0 {
			try(func(n *world) bool {
				if !fenced {
					n.b.saves--
				}
				p := n.c[i].saving
				n.c[i].saving = 0
				sc.step(n, i, Event{Kind: Saved, Pair: p})
				return true
			}, "p%d cannot save %d", i, c.saving)
		}
	case Deleting:
		urgent = true
		fenced := sc.kind == redisStore && w.shlf.holder != me && !sc.noFence
		try(func(n *world) bool {
			if fenced {
				sc.step(n, i, Event{Kind: Deleted})
				return true
			}
			if st := &n.c[i].st; n.shlf.pair != 0 && sc.kind != plainStore && n.srv.live(n.shlf.pair) && n.srv.ownerOf(n.shlf.pair) != n.srv.ownerOf(st.Out) {
				n.bad = "a sign-out deleted another's tokens"
			}
			n.shlf.put(0)
			sc.step(n, i, Event{Kind: Deleted, OK: true})
			return true
		}, "p%d deletes %d", i, w.shlf.pair)
	}
	return urgent
}

func (s *shelf) put(p Pair) {
	if s.pair != 0 && s.pair != p {
		s.before = s.pair
	}
	s.pair = p
}

// crash ends the process of session i, with all its sessions.
func (sc *scope) crash(n *world, i int) {
	proc := sc.processes[i]
	for j := range sc.sessions {
		if sc.processes[j] != proc {
			continue
		}
		inc := n.c[j].inc + 1
		n.c[j] = client{st: State{Locks: sc.kind != plainStore, Expires: sc.kind == redisStore}, inc: inc}
		if n.shlf.holder == uint8(j+1) {
			if sc.kind == fileStore {
				n.shlf.holder, n.shlf.mark = 0, true
			} else {
				n.shlf.holder = 255
			}
		}
	}
	n.mem[proc], n.had[proc] = [maxPairs + 1]fateOf{}, 0
}

// messages are the requests and responses on their way.
func (sc *scope) messages(w *world, try trial) (urgent bool) {
	for k := range w.msgs {
		m := &w.msgs[k]
		if m.from == 0 {
			continue
		}
		i := int(m.from - 1)
		there := w.c[i].inc == m.inc && !m.orphan
		if !m.done {
			urgent = urgent || m.age >= workUnits
			try(func(n *world) bool { sc.commit(n, k); return true }, "the server takes %d of p%d", m.pair, i)
			if w.b.lost > 0 {
				try(func(n *world) bool {
					n.b.lost--
					n.msgs[k] = msg{}
					if there {
						sc.lost(n, i, k, *m)
					}
					return true
				}, "the request with %d is lost", m.pair)
				if there && !w.c[i].frozen {
					try(func(n *world) bool { n.b.lost--; n.msgs[k].orphan = true; sc.lost(n, i, k, *m); return true }, "p%d loses its connection with %d at work", i, m.pair)
				}
			}
			continue
		}
		if w.c[i].frozen && there {
			continue
		}
		urgent = true
		try(func(n *world) bool {
			n.msgs[k] = msg{}
			switch {
			case !there:
			case m.lost:
				sc.lost(n, i, k, *m)
			case m.gave == 0:
				sc.step(n, i, Event{Kind: Rejected, Of: m.pair})
			default:
				sc.step(n, i, Event{Kind: Answered, Of: m.pair, Pair: m.gave})
			}
			return true
		}, "p%d hears that %d gave %d", i, m.pair, m.gave)
		if w.b.lost > 0 && there && !m.lost {
			try(func(n *world) bool { n.b.lost--; n.msgs[k] = msg{}; sc.lost(n, i, k, *m); return true }, "the response to %d is lost", m.pair)
		}
	}
	return urgent
}

// lost tells a client that its presentation has no response. A frozen one hears of it when it goes
// on.
func (sc *scope) lost(n *world, i, k int, m msg) {
	if n.c[i].frozen {
		m.done, m.lost = true, true
		n.msgs[k] = m
		return
	}
	sc.step(n, i, Event{Kind: Lost, Of: m.pair, D: time.Duration(m.age) * unit})
}

// commit is the server's work on a presentation.
func (sc *scope) commit(n *world, k int) {
	m := &n.msgs[k]
	m.done = true
	s := n.srv.of[m.pair]
	switch {
	case !n.srv.alive[s]:
	case n.srv.current[s] == m.pair && n.srv.pairs < maxPairs:
		n.srv.pairs++
		m.gave = Pair(n.srv.pairs)
		n.srv.of[m.gave], n.srv.current[s] = s, m.gave
	case n.srv.current[s] == m.pair:
	default: // a replay
		// exceptions E6, E7
		unaware := n.unaware || n.b.back < sc.budget.back && !sc.newer(n, m)
		// exception E3
		late := sc.kind == redisStore && n.srv.expired[m.pair] && n.shlf.pair != n.srv.current[s] && sc.excused
		// exception E9: sent by a process that was started again since
		before := sc.kind == plainStore && m.inc != n.c[m.from-1].inc
		if who := sc.holds(n, n.srv.current[s]); who != "" && !late && !unaware && !before {
			n.bad = fmt.Sprintf("a replay of %d destroyed a session that %s still had (%d)", m.pair, who, n.srv.current[s])
		}
		if sc.newer(n, m) && !n.unaware && !before {
			n.bad = fmt.Sprintf("%d was presented by a process that had the newer pair", m.pair)
		}
		n.srv.alive[s] = false
	}
}

// newer reports whether the sender's process had held a pair that came after the one it presented.
func (sc *scope) newer(n *world, m *msg) bool {
	had := n.had[sc.processes[m.from-1]]
	for p := m.pair + 1; p <= Pair(n.srv.pairs); p++ {
		if n.srv.of[p] == n.srv.of[m.pair] && had&(1<<p) != 0 {
			return true
		}
	}
	return false
}

// holds says who has a pair, or is about to.
func (sc *scope) holds(n *world, p Pair) string {
	for i := range sc.sessions {
		// closed: exception E5
		if st := &n.c[i].st; !st.Closing && (st.Held == p || st.Unsaved == p) {
			return fmt.Sprintf("p%d", i)
		}
	}
	if n.shlf.pair == p {
		return "the store"
	}
	for k := range n.msgs {
		if m := &n.msgs[k]; m.from != 0 && m.done && m.gave == p && !m.orphan {
			i := m.from - 1
			if st := &n.c[i].st; n.c[i].inc == m.inc && st.Sent == m.pair && st.Flying {
				return "a response on its way"
			}
		}
	}
	return ""
}

// world is what happens by itself.
func (sc *scope) world(w *world, try trial) {
	for p := Pair(1); p <= Pair(w.srv.pairs); p++ {
		if w.b.expire > 0 && !w.srv.expired[p] && w.srv.live(p) {
			try(func(n *world) bool { n.b.expire--; n.srv.expired[p] = true; return true }, "the access token of %d expires", p)
		}
	}
	if w.b.back > 0 && w.shlf.before != 0 && w.shlf.before != w.shlf.pair && w.shlf.pair != 0 {
		try(func(n *world) bool { n.b.back--; n.shlf.pair = n.shlf.before; return true }, "the store goes back to %d", w.shlf.before)
	}
}

func (sc *scope) tick(n *world) bool {
	for i := range sc.sessions {
		c := &n.c[i]
		if c.by > 0 && c.by < 255 {
			c.by--
		}
		if c.frozen {
			c.late = min(c.late+1, 12)
			continue
		}
	}
	for k := range n.msgs {
		if m := &n.msgs[k]; m.from != 0 && !m.done {
			m.age++
		}
	}
	for p := range maxSess {
		for k := range n.mem[p] {
			if f := &n.mem[p][k]; f.left > 0 {
				f.left--
				if f.left == 0 && f.kind == Undecided {
					f.kind = Lapsed
				}
			}
		}
	}
	if n.shlf.holder != 0 || n.shlf.mark {
		n.shlf.age = min(n.shlf.age+1, 6)
	}
	if sc.kind == redisStore && n.shlf.holder != 0 && n.shlf.age >= 5 {
		n.shlf.holder, n.shlf.mark = 0, true
	}
	for i := range sc.sessions {
		if !n.c[i].frozen {
			sc.pass(n, i, 1)
		}
	}
	return true
}

// check looks at what holds in every world.
func (sc *scope) check(before, n *world) {
	for i := range sc.sessions {
		st := &n.c[i].st
		if sc.single && n.c[i].set != 0 && st.Held != 0 && n.srv.ownerOf(st.Held) != n.c[i].set {
			n.bad = "a sign-in has turned back into another's"
		}
		was := &before.c[i]
		if was.outing && !n.c[i].outing && st.Goal == Rest && st.Held == 0 && was.st.Goal == SignOut && !was.st.Local && was.inc == n.c[i].inc {
			if n.srv.alive[n.srv.of[was.st.Out]] && was.st.Out != 0 {
				n.bad = "a sign-out was told to have worked, and the session lives on"
			}
			if p := n.shlf.pair; sc.kind != plainStore && n.srv.live(p) && n.srv.ownerOf(p) == n.srv.ownerOf(was.st.Out) && was.st.Out != 0 {
				n.bad = "a sign-out was told to have worked, and the store has the user's session"
			}
		}
	}
}

// done reports whether nobody waits any more, and each session works or is over.
func (sc *scope) done(w *world) bool {
	for i := range sc.sessions {
		c := &w.c[i]
		st := &c.st
		if c.frozen || c.call.on || st.Goal != Rest || st.Op != None || st.Flying || c.outing {
			return false
		}
		if st.Held != 0 && st.Why != Over && st.Why != Taken && st.Unsaved != 0 {
			return false
		}
	}
	return true
}

func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store %d lock %d/%d %v;", w.shlf.pair, w.shlf.holder, w.shlf.age, w.shlf.mark)
	for i := range w.c {
		st := &w.c[i].st
		fmt.Fprintf(&b, " p%d{held %d goal %d op %d sent %d/%v unsaved %d why %d lock %v %v}", i, st.Held, st.Goal, st.Op, st.Sent, st.Flying, st.Unsaved, st.Why, st.Locked, st.Lock)
	}
	return b.String()
}
