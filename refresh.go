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

// The session layer sends a call with the session's token, and renews that when it is dead. Its rules come from the server's: a refresh
// token is single-use; a second presentation destroys the session, together with the tokens the first one gave; the old access token
// dies at that moment; and there is no grace period. So there is one renewal at a time for a session, by whoever comes first, for
// everybody, and a refresh token that may have been taken is not presented again before the server has certainly given up on it.

const (
	// renewalDoubt is how long a renewal without an answer may still be at work: the server gives up after 30 s.
	renewalDoubt = 35 * time.Second
	// sendWithin is how long after the store's lock was got the refresh token may still be presented. So it is presented under the lock
	// however long this process was frozen, and the server is done with it renewalDoubt after the lock was got.
	sendWithin = 4 * time.Second
	// earlyPatience is how long a call waits for the store when its token is still good.
	earlyPatience = time.Second
	// expiryGrain is how much sooner than told a token may end: its life is told in whole seconds, which may be rounded up.
	expiryGrain = time.Second
	// maxSends bounds how often one attempt follows a token that is renewed again and again. Where several processes renew tokens that
	// live for less than a request may take, that is often; otherwise helpless ends it after one renewal.
	maxSends = 32
	// maxUncured bounds the memory of calls that a new token did not help.
	maxUncured = 64

	refreshPath = "/api/auth/refresh"
)

// renewalError is why there are no new tokens. A zero retryAt is the server's refusal: the session is over.
type renewalError struct {
	retryAt time.Time
	cause   error
	inDoubt bool // the server may have taken the refresh token
}

// sessionError makes each waiter's own error: errors carry facts of the call they end.
func (e *renewalError) sessionError() *SessionError {
	return &SessionError{RetryAt: e.retryAt, Err: e.cause}
}

// postponed is a renewal that could not be tried, and may be soon.
func postponed(what string, err error) *renewalError {
	return &renewalError{retryAt: time.Now().Add(time.Second), cause: fmt.Errorf("%s: %w", what, err)}
}

// renewalAnswer is the server's answer to a renewal as other calls may see it: its code and kind match, but it is not their answer,
// so errors.As does not find an *APIError in it.
type renewalAnswer struct{ api *APIError }

func (e *renewalAnswer) Error() string        { return e.api.Error() }
func (e *renewalAnswer) Is(target error) bool { return e.api.Is(target) }

// authorize is the layer that chooses the token a request is sent with, and sends it again with a new one when the token turns out to
// be dead. The wire writes it into the header, on the attempt's own copy of the request.
func (c *Client) authorize(next http.RoundTripper) http.RoundTripper {
	return &authorizer{c: c, s: c.session, next: next}
}

type authorizer struct {
	c    *Client
	s    *session
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a *authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if cl.auth != routes.AuthBearer {
		return a.next.RoundTrip(req)
	}
	held, renewed, err := a.acquire(cl)
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
		held, err = a.replace(cl, renewed)
		if errors.Is(err, errNotRenewable) {
			return resp, nil
		}
		if err != nil {
			return nil, err
		}
		cl.last, cl.refreshed, renewed = before, true, true // the 401 is dealt with: it is not what a later failure is about
	}
}

// deadToken says whether an answer means that the access token is no longer good. The real server says so with JWT_ERROR or
// UNAUTHORIZED, hardly ever with the documented TOKEN_EXPIRED, so every 401 of a bearer route counts, unless it is about the caller's
// own input.
func deadToken(cl *call, resp *http.Response) bool {
	api := errorOf(resp)
	if api == nil || api.effectiveStatus() != http.StatusUnauthorized || cl.token == "" {
		return false
	}
	if strings.HasPrefix(api.Message, "Missing or invalid Authorization header") {
		return false // the header did not arrive; another token in it would not either
	}
	if cl.route != nil && cl.route.Has(routes.Own401) {
		return api.Code.means(CodeTokenExpired) || api.Code.means(CodeInvalidToken) || // JWT_ERROR is one
			strings.HasPrefix(api.Message, "Session revoked or expired")
	}
	return true
}

// acquire gives the tokens to send with, and says whether they are new. Those known to be dead are renewed first, and so are those
// about to expire, once. Where there are none at all the request goes out without: the server's 401 is the answer.
func (a *authorizer) acquire(cl *call) (held Tokens, renewed bool, err error) {
	if err := a.load(cl); err != nil {
		return Tokens{}, false, err
	}
	s := a.s
	s.mu.Lock()
	held = s.cur
	needed := held.AccessToken == "" || s.dead
	// Only the call that comes first waits for a renewal ahead of expiry. The others go on with a token that still works; those that
	// meet its end are sent again.
	early := !s.early && !s.renewAt.IsZero() && !time.Now().Before(s.renewAt)
	// Sign-out works with an expired token, and a renewal only makes another one to be signed out.
	signOut := held.AccessToken != "" && cl.route != nil && cl.route.Template == logoutPath
	if held.RefreshToken == "" || signOut || !needed && !early {
		s.mu.Unlock()
		return held, false, nil
	}
	s.early = true
	s.mu.Unlock()
	cl.token = held.AccessToken
	fresh, err := a.renew(cl, !needed)
	switch {
	case err == nil:
		cl.refreshed = true
		return fresh, true, nil
	case errors.Is(err, errNotRenewable): // signed out while waiting, perhaps
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.cur, false, nil
	case needed || cl.Err() != nil:
		return Tokens{}, false, err
	default:
		return held, false, nil // still good as far as we know
	}
}

// replace gives tokens to send a refused call again with: those that somebody has got meanwhile, else new ones. renewed says that the
// refused ones were new themselves. errNotRenewable means that the 401 is the caller's, as it came.
func (a *authorizer) replace(cl *call, renewed bool) (Tokens, error) {
	s := a.s
	s.mu.Lock()
	if s.cur.AccessToken == cl.token {
		if s.helpless(cl.method+" "+cl.path, renewed) {
			gen := s.gen
			if renewed || s.locking == nil {
				s.mu.Unlock()
				return Tokens{}, errNotRenewable
			}
			// Another process may have renewed since: then it was that which ended this token.
			f := a.join(func(*flight) *renewalError { _, _, _ = s.look(context.Background(), gen); return nil })
			s.mu.Unlock()
			if err := f.wait(cl, false); err != nil {
				return Tokens{}, err
			}
			if f.err == nil && f.held.AccessToken != "" && f.held.AccessToken != cl.token {
				return f.held, nil
			}
			return Tokens{}, errNotRenewable
		}
		s.dead = true
	}
	s.mu.Unlock()
	return a.renew(cl, false)
}

// helpless says whether a new token would not help a call either: the refused one is new itself, or the like of this call was refused
// with a new one lately. A token that may have expired, or that was only found in the store, proves nothing. s.mu is held.
func (s *session) helpless(errand string, renewed bool) bool {
	if s.expiredIn(expiryGrain) || !s.renewed {
		return false
	}
	if !renewed {
		return time.Now().Before(s.uncured[errand])
	}
	if s.uncured == nil || len(s.uncured) >= maxUncured {
		s.uncured = map[string]time.Time{}
	}
	if s.stored == nil || !s.stored.same(s.cur) {
		// Tokens that could not be saved may have been overtaken: another process got the lock while this one was frozen. Once per errand
		// that is no proof either; the store has the newer ones.
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

// renew waits for tokens other than the one the call was sent with, starting a renewal if nobody else has. early says that the call can
// do without: it then waits for an answer of the server, but not for a store that is slow or locked for long.
func (a *authorizer) renew(cl *call, early bool) (Tokens, error) {
	s := a.s
	for range 2 { // the first may find no more than another refresh token in the store
		s.mu.Lock()
		held, gen := s.cur, s.gen
		var f *flight
		changed := held.AccessToken != cl.token && held.AccessToken != ""
		if !changed && held.RefreshToken != "" {
			f = a.join(func(f *flight) *renewalError { return a.renewal(gen, f) })
		}
		s.mu.Unlock()
		switch {
		case changed:
			return held, nil
		case f == nil:
			return Tokens{}, errNotRenewable
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
	return Tokens{}, errNotRenewable
}

var (
	errNotRenewable = errors.New("no refresh token, or a new token does not help this call")
	errStoreBusy    = errors.New("the token store takes its time")
)

// flight is an errand that all who need it wait for: reading the store, or a renewal.
type flight struct {
	sent atomic.Bool // a refresh token is presented, or may have been taken
	done chan struct{}
	held Tokens        // in use at its end
	err  *renewalError // both are set before done is closed
}

// join gives the flight under way, or starts one. s.mu is held.
func (a *authorizer) join(errand func(*flight) *renewalError) *flight {
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
		s.land(postponed("renewing the session", err))
	}
	return f
}

// land ends the flight and lets its waiters go. s.mu is held.
func (s *session) land(err *renewalError) {
	if f := s.flight; f != nil {
		f.held, f.err = s.cur, err
		close(f.done)
		s.flight = nil
	}
}

// wait waits for a flight as long as the call has time. Leaving does not end the flight. What was sent before it was refused unread,
// so nothing is unknown.
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
			return &NetworkError{Op: "renew", Err: contextEnd(cl), unsent: true}
		case <-over:
			return &NetworkError{Op: "renew", Err: errAttemptTimeout, unsent: true}
		case <-patience:
			if !f.sent.Load() {
				return errStoreBusy
			}
		}
	}
}

// renewal gets new tokens, under the store's lock where it has one. It belongs to no caller: it ends when it ends. What the store
// holds is looked at first: news needs no lock.
func (a *authorizer) renewal(gen uint64, f *flight) *renewalError {
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
		cl := a.newRenewal()
		var lock storeLock
		var fresh Tokens
		err := cl.gate().pass(cl) // before the lock, which nobody should wait for because of this
		if err == nil && s.locking == nil && cl.wait > 0 {
			// While it waited somebody else may have renewed, or SetTokens come: the refresh token may be used up.
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
			a.c.observeRenewal(RenewalEvent{Duration: time.Since(start), Unsaved: unsaved}, nil)
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
			failed = &renewalError{retryAt: time.Now(), cause: err}
		}
		s.holdBack(gen, failed)
		a.c.observeRenewal(RenewalEvent{Duration: time.Since(start)}, failed)
		return failed
	}
}

// follow ends a renewal that has nothing left to do.
func (a *authorizer) follow(found finding, start time.Time) (failed *renewalError) {
	if found == overtaken {
		return nil
	}
	if found == foundNone {
		failed = &renewalError{cause: errSignedOut}
	}
	a.c.observeRenewal(RenewalEvent{Duration: time.Since(start), Adopted: true}, failed)
	return failed
}

// storeFailed is a renewal that was not tried because of the store. The first of a row is reported, as every call may end in one.
func (a *authorizer) storeFailed(err error, start time.Time) *renewalError {
	failed := &renewalError{retryAt: time.Now().Add(time.Second), cause: err}
	if a.s.storeIs(true) && !a.c.fam.closing.closed.Load() {
		a.c.warn("nothing is renewed without the token store; the tokens held stay in use while they are good", err)
		a.c.observeRenewal(RenewalEvent{Duration: time.Since(start)}, failed)
	}
	return failed
}

// judge says what an error of a renewal means. It is tried again after wait, unless that is negative.
func (a *authorizer) judge(cl *call, err error, draw *backoff.ExponentialBackOff) (renewalOutcome, time.Duration, *renewalError) {
	api, _ := err.(*APIError) //nolint:errorlint // the layers below return their errors unwrapped
	cause := err
	if api != nil {
		cl.describe(api)
		cause = &renewalAnswer{api}
	}
	switch verdict := judgeRenewal(err); verdict {
	case tokenRefused:
		return verdict, -1, &renewalError{cause: cause}
	case tokenInDoubt:
		return verdict, -1, &renewalError{retryAt: cl.presented().Add(renewalDoubt), cause: cause, inDoubt: true}
	case tokenUnseen:
	}
	wait := max(draw.NextBackOff(), 0)
	if asked := askedOfRenewal(err); asked > 0 {
		wait = max(wait, asked) + spread(asked)
	}
	failed := &renewalError{retryAt: time.Now().Add(max(wait, time.Second)), cause: cause}
	if !weigh(cl, api, err).again || wait > a.c.cfg.retry.MaxRetryAfter {
		wait = -1
	}
	return tokenUnseen, wait, failed
}

// What a renewal that gave no tokens means for the refresh token.
type renewalOutcome int

const (
	tokenInDoubt renewalOutcome = iota // the server may have taken it: the answer was lost, or is none
	tokenUnseen                        // it did not reach the handler
	tokenRefused                       // the server does not take it
)

func judgeRenewal(err error) renewalOutcome {
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
		// Other 4xx without an API error are a proxy's, of which nothing is known: no reason to sign anybody out.
	}
	return tokenInDoubt
}

// askedOfRenewal is how long the server, or the client on its behalf, asks to leave it alone.
func askedOfRenewal(err error) time.Duration {
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

var errLostTokens = errors.New("the server's answer to the renewal holds no tokens")

// newRenewal makes the call that renews, but for its body. It is nobody's call, so it has its own time, and the layers above do not
// repeat it.
func (a *authorizer) newRenewal() *call {
	route := routes.ByTemplate(http.MethodPost, refreshPath)
	cl, _ := a.c.newCall(context.Background(), http.MethodPost, route, refreshPath, "") // fails for a nil context only
	cl.group = groupRefresh
	cl.halt = a.c.fam.closing.ctx.Done()
	cl.settle()
	return cl
}

// gate is that of the call's limiter.
func (cl *call) gate() *gate { return &cl.client.fam.gates[cl.limiter()] }

// present exchanges the refresh token, through the layers below: its own circuit breaker, and the wire.
func (a *authorizer) present(cl *call, refreshToken string, lock storeLock) (Tokens, error) {
	_ = cl.encode(map[string]string{"refresh_token": refreshToken}) // texts can always be encoded
	cl.token = refreshToken                                         // not sent as a credential, but scrubbed from messages that repeat it
	req := (&http.Request{Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: http.Header{}}).WithContext(cl)
	req.Body, req.ContentLength = newAnswer(cl.body, nil), int64(len(cl.body))
	cl.began = time.Now()
	cl.deadline = cl.began.Add(renewalDoubt) // there is no caller who could cancel it
	if lock.stale(cl.began) {
		return Tokens{}, &NetworkError{Op: "renew", Method: cl.method, Path: cl.path, Err: errStaleLock, unsent: true}
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
