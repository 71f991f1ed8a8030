package authos_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// The taint run. A hundred principals share two servers, two processes, one store of cached
// responses and a token store each, while calls, writes, refreshes, sign-outs, changes of user,
// restarts, lost responses and outages happen at random. Every response says whose it is, of which
// server and of which path, and a call may get nobody else's, fresh or stale.
//
// The principals are as much alike as they can be: the same user ids in two tenants, the same
// claims at both servers, the same API keys.

const (
	taintServers = 2
	taintUsers   = 20 // at each server, in each of two tenants
	taintKeys    = 10 // at each server
	taintNobody  = -1
)

// taintNumber is what an environment variable says of a run, or a default.
func taintNumber(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	noError(t, name, err)
	return n
}

func TestTaint(t *testing.T) {
	otherwise := 20_000
	if longTests {
		otherwise = 300_000
	}
	operations, seed := taintNumber(t, "AUTHOS_TAINT_OPERATIONS", otherwise), taintNumber(t, "AUTHOS_TAINT_SEED", 1)
	began := time.Now() // outside the bubble: real time
	var w *taintWorld
	synctest.Test(t, func(t *testing.T) {
		w = newTaintWorld(t, uint64(seed))
		w.run(operations)
		for _, p := range w.processes {
			p.restart()
		}
	})
	took := time.Since(began)
	t.Logf("seed %d: %d operations in %.1f s, %.0f a second: %s", seed, operations, took.Seconds(), float64(operations)/took.Seconds(), &w.total)
	// A run in which nothing happens proves nothing.
	for what, n := range map[string]*atomic.Int64{
		"fresh responses": &w.total.fresh, "stale responses": &w.total.stale, "refreshes": &w.total.refreshes, "sign-outs": &w.total.signOuts,
		"changes of user": &w.total.changes, "restarts": &w.total.restarts, "lost responses": &w.total.lost, "failures": &w.total.failed,
		"calls that were sent again with other tokens": &w.total.resent,
	} {
		if n.Load() == 0 {
			t.Errorf("no %s in the whole run", what)
		}
	}
}

// taintTotal is what happened in a run.
type taintTotal struct {
	fresh, stale, writes, failed, resent, refreshes, replays, signOuts, signIns, changes, restarts, outages, lost atomic.Int64
}

func (n *taintTotal) String() string {
	return fmt.Sprintf("%d fresh and %d stale responses, %d writes, %d failed calls; %d refreshes, %d replays, %d lost responses; "+
		"%d sign-ins, %d sign-outs, %d changes of user, %d restarts, %d outages", n.fresh.Load(), n.stale.Load(), n.writes.Load(), n.failed.Load(),
		n.refreshes.Load(), n.replays.Load(), n.lost.Load(), n.signIns.Load(), n.signOuts.Load(), n.changes.Load(), n.restarts.Load(), n.outages.Load())
}

// taintPrincipal is a user in a tenant, or an API key, at one server.
type taintPrincipal struct {
	server    int
	user, org string // of a user
	key       string // of an API key
}

// hasKey reports whether an API key is at a seat, for good.
func (w *taintWorld) hasKey(s *taintSeat) bool {
	return s.home != taintNobody && w.principals[s.home].key != ""
}

func (w *taintWorld) name(principal int) string {
	if principal == taintNobody {
		return "nobody"
	}
	return fmt.Sprintf("%+v", w.principals[principal])
}

type taintWorld struct {
	t          *testing.T
	seed       uint64
	principals []taintPrincipal
	servers    [taintServers]*taintServer
	seats      []*taintSeat
	processes  [2]*taintProcess
	cache      *taintCache
	total      taintTotal
}

func newTaintWorld(t *testing.T, seed uint64) *taintWorld {
	w := &taintWorld{t: t, seed: seed, cache: &taintCache{entries: map[string]map[string]taintEntry{}}}
	for server := range taintServers {
		w.servers[server] = &taintServer{
			w: w, index: server, draw: w.draw(100 + server), access: map[string]*taintSession{}, refresh: map[string]*taintSession{},
		}
		for user := range taintUsers {
			for _, org := range []string{"acme", "globex"} {
				w.principals = append(w.principals, taintPrincipal{server: server, user: fmt.Sprint("u", user), org: org})
			}
		}
		for key := range taintKeys {
			w.principals = append(w.principals, taintPrincipal{server: server, key: fmt.Sprint("sk_live_", key)})
		}
	}
	for i, p := range w.principals {
		seat := &taintSeat{server: p.server, home: i, store: &taintTokens{turn: make(chan struct{}, 1)}, history: []int{taintNobody}, late: map[*taintProcess]int{}}
		if p.key != "" {
			seat.history = []int{i}
		}
		w.seats = append(w.seats, seat)
	}
	for server := range taintServers { // shared machines, at which people change
		for range 8 {
			w.seats = append(w.seats, &taintSeat{
				server: server, home: taintNobody, store: &taintTokens{turn: make(chan struct{}, 1)}, history: []int{taintNobody}, late: map[*taintProcess]int{},
			})
		}
	}
	for i := range w.processes {
		w.processes[i] = &taintProcess{w: w}
		w.processes[i].start()
	}
	draw := w.draw(200)
	for _, seat := range w.seats {
		if !w.hasKey(seat) {
			w.signIn(draw, w.processes[0], seat)
		}
	}
	return w
}

// draw gives a source of chance for one of the run's parts.
func (w *taintWorld) draw(part int) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, uint64(part)))
}

// run does the operations in several goroutines, while the servers go down and come back.
func (w *taintWorld) run(operations int) {
	const workers, think = 16, 80 * time.Millisecond
	var done atomic.Int64
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(w.t.Context())
	for i, server := range w.servers {
		group.Go(func() { w.weather(ctx, server, time.Duration(30+7*i)*time.Second) })
	}
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			draw := w.draw(worker)
			for int(done.Add(1)) <= operations && !w.t.Failed() {
				w.operation(draw)
				time.Sleep(time.Duration(draw.Int64N(int64(think))))
			}
		})
	}
	working.Wait()
	cancel()
	group.Wait()
}

// weather lets a server go down for 10 s, again and again. The two outages overlap now and then.
func (w *taintWorld) weather(ctx context.Context, server *taintServer, good time.Duration) {
	for sleepContext(ctx, good) == nil {
		server.down.Store(true)
		w.total.outages.Add(1)
		_ = sleepContext(ctx, 10*time.Second)
		server.down.Store(false)
	}
}

// operation is one, of a seat and a process by chance.
func (w *taintWorld) operation(draw *rand.Rand) {
	seat := w.seats[draw.IntN(len(w.seats))]
	process := w.processes[draw.IntN(len(w.processes))]
	if held, _ := seat.store.Load(w.t.Context()); held.AccessToken == "" && !w.hasKey(seat) && draw.IntN(4) == 0 {
		w.signIn(draw, process, seat)
		return
	}
	switch n := draw.IntN(1000); {
	case n < 870:
		w.call(draw, process, seat, http.MethodGet)
	case n < 930:
		w.call(draw, process, seat, http.MethodPatch)
	case n < 960:
		w.servers[seat.server].expire(seat.store)
	case n < 965:
		w.servers[seat.server].lose.Add(1)
	case n < 966:
		if draw.IntN(5) == 0 {
			process.restart()
		}
	case w.hasKey(seat):
	case n < 980:
		w.signOut(process, seat)
	default:
		w.signIn(draw, process, seat)
	}
}

// taintSeat is a place with a token store, that principals sit down at. history holds who was let
// in, in order; what stands before settled has certainly ended.
type taintSeat struct {
	server, home int // home: who alone sits here; taintNobody: anybody of the server
	store        *taintTokens
	changing     sync.Mutex

	mu      sync.Mutex
	history []int
	settled int
	// late is who signed in by a process without being told that it worked: the tokens are in use
	// there, and are saved when the lock is free, be it after a sign-out by another process.
	late map[*taintProcess]int
}

// change notes that somebody is about to sit down, and gives what is to be called when that has
// worked.
func (s *taintSeat) change(who int) (settle func(p *taintProcess)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, who)
	at := len(s.history) - 1
	return func(p *taintProcess) {
		s.mu.Lock()
		s.settled = at
		delete(s.late, p)
		s.mu.Unlock()
		p.raise(s, at)
	}
}

// arrived reports whether somebody's late sign-in may have been saved meanwhile, and notes that it
// was. s.mu is held.
func (s *taintSeat) arrived(who int) bool {
	for p, late := range s.late {
		if late == who {
			delete(s.late, p)
			s.history = append(s.history, who)
			return true
		}
	}
	return false
}

// taintProcess is a program: one family of clients for each server, and a client of it for each
// seat.
type taintProcess struct {
	w *taintWorld

	mu      sync.Mutex
	bases   [taintServers]*authos.Client
	clients map[*taintSeat]*authos.Client
	// floors say from where on in a seat's history this process may still speak for somebody: it
	// never goes back.
	floors map[*taintSeat]int
}

func (p *taintProcess) start() {
	p.clients, p.floors = map[*taintSeat]*authos.Client{}, map[*taintSeat]int{}
	for i := range p.bases {
		p.bases[i] = newClient(p.w.t, fmt.Sprintf("https://server%d.test", i), p.w.servers[i],
			authos.WithCache(authos.CachePolicy{Store: p.w.cache, Patience: time.Second}), authos.WithLogger(slog.New(slog.DiscardHandler)),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 2, MaxElapsed: 10 * time.Second, AttemptTimeout: 3 * time.Second}),
			authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: 2 * time.Second}))
	}
}

// restart begins the process anew, and ends what was before. No lock is held meanwhile: time does
// not pass in a bubble while a goroutine waits for a mutex.
func (p *taintProcess) restart() {
	p.mu.Lock()
	before := p.bases
	p.start()
	p.mu.Unlock()
	for _, base := range before {
		_ = base.Close()
	}
	p.w.total.restarts.Add(1)
}

// client gives the process's client at a seat, and where in the seat's history it is at least.
func (p *taintProcess) client(s *taintSeat) (c *authos.Client, floor int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clients[s]
	if !ok {
		opt := authos.WithTokenStore(s.store)
		if p.w.hasKey(s) {
			opt = authos.WithAPIKey(p.w.principals[s.home].key)
		}
		var err error
		if c, err = p.bases[s.server].With(opt); err != nil {
			p.w.t.Error(err)
		}
		p.clients[s] = c
		s.mu.Lock()
		p.floors[s] = s.settled // its first look at the store comes later
		s.mu.Unlock()
	}
	return c, p.floors[s]
}

func (p *taintProcess) raise(s *taintSeat, to int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.floors[s] = max(p.floors[s], to)
}

// taintCall is what the servers saw of a call.
type taintCall struct {
	mu         sync.Mutex
	sent       int    // requests
	by         int    // in whose name the first one came
	credential string // of the last one
}

type taintKey struct{}

// taint is what every response of the servers holds.
type taint struct {
	Principal int    `json:"principal"`
	Server    int    `json:"server"`
	Path      string `json:"path"`
}

var (
	taintUserPaths = []string{
		"/api/user", "/api/user/devices", "/api/organizations", "/api/organizations/acme", "/api/organizations/acme/members",
		"/api/organizations/globex/services/web",
	}
	taintKeyPaths = []string{"/api/service/info", "/api/service/users/u1", "/api/service/users/u2"}
)

// call makes one, and looks at what comes of it.
func (w *taintWorld) call(draw *rand.Rand, p *taintProcess, seat *taintSeat, method string) {
	paths, writable := taintUserPaths, []string{"/api/user", "/api/organizations/acme"}
	if w.hasKey(seat) {
		paths, writable = taintKeyPaths, []string{"/api/service/users/u1"}
	}
	if method != http.MethodGet {
		paths = writable
	}
	path := paths[draw.IntN(len(paths))]
	c, floor := p.client(seat)
	var seen taintCall
	var got taint
	var r authos.Response
	ctx := context.WithValue(w.t.Context(), taintKey{}, &seen)
	err := c.Do(ctx, method, path, nil, &got, authos.WithResponse(&r))
	if err != nil {
		w.total.failed.Add(1)
		if !ours(err) {
			w.t.Errorf("%s %s: an error that is none of ours: %T %v", method, path, err, err)
		}
		return
	}
	switch {
	case r.Stale:
		w.total.stale.Add(1)
	case method == http.MethodGet:
		w.total.fresh.Add(1)
	default:
		w.total.writes.Add(1)
	}
	if got.Server != seat.server || got.Path != path {
		w.t.Errorf("%s of server %d gave the response for %s of server %d (stale: %v)", path, seat.server, got.Path, got.Server, r.Stale)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if seen.sent > 0 && got.Principal != seen.by {
		w.t.Errorf("a call that was sent as %v gave %v's response (stale: %v)", w.name(seen.by), w.name(got.Principal), r.Stale)
	}
	seat.mu.Lock()
	at := floor
	for at < len(seat.history) && seat.history[at] != got.Principal {
		at++
	}
	if at == len(seat.history) && !seat.arrived(got.Principal) {
		w.t.Errorf("a call at the seat of %v got %v's response (stale: %v)", seat.history[floor:], got.Principal, r.Stale)
	}
	seat.mu.Unlock()
	if seat.home == taintNobody {
		p.raise(seat, at)
	}
}

// signOut ends the session that a process has at a seat. Where nobody else has sat down there
// meanwhile, the process gets nothing any more from then on.
func (w *taintWorld) signOut(p *taintProcess, seat *taintSeat) {
	if !seat.changing.TryLock() {
		return
	}
	defer seat.changing.Unlock()
	c, _ := p.client(seat)
	settle := seat.change(taintNobody)
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if c.Auth.Logout(ctx) == nil {
		if held, _ := seat.store.Load(ctx); held.AccessToken == "" {
			settle(p)
		}
		w.total.signOuts.Add(1)
	}
}

// signIn lets somebody sit down.
func (w *taintWorld) signIn(draw *rand.Rand, p *taintProcess, seat *taintSeat) {
	server := w.servers[seat.server]
	if server.down.Load() || !seat.changing.TryLock() {
		return
	}
	defer seat.changing.Unlock()
	who := seat.home
	if who == taintNobody {
		who = seat.server*(2*taintUsers+taintKeys) + draw.IntN(2*taintUsers)
		w.total.changes.Add(1)
	}
	c, _ := p.client(seat)
	settle := seat.change(who)
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if c.SetTokens(ctx, server.signIn(who)) != nil {
		seat.mu.Lock()
		seat.late[p] = who
		seat.mu.Unlock()
		return
	}
	settle(p)
	w.total.signIns.Add(1)
}

// taintSession is a sign-in at a server.
type taintSession struct {
	principal       int
	access, refresh string
	expired         bool // the access token
	over            bool
}

// taintServer is an AuthOS as far as sessions and whose responses these are go.
type taintServer struct {
	w     *taintWorld
	index int
	down  atomic.Bool
	lose  atomic.Int32 // responses that shall be lost

	mu      sync.Mutex
	draw    *rand.Rand
	serial  int
	access  map[string]*taintSession // by tokens that are good
	refresh map[string]*taintSession // by all tokens of sessions that are not over
}

func (s *taintServer) signIn(who int) authos.Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(&taintSession{principal: who})
}

// issue gives a session its next tokens. s.mu is held.
func (s *taintServer) issue(in *taintSession) authos.Tokens {
	delete(s.access, in.access)
	s.serial++
	p := s.w.principals[in.principal]
	claims := fmt.Sprintf(`{"sub":%q,"aud":"org:%s","org":%q,"jti":"%d","iat":%d}`, p.user, p.org, p.org, s.serial, time.Now().Unix())
	in.access = "eyJ0eXAiOiJKV1QifQ." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + fmt.Sprint("server", s.index)
	in.refresh, in.expired = fmt.Sprintf("refresh-%d-%d", s.index, s.serial), false
	s.access[in.access], s.refresh[in.refresh] = in, in
	return authos.Tokens{AccessToken: in.access, RefreshToken: in.refresh}
}

// end ends a session. Its spent tokens are forgotten only now and then, by whoever presents them.
func (s *taintServer) end(in *taintSession) {
	in.over = true
	delete(s.access, in.access)
	delete(s.refresh, in.refresh)
}

// expire lets the access token of the session in a store end.
func (s *taintServer) expire(store *taintTokens) {
	held, _ := store.Load(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.access[held.AccessToken]; in != nil {
		in.expired = true
	}
}

// RoundTrip implements [http.RoundTripper].
func (s *taintServer) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	if s.down.Load() {
		return nil, dialRefused()
	}
	s.delay(req)
	status, payload := s.serve(req, body)
	if n := s.lose.Load(); n > 0 && s.lose.CompareAndSwap(n, n-1) {
		s.w.total.lost.Add(1)
		return nil, connectionReset()
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(payload)), ContentLength: int64(len(payload)), Request: req,
	}, nil
}

// delay lets some requests take a while, so that others overtake them.
func (s *taintServer) delay(req *http.Request) {
	s.mu.Lock()
	var wait time.Duration
	if s.draw.IntN(8) == 0 {
		wait = time.Duration(s.draw.IntN(400)) * time.Millisecond
	}
	s.mu.Unlock()
	if wait > 0 {
		_ = sleepContext(req.Context(), wait)
	}
}

func sleepContext(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const taintError = `{"error":"no","error_code":%q,"timestamp":"2026-01-01T00:00:00+00:00"}`

func (s *taintServer) serve(req *http.Request, body []byte) (status int, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch req.URL.Path {
	case "/api/auth/refresh":
		var in struct {
			RefreshToken string `json:"refresh_token"`
		}
		_ = json.Unmarshal(body, &in)
		return s.exchange(in.RefreshToken)
	case "/auth/revoke":
		form, _ := url.ParseQuery(string(body))
		if in := s.session(form.Get("token")); in != nil {
			s.end(in)
		}
		return http.StatusOK, "{}"
	}
	who, good := s.sender(req)
	if seen, ok := req.Context().Value(taintKey{}).(*taintCall); ok {
		s.note(seen, who, req.Header.Get("Authorization"))
	}
	if !good {
		return http.StatusUnauthorized, fmt.Sprintf(taintError, "TOKEN_EXPIRED")
	}
	text, _ := json.Marshal(taint{who, s.index, req.URL.Path}) //nolint:errchkjson // numbers and a text
	return http.StatusOK, string(text)
}

// sender is the principal in whose name a request comes, and whether its credential is good.
func (s *taintServer) sender(req *http.Request) (who int, good bool) {
	if key := req.Header.Get("X-Api-Key"); key != "" {
		who = slices.IndexFunc(s.w.principals, func(p taintPrincipal) bool { return p.server == s.index && p.key == key })
		return who, true
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if token == "" { // nobody has signed in there
		return taintNobody, false
	}
	if !strings.HasSuffix(token, fmt.Sprint(".server", s.index)) {
		s.w.t.Errorf("server %d was sent %q", s.index, token)
	}
	if in := s.access[token]; in != nil {
		return in.principal, !in.expired
	}
	var claims struct{ Sub, Org string }
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	_ = json.Unmarshal(payload, &claims)
	return slices.Index(s.w.principals, taintPrincipal{server: s.index, user: claims.Sub, org: claims.Org}), false
}

// note compares in whose name a call is sent each time.
func (s *taintServer) note(seen *taintCall, who int, credential string) {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if seen.sent++; seen.sent == 1 {
		seen.by = who
	} else if seen.credential != credential {
		s.w.total.resent.Add(1)
	}
	seen.credential = credential
	if who != seen.by {
		s.w.t.Errorf("a call that began as %v was sent as %v", s.w.name(seen.by), s.w.name(who))
	}
}

// exchange takes a refresh token, once: a second time ends the session.
func (s *taintServer) exchange(token string) (status int, payload string) {
	in := s.session(token)
	switch {
	case in == nil:
		return http.StatusUnauthorized, fmt.Sprintf(taintError, "INVALID_REFRESH_TOKEN")
	case in.refresh != token:
		s.end(in)
		s.w.total.replays.Add(1)
		return http.StatusUnauthorized, fmt.Sprintf(taintError, "REFRESH_TOKEN_REUSED")
	}
	t := s.issue(in)
	s.w.total.refreshes.Add(1)
	return http.StatusOK, fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":86400}`, t.AccessToken, t.RefreshToken)
}

func (s *taintServer) session(token string) *taintSession {
	in := s.refresh[token]
	if in != nil && in.over {
		delete(s.refresh, token)
		return nil
	}
	return in
}

// taintTokens is a seat's token store, which processes share, with a lock.
type taintTokens struct {
	webTokens

	turn chan struct{}
}

func (s *taintTokens) Lock(ctx context.Context) (func(), error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// taintCache is a store of cached responses that everybody shares. It keeps the entries of each
// second folder together: that is where a principal's are.
type taintCache struct {
	mu      sync.Mutex
	entries map[string]map[string]taintEntry
}

type taintEntry struct {
	value []byte
	until time.Time
}

// taintFolder is where a key's principal ends: "authos1/server/principal/".
func taintFolder(key string) (string, bool) {
	at := 0
	for range 3 {
		n := strings.IndexByte(key[at:], '/')
		if n < 0 {
			return "", false
		}
		at += n + 1
	}
	return key[:at], true
}

func (c *taintCache) Get(_ context.Context, key string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	folder, _ := taintFolder(key)
	e, ok := c.entries[folder][key]
	return e.value, ok && time.Now().Before(e.until), nil
}

func (c *taintCache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	folder, _ := taintFolder(key)
	if c.entries[folder] == nil {
		c.entries[folder] = map[string]taintEntry{}
	}
	c.entries[folder][key] = taintEntry{value, time.Now().Add(ttl)}
	return nil
}

func (c *taintCache) DeletePrefix(_ context.Context, prefix string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	folders := c.entries
	if only, ok := taintFolder(prefix); ok {
		folders = map[string]map[string]taintEntry{only: c.entries[only]}
	}
	for _, entries := range folders {
		maps.DeleteFunc(entries, func(key string, e taintEntry) bool { return strings.HasPrefix(key, prefix) || !now.Before(e.until) })
	}
	return nil
}
