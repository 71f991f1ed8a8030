package authos

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

// ServerService is what the server says about itself, to anybody.
//
// Health, Live and Ready are never served from the stale fallback. Like every call they are
// repeated when they fail, and share a circuit breaker with other calls: a probe that wants one
// quick response gives [WithoutRetry] to each of them, and [BreakerPolicy].Disabled to a client of
// its own.
type ServerService struct{ c *Client }

// Health says that the server runs.
type Health struct {
	Status  string `json:"status"` // "healthy"
	Version string `json:"version"`
}

func (h *Health) missing() string { return missingStatus(h.Status) }

// Readiness reports whether the server can do its work. The body of the 503 that says that it
// cannot reads into it too.
type Readiness struct {
	Status   string `json:"status"` // "ready"; in a 503 "unhealthy"
	Version  string `json:"version"`
	Database string `json:"database"` // "connected"; in a 503 "disconnected"
}

func (r *Readiness) missing() string { return missingStatus(r.Status) }

func missingStatus(status string) string {
	if status == "" {
		return "status"
	}
	return ""
}

// ServerConfiguration is what the server can do and where. Each Status reports whether it does,
// such as "supported" and "unsupported".
type ServerConfiguration struct {
	Service         string `json:"service"` // "AuthOS"
	MetadataVersion int    `json:"metadata_version"`
	// Issuer is the "iss" of the server's tokens, JWKSURI where the keys are that they are verified
	// with.
	Issuer                  string                  `json:"issuer"`
	JWKSURI                 string                  `json:"jwks_uri"`
	OpenIDConnect           OpenIDConnectSupport    `json:"openid_connect"`
	DeviceAuthorization     DeviceAuthorization     `json:"oauth_device_authorization"`
	EnterpriseAuthorization EnterpriseAuthorization `json:"enterprise_managed_authorization"`
}

func (c *ServerConfiguration) missing() string {
	switch {
	case c.Issuer == "":
		return "issuer"
	case c.JWKSURI == "":
		return "jwks_uri"
	}
	return ""
}

// OpenIDConnectSupport says how much of OpenID Connect the server does: today, none.
type OpenIDConnectSupport struct {
	Status                    string `json:"status"`
	AuthorizationCodeProvider bool   `json:"authorization_code_provider"`
	IDTokenIssuance           bool   `json:"id_token_issuance"`
}

// DeviceAuthorization is the server's device flow (after RFC 8628).
type DeviceAuthorization struct {
	Status                            string   `json:"status"`
	DeviceAuthorizationEndpoint       string   `json:"device_authorization_endpoint"`
	TokenEndpoint                     string   `json:"token_endpoint"`
	GrantTypesSupported               []string `json:"grant_types_supported"`
	TokenEndpointAuthMethodsSupported []string `json:"token_endpoint_auth_methods_supported"`
}

// EnterpriseAuthorization is the server's token exchange (RFC 8693, RFC 7523).
type EnterpriseAuthorization struct {
	Status                              string   `json:"status"`
	TokenEndpoint                       string   `json:"token_endpoint"`
	TokenEndpointAliases                []string `json:"token_endpoint_aliases"`
	GrantTypesSupported                 []string `json:"grant_types_supported"`
	AuthorizationGrantProfilesSupported []string `json:"authorization_grant_profiles_supported"`
	RequestedTokenTypesSupported        []string `json:"requested_token_types_supported"`
	// ClientAuthentication is as the server sent it: its form is not settled.
	ClientAuthentication json.RawMessage `json:"client_authentication"`
}

// JSONWebKeySet are the server's public keys (RFC 7517, section 5): the one that signs today first,
// then former ones.
type JSONWebKeySet struct {
	Keys []JSONWebKey `json:"keys"`
}

func (s *JSONWebKeySet) missing() string {
	if s.Keys == nil {
		return "keys"
	}
	return missingItem("keys", &s.Keys)
}

// JSONWebKey is a public key (RFC 7517, section 4).
type JSONWebKey struct {
	KeyType   string `json:"kty"` // "RSA"
	Algorithm string `json:"alg"` // "RS256"
	Use       string `json:"use"` // "sig"
	KeyID     string `json:"kid"` // what the header of a token names
	// N and E are an RSA key's modulus and exponent, in base64url without padding (RFC 7518,
	// section 6.3.1).
	N string `json:"n"`
	E string `json:"e"`
}

func (k *JSONWebKey) missing() string {
	switch {
	case k.KeyType == "":
		return "kty"
	case k.KeyID == "":
		return "kid"
	case k.KeyType == "RSA" && k.N == "":
		return "n"
	case k.KeyType == "RSA" && k.E == "":
		return "e"
	}
	return ""
}

// Health asks whether the server runs. GET /health; public; may be repeated.
func (s *ServerService) Health(ctx context.Context, opts ...RequestOption) (*Health, error) {
	return invoke[Health](ctx, s.c, request{method: http.MethodGet, template: "/health"}, opts)
}

// Live asks whether the server's process responds at all. GET /health/live; public; may be
// repeated.
func (s *ServerService) Live(ctx context.Context, opts ...RequestOption) error {
	return acknowledged(ctx, s.c, request{method: http.MethodGet, template: "/health/live"}, opts)
}

// Ready asks whether the server can do its work, which means that it reaches its database. GET
// /health/ready; public; may be repeated.
//
// When it cannot, that is 503 [CodeServiceUnavailable] ([ErrUnavailable]); the response has no
// error text, but the Body of the [*APIError] reads into a [Readiness].
func (s *ServerService) Ready(ctx context.Context, opts ...RequestOption) (*Readiness, error) {
	return invoke[Readiness](ctx, s.c, request{method: http.MethodGet, template: "/health/ready"}, opts)
}

// Configuration returns what the server can do and where. GET /.well-known/authos-configuration;
// public; may be repeated; cached for the stale fallback. Older servers have no such route: 404
// ([ErrNotFound]).
func (s *ServerService) Configuration(ctx context.Context, opts ...RequestOption) (*ServerConfiguration, error) {
	return invoke[ServerConfiguration](ctx, s.c, request{
		method: http.MethodGet, template: "/.well-known/authos-configuration",
	}, opts)
}

// JWKS returns the public keys that the server's tokens are verified with. GET
// /.well-known/jwks.json; public; may be repeated; cached for the stale fallback.
func (s *ServerService) JWKS(ctx context.Context, opts ...RequestOption) (*JSONWebKeySet, error) {
	return invoke[JSONWebKeySet](ctx, s.c, request{
		method: http.MethodGet, template: "/.well-known/jwks.json",
	}, opts)
}

// WebConfig is what the server tells its own web client.
type WebConfig struct {
	// FullClientURL is where the full web client is; empty: there is only the one built in.
	FullClientURL        string `json:"full_client_url"`
	ManagedConfigEnabled bool   `json:"managed_config_enabled"` // see [BootstrapService]
}

type webConfigBody struct {
	WebConfig
	Managed *bool `json:"managed_config_enabled"` // goes before the embedded one
}

func (b *webConfigBody) missing() string {
	if b.Managed == nil {
		return "managed_config_enabled"
	}
	return ""
}

// WebConfig returns what the server tells its own web client. GET /api/public/web-config; public;
// may be repeated; cached for the stale fallback. Its shape is that which the web client reads; no
// source of the server confirms it.
func (s *ServerService) WebConfig(ctx context.Context, opts ...RequestOption) (*WebConfig, error) {
	body, err := invoke[webConfigBody](ctx, s.c, request{method: http.MethodGet, template: "/api/public/web-config"}, opts)
	if err != nil {
		return nil, err
	}
	body.ManagedConfigEnabled = *body.Managed
	return &body.WebConfig, nil
}

// Metrics returns what the server counts, in Prometheus's text format, with the operator's token
// for it (METRICS_BEARER_TOKEN). GET /metrics; may be repeated; never stale. Where the operator has
// set no token it is 404, a wrong one is 401.
func (s *ServerService) Metrics(ctx context.Context, token Secret, opts ...RequestOption) ([]byte, error) {
	var in checks
	in.required("token", token.Reveal())
	in.argument("token")
	opts = append(slices.Clip(opts), WithHeader("Authorization", "Bearer "+token.Reveal()))
	text, err := invoke[[]byte](ctx, s.c, request{method: http.MethodGet, template: "/metrics", checks: in}, opts)
	if err != nil {
		return nil, err
	}
	return *text, nil
}
