package authostest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/authos-go/authos/authostest/internal/h2"
)

// web is the socket side of a server.
type web struct {
	url   string
	front *front
	http  *http.Server
	done  chan struct{}  // closed when the accept loop has ended
	conns sync.WaitGroup // connections being served

	once   sync.Once
	client *http.Transport
	trust  *tls.Config // nil without TLS
}

// connKey is where a request's context has its connection.
type connKey struct{}

func listen(s *Server) *web {
	ln := s.config.listener
	if ln == nil {
		ln = listenLoopback()
	}
	w := &web{url: baseURL(ln.Addr()), done: make(chan struct{})}
	var config *tls.Config
	if s.config.tls {
		w.url = "https" + strings.TrimPrefix(w.url, "http")
		config = w.secure(s.config.url)
	}
	w.front = newFront(ln, config)
	w.http = &http.Server{
		Handler:   s,
		ErrorLog:  log.New(io.Discard, "", 0), // cut connections are on purpose here
		ConnState: w.count,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		Protocols: &http.Protocols{},
	}
	w.http.Protocols.SetHTTP1(true)
	w.http.Protocols.SetUnencryptedHTTP2(s.config.tls) // the front has ended TLS
	go func() {
		defer close(w.done)
		_ = w.http.Serve(w.front) // always ends with ErrServerClosed
	}()
	return w
}

// secure makes a certificate and what clients need to trust it.
func (w *web) secure(publicURL string) *tls.Config {
	name := ""
	if u, err := url.Parse(publicURL); err == nil {
		name = u.Hostname()
	}
	cert, err := newCertificate(name)
	if err != nil {
		panic("authostest: no certificate: " + err.Error())
	}
	w.trust = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	w.trust.RootCAs.AddCert(cert.Leaf)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
}

func listenLoopback() net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp6", "[::1]:0"); err != nil {
			panic("authostest: no loopback port to listen on: " + err.Error())
		}
	}
	return ln
}

// baseURL is how clients on this machine reach an address.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return "http://127.0.0.1:" + port
	}
	return "http://" + addr.String()
}

// transport is one for clients, which Close ends the connections of.
func (w *web) transport() *http.Transport {
	w.once.Do(func() {
		w.client, _ = http.DefaultTransport.(*http.Transport)
		if w.client == nil { // somebody has replaced it
			w.client = &http.Transport{}
		}
		w.client = w.client.Clone()
		w.client.Proxy = nil
		w.client.TLSClientConfig = w.trust
		w.client.ForceAttemptHTTP2 = w.trust != nil
	})
	return w.client
}

func (w *web) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		w.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		w.conns.Done()
	}
}

func (w *web) close() {
	w.transport().CloseIdleConnections()
	_ = w.http.Close() // errors of closing a listener help nobody
	<-w.done           // no connection is added after this
	w.conns.Wait()
}

// Addr is the address that the server listens on as a URL, which [WithURL] does not
// change. It is empty for a server that is in memory.
func (s *Server) Addr() string {
	if s.web == nil {
		return ""
	}
	return s.web.url
}

// ServeHTTP implements [http.Handler], for mounting the fake in a server of one's
// own. It cuts connections by hijacking them, or where that is not possible by
// panicking with [http.ErrAbortHandler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.reached.Store(true)
	if a, refused := s.refuseUnread(r); refused {
		closeUnread(w, r, a)
		return
	}
	body, tooLarge, err := readBody(r.Body, r.ContentLength, s.bodyLimit(r))
	if err != nil {
		cut(w) // the client went away in the middle of its request
		return
	}
	if tooLarge {
		// Clients write before they read: take what they send, within reason, or
		// they see a broken pipe in place of the 413.
		_, _ = io.CopyN(io.Discard, r.Body, 16*s.maxBody())
	}
	d := s.serve(r, body, tooLarge)
	conn, watched := watchedOf(r)
	switch {
	case d.kind == ResetBefore || d.kind == ResetAfter:
		if watched != nil {
			watched.ResetWith(d.code)
		}
		cut(w)
	case d.kind == GoAwayBefore && watched != nil:
		watched.GoAway(d.code, true)
		panic(http.ErrAbortHandler)
	case d.kind == Silence && watched != nil:
		watched.Silence()
		_ = s.wait(r.Context(), forever) // until the client goes, or Close
		panic(http.ErrAbortHandler)
	case d.kind == GoAwayBefore, d.err != nil:
		cut(w)
	case d.kind == SlowHeader && watched == nil && conn != nil:
		s.slowHeader(w, r, d)
	default:
		if d.kind == GoAwayAfter && watched != nil {
			watched.GoAway(d.code, false)
		} else if d.kind == GoAwayAfter {
			d.response.header.Set("Connection", "close")
		}
		s.write(w, r, d)
	}
}

// watchedOf is the connection of a request, and how to spoil it where it speaks HTTP/2.
func watchedOf(r *http.Request) (*frontConn, *h2.Conn) {
	conn, _ := r.Context().Value(connKey{}).(*frontConn)
	if conn == nil || r.ProtoMajor != 2 {
		return conn, nil
	}
	return conn, conn.watched
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, d delivery) {
	a, h := d.response, w.Header()
	for _, status := range d.interim {
		if isInterim(status) {
			w.WriteHeader(status)
		}
	}
	maps.Copy(h, a.header)
	if len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil // or net/http would guess one
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	// Writing fails only when the client is gone. Returning with less written
	// than promised makes net/http close the connection.
	switch d.kind {
	case TruncateBody:
		_, _ = w.Write(a.body[:len(a.body)/2])
	case SlowBody:
		control := http.NewResponseController(w)
		for i, chunk := range chunks(a.body) {
			if i > 0 && s.wait(r.Context(), d.pause) != nil {
				return
			}
			_, _ = w.Write(chunk)
			_ = control.Flush()
		}
	default:
		_, _ = w.Write(a.body)
	}
}

// isInterim reports whether a response may follow a status. It may not after 101, which
// changes what is spoken.
func isInterim(status int) bool {
	return status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
}

// rawResponse is a response as it is on the wire of HTTP/1.
func rawResponse(a response) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	_ = a.header.Write(&out) // a buffer takes everything
	out.WriteString("\r\n")
	out.Write(a.body)
	return out.Bytes()
}

// slowHeader sends head and body of a response in eight pieces.
func (s *Server) slowHeader(w http.ResponseWriter, r *http.Request, d delivery) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		cut(w)
		return
	}
	defer func() { _ = conn.Close() }()
	d.response.header.Set("Connection", "close")
	for i, chunk := range chunks(rawResponse(d.response)) {
		if i > 0 && s.wait(context.WithoutCancel(r.Context()), d.pause) != nil {
			return
		}
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

// closeUnread responds without looking at the request's body, and closes the connection
// under the next request. Over HTTP/2, whose connections are not lost with a body, it only
// responds.
func closeUnread(w http.ResponseWriter, r *http.Request, a response) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		return
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(rawResponse(a)); err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(unreadPatience))
	_, _ = io.CopyN(io.Discard, buffered, max(r.ContentLength, 0)+1) // the body, and a byte of what follows
}

// unreadPatience is how long such a connection waits for the next request.
const unreadPatience = 30 * time.Second

// cut ends a connection without a response, or over HTTP/2 the stream.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if mine, ok := conn.(*frontConn); ok {
		resetConn(mine.raw)
	}
	resetConn(conn)
}
