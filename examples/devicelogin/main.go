// Devicelogin is a command-line program that signs its user in with a browser, on this machine or
// any other, and keeps the tokens in a file, so that the next start needs no sign-in. It starts a
// fake AuthOS in process, so it runs offline:
//
//	go run ./examples/devicelogin
//
// With AUTHOS_BASE_URL, AUTHOS_ORG, AUTHOS_SERVICE and AUTHOS_CLIENT_ID set it signs in at that
// server, and keeps the tokens in the user's configuration folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

func main() {
	p := authos.DeviceLoginParams{
		OrgSlug: os.Getenv("AUTHOS_ORG"), ServiceSlug: os.Getenv("AUTHOS_SERVICE"), ClientID: os.Getenv("AUTHOS_CLIENT_ID"),
	}
	var err error
	if base := os.Getenv("AUTHOS_BASE_URL"); base != "" {
		err = online(context.Background(), base, p)
	} else {
		err = offline(context.Background())
	}
	if err != nil {
		log.Fatal(err)
	}
}

func online(ctx context.Context, base string, p authos.DeviceLoginParams) error {
	dir, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	return whoAmI(ctx, base, filepath.Join(dir, "authos-example", "tokens.json"), p, func(authos.DeviceCode) error { return nil })
}

// offline is two starts of the program. The user at the browser is played by the fake server.
func offline(ctx context.Context) error {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "")
	dir, err := os.MkdirTemp("", "devicelogin")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for start := range 2 {
		fmt.Println("start", start+1)
		err := whoAmI(ctx, srv.URL, filepath.Join(dir, "tokens.json"),
			authos.DeviceLoginParams{OrgSlug: "acme", ServiceSlug: "app", ClientID: "acme_app"},
			func(code authos.DeviceCode) error {
				srv.ApproveDevice(code.UserCode, "ada@example.com")
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// whoAmI is the program. browse is the user, in the offline version.
func whoAmI(ctx context.Context, base, file string, p authos.DeviceLoginParams, browse func(authos.DeviceCode) error) error {
	store, err := filestore.New(file) // mode 0600, locked, written atomically
	if err != nil {
		return err
	}
	client, err := authos.New(base, authos.WithTokenStore(store))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	user, err := client.User.Get(ctx)
	if errors.Is(err, authos.ErrUnauthenticated) { // no tokens yet, or the session is over
		p.Install = true // saves them in the store
		_, err = client.Auth.DeviceLogin(ctx, p, func(code authos.DeviceCode) error {
			fmt.Printf("  open %s and enter %s\n", code.VerificationURI, code.UserCode)
			return browse(code)
		})
		if err != nil {
			return err
		}
		user, err = client.User.Get(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Println("  signed in as", user.Email)
	return nil
}
