package authos_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// Middleware sees every sending: the retry, and the resend after a refresh; the first given is the
// outermost.
func TestMiddlewareSeesEverySending(t *testing.T) {
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "correct horse")
	tokens := srv.SignIn("ada@example.com")
	var seen []string
	note := func(name string) authos.Option {
		return authos.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				seen = append(seen, name+" "+req.Method+" "+req.URL.Path)
				return next.RoundTrip(req)
			})
		})
	}
	c, err := authos.New(srv.URL, note("outer"), note("inner"), authos.WithRetry(authos.RetryPolicy{BaseDelay: 1}),
		authos.WithTokens(authos.Tokens{AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	srv.ExpireAccessTokens()
	srv.Fault(authostest.Fault{Path: "/api/user", Times: 1, Status: http.StatusBadGateway})
	if _, err := c.User.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, sent := range []string{"GET /api/user", "GET /api/user", "POST /api/auth/refresh", "GET /api/user"} {
		want = append(want, "outer "+sent, "inner "+sent)
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

func TestMiddlewareInput(t *testing.T) {
	if _, err := authos.New("https://authos.test", authos.WithMiddleware(nil)); err == nil {
		t.Error("New took a nil function")
	}
	c, err := authos.New("https://authos.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.With(authos.WithMiddleware(func(next http.RoundTripper) http.RoundTripper { return next })); err == nil {
		t.Error("With took what belongs to the whole family")
	}
}
