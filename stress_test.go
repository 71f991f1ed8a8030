package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

// Everything on at once, over real sockets: sessions of several users, one of them in a file,
// refreshes, sign-ins and sign-outs, an API key, the stale fallback, the breaker, faults of every
// kind, clients that come and go, hooks, and programs that read what the client tells. Under the
// race detector it is a search for what no other test thinks of; here it checks that no call
// returns another user's data, that every error is one of ours, and that all of it ends.
func TestStress(t *testing.T) {
	const goroutines = 24
	last := 2 * time.Second
	if longTests {
		last = time.Minute
	}
	srv := authostest.New()
	defer srv.Close()
	var events atomic.Int64
	count := func(context.Context) { events.Add(1) }
	store, err := filestore.New(filepath.Join(t.TempDir(), "session", "tokens.json"))
	noError(t, "filestore.New", err)
	// Formatting the records is the point.
	logger := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})) //nolint:sloglint // see above
	base, err := authos.New(srv.URL, authos.WithCache(authos.CachePolicy{Patience: 50 * time.Millisecond}),
		authos.WithAPIKey(srv.AddAPIKey()), authos.WithLogger(logger),
		authos.WithRetry(authos.RetryPolicy{BaseDelay: time.Millisecond, MaxRetryAfter: 20 * time.Millisecond, AttemptTimeout: 200 * time.Millisecond}),
		authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: 20 * time.Millisecond}),
		authos.WithObserver(&authos.Observer{
			CallDone: func(ctx context.Context, e authos.CallDone) { _ = fmt.Sprint(e); count(ctx) },
			Attempt:  func(ctx context.Context, e authos.AttemptEvent) { _ = fmt.Sprint(e.Err); count(ctx) },
			Refresh:  func(authos.RefreshEvent) { events.Add(1) },
			Breaker:  func(authos.BreakerEvent) { events.Add(1) },
			Stale:    func(ctx context.Context, e authos.StaleEvent) { _ = e.Cause.Error(); count(ctx) },
		}))
	noError(t, "New", err)

	stop := time.Now().Add(last)
	var calls, crossed, foreign atomic.Int64
	check := func(email string, got *authos.User, err error) {
		calls.Add(1)
		if err == nil && got.Email != email {
			crossed.Add(1)
		}
		if err != nil && !ours(err) {
			foreign.Add(1)
			t.Errorf("an error that is none of ours: %T %v", err, err)
		}
	}
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			draw := rand.New(rand.NewPCG(1, uint64(i)))
			email := fmt.Sprintf("user%d@example.com", i%6)
			srv.AddUser(email, "correct horse")
			opts := []authos.Option{authos.WithTokens(tokensOf(srv, email))}
			if i%6 == 0 {
				opts = []authos.Option{authos.WithTokenStore(store), authos.WithTokens(tokensOf(srv, email))}
			}
			c, err := base.With(opts...)
			if err != nil {
				t.Error(err)
				return
			}
			for time.Now().Before(stop) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+draw.IntN(400))*time.Millisecond)
				var r authos.Response
				switch draw.IntN(12) {
				case 0:
					srv.ExpireAccessTokens()
				case 1:
					srv.Fault(authostest.Fault{Times: 3, Status: []int{429, 500, 503}[draw.IntN(3)], Header: http.Header{"Retry-After": {"0"}}})
				case 2:
					_, err := base.Service.Info(ctx, authos.WithResponse(&r))
					if err != nil && !ours(err) {
						t.Errorf("an error that is none of ours: %T %v", err, err)
					}
				case 3:
					_ = c.SetTokens(ctx, tokensOf(srv, email))
				case 4:
					if i%6 != 0 && draw.IntN(4) == 0 {
						_ = c.Auth.Logout(ctx)
						_ = c.SetTokens(t.Context(), tokensOf(srv, email))
					}
				case 5:
					other, err := c.With(authos.WithLanguage("es"))
					if err == nil {
						user, err := other.User.Get(ctx)
						check(email, user, err)
						_ = other.Close()
					}
				case 6:
					_ = fmt.Sprintf("%+v", c)
					_ = base.BreakerStates()
					_, _ = c.Tokens(ctx)
				default:
					user, err := c.User.Get(ctx, authos.WithResponse(&r))
					check(email, user, err)
					_ = fmt.Sprintf("%+v %v", r, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	noError(t, "Close", base.Close())
	if err := base.Do(t.Context(), "GET", "/api/user", nil, nil); !errors.Is(err, authos.ErrNetwork) {
		t.Errorf("a call after Close: %v", err)
	}
	t.Logf("%d calls, %d events", calls.Load(), events.Load())
	if crossed.Load() > 0 || calls.Load() < goroutines || events.Load() == 0 {
		t.Errorf("%d of %d calls returned another user's data; %d events", crossed.Load(), calls.Load(), events.Load())
	}
}

// tokensOf signs a user in at the fake server.
func tokensOf(srv *authostest.Server, email string) authos.Tokens {
	in := srv.SignIn(email)
	return authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}
}

// ours reports whether an error has one of the package's types.
func ours(err error) bool {
	_, api := errors.AsType[*authos.APIError](err)
	_, network := errors.AsType[*authos.NetworkError](err)
	_, session := errors.AsType[*authos.SessionError](err)
	_, circuit := errors.AsType[*authos.CircuitOpenError](err)
	_, limit := errors.AsType[*authos.RateLimitError](err)
	_, invalid := errors.AsType[*authos.ValidationError](err)
	_, decode := errors.AsType[*authos.DecodeError](err)
	return api || network || session || circuit || limit || invalid || decode
}
