//go:build peers

package main

import (
	"context"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/google/go-github/v89/github"
)

var goGitHub = peer{
	name:    "google/go-github",
	modules: []string{"github.com/google/go-github/v89"},
	about:   "its defaults: no retries",
	open: func(s setup) (caller, error) {
		base := s.base + "/"
		c, err := github.NewClient(github.WithHTTPClient(s.client()), github.WithURLs(&base, &base))
		if err != nil {
			return nil, err
		}
		return &gitHubClient{c}, nil
	},
}

type gitHubClient struct{ c *github.Client }

func (g *gitHubClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	return g.do(ctx, http.MethodGet, usersPath[1:]+"/"+id, nil)
}

func (g *gitHubClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	return g.do(ctx, http.MethodPost, usersPath[1:], authos.ServiceUserCreateParams{Email: email})
}

func (g *gitHubClient) do(ctx context.Context, method, path string, body any) (*authos.ServiceUser, error) {
	req, err := g.c.NewRequest(ctx, method, path, body, func(r *http.Request) { r.Header.Set("X-Api-Key", apiKey) })
	if err != nil {
		return nil, err
	}
	u := new(authos.ServiceUser)
	_, err = g.c.Do(req, u)
	return u, err
}
