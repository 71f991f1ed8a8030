package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
	"github.com/chromedp/chromedp"
)

// chrome is a real browser, whose windows share nothing.
type chrome struct {
	t   *testing.T
	ctx context.Context
}

// newChrome starts one that prefers the language. Without Chromium the test is skipped, or fails
// where AUTHOS_REQUIRE_BROWSER is set.
func newChrome(t *testing.T, language string) chrome {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	switch {
	case path != "":
	case os.Getenv("AUTHOS_REQUIRE_BROWSER") != "":
		t.Fatal("there is no Chromium")
	default:
		t.Skip("there is no Chromium")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(800, 600),
		chromedp.WSURLReadTimeout(time.Minute), chromedp.Flag("accept-lang", language), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true))...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	c := chrome{t, ctx}
	if err := chromedp.Do(ctx); err != nil { // starts it, without a time that would end it
		t.Fatal(err)
	}
	return c
}

func (c chrome) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		page, _ := chromedp.Run(c.ctx, chromedp.Evaluate[string]("document.documentElement.outerHTML"))
		c.t.Fatalf("%s: %v; the page is %s", what, err, page)
	}
}

func (c chrome) open(url string) { c.t.Helper(); c.run("open "+url, chromedp.Navigate(url)) }

// click clicks a button or a link by its text.
func (c chrome) click(text string) {
	c.t.Helper()
	c.run("click "+text, chromedp.Click(`//*[self::button or self::a][normalize-space(.)="`+text+`"]`))
}

func (c chrome) fill(field, value string) {
	c.t.Helper()
	input := `//input[@name="` + field + `"][not(@type="hidden")]`
	c.run("fill "+field, chromedp.Clear(input), chromedp.SendKeys(input, value))
}

// sees waits for a text on the page. The picture goes to the test's artifacts (go test -artifacts).
func (c chrome) sees(text string) {
	c.t.Helper()
	c.run("see "+text, chromedp.WaitVisible(`//body//*[not(*)][contains(normalize-space(.), '`+text+`')]`))
	picture, err := chromedp.Run(c.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		c.t.Fatal(err)
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) {
			return '-'
		}
		return r
	}, text)
	if err := os.WriteFile(filepath.Join(c.t.ArtifactDir(), name+".png"), picture, 0o600); err != nil {
		c.t.Error(err)
	}
}

// start runs the program beside a fake AuthOS.
func start(t *testing.T) (web *httptest.Server, sso *authostest.Server) {
	t.Helper()
	var a *app
	web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	sso = fake(web.URL)
	t.Cleanup(sso.Close)
	a, err := newApp(settings{self: web.URL, authos: sso.URL, org: "acme", service: "app"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return web, sso
}

func TestBrowserSignsIn(t *testing.T) {
	web, sso := start(t)
	c := newChrome(t, "en")
	c.open(web.URL)
	c.sees("You are not signed in.")
	c.click("Sign in with GitHub")
	c.sees("Sign in with GitHub")
	c.fill("code", "ada@example.com")
	c.click("Continue")
	c.sees("Hello, ada@example.com")
	if got, err := chromedp.Run(c.ctx, chromedp.Evaluate[string]("location.href + document.cookie")); err != nil || got != web.URL+"/" {
		t.Errorf("the page can read %q, %v: want no tokens and no cookie", got, err)
	}
	c.sees("Globex invites you as admin.")
	c.click("Accept")
	c.run("accepted", chromedp.WaitNotPresent(`//h2[.="Invitations"]`))
	if n := sso.Count("POST", "/api/invitations/:invitation_id/accept"); n != 1 {
		t.Errorf("accepted %d times", n)
	}
	c.click("Sign out")
	c.sees("You are not signed in.")
	if n := sso.Applied()["POST /auth/revoke"] + sso.Applied()["POST /api/auth/logout"]; n != 1 {
		t.Errorf("signed out %d times at AuthOS: %v", n, sso.Applied())
	}
	if n := sso.Replays(); n != 0 {
		t.Errorf("%d refresh tokens were presented twice", n)
	}
}

func TestBrowserSecondFactor(t *testing.T) {
	web, _ := start(t)
	c := newChrome(t, "en")
	c.open(web.URL)
	c.click("Sign in with GitHub")
	c.fill("code", "mfa@example.com")
	c.click("Continue")
	c.sees("One more step")
	c.fill("code", "654321")
	c.click("Continue")
	c.sees("That code is not right.")
	c.fill("code", "123456")
	c.click("Continue")
	c.sees("Hello, mfa@example.com")
}

// Somebody else's sign-in is refused, an outage is told, and both in the user's language. The user
// stays signed in.
func TestBrowserErrors(t *testing.T) {
	web, sso := start(t)
	c := newChrome(t, "de-CH,de")
	stranger := sso.SignIn("eve@example.com")
	for _, state := range []string{"", "&state=", "&state=guessed"} {
		c.open(web.URL + "/callback#access_token=" + stranger.AccessToken + "&refresh_token=" + stranger.RefreshToken + state)
		c.sees("Die Anmeldung wurde abgelehnt.")
	}
	c.open(web.URL + "/callback?error=access_denied&error_description=%3Cscript%3E")
	c.sees("Die Anmeldung wurde abgelehnt.")
	c.open(web.URL)
	c.click("Sign in with GitHub")
	c.fill("code", "ada@example.com")
	c.click("Continue")
	c.sees("Hello, ada@example.com")
	end := sso.Outage(http.StatusServiceUnavailable)
	c.open(web.URL)
	c.sees("Der Dienst ist vorübergehend nicht verfügbar.")
	end()
	c.click("Acme")
	c.sees("Hello, ada@example.com")
	sso.RevokeSessions("ada@example.com")
	c.open(web.URL)
	c.sees("Bitte melden Sie sich erneut an.")
	c.click("Acme")
	c.sees("You are not signed in.")
}

// The fake's own pages: a device is approved and another denied, a mailed link signs in, and an
// invitation is accepted, by hand.
func TestBrowserFakePages(t *testing.T) {
	sso := authostest.New(authostest.WithPages(), authostest.WithMail())
	defer sso.Close()
	sso.AddUser("ada@example.com", "correct horse")
	client, ctx, c := sso.Client(), t.Context(), newChrome(t, "en")
	device := func() *authos.DeviceCode {
		code, err := client.Auth.RequestDeviceCode(ctx, authos.DeviceCodeParams{ClientID: "acme_app", OrgSlug: "acme", ServiceSlug: "app"})
		if err != nil {
			t.Fatal(err)
		}
		c.open(code.VerificationURI)
		c.fill("user_code", strings.ToLower(code.UserCode))
		c.click("Next")
		c.sees("asks for access to acme/app")
		return code
	}
	exchange := func(code *authos.DeviceCode) error {
		_, err := client.Auth.ExchangeDeviceCode(ctx, authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: "acme_app"})
		return err
	}
	code := device()
	c.fill("email", "grace@example.com")
	c.click("Approve")
	c.sees("signed in as grace@example.com")
	if err := exchange(code); err != nil {
		t.Errorf("an approved device: %v", err)
	}
	code = device()
	c.click("Deny")
	c.sees("The device gets no access.")
	if err := exchange(code); err == nil {
		t.Error("a denied device got a token")
	}

	if err := client.Auth.RequestMagicLink(ctx, authos.RequestMagicLinkParams{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	c.open(sso.URL + "/_authostest/mail")
	c.click("Sign in")
	c.sees("It works once")
	c.click("Sign in")
	c.sees(`"access_token":`)

	_, token := sso.AddInvitation("acme", "guest@example.com", "member")
	c.open(sso.URL + "/invitations/accept/" + token)
	c.sees("invites guest@example.com to Acme as member.")
	c.click("Accept")
	c.sees("guest@example.com is a member of Acme now.")
	if n := sso.Count("", "/_authostest/mail"); n != 0 {
		t.Errorf("the journal has %d pages in it", n)
	}
}

// A form of another site does nothing.
func TestForeignForms(t *testing.T) {
	web, sso := start(t)
	for _, path := range []string{"/login", "/logout", "/callback", "/mfa", "/invitations/x"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+path, nil)
		req.Header.Set("Origin", "https://evil.example")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		resp, err := web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) > 0 || len(sso.Requests()) > 0 {
			t.Errorf("POST %s from elsewhere = %s, %d requests", path, resp.Status, len(sso.Requests()))
		}
	}
}

func TestPlay(t *testing.T) {
	web, sso := start(t)
	var out bytes.Buffer
	if err := browse(&out, web.URL, sso); err != nil {
		t.Fatalf("%v after\n%s", err, out.String())
	}
	for _, want := range []string{"Hello, ada@example.com", "Der Dienst ist vorübergehend nicht verfügbar", "401 One more step", "サインインが"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
