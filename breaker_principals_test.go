package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// webFleet makes n principals of one family. Those that are bad get 500 for every request.
type webFleet struct {
	web     *script
	clients []*authos.Client
	bad     map[int]bool
	sent    []int
	refused []int
	events  []authos.BreakerEvent
}

func newBtFleet(t *testing.T, n int, p authos.BreakerPolicy) *webFleet {
	t.Helper()
	f := &webFleet{bad: map[int]bool{}, sent: make([]int, n), refused: make([]int, n)}
	f.web = &script{handler: func(req *http.Request) (*http.Response, error) {
		var who int
		_, _ = fmt.Sscanf(req.Header.Get("X-Api-Key"), "sk_1_%d", &who)
		f.sent[who]++
		if f.bad[who] {
			return sayError(500, "DATABASE_ERROR")(req)
		}
		return sayInfo(req)
	}}
	first := newClient(t, "https://authos.test", f.web, oneAttempt, authos.WithAPIKey("sk_1_0"), authos.WithBreaker(p),
		authos.WithObserver(&authos.Observer{Breaker: func(e authos.BreakerEvent) { f.events = append(f.events, e) }}))
	f.clients = []*authos.Client{first}
	for i := 1; i < n; i++ {
		c, err := first.With(authos.WithAPIKey(fmt.Sprintf("sk_1_%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		f.clients = append(f.clients, c)
	}
	return f
}

// call makes one call and reports whether the circuit let it through.
func (f *webFleet) call(who int) bool {
	passed := !errors.Is(getInfo(f.clients[who]), authos.ErrCircuitOpen)
	if !passed {
		f.refused[who]++
	}
	return passed
}

func (f *webFleet) state(who int) authos.BreakerState {
	return f.clients[who].BreakerStates()["service"]
}

// One user whose data makes the server fail is refused alone, however much of the traffic is that
// user's, and is let through again when that has passed.
func TestOneBadPrincipal(t *testing.T) {
	for _, share := range []int{1, 6, 9} { // tenths of the traffic
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newBtFleet(t, 50, authos.BreakerPolicy{})
				f.bad[0] = true
				n := 0
				call := func() {
					who := 0
					if n%10 >= share {
						who = 1 + n%49
					}
					n++
					f.call(who)
				}
				for range 1000 {
					call()
				}
				for who, refused := range f.refused[1:] {
					if refused > 0 {
						t.Errorf("principal %d was refused %d times", who+1, refused)
					}
				}
				if share >= 6 && (f.refused[0] == 0 || f.state(0) != authos.BreakerOpen) {
					t.Errorf("the bad one was refused %d times and is %s", f.refused[0], f.state(0))
				}
				if got := f.state(1); got != authos.BreakerClosed {
					t.Errorf("the others find %s", got)
				}
				f.bad[0] = false
				time.Sleep(31 * time.Second)
				sent := f.sent[0]
				if !f.call(0) || f.sent[0] != sent+1 || f.state(0) != authos.BreakerClosed {
					t.Errorf("after the open time it is %s", f.state(0))
				}
				if share >= 6 {
					want := []authos.BreakerEvent{
						{Group: "service", From: "closed", To: "open", Blamed: 1},
						{Group: "service", From: "open", To: "half-open", Blamed: 1}, {Group: "service", From: "half-open", To: "closed"},
					}
					if !slices.Equal(f.events, want) {
						t.Errorf("events %+v, want %+v", f.events, want)
					}
				}
			})
		})
	}
}

// A principal that calls for the first time is not refused for another's failures.
func TestNewPrincipalPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBtFleet(t, 2, authos.BreakerPolicy{})
		f.bad[0] = true
		for range 10 {
			f.call(0)
		}
		if f.sent[0] != 5 {
			t.Errorf("%d requests of the bad one, want 5", f.sent[0])
		}
		if !f.call(1) {
			t.Error("another principal's first call was refused")
		}
		again, err := f.clients[1].With(authos.WithAPIKey("sk_1_0"))
		if err != nil {
			t.Fatal(err)
		}
		if err := getInfo(again); !errors.Is(err, authos.ErrCircuitOpen) {
			t.Errorf("the bad one by another client: %v, want refused", err)
		}
	})
}

// A real outage opens the circuit to everybody as soon as with one principal.
func TestOutageOpensToAll(t *testing.T) {
	for _, n := range []int{1, 2, 3, 1000} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d principals/warm=%t", n, warm), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newBtFleet(t, n, authos.BreakerPolicy{})
					if warm {
						for i := range 200 {
							f.call(i % n)
						}
					}
					before := f.web.count()
					for i := range n {
						f.bad[i] = true
					}
					for i := range 100 {
						f.call(i % n)
					}
					most := 5
					if warm {
						most = 10
					}
					if got := f.web.count() - before; got > most {
						t.Errorf("%d requests until the circuit was open, want at most %d", got, most)
					}
					if n > 1 && f.state(n-1) != authos.BreakerOpen {
						t.Errorf("the last principal finds %s", f.state(n-1))
					}
				})
			})
		}
	}
}

// Up to eight bad principals are refused alone; nine are an outage.
func TestManyBadPrincipals(t *testing.T) {
	for bad := 7; bad <= 9; bad++ {
		synctest.Test(t, func(t *testing.T) {
			f := newBtFleet(t, 20, authos.BreakerPolicy{})
			for who := range bad {
				f.bad[who] = true
				for range 6 {
					f.call(who)
				}
			}
			want := authos.BreakerClosed
			if bad > 8 {
				want = authos.BreakerOpen
			}
			if got := f.state(19); got != want {
				t.Errorf("with %d bad principals the others find %s, want %s", bad, got, want)
			}
			// Those that never call again are forgotten in time, and make no outage of the next
			// one.
			time.Sleep(10 * time.Minute)
			f.bad[19] = true
			f.call(18)
			for range 6 {
				f.call(19)
			}
			if got := f.state(18); got != authos.BreakerClosed {
				t.Errorf("ten minutes later one more bad principal, and the others find %s", got)
			}
		})
	}
}

// While one is blamed the others are judged by the same rule, and the news is that all are refused.
func TestBlameWidens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hooked []string
		f := newBtFleet(t, 5, authos.BreakerPolicy{OnStateChange: func(_ string, from, to authos.BreakerState) {
			hooked = append(hooked, string(from)+"→"+string(to))
		}})
		f.bad[0] = true
		for range 6 {
			f.call(0)
		}
		for i := range 5 {
			f.bad[i] = true
		}
		for i := range 8 {
			f.call(1 + i%4)
		}
		want := []authos.BreakerEvent{{Group: "service", From: "closed", To: "open", Blamed: 1}, {Group: "service", From: "open", To: "open"}}
		if !slices.Equal(f.events, want) {
			t.Errorf("events %+v, want %+v", f.events, want)
		}
		if want := []string{"closed→open"}; !slices.Equal(hooked, want) {
			t.Errorf("OnStateChange %q, want %q", hooked, want)
		}
		for who := range 5 {
			if f.call(who) {
				t.Errorf("principal %d passes", who)
			}
		}
	})
}

// What a blamed principal's attempts from before it was blamed end with says nothing of the time
// after it.
func TestLateFailuresOfTheBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		late := webHold(web, say(500, ""))
		done := make(chan error, 10)
		for range 10 {
			go func() { done <- getInfo(c) }()
		}
		synctest.Wait()
		time.Sleep(time.Until(webTrip(t, c, web, sayError(500, "DATABASE_ERROR")).RetryAt))
		web.play(sayInfo)
		if err := getInfo(c); err != nil {
			t.Fatalf("the probe: %v", err)
		}
		late()
		for range 10 {
			<-done //nolint:errcheck // what it ended with is not the point
		}
		if err := getInfo(c); err != nil {
			t.Errorf("after ten late failures: %v", err)
		}
	})
}

// A Retry-After holds the circuit of the one who was told.
func TestBlamedHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBtFleet(t, 2, authos.BreakerPolicy{})
		f.web.play(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.Header.Get("X-Api-Key"), "_0") {
				return sayError(503, "MAINTENANCE", "Retry-After: 120")(req)
			}
			return sayInfo(req)
		})
		for range 5 {
			f.call(0)
		}
		e := mustBeOpen(t, getInfo(f.clients[0]))
		if d := time.Until(e.RetryAt); d != 120*time.Second || e.LastCode != "MAINTENANCE" {
			t.Errorf("RetryAt in %v, last %s; want 120s, MAINTENANCE", d, e.LastCode)
		}
		time.Sleep(119 * time.Second)
		if f.call(0) || !f.call(1) {
			t.Error("after 119 s the one who was told passes, or the other does not")
		}
		time.Sleep(time.Second)
		if !f.call(0) {
			t.Error("after 120 s it is refused")
		}
	})
}

// Sessions are principals too, and their refreshes: a user whose refresh fails for ever does not
// keep others from theirs.
func TestBlamedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		var clients []*authos.Client
		for _, name := range []string{"gone@example.com", "ada@example.com"} {
			srv.AddUser(name, "correct horse")
			in := srv.SignIn(name)
			tokens := authos.WithTokens(authos.Tokens{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken})
			if len(clients) == 0 {
				clients = append(clients, localClient(t, srv.Transport(), oneAttempt, tokens,
					authos.WithBreaker(authos.BreakerPolicy{OpenTimeout: time.Minute})))
				continue
			}
			c, err := clients[0].With(tokens)
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		remove := srv.Fault(authostest.Fault{Path: "/api/auth/refresh", Status: 500})
		srv.ExpireAccessTokens()
		var err error
		for range 12 {
			_, err = clients[0].User.Get(t.Context())
			time.Sleep(time.Second)
			if errors.Is(err, authos.ErrCircuitOpen) {
				break
			}
			time.Sleep(35 * time.Second)
		}
		if e := mustBeOpen(t, err); e.Group != "refresh" {
			t.Fatalf("the circuit of %q is open, want refresh", e.Group)
		}
		remove()
		if _, err := clients[1].User.Get(t.Context()); err != nil {
			t.Errorf("another user's refresh: %v", err)
		}
	})
}

// On a public route nobody has said who it is: whoever a sign-in is about counts, so that one whose
// data makes the server fail does not close the door to all others.
func TestPublicRequestIsItsOwnPrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := &script{respond: func(r seenRequest) reply {
			if strings.Contains(r.body, "bad@example.com") {
				return apiError(500, "DATABASE_ERROR")
			}
			return apiError(401, "UNAUTHORIZED")
		}}
		c := newClient(t, testBase, web, oneAttempt)
		login := func(email string) error {
			_, err := c.Auth.Login(t.Context(), authos.LoginParams{Email: email, Password: "correct horse"})
			return err
		}
		for range 20 {
			_ = login("bad@example.com")
			if err := login("good@example.com"); !errors.Is(err, authos.ErrUnauthenticated) {
				t.Fatalf("the good one: %v, want the server's 401", err)
			}
		}
		for range 6 {
			_ = login("bad@example.com")
		}
		if err := login("bad@example.com"); !errors.Is(err, authos.ErrCircuitOpen) {
			t.Errorf("the bad one: %v, want it refused", err)
		}
		if got := c.BreakerStates()["auth"]; got != authos.BreakerOpen {
			t.Errorf("state of auth = %s while one request is refused, want open", got)
		}
		web.respond = func(seenRequest) reply { return apiError(500, "DATABASE_ERROR") }
		for i := range 12 {
			_ = login(fmt.Sprintf("user%d@example.com", i))
		}
		if err := login("good@example.com"); !errors.Is(err, authos.ErrCircuitOpen) {
			t.Errorf("in an outage: %v, want the circuit open to all", err)
		}
	})
}

// Who calls with a credential of their own is a principal by that.
func TestOwnCredentialIsAPrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := &script{handler: func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer bad" {
				return sayError(500, "DATABASE_ERROR")(req)
			}
			return say(200, "{}")(req)
		}}
		c := newClient(t, "https://authos.test", web, oneAttempt)
		get := func(token string) error {
			return c.Do(context.Background(), "GET", "/api/user", nil, nil, authos.WithHeader("Authorization", "Bearer "+token))
		}
		for range 6 {
			_ = get("bad")
		}
		if err := get("bad"); !errors.Is(err, authos.ErrCircuitOpen) {
			t.Errorf("the bad one: %v", err)
		}
		if err := get("good"); err != nil {
			t.Errorf("the good one: %v", err)
		}
	})
}

func TestBreakerStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, web := keyClient(t, oneAttempt)
		if got := c.BreakerStates(); len(got) != 0 {
			t.Errorf("before any call: %v", got)
		}
		_ = getInfo(c)
		_ = c.Do(t.Context(), "GET", "/health", nil, nil)
		at := webTrip(t, c, web, sayReset).RetryAt
		states := c.BreakerStates()
		if len(states) != 2 || states["service"] != authos.BreakerOpen || states["other"] != authos.BreakerClosed {
			t.Errorf("states %v", states)
		}
		states["other"] = authos.BreakerOpen // the map is the caller's
		if c.BreakerStates()["other"] != authos.BreakerClosed {
			t.Error("the caller's map is the client's")
		}
		time.Sleep(time.Until(at))
		if got := c.BreakerStates()["service"]; got != authos.BreakerHalfOpen {
			t.Errorf("at RetryAt: %s", got)
		}
		web.play(sayInfo)
		_ = getInfo(c)
		if got := c.BreakerStates()["service"]; got != authos.BreakerClosed {
			t.Errorf("after a good probe: %s", got)
		}
		off, _ := keyClient(t, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
		_ = getInfo(off)
		if got := off.BreakerStates(); got == nil || len(got) != 0 {
			t.Errorf("disabled: %v", got)
		}
	})
}

// The others' own share of failures opens the circuit to everybody, though one principal has the
// most.
func TestOthersShareOpensToAll(t *testing.T) {
	for _, others := range []int{9, 10} { // of their 20 outcomes are failures
		synctest.Test(t, func(t *testing.T) {
			f := newBtFleet(t, 22, authos.BreakerPolicy{FailureThreshold: 100})
			for range 30 {
				f.call(0)
			}
			for who := 1; who <= 20; who++ {
				f.bad[who] = who <= others
			}
			for i := range 10 { // no two failures in a row
				f.call(1 + i)
				f.call(20 - i)
			}
			f.bad[0] = true
			for range 40 {
				f.call(0)
			}
			want := authos.BreakerClosed
			if others == 10 {
				want = authos.BreakerOpen
			}
			if f.state(0) != authos.BreakerOpen || f.state(21) != want {
				t.Errorf("%d of 20: the one finds %s, the others %s; want open, %s", others, f.state(0), f.state(21), want)
			}
		})
	}
}

// Failures in a row have no age, also where the one to blame is sought.
func TestBlameOfOldFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newBtFleet(t, 3, authos.BreakerPolicy{})
		f.bad[0], f.bad[1] = true, true
		for range 4 {
			f.call(0)
		}
		time.Sleep(time.Hour)
		f.call(1)
		if f.state(0) != authos.BreakerOpen || f.state(1) != authos.BreakerClosed || f.state(2) != authos.BreakerClosed {
			t.Errorf("they find %s, %s, %s; want the first of them blamed alone", f.state(0), f.state(1), f.state(2))
		}
	})
}
