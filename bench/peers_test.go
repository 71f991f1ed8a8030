package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPeers checks that each client makes both calls, sends its credential and reports a failure.
func TestPeers(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			var method, path, credential, sent string
			s := &server{sees: func(r *http.Request, in string) {
				method, path, sent = r.Method, r.URL.Path, in
				credential = r.Header.Get("X-Api-Key") + r.Header.Get("Authorization")
			}}
			srv := httptest.NewServer(s)
			defer srv.Close()
			c, err := p.open(setup{base: srv.URL, transport: srv.Client().Transport})
			if err != nil {
				t.Fatal(err)
			}
			u, err := c.get(t.Context(), "42")
			if err != nil || u.Email != "ada@example.com" || method != http.MethodGet || path != usersPath+"/42" || !strings.Contains(credential, apiKey) {
				t.Errorf("get: %v, %v; the server saw %s %s with %q", u, err, method, path, credential)
			}
			u, err = c.create(t.Context(), "ada@example.com")
			if err != nil || u.Email != "ada@example.com" || method != http.MethodPost || path != usersPath || !strings.Contains(sent, `{"email":"ada@example.com"}`) {
				t.Errorf("create: %v, %v; the server saw %s %s: %s", u, err, method, path, sent)
			}
			down := &memory{header: http.Header{}, down: true}
			if c, err = p.open(setup{base: srv.URL, transport: down, once: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.get(t.Context(), "42"); err == nil {
				t.Error("a 503 was no error")
			}
		})
	}
}

// TestBreakers checks that what is measured as "refused" reaches no server.
func TestBreakers(t *testing.T) {
	for _, p := range peers {
		if p.breaker {
			t.Run(p.name, func(t *testing.T) {
				var requests atomic.Int64
				refuse, err := refused(p, &requests)
				if err != nil {
					t.Fatal(err)
				}
				before := requests.Load()
				refuse()
				if n := requests.Load(); n != before || n > mostToOpen {
					t.Errorf("%d requests before, %d after a call that is refused", before, n)
				}
			})
		}
	}
}
