//go:build unix

package authostest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/runlog"
)

// fleetOrder is what a member is told.
type fleetOrder struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Where string `json:"where"`
	Calls int    `json:"calls"`
	// Journal is the file that the steps of the member's session are appended to.
	Journal string `json:"journal"`
}

// fleetReport is a line of a member.
type fleetReport struct {
	At time.Time `json:"at"`
	// What is start; then ok, lost (the session, and the error says so), out (a 401: there are no
	// tokens, or new ones do not help), other (somebody else has signed in), wait (RetryAt says until
	// when) or failed; or it is warn, change (a sign-out succeeded), or again (a sign-in in place of
	// the lost tokens in Text).
	What string `json:"what"`
	Call string `json:"call,omitempty"`
	Text string `json:"text,omitempty"`
}

// FleetMember is to be called first in the TestMain, or main, of a program that calls
// [TestTokenStoreFleet]: the members are this program, started again. In a member's process it
// makes the member's calls, and ends the process; elsewhere it does nothing.
func FleetMember(open func(where string) (authos.LockingTokenStore, error)) {
	if text := os.Getenv(fleetEnv); text != "" {
		os.Exit(fleetProcess(text, open))
	}
}

// fleetProcess is the process: it makes its calls and says how each ended.
func fleetProcess(text string, open func(string) (authos.LockingTokenStore, error)) int {
	var o fleetOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go func() { // the test holds the other end, and has ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := fleetServe(o, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

func fleetSay(what, call, text string) {
	line, err := json.Marshal(fleetReport{time.Now(), what, call, text})
	if err != nil {
		line = []byte(err.Error())
	}
	_, _ = os.Stdout.Write(append(line, '\n')) // in one piece: it is shorter than PIPE_BUF
}

// fleetWarnings says what the client warns of.
type fleetWarnings struct{ slog.Handler }

func (fleetWarnings) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}
func (fleetWarnings) Handle(_ context.Context, r slog.Record) error {
	fleetSay("warn", "", r.Message)
	return nil
}

func fleetServe(o fleetOrder, open func(string) (authos.LockingTokenStore, error)) error {
	store, err := open(o.Where)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(o.Journal, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	note := func(l runlog.Line) {
		l.At, l.By = time.Now(), o.Name
		runlog.Write(file, l)
	}
	runlog.Watch(func(s *runlog.Step) { note(runlog.Line{What: runlog.Stepped, Step: s}) })
	client, err := authos.New(o.URL, authos.WithTokenStore(store), authos.WithUserAgent(o.Name), authos.WithLogger(slog.New(fleetWarnings{})))
	if err != nil {
		return err
	}
	w := fleetWorker{client, store, note}
	var left atomic.Int64
	left.Store(int64(o.Calls))
	var group sync.WaitGroup
	for range fleetWorkers {
		group.Go(func() {
			var seen authos.Tokens
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				seen = w.once(fmt.Sprint(o.Name, n), seen)
				if rand.N(fleetChange) == 0 {
					w.change()
				}
				time.Sleep(fleetPace/2 + rand.N(fleetPace))
			}
		})
	}
	group.Wait()
	return client.Close()
}

// once is worker.do, step by step, so that the outcome of every call is told.
func (w fleetWorker) once(call string, seen authos.Tokens) authos.Tokens {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fleetSay("start", call, "")
	lost, err := w.client.Tokens(ctx)
	var user *authos.User
	if err == nil {
		user, err = w.client.User.Get(ctx, authos.WithHeader(fleetCall, call))
	}
	pending, _ := errors.AsType[*authos.SessionError](err)
	switch {
	case err == nil:
		w.note(runlog.Line{What: runlog.Returned, Call: call, Owner: user.Email})
		fleetSay("ok", call, user.Email)
		return authos.Tokens{}
	case errors.Is(err, authos.ErrSessionExpired):
		fleetSay("lost", call, err.Error())
	case pending == nil && errors.Is(err, authos.ErrUnauthenticated):
		fleetSay("out", call, err.Error())
	case pending != nil && pending.RetryAt.IsZero():
		fleetSay("other", call, err.Error())
		return authos.Tokens{}
	case pending != nil:
		fleetSay("wait", call, err.Error())
		time.Sleep(min(time.Until(pending.RetryAt), time.Second))
		return seen
	default:
		fleetSay("failed", call, err.Error())
		return seen
	}
	if seen, err = w.signIn(ctx, lost, seen); err != nil {
		fleetSay("warn", "", "signing in: "+err.Error())
	}
	return seen
}

// fleetWorker signs in where a session is lost, as one of many processes that share its store.
type fleetWorker struct {
	client *authos.Client
	store  authos.LockingTokenStore
	note   func(runlog.Line)
}

// fleetCall is the header that names a call to the server.
const fleetCall = "X-Request-ID"

func (w fleetWorker) login(ctx context.Context) (authos.Tokens, error) {
	return w.client.Auth.Login(ctx, authos.LoginParams{Email: fleetUsers[rand.N(len(fleetUsers))], Password: fleetLogin})
}

// change signs out, and in again as any of the users.
func (w fleetWorker) change() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := w.client.Auth.Logout(ctx)
	if err == nil {
		fleetSay("change", "", "")
		var fresh authos.Tokens
		if fresh, err = w.login(ctx); err == nil {
			err = w.client.SetTokens(ctx, fresh)
		}
	}
	if err != nil {
		fleetSay("warn", "", "changing the user: "+err.Error())
	}
}

// fleetSignIn signs in if the store still holds the lost tokens, or what it held before another try
// in vain. The client finds the new tokens in the store at its next call; SetTokens would wait for
// the lock that is held here.
func (w fleetWorker) signIn(ctx context.Context, lost, seen authos.Tokens) (authos.Tokens, error) {
	unlock, err := w.store.Lock(ctx)
	if err != nil {
		return seen, err
	}
	w.note(runlog.Line{What: runlog.Locked})
	defer func() {
		w.note(runlog.Line{What: runlog.Unlocks})
		unlock()
	}()
	stored, err := w.store.Load(ctx)
	if err != nil {
		return seen, err
	}
	if r := stored.RefreshToken; r != "" && r != lost.RefreshToken && r != seen.RefreshToken {
		return stored, nil // another process has signed in
	}
	fresh, err := w.login(ctx)
	if err != nil {
		return seen, err
	}
	w.note(runlog.Line{What: runlog.Puts, Pair: runlog.Name(fresh.RefreshToken)})
	if err = w.store.Save(ctx, fresh); err == nil {
		w.note(runlog.Line{What: runlog.Put, Pair: runlog.Name(fresh.RefreshToken)})
		fleetSay("again", "", runlog.Name(stored.RefreshToken))
	}
	return fresh, err
}
