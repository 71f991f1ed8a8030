package authos

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/authos-go/authos/internal/routes"
	"github.com/authos-go/authos/internal/runlog"
	core "github.com/authos-go/authos/internal/session"
)

// The session layer sends a call with the session's token, and has that refreshed when it is dead.
// What a session does with its tokens is decided by internal/session; refresh_session.go carries
// that out. Here is what a call does.

const (
	// expiryGrain is how much sooner than told a token may end: its life is told in whole seconds,
	// which may be rounded up.
	expiryGrain = time.Second
	// maxSends bounds how often one attempt follows tokens that others refresh, maxOwn how often it
	// is sent again after a refresh of this process.
	maxSends, maxOwn = 8, 2
	// coolDown is how long a kind of call that a new token did not help is refused without another.
	coolDown = 5 * time.Minute

	refreshPath = "/api/auth/refresh"
)

// sessionLayer is the layer that chooses the token a request is sent with, and sends it again with
// a new one when the token turns out to be dead. The wire writes it into the header, on the
// attempt's own copy of the request.
type sessionLayer struct {
	c       *agent
	s       *session
	caching bool // responses are cached
	next    http.RoundTripper
}

func newSessionLayer(a *agent, s *session, caching bool, next http.RoundTripper) http.RoundTripper {
	a.below = next
	return &sessionLayer{c: a, s: s, caching: caching, next: next}
}

// RoundTrip implements [http.RoundTripper].
func (l *sessionLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if cl.auth != routes.AuthBearer {
		return l.next.RoundTrip(req)
	}
	if err := l.authorize(cl); err != nil {
		return nil, err
	}
	for sends := 1; ; sends++ {
		resp, err := l.next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if !deadToken(cl, resp) {
			l.accepted(cl, resp)
			return resp, nil
		}
		before := cl.last
		cl.refused.Store(true)
		cl.last = errorOf(resp) // a SessionError carries the call's own 401
		if sends == maxSends {
			return resp, nil
		}
		switch err := l.replace(cl); {
		case errors.Is(err, errHelpless):
			return resp, nil
		case err != nil:
			return nil, err
		}
		// The 401 is dealt with: it is not what a later failure is about.
		cl.last, cl.refreshed = before, true
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

var (
	errHelpless = errors.New("no refresh token, or a new token does not help this call")
	errEnough   = errors.New("the token is still good, and the call has no more time for a new one")
)

// begin notes for whom a call began: it is carried out for nobody else.
func (s *session) begin(cl *call) {
	if cl.auth != routes.AuthBearer {
		return
	}
	s.mu.Lock()
	if !s.held.isZero() {
		s.bind(cl)
	}
	s.mu.Unlock()
}

// bind makes a call that of the tokens held. s.mu is held.
func (s *session) bind(cl *call) {
	cl.owned, cl.signIn, cl.owner = true, s.state.SignIn, s.held.owner
	if watch := s.all.watch; watch != nil {
		watch(&runlog.Step{Session: s.number, Call: cl.requestID})
	}
}

// use gives a call the tokens held, if it may have them. s.mu is held.
func (s *session) use(cl *call) error {
	switch {
	case !cl.owned:
		s.bind(cl)
	case core.Default.Serves(s.state, cl.signIn, cl.owner != "" && cl.owner == s.held.owner):
	case s.held.isZero():
		return &SessionError{Err: errSignedOut}
	default:
		return &SessionError{Err: errAnother, foreign: true}
	}
	cl.token, cl.era = s.held.AccessToken, s.state.Era
	return nil
}

// unknown reports whether the store is to be asked: at first, and while it is empty, since somebody
// may sign in there. s.mu is held.
func (s *session) unknown() bool { return !s.state.Loaded || s.held.isZero() && !s.private }

// load finds out what the store holds, where that is not known.
func (s *session) load(cl *call) error {
	for {
		s.mu.Lock()
		unknown := s.unknown()
		s.mu.Unlock()
		if !unknown {
			return nil
		}
		f := s.need(cl.client, core.NeedLoad, false, "")
		if err := s.await(cl, f, false); err != nil {
			return err
		}
		if f.failed != nil {
			return f.failed.sessionError()
		}
		if f.goal == core.Load {
			return nil
		}
	}
}

// authorize gives a call the tokens to be sent with. Those known to be dead, or to have expired,
// are refreshed first, and so are those about to expire, once. Where there are none at all the
// request goes out without: the server's 401 is the response.
func (l *sessionLayer) authorize(cl *call) error {
	s := l.s
	for tries := 0; ; tries++ {
		s.mu.Lock()
		if tries == 0 && s.unknown() {
			s.mu.Unlock()
			if err := s.load(cl); err != nil {
				return err
			}
			s.mu.Lock()
		}
		if err := s.use(cl); err != nil {
			s.mu.Unlock()
			return err
		}
		needed, early := s.due(cl)
		if tries > maxOwn || !needed && !early {
			s.mu.Unlock()
			return nil
		}
		s.early = true
		s.mu.Unlock()
		f := s.need(l.c, core.Need, !needed, cl.token)
		err := s.await(cl, f, !needed)
		if err == nil && f.failed != nil {
			err = f.failed.sessionError()
		}
		switch {
		case err == nil:
			cl.own += owned(f)
			cl.refreshed = cl.refreshed || f.moved
		case needed || cl.Err() != nil:
			return err
		default:
			return nil // still good as far as we know
		}
	}
}

// owned is 1 for a refresh of this process.
func owned(f *flight) uint8 {
	if f.obtained {
		return 1
	}
	return 0
}

// due reports whether the tokens held need a refresh before they are sent, and whether it is time
// for the one ahead of expiry. s.mu is held.
func (s *session) due(cl *call) (needed, early bool) {
	if s.held.RefreshToken == "" {
		return false, false
	}
	// Sign-out works with an expired token, and a refresh only makes another one to be signed out.
	if s.held.AccessToken != "" && cl.route != nil && cl.route.Template == logoutPath {
		return false, false
	}
	if s.held.AccessToken == "" || s.dead {
		return true, false
	}
	if s.renewAt.IsZero() {
		return false, false
	}
	now := time.Now()
	if !now.Before(s.held.ExpiresAt) {
		return true, false
	}
	return false, !s.early && !now.Before(s.renewAt)
}

// replace gives a refused call other tokens: those that somebody has got meanwhile, else new ones.
// errHelpless means that the 401 is the caller's, as it came.
func (l *sessionLayer) replace(cl *call) error {
	s := l.s
	refused, looked, waited := cl.token, false, false
	for range maxSends {
		s.mu.Lock()
		if s.held.isZero() && cl.owned {
			s.mu.Unlock()
			return &SessionError{Err: errSignedOut}
		}
		if s.held.AccessToken != refused && s.held.AccessToken != "" {
			if !waited && s.held.obtained {
				cl.own++ // by a refresh that ended meanwhile
			}
			err := s.use(cl)
			s.mu.Unlock()
			return err
		}
		helpless := s.held.RefreshToken == "" || s.helpless(cl)
		s.mu.Unlock()
		kind := core.Need
		switch {
		case helpless && (s.private || looked):
			return errHelpless
		case helpless:
			kind, looked = core.NeedLook, true // another process may have refreshed since
		default:
			s.denied(refused)
		}
		f := s.need(l.c, kind, false, refused)
		if err := s.await(cl, f, false); err != nil {
			return err
		}
		if f.failed != nil && kind == core.NeedLook && f.goal == core.Look {
			return errHelpless // the store does not tell; what the server said holds
		}
		if f.failed != nil {
			return f.failed.sessionError()
		}
		cl.own += owned(f)
		waited = waited || f.goal == core.Refresh
	}
	return errHelpless
}

// denied tells the session that the server has refused a token.
func (s *session) denied(token string) {
	s.enter(func() core.Event {
		if s.held.AccessToken != token {
			return core.Event{Kind: core.Tick}
		}
		s.dead = true
		expires := s.held.ExpiresAt
		early := !expires.IsZero() && time.Now().Add(expiryGrain).Before(expires)
		return core.Event{Kind: core.Denied, Pair: s.state.Held, OK: early}
	})
}

// helpless reports whether a new token would not help a call either: the refused one is new itself,
// or the like of this call was refused with a new one lately. A token that may have expired, or
// that was only found in the store, proves nothing. s.mu is held.
func (s *session) helpless(cl *call) bool {
	expires := s.held.ExpiresAt
	expired := !expires.IsZero() && !time.Now().Add(expiryGrain).Before(expires)
	if cl.own >= maxOwn {
		return true
	}
	if expired || !s.held.obtained {
		return false
	}
	if cl.own == 0 {
		return time.Now().Before(s.useless[cl.route])
	}
	if s.useless == nil {
		s.useless = map[*routes.Route]time.Time{}
	}
	s.useless[cl.route] = time.Now().Add(coolDown)
	return true
}

// accepted notes that the server took a token, so that what it says about its principal may be
// believed. Only a JSON success of a known route is such a word: sign-out returns 200 to any token,
// and a proxy's redirect or page to anybody.
func (l *sessionLayer) accepted(cl *call, resp *http.Response) {
	s := l.s
	if cl.token == "" || cl.route == nil || cl.route.Has(routes.Own401) ||
		errorOf(resp) != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return
	}
	s.mu.Lock()
	witness := s.state.Suspect || s.state.Refused
	if s.held.AccessToken != cl.token || !witness && (!l.caching || s.trusted) || !json.Valid(bodyOf(resp)) {
		s.mu.Unlock()
		return
	}
	s.trusted = true
	if s.held.owner != "" {
		s.who = s.held.owner
	}
	s.mu.Unlock()
	if !witness {
		return
	}
	s.enter(func() core.Event {
		if s.held.AccessToken != cl.token {
			return core.Event{Kind: core.Tick}
		}
		s.dead = false
		return core.Event{Kind: core.Accepted, Pair: s.state.Held, N: cl.era}
	})
}

// quietCall makes a call of the session's own. It is nobody's, so it has its own time, and the
// layers above do not repeat it.
func (a *agent) quietCall(ctx context.Context, path string) (*call, error) {
	cl, err := a.newCall(ctx, http.MethodPost, routes.ByTemplate(http.MethodPost, path), path, "")
	if err != nil {
		return nil, err
	}
	cl.group = groupRefresh
	cl.settle()
	cl.began = time.Now()
	return cl, nil
}

// request is the call as the layers below the session see it.
func (cl *call) request() *http.Request {
	req := (&http.Request{Method: cl.method, URL: cl.url, Host: cl.url.Host, Header: http.Header{}}).WithContext(cl)
	req.Body, req.ContentLength = newBody(cl.body, nil), int64(len(cl.body))
	return req
}
