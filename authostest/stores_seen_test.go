package authostest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// seenHooks replaces some methods of a good store.
type seenHooks struct {
	*webhook.MemorySeen

	seen   func(ctx context.Context, m *webhook.MemorySeen, id string) (bool, error)
	record func(ctx context.Context, m *webhook.MemorySeen, id string, ttl time.Duration) error
}

func (s seenHooks) Seen(ctx context.Context, id string) (bool, error) {
	if s.seen != nil {
		return s.seen(ctx, s.MemorySeen, id)
	}
	return s.MemorySeen.Seen(ctx, id)
}

func (s seenHooks) Record(ctx context.Context, id string, ttl time.Duration) error {
	if s.record != nil {
		return s.record(ctx, s.MemorySeen, id, ttl)
	}
	return s.MemorySeen.Record(ctx, id, ttl)
}

func TestSeenStores(t *testing.T) {
	renamed := func(change func(string) string) seenHooks {
		return seenHooks{
			seen: func(ctx context.Context, m *webhook.MemorySeen, id string) (bool, error) {
				return m.Seen(ctx, change(id))
			},
			record: func(ctx context.Context, m *webhook.MemorySeen, id string, ttl time.Duration) error {
				return m.Record(ctx, change(id), ttl)
			},
		}
	}
	for name, tc := range map[string]struct {
		store    seenHooks
		separate bool   // each store has records of its own
		want     string // empty: it is good
	}{
		"good":         {},
		"ignores case": {store: renamed(strings.ToLower), want: `"A" before it was recorded: Seen = true`},
		"trims":        {store: renamed(strings.TrimSpace), want: `"a " before it was recorded: Seen = true`},
		"cuts":         {store: renamed(func(id string) string { return id[:min(len(id), 255)] }), want: "before it was recorded: Seen = true"},
		"forgets":      {store: seenHooks{record: func(context.Context, *webhook.MemorySeen, string, time.Duration) error { return nil }}, want: "Seen = false"},
		"says yes":     {store: seenHooks{seen: func(context.Context, *webhook.MemorySeen, string) (bool, error) { return true, nil }}, want: "never recorded: Seen = true"},
		"keeps for ever": {store: seenHooks{record: func(ctx context.Context, m *webhook.MemorySeen, id string, _ time.Duration) error {
			return m.Record(ctx, id, time.Hour)
		}}, want: "is still there after"},
		"keeps for a moment": {store: seenHooks{record: func(ctx context.Context, m *webhook.MemorySeen, id string, _ time.Duration) error {
			return m.Record(ctx, id, -1)
		}}, want: "Seen = false"},
		"pretends": {store: seenHooks{record: func(ctx context.Context, m *webhook.MemorySeen, id string, ttl time.Duration) error {
			if canceled(ctx) {
				return nil
			}
			return m.Record(ctx, id, ttl)
		}}, want: "recorded with a canceled context, without an error: Seen = false"},
		"hangs": {store: seenHooks{seen: func(context.Context, *webhook.MemorySeen, string) (bool, error) {
			time.Sleep(time.Minute)
			return false, nil
		}}, want: "did not return within 10s"},
		"does not share": {separate: true, want: "recorded by another store: Seen = false"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := &webhook.MemorySeen{}
				err := authostest.TestSeen(func() (webhook.SeenStore, error) {
					store := tc.store
					if store.MemorySeen = shared; tc.separate {
						store.MemorySeen = &webhook.MemorySeen{}
					}
					return store, nil
				}, authostest.Persistent())
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("TestSeen = %v, want %q in it", err, tc.want)
				}
				time.Sleep(time.Hour)
			})
		})
	}
	broken := errors.New("no such place")
	if err := authostest.TestSeen(func() (webhook.SeenStore, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("TestSeen = %v, want %v", err, broken)
	}
}
