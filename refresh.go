package authos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/authos-go/authos/internal/routes"
)

// The session layer sends a call with the session's token, and refreshes that when it is dead. Its
// rules come from the server's: a refresh token is single-use; a second presentation destroys the
// session, together with the tokens the first one gave; the old access token dies at that moment;
// and there is no grace period. So there is one refresh at a time for a session, by whoever comes
// first, for everybody, and a refresh token that may have been taken is not presented again before
// the server has certainly given up on it.

const (
	// refreshDoubt is how long a refresh without a response may still be at work: the server gives
	// up after 30 s.
	refreshDoubt = 35 * time.Second
	// sendWithin is how long after the store's lock was got the refresh token may still be
	// presented. So it is presented under the lock however long this process was frozen, and the
	// server is done with it refreshDoubt after the lock was got.
	sendWithin = 4 * time.Second
	// earlyPatience is how long a call waits for the store when its token is still good.
	earlyPatience = time.Second
	// expiryGrain is how much sooner than told a token may end: its life is told in whole seconds,
	// which may be rounded up.
	expiryGrain = time.Second
	// maxSends bounds how often one attempt follows a token that is refreshed again and again.
	// Where several processes refresh tokens that live for less than a request may take, that is
	// often; otherwise helpless ends it after one refresh.
	maxSends = 32
	// maxUncured bounds the memory of calls that a new token did not help.
	maxUncured = 64

	refreshPath = "/api/auth/refresh"
)

// refreshError is why there are no new tokens. A zero retryAt is the server's refusal: the session
// is over.
type refreshError struct {
	retryAt time.Time
	cause   error
	inDoubt bool // the server may have taken the refresh token
}

// sessionError makes each waiter's own error: errors carry facts of the call they end.
func (e *refreshError) sessionError() *SessionError {
	return &SessionError{RetryAt: e.retryAt, Err: e.cause}
}

// postponed is a refresh that could not be tried, and may be soon.
func postponed(what string, err error) *refreshError {
	return &refreshError{retryAt: time.Now().Add(time.Second), cause: fmt.Errorf("%s: %w", what, err)}
}

// refreshResponse is the server's response to a refresh as other calls may see it: its code and
// kind match, but it is not their response, so errors.As does not find an *APIError in it.
type refreshResponse struct{ api *APIError }

func (e *refreshResponse) Error() string        { return e.api.Error() }
func (e *refreshResponse) Is(target error) bool { return e.api.Is(target) }

func newSessionLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	return &sessionLayer{c: c, s: c.session, next: next}
}

// sessionLayer chooses the token a request is sent with, and sends it again with a new one when the
// token turns out to be dead. The wire writes it into the header, on the attempt's own copy of the
// request.
type sessionLayer struct {
	c    *Client
	s    *session
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a *sessionLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if cl.auth != routes.AuthBearer {
		return a.next.RoundTrip(req)
	}
	held, refreshed, err := a.acquire(cl)
	if err != nil {
		return nil, err
	}
	for sends := 1; ; sends++ {
		cl.token = held.AccessToken
		resp, err := a.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if !deadToken(cl, resp) {
			a.accepted(cl, resp)
			return resp, nil
		}
		before := cl.last
		cl.refused.Store(true)
		cl.last = errorOf(resp) // a SessionError carries the call's own 401
		if sends == maxSends {
			return resp, nil
		}
		held, err = a.replace(cl, refreshed)
		if errors.Is(err, errNotRefreshable) {
			return resp, nil
		}
		if err != nil {
			return nil, err
		}
		// the 401 is dealt with: it is not what a later failure is about
		cl.last, cl.refreshed, refreshed = before, true, true
	}
}

// deadToken reports whether a response means that the access token is no longer good. The real
// server says so with JWT_ERROR or UNAUTHORIZED, hardly ever with the documented TOKEN_EXPIRED, so
// every 401 of a bearer route counts, unless it is about the caller's own input.
func deadToken(cl *call, resp *http.Response) bool {
	api := errorOf(resp)
	if api == nil || api.effectiveStatus() != http.StatusUnauthorized || cl.token == "" {
		return false
	}
	if strings.HasPrefix(api.Message, "Missing or invalid Authorization header") {
		return false // the header did not arrive; another token in it would not either
	}
	if cl.route != nil && cl.route.Has(routes.Own401) {
		// JWT_ERROR is one
		return api.Code.means(CodeTokenExpired) || api.Code.means(CodeInvalidToken) ||
			strings.HasPrefix(api.Message, "Session revoked or expired")
	}
	return true
}

// acquire gives the tokens to send with, and reports whether they are new. Those known to be dead
// are refreshed first, and so are those about to expire, once. Where there are none at all the
// request goes out without: the server's 401 is the response.
func (a *sessionLayer) acquire(cl *call) (held Tokens, refreshed bool, err error) {
	if err := a.load(cl); err != nil {
		return Tokens{}, false, err
	}
	s := a.s
	s.mu.Lock()
	held = s.cur
	needed := held.AccessToken == "" || s.dead
	// Only the call that comes first waits for a refresh ahead of expiry. The others go on with a
	// token that still works; those that meet its end are sent again.
	early := !s.early && !s.refreshAt.IsZero() && !time.Now().Before(s.refreshAt)
	// Sign-out works with an expired token, and a refresh only makes another one to be signed out.
	signOut := held.AccessToken != "" && cl.route != nil && cl.route.Template == logoutPath
	if held.RefreshToken == "" || signOut || !needed && !early {
		s.mu.Unlock()
		return held, false, nil
	}
	s.early = true
	s.mu.Unlock()
	cl.token = held.AccessToken
	fresh, err := a.refresh(cl, !needed)
	switch {
	case err == nil:
		cl.refreshed = true
		return fresh, true, nil
	case errors.Is(err, errNotRefreshable): // signed out while waiting, perhaps
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.cur, false, nil
	case needed || cl.Err() != nil:
		return Tokens{}, false, err
	default:
		return held, false, nil // still good as far as we know
	}
}

// replace gives tokens to send a refused call again with: those that somebody has got meanwhile,
// else new ones. refreshed says that the refused ones were new themselves. errNotRefreshable means
// that the 401 is the caller's, as it came.
func (a *sessionLayer) replace(cl *call, refreshed bool) (Tokens, error) {
	s := a.s
	s.mu.Lock()
	if s.cur.AccessToken == cl.token {
		if s.helpless(cl.method+" "+cl.path, refreshed) {
			gen := s.gen
			if refreshed || s.locking == nil {
				s.mu.Unlock()
				return Tokens{}, errNotRefreshable
			}
			// Another process may have refreshed since: then it was that which ended this token.
			f := a.join(func(*flight) *refreshError { _, _, _ = s.look(context.Background(), gen); return nil })
			s.mu.Unlock()
			if err := f.wait(cl, false); err != nil {
				return Tokens{}, err
			}
			if f.err == nil && f.held.AccessToken != "" && f.held.AccessToken != cl.token {
				return f.held, nil
			}
			return Tokens{}, errNotRefreshable
		}
		s.dead = true
	}
	s.mu.Unlock()
	return a.refresh(cl, false)
}

// helpless reports whether a new token would not help a call either: the refused one is new itself,
// or the like of this call was refused with a new one lately. A token that may have expired, or
// that was only found in the store, proves nothing. s.mu is held.
func (s *session) helpless(errand string, refreshed bool) bool {
	if s.expiredIn(expiryGrain) || !s.refreshed {
		return false
	}
	if !refreshed {
		return time.Now().Before(s.uncured[errand])
	}
	if s.uncured == nil || len(s.uncured) >= maxUncured {
		s.uncured = map[string]time.Time{}
	}
	if s.stored == nil || !s.stored.same(s.cur) {
		// Tokens that could not be saved may have been overtaken: another process got the lock
		// while this one was frozen. Once per errand that is no proof either; the store has the
		// newer ones.
		unsaved := "unsaved " + errand
		tried := time.Now().Before(s.uncured[unsaved])
		s.uncured[unsaved] = time.Now().Add(coolDown)
		if !tried {
			return false
		}
	}
	s.uncured[errand] = time.Now().Add(coolDown)
	return true
}

// refresh waits for tokens other than the one the call was sent with, starting a refresh if nobody
// else has. early says that the call can do without: it then waits for a response of the server,
// but not for a store that is slow or locked for long.
func (a *sessionLayer) refresh(cl *call, early bool) (Tokens, error) {
	s := a.s
	for range 2 { // the first may find no more than another refresh token in the store
		s.mu.Lock()
		held, gen := s.cur, s.gen
		var f *flight
		changed := held.AccessToken != cl.token && held.AccessToken != ""
		if !changed && held.RefreshToken != "" {
			f = a.join(func(f *flight) *refreshError { return a.runRefresh(gen, f) })
		}
		s.mu.Unlock()
		switch {
		case changed:
			return held, nil
		case f == nil:
			return Tokens{}, errNotRefreshable
		}
		if err := f.wait(cl, early); err != nil {
			return Tokens{}, err
		}
		if f.err != nil {
			return Tokens{}, f.err.sessionError()
		}
		if f.held.AccessToken != "" {
			return f.held, nil
		}
	}
	return Tokens{}, errNotRefreshable
}

var (
	errNotRefreshable = errors.New("no refresh token, or a new token does not help this call")
	errStoreBusy      = errors.New("the token store takes its time")
)

// flight is an errand that all who need it wait for: reading the store, or a refresh.
type flight struct {
	sent atomic.Bool // a refresh token is presented, or may have been taken
	done chan struct{}
	held Tokens        // in use at its end
	err  *refreshError // both are set before done is closed
}

// join gives the flight under way, or starts one. s.mu is held.
func (a *sessionLayer) join(errand func(*flight) *refreshError) *flight {
	s := a.s
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	err := a.c.fam.closing.launch(func() {
		failed := errand(f)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.flight == f { // else SetTokens has let the waiters go
			s.land(failed)
		}
	})
	if err != nil {
		s.land(postponed("refreshing the session", err))
	}
	return f
}

// land ends the flight and lets its waiters go. s.mu is held.
func (s *session) land(err *refreshError) {
	if f := s.flight; f != nil {
		f.held, f.err = s.cur, err
		close(f.done)
		s.flight = nil
	}
}

// wait waits for a flight as long as the call has time. Leaving does not end the flight. What was
// sent before it was refused unread, so nothing is unknown.
func (f *flight) wait(cl *call, early bool) error {
	var over, patience <-chan time.Time
	if early {
		most := earlyPatience
		if left, _, ok := cl.left(); ok {
			most = max(min(most, left/2), 1) // leave time for the call itself
		}
		tick := time.NewTicker(most)
		defer tick.Stop()
		patience = tick.C
	}
	if !cl.deadline.IsZero() {
		timer := time.NewTimer(time.Until(cl.deadline))
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case <-f.done:
			return nil
		case <-cl.Done():
			return &NetworkError{Op: "refresh", Err: contextEnd(cl), unsent: true}
		case <-over:
			return &NetworkError{Op: "refresh", Err: errAttemptTimeout, unsent: true}
		case <-patience:
			if !f.sent.Load() {
				return errStoreBusy
			}
		}
	}
}

// runRefresh gets new tokens, under the store's lock where it has one. It belongs to no caller: it
// ends when it ends. What the store holds is looked at first: news needs no lock.
func (a *sessionLayer) runRefresh(gen uint64, f *flight) *refreshError {
	s, start, draw := a.s, time.Now(), newBackoff(a.c.cfg.retry, 2)
	s.mu.Lock()
	waiting := s.heldBack()
	s.mu.Unlock()
	for try := 1; ; try++ {
		held, found, readErr := s.look(context.Background(), gen)
		switch {
		case found != nothing:
			return a.follow(found, start)
		case waiting != nil:
			return waiting
		case readErr != nil && s.locking == nil:
			a.c.warn("token store could not be read; going on with the tokens held", readErr)
		}
		cl := a.newRefresh()
		var lock storeLock
		var fresh Tokens
		err := cl.gate().pass(cl) // before the lock, which nobody should wait for because of this
		if err == nil && s.locking == nil && cl.wait > 0 {
			// While it waited somebody else may have refreshed, or SetTokens come: the refresh
			// token may be used up.
			if held, found, _ = s.look(context.Background(), gen); found != nothing {
				return a.follow(found, start)
			}
		}
		if err == nil && s.locking != nil {
			if lock, held, found, readErr = a.lockAndLook(gen); readErr != nil {
				return a.storeFailed(readErr, start)
			}
			if found != nothing {
				return a.follow(found, start)
			}
		}
		if err == nil {
			f.sent.Store(true)
			fresh, err = a.present(cl, held.RefreshToken, lock)
		}
		if err == nil {
			unsaved := a.install(gen, fresh, true)
			a.settle(gen, fresh, lock, unsaved)
			a.c.observeRefresh(RefreshEvent{Duration: time.Since(start), Unsaved: unsaved}, nil)
			return nil
		}
		verdict, wait, failed := a.judge(cl, err, draw)
		f.sent.Store(verdict != tokenUnseen)
		if verdict == tokenInDoubt {
			s.keep(gen, lock, failed.retryAt)
		} else {
			lock.release() // before any wait
		}
		if wait >= 0 && try < a.c.cfg.retry.MaxAttempts {
			if err = cl.pause(wait); err == nil {
				continue
			}
			failed = &refreshError{retryAt: time.Now(), cause: err}
		}
		s.holdBack(gen, failed)
		a.c.observeRefresh(RefreshEvent{Duration: time.Since(start)}, failed)
		return failed
	}
}

// follow ends a refresh that has nothing left to do.
func (a *sessionLayer) follow(found finding, start time.Time) (failed *refreshError) {
	if found == overtaken {
		return nil
	}
	if found == foundNone {
		failed = &refreshError{cause: errSignedOut}
	}
	a.c.observeRefresh(RefreshEvent{Duration: time.Since(start), Adopted: true}, failed)
	return failed
}

// storeFailed is a refresh that was not tried because of the store. The first of a row is reported,
// as every call may end in one.
func (a *sessionLayer) storeFailed(err error, start time.Time) *refreshError {
	failed := &refreshError{retryAt: time.Now().Add(time.Second), cause: err}
	if a.s.storeIs(true) && !a.c.fam.closing.closed.Load() {
		a.c.warn("nothing is refreshed without the token store; the tokens held stay in use while they are good", err)
		a.c.observeRefresh(RefreshEvent{Duration: time.Since(start)}, failed)
	}
	return failed
}

// judge says what an error of a refresh means. It is tried again after wait, unless that is
// negative.
func (a *sessionLayer) judge(cl *call, err error, draw *backoff.ExponentialBackOff) (refreshOutcome, time.Duration, *refreshError) {
	api, _ := err.(*APIError) //nolint:errorlint // the layers below return their errors unwrapped
	cause := err
	if api != nil {
		cl.describe(api)
		cause = &refreshResponse{api}
	}
	switch verdict := judgeRefresh(err); verdict {
	case tokenRefused:
		return verdict, -1, &refreshError{cause: cause}
	case tokenInDoubt:
		return verdict, -1, &refreshError{retryAt: cl.presented().Add(refreshDoubt), cause: cause, inDoubt: true}
	case tokenUnseen:
	}
	wait := max(draw.NextBackOff(), 0)
	if asked := askedOfRefresh(err); asked > 0 {
		wait = max(wait, asked) + spread(asked)
	}
	failed := &refreshError{retryAt: time.Now().Add(max(wait, time.Second)), cause: cause}
	if !weigh(cl, api, err).again || wait > a.c.cfg.retry.MaxRetryAfter {
		wait = -1
	}
	return tokenUnseen, wait, failed
}

// What a refresh that gave no tokens means for the refresh token.
type refreshOutcome int

const (
	// the server may have taken it: the response was lost, or is none
	tokenInDoubt refreshOutcome = iota
	tokenUnseen                 // it did not reach the handler
	tokenRefused                // the server does not take it
)

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
		case status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
			return tokenRefused
		case status == http.StatusRequestTimeout:
			return tokenInDoubt // the server has stopped waiting for its own work
		case status > 400 && status < 500 && e.shaped:
			return tokenRefused
		}
		// Other 4xx without an API error are a proxy's, of which nothing is known: no reason to
		// sign anybody out.
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

// newRefresh makes the call that refreshes, but for its body. It is nobody's call, so it has its
// own time, and the layers above do not repeat it.
func (a *sessionLayer) newRefresh() *call {
	route := routes.ByTemplate(http.MethodPost, refreshPath)
	// fails for a nil context only
	cl, _ := a.c.newCall(context.Background(), http.MethodPost, route, refreshPath, "")
	cl.group = groupRefresh
	cl.halt = a.c.fam.closing.ctx.Done()
	cl.settle()
	return cl
}

// present exchanges the refresh token, through the layers below: its own circuit breaker, and the
// wire.
func (a *sessionLayer) present(cl *call, refreshToken string, lock storeLock) (Tokens, error) {
	_ = cl.encode(map[string]string{"refresh_token": refreshToken}) // texts can always be encoded
	// not sent as a credential, but scrubbed from messages that repeat it
	cl.token = refreshToken
	req := (&http.Request{Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: http.Header{}}).WithContext(cl)
	req.Body, req.ContentLength = newBody(cl.body, nil), int64(len(cl.body))
	cl.began = time.Now()
	cl.deadline = cl.began.Add(refreshDoubt) // there is no caller who could cancel it
	if lock.stale(cl.began) {
		return Tokens{}, &NetworkError{Op: "refresh", Method: cl.method, Path: cl.path, Err: errStaleLock, unsent: true}
	}
	if lock.unlock != nil {
		cl.sendBy = lock.since.Add(sendWithin)
	}
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		if ne, ok := errors.AsType[*NetworkError](err); ok {
			ne.Method, ne.Path, ne.ClientRequestID = cl.method, cl.path, cl.requestID
		}
		if cl.sent {
			cl.observeAttempt(0, err)
		}
		return Tokens{}, err
	}
	cl.observeAttempt(resp.StatusCode, nil)
	if api := errorOf(resp); api != nil {
		if api.effectiveStatus() == http.StatusTooManyRequests {
			cl.gate().raise(api.RetryAfter, a.c.cfg.retry.MaxRetryAfter)
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
