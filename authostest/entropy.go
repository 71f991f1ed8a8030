package authostest

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
)

// entropy is where ids, tokens and secrets come from. With a seed they are the same in
// each run, as long as the requests come in the same order.
type entropy struct {
	seed [32]byte
	src  *mathrand.ChaCha8
}

// newEntropy is seeded with a number, or with nil for values that nobody can foresee.
func newEntropy(seed *uint64) *entropy {
	e := &entropy{}
	if seed == nil {
		_, _ = rand.Read(e.seed[:]) // never fails, by its documentation
	} else {
		binary.LittleEndian.PutUint64(e.seed[:], *seed)
		e.seed[31] = 1 // tells a given seed from a drawn one
	}
	e.src = mathrand.NewChaCha8(e.seed)
	return e
}

// again starts from the beginning.
func (e *entropy) again() *entropy { return &entropy{seed: e.seed, src: mathrand.NewChaCha8(e.seed)} }

func (e *entropy) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = e.src.Read(b) // never fails, by its documentation
	return b
}

func (e *entropy) hex(n int) string { return hex.EncodeToString(e.bytes(n)) }

// newID is a version 4 UUID.
func (e *entropy) newID() string {
	b := e.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// The caller of these holds the server's lock.

func (s *Server) newID() string            { return s.scene.entropy.newID() }
func (s *Server) randomHex(n int) string   { return s.scene.entropy.hex(n) }
func (s *Server) randomBytes(n int) []byte { return s.scene.entropy.bytes(n) }
