package authostest

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The pages stand in for what a browser meets around AuthOS: the identity provider, the
// web client that is built into the server, and a mailbox. They are plain HTML, and who
// signs in on them is whoever they say they are.

// WithPages puts pages for a browser on the server, so that somebody can go by hand
// through a sign-in, the activation of a device, a magic link, a password reset and an
// invitation: "/" leads to them, "/_authostest/mail" is the mailbox of everybody. A
// sign-in through a provider goes to a page of this server then, in place of the
// provider's, and so do the links of mails and the codes of devices.
func WithPages() Option {
	return func(c *config) { c.pages = true }
}

const (
	mailPage   = "/_authostest/mail"
	signInPage = "/_authostest/sign-in-page"
)

// pageData is what a page shows: a text, links and a form.
type pageData struct {
	Title   string
	Text    string
	Links   []pageLink
	Form    []pageField
	Method  string
	Action  string
	Buttons []string // values of "do"; the first is the main one
}

type pageLink struct{ Text, URL, Note string }

type pageField struct{ Name, Label, Value, Kind string }

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} · fake AuthOS</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f3f5f7; margin: 0; padding: 2rem 1rem; }
main { max-width: 34rem; margin: 0 auto; background: #fff; border: 1px solid #d5dbe1; border-radius: 8px; padding: 1.5rem 2rem 2rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; }
label { display: block; margin: 1rem 0 .25rem; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #8a97a5; border-radius: 4px; }
button { font: inherit; margin: 1.25rem .5rem 0 0; padding: .5rem 1.25rem; border: 1px solid #1f5fbf; border-radius: 4px; background: #fff; color: #1f5fbf; }
button:first-of-type { background: #1f5fbf; color: #fff; }
li { margin: .5rem 0; overflow-wrap: anywhere; }
footer { max-width: 34rem; margin: 1rem auto; color: #566472; font-size: .85rem; }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>
{{end}}{{with .Links}}<ul>
{{range .}}<li><a href="{{.URL}}">{{.Text}}</a>{{with .Note}}<br>{{.}}{{end}}</li>
{{end}}</ul>
{{end}}{{if .Form}}<form method="{{.Method}}" action="{{.Action}}">
{{range .Form}}{{if eq .Kind "hidden"}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{else}}<label for="{{.Name}}">{{.Label}}</label><input id="{{.Name}}" name="{{.Name}}" type="{{.Kind}}" value="{{.Value}}" required>
{{end}}{{end}}{{range .Buttons}}<button name="do" value="{{.}}">{{.}}</button>
{{end}}</form>
{{end}}</main>
<footer>A fake AuthOS for tests. Nobody is who they say they are.</footer>
</body>
</html>
`))

func showPage(status int, data pageData) response {
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, data); err != nil {
		panic("authostest: page: " + err.Error()) // the template is ours, and a buffer takes everything
	}
	a := typed(status, "text/html; charset=utf-8", out.Bytes())
	a.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action *")
	return a
}

func sorry(text string) response {
	return showPage(http.StatusBadRequest, pageData{Title: "That did not work", Text: text, Links: []pageLink{{"Back to the beginning", "/", ""}}})
}

// pages are the pages by path. They run with the server's lock held.
var pages = map[string]func(c *call, form url.Values) response{
	"/":                       (*call).startPage,
	mailPage:                  (*call).mailboxPage,
	signInPage:                (*call).providerPage,
	"/activate":               (*call).activatePage,
	"/auth/magic-link/verify": (*call).magicLinkPage,
	"/reset-password":         (*call).resetPage,
	"/verify-email":           (*call).verifyEmailPage,
	"/invitations/accept":     (*call).invitationPage,
}

// page responds to a request for a page, where there are pages.
func (s *Server) page(r *http.Request, body []byte) (response, bool) {
	show, ok := pages[r.URL.Path]
	if !s.config.pages || !ok || r.Method != "" && r.Method != http.MethodGet && r.Method != http.MethodPost {
		return response{}, false
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		posted, err := url.ParseQuery(string(body))
		if err != nil {
			return sorry("The form could not be read."), true
		}
		form = posted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return response{}, false
	}
	c := newCall(s, r, body, false)
	return c.seal(show(c, form)), true
}

func (c *call) posted() bool { return c.method == http.MethodPost }

func (c *call) startPage(url.Values) response {
	links := []pageLink{{"Activate a device", "/activate", "with the code that the device shows"}}
	if c.s.config.mail {
		links = append(links, pageLink{"Mailbox", mailPage, "everything that the server has sent"})
	}
	for _, o := range c.s.scene.allOrganizations() {
		for _, v := range o.servicesInOrder() {
			query := url.Values{"org": {o.slug}, "service": {v.slug}}
			links = append(links, pageLink{"Sign in to " + o.name + " " + v.name, "/auth/github?" + query.Encode(), ""})
		}
	}
	return showPage(http.StatusOK, pageData{Title: "Fake AuthOS", Text: "This is a test server at " + c.s.URL + ".", Links: links})
}

func (c *call) mailboxPage(url.Values) response {
	data := pageData{Title: "Mailbox"}
	for _, m := range slices.Backward(c.s.scene.mail.sent) {
		data.Links = append(data.Links, pageLink{mailSubjects[m.Kind], m.Link, "to " + m.To + ", " + m.Sent.Format("2 January 2006 15:04:05 MST")})
	}
	switch {
	case !c.s.config.mail:
		data.Text = "This server sends no mail."
	case len(data.Links) == 0:
		data.Text = "Nothing has been sent yet."
	}
	return showPage(http.StatusOK, data)
}

var mailSubjects = map[MailKind]string{
	VerificationMail: "Verify your address", PasswordResetMail: "Choose a new password", MagicLinkMail: "Sign in",
	InvitationMail: "You are invited",
}

// providerPage is the identity provider's: it asks who is there, and sends the browser
// back with that.
func (c *call) providerPage(form url.Values) response {
	state, ok := c.s.scene.signIns[form.Get("state")]
	if !ok {
		return sorry("This sign-in has expired, or was never begun.")
	}
	callback := "/auth/" + state.provider + "/callback"
	if state.service == "" {
		callback = "/auth/admin/" + state.provider + "/callback"
	}
	text := "Who is signing in"
	if state.service != "" {
		text += " to " + state.org + "/" + state.service
	}
	return showPage(http.StatusOK, pageData{
		Title: "Sign in with " + displayNames[state.provider], Text: text + "? Any address will do.",
		Form: []pageField{
			{Name: "state", Value: form.Get("state"), Kind: "hidden"},
			{Name: "code", Label: "E-mail address", Value: "ada@example.com", Kind: "email"},
		},
		Method: "get", Action: callback, Buttons: []string{"Continue"},
	})
}

// activatePage is where somebody types the code of a device.
func (c *call) activatePage(form url.Values) response {
	code := strings.ToUpper(strings.TrimSpace(form.Get("user_code")))
	g := c.s.scene.devices.byUserCode[code]
	ask := pageData{
		Title: "Activate a device", Text: "Type the code that the device shows.",
		Form:   []pageField{{Name: "user_code", Label: "Code", Value: code, Kind: "text"}},
		Method: "get", Action: "/activate", Buttons: []string{"Next"},
	}
	switch {
	case code == "":
		return showPage(http.StatusOK, ask)
	case g == nil || g.status != devicePending || c.now.After(g.expires):
		ask.Text = "There is no device that waits with this code."
		return showPage(http.StatusBadRequest, ask)
	case !c.posted():
		return showPage(http.StatusOK, pageData{
			Title: "Activate a device", Text: "A device with the code " + code + " asks for access to " + g.org + "/" + g.service + ".",
			Form: []pageField{
				{Name: "user_code", Value: code, Kind: "hidden"},
				{Name: "email", Label: "Your e-mail address", Value: "ada@example.com", Kind: "email"},
			},
			Method: "post", Action: "/activate", Buttons: []string{"Approve", "Deny"},
		})
	}
	if form.Get("do") == "Deny" {
		g.status = deviceDenied
		return showPage(http.StatusOK, pageData{Title: "Denied", Text: "The device gets no access."})
	}
	if !strings.Contains(form.Get("email"), "@") {
		return sorry("That is no e-mail address.")
	}
	g.status, g.userID = deviceAuthorized, c.s.addMember(form.Get("email"), "").ID
	return showPage(http.StatusOK, pageData{Title: "Approved", Text: "The device is signed in as " + form.Get("email") + ". You can close this page."})
}

// magicLinkPage is where the link in a mail leads. The token is used by the API.
func (c *call) magicLinkPage(form url.Values) response {
	return showPage(http.StatusOK, pageData{
		Title: "Sign in", Text: "The link in the mail signs you in. It works once; what follows are the tokens.",
		Links: []pageLink{{"Sign in", "/api/auth/magic-link/verify?" + url.Values{"token": {form.Get("token")}}.Encode(), ""}},
	})
}

func (c *call) verifyEmailPage(form url.Values) response {
	return showPage(http.StatusOK, pageData{Title: "Verify your address", Links: []pageLink{
		{"This is my address", "/auth/verify-email?" + url.Values{"token": {form.Get("token")}}.Encode(), ""},
	}})
}

func (c *call) resetPage(form url.Values) response {
	token := form.Get("token")
	if !c.posted() {
		return showPage(http.StatusOK, pageData{
			Title: "Choose a new password", Text: "At least 8 characters. All sessions end.",
			Form: []pageField{
				{Name: "token", Value: token, Kind: "hidden"}, {Name: "password", Label: "New password", Kind: "password"},
			},
			Method: "post", Action: "/reset-password", Buttons: []string{"Change"},
		})
	}
	if a := c.setNewPassword(token, form.Get("password")); a.status != http.StatusOK {
		return sorry("The link is not good any more, or the password is too short.")
	}
	return showPage(http.StatusOK, pageData{Title: "Changed", Text: "You can sign in with the new password."})
}

func (c *call) invitationPage(form url.Values) response {
	o, row := c.invitation(func(i *invitation) bool { return i.token == form.Get("token") })
	if row == nil || c.now.After(row.expires) {
		return sorry("This invitation has been used, or has expired.")
	}
	if !c.posted() {
		return showPage(http.StatusOK, pageData{
			Title: "You are invited", Text: row.inviter.Email + " invites " + row.email + " to " + o.name + " as " + row.role + ".",
			Form:   []pageField{{Name: "token", Value: row.token, Kind: "hidden"}},
			Method: "post", Action: "/invitations/accept", Buttons: []string{"Accept", "Decline"},
		})
	}
	if form.Get("do") == "Decline" {
		c.decline(row)
		return showPage(http.StatusOK, pageData{Title: "Declined", Text: "Nothing has changed."})
	}
	if a := c.accept(o, row); a.status != http.StatusOK {
		return sorry("The organization is full, or you are in it already.")
	}
	return showPage(http.StatusOK, pageData{Title: "Welcome", Text: row.email + " is a member of " + o.name + " now."})
}
