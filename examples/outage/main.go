// Command outage shows a program that starts while AuthOS is down. A worker process keeps its
// session and the responses it has read in files. It is killed, the server goes away, and the
// worker is started again: it knows who it is and serves what it had read, marked as stale; what it
// never read, and a new sign-in, fail at once and say so. When the server is back, fresh responses
// come.
//
//	go run ./examples/outage
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

func main() {
	run := parent
	if os.Getenv("OUTAGE_URL") != "" {
		run = worker
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// parent plays the server, and starts, kills and restarts the worker.
func parent() error {
	dir, err := os.MkdirTemp("", "outage")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	web := &http.Server{Handler: srv, ReadHeaderTimeout: time.Second}
	go func() { _ = web.Serve(listener) }()

	fmt.Println("the server is up; the worker signs in and reads, and is killed")
	if err := work(addr, dir, "first"); err != nil {
		return err
	}
	fmt.Println("\nthe server is down; the worker is started again")
	_ = web.Close()
	if err := work(addr, dir, "outage"); err != nil {
		return err
	}
	fmt.Println("\nthe server is back; the worker is started once more")
	if listener, err = net.Listen("tcp", addr); err != nil {
		return err
	}
	web = &http.Server{Handler: srv, ReadHeaderTimeout: time.Second}
	go func() { _ = web.Serve(listener) }()
	defer web.Close()
	return work(addr, dir, "after")
}

// work runs a worker process to the point where it waits, and kills it.
func work(addr, dir, phase string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "OUTAGE_URL=http://"+addr, "OUTAGE_DIR="+dir, "OUTAGE_PHASE="+phase)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		text, done := strings.CutSuffix(string(buf[:n]), doneMark)
		fmt.Print(text)
		if err != nil || done {
			break
		}
	}
	err = cmd.Process.Kill() // it is given no chance to tidy up
	_ = cmd.Wait()
	return err
}

// doneMark is the last thing a worker prints.
const doneMark = "\f"

func worker() error {
	start, ctx, dir := time.Now(), context.Background(), os.Getenv("OUTAGE_DIR")
	session, err := filestore.New(filepath.Join(dir, "session", "tokens.json"))
	if err != nil {
		return err
	}
	// A real program reads a random key from its configuration.
	key := sha256.Sum256([]byte("a key for this example"))
	responses, err := filestore.NewCache(filepath.Join(dir, "responses"), key[:])
	if err != nil {
		return err
	}
	client, err := authos.New(os.Getenv("OUTAGE_URL"), authos.WithTokenStore(session),
		authos.WithCache(authos.CachePolicy{Store: responses}), authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		return err
	}
	if os.Getenv("OUTAGE_PHASE") == "first" {
		p := authos.LoginParams{Email: "ada@example.com", Password: "correct horse", Install: true}
		if _, err := client.Auth.Login(ctx, p); err != nil {
			return err
		}
	}
	var r authos.Response
	user, err := client.User.Get(ctx, authos.WithResponse(&r))
	if err != nil {
		return err
	}
	fmt.Printf("  worker %d: %s, stale: %t, %d ms after its start\n", os.Getpid(), user.Email, r.Stale, time.Since(start).Milliseconds())
	if os.Getenv("OUTAGE_PHASE") == "outage" {
		_, err := client.Organizations.List(ctx, authos.OrganizationListParams{})
		fmt.Println("  never read before:", errors.Is(err, authos.ErrUnavailable), "-", authos.UserMessage(err, "en"))
		_, err = client.Auth.Login(ctx, authos.LoginParams{Email: "eve@example.com", Password: "battery staple"})
		fmt.Println("  a new sign-in:   ", errors.Is(err, authos.ErrUnavailable), "-", authos.UserMessage(err, "en"))
	}
	fmt.Print(doneMark) // now it would go on working
	select {}
}
