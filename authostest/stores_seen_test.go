package authostest_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// mapSeen does all that a store of handled deliveries must; the functions replace parts of it.
type mapSeen struct {
	mu      sync.Mutex
	records map[string]time.Time

	life     func(time.Duration) time.Duration
	name     func(id string) string         // under which an id is kept
	match    func(recorded, id string) bool // besides being the same
	first    bool                           // the first record of an id stays
	pretends bool                           // returns nil for a canceled call that did nothing
	err      error
	hangs    bool
	panics   bool
}

func (m *mapSeen) call() error {
	if m.hangs {
		time.Sleep(time.Minute)
	}
	if m.panics {
		panic("boom")
	}
	return m.err
}

func (m *mapSeen) Seen(ctx context.Context, id string) (bool, error) {
	if m.pretends && ctx.Err() != nil {
		return false, nil
	}
	if err := errors.Join(ctx.Err(), m.call()); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for recorded, until := range m.records {
		if (recorded == m.key(id) || m.match != nil && m.match(recorded, id)) && time.Now().Before(until) {
			return true, nil
		}
	}
	return false, nil
}

func (m *mapSeen) Record(ctx context.Context, id string, ttl time.Duration) error {
	if m.pretends && ctx.Err() != nil {
		return nil
	}
	if err := errors.Join(ctx.Err(), m.call()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = map[string]time.Time{}
	}
	if m.life != nil {
		ttl = m.life(ttl)
	}
	if _, ok := m.records[m.key(id)]; !ok || !m.first {
		m.records[m.key(id)] = time.Now().Add(ttl)
	}
	return nil
}

func (m *mapSeen) key(id string) string {
	if m.name != nil {
		return m.name(id)
	}
	return id
}

func TestGoodSeenStores(t *testing.T) {
	for name, open := range map[string]func() (webhook.SeenStore, error){
		"a map":  func() (webhook.SeenStore, error) { return &mapSeen{}, nil },
		"memory": func() (webhook.SeenStore, error) { return &webhook.MemorySeen{}, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := authostest.TestSeen(open); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		shared := &mapSeen{}
		open := func() (webhook.SeenStore, error) { return shared, nil }
		for range 2 { // the second finds what the first has left
			if err := authostest.TestSeen(open, authostest.Persistent()); err != nil {
				t.Errorf("persistent: %v", err)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestBrokenSeenStores(t *testing.T) {
	for _, tc := range []struct {
		name  string
		store *mapSeen
		want  string
	}{
		{"fails", &mapSeen{err: errors.New("disk on fire")}, "Record: disk on fire"},
		{"hangs", &mapSeen{hangs: true}, "within 10s"},
		{"panics", &mapSeen{panics: true}, "panic: boom"},
		{"remembers nothing", &mapSeen{life: func(time.Duration) time.Duration { return 0 }}, "an id as the package makes them: it is forgotten"},
		{"remembers for ever", &mapSeen{life: func(time.Duration) time.Duration { return time.Hour }}, "an id recorded for 2s still counts as seen"},
		{"counts whole seconds", &mapSeen{life: func(d time.Duration) time.Duration {
			if d = d.Truncate(time.Second); d == 0 {
				return time.Hour // no expiry
			}
			return d
		}}, "an id recorded for 20ms still counts as seen"},
		{"remembers too short", &mapSeen{life: func(d time.Duration) time.Duration { return d / 60 }}, "after a quarter of that: it is forgotten"},
		{"does not prolong", &mapSeen{first: true}, "an id that was recorded anew for longer: it is forgotten"},
		{"ignores case", &mapSeen{name: strings.ToLower}, "an id in lower case, recorded: another one: it counts as seen"},
		{"cuts ids", &mapSeen{name: func(id string) string { return id[:min(len(id), 64)] }}, "it counts as seen"},
		{"takes ids for paths", &mapSeen{name: path.Clean}, "it counts as seen"},
		{"takes ids for patterns", &mapSeen{match: func(recorded, id string) bool {
			ok, err := path.Match(recorded, id)
			return ok && err == nil
		}}, "an id like a pattern, recorded: another one: it counts as seen"},
		{"pretends", &mapSeen{pretends: true}, "Record with a canceled context returned no error and did not record"},
		{"pretends to look", &mapSeen{pretends: true}, "Seen with a canceled context returned no error and forgot"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := authostest.TestSeen(func() (webhook.SeenStore, error) { return tc.store, nil })
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("TestSeen = %v, want %q in it", err, tc.want)
				}
				time.Sleep(time.Hour) // calls that hang do so for a minute
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		apart := func() (webhook.SeenStore, error) { return &mapSeen{}, nil }
		if err := authostest.TestSeen(apart, authostest.Persistent()); err == nil || !strings.Contains(err.Error(), "recorded by another store: it is forgotten") {
			t.Errorf("TestSeen = %v of two stores that share nothing", err)
		}
	})
	if err := authostest.TestSeen(func() (webhook.SeenStore, error) { return nil, errors.New("no such host") }); err == nil || err.Error() != "open: no such host" {
		t.Errorf("TestSeen = %v", err)
	}
}
