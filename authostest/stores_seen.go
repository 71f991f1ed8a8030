package authostest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	hooks "github.com/authos-go/authos/webhook" // the package has a type of that name
)

// TestSeen checks that a store of handled webhook deliveries does what a
// [webhook.Verifier] relies on. It returns everything that it found wrong, joined.
// Its ids begin with "authostest/" and are recorded for a minute at most. Since
// records have to end, a run takes two seconds or three.
func TestSeen(open func() (hooks.SeenStore, error), opts ...StoreOption) error {
	s := newSuite(opts)
	store, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	// The store may hold what an earlier run has recorded.
	c := seenSuite{s, context.Background(), seenRoot + strconv.FormatInt(time.Now().UnixNano(), 36) + "/"}
	c.keeps(store)
	c.expires(store)
	c.survivesCancel(store)
	c.concurrent(store)
	if s.persistent {
		if second, err := open(); !s.broken("opening a second time", err) {
			c.record(store, "shared", time.Minute)
			c.holds("recorded by another store", second, "shared")
			c.record(second, "shared back", time.Minute)
			c.holds("recorded by a second store", store, "shared back")
		}
	}
	return s.result()
}

const seenRoot = "authostest/"

type seenSuite struct {
	*suite

	ctx  context.Context
	root string
}

func (c seenSuite) recordWith(ctx context.Context, store hooks.SeenStore, id string, ttl time.Duration) error {
	return c.returns(func() error { return store.Record(ctx, c.root+id, ttl) })
}

func (c seenSuite) record(store hooks.SeenStore, id string, ttl time.Duration) {
	c.broken("Record", c.recordWith(c.ctx, store, id, ttl))
}

func (c seenSuite) seenWith(ctx context.Context, store hooks.SeenStore, id string) (bool, error) {
	got := make(chan bool, 1)
	err := c.returns(func() error {
		seen, err := store.Seen(ctx, c.root+id)
		got <- seen
		return err
	})
	if err != nil {
		return false, err
	}
	return <-got, nil
}

func (c seenSuite) holds(what string, store hooks.SeenStore, id string) {
	seen, err := c.seenWith(c.ctx, store, id)
	switch {
	case err != nil:
		c.failf("%s: Seen: %w", what, err)
	case !seen:
		c.failf("%s: it is forgotten", what)
	}
}

func (c seenSuite) lacks(what string, store hooks.SeenStore, id string) {
	seen, err := c.seenWith(c.ctx, store, id)
	switch {
	case err != nil:
		c.failf("%s: Seen: %w, want false", what, err)
	case seen:
		c.failf("%s: it counts as seen", what)
	}
}

// keeps tells ids apart that are alike to a store that takes them for patterns,
// paths or text without case.
func (c seenSuite) keeps(store hooks.SeenStore) {
	c.lacks("an id that was never recorded", store, "never")
	hexadecimal := strings.Repeat("0123456789abcdef", 4)
	for _, tc := range []struct{ name, id, other string }{
		{"an id as the package makes them", hexadecimal, hexadecimal[:63] + "e"},
		{"an id in lower case", "abc", "ABC"},
		{"an id and a longer one", "id", "id2"},
		{"an id and a shorter one", "id/long", "id/lon"},
		{"an id like a pattern", "p*", "pq"},
		{"an id like another pattern", "a_c", "abc-"},
		{"an id like a path", "a/../up", "up"},
		{"an odd id", "a b%20\\\"'é\n", "a b"},
		{"a long id", strings.Repeat("long", 1000), strings.Repeat("long", 999)},
	} {
		c.lacks(tc.name+", before it is recorded", store, tc.id)
		c.record(store, tc.id, time.Minute)
		c.holds(tc.name, store, tc.id)
		c.lacks(tc.name+", recorded: another one", store, tc.other)
	}
	c.record(store, "abc", time.Minute)
	c.holds("an id recorded twice", store, "abc")
}

// expires checks that a time to live is neither ignored nor rounded to nothing or
// for ever.
func (c seenSuite) expires(store hooks.SeenStore) {
	const long = 2 * time.Second
	left := map[string]time.Duration{"seconds": long, "moment": 20 * time.Millisecond}
	c.record(store, "extended", 20*time.Millisecond)
	c.record(store, "extended", time.Minute)
	for id, ttl := range left {
		c.record(store, id, ttl)
	}
	time.Sleep(long / 4)
	c.holds(fmt.Sprintf("an id recorded for %v, after a quarter of that", long), store, "seconds")
	deadline := time.Now().Add(long + expirySlack)
	for len(left) > 0 && time.Now().Before(deadline) {
		for id := range left {
			if seen, err := c.seenWith(c.ctx, store, id); err != nil || !seen {
				delete(left, id)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	for id, ttl := range left {
		c.failf("an id recorded for %v still counts as seen after %v (%s)", ttl, long+expirySlack, id)
	}
	c.holds("an id that was recorded anew for longer", store, "extended")
	c.record(store, "moment", time.Minute)
	c.holds("an id that was recorded after its time was over", store, "moment")
}

// survivesCancel allows a store to ignore a context that is done, or to fail.
func (c seenSuite) survivesCancel(store hooks.SeenStore) {
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	c.record(store, "canceled", time.Minute)
	if seen, err := c.seenWith(ctx, store, "canceled"); err == nil && !seen {
		c.failf("Seen with a canceled context returned no error and forgot")
	}
	err := c.recordWith(ctx, store, "canceled too", time.Minute)
	if seen, seenErr := c.seenWith(c.ctx, store, "canceled too"); err == nil && seenErr == nil && !seen {
		c.failf("Record with a canceled context returned no error and did not record")
	}
}

// concurrent records and looks up at the same time: what was recorded before a
// lookup began is seen.
func (c seenSuite) concurrent(store hooks.SeenStore) {
	var group sync.WaitGroup
	var once sync.Once
	for worker := range 4 {
		for _, own := range []string{strconv.Itoa(worker), "all"} {
			group.Go(func() {
				for n := range 25 {
					id := own + "/" + strconv.Itoa(n)
					c.record(store, id, time.Minute)
					seen, err := c.seenWith(c.ctx, store, id)
					switch {
					case err != nil:
						once.Do(func() { c.failf("Seen while others record: %w", err) })
					case !seen:
						once.Do(func() { c.failf("recorded while others record: it is forgotten") })
					}
					time.Sleep(time.Microsecond) // or the clock of a synctest bubble would stand still
				}
			})
		}
	}
	group.Wait()
}
