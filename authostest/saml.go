package authostest

import (
	"html"
	"net/http"
)

func (t *table) samlRoutes() {
	const idp = "/saml/:org_slug/:service_slug"
	t.add("GET", idp+"/metadata", public, (*call).samlMetadata)
	for _, path := range []string{"/sso", "/slo"} {
		t.add("GET", idp+path, public, (*call).samlRequest)
		t.add("POST", idp+path, public, (*call).samlRequest)
	}
	t.add("GET", idp+"/authenticate", public, (*call).samlRequest)
	t.add("POST", "/saml/mfa/verify", public, (*call).verifySAMLMFA)
}

// samlProvider finds the service of the path where SAML is on.
func (c *call) samlProvider() (*service, *response) {
	var a response
	switch o := c.s.scene.orgs[c.params[0]]; {
	case o == nil:
		a = c.notFound("Organization not found")
	case o.services[c.params[1]] == nil:
		a = c.notFound("Service not found")
	case !o.services[c.params[1]].saml.Enabled:
		a = c.badRequest("SAML is not enabled for this service")
	default:
		return o.services[c.params[1]], nil
	}
	return nil, &a
}

func (c *call) samlMetadata() response {
	v, refused := c.samlProvider()
	if refused != nil {
		return *refused
	}
	base := html.EscapeString(c.s.URL + "/saml/" + v.org.slug + "/" + v.slug)
	return typed(http.StatusOK, "application/xml", []byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="`+base+`/metadata">`+
		`<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`+
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="`+base+`/sso"/>`+
		`</IDPSSODescriptor></EntityDescriptor>`+"\n"))
}

// samlRequest understands no message of the protocol: signing responses is beyond a
// fake.
func (c *call) samlRequest() response {
	if _, refused := c.samlProvider(); refused != nil {
		return *refused
	}
	return c.badRequest("Invalid SAML request")
}

// verifySAMLMFA finishes a sign-in that a service provider began, of which there
// are none.
func (c *call) verifySAMLMFA() response {
	form, bad := c.form("preauth_token")
	if bad != nil {
		return *bad
	}
	typ, _, found := c.s.verify(form.Get("preauth_token"), c.now)
	if found != genuine || typ != preauthType {
		return c.fail(http.StatusUnauthorized, "JWT_ERROR", "Invalid token")
	}
	return c.badRequest("SAML state is missing")
}
