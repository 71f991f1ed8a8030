package authos_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/runlog"
	core "github.com/authos-go/authos/internal/session"
	"github.com/authos-go/authos/internal/session/replay"
)

// Whole runs: a few processes share a store and live through a few kinds of trouble, at random
// times. Their time is virtual, so that minutes take milliseconds. Each run's journal is replayed
// in the core. In the end each session must work or be over.

// run is one of them.
type run struct {
	seed uint64
	kind string // of the store: file, expiring, plain (one process), two clients (of one process)
	has  map[string]bool

	mu     sync.Mutex
	rng    *rand.Rand
	lines  []runlog.Line
	calm   bool // nothing goes wrong any more
	shelf  shelf
	server tokenServer
	news   int // processes that were started
	calls  int
}

// What can go wrong. Each run has one to three of them.
var troubles = []string{
	"requests are lost", "responses are lost", "slow server", "not sent", "refused before the expiry", "saves fail", "loads fail",
	"kills", "stalls", "sign-outs", "another signs in", "the same signs in", "the store goes back", "closes", "logout only",
}

func (r *run) log(l runlog.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(l)
}

func (r *run) write(l runlog.Line) {
	l.At = time.Now()
	r.lines = append(r.lines, l)
}

// happens draws whether some trouble comes now.
func (r *run) happens(trouble string, share float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has[trouble] && !r.calm && r.rng.Float64() < share
}

func (r *run) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.rng.Int64N(int64(d)))
}

// tokenServer knows the pairs that it gave. The run's mu guards it.
type tokenServer struct {
	pairs map[string]*issued // by access and by refresh token
	n     int
}

type issued struct {
	access, refresh string
	until           time.Time
	in              *signedIn
}

type signedIn struct {
	owner   string
	current *issued
	over    bool
}

const tokenLife = 70 * time.Second

func (s *tokenServer) issue(in *signedIn) *issued {
	s.n++
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"jti":"%d"}`, in.owner, now.Unix(), s.n)
	p := &issued{
		access:  "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln",
		refresh: "refresh-" + strconv.Itoa(s.n), until: now.Add(tokenLife), in: in,
	}
	in.current = p
	s.pairs[p.access], s.pairs[p.refresh] = p, p
	return p
}

func (p *issued) tokens() authos.Tokens {
	return authos.Tokens{AccessToken: p.access, RefreshToken: p.refresh, ExpiresAt: p.until}
}

func (r *run) signIn(owner string) authos.Tokens {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.server.issue(&signedIn{owner: owner})
	r.write(runlog.Line{What: runlog.SignedIn, Pair: runlog.Name(p.refresh), Owner: owner, Until: p.until})
	return p.tokens()
}

// exchange is the server's work on a refresh token.
func (r *run) exchange(by, token string) reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.server.pairs[token]
	if p == nil || p.in.over || p.in.current != p {
		r.write(runlog.Line{By: by, What: runlog.Refused, Pair: runlog.Name(token)})
		if p != nil {
			p.in.over = true
		}
		return reply{status: 401, body: refusedBody}
	}
	next := r.server.issue(p.in)
	r.write(runlog.Line{By: by, What: runlog.Took, Pair: runlog.Name(token), Gave: runlog.Name(next.refresh), Until: next.until})
	return reply{status: 200, body: fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"expires_in":%d}`,
		next.access, next.refresh, int(tokenLife.Seconds()))}
}

func (r *run) serve(by, access, call string) reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.server.pairs[access]
	l := runlog.Line{By: by, What: runlog.Denied, Call: call}
	if p != nil {
		l.Pair, l.Owner = runlog.Name(p.refresh), p.in.owner
	}
	if p == nil || p.in.over || p.in.current != p || !time.Now().Before(p.until) {
		r.write(l)
		return reply{status: 401, body: deadTokenBody}
	}
	l.What = runlog.Served
	r.write(l)
	return reply{status: 200, body: fmt.Sprintf(`{"id":%q,"email":"%s@example.com"}`, p.in.owner, p.in.owner)}
}

func (r *run) end(by, token string, consumedToo bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.server.pairs[token]; p != nil && (consumedToo || p.in.current == p) {
		p.in.over = true
		r.write(runlog.Line{By: by, What: runlog.Ended, Pair: runlog.Name(p.refresh)})
	}
}

// rotated makes all access tokens invalid before their expiry, as new keys do.
func (r *run) rotated() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.server.pairs {
		p.until = time.Now()
	}
}

// shelf is what the store holds, and its lock. The run's mu guards it.
type shelf struct {
	tokens, before authos.Tokens
	owner          *grip // of the lock, or who had it last
	held, dirty    bool
}

// grip is the lock, held once.
type grip struct {
	by    *process
	since time.Time
}

const lockLife = 45 * time.Second

// process is a process, or one of two clients of one.
type process struct {
	r      *run
	name   string
	client *authos.Client
	over   bool      // killed, or it has ended
	closed bool      // by the program
	stall  time.Time // until when its store and network stand still
}

var errDead = errors.New("the process is dead")

// pause takes a moment, and as long as the process stands still.
func (p *process) pause(ctx context.Context) error {
	r := p.r
	wait := r.upTo(10 * time.Millisecond)
	for wait > 0 {
		if err := pauseFor(ctx, wait); err != nil {
			return err
		}
		r.mu.Lock()
		wait = time.Until(p.stall)
		r.mu.Unlock()
	}
	if r.dead(p) {
		return errDead
	}
	return nil
}

func (r *run) dead(p *process) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.over
}

func (p *process) log(l runlog.Line) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if l.By = p.name; !p.over {
		p.r.write(l)
	}
}

func (p *process) kill() {
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	r.write(runlog.Line{By: p.name, What: runlog.Killed})
	if s := &r.shelf; s.held && s.owner.by == p && r.kind == "file" {
		s.held, s.dirty = false, true
	}
}

// RoundTrip is the network of a process, and the server.
func (p *process) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	r := p.r
	if req.URL.Path == refreshPath {
		return p.refresh(req, body)
	}
	if err := p.pause(req.Context()); err != nil {
		return nil, err
	}
	access := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	var got reply
	switch {
	case r.happens("not sent", 0.1):
		return nil, dialRefused()
	case req.URL.Path == "/auth/revoke" && r.logoutOnly():
		got = reply{status: 404, body: `{"error":"Not found","error_code":"NOT_FOUND","timestamp":"2026-05-20T12:00:00+00:00"}`}
	case req.URL.Path == "/auth/revoke":
		form, _ := url.ParseQuery(string(body))
		r.end(p.name, form.Get("token"), true)
		got = reply{status: 200}
	case strings.HasSuffix(req.URL.Path, "/logout"):
		r.end(p.name, access, false)
		got = reply{status: 200, body: `{"message":"Logged out"}`}
	default:
		got = r.serve(p.name, access, req.Header.Get("X-Request-ID"))
	}
	if r.happens("responses are lost", 0.1) {
		return nil, connectionReset()
	}
	if err := p.pause(req.Context()); err != nil {
		return nil, err
	}
	return got.response(req), nil
}

func (r *run) logoutOnly() bool { return r.has["logout only"] }

// refresh is a presentation on its way. The server goes on when its client has left.
func (p *process) refresh(req *http.Request, body []byte) (*http.Response, error) {
	r := p.r
	if r.happens("not sent", 0.3) || r.dead(p) { // it leaves at once: later would be exception E4
		return nil, dialRefused()
	}
	var sent struct {
		Token string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &sent)
	lostOnTheWay, lostAtWork, lostBack := r.happens("requests are lost", 0.4), r.happens("responses are lost", 0.2), r.happens("responses are lost", 0.2)
	work := r.upTo(100 * time.Millisecond)
	if r.happens("slow server", 0.5) {
		work = r.upTo(28 * time.Second)
	}
	silent := r.upTo(2) == 0 // nobody tells the client of the loss
	response, broken := make(chan reply, 1), make(chan struct{})
	go func() {
		time.Sleep(r.upTo(50 * time.Millisecond))
		if lostOnTheWay {
			if !silent {
				close(broken)
			}
			return
		}
		r.log(runlog.Line{By: p.name, What: runlog.Got, Pair: runlog.Name(sent.Token)})
		if lostAtWork {
			close(broken)
		}
		time.Sleep(work)
		got := r.exchange(p.name, sent.Token)
		time.Sleep(r.upTo(50 * time.Millisecond))
		switch {
		case lostAtWork, lostBack && silent:
		case lostBack:
			close(broken)
		default:
			response <- got
		}
	}()
	select {
	case got := <-response:
		if err := p.pause(req.Context()); err != nil {
			return nil, err
		}
		return got.response(req), nil
	case <-broken:
		return nil, connectionReset()
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// runStore is a process's way to the shelf.
type runStore struct{ *process }

var errFails = errors.New("input/output error")

func (s runStore) Load(ctx context.Context) (authos.Tokens, error) {
	if err := s.pause(ctx); err != nil {
		return authos.Tokens{}, err
	}
	s.r.mu.Lock()
	found := s.r.shelf.tokens
	s.r.mu.Unlock()
	if s.r.happens("loads fail", 0.3) {
		return authos.Tokens{}, errFails
	}
	return found, s.pause(ctx)
}

func (s runStore) Save(ctx context.Context, t authos.Tokens) error { return s.change(ctx, t) }
func (s runStore) Delete(ctx context.Context) error                { return s.change(ctx, authos.Tokens{}) }

func (s runStore) change(ctx context.Context, t authos.Tokens) error {
	if err := s.pause(ctx); err != nil {
		return err
	}
	if s.r.happens("saves fail", 0.4) {
		return errFails
	}
	s.r.mu.Lock()
	sh := &s.r.shelf
	lost := s.r.kind == "expiring" && (sh.owner == nil || sh.owner.by != s.process)
	if !lost && !s.over {
		if sh.tokens.RefreshToken != t.RefreshToken {
			sh.before = sh.tokens
		}
		sh.tokens = t
	}
	s.r.mu.Unlock()
	if lost || s.r.happens("saves fail", 0.2) { // it took effect all the same
		return errFails
	}
	return s.pause(ctx)
}

// lockingStore has a lock as the file store's: that of a dead process is given away, dirty, 45 s
// after it was got. One that expires ends then in any case.
type lockingStore struct{ runStore }

func (s lockingStore) Lock(ctx context.Context) (func(), error) {
	release, _, err := s.Acquire(ctx)
	return func() { release(true) }, err
}

func (s lockingStore) Acquire(ctx context.Context) (release func(clean bool), clean bool, err error) {
	r := s.r
	mine := &grip{by: s.process}
	for {
		if err := s.pause(ctx); err != nil {
			return nil, false, err
		}
		if r.happens("loads fail", 0.05) {
			return nil, false, errFails
		}
		r.mu.Lock()
		sh := &r.shelf
		left := sh.dirty || r.kind == "expiring" && sh.held
		if got := !s.over && (!sh.held || r.kind == "expiring") && (!left || time.Since(sh.owner.since) >= lockLife); got {
			mine.since = time.Now()
			sh.owner, sh.held, sh.dirty = mine, true, false
			r.mu.Unlock()
			return func(clean bool) {
				r.mu.Lock()
				defer r.mu.Unlock()
				if sh.owner != mine || !sh.held || s.over {
					return
				}
				sh.dirty = !clean
				if sh.held = !clean && r.kind == "expiring"; clean {
					sh.owner = nil
				}
			}, !left, nil
		}
		r.mu.Unlock()
		if err := pauseFor(ctx, 200*time.Millisecond); err != nil {
			return nil, false, err
		}
	}
}

type expiringStore struct{ lockingStore }

func (expiringStore) LockExpires() bool { return true }

func (p *process) store() authos.TokenStore {
	switch p.r.kind {
	case "file":
		return &lockingStore{runStore{p}}
	case "expiring":
		return &expiringStore{lockingStore{runStore{p}}}
	default:
		return &runStore{p}
	}
}

// start begins a process; like, if not nil, is the client that it shares a family with.
func (r *run) start(t *testing.T, like *process) *process {
	p := &process{r: r}
	opts := []authos.Option{authos.WithTokenStore(p.store()), authos.WithHTTPClient(&http.Client{Transport: p})}
	var err error
	if like != nil {
		p.name = like.name
		p.client, err = like.client.With(opts[0])
	} else {
		r.mu.Lock()
		r.news++
		p.name = "p" + strconv.Itoa(r.news)
		r.mu.Unlock()
		runlog.Watch(func(s *runlog.Step) { p.log(runlog.Line{What: runlog.Stepped, Step: s}) })
		p.client, err = authos.New("http://127.0.0.1", opts...)
		runlog.Watch(nil)
	}
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Cleanup(func() { _ = p.client.Close() })
	return p
}

// work is what a program does: calls, and what else comes to it.
func (p *process) work(t *testing.T) {
	r := p.r
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for range 5 {
				time.Sleep(r.upTo(60 * time.Second))
				if r.dead(p) {
					return
				}
				r.mu.Lock()
				r.calls++
				id := strconv.Itoa(r.calls)
				r.mu.Unlock()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second+r.upTo(2*time.Minute))
				began := time.Now()
				user, err := p.client.User.Get(ctx, authos.WithHeader("X-Request-ID", id))
				if err == nil {
					p.log(runlog.Line{What: runlog.Returned, Call: id, Owner: user.ID})
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("seed %d: a call took %v", r.seed, took)
				}
				cancel()
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for range 2 {
		time.Sleep(r.upTo(90 * time.Second))
		switch {
		case r.dead(p):
		case r.happens("kills", 0.7):
			p.kill()
			time.Sleep(r.upTo(60 * time.Second))
			if r.kind != "two clients" {
				again := r.start(t, nil)
				defer again.finish(t)
				again.work(t)
			}
		case r.happens("stalls", 0.7):
			r.mu.Lock()
			p.stall = time.Now().Add(time.Duration(r.rng.Int64N(int64(70 * time.Second))))
			r.write(runlog.Line{By: p.name, What: runlog.Froze})
			wait := time.Until(p.stall)
			r.mu.Unlock()
			time.Sleep(wait)
			p.log(runlog.Line{What: runlog.Thawed})
		case r.happens("refused before the expiry", 0.5):
			r.rotated()
		case r.happens("sign-outs", 0.5):
			_ = p.client.Auth.Logout(ctx)
		case r.happens("another signs in", 0.5):
			_ = p.client.SetTokens(ctx, r.signIn("bob"))
		case r.happens("the same signs in", 0.5):
			_ = p.client.SetTokens(ctx, r.signIn("alice"))
		case r.happens("the store goes back", 0.7):
			r.mu.Lock()
			if old := r.shelf.before; old.RefreshToken != "" && r.shelf.tokens.RefreshToken != "" {
				r.shelf.tokens = old
				r.write(runlog.Line{What: runlog.Puts, Pair: runlog.Name(old.RefreshToken)})
				r.write(runlog.Line{What: runlog.Put, Pair: runlog.Name(old.RefreshToken)})
			}
			r.mu.Unlock()
		case r.happens("closes", 0.5) && r.kind != "two clients":
			p.closed = true
			_ = p.client.Close()
			time.Sleep(time.Second)
			p.kill()
		}
	}
	group.Wait()
}

// finish checks that the session works, or is over, once nothing goes wrong any more.
func (p *process) finish(t *testing.T) {
	r := p.r
	r.mu.Lock()
	r.calm = true
	r.mu.Unlock()
	time.Sleep(12 * time.Minute)
	if r.dead(p) || p.closed {
		return
	}
	var err error
	for range 4 {
		_, err = p.client.User.Get(t.Context())
		if err == nil || errors.Is(err, authos.ErrSessionExpired) || errors.Is(err, authos.ErrUnauthenticated) {
			return
		}
		if e, ok := errors.AsType[*authos.SessionError](err); ok && !e.RetryAt.IsZero() {
			time.Sleep(time.Until(e.RetryAt) + time.Second)
		}
	}
	t.Errorf("seed %d, %s: in the end %s neither works nor is over: %v", r.seed, r.about(), p.name, err)
}

func (r *run) about() string {
	var list []string
	for _, name := range troubles {
		if r.has[name] {
			list = append(list, name)
		}
	}
	return r.kind + " store; " + strings.Join(list, ", ")
}

// newRun makes a run; without a kind, store and troubles are drawn.
func newRun(seed uint64, kind string, has ...string) *run {
	r := &run{
		seed: seed, kind: kind, rng: rand.New(rand.NewPCG(seed, 1)), has: map[string]bool{}, server: tokenServer{pairs: map[string]*issued{}},
	}
	for _, trouble := range has {
		r.has[trouble] = true
	}
	if kind != "" {
		return r
	}
	r.kind = []string{"file", "file", "expiring", "expiring", "plain", "two clients"}[r.rng.IntN(6)]
	for range 1 + r.rng.IntN(3) {
		r.has[troubles[r.rng.IntN(len(troubles))]] = true
	}
	if r.kind == "plain" || r.kind == "two clients" {
		delete(r.has, "kills") // restarted within the doubt: exception E9
	}
	return r
}

// live runs it to its end.
func (r *run) live(t *testing.T) {
	r.shelf.tokens = r.signIn("alice")
	r.write(runlog.Line{What: runlog.Puts, Pair: runlog.Name(r.shelf.tokens.RefreshToken)})
	r.write(runlog.Line{What: runlog.Put, Pair: runlog.Name(r.shelf.tokens.RefreshToken)})
	var group sync.WaitGroup
	var first *process // of the family of all that come after it, if it is one
	n := 2 + r.rng.IntN(2)
	if r.kind == "plain" {
		n = 1
	}
	for range n {
		p := r.start(t, first)
		if r.kind == "two clients" {
			first = p
		}
		group.Go(func() {
			p.work(t)
			p.finish(t)
		})
	}
	group.Wait()
}

// The journals of random runs are what the core and the world allow.
func TestRunsAreWhatTheModelAllows(t *testing.T) {
	runs, first := 300, 0
	if longTests {
		runs = 10_000
	}
	if text := os.Getenv("AUTHOS_TEST_RUNS"); text != "" { // "from,count": those of these seeds only
		_, err := fmt.Sscanf(text, "%d,%d", &first, &runs)
		noError(t, "AUTHOS_TEST_RUNS", err)
	}
	steps, calls := 0, 0
	for n := range runs {
		seed := uint64(first + n)
		synctest.Test(t, func(t *testing.T) {
			r := newRun(seed, "")
			r.live(t)
			steps, calls = steps+len(r.lines), calls+r.calls
			err := replay.Check(replay.Setup{Expires: r.kind == "expiring", LockLife: lockLife}, r.lines)
			if err != nil {
				t.Errorf("seed %d, %s: %v", seed, r.about(), err)
			}
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("%d runs, %d calls, %d journal lines", runs, calls, steps)
}

// What did not happen so, or should not have, is found in a journal.
func TestJournalsThatAreNotAllowed(t *testing.T) {
	stepped := func(l *runlog.Line, kind core.Kind, verb core.Verb) bool {
		return l.Step != nil && !l.Step.Born && (verb == 0 && l.Step.Event.Kind == kind ||
			slices.ContainsFunc(l.Step.Actions, func(a core.Action) bool { return verb != 0 && a.Verb == verb }))
	}
	for name, change := range map[string]func(l *runlog.Line) bool{
		"a step of another core": func(l *runlog.Line) bool {
			is := l.Step != nil && l.Step.Call == ""
			if is {
				l.Step.State.SignIn++
			}
			return is
		},
		"time that did not pass": func(l *runlog.Line) bool {
			if stepped(l, core.Tick, 0) && l.Step.Event.D > time.Second {
				l.Step.Event.D -= time.Second
				return true
			}
			return false
		},
		"a read that found something else": func(l *runlog.Line) bool {
			if !stepped(l, core.Read, 0) || l.Step.Event.Pair == 0 || !l.Step.Event.OK {
				return false
			}
			l.Step.Event.Pair = 0
			return true
		},
		"a lock that was not released": func(l *runlog.Line) bool {
			*l = runlog.Line{At: l.At, By: "p9", What: runlog.Locked}
			return true
		},
		"a presentation that nobody decided": func(l *runlog.Line) bool {
			*l = runlog.Line{At: l.At, By: l.By, What: runlog.Got, Pair: "1234"}
			return true
		},
		"tokens that the server did not give": func(l *runlog.Line) bool {
			was := l.Gave
			l.Gave = "1234"
			return was != ""
		},
		"another's data": func(l *runlog.Line) bool {
			again := l.What == runlog.Served && l.Call != "1"
			l.Call, l.Owner = "1", "mallory"
			return again
		},
		"another's data, from the client": func(l *runlog.Line) bool {
			l.Owner = "mallory"
			return l.What == runlog.Returned
		},
		"a call that nobody began": func(l *runlog.Line) bool {
			l.Call = "1234"
			return l.What == runlog.Served
		},
		"a session that lives on": func(l *runlog.Line) bool {
			was := l.What
			l.What = runlog.Denied
			return was == runlog.Ended
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) { // until there is one with such a line
				changed := false
				synctest.Test(t, func(t *testing.T) { changed = changeOne(t, seed, change) })
				if changed {
					return
				}
			}
			t.Error("there is no line to change")
		})
	}
}

// changeOne makes a run, and changes the first line of its journal that it can. The journal must
// be taken before, and not be taken after that.
func changeOne(t *testing.T, seed uint64, change func(*runlog.Line) bool) bool {
	r := newRun(seed, "file", "sign-outs")
	r.live(t)
	var written bytes.Buffer
	for _, l := range r.lines {
		runlog.Write(&written, l)
	}
	lines, err := runlog.Read(&written)
	noError(t, "Read", err)
	setup := replay.Setup{LockLife: lockLife}
	noError(t, "Check of the journal itself", replay.Check(setup, lines))
	for i := range lines {
		was := lines[i]
		if !was.At.Equal(lines[0].At) && change(&lines[i]) {
			if replay.Check(setup, lines) == nil {
				t.Errorf("the changed line %d is taken for good:\n%s", i, replay.Text(lines))
			}
			return true
		}
		lines[i] = was
	}
	return false
}
