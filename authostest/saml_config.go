package authostest

import (
	"encoding/base64"
	"net/http"
	"time"
)

func (t *table) samlConfigRoutes() {
	const config = "/api/organizations/:org_slug/services/:service_slug/saml"
	t.add("GET", config, bearer, (*call).samlConfig)
	t.add("POST", config, bearer, (*call).setSAMLConfig)
	t.add("DELETE", config, bearer, (*call).deleteSAMLConfig)
	t.add("GET", config+"/certificate", bearer, (*call).samlCertificate)
	t.add("POST", config+"/certificate", bearer, (*call).newSAMLCertificate)
	t.add("DELETE", config+"/certificate/overlap", bearer, (*call).endSAMLOverlap)
	t.add("GET", config+"/login", bearer, (*call).samlLogin)
}

// samlSettings is how a service is known to others as an identity provider.
type samlSettings struct {
	Enabled          bool              `json:"enabled"`
	EntityID         *string           `json:"entity_id"`
	ACSURL           *string           `json:"acs_url"`
	SLOURL           *string           `json:"slo_url"`
	NameIDFormat     *string           `json:"name_id_format"`
	AttributeMapping map[string]string `json:"attribute_mapping"`
	SignAssertions   bool              `json:"sign_assertions"`
	SignResponse     bool              `json:"sign_response"`
}

// samlCert is a signing certificate, whose key is not a real one.
type samlCert struct {
	name     string
	from     time.Time
	withdraw time.Time // when one that has been replaced is published no more
}

const (
	certificateLife    = 365 * day
	certificateOverlap = 30 * day
	certificateWarning = 30 * day
)

func (s samlCert) until() time.Time { return s.from.Add(certificateLife) }

func (s samlCert) publicKey() string {
	return "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString([]byte("authostest "+s.name)) + "\n-----END CERTIFICATE-----\n"
}

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

func (c *call) samlConfig() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, struct {
		samlSettings

		HasCertificate bool `json:"has_certificate"`
	}{v.saml, len(v.certificates) > 0})
}

// setSAMLConfig replaces: what is left out is cleared.
func (c *call) setSAMLConfig() response {
	in, bad := decode[struct {
		Enabled          bool               `json:"enabled"`
		EntityID         *string            `json:"entity_id"`
		ACSURL           *string            `json:"acs_url"`
		SLOURL           *string            `json:"slo_url"`
		NameIDFormat     *string            `json:"name_id_format"`
		AttributeMapping *map[string]string `json:"attribute_mapping"`
		SignAssertions   *bool              `json:"sign_assertions"`
		SignResponse     *bool              `json:"sign_response"`
	}](c, json400)
	if bad != nil {
		return *bad
	}
	v, refused := c.samlService(true)
	switch {
	case refused != nil:
		return *refused
	case in.Enabled && (deref(in.EntityID) == "" || deref(in.ACSURL) == ""):
		return c.badRequest("entity_id and acs_url are required to enable SAML")
	}
	v.saml = samlSettings{
		Enabled: in.Enabled, EntityID: in.EntityID, ACSURL: in.ACSURL, SLOURL: in.SLOURL, NameIDFormat: in.NameIDFormat,
		SignAssertions: true, SignResponse: true,
	}
	set(&v.saml.AttributeMapping, in.AttributeMapping)
	set(&v.saml.SignAssertions, in.SignAssertions)
	set(&v.saml.SignResponse, in.SignResponse)
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "SAML configuration updated successfully"})
}

func (c *call) deleteSAMLConfig() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	v.saml, v.certificates = samlSettings{}, nil
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "SAML configuration deleted successfully"})
}

// publishedCert is a certificate that was replaced and is still shown to others.
type publishedCert struct {
	PublicKey    string `json:"public_key"`
	ValidFrom    string `json:"valid_from"`
	ValidUntil   string `json:"valid_until"`
	PublishUntil string `json:"publish_until"`
	CreatedAt    string `json:"created_at"`
}

// samlCertificate shows the newest certificate, and those that it has replaced.
func (c *call) samlCertificate() response {
	v, refused := c.samlService(false)
	switch {
	case refused != nil:
		return *refused
	case len(v.certificates) == 0:
		return c.notFound("SAML certificate not found")
	}
	newest := v.certificates[len(v.certificates)-1]
	previous := []publishedCert{}
	for _, s := range v.certificates[:len(v.certificates)-1] {
		if c.now.Before(s.withdraw) {
			previous = append(previous, publishedCert{s.publicKey(), stampZ(s.from), stampZ(s.until()), stampZ(s.withdraw), stampZ(s.from)})
		}
	}
	left := newest.until().Sub(c.now)
	status := "healthy"
	switch {
	case left <= 0:
		status = "expired"
	case left < certificateWarning:
		status = "expiring_soon"
	}
	return jsonResponse(http.StatusOK, struct {
		PublicKey        string          `json:"public_key"`
		ValidFrom        string          `json:"valid_from"`
		ValidUntil       string          `json:"valid_until"`
		IsActive         bool            `json:"is_active"`
		CreatedAt        string          `json:"created_at"`
		LifecycleStatus  string          `json:"lifecycle_status"`
		ExpiresInSeconds int64           `json:"expires_in_seconds"`
		Previous         []publishedCert `json:"published_previous_certificates"`
	}{
		newest.publicKey(), stampZ(newest.from), stampZ(newest.until()), left > 0, stampZ(newest.from), status, int64(left / time.Second), previous,
	})
}

func (c *call) newSAMLCertificate() response {
	v, refused := c.samlService(true)
	if refused != nil {
		return *refused
	}
	now := c.now.Truncate(time.Microsecond)
	if n := len(v.certificates); n > 0 {
		v.certificates[n-1].withdraw = now.Add(certificateOverlap)
	}
	v.certificates = append(v.certificates, samlCert{name: c.s.newID(), from: now})
	c.applied = true
	return c.samlCertificate()
}

// endSAMLOverlap withdraws the certificates that were replaced.
func (c *call) endSAMLOverlap() response {
	v, refused := c.samlService(false)
	if refused != nil {
		return *refused
	}
	retired := max(len(v.certificates)-1, 0)
	v.certificates = v.certificates[retired:]
	c.applied = retired > 0
	return jsonResponse(http.StatusOK, struct {
		Success bool `json:"success"`
		Retired int  `json:"retired_certificates"`
	}{true, retired})
}

func (c *call) samlLogin() response {
	v, refused := c.samlService(false)
	switch {
	case refused != nil:
		return *refused
	case !v.saml.Enabled:
		return c.badRequest("SAML is not enabled for this service")
	}
	return jsonResponse(http.StatusOK, struct {
		LoginURL string `json:"login_url"`
	}{c.s.URL + "/saml/" + v.org.slug + "/" + v.slug + "/sso"})
}
