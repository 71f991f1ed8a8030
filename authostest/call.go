package authostest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// call is one request on its way through the server. Handlers run with the
// server's lock held.
type call struct {
	s        *Server
	r        *http.Request
	method   string
	path     string
	body     []byte
	tooLarge bool
	now      time.Time

	place     *place   // the path's entry in the route table; nil when unknown
	params    []string // values of the path parameters, in order
	requestID string   // set under the documented contract only

	user    *user    // who signed in, on Bearer routes
	session *session // through which session
	key     *apiKey  // which key, on service API routes
	scimOrg string   // id of the organization whose SCIM token this is

	applied bool // the handler changed something
}

func newCall(s *Server, r *http.Request, body []byte, tooLarge bool) *call {
	c := &call{s: s, r: r, method: r.Method, path: r.URL.Path, body: body, tooLarge: tooLarge, now: s.now()}
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.path == "" {
		c.path = "/" // as net/http writes it on the wire
	}
	c.place, c.params = s.routes().find(r.URL.EscapedPath())
	return c
}

func (c *call) documented() bool { return c.s.config.contract == Documented }

// october reports whether the server is the one of October 2025.
func (c *call) october() bool { return c.s.config.contract == October2025 }

// dispatch takes the request through the server's layers in their order: CORS, body
// limit, routing, rate limit, authentication, handler.
func (c *call) dispatch() response {
	route, refused := c.layers()
	if refused != nil {
		return *refused
	}
	return route.handle(c)
}

// layers takes the request to its handler, or refuses it on the way. The body is not
// looked at.
func (c *call) layers() (route, *response) {
	r, a := c.reach()
	if r.handle == nil {
		return r, &a
	}
	return r, nil
}

func (c *call) reach() (route, response) {
	if c.method == http.MethodOptions {
		return route{}, empty(http.StatusOK) // by the CORS layer, whatever the path
	}
	if c.tooLarge && !c.october() {
		return route{}, c.bodyTooLarge()
	}
	if c.place == nil {
		return route{}, c.unknownPath()
	}
	if refused, limited := c.limited(false); limited {
		return route{}, refused
	}
	found, ok := c.place.methods[c.method]
	if !ok && c.method == http.MethodHead {
		found, ok = c.place.methods[http.MethodGet]
	}
	if !ok {
		// Authority comes first: the layer that asks for it wraps the whole path.
		if refused, ok := c.authenticate(c.place.guard()); !ok {
			return route{}, refused
		}
		return route{}, c.wrongMethod()
	}
	if refused, ok := c.authenticate(found.auth); !ok {
		return route{}, refused
	}
	if refused, limited := c.limited(true); limited {
		return route{}, refused
	}
	if refused := c.foreignParams(); refused != nil {
		return route{}, *refused
	}
	if refused := c.repeatedQuery(); refused != nil {
		return route{}, *refused
	}
	return found, response{}
}

// foreignParams refuses a path parameter that is not UTF-8.
func (c *call) foreignParams() *response {
	if i := slices.IndexFunc(c.params, func(value string) bool { return !utf8.ValidString(value) }); i >= 0 {
		name := c.place.params()[i]
		a := c.plainText(http.StatusBadRequest, "Invalid URL: Invalid UTF-8 in `"+name+"`", "BAD_REQUEST", "Invalid path parameter: "+name)
		return &a
	}
	return nil
}

// response is what goes back to the client, before and after finish.
type response struct {
	status int
	header http.Header
	body   []byte
}

func typed(status int, contentType string, body []byte) response {
	return response{status: status, header: http.Header{"Content-Type": {contentType}}, body: body}
}

func empty(status int) response {
	return response{status: status, header: http.Header{}}
}

// jsonResponse encodes v as the server does, without HTML escapes and newline.
func jsonResponse(status int, v any) response {
	return typed(status, "application/json", encode(v))
}

func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	// Only this package's own structs get here, and what came out of JSON before.
	if err := enc.Encode(v); err != nil {
		panic("authostest: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// finish adds the headers that every response of the server carries.
func (c *call) finish(a response) response {
	if c.october() {
		a = c.octoberShape(a)
		crossOrigin(a.header)
		return c.seal(a)
	}
	h := a.header
	h["Strict-Transport-Security"] = []string{"max-age=31536000; includeSubDomains"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["X-Frame-Options"] = []string{"DENY"}
	if c.documented() {
		h["X-Request-Id"] = []string{c.requestID}
		if h["X-Ratelimit-Limit"] == nil {
			c.quotaHeaders(h)
		}
	}
	return c.seal(a)
}

// seal adds what HTTP itself wants, to canned responses too.
func (c *call) seal(a response) response { return sealedAt(a, c.now) }

func sealedAt(a response, now time.Time) response {
	a.header["Date"] = []string{now.Format(http.TimeFormat)}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		a.header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	} else {
		a.body = nil
	}
	return a
}

// newRequestID is the client's own id, or one that is made for it.
func (c *call) newRequestID() string {
	if id := strings.TrimSpace(c.r.Header.Get("X-Request-ID")); id != "" {
		return id
	}
	return "req_" + c.s.randomHex(8)
}
