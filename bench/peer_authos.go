package main

import (
	"context"

	"github.com/authos-go/authos"
)

var ours = peer{
	name:    "authos",
	about:   "its defaults",
	breaker: true,
	open: func(s setup) (caller, error) {
		return openAuthos(s, authos.WithAPIKey(apiKey))
	},
	session: func(s setup, accessToken, refreshToken string) (caller, error) {
		c, err := openAuthos(s, authos.WithTokens(authos.Tokens{AccessToken: accessToken, RefreshToken: refreshToken}))
		if err != nil {
			return nil, err
		}
		return authosUser{c}, nil
	},
}

var oursWithoutBreaker = peer{
	name:    "authos, breaker off",
	about:   "`BreakerPolicy{Disabled: true}`",
	variant: true,
	open: func(s setup) (caller, error) {
		return openAuthos(s, authos.WithAPIKey(apiKey), authos.WithBreaker(authos.BreakerPolicy{Disabled: true}))
	},
}

func openAuthos(s setup, opts ...authos.Option) (*authosClient, error) {
	opts = append(opts, authos.WithHTTPClient(s.client()))
	if s.once {
		opts = append(opts, authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	}
	c, err := authos.New(s.base, opts...)
	if err != nil {
		return nil, err
	}
	return &authosClient{c}, nil
}

type authosClient struct{ *authos.Client }

func (c *authosClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	return c.Service.Users.Get(ctx, id)
}

func (c *authosClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	return c.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: email})
}

// authosUser calls in a user's name: the routes of API keys take no tokens.
type authosUser struct{ *authosClient }

func (c authosUser) get(ctx context.Context, _ string) (*authos.ServiceUser, error) {
	u, err := c.User.Get(ctx)
	if err != nil {
		return nil, err
	}
	return &authos.ServiceUser{ID: u.ID, Email: u.Email}, nil
}
