//go:build go1.27

package authos_test

import (
	"context"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// Go 1.27 knows which goroutines can never go on, because nothing that runs can reach what they
// wait for. Calls that end in every way leave none of them: good ones, refreshes, callers that give
// up, attempts that are left behind, clients that are closed or just dropped.
func TestNoGoroutineIsStuckForever(t *testing.T) {
	before := stuckGoroutines(t, nil) // other tests' own
	srv := authostest.New()
	defer srv.Close()
	base, err := authos.New(srv.URL, authos.WithCache(authos.CachePolicy{Patience: time.Millisecond}), authos.WithAPIKey(srv.AddAPIKey()),
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2, BaseDelay: time.Millisecond, AttemptTimeout: 50 * time.Millisecond}))
	noError(t, "New", err)
	faults := []authostest.Fault{
		{}, {Kind: authostest.Hang}, {Kind: authostest.HangAfter}, {Kind: authostest.ResetBefore}, {Kind: authostest.ResetAfter},
		{Kind: authostest.TruncateBody}, {Kind: authostest.CloseUnread}, {Status: 503},
	}
	for _, fault := range faults {
		srv.AddUser("ada@example.com", "correct horse")
		c, err := base.With(authos.WithTokens(tokensOf(srv, "ada@example.com")))
		noError(t, "With", err)
		if fault.Kind != authostest.NoFault || fault.Status != 0 {
			fault.Times = 1
			srv.Fault(fault)
		}
		srv.ExpireAccessTokens()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, _ = c.User.Get(ctx) // gives up where the server hangs
		cancel()
		_, _ = c.User.Get(t.Context())
		_, _ = base.Service.Info(t.Context())
	}
	noError(t, "Close", base.Close())
	if stuck := stuckGoroutines(t, before); len(stuck) > 0 {
		t.Errorf("goroutines that can never go on:\n%s", strings.Join(stuck, "\n\n"))
	}

	started := make(chan struct{})
	go func() {
		close(started)
		<-make(chan int)
	}()
	<-started
	for range 100 { // it may not have come to its channel
		if len(stuckGoroutines(t, before)) > 0 {
			return
		}
	}
	t.Error("a goroutine that waits for a channel of its own was not found, so that this test says nothing")
}

// stuckGoroutines returns the stacks of the profile that were not in it before.
func stuckGoroutines(t *testing.T, before []string) []string {
	t.Helper()
	var out strings.Builder
	noError(t, "the profile", pprof.Lookup("goroutineleak").WriteTo(&out, 1))
	_, stacks, _ := strings.Cut(out.String(), "\n") // the first line has their number
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(stacks), "\n\n"), func(s string) bool {
		return s == "" || slices.Contains(before, s)
	})
}
