package authostest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// TestThousandClients is for the race detector. Each client has a user of its own,
// so what it sees must be its own doing, whatever the others do.
func TestThousandClients(t *testing.T) {
	const clients = 1000
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		if transport, ok := c.http.Transport.(*http.Transport); ok {
			transport.MaxConnsPerHost = 64
		}
		key := "X-Api-Key: " + srv.AddAPIKey()
		srv.AddPlatformOwner("root@example.com", "")
		root := bearer(srv.SignIn("root@example.com").AccessToken)
		var group sync.WaitGroup
		for i := range clients {
			group.Go(func() {
				email := fmt.Sprintf("user%d@example.com", i)
				do := func(status int, method, path, body string, headers ...string) reply {
					got, err := c.try(c.request(method, path, body, headers...))
					if err != nil {
						t.Errorf("%s: %s %s: %v", email, method, path, err)
					} else if got.StatusCode != status {
						t.Errorf("%s: %s %s = %d %s, want %d", email, method, path, got.StatusCode, got.body, status)
					}
					return got
				}
				made := do(201, "POST", userPath, `{"email":"`+email+`"}`, key)
				do(200, "POST", userPath, `{"email":"`+email+`"}`, key)
				do(200, "GET", userPath+"?limit=5", "", key)
				if i%4 == 0 {
					tokens := srv.SignIn(email)
					auth := bearer(tokens.AccessToken)
					if got := do(200, "GET", "/api/user", "", auth); !strings.Contains(got.body, `"email":"`+email+`"`) {
						t.Errorf("%s has the profile %s", email, got.body)
					}
					do(200, "PATCH", "/api/user", "{}", auth)
					do(200, "POST", "/api/user/mfa/setup", "", auth)
					do(200, "GET", "/api/organizations", "", auth)
					do(200, "POST", "/api/auth/refresh", refreshBody(tokens.RefreshToken))
					do(401, "GET", "/api/user", "", auth)
				}
				switch i % 50 {
				case 1:
					do(200, "GET", "/api/platform/analytics/overview", "", root)
					do(200, "GET", "/api/platform/users?limit=100", "", root)
				case 2:
					remove := srv.Fault(authostest.Fault{Path: "/nowhere", Status: 502})
					srv.Requests()
					srv.Applied()
					remove()
				case 3:
					do(200, "POST", "/auth/device/code", `{"client_id":"acme_app","org":"acme","service":"app"}`)
					srv.AddDevice(email, "laptop")
				}
				if _, id, ok := strings.Cut(made.body, `{"id":"`); ok {
					do(204, "DELETE", userPath+"/"+id[:36], "", key)
				}
			})
		}
		group.Wait()
		made, gone := srv.Applied()["POST "+userPath], 0
		for what, n := range srv.Applied() {
			if strings.HasPrefix(what, "DELETE "+userPath+"/") {
				gone += n
			}
		}
		if made != clients || gone != clients || srv.Replays() != 0 {
			t.Errorf("%d users made, %d deleted, %d replays; want %d, %d, 0", made, gone, srv.Replays(), clients, clients)
		}
	})
}
