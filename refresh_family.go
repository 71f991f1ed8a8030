package authos

import (
	"container/list"
	"crypto/sha256"
	"reflect"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/authos-go/authos/internal/runlog"
	core "github.com/authos-go/authos/internal/session"
)

// maxFates bounds the memory of refresh tokens that were presented or left behind; the oldest are
// forgotten first.
const maxFates = 1 << 16

// sessions are those of a family. One session is one sign-in, whatever number of clients speak for
// it: presenting its refresh token from two places would destroy it. Sessions are held weakly, so
// that clients that are dropped are collected. What was presented or left behind is held strongly:
// it must not be presented again, whoever brings it.
type sessions struct {
	// mu orders everything that changes a session, so that the decision to present a refresh token
	// and the memory of it are one step. It is never held during I/O, and taken before a session's.
	mu      sync.Mutex
	handles core.Pair // the last that was given to a pair
	byStore map[TokenStore]weak.Pointer[session]
	byToken map[tokenHash]weak.Pointer[session]
	sweepAt int // the size of the maps at which those of collected sessions are dropped

	fates map[tokenHash]*list.Element
	order list.List // of fates, the one that was noted last at the end

	active map[*session]struct{} // those with something under way, which must not be collected
	idle   chan struct{}         // closed when active becomes empty
	code   running               // the program's, which sessions have called

	watch func(*runlog.Step) // a test's; nil in programs
	told  int                // sessions that it has been told of
}

// tokenHash names a refresh token, or where there is none the access token.
type tokenHash [16]byte

func hashOf(t Tokens) tokenHash {
	text := t.RefreshToken
	if text == "" {
		text = "\x00" + t.AccessToken
	}
	sum := sha256.Sum256([]byte(text))
	return tokenHash(sum[:16])
}

// fate is what is remembered of a refresh token.
type fate struct {
	of    tokenHash
	kind  core.FateKind
	heir  tokenHash // Superseded: by what
	until time.Time // InFlight, Undecided: when the server has given up
}

func newSessions() *sessions {
	return &sessions{
		byStore: map[TokenStore]weak.Pointer[session]{}, byToken: map[tokenHash]weak.Pointer[session]{},
		fates: map[tokenHash]*list.Element{}, active: map[*session]struct{}{}, sweepAt: 64, watch: runlog.Watcher(),
	}
}

// find gives the session that uses the store, or that holds what the tokens are or have become.
func (r *sessions) find(cfg *config) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cfg.store != nil {
		if !canCompare(cfg.store) {
			return nil
		}
		s := r.byStore[cfg.store].Value()
		if s == nil || cfg.tokens.isZero() {
			return s
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.state.Loaded && s.held.isZero():
			return nil // its store was empty: a session of its own begins with these
		case s.seed.isZero():
			s.seed = cfg.tokens
		}
		return s
	}
	return r.byToken[r.last(hashOf(cfg.tokens))].Value()
}

// canCompare reports whether a store can be told from others: one that is a struct with a slice
// cannot.
func canCompare(s TokenStore) bool { return reflect.ValueOf(s).Comparable() }

// last follows what superseded a token to what was not superseded.
func (r *sessions) last(h tokenHash) tokenHash {
	for range len(r.fates) + 1 {
		f := r.known(h)
		if f.kind != core.Superseded || f.heir == (tokenHash{}) {
			return h
		}
		h = f.heir
	}
	return h
}

// remember notes a token's fate. r.mu is held.
func (r *sessions) remember(h tokenHash, f fate) {
	if el := r.fates[h]; el != nil {
		r.order.Remove(el)
		delete(r.fates, h)
	}
	if f.kind == core.Fresh || f.kind == core.Superseded && f.heir == h {
		return // a server that does not rotate: the token stays what it was
	}
	f.of = h
	r.fates[h] = r.order.PushBack(f)
	if len(r.fates) > maxFates {
		oldest := r.order.Front()
		delete(r.fates, oldest.Value.(fate).of) //nolint:forcetypeassert // the list holds nothing else
		r.order.Remove(oldest)
	}
}

// known gives what is remembered of a token; fresh where nothing is. r.mu is held.
func (r *sessions) known(h tokenHash) fate {
	if el := r.fates[h]; el != nil {
		return el.Value.(fate) //nolint:forcetypeassert // the list holds nothing else
	}
	return fate{}
}

// fateOf is what the core is told. r.mu is held.
func (r *sessions) fateOf(p *pair) core.Fate {
	f := r.known(p.hash)
	switch f.kind {
	case core.InFlight, core.Undecided:
		if left := time.Until(f.until); left > 0 || f.kind == core.InFlight {
			return core.Fate{Kind: f.kind, Left: max(left, 0)}
		}
		return core.Fate{Kind: core.Lapsed}
	default:
		return core.Fate{Kind: f.kind}
	}
}

// heir gives what is held in place of a superseded pair, nil when nobody has it any more. r.mu is
// held.
func (r *sessions) heir(p *pair) *pair {
	last := r.last(p.hash)
	if last == p.hash {
		return nil
	}
	s := r.byToken[last].Value()
	if s == nil {
		return nil
	}
	for _, own := range s.pairs {
		if own.hash == last && (own == s.pairs[s.state.Held] || own == s.pairs[s.state.Unsaved]) {
			return own
		}
	}
	return nil
}

// tell shows a step to the test that watches. Both locks are held.
func (r *sessions) tell(s *session, e core.Event, actions []core.Action) {
	if r.watch == nil {
		return
	}
	l := &runlog.Step{Event: e, Actions: slices.Clone(actions), State: s.state, Pairs: map[core.Pair]runlog.Pair{}}
	if s.number == 0 {
		r.told++
		s.number, l.Born = r.told, true
	}
	l.Session = s.number
	for handle, p := range s.pairs {
		l.Pairs[handle] = runlog.Pair{
			Name: runlog.Name(p.RefreshToken), Owner: p.owner, Issued: p.issued, Renewable: p.RefreshToken != "",
		}
	}
	r.watch(l)
}

// enter makes a session known by its store.
func (r *sessions) enter(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if store := s.store.TokenStore; !s.private && canCompare(store) {
		r.byStore[store] = weak.Make(s)
	}
	r.sweep()
}

// hold makes a session known by the pairs that it holds. r.mu is held.
func (r *sessions) hold(s *session, pairs ...*pair) {
	for _, p := range pairs {
		if p != nil && !p.isZero() {
			r.byToken[p.hash] = weak.Make(s)
		}
	}
	r.sweep()
}

func (r *sessions) sweep() {
	if len(r.byToken)+len(r.byStore) < r.sweepAt {
		return
	}
	for h, p := range r.byToken {
		s := p.Value()
		if s == nil || s.pairs[s.state.Held] == nil || s.pairs[s.state.Held].hash != h && s.state.Unsaved == 0 {
			delete(r.byToken, h)
		}
	}
	for store, p := range r.byStore {
		if p.Value() == nil {
			delete(r.byStore, store)
		}
	}
	r.sweepAt = max(64, 2*(len(r.byToken)+len(r.byStore)))
}

// waiting are the sessions that wait for what becomes of a token that another one presents. r.mu is
// held.
func (r *sessions) waiting(h tokenHash, but *session) (list []*session) {
	for s := range r.active {
		if held := s.pairs[s.state.Held]; s != but && s.state.Pause > 0 && held != nil && held.hash == h {
			list = append(list, s)
		}
	}
	return list
}

// track keeps count of the sessions with something under way. r.mu is held.
func (r *sessions) track(s *session) {
	if s.busy() {
		r.active[s] = struct{}{}
		return
	}
	delete(r.active, s)
	if len(r.active) == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// end closes all sessions: what is in flight may arrive, and be saved, until cut is closed. It
// reports whether it did.
func (r *sessions) end(cut <-chan struct{}) bool {
	if r.settle(core.Event{Kind: core.Close}, cut) {
		return true
	}
	giveUp := make(chan struct{})
	timer := time.AfterFunc(2*returnGrace, func() { close(giveUp) })
	defer timer.Stop()
	r.settle(core.Event{Kind: core.Close, OK: true}, giveUp)
	return false
}

// settle tells all that have something under way, and reports whether they came to an end.
func (r *sessions) settle(e core.Event, cut <-chan struct{}) bool {
	r.mu.Lock()
	list := make([]*session, 0, len(r.active))
	for s := range r.active {
		list = append(list, s)
	}
	if len(list) == 0 {
		r.mu.Unlock()
		return true
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()
	for _, s := range list {
		s.mu.Lock()
		s.cancel(looking) // nobody needs it any more
		s.mu.Unlock()
		s.drive(e)
	}
	select {
	case <-idle:
		return true
	case <-cut:
		return false
	}
}
