// Package replay judges journals of real runs. Each process's steps must be those of the core, with
// what it is told allowed by the world: a store that holds what was written, one holder of its lock
// at a time, a server that takes each refresh token once. The promises of docs/sessions.md must
// hold at every line, with no exceptions but those that are listed there.
package replay

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/authos-go/authos/internal/runlog"
	core "github.com/authos-go/authos/internal/session"
)

// Setup is what a journal does not say of its run.
type Setup struct {
	Expires  bool          // the store's lock ends by itself
	LockLife time.Duration // how long the lock of one that died, or froze, is not given away
	// Slack is by how much two looks at the clock for one thing may differ.
	Slack time.Duration
}

// Check replays a journal, and returns an error at the first line that is not allowed, with the
// lines up to there.
func Check(setup Setup, lines []runlog.Line) error {
	j := &judge{
		Setup: setup, processes: map[string]*process{}, families: map[string]*family{}, number: map[string]int{},
		expiry: map[string]time.Time{}, calls: map[string]string{}, writes: []write{{ended: 0}},
	}
	for i, l := range lines {
		j.line = i + 1
		if err := j.take(l); err != nil {
			return fmt.Errorf("line %d: %w\n%s", j.line, err, Text(lines[max(0, i-60):i+1]))
		}
	}
	return nil
}

type judge struct {
	Setup

	line      int
	processes map[string]*process

	families map[string]*family // by pair
	number   map[string]int     // of each pair, as they were given
	expiry   map[string]time.Time
	calls    map[string]string // whom each began for
	unaware  bool              // a process was given old tokens that it has no memory of: exception E7

	writes []write // of the store, in the order in which they began
	lock   lock
	sent   []*presentation
}

// family is a session at the server.
type family struct {
	owner   string
	over    bool
	current string
}

type process struct {
	name         string
	over, frozen bool
	thawed       time.Time
	sessions     map[int]*session
	fates        map[string]fate
	had          map[string]bool
}

type session struct {
	state  core.State
	names  map[core.Pair]runlog.Pair
	at     time.Time // of its last tick
	ticked bool
	read   int // the line since which the store is read
	peek   int
	write  *write
}

type fate struct {
	kind  core.FateKind
	heir  string
	until time.Time
}

// write is a change of the store, which takes effect at some time while it lasts.
type write struct {
	value        string
	began, ended int // lines; math.MaxInt: it may still take effect
	locked       int // the line at which the lock was got last when it began
}

type lock struct {
	by   *process
	on   *session
	at   time.Time
	line int
	held bool
	left bool // given up without release
}

// presentation is a refresh token on its way.
type presentation struct {
	by               *process
	on               *session
	pair, gave       string
	at, by4          time.Time
	arrived, decided bool
	over             bool // its sender has heard
	unsent           bool
}

func (j *judge) process(name string) *process {
	p := j.processes[name]
	if p == nil {
		p = &process{name: name, sessions: map[int]*session{}, fates: map[string]fate{}, had: map[string]bool{}}
		j.processes[name] = p
	}
	return p
}

func (j *judge) take(l runlog.Line) error {
	p := j.process(l.By)
	switch l.What {
	case runlog.Stepped:
		return j.step(p, l)
	case runlog.Killed:
		p.over = true // from now on, or soon
	case runlog.Froze:
		p.frozen = true
	case runlog.Thawed:
		p.frozen, p.thawed = false, l.At
	case runlog.Locked:
		return j.got(p, nil, l.At, true)
	case runlog.Unlocks:
		j.unlock(p, nil, true)
	case runlog.Puts:
		j.writes = append(j.writes, write{value: l.Pair, began: j.line, ended: math.MaxInt})
	case runlog.Put:
		for i := len(j.writes) - 1; i >= 0; i-- {
			if w := &j.writes[i]; w.value == l.Pair && w.ended == math.MaxInt {
				w.ended = j.line
				break
			}
		}
	default:
		return j.serve(p, l)
	}
	return nil
}

// serve is what the server has done.
func (j *judge) serve(p *process, l runlog.Line) error {
	f := j.families[l.Pair]
	switch l.What {
	case runlog.SignedIn:
		j.number[l.Pair] = len(j.number) + 1
		j.families[l.Pair] = &family{owner: l.Owner, current: l.Pair}
		j.expiry[l.Pair] = l.Until
	case runlog.Got:
		return j.arrive(p, l)
	case runlog.Took:
		if f == nil || f.over || f.current != l.Pair {
			return fmt.Errorf("the server took %s, which is not good", l.Pair)
		}
		f.current = l.Gave
		j.number[l.Gave] = len(j.number) + 1
		j.families[l.Gave] = f
		j.expiry[l.Gave] = l.Until
		for _, m := range j.sent {
			if m.pair == l.Pair && m.by == p && m.arrived && !m.decided {
				m.decided, m.gave = true, l.Gave
			}
		}
	case runlog.Refused:
		return j.refuse(p, f, l)
	case runlog.Ended:
		if f != nil {
			f.over = true
		}
	case runlog.Served, runlog.Denied, runlog.Returned:
		if who, known := j.calls[l.Call]; l.Call != "" && (!known || who != l.Owner) {
			return fmt.Errorf("a call that began for %q was %s for %q", who, l.What, l.Owner)
		}
	}
	return nil
}

// arrive is a refresh token at the server.
func (j *judge) arrive(p *process, l runlog.Line) error {
	var found *presentation
	for _, m := range j.sent {
		switch {
		case m.pair != l.Pair || m.decided:
		case m.arrived && !j.unaware:
			return fmt.Errorf("%s was presented by %s while its first presentation, by %s, was at work", l.Pair, p.name, m.by.name)
		case m.by == p && !m.arrived && !m.unsent:
			found = m
		}
	}
	if found == nil {
		return fmt.Errorf("%s presented %s, which its core did not decide", p.name, l.Pair)
	}
	if l.At.After(found.by4.Add(j.Slack)) && !found.by4.IsZero() && !p.frozen && !p.thawed.After(found.at) {
		return fmt.Errorf("%s presented %s %v after it was to leave", p.name, l.Pair, l.At.Sub(found.by4))
	}
	found.arrived = true
	return nil
}

// refuse is a refresh token that the server does not take. One that was used destroys the session:
// nobody may have it then.
func (j *judge) refuse(p *process, f *family, l runlog.Line) error {
	var by *presentation
	for _, m := range j.sent {
		if m.pair == l.Pair && m.by == p && m.arrived && !m.decided {
			m.decided, by = true, m
		}
	}
	if f == nil || f.over || by == nil {
		return nil
	}
	if f.current == l.Pair {
		return fmt.Errorf("the server refused %s, which is good", l.Pair)
	}
	f.over = true
	for name := range p.had {
		if j.families[name] == f && j.number[name] > j.number[l.Pair] && !j.unaware {
			return fmt.Errorf("%s, which had %s, has presented %s", p.name, name, l.Pair)
		}
	}
	expiry := j.expiry[l.Pair]
	// exceptions E3 and E6
	late := j.Expires && !expiry.IsZero() && !l.At.Before(expiry) && !j.certain(f.current)
	back := j.older(f.current)
	if who := j.holder(f.current); who != "" && !late && !back && !j.unaware {
		return fmt.Errorf("%s has presented %s again, which destroyed a session that %s still had (%s)", p.name, l.Pair, who, f.current)
	}
	return nil
}

// holder says who has a pair, or is about to.
func (j *judge) holder(pair string) string {
	for _, p := range j.processes {
		if p.over {
			continue
		}
		for _, s := range p.sessions { // closed: exception E5
			if !s.state.Closing && (s.names[s.state.Held].Name == pair || s.names[s.state.Unsaved].Name == pair) {
				return p.name
			}
		}
	}
	if j.certain(pair) {
		return "the store"
	}
	for _, m := range j.sent {
		if !m.over && !m.by.over && m.decided && m.gave == pair && m.on.state.Flying && m.on.names[m.on.state.Sent].Name == m.pair {
			return "a response on its way to " + m.by.name
		}
	}
	return ""
}

// certain reports whether the store certainly holds a pair: all writes that may have been the last
// one wrote it.
func (j *judge) certain(pair string) bool {
	for _, w := range j.last(j.line, j.line) {
		if w.value != pair {
			return false
		}
	}
	return true
}

// older reports whether the store has gone back to before a pair.
func (j *judge) older(pair string) bool {
	was := false
	for _, w := range j.writes {
		if w.value == pair {
			was = true
		} else if was && w.value != "" && j.families[w.value] == j.families[pair] && j.number[w.value] < j.number[pair] {
			return true
		}
	}
	return false
}

// last are the writes that one who reads between two lines may see.
func (j *judge) last(from, to int) (list []write) {
	sure := 0 // the latest beginning of a write that had ended before
	for _, w := range j.writes {
		if w.ended < from {
			sure = max(sure, w.began)
		}
	}
	for _, w := range j.writes {
		if w.began <= to && w.ended >= sure {
			list = append(list, w)
		}
	}
	return list
}

func (j *judge) got(p *process, s *session, at time.Time, clean bool) error {
	was := j.lock
	alive := was.held && !was.by.over
	lost := j.Expires && alive && (was.by.frozen || was.by.thawed.After(was.at) || at.Sub(was.at) > j.LockLife)
	switch {
	case alive && was.by == p && was.on == s:
		return fmt.Errorf("%s got the lock twice", p.name)
	case alive && !lost:
		return fmt.Errorf("%s got the lock while %s held it", p.name, was.by.name)
	case was.left || was.held && was.by.over:
		if clean && s != nil {
			return fmt.Errorf("%s got the lock as if it had been released, but %s has left it in doubt", p.name, was.by.name)
		}
		if early := was.at.Add(j.LockLife - min(j.Slack, j.LockLife/2)).Sub(at); early > 0 {
			return fmt.Errorf("%s got the lock that %s has left in doubt %v too early", p.name, was.by.name, early)
		}
	}
	j.lock = lock{by: p, on: s, at: at, line: j.line, held: true}
	return nil
}

func (j *judge) unlock(p *process, s *session, clean bool) {
	if j.lock.held && j.lock.by == p && j.lock.on == s {
		j.lock.held, j.lock.left = false, !clean
	}
}

// step replays one step of a session.
func (j *judge) step(p *process, l runlog.Line) error {
	at := l.Step
	s := p.sessions[at.Session]
	if at.Born {
		p.sessions[at.Session] = &session{state: at.State, names: at.Pairs, at: l.At}
		return nil
	}
	if s == nil {
		return fmt.Errorf("session %d of %s was not begun", at.Session, p.name)
	}
	if at.Call != "" {
		if who, known := j.calls[at.Call]; known {
			return fmt.Errorf("a call that began for %q began again", who)
		}
		j.calls[at.Call] = ""
		if f := j.families[s.names[s.state.Held].Name]; f != nil {
			j.calls[at.Call] = f.owner
		}
		return nil
	}
	maps.Copy(s.names, at.Pairs)
	if err := j.told(p, s, l); err != nil {
		return err
	}
	want, actions := core.Default.Step(s.state, at.Event, facts{j, p, s, l})
	slack := j.slack(p, l.At)
	if diff := differ(want, at.State, slack); diff != "" {
		return fmt.Errorf("the state of %s is not what the core makes of it: %s", p.name, diff)
	}
	list := actions.All()
	if len(list) != len(at.Actions) {
		return fmt.Errorf("%s does %d things, and the core says %d: %v", p.name, len(at.Actions), len(list), list)
	}
	before := s.state
	s.state = at.State
	for i, a := range list {
		if diff := differ(a, at.Actions[i], slack); diff != "" {
			return fmt.Errorf("%s does what the core does not say: %s", p.name, diff)
		}
		if err := j.carry(p, s, l, before, a); err != nil {
			return err
		}
	}
	for _, h := range []core.Pair{s.state.Held, s.state.Unsaved} {
		if h != 0 {
			p.had[s.names[h].Name] = true
		}
	}
	return nil
}

// slack is larger for a process that was frozen, perhaps between two looks at the clock.
func (j *judge) slack(p *process, at time.Time) time.Duration {
	if p.frozen || !p.thawed.IsZero() && at.Sub(p.thawed) < time.Minute {
		return j.Slack * 60
	}
	return j.Slack
}

// told checks whether the world allows what a session is told.
func (j *judge) told(p *process, s *session, l runlog.Line) error {
	e := l.Step.Event
	name, of := s.names[e.Pair].Name, s.names[e.Of].Name
	if e.Kind == core.Tick && e.D > 0 || e.Kind != core.Tick && !s.ticked {
		if passed := l.At.Sub(s.at); (e.D - passed).Abs() > j.slack(p, l.At) {
			return fmt.Errorf("%s is told that %v have passed, and it was %v", p.name, e.D, passed)
		}
	}
	s.ticked = e.Kind == core.Tick
	if s.ticked {
		s.at = l.At
	}
	switch e.Kind {
	case core.Read:
		return j.reads(p, s, e, name)
	case core.LockGot:
		return j.got(p, s, l.At, !e.OK)
	case core.Saved:
		return j.saved(p, s, e.OK, name)
	case core.Deleted:
		return j.saved(p, s, e.OK, "")
	case core.Unsent, core.Lost, core.Answered, core.Rejected:
		return j.heard(p, s, e, of, name)
	case core.Ended:
		if f := j.families[name]; e.OK && e.N == 0 && f != nil && !f.over {
			return fmt.Errorf("%s is told that the server has ended %s, and it has not", p.name, name)
		}
	case core.Set:
		if f := j.families[name]; f != nil && f.current != name && !p.had[f.current] {
			j.unaware = true
		}
	}
	return nil
}

func (j *judge) reads(p *process, s *session, e core.Event, name string) error {
	from := s.read
	if s.peek > 0 {
		from = s.peek
	}
	s.read, s.peek = 0, 0
	if from == 0 {
		return fmt.Errorf("%s has not looked at the store", p.name)
	}
	if !e.OK {
		return nil
	}
	for _, w := range j.last(from, j.line) {
		if w.value == name {
			return nil
		}
	}
	return fmt.Errorf("%s found %q in the store, which did not hold it", p.name, name)
}

func (j *judge) saved(p *process, s *session, ok bool, name string) error {
	w := s.write
	s.write = nil
	if w == nil || w.value != name {
		return fmt.Errorf("%s has not saved %q", p.name, name)
	}
	for i := range j.writes {
		if !ok || j.writes[i].began != w.began {
			continue
		}
		if j.Expires && j.lock.by != p && w.locked == j.lock.line && j.lock.line < w.began {
			return fmt.Errorf("%s saved %q under the lock that %s had got", p.name, name, j.lock.by.name)
		}
		j.writes[i].ended = j.line
	}
	return nil
}

// heard is the end of a presentation for its sender.
func (j *judge) heard(p *process, s *session, e core.Event, of, name string) error {
	if e.Of == 0 {
		return nil // held back before it was decided
	}
	for _, m := range j.sent {
		if m.by != p || m.on != s || m.pair != of || m.over {
			continue
		}
		m.over = true
		switch {
		case e.Kind == core.Unsent && m.arrived:
			return fmt.Errorf("%s says that %s did not arrive, and it has", p.name, of)
		case e.Kind == core.Answered && m.gave != name:
			return fmt.Errorf("%s is told that %s gave %q, and it gave %q", p.name, of, name, m.gave)
		case e.Kind == core.Rejected && (!m.decided || m.gave != ""):
			return fmt.Errorf("%s is told that %s was refused, and it was not", p.name, of)
		}
		m.unsent = e.Kind == core.Unsent
		return nil
	}
	return fmt.Errorf("%s hears of %s, which it did not present", p.name, of)
}

// carry is what an action does to the world.
func (j *judge) carry(p *process, s *session, l runlog.Line, before core.State, a core.Action) error {
	name := s.names[a.Pair].Name
	switch a.Verb {
	case core.DoRead:
		if s.state.Peeking && !before.Peeking {
			s.peek = j.line
		} else {
			s.read = j.line
		}
	case core.DoUnlock:
		j.unlock(p, s, a.Clean)
	case core.DoSave, core.DoDelete:
		s.write = &write{value: name, began: j.line, ended: math.MaxInt, locked: j.lock.line}
		j.writes = append(j.writes, *s.write)
	case core.DoPresent:
		m := &presentation{by: p, on: s, pair: name, at: l.At}
		if a.D > 0 {
			m.by4 = l.At.Add(a.D)
		}
		j.sent = append(j.sent, m)
	case core.DoNote:
		j.note(p, s, l, a)
	case core.DoFinishOut:
		out := s.names[before.Out].Name
		f := j.families[out]
		if a.Reason == core.OK && before.Goal == core.SignOut && !before.Local && f != nil && !f.over {
			return fmt.Errorf("%s has signed out, and the session of %s lives on", p.name, out)
		}
	}
	return nil
}

func (j *judge) note(p *process, s *session, l runlog.Line, a core.Action) {
	pair, known := s.names[a.Pair]
	heir := s.names[a.Heir].Name
	if !known {
		return
	}
	if a.Fate == core.Fresh || a.Fate == core.Superseded && heir == pair.Name {
		delete(p.fates, pair.Name)
		return
	}
	p.fates[pair.Name] = fate{a.Fate, heir, l.At.Add(a.D)}
}

// facts are the core's questions, answered from what the process has noted.
type facts struct {
	j *judge
	p *process
	s *session
	l runlog.Line
}

func (f facts) Fate(h core.Pair) core.Fate {
	known, ok := f.p.fates[f.s.names[h].Name]
	switch {
	case !ok:
		return core.Fate{}
	case known.kind == core.InFlight || known.kind == core.Undecided:
		left := known.until.Sub(f.l.At)
		if left <= 0 && known.kind == core.Undecided {
			return core.Fate{Kind: core.Lapsed}
		}
		return core.Fate{Kind: known.kind, Left: max(left, 0)}
	case known.kind == core.Superseded:
		return core.Fate{Kind: known.kind, Heir: f.heir(known.heir)}
	}
	return core.Fate{Kind: known.kind}
}

// heir is what is held in place of a pair, by any session of the process.
func (f facts) heir(name string) core.Pair {
	for range len(f.p.fates) + 1 {
		next, ok := f.p.fates[name]
		if !ok || next.kind != core.Superseded || next.heir == "" {
			break
		}
		name = next.heir
	}
	if name == "" {
		return 0
	}
	for _, s := range f.p.sessions {
		if s.names[s.state.Held].Name != name && s.names[s.state.Unsaved].Name != name {
			continue
		}
		var own core.Pair
		for handle, pair := range f.l.Step.Pairs {
			if pair.Name == name {
				own = max(own, handle)
			}
		}
		return own
	}
	return 0
}

func (f facts) SameOwner(a, b core.Pair) bool {
	p, ok := f.s.names[a]
	q, also := f.s.names[b]
	return ok && also && p.Owner == q.Owner
}

func (f facts) Older(a, b core.Pair) bool {
	p, q := f.s.names[a], f.s.names[b]
	return f.SameOwner(a, b) && p.Owner != "" && p.Issued != 0 && p.Issued < q.Issued
}

func (f facts) Renewable(p core.Pair) bool { return f.s.names[p].Renewable }

// differ names a field in which two values differ. Durations may, a little: the clock is looked at
// again for the journal.
func differ(want, got any, slack time.Duration) string {
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	for field, value := range w.Fields() {
		is := g.FieldByIndex(field.Index)
		d, ok := reflect.TypeAssert[time.Duration](value)
		if ok && (d-time.Duration(is.Int())).Abs() <= slack {
			continue
		}
		if !value.Equal(is) {
			return fmt.Sprintf("%s is %v, want %v", field.Name, is, value)
		}
	}
	return ""
}

// Text writes lines for people.
func Text(lines []runlog.Line) string {
	var b strings.Builder
	for _, l := range lines {
		if s := l.Step; s != nil && s.Event.Kind == core.Tick && len(s.Actions) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s %s: ", l.At.Format("15:04:05.000"), l.By)
		if l.Step != nil {
			b.WriteString(stepText(l.Step))
		} else {
			fmt.Fprintf(&b, "%s %s %s %s %s", l.What, l.Pair, l.Gave, l.Owner, l.Call)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var (
	kinds = []string{
		"need", "load", "look", "denied", "accepted", "set", "leave", "close", "wake", "tick", "read", "lock got", "lock failed",
		"saved", "deleted", "unsent", "lost", "answered", "rejected", "ended",
	}
	verbs = []string{
		"", "read", "cancel the read", "lock", "cancel the lock", "unlock", "save", "delete", "present", "cancel", "end", "end quietly",
		"note", "finish", "finish set", "finish sign-out",
	}
)

func stepText(s *runlog.Step) string {
	if s.Born {
		return fmt.Sprintf("session %d begins", s.Session)
	}
	if s.Call != "" {
		return fmt.Sprintf("session %d: call %s begins", s.Session, s.Call)
	}
	e := s.Event
	text := fmt.Sprintf("session %d: %s %s", s.Session, kinds[e.Kind], s.Pairs[e.Pair].Name)
	if e.Of != 0 {
		text += " of " + s.Pairs[e.Of].Name
	}
	if e.OK {
		text += " ok"
	}
	var does []string
	for _, a := range s.Actions {
		does = append(does, strings.TrimSpace(verbs[a.Verb]+" "+s.Pairs[a.Pair].Name))
	}
	if len(does) > 0 {
		text += ": " + strings.Join(does, ", ")
	}
	return text
}
