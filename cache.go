package authos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos/internal/jwt"
	"github.com/authos-go/authos/internal/lru"
	"github.com/authos-go/authos/internal/routes"
)

// CachePolicy says how responses are cached for the stale fallback. The zero value of a field is
// its default.
type CachePolicy struct {
	// MaxStale is the age of the oldest response that may be served. Default 10 min.
	MaxStale time.Duration
	// Patience is how long a call tries when a cached response is at hand. Default 5 s; negative:
	// as long as without one.
	Patience time.Duration
	// MaxEntries and MaxBytes bound the memory. Defaults 1024 and 16 MiB. They do not apply to a
	// Store of your own.
	MaxEntries int
	MaxBytes   int64
	// Store keeps the responses. Nil: in memory.
	Store CacheStore
}

// CacheStore keeps responses outside the process. Keys are opaque; a prefix ends at a '/'. A store
// that fails costs the fallback, never the call; after a DeletePrefix that failed, nothing stored
// before it is served. Each method has a second, after which its context ends and which a store
// must obey: a slow one delays the calls. Values hold the server's responses: protect them as you
// protect the data they are about.
type CacheStore interface {
	// Get gives what was set and has not expired; ok is false when there is nothing.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Set keeps value for ttl at most. It must not keep a reference to value's bytes being changed
	// later: the client does not.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// DeletePrefix forgets every key that begins with prefix.
	DeletePrefix(ctx context.Context, prefix string) error
}

const (
	defaultMaxStale   = 10 * time.Minute
	defaultPatience   = 5 * time.Second
	defaultMaxEntries = 1024
	defaultMaxBytes   = 16 << 20
	// cacheTimeout bounds each use of the store: the fallback must not become the outage.
	cacheTimeout = time.Second
)

func (p CachePolicy) check() error {
	var errs []error
	if p.MaxStale < 0 {
		errs = append(errs, errors.New("MaxStale is negative"))
	}
	if p.MaxEntries < 0 || p.MaxBytes < 0 {
		errs = append(errs, errors.New("MaxEntries and MaxBytes must not be negative"))
	}
	if p.Store != nil && (p.MaxEntries != 0 || p.MaxBytes != 0) {
		errs = append(errs, errors.New("MaxEntries and MaxBytes bound the built-in memory and have no effect on a Store"))
	}
	return errors.Join(errs...)
}

func (p CachePolicy) withDefaults() CachePolicy {
	p.MaxStale = cmp.Or(p.MaxStale, defaultMaxStale)
	p.Patience = cmp.Or(p.Patience, defaultPatience)
	p.MaxEntries = cmp.Or(p.MaxEntries, defaultMaxEntries)
	p.MaxBytes = cmp.Or(p.MaxBytes, defaultMaxBytes)
	return p
}

// newCacheLayer returns next itself where no cache was asked for.
func newCacheLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	if c.fam.cache == nil {
		return next
	}
	f := &cacheLayer{c: c, cache: c.fam.cache, next: next}
	if c.cfg.apiKey != "" {
		f.keyPrincipal = jwt.Digest("key", c.cfg.apiKey)
	}
	return f
}

// cacheLayer is the outermost layer: it caches good responses, and serves one when everything below
// gave up.
type cacheLayer struct {
	c            *Client
	cache        *responseCache
	next         http.RoundTripper
	keyPrincipal string
}

// RoundTrip implements [http.RoundTripper].
func (f *cacheLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	if !cacheable(cl) {
		resp, err := f.next.RoundTrip(req)
		if cl.mutation && (cl.attempts > 0 || cl.sent) {
			f.written(cl)
		}
		return resp, err
	}
	version := f.cache.version(cl.concrete)
	_, gen := f.principal(cl, "")
	patience := &impatience{f: f, cl: cl, gen: gen}
	if f.cache.policy.Patience > 0 {
		patience.start()
		defer patience.stop()
	}
	resp, err := f.next.RoundTrip(req)
	failure := err
	if err == nil {
		api := errorOf(resp)
		if api == nil {
			cl.caching = caching{f, version, gen}
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
	k := patience.early.Load()
	if k == nil {
		k = f.lookup(cl, gen)
	}
	if k == nil {
		return resp, err
	}
	cl.stale, cl.age, cl.failure = true, time.Since(k.at), cl.fail(failure)
	f.c.observeStale(cl)
	return k.response(req), nil
}

// impatience ends a call once its patience is over and a cached response is at hand, which it
// leaves in early. It does not end a call that the server has just refused, told to wait or asked
// for a new token: after a 4xx a cached response is never served.
type impatience struct {
	f      *cacheLayer
	cl     *call
	gen    uint64
	cancel context.CancelCauseFunc
	early  atomic.Pointer[cachedResponse]

	mu    sync.Mutex // guards timer, which may fire before it is set
	timer *time.Timer
}

func (i *impatience) start() {
	ctx, cancel := context.WithCancelCause(i.cl.Context)
	i.cl.Context, i.cancel = ctx, cancel // before anything below has seen the call
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer = time.AfterFunc(i.f.cache.policy.Patience, i.look)
}

func (i *impatience) look() {
	if i.cl.Err() != nil {
		return // the call has ended while the timer was set anew
	}
	if i.cl.refused.Load() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.timer.Reset(i.f.cache.policy.Patience)
		return
	}
	if k := i.f.lookup(i.cl, i.gen); k != nil && !i.cl.refused.Load() {
		i.early.Store(k)
		i.cancel(errImpatient)
	}
}

func (i *impatience) stop() {
	i.timer.Stop()
	i.cancel(nil)
}

// caching is what a good response needs to be cached, once it has proved to be what the route
// promises.
type caching struct {
	by           *cacheLayer // nil: not to be cached
	version, gen uint64      // from before the call was sent
}

// keep hands a good response to the stale fallback.
func (cl *call) keep(resp *http.Response) {
	if k := cl.caching; k.by != nil {
		k.by.keep(cl, resp, k.version, k.gen)
	}
}

// cacheable reports whether a call's response may be cached at all: a GET of a known route whose
// responses hold no secrets.
func cacheable(cl *call) bool {
	return !cl.noCache && cl.method == http.MethodGet && cl.route != nil && cl.route.Has(routes.Cacheable)
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
	if errors.Is(cl.caller.Err(), context.Canceled) {
		return false
	}
	switch e := err.(type) { //nolint:errorlint // layers return their errors unwrapped
	case *APIError:
		status := e.effectiveStatus()
		// "Not implemented" is what the server says for good.
		return status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported
	case *CircuitOpenError, *NetworkError:
		return true
	}
	return false
}

// principal names whose responses the call may see; empty: nobody's. token is what the call was
// sent with, where that matters: the session may have another one by now, which may be somebody
// else's.
func (f *cacheLayer) principal(cl *call, token string) (who string, gen uint64) {
	switch cl.auth {
	case routes.AuthAPIKey:
		return f.keyPrincipal, 0
	case routes.AuthBearer:
		return f.c.session.principal(token)
	case routes.AuthNone:
	}
	return "public", 0
}

func (f *cacheLayer) storeContext(cl *call) (context.Context, context.CancelFunc) {
	if f.cache.policy.Store == nil {
		return cl.caller, func() {} // memory does not wait
	}
	// The call's own context may be over: that is when a cached response is wanted.
	return context.WithTimeout(context.WithoutCancel(cl.caller), cacheTimeout)
}

// lookup gives the cached response, unless the principal has left since the call began.
func (f *cacheLayer) lookup(cl *call, gen uint64) *cachedResponse {
	who, now := f.principal(cl, "")
	if who == "" || now != gen {
		return nil
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	value, ok, err := f.cache.store.Get(ctx, f.cache.key(cl, who))
	if err != nil {
		f.c.warn("cached responses could not be read", err)
		return nil
	}
	if !ok {
		return nil
	}
	k, ok := parseCached(value, f.cache.policy.Store == nil)
	if age := time.Since(k.at); !ok || age > f.cache.policy.MaxStale || age < 0 || k.at.UnixNano() <= f.cache.distrusted.Load() {
		return nil
	}
	return k
}

// keep stores a good response, unless the resource was written or the principal left while it was
// on its way.
func (f *cacheLayer) keep(cl *call, resp *http.Response, version, gen uint64) {
	body := bodyOf(resp)
	who, now := f.principal(cl, cl.token)
	if who == "" || now != gen || resp.StatusCode != http.StatusOK || noStore(resp.Header) || !json.Valid(body) ||
		f.cache.version(cl.concrete) != version {
		return
	}
	ctx, cancel := f.storeContext(cl)
	defer cancel()
	key := f.cache.key(cl, who)
	if err := f.cache.store.Set(ctx, key, encodeCached(time.Now(), resp.Header, body), f.cache.policy.MaxStale); err != nil {
		f.c.warn("a response could not be cached", err)
		return
	}
	if _, now := f.principal(cl, ""); now != gen || f.cache.version(cl.concrete) != version {
		// a write ended, or the principal left, between the look and the store
		f.drop(cl, who, cl.concrete+"/")
	}
}

func noStore(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-store") {
				return true
			}
		}
	}
	return false
}

// forget drops what is cached of the call's own resource, in every variant.
func (f *cacheLayer) forget(cl *call) {
	who, _ := f.principal(cl, "")
	f.drop(cl, who, cl.concrete+"/")
}

// written drops what a write may have changed: the resource with all below it, and its collection.
// A POST to a verb, such as /organizations/:id/suspend or /devices/revoke-all, changes what stands
// before the verb.
func (f *cacheLayer) written(cl *call) {
	subtree := cl.concrete
	if isVerb(cl) {
		subtree = parentOf(subtree)
	}
	f.cache.wrote(subtree)
	f.cache.wrote(parentOf(subtree))
	who, _ := f.principal(cl, "")
	f.drop(cl, who, subtree+"/")
	f.drop(cl, who, parentOf(subtree)+"/"+variants)
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
	policy CachePolicy
	store  CacheStore
	base   string // key prefix of this server
	seed   maphash.Seed
	// writes counts writes by the start of their path (hashed: a clash costs a cached response, no
	// more). A read that began before a write must not bring the old response back.
	writes [256]atomic.Uint64
	// distrusted is when the store last failed to forget something, in Unix nanoseconds: what it
	// stored until then is not served.
	distrusted atomic.Int64
}

func newResponseCache(p CachePolicy, baseURL string) *responseCache {
	c := &responseCache{policy: p, store: p.Store, seed: maphash.MakeSeed(), base: "authos1/" + jwt.Digest("base", baseURL) + "/"}
	if c.store == nil {
		c.store = lru.New(p.MaxEntries, p.MaxBytes)
	}
	return c
}

// variants is the folder of one resource's responses, which differ by query, language and headers.
// No path segment is "?".
const variants = "?/"

// key is base/principal/path/?/variant, so that a principal, a resource with all below it, and one
// resource's variants are each a prefix.
func (c *responseCache) key(cl *call, who string) string {
	variant := "-"
	if cl.url.RawQuery != "" || cl.client.cfg.languages != "" || len(cl.header) > 0 {
		var headers bytes.Buffer
		_ = cl.header.WriteSubset(&headers, notVarying) // sorted; a buffer does not fail
		variant = jwt.Digest(cl.url.RawQuery, cl.client.cfg.languages, headers.String())
	}
	return c.base + who + cl.concrete + "/" + variants + variant
}

// notVarying are headers that name the request, not what is asked for. They differ from call to
// call.
var notVarying = map[string]bool{"X-Request-Id": true, "Traceparent": true, "Tracestate": true, "User-Agent": true}

// forget drops a prefix below the server's own.
func (c *responseCache) forget(ctx context.Context, prefix string) error {
	err := c.store.DeletePrefix(ctx, c.base+prefix)
	if err != nil {
		c.distrusted.Store(time.Now().UnixNano())
	}
	return err
}

func (c *responseCache) forgetPrincipal(ctx context.Context, who string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheTimeout)
	defer cancel()
	_ = c.forget(ctx, who+"/") // a store that fails costs the fallback, never the sign-out
}

// part is the counter of a path's first segments.
func (c *responseCache) part(path string, segments int) *atomic.Uint64 {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if segments--; segments == 0 {
			path = path[:i]
			break
		}
	}
	return &c.writes[maphash.String(c.seed, path)%uint64(len(c.writes))]
}

// version changes with every write to the path, to what is above it, and to most of what is beside
// and below it.
func (c *responseCache) version(path string) uint64 {
	return c.part(path, 2).Load() + c.part(path, 3).Load()
}

func (c *responseCache) wrote(path string) { c.part(path, 3).Add(1) }

// cachedResponse is a response from before.
type cachedResponse struct {
	at                    time.Time
	contentType, language string
	body                  []byte
}

const cachedVersion = 1 // the first byte of a cached response; what has another is not served

// encodeCached writes: version, Unix nanoseconds (8 bytes), content type and language (each length,
// text), body.
func encodeCached(at time.Time, h http.Header, body []byte) []byte {
	contentType, language := h.Get("Content-Type"), h.Get("Content-Language")
	b := make([]byte, 0, 1+8+4+len(contentType)+len(language)+len(body))
	b = append(b, cachedVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixNano()))
	for _, text := range []string{contentType, language} {
		text = text[:min(len(text), 1<<16-1)]
		b = binary.BigEndian.AppendUint16(b, uint16(len(text))) //nolint:gosec // bounded above
		b = append(b, text...)
	}
	return append(b, body...)
}

// parseCached reads what a store gave back, which may be anything, unless it is our own: that gives
// back what was checked when it was stored.
func parseCached(b []byte, own bool) (*cachedResponse, bool) {
	k := &cachedResponse{}
	if len(b) < 9 || b[0] != cachedVersion {
		return k, false
	}
	k.at = time.Unix(0, int64(binary.BigEndian.Uint64(b[1:]))) //nolint:gosec // any value is a time
	b = b[9:]
	for _, text := range []*string{&k.contentType, &k.language} {
		if len(b) < 2 {
			return k, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return k, false
		}
		*text, b = string(b[2:2+n]), b[2+n:]
	}
	k.body = b
	return k, own || json.Valid(b)
}

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
