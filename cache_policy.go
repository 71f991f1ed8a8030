package authos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// CachePolicy says how responses are cached for the stale fallback. The zero value of a field is
// its default.
type CachePolicy struct {
	// MaxStale is the age of the oldest response that may be served. Default 10 min.
	MaxStale time.Duration
	// Patience is how long a call tries when a cached response is at hand. Default 5 s; negative:
	// as long as without one. Keep it above what a slow good response takes, which is not waited
	// for beyond it. A server that cannot be reached is noticed earlier, once the retries are used
	// up: with [WithoutRetry], or MaxAttempts of 1, at once.
	Patience time.Duration
	// MaxEntries and MaxBytes bound the memory. Defaults 1024 and 16 MiB. They do not apply to a
	// Store of your own.
	MaxEntries int
	MaxBytes   int64
	// Routes are the templates of the routes whose responses may be served stale, such as
	// "/api/service/users/:user_id". Empty: every route whose responses hold no secrets; others are
	// refused here.
	Routes []string
	// Store keeps the responses. Nil: in memory. One that outlives the process lets a program that
	// was started during an outage answer with what it had read before: see [WithTokenStore] for
	// the tokens, which must outlive it too.
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
	for _, template := range p.Routes {
		if r := routes.ByTemplate(http.MethodGet, template); r == nil || !r.Has(routes.Cacheable) {
			errs = append(errs, fmt.Errorf("in Routes, %q is not the template of a GET whose responses may be cached", template))
		}
	}
	return errors.Join(errs...)
}

func (p CachePolicy) withDefaults() CachePolicy {
	p.MaxStale = cmp.Or(p.MaxStale, defaultMaxStale)
	p.Patience = cmp.Or(p.Patience, defaultPatience)
	p.MaxEntries = cmp.Or(p.MaxEntries, defaultMaxEntries)
	p.MaxBytes = cmp.Or(p.MaxBytes, defaultMaxBytes)
	p.Routes = slices.Clone(p.Routes)
	return p
}
