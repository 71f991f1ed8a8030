// Package shape measures how the root package is built: its families of files, which file uses
// which, how long functions are. The test beside it holds the bounds; internal/cmd/shape prints the
// figures.
package shape

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Package is the measured source of one Go package, its tests left out.
type Package struct {
	fset  *token.FileSet
	files map[string]*ast.File
	uses  map[string]map[string]bool // by file: the files whose declarations it uses
}

// Load reads the package in dir.
//
// Imports are not resolved: what a file uses of this package is found all the same, and neither a
// build nor a module cache is needed.
func Load(dir string) (*Package, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	p := &Package{fset: token.NewFileSet(), files: map[string]*ast.File{}, uses: map[string]map[string]bool{}}
	var list []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files[filepath.Base(name)] = f
		list = append(list, f)
	}
	if len(list) == 0 {
		return nil, errors.New("no Go files in " + dir)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	// its errors are those of the imports
	pkg, _ := config.Check(list[0].Name.Name, p.fset, list, info)
	for name := range p.files {
		p.uses[name] = map[string]bool{}
	}
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg || !obj.Pos().IsValid() {
			continue
		}
		from, to := p.base(id.Pos()), p.base(obj.Pos())
		if from != to {
			p.uses[from][to] = true
		}
	}
	return p, nil
}

// nothing imports empty packages.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return nil, errors.New("not resolved: " + path)
}

func (p *Package) base(at token.Pos) string { return filepath.Base(p.fset.Position(at).Filename) }

// Files lists the files by name.
func (p *Package) Files() []string { return slices.Sorted(maps.Keys(p.files)) }

// Families counts the files by the first word of their names.
func (p *Package) Families() map[string]int {
	count := map[string]int{}
	for name := range p.files {
		count[Family(name)]++
	}
	return count
}

// Family is the first word of a file's name.
func Family(name string) string {
	family, _, _ := strings.Cut(strings.TrimSuffix(name, ".go"), "_")
	return family
}

// Uses lists the files whose declarations the named file uses.
func (p *Package) Uses(name string) []string { return slices.Sorted(maps.Keys(p.uses[name])) }

// Knot returns the largest set of files each of which uses all others, directly or through others.
// Files that keep does not accept are left out, with all their uses.
func (p *Package) Knot(keep func(name string) bool) []string {
	var names []string
	for _, name := range p.Files() {
		if keep(name) {
			names = append(names, name)
		}
	}
	reach := map[string]map[string]bool{}
	for _, name := range names {
		seen := map[string]bool{}
		for queue := []string{name}; len(queue) > 0; {
			next := queue[0]
			queue = queue[1:]
			for to := range p.uses[next] {
				if keep(to) && !seen[to] {
					seen[to] = true
					queue = append(queue, to)
				}
			}
		}
		reach[name] = seen
	}
	var largest []string
	for _, a := range names {
		var knot []string
		for _, b := range names {
			if reach[a][b] && reach[b][a] {
				knot = append(knot, b)
			}
		}
		if len(knot) > len(largest) {
			largest = knot
		}
	}
	return largest
}

// Function is one function with a body.
type Function struct {
	Name, File string
	Lines      int
}

// Functions lists the functions, the longest first.
func (p *Package) Functions() []Function {
	var all []Function
	for name, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				lines := p.fset.Position(fn.End()).Line - p.fset.Position(fn.Pos()).Line + 1
				all = append(all, Function{fn.Name.Name, name, lines})
			}
		}
	}
	slices.SortFunc(all, func(a, b Function) int {
		return cmp.Or(b.Lines-a.Lines, strings.Compare(a.File+a.Name, b.File+b.Name))
	})
	return all
}

// tabWidth is how many columns a tab takes in what WideComments measures.
const tabWidth = 4

// WideComments lists the lines that hold a comment and are wider than limit columns, as file:line,
// in every Go file below dir. Generated files, directives and lines with a URL or an Output are
// left out.
func WideComments(dir string, limit int, except ...string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || slices.Contains(except, d.Name()) || strings.HasPrefix(d.Name(), ".") && path != dir):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_gen.go"):
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, group := range f.Comments {
			if strings.Contains(strings.ToLower(group.Text()), "output:") {
				continue // the text is what a program prints
			}
			for _, c := range group.List {
				at := fset.Position(c.Pos())
				// Columns count bytes of a line that is indented by tabs, or has code before the
				// comment.
				wide := at.Column - 1 + utf8.RuneCountInString(c.Text)
				if at.Column <= 8 {
					wide += (at.Column - 1) * (tabWidth - 1)
				}
				if wide > limit && strings.HasPrefix(c.Text, "// ") && !strings.Contains(c.Text, "://") {
					found = append(found, fmt.Sprintf("%s:%d (%d columns)", path, at.Line, wide))
				}
			}
		}
		return nil
	})
	return found, err
}

// Machinery reports whether a file belongs to the machinery: everything but the typed routes.
func Machinery(name string) bool { return name != "api.go" && !strings.HasPrefix(name, "api_") }
