package authostest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// access says who may call a route.
type access int

const (
	public access = iota
	bearer
	platformOwner
	serviceKey
	scimToken
)

type route struct {
	auth   access
	handle func(*call) response
}

// place is one path of the API with everything it responds to.
type place struct {
	template string
	segments []string
	methods  map[string]route
	allow    string // the methods, in the order they were declared
}

// table finds places by the number of their segments; within a number, literal
// segments beat parameters. What is below a template that ends in "/*" comes last.
type table struct {
	bySize map[int][]*place
	byPath map[string]*place
	below  []*place
}

// routes is the whole API. Each resource group declares its own part.
var routes = func() *table {
	t := newTable()
	t.authRoutes()
	t.userRoutes()
	t.serviceRoutes()
	t.organizationRoutes()
	t.memberRoutes()
	t.roleRoutes()
	t.invitationRoutes()
	t.catalogRoutes()
	t.planRoutes()
	t.apiKeyRoutes()
	t.endUserRoutes()
	t.analyticsRoutes()
	t.auditRoutes()
	t.webhookRoutes()
	t.brandingRoutes()
	t.settingsRoutes()
	t.platformRoutes()
	t.publicRoutes()
	t.enterpriseRoutes()
	t.sort()
	return t
}()

func newTable() *table { return &table{bySize: map[int][]*place{}, byPath: map[string]*place{}} }

// sort puts literal segments before parameters.
func (t *table) sort() {
	for _, places := range t.bySize {
		slices.SortStableFunc(places, func(a, b *place) int {
			return strings.Count(a.template, ":") - strings.Count(b.template, ":")
		})
	}
}

func (t *table) add(method, template string, auth access, handle func(*call) response) {
	p := t.byPath[template]
	if p == nil {
		p = &place{template: template, segments: split(template), methods: map[string]route{}}
		t.byPath[template] = p
		if strings.HasSuffix(template, "/*") {
			t.below = append(t.below, p)
		}
		t.bySize[len(p.segments)] = append(t.bySize[len(p.segments)], p)
	}
	p.methods[method] = route{auth: auth, handle: handle}
	names := method
	if method == http.MethodGet {
		names = "GET,HEAD"
	}
	if p.allow != "" {
		names = p.allow + "," + names
	}
	p.allow = names
}

// find looks a path up, still escaped so that %2F does not split a segment.
func (t *table) find(escaped string) (*place, []string) {
	if p := t.byPath[escaped]; p != nil && !strings.ContainsAny(escaped, ":*") {
		return p, nil
	}
	segments := split(escaped)
	for _, p := range t.bySize[len(segments)] {
		if params, ok := p.match(segments); ok {
			return p, params
		}
	}
	for _, p := range t.below {
		if rest, ok := strings.CutPrefix(escaped, strings.TrimSuffix(p.template, "*")); ok && rest != "" {
			return p, nil
		}
	}
	return nil, nil
}

func (p *place) match(segments []string) ([]string, bool) {
	var params []string
	for i, want := range p.segments {
		if !strings.HasPrefix(want, ":") {
			if want != segments[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return nil, false
		}
		params = append(params, value)
	}
	return params, true
}

// guard is who may learn that a method is wrong: anybody, where one method is public.
func (p *place) guard() access {
	need := public
	for _, r := range p.methods {
		if r.auth == public {
			return public
		}
		need = r.auth
	}
	return need
}

// params are the names of the path parameters.
func (p *place) params() []string {
	var names []string
	for _, s := range p.segments {
		if name, ok := strings.CutPrefix(s, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

func split(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}
