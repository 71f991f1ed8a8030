package authos

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// APIKeysService are the API keys of a service, which open [Client.Service]. Every method needs an
// active organization, else it is 403 [CodeOrganizationNotActive].
type APIKeysService struct{ c *Client }

// APIKeyPermission is something that an API key allows.
type APIKeyPermission string

// The permissions of API keys. [ProviderTokensOf] gives those for one sign-in provider.
const (
	PermissionReadUsers           APIKeyPermission = "read:users"
	PermissionWriteUsers          APIKeyPermission = "write:users"
	PermissionDeleteUsers         APIKeyPermission = "delete:users"
	PermissionReadSubscriptions   APIKeyPermission = "read:subscriptions"
	PermissionWriteSubscriptions  APIKeyPermission = "write:subscriptions"
	PermissionDeleteSubscriptions APIKeyPermission = "delete:subscriptions"
	PermissionReadAnalytics       APIKeyPermission = "read:analytics"
	PermissionReadService         APIKeyPermission = "read:service"
	PermissionWriteService        APIKeyPermission = "write:service"
	PermissionReadProviderTokens  APIKeyPermission = "read:provider_tokens" // of all providers
)

// ProviderTokensOf is the permission to read tokens of one sign-in provider: github, google,
// microsoft or the id of an upstream connection.
func ProviderTokensOf(provider string) APIKeyPermission {
	return PermissionReadProviderTokens + ":" + APIKeyPermission(provider)
}

var (
	apiKeyPermissions = []APIKeyPermission{
		PermissionReadUsers, PermissionWriteUsers, PermissionDeleteUsers,
		PermissionReadSubscriptions, PermissionWriteSubscriptions, PermissionDeleteSubscriptions,
		PermissionReadAnalytics, PermissionReadService, PermissionWriteService, PermissionReadProviderTokens,
	}
	providerPermission = regexp.MustCompile(`^read:provider_tokens:[A-Za-z0-9._-]+$`)
)

// APIKey is an API key without the key itself.
type APIKey struct {
	ID        string `json:"id"`
	ServiceID string `json:"service_id"`
	Name      string `json:"name"`
	// Prefix is how the key begins, for people to tell keys apart; it is no secret.
	Prefix      string             `json:"prefix"`
	Permissions []APIKeyPermission `json:"permissions"`
	LastUsedAt  Time               `json:"last_used_at"` // zero: never
	ExpiresAt   Time               `json:"expires_at"`   // zero: never
	CreatedAt   Time               `json:"created_at"`
	CreatedBy   string             `json:"created_by"` // a user's id
}

func (k *APIKey) missing() string {
	switch {
	case k.ID == "":
		return "id"
	case k.Permissions == nil:
		return "permissions"
	}
	return ""
}

// APIKeyCreated is a new API key with the key itself.
type APIKeyCreated struct {
	APIKey
	// Key is what [WithAPIKey] takes. It is shown here and never again.
	Key Secret `json:"key"`
}

func (k *APIKeyCreated) missing() string {
	if k.Key.IsZero() {
		return "key"
	}
	return k.APIKey.missing()
}

func (k *APIKeyCreated) shown() bool { return !k.Key.IsZero() || k.ID != "" }

// APIKeyListParams choose a page.
type APIKeyListParams struct {
	// Limit is 1 to 100. Zero: the server's default, 50; for All, 100.
	Limit int
	// Offset is how many keys to skip.
	Offset int
}

// APIKeyCreateParams are a new API key.
type APIKeyCreateParams struct {
	Name string `json:"name"`
	// Permissions are one at least.
	Permissions []APIKeyPermission `json:"permissions"`
	// ExpiresIn is how long the key works. The server counts days, so it must be a multiple of 24
	// hours; zero: it does not expire.
	ExpiresIn time.Duration `json:"-"`
}

type apiKeyCreateBody struct {
	APIKeyCreateParams
	ExpiresInDays int `json:"expires_in_days,omitempty"`
}

type apiKeyList struct {
	APIKeys *[]APIKey `json:"api_keys"`
	Total   *int64    `json:"total"`
}

func (l *apiKeyList) missing() string { return missingItem("api_keys", l.APIKeys) }

const (
	keysPath = "/api/organizations/:org_slug/services/:service_slug/api-keys"
	keyPath  = "/api/organizations/:org_slug/services/:service_slug/api-keys/:api_key_id"

	apiKeyDay = 24 * time.Hour // what the life of a key is counted in
)

// List returns one page of a service's API keys. GET
// /api/organizations/:org_slug/services/:service_slug/api-keys; bearer, capability services.view or
// a grant; may be repeated; cached for the stale fallback.
func (s *APIKeysService) List(
	ctx context.Context, orgSlug, serviceSlug string, p APIKeyListParams, opts ...RequestOption,
) (*Page[APIKey], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.page(p.Limit, p.Offset)
	list, err := invoke[apiKeyList](ctx, s.c, request{
		method: http.MethodGet, template: keysPath, args: []string{orgSlug, serviceSlug}, query: paging(p.Limit, p.Offset), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.APIKeys, list.Total), nil
}

// All iterates over a service's API keys from p.Offset on, p.Limit at a time. It stops at the first
// error, which it yields last.
//
// Deleting keys on the way moves the others to earlier pages, and some are passed over: collect
// first ([AllItems]), then delete.
func (s *APIKeysService) All(
	ctx context.Context, orgSlug, serviceSlug string, p APIKeyListParams, opts ...RequestOption,
) iter.Seq2[APIKey, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[APIKey], error) {
		return s.List(ctx, orgSlug, serviceSlug, APIKeyListParams{Limit: limit, Offset: offset}, opts...)
	})
}

// Create makes an API key. POST /api/organizations/:org_slug/services/:service_slug/api-keys;
// bearer, capability services.manage or a manager's grant; not repeated when its outcome is
// unknown: a key that nobody has seen may then be in the list, delete it. The key is shown once:
// what could be read of a response that is not whole is returned together with the [*DecodeError].
func (s *APIKeysService) Create(
	ctx context.Context, orgSlug, serviceSlug string, p APIKeyCreateParams, opts ...RequestOption,
) (*APIKeyCreated, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.required("name", p.Name)
	in.apiKeyPermissions(p.Permissions)
	if p.ExpiresIn < 0 || p.ExpiresIn%apiKeyDay != 0 {
		in.add("expires_in_days", CodeOutOfRange, "must be a multiple of 24 hours, or 0 for a key that does not expire")
	}
	body := apiKeyCreateBody{p, int(p.ExpiresIn / apiKeyDay)}
	return invoke[APIKeyCreated](ctx, s.c, request{
		method: http.MethodPost, template: keysPath, args: []string{orgSlug, serviceSlug}, body: body, checks: in,
	}, opts)
}

// apiKeyPermissions refuses what the server would: its list is closed.
func (c *checks) apiKeyPermissions(permissions []APIKeyPermission) {
	if len(permissions) == 0 {
		c.add("permissions", CodeRequired, "must not be empty")
	}
	for i, p := range permissions {
		if !slices.Contains(apiKeyPermissions, p) && !providerPermission.MatchString(string(p)) {
			c.add(fmt.Sprintf("permissions[%d]", i), CodeInvalidFormat, "must be one of the permissions of API keys, such as read:users")
		}
	}
}

// Get returns an API key. GET
// /api/organizations/:org_slug/services/:service_slug/api-keys/:api_key_id; bearer, capability
// services.view or a grant; may be repeated; cached for the stale fallback.
func (s *APIKeysService) Get(ctx context.Context, orgSlug, serviceSlug, apiKeyID string, opts ...RequestOption) (*APIKey, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.id("api_key_id", apiKeyID)
	return invoke[APIKey](ctx, s.c, request{
		method: http.MethodGet, template: keyPath, args: []string{orgSlug, serviceSlug, apiKeyID}, checks: in,
	}, opts)
}

// Delete removes an API key, which works no longer. DELETE
// /api/organizations/:org_slug/services/:service_slug/api-keys/:api_key_id; bearer, capability
// services.manage or a manager's grant; may be repeated: when an attempt's outcome is unknown and
// its repeat finds 404, Delete has succeeded.
func (s *APIKeysService) Delete(ctx context.Context, orgSlug, serviceSlug, apiKeyID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("service_slug", serviceSlug)
	in.id("api_key_id", apiKeyID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: keyPath, args: []string{orgSlug, serviceSlug, apiKeyID}, checks: in,
	}, nil, opts)
}
