package authos

import (
	"context"
	"net"
	"net/http"
	"testing"
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
