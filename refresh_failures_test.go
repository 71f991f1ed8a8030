package authos_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// How a refresh that gives no tokens ends, for those who wait for it.

// failingRefresh is a server that refuses the old token and responds so to every refresh.
func failingRefresh(response reply) *script {
	return &script{respond: func(r seenRequest) reply {
		if r.path == refreshPath {
			return response
		}
		return reply{status: 401, body: deadTokenBody}
	}}
}

var (
	badCertificate = &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	unlimited      = authos.WithRetry(authos.RetryPolicy{MaxElapsed: -1})
)

// A refresh is repeated only where that may help, and soon enough: nobody waits for an hour because
// the server asks for one.
func TestRefreshThatIsNotRepeated(t *testing.T) {
	inMemory(t, "a TLS error in the place of a dial")
	for name, tc := range map[string]struct {
		response reply
		retryAt  time.Duration // the least
	}{
		"not for an hour": {reply{status: 429, body: "{}", header: map[string]string{"Retry-After": "3600"}}, time.Hour},
		"certificate":     {reply{err: badCertificate, noConn: true}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := failingRefresh(tc.response)
				c := localClient(t, srv, authos.WithTokens(oldTokens), unlimited)
				start := time.Now()
				e := uncertainError(t, getUser(t, c))
				equal(t, "the call took", time.Since(start), 0)
				equal(t, "refreshes", srv.count(refreshPath), 1)
				if in := e.RetryAt.Sub(start); in < tc.retryAt || in > tc.retryAt+tc.retryAt/10+time.Second {
					t.Errorf("RetryAt in %v, want %v or little more", in, tc.retryAt)
				}
			})
		})
	}
}

// A call whose own deadline is before the refresh is tried again does not wait in vain, and its
// error says that the deadline was too near; where the client's own limit is, it does not.
func TestDeadlineBeforeTheRefreshIsRepeated(t *testing.T) {
	for _, byCaller := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			srv := failingRefresh(reply{status: 429, body: "{}", header: map[string]string{"Retry-After": "20"}})
			policy, ctx := authos.RetryPolicy{MaxElapsed: 10 * time.Second}, t.Context()
			if byCaller {
				policy.MaxElapsed = -1
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
			}
			c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRetry(policy))
			start := time.Now()
			_, err := c.User.Get(ctx)
			e := uncertainError(t, err)
			equal(t, "the call took", time.Since(start), 0)
			equal(t, "ErrRateLimited", errors.Is(err, authos.ErrRateLimited), true)
			equal(t, "DeadlineExceeded", errors.Is(err, context.DeadlineExceeded), byCaller)
			if in := e.RetryAt.Sub(start); in < 20*time.Second || in > 23*time.Second {
				t.Errorf("RetryAt in %v, want 20 s or little more", in)
			}
		})
	}
}

// What names the refresh's request is the program's code. Where it panics, that is told to whoever
// waited too, and nothing was sent.
func TestPanicBeforeARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &script{respond: func(seenRequest) reply { return reply{status: 401, body: deadTokenBody, took: time.Second} }}
		var ids atomic.Int32
		c := localClient(t, srv, authos.WithTokens(oldTokens), authos.WithRequestID(func(context.Context) string {
			if ids.Add(1) > 2 {
				panic("a bug of the program's")
			}
			return "id"
		}))
		var log strings.Builder
		c, err := c.With(authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		noError(t, "With", err)
		raised := make(chan any, 2)
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				defer func() { raised <- recover() }()
				errs <- getUser(t, c)
			}()
		}
		one, two := <-raised, <-raised
		if one == nil {
			one, two = two, one
		}
		equal(t, "raised in one of them", one, any("a bug of the program's"))
		equal(t, "raised in the other", two, nil)
		sessionUncertain(t, <-errs)
		synctest.Wait()
		equal(t, "refreshes", srv.count(refreshPath), 0)
		equal(t, "panics in the log", strings.Count(log.String(), "nobody waited"), 0) // it was raised
	})
}

// A hook that panics when nobody waits for the refresh any more has nobody to raise it in.
func TestPanicAfterARefreshThatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		var log strings.Builder
		c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, adaEmail)), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			authos.WithObserver(&authos.Observer{Refresh: func(authos.RefreshEvent) { panic("a bug of the hook's") }}))
		srv.ExpireAccessTokens()
		srv.Fault(authostest.Fault{Path: refreshPath, Delay: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.User.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v, want the deadline", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		equal(t, "panics in the log", strings.Count(log.String(), "panicked while nobody waited for it"), 1)
		noError(t, "Get afterwards", getUser(t, c))
	})
}

// A response says that its call was refreshed where it was, and not where the refresh ahead of
// expiry did not succeed.
func TestResponseOfALostRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithTokenLife(time.Hour, 24*time.Hour))
		c := localClient(t, srv.Transport(), authos.WithTokens(signInFor(srv, adaEmail)), authos.WithRefreshBefore(10*time.Minute))
		time.Sleep(51 * time.Minute)
		srv.Fault(authostest.Fault{Path: refreshPath, Times: 1, Kind: authostest.ResetBefore})
		for n, want := range []bool{false, true, false} {
			var resp authos.Response
			_, err := c.User.Get(t.Context(), authos.WithResponse(&resp))
			noError(t, "Get", err)
			equal(t, fmt.Sprintf("Refreshed of call %d", n), resp.Refreshed, want)
			equal(t, "refreshes", refreshCount(srv), min(n+1, 2))
			time.Sleep(time.Minute)
			if n == 0 {
				noError(t, "Get", getUser(t, c)) // the token is good, so the refresh token was not taken
				srv.ExpireAccessTokens()
			}
		}
	})
}

// Where a refresh would not help a call, the store is asked whether there are other tokens. If it
// cannot be read, what the server has said is what the call gets.
func TestRefusalBesideABrokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := failingRefresh(reply{})
		store := &testStore{tokens: authos.Tokens{AccessToken: "old"}}
		c := localClient(t, srv, authos.WithTokenStore(store))
		equal(t, "held", heldTokens(t, c), store.get())
		loads := store.loads
		store.onLoad = func() error { return errors.New("i/o timeout") }
		err := getUser(t, c)
		if api, ok := err.(*authos.APIError); !ok || api.StatusCode != 401 { //nolint:errorlint // others have the response in them, too
			t.Errorf("Get = %v, want the server's 401", err)
		}
		equal(t, "looks at the store", store.loads-loads, 1)
	})
}

// That tokens could not be saved is logged, and that they were after all: once.
func TestSavedAfterAllIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		var log strings.Builder
		store := &testStore{tokens: signIn(srv, adaEmail)}
		c := localClient(t, srv.Transport(), authos.WithTokenStore(store), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		var full atomic.Bool
		full.Store(true)
		store.onSave = func() error {
			if full.Load() {
				return errors.New("disk full")
			}
			return nil
		}
		srv.ExpireAccessTokens()
		noError(t, "Get", getUser(t, c))
		full.Store(false)
		time.Sleep(time.Hour)
		for range 3 {
			srv.ExpireAccessTokens()
			noError(t, "Get", getUser(t, c))
		}
		synctest.Wait()
		equal(t, "saved after all", strings.Count(log.String(), "saved after all"), 1)
		equal(t, "stored", store.get(), heldTokens(t, c))
	})
}

// Refreshes that the rate limit has held back do not all come in the moment in which it ends.
func TestRefreshesAreSpreadAfterTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		var group sync.WaitGroup
		start := time.Now()
		for n := range 20 { // programs of their own
			c := localClient(t, srv.Transport(), authos.WithTokens(signIn(srv, fmt.Sprintf("user%d@example.com", n))))
			srv.ExpireAccessTokens()
			raiseGate(t, srv, c, "10")
			group.Go(func() { noError(t, "Get", getUser(t, c)) })
		}
		group.Wait()
		at := map[time.Duration]bool{}
		for _, r := range srv.Requests() {
			if r.Route == refreshPath {
				in := r.Time.Sub(start)
				at[in] = true
				if in < 10*time.Second || in > 13*time.Second {
					t.Errorf("a refresh after %v, want 10 s and little more", in)
				}
			}
		}
		if len(at) < 10 {
			t.Errorf("20 refreshes at %d times, want them spread", len(at))
		}
	})
}

// Another program has put the same access token into the store without its refresh token: there is
// nothing to be presented any more.
func TestStoreLosesTheRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := failingRefresh(reply{status: 400, body: refusedBody})
		store := &testStore{tokens: oldTokens}
		c := localClient(t, srv, authos.WithTokenStore(store))
		equal(t, "held", heldTokens(t, c), oldTokens)
		store.put(authos.Tokens{AccessToken: oldTokens.AccessToken})
		err := getUser(t, c)
		if api, ok := err.(*authos.APIError); !ok || api.StatusCode != 401 { //nolint:errorlint // others have the response in them, too
			t.Errorf("Get = %v, want the server's 401", err)
		}
		equal(t, "refreshes", srv.count(refreshPath), 0)
	})
}
