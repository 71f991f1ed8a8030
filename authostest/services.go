package authostest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (t *table) catalogRoutes() {
	const all = "/api/organizations/:org_slug/services"
	t.add("GET", all, bearer, (*call).listServices)
	t.add("POST", all, bearer, (*call).createService)
	t.add("GET", all+"/:service_slug", bearer, (*call).getService)
	t.add("PATCH", all+"/:service_slug", bearer, (*call).updateService)
	t.add("DELETE", all+"/:service_slug", bearer, (*call).deleteService)
	t.add("POST", all+"/:service_slug/secret/rotate", bearer, (*call).rotateSecret)
}

// serviceModel is a service as its organization sees it.
type serviceModel struct {
	ID                   string            `json:"id"`
	OrgID                string            `json:"org_id"`
	Slug                 string            `json:"slug"`
	Name                 string            `json:"name"`
	ServiceType          string            `json:"service_type"`
	ClientID             string            `json:"client_id"`
	ClientSecret         *string           `json:"client_secret"` // in the response to a create only
	GithubScopes         []string          `json:"github_scopes"`
	MicrosoftScopes      []string          `json:"microsoft_scopes"`
	GoogleScopes         []string          `json:"google_scopes"`
	RedirectURIs         []string          `json:"redirect_uris"`
	DeviceActivationURI  *string           `json:"device_activation_uri"`
	ResourceURIs         []string          `json:"resource_uris"`
	SAMLEnabled          bool              `json:"saml_enabled"`
	SAMLEntityID         *string           `json:"saml_entity_id"`
	SAMLACSURL           *string           `json:"saml_acs_url"`
	SAMLSLOURL           *string           `json:"saml_slo_url"`
	SAMLNameIDFormat     *string           `json:"saml_name_id_format"`
	SAMLAttributeMapping map[string]string `json:"saml_attribute_mapping"`
	SAMLSignAssertions   bool              `json:"saml_sign_assertions"`
	SAMLSignResponse     bool              `json:"saml_sign_response"`
	CreatedAt            string            `json:"created_at"`
}

func newServiceModel(v *service) serviceModel {
	return serviceModel{
		ID:                   v.id,
		OrgID:                v.org.id,
		Slug:                 v.slug,
		Name:                 v.name,
		ServiceType:          v.kind,
		ClientID:             v.clientID,
		GithubScopes:         v.scopes["github"],
		MicrosoftScopes:      v.scopes["microsoft"],
		GoogleScopes:         v.scopes["google"],
		RedirectURIs:         v.redirectURIs,
		DeviceActivationURI:  optional(v.activationURI),
		ResourceURIs:         v.resourceURIs,
		SAMLEnabled:          v.saml.Enabled,
		SAMLEntityID:         v.saml.EntityID,
		SAMLACSURL:           v.saml.ACSURL,
		SAMLSLOURL:           v.saml.SLOURL,
		SAMLNameIDFormat:     v.saml.NameIDFormat,
		SAMLAttributeMapping: v.saml.AttributeMapping,
		SAMLSignAssertions:   v.saml.SignAssertions,
		SAMLSignResponse:     v.saml.SignResponse,
		CreatedAt:            stampZ(v.created),
	}
}

type usage struct {
	CurrentServices int    `json:"current_services"`
	MaxServices     int    `json:"max_services"`
	Tier            string `json:"tier"`
}

func newUsage(o *organization, services int) usage {
	return usage{services, o.serviceLimit(), o.tierOf().DisplayName}
}

// serviceInput is what a create and an update have in common.
type serviceInput struct {
	Name                *string   `json:"name"`
	ServiceType         *string   `json:"service_type"`
	GithubScopes        *[]string `json:"github_scopes"`
	MicrosoftScopes     *[]string `json:"microsoft_scopes"`
	GoogleScopes        *[]string `json:"google_scopes"`
	RedirectURIs        *[]string `json:"redirect_uris"`
	DeviceActivationURI *string   `json:"device_activation_uri"`
	ResourceURIs        *[]string `json:"resource_uris"`
}

func (c *call) checkService(in serviceInput) *response {
	if in.RedirectURIs != nil && len(*in.RedirectURIs) == 0 {
		a := c.invalid("redirect_uris", "REQUIRED", "At least one redirect URI is required")
		return &a
	}
	if in.ResourceURIs != nil {
		if len(*in.ResourceURIs) == 0 {
			a := c.invalid("resource_uris", "REQUIRED", "At least one resource URI is required")
			return &a
		}
		for _, uri := range *in.ResourceURIs {
			if u, err := url.Parse(uri); err != nil || !u.IsAbs() || u.Fragment != "" {
				a := c.invalid("resource_uris", "INVALID_FORMAT", "Invalid resource URI")
				return &a
			}
		}
	}
	kinds := []string{"web", "mobile", "desktop", "api"}
	if in.ServiceType != nil && !slices.Contains(kinds, *in.ServiceType) {
		a := c.invalid("service_type", "INVALID_VALUE", "Invalid service type. Must be one of: "+strings.Join(kinds, ", "))
		return &a
	}
	return nil
}

// apply sets what was given. Null is the same as absent, so nothing can be cleared.
func (in serviceInput) apply(v *service) {
	set(&v.name, in.Name)
	set(&v.kind, in.ServiceType)
	set(&v.redirectURIs, in.RedirectURIs)
	set(&v.activationURI, in.DeviceActivationURI)
	set(&v.resourceURIs, in.ResourceURIs)
	given := map[string]*[]string{"github": in.GithubScopes, "microsoft": in.MicrosoftScopes, "google": in.GoogleScopes}
	for provider, scopes := range given {
		if scopes != nil {
			v.allow(provider, *scopes)
		}
	}
}

// set changes a value that was given.
func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

// given is an optional value as [set] takes it, for a field that is optional itself.
func given[T any](value *T) **T {
	if value == nil {
		return nil
	}
	return &value
}

// allow offers an identity provider on the service, with these scopes.
func (v *service) allow(provider string, scopes []string) {
	if v.scopes == nil {
		v.scopes = map[string][]string{}
	}
	v.scopes[provider] = scopes
}

// serviceRow is a service in the list.
type serviceRow struct {
	serviceModel

	PlanCount         int `json:"plan_count"`
	SubscriptionCount int `json:"subscription_count"`
}

// listServices shows the services that the member may see, and counts only those.
func (c *call) listServices() response {
	limit, bad := c.integer("limit", -1)
	if bad != nil {
		return *bad
	}
	offset, bad := c.integer("offset", 0)
	if bad != nil {
		return *bad
	}
	o, refused := c.activeOrg()
	switch {
	case refused != nil:
		return *refused
	case o.members[c.user.ID] == "":
		return c.forbidden("Not a member of this organization")
	}
	query := c.r.URL.Query()
	if c.october() && query.Has("offset") && !query.Has("limit") {
		return c.databaseError() // whose language has no offset without a limit
	}
	list := []serviceRow{}
	for _, v := range o.servicesInOrder() {
		if v.viewableBy(c.user.ID) && (!query.Has("service_type") || query.Get("service_type") == v.kind) {
			list = append(list, serviceRow{newServiceModel(v), len(v.plans), v.active(nil)})
		}
	}
	total := len(list)
	if !query.Has("limit") {
		limit = total
	}
	return jsonResponse(http.StatusOK, struct {
		Services []serviceRow `json:"services"`
		Usage    usage        `json:"usage"`
	}{slice(list, max(limit, 0), max(offset, 0)), newUsage(o, total)})
}

func (c *call) createService() response {
	in, bad := decode[struct {
		Slug        string `json:"slug"`
		Name        string `json:"name"`
		ServiceType string `json:"service_type"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	more, bad := decode[serviceInput](c, plainJSON)
	if bad == nil {
		bad = c.checkService(more)
	}
	if bad != nil {
		return *bad
	}
	o, refused := c.orgFor("create services", "services.create")
	switch {
	case refused != nil:
		return *refused
	case len(o.services) >= o.serviceLimit():
		return c.serviceLimitReached(o)
	case o.services[in.Slug] != nil:
		return c.duplicate("Service with this slug already exists in this organization")
	}
	v := &service{id: c.s.newID(), slug: in.Slug, org: o, created: c.now.Truncate(time.Microsecond), clientID: c.s.newID()}
	v.secret, v.plans = c.s.newID(), []*plan{newFreePlan(c.s.scene.entropy, c.now)}
	more.apply(v)
	o.services[v.slug] = v
	c.record(o, "service.created", "service", v.id, details{
		"service_slug": v.slug, "service_name": v.name, "service_type": v.kind, "client_id": v.clientID,
	})
	c.applied = true
	model := newServiceModel(v)
	model.ClientSecret = &v.secret
	return jsonResponse(http.StatusOK, struct {
		Service     serviceModel `json:"service"`
		DefaultPlan planModel    `json:"default_plan"`
		Usage       usage        `json:"usage"`
	}{model, newPlanModel(v, v.plans[0]), newUsage(o, len(o.services))})
}

// pathService finds the service of the path in an organization.
func (c *call) pathService(o *organization) (*service, *response) {
	if v := o.services[c.params[1]]; v != nil {
		return v, nil
	}
	a := c.notFound("Service not found")
	return nil, &a
}

// viewedService finds the service of the path for a member who may look at it.
func (c *call) viewedService(refusal string) (*service, *response) {
	o, refused := c.activeOrg()
	if refused != nil {
		return nil, refused
	}
	if o.members[c.user.ID] == "" {
		a := c.forbidden("Not a member of this organization")
		return nil, &a
	}
	v, missing := c.pathService(o)
	if missing != nil {
		return nil, missing
	}
	if !v.viewableBy(c.user.ID) {
		a := c.forbidden("Insufficient permissions to " + refusal)
		return nil, &a
	}
	return v, nil
}

// managedService finds the service of the path for who may change it.
func (c *call) managedService(refusal string) (*service, *response) {
	o, refused := c.activeOrg()
	if refused != nil {
		return nil, refused
	}
	v, missing := c.pathService(o)
	if missing != nil {
		return nil, missing
	}
	if !v.manageableBy(c.user.ID) {
		a := c.forbidden("Insufficient permissions to " + refusal)
		return nil, &a
	}
	return v, nil
}

func (c *call) getService() response {
	v, refused := c.viewedService("view this service")
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, newServiceModel(v))
}

func (c *call) updateService() response {
	in, bad := decode[serviceInput](c, plainJSON)
	if bad == nil {
		bad = c.checkService(in)
	}
	switch {
	case bad != nil:
		return *bad
	case in == serviceInput{}:
		return c.badRequest("No fields to update")
	}
	v, refused := c.managedService("update this service")
	if refused != nil {
		return *refused
	}
	in.apply(v)
	c.applied = true
	return jsonResponse(http.StatusOK, newServiceModel(v))
}

// rotateSecret shows the new secret beside the service, not in it.
func (c *call) rotateSecret() response {
	v, refused := c.managedService("rotate service secrets")
	if refused != nil {
		return *refused
	}
	v.secret = c.s.newID()
	c.record(v.org, "service.secret_rotated", "service", v.id, details{
		"service_slug": v.slug, "service_name": v.name, "client_id": v.clientID,
	})
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Service      serviceModel `json:"service"`
		ClientSecret string       `json:"client_secret"`
	}{newServiceModel(v), v.secret})
}

func (c *call) deleteService() response {
	o, refused := c.activeOrg()
	switch {
	case refused != nil:
		return *refused
	case o.members[c.user.ID] != "owner":
		return c.forbidden("Only organization owners can delete services")
	}
	v, missing := c.pathService(o)
	switch {
	case missing != nil:
		return *missing
	case v.active(nil) > 0:
		return c.badRequest("Cannot delete service with active subscriptions")
	}
	c.s.scene.deleteService(v)
	c.applied = true
	return empty(http.StatusNoContent)
}
