package authostest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// Every group at once, with events flying and the server closing at the end.
func TestTenantRoutesConcurrently(t *testing.T) {
	hooks := &receiver{statuses: []int{200, 500}}
	srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
	srv.SetLimits("acme", 10_000, 10_000)
	srv.AddWebhook("acme", "http://hooks.example/a")
	owner, key := as(srv, "acme", "owner@acme.example"), "X-Api-Key: "+srv.AddAPIKey()
	plan := srv.AddPlan("acme", "app", "pro", 900)
	const org = "/api/organizations/acme"
	var clients sync.WaitGroup
	for i := range 200 {
		clients.Go(func() {
			c := &client{t, c.base, c.http}
			email, slug := fmt.Sprintf("user%d@example.com", i), fmt.Sprintf("s%d", i)
			id := srv.AddMember("acme", email, "member").ID
			srv.AddServiceUser(email)
			for _, r := range []*http.Request{
				c.request("POST", org+"/services", `{"slug":"`+slug+`","name":"S","service_type":"web"}`, owner),
				c.request("GET", org+"/services", "", owner),
				c.request("PATCH", org+"/members/"+id, `{"role":"admin"}`, owner),
				c.request("GET", org+"/members", "", owner),
				c.request("POST", "/api/service/subscriptions", `{"user_id":"`+id+`","plan_id":"`+plan+`"}`, key),
				c.request("GET", org+"/users?page=2", "", owner),
				c.request("GET", org+"/audit-log", "", owner),
				c.request("GET", org+"/webhooks", "", owner),
				c.request("POST", org+"/select", "", as(srv, "acme", email)),
				c.request("GET", org+"/analytics/login-trends", "", owner),
				c.request("POST", org+"/members/"+id, "", owner),
				c.request("DELETE", org+"/services/"+slug, "", owner),
			} {
				if got, err := c.try(r); err != nil || got.StatusCode >= 300 {
					t.Errorf("%s %s = %v %s, %v", r.Method, r.URL.Path, got.Response, got.body, err)
				}
			}
			srv.Publish("acme", "plan.created", map[string]any{"i": i})
		})
	}
	clients.Wait()
	if got := c.do("GET", org+"/members", "", owner).body; strings.Count(got, `"role":"owner"`) != 1 {
		t.Errorf("members = %s", got)
	}
}
