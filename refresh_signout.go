package authos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/authos-go/authos/internal/jwt"
	core "github.com/authos-go/authos/internal/session"
)

const revokePath = "/auth/revoke"

// leaving is what those wait for who sign out. The server is told in the goroutine of one of them,
// with its context and its hooks.
type leaving struct {
	done    chan struct{}
	tasks   chan task
	callers int   // the session's mu guards it
	cause   error // why the server could not be told
	err     error // set before done is closed
}

// task is a pair that the server is to be told is over.
type task struct {
	handle core.Pair
	pair   *pair
}

func (s *session) leavers() *leaving {
	if s.leaving == nil {
		s.leaving = &leaving{done: make(chan struct{}), tasks: make(chan task, 1)}
	}
	return s.leaving
}

// tell hands a pair to one who waits. Both locks are held.
func (o *leaving) tell(s *session, h core.Pair, p *pair) func() {
	if o == nil || o.callers == 0 {
		return func() { s.drive(core.Event{Kind: core.Ended, Pair: h}) }
	}
	o.tasks <- task{h, p} // there is room: one is told at a time
	return nil
}

func (o *leaving) gone() chan struct{} {
	if o == nil {
		over := make(chan struct{})
		close(over)
		return over
	}
	return o.done
}

// signOut ends the session at the server, then forgets it here and in the store. end tells the
// server; certain is false where it may not have understood. names are those of whom nothing is to
// stay cached.
func (s *session) signOut(
	ctx context.Context, by *agent, end func(context.Context, Tokens) (certain bool, err error),
) (names []string, err error) {
	if _, err := s.current(ctx, by); err != nil {
		return nil, err
	}
	var out *leaving
	s.enter(func() core.Event {
		s.by = by
		out, names = s.leavers(), s.names()
		out.callers++
		return core.Event{Kind: core.Leave}
	})
	defer s.stopLeaving(out)
	for {
		select {
		case t := <-out.tasks:
			s.endAt(ctx, out, t, end)
		case <-out.done:
			return names, out.err
		case <-ctx.Done():
			return nil, fmt.Errorf("authos: signing out: %w", s.waited(contextEnd(ctx)))
		case <-by.done:
			return nil, errClosed
		case <-by.fam.closing.ctx.Done():
			return nil, errClosed
		}
	}
}

// stopLeaving counts a caller out. What it was to tell the server is not told then.
func (s *session) stopLeaving(out *leaving) {
	s.mu.Lock()
	out.callers--
	alone := out.callers == 0
	s.mu.Unlock()
	if !alone {
		return
	}
	select {
	case t := <-out.tasks:
		s.drive(core.Event{Kind: core.Ended, Pair: t.handle})
	default:
	}
}

// endAt tells the server that a pair is over, and the session how that ended, whatever the
// program's hooks do.
func (s *session) endAt(ctx context.Context, out *leaving, t task, end func(context.Context, Tokens) (bool, error)) {
	e := core.Event{Kind: core.Ended, Pair: t.handle}
	err := errors.New("the sign-out did not come to its end")
	defer func() {
		s.enter(func() core.Event {
			out.cause = err
			return e
		})
	}()
	certain, err := end(ctx, t.pair.Tokens)
	if e.OK = err == nil; !certain {
		e.N = 1
	}
}

// endQuietly ends tokens that came too late to be of use: nobody has them, and nobody should.
func (s *session) endQuietly(p *pair) {
	s.mu.Lock()
	by := s.by
	s.mu.Unlock()
	if by == nil || p == nil || p.RefreshToken == "" {
		return
	}
	form := url.Values{"token": {p.RefreshToken}, "token_type_hint": {"refresh_token"}}
	go func() {
		_ = act(storeTimeout, &s.all.code, make(chan struct{}, 1), func(ctx context.Context) error {
			cl, err := by.quietCall(ctx, revokePath)
			if err != nil {
				return err
			}
			_ = cl.encode(form) // a form can always be encoded
			cl.token = p.RefreshToken
			_, err = by.below.RoundTrip(cl.request())
			return err
		})
	}()
}

// outError is what a sign-out returns.
func (s *session) outError(a core.Action) error {
	switch a.Reason {
	case core.OK:
		return nil
	case core.Refusal:
		if s.leaving.cause == nil {
			return errors.New("authos: signing out: nobody waited for it")
		}
		return s.leaving.cause
	case core.Doubt:
		return &SessionError{RetryAt: time.Now().Add(max(a.D, time.Second)), Err: errOutInDoubt}
	case core.Closed:
		return errClosed
	default:
		return fmt.Errorf("authos: signing out: %w", s.storeErr)
	}
}

var errOutInDoubt = errors.New("signing out: this server ends a session by its newest access token only, and that may have been " +
	"given out in a refresh without a response")

// names are what the responses of those who have used the session are cached under. s.mu is held.
func (s *session) names() []string {
	var list []string
	if s.who != "" {
		list = append(list, s.who)
	}
	// Not accepted here, but perhaps in an earlier process. Forgetting is the safe side.
	if claims, ok := jwt.Principal(s.held.AccessToken); ok && claims != s.who {
		list = append(list, claims)
	}
	return list
}

// setTokens replaces the tokens; zero ones forget them. In memory that is done at once, so that no
// call is sent with the old ones any more; then told hears of whom nothing is to stay cached.
func (s *session) setTokens(ctx context.Context, by *agent, t Tokens, told func(names []string)) error {
	if err := s.fam.admit(t); err != nil {
		return fmt.Errorf("authos: SetTokens: %w", err)
	}
	t.Origin = s.fam.origin
	done := make(chan error, 1)
	var gone chan struct{}
	var overtaken []chan error
	var names []string
	var out *leaving
	s.enter(func() core.Event {
		s.by = by
		if t.isZero() {
			names, overtaken, s.setting = s.names(), s.setting, nil
			out = s.leavers()
			gone = out.done
			return core.Event{Kind: core.Set}
		}
		p := newPair(t)
		if !p.same(s.held.Tokens) {
			overtaken, s.setting = s.setting, nil // these come after them
		}
		s.setting = append(s.setting, done)
		return core.Event{Kind: core.Set, Pair: s.intern(p), OK: p.sameOwner(s.held)}
	})
	for _, earlier := range overtaken {
		earlier <- nil
	}
	told(names)
	var err error
	select {
	case err = <-done:
	case <-gone:
		err = out.err
	case <-ctx.Done():
		err = s.waited(contextEnd(ctx))
	}
	if err != nil {
		return fmt.Errorf("authos: saving the tokens: %w", err)
	}
	return nil
}

// current gives the tokens in use, for the program.
func (s *session) current(ctx context.Context, by *agent) (Tokens, error) {
	cl := &call{Context: ctx, client: by}
	if err := s.load(cl); err != nil {
		if ctx.Err() != nil {
			return Tokens{}, fmt.Errorf("authos: loading the tokens: %w", contextEnd(ctx))
		}
		return Tokens{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.held.Tokens
	if !t.isZero() {
		t.Origin = s.fam.origin
	}
	return t, nil
}
