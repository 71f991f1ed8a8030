package authos_test

import (
	"errors"
	"testing"

	"github.com/authos-go/authos"
)

// A secret that only this response has comes out of it, whatever is wrong with the rest; and a
// thing that was made without its secret comes out with its id, to be deleted.
func TestSecretsShownOnceAreNotLost(t *testing.T) {
	const hush = "a secret that is long enough"
	type result struct{ id, secret string }
	create := func(c *authos.Client) (result, error) {
		key, err := c.Organizations.APIKeys.Create(t.Context(), "acme", "app", authos.APIKeyCreateParams{
			Name: "CI", Permissions: []authos.APIKeyPermission{authos.PermissionReadUsers},
		})
		if key == nil {
			return result{}, err
		}
		return result{key.ID, key.Key.Reveal()}, err
	}
	rotate := func(c *authos.Client) (result, error) {
		s, err := c.Organizations.Services.RotateSecret(t.Context(), "acme", "app")
		if s == nil {
			return result{}, err
		}
		return result{s.ID, s.ClientSecret.Reveal()}, err
	}
	service := func(c *authos.Client) (result, error) {
		s, err := c.Organizations.Services.Create(t.Context(), "acme", authos.ServiceCreateParams{Slug: "app", Name: "App", ServiceType: "web"})
		if s == nil {
			return result{}, err
		}
		return result{s.ID, s.ClientSecret.Reveal()}, err
	}
	for name, tt := range map[string]struct {
		call func(c *authos.Client) (result, error)
		body string
		want result
	}{
		"a time in a new format":   {create, `{"created_at":"yesterday","id":"k","permissions":[],"key":"` + hush + `"}`, result{"k", hush}},
		"a list of another type":   {create, `{"id":"k","permissions":"all","key":"` + hush + `"}`, result{"k", hush}},
		"cut short":                {create, `{"id":"k","key":"` + hush + `","permissions":["read:us`, result{"k", hush}},
		"without the key":          {create, `{"id":"k","permissions":[]}`, result{"k", ""}},
		"a page":                   {create, `<html></html>`, result{}},
		"deeper down":              {service, `{"service":{"id":"s","created_at":7,"client_secret":"` + hush + `"},"usage":{"tier":7}}`, result{"s", hush}},
		"beside what is of no use": {rotate, `{"service":7,"client_secret":"` + hush + `"}`, result{"", hush}},
		"rotated without a secret": {rotate, `{"service":{"id":"s"}}`, result{}},
		"nothing":                  {create, ``, result{}},
		"nested beyond all reason": {create, `{"id":"k","a":` + nested(10_000) + `,"created_at":7}`, result{"k", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			script := scripted(reply{status: 201, body: tt.body, header: map[string]string{"Content-Type": "application/json"}})
			got, err := tt.call(clientWithoutBreaker(t, script, authos.WithTokens(authos.Tokens{AccessToken: "access-token"})))
			de, ok := errors.AsType[*authos.DecodeError](err)
			if !ok || !errors.Is(err, authos.ErrOutcomeUnknown) || script.count() != 1 {
				t.Fatalf("%v after %d requests, want a DecodeError of a write that was applied", err, script.count())
			}
			if got != tt.want {
				t.Errorf("got %d bytes of an id and %d of a secret, want %+v", len(got.id), len(got.secret), tt.want)
			}
			if string(de.Body) != tt.body {
				t.Errorf("the error has %d bytes of the body, want %d", len(de.Body), len(tt.body))
			}
		})
	}
}

func nested(depth int) string {
	text := make([]byte, 0, 6*depth)
	for range depth {
		text = append(text, `{"a":`...)
	}
	text = append(text, '1')
	for range depth {
		text = append(text, '}')
	}
	return string(text)
}
