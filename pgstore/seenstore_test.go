//go:build unix

package pgstore_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/pgstore"
	"github.com/authos-go/authos/webhook"
)

func TestSeenStoreSuite(t *testing.T) {
	pool := migrated(t).pool()
	err := authostest.TestSeen(func() (webhook.SeenStore, error) { return pgstore.NewSeenStore(pool, "mailer") }, authostest.Persistent())
	if err != nil {
		t.Error(err)
	}
}

// What PostgreSQL has confirmed is there after it was killed.
func TestStoresThroughACrash(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	pool := s.pool()
	crash := authostest.Crashes(func() error {
		s.Kill()
		if !s.Start() {
			return errors.New("PostgreSQL does not start again")
		}
		return nil
	})
	for name, err := range map[string]error{
		"TestSeen":       authostest.TestSeen(func() (webhook.SeenStore, error) { return pgstore.NewSeenStore(pool, "mailer") }, crash),
		"TestCacheStore": authostest.TestCacheStore(func() (authos.CacheStore, error) { return newCache(t, s, pgstore.CacheOptions{}), nil }, crash),
		"TestTokenStore": authostest.TestTokenStore(func() (authos.TokenStore, error) { return newTokens(t, pool, time.Second), nil }, crash),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Receivers are apart, and a shorter record never takes from a longer one.
func TestSeenStoreApart(t *testing.T) {
	pool := migrated(t).pool()
	mailer, err := pgstore.NewSeenStore(pool, "mailer")
	if err != nil {
		t.Fatal(err)
	}
	biller, err := pgstore.NewSeenStore(pool, "biller")
	if err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{time.Hour, time.Microsecond, 0, -time.Second} {
		if err := mailer.Record(t.Context(), "e1", ttl); err != nil {
			t.Fatal(err)
		}
	}
	if seen, err := mailer.Seen(t.Context(), "e1"); err != nil || !seen {
		t.Errorf("Seen = %t, %v", seen, err)
	}
	if seen, err := biller.Seen(t.Context(), "e1"); err != nil || seen {
		t.Errorf("the other receiver's Seen = %t, %v", seen, err)
	}
}

// What is over goes with each hundredth record of a store, and costs the others nothing.
func TestSeenStoreTidies(t *testing.T) {
	t.Parallel()
	pool := migrated(t).pool()
	var stores [2]*pgstore.SeenStore
	for i := range stores {
		var err error
		if stores[i], err = pgstore.NewSeenStore(pool, "mailer"); err != nil {
			t.Fatal(err)
		}
	}
	if err := stores[0].Record(t.Context(), "lives", time.Hour); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		if err := stores[1].Record(t.Context(), strconv.Itoa(n), time.Microsecond); err != nil {
			t.Fatal(err)
		}
		var rows int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM authos_seen").Scan(&rows)
		if want := 1 + (n+1)%100; err != nil || rows != want {
			t.Fatalf("%d rows after %d records, %v, want %d", rows, n+1, err, want)
		}
	}
	if seen, err := stores[1].Seen(t.Context(), "lives"); err != nil || !seen {
		t.Errorf("Seen = %t, %v, of a record that lives", seen, err)
	}
}

func TestNewSeenStoreRefuses(t *testing.T) {
	_, err := pgstore.NewSeenStore(nil, "")
	if e, ok := errors.AsType[*authos.ValidationError](err); !ok || len(e.Fields) != 2 {
		t.Errorf("NewSeenStore = %v", err)
	}
}
