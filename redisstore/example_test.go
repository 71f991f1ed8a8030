package redisstore_test //nolint:testableexamples // it needs a Redis and a server

import (
	"context"
	"errors"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/redisstore"
)

// Workers of a fleet share an operator's session and sign in again by themselves when it is lost.
func Example() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer rdb.Close()
	key := redisstore.Key(os.Getenv("TOKEN_KEY")) // 32 bytes
	store, err := redisstore.NewTokenStore(rdb, "worker", redisstore.TokenOptions{Key: key})
	if err != nil {
		log.Print(err)
		return
	}
	client, err := authos.New("https://sso.example.com", authos.WithTokenStore(store))
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	worker := worker{client, store, authos.LoginParams{Email: "worker@example.com", Password: os.Getenv("WORKER_PASSWORD")}}
	err = worker.do(ctx, func() error {
		user, err := client.User.Get(ctx)
		if err == nil {
			log.Print("signed in as ", user.Email)
		}
		return err
	})
	if err != nil {
		log.Print(err)
	}
}

// worker signs in where a session is lost, as one of many processes that share its store.
type worker struct {
	client *authos.Client
	store  authos.LockingTokenStore
	login  authos.LoginParams
}

// do makes a call, and again after the session was lost and somebody has signed in: this process,
// or another one.
func (w worker) do(ctx context.Context, call func() error) error {
	var seen authos.Tokens
	for range 3 {
		lost, err := w.client.Tokens(ctx)
		if err != nil {
			return err
		}
		if err := call(); !errors.Is(err, authos.ErrSessionExpired) {
			return err
		}
		if seen, err = w.signIn(ctx, lost, seen); err != nil {
			return err
		}
	}
	return call()
}

// signIn signs in if the store still holds the lost tokens, or what it held before another try in
// vain. The client finds the new tokens in the store at its next call; SetTokens would wait for the
// lock that is held here.
func (w worker) signIn(ctx context.Context, lost, seen authos.Tokens) (authos.Tokens, error) {
	unlock, err := w.store.Lock(ctx)
	if err != nil {
		return seen, err
	}
	defer unlock()
	stored, err := w.store.Load(ctx)
	if err != nil {
		return seen, err
	}
	if r := stored.RefreshToken; r != "" && r != lost.RefreshToken && r != seen.RefreshToken {
		return stored, nil // another process has signed in
	}
	fresh, err := w.client.Auth.Login(ctx, w.login)
	if err != nil {
		return seen, err
	}
	return fresh, w.store.Save(ctx, fresh)
}
