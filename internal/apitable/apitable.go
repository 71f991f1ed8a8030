// Package apitable reads the client's source and tells which typed method calls which route. The
// reference table and the test that calls every method are both made from it, so neither can forget
// a method.
package apitable

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Method is one exported method of one of the client's services.
type Method struct {
	// Name is how a program calls it, such as "Organizations.Members.List".
	Name string
	// Routes are those it calls, each as "GET /api/user": one for most methods, several for a flow,
	// none for a method that sends nothing.
	Routes []string
	// Iterator says that it ranges over the pages of a list, Link that it sends nothing, but makes
	// a URL for a browser.
	Iterator, Link bool
}

// senders are the functions that name a route, and the position of what names it among their
// arguments: a request{method: …, template: …}, or the template alone, which stands for GET.
var senders = map[string]int{"invoke": 2, "acknowledged": 2, "authorization": 2, "call": 1, "link": 1}

// Load reads the Go files in dir, the root of the module.
func Load(dir string) ([]Method, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := source{structs: map[string]*ast.StructType{}, consts: map[string]string{}, methods: map[string]map[string]*ast.FuncDecl{}}
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.add(f)
	}
	if s.structs["Client"] == nil {
		return nil, errors.New("no struct Client in " + dir)
	}
	out, err := s.services("", "Client", nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Method) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

type source struct {
	structs map[string]*ast.StructType
	consts  map[string]string
	methods map[string]map[string]*ast.FuncDecl // by receiver, then name
}

func (s *source) add(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if recv := receiver(d); recv != "" {
				if s.methods[recv] == nil {
					s.methods[recv] = map[string]*ast.FuncDecl{}
				}
				s.methods[recv][d.Name.Name] = d
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s.spec(spec)
			}
		}
	}
}

func (s *source) spec(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if t, ok := spec.Type.(*ast.StructType); ok {
			s.structs[spec.Name.Name] = t
		}
	case *ast.ValueSpec:
		for i, name := range spec.Names {
			if i < len(spec.Values) {
				if v, ok := text(spec.Values[i]); ok {
					s.consts[name.Name] = v
				}
			}
		}
	}
}

// services lists the methods of every service that hangs on typ, whose own name in a program is
// prefix.
func (s *source) services(prefix, typ string, out []Method) ([]Method, error) {
	for _, field := range s.structs[typ].Fields.List {
		star, ok := field.Type.(*ast.StarExpr)
		if !ok || len(field.Names) != 1 || !field.Names[0].IsExported() {
			continue
		}
		ident, ok := star.X.(*ast.Ident)
		if !ok || s.structs[ident.Name] == nil {
			continue
		}
		path := prefix + field.Names[0].Name
		for name, decl := range s.methods[ident.Name] {
			if !decl.Name.IsExported() {
				continue
			}
			routes, err := s.routes(ident.Name, decl, nil)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", path, name, err)
			}
			out = append(out, Method{Name: path + "." + name, Routes: routes, Iterator: isIterator(decl), Link: isLink(decl)})
		}
		var err error
		if out, err = s.services(path+".", ident.Name, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// routes finds the routes that a method calls, by itself or through other methods of its service.
// seen guards against recursion.
func (s *source) routes(recv string, decl *ast.FuncDecl, seen []string) ([]string, error) {
	if slices.Contains(seen, decl.Name.Name) {
		return nil, nil
	}
	seen = append(seen, decl.Name.Name)
	var out []string
	var failed error
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		callee, ok := n.(*ast.CallExpr)
		if !ok || failed != nil {
			return failed == nil
		}
		name, onReceiver := called(callee, decl)
		if at, ok := senders[name]; ok {
			var route string
			if route, failed = s.route(callee, at); failed == nil {
				out = append(out, route)
			}
		} else if next := s.methods[recv][name]; onReceiver && next != nil {
			var more []string
			more, failed = s.routes(recv, next, seen)
			out = append(out, more...)
		}
		return true
	})
	slices.Sort(out)
	return slices.Compact(out), failed
}

func (s *source) route(c *ast.CallExpr, at int) (string, error) {
	if len(c.Args) <= at {
		return "", errors.New("a call without a route")
	}
	lit, ok := c.Args[at].(*ast.CompositeLit)
	if !ok {
		path, err := s.template(c.Args[at])
		return "GET " + path, err
	}
	method, template := member(lit, "method"), member(lit, "template")
	sel, ok := method.(*ast.SelectorExpr)
	if !ok || !strings.HasPrefix(sel.Sel.Name, "Method") {
		return "", errors.New("a method that is not one of net/http's constants")
	}
	path, err := s.template(template)
	return strings.ToUpper(strings.TrimPrefix(sel.Sel.Name, "Method")) + " " + path, err
}

// template reads a route's template, a text or the name of a constant.
func (s *source) template(e ast.Expr) (string, error) {
	path, ok := "", false
	switch e := e.(type) {
	case *ast.BasicLit:
		path, ok = text(e)
	case *ast.Ident:
		path = s.consts[e.Name]
		ok = path != ""
	}
	if !ok {
		return "", errors.New("a route that is neither a text nor a constant")
	}
	return path, nil
}

// member returns the value of a keyed member of a composite literal, or nil.
func member(lit *ast.CompositeLit, name string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

// called names the function of a call, and reports whether it is a method of decl's own receiver.
func called(c *ast.CallExpr, decl *ast.FuncDecl) (name string, onReceiver bool) {
	fun := c.Fun
	if index, ok := fun.(*ast.IndexExpr); ok { // invoke[T]
		fun = index.X
	}
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name, false
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		names := decl.Recv.List[0].Names
		return fun.Sel.Name, ok && len(names) == 1 && x.Name == names[0].Name
	}
	return "", false
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) != 1 {
		return ""
	}
	if star, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return id.Name
		}
	}
	return ""
}

// isLink recognizes a method that takes no context: it makes no call.
func isLink(d *ast.FuncDecl) bool {
	for _, p := range d.Type.Params.List {
		if sel, ok := p.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
			return false
		}
	}
	return true
}

// isIterator recognizes a result of type iter.Seq2.
func isIterator(d *ast.FuncDecl) bool {
	if d.Type.Results == nil || len(d.Type.Results.List) != 1 {
		return false
	}
	index, ok := d.Type.Results.List[0].Type.(*ast.IndexListExpr)
	if !ok {
		return false
	}
	sel, ok := index.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Seq2"
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	v, err := strconv.Unquote(lit.Value)
	return v, err == nil
}
