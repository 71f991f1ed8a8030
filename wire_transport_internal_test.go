package authos

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Silence is counted from when the first of those who wait began to, and only for those who waited
// since then.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := silence{made: time.Now()}
		want := func(what string, at, want time.Duration) {
			t.Helper()
			if got := q.since(at); got != want {
				t.Errorf("%s: silent for %s, want %s", what, got, want)
			}
		}
		want("before anything", 0, 0)
		time.Sleep(time.Second)
		first := q.begin()
		time.Sleep(2 * time.Second)
		second := q.begin()
		want("the first request", first, 2*time.Second)
		want("the second one, which found the silence there", second, 2*time.Second)
		q.heard()
		want("after a response", first, 0)
		time.Sleep(time.Second)
		third := q.begin()
		time.Sleep(time.Second)
		want("a request that a later silence says nothing of", first, 0)
		want("the one that it began with", third, time.Second)
	})
}

// A transport is left once, however many requests found it silent, and what is idle on it is
// closed.
func TestTransportIsLeftOnce(t *testing.T) {
	states := make(chan http.ConnState, 16)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	srv.Start()
	defer srv.Close()
	o := newOwnTransport(&made{})
	defer o.CloseIdleConnections()
	silent := o.current.Load()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := o.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	o.leave(silent)
	next := o.current.Load()
	for state := range states {
		if state == http.StateClosed {
			break
		}
	}
	o.leave(silent)
	if o.current.Load() != next || next == silent || len(o.retired) != 1 {
		t.Errorf("%d transports retired, want the silent one, once", len(o.retired))
	}
}

// Transports that were left are remembered for as long as they may have connections.
func TestTransportsThatWereLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnTransport(&made{})
		for i, tt := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {time.Second, 2}, {time.Minute, 3}, {2*idleConnTimeout - time.Minute, 2}, {time.Hour, 1}} {
			time.Sleep(tt.after)
			o.leave(o.current.Load())
			if len(o.retired) != tt.want {
				t.Errorf("step %d: %d are remembered, want %d", i, len(o.retired), tt.want)
			}
		}
	})
}
