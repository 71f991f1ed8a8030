package authos

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The transports that most programs have need no goroutine to be waited for in; one with code of
// the caller's own in the way does.
func TestObedientTransports(t *testing.T) {
	standard := http.DefaultTransport.(*http.Transport) //nolint:forcetypeassert // nobody here replaces it
	var plainHTTP2 http.Protocols
	plainHTTP2.SetUnencryptedHTTP2(true)
	foreignDial := func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	for name, tt := range map[string]struct {
		transport *http.Transport
		want      bool
	}{
		"none of its own":  {&http.Transport{}, true},
		"http's default":   {standard, true},
		"a copy of that":   {standard.Clone(), true},
		"a longer timeout": {&http.Transport{DialContext: (&net.Dialer{Timeout: time.Minute}).DialContext}, true},
		"plain HTTP/2":     {&http.Transport{Protocols: &plainHTTP2}, false},
		"proxy function":   {&http.Transport{Proxy: http.ProxyURL(nil)}, false},
		"dialer":           {&http.Transport{DialContext: foreignDial}, false},
		"TLS dialer":       {&http.Transport{DialTLSContext: foreignDial}, false},
		//lint:ignore SA1019 it may be set
		"old dialer": {&http.Transport{Dial: net.Dial}, false}, //nolint:staticcheck // it may be set
		//lint:ignore SA1019 it may be set
		"old TLS dialer": {&http.Transport{DialTLS: net.Dial}, false}, //nolint:staticcheck // it may be set
	} {
		if got := isObedient(tt.transport); got != tt.want {
			t.Errorf("%s: obedient = %t, want %t", name, got, tt.want)
		}
	}
}

// What is to be called at the end of a sending's context is called once, unless stop says that it
// has kept it from that: as package context has it.
func TestAfterFunc(t *testing.T) {
	for _, tt := range []struct {
		steps   []string
		stopped []bool // what each stop said
		called  int
	}{
		{[]string{"register"}, nil, 0},
		{[]string{"register", "end", "end"}, nil, 1},
		{[]string{"register", "end", "stop"}, []bool{false}, 1},
		{[]string{"register", "stop", "stop", "end"}, []bool{true, false}, 0},
		{[]string{"end", "register", "stop"}, []bool{false}, 1},
		{[]string{"register", "register", "stop", "end", "stop"}, []bool{true, false}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var l lifetime
			var called atomic.Int64
			var stop func() bool
			var stopped []bool
			for _, step := range tt.steps {
				switch step {
				case "register":
					stop = l.AfterFunc(func() { called.Add(1) })
				case "stop":
					stopped = append(stopped, stop())
				case "end":
					l.end(context.Canceled)
				}
				synctest.Wait()
			}
			if !slices.Equal(stopped, tt.stopped) || called.Load() != int64(tt.called) {
				t.Errorf("%v: stop said %v, %d calls; want %v and %d", tt.steps, stopped, called.Load(), tt.stopped, tt.called)
			}
		})
	}
}
