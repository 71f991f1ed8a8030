package authostest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A fake server, one API key and one user, over a real socket.
func Example() {
	srv := authostest.New()
	defer srv.Close()
	srv.AddServiceUser("ada@example.com")

	req, err := http.NewRequest("GET", srv.URL+"/api/service/users", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("X-Api-Key", srv.AddAPIKey("read:users"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status, strings.Count(string(body), "ada@example.com"))
	// Output: 200 OK 1
}

// A handler of one's own, tested: the server and its client in three lines, and a fault in one.
func ExampleServer_Client() {
	srv := authostest.New()
	defer srv.Close()
	client := srv.Client(authos.WithAPIKey(srv.AddAPIKey("read:users")))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := client.Service.Users.Get(r.Context(), r.URL.Query().Get("id"))
		if err != nil {
			http.Error(w, "try later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, user.Email)
	})
	get := func(id string) {
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, httptest.NewRequest("GET", "/?id="+id, nil))
		fmt.Println(got.Code, strings.TrimSpace(got.Body.String()))
	}

	get(srv.AddServiceUser("ada@example.com").ID)
	srv.Fault(authostest.Fault{Path: "/api/service/users/:user_id", Kind: authostest.TruncateBody})
	get(srv.AddServiceUser("grace@example.com").ID)
	// Output:
	// 200 ada@example.com
	// 503 try later
}

// A day goes by: the access token has expired, and the client refreshes its session.
func ExampleServer_Advance() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	client := srv.Client(authos.WithTokens(srv.SignIn("ada@example.com")))
	srv.Advance(25 * time.Hour)
	user, err := client.User.Get(context.Background())
	fmt.Println(user.Email, err, srv.Count("POST", "/api/auth/refresh"), srv.Replays())
	// Output: ada@example.com <nil> 1 0
}

// A scene as a document, such as a file for the command fakeauthos.
func ExampleServer_Apply() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	scene, err := authostest.ReadScene([]byte(`{"organizations": [{"slug": "shop", "services": [
		{"slug": "web", "users": ["eve@example.com"], "api_keys": [{"name": "ci", "permissions": ["read:users"]}]}]}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := srv.Apply(scene)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := srv.Client(authos.WithAPIKey(made.APIKeys[0].Secret))
	users, err := client.Service.Users.List(context.Background(), authos.ServiceUserListParams{})
	fmt.Println(users.Total, err)
	// Output: 1 <nil>
}

// Two requests fail as if a proxy had lost its backend, then all is well.
func ExampleServer_Fault() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	srv.Fault(authostest.Fault{Path: "/health", Times: 1, Status: http.StatusBadGateway})
	srv.Fault(authostest.Fault{Path: "/health", Times: 1, Kind: authostest.ResetBefore})

	client := http.Client{Transport: srv.Transport()}
	for range 3 {
		resp, err := client.Get(srv.URL + "/health")
		if err != nil {
			fmt.Println("reset:", errors.Is(err, syscall.ECONNRESET))
			continue
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println(srv.Count("GET", "/health"), "requests")
	// Output:
	// 502 Bad Gateway
	// reset: true
	// 200 OK
	// 3 requests
}

// A refresh token works once. Using it again costs the session, so a client that
// repeats a refresh on doubt signs its user out; Replays shows it.
func ExampleServer_Replays() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	tokens := srv.SignIn("ada@example.com")

	client := http.Client{Transport: srv.Transport()}
	for range 2 {
		resp, err := client.Post(srv.URL+"/api/auth/refresh", "application/json",
			strings.NewReader(`{"refresh_token":"`+tokens.RefreshToken+`"}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println(srv.Replays(), "replay")
	// Output:
	// 200 OK
	// 401 Unauthorized
	// 1 replay
}

// A device asks for a code, a user approves it, and the device has its token. The
// code works once: after that it looks as if nobody had decided yet.
func ExampleServer_ApproveDevice() {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	client := http.Client{Transport: srv.Transport()}
	post := func(path, body string, into any) int {
		resp, err := client.Post(srv.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return 0
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			fmt.Println(err)
		}
		return resp.StatusCode
	}

	var device struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	post("/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`, &device)
	poll := `{"client_id":"acme_app","device_code":"` + device.DeviceCode + `","grant_type":"urn:ietf:params:oauth:grant-type:device_code"}`
	for _, step := range []func(){
		func() {},
		func() { srv.ApproveDevice(device.UserCode, "ada@example.com") },
		func() {},
	} {
		step()
		var response struct {
			Code string `json:"error_code"`
			Type string `json:"token_type"`
		}
		fmt.Println(post("/auth/token", poll, &response), response.Code+response.Type)
	}
	// Output:
	// 400 DEVICE_CODE_PENDING
	// 200 Bearer
	// 400 DEVICE_CODE_PENDING
}

// A store of one's own is checked in one call.
func ExampleTestTokenStore() {
	err := authostest.TestTokenStore(func() (authos.TokenStore, error) {
		return &forgetful{}, nil
	})
	if err != nil { // everything that is wrong, one problem a line
		first, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Println(first)
	}
	// Output:
	// origin: ExpiresAt is 1970-01-01 00:00:00 +0000 UTC, want 0001-01-01 00:00:00 +0000 UTC
}

// forgetful keeps seconds since 1970, in which there is no zero time.
type forgetful struct {
	mu              sync.Mutex
	access, refresh string
	origin          string
	expires         int64
	saved           bool
}

func (f *forgetful) Load(context.Context) (authos.Tokens, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.saved {
		return authos.Tokens{}, nil
	}
	return authos.Tokens{AccessToken: f.access, RefreshToken: f.refresh, ExpiresAt: time.Unix(f.expires, 0).UTC(), Origin: f.origin}, nil
}

func (f *forgetful) Save(_ context.Context, t authos.Tokens) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.access, f.refresh, f.origin, f.saved = t.AccessToken, t.RefreshToken, t.Origin, true
	f.expires = max(t.ExpiresAt.Unix(), 0)
	return nil
}

func (f *forgetful) Delete(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved = false
	return nil
}

// Inside a bubble time is virtual: a day passes at once, and the fake's tokens expire by it.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New() // no socket in a bubble
		defer srv.Close()
		session := srv.SignIn("ada@example.com")
		client, err := authos.New(srv.URL, authos.WithHTTPClient(&http.Client{Transport: srv.Transport()}),
			authos.WithTokens(authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()

		time.Sleep(25 * time.Hour)
		var r authos.Response
		if _, err := client.User.Get(t.Context(), authos.WithResponse(&r)); err != nil || !r.Refreshed {
			t.Errorf("Get after a day = %v, refreshed %t, want success with refreshed tokens", err, r.Refreshed)
		}
	})
}
