package authostest_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

type deviceGrant struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int
}

func requestDevice(t *testing.T, c *client) deviceGrant {
	t.Helper()
	return parse[deviceGrant](t, c.walk(step{method: "POST", path: "/auth/device/code",
		body: `{"client_id":"acme_app","org":"acme","service":"app"}`, status: 200}).body)
}

func pollBody(code, client, grantType string) string {
	return `{"device_code":"` + code + `","client_id":"` + client + `","grant_type":"` + grantType + `"}`
}

// poll is what the device does, and what it should see.
func (g deviceGrant) poll(status int, want string) step {
	return step{method: "POST", path: "/auth/token", body: pollBody(g.DeviceCode, "acme_app", deviceGrantType), status: status, want: want}
}

var (
	pending = realError("DEVICE_CODE_PENDING", "Authorization pending")
	expired = realError("DEVICE_CODE_EXPIRED", "Device code expired")
	granted = `{"access_token":"<…>","token_type":"Bearer","expires_in":86400}`
)

func TestDeviceFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		grant := requestDevice(t, c)
		if !regexp.MustCompile(`^[A-HJKMNP-Z2-9]{4}-[A-HJKMNP-Z2-9]{4}$`).MatchString(grant.UserCode) ||
			grant.ExpiresIn != 900 || grant.Interval != 5 || grant.VerificationURI != "https://app.acme.example/activate" {
			t.Errorf("device/code = %+v", grant)
		}
		verify := func(code string) step {
			return step{method: "POST", path: "/auth/device/verify", body: `{"user_code":"` + code + `"}`, status: 400, want: bad("Invalid or unavailable user code")}
		}
		fine := verify(grant.UserCode)
		fine.status, fine.want = 200, `{"org_slug":"acme","service_slug":"app","available_providers":[]}`
		c.walk(
			grant.poll(400, pending),
			verify("x"), verify(strings.ToLower(grant.UserCode)), fine,
			step{method: "POST", path: "/auth/token", body: pollBody("x", "acme_app", deviceGrantType), status: 400, want: bad("Invalid device code")},
			step{method: "POST", path: "/auth/token", body: pollBody(grant.DeviceCode, "other", deviceGrantType), status: 401, want: realError("UNAUTHORIZED", "Invalid client")},
			step{method: "POST", path: "/auth/token", body: pollBody(grant.DeviceCode, "acme_app", "x"), status: 400, want: bad("Invalid grant type")},
			step{method: "POST", path: "/auth/token", body: "{}", status: 422, want: missingField("client_id", "2")},
		)
		if !srv.ApproveDevice(grant.UserCode, "ada@example.com") || srv.ApproveDevice(grant.UserCode, "ada@example.com") {
			t.Error("a code is approved exactly once")
		}
		c.walk(verify(grant.UserCode))
		token := parse[tokenBody](t, c.walk(grant.poll(200, granted)).body).AccessToken
		if aud := decodePayload(t, token)["aud"]; aud != "service:acme/app" {
			t.Errorf("aud = %v", aud)
		}
		c.walk(
			step{method: "GET", path: "/api/user", auth: bearer(token), status: 200},
			grant.poll(400, pending), // consumed looks pending
		)
		time.Sleep(15 * time.Minute)
		c.walk(grant.poll(400, pending))
		time.Sleep(time.Nanosecond)
		c.walk(grant.poll(400, expired))
	})
}

func TestDeniedDeviceLooksPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		grant := requestDevice(t, c)
		if !srv.DenyDevice(grant.UserCode) || srv.DenyDevice(grant.UserCode) || srv.DenyDevice("x") {
			t.Error("a code is denied exactly once")
		}
		c.walk(grant.poll(400, pending))
		time.Sleep(15*time.Minute + time.Second)
		c.walk(grant.poll(400, expired))
		late := requestDevice(t, c)
		time.Sleep(15*time.Minute + time.Second)
		if srv.ApproveDevice(late.UserCode, "ada@example.com") {
			t.Error("an expired code was approved")
		}
	})
}

func TestDeviceCodeInput(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddService("acme", "bare")
	code := func(client, org, service, want string) step {
		return step{method: "POST", path: "/auth/device/code", status: 400, want: want,
			body: `{"client_id":"` + client + `","org":"` + org + `","service":"` + service + `"}`}
	}
	c.walk(
		step{method: "POST", path: "/auth/device/code", body: "{}", status: 400, want: bad("Invalid JSON data: missing field `client_id` at line 1 column 2")},
		code(strings.Repeat("x", 501), "acme", "app", bad("client_id too long")),
		code("acme_app", strings.Repeat("x", 101), "app", bad("org slug too long")),
		code("acme_app", "acme", "a/b", bad("service slug contains invalid characters")),
		code("acme_app", "acme", "nope", bad("Invalid client credentials")),
		code("acme_bare", "acme", "app", bad("Invalid client credentials")),
		code("platform-other", "platform", "admin-cli", bad("Invalid client credentials")),
	)
}

// TestDeviceAccessIsCheckedAgain: what happens between approval and the poll counts,
// and the code stays good.
func TestDeviceAccessIsCheckedAgain(t *testing.T) {
	srv, c := inMemory(t)
	grant := requestDevice(t, c)
	srv.ApproveDevice(grant.UserCode, "ada@example.com")
	srv.SetRole("acme", "ada@example.com", "")
	c.walk(grant.poll(403, forbidden("You do not have access to this service")))
	srv.SuspendOrg("acme")
	c.walk(grant.poll(403, forbidden("Organization is not active. Current status: suspended")))
	srv.ActivateOrg("acme")
	srv.SetRole("acme", "ada@example.com", "member")
	c.walk(grant.poll(200, granted))
}

func TestPlatformCLI(t *testing.T) {
	srv, c := inMemory(t)
	grant := parse[deviceGrant](t, c.walk(step{method: "POST", path: "/auth/device/code", status: 200,
		body: `{"client_id":"platform-admin-cli","org":"platform","service":"admin-cli"}`}).body)
	c.walk(step{method: "POST", path: "/auth/device/verify", body: `{"user_code":"` + grant.UserCode + `"}`, status: 200,
		want: `{"org_slug":"platform","service_slug":"admin-cli","available_providers":["github","google","microsoft"]}`})
	poll := step{method: "POST", path: "/auth/token", body: pollBody(grant.DeviceCode, "platform-admin-cli", deviceGrantType)}
	srv.ApproveDevice(grant.UserCode, "ada@example.com")
	poll.status = 403
	c.walk(poll)
	srv.AddPlatformOwner("ada@example.com", "")
	poll.status = 200
	token := parse[tokenBody](t, c.walk(poll).body).AccessToken
	c.walk(step{method: "GET", path: "/api/platform/tiers", auth: bearer(token), status: 200})
}

// TestOnePollWins: a code gives one token however many ask at once.
func TestOnePollWins(t *testing.T) {
	bothWays(t, func(t *testing.T, srv *authostest.Server, c *client) {
		grant := requestDevice(t, c)
		srv.ApproveDevice(grant.UserCode, "ada@example.com")
		statuses := make(chan int, 50)
		var group sync.WaitGroup
		for range cap(statuses) {
			req := c.request("POST", "/auth/token", pollBody(grant.DeviceCode, "acme_app", deviceGrantType))
			group.Go(func() {
				got, err := c.try(req)
				if err != nil {
					t.Error(err)
				}
				statuses <- got.StatusCode
			})
		}
		group.Wait()
		close(statuses)
		won := 0
		for status := range statuses {
			if status == 200 {
				won++
			}
		}
		if won != 1 || srv.Applied()["POST /auth/token"] != 1 {
			t.Errorf("%d polls won, want 1", won)
		}
	})
}
