//go:build unix

package authostest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/authos-go/authos/internal/runlog"
)

// fleetFate is what becomes of one refresh.
type fleetFate string

const (
	goesWell     fleetFate = "went well"
	killedSent   fleetFate = "killed when sent"           // the server never works on it
	killedUnread fleetFate = "killed before the response" // the server has refreshed, nobody learns the tokens
	killedRead   fleetFate = "killed with the response"   // perhaps they are saved, perhaps not
	frozenSent   fleetFate = "frozen when sent"           // past the lock's end; then the server works on it
	frozenUnread fleetFate = "frozen before the response"
)

// refresh is one presentation of a refresh token, as the server saw it.
type fleetRefresh struct {
	at                 time.Time
	by                 string
	refresh, refreshed string // tokens; refreshed is empty when the server refused
	access             string // the new one
	fate               fleetFate
}

// fleetSignIn is one sign-in that succeeded.
type fleetSignIn struct {
	at              time.Time
	by              string
	refresh, access string
}

// fleetFamily is a session, with all refresh tokens it ever had.
type fleetFamily struct {
	opened  fleetSignIn
	last    fleetRefresh // the last that succeeded
	refused []fleetRefresh
	fates   []fleetFate // other than goesWell
	ended   time.Time   // by a sign-out; zero: it was not
}

// fleetFreeze is a member's time on ice.
type fleetFreeze struct {
	of         string
	from, till time.Time
}

type fleet struct {
	*suite

	srv   *Server
	what  Fleet
	plan  []fleetFate // of refreshes, one after the other; none: all go well
	every int         // a fate of the plan is due every that many refreshes

	mu        sync.Mutex
	procs     map[string]*os.Process
	killed    map[string]bool
	refreshes []fleetRefresh
	signIns   []fleetSignIn
	usedBy    map[string]map[string]bool // access token: members it worked for
	current   string                     // the refresh token that the server gave last
	fates     map[fleetFate]int
	victim    string // the member whose fate takes its course; nobody else's does meanwhile
	quiet     int    // refreshes since the last fate
	thawed    map[string]time.Time
	freezes   []fleetFreeze
	reports   map[string][]fleetReport
	revoked   map[string]time.Time // refresh tokens, by sign-outs: when first
	spent     int                  // of the sign-outs' tokens had been used
	owners    map[string]string    // of access and refresh tokens
	calls     map[string]fleetSeen
	wrong     int // calls that were sent for two users, or returned another's data
	journal   *os.File
}

// fleetSeen is what the server has seen of a call.
type fleetSeen struct {
	owner   string // whom it was sent for
	served  string // and served for
	refused int    // how often
}

// note writes a line of the journal.
func (f *fleet) note(l runlog.Line) {
	l.At = time.Now()
	runlog.Write(f.journal, l)
}

// ServeHTTP stands between the members and the server.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.UserAgent(), " ")
	switch r.URL.Path {
	case "/api/auth/refresh":
		f.refresh(w, r, name)
	case "/api/auth/login":
		body, _ := io.ReadAll(r.Body)
		var in struct {
			Email string `json:"email"`
		}
		_ = json.Unmarshal(body, &in)
		response := f.response(r, body)
		if t := fleetTokens(response); t.Refresh != "" {
			f.mu.Lock()
			f.signIns = append(f.signIns, fleetSignIn{time.Now(), name, t.Refresh, t.Access})
			f.current = t.Refresh
			f.own(t, in.Email)
			f.note(runlog.Line{What: runlog.SignedIn, By: name, Pair: runlog.Name(t.Refresh), Owner: in.Email, Until: time.Now().Add(fleetLife)})
			f.mu.Unlock()
		}
		fleetForward(w, response)
	case "/auth/revoke":
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		f.mu.Lock()
		response := f.response(r, body)
		if f.revoked[form.Get("token")].IsZero() {
			f.revoked[form.Get("token")] = time.Now()
		}
		if slices.ContainsFunc(f.refreshes, func(r fleetRefresh) bool { return r.refresh == form.Get("token") && r.refreshed != "" }) {
			f.spent++
		}
		f.note(runlog.Line{What: runlog.Ended, By: name, Pair: runlog.Name(form.Get("token"))})
		f.mu.Unlock()
		fleetForward(w, response)
	default:
		response := f.response(r, nil)
		f.called(name, r, response.Code)
		fleetForward(w, response)
	}
}

func (f *fleet) own(t fleetPair, user string) {
	f.owners[t.Refresh], f.owners[t.Access] = user, user
}

// called notes whom a call was sent for, and whether the server took its token.
func (f *fleet) called(name string, r *http.Request, status int) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	call := r.Header.Get(fleetCall)
	f.mu.Lock()
	defer f.mu.Unlock()
	l := runlog.Line{What: runlog.Denied, By: name, Owner: f.owners[token], Call: call}
	if status == http.StatusOK {
		l.What = runlog.Served
		if f.usedBy[token] == nil {
			f.usedBy[token] = map[string]bool{}
		}
		f.usedBy[token][name] = true
	}
	f.note(l)
	seen, again := f.calls[call]
	if again && seen.owner != l.Owner {
		f.wrong++
	}
	if seen.owner = l.Owner; status == http.StatusOK {
		seen.served = l.Owner
	} else {
		seen.refused++
	}
	f.calls[call] = seen
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

type fleetPair struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func fleetTokens(response *httptest.ResponseRecorder) (t fleetPair) {
	_ = json.Unmarshal(response.Body.Bytes(), &t)
	return t
}

func fleetForward(w http.ResponseWriter, response *httptest.ResponseRecorder) {
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
	f.note(runlog.Line{What: runlog.Got, By: name, Pair: runlog.Name(sent.Refresh)})
	f.mu.Lock()
	response := f.response(r, body)
	got := fleetTokens(response)
	if got.Refresh != "" {
		f.own(got, f.owners[sent.Refresh])
		f.note(runlog.Line{
			What: runlog.Took, By: name, Pair: runlog.Name(sent.Refresh), Gave: runlog.Name(got.Refresh), Until: time.Now().Add(fleetLife),
		})
	} else {
		f.note(runlog.Line{What: runlog.Refused, By: name, Pair: runlog.Name(sent.Refresh)})
	}
	f.refreshes = append(f.refreshes, fleetRefresh{time.Now(), name, sent.Refresh, got.Refresh, got.Access, course})
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
	fleetForward(w, response)
	_ = http.NewResponseController(w).Flush()
}

// draw gives a member its fate, if the server is going to refresh.
func (f *fleet) draw(name, refresh string) fleetFate {
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
	f.note(runlog.Line{What: runlog.Froze, By: name})
	f.signal(name, syscall.SIGSTOP)
	time.Sleep(2 * FleetLockTTL)
	return func() {
		f.mu.Lock()
		f.freezes = append(f.freezes, fleetFreeze{name, from, time.Now()})
		f.mu.Unlock()
		f.signal(name, syscall.SIGCONT)
		f.note(runlog.Line{What: runlog.Thawed, By: name})
	}
}

func (f *fleet) kill(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.procs[name]; p != nil {
		f.killed[name] = true
		f.note(runlog.Line{What: runlog.Killed, By: name})
		_ = p.Kill()
	}
}

// slot keeps one place of the fleet taken, until its calls are made.
func (f *fleet) slot(url string, place int) {
	left := f.what.Calls
	for life := 0; left > 0 && !f.failed(); life++ {
		o := fleetOrder{Name: fmt.Sprintf("member-%d.%d/1", place, life), URL: url, Where: f.what.Where, Calls: left, Journal: f.journal.Name()}
		told, err := f.live(o)
		for _, r := range told {
			switch r.What {
			case "ok", "lost", "out", "other", "wait", "failed":
				left--
			}
		}
		f.mu.Lock()
		killed := f.killed[o.Name]
		delete(f.procs, o.Name)
		f.reports[o.Name] = told
		f.mu.Unlock()
		if err != nil && !killed {
			f.failf("%s: %v", o.Name, err)
			return
		}
		if err == nil && left > 0 {
			f.failf("%s ended with %d calls left", o.Name, left)
			return
		}
	}
}

// live runs one member to its end.
func (f *fleet) live(o fleetOrder) ([]fleetReport, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fleetEnv+"="+string(text))
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
	var told []fleetReport
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r fleetReport
		if json.Unmarshal(lines.Bytes(), &r) == nil { // the last line of a killed process may be cut
			told = append(told, r)
		}
	}
	return told, cmd.Wait()
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
