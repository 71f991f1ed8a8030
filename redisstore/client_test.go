//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
	"github.com/authos-go/authos/redisstore"
)

// The stores under a client.

// records is a log that goroutines may write.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

func (r *records) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func newClient(t *testing.T, url string, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const refreshPath = "/api/auth/refresh"

func TestOneRefreshForAll(t *testing.T) {
	s, srv := startRedis(t), authostest.New()
	defer srv.Close()
	session := srv.SignIn("ada@example.com")
	save(t, s.tokens(time.Minute), authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken})
	srv.ExpireAccessTokens()
	var group sync.WaitGroup
	for range 4 {
		c := newClient(t, srv.URL, authos.WithTokenStore(s.tokens(time.Minute)))
		for range 4 {
			group.Go(func() {
				if _, err := c.User.Get(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if n := srv.Count(http.MethodPost, refreshPath); n != 1 || srv.Replays() != 0 {
		t.Errorf("%d refreshes and %d replays, want 1 and none", n, srv.Replays())
	}
}

// TestTokensWorkWithoutRedis: while Redis is away the tokens held are used, and not refreshed.
func TestTokensWorkWithoutRedis(t *testing.T) {
	s, srv := startRedis(t, servertest.Durable...), authostest.New()
	defer srv.Close()
	session := srv.SignIn("ada@example.com")
	store := s.tokens(time.Minute)
	save(t, store, authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken})
	c := newClient(t, srv.URL, authos.WithTokenStore(store))
	if _, err := c.User.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	for range 3 {
		if _, err := c.User.Get(t.Context()); err != nil {
			t.Fatalf("a good token is not used while Redis is away: %v", err)
		}
	}
	srv.ExpireAccessTokens()
	_, err := c.User.Get(t.Context())
	pending, ok := errors.AsType[*authos.SessionError](err)
	if !ok || pending.RetryAt.IsZero() || errors.Is(err, authos.ErrSessionExpired) || !strings.Contains(err.Error(), "the token") ||
		!strings.Contains(err.Error(), "redisstore: ") {
		t.Errorf("%v, want a SessionError that says when to try again, and why not now", err)
	}
	if n := srv.Count(http.MethodPost, refreshPath); n != 0 {
		t.Fatalf("%d refreshes without the lock", n)
	}
	s.Start()
	eventually(t, "calls succeed again", func() bool { _, err := c.User.Get(t.Context()); return err == nil })
	if n := srv.Count(http.MethodPost, refreshPath); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

// TestRedisGoesBetweenRefreshAndSave: the new tokens are in use at once, and in Redis before
// anybody else can refresh.
func TestRedisGoesBetweenRefreshAndSave(t *testing.T) {
	s, srv := startRedis(t, servertest.Durable...), authostest.New()
	defer srv.Close()
	session := srv.SignIn("ada@example.com")
	store, next := s.tokens(time.Minute), s.tokens(time.Minute)
	save(t, store, authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken})
	srv.ExpireAccessTokens()
	var log records
	going := &redisGoes{next: http.DefaultTransport, s: s}
	c := newClient(t, srv.URL, authos.WithTokenStore(store), authos.WithHTTPClient(&http.Client{Transport: going}),
		authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if _, err := c.User.Get(t.Context()); err != nil {
		t.Fatalf("new tokens that could not be saved are not used: %v", err)
	}
	if !strings.Contains(log.text(), "could not be saved") || strings.Contains(log.text(), session.RefreshToken) {
		t.Errorf("the log is\n%s", log.text())
	}
	s.Start()
	other := newClient(t, srv.URL, authos.WithTokenStore(next))
	if _, err := other.User.Get(t.Context()); err != nil {
		t.Errorf("the next process: %v", err)
	}
	if srv.Replays() != 0 || srv.Count(http.MethodPost, refreshPath) != 1 {
		t.Errorf("%d refreshes and %d replays, want 1 and none", srv.Count(http.MethodPost, refreshPath), srv.Replays())
	}
}

// redisGoes stops Redis when the server has refreshed.
type redisGoes struct {
	next http.RoundTripper
	s    *server
}

func (g *redisGoes) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(r)
	if r.URL.Path == refreshPath {
		g.s.Kill()
	}
	return resp, err
}

// TestFrozenHolder: a process is frozen between its refresh and the response, for longer than its
// lock lasts. Meanwhile another one gets the lock, under which the last holder did not finish, and
// finds the access token dead before its time: the refresh token was taken. It does not present it,
// so that nothing is replayed. (The frozen process gets the lock anew and saves after 45 s at most,
// which is longer than a test may take.)
func TestFrozenHolder(t *testing.T) {
	const ttl = 300 * time.Millisecond
	s, srv := startRedis(t), authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	session := srv.SignIn("ada@example.com")
	frozen, other := s.tokens(ttl), s.tokens(ttl)
	save(t, frozen, authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken, ExpiresAt: time.Now().Add(time.Hour)})
	srv.ExpireAccessTokens()

	c := newClient(t, srv.URL, authos.WithTokenStore(other))
	signsIn := func() {
		_, err := c.User.Get(context.Background())
		doubtful, ok := errors.AsType[*authos.SessionError](err)
		if !ok || doubtful.RetryAt.IsZero() || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("the other process: %v, want a session in doubt", err)
		}
	}
	freezing := &freezes{frozen: frozen, meanwhile: signsIn}
	var log records
	x := newClient(t, srv.URL, authos.WithTokenStore(frozen), authos.WithHTTPClient(&http.Client{Transport: freezing}),
		authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	for range 3 {
		if _, err := x.User.Get(t.Context()); err != nil {
			t.Errorf("after the freeze: %v, want the tokens of the other process to be used", err)
		}
	}
	if m := srv.Count(http.MethodPost, refreshPath); m != 1 || srv.Replays() != 0 {
		t.Errorf("%d refreshes and %d replays, want 1 and none", m, srv.Replays())
	}
	if !strings.Contains(log.text(), "could not be saved") || !strings.Contains(log.text(), "another process has held it since") {
		t.Errorf("the log does not say why the tokens could not be saved:\n%s", log.text())
	}
}

// freezes stops extending the lock when the server has refreshed, and gives the response when
// somebody else is through.
type freezes struct {
	frozen    *redisstore.TokenStore
	meanwhile func()
	once      sync.Once
}

func (f *freezes) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if r.URL.Path == refreshPath {
		f.once.Do(func() {
			redisstore.Freeze(f.frozen)
			f.meanwhile()
		})
	}
	return resp, err
}

// TestSignOutInTheFleet: a process that signs out signs all out.
func TestSignOutInTheFleet(t *testing.T) {
	s, srv := startRedis(t), authostest.New()
	defer srv.Close()
	session := srv.SignIn("ada@example.com")
	a := newClient(t, srv.URL, authos.WithTokenStore(s.tokens(time.Minute)))
	b := newClient(t, srv.URL, authos.WithTokenStore(s.tokens(time.Minute)))
	tokens := authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken}
	if err := a.SetTokens(t.Context(), tokens); err != nil {
		t.Fatal(err)
	}
	if _, err := b.User.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.SetTokens(t.Context(), authos.Tokens{}); err != nil {
		t.Fatal(err)
	}
	srv.ExpireAccessTokens()
	if _, err := b.User.Get(t.Context()); !errors.Is(err, authos.ErrSessionExpired) {
		t.Errorf("the other process: %v, want ErrSessionExpired", err)
	}
	if n := srv.Count(http.MethodPost, refreshPath); n != 0 {
		t.Errorf("%d refreshes of a session that was signed out", n)
	}
}

// TestCachedResponsesAreShared: what one process has read, another serves when the server is down,
// to the same principal only.
func TestCachedResponsesAreShared(t *testing.T) {
	s, srv := startRedis(t), authostest.New()
	defer srv.Close()
	key, stranger := srv.AddAPIKey(), srv.AddAPIKey("read:users")
	user := srv.AddServiceUser("ada@example.com")
	open := func(key string) *authos.Client {
		return newClient(t, srv.URL, authos.WithAPIKey(key), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}),
			authos.WithCache(authos.CachePolicy{Store: newCache(t, s.client(), redisstore.CacheOptions{Key: keyA})}))
	}
	if _, err := open(key).Service.Users.Get(t.Context(), user.ID); err != nil {
		t.Fatal(err)
	}
	defer srv.Outage(http.StatusServiceUnavailable)()
	var r authos.Response
	got, err := open(key).Service.Users.Get(t.Context(), user.ID, authos.WithResponse(&r))
	if err != nil || !r.Stale || got.Email != "ada@example.com" {
		t.Errorf("another process got %v and %v, stale: %v; want what was cached", got, err, r.Stale)
	}
	if _, err := open(stranger).Service.Users.Get(t.Context(), user.ID, authos.WithResponse(&r)); err == nil || r.Stale {
		t.Errorf("another key got %v, stale: %v; want the failure", err, r.Stale)
	}
	s.Kill()
	if _, err := open(key).Service.Users.Get(t.Context(), user.ID, authos.WithResponse(&r)); !errors.Is(err, authos.ErrUnavailable) || r.Stale {
		t.Errorf("without Redis: %v, want the server's failure and no other", err)
	}
}
