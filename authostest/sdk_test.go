package authostest_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// everyContract are the servers that a client may meet.
var everyContract = map[string][]authostest.Option{
	"newest":             {authostest.WithContract(authostest.Newest)},
	"October 2025":       {authostest.WithContract(authostest.October2025)},
	"documented":         {authostest.WithContract(authostest.Documented)},
	"documented nested":  {authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Nested)},
	"documented problem": {authostest.WithContract(authostest.Documented), authostest.WithErrorFormat(authostest.Problem)},
}

// TestClientOnEveryContract: what the client promises does not depend on the server's generation.
func TestClientOnEveryContract(t *testing.T) {
	for name, opts := range everyContract {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authostest.New(opts...)
				defer srv.Close()
				client := srv.Client(authos.WithTokens(srv.SignIn("ada@example.com")))
				defer client.Close()
				ctx := t.Context()
				time.Sleep(time.Minute)

				// An expired token costs one refresh, however many callers meet it.
				srv.ExpireAccessTokens()
				var group sync.WaitGroup
				for range 50 {
					group.Go(func() {
						if user, err := client.User.Get(ctx); err != nil || user.Email != "ada@example.com" {
							t.Errorf("Get = %+v, %v", user, err)
						}
					})
				}
				group.Wait()
				if n := srv.Count(http.MethodPost, "/api/auth/refresh"); n != 1 || srv.Replays() != 0 {
					t.Errorf("%d refreshes, %d replays, want 1 and 0", n, srv.Replays())
				}
				time.Sleep(25 * time.Hour)
				if _, err := client.User.Get(ctx); err != nil {
					t.Errorf("a day later: %v", err)
				}

				// What is safe to repeat is repeated, what it means is known.
				srv.Fault(authostest.Fault{Path: "/api/user", Times: 2, Status: http.StatusServiceUnavailable})
				if _, err := client.User.Get(ctx); err != nil {
					t.Errorf("after two faults: %v", err)
				}
				list, err := client.Organizations.List(ctx, authos.OrganizationListParams{})
				if err != nil || len(list.Items) != 1 || list.Items[0].Slug != "acme" || list.Items[0].Tier == nil || len(list.Items[0].Tier.ID) == 0 {
					t.Errorf("List = %+v, %v", list, err)
				}
				if _, err := client.Organizations.Get(ctx, "nobody"); !errors.Is(err, authos.ErrNotFound) {
					t.Errorf("Get of nobody = %v, want ErrNotFound", err)
				}
				if _, err := client.Platform.Tiers(ctx); !errors.Is(err, authos.ErrForbidden) {
					t.Errorf("Tiers = %v, want ErrForbidden", err)
				}

				// A session that is over says so, and so does the server.
				if err := client.Auth.Logout(ctx); err != nil {
					t.Errorf("Logout = %v", err)
				}
				if _, err := client.User.Get(ctx); !errors.Is(err, authos.ErrUnauthenticated) {
					t.Errorf("Get after that = %v, want ErrUnauthenticated", err)
				}
			})
		})
	}
}
