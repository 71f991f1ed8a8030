package verify

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Audience says whom tokens must be meant for. All tokens of a server, for all of its tenants, come
// from one issuer and are signed with the same keys: the audience is what keeps another tenant's
// users out. The zero Audience accepts nothing, and [New] refuses it.
type Audience struct {
	tenants   []tenant
	resources []string
	any       bool
}

// tenant is a service of an organization, an organization (no service), or the platform itself
// (neither).
type tenant struct{ org, service string }

// name is the aud claim that the server derives from a session's tenant.
func (t tenant) name() string {
	switch {
	case t.service != "":
		return "service:" + t.org + "/" + t.service
	case t.org != "":
		return "org:" + t.org
	default:
		return "platform"
	}
}

// ServiceAudience accepts tokens for one service of an organization, by their slugs. This is what
// an application's backend wants.
func ServiceAudience(org, service string) Audience {
	// An empty slug would name something else: New refuses it, so it must stay apart from the
	// tenants that have none.
	return Audience{tenants: []tenant{{orEmpty(org), orEmpty(service)}}}
}

// OrganizationAudience accepts tokens of sign-ins to an organization that named no service. It does
// not accept those for the organization's services.
func OrganizationAudience(org string) Audience {
	return Audience{tenants: []tenant{{org: orEmpty(org)}}}
}

// PlatformAudience accepts tokens of sign-ins that named neither organization nor service.
func PlatformAudience() Audience { return Audience{tenants: []tenant{{}}} }

// ResourceAudience accepts access tokens for an external resource server (typ "at+jwt", RFC 9068),
// by the absolute URI that is registered at the service (RFC 8707).
func ResourceAudience(uri string) Audience { return Audience{resources: []string{uri}} }

// AnyAudience accepts tokens for every tenant of the server: anyone who has an account there. It is
// for a service that serves all tenants and decides by [Claims.Org] and [Claims.Service]. It does
// not include resources.
func AnyAudience() Audience { return Audience{any: true} }

// Or accepts what a or b accepts.
func (a Audience) Or(b Audience) Audience {
	return Audience{
		tenants:   slices.Concat(a.tenants, b.tenants),
		resources: slices.Concat(a.resources, b.resources),
		any:       a.any || b.any,
	}
}

// String lists the accepted aud claims.
func (a Audience) String() string {
	var names []string
	if a.any {
		names = append(names, "any tenant")
	}
	for _, t := range a.tenants {
		names = append(names, t.name())
	}
	return strings.Join(append(names, a.resources...), ", ")
}

// missing stands for an empty slug where there must be one; no slug has a space.
const missing = " "

func orEmpty(slug string) string {
	if slug == "" {
		return missing
	}
	return slug
}

func (a Audience) check() error {
	if !a.any && len(a.tenants) == 0 && len(a.resources) == 0 {
		return errors.New("verify: Audience: required, since every token of the server has the same issuer and keys; see ServiceAudience " +
			"and AnyAudience")
	}
	var errs []error
	for _, t := range a.tenants {
		// An organization's slug has no slash (the server allows a-z, 0-9, "_" and "-"), so that
		// service:a/b/c is never ambiguous.
		if t.org == missing || t.service == missing || strings.ContainsAny(t.org, "/: \t\r\n") {
			errs = append(errs, fmt.Errorf("verify: Audience: %q needs slugs", t.name()))
		}
	}
	for _, r := range a.resources {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || u.Fragment != "" {
			errs = append(errs, fmt.Errorf("verify: Audience: %q is not an absolute URI without a fragment (RFC 8707)", r))
		}
	}
	return errors.Join(errs...)
}

func (a Audience) hasTenant(t tenant) bool { return a.any || slices.Contains(a.tenants, t) }

// hasImpersonated is hasTenant for a session in somebody else's name. The server gives such a
// session the user's organization and mostly no service, so that a service of that organization
// accepts it too.
func (a Audience) hasImpersonated(t tenant) bool {
	if a.hasTenant(t) {
		return true
	}
	return t.org != "" && t.service == "" &&
		slices.ContainsFunc(a.tenants, func(own tenant) bool { return own.org == t.org })
}
