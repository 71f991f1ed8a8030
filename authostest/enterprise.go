package authostest

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

func (t *table) enterpriseRoutes() {
	t.siemRoutes()
	t.upstreamRoutes()
	t.scimTokenRoutes()
	t.scimRoutes()
	t.samlConfigRoutes()
	t.samlRoutes()
	t.billingRoutes()
}

// thing is something whose fields are nobody's business here: what was put in comes
// out, but for its secrets.
type thing map[string]any

// secretFields are taken in and never shown.
var secretFields = []string{"client_secret", "api_key", "secret", "token", "password", "webhook_secret"}

// shelfKey names a collection of an organization.
type shelfKey struct{ owner, kind string }

// thing reads a body of any fields. Secrets are dropped.
func (c *call) thing() (thing, *response) {
	if _, bad := decode[struct{}](c, plainJSON); bad != nil {
		return nil, bad
	}
	var in thing
	_ = json.Unmarshal(c.body, &in) // decode has seen that it is an object
	maps.DeleteFunc(in, func(name string, _ any) bool { return slices.Contains(secretFields, name) })
	return in, nil
}

// put keeps a new thing.
func (c *call) put(key shelfKey, in thing) thing {
	stamp := stampZ(c.now.Truncate(time.Microsecond))
	in["id"], in["created_at"], in["updated_at"] = c.s.newID(), stamp, stamp
	if c.s.scene.shelves == nil {
		c.s.scene.shelves = map[shelfKey][]thing{}
	}
	c.s.scene.shelves[key] = append(c.s.scene.shelves[key], in)
	c.applied = true
	return in
}

func (c *call) drop(key shelfKey, i int) {
	c.s.scene.shelves[key] = slices.Delete(c.s.scene.shelves[key], i, i+1)
	c.applied = true
}
