package session

import (
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// encode writes a world in a form that is equal exactly for equal worlds.
func (w *world) encode(b []byte, sc *scope) []byte {
	dur := func(d time.Duration) { b = append(b, byte((d+unit-1)/unit)) }
	pairs := func(ps ...Pair) {
		for _, p := range ps {
			b = append(b, byte(p))
		}
	}
	bits := func(bs ...bool) {
		var v byte
		for i, on := range bs {
			if on {
				v |= 1 << (i % 8)
			}
			if i%8 == 7 || i == len(bs)-1 {
				b = append(b, v)
				v = 0
			}
		}
	}
	for i := range sc.sessions {
		c := &w.c[i]
		s := &c.st
		pairs(s.Held, s.Stored, s.Unsaved, s.Sent, s.Past, s.Out, s.Ending, s.AlsoOver, c.saving, c.sending, c.call.sent)
		b = append(b, byte(s.SignIn), byte(s.Goal), byte(s.Op), byte(s.Why), byte(s.Era), byte(s.OutOf), s.Late, c.inc, c.by, c.late, c.set,
			c.call.owner, byte(c.call.signIn), c.call.sends, byte(c.call.era))
		dur(s.Pause)
		if s.Locked {
			dur(s.Lock)
		} else {
			b = append(b, 0)
		}
		dur(s.Retry)
		dur(s.Left)
		dur(s.PastLeft)
		dur(s.Hold)
		bits(s.Loaded, s.Refused, s.Early, s.Then, s.Peeking, s.Vain, s.Looked, s.Locked, s.Known, s.Setting, s.Mine, s.Flying, s.Forced,
			s.PastFlying, s.Dirty, s.Suspect, s.Blind, s.Local, s.Ended, c.cut, c.frozen, c.outing, c.call.on, c.call.waiting, s.Backoff > 0, s.Closing)
	}
	for p := range sc.sessions {
		for k := Pair(1); k <= Pair(w.srv.pairs); k++ {
			f := w.mem[p][k]
			b = append(b, byte(f.kind), byte(f.heir), f.left)
		}
	}
	for s := range w.srv.n {
		b = append(b, byte(w.srv.current[s]), w.srv.owner[s])
	}
	b = append(b, w.srv.of[1:w.srv.pairs+1]...)
	bits(w.srv.alive[:]...)
	bits(w.srv.expired[1 : w.srv.pairs+1]...)
	pairs(w.shlf.pair, w.shlf.before)
	b = append(b, w.shlf.holder, w.shlf.age)
	bits(w.shlf.mark, w.unaware)
	for _, had := range w.had[:sc.sessions] {
		b = append(b, byte(had), byte(had>>8))
	}
	for k := range w.msgs {
		if m := &w.msgs[k]; m.from != 0 {
			b = append(b, byte(m.pair), m.from, m.inc, m.age, byte(m.gave))
			bits(m.done, m.orphan, m.lost)
		} else {
			b = append(b, 0)
		}
	}
	q := w.b
	for _, n := range []int8{q.calls, q.early, q.expire, q.lost, q.unsent, q.crash, q.freeze, q.saves, q.reads, q.signOuts, q.signIns, q.others, q.back, q.old, q.ends, q.closes} {
		b = append(b, byte(n))
	}
	return b
}

// table is a set of 64-bit hashes, each with its number.
type table struct {
	keys []uint64
	nums []uint32
	n    int
}

func newTable() *table { return &table{keys: make([]uint64, 1<<16), nums: make([]uint32, 1<<16)} }

func (t *table) add(h uint64) (num uint32, fresh bool) {
	if h == 0 {
		h = 1
	}
	if t.n*4 > len(t.keys)*3 {
		old, nums := t.keys, t.nums
		t.keys, t.nums = make([]uint64, 2*len(old)), make([]uint32, 2*len(old))
		for i, k := range old {
			if k != 0 {
				t.put(k, nums[i])
			}
		}
	}
	mask := uint64(len(t.keys) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch t.keys[i] {
		case h:
			return t.nums[i], false
		case 0:
			t.keys[i], t.nums[i] = h, uint32(t.n)
			t.n++
			return uint32(t.n - 1), true
		}
	}
}

func (t *table) put(h uint64, num uint32) {
	mask := uint64(len(t.keys) - 1)
	i := h & mask
	for t.keys[i] != 0 {
		i = (i + 1) & mask
	}
	t.keys[i], t.nums[i] = h, num
}

// result is what a search found.
type result struct {
	states, edges int
	took          time.Duration
	bad           string
	trace         []string
	stuck         int // states from which no end can be reached
}

// search explores a scope breadth-first: the first state in which a property does not hold is a
// shortest counterexample.
func search(sc *scope, live bool, limit int) result {
	began := time.Now()
	seed := maphash.MakeSeed()
	buf := make([]byte, 0, 512)
	hash := func(w *world) uint64 {
		buf = w.encode(buf[:0], sc)
		return maphash.Bytes(seed, buf)
	}
	seen := newTable()
	var parents []uint32
	var labels []uint16
	var edges []uint64
	var ends []uint32
	first := sc.start()
	seen.add(hash(&first))
	parents, labels = append(parents, 0), append(labels, 0)
	level, numbers := []world{first}, []uint32{0}
	res := result{}
	for len(level) > 0 && res.bad == "" && seen.n < limit {
		var next []world
		var nextNumbers []uint32
		for at := range level {
			if res.bad != "" {
				break
			}
			from := numbers[at]
			var label uint16
			if live && sc.done(&level[at]) {
				ends = append(ends, from)
			}
			sc.each(&level[at], func(n *world, _ func() string) {
				label++
				res.edges++
				if res.bad != "" {
					return
				}
				num, fresh := seen.add(hash(n))
				if live {
					edges = append(edges, uint64(num)<<32|uint64(from))
				}
				if !fresh {
					return
				}
				parents, labels = append(parents, from), append(labels, label)
				if n.bad != "" {
					res.bad = n.bad
					res.trace = sc.replay(parents, labels, num)
					return
				}
				next, nextNumbers = append(next, *n), append(nextNumbers, num)
			})
		}
		level, numbers = next, nextNumbers
	}
	res.states = seen.n
	if live && res.bad == "" {
		var stuckAt uint32
		res.stuck, stuckAt = unreachable(seen.n, edges, ends)
		if res.stuck > 0 {
			res.trace = sc.replay(parents, labels, stuckAt)
		}
	}
	res.took = time.Since(began)
	return res
}

// replay names the steps to a state.
func (sc *scope) replay(parents []uint32, labels []uint16, to uint32) []string {
	var path []uint16
	for at := to; at != 0; at = parents[at] {
		path = append(path, labels[at])
	}
	w := sc.start()
	var trace []string
	for _, p := range slices.Backward(path) {
		var label uint16
		var taken world
		sc.each(&w, func(n *world, name func() string) {
			if label++; label == p {
				taken = *n
				trace = append(trace, name())
			}
		})
		w = taken
		if os.Getenv("SESSION_MODEL_VERBOSE") != "" {
			trace = append(trace, "      "+w.String())
		}
	}
	return trace
}

// unreachable counts the states from which no end can be reached.
func unreachable(n int, edges []uint64, ends []uint32) (count int, one uint32) {
	start := make([]uint32, n+2)
	for _, e := range edges {
		start[e>>32+1]++
	}
	for i := 1; i <= n; i++ {
		start[i] += start[i-1]
	}
	into := make([]uint32, len(edges))
	fill := append([]uint32(nil), start...)
	for _, e := range edges {
		to := e >> 32
		into[fill[to]] = uint32(e)
		fill[to]++
	}
	good := make([]bool, n)
	queue := append([]uint32(nil), ends...)
	for _, s := range ends {
		good[s] = true
	}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range into[start[s]:start[s+1]] {
			if !good[from] {
				good[from] = true
				queue = append(queue, from)
			}
		}
	}
	for i, ok := range good {
		if !ok {
			if count == 0 {
				one = uint32(i)
			}
			count++
		}
	}
	return count, one
}

func (r result) String() string {
	s := fmt.Sprintf("%d states, %d steps, %v", r.states, r.edges, r.took.Round(time.Millisecond))
	if r.bad != "" || r.stuck > 0 {
		s += fmt.Sprintf("; %s (%d stuck), %d steps:\n  ", r.bad, r.stuck, len(r.trace)) + strings.Join(r.trace, "\n  ")
	}
	return s
}

// The faults of a scope, beside what is in common.
func faults(f func(b *budget)) budget {
	b := budget{calls: 3, expire: 2}
	f(&b)
	return b
}

// scopes are the searches: 'f' is the file with its mark, 'r' the store with an expiring lock, 'p'
// one process and a store without a lock, 't' two clients in one process, '3' three processes on
// the file, 'R' three on the expiring lock. Upper bounds on what goes wrong keep each in hand; one
// search has one kind of trouble, together with a lost message.
func scopes() (list []scope) {
	signOut := func(b *budget) { b.signOuts, b.lost, b.ends = 1, 1, 1 }
	for _, tc := range []struct {
		name   string
		stores string // those after the dash in the long form only
		budget budget
	}{
		{"lost", "pfrt-3", faults(func(b *budget) { b.lost = 2 })},
		{"not sent", "f-rt", faults(func(b *budget) { b.unsent, b.lost = 1, 1 })},
		{"crash", "f-3", faults(func(b *budget) { b.crash, b.lost = 2, 1 })},
		{"crash", "r", faults(func(b *budget) { b.crash, b.lost = 1, 1 })},
		{"crash, unexpired", "-fr", faults(func(b *budget) { b.crash, b.early, b.expire, b.calls = 2, 1, 1, 4 })},
		{"freeze", "fr-tR", faults(func(b *budget) { b.freeze, b.lost, b.calls, b.expire = 1, 1, 2, 1 })},
		{"failing saves", "fr-pt", faults(func(b *budget) { b.saves, b.lost = 2, 1 })},
		{"failing saves and reads", "p-frt", faults(func(b *budget) { b.saves, b.reads, b.lost = 2, 2, 1 })},
		{"failing saves, unexpired", "fr", faults(func(b *budget) { b.saves, b.early, b.expire = 2, 1, 1 })},
		{"failing reads and locks", "f-prt", faults(func(b *budget) { b.reads, b.lost = 2, 1 })},
		{"sign-out", "p-frt", faults(signOut)},
		{"sign-out, logout only", "pf-rt", faults(signOut)},
		{"the same user signs in", "pf-rt", faults(func(b *budget) { b.signIns, b.calls, b.expire, b.lost, b.signOuts = 1, 2, 1, 1, 1 })},
		{"another user signs in", "pft-r3", faults(func(b *budget) { b.others, b.calls, b.expire, b.lost, b.signOuts = 1, 2, 1, 1, 1 })},
		{"another user, failing saves", "p-frt", faults(func(b *budget) { b.others, b.calls, b.expire, b.saves, b.signOuts = 1, 2, 1, 2, 1 })},
		{"another user, freeze", "r", faults(func(b *budget) { b.others, b.calls, b.expire, b.freeze = 1, 2, 1, 1 })},
		{"the store goes back", "pf-rt", faults(func(b *budget) { b.back, b.lost = 1, 1 })},
		{"old tokens are set", "pf-rt", faults(func(b *budget) { b.old, b.lost = 1, 1 })},
		{"another user, old tokens", "p", faults(func(b *budget) { b.others, b.signIns, b.old, b.calls = 1, 1, 1, 2 })},
		{"closed", "fr-pt", faults(func(b *budget) { b.closes, b.lost, b.saves = 1, 1, 1 })},
		{"early", "f-prt", faults(func(b *budget) { b.early, b.lost, b.expire = 1, 1, 1 })},
	} {
		long := false
		for _, letter := range tc.stores {
			if letter == '-' {
				long = true
				continue
			}
			sc := scope{
				long: long,
				name: tc.name + " " + string(letter), sessions: 2, processes: [maxSess]uint8{0, 1, 2}, rules: modelRules(0), budget: tc.budget,
				excused: true, noRevoke: tc.name == "sign-out, logout only",
			}
			switch letter {
			case 'p':
				sc.sessions, sc.single = 1, true
			case 'f':
				sc.kind = fileStore
			case 'r':
				sc.kind = redisStore
			case 't':
				sc.processes = [maxSess]uint8{}
			case '3':
				sc.kind, sc.sessions = fileStore, 3
			case 'R':
				sc.kind, sc.sessions = redisStore, 3
			}
			list = append(list, sc)
		}
	}
	return list
}

// Every interleaving of a few processes, a server, a store, and what can go wrong: no refresh token
// is presented while it is at work, no replay destroys a session that anybody has, no call is
// served in another's name, a sign-out without an error has ended the session, it deletes only its
// own, and from every state there is a way to an end.
func TestModel(t *testing.T) {
	long := os.Getenv("AUTHOS_LONG_TESTS") != ""
	total, began := 0, time.Now()
	limit, atLeast := int(40e6), int(1e6)
	small := raceDetector || testing.Short()
	if small {
		limit, atLeast = 2000, 0
	}
	for _, sc := range scopes() {
		if sc.long && !long {
			continue
		}
		r := search(&sc, !small, limit)
		total += r.states
		t.Logf("%-32s %8d states %9d steps %8v", sc.name, r.states, r.edges, r.took.Round(time.Millisecond))
		if r.bad != "" || r.stuck > 0 {
			t.Errorf("%s: %v", sc.name, r)
		}
	}
	t.Logf("%d states in %v", total, time.Since(began).Round(time.Millisecond))
	if total < atLeast {
		t.Errorf("%d states explored, want %d", total, atLeast)
	}
}

// Each mechanism switched off has a counterexample: a run in which a promise is broken, as short as
// there is one.
func TestEachMechanismIsNeeded(t *testing.T) {
	if raceDetector {
		t.Skip("the searches have one goroutine each")
	}
	all := map[string]scope{}
	for _, sc := range scopes() {
		all[sc.name] = sc
	}
	for _, tc := range []struct {
		name  string
		off   Mechanism
		scope string
	}{
		{"lock", Lock, "lost f"},
		{"look under the lock", LookUnderLock, "lost f"},
		{"send within", SendWithin, "freeze r"},
		{"doubt period", DoubtPeriod, "lost p"},
		{"keep the lock in doubt", KeepLock, "lost f"},
		{"lock anew after the doubt", LockAnew, "lost r"},
		{"keep the lock while unsaved", KeepUnsaved, "failing saves f"},
		{"leave the mark", LeaveMark, "failing saves, unexpired r"},
		{"witness", Witness, "failing saves, unexpired r"},
		{"spent memory, two clients", SpentMemory, "lost t"},
		{"spent memory, a store that goes back", SpentMemory, "the store goes back p"},
		{"write back", WriteBack, "the store goes back f"},
		{"principal check", OwnerCheck, "another user signs in p"},
		{"delete only one's own", OwnOnly, "another user signs in f"},
		{"sign-out looks at the store", SignOutLooks, "sign-out, logout only f"},
		{"sign-out knows its doubts", SignOutDoubt, "sign-out, logout only p"},
		{"fence", 0, "another user, freeze r"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc, ok := all[tc.scope]
			if !ok {
				t.Fatalf("no scope %q", tc.scope)
			}
			sc.rules.Off, sc.noFence = tc.off, tc.off == 0
			r := search(&sc, false, 3e6)
			if r.bad == "" {
				t.Fatalf("%s: no counterexample in %d states", tc.scope, r.states)
			}
			t.Logf("%s: %v", tc.scope, r)
		})
	}
}
