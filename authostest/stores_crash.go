package authostest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/authos-go/authos"
	authoswebhook "github.com/authos-go/authos/webhook"
)

// Crashes tells a suite how to let the place where a store keeps its data crash, and come back: the
// database is killed and started again, say. The suite calls crash once, while it writes, and then
// checks that everything is there that the store had said it keeps, and nothing that it had said is
// forgotten. Stores that were open before must work again within ten seconds.
func Crashes(crash func() error) StoreOption {
	return func(s *suite) { s.crash = crash }
}

const (
	crashAfter  = 100 * time.Millisecond // of writing
	crashWithin = time.Minute            // that crash may take
	afterCrash  = 10                     // writes that succeed, of each writer
)

// throughCrash calls write again and again from several goroutines, each time with another number,
// before, during and after the crash. It gives the numbers for which write has returned nil.
func (s *suite) throughCrash(writers int, write func(n int) error) (kept []int) {
	var mu sync.Mutex
	back, over := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for n, after := writer, 0; after < afterCrash && !closed(over); n += writers {
				if s.returns(func() error { return write(n) }) != nil {
					time.Sleep(crashAfter) // nothing works yet
					continue
				}
				mu.Lock()
				kept = append(kept, n)
				mu.Unlock()
				if closed(back) {
					after++
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.Sleep(crashAfter)
	s.broken("the crash", s.returnsWithin(crashWithin, s.crash))
	close(back)
	timeout := time.AfterFunc(storePatience, func() {
		s.failf("writing did not work again within %v of the crash", storePatience)
		close(over)
	})
	group.Wait()
	timeout.Stop()
	slices.Sort(kept)
	return kept
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// crashes: what was recorded is seen after a crash.
func (t seenSuite) crashes(store authoswebhook.SeenStore) {
	id := func(n int) string { return fmt.Sprintf("%scrash-%d", t.prefix, n) }
	for _, n := range t.throughCrash(4, func(n int) error { return store.Record(t.ctx, id(n), time.Minute) }) {
		t.seen("recorded before, in or after a crash", store, id(n), true)
	}
}

// crashes: what was forgotten does not come back with a crash. What was set may be lost.
func (c cacheSuite) crashes(store authos.CacheStore) {
	folder := func(n int) string { return fmt.Sprintf("%scrash/%d/", cacheRoot, n) }
	forgotten := c.throughCrash(4, func(n int) error {
		err := store.Set(c.ctx, folder(n)+"key", []byte("value"), time.Minute)
		if err == nil {
			err = store.DeletePrefix(c.ctx, folder(n))
		}
		return err
	})
	for _, n := range forgotten {
		c.lacks("deleted before, in or after a crash", store, folder(n)+"key")
	}
}

// crashes: after a crash the store has the tokens that it has saved last, or newer ones whose
// saving the crash cut short.
func (t tokenSuite) crashes(store authos.TokenStore) {
	var mu sync.Mutex
	tried, saved := 0, 0
	t.throughCrash(1, func(n int) error {
		mu.Lock()
		defer mu.Unlock()
		if saved > 0 {
			got, err := store.Load(t.ctx)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(numbers(saved, tried), func(n int) bool { return sameTokens(got, pair(n)) }) {
				t.failf("Load in or after a crash gave neither what was saved last nor anything newer")
			}
		}
		tried = n + 1
		err := store.Save(t.ctx, pair(tried))
		if err == nil {
			saved = tried
		}
		return err
	})
}

func numbers(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}
