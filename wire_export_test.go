package authos

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// NewTransportForTest is the transport of a client that was given none.
func NewTransportForTest() *http.Transport { return newTransport(&made{}) }

// ResumeTLSForTest has the transport of a client that was given none make the cheapest handshakes
// that there are.
func ResumeTLSForTest(c *Client) {
	own := c.connections.own
	fresh, sessions := own.fresh, tls.NewLRUClientSessionCache(1)
	own.fresh = func() *http.Transport {
		t := fresh()
		t.TLSClientConfig.MaxVersion, t.TLSClientConfig.ClientSessionCache = tls.VersionTLS12, sessions
		return t
	}
	own.current.Store(own.fresh())
}

// DialForTest has the transport of a client that was given none connect by dial, and wraps what the
// client sends through. One that was given an http.Client is left as it is.
func DialForTest(c *Client, dial func(context.Context) (net.Conn, error), wrap func(http.RoundTripper) http.RoundTripper) {
	conns := c.connections
	if conns.own == nil {
		return
	}
	fresh := func() *http.Transport {
		t := newTransport(conns.own.made)
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return conns.own.made.add(conn)
		}
		return t
	}
	conns.own.fresh = fresh
	conns.own.current.Store(fresh())
	conns.apart.single = withoutKeepAlive(fresh())
	conns.transport = wrap(conns.transport)
}
