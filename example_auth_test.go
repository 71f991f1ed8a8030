package authos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func ExampleAuthService_CompleteMFA() {
	srv, client := newExample()
	defer srv.Close()
	srv.RequireMFA("ada@example.com")
	ctx := context.Background()

	_, err := client.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	mfa, ok := errors.AsType[*authos.MFARequiredError](err)
	if !ok {
		fmt.Println(err)
		return
	}
	for _, code := range []string{"654321", "123456"} { // what the user types
		_, err = client.Auth.CompleteMFA(ctx, authos.CompleteMFAParams{PreAuthToken: mfa.PreAuthToken, Code: code, Install: true})
		if errors.Is(err, authos.CodeUnauthorized) {
			fmt.Println("a wrong code, try again")
			continue
		}
		fmt.Println(err)
	}
	user, err := client.User.Get(ctx)
	fmt.Println(user.Email, err)
	// Output:
	// a wrong code, try again
	// <nil>
	// ada@example.com <nil>
}

func ExampleAuthService_DeviceLogin() {
	srv, client := newExampleDevice()
	defer srv.Close()

	tokens, err := client.Auth.DeviceLogin(context.Background(),
		authos.DeviceLoginParams{ClientID: "acme_app", OrgSlug: "acme", ServiceSlug: "app"},
		func(code authos.DeviceCode) error {
			fmt.Println("open", code.VerificationURI, "and type the code shown:", len(code.UserCode), "characters")
			srv.ApproveDevice(code.UserCode, "ada@example.com") // what the user does there
			return nil
		})
	if errors.Is(err, authos.CodeDeviceCodeExpired) {
		fmt.Println("nobody came, or the user said no")
	}
	fmt.Println(tokens, err)
	// Output:
	// open https://app.acme.example/activate and type the code shown: 9 characters
	// Tokens[redacted] <nil>
}

// newExampleDevice gives a client of a server that may be polled every millisecond in place of
// every five seconds.
func newExampleDevice() (*authostest.Server, *authos.Client) {
	srv := authostest.New(authostest.InMemory())
	client, err := authos.New(srv.URL, authos.WithHTTPClient(&http.Client{Transport: hasty{srv.Transport()}}))
	if err != nil {
		panic(err)
	}
	return srv, client
}

type hasty struct{ next http.RoundTripper }

func (h hasty) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	body = bytes.Replace(body, []byte(`"interval":5`), []byte(`"interval":0.001`), 1)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, err
}

func ExampleAuthService_LoginURL() {
	client, err := authos.New("https://sso.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	target, err := client.Auth.LoginURL("github", authos.LoginURLParams{
		OrgSlug: "acme", ServiceSlug: "app", RedirectURI: "https://app.acme.example/callback", State: "unguessable",
	})
	fmt.Println(target, err)
	// Output:
	// https://sso.example.com/auth/github?org=acme&redirect_uri=https%3A%2F%2Fapp.acme.example%2Fcallback&service=app&state=unguessable <nil>
}
