package authostest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos"
)

// A StoreOption tells an acceptance suite more about a store.
type StoreOption func(*suite)

// Persistent says that every store that open returns keeps its data in the same
// place, so that a second one must see what a first one wrote, at once. A token
// store that can lock is taken to be persistent without being told.
func Persistent() StoreOption {
	return func(s *suite) { s.persistent = true }
}

// LockEnds says how soon the lock of a token store is given away after its holder has died, or has
// given it up in doubt ([authos.TokenStoreAcquirer]): 45 s in production, less where a test can
// set it. With it the suite waits for that, and holds a lock for longer than that.
func LockEnds(after time.Duration) StoreOption {
	return func(s *suite) { s.lockEnds = after }
}

// The patience of the suites, which run on the caller's clock.
const (
	storePatience = 10 * time.Second       // with a call that should just return
	lockPatience  = 200 * time.Millisecond // how long a lock that is held is waited for
	expirySlack   = 3 * time.Second        // how long after its time an entry may still be there
)

// suite collects what is wrong.
type suite struct {
	persistent bool
	lockEnds   time.Duration // 0: not told
	crash      func() error  // nil: not told
	mu         sync.Mutex
	errs       []error
	hung       bool // a call did not return: nothing more is tried
}

func newSuite(opts []StoreOption) *suite {
	s := &suite{}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

func (s *suite) failf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, errGaveUp) {
		s.errs = append(s.errs, err)
	}
}

// broken reports a call that failed, and whether it did.
func (s *suite) broken(what string, err error) bool {
	if err != nil {
		s.failf("%s: %w", what, err)
	}
	return err != nil
}

// errGaveUp stands for the calls that were not made, after one that did not return.
var errGaveUp = errors.New("gave up")

func (s *suite) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.errs) > 0
}

func (s *suite) result() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// returns runs f, and gives up when it hangs: f's goroutine is left behind.
func (s *suite) returns(f func() error) error { return s.returnsWithin(storePatience, f) }

func (s *suite) returnsWithin(patience time.Duration, f func() error) error {
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	if hung {
		return errGaveUp
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- f()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hung = true
		return fmt.Errorf("did not return within %v", patience)
	}
}

// TestTokenStore checks that a token store does what the client relies on, locking
// included where the store is a [authos.LockingTokenStore]. It returns everything
// that it found wrong, joined. open is called several times; what the stores hold
// is deleted. With stores of the outside world a run takes about a second.
func TestTokenStore(open func() (authos.TokenStore, error), opts ...StoreOption) error {
	s := newSuite(opts)
	first, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	t := tokenSuite{suite: s, ctx: context.Background(), open: open}
	t.keeps(first)
	t.givesWhatItTook(first)
	t.survivesCancel(first)
	t.concurrent(first)
	if s.crash != nil {
		t.crashes(first)
	}
	_, locks := first.(authos.LockingTokenStore)
	if s.persistent || locks {
		if second, err := open(); !s.broken("opening a second time", err) {
			t.shares(first, second)
			t.locks(first, second)
		}
	}
	s.broken("Delete", t.delete(first))
	return s.result()
}

type tokenSuite struct {
	*suite

	ctx  context.Context
	open func() (authos.TokenStore, error)
}

func (t tokenSuite) save(store authos.TokenStore, tokens authos.Tokens) error {
	return t.returns(func() error { return store.Save(t.ctx, tokens) })
}

func (t tokenSuite) delete(store authos.TokenStore) error {
	return t.returns(func() error { return store.Delete(t.ctx) })
}

func (t tokenSuite) load(store authos.TokenStore) (authos.Tokens, error) {
	return t.loadWith(t.ctx, store)
}

func (t tokenSuite) loadWith(ctx context.Context, store authos.TokenStore) (authos.Tokens, error) {
	got := make(chan authos.Tokens, 1)
	err := t.returns(func() error {
		tokens, err := store.Load(ctx)
		got <- tokens
		return err
	})
	if err != nil {
		return authos.Tokens{}, err
	}
	return <-got, nil
}

// differ says in what two tokens differ, without showing them.
func differ(got, want authos.Tokens) string {
	var parts []string
	if got.AccessToken != want.AccessToken {
		parts = append(parts, "the access token differs")
	}
	if got.RefreshToken != want.RefreshToken {
		parts = append(parts, "the refresh token differs")
	}
	if got.Origin != want.Origin {
		parts = append(parts, "the origin differs")
	}
	switch {
	case want.ExpiresAt.IsZero() != got.ExpiresAt.IsZero():
		parts = append(parts, fmt.Sprintf("ExpiresAt is %v, want %v", got.ExpiresAt, want.ExpiresAt))
	case got.ExpiresAt.Sub(want.ExpiresAt).Abs() >= time.Second:
		parts = append(parts, fmt.Sprintf("ExpiresAt is %v, want %v to the second", got.ExpiresAt, want.ExpiresAt))
	}
	return strings.Join(parts, ", ")
}

// sameTokens leaves the expiry out: how that is kept is a question of its own.
func sameTokens(a, b authos.Tokens) bool {
	return a.AccessToken == b.AccessToken && a.RefreshToken == b.RefreshToken
}

// holds checks what a store gives back.
func (t tokenSuite) holds(what string, store authos.TokenStore, want authos.Tokens) {
	got, err := t.load(store)
	if t.broken(what+": Load", err) {
		return
	}
	if wrong := differ(got, want); wrong != "" {
		t.failf("%s: %s", what, wrong)
	}
}

func pair(n int) authos.Tokens {
	return authos.Tokens{AccessToken: "access-" + strconv.Itoa(n), RefreshToken: "refresh-" + strconv.Itoa(n)}
}

func (t tokenSuite) keeps(store authos.TokenStore) {
	t.broken("Delete before anything was saved", t.delete(store))
	t.holds("empty store", store, authos.Tokens{})
	now := time.Now()
	for _, tc := range []struct {
		name   string
		tokens authos.Tokens
	}{
		{"whole", authos.Tokens{AccessToken: "access", RefreshToken: "refresh", ExpiresAt: now.Add(time.Hour)}},
		{"origin", authos.Tokens{AccessToken: "a", RefreshToken: "r", Origin: "https://sso.example.com"}},
		{"no expiry", pair(1)},
		{"no refresh token", authos.Tokens{AccessToken: "alone", ExpiresAt: now.Truncate(time.Second)}},
		{"no access token", authos.Tokens{RefreshToken: "alone"}},
		{"fraction of a second", authos.Tokens{AccessToken: "a", RefreshToken: "r", ExpiresAt: now.Truncate(time.Second).Add(999_999_999)}},
		{"another zone", authos.Tokens{AccessToken: "a", ExpiresAt: now.In(time.FixedZone("", 5*3600+1800))}},
		{"far future", authos.Tokens{AccessToken: "a", ExpiresAt: time.Date(2150, 1, 2, 3, 4, 5, 0, time.UTC)}},
		{"past", authos.Tokens{AccessToken: "a", ExpiresAt: time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC)}},
		{"long and odd", authos.Tokens{AccessToken: strings.Repeat("eyJ.-_~+/=", 1000), RefreshToken: `"\'%s{}<>&;$()*?[]|`}},
	} {
		if t.broken(tc.name+": Save", t.save(store, tc.tokens)) {
			continue
		}
		t.holds(tc.name, store, tc.tokens)
		t.holds(tc.name+", loaded again", store, tc.tokens)
	}
	t.broken("Delete", t.delete(store))
	t.holds("after Delete", store, authos.Tokens{})
	t.broken("Delete of what is gone", t.delete(store))
	t.broken("Save after Delete", t.save(store, pair(2)))
	t.holds("saved after Delete", store, pair(2))
}

// givesWhatItTook saves what a store may refuse. What it does not refuse it must give back, and
// what it refuses must leave the old tokens.
func (t tokenSuite) givesWhatItTook(store authos.TokenStore) {
	for name, odd := range map[string]authos.Tokens{
		"100 KiB":               {AccessToken: strings.Repeat("a", 100<<10), RefreshToken: "r"},
		"5 MiB":                 {AccessToken: strings.Repeat("a", 5<<20), RefreshToken: "r"},
		"text that is no UTF-8": {AccessToken: "a\xff", RefreshToken: "r\xfe"},
		"control characters":    {AccessToken: "a\x00\r\n", RefreshToken: "r\u2028"},
		"year 20000":            {AccessToken: "a", RefreshToken: "r", ExpiresAt: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"nothing":               {},
	} {
		if t.save(store, pair(9)) != nil {
			return // reported by keeps
		}
		want := odd
		if t.save(store, odd) != nil {
			want = pair(9)
		}
		t.holds(name, store, want)
	}
}

// survivesCancel allows a store to ignore a context that is done, or to fail; it
// must not pretend.
func (t tokenSuite) survivesCancel(store authos.TokenStore) {
	if t.save(store, pair(3)) != nil {
		return // reported by keeps
	}
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	if got, err := t.loadWith(ctx, store); err == nil && !sameTokens(got, pair(3)) {
		t.failf("Load with a canceled context returned no error and not what was saved")
	}
	want := pair(4)
	err := t.returns(func() error { return store.Save(ctx, want) })
	got, loadErr := t.load(store)
	switch {
	case loadErr != nil:
		t.failf("Load after a canceled Save: %w", loadErr)
	case err == nil && !sameTokens(got, want):
		t.failf("Save with a canceled context returned no error and did not save")
	case !sameTokens(got, want) && !sameTokens(got, pair(3)):
		t.failf("a canceled Save left neither the old tokens nor the new")
	}
	err = t.returns(func() error { return store.Delete(ctx) })
	if got, loadErr := t.load(store); err == nil && loadErr == nil && !sameTokens(got, authos.Tokens{}) {
		t.failf("Delete with a canceled context returned no error and did not delete")
	}
}

// concurrent reads while one goroutine writes: what is loaded must have been saved
// in one piece.
func (t tokenSuite) concurrent(store authos.TokenStore) {
	if t.save(store, pair(0)) != nil {
		return
	}
	var group sync.WaitGroup
	var done atomic.Bool
	var torn, failed sync.Once
	for range 4 {
		group.Go(func() {
			for !done.Load() {
				got, err := t.load(store)
				if err != nil {
					failed.Do(func() { t.failf("Load during a Save: %w", err) })
					return
				}
				if n := strings.TrimPrefix(got.AccessToken, "access-"); n == "" || got.RefreshToken != "refresh-"+n {
					torn.Do(func() { t.failf("Load during a Save gave tokens that were never saved together") })
				}
				time.Sleep(time.Microsecond) // or the clock of a synctest bubble would stand still
			}
		})
	}
	for n := range 50 {
		if t.broken("Save during Loads", t.save(store, pair(n))) {
			break
		}
	}
	done.Store(true)
	group.Wait()
}

// shares checks that two stores on the same data keep no copies of it.
func (t tokenSuite) shares(a, b authos.TokenStore) {
	if t.broken("Save", t.save(a, pair(5))) {
		return
	}
	t.holds("saved by another store", b, pair(5))
	t.broken("Save by a second store", t.save(b, pair(6)))
	t.holds("saved by a second store", a, pair(6))
	t.broken("Delete by a second store", t.delete(b))
	t.holds("deleted by a second store", a, authos.Tokens{})
	t.broken("Save", t.save(a, pair(7)))
	if third, err := t.open(); !t.broken("opening a third time", err) {
		t.holds("a store opened later", third, pair(7))
	}
}

// locks checks the lock, where the stores have one.
func (t tokenSuite) locks(first, second authos.TokenStore) {
	a, ok := first.(authos.LockingTokenStore)
	b, ok2 := second.(authos.LockingTokenStore)
	if !ok || !ok2 {
		return
	}
	unlock, err := t.lock(a, storePatience)
	if t.broken("Lock", err) {
		return
	}
	t.refused("a lock that another store holds", b)
	t.refused("a lock that the store itself holds", a)
	t.broken("Save under the lock", t.save(a, pair(8)))
	t.holds("saved under the lock", a, pair(8))
	t.holds("saved by another store under its lock", b, pair(8))
	t.unlock("unlock", unlock)
	next, err := t.lock(b, storePatience)
	if t.broken("Lock after the lock was released", err) {
		return
	}
	t.unlock("releasing a lock twice", unlock)
	t.refused("a lock whose former holder released it twice", a)
	t.unlock("unlock by another goroutine", next)
	t.unlock("releasing a lock twice", next)
	t.excludes(a, b)
	if first, ok := a.(authos.TokenStoreAcquirer); ok {
		if second, ok := b.(authos.TokenStoreAcquirer); ok {
			t.acquires(first, second)
		}
	}
}

// unlock releases a lock, in a goroutine of its own: the client does so from any.
func (t tokenSuite) unlock(what string, unlock func()) {
	t.broken(what, t.returns(func() error { unlock(); return nil }))
}

// acquires checks what an [authos.TokenStoreAcquirer] tells, and that a lock given up in doubt is
// kept from others for a while.
func (t tokenSuite) acquires(a, b authos.TokenStoreAcquirer) {
	acquire := func(what string, store authos.TokenStoreAcquirer, wantClean bool) (release func(clean bool)) {
		patience := storePatience/2 + 2*t.lockEnds
		ctx, cancel := context.WithTimeout(t.ctx, patience)
		defer cancel()
		got := make(chan func(bool), 1)
		err := t.returnsWithin(patience+storePatience, func() error {
			release, clean, err := store.Acquire(ctx)
			if err == nil && release == nil {
				err = errors.New("neither an error nor a way to release the lock")
			}
			if err == nil && clean != wantClean {
				t.failf("%s: Acquire reports %v for whether the last holder released the lock, want %v", what, clean, wantClean)
			}
			got <- release
			return err
		})
		if t.broken(what+": Acquire", err) {
			return nil
		}
		return <-got
	}
	release := acquire("a lock that was released", a, true)
	if release == nil {
		return
	}
	if t.lockEnds == 0 {
		t.unlock("release", func() { release(true) })
		return
	}
	time.Sleep(t.lockEnds + t.lockEnds/2)
	t.refused("a lock that has been held for longer than that of a dead holder", b)
	t.broken("Save under a lock held for long", t.save(a, pair(10)))
	t.unlock("release", func() { release(true) })
	if release = acquire("a lock that was held for long", a, true); release == nil {
		return
	}
	t.unlock("release(false)", func() { release(false) })
	t.unlock("releasing a lock twice", func() { release(true) })
	t.refused("a lock that was just given up in doubt", b)
	if release = acquire("a lock given up in doubt", b, false); release == nil {
		return
	}
	t.holds("after a lock was given up in doubt", b, pair(10))
	t.unlock("release", func() { release(true) })
	if release = acquire("a lock that was released after a doubt", a, true); release != nil {
		t.unlock("release", func() { release(true) })
	}
}

// lock waits for a lock, no longer than patience.
func (t tokenSuite) lock(store authos.LockingTokenStore, patience time.Duration) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	got := make(chan func(), 1)
	err = t.returns(func() error {
		unlock, err := store.Lock(ctx)
		got <- unlock
		return err
	})
	if err != nil {
		return nil, err
	}
	if unlock = <-got; unlock == nil {
		return nil, errors.New("neither an error nor a way to release the lock")
	}
	return unlock, nil
}

// refused checks that a lock cannot be had, and that waiting for it ends with the
// context.
func (t tokenSuite) refused(what string, store authos.LockingTokenStore) {
	start := time.Now()
	unlock, err := t.lock(store, lockPatience)
	if err == nil {
		t.failf("%s was given away again", what)
		t.unlock("unlock", unlock)
		return
	}
	if waited := time.Since(start); waited > lockPatience+storePatience/2 {
		t.failf("%s: Lock went on for %v after its context was done", what, (waited - lockPatience).Round(time.Millisecond))
	}
}

// excludes lets many want the lock at once, and count in what the store keeps: no update is lost.
func (t tokenSuite) excludes(a, b authos.LockingTokenStore) {
	const workers, rounds = 8, 5
	if t.broken("Save", t.save(a, pair(0))) {
		return
	}
	var inside atomic.Int32
	var two sync.Once
	var group sync.WaitGroup
	for i := range workers {
		store := []authos.LockingTokenStore{a, b}[i%2]
		group.Go(func() {
			for range rounds {
				unlock, err := t.lock(store, storePatience)
				if t.broken("Lock while others want it too", err) {
					return
				}
				if inside.Add(1) > 1 {
					two.Do(func() { t.failf("two hold the lock at the same time") })
				}
				got, err := t.load(store)
				time.Sleep(time.Millisecond)
				if !t.broken("Load under the lock", err) {
					n, _ := strconv.Atoi(strings.TrimPrefix(got.AccessToken, "access-"))
					t.broken("Save under the lock", t.save(store, pair(n+1)))
				}
				inside.Add(-1)
				t.unlock("unlock while others wait", unlock)
			}
		})
	}
	group.Wait()
	t.holds("counted by many, each under the lock", a, pair(workers*rounds))
}
