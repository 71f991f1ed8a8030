package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) apiKeyRoutes() {
	const all = "/api/organizations/:org_slug/services/:service_slug/api-keys"
	t.add("GET", all, bearer, (*call).listAPIKeys)
	t.add("POST", all, bearer, (*call).createAPIKey)
	t.add("GET", all+"/:api_key_id", bearer, (*call).getAPIKey)
	t.add("DELETE", all+"/:api_key_id", bearer, (*call).deleteAPIKey)
}

type apiKeyModel struct {
	ID          string   `json:"id"`
	ServiceID   string   `json:"service_id"`
	Name        string   `json:"name"`
	Prefix      string   `json:"prefix"`
	Permissions []string `json:"permissions"`
	LastUsedAt  *string  `json:"last_used_at"`
	ExpiresAt   *string  `json:"expires_at"`
	CreatedAt   string   `json:"created_at"`
	CreatedBy   string   `json:"created_by"`
}

func newAPIKeyModel(k *apiKey) apiKeyModel {
	return apiKeyModel{
		k.id, k.service.id, k.name, k.prefix, k.permissions,
		stamped(k.used, stampZ), stamped(k.expires, stampZ), stampZ(k.created), k.createdBy,
	}
}

func (c *call) listAPIKeys() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	v, refused := c.viewedService("view API keys for this service")
	if refused != nil {
		return *refused
	}
	list := []apiKeyModel{}
	for _, k := range slices.Backward(v.apiKeys) {
		list = append(list, newAPIKeyModel(k))
	}
	return jsonResponse(http.StatusOK, struct {
		APIKeys []apiKeyModel `json:"api_keys"`
		Total   int           `json:"total"`
	}{slice(list, limit, offset), len(list)})
}

// maxKeyDays keeps absurd lives within what the wire can say.
const maxKeyDays = 36_500

// providerTokens is the permission to read provider tokens; with a provider behind
// it, those of one provider only.
const providerTokens = "read:provider_tokens"

func validPermission(p string) bool {
	provider, narrow := strings.CutPrefix(p, providerTokens+":")
	if !narrow {
		return slices.Contains(permissions, p)
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return provider != "" && strings.Trim(provider, allowed) == ""
}

func (c *call) createAPIKey() response {
	in, bad := decode[struct {
		Name          string   `json:"name"`
		Permissions   []string `json:"permissions"`
		ExpiresInDays *int     `json:"expires_in_days"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	v, refused := c.managedService("manage API keys for this service")
	switch {
	case refused != nil:
		return *refused
	case strings.TrimSpace(in.Name) == "":
		return c.invalid("name", "REQUIRED", "API key name cannot be empty")
	case len(in.Permissions) == 0:
		return c.invalid("permissions", "REQUIRED", "API key must have at least one permission")
	}
	for _, p := range in.Permissions {
		if !validPermission(p) {
			valid := append(slices.Clone(permissions), providerTokens+":github", providerTokens+":google", providerTokens+":microsoft")
			return c.invalid("permissions", "INVALID_VALUE", "Invalid permission: "+p+". Valid permissions are: "+
				strings.Join(valid, ", ")+" or "+providerTokens+":<provider>")
		}
	}
	k := c.s.scene.addKey(v, in.Name, in.Permissions, c.user.ID, c.now)
	if in.ExpiresInDays != nil {
		k.expires = k.created.Add(time.Duration(min(max(*in.ExpiresInDays, -maxKeyDays), maxKeyDays)) * 24 * time.Hour)
	}
	c.record(v.org, "api_key.created", "api_key", k.id, details{
		"api_key_id": k.id, "service_id": v.id, "service_slug": v.slug, "name": k.name, "permissions": k.permissions,
		"expires_at": stamped(k.expires, stampZ),
	})
	c.applied = true
	return jsonResponse(http.StatusCreated, struct {
		ID          string   `json:"id"`
		ServiceID   string   `json:"service_id"`
		Name        string   `json:"name"`
		Prefix      string   `json:"prefix"`
		Permissions []string `json:"permissions"`
		ExpiresAt   *string  `json:"expires_at"`
		CreatedAt   string   `json:"created_at"`
		CreatedBy   string   `json:"created_by"`
		Key         string   `json:"key"` // here and never again
	}{k.id, v.id, k.name, k.prefix, k.permissions, stamped(k.expires, stampZ), stampZ(k.created), k.createdBy, k.secret})
}

// pathKey finds the API key of the path in a service.
func (c *call) pathKey(v *service) (*apiKey, *response) {
	k := find(v.apiKeys, func(k *apiKey) bool { return k.id == c.params[2] })
	if k == nil {
		a := c.notFound("API key not found")
		return nil, &a
	}
	return k, nil
}

func (c *call) getAPIKey() response {
	v, refused := c.viewedService("view API keys for this service")
	if refused != nil {
		return *refused
	}
	k, missing := c.pathKey(v)
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, newAPIKeyModel(k))
}

func (c *call) deleteAPIKey() response {
	v, refused := c.managedService("delete API keys for this service")
	if refused != nil {
		return *refused
	}
	k, missing := c.pathKey(v)
	if missing != nil {
		return *missing
	}
	c.s.scene.deleteKey(k)
	c.record(v.org, "api_key.deleted", "api_key", k.id, details{
		"api_key_id": k.id, "service_id": v.id, "service_slug": v.slug, "name": k.name,
	})
	c.applied = true
	return empty(http.StatusNoContent)
}
