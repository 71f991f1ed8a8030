package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/authostest"
	"github.com/authos-go/authos/webhook"
)

// verified is the event of a body that is signed well.
func verified(body string) (webhook.Event, error) {
	return webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Verify(deliveryHeader(testSecret, body), []byte(body))
}

func TestEvent(t *testing.T) {
	noon := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, body string
		want       webhook.Event // without ID and Body
	}{
		{
			"everything",
			`{"event":"user.role_updated","timestamp":"2026-05-20T12:00:00+00:00","organization_id":"o","actor_user_id":"a","actor_email":"e",` +
				`"target_type":"user","target_id":"t","data":{"role":"admin"}}`,
			webhook.Event{
				Type: webhook.EventUserRoleUpdated, Timestamp: noon, OrgID: "o", ActorUserID: "a", ActorEmail: "e",
				TargetType: "user", TargetID: "t", Data: json.RawMessage(`{"role":"admin"}`),
			},
		},
		{"the least", `{"event":"user.logout"}`, webhook.Event{Type: webhook.EventUserLogout}},
		{"a type of a newer server", `{"event":"moon.landed"}`, webhook.Event{Type: "moon.landed"}},
		{"null data", `{"event":"x","data": null }`, webhook.Event{Type: "x"}},
		{"data that are no object", `{"event":"x","data":[1]}`, webhook.Event{Type: "x", Data: json.RawMessage(`[1]`)}},
		{"nulls", `{"event":"x","timestamp":null,"actor_email":null,"target_id":null}`, webhook.Event{Type: "x"}},
		{
			"members of other types", `{"actor_email":1,"event":"x","organization_id":{},"target_id":"t","timestamp":5}`,
			webhook.Event{Type: "x", TargetID: "t"},
		},
		{"nanoseconds", `{"event":"x","timestamp":"2026-05-20T12:00:00.000000001+00:00"}`, webhook.Event{Type: "x", Timestamp: noon.Add(1)}},
		{"another offset", `{"event":"x","timestamp":"2026-05-20T14:00:00+02:00"}`, webhook.Event{Type: "x", Timestamp: noon}},
		{"Z", `{"event":"x","timestamp":"2026-05-20T12:00:00.5Z"}`, webhook.Event{Type: "x", Timestamp: noon.Add(time.Second / 2)}},
		{"no zone", `{"event":"x","timestamp":"2026-05-20T12:00:00.5"}`, webhook.Event{Type: "x", Timestamp: noon.Add(time.Second / 2)}},
		{"the database's text", `{"event":"x","timestamp":"2026-05-20 12:00:00"}`, webhook.Event{Type: "x", Timestamp: noon}},
		{"no time", `{"event":"x","timestamp":"soon"}`, webhook.Event{Type: "x"}},
		{"space around", " \n{\"event\":\"x\"}\n", webhook.Event{Type: "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := verified(tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != tt.body || len(got.ID) != 64 {
				t.Errorf("Body = %q, ID = %q", got.Body, got.ID)
			}
			tt.want.Body, tt.want.ID = got.Body, got.ID
			if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", tt.want) {
				t.Errorf("event = %#v\nwant    %#v", got, tt.want)
			}
		})
	}
}

func TestAuthenticBodiesThatAreNoEvents(t *testing.T) {
	for _, body := range []string{
		"", " ", "null", "true", `"event"`, "[]", `[{"event":"x"}]`, "{}", `{"event":""}`, `{"event":null}`, `{"event":5}`, `{"event":{"x":1}}`,
		`{"type":"x"}`, `{"event":"x"`, `{"event":"x"}{}`, `{"event":"x"} trailing-secret`, "<html>", "event=x", "\xff\xfe",
		strings.Repeat("[", 100_000),
	} {
		e, err := verified(body)
		if !errors.Is(err, webhook.ErrPayload) || e.ID != "" {
			t.Errorf("Verify(%.40q) = %v, %v, want ErrPayload", body, e, err)
		}
		if err != nil && strings.Contains(err.Error(), "trailing-secret") {
			t.Errorf("the error holds the body: %v", err)
		}
	}
}

func TestDecodeData(t *testing.T) {
	type plan struct {
		Plan string `json:"plan"`
	}
	e, err := verified(testBody)
	if err != nil {
		t.Fatal(err)
	}
	var got plan
	if err := e.DecodeData(&got); err != nil || got.Plan != "pro" {
		t.Errorf("DecodeData = %v, %v", got, err)
	}
	var wrong []string
	if err := e.DecodeData(&wrong); err == nil {
		t.Error("an object was decoded into a slice")
	}
	if err := (webhook.Event{}).DecodeData(&got); !errors.Is(err, io.EOF) {
		t.Errorf("DecodeData without data = %v, want io.EOF", err)
	}
}

// An event that is logged by accident tells nothing about persons.
func TestEventPrintsWithoutContent(t *testing.T) {
	e, err := verified(testBody)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %s\n", e, e, e)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "event", e)
	if s := out.String(); strings.Contains(s, "ada") || strings.Contains(s, "pro\"") || strings.Count(s, e.ID) != 4 ||
		!strings.Contains(s, `"type":"subscription.created"`) || !strings.Contains(s, `"organization_id":"org_1"`) {
		t.Errorf("the event prints as %s", s)
	}
}

// The constants are the events that a server lets one subscribe to, and the ping.
func TestEventTypesAreTheServers(t *testing.T) {
	srv := authostest.New(authostest.InMemory())
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/api/organizations/acme/webhooks/event-types", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+srv.SignIn("owner@acme.example").AccessToken)
	resp, err := srv.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var types []struct{ Value string }
	if err := json.NewDecoder(resp.Body).Decode(&types); err != nil || len(types) == 0 {
		t.Fatal(err, types)
	}
	want := []string{string(webhook.EventWebhookTestPing)}
	for _, e := range types {
		want = append(want, e.Value)
	}
	got := constantsOf(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("constants %q\nserver    %q", got, want)
	}
}

// constantsOf reads the values of the constants of type EventType from the source.
func constantsOf(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "EventType" {
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no literal", spec.Names[0].Name)
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			// EventUserMFAVerifyFailed is user.mfa.verify.failed.
			name := "event" + strings.NewReplacer(".", "", "_", "").Replace(value)
			if !strings.EqualFold(spec.Names[0].Name, name) {
				t.Errorf("%s = %q", spec.Names[0].Name, value)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}
