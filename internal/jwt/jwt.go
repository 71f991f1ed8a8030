// Package jwt reads what a token says of itself, without checking its signature. It is a leaf: it
// imports nothing of this module.
package jwt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// Part reads one part of a token without checking its signature. What it says may be used to
// choose, never to trust.
func Part(token string, n int, v any) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[n])
	return err == nil && json.Unmarshal(raw, v) == nil
}

// Type is the typ header: AuthOS tells its kinds of token apart by it.
func Type(token string) (string, bool) {
	var header struct {
		Typ string `json:"typ"`
	}
	ok := Part(token, 0, &header)
	return header.Typ, ok
}

// Principal names the user and the tenant that a token speaks for, in a form that a refresh does
// not change. An impersonation is another principal than the user it impersonates.
func Principal(token string) (string, bool) {
	var claims struct {
		Iss, Sub, Aud, Org, Service string
		Use                         string `json:"token_use"`
		Act                         struct{ Sub string }
	}
	if !Part(token, 1, &claims) || claims.Sub == "" {
		return "", false
	}
	return Digest("claims", claims.Iss, claims.Sub, claims.Aud, claims.Org, claims.Service, claims.Use, claims.Act.Sub), true
}

// Digest is a short name for secrets and other long texts, which cannot be turned back.
func Digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// IssuedAt is when a token says that it was made, in seconds since 1970; zero where it says
// nothing.
func IssuedAt(token string) int64 {
	var claims struct {
		Iat float64 `json:"iat"`
	}
	if !Part(token, 1, &claims) || claims.Iat < 0 || claims.Iat > 1<<53 {
		return 0
	}
	return int64(claims.Iat)
}
