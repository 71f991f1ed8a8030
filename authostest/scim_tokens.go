package authostest

import (
	"net/http"
	"time"
)

func (t *table) scimTokenRoutes() {
	const tokens = "/api/organizations/:org_slug/scim-tokens"
	t.add("GET", tokens, bearer, (*call).listSCIMTokens)
	t.add("POST", tokens, bearer, (*call).createSCIMToken)
	t.add("POST", tokens+"/:token_id/revoke", bearer, (*call).revokeSCIMToken)
	t.add("DELETE", tokens+"/:token_id", bearer, (*call).deleteSCIMToken)
}

// scimRow is a token with which a directory may call the SCIM routes.
type scimRow struct {
	id, name, prefix string
	token            hash
	active           bool
	created          time.Time
	expires          time.Time // zero for never
	used             time.Time // zero when it never was
}

type scimRowModel struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Prefix     string  `json:"prefix"`
	Active     bool    `json:"active"`
	CreatedAt  string  `json:"created_at"`
	ExpiresAt  *string `json:"expires_at"`
	LastUsedAt *string `json:"last_used_at"`
}

// directoryOrg finds the organization of the path for who may manage its directory.
func (c *call) directoryOrg() (*organization, *response) {
	return c.orgFor("manage SCIM tokens", "integrations.manage")
}

func (c *call) listSCIMTokens() response {
	o, refused := c.directoryOrg()
	if refused != nil {
		return *refused
	}
	list := []scimRowModel{}
	for _, r := range o.scimTokens {
		list = append(list, scimRowModel{
			r.id, r.name, r.prefix, r.active, stampOffset(r.created), stamped(r.expires, stampOffset), stamped(r.used, stampOffset),
		})
	}
	return jsonResponse(http.StatusOK, list)
}

// createSCIMToken shows the token this once.
func (c *call) createSCIMToken() response {
	in, bad := decode[struct {
		Name      string  `json:"name"`
		ExpiresAt *string `json:"expires_at"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.directoryOrg()
	switch {
	case refused != nil:
		return *refused
	case !o.feature("allow_scim"):
		return c.featureMissing("SCIM provisioning")
	}
	r := &scimRow{id: c.s.newID(), name: in.Name, active: true, created: c.now.Truncate(time.Microsecond)}
	if in.ExpiresAt != nil {
		expires, err := time.Parse(time.RFC3339Nano, *in.ExpiresAt)
		if err != nil {
			return c.invalid("expires_at", "INVALID_FORMAT", "Invalid expires_at date")
		}
		r.expires = expires.UTC().Truncate(time.Microsecond)
	}
	secret := "scim_" + c.s.randomHex(32)
	r.prefix, r.token = secret[:len("scim_")+8], hashOf(secret)
	o.scimTokens = append(o.scimTokens, r)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		ID        string  `json:"id"`
		Name      string  `json:"name"`
		Token     string  `json:"token"`
		Prefix    string  `json:"prefix"`
		CreatedAt string  `json:"created_at"`
		ExpiresAt *string `json:"expires_at"`
	}{r.id, r.name, secret, r.prefix, stampOffset(r.created), stamped(r.expires, stampOffset)})
}

func (c *call) pathSCIMToken() (*organization, *scimRow, *response) {
	o, refused := c.directoryOrg()
	if refused != nil {
		return nil, nil, refused
	}
	if r := find(o.scimTokens, func(r *scimRow) bool { return r.id == c.params[1] }); r != nil {
		return o, r, nil
	}
	a := c.notFound("SCIM token not found")
	return nil, nil, &a
}

func (c *call) revokeSCIMToken() response {
	_, r, refused := c.pathSCIMToken()
	if refused != nil {
		return *refused
	}
	c.applied = r.active
	r.active = false
	return null()
}

func (c *call) deleteSCIMToken() response {
	o, r, refused := c.pathSCIMToken()
	if refused != nil {
		return *refused
	}
	o.scimTokens = without(o.scimTokens, r)
	c.applied = true
	return null()
}

// scimCaller finds the organization that a token is for, and the token.
func (sc *scene) scimCaller(token string, now time.Time) (*organization, *scimRow) {
	h := hashOf(token)
	for _, o := range sc.orgs {
		r := find(o.scimTokens, func(r *scimRow) bool { return r.token == h })
		if r != nil && r.active && (r.expires.IsZero() || now.Before(r.expires)) {
			return o, r
		}
	}
	return nil, nil
}
