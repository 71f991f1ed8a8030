package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

// A command-line tool keeps its user signed in.
func ExampleNew() {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	home, _ := os.MkdirTemp("", "home") // a tool would ask os.UserConfigDir
	defer func() { _ = os.RemoveAll(home) }()
	ctx := context.Background()

	store, err := filestore.New(filepath.Join(home, "tool", "tokens.json"))
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := authos.New(srv.URL, authos.WithTokenStore(store))
	defer func() { _ = client.Close() }()

	tokens, err := client.Auth.Login(ctx, authos.LoginParams{
		Email: "ada@example.com", Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app",
	})
	if err == nil {
		err = client.SetTokens(ctx, tokens) // saved; the next run of the tool finds them
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := client.User.Get(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.Email)
	// Output:
	// ada@example.com
}

// exampleSignInAgain replaces tokens that are lost, unless another process has.
func exampleSignInAgain(ctx context.Context, c *authos.Client, store authos.LockingTokenStore, lost authos.Tokens) error {
	unlock, err := store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := store.Load(ctx)
	if err != nil || stored.RefreshToken != lost.RefreshToken {
		// nil: another process was first, and the client will find what that one has saved
		return err
	}
	tokens, err := c.Auth.Login(ctx, authos.LoginParams{
		Email: "ada@example.com", Password: "correct horse", OrgSlug: "acme", ServiceSlug: "app",
	})
	if err != nil {
		return err
	}
	fmt.Println("signed in again")
	return store.Save(ctx, tokens)
}

// The session is over for all processes that share the store. One of them signs in again; the
// others find its tokens.
func ExampleTokenStore_Lock() {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	dir, _ := os.MkdirTemp("", "tool")
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	store, err := filestore.New(filepath.Join(dir, "tokens.json"))
	if err != nil {
		fmt.Println(err)
		return
	}
	in := srv.SignIn("ada@example.com")
	if err := store.Save(ctx, authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}); err != nil {
		fmt.Println(err)
		return
	}

	process := func() error {
		client, err := authos.New(srv.URL, authos.WithTokenStore(store))
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		for range 2 {
			// before the call, so that newer ones are not taken for the lost
			held, err := client.Tokens(ctx)
			if err != nil {
				return err
			}
			if _, err = client.User.Get(ctx); !errors.Is(err, authos.ErrSessionExpired) {
				return err
			}
			if err := exampleSignInAgain(ctx, client, store, held); err != nil {
				return err
			}
		}
		_, err = client.User.Get(ctx)
		return err
	}
	fmt.Println(process())
	srv.RevokeSessions("ada@example.com")
	fmt.Println(process())
	fmt.Println(process())
	// Output:
	// <nil>
	// signed in again
	// <nil>
	// <nil>
}
