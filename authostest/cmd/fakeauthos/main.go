// Command fakeauthos runs the fake AuthOS of package authostest as a process, so that a client in any language can be pointed at it:
//
//	go run ./authostest/cmd/fakeauthos -addr 127.0.0.1:8080
//
// It prints what a client needs as lines that a shell can read, serves until it is interrupted, and forgets everything then. The URL
// comes last:
//
//	fakeauthos >fake.env &
//	until grep -q '^URL=' fake.env; do sleep 0.1; done
//	. ./fake.env
//
// Anybody who reaches the address can use it, and its secrets are printed: it is for tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/authos-go/authos/authostest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fakeauthos:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("fakeauthos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:0", "the `address` to listen on")
	contract := flags.String("contract", "real", "real: what servers send; documented: what the guide says they send")
	limiters := flags.Bool("limiters", false, "limit the rate of requests as servers do")
	seed := flags.Bool("seed", true, "fill the scene: members, end users, plans, more organizations")
	if err := flags.Parse(args); err != nil {
		return err
	}
	opts, err := options(*contract, *limiters)
	if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	srv := authostest.New(append(opts, authostest.WithListener(ln))...)
	defer srv.Close()
	srv.AddUser(user, password)
	srv.AddPlatformOwner(root, password)
	if *seed {
		fill(srv)
	}
	if err := announce(stdout, srv); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func options(contract string, limiters bool) ([]authostest.Option, error) {
	var opts []authostest.Option
	switch contract {
	case "real":
	case "documented":
		opts = append(opts, authostest.WithContract(authostest.Documented))
	default:
		return nil, fmt.Errorf("unknown contract %q", contract)
	}
	if limiters {
		opts = append(opts, authostest.WithLimiters())
	}
	return opts, nil
}

const (
	user     = "ada@example.com"
	root     = "root@example.com"
	password = "correct-horse-battery-staple" // everybody's who has one
)

// announce prints what it takes to use the server.
func announce(w io.Writer, srv *authostest.Server) error {
	for _, line := range []struct{ name, value string }{
		{"API_KEY", srv.AddAPIKey()},
		{"EMAIL", user},
		{"PASSWORD", password},
		{"ORG", "acme"},
		{"SERVICE", "app"},
		{"CLIENT_ID", "acme_app"},
		{"PLATFORM_EMAIL", root},
		{"PLATFORM_PASSWORD", password},
		{"URL", srv.URL}, // last, so that who waits for it has all the others
	} {
		if _, err := fmt.Fprintf(w, "%s=%s\n", line.name, line.value); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the lists of the API worth reading.
func fill(srv *authostest.Server) {
	srv.AddMember("acme", "grace@example.com", "admin")
	srv.AddMember("acme", "edsger@example.com", "member")
	srv.AddRole("acme", "support", "end_users.view", "audit_logs.view")
	srv.AddInvitation("acme", "barbara@example.com", "member")
	pro := srv.AddPlan("acme", "app", "pro", 1900)
	for i := range 25 {
		email := fmt.Sprintf("user%02d@customers.example", i+1)
		srv.AddServiceUser(email)
		if i%5 == 0 {
			srv.AddSubscription(email, pro)
		}
	}
	srv.AddUser("mfa@example.com", password)
	srv.RequireMFA("mfa@example.com")
	srv.AddDevice(user, "laptop")
	srv.AddOrganization("initech", "pending", "owner@initech.example")
	srv.AddOrganization("hooli", "suspended", "owner@hooli.example")
}
