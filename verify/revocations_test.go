package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/verify"
	"github.com/authos-go/authos/webhook"
)

// tokenOf is a good token of a user, issued now.
func tokenOf(user string) string {
	return signed(goodHeader(), with(goodClaims(time.Now()), object{"sub": user}), firstKey())
}

func revocable(t *testing.T, cfg verify.Config) *verify.Verifier {
	t.Helper()
	cfg.Audience = verify.AnyAudience()
	return newVerifier(t, issuer, usual(), cfg)
}

func accepted(t *testing.T, v *verify.Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("a good token: %v", err)
	}
}

func revoked(t *testing.T, v *verify.Verifier, token string) {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	checkRefused(t, err, verify.ErrRevoked, token)
}

// deliver posts an event to a receiver, as the server does.
func deliver(t *testing.T, h http.Handler, event object) int {
	t.Helper()
	body := string(marshal(event))
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks", strings.NewReader(body))
	r.Header.Set(webhook.SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

const hookSecret = "a2V5LWZvci10ZXN0cy0wMTIzNDU2Nzg5YWJjZGVmMDE="

func hooks(v *verify.Verifier) http.Handler {
	return webhook.Verifier{Secrets: webhook.Secrets{hookSecret}}.Handler(v.HandleEvent)
}

// An event ends the tokens of the user it is about, as they were then, and nobody else's; no
// request is made for it.
func TestEventsEndTokens(t *testing.T) {
	for _, row := range []struct {
		name       string
		event      object
		ended, not string
	}{
		{"sign-out", object{"event": "user.logout", "actor_user_id": "ada"}, "ada", "bob"},
		{"sign-out of a session", object{
			"event": "user.logout", "actor_user_id": "ada", "target_type": "session", "target_id": "bob",
		}, "ada", "bob"},
		{"sign-out of a user", object{
			"event": "user.logout", "actor_user_id": "bob", "target_type": "user", "target_id": "ada",
		}, "ada", "bob"},
		{"sign-out with data", object{"event": "user.logout", "actor_user_id": "bob", "data": object{"user_id": "ada"}}, "ada", "bob"},
		{"password", object{"event": "security.password.changed", "actor_user_id": "ada"}, "ada", "bob"},
		{"password by an administrator", object{
			"event": "security.password.changed", "actor_user_id": "bob", "target_type": "user", "target_id": "ada",
		}, "ada", "bob"},
		{"removal", object{
			"event": "user.removed", "actor_user_id": "bob", "target_type": "user", "target_id": "ada",
		}, "ada", "bob"},
		{"removal of a member", object{"event": "user.removed", "actor_user_id": "bob", "target_id": "ada"}, "ada", "bob"},
		{"removal with data", object{"event": "user.removed", "actor_user_id": "bob", "data": object{"user_id": "ada"}}, "ada", "bob"},
		{"removal of nobody", object{"event": "user.removed", "actor_user_id": "bob"}, "", "bob"},
		{"sign-out of nobody", object{"event": "user.logout"}, "", "ada"},
		{"sign-in", object{"event": "user.login.success", "actor_user_id": "ada"}, "", "ada"},
		{"another role", object{"event": "user.role_updated", "target_id": "ada", "target_type": "user"}, "", "ada"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := usual()
				v := newVerifier(t, issuer, server, verify.Config{Audience: verify.AnyAudience()})
				ada, bob := tokenOf("ada"), tokenOf("bob")
				accepted(t, v, ada)
				accepted(t, v, bob)
				before := server.requests()
				time.Sleep(1500 * time.Millisecond)
				event := with(row.event, object{"timestamp": time.Now().Format(time.RFC3339Nano)})
				if code := deliver(t, hooks(v), event); code != http.StatusOK {
					t.Fatalf("the delivery got %d", code)
				}
				for user, token := range map[string]string{"ada": ada, "bob": bob} {
					if user == row.ended {
						revoked(t, v, token)
					} else {
						accepted(t, v, token)
					}
				}
				time.Sleep(time.Second)
				accepted(t, v, tokenOf(row.not))
				accepted(t, v, tokenOf("ada")) // a new sign-in, or what refreshing brought
				if n := server.requests() - before; n != 0 {
					t.Errorf("%d requests to the server", n)
				}
			})
		})
	}
}

// What counts is when it happened, not when we were told, nor in which order.
func TestLateEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := revocable(t, verify.Config{})
		first := tokenOf("ada")
		time.Sleep(time.Minute)
		signOut := time.Now()
		time.Sleep(time.Minute)
		second := tokenOf("ada")
		if err := v.Revoke(t.Context(), "ada", signOut); err != nil {
			t.Fatal(err)
		}
		revoked(t, v, first)
		accepted(t, v, second)
		if err := v.Revoke(t.Context(), "ada", time.Time{}); err != nil { // now
			t.Fatal(err)
		}
		revoked(t, v, second)
		if err := v.Revoke(t.Context(), "ada", signOut); err != nil { // delivered again
			t.Fatal(err)
		}
		revoked(t, v, second)
		// A date from the future does not lock the user out: the clock tolerance is all it gains.
		if err := v.Revoke(t.Context(), "ada", time.Now().Add(1000*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(62 * time.Second)
		accepted(t, v, tokenOf("ada"))
		if err := v.Revoke(t.Context(), "", time.Now()); err == nil {
			t.Error("nobody was revoked")
		}
	})
}

// Whoever acts in somebody's name is out as well when his own session ends.
func TestRevokedActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := profiles(time.Now())["impersonation"]
		token := signed(p.header, p.claims, firstKey())
		for _, user := range []string{"admin-1", "user-1"} {
			v := newVerifier(t, issuer, usual(), p.config)
			accepted(t, v, token)
			if err := v.Revoke(t.Context(), user, time.Time{}); err != nil {
				t.Fatal(err)
			}
			revoked(t, v, token)
		}
	})
}

// With an online check the server says which of a user's sessions has ended, and what it said
// before the event does not count. While it cannot be asked, nobody of that user passes, whatever
// FailOpen says.
func TestEventsWithOnlineCheck(t *testing.T) {
	online(t, verify.Online{For: time.Minute, FailOpen: true}, func(t *testing.T, srv *authostest.Server, v *verify.Verifier) {
		phone, laptop := srv.SignIn("ada@example.com").AccessToken, srv.SignIn("ada@example.com").AccessToken
		other := srv.SignIn("bob@example.com").AccessToken
		for _, token := range []string{phone, laptop, other} {
			accepted(t, v, token)
		}
		c, _ := v.Verify(t.Context(), phone)
		signOut(t, srv, phone)
		accepted(t, v, phone) // what the server said is less than a minute old
		if err := v.Revoke(t.Context(), c.Subject, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		before := srv.Count("GET", "/api/user")
		for range 5 {
			revoked(t, v, phone)
			accepted(t, v, laptop)
			accepted(t, v, other)
		}
		if n := srv.Count("GET", "/api/user") - before; n != 2 {
			t.Errorf("%d checks, want one for each token of the user", n)
		}
		time.Sleep(2 * time.Minute)
		srv.Outage(http.StatusServiceUnavailable)
		_, err := v.Verify(t.Context(), laptop)
		checkRefused(t, err, verify.ErrCheckUnavailable, laptop)
		accepted(t, v, other)
	})
}

func signOut(t *testing.T, srv *authostest.Server, token string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/api/auth/logout", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := srv.Transport().RoundTrip(r)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
}

// The event reaches one process; the others know of it within five seconds, and so does one that
// begins later. The store is not read for every token.
func TestRevocationsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		cfg := verify.Config{Revocations: verify.Revocations{Store: store}}
		one, two := revocable(t, cfg), revocable(t, cfg)
		ada, bob := tokenOf("ada"), tokenOf("bob")
		for range 1000 {
			accepted(t, one, ada)
			accepted(t, two, ada)
			accepted(t, two, bob)
		}
		if store.reads != 3 {
			t.Errorf("%d reads for 3,000 checks, want one for each user and process", store.reads)
		}
		time.Sleep(10 * time.Second)
		accepted(t, two, ada) // and this is what the store says
		if code := deliver(t, hooks(one), object{
			"event": "user.logout", "actor_user_id": "ada", "timestamp": time.Now().Format(time.RFC3339Nano),
		}); code != http.StatusOK {
			t.Fatal(code)
		}
		revoked(t, one, ada)
		time.Sleep(5 * time.Second)
		revoked(t, two, ada)
		accepted(t, two, bob)
		revoked(t, revocable(t, cfg), ada)
		accepted(t, two, tokenOf("ada"))

		// An event that comes late changes nothing for the worse, whoever gets it.
		if err := two.Revoke(t.Context(), "ada", time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		revoked(t, revocable(t, cfg), ada)
		// And it is kept as long as such a token lives, not longer.
		for key, e := range store.entries {
			if life := time.Until(e.until); life > 24*time.Hour || life < 23*time.Hour {
				t.Errorf("%s is kept for %s", key, life)
			}
		}
	})
}

// Two processes are told of two events at the same moment, and the earlier overwrites the later:
// the process that knows better puts it right.
func TestRevocationsRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		cfg := verify.Config{Revocations: verify.Revocations{Store: store}}
		earlier, later := revocable(t, cfg), revocable(t, cfg)
		start := time.Now()
		time.Sleep(time.Minute)
		token := tokenOf("ada")
		time.Sleep(time.Minute)
		store.beforeSet = func() { // between the earlier one's look and its write
			store.beforeSet = nil
			if err := later.Revoke(t.Context(), "ada", time.Time{}); err != nil {
				t.Error(err)
			}
		}
		if err := earlier.Revoke(t.Context(), "ada", start); err != nil {
			t.Fatal(err)
		}
		revoked(t, later, token)
		revoked(t, revocable(t, cfg), token)
		time.Sleep(5 * time.Second)
		revoked(t, earlier, token)
	})
}

// A store that lost what it had gets it back from a process that knows it.
func TestRevocationStoreForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		cfg := verify.Config{Revocations: verify.Revocations{Store: store}}
		v := revocable(t, cfg)
		token := tokenOf("ada")
		if err := v.Revoke(t.Context(), "ada", time.Time{}); err != nil {
			t.Fatal(err)
		}
		store.set(func(s *memoryStore) { s.entries = nil })
		revoked(t, v, token)
		revoked(t, revocable(t, cfg), token)
	})
}

// A store that fails leaves what this process knows; the event is delivered again.
func TestRevocationStoreFails(t *testing.T) {
	for name, harm := range map[string]func(*memoryStore){
		"fails": func(s *memoryStore) { s.err = errors.New("disk on fire") }, "panics": func(s *memoryStore) { s.panics = true },
	} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", FailClosed ", closed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &memoryStore{}
					v := revocable(t, verify.Config{Revocations: verify.Revocations{Store: store, FailClosed: closed}})
					ada, bob := tokenOf("ada"), tokenOf("bob")
					store.set(harm)
					if code := deliver(t, hooks(v), object{"event": "user.logout", "actor_user_id": "ada"}); code != http.StatusInternalServerError {
						t.Errorf("the delivery got %d, so that nobody delivers it again", code)
					}
					_, err := v.Verify(t.Context(), bob)
					if closed {
						checkRefused(t, err, verify.ErrCheckUnavailable, bob)
					} else if err != nil {
						t.Errorf("a good token: %v", err)
					}
					_, err = v.Verify(t.Context(), ada)
					if err == nil {
						t.Error("what this process was told is forgotten")
					}
					store.set(func(s *memoryStore) { s.err, s.panics = nil, false })
					accepted(t, v, bob)
					revoked(t, v, ada)
				})
			})
		}
	}
}

// What is stored and is no revocation is reported, and overwritten by the next one.
func TestDamagedRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		cfg := verify.Config{Revocations: verify.Revocations{Store: store, FailClosed: true}}
		token := tokenOf("ada")
		if err := revocable(t, cfg).Revoke(t.Context(), "ada", time.Time{}); err != nil {
			t.Fatal(err)
		}
		store.set(func(s *memoryStore) {
			for key, e := range s.entries {
				s.entries[key] = storedEntry{[]byte("x"), e.until}
			}
		})
		_, err := revocable(t, cfg).Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrCheckUnavailable, token) // FailClosed
		if err := revocable(t, cfg).Revoke(t.Context(), "ada", time.Time{}); err != nil {
			t.Fatal(err)
		}
		revoked(t, revocable(t, cfg), token)
	})
}

// Memory is bounded, and what had to make room lets nobody in: tokens of that time are refused, and
// those that were issued later pass.
func TestRevocationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := revocable(t, verify.Config{})
		first, bystander := tokenOf("user 0"), tokenOf("bystander")
		time.Sleep(time.Second)
		late := tokenOf("bystander")
		start := time.Now()
		for i := range verify.MaxRevocations + 1 {
			at := start.Add(-time.Second + time.Duration(i)*time.Microsecond)
			if err := v.Revoke(t.Context(), fmt.Sprint("user ", i), at); err != nil {
				t.Fatal(err)
			}
		}
		revoked(t, v, first)
		revoked(t, v, bystander)
		accepted(t, v, late)
		// A day later all of it is forgotten, since such tokens have expired.
		time.Sleep(25 * time.Hour)
		for i := range verify.MaxRevocations / 10 {
			if err := v.Revoke(t.Context(), fmt.Sprint("next ", i), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		accepted(t, v, tokenOf("bystander"))
	})
}
