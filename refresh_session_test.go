package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// Helpers of the session tests. Time is that of a bubble throughout; the server is authostest's
// fake, or a script.

const (
	adaEmail    = "ada@example.com"
	refreshPath = "/api/auth/refresh"
)

func fakeServer(t *testing.T, opts ...authostest.Option) *authostest.Server {
	t.Helper()
	srv := authostest.New(opts...)
	t.Cleanup(srv.Close)
	return srv
}

func localClient(t *testing.T, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	return newClient(t, "http://127.0.0.1", rt, opts...)
}

// signIn opens a session. Its expiry is not told to the client.
func signIn(srv *authostest.Server, email string) authos.Tokens {
	in := srv.SignIn(email)
	return authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}
}

// signInFor is signIn with the expiry.
func signInFor(srv *authostest.Server, email string) authos.Tokens {
	in := srv.SignIn(email)
	return in
}

func refreshCount(srv *authostest.Server) int { return srv.Count("POST", refreshPath) }

func getUser(t *testing.T, c *authos.Client) error {
	t.Helper()
	_, err := c.User.Get(t.Context())
	return err
}

func heldTokens(t *testing.T, c *authos.Client) authos.Tokens {
	t.Helper()
	tokens, err := c.Tokens(t.Context())
	noError(t, "Tokens", err)
	return anywhere(tokens)
}

// lateResponses lets responses travel for a random time of at most d, so that some of them arrive
// long after others.
func lateResponses(next http.RoundTripper, d time.Duration) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if req.URL.Path != refreshPath {
			if err := pauseFor(req.Context(), rand.N(d)); err != nil {
				return nil, err
			}
		}
		return resp, err
	})
}

func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	userBody      = `{"id":"u1","email":"ada@example.com"}`
	deadTokenBody = `{"error":"Invalid token","error_code":"JWT_ERROR","timestamp":"2026-05-20T12:00:00+00:00"}`
	refusedBody   = `{"error":"Invalid refresh token","error_code":"UNAUTHORIZED","timestamp":"2026-05-20T12:00:00+00:00"}`
)

func pairBody(access, refresh string) string {
	return fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"expires_in":3600}`, access, refresh)
}

// sessionScript is a script of a server that takes the access token "new" and gives it for the
// refresh token "r1".
func sessionScript(api func(seenRequest) reply) *script {
	return &script{respond: func(r seenRequest) reply {
		switch {
		case r.path == refreshPath && strings.Contains(r.body, `"r1"`):
			return reply{status: 200, body: pairBody("new", "r2")}
		case r.path == refreshPath:
			return reply{status: 401, body: refusedBody}
		case r.auth == "new":
			return reply{status: 200, body: userBody}
		default:
			return api(r)
		}
	}}
}

var oldTokens = authos.Tokens{AccessToken: "old", RefreshToken: "r1"}

// testStore is a program's own store; its functions, where set, run before an operation and may
// fail it.
type testStore struct {
	mu                     sync.Mutex
	tokens                 authos.Tokens
	loads, saves, deletes  int
	onLoad, onSave, onWipe func() error
}

func (s *testStore) Load(context.Context) (authos.Tokens, error) {
	if err := s.before(&s.loads, s.onLoad); err != nil {
		return authos.Tokens{}, err
	}
	return s.get(), nil
}

func (s *testStore) Save(_ context.Context, t authos.Tokens) error {
	if err := s.before(&s.saves, s.onSave); err != nil {
		return err
	}
	s.put(t)
	return nil
}

func (s *testStore) Delete(context.Context) error {
	if err := s.before(&s.deletes, s.onWipe); err != nil {
		return err
	}
	s.put(authos.Tokens{})
	return nil
}

func (s *testStore) before(n *int, hook func() error) error {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook()
}

// anywhere leaves out whose tokens they are, which the client adds.
func anywhere(t authos.Tokens) authos.Tokens {
	t.Origin = ""
	return t
}

func (s *testStore) get() authos.Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return anywhere(s.tokens)
}

func (s *testStore) put(t authos.Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = t
}

// lockStore can be locked, and notices what is done without the lock.
type lockStore struct {
	testStore
	turn    chan struct{}
	failure error
	locks   int
	held    bool
	naked   []string // saves outside the lock
}

func newLockStore() *lockStore {
	s := &lockStore{turn: make(chan struct{}, 1)}
	s.onSave = func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.held {
			s.naked = append(s.naked, "save")
		}
		return nil
	}
	return s
}

// use is how often the lock was taken, and whether it is now.
func (s *lockStore) use() (locks int, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks, s.held
}

func (s *lockStore) Lock(ctx context.Context) (func(), error) {
	if s.failure != nil {
		return nil, s.failure
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	s.locks++
	s.held = true
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.held = false
		s.mu.Unlock()
		<-s.turn
	}, nil
}

// refreshLog records what the observer is told.
type refreshLog struct {
	mu     sync.Mutex
	events []authos.RefreshEvent
}

func (r *refreshLog) option() authos.Option {
	return authos.WithObserver(&authos.Observer{Refresh: func(e authos.RefreshEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}})
}

func (r *refreshLog) all() []authos.RefreshEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]authos.RefreshEvent(nil), r.events...)
}

// sessionError is a call's *SessionError, which must be there.
func sessionError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e, ok := errors.AsType[*authos.SessionError](err)
	if !ok {
		t.Fatalf("error = %v (%T), want a *SessionError", err, err)
	}
	return e
}

// sessionUncertain checks a session that could not be refreshed but may go on.
func sessionUncertain(t *testing.T, err error) {
	t.Helper()
	_ = uncertainError(t, err)
}

func uncertainError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e := sessionError(t, err)
	if errors.Is(err, authos.ErrSessionExpired) || e.RetryAt.IsZero() || !authos.Retryable(err) || !errors.Is(err, authos.ErrUnauthenticated) {
		t.Errorf("error = %v: RetryAt %v, ErrSessionExpired %v, Retryable %v; want an uncertain one", err, e.RetryAt,
			errors.Is(err, authos.ErrSessionExpired), authos.Retryable(err))
	}
	if e.Err == nil {
		t.Errorf("error = %v, want that it says why", e)
	}
	return e
}

// sessionOver checks a session that has ended. sessionForeign checks that a call was not carried
// out because the client speaks for somebody else now.
func sessionForeign(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*authos.SessionError](err)
	if !ok || errors.Is(err, authos.ErrSessionExpired) || !e.RetryAt.IsZero() {
		t.Errorf("error = %v, want a session that is somebody else's", err)
	}
}

func sessionOver(t *testing.T, err error) {
	t.Helper()
	_ = overError(t, err)
}

func overError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e := sessionError(t, err)
	if !errors.Is(err, authos.ErrSessionExpired) || !errors.Is(err, authos.ErrUnauthenticated) || !e.RetryAt.IsZero() || authos.Retryable(err) {
		t.Errorf("error = %v: RetryAt %v, Retryable %v; want ErrSessionExpired", err, e.RetryAt, authos.Retryable(err))
	}
	if e.Err == nil {
		t.Errorf("error = %v, want that it says why", e)
	}
	return e
}

// The session as a whole: many callers, several principals, sign-out, the end of the client.

// sessionOrders is a write of its own beside the fake: it takes the same tokens, and counts how
// often each order was placed.
type sessionOrders struct {
	next   http.RoundTripper
	mu     sync.Mutex
	placed map[string]int
}

func (o *sessionOrders) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/x/orders" {
		return o.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_ = req.Body.Close()
	probe, err := http.NewRequestWithContext(req.Context(), http.MethodGet, "http://127.0.0.1/api/user", nil)
	if err != nil {
		return nil, err
	}
	probe.Header.Set("Authorization", req.Header.Get("Authorization"))
	resp, err := o.next.RoundTrip(probe)
	if err == nil && resp.StatusCode == 200 {
		o.mu.Lock()
		o.placed[string(body)]++
		o.mu.Unlock()
	}
	return resp, err
}

func TestTenThousandCallersOneRefresh(t *testing.T) {
	crowd(t)
	inMemory(t, "it makes more requests than are quick on the wire")
	callers := 10_000
	if testing.Short() {
		callers = 1000
	}
	for name, options := range contracts {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := fakeServer(t, options...)
					tokens := signIn(srv, adaEmail)
					srv.ExpireAccessTokens()
					orders := &sessionOrders{next: lateResponses(srv.Transport(), 80*time.Millisecond), placed: map[string]int{}}
					c := localClient(t, orders, authos.WithTokens(tokens))
					var group sync.WaitGroup
					failed := make(chan error, callers)
					for i := range callers {
						group.Go(func() {
							time.Sleep(rand.N(10 * time.Millisecond))
							var err error
							if method == "GET" {
								err = getUser(t, c)
							} else {
								err = c.Do(t.Context(), "POST", "/x/orders", map[string]int{"order": i}, nil)
							}
							if err != nil {
								failed <- err
							}
						})
					}
					group.Wait()
					close(failed)
					for err := range failed {
						t.Fatalf("%d calls failed, one with %v", len(failed)+1, err)
					}
					equal(t, "refreshes seen by the server", refreshCount(srv), 1)
					equal(t, "replays", srv.Replays(), 0)
					if method == "POST" {
						equal(t, "orders placed", len(orders.placed), callers)
						for order, n := range orders.placed {
							if n != 1 {
								t.Fatalf("order %s placed %d times", order, n)
							}
						}
					}
				})
			})
		}
	}
}

func TestSessionStress(t *testing.T) {
	crowd(t)
	inMemory(t, "it makes more requests than are quick on the wire")
	const workers, calls = 200, 50
	for name, before := range map[string]time.Duration{"ahead": 0, "on refusal only": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := fakeServer(t, authostest.WithTokenLife(2*time.Second, time.Hour), authostest.WithSeed(rand.Uint64()))
				srv.Fault(authostest.Fault{Method: "GET", Path: "/api/user", Kind: authostest.ResetBefore, Probability: 0.05})
				srv.Fault(authostest.Fault{Method: "PATCH", Path: "/api/organizations/:org_slug", Kind: authostest.ResetAfter, Probability: 0.05})
				srv.Fault(authostest.Fault{Method: "GET", Path: "/api/user", Kind: authostest.ResetAfter, Probability: 0.05})
				c := localClient(t, lateResponses(srv.Transport(), 40*time.Millisecond), authos.WithTokens(signIn(srv, adaEmail)),
					authos.WithRefreshBefore(before), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}),
					authos.WithRetry(authos.RetryPolicy{MaxAttempts: 12, BaseDelay: 5 * time.Millisecond, Budget: authos.RetryBudget{Ratio: -1}}))
				var group sync.WaitGroup
				for worker := range workers {
					group.Go(func() {
						for i := range calls {
							time.Sleep(rand.N(400 * time.Millisecond))
							var err error
							if (worker+i)%3 == 0 {
								err = c.Do(t.Context(), "PATCH", "/api/organizations/acme", map[string]string{"name": "Acme"}, nil)
							} else {
								err = getUser(t, c)
							}
							if err != nil {
								t.Errorf("call = %v", err)
								return
							}
						}
					})
				}
				group.Wait()
				equal(t, "replays", srv.Replays(), 0)
				if n := refreshCount(srv); n < 4 || n > 20 {
					t.Errorf("refreshes = %d, want about one every 2 s of the %v", n, "10 s it takes")
				}
			})
		})
	}
}

func TestTwoPrincipals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		ada, bob := &testStore{}, &testStore{}
		first := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)), authos.WithTokenStore(ada))
		second, err := first.With(authos.WithTokens(signIn(srv, "bob@example.com")), authos.WithTokenStore(bob))
		noError(t, "With", err)
		spanish, err := first.With(authos.WithLanguage("es"))
		noError(t, "With", err)
		srv.ExpireAccessTokens()
		for range 2 {
			for c, want := range map[*authos.Client]string{first: adaEmail, second: "bob@example.com", spanish: adaEmail} {
				u, err := c.User.Get(t.Context())
				noError(t, "Get", err)
				equal(t, "user", u.Email, want)
			}
		}
		// the client of another language shares the session
		equal(t, "refreshes", refreshCount(srv), 2)
		equal(t, "its tokens", heldTokens(t, spanish).AccessToken, heldTokens(t, first).AccessToken)
		equal(t, "saved", ada.get().AccessToken == heldTokens(t, first).AccessToken && bob.get().AccessToken == heldTokens(t, second).AccessToken, true)
		noError(t, "Logout", second.Auth.Logout(t.Context()))
		noError(t, "the other principal's Get", getUser(t, first))
		equal(t, "stores", bob.get() == authos.Tokens{} && ada.get() != authos.Tokens{}, true)
	})
}

// An option of the session must not silently start one without tokens.
func TestWithRefreshBeforeAlone(t *testing.T) {
	c := localClient(t, http.DefaultTransport, authos.WithTokens(oldTokens))
	if _, err := c.With(authos.WithRefreshBefore(time.Minute)); err == nil {
		t.Error("With(WithRefreshBefore) = nil error, want one")
	}
	other, err := c.With(authos.WithRefreshBefore(time.Minute), authos.WithTokens(authos.Tokens{AccessToken: "other"}))
	noError(t, "With", err)
	equal(t, "held", heldTokens(t, other).AccessToken, "other")
}

func TestCredentialsStayApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sessionScript(func(seenRequest) reply { return reply{status: 401, body: deadTokenBody} })
		c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithAPIKey("sk_0123456789ab_secret"))
		heldTokens(t, c) // the session is there
		for _, call := range []struct {
			name, path, auth, key string
			opts                  []authos.RequestOption
		}{
			{"API key", "/api/service/info", "", "sk_0123456789ab_secret", nil},
			{"unknown service route", "/api/service/x", "", "sk_0123456789ab_secret", nil},
			{"public", "/health", "", "", nil},
			{"SCIM", "/scim/v2/Users", "", "", nil},
			{"own Authorization", "/api/user", "mine", "", []authos.RequestOption{authos.WithHeader("authorization", "Bearer mine")}},
		} {
			err := c.Do(t.Context(), "GET", call.path, nil, nil, call.opts...)
			if e, ok := errors.AsType[*authos.APIError](err); !ok || e.StatusCode != 401 {
				t.Errorf("%s: error = %v, want the 401", call.name, err)
			}
			last := srv.requests()[len(srv.requests())-1]
			if last.auth != call.auth || last.key != call.key {
				t.Errorf("%s: Authorization %q, X-Api-Key %q, want %q, %q", call.name, last.auth, last.key, call.auth, call.key)
			}
		}
		equal(t, "refreshes", srv.count(refreshPath), 0)
		noError(t, "Get", getUser(t, c))
		for _, r := range srv.requests()[5:] {
			if r.key != "" {
				t.Errorf("%s %s carries the API key", r.method, r.path)
			}
			if r.path == refreshPath && r.auth != "" {
				t.Errorf("the refresh carries an Authorization header")
			}
		}
	})
}

func TestSetTokensDuringRefresh(t *testing.T) {
	for name, locking := range map[string]bool{"plain store": false, "locking store": true} {
		for signOut, next := range map[bool]authos.Tokens{true: {}, false: {AccessToken: "new", RefreshToken: "r9"}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := &script{respond: func(r seenRequest) reply {
						switch {
						case r.path == refreshPath:
							return reply{status: 200, body: pairBody("stray", "r2"), took: 10 * time.Second}
						case r.auth == "new":
							return reply{status: 200, body: userBody}
						default:
							return reply{status: 401, body: deadTokenBody}
						}
					}}
					plain, locked := &testStore{}, newLockStore()
					var store authos.TokenStore = plain
					if locking {
						plain, store = &locked.testStore, locked
					}
					c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithTokenStore(store))
					waiter := make(chan error, 1)
					go func() { waiter <- getUser(t, c) }()
					time.Sleep(time.Second)
					done := make(chan error, 1)
					go func() { done <- c.SetTokens(t.Context(), next) }()
					start := time.Now()
					err := <-waiter // lets go at once
					equal(t, "the waiter was let go after", time.Since(start), 0)
					if signOut {
						if e, ok := errors.AsType[*authos.APIError](err); !ok || e.StatusCode != 401 {
							t.Errorf("waiter = %v, want its own 401", err)
						}
					} else {
						sessionForeign(t, err) // who the new ones are cannot be told
					}
					noError(t, "SetTokens", <-done)
					time.Sleep(time.Minute)
					equal(t, "held", heldTokens(t, c), next)
					equal(t, "stored", plain.get(), next)
					equal(t, "refreshes", srv.count(refreshPath), 1)
					equal(t, "sessions that came too late and were ended", srv.count("/auth/revoke"), 1)
					for _, r := range srv.requests() {
						if r.auth == "stray" {
							t.Error("the refresh's tokens were used")
						}
						if r.path == "/auth/revoke" {
							equal(t, "what was ended", r.body, "token=r2&token_type_hint=refresh_token")
						}
					}
				})
			})
		}
	}
}

// The end of a refresh that SetTokens has overtaken is not the end of the next one.
func TestTwoRefreshesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(r seenRequest) reply {
			switch {
			case r.path == refreshPath && strings.Contains(r.body, `"r1"`):
				return reply{status: 200, body: pairBody("stray", "r2"), took: 10 * time.Second}
			case r.path == refreshPath:
				return reply{status: 200, body: pairBody("new", "r9"), took: 20 * time.Second}
			case r.auth == "new":
				return reply{status: 200, body: userBody}
			default:
				return reply{status: 401, body: deadTokenBody}
			}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		start := time.Now()
		var group sync.WaitGroup
		group.Go(func() { sessionForeign(t, getUser(t, c)) })
		time.Sleep(time.Second)
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "dead", RefreshToken: "r8"}))
		group.Wait()
		noError(t, "Get", getUser(t, c))
		equal(t, "it took", time.Since(start), 21*time.Second)
		equal(t, "refreshes", srv.count(refreshPath), 2)
	})
}

// A refusal that SetTokens has overtaken says nothing about the tokens it set.
func TestOvertakenRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive := "x"
		srv := &script{respond: func(r seenRequest) reply {
			switch {
			case r.path == refreshPath && strings.Contains(r.body, `"r1"`):
				return reply{status: 401, body: refusedBody, took: 10 * time.Second}
			case r.path == refreshPath:
				alive = "new"
				return reply{status: 200, body: pairBody("new", "r9")}
			case r.auth == alive:
				return reply{status: 200, body: userBody}
			default:
				return reply{status: 401, body: deadTokenBody}
			}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		go func() { _ = getUser(t, c) }()
		time.Sleep(time.Second)
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "x", RefreshToken: "r8"}))
		noError(t, "Get", getUser(t, c))
		time.Sleep(time.Minute)
		srv.mu.Lock()
		alive = ""
		srv.mu.Unlock()
		noError(t, "Get", getUser(t, c))
	})
}

// SetTokens comes while the refresh's tokens are being saved.
func TestSetTokensDuringSave(t *testing.T) {
	for _, next := range []authos.Tokens{{}, {AccessToken: "new", RefreshToken: "r9"}} {
		synctest.Test(t, func(t *testing.T) {
			srv := sessionScript(func(seenRequest) reply { return reply{status: 401, body: deadTokenBody} })
			store := &testStore{}
			c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithTokenStore(store))
			heldTokens(t, c)
			saving := make(chan struct{})
			store.onSave = func() error { <-saving; return nil }
			waiter := make(chan error, 1)
			go func() { waiter <- getUser(t, c) }()
			synctest.Wait()
			set := make(chan error, 1)
			go func() { set <- c.SetTokens(t.Context(), next) }()
			synctest.Wait()
			close(saving)
			noError(t, "SetTokens", <-set)
			drain(waiter) // how it ends depends on next, and is shown elsewhere
			synctest.Wait()
			equal(t, "held", heldTokens(t, c), next)
			equal(t, "stored", store.get(), next)
		})
	}
}

// What a refresh reads from the store while SetTokens writes it is nobody's news.
func TestSetTokensWhileTheStoreIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sessionScript(func(seenRequest) reply { return reply{status: 401, body: deadTokenBody} })
		store := &testStore{}
		c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithTokenStore(store))
		heldTokens(t, c)
		store.put(authos.Tokens{AccessToken: "somebody", RefreshToken: "else"})
		reading := make(chan struct{})
		store.onLoad = func() error { <-reading; return nil }
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		synctest.Wait()
		store.onSave = func() error { close(reading); synctest.Wait(); return nil }
		next := authos.Tokens{AccessToken: "new", RefreshToken: "r9"}
		noError(t, "SetTokens", c.SetTokens(t.Context(), next))
		sessionForeign(t, <-waiter)
		equal(t, "held", heldTokens(t, c), next)
		equal(t, "refreshes", srv.count(refreshPath), 0)
	})
}

func TestSignOutWhileWaitingToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(r seenRequest) reply {
			if r.path == refreshPath {
				return reply{status: 200, body: pairBody("stray", "r2"), took: 10 * time.Second}
			}
			return reply{status: 401, body: `{"error":"Missing or invalid Authorization header","error_code":"UNAUTHORIZED"}`}
		}}
		c := localClient(t, srv, authos.WithTokens(authos.Tokens{RefreshToken: "r1"}))
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{}))
		sessionOver(t, <-waiter) // nothing was sent for it
	})
}

// slowLock lets the first who asks for the lock ask late.
type slowLock struct {
	*lockStore
	asked atomic.Int32
}

func (s *slowLock) Lock(ctx context.Context) (func(), error) {
	if s.asked.Add(1) == 1 {
		time.Sleep(time.Minute)
	}
	return s.lockStore.Lock(ctx)
}

func TestLastSetTokensWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowLock{lockStore: newLockStore()}
		c := localClient(t, sessionScript(nil), authos.WithTokenStore(store))
		var group sync.WaitGroup
		for _, access := range []string{"first", "second"} {
			group.Go(func() { noError(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: access})) })
			time.Sleep(time.Second)
		}
		group.Wait()
		equal(t, "held", heldTokens(t, c).AccessToken, "second")
		equal(t, "stored", store.get().AccessToken, "second")
	})
}

func TestLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{}
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)), authos.WithTokenStore(store),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
		noError(t, "Get", getUser(t, c))
		remove := srv.Fault(authostest.Fault{Path: "/auth/revoke", Kind: authostest.ResetBefore})
		if err := c.Auth.Logout(t.Context()); !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Logout = %v, want the network error", err)
		}
		equal(t, "kept after a failure", heldTokens(t, c) != authos.Tokens{} && store.get() != authos.Tokens{}, true)
		remove()
		// refresh is due, but would only make another token to be signed out
		time.Sleep(24*time.Hour - 10*time.Second)
		noError(t, "Logout", c.Auth.Logout(t.Context()))
		equal(t, "refreshes", refreshCount(srv), 0)
		equal(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 1)
		equal(t, "held", heldTokens(t, c), authos.Tokens{})
		equal(t, "stored", store.get(), authos.Tokens{})
		equal(t, "deletes", store.deletes, 1)
		if err := getUser(t, c); !errors.Is(err, authos.ErrUnauthenticated) || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("Get after sign-out = %v, want the server's 401", err)
		}
		equal(t, "refreshes", refreshCount(srv), 0)
	})
}

func TestCloseWaitsForTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		store := &testStore{}
		tokens := signIn(srv, adaEmail)
		c := localClient(t, srv.Transport(), authos.WithTokens(tokens), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 5 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := c.User.Get(ctx)
			gone <- err
		}()
		time.Sleep(time.Second)
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled call ended with %v", err)
		}
		start := time.Now()
		noError(t, "Close", c.Close())
		equal(t, "Close took", time.Since(start), 4*time.Second)
		equal(t, "the new tokens are saved", store.get().RefreshToken != tokens.RefreshToken && store.get().RefreshToken != "", true)
		if err := getUser(t, c); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Get = %v, want net.ErrClosed", err)
		}
	})
}

func TestCloseDoesNotWaitForTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sessionScript(func(seenRequest) reply { return reply{status: 401, body: deadTokenBody} })
		store := newLockStore()
		store.put(oldTokens)
		c := localClient(t, srv, authos.WithTokenStore(store))
		unlock, _ := store.Lock(t.Context()) // another process
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		start := time.Now()
		noError(t, "Close", c.Close())
		equal(t, "Close took", time.Since(start), 0)
		sessionUncertain(t, <-waiter)
		unlock()
		equal(t, "refreshes", srv.count(refreshPath), 0)
	})
}

func TestCloseEndsAWaitBetweenRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(r seenRequest) reply {
			if r.path == refreshPath {
				return reply{status: 429, body: "Too Many Requests! Wait for 50s", header: map[string]string{"X-Ratelimit-After": "50"}}
			}
			return reply{status: 401, body: deadTokenBody}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		waiter := make(chan error, 1)
		go func() { waiter <- getUser(t, c) }()
		time.Sleep(time.Second)
		start := time.Now()
		noError(t, "Close", c.Close())
		equal(t, "Close took", time.Since(start), 0)
		sessionUncertain(t, <-waiter)
		equal(t, "refreshes", srv.count(refreshPath), 1)
	})
}

// drain waits for a value whatever it is.
func drain[T any](ch <-chan T) { <-ch }
