package authostest

import "strings"

// pattern is a compiled path of a [Fault] or of [Server.Count]: a route template,
// a concrete path, or a prefix that ends in "*".
type pattern struct {
	text     string
	prefix   bool
	segments []string // of a template; nil otherwise
}

func newPattern(path string) pattern {
	if prefix, ok := strings.CutSuffix(path, "*"); ok {
		return pattern{text: prefix, prefix: true}
	}
	p := pattern{text: path}
	if strings.Contains(path, "/:") {
		p.segments = split(path)
	}
	return p
}

// matches compares with the template of the route where there is one, so that
// ":id" never swallows a literal segment of another route.
func (p pattern) matches(path, template string) bool {
	switch {
	case p.text == "" || p.text == path:
		return true
	case p.prefix:
		return strings.HasPrefix(path, p.text)
	case p.segments == nil:
		return false
	case template != "":
		return sameShape(p.segments, split(template), false)
	default:
		return sameShape(p.segments, split(path), true)
	}
}

// sameShape compares segment by segment. A parameter stands for any value in a
// concrete path, and only for another parameter, of whatever name, in a template.
func sameShape(want, got []string, concrete bool) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		param := strings.HasPrefix(want[i], ":")
		switch {
		case param && concrete && got[i] != "":
		case param && !concrete && strings.HasPrefix(got[i], ":"):
		case want[i] != got[i]:
			return false
		}
	}
	return true
}
