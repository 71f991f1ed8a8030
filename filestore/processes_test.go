//go:build unix

package filestore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/filestore"
)

// Real processes on one file store, some of which are killed or frozen. A child is this test
// binary, started again; it reports each call on a pipe, so that what a killed child had done is
// known too. The server is in the parent, which sees each renewal on its way and strikes where it
// wants to.

const (
	procEnv      = "AUTHOS_TEST_PROCESS"
	procEmail    = "ada@example.com"
	procPassword = "correct horse"

	// In place of the server's 30 s, and of the 45 s that a dead holder's lock is kept.
	procSlow, procQuiet = 300 * time.Millisecond, time.Second
)

// procOrder is what a child is told to do.
type procOrder struct {
	Name, URL, Store string
	Calls            int
	Pace             time.Duration // between two calls
	Timeout          time.Duration // of a call
	Quiet            time.Duration // in place of the 45 s: the fake server is done much sooner
	DieAt            string        // the store's step at which to die; no calls are made then
}

// TestProcChild is the children's program.
func TestProcChild(t *testing.T) {
	text := os.Getenv(procEnv)
	if text == "" {
		t.Skip("runs in the processes that other tests start")
	}
	var order procOrder
	must(t, "order", json.Unmarshal([]byte(text), &order))
	report := os.NewFile(3, "report")
	store, err := filestore.New(order.Store)
	must(t, "New", err)
	if order.DieAt != "" {
		procDie(t, store, order.DieAt)
		return
	}
	store.SetQuiet(order.Quiet)
	c, err := authos.New(order.URL, authos.WithTokenStore(store), authos.WithUserAgent(order.Name))
	must(t, "New", err)
	defer func() { _ = c.Close() }()

	const workers = 4
	work := make(chan struct{})
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range work {
				_, _ = io.WriteString(report, procCall(c, store, order.Timeout)+"\n") // one write, so lines stay whole
			}
		})
	}
	tick := time.NewTicker(order.Pace)
	defer tick.Stop()
	for range order.Calls {
		<-tick.C
		work <- struct{}{}
	}
	close(work)
	group.Wait()
}

// procDie kills this process in the middle of the store's work.
func procDie(t *testing.T, store *filestore.TokenStore, at string) {
	t.Helper()
	store.OnStep(func(step string) {
		if step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	unlock := lock(t, store)
	must(t, "Save", store.Save(t.Context(), fresh))
	unlock()
}

// procCall makes one call and says how it ended. Where the session is lost, it is signed in again
// unless somebody else has.
func procCall(c *authos.Client, store *filestore.TokenStore, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	held, err := c.Tokens(ctx) // before the call: these, or later ones, are what it may find lost
	if err == nil {
		_, err = c.User.Get(ctx)
	}
	e, _ := errors.AsType[*authos.SessionError](err)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, authos.ErrSessionExpired):
		return "late"
	case !errors.Is(err, authos.ErrSessionExpired) || e == nil:
		return "other: " + err.Error()
	}
	signedIn, err := procSignInAgain(c, store, held)
	switch {
	case err != nil:
		return "other: signing in again: " + err.Error()
	case signedIn:
		return "lost, signed in"
	default:
		return "lost"
	}
}

// procSignInAgain replaces lost tokens in the store, which is where every process finds the new
// ones.
func procSignInAgain(c *authos.Client, store authos.LockingTokenStore, lost authos.Tokens) (done bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	unlock, err := store.Lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	stored, err := store.Load(ctx)
	if err != nil || stored.RefreshToken != lost.RefreshToken {
		return false, err // somebody else was first
	}
	fresh, err := c.Auth.Login(ctx, authos.LoginParams{Email: procEmail, Password: procPassword})
	if err != nil {
		return false, err
	}
	return true, store.Save(ctx, fresh)
}

// proc is a child as its parent sees it.
type proc struct {
	name string
	slot int
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended, and all it reported has been read

	mu     sync.Mutex
	counts map[string]int // of how its calls ended
	others []string
	killed time.Time
}

func procStart(t *testing.T, order procOrder) *proc {
	t.Helper()
	exe, err := os.Executable()
	must(t, "Executable", err)
	text, err := json.Marshal(order)
	must(t, "Marshal", err)
	read, write, err := os.Pipe()
	must(t, "Pipe", err)
	p := &proc{name: order.Name, counts: map[string]int{}, done: make(chan struct{})}
	p.cmd = exec.Command(exe, "-test.run=^TestProcChild$", "-test.timeout=2m")
	p.cmd.Env = append(os.Environ(), procEnv+"="+string(text))
	p.cmd.ExtraFiles = []*os.File{write}
	var output bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &output, &output
	must(t, "Start", p.cmd.Start())
	_ = write.Close()
	go func() {
		defer close(p.done)
		defer read.Close()
		for lines := bufio.NewScanner(read); lines.Scan(); {
			p.note(lines.Text())
		}
		if err := p.cmd.Wait(); err != nil && p.diedAt().IsZero() {
			p.note(fmt.Sprintf("other: the process ended with %v: %s", err, output.String()))
		}
	}()
	t.Cleanup(func() { p.strike(syscall.SIGKILL); <-p.done })
	return p
}

func (p *proc) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(line, "other") {
		p.others = append(p.others, line)
		line = "other"
	}
	p.counts[line]++
}

// strike sends a signal, and says whether the process was there to get it.
func (p *proc) strike(sig syscall.Signal) bool {
	select {
	case <-p.done:
		return false
	default:
	}
	p.mu.Lock()
	if sig == syscall.SIGKILL && p.killed.IsZero() {
		p.killed = time.Now()
	}
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig) // it may have ended meanwhile
	return true
}

func (p *proc) diedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// ended waits for a child that does not die.
func (p *proc) ended(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(100 * time.Second):
		t.Fatalf("process %s does not end", p.name)
	}
}

// procServer is the fake with a bad road in front of it: what is on its way arrives, also when its
// sender has died.
type procServer struct {
	fake *authostest.Server
	url  string

	mu       sync.Mutex
	grants   []procGrant // sign-ins and renewals, in the order they were answered
	used     map[string]bool
	good     int // calls that were answered with 200
	at       string
	struck   func(sender string)
	strikeIn time.Duration
	striking int
}

// procGrant is a sign-in or a renewal that the server has handled.
type procGrant struct {
	by                string
	presented         string // empty for a sign-in
	ok                bool
	access, refresh   string
	arrived, answered time.Time
}

func newProcServer(t *testing.T) *procServer {
	t.Helper()
	s := &procServer{
		fake: authostest.New(authostest.InMemory(), authostest.WithTokenLife(200*time.Millisecond, time.Hour)), used: map[string]bool{},
	}
	s.fake.AddUser(procEmail, procPassword)
	front := httptest.NewServer(s)
	s.url = front.URL
	t.Cleanup(func() { front.Close(); s.fake.Close() })
	return s
}

// arm strikes at the next renewal that gets to a stage: "sent" (on its way to the server), "taken"
// (the answer is on its way back) or "answered" (a moment after it was written).
func (s *procServer) arm(stage string, in time.Duration, struck func(sender string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.strikeIn, s.struck = stage, in, struck
}

// armed says whether a strike is still to come, or under way.
func (s *procServer) armed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck != nil || s.striking > 0
}

func (s *procServer) reach(stage, sender string) (struck bool) {
	s.mu.Lock()
	strike, in := s.struck, s.strikeIn
	if s.at != stage || strike == nil {
		s.mu.Unlock()
		return false
	}
	s.struck = nil
	s.striking++
	s.mu.Unlock()
	time.Sleep(in)
	strike(sender)
	s.mu.Lock()
	s.striking--
	s.mu.Unlock()
	return true
}

func (s *procServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it died while it wrote
	}
	sender, _, _ := strings.Cut(r.UserAgent(), " ")
	renewal, login := r.URL.Path == refreshPath, r.URL.Path == "/api/auth/login"
	g := procGrant{by: sender, arrived: time.Now()}
	if renewal {
		g.presented = procMember(body, "refresh_token")
		if s.reach("sent", sender) {
			time.Sleep(procSlow - time.Since(g.arrived)) // the server takes its time over what a dead process has sent
			renewal = false                              // which is not struck again
		}
		time.Sleep(rand.N(10 * time.Millisecond))
	}
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	s.mu.Lock()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.used[token] = true
	}
	s.fake.ServeHTTP(answer, again)
	if g.presented != "" || login {
		g.ok, g.answered = answer.Code == 200, time.Now()
		g.access, g.refresh = procMember(answer.Body.Bytes(), "access_token"), procMember(answer.Body.Bytes(), "refresh_token")
		s.grants = append(s.grants, g)
	} else if answer.Code == 200 {
		s.good++
	}
	s.mu.Unlock()
	if g.ok && renewal {
		s.reach("taken", sender)
		time.Sleep(rand.N(10 * time.Millisecond))
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
	if g.ok && renewal {
		_ = http.NewResponseController(w).Flush()
		s.reach("answered", sender)
	}
}

func procMember(body []byte, name string) string {
	var members map[string]any
	_ = json.Unmarshal(body, &members) // an error's body has no such member
	text, _ := members[name].(string)
	return text
}

// procFamily is a session: a sign-in and the renewals that continue it.
type procFamily struct {
	by       string
	used     bool        // anything of it was ever used
	last     procGrant   // the newest tokens
	refusals []procGrant // of its last refresh token: replays, after the answer was lost
}

// families sorts out what the server has seen.
func (s *procServer) families(t *testing.T, first authos.Tokens) []*procFamily {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []*procFamily{{by: "the test", last: procGrant{access: first.AccessToken, refresh: first.RefreshToken}, used: true}}
	of := map[string]*procFamily{first.RefreshToken: all[0]}
	for _, g := range s.grants {
		f := of[g.presented]
		switch {
		case g.presented == "":
			if !g.ok {
				t.Errorf("a sign-in of %s was refused", g.by)
				continue
			}
			f = &procFamily{by: g.by, last: g}
			all = append(all, f)
			of[g.refresh] = f
		case f == nil:
			t.Errorf("%s presented a refresh token that the server never gave", g.by)
		case !g.ok:
			f.refusals = append(f.refusals, g)
		default:
			if f.used = true; g.presented != f.last.refresh || len(f.refusals) > 0 {
				t.Errorf("%s renewed with a refresh token that is not the last", g.by)
			}
			f.last = g
			of[g.refresh] = f
		}
	}
	for _, f := range all {
		f.used = f.used || s.used[f.last.access]
	}
	return all
}

// Eight processes share a session whose access tokens live for 200 ms. Some are killed, at random
// and in the middle of renewals, some are frozen for longer than a dead holder's lock is kept. A
// session ends only where the answer to a renewal died with its process; then one process signs in
// again and all go on.
func TestProcessesAreKilled(t *testing.T) {
	const slots = 8
	calls, strikes, pace := 2000, 14, 7*time.Millisecond
	if testing.Short() {
		calls, strikes = 200, 7
	}
	began := time.Now()
	srv := newProcServer(t)
	path := filepath.Join(t.TempDir(), "tokens.json")
	in := srv.fake.SignIn(procEmail)
	first := authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}
	must(t, "Save", open(t, path).Save(t.Context(), first))

	var mu sync.Mutex
	var all []*proc
	byName := map[string]*proc{}
	start := func(slot int) {
		mu.Lock()
		defer mu.Unlock()
		p := procStart(t, procOrder{
			Name: fmt.Sprintf("slot%d/%d", slot, len(all)), URL: srv.url, Store: path, Calls: calls, Pace: pace, Timeout: 30 * time.Second, Quiet: procQuiet,
		})
		p.slot = slot
		all, byName[p.name] = append(all, p), p
	}
	find := func(name string) *proc {
		mu.Lock()
		defer mu.Unlock()
		return byName[name]
	}
	living := func() (list []*proc) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range all {
			select {
			case <-p.done:
			default:
				list = append(list, p)
			}
		}
		return list
	}
	for slot := range slots {
		start(slot)
	}

	// A strike of each kind in turn; the kill a moment after the answer comes at any point of the
	// answer's way into the store.
	var restarts sync.WaitGroup
	made := map[string]int{}
	count := func(kind string) {
		mu.Lock()
		defer mu.Unlock()
		made[kind]++
	}
	kill := func(kind, name string) {
		if p := find(name); p.strike(syscall.SIGKILL) {
			count(kind)
			restarts.Go(func() {
				<-p.done
				start(p.slot)
			})
		}
	}
	freeze := func(name string) {
		p := find(name)
		p.strike(syscall.SIGSTOP)
		count("frozen")
		time.Sleep(procQuiet + procQuiet/2)
		p.strike(syscall.SIGCONT)
	}
	time.Sleep(time.Second) // all are at work
	for n := range strikes {
		if len(living()) == 0 {
			break
		}
		kind := []string{"random", "sent", "taken", "answered", "random", "answered", "frozen"}[n%7]
		switch kind {
		case "random":
			list := living()
			kill(kind, list[rand.IntN(len(list))].name)
		case "frozen":
			srv.arm("taken", 0, freeze)
		default:
			srv.arm(kind, rand.N(4*time.Millisecond), func(sender string) { kill(kind, sender) })
		}
		time.Sleep(50*time.Millisecond + rand.N(250*time.Millisecond))
		for wait := 0; srv.armed() && len(living()) > 0 && wait < 1000; wait++ {
			time.Sleep(10 * time.Millisecond)
		}
		restarts.Wait()
	}
	srv.arm("", 0, nil)
	for len(living()) > 0 {
		for _, p := range living() {
			p.ended(t)
		}
	}

	// Every call of a survivor, and every call of the others that came to an end.
	survivors, total := 0, map[string]int{}
	for _, p := range all {
		for kind, n := range p.counts {
			total[kind] += n
		}
		for _, other := range p.others {
			t.Errorf("%s: a call ended with %s", p.name, other)
		}
		if !p.killed.IsZero() {
			continue
		}
		survivors++
		if sum := p.counts["ok"] + p.counts["lost"] + p.counts["lost, signed in"]; sum != calls {
			t.Errorf("%s: %d calls ended in success or with the lost session, want %d: %v", p.name, sum, calls, p.counts)
		}
	}
	equal(t, "survivors", survivors, slots)
	equal(t, "calls that were too late", total["late"], 0)
	killed := len(all) - survivors
	if unread := srv.good - total["ok"]; unread < 0 || unread > 4*killed {
		t.Errorf("the server answered %d calls, the processes read %d: want no more difference than the %d killed had under way", srv.good, total["ok"], killed)
	}

	// Every session that ended, and why.
	lost, replays, signIns, unused := 0, 0, 0, 0
	families := srv.families(t, first)
	for i, f := range families {
		if i > 0 && f.used {
			signIns++
		} else if i > 0 {
			if unused++; find(f.by).diedAt().IsZero() {
				t.Errorf("%s signed in for nothing", f.by)
			}
		}
		if len(f.refusals) == 0 {
			continue
		}
		lost++
		replays += len(f.refusals)
		holder := find(f.last.by)
		if holder == nil || holder.diedAt().IsZero() {
			t.Errorf("session %d was lost, but %s, who renewed it last, was not killed", i, f.last.by)
			continue
		}
		if srv.used[f.last.access] {
			t.Errorf("session %d was lost though its last tokens were in use", i)
		}
		var by []string
		for _, g := range f.refusals {
			if by = append(by, g.by); g.arrived.Before(f.last.answered) {
				t.Errorf("session %d: %s presented the refresh token while the renewal of %s was at work", i, g.by, f.last.by)
			}
		}
		if slices.Sort(by); len(slices.Compact(slices.Clone(by))) != len(by) {
			t.Errorf("session %d: %v presented its refresh token, want each once at most", i, by)
		}
	}
	equal(t, "replays seen by the server", srv.fake.Replays(), replays)
	equal(t, "sign-ins", signIns, lost)
	if signIns+unused < total["lost, signed in"] {
		t.Errorf("the processes signed in %d times, the server saw %d", total["lost, signed in"], signIns+unused)
	}
	if lost < made["taken"] {
		t.Errorf("%d sessions were lost, want at least the %d whose tokens were on their way to a process that was killed", lost, made["taken"])
	}
	c, err := authos.New(srv.url, authos.WithTokenStore(open(t, path)))
	must(t, "New", err)
	defer func() { _ = c.Close() }()
	must(t, "Get in the end", get(t, c))
	t.Logf("%v: %d processes, %d killed, strikes %v; calls: %d good, %d named the lost session; %d renewals in %d sessions, %d lost, "+
		"%d replays of them, %d sign-ins, %d more by processes killed before they had saved", time.Since(began).Round(time.Second), len(all), killed,
		made, total["ok"], total["lost"]+total["lost, signed in"], len(srv.grants)-len(families)+1-replays, len(families), lost, replays, signIns, unused)
}

// A holder that is frozen keeps the lock: calls of the others wait, those that cannot fail with
// their own deadline, and when it goes on all go on, without a replay or a sign-in.
func TestProcessIsFrozen(t *testing.T) {
	srv := newProcServer(t)
	path := filepath.Join(t.TempDir(), "tokens.json")
	in := srv.fake.SignIn(procEmail)
	must(t, "Save", open(t, path).Save(t.Context(), authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken}))
	const calls = 150
	procs := map[string]*proc{}
	for i := range 3 {
		name := fmt.Sprintf("process/%d", i)
		procs[name] = procStart(t, procOrder{
			Name: name, URL: srv.url, Store: path, Calls: calls, Pace: 10 * time.Millisecond, Timeout: 400 * time.Millisecond, Quiet: 100 * time.Millisecond,
		})
	}
	time.Sleep(500 * time.Millisecond)
	var frozen *proc
	var from, until time.Time
	thawed := make(chan struct{})
	srv.arm("taken", 0, func(sender string) {
		frozen = procs[sender]
		frozen.strike(syscall.SIGSTOP)
		from = time.Now()
		time.Sleep(1200 * time.Millisecond)
		until = time.Now()
		frozen.strike(syscall.SIGCONT)
		close(thawed)
	})
	select {
	case <-thawed:
	case <-time.After(time.Minute):
		t.Fatal("nobody renewed")
	}
	late := 0
	for _, p := range procs {
		p.ended(t)
		equal(t, p.name+": other errors", strings.Join(p.others, "; "), "")
		equal(t, p.name+": calls", p.counts["ok"]+p.counts["late"], calls)
		if p != frozen {
			late += p.counts["late"]
		}
		if p.counts["ok"] < calls/3 {
			t.Errorf("%s: only %d of %d calls succeeded", p.name, p.counts["ok"], calls)
		}
	}
	if late == 0 {
		t.Error("no call of the others was held up")
	}
	for _, g := range srv.grants {
		if g.arrived.After(from) && g.arrived.Before(until) {
			t.Errorf("%s renewed while %s held the lock", g.by, frozen.name)
		}
	}
	equal(t, "replays", srv.fake.Replays(), 0)
	equal(t, "sign-ins", srv.fake.Count("POST", "/api/auth/login"), 0)
}

// A process dies between any two steps: the store has the tokens before or the new ones, whole, and
// once the next one has the lock, the new ones if they were written. A death under the lock is
// waited out, one before or after it is not.
func TestProcessDiesInSave(t *testing.T) {
	for _, tc := range []struct {
		step           string
		found, settled authos.Tokens
		waits          bool
	}{
		{"acquired", old, old, false},
		{"copy created", old, old, false},
		{"copy written", old, old, false},
		{"copy renamed", old, old, false},
		{"reserved", old, old, false},
		{"marked", old, old, true},
		{"created", old, old, true},
		{"written", old, fresh, true},
		{"flushed", old, fresh, true},
		{"renamed", fresh, fresh, true},
		{"unmarked", fresh, fresh, false},
	} {
		t.Run(tc.step, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			must(t, "Save", s.Save(t.Context(), old))
			p := procStart(t, procOrder{Name: "dying", Store: path, DieAt: tc.step})
			<-p.done
			if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the process ended with %v, want it killed: %v", p.cmd.ProcessState, p.others)
			}
			equal(t, "found", load(t, open(t, path)), tc.found)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			unlock, err := s.Lock(ctx)
			if (err != nil) != tc.waits {
				t.Errorf("Lock = %v, want it to wait: %v", err, tc.waits)
			}
			if err != nil {
				s.SetQuiet(0)
				unlock = lock(t, s)
			}
			equal(t, "found by the next holder", load(t, s), tc.settled)
			unlock()
			equal(t, "files", names(t, filepath.Dir(path)), "tokens.json tokens.json.held tokens.json.lock")
		})
	}
}
