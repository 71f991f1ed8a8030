package authos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// HTTPClient gives an *http.Client over the same layers, for generated or foreign code. It sends to
// the base URL's origin only, puts the client's credential on unless the request has its own, and
// follows http.Client's rules: a status of 400 or more is a response, not an error. The client's
// own limits apply: bodies of at most 16 MiB, held in memory. What cannot be carried is refused
// with a [*ValidationError] before anything is sent: Accept-Encoding, Content-Encoding, Expect,
// Trailer, Upgrade and the like, and a Host that is not the base URL's.
func (c *Client) HTTPClient() *http.Client {
	return &http.Client{
		Transport: &entry{c},
		// Redirects are followed inside, where the credential's origin is watched.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// entry is where foreign code comes in: an *http.Request becomes a call and goes down the same
// layers as a typed method's.
type entry struct{ c *Client }

var (
	errForeignOrigin = errors.New("authos: request outside the base URL refused: it would carry the credential there")
	errForeignBody   = fmt.Errorf("authos: request body larger than %d MiB", maxResponse>>20)
)

// RoundTrip implements [http.RoundTripper].
func (e *entry) RoundTrip(req *http.Request) (*http.Response, error) {
	cl, err := e.enter(req)
	if err != nil {
		return nil, err
	}
	resp, err := e.c.roundTrip(cl)
	if err != nil {
		err = cl.fail(err)
		e.c.observeDone(cl, err)
		return nil, err
	}
	cl.keep(resp)
	e.c.observeDone(cl, nil)
	resp.Request = lastOf(req, resp.Request)
	if cl.stale != nil {
		// RFC 9111, section 5.1: a response from a cache says its age.
		resp.Header.Set("Age", strconv.FormatInt(int64(cl.stale.age/time.Second), 10))
	}
	return resp, nil
}

// enter makes a call of a foreign request. What cannot be carried is refused, with the request's
// body closed, as a RoundTripper must.
func (e *entry) enter(req *http.Request) (*call, error) {
	closeBody := func() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
	}
	concrete, ok := e.c.fam.below(req.URL)
	if !ok {
		closeBody()
		return nil, errForeignOrigin
	}
	concrete, _, err := splitPath(concrete)
	if err == nil {
		err = e.checkCarried(req)
	}
	if err != nil {
		closeBody()
		return nil, err
	}
	method := cmp.Or(req.Method, http.MethodGet)
	cl, err := e.c.newCall(req.Context(), method, routes.Match(method, concrete), concrete, req.URL.RawQuery)
	if err != nil {
		closeBody()
		return nil, err
	}
	if cl.body, err = e.readForeign(req); err != nil {
		return nil, err
	}
	lengths := values(req.Header, "Content-Length")
	if len(lengths) > 0 && lengths[0] != strconv.Itoa(len(cl.body)) || req.ContentLength > 0 && req.ContentLength != int64(len(cl.body)) {
		return nil, invalid("header", CodeInvalidFormat, "Content-Length is not the length of the body")
	}
	if cl.header == nil {
		cl.header = http.Header{}
	}
	own := http.Header{}
	for key, lines := range req.Header { // foreign code may not have written them canonically
		key = http.CanonicalHeaderKey(key)
		own[key] = append(own[key], lines...)
	}
	maps.DeleteFunc(own, func(key string, _ []string) bool { return framing[key] })
	maps.Copy(cl.header, own) // over the default headers
	cl.close = req.Close || closes(values(req.Header, "Connection"))
	cl.settle()
	return cl, nil
}

// values are a header's lines, however its name is written.
func values(h http.Header, name string) (lines []string) {
	for key, each := range h {
		if http.CanonicalHeaderKey(key) == name {
			lines = append(lines, each...)
		}
	}
	return lines
}

func closes(connection []string) bool {
	return slices.ContainsFunc(connection, func(v string) bool { return strings.EqualFold(strings.TrimSpace(v), "close") })
}

// checkCarried refuses what would be dropped on the way: the client frames its messages itself, and
// speaks to one host.
func (e *entry) checkCarried(req *http.Request) error {
	refuse := func(what string) error {
		return invalid("header", CodeInvalidFormat, what+" cannot be carried by HTTPClient")
	}
	for key, lines := range req.Header {
		switch key = http.CanonicalHeaderKey(key); {
		case key == "Content-Length": // compared with the body once that is read
		case key == "Connection":
			for _, line := range lines {
				if line = strings.TrimSpace(line); !strings.EqualFold(line, "close") && !strings.EqualFold(line, "keep-alive") {
					return refuse("Connection: " + safeText(line))
				}
			}
		case framing[key]:
			return refuse(key)
		}
	}
	switch {
	case len(req.Trailer) > 0:
		return refuse("Trailer")
	case req.URL.Opaque != "":
		return refuse("an opaque URL")
	case req.Host != "" && originOf(&url.URL{Scheme: e.c.fam.base.Scheme, Host: req.Host}) != e.c.fam.origin:
		return refuse("another Host than the base URL's")
	}
	return nil
}

// lastOf is the request that a response is for: the foreign one, or, after redirects, one like it
// with the last URL. The credential that was sent stays in here.
func lastOf(foreign, sent *http.Request) *http.Request {
	if sent == nil || sent.Response == nil { // what a redirect made has one
		return foreign
	}
	last := foreign.WithContext(foreign.Context())
	last.Method, last.URL, last.Host, last.Body, last.ContentLength = sent.Method, sent.URL, sent.Host, nil, 0
	return last
}

var errForeignTimeout = errors.New("authos: the request's body did not end within the attempt's timeout")

// readForeign reads a foreign request's body, so that it can be sent again, and closes it, as a
// RoundTripper must. A body that does not end is left to itself when the caller's context ends, or
// the time that one attempt has.
func (e *entry) readForeign(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: &thrown{}}
		defer func() {
			if t, ok := r.err.(*thrown); ok { //nolint:errorlint // set here
				t.value = recover()
			}
			done <- r
		}()
		data, err := io.ReadAll(io.LimitReader(req.Body, maxResponse+1))
		if err == nil && len(data) > maxResponse {
			err = errForeignBody
		}
		_ = req.Body.Close()
		r = result{data, err}
	}()
	var over <-chan time.Time
	if limit := e.c.cfg.retry.AttemptTimeout; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	err := errForeignTimeout
	select {
	case r := <-done:
		surface(r.err)
		return r.data, r.err
	case <-req.Context().Done():
		err = req.Context().Err()
	case <-over:
	}
	go func() {
		defer func() { _ = recover() }() // nobody's request any more
		_ = req.Body.Close()             // which may end a read that blocks
	}()
	return nil, err
}
