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
)

type route struct {
	auth   access
	handle func(*call) answer
}

// place is one path of the API with everything it answers to.
type place struct {
	template string
	segments []string
	methods  map[string]route
	allow    string // the methods, in the order they were declared
}

// table finds places by the number of their segments; within a number, literal
// segments beat parameters.
type table struct {
	bySize map[int][]*place
	byPath map[string]*place
}

// routes is the whole API. Each resource group declares its own part.
var routes = func() *table {
	t := &table{bySize: map[int][]*place{}, byPath: map[string]*place{}}
	t.authRoutes()
	t.userRoutes()
	t.serviceRoutes()
	t.organizationRoutes()
	t.platformRoutes()
	t.publicRoutes()
	for _, places := range t.bySize {
		slices.SortStableFunc(places, func(a, b *place) int {
			return strings.Count(a.template, ":") - strings.Count(b.template, ":")
		})
	}
	return t
}()

func (t *table) add(method, template string, auth access, handle func(*call) answer) {
	p := t.byPath[template]
	if p == nil {
		p = &place{template: template, segments: split(template), methods: map[string]route{}}
		t.byPath[template] = p
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
	if p := t.byPath[escaped]; p != nil && !strings.Contains(escaped, ":") {
		return p, nil
	}
	segments := split(escaped)
	for _, p := range t.bySize[len(segments)] {
		if params, ok := p.match(segments); ok {
			return p, params
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

func split(path string) []string {
	return strings.Split(strings.TrimPrefix(path, "/"), "/")
}
