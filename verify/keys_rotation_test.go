package verify_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/verify"
)

// of is a token of a kid and key that says it was issued now.
func (b *bubble) of(kid string, key string) string {
	claims := goodClaims(time.Now())
	if key == "first" {
		return signed(with(goodHeader(), object{"kid": kid}), claims, firstKey())
	}
	return signed(with(goodHeader(), object{"kid": kid}), claims, secondKey())
}

// forged is a token that says it was issued now, and whose signature is somebody else's.
func (b *bubble) forged() string { return b.of("k1", "second") }

// invented is a token with a kid that nobody has used before.
func (b *bubble) invented(i int) string { return b.of(fmt.Sprint("invented ", i), "second") }

// A rotation is noticed at once, also right after the keys were fetched, and again after that.
func TestRotationsInARow(t *testing.T) {
	inBubble(t, verify.Config{}, func(_ *testing.T, b *bubble) {
		b.verify(b.first, nil)
		for i := range 5 {
			time.Sleep(2 * time.Second)
			kid := fmt.Sprint("rotated ", i)
			b.serve(jwk(kid, &secondKey().PublicKey, nil), first())
			b.verify(b.of(kid, "second"), nil)
			b.verify(b.first, nil)
		}
		b.requests(1 + 5)
		// The sixth has to wait, and is not called invalid meanwhile.
		b.serve(jwk("sixth", &secondKey().PublicKey, nil))
		e := b.refused(b.of("sixth", "second"), verify.ErrKeysUnavailable)
		if e.RetryAfter <= 0 || e.RetryAfter > 30*time.Second {
			b.t.Errorf("retry after %s, want 30 s at most", e.RetryAfter)
		}
		time.Sleep(e.RetryAfter)
		b.verify(b.of("sixth", "second"), nil)
	})
}

// Whoever sends tokens with invented kids, or with bad signatures, causes a bounded number of
// requests, and cannot keep a rotation from being noticed.
func TestStrangersCannotExhaustTheFetches(t *testing.T) {
	for name, stranger := range map[string]func(b *bubble, i int) string{
		"invented kids":     func(b *bubble, i int) string { return b.invented(i) },
		"one invented kid":  func(b *bubble, _ int) string { return b.third },
		"forged signatures": func(b *bubble, _ int) string { return b.forged() },
		"both": func(b *bubble, i int) string {
			if i%2 == 0 {
				return b.forged()
			}
			return b.invented(i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
				b.verify(b.first, nil)
				attack := func(i int) {
					if _, err := b.v.Verify(t.Context(), stranger(b, i)); err == nil {
						t.Fatal("a stranger got in")
					}
				}
				const minutes = 10
				const seconds = minutes * 60
				for i := range seconds { // once a second
					attack(i)
					b.verify(b.first, nil)
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if n, most := b.source.requests(), 1+5+2*minutes; n > most {
					t.Errorf("%d requests, want %d at most: a burst of 5 and two a minute", n, most)
				}
				if n := b.source.requests(); n < minutes {
					t.Errorf("%d requests: the attack came to nothing, and so did the test", n)
				}
				b.serve(second(), first())
				start := time.Now()
				for i := 0; ; i++ {
					attack(seconds + i)
					_, err := b.v.Verify(t.Context(), b.of("k2", "second"))
					if err == nil {
						break
					}
					checkRefused(t, err, verify.ErrKeysUnavailable, b.second) // never 401
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("the new key was noticed after %s, want 30 s at most", took)
				}
			})
		})
	}
}

// An outage does not use up what the rotations after it need.
func TestFailuresCostNothingOfTheBurst(t *testing.T) {
	inBubble(t, single(), func(_ *testing.T, b *bubble) {
		b.verify(b.first, nil)
		b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		for i := range 20 {
			b.verify(b.invented(i), verify.ErrKeysUnavailable)
			time.Sleep(10 * time.Second)
		}
		b.requests(1 + 20)
		for i := range 5 {
			kid := fmt.Sprint("rotated ", i)
			b.serve(jwk(kid, &secondKey().PublicKey, nil), first())
			b.verify(b.of(kid, "second"), nil)
		}
	})
}

// Forged signatures leave something for a new kid.
func TestForgeriesLeaveAFetchForARotation(t *testing.T) {
	inBubble(t, verify.Config{}, func(_ *testing.T, b *bubble) {
		b.verify(b.first, nil)
		for range 100 {
			_, _ = b.v.Verify(b.t.Context(), b.forged())
		}
		b.serve(second(), first())
		b.verify(b.of("k2", "second"), nil)
	})
}

// The key has been replaced under its own id: the first token of the new one fetches it, those of
// the old one are refused, and nothing is fetched for each of them.
func TestNewKeyUnderAnOldID(t *testing.T) {
	inBubble(t, verify.Config{}, func(_ *testing.T, b *bubble) {
		old := b.of("k1", "first")
		b.verify(old, nil)
		time.Sleep(10 * time.Minute)
		b.serve(jwk("k1", &secondKey().PublicKey, nil))
		b.verify(b.of("k1", "second"), nil)
		b.requests(2)
		for range 100 {
			b.verify(old, verify.ErrSignature)
			b.verify(b.of("k1", "second"), nil)
		}
		if n := b.source.requests(); n > 2+5 {
			b.t.Errorf("%d requests, want a burst at most", n)
		}
		// The id goes altogether.
		time.Sleep(10 * time.Minute)
		b.serve(second())
		b.verify(old, verify.ErrUnknownKey)
	})
}

// While nobody knows whether the server has a new key under the old id, its tokens are not called
// invalid; those that are older than the keys at hand are.
func TestNewKeyUnderAnOldIDInAnOutage(t *testing.T) {
	inBubble(t, single(), func(t *testing.T, b *bubble) {
		old := b.of("k1", "second") // forged
		time.Sleep(time.Minute)
		b.verify(b.first, nil)
		b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
		time.Sleep(time.Minute)
		b.verify(b.of("k1", "first"), nil)
		b.verify(b.of("k1", "second"), verify.ErrKeysUnavailable)
		b.verify(b.of("k1", "second"), verify.ErrKeysUnavailable) // held back by the failure
		b.verify(old, verify.ErrSignature)
		b.serve(jwk("k1", &secondKey().PublicKey, nil))
		time.Sleep(10 * time.Second)
		b.verify(b.of("k1", "second"), nil)
	})
}

// A withdrawn key: its many tokens are refused as what they are, 401, so that their owners refresh
// them, and they do not use up the fetches.
func TestTokensOfAWithdrawnKey(t *testing.T) {
	inBubble(t, verify.Config{}, func(_ *testing.T, b *bubble) {
		b.verify(b.first, nil)
		time.Sleep(time.Minute)
		b.serve(second())
		b.verify(b.of("k2", "second"), nil)
		for range 1000 {
			b.verify(b.first, verify.ErrUnknownKey)
			time.Sleep(time.Second)
		}
		b.serve(jwk("k3", &secondKey().PublicKey, nil), second())
		b.verify(b.of("k3", "second"), nil) // at once
	})
}

// A kid that the server has denied comes into being.
func TestDeniedKeyComesIntoBeing(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		for range 10 {
			b.verify(b.third, verify.ErrUnknownKey)
		}
		b.serve(first(), jwk("k3", &secondKey().PublicKey, nil))
		start := time.Now()
		for {
			if _, err := b.v.Verify(t.Context(), b.third); err == nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %s, want a minute at most", took)
		}
	})
}

// A fetch that began before a token came says nothing against it: the key may have come meanwhile.
func TestFetchUnderWayProvesNothing(t *testing.T) {
	inBubble(t, verify.Config{}, func(t *testing.T, b *bubble) {
		b.verify(b.first, nil)
		time.Sleep(time.Minute)
		b.source.set(func(s *source) { s.delay = 2 * time.Second }) // with the old keys
		var group sync.WaitGroup
		group.Go(func() { b.verify(b.third, verify.ErrUnknownKey) })
		time.Sleep(time.Second)
		b.serve(second(), first())
		group.Go(func() {
			if _, err := b.v.Verify(t.Context(), b.second); err != nil {
				t.Errorf("a good token: %v", err)
			}
		})
		group.Wait()
	})
}

// A machine that was suspended does not trust its keys for longer: either clock may say how old
// they are. One that was set back gains nothing either.
func TestKeysAgeOnBothClocks(t *testing.T) {
	t.Run("suspended", func(t *testing.T) {
		inBubble(t, single(), func(_ *testing.T, b *bubble) {
			b.verify(b.first, nil)
			b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
			verify.Suspend(b.v, 23*time.Hour)
			b.verify(b.first, nil)
			b.requests(2) // and they are old enough to be fetched anew
			verify.Suspend(b.v, time.Hour)
			b.verify(b.first, verify.ErrKeysUnavailable)
		})
	})
	t.Run("set back", func(t *testing.T) {
		inBubble(t, single(), func(_ *testing.T, b *bubble) {
			b.verify(b.first, nil)
			b.source.set(func(s *source) { s.fail = http.StatusServiceUnavailable })
			verify.Suspend(b.v, -48*time.Hour)
			b.verify(b.first, nil)
			time.Sleep(24 * time.Hour)
			b.verify(b.first, verify.ErrKeysUnavailable)
		})
	})
	t.Run("fresh keys after it", func(t *testing.T) {
		inBubble(t, single(), func(_ *testing.T, b *bubble) {
			b.verify(b.first, nil)
			verify.Suspend(b.v, 1000*time.Hour)
			b.verify(b.first, nil)
			b.requests(2)
			b.verify(b.first, nil)
			b.requests(2)
		})
	})
}
