package authos

import (
	"fmt"
	"runtime"
	"testing"

	core "github.com/authos-go/authos/internal/session"
)

// What a family knows of its sessions does not grow with clients that were made and dropped.
func TestDroppedClients(t *testing.T) {
	c, err := New("https://authos.test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range 4000 {
		options := []Option{WithTokens(Tokens{RefreshToken: fmt.Sprint("r", n)})}
		if n%2 == 0 {
			options = append(options, WithTokenStore(&memoryStore{}))
		}
		one, err := c.With(options...)
		if err != nil {
			t.Fatal(err)
		}
		if n%10 == 0 { // it does something, and comes to rest
			if err := one.SetTokens(t.Context(), Tokens{RefreshToken: fmt.Sprint("s", n)}); err != nil {
				t.Fatal(err)
			}
		}
		if n%500 == 0 {
			runtime.GC()
		}
	}
	r := c.sessions
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := len(r.byToken) + len(r.byStore); known > 2000 {
		t.Errorf("%d sessions are known, want those of the last clients", known)
	}
	if len(r.active) > 0 {
		t.Errorf("%d sessions are kept for something under way, want none", len(r.active))
	}
}

// What became of the last 65,536 refresh tokens is remembered, however often one of them was
// presented in vain, as all are in an outage.
func TestFatesAreBounded(t *testing.T) {
	r := newSessions()
	token := func(n int) tokenHash { return hashOf(Tokens{RefreshToken: fmt.Sprint("r", n)}) }
	r.remember(token(0), fate{kind: core.Superseded})
	for range maxFates {
		r.remember(token(1), fate{kind: core.InFlight})
		r.remember(token(1), fate{})
	}
	r.remember(token(1), fate{kind: core.InFlight})
	for n, want := range []core.FateKind{core.Superseded, core.InFlight, core.Fresh} {
		if got := r.known(token(n)).kind; got != want {
			t.Errorf("token %d: %v, want %v", n, got, want)
		}
	}
	for n := range maxFates {
		r.remember(token(2+n), fate{kind: core.Refused})
	}
	for n, want := range map[int]core.FateKind{0: core.Fresh, 1: core.Fresh, 2: core.Refused, maxFates + 1: core.Refused} {
		if got := r.known(token(n)).kind; got != want {
			t.Errorf("after %d others, token %d: %v, want %v", maxFates, n, got, want)
		}
	}
	if len(r.fates) != maxFates || r.order.Len() != maxFates {
		t.Errorf("%d fates in an order of %d are remembered, want %d", len(r.fates), r.order.Len(), maxFates)
	}
}
