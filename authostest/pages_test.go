package authostest_test

import (
	"context"
	"image/png"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
)

// browser follows links and fills forms, as somebody would by hand.
type browser struct {
	*client

	at   string // the page's path
	page string
}

func newBrowser(t *testing.T, opts ...authostest.Option) (*authostest.Server, *browser) {
	t.Helper()
	srv, c := overSocket(t, append(opts, authostest.WithPages(), authostest.WithMail())...)
	c.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Hostname() != "127.0.0.1" { // as far as the fake goes
			return http.ErrUseLastResponse
		}
		return nil
	}
	c.http.Jar, _ = cookiejar.New(nil)
	return srv, &browser{client: c}
}

func (b *browser) open(path string) reply {
	b.t.Helper()
	return b.submit(http.MethodGet, path, nil)
}

func (b *browser) submit(method, path string, form url.Values) reply {
	b.t.Helper()
	path = strings.TrimPrefix(path, b.base)
	if method == http.MethodGet && form != nil {
		path += "?" + form.Encode()
		form = nil
	}
	got := b.do(method, path, form.Encode(), "Content-Type: application/x-www-form-urlencoded")
	b.at, b.page = got.Request.URL.Path, got.body
	return got
}

var (
	linkPattern  = regexp.MustCompile(`<a href="([^"]*)">([^<]*)</a>`)
	formPattern  = regexp.MustCompile(`<form method="(\w+)" action="([^"]*)">`)
	inputPattern = regexp.MustCompile(`name="(\w+)"(?: type="\w+")? value="([^"]*)"`)
)

// follow clicks a link by its text.
func (b *browser) follow(text string) reply {
	b.t.Helper()
	for _, link := range linkPattern.FindAllStringSubmatch(b.page, -1) {
		if link[2] == text {
			return b.open(strings.ReplaceAll(link[1], "&amp;", "&"))
		}
	}
	b.t.Fatalf("no link %q on %s: %s", text, b.at, b.page)
	return reply{}
}

// press fills the form of the page and presses a button.
func (b *browser) press(button string, fill ...string) reply {
	b.t.Helper()
	head := formPattern.FindStringSubmatch(b.page)
	if head == nil || !strings.Contains(b.page, ">"+button+"</button>") {
		b.t.Fatalf("no button %q on %s: %s", button, b.at, b.page)
	}
	form := url.Values{"do": {button}}
	for _, input := range inputPattern.FindAllStringSubmatch(b.page, -1) {
		if input[1] != "do" {
			form.Set(input[1], input[2])
		}
	}
	for i := 0; i < len(fill); i += 2 {
		form.Set(fill[i], fill[i+1])
	}
	return b.submit(strings.ToUpper(head[1]), head[2], form)
}

func (b *browser) shows(text string) {
	b.t.Helper()
	if !strings.Contains(b.page, text) {
		b.t.Errorf("%s does not show %q: %s", b.at, text, b.page)
	}
}

func TestPageSignIn(t *testing.T) {
	srv, b := newBrowser(t)
	b.open("/")
	b.shows("Fake AuthOS")
	b.follow("Sign in to Acme App")
	b.shows("Sign in with GitHub")
	got := b.press("Continue", "code", "grace@example.com")
	location, err := url.Parse(got.Header.Get("Location"))
	if err != nil || location.Host != "app.acme.example" {
		t.Fatalf("location = %v, %v", location, err)
	}
	fragment, err := url.ParseQuery(location.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	b.walk(step{bearer(fragment.Get("access_token")), "GET", "/api/user", "", 200, ""})
	if got := b.open("/_authostest/sign-in-page?state=x"); got.StatusCode != 400 {
		t.Errorf("an unknown state: %d", got.StatusCode)
	}
	if n := srv.Count("", "/"); n != 0 {
		t.Errorf("the journal has %d pages in it", n)
	}
}

func TestPageDevice(t *testing.T) {
	_, b := newBrowser(t)
	begin := func() deviceGrant {
		return parse[deviceGrant](t, b.do("POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`).body)
	}
	grant := begin()
	if grant.VerificationURI != b.base+"/activate" {
		t.Errorf("verification_uri = %s", grant.VerificationURI)
	}
	b.open(grant.VerificationURI)
	b.press("Next", "user_code", "nope")
	b.shows("no device that waits")
	b.press("Next", "user_code", strings.ToLower(grant.UserCode))
	b.shows("asks for access to acme/app")
	b.press("Approve", "email", "grace@example.com")
	b.shows("signed in as grace@example.com")
	b.walk(step{"", "POST", "/auth/token", pollBody(grant.DeviceCode, "acme_app", deviceGrantType), 200, ""})
	denied := begin()
	b.open("/activate?user_code=" + denied.UserCode)
	b.press("Deny")
	b.shows("no access")
	b.walk(step{"", "POST", "/auth/token", pollBody(denied.DeviceCode, "acme_app", deviceGrantType), 400, realError("DEVICE_CODE_PENDING", "Authorization pending")})
}

func TestPageMail(t *testing.T) {
	srv, b := newBrowser(t)
	srv.AddUser("ada@example.com", "correct horse")
	b.open("/_authostest/mail")
	b.shows("Nothing has been sent yet")
	owner := as(srv, "acme", "owner@acme.example")
	for path, body := range map[string]string{
		"/api/auth/magic-link/request":        `{"email":"ada@example.com"}`,
		"/api/auth/forgot-password":           `{"email":"ada@example.com"}`,
		"/api/auth/register":                  `{"email":"new@example.com","password":"correct horse"}`,
		"/api/organizations/acme/invitations": `{"email":"guest@example.com","role":"member"}`,
	} {
		if got := b.do("POST", path, body, owner); got.StatusCode != 200 {
			t.Fatalf("%s = %d %s", path, got.StatusCode, got.body)
		}
	}
	mail := func(subject string) {
		t.Helper()
		b.open("/_authostest/mail")
		b.follow(subject)
	}
	mail("Sign in")
	if got := b.follow("Sign in"); got.StatusCode != 200 || parse[tokenBody](t, got.body).AccessToken == "" {
		t.Errorf("magic link = %d %s", got.StatusCode, got.body)
	}
	mail("Choose a new password")
	b.press("Change", "password", "short")
	b.shows("too short")
	mail("Choose a new password")
	b.press("Change", "password", "battery staple")
	b.walk(step{"", "POST", "/api/auth/login", `{"email":"ada@example.com","password":"battery staple"}`, 200, ""})
	mail("Verify your address")
	b.follow("This is my address")
	b.shows("Email verified")
	mail("You are invited")
	b.shows("owner@acme.example invites guest@example.com to Acme as member.")
	b.press("Accept")
	b.shows("guest@example.com is a member of Acme now")
	mail("You are invited")
	b.shows("has been used")
	if got := b.do("GET", "/api/organizations/acme/members?role=member", "", owner).body; !strings.Contains(got, "guest@example.com") {
		t.Errorf("members = %s", got)
	}
}

func TestPagesEscape(t *testing.T) {
	_, b := newBrowser(t)
	b.open("/activate?user_code=" + url.QueryEscape(`"><script>alert(1)</script>`))
	if strings.Contains(b.page, "<SCRIPT>") || strings.Contains(b.page, "<script>") {
		t.Errorf("page = %s", b.page)
	}
	_, plain := inMemory(t)
	plain.expect(404, "", "", "GET", "/_authostest/mail", "") // off unless asked for
}

// TestPagesInABrowser looks at the pages in a real one, where there is Chromium. The pictures go
// into the folder that AUTHOSTEST_SCREENSHOTS names, or away.
func TestPagesInABrowser(t *testing.T) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
		}
	}
	if chromium == "" || testing.Short() {
		t.Skip("there is no Chromium, or no time")
	}
	srv, b := newBrowser(t)
	folder := os.Getenv("AUTHOSTEST_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	grant := parse[deviceGrant](t, b.do("POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`).body)
	b.do("POST", "/api/auth/magic-link/request", `{"email":"ada@example.com"}`)
	_, token := srv.AddInvitation("acme", "guest@example.com", "member")
	for name, page := range map[string][2]string{
		"start":      {"/", "Fake AuthOS"},
		"sign-in":    {"/auth/github?org=acme&service=app", "Sign in with GitHub"},
		"device":     {"/activate?user_code=" + grant.UserCode, "asks for access"},
		"mailbox":    {"/_authostest/mail", "Mailbox"},
		"invitation": {"/invitations/accept/" + token, "You are invited"},
	} {
		file := filepath.Join(folder, name+".png")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		dom, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
			"--window-size=800,600", "--screenshot="+file, "--dump-dom", b.base+page[0]).Output()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(string(dom), page[1]) {
			t.Errorf("%s: the browser does not show %q: %s", name, page[1], dom)
		}
		picture, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		image, err := png.Decode(picture)
		_ = picture.Close()
		if err != nil || image.Bounds().Dx() != 800 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if image.At(5, 5) == image.At(400, 60) { // the page's ground and its sheet
			t.Errorf("%s: the style was not applied", name)
		}
	}
}
