package main

import (
	"crypto/rand"
	"errors"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/authos-go/authos"
	"github.com/gorilla/securecookie"
)

// app serves the program. Who is signed in is in memory; a program of several processes keeps it in
// a table with an expiry, and the tokens in pgstore or redisstore (docs/backends.md).
type app struct {
	settings

	base    *authos.Client // the family's first: it speaks for nobody
	cookies *securecookie.SecureCookie
	mux     http.ServeMux
	mu      sync.Mutex
	users   map[string]*authos.Client // by the id in the cookie
}

// ServeHTTP refuses forms that other sites post.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "same-origin")
	http.NewCrossOriginProtection().Handler(&a.mux).ServeHTTP(w, r)
}

// session is a browser's. The exported fields are in its cookie, signed and encrypted; the tokens
// of who is signed in never leave the server.
type session struct {
	ID      string // of who is signed in
	State   string // of a sign-in that has begun
	PreAuth string // before the second factor
	user    *authos.Client
}

const cookieName = "session"

func (a *app) session(r *http.Request) session {
	var s session
	if cookie, err := r.Cookie(cookieName); err == nil {
		if err := a.cookies.Decode(cookieName, cookie.Value, &s); err != nil {
			return session{} // forged, too old, or of another process
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.user = a.users[s.ID]
	return s
}

// enter replaces the browser's session, under a new id, and sends it on.
func (a *app) enter(w http.ResponseWriter, r *http.Request, s session, to string) error {
	a.drop(a.session(r))
	if s.user != nil {
		s.ID = rand.Text()
		a.mu.Lock()
		a.users[s.ID] = s.user
		a.mu.Unlock()
	}
	value, err := a.cookies.Encode(cookieName, s)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: 24 * 60 * 60,
		HttpOnly: true, Secure: strings.HasPrefix(a.self, "https:"), SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// drop forgets who was signed in; the session at AuthOS is left alone.
func (a *app) drop(s session) {
	if s.user == nil {
		return
	}
	_ = s.user.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.users, s.ID)
}

// fail shows an error in the user's language; the log has what it was.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	log.Print(r.Method, " ", r.URL.Path, ": ", err)
	if errors.Is(err, authos.ErrUnauthenticated) {
		a.drop(a.session(r))
	}
	w.Header().Set("Vary", "Accept-Language")
	w.WriteHeader(authos.HTTPStatus(err))
	if err := pages.ExecuteTemplate(w, "error.html", authos.UserMessage(err, r.Header.Get("Accept-Language"))); err != nil {
		log.Print(err)
	}
}
