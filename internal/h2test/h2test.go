// Package h2test is the server's side of HTTP/2, frame by frame, for tests of what a client makes
// of a server, a proxy or a network path that misbehaves: streams that are reset with any code,
// GOAWAY, connections that end or go silent, bytes that are no frames. A server that behaves is
// net/http's.
package h2test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The codes of RFC 9113, section 7.
const (
	NoError           = 0x0
	ProtocolError     = 0x1
	InternalError     = 0x2
	FlowControlError  = 0x3
	StreamClosed      = 0x5
	RefusedStream     = 0x7
	Cancel            = 0x8
	EnhanceYourCalm   = 0xb
	HTTP11Required    = 0xd
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9
	flagAck           = 0x1
	flagEndStream     = 0x1
	flagEndHeaders    = 0x4
	flagPadded        = 0x8
	flagPriority      = 0x20

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// Certificate is what the servers show. It is good for authos.test and 127.0.0.1, at any time.
var Certificate = makeCertificate()

// Roots trusts Certificate.
var Roots = func() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(Certificate.Leaf)
	return pool
}()

// secured is one for all connections, so that a client may resume a session.
var secured = &tls.Config{Certificates: []tls.Certificate{Certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}

func makeCertificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "h2test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC),
		DNSNames: []string{"authos.test", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Server calls Handle for each request that has arrived as a whole, each in a goroutine of its own.
type Server struct {
	Handle func(*Stream)
	// Plain leaves TLS out.
	Plain bool
	// Conns counts the connections, Pings those that asked for a sign of life.
	Conns, Pings atomic.Int64

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]bool
	ended  sync.WaitGroup
}

// Stream is one request.
type Stream struct {
	ID           uint32
	Method, Path string
	Header       http.Header
	Body         string
	Conn         *Conn
}

// Conn is one connection.
type Conn struct {
	net.Conn
	// Number counts from 1.
	Number int64
	server *Server
	silent atomic.Bool
	mu     sync.Mutex
}

// Listen makes a server on a port of loopback, and gives its URL.
func (s *Server) Listen() (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.own(l)
	s.ended.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			s.ended.Go(func() { s.Serve(raw) })
		}
	})
	if s.Plain {
		return "http://" + l.Addr().String()
	}
	return "https://" + l.Addr().String()
}

func (s *Server) own(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return
	}
	if s.open == nil {
		s.open = map[io.Closer]bool{}
	}
	s.open[c] = true
}

func (s *Server) disown(c io.Closer) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Close ends all connections and waits for what serves them.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.ended.Wait()
}

// Serve serves one connection, TLS included, until it ends.
func (s *Server) Serve(raw net.Conn) {
	s.own(raw)
	defer s.disown(raw)
	conn := raw
	if !s.Plain {
		conn = tls.Server(raw, secured)
	}
	start := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, start); err != nil || string(start) != preface {
		return
	}
	c := &Conn{Conn: conn, server: s, Number: s.Conns.Add(1)}
	c.Frame(frameSettings, 0, 0, nil)
	c.read()
}

// read reads frames until the connection ends.
func (c *Conn) read() {
	header := decoder{limit: defaultTable}
	open := map[uint32]*Stream{}
	var block []byte
	var last byte // the flags of the HEADERS frame that a block began with
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		kind, flags, id := head[3], head[4], binary.BigEndian.Uint32(head[5:])&(1<<31-1)
		if c.silent.Load() {
			continue
		}
		switch kind {
		case frameSettings:
			if flags&flagAck == 0 {
				c.Frame(frameSettings, flagAck, 0, nil)
			}
			continue
		case framePing:
			if flags&flagAck == 0 {
				c.server.Pings.Add(1)
				c.Frame(framePing, flagAck, 0, payload)
			}
			continue
		case frameHeaders, frameContinuation:
			if kind == frameHeaders {
				block, last = nil, flags
				payload = unpadded(payload, flags)
				if flags&flagPriority != 0 {
					payload = payload[min(5, len(payload)):]
				}
			}
			if block = append(block, payload...); flags&flagEndHeaders == 0 {
				continue
			}
			fields, err := header.decode(block)
			if err != nil {
				return
			}
			open[id], flags = c.stream(id, fields), last
		case frameData:
			if st := open[id]; st != nil {
				st.Body += string(unpadded(payload, flags))
			}
		default:
			continue
		}
		if st := open[id]; st != nil && flags&flagEndStream != 0 {
			delete(open, id)
			c.server.ended.Go(func() { c.server.Handle(st) })
		}
	}
}

func unpadded(payload []byte, flags byte) []byte {
	if flags&flagPadded == 0 || len(payload) == 0 {
		return payload
	}
	pad := int(payload[0])
	return payload[1:max(1, len(payload)-pad)]
}

func (c *Conn) stream(id uint32, fields []field) *Stream {
	st := &Stream{ID: id, Conn: c, Header: http.Header{}}
	for _, f := range fields {
		switch f.name {
		case ":method":
			st.Method = f.value
		case ":path":
			st.Path = f.value
		default:
			if !strings.HasPrefix(f.name, ":") {
				st.Header.Add(f.name, f.value)
			}
		}
	}
	return st
}

// Frame writes any frame. What cannot be written is lost, as the connection is.
func (c *Conn) Frame(kind, flags byte, stream uint32, payload []byte) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = append(frame, flags)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	c.Raw(slices.Concat(frame, payload))
}

// Raw writes bytes as they are.
func (c *Conn) Raw(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.silent.Load() {
		_, _ = c.Write(p)
	}
}

// GoAway says that nothing after the stream last has been processed.
func (c *Conn) GoAway(last, code uint32) {
	c.Frame(frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code))
}

// Silence lets nothing through any more, in either direction; the connection stays open.
func (c *Conn) Silence() { c.silent.Store(true) }

// Reset ends the stream with a code.
func (st *Stream) Reset(code uint32) {
	st.Conn.Frame(frameReset, 0, st.ID, binary.BigEndian.AppendUint32(nil, code))
}

// Respond sends a whole response; header are names and values in turn.
func (st *Stream) Respond(status int, body string, header ...string) {
	st.Headers(status, body == "", header...)
	if body != "" {
		st.Data(body, true)
	}
}

// Headers sends the beginning of a response.
func (st *Stream) Headers(status int, end bool, header ...string) {
	block := literal(nil, ":status", strconv.Itoa(status))
	for pair := range slices.Chunk(header, 2) {
		block = literal(block, strings.ToLower(pair[0]), pair[1])
	}
	flags := byte(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	st.Conn.Frame(frameHeaders, flags, st.ID, block)
}

// Data sends a part of a body.
func (st *Stream) Data(body string, end bool) {
	flags := byte(0)
	if end {
		flags = flagEndStream
	}
	st.Conn.Frame(frameData, flags, st.ID, []byte(body))
}

// literal appends a field without indexing and without Huffman's code (RFC 7541, section 6.2.2).
func literal(block []byte, name, value string) []byte {
	block = append(block, 0)
	for _, s := range []string{name, value} {
		n := len(s)
		if n < 127 {
			block = append(block, byte(n))
		} else {
			block = append(block, 127)
			for n -= 127; n >= 128; n >>= 7 {
				block = append(block, byte(n)|128)
			}
			block = append(block, byte(n))
		}
		block = append(block, s...)
	}
	return block
}
