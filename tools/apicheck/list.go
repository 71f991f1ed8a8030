package main

import (
	"fmt"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// list returns a line for each exported name of a package, with its fields and methods, sorted.
// What does not matter to a caller, as parameters' names, is left out.
func list(p *packages.Package) []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, p.PkgPath+": "+fmt.Sprintf(format, args...))
	}
	short := func(t types.Type) string { return types.TypeString(unnamed(t), qualify(p.Types)) }
	scope := p.Types.Scope()
	for _, name := range scope.Names() {
		switch o := scope.Lookup(name).(type) {
		case *types.Const:
			if o.Exported() {
				add("const %s %s = %s", name, short(o.Type()), o.Val().ExactString())
			}
		case *types.Var:
			if o.Exported() {
				add("var %s %s", name, short(o.Type()))
			}
		case *types.Func:
			if o.Exported() {
				add("func %s%s", name, strings.TrimPrefix(short(o.Type()), "func"))
			}
		case *types.TypeName:
			if o.Exported() {
				listType(o, short, add)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func listType(o *types.TypeName, short func(types.Type) string, add func(string, ...any)) {
	if o.IsAlias() {
		add("type %s = %s", o.Name(), short(types.Unalias(o.Type())))
		return
	}
	named, ok := o.Type().(*types.Named)
	if !ok {
		return
	}
	params := ""
	if tp := named.TypeParams(); tp.Len() > 0 {
		var ps []string
		for p := range tp.TypeParams() {
			ps = append(ps, p.Obj().Name()+" "+short(p.Constraint()))
		}
		params = "[" + strings.Join(ps, ", ") + "]"
	}
	switch u := named.Underlying().(type) {
	case *types.Struct:
		equal := ""
		if !types.Comparable(named) {
			equal = ", not comparable"
		}
		add("type %s%s struct%s", o.Name(), params, equal)
		for f := range u.Fields() {
			if f.Exported() {
				add("type %s struct, %s %s", o.Name(), f.Name(), short(f.Type()))
			}
		}
	case *types.Interface:
		add("type %s%s interface", o.Name(), params)
		for m := range u.Methods() {
			if m.Exported() {
				add("type %s interface, %s%s", o.Name(), m.Name(), strings.TrimPrefix(short(m.Type()), "func"))
			} else {
				add("type %s interface, methods that only this package can have", o.Name())
			}
		}
		return
	default:
		add("type %s%s %s", o.Name(), params, short(u))
	}
	listMethods(named, short, add)
}

// listMethods lists the methods that a value or its pointer has, promoted ones included.
func listMethods(named *types.Named, short func(types.Type) string, add func(string, ...any)) {
	value := types.NewMethodSet(named)
	all := types.NewMethodSet(types.NewPointer(named))
	for selected := range all.Methods() {
		m := selected.Obj()
		if !m.Exported() {
			continue
		}
		star := "*"
		if value.Lookup(m.Pkg(), m.Name()) != nil {
			star = ""
		}
		add("method (%s%s) %s%s", star, named.Obj().Name(), m.Name(), strings.TrimPrefix(short(selected.Type()), "func"))
	}
}

// unnamed returns a function's type without the names of its parameters; other types as they are.
func unnamed(t types.Type) types.Type {
	s, ok := t.(*types.Signature)
	if !ok {
		return t
	}
	strip := func(t *types.Tuple) *types.Tuple {
		vars := make([]*types.Var, 0, t.Len())
		for v := range t.Variables() {
			vars = append(vars, types.NewVar(0, nil, "", unnamed(v.Type())))
		}
		return types.NewTuple(vars...)
	}
	var params []*types.TypeParam
	for p := range s.TypeParams().TypeParams() {
		params = append(params, types.NewTypeParam(types.NewTypeName(0, p.Obj().Pkg(), p.Obj().Name(), nil), p.Constraint()))
	}
	return types.NewSignatureType(nil, nil, params, strip(s.Params()), strip(s.Results()), s.Variadic())
}

func qualify(self *types.Package) types.Qualifier {
	return func(p *types.Package) string {
		if p == self {
			return ""
		}
		return p.Path()
	}
}

var lineName = regexp.MustCompile(`: (?:(?:const|var|func|type) (\w+)(?:[^,]* (?:struct|interface), (\w+))?|method \(\*?\w+\) (\w+))`)

// nameOf returns the name that a line is about: a field's or method's own name, else the declared
// one.
func nameOf(line string) string {
	m := lineName.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	for _, name := range []string{m[3], m[2], m[1]} {
		if name != "" && name != "not" && name != "methods" {
			return name
		}
	}
	return line
}
