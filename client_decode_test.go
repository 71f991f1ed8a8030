package authos_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

// A name that differs by case only does not override the one that is spelled as the server spells
// it, wherever it stands; what is anybody's own JSON stays whole.
func TestNamesThatDifferByCase(t *testing.T) {
	at := `"created_at":"2026-05-20T12:00:00Z"`
	for _, tt := range []struct {
		name, body string
		call       func(c *authos.Client) (any, error)
		want       any
	}{
		{"after", `{"id":"u1","ID":"u2","email":"a@b",` + at + `}`, userID(t), "u1"},
		{"before", `{"Id":"u2","id":"u1","email":"a@b"}`, userID(t), "u1"},
		{"escaped", `{"id":"u1","\u0049D":"u2"}`, userID(t), "u1"},
		{"letters that fold", "{\"id\":\"u1\",\"i\u0111\":\"x\",\"\u0130D\":\"u2\",\"iD\" : \"u3\"}", userID(t), "u1"},
		{"alone", `{"ID":"u1"}`, userID(t), "u1"},
		{"twice the same", `{"id":"u0","id":"u1"}`, userID(t), "u1"},
		{"in a list", `{"users":[{"id":"u1","ID":"u2"}],"Users":[],"total":1,"TOTAL":9}`, func(c *authos.Client) (any, error) {
			page, err := c.Service.Users.List(t.Context(), authos.ServiceUserListParams{})
			if err != nil {
				return nil, err
			}
			return []any{page.Items[0].ID, page.Total}, nil
		}, []any{"u1", int64(1)}},
		{"in an embedded struct", `{"organization":{"id":"o1","Id":"o2","slug":"acme"},"Organization":{"id":"o3"},"tier":null}`, func(c *authos.Client) (any, error) {
			o, err := c.Organizations.Get(t.Context(), "acme")
			if err != nil {
				return nil, err
			}
			return o.ID, nil
		}, "o1"},
		{"beside a type of its own", `[{"id":"i1","ID":"i2","organization":{"slug":"acme","Slug":"evil"}}]`, func(c *authos.Client) (any, error) {
			list, err := c.Invitations.List(t.Context())
			if err != nil {
				return nil, err
			}
			return list[0].ID + " " + list[0].OrgSlug, nil
		}, "i1 acme"},
		{"in raw JSON", `{"deliveries":[{"id":"d1","Id":"d2","payload":{"id":"a","ID":"b"}}],"pagination":{}}`, func(c *authos.Client) (any, error) {
			page, err := c.Organizations.Webhooks.Deliveries(t.Context(), "acme", "w", authos.DeliveryListParams{})
			if err != nil {
				return nil, err
			}
			return page.Items[0].ID + " " + string(page.Items[0].Payload), nil
		}, `d1 {"id":"a","ID":"b"}`},
		{"in a map", `{"enabled":true,"Enabled":false,"attribute_mapping":{"mail":"a","Mail":"b"}}`, func(c *authos.Client) (any, error) {
			saml, err := c.Organizations.SAML.Get(t.Context(), "acme", "app")
			if err != nil {
				return nil, err
			}
			return []any{saml.Enabled, saml.AttributeMapping["mail"], saml.AttributeMapping["Mail"]}, nil
		}, []any{true, "a", "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := clientWithoutBreaker(t, scripted(reply{status: 200, body: tt.body}), authos.WithAPIKey("sk_a_key"), authos.WithTokens(authos.Tokens{AccessToken: "a"}))
			if got, err := tt.call(c); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s is read as %v, %v; want %v", tt.body, got, err, tt.want)
			}
		})
	}
}

func userID(t *testing.T) func(c *authos.Client) (any, error) {
	return func(c *authos.Client) (any, error) {
		u, err := c.Service.Users.Get(t.Context(), "u1")
		if err != nil {
			return nil, err
		}
		return u.ID, nil
	}
}

// An error that says two things under one name says nothing: its status counts.
func TestErrorsThatSayTwoThings(t *testing.T) {
	for body, want := range map[string]authos.Code{
		`{"error":"x","error_code":"FORBIDDEN","error_code":"NOT_FOUND"}`:                     authos.CodeForbidden,
		`{"error":"x","error_code":"DUPLICATE_CONSTRAINT","\u0065rror_code":"NOT_FOUND"}`:     authos.CodeForbidden,
		`{"error":{"code":"DUPLICATE_CONSTRAINT","message":"x","code":"INVITATION_EXPIRED"}}`: authos.CodeForbidden,
		`{"error":"x","error_code":"RESOURCE_FORBIDDEN","Error_Code":"NOT_FOUND"}`:            authos.CodeResourceForbidden,
	} {
		_, err := userID(t)(clientWithoutBreaker(t, scripted(reply{status: 403, body: body}), authos.WithAPIKey("sk_a_key")))
		e, ok := errors.AsType[*authos.APIError](err)
		if !ok || e.Code != want || e.StatusCode != 403 || string(e.Body) != body {
			t.Errorf("%s is %v, want %s", body, err, want)
		}
	}
}

// FuzzNamesThatDifferByCase: whatever names a response has, the exact one wins, and nothing panics.
func FuzzNamesThatDifferByCase(f *testing.F) {
	f.Add("ID", `"u2"`)
	f.Add(`\u0049d`, `{"id":[{"iD":1}]}`)
	f.Add("İd", "null")
	f.Fuzz(func(t *testing.T, name, value string) {
		body := `{"id":"u1","` + name + `":` + value + `,"email":"a@b"}`
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: body}), authos.WithAPIKey("sk_a_key"))
		got, err := userID(t)(c)
		if err == nil && got != "u1" && !strings.Contains(body[1:], `"id":`+value) {
			t.Errorf("%s is read as %v", body, got)
		}
	})
}

// A response that cannot be read is not the error that an attempt before it met.
func TestDecodeErrorAfterAnotherError(t *testing.T) {
	rt := scripted(apiError(502, "BAD_GATEWAY"), reply{status: 200, body: "no JSON"})
	c := clientWithoutBreaker(t, rt, authos.WithRetry(authos.RetryPolicy{BaseDelay: 1, MaxDelay: 1}))
	var out any
	err := c.Do(t.Context(), "GET", "/x/thing", nil, &out)
	if _, ok := errors.AsType[*authos.DecodeError](err); !ok || rt.count() != 2 {
		t.Fatalf("Do = %v after %d requests, want a DecodeError after two", err, rt.count())
	}
	if e, ok := errors.AsType[*authos.APIError](err); ok || errors.Is(err, authos.ErrUnavailable) {
		t.Errorf("the error holds %v, which is an earlier response", e)
	}
}
