package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/go-resty/resty/v2"
)

var restyV2 = peer{
	name:    "go-resty/resty",
	modules: []string{"github.com/go-resty/resty/v2"},
	about:   "`SetRetryCount(3)` and a condition for 429 and 5xx, since its retries are off by default; waits 0.1 s to 2 s",
	open: func(s setup) (caller, error) {
		c := resty.NewWithClient(s.client()).SetBaseURL(s.base).SetHeader("X-Api-Key", apiKey).SetHeader("Accept", "application/json")
		c.SetLogger(silent{})
		if !s.once {
			c.SetRetryCount(3).AddRetryCondition(func(r *resty.Response, _ error) bool {
				return r != nil && (r.StatusCode() == http.StatusTooManyRequests || r.StatusCode() >= 500)
			})
		}
		return &restyClient{c}, nil
	},
}

type restyClient struct{ c *resty.Client }

func (r *restyClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	u := new(authos.ServiceUser)
	return checked(u)(r.c.R().SetContext(ctx).SetResult(u).Get(usersPath + "/" + id))
}

func (r *restyClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	u := new(authos.ServiceUser)
	return checked(u)(r.c.R().SetContext(ctx).SetResult(u).SetBody(authos.ServiceUserCreateParams{Email: email}).Post(usersPath))
}

func checked(u *authos.ServiceUser) func(*resty.Response, error) (*authos.ServiceUser, error) {
	return func(resp *resty.Response, err error) (*authos.ServiceUser, error) {
		switch {
		case err != nil:
			return nil, err
		case resp.IsError():
			return nil, fmt.Errorf("status %d", resp.StatusCode())
		}
		return u, nil
	}
}

// silent keeps resty from writing a line to standard error for each failure.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
