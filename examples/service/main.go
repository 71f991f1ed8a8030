// Service is a backend with an API key: it lists its users with an iterator, and shows what it does
// about every kind of failure. It starts a fake AuthOS in process; with AUTHOS_BASE_URL and
// AUTHOS_API_KEY set, it only lists the users of that server's service.
//
//	go run ./examples/service
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func main() {
	ctx := context.Background()
	if base, key := os.Getenv("AUTHOS_BASE_URL"), os.Getenv("AUTHOS_API_KEY"); base != "" && key != "" {
		report("users", listUsers(ctx, newClient(base, key)))
		return
	}
	srv := authostest.New()
	defer srv.Close()
	for i := range 250 {
		srv.AddServiceUser(fmt.Sprintf("user%03d@example.com", i))
	}
	client := newClient(srv.URL, srv.AddAPIKey("read:users", "write:users", "read:service"))
	report("users", listUsers(ctx, client))
	_, err := client.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "not an address"})
	report("bad input", err)
	_, err = client.Service.Users.Get(ctx, "nobody")
	report("not there", err)
	report("no permission", client.Service.Users.Delete(ctx, "somebody"))

	_, err = newClient(srv.URL, "sk_0123456789ab_wrong").Service.Info(ctx)
	report("wrong key", err)
	srv.Fault(authostest.Fault{Path: "/api/service/info", Times: 1, Body: "<html>", Status: http.StatusOK})
	_, err = client.Service.Info(ctx)
	report("no JSON", err)
	srv.Fault(authostest.Fault{Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"300"}}})
	// a client of its own: the wait would hold up the others' calls too
	_, err = newClient(srv.URL, srv.AddAPIKey()).Service.Info(ctx)
	report("rate limit", err)
	srv.Outage(http.StatusBadGateway)
	for call := range 6 { // after five failures the circuit is open
		_, err = client.Service.Subscriptions.Create(ctx, authos.ServiceSubscriptionCreateParams{UserID: "u", PlanID: "p"})
		if call == 0 || call == 5 {
			report(fmt.Sprint("outage ", call+1), err)
		}
	}
}

func newClient(base, key string) *authos.Client {
	client, err := authos.New(base, authos.WithAPIKey(key))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func listUsers(ctx context.Context, client *authos.Client) error {
	n, last := 0, ""
	for user, err := range client.Service.Users.All(ctx, authos.ServiceUserListParams{}) {
		if err != nil {
			return err // the iteration has ended
		}
		n, last = n+1, user.Email
	}
	fmt.Printf("  %d users, the last one is %s\n", n, last)
	return nil
}

// report says what a backend does about a failure. Each of these types unwraps to the server's
// response, an *APIError, where there was one.
func report(what string, err error) {
	for _, rule := range []struct {
		applies bool
		action  string
	}{
		{err == nil, "nothing: all is well"},
		{errors.As(err, new(*authos.ValidationError)), "fix the input"},
		{errors.As(err, new(*authos.RateLimitError)), "come back at the time it says"},
		{errors.As(err, new(*authos.CircuitOpenError)), "return 503 to your own caller: the server has been failing"},
		{errors.Is(err, authos.ErrOutcomeUnknown), "read it back before you repeat it: it may have happened"},
		{errors.As(err, new(*authos.NetworkError)), "try again later: no response"},
		{errors.As(err, new(*authos.DecodeError)), "check the base URL: something else responds there"},
		{errors.Is(err, authos.ErrUnauthenticated), "replace the key: it is wrong, over, or its organization suspended"},
		{errors.Is(err, authos.ErrForbidden), "make a key that may do this"},
		{errors.Is(err, authos.ErrNotFound), "believe it: not there, or not yours"},
		{true, "tell the operator"},
	} {
		if rule.applies {
			fmt.Printf("%-15s%s\n               %v\n", what+":", rule.action, err)
			return
		}
	}
}
