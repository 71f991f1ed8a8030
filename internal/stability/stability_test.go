//go:build unix

package stability_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/servertest"
)

const jobEnv = "AUTHOS_TEST_JOB"

func TestMain(m *testing.M) {
	if text := os.Getenv(jobEnv); text != "" {
		if err := program(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	servertest.RemoveCluster()
	os.Exit(code)
}

const users, reads = 20, 25 // 500 responses

// A program is killed while it reads and writes, and started again while the server is down: it
// serves what its users had read, flagged, and checks their tokens with the keys that it had.
func TestStartedDuringAnOutage(t *testing.T) {
	for kind, where := range map[string]func(t *testing.T) string{
		"files":      func(t *testing.T) string { return t.TempDir() },
		"Redis":      func(t *testing.T) string { return servertest.StartRedis(t, servertest.Durable...).Addr },
		"PostgreSQL": func(t *testing.T) string { return servertest.StartPostgres(t).URL() },
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			j := w.job(kind, where(t))

			j.Phase = "first"
			first := run(t, j)
			if first.Fresh != users*reads || first.Checked != users {
				t.Fatalf("before the outage: %+v", first)
			}
			w.down()

			j.Phase = "outage"
			for _, j.Attempts = range []int{1, 0} { // without retries, and with the defaults
				checkOutage(t, j)
			}

			w.up()
			j.Phase = "after"
			after := run(t, j)
			if after.Fresh != users*reads || after.Stale > 0 || after.Checked != users {
				t.Errorf("after the outage: %+v", after)
			}
		})
	}
}

// checkOutage starts the program while the server is down: once, or 20 times in the long form, for
// the numbers in docs/stores.md.
func checkOutage(t *testing.T, j job) {
	t.Helper()
	runs := 1
	if os.Getenv("AUTHOS_LONG_TESTS") != "" {
		runs = 20
	}
	var firsts []time.Duration
	for range runs {
		got := run(t, j)
		judge(t, got)
		firsts = append(firsts, got.First)
		t.Logf("MaxAttempts %d: the first response %d ms after the process began, the slowest took %d ms; a sign-in failed after %d ms: %s",
			j.Attempts, got.First.Milliseconds(), got.Slowest.Milliseconds(), got.SignInTook.Milliseconds(), got.SignIn)
	}
	slices.Sort(firsts)
	t.Logf("MaxAttempts %d: the first response, median and worst of %d: %d and %d ms",
		j.Attempts, runs, firsts[runs/2].Milliseconds(), firsts[runs-1].Milliseconds())
}

func judge(t *testing.T, got outcome) {
	t.Helper()
	if got.Stale < users*reads*95/100 || got.Fresh > 0 || got.Wrong > 0 {
		t.Errorf("%d of %d responses are served and flagged, %d are not flagged, %d are somebody else's: %q",
			got.Stale, users*reads, got.Fresh, got.Wrong, got.Errors)
	}
	if got.CheckedStale != users || !got.Unknown {
		t.Errorf("%d of %d tokens are accepted and flagged; one with an unknown key is told to come back: %t", got.CheckedStale, users, got.Unknown)
	}
	if !got.SignInUnavailable {
		t.Errorf("a new sign-in: %s", got.SignIn)
	}
}

// world is the server, and what it listens on.
type world struct {
	t     *testing.T
	srv   *authostest.Server
	users []signedIn
	addr  string
	web   *http.Server
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, srv: authostest.New(), addr: "127.0.0.1:0"}
	t.Cleanup(w.srv.Close)
	for i := range users {
		email := fmt.Sprintf("user%d@example.com", i)
		w.srv.AddUser(email, "correct horse")
		in := w.srv.SignIn(email)
		w.users = append(w.users, signedIn{email, in.AccessToken, in.RefreshToken})
	}
	w.up()
	t.Cleanup(w.down)
	return w
}

func (w *world) up() {
	w.t.Helper()
	listener, err := net.Listen("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	w.web = &http.Server{Handler: w.srv, ReadHeaderTimeout: time.Second}
	go func() { _ = w.web.Serve(listener) }()
}

func (w *world) down() { _ = w.web.Close() }

func (w *world) job(kind, where string) job {
	j := job{URL: "http://" + w.addr, Issuer: w.srv.URL, Kind: kind, Where: where, Users: w.users, Paths: []string{"/api/user", "/api/user/devices"}}
	for i := range reads - len(j.Paths) {
		j.Paths = append(j.Paths, fmt.Sprintf("/api/organizations?limit=%d", i+1))
	}
	parts := strings.Split(w.users[0].Access, ".")
	// its kid is "new"
	parts[0] = "eyJ0eXAiOiJhdXRob3MtbWFuYWdlbWVudCtqd3QiLCJhbGciOiJSUzI1NiIsImtpZCI6Im5ldyJ9"
	j.Strange = strings.Join(parts, ".")
	return j
}

// run starts the program, and kills it once it has told what came of its work.
func run(t *testing.T, j job) outcome {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if j.Phase == "first" {
		time.Sleep(30 * time.Millisecond) // in the middle of what it does next
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var got outcome
	if err != nil || json.Unmarshal(line, &got) != nil {
		t.Fatalf("the program said %q, %v", line, err)
	}
	return got
}
