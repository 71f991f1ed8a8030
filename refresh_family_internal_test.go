package authos

import (
	"fmt"
	"runtime"
	"testing"
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
		if _, err := c.With(options...); err != nil {
			t.Fatal(err)
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
}
