package verify

import (
	"context"
	"crypto/rsa"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/authos-go/authos"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	keysPath = "/.well-known/jwks.json"
	// refetchAfter is how long the keys are not asked for again, after an answer or a failure. Who sends tokens with invented key ids
	// causes no more requests than that.
	refetchAfter = time.Minute
	// firstRetryAfter takes its place until the server has answered for the first time: nothing at all can be verified till then.
	firstRetryAfter = 10 * time.Second
	minKeyBits      = 2048
	maxKeySet       = 1 << 20 // bytes; the server's own have at most 11 keys
)

// keySet holds the server's keys.
//
// A lookup whose key is at hand never waits: when the keys are older than KeyTTL they are fetched in the background. An unknown kid waits
// for a fetch, the same for all, and none begins within refetchAfter of the end of the last. A fetch that fails, or brings
// nothing usable, changes no key; its reason is what callers get until the next one.
type keySet struct {
	client  *authos.Client
	work    *background
	ttl     time.Duration
	keep    time.Duration // negative: for ever
	timeout time.Duration

	mu      sync.Mutex // never held while waiting
	keys    map[string]*rsa.PublicKey
	fetched time.Time     // when keys arrived; zero: never
	tried   time.Time     // when the last fetch ended; zero: never
	failure error         // why it failed; nil: it did not
	flight  chan struct{} // closed when the fetch under way has ended; nil: none is
}

func newKeySet(client *authos.Client, work *background, cfg Config) *keySet {
	return &keySet{client: client, work: work, ttl: cfg.KeyTTL, keep: cfg.KeepKeys, timeout: cfg.FetchTimeout}
}

// key gives the key of a kid, or says why there is none.
func (s *keySet) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	key, flight, err := s.look(ctx, kid, true)
	if flight == nil {
		return key, err
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, &Error{Reason: ErrKeysUnavailable, Detail: "gave up waiting", RetryAfter: time.Second, Err: context.Cause(ctx)}
	}
	key, _, err = s.look(ctx, kid, false)
	return key, err
}

// look gives the key, or the fetch to wait for where mayWait, or the reason why there is none.
func (s *keySet) look(ctx context.Context, kid string, mayWait bool) (*rsa.PublicKey, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	age := now.Sub(s.fetched)
	usable := !s.fetched.IsZero() && (s.keep < 0 || age < s.keep)
	if key := s.keys[kid]; key != nil && usable {
		if age >= s.ttl {
			s.refetch(ctx, now)
		}
		return key, nil, nil
	}
	if mayWait {
		if flight := s.refetch(ctx, now); flight != nil {
			return nil, flight, nil
		}
	}
	if usable && s.failure == nil {
		return nil, nil, refuse(ErrUnknownKey, "the server does not have the key that the token names")
	}
	return nil, nil, &Error{Reason: ErrKeysUnavailable, RetryAfter: max(s.pause()-now.Sub(s.tried), time.Second), Err: s.failure}
}

// pause is how long after the end of a fetch the next may begin.
func (s *keySet) pause() time.Duration {
	if s.fetched.IsZero() {
		return firstRetryAfter
	}
	return refetchAfter
}

// refetch gives the fetch under way, or begins one; nil where it is too early for that. The caller holds the lock.
func (s *keySet) refetch(ctx context.Context, now time.Time) <-chan struct{} {
	if s.flight != nil {
		return s.flight
	}
	if !s.tried.IsZero() && now.Sub(s.tried) < s.pause() {
		return nil
	}
	flight := make(chan struct{})
	if !s.work.start(ctx, s.timeout, func(ctx context.Context) { s.fetch(ctx, flight) }) {
		s.failure = net.ErrClosed
		return nil
	}
	s.flight = flight
	return flight
}

var errNoAnswer = errors.New("the fetch ended without an answer")

func (s *keySet) fetch(ctx context.Context, flight chan struct{}) {
	keys, err := map[string]*rsa.PublicKey(nil), errNoAnswer
	defer func() { // also when a transport ends the goroutine: the callers wait for it
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		s.flight, s.tried, s.failure = nil, now, err
		if err == nil {
			s.keys, s.fetched = keys, now
		}
		close(flight)
	}()
	var body []byte
	// A kept answer would look like a fresh one here, and old keys are kept by this set itself.
	if err = s.client.Do(ctx, http.MethodGet, keysPath, nil, &body, authos.WithoutCache()); err != nil {
		return
	}
	keys, err = readKeys(body)
}

var errNoKeys = errors.New("the server's key set has no usable key (RSA of 2048 bits or more, use sig, alg RS256, with a kid)")

// readKeys reads a JWK Set (RFC 7517, section 5). What is no key for these tokens is left out: another type or use, another algorithm, less
// than 2048 bits, private, without an id, or not readable at all. A set without any usable key is an error.
func readKeys(body []byte) (map[string]*rsa.PublicKey, error) {
	if len(body) > maxKeySet {
		return nil, errors.New("the server's key set is larger than 1 MiB")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the server's key set is not a JWK Set")
	}
	keys := make(map[string]*rsa.PublicKey, len(set.Keys))
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(raw); err != nil {
			continue
		}
		key, ok := jwk.Key.(*rsa.PublicKey)
		if !ok || jwk.KeyID == "" || jwk.Use != "sig" || jwk.Algorithm != string(jose.RS256) || key.N.BitLen() < minKeyBits {
			continue
		}
		if keys[jwk.KeyID] == nil { // the active key comes first
			keys[jwk.KeyID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errNoKeys
	}
	return keys, nil
}
