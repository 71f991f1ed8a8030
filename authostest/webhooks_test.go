package authostest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/authostest"
)

const webhooksPath = "/api/organizations/acme/webhooks"

// receiver takes deliveries in memory. It responds with the statuses in turn, the
// last one for ever; 0 is a network error, and -1 hangs.
type receiver struct {
	statuses []int
	reply    string

	mu   sync.Mutex
	seen []received
}

type received struct {
	at     time.Time
	url    string
	header http.Header
	body   string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.seen = append(r.seen, received{time.Now(), req.URL.String(), req.Header, string(body)})
	status := r.statuses[min(len(r.seen), len(r.statuses))-1]
	r.mu.Unlock()
	switch status {
	case 0:
		return nil, errors.New("nobody is home")
	case -1:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"/elsewhere"}}, Body: io.NopCloser(strings.NewReader(r.reply)), Request: req}, nil
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.seen...)
}

// verify checks a delivery as a receiver should: the secret's own bytes are the
// key, and the body alone is signed.
func verify(t *testing.T, secret string, header http.Header, body string) {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); header.Get("X-Webhook-Signature") != want {
		t.Errorf("X-Webhook-Signature = %q, want %q", header.Get("X-Webhook-Signature"), want)
	}
	if n, err := strconv.ParseInt(header.Get("X-Webhook-Timestamp"), 10, 64); err != nil || time.Since(time.Unix(n, 0)).Abs() > 2*time.Second {
		t.Errorf("X-Webhook-Timestamp = %q, want now", header.Get("X-Webhook-Timestamp"))
	}
	if ct := header.Get("Content-Type"); ct != jsonType {
		t.Errorf("Content-Type = %q", ct)
	}
	for name := range header {
		if strings.HasPrefix(name, "X-") && name != "X-Webhook-Signature" && name != "X-Webhook-Timestamp" {
			t.Errorf("header %s, which the server does not send", name)
		}
	}
}

func TestWebhooks(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	body := func(name, url, events string) string {
		return `{"name":"` + name + `","url":"` + url + `","events":` + events + `}`
	}
	shown := func(name, events, active, secret string) string {
		return `{"id":"<…>","name":"` + name + `","url":"https://hooks.example/a","events":` + events + `,"is_active":` + active + secret +
			`,"created_at":"<…>Z","updated_at":"<…>Z"}`
	}
	const url, login = "https://hooks.example/a", `["user.login.success"]`
	c.walk(
		step{owner, "GET", webhooksPath, "", 200, `{"webhooks":[],"total":0}`},
		step{member, "POST", webhooksPath, body("a", url, login), 403, forbidden("Insufficient permissions to manage webhooks")},
		step{owner, "POST", webhooksPath, `{"name":"a","url":"https://hooks.example/a"}`, 422, missingField("events", "44")},
		step{owner, "POST", webhooksPath, body(" ", url, login), 400, bad("Webhook name cannot be empty")},
		step{owner, "POST", webhooksPath, body("a", "", login), 400, bad("Webhook URL cannot be empty")},
		step{owner, "POST", webhooksPath, body("a", "ftp://x", login), 400, bad("Webhook URL must start with http:// or https://")},
		step{owner, "POST", webhooksPath, body("a", url, "[]"), 400, bad("At least one event must be specified")},
	)
	got := c.do("POST", webhooksPath, body("a", url, `["user.anonymized"]`), owner)
	if got.StatusCode != 400 || !strings.Contains(got.body, `"Invalid event type: user.anonymized. Valid types: user.signup.success, user.login.success, `) {
		t.Errorf("unknown event = %d %s", got.StatusCode, got.body)
	}
	created := c.walk(step{owner, "POST", webhooksPath, body("a", url, login), 200, shown("a", login, "true", `,"secret":"<…>"`)})
	if secret := pick(t, created.body, `"secret":"([^"]+)"`); len(secret) != 44 {
		t.Errorf("secret = %q, want the base64 of 32 bytes", secret)
	}
	one := webhooksPath + "/" + idOf(t, created.body)
	c.walk(
		step{owner, "POST", webhooksPath, body("a", url, login), 400, bad("A webhook with this name already exists")},
		step{owner, "POST", webhooksPath, body("b", url, login), 200, ""},
		step{owner, "GET", one, "", 200, shown("a", login, "true", "")},
		step{owner, "GET", webhooksPath, "", 200, `{"webhooks":[` + shown("b", login, "true", "") + `,` + shown("a", login, "true", "") + `],"total":2}`},
		step{owner, "PATCH", one, `{"name":"b"}`, 400, bad("A webhook with this name already exists")},
		step{owner, "PATCH", one, `{"events":[]}`, 400, bad("At least one event must be specified")},
		step{owner, "PATCH", one, `{}`, 200, shown("a", login, "true", "")},
		step{owner, "PATCH", one, `{"name":"c","events":["user.logout"],"is_active":false}`, 200, shown("c", `["user.logout"]`, "false", "")},
		step{owner, "DELETE", one, "", 200, "null"},
		step{owner, "DELETE", one, "", 404, missing("Webhook not found")},
		step{owner, "GET", one + "/deliveries", "", 404, missing("Webhook not found")},
		step{owner, "POST", one + "/test", "", 404, missing("Webhook not found")},
	)
	types := c.do("GET", webhooksPath+"/event-types", "", member).body
	if n := strings.Count(types, `"value"`); n != 38 ||
		!strings.Contains(types, `{"value":"api_key.created","label":"API KEY CREATED","category":"API Keys"}`) {
		t.Errorf("%d event types: %s", n, types)
	}
	srv.SuspendOrg("acme")
	c.walk(step{owner, "GET", webhooksPath, "", 403, forbidden("Organization is not active. Current status: suspended")})
}

func TestDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{204}, reply: "thanks"}
		srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
		id, secret := srv.AddWebhook("acme", "http://hooks.example/a", "user.login.success", "plan.created")
		srv.AddUser("ada@example.com", "correct horse")
		c.do("POST", "/api/auth/login", `{"email":"ada@example.com","password":"correct horse","org_slug":"acme"}`)
		synctest.Wait()
		srv.Publish("acme", "plan.created", map[string]any{"plan": "<pro>", "a": 1})
		srv.Publish("acme", "plan.deleted", nil) // nobody has subscribed
		srv.Publish("nope", "plan.created", nil)
		synctest.Wait()

		got := hooks.got()
		if len(got) != 2 {
			t.Fatalf("%d deliveries, want 2: %v", len(got), got)
		}
		want := []string{
			`{"actor_email":"ada@example.com","actor_user_id":"<…>","event":"user.login.success","organization_id":"<…>","timestamp":"<…>+00:00"}`,
			`{"data":{"a":1,"plan":"<pro>"},"event":"plan.created","organization_id":"<…>","timestamp":"<…>+00:00"}`,
		}
		for i, d := range got {
			verify(t, secret, d.header, d.body)
			if d.url != "http://hooks.example/a" || !like(d.body, want[i]) {
				t.Errorf("delivery %d to %s = %s, want %s", i, d.url, d.body, want[i])
			}
		}
		// The first attempt succeeded, so none is counted.
		row := func(event, payload string) string {
			return `{"id":"<…>","webhook_id":"` + id + `","webhook_name":"<…>","event_type":"` + event + `","payload":` + payload +
				`,"response_status_code":204,"response_body":"thanks","attempt_count":0,"max_attempts":5,"next_retry_at":null,"delivered":true,` +
				`"delivery_error":null,"created_at":"<…>Z","updated_at":"<…>Z"}`
		}
		page := func(total, rows string) string {
			return `{"deliveries":[` + rows + `],"pagination":{"page":1,"limit":50,"total":` + total + `,"total_pages":` + total[:1] +
				`,"has_next":false,"has_prev":false}}`
		}
		owner, path := as(srv, "acme", "owner@acme.example"), webhooksPath+"/"+id+"/deliveries"
		synctest.Wait()
		c.walk(
			step{owner, "GET", path + "?event_type=plan.created", "", 200, page("1", row("plan.created", got[1].body))},
			step{owner, "GET", path + "?delivered=false", "", 200, page("0", "")},
			step{owner, "GET", path + "?delivered=maybe", "", 400, "Failed to deserialize query string: provided string was not `true` or `false`"},
			step{owner, "GET", path + "?limit=x", "", 400, "Failed to deserialize query string: invalid digit found in string"},
		)
		// Another login: the owner's, in between.
		if n := strings.Count(c.do("GET", path+"?delivered=true", "", owner).body, `"delivered":true`); n != 3 {
			t.Errorf("%d deliveries, want 3", n)
		}
	})
}

func TestDeliveryRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{500, 0, 302, 410, 200}, reply: "no"}
		srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
		id, secret := srv.AddWebhook("acme", "http://hooks.example/a", "plan.created")
		owner, path := as(srv, "acme", "owner@acme.example"), webhooksPath+"/"+id+"/deliveries"
		start := time.Now()
		srv.Publish("acme", "plan.created", nil)
		synctest.Wait()
		state := func(status, reply, attempts, next, delivered, problem string) {
			t.Helper()
			got := c.do("GET", path, "", owner).body
			want := `"response_status_code":` + status + `,"response_body":` + reply + `,"attempt_count":` + attempts +
				`,"max_attempts":5,"next_retry_at":` + next + `,"delivered":` + delivered + `,"delivery_error":` + problem + `,`
			if !strings.Contains(got, want) {
				t.Errorf("after %v: %s, want …%s…", time.Since(start), got, want)
			}
		}
		state("500", `"no"`, "1", `"2000-01-01T00:01:00Z"`, "false", `"HTTP 500: no"`)
		time.Sleep(time.Minute + time.Second)
		state("500", `"no"`, "2", `"2000-01-01T00:03:00Z"`, "false", `"Network error: Post \"http://hooks.example/a\": nobody is home"`)
		time.Sleep(2 * time.Minute)
		state("302", `"no"`, "3", `"2000-01-01T00:07:00Z"`, "false", `"HTTP 302: no"`)
		time.Sleep(4 * time.Minute)
		state("410", `"no"`, "4", `"2000-01-01T00:15:00Z"`, "false", `"HTTP 410: no"`)
		time.Sleep(8 * time.Minute)
		state("200", `"no"`, "4", "null", "true", "null")

		for i, after := range []int{0, 1, 3, 7, 15} {
			d := hooks.got()[i]
			if got := d.at.Sub(start); got != time.Duration(after)*time.Minute {
				t.Errorf("attempt %d after %v, want %d min", i+1, got, after)
			}
			if d.body != hooks.got()[0].body {
				t.Errorf("attempt %d has another body", i+1)
			}
			if want := strconv.FormatInt(d.at.Unix(), 10); d.header.Get("X-Webhook-Timestamp") != want {
				t.Errorf("attempt %d stamped %s, want %s", i+1, d.header.Get("X-Webhook-Timestamp"), want)
			}
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(d.body))
			if d.header.Get("X-Webhook-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
				t.Errorf("attempt %d has a bad signature", i+1)
			}
		}
	})
}

func TestDeliveryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{503}, reply: strings.Repeat("x", 10_001)}
		srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
		id, _ := srv.AddWebhook("acme", "http://hooks.example/a", "plan.created")
		owner, path := as(srv, "acme", "owner@acme.example"), webhooksPath+"/"+id+"/deliveries"
		srv.Publish("acme", "plan.created", nil)
		time.Sleep(time.Hour)
		if n := len(hooks.got()); n != 5 {
			t.Errorf("%d attempts, want 5", n)
		}
		got := c.do("GET", path, "", owner).body
		if !strings.Contains(got, `xx... (truncated)","attempt_count":5,"max_attempts":5,"next_retry_at":null,"delivered":false,`) {
			t.Errorf("delivery = …%s", got[len(got)-400:])
		}

		// What was queued is looked at again before each attempt.
		srv.Publish("acme", "plan.created", nil)
		synctest.Wait()
		c.walk(step{owner, "PATCH", webhooksPath + "/" + id, `{"is_active":false}`, 200, ""})
		time.Sleep(time.Hour)
		if n := len(hooks.got()); n != 6 {
			t.Errorf("%d attempts, want 6: the webhook was turned off after one", n)
		}
		got = c.do("GET", path+"?limit=1", "", owner).body
		if !strings.Contains(got, `"attempt_count":5,"max_attempts":5,"next_retry_at":null,"delivered":false,`+
			`"delivery_error":"Webhook or parent organization is inactive"`) {
			t.Errorf("delivery = …%s", got[len(got)-400:])
		}
		srv.Publish("acme", "plan.created", nil)
		c.walk(step{owner, "PATCH", webhooksPath + "/" + id, `{"is_active":true}`, 200, ""})
		srv.Publish("acme", "plan.created", nil)
		synctest.Wait()
		c.walk(step{owner, "DELETE", webhooksPath + "/" + id, "", 200, "null"})
		time.Sleep(time.Hour)
		if n := len(hooks.got()); n != 7 {
			t.Errorf("%d attempts, want 7: the webhook was deleted after one", n)
		}
	})
}

func TestWebhookPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{200}}
		srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
		id, secret := srv.AddWebhook("acme", "http://hooks.example/a", "plan.created")
		owner := as(srv, "acme", "owner@acme.example")
		c.walk(step{owner, "POST", webhooksPath + "/" + id + "/test", "", 200, `{"success":true,"job_id":"<…>","delivery_id":"<…>"}`})
		synctest.Wait()
		got := hooks.got()
		if len(got) != 1 || !like(got[0].body, `{"actor_user_id":"<…>","event":"webhook.test.ping",`+
			`"message":"This is a test event triggered from the AuthOS dashboard.","organization_id":"<…>","timestamp":"<…>+00:00"}`) {
			t.Fatalf("deliveries = %v", got)
		}
		verify(t, secret, got[0].header, got[0].body)
	})
}

func TestSignupEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{200}}
		srv, c := inMemory(t, authostest.WithWebhookTransport(hooks))
		srv.AddWebhook("acme", "http://hooks.example/a", "user.signup.success")
		key := "X-Api-Key: " + srv.AddAPIKey()
		srv.AddUser("old@example.com", "")
		for _, email := range []string{"new@example.com", "new@example.com", "old@example.com"} {
			c.do("POST", "/api/service/users", `{"email":"`+email+`"}`, key)
		}
		synctest.Wait()
		got := hooks.got()
		if len(got) != 1 || !strings.Contains(got[0].body, `"actor_email":"new@example.com"`) ||
			!strings.Contains(got[0].body, `"data":{"api_key_method":true,"service_id":"`) {
			t.Errorf("deliveries = %v, want one for the new user", got)
		}
	})
}

// Deliveries over real sockets, by default.
func TestDeliveryOverSockets(t *testing.T) {
	type delivery struct {
		header http.Header
		body   string
	}
	arrived := make(chan delivery, 1)
	hooks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- delivery{r.Header, string(body)}
	}))
	defer hooks.Close()
	srv, c := overSocket(t)
	_, secret := srv.AddWebhook("acme", hooks.URL)
	srv.Publish("acme", "plan.created", nil)
	d := <-arrived
	verify(t, secret, d.header, d.body)

	// Nobody outside of this machine is called.
	id, _ := srv.AddWebhook("acme", "https://hooks.example.com/a", "plan.deleted")
	srv.Publish("acme", "plan.deleted", nil)
	<-arrived
	owner := as(srv, "acme", "owner@acme.example")
	<-arrived // the sign-in
	for {
		got := c.do("GET", webhooksPath+"/"+id+"/deliveries", "", owner).body
		if strings.Contains(got, "webhooks go to loopback addresses only") {
			break
		}
		if t.Context().Err() != nil || !strings.Contains(got, `"delivery_error":null`) {
			t.Fatalf("deliveries = %s", got)
		}
	}
}

func TestCloseEndsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging, failing := &receiver{statuses: []int{-1}}, &receiver{statuses: []int{500}}
		for _, hooks := range []*receiver{hanging, failing} {
			srv := authostest.New(authostest.WithWebhookTransport(hooks))
			srv.AddWebhook("acme", "http://hooks.example/a")
			srv.Publish("acme", "plan.created", nil)
			synctest.Wait()
			srv.Close() // a goroutine that is left would end the test badly
			srv.Publish("acme", "plan.created", nil)
			time.Sleep(time.Hour)
			if n := len(hooks.got()); n != 1 {
				t.Errorf("%d attempts, want 1", n)
			}
		}
	})
}

func TestReceiverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hooks := &receiver{statuses: []int{-1, 200}}
		srv, _ := inMemory(t, authostest.WithWebhookTransport(hooks))
		srv.AddWebhook("acme", "http://hooks.example/a")
		srv.Publish("acme", "plan.created", nil)
		time.Sleep(time.Hour)
		got := hooks.got()
		if len(got) != 2 || got[1].at.Sub(got[0].at) != time.Minute+30*time.Second {
			t.Errorf("deliveries = %v, want a second 90 s after the first", got)
		}
	})
}

func TestPublishPanicsOnNonsense(t *testing.T) {
	srv, _ := inMemory(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	srv.Publish("acme", "plan.created", map[string]any{"f": func() {}})
}
