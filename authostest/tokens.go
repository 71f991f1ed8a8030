package authostest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Header types and matching token_use claims of the tokens issued here.
const (
	managementType    = "authos-management+jwt"
	managementUse     = "management_access"
	preauthType       = "authos-mfa-preauth+jwt"
	preauthUse        = "mfa_preauth"
	impersonationType = "authos-impersonation+jwt"
	impersonationUse  = "impersonation"
	resourceType      = "at+jwt"
	resourceUse       = "external_resource_access"
	assertionType     = "oauth-id-jag+jwt"
	assertionUse      = "id_jag"
)

// leeway is how long after exp a signature check still passes.
const leeway = 60 * time.Second

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
	Act             *actor `json:"act,omitempty"`
	Aud             string `json:"aud"`
	Iss             string `json:"iss"`
	Resource        string `json:"resource,omitempty"`
	ClientID        string `json:"client_id,omitempty"`
	Scope           string `json:"scope,omitempty"`
	Exp             int64  `json:"exp"`
	Iat             int64  `json:"iat"`
}

// actor is who acts, in a token that is somebody else's.
type actor struct {
	Sub    string `json:"sub"`
	Email  string `json:"email"`
	Reason string `json:"reason,omitempty"`
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
	if s.config.contract == October2025 {
		return s.signed("JWT", octoberClaims{who.ID, who.Email, who.platformOwner, org, service, ceilUnix(expires), now.Unix()})
	}
	c := s.newClaims(who, org, service, now, expires)
	if typ == preauthType {
		c.TokenUse, c.MFARequired, c.MFAVerified = preauthUse, new(true), new(false)
	}
	return s.signClaims(typ, c)
}

func (s *Server) newClaims(who *user, org, service string, now, expires time.Time) claims {
	return claims{
		TokenUse:        managementUse,
		Sub:             who.ID,
		Email:           who.Email,
		IsPlatformOwner: who.platformOwner,
		JTI:             s.newID(),
		Org:             org,
		Service:         service,
		Aud:             audience(org, service),
		Exp:             ceilUnix(expires),
		Iat:             now.Unix(),
	}
}

func (s *Server) signClaims(typ string, c claims) string {
	c.Iss = s.URL
	return s.signed(typ, c)
}

// octoberClaims are the payload as it was in October 2025: nothing in it tells two
// tokens of one second apart.
type octoberClaims struct {
	Sub             string `json:"sub"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	Org             string `json:"org,omitempty"`
	Service         string `json:"service,omitempty"`
	Exp             int64  `json:"exp"`
	Iat             int64  `json:"iat"`
}

// signed makes a token of a payload.
func (s *Server) signed(typ string, payload any) string {
	active := s.scene.keyRing.active
	signed := segment(encode(joseHeader{typ, "RS256", s.scene.keyRing.keyName(active)})) + "." + segment(encode(payload))
	sum := sha256.Sum256([]byte(signed))
	// PKCS #1 v1.5 with a key of the process's own cannot fail.
	signature, _ := rsa.SignPKCS1v15(nil, s.scene.keyRing.signingKey(active), crypto.SHA256, sum[:])
	return signed + "." + segment(signature)
}

// verdict is what can be said of a token without looking at any state.
type verdict int

const (
	malformed  verdict = iota // or the signature is wrong, or the issuer
	unknownKey                // the header names a key that is not in the ring
	stale                     // expired by more than the leeway
	genuine
)

// verify checks a token. Its type is known as soon as the header can be read.
func (s *Server) verify(token string, now time.Time) (typ string, c claims, found verdict) {
	parts := strings.Split(token, ".")
	var header joseHeader
	if len(parts) != 3 || !fromSegment(parts[0], &header) {
		return "", c, malformed
	}
	key, known := s.scene.keyRing.lookup(header.Kid)
	if !known {
		return header.Typ, c, unknownKey
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || header.Alg != "RS256" || !fromSegment(parts[1], &c) {
		return header.Typ, c, malformed
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&s.scene.keyRing.signingKey(key).PublicKey, crypto.SHA256, sum[:], signature) != nil || c.Iss != s.URL && s.config.contract != October2025 {
		return header.Typ, c, malformed
	}
	if now.After(time.Unix(c.Exp, 0).Add(leeway)) {
		return header.Typ, c, stale
	}
	return header.Typ, c, genuine
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
