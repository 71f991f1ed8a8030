package verify_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/verify"
)

// memoryStore is an [authos.CacheStore] that outlives verifiers, as files and databases do.
type memoryStore struct {
	mu      sync.Mutex
	entries map[string]storedEntry
	err     error // of every call
	hangs   bool  // without heeding the context
	panics  bool
	reads   int

	beforeSet func()        // called before a value is set
	slow      time.Duration // how long the next Set takes
}

type storedEntry struct {
	value []byte
	until time.Time
}

func (s *memoryStore) call() error {
	s.mu.Lock()
	err, hangs, panics := s.err, s.hangs, s.panics
	s.mu.Unlock()
	if hangs {
		time.Sleep(time.Hour)
	}
	if panics {
		panic("boom")
	}
	return err
}

func (s *memoryStore) Get(_ context.Context, key string) ([]byte, bool, error) {
	if err := s.call(); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	e, ok := s.entries[key]
	if !ok || !time.Now().Before(e.until) {
		return nil, false, nil
	}
	return bytes.Clone(e.value), true, nil
}

func (s *memoryStore) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.call(); err != nil {
		return err
	}
	if s.beforeSet != nil {
		s.beforeSet()
	}
	s.mu.Lock()
	slow := s.slow
	s.slow = 0
	s.mu.Unlock()
	time.Sleep(slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[string]storedEntry{}
	}
	s.entries[key] = storedEntry{bytes.Clone(value), time.Now().Add(ttl)}
	return nil
}

func (s *memoryStore) DeletePrefix(_ context.Context, prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.entries, func(key string, _ storedEntry) bool { return strings.HasPrefix(key, prefix) })
	return nil
}

func (s *memoryStore) set(change func(*memoryStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// stored is a configuration with a store, whose warnings go to the log.
func stored(store *memoryStore, log *bytes.Buffer) verify.Config {
	cfg := single()
	cfg.KeyStore, cfg.Audience = store, verify.AnyAudience()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	return cfg
}

// A program that begins during an outage verifies tokens with the keys of an earlier one, waits for
// nothing, and says that it does.
func TestStartInAnOutage(t *testing.T) {
	for name, broken := range map[string]func(*source){
		"503":  func(s *source) { s.fail = http.StatusServiceUnavailable },
		"hang": func(s *source) { s.delay = 1000 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				store, server := &memoryStore{}, usual()
				long := with(goodClaims(time.Now()), object{"exp": time.Now().Add(1000 * time.Hour).Unix()})
				known := signed(goodHeader(), long, firstKey())
				unknown := signed(with(goodHeader(), object{"kid": "k2"}), long, secondKey())
				before := newVerifier(t, issuer, server, stored(store, &log))
				c, err := before.Verify(t.Context(), known)
				if err != nil || c.StaleKeys || c.KeysFetchedAt.IsZero() {
					t.Fatalf("claims %+v, %v", c, err)
				}
				fetched := c.KeysFetchedAt
				synctest.Wait()
				_ = before.Close()

				server.set(broken)
				time.Sleep(10 * time.Hour)
				v := newVerifier(t, issuer, server, stored(store, &log))
				start := time.Now()
				for range 100 {
					c, err := v.Verify(t.Context(), known)
					if err != nil || !c.StaleKeys || !c.KeysFetchedAt.Equal(fetched.Truncate(time.Millisecond)) {
						t.Fatalf("claims %+v, %v, want stale keys of %v", c, err, fetched)
					}
				}
				if waited := time.Since(start); waited != 0 {
					t.Errorf("waited %s for keys that were stored", waited)
				}
				_, err = v.Verify(t.Context(), unknown)
				checkRefused(t, err, verify.ErrKeysUnavailable, unknown)

				// The age of the keys goes on where it was.
				time.Sleep(time.Until(start.Add(14 * time.Hour)))
				_, err = v.Verify(t.Context(), known)
				checkRefused(t, err, verify.ErrKeysUnavailable, known)

				server.set(func(s *source) { s.fail, s.delay = 0, 0 })
				time.Sleep(time.Minute)
				if c, err := v.Verify(t.Context(), known); err != nil || c.StaleKeys {
					t.Fatalf("claims %+v, %v after the outage", c, err)
				}
			})
		})
	}
}

// Where the server can be reached, stored keys are replaced at once, and the store is read no more.
func TestStoredKeysAreConfirmedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, server := &memoryStore{}, usual()
		old := signed(goodHeader(), goodClaims(time.Now()), firstKey())
		before := newVerifier(t, issuer, server, stored(store, &log))
		if _, err := before.Verify(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		server.set(func(s *source) { s.body = jwks(second()) }) // the first key leaked
		v := newVerifier(t, issuer, server, stored(store, &log))
		_, _ = v.Verify(t.Context(), old)
		synctest.Wait()
		_, err := v.Verify(t.Context(), old)
		checkRefused(t, err, verify.ErrUnknownKey, old)
		if _, err := v.Verify(t.Context(), signed(with(goodHeader(), object{"kid": "k2"}), goodClaims(time.Now()), secondKey())); err != nil {
			t.Error(err)
		}
		if store.reads != 2 {
			t.Errorf("the store was read %d times, want once by each verifier", store.reads)
		}
		// And so it is for the next program, also in an outage.
		server.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		next := newVerifier(t, issuer, server, stored(store, &log))
		_, err = next.Verify(t.Context(), old)
		checkRefused(t, err, verify.ErrKeysUnavailable, old)
		synctest.Wait()
		if log.Len() == 0 {
			t.Error("nobody was told that the keys cannot be fetched")
		}
	})
}

// What is stored is not believed where it is damaged, of another server or of another time; and a
// store that fails costs nothing but itself.
func TestBadStores(t *testing.T) {
	replace := func(from, to string) func(*memoryStore) {
		return func(s *memoryStore) {
			for key, e := range s.entries {
				s.entries[key] = storedEntry{bytes.Replace(e.value, []byte(from), []byte(to), 1), e.until}
			}
		}
	}
	for name, harm := range map[string]func(*memoryStore){
		"empty":             func(s *memoryStore) { s.entries = nil },
		"cut":               func(s *memoryStore) { s.entries = cut(s.entries) },
		"another version":   replace(`"version":1`, `"version":2`),
		"another server":    replace(`sso.example.com`, `evil.example.com`),
		"no keys":           replace(`"kid"`, `"x"`),
		"from the future":   replace(`"fetched":`, `"fetched":9`),
		"from long ago":     replace(`"fetched":`, `"fetched":0,"was":`),
		"fails":             func(s *memoryStore) { s.err = errors.New("disk on fire") },
		"hangs":             func(s *memoryStore) { s.hangs = true },
		"panics":            func(s *memoryStore) { s.panics = true },
		"private key in it": replace(`"use":"sig"`, `"use":"sig","d":"AAAA"`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				store, server := &memoryStore{}, usual()
				token := signed(goodHeader(), goodClaims(time.Now()), firstKey())
				before := newVerifier(t, issuer, server, stored(store, &log))
				if _, err := before.Verify(t.Context(), token); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				store.set(harm)
				server.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
				v := newVerifier(t, issuer, server, stored(store, &log))
				start := time.Now()
				_, err := v.Verify(t.Context(), token)
				checkRefused(t, err, verify.ErrKeysUnavailable, token)
				if waited := time.Since(start); waited > time.Second {
					t.Errorf("waited %s for the store, want a second at most", waited)
				}
				server.set(func(s *source) { s.fail = 0 })
				time.Sleep(10 * time.Second)
				if c, err := v.Verify(t.Context(), token); err != nil || c.StaleKeys {
					t.Errorf("claims %+v, %v from the server", c, err)
				}
				time.Sleep(2 * time.Hour) // a store that hangs does so for one
				synctest.Wait()
				if strings.Contains(log.String(), token) {
					t.Error("the log holds a token")
				}
			})
		})
	}
}

func cut(entries map[string]storedEntry) map[string]storedEntry {
	out := map[string]storedEntry{}
	for key, e := range entries {
		out[key] = storedEntry{e.value[:len(e.value)/2], e.until}
	}
	return out
}

// Two servers may share a store; two spellings of one server share its keys.
func TestStoreOfTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		down := usual()
		down.fail = http.StatusServiceUnavailable
		token := signed(goodHeader(), goodClaims(time.Now()), firstKey())
		if _, err := newVerifier(t, issuer, usual(), stored(store, new(bytes.Buffer))).Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := newVerifier(t, "HTTPS://SSO.Example.com:443/", down, stored(store, new(bytes.Buffer))).Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		cfg := stored(store, new(bytes.Buffer))
		cfg.Issuer = issuer
		_, err := newVerifier(t, "https://other.example.com", down, cfg).Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrKeysUnavailable, token)
		if keys := slices.Collect(maps.Keys(store.entries)); len(keys) != 1 || !strings.HasPrefix(keys[0], "verify/keys/") {
			t.Errorf("stored under %q", keys)
		}
	})
}

// The age of stored keys goes on after a restart, also where the clock is set back.
func TestStoredKeysAgeOnBothClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, server := &memoryStore{}, usual()
		cfg := stored(store, &log)
		claims := with(goodClaims(time.Now()), object{"exp": time.Now().Add(100 * time.Hour).Unix()})
		token := signed(goodHeader(), claims, firstKey())
		if _, err := newVerifier(t, issuer, server, cfg).Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		server.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		time.Sleep(20 * time.Hour)
		v := newVerifier(t, issuer, server, cfg)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // keys may be on their way
		verify.Suspend(v, -48*time.Hour)
		time.Sleep(3 * time.Hour)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		_, err := v.Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrKeysUnavailable, token)
	})
}

// A slow store does not end up with the older of two key sets.
func TestNewestKeysAreStoredLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store, server := &memoryStore{slow: 500 * time.Millisecond}, usual()
		v := newVerifier(t, issuer, server, stored(store, &log))
		if _, err := v.Verify(t.Context(), tokenOf("ada")); err != nil {
			t.Fatal(err)
		}
		server.set(func(s *source) { s.body = jwks(second()) })
		fresh := signed(with(goodHeader(), object{"kid": "k2"}), goodClaims(time.Now()), secondKey())
		if _, err := v.Verify(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		server.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		if _, err := newVerifier(t, issuer, server, stored(store, &log)).Verify(t.Context(), fresh); err != nil {
			t.Errorf("the newest keys are not stored: %v", err)
		}
	})
}

// Keys that are kept for ever are stored for long, and others no longer than they are kept.
func TestStoredKeysExpire(t *testing.T) {
	for _, row := range []struct{ keep, after time.Duration }{{-1, 20000 * time.Hour}, {48 * time.Hour, 47 * time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			store, server := &memoryStore{}, usual()
			cfg := stored(store, &log)
			cfg.KeepKeys = row.keep
			claims := with(goodClaims(time.Now()), object{"exp": time.Now().Add(100_000 * time.Hour).Unix()})
			token := signed(goodHeader(), claims, firstKey())
			if _, err := newVerifier(t, issuer, server, cfg).Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			server.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
			time.Sleep(row.after)
			if _, err := newVerifier(t, issuer, server, cfg).Verify(t.Context(), token); err != nil {
				t.Errorf("KeepKeys %s, after %s: %v", row.keep, row.after, err)
			}
			for _, e := range store.entries {
				if life := time.Until(e.until); row.keep > 0 && life > row.keep-row.after {
					t.Errorf("stored for %s more, want no more than %s", life, row.keep-row.after)
				}
			}
		})
	}
}
