package authos_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

const sessionPlain = "sekret-0123456789"

// sessionBearer is a program's struct that holds credentials.
type sessionBearer struct {
	Tokens  authos.Tokens
	Pointer *authos.Tokens
	Secret  authos.Secret
	Failure *authos.MFARequiredError
	Client  *authos.Client
	hidden  authos.Secret // fmt calls no methods here
}

func bearers(t *testing.T) map[string]any {
	t.Helper()
	tokens := authos.Tokens{AccessToken: sessionPlain, RefreshToken: sessionPlain, ExpiresAt: time.Now()}
	secret := authos.NewSecret(sessionPlain)
	mfa := &authos.MFARequiredError{PreAuthToken: secret}
	c := localClient(t, http.DefaultTransport, authos.WithTokens(tokens), authos.WithAPIKey(sessionPlain))
	whole := sessionBearer{tokens, &tokens, secret, mfa, c, secret}
	return map[string]any{
		"Tokens": tokens, "*Tokens": &tokens, "[]Tokens": []authos.Tokens{tokens}, "map": map[string]authos.Tokens{"a": tokens},
		"Secret": secret, "*Secret": &secret, "[]Secret": []authos.Secret{secret},
		"MFARequiredError": *mfa, "*MFARequiredError": mfa, "error": error(mfa),
		"Client": c, "User": c.User, "Auth": c.Auth, "Service": c.Service, "HTTPClient": c.HTTPClient(), "option": authos.WithTokens(tokens),
		"struct": whole, "*struct": &whole, "[]struct": []sessionBearer{whole},
	}
}

func TestCredentialsPrintRedacted(t *testing.T) {
	leaks := func(text string) bool {
		hex := fmt.Sprintf("%x", sessionPlain)
		return strings.Contains(text, sessionPlain) || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, fmt.Sprintf("%d", []byte(sessionPlain))) ||
			strings.Contains(text, strings.ToLower(fmt.Sprintf("% x", sessionPlain)))
	}
	for name, v := range bearers(t) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%+s", "%q", "%#q", "%x", "%X", "% x", "%d", "%t", "%b", "%c", "%o", "%U", "%e", "%10.3s", "%-80v"} {
			if text := fmt.Sprintf(verb, v); leaks(text) {
				t.Errorf("%s of %s prints %s", verb, name, text)
			}
		}
		none := strings.Repeat(" ", 0) // the arguments are printed as EXTRA
		if text := fmt.Sprint(v) + fmt.Sprintln(v) + fmt.Sprintf(none, v); leaks(text) {
			t.Errorf("Print of %s prints %s", name, text)
		}
		var buf bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
			slog.New(h).Info("x", "v", v)
			slog.New(h).With("v", v).WithGroup("g").Info(fmt.Sprint(v), slog.Any("w", v))
		}
		if leaks(buf.String()) {
			t.Errorf("slog of %s prints %s", name, buf.String())
		}
	}
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "v", authos.Tokens{AccessToken: sessionPlain})
	equal(t, "slog says so", strings.Contains(buf.String(), `"v":"Tokens[redacted]"`), true)
	equal(t, "no tokens", authos.Tokens{}.String(), "Tokens(none)")
	equal(t, "no secret", authos.NewSecret("").String(), "")
	equal(t, "a client", fmt.Sprintf("%#v", localClient(t, http.DefaultTransport)), "authos.Client(http://127.0.0.1:80)")
}

func TestCredentialsAreNotMarshalled(t *testing.T) {
	all := bearers(t)
	for _, name := range []string{"Tokens", "*Tokens", "[]Tokens", "map", "Secret", "*Secret", "[]Secret", "MFARequiredError", "*MFARequiredError", "struct", "*struct"} {
		v := all[name]
		// An error's JSON is what a log says of it, and holds no placeholder that could be saved.
		isError := strings.HasSuffix(name, "Error")
		if out, err := json.Marshal(v); (err == nil) != isError || strings.Contains(fmt.Sprint(string(out), err), sessionPlain) {
			t.Errorf("json of %s = %s, %v; error wanted: %v", name, out, err, !isError)
		}
		if err := gob.NewEncoder(&bytes.Buffer{}).Encode(v); err == nil || strings.Contains(err.Error(), sessionPlain) {
			t.Errorf("gob of %s = %v, want an error", name, err)
		}
		if out, err := xml.Marshal(v); err == nil && name != "map" {
			t.Errorf("xml of %s = %s, want an error", name, out)
		}
		if m, ok := v.(interface{ MarshalText() ([]byte, error) }); ok {
			if out, err := m.MarshalText(); err == nil {
				t.Errorf("text of %s = %s, want an error", name, out)
			}
		}
	}
	if out, err := json.Marshal(map[authos.Secret]int{authos.NewSecret(sessionPlain): 1}); err == nil {
		t.Errorf("a map's key = %s, want an error", out)
	}
}

func TestSecret(t *testing.T) {
	s := authos.NewSecret(sessionPlain)
	equal(t, "Reveal", s.Reveal(), sessionPlain)
	equal(t, "equal", s == authos.NewSecret(sessionPlain), true)
	equal(t, "other", s == authos.NewSecret("x"), false)
	equal(t, "IsZero", s.IsZero(), false)
	var zero authos.Secret
	equal(t, "zero", zero.IsZero() && zero.Reveal() == "" && authos.NewSecret("") == zero, true)
	var in struct{ Secret authos.Secret }
	noError(t, "Unmarshal", json.Unmarshal([]byte(`{"Secret":"`+sessionPlain+`"}`), &in))
	equal(t, "read", in.Secret, s)
}

func TestTokensAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, bad := range map[string]authos.Tokens{"line break": {AccessToken: "a\r\nX-Evil: 1"}, "space": {AccessToken: "a b"}} {
			if _, err := authos.New("https://authos.test", authos.WithTokens(bad)); err == nil || strings.Contains(err.Error(), "Evil") {
				t.Errorf("%s: New = %v, want an error without the token", name, err)
			}
		}
		if _, err := authos.New("https://authos.test", authos.WithTokens(authos.Tokens{})); err == nil {
			t.Error("WithTokens of none is accepted")
		}
		// A refresh response may not smuggle a header in either.
		srv := &script{respond: func(r seenRequest) reply {
			if r.path == refreshPath {
				return reply{status: 200, body: pairBody("a\r\nX-Evil: 1", "r2")}
			}
			return reply{status: 401, body: deadTokenBody}
		}}
		c := localClient(t, srv, authos.WithTokens(oldTokens))
		sessionUncertain(t, getUser(t, c))
		equal(t, "held", heldTokens(t, c), oldTokens)
	})
}
