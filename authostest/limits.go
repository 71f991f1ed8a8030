package authostest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limitGroup is a set of routes that share one bucket per client address.
type limitGroup struct {
	burst int
	every time.Duration // one token comes back each
	paths []string      // exact, or a prefix when it ends in "*"
}

var limitGroups = []limitGroup{
	{burst: 10, every: 5 * time.Second, paths: []string{"/auth/device/*", "/auth/token"}},
	{burst: 3, every: time.Second, paths: []string{"/api/auth/mfa/verify", "/saml/mfa/verify"}},
	{burst: 5, every: 300 * time.Millisecond, paths: []string{"/api/user/mfa/*", "/api/user/mfa"}},
	{burst: 20, every: time.Second, paths: []string{
		"/auth/*", "/oauth/token", "/oauth2/token",
		"/api/auth/register", "/api/auth/resend-verification", "/api/auth/login", "/api/auth/logout",
		"/api/auth/refresh", "/api/auth/forgot-password", "/api/auth/reset-password",
		"/api/auth/lookup-email", "/api/auth/context",
		"/api/auth/magic-link/*", "/api/auth/passkeys/authenticate/*",
	}},
}

// unlimitedQuota is what the documented contract's headers say on routes, or on
// servers, that limit nothing.
const unlimitedQuota = 100

// limits holds the buckets, one per group since there is one client address. A
// bucket is kept as the time at which it will be full again.
type limits struct {
	full []time.Time
}

func newLimits() limits { return limits{full: make([]time.Time, len(limitGroups))} }

func limitGroupOf(path string) int {
	for i, group := range limitGroups {
		for _, p := range group.paths {
			if prefix, ok := strings.CutSuffix(p, "*"); p == path || ok && strings.HasPrefix(path, prefix) {
				return i
			}
		}
	}
	return -1
}

// limited takes a token out of the group's bucket, or refuses the request. The
// limiter sits before the handler: a refused request has no effect.
func (c *call) limited() (answer, bool) {
	if !c.s.config.limiters {
		return answer{}, false
	}
	i := limitGroupOf(c.path)
	if i < 0 {
		return answer{}, false
	}
	group, full := limitGroups[i], c.s.limits.full[i]
	if full.Before(c.now) {
		full = c.now
	}
	// The bucket is empty when refilling it would take longer than burst tokens.
	room := time.Duration(group.burst) * group.every
	if wait := full.Add(group.every).Sub(c.now) - room; wait > 0 {
		return c.tooMany(group, full, wait), true
	}
	c.s.limits.full[i] = full.Add(group.every)
	return answer{}, false
}

func (c *call) tooMany(group limitGroup, full time.Time, wait time.Duration) answer {
	if !c.documented() {
		seconds := strconv.Itoa(int(wait / time.Second)) // cut off, so it can be 0
		a := empty(http.StatusTooManyRequests)
		a.header["X-Ratelimit-After"] = []string{seconds}
		a.body = []byte("Too Many Requests! Wait for " + seconds + "s")
		return a
	}
	a := c.fail(http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded")
	a.header.Set("Retry-After", strconv.FormatInt(ceilSeconds(wait), 10))
	setQuota(a.header, group.burst, 0, full)
	return a
}

// quotaHeaders are on every documented answer, good ones included.
func (c *call) quotaHeaders(h http.Header) {
	i := -1
	if c.s.config.limiters {
		i = limitGroupOf(c.path)
	}
	if i < 0 {
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
