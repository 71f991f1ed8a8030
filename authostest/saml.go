package authostest

import (
	"encoding/base64"
	"html"
	"maps"
	"net/http"
	"time"
)

func (t *table) samlRoutes() {
	const config = "/api/organizations/:org_slug/services/:service_slug/saml"
	t.add("GET", config, bearer, (*call).samlConfig)
	t.add("POST", config, bearer, (*call).setSAMLConfig)
	t.add("DELETE", config, bearer, (*call).deleteSAMLConfig)
	t.add("GET", config+"/certificate", bearer, (*call).samlCertificate)
	t.add("POST", config+"/certificate", bearer, (*call).newSAMLCertificate)
	t.add("DELETE", config+"/certificate/overlap", bearer, (*call).endSAMLOverlap)
	t.add("GET", config+"/login", bearer, (*call).samlLogin)

	const idp = "/saml/:org_slug/:service_slug"
	t.add("GET", idp+"/metadata", public, (*call).samlMetadata)
	for _, path := range []string{"/sso", "/slo"} {
		t.add("GET", idp+path, public, (*call).samlRequest)
		t.add("POST", idp+path, public, (*call).samlRequest)
	}
	t.add("GET", idp+"/authenticate", public, (*call).samlRequest)
	t.add("POST", "/saml/mfa/verify", public, (*call).verifySAMLMFA)
}

const (
	samlShelf        = "saml"
	certificateShelf = "saml-certificate"
	certificateLife  = 365 * day
)

// samlService finds the service of the path for somebody who may manage it.
func (c *call) samlService(change bool) (*service, *response) {
	o, refused := c.activeOrg()
	if refused != nil {
		return nil, refused
	}
	var a response
	switch v := o.services[c.params[1]]; {
	case v == nil:
		a = c.notFound("Service not found")
	case !v.manageableBy(c.user.ID):
		a = c.forbidden("Insufficient permissions to manage this service")
	case change && !o.feature("allow_saml_idp"):
		a = c.featureMissing("SAML identity provider")
	default:
		return v, nil
	}
	return nil, &a
}

// only is the one thing on a shelf, or nil.
func (c *call) only(key shelfKey) thing {
	if list := c.s.scene.shelves[key]; len(list) > 0 {
		return list[0]
	}
	return nil
}

func (c *call) samlConfig() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	shown := thing{
		"saml_enabled": false, "entity_id": nil, "acs_url": nil, "slo_url": nil, "name_id_format": nil, "attribute_mapping": nil,
		"sign_assertions": true, "sign_response": true,
	}
	if kept := c.only(shelfKey{v.id, samlShelf}); kept != nil {
		maps.Copy(shown, kept)
		shown["saml_enabled"] = true
	}
	for _, name := range []string{"id", "created_at", "updated_at"} {
		delete(shown, name)
	}
	return jsonResponse(http.StatusOK, shown)
}

func (c *call) setSAMLConfig() response {
	in, bad := c.thing("")
	if bad != nil {
		return *bad
	}
	v, refused := c.samlService(true)
	if refused != nil {
		return *refused
	}
	delete(c.s.scene.shelves, shelfKey{v.id, samlShelf})
	c.put(shelfKey{v.id, samlShelf}, in)
	return c.samlConfig()
}

func (c *call) deleteSAMLConfig() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	delete(c.s.scene.shelves, shelfKey{v.id, samlShelf})
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "SAML configuration deleted successfully"})
}

// samlCertificate shows the certificate, whose key is not a real one.
func (c *call) samlCertificate() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	kept := c.only(shelfKey{v.id, certificateShelf})
	if kept == nil {
		return c.notFound("SAML certificate not found")
	}
	from, _ := kept["from"].(time.Time)
	until := from.Add(certificateLife)
	return jsonResponse(http.StatusOK, struct {
		PublicKey        string     `json:"public_key"`
		ValidFrom        string     `json:"valid_from"`
		ValidUntil       string     `json:"valid_until"`
		IsActive         bool       `json:"is_active"`
		CreatedAt        string     `json:"created_at"`
		LifecycleStatus  string     `json:"lifecycle_status"`
		ExpiresInSeconds int64      `json:"expires_in_seconds"`
		Previous         []struct{} `json:"published_previous_certificates"`
	}{
		samlKey(v), stampZ(from), stampZ(until), c.now.Before(until), stampZ(from), "active",
		int64(until.Sub(c.now) / time.Second), []struct{}{},
	})
}

func samlKey(v *service) string {
	return "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString([]byte("authostest "+v.id)) + "\n-----END CERTIFICATE-----\n"
}

func (c *call) newSAMLCertificate() response {
	v, refused := c.samlService(true)
	if refused != nil {
		return *refused
	}
	delete(c.s.scene.shelves, shelfKey{v.id, certificateShelf})
	c.put(shelfKey{v.id, certificateShelf}, thing{"from": c.now.Truncate(time.Microsecond)})
	return c.samlCertificate()
}

// endSAMLOverlap has no previous certificate to withdraw.
func (c *call) endSAMLOverlap() response {
	if _, refused := c.samlService(false); refused != nil {
		return *refused
	}
	return c.notFound("No previous SAML certificate is published")
}

func (c *call) samlLogin() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	if c.only(shelfKey{v.id, samlShelf}) == nil {
		return c.badRequest("SAML is not enabled for this service")
	}
	return jsonResponse(http.StatusOK, struct {
		LoginURL string `json:"login_url"`
	}{c.s.URL + "/saml/" + v.org.slug + "/" + v.slug + "/sso"})
}

// samlProvider finds the service of the path where SAML is on.
func (c *call) samlProvider() (*service, *response) {
	var a response
	switch o := c.s.scene.orgs[c.params[0]]; {
	case o == nil:
		a = c.notFound("Organization not found")
	case o.services[c.params[1]] == nil:
		a = c.notFound("Service not found")
	case c.only(shelfKey{o.services[c.params[1]].id, samlShelf}) == nil:
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
