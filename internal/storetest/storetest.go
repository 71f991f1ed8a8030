//go:build unix

// Package storetest has what the tests of the stores in databases have in common, and needs more
// than the public suites of package authostest do: a way into a store, or to its server.
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// Numbered makes tokens that tell which they are.
func Numbered(n int) authos.Tokens {
	return authos.Tokens{AccessToken: "access-" + strconv.Itoa(n), RefreshToken: "refresh-" + strconv.Itoa(n)}
}

// Save saves tokens, or ends the test.
func Save(t testing.TB, store authos.TokenStore, want authos.Tokens) {
	t.Helper()
	if err := store.Save(context.Background(), want); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// Holds checks what a store gives back, without printing it.
func Holds(t testing.TB, store authos.TokenStore, want authos.Tokens) {
	t.Helper()
	got, err := store.Load(context.Background())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if got.AccessToken != want.AccessToken || got.RefreshToken != want.RefreshToken {
		t.Fatalf("Load gave %.12q, want %.12q", got.AccessToken, want.AccessToken)
	}
}

// Lock takes a lock within ten seconds, or ends the test.
func Lock(t testing.TB, store authos.LockingTokenStore) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	unlock, err := store.Lock(ctx)
	if err != nil {
		t.Fatalf("Lock: %v", err)
	}
	return unlock
}

// Locked checks that the lock cannot be had within patience.
func Locked(t testing.TB, store authos.LockingTokenStore, patience time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	unlock, err := store.Lock(ctx)
	if err == nil {
		unlock()
		t.Fatal("Lock succeeded while another held the lock")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lock of a lock that is held: %v, want it to wait until the context's end", err)
	}
}

// Keeps checks what a cache gives for a key; an empty want is nothing.
func Keeps(t testing.TB, c authos.CacheStore, key, want string) {
	t.Helper()
	got, ok, err := c.Get(context.Background(), key)
	if err != nil || ok != (want != "") || string(got) != want {
		t.Fatalf("Get(%q) = %q, %v, %v, want %q", key, got, ok, err, want)
	}
}

// Set sets a key for a minute, or ends the test.
func Set(t testing.TB, c authos.CacheStore, key, value string) {
	t.Helper()
	if err := c.Set(context.Background(), key, []byte(value), time.Minute); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

// Named checks that a store's name is all that is printed of it.
func Named(t *testing.T, store any, want string) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, store); got != want {
			t.Errorf("%s prints %q, want %q", verb, got, want)
		}
	}
	var log bytes.Buffer
	if slog.New(slog.NewTextHandler(&log, nil)).Info("opened", "store", store); !strings.Contains(log.String(), "store="+want+"\n") {
		t.Errorf("the log is %q, want %q", &log, want)
	}
}

// NothingShown prints values that hold a secret, in every way, and looks for it.
func NothingShown(t *testing.T, secret string, values ...any) {
	t.Helper()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		logger.Info("value", "v", v)
		if b, err := json.Marshal(v); err == nil {
			log.Write(b)
		}
	}
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")
	base64, err := json.Marshal([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range []string{secret[:8], fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%X", secret[:8]), decimal[:20], string(base64[1:9])} {
		if strings.Contains(log.String(), shape) {
			t.Errorf("the secret is shown, as %q", shape)
		}
	}
}
