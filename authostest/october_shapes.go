package authostest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// What the handlers of today send is more than a server of October 2025 knows. Its
// shapes are theirs without what came later, and with one time format less.

// laterMembers were not in any object.
var laterMembers = []string{
	"brand_logo_url", "brand_primary_color", "custom_domain", "domain_verified", "domain_verification_token", "feature_overrides",
	"deleted_at", "email_verified_at", "client_secret", "resource_uris", "recent_logins", "sessions",
	"description", "is_default", "stripe_price_id",
}

// laterMembersOf were not in the responses of a route, at the top.
var laterMembersOf = map[string][]string{
	"GET /api/user":           {"created_at", "features", "is_platform_owner", "permissions", "plan"},
	"PATCH /api/user":         {"created_at", "features", "is_platform_owner", "permissions", "plan"},
	"POST /api/organizations": {"access_token", "refresh_token"},
}

// octoberShape rewrites a good JSON body.
func (c *call) octoberShape(a response) response {
	if a.status/100 == 2 && slices.Equal(a.header["Content-Type"], []string{"application/json"}) {
		route := c.method + " " + c.template()
		shape := octoberShape{zone: "Z", top: laterMembersOf[route]}
		if route == "GET /api/invitations" || route == "GET /api/organizations/:org_slug/invitations" {
			shape.zone = ""
		}
		a.body = shape.value(a.body, "")
	}
	return a
}

type octoberShape struct {
	zone string   // what follows a time
	top  []string // members that the outermost object does not have
}

// value rewrites a JSON value that stands under a name in its object.
func (s octoberShape) value(raw []byte, name string) []byte {
	switch raw[0] {
	case '{', '[':
	case '"':
		return s.time(raw)
	default:
		return raw
	}
	var out bytes.Buffer
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, _ := dec.Token() // raw came out of an encoder
	out.WriteByte(raw[0])
	for dec.More() {
		member := name // an element has the name of its list
		if open == json.Delim('{') {
			token, _ := dec.Token()
			member, _ = token.(string)
		}
		var inner json.RawMessage
		_ = dec.Decode(&inner)
		if open == json.Delim('{') && s.later(name, member) {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		if open == json.Delim('{') {
			out.Write(encode(member))
			out.WriteByte(':')
		}
		out.Write(octoberShape{zone: s.zone}.value(inner, member))
	}
	out.WriteByte(raw[len(raw)-1])
	return out.Bytes()
}

// later reports whether an object that stands under a name has got a member later.
func (s octoberShape) later(object, member string) bool {
	if (object == "user" || object == "owner") && (member == "org_id" || member == "updated_at") {
		return true
	}
	return strings.HasPrefix(member, "saml_") || slices.Contains(laterMembers, member) || slices.Contains(s.top, member)
}

var someTime = regexp.MustCompile(`^"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(?:Z|\+00:00)?"$`)

func (s octoberShape) time(raw []byte) []byte {
	return someTime.ReplaceAll(raw, []byte(`"${1}T${2}`+s.zone+`"`))
}

// crossOrigin are the headers that let the pages of any other origin in.
func crossOrigin(h http.Header) {
	h["Access-Control-Allow-Origin"] = []string{"*"}
	h["Vary"] = []string{"origin, access-control-request-method, access-control-request-headers"}
}

// either is the text of the newest server or that of October 2025.
func (c *call) either(newest, october string) string {
	if c.october() {
		return october
	}
	return newest
}

// databaseError is what a server says when nobody has thought of what the database
// refuses.
func (c *call) databaseError() response {
	return c.fail(http.StatusInternalServerError, "DATABASE_ERROR", "Database error")
}
