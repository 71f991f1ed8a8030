package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/authos-go/authos"
)

// apiKey is what every client sends, each in its own way.
const apiKey = "sk_0123456789ab_secret"

// caller makes the two calls that are compared, with one client. Both decode the same type.
type caller interface {
	// get is GET {base}/api/service/users/{id}.
	get(ctx context.Context, id string) (*authos.ServiceUser, error)
	// create is POST {base}/api/service/users with a JSON body.
	create(ctx context.Context, email string) (*authos.ServiceUser, error)
}

// setup is what a client is made of. Whatever it does not say is the peer's default.
type setup struct {
	base      string
	transport http.RoundTripper
	timeout   time.Duration // of the http.Client; 0: none
	once      bool          // retries are off, so that a refusal can be timed without waits
}

// client is the http.Client that every peer is given.
func (s setup) client() *http.Client {
	return &http.Client{Transport: s.transport, Timeout: s.timeout}
}

// peer is one client library.
type peer struct {
	name    string
	modules []string // whose versions the report names; none: the standard library
	about   string   // how it is set up, where that is more than its defaults
	open    func(setup) (caller, error)
	breaker bool // it has a circuit breaker
	// session makes a client that refreshes a dead access token by itself; nil: it has no such
	// feature. It presents refreshToken first, and holds accessToken where it can be told to.
	session func(s setup, accessToken, refreshToken string) (caller, error)
	// what session presents is no refresh token but what proves a workload, any number of times
	exchanges bool
	variant   bool // of another peer: only its behavior differs, not its cost
}

// peers are compared in this order. The first is what times are divided by.
var peers = slices.Concat(
	[]peer{netHTTP, ours, oursWithoutBreaker}, large, []peer{azCore, restyV2, failsafeGo, hashicorp, naiveStack},
)

// The routes that the calls go to.
const (
	usersPath   = "/api/service/users"
	refreshPath = "/api/auth/refresh"
)

// tokenPair is the response to a refresh.
type tokenPair struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}
