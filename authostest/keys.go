package authostest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// keyRing says which of the process's signing keys a server uses and accepts.
type keyRing struct {
	active int // the key that signs
	oldest int // the first key that is still accepted
}

// previousKeys is how many keys beside the active one stay in the ring.
const previousKeys = 10

const keyPrefix = "authostest-"

// keyName is the kid of a key.
func keyName(key int) string { return keyPrefix + strconv.Itoa(key+1) }

// lookup finds the key of a kid, if the ring still has it.
func (r keyRing) lookup(kid string) (key int, ok bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(kid, keyPrefix))
	key = n - 1
	return key, err == nil && kid == keyName(key) && key >= r.oldest && key <= r.active
}

// RotateKeys makes the server sign with a new key. Tokens signed before stay good,
// and their key stays in the key set, until ten more rotations or
// [Server.ForgetOldKeys].
func (s *Server) RotateKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring := &s.scene.keyRing
	ring.active++
	ring.oldest = max(ring.oldest, ring.active-previousKeys)
}

// ForgetOldKeys drops every key but the active one. Tokens that were signed with
// another are refused as such: "JWT key identifier is not recognized". Refresh
// tokens are not signed and stay good.
func (s *Server) ForgetOldKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.keyRing.oldest = s.scene.keyRing.active
}

// processKeys are shared by the servers of a process, and made when they are
// needed: making one takes a good part of a second under the race detector.
var processKeys struct {
	mu   sync.Mutex
	list []*rsa.PrivateKey
}

func signingKey(i int) *rsa.PrivateKey {
	processKeys.mu.Lock()
	defer processKeys.mu.Unlock()
	for len(processKeys.list) <= i {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic("authostest: no signing key: " + err.Error())
		}
		processKeys.list = append(processKeys.list, key)
	}
	return processKeys.list[i]
}

// jwks is the public half of the ring: the active key first, then the others by
// name.
func (c *call) jwks() response {
	type jwk struct {
		Kty string `json:"kty"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		N   string `json:"n"`
		E   string `json:"e"`
	}
	public := func(i int) jwk {
		key := signingKey(i).PublicKey
		exponent := binary.BigEndian.AppendUint32(nil, uint32(key.E))
		return jwk{"RSA", "RS256", "sig", keyName(i), segment(key.N.Bytes()), segment(exponent[1:])}
	}
	ring := c.s.scene.keyRing
	var previous []jwk
	for i := ring.oldest; i < ring.active; i++ {
		previous = append(previous, public(i))
	}
	slices.SortFunc(previous, func(a, b jwk) int { return strings.Compare(a.Kid, b.Kid) })
	return jsonResponse(200, struct {
		Keys []jwk `json:"keys"`
	}{append([]jwk{public(ring.active)}, previous...)})
}
