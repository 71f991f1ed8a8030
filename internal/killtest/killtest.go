//go:build unix

// Package killtest kills processes at every step of a refresh, and those that come after them at
// every step of what they find.
package killtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/internal/runlog"
	core "github.com/authos-go/authos/internal/session"
	"github.com/authos-go/authos/internal/session/replay"
)

// Store is the store that the processes share.
type Store struct {
	// Open opens it, in the processes and in the test; step is to be called between the steps of
	// what it does. The lock of a process that dies must end soon after: the server is done at
	// once.
	Open func(where string, step func()) (authos.TokenStore, error)
	// Where makes an empty one.
	Where func() string
	// Expires says that its lock ends by itself.
	Expires bool
}

const env = "AUTHOS_TEST_KILLED"

// order is what a process is told.
type order struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Where   string `json:"where"`
	Journal string `json:"journal"`
	DieAt   int    `json:"die_at"` // the number of the step; 0: none
}

// How a process's call ended, by its exit code.
const (
	worked = iota
	over
	inDoubt // the session may be over, and nothing is presented now
	failed
	killed
)

// Process is to be called first in the TestMain of a test that calls [Sweep]: the processes are
// this program, started again. In such a process it does not return.
func Process(s Store) {
	if text := os.Getenv(env); text != "" {
		code, err := s.process(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
}

// process makes a call that needs a refresh. A step is one of the session's core, one of the
// store's, or the moment before a request leaves or after its response has arrived.
func (s Store) process(text string) (code int, err error) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return failed, err
	}
	file, err := os.OpenFile(o.Journal, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return failed, err
	}
	var mu sync.Mutex
	steps := 0
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		if steps++; steps == o.DieAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	store, err := s.Open(o.Where, step)
	if err != nil {
		return failed, err
	}
	runlog.Watch(func(s *runlog.Step) {
		runlog.Write(file, runlog.Line{At: time.Now(), By: o.Name, What: runlog.Stepped, Step: s})
		if s.Event.Kind != core.Tick || len(s.Actions) > 0 {
			step()
		}
	})
	client, err := authos.New(o.URL, authos.WithTokenStore(store), authos.WithUserAgent(o.Name),
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}), authos.WithHTTPClient(&http.Client{Transport: wire{step}}))
	if err != nil {
		return failed, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = client.User.Get(ctx)
	_ = client.Close()
	pending, _ := errors.AsType[*authos.SessionError](err)
	switch {
	case err == nil:
		return worked, nil
	case errors.Is(err, authos.ErrSessionExpired):
		return over, nil
	case pending != nil && !pending.RetryAt.IsZero():
		return inDoubt, nil
	}
	return failed, err
}

type wire struct{ step func() }

// RoundTrip implements [http.RoundTripper].
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.step()
	resp, err := http.DefaultTransport.RoundTrip(req)
	w.step()
	return resp, err
}

// life is a session, the server it is at, and its journal.
type life struct {
	srv     *authostest.Server
	mu      sync.Mutex
	file    *os.File
	where   string
	arrived map[string]int // refresh tokens
	names   int
}

// ServeHTTP implements [http.Handler].
func (s *life) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by, _, _ := strings.Cut(r.UserAgent(), " ")
	if r.URL.Path != "/api/auth/refresh" {
		s.srv.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var sent, got struct {
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &sent)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived[sent.Refresh]++
	s.note(runlog.Line{What: runlog.Got, By: by, Pair: runlog.Name(sent.Refresh)})
	response := httptest.NewRecorder()
	s.srv.ServeHTTP(response, r.WithContext(context.Background()))
	_ = json.Unmarshal(response.Body.Bytes(), &got)
	l := runlog.Line{What: runlog.Refused, By: by, Pair: runlog.Name(sent.Refresh)}
	if got.Refresh != "" {
		l.What, l.Gave = runlog.Took, runlog.Name(got.Refresh)
	}
	s.note(l)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(response.Code)
	_, _ = w.Write(response.Body.Bytes())
}

func (s *life) note(l runlog.Line) {
	l.At = time.Now()
	runlog.Write(s.file, l)
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// run lets a process live until a step, and says how it ended.
func (s *life) run(t testing.TB, url string, dieAt int) int {
	t.Helper()
	s.names++
	o := order{fmt.Sprintf("p%d/1", s.names), url, s.where, s.file.Name(), dieAt}
	text, err := json.Marshal(o)
	must(t, "Marshal", err)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), env+"="+string(text))
	began := time.Now()
	output, _ := child.CombinedOutput() // an error is seen by the code
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a process took %v", took)
	}
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && dieAt > 0 {
		s.note(runlog.Line{What: runlog.Killed, By: o.Name})
		return killed
	}
	code := child.ProcessState.ExitCode()
	if code > inDoubt || code < 0 {
		t.Fatalf("the process ended with %v: %s", child.ProcessState, output)
	}
	return code
}

// live makes a session that needs a refresh, and processes that die at the steps given; one that
// does not die follows. reached counts those that did. witness says that the access token was
// refused before its expiry: so a refresh token that was taken is known for one.
func (s Store) live(t testing.TB, witness bool, steps ...int) (reached, end int) {
	t.Helper()
	l := &life{srv: authostest.New(authostest.InMemory()), where: s.Where(), arrived: map[string]int{}}
	defer l.srv.Close()
	var err error
	l.file, err = os.CreateTemp(t.TempDir(), "journal")
	must(t, "the journal", err)
	must(t, "the journal", l.file.Close())
	l.file, err = os.OpenFile(l.file.Name(), os.O_RDWR|os.O_APPEND, 0)
	must(t, "the journal", err)
	defer l.file.Close()
	web := httptest.NewServer(l)
	defer web.Close()
	first := l.srv.SignIn("ada@example.com")
	first.Origin = ""
	if !witness {
		first.ExpiresAt = time.Now().Add(-time.Minute)
	}
	store, err := s.Open(l.where, func() {})
	must(t, "Open", err)
	must(t, "Save", store.Save(t.Context(), first))
	l.srv.ExpireAccessTokens()
	for _, line := range []runlog.Line{{What: runlog.SignedIn, Owner: "ada"}, {What: runlog.Puts}, {What: runlog.Put}} {
		line.Pair = runlog.Name(first.RefreshToken)
		l.note(line)
	}
	for _, step := range steps {
		if l.run(t, web.URL, step) == killed {
			reached++
		}
	}
	end = l.run(t, web.URL, 0)
	_, err = l.file.Seek(0, io.SeekStart)
	must(t, "the journal", err)
	lines, err := runlog.Read(l.file)
	must(t, "the journal", err)
	err = replay.Check(replay.Setup{Expires: s.Expires, Slack: 5 * time.Second}, lines)
	must(t, fmt.Sprintf("replay of the journal, killed at %d", steps), err)
	for _, n := range l.arrived {
		if n > 1 && (witness || reached == 0 || end != over) {
			t.Errorf("killed at %d: a refresh token arrived %d times, and the last call ended with %d", steps, n, end)
		}
	}
	if end == over && l.srv.Replays() == 0 || end == inDoubt && !witness {
		t.Errorf("killed at %d: the last call ended with %d, without a reason", steps, end)
	}
	return reached, end
}

// Sweep kills a process at every step of a refresh, and then the next one at a step of the
// recovery: at every one in the long form. In the end the session works, or is over where the
// tokens died with their process; no process takes long. Where the access token is a witness, no
// refresh token arrives twice, and a call is told that the session is in doubt.
func Sweep(t testing.TB, s Store, long bool) {
	t.Helper()
	for _, witness := range []bool{false, true} {
		total, ends := 0, map[int]int{}
		for first := 1; !t.Failed(); first++ {
			reached, end := s.live(t, witness, first)
			ends[end]++
			if reached == 0 {
				total = first - 1
				break
			}
			for second := 1; long || second == 1 && first%3 == 0; second++ {
				at := second
				if !long {
					at = 1 + first*7%30
				}
				again, end := s.live(t, witness, first, at)
				ends[end]++
				if again < 2 {
					break
				}
			}
		}
		if total < 20 {
			t.Errorf("%d steps, want 20 or more", total)
		}
		t.Logf("witness %v: %d steps; %d runs ended well, %d over, %d in doubt", witness, total, ends[worked], ends[over], ends[inDoubt])
	}
}
