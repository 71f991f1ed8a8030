package authostest

import (
	"net/http"
	"strings"
)

func (t *table) brandingRoutes() {
	t.add("PATCH", "/api/organizations/:org_slug/branding", bearer, (*call).updateBranding)
	t.add("GET", "/api/organizations/:org_slug/branding", bearer, (*call).getBranding)
	t.add("GET", "/api/organizations/:org_slug/branding/public", public, (*call).publicBranding)
	t.add("POST", "/api/organizations/:org_slug/domain", bearer, (*call).setDomain)
	t.add("GET", "/api/organizations/:org_slug/domain", bearer, (*call).getDomain)
	t.add("DELETE", "/api/organizations/:org_slug/domain", bearer, (*call).deleteDomain)
	t.add("POST", "/api/organizations/:org_slug/domain/verify", bearer, (*call).verifyDomain)
}

// brand is how the hosted pages of an organization look.
type brand struct {
	LogoURL      *string `json:"logo_url"`
	PrimaryColor *string `json:"primary_color"`
}

// customDomain is a name of an organization's own for the hosted pages.
type customDomain struct {
	name     string
	token    string // to be published under it
	proven   bool   // it has been
	verified bool   // and the server has seen it
}

// updateBranding sets both fields: what is left out is cleared.
func (c *call) updateBranding() response {
	in, bad := decode[brand](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.settingsOrg()
	switch {
	case refused != nil:
		return *refused
	case !o.feature("allow_branding"):
		return c.featureMissing("Custom Branding")
	case in.PrimaryColor != nil && !isColor(*in.PrimaryColor):
		return c.invalid("primary_color", "INVALID_FORMAT", "Invalid color format. Must be a hex color (e.g., #FF5733 or #F57)")
	}
	o.brand = in
	o.touch(c.now)
	c.record(o, "branding.updated", "organization", o.id, details{"logo_url": in.LogoURL, "primary_color": in.PrimaryColor})
	c.applied = true
	return jsonResponse(http.StatusOK, o.brand)
}

func isColor(text string) bool {
	digits, ok := strings.CutPrefix(text, "#")
	return ok && (len(digits) == 3 || len(digits) == 6) && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// lookedAtOrg finds the organization of the path for a member or a platform owner.
func (c *call) lookedAtOrg() (*organization, *response) {
	o, missing := c.org()
	if missing != nil {
		return nil, missing
	}
	if !c.user.platformOwner && o.members[c.user.ID] == "" {
		a := c.forbidden("You must be a member of this organization")
		return nil, &a
	}
	return o, nil
}

func (c *call) getBranding() response {
	o, refused := c.lookedAtOrg()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, o.brand)
}

func (c *call) publicBranding() response {
	o, missing := c.org()
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, o.brand)
}

func (c *call) setDomain() response {
	in, bad := decode[struct {
		Domain string `json:"domain"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.settingsOrg()
	switch {
	case refused != nil:
		return *refused
	case !o.feature("allow_custom_domain"):
		return c.featureMissing("Custom Domain")
	}
	name := strings.ToLower(strings.TrimSpace(in.Domain))
	if !isDomain(name) {
		return c.invalid("domain", "INVALID_FORMAT", "Invalid domain")
	}
	for _, other := range c.s.scene.orgs {
		if other != o && other.domain.name == name {
			return c.taken("This domain is already in use by another organization")
		}
	}
	o.domain = customDomain{name: name, token: c.s.newID()}
	o.touch(c.now)
	c.record(o, "domain.set", "organization", o.id, details{"domain": name})
	c.applied = true
	type method struct {
		Method       string  `json:"method"`
		Instructions string  `json:"instructions"`
		RecordType   *string `json:"record_type"`
		RecordName   *string `json:"record_name"`
		RecordValue  *string `json:"record_value"`
	}
	return jsonResponse(http.StatusOK, struct {
		VerificationToken   string   `json:"verification_token"`
		VerificationMethods []method `json:"verification_methods"`
	}{o.domain.token, []method{
		{
			"DNS TXT Record", "Add a TXT record to your domain's DNS settings",
			new("TXT"), new("_sso-verification." + name), &o.domain.token,
		},
		{
			"HTTP File", "Upload a file to http://" + name + "/.well-known/sso-verification.txt containing the verification token",
			nil, nil, &o.domain.token,
		},
	}})
}

func (c *call) getDomain() response {
	o, refused := c.lookedAtOrg()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, struct {
		CustomDomain   *string `json:"custom_domain"`
		DomainVerified bool    `json:"domain_verified"`
	}{optional(o.domain.name), o.domain.verified})
}

func (c *call) deleteDomain() response {
	o, refused := c.settingsOrg()
	if refused != nil {
		return *refused
	}
	if o.domain.name != "" {
		c.record(o, "domain.deleted", "organization", o.id, details{"domain": o.domain.name})
		c.applied = true
	}
	o.domain = customDomain{}
	o.touch(c.now)
	return empty(http.StatusNoContent)
}

// verifyDomain looks for the token under the name. Not finding it is a 200 too.
func (c *call) verifyDomain() response {
	o, refused := c.settingsOrg()
	switch {
	case refused != nil:
		return *refused
	case o.domain.name == "":
		return c.badRequest("No custom domain configured")
	}
	type result struct {
		Verified bool   `json:"verified"`
		Message  string `json:"message"`
	}
	switch {
	case o.domain.verified:
		return jsonResponse(http.StatusOK, result{true, "Domain is already verified"})
	case !o.domain.proven:
		return jsonResponse(http.StatusOK, result{false,
			"Domain verification failed. Please ensure the TXT record or HTTP file is correctly configured."})
	}
	o.domain.verified = true
	o.touch(c.now)
	c.record(o, "domain.verified", "organization", o.id, details{"domain": o.domain.name, "method": "DNS"})
	c.applied = true
	return jsonResponse(http.StatusOK, result{true, "Domain verified successfully via DNS TXT record"})
}
