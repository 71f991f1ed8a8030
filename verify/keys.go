package verify

import (
	"context"
	"crypto/rsa"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/authos-go/authos"
)

const (
	// retryAfterFailure is how long after a failed fetch the next may begin. A failure costs
	// nothing of the bucket: an outage must not use up what a rotation after it needs.
	retryAfterFailure = 10 * time.Second
	// maxAbsent bounds the kids that the server has denied. Strangers can invent as many as they
	// like.
	maxAbsent = 1024
)

// keySet holds the server's keys.
//
// A lookup whose key is at hand never waits: when the keys are older than KeyTTL they are fetched
// in the background. A kid that is not at hand waits for a fetch, the same for all. Only a fetch
// that began after the lookup can say that the server does not have the key (401); where none may
// begin, nobody knows (503), unless the server has denied that very kid before. A fetch that fails,
// or brings nothing usable, changes no key.
type keySet struct {
	source  keySource
	work    *background
	ttl     time.Duration
	keep    time.Duration // negative: for ever
	timeout time.Duration
	log     *slog.Logger
	clock   func() moment

	saving chan struct{} // full while keys are being stored

	mu       sync.Mutex // never held while waiting
	keys     map[string]*rsa.PublicKey
	fetched  moment // when the fetch began that brought keys; zero: there are none
	restored bool   // keys come from the store, and the server has not confirmed them yet
	loaded   bool   // the store was read, or there is none
	tried    moment // when the last fetch ended; zero: never
	failure  error  // why it failed; nil: it did not
	begun    int    // fetches so far
	brought  int    // the number of the fetch that brought keys
	flight   chan struct{}
	paid     bool // the fetch under way took a token
	spare    bucket
	// kids that were asked for and that the last good fetch did not bring
	absent map[string]struct{}
}

func newKeySet(client *authos.Client, work *background, cfg Config, server string) *keySet {
	return &keySet{
		source: keySource{client: client, store: cfg.KeyStore, server: server},
		work:   work, ttl: cfg.KeyTTL, keep: cfg.KeepKeys, timeout: cfg.FetchTimeout,
		log: cfg.Logger, clock: currentMoment, loaded: cfg.KeyStore == nil, absent: map[string]struct{}{}, saving: make(chan struct{}, 1),
	}
}

// foundKey is a key with what is known of its freshness.
type foundKey struct {
	rsa     *rsa.PublicKey
	fetched time.Time // when the server published it
	stale   bool      // the server should have confirmed it since, and has not
}

// find gives the key of a kid, or says why there is none.
func (s *keySet) find(ctx context.Context, kid string) (foundKey, error) {
	arrived := s.count()
	return s.await(ctx, func() (foundKey, <-chan struct{}, error) { return s.look(ctx, kid, arrived) })
}

// replacement gives another key under the kid of used, whose signature did not match: a server that
// was set up anew may use the old id again. It gives no key and no error where the server has no
// other. issued is what the token, of which nothing is proven, says of its age.
func (s *keySet) replacement(ctx context.Context, kid string, used *rsa.PublicKey, issued time.Time) (foundKey, error) {
	arrived := s.count()
	return s.await(ctx, func() (foundKey, <-chan struct{}, error) { return s.lookAgain(ctx, kid, used, issued, arrived) })
}

// count is the number of the last fetch that has begun. Only those after it can say that the server
// does not have the key of a token that has arrived by now.
func (s *keySet) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// await calls look until it gives a result instead of a fetch to wait for. That takes two fetches
// at most: the one under way, and one that began after the lookup.
func (s *keySet) await(
	ctx context.Context, look func() (foundKey, <-chan struct{}, error),
) (foundKey, error) {
	for {
		s.mu.Lock()
		key, flight, err := look()
		s.mu.Unlock()
		if flight == nil {
			return key, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return foundKey{}, &Error{
				Reason: ErrKeysUnavailable, Detail: "gave up waiting", RetryAfter: time.Second, Err: context.Cause(ctx),
			}
		}
	}
}

// look gives the key, or the fetch to wait for, or the reason why there is neither. The caller
// holds the lock.
func (s *keySet) look(ctx context.Context, kid string, arrived int) (foundKey, <-chan struct{}, error) {
	if !s.loaded {
		if flight := s.start(ctx, storeTimeout, s.load); flight != nil {
			return foundKey{}, flight, nil
		}
	}
	now := s.clock()
	usable := s.usable(now)
	if key := s.keys[kid]; key != nil && usable {
		stale := s.restored || s.fetched.age(now) >= s.ttl
		if stale {
			s.fetch(ctx, now)
		}
		return foundKey{key, s.fetched.wall, stale}, nil, nil
	}
	if usable && s.brought > arrived {
		s.deny(kid)
		return foundKey{}, nil, errUnknown()
	}
	_, denied := s.absent[kid]
	reserve := 0
	if denied {
		reserve = fetchReserve
	}
	flight, wait := s.ask(ctx, now, usable, reserve)
	switch {
	case flight != nil:
		return foundKey{}, flight, nil
	case denied && usable && s.failure == nil:
		return foundKey{}, nil, errUnknown()
	default:
		return foundKey{}, nil, s.unavailable("", wait)
	}
}

// lookAgain is look after a signature did not match. Where the server may not be asked, the keys at
// hand decide, since strangers can make as many bad signatures as they like; only of a token that
// says it is younger than those keys nothing is known. The caller holds the lock.
func (s *keySet) lookAgain(
	ctx context.Context, kid string, used *rsa.PublicKey, issued time.Time, arrived int,
) (foundKey, <-chan struct{}, error) {
	now := s.clock()
	usable := s.usable(now)
	key := s.keys[kid]
	switch {
	case usable && key != nil && !key.Equal(used):
		return foundKey{key, s.fetched.wall, s.restored || s.fetched.age(now) >= s.ttl}, nil, nil
	case usable && s.brought > arrived:
		if key == nil {
			return foundKey{}, nil, errUnknown()
		}
		return foundKey{}, nil, nil
	}
	flight, wait := s.ask(ctx, now, usable, fetchReserve)
	switch {
	case flight != nil:
		return foundKey{}, flight, nil
	case issued.After(s.fetched.wall) && !issued.After(now.wall):
		return foundKey{}, nil, s.unavailable("the signature does not match, and the token is younger than the keys", wait)
	default:
		return foundKey{}, nil, nil
	}
}

// usable reports whether there are keys that may still be trusted.
func (s *keySet) usable(now moment) bool {
	return !s.fetched.isZero() && (s.keep < 0 || s.fetched.age(now) < s.keep)
}

// ask gives the fetch under way, or begins one where that is allowed; else how long to wait.
// Without confirmed keys nothing can be verified, so then only failures hold it back.
func (s *keySet) ask(ctx context.Context, now moment, usable bool, reserve int) (<-chan struct{}, time.Duration) {
	if s.flight != nil {
		return s.flight, 0
	}
	if wait := s.pause(now); wait > 0 {
		return nil, wait
	}
	free := !usable || s.restored
	if !free && !s.spare.take(now, reserve) {
		return nil, s.spare.next(now)
	}
	flight := s.fetch(ctx, now)
	s.paid = !free
	return flight, 0
}

// pause is how long a failure still holds the next fetch back.
func (s *keySet) pause(now moment) time.Duration {
	if s.failure == nil || s.tried.isZero() {
		return 0
	}
	return max(retryAfterFailure-s.tried.age(now), 0)
}

// fetch gives the fetch under way, or begins one unless a failure holds it back.
func (s *keySet) fetch(ctx context.Context, now moment) <-chan struct{} {
	if s.flight != nil {
		return s.flight
	}
	if s.pause(now) > 0 {
		return nil
	}
	number := s.begun + 1
	flight := s.start(ctx, s.timeout, func(ctx context.Context, land func()) { s.refresh(ctx, number, land) })
	if flight != nil {
		s.begun = number
	}
	return flight
}

// start runs f in the background, until whose end there is a flight to wait for. It gives nil after
// Close.
func (s *keySet) start(ctx context.Context, limit time.Duration, f func(ctx context.Context, land func())) <-chan struct{} {
	if s.flight != nil {
		return s.flight
	}
	flight := make(chan struct{})
	land := sync.OnceFunc(func() {
		s.flight = nil
		close(flight)
	})
	if !s.work.start(ctx, limit, func(ctx context.Context) { f(ctx, land) }) {
		s.failure, s.tried = net.ErrClosed, moment{}
		return nil
	}
	s.flight = flight
	return flight
}

// refresh fetches the keys and puts them in the place of those at hand. land is called under the
// lock.
func (s *keySet) refresh(ctx context.Context, number int, land func()) {
	began := s.clock()
	keys, raw, err := map[string]*rsa.PublicKey(nil), []byte(nil), errNoResponse
	defer func() { // also when a transport panics or ends the goroutine: the callers wait for it
		err = panicked(recover(), err)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer land()
		s.tried, s.failure = s.clock(), err
		if s.paid && err != nil {
			s.spare.giveBack()
		}
		s.paid = false
		if err != nil {
			return
		}
		s.keys, s.fetched, s.brought, s.restored = keys, began, number, false
		for kid := range s.absent {
			if keys[kid] != nil {
				delete(s.absent, kid)
			}
		}
		if s.source.store != nil {
			s.work.start(ctx, 3*storeTimeout, func(ctx context.Context) { s.save(ctx, raw, began) })
		}
	}()
	if keys, raw, err = s.source.fetch(ctx); err != nil {
		s.log.WarnContext(ctx, "verify: cannot fetch the server's keys", "error", err)
	}
}

// deny remembers that the server does not have a key.
func (s *keySet) deny(kid string) {
	for other := range s.absent {
		if len(s.absent) < maxAbsent {
			break
		}
		delete(s.absent, other)
	}
	s.absent[kid] = struct{}{}
}

func errUnknown() error {
	return refuse(ErrUnknownKey, "the server does not have the key that the token names")
}

func (s *keySet) unavailable(detail string, wait time.Duration) error {
	return &Error{Reason: ErrKeysUnavailable, Detail: detail, RetryAfter: max(wait, time.Second), Err: s.failure}
}
