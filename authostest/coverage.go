package authostest

import (
	"cmp"
	"slices"
	"strings"
)

// coverage is what the server does about a route.
type coverage string

const (
	byState coverage = "state"      // it reads or changes the scene
	fixed   coverage = "fixed"      // the response is always the same
	refuses coverage = "error only" // it checks its input, and refuses what is beyond a fake
)

// lesser are the routes that are not covered by state, by template.
var lesser = map[string]coverage{
	"/health":                                            fixed,
	"/health/live":                                       fixed,
	"/health/ready":                                      fixed,
	"/.well-known/authos-configuration":                  fixed,
	"/api/auth/lookup-email":                             fixed,
	"/api/platform/operations/status":                    fixed,
	"/api/platform/mfa/metrics":                          fixed,
	"/api/platform/mfa/suspicious-activity":              fixed,
	"/api/organizations/:org_slug/webhooks/event-types":  fixed,
	"/api/organizations/:org_slug/audit-log/event-types": fixed,
	"/connect/provider-token/:state":                     fixed,
	"/.well-known/openid-configuration":                  refuses, // as on real servers
	"/.well-known/oauth-authorization-server":            refuses,
	"/auth/saml/callback":                                refuses,
	"/saml/mfa/verify":                                   refuses,
	"/saml/:org_slug/:service_slug/sso":                  refuses,
	"/saml/:org_slug/:service_slug/slo":                  refuses,
	"/saml/:org_slug/:service_slug/authenticate":         refuses,
	"/webhooks/stripe":                                   refuses,
	"/webhooks/billing":                                  refuses,
}

// covered is one route of a contract.
type covered struct {
	method, route string
	how           coverage
}

// coverageOf lists the routes of a contract by path.
func coverageOf(contract Contract) []covered {
	s := &Server{config: config{contract: contract}}
	var list []covered
	for template, p := range s.routes().byPath {
		for method := range p.methods {
			how := byState
			if less, ok := lesser[template]; ok {
				how = less
			} else if slices.Contains(webPages, template) {
				how = fixed
			}
			list = append(list, covered{method, template, how})
		}
	}
	slices.SortFunc(list, func(a, b covered) int {
		return cmp.Or(strings.Compare(a.route, b.route), strings.Compare(a.method, b.method))
	})
	return list
}
