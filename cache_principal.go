package authos

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/authos-go/authos/internal/jwt"
	"github.com/authos-go/authos/internal/routes"
)

// Whose cached responses a session may see. A token names its user itself, and a forged one names
// whom it likes: it is believed once the server has accepted it here, or gave it to us. A program
// that is started during an outage has nobody to ask. So what the store of cached responses
// outlives the process with is also a proof of each token from the program's own token store that
// was accepted or obtained: a key made of the token, beside the responses of its principal.

// proof is what a client has written last, so that it is not written with each response.
type proof struct {
	mu    sync.Mutex
	token string
	until time.Time // to be written again from then on
}

// judge takes note of what the end of a call says of who sent it: a credential that was refused is
// served nothing any more, until it is taken again.
func (f *cacheLayer) judge(cl *call, resp *http.Response, err error) {
	var api *APIError
	if err == nil {
		api = errorOf(resp)
	}
	switch {
	case errors.Is(err, ErrSessionExpired), api != nil && refusesSender(cl, api):
		f.refused(cl)
	case err == nil && api == nil && resp.StatusCode/100 == 2 && cl.auth == routes.AuthAPIKey && f.keyRefused.Load():
		f.keyRefused.Store(false)
	}
	if cl.refreshed {
		f.prove(cl) // also where the call itself has failed: the tokens are new
	}
}

// refusesSender reports whether a response refuses the one who asks, not what was asked for.
func refusesSender(cl *call, api *APIError) bool {
	switch api.effectiveStatus() {
	case http.StatusUnauthorized:
		return cl.route == nil || !cl.route.Has(routes.Own401)
	case http.StatusForbidden:
		return api.hasCode(CodeOrganizationNotActive)
	default:
		return false
	}
}

// refused forgets what only the refused credential could see.
func (f *cacheLayer) refused(cl *call) {
	ctx := cl.Context
	switch cl.auth {
	case routes.AuthAPIKey:
		if !f.keyRefused.Swap(true) {
			f.cache.forgetPrincipal(ctx, f.keyPrincipal)
		}
	case routes.AuthBearer:
		if token, who := f.session.distrust(cl.token); token != "" {
			f.cache.forgetPrincipal(ctx, jwt.Digest("token", token))
			f.drop(cl, who, proofOf(token)+"/")
			f.proof.mu.Lock()
			f.proof.token = ""
			f.proof.mu.Unlock()
		}
	case routes.AuthNone:
	}
}

// proofOf is a token's key below its principal's. No path begins so.
func proofOf(token string) string { return "/accepted/" + jwt.Digest("accepted", token) }

// proofLife is how long a proof holds: longer than any response that was cached with the token may
// be served, when it is written again each half of that.
func (f *cacheLayer) proofLife() time.Duration { return 2 * f.cache.policy.MaxStale }

// prove writes the proof of the session's token, where it is wanted and not there.
func (f *cacheLayer) prove(cl *call) {
	if f.cache.policy.Store == nil || cl.auth != routes.AuthBearer {
		return
	}
	token, who := f.session.provable()
	now := time.Now()
	f.proof.mu.Lock()
	there := token == "" || f.proof.token == token && now.Before(f.proof.until)
	if !there {
		f.proof.token, f.proof.until = token, now.Add(f.cache.policy.MaxStale/2)
	}
	f.proof.mu.Unlock()
	if there {
		return
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	k := cachedResponse{at: f.cache.clock(now), instance: f.cache.instance, body: []byte("true")}
	if err := f.cache.store.Set(ctx, f.cache.base+who+proofOf(token)+"/-", k.encode(), f.proofLife()); err != nil {
		f.c.warn("it could not be noted that a token was accepted", err)
	}
}

// believe looks for the proof of a token that the program's own token store gave and that nobody
// here has had to do with yet.
func (f *cacheLayer) believe(cl *call) {
	if f.cache.policy.Store == nil || cl.auth != routes.AuthBearer {
		return
	}
	token, claims := f.session.unproven()
	if token == "" {
		return
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	value, ok, err := f.cache.store.Get(ctx, f.cache.base+claims+proofOf(token)+"/-")
	if err != nil || !ok {
		return
	}
	if k, ok := parseCached(value, false); ok {
		if age := f.cache.age(&k); age >= 0 && age <= f.proofLife() && k.at.UnixNano() > f.cache.distrusted.Load() {
			f.session.proved(token, claims)
		}
	}
}

// distrust takes back that a token was accepted, and gives it with the principal it claims to be
// of; nothing where another one is held by now.
func (s *session) distrust(token string) (held, claims string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == "" || s.held.AccessToken != token {
		return "", ""
	}
	s.who, s.trusted, s.refusedToken = jwt.Digest("token", token), false, token
	claims, _ = jwt.Principal(token)
	return token, claims
}

// provable gives the token now held and whom it speaks for, where the server has accepted it or
// gave it to us, and the program's own store keeps it.
func (s *session) provable() (token, who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if claims, ok := jwt.Principal(s.held.AccessToken); ok && !s.private && s.trusted && s.who == claims {
		return s.held.AccessToken, claims
	}
	return "", ""
}

// unproven gives the token now held and whom it claims to speak for, where the program's own store
// gave it and the server has neither accepted nor refused it here.
func (s *session) unproven() (token, claims string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.private || s.trusted || s.held.AccessToken == s.refusedToken {
		return "", ""
	}
	claims, ok := jwt.Principal(s.held.AccessToken)
	if !ok {
		return "", ""
	}
	return s.held.AccessToken, claims
}

// proved notes that a token was accepted or obtained in an earlier process.
func (s *session) proved(token, claims string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.AccessToken == token {
		s.who, s.trusted = claims, true
	}
}

// forgetPrincipal forgets everything of a principal, also where the caller has left.
func (c *responseCache) forgetPrincipal(ctx context.Context, who string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheTimeout)
	defer cancel()
	_ = c.forget(ctx, who+"/") // a store that fails costs the fallback, never the sign-out
}
