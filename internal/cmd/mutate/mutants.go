package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
)

// mutant is one way of breaking a file: what stands between two offsets gets something before and
// behind it that acts while the mutant is alive.
type mutant struct {
	id             int
	file           string
	line           int
	what           string
	from, to       int
	before, behind string
	arithmetic     bool // may not compile: the finder does not know types
	dropped        bool
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.what)
}

// finder collects the mutants of one file.
type finder struct {
	file     string
	src      []byte
	fset     *token.FileSet
	comments []*ast.CommentGroup
	nextID   int
	found    []*mutant
}

func find(file string, nextID int) ([]*mutant, []byte, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	f := &finder{file: file, src: src, fset: token.NewFileSet(), nextID: nextID}
	tree, err := parser.ParseFile(f.fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	f.comments = tree.Comments
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			ast.Inspect(fn.Body, f.visit)
		}
	}
	return f.found, src, nil
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.CONST
	case *ast.ArrayType:
		return false // its length is a constant
	case *ast.IfStmt:
		f.negate(n.Cond)
		if last := len(n.Body.List) - 1; last >= 0 && n.Else == nil {
			if r, ok := n.Body.List[last].(*ast.ReturnStmt); ok {
				f.skip(r)
			}
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			f.negate(n.Cond)
		}
	case *ast.SwitchStmt:
		for _, c := range n.Body.List {
			if clause, ok := c.(*ast.CaseClause); ok && n.Tag == nil {
				for _, e := range clause.List {
					f.negate(e)
				}
			}
		}
	case *ast.ReturnStmt:
		for _, r := range n.Results {
			if b, ok := r.(*ast.BinaryExpr); ok && slices.Contains(boolean, b.Op) {
				f.negate(r)
			}
		}
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.BlockStmt:
		f.skipAll(n.List)
	case *ast.CaseClause:
		f.skipAll(n.Body)
	case *ast.CommClause:
		f.skipAll(n.Body)
	}
	return true
}

var (
	boolean = []token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ, token.LAND, token.LOR}
	swapped = map[token.Token]token.Token{
		token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
		token.LAND: token.LOR, token.LOR: token.LAND,
		token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.ADD,
	}
)

func (f *finder) binary(n *ast.BinaryExpr) {
	other, ok := swapped[n.Op]
	if !ok {
		return
	}
	changed := f.text(n.X) + " " + other.String() + " " + f.text(n.Y)
	what := fmt.Sprintf("%s → %s in %s", n.Op, other, f.text(n))
	switch {
	case slices.Contains(boolean, n.Op):
		f.wrap(n, what, "(mutants.Alive(%d) && ("+escape(changed)+") || !mutants.Alive(%[1]d) && (", "))")
		if n.Op == token.LAND || n.Op == token.LOR {
			f.negate(n.X)
			f.negate(n.Y)
		}
	case !strings.ContainsAny(changed, "(\""): // both forms are evaluated
		f.wrap(n, what, "mutants.Value(%d, "+escape(changed)+", (", "))")
		f.found[len(f.found)-1].arithmetic = true
	}
}

func (f *finder) negate(e ast.Expr) {
	f.wrap(e, "negated: "+f.text(e), "(mutants.Alive(%d) != (", "))")
}

// skipAll makes mutants that leave out one statement. A lock that is left out is the race
// detector's to find.
func (f *finder) skipAll(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				f.skip(s)
			}
		case *ast.ExprStmt, *ast.DeferStmt:
			if !strings.Contains(f.text(s), "ock()") {
				f.skip(s)
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.GoStmt, *ast.BranchStmt:
			f.skip(s)
		}
	}
}

func (f *finder) skip(s ast.Stmt) {
	f.wrap(s, "left out: "+f.text(s), "if !mutants.Alive(%d) { ", " }")
}

func (f *finder) wrap(n ast.Node, what, before, behind string) {
	at := f.fset.Position(n.Pos())
	f.found = append(f.found, &mutant{
		id: f.nextID, file: f.file, line: at.Line, what: what, from: at.Offset, to: f.fset.Position(n.End()).Offset,
		before: fmt.Sprintf(before, f.nextID), behind: behind,
	})
	f.nextID++
}

// text returns a node's source on one line and without comments, so that lines keep their numbers.
func (f *finder) text(n ast.Node) string {
	from := f.fset.Position(n.Pos()).Offset
	src := bytes.Clone(f.src[from:f.fset.Position(n.End()).Offset])
	for _, group := range f.comments {
		for _, c := range group.List {
			at := f.fset.Position(c.Pos()).Offset - from
			for i := max(at, 0); i < min(at+len(c.Text), len(src)); i++ {
				src[i] = ' '
			}
		}
	}
	var out []string
	for line := range strings.Lines(string(src)) {
		if code := strings.TrimSpace(line); code != "" {
			out = append(out, code)
		}
	}
	return strings.Join(out, " ")
}

func escape(code string) string {
	return strings.ReplaceAll(code, "%", "%%")
}

// apply returns the source with mutants in it. Of those that begin at one place the outer one was
// found first.
func apply(src []byte, ms []*mutant) []byte {
	type insertion struct {
		at   int
		text string
	}
	var ins []insertion
	for _, m := range slices.Backward(ms) {
		ins = append(ins, insertion{m.to, m.behind})
	}
	for _, m := range ms {
		ins = append(ins, insertion{m.from, m.before})
	}
	slices.SortStableFunc(ins, func(a, b insertion) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, i := range ins {
		out = append(append(out, src[last:i.at]...), i.text...)
		last = i.at
	}
	return append(out, src[last:]...)
}
