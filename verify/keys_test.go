package verify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/verify"
)

// bubble is a verifier in virtual time, with tokens of two keys that never expire while a test
// runs.
type bubble struct {
	t              *testing.T
	source         *source
	v              *verify.Verifier
	first, second  string // tokens signed with k1 and k2
	third, nothing string // with a kid that no server has, and without one
}

func inBubble(t *testing.T, cfg verify.Config, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		cfg.Audience = verify.AnyAudience()
		b := &bubble{t: t, source: usual()}
		b.v = newVerifier(t, issuer, b.source, cfg)
		claims := with(goodClaims(now), object{"exp": now.Add(1000 * time.Hour).Unix()})
		b.first = signed(goodHeader(), claims, firstKey())
		b.second = signed(with(goodHeader(), object{"kid": "k2"}), claims, secondKey())
		b.third = signed(with(goodHeader(), object{"kid": "k3"}), claims, secondKey())
		b.nothing = signed(with(goodHeader(), object{"kid": nil}), claims, firstKey())
		test(t, b)
	})
}

// verify fails the test unless the token is accepted, or refused for the reason wanted.
func (b *bubble) verify(token string, want error) {
	b.t.Helper()
	if want != nil {
		_ = b.refused(token, want)
		return
	}
	if _, err := b.v.Verify(b.t.Context(), token); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) refused(token string, want error) *verify.Error {
	b.t.Helper()
	_, err := b.v.Verify(b.t.Context(), token)
	checkRefused(b.t, err, want, token)
	e, _ := errors.AsType[*verify.Error](err)
	return e
}

func (b *bubble) requests(want int) {
	b.t.Helper()
	synctest.Wait() // for a fetch in the background
	if got := b.source.requests(); got != want {
		b.t.Fatalf("%d requests for the keys, want %d", got, want)
	}
}

func (b *bubble) serve(keys ...object) {
	b.source.set(func(s *source) { s.body, s.fail, s.delay = jwks(keys...), 0, 0 })
}

func first() object  { return jwk("k1", &firstKey().PublicKey, nil) }
func second() object { return jwk("k2", &secondKey().PublicKey, nil) }

func TestKeysAreFetchedOnce(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.requests(0) // New sends nothing
		b.source.set(func(s *source) { s.delay = time.Second })
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, err := b.v.Verify(t.Context(), b.first); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		b.requests(1)
		time.Sleep(59 * time.Minute)
		b.verify(b.first, nil)
		b.requests(1)
	})
}

// Keys that have reached their age are fetched in the background; nobody waits, however slow the
// server is.
func TestKeysAreRefreshedInTheBackground(t *testing.T) {
	inBubble(t, verify.Config{KeyTTL: 10 * time.Minute}, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		b.requests(1)
		b.source.set(func(s *source) { s.delay = 2 * time.Second })
		for i := range 5 {
			time.Sleep(10*time.Minute + 3*time.Second)
			start := time.Now()
			b.verify(b.first, nil)
			b.verify(b.first, nil)
			if waited := time.Since(start); waited != 0 {
				t.Fatalf("waited %s for keys that were at hand", waited)
			}
			b.requests(2 + i)
		}
	})
}

func TestRotation(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		time.Sleep(2 * time.Minute)
		b.serve(second(), first())
		b.verify(b.second, nil) // an unknown kid is worth asking at once
		b.verify(b.first, nil)
		b.requests(2)
		// The old key is withdrawn: seen at the next fetch.
		b.serve(second())
		b.verify(b.first, nil)
		time.Sleep(time.Hour)
		b.verify(b.second, nil)
		b.requests(3)
		b.verify(b.first, verify.ErrUnknownKey)
		b.verify(b.second, nil)
	})
}

// With the breaker and the retries off, requests are fetches.
func single() verify.Config {
	return verify.Config{ClientOptions: []authos.Option{
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: 3 * time.Second}),
		authos.WithBreaker(authos.BreakerPolicy{Disabled: true}),
	}}
}

func TestOldKeysAreKeptWhileTheServerIsDown(t *testing.T) {
	inBubble(t, single(), func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		for range 23 * 60 { // minutes
			time.Sleep(time.Minute)
			b.verify(b.first, nil)
			// Of an unknown key nothing can be said now: the token may be good.
			e := b.refused(b.second, verify.ErrKeysUnavailable)
			if api, ok := errors.AsType[*authos.APIError](e); !ok || api.StatusCode != 503 || !errors.Is(e, verify.ErrUnavailable) {
				t.Fatalf("the reason is lost: %v", e)
			}
			if e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
				t.Fatalf("retry after %s", e.RetryAfter)
			}
		}
		if n := b.source.requests(); n > 24*60 {
			t.Fatalf("%d requests in %d minutes of outage", n, 23*60)
		}
		time.Sleep(time.Hour) // the keys are a day old now
		b.verify(b.first, verify.ErrKeysUnavailable)
		b.serve(first())
		time.Sleep(time.Minute)
		b.verify(b.first, nil)
	})
}

func TestKeysMayBeKeptForEver(t *testing.T) {
	cfg := single()
	cfg.KeepKeys = -1
	inBubble(t, cfg, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		b.source.set(func(s *source) { s.fail = http.StatusBadGateway })
		time.Sleep(900 * time.Hour)
		b.verify(b.first, nil)
		b.verify(b.second, verify.ErrKeysUnavailable)
	})
}

// Until the server has responded once it is asked every ten seconds; the failure is remembered in
// between.
func TestDownFromTheStart(t *testing.T) {
	inBubble(t, single(), func(t *testing.T, b *bubble) {
		b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		for range 60 {
			e := b.refused(b.first, verify.ErrKeysUnavailable)
			if e.RetryAfter <= 0 || e.RetryAfter > 10*time.Second || e.Err == nil {
				t.Fatalf("retry after %s because of %v", e.RetryAfter, e.Err)
			}
			time.Sleep(time.Second)
		}
		b.requests(6)
		b.serve(first())
		time.Sleep(10 * time.Second)
		b.verify(b.first, nil)
	})
}

// The usual client tries again by itself, so that a short failure at the start is not seen.
func TestFetchIsRetried(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.source.set(func(s *source) { s.fail = http.StatusBadGateway })
		time.AfterFunc(time.Millisecond, func() { b.serve(first()) })
		b.verify(b.first, nil)
	})
}

func TestSlowEndpoint(t *testing.T) {
	inBubble(t, verify.Config{FetchTimeout: 5 * time.Second}, func(t *testing.T, b *bubble) {
		b.source.set(func(s *source) { s.delay = time.Hour })
		start := time.Now()
		e := b.refused(b.first, verify.ErrKeysUnavailable)
		if waited := time.Since(start); waited != 5*time.Second {
			t.Fatalf("waited %s, want FetchTimeout", waited)
		}
		if !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, authos.ErrUnavailable) {
			t.Fatalf("the reason is lost: %v", e)
		}
		// Who waits no longer leaves, and the fetch goes on for the others.
		b.source.set(func(s *source) { s.delay = 2 * time.Second })
		time.Sleep(10 * time.Second)
		var group sync.WaitGroup
		group.Go(func() { b.verify(b.first, nil) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err := b.v.Verify(ctx, b.first)
		checkRefused(t, err, verify.ErrKeysUnavailable, b.first)
		if waited := time.Since(start); waited != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("left after %s with %v", waited, err)
		}
		group.Wait()
		// A key at hand waits for nothing, not even where the context is over.
		b.source.set(func(s *source) { s.delay = time.Hour })
		time.Sleep(2 * time.Hour)
		canceled, stop := context.WithCancel(t.Context())
		stop()
		if _, err := b.v.Verify(canceled, b.first); err != nil {
			t.Fatal(err)
		}
		_, err = b.v.Verify(canceled, b.second)
		checkRefused(t, err, verify.ErrKeysUnavailable, b.second)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// The first caller's context does not end the fetch that others wait for.
func TestFirstCallerMayLeave(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.source.set(func(s *source) { s.delay = 2 * time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			_, err := b.v.Verify(ctx, b.first)
			checkRefused(t, err, verify.ErrKeysUnavailable, b.first)
		})
		synctest.Wait()
		b.verify(b.first, nil)
		group.Wait()
		b.requests(1)
	})
}

// What is no usable set of keys changes nothing.
func TestUselessKeySets(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := object{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k1",
		"x": b64(elliptical.X.FillBytes(make([]byte, 32))), "y": b64(elliptical.Y.FillBytes(make([]byte, 32)))}
	changed := func(changes object) string { return jwks(jwk("k1", &firstKey().PublicKey, changes)) }
	sets := map[string]string{
		"nothing":              ``,
		"a page":               `<html>hello</html>`,
		"no object":            `[]`,
		"null":                 `null`,
		"no keys":              `{}`,
		"empty":                `{"keys":[]}`,
		"keys null":            `{"keys":null}`,
		"keys no list":         `{"keys":"k1"}`,
		"keys of nothing":      `{"keys":[null,1,"x",{},[]]}`,
		"keys twice":           `{"keys":[],"keys":` + jwks(first())[len(`{"keys":`):],
		"cut":                  jwks(first())[:300],
		"elliptic":             jwks(ec),
		"symmetric":            jwks(object{"kty": "oct", "alg": "HS256", "use": "sig", "kid": "k1", "k": b64([]byte("secret"))}),
		"weak":                 jwks(jwk("k1", &weakKey().PublicKey, nil)),
		"for encryption":       changed(object{"use": "enc"}),
		"for nothing":          changed(object{"use": nil}),
		"of another algorithm": changed(object{"alg": "RS512"}),
		"of HS256":             changed(object{"alg": "HS256"}),
		"of no algorithm":      changed(object{"alg": nil}),
		"without id":           changed(object{"kid": nil}),
		"id a number":          changed(object{"kid": 1}),
		"no modulus":           changed(object{"n": nil}),
		"no exponent":          changed(object{"e": nil}),
		"modulus no base64":    changed(object{"n": "!"}),
		"huge modulus":         changed(object{"n": strings.Repeat("_", 2000)}),
		"too large":            jwks(first(), object{"kty": "oct", "k": strings.Repeat("A", 1<<20)}),
	}
	for name, body := range sets {
		t.Run(name, func(t *testing.T) {
			inBubble(t, single(), func(t *testing.T, b *bubble) {
				b.source.set(func(s *source) { s.body = body })
				b.verify(b.first, verify.ErrKeysUnavailable)
				b.serve(first())
				time.Sleep(time.Minute)
				b.verify(b.first, nil)
				b.source.set(func(s *source) { s.body = body })
				time.Sleep(2 * time.Hour)
				b.verify(b.first, nil) // begins a fetch
				b.requests(3)
				b.verify(b.first, nil) // which changed nothing
			})
		})
	}
}

// Keys that are of no use do not spoil those beside them.
func TestUsableKeysAmongOthers(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.serve(
			object{"kty": "EC", "crv": "P-521", "kid": "k1"}, object{"kty": "future", "kid": "k7"},
			jwk("k1", &weakKey().PublicKey, nil), first(), jwk("k1", &secondKey().PublicKey, nil), second(),
		)
		b.verify(b.first, nil)
		b.verify(b.second, nil)
		b.requests(1)
	})
}

// A response cached by a client that the caller brings is no response of the server.
func TestKeysOfACachingClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usual()
		client, err := authos.New(issuer, authos.WithHTTPClient(&http.Client{Transport: s}), authos.WithCache(authos.CachePolicy{}),
			authos.WithTokens(authos.Tokens{AccessToken: "the-own-token-of-the-program"}))
		if err != nil {
			t.Fatal(err)
		}
		v, err := verify.New(issuer, verify.Config{Audience: verify.AnyAudience(), Client: client})
		if err != nil {
			t.Fatal(err)
		}
		b := &bubble{t: t, source: s, v: v}
		now := time.Now()
		claims := with(goodClaims(now), object{"exp": now.Add(1000 * time.Hour).Unix()})
		b.verify(signed(goodHeader(), claims, firstKey()), nil)
		s.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		time.Sleep(2 * time.Minute)
		b.verify(signed(with(goodHeader(), object{"kid": "k2"}), claims, secondKey()), verify.ErrKeysUnavailable)
		for _, req := range s.seen {
			if req.Header.Get("Authorization") != "" {
				t.Error("the request for the keys carried the client's token")
			}
		}
		// The client is the caller's: closing the verifier leaves it open, and uses it no more.
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *source) { s.fail = 0 })
		time.Sleep(2 * time.Minute)
		before := s.requests()
		e := b.refused(signed(with(goodHeader(), object{"kid": "k2"}), claims, secondKey()), verify.ErrKeysUnavailable)
		if n := s.requests() - before; n != 0 || !errors.Is(e, net.ErrClosed) {
			t.Errorf("%d requests after Close, %v", n, e)
		}
		if err := client.Do(t.Context(), http.MethodGet, "/.well-known/jwks.json", nil, nil); errors.Is(err, net.ErrClosed) {
			t.Error("the verifier has closed a client that is not its own")
		}
		_ = client.Close()
	})
}

func TestClose(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		time.Sleep(2 * time.Minute)
		b.source.set(func(s *source) { s.delay = time.Hour })
		var group sync.WaitGroup
		group.Go(func() {
			_, err := b.v.Verify(t.Context(), b.second)
			checkRefused(t, err, verify.ErrKeysUnavailable, b.second)
		})
		synctest.Wait()
		start := time.Now()
		if err := b.v.Close(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Fatalf("closing took %s", waited)
		}
		b.verify(b.first, nil)
		time.Sleep(2 * time.Hour)
		b.verify(b.first, nil)
		e := b.refused(b.third, verify.ErrKeysUnavailable)
		if !errors.Is(e, net.ErrClosed) {
			t.Fatal(e)
		}
		if err := b.v.Close(); err != nil {
			t.Fatal(err)
		}
	})
	// The bubble has ended: no goroutine was left behind.
}

// A transport that panics or ends its goroutine does not leave the callers waiting for ever, and
// does not end the program.
func TestTransportThatNeverReturns(t *testing.T) {
	for name, leave := range map[string]func(){"Goexit": runtime.Goexit, "panic": func() { panic("boom") }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := usual()
				broken := true
				gone := roundTripper(func(r *http.Request) (*http.Response, error) {
					if broken || r.URL.Path == "/api/user" {
						leave()
					}
					return keys.RoundTrip(r)
				})
				v := newVerifier(t, issuer, gone, verify.Config{Audience: verify.AnyAudience(), Online: &verify.Online{}})
				token := signed(goodHeader(), goodClaims(time.Now()), firstKey())
				_, err := v.Verify(t.Context(), token)
				checkRefused(t, err, verify.ErrKeysUnavailable, token)
				broken = false
				time.Sleep(10 * time.Second)
				_, err = v.Verify(t.Context(), token)
				checkRefused(t, err, verify.ErrCheckUnavailable, token)
			})
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
