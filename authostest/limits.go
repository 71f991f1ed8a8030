package authostest

import (
	"net/http"
	"strconv"
	"time"
)

// limitGroup is a set of routes that share one bucket per client address.
type limitGroup struct {
	burst     int
	every     time.Duration // one token comes back each
	afterAuth bool          // the limiter sits behind the check of the token
	routes    []string      // templates
}

var limitGroups = []limitGroup{
	{burst: 20, every: time.Second, routes: []string{
		"/auth/:provider", "/auth/:provider/callback", "/auth/saml/callback", "/auth/admin/:provider", "/auth/admin/:provider/callback",
		"/auth/revoke", "/auth/verify-email", "/oauth/token", "/oauth2/token",
		"/api/auth/register", "/api/auth/resend-verification", "/api/auth/login", "/api/auth/logout", "/api/auth/refresh",
		"/api/auth/forgot-password", "/api/auth/reset-password", "/api/auth/lookup-email", "/api/auth/context",
		"/api/auth/magic-link/request", "/api/auth/magic-link/verify",
		"/api/auth/passkeys/authenticate/start", "/api/auth/passkeys/authenticate/finish",
	}},
	{burst: 10, every: 5 * time.Second, routes: []string{"/auth/device/code", "/auth/device/verify", "/auth/token"}},
	{burst: 3, every: time.Second, routes: []string{"/api/auth/mfa/verify", "/saml/mfa/verify"}},
	{burst: 5, every: 300 * time.Millisecond, afterAuth: true, routes: []string{
		"/api/user/mfa", "/api/user/mfa/status", "/api/user/mfa/setup", "/api/user/mfa/verify", "/api/user/mfa/backup-codes/regenerate",
	}},
}

// limitGroupOf is the index of the group by template.
var limitGroupOf = func() map[string]int {
	groups := map[string]int{}
	for i, group := range limitGroups {
		for _, template := range group.routes {
			groups[template] = i
		}
	}
	return groups
}()

// unlimitedQuota is what the documented contract's headers say on routes, or on
// servers, that limit nothing.
const unlimitedQuota = 100

// limits holds the buckets, one per group since there is one client address. A
// bucket is kept as the time at which it will be full again.
type limits struct {
	full []time.Time
}

func newLimits() limits { return limits{full: make([]time.Time, len(limitGroups))} }

// limited takes a token out of the group's bucket, or refuses the request. The
// limiter sits before the handler, and but for one group before the check of the
// token: a refused request has no effect.
func (c *call) limited(afterAuth bool) (response, bool) {
	i, ok := limitGroupOf[c.template()]
	if !ok || !c.s.config.limiters || limitGroups[i].afterAuth != afterAuth {
		return response{}, false
	}
	group, full := limitGroups[i], c.s.limits.full[i]
	if c.october() {
		group.every = time.Minute
	}
	if full.Before(c.now) {
		full = c.now
	}
	// The bucket is empty when refilling it would take longer than burst tokens.
	room := time.Duration(group.burst) * group.every
	if wait := full.Add(group.every).Sub(c.now) - room; wait > 0 {
		return c.tooMany(group, full, wait), true
	}
	c.s.limits.full[i] = full.Add(group.every)
	return response{}, false
}

func (c *call) tooMany(group limitGroup, full time.Time, wait time.Duration) response {
	if c.documented() {
		return c.quotaExceeded(group.burst, full, wait)
	}
	seconds := strconv.Itoa(int(wait / time.Second)) // cut off, so it can be 0
	a := empty(http.StatusTooManyRequests)
	a.header["X-Ratelimit-After"] = []string{seconds}
	a.body = []byte("Too Many Requests! Wait for " + seconds + "s")
	return a
}

// quotaExceeded is the documented 429.
func (c *call) quotaExceeded(limit int, reset time.Time, wait time.Duration) response {
	a := c.fail(http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded")
	a.header.Set("Retry-After", strconv.FormatInt(ceilSeconds(wait), 10))
	setQuota(a.header, limit, 0, reset)
	return a
}

// quotaHeaders are on every documented response, good ones included.
func (c *call) quotaHeaders(h http.Header) {
	i, ok := limitGroupOf[c.template()]
	if !ok || !c.s.config.limiters {
		setQuota(h, unlimitedQuota, unlimitedQuota-1, c.now.Add(time.Minute))
		return
	}
	group, full := limitGroups[i], c.s.limits.full[i]
	used := int((max(full.Sub(c.now), 0) + group.every - 1) / group.every)
	setQuota(h, group.burst, max(group.burst-used, 0), full)
}

func setQuota(h http.Header, limit, remaining int, reset time.Time) {
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(limit)}
	h["X-Ratelimit-Remaining"] = []string{strconv.Itoa(remaining)}
	h["X-Ratelimit-Reset"] = []string{strconv.FormatInt(ceilUnix(reset), 10)}
}
