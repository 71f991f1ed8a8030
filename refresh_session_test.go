package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// Helpers of the session tests. Time is that of a bubble throughout; the server is authostest's
// fake, or a script.

const (
	stEmail   = "ada@example.com"
	stRefresh = "/api/auth/refresh"
)

// stBubble runs a test in a bubble. A goroutine that outlives it fails the test.
func stBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func stServer(t *testing.T, opts ...authostest.Option) *authostest.Server {
	t.Helper()
	srv := authostest.New(opts...)
	t.Cleanup(srv.Close)
	return srv
}

func stClient(t *testing.T, rt http.RoundTripper, opts ...authos.Option) *authos.Client {
	t.Helper()
	c, err := authos.New("http://127.0.0.1", append([]authos.Option{authos.WithHTTPClient(&http.Client{Transport: rt})}, opts...)...)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// stSignIn opens a session. Its expiry is not told to the client.
func stSignIn(srv *authostest.Server, email string) authos.Tokens {
	in := srv.SignIn(email)
	return authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}
}

// stSignInFor is stSignIn with the expiry.
func stSignInFor(srv *authostest.Server, email string) authos.Tokens {
	in := srv.SignIn(email)
	return in
}

func stRefreshes(srv *authostest.Server) int { return srv.Count("POST", stRefresh) }

func stGet(t *testing.T, c *authos.Client) error {
	t.Helper()
	_, err := c.User.Get(t.Context())
	return err
}

func stMust(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s = %v", what, err)
	}
}

func stHeld(t *testing.T, c *authos.Client) authos.Tokens {
	t.Helper()
	tokens, err := c.Tokens(t.Context())
	stMust(t, "Tokens", err)
	return stAnywhere(tokens)
}

// stWant fails unless a count is what it should be.
func stWant[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

type stFunc func(*http.Request) (*http.Response, error)

func (f stFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// stLate lets responses travel for a random time of at most d, so that some of them arrive long
// after others.
func stLate(next http.RoundTripper, d time.Duration) http.RoundTripper {
	return stFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if req.URL.Path != stRefresh {
			if err := stPause(req.Context(), rand.N(d)); err != nil {
				return nil, err
			}
		}
		return resp, err
	})
}

func stPause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stSeen is a request as a scripted server saw it.
type stSeen struct {
	at                 time.Time
	method, path, auth string
	key, body          string
}

// stResponse is what a script responses; err is instead of a response.
type stResponse struct {
	status int
	body   string
	header map[string]string
	err    error
	after  time.Duration
}

// stScript is a server that responses as a function says.
type stScript struct {
	mu       sync.Mutex
	seen     []stSeen
	response func(stSeen) stResponse
}

func (s *stScript) RoundTrip(req *http.Request) (*http.Response, error) {
	r := stSeen{
		at: time.Now(), method: req.Method, path: req.URL.Path,
		auth: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), key: req.Header.Get("X-Api-Key"),
	}
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		r.body = string(data)
	}
	s.mu.Lock()
	s.seen = append(s.seen, r)
	a := s.response(r)
	s.mu.Unlock()
	if err := stPause(req.Context(), a.after); err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, a.err
	}
	h := http.Header{}
	if strings.HasPrefix(a.body, "{") {
		h.Set("Content-Type", "application/json")
	}
	for k, v := range a.header {
		h.Set(k, v)
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: req,
	}, nil
}

func (s *stScript) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.seen {
		if r.path == path {
			n++
		}
	}
	return n
}

func (s *stScript) requests() []stSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stSeen(nil), s.seen...)
}

const (
	stUser   = `{"id":"u1","email":"ada@example.com"}`
	stDead   = `{"error":"Invalid token","error_code":"JWT_ERROR","timestamp":"2026-05-20T12:00:00+00:00"}`
	stRefuse = `{"error":"Invalid refresh token","error_code":"UNAUTHORIZED","timestamp":"2026-05-20T12:00:00+00:00"}`
)

func stPair(access, refresh string) string {
	return fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"expires_in":3600}`, access, refresh)
}

// stSession is a script of a server that takes the access token "new" and gives it for the refresh
// token "r1".
func stSession(api func(stSeen) stResponse) *stScript {
	return &stScript{response: func(r stSeen) stResponse {
		switch {
		case r.path == stRefresh && strings.Contains(r.body, `"r1"`):
			return stResponse{status: 200, body: stPair("new", "r2")}
		case r.path == stRefresh:
			return stResponse{status: 401, body: stRefuse}
		case r.auth == "new":
			return stResponse{status: 200, body: stUser}
		default:
			return api(r)
		}
	}}
}

var stOld = authos.Tokens{AccessToken: "old", RefreshToken: "r1"}

func stRefusedDial() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func stReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// stStore is a program's own store; its functions, where set, run before an operation and may fail
// it.
type stStore struct {
	mu                     sync.Mutex
	tokens                 authos.Tokens
	loads, saves, deletes  int
	onLoad, onSave, onWipe func() error
}

func (s *stStore) Load(context.Context) (authos.Tokens, error) {
	if err := s.before(&s.loads, s.onLoad); err != nil {
		return authos.Tokens{}, err
	}
	return s.get(), nil
}

func (s *stStore) Save(_ context.Context, t authos.Tokens) error {
	if err := s.before(&s.saves, s.onSave); err != nil {
		return err
	}
	s.put(t)
	return nil
}

func (s *stStore) Delete(context.Context) error {
	if err := s.before(&s.deletes, s.onWipe); err != nil {
		return err
	}
	s.put(authos.Tokens{})
	return nil
}

func (s *stStore) before(n *int, hook func() error) error {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook()
}

// stAnywhere leaves out whose tokens they are, which the client adds.
func stAnywhere(t authos.Tokens) authos.Tokens {
	t.Origin = ""
	return t
}

func (s *stStore) get() authos.Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stAnywhere(s.tokens)
}

func (s *stStore) put(t authos.Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = t
}

// stLockStore can be locked, and notices what is done without the lock.
type stLockStore struct {
	stStore
	turn    chan struct{}
	failure error
	locks   int
	held    bool
	naked   []string // saves outside the lock
}

func stNewLockStore() *stLockStore {
	s := &stLockStore{turn: make(chan struct{}, 1)}
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

func (s *stLockStore) Lock(ctx context.Context) (func(), error) {
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

// stRefreshLog records what the observer is told.
type stRefreshLog struct {
	mu     sync.Mutex
	events []authos.RefreshEvent
}

func (r *stRefreshLog) option() authos.Option {
	return authos.WithObserver(&authos.Observer{Refresh: func(e authos.RefreshEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}})
}

func (r *stRefreshLog) all() []authos.RefreshEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]authos.RefreshEvent(nil), r.events...)
}

// stSessionError is a call's *SessionError, which must be there.
func stSessionError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e, ok := errors.AsType[*authos.SessionError](err)
	if !ok {
		t.Fatalf("error = %v (%T), want a *SessionError", err, err)
	}
	return e
}

// stUncertain checks a session that could not be refreshed but may go on.
func stUncertain(t *testing.T, err error) {
	t.Helper()
	_ = stUncertainError(t, err)
}

func stUncertainError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e := stSessionError(t, err)
	if errors.Is(err, authos.ErrSessionExpired) || e.RetryAt.IsZero() || !authos.Retryable(err) || !errors.Is(err, authos.ErrUnauthenticated) {
		t.Errorf("error = %v: RetryAt %v, ErrSessionExpired %v, Retryable %v; want an uncertain one", err, e.RetryAt,
			errors.Is(err, authos.ErrSessionExpired), authos.Retryable(err))
	}
	return e
}

// stOver checks a session that has ended.
// stForeign checks that a call was not carried out because the client speaks for somebody else now.
func stForeign(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*authos.SessionError](err)
	if !ok || errors.Is(err, authos.ErrSessionExpired) || !e.RetryAt.IsZero() {
		t.Errorf("error = %v, want a session that is somebody else's", err)
	}
}

func stOver(t *testing.T, err error) {
	t.Helper()
	_ = stOverError(t, err)
}

func stOverError(t *testing.T, err error) *authos.SessionError {
	t.Helper()
	e := stSessionError(t, err)
	if !errors.Is(err, authos.ErrSessionExpired) || !errors.Is(err, authos.ErrUnauthenticated) || !e.RetryAt.IsZero() || authos.Retryable(err) {
		t.Errorf("error = %v: RetryAt %v, Retryable %v; want ErrSessionExpired", err, e.RetryAt, authos.Retryable(err))
	}
	return e
}

// The session as a whole: many callers, several principals, sign-out, the end of the client.

// stOrders is a write of its own beside the fake: it takes the same tokens, and counts how often
// each order was placed.
type stOrders struct {
	next   http.RoundTripper
	mu     sync.Mutex
	placed map[string]int
}

func (o *stOrders) RoundTrip(req *http.Request) (*http.Response, error) {
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
	const callers = 10_000
	for name, contract := range map[string]authostest.Contract{"real": authostest.Newest, "documented": authostest.Documented} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				stBubble(t, func(t *testing.T) {
					srv := stServer(t, authostest.WithContract(contract))
					tokens := stSignIn(srv, stEmail)
					srv.ExpireAccessTokens()
					orders := &stOrders{next: stLate(srv.Transport(), 80*time.Millisecond), placed: map[string]int{}}
					c := stClient(t, orders, authos.WithTokens(tokens))
					var group sync.WaitGroup
					failed := make(chan error, callers)
					for i := range callers {
						group.Go(func() {
							time.Sleep(rand.N(10 * time.Millisecond))
							var err error
							if method == "GET" {
								err = stGet(t, c)
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
					stWant(t, "refreshes seen by the server", stRefreshes(srv), 1)
					stWant(t, "replays", srv.Replays(), 0)
					if method == "POST" {
						stWant(t, "orders placed", len(orders.placed), callers)
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
	const workers, calls = 200, 50
	for name, before := range map[string]time.Duration{"ahead": 0, "on refusal only": -1} {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				srv := stServer(t, authostest.WithTokenLife(2*time.Second, time.Hour), authostest.WithSeed(rand.Uint64()))
				srv.Fault(authostest.Fault{Method: "GET", Path: "/api/user", Kind: authostest.ResetBefore, Probability: 0.05})
				srv.Fault(authostest.Fault{Method: "PATCH", Path: "/api/organizations/:org_slug", Kind: authostest.ResetAfter, Probability: 0.05})
				srv.Fault(authostest.Fault{Method: "GET", Path: "/api/user", Kind: authostest.ResetAfter, Probability: 0.05})
				c := stClient(t, stLate(srv.Transport(), 40*time.Millisecond), authos.WithTokens(stSignIn(srv, stEmail)),
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
								err = stGet(t, c)
							}
							if err != nil {
								t.Errorf("call = %v", err)
								return
							}
						}
					})
				}
				group.Wait()
				stWant(t, "replays", srv.Replays(), 0)
				if n := stRefreshes(srv); n < 4 || n > 20 {
					t.Errorf("refreshes = %d, want about one every 2 s of the %v", n, "10 s it takes")
				}
			})
		})
	}
}

func TestTwoPrincipals(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		ada, bob := &stStore{}, &stStore{}
		first := stClient(t, srv.Transport(), authos.WithTokens(stSignIn(srv, stEmail)), authos.WithTokenStore(ada))
		second, err := first.With(authos.WithTokens(stSignIn(srv, "bob@example.com")), authos.WithTokenStore(bob))
		stMust(t, "With", err)
		spanish, err := first.With(authos.WithLanguage("es"))
		stMust(t, "With", err)
		srv.ExpireAccessTokens()
		for range 2 {
			for c, want := range map[*authos.Client]string{first: stEmail, second: "bob@example.com", spanish: stEmail} {
				u, err := c.User.Get(t.Context())
				stMust(t, "Get", err)
				stWant(t, "user", u.Email, want)
			}
		}
		// the client of another language shares the session
		stWant(t, "refreshes", stRefreshes(srv), 2)
		stWant(t, "its tokens", stHeld(t, spanish).AccessToken, stHeld(t, first).AccessToken)
		stWant(t, "saved", ada.get().AccessToken == stHeld(t, first).AccessToken && bob.get().AccessToken == stHeld(t, second).AccessToken, true)
		stMust(t, "Logout", second.Auth.Logout(t.Context()))
		stMust(t, "the other principal's Get", stGet(t, first))
		stWant(t, "stores", bob.get() == authos.Tokens{} && ada.get() != authos.Tokens{}, true)
	})
}

// An option of the session must not silently start one without tokens.
func TestWithRefreshBeforeAlone(t *testing.T) {
	c := stClient(t, http.DefaultTransport, authos.WithTokens(stOld))
	if _, err := c.With(authos.WithRefreshBefore(time.Minute)); err == nil {
		t.Error("With(WithRefreshBefore) = nil error, want one")
	}
	other, err := c.With(authos.WithRefreshBefore(time.Minute), authos.WithTokens(authos.Tokens{AccessToken: "other"}))
	stMust(t, "With", err)
	stWant(t, "held", stHeld(t, other).AccessToken, "other")
}

func TestCredentialsStayApart(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stSession(func(stSeen) stResponse { return stResponse{status: 401, body: stDead} })
		c := stClient(t, srv, authos.WithTokens(stOld), authos.WithAPIKey("sk_0123456789ab_secret"))
		stHeld(t, c) // the session is there
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
		stWant(t, "refreshes", srv.count(stRefresh), 0)
		stMust(t, "Get", stGet(t, c))
		for _, r := range srv.requests()[5:] {
			if r.key != "" {
				t.Errorf("%s %s carries the API key", r.method, r.path)
			}
			if r.path == stRefresh && r.auth != "" {
				t.Errorf("the refresh carries an Authorization header")
			}
		}
	})
}

func TestSetTokensDuringRefresh(t *testing.T) {
	for name, locking := range map[string]bool{"plain store": false, "locking store": true} {
		for signOut, next := range map[bool]authos.Tokens{true: {}, false: {AccessToken: "new", RefreshToken: "r9"}} {
			t.Run(name, func(t *testing.T) {
				stBubble(t, func(t *testing.T) {
					srv := &stScript{response: func(r stSeen) stResponse {
						switch {
						case r.path == stRefresh:
							return stResponse{status: 200, body: stPair("stray", "r2"), after: 10 * time.Second}
						case r.auth == "new":
							return stResponse{status: 200, body: stUser}
						default:
							return stResponse{status: 401, body: stDead}
						}
					}}
					plain, locked := &stStore{}, stNewLockStore()
					var store authos.TokenStore = plain
					if locking {
						plain, store = &locked.stStore, locked
					}
					c := stClient(t, srv, authos.WithTokens(stOld), authos.WithTokenStore(store))
					waiter := make(chan error, 1)
					go func() { waiter <- stGet(t, c) }()
					time.Sleep(time.Second)
					done := make(chan error, 1)
					go func() { done <- c.SetTokens(t.Context(), next) }()
					start := time.Now()
					err := <-waiter // lets go at once
					stWant(t, "the waiter was let go after", time.Since(start), 0)
					if signOut {
						if e, ok := errors.AsType[*authos.APIError](err); !ok || e.StatusCode != 401 {
							t.Errorf("waiter = %v, want its own 401", err)
						}
					} else {
						stForeign(t, err) // who the new ones are cannot be told
					}
					stMust(t, "SetTokens", <-done)
					time.Sleep(time.Minute)
					stWant(t, "held", stHeld(t, c), next)
					stWant(t, "stored", plain.get(), next)
					stWant(t, "refreshes", srv.count(stRefresh), 1)
					for _, r := range srv.requests() {
						if r.auth == "stray" {
							t.Error("the refresh's tokens were used")
						}
					}
				})
			})
		}
	}
}

// The end of a refresh that SetTokens has overtaken is not the end of the next one.
func TestTwoRefreshesUnderWay(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := &stScript{response: func(r stSeen) stResponse {
			switch {
			case r.path == stRefresh && strings.Contains(r.body, `"r1"`):
				return stResponse{status: 200, body: stPair("stray", "r2"), after: 10 * time.Second}
			case r.path == stRefresh:
				return stResponse{status: 200, body: stPair("new", "r9"), after: 20 * time.Second}
			case r.auth == "new":
				return stResponse{status: 200, body: stUser}
			default:
				return stResponse{status: 401, body: stDead}
			}
		}}
		c := stClient(t, srv, authos.WithTokens(stOld))
		start := time.Now()
		var group sync.WaitGroup
		group.Go(func() { stForeign(t, stGet(t, c)) })
		time.Sleep(time.Second)
		stMust(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "dead", RefreshToken: "r8"}))
		group.Wait()
		stMust(t, "Get", stGet(t, c))
		stWant(t, "it took", time.Since(start), 21*time.Second)
		stWant(t, "refreshes", srv.count(stRefresh), 2)
	})
}

// A refusal that SetTokens has overtaken says nothing about the tokens it set.
func TestOvertakenRefusal(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		alive := "x"
		srv := &stScript{response: func(r stSeen) stResponse {
			switch {
			case r.path == stRefresh && strings.Contains(r.body, `"r1"`):
				return stResponse{status: 401, body: stRefuse, after: 10 * time.Second}
			case r.path == stRefresh:
				alive = "new"
				return stResponse{status: 200, body: stPair("new", "r9")}
			case r.auth == alive:
				return stResponse{status: 200, body: stUser}
			default:
				return stResponse{status: 401, body: stDead}
			}
		}}
		c := stClient(t, srv, authos.WithTokens(stOld))
		go func() { _ = stGet(t, c) }()
		time.Sleep(time.Second)
		stMust(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: "x", RefreshToken: "r8"}))
		stMust(t, "Get", stGet(t, c))
		time.Sleep(time.Minute)
		srv.mu.Lock()
		alive = ""
		srv.mu.Unlock()
		stMust(t, "Get", stGet(t, c))
	})
}

// SetTokens comes while the refresh's tokens are being saved.
func TestSetTokensDuringSave(t *testing.T) {
	for _, next := range []authos.Tokens{{}, {AccessToken: "new", RefreshToken: "r9"}} {
		stBubble(t, func(t *testing.T) {
			srv := stSession(func(stSeen) stResponse { return stResponse{status: 401, body: stDead} })
			store := &stStore{}
			c := stClient(t, srv, authos.WithTokens(stOld), authos.WithTokenStore(store))
			stHeld(t, c)
			saving := make(chan struct{})
			store.onSave = func() error { <-saving; return nil }
			waiter := make(chan error, 1)
			go func() { waiter <- stGet(t, c) }()
			synctest.Wait()
			set := make(chan error, 1)
			go func() { set <- c.SetTokens(t.Context(), next) }()
			synctest.Wait()
			close(saving)
			stMust(t, "SetTokens", <-set)
			stDrain(waiter) // how it ends depends on next, and is shown elsewhere
			synctest.Wait()
			stWant(t, "held", stHeld(t, c), next)
			stWant(t, "stored", store.get(), next)
		})
	}
}

// What a refresh reads from the store while SetTokens writes it is nobody's news.
func TestSetTokensWhileTheStoreIsRead(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stSession(func(stSeen) stResponse { return stResponse{status: 401, body: stDead} })
		store := &stStore{}
		c := stClient(t, srv, authos.WithTokens(stOld), authos.WithTokenStore(store))
		stHeld(t, c)
		store.put(authos.Tokens{AccessToken: "somebody", RefreshToken: "else"})
		reading := make(chan struct{})
		store.onLoad = func() error { <-reading; return nil }
		waiter := make(chan error, 1)
		go func() { waiter <- stGet(t, c) }()
		synctest.Wait()
		store.onSave = func() error { close(reading); synctest.Wait(); return nil }
		next := authos.Tokens{AccessToken: "new", RefreshToken: "r9"}
		stMust(t, "SetTokens", c.SetTokens(t.Context(), next))
		stForeign(t, <-waiter)
		stWant(t, "held", stHeld(t, c), next)
		stWant(t, "refreshes", srv.count(stRefresh), 0)
	})
}

func TestSignOutWhileWaitingToSend(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := &stScript{response: func(r stSeen) stResponse {
			if r.path == stRefresh {
				return stResponse{status: 200, body: stPair("stray", "r2"), after: 10 * time.Second}
			}
			return stResponse{status: 401, body: `{"error":"Missing or invalid Authorization header","error_code":"UNAUTHORIZED"}`}
		}}
		c := stClient(t, srv, authos.WithTokens(authos.Tokens{RefreshToken: "r1"}))
		waiter := make(chan error, 1)
		go func() { waiter <- stGet(t, c) }()
		time.Sleep(time.Second)
		stMust(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{}))
		stOver(t, <-waiter) // nothing was sent for it
	})
}

// stSlowLock lets the first who asks for the lock ask late.
type stSlowLock struct {
	*stLockStore
	asked atomic.Int32
}

func (s *stSlowLock) Lock(ctx context.Context) (func(), error) {
	if s.asked.Add(1) == 1 {
		time.Sleep(time.Minute)
	}
	return s.stLockStore.Lock(ctx)
}

func TestLastSetTokensWins(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		store := &stSlowLock{stLockStore: stNewLockStore()}
		c := stClient(t, stSession(nil), authos.WithTokenStore(store))
		var group sync.WaitGroup
		for _, access := range []string{"first", "second"} {
			group.Go(func() { stMust(t, "SetTokens", c.SetTokens(t.Context(), authos.Tokens{AccessToken: access})) })
			time.Sleep(time.Second)
		}
		group.Wait()
		stWant(t, "held", stHeld(t, c).AccessToken, "second")
		stWant(t, "stored", store.get().AccessToken, "second")
	})
}

func TestLogout(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := &stStore{}
		c := stClient(t, srv.Transport(), authos.WithTokens(stSignInFor(srv, stEmail)), authos.WithTokenStore(store),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
		stMust(t, "Get", stGet(t, c))
		remove := srv.Fault(authostest.Fault{Path: "/auth/revoke", Kind: authostest.ResetBefore})
		if err := c.Auth.Logout(t.Context()); !errors.Is(err, authos.ErrNetwork) {
			t.Errorf("Logout = %v, want the network error", err)
		}
		stWant(t, "kept after a failure", stHeld(t, c) != authos.Tokens{} && store.get() != authos.Tokens{}, true)
		remove()
		// refresh is due, but would only make another token to be signed out
		time.Sleep(24*time.Hour - 10*time.Second)
		stMust(t, "Logout", c.Auth.Logout(t.Context()))
		stWant(t, "refreshes", stRefreshes(srv), 0)
		stWant(t, "sessions ended", srv.Applied()["POST /auth/revoke"], 1)
		stWant(t, "held", stHeld(t, c), authos.Tokens{})
		stWant(t, "stored", store.get(), authos.Tokens{})
		stWant(t, "deletes", store.deletes, 1)
		if err := stGet(t, c); !errors.Is(err, authos.ErrUnauthenticated) || errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("Get after sign-out = %v, want the server's 401", err)
		}
		stWant(t, "refreshes", stRefreshes(srv), 0)
	})
}

func TestCloseWaitsForTheRefresh(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		store := &stStore{}
		tokens := stSignIn(srv, stEmail)
		c := stClient(t, srv.Transport(), authos.WithTokens(tokens), authos.WithTokenStore(store))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: stRefresh, Delay: 5 * time.Second})
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
		stMust(t, "Close", c.Close())
		stWant(t, "Close took", time.Since(start), 4*time.Second)
		stWant(t, "the new tokens are saved", store.get().RefreshToken != tokens.RefreshToken && store.get().RefreshToken != "", true)
		if err := stGet(t, c); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Get = %v, want net.ErrClosed", err)
		}
	})
}

func TestCloseDoesNotWaitForTheLock(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stSession(func(stSeen) stResponse { return stResponse{status: 401, body: stDead} })
		store := stNewLockStore()
		store.put(stOld)
		c := stClient(t, srv, authos.WithTokenStore(store))
		unlock, _ := store.Lock(t.Context()) // another process
		waiter := make(chan error, 1)
		go func() { waiter <- stGet(t, c) }()
		time.Sleep(time.Second)
		start := time.Now()
		stMust(t, "Close", c.Close())
		stWant(t, "Close took", time.Since(start), 0)
		stUncertain(t, <-waiter)
		unlock()
		stWant(t, "refreshes", srv.count(stRefresh), 0)
	})
}

func TestCloseEndsAWaitBetweenRefreshes(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := &stScript{response: func(r stSeen) stResponse {
			if r.path == stRefresh {
				return stResponse{status: 429, body: "Too Many Requests! Wait for 50s", header: map[string]string{"X-Ratelimit-After": "50"}}
			}
			return stResponse{status: 401, body: stDead}
		}}
		c := stClient(t, srv, authos.WithTokens(stOld))
		waiter := make(chan error, 1)
		go func() { waiter <- stGet(t, c) }()
		time.Sleep(time.Second)
		start := time.Now()
		stMust(t, "Close", c.Close())
		stWant(t, "Close took", time.Since(start), 0)
		stUncertain(t, <-waiter)
		stWant(t, "refreshes", srv.count(stRefresh), 1)
	})
}

// stDrain waits for a value whatever it is.
func stDrain[T any](ch <-chan T) { <-ch }
