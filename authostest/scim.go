package authostest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (t *table) scimRoutes() {
	for _, kind := range []scimKind{"User", "Group"} {
		all := "/scim/v2/" + string(kind) + "s"
		t.add("GET", all, scimToken, kind.list)
		t.add("POST", all, scimToken, kind.create)
		t.add("GET", all+"/:id", scimToken, kind.show)
		t.add("PUT", all+"/:id", scimToken, kind.replace)
		t.add("PATCH", all+"/:id", scimToken, kind.patch)
		t.add("DELETE", all+"/:id", scimToken, kind.remove)
	}
}

// authenticateSCIM refuses without a word, under either contract.
func (c *call) authenticateSCIM() (refused response, ok bool) {
	token, found := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	o, row := c.s.scene.scimCaller(token, c.now)
	if !found || row == nil {
		return empty(http.StatusUnauthorized), false
	}
	if want := c.r.Header.Values("X-Organization-Id"); len(want) > 1 || len(want) == 1 && want[0] != o.id {
		return empty(http.StatusForbidden), false
	}
	row.used = c.now.Truncate(time.Microsecond)
	c.scimOrg = o.id
	return response{}, true
}

// scimKind is a type of SCIM resource (RFC 7643).
type scimKind string

func (k scimKind) key(c *call) shelfKey { return shelfKey{c.scimOrg, "scim-" + string(k)} }

// scimResponse is JSON of the protocol's own type.
func scimResponse(status int, v any) response {
	return typed(status, "application/scim+json", encode(v))
}

func scimError(status int, detail string) response {
	return scimResponse(status, struct {
		Schemas []string `json:"schemas"`
		Detail  string   `json:"detail"`
		Status  string   `json:"status"`
	}{[]string{"urn:ietf:params:scim:api:messages:2.0:Error"}, detail, strconv.Itoa(status)})
}

func (k scimKind) list(c *call) response {
	start, bad := c.integer("startIndex", 1)
	if bad != nil {
		return *bad
	}
	count, bad := c.integer("count", 100)
	if bad != nil {
		return *bad
	}
	all := c.s.scene.shelves[k.key(c)]
	found := slices.AppendSeq([]thing{}, slices.Values(slice(all, min(max(count, 0), 100), max(start, 1)-1)))
	return scimResponse(http.StatusOK, struct {
		Schemas      []string `json:"schemas"`
		TotalResults int      `json:"totalResults"`
		StartIndex   int      `json:"startIndex"`
		ItemsPerPage int      `json:"itemsPerPage"`
		Resources    []thing  `json:"Resources"`
	}{[]string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"}, len(all), max(start, 1), len(found), found})
}

func (k scimKind) create(c *call) response {
	in, bad := c.thing()
	if bad != nil {
		return *bad
	}
	return scimResponse(http.StatusCreated, k.dress(c, c.put(k.key(c), in)))
}

// dress gives a resource the fields of the protocol in place of ours.
func (k scimKind) dress(c *call, t thing) thing {
	stamp := stampZ(c.now.Truncate(time.Microsecond))
	created := stamp
	if old, ok := t["meta"].(map[string]any); ok && old["created"] != nil {
		created, _ = old["created"].(string)
	}
	delete(t, "created_at")
	delete(t, "updated_at")
	id, _ := t["id"].(string)
	t["schemas"] = []string{"urn:ietf:params:scim:schemas:core:2.0:" + string(k)}
	t["meta"] = map[string]any{
		"resourceType": string(k), "created": created, "lastModified": stamp, "location": c.s.URL + "/scim/v2/" + string(k) + "s/" + id,
	}
	return t
}

func (k scimKind) pick(c *call) (int, *response) {
	i := slices.IndexFunc(c.s.scene.shelves[k.key(c)], func(t thing) bool { return t["id"] == c.params[0] })
	if i < 0 {
		a := scimError(http.StatusNotFound, string(k)+" not found")
		return 0, &a
	}
	return i, nil
}

func (k scimKind) show(c *call) response {
	i, missing := k.pick(c)
	if missing != nil {
		return *missing
	}
	return scimResponse(http.StatusOK, c.s.scene.shelves[k.key(c)][i])
}

func (k scimKind) replace(c *call) response {
	in, bad := c.thing()
	if bad != nil {
		return *bad
	}
	i, missing := k.pick(c)
	if missing != nil {
		return *missing
	}
	in["id"], in["meta"] = c.params[0], c.s.scene.shelves[k.key(c)][i]["meta"]
	c.s.scene.shelves[k.key(c)][i] = k.dress(c, in)
	c.applied = true
	return scimResponse(http.StatusOK, in)
}

// patch applies the operations whose path is one attribute, or that have none
// (RFC 7644, section 3.5.2). Others change nothing.
func (k scimKind) patch(c *call) response {
	in, bad := decode[struct {
		Operations []struct {
			Op    string          `json:"op"`
			Path  *string         `json:"path"`
			Value json.RawMessage `json:"value"`
		} `json:"Operations"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	i, missing := k.pick(c)
	if missing != nil {
		return *missing
	}
	t := c.s.scene.shelves[k.key(c)][i]
	for _, op := range in.Operations {
		changes := thing{}
		if op.Path == nil {
			_ = json.Unmarshal(op.Value, &changes) // a value that is no object changes nothing
		} else if !strings.ContainsAny(*op.Path, ".[:") {
			var value any
			_ = json.Unmarshal(op.Value, &value) // absent with remove
			changes[*op.Path] = value
		}
		for name, value := range changes {
			if strings.EqualFold(op.Op, "remove") {
				delete(t, name)
			} else if name != "id" && name != "meta" {
				t[name] = value
			}
		}
	}
	c.applied = true
	return scimResponse(http.StatusOK, k.dress(c, t))
}

func (k scimKind) remove(c *call) response {
	i, missing := k.pick(c)
	if missing != nil {
		return *missing
	}
	c.drop(k.key(c), i)
	return empty(http.StatusNoContent)
}
