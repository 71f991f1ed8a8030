package authostest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	authoswebhook "github.com/authos-go/authos/webhook"
)

// TestSeen checks that a store of handled webhook deliveries does what a [authoswebhook.Handler]
// relies on. It returns everything that it found wrong, joined. The ids it records begin with
// "authostest-" and live for a minute at most. Since records have to expire, a run takes a second
// or more.
func TestSeen(open func() (authoswebhook.SeenStore, error), opts ...StoreOption) error {
	s := newSuite(opts)
	store, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	run := strconv.FormatInt(time.Now().UnixNano(), 36) // records of an earlier run may be there
	t := seenSuite{s, context.Background(), "authostest-" + run + "-"}
	t.remembers(store)
	t.expires(store)
	t.survivesCancel(store)
	t.concurrent(store)
	if s.crash != nil {
		t.crashes(store)
	}
	if s.persistent {
		if second, err := open(); !s.broken("opening a second time", err) {
			t.record(store, t.prefix+"shared", time.Minute)
			t.seen("recorded by another store", second, t.prefix+"shared", true)
			t.record(second, t.prefix+"back", time.Minute)
			t.seen("recorded by a second store", store, t.prefix+"back", true)
		}
	}
	return s.result()
}

type seenSuite struct {
	*suite

	ctx    context.Context
	prefix string
}

func (t seenSuite) record(store authoswebhook.SeenStore, id string, ttl time.Duration) {
	t.broken("Record", t.returns(func() error { return store.Record(t.ctx, id, ttl) }))
}

func (t seenSuite) seenWith(ctx context.Context, store authoswebhook.SeenStore, id string) (bool, error) {
	got := make(chan bool, 1)
	err := t.returns(func() error {
		seen, err := store.Seen(ctx, id)
		got <- seen
		return err
	})
	if err != nil {
		return false, err
	}
	return <-got, nil
}

func (t seenSuite) seen(what string, store authoswebhook.SeenStore, id string, want bool) {
	got, err := t.seenWith(t.ctx, store, id)
	if !t.broken(what+": Seen", err) && got != want {
		t.failf("%s: Seen = %v, want %v", what, got, want)
	}
}

func (t seenSuite) remembers(store authoswebhook.SeenStore) {
	t.seen("an id that was never recorded", store, t.prefix+"never", false)
	// Ids that a store may take for the same, or for a path or a pattern.
	ids := []string{
		"a", "A", "a ", "a/b", "a/../b", "b", "*", "%", "a%", "é", "e\u0301", strings.Repeat("x", 300), strings.Repeat("x", 299) + "y",
	}
	for _, id := range ids {
		t.seen(fmt.Sprintf("%.20q before it was recorded", id), store, t.prefix+id, false)
		t.record(store, t.prefix+id, time.Minute)
		t.seen(fmt.Sprintf("%.20q", id), store, t.prefix+id, true)
	}
	t.record(store, t.prefix+"a", time.Minute) // it may be there already
	t.seen("an id recorded twice", store, t.prefix+"a", true)
}

func (t seenSuite) expires(store authoswebhook.SeenStore) {
	const moment = 300 * time.Millisecond
	t.record(store, t.prefix+"moment", moment)
	t.record(store, t.prefix+"extended", moment)
	t.record(store, t.prefix+"extended", time.Minute)
	t.seen("within its time", store, t.prefix+"moment", true)
	deadline := time.Now().Add(moment + expirySlack)
	for {
		time.Sleep(moment / 3)
		seen, err := t.seenWith(t.ctx, store, t.prefix+"moment")
		if err != nil || !seen {
			break
		}
		if time.Now().After(deadline) {
			t.failf("a record with a time to live of %v is still there after %v", moment, moment+expirySlack)
			break
		}
	}
	t.seen("recorded anew with a longer life", store, t.prefix+"extended", true)
}

// survivesCancel allows a store to ignore a context that is done, or to fail; it must not pretend.
func (t seenSuite) survivesCancel(store authoswebhook.SeenStore) {
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	id := t.prefix + "canceled"
	if err := t.returns(func() error { return store.Record(ctx, id, time.Minute) }); err == nil {
		t.seen("recorded with a canceled context, without an error", store, id, true)
	}
	if seen, err := t.seenWith(ctx, store, t.prefix+"never"); err == nil && seen {
		t.failf("Seen with a canceled context reports what was never recorded")
	}
}

// concurrent records from many goroutines: none is lost.
func (t seenSuite) concurrent(store authoswebhook.SeenStore) {
	const workers, each = 4, 25
	id := func(worker, n int) string { return fmt.Sprintf("%s%d-%d", t.prefix, worker, n) }
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := range each {
				t.record(store, id(worker, n), time.Minute)
				t.record(store, t.prefix+"common", time.Minute)
			}
		})
	}
	group.Wait()
	for worker := range workers {
		for n := range each {
			t.seen("recorded while others recorded", store, id(worker, n), true)
		}
	}
	t.seen("recorded by several at once", store, t.prefix+"common", true)
}
