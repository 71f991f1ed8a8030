// Package h2 stands between a client and an HTTP/2 server and spoils what goes between
// them, frame by frame (RFC 9113, section 4.1). It knows nothing of what frames carry.
package h2

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
)

// The types of frames that matter here, and the size of a frame's head.
const (
	typeHeaders   = 0x1
	typeRSTStream = 0x3
	typeGoAway    = 0x7
	headSize      = 9
)

// preface is what a client sends first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Conn is one connection that is being watched.
type Conn struct {
	client  net.Conn
	copying sync.WaitGroup

	mu     sync.Mutex
	codes  []uint32 // of the streams that the server will reset next
	newest uint32   // the stream that the client has opened last
	silent bool
	leave  bool // close when no stream is open
	open   map[uint32]bool
}

// Join copies frames between a client and a server until one of them ends, and closes
// both.
func Join(client, server net.Conn) *Conn {
	c := &Conn{client: client, open: map[uint32]bool{}}
	for _, pump := range []func(net.Conn) error{c.toServer, c.toClient} {
		c.copying.Go(func() {
			_ = pump(server) // how it ends, the ends see for themselves
			_ = server.Close()
			_ = client.Close()
		})
	}
	return c
}

// Wait returns when the connection has ended and nothing of it runs any more.
func (c *Conn) Wait() { c.copying.Wait() }

func (c *Conn) toServer(server net.Conn) error {
	if _, err := io.CopyN(server, c.client, int64(len(preface))); err != nil {
		return err
	}
	for {
		frame, err := readFrame(c.client)
		if err != nil {
			return err
		}
		if kind, stream := frame[3], streamOf(frame); kind == typeHeaders {
			c.mu.Lock()
			c.newest = max(c.newest, stream)
			c.open[stream] = true
			c.mu.Unlock()
		}
		if _, err := server.Write(frame); err != nil {
			return err
		}
	}
}

// endStream is the flag of the last frame of a stream.
const endStream = 0x1

func (c *Conn) toClient(server net.Conn) error {
	for {
		frame, err := readFrame(server)
		if err != nil {
			return err
		}
		if err := c.pass(frame); err != nil {
			return err
		}
	}
}

func (c *Conn) pass(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, stream := frame[3], streamOf(frame)
	if kind == typeRSTStream && len(c.codes) > 0 && len(frame) == headSize+4 {
		binary.BigEndian.PutUint32(frame[headSize:], c.codes[0])
		c.codes = c.codes[1:]
	}
	if c.silent {
		return nil
	}
	if _, err := c.client.Write(frame); err != nil {
		return err
	}
	if kind == typeRSTStream || kind <= typeHeaders && frame[4]&endStream != 0 {
		delete(c.open, stream)
		if c.leave && len(c.open) == 0 {
			return io.EOF
		}
	}
	return nil
}

// ResetWith makes the next stream that the server resets one that is reset with this
// error code (RFC 9113, section 7).
func (c *Conn) ResetWith(code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codes = append(c.codes, code)
}

// GoAway tells the client that no stream after a last one is or will be processed. The
// last one is the newest, or if that is refused the one before it. The connection ends
// when the streams do.
func (c *Conn) GoAway(code uint32, refuseNewest bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.newest
	if refuseNewest {
		delete(c.open, last)
		last -= min(last, 2)
	}
	frame := make([]byte, headSize+8)
	frame[2], frame[3] = 8, typeGoAway
	binary.BigEndian.PutUint32(frame[headSize:], last)
	binary.BigEndian.PutUint32(frame[headSize+4:], code)
	if !c.silent {
		_, _ = c.client.Write(frame) // a client that is gone needs no telling
	}
	if c.leave = true; len(c.open) == 0 {
		_ = c.client.Close()
	}
}

// Silence lets nothing through to the client any more. The connection stays.
func (c *Conn) Silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

func readFrame(r io.Reader) ([]byte, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	frame := slices.Concat(head, make([]byte, size))
	_, err := io.ReadFull(r, frame[headSize:])
	return frame, err
}

func streamOf(frame []byte) uint32 {
	return binary.BigEndian.Uint32(frame[5:headSize]) & 0x7fffffff
}
