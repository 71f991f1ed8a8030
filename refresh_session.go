package authos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/authos-go/authos/internal/jitter"
	"github.com/authos-go/authos/internal/jwt"
	"github.com/authos-go/authos/internal/routes"
	core "github.com/authos-go/authos/internal/session"
)

// session carries out what the core decides about one sign-in's tokens. Whatever happens to it goes
// through drive as an event; what the core answers is done outside the locks, and its outcome is
// the next event.
type session struct {
	fam     *family
	all     *sessions // the family's
	store   tokenStore
	private bool          // the store is our own memory
	before  time.Duration // WithRefreshBefore
	seed    Tokens        // WithTokens

	// mu guards what follows, for those who do not change it. It is never held during I/O. What the
	// core's state is made of changes under sessions.mu, too.
	mu      sync.Mutex
	state   core.State
	pairs   map[core.Pair]*pair // those that state names
	held    *pair               // state.Held; never nil
	ticked  time.Time
	timer   *time.Timer
	by      *agent        // who has used it last: reports are told by that one
	peek    time.Duration // until the store is looked at while its lock is waited for
	flight  *flight       // those who wait for a load, a look or a refresh
	leaving *leaving      // those who wait for a sign-out
	setting []chan error  // those who wait for tokens to be saved

	renewAt time.Time
	early   bool // held has had its refresh ahead of expiry
	dead    bool // the server has refused held's access token
	// routes that a new token did not help, until when; those that are not known here count as one
	useless map[*routes.Route]time.Time
	who     string // names the principal for cached responses
	trusted bool   // the server has accepted held, or gave it to us
	// the token that the server has refused last: not to be believed for what an earlier process
	// saw
	refusedToken string
	failing      bool // saving, which has been reported
	down         bool // the store otherwise, which has been reported
	storeErr     error
	why          error            // the last refresh that gave no tokens
	tries        int              // of the refresh under way
	draw         *jitter.Series   // its waits
	unlock       func(clean bool) // of the lock that is held
	// of what is under way: a look, the lock, a presentation
	cancels [3]context.CancelFunc
	number  int // names it to a test that watches
}

const (
	looking = iota
	locking
	presenting
)

// pair is a pair of tokens and what its access token says of itself.
type pair struct {
	Tokens
	hash     tokenHash
	owner    string // its principal; empty where it cannot be read
	issued   int64
	obtained bool // from the server, in a refresh of ours
}

func newPair(t Tokens) *pair {
	p := &pair{Tokens: t, hash: hashOf(t), issued: jwt.IssuedAt(t.AccessToken)}
	p.owner, _ = jwt.Principal(t.AccessToken)
	return p
}

// sameOwner reports whether two pairs certainly speak for the same principal.
func (p *pair) sameOwner(o *pair) bool { return p.owner != "" && p.owner == o.owner }

func newSession(cfg *config, fam *family, all *sessions) *session {
	s := &session{
		fam: fam, all: all, private: cfg.store == nil, before: cfg.refreshBefore, seed: cfg.tokens, held: &pair{}, ticked: time.Now(),
		pairs: map[core.Pair]*pair{},
	}
	s.store.use(cfg.store)
	s.state.Locks, s.state.Expires = s.store.locks()
	all.enter(s)
	all.mu.Lock()
	defer all.mu.Unlock()
	if s.private && !s.seed.isZero() {
		s.adopt(newPair(s.seed))
		all.hold(s, s.held)
	}
	all.tell(s, core.Event{}, nil)
	return s
}

// adopt puts a session's first tokens in place, so that it is found by them.
func (s *session) adopt(p *pair) {
	s.state.Held = s.intern(p)
	s.state.Stored, s.state.Known, s.state.Loaded = s.state.Held, true, true
	_ = s.store.memory.Save(context.Background(), p.Tokens)
	s.switched()
}

// drive gives the core an event and carries out what it decides.
func (s *session) drive(e core.Event) { s.enter(func() core.Event { return e }) }

// enter is drive with an event that is made under the locks.
func (s *session) enter(event func() core.Event) {
	r := s.all
	r.mu.Lock()
	s.mu.Lock()
	e := event()
	before := s.state
	later := append(s.step(core.Event{Kind: core.Tick}), s.step(e)...)
	if s.state.Held != before.Held || s.state.Unsaved != before.Unsaved {
		r.hold(s, s.pairs[s.state.Held], s.pairs[s.state.Unsaved])
	}
	s.forget()
	s.schedule()
	r.track(s)
	s.mu.Unlock()
	r.mu.Unlock()
	for _, do := range later {
		do()
	}
}

// step is one step of the core. Ticks carry the time since the last one: the doubt counts by the
// clock that says least, since one may have been set; the lock's age by the other, since one may
// have stood still.
func (s *session) step(e core.Event) (later []func()) {
	if e.Kind == core.Tick {
		now := time.Now()
		byOne, byOther := now.Sub(s.ticked), now.Round(0).Sub(s.ticked.Round(0))
		e.D, e.Least = max(byOne, byOther, 0), max(min(byOne, byOther), 0)
		s.ticked = now
	}
	held := s.state.Held
	next, actions := core.Default.Step(s.state, e, facts{s})
	s.state = next
	s.all.tell(s, e, actions.All())
	if next.Held != held {
		s.switched()
	}
	var ends []func()
	for _, a := range actions.All() {
		do, end := s.carry(a)
		if do != nil {
			later = append(later, do)
		}
		if end != nil {
			ends = append(ends, end)
		}
	}
	// Those who wait go on last: the process may end with them, and the lock must be free then.
	return append(later, ends...)
}

// intern gives a pair's handle.
func (s *session) intern(p *pair) core.Pair {
	if p == nil || p.isZero() {
		return 0
	}
	for handle, known := range s.pairs {
		if known.same(p.Tokens) {
			return handle
		}
	}
	s.all.handles++
	s.pairs[s.all.handles] = p
	return s.all.handles
}

// forget drops the pairs that nothing names any more.
func (s *session) forget() {
	st := &s.state
	for handle := range s.pairs {
		switch handle {
		case st.Held, st.Seed, st.Stored, st.Writing, st.Unsaved, st.Sent, st.Past, st.Out, st.Ending, st.AlsoOver:
		default:
			delete(s.pairs, handle)
		}
	}
}

// switched takes note of other tokens in use.
func (s *session) switched() {
	p := s.pairs[s.state.Held]
	if p == nil {
		p = &pair{}
	}
	s.held = p
	if f := s.flight; f != nil {
		f.moved, f.obtained = true, p.obtained
	}
	switch {
	case p.owner != "" && p.obtained:
		s.who, s.trusted = p.owner, true
	case !p.obtained || s.who == "":
		// Opaque tokens that we obtained ourselves continue the principal of those before.
		s.who, s.trusted = jwt.Digest("token", p.AccessToken), false
	}
	if !p.obtained {
		s.useless = nil // a refresh continues the session that did not help; these may be another
	}
	s.early, s.dead, s.why = false, false, nil
	s.renewAt = time.Time{}
	if life := time.Until(p.ExpiresAt); !p.ExpiresAt.IsZero() && s.before > 0 {
		s.renewAt = p.ExpiresAt.Add(-min(s.before, max(life, 0)/5))
	}
}

// busy reports whether something is under way that must come to an end. s.mu is held.
func (s *session) busy() bool {
	st := &s.state
	undecided := !st.Closing && (st.Sent != 0 || st.Past != 0)
	return st.Goal != core.Rest || st.Op != core.None || st.Flying || st.PastFlying || st.Unsaved != 0 || st.Locked || undecided
}

// schedule sets the timer for the next thing that time alone brings about. s.mu is held.
func (s *session) schedule() {
	st := &s.state
	next := time.Duration(0)
	soonest := func(d time.Duration, counts bool) {
		if counts && d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	soonest(st.Left, st.Sent != 0 && !st.Flying)
	soonest(st.PastLeft, st.Past != 0 && !st.PastFlying)
	soonest(st.Retry, st.Unsaved != 0)
	soonest(st.Pause, true)
	event := core.Event{Kind: core.Tick}
	if st.Op == core.Locking && st.Goal == core.Refresh && !st.Peeking {
		if s.peek == 0 {
			s.peek = lockPeek
		}
		if soonest(s.peek, true); next == s.peek {
			event.Kind = core.Wake
		}
	} else if st.Op != core.Locking {
		s.peek = 0
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if next > 0 {
		s.timer = time.AfterFunc(next, func() {
			s.enter(func() core.Event {
				if event.Kind == core.Wake {
					s.peek = min(2*s.peek, maxLockPeek)
				}
				return event
			})
		})
	}
}

const (
	// While the lock is waited for, the store is looked at from lockPeek on, after waits that
	// double up to maxLockPeek: of many that wait, all but one find the new tokens there; and the
	// holder may have died or frozen after it saved.
	lockPeek, maxLockPeek = 20 * time.Millisecond, time.Second
	// closeGrace is how long Close waits for tokens that are on their way, and for saving them.
	closeGrace = 5 * time.Second
)

// facts answer the core's questions about pairs. Both locks are held.
type facts struct{ s *session }

// Fate implements [core.Facts].
func (f facts) Fate(h core.Pair) core.Fate {
	p := f.s.pairs[h]
	if p == nil {
		return core.Fate{}
	}
	r := f.s.all
	fate := r.fateOf(p)
	if fate.Kind == core.Superseded {
		if heir := r.heir(p); heir != nil {
			fate.Heir = f.s.intern(heir)
		}
	}
	return fate
}

// SameOwner implements [core.Facts]. Where neither says whose it is, they count as one principal's:
// what is in a session's store continues the session.
func (f facts) SameOwner(a, b core.Pair) bool {
	p, q := f.s.pairs[a], f.s.pairs[b]
	return p != nil && q != nil && p.owner == q.owner
}

// Older implements [core.Facts].
func (f facts) Older(a, b core.Pair) bool {
	p, q := f.s.pairs[a], f.s.pairs[b]
	return p != nil && q != nil && p.sameOwner(q) && p.issued != 0 && p.issued < q.issued
}

// Renewable implements [core.Facts].
func (f facts) Renewable(h core.Pair) bool {
	p := f.s.pairs[h]
	return p != nil && p.RefreshToken != ""
}

// carry does what an action says, as far as that needs no time, and gives what is to be done when
// the locks are released: do first, end when all else is done.
func (s *session) carry(a core.Action) (do, end func()) {
	r := s.all
	p := s.pairs[a.Pair]
	switch a.Verb {
	case core.DoRead:
		return s.read, nil
	case core.DoCancelRead:
		s.cancel(looking)
	case core.DoLock:
		return s.acquire(), nil
	case core.DoCancelLock:
		s.cancel(locking)
	case core.DoUnlock:
		return s.release(a.Clean), nil
	case core.DoSave:
		return func() { s.save(a.Pair, p) }, nil
	case core.DoDelete:
		return s.remove, nil
	case core.DoPresent:
		return s.presenter(p, a), nil
	case core.DoCancel:
		s.cancel(presenting)
	case core.DoEnd:
		return nil, s.leaving.tell(s, a.Pair, p)
	case core.DoEndQuietly:
		return func() { s.endQuietly(p) }, nil
	case core.DoNote:
		if p == nil {
			break
		}
		f := fate{kind: a.Fate, until: time.Now().Add(a.D)}
		if heir := s.pairs[a.Heir]; heir != nil {
			f.heir = heir.hash
		}
		r.remember(p.hash, f)
		if a.Fate != core.InFlight {
			if list := r.waiting(p.hash, s); len(list) > 0 {
				end = func() {
					for _, other := range list {
						other.drive(core.Event{Kind: core.Wake})
					}
				}
			}
		}
	case core.DoFinish:
		return nil, s.finish(a)
	case core.DoFinishSet:
		if a.Reason == core.Overtaken {
			break // setTokens tells them
		}
		err := s.setError(a.Reason)
		list := s.setting
		s.setting = nil
		return nil, func() {
			for _, c := range list {
				c <- err
			}
		}
	case core.DoFinishOut:
		if out := s.leaving; out != nil {
			out.err = s.outError(a)
			s.leaving = nil
			end = func() { close(out.done) }
		}
	}
	return nil, end
}

func (s *session) cancel(what int) {
	if c := s.cancels[what]; c != nil {
		c()
	}
}

// failure is why there are no new tokens.
type failure struct {
	retryAt time.Time // zero: the session is over
	cause   error
}

// sessionError makes each waiter's own error: errors carry facts of the call they end.
func (f *failure) sessionError() *SessionError {
	return &SessionError{RetryAt: f.retryAt, Err: f.cause}
}

var (
	errSignedOut = errors.New("signed out: there are no tokens")
	errUsedUp    = errors.New("the refresh token is used up, and nobody here holds what it was exchanged for")
	errTaken     = errors.New("the refresh token seems to have been taken by a process that could not save what it got: " +
		"the access token was refused before its expiry")
	errUndecided = errors.New("refresh in doubt: the server may have taken the refresh token")
	errAnother   = errors.New("the client speaks for another principal now")
)

// failed says in words why a goal was not reached; nil when it was.
func (s *session) failed(a core.Action) *failure {
	retryAt := time.Now().Add(a.D)
	switch a.Reason {
	case core.OK, core.Overtaken:
		return nil
	case core.Over:
		if s.why == nil {
			return &failure{cause: errUsedUp}
		}
		return &failure{cause: s.why}
	case core.SignedOut:
		return &failure{cause: errSignedOut}
	case core.Taken:
		return &failure{retryAt: retryAt, cause: errTaken}
	case core.StoreFailed:
		if s.storeErr == nil {
			s.storeErr = errStaleLock
		}
		return &failure{retryAt: time.Now().Add(max(a.D, time.Second)), cause: s.storeErr}
	case core.Closed:
		return &failure{retryAt: time.Now(), cause: errClosed}
	case core.Doubt:
		if s.why == nil {
			return &failure{retryAt: retryAt, cause: errUndecided}
		}
		return &failure{retryAt: retryAt, cause: fmt.Errorf("refresh in doubt: %w", s.why)}
	default:
		return &failure{retryAt: retryAt, cause: s.why}
	}
}

// setError is what SetTokens returns.
func (s *session) setError(why core.Reason) error {
	switch why {
	case core.OK, core.Overtaken:
		return nil
	case core.Closed:
		return errClosed
	default:
		return s.storeErr
	}
}

// principal names whose responses are cached and served; empty: nobody's. A token that the server
// has not accepted here names nobody but itself: a forged one must not open somebody else's
// entries. sent, if not empty, must be the token now held.
func (s *session) principal(sent string) (who string, signIn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.AccessToken == "" || sent != "" && sent != s.held.AccessToken {
		return "", uint64(s.state.SignIn)
	}
	return s.who, uint64(s.state.SignIn)
}
