package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/hashicorp/go-retryablehttp"
)

var hashicorp = peer{
	name:    "go-retryablehttp",
	modules: []string{"github.com/hashicorp/go-retryablehttp"},
	about:   "its defaults without the log: 4 retries of every method, 1 s doubled to 30 s",
	open: func(s setup) (caller, error) {
		c := newRetrying(s)
		return &retryingClient{s.base, c.Do}, nil
	},
}

func newRetrying(s setup) *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient, c.Logger = s.client(), nil
	if s.once {
		c.RetryMax = 0
	}
	return c
}

// retryingClient makes calls with go-retryablehttp's requests.
type retryingClient struct {
	base string
	send func(*retryablehttp.Request) (*http.Response, error)
}

func (r *retryingClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	return r.do(ctx, http.MethodGet, "/"+id, nil)
}

func (r *retryingClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	body, err := json.Marshal(authos.ServiceUserCreateParams{Email: email})
	if err != nil {
		return nil, err
	}
	return r.do(ctx, http.MethodPost, "", body)
}

func (r *retryingClient) do(ctx context.Context, method, path string, body []byte) (*authos.ServiceUser, error) {
	var in any
	if body != nil {
		in = body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, method, r.base+usersPath+path, in)
	if err != nil {
		return nil, err
	}
	dress(req.Header, body != nil)
	resp, err := r.send(req)
	if err != nil {
		return nil, err
	}
	return decode(resp)
}
