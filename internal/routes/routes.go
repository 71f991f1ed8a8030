// Package routes knows every route of an AuthOS server: whose credential it takes, which rate
// limiter guards it, and what may be done when an attempt fails. It is a leaf: it imports nothing
// of this module.
package routes

import (
	"net/http"
	"strings"
	"sync"
)

// Route is what the client knows of one route of the server: whose credential it takes, which
// limiter guards it, and what may be done when an attempt fails. routes_gen.go holds one per route
// of testdata/routes.json.
type Route struct {
	Method   string
	Template string // as the server's router spells it, parameters as ":name"
	Auth     Auth
	Limiter  Limiter
	Flags    Flags
}

// Auth is the credential of ours that a route takes.
type Auth uint8

// What a route takes.
const (
	// public, or a credential that is not ours: SCIM, OAuth client, metrics, webhook signature
	AuthNone Auth = iota
	// Authorization: Bearer with the session's access token; platform routes too
	AuthBearer
	AuthAPIKey // X-Api-Key
)

// Limiter is one of the server's rate limiters; all routes of a limiter share one allowance per
// client address.
type Limiter uint8

// The limiters, as the server groups its routes.
const (
	LimiterOther     Limiter = iota // not limited by the server itself; a proxy in front of it may
	LimiterAuth                     // sign-in, refresh, sign-out, OAuth redirects
	LimiterDevice                   // device flow
	LimiterMFAVerify                // second factor at sign-in
	LimiterMFASetup                 // the signed-in user's own second factor
)

// Limiters is how many limiters there are, and how many gates a client has.
const Limiters = int(LimiterMFASetup) + 1

// String returns the limiter's name in logs.
func (l Limiter) String() string {
	switch l {
	case LimiterAuth:
		return "auth"
	case LimiterDevice:
		return "device"
	case LimiterMFAVerify:
		return "mfa-verify"
	case LimiterMFASetup:
		return "mfa-setup"
	case LimiterOther:
	}
	return "other"
}

// Flags are a route's yes-or-no properties.
type Flags uint8

// What may be done with a request or its response.
const (
	// Repeatable: applying the request twice is harmless, whatever its method says.
	Repeatable Flags = 1 << iota
	// SingleUse: the request consumes a token, so it is never sent twice, whatever anyone says.
	// Some are GETs.
	SingleUse
	// Cacheable: a good response to GET may be cached for the stale fallback. See genroutes for the
	// decision per route.
	Cacheable
	// MayBeEmpty: a success may have an empty body, or null.
	MayBeEmpty
	// Unconfigured: 503 SERVICE_UNAVAILABLE means "e-mail is not configured here" or "billing is
	// disabled", a refusal for good and not an outage.
	Unconfigured
	// Own401: 401 may be about the caller's own input (a password, a code), so it says nothing
	// about the token sent.
	Own401
	// October2025: servers of October 2025 have the route too.
	October2025
)

// Has reports whether the route has all of f.
func (r *Route) Has(f Flags) bool { return r.Flags&f == f }

// key is a route's identity in [table].
type key struct{ method, template string }

var byTemplate = sync.OnceValue(func() map[key]*Route {
	m := make(map[key]*Route, len(table))
	for i := range table {
		r := &table[i]
		m[key{r.Method, r.Template}] = r
	}
	return m
})

// ByTemplate returns the route that is spelled exactly so in the table, or nil.
func ByTemplate(method, template string) *Route {
	return byTemplate()[key{method, template}]
}

// Match returns the route that the server's router would choose for an escaped path without a
// query, or nil where it would return 404 or 405. As there: segments are compared as they are
// spelled, a literal segment wins over a parameter, a parameter is never empty, a trailing slash
// makes another path, and the path is chosen before the method. HEAD is served by GET's handler,
// side effects included, so HEAD finds GET's route.
func Match(method, path string) *Route {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil
	}
	n := tree().find(rest)
	if n == nil {
		return nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, r := range n.routes {
		if r.Method == method {
			return r
		}
	}
	return nil
}

// node is the set of routes that share the segments up to here.
type node struct {
	literals map[string]*node
	param    *node    // any segment that is not empty
	routes   []*Route // of the path that ends here, one per method
}

var tree = sync.OnceValue(func() *node {
	root := new(node)
	for i := range table {
		r := &table[i]
		n := root
		for segment := range strings.SplitSeq(strings.TrimPrefix(r.Template, "/"), "/") {
			n = n.child(segment)
		}
		n.routes = append(n.routes, r)
	}
	return root
})

// child returns the node below n for one segment of a template, which it adds when there is none.
func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, ":") {
		if n.param == nil {
			n.param = new(node)
		}
		return n.param
	}
	c := n.literals[segment]
	if c == nil {
		if n.literals == nil {
			n.literals = make(map[string]*node)
		}
		c = new(node)
		n.literals[segment] = c
	}
	return c
}

// find returns the node where path ends, or nil. It goes back to a parameter when the way over a
// literal leads nowhere: /api/invitations/accept/accept is the invitation with the id "accept". The
// tree is at most eight segments deep.
func (n *node) find(path string) *node {
	segment, rest, more := strings.Cut(path, "/")
	if segment == "" {
		return nil
	}
	for _, c := range [...]*node{n.literals[segment], n.param} {
		switch {
		case c == nil:
		case more:
			if found := c.find(rest); found != nil {
				return found
			}
		case len(c.routes) > 0:
			return c
		}
	}
	return nil
}
