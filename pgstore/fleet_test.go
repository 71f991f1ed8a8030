//go:build unix

package pgstore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/pgstore"
)

// openMember opens the store of a fleet's member.
func openMember(url string) (authos.LockingTokenStore, error) {
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		return nil, err
	}
	store, err := pgstore.NewTokenStore(pool, "worker", pgstore.TokenOptions{Key: keyA})
	if err != nil {
		return nil, err
	}
	return pgstore.Shorten(store, authostest.FleetLockTTL), nil
}

func TestFleet(t *testing.T) {
	if os.Getenv("AUTHOS_LONG_TESTS") == "" {
		t.Skip("takes most of a minute: AUTHOS_LONG_TESTS=1 runs it")
	}
	s := migrated(t)
	summary, err := authostest.TestTokenStoreFleet(authostest.Fleet{
		Open: openMember, Where: s.URL() + "&pool_max_conns=4", Away: func(d time.Duration) {
			s.Kill()
			time.Sleep(d)
			s.Start()
		},
	})
	t.Log(summary)
	if err != nil {
		t.Error(err)
	}
}
