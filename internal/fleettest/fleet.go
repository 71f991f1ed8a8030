//go:build unix

// Package fleettest runs fleets: several processes of a test that share one session through one
// store, while the test kills and freezes them. Every process is a member; its calls go through the
// test, which knows what became of each refresh.
package fleettest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A Fleet says what is tried. Open and Where must be given.
type Fleet struct {
	// Open opens the store in a member's process; Where tells it which one. The lock of a member that
	// dies must end TTL after that, in place of the usual 45 s.
	Open  Open
	Where string
	// LockStays says that a member that is frozen keeps the lock: nobody else refreshes meanwhile.
	LockStays bool
	// Away takes the store away for the given time, and returns when it is back. Nil: it stays.
	Away func(d time.Duration)
	// Size and Calls are how many members there are, and how many calls each place makes. 8 and 2000.
	Size, Calls int
	// Fates is how many refreshes have a fate other than to go well: the first ones of a list that is
	// gone through again and again. 7, which is the whole list.
	Fates int
}

// Open opens the store at a place.
type Open func(where string) (authos.LockingTokenStore, error)

// TTL is how long the lock outlives its holder.
const TTL = 2 * time.Second

const (
	memberEnv = "AUTHOS_TEST_MEMBER"

	fleetWorkers = 2 // goroutines of each member
	fleetPace    = 6 * time.Millisecond
	fleetLife    = 200 * time.Millisecond // of an access token
	fleetUser    = "worker@example.com"
	fleetLogin   = "correct horse"
)

// order is what a member is told.
type order struct {
	Name, URL, Where string
	Calls            int
}

// report is a line of a member.
type report struct {
	At   time.Time
	What string // start; then ok, lost (the session, and the error says so), wait (RetryAt says until when) or failed; signing, signed; warn
	Text string `json:",omitempty"`
}

// Main is called first by the TestMain of a package whose tests have fleets: in a member's process it
// makes the member's calls, and ends the process.
func Main(open Open) {
	if text := os.Getenv(memberEnv); text != "" {
		os.Exit(member(text, open))
	}
}

// member is the process: it makes its calls and says how each ended.
func member(text string, open Open) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go func() { // the test holds the other end, and has ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := serve(o, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

func say(what, text string) {
	line, err := json.Marshal(report{time.Now(), what, text})
	if err != nil {
		line = []byte(err.Error())
	}
	_, _ = os.Stdout.Write(append(line, '\n')) // in one piece: it is shorter than PIPE_BUF
}

// warnings says what the client warns of.
type warnings struct{ slog.Handler }

func (warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (warnings) Handle(_ context.Context, r slog.Record) error {
	say("warn", r.Message)
	return nil
}

func serve(o order, open Open) error {
	store, err := open(o.Where)
	if err != nil {
		return err
	}
	client, err := authos.New(o.URL, authos.WithTokenStore(store), authos.WithUserAgent(o.Name), authos.WithLogger(slog.New(warnings{})))
	if err != nil {
		return err
	}
	w := worker{client, store, authos.LoginParams{Email: fleetUser, Password: fleetLogin}}
	var left atomic.Int64
	left.Store(int64(o.Calls))
	var group sync.WaitGroup
	for range fleetWorkers {
		group.Go(func() {
			var seen authos.Tokens
			for left.Add(-1) >= 0 {
				seen = w.once(seen)
				time.Sleep(fleetPace/2 + rand.N(fleetPace))
			}
		})
	}
	group.Wait()
	return client.Close()
}

// once is worker.do, step by step, so that the outcome of every call is told.
func (w worker) once(seen authos.Tokens) authos.Tokens {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	say("start", "")
	lost, err := w.client.Tokens(ctx)
	if err == nil {
		_, err = w.client.User.Get(ctx)
	}
	pending, _ := errors.AsType[*authos.SessionError](err)
	switch {
	case err == nil:
		say("ok", "")
		return authos.Tokens{}
	case errors.Is(err, authos.ErrSessionExpired):
		say("lost", err.Error())
	case pending != nil:
		say("wait", err.Error())
		time.Sleep(min(time.Until(pending.RetryAt), time.Second))
		return seen
	default:
		say("failed", err.Error())
		return seen
	}
	if seen, err = w.signIn(ctx, lost, seen); err != nil {
		say("warn", "signing in: "+err.Error())
	}
	return seen
}

// The test's side.

// fate is what becomes of one refresh.
type fate string

const (
	goesWell     fate = "went well"
	killedSent   fate = "killed when sent"           // the server never works on it
	killedUnread fate = "killed before the response" // the server has refreshed, nobody learns the tokens
	killedRead   fate = "killed with the response"   // perhaps they are saved, perhaps not
	frozenSent   fate = "frozen when sent"           // past the lock's end; then the server works on it
	frozenUnread fate = "frozen before the response"
)

// refresh is one presentation of a refresh token, as the server saw it.
type refresh struct {
	at                 time.Time
	by                 string
	refresh, refreshed string // tokens; refreshed is empty when the server refused
	access             string // the new one
	fate               fate
}

// signIn is one sign-in that succeeded.
type signIn struct {
	at              time.Time
	by              string
	refresh, access string
}

// family is a session, with all refresh tokens it ever had.
type family struct {
	opened  signIn
	last    refresh // the last that succeeded
	refused []refresh
	fates   []fate // other than goesWell
}

// freeze is a member's time on ice.
type freeze struct {
	of         string
	from, till time.Time
}

type fleet struct {
	t     *testing.T
	srv   *authostest.Server
	what  Fleet
	plan  []fate // of refreshes, one after the other; none: all go well
	every int    // a fate of the plan is due every that many refreshes

	mu        sync.Mutex
	procs     map[string]*os.Process
	killed    map[string]bool
	refreshes []refresh
	signIns   []signIn
	usedBy    map[string]map[string]bool // access token: members it worked for
	current   string                     // the refresh token that the server gave last
	fates     map[fate]int
	victim    string // the member whose fate takes its course; nobody else's does meanwhile
	quiet     int    // refreshes since the last fate
	thawed    map[string]time.Time
	freezes   []freeze
	reports   map[string][]report
}

// ServeHTTP stands between the members and the server.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.UserAgent(), " ")
	switch r.URL.Path {
	case "/api/auth/refresh":
		f.refresh(w, r, name)
	case "/api/auth/login":
		response := f.response(r, nil)
		if t := tokensIn(response); t.Refresh != "" {
			f.mu.Lock()
			f.signIns = append(f.signIns, signIn{time.Now(), name, t.Refresh, t.Access})
			f.current = t.Refresh
			f.mu.Unlock()
		}
		forward(w, response)
	default:
		response := f.response(r, nil)
		if response.Code == http.StatusOK {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			f.mu.Lock()
			if f.usedBy[token] == nil {
				f.usedBy[token] = map[string]bool{}
			}
			f.usedBy[token][name] = true
			f.mu.Unlock()
		}
		forward(w, response)
	}
}

func (f *fleet) response(r *http.Request, body []byte) *httptest.ResponseRecorder {
	r = r.Clone(context.Background()) // the server goes on when its client is gone
	if body != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response := httptest.NewRecorder()
	f.srv.ServeHTTP(response, r)
	// The server counts whole seconds, and the tokens do not live for one.
	text := bytes.Replace(response.Body.Bytes(), []byte(`"expires_in":1`), fmt.Appendf(nil, `"expires_in":%g`, fleetLife.Seconds()), 1)
	response.Header().Del("Content-Length")
	response.Body = bytes.NewBuffer(text)
	return response
}

type tokenPair struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func tokensIn(response *httptest.ResponseRecorder) (t tokenPair) {
	_ = json.Unmarshal(response.Body.Bytes(), &t)
	return t
}

func forward(w http.ResponseWriter, response *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), response.Header())
	w.WriteHeader(response.Code)
	_, _ = w.Write(response.Body.Bytes())
}

// refresh decides the fate of a refresh, and carries it out.
func (f *fleet) refresh(w http.ResponseWriter, r *http.Request, name string) {
	body, _ := io.ReadAll(r.Body)
	var sent struct {
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &sent)
	course := f.draw(name, sent.Refresh)
	if course != goesWell {
		defer f.over(name)
	}
	switch course {
	case killedSent:
		f.kill(name)
		return
	case frozenSent:
		f.freeze(name)()
	default: // later
	}
	response := f.response(r, body)
	got := tokensIn(response)
	f.mu.Lock()
	f.refreshes = append(f.refreshes, refresh{time.Now(), name, sent.Refresh, got.Refresh, got.Access, course})
	f.current = cmp.Or(got.Refresh, f.current)
	f.mu.Unlock()
	switch course {
	case killedUnread:
		f.kill(name)
		return
	case frozenUnread:
		defer f.freeze(name)()
	case killedRead:
		defer func() {
			time.Sleep(rand.N(3 * time.Millisecond))
			f.kill(name)
		}()
	default: // it was before
	}
	time.Sleep(rand.N(5 * time.Millisecond)) // the server's work
	forward(w, response)
	_ = http.NewResponseController(w).Flush()
}

// draw gives a member its fate, if the server is going to refresh.
func (f *fleet) draw(name, refresh string) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	course := goesWell
	if f.quiet++; f.victim == "" && len(f.plan) > 0 && f.quiet >= f.every && refresh == f.current {
		f.quiet, f.victim = 0, name
		course, f.plan = f.plan[0], f.plan[1:]
	}
	f.fates[course]++
	return course
}

// over ends the course of a member's fate.
func (f *fleet) over(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.victim = ""
	if !f.killed[name] {
		f.thawed[name] = time.Now()
	}
}

func (f *fleet) signal(name string, sig os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.procs[name]; p != nil {
		_ = p.Signal(sig)
	}
}

// freeze stops a member for longer than its lock lasts; thaw lets it go on.
func (f *fleet) freeze(name string) (thaw func()) {
	from := time.Now()
	f.signal(name, syscall.SIGSTOP)
	time.Sleep(2 * TTL)
	return func() {
		f.mu.Lock()
		f.freezes = append(f.freezes, freeze{name, from, time.Now()})
		f.mu.Unlock()
		f.signal(name, syscall.SIGCONT)
	}
}

func (f *fleet) kill(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.procs[name]; p != nil {
		f.killed[name] = true
		_ = p.Kill()
	}
}

// slot keeps one place of the fleet taken, until its calls are made.
func (f *fleet) slot(url string, place int) {
	left := f.what.Calls
	for life := 0; left > 0 && !f.t.Failed(); life++ {
		o := order{Name: fmt.Sprintf("member-%d.%d/1", place, life), URL: url, Where: f.what.Where, Calls: left}
		told, err := f.live(o)
		for _, r := range told {
			switch r.What {
			case "ok", "lost", "wait", "failed":
				left--
			}
		}
		f.mu.Lock()
		killed := f.killed[o.Name]
		delete(f.procs, o.Name)
		f.reports[o.Name] = told
		f.mu.Unlock()
		if err != nil && !killed {
			f.t.Errorf("%s: %v", o.Name, err)
			return
		}
		if err == nil && left > 0 {
			f.t.Errorf("%s ended with %d calls left", o.Name, left)
			return
		}
	}
}

// live runs one member to its end.
func (f *fleet) live(o order) ([]report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.procs[o.Name] = cmd.Process
	f.mu.Unlock()
	var told []report
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) == nil { // the last line of a killed process may be cut
			told = append(told, r)
		}
	}
	return told, cmd.Wait()
}

// Run runs a fleet to its end and judges it: every call of a living member ends in success, or names
// the lost session; sessions are lost only where the response to a refresh died with its process (or
// came to one that was frozen past its lock's end), and nobody presents a refresh token twice.
func Run(t *testing.T, what Fleet) {
	t.Helper()
	what.Size, what.Calls, what.Fates = cmp.Or(what.Size, 8), cmp.Or(what.Calls, 2000), cmp.Or(what.Fates, 7)
	f := &fleet{
		t: t, what: what, srv: authostest.New(authostest.InMemory(), authostest.WithTokenLife(fleetLife, time.Hour)),
		every: 5,
		procs: map[string]*os.Process{}, killed: map[string]bool{}, usedBy: map[string]map[string]bool{}, reports: map[string][]report{},
		fates: map[fate]int{}, thawed: map[string]time.Time{},
	}
	all := []fate{killedUnread, frozenUnread, killedSent, killedRead, frozenSent, killedUnread, killedRead}
	for n := range what.Fates {
		f.plan = append(f.plan, all[n%len(all)])
	}
	defer f.srv.Close()
	f.srv.AddUser(fleetUser, fleetLogin)
	web := httptest.NewServer(f)
	defer web.Close()

	// Somebody has signed in.
	first, err := authos.New(web.URL, authos.WithUserAgent("test/1"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fresh, err := first.Auth.Login(t.Context(), authos.LoginParams{Email: fleetUser, Password: fleetLogin})
	if err != nil {
		t.Fatal(err)
	}
	store, err := what.Open(what.Where)
	if err == nil {
		err = store.Save(t.Context(), fresh)
	}
	if err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	ended := make(chan struct{})
	var places, trouble sync.WaitGroup
	for place := range what.Size {
		places.Go(func() { f.slot(web.URL, place) })
	}
	var outage [2]time.Time
	trouble.Go(func() { // the store is away for a while
		if what.Away != nil && pauseUntil(ended, 8*time.Second) {
			outage[0] = time.Now()
			what.Away(TTL / 3)
			outage[1] = time.Now()
		}
	})
	trouble.Go(func() { // members die at any moment
		for pauseUntil(ended, time.Second+rand.N(2*time.Second)) {
			f.mu.Lock()
			names := make([]string, 0, len(f.procs))
			for name := range f.procs {
				if name != f.victim {
					names = append(names, name)
				}
			}
			f.mu.Unlock()
			if len(names) > 0 {
				f.kill(names[rand.N(len(names))])
			}
		}
	})
	places.Wait()
	close(ended)
	trouble.Wait()
	f.judge(time.Since(start), outage)
}

// pauseUntil waits, and reports whether the test goes on.
func pauseUntil(ended chan struct{}, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ended:
		return false
	}
}

// judge compares what the members told with what the server saw.
func (f *fleet) judge(took time.Duration, outage [2]time.Time) {
	t := f.t
	t.Helper()
	count := map[string]int{}
	inFlight, warned := 0, map[string]int{}
	for name, told := range f.reports {
		open := 0
		for _, r := range told {
			count[r.What]++
			switch r.What {
			case "start":
				open++
			case "ok", "lost", "wait", "failed":
				open--
			case "warn":
				warned[r.Text]++
			}
			if r.What == "wait" && (r.At.Before(outage[0]) || r.At.After(outage[1].Add(5*time.Second))) {
				t.Errorf("%s: %q at %v, when the store was there (it was away from %v to %v)", name, r.Text, r.At, outage[0], outage[1])
			}
			if r.What == "failed" {
				t.Errorf("%s: a call failed with %q, %v after its fate", name, r.Text, r.At.Sub(f.thawed[name]))
			}
		}
		if open > 0 && !f.killed[name] || open > fleetWorkers {
			t.Errorf("%s: %d calls did not end", name, open)
		}
		inFlight += open
	}
	done := count["ok"] + count["lost"] + count["wait"] + count["failed"]
	if done != f.what.Size*f.what.Calls || count["start"] != done+inFlight {
		t.Errorf("%d calls began, %d ended and %d died with their process; want %d to end", count["start"], done, inFlight, f.what.Size*f.what.Calls)
	}

	families, replays := f.families()
	lost, excused := 0, 0
	for i, fam := range families {
		if len(fam.refused) > 0 {
			lost++
			if why := f.reason(fam); why == "" {
				t.Errorf("session %d was lost, though its tokens had been saved: last refreshed by %s at %v, refused to %s at %v",
					i, fam.last.by, fam.last.at, fam.refused[0].by, fam.refused[0].at)
			}
		}
		if i > 0 && f.unused(fam) {
			if !f.killed[fam.opened.by] {
				t.Errorf("session %d was opened by %s, and nobody else ever used it", i, fam.opened.by)
			}
			excused++
		}
	}
	again := len(families) - 1
	open := again > 0 && f.unused(families[again]) // the test may have ended before anybody could use what was saved
	if missing := lost - (again - excused); missing != 0 && (missing != 1 || !open) {
		t.Errorf("%d sessions were lost, and signed in again %d times (%d of them by processes that died before they could save)", lost, again, excused)
	}
	if server := f.srv.Replays(); server != replays {
		t.Errorf("the server counted %d replays, the refreshes seen show %d", server, replays)
	}
	for name, at := range f.thawed {
		goesOn := func(r report) bool { return r.What == "ok" && r.At.After(at) }
		if !f.killed[name] && !slices.ContainsFunc(f.reports[name], goesOn) {
			t.Errorf("%s was frozen until %v, and no call of it succeeded afterwards", name, at)
		}
	}
	for _, z := range f.freezes {
		for _, r := range f.refreshes {
			if f.what.LockStays && r.by != z.of && r.at.After(z.from) && r.at.Before(z.till) {
				t.Errorf("%s refreshed at %v, while %s was frozen and held the lock", r.by, r.at, z.of)
			}
		}
	}
	if len(f.plan) > 0 {
		t.Errorf("the test ended before its plan; left: %q", f.plan)
	}
	if f.what.Away != nil && outage[1].IsZero() {
		t.Error("the test ended before the store went away")
	}
	t.Logf("%v; %d processes, %d killed; %d calls: %d succeeded, %d named a lost session, %d were told to wait for the store, %d died with their process",
		took.Round(time.Second), len(f.reports), len(f.killed), count["start"], count["ok"], count["lost"], count["wait"], inFlight)
	t.Logf("%d refreshes, %d replays; %d sessions lost, %d sign-ins again (%d died unsaved)", len(f.refreshes), replays, lost, len(families)-1, excused)
	t.Logf("fates: %v; warnings: %v", f.fates, warned)
}

// families sorts the refreshes by session, and counts presentations of tokens that had been used.
func (f *fleet) families() (all []*family, replays int) {
	slices.SortFunc(f.signIns, func(a, b signIn) int { return a.at.Compare(b.at) })
	of := map[string]*family{}
	for _, s := range f.signIns {
		fam := &family{opened: s, last: refresh{by: s.by, at: s.at, access: s.access}}
		of[s.refresh] = fam
		all = append(all, fam)
	}
	used := map[string]bool{}
	presented := map[string]int{}
	for _, r := range f.refreshes {
		fam := of[r.refresh]
		if fam == nil {
			f.t.Errorf("%s presented a refresh token that nobody was given", r.by)
			continue
		}
		if r.fate != goesWell {
			fam.fates = append(fam.fates, r.fate)
		}
		if presented[r.by+r.refresh]++; presented[r.by+r.refresh] > 1 {
			f.t.Errorf("%s presented the same refresh token %d times", r.by, presented[r.by+r.refresh])
		}
		if used[r.refresh] {
			replays++
		}
		if r.refreshed == "" {
			fam.refused = append(fam.refused, r)
			continue
		}
		used[r.refresh] = true
		of[r.refreshed] = fam
		fam.last = r
	}
	return all, replays
}

// reason says why a session may have been lost; nothing: it may not.
func (f *fleet) reason(fam *family) fate {
	for _, course := range fam.fates {
		if course == killedUnread || !f.what.LockStays && (course == frozenSent || course == frozenUnread) {
			return course
		}
	}
	// The response was there, and its process died before anybody else had the tokens.
	if f.killed[fam.last.by] && f.mine(fam.last.access, fam.last.by) {
		return cmp.Or(fam.last.fate, "killed")
	}
	return ""
}

// mine says that an access token worked for nobody but its first owner.
func (f *fleet) mine(access, owner string) bool {
	for name := range f.usedBy[access] {
		if name != owner {
			return false
		}
	}
	return true
}

// unused says that a session was never anybody's but that of who opened it.
func (f *fleet) unused(fam *family) bool {
	return fam.last.access == fam.opened.access && f.mine(fam.opened.access, fam.opened.by) && len(fam.refused) == 0
}

// worker signs in where a session is lost, as one of many processes that share its store.
type worker struct {
	client *authos.Client
	store  authos.LockingTokenStore
	login  authos.LoginParams
}

// signIn signs in if the store still holds the lost tokens, or what it held before another try in
// vain. The client finds the new tokens in the store at its next call; SetTokens would wait for the
// lock that is held here.
func (w worker) signIn(ctx context.Context, lost, seen authos.Tokens) (authos.Tokens, error) {
	unlock, err := w.store.Lock(ctx)
	if err != nil {
		return seen, err
	}
	defer unlock()
	stored, err := w.store.Load(ctx)
	if err != nil {
		return seen, err
	}
	if r := stored.RefreshToken; r != "" && r != lost.RefreshToken && r != seen.RefreshToken {
		return stored, nil // another process has signed in
	}
	fresh, err := w.client.Auth.Login(ctx, w.login)
	if err != nil {
		return seen, err
	}
	return fresh, w.store.Save(ctx, fresh)
}
