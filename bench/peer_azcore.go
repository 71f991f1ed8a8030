package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/authos-go/authos"
)

var azCore = peer{
	name:    "Azure azcore",
	modules: []string{"github.com/Azure/azure-sdk-for-go/sdk/azcore"},
	about:   "its default pipeline: 3 retries, 0.8 s doubled; for the refresh a credential that presents the refresh token",
	open: func(s setup) (caller, error) {
		return openAzure(s, runtime.NewKeyCredentialPolicy(azcore.NewKeyCredential(apiKey), "X-Api-Key",
			&runtime.KeyCredentialPolicyOptions{InsecureAllowCredentialWithHTTP: true})), nil
	},
	session: func(s setup, accessToken, refreshToken string) (caller, error) {
		cred := &azureCredential{setup: s, access: accessToken, refresh: refreshToken}
		return openAzure(s, runtime.NewBearerTokenPolicy(cred, nil, &policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: true})), nil
	},
}

func openAzure(s setup, credential policy.Policy) *azureClient {
	options := policy.ClientOptions{Transport: s.client()}
	if s.once {
		options.Retry.MaxRetries = -1
	}
	perRetry := runtime.PipelineOptions{PerRetry: []policy.Policy{credential}}
	return &azureClient{s.base, runtime.NewPipeline("bench", "v1.0.0", perRetry, &options)}
}

type azureClient struct {
	base     string
	pipeline runtime.Pipeline
}

func (a *azureClient) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, a.base+usersPath+"/"+id)
	if err != nil {
		return nil, err
	}
	return a.do(req)
}

func (a *azureClient) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	req, err := runtime.NewRequest(ctx, http.MethodPost, a.base+usersPath)
	if err != nil {
		return nil, err
	}
	if err := runtime.MarshalAsJSON(req, authos.ServiceUserCreateParams{Email: email}); err != nil {
		return nil, err
	}
	return a.do(req)
}

func (a *azureClient) do(req *policy.Request) (*authos.ServiceUser, error) {
	req.Raw().Header.Set("Accept", "application/json")
	resp, err := a.pipeline.Do(req)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(resp, http.StatusOK, http.StatusCreated) {
		return nil, runtime.NewResponseError(resp)
	}
	u := new(authos.ServiceUser)
	return u, runtime.UnmarshalAsJSON(resp, u)
}

// azureCredential is the part that azcore leaves to a credential library. It is asked by one
// goroutine at a time.
type azureCredential struct {
	setup
	access, refresh string
}

func (c *azureCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if token := c.access; token != "" { // the first time
		c.access = ""
		return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
	}
	body, err := json.Marshal(map[string]string{"refresh_token": c.refresh})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+refreshPath, bytes.NewReader(body))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var got tokenPair
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return azcore.AccessToken{}, err
	}
	c.refresh = got.RefreshToken
	return azcore.AccessToken{Token: got.AccessToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
}
