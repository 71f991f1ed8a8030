package authostest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

func (t *table) signinRoutes() {
	t.add("POST", "/api/auth/lookup-email", public, (*call).lookupEmail)
	t.add("GET", "/api/auth/context", public, (*call).authContext)
	t.add("POST", "/api/auth/magic-link/request", public, (*call).requestMagicLink)
}

// providers are the social sign-ins of a server that nobody has restricted.
var providers = []string{"github", "google", "microsoft"}

// lookupEmail finds the identity provider of an address. Nobody's domain is routed
// to one here.
func (c *call) lookupEmail() response {
	in, bad := decode[struct {
		Email string `json:"email"`
	}](c, plainJSON)
	switch {
	case bad != nil:
		return *bad
	case !strings.Contains(in.Email, "@"):
		return c.invalid("email", "INVALID_FORMAT", "Invalid email address")
	}
	return jsonResponse(http.StatusOK, struct {
		ConnectionID   *string `json:"connection_id"`
		ProviderName   *string `json:"provider_name"`
		DomainVerified bool    `json:"domain_verified"`
		AuthMethod     string  `json:"auth_method"`
	}{AuthMethod: "oauth"})
}

type authOrganization struct {
	Slug         string  `json:"slug"`
	Name         string  `json:"name"`
	LogoURL      *string `json:"logo_url"`
	PrimaryColor *string `json:"primary_color"`
	Status       string  `json:"status"`
}

type authService struct {
	Slug             string `json:"slug"`
	Name             string `json:"name"`
	ServiceType      string `json:"service_type"`
	RedirectURIValid *bool  `json:"redirect_uri_valid"`
}

type authContext struct {
	Organization       *authOrganization `json:"organization"`
	Service            *authService      `json:"service"`
	AvailableProviders []string          `json:"available_providers"`
	AuthMethods        []string          `json:"auth_methods"`
	SupportAvailable   bool              `json:"support_available"`
}

// authContext is what a sign-in page shows before anybody signs in.
func (c *call) authContext() response {
	out := authContext{
		AvailableProviders: providers,
		AuthMethods:        []string{"password", "magic_link", "passkey"},
		SupportAvailable:   true,
	}
	query := c.r.URL.Query()
	org := strings.TrimSpace(query.Get("org"))
	if org == "" {
		return jsonResponse(http.StatusOK, out)
	}
	var slug, redirectURI *string
	if name := strings.TrimSpace(query.Get("service")); name != "" {
		slug = &name
	}
	if query.Has("redirect_uri") {
		redirectURI = new(query.Get("redirect_uri"))
	}
	o, v, refused := c.tenant(&org, slug)
	if refused != nil {
		return *refused
	}
	out.Organization = &authOrganization{Slug: o.slug, Name: o.name, Status: o.status}
	if own := c.providersOf(o); len(own) > 0 {
		out.AvailableProviders = own
	}
	if v != nil {
		out.Service = &authService{Slug: v.slug, Name: v.name, ServiceType: v.kind}
		if redirectURI != nil {
			out.Service.RedirectURIValid = new(c.unregisteredURI(v, redirectURI) == nil)
		}
	}
	if !o.active() {
		out.AvailableProviders, out.AuthMethods = []string{}, []string{}
	}
	return jsonResponse(http.StatusOK, out)
}

// requestMagicLink mails a link to anybody who asks, known or not.
func (c *call) requestMagicLink() response {
	in, bad := decode[askedByMail](c, plainJSON)
	var o *organization
	var v *service
	for _, check := range []func() *response{
		func() *response { return bad },
		func() *response { return c.mailOff("magic-link sign-in") },
		func() *response { return c.badAddress(in.Email) },
		func() *response { return c.mailLimited(in.Email) }, // here after the address, elsewhere before
		func() *response { return c.needsTenant(in.OrgSlug, in.ServiceSlug, in.RedirectURI) },
		func() (refused *response) { o, v, refused = c.tenant(in.OrgSlug, in.ServiceSlug); return refused },
		func() *response { return c.inactive(o) },
		func() *response { return c.unregisteredURI(v, in.RedirectURI) },
	} {
		if refused := check(); refused != nil {
			return *refused
		}
	}
	h := c.post(MagicLinkMail, in.Email, "/auth/magic-link/verify")
	link := magicLink{expires: c.now.Add(magicLinkLife)}
	if u := c.s.scene.byEmail[strings.ToLower(in.Email)]; u != nil {
		link.userID = u.ID
	}
	c.s.scene.links[h] = link
	c.s.scene.mail.context[h] = linkContext{deref(in.OrgSlug), deref(in.ServiceSlug), in.RedirectURI, in.State}
	c.applied = true
	return jsonResponse(http.StatusOK, message{"If this address has an account, a sign-in link is on its way."})
}

// needsTenant refuses a context with a hole in it.
func (c *call) needsTenant(org, service, redirectURI *string) *response {
	var a response
	switch {
	case service != nil && org == nil:
		a = c.badRequest("service_slug requires org_slug")
	case redirectURI != nil && service == nil:
		a = c.badRequest("redirect_uri requires org_slug and service_slug")
	default:
		return nil
	}
	return &a
}

func (c *call) inactive(o *organization) *response {
	if o == nil || o.active() {
		return nil
	}
	a := c.organizationNotActive(o.status)
	return &a
}

// mayEnterHere is the check of every sign-in that names a tenant.
func (c *call) mayEnterHere(who *user, o *organization, v *service) *response {
	if o == nil || c.s.scene.mayEnter(who, o, v) {
		return nil
	}
	text := "You are not a member of this organization"
	if v != nil {
		text = "You do not have access to this service"
	}
	a := c.forbidden(text)
	return &a
}

// providersOf lists the social sign-ins for which an organization has set up
// credentials of its own.
func (c *call) providersOf(o *organization) []string {
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(o.oauth))))
}
