package authostest

import (
	"crypto/rsa"
	_ "embed" // primes.txt
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// keyRing says which signing keys a server uses and accepts. They are numbered from 0.
type keyRing struct {
	tag    string // in the names of the keys; each scene has its own
	first  uint32 // where in the list of all keys this ring begins
	active int    // the key that signs
	oldest int    // the first key that is still accepted
}

func newKeyRing(from *entropy) keyRing {
	seed := from.bytes(8)
	return keyRing{tag: hex.EncodeToString(seed[:4]), first: binary.LittleEndian.Uint32(seed[4:])}
}

// previousKeys is how many keys beside the active one stay in the ring.
const previousKeys = 10

const keyPrefix = "authostest-"

// address is the URL of a server that is in memory: one of the machine's own addresses,
// so that the tokens of two scenes have different issuers.
func (r keyRing) address() string {
	b := binary.BigEndian.AppendUint32(nil, r.first)
	return "http://127." + strconv.Itoa(int(b[0])) + "." + strconv.Itoa(int(b[1])) + "." + strconv.Itoa(1+int(b[2])%254)
}

// keyName is the kid of a key.
func (r keyRing) keyName(key int) string { return keyPrefix + r.tag + "-" + strconv.Itoa(key+1) }

// lookup finds the key of a kid, if the ring still has it.
func (r keyRing) lookup(kid string) (key int, ok bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(kid, keyPrefix+r.tag+"-"))
	key = n - 1
	return key, err == nil && kid == r.keyName(key) && key >= r.oldest && key <= r.active
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
	if s.config.contract == October2025 {
		ring.oldest = ring.active // which knows one key
	}
}

// ForgetOldKeys drops every key but the active one. Tokens that were signed with
// another are refused as such: "JWT key identifier is not recognized". Refresh
// tokens are not signed and stay good.
func (s *Server) ForgetOldKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.keyRing.oldest = s.scene.keyRing.active
}

// primesText is 64 primes of 1024 bits. Each is the first that follows a hash of its
// number. Any two of them make a key, so a server has keys of its own without the good
// part of a second that finding primes takes. That anybody can sign with them is no
// loss: this is a fake, whose tokens nobody else may accept.
//
//go:embed primes.txt
var primesText string

var primes = sync.OnceValue(func() []*big.Int {
	var list []*big.Int
	for line := range strings.FieldsSeq(primesText) {
		b, err := base64.RawURLEncoding.DecodeString(line)
		if err != nil {
			panic("authostest: primes.txt: " + err.Error())
		}
		list = append(list, new(big.Int).SetBytes(b))
	}
	return list
})

// madeKeys are the keys of this process, by their number in the list of all.
var madeKeys sync.Map

// signingKey is a key of the ring.
func (r keyRing) signingKey(i int) *rsa.PrivateKey {
	list := primes()
	all := len(list) * (len(list) - 1) / 2
	n := (int(r.first%uint32(all)) + i) % all
	made, ok := madeKeys.Load(n)
	if !ok {
		first, second := n, 1 // the n-th pair of different primes
		for ; first >= second; second++ {
			first -= second
		}
		made, _ = madeKeys.LoadOrStore(n, newKey(list[first], list[second]))
	}
	key, _ := made.(*rsa.PrivateKey)
	return key
}

// newKey makes an RSA key out of two primes (RFC 8017, section 3).
func newKey(p, q *big.Int) *rsa.PrivateKey {
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())},
		D:         new(big.Int).ModInverse(e, phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	return key
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
	ring := c.s.scene.keyRing
	public := func(i int) jwk {
		key := ring.signingKey(i).PublicKey
		exponent := binary.BigEndian.AppendUint32(nil, uint32(key.E))
		return jwk{"RSA", "RS256", "sig", ring.keyName(i), segment(key.N.Bytes()), segment(exponent[1:])}
	}
	var previous []jwk
	for i := ring.oldest; i < ring.active; i++ {
		previous = append(previous, public(i))
	}
	slices.SortFunc(previous, func(a, b jwk) int { return strings.Compare(a.Kid, b.Kid) })
	return jsonResponse(200, struct {
		Keys []jwk `json:"keys"`
	}{append([]jwk{public(ring.active)}, previous...)})
}
