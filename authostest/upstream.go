package authostest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) upstreamRoutes() {
	const all = "/api/organizations/:org_slug/upstream-providers"
	t.add("GET", all, bearer, (*call).listUpstreams)
	t.add("POST", all, bearer, (*call).createUpstream)
	t.add("GET", all+"/:provider_id", bearer, (*call).getUpstream)
	t.add("PATCH", all+"/:provider_id", bearer, (*call).updateUpstream)
	t.add("DELETE", all+"/:provider_id", bearer, (*call).deleteUpstream)
	const domains = "/api/organizations/:org_slug/domain-routes"
	t.add("GET", domains, bearer, (*call).listDomainRoutes)
	t.add("POST", domains, bearer, (*call).createDomainRoute)
	t.add("PATCH", domains+"/:domain_id", bearer, (*call).updateDomainRoute)
	t.add("DELETE", domains+"/:domain_id", bearer, (*call).deleteDomainRoute)
	t.add("POST", domains+"/:domain_id/verify", bearer, (*call).verifyDomainRoute)
}

// upstream is an identity provider of an organization's own.
type upstream struct {
	id, connection, name, kind string
	clientID                   string
	issuer, authorizeURL       *string
	enabled                    bool
	created                    time.Time
}

type upstreamModel struct {
	ID               string  `json:"id"`
	ConnectionID     string  `json:"connection_id"`
	Name             string  `json:"name"`
	ProviderType     string  `json:"provider_type"`
	ClientID         string  `json:"client_id"`
	Issuer           *string `json:"issuer"`
	AuthorizationURL *string `json:"authorization_url"`
	Enabled          bool    `json:"enabled"`
	CreatedAt        string  `json:"created_at"`
}

func newUpstreamModel(u *upstream) upstreamModel {
	return upstreamModel{u.id, u.connection, u.name, u.kind, u.clientID, u.issuer, u.authorizeURL, u.enabled, stampZ(u.created)}
}

func (c *call) listUpstreams() response {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return *refused
	}
	list := []upstreamModel{}
	for _, u := range o.upstreams {
		list = append(list, newUpstreamModel(u))
	}
	return jsonResponse(http.StatusOK, list)
}

type upstreamInput struct {
	ConnectionID     string          `json:"connection_id"`
	Name             string          `json:"name"`
	ProviderType     string          `json:"provider_type"`
	ClientID         string          `json:"client_id"`
	ClientSecret     *string         `json:"client_secret"`
	Issuer           *string         `json:"issuer"`
	AuthorizationURL *string         `json:"authorization_url"`
	TokenURL         *string         `json:"token_url"`
	UserinfoURL      *string         `json:"userinfo_url"`
	DiscoveryURL     *string         `json:"discovery_url"`
	Scopes           *string         `json:"scopes"`
	Metadata         json.RawMessage `json:"metadata"`
	Enabled          *bool           `json:"enabled"`
}

func (c *call) createUpstream() response {
	in, bad := decode[upstreamInput](c, plainJSON)
	if bad == nil {
		bad = c.unknownFields(in)
	}
	if bad == nil {
		bad = c.checkUpstream(in)
	}
	if bad != nil {
		return *bad
	}
	o, refused := c.integrationsOrg()
	switch {
	case refused != nil:
		return *refused
	case !o.feature("allow_saml_idp"):
		return c.featureMissing("Enterprise identity providers")
	case find(o.upstreams, func(u *upstream) bool { return u.connection == in.ConnectionID }) != nil:
		return c.taken("A provider with this connection id already exists")
	}
	u := &upstream{
		id: c.s.newID(), connection: in.ConnectionID, name: in.Name, kind: in.ProviderType, clientID: in.ClientID, issuer: in.Issuer,
		authorizeURL: in.AuthorizationURL, enabled: true, created: c.now.Truncate(time.Microsecond),
	}
	set(&u.enabled, in.Enabled)
	o.upstreams = append(o.upstreams, u)
	c.applied = true
	return jsonResponse(http.StatusOK, newUpstreamModel(u))
}

// checkUpstream checks what the kind of provider cannot do without.
func (c *call) checkUpstream(in upstreamInput) *response {
	var a response
	for field, value := range map[string]*string{
		"authorization_url": in.AuthorizationURL, "token_url": in.TokenURL, "userinfo_url": in.UserinfoURL, "discovery_url": in.DiscoveryURL,
	} {
		if value != nil && !strings.HasPrefix(*value, "https://") {
			a = c.invalid(field, "INVALID_FORMAT", "Upstream provider URLs must use https")
			return &a
		}
	}
	kinds := []string{"oidc", "oauth2", "saml"}
	switch {
	case !slices.Contains(kinds, in.ProviderType):
		a = c.invalid("provider_type", "INVALID_VALUE", "Invalid provider type. Must be one of: "+strings.Join(kinds, ", "))
	case in.ProviderType == "saml" && in.AuthorizationURL == nil:
		a = c.invalid("authorization_url", "REQUIRED", "authorization_url is required for SAML providers")
	case in.ProviderType != "saml" && deref(in.ClientSecret) == "":
		a = c.invalid("client_secret", "REQUIRED", "client_secret is required")
	case in.ProviderType != "saml" && in.DiscoveryURL == nil && (in.AuthorizationURL == nil || in.TokenURL == nil || in.UserinfoURL == nil):
		a = c.invalid("discovery_url", "REQUIRED", "Either discovery_url or authorization_url, token_url and userinfo_url are required")
	default:
		return nil
	}
	return &a
}

func (c *call) pathUpstream() (*organization, *upstream, *response) {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return nil, nil, refused
	}
	if u := find(o.upstreams, func(u *upstream) bool { return u.id == c.params[1] }); u != nil {
		return o, u, nil
	}
	a := c.notFound("Upstream provider not found")
	return nil, nil, &a
}

func (c *call) getUpstream() response {
	_, u, refused := c.pathUpstream()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, newUpstreamModel(u))
}

func (c *call) updateUpstream() response {
	in, bad := decode[struct {
		Name    *string `json:"name"`
		Enabled *bool   `json:"enabled"`
	}](c, plainJSON)
	if bad == nil {
		bad = c.unknownFields(in)
	}
	if bad != nil {
		return *bad
	}
	_, u, refused := c.pathUpstream()
	if refused != nil {
		return *refused
	}
	set(&u.name, in.Name)
	set(&u.enabled, in.Enabled)
	c.applied = true
	return jsonResponse(http.StatusOK, newUpstreamModel(u))
}

func (c *call) deleteUpstream() response {
	o, u, refused := c.pathUpstream()
	if refused != nil {
		return *refused
	}
	o.upstreams = without(o.upstreams, u)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}

// domainRoute sends the people of an e-mail domain to an identity provider.
type domainRoute struct {
	id, domain string
	upstreamID string // empty for none
	policy     string
	token      string
	proven     bool      // the token has been published
	verified   time.Time // zero until the server has seen it
	created    time.Time
	updated    time.Time
}

var loginPolicies = []string{"password_allowed", "upstream_only", "password_fallback_if_provider_unavailable"}

type domainRouteModel struct {
	ID                 string  `json:"id"`
	Domain             string  `json:"domain"`
	UpstreamProviderID *string `json:"upstream_provider_id"`
	LoginPolicy        string  `json:"login_policy"`
	VerificationToken  string  `json:"verification_token"`
	Verified           bool    `json:"verified"`
	VerifiedAt         *string `json:"verified_at"`
	CreatedAt          string  `json:"created_at"`
	UpdatedAt          string  `json:"updated_at"`
}

func newDomainRouteModel(r *domainRoute) domainRouteModel {
	return domainRouteModel{
		r.id, r.domain, optional(r.upstreamID), r.policy, r.token, !r.verified.IsZero(), stamped(r.verified, stampNaive),
		stampNaive(r.created), stampNaive(r.updated),
	}
}

func (c *call) listDomainRoutes() response {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return *refused
	}
	list := []domainRouteModel{}
	for _, r := range o.domainRoutes {
		list = append(list, newDomainRouteModel(r))
	}
	return jsonResponse(http.StatusOK, list)
}

func (c *call) createDomainRoute() response {
	in, bad := decode[struct {
		Domain             string  `json:"domain"`
		UpstreamProviderID *string `json:"upstream_provider_id"`
		LoginPolicy        *string `json:"login_policy"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.integrationsOrg()
	if refused == nil {
		refused = c.checkDomainRoute(o, in.UpstreamProviderID, in.LoginPolicy)
	}
	if refused != nil {
		return *refused
	}
	name := strings.ToLower(strings.TrimSpace(in.Domain))
	if !isDomain(name) {
		return c.invalid("domain", "INVALID_FORMAT", "Invalid domain")
	}
	for _, other := range c.s.scene.orgs {
		if find(other.domainRoutes, func(r *domainRoute) bool { return r.domain == name }) != nil {
			return c.taken("This domain is already configured")
		}
	}
	now := c.now.Truncate(time.Microsecond)
	r := &domainRoute{
		id: c.s.newID(), domain: name, upstreamID: deref(in.UpstreamProviderID), policy: loginPolicies[0], token: c.s.newID(),
		created: now, updated: now,
	}
	set(&r.policy, in.LoginPolicy)
	o.domainRoutes = append(o.domainRoutes, r)
	c.applied = true
	return jsonResponse(http.StatusOK, newDomainRouteModel(r))
}

func (c *call) checkDomainRoute(o *organization, upstreamID, policy *string) *response {
	if policy != nil && !slices.Contains(loginPolicies, *policy) {
		a := c.invalid("login_policy", "INVALID_VALUE", "Invalid login policy. Must be one of: "+strings.Join(loginPolicies, ", "))
		return &a
	}
	if upstreamID != nil && find(o.upstreams, func(u *upstream) bool { return u.id == *upstreamID }) == nil {
		a := c.notFound("Upstream provider not found")
		return &a
	}
	return nil
}

func (c *call) pathDomainRoute() (*organization, *domainRoute, *response) {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return nil, nil, refused
	}
	if r := find(o.domainRoutes, func(r *domainRoute) bool { return r.id == c.params[1] }); r != nil {
		return o, r, nil
	}
	a := c.notFound("Domain route not found")
	return nil, nil, &a
}

// updateDomainRoute clears the provider when none is given, and leaves the policy.
func (c *call) updateDomainRoute() response {
	in, bad := decode[struct {
		UpstreamProviderID *string `json:"upstream_provider_id"`
		LoginPolicy        *string `json:"login_policy"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, r, refused := c.pathDomainRoute()
	if refused == nil {
		refused = c.checkDomainRoute(o, in.UpstreamProviderID, in.LoginPolicy)
	}
	if refused != nil {
		return *refused
	}
	r.upstreamID, r.updated = deref(in.UpstreamProviderID), c.now.Truncate(time.Microsecond)
	set(&r.policy, in.LoginPolicy)
	c.applied = true
	return jsonResponse(http.StatusOK, newDomainRouteModel(r))
}

// verifyDomainRoute looks for the token under the domain; see [Server.ProveDomain].
func (c *call) verifyDomainRoute() response {
	_, r, refused := c.pathDomainRoute()
	switch {
	case refused != nil:
		return *refused
	case !r.proven:
		return c.badRequest("Domain verification failed: no matching DNS record or file was found")
	case r.verified.IsZero():
		r.verified = c.now.Truncate(time.Microsecond)
		c.applied = true
	}
	return jsonResponse(http.StatusOK, newDomainRouteModel(r))
}

func (c *call) deleteDomainRoute() response {
	o, r, refused := c.pathDomainRoute()
	if refused != nil {
		return *refused
	}
	o.domainRoutes = without(o.domainRoutes, r)
	c.applied = true
	return null()
}

func isDomain(name string) bool {
	return strings.Contains(name, ".") && !strings.ContainsAny(name, " /:@") && strings.Trim(name, ".") == name
}
