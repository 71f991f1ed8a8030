// Command soak runs a client with everything on against fakeauthos in another process, with faults
// at random, and looks at what the process uses meanwhile: memory, goroutines, connections, file
// descriptors. What leaks grows.
//
//	go run ./internal/cmd/soak -for 30m -csv soak.csv
//
// It fails where a call ends with an error that is none of the package's, where a user gets
// another's data, or where something is left when all clients are closed. The plot of a run is in
// docs/img. Linux only: it reads /proc.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/filestore"
)

func main() {
	length := flag.Duration("for", 30*time.Minute, "how long")
	rate := flag.Int("rate", 50, "calls a second")
	file := flag.String("csv", "", "where the samples go, one every hundredth of the time")
	flag.Parse()
	if err := run(*length, *rate, *file); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(length time.Duration, rate int, file string) error {
	tmp, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	fake, err := startFake(tmp)
	if err != nil {
		return err
	}
	defer fake.stop()
	before := measure()
	s := &soak{fake: fake, tmp: tmp}
	if err := s.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	samples := [][]string{{"seconds", "rss_mib", "heap_mib", "goroutines", "connections", "descriptors", "calls", "errors"}}
	var wg sync.WaitGroup
	wg.Go(func() { s.calls(ctx, rate) })
	wg.Go(func() { s.trouble(ctx) })
	wg.Go(func() {
		start := time.Now()
		every := time.NewTicker(length / 100)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				u := measure()
				samples = append(samples, []string{
					fmt.Sprintf("%.0f", time.Since(start).Seconds()), fmt.Sprintf("%.1f", u.rss), fmt.Sprintf("%.1f", u.heap),
					strconv.Itoa(u.goroutines), strconv.Itoa(u.connections), strconv.Itoa(u.descriptors),
					strconv.FormatInt(s.done.Load(), 10), strconv.FormatInt(s.failed.Load(), 10),
				})
			}
		}
	})
	wg.Wait()
	if file != "" {
		if err := write(file, samples); err != nil {
			return err
		}
	}
	if err := s.client.Close(); err != nil {
		return err
	}
	http.DefaultClient.CloseIdleConnections() // the control API's
	after := measure()
	for range 100 { // what has been told to end needs a moment
		if after.goroutines <= before.goroutines && after.connections <= before.connections {
			break
		}
		time.Sleep(50 * time.Millisecond)
		after = measure()
	}
	fmt.Printf("%d calls in %v, %d ended with an error; before %+v, after %+v\n", s.done.Load(), length, s.failed.Load(), before, after)
	switch {
	case s.wrong.Load() > 0:
		return fmt.Errorf("%d calls ended in a way that none may", s.wrong.Load())
	case s.done.Load() == 0 || s.done.Load() == s.failed.Load():
		return errors.New("no call succeeded")
	case after.goroutines > before.goroutines || after.connections > before.connections || after.descriptors > before.descriptors:
		return errors.New("something is left")
	}
	return nil
}

type soak struct {
	fake   *fake
	tmp    string
	client *authos.Client   // has the API key
	users  []*authos.Client // each a user of its own; the last two share one in a file
	emails []string

	done, failed, wrong atomic.Int64
}

func (s *soak) open() error {
	cache, err := filestore.NewCache(filepath.Join(s.tmp, "cache"), bytes.Repeat([]byte("k"), 32))
	if err != nil {
		return err
	}
	// Formatting the records is the point.
	discard := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})) //nolint:sloglint // see above
	s.client, err = authos.New(s.fake.env["URL"], authos.WithAPIKey(s.fake.env["API_KEY"]),
		authos.WithCache(authos.CachePolicy{Patience: 200 * time.Millisecond, Store: cache}),
		authos.WithLogger(discard),
		authos.WithRetry(authos.RetryPolicy{BaseDelay: 10 * time.Millisecond, AttemptTimeout: time.Second, MaxElapsed: 5 * time.Second}),
		authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: time.Second}),
		authos.WithObserver(&authos.Observer{CallDone: func(_ context.Context, e authos.CallDone) { _ = fmt.Sprint(e) }}))
	if err != nil {
		return err
	}
	tokens, err := filestore.New(filepath.Join(s.tmp, "session", "tokens.json"))
	if err != nil {
		return err
	}
	for i := range 6 {
		email := fmt.Sprintf("user%d@soak.example", min(i, 4))
		s.emails = append(s.emails, email)
		if i < 5 {
			user := map[string]string{"email": email, "password": "correct horse"}
			if err := s.fake.control("scene", map[string]any{"users": []any{user}}, nil); err != nil {
				return err
			}
		}
		in, err := s.tokens(i)
		if err != nil {
			return err
		}
		opts := []authos.Option{authos.WithTokens(in)}
		if i >= 4 {
			opts = append(opts, authos.WithTokenStore(tokens))
		}
		c, err := s.client.With(opts...)
		if err != nil {
			return err
		}
		s.users = append(s.users, c)
	}
	return nil
}

// tokens signs a user in.
func (s *soak) tokens(i int) (authos.Tokens, error) {
	var in struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	err := s.fake.control("sign-in", map[string]any{"email": s.emails[i]}, &in)
	return authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}, err
}

// calls makes calls at a rate until ctx is done, each in a goroutine of its own.
func (s *soak) calls(ctx context.Context, rate int) {
	every := time.NewTicker(time.Second / time.Duration(rate))
	defer every.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			wg.Go(func() { s.one(ctx) })
		}
	}
}

func (s *soak) one(ctx context.Context) {
	limit := 10 * time.Second
	if rand.IntN(10) == 0 {
		limit = time.Duration(rand.IntN(200)) * time.Millisecond // gives up early
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	i := rand.IntN(len(s.users))
	var err error
	switch rand.IntN(12) {
	case 0:
		_, err = s.client.Service.Info(call)
	case 1:
		_, err = s.client.Service.Users.List(call, authos.ServiceUserListParams{})
	case 2:
		_, err = s.users[i].Organizations.List(call, authos.OrganizationListParams{})
	case 3:
		_, err = s.client.Service.Users.Create(call, authos.ServiceUserCreateParams{Email: fmt.Sprintf("u%d@soak.example", rand.IntN(100))})
	case 4:
		var c *authos.Client
		if c, err = s.users[i].With(authos.WithLanguage("es")); err == nil {
			_, err = c.User.Get(call)
			_ = c.Close()
		}
	default:
		var user *authos.User
		if user, err = s.users[i].User.Get(call); err == nil && user.Email != s.emails[i] {
			s.wrong.Add(1)
			fmt.Fprintf(os.Stderr, "soak: %s got what belongs to %s\n", s.emails[i], user.Email)
		}
	}
	s.done.Add(1)
	if err == nil {
		return
	}
	s.failed.Add(1)
	if !ours(err) {
		s.wrong.Add(1)
		fmt.Fprintf(os.Stderr, "soak: %T: %v\n", err, err)
	}
	if _, over := errors.AsType[*authos.SessionError](err); over && rand.IntN(4) == 0 {
		if in, err := s.tokens(i); err == nil {
			_ = s.users[i].SetTokens(call, in)
		}
	}
}

func ours(err error) bool {
	_, api := errors.AsType[*authos.APIError](err)
	_, network := errors.AsType[*authos.NetworkError](err)
	_, session := errors.AsType[*authos.SessionError](err)
	_, circuit := errors.AsType[*authos.CircuitOpenError](err)
	_, limit := errors.AsType[*authos.RateLimitError](err)
	_, decode := errors.AsType[*authos.DecodeError](err)
	return api || network || session || circuit || limit || decode
}

// trouble makes some every second or so.
func (s *soak) trouble(ctx context.Context) {
	kinds := []string{"reset-before", "reset-after", "truncate-body", "slow-body", "hang", "close-unread"}
	for ctx.Err() == nil {
		var command string
		body := map[string]any{}
		switch rand.IntN(8) {
		case 0, 1:
			status := []int{429, 500, 503}[rand.IntN(3)]
			command, body = "faults", map[string]any{
				"path": "/api/*", "times": 3, "status": status, "headers": map[string]string{"Retry-After": "1"},
			}
		case 2, 3:
			command, body = "faults", map[string]any{"path": "/api/*", "times": 2, "kind": kinds[rand.IntN(len(kinds))]}
		case 4:
			command = "tokens/expire"
		case 5:
			command, body = "connections", map[string]any{"cut": true}
		case 6:
			command, body = "sessions/revoke", map[string]any{"email": s.emails[rand.IntN(5)]}
		case 7:
			// an outage
			command, body = "faults", map[string]any{"path": "/api/*", "status": 502, "times": 40}
		}
		// whose own connection is cut, too
		if err := s.fake.control(command, body, nil); err != nil && command != "connections" {
			s.wrong.Add(1)
			fmt.Fprintf(os.Stderr, "soak: %s: %v\n", command, err)
		}
		if rand.IntN(20) == 0 {
			// forgets the journal and what is left of the faults
			_ = s.fake.control("reset", map[string]any{"state": "keep"}, nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(500+rand.IntN(1500)) * time.Millisecond):
		}
	}
}

// fake is the server's process.
type fake struct {
	cmd *exec.Cmd
	env map[string]string
}

func startFake(tmp string) (*fake, error) {
	binary := filepath.Join(tmp, "fakeauthos")
	build := exec.Command("go", "build", "-o", binary, "github.com/authos-go/authos/authostest/cmd/fakeauthos")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	f := &fake{cmd: exec.Command(binary, "-control"), env: map[string]string{}}
	f.cmd.Stderr = os.Stderr
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for f.env["URL"] == "" && lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		f.env[name] = value
	}
	if f.env["URL"] == "" {
		f.stop()
		return nil, errors.New("fakeauthos did not start")
	}
	return f, nil
}

func (f *fake) stop() {
	_ = f.cmd.Process.Signal(os.Interrupt)
	_ = f.cmd.Wait()
}

func (f *fake) control(command string, body, result any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := http.Post(f.env["URL"]+"/_authostest/"+command, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	payload, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d: %s", resp.StatusCode, payload)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(payload, result)
}

// usage is what this process uses; memory in MiB.
type usage struct {
	rss, heap                            float64
	goroutines, connections, descriptors int
}

func measure() usage {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u := usage{heap: float64(mem.HeapInuse) / (1 << 20), goroutines: runtime.NumGoroutine()}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
		u.rss = float64(pages*os.Getpagesize()) / (1 << 20)
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the listing's own
		}
		u.descriptors++
		if strings.HasPrefix(target, "socket:") {
			u.connections++
		}
	}
	return u
}

func write(file string, rows [][]string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	return errors.Join(w.WriteAll(rows), f.Close())
}
