package authos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	core "github.com/authos-go/authos/internal/session"
)

// flight is what those wait for who need a session to load its tokens, to look at its store, or to
// be refreshed: one at a time, for all of them. It ends when it ends, whoever leaves.
type flight struct {
	goal  core.Goal
	by    *agent // whose call began it
	begun time.Time
	done  chan struct{}

	// The session's mu guards these until done is closed.
	changed  chan struct{} // closed when the flight begins a pause, and made anew
	waiters  int
	finished bool // reports are complete
	sent     bool // a refresh token was presented
	moved    bool // other tokens came into use
	obtained bool // from the server
	unsaved  error
	failed   *failure
	until    time.Time      // of a pause
	reports  []func(*agent) // hooks and log records, for a waiter's goroutine
	thrown   *thrown

	reported atomic.Bool
}

// need joins what the session is about, or begins what is needed. A refresh is not begun where the
// tokens are others by now than token, the one that the call has: those are what it needs.
func (s *session) need(a *agent, kind core.Kind, early bool, token string) *flight {
	var f *flight
	s.enter(func() core.Event {
		s.by = a
		e := core.Event{Kind: kind, Early: early}
		switch {
		case s.state.Goal == core.SignOut: // after that, everything is different
			f = &flight{done: s.leaving.gone(), finished: true}
			return core.Event{Kind: core.Tick}
		case kind == core.Need && s.held.AccessToken != token && s.held.AccessToken != "":
			f = &flight{done: (*leaving)(nil).gone(), finished: true}
			return core.Event{Kind: core.Tick}
		}
		if f = s.flight; f == nil {
			f = &flight{by: a, begun: time.Now(), done: make(chan struct{}), changed: make(chan struct{})}
			s.flight = f
			s.tries, s.draw = 0, newBackoff(a.cfg.retry, 2, s.fam.random)
			switch kind {
			case core.NeedLoad:
				f.goal = core.Load
				e.Pair = s.intern(newPair(s.seed))
			case core.NeedLook:
				f.goal = core.Look
			default:
				f.goal = core.Refresh
			}
		}
		f.waiters++
		return e
	})
	return f
}

// finish ends the flight. Both locks are held.
func (s *session) finish(a core.Action) func() {
	f := s.flight
	if f == nil {
		return nil
	}
	s.flight = nil
	f.failed = s.failed(a)
	s.observe(f, a.Reason)
	f.finished = true
	abandoned := f.waiters == 0
	return func() {
		close(f.done)
		if abandoned {
			s.all.code.add(1)
			go f.tellAlone(&s.all.code)
		}
	}
}

// observe reports a refresh that did something, or was told by the store that it cannot. A failure
// that is only repeated to another call is nobody's news.
func (s *session) observe(f *flight, why core.Reason) {
	broken := why == core.StoreFailed && !s.down
	if f.goal != core.Refresh || why == core.Overtaken || why == core.Closed || !f.sent && !f.moved && !broken && why != core.SignedOut {
		return
	}
	if broken {
		s.down = true
		cause := s.storeErr
		f.reports = append(f.reports, func(a *agent) {
			a.warn("nothing is refreshed without the token store; the tokens held stay in use while they are good", cause)
		})
	}
	e := RefreshEvent{Duration: time.Since(f.begun), Adopted: f.failed == nil && !f.obtained, Unsaved: f.unsaved}
	failed := f.failed
	f.reports = append(f.reports, func(a *agent) { a.observeRefresh(e, failed) })
}

// report has something told by a goroutine of a caller, if there is one. s.mu is held.
func (s *session) report(tell func(a *agent)) {
	if f := s.flight; f != nil {
		f.reports = append(f.reports, tell)
		return
	}
	if a := s.by; a != nil {
		f := &flight{by: a, reports: []func(*agent){tell}}
		s.all.code.add(1)
		go f.tellAlone(&s.all.code)
	}
}

// throw keeps a panic of the program's code for the goroutine of a caller. s.mu is held.
func (s *session) throw(err error) {
	t, ok := errors.AsType[*thrown](err)
	if !ok || t.value == nil {
		return // code that ends its goroutine ends ours, not a caller's
	}
	if f := s.flight; f != nil {
		f.thrown = t
		return
	}
	s.report(func(a *agent) { a.warn("the program's code panicked while nobody waited for it", t) })
}

// tell runs the hooks and the log records of a flight, after its end: once, in the goroutine of one
// who waited for it. What they raise, and what the program's code raised before, is raised there.
func (f *flight) tell() {
	if !f.reported.CompareAndSwap(false, true) {
		return
	}
	for _, report := range f.reports {
		report(f.by)
	}
	if f.thrown != nil {
		panic(f.thrown.value) //nolint:forbidigo // the panic of the program's own code, in its goroutine
	}
}

// tellAlone is tell where nobody waits any more.
func (f *flight) tellAlone(code *running) {
	defer code.add(-1)
	defer func() {
		if r := recover(); r != nil {
			defer func() { _ = recover() }() // the logger is the program's, too
			f.by.warn("the program's code panicked while nobody waited for it", &thrown{r})
		}
	}()
	f.tell()
}

// leave counts a waiter out.
func (s *session) leave(f *flight) {
	s.mu.Lock()
	f.waiters--
	finished := f.finished
	s.mu.Unlock()
	if finished {
		f.tell()
	}
}

const (
	// earlyPatience is how long a call waits for the store when its token is still good.
	earlyPatience = time.Second
	// slowWait is how long a wait is not worth a word.
	slowWait = 100 * time.Millisecond
)

// await waits for a flight as long as the call has time. What was sent before it was refused
// unread, so nothing is unknown. early says that the call can do without: then it waits for half of
// its time at most, and only a moment for the store.
func (s *session) await(cl *call, f *flight, early bool) error {
	defer s.leave(f)
	select {
	case <-f.done:
		return nil
	default:
	}
	var over, patience, hurry <-chan time.Time
	left, _, limited := cl.left()
	if early {
		most := earlyPatience
		if limited {
			most = max(min(most, left/2), 1)
			timer := time.NewTimer(max(left/2, 1))
			defer timer.Stop()
			patience = timer.C
		}
		timer := time.NewTimer(most)
		defer timer.Stop()
		hurry = timer.C
	}
	if end := cl.ends(); !end.IsZero() {
		timer := time.NewTimer(time.Until(end))
		defer timer.Stop()
		over = timer.C
	}
	hurried := false
	slow := time.NewTimer(slowWait)
	defer slow.Stop()
	for {
		changed, err := s.paused(cl, f, hurried)
		if err != nil {
			return err
		}
		select {
		case <-f.done:
			return nil
		case <-changed:
		case <-cl.Done():
			return &NetworkError{Op: "refresh", Err: s.waited(contextEnd(cl)), unsent: true}
		case <-over:
			return &NetworkError{Op: "refresh", Err: s.waited(errAttemptTimeout), unsent: true}
		case <-cl.client.ended():
			return &SessionError{RetryAt: time.Now(), Err: errClosed}
		case <-cl.client.fam.closing.ctx.Done():
			return &SessionError{RetryAt: time.Now(), Err: errClosed}
		case <-slow.C:
			if _, reason, wait := s.awaits(); reason != "" {
				cl.observeWait(wait, reason)
			} else {
				slow.Reset(slowWait)
			}
		case <-hurry:
			hurry, hurried = nil, true
		case <-patience:
			return errEnough
		}
	}
}

// paused gives the failure of a call that has no time for the flight's pause. One that can do
// without waits on for the server's response only.
func (s *session) paused(cl *call, f *flight, hurried bool) (changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hurried && !s.state.Flying {
		return nil, errEnough
	}
	if wait := time.Until(f.until); wait > 0 {
		if left, byCaller, ok := cl.left(); ok && left < wait {
			if byCaller {
				cl.late = true
			}
			return nil, &SessionError{RetryAt: f.until, Err: s.why}
		}
	}
	return f.changed, nil
}

// awaits says what is waited for: in words, and as a reason of a [WaitEvent] where that is worth
// one.
func (s *session) awaits() (what, reason string, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	switch {
	case st.Op == core.Locking:
		return "the token store's lock", "lock", lockTimeout
	case st.Flying:
		return "the response to the refresh", "refresh in doubt", st.Left
	case st.Pause > 0 && s.why == nil:
		return "the response to another client's refresh", "refresh in doubt", st.Pause
	case st.Pause > 0:
		return "the next try of the refresh", "", 0
	default:
		return "the token store", "", 0
	}
}

// waited adds what was waited for to the end of a wait.
func (s *session) waited(end error) error {
	what, _, _ := s.awaits()
	return fmt.Errorf("waiting for %s: %w", what, end)
}

func (a *agent) observeRefresh(e RefreshEvent, failed *failure) {
	attrs := []slog.Attr{slog.Duration("duration", e.Duration), slog.Bool("adopted", e.Adopted)}
	text := "authos: tokens refreshed"
	if failed != nil {
		e.Err = failed.sessionError()
		text = "authos: tokens not refreshed"
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	a.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, text, attrs...)
	if f := a.cfg.observer.Refresh; f != nil {
		f(e)
	}
}
