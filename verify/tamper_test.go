package verify_test

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/verify"
)

// publicForms are the ways to write a public key down that attackers use as an HMAC secret.
func publicForms(key *rsa.PublicKey) [][]byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(key)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return [][]byte{der, pkcs1, text, []byte(strings.TrimSpace(string(text))), key.N.Bytes(), []byte(jwks(jwk("k1", key, nil)))}
}

// rawHeader and rawClaims sign what no marshaler would write.
func rawHeader(header, claims string, key *rsa.PrivateKey) string {
	input := b64([]byte(header)) + "." + claims
	return input + "." + rs256(input, key)
}

func rawClaims(claims string, key *rsa.PrivateKey) string {
	input := b64(marshal(goodHeader())) + "." + b64([]byte(claims))
	return input + "." + rs256(input, key)
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// nextLetter sets the lowest bit of a letter that ends a part with unused bits.
func nextLetter(c byte) byte { return alphabet[strings.IndexByte(alphabet, c)|1] }

// expected is what a token that was not signed by the server must be refused with, worked out with
// the standard library alone.
func expected(token string, kids ...string) error {
	parts := strings.Split(token, ".")
	if len(token) > 16<<10 || len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return verify.ErrMalformed
	}
	var header map[string]any
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return verify.ErrMalformed
		}
		if i == 0 && json.Unmarshal(raw, &header) != nil {
			return verify.ErrMalformed
		}
	}
	if alg, _ := header["alg"].(string); alg != "RS256" {
		return verify.ErrAlgorithm
	}
	for _, name := range []string{"crit", "b64", "jku", "x5u", "jwk"} {
		if header[name] != nil {
			return verify.ErrMalformed
		}
	}
	kid, isText := header["kid"].(string)
	switch {
	case header["kid"] != nil && !isText:
		return verify.ErrMalformed
	case !slices.Contains(kids, kid):
		return verify.ErrUnknownKey
	default:
		return verify.ErrSignature
	}
}

// mutations changes tokens at random: each result differs from all good ones.
type mutations struct {
	random *rand.Rand
	good   []string
}

func (m *mutations) next() (name, token string) {
	for {
		name, token = m.draw()
		if !slices.Contains(m.good, token) {
			return name, token
		}
	}
}

func (m *mutations) draw() (name, token string) {
	r := m.random
	token = m.good[r.IntN(len(m.good))]
	parts := strings.Split(token, ".")
	other := strings.Split(m.good[r.IntN(len(m.good))], ".")
	n := r.IntN(3)
	switch r.IntN(9) {
	case 0: // one bit of the text
		b := []byte(token)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return "bit", string(b)
	case 1: // one bit of what a part stands for
		raw, _ := base64.RawURLEncoding.DecodeString(parts[n])
		raw[r.IntN(len(raw))] ^= 1 << r.IntN(8)
		parts[n] = b64(raw)
		return "encoded bit", strings.Join(parts, ".")
	case 2: // one letter of the alphabet
		b := []byte(token)
		b[r.IntN(len(b))] = alphabet[r.IntN(len(alphabet))]
		return "letter", string(b)
	case 3: // another token's part
		parts[n] = other[n]
		return "part of another", strings.Join(parts, ".")
	case 4: // parts in another order
		r.Shuffle(3, func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "order", strings.Join(parts, ".")
	case 5:
		return "cut", token[:r.IntN(len(token))]
	case 6: // encoded otherwise
		raw, _ := base64.RawURLEncoding.DecodeString(parts[n])
		encoding := []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding}[r.IntN(3)]
		parts[n] = encoding.EncodeToString(raw)
		if r.IntN(2) == 0 {
			i := r.IntN(len(parts[n]))
			parts[n] = parts[n][:i] + "\n" + parts[n][i:]
		}
		return "encoding", strings.Join(parts, ".")
	case 7: // a member of the header or the claims
		n = r.IntN(2)
		raw, _ := base64.RawURLEncoding.DecodeString(parts[n])
		var o object
		if json.Unmarshal(raw, &o) == nil {
			names := slices.Sorted(maps.Keys(o))
			values := []any{nil, "", "k2", "none", "at+jwt", "JWT", 0, 1, true, []string{"x"}, object{}}
			o = with(o, object{names[r.IntN(len(names))]: values[r.IntN(len(values))]})
			parts[n] = b64(marshal(o))
		}
		return "member", strings.Join(parts, ".")
	default: // bytes taken out, put in twice
		i := r.IntN(len(token))
		j := min(len(token), i+1+r.IntN(8))
		if r.IntN(2) == 0 {
			return "taken out", token[:i] + token[j:]
		}
		return "twice", token[:j] + token[i:j] + token[j:]
	}
}

// goodTokens is a token of each profile, and one signed with the second key.
func goodTokens(now time.Time) []string {
	var tokens []string
	all := profiles(now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		tokens = append(tokens, signed(all[name].header, all[name].claims, firstKey()))
	}
	return append(tokens, signed(with(goodHeader(), object{"kid": "k2"}), goodClaims(now), secondKey()))
}

func generous() verify.Config {
	return verify.Config{
		Audience:           verify.AnyAudience().Or(verify.ResourceAudience("https://api.example.com/v1")),
		AllowImpersonation: true, AllowLegacy: true, ClockTolerance: 5 * time.Minute,
	}
}

func TestMutatedTokens(t *testing.T) {
	const seed, count = 20261122, 5000
	// requests for the keys: the first, and a burst
	const most = 1 + 5
	// older than the keys, whatever bit of iat flips
	good := goodTokens(time.Now().Add(-30 * time.Minute))
	source := newSource(jwk("k1", &firstKey().PublicKey, nil), jwk("k2", &secondKey().PublicKey, nil))
	v := newVerifier(t, issuer, source, generous())
	for _, token := range good {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	m := &mutations{rand.New(rand.NewPCG(seed, seed)), good}
	kinds, refusals := map[string]int{}, map[error]int{}
	for i := range count {
		kind, token := m.next()
		want := expected(token, "k1", "k2")
		_, err := v.Verify(t.Context(), token)
		if err == nil {
			t.Fatalf("seed %d, mutation %d (%s): accepted %q", seed, i, kind, token)
		}
		if errors.Is(want, verify.ErrUnknownKey) && source.requests() == most {
			want = verify.ErrKeysUnavailable // the server may not be asked again so soon
			if errors.Is(err, verify.ErrUnknownKey) {
				want = verify.ErrUnknownKey // it has denied this kid before
			}
		}
		if !errors.Is(err, want) {
			t.Fatalf("seed %d, mutation %d (%s): %v, want %q for %q", seed, i, kind, err, want, token)
		}
		checkRefused(t, err, want, token)
		kinds[kind]++
		refusals[want]++
	}
	if len(kinds) < 9 {
		t.Errorf("only the mutations %v were drawn", kinds)
	}
	for _, reason := range []error{verify.ErrMalformed, verify.ErrAlgorithm, verify.ErrUnknownKey, verify.ErrSignature} {
		if refusals[reason] == 0 {
			t.Errorf("no mutation was refused with %q: %v", reason, refusals)
		}
	}
	if n := source.requests(); n > most {
		t.Errorf("%d requests for the keys, want %d at most", n, most)
	}
}

// FuzzVerify looks for a text that is accepted without being one of the tokens that were signed, or
// that is refused in another way than the standard library's reading of it asks for.
func FuzzVerify(f *testing.F) {
	good := goodTokens(time.Now())
	for _, token := range good {
		f.Add(token)
	}
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(b64([]byte(`{"alg":"RS256","kid":"k1","jwk":{}}`)) + ".e30.AA")
	f.Add(b64([]byte(`{"alg":"RS256","kid":"k1","x5c":["AA"]}`)) + ".e30.AA")
	source := newSource(jwk("k1", &firstKey().PublicKey, nil), jwk("k2", &secondKey().PublicKey, nil))
	v := newVerifier(f, issuer, source, generous())
	f.Fuzz(func(t *testing.T, token string) {
		_, err := v.Verify(context.Background(), token)
		if slices.Contains(good, token) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == nil {
			t.Fatalf("accepted %q", token)
		}
		e, ok := errors.AsType[*verify.Error](err)
		if !ok || !slices.Contains(reasons, e.Reason) {
			t.Fatalf("%T: %v", err, err)
		}
		// The two readers of JSON differ where a name occurs twice or has other capitals, or a
		// header of its own has another type; then go-jose, the stricter one, says malformed.
		want := expected(token, "k1", "k2")
		if errors.Is(err, verify.ErrKeysUnavailable) {
			want = verify.ErrKeysUnavailable // the server may not be asked again so soon
		}
		if !errors.Is(err, want) && !errors.Is(err, verify.ErrMalformed) && !errors.Is(err, verify.ErrAlgorithm) {
			t.Fatalf("%v, want %q", err, want)
		}
		checkRefused(t, err, e.Reason, token)
	})
}
