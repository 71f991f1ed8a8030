package authostest

import (
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
)

// web is the socket side of a server.
type web struct {
	url   string
	http  *http.Server
	done  chan struct{}  // closed when the accept loop has ended
	conns sync.WaitGroup // connections being served

	once   sync.Once
	client *http.Transport
	trust  *tls.Config // nil without TLS
}

func listen(s *Server) *web {
	ln := s.config.listener
	if ln == nil {
		ln = listenLoopback()
	}
	w := &web{url: baseURL(ln.Addr()), done: make(chan struct{})}
	w.http = &http.Server{
		Handler:   s,
		ErrorLog:  log.New(io.Discard, "", 0), // cut connections are on purpose here
		ConnState: w.count,
	}
	go func() {
		defer close(w.done)
		_ = w.http.Serve(ln) // always ends with ErrServerClosed
	}()
	return w
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
	if d.err != nil || d.kind == ResetBefore || d.kind == ResetAfter {
		cut(w)
		return
	}
	s.write(w, r, d)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, d delivery) {
	a, h := d.response, w.Header()
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

// cut ends a connection without a response. No linger makes the kernel send a
// reset rather than a clean close.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
