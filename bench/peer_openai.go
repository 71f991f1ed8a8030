//go:build peers

package main

import (
	"context"
	"net/http"

	"github.com/authos-go/authos"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/auth"
	"github.com/openai/openai-go/v3/option"
)

var openAI = peer{
	name:    "openai-go",
	modules: []string{"github.com/openai/openai-go/v3"},
	about:   "its defaults: 2 retries, 0.5 s doubled to 8 s; the refresh is its exchange of a workload's token, which is not single-use",
	open: func(s setup) (caller, error) {
		return openOpenAI(s, option.WithAPIKey(apiKey)), nil
	},
	exchanges: true,
	session: func(s setup, _, proof string) (caller, error) {
		return openOpenAI(s, option.WithWorkloadIdentity(auth.WorkloadIdentity{
			IdentityProviderID: "idp", ServiceAccountID: "account", Provider: subject(proof),
		})), nil
	},
}

func openOpenAI(s setup, opts ...option.RequestOption) *openAIClient {
	opts = append(opts, option.WithBaseURL(s.base+"/"), option.WithHTTPClient(s.client()))
	if s.once {
		opts = append(opts, option.WithMaxRetries(0))
	}
	return &openAIClient{openai.NewClient(opts...)}
}

type openAIClient struct{ c openai.Client }

func (o *openAIClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	u := new(authos.ServiceUser)
	return u, o.c.Get(ctx, usersPath[1:]+"/"+id, nil, u)
}

func (o *openAIClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	u := new(authos.ServiceUser)
	return u, o.c.Post(ctx, usersPath[1:], authos.ServiceUserCreateParams{Email: email}, u)
}

// subject is the token that a workload proves itself with.
type subject string

func (subject) TokenType() auth.SubjectTokenType { return auth.SubjectTokenTypeJWT }

func (s subject) GetToken(context.Context, auth.HTTPDoer) (string, error) { return string(s), nil }

var _ auth.HTTPDoer = (*http.Client)(nil)
