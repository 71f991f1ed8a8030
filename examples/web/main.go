// Command web is a web program whose users sign in through AuthOS: the link, the state and its
// check, the page that reads the tokens from the fragment, an encrypted session cookie, one client
// for each user, a second factor, invitations, errors as pages in the user's language, sign-out.
//
//	cd examples/web
//	go run .                        # a browser's part is played, offline
//	go run . -addr 127.0.0.1:8081   # for you to click through, beside a fake AuthOS
//
// With -authos, -org and -service it signs in at that server, where http://ADDR/callback must be a
// redirect URI of the service. app.go has the program, the files beside it the pages.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/authos-go/authos/authostest"
)

func main() {
	var in settings
	addr := flag.String("addr", "", "the `address` to serve on; empty: play a browser and end")
	flag.StringVar(&in.authos, "authos", "", "the base `URL` of AuthOS; empty: a fake one in this process")
	flag.StringVar(&in.org, "org", "acme", "the organization's slug")
	flag.StringVar(&in.service, "service", "app", "the service's slug")
	flag.Parse()
	run := play
	if *addr != "" {
		run = func() error { return serve(*addr, in) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func serve(addr string, in settings) error {
	in.self = "http://" + addr
	if in.authos == "" {
		sso := fake(in.self)
		defer sso.Close()
		in.authos = sso.URL
		fmt.Println("A fake AuthOS, with a mailbox:", sso.URL)
	}
	a, err := newApp(in)
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("Open", in.self)
	return http.ListenAndServe(addr, a)
}

// fake is an AuthOS that knows this program, with a user who needs a second factor and one who is
// invited.
func fake(self string, opts ...authostest.Option) *authostest.Server {
	sso := authostest.New(append(opts, authostest.WithPages(), authostest.WithMail())...)
	if _, err := sso.Apply(authostest.Scene{
		Users: []authostest.SceneUser{{Email: "ada@example.com"}, {Email: "mfa@example.com", MFA: true}},
		Organizations: []authostest.SceneOrganization{
			{Slug: "acme", Services: []authostest.SceneService{{Slug: "app", RedirectURIs: []string{self + "/callback"}}}},
			{Slug: "globex", Invitations: []authostest.SceneInvitation{{Email: "ada@example.com", Role: "admin"}}},
		},
	}); err != nil {
		panic(err) // the scene is ours
	}
	return sso
}

// play is the whole of it without a person: the program, a fake AuthOS, and a browser's part.
func play() error {
	var a *app
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r) }))
	defer web.Close()
	sso := fake(web.URL)
	defer sso.Close()
	a, err := newApp(settings{self: web.URL, authos: sso.URL, org: "acme", service: "app"})
	if err != nil {
		return err
	}
	defer a.Close()
	return browse(os.Stdout, web.URL, sso)
}
