package verify_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/verify"
)

const issuer = "https://sso.example.com"

// reasons are all reasons an *Error can have.
var reasons = []error{
	verify.ErrMalformed, verify.ErrAlgorithm, verify.ErrUnknownKey, verify.ErrSignature, verify.ErrUse, verify.ErrIssuer,
	verify.ErrClaims, verify.ErrAudience, verify.ErrNotYetValid, verify.ErrExpired, verify.ErrRevoked, verify.ErrKeysUnavailable,
	verify.ErrCheckUnavailable, verify.ErrNoToken, verify.ErrRequest, verify.ErrForbidden,
}

// newKey makes keys once for the whole run: each takes a good part of a second under the race
// detector.
func newKey(bits int) func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return key
	})
}

var (
	firstKey  = newKey(2048)
	secondKey = newKey(2048)
	weakKey   = newKey(1024)
)

type object = map[string]any

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// jwk is a key as the server publishes it, with changes.
func jwk(kid string, key *rsa.PublicKey, changes object) object {
	out := object{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid,
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}
	return with(out, changes)
}

// with is a copy of an object with changes; a nil value takes a member away.
func with(o object, changes object) object {
	out := maps.Clone(o)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

func jwks(keys ...object) string { return string(marshal(object{"keys": keys})) }

// signed makes a token, signed with RS256 whatever its header says.
func signed(header, claims object, key *rsa.PrivateKey) string {
	input := b64(marshal(header)) + "." + b64(marshal(claims))
	return input + "." + rs256(input, key)
}

func rs256(input string, key *rsa.PrivateKey) string {
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return b64(signature)
}

func hs256(input string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return b64(mac.Sum(nil))
}

// goodHeader and goodClaims are a management token's, as today's servers send them.
func goodHeader() object {
	return object{"typ": "authos-management+jwt", "alg": "RS256", "kid": "k1"}
}

func goodClaims(now time.Time) object {
	return object{
		"token_use": "management_access", "sub": "user-1", "email": "ada@example.com", "is_platform_owner": false,
		"jti": "token-1", "org": "acme", "service": "web", "aud": "service:acme/web", "iss": issuer,
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
	}
}

// profile is a kind of token, good as it is.
type profile struct {
	header, claims object
	config         verify.Config
}

func profiles(now time.Time) map[string]profile {
	web := verify.Config{Audience: verify.ServiceAudience("acme", "web")}
	management := goodClaims(now)
	return map[string]profile{
		"service": {goodHeader(), management, web},
		"organization": {
			goodHeader(), with(management, object{"service": nil, "aud": "org:acme"}),
			verify.Config{Audience: verify.OrganizationAudience("acme")},
		},
		"platform": {
			goodHeader(), with(management, object{"service": nil, "org": nil, "aud": "platform"}),
			verify.Config{Audience: verify.PlatformAudience()},
		},
		"resource": {
			with(goodHeader(), object{"typ": "at+jwt"}),
			with(management, object{"token_use": "external_resource_access", "aud": "https://api.example.com/v1", "scope": "read write"}),
			verify.Config{Audience: verify.ResourceAudience("https://api.example.com/v1")},
		},
		"impersonation": {
			with(goodHeader(), object{"typ": "authos-impersonation+jwt"}),
			with(management, object{
				"token_use": "impersonation", "service": nil, "aud": "impersonation-session",
				"act": object{"sub": "admin-1", "email": "root@example.com", "reason": "ticket 42"},
			}),
			verify.Config{Audience: verify.ServiceAudience("acme", "web"), AllowImpersonation: true},
		},
		"October 2025": {
			with(goodHeader(), object{"typ": "JWT"}),
			with(management, object{"token_use": nil, "aud": nil, "iss": nil, "jti": nil, "plan": "pro", "features": []string{"export"}}),
			verify.Config{Audience: verify.ServiceAudience("acme", "web"), AllowLegacy: true},
		},
		"between": {
			with(goodHeader(), object{"typ": "JWT"}), with(management, object{"token_use": nil}),
			verify.Config{Audience: verify.ServiceAudience("acme", "web"), AllowLegacy: true},
		},
	}
}

// source is a fake of the server's key endpoint.
type source struct {
	mu    sync.Mutex
	body  string
	fail  int           // status to send instead; 0: none
	delay time.Duration // before any response; the request's context ends it
	count int
	seen  []*http.Request
}

func newSource(keys ...object) *source { return &source{body: jwks(keys...)} }

// usual serves the first key as k1.
func usual() *source { return newSource(jwk("k1", &firstKey().PublicKey, nil)) }

func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *source) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *source) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.count++
	s.seen = append(s.seen, req.Clone(context.Background()))
	body, status, delay := s.body, s.fail, s.delay
	s.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if status == 0 {
		status = http.StatusOK
	} else {
		body = "<html>nothing here</html>"
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: req, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// newVerifier makes a verifier that reaches rt in memory.
func newVerifier(t testing.TB, baseURL string, rt http.RoundTripper, cfg verify.Config) *verify.Verifier {
	t.Helper()
	cfg.ClientOptions = append(cfg.ClientOptions, authos.WithHTTPClient(&http.Client{Transport: rt}))
	v, err := verify.New(baseURL, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// checkRefused fails the test unless err is an *Error of exactly this reason whose text holds no
// part of the token.
func checkRefused(t testing.TB, err error, want error, token string) {
	t.Helper()
	e, ok := errors.AsType[*verify.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *verify.Error of reason %q", err, err, want)
	}
	for _, reason := range reasons {
		if got, expected := errors.Is(err, reason), errors.Is(want, reason); got != expected {
			t.Fatalf("errors.Is(%q, %q) = %t, want reason %q", err, reason, got, want)
		}
	}
	if !errors.Is(e.Reason, want) {
		t.Fatalf("reason %q, want %q", e.Reason, want)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= 8 && strings.Contains(err.Error(), part) {
			t.Fatalf("the error's text %q holds a part of the token", err)
		}
	}
}
