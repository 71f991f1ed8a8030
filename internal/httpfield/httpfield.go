// Package httpfield reads the response header fields by which servers ask for a wait, tell their
// limits and challenge a credential. It is a leaf: it imports nothing of this module.
package httpfield

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// TooLong stands for every wait that does not fit a Duration.
const TooLong = time.Duration(math.MaxInt64)

// RetryAfter reads the values of Retry-After (RFC 9110, section 10.2.3): seconds, decimals included
// because servers send them, or an HTTP date in any of its three forms (section 5.6.7). A date is
// measured against the response's own Date, when there is one, so that a wrong local clock does no
// harm. The wait is never negative: 0 and the past are 0.
//
// The field has one value. Where a proxy has added its own, in a line or behind a comma, nobody
// knows whose counts: the longest does, since who waits longer than one of them asked does no harm,
// and who waits shorter meets the other's limit. What is neither seconds nor a date is ignored.
func RetryAfter(values []string, date, now time.Time) (d time.Duration, ok bool) {
	if date.IsZero() {
		date = now
	}
	for _, v := range values {
		for v = strings.TrimSpace(v); v != ""; {
			wait, valid, rest := nextWait(v, date)
			if valid {
				d, ok = max(d, wait), true
			}
			v = strings.TrimSpace(rest)
		}
	}
	return d, ok
}

// nextWait reads the first of a line's waits. An HTTP date may hold a comma itself, and "1,5" may
// be one and a half in the notation of another country: it is neither.
func nextWait(line string, date time.Time) (wait time.Duration, valid bool, rest string) {
	first, rest, more := strings.Cut(line, ",")
	if next, _, _ := strings.Cut(rest, ","); next != "" && next[0] != ' ' && next[0] != '\t' && next != first {
		return 0, false, rest[len(next):]
	}
	if wait, ok := Seconds(strings.TrimSpace(first)); ok {
		return wait, true, rest
	}
	if more {
		second, after, _ := strings.Cut(rest, ",")
		if t, err := http.ParseTime(first + "," + second); err == nil {
			return until(t, date), true, after
		}
	}
	t, err := http.ParseTime(strings.TrimSpace(first))
	if err != nil {
		return 0, false, rest
	}
	return until(t, date), true, rest
}

// Seconds reads a plain decimal number of seconds: digits, and perhaps a point and more digits.
// Signs, exponents and hex are no seconds. What does not fit becomes TooLong; a fraction is rounded
// up to the nanosecond, as waiting less than asked is not what was asked.
func Seconds(s string) (time.Duration, bool) {
	whole, fraction, hasPoint := strings.Cut(s, ".")
	if !IsDigits(whole) || hasPoint && !IsDigits(fraction) {
		return 0, false
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	// compared before multiplying: the product would overflow
	if err != nil || seconds >= int64(TooLong/time.Second) {
		return TooLong, true
	}
	var nanos time.Duration
	for i, unit := 0, time.Second/10; i < len(fraction); i, unit = i+1, unit/10 {
		digit := int64(fraction[i] - '0')
		if unit == 0 && digit > 0 {
			nanos++
			break
		}
		nanos += time.Duration(digit * int64(unit))
	}
	return time.Duration(seconds)*time.Second + nanos, true
}

// IsDigits reports whether s is decimal digits and nothing else.
func IsDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// until is the time from one point to a later one; 0 when it is not later. Sub saturates, so
// nothing overflows.
func until(t, from time.Time) time.Duration { return max(t.Sub(from), 0) }

// responseTime is the server's clock when it responded: its Date, else now, else the local clock.
func responseTime(h http.Header, now time.Time) time.Time {
	if t, err := http.ParseTime(first(h["Date"])); err == nil {
		return t
	}
	if now.IsZero() {
		return time.Now()
	}
	return now
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return strings.TrimSpace(values[0])
}

// BodyWaits are the waits an error body names.
type BodyWaits struct {
	Wait  time.Duration // the longest of retry.retry_after, details.retry_after and retry_after
	Asked bool          // one of them was there, be it zero
	Until time.Time     // the later of details.reset_at and details.maintenance_end
}

// AskedWait is how long the server asks to wait. A usable Retry-After decides; without one it is
// the longest of what the other headers and the body say. The flag tells a server that asked for no
// wait at all from one that did not ask.
func AskedWait(h http.Header, status int, body BodyWaits, now time.Time) (time.Duration, bool) {
	at := responseTime(h, now)
	if d, ok := RetryAfter(h["Retry-After"], at, now); ok {
		return d, true
	}
	asked := body.Asked
	wait := body.Wait
	add := func(d time.Duration, ok bool) {
		if ok {
			wait, asked = max(wait, d), true
		}
	}
	if !body.Until.IsZero() {
		add(until(body.Until, at), true)
	}
	for _, field := range ietfLimits(h) {
		add(field.reset, field.hasReset && spent(field.remaining, status))
	}
	if reset, ok := unixReset(h, at); ok {
		add(until(reset, at), spent(count(first(h["X-Ratelimit-Remaining"])), status))
	}
	// tower_governor cuts its wait to whole seconds: one more is needed, and "0" means less than
	// one.
	if d, ok := Seconds(first(h["X-Ratelimit-After"])); ok {
		add(min(d, TooLong-time.Second)+time.Second, true)
	}
	return wait, asked
}

// spent reports whether nothing remains: it says so, or it says nothing and the response is a 429.
func spent(remaining, status int) bool {
	return remaining == 0 || remaining < 0 && status == http.StatusTooManyRequests
}

// RateLimit is what a response said about its limits. Limit and Remaining are -1 where nothing was
// sent, Reset is zero.
type RateLimit struct {
	Limit, Remaining int
	Reset            time.Time
}

// ParseRateLimit reads what a response says about its limits: the IETF RateLimit field, the older
// separate fields, or the X-RateLimit fields. It is nil when nothing was sent, and then costs some
// map look-ups: it runs on every response.
func ParseRateLimit(h http.Header) *RateLimit { return RateLimitAt(h, time.Time{}) }

// RateLimitAt is ParseRateLimit with the local clock given; a zero time means the present.
func RateLimitAt(h http.Header, now time.Time) *RateLimit {
	if limits := ietfLimits(h); len(limits) > 0 {
		tightest := limits[0]
		for _, l := range limits[1:] {
			if l.remaining >= 0 && (tightest.remaining < 0 || l.remaining < tightest.remaining) {
				tightest = l
			}
		}
		r := &RateLimit{Limit: tightest.limit, Remaining: tightest.remaining}
		if tightest.hasReset {
			r.Reset = responseTime(h, now).Add(tightest.reset)
		}
		return r
	}
	limit, remaining := count(first(h["X-Ratelimit-Limit"])), count(first(h["X-Ratelimit-Remaining"]))
	var reset time.Time
	hasReset := false
	if h["X-Ratelimit-Reset"] != nil {
		reset, hasReset = unixReset(h, responseTime(h, now))
	}
	if limit < 0 && remaining < 0 && !hasReset {
		return nil
	}
	return &RateLimit{Limit: limit, Remaining: remaining, Reset: reset}
}

// unixReset reads X-RateLimit-Reset: Unix seconds. A number below a year's worth of seconds is no
// time since 1970 that any clock shows; some proxies send the seconds left there, and it is read as
// these.
func unixReset(h http.Header, at time.Time) (time.Time, bool) {
	const year = 365 * 24 * time.Hour
	d, ok := Seconds(first(h["X-Ratelimit-Reset"]))
	switch {
	case !ok:
		return time.Time{}, false
	case d < year:
		return at.Add(d), true
	default:
		return time.Unix(0, 0).Add(d).UTC(), true
	}
}

// count reads a number of requests, in the old lists ("100, 100;w=60") the first one; -1 when there
// is none.
func count(s string) int {
	if i := strings.IndexAny(s, ",;"); i >= 0 {
		s = strings.TrimSpace(s[:i])
	}
	if !IsDigits(s) {
		return -1
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// ietfLimit is one limit of the IETF RateLimit fields.
type ietfLimit struct {
	limit, remaining int // -1: not sent
	reset            time.Duration
	hasReset         bool
}

// maxLimits bounds what one response can make us read.
const maxLimits = 16

// ietfLimits reads draft-ietf-httpapi-ratelimit-headers in all its ages: the structured field
// ("default";r=0;t=30, with the quotas in RateLimit-Policy), the dictionary before it (limit=10,
// remaining=0, reset=30), and the three separate fields before that, whose Reset is in seconds.
func ietfLimits(h http.Header) []ietfLimit {
	if values := h["Ratelimit"]; len(values) > 0 {
		line := strings.Join(values, ",")
		if l, ok := dictionaryLimit(line); ok {
			return []ietfLimit{l}
		}
		return structuredLimits(line, strings.Join(h["Ratelimit-Policy"], ","))
	}
	if h["Ratelimit-Limit"] == nil && h["Ratelimit-Remaining"] == nil && h["Ratelimit-Reset"] == nil {
		return nil
	}
	l := ietfLimit{limit: count(first(h["Ratelimit-Limit"])), remaining: count(first(h["Ratelimit-Remaining"]))}
	l.reset, l.hasReset = Seconds(first(h["Ratelimit-Reset"]))
	if l.limit < 0 && l.remaining < 0 && !l.hasReset {
		return nil
	}
	return []ietfLimit{l}
}

// dictionaryLimit reads limit=10, remaining=0, reset=30.
func dictionaryLimit(line string) (l ietfLimit, ok bool) {
	l = ietfLimit{limit: -1, remaining: -1}
	for i, member := range splitQuoted(line, ',') {
		if i == maxLimits {
			break
		}
		name, value, _ := strings.Cut(member, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "limit":
			l.limit = count(strings.TrimSpace(value))
			ok = ok || l.limit >= 0
		case "remaining":
			l.remaining = count(strings.TrimSpace(value))
			ok = ok || l.remaining >= 0
		case "reset":
			l.reset, l.hasReset = Seconds(strings.TrimSpace(value))
			ok = ok || l.hasReset
		}
	}
	return l, ok
}

// structuredLimits reads "default";r=0;t=30, and each limit's quota q from the policy of its name.
// What remains, r, is required, and both are integers that are not negative: an item with anything
// else says nothing, as a value that was guessed would hold calls back, or not.
func structuredLimits(line, policies string) []ietfLimit {
	var all []ietfLimit
	for i, item := range splitQuoted(line, ',') {
		if i == maxLimits {
			break
		}
		name, params := itemParams(item)
		remaining, seconds := integer(params["r"]), int64(0)
		reset, hasReset := params["t"]
		if hasReset {
			seconds = integer(reset)
		}
		if remaining < 0 || seconds < 0 || name == "" || name[0] == '(' { // an inner list is no item
			continue
		}
		l := ietfLimit{limit: -1, remaining: int(min(remaining, math.MaxInt)), hasReset: hasReset}
		l.reset, _ = Seconds(strconv.FormatInt(seconds, 10))
		for j, policy := range splitQuoted(policies, ',') {
			if j == maxLimits {
				break
			}
			if of, quota := itemParams(policy); of == name {
				l.limit = count(quota["q"])
			}
		}
		all = append(all, l)
	}
	return all
}

// integer reads an sf-integer (RFC 9651, section 3.3.1) that is not negative; -1 when it is none.
func integer(s string) int64 {
	if !IsDigits(s) || len(s) > 15 {
		return -1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// itemParams splits an item of a structured field (RFC 9651, section 3.3) into its bare text and
// its parameters.
func itemParams(item string) (name string, params map[string]string) {
	params = make(map[string]string)
	for i, part := range splitQuoted(item, ';') {
		if i == 0 {
			name = part
			continue
		}
		if i > maxLimits {
			break
		}
		key, value, _ := strings.Cut(part, "=")
		params[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return name, params
}

// splitQuoted splits at a separator outside of quoted strings and trims the parts.
func splitQuoted(s string, sep byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}

// Bounds of what is read of WWW-Authenticate.
const (
	maxChallenges      = 16
	maxChallengeParams = 32      // of one challenge
	maxChallengeLine   = 8 << 10 // bytes of one field line
)

// Challenge is one challenge of WWW-Authenticate. A token68 is kept under the empty name.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// ParseChallenges reads the values of WWW-Authenticate (RFC 9110, section 11.6.1). One line may
// hold several challenges, each a scheme with a token68 or with parameters; commas separate
// parameters as well as challenges, so a token is a parameter only if "=" follows. What fits
// neither is skipped.
func ParseChallenges(values []string) []Challenge {
	var all []Challenge
	for _, line := range values {
		s := challengeScanner{rest: line[:min(len(line), maxChallengeLine)]}
		for len(all) < maxChallenges {
			c, ok := s.challenge()
			if !ok {
				break
			}
			all = append(all, c)
		}
	}
	return all
}

type challengeScanner struct{ rest string }

// challenge reads the next challenge; false at the end of the line.
func (s *challengeScanner) challenge() (Challenge, bool) {
	scheme := ""
	for scheme == "" {
		s.skip(" \t,")
		if s.rest == "" {
			return Challenge{}, false
		}
		if _, _, stray := s.param(); stray {
			continue // a parameter before any scheme is nobody's
		}
		if scheme = s.token(); scheme == "" {
			s.value() // junk; value consumes at least one byte
		}
	}
	c := Challenge{Scheme: scheme}
	if s.rest == "" || s.rest[0] != ' ' && s.rest[0] != '\t' {
		return c, true
	}
	s.skip(" \t")
	if token := s.token68(); token != "" {
		c.Params = map[string]string{"": token}
		return c, true
	}
	for {
		name, value, ok := s.param()
		if !ok {
			return c, true
		}
		if c.Params == nil {
			c.Params = make(map[string]string)
		}
		// a name occurs once (section 11.2)
		if _, twice := c.Params[name]; !twice && len(c.Params) < maxChallengeParams {
			c.Params[name] = value
		}
	}
}

// param reads a parameter and the commas before it. It consumes nothing when what follows is
// something else.
func (s *challengeScanner) param() (name, value string, ok bool) {
	ahead := *s
	ahead.skip(" \t,")
	name = ahead.token()
	ahead.skip(" \t")
	if name == "" || ahead.rest == "" || ahead.rest[0] != '=' {
		return "", "", false
	}
	ahead.rest = ahead.rest[1:]
	ahead.skip(" \t")
	value = ahead.value()
	*s = ahead
	return strings.ToLower(name), value, true
}

// value reads a token or a quoted string. Of what is neither it takes everything up to the next
// blank or comma.
func (s *challengeScanner) value() string {
	if !strings.HasPrefix(s.rest, `"`) {
		end := strings.IndexAny(s.rest, " \t,")
		if end < 0 {
			end = len(s.rest)
		}
		text := s.rest[:end]
		s.rest = s.rest[end:]
		return text
	}
	var b strings.Builder
	i := 1
	for ; i < len(s.rest) && s.rest[i] != '"'; i++ {
		if s.rest[i] == '\\' && i+1 < len(s.rest) {
			i++
		}
		b.WriteByte(s.rest[i])
	}
	s.rest = s.rest[min(i+1, len(s.rest)):]
	return b.String()
}

// token68 reads a token68, which must be all there is up to the next comma; else it consumes
// nothing.
func (s *challengeScanner) token68() string {
	end := 0
	for end < len(s.rest) && (isAlphaNum(s.rest[end]) || strings.IndexByte("-._~+/", s.rest[end]) >= 0) {
		end++
	}
	if end == 0 {
		return ""
	}
	for end < len(s.rest) && s.rest[end] == '=' {
		end++
	}
	after := strings.TrimLeft(s.rest[end:], " \t")
	if after != "" && after[0] != ',' {
		return ""
	}
	text := s.rest[:end]
	s.rest = after
	return text
}

// token reads a token (RFC 9110, section 5.6.2); empty when there is none.
func (s *challengeScanner) token() string {
	end := 0
	for end < len(s.rest) && (isAlphaNum(s.rest[end]) || strings.IndexByte("!#$%&'*+-.^_`|~", s.rest[end]) >= 0) {
		end++
	}
	text := s.rest[:end]
	s.rest = s.rest[end:]
	return text
}

func (s *challengeScanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }

func isAlphaNum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
