package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/authos-go/authos/authostest"
)

// browse plays somebody who signs in, accepts an invitation, meets an outage and signs out, and
// somebody who needs a second factor.
func browse(out io.Writer, self string, sso *authostest.Server) error {
	ada, mia := newBrowser(out, self, "de-CH, en;q=0.5"), newBrowser(out, self, "ja")
	ada.post("/login")
	ada.signIn("ada@example.com")
	ada.post(ada.find(`action="(/invitations/[^"]+)"`), "do", "accept")
	end := sso.Outage(http.StatusServiceUnavailable)
	ada.get("/")
	end()
	ada.post("/logout")

	mia.post("/login")
	mia.signIn("mfa@example.com")
	mia.post("/mfa", "code", "654321")
	mia.post("/mfa", "code", "123456")
	mia.post("/callback", "fragment", "access_token=a&refresh_token=b&state=of-somebody-else")
	return errors.Join(ada.err, mia.err)
}

// browser does what a person and the page's script do. Once something has failed it does nothing
// more.
type browser struct {
	http      http.Client
	out       io.Writer
	self      string
	languages string
	at        *url.URL
	page      string
	err       error
}

func newBrowser(out io.Writer, self, languages string) *browser {
	jar, _ := cookiejar.New(nil) // never fails
	return &browser{http: http.Client{Jar: jar}, out: out, self: self, languages: languages}
}

func (b *browser) get(path string) { b.send(http.MethodGet, b.self+path, nil) }

func (b *browser) post(path string, form ...string) { b.send(http.MethodPost, b.self+path, form) }

// signIn fills the form of the fake provider, and posts the fragment that the browser comes back
// with, as callback.js does.
func (b *browser) signIn(email string) {
	back := url.Values{"state": {b.find(`name="state" value="([^"]+)"`)}, "code": {email}}
	if b.err == nil {
		b.send(http.MethodGet, b.at.ResolveReference(&url.URL{Path: b.find(`action="([^"]+)"`), RawQuery: back.Encode()}).String(), nil)
	}
	if b.err == nil {
		b.post("/callback", "fragment", b.at.EscapedFragment())
	}
}

func (b *browser) send(method, target string, form []string) {
	if b.err != nil {
		return
	}
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	req, err := http.NewRequest(method, target, strings.NewReader(values.Encode()))
	if err != nil {
		b.err = err
		return
	}
	req.Header.Set("Accept-Language", b.languages)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.http.Do(req)
	if err != nil {
		b.err = err
		return
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	b.at, b.page, b.err = resp.Request.URL, string(body), err
	what := regexp.MustCompile(`(?:<h1>|role="alert">)([^<]+)`).FindAllStringSubmatch(b.page, -1)
	var texts []string
	for _, m := range what {
		texts = append(texts, html.UnescapeString(m[1]))
	}
	_, _ = fmt.Fprintf(b.out, "%-4s %-22.22s %d %s\n", method, req.URL.Path, resp.StatusCode, strings.Join(texts, ": "))
}

// find gives the part of the page that the pattern's parentheses are around.
func (b *browser) find(pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(b.page)
	if m == nil {
		if b.err == nil {
			b.err = fmt.Errorf("%s does not have %s", b.at, pattern)
		}
		return ""
	}
	return html.UnescapeString(m[1])
}
