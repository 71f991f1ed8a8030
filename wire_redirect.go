package authos

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

const maxRedirects = 10 // as net/http

var (
	errRedirectOrigin = errors.New("redirect to another origin refused: it would carry the credential there")
	errRedirectWrite  = errors.New("redirect of a request that is not a read refused: it could be applied twice")
	errRedirects      = fmt.Errorf("more than %d redirects", maxRedirects)
	errNoResponse     = errors.New("the http.RoundTripper gave neither a response nor an error")
)

// hops sends the request and follows redirects. All of them belong to one attempt and its time.
func (w *wireLayer) hops(s *sending) (*http.Response, error) {
	var via []*http.Request
	for req := &s.req; ; {
		resp, err := w.hop(req)
		if err != nil || !isRedirect(resp) {
			return resp, err
		}
		via = append(via, req)
		next, err := w.follow(s, resp, via)
		if err == nil {
			err = w.allows(s.call, next, via)
		}
		if errors.Is(err, http.ErrUseLastResponse) {
			return resp, nil // says the caller's own CheckRedirect
		}
		discard(resp)
		if err != nil {
			s.refused = true
			return nil, err
		}
		s.nextHop()
		req = next
	}
}

// hop sends one request, with the cookies of the caller's own http.Client where it has a Jar.
func (w *wireLayer) hop(req *http.Request) (*http.Response, error) {
	if w.jar != nil {
		for _, cookie := range w.jar.Cookies(req.URL) {
			req.AddCookie(cookie)
		}
	}
	resp, err := w.transport.RoundTrip(req)
	switch {
	case err != nil:
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return nil, err
	case resp == nil:
		return nil, errNoResponse
	}
	resp.Request = req
	if w.jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			w.jar.SetCookies(req.URL, cookies)
		}
	}
	return resp, nil
}

// isRedirect reports whether a response names another place. One without a Location, and 300 and
// 304, are responses as they are.
func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// follow makes the request that a redirect asks for. It says the same as the first: net/http would
// add a Referer with the first one's query.
func (w *wireLayer) follow(s *sending, resp *http.Response, via []*http.Request) (*http.Request, error) {
	if s.call.mutation || !isRead(s.req.Method) {
		return nil, errRedirectWrite
	}
	last := via[len(via)-1]
	u, err := last.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, errBadLocation
	}
	next := last.Clone(last.Context())
	next.URL, next.Host, next.Response = u, u.Host, resp
	if resp.StatusCode == http.StatusSeeOther && next.Method != http.MethodHead {
		next.Method = http.MethodGet // RFC 9110, section 15.4.4
	}
	delete(next.Header, "Cookie") // what the Jar added
	if own := s.call.header["Cookie"]; own != nil {
		next.Header["Cookie"] = own
	}
	return next, nil
}

// allows keeps credentials on the base URL's own origin, and asks the caller's own CheckRedirect.
func (w *wireLayer) allows(cl *call, next *http.Request, via []*http.Request) error {
	switch {
	case originOf(next.URL) != cl.client.fam.origin:
		return errRedirectOrigin
	case len(via) >= maxRedirects:
		return errRedirects
	case w.checkRedirect != nil:
		return w.checkRedirect(next, via)
	}
	return nil
}

// discard ends a response that is not wanted. A short body is read, so that the connection can be
// used again.
func discard(resp *http.Response) {
	if resp.Body == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 2<<10)
	_ = resp.Body.Close()
}
