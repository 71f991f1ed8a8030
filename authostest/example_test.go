package authostest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"

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
