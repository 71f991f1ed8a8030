package authos

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/authos-go/authos/internal/routes"
	core "github.com/authos-go/authos/internal/session"
)

// heldBack reports whether the rate-limit gate holds a refresh back, as an event for the core: the
// token was not sent. Both locks are held.
func (s *session) heldBack(h core.Pair) (core.Event, bool) {
	f := s.flight
	if f == nil {
		return core.Event{}, false
	}
	hold, asked := s.gate().remaining()
	if hold <= 0 {
		return core.Event{}, false
	}
	again := asked <= f.by.cfg.retry.MaxRetryAfter
	s.why = &RateLimitError{RetryAfter: asked}
	wait := max(hold, asked)
	if again {
		wait = hold + spread(s.fam.random, hold)
		s.pause(f, wait)
	}
	return core.Event{Kind: core.Unsent, Of: h, OK: again, D: wait}, true
}

// gate is the rate-limit gate of refreshes.
func (s *session) gate() *gate {
	return &s.fam.gates[routes.ByTemplate(http.MethodPost, refreshPath).Limiter]
}

// pause tells those who wait that nothing happens for a while. s.mu is held.
func (s *session) pause(f *flight, wait time.Duration) {
	f.until = time.Now().Add(wait)
	close(f.changed)
	f.changed = make(chan struct{})
}

// presenter sends a refresh token. Both locks are held.
func (s *session) presenter(p *pair, a core.Action) func() {
	if e, held := s.heldBack(a.Pair); held {
		return func() { s.drive(e) }
	}
	f := s.flight
	if f == nil {
		return func() { s.drive(core.Event{Kind: core.Unsent, Of: a.Pair}) }
	}
	f.sent = true
	s.tries++
	s.why, f.until = nil, time.Time{}
	ctx, cancel := context.WithTimeout(context.Background(), core.Default.Doubt)
	s.cancels[presenting] = cancel
	var by time.Time
	if a.D > 0 {
		by = time.Now().Add(a.D)
	}
	return func() {
		go func() {
			defer cancel()
			s.present(ctx, f, p, by)
		}()
	}
}

// present exchanges a refresh token and tells the core how that ended. The program's code in
// between (a transport, hooks of the circuit breaker) may do what it wants.
func (s *session) present(ctx context.Context, f *flight, p *pair, by time.Time) {
	c := f.by
	var cl *call
	tokens, err := perform(ctx, &s.all.code, make(chan struct{}, 1), func(ctx context.Context) (Tokens, error) {
		made, err := c.quietCall(ctx, refreshPath)
		if err != nil {
			return Tokens{}, err
		}
		cl = made
		cl.presenting = &presentation{by: by}
		return s.exchange(cl, p.RefreshToken)
	}, nil)
	// Where others have been set twice meanwhile, nothing names the pair any more.
	s.enter(func() core.Event { return s.outcome(f, cl, s.intern(p), tokens, err) })
}

// outcome is the event that a presentation ends in. Both locks are held.
func (s *session) outcome(f *flight, cl *call, h core.Pair, tokens Tokens, err error) core.Event {
	s.throw(err)
	if cl == nil { // it did not come so far
		s.why = err
		return core.Event{Kind: core.Unsent, Of: h, D: time.Second}
	}
	if err == nil {
		fresh := newPair(tokens)
		f.moved, f.obtained = true, true
		got := s.intern(fresh)
		s.pairs[got].obtained = true
		if got == s.state.Held { // a server that does not rotate, and gives the same access token
			s.held.ExpiresAt = fresh.ExpiresAt
			s.switched()
		}
		return core.Event{Kind: core.Answered, Of: h, Pair: got}
	}
	s.why = err
	if api, ok := err.(*APIError); ok { //nolint:errorlint // the layers below return their errors unwrapped
		cl.describe(api)
		s.why = &refreshResponse{api}
	}
	switch judgeRefresh(err) {
	case tokenRefused:
		return core.Event{Kind: core.Rejected, Of: h}
	case tokenInDoubt:
		return core.Event{Kind: core.Lost, Of: h, D: time.Since(cl.presented())}
	case tokenUnseen:
	}
	wait := s.draw.Next()
	if asked := askedOfRefresh(err); asked > 0 {
		wait = max(wait, asked) + spread(s.fam.random, asked)
	}
	retry := f.by.cfg.retry
	api, _ := err.(*APIError) //nolint:errorlint // as above
	again := weigh(cl, api, err).again && wait <= retry.MaxRetryAfter && s.tries < retry.MaxAttempts
	if !again {
		return core.Event{Kind: core.Unsent, Of: h, D: max(wait, time.Second)}
	}
	if s.flight == f {
		s.pause(f, wait)
	}
	return core.Event{Kind: core.Unsent, Of: h, OK: true, D: wait}
}

// exchange sends a refresh token through the layers below: its own circuit breaker, and the wire.
func (s *session) exchange(cl *call, refreshToken string) (Tokens, error) {
	_ = cl.encode(map[string]string{"refresh_token": refreshToken}) // texts can always be encoded
	// not sent as a credential, but scrubbed from messages that repeat it
	cl.token = refreshToken
	cl.most = cl.began.Sub(cl.start) + core.Default.Doubt // there is no caller who could cancel it
	resp, err := cl.client.below.RoundTrip(cl.request())
	if err != nil {
		if ne, ok := errors.AsType[*NetworkError](err); ok {
			ne.Method, ne.Path, ne.ClientRequestID = cl.method, cl.path(), cl.requestID
		}
		if cl.sent {
			s.attempted(cl, 0, err)
		}
		return Tokens{}, err
	}
	s.attempted(cl, resp.StatusCode, nil)
	if api := errorOf(resp); api != nil {
		if api.effectiveStatus() == http.StatusTooManyRequests {
			s.gate().raise(api.RetryAfter, cl.client.cfg.retry.MaxRetryAfter)
		}
		return Tokens{}, api
	}
	var body tokenBody
	if resp.StatusCode < 300 {
		_ = cl.decode(resp, &body) // what cannot be read has no tokens
	}
	body.keep(refreshToken)
	if checkCredential("access_token", body.AccessToken) != nil || body.preAuth() {
		return Tokens{}, errLostTokens
	}
	return body.tokens(), nil
}

// attempted has the attempt told when the refresh has ended.
func (s *session) attempted(cl *call, status int, err error) {
	cl.noteAttempt(status, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report(func(*agent) {
		for i := range cl.history {
			cl.tell(i)
		}
	})
}

// refreshResponse is the server's response to a refresh as other calls may see it: its code and
// kind match, but it is not their response, so errors.As does not find an *APIError in it.
type refreshResponse struct{ api *APIError }

func (e *refreshResponse) Error() string        { return e.api.Error() }
func (e *refreshResponse) Is(target error) bool { return e.api.Is(target) }

// What a refresh that gave no tokens means for the refresh token.
type refreshOutcome int

const (
	// the server may have taken it: the response was lost, or is none
	tokenInDoubt refreshOutcome = iota
	tokenUnseen                 // it did not reach the handler
	tokenRefused                // the server does not take it
)

// judgeRefresh says what an error of a refresh means. Only AuthOS's own refusal, an API error of
// its shape, ends a session: a page of a proxy, a firewall or a hotel says nothing about it.
func judgeRefresh(err error) refreshOutcome {
	switch e := err.(type) { //nolint:errorlint // the layers below return their errors unwrapped
	case *CircuitOpenError, *RateLimitError:
		return tokenUnseen
	case *NetworkError:
		if e.unsent {
			return tokenUnseen
		}
	case *APIError:
		switch status := e.effectiveStatus(); {
		case status == http.StatusTooManyRequests:
			return tokenUnseen
		case status == http.StatusRequestTimeout:
			return tokenInDoubt // the server has stopped waiting for its own work
		case status >= 400 && status < 500 && e.shaped:
			return tokenRefused
		}
	}
	return tokenInDoubt
}

// askedOfRefresh is how long the server, or the client on its behalf, asks to leave it alone.
func askedOfRefresh(err error) time.Duration {
	switch e := err.(type) { //nolint:errorlint // the layers below return their errors unwrapped
	case *CircuitOpenError:
		return time.Until(e.RetryAt)
	case *RateLimitError:
		return e.RetryAfter
	case *APIError:
		return e.RetryAfter
	}
	return 0
}

var errLostTokens = errors.New("the server's response to the refresh holds no tokens")
