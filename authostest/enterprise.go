package authostest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func (t *table) enterpriseRoutes() {
	for _, k := range []collection{
		{
			path: "siem-configs", list: "siem_configs", noun: "SIEM configuration", required: "name", update: "PUT",
			capability: "integrations.manage", override: "allow_siem", printed: "SIEM integration", test: true,
		},
		{
			path: "upstream-providers", list: "upstream_providers", noun: "Upstream provider", required: "name", update: "PATCH",
			capability: "integrations.manage", override: "allow_saml_idp", printed: "Enterprise identity providers",
		},
		{
			path: "domain-routes", list: "domain_routes", noun: "Domain route", required: "domain", update: "PATCH",
			capability: "integrations.manage", override: "allow_saml_idp", printed: "Enterprise identity providers",
		},
	} {
		k.routes(t)
	}
	t.add("POST", "/api/organizations/:org_slug/domain-routes/:domain_id/verify", bearer, (*call).verifyDomainRoute)
	t.scimRoutes()
	t.samlRoutes()
	t.billingRoutes()
}

// collection is a set of things that an organization keeps and whose fields are
// nobody's business here: what was put in comes out, but for its secrets.
type collection struct {
	path, list, noun string
	required         string // the one field that must be there
	update           string // the method that changes one
	capability       string
	override         string // feature override without which the free tier cannot add one
	printed          string // the feature, as the refusal names it
	test             bool   // there is a route to try one out
}

// thing is one of them, as it is shown.
type thing map[string]any

// secretFields are taken in and never shown.
var secretFields = []string{"client_secret", "api_key", "secret", "token", "password", "webhook_secret"}

// shelfKey names a collection of an organization, or of a part of one.
type shelfKey struct{ owner, kind string }

func (k collection) routes(t *table) {
	all := "/api/organizations/:org_slug/" + k.path
	id := map[string]string{"siem-configs": "/:config_id", "upstream-providers": "/:provider_id", "domain-routes": "/:domain_id"}[k.path]
	t.add("GET", all, bearer, k.showAll)
	t.add("POST", all, bearer, k.create)
	if k.path != "domain-routes" {
		t.add("GET", all+id, bearer, k.show)
	}
	t.add(k.update, all+id, bearer, k.change)
	t.add("DELETE", all+id, bearer, k.remove)
	if k.test {
		t.add("POST", all+id+"/test", bearer, k.try)
	}
}

// shelf finds the things of the organization of the path.
func (k collection) shelf(c *call) (*organization, shelfKey, *response) {
	o, refused := c.orgFor("manage integrations", k.capability)
	if refused != nil {
		return nil, shelfKey{}, refused
	}
	return o, shelfKey{o.id, k.path}, nil
}

func (k collection) showAll(c *call) response {
	_, key, refused := k.shelf(c)
	if refused != nil {
		return *refused
	}
	return c.listing(k.list, key)
}

// listing shows the things on a shelf.
func (c *call) listing(name string, key shelfKey) response {
	things := slices.AppendSeq([]thing{}, slices.Values(c.s.scene.shelves[key]))
	return typed(http.StatusOK, "application/json", slices.Concat(
		[]byte(`{"`+name+`":`), encode(things), []byte(`,"total":`), strconv.AppendInt(nil, int64(len(things)), 10), []byte("}")))
}

func (k collection) create(c *call) response {
	in, bad := c.thing(k.required)
	if bad != nil {
		return *bad
	}
	o, key, refused := k.shelf(c)
	switch {
	case refused != nil:
		return *refused
	case !o.feature(k.override):
		return c.featureMissing(k.printed)
	}
	in["organization_id"] = o.id
	return jsonResponse(http.StatusOK, c.put(key, in))
}

// thing reads a body of any fields, of which one is required and secrets are
// dropped.
func (c *call) thing(required string) (thing, *response) {
	if _, bad := decode[struct{}](c, plainJSON); bad != nil {
		return nil, bad
	}
	var in thing
	_ = json.Unmarshal(c.body, &in) // decode has seen that it is an object
	if in[required] == nil && required != "" {
		return nil, c.refuseShape(plainJSON, &shapeError{field: required, missing: true,
			text: "missing field `" + required + "`", at: position(c.body, len(c.body))})
	}
	maps.DeleteFunc(in, func(name string, _ any) bool { return slices.Contains(secretFields, name) })
	return in, nil
}

// put keeps a new thing.
func (c *call) put(key shelfKey, in thing) thing {
	stamp := stampZ(c.now.Truncate(time.Microsecond))
	in["id"], in["created_at"], in["updated_at"] = newID(), stamp, stamp
	if c.s.scene.shelves == nil {
		c.s.scene.shelves = map[shelfKey][]thing{}
	}
	c.s.scene.shelves[key] = append(c.s.scene.shelves[key], in)
	c.applied = true
	return in
}

// one finds the thing of the path.
func (c *call) one(key shelfKey, id, noun string) (int, *response) {
	if i := slices.IndexFunc(c.s.scene.shelves[key], func(t thing) bool { return t["id"] == id }); i >= 0 {
		return i, nil
	}
	a := c.notFound(noun + " not found")
	return 0, &a
}

// pick finds the organization's thing of the path.
func (k collection) pick(c *call) (shelfKey, int, *response) {
	_, key, refused := k.shelf(c)
	if refused != nil {
		return key, 0, refused
	}
	i, missing := c.one(key, c.params[1], k.noun)
	return key, i, missing
}

func (k collection) show(c *call) response {
	key, i, refused := k.pick(c)
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, c.s.scene.shelves[key][i])
}

func (k collection) change(c *call) response {
	in, bad := c.thing("")
	if bad != nil {
		return *bad
	}
	key, i, refused := k.pick(c)
	if refused != nil {
		return *refused
	}
	t := c.s.scene.shelves[key][i]
	for name, value := range in {
		if !slices.Contains([]string{"id", "organization_id", "created_at"}, name) {
			t[name] = value
		}
	}
	t["updated_at"] = stampZ(c.now.Truncate(time.Microsecond))
	c.applied = true
	return jsonResponse(http.StatusOK, t)
}

func (k collection) remove(c *call) response {
	key, i, refused := k.pick(c)
	if refused != nil {
		return *refused
	}
	c.drop(key, i)
	return jsonResponse(http.StatusOK, outcome{true, k.noun + " deleted successfully"})
}

func (c *call) drop(key shelfKey, i int) {
	c.s.scene.shelves[key] = slices.Delete(c.s.scene.shelves[key], i, i+1)
	c.applied = true
}

// try says that it works: there is nothing behind it that could not.
func (k collection) try(c *call) response {
	if _, _, refused := k.pick(c); refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, outcome{true, "Test event sent successfully"})
}

// verifyDomainRoute never finds the DNS record it looks for.
func (c *call) verifyDomainRoute() response {
	o, refused := c.orgFor("manage integrations", "integrations.manage")
	if refused != nil {
		return *refused
	}
	if _, missing := c.one(shelfKey{o.id, "domain-routes"}, c.params[1], "Domain route"); missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, struct {
		Verified bool   `json:"verified"`
		Message  string `json:"message"`
	}{false, "No matching DNS record was found"})
}
