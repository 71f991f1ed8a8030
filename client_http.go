package authos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/authos-go/authos/internal/routes"
)

// HTTPClient gives an *http.Client over the same layers, for generated or foreign code. It sends to
// the base URL's origin only, puts the client's credential on unless the request has its own, and
// follows http.Client's rules: a status of 400 or more is a response, not an error. The client's
// own limits apply: bodies of at most 16 MiB, held in memory.
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
	body, err := readForeign(req)
	if err != nil {
		return nil, err
	}
	concrete, ok := e.c.fam.below(req.URL)
	if !ok {
		return nil, errForeignOrigin
	}
	concrete, _, err = splitPath(concrete)
	if err != nil {
		return nil, err
	}
	method := cmp.Or(req.Method, http.MethodGet)
	cl, err := e.c.newCall(req.Context(), method, routes.Match(method, concrete), concrete, req.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	cl.body = body
	if cl.header == nil {
		cl.header = http.Header{}
	}
	maps.Copy(cl.header, req.Header.Clone()) // over the default headers
	for key := range framing {
		cl.header.Del(key)
	}
	cl.settle()
	resp, err := e.c.roundTrip(cl)
	if err != nil {
		err = cl.fail(err)
		e.c.observeDone(cl, err)
		return nil, err
	}
	cl.keep(resp)
	e.c.observeDone(cl, nil)
	resp.Request = req
	if cl.stale {
		// RFC 9111, section 5.1: a response from a cache says its age.
		resp.Header.Set("Age", strconv.FormatInt(int64(cl.age/time.Second), 10))
	}
	return resp, nil
}

// readForeign reads a foreign request's body, so that it can be sent again, and closes it, as a
// RoundTripper must.
func readForeign(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer func() { _ = req.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(req.Body, maxResponse+1))
	if err == nil && len(data) > maxResponse {
		err = errForeignBody
	}
	return data, err
}
