package authos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The session layer puts the credential on and renews it. Its rules come from the server's: a refresh token is single-use, a second
// presentation destroys the session together with the tokens the first one gave; the old access token dies at that moment; and
// there is no grace period. So there is one renewal at a time for a session, by whoever comes first, for everybody.

const (
	// renewalDoubt is how long a renewal without an answer may still be at work: the server gives up after 30 s.
	renewalDoubt = 35 * time.Second
	// refusalCoolDown is when a refused renewal may be tried once more: a suspended organization refuses, but keeps the session.
	refusalCoolDown = 5 * time.Minute
	// storeTimeout bounds each use of the token store during a renewal; a lock may be held by another process's renewal.
	storeTimeout = 10 * time.Second
	lockTimeout  = 2 * renewalDoubt
	// maxResends bounds how often one attempt follows a token that others renew again and again.
	maxResends = 3

	refreshPath = "/api/auth/refresh"
)

// session is the state of one principal's tokens, shared by all clients that speak for it.
type session struct {
	store   TokenStore
	locking LockingTokenStore // store, when it can lock
	seed    Tokens
	before  time.Duration // WithRefreshBefore
	writing chan struct{} // holds one token: the turn to write the store

	mu      sync.Mutex // never held during I/O
	loaded  bool
	cur     Tokens
	stored  Tokens // what the store holds as far as we know; differs from cur after a failed save
	gen     uint64 // counts SetTokens: what began before one changes nothing after it
	renewAt time.Time
	expires time.Time
	early   bool            // cur has had its renewal ahead of expiry
	dead    string          // an access token that the server refused
	uncured map[string]bool // calls that cur was refused for although it was new
	flight  *flight
	refusal *refusal
	doubt   *renewalError // the last renewal's outcome is unknown until its retryAt
	who     string        // names the principal for kept answers
	trusted bool          // the server has accepted cur, or gave it to us
}

// flight is an errand that all who need it wait for: loading the store, or a renewal.
type flight struct {
	done  chan struct{}
	ended bool          // guarded by session.mu: done is closed
	err   *renewalError // set before done is closed
}

// refusal is a refresh token that the server does not take.
type refusal struct {
	token string
	err   *renewalError
	until time.Time
}

// renewalError is why there are no new tokens. A zero retryAt is the server's refusal.
type renewalError struct {
	retryAt time.Time
	cause   error
	doubt   bool // the server may have taken the refresh token
}

// sessionError makes each waiter's own error: errors carry facts of the call they end.
func (e *renewalError) sessionError() *SessionError {
	return &SessionError{RetryAt: e.retryAt, Err: e.cause}
}

// renewalAnswer is the server's answer to a renewal as other calls may see it: its code and kind match, but it is not their answer,
// so errors.As does not find an *APIError in it.
type renewalAnswer struct{ api *APIError }

func (e *renewalAnswer) Error() string        { return e.api.Error() }
func (e *renewalAnswer) Is(target error) bool { return e.api.Is(target) }

func newSession(cfg *config) *session {
	s := &session{store: cfg.store, seed: cfg.tokens, before: cfg.refreshBefore, writing: make(chan struct{}, 1)}
	if s.store == nil {
		s.store = &memoryStore{}
	}
	s.locking, _ = s.store.(LockingTokenStore)
	return s
}

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
	if cl.auth != authBearer {
		return a.next.RoundTrip(req)
	}
	held, err := a.s.acquire(cl, a)
	if err != nil {
		return nil, err
	}
	renewed := false
	for resend := 0; ; resend++ {
		cl.token = held.AccessToken
		resp, err := a.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if !deadToken(cl, resp) {
			if errorOf(resp) == nil {
				a.accepted(cl)
			}
			return resp, nil
		}
		cl.last = errorOf(resp)
		fresh, again := a.s.newer(cl)
		if !again {
			if renewed {
				a.s.notCured(cl)
				return resp, nil
			}
			fresh, err = a.s.renew(cl, a, true)
			if errors.Is(err, errNotRenewable) {
				return resp, nil
			}
			if err != nil {
				return nil, err
			}
			renewed = true
		}
		if resend >= maxResends || fresh.AccessToken == "" {
			return resp, nil
		}
		cl.refreshed = true
		held = fresh
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
	if cl.route != nil && cl.route.has(flagOwn401) {
		return api.Code.means(CodeTokenExpired) || api.Code.means(CodeJWTError) ||
			strings.HasPrefix(api.Message, "Session revoked or expired")
	}
	return true
}

// acquire gives the tokens to send with. Tokens known to be dead are renewed first, and so are tokens about to expire, once. Where
// there are none at all, the request goes out without: the server's 401 is the answer.
func (s *session) acquire(cl *call, a *authorizer) (Tokens, error) {
	s.mu.Lock()
	if !s.loaded {
		s.mu.Unlock()
		if err := s.load(cl, a); err != nil {
			return Tokens{}, err
		}
		s.mu.Lock()
	}
	// Sign-out works with an expired token, and a renewal only makes another one to be signed out.
	signOut := cl.route != nil && cl.route.template == logoutPath
	held := s.cur
	if held.RefreshToken == "" || signOut {
		s.mu.Unlock()
		return held, nil
	}
	if held.AccessToken == "" || held.AccessToken == s.dead {
		s.mu.Unlock()
		cl.token = held.AccessToken
		fresh, err := s.renew(cl, a, true)
		cl.refreshed = err == nil
		return fresh, err
	}
	if s.early || s.renewAt.IsZero() || time.Now().Before(s.renewAt) {
		s.mu.Unlock()
		return held, nil
	}
	s.early = true
	s.mu.Unlock()
	// Only the call that comes first waits. The others go on with a token that still works; those that meet its end are sent again.
	cl.token = held.AccessToken
	fresh, err := s.renew(cl, a, false)
	if err == nil {
		cl.refreshed = true
		return fresh, nil
	}
	if cl.Err() != nil {
		return Tokens{}, err
	}
	return held, nil // the token is still good as far as we know
}

// newer gives the held tokens when they are others than the ones sent: somebody has renewed them meanwhile.
func (s *session) newer(cl *call) (Tokens, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur, s.cur.AccessToken != cl.token && s.cur.AccessToken != ""
}

// renew waits for tokens other than the one the call was sent with, starting a renewal if nobody else has. dead says that the server
// has refused that one.
func (s *session) renew(cl *call, a *authorizer, dead bool) (Tokens, error) {
	used := cl.token
	for {
		s.mu.Lock()
		switch {
		case s.cur.AccessToken != used && s.cur.AccessToken != "":
			fresh := s.cur
			s.mu.Unlock()
			return fresh, nil
		case s.cur.RefreshToken == "", s.uncured[cl.errand()] && (s.expires.IsZero() || time.Now().Before(s.expires)):
			s.mu.Unlock()
			return Tokens{}, errNotRenewable
		}
		if dead {
			s.dead = used
		}
		f, mine, gen := s.depart()
		s.mu.Unlock()
		if mine {
			if err := a.c.fam.closing.launch(func() { s.arrive(f, gen, s.renewal(a, gen)) }); err != nil {
				s.arrive(f, gen, &renewalError{retryAt: time.Now(), cause: err})
			}
		}
		if err := f.wait(cl); err != nil {
			return Tokens{}, err
		}
		if fresh, ok := s.newer(cl); ok {
			return fresh, nil
		}
		if f.err != nil {
			return Tokens{}, f.err.sessionError()
		}
	}
}

// errand names what a call is about, to remember that a new token did not help it.
func (cl *call) errand() string { return cl.method + " " + cl.path }

// notCured remembers that a new token was refused for this kind of call: renewing it again would not help either.
func (s *session) notCured(cl *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const most = 64 // kinds of calls; beyond it a renewal more is tried
	if s.cur.AccessToken != cl.token || len(s.uncured) >= most {
		return
	}
	if s.uncured == nil {
		s.uncured = map[string]bool{}
	}
	s.uncured[cl.errand()] = true
	s.dead = ""
}

// depart joins the flight under way or makes a new one, which the caller must then launch. s.mu is held.
func (s *session) depart() (f *flight, mine bool, gen uint64) {
	if s.flight == nil {
		s.flight = &flight{done: make(chan struct{})}
		return s.flight, true, s.gen
	}
	return s.flight, false, s.gen
}

// arrive ends a flight. What began before SetTokens changes nothing after it.
func (s *session) arrive(f *flight, gen uint64, err *renewalError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != gen || f.ended {
		return
	}
	switch {
	case err == nil:
	case err.doubt:
		s.doubt = err
	case err.retryAt.IsZero() && (s.refusal == nil || s.refusal.err != err): // a new one, not the old one repeated
		s.refusal, s.doubt = &refusal{s.cur.RefreshToken, err, time.Now().Add(refusalCoolDown)}, nil
	}
	f.err = err
	s.land()
}

// land lets the waiters of the flight go. s.mu is held.
func (s *session) land() {
	if f := s.flight; f != nil {
		f.ended = true
		close(f.done)
		s.flight = nil
	}
}

// wait waits for a flight as long as the call has time. Leaving does not end the flight.
func (f *flight) wait(cl *call) error {
	var over <-chan time.Time
	if !cl.deadline.IsZero() {
		timer := time.NewTimer(time.Until(cl.deadline))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-f.done:
		return nil
	case <-cl.Done():
		return cl.ended("renew")
	case <-over:
		return &NetworkError{Op: "renew", Err: errAttemptTimeout, unsent: true}
	}
}

// load reads the store on first use, and seeds it when it is empty.
func (s *session) load(cl *call, a *authorizer) error {
	for {
		s.mu.Lock()
		if s.loaded {
			s.mu.Unlock()
			return nil
		}
		f, mine, gen := s.depart()
		s.mu.Unlock()
		if mine {
			if err := a.c.fam.closing.launch(func() { s.arrive(f, gen, s.first(a, gen)) }); err != nil {
				s.arrive(f, gen, &renewalError{retryAt: time.Now(), cause: err})
			}
		}
		if err := f.wait(cl); err != nil {
			return err
		}
		if f.err != nil {
			return f.err.sessionError()
		}
	}
}

func (s *session) first(a *authorizer, gen uint64) *renewalError {
	if s.locking != nil && !s.seed.isZero() {
		unlock, err := s.lock() // of several processes that find the store empty, one seeds it
		if err != nil {
			return &renewalError{retryAt: time.Now(), cause: fmt.Errorf("locking the token store: %w", err)}
		}
		defer unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	tokens, err := s.store.Load(ctx)
	if err != nil {
		return &renewalError{retryAt: time.Now(), cause: fmt.Errorf("loading the tokens: %w", err)}
	}
	if tokens.isZero() && !s.seed.isZero() {
		tokens = s.seed
		return s.install(a, gen, tokens, false)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		s.adopt(tokens, false)
		s.stored = tokens
	}
	return nil
}

// renewal makes new tokens, under the store's lock where it has one. It belongs to no caller: it ends when it ends.
func (s *session) renewal(a *authorizer, gen uint64) (failed *renewalError) {
	start := time.Now()
	var adopted bool
	defer func() { a.c.observeRenewal(time.Since(start), adopted, failed) }()
	if s.locking != nil {
		unlock, err := s.lock()
		if err != nil {
			// Without the lock another process may be renewing right now, and one of the two would destroy the session.
			return &renewalError{retryAt: time.Now().Add(time.Second), cause: fmt.Errorf("locking the token store: %w", err)}
		}
		defer unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	stored, err := s.store.Load(ctx)
	cancel()
	s.mu.Lock()
	if s.gen != gen {
		s.mu.Unlock()
		return nil // signed out, or given other tokens, which are none of this renewal's business
	}
	held, known, refused, doubt := s.cur, s.stored, s.refusal, s.doubt
	changed := err == nil && !stored.same(known)
	if changed {
		s.adopt(stored, false)
		s.stored = stored
		adopted = true
	}
	s.mu.Unlock()
	now := time.Now()
	switch {
	case changed && stored.isZero():
		return &renewalError{cause: errSignedOut}
	case changed && stored.AccessToken != held.AccessToken:
		return nil // somebody else has renewed, or signed in
	case changed:
		held = stored
	case err != nil && s.locking != nil:
		return &renewalError{retryAt: now.Add(time.Second), cause: fmt.Errorf("loading the tokens: %w", err)}
	case err != nil:
		a.c.warn("token store could not be read; going on with the tokens held", err)
	}
	if !changed && refused != nil && refused.token == held.RefreshToken && now.Before(refused.until) {
		return refused.err
	}
	if !changed && doubt != nil && now.Before(doubt.retryAt) {
		return doubt
	}
	fresh, failed := s.present(a, held.RefreshToken)
	if failed != nil {
		return failed
	}
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = held.RefreshToken // RFC 6749, section 6: a server that does not rotate need not send it again
	}
	return s.install(a, gen, fresh, true)
}

var errSignedOut = errors.New("signed out: the token store is empty")

func (s *session) lock() (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	return s.locking.Lock(ctx)
}

// present sends the refresh token. It is sent again only when it certainly did not reach the server: a second presentation of a
// token that was taken destroys the session.
func (s *session) present(a *authorizer, refreshToken string) (Tokens, *renewalError) {
	policy := a.c.cfg.retry
	draw := newBackoff(policy, 2)
	for try := 1; ; try++ {
		sentAt := time.Now()
		cl, body, api, err := s.presentOnce(a, refreshToken)
		if err == nil && api == nil {
			if body.AccessToken != "" && !body.preAuth() {
				return body.tokens(), nil
			}
			// A success without tokens: they were made, and lost on the way.
			return Tokens{}, &renewalError{retryAt: sentAt.Add(renewalDoubt), cause: errLostTokens, doubt: true}
		}
		w := weigh(cl, api, err)
		wait := draw.NextBackOff()
		if api != nil && api.waitAsked {
			wait = max(wait, api.RetryAfter)
		}
		cause := err
		if api != nil {
			cl.describe(api)
			cause = &renewalAnswer{api}
		}
		switch refused := api != nil && api.effectiveStatus() < 500 && !w.again && !w.acted; {
		case refused && api.effectiveStatus() != http.StatusTooManyRequests:
			return Tokens{}, &renewalError{cause: cause}
		case w.acted, api != nil && !w.again && !refused:
			return Tokens{}, &renewalError{retryAt: sentAt.Add(renewalDoubt), cause: cause, doubt: true}
		case !w.again || try >= policy.MaxAttempts || wait > policy.MaxRetryAfter || a.c.fam.closing.closed.Load():
			retryAt := time.Now().Add(wait)
			if open, ok := errors.AsType[*CircuitOpenError](err); ok {
				retryAt = open.RetryAt
			} else if held, ok := errors.AsType[*RateLimitError](err); ok {
				retryAt = time.Now().Add(held.RetryAfter)
			}
			return Tokens{}, &renewalError{retryAt: retryAt, cause: cause}
		}
		if err := cl.pause(wait); err != nil {
			return Tokens{}, &renewalError{retryAt: time.Now(), cause: err}
		}
	}
}

var errLostTokens = errors.New("the server's answer to the renewal holds no tokens")

// presentOnce sends one renewal through the layers below: its own circuit breaker, and the wire. It is nobody's call and is not
// retried by the layer above.
func (s *session) presentOnce(a *authorizer, refreshToken string) (*call, tokenBody, *APIError, error) {
	var body tokenBody
	route := routeByTemplate(http.MethodPost, refreshPath)
	cl, err := a.c.newCall(context.Background(), http.MethodPost, route, refreshPath, "")
	if err == nil {
		err = cl.encode(map[string]string{"refresh_token": refreshToken})
	}
	if err != nil {
		return cl, body, nil, err
	}
	cl.group = groupRenewal
	cl.halt = a.c.fam.closing.done
	cl.settle()
	cl.token = refreshToken // so that a message which repeats it is scrubbed
	if err := a.c.fam.gates[cl.bucket()].pass(cl); err != nil {
		return cl, body, nil, err
	}
	req := (&http.Request{Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: http.Header{}}).WithContext(cl)
	req.Body, req.ContentLength = newAnswer(cl.body, nil), int64(len(cl.body))
	cl.began = time.Now()
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		if ne, ok := errors.AsType[*NetworkError](err); ok {
			ne.Method, ne.Path, ne.ClientRequestID = cl.method, cl.path, cl.requestID
		}
		if cl.sent {
			cl.observeAttempt(0, err)
		}
		return cl, body, nil, err
	}
	cl.observeAttempt(resp.StatusCode, nil)
	if api := errorOf(resp); api != nil {
		return cl, body, api, nil
	}
	if resp.StatusCode < 300 {
		_ = cl.decode(resp, &body) // what cannot be read has no tokens
	}
	return cl, body, nil, nil
}

// install saves tokens, then puts them in use. When saving fails they are used all the same, and the failure is reported: the
// tokens before them are no longer good.
func (s *session) install(a *authorizer, gen uint64, t Tokens, obtained bool) *renewalError {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	current := s.gen == gen
	s.mu.Unlock()
	if !current {
		return nil // signed out, or given other tokens, while the renewal was under way
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := s.store.Save(ctx, t)
	if err != nil {
		a.c.warn("new tokens could not be saved; they are in use, but would not survive this process", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != gen {
		return nil
	}
	if err == nil {
		s.stored = t
	}
	s.adopt(t, obtained)
	return nil
}

// adopt puts tokens in use. s.mu is held.
func (s *session) adopt(t Tokens, obtained bool) {
	if claims, ok := jwtPrincipal(t.AccessToken); ok && obtained {
		s.who, s.trusted = claims, true
	} else if !obtained || s.who == "" {
		// Opaque tokens that we obtained ourselves continue the principal of the ones before.
		s.who, s.trusted = digest("token", t.AccessToken), false
	}
	s.loaded, s.cur, s.early = true, t, false
	s.dead, s.uncured, s.refusal, s.doubt = "", nil, nil, nil
	s.renewAt, s.expires = time.Time{}, t.ExpiresAt
	if life := time.Until(t.ExpiresAt); !t.ExpiresAt.IsZero() && s.before > 0 {
		s.renewAt = t.ExpiresAt.Add(-min(s.before, max(life, 0)/5))
	}
}

// accepted notes that the server took a token, so that what it says about its principal may be believed.
func (a *authorizer) accepted(cl *call) {
	if a.c.fam.cache == nil || cl.token == "" {
		return
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trusted || s.cur.AccessToken != cl.token {
		return
	}
	s.trusted = true
	if claims, ok := jwtPrincipal(cl.token); ok {
		s.who = claims
	}
}

// principal names whose answers are kept and served. A token that the server has not accepted here names nobody but itself: a
// forged one must not open somebody else's entries.
func (s *session) principal() (who string, gen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur.AccessToken == "" {
		return "anonymous", s.gen
	}
	return s.who, s.gen
}

// held gives the tokens in use, for the program.
func (s *session) held(ctx context.Context, c *Client) (Tokens, error) {
	if ctx == nil {
		return Tokens{}, invalid("ctx", CodeRequired, "must not be nil")
	}
	if err := s.load(&call{Context: ctx, caller: ctx, client: c}, &authorizer{c: c, s: s}); err != nil {
		return Tokens{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur, nil
}

// setTokens replaces the tokens; zero ones sign out.
func (c *Client) setTokens(ctx context.Context, t Tokens) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	s := c.session
	s.mu.Lock()
	s.gen++ // what is in flight changes nothing from here on
	who := s.who
	s.adopt(t, false)
	s.land()
	s.mu.Unlock()
	if t.isZero() && c.fam.cache != nil && who != "" {
		c.fam.cache.forgetPrincipal(ctx, who)
	}
	// The lock comes before the turn to write, as in a renewal, which may be holding it now.
	if s.locking != nil {
		unlock, err := s.locking.Lock(ctx)
		if err != nil {
			return fmt.Errorf("authos: locking the token store: %w", err)
		}
		defer unlock()
	}
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return fmt.Errorf("authos: saving the tokens: %w", contextEnd(ctx))
	}
	write := func() error { return s.store.Save(ctx, t) }
	if t.isZero() {
		write = func() error { return s.store.Delete(ctx) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("authos: saving the tokens: %w", err)
	}
	s.mu.Lock()
	s.stored = t
	s.mu.Unlock()
	return nil
}
