package authostest

import (
	"net/http"
	"strconv"
	"strings"
)

func (t *table) publicRoutes() {
	t.add("GET", "/health", public, (*call).health)
	t.add("GET", "/health/live", public, (*call).live)
	t.add("GET", "/health/ready", public, (*call).ready)
	t.add("GET", "/metrics", public, (*call).metrics)
	t.add("GET", "/.well-known/jwks.json", public, (*call).jwks)
	t.add("GET", "/.well-known/authos-configuration", public, (*call).configuration)
	t.add("GET", "/.well-known/openid-configuration", public, (*call).unknownPath)
	t.add("GET", "/.well-known/oauth-authorization-server", public, (*call).unknownPath)
	t.add("GET", "/api/public/web-config", public, (*call).webConfig)
	t.add("POST", "/api/public/bootstrap-login", public, (*call).bootstrapLogin)
	t.add("POST", "/webhooks/stripe", public, (*call).billingWebhook)
	t.add("POST", "/webhooks/billing", public, (*call).billingWebhook)
	t.webRoutes()
}

// version is that of the server whose behavior this package follows.
const version = "0.1.40"

func (c *call) health() response {
	return jsonResponse(http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"healthy", version})
}

func (c *call) live() response { return empty(http.StatusOK) }

func (c *call) ready() response {
	return jsonResponse(http.StatusOK, struct {
		Status   string `json:"status"`
		Version  string `json:"version"`
		Database string `json:"database"`
	}{"ready", version, "connected"})
}

// metrics responds without a body when it refuses, under either contract: it is not
// part of the API.
func (c *call) metrics() response {
	want := c.s.config.metrics
	switch token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer "); {
	case want == "":
		return empty(http.StatusNotFound)
	case !ok || token != want:
		a := empty(http.StatusUnauthorized)
		a.header.Set("WWW-Authenticate", "Bearer")
		return a
	}
	seen := 0
	for _, n := range c.s.journal.counts {
		seen += n
	}
	return typed(http.StatusOK, "text/plain; version=0.0.4", []byte(
		"# TYPE http_requests_total counter\nhttp_requests_total "+strconv.Itoa(seen)+"\n"))
}

// configuration says what this server is: no OpenID provider, but one that does the
// device flow and token exchange.
func (c *call) configuration() response {
	type openID struct {
		Status                    string `json:"status"`
		AuthorizationCodeProvider bool   `json:"authorization_code_provider"`
		IDTokenIssuance           bool   `json:"id_token_issuance"`
	}
	type deviceAuthorization struct {
		Status                      string   `json:"status"`
		DeviceAuthorizationEndpoint string   `json:"device_authorization_endpoint"`
		TokenEndpoint               string   `json:"token_endpoint"`
		GrantTypes                  []string `json:"grant_types_supported"`
		TokenEndpointAuthMethods    []string `json:"token_endpoint_auth_methods_supported"`
	}
	type enterprise struct {
		Status                string   `json:"status"`
		TokenEndpoint         string   `json:"token_endpoint"`
		TokenEndpointAliases  []string `json:"token_endpoint_aliases"`
		GrantTypes            []string `json:"grant_types_supported"`
		GrantProfiles         []string `json:"authorization_grant_profiles_supported"`
		RequestedTokenTypes   []string `json:"requested_token_types_supported"`
		ClientAuthentications []string `json:"client_authentication"`
	}
	base := c.s.URL
	return jsonResponse(http.StatusOK, struct {
		Service         string              `json:"service"`
		MetadataVersion int                 `json:"metadata_version"`
		Issuer          string              `json:"issuer"`
		JWKSURI         string              `json:"jwks_uri"`
		OpenIDConnect   openID              `json:"openid_connect"`
		Device          deviceAuthorization `json:"oauth_device_authorization"`
		Enterprise      enterprise          `json:"enterprise_managed_authorization"`
	}{
		"AuthOS", 1, base, base + "/.well-known/jwks.json",
		openID{Status: "unsupported"},
		deviceAuthorization{"supported", base + "/auth/device/code", base + "/auth/token", []string{deviceGrantType}, []string{"none"}},
		enterprise{
			"supported", base + "/oauth/token", []string{base + "/oauth2/token"}, []string{exchangeGrantType, assertionGrantType},
			[]string{idJAGType}, []string{idJAGType}, []string{"client_secret_basic", "client_secret_post"},
		},
	})
}

// billingWebhook is called by a payment provider, which nobody has set up here.
func (c *call) billingWebhook() response {
	return c.badRequest(c.either("Billing provider is not configured", "Missing stripe-signature header"))
}
