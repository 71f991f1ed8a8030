package authostest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
)

const userPath = "/api/service/users"

func TestResets(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		key := "X-Api-Key: " + srv.AddAPIKey()
		for _, tc := range []struct {
			name    string
			kind    authostest.FaultKind
			applied int
		}{
			{"before", authostest.ResetBefore, 0},
			{"after", authostest.ResetAfter, 1},
		} {
			t.Run(tc.name, func(t *testing.T) {
				srv.Reset()
				srv.Fault(authostest.Fault{Kind: tc.kind, Times: 1})
				_, err := c.try(c.request("POST", userPath, `{"email":"`+tc.name+`@example.com"}`, key))
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("err = %v, want ECONNRESET", err)
				}
				if _, ok := errors.AsType[*net.OpError](err); !ok {
					t.Errorf("err = %#v, want a *net.OpError", err)
				}
				if got := srv.Applied()["POST "+userPath]; got != tc.applied {
					t.Errorf("applied %d times, want %d", got, tc.applied)
				}
				seen := srv.Requests()
				if len(seen) != 1 || seen[0].Status != 0 || !seen[0].Fault {
					t.Errorf("Requests() = %+v", seen)
				}
				if got := c.do("GET", userPath, "", key).StatusCode; got != 200 {
					t.Errorf("after the fault: %d", got)
				}
			})
		}
	})
}

func TestTruncateBody(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		key := "X-Api-Key: " + srv.AddAPIKey()
		srv.Fault(authostest.Fault{Method: "POST", Kind: authostest.TruncateBody, Times: 1})
		got, err := c.try(c.request("POST", userPath, `{"email":"ada@example.com"}`, key))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("err = %v, want io.ErrUnexpectedEOF", err)
		}
		if got.StatusCode != 201 || int64(len(got.body)) != got.ContentLength/2 {
			t.Errorf("%d with %d of %d bytes, want 201 with half", got.StatusCode, len(got.body), got.ContentLength)
		}
		if srv.Applied()["POST "+userPath] != 1 {
			t.Error("the handler did not run")
		}
	})
}

func TestTruncateWithoutBody(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		srv.Fault(authostest.Fault{Kind: authostest.TruncateBody})
		c.expect(404, "", "", "GET", "/nothing", "")
	})
}

func TestHangs(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		key := "X-Api-Key: " + srv.AddAPIKey()
		for _, tc := range []struct {
			name    string
			kind    authostest.FaultKind
			applied int
		}{
			{"before", authostest.Hang, 0},
			{"after", authostest.HangAfter, 1},
		} {
			t.Run(tc.name, func(t *testing.T) {
				srv.Reset()
				srv.Fault(authostest.Fault{Kind: tc.kind, Times: 1})
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := c.try(c.request("POST", userPath, `{"email":"`+tc.name+`@example.com"}`, key).WithContext(ctx))
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("err = %v, want DeadlineExceeded", err)
				}
				if got := srv.Applied()["POST "+userPath]; got != tc.applied {
					t.Errorf("applied %d times, want %d", got, tc.applied)
				}
			})
		}
	})
}

func TestCloseEndsHangs(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		srv.Fault(authostest.Fault{Path: "/health", Kind: authostest.Hang})
		failed := make(chan error, 1)
		req := c.request("GET", "/health", "")
		go func() {
			_, err := c.try(req)
			failed <- err
		}()
		for srv.Count("", "/health") == 0 {
			c.do("GET", "/nothing", "") // gives the other request its turn
		}
		srv.Close()
		if err := <-failed; err == nil {
			t.Error("a hanging request succeeded")
		}
	})
}

func TestSlowBody(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		srv.Fault(authostest.Fault{Kind: authostest.SlowBody, Delay: time.Millisecond})
		start := time.Now()
		c.expect(200, jsonType, `{"status":"healthy","version":"<…>"}`, "GET", "/health", "")
		if took := time.Since(start); took < 7*time.Millisecond {
			t.Errorf("took %v, want seven pauses", took)
		}
	})
}

func TestSlowBodyStopsWithTheClient(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		srv.Fault(authostest.Fault{Kind: authostest.SlowBody, Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		got, err := c.try(c.request("GET", "/health", "").WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || got.StatusCode != 200 || got.body == "" {
			t.Errorf("%+v, %v, want the head, a piece of the body and DeadlineExceeded", got, err)
		}
	})
}

func TestCannedResponses(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		remove := srv.Fault(authostest.Fault{
			Status: 429, Header: http.Header{"retry-after": {"7"}}, Body: `{"error":"slow down"}`,
		})
		got := c.expect(429, jsonType, `{"error":"slow down"}`, "GET", "/health", "")
		if got.Header.Get("Retry-After") != "7" || got.Header.Get("Date") == "" || got.Header.Get("X-Frame-Options") != "" {
			t.Errorf("headers = %v", got.Header)
		}
		remove()
		remove()
		if got := c.do("GET", "/health", "").StatusCode; got != 200 {
			t.Errorf("after removal: %d", got)
		}

		srv.Fault(authostest.Fault{Status: 503, Times: 1, Body: "busy", Header: http.Header{"Content-Type": nil}})
		c.expect(503, "", "busy", "GET", "/health", "")
		srv.Fault(authostest.Fault{Status: 1, Times: 1})
		c.expect(500, "", "", "GET", "/health", "")
		srv.Fault(authostest.Fault{Status: 204, Times: 1, Body: "dropped"})
		c.expect(204, textType, "", "GET", "/health", "")

		end := srv.Outage(502)
		got = c.do("DELETE", "/api/anything", "")
		if got.StatusCode != 502 || got.Header.Get("Content-Type") != "text/html" || !strings.Contains(got.body, "<h1>Bad Gateway</h1>") || got.Header.Get("Retry-After") != "" {
			t.Errorf("outage = %d %v %s", got.StatusCode, got.Header, got.body)
		}
		end()
		if got := c.do("GET", "/health", "").StatusCode; got != 200 {
			t.Errorf("after the outage: %d", got)
		}
	})
}

func TestFaultSelection(t *testing.T) {
	srv, c := inMemory(t)
	hit := func(method, path string) bool {
		t.Helper()
		return c.do(method, path, "").StatusCode == 599
	}
	for _, tc := range []struct {
		name         string
		fault        authostest.Fault
		method, path string
		want         bool
	}{
		{"any", authostest.Fault{}, "GET", "/health", true},
		{"method", authostest.Fault{Method: "POST"}, "GET", "/health", false},
		{"template", authostest.Fault{Path: "/api/service/users/:user_id"}, "GET", "/api/service/users/1", true},
		{"template by another name", authostest.Fault{Path: "/api/service/users/:id"}, "GET", "/api/service/users/1", true},
		{"template is not its parent", authostest.Fault{Path: "/api/service/users/:user_id"}, "GET", "/api/service/users", false},
		{"template spares literals", authostest.Fault{Path: "/api/service/:what"}, "GET", "/api/service/users", false},
		{"template of a route not built", authostest.Fault{Path: "/api/user/devices/:device_id"}, "GET", "/api/user/devices/1", true},
		{"concrete", authostest.Fault{Path: "/api/service/users/1"}, "GET", "/api/service/users/1", true},
		{"another concrete", authostest.Fault{Path: "/api/service/users/2"}, "GET", "/api/service/users/1", false},
		{"prefix", authostest.Fault{Path: "/api/*"}, "GET", "/api/service/users/1", true},
		{"another prefix", authostest.Fault{Path: "/api/*"}, "GET", "/health", false},
		{"not yet", authostest.Fault{From: time.Hour}, "GET", "/health", false},
		{"no more", authostest.Fault{Until: 1}, "GET", "/health", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.fault.Status = 599
			defer srv.Fault(tc.fault)()
			if got := hit(tc.method, tc.path); got != tc.want {
				t.Errorf("hit = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFaultSequence(t *testing.T) {
	srv, c := inMemory(t)
	srv.Fault(authostest.Fault{Skip: 1, Times: 2, Status: 500})
	srv.Fault(authostest.Fault{Skip: 1, Times: 1, Status: 503})
	var got []int
	for range 6 {
		got = append(got, c.do("GET", "/health", "").StatusCode)
	}
	// The second fault sees what the first lets through: requests 1, 4, 5, …
	want := []int{200, 500, 500, 503, 200, 200}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("statuses = %v, want %v", got, want)
		}
	}
}

func TestProbabilityIsSeeded(t *testing.T) {
	run := func(seed uint64) (hits int, trace string) {
		srv, c := inMemory(t, authostest.WithSeed(seed))
		srv.Fault(authostest.Fault{Probability: 0.3, Status: 500})
		for range 1000 {
			if c.do("GET", "/health", "").StatusCode == 500 {
				hits++
				trace += "x"
			} else {
				trace += "."
			}
		}
		return hits, trace
	}
	hits, first := run(7)
	if hits < 250 || hits > 350 {
		t.Errorf("%d hits in 1000, want about 300", hits)
	}
	if _, again := run(7); again != first {
		t.Error("the same seed gave another sequence")
	}
	if _, other := run(8); other == first {
		t.Error("another seed gave the same sequence")
	}
}
