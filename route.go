package authos

import (
	"net/http"
	"strings"
	"sync"
)

//go:generate go run ./internal/cmd/genroutes
//go:generate go run ./internal/cmd/genapi

// route is what the client knows of one route of the server: whose credential it takes, which limiter guards it, and what may be
// done when an attempt fails. routes_gen.go holds one per route of testdata/routes.json.
type route struct {
	method   string
	template string // as the server's router spells it, parameters as ":name"
	auth     authKind
	bucket   bucket
	flags    routeFlags
}

// authKind is the credential of ours that a route takes.
type authKind uint8

const (
	authNone   authKind = iota // public, or a credential that is not ours: SCIM, OAuth client, metrics, webhook signature
	authBearer                 // Authorization: Bearer with the session's access token; platform routes too
	authAPIKey                 // X-Api-Key
)

// bucket is one of the server's rate limiters; all routes of a bucket share one allowance per client address.
type bucket uint8

const (
	bucketOther     bucket = iota // not limited by the server itself; a proxy in front of it may
	bucketAuth                    // sign-in, renewal, sign-out, OAuth redirects
	bucketDevice                  // device flow
	bucketMFAVerify               // second factor at sign-in
	bucketMFASetup                // the signed-in user's own second factor
)

// bucketCount is how many buckets there are, and how many gates a client has.
const bucketCount = int(bucketMFASetup) + 1

// String returns the bucket's name in logs.
func (b bucket) String() string {
	switch b {
	case bucketAuth:
		return "auth"
	case bucketDevice:
		return "device"
	case bucketMFAVerify:
		return "mfa-verify"
	case bucketMFASetup:
		return "mfa-setup"
	case bucketOther:
	}
	return "other"
}

// routeFlags are a route's yes-or-no properties.
type routeFlags uint8

const (
	// flagRepeatable: applying the request twice is harmless, whatever its method says.
	flagRepeatable routeFlags = 1 << iota
	// flagSingleUse: the request consumes a token, so it is never sent twice, whatever anyone says. Some are GETs.
	flagSingleUse
	// flagKeep: a good answer to GET may be kept for the stale fallback. See genroutes for the decision per route.
	flagKeep
	// flagEmpty: a success may have an empty body, or null.
	flagEmpty
	// flagMail: 503 SERVICE_UNAVAILABLE means "e-mail is not configured here", a refusal and not an outage.
	flagMail
	// flagOwn401: 401 may be about the caller's own input (a password, a code), so it says nothing about the token sent.
	flagOwn401
)

// has reports whether the route has all of f.
func (r *route) has(f routeFlags) bool { return r.flags&f == f }

// routeKey is a route's identity in [routeTable].
type routeKey struct{ method, template string }

var routesByTemplate = sync.OnceValue(func() map[routeKey]*route {
	m := make(map[routeKey]*route, len(routeTable))
	for i := range routeTable {
		r := &routeTable[i]
		m[routeKey{r.method, r.template}] = r
	}
	return m
})

// routeByTemplate returns the route that is spelled exactly so in the table, or nil.
func routeByTemplate(method, template string) *route {
	return routesByTemplate()[routeKey{method, template}]
}

// matchRoute returns the route that the server's router would choose for an escaped path without a query, or nil where it would
// answer 404 or 405. As there: segments are compared as they are spelled, a literal segment wins over a parameter, a parameter is
// never empty, a trailing slash makes another path, and the path is chosen before the method. HEAD is answered by GET's handler,
// side effects included, so HEAD finds GET's route.
func matchRoute(method, path string) *route {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil
	}
	n := routeTree().find(rest)
	if n == nil {
		return nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, r := range n.routes {
		if r.method == method {
			return r
		}
	}
	return nil
}

// routeNode is the set of routes that share the segments up to here.
type routeNode struct {
	literals map[string]*routeNode
	param    *routeNode // any segment that is not empty
	routes   []*route   // of the path that ends here, one per method
}

var routeTree = sync.OnceValue(func() *routeNode {
	root := new(routeNode)
	for i := range routeTable {
		r := &routeTable[i]
		n := root
		for segment := range strings.SplitSeq(strings.TrimPrefix(r.template, "/"), "/") {
			n = n.child(segment)
		}
		n.routes = append(n.routes, r)
	}
	return root
})

// child returns the node below n for one segment of a template, which it adds when there is none.
func (n *routeNode) child(segment string) *routeNode {
	if strings.HasPrefix(segment, ":") {
		if n.param == nil {
			n.param = new(routeNode)
		}
		return n.param
	}
	c := n.literals[segment]
	if c == nil {
		if n.literals == nil {
			n.literals = make(map[string]*routeNode)
		}
		c = new(routeNode)
		n.literals[segment] = c
	}
	return c
}

// find returns the node where path ends, or nil. It goes back to a parameter when the way over a literal leads nowhere:
// /api/invitations/accept/accept is the invitation with the id "accept". The tree is at most eight segments deep.
func (n *routeNode) find(path string) *routeNode {
	segment, rest, more := strings.Cut(path, "/")
	if segment == "" {
		return nil
	}
	for _, c := range [...]*routeNode{n.literals[segment], n.param} {
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
