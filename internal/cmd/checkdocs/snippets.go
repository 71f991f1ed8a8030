package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A snippet of Go in a document is a whole file, declarations, or statements. It is type-checked
// against the packages as they are. What a reader has to bring along may be missing: names in lower
// case that nothing declares (ctx, save), and the use of a variable.

// snippet is one ```go block.
type snippet struct {
	file string
	line int // of its first line
	text string
}

// snippets returns the Go blocks of the Markdown files.
func snippets(fsys fs.FS, files []string) ([]snippet, error) {
	var all []snippet
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		var current *snippet
		for i, text := range strings.Split(string(data), "\n") {
			fence := strings.TrimSpace(text)
			switch {
			case current == nil && fence == "```go":
				current = &snippet{file: file, line: i + 2}
			case current != nil && fence == "```":
				all = append(all, *current)
				current = nil
			case current != nil:
				current.text += text + "\n"
			}
		}
	}
	return all, nil
}

// checkSnippets type-checks the blocks against the modules below dir.
func checkSnippets(dir string, all []snippet) ([]string, error) {
	modules, err := loadModules(dir)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, s := range all {
		for _, text := range s.check(modules) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s", s.file, s.line, text))
		}
	}
	return problems, nil
}

// module has what the snippets of one Go module may import.
type module struct {
	dir     string
	exports map[string]string // export data by import path
	byName  map[string]string // import path by the name of the package; the shortest path wins
}

// loadModules lists the packages of the module in dir and of those nested in it, with all they
// depend on.
func loadModules(dir string) ([]*module, error) {
	nested, err := filepath.Glob(filepath.Join(dir, "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	var all []*module
	for _, mod := range append([]string{filepath.Join(dir, "go.mod")}, nested...) {
		if filepath.Base(filepath.Dir(mod)) == "tools" {
			continue // pins the linters, has no code
		}
		m, err := loadModule(filepath.Dir(mod))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// standard are packages that a program around ours imports, though the module itself may not.
var standard = []string{
	"crypto/rand", "log", "log/slog", "net/http", "os", "os/signal", "path/filepath", "syscall", "testing", "testing/synctest",
}

func loadModule(dir string) (*module, error) {
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Name,Export", "./..."}, standard...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	m := &module{dir: dir, exports: map[string]string{}, byName: map[string]string{}}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Name, Export string }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		if p.Export == "" || p.Name == "main" || strings.Contains(p.ImportPath, "internal/") {
			continue
		}
		m.exports[p.ImportPath] = p.Export
		if old, ok := m.byName[p.Name]; !ok || weight(p.ImportPath) < weight(old) {
			m.byName[p.Name] = p.ImportPath
		}
	}
}

// weight orders packages of one name: ours, then the shortest path.
func weight(importPath string) int {
	if strings.HasPrefix(importPath, modulePath) {
		return 0
	}
	return len(importPath)
}

// check returns what is wrong with a snippet, as the first module that has all of its packages sees
// it.
func (s snippet) check(modules []*module) []string {
	var last []string
	for _, m := range modules {
		if last = s.checkIn(m); len(last) == 0 {
			return nil
		}
	}
	return last
}

var placeholder = regexp.MustCompile(`undefined: [a-z]\w*$|declared and not used|imported and not used|missing return`)

func (s snippet) checkIn(m *module) []string {
	fset := token.NewFileSet()
	file, err := s.parse(fset, m)
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	config := types.Config{
		Importer: importer.ForCompiler(fset, "gc", func(importPath string) (io.ReadCloser, error) {
			export, ok := m.exports[importPath]
			if !ok {
				return nil, fmt.Errorf("no package %s", importPath)
			}
			return os.Open(export)
		}),
		Error: func(err error) {
			if text := err.Error(); !placeholder.MatchString(text) {
				_, text, _ = strings.Cut(text, ": ")
				problems = append(problems, text)
			}
		},
	}
	_, _ = config.Check("snippet", fset, []*ast.File{file}, nil) // its errors have gone to Error
	return problems
}

// parse reads the snippet as a file, as declarations or as the body of a function, whichever it is,
// and adds the imports that it does not name.
func (s snippet) parse(fset *token.FileSet, m *module) (*ast.File, error) {
	const mode = parser.SkipObjectResolution
	if file, err := parser.ParseFile(fset, "", s.text, mode); err == nil {
		return file, nil
	}
	var failed error
	for _, form := range []string{"%s", "func _() error {\n%s\nreturn nil\n}"} {
		body := fmt.Sprintf(form, s.text)
		file, err := parser.ParseFile(fset, "", "package snippet\n"+body, mode)
		if err != nil {
			failed = err
			continue
		}
		var imports strings.Builder
		for _, name := range qualifiers(file) {
			if importPath, ok := m.byName[name]; ok {
				fmt.Fprintf(&imports, "import %s %q\n", name, importPath)
			}
		}
		return parser.ParseFile(fset, "", "package snippet\n"+imports.String()+body, mode)
	}
	return nil, failed
}

// qualifiers lists the names before a selector that the file itself does not declare.
func qualifiers(file *ast.File) []string {
	declared, used := map[string]bool{}, map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok {
				used[id.Name] = true
			}
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					declared[id.Name] = true
				}
			}
		case *ast.Field:
			for _, id := range n.Names {
				declared[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				declared[id.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok {
					declared[id.Name] = true
				}
			}
		}
		return true
	})
	var names []string
	for name := range used {
		if !declared[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// documents lists the Markdown files in the root, in docs/ and in the folders directly below the
// root.
func documents(fsys fs.FS) ([]string, error) {
	var files []string
	for _, pattern := range []string{"*.md", "*/*.md"} {
		found, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	if !slices.Contains(files, "README.md") {
		return nil, errors.New("no README.md here")
	}
	return slices.DeleteFunc(files, func(name string) bool { return path.Dir(name) == "tools" }), nil
}
