//go:build unix

package servertest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Lossy stands between clients and a server. While Lose is above zero, a response is lost together
// with its connection, after the server has done what it was told.
type Lossy struct {
	Addr       string
	To         atomic.Pointer[string] // where new connections lead
	Lose, Lost atomic.Int32
}

// StartLossy starts one until the test ends.
func StartLossy(t testing.TB, to string) *Lossy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Lossy{Addr: ln.Addr().String()}
	p.To.Store(&to)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { p.serve(conn, *p.To.Load()) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		conns.Wait()
	})
	return p
}

func (p *Lossy) serve(conn net.Conn, to string) {
	defer conn.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.Lose.Load() > 0 && p.Lose.Add(-1) >= 0 {
			p.Lost.Add(1)
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}
