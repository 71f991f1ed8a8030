package authostest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Header types and matching token_use claims of the tokens issued here.
const (
	managementType = "authos-management+jwt"
	managementUse  = "management_access"
	preauthType    = "authos-mfa-preauth+jwt"
	preauthUse     = "mfa_preauth"
)

// leeway is how long after exp a signature check still passes.
const leeway = 60 * time.Second

// keyID names the signing key in token headers and in the key set.
const keyID = "authostest-1"

// signingKey is made once per process, and only when a token is needed: making
// one takes a good part of a second under the race detector.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("authostest: no signing key: " + err.Error())
	}
	return key
})

// claims are the payload of a token, in the server's order.
type claims struct {
	TokenUse        string `json:"token_use"`
	Sub             string `json:"sub"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	JTI             string `json:"jti"`
	Org             string `json:"org,omitempty"`
	Service         string `json:"service,omitempty"`
	MFARequired     *bool  `json:"mfa_required,omitempty"`
	MFAVerified     *bool  `json:"mfa_verified,omitempty"`
	Aud             string `json:"aud"`
	Iss             string `json:"iss"`
	Exp             int64  `json:"exp"`
	Iat             int64  `json:"iat"`
}

type joseHeader struct {
	Typ string `json:"typ"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
}

// hash is how tokens are stored and looked up.
type hash [sha256.Size]byte

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }

// audience is derived from the context of the session, never free.
func audience(org, service string) string {
	switch {
	case service != "":
		return "service:" + org + "/" + service
	case org != "":
		return "org:" + org
	default:
		return "platform"
	}
}

// sign makes a token of the given type that lives until expires, rounded up to
// the whole second that the exp claim can say.
func (s *Server) sign(typ string, who *user, org, service string, now, expires time.Time) string {
	c := claims{
		TokenUse:        managementUse,
		Sub:             who.ID,
		Email:           who.Email,
		IsPlatformOwner: who.platformOwner,
		JTI:             newID(),
		Org:             org,
		Service:         service,
		Aud:             audience(org, service),
		Iss:             s.URL,
		Exp:             ceilUnix(expires),
		Iat:             now.Unix(),
	}
	if typ == preauthType {
		c.TokenUse, c.MFARequired, c.MFAVerified = preauthUse, new(true), new(false)
	}
	signed := segment(encode(joseHeader{typ, "RS256", keyID})) + "." + segment(encode(c))
	sum := sha256.Sum256([]byte(signed))
	// PKCS #1 v1.5 with a key of the process's own cannot fail.
	signature, _ := rsa.SignPKCS1v15(nil, signingKey(), crypto.SHA256, sum[:])
	return signed + "." + segment(signature)
}

// verify checks everything about a token that can be checked without state. An
// empty typ means that the token is not one of ours.
func (s *Server) verify(token string, now time.Time) (typ string, c claims, fresh bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", c, false
	}
	var header joseHeader
	if !fromSegment(parts[0], &header) || !fromSegment(parts[1], &c) || header.Alg != "RS256" || header.Kid != keyID {
		return "", c, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", c, false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&signingKey().PublicKey, crypto.SHA256, sum[:], signature) != nil || c.Iss != s.URL {
		return "", c, false
	}
	return header.Typ, c, !now.After(time.Unix(c.Exp, 0).Add(leeway))
}

// jwks is the public half of the key.
func (c *call) jwks() answer {
	key := signingKey().PublicKey
	exponent := binary.BigEndian.AppendUint32(nil, uint32(key.E))
	type jwk struct {
		Kty string `json:"kty"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		N   string `json:"n"`
		E   string `json:"e"`
	}
	return jsonAnswer(200, struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{{"RSA", "RS256", "sig", keyID, segment(key.N.Bytes()), segment(exponent[1:])}}})
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func fromSegment(text string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && json.Unmarshal(b, into) == nil
}

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// ceilSeconds is d in whole seconds, rounded up.
func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }

// newID is a version 4 UUID.
func newID() string {
	b := randomBytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
