package authostest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"

	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/authos-go/authos/authostest/internal/h2"
)

// front is the listener that connections come in through: it ends TLS, watches HTTP/2,
// and cuts what is to be cut.
type front struct {
	net.Listener

	tls *tls.Config // nil without

	ready chan net.Conn // that have said what they speak
	ended chan struct{}
	stop  sync.Once
	work  sync.WaitGroup

	mu    sync.Mutex
	doom  int // how many of the next connections die at once
	conns map[net.Conn]struct{}
}

func newFront(ln net.Listener, config *tls.Config) *front {
	f := &front{Listener: ln, tls: config, ready: make(chan net.Conn), ended: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	f.work.Go(f.accept)
	return f
}

func (f *front) accept() {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			return
		}
		if f.doomed() {
			resetConn(conn)
			continue
		}
		f.work.Go(func() { f.greet(conn) })
	}
}

func (f *front) doomed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.doom == 0 {
		return false
	}
	f.doom--
	return true
}

// greet finds out what a client speaks, and hands the connection on.
func (f *front) greet(conn net.Conn) {
	f.mu.Lock()
	f.conns[conn] = struct{}{}
	f.mu.Unlock()
	select {
	case <-f.ended: // and nobody cuts it any more
		_ = conn.Close()
		return
	default:
	}
	out := &frontConn{Conn: conn, front: f, raw: conn}
	if f.tls != nil {
		secure := tls.Server(conn, f.tls)
		_ = secure.SetDeadline(time.Now().Add(10 * time.Second))
		if err := secure.Handshake(); err != nil {
			f.forget(conn)
			_ = conn.Close()
			return
		}
		_ = secure.SetDeadline(time.Time{})
		out = &frontConn{Conn: secure, front: f, raw: conn}
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			inner, outer := net.Pipe()
			watched := h2.Join(out, inner)
			f.work.Go(watched.Wait)
			out = &frontConn{Conn: outer, front: f, raw: conn, watched: watched}
		}
	}
	select {
	case f.ready <- out:
	case <-f.ended:
		_ = out.Close()
		_ = conn.Close()
	}
}

// Accept implements [net.Listener].
func (f *front) Accept() (net.Conn, error) {
	select {
	case conn := <-f.ready:
		return conn, nil
	case <-f.ended:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (f *front) Close() error {
	err := f.Listener.Close()
	f.stop.Do(func() { close(f.ended) })
	f.cut()
	f.work.Wait()
	return err
}

func (f *front) forget(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, conn)
}

// cut resets the connections that are there.
func (f *front) cut() {
	f.mu.Lock()
	conns := make([]net.Conn, 0, len(f.conns))
	for conn := range f.conns {
		conns = append(conns, conn)
	}
	f.mu.Unlock()
	for _, conn := range conns {
		resetConn(conn)
	}
}

// frontConn is a connection as the server sees it.
type frontConn struct {
	net.Conn

	front   *front
	raw     net.Conn // the socket
	watched *h2.Conn // nil unless it speaks HTTP/2
}

func (c *frontConn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }
func (c *frontConn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }

func (c *frontConn) Close() error {
	c.front.forget(c.raw)
	return c.Conn.Close()
}

// resetConn ends a connection without a goodbye: no linger makes the kernel send a reset
// in place of a clean close.
func resetConn(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// CutConnections resets all connections that clients have open, in use or not. It does
// nothing to a server that is in memory.
func (s *Server) CutConnections() {
	if s.web != nil {
		s.web.front.cut()
	}
}

// DoomConnections lets the next n connections die as soon as they are made, like a burst
// that a firewall or a full table of connections does not survive. In memory, where there
// are none, the next n requests are lost in their place.
func (s *Server) DoomConnections(n int) {
	s.mu.Lock()
	s.lost = slices.Repeat([]error{reset()}, n)
	s.mu.Unlock()
	if s.web != nil {
		s.web.front.mu.Lock()
		s.web.front.doom = n
		s.web.front.mu.Unlock()
	}
}

// lose is the error of a request in memory that gets nowhere.
func (s *Server) lose() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lost) == 0 {
		return nil
	}
	err := s.lost[0]
	s.lost = s.lost[1:]
	return err
}

// WithTLS makes the server speak HTTPS, HTTP/2 included, with a certificate made for the
// purpose. [Server.Client] and [Server.HTTPClient] trust it; others get it from
// [Server.Certificate]. It has no effect on a server that is in memory.
func WithTLS() Option {
	return func(c *config) { c.tls = true }
}

// Certificate is the certificate of a server [WithTLS], nil of others. It is good for
// 127.0.0.1, ::1, localhost and the host of [WithURL].
func (s *Server) Certificate() *x509.Certificate {
	if s.web == nil || s.web.front.tls == nil {
		return nil
	}
	return s.web.front.tls.Certificates[0].Leaf
}

// newCertificate makes one for this machine and perhaps another name of it.
func newCertificate(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "authostest"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if name != "" && !slices.Contains(template.DNSNames, name) {
		template.DNSNames = append(template.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
