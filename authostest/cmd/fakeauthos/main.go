// Command fakeauthos runs the fake AuthOS of package authostest as a process, so that a client in
// any language can be pointed at it:
//
//	go run ./authostest/cmd/fakeauthos -addr 127.0.0.1:8080
//
// It prints what a client needs as lines that a shell can read, serves until it is interrupted, and
// forgets everything then. The URL comes last:
//
//	fakeauthos >fake.env &
//	until grep -q '^URL=' fake.env; do sleep 0.1; done
//	. ./fake.env
//
// A file sets the scene in place of the built-in one (-seed-file), the control API makes faults,
// moves the clock and tells what was seen (-control), and a browser finds pages for signing in, for
// devices and for mail at the URL. docs/authostest.md has all of it.
//
// Anybody who reaches the address can sign in as anybody, and its secrets are printed: it is for
// tests.
package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"

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

// settings are the flags.
type settings struct {
	addr, url        string
	contract, format string
	limiters, mail   bool
	pages            bool
	fill             bool
	seedFile         string
	random           uint64
	randomGiven      bool
	tlsFile          string
	control          bool
	controlToken     string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var in settings
	flags := flag.NewFlagSet("fakeauthos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&in.addr, "addr", "127.0.0.1:0", "the `address` to listen on")
	flags.StringVar(&in.url, "url", "", "the base `URL` by which clients know the server, where that is another one")
	flags.StringVar(&in.contract, "contract", "newest", "newest: what servers send; october2025: what they sent then; documented: what the guide says they send")
	flags.StringVar(&in.format, "format", "flat", "of errors under -contract documented: flat, nested or problem")
	flags.BoolVar(&in.limiters, "limiters", false, "limit the rate of requests as servers do")
	flags.BoolVar(&in.mail, "mail", false, "send mail, which is read in the mailbox page and by the control API")
	flags.BoolVar(&in.pages, "pages", true, "have pages for a browser")
	flags.BoolVar(&in.fill, "seed", true, "fill the scene: members, end users, plans, more organizations; off with -seed-file")
	flags.StringVar(&in.seedFile, "seed-file", "", "the `file`, YAML or JSON, that sets the scene")
	flags.Uint64Var(&in.random, "random-seed", 0, "draw ids, tokens and keys from this `number`, so that each run has the same")
	flags.StringVar(&in.tlsFile, "tls", "", "serve HTTPS, and write the certificate to trust to this `file`")
	flags.BoolVar(&in.control, "control", false, "have the control API, for this machine only unless -control-token is given")
	flags.StringVar(&in.controlToken, "control-token", "", "the `token` that the control API wants from everybody; implies -control")
	if err := flags.Parse(args); err != nil {
		return in, err
	}
	flags.Visit(func(f *flag.Flag) { in.randomGiven = in.randomGiven || f.Name == "random-seed" })
	if flags.NArg() > 0 {
		return in, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return in, nil
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	in, err := parse(args, stderr)
	if err != nil {
		return err
	}
	opts, err := in.options()
	if err != nil {
		return err
	}
	scene, err := in.scene()
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", in.addr)
	if err != nil {
		return err
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		fmt.Fprintf(stderr, "fakeauthos: warning: everybody who reaches %s can sign in as anybody\n", ln.Addr())
	}
	srv := authostest.New(append(opts, authostest.WithListener(ln))...)
	defer srv.Close()
	if err := in.writeCertificate(srv); err != nil {
		return err
	}
	lines, err := in.set(srv, scene)
	if err != nil {
		return err
	}
	srv.Mark() // what a reset by the control API returns to
	for _, line := range lines {
		if _, err := fmt.Fprintf(stdout, "%s=%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (in settings) options() ([]authostest.Option, error) {
	contracts := map[string]authostest.Contract{
		"newest": authostest.Newest, "october2025": authostest.October2025, "documented": authostest.Documented,
	}
	formats := map[string]authostest.ErrorFormat{"flat": authostest.Flat, "nested": authostest.Nested, "problem": authostest.Problem}
	contract, known := contracts[in.contract]
	if !known {
		return nil, fmt.Errorf("-contract: there is no %q; want newest, october2025 or documented", in.contract)
	}
	format, known := formats[in.format]
	if !known {
		return nil, fmt.Errorf("-format: there is no %q; want flat, nested or problem", in.format)
	}
	opts := []authostest.Option{authostest.WithContract(contract), authostest.WithErrorFormat(format)}
	if in.url != "" {
		u, err := url.Parse(in.url)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("-url: %q is no base URL; want http://HOST or https://HOST", in.url)
		}
		opts = append(opts, authostest.WithURL(in.url))
	}
	for given, opt := range map[*bool]authostest.Option{
		&in.limiters: authostest.WithLimiters(), &in.mail: authostest.WithMail(), &in.pages: authostest.WithPages(),
		&in.randomGiven: authostest.WithSeed(in.random),
	} {
		if *given {
			opts = append(opts, opt)
		}
	}
	if in.tlsFile != "" {
		opts = append(opts, authostest.WithTLS())
	}
	if in.control || in.controlToken != "" {
		opts = append(opts, authostest.WithControl(in.controlToken))
	}
	return opts, nil
}

// scene reads the file that sets it. JSON is YAML too.
func (in settings) scene() (*authostest.Scene, error) {
	if in.seedFile == "" {
		return nil, nil //nolint:nilnil // no file, no scene
	}
	text, err := os.ReadFile(in.seedFile)
	if err != nil {
		return nil, err
	}
	var data any
	if err := yaml.Unmarshal(text, &data); err != nil {
		return nil, fmt.Errorf("%s: %w", in.seedFile, err)
	}
	asJSON, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.seedFile, err)
	}
	scene, err := authostest.ReadScene(asJSON)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.seedFile, err)
	}
	return &scene, nil
}

func (in settings) writeCertificate(srv *authostest.Server) error {
	if in.tlsFile == "" {
		return nil
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	return os.WriteFile(in.tlsFile, block, 0o644)
}

const (
	user     = "ada@example.com"
	root     = "root@example.com"
	password = "correct-horse-battery-staple" // everybody's who has one
)

// set makes the scene, and says what it takes to use the server, the URL last: who waits for it has
// all the others then.
func (in settings) set(srv *authostest.Server, scene *authostest.Scene) (lines [][2]string, err error) {
	if scene != nil {
		made, err := srv.Apply(*scene)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.seedFile, err)
		}
		for _, key := range made.APIKeys {
			lines = append(lines, [2]string{"API_KEY_" + shellName(key.Organization, key.Service, key.Name), key.Secret})
		}
	} else {
		srv.AddUser(user, password)
		srv.AddPlatformOwner(root, password)
		if in.fill {
			fill(srv)
		}
		lines = [][2]string{
			{"API_KEY", srv.AddAPIKey()},
			{"EMAIL", user},
			{"PASSWORD", password},
			{"ORG", "acme"},
			{"SERVICE", "app"},
			{"CLIENT_ID", "acme_app"},
			{"PLATFORM_EMAIL", root},
			{"PLATFORM_PASSWORD", password},
		}
	}
	if in.tlsFile != "" {
		lines = append(lines, [2]string{"CERTIFICATE", in.tlsFile})
	}
	return append(lines, [2]string{"URL", srv.URL}), nil
}

// shellName is a part of a variable's name.
func shellName(parts ...string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(strings.Join(parts, "_")))
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
