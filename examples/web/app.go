package main

import (
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"github.com/authos-go/authos"
	"github.com/gorilla/securecookie"
)

type settings struct{ self, authos, org, service string }

//go:embed pages
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

func newApp(in settings) (*app, error) {
	base, err := authos.New(in.authos)
	if err != nil {
		return nil, err
	}
	// Keys of the configuration would let cookies outlive the process.
	cookies := securecookie.New(securecookie.GenerateRandomKey(32), securecookie.GenerateRandomKey(32))
	a := &app{settings: in, base: base, cookies: cookies, users: map[string]*authos.Client{}}
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, session) error{
		"GET /{$}": a.home, "POST /login": a.login, "GET /callback": a.callback, "POST /callback": a.signIn,
		"GET /mfa": a.askCode, "POST /mfa": a.checkCode, "POST /invitations/{id}": a.invitation, "POST /logout": a.logout,
	} {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r, a.session(r)); err != nil {
				a.fail(w, r, err)
			}
		})
	}
	a.mux.Handle("GET /pages/", http.FileServerFS(files))
	return a, nil
}

func (a *app) Close() { _ = a.base.Close() } // and every user's client

func (a *app) home(w http.ResponseWriter, r *http.Request, s session) error {
	if s.user == nil {
		return pages.ExecuteTemplate(w, "welcome.html", nil)
	}
	user, err := s.user.User.Get(r.Context())
	if err != nil {
		return err
	}
	invitations, err := s.user.Invitations.List(r.Context())
	if err != nil {
		return err
	}
	return pages.ExecuteTemplate(w, "home.html", map[string]any{"User": user, "Invitations": invitations})
}

// login sends the browser to AuthOS. The state stays in this browser's cookie: who comes back
// without it has begun elsewhere, and may be a victim of somebody who signs others in as himself.
func (a *app) login(w http.ResponseWriter, r *http.Request, _ session) error {
	state := rand.Text()
	target, err := a.base.Auth.LoginURL("github", authos.LoginURLParams{
		OrgSlug: a.org, ServiceSlug: a.service, RedirectURI: a.self + "/callback", State: state,
	})
	if err != nil {
		return err
	}
	return a.enter(w, r, session{State: state}, target)
}

// callback is where the browser comes back to. The tokens are in the fragment, which it does not
// send: the page's script posts it. A refusal may be in the query.
func (a *app) callback(w http.ResponseWriter, r *http.Request, _ session) error {
	if r.URL.Query().Has("error") {
		_, err := authos.ParseCallback(r.URL.Query())
		return err
	}
	return pages.ExecuteTemplate(w, "callback.html", nil)
}

func (a *app) signIn(w http.ResponseWriter, r *http.Request, s session) error {
	v, err := url.ParseQuery(r.PostFormValue("fragment"))
	if err != nil || s.State == "" || subtle.ConstantTimeCompare([]byte(v.Get("state")), []byte(s.State)) != 1 {
		return &authos.APIError{StatusCode: http.StatusForbidden, Code: authos.CodeOAuthAccessDenied}
	}
	tokens, err := authos.ParseCallback(v)
	if mfa, ok := errors.AsType[*authos.MFARequiredError](err); ok {
		return a.enter(w, r, session{PreAuth: mfa.PreAuthToken.Reveal()}, "/mfa")
	}
	return a.welcome(w, r, tokens, err)
}

func (a *app) askCode(w http.ResponseWriter, _ *http.Request, _ session) error {
	return pages.ExecuteTemplate(w, "mfa.html", nil)
}

func (a *app) checkCode(w http.ResponseWriter, r *http.Request, s session) error {
	tokens, err := a.base.Auth.CompleteMFA(r.Context(), authos.CompleteMFAParams{
		PreAuthToken: authos.NewSecret(s.PreAuth), Code: r.PostFormValue("code"),
	})
	if errors.Is(err, authos.CodeUnauthorized) { // the pre-auth token is good for another try
		w.WriteHeader(http.StatusUnauthorized)
		return pages.ExecuteTemplate(w, "mfa.html", "wrong")
	}
	return a.welcome(w, r, tokens, err)
}

// welcome makes the user's client: on the family's connections, with a session of its own.
func (a *app) welcome(w http.ResponseWriter, r *http.Request, tokens authos.Tokens, err error) error {
	if err != nil {
		return err
	}
	user, err := a.base.With(authos.WithTokens(tokens))
	if err != nil {
		return err
	}
	return a.enter(w, r, session{user: user}, "/")
}

func (a *app) invitation(w http.ResponseWriter, r *http.Request, s session) error {
	if s.user == nil {
		return authos.ErrUnauthenticated
	}
	reply := s.user.Invitations.Decline
	if r.PostFormValue("do") == "accept" {
		reply = s.user.Invitations.Accept
	}
	if err := reply(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// logout ends the session at AuthOS. An error says that it may not have ended: the user stays.
func (a *app) logout(w http.ResponseWriter, r *http.Request, s session) error {
	if s.user != nil {
		if err := s.user.Auth.Logout(r.Context()); err != nil {
			return err
		}
	}
	return a.enter(w, r, session{}, "/")
}
