//go:build unix

package redisstore_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/killtest"
	"github.com/authos-go/authos/redisstore"
)

// eachCommand makes a step before and after each command.
type eachCommand struct{ step func() }

func (eachCommand) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h eachCommand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.step()
		err := next(ctx, cmd)
		h.step()
		return err
	}
}

func (eachCommand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// openKilled opens the store of a process that is killed at some step; where is an address and a
// name.
func openKilled(where string, step func()) (authos.TokenStore, error) {
	redis.SetLogger(quiet{})
	addr, name, _ := strings.Cut(where, "/")
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	rdb.AddHook(eachCommand{step})
	store, err := redisstore.NewTokenStore(rdb, name, redisstore.TokenOptions{})
	if err != nil {
		return nil, err
	}
	return redisstore.Shorten(store, 100*time.Millisecond), nil
}

func TestKilledAtEveryStep(t *testing.T) {
	s, n := startRedis(t), 0
	killtest.Sweep(t, killtest.Store{Open: openKilled, Expires: true, Where: func() string {
		n++
		return s.Addr + "/" + strconv.Itoa(n)
	}}, os.Getenv("AUTHOS_LONG_TESTS") != "")
}
