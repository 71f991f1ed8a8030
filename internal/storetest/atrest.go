//go:build unix

package storetest

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
)

// The keys of tests.
var (
	KeyA = atrest.Key(bytes.Repeat([]byte("a"), atrest.KeySize))
	KeyB = atrest.Key(bytes.Repeat([]byte("b"), atrest.KeySize))
)

// Rest is a database's way past the store.
type Rest[Store any] struct {
	// Open opens the store of a session, or a cache.
	Open func(name string, key atrest.Key, old ...atrest.Key) Store
	// Raw gives what is stored, and Put replaces it alone.
	Raw func(name string) []byte
	Put func(name string, value []byte)
	// Move copies a session's whole record over another's.
	Move func(from, to string)
	// ClearText says that there may be none of the keys.
	ClearText bool
}

// TestTokensAtRest checks what can be seen in a database, and what happens to who changes it.
func TestTokensAtRest(t *testing.T, r Rest[authos.TokenStore]) {
	refused := func(what string, store authos.TokenStore) {
		t.Helper()
		got, err := store.Load(t.Context())
		if err == nil || got != (authos.Tokens{}) {
			t.Errorf("%s: Load gave %v and %v, want an error alone", what, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "token-") {
			t.Errorf("%s: the error %q shows the value", what, err)
		}
	}
	tokens := authos.Tokens{AccessToken: "the-access-token", RefreshToken: "the-refresh-token", ExpiresAt: time.Now().Add(time.Hour)}
	a, b := r.Open("one", KeyA), r.Open("one", KeyB)
	rotated, other := r.Open("one", KeyB, KeyA), r.Open("two", KeyA)

	Save(t, a, tokens)
	first := r.Raw("one")
	inClear := base64.StdEncoding.EncodeToString([]byte(tokens.RefreshToken))
	if bytes.Contains(first, []byte(tokens.RefreshToken)) || bytes.Contains(first, []byte(inClear)) {
		t.Error("the refresh token can be read in the database")
	}
	refused("another key", b)
	Holds(t, rotated, tokens)
	Save(t, a, tokens)
	if bytes.Equal(first, r.Raw("one")) {
		t.Error("the same tokens were encrypted to the same bytes twice: the nonce is not random")
	}
	r.Put("one", first)
	refused("an old value put in the newer one's place", a)

	Save(t, a, tokens)
	r.Move("one", "two")
	refused("moved from another session", other)

	for _, foreign := range []string{"", "x", "c", "c{", "hello", `c{"access_token":"YWJj"}`} {
		r.Put("one", []byte(foreign))
		refused("foreign value "+foreign, a)
	}
	Save(t, rotated, tokens)
	refused("the old key alone, after a rotation", a)
	Holds(t, b, tokens)
	stores := []authos.TokenStore{b}
	if r.ClearText {
		plain := r.Open("one", nil)
		refused("no key", plain)
		Save(t, plain, tokens)
		refused("clear text where a key is configured", b)
		for _, foreign := range []string{"", "x", "c", "c{", "hello", `{"access_token":"abc"}`} {
			r.Put("one", []byte(foreign))
			refused("foreign value "+foreign, plain)
		}
		stores = append(stores, plain)
	}
	for _, store := range stores {
		for _, odd := range []authos.Tokens{tokens, {AccessToken: "\xff\xfe", RefreshToken: "\x00<\u2028>"}} {
			Save(t, store, odd)
			Holds(t, store, odd)
		}
		for name, bad := range map[string]authos.Tokens{
			"date":  {AccessToken: "token-", ExpiresAt: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)},
			"large": {AccessToken: "token-" + strings.Repeat("x", 1<<20)},
		} {
			if err := store.Save(t.Context(), bad); err == nil || strings.Contains(err.Error(), "20000") || strings.Contains(err.Error(), "token-") {
				t.Errorf("%s: Save gave %.100v, want an error without the tokens", name, err)
			}
		}
	}
}

// TestResponsesAtRest does the same for a cache.
func TestResponsesAtRest(t *testing.T, r Rest[authos.CacheStore]) {
	refused := func(what string, c authos.CacheStore, key string) {
		t.Helper()
		value, ok, err := c.Get(t.Context(), key)
		if err == nil || ok || value != nil {
			t.Errorf("%s: Get gave %q, %v, %v, want an error alone", what, value, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the value", what)
		}
	}
	a, b, rotated := r.Open("web", KeyA), r.Open("web", KeyB), r.Open("web", KeyB, KeyA)
	Set(t, a, "users/1/mail", "the secret response")
	Set(t, a, "users/1/name", "Ada") // in the same folder
	stored := r.Raw("users/1/mail")
	if bytes.Contains(stored, []byte("secret")) {
		t.Error("a response can be read in the database")
	}
	Keeps(t, rotated, "users/1/mail", "the secret response")
	refused("another key", b, "users/1/mail")
	r.Put("users/1/name", stored)
	refused("moved from another key", a, "users/1/name")
	changed := bytes.Clone(stored)
	changed[len(changed)-1] ^= 1
	r.Put("users/1/mail", changed)
	refused("tampered with", a, "users/1/mail")
	foreign := []string{"", "c", "e", "cshort", "hello"}
	for _, text := range foreign {
		r.Put("users/1/mail", []byte(text))
		refused("foreign value "+text, a, "users/1/mail")
	}
	if !r.ClearText {
		return
	}
	plain := r.Open("web", nil)
	r.Put("users/1/mail", stored)
	refused("no key", plain, "users/1/mail")
	Set(t, plain, "users/1/name", "Eve")
	refused("clear text where a key is configured", a, "users/1/name")
	for _, text := range foreign {
		r.Put("users/1/name", []byte(text))
		refused("foreign value "+text, plain, "users/1/name")
	}
}
