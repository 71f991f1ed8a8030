package authos

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// deprecations remembers the routes that have been reported, so that each is reported once by a
// family of clients.
type deprecations struct {
	mu       sync.Mutex
	reported map[string]bool
}

// maxDeprecations bounds the memory of reported routes: a program may call any path through Do.
const maxDeprecations = 512

func (d *deprecations) isNews(route string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reported[route] || len(d.reported) >= maxDeprecations {
		return false
	}
	if d.reported == nil {
		d.reported = map[string]bool{}
	}
	d.reported[route] = true
	return true
}

// observeDeprecation reports a response with a Deprecation field (RFC 9745) or a Sunset field (RFC
// 8594).
func (a *agent) observeDeprecation(cl *call) {
	deprecated, sunset := cl.responseHeader["Deprecation"], cl.responseHeader["Sunset"]
	if len(deprecated) == 0 && len(sunset) == 0 {
		return
	}
	event := DeprecationEvent{Method: cl.method, Route: cl.path()}
	said := false
	if len(deprecated) > 0 {
		event.Since, said = deprecationTime(deprecated[0])
	}
	if len(sunset) > 0 {
		if t, err := http.ParseTime(sunset[0]); err == nil {
			event.Sunset, said = t, true
		}
	}
	if !said || !a.fam.deprecated.isNews(cl.method+" "+cl.path()) {
		return
	}
	attrs := append(cl.attrs(), slog.Time("since", event.Since), slog.Time("sunset", event.Sunset))
	a.cfg.logger.LogAttrs(cl.watch(), slog.LevelWarn, "authos: the server deprecates this route", attrs...)
	if f := a.cfg.observer.Deprecation; f != nil {
		f(cl.watch(), event)
	}
}

// deprecationTime reads "@1688169599", Unix seconds (RFC 9745, section 2.1), and what its drafts
// had before: "true", or an HTTP date. ok is false for anything else, "false" among it.
func deprecationTime(value string) (since time.Time, ok bool) {
	value = strings.TrimSpace(value)
	if seconds, isDate := strings.CutPrefix(value, "@"); isDate {
		n, err := strconv.ParseInt(seconds, 10, 64)
		return time.Unix(n, 0).UTC(), err == nil
	}
	if value == "true" || value == "?1" {
		return time.Time{}, true
	}
	t, err := http.ParseTime(value)
	return t, err == nil
}
