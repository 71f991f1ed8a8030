package authos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos/internal/jwt"
	"github.com/authos-go/authos/internal/lru"
	"github.com/authos-go/authos/internal/routes"
)

// newCacheLayer returns next itself where no cache was asked for.
func newCacheLayer(a *agent, s *session, cache *responseCache, next http.RoundTripper) http.RoundTripper {
	if cache == nil {
		return next
	}
	f := &cacheLayer{c: a, session: s, cache: cache, next: next}
	f.patience.New = func() any { return newPatience(&f.patience, cache.policy.Patience, f.lookup) }
	if a.cfg.apiKey != "" {
		f.keyPrincipal = jwt.Digest("key", a.cfg.apiKey)
	}
	return f
}

// cacheLayer is the outermost layer: it caches good responses, and serves one when everything below
// gave up.
type cacheLayer struct {
	c            *agent
	session      *session
	cache        *responseCache
	next         http.RoundTripper
	keyPrincipal string
	keyRefused   atomic.Bool // the server has refused the API key, and has not taken it since
	patience     sync.Pool   // of *patience
	proof        proof
}

// RoundTrip implements [http.RoundTripper].
func (f *cacheLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if !f.cacheable(cl) {
		resp, err := f.next.RoundTrip(req)
		if cl.mutation && (cl.attempts > 0 || cl.sent) && !turnedAway(cl, resp, err) {
			f.written(cl)
		}
		f.judge(cl, resp, err)
		return resp, err
	}
	asked := f.cache.writes.began()
	_, signIn := f.principal(cl, "")
	var p *patience
	if f.cache.policy.Patience > 0 {
		p = f.patience.Get().(*patience) //nolint:forcetypeassert // the pool holds nothing else
		p.start(cl, signIn)
	}
	resp, err := f.next.RoundTrip(req)
	var k *cachedResponse
	if p != nil {
		k = p.stop()
	}
	f.judge(cl, resp, err)
	failure := err
	if err == nil {
		api := errorOf(resp)
		if api == nil {
			cl.caching = caching{f, asked, signIn}
			return resp, nil
		}
		if forgets(api.effectiveStatus()) {
			f.forget(cl)
		}
		failure = api
	}
	if !f.outage(cl, failure) {
		return resp, err
	}
	if k == nil {
		k = f.lookup(cl, signIn)
	}
	if k == nil {
		return resp, err
	}
	cl.stale = &staleness{f.cache.age(k), cl.fail(failure)}
	f.c.observeStale(cl)
	return k.response(req), nil
}

// turnedAway reports whether a request was certainly refused for who sent it: whoever has no right
// to write must not be able to make others lose what is cached.
func turnedAway(cl *call, resp *http.Response, err error) bool {
	if err != nil || cl.unknown {
		return false
	}
	api := errorOf(resp)
	return api != nil && (api.effectiveStatus() == http.StatusUnauthorized || api.effectiveStatus() == http.StatusForbidden)
}

// response makes a response of a cached one.
func (k *cachedResponse) response(req *http.Request) *http.Response {
	h := http.Header{}
	if k.contentType != "" && isHeaderValue(k.contentType) {
		h["Content-Type"] = []string{k.contentType}
	}
	if k.language != "" && isHeaderValue(k.language) {
		h["Content-Language"] = []string{k.language}
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: newBody(k.body, nil), ContentLength: int64(len(k.body)), Request: req,
	}
}

// keep hands a good response to the stale fallback.
func (cl *call) keep(resp *http.Response) {
	if k := cl.caching; k.by != nil {
		k.by.keep(cl, resp, k.asked, k.signIn)
	}
}

// cacheable reports whether a call's response may be cached at all: a GET of a known route whose
// responses hold no secrets, which the policy allows, and for which the caller does not insist on
// the server's own word (RFC 9111, sections 5.2.1.4 and 5.2.1.5).
func (f *cacheLayer) cacheable(cl *call) bool {
	if cl.noCache || cl.method != http.MethodGet || cl.route == nil || !cl.route.Has(routes.Cacheable) {
		return false
	}
	if only := f.cache.policy.Routes; len(only) > 0 && !slices.Contains(only, cl.route.Template) {
		return false
	}
	return mayBeServedStale(cl.header)
}

// forgets: these responses say that the resource is gone, or no longer this principal's to see.
func forgets(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// outage reports whether a call ended because the server could not be reached or is broken. The
// caller's own cancellation is not that, and neither is a session that ended or a limit that holds.
func (f *cacheLayer) outage(cl *call, err error) bool {
	if errors.Is(cl.Context.Err(), context.Canceled) {
		return false
	}
	switch e := err.(type) { //nolint:errorlint // layers return their errors unwrapped
	case *APIError:
		status := e.effectiveStatus()
		// "Not implemented" is what the server says for good.
		return status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported
	case *CircuitOpenError, *NetworkError:
		return true
	case *SessionError:
		// The tokens could not be refreshed, since the server cannot be reached; it has refused
		// none.
		return !e.RetryAt.IsZero() && !cl.refused.Load() && (errors.Is(e.Err, ErrUnavailable) || errors.Is(e.Err, ErrServer))
	}
	return false
}

// principal names whose responses the call may see; empty: nobody's. token is what the call was
// sent with, where that matters: the session may have another one by now, which may be somebody
// else's.
func (f *cacheLayer) principal(cl *call, token string) (who string, signIn uint64) {
	switch cl.auth {
	case routes.AuthAPIKey:
		if f.keyRefused.Load() {
			return "", 0
		}
		return f.keyPrincipal, 0
	case routes.AuthBearer:
		return f.session.principal(token)
	case routes.AuthNone:
	}
	return "public", 0
}

func (f *cacheLayer) storeContext(cl *call) (context.Context, context.CancelFunc) {
	if f.cache.policy.Store == nil {
		return cl.Context, func() {} // memory does not wait
	}
	// The call's own context may be over: that is when a cached response is wanted.
	return context.WithTimeout(context.WithoutCancel(cl.Context), cacheTimeout)
}

// lookup gives the cached response, unless the principal has left since the call began, or the
// resource was written since it was read.
func (f *cacheLayer) lookup(cl *call, signIn uint64) *cachedResponse {
	f.believe(cl)
	who, now := f.principal(cl, "")
	if who == "" || now != signIn {
		return nil
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	key := f.cache.key(cl, who)
	value, ok, err := f.cache.store.Get(ctx, key)
	if err != nil {
		f.c.warn("cached responses could not be read", err)
		return nil
	}
	if !ok {
		return nil
	}
	k, ok := parseCached(value, f.cache.policy.Store == nil)
	if age := f.cache.age(&k); !ok || age > f.cache.policy.MaxStale || age < 0 || k.at.UnixNano() <= f.cache.distrusted.Load() ||
		f.cache.overtaken(f.cache.resource(key, who, cl.concrete), &k) {
		return nil
	}
	return &k
}

// keep stores a good response, unless the resource was written or the principal left while it was
// on its way.
func (f *cacheLayer) keep(cl *call, resp *http.Response, asked, signIn uint64) {
	k := cachedResponse{
		at: f.cache.clock(cl.began), instance: f.cache.instance, asked: asked,
		contentType: resp.Header.Get("Content-Type"), language: resp.Header.Get("Content-Language"), body: bodyOf(resp),
	}
	who, now := f.principal(cl, cl.token)
	key := f.cache.key(cl, who)
	resource := f.cache.resource(key, who, cl.concrete)
	if who == "" || now != signIn || resp.StatusCode != http.StatusOK || !mayBeServedStale(resp.Header) || !json.Valid(k.body) ||
		f.cache.overtaken(resource, &k) {
		return
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	if err := f.cache.store.Set(ctx, key, k.encode(), f.cache.policy.MaxStale); err != nil {
		f.c.warn("a response could not be cached", err)
		return
	}
	if _, now := f.principal(cl, ""); now != signIn || f.cache.overtaken(resource, &k) {
		// a write ended, or the principal left, between the look and the store
		f.drop(cl, who, cl.concrete+"/")
	}
	f.prove(cl)
}

// forget drops what is cached of the call's own resource, in every variant.
func (f *cacheLayer) forget(cl *call) {
	who, _ := f.principal(cl, "")
	f.drop(cl, who, cl.concrete+"/")
}

// written notes what a write may have changed: the resource with all below it, and its collection.
// A POST to a verb, such as /organizations/:id/suspend or /devices/revoke-all, changes what stands
// before the verb. What is in memory is compared with that when it is wanted, whoever it belongs
// to. From an outside store what this principal has read is dropped too, for other processes; what
// others have read is served by other processes until it is MaxStale old.
func (f *cacheLayer) written(cl *call) {
	subtree := cl.concrete
	if isVerb(cl) {
		subtree = parentOf(subtree)
	}
	who, _ := f.principal(cl, "")
	own := ""
	if isOwn(subtree) {
		own = "/" + who
	}
	f.cache.writes.wrote(own+subtree, false)
	f.cache.writes.wrote(own+parentOf(subtree), true)
	if f.cache.policy.Store == nil {
		return
	}
	f.drop(cl, who, subtree+"/")
	f.drop(cl, who, parentOf(subtree)+"/"+variants)
}

// ownPaths are those that name another resource for each principal.
var ownPaths = []string{"/api/user", "/api/invitations", "/api/subscription", "/api/provider-token", "/api/privacy"}

func isOwn(path string) bool {
	return slices.ContainsFunc(ownPaths, func(own string) bool {
		rest, ok := strings.CutPrefix(path, own)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// resource is the path of a key as one tree has those of all principals: where each has its own,
// the principal comes first, as it does in the key.
func (c *responseCache) resource(key, who, path string) string {
	if !isOwn(path) {
		return path
	}
	return key[len(c.base)-1 : len(c.base)+len(who)+len(path)]
}

// isVerb tells a POST to an action from a POST to a collection, which can also be read.
func isVerb(cl *call) bool {
	return cl.method == http.MethodPost && cl.route != nil && !strings.HasPrefix(lastSegment(cl.route.Template), ":") &&
		routes.ByTemplate(http.MethodGet, cl.route.Template) == nil
}

func (f *cacheLayer) drop(cl *call, who, path string) {
	if who == "" {
		return
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	if err := f.cache.forget(ctx, who+path); err != nil {
		f.c.warn("cached responses could not be forgotten", err)
	}
}

func parentOf(path string) string    { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// responseCache is what a family keeps.
type responseCache struct {
	policy   CachePolicy
	store    CacheStore
	base     string // key prefix of this server
	writes   writes
	instance uint64    // this process, among those that use the store
	start    time.Time // of the clock of what is in memory
	// distrusted is when the store last failed to forget something, in Unix nanoseconds: what it
	// stored until then is not served.
	distrusted atomic.Int64
}

func newResponseCache(p CachePolicy, baseURL string) *responseCache {
	c := &responseCache{
		policy: p, store: p.Store, base: "authos1/" + jwt.Digest("base", baseURL) + "/",
		instance: rand.Uint64(), start: time.Now(), //nolint:gosec // a name, not a secret
	}
	if c.store == nil {
		c.store = lru.New(p.MaxEntries, p.MaxBytes)
	}
	return c
}

// clock is a moment as cached responses have it: in memory free of what is done to the wall clock,
// in an outside store the wall clock's, since another process may read it.
func (c *responseCache) clock(t time.Time) time.Time {
	if c.policy.Store == nil {
		return c.start.Add(t.Sub(c.start)).Round(0)
	}
	return t.Round(0)
}

// clockSkew is how far ahead of ours the clock may be of the process that cached a response, or
// ours may have been set back since.
const clockSkew = time.Minute

// age is how old a cached response is; negative when it claims to be from the future.
func (c *responseCache) age(k *cachedResponse) time.Duration {
	age := c.clock(time.Now()).Sub(k.at)
	if -clockSkew <= age && age < 0 {
		return 0
	}
	return age
}

// overtaken reports whether a write to the resource has ended since a response was asked for.
func (c *responseCache) overtaken(path string, k *cachedResponse) bool {
	return c.writes.since(path, stamp{k.asked, k.at.UnixNano()}, k.instance == c.instance)
}

// variants is the folder of one resource's responses, which differ by query, language and headers.
// No path segment is "?".
const variants = "?/"

// key is base/principal/path/?/variant, so that a principal, a resource with all below it, and one
// resource's variants are each a prefix.
func (c *responseCache) key(cl *call, who string) string {
	variant := "-"
	query, languages := cl.url.RawQuery, cl.client.cfg.languages
	headers := ""
	if len(cl.header) > 0 {
		var b bytes.Buffer
		_ = cl.header.WriteSubset(&b, notVarying) // sorted; a buffer does not fail
		headers = b.String()
	}
	if query != "" || languages != "" || headers != "" {
		variant = jwt.Digest(query, languages, headers)
	}
	return c.base + who + cl.concrete + "/" + variants + variant
}

// forget drops a prefix below the server's own.
func (c *responseCache) forget(ctx context.Context, prefix string) error {
	err := c.store.DeletePrefix(ctx, c.base+prefix)
	if err != nil {
		c.distrusted.Store(time.Now().UnixNano())
	}
	return err
}
