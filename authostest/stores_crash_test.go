package authostest_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// place is a database that may lose in a crash what it has confirmed.
type place struct {
	loses bool

	mu     sync.Mutex
	down   bool
	seen   *webhook.MemorySeen
	tokens authos.Tokens
	cache  *mapCache
	before struct { // what a crash brings back
		tokens authos.Tokens
		cache  map[string]cacheEntry
	}
}

func newPlace(loses bool) *place {
	return &place{loses: loses, seen: &webhook.MemorySeen{}, cache: &mapCache{}}
}

// crash takes a while, in which nothing works.
func (p *place) crash() error {
	p.set(true)
	time.Sleep(time.Second)
	p.set(false)
	return nil
}

func (p *place) set(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if down && p.loses {
		p.seen = &webhook.MemorySeen{}
		p.tokens = p.before.tokens
		p.cache.mu.Lock()
		p.cache.entries = maps.Clone(p.before.cache)
		p.cache.mu.Unlock()
	}
}

func (p *place) up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return errors.New("down")
	}
	return nil
}

func (p *place) records() *webhook.MemorySeen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

type crashingSeen struct{ *place }

func (s crashingSeen) Seen(ctx context.Context, id string) (bool, error) {
	return s.records().Seen(ctx, id)
}

func (s crashingSeen) Record(ctx context.Context, id string, ttl time.Duration) error {
	return errors.Join(s.up(), s.records().Record(ctx, id, ttl))
}

type crashingCache struct{ *place }

func (s crashingCache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.cache.Get(ctx, key)
}

func (s crashingCache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return errors.Join(s.up(), s.cache.Set(ctx, key, value, ttl))
}

func (s crashingCache) DeletePrefix(ctx context.Context, prefix string) error {
	if err := s.up(); err != nil {
		return err // and what is lost is a deletion that was confirmed
	}
	s.cache.mu.Lock()
	before := maps.Clone(s.cache.entries)
	s.cache.mu.Unlock()
	err := s.cache.DeletePrefix(ctx, prefix)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before.cache = before
	return err
}

type crashingTokens struct{ *place }

func (s crashingTokens) Load(context.Context) (authos.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens, nil
}

func (s crashingTokens) Save(ctx context.Context, t authos.Tokens) error {
	if err := errors.Join(ctx.Err(), s.up()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before.tokens, s.tokens = s.tokens, t
	return nil
}

func (s crashingTokens) Delete(ctx context.Context) error { return s.Save(ctx, authos.Tokens{}) }

// The suites find out what a place has lost in its crash, and a place that does not come back.
func TestCrashes(t *testing.T) {
	for name, suite := range map[string]struct {
		run  func(p *place, opt authostest.StoreOption) error
		want string
	}{
		"seen": {func(p *place, opt authostest.StoreOption) error {
			return authostest.TestSeen(func() (webhook.SeenStore, error) { return crashingSeen{p}, nil }, opt)
		}, "recorded before, in or after a crash: Seen = false"},
		"cache": {func(p *place, opt authostest.StoreOption) error {
			return authostest.TestCacheStore(func() (authos.CacheStore, error) { return crashingCache{p}, nil }, opt)
		}, "deleted before, in or after a crash: it is still there"},
		"tokens": {func(p *place, opt authostest.StoreOption) error {
			return authostest.TestTokenStore(func() (authos.TokenStore, error) { return crashingTokens{p}, nil }, opt)
		}, "neither what was saved last nor anything newer"},
	} {
		check := func(what string, p *place, crash func() error, want string) {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					err := suite.run(p, authostest.Crashes(crash))
					if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("the suite gave %v, want %q in it", err, want)
					}
				})
			})
		}
		good, bad, gone := newPlace(false), newPlace(true), newPlace(false)
		check("good", good, good.crash, "")
		check("loses", bad, bad.crash, suite.want)
		check("does not come back", gone, func() error { gone.set(true); return nil }, "did not work again")
		failing := newPlace(false)
		check("crash fails", failing, func() error { return errors.New("no such process") }, "no such process")
	}
}
