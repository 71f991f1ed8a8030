package authos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

//go:generate go run ./internal/cmd/genroutes
//go:generate go run ./internal/cmd/genapi

// request is what a typed method sends: a known route, and what goes into it.
type request struct {
	method, template string
	args             []string   // the template's parameters, not yet escaped
	query            url.Values // nil: none
	body             any        // sent as JSON; nil: none
	checks           checks     // what is wrong with the caller's input: then nothing is sent
}

// invoke sends one call of a known route and decodes its response into a T. A typed method is its
// checks and one call of this. A secret that the server shows once is returned together with the
// [*DecodeError] of a response that is not whole.
func invoke[T any](ctx context.Context, c *Client, r request, opts []RequestOption) (*T, error) {
	out := new(T)
	err := c.call(ctx, r, out, opts)
	if err == nil {
		return out, nil
	}
	if once, ok := any(out).(interface{ shown() bool }); ok {
		if de, is := errors.AsType[*DecodeError](err); is && de.StatusCode/100 == 2 {
			salvage(de.Body, nil, out)
			if once.shown() {
				return out, err
			}
		}
	}
	return nil, err
}

// salvage decodes every member of a JSON object that can be decoded by itself, also of one that is
// cut short: what is wrong with one member, a time in a new format for instance, takes no secret
// along. path leads to the object from out.
func salvage(object []byte, path []string, out any) {
	const deepest = 4 // far below any secret
	if len(path) == deepest {
		return
	}
	for name, value := range parseObject(object) {
		at := append(slices.Clip(path), name)
		if json.Unmarshal(nest(at, value), out) != nil {
			salvage(value, at, out)
		}
	}
}

// nest is value inside an object for each name.
func nest(path []string, value []byte) []byte {
	for _, name := range slices.Backward(path) {
		key, _ := json.Marshal(name) //nolint:errchkjson // a text always can be
		value = slices.Concat([]byte("{"), key, []byte(":"), value, []byte("}"))
	}
	return value
}

// acknowledged sends one call of a route whose response says no more than that it was done.
func acknowledged(ctx context.Context, c *Client, r request, opts []RequestOption) error {
	_, err := invoke[acknowledgment](ctx, c, r, opts)
	return err
}

// acknowledgment is {message}, {success, message}, or, where the route says so, null.
type acknowledgment struct {
	Success *bool `json:"success"`
}

func (a *acknowledgment) missing() string {
	if a.Success != nil && !*a.Success {
		return "success"
	}
	return ""
}

// needy is a response that can say what it lacks of what its route promises.
type needy[T any] interface {
	*T
	missing() string
}

// bare is a list that is the whole response. One that is null, or that has an item without its id,
// is no response.
type bare[T any, P needy[T]] []T

func (l *bare[T, P]) missing() string {
	items := []T(*l)
	return missingItem[T, P]("list", &items)
}

// missingItem says what a list lacks: itself, or something of one of its items.
func missingItem[T any, P needy[T]](name string, items *[]T) string {
	if items == nil {
		return name
	}
	for i := range *items {
		if lack := P(&(*items)[i]).missing(); lack != "" {
			return lack + " of an item of " + name
		}
	}
	return ""
}

// missingID names the id where a response that must have one does not.
func missingID(id string) string {
	if id == "" {
		return "id"
	}
	return ""
}

// readSecrets reads JSON into the fields of a Params and into those that marshalling leaves out: a
// file or a request that a program reads has them.
func readSecrets(b []byte, fields any, secrets map[string]any) error {
	if err := json.Unmarshal(b, fields); err != nil {
		return err
	}
	members := parseObject(b)
	for name, into := range secrets {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, into); err != nil {
				return fmt.Errorf("authos: %s: %w", name, err)
			}
		}
	}
	return nil
}

// link is the URL of a route that a browser opens. Nothing is sent.
func link(c *Client, template string, args []string, query url.Values) string {
	return c.fam.url(expand(template, args), query.Encode()).String()
}

// err returns nil, or a [*ValidationError] with all findings. Nothing has been sent, which is also
// what the call's [Response] then says.
func (c checks) err(opts []RequestOption) error {
	if len(c) == 0 {
		return nil
	}
	return refused(opts, &ValidationError{Fields: c})
}
